//! Protobuf schemas: read as Square's Wire reads them, printed in the registry's own layout (WIRE.md § 7.1).

mod decode;
mod encode;
mod normal;
mod parse;
mod print;
mod wire;
mod words;

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Referenced, Unreadable};

/// A `.proto` file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct File {
    pub(crate) syntax: Option<String>,
    pub(crate) package: Option<String>,
    pub(crate) imports: Vec<String>,
    pub(crate) public_imports: Vec<String>,
    pub(crate) options: Vec<Setting>,
    pub(crate) types: Vec<Type>,
    pub(crate) extends: Vec<Extend>,
    pub(crate) services: Vec<Service>,
}

/// A message or an enum.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Type {
    Message(Message),
    Enum(Enum),
}

impl Type {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Message(message) => &message.name,
            Self::Enum(choice) => &choice.name,
        }
    }
}

/// A message.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Message {
    pub(crate) name: String,
    pub(crate) reserved: Vec<Vec<String>>,
    pub(crate) options: Vec<Setting>,
    pub(crate) fields: Vec<Field>,
    pub(crate) oneofs: Vec<OneOf>,
    pub(crate) groups: Vec<Group>,
    pub(crate) extensions: Vec<Vec<String>>,
    pub(crate) nested: Vec<Type>,
}

/// A field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    pub(crate) label: Option<String>,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) tag: i32,
    /// With the default and the JSON name last, as they are printed.
    pub(crate) options: Vec<Setting>,
}

/// Fields of which one is set.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OneOf {
    pub(crate) name: String,
    pub(crate) options: Vec<Setting>,
    pub(crate) fields: Vec<Field>,
}

/// A group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group {
    pub(crate) label: Option<String>,
    pub(crate) name: String,
    pub(crate) tag: i32,
    pub(crate) fields: Vec<Field>,
}

/// An enum.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Enum {
    pub(crate) name: String,
    pub(crate) reserved: Vec<Vec<String>>,
    pub(crate) options: Vec<Setting>,
    pub(crate) constants: Vec<Constant>,
}

/// A constant of an enum.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Constant {
    pub(crate) name: String,
    pub(crate) tag: i32,
    pub(crate) options: Vec<Setting>,
}

/// Fields added to a message elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Extend {
    pub(crate) name: String,
    pub(crate) fields: Vec<Field>,
}

/// A service.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) options: Vec<Setting>,
    pub(crate) calls: Vec<Call>,
}

/// A call of a service.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) request: (bool, String),
    pub(crate) response: (bool, String),
    pub(crate) options: Vec<Setting>,
}

/// An option: `name = value`, where the name is in parentheses or not.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Setting {
    pub(crate) name: String,
    pub(crate) value: Value,
}

/// The value of an option.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Text(String),
    /// A number, a truth value or a constant.
    Word(String),
    /// `.name = value` behind a name in parentheses.
    Inner(Box<Setting>),
    Map(Vec<(String, Value)>),
    List(Vec<Value>),
}

pub(super) fn canonical(text: &str, references: &[Referenced], normalize: bool) -> Result<String, Unreadable> {
    let mut file = read_any(text).map_err(Unreadable::Parser)?;
    let known = Types::of(&file, references);
    known.check(&file).map_err(Unreadable::Invalid)?;
    if normalize {
        normal::normalise(&mut file, &known);
    }
    Ok(print::print(&file))
}

/// Reads a file; the error is in Wire's words.
pub(crate) fn read(text: &str) -> Result<File, String> {
    parse::parse(text).map_err(|error| format!("Could not parse Protobuf - {error}"))
}

/// Reads a file that is a text or the base64 of a descriptor; the error is that of the text.
fn read_any(text: &str) -> Result<File, String> {
    read(text).or_else(|error| {
        let bytes = STANDARD.decode(text.trim()).ok();
        bytes.and_then(|bytes| decode::decode(&bytes)).ok_or(error)
    })
}

/// Whether a message has two fields of one number or name, or one of number zero: such a text is stored, but makes
/// no descriptor.
pub(super) fn is_clashing(text: &str) -> bool {
    fn clashes(one: &Type) -> bool {
        let Type::Message(message) = one else { return false };
        let mut seen = HashSet::new();
        let fields = message.fields.iter().chain(message.oneofs.iter().flat_map(|oneof| &oneof.fields));
        let mut fields = fields.map(|field| {
            field.tag > 0 && seen.insert(field.tag.to_string()) && seen.insert(format!("name {}", field.name))
        });
        fields.any(|is_new| !is_new) || message.nested.iter().any(clashes)
    }
    read(text).is_ok_and(|file| file.types.iter().any(clashes))
}

