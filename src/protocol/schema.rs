//! A schema version as a registry shows it, and the parts it is made of (WIRE.md § 0.8).

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::json::Object;

/// What a schema is written in. Unknown names are kept, so that a newer primary's types survive.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SchemaType {
    /// Apache Avro, the type that an answer of 7.x does not name.
    Avro,
    /// JSON Schema.
    Json,
    /// Protocol Buffers.
    Protobuf,
    /// A type that this version does not know.
    Other(Arc<str>),
}

impl SchemaType {
    /// Reads the case-sensitive name; an absent one means Avro.
    pub fn parse(name: Option<&str>) -> Self {
        match name {
            None | Some("AVRO") => Self::Avro,
            Some("JSON") => Self::Json,
            Some("PROTOBUF") => Self::Protobuf,
            Some(other) => Self::Other(Arc::from(other)),
        }
    }

    /// The name on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Avro => "AVRO",
            Self::Json => "JSON",
            Self::Protobuf => "PROTOBUF",
            Self::Other(name) => name,
        }
    }
}

impl fmt::Display for SchemaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A reference to a version of another subject.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
pub struct Reference {
    /// The name by which the schema's text calls it; may be empty.
    #[serde(default)]
    pub name: Option<String>,
    /// The subject, possibly qualified.
    #[serde(default)]
    pub subject: Option<String>,
    /// The version; -1 stands for the latest.
    #[serde(default)]
    pub version: Option<i32>,
}

/// One version of a subject, as the primary printed it.
///
/// References, metadata and rule sets are kept as the primary's own JSON text, so that they come
/// back byte for byte, fields of later releases included.
#[derive(Clone, Debug)]
pub struct Version {
    /// The version's number, from 1.
    pub version: i32,
    /// The id of its content in the subject's context.
    pub id: i32,
    /// The content's GUID; registries before 8.0 have none.
    pub guid: Option<Arc<str>>,
    /// What the text is written in.
    pub schema_type: SchemaType,
    /// A JSON array of references, as printed.
    pub references: Option<Arc<RawValue>>,
    /// A JSON object of metadata, as printed.
    pub metadata: Option<Arc<RawValue>>,
    /// A JSON object of rules, as printed.
    pub rule_set: Option<Arc<RawValue>>,
    /// A JSON array of inline tags, as printed.
    pub schema_tags: Option<Arc<RawValue>>,
    /// The schema's canonical text.
    pub text: Arc<str>,
    /// Time of the record in epoch milliseconds; `None` where the registry did not say.
    pub ts: Option<i64>,
    /// Whether the version is soft-deleted.
    pub deleted: bool,
    /// Members of the primary's answer that this version does not know, in their order.
    pub unknown: Vec<(Arc<str>, Arc<RawValue>)>,
}

impl Version {
    /// The references, understood; an unreadable list counts as none and is the primary's to judge.
    pub fn references(&self) -> Vec<Reference> {
        self.references.as_ref().and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }

    /// Whether both say the same about the content and its place; the time of the record is left out.
    pub fn same_content(&self, other: &Self) -> bool {
        let raw = |value: &Option<Arc<RawValue>>| value.as_ref().map(|raw| raw.get().to_owned());
        self.id == other.id
            && self.schema_type == other.schema_type
            && self.text == other.text
            && raw(&self.references) == raw(&other.references)
            && raw(&self.metadata) == raw(&other.metadata)
            && raw(&self.rule_set) == raw(&other.rule_set)
    }
}

/// A version together with the subject that it belongs to: an item of `GET /schemas`, or the answer
/// to `GET /subjects/{s}/versions/{v}`.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The subject as printed, possibly qualified; absent in the lists of some registries.
    pub subject: Option<String>,
    /// The version itself.
    pub version: Version,
}

impl<'de> Deserialize<'de> for Listed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ListedVisitor)
    }
}

struct ListedVisitor;

