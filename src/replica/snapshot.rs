//! What a reader sees: one state of the whole replica, which never changes under it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use rpds::{HashTrieMapSync, RedBlackTreeMapSync};
use serde_json::value::RawValue;

use super::index::{ContextState, SubjectState};
use super::texts::TextKey;
use crate::protocol::endpoints::Route;
use crate::protocol::operation::Operation;
use crate::protocol::order::compare;
use crate::protocol::schema::{SchemaType, Version};
use crate::protocol::shape::Profile;
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::protocol::target::java_int;

/// One state of the replica.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(super) generation: u64,
    pub(super) contexts: RedBlackTreeMapSync<Context, Arc<ContextState>>,
    pub(super) listed: Option<Arc<[Context]>>,
    pub(super) remembered: HashTrieMapSync<Arc<str>, Arc<Remembered>>,
    pub(super) referrers: HashTrieMapSync<Referred, Arc<[Referrer]>>,
    pub(super) associations: Option<Arc<[Association]>>,
    pub(super) doubts: RedBlackTreeMapSync<Scope, Doubt>,
    pub(super) profile: Option<Profile>,
    pub(super) read_at: Option<u64>,
    pub(super) left_out: Arc<LeftOut>,
    /// How the registry stores texts that only it can print, by what identifies their spelling.
    pub(super) spellings: HashTrieMapSync<Spelling, Arc<str>>,
}

/// What identifies a schema as a client spelled it: a hash of its type and text, and of whether it is to be
/// normalised. How the registry stores it depends on nothing else, unless it is Avro with references.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spelling(Arc<str>);

impl Spelling {
    /// Of a schema that is not to be normalised.
    pub fn of(schema_type: &SchemaType, text: &str) -> Self {
        Self(TextKey::of(&format!("{schema_type}\n{text}")).to_string().into())
    }

    /// Of a schema that is to be normalised.
    pub fn normalized(schema_type: &SchemaType, text: &str) -> Self {
        // No schema begins like this.
        Self::of(schema_type, &format!("normalized\n{text}"))
    }

    /// By what `Display` printed.
    pub(super) fn known(printed: &str) -> Self {
        Self(Arc::from(printed))
    }
}

impl fmt::Display for Spelling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An answer of the primary that is kept as it was: a configuration, a fact about the server, or
/// that it does not have such a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The status.
    pub status: u16,
    /// The body, byte for byte.
    pub body: Bytes,
}

impl Remembered {
    /// The registry's own code in a refusal.
    pub fn error_code(&self) -> Option<u32> {
        #[derive(serde::Deserialize)]
        struct Code {
            error_code: u32,
        }
        serde_json::from_slice::<Code>(&self.body).ok().map(|code| code.error_code)
    }
}

/// The key under which a version is referred to: context, subject as it is looked for there, version.
pub(super) type Referred = (Context, Arc<str>, i32);

/// A version that refers to another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referrer {
    /// The subject that it is a version of.
    pub subject: QualifiedSubject,
    /// Its number.
    pub version: i32,
}

/// A link between a resource, such as a topic, and a subject.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Association {
    /// The subject, possibly qualified.
    #[serde(default)]
    pub subject: String,
    /// The resource's name.
    #[serde(default)]
    pub resource_name: String,
    /// The resource's namespace.
    #[serde(default)]
    pub resource_namespace: String,
    /// The resource's id.
    #[serde(default)]
    pub resource_id: String,
    /// What the resource is, such as `topic`.
    #[serde(default)]
    pub resource_type: String,
    /// Which side of it: `key`, `value`.
    #[serde(default)]
    pub association_type: String,
    /// STRONG or WEAK.
    #[serde(default)]
    pub lifecycle: String,
    /// The whole object as the primary printed it.
    #[serde(skip)]
    pub printed: Option<Arc<RawValue>>,
}

/// What the primary has and the replica could not take over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// The subjects that it belongs to.
    pub subjects: BTreeSet<QualifiedSubject>,
    /// Whether there is something of which nobody knows whose it is.
    pub is_vague: bool,
}

impl LeftOut {
    /// Whether there is nothing of the kind; nearly always so.
    pub fn is_empty(&self) -> bool {
        self.subjects.is_empty() && !self.is_vague
    }

    /// Whether it may belong to a subject of that name, in whatever context.
    pub fn concerns(&self, name: &str) -> bool {
        self.is_vague || self.subjects.iter().any(|subject| &*subject.subject == name)
    }
}

/// A part of the replica that can be in doubt, or be written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Everything.
    All,
    /// A whole context.
    Context(Context),
    /// One subject.
    Subject(QualifiedSubject),
    /// A remembered answer, by its key.
    Remembered(Arc<str>),
    /// The list of contexts.
    Contexts,
    /// The associations.
    Associations,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Context(context) => write!(f, "context {context}"),
            Self::Subject(subject) => write!(f, "subject {subject}"),
            Self::Remembered(key) => write!(f, "answer {key}"),
            Self::Contexts => f.write_str("contexts"),
            Self::Associations => f.write_str("associations"),
        }
    }
}

impl Scope {
    /// Reads what `Display` printed.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.split_once(' ') {
            None if text == "all" => Self::All,
            None if text == "contexts" => Self::Contexts,
            None if text == "associations" => Self::Associations,
            Some(("context", name)) => Self::Context(Context::named(name)),
            Some(("subject", name)) => Self::Subject(QualifiedSubject::parse(name)),
            Some(("answer", key)) => Self::Remembered(Arc::from(key)),
            _ => return None,
        })
    }
}

