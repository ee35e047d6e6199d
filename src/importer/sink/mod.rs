//! The second sink of the importer: what the replica holds of the primary is also kept in the local registry, with the
//! same ids, versions, references, metadata, rules and configurations, so that it is ready to be promoted.
//!
//! There is no list of things to do that could be lost or go stale. What should be is the replica, what is there is
//! what the local registry shows, and the difference is worked on until there is none. After the replica has changed a
//! *tail* pass looks at what differs since the last one; a *full* pass compares everything, and so finds what others
//! did to the local registry.
//!
//! The local registry may hold what is nobody's business of ours. A ledger says what we wrote or found as it should
//! be; nothing else is ever deleted or replaced. Of several outposts beside one local registry one writes: the one whose
//! claim stands there.

mod claim;
mod configs;
mod configuring;
mod content;
mod held;
mod ledger;
mod news;
mod order;
mod pass;
mod plan;
mod reader;
mod round;
mod state;
mod status;
mod wire;
mod withheld;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{RwLock, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::lanes::Lanes;
use super::poll::Poll;
use super::status::{Counters, Report};
use super::{Importer, LONGEST_BACKOFF, chance};
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::replica::Replica;
use crate::routing::Primary;
use crate::store::{self, Store};
use crate::upstream::{Priority, Registry, without_secrets};
use claim::Claim;
use ledger::{Ledger, Line};
use state::State;
use status::ClaimStatus;
use wire::Wire;

pub use claim::Writer;
pub use status::{Foreign, ForeignPart, SinkCounters, SinkStatus, WithheldStatus};

/// The claim promises to grow within so many intervals of the importer.
const CLAIM: u32 = 6;
/// Changes that come together are brought over together.
const LONGEST_GATHERING: Duration = Duration::from_secs(1);
/// How long a process that ends waits for its claim to be given up.
const FAREWELL: Duration = Duration::from_secs(1);
/// With more than this left over, and others to bring it over, it is looked at less often.
const FEW: usize = 32;

/// Whether a subject is the primary's, or a context as a whole, so that it is to be kept in the local registry.
pub type IsPrimarys = Arc<dyn Fn(&QualifiedSubject) -> bool + Send + Sync>;

/// Who has to do with the second sink.
pub struct Parties {
    /// The registry beside us.
    pub local: Arc<Registry>,
    /// What it should hold.
    pub replica: Arc<Replica>,
    /// Where is kept what in it is ours.
    pub store: Store,
    /// Who keeps the replica, and by whose settings passes are made.
    pub importer: Importer,
    /// What is the primary's at this moment.
    pub is_primarys: IsPrimarys,
    /// Held in common while something is written for that reason, alone by whoever changes which these are.
    pub still: Arc<RwLock<()>>,
}

/// Which part an outpost has in it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether it writes; the others compare.
    pub writer: bool,
    /// By which name it claims to.
    pub name: String,
}

/// Keeps the local registry as the replica is; clones are the same one.
#[derive(Clone)]
pub struct Sink {
    core: Arc<Core>,
}

struct Core {
    local: Primary,
    replica: Arc<Replica>,
    store: Store,
    importer: Importer,
    is_primarys: IsPrimarys,
    settings: Settings,
    counters: SinkCounters,
    /// Held by the pass; there is never a second one.
    turn: tokio::sync::Mutex<Claim>,
    still: Arc<RwLock<()>>,
    ledger: Mutex<Ledger>,
    state: Mutex<State>,
    full_passes: Arc<Lanes<bool, Report>>,
}

impl Sink {
    /// A sink that does nothing until it is run or asked.
    pub fn new(parties: Parties, settings: Settings) -> Result<Self, store::Error> {
        let Parties { local, replica, store, importer, is_primarys, still } = parties;
        let mut ledger = Ledger::load(&store)?;
        let mut urls: Vec<String> = local.urls().map(without_secrets).collect();
        urls.sort();
        let lines = ledger.of(&urls.join(" "));
        if lines.len() > 1 {
            tracing::warn!("the local registry is another one than before: what was ours there is not ours here");
        }
        // Batches keep their order: whatever is entered from now on comes after it.
        drop(ledger.enter(lines, &store));
        let instance = match ledger.instance() {
            Some(instance) => instance.to_owned(),
            None => {
                let instance = uuid::Uuid::new_v4().to_string();
                // Without it the claim of before a restart looks like another's, and has to fall first.
                drop(ledger.enter(vec![Line::Instance(instance.clone())], &store));
                instance
            }
        };
        let own = Writer { name: settings.name.clone(), instance };
        let claim = Claim::new(own, importer.core.config.interval * CLAIM);
        let core = Core {
            local: Primary::behind(Arc::default(), local),
            replica,
            store,
            importer,
            is_primarys,
            settings,
            counters: SinkCounters::default(),
            turn: tokio::sync::Mutex::new(claim),
            still,
            ledger: Mutex::new(ledger),
            state: Mutex::default(),
            full_passes: Lanes::new(),
        };
        Ok(Self { core: Arc::new(core) })
    }

