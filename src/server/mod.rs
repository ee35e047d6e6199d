//! Sockets in: accept, connection limits and timers, TLS, drain.
//!
//! A [`Listener`] serves any tower service and knows nothing of what it does. Its [`Reception`] makes one
//! for each connection and is told the [`Peer`]; what a service should do itself, because only it can
//! answer, is to [`examine`] a head first and to read a body with [`read_whole`]. Whoever has answers ready
//! ([`AtOnce`]) is asked before hyper is.

mod clock;
mod connection;
mod front;
mod gate;
mod head;
mod intake;
mod listener;
mod outgoing;
mod ready;
mod signal;
mod stream;
mod tls;
mod turns;
mod words;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;

pub use connection::{Guest, Peer, Reception};
pub use front::AtOnce;
pub use gate::{Gate, Metrics};
pub use head::{HeadError, examine, is_host};
pub use intake::{IntakeError, read_whole};
pub use listener::{BindError, Listener};
pub use ready::{Framing, Heads, Outbox, Ready};
pub use tls::{Certificate, TlsError};
pub use words::{MOST_FIELDS, Words};

/// One listener of the data port.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenerConfig {
    /// Address and port to listen on.
    pub bind: SocketAddr,
    /// Serves TLS with this certificate; plain HTTP when absent.
    pub tls: Option<TlsConfig>,
    /// The only context that there is on this listener, and that plain names mean there; all are, when absent.
    pub context: Option<String>,
}

impl Default for ListenerConfig {
    fn default() -> Self {
        Self { bind: SocketAddr::from(([127, 0, 0, 1], 8081)), tls: None, context: None }
    }
}

/// The certificate of a listener.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file with the certificate chain, leaf first.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
    /// PEM file with the authorities whose client certificates are accepted; none are asked for when absent.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
}

/// How long and how much of everything a client may take.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Open connections of all listeners together.
    pub connections: usize,
    /// Requests being worked on at once; more are answered 503 with Retry-After.
    pub in_flight: usize,
    /// Longest TLS handshake.
    #[serde(with = "humantime_serde")]
    pub handshake: Duration,
    /// Longest silence between a new connection and its first byte.
    #[serde(with = "humantime_serde")]
    pub first_byte: Duration,
    /// Longest time between the first byte of a head and its last.
    #[serde(with = "humantime_serde")]
    pub head_time: Duration,
    /// Longest silence inside a body, either way.
    #[serde(with = "humantime_serde")]
    pub body_idle: Duration,
    /// Longest time for a whole request body.
    #[serde(with = "humantime_serde")]
    pub body_time: Duration,
    /// How long a connection may stay open between two requests.
    #[serde(with = "humantime_serde")]
    pub idle: Duration,
    /// Longest time for a read that the primary is asked for.
    #[serde(with = "humantime_serde")]
    pub read: Duration,
    /// Longest time for a write.
    #[serde(with = "humantime_serde")]
    pub write: Duration,
    /// How long requests in flight may go on after SIGTERM.
    #[serde(with = "humantime_serde")]
    pub drain: Duration,
    /// Largest request head.
    pub head: ByteSize,
    /// Largest request body.
    pub body: ByteSize,
    /// Memory for answers at hand; a quarter of it for what look-ups were answered.
    pub answers: ByteSize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            in_flight: 1_024,
            handshake: Duration::from_secs(10),
            first_byte: Duration::from_secs(10),
            head_time: Duration::from_secs(10),
            body_idle: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            idle: Duration::from_secs(75),
            read: Duration::from_secs(10),
            write: Duration::from_secs(25),
            drain: Duration::from_secs(25),
            head: ByteSize::kib(32),
            body: ByteSize::mib(16),
            answers: ByteSize::mib(64),
        }
    }
}
