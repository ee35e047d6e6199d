//! A full pass: reads what is listed and takes over what of it is news.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::stream::{self, StreamExt as _};
use jiff::Timestamp;

use super::diff::{self, Brake};
use super::listing::{self, ListingError};
use super::poll::{Poll, PollError};
use super::reading::{Reading, Shown};
use super::status::{PassKind, Reason, Report, Skipped};
use super::walk::{self, Care};
use super::{Begun, Core};
use crate::protocol::error::Refusal;
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::replica::{Change, IdConflict, LeftOut, NotKept, Remembered, Scope, Urgency};
use crate::telemetry::Chain;

/// Most versions that are kept at once, so that a write never waits long behind the importer.
const COMMIT: usize = 1000;

/// Why a pass did not do all it was to do. What it had taken over until then stays.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// The primary did not answer a question.
    #[error(transparent)]
    Poll(#[from] PollError),
    /// What the primary lists could not be read.
    #[error("the listing could not be read")]
    Listing(#[from] ListingError),
    /// What was read could not be kept.
    #[error(transparent)]
    NotKept(#[from] NotKept),
    /// Too much was missing to be believed.
    #[error("nothing is removed: {0}")]
    Braked(Box<str>),
}

impl PassError {
    /// Whether the primary refused this one question, while it may well answer others.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Poll(error) if error.status().is_some())
    }
}

/// What became of subjects that were to be taken over.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) changes: u64,
    /// Subjects for which something newer was there.
    pub(super) overtaken: Vec<Scope>,
    pub(super) skipped: Vec<Skipped>,
}

impl Core {
    /// A whole full pass.
    pub(super) async fn full_pass(&self, confirm_removals: bool) -> Report {
        match self.begin_full_pass(confirm_removals).await {
            Ok(begun) => self.end_full_pass(begun).await,
            Err(report) => report,
        }
    }

    /// The part of a full pass that readers wait for.
    pub(super) async fn begin_full_pass(&self, confirm_removals: bool) -> Result<Begun, Report> {
        let _turn = self.turn.lock().await;
        let mut begun =
            Begun { poll: self.poll(Urgency::Background), started_at: Timestamp::now(), changes: 0, refusal: None };
        match self.read_all(&mut begun, confirm_removals).await {
            Ok(()) => {
                self.state().status.listed = true;
                Ok(begun)
            }
            Err(error) => Err(self.ended(PassKind::Full, begun.started_at, &begun.poll, Err(error))),
        }
    }

    async fn read_all(&self, begun: &mut Begun, confirm_removals: bool) -> Result<(), PassError> {
        let contexts = self.take_contexts(&begun.poll).await;
        begun.count(contexts)?;
        let reading = self.read(&begun.poll, None, Care::Thorough).await?;
        begun.changes += self.take_profile(&begun.poll, &reading).await?;
        begun.changes += self.take(&begun.poll, reading, None, confirm_removals).await?;
        Ok(())
    }

    /// The facts and the sweep, while tail passes go on.
    pub(super) async fn end_full_pass(&self, mut begun: Begun) -> Report {
        let _turn = self.sweeping.lock().await;
        let outcome = match self.read_the_rest(&mut begun).await {
            Ok(()) => begun.refusal.take().map_or(Ok(begun.changes), Err),
            Err(error) => Err(error),
        };
        self.ended(PassKind::Full, begun.started_at, &begun.poll, outcome)
    }

    async fn read_the_rest(&self, begun: &mut Begun) -> Result<(), PassError> {
        let facts = self.take_facts(&begun.poll).await;
        begun.count(facts)?;
        let swept = self.sweep(&begun.poll).await;
        begun.count(swept)?;
        // An answer given while the primary is away tells its age by this, also after a restart.
        let read_at = u64::try_from(begun.started_at.as_second()).unwrap_or_default();
        self.replica.apply_reading(vec![Change::ReadAt(read_at)], self.replica.ticket()).await?;
        // Last: what the pass replaced or removed leaves texts that nothing refers to.
        self.replica.sweep().await?;
        Ok(())
    }

    /// Remembers whether `/schemas` is a list that we could answer for the primary.
    async fn note_listing(&self, is_usable: bool) -> Result<(), NotKept> {
        let known = self.replica.snapshot().remembered("/schemas").is_none();
        if known != is_usable {
            let unusable = Remembered { status: 404, body: Refusal::not_found().body().into() };
            let change = Change::Remember { key: "/schemas".into(), answer: (!is_usable).then_some(unusable) };
            self.replica.apply_reading(vec![change], self.replica.ticket()).await?;
        }
        Ok(())
    }

    /// Reads all subjects, or those of a context, in the way that the primary allows.
    pub(super) async fn read(&self, poll: &Poll, within: Option<&Context>, care: Care) -> Result<Reading, PassError> {
        if let Some(reading) = listing::read(poll, &self.replica, within).await? {
            self.state().walks = false;
            self.note_listing(true).await?;
            return Ok(reading);
        }
        self.state().walks = true;
        self.note_listing(false).await?;
        let mut reading = walk::read(poll, &self.replica, self.config.parallel, care).await?;
        reading.shown.retain(|shown| within.is_none_or(|within| shown.subject.context == *within));
        Ok(reading)
    }

