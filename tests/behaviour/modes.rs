//! The modes as law: what is set counts, outlives the process, and lets nothing through that it forbids
//! (CONSISTENCY.md, Modes).

use std::collections::BTreeMap;
use std::time::Duration;

use schema_outpost::config::Mode;
use schema_outpost::protocol::endpoints::{ENDPOINTS, Effect, Endpoint, Route};
use schema_outpost::routing::Pair;
use schema_outpost::server::ListenerConfig;
use serde_json::json;
use small_registry::{Seen, SmallRegistry};

use crate::house::{House, registration, send};
use crate::program::{Place, Running};

/// The scopes that hold the subject `:.c:s`, the closest first.
const SCOPES: [&str; 3] = ["/mode/:.c:s", "/mode/:.c:", "/mode/:.__GLOBAL:"];

/// A request of a row of the table that is about the subject `:.c:s`, as far as it is about any.
fn request(row: &Endpoint) -> (String, Option<String>) {
    let path = row
        .path
        .replace("{subject}", ":.c:s")
        .replace("{version}", "1")
        .replace("{context}", ".c")
        .replace("{id}", "1")
        .replace("{guid}", "00000000-0000-0000-0000-000000000000")
        .replace("{kek}", "k");
    let path = path.replace("{resource}", "r").replace("{namespace}", "n").replace("{name}", "r");
    let association = json!({"resourceName": "r", "resourceNamespace": "n", "resourceId": "r", "resourceType": "topic",
        "associations": [{"subject": ":.c:s", "associationType": "value", "lifecycle": "WEAK"}]});
    let body = match row.route {
        _ if row.method == "GET" || row.method == "DELETE" => return (path, None),
        Route::Register | Route::Lookup | Route::TestCompatibility | Route::TestCompatibilityAll => registration("new"),
        Route::CreateAssociation | Route::UpdateAssociation => association.to_string(),
        Route::BatchMutateAssociations => json!({ "requests": [association] }).to_string(),
        Route::DekWrite if path.ends_with("/deks") => json!({"subject": ":.c:s", "version": 1}).to_string(),
        _ => json!({"compatibility": "NONE", "mode": "READONLY"}).to_string(),
    };
    (path, Some(body))
}

/// Whether a mode of a scope has a say in what a row is about.
fn reaches(scope: &str, row: &Endpoint) -> bool {
    match row.route {
        Route::UpdateGlobalConfig | Route::DeleteGlobalConfig => scope == "/mode/:.__GLOBAL:",
        // Keys that are no subject's belong to the registry as a whole; a body may name one all the same.
        Route::DekWrite if !row.path.contains("{subject}") => {
            scope == "/mode/:.__GLOBAL:" || (row.path.ends_with("/deks") && row.method == "POST")
        }
        Route::DeleteContext => scope != "/mode/:.c:s",
        _ => true,
    }
}

fn is_change(seen: &Seen) -> bool {
    seen.method != "GET" && seen.method != "HEAD"
}

#[tokio::test]
async fn no_write_of_any_endpoint_passes_a_mode_that_forbids_it_and_everything_else_does() {
    let house = House::with(SmallRegistry::builder().dek_registry(), |_| {}).await;
    assert_eq!(house.register(":.c:s", "1").await.status, 200);
    house.imported().await;
    for mode in ["READONLY", "READONLY_OVERRIDE"] {
        for scope in SCOPES {
            assert_eq!(house.set(scope, mode).await.body, json!({ "mode": mode }).to_string());
            for row in ENDPOINTS.iter().filter(|row| row.effect != Effect::Control) {
                house.primary.forget_requests();
                let (target, body) = request(row);
                let headers: &[(&str, &str)] =
                    if body.is_some() { &[("Content-Type", "application/json")] } else { &[] };
                let answer = send(house.address(), row.method, &target, headers, body.as_deref()).await;
                let is_refused = row.effect == Effect::Write && reaches(scope, row);
                let said = format!("{mode} on {scope}: {} {target}: {answer:?}", row.method);
                if is_refused {
                    assert_eq!((answer.status, answer.code()), (422, 42205), "{said}");
                    assert!(answer.body.contains("is in read-only mode"), "{said}");
                    // A registration may be asked for by a lookup, and that changes nothing.
                    let is_lookup = |seen: &Seen| seen.method == "POST" && seen.path() == "/subjects/:.c:s";
                    assert_eq!(house.primary.count(|seen| is_change(seen) && !is_lookup(seen)), 0, "{said}");
                } else {
                    assert!(!answer.body.contains("read-only"), "{said}");
                    let is_asked = row.effect != Effect::Write || house.primary.count(is_change) > 0;
                    assert!(is_asked, "{said}");
                }
            }
            let deleted = send(house.address(), "DELETE", scope, &[], None).await;
            assert_eq!(deleted.body, json!({ "mode": mode }).to_string());
        }
    }
    assert_eq!(house.register(":.c:s", "2").await.status, 200, "nothing is set any more");
}

