//! The status object as a page for a person: what it lacks is left out, what is new in it is printed as it is.

use bytesize::ByteSize;
use schema_outpost::protocol::subject::QualifiedSubject;
use serde_json::{Map, Value};

use super::harmless;
use super::leftovers::{Door, sentence};
use super::scopes::named;

/// More of a kind are counted, so that the page stays one.
const MOST: usize = 10;

/// What this page has words for.
const KNOWN: [&str; 17] = [
    "version",
    "uptimeSeconds",
    "mode",
    "configuredMode",
    "modes",
    "leftovers",
    "caughtUp",
    "degraded",
    "alarm",
    "lastPass",
    "lastFullPass",
    "skipped",
    "primary",
    "local",
    "replica",
    "store",
    "digest",
];

/// Whether nothing is wrong: not degraded, no alarm, no leftovers.
pub fn is_well(status: &Value) -> bool {
    let is_quiet = |name: &str| status[name].is_null();
    is_quiet("degraded") && is_quiet("alarm") && rows(&status["leftovers"]).is_empty()
}

/// The whole page.
pub fn page(status: &Value, door: &Door) -> String {
    let mut page = Page::default();
    outpost(status, &mut page);
    modes(status, &mut page);
    leftovers(status, door, &mut page);
    importer(status, &mut page);
    registry("primary", status, &mut page);
    registry("local", status, &mut page);
    let new = status.as_object().into_iter().flatten().filter(|(name, _)| !KNOWN.contains(&name.as_str()));
    new.for_each(|(name, value)| page.line(&words(name), &plain(value)));
    replica(status, &mut page);
    store(&status["store"], &mut page);
    if let Some(digest) = status["digest"].as_str() {
        page.line("digest", digest);
    }
    page.printed()
}

/// Lines with a label each, or with none where they belong to the one before.
#[derive(Default)]
struct Page(Vec<(String, String)>);

impl Page {
    fn line(&mut self, label: &str, text: &str) {
        self.0.push((harmless(label), harmless(text)));
    }

    fn parts(&mut self, label: &str, parts: &[Option<String>]) {
        let parts: Vec<&str> = parts.iter().flatten().map(String::as_str).collect();
        if !parts.is_empty() {
            self.line(label, &parts.join(", "));
        }
    }

    /// What there may be many of.
    fn some<T>(&mut self, all: &[T], line: impl Fn(&mut Self, &T)) {
        all.iter().take(MOST).for_each(|one| line(self, one));
        if let Some(more) = all.len().checked_sub(MOST).filter(|more| *more > 0) {
            self.line("", &format!("and {more} more, which --json lists"));
        }
    }

    fn printed(self) -> String {
        let width = self.0.iter().map(|(label, _)| label.chars().count()).max().unwrap_or_default();
        self.0.iter().map(|(label, text)| format!("{label:width$}  {text}").trim_end().to_owned() + "\n").collect()
    }
}

fn outpost(status: &Value, page: &mut Page) {
    let version = status["version"].as_str().map(str::to_owned);
    page.parts("outpost", &[version, status["uptimeSeconds"].as_u64().map(|seconds| format!("up {}", span(seconds)))]);
    match status["degraded"].as_str() {
        Some(reason) => page.line("state", &format!("DEGRADED: {reason}")),
        None if is_well(status) => page.line("state", "well"),
        None => page.line("state", "needs attention"),
    }
    if let Some(alarm) = status["alarm"].as_str().filter(|alarm| status["degraded"] != *alarm) {
        page.line("alarm", alarm);
    }
}

fn modes(status: &Value, page: &mut Page) {
    match (status["configuredMode"].as_str(), status["mode"].as_str()) {
        (Some(otherwise), _) => page.line("modes", &format!("{otherwise} where nothing is set")),
        (None, Some(top)) => page.line("modes", &format!("{top} in the default context")),
        (None, None) => {}
    }
    let set = rows(&status["modes"]);
    let width = set.iter().take(MOST).map(|(_, mode)| mode.len()).max().unwrap_or_default();
    page.some(&set, |page, (scope, mode)| page.line("", &format!("{mode:width$}  {}", named(scope))));
}

