//! A pass: what the local registry holds is read and compared with the replica, and, if we are its writer, brought to it.
//!
//! It goes in rounds. A round judges, carries out, and the next one reads again what was written and judges it anew:
//! what the local registry made of a change counts, not that it said yes. So what had to wait for something else
//! finds its turn too, and whatever was cut off is found again by the next pass.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::claim::{Claim, Leave, Writer};
use super::content::Content;
use super::held::HeldSubject;
use super::ledger::{Line, WrittenSubject};
use super::news;
use super::plan::{self, Plan};
use super::reader::{Extent, Reader, Shown};
use super::round::Round;
use super::state::Compared;
use super::status::{ClaimStatus, Foreign, ForeignPart};
use super::wire::{Wire, WireError};
use super::withheld::Withheld;
use super::{Core, state::State};
use crate::importer::status::{PassKind, Report};
use crate::protocol::schema::Version;
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::replica::Snapshot;
use crate::store;
use crate::telemetry::Chain;

/// Rounds after which what is still not as it should be is given up until the next full pass.
const ROUNDS: usize = 5;
/// Subjects that are judged before others have their turn on this thread.
const BREATH: usize = 64;

/// Why a pass did not do all it was to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum PassError {
    /// There is nothing yet to compare with.
    #[error("nothing was read from the primary yet")]
    NotWhole,
    /// The local registry did not answer, or not well.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// What is ours could not be written down.
    #[error("what is written into the local registry could not be noted")]
    Ledger(#[source] Arc<store::Error>),
    /// Another has begun to write.
    #[error("{name} has taken over the local registry", name = .0.name)]
    Displaced(Writer),
    /// The local registry answered for some subjects or configurations that something is wrong with it.
    #[error("{count} could not be written: {last}")]
    Stumbled { count: usize, last: String },
}

/// What a pass goes by.
pub(super) struct Job<'a> {
    pub(super) kind: PassKind,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) contexts: BTreeSet<Context>,
    pub(super) wire: &'a Wire,
    pub(super) claim: &'a mut Claim,
    /// Whether removals are confirmed, however many they are.
    pub(super) confirmed: bool,
    pub(super) changes: u64,
}

impl Job<'_> {
    fn wanted(&self, subject: &QualifiedSubject) -> &[Arc<Version>] {
        self.snapshot.subject(subject).map_or(&[], |state| &state.versions)
    }
}

impl Core {
    /// A pass over everything.
    pub(super) async fn full_pass(&self, confirmed: bool) -> Report {
        self.pass(PassKind::Full, confirmed).await
    }

    /// A pass over what has changed since the last one, and what that has left.
    pub(super) async fn tail_pass(&self) -> Report {
        self.pass(PassKind::Tail, false).await
    }

    async fn pass(&self, kind: PassKind, confirmed: bool) -> Report {
        let mut claim = self.turn.lock().await;
        let started_at = Timestamp::now();
        let wire = self.wire();
        let snapshot = self.replica.snapshot();
        let contexts = self.contexts(&snapshot);
        let mut job = Job { kind, snapshot, contexts, wire: &wire, claim: &mut claim, confirmed, changes: 0 };
        let outcome = match kind {
            PassKind::Full => self.compare_all(&mut job).await,
            PassKind::Tail => self.compare_news(&mut job).await,
        };
        let (changes, requests) = (job.changes, wire.poll.requests());
        self.note_claim(&claim);
        let error = outcome.err().map(|error| Chain(&error).to_string());
        let ended_at = Timestamp::now();
        self.ended(Report { kind, started_at, ended_at, ok: error.is_none(), requests, changes, error })
    }

    /// The contexts that are the primary's, of all that there are.
    fn contexts(&self, held: &Snapshot) -> BTreeSet<Context> {
        let ledger = self.ledger();
        let known =
            held.contexts().map(|(context, _)| context).chain(ledger.subjects().map(|subject| &subject.context));
        let always = [Context::default_context(), Context::global()];
        let all: BTreeSet<Context> =
            known.chain(held.listed_contexts().unwrap_or_default()).chain(&always).cloned().collect();
        all.into_iter().filter(|context| self.is_ours(context)).collect()
    }

    async fn compare_all(&self, job: &mut Job<'_>) -> Result<(), PassError> {
        if !job.snapshot.is_whole() {
            return Err(PassError::NotWhole);
        }
        if self.settings.writer {
            job.claim.ask(job.wire).await?;
        } else {
            let other = job.claim.look(job.wire).await?;
            let mut state = self.state();
            state.other_writer = other;
            state.has_looked = true;
        }
        self.find_out_inheritance(job).await?;
        self.state().begin_anew(&job.snapshot);
        self.bring(job, None).await?;
        let configs = {
            let known =
                news::all_configs(&job.snapshot, |context| job.contexts.contains(context) || self.is_ours(context));
            let ledger = self.ledger();
            known.into_iter().chain(ledger.configs().filter(|scope| self.is_ours(&scope.context)).cloned()).collect()
        };
        self.bring_configs(job, configs).await?;
        self.settle(job);
        Ok(())
    }

