//! The registry beside an outpost is kept as the primary is, by one outpost of those that stand beside it.

use std::time::Duration;

use schema_outpost::config::Config;
use schema_outpost::routing::Pair;
use serde_json::{Value, json};
use small_registry::SmallRegistry;

use crate::house::{House, send};

/// An outpost that writes into the local registry what it imports.
async fn writing_into(local: &SmallRegistry, adjust: impl FnOnce(&mut Config)) -> House {
    House::with(SmallRegistry::builder(), |config| {
        config.local.urls = vec![local.url()];
        config.local.writer = true;
        // Changes are gathered for a tenth of it.
        config.importer.interval = Duration::from_millis(100);
        adjust(config);
    })
    .await
}

/// Every version of a registry but for its time.
fn listing(registry: &SmallRegistry) -> Value {
    let listed = registry.ask("GET", "/schemas?subjectPrefix=:*:&deleted=true", None).body;
    let mut listed: Vec<Value> = serde_json::from_str(&listed).expect("a list");
    listed.iter_mut().for_each(|item| drop(item.as_object_mut().expect("an object").remove("ts")));
    listed.into()
}

async fn until_same(house: &House, local: &SmallRegistry) {
    let patience = tokio::time::Instant::now() + Duration::from_secs(20);
    while listing(local) != listing(&house.primary) || house.status().await["local"]["inStep"]["."] != true {
        let status = house.status().await;
        assert!(tokio::time::Instant::now() < patience, "it never became the same: {}", status["local"]);
    }
}

