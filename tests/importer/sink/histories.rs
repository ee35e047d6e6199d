//! Whatever happened at the primary, and however often in between the local registry was brought up to date.

use proptest::prelude::*;
use proptest::test_runner::{Config as Runs, TestRunner};

use super::beside::Beside;

/// One thing that happens at the primary, or a pass.
#[derive(Clone, Debug)]
enum Event {
    Register { subject: usize, schema: usize },
    Refer { subject: usize, target: usize },
    Delete { subject: usize, version: usize, permanent: bool },
    DeleteAll { subject: usize, permanent: bool },
    Configure { scope: usize, config: usize },
    Unconfigure { scope: usize },
    Import { subject: usize, version: usize, id: usize, schema: usize },
    Pass,
}

const SUBJECTS: [&str; 7] = ["a", "b", "zz", ":.c:a", ":.c:b", ":.d:a", ":.d:zz"];
const SCOPES: [&str; 6] = ["a", ":.c:a", ":.c:", "nick", ":.d:nick", ""];
const SCHEMAS: [&str; 5] = [
    r#"{"schema":"\"string\""}"#,
    r#"{"schema":"\"int\""}"#,
    r#"{"schema":"\"string\"","metadata":{"properties":{"k":"v"}}}"#,
    r#"{"schema":"{\"type\":\"object\"}","schemaType":"JSON"}"#,
    r#"{"schema":"\"long\"","metadata":{}}"#,
];
const CONFIGS: [&str; 5] = [
    r#"{"compatibility":"FULL"}"#,
    r#"{"normalize":true,"compatibility":"NONE"}"#,
    r#"{"compatibilityGroup":"g","defaultMetadata":{"properties":{"a":"b"}}}"#,
    r#"{"alias":"zz"}"#,
    r#"{"alias":"","normalize":null}"#,
];

fn event() -> impl Strategy<Value = Event> {
    let subject = || 0..SUBJECTS.len();
    prop_oneof![
        6 => (subject(), 0..SCHEMAS.len()).prop_map(|(subject, schema)| Event::Register { subject, schema }),
        3 => (subject(), subject()).prop_map(|(subject, target)| Event::Refer { subject, target }),
        4 => (subject(), 1..5_usize, any::<bool>())
            .prop_map(|(subject, version, permanent)| Event::Delete { subject, version, permanent }),
        2 => (subject(), any::<bool>()).prop_map(|(subject, permanent)| Event::DeleteAll { subject, permanent }),
        2 => (0..SCOPES.len(), 0..CONFIGS.len()).prop_map(|(scope, config)| Event::Configure { scope, config }),
        1 => (0..SCOPES.len()).prop_map(|scope| Event::Unconfigure { scope }),
        1 => (subject(), 1..9_usize, 50..54_usize, 0..SCHEMAS.len())
            .prop_map(|(subject, version, id, schema)| Event::Import { subject, version, id, schema }),
        3 => Just(Event::Pass),
    ]
}

/// Carries an event out; what the primary refuses has not happened.
fn happen(beside: &Beside, event: &Event) {
    let versions = |subject: usize| format!("/subjects/{}/versions", SUBJECTS[subject]);
    match event {
        Event::Register { subject, schema } => drop(beside.ask("POST", &versions(*subject), Some(SCHEMAS[*schema]))),
        Event::Refer { subject, target } => {
            let body = serde_json::json!({
                "schema": r#"{"type":"object","$ref":"other"}"#,
                "schemaType": "JSON",
                "references": [{ "name": "other", "subject": SUBJECTS[*target], "version": 1 }],
            });
            beside.ask("POST", &versions(*subject), Some(&body.to_string()));
        }
        Event::Delete { subject, version, permanent } => {
            let target = format!("{}/{version}?permanent={permanent}", versions(*subject));
            beside.ask("DELETE", &target, None);
        }
        Event::DeleteAll { subject, permanent } => {
            beside.ask("DELETE", &format!("/subjects/{}?permanent={permanent}", SUBJECTS[*subject]), None);
        }
        Event::Configure { scope, config } => drop(beside.ask("PUT", &config_of(*scope), Some(CONFIGS[*config]))),
        Event::Unconfigure { scope } => drop(beside.ask("DELETE", &config_of(*scope), None)),
        Event::Import { subject, version, id, schema } => import(beside, &versions(*subject), (*version, *id), *schema),
        Event::Pass => {}
    }
}

fn config_of(scope: usize) -> String {
    if SCOPES[scope].is_empty() { "/config".to_owned() } else { format!("/config/{}", SCOPES[scope]) }
}

/// Somebody imports into the primary, where neither number nor id is taken: what makes an id stand for something else
/// is not taken over by the replica (C8).
fn import(beside: &Beside, versions: &str, (version, id): (usize, usize), schema: usize) {
    let (id, version) = (id + 10 * schema, version + 10);
    if beside.ask("GET", &format!("{versions}/{version}?deleted=true"), None).0 == 200 {
        return;
    }
    let mut body: serde_json::Value = serde_json::from_str(SCHEMAS[schema]).expect("an object");
    body["id"] = id.into();
    body["version"] = version.into();
    beside.ask("PUT", "/mode/:.c:?force=true", Some(r#"{"mode":"IMPORT"}"#));
    beside.ask("POST", versions, Some(&body.to_string()));
    beside.ask("DELETE", "/mode/:.c:", None);
}

async fn lived_through(events: Vec<Event>) {
    let beside = Beside::start().await;
    for event in &events {
        happen(&beside, event);
        if matches!(event, Event::Pass) {
            assert!(beside.setting.importer.full_pass_now(true).await.ok);
            let report = beside.sink.full_pass_now(true).await;
            assert!(report.ok, "{:?}", report.error);
        }
    }
    assert!(beside.setting.importer.full_pass_now(true).await.ok);
    for _ in 0..2 {
        assert!(beside.sink.full_pass_now(true).await.ok);
    }
    beside.assert_same("after all of it");
    assert!(beside.is_all_in_step() && beside.withheld().is_empty(), "{:?}", beside.withheld());
    beside.local.forget_requests();
    assert!(beside.sink.full_pass_now(true).await.ok);
    assert_eq!(beside.writes(), 0);
}

#[test]
fn whatever_happens_at_the_primary_the_local_registry_lists_the_same() {
    let cases = std::env::var("OUTPOST_HISTORIES").ok().and_then(|count| count.parse().ok()).unwrap_or(40);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut runner = TestRunner::new(Runs { cases, max_shrink_iters: 400, ..Runs::default() });
    let outcome = runner.run(&prop::collection::vec(event(), 1..40), |events| {
        let lived = std::panic::AssertUnwindSafe(|| runtime.block_on(lived_through(events)));
        std::panic::catch_unwind(lived).map_err(|_| TestCaseError::fail("it is not the same"))
    });
    outcome.expect("the same after every history");
}
