//! HTTP/2, encrypted and, with prior knowledge, in clear (WIRE.md section 0.1).

use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use schema_outpost::body::Body;
use schema_outpost::server::Limits;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::house::{House, PATIENCE, generous, house, status, tight, until_closed};
use crate::tls::{Authority, authority};

/// Frames by hand.
mod frames {
    pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    pub const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    /// Settings with an initial window of nothing.
    pub const SHUT_WINDOW: &[u8] = &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0];
    /// `GET https://a/big`: method and scheme from the static table, path and authority spelt out.
    pub const GET_BIG: &[u8] = b"\x00\x00\x0b\x01\x05\x00\x00\x00\x01\x82\x87\x04\x04/big\x01\x01a";
}

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// A house whose clients speak HTTP/2, in clear or not.
struct Doors {
    house: House,
    client: Option<TlsConnector>,
    _authority: Authority,
}

impl Doors {
    /// One in clear, and one that is encrypted.
    fn both(limits: &Limits) -> [Self; 2] {
        [false, true].map(|is_encrypted| {
            let authority = authority();
            authority.renew();
            let files = is_encrypted.then(|| authority.files());
            let client = is_encrypted.then(|| authority.client(&[b"h2"], false));
            Self { house: house(limits, files), client, _authority: authority }
        })
    }

    async fn connect(&self) -> Box<dyn Socket> {
        match &self.client {
            Some(client) => Box::new(self.house.connect_tls(client).await),
            None => Box::new(self.house.connect().await),
        }
    }
}

async fn speak(socket: impl Socket + 'static) -> SendRequest<Body> {
    let io = hyper_util::rt::TokioIo::new(socket);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.expect("HTTP/2");
    tokio::spawn(connection);
    sender
}

pub async fn ask(
    socket: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Body>,
) -> Response<Incoming> {
    speak(socket).await.send_request(request).await.expect("an answer")
}

pub async fn whole(response: Response<Incoming>) -> String {
    let bytes = response.into_body().collect().await.expect("the whole body").to_bytes();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn get(path: &str) -> Request<Body> {
    Request::get(format!("https://localhost{path}")).body(Body::empty()).expect("a request")
}

#[tokio::test]
async fn an_answer_larger_than_any_window_arrives_whole() {
    for doors in Doors::both(&generous()) {
        let response = ask(doors.connect().await, get("/big")).await;
        assert_eq!(response.headers()["content-length"], (32 << 20).to_string());
        assert_eq!(whole(response).await.len(), 32 << 20);
    }
}

#[tokio::test]
async fn connect_opens_no_tunnel() {
    for doors in Doors::both(&generous()) {
        let request = Request::connect("evil:443").body(Body::empty()).expect("a request");
        assert_eq!(ask(doors.connect().await, request).await.status(), 405);
    }
}

#[tokio::test]
async fn what_is_at_hand_for_others_is_answered_too_and_many_at_once() {
    for doors in Doors::both(&generous()) {
        let sender = speak(doors.connect().await).await;
        let asked = (0..100).map(|times| {
            let mut sender = sender.clone();
            async move {
                let response = sender.send_request(get(&format!("/at-hand/x/{times}"))).await.expect("an answer");
                assert_eq!(whole(response).await, "x".repeat(times));
            }
        });
        futures_util::future::join_all(asked).await;
    }
}

#[tokio::test]
async fn a_preface_in_drips_is_understood() {
    let house = house(&generous(), None);
    let mut socket = house.connect().await;
    socket.set_nodelay(true).expect("set");
    let sent = [frames::PREFACE, frames::SETTINGS, frames::GET_BIG].concat();
    for byte in sent {
        socket.write_all(&[byte]).await.expect("sent");
        tokio::task::yield_now().await;
    }
    house.requests(1).await;
    assert_eq!(house.seen(), ["GET https://a/big"]);
}

#[tokio::test]
async fn what_only_begins_like_a_preface_is_answered_in_http_1() {
    let house = house(&generous(), None);
    for (sent, expected) in [
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r!", 400),
        ("PRI * HTTP/2.0\r\nHost: a\r\n\r\n", 400),
        ("PRI * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400),
        ("PRI /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 405),
        ("POST /denied HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 401),
        ("GET /x HTTP/1.1\r\nHost: a\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 200),
    ] {
        let answer = house.exchange(sent).await;
        assert_eq!(status(&answer), Some(expected), "{sent:?} was answered {answer:?}");
    }
    house.is_alive().await;
}

#[tokio::test]
async fn an_offer_to_upgrade_is_answered_in_http_1_as_any_server_may() {
    let house = house(&generous(), None);
    let answer = house
        .exchange(
            "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\n\
             Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQBAAAAAAIAAAAA\r\n\r\n",
        )
        .await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("path=/upgrade"), "{answer}");
}

#[tokio::test]
async fn a_drain_finishes_what_is_under_way() {
    for mut doors in Doors::both(&Limits { drain: PATIENCE, ..generous() }) {
        let mut sender = speak(doors.connect().await).await;
        let answer = tokio::spawn(sender.send_request(get("/slow")));
        let house = &mut doors.house;
        house.requests(1).await;
        house.drain.cancel();
        while TcpStream::connect(house.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        assert!(!house.served.is_finished(), "a request is under way");
        house.echo.release.notify_one();
        assert_eq!(whole(answer.await.expect("no panic").expect("an answer")).await, "slow");
        let start = Instant::now();
        timeout(PATIENCE, &mut house.served).await.expect("it ends").expect("without a panic");
        assert!(start.elapsed() < PATIENCE / 2, "the client was not told to close");
    }
}

#[tokio::test]
async fn every_shape_of_a_silent_client_is_cut_at_its_limit() {
    for doors in Doors::both(&tight()) {
        for (shape, sent) in [
            ("nothing", vec![]),
            ("half a preface", vec![&frames::PREFACE[..10]]),
            ("no settings", vec![frames::PREFACE]),
            ("no request", vec![frames::PREFACE, frames::SETTINGS]),
            ("half a request", vec![frames::PREFACE, frames::SETTINGS, &frames::GET_BIG[..12]]),
            ("a shut window", vec![frames::PREFACE, frames::SHUT_WINDOW, frames::GET_BIG]),
        ] {
            let mut socket = doors.connect().await;
            socket.write_all(&sent.concat()).await.expect("sent");
            let start = Instant::now();
            until_closed(&mut socket).await;
            assert!(start.elapsed() < Duration::from_secs(5), "{shape} was cut after {:?}", start.elapsed());
        }
        let Doors { house, .. } = doors;
        assert_eq!(house.seen(), ["GET https://a/big"], "the last shape was a request");
        assert!(house.registry.render().contains("limit=\"body_idle\""), "{}", house.registry.render());
    }
}
