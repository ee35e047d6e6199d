//! What is known from one pass to the next.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::claim::Writer;
use super::news::News;
use super::status::{ClaimStatus, Foreign, ForeignPart, WithheldStatus, printed};
use super::withheld::Withheld;
use crate::importer::status::Report;
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::replica::Snapshot;

/// The state of the replica that the local registry was last compared with, in the contexts that were the primary's.
#[derive(Clone)]
pub(super) struct Compared {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) contexts: BTreeSet<Context>,
}

/// What was known before a pass over everything, which counts until that has come to its end.
#[derive(Default)]
struct Before {
    withheld: BTreeMap<QualifiedSubject, Withheld>,
    withheld_configs: BTreeMap<QualifiedSubject, Withheld>,
    foreign: BTreeSet<Foreign>,
    /// The contexts that were in step; none while no such pass is under way.
    in_step: Option<BTreeSet<Context>>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) compared: Option<Compared>,
    /// The contexts that have changed between two generations, which several may ask for.
    changed: Option<((u64, u64), BTreeSet<Context>)>,
    /// What differs, or may, and waits for its turn.
    pub(super) pending: News,
    pub(super) withheld: BTreeMap<QualifiedSubject, Withheld>,
    pub(super) withheld_configs: BTreeMap<QualifiedSubject, Withheld>,
    pub(super) foreign: BTreeSet<Foreign>,
    /// What was known before everything is judged anew.
    before: Before,
    /// The contexts in which the local registry gives ids of its own, each with the subject that showed it.
    pub(super) own_ids: BTreeMap<Context, QualifiedSubject>,
    /// How many passes a subject in a row has made the local registry stumble.
    stumbles: HashMap<QualifiedSubject, u32>,
    config_stumbles: HashMap<QualifiedSubject, u32>,
    /// Whether the local registry has to be read subject by subject.
    pub(super) walks: bool,
    /// Whether the local registry shows inherited configurations for subjects without their own.
    pub(super) inherits: bool,
    /// Whether there is more to compare than a tail pass looks at.
    pub(super) needs_full: bool,
    /// Whether an onlooker knows if anybody writes.
    pub(super) has_looked: bool,
    pub(super) claim: Option<ClaimStatus>,
    pub(super) other_writer: Option<Writer>,
    pub(super) alarm: Option<String>,
    pub(super) last_pass: Option<Report>,
    pub(super) last_full_pass: Option<Report>,
}

impl State {
    /// Whether the local registry shows a context as the primary does.
    pub(super) fn in_step(&mut self, context: &Context, now: &Snapshot) -> bool {
        if self.before.in_step.as_ref().is_some_and(|in_step| !in_step.contains(context)) {
            return false;
        }
        let is_same = self.is_same(context, now);
        let Some(compared) = &self.compared else { return false };
        let went_well = |pass: &Option<Report>| pass.as_ref().is_some_and(|pass| pass.ok);
        let is_of = |subject: &QualifiedSubject| subject.context == *context;
        let left_out = now.left_out();
        went_well(&self.last_pass)
            && went_well(&self.last_full_pass)
            && compared.contexts.contains(context)
            && !self.pending.subjects.iter().chain(&self.pending.configs).any(is_of)
            && !self.withheld.keys().chain(self.withheld_configs.keys()).any(is_of)
            && !self.foreign.iter().any(|one| one.is_between_ours && is_of(&one.subject))
            && !left_out.is_vague
            && !left_out.subjects.iter().any(is_of)
            && is_same
    }

    /// Whether nothing of a context has changed since the last comparison.
    fn is_same(&mut self, context: &Context, now: &Snapshot) -> bool {
        let Some(compared) = &self.compared else { return false };
        let generations = (compared.snapshot.generation(), now.generation());
        if self.changed.as_ref().is_none_or(|(known, _)| *known != generations) {
            let News { subjects, configs } = super::news::between(&compared.snapshot, now, |_| true);
            let contexts = subjects.into_iter().chain(configs).map(|scope| scope.context).collect();
            self.changed = Some((generations, contexts));
        }
        self.changed.as_ref().is_some_and(|(_, contexts)| !contexts.contains(context))
    }

    /// What is withheld, subjects before configurations; what is being judged anew still is.
    pub(super) fn withheld(&self) -> Vec<WithheldStatus> {
        type All = BTreeMap<QualifiedSubject, Withheld>;
        let is_anew = self.before.in_step.is_some();
        let all = move |now: &All, before: &All| {
            let mut all = if is_anew { before.clone() } else { All::new() };
            all.extend(now.clone());
            all
        };
        let subjects = all(&self.withheld, &self.before.withheld);
        let configs = all(&self.withheld_configs, &self.before.withheld_configs);
        let subjects = subjects.iter().map(|(subject, why)| (subject, why.to_string()));
        let configs = configs.iter().map(|(scope, why)| (scope, format!("configuration: {why}")));
        subjects.chain(configs).map(|(subject, reason)| WithheldStatus { subject: printed(subject), reason }).collect()
    }

