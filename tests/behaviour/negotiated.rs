//! Whoever makes an answer, it is negotiated and framed as the registry's own: each is held to what the registry says
//! to the same request when it is asked directly.

use std::time::Duration;

use small_registry::{Fault, Profile, Seen, SmallRegistry};

use crate::alike::{Answer, Varying, difference};
use crate::house::{House, send};

type Fields<'a> = &'a [(&'a str, &'a str)];

/// What of an answer is not the registry's, at first or once more.
async fn differs(house: &House, method: &str, target: &str, fields: Fields<'_>) -> Option<String> {
    let is_head = method == "HEAD";
    let theirs = Answer::heard(&send(house.primary.address(), method, target, fields, None).await, is_head);
    for _ in 0..2 {
        let ours = Answer::heard(&send(house.address(), method, target, fields, None).await, is_head);
        if let Some(found) = difference(&theirs, &ours, &Varying::default(), None) {
            return Some(format!("{method} {target} {fields:?}: {found}"));
        }
    }
    None
}

#[tokio::test]
async fn head_tells_the_length_of_a_refusal_whoever_refuses() {
    let house = House::open().await;
    assert_eq!(house.register("s", "1").await.status, 200);
    let json = ("Accept", "application/json");
    for (target, fields) in [
        ("/subjects/s", &[json][..]),
        ("/contexts/.c", &[]),
        ("/contexts/a:b/subjects", &[]),
        ("/schemas/ids/abc", &[json]),
        ("/subjects?offset=-1", &[json]),
        ("/subjects?limit=x", &[]),
        ("/subjects", &[("Accept", "text/plain")]),
        ("/subjects", &[json, ("Content-Type", "text/plain")]),
        ("/subjects/nosuch/versions", &[json]),
        ("/nosuch", &[]),
    ] {
        assert_eq!(differs(&house, "HEAD", target, fields).await, None);
    }
}

/// A parameter that nobody knows makes it the primary's to answer.
#[tokio::test]
async fn head_says_of_what_the_primary_answers_what_get_would_say() {
    for profile in [Profile::Confluent8, Profile::Cloud] {
        let house = House::with(SmallRegistry::builder().profile(profile), |_| {}).await;
        assert_eq!(house.register("s", "1").await.status, 200);
        assert_eq!(house.register("big", &"l".repeat(9000)).await.status, 200);
        house.imported().await;
        let more = [("Confluent-Accept-Unknown-Properties", "true")];
        for fields in [&[("Accept", "application/json")][..], &more] {
            for target in [
                "/schemas/ids/999/schema",
                "/schemas/ids/1?unknown=1",
                "/schemas?unknown=1&limit=1",
                "/subjects/s/versions/1?unknown=1",
                "/subjects/s/metadata?unknown=1",
                "/subjects/s/versions/7",
                "/subjects/big/versions/1?unknown=1",
            ] {
                assert_eq!(differs(&house, "HEAD", target, fields).await, None, "{profile:?}");
            }
        }
    }
}

#[tokio::test]
async fn head_tells_no_length_where_get_comes_in_chunks_under_other_names_too() {
    let house = House::with(SmallRegistry::builder(), |config| config.contexts = crate::contexts::site("site1")).await;
    assert_eq!(house.register("big", &"l".repeat(9000)).await.status, 200);
    let target = "/subjects/big/versions/1?unknown=1";
    let get = house.get(target).await;
    assert_eq!((get.status, get.header("Transfer-Encoding")), (200, Some("chunked")));
    let head = send(house.address(), "HEAD", target, &[], None).await;
    assert_eq!((head.status, head.header("Content-Length")), (200, Some("0")));
}