    async fn compare_news(&self, job: &mut Job<'_>) -> Result<(), PassError> {
        let (mut news, before) = {
            let state = self.state();
            (state.pending.clone(), state.compared.clone())
        };
        let Some(before) = before else { return Err(PassError::NotWhole) };
        let fresh = news::between(&before.snapshot, &job.snapshot, |context| self.is_ours(context));
        news.subjects.extend(fresh.subjects);
        news.configs.extend(fresh.configs);
        {
            let mut state = self.state();
            let state = &mut *state;
            news.subjects.retain(|subject| !state.withheld.contains_key(subject) && self.is_ours(&subject.context));
            news.configs.retain(|scope| !state.withheld_configs.contains_key(scope) && self.is_ours(&scope.context));
            // A context that has become the primary's brings along what was never compared.
            let is_new = |context: &Context| !before.contexts.contains(context);
            let was_there =
                |context: &Context| before.snapshot.context(context).is_some() || self.ledger().knows(context);
            state.needs_full |= job.contexts.iter().any(|context| is_new(context) && was_there(context));
            // If it ends here, the next one begins with the same.
            state.pending.clone_from(&news);
            state.compared = Some(Compared { snapshot: job.snapshot.clone(), contexts: job.contexts.clone() });
        }
        if !news.subjects.is_empty() {
            self.bring(job, Some(news.subjects)).await?;
        }
        let configs = self.state().pending.configs.clone();
        if !configs.is_empty() {
            self.bring_configs(job, configs).await?;
        } else if self.settings.writer && job.claim.due().is_some_and(|due| due <= tokio::time::Instant::now()) {
            job.claim.ask(job.wire).await?;
        }
        Ok(())
    }

    fn settle(&self, job: &Job<'_>) {
        let mut state = self.state();
        state.needs_full = false;
        state.compared = Some(Compared { snapshot: job.snapshot.clone(), contexts: job.contexts.clone() });
    }

    /// Brings subjects to what they are at the primary; all of them, where none are named.
    async fn bring(&self, job: &mut Job<'_>, subjects: Option<BTreeSet<QualifiedSubject>>) -> Result<(), PassError> {
        let mut extent = subjects;
        let mut stumbled: Option<(usize, String)> = None;
        let mut is_braked = false;
        let mut refusals = BTreeMap::new();
        for number in 0..ROUNDS {
            let shown = self.read(job, extent.as_ref()).await?;
            if extent.is_none() {
                self.find_strays(job, &shown).await?;
            }
            let mut plans = self.judge(job, &shown, extent.as_ref()).await?;
            is_braked = if number == 0 { self.brake(job, &plans) } else { is_braked };
            if is_braked {
                plans.values_mut().for_each(|plan| plan.remove.clear());
            }
            plans.retain(|_, plan| plan.has_steps());
            if plans.is_empty() || !self.may_write(job).await? {
                break;
            }
            if number + 1 == ROUNDS {
                self.give_up(plans.keys(), &refusals);
                break;
            }
            let mut round = Round::of(self, job, &shown, &plans);
            let outcome = round.carry_out().await;
            let ended = round.ended();
            job.changes += ended.done;
            self.state().pending.configs.extend(ended.lifted);
            let is_last = ended.done == 0 && !ended.has_opened;
            self.take_refusals(&ended.refused, &ended.finally, is_last);
            refusals = ended.refused;
            stumbled = self.state().stumbled_over(ended.stumbled);
            outcome?;
            let withheld = self.withheld_among(plans.keys());
            extent = Some(plans.into_keys().filter(|subject| !withheld.contains(subject)).collect());
            if is_last || stumbled.is_some() {
                break;
            }
        }
        match stumbled {
            Some((count, last)) => Err(PassError::Stumbled { count, last }),
            None => Ok(()),
        }
    }

    async fn read(&self, job: &Job<'_>, extent: Option<&BTreeSet<QualifiedSubject>>) -> Result<Shown, PassError> {
        let walks = self.state().walks;
        let reader = Reader { poll: &job.wire.poll, replica: &self.replica, parallel: self.parallel(), walks };
        let is_primarys = |context: &Context| self.is_ours(context);
        let is_known = |subject: &QualifiedSubject| {
            job.snapshot.subject(subject).is_some() || self.ledger().written(subject).is_some()
        };
        let extent = match extent {
            Some(subjects) => Extent::These(subjects),
            None => Extent::All { is_primarys: &is_primarys, is_known: &is_known },
        };
        let shown = reader.read(extent).await?;
        self.state().walks = shown.walks;
        Ok(shown)
    }

