//! What is to be done about a reading: pure judgement over the reading and the replica.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use super::reading::{Reading, Shown};
use super::status::{Reason, Skipped};
use crate::protocol::schema::Version;
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::replica::{Scope, Snapshot};

/// Below this many, losing most of the subjects is daily work and no accident.
const FEW: usize = 10;

/// What a reading comes to.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Subjects to take over, what is referred to before what refers to it.
    pub(super) apply: Vec<Shown>,
    /// Subjects that lack versions which the replica holds; to be asked for directly before it is believed.
    pub(super) verify: Vec<QualifiedSubject>,
    /// Versions that are left out.
    pub(super) skipped: Vec<Skipped>,
}

/// Why a pass may not remove what it did not see (C7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Brake {
    Empty { held: usize },
    Most { missing: usize, held: usize },
    Context { context: Context, missing: usize },
}

impl fmt::Display for Brake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty { held } => write!(f, "the primary shows nothing while the replica holds {held} subjects"),
            Self::Most { missing, held } => write!(f, "the primary lacks {missing} of {held} subjects"),
            Self::Context { context, missing } => {
                write!(f, "the primary lacks all {missing} subjects of context {context}")
            }
        }
    }
}

/// Decides what of a reading is news. What is in doubt is taken over even if it is none.
pub(super) fn plan(reading: Reading, held: &Snapshot) -> Plan {
    let doubtful: HashSet<Scope> = held.doubts().map(|(scope, _)| scope.clone()).collect();
    let is_doubtful = |subject: &QualifiedSubject| doubtful.contains(&Scope::Subject(subject.clone()));
    let mut plan = Plan { skipped: reading.skipped, ..Plan::default() };
    let mut news = Vec::new();
    for mut shown in reading.shown {
        keep_poisoned(&mut shown, held);
        if lacks_versions(&shown, held) {
            plan.verify.push(shown.subject);
        } else if is_doubtful(&shown.subject) || is_news(&shown, held) {
            news.push(shown);
        }
    }
    hold_out(&mut news, held, &mut plan.skipped);
    news.retain(|shown| is_doubtful(&shown.subject) || is_news(shown, held));
    plan.apply = in_order(news);
    plan
}

/// What could not be read stays as it was.
pub(super) fn keep_poisoned(shown: &mut Shown, held: &Snapshot) {
    let old = held.context(&shown.subject.context).and_then(|context| context.subject(&shown.subject.subject));
    for version in old.into_iter().flat_map(|old| &old.versions) {
        let Err(at) = shown.versions.binary_search_by_key(&version.version, |shown| shown.version) else { continue };
        if shown.is_vague || shown.poisoned.contains(&version.version) {
            shown.versions.insert(at, version.clone());
        }
    }
}

fn versions<'a>(held: &'a Snapshot, subject: &QualifiedSubject) -> &'a [Arc<Version>] {
    let state = held.context(&subject.context).and_then(|context| context.subject(&subject.subject));
    state.map_or(&[], |state| &state.versions)
}

fn lacks_versions(shown: &Shown, held: &Snapshot) -> bool {
    let is_shown = |number| shown.versions.binary_search_by_key(&number, |version| version.version).is_ok();
    versions(held, &shown.subject).iter().any(|version| !is_shown(version.version))
}

fn is_news(shown: &Shown, held: &Snapshot) -> bool {
    let held = versions(held, &shown.subject);
    held.len() != shown.versions.len()
        || !held.iter().zip(&shown.versions).all(|(held, shown)| Arc::ptr_eq(held, shown))
}

/// Takes out new versions whose references nobody has, and what refers to those.
pub(super) fn hold_out(news: &mut [Shown], held: &Snapshot, skipped: &mut Vec<Skipped>) {
    let places: HashMap<QualifiedSubject, usize> =
        news.iter().enumerate().map(|(place, shown)| (shown.subject.clone(), place)).collect();
    loop {
        let mut out: Vec<(usize, Skipped)> = Vec::new();
        for (place, shown) in news.iter().enumerate() {
            for version in shown.versions.iter().filter(|version| version.references.is_some()) {
                // What the replica held already is not taken from its readers.
                if held.version(&shown.subject, version.version).is_some() {
                    continue;
                }
                let exists = |target: &QualifiedSubject, number: Option<i32>| {
                    let news = places.get(target).map_or(&[][..], |place| &news[*place].versions);
                    has(news, number) || has(versions(held, target), number)
                };
                if let Some(reason) = missing_reference(&shown.subject.context, version, exists) {
                    out.push((
                        place,
                        Skipped {
                            subject: Some(shown.subject.to_string()),
                            version: Some(version.version),
                            deleted: version.deleted,
                            reason,
                        },
                    ));
                }
            }
        }
        if out.is_empty() {
            return;
        }
        for (place, one) in out {
            news[place].versions.retain(|version| Some(version.version) != one.version);
            skipped.push(one);
        }
    }
}

fn has(versions: &[Arc<Version>], number: Option<i32>) -> bool {
    versions.iter().any(|version| number.is_none_or(|number| version.version == number))
}

