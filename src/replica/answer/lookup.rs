//! Which version a schema in a request is, where that is certain (WIRE.md § 2.2, § 7.2).
//!
//! Only equality that needs no judgement counts: the canonical text is one that we print as the
//! registry does, or is the stored text itself. Everything else is the primary's to say.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use super::references;
use super::resolve::{config_key, served_subject};
use crate::protocol::identity::{Canonical, canonical, normalized};
use crate::protocol::mode::Mode;
use crate::protocol::operation::Operation;
use crate::protocol::schema::{Reference, SchemaType, Version};
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::replica::index::SubjectState;
use crate::replica::snapshot::{Snapshot, Spelling};

/// The body of a lookup or a registration. One with members that we do not know, or in forms that
/// only Jackson takes, is not read: what it means, only the primary can say.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Asked {
    #[serde(default)]
    schema: Option<String>,
    #[serde(default)]
    schema_type: Option<String>,
    #[serde(default)]
    references: Option<Vec<Reference>>,
    #[serde(default)]
    metadata: Option<Value>,
    #[serde(default)]
    rule_set: Option<Value>,
    #[serde(default)]
    version: Option<i32>,
    #[serde(default)]
    id: Option<i32>,
    #[serde(default)]
    schema_tags_to_add: Option<Box<RawValue>>,
    #[serde(default)]
    schema_tags_to_remove: Option<Box<RawValue>>,
    #[serde(default)]
    propagate_schema_tags: Option<bool>,
    // Some clients send back a whole answer; the registry reads nothing of the rest of it.
    #[serde(default, rename = "subject")]
    _subject: IgnoredAny,
    #[serde(default, rename = "guid")]
    _guid: IgnoredAny,
    #[serde(default, rename = "ts")]
    _ts: IgnoredAny,
    #[serde(default, rename = "deleted")]
    _deleted: IgnoredAny,
    #[serde(default, rename = "schemaTags")]
    _schema_tags: IgnoredAny,
}

/// Which versions may be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchScope {
    /// Those that are not soft-deleted.
    Live,
    /// Soft-deleted ones too.
    WithDeleted,
}

/// A version that is certainly the one asked for.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its subject, alias resolved.
    pub subject: QualifiedSubject,
    /// The version.
    pub version: Arc<Version>,
}

impl Asked {
    /// Reads a body; `None` where only the primary can.
    pub fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// Whether a registration with this body leaves id and version to the registry: then one of a schema that is there
    /// already changes nothing (WIRE.md § 2.2).
    pub fn is_plain_registration(&self) -> bool {
        matches!(self.version, None | Some(0)) && self.id.is_none_or(|id| id < 0) && !self.is_about_tags()
    }

    /// Whether it registers tags too, with which nothing is merely there already (WIRE.md § 2.2).
    pub fn is_about_tags(&self) -> bool {
        self.schema_tags_to_add.is_some()
            || self.schema_tags_to_remove.is_some()
            || self.propagate_schema_tags == Some(true)
    }

    /// Whether it refers to other schemas.
    pub fn refers(&self) -> bool {
        !self.references().is_empty()
    }

    /// Whether a schema that is there already, under this id and in this version, is all that is asked for. Of one by its
    /// content that stands there more than once, or is to be the latest, only the registry can tell.
    pub fn is_met_by(&self, id: i32, version: i32) -> bool {
        match self.version.unwrap_or_default() {
            0 => self.id.is_none_or(|own| own < 0 || own == id),
            wanted => wanted == version && self.id == Some(id),
        }
    }

