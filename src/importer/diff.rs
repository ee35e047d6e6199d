//! What is to be done about a reading: pure judgement over the reading and the replica.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use super::reading::{Reading, Shown};
use super::status::{Reason, Skipped};
use crate::protocol::schema::Version;
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::replica::{Doubt, Scope, Snapshot};

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

/// Decides what of a reading is news.
///
/// What is merely incomplete is taken over even if it is none. What is unsure is asked for anew: the
/// doubt may have come up while the reading was under way, and then the reading cannot settle it.
pub(super) fn plan(reading: Reading, held: &Snapshot) -> Plan {
    let doubts: HashMap<&QualifiedSubject, Doubt> = subjects_in_doubt(held).collect();
    let doubt = |shown: &Shown| doubts.get(&shown.subject).copied();
    let mut plan = Plan { skipped: reading.skipped, ..Plan::default() };
    let mut news = Vec::new();
    for mut shown in reading.shown {
        keep_poisoned(&mut shown, held);
        if lacks_versions(&shown, held) || doubt(&shown) == Some(Doubt::Unsure) {
            plan.verify.push(shown.subject);
        } else if doubt(&shown).is_some() || is_news(&shown, held) {
            news.push(shown);
        }
    }
    let mut news = in_order(news);
    hold_out(&mut news, held, &mut plan.skipped);
    news.retain(|shown| doubt(shown).is_some() || is_news(shown, held));
    plan.apply = news;
    plan
}

/// What could not be read stays as it was.
pub(super) fn keep_poisoned(shown: &mut Shown, held: &Snapshot) {
    let old = held.subject(&shown.subject);
    for version in old.into_iter().flat_map(|old| &old.versions) {
        let Err(at) = shown.versions.binary_search_by_key(&version.version, |shown| shown.version) else { continue };
        if shown.is_vague || shown.poisoned.contains(&version.version) {
            shown.versions.insert(at, version.clone());
        }
    }
}

fn versions<'a>(held: &'a Snapshot, subject: &QualifiedSubject) -> &'a [Arc<Version>] {
    let state = held.subject(subject);
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

/// Takes out new versions whose references nobody has, and what refers to those. Where the subjects
/// are in order one round is enough; only circles take more.
pub(super) fn hold_out(news: &mut [Shown], held: &Snapshot, skipped: &mut Vec<Skipped>) {
    let places: HashMap<QualifiedSubject, usize> =
        news.iter().enumerate().map(|(place, shown)| (shown.subject.clone(), place)).collect();
    loop {
        let before = skipped.len();
        for place in 0..news.len() {
            let shown = &news[place];
            let exists = |target: &QualifiedSubject, number: Option<i32>| {
                let news = places.get(target).map_or(&[][..], |place| &news[*place].versions);
                has(news, number) || has(versions(held, target), number)
            };
            let out: Vec<Skipped> = without_reference(shown, held, exists).collect();
            news[place].versions.retain(|version| out.iter().all(|one| one.version != Some(version.version)));
            skipped.extend(out);
        }
        if skipped.len() == before {
            return;
        }
    }
}

/// The versions of a subject that refer to something that does not exist. What the replica held
/// already is not taken from its readers.
fn without_reference(
    shown: &Shown,
    held: &Snapshot,
    exists: impl Fn(&QualifiedSubject, Option<i32>) -> bool,
) -> impl Iterator<Item = Skipped> {
    let referring = shown.versions.iter().filter(|version| version.references.is_some());
    let new = referring.filter(|version| held.version(&shown.subject, version.version).is_none());
    new.filter_map(move |version| {
        Some(Skipped {
            subject: Some(shown.subject.to_string()),
            version: Some(version.version),
            deleted: version.deleted,
            reason: missing_reference(&shown.subject.context, version, &exists)?,
        })
    })
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
        let found = exists(&QualifiedSubject::parse_in(&subject, parent), number);
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
            let target = QualifiedSubject::parse_in(subject, context);
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
    references
        .flat_map(|version| version.references())
        .filter_map(|one| Some(QualifiedSubject::parse_in(one.subject.as_deref()?, context)))
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
    if held.is_sure() {
        return Vec::new();
    }
    let shown: HashSet<&QualifiedSubject> = reading.shown.iter().map(|shown| &shown.subject).collect();
    let doubts = subjects_in_doubt(held).map(|(subject, _)| subject);
    let doubts = doubts.filter(|subject| within.is_none_or(|within| *within == subject.context));
    doubts.filter(|subject| !shown.contains(subject)).cloned().collect()
}