/// What a row of the table is asked with: a registration is of a schema that is there or of a new one, and gives ids to
/// what it registers or leaves that to the registry.
fn requests(row: &Endpoint) -> Vec<(String, Option<String>)> {
    let (target, body) = request(row);
    if row.route != Route::Register {
        return vec![(target, body)];
    }
    let schema = |doc: &str| serde_json::from_str::<serde_json::Value>(&registration(doc)).expect("JSON");
    let with = |doc: &str, ids: serde_json::Value| {
        let mut body = schema(doc);
        body.as_object_mut().expect("an object").extend(ids.as_object().expect("an object").clone());
        Some(body.to_string())
    };
    let ids = json!({"id": 70, "version": 7});
    let known = json!({"id": 1, "version": 1});
    ["1", "new"]
        .into_iter()
        .flat_map(|doc| [json!({}), if doc == "1" { known.clone() } else { ids.clone() }].map(|ids| with(doc, ids)))
        .map(|body| (target.clone(), body))
        .collect()
}

/// Who has to see a change in a mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goes {
    ToThePrimary,
    ToTheLocalRegistry,
    Nowhere,
}

/// Every row that changes something, under every mode, in every scope: it goes to one registry or to none, and is answered
/// as that registry answers it in that mode itself.
#[tokio::test]
async fn every_change_of_every_endpoint_goes_where_its_mode_says_and_is_answered_as_there() {
    let registry = || SmallRegistry::builder().dek_registry();
    let mut asked = 0;
    for (mode, goes) in [
        ("FORWARD", Goes::ToThePrimary),
        ("READWRITE", Goes::ToTheLocalRegistry),
        ("IMPORT", Goes::ToTheLocalRegistry),
        ("READONLY", Goes::Nowhere),
        ("READONLY_OVERRIDE", Goes::Nowhere),
    ] {
        for scope in SCOPES.into_iter().filter(|scope| mode != "FORWARD" || !scope.ends_with('s')) {
            let local = registry().start().await.expect("a port");
            let house = House::with(registry(), |config| config.local.urls = vec![local.url()]).await;
            // What answers is held to one that nobody stands before.
            let twin = registry().start().await.expect("a port");
            for registry in [&local, &house.primary, &twin] {
                let first = registry.ask("POST", "/subjects/:.c:s/versions", Some(&registration("1")));
                assert_eq!(first.status, 200);
            }
            house.imported().await;
            let set = house.set(&format!("{scope}?force=true"), mode).await;
            assert_eq!(set.body, json!({ "mode": mode }).to_string());
            if mode != "FORWARD" {
                let body = json!({ "mode": mode }).to_string();
                assert_eq!(twin.ask("PUT", &format!("{scope}?force=true"), Some(&body)).status, 200);
            }
            for row in ENDPOINTS.iter().filter(|row| row.effect == Effect::Write) {
                for (target, body) in requests(row) {
                    asked += 1;
                    let is_in_scope = reaches(scope, row) || mode == "FORWARD";
                    let headers: &[(&str, &str)] =
                        if body.is_some() { &[("Content-Type", "application/json")] } else { &[] };
                    local.forget_requests();
                    house.primary.forget_requests();
                    let answer = send(house.address(), row.method, &target, headers, body.as_deref()).await;
                    let said = format!("{mode} on {scope}: {} {target} {body:?}: {answer:?}", row.method);
                    let counts = [&house.primary, &local].map(|registry| registry.count(is_write));
                    match goes {
                        Goes::Nowhere if is_in_scope => assert_eq!(counts, [0, 0], "{said}"),
                        Goes::ToTheLocalRegistry if is_in_scope && !is_placed_nowhere(row) => {
                            assert_eq!(counts, [0, 1], "{said}");
                        }
                        // By what is set on everything it goes, and else by what there is where nothing is set.
                        Goes::ToTheLocalRegistry if scope.contains("GLOBAL") => assert_eq!(counts, [0, 1], "{said}"),
                        _ => assert_eq!(counts[1], 0, "{said}"),
                    }
                    let direct = twin.ask(row.method, &target, body.as_deref());
                    let code =
                        serde_json::from_str::<serde_json::Value>(&direct.body).unwrap_or_default()["error_code"]
                            .as_i64()
                            .unwrap_or_default();
                    // What is wrong with a request beside the mode, the registry says first in places, and here the mode is.
                    let is_ours = goes == Goes::Nowhere && (is_stricter_here(row) || direct.status >= 400);
                    let expected = if is_ours && is_in_scope { (422, 42205) } else { (direct.status, code) };
                    let heard = if answer.status < 300 { (answer.status, 0) } else { (answer.status, answer.code()) };
                    let is_placed = !is_placed_nowhere(row) || scope.contains("GLOBAL");
                    let is_comparable = is_in_scope && is_placed;
                    assert!(!is_comparable || heard == expected, "{said} instead of {expected:?}");
                }
            }
        }
    }
    assert!(asked > 300, "{asked}");
}

