//! The other shapes of a primary: what 7.x says, and what Confluent Cloud shows to whom (WIRE.md § 8.4, § 12).
//!
//! There is no record of these, so the small registry of that shape is asked directly, and through an outpost.

use small_registry::Profile;

use crate::alike::{Varying, difference};
use crate::offline::ground;
use crate::record::{Scenario, house_after, is_about_modes, otherwise, replay, request_id, scenarios};
use crate::transcripts::is_purged_guid;

/// The fields by which clients of Cloud say that they take more, or say nothing.
const CLIENTS: [&[(&str, &str)]; 2] = [&[], &[("Confluent-Accept-Unknown-Properties", "true")]];

/// In which order holders that share a bucket came, only their times tell, which the older shape does not show.
fn is_hidden(target: &str) -> bool {
    target.starts_with("/schemas/ids/") && (target.contains("offset=") || target.contains("limit="))
}

/// Reads of a scenario's final state that are the registry's to answer.
fn reads(scenario: &Scenario) -> (usize, Vec<&serde_json::Value>) {
    let (before, lines) = scenario.pauses().pop().expect("an end");
    let is_compared = |line: &&serde_json::Value| {
        line["kind"] == "read" && !is_about_modes(line) && otherwise(line).is_none()
            && !is_hidden(line["request"]["target"].as_str().unwrap_or_default())
            // A scenario that sends the field itself would send it twice.
            && !line["request"]["headers"].to_string().contains("Unknown-Properties")
    };
    (before, lines.iter().filter(is_compared).collect())
}

/// With the primary up, then cut off, every answer is the one that the primary gives directly.
async fn compare(profile: Profile) {
    let mut wrong = Vec::new();
    let mut compared = 0;
    for scenario in scenarios() {
        let (before, lines) = reads(&scenario);
        let house = house_after(scenario.registry().profile(profile), &scenario.lines[..before]).await;
        let mut direct = Vec::new();
        for line in &lines {
            for client in CLIENTS {
                direct.push((*line, client, replay(house.primary.address(), line, client).await));
            }
        }
        for (line, client, expected) in &direct {
            let heard = replay(house.address(), line, client).await;
            if is_purged_guid(line) {
                continue;
            }
            compared += 1;
            let found = difference(expected, &heard, &Varying::of(line), request_id(line).as_deref());
            wrong.extend(found.map(|found| format!("{} {client:?}: {found}", scenario.name_of(line))));
        }
        house.primary.stop().await;
        // A fresh import, so that nothing is known only because it was asked for above.
        let alone = house_after(scenario.registry().profile(profile), &scenario.lines[..before]).await;
        alone.primary.stop().await;
        for (line, client, expected) in &direct {
            let heard = replay(alone.address(), line, client).await;
            let is_excused = || matches!(expected.status, 404 | 500) || ground(&alone, line).is_some();
            let is_unknown = heard.status == 500 && is_excused();
            if is_unknown || is_purged_guid(line) {
                continue;
            }
            compared += 1;
            // The two registries were filled one after the other, so their times differ, as those of the record do.
            let found = difference(expected, &heard, &Varying::of(line), request_id(line).as_deref());
            wrong.extend(found.map(|found| format!("{} {client:?}, alone: {found}", scenario.name_of(line))));
        }
    }
    println!("{compared} compared");
    let shown: Vec<&String> = wrong.iter().take(20).collect();
    assert!(wrong.is_empty(), "{} differ:\n{shown:#?}", wrong.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn before_a_registry_of_7_every_read_is_as_it_would_answer() {
    compare(Profile::Confluent7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn before_cloud_every_client_is_shown_what_cloud_would_show_it() {
    compare(Profile::Cloud).await;
}
