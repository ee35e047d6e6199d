//! Which version a schema in a request is, where that is certain (WIRE.md § 2.2, § 7.2).
//!
//! Only equality that needs no judgement counts: the canonical text is one that we print as the
//! registry does, or is the stored text itself. Everything else is the primary's to say.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use super::resolve::{config_key, served_subject};
use crate::protocol::identity::{Canonical, canonical};
use crate::protocol::operation::Operation;
use crate::protocol::schema::{Reference, SchemaType, Version};
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::replica::index::SubjectState;
use crate::replica::snapshot::{Remembered, Snapshot, Spelling};

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

    /// Whether a registration with this body, of a schema that is there already, changes nothing
    /// (WIRE.md § 2.2). Explicit versions and ids, and tags, are the primary's business.
    pub fn is_plain_registration(&self) -> bool {
        matches!(self.version, None | Some(0))
            && matches!(self.id, None | Some(-1))
            && self.schema_tags_to_add.is_none()
            && self.schema_tags_to_remove.is_none()
            && self.propagate_schema_tags != Some(true)
    }

    /// The version of the subject that is certainly this schema.
    ///
    /// What the configuration in scope says counts: with `normalize`, or with metadata or rules of its
    /// own, equality is not certain. `trusting` takes an unknown configuration for an empty one, for
    /// when the primary cannot be asked.
    pub fn find(&self, snapshot: &Snapshot, operation: &Operation, scope: MatchScope, trusting: bool) -> Option<Found> {
        if snapshot.config_changes_schemas(&operation.subject).unwrap_or(!trusting) {
            return None;
        }
        let subject = served_subject(snapshot, operation);
        let state = snapshot.context(&subject.context)?.subject(&subject.subject)?;
        let version = self.find_in(snapshot, state, scope)?.clone();
        Some(Found { subject, version })
    }

    /// What identifies the spelling of the schema, where only the registry knows how it stores it.
    pub fn spelling(&self) -> Option<Spelling> {
        let schema_type = SchemaType::parse(self.schema_type.as_deref());
        let raw = self.schema.as_deref().filter(|text| !text.trim().is_empty())?;
        match canonical(&schema_type, raw, self.references.as_deref().unwrap_or_default()) {
            Canonical::Certain(_) => None,
            Canonical::Unsure => Some(Spelling::of(&schema_type, raw)),
        }
    }

    fn find_in<'a>(&self, snapshot: &Snapshot, state: &'a SubjectState, scope: MatchScope) -> Option<&'a Arc<Version>> {
        let raw = self.schema.as_deref().filter(|text| !text.trim().is_empty())?;
        if self.rule_set.as_ref().is_some_and(|rules| !rules.is_null()) {
            return None;
        }
        let schema_type = SchemaType::parse(self.schema_type.as_deref());
        let references = self.references.as_deref().unwrap_or_default();
        if references.iter().any(|reference| reference.version.is_none_or(|version| version < 1)) {
            return None;
        }
        let printed: Option<Arc<str>> = match canonical(&schema_type, raw, references) {
            Canonical::Certain(text) => Some(text.into()),
            Canonical::Unsure => snapshot.stored_as(&Spelling::of(&schema_type, raw)).cloned(),
        };
        let same_text = |version: &Version| {
            version.schema_type == schema_type
                && (printed.as_deref() == Some(&*version.text) || raw == &*version.text)
                && same_references(&version.references(), references)
        };
        let eligible = |version: &&Arc<Version>| scope == MatchScope::WithDeleted || !version.deleted;
        let metadata = self.metadata.as_ref().filter(|metadata| !metadata.is_null());
        let mut candidates = state.versions.iter().rev().filter(eligible).filter(|version| same_text(version));
        match metadata {
            Some(metadata) => candidates.find(|version| {
                version.rule_set.is_none() && sorted(version.metadata.as_deref()) == Some(sort(metadata.clone()))
            }),
            None => candidates
                .find(|version| version.metadata.is_none() && version.rule_set.is_none())
                .or_else(|| inherited(state).filter(|latest| same_text(latest))),
        }
    }
}

/// The latest version, whose metadata and rules a schema without any inherits (WIRE.md § 7.2, step 3).
fn inherited(state: &SubjectState) -> Option<&Arc<Version>> {
    let numbered = |version: &Version| {
        version.metadata.as_deref().is_some_and(|metadata| metadata.get().contains("\"confluent:version\""))
    };
    state.latest().filter(|latest| !numbered(latest))
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
                members.retain(|_, member| !member.is_null());
                members.values_mut().for_each(walk);
                members.sort_keys();
            }
            _ => {}
        }
    }
    walk(&mut value);
    value
}

impl Snapshot {
    /// Whether the configuration in scope changes what is registered: normalises it, or adds metadata
    /// or rules. `None` where the configuration is not known.
    pub fn config_changes_schemas(&self, subject: &QualifiedSubject) -> Option<bool> {
        let own = self.remembered(&config_key(subject))?;
        if own.status == 200 { changes_schemas(own) } else { self.context_changes_schemas(&subject.context) }
    }

    /// The same of a subject that has no configuration of its own.
    pub fn context_changes_schemas(&self, context: &Context) -> Option<bool> {
        let context = QualifiedSubject::new(context.clone(), "");
        changes_schemas(self.remembered(&format!("{}?defaultToGlobal=true", config_key(&context)))?)
    }
}

fn changes_schemas(in_scope: &Remembered) -> Option<bool> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Facts {
        normalize: Option<bool>,
        default_metadata: Option<Value>,
        override_metadata: Option<Value>,
        default_rule_set: Option<Value>,
        override_rule_set: Option<Value>,
    }
    let facts: Facts = serde_json::from_slice(&in_scope.body).ok()?;
    let adds = [facts.default_metadata, facts.override_metadata, facts.default_rule_set, facts.override_rule_set];
    Some(facts.normalize == Some(true) || adds.iter().flatten().any(|added| !added.is_null()))
}