/// How far what the replica holds of a scope can be trusted after a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doubt {
    /// Right, but for what the answer to a write does not say: the time of its record.
    Incomplete,
    /// Possibly behind a write of which nobody knows what became: nobody was promised to see it, so
    /// what is held is shown while the primary cannot be asked.
    Undecided,
    /// Possibly behind an acknowledged write: only the primary may be believed.
    Unsure,
}

impl Doubt {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Incomplete => "incomplete",
            Self::Undecided => "undecided",
            Self::Unsure => "unsure",
        }
    }

    /// What cannot be read is as bad as can be.
    pub(super) fn parse(text: &str) -> Self {
        match text {
            "incomplete" => Self::Incomplete,
            "undecided" => Self::Undecided,
            _ => Self::Unsure,
        }
    }
}

impl Snapshot {
    /// Counts the states; an answer rendered from another generation is stale.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The context of a name, if it has ever held a subject.
    pub fn context(&self, context: &Context) -> Option<&Arc<ContextState>> {
        self.contexts.get(context)
    }

    /// A subject with its versions, soft-deleted or not.
    pub fn subject(&self, subject: &QualifiedSubject) -> Option<&Arc<SubjectState>> {
        self.context(&subject.context)?.subject(&subject.subject)
    }

    /// Whether the subject is one of the default context for which, while it has no versions, a subject of that name in
    /// another context stands in (WIRE.md section 1.11).
    pub fn has_namesake(&self, subject: &QualifiedSubject) -> bool {
        let mut others = self.contexts.iter().filter(|(context, _)| !context.is_default());
        subject.context.is_default() && others.any(|(_, state)| state.subject(&subject.subject).is_some())
    }

    /// Every context that holds subjects or held some.
    pub fn contexts(&self) -> impl Iterator<Item = (&Context, &Arc<ContextState>)> {
        self.contexts.iter()
    }

    /// The contexts as the primary lists them, the default one first; `None` if it never said.
    pub fn listed_contexts(&self) -> Option<&[Context]> {
        self.listed.as_deref()
    }

    /// The contexts that a lookup in the default one falls back to, in the order they are tried.
    pub fn named_contexts(&self) -> impl Iterator<Item = (&Context, &Arc<ContextState>)> {
        let mut named: Vec<_> = self.contexts.iter().filter(|(context, _)| !context.is_default()).collect();
        named.sort_by(|one, other| compare(one.0.as_str(), other.0.as_str()));
        named.into_iter()
    }

    /// A remembered answer.
    pub fn remembered(&self, key: &str) -> Option<&Arc<Remembered>> {
        self.remembered.get(key)
    }

    /// The keys of the remembered answers.
    pub fn remembered_keys(&self) -> impl Iterator<Item = &Arc<str>> {
        self.remembered.keys()
    }

    /// The versions that refer to a version.
    pub fn referrers(&self, subject: &QualifiedSubject, version: i32) -> &[Referrer] {
        let key = (subject.context.clone(), subject.subject.clone(), version);
        self.referrers.get(&key).map_or(&[], |referrers| referrers)
    }

    /// The associations, if the primary has been asked for them.
    pub fn associations(&self) -> Option<&[Association]> {
        self.associations.as_deref()
    }

    /// The shape of the primary's answers, once it is known.
    pub fn profile(&self) -> Option<Profile> {
        self.profile
    }

    /// When everything was last read from the primary, in epoch seconds; `None` if it never was.
    pub fn read_at(&self) -> Option<u64> {
        self.read_at
    }

    /// What could not be taken over, so that lists of ours lack it.
    pub fn left_out(&self) -> &LeftOut {
        &self.left_out
    }

    /// What is in doubt.
    pub fn doubts(&self) -> impl Iterator<Item = (&Scope, Doubt)> {
        self.doubts.iter().map(|(scope, doubt)| (scope, *doubt))
    }

    /// Whether the primary has lists of its own making: its `/schemas` could not be taken over, so
    /// neither are its filters known, nor does it show everything that it lists (REAL-REGISTRIES.md § 4).
    pub fn lists_its_own_way(&self) -> bool {
        self.remembered("/schemas").is_some()
    }

    /// Whether nothing at all is in doubt; nearly always so.
    pub fn is_sure(&self) -> bool {
        self.doubts.is_empty()
    }

    /// Whether everything has been read once: facts about the server are kept only after all that it
    /// lists. Before that a list of ours may lack what the primary has.
    pub fn is_whole(&self) -> bool {
        const FACTS: [&str; 4] = ["/", "/schemas/types", "/v1/metadata/id", "/v1/metadata/version"];
        FACTS.iter().any(|key| self.remembered(key).is_some())
    }

    /// The text as which a spelling is stored, if the primary has shown it.
    pub fn stored_as(&self, spelling: &Spelling) -> Option<&Arc<str>> {
        self.spellings.get(spelling)
    }

    /// Whether a subject holds the id that is asked for by number; by GUID every subject may.
    pub fn may_hold(&self, subject: &QualifiedSubject, operation: &Operation) -> bool {
        let Some(id) = java_int(operation.name()).filter(|_| operation.route != Route::SchemaByGuid) else {
            return true;
        };
        let holders = self.context(&subject.context).map_or(&[][..], |state| state.holders(id));
        holders.is_empty() || holders.iter().any(|holder| holder.subject == subject.subject)
    }

    /// Whether the replica holds nothing.
    pub fn is_empty(&self) -> bool {
        self.contexts.values().all(|context| context.subjects.is_empty()) && self.remembered.is_empty()
    }

    /// One version, soft-deleted or not.
    pub fn version(&self, subject: &QualifiedSubject, number: i32) -> Option<&Arc<Version>> {
        self.subject(subject)?.version(number)
    }
}
