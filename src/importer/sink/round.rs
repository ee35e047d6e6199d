//! A round of a pass: the steps of many plans are carried out, what is referred to before what refers to it when it
//! is written, and after it when it is deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::stream::{self, StreamExt as _};
use http::HeaderMap;

use super::claim::Leave;
use super::configs;
use super::content::Content;
use super::held::{Held, Place, references};
use super::ledger::{Line, Stray, Written};
use super::order;
use super::pass::{Job, PassError};
use super::plan::Plan;
use super::reader::Shown;
use super::wire::{Registered, Wire, WireError};
use super::withheld::{Refused, Withheld};
use super::{Core, status};
use crate::importer::{items, walk};
use crate::protocol::schema::Version;
use crate::protocol::subject::{Context, QualifiedSubject};

/// Steps between two looks at whether we still may.
const CHUNK: usize = 64;
/// Answers in a row that say that something is wrong with the local registry, after which it is left alone.
const MOST_STUMBLES: u32 = 3;
/// Most subjects whose configurations are asked for one by one.
const FEW: usize = 32;

/// One change of the local registry.
#[derive(Clone, Debug)]
struct Step {
    place: Place,
    action: Action,
    references: Vec<Place>,
}

#[derive(Clone, Debug)]
enum Action {
    Register(Arc<Version>),
    SoftDelete,
    Remove,
}

/// What became of a step.
#[derive(Clone, Copy, Debug)]
enum Done {
    AsSent,
    /// The version is there under another id or number.
    Otherwise {
        id: i32,
        version: Option<i32>,
    },
    /// It was not tried: the context is no longer the primary's, or the pass is over.
    Left,
}

/// What became of a round.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// Whether a context takes what is written into it from now on, and did not before.
    pub(super) has_opened: bool,
    /// Steps that were carried out.
    pub(super) done: u64,
    /// Subjects that the local registry refused something of.
    pub(super) refused: BTreeMap<QualifiedSubject, Withheld>,
    /// Those of them that are not to be tried again in this pass.
    pub(super) finally: BTreeSet<QualifiedSubject>,
    /// Subjects for which the local registry said that something is wrong with it.
    pub(super) stumbled: BTreeMap<QualifiedSubject, Withheld>,
    /// Scopes whose configuration has to be written again.
    pub(super) lifted: BTreeSet<QualifiedSubject>,
}

pub(super) struct Round<'a, 'b> {
    core: &'a Core,
    job: &'a mut Job<'b>,
    shown: &'a Shown,
    plans: &'a BTreeMap<QualifiedSubject, Plan>,
    ended: Ended,
    in_a_row: u32,
}

impl<'a, 'b> Round<'a, 'b> {
    pub(super) fn of(
        core: &'a Core,
        job: &'a mut Job<'b>,
        shown: &'a Shown,
        plans: &'a BTreeMap<QualifiedSubject, Plan>,
    ) -> Self {
        Self { core, job, shown, plans, ended: Ended::default(), in_a_row: 0 }
    }

    pub(super) fn ended(self) -> Ended {
        self.ended
    }

    /// Carries everything out, as far as it goes.
    pub(super) async fn carry_out(&mut self) -> Result<(), PassError> {
        self.open_contexts().await?;
        // Until now others could register there; what they did has to be read before it is written over.
        if self.ended.has_opened {
            return Ok(());
        }
        self.lift_aliases().await?;
        let replaced = |plan: &Plan| plan.replace.clone();
        self.delete(replaced).await?;
        self.run(self.registrations(), false).await?;
        let soft = |plan: &Plan| plan.soft_delete.clone();
        self.run(self.deletions(soft, false), true).await?;
        self.delete(|plan| plan.remove.clone()).await
    }

    /// Deletes versions for good, which takes two steps.
    async fn delete(&mut self, numbers: fn(&Plan) -> Vec<i32>) -> Result<(), PassError> {
        self.run(self.deletions(numbers, false), true).await?;
        self.run(self.deletions(numbers, true), true).await
    }

