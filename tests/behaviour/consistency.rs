//! The promises C1 to C11 (CONSISTENCY.md).

use small_registry::{Fault, Profile, SmallRegistry};

use crate::house::{House, registration, send};

/// C2: whatever way it is asked, a read after the acknowledgement shows the write.
#[tokio::test]
async fn a_write_is_read_by_everyone_in_every_spelling_after_its_acknowledgement() {
    let house = House::open().await;
    assert_eq!(house.get("/subjects/a/versions/latest").await.status, 404);
    assert_eq!(house.get("/schemas/ids/1").await.status, 404);
    let answer = house.register("a", "1").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let guid = answer.json()["guid"].as_str().expect("a guid").to_owned();
    for target in [
        "/subjects/a/versions/latest".to_owned(),
        "/subjects/a/versions/1".to_owned(),
        "/subjects/a/versions/-1".to_owned(),
        "/subjects/%61/versions/1".to_owned(),
        "/subjects/:.:a/versions/1".to_owned(),
        "/contexts/:.:/subjects/a/versions/1".to_owned(),
        "/schemas/ids/1".to_owned(),
        "/schemas/ids/1?fetchMaxId=false&subject=a".to_owned(),
        "/schemas/ids/1?subject=a&fetchMaxId=false".to_owned(),
        format!("/schemas/guids/{guid}"),
        format!("/schemas/guids/{}", guid.to_uppercase()),
    ] {
        let heard = house.get(&target).await;
        assert_eq!(heard.status, 200, "{target}: {}", heard.body);
        let direct = house.primary.ask("GET", &target, None);
        assert_eq!(heard.body, direct.body, "{target}");
    }
    assert_eq!(house.get("/subjects").await.body, r#"["a"]"#);
    assert_eq!(house.get("/subjects/a/versions").await.body, "[1]");
    assert_eq!(house.get("/schemas/ids/1/versions").await.body, r#"[{"subject":"a","version":1}]"#);
    assert_eq!(house.ask("POST", "/subjects/a", &registration("1")).await.json()["version"], 1);
}

/// C3: an acknowledged write survives a restart without the primary.
#[tokio::test]
async fn an_acknowledged_write_is_there_after_a_restart_without_the_primary() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::kept_in(folder.path()).await;
    assert_eq!(house.register("a", "1").await.status, 200);
    assert_eq!(house.register("a", "2").await.status, 200);
    assert_eq!(house.ask("DELETE", "/subjects/a/versions/1", "").await.body, "1");
    let put = house.ask("PUT", "/config/a", r#"{"compatibility":"FULL"}"#).await;
    assert_eq!(put.status, 200, "{}", put.body);
    let mut before = Vec::new();
    let reads = [
        "/subjects/a/versions",
        "/subjects/a/versions/latest",
        "/schemas/ids/1",
        "/config/a",
        "/subjects/a/versions?deleted=true",
    ];
    for target in reads {
        let heard = house.get(target).await;
        assert_eq!(heard.status, 200, "{target}: {}", heard.body);
        before.push(heard.body);
    }
    house.primary.stop().await;
    house.restart().await;
    house.until(reads[0], |heard| heard.header("Age").is_some()).await;
    for (target, body) in reads.iter().zip(before) {
        let heard = house.get(target).await;
        assert_eq!((heard.status, &heard.body), (200, &body), "{target}");
    }
}

/// C4b: while the primary can be asked, nothing is absent that it has.
#[tokio::test]
async fn what_was_written_elsewhere_is_never_called_absent() {
    let house = House::open().await;
    assert_eq!(house.get("/schemas/ids/1").await.status, 404);
    house.primary.ask("POST", "/subjects/a/versions", Some(&registration("1")));
    // A remembered "not found" may live for a second.
    let found = house.until("/schemas/ids/1", |heard| heard.status == 200).await;
    assert_eq!(found.json()["subject"], "a");
    assert_eq!(house.get("/subjects/a/versions").await.body, "[1]");
    assert_eq!(house.get("/subjects").await.body, r#"["a"]"#, "what one read showed, every later one shows");
}

/// C7: a deletion shows at once, and nothing brings back what was deleted.
#[tokio::test]
async fn a_deletion_shows_at_once_and_nothing_brings_it_back() {
    let house = House::open().await;
    house.register("a", "1").await;
    house.register("a", "2").await;
    house.imported().await;
    assert_eq!(house.ask("DELETE", "/subjects/a/versions/2", "").await.body, "2");
    assert_eq!(house.get("/subjects/a/versions").await.body, "[1]");
    assert_eq!(house.get("/subjects/a/versions/latest").await.json()["version"], 1);
    assert_eq!(house.get("/subjects/a/versions?deleted=true").await.body, "[1,2]");
    let deleted = house.get("/subjects/a/versions/2?deleted=true").await;
    assert_eq!(deleted.body, house.primary.ask("GET", "/subjects/a/versions/2?deleted=true", None).body);
    assert_eq!(house.ask("DELETE", "/subjects/a", "").await.body, "[1]");
    assert_eq!(house.get("/subjects/a/versions").await.status, 404);
    assert_eq!(house.ask("DELETE", "/subjects/a?permanent=true", "").await.body, "[1,2]");
    assert_eq!(house.get("/schemas/ids/1").await.status, 404);
    assert_eq!(house.get("/subjects?deleted=true").await.body, "[]");
    house.imported().await;
    assert_eq!(house.get("/subjects?deleted=true").await.body, "[]");
}

/// What Cloud leaves out for clients that did not ask for more is left out whoever answers.
#[tokio::test]
async fn a_client_of_cloud_is_shown_the_same_by_the_primary_and_by_the_replica() {
    let house = House::with(SmallRegistry::builder().profile(Profile::Cloud), |_| {}).await;
    house.register("first", "0").await;
    house.imported().await;
    let registered = house.register("a", "1").await;
    assert_eq!(registered.body, r#"{"id":2}"#);
    house.primary.ask("POST", "/subjects/elsewhere/versions", Some(&registration("2")));
    for target in ["/subjects/elsewhere/versions/1", "/schemas/ids/3", "/subjects/a/versions/latest"] {
        let direct = house.primary.ask("GET", target, None).body;
        assert!(!direct.contains("guid"), "{direct}");
        assert_eq!(house.get(target).await.body, direct, "{target} at first");
        assert_eq!(house.get(target).await.body, direct, "{target} again");
        let more = [("Confluent-Accept-Unknown-Properties", "true")];
        let whole = send(house.address(), "GET", target, &more, None).await;
        assert!(whole.body.contains("guid"), "{target}: {}", whole.body);
    }
}

/// C1: a refusal of the primary changes nothing here, and is heard in its own bytes.
#[tokio::test]
async fn a_refused_write_is_heard_in_the_primarys_own_words() {
    let house = House::open().await;
    house.register("a", "1").await;
    let digest = house.status().await["digest"].clone();
    let bad = house.ask("POST", "/subjects/a/versions", r#"{"schema":"{"}"#).await;
    let direct = house.primary.ask("POST", "/subjects/a/versions", Some(r#"{"schema":"{"}"#));
    assert_eq!((bad.status, bad.body), (direct.status, direct.body));
    assert_eq!(house.status().await["digest"], digest);
}

/// What the answer to the delete proves is not enough while the subject is in doubt: the rest is read again.
#[tokio::test]
async fn a_subject_deleted_for_good_loses_its_configuration_whatever_is_in_doubt() {
    let house = House::open().await;
    assert_eq!(house.register("a", "1").await.status, 200);
    assert_eq!(house.ask("PUT", "/config/a", r#"{"compatibility":"FULL"}"#).await.status, 200);
    assert_eq!(house.get("/config/a").await.status, 200);
    let fails = Fault::Status { status: 500, headers: Vec::new(), body: String::new() };
    house.primary.fault_where(|seen| seen.method == "GET" && !seen.path().starts_with("/config"), None, fails);
    assert_eq!(house.ask("DELETE", "/subjects/a", "").await.status, 200);
    assert_eq!(house.ask("DELETE", "/subjects/a?permanent=true", "").await.status, 200);
    let config = house.get("/config/a").await;
    assert_eq!((config.status, config.code()), (404, 40408), "{}", config.body);
}
