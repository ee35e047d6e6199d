//! A recorded registry, heard through an outpost: nobody may notice it.
//!
//! The small registry stands for the recorded one, so only exchanges that it answers as recorded are
//! compared; the list of those that it does not is its own, and shrinks.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde_json::Value;
use small_registry::SmallRegistry;

use crate::house::{Heard, House, raw, read};
use crate::offline::ground;

/// The folder of the whole record where there is one, else of the sample that is checked in.
fn record() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let whole = root.join("../shared/transcripts/confluent-8.3");
    if whole.is_dir() { whole } else { root.join("small-registry/tests/data") }
}

struct Scenario {
    name: String,
    lines: Vec<Value>,
    unlike: HashSet<i64>,
}

fn scenarios() -> Vec<Scenario> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let known = std::fs::read_to_string(root.join("small-registry/tests/known-differences.json")).expect("the list");
    let known: Value = serde_json::from_str(&known).expect("JSON");
    let mut files: Vec<PathBuf> = std::fs::read_dir(record())
        .expect("the record")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "jsonl"))
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).expect("readable");
            // The whole record begins with a line about itself, the sample does not.
            let lines = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
            let lines = lines.filter(|line: &Value| line["kind"].is_string()).collect();
            let unlike = known[&name].as_array().into_iter().flatten().filter_map(Value::as_i64).collect();
            Scenario { name, lines, unlike }
        })
        .collect()
}

fn is_about_modes(line: &Value) -> bool {
    let target = line["request"]["target"].as_str().unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    path.trim_start_matches('/').split('/').any(|word| word == "mode")
}

