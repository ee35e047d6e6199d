//! What reads show around writes, made here or elsewhere (FAULTS.md, R).

use std::time::Duration;

use futures_util::future::join_all;
use small_registry::Fault;

use crate::house::{House, registration, send};

/// R-02.
#[tokio::test]
async fn what_was_not_found_is_found_as_soon_as_it_is_registered() {
    let house = House::open().await;
    let missing = [
        "/subjects/a/versions",
        "/subjects/a/versions/1",
        "/subjects/a/versions/latest",
        "/subjects/a/versions/latest/schema",
        "/schemas/ids/1",
        "/schemas/ids/1/schema",
        "/schemas/ids/1/versions",
        "/schemas/ids/1/subjects",
    ];
    for target in missing {
        let direct = house.primary.ask("GET", target, None);
        let heard = house.get(target).await;
        assert_eq!((heard.status, heard.body), (direct.status, direct.body), "{target}");
        assert_ne!(direct.status, 200, "{target}");
    }
    assert_eq!(house.ask("POST", "/subjects/a", &registration("1")).await.status, 404);
    assert_eq!(house.register("a", "1").await.status, 200);
    assert_eq!(house.ask("POST", "/subjects/a", &registration("1")).await.status, 200);
    for target in missing {
        let heard = house.get(target).await;
        let direct = house.primary.ask("GET", target, None);
        assert_eq!((heard.status, heard.body), (200, direct.body), "{target}");
    }
}

/// R-03.
#[tokio::test]
async fn a_slow_read_that_began_before_a_registration_does_not_show_its_state_afterwards() {
    let house = House::open().await;
    let address = house.address();
    for (round, delay) in [0, 1, 3, 10, 30, 60, 100, 200, 400].into_iter().enumerate() {
        for slow in [Fault::SlowAnswer(Duration::from_millis(delay)), Fault::Delay(Duration::from_millis(delay))] {
            let subject = format!("s{round}-{}", matches!(slow, Fault::Delay(_)));
            house.primary.ask("POST", &format!("/subjects/{subject}/versions"), Some(&registration("old")));
            let target = format!("/subjects/{subject}/versions/latest");
            let path = target.clone();
            house.primary.forget_requests();
            house.primary.fault_where(move |seen| seen.path() == path, Some(1), slow);
            let early = {
                let target = target.clone();
                tokio::spawn(async move { send(address, "GET", &target, &[], None).await })
            };
            house.primary.wait_for(1, |seen| seen.path() == target).await;
            let answer = house.register(&subject, "new").await;
            assert_eq!((answer.status, answer.json()["version"].as_i64()), (200, Some(2)), "{}", answer.body);
            for _ in 0..5 {
                assert_eq!(house.get(&target).await.json()["version"], 2, "{delay} ms");
            }
            assert_eq!(early.await.expect("no panic").status, 200);
            assert_eq!(house.get(&target).await.json()["version"], 2, "{delay} ms");
            assert_eq!(house.get(&format!("/subjects/{subject}/versions")).await.body, "[1,2]");
        }
    }
}

