//! The table "when P cannot be reached" (CONSISTENCY.md), row by row.

use schema_outpost::protocol::endpoints::Effect;
use serde_json::Value;

use crate::grounds::{Asked, ground_of};
use crate::house::{House, registration, send};

/// Why only the primary can answer a recorded read; nothing if the replica must.
pub fn ground(house: &House, line: &Value) -> Option<&'static str> {
    let request = &line["request"];
    let asked = Asked {
        primary: &house.primary,
        method: request["method"].as_str().unwrap_or_default(),
        target: request["target"].as_str().unwrap_or_default(),
        body: request["body"].as_str(),
        is_shown_less: false,
    };
    let is_write = asked.operation().is_some_and(|operation| operation.effect == Effect::Write);
    let of_a_write = is_write.then_some("a registration that is not certainly one of what is there");
    of_a_write.or_else(|| ground_of(&asked))
}

async fn full_house() -> House {
    let house = House::open().await;
    for (subject, doc) in [("a", "1"), ("a", "2"), ("b", "1")] {
        assert_eq!(house.register(subject, doc).await.status, 200);
    }
    house.imported().await;
    house
}

#[tokio::test]
async fn what_the_replica_has_is_answered_with_its_age() {
    let house = full_house().await;
    let reads = [
        "/subjects",
        "/subjects/a/versions",
        "/subjects/a/versions/1",
        "/subjects/a/versions/latest",
        "/subjects/a/versions/1/schema",
        "/subjects/a/versions/1/referencedby",
        "/schemas/ids/1",
        "/schemas/ids/1/schema",
        "/schemas/ids/1/subjects",
        "/schemas/ids/1/versions",
        "/schemas",
        "/schemas/types",
        "/contexts",
        "/config",
        "/config/a?defaultToGlobal=true",
        "/mode",
        "/associations/resources/-/a?resourceType=topic&associationType=value",
        "/",
        "/v1/metadata/version",
    ];
    let mut before = Vec::new();
    for target in reads {
        let heard = house.get(target).await;
        assert_eq!((heard.status, heard.header("Age")), (200, None), "{target}: {}", heard.body);
        before.push(heard.body);
    }
    house.primary.stop().await;
    assert_eq!(house.register("new", "1").await.code(), 50003);
    for (target, body) in reads.iter().zip(before) {
        let heard = house.get(target).await;
        assert_eq!((heard.status, &heard.body), (200, &body), "{target}");
        assert!(heard.header("Age").is_some(), "{target} tells no age");
    }
}

#[tokio::test]
async fn what_the_replica_has_not_is_unknown_and_not_absent() {
    let house = full_house().await;
    house.primary.stop().await;
    for target in [
        "/subjects/nosuch/versions",
        "/subjects/a/versions/9",
        "/schemas/ids/99",
        "/schemas/ids/99/schema",
        "/schemas/guids/00000000-0000-0000-0000-000000000000",
        "/subjects/nosuch/versions/latest",
        "/dek-registry/v1/keks",
        "/catalog/v1/search",
    ] {
        let heard = house.get(target).await;
        assert_eq!((heard.status, heard.code()), (500, 50003), "{target}: {}", heard.body);
        assert!(heard.header("Retry-After").is_some(), "{target}");
    }
    let lookup = house.ask("POST", "/subjects/a", &registration("other")).await;
    assert_eq!((lookup.status, lookup.code()), (500, 50003));
    let test = house.ask("POST", "/compatibility/subjects/a/versions/latest", &registration("1")).await;
    assert_eq!((test.status, test.code()), (500, 50003), "never a guessed compatible: {}", test.body);
}

/// I-05. A list of ours would be shorter than it should be, and nobody could tell.
#[tokio::test]
async fn what_could_not_be_taken_over_is_missing_from_no_list() {
    let house = full_house().await;
    assert_eq!(house.register("c", "3").await.status, 200);
    let listing = house.primary.ask("GET", "/schemas?subjectPrefix=:*:&deleted=true", None).body;
    let mut items: Vec<Value> = serde_json::from_str(&listing).expect("a list");
    items.iter_mut().filter(|item| item["version"] == 2).for_each(|item| item["id"] = "two".into());
    items.push(serde_json::json!({ "subject": "d", "version": 1, "id": "none" }));
    let body = Value::from(items).to_string();
    let is_the_importers = |seen: &small_registry::Seen| seen.target.starts_with("/schemas?subjectPrefix=:*:");
    let broken = small_registry::Fault::Status { status: 200, headers: Vec::new(), body };
    house.primary.fault_where(is_the_importers, None, broken);
    house.imported().await;
    let concerned =
        ["/subjects", "/schemas", "/subjects/a/versions", "/subjects/a/versions/latest", "/schemas/ids/1/versions"];
    let others = ["/subjects/b/versions", "/subjects/b/versions/latest", "/subjects/a/versions/1", "/schemas/ids/1"];
    for target in concerned {
        house.primary.forget_requests();
        let heard = house.get(target).await;
        assert_eq!(heard.body, house.primary.ask("GET", target, None).body, "{target}");
        assert_eq!(house.primary.count(|seen| seen.target == target), 1, "{target}");
    }
    house.primary.stop().await;
    for target in concerned {
        // An answer to many who ask at once is good for a moment, but this is another question.
        let heard = house.get(&format!("{target}?deleted=false")).await;
        assert_eq!((heard.status, heard.code()), (500, 50003), "{target}: {}", heard.body);
    }
    for target in others {
        assert_eq!(house.get(target).await.status, 200, "{target}");
    }
}