fn missing_reference(
    parent: &Context,
    version: &Version,
    exists: impl Fn(&QualifiedSubject, Option<i32>) -> bool,
) -> Option<Reason> {
    version.references().into_iter().find_map(|reference| {
        let subject = reference.subject?;
        let number = reference.version.filter(|number| *number > 0);
        let found = exists(&target(&subject, parent), number);
        (!found).then(|| Reason::MissingReference { subject, version: number.unwrap_or(-1) })
    })
}

/// The subjects that must be read before a subject can be taken over whole.
pub(super) fn unresolved(shown: &Shown, held: &Snapshot) -> Vec<QualifiedSubject> {
    let context = &shown.subject.context;
    let mut missing = Vec::new();
    let news = shown.versions.iter().filter(|version| held.version(&shown.subject, version.version).is_none());
    for version in news.filter(|version| version.references.is_some()) {
        let exists = |target: &QualifiedSubject, number: Option<i32>| {
            *target == shown.subject || has(versions(held, target), number)
        };
        for reference in version.references() {
            let Some(subject) = reference.subject.as_deref() else { continue };
            let target = target(subject, context);
            if !exists(&target, reference.version.filter(|number| *number > 0)) && !missing.contains(&target) {
                missing.push(target);
            }
        }
    }
    missing
}

/// The subjects that a subject's versions refer to.
fn targets(shown: &Shown) -> impl Iterator<Item = QualifiedSubject> {
    let context = &shown.subject.context;
    let references = shown.versions.iter().filter(|version| version.references.is_some());
    references.flat_map(|version| version.references()).filter_map(|one| Some(target(one.subject.as_deref()?, context)))
}

/// Where a reference points: beside its parent, unless it names another context (WIRE.md § 3.8).
fn target(written: &str, parent: &Context) -> QualifiedSubject {
    let read = QualifiedSubject::parse(written);
    if read.context.is_default() { QualifiedSubject::new(parent.clone(), written) } else { read }
}

/// What is referred to before what refers to it; subjects that refer to each other in any order.
pub(super) fn in_order(news: Vec<Shown>) -> Vec<Shown> {
    let places: HashMap<QualifiedSubject, usize> =
        news.iter().enumerate().map(|(place, shown)| (shown.subject.clone(), place)).collect();
    let mut order = Vec::with_capacity(news.len());
    let mut met = vec![false; news.len()];
    for start in 0..news.len() {
        // Each with the places it still has to wait for; no recursion, chains may be long.
        let mut open: Vec<(usize, Vec<usize>)> = Vec::new();
        let enter = |place: usize, met: &mut Vec<bool>| {
            met[place] = true;
            (place, targets(&news[place]).filter_map(|target| places.get(&target).copied()).collect())
        };
        if !met[start] {
            open.push(enter(start, &mut met));
        }
        while let Some((place, waits)) = open.last_mut() {
            match waits.pop() {
                Some(next) if met[next] => {}
                Some(next) => open.push(enter(next, &mut met)),
                None => {
                    order.push(*place);
                    open.pop();
                }
            }
        }
    }
    let mut news: Vec<_> = news.into_iter().map(Some).collect();
    order.into_iter().filter_map(|place| news[place].take()).collect()
}

/// The subjects that the replica holds and the primary did not show.
pub(super) fn missing(reading: &Reading, held: &Snapshot, within: Option<&Context>) -> Vec<QualifiedSubject> {
    let shown: HashSet<&QualifiedSubject> = reading.shown.iter().map(|shown| &shown.subject).collect();
    let contexts = held.contexts().filter(|(name, _)| within.is_none_or(|within| within == *name));
    contexts
        .flat_map(|(name, context)| {
            context.subjects().map(|(subject, _)| QualifiedSubject { context: name.clone(), subject: subject.clone() })
        })
        .filter(|subject| !shown.contains(subject))
        .collect()
}

/// The subjects in doubt that the primary did not show; most of them are not held either.
pub(super) fn doubtful(reading: &Reading, held: &Snapshot, within: Option<&Context>) -> Vec<QualifiedSubject> {
    let is_shown = |subject: &QualifiedSubject| reading.shown.iter().any(|shown| shown.subject == *subject);
    let doubts = held.doubts().filter_map(|(scope, _)| match scope {
        Scope::Subject(subject) if within.is_none_or(|within| *within == subject.context) => Some(subject),
        _ => None,
    });
    doubts.filter(|subject| !is_shown(subject)).cloned().collect()
}

/// Whether so much is missing that it is rather the reading that is wrong.
pub(super) fn brake(
    missing: &[QualifiedSubject],
    items: usize,
    held: &Snapshot,
    within: Option<&Context>,
) -> Option<Brake> {
    let sizes: Vec<(&Context, usize)> = held
        .contexts()
        .filter(|(name, _)| within.is_none_or(|within| within == *name))
        .map(|(name, context)| (name, context.subjects().count()))
        .collect();
    let total: usize = sizes.iter().map(|(_, size)| size).sum();
    if missing.is_empty() {
        return None;
    }
    if items == 0 && within.is_none() {
        return Some(Brake::Empty { held: total });
    }
    if missing.len() > FEW && missing.len() * 2 > total {
        return Some(Brake::Most { missing: missing.len(), held: total });
    }
    sizes.into_iter().find_map(|(name, size)| {
        let lost = missing.iter().filter(|subject| subject.context == *name).count();
        (size >= 2 && lost == size).then(|| Brake::Context { context: name.clone(), missing: lost })
    })
}