/// The text in another form: without its extensions, or as the base64 of a descriptor.
pub(super) fn formatted(text: &str, references: &[Referenced], format: &str) -> Option<String> {
    let mut file = read(text).ok()?;
    if format == "serialized" {
        let types = Types::of(&file, references);
        return Some(STANDARD.encode(encode::encode(&file, &types)));
    }
    file.extends.clear();
    file.types.iter_mut().for_each(without_extensions);
    Some(print::print(&file))
}

fn without_extensions(one: &mut Type) {
    if let Type::Message(message) = one {
        message.extensions.clear();
        message.nested.iter_mut().for_each(without_extensions);
    }
}

/// The names of all types that a file may use, each with a leading dot.
pub(crate) struct Types {
    names: HashSet<String>,
    enums: HashSet<String>,
    package: String,
    is_proto3: bool,
}

const SCALARS: [&str; 15] = [
    "double", "float", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64", "sfixed32",
    "sfixed64", "bool", "string", "bytes",
];

/// Packages that every registry has.
const BUILT_IN: [&str; 4] = ["google.protobuf.", "google.type.", "confluent.type.", "confluent."];

impl Types {
    fn of(file: &File, references: &[Referenced]) -> Self {
        let (mut names, mut enums) = (HashSet::new(), HashSet::new());
        let package = |file: &File| file.package.as_ref().map_or(String::new(), |package| format!(".{package}"));
        let own = package(file);
        for other in references.iter().filter_map(|reference| read(&reference.text).ok()) {
            learn((&mut names, &mut enums), &package(&other), &other.types);
        }
        learn((&mut names, &mut enums), &own, &file.types);
        Self { names, enums, package: own, is_proto3: file.syntax.as_deref() == Some("proto3") }
    }

    /// Whether a name stands for an enum.
    fn is_enum(&self, name: &str, scope: &str) -> bool {
        self.resolve(name, scope).is_some_and(|full| self.enums.contains(&full))
    }

    /// The full name of a type as it is meant inside a scope: the innermost scope that has it wins.
    pub(crate) fn resolve(&self, name: &str, scope: &str) -> Option<String> {
        if SCALARS.contains(&name) {
            return Some(name.to_owned());
        }
        if let Some(inner) = name.strip_prefix("map<").and_then(|rest| rest.strip_suffix('>')) {
            let (key, value) = inner.split_once(',')?;
            return Some(format!("map<{}, {}>", key.trim(), self.resolve(value.trim(), scope)?));
        }
        let bare = name.strip_prefix('.').unwrap_or(name);
        if BUILT_IN.iter().any(|package| bare.starts_with(package)) {
            return Some(format!(".{bare}"));
        }
        if name.starts_with('.') {
            return self.names.contains(name).then(|| name.to_owned());
        }
        let mut scope = format!("{}{scope}", self.package);
        loop {
            let full = format!("{scope}.{name}");
            if self.names.contains(&full) {
                return Some(full);
            }
            scope.truncate(scope.rfind('.')?);
        }
    }

    fn check(&self, file: &File) -> Result<(), String> {
        file.types.iter().try_for_each(|one| self.check_type(one, ""))
    }

    fn check_type(&self, one: &Type, scope: &str) -> Result<(), String> {
        let Type::Message(message) = one else { return Ok(()) };
        let scope = format!("{scope}.{}", message.name);
        let fields = message.fields.iter().chain(message.oneofs.iter().flat_map(|oneof| &oneof.fields));
        for field in fields {
            if self.resolve(&field.kind, &scope).is_none() {
                return Err(format!("Could not resolve type: {}", field.kind));
            }
        }
        message.nested.iter().try_for_each(|nested| self.check_type(nested, &scope))
    }
}

fn learn((names, enums): (&mut HashSet<String>, &mut HashSet<String>), scope: &str, types: &[Type]) {
    for one in types {
        let full = format!("{scope}.{}", one.name());
        if let Type::Message(message) = one {
            learn((&mut *names, &mut *enums), &full, &message.nested);
            names.extend(message.groups.iter().map(|group| format!("{full}.{}", group.name)));
        }
        if matches!(one, Type::Enum(_)) {
            enums.insert(full.clone());
        }
        names.insert(full);
    }
}