#[tokio::test]
async fn bad_questions_are_refused_as_ever() {
    let house = full_house().await;
    house.primary.stop().await;
    for (target, status, code) in [
        ("/schemas/ids/abc", 404, 404),
        ("/subjects/a/versions/0", 422, 42202),
        ("/subjects/a/versions?offset=x", 404, 404),
        ("/subjects/a", 405, 405),
    ] {
        let heard = house.get(target).await;
        assert_eq!((heard.status, heard.code()), (status, code), "{target}");
    }
}

#[tokio::test]
async fn registering_again_what_is_there_needs_no_primary() {
    let house = full_house().await;
    house.primary.stop().await;
    let again = house.register("a", "1").await;
    assert_eq!(again.status, 200, "{}", again.body);
    assert_eq!(again.json()["id"], 1);
    let found = house.ask("POST", "/subjects/a", &registration("2")).await;
    assert_eq!((found.status, found.json()["version"].as_i64()), (200, Some(2)), "{}", found.body);
}

/// How a registry prints Protobuf nobody else knows, so it is remembered as what a text was stored.
#[tokio::test]
async fn a_protobuf_schema_in_its_clients_own_spelling_is_known_again_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::kept_in(folder.path()).await;
    let schema = "syntax = \"proto3\";\n// mine\nmessage  M { string a=1; }";
    let body = serde_json::json!({ "schemaType": "PROTOBUF", "schema": schema }).to_string();
    let registered = house.ask("POST", "/subjects/p/versions", &body).await;
    assert_eq!(registered.status, 200, "{}", registered.body);
    assert_ne!(registered.json()["schema"], schema, "the registry has a spelling of its own");
    house.primary.stop().await;
    house.restart().await;
    let again = house.ask("POST", "/subjects/p/versions", &body).await;
    assert_eq!((again.status, &again.body), (200, &registered.body));
    let found = house.ask("POST", "/subjects/p", &body).await;
    assert_eq!((found.status, found.json()["version"].as_i64()), (200, Some(1)), "{}", found.body);
    let other = house.ask("POST", "/subjects/p", &body.replace("mine", "yours")).await;
    assert_eq!(other.code(), 50003, "nobody has shown how this one is stored");
}

#[tokio::test]
async fn writes_are_refused_at_once_and_nothing_is_queued() {
    let house = full_house().await;
    let before = house.status().await["digest"].clone();
    house.primary.stop().await;
    // A write on a connection that is just closing would be honestly unknown; a read finds it closed.
    assert_eq!(house.get("/subjects/nosuch/versions").await.code(), 50003);
    let schema = registration("new");
    for (method, target, body) in [
        ("POST", "/subjects/a/versions", schema.as_str()),
        ("DELETE", "/subjects/a", ""),
        ("DELETE", "/subjects/a/versions/1", ""),
        ("PUT", "/config", r#"{"compatibility":"NONE"}"#),
        ("DELETE", "/config/a", ""),
    ] {
        let heard = house.ask(method, target, body).await;
        assert_eq!((heard.status, heard.code()), (500, 50003), "{method} {target}: {}", heard.body);
        assert!(heard.header("Retry-After").is_some());
    }
    house.primary.restart().await.expect("the same port");
    house.imported().await;
    assert_eq!(house.status().await["digest"], before, "something was applied after all");
}

#[tokio::test]
async fn health_says_degraded_and_stays_ready() {
    let house = full_house().await;
    let ready = send(house.admin(), "GET", "/ready", &[], None).await;
    assert_eq!((ready.status, ready.json()["status"].as_str()), (200, Some("ok")), "{}", ready.body);
    house.primary.stop().await;
    assert_eq!(house.register("new", "1").await.status, 500);
    let ready = send(house.admin(), "GET", "/ready", &[], None).await;
    assert_eq!((ready.status, ready.json()["status"].as_str()), (200, Some("degraded")), "{}", ready.body);
    assert_eq!(send(house.admin(), "GET", "/live", &[], None).await.status, 200);
}

#[tokio::test]
async fn an_empty_outpost_before_an_absent_primary_is_not_ready_but_alive() {
    let primary = small_registry::SmallRegistry::start().await;
    let config = crate::house::settings(&primary);
    primary.stop().await;
    let app = schema_outpost::app::App::start(&config, &tokio::runtime::Handle::current()).expect("started");
    let admin = app.admin_address();
    let ready = send(admin, "GET", "/ready", &[], None).await;
    assert_eq!(ready.status, 503, "{}", ready.body);
    assert!(ready.json()["reason"].is_string());
    assert_eq!(send(admin, "GET", "/startup", &[], None).await.status, 503);
    assert_eq!(send(admin, "GET", "/live", &[], None).await.status, 200);
    app.stop().await;
}
