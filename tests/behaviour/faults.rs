//! What the primary may do to a write, and what clients may (FAULTS.md, W and C).

use std::time::Duration;

use small_registry::{Fault, Seen, SmallRegistry};
use tokio::time::Instant;

use crate::house::{House, raw, read, registration, send};

fn is_register(seen: &Seen) -> bool {
    seen.method == "POST" && seen.path().ends_with("/versions")
}

fn is_delete(seen: &Seen) -> bool {
    seen.method == "DELETE"
}

fn status(status: u16, media: &str, headers: &[(&str, &str)], body: &str) -> Fault {
    let mut all = vec![("Content-Type".to_owned(), media.to_owned())];
    all.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    Fault::Status { status, headers: all, body: body.to_owned() }
}

/// W-08.
#[tokio::test]
async fn a_429_is_passed_on_with_whatever_it_says_of_waiting_and_sent_once() {
    let house = House::open().await;
    house.primary.forget_requests();
    let shapes = ["3", "0", "-1", "1000000000", "soon", "Sun, 06 Nov 1994 08:49:37 GMT"];
    for (number, shape) in shapes.into_iter().enumerate() {
        let body = r#"{"error_code":429,"message":"slow down"}"#;
        house.primary.fault_times(1, status(429, "application/json", &[("Retry-After", shape)], body));
        let answer = house.register("a", "1").await;
        assert_eq!((answer.status, answer.header("Retry-After")), (429, Some(shape)));
        assert_eq!(answer.body, body);
        assert_eq!(house.primary.count(is_register), number + 1);
    }
    assert_eq!(house.register("a", "1").await.status, 200, "writes go on at once");
}

/// W-09.
#[tokio::test]
async fn failures_of_the_primary_keep_their_status_and_are_never_tried_again() {
    let house = House::open().await;
    for code in [500, 502, 503, 504] {
        house.primary.forget_requests();
        let said = format!("{{ \"error_code\" : {code}01,\n\t\"message\":\"primary \\u00e4\" }}");
        house.primary.fault_times(1, status(code, "application/vnd.schemaregistry.v1+json", &[], &said));
        let answer = house.register("a", "1").await;
        assert_eq!((answer.status, &answer.body), (code, &said));
        let page = "<html><body>10.1.2.3 internal-host</body></html>";
        house.primary.fault_times(1, status(code, "text/html; charset=utf-8", &[("Content-Language", "en")], page));
        let answer = house.register("a", "1").await;
        assert_eq!((answer.status, answer.code()), (code, i64::from(code)));
        assert!(!answer.body.contains("internal-host") && !answer.json()["message"].to_string().is_empty());
        assert_eq!(answer.header("Content-Type"), Some("application/vnd.schemaregistry.v1+json"));
        assert_eq!(house.primary.count(is_register), 2);
    }
    assert_eq!(house.get("/subjects").await.body, "[]");
}

/// W-11, C-11.
#[tokio::test]
async fn what_the_primary_refuses_is_passed_on_byte_for_byte_and_changes_nothing() {
    let house = House::open().await;
    house.register("a", "1").await;
    let digest = house.status().await["digest"].clone();
    for (code, error) in [(409, 40901), (409, 409), (422, 42201), (422, 42205), (403, 40301), (404, 40403)] {
        let said = format!("{{\"message\": \"no\\u2028\",   \"error_code\":{error},\"more\":[1e2]}}");
        house.primary.forget_requests();
        house.primary.fault_times(1, status(code, "application/vnd.schemaregistry.v1+json", &[], &said));
        let answer = house.register("a", "2").await;
        assert_eq!((answer.status, &answer.body), (code, &said));
        house.primary.fault_times(1, status(code, "application/json", &[], &said));
        let answer = house.ask("DELETE", "/subjects/a", "").await;
        assert_eq!((answer.status, &answer.body), (code, &said));
        assert_eq!(house.primary.count(|seen| is_register(seen) || is_delete(seen)), 2);
    }
    assert_eq!(house.status().await["digest"], digest);
    assert_eq!(house.get("/subjects/a/versions").await.body, "[1]");
}

