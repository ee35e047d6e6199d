//! What is removed, and what never is: by a bad list, by a slow one, by another content of an id.

use std::sync::Arc;
use std::time::Duration;

use schema_outpost::protocol::schema::{Listed, Version};
use schema_outpost::protocol::subject::QualifiedSubject;
use schema_outpost::replica::{Change, Doubt, Scope};
use serde_json::json;
use small_registry::Fault;

use super::setting::{Setting, holds};

async fn with_subjects(count: usize) -> Setting {
    let setting = Setting::start().await;
    for number in 0..count {
        setting.register(&format!("s{number:02}"), &format!(r#"{{"type":"fixed","name":"F","size":{}}}"#, number + 1));
    }
    for subject in [":.site:a", ":.site:b"] {
        setting.register(subject, r#""string""#);
    }
    setting.pass().await;
    setting
}

#[tokio::test]
async fn a_list_that_lacks_too_much_removes_nothing_and_raises_an_alarm() {
    for what in ["empty", "shrunk by most", "without a context"] {
        let setting = with_subjects(20).await;
        let left = setting.listing().into_iter();
        let left: Vec<_> = match what {
            "empty" => Vec::new(),
            "shrunk by most" => left.skip(13).collect(),
            _ => left.filter(|item| !item["subject"].as_str().is_some_and(|name| name.starts_with(':'))).collect(),
        };
        setting.list(&left);
        setting.registry.forget_requests();
        setting.pass().await;
        assert_eq!(setting.subjects(), 22, "{what}");
        let status = setting.importer.status();
        assert!(status.alarm.is_some() && !status.caught_up, "{what}: {status:?}");
        assert_eq!(setting.registry.count(|seen| seen.path().ends_with("/versions")), 0, "{what}: nobody is asked for");
        setting.registry.clear_faults();
        setting.pass().await;
        assert!(setting.importer.status().alarm.is_none() && setting.importer.status().caught_up, "{what}");
        assert_eq!(setting.subjects(), 22, "{what}");
    }
}

#[tokio::test]
async fn a_braked_pass_takes_over_what_is_new_and_a_confirmed_one_removes() {
    let setting = with_subjects(20).await;
    for number in 0..15 {
        setting.purge(&format!("s{number:02}"));
    }
    setting.register("new", r#""long""#);
    setting.pass().await;
    assert_eq!(setting.subjects(), 23);
    assert!(setting.importer.status().alarm.is_some_and(|why| why.contains("15 of 22")));
    let report = setting.importer.full_pass_now(true).await;
    assert!(report.ok, "{:?}", report.error);
    assert_eq!(setting.subjects(), 8);
    assert!(setting.importer.status().alarm.is_none());
}

#[tokio::test]
async fn a_subject_that_a_list_lacks_is_asked_for_by_name_before_it_goes() {
    let setting = with_subjects(4).await;
    setting.purge("s00");
    let without: Vec<_> = setting.listing().into_iter().filter(|item| item["subject"] != "s01").collect();
    setting.list(&without);
    // A page from somewhere on the way does not count as the registry's word.
    let page = Fault::Status { status: 404, headers: Vec::new(), body: "<html>Not Found</html>".to_owned() };
    let about_s02 = |seen: &small_registry::Seen| seen.target.contains("s02");
    setting.registry.fault_where(about_s02, None, page);
    setting.pass().await;
    let snapshot = setting.replica.snapshot();
    assert!(holds(&snapshot, "s00", 1).is_none(), "this one is gone");
    assert!(holds(&snapshot, "s01", 1).is_some(), "this one is not");
    setting.registry.clear_faults();
    let without: Vec<_> = setting.listing().into_iter().filter(|item| item["subject"] != "s02").collect();
    setting.list(&without);
    let page = Fault::Status { status: 404, headers: Vec::new(), body: "<html>Not Found</html>".to_owned() };
    setting.registry.fault_where(|seen| seen.target.starts_with("/s") && seen.target.contains("s02"), None, page);
    setting.importer.full_pass_now(false).await;
    assert!(holds(&setting.replica.snapshot(), "s02", 1).is_some(), "nobody knows about this one");
    assert!(setting.importer.status().skipped.iter().any(|one| one.subject.as_deref() == Some("s02")));
}

#[tokio::test]
async fn a_version_that_a_list_lacks_is_asked_for_before_it_goes() {
    let setting = Setting::start().await;
    setting.register("a", r#""string""#);
    setting.register("a", r#"["null","string"]"#);
    setting.pass().await;
    let listing = setting.listing();
    setting.list(&listing[..1]);
    setting.pass().await;
    assert!(holds(&setting.replica.snapshot(), "a", 2).is_some());
    setting.registry.clear_faults();
    for query in ["", "?permanent=true"] {
        setting.ask("DELETE", &format!("/subjects/a/versions/2{query}"), None);
    }
    setting.pass().await;
    let snapshot = setting.replica.snapshot();
    assert!(holds(&snapshot, "a", 2).is_none() && holds(&snapshot, "a", 1).is_some());
}

#[tokio::test]
async fn a_pass_that_fails_empties_nothing() {
    let setting = with_subjects(12).await;
    for fault in [
        Fault::error(500, 50001, "no"),
        Fault::bad_gateway_page(),
        Fault::HalfAnswer,
        Fault::CutBeforeAct,
        Fault::Unauthorized,
        Fault::error(403, 40301, "no"),
    ] {
        let what = format!("{fault:?}");
        setting.registry.fault_where(|seen| seen.path() == "/schemas", None, fault);
        let report = setting.importer.full_pass_now(false).await;
        assert!(!report.ok && report.error.is_some(), "{what}");
        assert_eq!(setting.subjects(), 14, "{what}");
        assert!(!setting.importer.status().caught_up, "{what}");
        setting.registry.clear_faults();
    }
    setting.registry.stop().await;
    assert!(!setting.importer.full_pass_now(false).await.ok);
    assert_eq!(setting.subjects(), 14);
}

fn version(setting: &Setting, subject: &str, number: i32) -> Version {
    let target = format!("/subjects/{subject}/versions/{number}?deleted=true");
    serde_json::from_str::<Listed>(&setting.ask("GET", &target, None).1).expect("a version").version
}

/// A pass that has read its listing before something is written here, and takes it over after that.
async fn slow_pass<F: Future<Output = ()>>(setting: &Setting, meanwhile: impl FnOnce() -> F) {
    setting.list(&setting.listing());
    // It is asked between the two, to tell the shape of the primary's answers.
    let is_between = |seen: &small_registry::Seen| seen.path() == "/subjects/:.site:a/versions/1";
    setting.registry.forget_requests();
    setting.registry.fault_where(is_between, Some(1), Fault::Delay(Duration::from_millis(200)));
    let importer = setting.importer.clone();
    let pass = tokio::spawn(async move { importer.full_pass_now(false).await });
    setting.registry.wait_for(1, is_between).await;
    assert_eq!(setting.registry.count(|seen| seen.path() == "/schemas"), 1, "the listing is read");
    meanwhile().await;
    assert!(pass.await.expect("no panic").ok);
}

#[tokio::test]
async fn a_slow_pass_does_not_undo_what_was_written_after_it_began() {
    let setting = with_subjects(4).await;
    slow_pass(&setting, || async {
        setting.register("s00", r#"{"type":"fixed","name":"F","size":1,"aliases":["G"]}"#);
        setting.register("fresh", r#""int""#);
        setting.purge("s01");
        setting.ask("DELETE", "/subjects/s02", None);
        let changes = vec![
            Change::Version { subject: QualifiedSubject::parse("s00"), version: version(&setting, "s00", 2) },
            Change::Version { subject: QualifiedSubject::parse("fresh"), version: version(&setting, "fresh", 1) },
            Change::Purge { subject: QualifiedSubject::parse("s01"), version: 1 },
            Change::SoftDelete { subject: QualifiedSubject::parse("s02"), versions: vec![1] },
        ];
        setting.replica.apply_write(changes, setting.replica.ticket()).await.expect("kept");
    })
    .await;
    let snapshot = setting.replica.snapshot();
    assert!(holds(&snapshot, "s00", 2).is_some() && holds(&snapshot, "fresh", 1).is_some());
    assert!(holds(&snapshot, "s01", 1).is_none(), "no resurrection");
    assert!(holds(&snapshot, "s02", 1).expect("kept").deleted);
}

#[tokio::test]
async fn a_slow_pass_does_not_settle_a_doubt_that_came_up_after_it_began() {
    let setting = with_subjects(4).await;
    slow_pass(&setting, || async {
        setting.register("s00", r#"{"type":"fixed","name":"F","size":1,"aliases":["G"]}"#);
        setting.register("fresh", r#""int""#);
        let doubts = ["s00", "fresh"].map(|name| Scope::Subject(QualifiedSubject::parse(name)));
        let doubts = doubts.map(|scope| Change::Doubt(scope, Some(Doubt::Unsure)));
        setting.replica.apply_write(doubts.into(), setting.replica.ticket()).await.expect("kept");
    })
    .await;
    let snapshot = setting.replica.snapshot();
    assert!(holds(&snapshot, "s00", 2).is_some() && holds(&snapshot, "fresh", 1).is_some());
    assert!(snapshot.is_sure());
}

#[tokio::test]
async fn an_id_keeps_its_content_whatever_the_primary_shows_later() {
    let setting = with_subjects(2).await;
    let before: Arc<Version> = holds(&setting.replica.snapshot(), "s00", 1).expect("it is there");
    let mut listing = setting.listing();
    let other = listing.iter_mut().find(|item| item["subject"] == "s00").expect("listed");
    other["schema"] = json!(r#""bytes""#);
    listing.push(json!({"subject": "t", "version": 1, "id": before.id, "guid": "g", "schemaType": "AVRO", "schema": "\"float\"", "ts": 1, "deleted": false}));
    setting.list(&listing);
    setting.pass().await;
    let snapshot = setting.replica.snapshot();
    assert_eq!(holds(&snapshot, "s00", 1).expect("kept").text, before.text);
    assert!(holds(&snapshot, "t", 1).is_none());
    assert_eq!(setting.replica.id_conflicts(), 2);
    let named: Vec<_> = setting.importer.status().skipped.into_iter().map(|one| (one.subject, one.version)).collect();
    assert!(named.contains(&(Some("s00".to_owned()), Some(1))) && named.contains(&(Some("t".to_owned()), Some(1))));
}
