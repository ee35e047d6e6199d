//! While the primary is away the local registry answers in its stead what is certainly the primary's, and nothing else
//! (CONSISTENCY.md, When P cannot be reached).

use serde_json::json;
use small_registry::SmallRegistry;

use crate::house::{House, registration, send, settings};

const VERSION: &str = "/compatibility/subjects/s/versions/latest?verbose=true";
const ALL: &str = "/compatibility/subjects/s/versions";

fn record(fields: serde_json::Value) -> String {
    json!({ "schema": json!({"type": "record", "name": "R", "fields": fields}).to_string() }).to_string()
}

fn narrow() -> String {
    record(json!([{"name": "a", "type": "int"}]))
}

fn incompatible() -> String {
    record(json!([{"name": "a", "type": "int"}, {"name": "b", "type": "int"}]))
}

/// A primary and a local registry that both have the versions of one subject, and an outpost that has read the former.
async fn alike(versions: &[String]) -> (House, SmallRegistry) {
    let local = SmallRegistry::start().await;
    let house = House::with(SmallRegistry::builder(), |config| config.local.urls = vec![local.url()]).await;
    for body in versions {
        for registry in [&house.primary, &local] {
            assert_eq!(registry.ask("POST", "/subjects/s/versions", Some(body)).status, 200);
        }
    }
    house.imported().await;
    (house, local)
}

#[tokio::test]
async fn the_primary_judges_what_is_compatible_and_in_its_absence_the_local_registry_if_it_holds_the_same() {
    let (house, local) = alike(&[narrow()]).await;
    let invalid = r#"{"schema":"{"}"#.to_owned();
    let questions = [
        (VERSION, narrow()),
        (VERSION, incompatible()),
        (ALL, narrow()),
        (ALL, incompatible()),
        (VERSION, invalid.clone()),
        (ALL, invalid),
    ];
    let mut judged = Vec::new();
    for (target, body) in &questions {
        let answer = house.ask("POST", target, body).await;
        assert_eq!(answer.body, house.primary.ask("POST", target, Some(body)).body);
        judged.push((answer.status, answer.body));
    }
    assert!(judged[0].1.contains("true") && judged[1].1.contains("false"), "{judged:?}");
    assert_eq!(local.count(|seen| seen.method == "POST"), 0, "it is not asked while the primary is there");
    house.primary.stop().await;
    for ((target, body), expected) in questions.iter().zip(&judged) {
        let answer = house.ask("POST", target, body).await;
        assert_eq!((answer.status, &answer.body), (expected.0, &expected.1), "{target} {body}");
    }
    local.stop().await;
    assert_eq!(house.ask("POST", VERSION, &narrow()).await.code(), 50003);
}

#[tokio::test]
async fn a_local_registry_that_knows_something_else_judges_nothing() {
    let only_here: [(&str, &str, String); 4] = [
        ("POST", "/subjects/s/versions", record(json!([]))),
        ("PUT", "/config", json!({"compatibility": "NONE"}).to_string()),
        ("PUT", "/config/s", json!({"compatibility": "FULL"}).to_string()),
        ("DELETE", "/subjects/s", String::new()),
    ];
    for (method, target, body) in only_here {
        let (house, local) = alike(&[narrow()]).await;
        assert_eq!(local.ask(method, target, Some(&body)).status, 200, "{method} {target}");
        house.primary.stop().await;
        for question in [VERSION, ALL] {
            let answer = house.ask("POST", question, &narrow()).await;
            assert_eq!((answer.status, answer.code()), (500, 50003), "{method} {target}: {answer:?}");
        }
        let other = house.ask("POST", "/compatibility/subjects/none/versions", &narrow()).await;
        assert_eq!(other.code(), 50003, "a subject that nobody has is compatible with anything: {other:?}");
    }
}

/// Versions of the same number, under the same rule, but of other content; and one that refers to what may differ.
#[tokio::test]
async fn a_local_registry_with_other_content_judges_nothing_nor_does_any_what_it_would_have_to_look_up() {
    let (house, local) = alike(&[]).await;
    assert_eq!(house.primary.ask("POST", "/subjects/s/versions", Some(&narrow())).status, 200);
    assert_eq!(local.ask("POST", "/subjects/s/versions", Some(&record(json!([])))).status, 200);
    house.imported().await;
    house.primary.stop().await;
    assert_eq!(house.ask("POST", VERSION, &incompatible()).await.code(), 50003);
    let (house, _local) = alike(&[narrow()]).await;
    house.primary.stop().await;
    let mut referring: serde_json::Value = serde_json::from_str(&narrow()).expect("JSON");
    referring["references"] = json!([{"name": "T", "subject": "t", "version": 1}]);
    assert_eq!(house.ask("POST", VERSION, &referring.to_string()).await.code(), 50003);
}

