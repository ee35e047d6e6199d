//! What an outpost makes of a name that stands for another one, in whatever way it comes upon it.

use serde_json::{Value, json};

use crate::house::{House, registration};

/// Asks the registry itself for something, as somebody else would.
fn elsewhere(house: &House, method: &str, target: &str, body: &str) -> String {
    let answer = house.primary.ask(method, target, Some(body));
    assert!(answer.status < 300, "{method} {target}: {} {}", answer.status, answer.body);
    answer.body
}

/// Demands of questions that the outpost says what the registry says, with the registry away too.
async fn agrees(house: &House, questions: &[&str]) {
    let truth: Vec<_> = questions.iter().map(|target| house.primary.ask("GET", target, None)).collect();
    for (target, truth) in questions.iter().zip(&truth) {
        let heard = house.get(target).await;
        assert_eq!((heard.status, &*heard.body), (truth.status, &*truth.body), "{target}");
    }
    house.primary.stop().await;
    for (target, truth) in questions.iter().zip(&truth) {
        let heard = house.get(target).await;
        assert_eq!((heard.status, &*heard.body), (truth.status, &*truth.body), "{target}, with the primary away");
    }
}

fn association(subject: &str, more: &Value) -> String {
    let mut one = json!({ "subject": subject, "associationType": "value", "lifecycle": "WEAK" });
    one.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    json!({
        "resourceName": "t", "resourceNamespace": "lkc", "resourceId": "r", "resourceType": "topic",
        "associations": [one],
    })
    .to_string()
}

#[tokio::test]
async fn a_name_that_stands_for_another_one_holds_nothing_of_it() {
    let house = House::open().await;
    house.ask("PUT", "/config/:.finance:s", r#"{"alias":":.site2:x"}"#).await;
    assert_eq!(house.register(":.site2:x", "1").await.status, 200);
    let created = house.ask("POST", "/associations", &association(":.finance:s", &json!({}))).await;
    assert_eq!(created.status, 200, "{}", created.body);
    agrees(
        &house,
        &[
            "/contexts",
            "/subjects?subjectPrefix=:*:&deleted=true",
            "/schemas?subjectPrefix=:*:&deleted=true",
            "/schemas/ids/1/subjects?subject=:.finance:",
            "/associations/subjects/:.site2:x",
        ],
    )
    .await;
}

#[tokio::test]
async fn what_an_association_registers_behind_an_alias_is_there_at_once() {
    let house = House::open().await;
    house.ask("PUT", "/config/:.lkc:nick", r#"{"alias":"t-value"}"#).await;
    assert_eq!(house.register("x", "1").await.status, 200);
    let schema: Value = serde_json::from_str(&registration("2")).expect("JSON");
    let body = association(":.lkc:nick", &json!({ "schema": schema, "lifecycle": "STRONG" }));
    let created = house.ask("POST", "/associations", &body).await;
    assert_eq!(created.status, 200, "{}", created.body);
    agrees(&house, &["/contexts", "/subjects?subjectPrefix=:*:", "/subjects/:.lkc:t-value/versions"]).await;
}

#[tokio::test]
async fn what_an_association_registers_in_the_context_that_its_query_names_is_there_at_once() {
    let house = House::open().await;
    assert_eq!(house.register("x", "1").await.status, 200);
    let schema: Value = serde_json::from_str(&registration("2")).expect("JSON");
    let body = association("t-value", &json!({ "schema": schema, "lifecycle": "STRONG" }));
    let created = house.ask("POST", "/associations?context=:.lkc:", &body).await;
    assert_eq!(created.status, 200, "{}", created.body);
    agrees(&house, &["/contexts", "/subjects?subjectPrefix=:*:", "/subjects/:.lkc:t-value/versions"]).await;
}

#[tokio::test]
async fn a_subject_that_was_deleted_for_good_is_not_kept_alive_by_an_alias_in_its_place() {
    let house = House::open().await;
    for (subject, doc) in [("s", "1"), ("other", "2"), ("more", "3")] {
        assert_eq!(house.register(subject, doc).await.status, 200);
    }
    house.imported().await;
    elsewhere(&house, "DELETE", "/subjects/s", "");
    elsewhere(&house, "DELETE", "/subjects/s?permanent=true", "");
    elsewhere(&house, "PUT", "/config/s", r#"{"alias":"other"}"#);
    house.imported().await;
    agrees(
        &house,
        &[
            "/subjects?deleted=true",
            "/schemas?subjectPrefix=&deleted=true",
            "/subjects/s/versions",
            "/schemas/ids/2/subjects",
        ],
    )
    .await;
}

#[tokio::test]
async fn the_highest_id_of_a_context_is_not_that_of_another_one_its_name_leads_to() {
    let house = House::open().await;
    for (subject, doc) in [("s", "1"), ("s", "2"), ("s", "3"), (":.c:s", "1")] {
        assert_eq!(house.register(subject, doc).await.status, 200);
    }
    elsewhere(&house, "PUT", "/config/:.c:", r#"{"alias":"s"}"#);
    house.imported().await;
    agrees(&house, &["/schemas/ids/1?subject=:.c:s&fetchMaxId=true", "/subjects/:.c:s/versions"]).await;
}

#[tokio::test]
async fn the_top_level_is_no_alias_and_what_an_id_finds_is_found_under_its_own_name() {
    let house = House::open().await;
    for (subject, doc) in [("s", "1"), ("x", "2"), (":.c:x", "1"), (":.c:x", "3")] {
        assert_eq!(house.register(subject, doc).await.status, 200);
    }
    for (place, alias) in [("", ":.c:x"), ("/nick", ":.:x"), ("/:.c:", "s"), ("/:.c:nick", ":.:x")] {
        let body = json!({ "alias": alias }).to_string();
        assert_eq!(house.ask("PUT", &format!("/config{place}"), &body).await.status, 200, "{place}");
    }
    let mut questions = vec!["/subjects/:.:/versions".to_owned(), "/subjects/:.:nick/versions".to_owned()];
    for subject in ["", "?subject=nick", "?subject=:.:nick", "?subject=:.c:", "?subject=:.c", "?subject=:.c:nick"] {
        questions.extend(["", "/subjects", "/versions"].map(|list| format!("/schemas/ids/1{list}{subject}")));
        questions.extend(["", "/subjects", "/versions"].map(|list| format!("/schemas/ids/2{list}{subject}")));
    }
    agrees(&house, &questions.iter().map(String::as_str).collect::<Vec<_>>()).await;
}
