//! One writes. A second one that would is told, and takes over when the first is gone.

use std::time::Duration;

use schema_outpost::importer::Config;
use tokio_util::sync::CancellationToken;

use super::beside::{Beside, furnish, is_claim};
use crate::setting::until;

#[tokio::test]
async fn a_second_writer_is_noticed_and_named_and_writes_nothing() {
    let beside = Beside::start().await;
    furnish(&beside);
    beside.passes().await;
    let second = beside.another("two");
    beside.local.forget_requests();
    beside.setting.register("new", r#""double""#);
    second.setting.pass().await;
    assert!(second.sink.full_pass_now(false).await.ok);
    assert_eq!(beside.local.count(|seen| seen.method != "GET"), 0, "not even a claim");
    let status = second.status();
    assert_eq!(
        (status.claim.as_str(), status.other_writer.map(|other| other.name)),
        ("others", Some("one".to_owned()))
    );
    assert!(!second.in_step(".") && second.in_step(".c"), "it compares all the same");
    assert_eq!(beside.status().claim.as_str(), "ours");
    // What the first writes, the second sees.
    beside.passes().await;
    assert!(second.sink.full_pass_now(false).await.ok);
    assert!(second.in_step(".") && second.status().json()["otherWriter"]["name"] == "one");
}

#[tokio::test]
async fn a_claim_that_stands_still_falls_and_one_that_moves_does_not() {
    let config = Config { interval: Duration::from_secs(10), ..super::beside::quick() };
    let beside = Beside::start().await.going_by(config);
    beside.setting.register("a", r#""string""#);
    beside.passes().await;
    let second = beside.another("two");
    second.setting.pass().await;
    beside.setting.register("b", r#""string""#);
    second.setting.pass().await;
    let pass = async || {
        let report = second.sink.full_pass_now(false).await;
        assert!(report.ok, "{:?}", report.error);
        second.status().claim.as_str()
    };
    assert_eq!(pass().await, "others");
    for _ in 0..3 {
        // Each time longer than the claim promises, and each time it has moved.
        advance(Duration::from_secs(170)).await;
        beside.passes().await;
        assert_eq!(pass().await, "others");
    }
    advance(Duration::from_secs(170)).await;
    assert_eq!(pass().await, "others", "it has not stood still for long enough");
    advance(Duration::from_secs(15)).await;
    assert_eq!(pass().await, "ours");
    second.assert_same("taken over");
    // The first is still there after all: it finds the claim moved, and stands back.
    beside.setting.register("c", r#""string""#);
    beside.passes().await;
    let status = beside.status();
    assert_eq!(
        (status.claim.as_str(), status.other_writer.map(|other| other.name)),
        ("others", Some("two".to_owned()))
    );
}

/// Lets time pass on a clock of its own: the calls in between go by the real one.
async fn advance(by: Duration) {
    tokio::time::pause();
    tokio::time::advance(by).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_writer_that_starts_again_is_known_by_its_state_and_one_that_ends_leaves_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let beside = Beside::start().await.kept_in(folder.path());
    beside.setting.register("a", r#""string""#);
    beside.passes().await;
    let beside = beside.restarted();
    beside.setting.register("b", r#""string""#);
    beside.passes().await;
    assert_eq!(beside.status().claim.as_str(), "ours", "its own claim of before");
    let stop = CancellationToken::new();
    let (sink, token) = (beside.sink.clone(), stop.clone());
    let running = tokio::spawn(async move { sink.run(token).await });
    until("it runs", || beside.status().last_pass.is_some()).await;
    stop.cancel();
    running.await.expect("it ended");
    let second = beside.another("two");
    second.setting.pass().await;
    assert!(second.sink.full_pass_now(false).await.ok);
    assert_eq!(second.status().claim.as_str(), "ours");
}

#[tokio::test]
async fn the_claim_is_renewed_while_nothing_changes_and_shows_up_in_no_list() {
    let mut beside = Beside::start().await;
    beside.setting.register("a", r#""string""#);
    beside.setting.pass().await;
    let stop = CancellationToken::new();
    let (sink, token) = (beside.sink.clone(), stop.clone());
    tokio::spawn(async move { sink.run(token).await });
    let guard = stop.drop_guard();
    beside.local.wait_for(4, |seen| is_claim(seen) && seen.method == "PUT").await;
    drop(guard);
    beside.assert_same("and nothing else");
    for list in [
        "/subjects?subjectPrefix=:*:&deleted=true",
        "/contexts",
        "/schemas?subjectPrefix=:*:&deleted=true&aliases=true",
    ] {
        let answer = beside.locally("GET", list, None);
        assert!(answer.0 == 200 && !answer.1.contains("__outpost"), "{list}: {}", answer.1);
    }
    beside = beside.restarted();
    assert!(beside.foreign().is_empty());
}

#[tokio::test]
async fn who_is_not_to_write_compares_and_tells_who_does() {
    let beside = Beside::start().await;
    furnish(&beside);
    let onlooker = beside.onlooker();
    onlooker.setting.pass().await;
    assert!(onlooker.sink.full_pass_now(false).await.ok);
    assert_eq!(beside.local.count(|seen| seen.method != "GET"), 0);
    assert!(!onlooker.in_step(".") && onlooker.status().pending > 5);
    assert_eq!(onlooker.status().claim.as_str(), "nobodys");
    beside.passes().await;
    assert!(onlooker.sink.full_pass_now(false).await.ok);
    assert!(onlooker.is_all_in_step() && onlooker.in_step("."));
    assert_eq!(onlooker.status().other_writer.map(|other| other.name).as_deref(), Some("one"));
    // It follows what changes too.
    let stop = CancellationToken::new();
    let (sink, token) = (onlooker.sink.clone(), stop.clone());
    tokio::spawn(async move { sink.run(token).await });
    let _guard = stop.drop_guard();
    beside.setting.register("new", r#""double""#);
    onlooker.setting.pass().await;
    until("it sees that something is missing", || !onlooker.in_step(".") && onlooker.status().pending == 1).await;
    beside.passes().await;
    until("it sees that it is there", || onlooker.in_step(".")).await;
}

#[tokio::test]
async fn the_interval_that_a_claim_promises_follows_the_importers() {
    let config = Config { interval: Duration::from_secs(10), ..super::beside::quick() };
    let beside = Beside::start().await.going_by(config);
    beside.setting.register("a", r#""string""#);
    beside.passes().await;
    let claim = beside.locally("GET", "/config/:.__outpost:writer", None).1;
    assert!(
        claim.contains(r#""outpost.intervalMillis":"60000""#) && claim.contains(r#""outpost.writer":"one""#),
        "{claim}"
    );
}
