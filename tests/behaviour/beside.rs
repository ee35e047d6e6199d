//! A local registry and a primary at once: whose a request is, whatever it looks like, and what becomes of a change of
//! modes half way (CONSISTENCY.md, Modes).

use schema_outpost::config::Mode;
use serde_json::json;
use small_registry::{Fault, Seen, SmallRegistry};

use crate::house::{House, registration, send};

fn is_change(seen: &Seen) -> bool {
    seen.method != "GET" && seen.method != "HEAD"
}

#[tokio::test]
async fn a_wider_scope_takes_along_what_the_local_registry_has_set_on_a_narrower_one() {
    let local = SmallRegistry::start().await;
    let house = House::beside(&local, |_| {}).await;
    assert_eq!(local.ask("POST", "/subjects/:.c:s/versions", Some(&registration("1"))).status, 200);
    for (scope, body) in
        [("/mode?force=true", "IMPORT"), ("/mode/:.c:?force=true", "IMPORT"), ("/mode/:.d:", "READONLY")]
    {
        let body = json!({ "mode": body }).to_string();
        assert_eq!(local.ask("PUT", scope, Some(&body)).status, 200, "as an importer leaves it");
    }
    assert_eq!(house.set("/mode/:.__GLOBAL:", "READWRITE").await.status, 200);
    for subject in ["s", ":.c:s"] {
        let answer = house.register(subject, "here").await;
        assert_eq!(answer.status, 200, "{subject}: {answer:?}");
    }
    assert_eq!(house.set("/mode/:.__GLOBAL:?force=true", "IMPORT").await.status, 200);
    for subject in ["s", ":.c:s"] {
        assert_eq!(house.register(subject, "an id of its own").await.code(), 42205, "{subject}");
    }
    assert_eq!(house.primary.count(is_change), 0);
}

#[tokio::test]
async fn what_nobody_can_place_is_written_to_neither_of_two_registries() {
    let local = SmallRegistry::start().await;
    let house = House::beside(&local, |_| {}).await;
    assert_eq!(house.set("/mode/:.c:", "READWRITE").await.status, 200);
    local.forget_requests();
    let unnamed = json!({"resourceName": "r", "resourceNamespace": "c", "resourceId": "r", "resourceType": "topic",
        "associations": [{"associationType": "value", "lifecycle": "STRONG", "schema": {"schema": "\"int\""}}]});
    for (method, target, body) in [
        ("POST", "/associations?context=.c", unnamed.to_string()),
        ("PUT", "/associations/resources/r", unnamed.to_string()),
        ("DELETE", "/associations/resources/r", String::new()),
    ] {
        let refused = house.ask(method, target, &body).await;
        assert_eq!((refused.status, refused.code()), (422, 42205), "{method} {target}: {refused:?}");
    }
    assert_eq!([&local, &house.primary].map(|registry| registry.count(is_change)), [0, 0]);
    assert_eq!(house.set("/mode/:.__GLOBAL:", "READWRITE").await.status, 200);
    assert_ne!(house.ask("DELETE", "/associations/resources/r", "").await.code(), 42205, "there is one place now");
}