async fn replay(house: &House, line: &Value) -> Heard {
    let request = &line["request"];
    let method = request["method"].as_str().expect("a method");
    let target = request["target"].as_str().expect("a target");
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    if request["host"] != Value::Bool(false) {
        head.push_str("Host: registry\r\n");
    }
    for header in request["headers"].as_array().expect("headers") {
        head.push_str(&format!("{}: {}\r\n", header[0].as_str().expect("text"), header[1].as_str().expect("text")));
    }
    let encoded = request["body_base64"].as_str().map(|text| base64::engine::general_purpose::STANDARD.decode(text));
    let body = match encoded {
        Some(bytes) => Some(bytes.expect("base64")),
        None => request["body"].as_str().map(|text| text.as_bytes().to_vec()),
    };
    if let Some(body) = &body {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("Connection: close\r\n\r\n");
    read(&raw(house.address(), &[head.as_bytes(), &body.unwrap_or_default()].concat()).await)
}

/// What differs from the record in status, Content-Type or body, volatile parts aside.
fn difference(line: &Value, heard: &Heard) -> Option<String> {
    let response = &line["response"];
    let status = response["status"].as_u64().expect("a status");
    if u64::from(heard.status) != status {
        return Some(format!("status {} instead of {status}: {}", heard.status, heard.body));
    }
    // A target that cannot be understood: the registry's web server has pages of its own for it, by
    // Accept, mostly empty ones; ours is always the registry's JSON (FAULTS.md, P-05).
    if status == 400 && response["body"].as_str().unwrap_or_default().is_empty() {
        return None;
    }
    let media = response["headers"].as_array().expect("headers").iter().find(|header| header[0] == "Content-Type");
    let media = media.and_then(|header| header[1].as_str());
    if heard.header("Content-Type") != media {
        return Some(format!("Content-Type {:?} instead of {media:?}", heard.header("Content-Type")));
    }
    // An identity answer to a client that also takes gzip is the same answer.
    let expected = response["body_gunzipped"].as_str().or(response["body"].as_str()).unwrap_or_default();
    if heard.body == expected {
        return None;
    }
    let pointers: Vec<&str> = line["volatile"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter(|name| name.starts_with('/'))
        .collect();
    let is_unordered = line["unordered"] == Value::Bool(true);
    let masked = |text: &str| {
        let mut value: Value = serde_json::from_str(text).ok()?;
        pointers.iter().for_each(|pointer| mask(&mut value, &pointer[1..]));
        if let (true, Value::Array(items)) = (is_unordered, &mut value) {
            items.sort_by_key(ToString::to_string);
        }
        Some(value.to_string())
    };
    match (masked(&heard.body), masked(expected)) {
        (Some(heard), Some(expected)) if heard == expected => None,
        _ => Some(format!("body\n    {}\n  instead of\n    {expected}", heard.body)),
    }
}

fn mask(value: &mut Value, pointer: &str) {
    let (first, rest) = pointer.split_once('/').unwrap_or((pointer, ""));
    let step = |child: &mut Value| {
        if rest.is_empty() { *child = Value::Null } else { mask(child, rest) }
    };
    match value {
        Value::Array(items) if first == "*" => items.iter_mut().for_each(step),
        Value::Object(members) => members.get_mut(first).into_iter().for_each(step),
        _ => {}
    }
}

/// The registry goes on naming the id of a schema that was purged by its GUID, and fails when it is
/// asked for the schema. No list shows such a GUID, so an importer cannot know it.
fn is_purged_guid(line: &Value, heard: &Heard) -> bool {
    let target = line["request"]["target"].as_str().unwrap_or_default();
    let recorded: Value =
        serde_json::from_str(line["response"]["body"].as_str().unwrap_or_default()).unwrap_or_default();
    let shorter = |heard: &Value| {
        heard.as_array().into_iter().flatten().all(|one| recorded.as_array().is_some_and(|all| all.contains(one)))
    };
    target.starts_with("/schemas/guids/") && (line["response"]["status"] == 500 || shorter(&heard.json()))
}

/// Scenarios whose point is what the outpost decides for itself, or that need a mode it does not have yet.
fn needs_other_modes(name: &str) -> bool {
    matches!(name, "07-mode" | "11-import")
}

/// A house before a registry that has what the recorded one had in a scenario.
async fn open(scenario: &Scenario) -> House {
    let registry = SmallRegistry::builder();
    let registry = if scenario.name.ends_with("-dek") { registry.dek_registry() } else { registry };
    House::with(registry, |_| {}).await
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_through_the_outpost_are_the_recorded_ones() {
    let mut wrong = Vec::new();
    for scenario in scenarios().iter().filter(|scenario| !needs_other_modes(&scenario.name)) {
        let house = open(scenario).await;
        let mut compared = 0;
        for line in scenario.lines.iter().filter(|line| line["kind"] != "checkpoint") {
            let n = line["n"].as_i64().expect("a number");
            if is_about_modes(line) {
                // The primary must see it all the same, for what comes after depends on it.
                let request = &line["request"];
                if line["kind"] == "write" {
                    let target = request["target"].as_str().expect("a target");
                    house.primary.ask(request["method"].as_str().expect("a method"), target, request["body"].as_str());
                }
                continue;
            }
            let heard = replay(&house, line).await;
            if line["kind"] == "bad" || scenario.unlike.contains(&n) {
                continue;
            }
            compared += 1;
            if let Some(difference) = difference(line, &heard) {
                let (method, target) = (&line["request"]["method"], &line["request"]["target"]);
                wrong.push(format!("{} {n} {method} {target}: {difference}", scenario.name));
            }
        }
        println!("{}: {compared} compared", scenario.name);
    }
    let shown: Vec<&String> = wrong.iter().take(40).collect();
    assert!(wrong.is_empty(), "{} differ:\n{shown:#?}", wrong.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_primary_cut_off_what_was_answered_still_is() {
    let mut wrong = Vec::new();
    for scenario in scenarios().iter().filter(|scenario| !needs_other_modes(&scenario.name)) {
        let house = open(scenario).await;
        let last_of = |kind: &str| scenario.lines.iter().rposition(|line| line["kind"] == kind);
        // A sample has no checkpoints; what comes after its last write is of its final state as well.
        let last = last_of("checkpoint").or_else(|| last_of("write").map(|write| write + 1)).unwrap_or_default();
        for line in scenario.lines[..last].iter().filter(|line| line["kind"] == "write") {
            let request = &line["request"];
            let target = request["target"].as_str().expect("a target");
            let body = request["body"].as_str();
            house.primary.ask(request["method"].as_str().expect("a method"), target, body);
        }
        house.imported().await;
        house.primary.stop().await;
        let mut kept = 0;
        for line in scenario.lines[last..].iter().filter(|line| line["kind"] == "read" && !is_about_modes(line)) {
            let n = line["n"].as_i64().expect("a number");
            if scenario.unlike.contains(&n) {
                continue;
            }
            let heard = replay(&house, line).await;
            let recorded = line["response"]["status"].as_u64().expect("a status");
            assert!(heard.status != 404 || recorded == 404, "a false 404: {line}");
            if recorded == 404 && matches!(heard.status, 404 | 500) {
                continue;
            }
            let unknown = (heard.status, recorded) == (500, 500) || heard.status == 500 && heard.code() == 50003;
            if unknown && (recorded == 500 || ground(&house, line).is_some()) || is_purged_guid(line, &heard) {
                continue;
            }
            kept += 1;
            if let Some(difference) = difference(line, &heard) {
                let (method, target) = (&line["request"]["method"], &line["request"]["target"]);
                wrong.push(format!("{} {n} {method} {target}: {difference}", scenario.name));
            }
        }
        println!("{}: {kept} kept", scenario.name);
    }
    let shown: Vec<&String> = wrong.iter().take(40).collect();
    assert!(wrong.is_empty(), "{} differ:\n{shown:#?}", wrong.len());
}
