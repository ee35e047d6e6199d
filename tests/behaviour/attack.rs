//! What an attacker found, each once more as a sentence.

use std::time::Duration;

use small_registry::{Fault, Profile, SmallRegistry};

use crate::house::House;

#[tokio::test]
async fn a_write_that_nobody_acknowledged_takes_no_read_away_in_an_outage() {
    let house = House::with(SmallRegistry::builder(), |config| config.limits.write = Duration::from_millis(600)).await;
    house.register("a", "1").await;
    house.register("b", "2").await;
    house.imported().await;
    house.primary.fault(Fault::BlackHole);
    assert_eq!(house.register("a", "3").await.code(), 50002);
    assert_eq!(house.ask("DELETE", "/subjects/a", "").await.code(), 50002);
    assert_eq!(house.ask("POST", "/no/such/route", "{}").await.code(), 50002);
    house.primary.stop().await;
    for target in ["/subjects/a/versions", "/schemas/ids/1", "/schemas/ids/2", "/subjects", "/contexts", "/config"] {
        let heard = house.get(target).await;
        assert_eq!(heard.status, 200, "{target}: {}", heard.body);
    }
}

#[tokio::test]
async fn a_doubt_about_one_subject_leaves_the_ids_of_others_readable_in_an_outage() {
    let house = House::with(SmallRegistry::builder().profile(Profile::Confluent7), |_| {}).await;
    house.register("a", "1").await;
    house.register("b", "2").await;
    house.imported().await;
    // The answer says the id alone, and nothing can be read again after it.
    house.primary.fault_where(|seen| seen.method == "GET", None, Fault::CutBeforeAct);
    assert_eq!(house.register("a", "3").await.status, 200);
    house.primary.stop().await;
    assert_eq!(house.get("/subjects/a/versions").await.code(), 50003);
    let heard = house.get("/schemas/ids/2").await;
    assert_eq!(heard.status, 200, "{}", heard.body);
}

