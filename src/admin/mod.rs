//! For operators, on its own port: health, status, metrics, digest.
//!
//! The names and fields are fixed (DESIGN.md, Two ports), so that probes and dashboards can rely on them.

mod routes;
mod status;

use std::net::SocketAddr;
use std::sync::Arc;

use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::importer::Importer;
use crate::importer::sink::Sink;
use crate::proxy::Proxy;
use crate::replica::Replica;
use crate::store::Store;
use crate::telemetry::Registry as Metrics;
use crate::upstream::Registry;

pub use routes::Service;

/// The admin port.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port of the admin endpoints.
    pub bind: SocketAddr,
}

impl Default for Config {
    fn default() -> Self {
        Self { bind: SocketAddr::from(([127, 0, 0, 1], 8082)) }
    }
}

/// What the admin port tells about.
pub struct Parties {
    /// Our copy.
    pub replica: Arc<Replica>,
    /// Where it is kept.
    pub store: Store,
    /// The registry that owns the schemas.
    pub primary: Arc<Registry>,
    /// The registry that we stand beside, if there is one.
    pub local: Option<Arc<Registry>>,
    /// What keeps the copy current.
    pub importer: Arc<Importer>,
    /// What keeps the local registry as the copy is, if there is one.
    pub sink: Option<Sink>,
    /// What serves clients.
    pub proxy: Arc<Proxy>,
    /// All counters.
    pub metrics: Metrics,
    /// Cancelled when the process is about to end.
    pub draining: CancellationToken,
}

impl Parties {
    /// Whether there is a registry to forward to.
    pub(crate) fn has_primary(&self) -> bool {
        !self.primary.is_nowhere()
    }
}

/// The admin port's view of the house.
pub struct Admin {
    parties: Parties,
    started: Instant,
    /// The last digest, with the generation that it is of: hashing everything takes its time.
    digest: tokio::sync::Mutex<Option<(u64, Arc<crate::replica::Digest>)>>,
}

impl Admin {
    /// Begins to count the uptime.
    pub fn new(parties: Parties) -> Arc<Self> {
        Arc::new(Self { parties, started: Instant::now(), digest: tokio::sync::Mutex::new(None) })
    }
}
