//! A local registry that was written by others and keeps no explicit ids: `tests/tools/peers.sh` starts one and names it.

use schema_outpost::upstream::{self, Registry};
use serde_json::Value;

use super::beside::{Beside, furnish};

/// Asks the registry of others for a list.
async fn list(registry: &Registry, path: &str) -> Vec<Value> {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    match registry.get_list(path, upstream::Priority::Miss, deadline).await.expect("it answers") {
        upstream::Got::Value(list) => list,
        other => panic!("{path}: {other:?}"),
    }
}

#[tokio::test]
#[ignore = "needs a registry that was written by others"]
async fn a_registry_of_others_ends_with_every_subject_withheld_and_one_stray_a_context() {
    let url = std::env::var("OUTPOST_LOCAL_PEER").expect("OUTPOST_LOCAL_PEER is the URL of a registry");
    let config = upstream::Config { urls: vec![url], requests_per_second: 1000, ..upstream::Config::default() };
    let peer = Registry::new(&config, "peer").expect("it can be called");
    let before = list(&peer, "/subjects").await.len();
    let beside = Beside::start().await;
    // Ids beyond those that it would give by chance.
    for size in 1..200 {
        beside.setting.register("gone", &format!(r#"{{"type":"fixed","name":"F{size}","size":{size}}}"#));
        beside.setting.purge("gone");
    }
    furnish(&beside);
    beside.setting.pass().await;
    let beside = beside.with_local(config);
    for _ in 0..3 {
        let report = beside.sink.full_pass_now(false).await;
        assert!(report.ok, "{:?}", report.error);
    }
    let held: std::collections::BTreeSet<String> = beside.withheld().into_iter().map(|(subject, _)| subject).collect();
    let snapshot = beside.setting.replica.snapshot();
    for (context, state) in snapshot.contexts() {
        for (name, _) in state.subjects() {
            let subject = format!("{}{name}", context.prefix());
            assert!(held.contains(&subject), "{subject} is not withheld: {held:?}");
        }
        assert!(!beside.sink.in_step(context), "{context}");
    }
    let strays = list(&peer, "/subjects").await.len() - before;
    assert!(strays <= snapshot.contexts().count(), "{strays} subjects were left in it");
    assert_eq!(beside.status().claim.as_str(), "unsupported");
}
