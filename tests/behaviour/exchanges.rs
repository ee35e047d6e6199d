//! What an intermediary owes both sides: expectations, heads without bodies, headers of one connection
//! only, over HTTP/1.1 and HTTP/2 (FAULTS.md, H).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::SendRequest;
use small_registry::{Fault, SmallRegistry};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::house::{Heard, House, read, registration, send};

const PATIENCE: Duration = Duration::from_secs(20);

async fn connected(house: &House) -> TcpStream {
    TcpStream::connect(house.address()).await.expect("connected")
}

/// Reads until what has come ends so.
async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut all = Vec::new();
    while !all.ends_with(end.as_bytes()) {
        let byte = timeout(PATIENCE, stream.read_u8()).await.expect("in time");
        all.push(byte.unwrap_or_else(|error| panic!("{error} after {}", String::from_utf8_lossy(&all))));
    }
    String::from_utf8_lossy(&all).into_owned()
}

async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("it is closed");
    answer
}

fn count(heard: &Heard, name: &str) -> usize {
    heard.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).count()
}

/// H-18.
#[tokio::test]
async fn a_body_is_asked_for_only_if_it_will_be_taken() {
    let house = House::open().await;
    let body = registration("1");
    let head = |target: &str, length: usize| {
        format!(
            "POST {target} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
        )
    };
    let mut stream = connected(&house).await;
    stream.write_all(head("/subjects/a/versions", body.len()).as_bytes()).await.expect("written");
    let interim = until(&mut stream, "\r\n\r\n").await;
    assert!(interim.starts_with("HTTP/1.1 100 "), "{interim}");
    stream.write_all(body.as_bytes()).await.expect("written");
    let heard = read(&rest(&mut stream).await);
    assert_eq!((heard.status, heard.json()["id"].as_i64()), (200, Some(1)));
    let seen = house.primary.requests().into_iter().rfind(|seen| seen.method == "POST").expect("forwarded");
    assert_eq!(seen.header("expect"), None);
    house.primary.forget_requests();
    for (target, length, status) in [
        ("/subjects/a/versions", (1 << 20) + 1, 413),
        ("/subjects/a/versions", 1 << 40, 413),
        ("/subjects/%zz/versions", 10, 400),
        ("/subjects/a/versions/1", 10, 405),
    ] {
        let mut stream = connected(&house).await;
        stream.write_all(head(target, length).as_bytes()).await.expect("written");
        let answer = rest(&mut stream).await;
        let heard = read(&answer);
        assert_eq!((heard.status, heard.code()), (status, i64::from(status)), "{target} {length}: {heard:?}");
        assert!(!String::from_utf8_lossy(&answer).contains("100 Continue"), "{target} {length}");
    }
    assert_eq!(house.primary.requests().len(), 0);
}

const READS: [&str; 13] = [
    "/",
    "/subjects",
    "/subjects/a/versions",
    "/subjects/a/versions/1",
    "/subjects/a/versions/latest/schema",
    "/schemas/ids/1",
    "/schemas/ids/1/versions",
    "/schemas/types",
    "/config",
    "/mode",
    "/contexts",
    "/subjects/nosuch/versions",
    "/schemas/ids/99",
];

/// H-20.
#[tokio::test]
async fn heads_and_gets_on_one_connection_stay_in_step() {
    let house = House::open().await;
    house.register("a", "1").await;
    let mut stream = connected(&house).await;
    for target in READS {
        let get = house.get(target).await;
        for _ in 0..2 {
            let request = format!("HEAD {target} HTTP/1.1\r\nHost: x\r\n\r\n");
            stream.write_all(request.as_bytes()).await.expect("written");
            let head = read(until(&mut stream, "\r\n\r\n").await.as_bytes());
            assert_eq!(head.status, get.status, "{target}: {head:?}");
            assert_eq!(head.header("Content-Type"), get.header("Content-Type"), "{target}");
            // Were there a body, the next answer would begin with it.
            let request = "GET /subjects/a/versions HTTP/1.1\r\nHost: x\r\n\r\n";
            stream.write_all(request.as_bytes()).await.expect("written");
            let heard = read(until(&mut stream, "[1]").await.as_bytes());
            assert_eq!((heard.status, heard.body.as_str()), (200, "[1]"), "after HEAD {target}");
        }
    }
}

