//! When a schema that a client sends is one that the replica holds (WIRE.md § 7.2): certainly, and then nobody
//! else is asked, or possibly, and then the primary says. The bytes are the registry's in both cases.

use serde_json::{Value, json};
use small_registry::{Profile, Seen, SmallRegistry};

use crate::house::House;

/// What a registry holds, one request after another.
type Past = Vec<(&'static str, String, Value)>;

fn is_asked(seen: &Seen) -> bool {
    seen.method == "POST"
}

/// Who has to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Replica,
    Primary,
}

async fn answered(past: Past, target: &str, sent: Value, by: By) -> Value {
    let house = House::open().await;
    for (method, target, body) in past {
        let answer = house.primary.ask(method, &target, Some(&body.to_string()));
        assert!(answer.status == 200, "{method} {target} {body}: {}", answer.body);
    }
    house.imported().await;
    house.primary.forget_requests();
    let heard = house.ask("POST", target, &sent.to_string()).await;
    let calls = house.primary.count(is_asked);
    let direct = house.primary.ask("POST", target, Some(&sent.to_string()));
    assert_eq!((heard.status, &heard.body), (direct.status, &direct.body), "{target} {sent}");
    assert_eq!(calls == 0, by == By::Replica, "{target} {sent} with {calls} calls: {}", heard.body);
    heard.json()
}

fn register(subject: &str, body: Value) -> (&'static str, String, Value) {
    ("POST", format!("/subjects/{subject}/versions"), body)
}

fn configure(subject: &str, body: Value) -> (&'static str, String, Value) {
    ("PUT", format!("/config/{subject}"), body)
}

fn avro(text: &str) -> Value {
    json!({ "schema": text })
}

const USER: &str = r#"{"type":"record","name":"User","fields":[{"name":"a","type":"int"}],"x":1,"y":2}"#;
const USER_AGAIN: &str =
    r#"{ "fields":[{"type":{"type":"int"},"name":"a"}], "name":"User", "x":1,"y":2, "type":"record" }"#;
/// The same by its meaning, another by its text.
const USER_TURNED: &str = r#"{"type":"record","name":"User","fields":[{"name":"a","type":"int"}],"y":2,"x":1}"#;

fn with(mut body: Value, key: &str, value: Value) -> Value {
    body[key] = value;
    body
}

fn owner(name: &str) -> Value {
    json!({ "properties": { "owner": name } })
}

fn free() -> (&'static str, String, Value) {
    ("PUT", "/config".to_owned(), json!({ "compatibility": "NONE" }))
}