    /// Takes over what is news in a reading; removes what is missing from it, if that is to be believed.
    pub(super) async fn take(
        &self,
        poll: &Poll,
        reading: Reading,
        within: Option<&Context>,
        confirm_removals: bool,
    ) -> Result<u64, PassError> {
        let held = self.replica.snapshot();
        let missing = diff::missing(&reading, &held, within);
        let doubtful = diff::doubtful(&reading, &held, within);
        let brake = diff::brake(&missing, reading.items, &held, within).filter(|_| !confirm_removals);
        let plan = diff::plan(reading, &held);
        drop(held);
        let mut skipped = plan.skipped;
        let taken = self.apply(plan.apply).await?;
        let mut changes = taken.changes;
        skipped.extend(taken.skipped);
        let mut verify = plan.verify;
        if brake.is_none() {
            verify.extend(missing);
        }
        verify.extend(doubtful);
        verify.sort();
        verify.dedup();
        let verified = self.take_one_by_one(poll, verify).await?;
        changes += verified.changes;
        skipped.extend(verified.skipped);
        self.leave_out(within, skipped).await?;
        self.alarm(brake.as_ref(), within);
        match brake {
            Some(brake) if within.is_some() => Err(PassError::Braked(brake.to_string().into())),
            _ => Ok(changes),
        }
    }

    /// Asks for subjects by name, and takes over what is certain.
    async fn take_one_by_one(&self, poll: &Poll, subjects: Vec<QualifiedSubject>) -> Result<Taken, PassError> {
        let mut answers = stream::iter(subjects)
            .map(|subject| async move {
                let ticket = self.replica.ticket();
                (self.probe(poll, &subject, ticket).await, subject)
            })
            .buffer_unordered(self.config.parallel.max(1));
        let mut shown = Vec::new();
        let mut skipped = Vec::new();
        while let Some((answer, subject)) = answers.next().await {
            match answer {
                Ok((one, left_out)) => {
                    shown.push(one);
                    skipped.extend(left_out);
                }
                Err(error) => match error.status() {
                    Some(status) => skipped.push(refused(&subject, status)),
                    None => return Err(error.into()),
                },
            }
        }
        drop(answers);
        let held = self.replica.snapshot();
        shown.iter_mut().for_each(|one| diff::keep_poisoned(one, &held));
        diff::hold_out(&mut shown, &held, &mut skipped);
        let mut taken = self.apply(shown).await?;
        taken.skipped.extend(skipped);
        Ok(taken)
    }

    /// Takes over whole subjects, many at a time.
    pub(super) async fn apply(&self, mut shown: Vec<Shown>) -> Result<Taken, PassError> {
        let mut taken = Taken::default();
        shown.reverse();
        while let Some(first) = shown.pop() {
            let mut size = first.versions.len();
            let mut ticket = first.ticket;
            let mut commit = vec![first];
            while let Some(next) = shown.pop_if(|next| size + next.versions.len() <= COMMIT) {
                size += next.versions.len().max(1);
                ticket = ticket.min(next.ticket);
                commit.push(next);
            }
            let count = commit.len();
            let changes = commit.into_iter().map(|shown| Change::Subject {
                subject: shown.subject,
                versions: shown.versions.into_iter().map(Arc::unwrap_or_clone).collect(),
            });
            let applied = self.replica.apply_reading(changes.collect(), ticket).await?;
            if applied.changed {
                taken.changes += (count - applied.overtaken.len()) as u64;
            }
            taken.overtaken.extend(applied.overtaken);
            taken.skipped.extend(applied.conflicts.iter().map(|conflict| self.report_conflict(conflict)));
        }
        Ok(taken)
    }

    fn report_conflict(&self, conflict: &IdConflict) -> Skipped {
        self.counters.conflicts.inc();
        let IdConflict { subject, version, id } = conflict;
        Skipped {
            subject: Some(subject.to_string()),
            version: Some(*version),
            deleted: false,
            reason: Reason::IdConflict(*id),
        }
    }

    /// Replaces the list of what is left out, or the part of it that lies in a context.
    async fn leave_out(&self, within: Option<&Context>, skipped: Vec<Skipped>) -> Result<(), NotKept> {
        let is_inside = |name: Option<&str>| match (within, name) {
            (None, _) => true,
            (Some(within), Some(subject)) => QualifiedSubject::parse(subject).context == *within,
            (Some(_), None) => false,
        };
        let of = within.map_or(Scope::All, |context| Scope::Context(context.clone()));
        self.replace_skipped(of, is_inside, skipped).await
    }

    /// The same for one subject.
    pub(super) async fn leave_out_of(&self, subject: &QualifiedSubject, skipped: Vec<Skipped>) -> Result<(), NotKept> {
        let own = subject.to_string();
        self.replace_skipped(Scope::Subject(subject.clone()), |name| name == Some(&own), skipped).await
    }