    /// Keeps the local registry current until it is told to stop, and gives up the claim to write it then.
    pub async fn run(&self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.core.passes() => {}
        }
        let give_up = async {
            let mut claim = self.core.turn.lock().await;
            claim.give_up(&self.core.wire()).await
        };
        if let Ok(Err(error)) = timeout(FAREWELL, give_up).await {
            tracing::debug!(%error, "the claim to write the local registry was not given up");
        }
    }

    /// Makes a pass over everything that begins after this is called. With `confirm_removals` it removes what the
    /// primary no longer has, however much that is.
    pub async fn full_pass_now(&self, confirm_removals: bool) -> Report {
        let core = Arc::clone(&self.core);
        let work = || async move { core.full_pass(confirm_removals).await };
        let report = self.core.full_passes.run(confirm_removals, work).await;
        report.unwrap_or_else(Report::torn_down)
    }

    /// Whether the local registry shows a context as the primary does: the last comparison found all that the primary
    /// has of it, nothing of the primary's that is mixed with what is not, and nothing has failed or changed since.
    /// Whole subjects that are not the primary's do not count against it; [`SinkStatus::foreign`] names them.
    pub fn in_step(&self, context: &Context) -> bool {
        self.core.is_ours(context) && self.core.state().in_step(context, &self.core.replica.snapshot())
    }

    /// What is no longer written into the local registry, and why.
    pub fn withheld(&self) -> Vec<WithheldStatus> {
        self.core.state().withheld()
    }

    /// How it is doing.
    pub fn status(&self) -> SinkStatus {
        let snapshot = self.core.replica.snapshot();
        let mut state = self.core.state();
        let contexts = snapshot.contexts().map(|(context, _)| context).filter(|context| self.core.is_ours(context));
        SinkStatus {
            writer: self.core.settings.writer,
            claim: state.claim.clone().unwrap_or(ClaimStatus::Unknown),
            other_writer: state.other_writer.clone(),
            last_pass: state.last_pass.clone(),
            last_full_pass: state.last_full_pass.clone(),
            in_step: contexts.map(|context| (context.to_string(), state.in_step(context, &snapshot))).collect(),
            withheld: state.withheld(),
            foreign: state.foreign(),
            pending: state.pending.subjects.len() + state.pending.configs.len(),
            alarm: state.alarm.clone(),
        }
    }

    /// Its own way to the local registry: what it is told there, nobody else is.
    pub fn registry(&self) -> &Registry {
        self.core.local.registry()
    }

    /// What it counts.
    pub fn counters(&self) -> &SinkCounters {
        &self.core.counters
    }
}

impl Core {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn parallel(&self) -> usize {
        self.importer.core.config.parallel.max(1)
    }

    /// Whether a context is to be kept in the local registry.
    fn is_ours(&self, context: &Context) -> bool {
        news::is_ours(context, |context| (self.is_primarys)(&QualifiedSubject::new(context.clone(), "")))
    }

    /// Whether one scope of it is: a subject may live apart from its context.
    fn is_wholly_ours(&self, scope: &QualifiedSubject) -> bool {
        self.is_ours(&scope.context) && (self.is_primarys)(scope)
    }

    fn wire(&self) -> Wire {
        let counters = Counters { requests: self.counters.requests.clone(), ..Counters::default() };
        let poll = Poll::new(self.local.clone(), Priority::Importer, counters);
        Wire { poll, registry: Arc::clone(self.local.registry()) }
    }

    /// Passes for ever: a full one at first and whenever it is due, a tail pass whenever there is news.
    async fn passes(&self) {
        let mut news = self.replica.news();
        let mut failures = 0;
        let mut full_due = Instant::now();
        self.importers_first_pass().await;
        loop {
            while !self.replica.snapshot().is_whole() {
                if news.changed().await.is_err() {
                    return;
                }
            }
            news.mark_unchanged();
            let is_full = full_due <= Instant::now() || self.state().needs_full;
            let report = if is_full { self.full_pass(false).await } else { self.tail_pass().await };
            failures = if report.ok { 0 } else { failures + 1 };
            if is_full {
                let config = &self.importer.core.config;
                full_due = Instant::now() + if report.ok { config.full_interval } else { Duration::ZERO };
            }
            self.rest(&mut news, full_due, failures).await;
        }
    }

    /// Waits until the importer has read what is new at the primary, or has failed to. What was kept from before may be
    /// far behind what another writer has brought here since.
    async fn importers_first_pass(&self) {
        let is_over = || {
            let status = self.importer.status();
            status.listed || status.last_pass.is_some()
        };
        while !is_over() {
            sleep((self.importer.core.config.interval / 10).min(LONGEST_GATHERING)).await;
        }
    }

    /// Waits until there is something to do; after a failure for some time, but not while the local registry has just
    /// come back.
    async fn rest(&self, news: &mut watch::Receiver<u64>, full_due: Instant, failures: u32) {
        let interval = self.importer.core.config.interval;
        if failures > 0 {
            let longest = interval * (1 << (failures - 1).min(4)).min(LONGEST_BACKOFF);
            tokio::select! {
                () = sleep(longest.mul_f64(0.75 + 0.25 * chance())) => {}
                () = self.returned() => {}
            }
            return;
        }
        let (left, is_writing, needs_full) = {
            let state = self.state();
            let is_writing = matches!(state.claim, Some(ClaimStatus::Ours | ClaimStatus::Unguarded));
            (state.pending.subjects.len() + state.pending.configs.len(), is_writing, state.needs_full)
        };
        let full_due = if needs_full { Instant::now() } else { full_due };
        let claim_due = self.turn.lock().await.due();
        let left_due = match left {
            0 => None,
            1..=FEW => Some(Instant::now() + interval),
            _ if is_writing => Some(Instant::now() + interval),
            _ => Some(Instant::now() + interval * LONGEST_BACKOFF),
        };
        let due = [Some(full_due), claim_due, left_due].into_iter().flatten().min().unwrap_or(full_due);
        let changed = async {
            // Without a sender there is nothing left to wait for but the time.
            if news.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            sleep((interval / 10).min(LONGEST_GATHERING)).await;
        };
        tokio::select! {
            () = sleep_until(due) => {}
            () = changed => {}
        }
    }

    async fn returned(&self) {
        let mut reachability = self.local.registry().watch();
        let was_reachable = reachability.borrow_and_update().reachable;
        if was_reachable || reachability.wait_for(|now| now.reachable).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
