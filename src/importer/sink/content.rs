//! What two registries must agree in about a version, whatever order or layout each prints it in.

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::protocol::json::push_string;
use crate::protocol::schema::Version;

/// Stands for type, text, references, metadata and rules of a version. The registries' own GUIDs would not do:
/// those before 8.0 have none, and none of them counts the type.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Content([u8; 16]);

impl Content {
    pub(super) fn of(version: &Version) -> Self {
        let mut hashed = Context::new(&SHA256);
        let mut part = |text: &str| {
            hashed.update(&(text.len() as u64).to_le_bytes());
            hashed.update(text.as_bytes());
        };
        part(version.schema_type.as_str());
        part(&version.text);
        for raw in [&version.references, &version.metadata, &version.rule_set] {
            part(&canonical_text(raw.as_ref()));
        }
        let mut content = [0; 16];
        content.copy_from_slice(&hashed.finish().as_ref()[..16]);
        Self(content)
    }

    pub(super) fn bytes(self) -> [u8; 16] {
        self.0
    }

    pub(super) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Content({:02x}{:02x})", self.0[0], self.0[1])
    }
}

/// Nothing where there is nothing; an empty object is something, and makes another schema (WIRE.md § 7.4).
fn canonical_text(raw: Option<&Arc<RawValue>>) -> String {
    let Some(raw) = raw else { return String::new() };
    match serde_json::from_str::<Value>(raw.get()) {
        Ok(value) => canonical(&value),
        Err(_) => raw.get().to_owned(),
    }
}

/// JSON with its keys in order. What is null or an empty list inside is as good as absent: registries differ in
/// whether they print it.
pub(super) fn canonical(value: &Value) -> String {
    let mut out = Vec::new();
    push(&mut out, value);
    String::from_utf8(out).expect("BUG: JSON is printed as UTF-8")
}

fn push(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().filter(|(_, value)| says_something(value)).collect();
            members.sort_by_key(|(key, _)| *key);
            out.push(b'{');
            for (at, (key, value)) in members.into_iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                push_string(out, key);
                out.push(b':');
                push(out, value);
            }
            out.push(b'}');
        }
        Value::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                push(out, item);
            }
            out.push(b']');
        }
        Value::String(text) => push_string(out, text),
        other => out.extend_from_slice(other.to_string().as_bytes()),
    }
}

fn says_something(value: &Value) -> bool {
    !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::schema::Listed;

    fn content(members: &str) -> Content {
        let text = format!(r#"{{"version":1,"id":1,"schema":"x"{members}}}"#);
        Content::of(&serde_json::from_str::<Listed>(&text).expect("a version").version)
    }

    #[test]
    fn the_layout_of_what_is_printed_does_not_count() {
        for (one, other) in [
            (r#","references":[]"#, ""),
            (r#","schemaType":"AVRO""#, ""),
            (r#","metadata":null"#, ""),
            (r#","metadata":{"properties":{"a":"1","b":"2"}}"#, r#","metadata":{"properties":{"b":"2","a":"1"}}"#),
            (
                r#","ruleSet":{"migrationRules":[],"domainRules":[{"name":"r"}]}"#,
                r#","ruleSet":{"domainRules":[{"name":"r","doc":null}]}"#,
            ),
            (r#","ts":1,"guid":"g","deleted":true"#, ""),
        ] {
            assert_eq!(content(one), content(other), "{one}");
        }
    }

    #[test]
    fn everything_that_makes_another_schema_counts() {
        let all = [
            "",
            r#","schemaType":"JSON""#,
            r#","metadata":{}"#,
            r#","metadata":{"properties":{"a":"1"}}"#,
            r#","metadata":{"properties":{"a":"2"}}"#,
            r#","ruleSet":{"domainRules":[{"name":"r"}]}"#,
            r#","references":[{"name":"n","subject":"s","version":1}]"#,
            r#","references":[{"name":"n","subject":"s","version":2}]"#,
            r#","references":[{"name":"n","subject":"s","version":2},{"name":"m","subject":"s","version":2}]"#,
            r#","references":[{"name":"m","subject":"s","version":2},{"name":"n","subject":"s","version":2}]"#,
        ];
        let contents: std::collections::HashSet<Content> = all.iter().map(|members| content(members)).collect();
        assert_eq!(contents.len(), all.len());
    }
}
