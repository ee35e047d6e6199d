//! The registry that an outpost stands beside: in its modes everything goes there, and nobody notices the outpost.

use std::collections::BTreeMap;

use schema_outpost::config::{Config, Mode};
use schema_outpost::routing::Pair;
use schema_outpost::secret::Secret;
use schema_outpost::upstream::{Bearer, Credentials};
use serde_json::{Value, json};
use small_registry::SmallRegistry;

use crate::alike::{Answer, Varying, difference};
use crate::house::{House, registration, send};
use crate::record::{carry_out, is_about_modes, otherwise, replay, request_id, scenarios};
use crate::transcripts::{assert_none, unlike};

/// An outpost before a registry that was never converted: it has no primary.
fn unconverted(config: &mut Config) {
    config.local.urls = std::mem::take(&mut config.primary.urls);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outpost_before_an_unconverted_registry_changes_nothing() {
    let mut wrong = Vec::new();
    for scenario in scenarios() {
        let house = House::with(scenario.registry(), unconverted).await;
        let beside = scenario.registry().start().await.expect("a port");
        for line in scenario.lines.iter().filter(|line| line["kind"] != "checkpoint") {
            if is_about_modes(line) {
                carry_out(&house.primary, line);
                carry_out(&beside, line);
                continue;
            }
            let heard = replay(house.address(), line, &[]).await;
            let direct = replay(beside.address(), line, &[]).await;
            // What no intermediary may pass on, none passes on.
            if otherwise(line).is_some() {
                continue;
            }
            let difference = difference(&direct, &heard, &Varying::of(line), request_id(line).as_deref());
            if let Some(difference) = difference {
                wrong.push(format!("{}: {difference}", scenario.name_of(line)));
            }
        }
    }
    assert_none(&wrong);
}

/// A request to set a mode, of the record.
struct Update<'a> {
    scope: &'a str,
    mode: String,
}

impl<'a> Update<'a> {
    fn of(line: &'a Value) -> Option<Self> {
        let target = line["request"]["target"].as_str()?;
        let body: Value = serde_json::from_str(line["request"]["body"].as_str()?).ok()?;
        let is_put = line["request"]["method"] == "PUT";
        let mode = body["mode"].as_str().filter(|_| is_put)?.to_uppercase();
        Some(Self { scope: target.split('?').next()?, mode })
    }

    fn is_of_a_subject(&self) -> bool {
        let name = self.scope.trim_start_matches("/mode").trim_start_matches('/');
        !name.is_empty() && !name.ends_with(':') && !matches!(name, ":." | ":.__GLOBAL")
    }
}

/// How our answer to a request to set a mode differs from the recorded one because it was decided so
/// (CONSISTENCY.md, Modes).
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Decided {
    ForwardOnAWholeContext,
    NeverForwardOnASubject,
    ALeftoverOnlyWithForce,
}

