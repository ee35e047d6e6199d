//! What is stored: versions, metadata, rules.

use std::collections::{BTreeMap, BTreeSet};

use schema_outpost::protocol::identity;
use schema_outpost::protocol::schema::{Reference, SchemaType};
use serde_json::value::RawValue;

use crate::print;

/// Metadata of a schema; sorted, as the registry keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Metadata {
    pub(crate) tags: Option<BTreeMap<String, BTreeSet<String>>>,
    pub(crate) properties: Option<BTreeMap<String, String>>,
    pub(crate) sensitive: Option<BTreeSet<String>>,
}

/// The property that carries the version's own number.
pub(crate) const CONFLUENT_VERSION: &str = "confluent:version";

impl Metadata {
    /// The later one's entries win over those of the earlier one.
    pub(crate) fn merged(earlier: Option<&Self>, later: Option<&Self>) -> Option<Self> {
        let (Some(earlier), Some(later)) = (earlier, later) else { return earlier.or(later).cloned() };
        let mut merged = earlier.clone();
        if let Some(tags) = &later.tags {
            let own = merged.tags.get_or_insert_default();
            tags.iter().for_each(|(key, values)| own.entry(key.clone()).or_default().extend(values.iter().cloned()));
        }
        if let Some(properties) = &later.properties {
            let own = merged.properties.get_or_insert_default();
            own.extend(properties.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        if let Some(sensitive) = &later.sensitive {
            merged.sensitive.get_or_insert_default().extend(sensitive.iter().cloned());
        }
        Some(merged)
    }

    /// The number that the metadata carries, if any.
    pub(crate) fn confluent_version(&self) -> Option<&str> {
        self.properties.as_ref()?.get(CONFLUENT_VERSION).map(String::as_str)
    }

    /// The same without the number.
    pub(crate) fn without_version(mut self) -> Option<Self> {
        if let Some(properties) = &mut self.properties {
            properties.remove(CONFLUENT_VERSION);
            if properties.is_empty() {
                self.properties = None;
            }
        }
        (self != Self::default()).then_some(self)
    }

    pub(crate) fn with_version(this: Option<Self>, version: i32) -> Self {
        let mut metadata = this.unwrap_or_default();
        let properties = metadata.properties.get_or_insert_default();
        properties.insert(CONFLUENT_VERSION.to_owned(), version.to_string());
        metadata
    }
}

/// Rules of a schema, as the registry prints them.
#[derive(Clone, Debug)]
pub(crate) struct RuleSet(pub(crate) Box<RawValue>);

impl PartialEq for RuleSet {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

/// What makes two schemas the same.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Content {
    pub(crate) schema_type: SchemaType,
    pub(crate) text: String,
    pub(crate) references: Vec<Reference>,
    pub(crate) metadata: Option<Metadata>,
    pub(crate) rule_set: Option<RuleSet>,
}

impl Content {
    /// The GUID of the content.
    pub(crate) fn guid(&self) -> String {
        guid(&self.text, &self.references, self.metadata.as_ref(), self.rule_set.as_ref())
    }
}

/// The GUID of a text with what belongs to it.
pub(crate) fn guid(
    text: &str,
    references: &[Reference],
    metadata: Option<&Metadata>,
    rules: Option<&RuleSet>,
) -> String {
    let metadata = metadata.and_then(|metadata| RawValue::from_string(print::metadata(metadata)).ok());
    let rules = rules.map(|rules| &*rules.0);
    identity::guid(text, references, metadata.as_deref(), rules).expect("BUG: own metadata and rules can be read")
}

/// One version of a subject.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// The subject, qualified.
    pub(crate) subject: String,
    pub(crate) version: i32,
    pub(crate) id: i32,
    pub(crate) content: Content,
    /// Milliseconds since the epoch.
    pub(crate) ts: i64,
    pub(crate) deleted: bool,
}
