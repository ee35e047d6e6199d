//! Thousands of odd spellings of the transcripts' schemas, looked up and registered again: what the outpost
//! answers is what the primary answers, or that it cannot say.
//!
//! The small registry reads Avro with the outpost's own reader, so it cannot judge that. What was answered without
//! a call, because the text was certain, is therefore also held to `tests/data/identity/mutants.jsonl.gz`, where Java's own libraries have judged:
//! nothing that they refuse is found, and the text found is the one that they store.

use std::io::Read;

use flate2::read::GzDecoder;
use schema_outpost::protocol::identity::{Canonical, canonical};
use schema_outpost::protocol::schema::SchemaType;
use serde::Deserialize;
use serde_json::{Value, json};
use small_registry::{Profile, Seen, SmallRegistry};

use crate::house::House;

#[derive(Clone, Deserialize)]
struct Known {
    name: String,
    schema: String,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Base {
    schema_type: String,
    schema: String,
    references: Vec<Known>,
}

#[derive(Deserialize)]
struct Line {
    base: Option<Base>,
    #[serde(default)]
    sent: String,
    stored: Option<String>,
}

/// A schema with its spellings, each with the text that Java stores for it.
struct Family {
    base: Base,
    spellings: Vec<(String, Option<String>)>,
}

fn families() -> Vec<Family> {
    let mut corpus = String::new();
    let packed = &include_bytes!("../data/identity/mutants.jsonl.gz")[..];
    GzDecoder::new(packed).read_to_string(&mut corpus).expect("the corpus is UTF-8");
    let mut families: Vec<Family> = Vec::new();
    for line in corpus.lines() {
        let line: Line = serde_json::from_str(line).expect("a value a line");
        match (line.base, families.last_mut()) {
            (Some(base), _) => families.push(Family { base, spellings: Vec::new() }),
            (None, Some(family)) => family.spellings.push((line.sent, line.stored)),
            (None, None) => panic!("a schema comes before its spellings"),
        }
    }
    families
}

/// A die with a memory: the same throws every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % end
    }

    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

const SUBJECTS: usize = 24;
const CONTEXTS: [&str; 3] = ["", ":.c:", ":.d:"];
const METADATA: &str = r#"{"properties":{"owner":"us"},"tags":{"a":["PII","X"]}}"#;

const RULES: &str = r#"{"domainRules":[{"name":"r","kind":"CONDITION","type":"CEL","mode":"WRITE","expr":"true"}]}"#;

/// Where a family is registered, and how.
fn place(at: usize) -> String {
    format!("{}s{}", CONTEXTS[at / SUBJECTS % 3], at % SUBJECTS)
}

fn registration(family: &Family, at: usize, schema: &str) -> Value {
    let references: Vec<Value> = family
        .base
        .references
        .iter()
        .enumerate()
        .map(|(index, known)| json!({ "name": known.name, "subject": format!("ref-{at}-{index}"), "version": 1 }))
        .collect();
    json!({ "schemaType": family.base.schema_type, "schema": schema, "references": references })
}

fn with_rules(mut body: Value) -> Value {
    body["ruleSet"] = serde_json::from_str(RULES).expect("JSON");
    body
}

fn put(house: &House, method: &str, target: &str, body: &Value) -> bool {
    house.primary.ask(method, target, Some(&body.to_string())).status == 200
}

/// Every family in its place, some with metadata, some deleted again; some places normalise, some have another name.
fn fill(house: &House, families: &[Family]) -> usize {
    for scope in ["/config", "/config/:.c:", "/config/:.d:"] {
        put(house, "PUT", scope, &json!({ "compatibility": "NONE" }));
    }
    let mut registered = 0;
    for (at, family) in families.iter().enumerate() {
        let context = CONTEXTS[at / SUBJECTS % 3];
        for (index, known) in family.base.references.iter().enumerate() {
            let earlier: Vec<Value> = family.base.references[..index]
                .iter()
                .enumerate()
                .map(|(index, known)| json!({ "name": known.name, "subject": format!("ref-{at}-{index}"), "version": 1 }))
                .collect();
            let body = json!({ "schemaType": family.base.schema_type, "schema": known.schema, "references": earlier });
            put(house, "POST", &format!("/subjects/{context}ref-{at}-{index}/versions"), &body);
        }
        let target = format!("/subjects/{}/versions", place(at));
        let mut body = registration(family, at, &family.base.schema);
        registered += usize::from(put(house, "POST", &target, &body));
        if at % 5 == 0 {
            body["metadata"] = serde_json::from_str(METADATA).expect("JSON");
            put(house, "POST", &target, &body);
        }
        if at % 11 == 0 {
            put(house, "POST", &target, &with_rules(registration(family, at, &family.base.schema)));
        }
        // Spellings that mean nearly the same lie side by side, so that it is easy to find the wrong one.
        let others = family.spellings.iter().filter(|(_, stored)| stored.is_some()).step_by(2);
        for (sent, _) in others {
            registered += usize::from(put(house, "POST", &target, &registration(family, at, sent)));
        }
        if at % 7 == 0 {
            put(house, "DELETE", &format!("/subjects/{}/versions/latest", place(at)), &json!({}));
        }
        if at % 13 == 0 {
            // The same content under the same name elsewhere.
            put(
                house,
                "POST",
                &format!("/subjects/:.c:s{}/versions", at % SUBJECTS),
                &registration(family, at, &family.base.schema),
            );
        }
    }
    put(house, "PUT", "/config/s3", &json!({ "compatibility": "NONE", "normalize": true }));
    put(house, "PUT", "/config/:.c:s4", &json!({ "compatibility": "NONE", "normalize": true }));
    put(
        house,
        "PUT",
        "/config/s5",
        &json!({ "compatibility": "NONE", "defaultMetadata": { "properties": { "owner": "us" } } }),
    );
    for subject in [1, 3, 6] {
        put(house, "PUT", &format!("/config/nick{subject}"), &json!({ "alias": format!("s{subject}") }));
    }
    registered
}

