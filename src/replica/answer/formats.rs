//! `format=`: which texts a schema has besides the stored one (WIRE.md § 1.5, § 1.11).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::protocol::identity::avro::{self, Kind, Known, Schema};
use crate::protocol::identity::{Canonical, canonical};
use crate::protocol::schema::{SchemaType, Version};

/// Whether a format is asked for at all; a blank one is none.
pub(super) fn is_asked(format: Option<&str>) -> bool {
    format.is_some_and(|format| !format.trim_matches(|character| character <= ' ').is_empty())
}

/// Whether the format is one that the type has, and that may print another text than the stored one.
/// Of formats that a type does not have, and of `default`, the registry makes nothing.
pub(super) fn reprints(format: Option<&str>, schema_type: &SchemaType) -> bool {
    let own: &[&str] = match schema_type {
        SchemaType::Avro => &["resolved"],
        SchemaType::Protobuf => &["ignore_extensions", "serialized"],
        SchemaType::Json | SchemaType::Other(_) => &[],
    };
    format.is_some_and(|format| own.iter().any(|name| name.eq_ignore_ascii_case(format)))
}

/// The version with the text that a format asks for. The registry takes the stored text apart whenever
/// a format is asked for; `None` where it is not certain that it can, or what it prints then.
pub(super) fn formatted(version: &Version, behind: &[Arc<Version>], format: Option<&str>) -> Option<Version> {
    let stored = &*version.text;
    if stored.is_empty() {
        return None;
    }
    let reprints = reprints(format, &version.schema_type);
    match &version.schema_type {
        SchemaType::Avro => {
            let texts = Texts::read(stored, behind).filter(|texts| texts.printed().as_deref() == Some(stored))?;
            let text = if reprints { texts.resolved()?.into() } else { version.text.clone() };
            Some(Version { text, ..version.clone() })
        }
        SchemaType::Json => {
            let printed = canonical(&SchemaType::Json, stored, &[]);
            (printed == Canonical::Certain(stored.to_owned())).then(|| version.clone())
        }
        // A stored text of Protobuf's is what the registry printed, and it prints that as it is.
        SchemaType::Protobuf => (!reprints).then(|| version.clone()),
        SchemaType::Other(_) => None,
    }
}

/// An Avro schema together with the types that its references define.
struct Texts {
    schema: Schema,
    types: HashMap<String, Schema>,
}

impl Texts {
    fn read(text: &str, behind: &[Arc<Version>]) -> Option<Self> {
        let mut known = Known::nothing();
        let mut types = HashMap::new();
        for other in behind {
            define(&avro::parse(&other.text, &mut known).ok()?, &mut types);
        }
        Some(Self { schema: avro::parse(text, &mut known).ok()?, types })
    }

    fn printed(&self) -> Option<String> {
        avro::print(&self.schema)
    }

    /// The text with every type defined where it is first used, as Avro prints a schema of which
    /// nothing is known elsewhere.
    fn resolved(&self) -> Option<String> {
        let mut schema = self.schema.clone();
        inline(&mut schema, &self.types, &mut HashSet::new());
        avro::print(&schema)
    }
}

/// The full name of a type that is defined here.
fn defined(schema: &Schema) -> Option<&avro::Name> {
    match &schema.kind {
        Kind::Record(record) => Some(&record.name),
        Kind::Enum(choice) => Some(&choice.name),
        Kind::Fixed(fixed) => Some(&fixed.name),
        Kind::Primitive(_) | Kind::Array(_) | Kind::Map(_) | Kind::Union(_) | Kind::Named(_) => None,
    }
}

fn define(schema: &Schema, types: &mut HashMap<String, Schema>) {
    if let Some(name) = defined(schema) {
        types.insert(name.full(), schema.clone());
    }
    match &schema.kind {
        Kind::Array(inner) | Kind::Map(inner) => define(inner, types),
        Kind::Union(branches) => branches.iter().for_each(|branch| define(branch, types)),
        Kind::Record(record) => record.fields.iter().for_each(|field| define(&field.schema, types)),
        Kind::Primitive(_) | Kind::Enum(_) | Kind::Fixed(_) | Kind::Named(_) => {}
    }
}

fn inline(schema: &mut Schema, types: &HashMap<String, Schema>, shown: &mut HashSet<String>) {
    if let Kind::Named(name) = &schema.kind
        && let Some(definition) = types.get(&name.full()).filter(|_| !shown.contains(&name.full()))
    {
        *schema = definition.clone();
    }
    if let Some(name) = defined(schema).cloned()
        && !shown.insert(name.full())
    {
        *schema = Schema { kind: Kind::Named(name), properties: Vec::new() };
    }
    match &mut schema.kind {
        Kind::Array(inner) | Kind::Map(inner) => inline(inner, types, shown),
        Kind::Union(branches) => branches.iter_mut().for_each(|branch| inline(branch, types, shown)),
        Kind::Record(record) => record.fields.iter_mut().for_each(|field| inline(&mut field.schema, types, shown)),
        Kind::Primitive(_) | Kind::Enum(_) | Kind::Fixed(_) | Kind::Named(_) => {}
    }
}