    /// The version of the subject that is certainly this schema.
    ///
    /// What the configuration in scope says counts: with metadata or rules of its own, or rules for the names
    /// of fields, equality is not certain. `trusting` takes an unknown configuration for an empty one, for
    /// when the primary cannot be asked.
    pub fn find(&self, snapshot: &Snapshot, operation: &Operation, scope: MatchScope, trusting: bool) -> Option<Found> {
        // Behind an alias the configuration of its target counts.
        let subject = served_subject(snapshot, operation);
        let facts = snapshot.facts(&subject).or_else(|| trusting.then(Facts::default))?;
        if facts.refuse_or_add() {
            return None;
        }
        let normalize = operation.query.flag("normalize") || facts.normalize == Some(true);
        // Nothing is normalised where schemas are imported (WIRE.md § 7.3).
        if normalize && matches!(snapshot.mode_in_scope(&subject), Mode::Import | Mode::Forward) {
            return None;
        }
        let context = snapshot.context(&subject.context)?;
        let state = context.subject(&subject.subject)?;
        let behind = references::brought(snapshot, &subject.context, self.references())?;
        // What is deleted can only be referred to where deleted versions are asked for (WIRE.md § 3.8).
        if scope == MatchScope::Live && behind.iter().any(|version| version.deleted) {
            return None;
        }
        let version = self.find_in(snapshot, (&behind, state), normalize)?;
        let is_wanted = scope == MatchScope::WithDeleted || !version.deleted;
        // The registry finds a content by the id that was last written for it, which need not be this one.
        (is_wanted && context.is_only_id_of(version.guid.as_deref()))
            .then(|| Found { subject, version: version.clone() })
    }

    /// Whether a text can be the one as which the registry understood the schema, as far as that is certain.
    pub fn may_be_stored_as(
        &self,
        text: &str,
        snapshot: &Snapshot,
        subject: &QualifiedSubject,
        normalize: bool,
    ) -> bool {
        let Some(raw) = self.text() else { return true };
        let behind = references::brought(snapshot, &subject.context, self.references()).unwrap_or_default();
        let printed = match normalize {
            false => canonical(&self.schema_type(), raw, &texts(&behind)),
            true => normalized(&self.schema_type(), raw),
        };
        printed == Canonical::Unsure || printed == Canonical::Certain(text.to_owned())
    }

    /// What identifies the spelling of the schema, where only the registry knows how it stores it.
    pub fn spelling(&self, normalize: bool) -> Option<Spelling> {
        let (schema_type, raw) = (self.schema_type(), self.text()?);
        // What the names in an Avro text stand for depends on the references too.
        if schema_type == SchemaType::Avro && !self.references().is_empty() {
            return None;
        }
        let (printed, spelling) = match normalize {
            false => (canonical(&schema_type, raw, &[]), Spelling::of(&schema_type, raw)),
            true => (normalized(&schema_type, raw), Spelling::normalized(&schema_type, raw)),
        };
        (printed == Canonical::Unsure).then_some(spelling)
    }

    /// What the schema is written in.
    pub fn schema_type(&self) -> SchemaType {
        SchemaType::parse(self.schema_type.as_deref())
    }

    /// The text; without one the request means something else.
    pub(in crate::replica) fn text(&self) -> Option<&str> {
        self.schema.as_deref().filter(|text| !text.trim().is_empty())
    }

    pub(in crate::replica) fn references(&self) -> &[Reference] {
        self.references.as_deref().unwrap_or_default()
    }

    /// The metadata, its sets in one order. A `null` for one of its parts is no part; inside of one it stays, for
    /// there the registry stumbles over it (WIRE.md § 0.5).
    pub fn metadata(&self) -> Option<Value> {
        let mut metadata = self.metadata.clone().filter(|metadata| !metadata.is_null())?;
        if let Value::Object(parts) = &mut metadata {
            parts.retain(|_, part| !part.is_null());
        }
        Some(sort(metadata))
    }

    /// Whether a version has just the metadata that was sent.
    pub fn has_metadata_of(&self, version: &Version) -> bool {
        sorted(version.metadata.as_deref()) == self.metadata()
    }

    /// Whether rules were sent.
    pub fn has_rules(&self) -> bool {
        self.rule_set().is_some()
    }

    /// The rules.
    pub fn rule_set(&self) -> Option<&Value> {
        self.rule_set.as_ref().filter(|rules| !rules.is_null())
    }

