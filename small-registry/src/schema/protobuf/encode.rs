//! A file as a `FileDescriptorProto`, the way the registry makes one for `format=serialized`.

use super::wire::Out;
use super::{Enum, Extend, Field, File, Message, Service, Setting, Type, Types, Value};

/// The largest number of a range, where it ends in `max`; ends are exclusive.
const MAX: i64 = 536_870_912;

/// The numbers of the options that are known, and the kind of their values.
const OPTIONS: [(&str, i64, Kind); 13] = [
    ("java_package", 1, Kind::Text),
    ("java_outer_classname", 8, Kind::Text),
    ("optimize_for", 9, Kind::Word(&["SPEED", "CODE_SIZE", "LITE_RUNTIME"])),
    ("java_multiple_files", 10, Kind::Flag),
    ("go_package", 11, Kind::Text),
    ("message.deprecated", 3, Kind::Flag),
    ("message.map_entry", 7, Kind::Flag),
    ("field.packed", 2, Kind::Flag),
    ("field.deprecated", 3, Kind::Flag),
    ("enum.allow_alias", 2, Kind::Flag),
    ("enum.deprecated", 3, Kind::Flag),
    ("constant.deprecated", 1, Kind::Flag),
    ("rpc.deprecated", 33, Kind::Flag),
];

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    Flag,
    /// Constants, the first of which is number 1.
    Word(&'static [&'static str]),
}

/// The option `name` of a scope such as `field.`.
pub(super) fn known_option(scope: &str, name: &str) -> Option<(i64, Kind)> {
    let wanted = format!("{scope}{name}");
    OPTIONS.iter().find(|(known, ..)| *known == wanted).map(|(_, number, kind)| (*number, *kind))
}

/// The option with a number in a scope.
pub(super) fn option_named(scope: &str, number: u32) -> Option<(&'static str, Kind)> {
    let fits = |name: &str| match name.strip_prefix(scope) {
        Some(rest) => !rest.contains('.'),
        None => false,
    };
    let found = OPTIONS.iter().find(|(name, own, _)| *own == i64::from(number) && fits(name));
    found.map(|(name, _, kind)| (&name[scope.len()..], *kind))
}

/// The number of the metadata that Confluent adds to every kind of element.
pub(super) const META: u32 = 1088;

pub(super) fn encode(file: &File, types: &Types) -> Vec<u8> {
    let mut out = Out::default();
    out.text(1, "default");
    if let Some(package) = &file.package {
        out.text(2, package);
    }
    file.imports.iter().chain(&file.public_imports).for_each(|import| {
        out.text(3, import);
    });
    for one in &file.types {
        if let Type::Message(inner) = one {
            out.bytes(4, &message(inner, "", types));
        }
    }
    for one in &file.types {
        if let Type::Enum(inner) = one {
            out.bytes(5, &choice(inner));
        }
    }
    file.services.iter().for_each(|one| {
        out.bytes(6, &service(one));
    });
    for Extend { name, fields } in &file.extends {
        fields.iter().for_each(|one| {
            out.bytes(7, &field(one, Place { extendee: Some(name), ..Place::in_scope("") }, types));
        });
    }
    if !file.options.is_empty() {
        out.bytes(8, &options("", &file.options));
    }
    for index in file.imports.len()..file.imports.len() + file.public_imports.len() {
        out.number(10, index as i64);
    }
    if let Some(syntax) = &file.syntax {
        out.text(12, syntax);
    }
    out.0
}

fn message(message: &Message, scope: &str, types: &Types) -> Vec<u8> {
    let scope = format!("{scope}.{}", message.name);
    let mut out = Out::default();
    out.text(1, &message.name);
    for (index, oneof) in message.oneofs.iter().enumerate() {
        for one in &oneof.fields {
            let place = Place { oneof: Some(index), ..Place::in_scope(&scope) };
            out.bytes(2, &field(one, place, types));
        }
    }
    let mut implied = Vec::new();
    let mut entries = Vec::new();
    for one in &message.fields {
        let is_optional = one.label.as_deref() == Some("optional") && types.is_proto3;
        let oneof = is_optional.then(|| message.oneofs.len() + implied.len());
        if is_optional {
            implied.push(format!("_{}", one.name));
        }
        let place = Place { oneof, is_optional, ..Place::in_scope(&scope) };
        match entry(one) {
            Some(entry) => {
                let mut plain = Out::default();
                plain.text(1, &one.name).number(3, one.tag.into()).number(4, 3).text(6, &entry.name);
                out.bytes(2, &plain.0);
                entries.push(entry);
            }
            None => {
                out.bytes(2, &field(one, place, types));
            }
        }
    }
    let nested = message.nested.iter().filter_map(|one| match one {
        Type::Message(inner) => Some(inner),
        Type::Enum(_) => None,
    });
    for inner in nested.chain(&entries) {
        out.bytes(3, &self::message(inner, &scope, types));
    }
    for one in &message.nested {
        if let Type::Enum(inner) = one {
            out.bytes(4, &choice(inner));
        }
    }
    rest_of_message(&mut out, message, &implied);
    out.0
}