    async fn replace_skipped(
        &self,
        of: Scope,
        is_old: impl Fn(Option<&str>) -> bool,
        new: Vec<Skipped>,
    ) -> Result<(), NotKept> {
        // Whoever answers from the replica must know what it lacks.
        let now = LeftOut {
            subjects: new.iter().filter_map(|one| one.subject.as_deref()).map(QualifiedSubject::parse).collect(),
            is_vague: new.iter().any(|one| one.subject.is_none()),
        };
        self.name_skipped(is_old, new);
        if !now.is_empty() || !self.replica.snapshot().left_out().is_empty() {
            self.replica.apply_reading(vec![Change::LeftOut { of, now }], self.replica.ticket()).await?;
        }
        Ok(())
    }

    fn name_skipped(&self, is_old: impl Fn(Option<&str>) -> bool, new: Vec<Skipped>) {
        let mut state = self.state();
        let known: HashSet<Skipped> = std::mem::take(&mut state.status.skipped).into_iter().collect();
        new.iter().filter(|one| !known.contains(one)).for_each(warn_of);
        let kept = known.into_iter().filter(|one| !is_old(one.subject.as_deref()));
        let new: BTreeSet<Skipped> = new.into_iter().chain(kept).collect();
        state.status.skipped = new.into_iter().collect();
        self.count_skipped(&mut state);
    }

    fn count_skipped(&self, state: &mut super::State) {
        state.tally = None;
        self.counters.skipped.set(i64::try_from(state.status.skipped.len()).unwrap_or(i64::MAX));
    }

    fn alarm(&self, brake: Option<&Brake>, within: Option<&Context>) {
        let mut state = self.state();
        let alarm = match brake {
            Some(brake) => Some(brake.to_string()),
            None if within.is_some() => state.status.alarm.take(),
            None => None,
        };
        if let Some(why) = &alarm
            && state.status.alarm.as_ref() != Some(why)
        {
            tracing::error!(why, "nothing is removed from the replica until a full pass is confirmed");
        }
        self.counters.alarm.inner().store(i64::from(alarm.is_some()), Ordering::Relaxed);
        state.status.alarm = alarm;
    }

    /// Writes down what became of a pass.
    pub(super) fn ended(
        &self,
        kind: PassKind,
        started_at: Timestamp,
        poll: &Poll,
        outcome: Result<u64, PassError>,
    ) -> Report {
        let (ok, changes) = (outcome.is_ok(), *outcome.as_ref().unwrap_or(&0));
        let error = outcome.err().map(|error| Chain(&error).to_string());
        let requests = poll.requests();
        match &error {
            Some(error) => tracing::warn!(?kind, requests, error, "a pass of the importer failed"),
            None if changes > 0 => tracing::info!(?kind, requests, changes, "the importer took over changes"),
            None => tracing::debug!(?kind, requests, "nothing new at the primary"),
        }
        let report = Report { kind, started_at, ended_at: Timestamp::now(), ok, requests, changes, error };
        self.counters.count(&report);
        self.counters.changes.inc_by(changes);
        let mut state = self.state();
        let status = &mut state.status;
        status.last_pass = Some(report.clone());
        match kind {
            PassKind::Full => {
                status.last_full_pass = Some(report.clone());
                status.caught_up = ok;
            }
            PassKind::Tail => status.caught_up = ok && status.last_full_pass.as_ref().is_some_and(|full| full.ok),
        }
        report
    }
}

impl Begun {
    /// Goes on after a step that the primary refuses: the others are current all the same.
    fn count(&mut self, step: Result<u64, PassError>) -> Result<(), PassError> {
        match step {
            Ok(changes) => self.changes += changes,
            Err(error) if error.is_refusal() => drop(self.refusal.get_or_insert(error)),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl Report {
    /// What is said when the process ends under a pass.
    pub(super) fn torn_down() -> Self {
        let now = Timestamp::now();
        let error = Some("the importer was stopped".to_owned());
        Self { kind: PassKind::Full, started_at: now, ended_at: now, ok: false, requests: 0, changes: 0, error }
    }
}

pub(super) fn refused(subject: &QualifiedSubject, status: u16) -> Skipped {
    let reason = Reason::Refused(status);
    Skipped { subject: Some(subject.to_string()), version: None, deleted: false, reason }
}

fn warn_of(skipped: &Skipped) {
    let Skipped { subject, version, reason, .. } = skipped;
    if matches!(reason, Reason::IdConflict(_)) {
        tracing::error!(subject, version, %reason, "the primary contradicts the replica; ours is kept");
        return;
    }
    tracing::warn!(subject, version, %reason, "a version of the primary is left out");
}

/// The subjects of the replica, for those who go through all of them.
pub(super) fn all_subjects(held: &crate::replica::Snapshot) -> impl Iterator<Item = QualifiedSubject> {
    held.contexts().flat_map(|(name, context)| {
        context.subjects().map(|(subject, _)| QualifiedSubject { context: name.clone(), subject: Arc::clone(subject) })
    })
}
