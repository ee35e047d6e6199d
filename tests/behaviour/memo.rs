//! The memo of what the primary answered about a schema: the second client that sends it is free (WIRE.md § 7.2).

use serde_json::{Value, json};
use small_registry::{Fault, Seen, SmallRegistry};

use crate::house::{Heard, House};

const AVRO: &str =
    r#"{"type":"record","name":"R","zz":1,"aa":2,"fields":[{"name":"rate","type":"double","default":1}]}"#;
const JSON: &str = r#"{"type":"object","properties":{"b":{"type":"string"},"a":{"type":"number","minimum":1.0}}}"#;
const PROTOBUF: &str = "syntax = \"proto3\";\n// mine\nmessage  M { string a=1; }";

fn body(schema_type: &str, schema: &str) -> Value {
    json!({ "schemaType": schema_type, "schema": schema })
}

/// Lookups and registrations: what an importer asks for in between is not counted.
fn is_asked(seen: &Seen) -> bool {
    seen.method == "POST" && !seen.path().contains("batchGet")
}

/// What is heard, and how often the primary was asked for it.
async fn ask(house: &House, target: &str, body: &Value) -> (Heard, usize) {
    house.primary.forget_requests();
    let heard = house.ask("POST", target, &body.to_string()).await;
    (heard, house.primary.count(is_asked))
}

/// Asks twice, and demands that the second time is free and says the same.
async fn free_the_second_time(house: &House, target: &str, body: &Value) -> Heard {
    let (first, _) = ask(house, target, body).await;
    assert_eq!(first.status, 200, "{target}: {}", first.body);
    let (second, calls) = ask(house, target, body).await;
    assert_eq!((second.status, &second.body, calls), (200, &first.body, 0), "{target}");
    assert_eq!(second.header("Content-Type"), first.header("Content-Type"));
    second
}

#[tokio::test]
async fn the_second_client_that_looks_a_schema_up_costs_no_call() {
    let house = House::open().await;
    for (schema_type, schema) in [("AVRO", AVRO), ("JSON", JSON), ("PROTOBUF", PROTOBUF)] {
        let subject = schema_type.to_lowercase();
        let sent = body(schema_type, schema);
        house.primary.ask("POST", &format!("/subjects/{subject}/versions?normalize=true"), Some(&sent.to_string()));
        house.primary.ask("POST", &format!("/subjects/{subject}/versions"), Some(&sent.to_string()));
    }
    house.imported().await;
    for (schema_type, schema) in [("AVRO", AVRO), ("JSON", JSON), ("PROTOBUF", PROTOBUF)] {
        let (subject, sent) = (schema_type.to_lowercase(), body(schema_type, schema));
        for query in ["", "?normalize=true", "?deleted=true", "?normalize=true&deleted=true", "?format=resolved"] {
            let target = format!("/subjects/{subject}{query}");
            let heard = free_the_second_time(&house, &target, &sent).await;
            let direct = house.primary.ask("POST", &target, Some(&sent.to_string()));
            assert_eq!(heard.body, direct.body, "{target}");
        }
    }
}

#[tokio::test]
async fn the_second_producer_that_registers_a_schema_costs_no_call() {
    let house = House::open().await;
    for (schema_type, schema) in [("AVRO", AVRO), ("JSON", JSON), ("PROTOBUF", PROTOBUF)] {
        for query in ["", "?normalize=true", "?normalize=false"] {
            let target = format!("/subjects/{}{}/versions{query}", schema_type.to_lowercase(), query.len());
            let heard = free_the_second_time(&house, &target, &body(schema_type, schema)).await;
            let direct = house.primary.ask("POST", &target, Some(&body(schema_type, schema).to_string()));
            assert_eq!(heard.body, direct.body, "{target}");
        }
    }
}

#[tokio::test]
async fn a_producer_is_recognised_however_its_request_is_spelled() {
    let house = House::open().await;
    let (first, _) = ask(&house, "/subjects/p/versions?normalize=true", &body("PROTOBUF", PROTOBUF)).await;
    let spelled =
        json!({ "references": [], "schema": PROTOBUF, "metadata": null, "version": 0, "schemaType": "PROTOBUF" });
    let (second, calls) = ask(&house, "/subjects/%70/versions/?x=%20&normalize=TRUE", &spelled).await;
    assert_eq!((second.status, calls > 0), (200, true), "a parameter that nobody knows is the primary's");
    let (second, calls) = ask(&house, "/subjects/%70/versions/?normalize=TRUE", &spelled).await;
    assert_eq!((second.body, calls), (first.body, 0));
}

