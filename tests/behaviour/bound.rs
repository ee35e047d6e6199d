//! A listener that is bound to one context: it answers as a registry that holds nothing else.

use schema_outpost::config::Config;
use schema_outpost::routing::Pair;
use serde_json::json;
use small_registry::SmallRegistry;

use crate::contexts::Neighbour;
use crate::house::{Heard, House, registration};

/// A listener that shows one context alone.
fn to(context: &str) -> impl FnOnce(&mut Config) {
    let context = context.to_owned();
    move |config| config.listeners[0].context = Some(context)
}

/// Puts a schema into the primary, past all outposts.
fn put(house: &House, subject: &str, body: &str) -> serde_json::Value {
    let heard = house.primary.ask("POST", &format!("/subjects/{subject}/versions"), Some(body));
    assert_eq!(heard.status, 200, "{subject}: {heard:?}");
    serde_json::from_str(&heard.body).expect("JSON")
}

/// The body of a schema that refers to the first version of a subject.
pub fn referring(name: &str, subject: &str) -> String {
    json!({
        "schema": format!(r#"{{"type":"record","name":"{name}","fields":[{{"name":"r","type":"R"}}]}}"#),
        "references": [{ "name": "R", "subject": subject, "version": 1 }],
    })
    .to_string()
}

/// A target as it is asked, and so that only the primary can answer it.
fn both(target: &str) -> [String; 2] {
    let mark = if target.contains('?') { '&' } else { '?' };
    [target.to_owned(), format!("{target}{mark}unknown=1")]
}

async fn told(bound: &Neighbour, target: &str) -> Vec<Heard> {
    let mut told = Vec::new();
    for target in both(target) {
        told.push(bound.get(&target).await);
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn the_referrers_that_a_bound_listener_tells_of_are_those_of_its_context() {
    let house = House::with(SmallRegistry::builder(), |_| {}).await;
    put(&house, ":.site1:r", &registration("r"));
    put(&house, ":.site1:own", &referring("Own", "r"));
    for number in 1..4 {
        put(&house, &format!(":.other:fill{number}"), &registration(&format!("fill{number}")));
    }
    let foreign = put(&house, ":.other:spy", &referring("Spy", ":.site1:r"))["id"].clone();
    assert_eq!(foreign, 4, "an id that the context does not have");
    let bound = Neighbour::beside(&house, to(".site1")).await;
    for heard in told(&bound, "/subjects/r/versions/1/referencedby").await {
        assert_eq!((heard.status, heard.body.as_str()), (200, "[2]"));
    }
    assert_eq!(house.primary.ask("DELETE", "/subjects/:.site1:own", None).status, 200);
    bound.import().await;
    for heard in told(&bound, "/subjects/r/versions/1/referencedby").await {
        assert_eq!((heard.status, heard.body.as_str()), (200, "[]"));
    }
    for heard in told(&bound, "/subjects/r/versions/latest/referencedby?deleted=true").await {
        assert_eq!((heard.status, heard.body.as_str()), (200, "[2]"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_on_a_bound_listener_count_only_what_is_in_its_context() {
    let house = House::with(SmallRegistry::builder(), |_| {}).await;
    for (context, subject) in [(".a", "s"), (".site1", "s"), (".site1", "t"), (".z", "s"), (".", "s")] {
        put(&house, &format!(":{context}:{subject}"), &registration(subject));
    }
    for (resource, subject) in [("a", ":.a:s"), ("m", ":.site1:s"), ("n", ":.site1:t"), ("z", ":.z:s")] {
        let body = json!({
            "resourceName": resource, "resourceNamespace": "lkc", "resourceId": format!("id-{resource}"), "resourceType": "topic",
            "associations": [{ "subject": subject, "associationType": "value", "lifecycle": "STRONG" }],
        });
        let heard = house.primary.ask("POST", "/associations", Some(&body.to_string()));
        assert_eq!(heard.status, 200, "{heard:?}");
    }
    let bound = Neighbour::beside(&house, to(".site1")).await;
    let guid = bound.get("/subjects/s/versions/1").await.json()["guid"].as_str().expect("a guid").to_owned();
    for (target, expected) in [
        ("/contexts?limit=1", r#"[".site1"]"#.to_owned()),
        ("/contexts?offset=1", "[]".to_owned()),
        ("/contexts?contextPrefix=.a", "[]".to_owned()),
        ("/subjects?limit=1", r#"[":.site1:s"]"#.to_owned()),
        ("/subjects?offset=1&limit=1", r#"[":.site1:t"]"#.to_owned()),
        (&format!("/schemas/guids/{guid}/ids"), r#"[{"context":".site1","id":1}]"#.to_owned()),
    ] {
        for heard in told(&bound, target).await {
            assert_eq!((heard.status, &heard.body), (200, &expected), "{target}");
        }
    }
    for (target, expected) in [
        ("/associations/resources/-/-", vec!["m", "n"]),
        ("/associations/resources/-/-?limit=1", vec!["m"]),
        ("/associations/resources/lkc/-?offset=1&limit=5", vec!["n"]),
        ("/associations/resources/-/a", vec![]),
        ("/associations/resources/id-a", vec![]),
        ("/associations/resources/id-m", vec!["m"]),
        ("/associations/subjects/s", vec!["m"]),
    ] {
        for heard in told(&bound, target).await {
            assert_eq!(heard.status, 200, "{target}: {heard:?}");
            let listed = heard.json();
            let names =
                listed.as_array().expect("a list").iter().map(|one| one["resourceName"].as_str().expect("a name"));
            assert_eq!(names.collect::<Vec<_>>(), expected, "{target}: {heard:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_of_another_context_is_one_that_nobody_knows() {
    let house = House::with(SmallRegistry::builder(), |_| {}).await;
    for (resource, subject) in [("hidden", ":.other:s"), ("mine", ":.site1:s")] {
        put(&house, subject, &registration("s"));
        let body = json!({
            "resourceName": resource, "resourceNamespace": "lkc", "resourceId": format!("{resource}-id"), "resourceType": "topic",
            "associations": [{ "subject": subject, "associationType": "value", "lifecycle": "STRONG" }],
        });
        assert_eq!(house.primary.ask("POST", "/associations", Some(&body.to_string())).status, 200);
    }
    let bound = Neighbour::beside(&house, to(".site1")).await;
    let asked = r#"{"requests":[{"resourceId":"hidden-id"},{"resourceId":"mine-id"},{"resourceId":"no-id"}]}"#;
    for target in both("/associations:batchGet?includeSchemas=true") {
        let heard = bound.ask("POST", &target, asked).await;
        let results = &heard.json()["results"];
        assert_eq!(heard.status, 207, "{heard:?}");
        assert_eq!(results[0], json!({ "result": { "resourceId": "hidden-id", "resourceType": "topic" } }), "{target}");
        assert_eq!(results[1]["result"]["resourceName"], "mine", "{target}");
        assert_eq!(results[1]["result"]["associations"][0]["subject"], ":.site1:s", "{target}");
        assert_eq!(results[2], json!({ "result": { "resourceId": "no-id", "resourceType": "topic" } }), "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guid_that_only_another_context_holds_any_more_is_not_found_though_it_was_at_hand() {
    let house = House::with(SmallRegistry::builder(), |_| {}).await;
    put(&house, ":.other:s", &registration("shared"));
    put(&house, ":.site1:s", &registration("shared"));
    let bound = Neighbour::beside(&house, to(".site1")).await;
    let guid = bound.get("/subjects/s/versions/1").await.json()["guid"].as_str().expect("a guid").to_owned();
    let target = format!("/schemas/guids/{guid}");
    for _ in 0..3 {
        assert_eq!(bound.get(&target).await.status, 200);
    }
    for gone in ["/subjects/s", "/subjects/s?permanent=true"] {
        assert_eq!(bound.ask("DELETE", gone, "").await.status, 200);
    }
    for heard in told(&bound, &target).await {
        // So the registry speaks of an id that nobody holds any more (WIRE.md § 1.8).
        assert_eq!((heard.status, heard.code()), (500, 500), "{heard:?}");
    }
    assert_eq!(house.get(&target).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_context_alone_is_not_searched_for_elsewhere() {
    let house = House::with(SmallRegistry::builder(), |_| {}).await;
    put(&house, ":.other:s", &registration("elsewhere"));
    put(&house, "t", &registration("here"));
    house.imported().await;
    // What an unbound listener is answered must not come up on a bound one.
    assert_eq!(house.get("/subjects/s/versions/1").await.json()["subject"], ":.other:s");
    let bound = Neighbour::beside(&house, to(".")).await;
    for target in
        ["/subjects/s/versions/1", "/subjects/s/versions/latest/schema", "/subjects/s/versions/1/referencedby"]
    {
        for heard in told(&bound, target).await {
            assert_eq!((heard.status, heard.code()), (404, 40401), "{target}: {heard:?}");
            assert_eq!(heard.json()["message"], "Subject 's' not found.", "{target}");
        }
    }
    for heard in told(&bound, "/subjects/t/versions/7").await {
        assert_eq!((heard.status, heard.code()), (404, 40402), "{heard:?}");
    }
    for target in both("/subjects/s") {
        let heard = bound.ask("POST", &target, &registration("elsewhere")).await;
        assert_eq!((heard.status, heard.code()), (404, 40401), "{target}: {heard:?}");
    }
    for heard in told(&bound, "/schemas/ids/1?subject=s").await {
        assert_eq!(heard.json()["subject"], "t", "{heard:?}");
    }
    for heard in told(&bound, "/schemas/ids/1/schema?subject=s").await {
        assert!(heard.body.contains("here"), "{heard:?}");
    }
    for heard in told(&bound, "/schemas/ids/1/subjects?subject=s").await {
        assert_eq!(heard.body, r#"["t"]"#, "{heard:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_other_contexts_can_neither_be_listed_nor_written_on_a_bound_listener() {
    let house = House::with(SmallRegistry::builder().dek_registry(), |_| {}).await;
    for name in ["k1", "k2"] {
        let kek = json!({ "name": name, "kmsType": "test-kms", "kmsKeyId": name });
        assert_eq!(house.primary.ask("POST", "/dek-registry/v1/keks", Some(&kek.to_string())).status, 200);
    }
    let dek = |subject: &str| {
        json!({ "subject": subject, "version": 1, "algorithm": "AES256_GCM", "encryptedKeyMaterial": "bWF0ZXJpYWw=" })
            .to_string()
    };
    for (kek, subject) in [("k1", ":.a:s"), ("k1", ":.other:s"), ("k2", ":.other:s")] {
        let target = format!("/dek-registry/v1/keks/{kek}/deks");
        assert_eq!(house.primary.ask("POST", &target, Some(&dek(subject))).status, 200, "{subject}");
    }
    let bound = Neighbour::beside(&house, to(".site1")).await;
    let heard = bound.ask("POST", "/dek-registry/v1/keks/k1/deks", &dek(":.other:s")).await;
    assert_eq!((heard.status, heard.code()), (403, 40301), "{heard:?}");
    // A plain name means the context of the listener, in a body as in a path.
    for subject in ["s", ":.site1:t"] {
        let heard = bound.ask("POST", "/dek-registry/v1/keks/k1/deks", &dek(subject)).await;
        assert_eq!(heard.status, 200, "{heard:?}");
        assert!(heard.json()["subject"].as_str().is_some_and(|name| name.starts_with(":.site1:")), "{heard:?}");
    }
    for (target, expected) in [
        ("/dek-registry/v1/keks/k1/deks", r#"[":.site1:s",":.site1:t"]"#),
        ("/dek-registry/v1/keks/k1/deks?limit=1", r#"[":.site1:s"]"#),
        ("/dek-registry/v1/keks/k1/deks?offset=1", r#"[":.site1:t"]"#),
        ("/dek-registry/v1/keks/k2/deks", "[]"),
        ("/dek-registry/v1/keks?subjectPrefix=:.site1:s", r#"["k1"]"#),
        ("/dek-registry/v1/keks?subjectPrefix=:.site1:nosuch", "[]"),
    ] {
        let heard = bound.get(target).await;
        assert_eq!((heard.status, heard.body.as_str()), (200, expected), "{target}");
    }
    for refused in ["/dek-registry/v1/keks?subjectPrefix=:.other:", "/dek-registry/v1/keks/k1/deks/:.other:s"] {
        let heard = bound.get(refused).await;
        assert_eq!((heard.status, heard.code()), (403, 40301), "{refused}: {heard:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_of_a_mapped_site_is_bound_by_the_sites_name_of_a_context() {
    let house = House::with(SmallRegistry::builder(), |_| {}).await;
    for (subject, doc) in [(":.z:s", "default"), (":.z.fin:s", "fin"), (":.fin:s", "another's"), ("s", "nobody's")] {
        put(&house, subject, &registration(doc));
    }
    let pair = |local: &str, primary: &str| Pair { local: local.into(), primary: primary.into() };
    let bound = Neighbour::beside(&house, |config| {
        config.contexts = vec![pair(".", ".z"), pair(".*", ".z.*")];
        config.listeners[0].context = Some(".fin".into());
    })
    .await;
    for (target, expected) in [
        ("/subjects", r#"[":.fin:s"]"#),
        ("/subjects?limit=1", r#"[":.fin:s"]"#),
        ("/contexts", r#"[".fin"]"#),
        ("/schemas/ids/1/subjects", r#"[":.fin:s"]"#),
        ("/subjects/s/versions/1/referencedby", "[]"),
    ] {
        for heard in told(&bound, target).await {
            assert_eq!((heard.status, heard.body.as_str()), (200, expected), "{target}");
        }
    }
    for target in ["/schemas/ids/1", "/schemas/ids/1?subject=s", "/subjects/s/versions/latest", "/schemas"] {
        for heard in told(&bound, target).await {
            assert!(
                heard.body.contains("fin") && !heard.body.contains("'s") && !heard.body.contains("default"),
                "{target}: {heard:?}"
            );
        }
    }
    for refused in ["/subjects/:.z.fin:s/versions", "/subjects/:.:s/versions", "/contexts/.z/subjects"] {
        let heard = bound.get(refused).await;
        assert_eq!((heard.status, heard.code()), (403, 40301), "{refused}: {heard:?}");
    }
    assert_eq!(bound.ask("POST", "/subjects/new/versions", &registration("new")).await.status, 200);
    assert_eq!(house.primary.ask("GET", "/subjects/:.z.fin:new/versions", None).body, "[1]");
    // A listener that is bound to what is not mapped has nothing.
    let nothing = Neighbour::beside(&house, |config| {
        config.contexts = vec![pair(".", ".z")];
        config.listeners[0].context = Some(".fin".into());
    })
    .await;
    for target in ["/subjects", "/contexts", "/schemas/ids/1", "/subjects/s/versions/1", "/associations/resources/-/-"]
    {
        for heard in told(&nothing, target).await {
            let is_empty = heard.status == 200 && heard.body == "[]";
            assert!(is_empty || (heard.status, heard.code()) == (403, 40301), "{target}: {heard:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_of_the_whole_context_leads_nobody_out_of_it() {
    let house = House::with(SmallRegistry::builder(), |_| {}).await;
    put(&house, "secret", &registration("theirs"));
    put(&house, ":.site1:s", &registration("ours"));
    let aliased = house.primary.ask("PUT", "/config/:.site1:", Some(r#"{"alias":"secret"}"#));
    assert_eq!(aliased.status, 200, "{aliased:?}");
    let bound = Neighbour::beside(&house, to(".site1")).await;
    for target in ["/schemas/ids/1", "/schemas/ids/1/schema", "/schemas/ids/1/subjects", "/schemas/ids/1/versions"] {
        for heard in told(&bound, target).await {
            assert!(!heard.body.contains("theirs") && !heard.body.contains("secret"), "{target}: {heard:?}");
        }
    }
    for heard in told(&bound, "/subjects/:.site1:/versions").await {
        assert_ne!(heard.body, "[1]", "{heard:?}");
    }
}
