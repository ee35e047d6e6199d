//! Calls to another registry over real sockets, to peers that misbehave in one way each.

#[path = "upstream/peer.rs"]
mod peer;
#[path = "upstream/tls.rs"]
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, COOKIE, HOST};
use http::{HeaderValue, Method};
use hyper_util::client::proxy::matcher::Matcher;
use schema_outpost::secret::Secret;
use schema_outpost::upstream::{
    Answer, Basic, BreakerState, Call, CallLabels, Config, Credentials, Failure, FailureKind, Got, Outcome, Priority,
    Registry, Sent, SetupError, Stage, Surroundings,
};
use tokio::time::Instant;

use peer::{Act, Peer, answer, head};

fn soon(milliseconds: u64) -> Instant {
    Instant::now() + Duration::from_millis(milliseconds)
}

fn config(urls: &[String]) -> Config {
    let password = Some(Secret::new("TOPSECRET"));
    Config {
        urls: urls.to_vec(),
        credentials: Some(Credentials::Basic(Basic { username: "key".to_owned(), password, password_file: None })),
        allow_plain_http: true,
        requests_per_second: 1_000,
        ..Config::default()
    }
}

/// The same whatever proxies the environment of the tests has.
fn surroundings() -> Surroundings {
    Surroundings { proxies: Arc::new(Matcher::builder().build()), ..Surroundings::of_this_process() }
}

fn registry(urls: &[String]) -> Registry {
    Registry::within(&config(urls), "primary", surroundings()).expect("usable settings")
}

fn write(path: &str, body: &'static str) -> Call {
    let (method, body) = (Method::POST, Bytes::from_static(body.as_bytes()));
    Call { method, body, ..Call::get(path, Priority::Write, soon(5_000)) }
}

fn read(path: &str) -> Call {
    Call::get(path, Priority::Miss, soon(5_000))
}

fn failed(result: Result<Answer, Failure>) -> (FailureKind, Sent) {
    let failure = result.expect_err("no answer");
    assert!(!failure.to_string().contains("127.0.0.1"), "{failure}");
    assert!(!failure.chain().contains("TOPSECRET"), "{}", failure.chain());
    (failure.kind, failure.sent)
}

#[tokio::test]
async fn the_path_goes_behind_the_base_as_it_came_and_only_our_credentials_travel() {
    let peer = Peer::start(|_, _| Act::Answer(answer(200, "{}"))).await;
    let registry = registry(&[peer.url() + "/apis/ccompat/v7/"]);
    let mut call = write("/subjects/a%2Fb/%zz//..?x=1&y=%41", "{\"schema\": \"…\"}");
    for (name, value) in [(AUTHORIZATION, "Basic Zm9vOmJhcg=="), (COOKIE, "a=b"), (HOST, "evil.example")] {
        call.headers.append(name.clone(), HeaderValue::from_static(value));
        call.headers.append(name, HeaderValue::from_static(value));
    }
    call.headers.insert("x-request-id", HeaderValue::from_static("42"));
    let answer = registry.send(call).await.expect("answered");
    assert_eq!((answer.status.as_u16(), &answer.body[..], answer.url), (200, &b"{}"[..], 0));

    let seen = peer.seen().pop().expect("one request");
    assert!(seen.starts_with("POST /apis/ccompat/v7/subjects/a%2Fb/%zz//..?x=1&y=%41 HTTP/1.1\r\n"), "{seen}");
    assert!(seen.ends_with("\r\n\r\n{\"schema\": \"…\"}"));
    let lines: Vec<_> = seen.lines().map(str::to_ascii_lowercase).collect();
    let of = |name: &str| lines.iter().filter(|line| line.starts_with(name)).cloned().collect::<Vec<_>>();
    assert_eq!(of("authorization:"), ["authorization: basic a2v5olrpufnfq1jfva=="]);
    assert_eq!(of("host:"), [format!("host: {}", peer.address)]);
    assert_eq!(of("confluent-accept-unknown-properties:"), ["confluent-accept-unknown-properties: true"]);
    assert_eq!(of("x-request-id:"), ["x-request-id: 42"]);
    assert_eq!(of("cookie:").len() + of("proxy-").len(), 0);
}

