//! Canonical texts and GUIDs against what a real registry stored and answered.
//!
//! `tests/data/identity/` holds every distinct pair of the recorded transcripts: schemas as they were
//! sent without normalisation (by request or by configuration) with the text that came back, and schemas
//! as printed with their GUIDs. `mutants.jsonl.gz` holds thousands of odd spellings of those schemas with what
//! Java's own Avro and Jackson make of them; the README beside it says how.

use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::GzDecoder;
use proptest::prelude::*;
use schema_outpost::protocol::identity::{Canonical, canonical, guid, normalized};
use schema_outpost::protocol::schema::{Reference, SchemaType};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    at: String,
    schema_type: String,
    sent: String,
    #[serde(default)]
    references: Vec<Reference>,
    stored: String,
}

impl Sent {
    /// The recording of a text does not say what its references lead to; in the transcripts they go by the
    /// names of the types that they define.
    fn referenced(&self) -> Vec<String> {
        let define = |name: &String| format!(r#"{{"type":"fixed","name":"{name}","size":1}}"#);
        self.references.iter().filter_map(|reference| reference.name.as_ref().map(define)).collect()
    }

    fn canonical(&self, text: &str) -> Canonical {
        let referenced = self.referenced();
        let referenced: Vec<&str> = referenced.iter().map(String::as_str).collect();
        canonical(&SchemaType::parse(Some(&self.schema_type)), text, &referenced)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Printed {
    schema: String,
    guid: String,
    #[serde(default)]
    references: Vec<Reference>,
    metadata: Option<Box<RawValue>>,
    rule_set: Option<Box<RawValue>>,
}

proptest! {
    #[test]
    fn no_text_is_too_odd_to_be_looked_at(text in ".{0,60}|[{}\\[\\]\",:a-z0-9.eE\\\\ -]{0,60}") {
        for schema_type in [SchemaType::Avro, SchemaType::Json] {
            if let Canonical::Certain(printed) = canonical(&schema_type, &text, &[]) {
                prop_assert_eq!(canonical(&schema_type, &printed, &[]), Canonical::Certain(printed.clone()));
            }
        }
    }

    #[test]
    fn a_json_schema_says_the_same_before_and_after(title in ".{0,20}", limit in -1_000_000..1_000_000_i64, nested in ".{0,8}") {
        let sent = serde_json::json!({ "title": title, "properties": { nested: { "minimum": limit } } });
        let Canonical::Certain(printed) = canonical(&SchemaType::Json, &format!("{sent:#}"), &[]) else {
            return Err(TestCaseError::fail("an ordinary schema is certain"));
        };
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).expect("it is JSON"), sent);
    }
}

fn lines<T: for<'de> Deserialize<'de>>(corpus: &str) -> Vec<T> {
    corpus.lines().map(|line| serde_json::from_str(line).expect("the corpus is JSON, a value a line")).collect()
}

#[test]
fn a_text_that_is_certain_is_the_one_that_the_registry_stored() {
    let corpus: Vec<Sent> = lines(include_str!("data/identity/canonical.jsonl"));
    let mut certain = 0;
    for pair in &corpus {
        match pair.canonical(&pair.sent) {
            Canonical::Certain(text) => {
                assert_eq!(text, pair.stored, "exchange {}", pair.at);
                certain += 1;
            }
            Canonical::Unsure => println!("unsure of exchange {}: {}", pair.at, pair.sent),
        }
    }
    println!("{certain} of {} texts are certain", corpus.len());
    assert!(certain * 100 >= corpus.len() * 95, "only {certain} of {} texts are certain", corpus.len());
}

#[test]
fn a_stored_text_is_its_own_canonical_text() {
    for pair in lines::<Sent>(include_str!("data/identity/canonical.jsonl")) {
        if let Canonical::Certain(text) = pair.canonical(&pair.stored) {
            assert_eq!(text, pair.stored, "exchange {}", pair.at);
        }
    }
}

#[test]
fn every_printed_schema_has_the_guid_that_the_rule_gives() {
    for printed in lines::<Printed>(include_str!("data/identity/guids.jsonl")) {
        let (metadata, rules) = (printed.metadata.as_deref(), printed.rule_set.as_deref());
        let found = guid(&printed.schema, &printed.references, metadata, rules);
        assert_eq!(found.as_ref(), Some(&printed.guid), "{}", printed.schema);
    }
}

/// A schema, and then its spellings.
#[derive(Deserialize)]
struct Line {
    base: Option<Base>,
    #[serde(default)]
    how: Vec<String>,
    #[serde(default)]
    sent: String,
    stored: Option<String>,
    normal: Option<String>,
    #[serde(default, deserialize_with = "present")]
    older: Option<Option<String>>,
}

/// A member that is there says something even if it is null.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Base {
    schema_type: String,
    references: Vec<Referenced>,
}

#[derive(Clone, Deserialize)]
struct Referenced {
    schema: String,
}

#[test]
fn what_is_certain_of_an_odd_spelling_is_what_java_stores_for_it() {
    let mut corpus = String::new();
    let packed = &include_bytes!("data/identity/mutants.jsonl.gz")[..];
    GzDecoder::new(packed).read_to_string(&mut corpus).expect("the corpus is UTF-8");
    let (mut base, mut wrong) = (None, Vec::new());
    let (mut all, mut stored, mut certain, mut normal_ones) = (0, 0, 0, 0);
    let mut unsure: BTreeMap<String, usize> = BTreeMap::new();
    for line in lines::<Line>(&corpus) {
        if line.base.is_some() {
            base = line.base;
            continue;
        }
        let base = base.as_ref().expect("a schema comes before its spellings");
        all += 1;
        stored += usize::from(line.stored.is_some());
        let schema_type = SchemaType::parse(Some(&base.schema_type));
        let referenced: Vec<&str> = base.references.iter().map(|reference| reference.schema.as_str()).collect();
        let verdict = canonical(&schema_type, &line.sent, &referenced);
        if let Canonical::Certain(text) = normalized(&schema_type, &line.sent) {
            let normal = line.normal.as_ref().or(line.stored.as_ref()).filter(|_| line.older.is_none());
            assert_eq!(Some(&text), normal, "normalised {}", line.sent);
            normal_ones += 1;
        }
        match verdict {
            Canonical::Certain(text) if Some(&text) == line.stored.as_ref() && line.older.is_none() => certain += 1,
            Canonical::Certain(text) => {
                wrong.push(format!(
                    "{:?}\n  sent   {}\n  ours   {text}\n  stored {:?}\n  older  {:?}",
                    line.how, line.sent, line.stored, line.older
                ));
            }
            Canonical::Unsure if line.stored.is_some() => *unsure.entry(line.how.join(" ")).or_default() += 1,
            Canonical::Unsure => {}
        }
    }
    assert!(wrong.is_empty(), "{} of {all}:\n{}", wrong.len(), wrong.join("\n"));
    println!(
        "{certain} of {all} spellings are certain, {stored} would be stored; most often unsure after {:?}",
        most(&unsure)
    );
    assert!(all >= 5_000 && normal_ones >= 500, "only {all} spellings, {normal_ones} normalised");
    assert!(certain * 100 >= stored * 65, "only {certain} of {stored} spellings that Java stores are certain");
}

fn most(counted: &BTreeMap<String, usize>) -> Vec<(&String, &usize)> {
    let mut all: Vec<_> = counted.iter().collect();
    all.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    all.truncate(12);
    all
}
