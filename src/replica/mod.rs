//! Our copy of the primary, in memory and kept.
//!
//! Readers take one [`Snapshot`] and see one state; a writer builds the next one, has it kept, and
//! only then shows it. Readings of the primary carry a [`Ticket`] from before they began, so that a
//! slow one never undoes what was written or read after it (C5, C7).

pub mod answer;
mod at_once;
mod build;
mod change;
mod digest;
mod index;
mod keep;
mod load;
mod memo;
mod reread;
mod row;
mod snapshot;
mod stamp;
mod texts;
mod unsettled;
mod within;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use stamp::{Touched, Touches};
use texts::Texts;
use unsettled::Unsettled;

pub use answer::{behind_alias, behind_parameter, config_key, is_alias, served_subject, subjects_behind};
pub use change::{Change, IdConflict};
pub use digest::Digest;
pub use index::{ContextState, Holder, SubjectState};
pub use keep::{Entry, Forgetful, Keep, NotKept, Table, Unreadable, associations};
pub use load::Loading;
pub use memo::{Memo, Question};
pub use reread::{NotReread, Reread, Urgency};
pub use snapshot::{Association, Doubt, LeftOut, Referrer, Remembered, Scope, Snapshot, Spelling};
pub use stamp::Stamp;

/// The replica: what is read from, and what is changed.
pub struct Replica {
    current: ArcSwap<Snapshot>,
    /// The generation of what is shown, for those who wait for the next one.
    news: watch::Sender<u64>,
    touches: Touches,
    writer: tokio::sync::Mutex<Writer>,
    keep: Box<dyn Keep>,
    tickets: AtomicU64,
    conflicts: AtomicU64,
    writes: AtomicU64,
}

#[derive(Default)]
struct Writer {
    texts: Texts,
    latest: Latest,
    unsettled: Unsettled,
}

/// The ticket of what was last applied to each scope.
#[derive(Default)]
struct Latest {
    scopes: HashMap<Scope, u64>,
    /// What is older than this is overtaken wherever it belongs: what was known of single scopes until
    /// then has been let go.
    floor: u64,
}

/// Scopes whose last ticket is remembered. Clients can name some of them, so there must be an end.
const MOST_SCOPES: usize = 1 << 18;

impl Latest {
    fn has_overtaken(&self, scope: &Scope, ticket: u64) -> bool {
        self.scopes.get(scope).map_or(self.floor, |last| *last.max(&self.floor)) > ticket
    }

    fn applied(&mut self, scopes: Vec<Scope>, ticket: u64) {
        if self.scopes.len() + scopes.len() > MOST_SCOPES {
            self.floor = self.scopes.values().copied().fold(self.floor, u64::max);
            self.scopes.clear();
        }
        self.scopes.extend(scopes.into_iter().map(|scope| (scope, ticket)));
    }
}

/// Proof of when a reading of the primary began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// Why something changes.
#[derive(Clone, Copy)]
enum Occasion {
    /// The primary was read, from then on.
    Reading(Ticket),
    /// The primary acknowledged a write that was sent after then.
    Write(Ticket),
    /// Something is not known any more.
    Doubt,
}

/// What became of a list of changes.
#[derive(Debug, Default)]
pub struct Applied {
    /// Whether anything is different now.
    pub changed: bool,
    /// What was not taken over, because something newer was there already.
    pub overtaken: Vec<Scope>,
    /// Ids for which ours was kept.
    pub conflicts: Vec<IdConflict>,
}

impl Replica {
    /// An empty replica that is kept by `keep`.
    pub fn empty(keep: impl Keep + 'static) -> Self {
        Self::new(Snapshot::default(), Writer::default(), Box::new(keep))
    }

    /// A replica in the state that was kept.
    pub fn load(rows: Loading, keep: impl Keep + 'static) -> Result<Self, Unreadable> {
        let (snapshot, texts) = rows.finish()?;
        Ok(Self::new(snapshot, Writer { texts, ..Writer::default() }, Box::new(keep)))
    }

    fn new(snapshot: Snapshot, writer: Writer, keep: Box<dyn Keep>) -> Self {
        Self {
            news: watch::Sender::new(snapshot.generation),
            current: ArcSwap::from_pointee(snapshot),
            touches: Touches::default(),
            writer: tokio::sync::Mutex::new(writer),
            keep,
            tickets: AtomicU64::new(1),
            conflicts: AtomicU64::new(0),
            writes: AtomicU64::new(0),
        }
    }

    /// The state of now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// The generation of the state of now.
    pub fn generation(&self) -> u64 {
        self.current.load().generation
    }

    /// Tells when there is another state.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Whether nothing that an answer is made of has changed since its stamp, up to a state that was taken from here.
    /// What is in doubt is another question.
    pub fn holds(&self, stamp: &Stamp, seen: &Snapshot) -> bool {
        stamp.holds(&self.touches, seen.generation)
    }

    /// To be taken before the primary is asked.
    pub fn ticket(&self) -> Ticket {
        Ticket(self.tickets.fetch_add(1, Ordering::Relaxed))
    }

    /// Takes over what a reading of the primary showed, except where something newer is there.
    /// Ends when it is durable and visible.
    pub async fn apply_reading(self: &Arc<Self>, changes: Vec<Change>, ticket: Ticket) -> Result<Applied, NotKept> {
        self.apply(changes, Occasion::Reading(ticket)).await
    }