#[tokio::test]
async fn what_clients_write_through_an_outpost_is_soon_in_the_local_registry_too() {
    let local = SmallRegistry::start().await;
    let house = writing_into(&local, |_| {}).await;
    for (subject, doc) in [("a", "1"), ("a", "2"), (":.c:a", "1"), ("b", "1")] {
        assert_eq!(house.register(subject, doc).await.status, 200);
    }
    until_same(&house, &local).await;
    for (method, target, body) in [
        ("DELETE", "/subjects/a/versions/1", ""),
        ("PUT", "/config/a", r#"{"compatibility":"FULL"}"#),
        ("DELETE", "/subjects/b", ""),
        ("DELETE", "/subjects/b?permanent=true", ""),
    ] {
        assert_eq!(house.ask(method, target, body).await.status, 200, "{target}");
    }
    until_same(&house, &local).await;
    let there = local.ask("GET", "/config/a", None).body;
    assert_eq!(there, r#"{"compatibilityLevel":"FULL"}"#);
    let status = house.status().await;
    let beside = &status["local"];
    assert_eq!(
        (&beside["writer"], &beside["claim"], &beside["reachable"]),
        (&json!(true), &json!("ours"), &json!(true))
    );
    assert_eq!((&beside["withheld"], &beside["foreignCount"]), (&json!([]), &json!(0)));
    assert_eq!(beside["lastFullPass"]["ok"], true);
    let metrics = send(house.admin(), "GET", "/metrics", &[], None).await.body;
    assert!(metrics.lines().any(|line| line.contains("sink_withheld 0")), "{metrics}");
}

#[tokio::test]
async fn an_outpost_that_is_not_to_write_compares_and_says_what_it_found() {
    let local = SmallRegistry::start().await;
    let house = writing_into(&local, |config| config.local.writer = false).await;
    assert_eq!(house.register("a", "1").await.status, 200);
    assert_eq!(house.imported().await.json()["local"]["ok"], true);
    assert_eq!(local.count(|seen| seen.method != "GET"), 0);
    let status = house.status().await;
    assert_eq!((&status["local"]["writer"], &status["local"]["inStep"]["."]), (&json!(false), &json!(false)));
}

#[tokio::test]
async fn a_second_outpost_that_would_write_is_told_whose_the_local_registry_is() {
    let local = SmallRegistry::start().await;
    let first = writing_into(&local, |_| {}).await;
    let second = writing_into(&local, |_| {}).await;
    first.imported().await;
    second.imported().await;
    let (ours, theirs) = (first.status().await, second.status().await);
    assert_eq!((&ours["local"]["claim"], &theirs["local"]["claim"]), (&json!("ours"), &json!("others")));
    assert!(theirs["local"]["otherWriter"]["instance"].is_string(), "{}", theirs["local"]);
}

#[tokio::test]
async fn what_is_the_local_registrys_own_is_left_to_it() {
    let local = SmallRegistry::start().await;
    let house = writing_into(&local, |_| {}).await;
    assert_eq!(house.ask("PUT", "/mode/:.own:", r#"{"mode":"READWRITE"}"#).await.status, 200);
    let at_primary = house.primary.ask("POST", "/subjects/:.own:theirs/versions", Some(r#"{"schema":"\"int\""}"#));
    assert_eq!(at_primary.status, 200);
    assert_eq!(house.register(":.own:ours", "1").await.status, 200);
    assert_eq!(house.register("a", "1").await.status, 200);
    house.imported().await;
    let names = local.ask("GET", "/subjects", None).body;
    assert_eq!(names, r#"[":.own:ours","a"]"#);
    let status = house.status().await;
    assert_eq!(status["local"]["inStep"], json!({ ".": true }), "{}", status["local"]);
    assert_eq!(status["local"]["foreign"], json!([]));
}

#[tokio::test]
async fn under_a_map_the_local_registry_has_our_names() {
    let local = SmallRegistry::start().await;
    let house = writing_into(&local, |config| {
        config.contexts = vec![Pair { local: ".".to_owned(), primary: ".site1".to_owned() }];
    })
    .await;
    assert_eq!(house.register("a", "1").await.status, 200);
    house.imported().await;
    assert_eq!(house.primary.ask("GET", "/subjects", None).body, r#"[":.site1:a"]"#);
    assert_eq!(local.ask("GET", "/subjects", None).body, r#"["a"]"#);
    assert_eq!(house.status().await["local"]["inStep"]["."], true);
}

#[tokio::test]
async fn reads_and_the_importer_do_not_wait_for_a_local_registry_that_is_away() {
    let local = SmallRegistry::start().await;
    let house = writing_into(&local, |_| {}).await;
    local.stop().await;
    assert_eq!(house.register("a", "1").await.status, 200);
    let import = house.imported().await;
    assert_eq!((import.status, &import.json()["local"]["ok"]), (200, &json!(false)));
    assert_eq!(house.get("/subjects/a/versions/1").await.status, 200);
    let status = house.status().await;
    assert_eq!((&status["caughtUp"], &status["local"]["inStep"]["."]), (&json!(true), &json!(false)));
    local.restart().await.expect("the same port");
    until_same(&house, &local).await;
}

#[tokio::test]
async fn a_context_that_is_taken_from_the_primary_is_in_the_mode_that_was_set_and_not_in_the_importers() {
    let local = SmallRegistry::start().await;
    let house = writing_into(&local, |_| {}).await;
    for number in 0..30 {
        assert_eq!(house.register(&format!(":.c:s{number}"), "1").await.status, 200);
    }
    let slow = |seen: &small_registry::Seen| seen.path().starts_with("/mode/:.c:") && seen.method == "GET";
    local.fault_where(slow, None, small_registry::Fault::Delay(Duration::from_millis(20)));
    let import = house.imported();
    let switch = async {
        local.wait_for(1, slow).await;
        house.ask("PUT", "/mode/:.c:", r#"{"mode":"READWRITE"}"#).await
    };
    let (_, switched) = tokio::join!(import, switch);
    assert_eq!(switched.status, 200);
    assert_eq!(local.ask("GET", "/mode/:.c:", None).body, r#"{"mode":"READWRITE"}"#);
    house.imported().await;
    assert_eq!(local.ask("GET", "/mode/:.c:", None).body, r#"{"mode":"READWRITE"}"#);
    assert_eq!(house.register(":.c:own", "1").await.status, 200);
}

#[tokio::test]
async fn with_a_wider_scope_every_context_becomes_the_local_registrys_own() {
    let local = SmallRegistry::start().await;
    let house = writing_into(&local, |_| {}).await;
    for subject in ["a", ":.c:a"] {
        assert_eq!(house.register(subject, "1").await.status, 200);
    }
    house.imported().await;
    assert_eq!(local.ask("GET", "/mode/:.c:", None).body, r#"{"mode":"IMPORT"}"#);
    assert_eq!(house.ask("PUT", "/mode/:.__GLOBAL:", r#"{"mode":"READWRITE"}"#).await.status, 200);
    for subject in ["a", ":.c:a", ":.new:a"] {
        let registered = house.register(subject, "2").await;
        assert_eq!(registered.status, 200, "{subject}: {}", registered.body);
        assert_eq!(local.ask("GET", &format!("/subjects/{subject}/versions/latest"), None).status, 200);
    }
    assert_eq!(house.primary.ask("GET", "/subjects/a/versions", None).body, "[1]");
}