fn rest_of_message(out: &mut Out, message: &Message, implied: &[String]) {
    for (start, end) in message.extensions.iter().flatten().filter_map(|range| ends(range)) {
        let mut range = Out::default();
        range.number(1, start).number(2, end).bytes(3, &[]);
        out.bytes(5, &range.0);
    }
    if !message.options.is_empty() {
        out.bytes(7, &options("message.", &message.options));
    }
    for name in message.oneofs.iter().map(|oneof| &oneof.name).chain(implied) {
        let mut oneof = Out::default();
        oneof.text(1, name).bytes(2, &[]);
        out.bytes(8, &oneof.0);
    }
    for (start, end) in message.reserved.iter().flatten().filter_map(|range| ends(range)) {
        let mut range = Out::default();
        range.number(1, start).number(2, end);
        out.bytes(9, &range.0);
    }
    for name in message.reserved.iter().flatten().filter(|range| range.starts_with('"')) {
        out.text(10, name.trim_matches('"'));
    }
}

/// The message that a map field stands for.
fn entry(field: &Field) -> Option<Message> {
    let (key, value) = field.kind.strip_prefix("map<")?.strip_suffix('>')?.split_once(", ")?;
    let plain = |name: &str, kind: &str, tag| Field {
        label: None,
        kind: kind.to_owned(),
        name: name.to_owned(),
        tag,
        options: Vec::new(),
    };
    let map_entry = Setting { name: "map_entry".to_owned(), value: Value::Word("true".to_owned()) };
    Some(Message {
        name: format!("{}Entry", field.name),
        fields: vec![plain("key", key, 1), plain("value", value, 2)],
        options: vec![map_entry],
        ..Message::default()
    })
}

/// Start and exclusive end of `20`, `30 to 35` or `100 to max`; names are no ranges.
fn ends(range: &str) -> Option<(i64, i64)> {
    match range.split_once(" to ") {
        None => range.parse().ok().map(|start: i64| (start, start + 1)),
        Some((start, "max")) => Some((start.parse().ok()?, MAX)),
        Some((start, end)) => Some((start.parse().ok()?, end.parse::<i64>().ok()? + 1)),
    }
}

/// Where a field stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    scope: &'a str,
    extendee: Option<&'a String>,
    oneof: Option<usize>,
    is_optional: bool,
}

impl<'a> Place<'a> {
    fn in_scope(scope: &'a str) -> Self {
        Self { scope, extendee: None, oneof: None, is_optional: false }
    }
}

/// Scalar kinds by their numbers.
pub(super) const SCALARS: [(&str, i64); 15] = [
    ("double", 1),
    ("float", 2),
    ("int64", 3),
    ("uint64", 4),
    ("int32", 5),
    ("fixed64", 6),
    ("fixed32", 7),
    ("bool", 8),
    ("string", 9),
    ("bytes", 12),
    ("uint32", 13),
    ("sfixed32", 15),
    ("sfixed64", 16),
    ("sint32", 17),
    ("sint64", 18),
];

