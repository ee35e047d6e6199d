//! A site whose contexts have other names at the primary: whoever asks it hears a registry of its own.

use std::net::SocketAddr;

use schema_outpost::app::App;
use schema_outpost::config::Config;
use schema_outpost::protocol::operation::Operation;
use schema_outpost::protocol::subject::Context;
use schema_outpost::routing::Pair;
use serde_json::Value;
use small_registry::SmallRegistry;

use crate::alike::Answer;
use crate::house::{Heard, House, raw, read, registration, send, settings};
use crate::record::{Scenario, carry_out, is_about_modes, number, otherwise, replay, scenarios};
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
    (
        "11-import",
        &[76, 93, 95, 96, 106, 127, 130, 348, 351, 461],
        "where an import gave one id two contents, which of them counts depends on all of the holders' names",
    ),
    (
        "06-config",
        &[145, 155, 157, 199],
        "the level that a registry has by itself shows nowhere while one is set for everything: what is in force is shown",
    ),
];

/// A write to a route that nobody knows is not passed on.
fn is_refused_as_unknown(line: &Value) -> bool {
    line["request"]["method"].as_str().is_some_and(|method| matches!(method, "DELETE" | "PUT" | "PATCH" | "POST"))
        && line["response"]["status"] == 404
        && line["response"]["body"]
            .as_str()
            .is_none_or(|body| !body.contains("404") || body.contains("HTTP 404 Not Found"))
}

