//! Cut off anywhere, and gone on with: the end is the same, and nothing is done twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use small_registry::{Fault, Seen};

use super::beside::{Beside, furnish, is_claim, is_write};

/// Lets the local registry answer some writes, and nothing from then on.
fn cut_after(beside: &Beside, count: usize, fault: Fault) -> Arc<AtomicUsize> {
    let met = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&met);
    let is_met = move |seen: &Seen| is_write(seen) && counter.fetch_add(1, Ordering::Relaxed) >= count;
    beside.local.fault_where(is_met, None, fault);
    met
}

/// Changes of every kind at the primary.
fn change(beside: &Beside) {
    for (method, target, body) in [
        ("DELETE", "/subjects/:.d:x?permanent=true", None),
        ("DELETE", "/subjects/a-referrer?permanent=true", None),
        ("DELETE", "/subjects/zz-base", None),
        ("DELETE", "/subjects/zz-base?permanent=true", None),
        ("DELETE", "/subjects/proto", None),
        ("DELETE", "/config/rich", None),
        ("PUT", "/config/plain", Some(r#"{"compatibility":"NONE"}"#)),
        ("POST", "/subjects/plain/versions", Some(r#"{"schema":"\"double\""}"#)),
        ("POST", "/subjects/zz-base/versions", Some(r#"{"schema":"\"double\""}"#)),
        ("PUT", "/config/nick", Some(r#"{"alias":"rich"}"#)),
    ] {
        assert_eq!(beside.ask(method, target, body).0, 200, "{target}");
    }
}

/// Versions and configurations that the local registry was told of twice though it had said yes to the first.
fn twice(beside: &Beside) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    let registrations = beside.local.requests().into_iter().filter(|one| one.method == "POST" && !is_claim(one));
    let said = registrations.map(|one| format!("{} {}", one.target, String::from_utf8_lossy(&one.body)));
    said.filter(|one| !seen.insert(one.clone())).collect()
}

#[tokio::test]
async fn wherever_it_is_cut_off_the_next_pass_goes_on_to_the_same_end() {
    let cuts = [Fault::CutBeforeAct, Fault::CutAfterAct, Fault::error(503, 50301, "later")];
    let mut count = 0;
    loop {
        let fault = cuts[count % cuts.len()].clone();
        let folder = tempfile::tempdir().expect("a folder");
        let beside = Beside::start().await.kept_in(folder.path());
        furnish(&beside);
        beside.setting.pass().await;
        let met = cut_after(&beside, count, fault.clone());
        let first = beside.sink.full_pass_now(false).await;
        let is_whole = met.load(Ordering::Relaxed) <= count;
        assert_eq!(first.ok, is_whole, "after {count} writes and {fault:?}: {:?}", first.error);
        assert!(is_whole || !beside.in_step("."), "after {count} writes");
        beside.local.clear_faults();
        // Its process is gone with all that it had not written down.
        let beside = beside.restarted();
        beside.passes().await;
        beside.assert_same(&format!("after {count} writes and {fault:?}"));
        assert!(beside.withheld().is_empty() && beside.in_step(".") && beside.in_step(".d"));
        if matches!(fault, Fault::CutAfterAct | Fault::CutBeforeAct) {
            assert!(twice(&beside).len() <= 8, "no more than were under way, each once repeated: {:?}", twice(&beside));
        }
        if is_whole {
            assert!(count > 20, "it was cut off in the middle of something");
            return;
        }
        count += 1;
    }
}

#[tokio::test]
async fn removals_that_are_cut_off_are_gone_on_with_too() {
    let mut count = 0;
    loop {
        let folder = tempfile::tempdir().expect("a folder");
        let beside = Beside::start().await.kept_in(folder.path());
        furnish(&beside);
        beside.passes().await;
        change(&beside);
        beside.setting.pass().await;
        let met = cut_after(&beside, count, Fault::CutAfterAct);
        let first = beside.sink.full_pass_now(false).await;
        let is_whole = met.load(Ordering::Relaxed) <= count;
        assert_eq!(first.ok, is_whole, "after {count} writes: {:?}", first.error);
        beside.local.clear_faults();
        let beside = beside.restarted();
        beside.passes().await;
        beside.assert_same(&format!("after {count} writes"));
        assert!(beside.withheld().is_empty() && beside.in_step("."), "{:?}", beside.withheld());
        beside.local.forget_requests();
        beside.passes().await;
        assert_eq!(beside.writes(), 0);
        if is_whole {
            assert!(count > 5, "it was cut off in the middle of something");
            return;
        }
        count += 1;
    }
}

#[tokio::test]
async fn one_subject_at_which_the_local_registry_stumbles_keeps_no_other_from_being_written() {
    let beside = Beside::start().await;
    for subject in ["a", "b", "c", "d", "e", "f"] {
        beside.setting.register(subject, r#""string""#);
    }
    beside.setting.pass().await;
    let stumbles = |seen: &Seen| seen.method == "POST" && seen.path().contains("/c/");
    beside.local.fault_where(stumbles, None, Fault::error(500, 50001, "cannot"));
    for _ in 0..2 {
        let report = beside.sink.full_pass_now(false).await;
        assert!(report.error.is_some_and(|error| error.contains("500/50001 cannot")));
        assert_eq!(super::beside::listing(&beside.local).len(), 5, "all others are there");
    }
    assert!(beside.sink.full_pass_now(false).await.ok, "by now it is withheld");
    assert_eq!(beside.withheld().len(), 1, "{:?}", beside.withheld());
    beside.local.clear_faults();
    beside.passes().await;
    beside.assert_same("it is well again");
}

#[tokio::test]
async fn it_waits_where_it_is_asked_to_and_goes_on_as_soon_as_the_local_registry_is_back() {
    let beside = Beside::start().await;
    furnish(&beside);
    beside.setting.pass().await;
    beside.local.fault_times(3, Fault::too_many_requests(0));
    beside.passes().await;
    beside.assert_same("after some 429");
    beside.local.stop().await;
    let stop = tokio_util::sync::CancellationToken::new();
    let (sink, token) = (beside.sink.clone(), stop.clone());
    tokio::spawn(async move { sink.run(token).await });
    let _stop = stop.drop_guard();
    crate::setting::until("a pass has failed", || beside.status().last_pass.is_some_and(|pass| !pass.ok)).await;
    assert!(!beside.in_step("."));
    beside.setting.register("new", r#""double""#);
    beside.setting.pass().await;
    beside.local.restart().await.expect("the same port");
    crate::setting::until("it is back", || beside.is_all_in_step()).await;
    beside.assert_same("after it was away");
}