/// W-13.
#[tokio::test]
async fn a_client_that_registers_again_and_again_gets_one_id_and_one_version() {
    let house = House::open().await;
    house.primary.fault_where(is_register, Some(1), Fault::CutAfterAct);
    for _ in 0..4 {
        let answer = house.register("a", "1").await;
        assert_eq!((answer.status, answer.json()["id"].as_i64()), (200, Some(1)), "{}", answer.body);
    }
    assert!(house.primary.count(is_register) <= 4);
    assert_eq!(house.primary.ask("GET", "/subjects/a/versions?deleted=true", None).body, "[1]");
}

/// W-14.
#[tokio::test]
async fn a_deletion_repeated_after_a_lost_answer_hears_what_the_primary_says_of_it() {
    for target in ["/subjects/a", "/subjects/a/versions/1"] {
        let house = House::open().await;
        house.register("a", "1").await;
        house.primary.forget_requests();
        house.primary.fault_where(is_delete, Some(1), Fault::CutAfterAct);
        let lost = house.ask("DELETE", target, "").await;
        assert_eq!((lost.status, lost.code()), (500, 50002), "{}", lost.body);
        let again = house.ask("DELETE", target, "").await;
        let direct = house.primary.ask("DELETE", target, None);
        assert_eq!((again.status, &again.body), (direct.status, &direct.body));
        assert_eq!(again.status, 404);
        assert_eq!(house.primary.count(is_delete), 2);
        assert_eq!(house.get("/subjects").await.body, "[]");
    }
}

/// The availability table: what is held is readable, whatever became of the last write.
#[tokio::test]
async fn a_write_of_unknown_outcome_takes_no_read_away_while_the_primary_is_gone() {
    let house = House::with(SmallRegistry::builder(), |config| config.limits.write = Duration::from_millis(400)).await;
    house.register("a", "1").await;
    house.register("b", "2").await;
    house.imported().await;
    let reads =
        ["/subjects", "/subjects/a/versions", "/subjects/a/versions/latest", "/schemas/ids/1", "/schemas/ids/2"];
    house.primary.fault(Fault::BlackHole);
    let unknown = house.ask("DELETE", "/subjects/a", "").await;
    assert_eq!((unknown.status, unknown.code()), (500, 50002), "{}", unknown.body);
    let unknown = house.register("b", "3").await;
    assert_eq!((unknown.status, unknown.code()), (500, 50002), "{}", unknown.body);
    house.primary.stop().await;
    house.primary.clear_faults();
    assert_eq!(house.register("c", "4").await.code(), 50003);
    for target in reads {
        let heard = house.get(target).await;
        assert_eq!(heard.status, 200, "{target}: {}", heard.body);
        assert!(heard.header("Age").is_some());
    }
    house.primary.restart().await.expect("the same port");
    while house.imported().await.status != 200 {}
    assert_eq!(house.get("/subjects/a/versions").await.body, "[1]");
}

/// C1: what may have been deleted is not said to be registered already.
#[tokio::test]
async fn a_registration_after_a_deletion_of_unknown_outcome_asks_the_primary() {
    let house = House::open().await;
    house.register("a", "1").await;
    house.imported().await;
    house.primary.fault_where(is_delete, Some(1), Fault::CutAfterAct);
    assert_eq!(house.ask("DELETE", "/subjects/a", "").await.code(), 50002);
    assert_eq!(house.register("a", "1").await.status, 200);
    assert_eq!(house.primary.ask("GET", "/subjects/a/versions", None).status, 200, "said, and not so");
}

/// C3: a registration found out to have taken effect is as durable as any.
#[tokio::test]
async fn a_registration_whose_answer_was_lost_survives_a_restart_without_the_primary() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::kept_in(folder.path()).await;
    house.primary.fault_where(is_register, Some(1), Fault::CutAfterAct);
    house.primary.fault_where(|seen| seen.method == "GET", None, Fault::error(500, 50001, "not now"));
    let answer = house.register("a", "1").await;
    assert_eq!((answer.status, answer.json()["id"].as_i64()), (200, Some(1)), "{}", answer.body);
    house.primary.stop().await;
    house.restart().await;
    assert_eq!(house.get("/subjects/a/versions").await.body, "[1]");
    assert_eq!(house.get("/schemas/ids/1").await.status, 200);
}