    /// Judges what was read, notes what that settles, and returns what has to be done or waits.
    async fn judge(
        &self,
        job: &Job<'_>,
        shown: &Shown,
        extent: Option<&BTreeSet<QualifiedSubject>>,
    ) -> Result<BTreeMap<QualifiedSubject, Plan>, PassError> {
        let subjects = match extent {
            Some(subjects) => subjects.clone(),
            None => self.all_subjects(job, shown),
        };
        let (nothing_held, nothing_ours) = (HeldSubject::new(), WrittenSubject::new());
        let mut plans = BTreeMap::new();
        let mut lines = Vec::new();
        for (at, subject) in subjects.into_iter().enumerate() {
            if at % BREATH == BREATH - 1 {
                tokio::task::yield_now().await;
            }
            let held = shown.subjects.get(&subject).unwrap_or(&nothing_held);
            let wanted = job.wanted(&subject);
            let mut plan = match shown.unclear.contains(&subject) {
                true => Plan { withheld: Some(Withheld::Unreadable), ..Plan::default() },
                false => plan::plan(wanted, held, self.ledger().written(&subject).unwrap_or(&nothing_ours)),
            };
            if shown.walks && has_others_ids(wanted, held) {
                let mut state = self.state();
                state.own_ids.entry(subject.context.clone()).or_insert_with(|| subject.clone());
            }
            let place = |number: &i32| (subject.clone(), *number);
            lines.extend(plan.adopt.iter().map(|(number, written)| Line::Written(place(number), *written)));
            lines.extend(plan.forget.iter().map(|number| Line::Gone(place(number))));
            self.note(&subject, &mut plan, wanted.is_empty());
            if plan.has_steps() {
                plans.insert(subject, plan);
            }
        }
        for other in &shown.others {
            let foreign = Foreign { subject: other.clone(), what: ForeignPart::Subject, is_between_ours: false };
            self.state().foreign.insert(foreign);
        }
        let kept = self.ledger().enter(lines, &self.store);
        kept.await.map_err(PassError::Ledger)?;
        Ok(plans)
    }

    /// Every subject that the primary has, that the local registry has, or that was ours.
    fn all_subjects(&self, job: &Job<'_>, shown: &Shown) -> BTreeSet<QualifiedSubject> {
        let theirs = job.snapshot.contexts().filter(|(context, _)| job.contexts.contains(context)).flat_map(
            |(context, state)| {
                state.subjects().map(|(name, _)| QualifiedSubject { context: context.clone(), subject: name.clone() })
            },
        );
        let mut all: BTreeSet<QualifiedSubject> = theirs.collect();
        all.extend(shown.subjects.keys().chain(&shown.unclear).cloned());
        all.extend(self.ledger().subjects().filter(|subject| self.is_ours(&subject.context)).cloned());
        all
    }

    /// Shows what became known of a subject.
    fn note(&self, subject: &QualifiedSubject, plan: &mut Plan, is_nobodys: bool) {
        let mut state = self.state();
        state.forget_foreign(subject, false);
        let is_between_ours = !is_nobodys || !plan.remove.is_empty();
        let add = |state: &mut State, what| {
            state.foreign.insert(Foreign { subject: subject.clone(), what, is_between_ours });
        };
        match is_between_ours {
            true => plan.foreign.iter().for_each(|number| add(&mut state, ForeignPart::Version(*number))),
            false if !plan.foreign.is_empty() => add(&mut state, ForeignPart::Subject),
            false => {}
        }
        match plan.withheld.take() {
            Some(why) => {
                state.pending.subjects.remove(subject);
                state.withhold(subject, why);
            }
            None if plan.has_steps() => drop(state.pending.subjects.insert(subject.clone())),
            None => {
                state.pending.subjects.remove(subject);
                state.withheld.remove(subject);
                state.went_well(subject);
            }
        }
    }

    /// Whether a pass would remove so much that it may remove nothing.
    fn brake(&self, job: &Job<'_>, plans: &BTreeMap<QualifiedSubject, Plan>) -> bool {
        let ours = self.ledger().subjects().filter(|subject| job.contexts.contains(&subject.context)).count();
        let alarm = plan::brake(plans.iter(), ours).filter(|_| self.settings.writer && !job.confirmed);
        let mut state = self.state();
        if let Some(why) = &alarm
            && state.alarm.as_ref() != Some(why)
        {
            tracing::error!(why, "nothing is removed from the local registry until a full pass is confirmed");
        }
        state.alarm = alarm;
        state.alarm.is_some()
    }