fn is_otherwise(scenario: &Scenario, line: &Value) -> bool {
    is_refused_as_unknown(line)
        || OTHERWISE.iter().any(|(name, lines, _)| *name == scenario.name && lines.contains(&number(line)))
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

/// What of the record is about more than the default context, or about namespaces, which are called as others are.
fn is_about_others(line: &Value) -> bool {
    let said = [&line["request"]["target"], &line["request"]["body"], &line["response"]["body"]];
    let marks = [":.", "%3A", "%3a", ":*", "/contexts", "\".", "Namespace", "/associations", "dek-registry"];
    said.iter().filter_map(|said| said.as_str()).any(|said| marks.iter().any(|mark| said.contains(mark)))
}

/// Whether what a line changes lies in the default context, or counts for everything.
fn changes_the_default(line: &Value) -> bool {
    let method = line["request"]["method"].as_str().and_then(|method| method.parse().ok()).unwrap_or_default();
    let target = line["request"]["target"].as_str().unwrap_or_default();
    let context = Operation::of_target(&method, target).map(|operation| operation.subject.context);
    context.is_ok_and(|context| context.is_default() || context == Context::global())
}

/// What a registry without others would not have: references to them, and aliases for them.
const AMONG_OTHERS: &[(&str, &[i64], &str)] = &[
    ("04-references", &[97, 257, 278, 302, 485], "a schema of the default context refers to another one"),
    ("08-contexts", &[597, 658, 718], "a schema of the default context refers to another one"),
    ("06-config", &[346, 349, 350, 356], "what stands for a subject of another context is refused"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_is_bound_to_the_default_context_says_what_a_registry_without_others_says() {
    let mut wrong = Vec::new();
    // Whose an association or a key is does not show in its path.
    for scenario in scenarios().iter().filter(|scenario| !scenario.name.starts_with("14")) {
        let bind = |config: &mut Config| config.listeners[0].context = Some(".".into());
        let house = House::with(scenario.registry(), bind).await;
        let twin = scenario.registry().start().await.expect("a port");
        let (mut compared, mut is_behind) = (0, false);
        for line in scenario.lines.iter().filter(|line| line["kind"] != "checkpoint") {
            let is_others = is_about_others(line);
            if is_about_modes(line) || is_others {
                if line["kind"] == "write" {
                    carry_out(&house.primary, line);
                    is_behind = true;
                    if changes_the_default(line) {
                        carry_out(&twin, line);
                    }
                }
                continue;
            }
            if std::mem::take(&mut is_behind) {
                house.imported().await;
            }
            let expected = replay(twin.address(), line, &[]).await;
            let heard = replay(house.address(), line, &[]).await;
            let is_among_others =
                AMONG_OTHERS.iter().any(|(name, lines, _)| *name == scenario.name && lines.contains(&number(line)));
            let is_known =
                scenario.is_unlike(line) || is_refused_as_unknown(line) || otherwise(line).is_some() || is_among_others;
            // Whether there is such a route is nobody's to ask.
            let is_no_route = expected.status == 404 && heard.status == 403 && line["response"]["status"] == 404;
            if is_known || is_no_route {
                continue;
            }
            compared += 1;
            if let Some(difference) = unlike(line, &expected, &heard) {
                wrong.push(format!("{}: {difference}", scenario.name_of(line)));
            }
        }
        println!("{}: {compared} compared", scenario.name);
    }
    crate::transcripts::assert_none(&wrong);
}

/// A second outpost before the primary of a house.
pub struct Neighbour {
    app: Option<App>,
    pub address: SocketAddr,
}

impl Neighbour {
    pub async fn beside(house: &House, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = settings(&house.primary);
        change(&mut config);
        let app = App::start(&config, &tokio::runtime::Handle::current()).expect("started");
        send(app.admin_address(), "POST", "/import", &[], None).await;
        let address = app.data_addresses()[0];
        Self { app: Some(app), address }
    }

    pub async fn get(&self, target: &str) -> Heard {
        send(self.address, "GET", target, &[], None).await
    }

    pub async fn ask(&self, method: &str, target: &str, body: &str) -> Heard {
        send(self.address, method, target, &[("Content-Type", "application/json")], Some(body)).await
    }

    pub async fn import(&self) {
        let admin = self.app.as_ref().expect("running").admin_address();
        send(admin, "POST", "/import", &[], None).await;
    }
}

const EVERYTHING: &[&str] = &[
    "/subjects",
    "/subjects?subjectPrefix=",
    "/subjects?subjectPrefix=:*:",
    "/subjects?subjectPrefix=:.",
    "/subjects?subjectPrefix=:.s",
    "/subjects?deleted=true&limit=1000",
    "/schemas",
    "/schemas?subjectPrefix=:*:",
    "/schemas?subjectPrefix=:.&deleted=true",
    "/contexts",
    "/contexts?contextPrefix=.s",
    "/schemas/ids/1",
    "/schemas/ids/1?subject=orders",
    "/schemas/ids/1/subjects",
    "/schemas/ids/1/versions?deleted=true",
    "/associations/resources/-/-",
];

#[tokio::test(flavor = "multi_thread")]
async fn two_sites_before_one_primary_never_hear_of_each_other() {
    let one = House::with(SmallRegistry::builder(), |config| config.contexts = site("one")).await;
    let two = Neighbour::beside(&one, |config| config.contexts = site("two")).await;
    for (subject, doc) in [("orders", "of-one"), ("%3A.finance%3Aorders", "of-one-finance")] {
        assert_eq!(one.register(subject, doc).await.status, 200);
    }
    for (subject, doc) in [("orders", "of-two"), ("%3A.secret%3Aorders", "of-two-secret")] {
        let target = format!("/subjects/{subject}/versions");
        let heard =
            send(two.address, "POST", &target, &[("Content-Type", "application/json")], Some(&registration(doc))).await;
        assert_eq!(heard.status, 200, "{heard:?}");
    }
    assert_eq!(one.primary.ask("POST", "/subjects/of-nobody/versions", Some(&registration("of-nobody"))).status, 200);
    one.imported().await;
    two.import().await;
    for target in EVERYTHING {
        // An unknown parameter has the primary asked, where it is there.
        let asked = format!("{target}{}unknown=1", if target.contains('?') { '&' } else { '?' });
        for target in [*target, &asked] {
            let (here, there) = (one.get(target).await, two.get(target).await);
            for (heard, foreign) in [
                (&here, ["of-two", "secret", "nobody", ".two", ".one"]),
                (&there, ["of-one", "finance", "nobody", ".one", ".two"]),
            ] {
                assert_eq!(heard.status, 200, "{target}: {heard:?}");
                for word in foreign {
                    assert!(!heard.body.contains(word), "{target} tells of {word}: {}", heard.body);
                }
            }
        }
    }
    assert_eq!(one.get("/contexts").await.body, r#"[".",".finance"]"#);
    assert_eq!(two.get("/contexts?unknown=1").await.body, r#"[".",".secret"]"#);
    assert_eq!(one.get("/subjects").await.body, r#"[":.finance:orders","orders"]"#);
    assert_eq!(one.get("/subjects?unknown=1").await.body, r#"[":.finance:orders","orders"]"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_site_holds_is_answered_under_its_own_names_while_the_primary_is_away() {
    let house = House::with(SmallRegistry::builder(), |config| config.contexts = site("site1")).await;
    for (subject, doc) in
        [(":.site1:a", "1"), (":.site1:a", "2"), (":.site1.finance:b", "3"), (":.site2:a", "4"), ("a", "5")]
    {
        let target = format!("/subjects/{subject}/versions");
        assert_eq!(house.primary.ask("POST", &target, Some(&registration(doc))).status, 200);
    }
    house.imported().await;
    house.primary.stop().await;
    assert_eq!(house.get("/subjects").await.body, r#"[":.finance:b","a"]"#);
    assert_eq!(house.get("/subjects/a/versions").await.body, "[1,2]");
    let second = house.get("/schemas/ids/2").await.json();
    assert_eq!((&second["subject"], &second["version"]), (&"a".into(), &2.into()));
    assert_eq!(house.get("/subjects/:.finance:b/versions/1").await.json()["subject"], ":.finance:b");
    for foreign in
        ["/subjects/:.site2:a/versions/1", "/contexts/.site2/subjects/a/versions", "/schemas/ids/1?subject=:.__GLOBAL:"]
    {
        let heard = house.get(foreign).await;
        // Under the map these are contexts of this site that hold nothing, or nobody's.
        assert!(heard.status == 500 || (heard.status, heard.code()) == (403, 40301), "{foreign}: {heard:?}");
        assert!(!heard.body.contains("\"4\""), "{foreign}: {heard:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_mapped_is_refused_and_never_reaches_the_primary() {
    let pairs = vec![Pair { local: ".".into(), primary: ".site1".into() }];
    let house = House::with(SmallRegistry::builder(), |config| config.contexts = pairs).await;
    assert_eq!(
        house.primary.ask("POST", "/subjects/:.site2:secret/versions", Some(&registration("secret"))).status,
        200
    );
    house.primary.forget_requests();
    let referring = serde_json::json!({
        "schema": r#"{"type":"record","name":"T","fields":[]}"#,
        "references": [{ "name": "R", "subject": ":.site2:secret", "version": 1 }],
    });
    let utf_16: Vec<u8> = referring.to_string().encode_utf16().flat_map(u16::to_be_bytes).collect();
    for (method, target, body) in [
        ("GET", "/subjects/:.site2:secret/versions/1", None),
        ("GET", "/contexts/.site2/subjects/secret/versions", None),
        ("GET", "/subjects?subjectPrefix=:.site2:", None),
        ("GET", "/schemas/ids/1?subject=:.site2:", None),
        ("GET", "/config/:.site2:", None),
        ("PUT", "/config/:.__GLOBAL:", Some(br#"{"compatibility":"NONE"}"#.to_vec())),
        ("DELETE", "/contexts/.site2", None),
        ("POST", "/unknown/route", Some(b"{}".to_vec())),
        ("POST", "/subjects/mine/versions", Some(referring.to_string().into_bytes())),
        ("POST", "/compatibility/subjects/mine/versions/latest", Some(referring.to_string().into_bytes())),
    ] {
        let heard = whole(&house, method, target, body.as_deref().unwrap_or_default()).await;
        assert_eq!((heard.status, heard.code()), (403, 40301), "{method} {target}: {heard:?}");
    }
    let heard = whole(&house, "POST", "/subjects/mine/versions", &utf_16).await;
    assert_eq!(heard.status, 400, "{heard:?}");
    // What is forwarded says so; the importer, which may still be at work, asks in nobody's name.
    let forwarded = || house.primary.requests().iter().filter(|seen| seen.headers.contains_key("via")).count();
    assert_eq!(forwarded(), 0);
    assert_eq!(house.register("mine", "1").await.status, 200);
    assert_eq!(forwarded(), 1);
}

/// Sends a request with a body of any bytes.
async fn whole(house: &House, method: &str, target: &str, body: &[u8]) -> Heard {
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    read(&raw(house.address(), &[head.as_bytes(), body].concat()).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_bound_listener_plain_names_mean_its_context_and_there_is_no_other() {
    let house = House::with(SmallRegistry::builder(), |_| {}).await;
    let bound = Neighbour::beside(&house, |config| config.listeners[0].context = Some(".site1".to_owned())).await;
    let post = |target: &'static str, doc: &'static str| {
        let address = bound.address;
        async move { send(address, "POST", target, &[("Content-Type", "application/json")], Some(&registration(doc))).await }
    };
    assert_eq!(house.register("%3A.other%3Aorders", "other").await.status, 200);
    assert_eq!(house.register("orders", "plain").await.status, 200);
    assert_eq!(post("/subjects/orders/versions", "mine").await.status, 200);
    assert_eq!(house.get("/subjects/:.site1:orders/versions").await.body, "[1]");
    bound.import().await;
    // The registry's own way with a context before the path: names come back with it.
    assert_eq!(bound.get("/subjects").await.body, r#"[":.site1:orders"]"#);
    assert_eq!(bound.get("/contexts").await.body, r#"[".site1"]"#);
    assert_eq!(bound.get("/subjects/:.site1:orders/versions").await.body, "[1]");
    let mine = bound.get("/schemas/ids/1").await;
    assert!(mine.body.contains("mine"), "{mine:?}");
    // The same words on the other listener mean another context, at hand or not.
    assert!(house.get("/schemas/ids/1").await.body.contains("plain"));
    assert!(bound.get("/schemas/ids/1").await.body.contains("mine"));
    let others = house.get("/schemas/ids/1?subject=:.other:").await.json();
    let guid = others["guid"].as_str().expect("a guid").to_owned();
    assert_eq!(bound.get(&format!("/schemas/guids/{guid}")).await.status, 404);
    assert_eq!(bound.get(&format!("/schemas/guids/{guid}/ids")).await.body, "[]");
    let guid = mine.json()["guid"].as_str().expect("a guid").to_owned();
    assert_eq!(bound.get(&format!("/schemas/guids/{guid}")).await.status, 200);
    for foreign in [
        "/subjects/:.other:orders/versions/1",
        "/subjects/%3A.other%3Aorders/versions/1",
        "/subjects/:.:orders/versions/1",
        "/contexts/.other/subjects/orders/versions/1",
        "/contexts/.site1/contexts/.other/subjects",
        "/contexts/.other/subjects",
        "/contexts/%2E/subjects",
        "/subjects?subjectPrefix=:*:",
        "/subjects?subjectPrefix=:.",
        "/schemas?subjectPrefix=:.other:",
        "/schemas/ids/1?subject=:.other:orders",
        "/config/:.other:",
        "/mode/:.other:orders",
        "/nosuchroute",
    ] {
        let heard = bound.get(foreign).await;
        let is_refused = heard.status == 400 || (heard.status, heard.code()) == (403, 40301);
        assert!(is_refused, "{foreign}: {heard:?}");
    }
    // Aliases lead out of a context where they are spelt with escapes or stand in a parameter (WIRE.md § 3.5).
    for (alias, target) in [("nick", "orders"), ("away", ":.other:orders")] {
        let body = format!(r#"{{"alias":"{target}"}}"#);
        let config = format!("/config/{alias}");
        let fields = [("Content-Type", "application/json")];
        let heard = send(bound.address, "PUT", &config, &fields, Some(&body)).await;
        let expected = if target.starts_with(':') { 403 } else { 200 };
        assert_eq!(heard.status, expected, "{heard:?}");
    }
    assert_eq!(house.ask("PUT", "/config/:.site1:away", r#"{"alias":":.other:orders"}"#).await.status, 200);
    bound.import().await;
    for spelt in [
        "/subjects/nick/versions/latest",
        "/subjects/%3A.site1%3Anick/versions/latest",
        "/subjects/:%2Esite1:nick/versions/latest",
        "/subjects;x=y/nick/versions/latest",
        "/subjects/away/versions/latest",
        "/subjects/%3A.site1%3Aaway/versions/latest?unknown=1",
        "/schemas/ids/1?subject=nick",
        "/schemas/ids/1/schema?subject=away&unknown=1",
        "/schemas;x/ids/1",
        "/subjects;x?unknown=1",
        "/schemas/ids/1?%73ubject=:.other:",
    ] {
        let heard = bound.get(spelt).await;
        assert!(!heard.body.contains("plain") && !heard.body.contains("other"), "{spelt}: {heard:?}");
    }
    assert_eq!(bound.get("/config/away").await.json()["alias"], ":.other:orders", "it can be seen, and taken back");
    let heard = send(bound.address, "DELETE", "/subjects/%3A.site1%3Aaway", &[], None).await;
    assert_eq!((heard.status, heard.code()), (403, 40301), "{heard:?}");
    assert_eq!(house.get("/subjects/:.other:orders/versions").await.body, "[1]");
    let referring = serde_json::json!({
        "schema": r#"{"type":"record","name":"T","fields":[]}"#,
        "references": [{ "name": "R", "subject": ":.other:orders", "version": 1 }],
    });
    let heard = send(
        bound.address,
        "POST",
        "/subjects/t/versions",
        &[("Content-Type", "application/json")],
        Some(&referring.to_string()),
    )
    .await;
    assert_eq!((heard.status, heard.code()), (403, 40301), "{heard:?}");
}
