//! A house for tests: a small registry, an outpost before it, and a client that sends just what it is told.

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytesize::ByteSize;
use schema_outpost::app::App;
use schema_outpost::config::Config;
use schema_outpost::server::ListenerConfig;
use small_registry::{Builder, SmallRegistry};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A registry with an outpost before it.
pub struct House {
    pub primary: SmallRegistry,
    pub config: Config,
    app: Option<App>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Heard {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// The body, its bytes, without chunks and without gzip.
    pub bytes: Vec<u8>,
}

impl Heard {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The code of a failure.
    pub fn code(&self) -> i64 {
        self.json()["error_code"].as_i64().unwrap_or_default()
    }
}

impl House {
    /// Everything in memory, an importer that is asked rather than awaited.
    pub async fn open() -> Self {
        Self::with(SmallRegistry::builder(), |_| {}).await
    }

    /// With a registry and settings of the test's own.
    pub async fn with(registry: Builder, adjust: impl FnOnce(&mut Config)) -> Self {
        let primary = registry.start().await.expect("a port");
        let mut config = settings(&primary);
        adjust(&mut config);
        let app = App::start(&config, &tokio::runtime::Handle::current()).expect("started");
        let house = Self { primary, config, app: Some(app) };
        house.imported().await;
        house
    }

    /// With a primary of its own, and beside a local registry.
    pub async fn beside(local: &SmallRegistry, adjust: impl FnOnce(&mut Config)) -> Self {
        Self::with(SmallRegistry::builder(), |config| {
            config.local.urls = vec![local.url()];
            adjust(config);
        })
        .await
    }

    /// Before a registry that is as it is; nothing is waited for.
    pub fn before(primary: SmallRegistry) -> Self {
        let config = settings(&primary);
        Self::of(primary, config)
    }

    /// The same with settings of the test's own.
    pub fn of(primary: SmallRegistry, config: Config) -> Self {
        let app = App::start(&config, &tokio::runtime::Handle::current()).expect("started");
        Self { primary, config, app: Some(app) }
    }

    /// With a state directory.
    pub async fn kept_in(directory: &Path) -> Self {
        Self::with(SmallRegistry::builder(), |config| config.state.directory = Some(directory.to_owned())).await
    }

    pub fn address(&self) -> SocketAddr {
        self.app.as_ref().expect("running").data_addresses()[0]
    }

    /// Of all listeners.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.app.as_ref().expect("running").data_addresses()
    }

    pub fn admin(&self) -> SocketAddr {
        self.app.as_ref().expect("running").admin_address()
    }

    /// Waits until a full pass has ended.
    pub async fn imported(&self) -> Heard {
        send(self.admin(), "POST", "/import", &[], None).await
    }

    pub async fn get(&self, target: &str) -> Heard {
        send(self.address(), "GET", target, &[], None).await
    }

    pub async fn ask(&self, method: &str, target: &str, body: &str) -> Heard {
        send(self.address(), method, target, &[("Content-Type", "application/json")], Some(body)).await
    }

    /// Sets the mode of the scope whose path it is.
    pub async fn set(&self, scope: &str, mode: &str) -> Heard {
        self.ask("PUT", scope, &serde_json::json!({ "mode": mode }).to_string()).await
    }

    /// Registers an Avro schema that is told from others by its documentation.
    pub async fn register(&self, subject: &str, doc: &str) -> Heard {
        self.ask("POST", &format!("/subjects/{subject}/versions"), &registration(doc)).await
    }

    /// Ends the outpost in order and starts it again with the same settings.
    pub async fn restart(&mut self) {
        self.app.take().expect("running").stop().await;
        self.app = Some(App::start(&self.config, &tokio::runtime::Handle::current()).expect("started again"));
    }