    /// Takes over what an acknowledged write changed, all of it or nothing. Ends when it is durable and visible.
    ///
    /// Nothing is taken over where something else was since the write was sent, with `asked` taken before:
    /// in which order the primary did the two is not known then.
    pub async fn apply_write(self: &Arc<Self>, changes: Vec<Change>, asked: Ticket) -> Result<Applied, NotKept> {
        let applied = self.apply(changes, Occasion::Write(asked)).await;
        self.writes.fetch_add(1, Ordering::Release);
        applied
    }

    /// Doubts a scope from now on, and takes from it what is `gone` for certain; what was being read before
    /// does not settle it. The doubt counts even if it cannot be kept.
    pub async fn doubt(self: &Arc<Self>, scope: Scope, doubt: Doubt, gone: Vec<Change>) -> Result<(), NotKept> {
        let doubted = Change::Doubt(scope, Some(doubt));
        let both = gone.into_iter().chain([doubted.clone()]).collect();
        let outcome = match self.apply(both, Occasion::Doubt).await {
            Ok(_) => Ok(()),
            Err(_) => self.apply(vec![doubted], Occasion::Doubt).await.map(drop),
        };
        self.writes.fetch_add(1, Ordering::Release);
        outcome
    }

    /// In a task of its own: whoever asked for it may be gone before it ends, and half an application
    /// would leave on disk what memory does not show.
    async fn apply(self: &Arc<Self>, changes: Vec<Change>, occasion: Occasion) -> Result<Applied, NotKept> {
        let replica = self.clone();
        match tokio::spawn(async move { replica.apply_whole(changes, occasion).await }).await {
            Ok(applied) => applied,
            Err(failure) => Err(NotKept(Box::new(failure))),
        }
    }

    async fn apply_whole(&self, changes: Vec<Change>, occasion: Occasion) -> Result<Applied, NotKept> {
        let mut writer = self.writer.lock().await;
        let Writer { texts, latest, unsettled } = &mut *writer;
        let mut outcome = Applied::default();
        let Ticket(number) = match occasion {
            Occasion::Reading(ticket) => ticket,
            Occasion::Write(Ticket(asked)) => {
                let later = |scope: &Scope| latest.has_overtaken(scope, asked);
                outcome.overtaken = changes.iter().filter_map(Change::scope).filter(later).collect();
                if !outcome.overtaken.is_empty() {
                    return Ok(outcome);
                }
                // It counts from now on: every reading that began before is overtaken.
                self.ticket()
            }
            Occasion::Doubt => self.ticket(),
        };
        let mut scopes = Vec::new();
        let mut draft = change::Draft::of(&self.current.load(), texts);
        let only_doubts = changes.iter().all(|change| matches!(change, Change::Doubt(_, Some(_))));
        for change in changes {
            if let Some(scope) = change.scope() {
                if latest.has_overtaken(&scope, number) {
                    outcome.overtaken.push(scope);
                    continue;
                }
                scopes.push(scope);
            }
            draft.apply(change);
        }
        let change::Finished { next, entries, conflicts, fresh, touched } = draft.finish();
        let keys: Vec<_> = entries.iter().map(|entry| (entry.table, entry.key.clone())).collect();
        if !entries.is_empty()
            && let Err(failure) = self.keep(entries, texts, unsettled).await
        {
            unsettled.add(keys);
            texts.forget(&fresh);
            // A doubt counts even if it cannot be kept: who reads now must not believe what is held.
            if let Some(next) = next.filter(|_| only_doubts) {
                latest.applied(scopes, number);
                self.show(next, &touched);
            }
            return Err(failure);
        }
        latest.applied(scopes, number);
        self.conflicts.fetch_add(conflicts.len() as u64, Ordering::Relaxed);
        outcome.conflicts = conflicts;
        if let Some(next) = next {
            outcome.changed = next.generation != self.current.load().generation;
            self.show(next, &touched);
        }
        Ok(outcome)
    }

    /// Shows the next state. What it touches is noted first: noted later, a reader could see the state, find its answer
    /// untouched, and go on showing what came before an acknowledged write, though others see what came after (C2, C5).
    fn show(&self, next: Snapshot, touched: &Touched) {
        self.touches.note(touched, next.generation);
        let generation = next.generation;
        self.current.store(Arc::new(next));
        self.news.send_if_modified(|known| std::mem::replace(known, generation) != generation);
    }

    /// Keeps rows, together with those that an earlier failure has left unsettled.
    async fn keep(&self, entries: Vec<Entry>, texts: &Texts, unsettled: &mut Unsettled) -> Result<(), NotKept> {
        let mut all = unsettled.settlement(&self.current.load(), texts);
        all.extend(entries);
        self.keep.keep(all).await?;
        unsettled.settled();
        Ok(())
    }

    /// How many writes have been applied; what was asked of the primary before one of them may be stale.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Acquire)
    }

    /// Frees the texts that no version has any more.
    pub async fn sweep(&self) -> Result<(), NotKept> {
        let mut writer = self.writer.lock().await;
        let Writer { texts, unsettled, .. } = &mut *writer;
        let gone = texts.sweep();
        if gone.is_empty() && unsettled.is_empty() { Ok(()) } else { self.keep(gone, texts, unsettled).await }
    }

    /// Distinct texts, and their bytes.
    pub async fn texts(&self) -> (usize, usize) {
        self.writer.lock().await.texts.size()
    }

    /// How often the primary showed other content for an id than we hold (C8).
    pub fn id_conflicts(&self) -> u64 {
        self.conflicts.load(Ordering::Relaxed)
    }
}
