//! Whether a field's default fits its type, by Avro's rules.

use super::parse::printed;
use super::{Kind, Refused, Schema, print};
use crate::protocol::identity::number;
use crate::protocol::identity::tree::Tree;

pub(super) fn check(field: &str, schema: &Schema, default: &Tree) -> Result<(), Refused> {
    let floating = matches!(schema.kind, Kind::Primitive("float" | "double"));
    // Avro turns a text such as "NaN" into a number here.
    if floating && matches!(default, Tree::Text(_)) {
        return Err(Refused::Unsure);
    }
    if fits(schema, default) {
        return Ok(());
    }
    Err(Refused::InvalidDefault {
        field: field.to_owned(),
        value: printed(default),
        schema: print(schema).ok_or(Refused::Unsure)?,
    })
}

fn fits(schema: &Schema, value: &Tree) -> bool {
    match (&schema.kind, value) {
        (Kind::Primitive("string" | "bytes") | Kind::Enum(_) | Kind::Fixed(_), Tree::Text(_)) => true,
        (Kind::Primitive("int"), Tree::Number(raw)) => number::is_integer(raw) && raw.parse::<i32>().is_ok(),
        (Kind::Primitive("long"), Tree::Number(raw)) => number::is_integer(raw) && raw.parse::<i64>().is_ok(),
        (Kind::Primitive("float" | "double"), Tree::Number(_)) => true,
        (Kind::Primitive("boolean"), Tree::Bool(_)) => true,
        (Kind::Primitive("null"), Tree::Null) => true,
        (Kind::Array(items), Tree::Array(values)) => values.iter().all(|value| fits(items, value)),
        (Kind::Map(values), Tree::Object(members)) => members.iter().all(|(_, value)| fits(values, value)),
        // Since 1.12 any branch will do.
        (Kind::Union(branches), value) => branches.iter().any(|branch| fits(branch, value)),
        (Kind::Record(record), Tree::Object(_)) => record.fields.iter().all(|field| {
            let value = value.get(&field.name).or(field.default.as_ref());
            value.is_some_and(|value| fits(&field.schema, value))
        }),
        // Its definition stands elsewhere. A default that does not fit it stays in the text, so the
        // text of a schema that the registry refused is never taken for one that it stored.
        (Kind::Named(_), _) => true,
        _ => false,
    }
}
