//! A site whose contexts have other names at the primary: whoever asks it hears a registry of its own.

use schema_outpost::routing::Pair;
use serde_json::Value;

use crate::alike::Answer;
use crate::house::House;
use crate::record::{Scenario, carry_out, is_about_modes, number, replay, scenarios};
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

/// The context that is literally named `*` belongs to nobody, and what somebody registered there is in no list.
fn is_about_the_star(line: &Value) -> bool {
    let star = |text: &str| {
        let is_prefix = text.contains("Prefix=:*:") || text.contains("Prefix=%3A%2A%3A");
        (text.contains("/:*:") || text.contains("subject=:*:")) && !is_prefix
    };
    let shown = line["response"]["body"].as_str().unwrap_or_default();
    line["request"]["target"].as_str().is_some_and(star) || shown.contains("\":*:") || shown.contains("\"*\"")
}

/// A GUID counts the names of references as the primary has them (WIRE.md § 7.4).
fn without_guids(answer: &mut Answer) {
    fn walk(value: &mut Value) {
        match value {
            Value::Object(members) => {
                let is_qualified = members.get("references").is_some_and(|names| names.to_string().contains("\":."));
                members.values_mut().for_each(walk);
                if is_qualified {
                    members.remove("guid");
                }
            }
            Value::Array(items) => items.iter_mut().for_each(walk),
            _ => {}
        }
    }
    if let Ok(mut value) = serde_json::from_slice::<Value>(&answer.body)
        && String::from_utf8_lossy(&answer.body).contains("\"references\"")
    {
        let before = value.clone();
        walk(&mut value);
        if value != before {
            answer.body = serde_json::to_vec(&value).expect("JSON");
        }
    }
}

/// What a site hears otherwise than a registry of its own would say, by scenario and number, and why.
const OTHERWISE: &[(&str, &[i64], &str)] = &[
    ("01-avro", &[410], "which of several holders of an id comes first depends on all of its name"),
    ("03-protobuf", &[99], "which of several holders of an id comes first depends on all of its name"),
    ("11-import", &[76, 93, 95, 96, 106, 127, 130, 348, 351, 461], "so does which of two contents of one id counts"),
    ("06-config", &[416], "of one version that has aliases in several contexts there is an item for each"),
    (
        "06-config",
        &[145, 155, 157, 199],
        "where the top level of a site has nothing set, what is in force there is shown",
    ),
    ("06-config", &[433], "the top level of a site is a context of the primary's, whose method has another name"),
    ("07-mode", &[83, 202], "and whose sentences say no subject otherwise"),
    ("07-mode", &[84, 203], "what was never set there is not looked at for its mode"),
];

fn is_otherwise(scenario: &Scenario, line: &Value) -> bool {
    let refused =
        line["request"]["method"].as_str().is_some_and(|method| matches!(method, "DELETE" | "PUT" | "PATCH" | "POST"))
            && line["response"]["status"] == 404
            && line["response"]["body"]
                .as_str()
                .is_none_or(|body| !body.contains("404") || body.contains("HTTP 404 Not Found"));
    // A write to a route that nobody knows is not passed on.
    refused || OTHERWISE.iter().any(|(name, lines, _)| *name == scenario.name && lines.contains(&number(line)))
}

async fn differences(scenario: &Scenario) -> Vec<String> {
    let house = House::with(scenario.registry(), |config| config.contexts = site("site1")).await;
    let mut wrong = Vec::new();
    let mut compared = 0;
    for line in scenario.lines.iter().filter(|line| line["kind"] != "checkpoint") {
        if is_about_the_star(line) {
            continue;
        }
        if is_about_modes(line) || is_about_all_sites(line) {
            if line["kind"] == "write" {
                carry_out(&house.primary, &at_the_primary(line));
                house.imported().await;
            }
            continue;
        }
        let mut heard = replay(house.address(), line, &[]).await;
        if scenario.is_unlike(line) || is_otherwise(scenario, line) {
            continue;
        }
        compared += 1;
        let mut expected = Answer::recorded(line);
        without_guids(&mut expected);
        without_guids(&mut heard);
        if let Some(difference) = unlike(line, &expected, &heard) {
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
