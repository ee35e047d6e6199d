//! Avro schemas: the stored text, the normalised one, and the one with its references inlined.

use std::collections::{BTreeMap, BTreeSet};

use schema_outpost::protocol::identity::avro::{self, Kind, Known, Name, Refused, Schema};
use schema_outpost::protocol::identity::number;
use schema_outpost::protocol::identity::tree::Tree;
use schema_outpost::protocol::order;
use schema_outpost::protocol::schema::SchemaType;
use schema_outpost::protocol::subject::QualifiedSubject;

use super::{Referenced, Unreadable};
use crate::model::{Content, Metadata, Stored};
use crate::state::State;

pub(super) fn canonical(text: &str, references: &[Referenced], normalize: bool) -> Result<String, Unreadable> {
    let mut schema = read(text, references).map_err(|why| Unreadable::Invalid(words(text, &why)))?;
    if normalize {
        normalise(&mut schema, None);
    }
    avro::print(&schema).ok_or_else(|| Unreadable::Invalid(Refused::Unsure.to_string()))
}

/// Java's words for a refusal. Those of its JSON parser are imitated for a first wrong character only.
fn words(text: &str, why: &Refused) -> String {
    const PLACE: &str =
        "\n at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, column: ";
    const JACKSON: &str = "com.fasterxml.jackson.core.JsonParseException: ";
    if *why != Refused::NotJson {
        return why.to_string();
    }
    let trimmed = text.trim_start();
    let after = trimmed.strip_prefix('{').map(str::trim_start);
    if let Some(wrong) = after.and_then(|rest| rest.chars().next()).filter(|first| *first != '"') {
        let code = u32::from(wrong);
        return format!(
            "{JACKSON}Unexpected character ('{wrong}' (code {code})): was expecting double-quote to start field name{PLACE}2]"
        );
    }
    let word: String =
        trimmed.chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect();
    format!(
        "{JACKSON}Unrecognized token '{word}': was expecting (JSON String, Number, Array, Object or token 'null', \
         'true' or 'false'){PLACE}1]"
    )
}

pub(crate) fn read(text: &str, references: &[Referenced]) -> Result<Schema, Refused> {
    let mut known = Known::nothing();
    for reference in references {
        avro::parse(&reference.text, &mut known)?;
    }
    avro::parse(text, &mut known)
}

/// The text with every referenced type defined where it is first used.
pub(crate) fn resolved(text: &str, references: &[Referenced]) -> Option<String> {
    let definitions = Definitions::of(references).ok()?;
    let mut known = definitions.known.clone();
    let mut schema = avro::parse(text, &mut known).ok()?;
    definitions.inline(&mut schema, &mut BTreeSet::new());
    avro::print(&schema)
}

/// Named types by their full names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Definitions {
    known: Known,
    types: BTreeMap<String, Schema>,
}

impl Definitions {
    pub(crate) fn of(references: &[Referenced]) -> Result<Self, Refused> {
        let mut definitions = Self::default();
        for reference in references {
            let schema = avro::parse(&reference.text, &mut definitions.known)?;
            definitions.learn(&schema);
        }
        Ok(definitions)
    }

    /// Reads a schema that may use the types, and learns its own.
    pub(crate) fn read(&mut self, text: &str) -> Result<Schema, Refused> {
        let schema = avro::parse(text, &mut self.known)?;
        self.learn(&schema);
        Ok(schema)
    }

    pub(crate) fn get(&self, full: &str) -> Option<&Schema> {
        self.types.get(full)
    }

    fn learn(&mut self, schema: &Schema) {
        match &schema.kind {
            Kind::Array(inner) | Kind::Map(inner) => self.learn(inner),
            Kind::Union(branches) => branches.iter().for_each(|branch| self.learn(branch)),
            Kind::Record(record) => {
                self.types.insert(record.name.full(), schema.clone());
                record.fields.iter().for_each(|field| self.learn(&field.schema));
            }
            Kind::Enum(choice) => drop(self.types.insert(choice.name.full(), schema.clone())),
            Kind::Fixed(fixed) => drop(self.types.insert(fixed.name.full(), schema.clone())),
            Kind::Primitive(_) | Kind::Named(_) => {}
        }
    }

    /// Puts a definition where a type is first used; wherever it is used again, its name is enough.
    fn inline(&self, schema: &mut Schema, shown: &mut BTreeSet<String>) {
        if let Kind::Named(name) = &schema.kind
            && let Some(definition) = self.get(&name.full()).filter(|_| !shown.contains(&name.full()))
        {
            *schema = definition.clone();
        }
        let name = match &schema.kind {
            Kind::Record(record) => Some(record.name.clone()),
            Kind::Enum(choice) => Some(choice.name.clone()),
            Kind::Fixed(fixed) => Some(fixed.name.clone()),
            Kind::Primitive(_) | Kind::Array(_) | Kind::Map(_) | Kind::Union(_) | Kind::Named(_) => None,
        };
        if let Some(name) = name.filter(|name| !shown.insert(name.full())) {
            *schema = Schema { kind: Kind::Named(name), properties: Vec::new() };
        }
        match &mut schema.kind {
            Kind::Array(inner) | Kind::Map(inner) => self.inline(inner, shown),
            Kind::Union(branches) => branches.iter_mut().for_each(|branch| self.inline(branch, shown)),
            Kind::Record(record) => record.fields.iter_mut().for_each(|field| self.inline(&mut field.schema, shown)),
            Kind::Primitive(_) | Kind::Enum(_) | Kind::Fixed(_) | Kind::Named(_) => {}
        }
    }
}

