//! What all listeners of a port share: the limits, the room for connections, the counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Limits;
use super::clock::Overdue;
use crate::telemetry::Registry;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Port {
    port: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Cut {
    port: &'static str,
    limit: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reload {
    outcome: &'static str,
}

/// What the server counts.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    accepted: Family<Port, Counter>,
    open: Family<Port, Gauge>,
    cut: Family<Cut, Counter>,
    handshakes_failed: Family<Port, Counter>,
    accepts_failed: Family<Port, Counter>,
    accepts_waited: Family<Port, Counter>,
    reloads: Family<Reload, Counter>,
}

impl Metrics {
    /// Puts the families of this room into the registry.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let room = registry.room("server");
        room.register("connections_accepted", "Connections accepted", metrics.accepted.clone());
        room.register("connections_open", "Connections open now", metrics.open.clone());
        room.register("connections_cut", "Connections closed because a limit was reached", metrics.cut.clone());
        room.register("handshakes_failed", "TLS handshakes that failed", metrics.handshakes_failed.clone());
        room.register("accepts_failed", "Connections that could not be accepted", metrics.accepts_failed.clone());
        let help = "Times that no more connections were accepted, since limits.connections were open";
        room.register("accepts_waited", help, metrics.accepts_waited.clone());
        room.register("certificate_reloads", "Certificates read again after a change", metrics.reloads.clone());
        metrics
    }

    pub(super) fn reloaded(&self, kept_old: bool) {
        let outcome = if kept_old { "failed" } else { "ok" };
        self.reloads.get_or_create(&Reload { outcome }).inc();
    }
}

/// The door to one port: connections of all its listeners are counted here together.
#[derive(Clone)]
pub struct Gate(Arc<Shared>);

struct Shared {
    port: &'static str,
    limits: Limits,
    room: Arc<Semaphore>,
    metrics: Metrics,
    next: AtomicU64,
}

/// A place for one connection, taken until it is dropped.
pub(super) struct Place {
    gate: Gate,
    pub(super) connection: u64,
    _permit: OwnedSemaphorePermit,
}

impl Gate {
    /// A gate for the port that metrics call `port`.
    pub fn new(port: &'static str, limits: &Limits, metrics: &Metrics) -> Self {
        let places = limits.connections.clamp(1, Semaphore::MAX_PERMITS);
        Self(Arc::new(Shared {
            port,
            limits: limits.clone(),
            room: Arc::new(Semaphore::new(places)),
            metrics: metrics.clone(),
            next: AtomicU64::new(1),
        }))
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    fn label(&self) -> Port {
        Port { port: self.0.port }
    }

    /// Waits for room. Clients wait in the system's queue meanwhile, which costs us nothing.
    pub(super) async fn room(&self) -> OwnedSemaphorePermit {
        if self.0.room.available_permits() == 0 {
            self.0.metrics.accepts_waited.get_or_create(&self.label()).inc();
        }
        Arc::clone(&self.0.room).acquire_owned().await.expect("BUG: the semaphore of a gate is never closed")
    }

    /// Room, if there is any just now.
    pub(super) fn room_now(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.room).try_acquire_owned().ok()
    }

    /// Turns room into the place of an accepted connection.
    pub(super) fn admit(&self, permit: OwnedSemaphorePermit) -> Place {
        self.0.metrics.accepted.get_or_create(&self.label()).inc();
        self.0.metrics.open.get_or_create(&self.label()).inc();
        Place { gate: self.clone(), connection: self.0.next.fetch_add(1, Ordering::Relaxed), _permit: permit }
    }

    pub(super) fn accept_failed(&self) {
        self.0.metrics.accepts_failed.get_or_create(&self.label()).inc();
    }
}

impl Place {
    pub(super) fn limits(&self) -> &Limits {
        self.gate.limits()
    }

    pub(super) fn handshake_failed(&self) {
        self.gate.0.metrics.handshakes_failed.get_or_create(&self.gate.label()).inc();
    }

    pub(super) fn cut(&self, overdue: Overdue) {
        let limit = match overdue {
            Overdue::FirstByte => "first_byte",
            Overdue::Head => "head_time",
            Overdue::Idle => "idle",
            Overdue::Stalled => "body_idle",
            Overdue::Drained | Overdue::Linger => return,
        };
        self.gate.0.metrics.cut.get_or_create(&Cut { port: self.gate.0.port, limit }).inc();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gate.0.metrics.open.get_or_create(&self.gate.label()).dec();
    }
}