/// Its configuration is the primary's, wherever it leads.
#[tokio::test]
async fn the_configuration_of_an_alias_is_where_the_alias_is() {
    let local = SmallRegistry::start().await;
    let house = House::beside(&local, |_| {}).await;
    assert_eq!(house.set("/mode/:.c:", "READWRITE").await.status, 200);
    assert_eq!(house.ask("PUT", "/config/nick", r#"{"alias":":.c:s"}"#).await.status, 200);
    assert!(house.get("/config/nick").await.body.contains(":.c:s"));
    assert_eq!(send(house.address(), "DELETE", "/config/nick", &[], None).await.status, 200);
    assert!(!house.primary.ask("GET", "/config/nick", None).body.contains("alias"));
}

/// Two readers of such a path could find two things in it, one of them a mode, or a way out of the base path.
#[tokio::test]
async fn what_can_be_read_in_two_ways_is_not_passed_to_the_local_registry() {
    let house = House::with(SmallRegistry::builder().base_path("/apis/ccompat/v7"), |config| {
        config.local.urls = std::mem::take(&mut config.primary.urls);
    })
    .await;
    assert_eq!(house.register("s", "1").await.status, 200);
    house.primary.forget_requests();
    let mode = json!({"mode": "IMPORT"}).to_string();
    for (method, target) in [
        ("PUT", "//mode"),
        ("PUT", "/contexts/.c/mode;x"),
        ("PUT", "/mode/%2e%2e/mode"),
        ("GET", "/../../elsewhere"),
        ("GET", "/..;/elsewhere"),
        ("GET", "/%2e%2e/elsewhere"),
        ("GET", "/contexts/../elsewhere"),
        ("DELETE", "/subjects/../subjects/s"),
        ("PATCH", "/contexts/../subjects"),
        ("OPTIONS", "/contexts/%2E%2e/subjects"),
    ] {
        let body = (method == "PUT").then_some(mode.as_str());
        send(house.address(), method, target, &[("Content-Type", "application/json")], body).await;
    }
    let odd = house.primary.requests().into_iter().find(|seen| is_change(seen) || seen.target.contains(".."));
    let is_harmless = odd.as_ref().is_none_or(|seen| seen.target.contains("/contexts/:..:/"));
    assert!(is_harmless, "{odd:?}");
    assert_eq!(house.get("/mode").await.body, r#"{"mode":"READWRITE"}"#);
    assert_eq!(house.get("/subjects").await.body, r#"["s"]"#);
}

#[tokio::test]
async fn writes_are_stopped_whether_the_local_registry_hears_of_it_or_not() {
    let local = SmallRegistry::start().await;
    let house = House::beside(&local, |config| config.mode = Some(Mode::ReadWrite)).await;
    assert_eq!(house.register("s", "1").await.status, 200);
    local.stop().await;
    assert_eq!(house.set("/mode", "READONLY").await.status, 200);
    local.restart().await.expect("the same port");
    assert_eq!(house.until("/subjects/s/versions", |heard| heard.status == 200).await.body, "[1]");
    assert_eq!(house.register("s", "2").await.code(), 42205);
}

#[tokio::test]
async fn an_import_begins_on_nothing_and_what_is_no_word_about_that_is_not_taken_for_one() {
    let local = SmallRegistry::start().await;
    let house = House::beside(&local, |_| {}).await;
    let is_listing = |seen: &Seen| seen.method == "GET" && seen.path() == "/subjects";
    for (status, body) in [(403, "{}"), (404, "<html>"), (302, ""), (200, "<html>")] {
        let fault = Fault::Status { status, headers: Vec::new(), body: body.to_owned() };
        local.fault_where(is_listing, Some(1), fault);
        assert_eq!(house.set("/mode/:.c:", "IMPORT").await.code(), 50003, "{status} {body}");
    }
    assert_eq!(local.count(is_change), 0);
    assert_eq!(house.set("/mode/:.c:", "IMPORT").await.status, 200);
}

#[tokio::test]
async fn read_only_and_alone_what_was_registered_before_is_found_all_the_same() {
    let house = House::open().await;
    let first = house.register("s", "1").await;
    house.imported().await;
    assert_eq!(house.set("/mode", "READONLY").await.status, 200);
    house.primary.stop().await;
    assert_eq!(house.register("s", "1").await.body, first.body);
    assert_eq!(house.register("s", "2").await.code(), 50003);
}

/// By `Via`, also in calls that no client made (RFC 9110 § 7.6.3).
#[tokio::test]
async fn an_outpost_that_is_its_own_local_registry_finds_that_out() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|held| held.local_addr()).expect("a port");
    let house = House::with(SmallRegistry::builder(), |config| {
        config.listeners[0].bind = port;
        config.local.urls = vec![format!("http://{port}")];
    })
    .await;
    let refused = house.set("/mode/:.c:", "READWRITE").await;
    assert!(refused.status >= 400, "{refused:?}");
    assert_eq!(house.get("/mode/:.c:").await.code(), 40409);
}

/// Under a name or an id that clients know they would find something else there.
#[tokio::test]
async fn a_context_is_not_moved_over_what_the_local_registry_has_otherwise_unless_someone_insists() {
    let local = SmallRegistry::start().await;
    assert_eq!(local.ask("POST", "/subjects/:.c:s/versions", Some(&registration("its own"))).status, 200);
    let house = House::beside(&local, |config| config.local.writer = true).await;
    for subject in [":.c:s", ":.d:s"] {
        assert_eq!(house.register(subject, "the primary's").await.status, 200);
    }
    house.imported().await;
    let withheld = house.status().await["local"]["withheld"].clone();
    assert_eq!(withheld[0]["subject"], ":.c:s", "{withheld}");
    for scope in ["/mode/:.c:", "/mode/:.__GLOBAL:"] {
        let refused = house.set(scope, "READWRITE").await;
        assert_eq!((refused.status, refused.code()), (422, 42205), "{scope}: {refused:?}");
        assert!(refused.body.contains(":.c:s"), "{refused:?}");
    }
    assert_eq!(house.set("/mode/:.d:", "READWRITE").await.status, 200);
    assert_eq!(house.set("/mode/:.c:?force=true", "READWRITE").await.status, 200);
    assert!(house.get("/subjects/:.c:s/versions/1").await.body.contains("its own"));
}

/// What one outpost has made the local registry's own, another does not take back by importing into it.
#[tokio::test]
async fn a_writer_leaves_a_context_alone_that_another_outpost_has_moved() {
    let local = SmallRegistry::start().await;
    let house = House::beside(&local, |config| config.local.writer = true).await;
    for subject in ["s", ":.c:s"] {
        assert_eq!(house.register(subject, "1").await.status, 200);
    }
    house.imported().await;
    assert_eq!(local.ask("GET", "/subjects", None).body, r#"[":.c:s","s"]"#);
    assert_eq!(local.ask("PUT", "/mode/:.c:?force=true", Some(r#"{"mode":"READWRITE"}"#)).status, 200);
    assert_eq!(house.register(":.c:s", "2").await.status, 200);
    house.imported().await;
    assert_eq!(local.ask("GET", "/mode/:.c:", None).body, r#"{"mode":"READWRITE"}"#);
    assert_eq!(local.ask("GET", "/subjects/:.c:s/versions", None).body, "[1]");
    let beside = house.status().await["local"].clone();
    assert!(beside["withheld"].to_string().contains("READWRITE"), "{beside}");
    assert_eq!(beside["inStep"][".c"], false, "{beside}");
}

/// A subject that lives in the local registry while its context is forwarded is nothing to the importer.
#[tokio::test]
async fn what_is_deleted_at_the_primary_stays_where_the_subject_lives_apart() {
    let local = SmallRegistry::start().await;
    let house = House::beside(&local, |config| config.local.writer = true).await;
    for subject in ["s", "t"] {
        assert_eq!(house.register(subject, "1").await.status, 200);
    }
    house.imported().await;
    assert_eq!(house.set("/mode/s?force=true", "READWRITE").await.status, 200);
    for target in ["/subjects/s", "/subjects/s?permanent=true", "/subjects/t", "/subjects/t?permanent=true"] {
        assert_eq!(house.primary.ask("DELETE", target, None).status, 200, "{target}");
    }
    house.imported().await;
    send(house.admin(), "POST", "/import?confirm=true", &[], None).await;
    assert_eq!(local.ask("GET", "/subjects?deleted=true", None).body, r#"["s"]"#);
    assert_eq!(house.get("/subjects/s/versions").await.body, "[1]");
}