#[tokio::test]
async fn a_text_that_prints_alike_is_the_same_schema() {
    for target in ["/subjects/s", "/subjects/s?deleted=true", "/subjects/s?normalize=false", "/subjects/s/versions"] {
        for spelled in [USER, USER_AGAIN] {
            let typed = with(avro(spelled), "schemaType", json!("AVRO"));
            for sent in [avro(spelled), typed] {
                let found = answered(vec![register("s", avro(USER))], target, sent, By::Replica).await;
                assert_eq!(found["version"], 1);
            }
        }
    }
    let json = |text: &str| json!({ "schemaType": "JSON", "schema": text });
    let past = || vec![register("s", json(r#"{"type":"object","minProperties":1}"#))];
    answered(past(), "/subjects/s", json("{ \"type\" : \"object\",\n\"minProperties\":1 } x"), By::Replica).await;
    let other = answered(past(), "/subjects/s", json(r#"{"minProperties":1,"type":"object"}"#), By::Primary).await;
    assert_eq!(other["error_code"], 40403, "the order of keys counts");
    let protobuf = |text: &str| json!({ "schemaType": "PROTOBUF", "schema": text });
    let stored = "syntax = \"proto3\";\n\nmessage M {\n  string a = 1;\n}\n";
    let past = || vec![register("s", protobuf("syntax=\"proto3\"; message M { string a = 1; }"))];
    answered(past(), "/subjects/s", protobuf(stored), By::Replica).await;
    answered(past(), "/subjects/s", protobuf("syntax=\"proto3\"; message M { string a = 1; }"), By::Primary).await;
}

#[tokio::test]
async fn references_count_as_they_are_written() {
    let user = r#"{"type":"record","name":"Holder","fields":[{"name":"u","type":"User"}]}"#;
    let reference = |version: i32| json!([{ "name": "User", "subject": "user", "version": version }]);
    let past = || {
        let referring = with(avro(user), "references", reference(1));
        vec![register("user", avro(USER)), register("s", referring)]
    };
    answered(past(), "/subjects/s", with(avro(user), "references", reference(1)), By::Replica).await;
    // The latest is whichever it is now, and a schema that brings what it needs may be one that refers to it.
    answered(past(), "/subjects/s", with(avro(user), "references", reference(-1)), By::Primary).await;
    let inlined = user.replace("\"User\"", USER);
    let found = answered(past(), "/subjects/s", avro(&inlined), By::Primary).await;
    assert_eq!(found["version"], 1);
    let missing = answered(past(), "/subjects/s", with(avro(user), "references", reference(2)), By::Primary).await;
    assert_eq!(missing["error_code"], 42201);
}

#[tokio::test]
async fn a_reference_brings_the_type_that_it_defines_whatever_it_is_called() {
    let holder = r#"{"type":"record","name":"Holder","fields":[{"name":"u","type":"User"}]}"#;
    let called = |name: &str| json!([{ "name": name, "subject": "user", "version": 1 }]);
    for name in ["User", "far/away.avsc", ""] {
        let referring = || with(avro(holder), "references", called(name));
        let past = vec![register("user", avro(USER)), register("s", referring())];
        answered(past, "/subjects/s", referring(), By::Replica).await;
    }
    // What lies inside of what is referred to is printed as if it were defined where it is used first.
    let outer = r#"{"type":"record","name":"Outer","fields":[{"name":"i","type":{"type":"enum","name":"Inner","symbols":["A"]}}]}"#;
    let user = r#"{"type":"record","name":"Holder","fields":[{"name":"i","type":"Inner"}]}"#;
    let referring = || with(avro(user), "references", json!([{ "name": "Inner", "subject": "outer", "version": 1 }]));
    answered(vec![register("outer", avro(outer))], "/subjects/s", referring(), By::Primary).await;
}

#[tokio::test]
async fn metadata_counts_and_is_inherited_from_the_latest_version_only() {
    let owned = |name: &str| with(avro(USER), "metadata", owner(name));
    let tagged = json!({ "tags": { "b": ["y", "x"] }, "properties": { "k": "v" } });
    let retagged = json!({ "properties": { "k": "v" }, "sensitive": null, "tags": { "b": ["x", "y", "x"] } });
    let past = vec![register("s", with(avro(USER), "metadata", tagged))];
    answered(past, "/subjects/s", with(avro(USER_AGAIN), "metadata", retagged), By::Replica).await;
    let past = || vec![free(), register("s", avro("\"int\"")), register("s", owned("us"))];
    let found = answered(past(), "/subjects/s", avro(USER), By::Replica).await;
    assert_eq!((found["version"].as_i64(), &found["metadata"]), (Some(2), &owner("us")));
    answered(past(), "/subjects/s", owned("them"), By::Primary).await;
    let nothing = answered(past(), "/subjects/s", with(avro(USER), "metadata", json!({})), By::Primary).await;
    assert_eq!(nothing["error_code"], 40403, "none is not the same as empty");
    let older = vec![free(), register("s", owned("us")), register("s", with(avro("\"int\""), "metadata", owner("us")))];
    answered(older, "/subjects/s", avro(USER), By::Primary).await;
}

#[tokio::test]
async fn a_version_whose_number_is_written_into_its_metadata_is_the_primarys_to_recognise() {
    let numbered = with(avro(USER), "version", json!(1));
    let past = || vec![free(), register("s", numbered.clone())];
    assert_eq!(answered(past(), "/subjects/s", avro(USER), By::Primary).await["version"], 1);
    let hidden =
        vec![free(), register("s", numbered.clone()), register("s", with(avro(USER), "metadata", owner("us")))];
    answered(hidden, "/subjects/s", avro(USER), By::Primary).await;
}

#[tokio::test]
async fn what_avro_takes_for_the_same_by_its_meaning_is_the_primarys_to_find() {
    let past = vec![register("s", avro(USER))];
    let found = answered(past, "/subjects/s", avro(USER_TURNED), By::Primary).await;
    assert_eq!((found["version"].as_i64(), found["ts"].is_i64()), (Some(1), true));
    // Without metadata it is version 1 by its meaning, before anybody looks at what could be inherited.
    let past = vec![free(), register("s", avro(USER_TURNED)), register("s", with(avro(USER), "metadata", owner("us")))];
    let found = answered(past, "/subjects/s", avro(USER), By::Primary).await;
    assert_eq!(found["version"], 1);
}

#[tokio::test]
async fn rules_are_the_primarys_to_judge() {
    let rules = json!({ "domainRules": [{ "name": "r", "kind": "CONDITION", "type": "CEL", "mode": "WRITE", "expr": "true" }] });
    let found =
        answered(vec![register("s", avro(USER))], "/subjects/s", with(avro(USER), "ruleSet", rules), By::Primary).await;
    assert_eq!(found["error_code"], 40403, "they are never stored");
    answered(vec![register("s", avro(USER))], "/subjects/s", with(avro(USER), "ruleSet", Value::Null), By::Replica)
        .await;
}

#[tokio::test]
async fn a_configuration_that_changes_schemas_leaves_their_identity_to_the_primary() {
    for config in [
        json!({ "normalize": true }),
        json!({ "validateFields": true }),
        json!({ "defaultMetadata": owner("us") }),
        json!({ "overrideMetadata": owner("us") }),
    ] {
        let past = || {
            vec![register("s", avro(USER)), configure("s", config.clone()), configure("nick", json!({ "alias": "s" }))]
        };
        for target in ["/subjects/s", "/subjects/nick", "/subjects/s/versions"] {
            answered(past(), target, avro(USER), By::Primary).await;
        }
        // The closest configuration counts as a whole.
        let own = vec![
            register("s", avro(USER)),
            configure(":.:", config.clone()),
            configure("s", json!({ "compatibility": "NONE" })),
        ];
        answered(own, "/subjects/s", avro(USER), By::Replica).await;
    }
    let nick = vec![register("s", avro(USER)), configure("nick", json!({ "alias": "s", "normalize": true }))];
    let found = answered(nick, "/subjects/nick", avro(USER_AGAIN), By::Replica).await;
    assert_eq!(found["subject"], "s", "behind an alias its target's configuration counts");
}

#[tokio::test]
async fn what_was_deleted_is_found_where_deleted_versions_are_asked_for() {
    let past = || {
        vec![
            free(),
            register("s", avro(USER)),
            register("s", avro("\"int\"")),
            ("DELETE", "/subjects/s/versions/1".to_owned(), json!({})),
        ]
    };
    let found = answered(past(), "/subjects/s?deleted=true", avro(USER), By::Replica).await;
    assert_eq!((found["version"].as_i64(), found.get("deleted")), (Some(1), None));
    assert_eq!(answered(past(), "/subjects/s", avro(USER), By::Primary).await["error_code"], 40403);
}

#[tokio::test]
async fn a_content_that_an_import_wrote_twice_is_found_where_the_primary_finds_it() {
    let import = |subject: &str, id: i32, version: i32| {
        let body = with(with(avro(USER), "id", json!(id)), "version", json!(version));
        register(subject, body)
    };
    let mode = || ("PUT", "/mode".to_owned(), json!({ "mode": "IMPORT" }));
    let past = || vec![mode(), import("s", 7, 5), import("s", 7, 2)];
    let found = answered(past(), "/subjects/s", avro(USER), By::Primary).await;
    assert_eq!(found["version"], 2, "the one that was written last");
    for other in ["a", "t"] {
        let past = vec![mode(), import("s", 7, 1), import(other, 9, 1)];
        let found = answered(past, "/subjects/s", avro(USER), By::Primary).await;
        assert_eq!(found["id"], 7);
    }
}

#[tokio::test]
async fn a_name_without_a_context_may_be_found_in_any_of_them() {
    let past = vec![register(":.c:s", avro(USER))];
    let found = answered(past, "/subjects/s", avro(USER), By::Primary).await;
    assert_eq!(found["subject"], ":.c:s");
    let past = vec![register(":.c:s", avro(USER)), register("s", avro(USER))];
    assert_eq!(answered(past, "/subjects/s", avro(USER), By::Replica).await["subject"], "s");
    let past = vec![register(":.c:s", avro(USER))];
    assert_eq!(answered(past, "/subjects/:.c:s", avro(USER), By::Replica).await["subject"], ":.c:s");
}

#[tokio::test]
async fn a_json_schema_is_recognised_where_it_is_normalised_too() {
    let json = |text: &str| json!({ "schemaType": "JSON", "schema": text });
    let (sorted, turned) = (r#"{"minProperties":1.0,"type":"object"}"#, r#"{ "type":"object", "minProperties":1.0 }"#);
    let normal = || vec![("POST", "/subjects/s/versions?normalize=true".to_owned(), json(turned))];
    for spelled in [sorted, turned] {
        for target in ["/subjects/s?normalize=true", "/subjects/s/versions?normalize=true"] {
            let found = answered(normal(), target, json(spelled), By::Replica).await;
            assert_eq!(found["schema"], sorted);
        }
        let configured = vec![register("s", json(sorted)), configure("s", json!({ "normalize": true }))];
        answered(configured, "/subjects/s", json(spelled), By::Replica).await;
    }
    answered(normal(), "/subjects/s", json(turned), By::Primary).await;
    let as_sent = vec![register("s", json(turned))];
    answered(as_sent, "/subjects/s?normalize=true", json(turned), By::Primary).await;
    let referring =
        json!([{ "name": "b", "subject": "b", "version": 1 }, { "name": "a", "subject": "a", "version": 1 }]);
    let body = || with(json(sorted), "references", referring.clone());
    let past = vec![
        register("a", json("{}")),
        register("b", json("{}")),
        ("POST", "/subjects/s/versions?normalize=true".to_owned(), body()),
    ];
    answered(past, "/subjects/s?normalize=true", body(), By::Primary).await;
}

#[tokio::test]
async fn how_a_normalised_spelling_is_stored_is_learnt_for_every_subject() {
    let body = |schema_type: &str, text: &str| json!({ "schemaType": schema_type, "schema": text }).to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::kept_in(folder.path()).await;
    let protobuf = "syntax = \"proto3\"; message M { int32 b = 2; string a = 1; }";
    let sent = [("a", body("AVRO", USER_TURNED)), ("p", body("PROTOBUF", protobuf))];
    for (prefix, sent) in &sent {
        let answer = house.ask("POST", &format!("/subjects/{prefix}-one/versions?normalize=true"), sent).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        house.primary.ask("POST", &format!("/subjects/{prefix}-two/versions?normalize=true"), Some(sent));
    }
    house.imported().await;
    house.restart().await;
    for (prefix, sent) in &sent {
        for target in ["one?normalize=true", "two?normalize=true", "two/versions?normalize=true"] {
            let target = format!("/subjects/{prefix}-{target}");
            house.primary.forget_requests();
            let heard = house.ask("POST", &target, sent).await;
            let calls = house.primary.count(is_asked);
            let direct = house.primary.ask("POST", &target, Some(sent));
            assert_eq!((heard.status, &heard.body, calls), (200, &direct.body, 0), "{target}");
        }
    }
}

#[tokio::test]
async fn what_was_found_by_its_meaning_does_not_teach_how_a_spelling_is_stored() {
    // A number of which releases of Java print different texts.
    let plain = USER.replace("\"x\":1", "\"x\":1e300");
    let turned = USER_TURNED.replace("\"x\":1", "\"x\":1e300");
    let house = House::open().await;
    let import = |subject: &str, text: &str, id: i32, version: i32| {
        let body = with(with(avro(text), "id", json!(id)), "version", json!(version));
        house.primary.ask("POST", &format!("/subjects/{subject}/versions"), Some(&body.to_string()))
    };
    house.primary.ask("PUT", "/mode", Some(r#"{"mode":"IMPORT"}"#));
    for (subject, text, id, version) in [("s", &turned, 1, 1), ("t", &turned, 1, 1), ("t", &plain, 2, 2)] {
        assert_eq!(import(subject, text, id, version).status, 200);
    }
    house.imported().await;
    let sent = avro(&plain.replace(',', " , ")).to_string();
    let by_meaning = house.ask("POST", "/subjects/s", &sent).await;
    assert_eq!((by_meaning.json()["id"].as_i64(), by_meaning.json()["ts"].is_i64()), (Some(1), true));
    let by_text = house.ask("POST", "/subjects/t", &sent).await;
    assert_eq!(by_text.json()["id"], 2, "{}", by_text.body);
    house.primary.stop().await;
    let again = house.ask("POST", "/subjects/t?deleted=true", &sent).await;
    assert_eq!(
        (again.status, again.json()["id"].as_i64()),
        (200, Some(2)),
        "how it is stored is known now: {}",
        again.body
    );
}

#[tokio::test]
async fn how_a_spelling_is_stored_is_not_learnt_where_schemas_are_normalised() {
    let protobuf = |text: &str| json!({ "schemaType": "PROTOBUF", "schema": text });
    let text = "syntax = \"proto3\"; message M { int32 b = 2; string a = 1; }";
    let house = House::open().await;
    house.primary.ask("PUT", "/config/s", Some(r#"{"normalize":true}"#));
    house.primary.ask("POST", "/subjects/s/versions", Some(&protobuf(text).to_string()));
    house.primary.ask("PUT", "/config/t", Some(r#"{"compatibility":"NONE"}"#));
    house.primary.ask("POST", "/subjects/t/versions?normalize=true", Some(&protobuf(text).to_string()));
    house.primary.ask("POST", "/subjects/t/versions", Some(&protobuf(text).to_string()));
    let (s, t) = (house.ask("POST", "/subjects/s", &protobuf(text).to_string()).await, "/subjects/t");
    assert_eq!(s.json()["version"], 1, "{}", s.body);
    house.imported().await;
    assert_eq!(house.ask("POST", "/subjects/s", &protobuf(text).to_string()).await.body, s.body);
    let heard = house.ask("POST", t, &protobuf(text).to_string()).await;
    let direct = house.primary.ask("POST", t, Some(&protobuf(text).to_string()));
    assert_eq!((heard.json()["version"].as_i64(), heard.body), (Some(2), direct.body));
}

/// WIRE.md § 3.8. From the default context `:.:x` is `x`; from a named one it is a subject literally so called.
#[tokio::test]
async fn a_reference_that_names_the_default_context_leads_there_from_there_alone() {
    let house = House::open().await;
    let address = json!({ "schema": r#"{"type":"record","name":"Address","fields":[]}"# }).to_string();
    let person = json!({
        "schema": r#"{"type":"record","name":"Person","fields":[{"name":"home","type":"Address"}]}"#,
        "references": [{ "name": "Address", "subject": ":.:address", "version": 1 }],
    });
    let person = person.to_string();
    assert_eq!(house.ask("POST", "/subjects/address/versions", &address).await.status, 200);
    assert_eq!(house.ask("POST", "/subjects/:.c:address/versions", &address).await.status, 200);
    let direct = house.primary.ask("POST", "/subjects/person/versions", Some(&person));
    assert_eq!(direct.status, 200, "{}", direct.body);
    let refused = house.ask("POST", "/subjects/:.c:person/versions", &person).await;
    assert_eq!(refused.code(), 42201, "{}", refused.body);
    house.imported().await;
    house.primary.stop().await;
    let referrers = house.get("/subjects/address/versions/1/referencedby").await;
    assert_eq!((referrers.status, referrers.body.as_str()), (200, "[2]"));
    let elsewhere = house.get("/subjects/:.c:address/versions/1/referencedby").await;
    assert_eq!((elsewhere.status, elsewhere.body.as_str()), (200, "[]"));
    let found = house.ask("POST", "/subjects/person", &person).await;
    assert_eq!((found.status, found.json()["id"].as_i64()), (200, Some(2)), "{}", found.body);
    let again = house.ask("POST", "/subjects/person/versions", &person).await;
    assert_eq!((again.status, again.json()["id"].as_i64()), (200, Some(2)), "{}", again.body);
}

/// WIRE.md § 12. Only Cloud leaves anything out for a client; what 7.x says, it says to everyone.
#[tokio::test]
async fn what_7_says_of_a_schema_that_inherited_its_metadata_is_said_whole() {
    let house = House::with(SmallRegistry::builder().profile(Profile::Confluent7), |_| {}).await;
    let schema = |fields: &str| format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
    let first = json!({ "schema": schema(""), "metadata": { "properties": { "a": "b" } } }).to_string();
    let second = json!({ "schema": schema(r#"{"name":"f","type":"int","default":0}"#) }).to_string();
    assert_eq!(house.ask("POST", "/subjects/s/versions", &first).await.body, r#"{"id":1}"#);
    let registered = house.ask("POST", "/subjects/s/versions", &second).await;
    assert!(registered.body.contains(r#""metadata":{"properties":{"a":"b"}}"#), "{}", registered.body);
    house.imported().await;
    for body in [&first, &second] {
        let direct = house.primary.ask("POST", "/subjects/s/versions", Some(body));
        for _ in 0..2 {
            let again = house.ask("POST", "/subjects/s/versions", body).await;
            assert_eq!((again.status, &again.body), (direct.status, &direct.body));
        }
    }
    let direct = [&first, &second].map(|body| house.primary.ask("POST", "/subjects/s/versions", Some(body)).body);
    house.primary.stop().await;
    for (body, direct) in [&first, &second].into_iter().zip(direct) {
        let alone = house.ask("POST", "/subjects/s/versions", body).await;
        assert_eq!((alone.status, alone.body), (200, direct), "what was answered before is remembered");
    }
    let spelled_otherwise = second.replace("default", r"\\u0064efault");
    let unknown = house.ask("POST", "/subjects/s/versions", &spelled_otherwise).await;
    assert_eq!(unknown.code(), 50003, "how much is said of it depends on the patch: {}", unknown.body);
}
