//! Schemas that look like what is there and are not: what the registry refuses, or does not find, no recollection of
//! ours may stand for. Each is asked of the outpost first, then of the registry itself.

use serde_json::{Value, json};
use small_registry::Seen;

use crate::house::House;

const USER: &str = r#"{"type":"record","name":"User","fields":[{"name":"a","type":"int"}],"x":1,"y":2}"#;
const TURNED: &str = r#"{"type":"record","name":"User","fields":[{"name":"a","type":"int"}],"y":2,"x":1}"#;

fn put(house: &House, method: &str, target: &str, body: &Value) {
    let answer = house.primary.ask(method, target, Some(&body.to_string()));
    assert_eq!(answer.status, 200, "{method} {target} {body}: {}", answer.body);
}

fn owned() -> Value {
    json!({ "schema": USER, "metadata": { "properties": { "owner": "us" } } })
}

fn is_asked(seen: &Seen) -> bool {
    seen.method == "POST" && !seen.path().contains("batchGet")
}

/// Asks the outpost, then the registry, and demands the same of both; returns the code of the refusal and how often
/// the outpost had to ask.
async fn same(house: &House, target: &str, body: &Value) -> (i64, usize) {
    house.primary.forget_requests();
    let heard = house.ask("POST", target, &body.to_string()).await;
    let calls = house.primary.count(is_asked);
    let direct = house.primary.ask("POST", target, Some(&body.to_string()));
    assert_eq!((heard.status, &heard.body), (direct.status, &direct.body), "{target} {body}");
    (heard.code(), calls)
}

async fn registering(house: &House, subject: &str, body: &Value) -> i64 {
    house.ask("POST", &format!("/subjects/{subject}/versions"), &body.to_string()).await.code()
}

#[tokio::test]
async fn metadata_with_a_null_inside_is_what_the_registry_stumbles_over() {
    let house = House::open().await;
    put(&house, "POST", "/subjects/s/versions", &owned());
    house.imported().await;
    let mut sent = owned();
    sent["metadata"]["properties"]["none"] = Value::Null;
    for target in ["/subjects/s", "/subjects/s/versions", "/subjects/s?normalize=true"] {
        house.ask("POST", target, &owned().to_string()).await;
        assert_eq!(same(&house, target, &sent).await.0, 500, "{target}");
    }
}

#[tokio::test]
async fn what_would_only_inherit_its_metadata_is_not_there_already_where_nothing_may_be_registered() {
    for mode in ["READONLY", "READONLY_OVERRIDE", "IMPORT"] {
        for scope in ["/mode/s", "/mode", "/mode/:.__GLOBAL:"] {
            let house = House::open().await;
            put(&house, "POST", "/subjects/s/versions", &owned());
            house.imported().await;
            house.ask("POST", "/subjects/s/versions", &json!({ "schema": USER }).to_string()).await;
            house.primary.ask("PUT", &format!("{scope}?force=true"), Some(&json!({ "mode": mode }).to_string()));
            house.imported().await;
            assert_eq!(same(&house, "/subjects/s/versions", &json!({ "schema": USER })).await.0, 42205, "{mode}");
            assert_eq!(same(&house, "/subjects/s/versions", &owned()).await, (0, 0), "{mode}");
            assert_eq!(same(&house, "/subjects/s", &json!({ "schema": USER })).await, (0, 0), "{mode}");
        }
    }
}

#[tokio::test]
async fn who_asks_for_an_id_inherits_nothing() {
    let house = House::open().await;
    put(&house, "POST", "/subjects/s/versions", &owned());
    house.imported().await;
    for body in [json!({ "schema": USER, "id": 1 }), json!({ "schema": USER, "id": 1, "version": 1 })] {
        assert_eq!(same(&house, "/subjects/s/versions", &body).await.0, 42205, "{body}");
    }
}

#[tokio::test]
async fn a_spelling_that_was_found_in_another_context_is_learnt_as_it_is_stored_there() {
    let protobuf = |text: &str| json!({ "schemaType": "PROTOBUF", "schema": text });
    let (own, far) = ("syntax = \"proto3\"; message A { }", "syntax = \"proto3\"; message B { }");
    let house = House::open().await;
    put(&house, "POST", "/subjects/a/versions", &protobuf(own));
    put(&house, "POST", "/subjects/s/versions", &json!({ "schema": USER }));
    put(&house, "POST", "/subjects/:.c:s/versions", &protobuf(far));
    house.imported().await;
    assert_eq!(same(&house, "/subjects/s", &protobuf(far)).await.0, 0);
    assert_eq!(same(&house, "/subjects/a", &protobuf(far)).await.0, 40403);
}

