//! A local registry that others wrote: it answers without a body or a code, and stores modes as it likes.

use std::time::Duration;

use schema_outpost::config::Mode;
use serde_json::json;
use small_registry::{Fault, Seen, SmallRegistry};

use crate::house::{House, send};

fn said(status: u16, body: &str) -> Fault {
    Fault::Status { status, headers: Vec::new(), body: body.to_owned() }
}

fn changes_a_mode(seen: &Seen) -> bool {
    seen.method == "PUT" && seen.path().starts_with("/mode")
}

#[tokio::test]
async fn a_mode_that_the_local_registry_refuses_in_whatever_form_does_not_count_and_is_not_called_an_outage() {
    let local = SmallRegistry::start().await;
    let house = House::beside(&local, |config| config.mode = Some(Mode::ReadWrite)).await;
    for (status, body, heard) in [
        (401, "", r#"{"error_code":401,"message":"HTTP 401 Unauthorized"}"#),
        (409, r#"{"message":"It is read-only.","error_code":0}"#, r#"{"error_code":409,"message":"It is read-only."}"#),
        (422, r#"{"message":"Invalid mode","error_code":42201}"#, r#"{"error_code":42201,"message":"Invalid mode"}"#),
        (403, "<html>", r#"{"error_code":403,"message":"HTTP 403 Forbidden"}"#),
    ] {
        local.fault_where(changes_a_mode, Some(1), said(status, body));
        let refused = house.set("/mode?force=true", "IMPORT").await;
        assert_eq!((refused.status, &*refused.body), (status, heard));
        assert_eq!(house.get("/mode").await.body, r#"{"mode":"READWRITE"}"#);
        assert_eq!(house.register("s", &status.to_string()).await.status, 200, "it does not count");
    }
}

/// As a registry answers that has no such method, and so goes on in the mode that was to end.
#[tokio::test]
async fn a_local_registry_in_which_a_mode_cannot_be_deleted_is_set_to_what_counts_then() {
    let local = SmallRegistry::start().await;
    let house = House::beside(&local, |config| config.mode = Some(Mode::ReadWrite)).await;
    assert_eq!(house.set("/mode", "READONLY").await.status, 200);
    assert_eq!(local.ask("GET", "/mode", None).body, r#"{"mode":"READONLY"}"#);
    local.fault_where(|seen| seen.method == "DELETE" && seen.path() == "/mode", Some(1), said(405, ""));
    assert_eq!(send(house.address(), "DELETE", "/mode", &[], None).await.status, 200);
    assert_eq!(local.ask("GET", "/mode", None).body, r#"{"mode":"READWRITE"}"#);
    assert_eq!(house.register("s", "1").await.status, 200);
}

#[tokio::test]
async fn subjects_that_lie_elsewhere_in_a_local_registry_that_reads_no_prefix_do_not_stand_in_the_way_of_an_import() {
    let local = SmallRegistry::start().await;
    let house = House::beside(&local, |_| {}).await;
    let is_list = |seen: &Seen| seen.method == "GET" && seen.path() == "/subjects";
    for (listed, status) in [(r#"["a",":.d:b"]"#, 200), (r#"["a",":.c:b"]"#, 422)] {
        local.fault_where(is_list, Some(1), said(200, listed));
        assert_eq!(house.set("/mode/:.c:", "FORWARD").await.status, 200);
        let heard = house.set("/mode/:.c:", "IMPORT").await;
        assert_eq!(heard.status, status, "{listed}: {heard:?}");
    }
}

/// As a registry does that reads nothing but a level from a configuration, and fails where there is none.
#[tokio::test]
async fn a_local_registry_that_fails_over_the_claim_of_its_writer_is_written_without_one() {
    let local = SmallRegistry::start().await;
    let is_claim = |seen: &Seen| seen.method == "PUT" && seen.path().contains("__outpost");
    local.fault_where(is_claim, None, said(500, r#"{"message":"Name is null","error_code":0}"#));
    let house = House::with(SmallRegistry::builder(), |config| {
        config.local.urls = vec![local.url()];
        config.local.writer = true;
        config.importer.interval = Duration::from_millis(100);
    })
    .await;
    assert_eq!(house.register("s", "1").await.status, 200);
    assert_eq!(house.imported().await.json()["local"]["ok"], true);
    let beside = house.status().await["local"].clone();
    assert_eq!((&beside["claim"], &beside["inStep"]["."]), (&json!("unsupported"), &json!(true)), "{beside}");
    assert_eq!(local.ask("GET", "/subjects", None).body, r#"["s"]"#);
}
