//! Two registries that pass for one: what goes over contexts of both is answered as one registry would that has all.

use schema_outpost::config::{Config, Mode};
use serde_json::{Value, json};
use small_registry::SmallRegistry;

use crate::house::{House, registration, send};

/// An outpost between two registries, and one that holds all that is to be seen.
struct Three {
    house: House,
    local: SmallRegistry,
    all: SmallRegistry,
}

/// Contexts of the primary and of the local registry, in turn as they are sorted.
const FORWARDED: [&str; 2] = [":.a:", ":.ca:"];
const BESIDE: [&str; 2] = [":.b:", ":.c:"];

/// Where the default context is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Default {
    Forwarded,
    Beside,
}

impl Three {
    async fn open(default: Default, adjust: impl FnOnce(&mut Config)) -> Self {
        let local = SmallRegistry::builder().dek_registry().start().await.expect("a port");
        let all = SmallRegistry::builder().dek_registry().start().await.expect("a port");
        let house = House::with(SmallRegistry::builder().dek_registry(), |config| {
            config.local.urls = vec![local.url()];
            if default == Default::Beside {
                config.mode = Some(Mode::ReadWrite);
            }
            adjust(config);
        })
        .await;
        let three = Self { house, local, all };
        let (scopes, mode) = if default == Default::Forwarded { (BESIDE, "READWRITE") } else { (FORWARDED, "FORWARD") };
        for scope in scopes {
            three.set(scope, mode).await;
        }
        three
    }

    async fn set(&self, scope: &str, mode: &str) {
        let body = json!({ "mode": mode }).to_string();
        let heard = self.house.ask("PUT", &format!("/mode/{scope}?force=true"), &body).await;
        assert_eq!(heard.status, 200, "{scope} {mode} {heard:?}");
    }

    /// Writes through the outpost, and the same to the registry that has all.
    async fn write(&self, method: &str, target: &str, body: &Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let heard = self.house.ask(method, target, &body).await;
        let direct = self.all.ask(method, target, (!body.is_empty()).then_some(&*body));
        let seen = (heard.status, masked(&heard.body));
        assert_eq!(seen, (direct.status, masked(&direct.body)), "{method} {target}");
        assert!(heard.status < 300, "{method} {target} {heard:?}");
    }

    async fn register(&self, subject: &str, doc: &str) {
        let body: Value = serde_json::from_str(&registration(doc)).expect("JSON");
        self.write("POST", &format!("/subjects/{subject}/versions"), &body).await;
    }

    /// What all can see, old copies of the other's on both sides, and what is soft-deleted.
    async fn furnish(&self) {
        for (subject, doc) in [
            ("s", "1"),
            ("s", "2"),
            ("alone", "3"),
            ("zero", "4"),
            (":.a:s", "5"),
            (":.a:x", "6"),
            (":.b:s", "7"),
            (":.b:alike", "3"),
            (":.b:y", "8"),
            (":.c:y", "9"),
            (":.c:y", "10"),
            (":.c:gone", "11"),
            (":.ca:q", "12"),
            (":.ca:q", "13"),
            (":.ca:gone", "14"),
            (":.ca:y", "9"),
        ] {
            self.register(subject, doc).await;
        }
        for subject in [":.c:gone", ":.ca:gone", "zero"] {
            self.write("DELETE", &format!("/subjects/{subject}"), &Value::Null).await;
        }
        self.write("DELETE", "/subjects/:.ca:q/versions/1", &Value::Null).await;
        self.old_copies();
        self.house.imported().await;
    }

    /// What either registry has of contexts that are the other's.
    fn old_copies(&self) {
        let default_is_here = self.house.config.mode == Some(Mode::ReadWrite);
        let of_forwarded = [":.a:old", ":.ca:old", ":.a:y", ":.a:alone", ":.old:x"];
        let of_default = ["old", "s", "y", "q"];
        let beside = [":.b:old", ":.c:old", ":.b:q", ":.b:alone", ":.b:x"];
        let in_default = |is_stale: bool| if is_stale { &of_default[..] } else { &[] };
        let into = |registry: &SmallRegistry, subjects: &[&str], doc: &str| {
            for subject in subjects {
                let answer = registry.ask("POST", &format!("/subjects/{subject}/versions"), Some(&registration(doc)));
                assert_eq!(answer.status, 200, "{subject} {answer:?}");
            }
        };
        into(&self.local, &of_forwarded[..4], "old here");
        into(&self.local, in_default(!default_is_here), "old here");
        into(&self.house.primary, &beside, "old there");
        into(&self.house.primary, in_default(default_is_here), "old there");
    }

    /// Whether the outpost says to a request what the registry that has all says.
    async fn difference(&self, method: &str, target: &str, body: Option<&str>) -> Option<String> {
        let headers = [("Content-Type", "application/json")];
        let heard = send(self.house.address(), method, target, &headers[..body.map_or(0, |_| 1)], body).await;
        let direct = self.all.ask(method, target, body);
        let (heard, direct) = ((heard.status, masked(&heard.body)), (direct.status, masked(&direct.body)));
        (heard != direct).then(|| format!("{method} {target} {body:?}\n   heard {heard:?}\n  direct {direct:?}"))
    }

    async fn is_one(&self, targets: impl IntoIterator<Item = String>) {
        let (mut wrong, mut compared) = (Vec::new(), 0);
        for target in targets {
            compared += 1;
            wrong.extend(self.difference("GET", &target, None).await);
        }
        assert!(wrong.is_empty(), "{} of {compared} differ:\n{}", wrong.len(), wrong.join("\n"));
        assert!(compared > 0);
    }
}