/// What changes something: a lookup does not, and reads do not.
fn is_write(seen: &Seen) -> bool {
    let is_lookup =
        seen.method == "POST" && seen.path().starts_with("/subjects/") && !seen.path().ends_with("/versions");
    is_change(seen) && (!is_lookup || seen.path().ends_with("/tags"))
}

/// Nobody can tell which scope it is about, so a scope of one context does not decide where it goes.
fn is_placed_nowhere(row: &Endpoint) -> bool {
    let names_a_subject = row.path.contains("{subject}") || (row.path.ends_with("/deks") && row.method == "POST");
    row.route == Route::DeleteAssociations || (row.route == Route::DekWrite && !names_a_subject)
}

/// The registry lets these pass whatever the mode; here a mode that forbids writes forbids them all.
fn is_stricter_here(row: &Endpoint) -> bool {
    matches!(row.route, Route::DekWrite | Route::DeleteContext | Route::DeleteAssociations)
}

/// The registry looks for a plain name in other contexts too, but registers nothing there (WIRE.md § 1.2).
#[tokio::test]
async fn what_is_registered_in_another_context_is_not_there_already() {
    for is_local in [false, true] {
        let local = SmallRegistry::start().await;
        let house = House::with(SmallRegistry::builder(), |config| {
            config.local.urls = vec![local.url()];
            config.mode = is_local.then_some(Mode::ReadWrite);
        })
        .await;
        let registry = if is_local { &local } else { &house.primary };
        assert_eq!(registry.ask("POST", "/subjects/:.c:s/versions", Some(&registration("1"))).status, 200);
        assert_eq!(house.set("/mode", "READONLY").await.status, 200);
        let refused = house.register("s", "1").await;
        assert_eq!((refused.status, refused.code()), (422, 42205), "{refused:?}");
    }
}

#[tokio::test]
async fn what_nobody_can_place_is_held_back_by_any_mode_that_forbids_writes() {
    let house = House::open().await;
    assert_eq!(house.set("/mode/:.c:", "READONLY").await.status, 200);
    house.primary.forget_requests();
    for (method, target) in [("POST", "/nobody/knows"), ("DELETE", "/associations/resources/r")] {
        let answer = house.ask(method, target, "{}").await;
        assert_eq!((answer.status, answer.code()), (422, 42205), "{method} {target}: {answer:?}");
    }
    assert_eq!(house.primary.count(is_change), 0);
}

