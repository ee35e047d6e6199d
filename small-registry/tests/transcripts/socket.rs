//! The small registry over its socket: counting, faults, credentials, stopping and coming back.

use std::io;
use std::time::Duration;

use small_registry::{Fault, Profile, SmallRegistry};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const STRING: &str = r#"{"schema":"\"string\""}"#;

async fn send(registry: &SmallRegistry, head: &str, body: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(registry.address()).await?;
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let request = format!("{head}\r\nHost: registry\r\nConnection: close\r\n{length}\r\n{body}");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

async fn get(registry: &SmallRegistry, target: &str) -> String {
    send(registry, &format!("GET {target} HTTP/1.1"), "").await.expect("the registry is reachable")
}

#[tokio::test]
async fn a_schema_registered_over_the_socket_can_be_read_and_was_counted() {
    let registry = SmallRegistry::start().await;
    let answer = send(&registry, "POST /subjects/s/versions HTTP/1.1", STRING).await.expect("it is reachable");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("\"id\":1,\"version\":1"), "{answer}");
    assert!(get(&registry, "/subjects").await.ends_with("[\"s\"]"));
    assert_eq!(registry.count(|seen| seen.method == "POST" && seen.path() == "/subjects/s/versions"), 1);
    assert_eq!(registry.requests()[0].body, STRING);
    registry.forget_requests();
    assert!(registry.requests().is_empty());
}

#[tokio::test]
async fn a_write_cut_after_the_act_is_stored_although_nobody_was_told() {
    let registry = SmallRegistry::start().await;
    registry.fault_times(1, Fault::CutAfterAct);
    let answer = send(&registry, "POST /subjects/s/versions HTTP/1.1", STRING).await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.is_empty()));
    assert!(get(&registry, "/subjects/s/versions").await.ends_with("[1]"));
}

#[tokio::test]
async fn a_write_cut_before_the_act_is_not_stored() {
    let registry = SmallRegistry::start().await;
    registry.fault_where(|seen| seen.method == "POST", Some(1), Fault::CutBeforeAct);
    assert!(get(&registry, "/subjects").await.ends_with("[]"));
    let answer = send(&registry, "POST /subjects/s/versions HTTP/1.1", STRING).await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.is_empty()));
    assert!(get(&registry, "/subjects").await.ends_with("[]"));
}

#[tokio::test]
async fn half_an_answer_promises_more_than_it_holds() {
    let registry = SmallRegistry::start().await;
    registry.ask("POST", "/subjects/s/versions", Some(STRING));
    let whole = registry.ask("GET", "/subjects/s/versions/1", None).body;
    registry.fault_times(1, Fault::HalfAnswer);
    let mut stream = TcpStream::connect(registry.address()).await.expect("it is reachable");
    stream.write_all(b"GET /subjects/s/versions/1 HTTP/1.1\r\nHost: registry\r\n\r\n").await.expect("it reads");
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.to_lowercase().contains(&format!("content-length: {}", whole.len())), "{answer}");
    assert!(answer.ends_with(&whole[..whole.len() / 2]), "{answer}");
}

#[tokio::test]
async fn a_stalled_answer_begins_and_never_ends() {
    let registry = SmallRegistry::start().await;
    registry.fault_times(1, Fault::Stall);
    let mut stream = TcpStream::connect(registry.address()).await.expect("it is reachable");
    stream.write_all(b"GET /config HTTP/1.1\r\nHost: registry\r\n\r\n").await.expect("it reads");
    let mut heard = String::new();
    while !heard.ends_with("{\"compatibilityL") {
        let byte = stream.read_u8().await.expect("half of the body comes");
        heard.push(char::from(byte));
    }
    assert!(heard.to_lowercase().contains("content-length: 33"), "{heard}");
    assert!(tokio::time::timeout(Duration::from_millis(50), stream.read_u8()).await.is_err());
}

