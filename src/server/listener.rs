//! The accept loop of one listener, and its drain.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ListenerConfig;
use super::connection::{Ending, Reception, Visit, serve};
use super::gate::Gate;
use super::signal::Signal;
use super::tls::{Certificate, TlsError};
use crate::telemetry::Chain;

/// Connections that the system keeps for us until they are accepted.
const BACKLOG: i32 = 1024;

/// Waits after a failed accept, the next one twice as long, up to the second.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A listener that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address cannot be used.
    #[error("cannot listen on {address}")]
    Address {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate cannot be used.
    #[error("cannot serve TLS on {address}")]
    Tls {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: Box<TlsError>,
    },
}

/// A bound socket that is not served yet.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    gate: Gate,
    certificate: Option<Arc<Certificate>>,
}

impl Listener {
    /// Reads the certificate, if there is one, and binds the address.
    pub fn bind(config: &ListenerConfig, gate: &Gate) -> Result<Self, BindError> {
        let address = config.bind;
        let load = |files| Certificate::load(files, gate.metrics()).map(Arc::new);
        let certificate = config.tls.as_ref().map(load).transpose();
        let certificate = certificate.map_err(|source| BindError::Tls { address, source: Box::new(source) })?;
        let bound = socket(address).and_then(|socket| {
            let address = socket.local_addr()?;
            Ok((socket, address))
        });
        let (socket, address) = bound.map_err(|source| BindError::Address { address, source })?;
        Ok(Self { socket, address, gate: gate.clone(), certificate })
    }

    /// The address that clients connect to; its port is known even when any was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The certificate, to be reloaded at once when someone asks for it.
    pub fn certificate(&self) -> Option<Arc<Certificate>> {
        self.certificate.clone()
    }

    /// Serves until `drain` is cancelled, and then for as long as requests in flight need, at most
    /// until the drain limit.
    pub async fn serve(self, reception: impl Reception, drain: CancellationToken) {
        let ending = Ending { drain: Signal::default(), abort: Signal::default(), tasks: TaskTracker::new() };
        // Whoever drops this future does not want connections that go on without it.
        let _aborts = ending.abort.on_drop();
        let Self { socket, address, gate, certificate } = self;
        let upkeep = async {
            match certificate.clone() {
                Some(certificate) => certificate.keep_current().await,
                None => std::future::pending().await,
            }
        };
        let limit = gate.limits().drain;
        let house = House { gate, certificate: certificate.clone(), reception, ending: ending.clone() };
        tokio::select! {
            () = house.accept(&socket, address, &drain) => {}
            () = upkeep => {}
        }
        ending.drain.give();
        house.accept_queued(socket);
        ending.tasks.close();
        if timeout(limit, ending.tasks.wait()).await.is_err() {
            tracing::warn!(open = ending.tasks.len(), "the drain took too long, what is still open is cut");
            ending.abort.give();
            ending.tasks.wait().await;
        }
    }
}

/// What accepted connections are led into.
struct House<R> {
    gate: Gate,
    certificate: Option<Arc<Certificate>>,
    reception: R,
    ending: Ending,
}

impl<R: Reception> House<R> {
    async fn accept(&self, socket: &TcpListener, address: SocketAddr, drain: &CancellationToken) {
        let mut pause = Pause::default();
        loop {
            let next = async {
                let permit = self.gate.room().await;
                (permit, self.next(socket, address, &mut pause).await)
            };
            let Some((permit, (tcp, peer))) = drain.run_until_cancelled(next).await else { return };
            self.begin(permit, tcp, peer);
        }
    }

    /// The next connection. Failures are waited out, because to stop listening would be worse than any of them.
    async fn next(&self, socket: &TcpListener, address: SocketAddr, pause: &mut Pause) -> (TcpStream, SocketAddr) {
        loop {
            match socket.accept().await {
                Ok(accepted) => {
                    pause.over(address);
                    return accepted;
                }
                Err(error) if is_of_the_client(&error) => {}
                Err(error) => {
                    self.gate.accept_failed();
                    pause.wait(address, &error).await;
                }
            }
        }
    }

    /// Takes in, before it closes the door, who waits in the system's queue and believes to be connected.
    fn accept_queued(&self, socket: TcpListener) {
        // The runtime does not know of connections that came a moment ago, the system does.
        let Ok(socket) = socket.into_std() else { return };
        while let Some(permit) = self.gate.room_now()
            && let Ok((tcp, peer)) = socket.accept()
        {
            if tcp.set_nonblocking(true).is_ok()
                && let Ok(tcp) = TcpStream::from_std(tcp)
            {
                self.begin(permit, tcp, peer);
            }
        }
    }

    fn begin(&self, permit: OwnedSemaphorePermit, tcp: TcpStream, peer: SocketAddr) {
        let place = self.gate.admit(permit);
        let visit = Visit { reception: self.reception.clone(), place, ending: self.ending.clone() };
        self.ending.tasks.spawn(serve(tcp, peer, self.certificate.clone(), visit));
    }
}

fn socket(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the last connections of the process before.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Connections that were gone before they were accepted.
fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// The growing pause between failed accepts. A series of them is logged when it begins and when it ends.
#[derive(Default)]
struct Pause(Option<Duration>);

impl Pause {
    async fn wait(&mut self, address: SocketAddr, error: &io::Error) {
        let length = match self.0 {
            None => {
                tracing::warn!(%address, error = %Chain(error), "cannot accept connections, trying on");
                SHORTEST_PAUSE
            }
            Some(before) => (before * 2).min(LONGEST_PAUSE),
        };
        self.0 = Some(length);
        tokio::time::sleep(length).await;
    }

    fn over(&mut self, address: SocketAddr) {
        if self.0.take().is_some() {
            tracing::info!(%address, "accepting connections again");
        }
    }
}
