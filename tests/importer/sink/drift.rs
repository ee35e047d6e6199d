//! What others do to the local registry: undone where it is ours, named where it is not, never overwritten.

use small_registry::Profile;

use super::beside::{Beside, furnish};

async fn furnished() -> Beside {
    let beside = Beside::start().await;
    furnish(&beside);
    beside.passes().await;
    beside.assert_same("at first");
    beside
}

fn locally(beside: &Beside, all: &[(&str, &str, Option<&str>)]) {
    for (method, target, body) in all {
        let answer = beside.locally(method, target, *body);
        assert_eq!(answer.0, 200, "{method} {target}: {}", answer.1);
    }
}

#[tokio::test]
async fn what_others_deleted_or_changed_of_ours_is_put_right_by_a_full_pass() {
    for (what, calls) in [
        ("a version soft-deleted", &[("DELETE", "/subjects/plain/versions/3", None)][..]),
        (
            "a version removed",
            &[
                ("DELETE", "/subjects/plain/versions/3", None),
                ("DELETE", "/subjects/plain/versions/3?permanent=true", None),
            ],
        ),
        (
            "a subject removed with its configuration",
            &[("DELETE", "/subjects/rich", None), ("DELETE", "/subjects/rich?permanent=true", None)],
        ),
        ("a soft-deleted version removed", &[("DELETE", "/subjects/plain/versions/1?permanent=true", None)]),
        ("a configuration changed", &[("PUT", "/config/plain", Some(r#"{"compatibility":"NONE","normalize":null}"#))]),
        ("a configuration deleted", &[("DELETE", "/config/plain", None)]),
        (
            "the default configuration changed",
            &[("PUT", "/config", Some(r#"{"compatibility":"FULL","normalize":true}"#))],
        ),
        ("a context's configuration deleted", &[("DELETE", "/config/:.c:", None)]),
        (
            "a mode changed, and a version removed",
            &[
                ("PUT", "/mode?force=true", Some(r#"{"mode":"READWRITE"}"#)),
                ("DELETE", "/subjects/plain/versions/3", None),
            ],
        ),
    ] {
        let beside = furnished().await;
        locally(&beside, calls);
        let report = beside.passes().await;
        assert!(report.changes > 0, "{what}");
        beside.assert_same(what);
        assert!(beside.in_step(".") && beside.withheld().is_empty(), "{what}");
        beside.local.forget_requests();
        beside.passes().await;
        assert_eq!(beside.writes(), 0, "{what}");
    }
}

/// Whoever stops writes there means it, and is not overruled.
#[tokio::test]
async fn a_context_that_somebody_made_read_only_is_left_alone_and_named_until_it_is_free_again() {
    let beside = furnished().await;
    locally(
        &beside,
        &[("DELETE", "/subjects/plain/versions/3", None), ("PUT", "/mode", Some(r#"{"mode":"READONLY"}"#))],
    );
    beside.local.forget_requests();
    beside.passes().await;
    assert_eq!(beside.writes(), 0);
    assert!(!beside.in_step("."));
    let withheld = beside.withheld();
    assert!(withheld.iter().any(|(_, reason)| reason.contains("READONLY")), "{withheld:?}");
    locally(&beside, &[("DELETE", "/mode", None)]);
    beside.passes().await;
    beside.assert_same("free again");
    assert!(beside.in_step(".") && beside.withheld().is_empty());
}

#[tokio::test]
async fn a_soft_deleted_version_that_was_revived_there_is_deleted_again() {
    let beside = furnished().await;
    let revived =
        beside.locally("POST", "/subjects/plain/versions", Some(r#"{"schema":"\"string\"","version":1,"id":1}"#));
    assert_eq!(revived.0, 200, "{}", revived.1);
    beside.passes().await;
    beside.assert_same("soft-deleted again");
}

#[tokio::test]
async fn what_is_not_the_primarys_is_named_and_left_alone() {
    let beside = furnished().await;
    locally(
        &beside,
        &[
            ("POST", "/subjects/foreign/versions", Some(r#"{"schema":"\"bytes\"","id":900,"version":2}"#)),
            ("POST", "/subjects/plain/versions", Some(r#"{"schema":"\"bytes\"","id":900,"version":7}"#)),
            ("PUT", "/config/json", Some(r#"{"compatibility":"FULL"}"#)),
            ("PUT", "/config/foreign", Some(r#"{"compatibility":"FULL"}"#)),
        ],
    );
    let before = super::beside::listing(&beside.local);
    beside.local.forget_requests();
    let report = beside.passes().await;
    assert_eq!((report.changes, beside.writes()), (0, 0));
    assert_eq!(super::beside::listing(&beside.local), before);
    assert_eq!(beside.foreign(), ["foreign subject", "json configuration", "plain version 7"]);
    assert!(!beside.in_step("."), "plain is not shown as the primary shows it");
    assert!(beside.in_step(".c"));
    // What is not between ours does not count.
    locally(
        &beside,
        &[
            ("DELETE", "/subjects/plain/versions/7", None),
            ("DELETE", "/subjects/plain/versions/7?permanent=true", None),
            ("DELETE", "/config/json", None),
        ],
    );
    beside.passes().await;
    assert_eq!(beside.foreign(), ["foreign subject"]);
    assert!(beside.in_step("."));
}

#[tokio::test]
async fn a_number_that_others_took_is_not_overwritten_and_the_subject_is_named() {
    let beside = furnished().await;
    locally(&beside, &[("POST", "/subjects/plain/versions", Some(r#"{"schema":"\"bytes\"","id":900,"version":4}"#))]);
    beside.ask("PUT", "/config/plain", Some(r#"{"compatibility":"NONE"}"#));
    beside.setting.register("plain", r#""double""#);
    beside.setting.register("other", r#""double""#);
    beside.passes().await;
    let withheld = beside.withheld();
    assert_eq!(withheld.len(), 1);
    assert_eq!(withheld[0].0, "plain");
    assert!(withheld[0].1.contains("version 4 has id 900 in the local registry"), "{}", withheld[0].1);
    let there = beside.locally("GET", "/subjects/plain/versions/4", None).1;
    assert!(there.contains(r#""id":900"#), "{there}");
    assert!(!beside.in_step("."));
    assert_eq!(beside.locally("GET", "/subjects/other/versions/1", None).0, 200, "all others are written");
    // Once it is out of the way the subject goes on.
    locally(
        &beside,
        &[
            ("DELETE", "/subjects/plain/versions/4", None),
            ("DELETE", "/subjects/plain/versions/4?permanent=true", None),
        ],
    );
    beside.passes().await;
    beside.assert_same("the number is free again");
    assert!(beside.withheld().is_empty() && beside.in_step("."));
}

#[tokio::test]
async fn a_version_of_ours_that_others_overwrote_is_theirs() {
    let beside = furnished().await;
    locally(&beside, &[("POST", "/subjects/plain/versions", Some(r#"{"schema":"\"bytes\"","id":900,"version":3}"#))]);
    beside.local.forget_requests();
    beside.passes().await;
    assert_eq!(beside.writes(), 0);
    assert_eq!(beside.withheld().len(), 1);
}

#[tokio::test]
async fn a_number_that_the_primary_gave_anew_is_removed_and_imported_again() {
    let beside = furnished().await;
    beside.setting.purge("plain");
    beside.setting.register("plain", r#""double""#);
    beside.passes().await;
    beside.assert_same("made anew under the same name");
    assert!(beside.withheld().is_empty() && beside.in_step("."));
}

#[tokio::test]
async fn what_referred_to_what_was_made_anew_is_removed_first() {
    let beside = furnished().await;
    for subject in ["a-referrer", "zz-base"] {
        beside.ask("DELETE", &format!("/subjects/{subject}"), None);
        assert_eq!(beside.ask("DELETE", &format!("/subjects/{subject}?permanent=true"), None).0, 200, "{subject}");
    }
    beside.setting.register("zz-base", r#""double""#);
    beside.passes().await;
    beside.assert_same("the base was made anew");
    assert!(beside.withheld().is_empty() && beside.in_step("."), "{:?}", beside.withheld());
}

#[tokio::test]
async fn a_subject_with_a_mode_of_its_own_is_withheld_in_the_registrys_words_until_a_full_pass_finds_it_open() {
    let beside = furnished().await;
    locally(&beside, &[("PUT", "/mode/own", Some(r#"{"mode":"READWRITE"}"#))]);
    beside.setting.register("own", r#""double""#);
    beside.setting.register("other", r#""double""#);
    beside.passes().await;
    let withheld = beside.withheld();
    assert_eq!(withheld.len(), 1);
    assert!(withheld[0].1.contains("42205") && withheld[0].1.contains("is not in import mode"), "{}", withheld[0].1);
    assert!(!beside.in_step(".") && beside.in_step(".c"));
    assert_eq!(beside.locally("GET", "/subjects/other/versions/1", None).0, 200);
    locally(&beside, &[("DELETE", "/mode/own", None)]);
    beside.passes().await;
    beside.assert_same("nothing is in the way any more");
    assert!(beside.in_step("."));
}

#[tokio::test]
async fn what_the_local_registry_does_not_keep_of_a_schema_is_named_and_not_sent_for_ever() {
    let beside = Beside::with(Profile::Cloud, Profile::Confluent8).await;
    furnish(&beside);
    beside.passes().await;
    let withheld = beside.withheld();
    assert_eq!(withheld.iter().map(|(subject, _)| subject.as_str()).collect::<Vec<_>>(), ["rich"]);
    assert!(withheld[0].1.contains("other content"), "{}", withheld[0].1);
    beside.local.forget_requests();
    beside.passes().await;
    assert_eq!(beside.writes(), 0, "{:?}", beside.withheld());
    assert!(!beside.in_step(".") && beside.in_step(".d"));
}

#[tokio::test]
async fn a_pass_that_would_remove_too_much_removes_nothing_until_it_is_confirmed() {
    let beside = Beside::start().await;
    for number in 0..20 {
        beside.setting.register(&format!("s{number:02}"), &fixed(number));
    }
    beside.passes().await;
    for number in 0..15 {
        beside.setting.purge(&format!("s{number:02}"));
    }
    beside.setting.register("new", r#""long""#);
    assert!(beside.setting.importer.full_pass_now(true).await.ok);
    let held = || super::beside::listing(&beside.local).len();
    for _ in 0..2 {
        assert!(beside.sink.full_pass_now(false).await.ok);
        assert_eq!(held(), 21, "what is new is written all the same");
        assert!(beside.status().alarm.is_some_and(|why| why.contains("15 of 2")), "{:?}", beside.status().alarm);
        assert!(!beside.in_step("."));
    }
    assert!(beside.sink.full_pass_now(true).await.ok);
    beside.assert_same("confirmed");
    assert!(beside.status().alarm.is_none() && beside.in_step("."));
}

fn fixed(size: usize) -> String {
    format!(r#"{{"type":"fixed","name":"F","size":{}}}"#, size + 1)
}

#[tokio::test]
async fn what_is_not_the_primarys_context_is_neither_read_nor_written() {
    let beside = furnished().await;
    beside.own.lock().expect("held briefly").insert(schema_outpost::protocol::subject::Context::named(".c"));
    beside.setting.register(":.c:new", r#""double""#);
    locally(
        &beside,
        &[("POST", "/subjects/:.c:theirs/versions", Some(r#"{"schema":"\"bytes\"","id":900,"version":1}"#))],
    );
    beside.local.forget_requests();
    beside.passes().await;
    assert_eq!(beside.writes(), 0);
    assert!(beside.foreign().is_empty() && !beside.in_step(".c") && beside.in_step("."));
    beside.own.lock().expect("held briefly").clear();
    beside.passes().await;
    assert_eq!(beside.foreign(), [":.c:theirs subject"]);
    assert_eq!(beside.locally("GET", "/subjects/:.c:new/versions/1", None).0, 200);
}

#[tokio::test]
async fn a_replica_that_knows_nothing_removes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let beside = Beside::start().await.kept_in(folder.path());
    furnish(&beside);
    beside.passes().await;
    let beside = beside.with_an_empty_replica();
    assert!(!beside.sink.full_pass_now(true).await.ok);
    beside.assert_same("as it was");
}

#[tokio::test]
async fn what_somebody_registers_while_a_context_is_being_opened_is_not_written_over() {
    let beside = Beside::start().await;
    beside.setting.register("a", r#""string""#);
    beside.setting.register("b", r#""string""#);
    let somebody = std::sync::Arc::downgrade(&beside.local);
    let meanwhile = move |seen: &small_registry::Seen| {
        let local = somebody.upgrade().filter(|_| seen.method == "PUT" && seen.path() == "/mode");
        local.is_some_and(|local| {
            local.ask("POST", "/subjects/a/versions", Some(r#"{"schema":"\"bytes\""}"#)).status != 200
        })
    };
    beside.local.fault_where(meanwhile, None, small_registry::Fault::CutBeforeAct);
    beside.passes().await;
    let there = beside.locally("GET", "/subjects/a/versions/1", None).1;
    assert!(there.contains("bytes"), "{there}");
    let withheld: Vec<_> = beside.withheld().into_iter().map(|(subject, _)| subject).collect();
    // Its id is somebody's too.
    assert_eq!(withheld, ["a", "b"]);
}

#[tokio::test]
async fn what_is_being_judged_anew_is_as_it_was_until_it_has_been() {
    let beside = furnished().await;
    locally(&beside, &[("PUT", "/mode/own", Some(r#"{"mode":"READWRITE"}"#))]);
    beside.setting.register("own", r#""double""#);
    beside.passes().await;
    let (withheld, foreign) = (beside.withheld(), beside.foreign());
    assert!(!withheld.is_empty() && !beside.in_step(".") && beside.in_step(".c"));
    beside.local.forget_requests();
    let is_listing = |seen: &small_registry::Seen| seen.path() == "/schemas";
    beside.local.fault_where(
        is_listing,
        None,
        small_registry::Fault::SlowAnswer(std::time::Duration::from_millis(100)),
    );
    let sink = beside.sink.clone();
    let pass = tokio::spawn(async move { sink.full_pass_now(false).await });
    beside.local.wait_for(1, is_listing).await;
    assert!(!pass.is_finished());
    assert_eq!((beside.withheld(), beside.foreign()), (withheld, foreign));
    assert!(!beside.in_step(".") && beside.in_step(".c"));
    assert!(pass.await.expect("no panic").ok);
    assert!(!beside.in_step(".") && beside.in_step(".c"));
}