#[tokio::test]
async fn asking_with_head_does_not_empty_a_configuration() {
    let house = House::open().await;
    house.primary.ask("PUT", "/config/new", Some(r#"{"compatibility":"FULL"}"#));
    assert_eq!(house.ask("HEAD", "/config/new", "").await.status, 200);
    let heard = house.get("/config/new").await;
    assert_eq!((heard.status, heard.body.as_str()), (200, r#"{"compatibilityLevel":"FULL"}"#));
}

#[tokio::test]
async fn a_page_of_a_balancer_is_not_kept_as_a_configuration() {
    let house = House::open().await;
    let page = Fault::Status { status: 200, headers: Vec::new(), body: "<html>log in</html>".into() };
    house.primary.fault_times(1, page);
    house.get("/config/new").await;
    house.until("/config/new", |heard| heard.body.contains("40408")).await;
}

#[tokio::test]
async fn a_page_that_says_not_found_takes_neither_contexts_nor_associations_away() {
    let house = House::open().await;
    let association = r#"{"resourceName":"t","resourceNamespace":"n","resourceId":"r","resourceType":"topic",
        "associations":[{"subject":":.n:t-value","associationType":"value","lifecycle":"STRONG","schema":{"schema":"\"string\""}}]}"#;
    let made = house.ask("POST", "/associations", association).await;
    assert_eq!(made.status, 200, "{}", made.body);
    house.register(":.c:a", "1").await;
    house.imported().await;
    let target = "/associations/resources/n/t?resourceType=topic&associationType=value";
    let before = (house.get(target).await.body, house.get("/contexts").await.body);
    let page = Fault::Status { status: 404, headers: Vec::new(), body: "<html>not here</html>".to_owned() };
    let is_list = |seen: &small_registry::Seen| seen.path() == "/contexts" || seen.path().starts_with("/associations");
    house.primary.fault_where(is_list, None, page);
    house.imported().await;
    house.primary.stop().await;
    assert_eq!((house.get(target).await.body, house.get("/contexts").await.body), before);
}

#[tokio::test]
async fn the_primary_is_asked_for_answers_without_a_coding() {
    let house = House::open().await;
    house.primary.forget_requests();
    house.register("a", "1").await;
    house.get("/subjects/b/versions").await;
    for seen in house.primary.requests() {
        assert_eq!(seen.header("accept-encoding"), Some("identity"), "{}", seen.target);
    }
}

fn status(status: u16, body: &str) -> Fault {
    let headers = vec![("Content-Type".to_owned(), "application/vnd.schemaregistry.v1+json".to_owned())];
    Fault::Status { status, headers, body: body.to_owned() }
}

#[tokio::test]
async fn a_page_that_says_not_found_is_no_absence() {
    let house = House::open().await;
    let pages = [(404, "<html>no backend</html>"), (404, ""), (200, "<html>log in</html>")];
    for (n, (code, body)) in pages.into_iter().enumerate() {
        for target in ["/subjects/x/versions", "/subjects/x/versions/latest", "/schemas/ids/9", "/config/x"] {
            // A name of its own each time: what the primary did not have is remembered for a moment.
            let target = &target.replace('x', &format!("x{n}")).replace('9', &format!("9{n}"));
            house.primary.fault_times(1, status(code, body));
            let heard = house.get(target).await;
            assert_eq!((heard.status, heard.code()), (500, 50003), "{target} {code} {body}");
            assert_eq!(house.until(target, |heard| heard.status != 500).await.status, 404);
        }
    }
}

#[tokio::test]
async fn a_registration_is_not_acknowledged_without_an_id() {
    let house = House::open().await;
    for fault in [status(204, ""), status(200, ""), status(200, r#"{"id":"7"}"#), status(200, "null")] {
        let is_register = |seen: &small_registry::Seen| seen.path() == "/subjects/a/versions" && seen.method == "POST";
        house.primary.fault_where(is_register, Some(1), fault.clone());
        let heard = house.register("a", "1").await;
        assert_eq!((heard.status, heard.code()), (500, 50002), "{fault:?}");
    }
}

#[tokio::test]
async fn a_registration_is_resolved_while_misses_are_held_back() {
    let house = House::open().await;
    house.primary.fault_times(1, Fault::too_many_requests(30));
    assert_eq!(house.get("/subjects/x/versions").await.status, 429);
    house.primary.fault_times(1, Fault::CutAfterAct);
    let heard = house.register("a", "1").await;
    assert_eq!(heard.status, 200, "{}", heard.body);
}

#[tokio::test]
async fn a_failure_of_the_primary_without_a_body_gets_the_registrys_shape() {
    let house = House::open().await;
    house.primary.fault_times(1, status(503, ""));
    let heard = house.register("a", "1").await;
    assert_eq!((heard.status, heard.code()), (503, 503));
}

#[tokio::test]
async fn other_content_under_a_known_id_raises_an_alarm() {
    let house = House::open().await;
    house.register("a", "1").await;
    house.imported().await;
    let other = r#"[{"subject":"a","version":1,"id":1,"schemaType":"AVRO","schema":"\"int\"","deleted":false}]"#;
    house.primary.fault_where(|seen| seen.path() == "/schemas", None, status(200, other));
    house.imported().await;
    assert!(house.status().await["alarm"].is_string());
    assert!(house.get("/schemas/ids/1").await.body.contains("record"), "the content of an id changed");
    house.primary.clear_faults();
    house.imported().await;
    assert!(house.status().await["alarm"].is_null());
}

#[tokio::test]
async fn an_outpost_that_has_read_nothing_yet_lists_nothing_as_absent() {
    let mut house = House::with(SmallRegistry::builder().credentials("key", "secret"), |_| {}).await;
    for target in ["/subjects", "/schemas", "/schemas/ids/1/subjects", "/subjects?subjectPrefix=:.c:"] {
        let heard = house.get(target).await;
        assert_eq!((heard.status, heard.code()), (500, 50003), "{target}: {}", heard.body);
    }
    house.restart().await;
    house.primary.stop().await;
    assert_eq!(house.get("/subjects").await.code(), 50003);
}

#[tokio::test]
async fn much_news_in_a_relayed_list_is_read_at_once_and_not_at_the_next_pass() {
    let house = House::open().await;
    for n in 0..20 {
        let body = crate::house::registration(&n.to_string());
        house.primary.ask("POST", &format!("/subjects/s{n}/versions"), Some(&body));
    }
    assert_eq!(house.get("/subjects?strange=1").await.status, 200);
    let patience = tokio::time::Instant::now() + Duration::from_secs(20);
    while house.status().await["replica"]["unsure"] != serde_json::json!([]) {
        assert!(tokio::time::Instant::now() < patience, "it stays in doubt: {}", house.status().await);
    }
    house.primary.stop().await;
    assert_eq!(house.get("/subjects/s19/versions").await.status, 200);
}
