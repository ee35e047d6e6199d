//! Lists of keys and resources that a site is given: whole, its own alone, and in the order of its names.

use schema_outpost::routing::Pair;
use serde_json::json;
use small_registry::SmallRegistry;

use crate::house::{House, registration};

fn pairs(map: &[(&str, &str)]) -> Vec<Pair> {
    map.iter().map(|(local, primary)| Pair { local: (*local).into(), primary: (*primary).into() }).collect()
}

async fn mapped(map: &[(&str, &str)]) -> House {
    let map = pairs(map);
    House::with(SmallRegistry::builder().dek_registry(), |config| config.contexts = map).await
}

fn post(house: &House, target: &str, body: serde_json::Value) {
    let heard = house.primary.ask("POST", target, Some(&body.to_string()));
    assert_eq!(heard.status, 200, "{target}: {heard:?}");
}

/// A KEK with a DEK for each of some subjects of the primary's.
fn key(house: &House, name: &str, subjects: &[&str]) {
    post(house, "/dek-registry/v1/keks", json!({ "name": name, "kmsType": "test-kms", "kmsKeyId": name }));
    for subject in subjects {
        let dek = json!({ "subject": subject, "version": 1, "encryptedKeyMaterial": "bWF0ZXJpYWw=" });
        post(house, &format!("/dek-registry/v1/keks/{name}/deks"), dek);
    }
}

/// A schema for a subject of the primary's, and what associates a resource with it.
fn resource(house: &House, named: (&str, &str), id: &str, subject: &str) {
    associate(house, named, id, (subject, "value"));
}

fn associate(house: &House, (namespace, name): (&str, &str), id: &str, (subject, side): (&str, &str)) {
    let registered = house.primary.ask("POST", &format!("/subjects/{subject}/versions"), Some(&registration(subject)));
    assert_eq!(registered.status, 200, "{registered:?}");
    let body = json!({
        "resourceName": name, "resourceNamespace": namespace, "resourceId": id, "resourceType": "topic",
        "associations": [{ "subject": subject, "associationType": side, "lifecycle": "WEAK" }],
    });
    post(house, "/associations", body);
}

