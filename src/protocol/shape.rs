//! The shapes that a version is shown in (WIRE.md § 0.8): a function a shape, keys in Jackson's order.

use super::json::{Object, push_array, push_string};
use super::schema::{SchemaType, Version};

/// Which shape the primary's answers have (WIRE.md § 8.4, § 12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Profile {
    /// Confluent 7.x, and most registries written by others: no GUID, no time, AVRO not named.
    Confluent7,
    /// Confluent Platform 8.x: everything, always.
    #[default]
    Confluent8,
    /// Confluent Cloud: everything for clients that send `Confluent-Accept-Unknown-Properties`.
    Cloud,
}

impl Profile {
    /// The name in the configuration and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confluent7 => "7",
            Self::Confluent8 => "8",
            Self::Cloud => "cloud",
        }
    }

    /// Reads that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Confluent7, Self::Confluent8, Self::Cloud].into_iter().find(|profile| profile.as_str() == name)
    }

    /// What a client is shown, by whether it sent `Confluent-Accept-Unknown-Properties: true`.
    pub fn form(self, accepts_unknown: bool) -> Form {
        match self {
            Self::Confluent7 => Form::Plain,
            Self::Confluent8 => Form::Full,
            Self::Cloud if accepts_unknown => Form::Full,
            Self::Cloud => Form::Plain,
        }
    }
}

/// How much of a version an answer shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// GUID, time, deletion mark and the type of Avro too.
    Full,
    /// The fields that 7.x had.
    Plain,
}

impl Form {
    fn full<T>(self, value: T) -> Option<T> {
        (self == Self::Full).then_some(value)
    }

    fn schema_type(self, schema_type: &SchemaType) -> Option<&str> {
        (self == Self::Full || *schema_type != SchemaType::Avro).then(|| schema_type.as_str())
    }
}

/// Whether a version's time and deletion mark are shown. The registry shows them only where it took
/// the object from its store, not where it answers with the request's own form (WIRE.md § 1.2, § 1.15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// As stored.
    Stored,
    /// As asked.
    Asked,
}

impl Record {
    fn stored<T>(self, value: Option<T>) -> Option<T> {
        value.filter(|_| self == Self::Stored)
    }
}

/// `Schema`: the answer to a version, a lookup, `/metadata`.
pub fn schema(subject: &str, version: &Version, form: Form, record: Record) -> Vec<u8> {
    let mut out = Vec::with_capacity(version.text.len() + 256);
    let mut object = Object::open(&mut out);
    object
        .text("subject", Some(subject))
        .number("version", Some(version.version.into()))
        .number("id", Some(version.id.into()))
        .text("guid", form.full(version.guid.as_deref()).flatten())
        .text("schemaType", form.schema_type(&version.schema_type))
        .raw("references", version.references.as_deref())
        .raw("metadata", version.metadata.as_deref())
        .text("schema", Some(&version.text))
        .raw("schemaTags", version.schema_tags.as_deref())
        .number("ts", record.stored(form.full(version.ts).flatten()))
        .flag("deleted", record.stored(form.full(version.deleted)))
        .raw("ruleSet", version.rule_set.as_deref());
    object.close();
    out
}

/// `SchemaString`: the answer to an id (with its holder) or a GUID (without).
pub fn schema_string(holder: Option<&str>, version: &Version, form: Form, max_id: Option<i32>) -> Vec<u8> {
    let mut out = Vec::with_capacity(version.text.len() + 256);
    let mut object = Object::open(&mut out);
    let holder = form.full(holder).flatten();
    object
        .text("subject", holder)
        .number("version", holder.map(|_| version.version.into()))
        .text("guid", form.full(version.guid.as_deref()).flatten())
        .text("schemaType", form.schema_type(&version.schema_type))
        .text("schema", Some(&version.text))
        .raw("references", version.references.as_deref())
        .raw("metadata", version.metadata.as_deref())
        .raw("ruleSet", version.rule_set.as_deref())
        .raw("schemaTags", version.schema_tags.as_deref())
        .number("maxId", max_id.map(i64::from))
        .number("ts", form.full(version.ts).flatten())
        .flag("deleted", form.full(version.deleted));
    object.close();
    out
}

/// What stands beside a version in the list of all schemas.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside<'a> {
    /// Names that stand for its subject.
    pub aliases: &'a [String],
    /// The associations of its subject, printed; empty where there are none.
    pub associations: &'a [u8],
}

/// `ExtendedSchema`: an item of `GET /schemas`.
pub fn push_extended_schema(out: &mut Vec<u8>, subject: &str, version: &Version, form: Form, beside: Beside<'_>) {
    let mut object = Object::open(out);
    object
        .text("subject", Some(subject))
        .number("version", Some(version.version.into()))
        .number("id", Some(version.id.into()))
        .text("guid", form.full(version.guid.as_deref()).flatten())
        .text("schemaType", form.schema_type(&version.schema_type))
        .raw("references", version.references.as_deref())
        .raw("metadata", version.metadata.as_deref())
        .text("schema", Some(&version.text))
        .number("ts", form.full(version.ts).flatten())
        .flag("deleted", form.full(version.deleted));
    if !beside.aliases.is_empty() {
        push_array(object.key("aliases"), beside.aliases, |out, alias| push_string(out, alias));
    }
    if !beside.associations.is_empty() {
        object.key("associations").extend_from_slice(beside.associations);
    }
    object.raw("ruleSet", version.rule_set.as_deref()).raw("schemaTags", version.schema_tags.as_deref());
    object.close();
}

/// `RegisterSchemaResponse`. Releases before 8.0, and Cloud for a client that asked for no more, say only the id.
pub fn registered(version: &Version, form: Form, record: Record) -> Vec<u8> {
    let mut out = Vec::with_capacity(version.text.len() + 128);
    let mut object = Object::open(&mut out);
    object.number("id", Some(version.id.into()));
    if form == Form::Full {
        object
            .number("version", Some(version.version.into()))
            .text("guid", version.guid.as_deref())
            .text("schemaType", Some(version.schema_type.as_str()))
            .raw("references", version.references.as_deref())
            .raw("metadata", version.metadata.as_deref())
            .raw("ruleSet", version.rule_set.as_deref())
            .text("schema", Some(&version.text))
            .number("ts", record.stored(version.ts))
            .flag("deleted", record.stored(Some(version.deleted)));
    }
    object.close();
    out
}