/// A house in which a lookup is remembered, to be answered again by `target`.
async fn remembered(target: &str, sent: &Value) -> (House, Heard) {
    let house = House::with(SmallRegistry::builder(), |_| {}).await;
    house.primary.ask("POST", "/subjects/far/versions", Some(&registered("far").to_string()));
    house.imported().await;
    let heard = free_the_second_time(&house, target, sent).await;
    (house, heard)
}

fn registered(subject: &str) -> Value {
    match subject {
        "s" => json!({
            "schemaType": "AVRO",
            "schema": r#"{"type":"record","name":"S","fields":[{"name":"b","type":"Base"}]}"#,
            "references": [{ "name": "Base", "subject": "base", "version": 1 }],
        }),
        "base" => body("AVRO", r#"{"type":"record","name":"Base","fields":[]}"#),
        _ => body("AVRO", r#"{"type":"record","name":"Far","fields":[]}"#),
    }
}

#[tokio::test]
async fn what_is_remembered_dies_with_any_change_that_it_could_depend_on() {
    let sent = registered("s");
    let another = json!({ "schema": r#"{"type":"record","name":"Another","fields":[]}"# });
    let none = r#"{"compatibility":"NONE"}"#.to_owned();
    let target = "/subjects/s?normalize=true";
    let changes: [(&str, &str, String, bool); 12] = [
        ("POST", "/subjects/s/versions", another.to_string(), true),
        ("POST", "/subjects/base/versions", another.to_string(), true),
        ("POST", "/subjects/:.c:s/versions", another.to_string(), true),
        ("DELETE", "/subjects/:.c:s", String::new(), true),
        ("PUT", "/config/s", r#"{"normalize":true}"#.to_owned(), true),
        ("PUT", "/config", r#"{"normalize":true}"#.to_owned(), true),
        ("PUT", "/config/:.__GLOBAL:", r#"{"compatibility":"NONE"}"#.to_owned(), true),
        ("POST", "/subjects/far/versions", another.to_string(), false),
        ("PUT", "/config/far", none.clone(), false),
        ("POST", "/subjects/:.c:t/versions", another.to_string(), false),
        ("PUT", "/config/:.d:", none.clone(), false),
        ("DELETE", "/subjects/far", String::new(), false),
    ];
    for (method, path, payload, kills) in changes {
        let house = House::open().await;
        for subject in ["base", "s", ":.c:s", "far"] {
            let free = json!({ "compatibility": "NONE" }).to_string();
            house.primary.ask("PUT", &format!("/config/{subject}"), Some(&free));
            let target = format!("/subjects/{subject}/versions");
            let answer =
                house.primary.ask("POST", &target, Some(&registered(subject.trim_start_matches(":.c:")).to_string()));
            assert!(answer.status == 200 || subject == ":.c:s", "{}", answer.body);
        }
        house.primary.ask(
            "POST",
            "/subjects/:.c:s/versions",
            Some(&another.to_string().replace("Another", "Elsewhere")),
        );
        house.imported().await;
        let before = free_the_second_time(&house, target, &sent).await;
        let changed = house.ask(method, path, &payload).await;
        assert_eq!(changed.status, 200, "{method} {path}: {}", changed.body);
        let (after, calls) = ask(&house, target, &sent).await;
        assert_eq!((after.body, calls), (before.body, usize::from(kills)), "{method} {path}");
    }
}

#[tokio::test]
async fn what_was_deleted_is_not_remembered_to_be_there() {
    let (house, _) = remembered("/subjects/far?normalize=true", &registered("far")).await;
    assert_eq!(house.ask("DELETE", "/subjects/far/versions/1", "").await.body, "1");
    let (heard, calls) = ask(&house, "/subjects/far?normalize=true", &registered("far")).await;
    assert_eq!((heard.status, heard.code(), calls), (404, 40401, 1), "{}", heard.body);
    let deleted = free_the_second_time(&house, "/subjects/far?normalize=true&deleted=true", &registered("far")).await;
    assert_eq!(deleted.json()["version"], 1);
}

#[tokio::test]
async fn what_another_outpost_changes_is_seen_after_the_next_pass() {
    let (house, before) = remembered("/subjects/far?normalize=true", &registered("far")).await;
    house.primary.ask("DELETE", "/subjects/far", None);
    house.primary.ask("POST", "/subjects/far/versions", Some(&registered("far").to_string()));
    house.imported().await;
    let (after, _) = ask(&house, "/subjects/far?normalize=true", &registered("far")).await;
    assert_eq!(after.json()["version"], 2, "{}", after.body);
    assert_ne!(before.body, after.body);
}

#[tokio::test]
async fn what_was_remembered_is_answered_with_the_primary_away() {
    let house = House::open().await;
    let lookup = "/subjects/p?normalize=true";
    let registration = "/subjects/p/versions?normalize=true";
    let sent = body("PROTOBUF", PROTOBUF);
    let registered = free_the_second_time(&house, registration, &sent).await;
    let found = free_the_second_time(&house, lookup, &sent).await;
    house.primary.stop().await;
    for (target, before) in [(registration, &registered), (lookup, &found)] {
        let heard = house.ask("POST", target, &sent.to_string()).await;
        assert_eq!((heard.status, &heard.body), (200, &before.body), "{target}");
    }
    for (target, sent) in [(lookup, body("JSON", PROTOBUF)), ("/subjects/q?normalize=true", sent.clone())] {
        assert_eq!(house.ask("POST", target, &sent.to_string()).await.code(), 50003, "{target}");
    }
    assert!(house.ask("POST", lookup, &sent.to_string()).await.header("Age").is_some());
}

#[tokio::test]
async fn that_a_schema_is_not_there_is_not_remembered() {
    let house = House::open().await;
    let sent = body("AVRO", AVRO);
    house.primary.ask("POST", "/subjects/s/versions", Some(&body("AVRO", "\"int\"").to_string()));
    house.imported().await;
    assert_eq!(ask(&house, "/subjects/s?normalize=true", &sent).await.0.code(), 40403);
    house.primary.ask("PUT", "/config/s", Some(r#"{"compatibility":"NONE"}"#));
    house.primary.ask("POST", "/subjects/s/versions?normalize=true", Some(&sent.to_string()));
    let patience = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while ask(&house, "/subjects/s?normalize=true", &sent).await.0.status != 200 {
        assert!(tokio::time::Instant::now() < patience, "it is remembered as absent");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_registration_to_which_the_configuration_adds_something_is_always_the_primarys() {
    let house = House::open().await;
    let added = json!({ "defaultMetadata": { "properties": { "owner": "us" } } });
    assert_eq!(house.ask("PUT", "/config/s", &added.to_string()).await.status, 200);
    house.imported().await;
    for _ in 0..3 {
        let (heard, calls) = ask(&house, "/subjects/s/versions", &body("AVRO", AVRO)).await;
        assert_eq!((heard.status, calls), (200, 1), "{}", heard.body);
    }
}

#[tokio::test]
async fn what_a_configuration_in_doubt_makes_of_a_schema_is_the_primarys_to_say() {
    let house = House::open().await;
    let sent = registered("far");
    for subject in ["far", "other"] {
        house.primary.ask("POST", &format!("/subjects/{subject}/versions"), Some(&sent.to_string()));
    }
    house.imported().await;
    let targets = [
        "/subjects/far",
        "/subjects/far/versions",
        "/subjects/far?normalize=true",
        "/subjects/far/versions?normalize=true",
    ];
    for target in targets {
        free_the_second_time(&house, target, &sent).await;
    }
    let is_config = |seen: &Seen| seen.method == "GET" && seen.path().starts_with("/config");
    house.primary.fault_where(is_config, None, Fault::error(500, 50001, "Store"));
    assert_eq!(house.ask("PUT", "/config/far", r#"{"normalize":true}"#).await.status, 200);
    for target in targets {
        let (heard, calls) = ask(&house, target, &sent).await;
        assert_eq!((heard.status, calls), (200, 1), "{target}: {}", heard.body);
        let other = target.replace("far", "other");
        free_the_second_time(&house, &other, &sent).await;
    }
    house.primary.clear_faults();
    house.imported().await;
    for target in targets {
        free_the_second_time(&house, target, &sent).await;
    }
}

#[tokio::test]
async fn who_has_nothing_to_do_with_a_configuration_in_doubt_does_not_suffer_from_it_in_an_outage() {
    let house = House::open().await;
    let sent = registered("far");
    for subject in ["far", "other"] {
        house.primary.ask("POST", &format!("/subjects/{subject}/versions"), Some(&sent.to_string()));
    }
    house.imported().await;
    let is_config = |seen: &Seen| seen.method == "GET" && seen.path().starts_with("/config");
    house.primary.fault_where(is_config, None, Fault::error(500, 50001, "Store"));
    assert_eq!(house.ask("PUT", "/config/far", r#"{"normalize":true}"#).await.status, 200);
    house.primary.stop().await;
    for path in ["", "/versions"] {
        let (far, other) = (format!("/subjects/far{path}"), format!("/subjects/other{path}"));
        assert_eq!(house.ask("POST", &far, &sent.to_string()).await.code(), 50003, "{far}");
        assert_eq!(house.ask("POST", &other, &sent.to_string()).await.status, 200, "{other}");
    }
}

#[tokio::test]
async fn after_a_write_of_unknown_outcome_the_primary_is_asked_again() {
    let house =
        House::with(SmallRegistry::builder(), |config| config.limits.write = std::time::Duration::from_millis(600))
            .await;
    let sent = registered("far");
    house.primary.ask("POST", "/subjects/far/versions", Some(&sent.to_string()));
    house.imported().await;
    free_the_second_time(&house, "/subjects/far?normalize=true", &sent).await;
    let is_delete = |seen: &Seen| seen.method == "DELETE";
    house.primary.fault_where(is_delete, Some(1), Fault::CutAfterAct);
    assert_eq!(house.ask("DELETE", "/subjects/far", "").await.code(), 50002);
    // A connection that was cut makes the primary pass for away until it has answered something else.
    assert_eq!(house.get("/subjects/nosuch/versions").await.status, 404);
    let (heard, _) = ask(&house, "/subjects/far?normalize=true", &sent).await;
    assert_eq!((heard.status, heard.code()), (404, 40401), "{}", heard.body);
    let (again, _) = ask(&house, "/subjects/far/versions?normalize=true", &sent).await;
    assert_eq!((again.status, again.json()["version"].as_i64()), (200, Some(2)), "{}", again.body);
}

#[tokio::test]
async fn what_an_alias_stands_for_may_be_in_doubt_too() {
    let settle =
        |config: &mut schema_outpost::config::Config| config.limits.write = std::time::Duration::from_millis(600);
    for target in [
        "/subjects/nick",
        "/subjects/nick/versions",
        "/subjects/nick?normalize=true",
        "/subjects/nick/versions?normalize=true",
    ] {
        let house = House::with(SmallRegistry::builder(), settle).await;
        let sent = registered("far");
        house.primary.ask("POST", "/subjects/far/versions", Some(&sent.to_string()));
        house.primary.ask("PUT", "/config/nick", Some(r#"{"alias":"far"}"#));
        house.imported().await;
        free_the_second_time(&house, target, &sent).await;
        house.primary.fault_where(|seen| seen.method == "DELETE", Some(1), Fault::CutAfterAct);
        // Reading it again takes so long that whoever does not wait for it sees what was before.
        let is_reading = |seen: &Seen| seen.method == "GET" && !seen.path().contains("nosuch");
        house.primary.fault_where(is_reading, None, Fault::Delay(std::time::Duration::from_millis(300)));
        assert_eq!(house.ask("DELETE", "/subjects/far", "").await.code(), 50002);
        // A connection that was cut makes the primary pass for away until it has answered something else.
        assert_eq!(house.get("/subjects/nosuch/versions").await.status, 404);
        let (heard, _) = ask(&house, target, &sent).await;
        let says_the_truth = heard.status == 404 || heard.json()["version"] == 2;
        assert!(says_the_truth, "{target}: {}", heard.body);
    }
}
