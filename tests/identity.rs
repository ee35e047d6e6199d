//! Canonical texts and GUIDs against what a real registry stored and answered.
//!
//! `tests/data/identity/` holds every distinct pair of the recorded transcripts: schemas as they were
//! sent without normalisation (by request or by configuration) with the text that came back, and schemas
//! as printed with their GUIDs.

use schema_outpost::protocol::identity::{Canonical, canonical, guid};
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

fn lines<T: for<'de> Deserialize<'de>>(corpus: &str) -> Vec<T> {
    corpus.lines().map(|line| serde_json::from_str(line).expect("the corpus is JSON, a value a line")).collect()
}

#[test]
fn a_text_that_is_certain_is_the_one_that_the_registry_stored() {
    let corpus: Vec<Sent> = lines(include_str!("data/identity/canonical.jsonl"));
    let mut certain = 0;
    for pair in &corpus {
        let schema_type = SchemaType::parse(Some(&pair.schema_type));
        match canonical(&schema_type, &pair.sent, &pair.references) {
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
        let schema_type = SchemaType::parse(Some(&pair.schema_type));
        if let Canonical::Certain(text) = canonical(&schema_type, &pair.stored, &pair.references) {
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
