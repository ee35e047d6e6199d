//! The GUID of a schema: one MD5 over everything that makes up its content (WIRE.md § 7.4).

use std::collections::BTreeMap;

use md5::{Digest, Md5};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::protocol::order;
use crate::protocol::schema::Reference;

/// Computes the GUID of a canonical text with its references, metadata and rule set.
///
/// `None` when metadata or rule set cannot be read; `null` counts as absent.
pub fn guid(
    text: &str,
    references: &[Reference],
    metadata: Option<&RawValue>,
    rule_set: Option<&RawValue>,
) -> Option<String> {
    let metadata: Option<Metadata> = read(metadata)?;
    let rule_set: Option<RuleSet> = read(rule_set)?;
    let mut hash = Md5::new();
    hash.update(text);
    for reference in references {
        hash.update(reference.name.as_deref().unwrap_or_default());
        hash.update(reference.subject.as_deref().unwrap_or_default());
        if let Some(version) = reference.version {
            hash.update(version.to_be_bytes());
        }
    }
    if let Some(metadata) = metadata {
        metadata.add_to(&mut hash);
    }
    if let Some(rule_set) = rule_set {
        rule_set.add_to(&mut hash);
    }
    let bytes: [u8; 16] = hash.finalize().into();
    Some(uuid::Uuid::from_bytes(bytes).to_string())
}

fn read<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<Option<T>> {
    match raw {
        None => Some(None),
        Some(raw) => serde_json::from_str(raw.get()).ok(),
    }
}

type Map<T> = BTreeMap<String, T>;

#[derive(Deserialize)]
struct Metadata {
    tags: Option<Map<Vec<String>>>,
    properties: Option<Map<String>>,
    sensitive: Option<Vec<String>>,
}

impl Metadata {
    fn add_to(self, hash: &mut Md5) {
        hash.update([1]);
        for (key, values) in in_order(self.tags) {
            hash.update(key);
            sorted(Some(values)).into_iter().for_each(|value| hash.update(value));
        }
        add_pairs(hash, self.properties);
        sorted(self.sensitive).into_iter().for_each(|name| hash.update(name));
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RuleSet {
    migration_rules: Option<Vec<Rule>>,
    domain_rules: Option<Vec<Rule>>,
    encoding_rules: Option<Vec<Rule>>,
    enable_at: Option<String>,
}

impl RuleSet {
    fn add_to(self, hash: &mut Md5) {
        hash.update([1]);
        let groups = [self.migration_rules, self.domain_rules, self.encoding_rules];
        groups.into_iter().flatten().flatten().for_each(|rule| rule.add_to(hash));
        hash.update(self.enable_at.unwrap_or_default());
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    name: Option<String>,
    doc: Option<String>,
    kind: Option<String>,
    mode: Option<String>,
    r#type: Option<String>,
    tags: Option<Vec<String>>,
    params: Option<Map<String>>,
    expr: Option<String>,
    on_success: Option<String>,
    on_failure: Option<String>,
    #[serde(default)]
    disabled: bool,
}

impl Rule {
    fn add_to(self, hash: &mut Md5) {
        let kind = self.kind.unwrap_or_else(|| "TRANSFORM".to_owned());
        let mode = self.mode.unwrap_or_else(|| "WRITEREAD".to_owned());
        for text in [self.name, self.doc, Some(kind), Some(mode), self.r#type].into_iter().flatten() {
            hash.update(text);
        }
        sorted(self.tags).into_iter().for_each(|tag| hash.update(tag));
        add_pairs(hash, self.params);
        [self.expr, self.on_success, self.on_failure].into_iter().flatten().for_each(|text| hash.update(text));
        if self.disabled {
            hash.update([1]);
        }
    }
}

fn add_pairs(hash: &mut Md5, pairs: Option<Map<String>>) {
    for (key, value) in in_order(pairs) {
        hash.update(key);
        hash.update(value);
    }
}

fn in_order<T>(map: Option<Map<T>>) -> Vec<(String, T)> {
    let mut pairs: Vec<_> = map.unwrap_or_default().into_iter().collect();
    pairs.sort_by(|left, right| order::compare(&left.0, &right.0));
    pairs
}

/// Java keeps these in sorted sets, so a repeated value counts once.
fn sorted(values: Option<Vec<String>>) -> Vec<String> {
    let mut values = values.unwrap_or_default();
    values.sort_by(|left, right| order::compare(left, right));
    values.dedup();
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).expect("valid JSON")
    }

    fn reference(name: &str, subject: &str, version: i32) -> Reference {
        Reference { name: Some(name.to_owned()), subject: Some(subject.to_owned()), version: Some(version) }
    }

    #[test]
    fn a_text_alone_is_hashed_as_it_is() {
        assert_eq!(guid("\"string\"", &[], None, None).as_deref(), Some("095d71cf-1255-6b9d-5e33-0ad575b3df5d"));
        assert_eq!(guid("", &[], None, None).as_deref(), Some("d41d8cd9-8f00-b204-e980-0998ecf8427e"));
    }

    #[test]
    fn empty_metadata_is_not_the_same_as_none() {
        let empty = raw("{}");
        let expected = Some("cecc02e2-232b-87f1-1b0c-aa0e70dbb74d");
        assert_eq!(guid("\"string\"", &[], Some(&empty), None).as_deref(), expected);
    }

    #[test]
    fn references_metadata_and_rules_all_count() {
        let metadata = raw(r#"{"properties":{"k":"v","a":"b"},"tags":{"t1":["PII"]},"sensitive":["k"]}"#);
        let rules = raw(
            r#"{"domainRules":[{"name":"r","doc":"d","kind":"CONDITION","mode":"WRITE","type":"CEL","tags":["x"],"params":{"p":"q"},"expr":"e","onSuccess":"NONE","onFailure":"ERROR","disabled":false}]}"#,
        );
        let found = guid("\"string\"", &[reference("n", "s", 1)], Some(&metadata), Some(&rules));
        assert_eq!(found.as_deref(), Some("31659d97-9824-7904-6d8d-9ad454dc0f5d"));
    }

    #[test]
    fn metadata_that_cannot_be_read_has_no_guid() {
        assert_eq!(guid("\"string\"", &[], Some(&raw(r#"{"tags":7}"#)), None), None);
        assert!(guid("\"string\"", &[], Some(&raw("null")), None).is_some());
    }
}
