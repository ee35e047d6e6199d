//! A site whose contexts have other names at the primary: whoever asks it hears a registry of its own.

use schema_outpost::routing::Pair;
use serde_json::Value;

use crate::house::House;
use crate::record::{Scenario, carry_out, is_about_modes, replay, scenarios};
use crate::transcripts::unlike;

/// The default context is `.site1` at the primary, and every other one lies below that name.
pub fn site(name: &str) -> Vec<Pair> {
    let pair = |local: &str, primary: String| Pair { local: local.to_owned(), primary };
    vec![pair(".", format!(".{name}")), pair(".*", format!(".{name}.*"))]
}

/// The line as it has to be carried out at the primary, for what concerns modes.
fn at_the_primary(line: &Value) -> Value {
    let target = line["request"]["target"].as_str().unwrap_or_default();
    let (path, query) =
        target.split_once('?').map_or((target, String::new()), |(path, query)| (path, format!("?{query}")));
    if path.starts_with("/config") {
        return line.clone();
    }
    let name = path.trim_start_matches("/mode").trim_matches('/');
    let renamed = match path.strip_prefix("/contexts/.") {
        Some(rest) => format!("/contexts/.site1.{rest}"),
        None if name.starts_with(":.__GLOBAL") => path.to_owned(),
        None => match name.strip_prefix(":.") {
            Some(rest) if !rest.starts_with(':') && !rest.is_empty() => format!("/mode/:.site1.{rest}"),
            Some(rest) => format!("/mode/:.site1:{}", rest.trim_start_matches(':')),
            None => format!("/mode/:.site1:{name}"),
        },
    };
    let mut line = line.clone();
    line["request"]["target"] = Value::String(format!("{renamed}{query}"));
    line
}

/// What counts for every site is no site's to see or to change.
fn is_about_all_sites(line: &Value) -> bool {
    line["request"]["target"].as_str().is_some_and(|target| target.contains("__GLOBAL"))
}

async fn differences(scenario: &Scenario) -> Vec<String> {
    let house = House::with(scenario.registry(), |config| config.contexts = site("site1")).await;
    // What lies beside the site must not be noticed either.
    let mut wrong = Vec::new();
    let mut compared = 0;
    for line in scenario.lines.iter().filter(|line| line["kind"] != "checkpoint") {
        if is_about_modes(line) || is_about_all_sites(line) {
            if line["kind"] == "write" {
                carry_out(&house.primary, &at_the_primary(line));
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
    println!("{}: {compared} compared, {} wrong", scenario.name, wrong.len());
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_in_contexts_of_its_own_hears_what_a_registry_of_its_own_would_say() {
    let mut wrong = Vec::new();
    for scenario in scenarios() {
        wrong.extend(differences(&scenario).await);
    }
    crate::transcripts::assert_none(&wrong);
}