#[tokio::test]
async fn in_read_only_mode_what_is_registered_already_is_found_and_nothing_else_is_registered() {
    let house = House::open().await;
    let first = house.register("s", "1").await;
    assert_eq!(first.status, 200);
    house.imported().await;
    assert_eq!(house.set("/mode", "READONLY").await.status, 200);
    assert_eq!(house.register("s", "1").await.json()["id"], first.json()["id"]);
    let refused = house.register("s", "2").await;
    assert_eq!(refused.body, r#"{"error_code":42205,"message":"Subject s in context  is in read-only mode"}"#);
    // Registered elsewhere a moment ago: only the primary knows, and it is asked without being changed.
    let elsewhere = house.primary.ask("POST", "/subjects/t/versions", Some(&registration("3")));
    assert_eq!(elsewhere.status, 200);
    house.primary.forget_requests();
    assert_eq!(house.register("t", "3").await.status, 200);
    assert_eq!(house.primary.count(|seen| seen.path().ends_with("/versions")), 0);
    // An explicit id is an import, whatever is there.
    let explicit = json!({"schema": "\"string\"", "id": 7}).to_string();
    assert_eq!(house.ask("POST", "/subjects/s/versions", &explicit).await.code(), 42205);
    house.primary.stop().await;
    assert_eq!(house.register("s", "1").await.status, 200, "known, though the primary is away");
    assert_eq!(house.register("s", "4").await.code(), 50003, "unknown is not absent");
}

#[tokio::test]
async fn a_mode_outlives_the_process_and_is_told_of_in_the_status() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::kept_in(folder.path()).await;
    for (scope, mode) in [("/mode/:.c:s", "READONLY"), ("/mode/t", "readonly_override"), ("/mode/:.c:", "FORWARD")] {
        assert_eq!(house.set(scope, mode).await.body, json!({ "mode": mode }).to_string(), "{scope}");
    }
    house.restart().await;
    assert_eq!(house.get("/mode/:.c:s").await.body, r#"{"mode":"READONLY"}"#);
    assert_eq!(house.get("/mode/t").await.body, r#"{"mode":"READONLY_OVERRIDE"}"#);
    assert_eq!(house.get("/mode/:.c:other?defaultToGlobal=true").await.body, r#"{"mode":"FORWARD"}"#);
    let status = house.status().await;
    assert_eq!(status["mode"], "FORWARD");
    let set: Vec<&str> =
        status["modes"].as_array().expect("a list").iter().filter_map(|set| set["scope"].as_str()).collect();
    assert_eq!(set, ["t", ":.c:", ":.c:s"]);
    assert_eq!(status["leftovers"], json!([]));
    let gone = send(house.address(), "DELETE", "/mode/:.c:?recursive=true", &[], None).await;
    assert_eq!(gone.body, r#"{"mode":"FORWARD"}"#);
    house.restart().await;
    assert_eq!(house.get("/mode/:.c:s").await.code(), 40409);
}

/// However a path or a body names the subject, or fails to.
#[tokio::test]
async fn no_spelling_leads_a_write_around_a_mode() {
    let house = House::with(SmallRegistry::builder().dek_registry(), |_| {}).await;
    for subject in ["s", ":.c:s"] {
        assert_eq!(house.register(subject, "1").await.status, 200);
    }
    let kek = json!({"name": "k", "kmsType": "aws-kms", "kmsKeyId": "arn"}).to_string();
    assert_eq!(house.ask("POST", "/dek-registry/v1/keks", &kek).await.status, 200);
    assert_eq!(house.ask("PUT", "/config/nick", r#"{"alias":"open","aliasForDeks":":.c:s"}"#).await.status, 200);
    assert_eq!(house.ask("PUT", "/config/:.c:nick", r#"{"alias":"open"}"#).await.status, 200);
    for scope in ["/mode/:.c:", "/mode/:.c:nick", "/mode/12", "/mode/nick"] {
        assert_eq!(house.set(scope, "READONLY").await.status, 200);
    }
    house.primary.forget_requests();
    let schema = registration("2");
    let association = |fields: serde_json::Value| {
        json!({"resourceName": "t", "resourceNamespace": "c", "resourceId": "r", "resourceType": "topic",
            "associations": [{"subject": "open", "associationType": "key", "lifecycle": "WEAK"}, fields]})
    };
    let unnamed =
        association(json!({"associationType": "value", "lifecycle": "STRONG", "schema": {"schema": "\"int\""}}));
    let aliased = association(json!({"subject": ":.c:s", "associationType": "value", "lifecycle": "WEAK"}));
    for (target, body) in [
        ("/subjects/%3A.c%3As/versions", schema.as_str()),
        ("/subjects/:%2Ec:s/versions", &schema),
        ("/contexts/.c/subjects/s/versions", &schema),
        ("/contexts/c/subjects/s/versions/", &schema),
        ("/contexts/:.c:/subjects/:.c:s/versions", &schema),
        ("/subjects/:.c:s;x=y/versions", &schema),
        // The registry's filter of aliases does not look past parameters, and so it is `nick` itself.
        ("/subjects;a=b/nick/versions", &schema),
        ("/subjects/nick;a=b/versions", &schema),
        ("/dek-registry/v1/keks/k/deks", r#"{"subject":12,"version":1}"#),
        ("/dek-registry/v1/keks/k/deks", r#"{"subject":"nick"}"#),
        ("/dek-registry/v1/keks/k/deks/nick", "{}"),
        ("/associations", &unnamed.to_string()),
        ("/associations", &aliased.to_string()),
        ("/associations", "{"),
        ("/associations:batchMutate", &json!({ "requests": [aliased, unnamed] }).to_string()),
    ] {
        let answer = house.ask("POST", target, body).await;
        assert_eq!((answer.status, answer.code()), (422, 42205), "{target} {body}: {answer:?}");
    }
    let is_lookup = |seen: &Seen| seen.path().contains("/subjects") && !seen.path().contains("/versions");
    let seen = house.primary.requests().into_iter().find(|seen| is_change(seen) && !is_lookup(seen));
    assert!(seen.is_none(), "{seen:?}");
    // What would be read differently by the parts of the registry is not passed on at all.
    for target in ["/contexts/.c/subjects;a=b/s/versions", "/contexts/.d/subjects/s;a=b/versions"] {
        assert_eq!(house.ask("POST", target, &schema).await.status, 400, "{target}");
    }
}

#[tokio::test]
async fn a_mode_is_kept_under_a_name_that_means_no_other_scope() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::kept_in(folder.path()).await;
    assert_eq!(house.set("/mode/:.c:x", "READONLY").await.status, 200);
    assert_eq!(house.set("/mode/:.::.c:x", "FORWARD").await.code(), 42204);
    assert_eq!(house.ask("PUT", "/mode/:.::.c:x", r#"{"mode":null}"#).await.status, 200);
    assert_eq!(house.set("/mode/:.::.d:x", "READONLY").await.status, 200);
    house.restart().await;
    assert_eq!(house.get("/mode/:.c:x").await.body, r#"{"mode":"READONLY"}"#);
    assert_eq!(house.get("/mode/:.::.d:x").await.body, r#"{"mode":"READONLY"}"#);
    assert_eq!(house.get("/mode/:.d:x").await.code(), 40409);
}

/// An answer that is no word about the schema is not taken for one.
#[tokio::test]
async fn in_read_only_mode_nothing_is_called_new_that_the_primary_did_not_call_unknown() {
    let house = House::open().await;
    assert_eq!(house.set("/mode", "READONLY").await.status, 200);
    let is_lookup = |seen: &Seen| seen.method == "POST" && seen.path() == "/subjects/s";
    for (status, body) in [(429, "{}"), (404, "<html>"), (403, "{}"), (422, r#"{"error_code":42201,"message":"x"}"#)] {
        let fault = small_registry::Fault::Status { status, headers: Vec::new(), body: body.to_owned() };
        house.primary.fault_where(is_lookup, Some(1), fault);
        let answer = house.register("s", "1").await;
        assert!(!answer.body.contains("42205"), "{status}: {answer:?}");
    }
    assert_eq!(house.register("s", "1").await.code(), 42205);
}

/// Writes follow aliases (WIRE.md § 3.5).
#[tokio::test]
async fn no_alias_leads_a_write_into_what_is_read_only() {
    let house = House::open().await;
    assert_eq!(house.register("s", "1").await.status, 200);
    assert_eq!(house.ask("PUT", "/config/nick", r#"{"alias":"s"}"#).await.status, 200);
    assert_eq!(house.set("/mode/s", "READONLY").await.status, 200);
    house.primary.forget_requests();
    for (method, target) in [("POST", "/subjects/nick/versions"), ("DELETE", "/subjects/nick")] {
        let answer = house.ask(method, target, &registration("2")).await;
        assert_eq!(answer.body, r#"{"error_code":42205,"message":"Subject s in context  is in read-only mode"}"#);
    }
    assert_eq!(house.register("nick", "1").await.status, 200, "registered already");
    assert_eq!(house.primary.count(|seen| seen.path().ends_with("/versions") || seen.method == "DELETE"), 0);
    assert_eq!(house.ask("PUT", "/config/nick", r#"{"alias":"t"}"#).await.status, 200, "the alias itself is not");
    assert_eq!(house.register("nick", "2").await.status, 200);
}

/// What was read through another map is forgotten; what was decided here is not.
#[tokio::test]
async fn a_mode_outlives_a_change_of_the_map() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::kept_in(folder.path()).await;
    assert_eq!(house.set("/mode/:.c:", "READONLY").await.status, 200);
    house.config.contexts = vec![Pair { local: ".c".into(), primary: ".site1".into() }];
    house.restart().await;
    assert_eq!(house.get("/mode/:.c:").await.body, r#"{"mode":"READONLY"}"#);
    assert_eq!(house.register(":.c:s", "1").await.code(), 42205);
}

#[tokio::test]
async fn an_outpost_can_be_read_only_from_its_start() {
    let house = House::with(SmallRegistry::builder(), |config| config.mode = Some(Mode::ReadOnly)).await;
    assert_eq!(house.get("/mode").await.body, r#"{"mode":"READONLY"}"#);
    assert_eq!(house.register("s", "1").await.code(), 42205);
    assert_eq!(house.set("/mode/:.c:", "FORWARD").await.status, 200);
    assert_eq!(house.register(":.c:s", "1").await.status, 200);
    assert_eq!(house.get("/subjects").await.body, r#"[":.c:s"]"#);
}

#[tokio::test]
async fn forward_is_for_whole_contexts_and_what_needs_a_local_registry_is_refused_without_one() {
    let house = House::open().await;
    for scope in ["/mode", "/mode/:.c:", "/mode/:.__GLOBAL:", "/contexts/.d/mode"] {
        assert_eq!(house.set(scope, "FORWARD").await.status, 200, "{scope}");
    }
    let refused = house.set("/mode/s?force=true", "FORWARD").await;
    assert_eq!(refused.body, r#"{"error_code":42204,"message":"Forward mode only supported on global level"}"#);
    for mode in ["READWRITE", "IMPORT"] {
        let refused = house.set("/mode?force=true", mode).await;
        assert_eq!((refused.status, refused.code()), (422, 42205), "{mode}: {}", refused.body);
    }
    assert_eq!(house.set("/mode/s", "nosuch").await.code(), 42204);
    assert_eq!(house.set("/mode/__GLOBAL", "READONLY").await.code(), 42208);
    assert_eq!(house.primary.count(is_change), 0);
}

#[tokio::test]
async fn a_bound_listener_hears_nothing_of_the_modes_of_others() {
    let two = |config: &mut schema_outpost::config::Config| {
        let bound = ListenerConfig { context: Some(".c".into()), ..config.listeners[0].clone() };
        config.listeners.push(bound);
    };
    let house = House::with(SmallRegistry::builder(), two).await;
    assert_eq!(house.set("/mode/:.other:payments", "READONLY").await.status, 200);
    for (method, target, body) in [
        ("POST", "/associations", "{}"),
        ("POST", "/associations", "{"),
        ("PUT", "/associations/resources/r", r#"{"associations":[{"associationType":"value"}]}"#),
    ] {
        let headers = [("Content-Type", "application/json")];
        let answer = send(house.addresses()[1], method, target, &headers, Some(body)).await;
        assert!(!answer.body.contains("read-only") && !answer.body.contains("payments"), "{target}: {answer:?}");
    }
}

#[tokio::test]
async fn a_bound_listener_changes_the_modes_of_its_own_context_alone() {
    let house = House::with(SmallRegistry::builder(), |config| config.listeners[0].context = Some(".c".into())).await;
    assert_eq!(house.set("/mode", "READONLY").await.status, 200);
    assert_eq!(house.status().await["modes"], json!([{"scope": ":.c:", "mode": "READONLY", "home": "primary"}]));
    let association = json!({"resourceName": "r", "resourceNamespace": "c", "resourceId": "r", "resourceType": "topic",
        "associations": [{"subject": "s", "associationType": "value", "lifecycle": "WEAK"}]});
    let held = house.ask("POST", "/associations", &association.to_string()).await;
    assert_eq!(held.body, r#"{"error_code":42205,"message":"Subject s in context .c is in read-only mode"}"#);
    for scope in ["/mode/:.d:", "/mode/:.d:s", "/mode/:.__GLOBAL:", "/contexts/.d/mode"] {
        let refused = house.set(scope, "READONLY").await;
        assert_eq!((refused.status, refused.code()), (403, 40301), "{scope}: {}", refused.body);
        let refused = send(house.address(), "DELETE", scope, &[], None).await;
        assert_eq!((refused.status, refused.code()), (403, 40301), "{scope}: {}", refused.body);
    }
}

#[tokio::test]
async fn each_change_and_each_refusal_is_one_line_that_says_who_what_and_why() {
    let primary = SmallRegistry::start().await;
    let place = Place::new();
    let mut running = Running::start(&place.configure(&primary.url(), "")).await;
    let steps = [
        ("PUT", "/mode", json!({"mode": "READONLY"}).to_string(), "UpdateGlobalMode", "mode changed"),
        ("POST", "/subjects/s/versions", registration("1"), "Register", "write refused"),
        ("DELETE", "/subjects/s", String::new(), "DeleteSubject", "write refused"),
        ("PUT", "/mode/s", json!({"mode": "FORWARD"}).to_string(), "UpdateSubjectMode", "mode change refused"),
        ("DELETE", "/mode", String::new(), "DeleteGlobalMode", "mode changed"),
        ("POST", "/subjects/s/versions", registration("1"), "Register", "write"),
    ];
    let mut counts = BTreeMap::new();
    for (method, target, body, operation, message) in &steps {
        running.ask(method, target, body).await;
        let number = counts.entry(message).and_modify(|count| *count += 1).or_insert(1);
        let line = running.line(message, *number).await;
        assert_eq!(line["operation"], *operation, "{line}");
        assert!(line["peer"].is_string() && line["request_id"].is_string(), "{line}");
        if message.ends_with("refused") {
            assert!(line["reason"].is_string() && line["scope"].is_string() && line["code"].is_number(), "{line}");
        }
    }
    let told = running.events().into_iter().filter(|event| event["operation"].is_string());
    assert_eq!(told.count(), steps.len());
}

#[tokio::test]
async fn a_write_that_is_under_way_ends_under_the_mode_it_began_in() {
    let house = House::open().await;
    let is_register = |seen: &Seen| seen.path().ends_with("/versions");
    house.primary.fault_where(is_register, Some(1), small_registry::Fault::SlowAnswer(Duration::from_secs(2)));
    let address = house.address();
    let writing = tokio::spawn(async move {
        let headers = [("Content-Type", "application/json")];
        send(address, "POST", "/subjects/s/versions", &headers, Some(&registration("1"))).await
    });
    while house.primary.count(is_register) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(house.set("/mode", "READONLY").await.status, 200);
    assert_eq!(house.register("s", "2").await.code(), 42205);
    assert!(!writing.is_finished());
    assert_eq!(writing.await.expect("answered").status, 200);
}
