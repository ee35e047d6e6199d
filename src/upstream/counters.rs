//! What is counted about calls to other registries.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry as Metrics;

use super::{Answer, Failure, FailureKind, Priority};

/// Counters of calls; clones count into the same ones, so that one set can serve several registries.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    calls: Family<CallLabels, Counter>,
    attempts: Family<RegistryLabel, Counter>,
}

/// Which calls are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CallLabels {
    /// The name of the registry that was called.
    pub registry: &'static str,
    /// What the calls were for.
    pub priority: &'static str,
    /// How they ended.
    pub outcome: Outcome,
}

/// How a call ended, in few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Outcome {
    /// Answered with 2xx or 304.
    Success,
    /// Answered with 4xx.
    ClientError,
    /// Answered with 429.
    TooManyRequests,
    /// Answered with 5xx.
    ServerError,
    /// Not tried.
    Refused,
    /// No connection.
    Unreachable,
    /// Sent, but without a whole answer in time.
    Unanswered,
    /// An answer of no use: a redirect, our credentials refused, too large, not what was asked for.
    Unusable,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RegistryLabel {
    registry: &'static str,
}

impl Counters {
    /// Shows the counters in a metrics registry.
    pub fn register(&self, metrics: &mut Metrics) {
        metrics.register("calls", "Calls to other registries by purpose and outcome", self.calls.clone());
        metrics.register(
            "attempts",
            "Requests put on the wire for those calls, retries and other URLs included",
            self.attempts.clone(),
        );
    }

    /// Calls with these labels so far.
    pub fn calls(&self, labels: &CallLabels) -> u64 {
        self.calls.get_or_create(labels).get()
    }

    pub(super) fn attempt(&self, registry: &'static str) {
        self.attempts.get_or_create(&RegistryLabel { registry }).inc();
    }

    pub(super) fn count(&self, registry: &'static str, priority: Priority, result: &Result<Answer, Failure>) {
        let priority = match priority {
            Priority::Write => "write",
            Priority::Miss => "miss",
            Priority::Importer => "importer",
        };
        self.calls.get_or_create(&CallLabels { registry, priority, outcome: outcome(result) }).inc();
    }
}

fn outcome(result: &Result<Answer, Failure>) -> Outcome {
    match result {
        Ok(answer) => match answer.status.as_u16() {
            429 => Outcome::TooManyRequests,
            400..=499 => Outcome::ClientError,
            500.. => Outcome::ServerError,
            _ => Outcome::Success,
        },
        Err(failure) => match (failure.kind, failure.sent) {
            (FailureKind::Nowhere | FailureKind::Refused | FailureKind::Spent | FailureKind::Malformed, _) => {
                Outcome::Refused
            }
            (FailureKind::Connect | FailureKind::Tls, _) | (FailureKind::TimedOut, super::Sent::No) => {
                Outcome::Unreachable
            }
            (FailureKind::TimedOut | FailureKind::Broken, _) => Outcome::Unanswered,
            (
                FailureKind::TooLarge | FailureKind::Unauthorized | FailureKind::Redirected | FailureKind::Unreadable,
                _,
            ) => Outcome::Unusable,
        },
    }
}
