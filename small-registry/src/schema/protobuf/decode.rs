//! A `FileDescriptorProto` as a file: what the registry takes in the place of a text.

use super::encode::{Kind, META, SCALARS, option_named};
use super::wire::{In, read};
use super::{Call, Constant, Enum, Extend, Field, File, Message, OneOf, Service, Setting, Type, Value};

type Fields = Vec<(u32, In)>;

fn texts(fields: &Fields, number: u32) -> impl Iterator<Item = String> {
    fields.iter().filter(move |(own, _)| *own == number).filter_map(|(_, value)| value.text())
}

fn text(fields: &Fields, number: u32) -> Option<String> {
    texts(fields, number).next()
}

fn number(fields: &Fields, number: u32) -> Option<i32> {
    fields.iter().find(|(own, _)| *own == number).and_then(|(_, value)| value.number())
}

fn messages(fields: &Fields, number: u32) -> impl Iterator<Item = Fields> {
    fields.iter().filter(move |(own, _)| *own == number).filter_map(|(_, value)| read(value.bytes()?))
}

/// Reads a descriptor; `None` for bytes that are none.
pub(super) fn decode(bytes: &[u8]) -> Option<File> {
    let fields = read(bytes)?;
    // Its first field is the name of the file, and it defines something.
    text(&fields, 1)?;
    fields.iter().find(|(number, _)| (4..=7).contains(number))?;
    let public: Vec<usize> =
        fields.iter().filter(|(own, _)| *own == 10).filter_map(|(_, index)| Some(index.number()? as usize)).collect();
    let mut file = File { syntax: text(&fields, 12), package: text(&fields, 2), ..File::default() };
    for (index, import) in texts(&fields, 3).enumerate() {
        let imports = if public.contains(&index) { &mut file.public_imports } else { &mut file.imports };
        imports.push(import);
    }
    file.types.extend(messages(&fields, 4).filter_map(|fields| message(&fields)).map(Type::Message));
    file.types.extend(messages(&fields, 5).filter_map(|fields| choice(&fields)).map(Type::Enum));
    file.services = messages(&fields, 6).filter_map(|fields| service(&fields)).collect();
    for fields in messages(&fields, 7) {
        let (Some(name), Some(one)) = (text(&fields, 2), field(&fields)) else { continue };
        match file.extends.iter_mut().find(|extend| extend.name == name) {
            Some(extend) => extend.fields.push(one),
            None => file.extends.push(Extend { name, fields: vec![one] }),
        }
    }
    file.options = file_options(&fields);
    Some(file)
}

/// Options of a file in the order in which the registry prints them.
fn file_options(fields: &Fields) -> Vec<Setting> {
    let mut options = options("", fields, 8, "file");
    let order = ["java_package", "java_outer_classname", "java_multiple_files", "go_package", "optimize_for"];
    options.sort_by_key(|option| order.iter().position(|name| *name == option.name).unwrap_or(order.len()));
    options
}

fn message(fields: &Fields) -> Option<Message> {
    let mut message = Message { name: text(fields, 1)?, ..Message::default() };
    let names: Vec<String> = messages(fields, 8).filter_map(|oneof| text(&oneof, 1)).collect();
    let mut oneofs: Vec<OneOf> =
        names.into_iter().map(|name| OneOf { name, options: Vec::new(), fields: Vec::new() }).collect();
    for fields in messages(fields, 2) {
        let Some(mut one) = field(&fields) else { continue };
        let index = number(&fields, 9).and_then(|index| usize::try_from(index).ok());
        match index.and_then(|index| oneofs.get_mut(index)) {
            // A field that says it is optional has a oneof of its own, which no text has.
            Some(oneof) if number(&fields, 17) != Some(1) => {
                one.label = None;
                oneof.fields.push(one);
            }
            _ => message.fields.push(one),
        }
    }
    message.oneofs = oneofs.into_iter().filter(|oneof| !oneof.fields.is_empty()).collect();
    message.nested.extend(messages(fields, 3).filter_map(|fields| self::message(&fields)).map(Type::Message));
    message.nested.extend(messages(fields, 4).filter_map(|fields| choice(&fields)).map(Type::Enum));
    let range = |fields: Fields| {
        let (start, end) = (number(&fields, 1)?, number(&fields, 2)?);
        Some(vec![match end {
            536_870_912 => format!("{start} to max"),
            end if end == start + 1 => start.to_string(),
            end => format!("{start} to {}", end - 1),
        }])
    };
    message.extensions = messages(fields, 5).filter_map(range).collect();
    message.reserved = messages(fields, 9).filter_map(range).collect();
    message.reserved.extend(texts(fields, 10).map(|name| vec![format!("\"{name}\"")]));
    message.options = options("message.", fields, 7, "message");
    Some(message)
}

