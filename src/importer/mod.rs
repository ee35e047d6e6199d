//! Keeps the replica current.
//!
//! A *full* pass reads everything: what is listed, then the facts about the primary, and last the
//! configuration and mode of every subject, a sweep that takes two calls each and that nothing but
//! [`Status::caught_up`] waits for. A *tail* pass asks a few questions whose answers change
//! whenever something is new, and reads only that. Where a write or a doubt wants one thing read
//! again, [`Reread`](crate::replica::Reread) does it at once.
//!
//! Nothing is removed because it was not seen: what is missing from a list is asked for by name,
//! and where too much is missing nothing is removed at all (C7).

mod diff;
mod facts;
mod items;
mod lanes;
mod listing;
mod pass;
mod poll;
mod profile;
mod reading;
mod reread;
pub mod sink;
mod status;
mod subject;
mod sweep;
mod tail;
mod walk;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::replica::{Replica, Scope, Urgency};
use crate::routing::Primary;
use crate::upstream::{Priority, ProfileChoice};
use lanes::Lanes;
use poll::Poll;
use tail::{Sign, Tally};

pub use listing::ListingError;
pub use pass::PassError;
pub use poll::PollError;
pub use reread::RereadError;
pub use status::{Counters, PassKind, Reason, Report, Skipped, Status};

/// A pass that fails is tried again after at most so many intervals.
const LONGEST_BACKOFF: u32 = 10;

/// How the importer keeps the replica current.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Time between two tail passes, which find what is new.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// Time between two full passes, which find everything.
    #[serde(with = "humantime_serde")]
    pub full_interval: Duration,
    /// Calls to the primary that the importer has under way at once.
    pub parallel: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { interval: Duration::from_secs(10), full_interval: Duration::from_secs(300), parallel: 4 }
    }
}

/// Pulls from the primary into the replica; clones are the same importer.
#[derive(Clone)]
pub struct Importer {
    core: Arc<Core>,
}

/// One reading of a scope at a time for each kind of caller.
type Rereads = Arc<Lanes<(Scope, Priority), Result<(), Arc<RereadError>>>>;

/// What the steps of the importer share.
struct Core {
    primary: Primary,
    replica: Arc<Replica>,
    config: Config,
    profile: ProfileChoice,
    counters: Counters,
    /// Held by the pass that reads what is listed; there is never a second one.
    turn: tokio::sync::Mutex<()>,
    /// Held by the full pass that goes through the configurations.
    sweeping: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    full_passes: Arc<Lanes<bool, Report>>,
    rereads: Rereads,
    doubts: Notify,
}

#[derive(Default)]
struct State {
    status: Status,
    /// Whether the primary has to be read subject by subject.
    walks: bool,
    /// Whether the primary answers with the inherited configuration for subjects without their own.
    inherits: Option<bool>,
    tally: Option<Tally>,
    /// What the last tail pass asked for where it could choose.
    sign: Option<Sign>,
}

/// A full pass that has read what is listed, and not yet every subject's configuration.
struct Begun {
    poll: Poll,
    started_at: Timestamp,
    changes: u64,
    /// The first question that the primary refused.
    refusal: Option<PassError>,
}

impl Importer {
    /// An importer that does nothing until it is run or asked.
    pub fn new(primary: Primary, replica: Arc<Replica>, config: &Config, profile: ProfileChoice) -> Self {
        let core = Core {
            primary,
            replica,
            config: config.clone(),
            profile,
            counters: Counters::default(),
            turn: tokio::sync::Mutex::new(()),
            sweeping: tokio::sync::Mutex::new(()),
            state: Mutex::default(),
            full_passes: Lanes::new(),
            rereads: Lanes::new(),
            doubts: Notify::new(),
        };
        Self { core: Arc::new(core) }
    }

