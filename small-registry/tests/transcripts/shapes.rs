//! The shapes that no record has, held to WIRE.md: § 8.4 for Cloud, § 12 for 7.x, a sentence a test.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use small_registry::{Profile, SmallRegistry};

const RECORD: &str = r#"{"type":"record","name":"R","fields":[]}"#;
const OTHER: &str = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int","default":0}]}"#;
const MESSAGE: &str = "syntax = \"proto3\";\n\nmessage M {\n  string a = 1;\n}\n";

/// Whether a client says that it takes more than 7.x had.
#[derive(Clone, Copy)]
enum Client {
    Old,
    New,
}

/// What is answered: the status, and the body as JSON.
fn ask(registry: &SmallRegistry, client: Client, method: &str, target: &str, body: Value) -> (u16, Value) {
    let mut headers = HeaderMap::from_iter([(http::header::HOST, HeaderValue::from_static("registry"))]);
    if matches!(client, Client::New) {
        let name = HeaderName::from_static("confluent-accept-unknown-properties");
        headers.insert(name, HeaderValue::from_static("true"));
    }
    let body = (!body.is_null()).then(|| body.to_string());
    let answer = registry.ask_with(method, target, &headers, body.as_deref().map(str::as_bytes));
    (answer.status, serde_json::from_str(&answer.body).unwrap_or_default())
}

fn get(registry: &SmallRegistry, client: Client, target: &str) -> Value {
    let (status, body) = ask(registry, client, "GET", target, Value::Null);
    assert_eq!(status, 200, "{target}: {body}");
    body
}