    /// The one version, soft-deleted or not, that the registry finds by the content's hash: the content as
    /// sent, or with the metadata and rules that a schema without any inherits.
    fn find_in<'a>(
        &self,
        snapshot: &Snapshot,
        (behind, state): (&[Arc<Version>], &'a SubjectState),
        normalize: bool,
    ) -> Option<&'a Arc<Version>> {
        // Normalised references have an order of their own.
        if self.rule_set().is_some() || (normalize && self.references().len() > 1) {
            return None;
        }
        let text = self.stored_text(snapshot, behind, normalize)?;
        let wanted = Wanted { asked: self, schema_type: self.schema_type(), text };
        let metadata = self.metadata();
        let is_as_sent = |version: &Version| {
            wanted.is_text_of(version) && version.rule_set.is_none() && sorted(version.metadata.as_deref()) == metadata
        };
        match only(state, is_as_sent) {
            Some(found) => found,
            None if metadata.is_none() => wanted.inherited_in(state),
            None => None,
        }
    }

    /// The text as the registry stores it: as it is certainly printed, or was seen to be, or is already.
    fn stored_text(&self, snapshot: &Snapshot, behind: &[Arc<Version>], normalize: bool) -> Option<Arc<str>> {
        let (schema_type, raw) = (self.schema_type(), self.text()?);
        let printed = match normalize {
            false => canonical(&schema_type, raw, &texts(behind)),
            true => normalized(&schema_type, raw),
        };
        let seen = || self.spelling(normalize).and_then(|spelling| snapshot.stored_as(&spelling).cloned());
        match printed {
            Canonical::Certain(text) => Some(text.into()),
            Canonical::Unsure => seen().or_else(|| (!normalize).then(|| raw.into())),
        }
    }
}

fn texts(versions: &[Arc<Version>]) -> Vec<&str> {
    versions.iter().map(|version| &*version.text).collect()
}

/// The only version of its kind: `None` if there is no such version, `Some(None)` if there are several. Which
/// of several the registry answers with depends on the order in which they were written.
fn only(state: &SubjectState, is_it: impl Fn(&Version) -> bool) -> Option<Option<&Arc<Version>>> {
    let mut found = state.versions.iter().filter(|version| is_it(version));
    let first = found.next()?;
    Some(found.next().is_none().then_some(first))
}

/// A schema that is looked for, its text as it is stored.
struct Wanted<'a> {
    asked: &'a Asked,
    schema_type: SchemaType,
    text: Arc<str>,
}

impl Wanted<'_> {
    fn is_text_of(&self, version: &Version) -> bool {
        version.schema_type == self.schema_type
            && version.text == self.text
            && same_references(&version.references(), self.asked.references())
    }

    /// The latest version, whose metadata and rules a schema without any inherits (WIRE.md § 7.2, step 3).
    fn inherited_in<'a>(&self, state: &'a SubjectState) -> Option<&'a Arc<Version>> {
        let latest = state.latest().filter(|latest| self.is_text_of(latest) && !is_numbered(latest))?;
        // Before it comes to that, the registry compares with every version that has none either (step 2).
        if state.versions.iter().any(|version| self.may_be_taken_for(version)) {
            return None;
        }
        let raw = |part: &Option<Arc<RawValue>>| part.as_ref().map(|raw| raw.get().to_owned());
        let is_alike = |version: &Version| {
            self.is_text_of(version)
                && raw(&version.metadata) == raw(&latest.metadata)
                && raw(&version.rule_set) == raw(&latest.rule_set)
        };
        only(state, is_alike)?
    }

    /// Whether the registry may see the schema in a version that has no metadata either, or only its number:
    /// it compares Avro by meaning, where the order of properties and aliases does not count.
    fn may_be_taken_for(&self, version: &Version) -> bool {
        let is_bare = version.rule_set.is_none() && (version.metadata.is_none() || is_numbered(version));
        let length = |text: &str| text.replace("\"type\":\"error\"", "\"type\":\"record\"").len();
        let is_alike = || {
            self.schema_type == SchemaType::Avro
                && (length(&version.text) == length(&self.text) || version.references.is_some())
        };
        is_bare && version.schema_type == self.schema_type && (version.text == self.text || is_alike())
    }
}

