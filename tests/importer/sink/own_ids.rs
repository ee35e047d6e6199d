//! A local registry that says yes to an import and gives ids of its own: nothing of it is ever promoted, and it is left
//! with as little of ours as possible.

use small_registry::{Fault, Profile, Seen};

use super::beside::{Beside, is_write};

fn is_registration(seen: &Seen) -> bool {
    seen.method == "POST" && seen.path().ends_with("/versions")
}

/// So that the primary's ids are not those that such a registry would give by chance.
fn spend_ids(beside: &Beside) {
    for size in 1..4 {
        beside.setting.register("gone", &format!(r#"{{"type":"fixed","name":"F","size":{size}}}"#));
        beside.setting.purge("gone");
    }
}

#[tokio::test]
async fn it_ends_with_every_subject_withheld_and_one_stray() {
    let beside = Beside::with(Profile::Confluent8, Profile::OwnIds).await;
    spend_ids(&beside);
    for subject in ["a", "b", "c", "d"] {
        beside.setting.register(subject, r#""string""#);
    }
    beside.ask("PUT", "/config/a", Some(r#"{"compatibility":"FULL","compatibilityGroup":"g"}"#));
    beside.passes().await;
    let withheld = beside.withheld();
    assert_eq!(withheld.iter().map(|(subject, _)| subject.as_str()).collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    assert!(
        withheld[0].1.contains("sent with id 4") && withheld[0].1.contains("answered with id 1"),
        "{}",
        withheld[0].1
    );
    assert!(withheld[1].1.contains("gave a an id of its own"), "{}", withheld[1].1);
    assert!(!beside.in_step("."));
    assert_eq!(beside.status().claim.as_str(), "unsupported");
    assert_eq!(beside.local.count(is_registration), 1, "one stray");
    // The stray tells the next passes, and those after a restart, what kind of registry it is.
    beside.local.forget_requests();
    beside.setting.register("e", r#""string""#);
    beside.passes().await;
    beside.passes().await;
    assert_eq!(
        beside.local.requests().iter().filter(|seen| is_write(seen)).map(|seen| &*seen.target).collect::<Vec<_>>(),
        Vec::<&str>::new()
    );
    assert_eq!(beside.withheld().len(), 5);
}

#[tokio::test]
async fn the_stray_is_known_after_a_restart_and_forgotten_when_it_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let beside = Beside::with(Profile::Confluent8, Profile::OwnIds).await.kept_in(folder.path());
    spend_ids(&beside);
    for subject in ["a", "b"] {
        beside.setting.register(subject, r#""string""#);
    }
    beside.passes().await;
    let beside = beside.restarted();
    beside.local.forget_requests();
    beside.passes().await;
    assert_eq!(beside.local.count(is_registration), 0);
    for target in ["/subjects/a", "/subjects/a?permanent=true"] {
        assert_eq!(beside.locally("DELETE", target, None).0, 200);
    }
    beside.passes().await;
    assert_eq!(beside.local.count(is_registration), 1, "it is tried again, once");
}

#[tokio::test]
async fn without_a_ledger_what_is_there_under_another_id_tells_as_much() {
    let beside = Beside::with(Profile::Confluent8, Profile::OwnIds).await;
    spend_ids(&beside);
    for subject in ["a", "b"] {
        beside.setting.register(subject, r#""string""#);
    }
    beside.passes().await;
    let beside = beside.restarted();
    beside.local.forget_requests();
    beside.passes().await;
    assert_eq!(beside.local.count(is_registration), 0);
    assert_eq!(beside.withheld().len(), 2);
}

#[tokio::test]
async fn an_answer_that_names_another_version_is_a_reason_too() {
    let beside = Beside::start().await;
    beside.setting.register("a", r#""string""#);
    beside.setting.register("b", r#""string""#);
    let answer = Fault::Status { status: 200, headers: Vec::new(), body: r#"{"id":1,"version":2}"#.to_owned() };
    beside.local.fault_where(|seen| is_registration(seen) && seen.path().contains("/a/"), None, answer);
    beside.passes().await;
    assert_eq!(beside.withheld().len(), 1, "{:?}", beside.withheld());
    assert!(beside.withheld()[0].1.contains("id 1 and version 2"), "{:?}", beside.withheld());
    beside.local.clear_faults();
    beside.passes().await;
    beside.assert_same("it does as it is told again");
}