    /// Keeps the replica current until it is told to stop.
    pub async fn run(&self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.core.passes() => {}
            () = self.core.settle_doubts() => {}
        }
    }

    /// Makes a full pass, configurations and modes included, that begins after this is called.
    /// With `confirm_removals` it removes what the primary no longer has, however much that is.
    pub async fn full_pass_now(&self, confirm_removals: bool) -> Report {
        let core = Arc::clone(&self.core);
        let work = || async move { core.full_pass(confirm_removals).await };
        let report = self.core.full_passes.run(confirm_removals, work).await;
        report.unwrap_or_else(Report::torn_down)
    }

    /// How it is doing.
    pub fn status(&self) -> Status {
        let mut status = self.core.state().status.clone();
        status.caught_up &= status.alarm.is_none() && self.core.replica.snapshot().is_sure();
        let contradicted = status.skipped.iter().filter(|one| matches!(one.reason, Reason::IdConflict(_))).count();
        if status.alarm.is_none() && contradicted > 0 {
            status.alarm =
                Some(format!("the primary shows other content under {contradicted} known ids; ours is kept"));
        }
        status
    }

    /// What it counts.
    pub fn counters(&self) -> &Counters {
        &self.core.counters
    }

    /// Says that something is in doubt, and is to be read again soon.
    pub fn nudge(&self) {
        self.core.doubts.notify_one();
    }

    /// Whether the primary answers with what is inherited when it is asked for the configuration of
    /// a subject that has none, as others than Confluent do. There, a change of `/config` changes
    /// the remembered answers of all subjects.
    pub fn config_inherits(&self) -> bool {
        self.core.state().inherits.unwrap_or(false)
    }
}

impl Core {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll(&self, urgency: Urgency) -> Poll {
        Poll::new(self.primary.clone(), priority(urgency), self.counters.clone())
    }

    /// Full passes with tail passes in between, for ever.
    async fn passes(self: &Arc<Self>) {
        let mut sweeps = JoinSet::new();
        let mut failures = 0;
        loop {
            match self.begin_full_pass(false).await {
                Ok(begun) => {
                    failures = 0;
                    let core = Arc::clone(self);
                    sweeps.spawn(async move { core.end_full_pass(begun).await });
                }
                Err(_) => {
                    failures += 1;
                    self.rest(Instant::now() + self.pause(failures)).await;
                    continue;
                }
            }
            self.tail_passes(&mut sweeps, &mut failures).await;
        }
    }

    /// Tail passes until the next full pass is due; meanwhile the last one's sweep comes to its end.
    async fn tail_passes(&self, sweeps: &mut JoinSet<Report>, failures: &mut u32) {
        let mut full_due: Option<Instant> = None;
        let mut tail_due = Instant::now() + self.pause(*failures);
        loop {
            let due = full_due.map_or(tail_due, |full_due| full_due.min(tail_due));
            tokio::select! {
                Some(ended) = sweeps.join_next() => {
                    let ok = ended.is_ok_and(|report| report.ok);
                    let wait = if ok { self.config.full_interval } else { self.config.interval * LONGEST_BACKOFF };
                    full_due = Some(Instant::now() + wait.min(self.config.full_interval));
                    continue;
                }
                () = self.rest(due) => {}
            }
            if full_due.is_some_and(|due| due <= Instant::now()) {
                return;
            }
            let ok = self.tail_pass().await.ok;
            *failures = if ok { 0 } else { *failures + 1 };
            tail_due = Instant::now() + self.pause(*failures);
        }
    }

    /// Waits, but not while the primary has just come back.
    async fn rest(&self, until: Instant) {
        let mut reachability = self.primary.registry().watch();
        let was_reachable = reachability.borrow_and_update().reachable;
        let returned = async {
            // Without a sender there is nothing left to wait for but the time.
            if was_reachable || reachability.wait_for(|now| now.reachable).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = sleep_until(until) => {}
            () = returned => {}
        }
    }

    /// How long to wait for the next pass after so many failures in a row.
    fn pause(&self, failures: u32) -> Duration {
        if failures == 0 {
            return self.config.interval;
        }
        let longest = self.config.interval * (1 << (failures - 1).min(4)).min(LONGEST_BACKOFF);
        longest.mul_f64(0.75 + 0.25 * chance())
    }
}

fn priority(urgency: Urgency) -> Priority {
    match urgency {
        Urgency::Write => Priority::Write,
        Urgency::Read => Priority::Miss,
        Urgency::Background => Priority::Importer,
    }
}

/// A number from 0 to 1, another one each time.
fn chance() -> f64 {
    use std::hash::{BuildHasher as _, RandomState};
    f64::from(RandomState::new().hash_one(()) as u32) / f64::from(u32::MAX)
}