/// The names of an object's members, in their order.
fn names(object: &Value) -> Vec<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// A registry with two versions of one subject, a Protobuf schema, and one that refers to the first.
async fn furnished(profile: Profile) -> SmallRegistry {
    let registry = SmallRegistry::builder().profile(profile).start().await.expect("started");
    for (subject, body) in [
        ("a", json!({ "schema": RECORD })),
        ("a", json!({ "schema": OTHER })),
        ("p", json!({ "schema": MESSAGE, "schemaType": "PROTOBUF" })),
        (
            "r",
            json!({ "schema": r#"{"type":"record","name":"S","fields":[{"name":"r","type":"R"}]}"#, "references": [{ "name": "R", "subject": "a", "version": 1 }] }),
        ),
    ] {
        let (status, answer) = ask(&registry, Client::New, "POST", &format!("/subjects/{subject}/versions"), body);
        assert_eq!(status, 200, "{answer}");
    }
    registry
}

/// What a version and a lookup have in the fullest shape, and in the leanest.
const FULL: [&str; 8] = ["subject", "version", "id", "guid", "schemaType", "schema", "ts", "deleted"];
const LEAN: [&str; 4] = ["subject", "version", "id", "schema"];

#[tokio::test]
async fn cloud_shows_guid_type_of_avro_time_and_deletion_to_those_who_accept_more() {
    let registry = furnished(Profile::Cloud).await;
    let version = |client| get(&registry, client, "/subjects/a/versions/1");
    assert_eq!(names(&version(Client::New)), FULL);
    assert_eq!(names(&version(Client::Old)), LEAN);
    // A lookup is answered in the request's own form, which has no time.
    let lookup = |client| ask(&registry, client, "POST", "/subjects/a", json!({ "schema": RECORD })).1;
    assert_eq!(names(&lookup(Client::New)), FULL[..6]);
    assert_eq!(names(&lookup(Client::Old)), LEAN);
    // Only AVRO goes without saying.
    assert_eq!(get(&registry, Client::Old, "/subjects/p/versions/1")["schemaType"], "PROTOBUF");
    assert_eq!(get(&registry, Client::Old, "/schemas/ids/3")["schemaType"], "PROTOBUF");
}

#[tokio::test]
async fn cloud_shows_beside_an_id_its_subject_and_version_to_those_who_accept_more() {
    let registry = furnished(Profile::Cloud).await;
    let by_id = |client| get(&registry, client, "/schemas/ids/1");
    assert_eq!(names(&by_id(Client::New)), ["subject", "version", "guid", "schemaType", "schema", "ts", "deleted"]);
    assert_eq!(names(&by_id(Client::Old)), ["schema"]);
    let highest = get(&registry, Client::Old, "/schemas/ids/1?fetchMaxId=true");
    assert_eq!((names(&highest), &highest["maxId"]), (vec!["schema", "maxId"], &json!(4)));
}

#[tokio::test]
async fn cloud_says_of_a_registration_its_id_alone_unless_more_is_accepted() {
    let registry = furnished(Profile::Cloud).await;
    let register = |client, body: Value| ask(&registry, client, "POST", "/subjects/a/versions", body).1;
    assert_eq!(register(Client::Old, json!({ "schema": RECORD })), json!({ "id": 1 }));
    assert_eq!(
        names(&register(Client::New, json!({ "schema": RECORD }))),
        ["id", "version", "guid", "schemaType", "schema"]
    );
    let metadata = json!({ "schema": OTHER, "metadata": { "properties": { "a": "b" } } });
    assert_eq!(register(Client::Old, metadata), json!({ "id": 5 }));
}

#[tokio::test]
async fn cloud_honours_rules_and_open_source_drops_them() {
    let rules = json!({ "domainRules": [{ "name": "r", "kind": "CONDITION", "mode": "WRITE", "type": "CEL", "expr": "true" }] });
    for (profile, keeps) in [(Profile::Cloud, true), (Profile::Confluent8, false), (Profile::Confluent7, false)] {
        let registry = furnished(profile).await;
        let body = json!({ "schema": RECORD, "ruleSet": rules });
        assert_eq!(ask(&registry, Client::New, "POST", "/subjects/ruled/versions", body).0, 200);
        let shown = get(&registry, Client::Old, "/subjects/ruled/versions/1");
        assert_eq!(shown["ruleSet"].is_object(), keeps, "{profile:?}: {shown}");
    }
}

#[tokio::test]
async fn open_source_8_shows_everything_whatever_the_client_accepts() {
    let registry = furnished(Profile::Confluent8).await;
    for target in ["/subjects/a/versions/1", "/schemas/ids/1", "/schemas", "/subjects/r/versions/1"] {
        assert_eq!(get(&registry, Client::Old, target), get(&registry, Client::New, target), "{target}");
    }
    assert_eq!(names(&get(&registry, Client::Old, "/subjects/a/versions/1")), FULL);
}

#[tokio::test]
async fn seven_has_no_guid_no_time_no_deletion_mark_and_does_not_name_avro() {
    let registry = furnished(Profile::Confluent7).await;
    for client in [Client::Old, Client::New] {
        assert_eq!(names(&get(&registry, client, "/subjects/a/versions/1")), LEAN);
        let lookup = ask(&registry, client, "POST", "/subjects/a", json!({ "schema": RECORD })).1;
        assert_eq!(names(&lookup), LEAN);
        assert_eq!(names(&get(&registry, client, "/schemas")[0]), LEAN);
        assert_eq!(get(&registry, client, "/subjects/p/versions/1")["schemaType"], "PROTOBUF");
        let referrer = get(&registry, client, "/subjects/r/versions/1");
        assert_eq!(names(&referrer), ["subject", "version", "id", "references", "schema"]);
    }
}

#[tokio::test]
async fn seven_shows_of_an_id_the_schema_and_not_who_holds_it() {
    let registry = furnished(Profile::Confluent7).await;
    assert_eq!(names(&get(&registry, Client::New, "/schemas/ids/1")), ["schema"]);
    assert_eq!(names(&get(&registry, Client::New, "/schemas/ids/4")), ["schema", "references"]);
    assert_eq!(names(&get(&registry, Client::New, "/schemas/ids/1?subject=a")), ["schema"]);
}

#[tokio::test]
async fn seven_says_of_a_registration_its_id_unless_metadata_made_it_another_schema_than_was_sent() {
    let registry = furnished(Profile::Confluent7).await;
    let register = |body: Value| ask(&registry, Client::New, "POST", "/subjects/m/versions", body).1;
    let metadata = json!({ "properties": { "a": "b" } });
    assert_eq!(register(json!({ "schema": RECORD, "metadata": metadata })), json!({ "id": 5 }));
    // What has no metadata inherits those of the latest version.
    let changed = register(json!({ "schema": OTHER }));
    assert_eq!((&changed["id"], &changed["metadata"], &changed["schema"]), (&json!(6), &metadata, &json!(OTHER)));
    assert!(changed["guid"].is_null() && changed["schemaType"].is_null() && changed["ts"].is_null(), "{changed}");
}

#[tokio::test]
async fn seven_has_no_guids_to_ask_for_and_no_contexts_to_delete() {
    let registry = furnished(Profile::Confluent7).await;
    let guid = "e7d27f82-9265-8e06-e1d0-ff8fc58b90c3";
    for (method, target) in [
        ("GET", format!("/schemas/guids/{guid}")),
        ("GET", format!("/schemas/guids/{guid}/ids")),
        ("DELETE", "/contexts/.c".to_owned()),
    ] {
        let (status, body) = ask(&registry, Client::New, method, &target, Value::Null);
        assert_eq!((status, &body["error_code"]), (404, &json!(404)), "{method} {target}: {body}");
    }
}

#[tokio::test]
async fn what_is_incompatible_has_a_code_of_its_own_since_8_2() {
    let incompatible = json!({ "schema": r#"{"type":"record","name":"R","fields":[{"name":"b","type":"int"}]}"# });
    for (profile, code) in [(Profile::Confluent7, 409), (Profile::Confluent8, 40901)] {
        let registry = furnished(profile).await;
        let (status, body) = ask(&registry, Client::New, "POST", "/subjects/a/versions", incompatible.clone());
        assert_eq!((status, &body["error_code"]), (409, &json!(code)), "{profile:?}: {body}");
    }
}

#[tokio::test]
async fn seven_knows_no_forwarding_and_names_the_modes_that_it_knows() {
    for (profile, ends) in
        [(Profile::Confluent7, "READONLY, and IMPORT."), (Profile::Confluent8, "READONLY, IMPORT and FORWARD.")]
    {
        let registry = furnished(profile).await;
        let (status, body) = ask(&registry, Client::New, "PUT", "/mode", json!({ "mode": "nosuch" }));
        let message = body["message"].as_str().expect("a message");
        assert_eq!((status, &body["error_code"]), (422, &json!(42204)));
        assert!(message.ends_with(ends), "{profile:?}: {message}");
        let forward = ask(&registry, Client::New, "PUT", "/mode/:.__GLOBAL:", json!({ "mode": "FORWARD" }));
        assert_eq!(forward.0, if profile == Profile::Confluent7 { 422 } else { 200 }, "{profile:?}: {}", forward.1);
    }
}
