//! Forwarded writes and what can befall them (FAULTS.md, W and C).

use std::time::Duration;

use small_registry::{Fault, SmallRegistry};

use crate::house::{House, registration, send};

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_resolved_and_never_sent_twice() {
    let house = House::open().await;
    let is_register = |seen: &small_registry::Seen| seen.path().ends_with("/versions") && seen.method == "POST";
    house.primary.fault_where(is_register, Some(1), Fault::CutAfterAct);
    let answer = house.register("a", "1").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json()["id"], 1);
    assert_eq!(house.primary.count(is_register), 1);
    assert_eq!(house.get("/subjects/a/versions").await.body, "[1]");
}

#[tokio::test]
async fn a_write_that_nobody_answers_is_unknown_and_not_failed() {
    let house = House::with(SmallRegistry::builder(), |config| config.limits.write = Duration::from_millis(600)).await;
    let is_delete = |seen: &small_registry::Seen| seen.method == "DELETE";
    house.register("a", "1").await;
    house.primary.fault_where(is_delete, None, Fault::BlackHole);
    let answer = house.ask("DELETE", "/subjects/a", "").await;
    assert_eq!((answer.status, answer.code()), (500, 50002), "{}", answer.body);
    assert_eq!(house.primary.count(is_delete), 1);
}

#[tokio::test]
async fn the_clients_credentials_stop_here_and_ours_go_on() {
    let registry = SmallRegistry::builder().credentials("key", "secret");
    let house = House::with(registry, |config| {
        let basic = schema_outpost::upstream::Basic {
            username: "key".to_owned(),
            password: Some(schema_outpost::secret::Secret::new("secret")),
            password_file: None,
        };
        config.primary.credentials = Some(schema_outpost::upstream::Credentials::Basic(basic));
        config.primary.allow_plain_http = true;
    })
    .await;
    house.primary.forget_requests();
    let headers = [
        ("Authorization", "Basic bWU6bWU="),
        ("Cookie", "a=b"),
        ("Proxy-Authorization", "Basic bWU6bWU="),
        ("Connection", "via, x-forwarded-for"),
        ("X-Forwarded-For", "203.0.113.9"),
        ("X-Request-ID", "mine"),
        ("X-Anything", "1"),
        ("Confluent-Client-Version", "test/1"),
        ("Content-Type", "application/json"),
    ];
    let answer = send(house.address(), "POST", "/subjects/a/versions", &headers, Some(&registration("1"))).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("X-Request-ID"), Some("mine"));
    let seen = house.primary.requests().into_iter().find(|seen| seen.method == "POST").expect("forwarded");
    assert_eq!(seen.header("authorization"), Some("Basic a2V5OnNlY3JldA=="));
    assert_eq!(seen.header("x-request-id"), Some("mine"));
    assert_eq!(seen.header("confluent-client-version"), Some("test/1"));
    assert_eq!(seen.header("confluent-accept-unknown-properties"), Some("true"));
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert!(seen.header("via").is_some_and(|via| via.contains("outpost-")));
    assert!(seen.header("forwarded").is_some());
    for dropped in ["cookie", "proxy-authorization", "x-anything"] {
        assert_eq!(seen.header(dropped), None, "{dropped}");
    }
}

#[tokio::test]
async fn bodies_reach_the_primary_byte_for_byte() {
    let house = House::open().await;
    let body =
        "{ \"schema\" :\t\"\\\"string\\\"\" ,\"x\":123456789012345678901234567890, \"y\":1e2,\"z\":\"\\/\\u0000\" }\n";
    house.ask("POST", "/subjects/a%2Fb/versions?normalize=false", body).await;
    let seen = house.primary.requests().into_iter().rfind(|seen| seen.method == "POST").expect("forwarded");
    assert_eq!(seen.body, body.as_bytes());
    assert_eq!(seen.target, "/subjects/a%2Fb/versions?normalize=false");
}

#[tokio::test]
async fn a_page_of_a_balancer_becomes_the_registrys_shape_with_its_status() {
    let house = House::open().await;
    house.primary.fault_times(1, Fault::bad_gateway_page());
    let answer = house.register("a", "1").await;
    assert_eq!(answer.status, 502);
    assert_eq!(answer.code(), 502);
    house.primary.fault_times(1, Fault::too_many_requests(3));
    let answer = house.register("a", "1").await;
    assert_eq!((answer.status, answer.header("Retry-After")), (429, Some("3")));
}

#[tokio::test]
async fn redirects_and_refused_credentials_are_failures_of_ours() {
    let house = House::open().await;
    house.primary.fault_times(1, Fault::redirect("http://127.0.0.1:9/"));
    let answer = house.register("a", "1").await;
    assert_eq!((answer.status, answer.code()), (500, 50003), "{}", answer.body);
    house.primary.fault_times(1, Fault::Unauthorized);
    let answer = house.register("a", "1").await;
    assert_eq!((answer.status, answer.code()), (500, 50003), "{}", answer.body);
    assert_eq!(answer.header("WWW-Authenticate"), None);
}

#[tokio::test]
async fn two_hundred_clients_registering_the_same_get_one_version() {
    let house = House::open().await;
    let address = house.address();
    let body = registration("same");
    let asks = (0..200).map(|_| {
        let body = body.clone();
        async move {
            send(address, "POST", "/subjects/a/versions", &[("Content-Type", "application/json")], Some(&body)).await
        }
    });
    for answer in futures_util::future::join_all(asks).await {
        assert_eq!((answer.status, answer.json()["id"].as_i64()), (200, Some(1)), "{}", answer.body);
    }
    assert_eq!(house.get("/subjects/a/versions").await.body, "[1]");
}

#[tokio::test]
async fn modes_and_exporters_are_not_forwarded() {
    let house = House::open().await;
    house.primary.forget_requests();
    let put = house.ask("PUT", "/mode/b", r#"{"mode":"READONLY"}"#).await;
    assert_eq!(put.body, r#"{"mode":"READONLY"}"#);
    let put = house.ask("PUT", "/mode/a?force=true", r#"{"mode":"IMPORT"}"#).await;
    assert_eq!((put.status, put.code()), (422, 42205));
    assert_eq!(house.get("/mode").await.body, r#"{"mode":"FORWARD"}"#);
    assert_eq!(house.get("/mode/a").await.code(), 40409);
    assert_eq!(house.get("/mode/a?defaultToGlobal=true").await.body, r#"{"mode":"FORWARD"}"#);
    assert_eq!(house.ask("POST", "/exporters", "{}").await.status, 404);
    assert_eq!(house.primary.requests().len(), 0);
}

#[tokio::test]
async fn a_request_that_has_been_here_before_is_a_loop() {
    let house = House::open().await;
    house.register("a", "1").await;
    let via = house.primary.requests().into_iter().rfind(|seen| seen.method == "POST").expect("forwarded");
    let via = via.header("via").expect("a Via").to_owned();
    let answer = send(house.address(), "GET", "/subjects", &[("Via", &via)], None).await;
    assert_eq!((answer.status, answer.code()), (508, 508));
}
