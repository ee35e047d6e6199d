//! Protobuf schemas compared: the package, messages that are gone, fields of one number with another kind.
//! What else the registry looks at (oneofs, labels, enums) counts as compatible here.

use super::Detail;
use crate::model::Content;
use crate::schema::protobuf::{Field, Message, Type, read};

pub(super) fn compare(reader: &Content, writer: &Content) -> Vec<Detail> {
    let (Ok(new), Ok(old)) = (read(&reader.text), read(&writer.text)) else { return Vec::new() };
    let mut comparison = Comparison { details: Vec::new() };
    if new.package != old.package {
        let description =
            "The package at '#/' in the {reader} schema does not match the package in the {writer} schema";
        comparison.report("PACKAGE_CHANGED", description);
    }
    comparison.types(&new.types, &old.types, "#/");
    comparison.details
}

struct Comparison {
    details: Vec<Detail>,
}

impl Comparison {
    fn report(&mut self, kind: &str, description: &str) {
        self.details.push(Detail { text: format!("{{errorType:\"{kind}\", description:\"{description}\"}}") });
    }

    fn types(&mut self, new: &[Type], old: &[Type], path: &str) {
        for message in messages(old) {
            let path = format!("{path}{}", message.name);
            match messages(new).find(|other| other.name == message.name) {
                Some(other) => self.messages(other, message, &path),
                None => {
                    let description = format!(
                        "The {{reader}} schema is missing a MESSAGE type at path '{path}' in the {{writer}} schema"
                    );
                    self.report("MESSAGE_REMOVED", &description);
                }
            }
        }
    }

    fn messages(&mut self, new: &Message, old: &Message, path: &str) {
        for field in fields(new) {
            let Some(written) = fields(old).find(|written| written.tag == field.tag) else { continue };
            let (read, written) = (group(field), group(written));
            if read == written {
                continue;
            }
            let path = format!("{path}/{}", field.tag);
            let (kind, what) = match (&read, &written) {
                (Group::Named(_), Group::Named(_)) => ("FIELD_NAMED_TYPE_CHANGED", "type of a MESSAGE"),
                (Group::Named(_), _) | (_, Group::Named(_)) => ("FIELD_KIND_CHANGED", "kind of a"),
                _ => ("FIELD_SCALAR_KIND_CHANGED", "kind of a SCALAR"),
            };
            let its = if kind == "FIELD_NAMED_TYPE_CHANGED" { "type" } else { "kind" };
            let description = format!(
                "The {what} field at path '{path}' in the {{reader}} schema does not match its {its} in the {{writer}} schema"
            );
            self.report(kind, &description);
        }
        self.types(&new.nested, &old.nested, &format!("{path}/"));
    }
}

fn messages(types: &[Type]) -> impl Iterator<Item = &Message> {
    types.iter().filter_map(|one| match one {
        Type::Message(message) => Some(message),
        Type::Enum(_) => None,
    })
}

fn fields(message: &Message) -> impl Iterator<Item = &Field> {
    message.fields.iter().chain(message.oneofs.iter().flat_map(|oneof| &oneof.fields))
}

/// Kinds that are the same on the wire, so that one can be read as another.
#[derive(PartialEq, Eq)]
enum Group {
    Number,
    Zigzag,
    Bytes,
    Fixed32,
    Fixed64,
    Float,
    Double,
    Named(String),
}

fn group(field: &Field) -> Group {
    match field.kind.as_str() {
        "int32" | "int64" | "uint32" | "uint64" | "bool" => Group::Number,
        "sint32" | "sint64" => Group::Zigzag,
        "string" | "bytes" => Group::Bytes,
        "fixed32" | "sfixed32" => Group::Fixed32,
        "fixed64" | "sfixed64" => Group::Fixed64,
        "float" => Group::Float,
        "double" => Group::Double,
        // A map is a list of entries, whose type a descriptor names.
        map if map.starts_with("map<") => Group::Named(format!("{}Entry", field.name)),
        named => Group::Named(named.rsplit('.').next().unwrap_or(named).to_owned()),
    }
}
