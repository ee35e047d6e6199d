//! Single things that are read again, for those who wait for it.

use std::sync::Arc;
use std::time::Duration;

use schema_outpost::importer::Reason;
use schema_outpost::protocol::schema::Listed;
use schema_outpost::protocol::subject::{Context, QualifiedSubject};
use schema_outpost::replica::{Change, Doubt, Reread as _, Scope, Urgency};
use small_registry::Fault;

use super::setting::{Setting, holds, until};

fn subject(name: &str) -> Scope {
    Scope::Subject(QualifiedSubject::parse(name))
}

async fn doubt(setting: &Setting, scope: Scope) {
    setting
        .replica
        .apply_write(vec![Change::Doubt(scope, Some(Doubt::Unsure))], setting.replica.ticket())
        .await
        .expect("kept");
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
    assert!(snapshot.associations().is_some_and(<[_]>::is_empty));
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

/// Begins to read a subject again that has one version, and stops when it has seen just that.
async fn slow_reread(setting: &Setting) -> tokio::task::JoinHandle<()> {
    let answers = [
        ("/schemas?subjectPrefix=a&", Fault::Status { status: 404, headers: Vec::new(), body: String::new() }),
        ("/subjects/a/versions?", Fault::Status { status: 200, headers: Vec::new(), body: "[1]".to_owned() }),
        ("/subjects/a/versions?", Fault::Status { status: 200, headers: Vec::new(), body: "[1]".to_owned() }),
        ("/subjects/a/versions/1?", Fault::Delay(Duration::from_millis(200))),
    ];
    for (target, fault) in answers {
        setting.registry.fault_where(move |seen| seen.target.starts_with(target), Some(1), fault);
    }
    let importer = setting.importer.clone();
    let reread = tokio::spawn(async move { importer.reread(subject("a"), Urgency::Write).await.expect("read") });
    setting.registry.wait_for(1, |seen| seen.path() == "/subjects/a/versions/1").await;
    reread
}

#[tokio::test]
async fn a_caller_never_gets_a_reading_that_began_before_its_call() {
    let setting = Setting::start().await;
    setting.register("a", r#""string""#);
    setting.pass().await;
    setting.registry.forget_requests();
    let first = slow_reread(&setting).await;
    setting.register("a", r#"["null","string"]"#);
    let later = (0..50).map(|_| {
        let importer = setting.importer.clone();
        tokio::spawn(async move { importer.reread(subject("a"), Urgency::Write).await })
    });
    for one in later.collect::<Vec<_>>() {
        one.await.expect("no panic").expect("read");
        assert!(holds(&setting.replica.snapshot(), "a", 2).is_some());
    }
    first.await.expect("read");
    let is_about_a = |seen: &small_registry::Seen| seen.target.starts_with("/schemas?subjectPrefix=a&");
    assert_eq!(setting.registry.count(is_about_a), 2, "those who wait share one reading");
}

#[tokio::test]
async fn a_reading_that_a_write_has_overtaken_is_made_again() {
    let setting = Setting::start().await;
    setting.register("a", r#""int""#);
    setting.pass().await;
    setting.registry.forget_requests();
    let reread = slow_reread(&setting).await;
    setting.register("a", r#"["int","string"]"#);
    setting.register("a", r#"["int","string","null"]"#);
    let target = "/subjects/a/versions/3";
    let version = serde_json::from_str::<Listed>(&setting.ask("GET", target, None).1).expect("a version").version;
    let written = Change::Version { subject: QualifiedSubject::parse("a"), version };
    setting.replica.apply_write(vec![written], setting.replica.ticket()).await.expect("kept");
    reread.await.expect("read");
    let snapshot = setting.replica.snapshot();
    assert!((1..=3).all(|number| holds(&snapshot, "a", number).is_some()));
    assert!(snapshot.is_sure());
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
async fn a_context_that_shows_nothing_stays_in_doubt_and_raises_the_alarm() {
    let setting = Setting::start().await;
    setting.register(":.site:a", r#""string""#);
    setting.register(":.site:b", r#""string""#);
    setting.pass().await;
    let site = Scope::Context(Context::named(".site"));
    doubt(&setting, site.clone()).await;
    setting.answer("/schemas?subjectPrefix=:.site:", "[]");
    setting.importer.reread(site.clone(), Urgency::Background).await.expect_err("braked");
    assert_eq!(setting.subjects(), 2);
    assert!(setting.importer.status().alarm.is_some_and(|why| why.contains(".site")));
    assert!(!setting.replica.snapshot().is_sure());
    setting.registry.clear_faults();
    setting.importer.reread(site, Urgency::Background).await.expect("read");
    assert!(setting.replica.snapshot().is_sure());
}

#[tokio::test]
async fn associations_are_kept_as_they_are_printed() {
    let setting = Setting::start().await;
    let unknown = Fault::Status { status: 404, headers: Vec::new(), body: String::new() };
    setting.registry.fault_where(|seen| seen.path().starts_with("/associations"), None, unknown);
    setting.pass().await;
    setting.registry.clear_faults();
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

/// Versions of a subject that an alias hides from whoever asks for it by its name.
fn hide(setting: &Setting, target: &str) {
    for number in 1..=20 {
        setting.register("a", &format!(r#"{{"type":"record","name":"R","doc":"{number}","fields":[]}}"#));
    }
    setting.register("b", r#""string""#);
    assert_eq!(setting.ask("PUT", "/config/a", Some(&format!(r#"{{"alias":"{target}"}}"#))).0, 200);
}

fn aliased(setting: &Setting) -> bool {
    let skipped = setting.importer.status().skipped;
    skipped.iter().any(|one| one.subject.as_deref() == Some("a") && one.reason == Reason::Aliased)
}

#[tokio::test]
async fn what_an_alias_hides_is_named_and_not_taken_for_what_the_alias_leads_to() {
    for target in ["b", "nobody"] {
        let setting = Setting::start().await;
        hide(&setting, target);
        // More of it than the first page of a reread: by its name it would have to be read.
        setting.importer.reread(subject("a"), Urgency::Read).await.expect("read");
        assert!(aliased(&setting) && setting.subjects() == 0, "{target}: {:?}", setting.replica.snapshot());
        setting.pass().await;
        assert!(!aliased(&setting), "the listing shows it");
        assert!(holds(&setting.replica.snapshot(), "a", 20).is_some());
        setting.importer.reread(subject("a"), Urgency::Read).await.expect("read");
        assert!(holds(&setting.replica.snapshot(), "a", 20).is_some());
    }
}

#[tokio::test]
async fn a_walk_leaves_what_an_alias_hides_as_it_was() {
    let setting = Setting::start().await;
    setting.registry.fault_where(|seen| seen.target.starts_with("/schemas?"), None, Fault::error(404, 404, "no"));
    setting.pass().await;
    hide(&setting, "b");
    setting.pass().await;
    assert!(aliased(&setting), "{:?}", setting.importer.status());
    let snapshot = setting.replica.snapshot();
    assert!(holds(&snapshot, "a", 1).is_none() && holds(&snapshot, "b", 1).is_some());
    setting.ask("DELETE", "/config/a", None);
    setting.pass().await;
    setting.pass().await;
    assert!(!aliased(&setting) && holds(&setting.replica.snapshot(), "a", 20).is_some());
    setting.ask("PUT", "/config/a", Some(r#"{"alias":"b"}"#));
    setting.pass().await;
    setting.pass().await;
    assert!(aliased(&setting) && holds(&setting.replica.snapshot(), "a", 20).is_some());
}
