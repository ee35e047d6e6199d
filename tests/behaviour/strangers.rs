//! What lies in other contexts is marked with one word, and whatever is asked, no byte of an answer says it.

use schema_outpost::config::Config;
use schema_outpost::routing::Pair;
use serde_json::{Value, json};
use small_registry::{Fault, Seen, SmallRegistry};

use crate::bound::referring;
use crate::contexts::Neighbour;
use crate::house::{Heard, House, registration};

/// The word. No request has it.
const MARK: &str = "secret";

fn tell(house: &House, method: &str, target: &str, body: Option<&Value>) -> Value {
    let heard = house.primary.ask(method, target, body.map(ToString::to_string).as_deref());
    assert!((200..300).contains(&heard.status), "{method} {target}: {heard:?}");
    serde_json::from_str(&heard.body).unwrap_or_default()
}

fn register(house: &House, subject: &str, body: &str) -> Value {
    tell(house, "POST", &format!("/subjects/{subject}/versions"), Some(&serde_json::from_str(body).expect("JSON")))
}

/// All that others have, of which some is about what is ours, and some is called as ours is.
fn fill(house: &House, ours: &str) -> Vec<String> {
    register(house, &format!("{ours}s"), &registration("mine"));
    register(house, &format!("{ours}referrer"), &referring("Mine", "s"));
    let mut guids = Vec::new();
    for context in ["", ":.aa:", ":.other:"].into_iter().filter(|context| *context != ours) {
        for subject in ["s", "secret-subject", "only-theirs"] {
            let shown = register(house, &format!("{context}{subject}"), &registration(&format!("secret {context}")));
            guids.push(shown["guid"].as_str().expect("a guid").to_owned());
        }
        register(house, &format!("{context}deleted"), &registration(&format!("secret and deleted {context}")));
        tell(house, "DELETE", &format!("/subjects/{context}deleted"), None);
        if !context.is_empty() {
            register(house, &format!("{context}spy"), &referring("secretSpy", &format!("{ours}s")));
        }
        let config = json!({ "alias": "secret-subject", "compatibilityGroup": "secret" });
        tell(house, "PUT", &format!("/config/{context}nick"), Some(&config));
        let resource = json!({
            "resourceName": "secret-topic", "resourceNamespace": "secret-space", "resourceId": format!("id{context}"),
            "resourceType": "topic",
            "associations": [{ "subject": format!("{context}s"), "associationType": "value", "lifecycle": "WEAK" }],
        });
        // The registry knows one resource by one name.
        house.primary.ask("POST", "/associations", Some(&resource.to_string()));
    }
    let kek = json!({ "name": "k", "kmsType": "test-kms", "kmsKeyId": "k" });
    tell(house, "POST", "/dek-registry/v1/keks", Some(&kek));
    for subject in [format!("{ours}s"), ":.other:secret-subject".to_owned(), ":.aa:s".to_owned()] {
        let dek = json!({ "subject": subject, "version": 1, "encryptedKeyMaterial": if subject.starts_with(ours) { "bWF0" } else { MARK } });
        tell(house, "POST", "/dek-registry/v1/keks/k/deks", Some(&dek));
    }
    guids
}