/// Sorts what has no order of its own, and spells numbers as their types have them.
fn normalise(schema: &mut Schema, space: Option<&str>) {
    sort(&mut schema.properties);
    adopt(schema, space);
    match &mut schema.kind {
        Kind::Array(inner) | Kind::Map(inner) => normalise(inner, space),
        Kind::Union(branches) => branches.iter_mut().for_each(|branch| normalise(branch, space)),
        Kind::Record(record) => {
            record.aliases.sort_by(|left, right| order::compare(&left.full(), &right.full()));
            for field in &mut record.fields {
                normalise(&mut field.schema, record.name.space.as_deref());
                sort(&mut field.properties);
                field.aliases.sort_by(|left, right| order::compare(left, right));
                if let Some(default) = &mut field.default {
                    normalise_default(&field.schema, default);
                }
            }
        }
        Kind::Enum(choice) => choice.aliases.sort_by(|left, right| order::compare(&left.full(), &right.full())),
        Kind::Fixed(fixed) => fixed.aliases.sort_by(|left, right| order::compare(&left.full(), &right.full())),
        Kind::Primitive(_) | Kind::Named(_) => {}
    }
}

/// A name is printed without its namespace here and read again, so the null namespace becomes the one around it.
fn adopt(schema: &mut Schema, space: Option<&str>) {
    let name = match &mut schema.kind {
        Kind::Record(record) => &mut record.name,
        Kind::Enum(choice) => &mut choice.name,
        Kind::Fixed(fixed) => &mut fixed.name,
        Kind::Named(name) => name,
        Kind::Primitive(_) | Kind::Array(_) | Kind::Map(_) | Kind::Union(_) => return,
    };
    if name.space.is_none() {
        name.space = space.map(str::to_owned);
    }
}

fn sort(properties: &mut [(String, Tree)]) {
    properties.sort_by(|left, right| order::compare(&left.0, &right.0));
    for (_, value) in properties {
        sort_tree(value);
    }
}

fn sort_tree(tree: &mut Tree) {
    match tree {
        Tree::Object(members) => sort(members),
        Tree::Array(items) => items.iter_mut().for_each(sort_tree),
        _ => {}
    }
}

fn normalise_default(schema: &Schema, value: &mut Tree) {
    match (&schema.kind, value) {
        (Kind::Primitive("float" | "double"), Tree::Number(raw)) if number::is_integer(raw) => {
            if let Ok(number) = raw.parse::<f64>() {
                *raw = number::double_text(number);
            }
        }
        (Kind::Array(items), Tree::Array(values)) => {
            values.iter_mut().for_each(|value| normalise_default(items, value))
        }
        (Kind::Map(values), Tree::Object(members)) => {
            members.sort_by(|left, right| order::compare(&left.0, &right.0));
            members.iter_mut().for_each(|(_, value)| normalise_default(values, value));
        }
        _ => {}
    }
}

/// Whether a version says the same as a content that its hash does not find: the references are inlined in one
/// of them, or only one carries its version's number (WIRE.md § 7.2).
pub(crate) fn same(state: &State, subject: &QualifiedSubject, content: &Content, stored: &Stored) -> bool {
    let old = &stored.content;
    if content.schema_type != old.schema_type || content.rule_set != old.rule_set || !same_metadata(content, stored) {
        return false;
    }
    if content.references == old.references {
        return content.text == old.text || (old.schema_type == SchemaType::Avro && alike(&content.text, &old.text));
    }
    if old.schema_type != SchemaType::Avro || !content.references.is_empty() {
        return false;
    }
    let inlined = super::formatted(state, subject, old, "resolved").ok().flatten();
    inlined.is_some_and(|inlined| alike(&content.text, &inlined))
}

fn same_metadata(content: &Content, stored: &Stored) -> bool {
    let (new, old) = (&content.metadata, &stored.content.metadata);
    let number =
        |metadata: &Option<Metadata>| metadata.as_ref().and_then(Metadata::confluent_version).map(str::to_owned);
    match (number(new), number(old)) {
        (None, Some(_)) => *new == old.clone().and_then(Metadata::without_version),
        (Some(given), None) => {
            given == stored.version.to_string() && new.clone().and_then(Metadata::without_version) == *old
        }
        _ => new == old,
    }
}

/// Whether two texts differ in the order of properties and aliases only.
fn alike(left: &str, right: &str) -> bool {
    let sorted = |text: &str| {
        let mut schema = avro::parse(text, &mut Known::nothing()).ok()?;
        sort_properties(&mut schema);
        Some(schema)
    };
    // Another order has the same length, which is cheaper to see.
    left == right
        || left.len() == right.len()
            && matches!((sorted(left), sorted(right)), (Some(left), Some(right)) if left == right)
}

fn sort_properties(schema: &mut Schema) {
    sort(&mut schema.properties);
    match &mut schema.kind {
        Kind::Array(inner) | Kind::Map(inner) => sort_properties(inner),
        Kind::Union(branches) => branches.iter_mut().for_each(sort_properties),
        Kind::Record(record) => {
            record.aliases.sort_by_key(Name::full);
            record.fields.iter_mut().for_each(|field| {
                sort(&mut field.properties);
                field.aliases.sort();
                sort_properties(&mut field.schema);
            });
        }
        Kind::Enum(choice) => choice.aliases.sort_by_key(Name::full),
        Kind::Fixed(fixed) => fixed.aliases.sort_by_key(Name::full),
        Kind::Primitive(_) | Kind::Named(_) => {}
    }
}