fn decided(update: &Update<'_>, recorded: u64, heard: (u16, i64)) -> Option<Decided> {
    let is_local = matches!(update.mode.as_str(), "READWRITE" | "IMPORT");
    match (update.mode.as_str(), update.is_of_a_subject(), recorded, heard) {
        ("FORWARD", false, 422, (200, _)) => Some(Decided::ForwardOnAWholeContext),
        ("FORWARD", true, 200, (422, 42204)) => Some(Decided::NeverForwardOnASubject),
        (_, true, 200, (422, 42205)) if is_local => Some(Decided::ALeftoverOnlyWithForce),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_routes_of_modes_answer_as_recorded_but_for_what_was_decided() {
    let scenarios = scenarios();
    let Some(scenario) = scenarios.iter().find(|scenario| scenario.name.contains("mode")) else { return };
    let local = scenario.registry().start().await.expect("a port");
    let house = House::beside(&local, |config| config.mode = Some(Mode::ReadWrite)).await;
    let (mut wrong, mut found, mut compared) = (Vec::new(), BTreeMap::new(), 0);
    // A subject that the recorded registry forwards, and we do not.
    let mut forwarded: Option<String> = None;
    for line in scenario.lines.iter().filter(|line| line["kind"] != "checkpoint") {
        if !is_about_modes(line) {
            carry_out(&local, line);
            continue;
        }
        let update = Update::of(line);
        let target = line["request"]["target"].as_str().unwrap_or_default();
        if forwarded.as_deref().is_some_and(|scope| target.starts_with(scope)) {
            carry_out(&local, line);
            if line["request"]["method"] == "DELETE" {
                forwarded = None;
            }
            continue;
        }
        let set_before = house.status().await["modes"].clone();
        let heard = replay(house.address(), line, &[]).await;
        let recorded = line["response"]["status"].as_u64().unwrap_or_default();
        let code = serde_json::from_slice::<Value>(&heard.body).unwrap_or_default()["error_code"].as_i64();
        let verdict = update.as_ref().and_then(|update| {
            decided(update, recorded, (heard.status, code.unwrap_or_default())).map(|decided| (update, decided))
        });
        if let Some((update, decided)) = verdict {
            match decided {
                // Taken back, so that what follows finds what the recorded registry had.
                Decided::ForwardOnAWholeContext => {
                    assert_eq!(send(house.address(), "DELETE", update.scope, &[], None).await.status, 200);
                    let name = update.scope.trim_start_matches("/mode").trim_start_matches('/');
                    let is_it = |set: &&Value| set["scope"] == name;
                    if let Some(before) = set_before.as_array().expect("a list").iter().find(is_it) {
                        let mode = before["mode"].as_str().expect("a mode");
                        assert_eq!(house.set(&format!("{}?force=true", update.scope), mode).await.status, 200);
                    }
                }
                Decided::NeverForwardOnASubject => {
                    carry_out(&local, line);
                    forwarded = Some(update.scope.to_owned());
                }
                Decided::ALeftoverOnlyWithForce => {
                    let forced = house.set(&format!("{}?force=true", update.scope), &update.mode).await;
                    assert_eq!(forced.status, 200, "{forced:?}");
                    let leftovers = house.status().await["leftovers"].clone();
                    assert!(leftovers.to_string().contains(update.scope.trim_start_matches("/mode/")), "{leftovers}");
                }
            }
            *found.entry(decided).or_insert(0) += 1;
            continue;
        }
        // What the recorded registry does in a mode of which ours is told nothing, it does all the same.
        if update.is_some_and(|update| update.mode == "FORWARD") {
            carry_out(&local, line);
        }
        compared += 1;
        if let Some(difference) = unlike(line, &Answer::recorded(line), &heard) {
            wrong.push(format!("{}: {} {difference}", scenario.name_of(line), line["request"]["body"]));
        }
    }
    println!("{compared} compared, {found:?}");
    assert_none(&wrong);
    assert!(compared > 200 || scenario.lines.len() < 300, "{compared}");
}

#[tokio::test]
async fn one_context_is_the_local_registrys_while_another_is_forwarded() {
    let local = SmallRegistry::start().await;
    let house = House::beside(&local, |_| {}).await;
    assert_eq!(house.set("/mode/:.c:", "READWRITE").await.status, 200);
    assert_eq!(house.register(":.c:s", "here").await.status, 200);
    assert_eq!(house.register("s", "there").await.status, 200);
    for (registry, subjects) in [(&local, r#"[":.c:s"]"#), (&house.primary, r#"["s"]"#)] {
        assert_eq!(registry.ask("GET", "/subjects?subjectPrefix=:*:", None).body, subjects);
    }
    for target in [
        "/subjects/:.c:s/versions",
        "/subjects/%3A.c%3As/versions/latest",
        "/contexts/.c/subjects/s/versions/1",
        "/schemas/ids/1?subject=:.c:s",
        "/contexts/c/schemas/ids/1/versions",
        "/subjects?subjectPrefix=:.c:",
        "/config/:.c:s?defaultToGlobal=true",
        "/subjects/:.c:none/versions",
    ] {
        let (heard, direct) = (house.get(target).await, local.ask("GET", target, None));
        assert_eq!((heard.status, &heard.body), (direct.status, &direct.body), "{target}");
    }
    assert!(house.get("/schemas/ids/1").await.body.contains("there"));
    let lookup = house.ask("POST", "/subjects/:.c:s", &registration("here")).await;
    assert_eq!(lookup.status, 200, "{lookup:?}");
    // Nothing of the local registry's is kept, so what it forgets is gone at once.
    assert_eq!(local.ask("DELETE", "/subjects/:.c:s", None).status, 200);
    assert_eq!(house.get("/subjects/:.c:s/versions").await.code(), 40401);
    assert_eq!(house.status().await["replica"]["subjects"], 1);
}

#[tokio::test]
async fn the_local_registry_is_in_the_mode_that_counts_here_before_it_counts() {
    let local = SmallRegistry::start().await;
    let house = House::beside(&local, |_| {}).await;
    let there = |scope: &str| local.ask("GET", scope, None).body;
    assert_eq!(local.ask("POST", "/subjects/:.c:s/versions", Some(&registration("1"))).status, 200);
    assert_eq!(local.ask("DELETE", "/subjects/:.c:s", None).status, 200);
    for mode in ["READWRITE", "READONLY", "IMPORT"] {
        assert_eq!(house.set("/mode/:.c:", mode).await.status, 200, "{mode}");
        assert_eq!(there("/mode/:.c:"), json!({ "mode": mode }).to_string());
        if mode == "READWRITE" {
            // What was forwarded and is not any more: the form that wipes is never used.
            assert_eq!(local.ask("GET", "/subjects/:.c:s/versions?deleted=true", None).body, "[1]");
        }
    }
    assert_eq!(house.set("/mode/:.c:", "FORWARD").await.status, 200);
    assert!(there("/mode/:.c:").contains("40409"), "what is the primary's is none of its business");
    local.stop().await;
    let refused = house.set("/mode/:.c:", "READWRITE").await;
    assert_eq!((refused.status, refused.code()), (500, 50003), "{refused:?}");
    assert_eq!(house.get("/mode/:.c:").await.body, r#"{"mode":"FORWARD"}"#);
    local.restart().await.expect("the same port");
    assert_eq!(house.set("/mode/:.c:", "READWRITE").await.status, 200);
    assert_eq!(there("/mode/:.c:"), r#"{"mode":"READWRITE"}"#);
}

#[tokio::test]
async fn what_was_forwarded_before_is_imported_into_without_wiping_anything() {
    let local = SmallRegistry::start().await;
    assert_eq!(local.ask("POST", "/subjects/:.c:s/versions", Some(&registration("1"))).status, 200);
    let house = House::beside(&local, |_| {}).await;
    let refused = house.set("/mode/:.c:", "IMPORT").await;
    assert_eq!(refused.body, r#"{"error_code":42205,"message":"Cannot import since found existing subjects"}"#);
    assert_eq!(local.ask("DELETE", "/subjects/:.c:s", None).status, 200);
    assert_eq!(house.set("/mode/:.c:", "IMPORT").await.status, 200);
    assert_eq!(local.ask("GET", "/subjects/:.c:s/versions?deleted=true", None).body, "[1]");
    let import = json!({"schema": "\"string\"", "id": 77, "version": 5}).to_string();
    assert_eq!(house.ask("POST", "/subjects/:.c:t/versions", &import).await.json()["id"], 77);
    assert_eq!(local.ask("GET", "/subjects/:.c:t/versions", None).body, "[5]");
    assert_eq!(house.register(":.c:t", "2").await.code(), 42205, "in the local registry's words");
}

#[tokio::test]
async fn in_read_only_mode_what_the_local_registry_has_is_found_there_and_nothing_is_written() {
    let local = SmallRegistry::start().await;
    let house = House::beside(&local, |config| config.mode = Some(Mode::ReadWrite)).await;
    let first = house.register("s", "1").await;
    assert_eq!(house.set("/mode", "READONLY").await.status, 200);
    // A registry that does not enforce modes would take it.
    local.ask("PUT", "/mode?force=true", Some(r#"{"mode":"READWRITE"}"#));
    local.forget_requests();
    assert_eq!(house.register("s", "1").await.body, first.body);
    let refused = house.register("s", "2").await;
    assert_eq!(refused.body, r#"{"error_code":42205,"message":"Subject s in context  is in read-only mode"}"#);
    assert_eq!(send(house.address(), "DELETE", "/subjects/s", &[], None).await.code(), 42205);
    assert_eq!(house.get("/subjects/s/versions").await.body, "[1]");
    assert_eq!(
        local.count(|seen| seen.method == "DELETE" || seen.path().ends_with("/versions") && seen.method == "POST"),
        0
    );
    assert_eq!(house.primary.ask("GET", "/subjects", None).body, "[]");
}

#[tokio::test]
async fn a_write_to_subjects_of_both_registries_is_refused_as_a_whole() {
    let local = SmallRegistry::start().await;
    let house = House::beside(&local, |_| {}).await;
    assert_eq!(house.set("/mode/:.c:", "READWRITE").await.status, 200);
    let one = |subject: &str| {
        json!({"resourceName": subject, "resourceNamespace": "n", "resourceId": subject, "resourceType": "topic",
            "associations": [{"subject": subject, "associationType": "value", "lifecycle": "WEAK", "schema": {"schema": "\"int\""}}]})
    };
    let body = json!({ "requests": [one("s"), one(":.c:s")] }).to_string();
    let refused = house.ask("POST", "/associations:batchMutate", &body).await;
    assert_eq!((refused.status, refused.code()), (422, 42205), "{refused:?}");
    for registry in [&local, &house.primary] {
        assert_eq!(registry.count(|seen| seen.method == "POST"), 0);
    }
}

/// Its credentials are the client's own where we have none for it, and never reach the primary.
#[tokio::test]
async fn the_local_registry_hears_the_clients_own_credentials_unless_it_is_given_ours() {
    let local = SmallRegistry::start().await;
    let mut house = House::beside(&local, |config| config.mode = Some(Mode::ReadWrite)).await;
    let theirs =
        [("Authorization", "Basic YWxpY2U6cHc="), ("Cookie", "a=b"), ("X-Custom", "kept"), ("X-Request-ID", "7")];
    let own = |seen: &small_registry::Seen| seen.header("authorization").map(ToOwned::to_owned);
    send(house.address(), "GET", "/subjects", &theirs, None).await;
    let seen = local.requests().into_iter().next_back().expect("asked");
    assert_eq!(own(&seen).as_deref(), Some("Basic YWxpY2U6cHc="));
    assert_eq!((seen.header("cookie"), seen.header("x-custom")), (Some("a=b"), Some("kept")));
    assert_eq!((seen.header("x-request-id"), seen.header("user-agent")), (Some("7"), None));
    house.config.local.allow_plain_http = true;
    let token = Bearer { token: Some(Secret::new("ours")), token_file: None };
    house.config.local.credentials = Some(Credentials::Bearer(token));
    house.restart().await;
    send(house.address(), "GET", "/subjects", &theirs, None).await;
    let seen = local.requests().into_iter().next_back().expect("asked");
    assert_eq!(own(&seen).as_deref(), Some("Bearer ours"));
    // That ours are refused is no word about the client's.
    let denied = small_registry::Fault::Status { status: 401, headers: Vec::new(), body: "{}".to_owned() };
    local.fault_where(|_| true, Some(1), denied);
    assert_eq!(house.get("/subjects").await.code(), 50003);
}

#[tokio::test]
async fn a_local_registry_that_is_away_is_called_so_and_its_writes_are_not_called_undone() {
    let local = SmallRegistry::start().await;
    let house = House::beside(&local, |config| config.mode = Some(Mode::ReadWrite)).await;
    assert_eq!(house.register("s", "1").await.status, 200);
    local.fault_where(|seen| seen.method == "POST", Some(1), small_registry::Fault::CutAfterAct);
    let unknown = house.register("s", "2").await;
    assert_eq!((unknown.status, unknown.code()), (500, 50002), "{unknown:?}");
    assert!(unknown.body.contains("local registry"), "{unknown:?}");
    assert_eq!(local.count(|seen| seen.method == "POST"), 2, "sent once each");
    local.stop().await;
    let away = house.register("s", "3").await;
    assert_eq!((away.status, away.code()), (500, 50003), "{away:?}");
    assert!(away.header("Retry-After").is_some() && away.body.contains("local registry"));
    assert_eq!(house.get("/subjects/s/versions").await.code(), 50003);
    let status = house.status().await;
    assert_eq!(
        (&status["local"]["reachable"], &status["degraded"]),
        (&json!(false), &json!("the local registry cannot be reached"))
    );
}

#[tokio::test]
async fn without_a_primary_an_outpost_is_ready_and_says_what_it_has() {
    let house = House::with(SmallRegistry::builder(), unconverted).await;
    let status = house.status().await;
    assert_eq!((&status["primary"], &status["mode"]), (&Value::Null, &json!("READWRITE")));
    assert_eq!(status["local"]["url"], house.primary.url());
    for probe in ["/ready", "/startup", "/live"] {
        assert_eq!(send(house.admin(), "GET", probe, &[], None).await.body, "{\"status\":\"ok\"}\n", "{probe}");
    }
    let refused = house.set("/mode", "FORWARD").await;
    assert_eq!((refused.status, refused.code()), (422, 42205), "{refused:?}");
}

#[tokio::test]
async fn a_bound_listener_sees_its_own_context_of_the_local_registry() {
    let local = SmallRegistry::start().await;
    let house = House::beside(&local, |config| {
        config.mode = Some(Mode::ReadWrite);
        config.listeners[0].context = Some(".c".into());
    })
    .await;
    assert_eq!(house.register("s", "1").await.status, 200);
    assert_eq!(local.ask("POST", "/subjects/other/versions", Some(&registration("2"))).status, 200);
    assert_eq!(local.ask("GET", "/subjects", None).body, r#"[":.c:s","other"]"#);
    assert_eq!(house.get("/subjects").await.body, r#"[":.c:s"]"#);
    assert_eq!(house.get("/contexts").await.body, r#"[".c"]"#);
    assert_eq!(house.get("/subjects/s/versions").await.body, "[1]");
    assert_eq!(house.get("/subjects/:.:other/versions").await.code(), 40301);
}

/// Names are exchanged on the way to the primary, and nowhere else.
#[tokio::test]
async fn the_local_registry_knows_our_names_whatever_the_primary_calls_them() {
    let local = SmallRegistry::start().await;
    let house = House::beside(&local, |config| {
        config.contexts = vec![Pair { local: ".".into(), primary: ".site1".into() }];
        config.mode = Some(Mode::ReadWrite);
    })
    .await;
    assert_eq!(house.set("/mode", "FORWARD").await.status, 200);
    assert_eq!(house.register("s", "there").await.status, 200);
    assert_eq!(house.register(":.c:s", "here").await.status, 200, "no entry of the map is needed");
    assert_eq!(house.primary.ask("GET", "/subjects", None).body, r#"[":.site1:s"]"#);
    assert_eq!(local.ask("GET", "/subjects", None).body, r#"[":.c:s"]"#);
    assert!(house.get("/subjects/s/versions/1").await.body.contains("there"));
    assert!(house.get("/subjects/:.c:s/versions/1").await.body.contains("here"));
    assert_eq!(house.set("/mode/:.c:", "FORWARD").await.status, 200);
    assert_eq!(house.get("/subjects/:.c:s/versions").await.code(), 40301, "forwarded, it is not mapped");
}

/// WIRE.md § 3.5.
#[tokio::test]
async fn an_alias_of_the_primarys_leads_into_the_local_registry_and_its_own_stay_its_own() {
    let local = SmallRegistry::start().await;
    let house = House::beside(&local, |_| {}).await;
    assert_eq!(house.ask("PUT", "/config/nick", r#"{"alias":":.c:s"}"#).await.status, 200);
    assert_eq!(house.register(":.c:s", "there").await.status, 200);
    assert!(house.get("/subjects/nick/versions/1").await.body.contains("there"));
    assert_eq!(local.ask("POST", "/subjects/:.c:s/versions", Some(&registration("here"))).status, 200);
    assert_eq!(house.set("/mode/:.c:?force=true", "READWRITE").await.status, 200);
    for _ in 0..2 {
        assert!(house.get("/subjects/nick/versions/1").await.body.contains("here"));
    }
    assert_eq!(local.ask("PUT", "/config/:.c:nick", Some(r#"{"alias":"s"}"#)).status, 200);
    assert_eq!(house.get("/subjects/:.c:nick/versions").await.body, "[1]");
    assert_eq!(house.register("nick", "more").await.status, 200);
    assert_eq!(local.ask("GET", "/subjects/:.c:s/versions", None).body, "[1,2]");
}

#[tokio::test]
async fn a_mode_whose_registry_is_gone_from_the_settings_still_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let local = SmallRegistry::start().await;
    let mut house = House::beside(&local, |config| config.state.directory = Some(folder.path().to_owned())).await;
    assert_eq!(house.set("/mode/:.c:", "READWRITE").await.status, 200);
    house.config.local.urls.clear();
    house.restart().await;
    for answer in [house.register(":.c:s", "1").await, house.get("/subjects/:.c:s/versions").await] {
        assert_eq!((answer.status, answer.code()), (500, 50003), "{answer:?}");
    }
    assert_eq!(house.primary.count(|seen| seen.method == "POST"), 0);
    assert_eq!(house.register("s", "1").await.status, 200);
}