#[tokio::test]
async fn an_import_teaches_nothing_of_how_a_spelling_is_normalised() {
    for (schema_type, text) in
        [("AVRO", TURNED), ("PROTOBUF", "syntax = \"proto3\"; message M { int32 b = 2; string a = 1; }")]
    {
        let house = House::open().await;
        let sent = json!({ "schemaType": schema_type, "schema": text });
        put(&house, "PUT", "/mode", &json!({ "mode": "IMPORT" }));
        house.imported().await;
        let mut import = sent.clone();
        (import["id"], import["version"]) = (json!(7), json!(1));
        let imported = house.ask("POST", "/subjects/s/versions?normalize=true", &import.to_string()).await;
        assert_eq!(imported.status, 200, "{}", imported.body);
        put(&house, "PUT", "/mode", &json!({ "mode": "READWRITE" }));
        house.imported().await;
        same(&house, "/subjects/s?normalize=true", &sent).await;
    }
}

#[tokio::test]
async fn a_registration_that_adds_tags_teaches_nothing_of_how_a_spelling_is_stored() {
    let house = House::open().await;
    let tags = json!([{ "schemaEntity": { "entityPath": "User", "entityType": "sr_record" }, "tags": ["PII"] }]);
    let sent = json!({ "schema": TURNED, "schemaTagsToAdd": tags });
    let tagged = house.ask("POST", "/subjects/s/versions?normalize=true", &sent.to_string()).await;
    assert_eq!(tagged.status, 200, "{}", tagged.body);
    put(&house, "POST", "/subjects/t/versions", &json!({ "schema": tagged.json()["schema"] }));
    house.imported().await;
    assert_eq!(same(&house, "/subjects/t?normalize=true", &json!({ "schema": TURNED })).await.0, 40403);
}