fn subjects_in_doubt(held: &Snapshot) -> impl Iterator<Item = (&QualifiedSubject, Doubt)> {
    held.doubts().filter_map(|(scope, doubt)| match scope {
        Scope::Subject(subject) => Some((subject, doubt)),
        _ => None,
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::schema::Listed;
    use crate::replica::{Change, Forgetful, Replica};

    fn version(number: i32, references: &[(&str, i32)]) -> Version {
        let references: Vec<_> = references
            .iter()
            .map(|(subject, version)| format!(r#"{{"name":"n","subject":"{subject}","version":{version}}}"#))
            .collect();
        let text =
            format!(r#"{{"version":{number},"id":{number},"schema":"x","references":[{}]}}"#, references.join(","));
        serde_json::from_str::<Listed>(&text).expect("a version").version
    }

    fn shown(replica: &Replica, subject: &str, versions: Vec<Version>) -> Shown {
        let nothing = Shown::nothing(QualifiedSubject::parse(subject), replica.ticket());
        Shown { versions: versions.into_iter().map(Arc::new).collect(), ..nothing }
    }

    fn reading(shown: Vec<Shown>) -> Reading {
        Reading { items: shown.len(), shown, skipped: Vec::new() }
    }

    async fn holding(subjects: &[(&str, usize)]) -> Arc<Replica> {
        let replica = Arc::new(Replica::empty(Forgetful));
        let changes = subjects.iter().map(|(subject, count)| Change::Subject {
            subject: QualifiedSubject::parse(subject),
            versions: (1..=*count).map(|number| version(i32::try_from(number).expect("few"), &[])).collect(),
        });
        replica.apply_write(changes.collect(), replica.ticket()).await.expect("kept");
        replica
    }

    fn names(shown: &[Shown]) -> Vec<String> {
        shown.iter().map(|shown| shown.subject.to_string()).collect()
    }

    #[tokio::test]
    async fn what_is_referred_to_comes_before_what_refers_to_it() {
        let replica = holding(&[]).await;
        let chain = 20_000;
        let mut news: Vec<_> = (0..chain)
            .map(|number| shown(&replica, &format!("s{number}"), vec![version(1, &[(&format!("s{}", number + 1), 1)])]))
            .collect();
        news.push(shown(&replica, &format!("s{chain}"), vec![version(1, &[])]));
        let whole = plan(reading(news.clone()), &replica.snapshot());
        let expected: Vec<_> = (0..=chain).rev().map(|number| format!("s{number}")).collect();
        assert_eq!(names(&whole.apply), expected);
        // Without the last link nothing can be had, and that is found out in one go.
        news.pop();
        let broken = plan(reading(news), &replica.snapshot());
        assert_eq!((broken.apply.len(), broken.skipped.len()), (0, chain));
    }

    #[tokio::test]
    async fn subjects_that_refer_to_each_other_are_all_taken() {
        let replica = holding(&[]).await;
        let news = vec![
            shown(&replica, "a", vec![version(1, &[]), version(2, &[("b", 1)])]),
            shown(&replica, "b", vec![version(1, &[("a", 1)])]),
        ];
        let plan = plan(reading(news), &replica.snapshot());
        assert_eq!((plan.apply.len(), plan.skipped.len()), (2, 0));
    }

    #[tokio::test]
    async fn a_reference_is_looked_for_beside_its_parent() {
        let replica = holding(&[("a", 1)]).await;
        for (subject, target, found) in
            [("b", "a", true), (":.c:b", "a", false), (":.c:b", ":.:a", false), ("b", ":.c:a", false), ("b", "b", true)]
        {
            let news = vec![shown(&replica, subject, vec![version(1, &[]), version(2, &[(target, 1)])])];
            let plan = plan(reading(news), &replica.snapshot());
            assert_eq!(plan.skipped.is_empty(), found, "{subject} to {target}");
            assert_eq!(plan.apply[0].versions.len(), if found { 2 } else { 1 }, "{subject} to {target}");
        }
    }

    #[tokio::test]
    async fn what_is_known_is_no_news_unless_it_is_in_doubt() {
        let replica = holding(&[("sure", 2), ("incomplete", 2), ("unsure", 2)]).await;
        for (subject, doubt) in [("incomplete", Doubt::Incomplete), ("unsure", Doubt::Unsure), ("gone", Doubt::Unsure)]
        {
            let doubt = Change::Doubt(Scope::Subject(QualifiedSubject::parse(subject)), Some(doubt));
            replica.apply_write(vec![doubt], replica.ticket()).await.expect("kept");
        }
        let held = replica.snapshot();
        let known = |subject: &str| {
            let subject = QualifiedSubject::parse(subject);
            Shown { versions: versions(&held, &subject).to_vec(), ..Shown::nothing(subject, replica.ticket()) }
        };
        let reading = reading(["sure", "incomplete", "unsure"].map(known).into());
        assert_eq!(doubtful(&reading, &held, None), [QualifiedSubject::parse("gone")]);
        let plan = plan(reading, &held);
        assert_eq!(names(&plan.apply), ["incomplete"]);
        assert_eq!(plan.verify, [QualifiedSubject::parse("unsure")]);
    }

    #[tokio::test]
    async fn a_subject_that_lacks_versions_is_asked_for_before_it_is_believed() {
        let replica = holding(&[("a", 2)]).await;
        let plan = plan(reading(vec![shown(&replica, "a", vec![version(2, &[])])]), &replica.snapshot());
        assert_eq!((plan.apply.len(), plan.verify.len()), (0, 1));
    }

    #[tokio::test]
    async fn the_brake_knows_daily_work_from_an_accident() {
        let many: Vec<_> = (0..30).map(|number| format!("s{number}")).collect();
        let mut held: Vec<(&str, usize)> = many.iter().map(|name| (name.as_str(), 1)).collect();
        held.extend([(":.pair:a", 1), (":.pair:b", 1), (":.one:a", 1)]);
        let replica = holding(&held).await;
        let snapshot = replica.snapshot();
        for (what, keep, braked) in [
            ("nothing is missing", (0, true, true), false),
            ("ten are missing", (10, true, true), false),
            ("half are missing", (16, true, true), false),
            ("most are missing", (17, true, true), true),
            ("a context of two is missing", (0, false, true), true),
            ("a context of one is missing", (0, true, false), false),
        ] {
            let (gone, pair, one) = keep;
            let is_left = |name: &str| match name {
                ":.one:a" => one,
                _ if name.starts_with(":.pair") => pair,
                _ => many.iter().position(|known| known == name).is_some_and(|at| at >= gone),
            };
            let left = held.iter().filter(|(name, _)| is_left(name));
            let reading = reading(left.map(|(name, _)| shown(&replica, name, vec![version(1, &[])])).collect());
            let missing = missing(&reading, &snapshot, None);
            assert_eq!(brake(&missing, reading.items, &snapshot, None).is_some(), braked, "{what}");
        }
        let all = missing(&reading(Vec::new()), &snapshot, None);
        assert_eq!(brake(&all, 0, &snapshot, None), Some(Brake::Empty { held: 33 }));
        let one = Context::named(".one");
        let only = missing(&reading(Vec::new()), &snapshot, Some(&one));
        assert_eq!((only.len(), brake(&only, 0, &snapshot, Some(&one))), (1, None));
    }
}
