//! Request bodies, read as tolerantly as the registry reads them (WIRE.md § 0.5).

use schema_outpost::protocol::schema::Reference;
use serde_json::{Map, Value};

use crate::failure::{Failure, Outcome};
use crate::metadata;
use crate::model::{Metadata, RuleSet};

/// What a body is read as: Java's name of the type, and of the argument that must not be null.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub(crate) class: &'static str,
    pub(crate) argument: &'static str,
}

/// The members of a JSON object, their values coerced as Jackson does.
#[derive(Clone, Debug)]
pub(crate) struct Members(Map<String, Value>);

impl Members {
    pub(crate) fn read(body: Option<&[u8]>, expected: Expected) -> Outcome<Self> {
        match parse(body.unwrap_or_default())? {
            Value::Null => Err(Failure::null_argument(expected.argument)),
            Value::Object(members) => Ok(Self(members)),
            Value::Array(_) => Err(cannot(expected.class, "Array value (token `JsonToken.START_ARRAY`)")),
            Value::String(text) if text.is_empty() => Err(Failure::bad_request(format!(
                "Cannot coerce empty String (\"\") to `{}` value (but could if coercion was enabled using `CoercionConfig`)",
                expected.class
            ))),
            Value::String(text) => Err(no_constructor(expected.class, "String", &format!("String value ('{text}')"))),
            Value::Number(number) => {
                Err(no_constructor(expected.class, "int/Int", &format!("Number value ({number})")))
            }
            Value::Bool(value) => {
                Err(no_constructor(expected.class, "boolean/Boolean", &format!("Boolean value ({value})")))
            }
        }
    }

    /// The members of a value inside a body.
    pub(crate) fn of(value: &Value, class: &'static str) -> Outcome<Self> {
        match value {
            Value::Object(members) => Ok(Self(members.clone())),
            Value::Array(_) => Err(cannot(class, "Array value (token `JsonToken.START_ARRAY`)")),
            _ => Err(cannot(class, "String value (token `JsonToken.VALUE_STRING`)")),
        }
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    pub(crate) fn text(&self, key: &str) -> Outcome<Option<String>> {
        self.get(key).map(text).transpose()
    }

    pub(crate) fn flag(&self, key: &str) -> Outcome<Option<bool>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(Value::Number(number)) => Ok(Some(number.as_f64() != Some(0.0))),
            Some(Value::String(text)) => match text.trim().to_ascii_lowercase().as_str() {
                "" => Ok(None),
                "true" => Ok(Some(true)),
                "false" => Ok(Some(false)),
                _ => Err(Failure::bad_request(format!(
                    "Cannot deserialize value of type `Boolean` from String \"{text}\": only \"true\" or \"false\" recognized"
                ))),
            },
            Some(Value::Array(_)) => Err(cannot("Boolean", "Array value (token `JsonToken.START_ARRAY`)")),
            Some(_) => Err(cannot("Boolean", "Object value (token `JsonToken.START_OBJECT`)")),
        }
    }

    pub(crate) fn number(&self, key: &str) -> Outcome<Option<i32>> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => number(value),
        }
    }

    pub(crate) fn metadata(&self, key: &str) -> Outcome<Option<Metadata>> {
        self.get(key).map(metadata::read).transpose()
    }

    pub(crate) fn rule_set(&self, key: &str) -> Outcome<Option<RuleSet>> {
        self.get(key).map(metadata::read_rules).transpose()
    }

    pub(crate) fn references(&self) -> Outcome<Vec<Reference>> {
        match self.get("references") {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items.iter().map(reference).collect(),
            Some(Value::Object(_)) => Err(cannot("SchemaReference>", "Object value (token `JsonToken.START_OBJECT`)")),
            Some(_) => Err(cannot("SchemaReference>", "String value (token `JsonToken.VALUE_STRING`)")),
        }
    }
}

fn reference(value: &Value) -> Outcome<Reference> {
    // A null in the list reaches code that does not expect it.
    let Value::Object(members) = value else { return Err(Failure::internal()) };
    let members = Members(members.clone());
    Ok(Reference {
        name: members.text("name")?,
        subject: members.text("subject")?,
        version: members.number("version")?,
    })
}

/// A value read as text: Jackson takes any scalar.
pub(crate) fn text(value: &Value) -> Outcome<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Array(_) => Err(cannot("String", "Array value (token `JsonToken.START_ARRAY`)")),
        Value::Object(_) => Err(cannot("String", "Object value (token `JsonToken.START_OBJECT`)")),
        Value::Null => Err(Failure::internal()),
    }
}