#[tokio::test]
async fn what_was_normalised_for_a_moment_is_not_remembered_when_it_is_so_no_more() {
    let house = House::open().await;
    let json = |text: &str| json!({ "schemaType": "JSON", "schema": text });
    put(&house, "POST", "/subjects/s/versions", &json(r#"{"minProperties":1,"type":"object"}"#));
    house.imported().await;
    let turned = json(r#"{"type":"object","minProperties":1}"#);
    put(&house, "PUT", "/config/s", &json!({ "normalize": true }));
    for target in ["/subjects/s", "/subjects/s/versions"] {
        assert_eq!(same(&house, target, &turned).await.0, 0);
    }
    house.primary.ask("DELETE", "/config/s", None);
    house.imported().await;
    assert_eq!(same(&house, "/subjects/s", &turned).await.0, 40403);
}

#[tokio::test]
async fn what_refers_to_a_deleted_version_is_looked_up_as_the_registry_does() {
    let house = House::open().await;
    let referring = || {
        json!({
            "schema": r#"{"type":"record","name":"Holder","fields":[{"name":"u","type":"User"}]}"#,
            "references": [{ "name": "User", "subject": "user", "version": 1 }],
        })
    };
    put(&house, "POST", "/subjects/user/versions", &json!({ "schema": USER }));
    house.primary.ask("DELETE", "/subjects/user", None);
    put(&house, "PUT", "/mode/s", &json!({ "mode": "IMPORT" }));
    let mut import = referring();
    (import["id"], import["version"]) = (json!(7), json!(1));
    put(&house, "POST", "/subjects/s/versions", &import);
    house.imported().await;
    for target in ["/subjects/s", "/subjects/s?deleted=true", "/subjects/s/versions"] {
        same(&house, target, &referring()).await;
    }
}

#[tokio::test]
async fn what_is_found_by_its_meaning_is_shown_as_it_is_stored_in_read_only_mode_too() {
    let house = House::open().await;
    put(&house, "POST", "/subjects/s/versions", &json!({ "schema": USER }));
    house.imported().await;
    assert_eq!(house.set("/mode", "READONLY").await.status, 200);
    assert_eq!(same(&house, "/subjects/s/versions", &json!({ "schema": TURNED })).await.0, 0);
}

#[tokio::test]
async fn what_an_alias_stands_for_is_not_there_already_because_another_context_has_its_like() {
    let house = House::open().await;
    put(&house, "POST", "/subjects/:.c:s/versions", &json!({ "schema": USER }));
    put(&house, "PUT", "/config/nick", &json!({ "alias": "s" }));
    house.imported().await;
    assert_eq!(house.set("/mode", "READONLY").await.status, 200);
    for subject in ["s", "nick"] {
        assert_eq!(registering(&house, subject, &json!({ "schema": USER })).await, 42205, "{subject}");
    }
}

#[tokio::test]
async fn what_would_only_inherit_its_metadata_is_refused_in_our_own_read_only_mode() {
    let house = House::open().await;
    put(&house, "POST", "/subjects/s/versions", &owned());
    house.imported().await;
    assert_eq!(house.set("/mode", "READONLY").await.status, 200);
    for text in [USER, &format!("{USER} "), TURNED] {
        assert_eq!(registering(&house, "s", &json!({ "schema": text })).await, 42205, "{text}");
    }
    assert_eq!(registering(&house, "s", &owned()).await, 0);
}

#[tokio::test]
async fn where_schemas_are_imported_only_the_registry_knows_what_is_normalised() {
    let house = House::open().await;
    let sorted = json!({ "schemaType": "JSON", "schema": r#"{"minProperties":1,"type":"object"}"# });
    put(&house, "POST", "/subjects/s/versions", &sorted);
    house.imported().await;
    assert_eq!(same(&house, "/subjects/s?normalize=true", &sorted).await, (0, 0));
    for scope in ["/mode", "/mode/s"] {
        put(&house, "PUT", &format!("{scope}?force=true"), &json!({ "mode": "IMPORT" }));
        house.imported().await;
        assert_eq!(same(&house, "/subjects/s?normalize=true", &sorted).await, (0, 1), "{scope}");
        assert_eq!(same(&house, "/subjects/s", &sorted).await, (0, 0), "{scope}");
        put(&house, "PUT", &format!("{scope}?force=true"), &json!({ "mode": "READWRITE" }));
    }
}

#[tokio::test]
async fn a_number_that_is_sent_in_metadata_is_given_anew_each_time() {
    let house = House::open().await;
    let numbered = json!({ "schema": USER, "metadata": { "properties": { "confluent:version": "5" } } });
    for expected in 1..=3 {
        let heard = house.ask("POST", "/subjects/s/versions", &numbered.to_string()).await;
        assert_eq!(heard.json()["version"], expected, "{}", heard.body);
    }
}

#[tokio::test]
async fn what_is_there_already_is_shown_in_the_form_that_is_asked_for_in_read_only_mode_too() {
    let house = House::open().await;
    let holder = json!({
        "schema": r#"{"type":"record","name":"Holder","fields":[{"name":"u","type":"User"}]}"#,
        "references": [{ "name": "User", "subject": "user", "version": 1 }],
    });
    put(&house, "POST", "/subjects/user/versions", &json!({ "schema": USER }));
    put(&house, "POST", "/subjects/s/versions", &holder);
    house.imported().await;
    assert_eq!(house.set("/mode", "READONLY").await.status, 200);
    for query in ["", "?format=resolved", "?normalize=false&format=resolved"] {
        assert_eq!(same(&house, &format!("/subjects/s/versions{query}"), &holder).await.0, 0);
    }
}

#[tokio::test]
async fn a_spelling_is_learnt_as_what_was_shown_and_not_as_what_an_id_once_stood_for() {
    let protobuf = |name: &str| json!({ "schemaType": "PROTOBUF", "schema": format!("syntax = \"proto3\"; message {name} {{ }}") });
    let imported = |name: &str| {
        let mut body = protobuf(name);
        (body["id"], body["version"]) = (json!(7), json!(1));
        body
    };
    let house = House::open().await;
    put(&house, "PUT", "/mode", &json!({ "mode": "IMPORT" }));
    put(&house, "POST", "/subjects/s/versions", &imported("A"));
    house.imported().await;
    for query in ["", "?permanent=true"] {
        house.primary.ask("DELETE", &format!("/subjects/s{query}"), None);
    }
    put(&house, "POST", "/subjects/s/versions", &imported("B"));
    assert_eq!(same(&house, "/subjects/s", &protobuf("B")).await.0, 0);
    put(&house, "PUT", "/mode", &json!({ "mode": "READWRITE" }));
    put(&house, "POST", "/subjects/:.c:t/versions", &protobuf("A"));
    house.imported().await;
    assert_eq!(same(&house, "/subjects/:.c:t", &protobuf("B")).await.0, 40403);
}

#[tokio::test]
async fn what_was_overridden_for_a_moment_is_not_remembered_when_it_is_so_no_more() {
    let house = House::open().await;
    let (sent, theirs) = (json!({ "schema": USER }), json!({ "properties": { "owner": "them" } }));
    put(&house, "PUT", "/config", &json!({ "compatibility": "NONE" }));
    put(&house, "POST", "/subjects/s/versions", &owned());
    put(&house, "POST", "/subjects/s/versions", &json!({ "schema": "\"int\"", "metadata": theirs }));
    house.imported().await;
    put(&house, "PUT", "/config/s", &json!({ "overrideMetadata": owned()["metadata"] }));
    assert_eq!(same(&house, "/subjects/s", &sent).await.0, 0);
    house.primary.ask("DELETE", "/config/s", None);
    // After a write nobody shares a call with those who asked before it.
    house.register("other", "any").await;
    house.imported().await;
    assert_eq!(same(&house, "/subjects/s", &sent).await.0, 40403);
}