#[tokio::test]
async fn who_never_read_anything_lets_a_registry_of_imports_answer_and_no_other() {
    let primary = SmallRegistry::start().await;
    let local = SmallRegistry::start().await;
    let import = json!({"schema": "\"string\"", "id": 41, "version": 3}).to_string();
    assert_eq!(local.ask("PUT", "/mode?force=true", Some(r#"{"mode":"IMPORT"}"#)).status, 200);
    assert_eq!(local.ask("POST", "/subjects/s/versions", Some(&import)).status, 200);
    primary.stop().await;
    let mut config = settings(&primary);
    config.local.urls = vec![local.url()];
    let house = House::of(primary, config);
    let reads = ["/schemas/ids/41", "/subjects/s/versions/3", "/subjects/s/versions", "/subjects/s/versions/latest"];
    for read in reads {
        assert_eq!(house.get(read).await.body, local.ask("GET", read, None).body, "{read}");
    }
    // What is imported little by little is no list of all that there is.
    for absent in [
        "/subjects",
        "/contexts",
        "/schemas",
        "/schemas/ids/41/subjects",
        "/schemas/ids/1",
        "/subjects/none/versions",
        "/subjects/s/versions/1",
    ] {
        assert_eq!(house.get(absent).await.code(), 50003, "{absent}: unknown is not absent");
    }
    let written = house.register("s", "new").await;
    assert_eq!((written.status, written.code()), (500, 50003), "{written:?}");
    assert_eq!(house.status().await["answeredBy"]["forwarded"], json!({"reads": "local", "writes": null}));
    // A registry that gives ids of its own may mean something else by each of them.
    assert_eq!(local.ask("PUT", "/mode", Some(r#"{"mode":"READWRITE"}"#)).status, 200);
    for read in reads {
        assert_eq!(house.get(read).await.code(), 50003, "{read}");
    }
}

#[tokio::test]
async fn who_has_read_the_primary_answers_alone_whatever_becomes_of_the_local_registry() {
    let (house, local) = alike(&[narrow()]).await;
    assert_eq!(local.ask("PUT", "/mode?force=true", Some(r#"{"mode":"IMPORT"}"#)).status, 200);
    local.forget_requests();
    let status = |house: &House| send(house.admin(), "GET", "/status", &[], None);
    assert_eq!(
        status(&house).await.json()["answeredBy"],
        json!({"forwarded": {"reads": "replica", "writes": "primary"}})
    );
    local.stop().await;
    assert_eq!(house.get("/subjects/s/versions").await.body, "[1]");
    local.restart().await.expect("the same port");
    house.primary.stop().await;
    assert_eq!(house.get("/subjects/s/versions/1").await.status, 200);
    // What was there and is gone here is not brought back by a copy of it.
    let import = json!({"schema": "\"string\"", "id": 41, "version": 3}).to_string();
    assert_eq!(local.ask("POST", "/subjects/gone/versions", Some(&import)).status, 200);
    local.forget_requests();
    assert_eq!(house.get("/subjects/gone/versions").await.code(), 50003);
    assert_eq!(local.requests().len(), 0);
    assert_eq!(house.ask("POST", "/subjects/s", &registration("x")).await.code(), 50003);
    assert_eq!(status(&house).await.json()["answeredBy"], json!({"forwarded": {"reads": "replica", "writes": null}}));
}

const OF_THE_SUBJECT: [&str; 4] =
    ["/subjects/s/versions", "/subjects/s/versions/1", "/subjects/s/versions/latest", "/subjects/s/versions/1/schema"];

/// What the local registry held when the context became its own is known, and what clients made of it since is not.
#[tokio::test]
async fn a_local_registry_that_is_away_is_remembered_as_it_was_when_the_context_became_its_own() {
    let local = SmallRegistry::start().await;
    let house = House::with(SmallRegistry::builder(), |config| {
        config.local.urls = vec![local.url()];
        config.local.writer = true;
    })
    .await;
    assert_eq!(house.register("s", "1").await.status, 200);
    house.imported().await;
    assert_eq!(house.status().await["local"]["inStep"]["."], true);
    let readwrite = json!({"mode": "READWRITE"}).to_string();
    assert_eq!(house.ask("PUT", "/mode", &readwrite).await.status, 200);
    // The replica goes on with the primary, and that is nothing to the local registry.
    assert_eq!(house.primary.ask("POST", "/subjects/s/versions", Some(&registration("theirs"))).status, 200);
    house.imported().await;
    let reads = || OF_THE_SUBJECT.into_iter().chain(["/schemas/ids/1"]);
    local.stop().await;
    for read in reads() {
        let heard = house.get(read).await;
        let held = local.ask("GET", read, None).body;
        assert_eq!((heard.status, timeless(&heard.body)), (200, timeless(&held)), "{read}");
        assert!(heard.header("Age").is_some(), "{read}: {heard:?}");
    }
    for unknown in
        ["/subjects", "/subjects/other/versions", "/subjects/s/versions/2", "/schemas/ids/2", "/schemas/ids/1/versions"]
    {
        assert_eq!(house.get(unknown).await.code(), 50003, "{unknown}: unknown is not absent");
    }
    let answered_by = house.status().await["answeredBy"].clone();
    assert_eq!(answered_by["local"], json!({"reads": "replica", "writes": null}));
    assert_eq!(house.register("s", "2").await.code(), 50003);
    // A write was tried, and what became of it there nobody knows any more.
    for read in OF_THE_SUBJECT {
        assert_eq!(house.get(read).await.code(), 50003, "{read}");
    }
    assert_eq!(house.get("/schemas/ids/1").await.status, 200, "what an id stands for is for ever");
    local.restart().await.expect("the same port");
    // Whoever was away is asked again after a while.
    house.until("/subjects/s/versions", |heard| heard.status == 200).await;
    assert_eq!(house.register("s", "3").await.status, 200);
    assert_eq!(house.get("/subjects/s/versions").await.body, "[1,2]");
    assert_eq!(house.get("/subjects/s/versions").await.header("Age"), None);
}

/// When something was written, each registry says for itself.
fn timeless(body: &str) -> String {
    let mut value: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    value.as_object_mut().and_then(|members| members.remove("ts"));
    value.to_string()
}
