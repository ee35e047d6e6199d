//! Avro schemas: read as Avro 1.12 reads them, printed as its compact `Schema.toString` prints them.
//!
//! The tree is public, so that it can be walked by who compares schemas; its text is what counts here.

mod defaults;
mod parse;
mod print;

use std::collections::HashSet;

use super::tree::{Duplicates, Tree};

pub use parse::parse;
pub use print::{print, relative};

/// Why a text is not taken as an Avro schema. The messages are Avro's own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not JSON, or JSON that readers take differently.
    #[error("not readable as strict JSON")]
    NotJson,
    /// Valid or not, its canonical text is not certain.
    #[error("the canonical text is not certain")]
    Unsure,
    /// A type without a name for its kind.
    #[error("No type: {0}")]
    NoType(String),
    /// A record, enum or fixed type without a name.
    #[error("No name in schema: {0}")]
    NoName(String),
    /// A value that is no schema.
    #[error("Schema not yet supported: {0}")]
    NotSupported(String),
    /// A name that begins with what no name begins with.
    #[error("Illegal initial character: {0}")]
    IllegalInitial(String),
    /// A name with a character that no name has.
    #[error("Illegal character in: {0}")]
    IllegalCharacter(String),
    /// Two fields of one name.
    #[error(
        "Duplicate field {name} in record {record}: {name} type:{later} pos:{at} and {name} type:{earlier} pos:{before}."
    )]
    DuplicateField {
        /// The field.
        name: String,
        /// The record's full name.
        record: String,
        /// Kind and place of the second field.
        later: &'static str,
        /// Place of the second field.
        at: usize,
        /// Kind of the first field.
        earlier: &'static str,
        /// Place of the first field.
        before: usize,
    },
    /// A default that does not fit its field.
    #[error("Invalid default for field {field}: {value} not a {schema}")]
    InvalidDefault {
        /// The field.
        field: String,
        /// The default, printed.
        value: String,
        /// The field's schema, printed.
        schema: String,
    },
    /// A name that stands for nothing.
    #[error("Undefined schema: {0}")]
    Undefined(String),
    /// A schema that is nothing but a name that stands for nothing.
    #[error("Unknown schema: org.apache.avro.compiler.UnresolvedSchema")]
    Unresolved,
    /// A name defined twice.
    #[error("Can't redefine: {0}")]
    Redefined(String),
    /// A symbol that an enum has twice.
    #[error("Duplicate enum symbol: {0}")]
    DuplicateSymbol(String),
    /// A union inside a union.
    #[error("Nested union: {0}")]
    NestedUnion(String),
    /// A branch that a union has twice.
    #[error("Duplicate in union:{0}")]
    DuplicateBranch(String),
}

/// A named type's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    /// The namespace; none is the null namespace.
    pub space: Option<String>,
    /// The name without its namespace.
    pub name: String,
}

impl Name {
    /// The name with its namespace.
    pub fn full(&self) -> String {
        self.space.as_ref().map_or_else(|| self.name.clone(), |space| format!("{space}.{}", self.name))
    }
}

/// Properties that are not part of the schema language, in the order of the text.
pub type Properties = Vec<(String, Tree)>;

/// A schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// What it is.
    pub kind: Kind,
    /// Its custom properties, logical types included.
    pub properties: Properties,
}

/// What a schema is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// One of the eight types that need no definition.
    Primitive(&'static str),
    /// A list.
    Array(Box<Schema>),
    /// Values by texts.
    Map(Box<Schema>),
    /// One of several.
    Union(Vec<Schema>),
    /// A record or an error.
    Record(Record),
    /// A choice of symbols.
    Enum(Enum),
    /// A number of bytes.
    Fixed(Fixed),
    /// A type defined earlier, or by a reference.
    Named(Name),
}