/// Whether the registry wrote a version's number into its metadata, which counts on one side only.
fn is_numbered(version: &Version) -> bool {
    version.metadata.as_deref().is_some_and(|metadata| metadata.get().contains("\"confluent:version\""))
}

fn same_references(stored: &[Reference], asked: &[Reference]) -> bool {
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    stored.len() == asked.len()
        && stored.iter().zip(asked).all(|(one, other)| {
            text(&one.name) == text(&other.name)
                && text(&one.subject) == text(&other.subject)
                && one.version == other.version
        })
}

fn sorted(raw: Option<&RawValue>) -> Option<Value> {
    serde_json::from_str(raw?.get()).ok().map(sort)
}

/// Metadata with its sets in one order; the registry sorts them, a client may not.
fn sort(mut value: Value) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::Array(items) => {
                items.iter_mut().for_each(walk);
                items.sort_by_key(ToString::to_string);
                items.dedup();
            }
            Value::Object(members) => {
                members.values_mut().for_each(walk);
                members.sort_keys();
            }
            _ => {}
        }
    }
    walk(&mut value);
    value
}

/// Whether a remembered answer may be the configuration in scope of a subject, or say so.
pub fn is_config_of(key: &str, subject: &QualifiedSubject) -> bool {
    let scopes = [
        subject.clone(),
        QualifiedSubject::new(subject.context.clone(), ""),
        QualifiedSubject::new(Context::global(), ""),
    ];
    let key = key.strip_suffix("?defaultToGlobal=true").unwrap_or(key);
    scopes.iter().any(|scope| config_key(scope) == key)
}

impl Snapshot {
    /// Whether the configuration in scope normalises schemas. `None` where it is not known.
    pub fn config_normalizes(&self, subject: &QualifiedSubject) -> Option<bool> {
        Some(self.facts(subject)?.normalize == Some(true))
    }

    /// Whether the configuration in scope adds metadata or rules, so that nothing is registered by merely
    /// being there already (WIRE.md § 2.2). `None` where it is not known.
    pub fn config_adds_to_schemas(&self, subject: &QualifiedSubject) -> Option<bool> {
        Some(self.facts(subject)?.add())
    }

    /// The mode in scope of a subject at the primary, as far as it was read. Of the modes above the subject one that is
    /// out of the ordinary counts: the top level says READWRITE where nothing is set, too.
    pub fn mode_in_scope(&self, subject: &QualifiedSubject) -> Mode {
        let said = |scope: &QualifiedSubject| {
            #[derive(Deserialize)]
            struct Said {
                mode: String,
            }
            let answer = self.remembered(&config_key(scope).replacen("/config", "/mode", 1))?;
            Mode::parse(&serde_json::from_slice::<Said>(&answer.body).ok()?.mode)
        };
        let above = [subject.context.clone(), Context::global()].map(|context| QualifiedSubject::new(context, ""));
        let unusual = || above.iter().filter_map(said).find(|mode| *mode != Mode::ReadWrite);
        said(subject).or_else(unusual).unwrap_or(Mode::ReadWrite)
    }

    /// The closest configuration counts as a whole.
    fn facts(&self, subject: &QualifiedSubject) -> Option<Facts> {
        let own = self.remembered(&config_key(subject))?;
        let context = || {
            let context = QualifiedSubject::new(subject.context.clone(), "");
            self.remembered(&format!("{}?defaultToGlobal=true", config_key(&context)))
        };
        let in_scope = if own.status == 200 { own } else { context()? };
        serde_json::from_slice(&in_scope.body).ok()
    }
}

/// What of a configuration has to do with schemas.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Facts {
    normalize: Option<bool>,
    validate_fields: Option<bool>,
    default_metadata: Option<Value>,
    override_metadata: Option<Value>,
    default_rule_set: Option<Value>,
    override_rule_set: Option<Value>,
}

impl Facts {
    fn add(&self) -> bool {
        let added = [&self.default_metadata, &self.override_metadata, &self.default_rule_set, &self.override_rule_set];
        added.into_iter().flatten().any(|added| !added.is_null())
    }

    fn refuse_or_add(&self) -> bool {
        self.validate_fields == Some(true) || self.add()
    }
}
