//! From a URL to an open connection: name, address, proxy, TLS, all of it within one short time.

use std::future::{Ready, ready};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, io, vec};

use futures_util::future::BoxFuture;
use http::Uri;
use hyper_rustls::MaybeHttpsStream;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tower::Service;

const WHOLE: Duration = Duration::from_secs(3);

type Tcp = TokioIo<TcpStream>;
/// Bytes to the proxy or, without one, to the registry; with or without TLS.
type FirstHop = MaybeHttpsStream<Tcp>;
/// Bytes to the registry; with or without TLS.
pub(super) type Wire = MaybeHttpsStream<FirstHop>;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Turns a host name and a port into addresses.
pub type Resolver = Arc<dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// What a connection needs from the world besides the settings.
#[derive(Clone)]
pub struct Surroundings {
    /// How names become addresses.
    pub resolver: Resolver,
    /// Which destinations are reached through a proxy.
    pub proxies: Arc<Matcher>,
}

impl Surroundings {
    /// The system's name resolution, and the proxies of `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`.
    ///
    /// A registry over plain http is reached through a tunnel as well, so that a proxy never sees more of a request
    /// than everybody else on that way.
    pub fn of_this_process() -> Self {
        let resolver: Resolver = Arc::new(|host, port| {
            Box::pin(async move { Ok(tokio::net::lookup_host((host.as_str(), port)).await?.collect()) })
        });
        Self { resolver, proxies: Arc::new(Matcher::from_env()) }
    }
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").field("proxies", &self.proxies).finish_non_exhaustive()
    }
}

/// The steps on the way to a connection, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The name becomes addresses.
    Resolve,
    /// One of the addresses takes the connection.
    Connect,
    /// The proxy passes it on.
    Proxy,
    /// Both sides agree on keys, and we on who they are.
    Tls,
    /// The registry accepts our credentials.
    Credentials,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "name resolution",
            Self::Connect => "TCP connection",
            Self::Proxy => "proxy",
            Self::Tls => "TLS handshake",
            Self::Credentials => "credentials",
        })
    }
}

/// A connection that did not come about.
#[derive(Debug, thiserror::Error)]
#[error("{stage} failed")]
pub struct Unreachable {
    /// The step that failed.
    pub stage: Stage,
    /// Whether it was just too slow.
    pub timed_out: bool,
    #[source]
    source: BoxError,
}

/// Makes connections to one registry.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    surroundings: Surroundings,
    tls: Arc<ClientConfig>,
}

impl Connector {
    pub(super) fn new(surroundings: Surroundings, tls: Arc<ClientConfig>) -> Self {
        Self { surroundings, tls }
    }

    /// Opens a connection to the host of a URL.
    ///
    /// The time limit is around all of it: the connector's own ends with TCP, and a peer that
    /// accepts and then says nothing would hold the call.
    pub(super) async fn dial(&self, to: &Uri) -> Result<Wire, Unreachable> {
        let limit = Instant::now() + WHOLE;
        let proxy = self.surroundings.proxies.intercept(to);
        let first = proxy.as_ref().map_or(to, Intercept::uri);
        let addresses = within(limit, Stage::Resolve, self.resolve(first)).await?;
        let tcp = within(limit, Stage::Connect, connect(first, addresses, limit)).await?;
        let hop = match &proxy {
            Some(proxy) => within(limit, Stage::Proxy, self.tunnel(tcp, proxy, to)).await?,
            None => MaybeHttpsStream::Http(tcp),
        };
        if is_https(to) { within(limit, Stage::Tls, self.encrypt(hop, to)).await } else { Ok(hop.into()) }
    }

    async fn resolve(&self, uri: &Uri) -> io::Result<Vec<SocketAddr>> {
        let host = bare_host(uri);
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port(uri))]);
        }
        let found = (self.surroundings.resolver)(host.to_owned(), port(uri)).await?;
        if found.is_empty() {
            Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
        } else {
            Ok(found)
        }
    }

    async fn tunnel(&self, tcp: Tcp, proxy: &Intercept, to: &Uri) -> Result<FirstHop, BoxError> {
        let hop = if is_https(proxy.uri()) { self.encrypt(tcp, proxy.uri()).await? } else { tcp.into() };
        let mut tunnel = Tunnel::new(proxy.uri().clone(), Once(Some(hop)));
        if let Some(auth) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(auth.clone());
        }
        // The tunnel takes 443 where no port is named.
        let target = format!("{}://{}:{}/", if is_https(to) { "https" } else { "http" }, host(to), port(to));
        Ok(tunnel.call(target.parse()?).await?)
    }

    async fn encrypt<T>(&self, stream: T, to: &Uri) -> Result<MaybeHttpsStream<T>, BoxError>
    where
        T: hyper::rt::Read + hyper::rt::Write + Unpin,
    {
        let name = ServerName::try_from(bare_host(to).to_owned())?;
        Ok(TlsConnector::from(Arc::clone(&self.tls)).connect(name, TokioIo::new(stream)).await?.into())
    }
}

async fn within<T, E: Into<BoxError>>(
    limit: Instant,
    stage: Stage,
    step: impl Future<Output = Result<T, E>>,
) -> Result<T, Unreachable> {
    match timeout_at(limit, step).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(source)) => Err(Unreachable { stage, timed_out: false, source: source.into() }),
        Err(elapsed) => Err(Unreachable { stage, timed_out: true, source: elapsed.into() }),
    }
}

/// Connects to the first address that answers; both families are tried a moment apart.
async fn connect(to: &Uri, addresses: Vec<SocketAddr>, limit: Instant) -> Result<Tcp, BoxError> {
    let mut connector = HttpConnector::new_with_resolver(Resolved(addresses));
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_keepalive(Some(Duration::from_secs(30)));
    connector.set_keepalive_interval(Some(Duration::from_secs(10)));
    connector.set_keepalive_retries(Some(3));
    #[cfg(target_os = "linux")]
    connector.set_tcp_user_timeout(Some(Duration::from_secs(20)));
    // Shared out among the addresses, so that a dead one does not take the time of the others. A
    // little less than the whole, so that the last one ends with its own reason.
    connector.set_connect_timeout(Some((limit - Instant::now()).mul_f32(0.9)));
    Ok(connector.call(to.clone()).await?)
}

impl Service<Uri> for Connector {
    type Response = Wire;
    type Error = Unreachable;
    type Future = Pin<Box<dyn Future<Output = Result<Wire, Unreachable>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unreachable>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.dial(&to).await })
    }
}

/// Addresses that were found before.
#[derive(Clone)]
struct Resolved(Vec<SocketAddr>);

impl Service<Name> for Resolved {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        ready(Ok(self.0.clone().into_iter()))
    }
}

/// A connection that is there already, for the tunnel, which wants to make its own.
struct Once(Option<FirstHop>);

impl Service<Uri> for Once {
    type Response = FirstHop;
    type Error = io::Error;
    type Future = Ready<io::Result<FirstHop>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.0.take().ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }
}

pub(super) fn is_https(uri: &Uri) -> bool {
    uri.scheme_str() == Some("https")
}

fn port(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or(if is_https(uri) { 443 } else { 80 })
}

fn host(uri: &Uri) -> &str {
    uri.host().unwrap_or_default()
}

/// The host without the brackets of an IPv6 address.
fn bare_host(uri: &Uri) -> &str {
    let host = host(uri);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}