impl Kind {
    /// The kind as Avro's own `Type` calls it in capitals.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Primitive(name) => match *name {
                "null" => "NULL",
                "boolean" => "BOOLEAN",
                "int" => "INT",
                "long" => "LONG",
                "float" => "FLOAT",
                "double" => "DOUBLE",
                "bytes" => "BYTES",
                _ => "STRING",
            },
            Self::Array(_) => "ARRAY",
            Self::Map(_) => "MAP",
            Self::Union(_) => "UNION",
            Self::Record(_) | Self::Named(_) => "RECORD",
            Self::Enum(_) => "ENUM",
            Self::Fixed(_) => "FIXED",
        }
    }
}

/// A record.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its name.
    pub name: Name,
    /// Whether it says `error` instead of `record`.
    pub error: bool,
    /// Its documentation.
    pub doc: Option<String>,
    /// Its fields in order.
    pub fields: Vec<Field>,
    /// Its other names.
    pub aliases: Vec<Name>,
}

/// A field of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub schema: Schema,
    /// Its documentation.
    pub doc: Option<String>,
    /// Its default.
    pub default: Option<Tree>,
    /// How it sorts, unless ascending.
    pub order: Option<&'static str>,
    /// Its other names.
    pub aliases: Vec<String>,
    /// Its custom properties.
    pub properties: Properties,
}

/// An enum.
#[derive(Clone, Debug, PartialEq)]
pub struct Enum {
    /// Its name.
    pub name: Name,
    /// Its documentation.
    pub doc: Option<String>,
    /// Its symbols in order.
    pub symbols: Vec<String>,
    /// The symbol for unknown ones.
    pub default: Option<String>,
    /// Its other names.
    pub aliases: Vec<Name>,
}

/// A fixed type.
#[derive(Clone, Debug, PartialEq)]
pub struct Fixed {
    /// Its name.
    pub name: Name,
    /// Its documentation.
    pub doc: Option<String>,
    /// Its length in bytes.
    pub size: u32,
    /// Its other names.
    pub aliases: Vec<Name>,
}

/// The full names that a text may use without defining them.
#[derive(Clone, Debug, Default)]
pub struct Known(HashSet<String>);

impl Known {
    /// No names: a text without references.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Takes a name as known; false when it was.
    pub fn add(&mut self, full: String) -> bool {
        self.0.insert(full)
    }

    /// Whether the name is known.
    pub fn has(&self, full: &str) -> bool {
        self.0.contains(full)
    }
}

/// Reprints a schema as Avro does; `None` when that is not certain or the schema is not valid. `referenced`
/// are the texts that its references lead to, in the order in which they are resolved.
pub fn canonical(text: &str, referenced: &[&str]) -> Option<String> {
    let (tree, _) = Tree::read(text, Duplicates::Refuse)?;
    if !tree.has_certain_doubles() {
        return None;
    }
    let mut known = Known::nothing();
    let mut brought = HashSet::new();
    for text in referenced {
        // Releases differ in what they do about a list or a union to refer to.
        brought.insert(parse(text, &mut known).ok()?.name()?.full());
    }
    let inside: HashSet<String> = known.0.difference(&brought).cloned().collect();
    let schema = parse(text, &mut known).ok()?;
    // What lies inside a referenced type is printed as if it were defined where it is first used.
    if schema.uses(&inside) { None } else { print(&schema) }
}

impl Schema {
    /// Its name, if it is of a kind that has one and is defined here.
    pub fn name(&self) -> Option<&Name> {
        match &self.kind {
            Kind::Record(record) => Some(&record.name),
            Kind::Enum(choice) => Some(&choice.name),
            Kind::Fixed(fixed) => Some(&fixed.name),
            Kind::Primitive(_) | Kind::Array(_) | Kind::Map(_) | Kind::Union(_) | Kind::Named(_) => None,
        }
    }

    fn uses(&self, names: &HashSet<String>) -> bool {
        match &self.kind {
            Kind::Named(name) => names.contains(&name.full()),
            Kind::Array(inner) | Kind::Map(inner) => inner.uses(names),
            Kind::Union(branches) => branches.iter().any(|branch| branch.uses(names)),
            Kind::Record(record) => record.fields.iter().any(|field| field.schema.uses(names)),
            Kind::Primitive(_) | Kind::Enum(_) | Kind::Fixed(_) => false,
        }
    }
}

#[cfg(test)]
mod tests;