impl<'de> Visitor<'de> for ListedVisitor {
    type Value = Listed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a schema version")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Listed, A::Error> {
        let (mut subject, mut number, mut id, mut schema_type, mut text) = (None, None, None, None, None);
        let (mut guid, mut ts, mut deleted) = (None::<String>, None, None);
        let (mut references, mut metadata, mut rule_set, mut schema_tags) = (None, None, None, None);
        let mut unknown = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "subject" => subject = map.next_value::<Option<String>>()?,
                "version" => number = map.next_value::<Option<i32>>()?,
                "id" => id = map.next_value::<Option<i32>>()?,
                "guid" => guid = map.next_value()?,
                "schemaType" => schema_type = map.next_value::<Option<String>>()?,
                "schema" => text = map.next_value::<Option<String>>()?,
                "ts" => ts = map.next_value::<Option<i64>>()?,
                "deleted" => deleted = map.next_value::<Option<bool>>()?,
                "references" => references = raw(map.next_value()?),
                "metadata" => metadata = raw(map.next_value()?),
                "ruleSet" => rule_set = raw(map.next_value()?),
                "schemaTags" => schema_tags = raw(map.next_value()?),
                // Facts about other things than the version: kept elsewhere, or found out per request.
                "aliases" | "associations" => drop(map.next_value::<serde::de::IgnoredAny>()?),
                _ => unknown.push((Arc::from(key), Arc::from(map.next_value::<Box<RawValue>>()?))),
            }
        }
        let version = Version {
            version: number.ok_or_else(|| A::Error::missing_field("version"))?,
            id: id.ok_or_else(|| A::Error::missing_field("id"))?,
            guid: guid.map(Arc::from),
            schema_type: SchemaType::parse(schema_type.as_deref()),
            references,
            metadata,
            rule_set,
            schema_tags,
            text: Arc::from(text.unwrap_or_default()),
            ts,
            deleted: deleted.unwrap_or(false),
            unknown,
        };
        Ok(Listed { subject, version })
    }
}

fn raw(value: Box<RawValue>) -> Option<Arc<RawValue>> {
    (!matches!(value.get(), "null" | "[]")).then(|| Arc::from(value))
}

/// Prints a version with every field it has, in the order of an item of `GET /schemas`; the reverse
/// of reading a [`Listed`].
pub fn print_listed(subject: &str, version: &Version) -> Vec<u8> {
    let mut out = Vec::with_capacity(version.text.len() + 256);
    let mut object = Object::open(&mut out);
    object
        .text("subject", Some(subject))
        .number("version", Some(version.version.into()))
        .number("id", Some(version.id.into()))
        .text("guid", version.guid.as_deref())
        .text("schemaType", Some(version.schema_type.as_str()))
        .raw("references", version.references.as_deref())
        .raw("metadata", version.metadata.as_deref())
        .text("schema", Some(&version.text))
        .number("ts", version.ts)
        .flag("deleted", Some(version.deleted))
        .raw("ruleSet", version.rule_set.as_deref())
        .raw("schemaTags", version.schema_tags.as_deref());
    for (key, value) in &version.unknown {
        object.key(key).extend_from_slice(value.get().as_bytes());
    }
    object.close();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_survives_being_read_and_printed() {
        let printed = r#"{"subject":"s","version":1,"id":7,"guid":"g","schemaType":"JSON","references":[{"name":"n","subject":"r","version":1}],"metadata":{"properties":{"n":"1e2"}},"schema":"{\"a\":\"\uD83D\uDED2\"}","ts":5,"deleted":true,"ruleSet":{"x":1.50},"future":[1, 2]}"#;
        let read: Listed = serde_json::from_str(printed).expect("a version");
        assert_eq!(read.version.text.chars().nth(6), Some('🛒'));
        assert_eq!(read.version.references()[0].subject.as_deref(), Some("r"));
        let again = print_listed(read.subject.as_deref().expect("it was there"), &read.version);
        assert_eq!(String::from_utf8(again).expect("JSON is UTF-8"), printed);
    }
}
