//! The normal form of `.proto` files: full type names, everything sorted that has no order of its own.

use super::{Enum, Field, File, Message, Setting, Type, Types, Value};

pub(super) fn normalise(file: &mut File, known: &Types) {
    if file.syntax.as_deref() == Some("proto2") {
        file.syntax = None;
    }
    file.imports.sort();
    file.imports.dedup();
    file.public_imports.sort();
    settings(&mut file.options);
    file.types.iter_mut().for_each(|one| of_type(one, "", known));
    for extend in &mut file.extends {
        extend.name = full(&extend.name, "", known);
        fields(&mut extend.fields, "", known);
    }
    for service in &mut file.services {
        settings(&mut service.options);
        for call in &mut service.calls {
            call.request.1 = full(&call.request.1, "", known);
            call.response.1 = full(&call.response.1, "", known);
            settings(&mut call.options);
        }
    }
}

fn of_type(one: &mut Type, scope: &str, known: &Types) {
    match one {
        Type::Message(message) => of_message(message, scope, known),
        Type::Enum(choice) => of_enum(choice),
    }
}

fn of_message(message: &mut Message, scope: &str, known: &Types) {
    let scope = format!("{scope}.{}", message.name);
    split(&mut message.reserved);
    split(&mut message.extensions);
    settings(&mut message.options);
    fold_entries(message);
    fields(&mut message.fields, &scope, known);
    for oneof in &mut message.oneofs {
        settings(&mut oneof.options);
        fields(&mut oneof.fields, &scope, known);
    }
    message.groups.iter_mut().for_each(|group| fields(&mut group.fields, &scope, known));
    message.nested.iter_mut().for_each(|nested| of_type(nested, &scope, known));
}

/// Turns fields of map entries, as descriptors have them, into maps.
fn fold_entries(message: &mut Message) {
    let is_entry = |nested: &Type| match nested {
        Type::Message(inner) => inner.options.iter().any(|option| option.name == "map_entry"),
        Type::Enum(_) => false,
    };
    let entries: Vec<Message> = message
        .nested
        .extract_if(.., |nested| is_entry(nested))
        .filter_map(|entry| match entry {
            Type::Message(inner) => Some(inner),
            Type::Enum(_) => None,
        })
        .collect();
    for field in &mut message.fields {
        let entry = entries.iter().find(|entry| field.kind.rsplit('.').next() == Some(&entry.name));
        if let Some([key, value]) = entry.map(|entry| entry.fields.as_slice()) {
            field.kind = format!("map<{}, {}>", key.kind, value.kind);
            field.label = None;
        }
    }
}

fn of_enum(choice: &mut Enum) {
    split(&mut choice.reserved);
    settings(&mut choice.options);
    choice.constants.sort_by_key(|constant| constant.tag);
    choice.constants.iter_mut().for_each(|constant| settings(&mut constant.options));
}

/// A statement for every range.
fn split(statements: &mut Vec<Vec<String>>) {
    *statements = statements.drain(..).flatten().map(|range| vec![range]).collect();
}

fn fields(fields: &mut [Field], scope: &str, known: &Types) {
    fields.sort_by_key(|field| field.tag);
    for field in fields {
        field.kind = full(&field.kind, scope, known);
        let special = |option: &Setting| matches!(option.name.as_str(), "default" | "json_name");
        let (last, mut first): (Vec<_>, Vec<_>) = field.options.drain(..).partition(special);
        settings(&mut first);
        field.options = first.into_iter().chain(last).collect();
    }
}

fn full(name: &str, scope: &str, known: &Types) -> String {
    known.resolve(name, scope).unwrap_or_else(|| name.to_owned())
}

fn settings(options: &mut [Setting]) {
    for option in options.iter_mut() {
        simplify(&mut option.value);
    }
    options.sort_by(|left, right| left.name.cmp(&right.name));
}

/// A name behind a name becomes a map, a list of one its element.
fn simplify(value: &mut Value) {
    match value {
        Value::Inner(inner) => {
            simplify(&mut inner.value);
            *value = Value::Map(vec![(inner.name.clone(), inner.value.clone())]);
        }
        Value::Map(members) => {
            members.iter_mut().for_each(|(_, value)| simplify(value));
            members.sort_by(|left, right| left.0.cmp(&right.0));
        }
        Value::List(items) => {
            items.iter_mut().for_each(simplify);
            if items.len() == 1 {
                *value = items.remove(0);
            }
        }
        Value::Text(_) | Value::Word(_) => {}
    }
}
