//! The importer against a registry on a real socket.

#[path = "importer/broken.rs"]
mod broken;
#[path = "importer/removals.rs"]
mod removals;
#[path = "importer/rereads.rs"]
mod rereads;
#[path = "importer/setting.rs"]
mod setting;
#[path = "importer/sink/mod.rs"]
mod sink;

use std::time::Duration;

use schema_outpost::importer::Config;
use schema_outpost::protocol::shape::Profile;
use schema_outpost::replica::{Reread as _, Scope, Urgency};
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
async fn a_tail_pass_with_nothing_new_takes_a_call_a_context_and_two_more_however_much_there_is() {
    let setting = Setting::running().await;
    for number in 0..50 {
        setting.register(&format!("s{number}"), &format!(r#"{{"type":"fixed","name":"F","size":{}}}"#, number + 1));
    }
    setting.ask("DELETE", "/subjects/s7", None);
    setting.ask("DELETE", "/subjects/s49/versions/1", None);
    until("all is read", || setting.importer.status().caught_up && setting.is_quiet()).await;
    setting.registry.forget_requests();
    setting.registry.wait_for(32, |_| true).await;
    let seen = setting.registry.requests();
    let count = |what: &str| seen.iter().filter(|seen| seen.target.contains(what)).count();
    let rounds = count("/schemas?subjectPrefix=:*:&deleted=true");
    assert!(seen.len() <= 3 * (rounds + 1), "{rounds} rounds took {} calls", seen.len());
    let (contexts, ids) = (count("/contexts"), count("fetchMaxId=true"));
    assert!(contexts.abs_diff(ids) <= 1 && contexts + ids >= rounds, "they take turns: {contexts} and {ids}");
}

#[tokio::test]
async fn a_context_without_schemas_that_comes_or_goes_is_seen_by_tail_passes() {
    let setting = Setting::running().await;
    let lists = |contexts: &'static [&'static str]| {
        setting.sees(move |held| {
            held.listed_contexts()
                .is_some_and(|listed| listed.iter().map(|one| one.as_str()).eq(contexts.iter().copied()))
        })
    };
    setting.register("a", r#""string""#);
    setting.register(":.x:a", r#""string""#);
    lists(&[".", ".x"]).await;
    until("all is read", || setting.importer.status().caught_up && setting.is_quiet()).await;
    // In the time of one pass: what is listed in the end is as long as before.
    setting.register(":.y:a", r#""string""#);
    setting.purge(":.y:a");
    lists(&[".", ".x", ".y"]).await;
    setting.purge(":.x:a");
    setting.sees(|held| holds(held, ":.x:a", 1).is_none()).await;
    for (context, left) in [(".x", &[".", ".y"][..]), (".y", &["."][..])] {
        assert_eq!(setting.ask("DELETE", &format!("/contexts/{context}"), None).0, 204);
        lists(left).await;
    }
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

#[tokio::test]
async fn a_pass_that_takes_longer_than_the_interval_is_not_joined_by_another() {
    let setting = Setting::start().await;
    setting.register("a", r#""string""#);
    setting.pass().await;
    setting.registry.forget_requests();
    let slow = Fault::Delay(Duration::from_millis(200));
    setting.registry.fault_where(|seen| seen.path() == "/contexts", None, slow);
    let stop = setting.run();
    let is_start = |seen: &small_registry::Seen| seen.path() == "/contexts";
    setting.registry.wait_for(4, is_start).await;
    drop(stop);
    let seen = setting.registry.requests();
    let starts: Vec<_> = seen.iter().enumerate().filter(|(_, seen)| is_start(seen)).map(|(at, _)| at).collect();
    for pair in starts.windows(2) {
        let between = &seen[pair[0] + 1..pair[1]];
        assert!(between.iter().any(|seen| seen.path() == "/schemas"), "each ends before the next one starts");
    }
}

#[tokio::test]
async fn no_more_calls_are_under_way_than_configured() {
    let config = Config { parallel: 3, ..setting::quick() };
    let setting = Setting::with(SmallRegistry::start().await, config, ProfileChoice::Auto);
    for number in 0..20 {
        setting.register(&format!("s{number}"), r#""string""#);
    }
    let is_swept =
        |seen: &small_registry::Seen| seen.path().starts_with("/config/s") || seen.path().starts_with("/mode/s");
    setting.registry.fault_where(is_swept, None, Fault::BlackHole);
    let importer = setting.importer.clone();
    let pass = tokio::spawn(async move { importer.full_pass_now(false).await });
    setting.registry.wait_for(3, is_swept).await;
    setting.importer.nudge();
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(setting.registry.count(is_swept), 3);
    pass.abort();
}

#[tokio::test]
async fn pages_that_shift_while_they_are_read_lose_nothing() {
    let setting = Setting::start().await;
    for number in 0..1500 {
        setting.register(&format!("s{number:04}"), &format!(r#"{{"type":"fixed","name":"F","size":{}}}"#, number + 1));
    }
    let registry = std::sync::Arc::downgrade(&setting.registry);
    let moves = move |seen: &small_registry::Seen| {
        if seen.target.contains("deleted=true&offset=999")
            && let Some(registry) = registry.upgrade()
        {
            for number in 100..200 {
                registry.ask("DELETE", &format!("/subjects/s{number:04}"), None);
                registry.ask("DELETE", &format!("/subjects/s{number:04}?permanent=true"), None);
            }
        }
        false
    };
    setting.registry.fault_where(moves, None, Fault::BlackHole);
    setting.pass().await;
    let snapshot = setting.replica.snapshot();
    for number in (0..100).chain(200..1500) {
        assert!(holds(&snapshot, &format!("s{number:04}"), 1).is_some(), "s{number:04}");
    }
    setting.pass().await;
    assert_eq!(setting.subjects(), 1400);
}

#[tokio::test]
async fn the_configuration_of_an_alias_is_known_too() {
    let setting = Setting::start().await;
    setting.register("orders", r#""string""#);
    setting.ask("PUT", "/config/nick", Some(r#"{"alias":"orders"}"#));
    setting.pass().await;
    let remembered = setting.replica.snapshot().remembered("/config/nick").cloned().expect("it is known");
    assert_eq!((remembered.status, &remembered.body[..]), (200, setting.ask("GET", "/config/nick", None).1.as_bytes()));
    let aliases = |seen: &small_registry::Seen| seen.target.contains("aliases=true");
    setting.registry.fault_where(aliases, None, Fault::error(500, 50001, "no"));
    assert!(!setting.importer.full_pass_now(false).await.ok);
    assert!(setting.replica.snapshot().remembered("/config/nick").is_some(), "as before");
}

#[tokio::test]
async fn what_was_never_asked_for_is_swept_first() {
    let setting = Setting::start().await;
    setting.register("a", r#""string""#);
    setting.register("b", r#""string""#);
    setting.pass().await;
    setting.register("new", r#""string""#);
    setting.registry.forget_requests();
    setting.pass().await;
    let seen = setting.registry.requests();
    let configs: Vec<_> = seen.iter().map(|seen| seen.path()).filter(|path| path.starts_with("/config/")).collect();
    let place = |path: &str| configs.iter().position(|seen| *seen == path).expect("it was asked for");
    assert!(place("/config/new") < place("/config/a") && place("/config/new") < place("/config/b"), "{configs:?}");
}

#[tokio::test]
async fn what_is_inherited_is_asked_for_again_when_the_global_level_changes() {
    let setting = Setting::start().await;
    setting.register("a", r#""string""#);
    let level = |level: &str| Fault::Status {
        status: 200,
        headers: Vec::new(),
        body: format!(r#"{{"compatibilityLevel":"{level}"}}"#),
    };
    setting.registry.fault_where(|seen| seen.path().starts_with("/config"), None, level("BACKWARD"));
    setting.pass().await;
    assert!(setting.importer.config_inherits());
    setting.registry.clear_faults();
    setting.registry.fault_where(|seen| seen.path() == "/config", None, level("FULL"));
    setting.registry.fault_where(|seen| seen.path() == "/config/a", None, Fault::bad_gateway_page());
    let report = setting.importer.full_pass_now(false).await;
    assert!(!report.ok && report.error.is_some_and(|error| error.contains("/config/a")));
    let snapshot = setting.replica.snapshot();
    assert!(snapshot.remembered("/config").is_some_and(|answer| answer.body.ends_with(b"FULL\"}")));
    assert!(snapshot.remembered("/config/a").is_none(), "the old level is not shown any more");
    assert!(!setting.importer.status().caught_up);
}

#[tokio::test]
async fn a_question_that_is_refused_keeps_no_other_from_being_asked() {
    let setting = Setting::start().await;
    setting.register("a", r#""string""#);
    for (path, fault) in [
        ("/contexts", Fault::error(500, 50001, "no")),
        ("/mode", Fault::error(403, 40301, "no")),
        ("/config/:.__GLOBAL:", Fault::bad_gateway_page()),
        ("/mode/a", Fault::error(403, 40301, "no")),
    ] {
        setting.registry.fault_where(move |seen| seen.path() == path, None, fault);
        let report = setting.importer.full_pass_now(false).await;
        assert!(report.error.is_some_and(|error| error.contains(path)), "{path} is named");
        assert!(!setting.importer.status().caught_up && setting.importer.status().listed);
        setting.registry.clear_faults();
        setting.registry.forget_requests();
    }
    assert_eq!(setting.subjects(), 1);
    assert!(setting.replica.snapshot().remembered("/config/a").is_some());
    setting.pass().await;
    assert!(setting.importer.status().caught_up);
    // An error page in the place of what was there before is no refusal to remember.
    let page = Fault::Status { status: 404, headers: Vec::new(), body: "<html>Not Found</html>".to_owned() };
    setting.registry.fault_where(|seen| seen.path() == "/config", None, page);
    assert!(!setting.importer.full_pass_now(false).await.ok);
    assert_eq!(setting.replica.snapshot().remembered("/config").expect("as before").status, 200);
}

#[tokio::test]
async fn the_importer_comes_back_as_soon_as_the_primary_does() {
    let config = Config { interval: Duration::from_secs(3600), ..Config::default() };
    let setting = Setting::with(SmallRegistry::start().await, config, ProfileChoice::Auto);
    setting.register("a", r#""string""#);
    setting.registry.stop().await;
    let stop = setting.run();
    until("a pass has failed", || setting.importer.status().last_pass.is_some_and(|pass| !pass.ok)).await;
    setting.registry.restart().await.expect("the same port");
    // Somebody else's call is the first to find it there.
    let reachable = async {
        while setting.importer.reread(Scope::Contexts, Urgency::Read).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), reachable).await.expect("it is back");
    setting.sees(|snapshot| holds(snapshot, "a", 1).is_some()).await;
    drop(stop);
}

#[tokio::test]
async fn the_metrics_tell_of_passes_and_of_what_is_left_out() {
    let setting = Setting::start().await;
    setting.register("a", r#""string""#);
    setting.pass().await;
    setting.list(&[serde_json::json!(17)]);
    setting.importer.full_pass_now(false).await;
    setting.registry.stop().await;
    setting.importer.full_pass_now(false).await;
    let mut metrics = prometheus_client::registry::Registry::default();
    setting.importer.counters().register(&mut metrics);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &metrics).expect("text");
    for line in [
        r#"passes_total{kind="full",outcome="ok"} 2"#,
        r#"passes_total{kind="full",outcome="failed"} 1"#,
        "skipped 1",
        "alarm 0",
    ] {
        assert!(text.lines().any(|known| known == line), "{line} in {text}");
    }
}