    fn registrations(&self) -> Vec<Step> {
        let of = |(subject, plan): (&QualifiedSubject, &Plan)| {
            let step = |version: &Arc<Version>| Step {
                place: (subject.clone(), version.version),
                action: Action::Register(version.clone()),
                references: references(&subject.context, version),
            };
            plan.register.iter().map(step).collect::<Vec<_>>()
        };
        self.plans.iter().flat_map(of).collect()
    }

    /// What is soft-deleted already is not soft-deleted again.
    fn deletions(&self, numbers: fn(&Plan) -> Vec<i32>, permanent: bool) -> Vec<Step> {
        let mut steps = Vec::new();
        for (subject, plan) in self.plans {
            for number in numbers(plan) {
                let held = self.held(subject, number);
                let is_anew = plan.register.iter().any(|version| version.version == number);
                if !permanent && held.is_some_and(|held| held.deleted) && !is_anew {
                    continue;
                }
                let wanted = || self.job.snapshot.version(subject, number);
                let references = match held {
                    Some(held) => held.references.clone(),
                    None => wanted().map(|version| references(&subject.context, version)).unwrap_or_default(),
                };
                let action = if permanent { Action::Remove } else { Action::SoftDelete };
                steps.push(Step { place: (subject.clone(), number), action, references });
            }
        }
        steps
    }

