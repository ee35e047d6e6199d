//! Flights: those who ask the primary the same at the same time share one call.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use moka::future::Cache;

use super::Proxy;
use super::ask::Ask;
use super::headers::told_to_primary;
use super::refuse::Failure;
use crate::protocol::shape::Form;
use crate::protocol::subject::Context;
use crate::routing::Routed;
use crate::upstream::Answer;

/// Answers of the primary to misses, each for a moment: long enough for those who ask at the same
/// time, too short to be believed later.
pub(super) type Flights = Cache<Flight, Arc<Answer>>;

/// What those who share a call have in common: what is asked, of which state, and how it is answered.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Flight {
    /// What was asked before a write, or before the replica changed, is no answer after it.
    state: (u64, u64),
    method: Method,
    bound: Option<Context>,
    target: String,
    media: HeaderValue,
    /// What else of a request the primary may heed.
    told: Vec<(HeaderName, HeaderValue)>,
    form: Form,
    body: Bytes,
}

/// A remembered "not found" lives no longer than this (C4b).
const MOMENT: Duration = Duration::from_millis(500);

pub(super) fn flights() -> Flights {
    let weight = |flight: &Flight, answer: &Arc<Answer>| {
        u32::try_from(flight.target.len() + flight.body.len() + answer.body.len() + 512).unwrap_or(u32::MAX)
    };
    Cache::builder().time_to_live(MOMENT).max_capacity(16 << 20).weigher(weight).build()
}

impl Proxy {
    /// Everyone who asks the same at the same time shares one call.
    pub(super) async fn one_flight(
        self: &Arc<Self>,
        routed: &Routed,
        ask: &Ask,
        form: Form,
    ) -> Result<Arc<Answer>, Failure> {
        let replica = &self.parties.replica;
        let flight = Flight {
            state: (replica.writes(), replica.snapshot().generation()),
            method: ask.method.clone(),
            bound: ask.bound.clone(),
            target: routed.addressed().operation().target.clone(),
            media: ask.media.clone(),
            told: told_to_primary(&ask.headers),
            form,
            body: ask.body.clone(),
        };
        let load = async { self.ask_and_learn(routed, ask).await.map(Arc::new) };
        self.flights.try_get_with(flight, load).await.map_err(|failure| again(&failure, ask))
    }
}

/// The failure of a shared flight, for each of those who waited for it.
fn again(failure: &Arc<Failure>, ask: &Ask) -> Failure {
    match &**failure {
        Failure::Away(cause, _) => Failure::Away(Box::new(cause.for_another()), ask.media.clone()),
        _ => Failure::Internal,
    }
}