fn field(field: &Field, place: Place<'_>, types: &Types) -> Vec<u8> {
    let mut out = Out::default();
    out.text(1, &field.name);
    if let Some(extendee) = place.extendee {
        out.text(2, extendee);
    }
    out.number(3, field.tag.into());
    match field.label.as_deref() {
        Some("required") => {
            out.number(4, 2);
        }
        Some("repeated") => {
            out.number(4, 3);
        }
        Some(_) => {
            out.number(4, 1);
        }
        None if place.oneof.is_some() => {
            out.number(4, 1);
        }
        None => {}
    }
    match SCALARS.iter().find(|(name, _)| *name == field.kind) {
        Some((_, number)) => {
            out.number(5, *number);
        }
        None => {
            let kind = if types.is_enum(&field.kind, place.scope) { 14 } else { 11 };
            out.number(5, kind).text(6, &field.kind);
        }
    }
    let special = |name: &str| field.options.iter().find(|option| option.name == name).map(|option| &option.value);
    if let Some(Value::Text(default) | Value::Word(default)) = special("default") {
        out.text(7, default);
    }
    let is_special = |option: &&Setting| matches!(option.name.as_str(), "default" | "json_name");
    let others: Vec<Setting> = field.options.iter().filter(|option| !is_special(option)).cloned().collect();
    if !others.is_empty() {
        out.bytes(8, &options("field.", &others));
    }
    if let Some(index) = place.oneof {
        out.number(9, index as i64);
    }
    if let Some(Value::Text(name)) = special("json_name") {
        out.text(10, name);
    }
    if place.is_optional {
        out.number(17, 1);
    }
    out.0
}

fn choice(choice: &Enum) -> Vec<u8> {
    let mut out = Out::default();
    out.text(1, &choice.name);
    for constant in &choice.constants {
        let mut inner = Out::default();
        inner.text(1, &constant.name).number(2, constant.tag.into());
        if !constant.options.is_empty() {
            inner.bytes(3, &options("constant.", &constant.options));
        }
        out.bytes(2, &inner.0);
    }
    if !choice.options.is_empty() {
        out.bytes(3, &options("enum.", &choice.options));
    }
    out.0
}

fn service(service: &Service) -> Vec<u8> {
    let mut out = Out::default();
    out.text(1, &service.name);
    for call in &service.calls {
        let mut inner = Out::default();
        inner.text(1, &call.name).text(2, &call.request.1).text(3, &call.response.1);
        if !call.options.is_empty() {
            inner.bytes(4, &options("rpc.", &call.options));
        }
        inner.number(5, call.request.0.into()).number(6, call.response.0.into());
        out.bytes(2, &inner.0);
    }
    out.0
}

/// Known options by their numbers, then Confluent's metadata.
fn options(scope: &str, options: &[Setting]) -> Vec<u8> {
    let mut known: Vec<(i64, Kind, &Value)> = Vec::new();
    for option in options {
        if let Some((number, kind)) = known_option(scope, &option.name) {
            known.push((number, kind, &option.value));
        }
    }
    known.sort_by_key(|(number, ..)| *number);
    let mut out = Out::default();
    for (number, kind, value) in known {
        let number = u32::try_from(number).unwrap_or_default();
        match (kind, value) {
            (Kind::Text, Value::Text(text)) => {
                out.text(number, text);
            }
            (Kind::Flag, Value::Word(word)) => {
                out.number(number, (word == "true").into());
            }
            (Kind::Word(words), Value::Word(word)) => {
                let place = words.iter().position(|known| known == word).unwrap_or_default();
                out.number(number, place as i64 + 1);
            }
            _ => {}
        }
    }
    let metas =
        options.iter().filter(|option| option.name.starts_with("(confluent.") && option.name.ends_with("_meta)"));
    let mut meta = Out::default();
    metas.for_each(|option| add_meta(&mut meta, &option.value));
    if !meta.0.is_empty() {
        out.bytes(META, &meta.0);
    }
    out.0
}

/// `doc` and `params` of metadata.
fn add_meta(out: &mut Out, value: &Value) {
    match value {
        Value::Inner(inner) => add_member(out, &inner.name, &inner.value),
        Value::Map(members) => members.iter().for_each(|(name, value)| add_member(out, name, value)),
        _ => {}
    }
}

fn add_member(out: &mut Out, name: &str, value: &Value) {
    match (name, value) {
        ("doc", Value::Text(doc)) => {
            out.text(1, doc);
        }
        ("params", Value::List(items)) => items.iter().for_each(|item| add_member(out, name, item)),
        ("params", Value::Map(pair)) => {
            let part = |wanted: &str| match pair.iter().find(|(name, _)| name == wanted) {
                Some((_, Value::Text(text))) => text.clone(),
                _ => String::new(),
            };
            let mut inner = Out::default();
            inner.text(1, &part("key")).text(2, &part("value"));
            out.bytes(2, &inner.0);
        }
        _ => {}
    }
}