#[tokio::test(flavor = "multi_thread")]
async fn deks_are_listed_in_the_order_of_the_sites_names() {
    let house = mapped(&[(".", ".z"), (".a", ".m"), (".b", ".c")]).await;
    key(&house, "k", &[":.z:A", ":.z:z", ":.m:s", ":.c:s", ":.other:s", "nobodys"]);
    for (query, expected) in [
        ("", r#"[":.a:s",":.b:s","A","z"]"#),
        ("?limit=2", r#"[":.a:s",":.b:s"]"#),
        ("?offset=1&limit=2", r#"[":.b:s","A"]"#),
        ("?offset=4", "[]"),
    ] {
        let heard = house.get(&format!("/dek-registry/v1/keks/k/deks{query}")).await;
        assert_eq!((heard.status, heard.body.as_str()), (200, expected), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keks_are_selected_by_whole_names_of_the_sites_subjects() {
    for (there, fin) in [(".z", ".z.fin"), (".", ".z.fin"), (".z", ".")] {
        let house = mapped(&[(".", there), (".fin", fin)]).await;
        let at =
            |context: &str, name: &str| if context == "." { name.to_owned() } else { format!(":{context}:{name}") };
        key(&house, "plain", &[&at(there, "foo")]);
        key(&house, "fin", &[&at(fin, "foo")]);
        key(&house, "foreign", &[":.other:foo", ":.z.finer:foo"]);
        key(&house, "unused", &[]);
        for (prefix, expected) in [
            ("foo", r#"["plain"]"#),
            ("", r#"["fin","plain"]"#),
            (":", r#"["fin"]"#),
            (":.", r#"["fin"]"#),
            (":.fin", r#"["fin"]"#),
            (":.fin:", r#"["fin"]"#),
            (":.fin:fo", r#"["fin"]"#),
            (":.fin:x", "[]"),
            // It is no wildcard there, but a beginning like any other.
            (":*:foo", "[]"),
            ("bar&subjectPrefix=foo", r#"["plain"]"#),
        ] {
            let heard = house.get(&format!("/dek-registry/v1/keks?subjectPrefix={prefix}")).await;
            assert_eq!((heard.status, heard.body.as_str()), (200, expected), "{there} {fin} {prefix}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn associations_are_listed_in_the_order_of_the_sites_names() {
    let house = mapped(&[(".", ".site"), (".a", ".z"), (".b", ".y")]).await;
    resource(&house, ("y", "t"), "1", ":.y:s");
    resource(&house, ("z", "t"), "2", ":.z:s");
    resource(&house, ("other", "t"), "3", ":.other:s");
    resource(&house, ("y", "u"), "4", ":.other:t");
    house.imported().await;
    for (target, expected) in [
        ("/associations/resources/-/t", vec!["a", "b"]),
        ("/associations/resources/-/t?limit=1", vec!["a"]),
        ("/associations/resources/-/-", vec!["a", "b"]),
        ("/associations/resources/b/-", vec!["b"]),
        ("/associations/resources/3", vec![]),
        ("/associations/resources/4", vec![]),
        ("/associations/subjects/:.a:s", vec!["a"]),
    ] {
        let mark = if target.contains('?') { '&' } else { '?' };
        for heard in [house.get(target).await, house.get(&format!("{target}{mark}unknown=1")).await] {
            let listed = heard.json();
            let spaces = listed.as_array().expect("a list").iter().map(|one| one["resourceNamespace"].as_str());
            let spaces: Vec<&str> = spaces.map(|space| space.expect("a namespace")).collect();
            assert_eq!(spaces, expected, "{target}: {heard:?}");
            assert!(!heard.body.contains("other"), "{target}: {heard:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_questions_about_resources_are_answered_from_the_sites_associations_alone() {
    let house = mapped(&[(".", ".site"), (".a", ".site.a")]).await;
    resource(&house, ("site.a", "mine"), "mine", ":.site:s");
    resource(&house, ("secret", "hidden"), "hidden", ":.other:s");
    // One id for two resources: the registry refuses to answer for it, because of what is none of ours.
    resource(&house, ("site.a", "shared"), "shared", ":.site:t");
    associate(&house, ("secret", "shared"), "shared", (":.other:t", "key"));
    resource(&house, ("secret", "u"), "theirs", ":.other:u");
    associate(&house, ("secret2", "v"), "theirs", (":.other:v", "key"));
    house.imported().await;
    let asked = json!({ "requests": [
        { "resourceId": "mine" }, { "resourceId": "hidden" }, { "resourceId": "shared" }, { "resourceId": "theirs" },
        { "resourceNamespace": "a", "resourceName": "mine" }, { "resourceNamespace": "a", "resourceName": "hidden" }, {},
    ] });
    let unknown = |id: &str| json!({ "result": { "resourceId": id, "resourceType": "topic" } });
    let mut answers = Vec::new();
    for target in ["/associations:batchGet", "/associations:batchGet?unknown=1"] {
        let heard = house.ask("POST", target, &asked.to_string()).await;
        assert_eq!(heard.status, 207, "{heard:?}");
        for word in ["secret", "other", "site", "\"u\"", "\"v\""] {
            assert!(!heard.body.contains(word), "{target} tells of {word}: {}", heard.body);
        }
        let results = heard.json()["results"].clone();
        assert_eq!(results[0], results[4], "{target}");
        assert_eq!(results[0]["result"]["resourceNamespace"], "a", "{target}");
        assert_eq!(results[1], unknown("hidden"), "{target}");
        assert_eq!(results[2]["result"]["associations"][0]["subject"], "t", "{target}: {heard:?}");
        assert_eq!(results[3], unknown("theirs"), "{target}");
        answers.push(heard.body);
    }
    assert_eq!(answers[0], answers[1]);
}
