//! What the proxy counts: requests by endpoint, by who answered, by what they heard.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::protocol::endpoints::Route;

/// How many endpoints there are: the last of them is the last of the enum.
const ROUTES: usize = Route::UnknownWrite as usize + 1;

/// Who had the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "printed as they stand")]
pub(super) enum AnsweredBy {
    /// Our own copy.
    Replica,
    /// The primary.
    Primary,
    /// The local registry.
    Local,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: &'static str,
    source: AnsweredBy,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Finished {
    status: u16,
}

/// The proxy's counters.
#[derive(Clone, Debug)]
pub struct Metrics {
    answered: Family<Answered, Counter>,
    /// The counters of what the replica answered, by endpoint, so that a hit hashes no labels.
    own: Arc<[OnceLock<Counter>; ROUTES]>,
    finished: Family<Finished, Counter>,
    /// The counter of those that ended with 200.
    well: Arc<OnceLock<Counter>>,
    pub(super) in_flight: Gauge,
    pub(super) shed: Counter,
    seconds: Histogram,
}

impl Metrics {
    /// Makes the counters and lists them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            answered: Family::default(),
            own: Arc::new([const { OnceLock::new() }; ROUTES]),
            finished: Family::default(),
            well: Arc::default(),
            in_flight: Gauge::default(),
            shed: Counter::default(),
            seconds: Histogram::new([0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0]),
        };
        registry.register("answers", "Answers by endpoint and by who had them", metrics.answered.clone());
        registry.register("requests", "Requests by the status they were answered with", metrics.finished.clone());
        registry.register("in_flight", "Requests being worked on", metrics.in_flight.clone());
        registry.register("shed", "Requests turned away because there were too many", metrics.shed.clone());
        registry.register(
            "request_seconds",
            "Time from head to answer, of those that were not at hand",
            metrics.seconds.clone(),
        );
        metrics
    }

    pub(super) fn answered(&self, route: Route, source: AnsweredBy) {
        let counter = || self.answered.get_or_create(&Answered { route: route.name(), source }).clone();
        match source {
            AnsweredBy::Replica => self.own[route as usize].get_or_init(counter).inc(),
            AnsweredBy::Primary | AnsweredBy::Local => counter().inc(),
        };
    }

    pub(super) fn finished(&self, status: u16, took: Duration) {
        self.ended(status);
        self.seconds.observe(took.as_secs_f64());
    }

    /// Counts an answer that was at hand: to look at the time twice would be a good part of what it takes.
    pub(super) fn ended(&self, status: u16) {
        let counter = || self.finished.get_or_create(&Finished { status }).clone();
        if status == 200 {
            self.well.get_or_init(counter).inc()
        } else {
            counter().inc()
        };
    }
}