/// R-05.
#[tokio::test]
async fn after_a_soft_delete_every_read_is_the_primarys() {
    let house = House::open().await;
    house.register("base", "1").await;
    house.register("base", "2").await;
    let referring = serde_json::json!({
        "schema": r#"{"type":"record","name":"User","fields":[{"name":"r","type":"R"}]}"#,
        "references": [{ "name": "R", "subject": "base", "version": 2 }],
    });
    let answer = house.ask("POST", "/subjects/user/versions", &referring.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(house.ask("DELETE", "/subjects/user", "").await.body, "[1]");
    assert_eq!(house.ask("DELETE", "/subjects/base/versions/1", "").await.body, "1");
    for target in [
        "/subjects",
        "/subjects?deleted=true",
        "/subjects?deletedOnly=true",
        "/subjects/base/versions",
        "/subjects/base/versions?deleted=true",
        "/subjects/base/versions?deletedOnly=true",
        "/subjects/base/versions/1",
        "/subjects/base/versions/1?deleted=true",
        "/subjects/base/versions/latest",
        "/subjects/base/versions/2/referencedby",
        "/subjects/base/versions/1/referencedby",
        "/subjects/user/versions",
        "/subjects/user/versions/latest",
        "/subjects/user/versions/latest?deleted=true",
        "/schemas/ids/1",
        "/schemas/ids/3",
        "/schemas/ids/1/subjects",
        "/schemas/ids/1/subjects?deleted=true",
        "/schemas/ids/1/versions",
        "/schemas/ids/1/versions?deleted=true",
        "/schemas",
        "/schemas?deleted=true",
    ] {
        let direct = house.primary.ask("GET", target, None);
        let heard = house.get(target).await;
        assert_eq!((heard.status, heard.body), (direct.status, direct.body), "{target}");
    }
    for target in ["/subjects/base", "/subjects/base?deleted=true"] {
        let direct = house.primary.ask("POST", target, Some(&registration("1")));
        let heard = house.ask("POST", target, &registration("1")).await;
        assert_eq!((heard.status, heard.body), (direct.status, direct.body), "{target}");
    }
}

/// R-07.
#[tokio::test]
async fn many_who_ask_at_once_for_what_was_registered_elsewhere_cost_the_primary_one_read() {
    let house = House::open().await;
    house.primary.ask("POST", "/subjects/a/versions", Some(&registration("1")));
    house.primary.forget_requests();
    // Slow enough that all of them wait for the same answer.
    house.primary.fault_where(
        |seen| seen.path() == "/schemas/ids/1",
        Some(1),
        Fault::Delay(Duration::from_millis(300)),
    );
    let address = house.address();
    let answers = join_all((0..200).map(|_| send(address, "GET", "/schemas/ids/1", &[], None))).await;
    let direct = house.primary.ask("GET", "/schemas/ids/1", None);
    for answer in answers {
        assert_eq!((answer.status, &answer.body), (200, &direct.body));
    }
    assert_eq!(house.primary.count(|seen| seen.path() == "/schemas/ids/1"), 1);
    assert!(house.primary.requests().len() < 10, "{:?}", house.primary.requests());
    house.primary.forget_requests();
    assert_eq!(house.get("/schemas/ids/1").await.status, 200);
    assert_eq!(house.primary.requests().len(), 0, "it is held now");
}

/// What the primary may heed in a request is heeded for each client, however many ask at the same time.
#[tokio::test]
async fn those_who_tell_the_primary_something_else_do_not_share_a_call() {
    let house = House::open().await;
    house.primary.ask("POST", "/subjects/a/versions", Some(&registration("1")));
    house.primary.forget_requests();
    house.primary.fault_where(
        |seen| seen.path() == "/schemas/ids/1",
        Some(2),
        Fault::Delay(Duration::from_millis(300)),
    );
    let address = house.address();
    let tell = |cluster: &'static str| async move {
        send(address, "GET", "/schemas/ids/1", &[("Confluent-Cluster", cluster)], None).await
    };
    let answers = join_all(["one", "one", "other", "other"].map(tell)).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    let mut told: Vec<String> = (house.primary.requests().iter())
        .filter(|seen| seen.path() == "/schemas/ids/1")
        .map(|seen| seen.header("confluent-cluster").unwrap_or_default().to_owned())
        .collect();
    told.sort();
    assert_eq!(told, ["one", "other"]);
}

/// R-08, R-11.
#[tokio::test]
async fn an_outage_and_a_restart_cost_no_read_of_what_is_held() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::kept_in(folder.path()).await;
    for number in 0..10 {
        assert_eq!(house.register(&format!("s{}", number % 3), &number.to_string()).await.status, 200);
    }
    house.imported().await;
    let mut targets: Vec<String> = (1..=10).map(|id| format!("/schemas/ids/{id}")).collect();
    for subject in ["s0", "s1", "s2"] {
        targets.extend(
            ["versions", "versions/latest", "versions/1", "versions/2/schema"]
                .map(|rest| format!("/subjects/{subject}/{rest}")),
        );
        targets.push(format!("/config/{subject}?defaultToGlobal=true"));
    }
    targets.extend(["/subjects", "/schemas", "/contexts", "/config", "/schemas/types", "/mode"].map(str::to_owned));
    let mut bodies = Vec::new();
    for target in &targets {
        let heard = house.get(target).await;
        assert_eq!(heard.status, 200, "{target}: {}", heard.body);
        bodies.push(heard.body);
    }
    house.primary.ask("POST", "/subjects/elsewhere/versions", Some(&registration("x")));
    house.primary.stop().await;
    for round in 0..4 {
        for (target, body) in targets.iter().zip(&bodies) {
            let heard = house.get(target).await;
            assert_eq!((heard.status, &heard.body), (200, body), "{target} in round {round}");
        }
        for target in ["/schemas/ids/11", "/subjects/elsewhere/versions", "/subjects/elsewhere/versions/latest"] {
            let heard = house.get(target).await;
            assert_eq!((heard.status, heard.code()), (500, 50003), "{target} is not absent: {}", heard.body);
            assert!(heard.header("Retry-After").is_some());
        }
        if round % 2 == 1 {
            house.restart().await;
        }
    }
}