fn field(fields: &Fields) -> Option<Field> {
    let kind = text(fields, 6).or_else(|| {
        let wanted = number(fields, 5)?;
        SCALARS.iter().find(|(_, own)| *own == i64::from(wanted)).map(|(name, _)| (*name).to_owned())
    })?;
    let label = match number(fields, 4) {
        Some(1) => Some("optional"),
        Some(2) => Some("required"),
        Some(3) => Some("repeated"),
        _ => None,
    };
    let mut options = options("field.", fields, 8, "field");
    options.sort_by(|left, right| left.name.cmp(&right.name));
    if let Some(default) = text(fields, 7) {
        let value = if kind == "string" { Value::Text(default) } else { Value::Word(default) };
        options.push(Setting { name: "default".to_owned(), value });
    }
    if let Some(name) = text(fields, 10) {
        options.push(Setting { name: "json_name".to_owned(), value: Value::Text(name) });
    }
    Some(Field { label: label.map(str::to_owned), kind, name: text(fields, 1)?, tag: number(fields, 3)?, options })
}

fn choice(fields: &Fields) -> Option<Enum> {
    let constant = |fields: Fields| {
        let options = options("constant.", &fields, 3, "enum_value");
        Some(Constant { name: text(&fields, 1)?, tag: number(&fields, 2)?, options })
    };
    let constants = messages(fields, 2).filter_map(constant).collect();
    let options = options("enum.", fields, 3, "enum");
    Some(Enum { name: text(fields, 1)?, reserved: Vec::new(), options, constants })
}

fn service(fields: &Fields) -> Option<Service> {
    let call = |fields: Fields| {
        let streams = |field| number(&fields, field) == Some(1);
        Some(Call {
            name: text(&fields, 1)?,
            request: (streams(5), text(&fields, 2)?),
            response: (streams(6), text(&fields, 3)?),
            options: options("rpc.", &fields, 4, "rpc"),
        })
    };
    Some(Service { name: text(fields, 1)?, options: Vec::new(), calls: messages(fields, 2).filter_map(call).collect() })
}

/// The options in a field of an element, with Confluent's metadata under the element's own name for it.
fn options(scope: &str, fields: &Fields, within: u32, element: &str) -> Vec<Setting> {
    let mut options = Vec::new();
    for (own, value) in messages(fields, within).flatten() {
        if own == META {
            let meta = value.bytes().and_then(read).unwrap_or_default();
            options.push(Setting { name: format!("(confluent.{element}_meta)"), value: meta_value(&meta) });
            continue;
        }
        let Some((name, kind)) = option_named(scope, own) else { continue };
        let value = match kind {
            Kind::Text => value.text().map(Value::Text),
            Kind::Flag => value.number().map(|number| Value::Word((number != 0).to_string())),
            Kind::Word(words) => {
                let index = value.number().and_then(|number| usize::try_from(number - 1).ok());
                index.and_then(|index| words.get(index)).map(|word| Value::Word((*word).to_owned()))
            }
        };
        options.extend(value.map(|value| Setting { name: name.to_owned(), value }));
    }
    options
}

fn meta_value(meta: &Fields) -> Value {
    let mut members = Vec::new();
    if let Some(doc) = text(meta, 1) {
        members.push(("doc".to_owned(), Value::Text(doc)));
    }
    let pair = |fields: Fields| {
        let part = |name: &str, number| (name.to_owned(), Value::Text(text(&fields, number).unwrap_or_default()));
        Value::Map(vec![part("key", 1), part("value", 2)])
    };
    let params: Vec<Value> = messages(meta, 2).map(pair).collect();
    if !params.is_empty() {
        members.push(("params".to_owned(), Value::List(params)));
    }
    Value::Map(members)
}