    fn held(&self, subject: &QualifiedSubject, number: i32) -> Option<&'a Held> {
        self.shown.subjects.get(subject)?.get(&number)
    }

    /// Puts every context that something is written into in the mode for it.
    async fn open_contexts(&mut self) -> Result<(), PassError> {
        let contexts: BTreeSet<Context> = self.plans.keys().map(|subject| subject.context.clone()).collect();
        for context in contexts {
            match self.core.open(self.job.wire, &context).await? {
                Ok(is_new) => self.ended.has_opened |= is_new,
                Err(refused) => {
                    let subjects = self.plans.keys().filter(|subject| subject.context == context);
                    let refusals = subjects.map(|subject| (subject.clone(), Withheld::Refused(refused.clone())));
                    self.ended.refused.extend(refusals);
                }
            }
        }
        Ok(())
    }

    /// What is written under the name of an alias lands behind it (WIRE.md § 3.5). Where the alias is the primary's it
    /// is taken back until everything is written.
    async fn lift_aliases(&mut self) -> Result<(), PassError> {
        for subject in self.possible_aliases().await? {
            let answer = self.job.wire.poll.fact(&configs::key(&subject)).await.map_err(WireError::from)?;
            if !configs::read(&answer).is_some_and(|config| configs::is_alias(&config)) {
                continue;
            }
            if self.core.ledger().has_config(&subject) {
                self.ended.lifted.insert(subject.clone());
                self.core.configure(self.job.wire, &subject, configs::without_alias()).await?;
            } else {
                self.refuse(&subject, Withheld::Aliased, true);
            }
        }
        Ok(())
    }

    /// Few are asked for one by one; of many, those that the local registry lists and those that we made.
    async fn possible_aliases(&self) -> Result<Vec<QualifiedSubject>, PassError> {
        if self.plans.len() <= FEW {
            return Ok(self.plans.keys().cloned().collect());
        }
        let listed = match self.job.wire.poll.aliases().await {
            Ok(aliases) => aliases.names,
            Err(error) if error.status().is_some() => Vec::new(),
            Err(error) => return Err(WireError::from(error).into()),
        };
        let listed: BTreeSet<QualifiedSubject> = listed.iter().map(|name| QualifiedSubject::parse(name)).collect();
        let ledger = self.core.ledger();
        Ok(self
            .plans
            .keys()
            .filter(|subject| listed.contains(subject) || ledger.has_config(subject))
            .cloned()
            .collect())
    }

    /// Carries steps out in their order, or, where referrers go first, against it.
    async fn run(&mut self, steps: Vec<Step>, referrers_first: bool) -> Result<(), PassError> {
        let places: Vec<_> = steps.iter().map(|step| (step.place.clone(), step.references.clone())).collect();
        let mut groups = order::groups(&places);
        if referrers_first {
            groups.reverse();
        }
        for group in groups {
            let size = if self.shown.walks { 1 } else { CHUNK };
            for chunk in group.chunks(size) {
                let steps: Vec<&Step> = chunk.iter().map(|at| &steps[*at]).collect();
                let (telling, rest) = self.telling(&steps);
                for step in telling {
                    self.batch(&[step]).await?;
                }
                self.batch(&rest).await?;
            }
        }
        Ok(())
    }

    /// The first registration in every context of which nothing is ours yet goes alone: it tells whether the local
    /// registry keeps ids.
    fn telling<'s>(&self, steps: &[&'s Step]) -> (Vec<&'s Step>, Vec<&'s Step>) {
        let ledger = self.core.ledger();
        let mut met = BTreeSet::new();
        steps.iter().copied().partition(|step| {
            let context = &step.place.0.context;
            matches!(step.action, Action::Register(_)) && !ledger.knows(context) && met.insert(context.clone())
        })
    }

    async fn batch(&mut self, steps: &[&Step]) -> Result<(), PassError> {
        let steps: Vec<Step> =
            steps.iter().filter(|step| self.is_to_be_done(step)).map(|step| (*step).clone()).collect();
        if steps.is_empty() {
            return Ok(());
        }
        if let Leave::Others(other) = self.job.claim.refresh(self.job.wire).await? {
            return Err(PassError::Displaced(other));
        }
        self.enter(steps.iter().filter_map(written).collect()).await?;
        let (core, wire) = (self.core, self.job.wire);
        let parallel = if self.shown.walks { 1 } else { core.parallel() };
        let is_over = &AtomicBool::new(false);
        let mut outcomes = stream::iter(steps)
            .map(|step| async move {
                let outcome =
                    if is_over.load(Ordering::Relaxed) { Ok(Done::Left) } else { core.step(wire, &step).await };
                (outcome, step)
            })
            .buffer_unordered(parallel);
        let (mut lines, mut failure) = (Vec::new(), None);
        while let Some((outcome, step)) = outcomes.next().await {
            // What is under way comes to its end, and nothing else begins.
            if let Err(error) = self.settle(&step, outcome, &mut lines) {
                is_over.store(true, Ordering::Relaxed);
                failure = failure.or(Some(error));
            }
        }
        drop(outcomes);
        self.enter(lines).await?;
        failure.map_or(Ok(()), |error| Err(error.into()))
    }

    async fn enter(&self, lines: Vec<Line>) -> Result<(), PassError> {
        let kept = self.core.ledger().enter(lines, &self.core.store);
        kept.await.map_err(PassError::Ledger)
    }

    /// Whether nothing has come in between for the step's subject.
    fn is_to_be_done(&mut self, step: &Step) -> bool {
        let subject = &step.place.0;
        if self.ended.refused.contains_key(subject) || self.ended.stumbled.contains_key(subject) {
            return false;
        }
        let other = self.core.state().own_ids.get(&subject.context).cloned();
        match other {
            Some(other) if matches!(step.action, Action::Register(_)) && !self.shown.subjects.contains_key(subject) => {
                self.refuse(subject, Withheld::OwnIds { other }, true);
                false
            }
            _ => true,
        }
    }

    fn refuse(&mut self, subject: &QualifiedSubject, why: Withheld, finally: bool) {
        self.ended.refused.insert(subject.clone(), why);
        if finally {
            self.ended.finally.insert(subject.clone());
        }
    }

    /// Notes what became of a step. What was not written is not ours.
    fn settle(
        &mut self,
        step: &Step,
        outcome: Result<Done, WireError>,
        lines: &mut Vec<Line>,
    ) -> Result<(), WireError> {
        let (subject, number) = &step.place;
        let is_registration = matches!(step.action, Action::Register(_));
        match outcome {
            Ok(Done::AsSent) => {
                self.in_a_row = 0;
                self.ended.done += 1;
                if matches!(step.action, Action::Remove) {
                    lines.push(Line::Gone(step.place.clone()));
                }
            }
            Ok(Done::Left) => lines.extend(is_registration.then(|| Line::Gone(step.place.clone()))),
            Ok(Done::Otherwise { id, version }) => {
                self.in_a_row = 0;
                self.ended.done += 1;
                lines.push(Line::Gone(step.place.clone()));
                if let Action::Register(sent) = &step.action {
                    self.note_stray(subject, sent.id, id, lines);
                    let why =
                        Withheld::AnsweredOtherwise { version: *number, id: sent.id, got_id: id, got_version: version };
                    self.refuse(subject, why, true);
                }
            }
            Err(error) => {
                if let Some(refused) = error.refused() {
                    self.in_a_row = 0;
                    lines.extend(is_registration.then(|| Line::Gone(step.place.clone())));
                    self.refuse(subject, Withheld::Refused(refused.clone()), false);
                } else if let Some(stumbled) = error.stumbled() {
                    self.in_a_row += 1;
                    self.ended.stumbled.insert(subject.clone(), Withheld::Refused(stumbled.clone()));
                    if self.in_a_row >= MOST_STUMBLES {
                        return Err(error);
                    }
                } else {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// One answer with another id is enough to know of the whole context that it gives ids of its own.
    fn note_stray(&self, subject: &QualifiedSubject, sent: i32, got: i32, lines: &mut Vec<Line>) {
        let mut state = self.core.state();
        if sent == got || self.shown.subjects.contains_key(subject) || state.own_ids.contains_key(&subject.context) {
            return;
        }
        let name = status::printed(subject);
        tracing::error!(
            context = %subject.context, subject = name, sent, got,
            "the local registry gives ids of its own; no further subject of the context is tried"
        );
        state.own_ids.insert(subject.context.clone(), subject.clone());
        let stray = Stray { subject: subject.clone(), id: got };
        lines.push(Line::Stray(subject.context.clone(), Some(stray)));
    }
}

fn written(step: &Step) -> Option<Line> {
    match &step.action {
        Action::Register(version) => {
            let written = Written { id: version.id, content: Content::of(version) };
            Some(Line::Written(step.place.clone(), written))
        }
        Action::SoftDelete | Action::Remove => None,
    }
}

impl Core {
    /// Carries one step out, unless its context has ceased to be the primary's.
    async fn step(&self, wire: &Wire, step: &Step) -> Result<Done, WireError> {
        let (subject, number) = &step.place;
        let _moving = self.still.read().await;
        if !self.is_wholly_ours(subject) {
            return Ok(Done::Left);
        }
        match &step.action {
            Action::SoftDelete => wire.delete(subject, *number, false).await.map(|()| Done::AsSent),
            Action::Remove => wire.delete(subject, *number, true).await.map(|()| Done::AsSent),
            Action::Register(version) => {
                let Registered { id, version: got } = wire.register(subject, version).await?;
                let (id, got) = match got {
                    Some(got) => (id, Some(got)),
                    // Only the id was told: what became of the number is asked.
                    None => shown_as(wire, subject, *number).await?.map_or((id, None), |id| (id, Some(*number))),
                };
                let is_as_sent = (id, got) == (version.id, Some(*number));
                Ok(if is_as_sent { Done::AsSent } else { Done::Otherwise { id, version: got } })
            }
        }
    }

    /// Makes sure that a context takes what is written into it, and says whether it did not before; the refusal, if it
    /// does not.
    pub(super) async fn open(&self, wire: &Wire, context: &Context) -> Result<Result<bool, Refused>, WireError> {
        let _moving = self.still.read().await;
        if !self.is_ours(context) {
            return Ok(Ok(false));
        }
        match wire.import_into(context).await {
            Err(WireError::Refused { refused, .. }) => Ok(Err(refused)),
            other => other.map(Ok),
        }
    }

    /// Sets a configuration, unless its context has ceased to be the primary's.
    pub(super) async fn configure(
        &self,
        wire: &Wire,
        scope: &QualifiedSubject,
        body: bytes::Bytes,
    ) -> Result<(), WireError> {
        let _moving = self.still.read().await;
        if self.is_wholly_ours(scope) { wire.configure(scope, body).await } else { Ok(()) }
    }
}

/// The id of a version of a subject, if the local registry has that version.
async fn shown_as(wire: &Wire, subject: &QualifiedSubject, number: i32) -> Result<Option<i32>, WireError> {
    let Some(answer) = wire.poll.version(subject, number, HeaderMap::new()).await? else { return Ok(None) };
    let item = items::read(&answer.body).ok();
    Ok(item.filter(|item| walk::is_of(item, subject) && item.version.version == number).map(|item| item.version.id))
}