/// C2, C7: the order in which two answers come back is not the order in which the primary acted.
#[tokio::test]
async fn a_slow_answer_to_a_deletion_does_not_undo_what_was_registered_after_it() {
    let house = House::open().await;
    house.register("a", "1").await;
    house.ask("DELETE", "/subjects/a", "").await;
    house.imported().await;
    let address = house.address();
    // The primary deletes at once and answers late; in between it takes a registration.
    house.primary.fault_where(is_delete, Some(1), Fault::SlowAnswer(Duration::from_millis(400)));
    let target = "/subjects/a?permanent=true";
    let deletion = tokio::spawn(async move { send(address, "DELETE", target, &[], None).await });
    house.primary.wait_for(1, |seen| is_delete(seen) && seen.target.contains("permanent")).await;
    let registered = house.register("a", "2").await;
    assert_eq!(registered.status, 200, "{}", registered.body);
    let before = house.get("/subjects/a/versions").await;
    assert_eq!(deletion.await.expect("no panic").status, 200);
    let after = house.get("/subjects/a/versions").await;
    let truth = house.primary.ask("GET", "/subjects/a/versions", None);
    assert_eq!((before.body.as_str(), after.body.as_str()), (truth.body.as_str(), truth.body.as_str()));
}

/// W-17.
#[tokio::test]
async fn a_body_at_the_limit_passes_and_one_byte_more_never_reaches_the_primary() {
    let house = House::open().await;
    let limit = 1 << 20;
    for (size, fits) in [(limit, true), (limit + 1, false), (limit * 3, false)] {
        let frame = r#"{"schema":"\"string\"","x":""}"#;
        let body = frame.replace(r#""x":"""#, &format!(r#""x":"{}""#, "y".repeat(size - frame.len())));
        assert_eq!(body.len(), size);
        let chunks: String = body.as_bytes().chunks(9_999).fold(String::new(), |all, chunk| {
            format!("{all}{:x}\r\n{}\r\n", chunk.len(), String::from_utf8_lossy(chunk))
        });
        let head = "POST /subjects/a/versions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
        for request in [
            format!("{head}Content-Length: {size}\r\n\r\n{body}"),
            format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"),
        ] {
            house.primary.forget_requests();
            if fits {
                let request = request.replacen("Host: x", "Host: x\r\nConnection: close", 1);
                let heard = read(&raw(house.address(), request.as_bytes()).await);
                assert_eq!(heard.status, 200, "{heard:?}");
                let seen = house.primary.requests().into_iter().find(is_register).expect("forwarded");
                assert!(seen.body == body.as_bytes(), "other bytes");
                house.ask("DELETE", "/subjects/a", "").await;
                house.ask("DELETE", "/subjects/a?permanent=true", "").await;
            } else {
                // It ends, although the client did not ask for that: the connection is closed.
                let answer = raw(house.address(), request.as_bytes()).await;
                let heard = read(&answer);
                assert!(answer.is_empty() || heard.status == 413 && heard.code() == 413, "{heard:?}");
                assert_eq!(house.primary.count(is_register), 0);
            }
        }
    }
}

/// W-19.
#[tokio::test]
async fn json_that_is_a_hundred_thousand_levels_deep_breaks_nothing() {
    let house = House::open().await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let objects = format!("{}1{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    for nested in [deep.as_str(), &objects, &deep[..100_000]] {
        let bodies = [
            nested.to_owned(),
            format!(r#"{{"schema":{nested}}}"#),
            format!(r#"{{"schema":"\"string\"","metadata":{nested}}}"#),
            serde_json::json!({ "schema": nested }).to_string(),
            serde_json::json!({ "schema": nested, "schemaType": "JSON" }).to_string(),
        ];
        for body in bodies {
            for (method, target) in [
                ("POST", "/subjects/a/versions"),
                ("POST", "/subjects/a"),
                ("POST", "/compatibility/subjects/a/versions/latest"),
                ("PUT", "/config/a"),
            ] {
                let heard = house.ask(method, target, &body).await;
                assert!((200..500).contains(&heard.status), "{method} {target}: {heard:?}");
            }
        }
    }
    assert_eq!(house.get("/subjects").await.status, 200);
}

/// W-23.
#[tokio::test]
async fn writes_are_refused_quickly_while_nobody_is_there_and_the_primary_is_probed_once_a_second() {
    let house = House::open().await;
    house.register("known", "1").await;
    house.primary.fault(Fault::CutBeforeAct);
    for _ in 0..3 {
        assert_eq!(house.ask("DELETE", "/subjects/known", "").await.status, 500);
    }
    house.primary.forget_requests();
    let began = Instant::now();
    let mut slowest = Duration::ZERO;
    let (mut refused, mut probes) = (0, 0);
    while began.elapsed() < Duration::from_millis(2500) {
        let asked = Instant::now();
        let heard = house.ask("DELETE", "/subjects/known", "").await;
        match heard.code() {
            50003 => refused += 1,
            _ => probes += 1,
        }
        assert_eq!(heard.status, 500);
        slowest = slowest.max(asked.elapsed());
        assert_eq!(house.get("/subjects/known/versions").await.status, 200);
    }
    assert!(refused > 100 && probes <= 3, "{refused} refused, {probes} probes");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    let reached = house.primary.requests().len();
    assert!(reached <= 2 * (began.elapsed().as_secs() as usize + 1), "{reached} requests reached the primary");
}

/// C-10.
#[tokio::test]
async fn three_refusals_of_our_credentials_stop_the_calls() {
    let house = House::open().await;
    house.primary.fault(Fault::Unauthorized);
    for _ in 0..3 {
        let heard = house.register("a", "1").await;
        assert_eq!((heard.status, heard.code()), (500, 50003), "{}", heard.body);
        assert_eq!(heard.header("WWW-Authenticate"), None);
        assert!(heard.header("Retry-After").is_some());
    }
    house.primary.forget_requests();
    for _ in 0..10 {
        assert_eq!(house.register("a", "1").await.code(), 50003);
    }
    assert!(house.primary.requests().len() <= 1, "the breaker is open");
    assert_ne!(house.status().await["primary"]["breaker"], "closed");
    assert_eq!(house.get("/schemas/ids/1").await.code(), 50003, "unknown is not absent");
}

/// C-15, C-16.
#[tokio::test]
async fn what_says_who_asks_is_ours_to_say() {
    let house = House::open().await;
    let headers = [
        ("Connection", "authorization, x-forwarded-for, via, forwarded, confluent-client-version, content-type"),
        ("X-Forwarded-For", "203.0.113.9"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Real-IP", "203.0.113.9"),
        ("Forwarded", "for=203.0.113.9"),
        ("Confluent-Client-Version", "test/1"),
        ("Content-Type", "application/json"),
    ];
    let answer = send(house.address(), "POST", "/subjects/a/versions", &headers, Some(&registration("1"))).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let seen = house.primary.requests().into_iter().find(is_register).expect("forwarded");
    let all =
        |name: &str| seen.headers.get_all(name).iter().map(|value| value.to_str().expect("text")).collect::<Vec<_>>();
    assert_eq!(all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(all("x-forwarded-proto"), ["http"]);
    assert_eq!(all("x-forwarded-host"), [house.address().to_string()]);
    assert_eq!(all("via").len(), 1);
    assert_eq!(all("forwarded").len(), 1);
    assert!(all("forwarded")[0].starts_with("for=127.0.0.1;"), "{:?}", all("forwarded"));
    assert_eq!(all("x-real-ip"), [""; 0]);
    assert_eq!(all("confluent-client-version"), [""; 0], "the client said that it ends here");
}

/// C-28.
#[tokio::test]
async fn no_header_and_no_parameter_turns_a_read_into_a_write() {
    let house = House::open().await;
    house.register("a", "1").await;
    house.primary.forget_requests();
    for name in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"] {
        for (method, target) in
            [("GET", "/subjects/a/versions/1"), ("HEAD", "/subjects/a/versions/1"), ("GET", "/subjects/a")]
        {
            for wanted in ["DELETE", "POST", "PUT"] {
                let headers = [(name, wanted)];
                send(house.address(), method, target, &headers, None).await;
                send(house.address(), method, &format!("{target}?_method={wanted}"), &headers, None).await;
            }
        }
    }
    assert_eq!(house.primary.count(|seen| seen.method != "GET" && seen.method != "HEAD"), 0);
    assert!(house.primary.requests().iter().all(|seen| !format!("{:?}", seen.headers).contains("method")));
    assert_eq!(house.get("/subjects/a/versions").await.body, "[1]");
}
