//! Single things that are read again, for those who wait for it.

use std::sync::Arc;
use std::time::Duration;

use schema_outpost::protocol::subject::{Context, QualifiedSubject};
use schema_outpost::replica::{Change, Doubt, Reread as _, Scope, Urgency};
use small_registry::Fault;

use super::setting::{Setting, holds, until};

fn subject(name: &str) -> Scope {
    Scope::Subject(QualifiedSubject::parse(name))
}

async fn doubt(setting: &Setting, scope: Scope) {
    setting.replica.apply_write(vec![Change::Doubt(scope, Some(Doubt::Unsure))]).await.expect("kept");
    assert!(!setting.replica.snapshot().is_sure());
}

#[tokio::test]
async fn every_scope_is_read_again_and_certain_again() {
    let setting = Setting::start().await;
    setting.register("a", r#""string""#);
    setting.register(":.site:a", r#""string""#);
    setting.pass().await;
    setting.register("a", r#"["null","string"]"#);
    setting.register("a-longer-name", r#""int""#);
    setting.register(":.site:b/c", r#""int""#);
    setting.register(":.new:a", r#""int""#);
    setting.ask("PUT", "/config/:.site:b%2Fc", Some(r#"{"compatibility":"NONE"}"#));
    for scope in [
        subject("a"),
        subject("nobody"),
        Scope::Context(Context::named(".site")),
        Scope::Remembered(Arc::from("/config/:.site:b/c")),
        Scope::Contexts,
        Scope::Associations,
    ] {
        doubt(&setting, scope.clone()).await;
        setting
            .importer
            .reread(scope.clone(), Urgency::Write)
            .await
            .unwrap_or_else(|error| panic!("{scope}: {error:?}"));
        assert!(setting.replica.snapshot().is_sure(), "{scope}");
    }
    let snapshot = setting.replica.snapshot();
    assert!(holds(&snapshot, "a", 2).is_some());
    assert!(holds(&snapshot, "a-longer-name", 1).is_none(), "only what was asked for");
    assert!(holds(&snapshot, ":.site:b/c", 1).is_some());
    assert!(snapshot.remembered("/config/:.site:b/c").is_some_and(|answer| answer.status == 200));
    assert!(snapshot.listed_contexts().is_some_and(|contexts| contexts.contains(&Context::named(".new"))));
    assert!(snapshot.remembered("/associations").is_some_and(|answer| answer.status == 404), "it has no such route");
    doubt(&setting, Scope::All).await;
    doubt(&setting, Scope::Context(Context::default_context())).await;
    setting.importer.reread(Scope::All, Urgency::Background).await.expect("read");
    assert!(setting.replica.snapshot().is_sure());
    assert_eq!(setting.subjects(), 5);
}

#[tokio::test]
async fn a_subject_that_is_gone_goes_and_takes_its_doubt_along() {
    let setting = Setting::start().await;
    setting.register("a", r#""string""#);
    setting.register("b", r#""string""#);
    setting.pass().await;
    setting.purge("a");
    doubt(&setting, subject("a")).await;
    setting.importer.reread(subject("a"), Urgency::Read).await.expect("read");
    let snapshot = setting.replica.snapshot();
    assert!(holds(&snapshot, "a", 1).is_none() && holds(&snapshot, "b", 1).is_some());
    assert!(snapshot.is_sure());
}

#[tokio::test]
async fn what_cannot_be_read_stays_as_it_was_and_in_doubt() {
    let setting = Setting::start().await;
    setting.register("a", r#""string""#);
    setting.pass().await;
    doubt(&setting, subject("a")).await;
    setting.registry.fault(Fault::error(500, 50001, "no"));
    let failure = setting.importer.reread(subject("a"), Urgency::Write).await.expect_err("refused");
    assert_eq!(failure.scope, subject("a"));
    let snapshot = setting.replica.snapshot();
    assert!(!snapshot.is_sure() && holds(&snapshot, "a", 1).is_some());
}

#[tokio::test]
async fn a_caller_never_gets_a_reading_that_began_before_its_call() {
    let setting = Setting::start().await;
    setting.register("a", r#""string""#);
    setting.pass().await;
    let is_about_a = |seen: &small_registry::Seen| seen.target.starts_with("/schemas?subjectPrefix=a&");
    setting.registry.fault_where(is_about_a, Some(1), Fault::Delay(Duration::from_millis(100)));
    let reread = || {
        let importer = setting.importer.clone();
        tokio::spawn(async move { importer.reread(subject("a"), Urgency::Write).await })
    };
    let first = reread();
    setting.registry.wait_for(1, is_about_a).await;
    setting.register("a", r#"["null","string"]"#);
    let later: Vec<_> = (0..50).map(|_| reread()).collect();
    for one in later {
        one.await.expect("no panic").expect("read");
        assert!(holds(&setting.replica.snapshot(), "a", 2).is_some());
    }
    first.await.expect("no panic").expect("read");
    assert!(setting.registry.count(is_about_a) <= 3, "those who wait share one reading");
}

#[tokio::test]
async fn a_subject_comes_with_what_it_refers_to() {
    let setting = Setting::start().await;
    setting.pass().await;
    setting.register("base", r#"{"type":"record","name":"base","fields":[]}"#);
    setting.register_with_reference("middle", "base");
    setting.register_with_reference("top", "middle");
    setting.importer.reread(subject("top"), Urgency::Write).await.expect("read");
    let snapshot = setting.replica.snapshot();
    assert!(["base", "middle", "top"].iter().all(|subject| holds(&snapshot, subject, 1).is_some()));
}

#[tokio::test]
async fn all_who_hold_an_id_are_read_again() {
    let setting = Setting::start().await;
    setting.register("old", r#""string""#);
    setting.register("stays", r#""string""#);
    setting.pass().await;
    setting.register("new", r#""string""#);
    setting.purge("old");
    setting.importer.reread_id(Context::default_context(), 1).await.expect("read");
    let snapshot = setting.replica.snapshot();
    assert!(holds(&snapshot, "new", 1).is_some() && holds(&snapshot, "stays", 1).is_some());
    assert!(holds(&snapshot, "old", 1).is_none());
    setting.importer.reread_id(Context::default_context(), 77).await.expect("nobody holds it");
}

#[tokio::test]
async fn doubts_are_settled_while_the_importer_runs_and_soon_after_the_primary_is_back() {
    let setting = Setting::running().await;
    setting.register("a", r#""string""#);
    setting.sees(|snapshot| holds(snapshot, "a", 1).is_some()).await;
    setting.registry.fault(Fault::error(500, 50001, "no"));
    doubt(&setting, subject("a")).await;
    setting.importer.nudge();
    let is_about_a = |seen: &small_registry::Seen| seen.target.starts_with("/schemas?subjectPrefix=a&");
    setting.registry.wait_for(2, is_about_a).await;
    assert!(!setting.replica.snapshot().is_sure());
    setting.registry.clear_faults();
    until("it is certain again", || setting.replica.snapshot().is_sure()).await;
}

#[tokio::test]
async fn associations_are_kept_as_they_are_printed() {
    let setting = Setting::start().await;
    setting.pass().await;
    let snapshot = setting.replica.snapshot();
    assert!(snapshot.associations().is_none() && snapshot.remembered("/associations").is_some());
    let one = r#"{"subject":"a","guid":"g","resourceName":"t","resourceNamespace":"-","resourceId":"r","resourceType":"topic","associationType":"value","lifecycle":"WEAK","frozen": false,"later":1.0}"#;
    setting.answer("/associations/resources/-/-", &format!("[{one}]"));
    setting.importer.reread(Scope::Associations, Urgency::Read).await.expect("read");
    let snapshot = setting.replica.snapshot();
    let known = snapshot.associations().expect("read");
    assert_eq!((known.len(), known[0].subject.as_str()), (1, "a"));
    assert_eq!(known[0].printed.as_ref().expect("kept").get(), one);
    assert!(snapshot.remembered("/associations").is_none(), "it has the route now");
    setting.registry.clear_faults();
    setting.registry.fault_where(|seen| seen.path().starts_with("/associations"), None, Fault::error(500, 50001, "no"));
    setting.importer.reread(Scope::Associations, Urgency::Read).await.expect_err("refused");
    assert!(setting.replica.snapshot().associations().is_some(), "a failure forgets nothing");
}