    /// What is foreign; the same goes for that.
    pub(super) fn foreign(&self) -> Vec<Foreign> {
        let before = self.before.foreign.iter().filter(|_| self.before.in_step.is_some());
        self.foreign.iter().chain(before).cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Forgets what a pass over everything finds out again.
    pub(super) fn begin_anew(&mut self, now: &Snapshot) {
        let contexts = self.compared.as_ref().map(|compared| compared.contexts.clone()).unwrap_or_default();
        let in_step = contexts.into_iter().filter(|context| self.in_step(context, now)).collect();
        self.before = Before {
            withheld: std::mem::take(&mut self.withheld),
            withheld_configs: std::mem::take(&mut self.withheld_configs),
            foreign: std::mem::take(&mut self.foreign),
            in_step: Some(in_step),
        };
        self.own_ids.clear();
        self.pending = News::default();
    }

    /// From now on what the pass found counts, if it came to its end.
    pub(super) fn judged_anew(&mut self) {
        self.before.in_step = None;
    }

    /// Counts for which subjects something went wrong in the local registry. Which have done so again and again are
    /// withheld, so that a pass can end well for all others; of the rest, how many, and what was said.
    pub(super) fn stumbled_over(&mut self, subjects: BTreeMap<QualifiedSubject, Withheld>) -> Option<(usize, String)> {
        let (again, left) = counted(&mut self.stumbles, subjects);
        for (subject, why) in again {
            self.pending.subjects.remove(&subject);
            self.withhold(&subject, why);
        }
        left
    }

    /// The same for configurations.
    pub(super) fn stumbled_over_configs(
        &mut self,
        scopes: BTreeMap<QualifiedSubject, Withheld>,
    ) -> Option<(usize, String)> {
        let (again, left) = counted(&mut self.config_stumbles, scopes);
        for (scope, why) in again {
            self.pending.configs.remove(&scope);
            self.withhold_config(&scope, why);
        }
        left
    }

    /// Forgets what of a subject was foreign, its configuration or all but that.
    pub(super) fn forget_foreign(&mut self, subject: &QualifiedSubject, is_config: bool) {
        let first = Foreign { subject: subject.clone(), what: ForeignPart::Subject, is_between_ours: false };
        let own = self.foreign.range(first..).take_while(|one| one.subject == *subject);
        let gone: Vec<Foreign> = own.filter(|one| (one.what == ForeignPart::Config) == is_config).cloned().collect();
        for one in &gone {
            self.foreign.remove(one);
        }
    }

    /// Forgets that something went wrong, for now it has not.
    pub(super) fn went_well(&mut self, subject: &QualifiedSubject) {
        self.stumbles.remove(subject);
    }

    pub(super) fn config_went_well(&mut self, scope: &QualifiedSubject) {
        self.config_stumbles.remove(scope);
    }

    pub(super) fn withhold(&mut self, subject: &QualifiedSubject, why: Withheld) {
        let known = self.withheld.get(subject).or_else(|| self.before.withheld.get(subject));
        // What is still so is no news.
        if known != Some(&why) {
            let name = printed(subject);
            tracing::warn!(subject = name, reason = %why, "a subject is not written into the local registry");
        }
        self.withheld.insert(subject.clone(), why);
    }

    pub(super) fn withhold_config(&mut self, scope: &QualifiedSubject, why: Withheld) {
        let known = self.withheld_configs.get(scope).or_else(|| self.before.withheld_configs.get(scope));
        if known != Some(&why) {
            let name = printed(scope);
            tracing::warn!(scope = name, reason = %why, "a configuration is not written into the local registry");
        }
        self.withheld_configs.insert(scope.clone(), why);
    }
}

/// A registry that goes wrong over something so often in a row will do so the next time too.
const MOST_STUMBLES: u32 = 3;

type Stumbled = BTreeMap<QualifiedSubject, Withheld>;

fn counted(counts: &mut HashMap<QualifiedSubject, u32>, stumbled: Stumbled) -> (Stumbled, Option<(usize, String)>) {
    let mut is_again = |subject: &QualifiedSubject| {
        let count = counts.entry(subject.clone()).or_default();
        *count += 1;
        *count >= MOST_STUMBLES
    };
    let (again, left): (Stumbled, Stumbled) = stumbled.into_iter().partition(|(subject, _)| is_again(subject));
    let said = left.values().next_back().map(|why| (left.len(), why.to_string()));
    (again, said)
}
