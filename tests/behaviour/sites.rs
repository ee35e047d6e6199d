//! Sites before one primary, as they live: what they search, side by side, started again, mapped anew.

use schema_outpost::routing::Pair;
use serde_json::{Value, json};
use small_registry::SmallRegistry;

use crate::bound::referring;
use crate::contexts::Neighbour;
use crate::house::{Heard, House, registration, send};

fn pairs(map: &[(&str, &str)]) -> Vec<Pair> {
    map.iter().map(|(local, primary)| Pair { local: (*local).into(), primary: (*primary).into() }).collect()
}

/// Puts a schema into a registry, past all outposts.
fn put(registry: &SmallRegistry, subject: &str, body: &str) -> Value {
    let heard = registry.ask("POST", &format!("/subjects/{subject}/versions"), Some(body));
    assert_eq!(heard.status, 200, "{subject}: {heard:?}");
    serde_json::from_str(&heard.body).expect("JSON")
}

fn doc(name: &str) -> String {
    registration(name)
}

/// What only the primary can answer, since it is asked in a way that the replica does not know.
async fn asked(house: &House, target: &str) -> Heard {
    let mark = if target.contains('?') { '&' } else { '?' };
    house.get(&format!("{target}{mark}unknown=1")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_referrers_that_the_primary_tells_a_site_of_are_the_sites_own() {
    for (there, fin) in [(".site1", ".site1.fin"), (".", ".f"), (".b", ".")] {
        let map = pairs(&[(".", there), (".fin", fin)]);
        let house = House::with(SmallRegistry::builder(), |config| config.contexts = map).await;
        let primary = &house.primary;
        let at =
            |context: &str, name: &str| if context == "." { name.to_owned() } else { format!(":{context}:{name}") };
        put(primary, &at(fin, "r"), &doc("r"));
        put(primary, &at(fin, "own"), &referring("Own", "r"));
        put(primary, &at(there, "first"), &doc("first"));
        let mut expected = "[2]";
        // From a named context nothing leads into the default one.
        if fin != "." {
            expected = "[2,2]";
            put(primary, &at(there, "own"), &referring("Here", &at(fin, "r")));
            put(primary, ":.site2:fill", &doc("fill"));
            // The same number in another site is another schema, and there is one that only they have.
            put(primary, ":.site2:spy", &referring("Spy", &at(fin, "r")));
            put(primary, ":.site2:spy2", &referring("Spy2", &at(fin, "r")));
        }
        house.imported().await;
        for version in ["1", "latest"] {
            let target = format!("/subjects/:.fin:r/versions/{version}/referencedby");
            assert_eq!(asked(&house, &target).await.body, expected, "{there}");
            assert_eq!(house.get(&target).await.body, expected, "{there}");
        }
        for (target, expected) in [
            ("/subjects/:.fin:r/versions/1/referencedby?limit=1", "[2]"),
            ("/subjects/:.fin:r/versions/1/referencedby?offset=2", "[]"),
            ("/subjects/:.fin:own/versions/1/referencedby", "[]"),
            // It is looked for in the other contexts, as the version itself is.
            ("/subjects/r/versions/1/referencedby", expected),
        ] {
            assert_eq!(asked(&house, target).await.body, expected, "{there}: {target}");
            assert_eq!(house.get(target).await.body, expected, "{there}: {target}");
        }
        let heard = asked(&house, "/subjects/nosuch/versions/1/referencedby").await;
        assert_eq!((heard.status, heard.code()), (404, 40401), "{there}: {heard:?}");
        assert_eq!(primary.ask("DELETE", &format!("/subjects/{}", at(fin, "own")), None).status, 200);
        house.imported().await;
        let left = if fin == "." { "[]" } else { "[2]" };
        for heard in [
            house.get("/subjects/:.fin:r/versions/1/referencedby").await,
            asked(&house, "/subjects/:.fin:r/versions/1/referencedby").await,
        ] {
            assert_eq!(heard.body, left, "{there}");
        }
        let target = "/subjects/:.fin:r/versions/1/referencedby?deleted=true";
        assert_eq!(
            (house.get(target).await.body, asked(&house, target).await.body),
            (expected.into(), expected.into())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_the_default_context_does_not_have_is_looked_for_in_the_sites_other_contexts_alone() {
    for (there, fin, ops) in [(".site1", ".site1.fin", ".site1.ops"), (".", ".z", ".y"), (".b", ".", ".c")] {
        let map = pairs(&[(".", there), (".fin", fin), (".ops", ops)]);
        let house = House::with(SmallRegistry::builder(), |config| config.contexts = map).await;
        let at =
            |context: &str, name: &str| if context == "." { name.to_owned() } else { format!(":{context}:{name}") };
        let primary = &house.primary;
        put(primary, &at(".a", "s"), &doc("of nobody"));
        put(primary, &at(".a", "foreign"), &doc("of nobody"));
        put(primary, &at(there, "t"), &doc("default"));
        put(primary, &at(fin, "s"), &doc("fin"));
        put(primary, &at(ops, "fill"), &doc("fill"));
        put(primary, &at(ops, "s"), &doc("ops 1"));
        put(primary, &at(ops, "s"), &doc("ops 2"));
        house.imported().await;
        for (target, subject) in [
            ("/subjects/s/versions/1", ":.fin:s"),
            ("/subjects/s/versions/2", ":.ops:s"),
            ("/schemas/ids/1?subject=s", ":.fin:s"),
            ("/schemas/ids/2?subject=s", ":.ops:s"),
            ("/schemas/ids/1?subject=t", "t"),
            ("/schemas/ids/1?subject=:.:t", "t"),
            ("/schemas/ids/1?subject=foreign", "t"),
            ("/schemas/ids/1?subject=:.fin:s", ":.fin:s"),
        ] {
            for heard in [house.get(target).await, asked(&house, target).await] {
                assert_eq!(heard.status, 200, "{there} {target}: {heard:?}");
                assert_eq!(heard.json()["subject"], subject, "{there} {target}: {heard:?}");
            }
        }
        for (target, shown) in [
            ("/subjects/s/versions/2/schema", "ops 1"),
            ("/subjects/s/versions/1/schema", "fin"),
            ("/schemas/ids/2/schema?subject=s", "ops 1"),
            ("/schemas/ids/1/schema?subject=s", "fin"),
            ("/schemas/ids/1/schema?subject=foreign", "default"),
            ("/schemas/ids/2/subjects?subject=s", ":.ops:s"),
            ("/schemas/ids/1/versions?subject=s", ":.fin:s"),
        ] {
            // In the first version of `.ops` is what has its second id.
            let target = &target.replace("/subjects/s/versions/2/schema", "/subjects/:.ops:s/versions/1/schema");
            for heard in [house.get(target).await, asked(&house, target).await] {
                assert!(heard.status == 200 && heard.body.contains(shown), "{there} {target}: {heard:?}");
            }
        }
        for (target, code) in [
            ("/subjects/foreign/versions/1", 40401),
            ("/subjects/foreign/versions/latest/schema", 40401),
            ("/subjects/t/versions/9", 40402),
            ("/subjects/:.fin:t/versions/1", 40401),
            ("/subjects/:.fin:s/versions/9", 40402),
            ("/schemas/ids/1?subject=:.fin:t", 40403),
            ("/schemas/ids/1/subjects?subject=:.fin:foreign", 40403),
        ] {
            for heard in [house.get(target).await, asked(&house, target).await] {
                assert_eq!((heard.status, heard.code()), (404, code), "{there} {target}: {heard:?}");
                assert!(!heard.body.contains("nobody") && !heard.body.contains(":.a"), "{there} {target}: {heard:?}");
            }
        }
        for (target, body, expected) in [
            ("/subjects/s?unknown=1", "fin", ":.fin:s"),
            ("/subjects/s?unknown=1", "ops 2", ":.ops:s"),
            ("/subjects/s", "ops 1", ":.ops:s"),
        ] {
            let heard = house.ask("POST", target, &doc(body)).await;
            assert_eq!(heard.status, 200, "{there} {body}: {heard:?}");
            assert_eq!(heard.json()["subject"], expected, "{there} {body}: {heard:?}");
        }
        let heard = house.ask("POST", "/subjects/foreign?unknown=1", &doc("of nobody")).await;
        assert_eq!((heard.status, heard.code()), (404, 40401), "{there}: {heard:?}");
    }
}

/// What a site shows of a version, whoever registered it.
async fn shown(house: &House, target: &str) -> Value {
    let heard = house.get(target).await;
    assert_eq!(heard.status, 200, "{target}: {heard:?}");
    heard.json()
}

/// Two contexts of the primary that have the same ids for other schemas.
fn two_id_spaces(primary: &SmallRegistry) {
    for number in 1..7 {
        put(primary, ":.site1:fill", &doc(&format!("one {number}")));
        put(primary, ":.site2.fin:fill", &doc(&format!("two {number}")));
    }
    for (context, name) in [(".site1", "one"), (".site2.fin", "two")] {
        let own = put(primary, &format!(":{context}:orders"), &doc(&format!("{name} seven")));
        assert_eq!(own["id"], 7);
        let referring = put(primary, &format!(":{context}:referrer"), &referring("Referring", "orders"));
        assert_eq!(referring["id"], 8);
    }
    put(primary, ":.site2:hidden", &doc("hidden"));
}

/// That a context of a site is just that one of the primary's: ids, versions, GUIDs and references.
async fn assert_same(house: &House, local: &str, there: &str, name: &str) {
    let theirs = house.primary.ask("GET", &format!("/subjects/:{there}:orders/versions/1"), None).body;
    let theirs: Value = serde_json::from_str(&theirs).expect("JSON");
    let ours = shown(house, &format!("/subjects/{local}orders/versions/1")).await;
    for member in ["id", "version", "guid", "schema", "ts"] {
        assert_eq!(ours[member], theirs[member], "{local}orders, {member}");
    }
    assert_eq!(ours["subject"], format!("{local}orders"));
    let by_id = shown(house, &format!("/schemas/ids/7?subject={local}")).await;
    assert!(by_id["schema"].as_str().is_some_and(|text| text.contains(&format!("{name} seven"))), "{by_id}");
    let referrer = shown(house, &format!("/subjects/{local}referrer/versions/1")).await;
    assert_eq!(referrer["references"], json!([{ "name": "R", "subject": "orders", "version": 1 }]));
    assert_eq!(house.get(&format!("/subjects/{local}orders/versions/1/referencedby")).await.body, "[8]");
    let last = shown(house, &format!("/schemas/ids/6?subject={local}")).await;
    assert_eq!((&last["subject"], &last["version"]), (&format!("{local}fill").into(), &6.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_parts_of_a_map_keep_their_ids_versions_guids_and_references_also_after_a_restart_without_the_primary() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut house = House::with(SmallRegistry::builder(), |config| {
        config.contexts = pairs(&[(".", ".site1"), (".fin", ".site2.fin")]);
        config.state.directory = Some(directory.path().to_owned());
    })
    .await;
    two_id_spaces(&house.primary);
    house.imported().await;
    let everything = r#"[":.fin:fill",":.fin:orders",":.fin:referrer","fill","orders","referrer"]"#;
    for _ in 0..2 {
        assert_same(&house, "", ".site1", "one").await;
        assert_same(&house, ":.fin:", ".site2.fin", "two").await;
        assert_eq!(house.get("/subjects").await.body, everything);
        assert_eq!(house.get("/contexts").await.body, r#"[".",".fin"]"#);
        house.primary.stop().await;
        house.restart().await;
        assert_eq!(house.get("/subjects").await.body, everything);
        assert!(shown(&house, "/schemas/ids/7").await["schema"].as_str().is_some_and(|text| text.contains("one")));
        assert!(
            shown(&house, "/schemas/ids/7?subject=:.fin:").await["schema"]
                .as_str()
                .is_some_and(|text| text.contains("two"))
        );
        house.primary.restart().await.expect("the same port");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn outposts_with_different_maps_before_one_primary_do_not_mix_what_has_the_same_id() {
    let house = House::with(SmallRegistry::builder(), |config| config.contexts = pairs(&[(".", ".site1")])).await;
    two_id_spaces(&house.primary);
    house.imported().await;
    let other = Neighbour::beside(&house, |config| config.contexts = pairs(&[(".", ".site2.fin")])).await;
    let third =
        Neighbour::beside(&house, |config| config.contexts = pairs(&[(".a", ".site2.fin"), (".b", ".site1")])).await;
    assert_same(&house, "", ".site1", "one").await;
    let seven = |heard: Heard| heard.json()["schema"].as_str().expect("a schema").to_owned();
    assert!(seven(other.get("/schemas/ids/7").await).contains("two seven"));
    assert!(seven(third.get("/schemas/ids/7?subject=:.a:").await).contains("two seven"));
    assert!(seven(third.get("/schemas/ids/7?subject=:.b:").await).contains("one seven"));
    // A write through one is seen by the other as soon as that has read it, and by nobody else.
    assert_eq!(other.ask("POST", "/subjects/orders/versions", &doc("new")).await.json()["id"], 9);
    third.import().await;
    house.imported().await;
    assert_eq!(third.get("/subjects/:.a:orders/versions").await.body, "[1,2]");
    assert_eq!(third.get("/subjects/:.b:orders/versions").await.body, "[1]");
    assert_eq!(house.get("/subjects/orders/versions").await.body, "[1]");
    assert_eq!(house.get("/schemas/ids/9").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_through_another_map_is_never_shown_and_what_is_newly_mapped_appears() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut house = House::with(SmallRegistry::builder(), |config| {
        config.contexts = pairs(&[(".", ".site1"), (".old", ".site2.fin")]);
        config.state.directory = Some(directory.path().to_owned());
    })
    .await;
    two_id_spaces(&house.primary);
    house.imported().await;
    assert_eq!(house.get("/subjects/:.old:orders/versions").await.body, "[1]");
    // The same local names stand for other contexts now.
    house.config.contexts = pairs(&[(".", ".site2.fin"), (".hidden", ".site2")]);
    house.primary.stop().await;
    house.restart().await;
    for target in ["/subjects", "/subjects/orders/versions/1", "/schemas/ids/7", "/subjects/:.hidden:hidden/versions"] {
        let heard = house.get(target).await;
        assert_eq!((heard.status, heard.code()), (500, 50003), "nothing is known yet: {target}: {heard:?}");
    }
    house.primary.restart().await.expect("the same port");
    house.until("/subjects", |heard| heard.status == 200).await;
    house.imported().await;
    for _ in 0..2 {
        assert_same(&house, "", ".site2.fin", "two").await;
        assert_eq!(house.get("/subjects").await.body, r#"[":.hidden:hidden","fill","orders","referrer"]"#);
        let heard = house.get("/subjects/:.old:orders/versions").await;
        assert_eq!((heard.status, heard.code()), (403, 40301), "{heard:?}");
        // The order of the entries is none of the map's.
        house.config.contexts.reverse();
        house.restart().await;
    }
    house.primary.stop().await;
    assert_eq!(house.get("/subjects").await.body, r#"[":.hidden:hidden","fill","orders","referrer"]"#);
    // Back to no map at all.
    house.config.contexts.clear();
    house.restart().await;
    assert_eq!(house.get("/subjects").await.status, 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guid_shows_the_record_of_the_site_and_not_that_of_another_one() {
    let map = pairs(&[(".", ".site1"), (".fin", ".site1.fin")]);
    let house = House::with(SmallRegistry::builder(), |config| config.contexts = map).await;
    for subject in ["s", ":.aa:s", ":.site1.fin:s"] {
        put(&house.primary, subject, &doc("shared"));
    }
    for subject in ["s", ":.aa:s"] {
        assert_eq!(house.primary.ask("DELETE", &format!("/subjects/{subject}"), None).status, 200);
    }
    house.imported().await;
    let guid = house.get("/subjects/:.fin:s/versions/1").await.json()["guid"].as_str().expect("a guid").to_owned();
    for target in [format!("/schemas/guids/{guid}"), format!("/schemas/guids/{}", guid.to_uppercase().replace('-', ""))]
    {
        let (held, told) = (house.get(&target).await, asked(&house, &target).await);
        assert_eq!(held.json()["deleted"], false, "{held:?}");
        assert_eq!(held.body, told.body);
        assert_eq!(held.header("content-type"), told.header("content-type"));
    }
    assert_eq!(asked(&house, &format!("/schemas/guids/{guid}/ids")).await.body, r#"[{"context":".fin","id":1}]"#);
    let unknown = "/schemas/guids/00000000-0000-0000-0000-000000000000";
    assert_eq!(asked(&house, unknown).await.code(), 40403);
    // What is said in the primary's stead is in the type that the client takes.
    let heard = send(house.address(), "GET", unknown, &[("Accept", "application/json")], None).await;
    assert_eq!((heard.code(), heard.header("content-type")), (40403, Some("application/json")), "{heard:?}");
}