fn leftovers(status: &Value, door: &Door, page: &mut Page) {
    let left = rows(&status["leftovers"]);
    match left.len() {
        0 if status["leftovers"].is_array() => page.line("leftovers", "none"),
        0 => {}
        some => page.line("leftovers", &some.to_string()),
    }
    page.some(&left, |page, (scope, mode)| {
        page.line("", &sentence(scope, mode));
        page.line("", &format!("  to end it: {}", door.clearing(scope)));
    });
}

fn importer(status: &Value, page: &mut Page) {
    match status["caughtUp"].as_bool() {
        Some(true) => page.line("importer", "caught up with the primary"),
        Some(false) => page.line("importer", "not caught up with the primary"),
        None => {}
    }
    for (label, name) in [("last pass", "lastPass"), ("last full pass", "lastFullPass")] {
        let pass = &status[name];
        if pass.is_object() {
            let outcome = match (pass["ok"].as_bool(), pass["error"].as_str()) {
                (Some(true), _) => Some("ok".to_owned()),
                (Some(false), error) => Some(format!("FAILED: {}", error.unwrap_or("no reason was given"))),
                (None, _) => None,
            };
            let ended = pass["endedAt"].as_str().map(|at| format!("ended {}", to_the_second(at)));
            page.parts(label, &[ended, count(pass, "requests", "call"), count(pass, "changes", "change"), outcome]);
        }
    }
    let skipped: Vec<&Value> = status["skipped"].as_array().into_iter().flatten().collect();
    if !skipped.is_empty() {
        page.line("skipped", &number(skipped.len() as u64, "version"));
        page.some(&skipped, |page, one| {
            let name = |part: &str| plain(&one[part]);
            page.line("", &format!("{} version {}: {}", name("subject"), name("version"), name("reason")));
        });
    }
}