/// R-14.
#[tokio::test]
async fn the_same_subject_and_id_in_two_contexts_are_never_mixed_up() {
    let house = House::open().await;
    for (subject, doc) in [("a", "plain"), (":.one:a", "one"), (":.two:a", "two")] {
        let answer = house.register(subject, doc).await;
        assert_eq!(answer.json()["id"], 1, "{}", answer.body);
    }
    let address = house.address();
    let spellings = [
        ("plain", vec!["/schemas/ids/1", "/subjects/a/versions/1", "/contexts/:.:/subjects/a/versions/latest"]),
        (
            "one",
            vec![
                "/schemas/ids/1?subject=:.one:a",
                "/contexts/.one/schemas/ids/1",
                "/contexts/:.one:/subjects/a/versions/latest",
                "/subjects/:.one:a/versions/1",
                "/subjects/%3A.one%3Aa/versions/1",
            ],
        ),
        (
            "two",
            vec![
                "/schemas/ids/1?subject=:.two:",
                "/contexts/.two/subjects/a/versions/1",
                "/subjects/:.two:a/versions/1",
            ],
        ),
    ];
    let asks = (0..60).flat_map(|_| &spellings).flat_map(|(doc, targets)| {
        targets.iter().map(move |target| async move { (doc, target, send(address, "GET", target, &[], None).await) })
    });
    for (doc, target, heard) in join_all(asks).await {
        let schema = heard.json()["schema"].as_str().unwrap_or_default().to_owned();
        assert!(schema.contains(&format!("\"doc\":\"{doc}\"")), "{target}: {heard:?}");
    }
}

/// C2: what a read finds while it waits is judged anew, and is not kept for those who come after a write.
#[tokio::test]
async fn a_read_that_waited_through_a_write_leaves_no_older_answer_behind() {
    let house = House::open().await;
    house.register("a", "1").await;
    let address = house.address();
    // The read settles a doubt with the first answer; what the write wants to read again is refused.
    house.primary.forget_requests();
    house.primary.fault_where(|seen| seen.method == "GET", Some(1), Fault::SlowAnswer(Duration::from_millis(300)));
    house.primary.fault_where(|seen| seen.method == "GET", None, Fault::error(503, 50301, "not now"));
    let early = tokio::spawn(async move { send(address, "GET", "/subjects/a/versions", &[], None).await });
    house.primary.wait_for(1, |seen| seen.method == "GET").await;
    assert_eq!(house.register("a", "2").await.status, 200);
    early.await.expect("no panic");
    house.primary.clear_faults();
    assert_eq!(house.get("/subjects/a/versions").await.body, "[1,2]");
}

/// C5: what the primary showed while the replica was in doubt is not forgotten when it goes away.
#[tokio::test]
async fn what_was_seen_past_the_replica_is_not_older_in_an_outage() {
    let house = House::open().await;
    house.register("a", "1").await;
    house.imported().await;
    // What such a write changes nobody knows, and nothing can be read again to find out.
    let is_strange = |seen: &small_registry::Seen| seen.method == "PUT";
    house.primary.fault_where(is_strange, Some(1), Fault::CutAfterAct);
    let is_a_list = |seen: &small_registry::Seen| matches!(seen.path(), "/schemas" | "/contexts" | "/subjects");
    house.primary.fault_where(is_a_list, None, Fault::error(503, 50301, "not now"));
    assert_eq!(house.ask("PUT", "/something/strange", "{}").await.code(), 50002);
    house.primary.ask("DELETE", "/subjects/a", None);
    // A connection that broke passes for an outage until the next call is answered.
    house.until("/subjects/a/versions", |heard| heard.status == 404).await;
    house.primary.stop().await;
    assert_eq!(house.register("b", "2").await.code(), 50003);
    let heard = house.get("/subjects/a/versions").await;
    assert_eq!((heard.status, heard.code()), (500, 50003), "{}", heard.body);
    assert_eq!(house.get("/schemas/ids/1").await.status, 200, "an id stands for the same for ever");
}

/// WIRE.md § 1.7. Where two names share a bucket their order is that of their coming, which no list tells once a
/// soft delete has rewritten a time; the registry itself has another order after its log was compacted and read again.
#[tokio::test]
async fn a_holder_of_an_id_keeps_its_place_among_those_in_its_bucket_when_it_is_soft_deleted() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::kept_in(folder.path()).await;
    for subject in ["a", "A", "Q"] {
        assert_eq!(house.register(subject, "1").await.status, 200);
    }
    let targets = ["/schemas/ids/1/subjects?deleted=true", "/schemas/ids/1/versions?deleted=true", "/schemas/ids/1"];
    let assert_same = async |house: &House, when: &str| {
        for target in targets {
            let (heard, direct) = (house.get(target).await, house.primary.ask("GET", target, None));
            assert_eq!((heard.status, heard.body), (direct.status, direct.body), "{target} {when}");
        }
    };
    assert_same(&house, "at first").await;
    assert_eq!(house.ask("DELETE", "/subjects/a/versions/1", "").await.status, 200);
    assert_same(&house, "after a delete here").await;
    assert_eq!(house.primary.ask("DELETE", "/subjects/A/versions/1", None).status, 200);
    house.imported().await;
    assert_same(&house, "after a delete elsewhere").await;
    // Who reads everything for the first time then has the same holders, in the order of their times.
    house.restart().await;
    let named = |body: &str| {
        let mut names: Vec<String> = serde_json::from_str(body).expect("a list of names");
        names.sort();
        names
    };
    let direct = house.primary.ask("GET", targets[0], None).body;
    assert_eq!(named(&house.get(targets[0]).await.body), named(&direct));
}