/// A question, and Java's verdict on its text.
struct Question {
    target: String,
    body: Value,
    stored: Option<String>,
    /// Whether the outpost takes itself to know the text that is stored: nobody normalises it, and it is certain.
    is_certain: bool,
}

impl Question {
    fn is_registration(&self) -> bool {
        self.target.contains("/versions?")
    }
}

/// Whether the place is one that may be told to normalise.
fn is_normalised(subject: &str) -> bool {
    matches!(subject, "s3" | ":.c:s4")
}

fn question(dice: &mut Dice, family: &Family, at: usize, (sent, stored): &(String, Option<String>)) -> Question {
    let own = place(at);
    let bare = format!("s{}", at % SUBJECTS);
    let subject = match dice.below(12) {
        0 => bare,
        1 => format!("nick{}", at % SUBJECTS),
        2 => format!(":.d:{bare}"),
        3 => format!("s{}", dice.below(SUBJECTS)),
        _ => own,
    };
    let mut query: Vec<&str> = Vec::new();
    if dice.once_in(4) {
        query.push("deleted=true");
    }
    let normalize = dice.once_in(8);
    if normalize {
        query.push("normalize=true");
    }
    let mut body = registration(family, at, sent);
    match dice.below(10) {
        0 => body["metadata"] = serde_json::from_str(METADATA).expect("JSON"),
        1 => body["metadata"] = json!({ "tags": { "a": ["X", "PII", "X"] }, "properties": { "owner": "us" } }),
        2 => body["metadata"] = json!({}),
        3 if dice.once_in(2) => body = with_rules(body),
        _ => {}
    }
    // Only what is there already may be registered again, or the state would run away.
    let is_known = stored.is_some();
    let path = if is_known && dice.once_in(4) { "/versions" } else { "" };
    let may_be_normalised = normalize || is_normalised(&subject) || subject.starts_with("nick");
    let target = format!("/subjects/{subject}{path}?{}", query.join("&"));
    let referenced: Vec<&str> = family.base.references.iter().map(|known| known.schema.as_str()).collect();
    let schema_type = SchemaType::parse(Some(&family.base.schema_type));
    let is_certain = !may_be_normalised && canonical(&schema_type, sent, &referenced) != Canonical::Unsure;
    Question { target, body, stored: stored.clone(), is_certain }
}

fn is_asked(seen: &Seen) -> bool {
    seen.method == "POST" && !seen.path().starts_with("/associations")
}

/// What came of all the questions.
#[derive(Debug, Default)]
struct Tally {
    judges: bool,
    asked: usize,
    found: usize,
    free: usize,
    judged: usize,
}

/// Asks the outpost, then the registry itself, which must say the same, byte for byte.
async fn compare(house: &House, question: &Question, tally: &mut Tally) -> bool {
    let (target, body) = (&question.target, question.body.to_string());
    house.primary.forget_requests();
    let heard = house.ask("POST", target, &body).await;
    let was_free = house.primary.count(is_asked) == 0;
    let direct = house.primary.ask("POST", target, Some(&body));
    let context = || format!("{target} {body}\n{}\ninstead of {}", heard.body, direct.body);
    assert_eq!((heard.status, &heard.body), (direct.status, &direct.body), "{}", context());
    tally.asked += 1;
    tally.free += usize::from(was_free);
    tally.found += usize::from(heard.status == 200);
    if was_free && tally.judges && question.is_certain {
        tally.judged += 1;
        let said: Value = heard.json();
        // What has a time was found by its meaning, and then its text may be another one.
        let stored = question.stored.as_deref();
        assert!(
            stored.is_some() && (said["ts"].is_i64() || said["schema"].as_str() == stored),
            "{stored:?} {}",
            context()
        );
    }
    heard.status == 200
}

