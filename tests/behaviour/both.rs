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

fn associated(resource: &str, subject: &str, kind: &str) -> Value {
    json!({
        "resourceName": resource, "resourceNamespace": "n", "resourceId": format!("{resource}-id"), "resourceType": "topic",
        "associations": [{ "subject": subject, "associationType": kind, "lifecycle": "WEAK" }],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_has_the_associations_that_both_registries_have_for_it() {
    for default in [Default::Forwarded, Default::Beside] {
        let three = Three::open(default, |_| {}).await;
        three.furnish().await;
        for (resource, subject, kind) in [
            ("shared", ":.a:s", "value"),
            ("shared", ":.b:y", "key"),
            ("ours", ":.ca:q", "value"),
            ("theirs", ":.c:y", "value"),
            ("third", "s", "value"),
        ] {
            three.write("POST", "/associations", &associated(resource, subject, kind)).await;
        }
        for (registry, subject, kind) in [(&three.local, ":.a:old", "value"), (&three.house.primary, ":.b:old", "key")]
        {
            for resource in ["shared", "copied"] {
                let body = associated(resource, subject, kind);
                assert_eq!(registry.ask("POST", "/associations", Some(&body.to_string())).status, 200, "{subject}");
            }
        }
        three.house.imported().await;
        let filters = ["", "associationType=key", "lifecycle=WEAK", "lifecycle=none", "resourceType=other"];
        for path in ["-/-", "n/-", "n/shared", "-/ours", "n/copied", "shared-id", "theirs-id", "copied-id"] {
            three.is_one(combined(&format!("/associations/resources/{path}"), &[&filters])).await;
        }
        three.is_one(combined("/schemas", &[&PREFIXES[2..4], &["resourceType=topic"], &["", "lifecycle=NONE"]])).await;
        let mut wrong = Vec::new();
        for requests in [
            json!([{ "resourceId": "shared-id" }, { "resourceId": "ours-id" }, { "resourceId": "theirs-id" }]),
            json!([{ "resourceId": "copied-id" }, { "resourceName": "copied", "resourceNamespace": "n" }]),
            json!([{ "resourceName": "shared", "resourceNamespace": "n", "associationTypes": ["value"] }]),
            json!([{ "resourceName": "shared" }, {}]),
            json!([]),
        ] {
            for target in ["/associations:batchGet", "/associations:batchGet?includeSchemas=true"] {
                let body = json!({ "requests": requests }).to_string();
                wrong.extend(three.difference("POST", target, Some(&body)).await);
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_refers_to_a_version_is_told_from_both_in_the_order_of_contexts() {
    let three = Three::open(Default::Forwarded, |_| {}).await;
    three.register("s", "1").await;
    three.register(":.a:s", "2").await;
    // A reference leads where there is something, so the local registry has a copy of it.
    for subject in ["s", ":.a:s"] {
        let doc = if subject == "s" { "1" } else { "2" };
        let target = format!("/subjects/{subject}/versions");
        assert_eq!(three.local.ask("POST", &target, Some(&registration(doc))).status, 200);
    }
    let referring = |subject: &str, text: &str| json!({ "schema": text, "references": [{ "name": "R", "subject": subject, "version": 1 }] });
    let record = |name: &str| format!(r#"{{"type":"record","name":"{name}","fields":[{{"name":"f","type":"R"}}]}}"#);
    for (referrer, name) in [
        (":.a:one", "One"),
        (":.b:first", "First"),
        (":.b:second", "Second"),
        (":.ca:two", "Two"),
        (":.c:third", "Third"),
    ] {
        three.write("POST", &format!("/subjects/{referrer}/versions"), &referring(":.a:s", &record(name))).await;
    }
    three.write("POST", "/subjects/plain/versions", &referring("s", &record("Plain"))).await;
    three.write("DELETE", "/subjects/:.b:second", &Value::Null).await;
    // Copies of referrers, which do not refer to anything here.
    for (registry, subject) in [(&three.local, ":.a:copy"), (&three.house.primary, ":.c:copy")] {
        let body = referring(":.a:s", &record("Copy")).to_string();
        let answer = registry.ask("POST", &format!("/subjects/{subject}/versions"), Some(&body));
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    three.house.imported().await;
    for subject in ["s", ":.a:s", ":.b:first", "first", "none"] {
        let path = format!("/subjects/{subject}/versions/1/referencedby");
        three.is_one(combined(&path, &[&["", "deleted=true"]])).await;
    }
    let told = three.house.get("/subjects/:.a:s/versions/1/referencedby").await;
    assert!(told.json().as_array().expect("a list").len() >= 4, "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_of_subjects_are_listed_from_where_the_subjects_are() {
    let three = Three::open(Default::Forwarded, |_| {}).await;
    for name in ["k1", "k2", "k3"] {
        let kek = json!({ "name": name, "kmsType": "test-kms", "kmsKeyId": name }).to_string();
        for registry in [&three.local, &three.house.primary, &three.all] {
            assert_eq!(registry.ask("POST", "/dek-registry/v1/keks", Some(&kek)).status, 200);
        }
    }
    let dek = |subject: &str| json!({ "subject": subject, "version": 1, "algorithm": "AES256_GCM", "encryptedKeyMaterial": "bWF0ZXJpYWw=" });
    for (kek, subject) in [("k1", ":.a:s"), ("k1", ":.b:s"), ("k1", "s"), ("k2", ":.c:s"), ("k2", "other")] {
        three.write("POST", &format!("/dek-registry/v1/keks/{kek}/deks"), &dek(subject)).await;
    }
    for (registry, kek, subject) in [(&three.local, "k3", ":.a:old"), (&three.house.primary, "k1", ":.c:old")] {
        let target = format!("/dek-registry/v1/keks/{kek}/deks");
        assert_eq!(registry.ask("POST", &target, Some(&dek(subject).to_string())).status, 200);
    }
    for name in ["k1", "k2", "k3", "none"] {
        three.is_one(combined(&format!("/dek-registry/v1/keks/{name}/deks"), &[&["", "deleted=true"]])).await;
    }
    let prefixes = [":", ":.", ":.a", ":.c", "&subjectPrefix=:.a:s", "o", ":.b:&subjectPrefix=o"];
    let targets = prefixes.iter().flat_map(|prefix| {
        ["", "&limit=1", "&offset=1"].map(|page| format!("/dek-registry/v1/keks?subjectPrefix={prefix}{page}"))
    });
    three.is_one(targets).await;
    three.is_one(["/dek-registry/v1/keks".to_owned(), "/dek-registry/v1/keks/k1".to_owned()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aliases_are_those_of_the_registry_whose_subjects_they_are_and_lead_on_within_it() {
    for default in [Default::Forwarded, Default::Beside] {
        let three = Three::open(default, |_| {}).await;
        three.furnish().await;
        for (name, alias) in [("nick", "s"), (":.a:nick", "x"), (":.b:nick", "y"), (":.c:other", "y")] {
            three.write("PUT", &format!("/config/{name}"), &json!({ "alias": alias })).await;
        }
        for (registry, name, alias) in
            [(&three.local, ":.a:stale", ":.b:y"), (&three.house.primary, ":.b:stale", ":.a:x")]
        {
            let body = json!({ "alias": alias }).to_string();
            assert_eq!(registry.ask("PUT", &format!("/config/{name}"), Some(&body)).status, 200);
        }
        three.house.imported().await;
        let prefixes = ["", "subjectPrefix=:*:", "subjectPrefix=:*:ni", "subjectPrefix=:.b:", "subjectPrefix=:.a"];
        three.is_one(combined("/schemas", &[&["aliases=true"], &prefixes])).await;
        let paths = ["/subjects/{}/versions/1", "/subjects/{}/versions/1/schema", "/schemas/ids/1?subject={}"];
        // What a name beside an id stands for in a local context, the local registry alone knows.
        let named: &[&str] = if default == Default::Forwarded { &["nick", ":.a:nick"] } else { &["nick"] };
        three.is_one(named.iter().flat_map(|name| paths.map(|path| path.replace("{}", name)))).await;
        let named = ["nick", ":.a:nick", ":.b:nick", ":.c:other"];
        three.is_one(named.iter().flat_map(|name| [paths[0], paths[1]].map(|path| path.replace("{}", name)))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_primary_is_away_what_we_hold_of_it_is_still_half_of_every_list() {
    let three = Three::open(Default::Forwarded, |_| {}).await;
    three.furnish().await;
    let by_guid: Vec<String> = guids(&three.all).iter().map(|guid| format!("/schemas/guids/{guid}")).collect();
    three.house.primary.stop().await;
    three.is_one(combined("/subjects", &[&PREFIXES, &["", "deleted=true"]])).await;
    three.is_one(combined("/schemas", &[&PREFIXES])).await;
    three.is_one(combined("/contexts", &[])).await;
    three.is_one(by_guid).await;
    let found = ["/subjects/s/versions/1", "/subjects/s/versions/2/schema", "/schemas/ids/1?subject=s"];
    three.is_one(found.map(str::to_owned)).await;
    assert!(three.house.get("/subjects").await.header("Age").is_some());
    for unknown in ["/subjects/nowhere/versions/1", "/subjects/:.a:nowhere/versions/1", "/schemas/ids/77?subject=s"] {
        let heard = three.house.get(unknown).await;
        assert_eq!((heard.status, heard.code()), (500, 50003), "{unknown} {heard:?}");
        assert!(heard.body.contains("to the primary"), "{unknown} {heard:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_local_registry_is_away_nothing_that_it_may_have_is_called_absent() {
    for default in [Default::Forwarded, Default::Beside] {
        let three = Three::open(default, |_| {}).await;
        three.furnish().await;
        let guid = |subject: &str| {
            let target = format!("/subjects/{subject}/versions/latest");
            let shown: Value = serde_json::from_str(&three.all.ask("GET", &target, None).body).expect("a version");
            format!("/schemas/guids/{}", shown["guid"].as_str().expect("a GUID"))
        };
        let (ours, theirs) = (guid(":.ca:q"), guid(":.c:y"));
        three.local.stop().await;
        for target in [
            "/subjects",
            "/subjects?deleted=true&subjectPrefix=:.c",
            "/schemas?subjectPrefix=:*:",
            "/schemas?subjectPrefix=:*:&offset=5000",
            "/contexts",
            "/contexts?contextPrefix=.ca",
            "/associations/resources/-/-",
            "/subjects/q/versions/1",
            "/subjects/y/versions/1/schema",
            "/subjects/nowhere/versions/latest",
            "/schemas/ids/1?subject=y",
            "/subjects/:.a:s/versions/1/referencedby",
            &theirs,
            &format!("{ours}/ids"),
        ] {
            let heard = three.house.get(target).await;
            assert_eq!((heard.status, heard.code()), (500, 50003), "{default:?} {target} {heard:?}");
            assert!(heard.body.contains("to the local registry"), "{target} {heard:?}");
            assert!(heard.header("Retry-After").is_some(), "{target} {heard:?}");
        }
        let mut certain =
            vec![ours, "/subjects/:.a:s/versions/1".to_owned(), "/subjects?subjectPrefix=:.ca:".to_owned()];
        if default == Default::Forwarded {
            certain.extend(["/subjects/s/versions/1", "/schemas/ids/2?subject=s"].map(str::to_owned));
        }
        three.is_one(certain).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leftover_is_listed_from_where_it_is_written_to_and_its_ids_are_found_under_its_name() {
    let three = Three::open(Default::Forwarded, |_| {}).await;
    let house = &three.house;
    for (subject, doc) in [("left", "before"), ("other", "o"), (":.a:s", "a")] {
        assert_eq!(house.register(subject, doc).await.status, 200);
    }
    three.set("left", "READWRITE").await;
    let here = house.register("left", "after").await;
    assert_eq!((here.status, &here.json()["id"], &here.json()["version"]), (200, &json!(1), &json!(1)));
    for target in ["/subjects", "/subjects?subjectPrefix=", "/subjects?subjectPrefix=l", "/subjects?subjectPrefix=:*:l"]
    {
        let names = if target.ends_with('l') { vec!["left"] } else { vec!["left", "other"] };
        let heard: Vec<String> = serde_json::from_str(&house.get(target).await.body).expect("a list");
        assert_eq!(heard.into_iter().filter(|name| !name.starts_with(':')).collect::<Vec<_>>(), names, "{target}");
    }
    let listed = house.get("/schemas").await.json();
    let texts: Vec<&str> = listed.as_array().expect("a list").iter().filter_map(|one| one["schema"].as_str()).collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts[0].contains("after") && texts[1].contains(r#""o""#), "{texts:?}");
    let shown = |target: &'static str| async move { house.get(target).await.body };
    assert!(shown("/schemas/ids/1?subject=left").await.contains("after"));
    // Without its name an id is that of the context's own registry, which also knows what the leftover was before.
    assert!(shown("/schemas/ids/1").await.contains("before"));
    assert!(shown("/schemas/ids/2?subject=left").await.contains(r#"\"o\""#));
    assert!(shown("/subjects/left/versions/latest").await.contains("after"));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_more_than_a_registry_gives_at_once_are_cut_from_all_of_it() {
    let three = Three::open(Default::Forwarded, |_| {}).await;
    for number in 0..1_050 {
        let (target, body) = (format!("/subjects/:.b:s{number}/versions"), registration(&number.to_string()));
        for registry in [&three.local, &three.all] {
            assert_eq!(registry.ask("POST", &target, Some(&body)).status, 200);
        }
    }
    for subject in ["first", ":.a:s", ":.ca:s", ":.ca:t"] {
        three.register(subject, subject.trim_start_matches(':')).await;
    }
    let pages = ["", "limit=1000", "limit=1001", "limit=5000", "offset=990&limit=20", "offset=1000", "offset=1053"];
    let prefixes = ["subjectPrefix=:*:", "subjectPrefix=:.b", "subjectPrefix=:*:s1"];
    let targets = prefixes.iter().flat_map(|prefix| {
        pages.iter().flat_map(move |page| ["/schemas", "/subjects"].map(|path| format!("{path}?{prefix}&{page}")))
    });
    three.is_one(targets).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_with_names_of_its_own_sees_both_under_them() {
    let three = Three::open(Default::Forwarded, |config| config.contexts = crate::contexts::site("site1")).await;
    for (subject, doc) in
        [("s", "1"), ("alone", "2"), (":.a:s", "3"), (":.b:y", "4"), (":.c:y", "5"), (":.ca:q", "6"), (":.ca:y", "7")]
    {
        three.register(subject, doc).await;
    }
    // Another site's, and an old copy of what is beside us.
    for subject in ["s", "y", ":.b:y", ":.site1.b:old", ":.site1.b:alone", ":.site2:q"] {
        let answer =
            three.house.primary.ask("POST", &format!("/subjects/{subject}/versions"), Some(&registration("elsewhere")));
        assert_eq!(answer.status, 200);
    }
    three.old_copies_beside();
    three.house.imported().await;
    three.is_one(combined("/subjects", &[&PREFIXES])).await;
    three.is_one(combined("/schemas", &[&PREFIXES])).await;
    three.is_one(combined("/contexts", &[])).await;
    let names = ["s", "alone", "y", "q", "old", ":.b:y", ":.ca:q"];
    let paths = [
        "/subjects/{}/versions/1",
        "/subjects/{}/versions/latest/schema",
        "/subjects/{}/versions/1/referencedby",
        "/schemas/ids/1?subject={}",
        "/schemas/ids/2/versions?subject={}",
    ];
    three.is_one(names.iter().flat_map(|name| paths.map(|path| path.replace("{}", name)))).await;
    three
        .is_one(
            guids(&three.all).iter().flat_map(|guid| ["", "/ids"].map(|rest| format!("/schemas/guids/{guid}{rest}"))),
        )
        .await;
}

impl Three {
    fn old_copies_beside(&self) {
        for subject in ["s", "q", ":.a:old", ":.a:y", ":.ca:alone"] {
            let target = format!("/subjects/{subject}/versions");
            assert_eq!(self.local.ask("POST", &target, Some(&registration("old here"))).status, 200);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_is_bound_to_a_context_asks_only_where_that_is() {
    let three = Three::open(Default::Forwarded, |config| {
        for context in [".a", ".b"] {
            let listener = config.listeners[0].clone();
            config.listeners.push(schema_outpost::server::ListenerConfig { context: Some(context.into()), ..listener });
        }
    })
    .await;
    three.furnish().await;
    let [_, forwarded, beside] = *three.house.addresses() else { panic!("three listeners") };
    for (address, subjects, contexts) in
        [(forwarded, r#"[":.a:s",":.a:x"]"#, r#"[".a"]"#), (beside, r#"[":.b:alike",":.b:s",":.b:y"]"#, r#"[".b"]"#)]
    {
        for registry in [&three.local, &three.house.primary] {
            registry.forget_requests();
        }
        for (target, expected) in [("/subjects", subjects), ("/contexts", contexts)] {
            assert_eq!(send(address, "GET", target, &[], None).await.body, expected, "{target}");
        }
        for target in
            ["/schemas", "/subjects/s/versions/1", "/subjects/s/versions/1/referencedby", "/schemas/ids/1?subject=s"]
        {
            assert_eq!(send(address, "GET", target, &[], None).await.status, 200, "{target}");
        }
        let other = if address == beside { &three.house.primary } else { &three.local };
        assert_eq!(other.count(|_| true), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_both_is_made_anew_each_time_and_goes_out_as_any_of_ours() {
    let three = Three::open(Default::Forwarded, |_| {}).await;
    three.furnish().await;
    let house = &three.house;
    let before = house.get("/subjects").await;
    assert_eq!(house.get("/subjects").await.body, before.body);
    // Written past the outpost, into what is the local registry's own.
    assert_eq!(three.local.ask("POST", "/subjects/:.b:new/versions", Some(&registration("new"))).status, 200);
    let after = house.get("/subjects").await;
    assert!(after.body.contains(":.b:new") && !before.body.contains(":.b:new"), "{after:?}");
    assert_eq!(house.register("new", "9").await.status, 200);
    assert!(house.get("/subjects").await.body.contains("\"new\""), "what was written is there");
    let asked = [("Accept", "application/json"), ("Accept-Encoding", "gzip"), ("X-Request-ID", "7")];
    let gzipped = send(house.address(), "GET", "/subjects", &asked, None).await;
    assert_eq!(gzipped.body, house.get("/subjects").await.body);
    let fields = ["content-encoding", "content-type", "vary", "x-request-id"].map(|name| gzipped.header(name));
    assert_eq!(fields, [Some("gzip"), Some("application/json"), Some("Accept-Encoding"), Some("7")]);
    for target in ["/subjects", "/subjects/y/versions/1", "/schemas/ids/1/schema?subject=s"] {
        let (head, whole) = (send(house.address(), "HEAD", target, &[], None).await, house.get(target).await);
        assert_eq!((head.status, &*head.body), (200, ""), "{target}");
        assert_eq!(head.header("content-length"), whole.header("content-length"), "{target}");
    }
    let refused = house.get("/subjects/nowhere/versions/1").await;
    assert_eq!(refused.header("content-type"), Some("application/vnd.schemaregistry.v1+json"), "{refused:?}");
}