#[tokio::test]
async fn a_client_of_cloud_that_takes_gzip_is_shown_no_more_while_something_is_in_doubt() {
    let house = House::with(SmallRegistry::builder().profile(Profile::Cloud), |_| {}).await;
    assert_eq!(house.register("s", "1").await.status, 200);
    house.imported().await;
    // What was changed, nobody knows until all has been read again, and that takes long.
    let is_importers = |seen: &Seen| seen.method == "GET" && seen.path() != "/subjects/s/versions/1";
    house.primary.fault_where(is_importers, None, Fault::Delay(Duration::from_secs(5)));
    let granted = Fault::Status { status: 200, headers: Vec::new(), body: "{}".to_owned() };
    house.primary.fault_where(|seen| seen.path() == "/catalog", Some(1), granted);
    assert_eq!(house.ask("POST", "/catalog", "{}").await.status, 200);
    house.primary.forget_requests();
    let gzip = [("Accept-Encoding", "gzip")];
    assert_eq!(differs(&house, "GET", "/subjects/s/versions/1", &gzip).await, None);
    let asked = house.primary.count(|seen| seen.path() == "/subjects/s/versions/1" && seen.header("via").is_some());
    assert_eq!(asked, 2, "the primary alone was believed");
}

#[tokio::test]
async fn what_is_called_like_a_compressed_file_is_neither_compressed_nor_said_to_vary() {
    let house = House::open().await;
    assert_eq!(house.register("shop.com.br", "1").await.status, 200);
    house.ask("PUT", "/config/shop.com.br", r#"{"compatibility":"FULL_TRANSITIVE"}"#).await;
    house.imported().await;
    for target in [
        "/config/shop.com.br",
        "/config/shop.com.BR;a=b",
        "/config/shop.com.br?unknown=1",
        "/config/shop.com.br/",
        "/config/none.zip?defaultToGlobal=true",
        "/config/none.zip",
        "/subjects/shop.com.br",
        "/subjects/shop.com.br/versions/1",
        "/favicon.ico",
    ] {
        for fields in [&[("Accept-Encoding", "gzip")][..], &[("Accept", "text/plain")]] {
            assert_eq!(differs(&house, "GET", target, fields).await, None);
        }
    }
}

#[tokio::test]
async fn options_has_the_one_type_that_the_client_prefers() {
    let house = House::open().await;
    for accept in [
        "*/*",
        "application/json",
        "application/json; charset=UTF-8",
        "application/vnd.schemaregistry.v1+json, application/vnd.schemaregistry+json, application/json",
        "application/json;q=0.1, application/vnd.schemaregistry+json;q=0.5",
        "application/",
    ] {
        for target in ["/subjects", "/schemas/ids/1/", "/config/s", "/nosuch"] {
            assert_eq!(differs(&house, "OPTIONS", target, &[("Accept", accept)]).await, None);
        }
    }
    let default_of_java = [("Accept", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2")];
    let heard = send(house.address(), "OPTIONS", "/subjects", &default_of_java, None).await;
    assert_eq!((heard.header("Content-Type"), heard.body.as_str()), (Some("text/html"), ""));
}

#[tokio::test]
async fn a_route_that_the_primary_does_not_have_is_refused_alike_when_it_is_away() {
    let house = House::with(SmallRegistry::builder().profile(Profile::Poor), |_| {}).await;
    let ask = async |method: &str| {
        let heard = send(house.address(), method, "/contexts", &[("Accept", "application/json")], None).await;
        Answer::heard(&heard, method == "HEAD")
    };
    let before = [ask("GET").await, ask("HEAD").await];
    assert_eq!((before[0].status, before[0].header("Content-Type")), (404, None));
    house.primary.stop().await;
    for (method, before) in ["GET", "HEAD"].into_iter().zip(before) {
        assert_eq!(difference(&before, &ask(method).await, &Varying::default(), None), None, "{method}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_question_about_keys_the_primary_says_which_may_have_none() {
    for registry in [SmallRegistry::builder(), SmallRegistry::builder().dek_registry()] {
        let house = House::with(registry, |_| {}).await;
        for fields in [
            &[("Accept", "text/plain")][..],
            &[("Accept", "application/")],
            &[("Accept", "application/json"), ("Content-Type", "text/plain")],
            &[("Content-Type", "garbage")],
        ] {
            for target in ["/dek-registry/v1/keks", "/dek-registry/v1/keks/k", "/dek-registry/v1/keks/k/deks/s"] {
                assert_eq!(differs(&house, "GET", target, fields).await, None);
            }
        }
    }
}