/// H-24, H-32.
#[tokio::test]
async fn what_belongs_to_one_connection_stays_on_it() {
    let house = House::open().await;
    let headers = [
        ("Connection", "x-hop, confluent-hop"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authorization", "Basic eDp5"),
        ("TE", "trailers"),
        ("Trailer", "x-sum"),
        ("Upgrade", "h2c"),
        ("X-Hop", "1"),
        ("Confluent-Hop", "1"),
        ("Confluent-Stays", "1"),
        ("Content-Type", "application/json"),
    ];
    let answered = [
        ("Content-Type", "application/vnd.schemaregistry.v1+json"),
        ("Connection", "x-hop"),
        ("X-Hop", "1"),
        ("Keep-Alive", "timeout=7"),
        ("Proxy-Authenticate", "Basic"),
        ("Proxy-Connection", "close"),
        ("Upgrade", "h2c"),
        ("Set-Cookie", "session=1"),
        ("Server", "Jetty(9.9)"),
        ("Date", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("Age", "77"),
        ("X-Kept", "yes"),
    ];
    for (method, target) in
        [("POST", "/subjects/a/versions"), ("GET", "/subjects/a/versions?strange=1"), ("GET", "/catalog")]
    {
        house.primary.forget_requests();
        let headers_of_answer = answered.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let body = r#"{"error_code":409,"message":"no"}"#.to_owned();
        house.primary.fault_times(1, Fault::Status { status: 409, headers: headers_of_answer, body: body.clone() });
        let registering = registration("1");
        let sent = (method == "POST").then_some(registering.as_str());
        let heard = send(house.address(), method, target, &headers, sent).await;
        assert_eq!((heard.status, &heard.body), (409, &body), "{method} {target}");
        for name in ["x-hop", "keep-alive", "proxy-authenticate", "proxy-connection", "upgrade", "set-cookie", "age"] {
            assert_eq!(heard.header(name), None, "{method} {target}: {name}");
        }
        assert_eq!((count(&heard, "date"), heard.header("X-Kept")), (1, Some("yes")));
        assert!(!heard.header("Date").unwrap_or_default().contains("1994"));
        let seen = house.primary.requests().into_iter().next_back().expect("forwarded");
        for name in [
            "x-hop",
            "confluent-hop",
            "keep-alive",
            "proxy-connection",
            "proxy-authorization",
            "te",
            "trailer",
            "upgrade",
        ] {
            assert_eq!(seen.header(name), None, "{method} {target}: {name}");
        }
        assert_eq!(seen.header("confluent-stays"), Some("1"));
        assert!(seen.header("via").is_some());
    }
}

/// H-32.
#[tokio::test]
async fn an_age_is_told_only_while_the_primary_is_away() {
    let house = House::open().await;
    house.register("a", "1").await;
    house.imported().await;
    for target in READS {
        let heard = house.get(target).await;
        assert_eq!((count(&heard, "date"), count(&heard, "age")), (1, 0), "{target}");
    }
    house.primary.stop().await;
    assert_eq!(house.register("b", "2").await.status, 500);
    for target in READS {
        let heard = house.get(target).await;
        let ages = usize::from(heard.status == 200);
        assert_eq!((count(&heard, "date"), count(&heard, "age")), (1, ages), "{target}: {heard:?}");
    }
}

/// A house whose data port speaks TLS.
struct Encrypted {
    house: House,
    root: rustls::pki_types::CertificateDer<'static>,
    _files: tempfile::TempDir,
}

impl Encrypted {
    async fn open() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        let files = tempfile::tempdir().expect("a folder");
        let (certificate, key) = (files.path().join("tls.crt"), files.path().join("tls.key"));
        std::fs::write(&certificate, made.cert.pem()).expect("written");
        std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
        let house = House::with(SmallRegistry::builder(), |config| {
            config.listeners[0].tls = Some(schema_outpost::server::TlsConfig { certificate, key, client_ca: None });
        });
        Self { house: house.await, root: made.cert.der().clone(), _files: files }
    }

    async fn client(&self) -> Speaker {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.root.clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows them")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let name = "localhost".try_into().expect("a name");
        let stream = connector.connect(name, connected(&self.house).await).await.expect("a handshake");
        Speaker::on(stream, "https").await
    }
}

/// A client that speaks HTTP/2 on one connection.
struct Speaker {
    sender: SendRequest<Full<Bytes>>,
    scheme: &'static str,
}

impl Speaker {
    async fn on(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, scheme: &'static str) -> Self {
        let io = hyper_util::rt::TokioIo::new(stream);
        let executor = hyper_util::rt::TokioExecutor::new();
        let (sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.expect("HTTP/2");
        tokio::spawn(connection);
        Self { sender, scheme }
    }
}

async fn over_h2(client: &mut Speaker, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Heard {
    let mut request = Request::builder().method(method).uri(format!("{}://localhost{target}", client.scheme));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body.to_owned()))).expect("a request");
    let response: Response<hyper::body::Incoming> =
        timeout(PATIENCE, client.sender.send_request(request)).await.expect("in time").expect("an answer");
    let (head, body) = response.into_parts();
    let body = body.collect().await.expect("the whole body").to_bytes();
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Heard {
        status: head.status.as_u16(),
        headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
        bytes: body.to_vec(),
    }
}

