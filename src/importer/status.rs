//! What the importer tells about itself: its passes, what it left out, what it warns of.

use std::fmt;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry as Metrics;
use serde_json::{Value, json};

/// What kind of pass it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassKind {
    /// Asks whether anything is new.
    Tail,
    /// Reads everything.
    Full,
}

/// What became of a pass.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its kind.
    pub kind: PassKind,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Whether it did all that it was to do.
    pub ok: bool,
    /// Calls to the primary.
    pub requests: u64,
    /// Subjects, answers and lists that were taken over.
    pub changes: u64,
    /// Why it did not, the whole chain of causes.
    pub error: Option<String>,
}

/// How the importer is doing.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The pass that ended last.
    pub last_pass: Option<Report>,
    /// The full pass that ended last, configurations and modes included.
    pub last_full_pass: Option<Report>,
    /// Whether everything the primary showed has been taken over once since the start.
    pub listed: bool,
    /// Whether the last full pass ended well, configurations and modes included, so did the passes
    /// since, nothing is in doubt, and no alarm is raised.
    pub caught_up: bool,
    /// What is left out, in the order of the subjects.
    pub skipped: Vec<Skipped>,
    /// Why the importer removes nothing at the moment (C7).
    pub alarm: Option<String>,
}

/// A version that is left out, though the primary shows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Skipped {
    /// Its subject, qualified; absent if not even that could be read.
    pub subject: Option<String>,
    /// Its number; absent if it could not be read, or where the whole subject is meant.
    pub version: Option<i32>,
    /// Whether it is soft-deleted, as far as that is known.
    pub deleted: bool,
    /// Why.
    pub reason: Reason,
}

/// Why a version is left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// It is no version, or not one that we understand.
    Unreadable(String),
    /// It is larger than we take.
    TooLarge,
    /// It refers to a version that the primary does not have.
    MissingReference {
        /// The subject referred to, as written.
        subject: String,
        /// The version referred to.
        version: i32,
    },
    /// Its id stands for other content here (C8).
    IdConflict(i32),
    /// The primary answered with this status when it was asked for the subject.
    Refused(u16),
    /// The subject's name is an alias, which leads whoever asks for it to another one (WIRE.md § 3.5).
    Aliased,
}

impl Report {
    /// A pass as operators are told of it: `startedAt`, `endedAt`, `ok`, `requests`, `changes`, `error`.
    pub fn json(&self) -> Value {
        json!({
            "startedAt": self.started_at.to_string(),
            "endedAt": self.ended_at.to_string(),
            "ok": self.ok,
            "requests": self.requests,
            "changes": self.changes,
            "error": self.error,
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => write!(f, "cannot be read: {why}"),
            Self::TooLarge => f.write_str("is too large"),
            Self::MissingReference { subject, version } => {
                write!(f, "refers to version {version} of {subject}, which the primary does not have")
            }
            Self::IdConflict(id) => write!(f, "has id {id}, which stands for another schema here"),
            Self::Refused(status) => write!(f, "is answered with status {status}"),
            Self::Aliased => f.write_str("cannot be asked for, because its name is an alias of another subject"),
        }
    }
}

/// Counters of the importer; clones count into the same ones.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    pub(super) passes: Family<PassLabels, Counter>,
    pub(super) requests: Counter,
    pub(super) changes: Counter,
    pub(super) conflicts: Counter,
    pub(super) skipped: Gauge,
    pub(super) alarm: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PassLabels {
    pub(super) kind: &'static str,
    pub(super) outcome: &'static str,
}

impl Counters {
    /// Shows the counters in a metrics registry.
    pub fn register(&self, metrics: &mut Metrics) {
        metrics.register("passes", "Passes by kind and outcome", self.passes.clone());
        metrics.register("requests", "Calls to the primary by the importer", self.requests.clone());
        metrics.register("changes", "Subjects, answers and lists taken over", self.changes.clone());
        metrics.register("id_conflicts", "Ids shown with other content than is held", self.conflicts.clone());
        metrics.register("skipped", "Versions of the primary that are left out", self.skipped.clone());
        metrics.register("alarm", "1 while removals wait for a confirmation", self.alarm.clone());
    }

    pub(super) fn count(&self, report: &Report) {
        let kind = if report.kind == PassKind::Full { "full" } else { "tail" };
        let outcome = if report.ok { "ok" } else { "failed" };
        self.passes.get_or_create(&PassLabels { kind, outcome }).inc();
    }
}