#[tokio::test]
async fn a_refused_connection_is_told_at_once_and_after_three_the_breaker_answers() {
    let registry = registry(&[Peer::nobody().await]);
    let start = Instant::now();
    for _ in 0..3 {
        assert_eq!(failed(registry.send(write("/subjects/a/versions", "{}")).await), (FailureKind::Connect, Sent::No));
    }
    let refused = registry.send(write("/subjects/a/versions", "{}")).await.expect_err("the breaker is open");
    assert_eq!((refused.kind, refused.sent), (FailureKind::Refused, Sent::No));
    assert!(refused.retry_after.is_some_and(|pause| pause <= Duration::from_secs(1)));
    assert!(start.elapsed() < Duration::from_secs(1), "nobody waits for a refusal");
    let seen = registry.reachability();
    assert_eq!((seen.breaker, seen.reachable, seen.last_answer), (BreakerState::Open, false, None));
    let labels = |outcome| CallLabels { registry: "primary", priority: "write", outcome };
    assert_eq!(registry.counters().calls(&labels(Outcome::Unreachable)), 3);
    assert_eq!(registry.counters().calls(&labels(Outcome::Refused)), 1);
}

#[tokio::test]
async fn calls_go_through_again_once_somebody_is_there() {
    let address: SocketAddr = Peer::nobody().await.trim_start_matches("http://").parse().expect("an address");
    let registry = registry(&[format!("http://{address}")]);
    for _ in 0..3 {
        failed(registry.send(read("/subjects")).await);
    }
    let _peer = Peer::start_at(address, None, |_, _| Act::Answer(answer(200, "[]"))).await;
    let mut changes = registry.watch();
    let back = async {
        let back = changes.wait_for(|seen| seen.reachable && seen.breaker == BreakerState::Closed).await;
        back.is_ok()
    };
    let asking = async {
        loop {
            if let Err(failure) = registry.send(read("/subjects")).await {
                tokio::time::sleep(failure.retry_after.expect("refused until then")).await;
            }
        }
    };
    tokio::select! {
        seen = tokio::time::timeout(Duration::from_secs(10), back) => assert_eq!(seen, Ok(true), "within ten seconds"),
        () = asking => {}
    }
}

#[tokio::test]
async fn silence_after_the_request_was_sent_leaves_its_fate_open_and_it_is_not_sent_again() {
    let peer = Peer::start(|_, _| Act::Silence).await;
    let registry = registry(&[peer.url(), Peer::nobody().await]);
    let start = Instant::now();
    let call = Call { deadline: soon(300), ..write("/subjects/a/versions", "{}") };
    assert_eq!(failed(registry.send(call).await), (FailureKind::TimedOut, Sent::Maybe));
    assert!(start.elapsed() >= Duration::from_millis(300) && start.elapsed() < Duration::from_secs(2));
    assert_eq!(peer.seen().len(), 1);
}

#[tokio::test]
async fn silence_before_anything_could_be_sent_is_certain() {
    let never = Surroundings { resolver: Arc::new(|_, _| Box::pin(std::future::pending())), ..surroundings() };
    let unresolved = Registry::within(&config(&["http://registry.example".to_owned()]), "primary", never);
    let call = || Call { deadline: soon(200), ..write("/subjects/a/versions", "{}") };
    let failure = failed(unresolved.expect("usable").send(call()).await);
    assert_eq!(failure, (FailureKind::TimedOut, Sent::No));

    let peer = Peer::start(|_, _| Act::Silence).await;
    let https = registry(&[peer.url().replace("http:", "https:")]);
    assert_eq!(failed(https.send(call()).await), (FailureKind::TimedOut, Sent::No));

    let peer = Peer::start(|_, _| Act::Answer(answer(200, "{}"))).await;
    let registry = registry(&[peer.url()]);
    registry.send(read("/subjects")).await.expect("a connection to go out on");
    let late = Call { deadline: Instant::now(), ..write("/subjects/a/versions", "{}") };
    assert_eq!(failed(registry.send(late).await), (FailureKind::TimedOut, Sent::No));
    assert_eq!(peer.seen().len(), 1);
}