/// Times and random names apart, of which two registries never have the same.
fn masked(body: &str) -> String {
    let mut masked = body.to_owned();
    for name in ["\"ts\":", "\"createTs\":", "\"updateTs\":"] {
        let mut parts = masked.split(name);
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            out.push_str(name);
            out.push_str(part.trim_start_matches(|letter: char| letter.is_ascii_digit()));
        }
        masked = out;
    }
    if masked.contains("resourceName") {
        let parts: Vec<&str> = masked.split("\"guid\":\"").collect();
        let rest = |part: &&str| part.get(36..).unwrap_or_default().to_owned();
        return [parts[0].to_owned()].into_iter().chain(parts[1..].iter().map(rest)).collect();
    }
    masked
}

const PAGES: [&str; 9] =
    ["", "limit=1", "offset=1&limit=2", "offset=3", "offset=400", "limit=0", "limit=-1", "offset=-1", "offset=x"];

/// Every path with each of some parameters, and each page.
fn combined(path: &str, parameters: &[&[&str]]) -> Vec<String> {
    let mut all = vec![String::new()];
    for choices in parameters.iter().copied().chain([&PAGES[..]]) {
        let with = |one: &String, choice: &str| match (one.is_empty(), choice.is_empty()) {
            (_, true) => one.clone(),
            (true, false) => choice.to_owned(),
            (false, false) => format!("{one}&{choice}"),
        };
        all = all.iter().flat_map(|one| choices.iter().map(move |choice| with(one, choice))).collect();
    }
    all.into_iter().map(|query| if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }).collect()
}

const PREFIXES: [&str; 11] = [
    "",
    "subjectPrefix=",
    "subjectPrefix=:*:",
    "subjectPrefix=:*:a",
    "subjectPrefix=:*:y",
    "subjectPrefix=:.c",
    "subjectPrefix=:.",
    "subjectPrefix=:.c:",
    "subjectPrefix=:.ca:",
    "subjectPrefix=:.b:y",
    "subjectPrefix=s",
];

#[tokio::test(flavor = "multi_thread")]
async fn lists_over_both_are_those_of_one_registry() {
    for default in [Default::Forwarded, Default::Beside] {
        let three = Three::open(default, |_| {}).await;
        three.furnish().await;
        let deleted = ["", "deleted=true", "deletedOnly=true"];
        three.is_one(combined("/subjects", &[&PREFIXES, &deleted])).await;
        three.is_one(combined("/schemas", &[&PREFIXES, &deleted[..2], &["", "latestOnly=true"]])).await;
        let starts = ["", "contextPrefix=.", "contextPrefix=.c", "contextPrefix=.b", "contextPrefix=x"];
        three.is_one(combined("/contexts", &[&starts])).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_default_context_does_not_have_is_found_in_either_registry_and_no_copy_is() {
    for default in [Default::Forwarded, Default::Beside] {
        let three = Three::open(default, |_| {}).await;
        three.furnish().await;
        let names =
            ["s", "alone", "zero", "y", "x", "q", "gone", "old", "alike", ":.a:s", ":.b:y", ":.c:old", ":.c:gone"];
        let mut targets = Vec::new();
        for name in names {
            for version in ["1", "2", "7", "latest", "-1", "0"] {
                for deleted in ["", "?deleted=true"] {
                    targets.push(format!("/subjects/{name}/versions/{version}{deleted}"));
                    targets.push(format!("/subjects/{name}/versions/{version}/schema{deleted}"));
                    targets.push(format!("/subjects/{name}/versions/{version}/referencedby{deleted}"));
                }
            }
            for id in ["1", "2", "3", "9", "x"] {
                for part in ["", "/schema", "/subjects", "/versions"] {
                    for subject in [name.to_owned(), format!(":.:{name}")] {
                        targets.push(format!("/schemas/ids/{id}{part}?subject={subject}"));
                    }
                }
            }
        }
        three.is_one(targets).await;
        let mut wrong = Vec::new();
        for name in names {
            for doc in (1..=14).map(|number| number.to_string()).chain(["old here".into(), "old there".into()]) {
                for deleted in ["", "?deleted=true"] {
                    let target = format!("/subjects/{name}{deleted}");
                    wrong.extend(three.difference("POST", &target, Some(&registration(&doc))).await);
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

fn guids(registry: &SmallRegistry) -> Vec<String> {
    let listed = registry.ask("GET", "/schemas?subjectPrefix=:*:&deleted=true", None).body;
    let listed: Vec<Value> = serde_json::from_str(&listed).expect("a list");
    listed.iter().map(|version| version["guid"].as_str().expect("a GUID").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_content_is_found_by_its_guid_in_either_registry() {
    for default in [Default::Forwarded, Default::Beside] {
        let three = Three::open(default, |_| {}).await;
        three.furnish().await;
        let mut known = guids(&three.all);
        let copies: Vec<String> = guids(&three.local).into_iter().chain(guids(&three.house.primary)).collect();
        let is_copy_alone = |guid: &&String| !known.contains(guid);
        let copied: Vec<String> = copies.iter().filter(is_copy_alone).cloned().collect();
        assert!(!copied.is_empty(), "there are contents of which only copies are known");
        known.extend(copied);
        known.extend(["nonsense".to_owned(), "00000000-0000-0000-0000-000000000000".to_owned()]);
        let of = |guid: &String| {
            [String::new(), "?format=resolved".into(), "/ids".into(), "/ids?limit=1".into()]
                .map(|rest| format!("/schemas/guids/{guid}{rest}"))
        };
        three.is_one(known.iter().flat_map(of)).await;
    }
}
