//! Metadata and rule sets as requests bring them.

use std::collections::{BTreeMap, BTreeSet};

use schema_outpost::protocol::json::{Object, push_array, push_string};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::body::{cannot, no_constructor, text};
use crate::failure::{Failure, Outcome};
use crate::model::{Metadata, RuleSet};

/// Reads metadata; maps and sets come out sorted.
pub(crate) fn read(value: &Value) -> Outcome<Metadata> {
    let members = object(value, "Metadata")?;
    let part = |key: &str| members.get(key).filter(|value| !value.is_null());
    let tags = part("tags").map(|value| {
        let members = object(value, "Map")?;
        members.iter().map(|(key, values)| Ok((key.clone(), set(values)?))).collect::<Outcome<BTreeMap<_, _>>>()
    });
    let properties = part("properties").map(|value| {
        let members = object(value, "String>")?;
        members.iter().map(|(key, value)| Ok((key.clone(), text(value)?))).collect::<Outcome<BTreeMap<_, _>>>()
    });
    Ok(Metadata {
        tags: tags.transpose()?,
        properties: properties.transpose()?,
        sensitive: part("sensitive").map(set).transpose()?,
    })
}

fn set(value: &Value) -> Outcome<BTreeSet<String>> {
    match value {
        Value::Array(items) => items.iter().map(text).collect(),
        Value::String(text) => Err(no_constructor("HashSet", "String", &format!("String value ('{text}')"))),
        Value::Null => Ok(BTreeSet::new()),
        _ => Err(cannot("HashSet", "Object value (token `JsonToken.START_OBJECT`)")),
    }
}

fn object<'a>(value: &'a Value, class: &str) -> Outcome<&'a Map<String, Value>> {
    match value {
        Value::Object(members) => Ok(members),
        Value::String(text) => Err(no_constructor(class, "String", &format!("String value ('{text}')"))),
        Value::Array(_) => Err(cannot(class, "Array value (token `JsonToken.START_ARRAY`)")),
        _ => Err(cannot(class, "Object value (token `JsonToken.START_OBJECT`)")),
    }
}

const KINDS: &[&str] = &["CONDITION", "TRANSFORM"];
const MODES: &[&str] = &["DOWNGRADE", "READ", "UPGRADE", "UPDOWN", "WRITE", "WRITEREAD"];
const ENVIRONMENTS: &[&str] = &["NONE", "ALL", "SERVER", "GATEWAY", "CLIENT"];

/// Reads a rule set and prints it as the registry would.
pub(crate) fn read_rules(value: &Value) -> Outcome<RuleSet> {
    let members = object(value, "RuleSet")?;
    let mut out = Vec::new();
    let mut printed = Object::open(&mut out);
    for key in ["migrationRules", "domainRules", "encodingRules"] {
        let Some(Value::Array(rules)) = members.get(key) else { continue };
        let mut list = Vec::new();
        for rule in rules.iter().filter(|rule| !rule.is_null()) {
            list.push(print_rule(object(rule, "Rule")?)?);
        }
        if !list.is_empty() {
            push_array(printed.key(key), list, |out, rule| out.extend_from_slice(&rule));
        }
    }
    if let Some(environment) = members.get("enableAt").filter(|value| !value.is_null()) {
        printed.text("enableAt", Some(&one_of("ExecutionEnvironment", ENVIRONMENTS, environment)?));
    }
    printed.close();
    let raw = String::from_utf8(out).ok().and_then(|text| RawValue::from_string(text).ok());
    raw.map(RuleSet).ok_or_else(Failure::internal)
}

fn print_rule(members: &Map<String, Value>) -> Outcome<Vec<u8>> {
    let value = |key: &str| members.get(key).filter(|value| !value.is_null());
    let written = |key: &str| value(key).map(text).transpose();
    let choice = |key: &str, class: &str, known: &[&str], default: &str| {
        value(key).map_or(Ok(default.to_owned()), |value| one_of(class, known, value))
    };
    let mut out = Vec::new();
    let mut object = Object::open(&mut out);
    object.text("name", written("name")?.as_deref()).text("doc", written("doc")?.as_deref());
    object.text("kind", Some(&choice("kind", "RuleKind", KINDS, "TRANSFORM")?));
    object.text("mode", Some(&choice("mode", "RuleMode", MODES, "WRITEREAD")?));
    object.text("type", written("type")?.as_deref());
    if let Some(tags) = value("tags").map(set).transpose()?.filter(|tags| !tags.is_empty()) {
        push_array(object.key("tags"), tags, |out, tag| push_string(out, &tag));
    }
    if let Some(Value::Object(params)) = value("params").filter(|params| *params != &Value::Object(Map::new())) {
        let mut inner = Object::open(object.key("params"));
        let sorted: BTreeMap<_, _> = params.iter().collect();
        for (key, param) in sorted {
            push_string(inner.key(key), &text(param)?);
        }
        inner.close();
    }
    for key in ["expr", "onSuccess", "onFailure"] {
        object.text(key, written(key)?.as_deref());
    }
    object.flag("disabled", Some(value("disabled") == Some(&Value::Bool(true))));
    object.close();
    Ok(out)
}

pub(crate) fn one_of(class: &str, known: &[&str], value: &Value) -> Outcome<String> {
    let name = text(value)?;
    if known.contains(&name.as_str()) {
        return Ok(name);
    }
    Err(Failure::bad_request(format!(
        "Cannot deserialize value of type `{class}` from String \"{name}\": not one of the values accepted for Enum class: [{}]",
        known.join(", ")
    )))
}