/// Every way to name something, ours and theirs, in every place.
fn targets(guids: &[String]) -> Vec<String> {
    let subjects = [
        "s",
        "only-theirs",
        "nick",
        "deleted",
        "spy",
        ":.other:s",
        ":.aa:s",
        ":.:s",
        "%3A.other%3As",
        ":*:s",
        ":.other:",
        ":.",
        ":.%3A",
        "",
        ":.__GLOBAL:",
    ];
    let mut targets: Vec<String> =
        ["/subjects", "/schemas", "/contexts", "/config", "/mode", "/schemas/types", "/v1/metadata/id"]
            .map(str::to_owned)
            .to_vec();
    for subject in subjects {
        let paths = [
            "/subjects/{}/versions",
            "/subjects/{}/versions/1",
            "/subjects/{}/versions/latest",
            "/subjects/{}/versions/1/schema",
            "/subjects/{}/versions/1/referencedby",
            "/subjects/{}/metadata",
            "/config/{}",
            "/mode/{}",
            "/associations/subjects/{}",
            "/dek-registry/v1/keks/k/deks/{}",
            "/dek-registry/v1/keks/k/deks/{}/versions",
            "/dek-registry/v1/keks/k/deks/{}/versions/1",
        ];
        targets.extend(paths.map(|path| path.replace("{}", subject)).into_iter().filter(|path| !path.contains("//")));
        let queries = [
            "/schemas/ids/1?subject={}",
            "/schemas/ids/1/schema?subject={}",
            "/schemas/ids/1/subjects?subject={}",
            "/schemas/ids/2/versions?subject={}&deleted=true",
            "/schemas/ids/3?subject={}&fetchMaxId=true",
            "/schemas/ids/4?subject={}",
            "/schemas/ids/4/schema?subject={}",
            "/schemas/ids/3/subjects?subject={}&deleted=true",
            "/subjects?subjectPrefix={}",
            "/subjects?subjectPrefix={}&deletedOnly=true",
            "/schemas?subjectPrefix={}&aliases=true",
            "/schemas?subjectPrefix={}&deleted=true&resourceType=topic",
            "/dek-registry/v1/keks?subjectPrefix={}",
            "/contexts?contextPrefix={}",
        ];
        targets.extend(queries.map(|query| query.replace("{}", subject)));
    }
    for prefix in [":*:", ":*:s", ":.o", ":.a", ":.site"] {
        let lists = [
            "/subjects?subjectPrefix={}",
            "/schemas?subjectPrefix={}",
            "/schemas?subjectPrefix={}&deleted=true&aliases=true",
        ];
        targets.extend(lists.map(|list| list.replace("{}", prefix)));
    }
    targets
        .extend(guids.iter().flat_map(|guid| [format!("/schemas/guids/{guid}"), format!("/schemas/guids/{guid}/ids")]));
    let resources = ["-/-", "-/secret-topic", "id", "id:.other:", "id:.aa:", "other/-", "aa/-", "-/s"];
    // The mark is in none of the requests.
    targets.extend(
        resources.iter().filter(|name| !name.contains(MARK)).map(|name| format!("/associations/resources/{name}")),
    );
    targets.push("/dek-registry/v1/keks/k/deks?deleted=true".to_owned());
    let spelt: Vec<String> = [".other", "other", ".aa", ":.other:", "%2E", ".", "*"]
        .iter()
        .flat_map(|context| {
            [
                "/subjects",
                "/subjects/s/versions/1",
                "/schemas/ids/1",
                "/config/nick",
                "/dek-registry/v1/keks/k/deks/s",
                "/schemas",
                "",
            ]
            .map(|path| format!("/contexts/{context}{path}"))
        })
        .collect();
    targets.extend(spelt);
    targets
}