fn number(value: &Value) -> Outcome<Option<i32>> {
    let whole = match value {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|float| float as i64)),
        Value::String(text) if text.trim().is_empty() => return Ok(None),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    match (whole.map(i32::try_from), value) {
        (Some(Ok(number)), _) => Ok(Some(number)),
        (_, Value::Number(number)) => Err(Failure::bad_request(format!(
            "Numeric value ({number}) out of range of int (-2147483648 - 2147483647)"
        ))),
        (_, Value::String(text)) => Err(Failure::bad_request(format!(
            "Cannot deserialize value of type `Integer` from String \"{text}\": not a valid `java.lang.Integer` value"
        ))),
        (_, Value::Array(_)) => Err(cannot("Integer", "Array value (token `JsonToken.START_ARRAY`)")),
        (_, Value::Bool(_)) => Err(cannot("Integer", "Boolean value (token `JsonToken.VALUE_TRUE`)")),
        _ => Err(cannot("Integer", "Object value (token `JsonToken.START_OBJECT`)")),
    }
}

pub(crate) fn cannot(class: &str, from: &str) -> Failure {
    Failure::bad_request(format!("Cannot deserialize value of type `{class}` from {from}"))
}

pub(crate) fn no_constructor(class: &str, kind: &str, from: &str) -> Failure {
    Failure::bad_request(format!(
        "Cannot construct instance of `{class}` (although at least one Creator exists): \
         no {kind}-argument constructor/factory method to deserialize from {from}"
    ))
}

/// Reads a body; nothing at all counts as null.
pub(crate) fn parse(body: &[u8]) -> Outcome<Value> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if let Err(error) = std::str::from_utf8(body) {
        let byte = body.get(error.valid_up_to()).copied().unwrap_or_default();
        return Err(Failure::bad_request(format!("Invalid UTF-8 start byte 0x{byte:x}")));
    }
    if body.trim_ascii().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(body).map_err(|error| syntax(body, &error))
}

/// Jackson's words for what should not have begun a value.
fn token(text: &str, error: &serde_json::Error, trailing: bool) -> Option<Failure> {
    let line = text.lines().nth(error.line().checked_sub(1)?)?;
    let rest = line.get(error.column().checked_sub(1)?..)?;
    let first = rest.chars().next()?;
    let word: String = rest.chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect();
    let message = match first {
        '{' | '[' if trailing => {
            let kind = if first == '{' { "START_OBJECT" } else { "START_ARRAY" };
            format!(
                "Trailing token (of type {kind}) found after value (bound as `RegisterSchemaRequest`): not allowed as per \
                 `DeserializationFeature.FAIL_ON_TRAILING_TOKENS`"
            )
        }
        '/' => "Unexpected character ('/' (code 47)): maybe a (non-standard) comment? (not recognized as one since \
                Feature 'ALLOW_COMMENTS' not enabled for parser)"
            .to_owned(),
        _ if word.is_empty() => return None,
        _ => format!(
            "Unrecognized token '{word}': was expecting (JSON String, Number (or 'NaN'/'+INF'/'-INF'), Array, Object \
             or token 'null', 'true' or 'false')"
        ),
    };
    Some(Failure::bad_request(message))
}

/// Jackson's words for the commonest mistakes; for others something that is at least a 400.
fn syntax(body: &[u8], error: &serde_json::Error) -> Failure {
    let text = String::from_utf8_lossy(body);
    if error.is_eof() {
        let what = if text.trim_start().starts_with('[') { "Array" } else { "Object" };
        return Failure::bad_request(format!(
            "Unexpected end-of-input: expected close marker for {what} (start marker at [Source: REDACTED \
             (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, column: 1])"
        ));
    }
    let trailing = error.to_string().starts_with("trailing characters");
    if (trailing || error.to_string().starts_with("expected value"))
        && let Some(failure) = token(&text, error, trailing)
    {
        return failure;
    }
    let line = text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
    let at = error.column().saturating_sub(1).min(line.len().saturating_sub(1));
    let wrong = line.get(at..).and_then(|rest| rest.chars().next()).unwrap_or(' ');
    let wanted = match error.to_string() {
        message if message.starts_with("key must be") || message.starts_with("trailing comma") => {
            "was expecting double-quote to start field name"
        }
        message if message.starts_with("expected `:`") => "was expecting a colon to separate field name and value",
        message if message.starts_with("expected `,`") => "was expecting comma to separate Object entries",
        _ => "expected a valid value (JSON String, Number, Array, Object or token 'null', 'true' or 'false')",
    };
    let code = u32::from(wrong);
    Failure::bad_request(format!("Unexpected character ('{wrong}' (code {code})): {wanted}"))
}