/// Changes something that answers may depend on, through the outpost.
async fn disturb(house: &House, dice: &mut Dice) {
    let subject = format!("{}s{}", CONTEXTS[dice.below(3)], dice.below(SUBJECTS));
    let normalize = json!({ "normalize": dice.once_in(2) }).to_string();
    match dice.below(5) {
        0 => house.ask("DELETE", &format!("/subjects/{subject}/versions/latest"), "").await,
        1 => house.ask("DELETE", &format!("/subjects/{subject}"), "").await,
        2 if is_normalised(&subject) => house.ask("PUT", &format!("/config/{subject}"), &normalize).await,
        3 => {
            house
                .ask("PUT", &format!("/config/nick{}", dice.below(SUBJECTS)), &json!({ "alias": subject }).to_string())
                .await
        }
        _ => house.register(&subject, &dice.below(1000).to_string()).await,
    };
}

#[tokio::test]
async fn no_spelling_is_ever_answered_with_another_schema() {
    let (tally, again, known) = ask_a_registry_of(Profile::Confluent8, families()).await;
    println!("first {tally:?}, again {again:?}, with the primary away {known} are still answered");
    assert!(tally.asked >= 5_000 && tally.free >= 500 && tally.judged >= 500, "{tally:?}");
    assert!(again.free * 2 >= again.asked, "{again:?}");
    assert!(known >= 800, "{known}");
}

#[tokio::test]
async fn nor_is_it_before_a_registry_that_keeps_rules_or_one_that_says_less() {
    for profile in [Profile::Cloud, Profile::Confluent7] {
        let mut families = families();
        families.iter_mut().for_each(|family| family.spellings.truncate(6));
        let (tally, again, known) = ask_a_registry_of(profile, families).await;
        println!("{profile:?}: first {tally:?}, again {again:?}, with the primary away {known} are still answered");
        assert!(tally.free >= 100 && again.free * 3 >= again.asked && known >= 200, "{tally:?} {again:?} {known}");
    }
}

/// Puts every spelling to an outpost before such a registry, many of them twice, with changes in between.
async fn ask_a_registry_of(profile: Profile, families: Vec<Family>) -> (Tally, Tally, usize) {
    let house = House::with(SmallRegistry::builder().profile(profile), |_| {}).await;
    let registered = fill(&house, &families);
    assert!(registered > 500, "only {registered} schemas could be registered");
    house.imported().await;
    let (mut dice, mut tally, mut again) = (Dice(0x5eed_cafe), Tally::default(), Tally::default());
    // Only a whole answer shows whether a schema was found by its text.
    tally.judges = profile == Profile::Confluent8;
    again.judges = tally.judges;
    let mut questions: Vec<Question> = Vec::new();
    let mut found: Vec<usize> = Vec::new();
    for (at, family) in families.iter().enumerate() {
        for spelling in &family.spellings {
            let question = question(&mut dice, family, at, spelling);
            if compare(&house, &question, &mut tally).await {
                found.push(questions.len());
            }
            questions.push(question);
            if !found.is_empty() && dice.once_in(2) {
                compare(&house, &questions[found[dice.below(found.len())]], &mut again).await;
            }
            if dice.once_in(40) {
                disturb(&house, &mut dice).await;
            }
        }
    }
    let known = with_the_primary_away(&house, &questions).await;
    (tally, again, known)
}

/// Asks everything once more without the primary; returns how much was answered.
async fn with_the_primary_away(house: &House, questions: &[Question]) -> usize {
    let directly = |question: &Question| house.primary.ask("POST", &question.target, Some(&question.body.to_string()));
    // What was deleted meanwhile is registered anew, and then the registry has come to rest.
    let (registrations, lookups): (Vec<_>, Vec<_>) = questions.iter().partition(|question| question.is_registration());
    registrations.iter().for_each(|question| drop(directly(question)));
    let expected: Vec<_> =
        registrations.into_iter().chain(lookups).map(|question| (question, directly(question))).collect();
    house.imported().await;
    house.primary.stop().await;
    let mut known = 0;
    for (question, expected) in expected {
        let heard = house.ask("POST", &question.target, &question.body.to_string()).await;
        if (heard.status, heard.json()["error_code"].as_i64()) == (500, Some(50003)) {
            continue;
        }
        let same = heard.body == expected.body;
        assert!(
            same && heard.status == 200,
            "{} {}\n{}\ninstead of {}",
            question.target,
            question.body,
            heard.body,
            expected.body
        );
        known += 1;
    }
    known
}