#[tokio::test]
async fn made_up_answers_come_as_often_as_was_said() {
    let registry = SmallRegistry::start().await;
    registry.fault_times(2, Fault::too_many_requests(7));
    for _ in 0..2 {
        let answer = get(&registry, "/subjects").await;
        assert!(answer.starts_with("HTTP/1.1 429") && answer.to_lowercase().contains("retry-after: 7"), "{answer}");
    }
    assert!(get(&registry, "/subjects").await.starts_with("HTTP/1.1 200"));
    registry.fault(Fault::bad_gateway_page());
    assert!(get(&registry, "/subjects").await.starts_with("HTTP/1.1 502"));
    registry.clear_faults();
    assert!(get(&registry, "/subjects").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_black_hole_takes_the_request_and_says_nothing() {
    let registry = SmallRegistry::start().await;
    registry.fault_times(1, Fault::BlackHole);
    let mut stream = TcpStream::connect(registry.address()).await.expect("it is reachable");
    stream.write_all(b"GET /subjects HTTP/1.1\r\nHost: registry\r\n\r\n").await.expect("it reads");
    registry.wait_for(1, |seen| seen.path() == "/subjects").await;
    let mut byte = [0];
    assert!(tokio::time::timeout(Duration::from_millis(50), stream.read(&mut byte)).await.is_err());
}

#[tokio::test]
async fn a_stopped_registry_refuses_and_comes_back_on_its_port_with_its_state() {
    let registry = SmallRegistry::start().await;
    registry.ask("POST", "/subjects/s/versions", Some(STRING));
    registry.stop().await;
    let refused = TcpStream::connect(registry.address()).await;
    assert_eq!(refused.map(drop).map_err(|error| error.kind()), Err(io::ErrorKind::ConnectionRefused));
    registry.restart().await.expect("the port is free");
    assert!(get(&registry, "/subjects").await.ends_with("[\"s\"]"));
}

#[tokio::test]
async fn credentials_and_a_base_path_are_demanded() {
    let registry =
        SmallRegistry::builder().credentials("key", "word").base_path("/sr/").start().await.expect("it starts");
    assert!(registry.url().ends_with("/sr"));
    assert!(get(&registry, "/sr/subjects").await.starts_with("HTTP/1.1 401"));
    let head = "GET /sr/subjects HTTP/1.1\r\nAuthorization: Basic a2V5OndvcmQ=";
    assert!(send(&registry, head, "").await.expect("it is reachable").ends_with("[]"));
    let head = "GET /subjects HTTP/1.1\r\nAuthorization: Basic a2V5OndvcmQ=";
    assert!(send(&registry, head, "").await.expect("it is reachable").starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn other_registries_answer_in_their_own_shapes() {
    let start = async |profile| {
        let registry = SmallRegistry::builder().profile(profile).start().await.expect("it starts");
        let answer = registry.ask("POST", "/subjects/s/versions", Some(STRING)).body;
        (registry, answer)
    };
    let (seven, answer) = start(Profile::Confluent7).await;
    assert_eq!(answer, r#"{"id":1}"#);
    let version = seven.ask("GET", "/subjects/s/versions/1", None).body;
    assert_eq!(version, r#"{"subject":"s","version":1,"id":1,"schema":"\"string\""}"#);
    let (cloud, answer) = start(Profile::Cloud).await;
    assert_eq!(answer, r#"{"id":1}"#);
    let mut headers = http::HeaderMap::new();
    headers.insert("Host", http::HeaderValue::from_static("registry"));
    headers.insert("Confluent-Accept-Unknown-Properties", http::HeaderValue::from_static("true"));
    assert!(cloud.ask_with("GET", "/schemas/ids/1", &headers, None).body.contains("\"guid\""));
    assert!(!cloud.ask("GET", "/schemas/ids/1", None).body.contains("\"guid\""));
    let (poor, _) = start(Profile::Poor).await;
    assert_eq!(poor.ask("GET", "/contexts", None).status, 404);
    assert_eq!(poor.ask("GET", "/subjects?subjectPrefix=x", None).body, "null");
}
