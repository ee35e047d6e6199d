//! A recorded registry, heard through an outpost: nobody may notice it.
//!
//! The small registry stands for the recorded one, so only exchanges that it answers as recorded are
//! compared; the list of those that it does not is its own, and shrinks.

use serde_json::Value;

use crate::alike::{Answer, Varying, difference};
use crate::house::House;
use crate::offline::ground;
use crate::record::{Otherwise, carry_out, house_after, is_about_modes, otherwise, replay, request_id, scenarios};

/// What of the answer to a line is not as it was recorded.
fn unlike(line: &Value, heard: &Answer) -> Option<String> {
    let expected = Answer::recorded(line);
    match otherwise(line) {
        Some(Otherwise::InOwnWords(why)) => {
            let found = format!("status {} instead of {} to {why}", heard.status, expected.status);
            Some(found).filter(|_| heard.status != expected.status)
        }
        Some(Otherwise::Served(why)) => {
            Some(format!("status {} to {why}", heard.status)).filter(|_| heard.status >= 500)
        }
        None => difference(&expected, heard, &Varying::of(line), request_id(line).as_deref()),
    }
}

fn assert_none(wrong: &[String]) {
    let shown: Vec<&String> = wrong.iter().take(40).collect();
    if let Some(path) = std::env::var_os("DIFFERENCES") {
        std::fs::write(path, wrong.join("\n")).expect("the report can be written");
    }
    assert!(wrong.is_empty(), "{} differ:\n{shown:#?}", wrong.len());
}

/// The registry goes on naming the id of a schema that was purged by its GUID, and fails when it is
/// asked for the schema; what has the same content elsewhere is shown all the same.
pub fn is_purged_guid(line: &Value) -> bool {
    let target = line["request"]["target"].as_str().unwrap_or_default();
    target.starts_with("/schemas/guids/") && line["response"]["status"] == 500
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_through_the_outpost_are_the_recorded_ones() {
    let mut wrong = Vec::new();
    for scenario in scenarios() {
        let house = House::with(scenario.registry(), |_| {}).await;
        let mut compared = 0;
        for line in scenario.lines.iter().filter(|line| line["kind"] != "checkpoint") {
            if is_about_modes(line) {
                // The primary must see it all the same, for what comes after depends on it.
                if line["kind"] == "write" {
                    carry_out(&house.primary, line);
                }
                continue;
            }
            let heard = replay(house.address(), line, &[]).await;
            if scenario.is_unlike(line) {
                continue;
            }
            compared += 1;
            if let Some(difference) = unlike(line, &heard) {
                wrong.push(format!("{}: {difference}", scenario.name_of(line)));
            }
        }
        println!("{}: {compared} compared", scenario.name);
    }
    assert_none(&wrong);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_primary_cut_off_what_was_answered_still_is() {
    let mut wrong = Vec::new();
    for scenario in scenarios() {
        let (mut kept, mut unknown) = (0, 0);
        for (before, lines) in scenario.pauses() {
            let house = house_after(scenario.registry(), &scenario.lines[..before]).await;
            house.primary.stop().await;
            for line in lines.iter().filter(|line| !is_about_modes(line) && !scenario.is_unlike(line)) {
                match alone(&house, line).await {
                    Ok(Known::Yes) => kept += 1,
                    Ok(Known::No) => unknown += 1,
                    Err(difference) => wrong.push(format!("{} (after {before}): {difference}", scenario.name_of(line))),
                }
            }
        }
        println!("{}: {kept} kept, {unknown} unknown", scenario.name);
    }
    assert_none(&wrong);
}

/// Whether an outpost that is alone knew the answer.
enum Known {
    Yes,
    No,
}

/// Asks an outpost without its primary; what it does not know it must say so, and may not know with reason only.
async fn alone(house: &House, line: &Value) -> Result<Known, String> {
    let heard = replay(house.address(), line, &[]).await;
    let recorded = line["response"]["status"].as_u64().unwrap_or_default();
    if heard.status == 404 && recorded != 404 {
        return Err("a false 404".to_owned());
    }
    let is_head = line["request"]["method"] == "HEAD";
    let code = serde_json::from_slice::<Value>(&heard.body).unwrap_or_default()["error_code"].as_i64();
    let says_so = heard.status == 500 && (code == Some(50003) || is_head);
    // How the registry words what it cannot read, only the registry knows.
    let is_unreadable = line["kind"] == "bad" && recorded == 400;
    let may = || matches!(recorded, 404 | 500) || is_unreadable || ground(house, line).is_some();
    if (says_so && may()) || is_purged_guid(line) {
        return Ok(Known::No);
    }
    match unlike(line, &heard) {
        Some(difference) => Err(difference),
        None => Ok(Known::Yes),
    }
}
