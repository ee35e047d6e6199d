//! The local registry holds what the primary holds, number by number and id by id.

use small_registry::Profile;

use super::beside::{Beside, furnish, is_write};
use crate::setting::until;

#[tokio::test]
async fn a_first_pass_brings_everything_and_a_second_one_finds_nothing_to_do() {
    for profile in [Profile::Confluent8, Profile::Cloud] {
        let beside = Beside::with(profile, profile).await;
        furnish(&beside);
        let report = beside.passes().await;
        beside.assert_same(&format!("{profile:?}"));
        assert!(report.changes > 10 && beside.withheld().is_empty());
        for context in [".", ".c", ".d"] {
            assert!(beside.in_step(context), "{context}");
        }
        beside.local.forget_requests();
        let again = beside.passes().await;
        assert_eq!((again.changes, beside.writes()), (0, 0));
        assert!(beside.foreign().is_empty());
    }
}

#[tokio::test]
async fn every_context_is_put_into_import_mode_by_force_and_before_anything_is_written_there() {
    let beside = Beside::start().await;
    furnish(&beside);
    beside.passes().await;
    let writes: Vec<_> = beside.local.requests().into_iter().filter(is_write).collect();
    let place = |what: &str| writes.iter().position(|seen| seen.target.contains(what)).expect("it was sent");
    for (mode, context) in [("/mode?force=true", "/subjects/plain"), ("/mode/:.c:?force=true", "/subjects/:.c:")] {
        assert!(place(mode) < place(context), "{mode}");
    }
    let modes: Vec<_> = writes.iter().filter(|seen| seen.path().starts_with("/mode")).collect();
    assert_eq!(modes.len(), 3, "once for each context");
    assert!(modes.iter().all(|seen| seen.target.ends_with("?force=true")));
}

#[tokio::test]
async fn what_changes_at_the_primary_is_brought_over_while_it_runs() {
    let beside = Beside::start().await;
    furnish(&beside);
    beside.passes().await;
    let stop = tokio_util::sync::CancellationToken::new();
    let (sink, token) = (beside.sink.clone(), stop.clone());
    tokio::spawn(async move { sink.run(token).await });
    let _stop = stop.drop_guard();
    for (method, target, body) in [
        ("PUT", "/config/plain", Some(r#"{"compatibility":"NONE","normalize":null}"#)),
        ("POST", "/subjects/plain/versions", Some(r#"{"schema":"\"double\""}"#)),
        ("POST", "/subjects/:.e:new/versions", Some(r#"{"schema":"\"double\""}"#)),
        ("DELETE", "/subjects/proto", None),
        ("POST", "/subjects/json/versions", Some(r#"{"schema":"{\"type\":\"object\"}","schemaType":"JSON"}"#)),
        ("DELETE", "/subjects/:.d:x?permanent=true", None),
        ("PUT", "/config/json", Some(r#"{"compatibility":"BACKWARD"}"#)),
        ("DELETE", "/config/rich", None),
    ] {
        assert_eq!(beside.ask(method, target, body).0, 200, "{target}");
        beside.setting.pass().await;
        until(target, || beside.is_all_in_step()).await;
        beside.assert_same(target);
    }
}

#[tokio::test]
async fn what_a_name_holds_that_has_become_an_alias_is_written_under_that_name() {
    let beside = Beside::start().await;
    beside.setting.register("target", r#""string""#);
    beside.setting.register("nick", r#""int""#);
    beside.ask("PUT", "/config/nick", Some(r#"{"alias":"target"}"#));
    beside.passes().await;
    beside.assert_same("an alias that comes with its versions");
    beside.ask("PUT", "/config/nick", Some(r#"{"alias":""}"#));
    beside.ask("PUT", "/config/nick", Some(r#"{"compatibility":"NONE"}"#));
    beside.setting.register("nick", r#""bytes""#);
    beside.ask("PUT", "/config/nick", Some(r#"{"alias":"target"}"#));
    beside.passes().await;
    beside.assert_same("a version behind an alias");
}

#[tokio::test]
async fn a_local_registry_that_is_older_is_brought_there_too() {
    let beside = Beside::with(Profile::Confluent7, Profile::Confluent7).await;
    beside.setting.register("base", r#"{"type":"record","name":"base","fields":[]}"#);
    beside.setting.register_with_reference("a", "base");
    beside.setting.register("plain", r#""string""#);
    beside.setting.register("gone", r#""int""#);
    beside.setting.register(":.c:plain", r#""int""#);
    beside.ask("DELETE", "/subjects/gone", None);
    beside.passes().await;
    beside.assert_same("7.x");
    let deleted = |target: &str| beside.locally("GET", target, None).0;
    assert_eq!((deleted("/subjects/gone/versions"), deleted("/subjects/gone/versions?deleted=true")), (404, 200));
    beside.local.forget_requests();
    beside.passes().await;
    assert_eq!(beside.writes(), 0);
    assert!(beside.in_step(".") && beside.in_step(".c"));
}

#[tokio::test]
async fn nothing_is_written_into_a_context_from_the_moment_on_that_it_is_not_the_primarys() {
    let beside = Beside::start().await;
    for number in 0..40 {
        beside
            .setting
            .register(&format!(":.c:s{number:02}"), &format!(r#"{{"type":"fixed","name":"F","size":{}}}"#, number + 1));
    }
    beside.setting.register("a", r#""string""#);
    beside.setting.pass().await;
    let sink = beside.sink.clone();
    let pass = tokio::spawn(async move { sink.full_pass_now(false).await });
    let is_registration = |seen: &small_registry::Seen| seen.method == "POST" && seen.path().contains("/:.c:");
    beside.local.wait_for(5, is_registration).await;
    {
        let _still = beside.still.write().await;
        beside.own.lock().expect("held briefly").insert(schema_outpost::protocol::subject::Context::named(".c"));
        beside.local.forget_requests();
    }
    assert!(pass.await.expect("no panic").ok);
    assert_eq!(beside.local.count(|seen| is_write(seen) && seen.path().contains(".c")), 0);
    assert!(beside.in_step(".") && !beside.in_step(".c"));
}
