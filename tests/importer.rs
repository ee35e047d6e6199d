//! The importer against a registry on a real socket.

#[path = "importer/setting.rs"]
mod setting;

use std::time::Duration;

use schema_outpost::importer::{Config, Reason};
use schema_outpost::protocol::shape::Profile;
use schema_outpost::upstream::ProfileChoice;
use setting::{Setting, holds, until};
use small_registry::{Fault, SmallRegistry};

#[tokio::test]
async fn a_full_pass_brings_everything_and_keeps_it_byte_for_byte() {
    let setting = Setting::start().await;
    setting.register("base", r#""string""#);
    setting.register("orders", r#"{"type":"record","name":"R","fields":[{"name":"f","type":"string","doc":"🛒"}]}"#);
    setting.register(":.site:orders", r#""long""#);
    setting.ask("PUT", "/config/orders", Some(r#"{"compatibility":"FULL"}"#));
    setting.ask("DELETE", "/subjects/base", None);
    let report = setting.importer.full_pass_now(false).await;
    assert!(report.ok, "{:?}", report.error);
    let snapshot = setting.replica.snapshot();
    assert_eq!(snapshot.profile(), Some(Profile::Confluent8));
    assert!(holds(&snapshot, "base", 1).expect("it is there").deleted);
    assert!(!holds(&snapshot, "orders", 1).expect("it is there").deleted);
    assert!(holds(&snapshot, ":.site:orders", 1).is_some());
    let contexts: Vec<_> = snapshot.listed_contexts().expect("asked").iter().map(|one| one.as_str()).collect();
    assert_eq!(contexts, [".", ".site"]);
    for key in [
        "/config",
        "/config?defaultToGlobal=true",
        "/config/:.__GLOBAL:",
        "/config/:.site:",
        "/config/:.site:?defaultToGlobal=true",
        "/config/orders",
        "/config/base",
        "/config/:.site:orders",
        "/mode",
        "/mode/:.__GLOBAL:",
        "/mode/:.site:",
        "/mode/orders",
        "/",
        "/schemas/types",
        "/v1/metadata/id",
        "/v1/metadata/version",
    ] {
        let expected = setting.ask("GET", key, None);
        let remembered = snapshot.remembered(key).unwrap_or_else(|| panic!("{key} is remembered"));
        assert_eq!((remembered.status, &remembered.body[..]), (expected.0, expected.1.as_bytes()), "{key}");
    }
    assert!(setting.importer.status().caught_up);
    assert!(!setting.importer.config_inherits());

    let again = setting.importer.full_pass_now(false).await;
    assert_eq!((again.ok, again.changes), (true, 0), "nothing is new");
}

#[tokio::test]
async fn each_profile_is_found_out_and_a_pinned_one_is_believed() {
    use small_registry::Profile as Primary;
    for (primary, pinned, expected) in [
        (Primary::Confluent8, ProfileChoice::Auto, Profile::Confluent8),
        (Primary::Confluent7, ProfileChoice::Auto, Profile::Confluent7),
        (Primary::Cloud, ProfileChoice::Auto, Profile::Cloud),
        (Primary::Poor, ProfileChoice::Auto, Profile::Confluent7),
        (Primary::Confluent8, ProfileChoice::Cloud, Profile::Cloud),
    ] {
        let registry = SmallRegistry::builder().profile(primary).start().await.expect("a free port");
        let setting = Setting::with(registry, Config::default(), pinned);
        setting.register("s", r#""string""#);
        setting.register("gone", r#""int""#);
        setting.ask("DELETE", "/subjects/gone", None);
        let report = setting.importer.full_pass_now(false).await;
        assert!(report.ok, "{primary:?}: {:?}", report.error);
        let snapshot = setting.replica.snapshot();
        assert_eq!(snapshot.profile(), Some(expected), "{primary:?}");
        assert!(!holds(&snapshot, "s", 1).expect("it is there").deleted, "{primary:?}");
        assert!(holds(&snapshot, "gone", 1).expect("it is there").deleted, "{primary:?}");
    }
}

#[tokio::test]
async fn a_tail_pass_shows_what_happened_elsewhere_within_an_interval() {
    let setting = Setting::running().await;
    setting.register("a", r#""string""#);
    setting.register("b", r#""int""#);
    setting.sees(|snapshot| holds(snapshot, "a", 1).is_some() && holds(snapshot, "b", 1).is_some()).await;
    // A new id, a subject that re-uses one, another context.
    setting.register("a", r#"["null","string"]"#);
    setting.sees(|snapshot| holds(snapshot, "a", 2).is_some()).await;
    setting.register("c", r#""string""#);
    setting.sees(|snapshot| holds(snapshot, "c", 1).is_some()).await;
    setting.register(":.x:a", r#""string""#);
    setting.sees(|snapshot| holds(snapshot, ":.x:a", 1).is_some()).await;
    // Soft, undone, hard.
    setting.ask("DELETE", "/subjects/a/versions/2", None);
    setting.sees(|snapshot| holds(snapshot, "a", 2).is_some_and(|version| version.deleted)).await;
    setting.ask("DELETE", "/subjects/b", None);
    setting.sees(|snapshot| holds(snapshot, "b", 1).is_some_and(|version| version.deleted)).await;
    setting.ask("DELETE", "/subjects/b?permanent=true", None);
    setting.sees(|snapshot| holds(snapshot, "b", 1).is_none()).await;
    setting.ask("DELETE", "/subjects/a/versions/2?permanent=true", None);
    setting.sees(|snapshot| holds(snapshot, "a", 2).is_none() && holds(snapshot, "a", 1).is_some()).await;
}

#[tokio::test]
async fn a_tail_pass_with_nothing_new_takes_a_handful_of_calls_however_much_there_is() {
    let setting = Setting::running().await;
    for number in 0..50 {
        setting.register(&format!("s{number}"), &format!(r#"{{"type":"fixed","name":"F","size":{}}}"#, number + 1));
    }
    setting.ask("DELETE", "/subjects/s7", None);
    setting.ask("DELETE", "/subjects/s49/versions/1", None);
    until("all is read", || setting.importer.status().caught_up && setting.is_quiet()).await;
    setting.registry.forget_requests();
    setting.registry.wait_for(12, |_| true).await;
    let seen = setting.registry.requests();
    let rounds = seen.iter().filter(|seen| seen.path() == "/contexts").count();
    assert!(seen.len() <= rounds * 4, "{rounds} rounds took {} calls", seen.len());
}

#[tokio::test]
async fn a_thousand_schemas_are_there_after_two_pages_and_ready_within_two_seconds() {
    let setting = Setting::start().await;
    for number in 0..1000 {
        setting.register(&format!("s{number}"), &format!(r#"{{"type":"fixed","name":"F","size":{}}}"#, number + 1));
    }
    let start = tokio::time::Instant::now();
    let stop = setting.run();
    until("it is listed", || setting.importer.status().listed).await;
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(setting.subjects(), 1000);
    assert_eq!(setting.registry.count(|seen| seen.path() == "/schemas"), 2, "and the overlap of one");
    until("it has caught up", || setting.importer.status().caught_up).await;
    let swept =
        setting.registry.count(|seen| seen.path().starts_with("/config/s") || seen.path().starts_with("/mode/s"));
    assert_eq!(swept, 2000, "two for each subject");
    drop(stop);
}

#[tokio::test]
async fn a_poor_primary_is_walked() {
    let registry = SmallRegistry::builder().profile(small_registry::Profile::Poor).start().await.expect("a free port");
    let setting = Setting::with(registry, setting::quick(), ProfileChoice::Auto);
    setting.register("a/b", r#""string""#);
    setting.register("c", r#""int""#);
    let stop = setting.run();
    setting.sees(|snapshot| holds(snapshot, "a/b", 1).is_some() && holds(snapshot, "c", 1).is_some()).await;
    assert_eq!(setting.replica.snapshot().remembered("/contexts").expect("refused").status, 404);
    setting.register("c", r#"["null","int"]"#);
    setting.sees(|snapshot| holds(snapshot, "c", 2).is_some()).await;
    setting.ask("DELETE", "/subjects/c", None);
    setting.sees(|snapshot| holds(snapshot, "c", 2).is_some_and(|version| version.deleted)).await;
    setting.ask("DELETE", "/subjects/c?permanent=true", None);
    setting.sees(|snapshot| holds(snapshot, "c", 1).is_none()).await;
    drop(stop);
}

#[tokio::test]
async fn one_broken_item_is_named_and_costs_no_other() {
    let setting = Setting::start().await;
    setting.register("a", r#""string""#);
    setting.register("b", r#""int""#);
    setting.register("c", r#""long""#);
    assert!(setting.importer.full_pass_now(false).await.ok);
    setting.register("b", r#"["null","int"]"#);
    setting.register("c", r#"["null","long"]"#);
    let listing = setting.ask("GET", "/schemas?subjectPrefix=:*:&deleted=true&limit=1000", None).1;
    let broken = listing.replacen(r#""subject":"b","version":1,"id":2"#, r#""subject":"b","version":1,"id":"two""#, 1);
    assert_ne!(listing, broken);
    setting.answer("/schemas?subjectPrefix=:*:", &broken);
    let report = setting.importer.full_pass_now(false).await;
    assert!(report.ok, "{:?}", report.error);
    let snapshot = setting.replica.snapshot();
    assert_eq!(holds(&snapshot, "b", 1).expect("the previous one stays").id, 2);
    assert!(holds(&snapshot, "b", 2).is_some() && holds(&snapshot, "c", 2).is_some());
    let skipped = setting.importer.status().skipped;
    assert_eq!(skipped.len(), 1, "{skipped:?}");
    assert_eq!((skipped[0].subject.as_deref(), skipped[0].version), (Some("b"), Some(1)));
    assert!(matches!(skipped[0].reason, Reason::Unreadable(_)));
}

#[tokio::test]
async fn a_pass_that_meets_patience_waits_and_goes_on_where_it_was() {
    let setting = Setting::start().await;
    for number in 0..20 {
        setting.register(&format!("s{number}"), r#""string""#);
    }
    assert!(setting.importer.full_pass_now(false).await.ok);
    let plan = setting.registry.requests().len();
    setting.registry.forget_requests();
    setting.registry.fault_where(|seen| seen.path() == "/config/s7", Some(1), Fault::too_many_requests(1));
    let start = tokio::time::Instant::now();
    let report = setting.importer.full_pass_now(false).await;
    assert!(report.ok, "{:?}", report.error);
    assert!(start.elapsed() >= Duration::from_millis(900), "it waited");
    let calls = setting.registry.requests().len();
    assert!(calls <= plan + 1, "{calls} instead of {plan}");
}
