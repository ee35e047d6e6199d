//! Promises that show in the order of things: C6, C9, C10, and where a request may never go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use small_registry::Fault;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::house::{House, raw, read, registration};

/// C9: writes that wait on one connection reach the primary in their order.
#[tokio::test]
async fn writes_of_one_connection_reach_the_primary_in_order() {
    let house = House::open().await;
    house.primary.forget_requests();
    let mut requests = String::new();
    for number in 0..20 {
        let body = registration(&number.to_string());
        let close = if number == 19 { "Connection: close\r\n" } else { "" };
        requests.push_str(&format!(
            "POST /subjects/s{number}/versions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{close}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
    }
    let mut stream = TcpStream::connect(house.address()).await.expect("connected");
    stream.write_all(requests.as_bytes()).await.expect("written");
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.expect("answered");
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 20, "{answers}");
    let sent: Vec<String> =
        house.primary.requests().into_iter().filter(|seen| seen.method == "POST").map(|seen| seen.target).collect();
    let expected: Vec<String> = (0..20).map(|number| format!("/subjects/s{number}/versions")).collect();
    assert_eq!(sent, expected);
}

/// C6: while an importer takes over changes, a reader sees a subject before them or after them.
#[tokio::test(flavor = "multi_thread")]
async fn a_subject_is_never_seen_half_changed() {
    let house = Arc::new(House::open().await);
    let done = Arc::new(AtomicBool::new(false));
    let reader = {
        let (house, done) = (house.clone(), done.clone());
        tokio::spawn(async move {
            let mut seen = 0;
            while !done.load(Ordering::Relaxed) {
                let list = house.get("/subjects/a/versions").await;
                if list.status != 200 {
                    continue;
                }
                let highest = list.json().as_array().and_then(|list| list.last().cloned()).expect("a version");
                let latest = house.get("/subjects/a/versions/latest").await.json();
                assert!(latest["version"].as_i64() >= highest.as_i64(), "{latest} after {highest}");
                let holders = house.get(&format!("/schemas/ids/{}/versions", latest["id"])).await;
                assert!(
                    holders.body.contains(&format!("\"version\":{}", latest["version"])),
                    "{latest}: {}",
                    holders.body
                );
                seen += 1;
            }
            seen
        })
    };
    for number in 0..30 {
        house.primary.ask("POST", "/subjects/a/versions", Some(&registration(&number.to_string())));
        assert_eq!(house.imported().await.status, 200);
    }
    done.store(true, Ordering::Relaxed);
    assert!(reader.await.expect("what was read fits together") > 0);
}

/// C10: whatever befalls the answer, the request was sent once.
#[tokio::test]
async fn no_write_is_sent_twice_whatever_befalls_its_answer() {
    for fault in [Fault::CutBeforeAct, Fault::CutAfterAct, Fault::HalfAnswer] {
        let house = House::open().await;
        house.register("a", "1").await;
        house.primary.forget_requests();
        house.primary.fault_where(|seen| seen.method == "DELETE", None, fault.clone());
        let answer = house.ask("DELETE", "/subjects/a", "").await;
        assert_eq!((answer.status, answer.code()), (500, 50002), "{fault:?}: {}", answer.body);
        assert_eq!(house.primary.count(|seen| seen.method == "DELETE"), 1, "{fault:?}");
    }
}

/// H-05: a target that names another host is about this one.
#[tokio::test]
async fn nobody_is_sent_anywhere_by_a_target() {
    let house = House::open().await;
    house.register("a", "1").await;
    let evil = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let other = evil.local_addr().expect("bound");
    let request = format!("GET http://{other}/subjects HTTP/1.1\r\nHost: {other}\r\nConnection: close\r\n\r\n");
    let answer = read(&raw(house.address(), request.as_bytes()).await);
    assert!(answer.status == 400 || (answer.status, answer.body.as_str()) == (200, r#"["a"]"#), "{answer:?}");
    let unknown = format!("GET http://{other}/catalog HTTP/1.1\r\nHost: {other}\r\nConnection: close\r\n\r\n");
    raw(house.address(), unknown.as_bytes()).await;
    let came = tokio::select! {
        biased;
        came = evil.accept() => Some(came),
        () = std::future::ready(()) => None,
    };
    assert!(came.is_none(), "somebody came: {came:?}");
}
