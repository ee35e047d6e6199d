//! Prints an Avro schema: keys in Avro's order, names relative to the namespace around them.

use super::{Enum, Field, Fixed, Kind, Name, Properties, Record, Schema};
use crate::protocol::identity::tree::{Fractions, Tree, push_text};

/// The compact text of a schema; `None` when it holds a number whose text is not certain.
pub fn print(schema: &Schema) -> Option<String> {
    let mut out = String::new();
    schema_in(&mut out, schema, None)?;
    Some(out)
}

/// A name as it is written inside a namespace.
pub fn relative(name: &Name, space: Option<&str>) -> String {
    if name.space.is_some() && name.space.as_deref() == space { name.name.clone() } else { name.full() }
}

fn schema_in(out: &mut String, schema: &Schema, space: Option<&str>) -> Option<()> {
    match &schema.kind {
        Kind::Primitive(name) if schema.properties.is_empty() => push_text(out, name),
        Kind::Primitive(name) => {
            key(out, '{', "type");
            push_text(out, name);
            close(out, &schema.properties)?;
        }
        Kind::Array(items) => collection(out, ("array", "items"), items, (space, &schema.properties))?,
        Kind::Map(values) => collection(out, ("map", "values"), values, (space, &schema.properties))?,
        Kind::Union(branches) => {
            out.push('[');
            for (index, branch) in branches.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                schema_in(out, branch, space)?;
            }
            out.push(']');
        }
        Kind::Record(record) => record_in(out, record, space, &schema.properties)?,
        Kind::Enum(choice) => enum_in(out, choice, space, &schema.properties)?,
        Kind::Fixed(fixed) => fixed_in(out, fixed, space, &schema.properties)?,
        Kind::Named(name) => push_text(out, &relative(name, space)),
    }
    Some(())
}

fn collection(
    out: &mut String,
    (kind, member): (&str, &str),
    of: &Schema,
    (space, properties): (Option<&str>, &Properties),
) -> Option<()> {
    key(out, '{', "type");
    push_text(out, kind);
    key(out, ',', member);
    schema_in(out, of, space)?;
    close(out, properties)
}

fn record_in(out: &mut String, record: &Record, space: Option<&str>, properties: &Properties) -> Option<()> {
    open(out, if record.error { "error" } else { "record" }, &record.name, space);
    text_member(out, "doc", record.doc.as_deref());
    key(out, ',', "fields");
    out.push('[');
    for (index, field) in record.fields.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        field_in(out, field, record.name.space.as_deref())?;
    }
    out.push(']');
    members(out, properties)?;
    aliases(out, record.aliases.iter().map(|alias| relative(alias, record.name.space.as_deref())));
    out.push('}');
    Some(())
}

fn field_in(out: &mut String, field: &Field, space: Option<&str>) -> Option<()> {
    key(out, '{', "name");
    push_text(out, &field.name);
    key(out, ',', "type");
    schema_in(out, &field.schema, space)?;
    text_member(out, "doc", field.doc.as_deref());
    if let Some(default) = &field.default {
        member(out, "default", default)?;
    }
    text_member(out, "order", field.order);
    aliases(out, field.aliases.iter().cloned());
    close(out, &field.properties)
}

fn enum_in(out: &mut String, choice: &Enum, space: Option<&str>, properties: &Properties) -> Option<()> {
    open(out, "enum", &choice.name, space);
    text_member(out, "doc", choice.doc.as_deref());
    list(out, "symbols", choice.symbols.iter().cloned());
    text_member(out, "default", choice.default.as_deref());
    members(out, properties)?;
    aliases(out, choice.aliases.iter().map(|alias| relative(alias, choice.name.space.as_deref())));
    out.push('}');
    Some(())
}

fn fixed_in(out: &mut String, fixed: &Fixed, space: Option<&str>, properties: &Properties) -> Option<()> {
    open(out, "fixed", &fixed.name, space);
    text_member(out, "doc", fixed.doc.as_deref());
    key(out, ',', "size");
    out.push_str(&fixed.size.to_string());
    members(out, properties)?;
    aliases(out, fixed.aliases.iter().map(|alias| relative(alias, fixed.name.space.as_deref())));
    out.push('}');
    Some(())
}

fn open(out: &mut String, kind: &str, name: &Name, space: Option<&str>) {
    key(out, '{', "type");
    push_text(out, kind);
    text_member(out, "name", Some(&name.name));
    match (&name.space, space) {
        (Some(own), around) if Some(own.as_str()) != around => text_member(out, "namespace", Some(own)),
        (None, Some(_)) => text_member(out, "namespace", Some("")),
        _ => {}
    }
}

fn key(out: &mut String, before: char, name: &str) {
    out.push(before);
    push_text(out, name);
    out.push(':');
}

fn text_member(out: &mut String, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        key(out, ',', name);
        push_text(out, value);
    }
}

fn member(out: &mut String, name: &str, value: &Tree) -> Option<()> {
    key(out, ',', name);
    value.print(out, Fractions::Double)
}

fn members(out: &mut String, properties: &Properties) -> Option<()> {
    properties.iter().try_for_each(|(name, value)| member(out, name, value))
}

fn close(out: &mut String, properties: &Properties) -> Option<()> {
    members(out, properties)?;
    out.push('}');
    Some(())
}

fn aliases(out: &mut String, names: impl ExactSizeIterator<Item = String>) {
    if names.len() > 0 {
        list(out, "aliases", names);
    }
}

fn list(out: &mut String, name: &str, items: impl Iterator<Item = String>) {
    key(out, ',', name);
    out.push('[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_text(out, &item);
    }
    out.push(']');
}
