//! The registry's own layout of `.proto` files.

use super::{Call, Enum, Field, File, Group, Message, OneOf, Service, Setting, Type, Value};

pub(super) fn print(file: &File) -> String {
    let mut out = String::new();
    if let Some(syntax) = &file.syntax {
        out += &format!("syntax = \"{syntax}\";\n");
    }
    if let Some(package) = &file.package {
        out += &format!("package {package};\n");
    }
    let imports = file.imports.iter().map(|import| format!("import \"{import}\";\n"));
    let public = file.public_imports.iter().map(|import| format!("import public \"{import}\";\n"));
    section(&mut out, imports.chain(public));
    section(&mut out, file.options.iter().map(option_statement));
    section(&mut out, types(&file.types));
    let extends = file.extends.iter().map(|extend| {
        let mut out = format!("extend {} {{\n", extend.name);
        extend.fields.iter().for_each(|one| indent(&mut out, &field(one)));
        out + "}\n"
    });
    section(&mut out, extends);
    section(&mut out, file.services.iter().map(service));
    out
}

/// A blank line, then the parts; nothing if there are none.
fn section(out: &mut String, parts: impl Iterator<Item = String>) {
    let parts: String = parts.collect();
    if !parts.is_empty() {
        out.push('\n');
        out.push_str(&parts);
    }
}

/// The same, indented.
fn inner_section(out: &mut String, parts: impl Iterator<Item = String>) {
    let mut parts = parts.peekable();
    if parts.peek().is_some() {
        out.push('\n');
        parts.for_each(|part| indent(out, &part));
    }
}

/// Blank lines are indented too, as the registry does.
fn indent(out: &mut String, text: &str) {
    for line in text.trim_end_matches('\n').split('\n') {
        *out += &format!("  {line}\n");
    }
}

/// Messages first, then enums, each kind in its own order.
fn types(types: &[Type]) -> impl Iterator<Item = String> {
    let messages = types.iter().filter_map(|one| match one {
        Type::Message(inner) => Some(message(inner)),
        Type::Enum(_) => None,
    });
    let enums = types.iter().filter_map(|one| match one {
        Type::Enum(inner) => Some(choice(inner)),
        Type::Message(_) => None,
    });
    messages.chain(enums)
}

fn message(message: &Message) -> String {
    let mut out = format!("message {} {{", message.name);
    inner_section(&mut out, message.reserved.iter().map(|ranges| format!("reserved {};\n", ranges.join(", "))));
    inner_section(&mut out, message.options.iter().map(option_statement));
    inner_section(&mut out, message.fields.iter().map(field));
    inner_section(&mut out, message.oneofs.iter().map(one_of));
    inner_section(&mut out, message.groups.iter().map(group));
    inner_section(&mut out, message.extensions.iter().map(|ranges| format!("extensions {};\n", ranges.join(", "))));
    inner_section(&mut out, types(&message.nested));
    out + "}\n"
}

fn field(field: &Field) -> String {
    let label = field.label.as_ref().map_or(String::new(), |label| format!("{label} "));
    format!("{label}{} {} = {}{};\n", field.kind, field.name, field.tag, options(&field.options))
}

fn one_of(oneof: &OneOf) -> String {
    let mut out = format!("oneof {} {{", oneof.name);
    inner_section(&mut out, oneof.options.iter().map(option_statement));
    inner_section(&mut out, oneof.fields.iter().map(field));
    out + "}\n"
}

fn group(group: &Group) -> String {
    let label = group.label.as_ref().map_or(String::new(), |label| format!("{label} "));
    let mut out = format!("{label}group {} = {} {{\n", group.name, group.tag);
    group.fields.iter().for_each(|one| indent(&mut out, &field(one)));
    out + "}\n"
}

fn choice(choice: &Enum) -> String {
    let mut out = format!("enum {} {{\n", choice.name);
    choice.reserved.iter().for_each(|ranges| indent(&mut out, &format!("reserved {};\n", ranges.join(", "))));
    choice.options.iter().for_each(|option| indent(&mut out, &option_statement(option)));
    for constant in &choice.constants {
        indent(&mut out, &format!("{} = {}{};\n", constant.name, constant.tag, options(&constant.options)));
    }
    out + "}\n"
}

fn service(service: &Service) -> String {
    let mut out = format!("service {} {{", service.name);
    inner_section(&mut out, service.options.iter().map(option_statement));
    inner_section(&mut out, service.calls.iter().map(call));
    out + "}\n"
}

fn call(call: &Call) -> String {
    let kind = |(streams, kind): &(bool, String)| format!("{}{kind}", if *streams { "stream " } else { "" });
    let head = format!("rpc {} ({}) returns ({})", call.name, kind(&call.request), kind(&call.response));
    if call.options.is_empty() {
        return head + ";\n";
    }
    let mut out = head + " {\n";
    call.options.iter().for_each(|option| indent(&mut out, &option_statement(option)));
    out + "};\n"
}

fn option_statement(option: &Setting) -> String {
    format!("option {};\n", setting(option))
}

fn options(options: &[Setting]) -> String {
    match options {
        [] => String::new(),
        [one] => format!(" [{}]", setting(one)),
        several => {
            let mut out = " [\n".to_owned();
            for (index, one) in several.iter().enumerate() {
                let comma = if index + 1 < several.len() { "," } else { "" };
                indent(&mut out, &format!("{}{comma}", setting(one)));
            }
            out + "]"
        }
    }
}

fn setting(option: &Setting) -> String {
    match &option.value {
        Value::Inner(inner) => format!("{}.{}", option.name, setting(inner)),
        value => format!("{} = {}", option.name, printed(value)),
    }
}

fn printed(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("\"{}\"", escaped(text)),
        Value::Word(word) => word.clone(),
        Value::Inner(inner) => setting(inner),
        Value::Map(members) => {
            let mut out = "{\n".to_owned();
            for (index, (name, value)) in members.iter().enumerate() {
                let comma = if index + 1 < members.len() { "," } else { "" };
                indent(&mut out, &format!("{name}: {}{comma}", printed(value)));
            }
            out + "}"
        }
        Value::List(items) => {
            let mut out = "[\n".to_owned();
            for (index, value) in items.iter().enumerate() {
                let comma = if index + 1 < items.len() { "," } else { "" };
                indent(&mut out, &format!("{}{comma}", printed(value)));
            }
            out + "]"
        }
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other => out.push(other),
        }
    }
    out
}
