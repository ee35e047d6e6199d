//! A small in-memory Schema Registry on a real socket.
//!
//! It answers as Confluent Schema Registry 8.3 does, as far as `tests/transcripts` says, and misbehaves on
//! demand. Tests, benches and examples start it; it never ships. Its routes and their parameters are those of the
//! outpost's own table; `router.rs` says who answers.
//!
//! ```no_run
//! # async fn run() -> std::io::Result<()> {
//! use small_registry::{Fault, SmallRegistry};
//!
//! let registry = SmallRegistry::start().await;
//! registry.ask("POST", "/subjects/orders-value/versions", Some(r#"{"schema":"\"string\""}"#));
//! registry.fault_times(2, Fault::too_many_requests(1));
//! println!("{} saw {} requests", registry.url(), registry.requests().len());
//! registry.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What it does less than the real one
//!
//! * Gzip without compression, no HTTP/2; what hyper takes for no HTTP is refused in hyper's words, not in Jetty's.
//! * JSON and Protobuf schemas are compared by a few rules; what those do not find is compatible.
//! * The DEK registry has no KMS; associations know their common cases only.
//! * Nothing is kept on disk: a restart keeps the state because the process does.
//!
//! `tests/known-differences.json` lists every recorded exchange that is answered differently.

mod about;
mod associations;
mod body;
mod call;
mod compatibility;
mod configs;
mod contexts;
mod failure;
mod faults;
mod gzip;
mod keys;
mod metadata;
mod model;
mod modes;
mod print;
mod profile;
mod register;
mod router;
mod schema;
mod schemas;
mod seen;
mod server;
mod state;
mod subjects;
mod tags;
mod web;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use http::{HeaderMap, Method};
use tokio_rustls::TlsAcceptor;

pub use faults::Fault;
pub use profile::Profile;
pub use seen::Seen;

use server::{Running, Shared};

/// How a registry is to be started.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    profile: Profile,
    credentials: Option<(String, String)>,
    base: String,
    dek_registry: bool,
    tls: Option<Arc<rustls::ServerConfig>>,
    address: Option<SocketAddr>,
}

impl Builder {
    /// Which registry it passes for.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Demands these Basic credentials of every request.
    pub fn credentials(mut self, user: &str, password: &str) -> Self {
        self.credentials = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// Serves everything below a path, such as `/registry`.
    pub fn base_path(mut self, base: &str) -> Self {
        self.base = base.trim_end_matches('/').to_owned();
        self
    }

    /// Has the DEK registry too, which is an extension of the real one and off there as well.
    pub fn dek_registry(mut self) -> Self {
        self.dek_registry = true;
        self
    }

    /// Serves HTTPS.
    pub fn tls(mut self, config: Arc<rustls::ServerConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Listens on this address rather than on a free port of the loopback interface.
    pub fn address(mut self, address: SocketAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// Starts the registry on the current tokio runtime.
    pub async fn start(self) -> io::Result<SmallRegistry> {
        let authorization = self.credentials.map(|(user, password)| {
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
        });
        let (profile, base, dek_registry) = (self.profile, self.base, self.dek_registry);
        let shared = Shared { profile, authorization, base, dek_registry, ..Shared::default() };
        let shared = Arc::new(shared);
        let tls = self.tls.map(TlsAcceptor::from);
        let wanted = self.address.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let (running, address) = Running::start(wanted, shared.clone(), tls.clone()).await?;
        Ok(SmallRegistry { shared, tls, address, running: Mutex::new(Some(running)) })
    }
}

/// A registry that runs until it is stopped or dropped.
pub struct SmallRegistry {
    shared: Arc<Shared>,
    tls: Option<TlsAcceptor>,
    address: SocketAddr,
    running: Mutex<Option<Running>>,
}

/// An answer that was given without a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The media type, where there is one.
    pub media_type: Option<String>,
    /// The body.
    pub body: String,
}

impl SmallRegistry {
    /// Says how to start one.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Starts one on a free port of the loopback interface.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start() -> Self {
        Self::builder().start().await.expect("the loopback interface has a free port")
    }

    /// Starts one on an address.
    pub async fn start_on(address: SocketAddr) -> io::Result<Self> {
        Self::builder().address(address).start().await
    }

    /// Where it is, with its base path and without a trailing slash.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{}", self.address, self.shared.base)
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the port and cuts every connection; what is stored stays.
    pub async fn stop(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(running) = running {
            running.stop().await;
        }
    }

    /// Listens again on the same port, with all that was stored; stops first if it runs.
    pub async fn restart(&self) -> io::Result<()> {
        self.stop().await;
        let (running, _) = Running::start(self.address, self.shared.clone(), self.tls.clone()).await?;
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
        Ok(())
    }

    /// Carries out a request without a socket: nothing is counted, no fault applies, no credentials are asked for.
    ///
    /// # Panics
    /// When the method is none.
    pub fn ask(&self, method: &str, target: &str, body: Option<&str>) -> Answer {
        let headers = HeaderMap::from_iter([(http::header::HOST, http::HeaderValue::from_static("registry"))]);
        self.ask_with(method, target, &headers, body.map(str::as_bytes))
    }

    /// The same with all the headers that would come with it, `Host` among them.
    ///
    /// # Panics
    /// When the method is none.
    pub fn ask_with(&self, method: &str, target: &str, headers: &HeaderMap, body: Option<&[u8]>) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).expect("the method is a token");
        let response = self.shared.answer(&method, target, headers, body);
        let media_type = response.headers().get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        Answer {
            status: response.status().as_u16(),
            media_type: media_type.map(str::to_owned),
            body: String::from_utf8_lossy(response.body()).into_owned(),
        }
    }

    /// Every request that was received, in its order.
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.log.all().clone()
    }

    /// How many of them match.
    pub fn count(&self, matches: impl Fn(&Seen) -> bool) -> usize {
        self.shared.log.all().iter().filter(|seen| matches(seen)).count()
    }

    /// Forgets what was received so far.
    pub fn forget_requests(&self) {
        self.shared.log.all().clear();
    }

    /// Waits until at least `count` of the requests received match.
    pub async fn wait_for(&self, count: usize, matches: impl Fn(&Seen) -> bool) {
        self.shared.log.wait(count, matches).await;
    }

    /// Lets every request suffer a fault, until faults are cleared.
    pub fn fault(&self, fault: Fault) {
        self.fault_where(|_| true, None, fault);
    }

    /// Lets the next requests suffer a fault.
    pub fn fault_times(&self, times: usize, fault: Fault) {
        self.fault_where(|_| true, Some(times), fault);
    }

    /// Lets requests that match suffer a fault: so many of them, or all until faults are cleared.
    /// Where several faults fit, the earliest that is not used up counts.
    pub fn fault_where(&self, matches: impl Fn(&Seen) -> bool + Send + 'static, times: Option<usize>, fault: Fault) {
        let mut faults = self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.add(Box::new(matches), times, fault);
    }

    /// Behaves again.
    pub fn clear_faults(&self) {
        self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
