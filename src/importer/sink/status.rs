//! What the second sink tells about itself: who writes, what is in step, what is withheld, what is not ours.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::Ordering;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry as Metrics;
use serde_json::{Value, json};

use super::claim::Writer;
use crate::importer::status::{PassKind, PassLabels, Report};
use crate::protocol::subject::QualifiedSubject;

/// Most entries of a list that are shown.
const MOST: usize = 100;

/// How it stands with the claim of the local registry's writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimStatus {
    /// Nobody has asked yet.
    Unknown,
    /// It is ours.
    Ours,
    /// It is another's.
    Others,
    /// Nobody's, as far as is known.
    Nobodys,
    /// The local registry cannot hold one, so that a second writer would not be noticed.
    Unguarded,
}

impl ClaimStatus {
    /// As it is printed.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Ours => "ours",
            Self::Others => "others",
            Self::Nobodys => "nobodys",
            Self::Unguarded => "unsupported",
        }
    }
}

/// Something in the local registry that is neither the primary's nor ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Foreign {
    /// The subject, or the scope of a configuration.
    pub subject: QualifiedSubject,
    /// What of it.
    pub what: ForeignPart,
    /// Whether it lies in what is the primary's, which the local registry then does not show as the primary does.
    pub is_between_ours: bool,
}

/// What of a subject is foreign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ForeignPart {
    /// The whole subject.
    Subject,
    /// One version.
    Version(i32),
    /// A configuration.
    Config,
}

impl fmt::Display for ForeignPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject => f.write_str("subject"),
            Self::Version(number) => write!(f, "version {number}"),
            Self::Config => f.write_str("configuration"),
        }
    }
}

/// A subject, or the configuration of a scope, that is no longer written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WithheldStatus {
    /// The subject or scope; the default context is `:.:`.
    pub subject: String,
    /// Why, in words.
    pub reason: String,
}

/// How the second sink is doing.
#[derive(Clone, Debug)]
pub struct SinkStatus {
    /// Whether this outpost is to write.
    pub writer: bool,
    /// How it stands with the claim.
    pub claim: ClaimStatus,
    /// Who else claims to write.
    pub other_writer: Option<Writer>,
    /// The pass that ended last.
    pub last_pass: Option<Report>,
    /// The pass over everything that ended last.
    pub last_full_pass: Option<Report>,
    /// The contexts of the primary, and whether the local registry shows them as the primary does.
    pub in_step: BTreeMap<String, bool>,
    /// What is no longer written, and why.
    pub withheld: Vec<WithheldStatus>,
    /// What is neither the primary's nor ours.
    pub foreign: Vec<Foreign>,
    /// What differs and waits for its turn.
    pub pending: usize,
    /// Why nothing is removed at the moment (C7).
    pub alarm: Option<String>,
}

impl SinkStatus {
    /// As it is shown to operators.
    pub fn json(&self) -> Value {
        let withheld: Vec<Value> = self
            .withheld
            .iter()
            .take(MOST)
            .map(|one| json!({ "subject": one.subject, "reason": one.reason }))
            .collect();
        let foreign: Vec<Value> = self
            .foreign
            .iter()
            .take(MOST)
            .map(|one| json!({ "subject": printed(&one.subject), "what": one.what.to_string() }))
            .collect();
        json!({
            "writer": self.writer,
            "claim": self.claim.as_str(),
            "otherWriter": self.other_writer.as_ref().map(|other| json!({ "name": other.name, "instance": other.instance })),
            "lastPass": self.last_pass.as_ref().map(Report::json),
            "lastFullPass": self.last_full_pass.as_ref().map(Report::json),
            "inStep": self.in_step,
            "withheld": withheld,
            "withheldCount": self.withheld.len(),
            "foreign": foreign,
            "foreignCount": self.foreign.len(),
            "pending": self.pending,
            "alarm": self.alarm,
        })
    }
}

/// A scope as operators write it; the default context has no name of its own.
pub(super) fn printed(subject: &QualifiedSubject) -> String {
    if subject.is_top_level() { ":.:".to_owned() } else { subject.to_string() }
}

/// Counters of the second sink; clones count into the same ones.
#[derive(Clone, Debug, Default)]
pub struct SinkCounters {
    passes: Family<PassLabels, Counter>,
    pub(super) requests: Counter,
    changes: Counter,
    withheld: Gauge,
    foreign: Gauge,
    alarm: Gauge,
}

impl SinkCounters {
    /// Shows the counters in a metrics registry.
    pub fn register(&self, metrics: &mut Metrics) {
        metrics.register("passes", "Passes by kind and outcome", self.passes.clone());
        metrics.register("requests", "Calls to the local registry by the importer", self.requests.clone());
        metrics.register("changes", "Writes into the local registry", self.changes.clone());
        metrics.register("withheld", "Subjects that are not written into the local registry", self.withheld.clone());
        metrics.register("foreign", "Things in the local registry that are not the primary's", self.foreign.clone());
        metrics.register("alarm", "1 while removals wait for a confirmation", self.alarm.clone());
    }

    pub(super) fn count(&self, report: &Report) {
        let kind = if report.kind == PassKind::Full { "full" } else { "tail" };
        let outcome = if report.ok { "ok" } else { "failed" };
        self.passes.get_or_create(&PassLabels { kind, outcome }).inc();
        self.changes.inc_by(report.changes);
    }

    pub(super) fn show(&self, withheld: usize, foreign: &BTreeSet<Foreign>, alarm: bool) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.withheld.set(number(withheld));
        self.foreign.set(number(foreign.len()));
        self.alarm.inner().store(i64::from(alarm), Ordering::Relaxed);
    }
}