async fn asked_everything(address: std::net::SocketAddr, guids: &[String]) -> Vec<String> {
    let mut telling = Vec::new();
    let mut answered = 0;
    for target in targets(guids) {
        let mark = if target.contains('?') { '&' } else { '?' };
        let both = [target.clone(), format!("{target}{mark}unknown=1")];
        for target in both {
            let heard: Heard = crate::house::send(address, "GET", &target, &[], None).await;
            assert!(heard.status > 0, "{target}");
            answered += usize::from(heard.status == 200);
            let said = format!("{:?} {}", heard.headers, heard.body);
            if said.contains(MARK) {
                telling.push(format!("{target}: {} {}", heard.status, heard.body));
            }
        }
    }
    for (target, body) in [
        ("/subjects/s", registration("secret :.other:")),
        ("/subjects/only-theirs", registration("secret ")),
        ("/compatibility/subjects/only-theirs/versions/latest?verbose=true", registration("x")),
        ("/compatibility/subjects/only-theirs/versions?verbose=true", registration("x")),
        ("/associations:batchGet?includeSchemas=true", json!({ "requests": [{ "resourceId": "id" }, { "resourceId": "id:.other:" }, { "resourceId": "id:.aa:" }] }).to_string()),
    ] {
        let fields = [("Content-Type", "application/json")];
        let heard = crate::house::send(address, "POST", target, &fields, Some(&body)).await;
        let said = format!("{:?} {}", heard.headers, heard.body);
        if said.contains(MARK) {
            telling.push(format!("POST {target}: {} {}", heard.status, heard.body));
        }
    }
    assert!(answered > 100, "{answered} answers show something");
    telling
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_route_that_the_primary_alone_has_a_site_hears_no_more_than_that_it_may_not_ask() {
    let pair = |local: &str, primary: &str| Pair { local: local.into(), primary: primary.into() };
    let house = House::with(SmallRegistry::builder(), |config| config.contexts = vec![pair(".", ".site1")]).await;
    let target = "/catalog/v1/entity/name/:.other:s";
    let is_asked = |seen: &Seen| seen.target.starts_with("/catalog");
    for (status, code, message) in [
        (200, 0, "the secret one"),
        (404, 40401, "Subject ':.other:s' not found, but a secret one."),
        (404, 4_046_009, "secret"),
        (422, 42201, "secret"),
        (500, 500, "Internal Server Error"),
    ] {
        house.primary.fault_where(is_asked, Some(2), Fault::error(status, code, message));
        for method in ["GET", "HEAD"] {
            let heard = house.ask(method, target, "").await;
            assert_eq!(heard.status, 403, "{method} {status}/{code}: {heard:?}");
            assert!(!heard.body.contains(MARK), "{heard:?}");
        }
    }
    for method in ["GET", "HEAD"] {
        assert_eq!(house.ask(method, target, "").await.status, 404, "there is none");
    }
}

async fn before(ours: &str, change: impl FnOnce(&mut Config)) {
    let house = House::with(SmallRegistry::builder().dek_registry(), |_| {}).await;
    let guids = fill(&house, ours);
    let guest = Neighbour::beside(&house, change).await;
    let mut telling = asked_everything(guest.address, &guids).await;
    house.primary.stop().await;
    telling.extend(asked_everything(guest.address, &guids).await);
    assert_eq!(telling, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapped_site_hears_no_word_of_others_whatever_it_asks() {
    let pair = |local: &str, primary: &str| Pair { local: local.into(), primary: primary.into() };
    before(":.site1:", |config| config.contexts = vec![pair(".", ".site1"), pair(".*", ".site1.*")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_listener_hears_no_word_of_others_whatever_is_asked_of_it() {
    before(":.site1:", |config| config.listeners[0].context = Some(".site1".into())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_is_bound_to_the_default_context_hears_no_word_of_others_whatever_is_asked_of_it() {
    before("", |config| config.listeners[0].context = Some(".".into())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_has_the_primarys_default_context_hears_no_word_of_others_whatever_it_asks() {
    let pair = |local: &str, primary: &str| Pair { local: local.into(), primary: primary.into() };
    before("", |config| config.contexts = vec![pair(".", "."), pair(".fin", ".z")]).await;
}

/// What others have, as the primary shows it.
fn others(house: &House, ours: &str) -> Vec<String> {
    let listed = house.primary.ask("GET", "/schemas?subjectPrefix=:*:&deleted=true", None).body;
    let listed: Vec<Value> = serde_json::from_str(&listed).expect("a list");
    let is_ours = |name: &Value| {
        let name = name.as_str().expect("a name");
        if ours.is_empty() { !name.starts_with(":.") } else { name.starts_with(":.site1") }
    };
    let mut state: Vec<String> =
        listed.iter().filter(|one| !is_ours(&one["subject"])).map(ToString::to_string).collect();
    for context in ["", ":.aa:", ":.other:"].into_iter().filter(|context| *context != ours) {
        for target in [format!("/config/{context}nick"), format!("/config/{context}"), format!("/config/{context}s")] {
            state.push(house.primary.ask("GET", target.trim_end_matches('/'), None).body);
        }
        for subject in ["s", "secret-subject"] {
            let target = format!("/associations/subjects/{context}{subject}");
            state.push(house.primary.ask("GET", &target, None).body);
            let target = format!("/dek-registry/v1/keks/k/deks/{context}{subject}?deleted=true");
            state.push(house.primary.ask("GET", &target, None).body);
        }
    }
    state.push(house.primary.ask("GET", "/config/:.__GLOBAL:", None).body);
    state
}

async fn cannot_change(ours: &str, change: impl FnOnce(&mut Config)) {
    let house = House::with(SmallRegistry::builder().dek_registry(), |_| {}).await;
    fill(&house, ours);
    let guest = Neighbour::beside(&house, change).await;
    let before = others(&house, ours);
    let schema = registration("written by a stranger");
    let config = r#"{"compatibility":"NONE","alias":":.other:s"}"#.to_owned();
    let dek = |subject: &str| json!({ "subject": subject, "version": 7, "encryptedKeyMaterial": "x" }).to_string();
    let association = |id: &str, subject: &str| {
        let link = json!({ "subject": subject, "associationType": "key", "lifecycle": "STRONG" });
        json!({ "resourceName": "secret-topic", "resourceNamespace": "other", "resourceId": id, "associations": [link] }).to_string()
    };
    let names = [
        ":.other:s",
        "%3A.other%3As",
        ":.aa:nick",
        ":.other:",
        ":.:s",
        ":.",
        ":.:",
        ":.__GLOBAL:",
        ":*:s",
        "nick",
        "only-theirs",
    ];
    let mut writes: Vec<(&str, String, String)> = Vec::new();
    for prefix in ["", "/contexts/.other", "/contexts/aa", "/contexts/%2E", "/contexts/:.other:"] {
        for name in names.into_iter().chain(["s"].into_iter().filter(|_| !prefix.is_empty())) {
            for (method, path, body) in [
                ("POST", "/subjects/{}/versions", &schema),
                ("POST", "/subjects/{}/versions/1/tags", &"{}".to_owned()),
                ("PUT", "/config/{}", &config),
                ("DELETE", "/config/{}", &String::new()),
                ("DELETE", "/subjects/{}/versions/1", &String::new()),
                ("DELETE", "/subjects/{}", &String::new()),
                ("DELETE", "/subjects/{}?permanent=true", &String::new()),
                ("POST", "/dek-registry/v1/keks/k/deks/{}", &dek(":.other:s")),
                ("POST", "/dek-registry/v1/keks/k/deks", &dek(name)),
                ("DELETE", "/dek-registry/v1/keks/k/deks/{}", &String::new()),
                ("DELETE", "/dek-registry/v1/keks/k/deks/{}/versions/1", &String::new()),
                ("POST", "/associations?context=:.other:", &association("new", "s")),
                ("POST", "/associations", &association("new", name)),
                ("PUT", "/associations/resources/id:.other:", &association("id:.other:", name)),
                ("DELETE", "/associations/resources/id:.other:?cascadeLifecycle=true", &String::new()),
                ("DELETE", "/associations/resources/id?cascadeLifecycle=true", &String::new()),
            ] {
                writes.push((method, format!("{prefix}{}", path.replace("{}", name)), body.clone()));
            }
        }
        writes.push(("DELETE", prefix.to_owned(), String::new()));
        writes.push(("PUT", format!("{prefix}/config"), config.clone()));
    }
    let mut telling = Vec::new();
    for (method, target, body) in writes.iter().filter(|(_, target, _)| !target.is_empty()) {
        // What is ours may be changed, and is not looked at.
        let heard = guest.ask(method, target, body).await;
        let said = format!("{:?} {}", heard.headers, heard.body.replace("secret-topic", ""));
        if said.contains(MARK) {
            telling.push(format!("{method} {target} {body}: {} {}", heard.status, heard.body));
        }
        let now = others(&house, ours);
        let changed: Vec<_> = now.iter().zip(&before).filter(|(now, before)| now != before).collect();
        assert!(now == before, "{method} {target} {body}: {heard:?}: {changed:?}");
    }
    assert_eq!(telling, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_site_or_a_bound_listener_writes_changes_what_others_have() {
    let pair = |local: &str, primary: &str| Pair { local: local.into(), primary: primary.into() };
    cannot_change(":.site1:", |config| config.contexts = vec![pair(".", ".site1"), pair(".*", ".site1.*")]).await;
    cannot_change(":.site1:", |config| config.listeners[0].context = Some(".site1".into())).await;
    cannot_change("", |config| config.listeners[0].context = Some(".".into())).await;
    cannot_change("", |config| config.contexts = vec![pair(".", "."), pair(".fin", ".z")]).await;
}

/// What somebody at the primary wrote into what is ours means nothing of ours, whatever it is called there.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_a_stranger_wrote_into_ours_is_neither_told_nor_taken_for_one_of_ours() {
    let house = House::with(SmallRegistry::builder(), |config| {
        config.contexts = [(".", ".site1"), (".c", ".site1.c")]
            .map(|(local, primary)| Pair { local: local.into(), primary: primary.into() })
            .into();
    })
    .await;
    let write = |method: &str, target: &str, body: &str| {
        let answer = house.primary.ask(method, target, Some(body));
        assert_eq!(answer.status, 200, "{method} {target}: {}", answer.body);
    };
    write("POST", "/subjects/:.c:secret/versions", &registration("theirs"));
    write("POST", "/subjects/:.site1.c:secret/versions", &registration("ours"));
    write("POST", "/subjects/:.site1:own/versions", &referring("Own", ":.c:secret"));
    write("PUT", "/config/:.site1:nick", r#"{"alias":":.c:secret"}"#);
    house.imported().await;
    for mark in ["", "&unknown=1"] {
        let heard = house.get(&format!("/subjects/:.c:secret/versions/1/referencedby?limit=5{mark}")).await;
        assert_eq!((heard.status, &*heard.body), (200, "[]"), "nothing of ours refers to it");
        for target in ["/subjects/own/versions/1?deleted=false", "/schemas/ids/1?subject=own", "/schemas?offset=0"] {
            let heard = house.get(&format!("{target}{mark}")).await;
            assert_eq!(heard.status, 200, "{target}: {heard:?}");
            assert!(heard.body.contains(r#""subject":":*:""#) && !heard.body.contains(":.c:"), "{target}: {heard:?}");
        }
        for target in ["/subjects/nick/versions/1?deleted=false", "/subjects/nick/versions/1/schema?deleted=false"] {
            let heard = house.get(&format!("{target}{mark}")).await;
            assert!(heard.status >= 400, "{target}: {heard:?}");
            assert!(!heard.body.contains("ours") && !heard.body.contains("theirs"), "{target}: {heard:?}");
        }
        let heard = house.get(&format!("/config/nick?defaultToGlobal=false{mark}")).await;
        assert_eq!(heard.json()["alias"], ":*:", "{heard:?}");
        // Now that it is known where it leads, nothing is written there.
        for (method, target) in [("POST", "/subjects/nick/versions?"), ("DELETE", "/subjects/nick?")] {
            let heard = house.ask(method, &format!("{target}{mark}"), &registration("written")).await;
            assert_eq!((heard.status, heard.code()), (403, 40301), "{target}: {heard:?}");
        }
    }
    assert_eq!(house.get("/subjects/:*:/versions/1").await.status, 403);
    assert_eq!(house.primary.ask("GET", "/subjects/:.c:secret/versions", None).body, "[1]");
    // Nor if it is so new that nobody here knows of it.
    write("PUT", "/config/:.site1:new", r#"{"alias":":.c:secret"}"#);
    for target in ["/subjects/new/versions/1", "/subjects/new/versions/1/schema", "/schemas/ids/1?subject=new"] {
        let heard = house.get(&format!("{target}{}unknown=1", if target.contains('?') { '&' } else { '?' })).await;
        assert!(!heard.body.contains("theirs"), "{target}: {heard:?}");
    }
}