/// Another registry: what is said of each, and after it what is said of this one alone.
fn registry(name: &str, status: &Value, page: &mut Page) {
    let Some(members) = status[name].as_object() else {
        if status.get(name).is_some_and(Value::is_null) {
            page.line(name, "none");
        }
        return;
    };
    let text = |name: &str| members.get(name).and_then(Value::as_str).map(str::to_owned);
    let seconds = members.get("unreachableSeconds").and_then(Value::as_u64);
    let reachable = members.get("reachable").and_then(Value::as_bool).map(|reachable| match (reachable, seconds) {
        (true, _) => "reachable".to_owned(),
        (false, Some(seconds)) => format!("cannot be reached for {}", span(seconds)),
        (false, None) => "cannot be reached".to_owned(),
    });
    let breaker = text("breaker").map(|breaker| format!("breaker {breaker}"));
    let profile = text("profile").map(|profile| format!("speaks as {profile}"));
    page.parts(name, &[text("url"), reachable, breaker, profile]);
    let said = ["url", "reachable", "breaker", "profile", "unreachableSeconds"];
    let others: Map<String, Value> = members
        .iter()
        .filter(|(name, _)| !said.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if !others.is_empty() {
        page.line("", &plain(&Value::Object(others)));
    }
}

fn replica(status: &Value, page: &mut Page) {
    let replica = &status["replica"];
    let bytes = replica["bytes"].as_u64().map(size);
    let texts = count(replica, "texts", "text").map(|texts| match bytes {
        Some(bytes) => format!("{texts} of {bytes}"),
        None => texts,
    });
    let counted = [("contexts", "context"), ("subjects", "subject"), ("versions", "version")];
    let mut parts: Vec<Option<String>> = counted.map(|(name, one)| count(replica, name, one)).into();
    parts.push(texts);
    parts.push(replica["generation"].as_u64().map(|generation| format!("generation {generation}")));
    page.parts("replica", &parts);
    let conflicts = match &replica["idConflicts"] {
        Value::Array(conflicts) => conflicts.len() as u64,
        other => other.as_u64().unwrap_or_default(),
    };
    if conflicts > 0 {
        page.line("", &number(conflicts, "id conflict"));
    }
    for (name, meaning) in [
        ("unsure", "possibly behind an acknowledged write, so the primary is asked"),
        ("undecided", "possibly behind a write of which nobody knows what became"),
    ] {
        if replica[name].as_array().is_some_and(|scopes| !scopes.is_empty()) {
            page.line("", &format!("{name}: {}; {meaning}", plain(&replica[name])));
        }
    }
    if let Some(incomplete) = replica["incomplete"].as_u64().filter(|incomplete| *incomplete > 0) {
        page.line("", &format!("incomplete: {incomplete}; right but for the times of their records"));
    }
    if let Some(rendered) = replica["renderedBytes"].as_u64() {
        page.line("", &format!("answers at hand: {}", size(rendered)));
    }
}

fn store(store: &Value, page: &mut Page) {
    let durable = store["durable"].as_bool().map(|durable| match durable {
        true => "on disk".to_owned(),
        false => "in memory only, lost when the process ends".to_owned(),
    });
    let writable = store["writable"].as_bool().filter(|writable| !writable).map(|_| "CANNOT BE WRITTEN".to_owned());
    page.parts("store", &[durable, writable, store["bytes"].as_u64().map(size)]);
}

/// The scopes and modes of a list in the object.
pub fn rows(list: &Value) -> Vec<(QualifiedSubject, String)> {
    let row = |row: &Value| Some((QualifiedSubject::parse(row["scope"].as_str()?), row["mode"].as_str()?.to_owned()));
    list.as_array().into_iter().flatten().filter_map(row).collect()
}

fn count(object: &Value, name: &str, one: &str) -> Option<String> {
    object[name].as_u64().map(|count| number(count, one))
}

fn number(count: u64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// The two largest units of a time.
fn span(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let largest = units.iter().position(|(length, _)| seconds >= *length).unwrap_or(3);
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (length, unit) in &units[largest..units.len().min(largest + 2)] {
        parts.push(format!("{} {unit}", rest / length));
        rest %= length;
    }
    parts.join(" ")
}

fn size(bytes: u64) -> String {
    ByteSize::b(bytes).display().iec().to_string()
}

fn to_the_second(moment: &str) -> String {
    match moment.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => moment.to_owned(),
    }
}

/// A member's name as words: `lastPass` is `last pass`.
fn words(name: &str) -> String {
    let mut words = String::new();
    for character in name.chars() {
        if character.is_uppercase() {
            words.push(' ');
        }
        words.extend(character.to_lowercase());
    }
    words
}

/// A value that nothing is known about.
fn plain(value: &Value) -> String {
    let member = |(name, value): (&String, &Value)| match value {
        Value::Bool(true) => words(name),
        Value::Bool(false) => format!("not {}", words(name)),
        Value::Object(_) => format!("{} ({})", words(name), plain(value)),
        _ => format!("{} {}", words(name), plain(value)),
    };
    match value {
        Value::Null => "none".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(all) if all.is_empty() => "none".to_owned(),
        Value::Array(all) => some_of(all.iter().map(plain)),
        Value::Object(members) => {
            members.iter().filter(|(_, value)| !value.is_null()).map(member).collect::<Vec<_>>().join(", ")
        }
    }
}

fn some_of(all: impl ExactSizeIterator<Item = String>) -> String {
    let more = all.len().saturating_sub(MOST);
    let shown: Vec<String> = all.take(MOST).collect();
    let shown = shown.join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(status: &Value) -> String {
        page(status, &Door::of(&[schema_outpost::server::ListenerConfig::default()]))
    }

    fn of_a_well_one() -> Value {
        json!({
            "version": "1.2.3", "uptimeSeconds": 7_980, "mode": "FORWARD", "configuredMode": "FORWARD",
            "modes": [], "leftovers": [], "caughtUp": true, "degraded": null, "alarm": null,
            "lastPass": {"startedAt": "2026-11-23T10:00:00.1Z", "endedAt": "2026-11-23T10:00:00.25Z", "ok": true,
                         "requests": 1, "changes": 0, "error": null},
            "lastFullPass": {"startedAt": "2026-11-23T09:59:00Z", "endedAt": "2026-11-23T09:59:01Z", "ok": true,
                             "requests": 14, "changes": 3, "error": null},
            "skipped": [],
            "primary": {"url": "https://r.example", "reachable": true, "breaker": "closed", "unreachableSeconds": null,
                        "profile": "8"},
            "replica": {"contexts": 2, "subjects": 12, "versions": 40, "texts": 38, "bytes": 65_536, "generation": 17,
                        "idConflicts": 0, "unsure": [], "undecided": [], "incomplete": 0, "renderedBytes": 1_024},
            "store": {"durable": true, "writable": true, "bytes": 1_593_344},
            "digest": "5f2c",
        })
    }

    #[test]
    fn an_outpost_that_is_well_takes_a_few_aligned_lines() {
        assert!(is_well(&of_a_well_one()));
        assert_eq!(
            told(&of_a_well_one()),
            "\
outpost         1.2.3, up 2 h 13 min
state           well
modes           FORWARD where nothing is set
leftovers       none
importer        caught up with the primary
last pass       ended 2026-11-23T10:00:00Z, 1 call, 0 changes, ok
last full pass  ended 2026-11-23T09:59:01Z, 14 calls, 3 changes, ok
primary         https://r.example, reachable, breaker closed, speaks as 8
replica         2 contexts, 12 subjects, 40 versions, 38 texts of 64.0 KiB, generation 17
                answers at hand: 1.0 KiB
store           on disk, 1.5 MiB
digest          5f2c
"
        );
    }

    #[test]
    fn whatever_is_wrong_is_said_with_what_ends_it() {
        let mut status = of_a_well_one();
        status["degraded"] = json!("the primary cannot be reached; reads are answered from the replica");
        status["alarm"] = json!("7 subjects are gone at the primary, more than half");
        status["modes"] = json!([
            {"scope": "", "mode": "READONLY"}, {"scope": ":.c:", "mode": "READWRITE"}, {"scope": "a b", "mode": "IMPORT"},
        ]);
        status["leftovers"] = json!([{"scope": "a b", "mode": "IMPORT"}]);
        status["caughtUp"] = json!(false);
        status["lastPass"]["ok"] = json!(false);
        status["lastPass"]["error"] = json!("GET /contexts: no connection");
        status["skipped"] = json!([{"subject": "s", "version": 3, "reason": "it refers to what is not there"}]);
        status["primary"] = json!({"url": "https://r.example", "reachable": false, "breaker": "open",
                                   "unreachableSeconds": 90_061, "profile": null});
        status["replica"]["idConflicts"] = json!(1);
        status["replica"]["unsure"] = json!(["s"]);
        status["replica"]["incomplete"] = json!(2);
        status["store"] = json!({"durable": false, "writable": true, "bytes": 0});
        assert!(!is_well(&status));
        assert_eq!(
            told(&status),
            "\
outpost         1.2.3, up 2 h 13 min
state           DEGRADED: the primary cannot be reached; reads are answered from the replica
alarm           7 subjects are gone at the primary, more than half
modes           FORWARD where nothing is set
                READONLY   the default context
                READWRITE  context .c
                IMPORT     subject a b
leftovers       1
                subject a b is still set to IMPORT while the default context is forwarded: two registries assign ids in one context
                  to end it: curl -X DELETE 'http://127.0.0.1:8081/mode/a%20b'
importer        not caught up with the primary
last pass       ended 2026-11-23T10:00:00Z, 1 call, 0 changes, FAILED: GET /contexts: no connection
last full pass  ended 2026-11-23T09:59:01Z, 14 calls, 3 changes, ok
skipped         1 version
                s version 3: it refers to what is not there
primary         https://r.example, cannot be reached for 1 d 1 h, breaker open
replica         2 contexts, 12 subjects, 40 versions, 38 texts of 64.0 KiB, generation 17
                1 id conflict
                unsure: s; possibly behind an acknowledged write, so the primary is asked
                incomplete: 2; right but for the times of their records
                answers at hand: 1.0 KiB
store           in memory only, lost when the process ends, 0 B
digest          5f2c
"
        );
    }

    #[test]
    fn what_an_older_outpost_does_not_say_is_left_out() {
        assert_eq!(told(&json!({})), "state  well\n");
        let older = json!({"version": "0.0.9", "mode": "READONLY", "caughtUp": true, "primary": {"reachable": false}});
        assert_eq!(
            told(&older),
            "\
outpost   0.0.9
state     well
modes     READONLY in the default context
importer  caught up with the primary
primary   cannot be reached
"
        );
        // Members of another kind than ours are as good as none.
        for name in KNOWN {
            for odd in [json!(null), json!(1), json!("x"), json!([1, {}]), json!({"scope": 1}), json!(true)] {
                let mut status = of_a_well_one();
                status[name] = odd.clone();
                assert!(told(&status).contains("outpost") || name == "version", "{name} {odd}");
            }
        }
    }

    #[test]
    fn what_a_newer_outpost_says_is_printed_as_it_is() {
        let mut status = of_a_well_one();
        status["local"] = json!({
            "url": "http://127.0.0.1:8085", "reachable": true, "breaker": "closed", "unreachableSeconds": null,
            "sink": {"caughtUp": true, "behind": false, "held": ["a", "b"], "alarm": null}, "lag": 3,
        });
        status["quorumKept"] = json!(false);
        let page = told(&status);
        let lines = "\nlocal           http://127.0.0.1:8085, reachable, breaker closed\n                \
                     sink (caught up, not behind, held a, b), lag 3\n";
        assert!(page.contains(lines), "{page}");
        assert!(page.contains("\nquorum kept     no\n"), "{page}");
        status["local"] = json!(null);
        assert!(told(&status).contains("\nlocal           none\n"));
    }

    #[test]
    fn a_page_stays_one_however_much_there_is_to_say() {
        let many: Vec<Value> = (0..500).map(|n| json!({"scope": format!("s{n}"), "mode": "IMPORT"})).collect();
        let skipped: Vec<Value> = (0..500).map(|n| json!({"subject": "s", "version": n, "reason": "so"})).collect();
        let mut status = of_a_well_one();
        status["modes"] = json!(many);
        status["leftovers"] = json!(many);
        status["skipped"] = json!(skipped);
        status["replica"]["unsure"] = json!((0..500).map(|n| format!("s{n}")).collect::<Vec<_>>());
        let page = told(&status);
        assert!(page.lines().count() < 60, "{page}");
        assert_eq!(page.matches("and 490 more, which --json lists").count(), 3, "{page}");
    }

    #[test]
    fn a_terminal_hears_no_commands_in_what_others_have_named() {
        let mut status = of_a_well_one();
        let name = "s\u{1b}[2J\nstate  well";
        status["modes"] = json!([{"scope": name, "mode": "IMPORT"}]);
        status["leftovers"] = json!([{"scope": name, "mode": "IMPORT"}]);
        status["skipped"] = json!([{"subject": name, "version": 1, "reason": name}]);
        status["primary"]["url"] = json!(name);
        status["new\u{1b}"] = json!({ name: name });
        let page = told(&status);
        assert!(page.chars().all(|character| character == '\n' || !character.is_control()), "{page:?}");
        assert_eq!(page.lines().filter(|line| line.starts_with("state")).count(), 1, "{page}");
    }

    #[test]
    fn a_time_is_told_in_its_two_largest_units() {
        for (seconds, expected) in
            [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (7_980, "2 h 13 min"), (90_061, "1 d 1 h")]
        {
            assert_eq!(span(seconds), expected);
        }
    }
}