#[tokio::test]
async fn no_step_of_connecting_takes_longer_than_three_seconds_whatever_the_deadline() {
    let peer = Peer::start(|_, _| Act::Silence).await;
    let https = registry(&[peer.url().replace("http:", "https:")]);
    let start = Instant::now();
    let call = Call { deadline: soon(60_000), ..write("/subjects/a/versions", "{}") };
    assert_eq!(failed(https.send(call).await), (FailureKind::TimedOut, Sent::No));
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_stays_silent_opens_the_breaker_unless_nobody_waited_for_it() {
    let resolver = Arc::new(|_: String, _| {
        Box::pin(std::future::pending()) as futures_util::future::BoxFuture<'static, std::io::Result<Vec<SocketAddr>>>
    });
    let config = config(&["http://registry.example".to_owned()]);
    let silent = Registry::within(&config, "primary", Surroundings { resolver, ..surroundings() }).expect("usable");
    for _ in 0..5 {
        let call = Call { deadline: soon(100), ..read("/subjects") };
        assert_eq!(failed(silent.send(call).await), (FailureKind::TimedOut, Sent::No));
    }
    for _ in 0..3 {
        let start = Instant::now();
        assert_eq!(failed(silent.send(read("/subjects")).await), (FailureKind::TimedOut, Sent::No));
        assert_eq!(start.elapsed().as_secs(), 3);
    }
    let start = Instant::now();
    assert_eq!(failed(silent.send(read("/subjects")).await), (FailureKind::Refused, Sent::No));
    assert!(start.elapsed() < Duration::from_millis(50));
}

#[tokio::test]
async fn a_write_whose_kept_connection_is_closed_under_it_may_have_been_applied_and_goes_out_once() {
    let peer = Peer::start(|n, _| if n == 1 { Act::Close } else { Act::Answer(answer(200, "{}")) }).await;
    let registry = registry(&[peer.url(), Peer::nobody().await]);
    registry.send(read("/first")).await.expect("answered");
    assert_eq!(failed(registry.send(write("/second", "{}")).await), (FailureKind::Broken, Sent::Maybe));
    assert_eq!(peer.connections.load(Ordering::SeqCst), 1, "on the connection that was there");
    let posts = peer.seen().iter().filter(|request| request.starts_with("POST")).count();
    assert_eq!(posts, 1);
}

#[tokio::test]
async fn a_read_whose_kept_connection_is_closed_under_it_goes_out_once_more() {
    let peer = Peer::start(|n, _| if n % 2 == 1 { Act::Close } else { Act::Answer(answer(200, "{}")) }).await;
    let registry = registry(&[peer.url()]);
    for _ in 0..3 {
        registry.send(read("/subjects")).await.expect("answered");
        let lookup = Call { priority: Priority::Miss, ..write("/subjects/a", "{}") };
        registry.send(lookup).await.expect("a lookup is a read");
    }
    let broken = Peer::start(|_, _| Act::Close).await;
    let registry = self::registry(&[broken.url()]);
    assert_eq!(failed(registry.send(read("/subjects")).await), (FailureKind::Broken, Sent::Maybe));
    assert_eq!(broken.seen().len(), 2, "once more and no more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_moment_a_connection_is_closed_no_write_arrives_twice() {
    // Some connections end after an answer without a word, at the moment in which the next write is on its way.
    let peer = Peer::start(|n, _| match n % 3 {
        0 => Act::Last(answer(200, "{}")),
        _ => Act::Answer(answer(200, "{}")),
    })
    .await;
    // Broken calls may open the breaker, and then others are refused; both must keep the promise.
    let registry = registry(&[peer.url()]);
    let (mut answered, mut unsent) = (0, 0);
    for n in 0..300 {
        let path = format!("/subjects/{n}/versions");
        let result = registry.send(write(&path, "{}")).await;
        let arrived = peer.seen().iter().filter(|request| request.contains(&format!("/subjects/{n}/"))).count();
        match result {
            Ok(_) => {
                assert_eq!(arrived, 1);
                answered += 1;
            }
            Err(Failure { sent: Sent::No, .. }) => {
                assert_eq!(arrived, 0);
                unsent += 1;
            }
            Err(_) => assert!(arrived <= 1),
        }
    }
    assert!(answered > 100, "{answered} answered, {unsent} not sent");
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_no_answer() {
    for cut in [
        head(200, "Content-Length: 100") + "{\"id\":1}",
        head(200, "Transfer-Encoding: chunked") + "8\r\n{\"id\":1}\r\n",
        head(200, "Connection: close") + "{\"id\":1",
        head(200, "Content-Length: 5").replace("\r\n\r\n", "\r\n"),
        "HTTP/1.1 2".to_owned(),
        "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
        head(200, "Content-Length: 5\r\nContent-Length: 6") + "12345",
    ] {
        let peer = Peer::start({
            let cut = cut.clone();
            move |_, _| Act::Last(cut.clone())
        })
        .await;
        let registry = registry(&[peer.url()]);
        let failure = failed(registry.send(write("/subjects/a/versions", "{}")).await);
        assert_eq!(failure, (FailureKind::Broken, Sent::Maybe), "{cut:?}");
        assert_eq!(peer.seen().len(), 1, "{cut:?}");
    }
}

#[tokio::test]
async fn answers_of_every_status_and_framing_come_through_as_they_are() {
    let html = "<html>Bad gateway</html>";
    for (text, status, body) in [
        (head(200, "Connection: close") + "{\"id\":1}", 200, "{\"id\":1}"),
        (head(200, "Transfer-Encoding: chunked") + "3\r\nabc\r\n0\r\n\r\n", 200, "abc"),
        (head(204, "X: y"), 204, ""),
        (answer(403, "{}"), 403, "{}"),
        (answer(409, "{\"error_code\":409}"), 409, "{\"error_code\":409}"),
        (answer(500, html), 500, html),
        (answer(503, html), 503, html),
    ] {
        let peer = Peer::start(move |_, _| Act::Last(text.clone())).await;
        let registry = registry(&[peer.url()]);
        let answer = registry.send(write("/subjects/a/versions", "{}")).await.expect("answered");
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (status, body.as_bytes()));
        assert_eq!(registry.reachability().breaker, BreakerState::Closed);
    }
}

#[tokio::test]
async fn an_answer_beyond_all_measure_is_not_taken_in() {
    let peer = Peer::start(|_, _| Act::Last(head(200, "Content-Length: 67108865") + "{")).await;
    let failure = failed(registry(&[peer.url()]).send(write("/subjects/a/versions", "{}")).await);
    assert_eq!(failure, (FailureKind::TooLarge, Sent::Maybe));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Peer::start(|_, _| Act::Answer(answer(200, "{}"))).await;
    for status in [300, 301, 302, 303, 307, 308] {
        let location = format!("Location: {}/x\r\nContent-Length: 0", elsewhere.url());
        let peer = Peer::start(move |_, _| Act::Answer(head(status, &location))).await;
        let failure = failed(registry(&[peer.url()]).send(read("/subjects")).await);
        assert_eq!(failure, (FailureKind::Redirected, Sent::No));
    }
    assert_eq!(elsewhere.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn our_credentials_refused_is_our_trouble_and_the_changed_file_is_used_for_the_next_call() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("secret");
    std::fs::write(&file, "old\n").expect("written");
    let peer = Peer::start(|_, request| {
        let good = request.to_ascii_lowercase().contains("basic a2v5om5ldw==");
        let challenge = head(401, "WWW-Authenticate: Basic\r\nContent-Length: 0");
        Act::Answer(if good { answer(200, "{}") } else { challenge })
    })
    .await;
    let mut config = config(&[peer.url()]);
    let password_file = Some(file.clone());
    config.credentials = Some(Credentials::Basic(Basic { username: "key".to_owned(), password: None, password_file }));
    let registry = Registry::within(&config, "primary", surroundings()).expect("usable");
    for _ in 0..2 {
        assert_eq!(failed(registry.send(read("/subjects")).await), (FailureKind::Unauthorized, Sent::No));
    }
    std::fs::write(&file, "new\n").expect("written");
    registry.send(read("/subjects")).await.expect("the new secret is accepted");
    std::fs::write(&file, "old\n").expect("written");
    registry.send(read("/subjects")).await.expect("not looked at without need");
    assert_eq!(peer.seen().len(), 4, "nothing is sent again on its own");
}

#[tokio::test]
async fn three_refusals_of_our_credentials_open_the_breaker() {
    let peer = Peer::start(|_, _| Act::Answer(answer(401, "{}"))).await;
    let registry = registry(&[peer.url()]);
    for _ in 0..3 {
        assert_eq!(failed(registry.send(read("/subjects")).await).0, FailureKind::Unauthorized);
    }
    assert_eq!(failed(registry.send(read("/subjects")).await), (FailureKind::Refused, Sent::No));
    assert!(registry.reachability().reachable, "somebody is there");
}

#[tokio::test]
async fn a_registry_that_asks_for_a_pause_gets_it_from_all_but_writes() {
    for (status, header, pause) in [
        (429, "Retry-After: 30", Some(30)),
        (503, "Retry-After: 1000000000", Some(60)),
        (429, "Retry-After: -1", None),
        (429, "Retry-After: 0", None),
        (503, "Retry-After: junk", None),
    ] {
        let header = format!("{header}\r\nContent-Length: 0");
        let peer = Peer::start(move |n, _| Act::Answer(if n == 0 { head(status, &header) } else { answer(200, "{}") }));
        let peer = peer.await;
        let registry = registry(&[peer.url()]);
        let asked = registry.send(write("/subjects/a/versions", "{}")).await.expect("passed on");
        assert_eq!(asked.status.as_u16(), status);
        assert!(asked.headers.contains_key("retry-after"));
        registry.send(write("/subjects/a/versions", "{}")).await.expect("writes go on");
        match (registry.send(read("/subjects")).await, pause) {
            (Ok(_), None) => {}
            (Err(failure), Some(seconds)) => {
                assert_eq!((failure.kind, failure.sent), (FailureKind::Spent, Sent::No));
                let rest = failure.retry_after.expect("known").as_secs();
                assert!((seconds - 5..=seconds).contains(&rest), "{rest} of {seconds}");
            }
            (result, pause) => panic!("{status}: {result:?} instead of {pause:?}"),
        }
    }
}

#[tokio::test]
async fn another_url_takes_over_and_is_kept_but_not_for_a_write_that_may_have_arrived() {
    let peer = Peer::start(|_, _| Act::Answer(answer(200, "{}"))).await;
    let registry = registry(&[Peer::nobody().await, peer.url()]);
    for _ in 0..5 {
        let answer = registry.send(write("/subjects/a/versions", "{}")).await.expect("answered by the other");
        assert_eq!(answer.url, 1);
    }
    assert_eq!(registry.current_url(), peer.url());
    assert_eq!(peer.seen().len(), 5);
    assert_eq!(registry.reachability().breaker, BreakerState::Closed);

    let closes = Peer::start(|_, _| Act::Close).await;
    let registry = self::registry(&[closes.url(), peer.url()]);
    assert_eq!(failed(registry.send(write("/subjects/a/versions", "{}")).await), (FailureKind::Broken, Sent::Maybe));
    assert_eq!(peer.seen().len(), 5, "the other one did not hear of it");
}

#[tokio::test]
async fn dead_addresses_of_a_name_are_passed_over() {
    let peer = Peer::start(|_, _| Act::Answer(answer(200, "{}"))).await;
    let port = peer.address.port();
    let _silent = Peer::black_hole(SocketAddr::from(([127, 0, 0, 9], port)));
    for dead in [vec!["127.0.0.2"], vec!["127.0.0.2", "127.0.0.3", "::1"], vec!["127.0.0.9"]] {
        let addresses: Vec<_> = dead.iter().copied().chain(["127.0.0.1"]).collect();
        let found: Vec<_> = addresses.iter().map(|ip| SocketAddr::new(ip.parse().expect("an address"), port)).collect();
        let resolver = Arc::new(move |host: String, _| {
            assert_eq!(host, "registry.example");
            let found = found.clone();
            Box::pin(async move { Ok(found) }) as futures_util::future::BoxFuture<'static, _>
        });
        let url = format!("http://registry.example:{port}");
        let registry = Registry::within(&config(&[url]), "primary", Surroundings { resolver, ..surroundings() });
        registry.expect("usable").send(read("/subjects")).await.expect("one of them answers");
    }
}

#[tokio::test]
async fn lists_may_be_null_and_absence_has_a_code() {
    let peer = Peer::start(|n, _| {
        Act::Answer(match n {
            0 => answer(200, "null"),
            1 => answer(200, "[1,2]"),
            _ => answer(404, "{\"error_code\":40401,\"message\":\"Subject not found\"}"),
        })
    })
    .await;
    let registry = registry(&[peer.url()]);
    let list = || registry.get_list::<i32>("/subjects", Priority::Importer, soon(5_000));
    assert!(matches!(list().await, Ok(Got::Value(list)) if list.is_empty()));
    assert!(matches!(list().await, Ok(Got::Value(list)) if list == [1, 2]));
    assert!(matches!(list().await, Ok(Got::Absent { error_code: Some(40401), .. })));
}

#[tokio::test]
async fn a_path_that_cannot_be_sent_as_it_is_is_not_sent() {
    let peer = Peer::start(|_, _| Act::Answer(answer(200, "{}"))).await;
    let registry = registry(&[peer.url()]);
    for path in ["", "*", "/a b", "/a\r\nx: y", "/a#b", "http://evil.example/"] {
        assert_eq!(failed(registry.send(read(path)).await), (FailureKind::Malformed, Sent::No), "{path:?}");
    }
    assert_eq!(peer.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_check_tells_where_the_way_ends() {
    let good = Peer::start(|_, _| Act::Answer(answer(200, "[]"))).await;
    let picky = Peer::start(|_, _| Act::Answer(answer(401, "{}"))).await;
    let other = Peer::start(|_, _| Act::Answer(answer(200, "<html>"))).await;
    let plain = good.url().replace("http:", "https:");
    let urls = [good.url(), picky.url(), other.url(), Peer::nobody().await, plain];
    let reports = registry(&urls).check().await;
    let ends: Vec<_> = reports.iter().filter_map(|report| report.findings.last()).map(|last| last.stage).collect();
    assert_eq!(ends, [Stage::Credentials, Stage::Credentials, Stage::Credentials, Stage::Connect, Stage::Tls]);
    assert_eq!(reports.iter().map(|report| report.is_good()).collect::<Vec<_>>(), [true, false, false, false, false]);
    assert!(!format!("{reports:?}").contains("TOPSECRET"));
    let stages: Vec<_> = reports[4].findings.iter().map(|finding| finding.stage).collect();
    assert_eq!(stages, [Stage::Resolve, Stage::Connect, Stage::Tls]);
}

#[test]
fn settings_that_could_not_work_are_refused_at_start() {
    let fails = |change: fn(&mut Config)| {
        let mut config = config(&["http://registry.example".to_owned()]);
        change(&mut config);
        Registry::within(&config, "primary", surroundings()).expect_err("unusable")
    };
    assert!(matches!(fails(|config| config.urls.clear()), SetupError::NoUrl));
    assert!(matches!(fails(|config| config.allow_plain_http = false), SetupError::PlainHttp { .. }));
    assert!(matches!(fails(|config| config.requests_per_second = 0), SetupError::NoBudget));
    assert!(matches!(fails(|config| config.tls.ca = Some("/nowhere".into())), SetupError::Authorities { .. }));
    assert!(matches!(fails(|config| config.tls.ca = Some("/dev/null".into())), SetupError::NoAuthority { .. }));
    assert!(matches!(fails(|config| config.urls.push("https://key:secret@h".to_owned())), SetupError::Url { .. }));
    let socks = Matcher::builder().all("socks5://proxy.example").build();
    let surroundings = Surroundings { proxies: Arc::new(socks), ..surroundings() };
    let registry = Registry::within(&config(&["http://registry.example".to_owned()]), "primary", surroundings);
    assert!(matches!(registry, Err(SetupError::Proxy)));
}
