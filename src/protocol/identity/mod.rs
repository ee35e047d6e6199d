//! When two schemas are the same: canonical texts and GUIDs, without asking a registry (WIRE.md § 7).
//!
//! No library prints schemas as Java's does. What is printed here is held to what a real registry
//! answered; where that leaves a doubt, the verdict is [`Canonical::Unsure`] and the primary is asked.

pub mod avro;
mod guid;
mod json;
pub mod number;
pub mod tree;

use super::schema::SchemaType;

pub use guid::guid;

/// The canonical text of a schema, as far as it can be told here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Canonical {
    /// The text that the registry stores and hashes for it.
    Certain(String),
    /// Only the registry knows.
    Unsure,
}

/// Prints a schema as the registry would store it without normalisation.
///
/// `referenced` are the texts that its references lead to, in the order in which the registry resolves them:
/// the types that they define need no definition in the text.
pub fn canonical(schema_type: &SchemaType, text: &str, referenced: &[&str]) -> Canonical {
    let printed = match schema_type {
        SchemaType::Avro => avro::canonical(text, referenced),
        SchemaType::Json => json::canonical(text),
        SchemaType::Protobuf | SchemaType::Other(_) => None,
    };
    printed.map_or(Canonical::Unsure, Canonical::Certain)
}

/// Prints a schema as the registry would store it when it is told to normalise.
pub fn normalized(schema_type: &SchemaType, text: &str) -> Canonical {
    let printed = match schema_type {
        SchemaType::Json => json::normalized(text),
        SchemaType::Avro | SchemaType::Protobuf | SchemaType::Other(_) => None,
    };
    printed.map_or(Canonical::Unsure, Canonical::Certain)
}