    /// Whether we may write now; who may not has compared, and that was all.
    pub(super) async fn may_write(&self, job: &mut Job<'_>) -> Result<bool, PassError> {
        if !self.settings.writer {
            return Ok(false);
        }
        let leave = match job.kind {
            PassKind::Full => job.claim.refresh(job.wire).await?,
            PassKind::Tail if job.claim.leave() == Some(&Leave::Unguarded) => Leave::Unguarded,
            PassKind::Tail => job.claim.ask(job.wire).await?,
        };
        Ok(!matches!(leave, Leave::Others(_)))
    }

    fn give_up<'a>(
        &self,
        subjects: impl Iterator<Item = &'a QualifiedSubject>,
        refusals: &BTreeMap<QualifiedSubject, Withheld>,
    ) {
        let mut state = self.state();
        for subject in subjects {
            state.pending.subjects.remove(subject);
            state.withhold(subject, refusals.get(subject).cloned().unwrap_or(Withheld::Unsettled));
        }
    }

    /// Withholds what was refused for good; the rest has another chance in the next round.
    fn take_refusals(
        &self,
        refused: &BTreeMap<QualifiedSubject, Withheld>,
        finally: &BTreeSet<QualifiedSubject>,
        is_last: bool,
    ) {
        let mut state = self.state();
        for (subject, why) in refused.iter().filter(|(subject, _)| is_last || finally.contains(*subject)) {
            state.pending.subjects.remove(subject);
            state.withhold(subject, why.clone());
        }
    }

    fn withheld_among<'a>(&self, subjects: impl Iterator<Item = &'a QualifiedSubject>) -> BTreeSet<QualifiedSubject> {
        let state = self.state();
        subjects.filter(|subject| state.withheld.contains_key(subject)).cloned().collect()
    }

    /// Whether the strays of before are still there: then the local registry goes on giving ids of its own, and
    /// nothing is tried that would leave another one.
    async fn find_strays(&self, job: &Job<'_>, shown: &Shown) -> Result<(), PassError> {
        let mut lines = Vec::new();
        {
            let ledger = self.ledger();
            let mut state = self.state();
            for (context, stray) in ledger.strays().filter(|(context, _)| job.contexts.contains(context)) {
                let held = shown.subjects.get(&stray.subject);
                if held.is_some_and(|held| held.values().any(|held| held.id == stray.id)) {
                    state.own_ids.insert(context.clone(), stray.subject.clone());
                } else {
                    lines.push(Line::Stray(context.clone(), None));
                }
            }
        }
        let kept = self.ledger().enter(lines, &self.store);
        kept.await.map_err(PassError::Ledger)
    }

    fn note_claim(&self, claim: &Claim) {
        let mut state = self.state();
        let (status, other) = match claim.leave() {
            Some(Leave::Ours) => (ClaimStatus::Ours, None),
            Some(Leave::Others(other)) => (ClaimStatus::Others, Some(other.clone())),
            Some(Leave::Unguarded) => (ClaimStatus::Unguarded, None),
            None if state.other_writer.is_some() => (ClaimStatus::Others, state.other_writer.clone()),
            None if self.settings.writer || !state.has_looked => (ClaimStatus::Unknown, None),
            None => (ClaimStatus::Nobodys, None),
        };
        state.claim = Some(status);
        state.other_writer = other;
    }

    fn ended(&self, report: Report) -> Report {
        let Report { kind, requests, changes, error, ok, .. } = &report;
        match error {
            Some(error) => tracing::warn!(?kind, requests, changes, error, "a pass over the local registry failed"),
            None if *changes > 0 => {
                tracing::info!(?kind, requests, changes, "the local registry was brought up to date")
            }
            None => tracing::debug!(?kind, requests, "nothing to do in the local registry"),
        }
        self.counters.count(&report);
        let mut state = self.state();
        state.last_pass = Some(report.clone());
        if *kind == PassKind::Full {
            state.judged_anew();
            state.needs_full |= !ok;
            state.last_full_pass = Some(report.clone());
        }
        let withheld = state.withheld.len() + state.withheld_configs.len();
        self.counters.show(withheld, &state.foreign, state.alarm.is_some());
        report
    }
}

/// Whether what is wanted is there under other ids. Where nothing is listed as Confluent lists it, that is the work of a
/// registry that gives ids of its own, and perhaps a stray of ours from before our ledger.
fn has_others_ids(wanted: &[Arc<Version>], held: &HeldSubject) -> bool {
    let mut pairs = wanted.iter().filter_map(|version| Some((version, held.get(&version.version)?)));
    pairs.any(|(version, held)| held.id != version.id && held.content == Content::of(version))
}