#[tokio::test]
async fn http_2_hears_the_same_as_http_1() {
    let encrypted = Encrypted::open().await;
    hears_the_same_as_http_1(&encrypted.house, encrypted.client().await).await;
    let house = House::open().await;
    let with_prior_knowledge = Speaker::on(connected(&house).await, "http").await;
    hears_the_same_as_http_1(&house, with_prior_knowledge).await;
}

async fn hears_the_same_as_http_1(house: &House, mut client: Speaker) {
    let json = [("content-type", "application/json")];
    let answer = over_h2(&mut client, "POST", "/subjects/a/versions", &json, &registration("1")).await;
    assert_eq!((answer.status, answer.json()["id"].as_i64()), (200, Some(1)), "{answer:?}");
    for target in READS {
        let direct = house.primary.ask("GET", target, None);
        let get = over_h2(&mut client, "GET", target, &[], "").await;
        if target != "/mode" {
            assert_eq!((get.status, &get.body), (direct.status, &direct.body), "{target}");
        }
        assert_eq!((count(&get, "date"), count(&get, "age"), count(&get, "connection")), (1, 0, 0), "{target}");
        let head = over_h2(&mut client, "HEAD", target, &[], "").await;
        assert_eq!((head.status, head.body.as_str()), (get.status, ""), "{target}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{target}");
    }
    let seen = house.primary.requests().into_iter().find(|seen| seen.method == "POST").expect("forwarded");
    assert_eq!(
        (seen.header("x-forwarded-proto"), seen.header("x-forwarded-for")),
        (Some(client.scheme), Some("127.0.0.1"))
    );
    let forwarded = seen.header("forwarded").expect("it is told");
    assert!(forwarded.split(';').any(|told| told == format!("proto={}", client.scheme)), "{forwarded}");
}

#[tokio::test]
async fn what_is_asked_again_over_http_2_is_at_hand() {
    let encrypted = Encrypted::open().await;
    let house = &encrypted.house;
    let mut client = encrypted.client().await;
    let json = [("content-type", "application/json")];
    assert_eq!(over_h2(&mut client, "POST", "/subjects/a/versions", &json, &registration("1")).await.status, 200);
    house.imported().await;
    let targets = ["/schemas/ids/1", "/subjects", "/subjects/a/versions/latest"];
    let id = [("x-request-id", "7")];
    let told = |answer: &Heard| {
        let told = answer.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("date"));
        (answer.status, answer.body.clone(), told.cloned().collect::<Vec<_>>())
    };
    for target in targets {
        let first = over_h2(&mut client, "GET", target, &id, "").await;
        let before = house.the_long_way().await;
        let again = over_h2(&mut client, "GET", target, &id, "").await;
        assert_eq!((told(&again), house.the_long_way().await), (told(&first), before), "{target}");
    }
}

#[tokio::test]
async fn http_2_gives_no_way_around_what_http_1_refuses() {
    let encrypted = Encrypted::open().await;
    let house = &encrypted.house;
    let mut client = encrypted.client().await;
    let json = [("content-type", "application/json")];
    assert_eq!(over_h2(&mut client, "POST", "/subjects/a/versions", &json, &registration("1")).await.status, 200);
    house.primary.forget_requests();
    let large = "x".repeat((1 << 20) + 1);
    let refused = over_h2(&mut client, "POST", "/subjects/a/versions", &json, &large).await;
    assert_eq!((refused.status, refused.code()), (413, 413));
    assert_eq!(count(&refused, "connection"), 0);
    let mut client = encrypted.client().await;
    for (method, target, status) in [
        ("GET", "/subjects/%zz/versions", 400),
        ("GET", "/subjects/x/../../mode", 404),
        ("TRACE", "/subjects", 405),
        ("PROPFIND", "/subjects", 405),
        ("GET", "/subjects/a", 405),
    ] {
        let refused = over_h2(&mut client, method, target, &[], "").await;
        assert_eq!((refused.status, refused.code()), (status, i64::from(status)), "{method} {target}");
    }
    for name in ["x-http-method-override", "x-method-override"] {
        over_h2(&mut client, "GET", "/subjects/a/versions/1", &[(name, "DELETE")], "").await;
    }
    assert_eq!(house.primary.count(|seen| seen.method != "GET"), 0);
    let mut headers = json.to_vec();
    headers.extend([("te", "trailers"), ("authorization", "Basic eDp5"), ("cookie", "a=b"), ("x-anything", "1")]);
    let answer = over_h2(&mut client, "POST", "/subjects/a/versions", &headers, &registration("2")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let seen = house.primary.requests().into_iter().find(|seen| seen.method == "POST").expect("forwarded");
    for name in ["te", "authorization", "cookie", "x-anything"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
}