    /// Waits until a condition on an answer holds.
    pub async fn until(&self, target: &str, holds: impl Fn(&Heard) -> bool) -> Heard {
        let patience = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            let heard = self.get(target).await;
            if holds(&heard) {
                return heard;
            }
            assert!(tokio::time::Instant::now() < patience, "{target} never became so: {heard:?}");
            tokio::task::yield_now().await;
        }
    }

    /// The counter of the answers that were not at hand.
    pub async fn the_long_way(&self) -> String {
        let metrics = send(self.admin(), "GET", "/metrics", &[], None).await.body;
        metrics.lines().find(|line| line.contains("request_seconds_count")).expect("counted").to_owned()
    }

    pub async fn status(&self) -> serde_json::Value {
        send(self.admin(), "GET", "/status", &[], None).await.json()
    }
}

/// Settings for a test: free ports, a budget that does not slow it, and no pass that nobody asked for.
pub fn settings(primary: &SmallRegistry) -> Config {
    let listener = ListenerConfig { bind: ([127, 0, 0, 1], 0).into(), tls: None, context: None };
    let mut config = Config { listeners: vec![listener], ..Config::default() };
    config.admin.bind = ([127, 0, 0, 1], 0).into();
    config.primary.urls = vec![primary.url()];
    config.primary.requests_per_second = 100_000;
    config.importer.interval = Duration::from_secs(3600);
    config.importer.full_interval = Duration::from_secs(3600);
    config.limits.body = ByteSize::mib(1);
    config
}

/// The body that registers a schema with some documentation.
pub fn registration(doc: &str) -> String {
    let schema = format!(r#"{{"type":"record","name":"R","doc":"{doc}","fields":[]}}"#);
    serde_json::json!({ "schema": schema }).to_string()
}

/// Sends a request on a connection of its own, as the only one rather than with `Connection: close`: what is at hand
/// is so answered before hyper knows of it, as it is to most clients.
pub async fn send(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: Option<&str>,
) -> Heard {
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(body) = body {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    let request = format!("{head}\r\n{}", body.unwrap_or_default());
    read(&all_of(address, request.as_bytes()).await)
}

/// Sends bytes and reads until the other side closes.
pub async fn raw(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    exchange(&mut stream, request).await
}

/// Sends bytes, says that there will be no more, and reads until the other side closes.
pub async fn all_of(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    // The other side may answer and close before it has read everything.
    let _ = stream.write_all(request).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

/// What is heard of bytes that were sent where the other side may be gone: nothing is heard then.
pub async fn raw_or_nothing(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    match TcpStream::connect(address).await {
        Ok(mut stream) => exchange(&mut stream, request).await,
        Err(_) => Vec::new(),
    }
}

async fn exchange(stream: &mut TcpStream, request: &[u8]) -> Vec<u8> {
    // The other side may answer and close before it has read everything.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

/// Takes an HTTP/1.1 answer apart.
pub fn read(answer: &[u8]) -> Heard {
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n").unwrap_or(answer.len());
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok()).unwrap_or(0);
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let rest = answer.get(end + 4..).unwrap_or_default();
    let is_chunked =
        headers.iter().any(|(name, value)| name.eq_ignore_ascii_case("transfer-encoding") && value == "chunked");
    let mut body = if is_chunked { dechunk(rest) } else { rest.to_vec() };
    if headers.iter().any(|(name, value)| name.eq_ignore_ascii_case("content-encoding") && value == "gzip") {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&*body).read_to_end(&mut plain).expect("gzip, whole and sound");
        body = plain;
    }
    Heard { status, headers, body: String::from_utf8_lossy(&body).into_owned(), bytes: body }
}

fn dechunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|part| part == b"\r\n") {
        let size = usize::from_str_radix(String::from_utf8_lossy(&rest[..end]).trim(), 16).unwrap_or(0);
        let chunk = rest.get(end + 2..end + 2 + size).unwrap_or_default();
        body.extend_from_slice(chunk);
        rest = rest.get(end + 4 + size..).unwrap_or_default();
        if size == 0 {
            break;
        }
    }
    body
}
