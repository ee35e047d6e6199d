//! What is to be done about one subject of the local registry: judgement over what the primary has, what the local
//! registry holds, and what of it is ours.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::content::Content;
use super::held::{Held, HeldSubject};
use super::ledger::{Written, WrittenSubject};
use super::withheld::Withheld;
use crate::protocol::schema::Version;
use crate::protocol::subject::QualifiedSubject;

/// Below this many, losing most of the subjects is daily work and no accident (C7).
const FEW: usize = 10;

/// What a subject of the local registry comes to.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Versions of ours whose numbers the primary has given to others: to be removed before those are written.
    pub(super) replace: Vec<i32>,
    /// Versions to write.
    pub(super) register: Vec<Arc<Version>>,
    /// Versions to soft-delete.
    pub(super) soft_delete: Vec<i32>,
    /// Versions of ours that the primary has no more.
    pub(super) remove: Vec<i32>,
    /// Versions that are as they should be and were not known to be ours.
    pub(super) adopt: Vec<(i32, Written)>,
    /// Versions that were ours and are nowhere any more.
    pub(super) forget: Vec<i32>,
    /// Versions that neither the primary nor we have to do with.
    pub(super) foreign: Vec<i32>,
    /// Why nothing is to be done.
    pub(super) withheld: Option<Withheld>,
    /// Whether the subject would be gone from the local registry.
    pub(super) loses_all: bool,
}

impl Plan {
    /// Whether anything is to be done.
    pub(super) fn has_steps(&self) -> bool {
        let steps = [&self.replace, &self.soft_delete, &self.remove];
        !self.register.is_empty() || steps.iter().any(|steps| !steps.is_empty())
    }
}

/// Judges a subject. What the primary has is `wanted`, soft-deleted versions included.
pub(super) fn plan(wanted: &[Arc<Version>], held: &HeldSubject, ours: &WrittenSubject) -> Plan {
    let mut plan = Plan::default();
    for version in wanted {
        if let Err(why) = one(&mut plan, version, held.get(&version.version), ours.get(&version.version)) {
            let foreign = foreign(wanted, held, ours).collect();
            return Plan { withheld: Some(why), foreign, adopt: plan.adopt, ..Plan::default() };
        }
    }
    let is_wanted: BTreeSet<i32> = wanted.iter().map(|version| version.version).collect();
    for (number, written) in ours.iter().filter(|(number, _)| !is_wanted.contains(number)) {
        match held.get(number) {
            Some(held) if held.id == written.id => plan.remove.push(*number),
            _ => plan.forget.push(*number),
        }
    }
    plan.foreign = foreign(wanted, held, ours).collect();
    plan.loses_all = wanted.is_empty() && !plan.remove.is_empty() && plan.foreign.is_empty();
    plan
}

fn one(plan: &mut Plan, version: &Arc<Version>, held: Option<&Held>, ours: Option<&Written>) -> Result<(), Withheld> {
    let number = version.version;
    // No registry takes the first, and the second would leave it without ids to give (WIRE.md § 5).
    if version.id < 0 || version.id == i32::MAX {
        return Err(Withheld::Unimportable { version: number, id: version.id });
    }
    let content = Content::of(version);
    let Some(held) = held else {
        plan.register.push(version.clone());
        if version.deleted {
            plan.soft_delete.push(number);
        }
        return Ok(());
    };
    if held.id == version.id && held.content == content {
        let written = Written { id: held.id, content };
        if ours != Some(&written) {
            plan.adopt.push((number, written));
        }
        match (version.deleted, held.deleted) {
            (true, false) => plan.soft_delete.push(number),
            // Written again it is live again.
            (false, true) => plan.register.push(version.clone()),
            _ => {}
        }
        return Ok(());
    }
    match ours {
        // What was sent is what the primary has, and the local registry made something else of it: to send it
        // again would change nothing.
        Some(ours) if ours.id == held.id && *ours == (Written { id: version.id, content }) => {
            Err(Withheld::KeptOtherwise { version: number })
        }
        Some(ours) if ours.id == held.id => {
            plan.replace.push(number);
            plan.register.push(version.clone());
            if version.deleted {
                plan.soft_delete.push(number);
            }
            Ok(())
        }
        _ if held.id == version.id => Err(Withheld::OtherContent { version: number, id: held.id }),
        _ => Err(Withheld::OtherId { version: number, held: held.id, wanted: version.id }),
    }
}

/// What the local registry holds that is neither the primary's nor ours.
fn foreign<'a>(
    wanted: &'a [Arc<Version>],
    held: &'a HeldSubject,
    ours: &'a WrittenSubject,
) -> impl Iterator<Item = i32> + 'a {
    let is_known = |number: i32, held: &Held| {
        wanted.iter().any(|version| version.version == number)
            || ours.get(&number).is_some_and(|written| written.id == held.id)
    };
    held.iter().filter(move |(number, held)| !is_known(**number, held)).map(|(number, _)| *number)
}

/// Why a pass may not remove what the primary has no more (C7): it is more than half of the subjects that are ours.
pub(super) fn brake<'a>(plans: impl Iterator<Item = (&'a QualifiedSubject, &'a Plan)>, ours: usize) -> Option<String> {
    let lost = plans.filter(|(_, plan)| plan.loses_all).count();
    (lost > FEW && lost * 2 > ours)
        .then(|| format!("{lost} of {ours} subjects would be removed from the local registry"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::schema::Listed;
    use crate::protocol::subject::Context;

    fn version(number: i32, id: i32, text: &str, deleted: bool) -> Arc<Version> {
        let printed = format!(r#"{{"version":{number},"id":{id},"schema":"{text}","deleted":{deleted}}}"#);
        Arc::new(serde_json::from_str::<Listed>(&printed).expect("a version").version)
    }

    fn held(versions: &[(i32, i32, &str, bool)]) -> HeldSubject {
        let context = Context::default_context();
        let of = |(number, id, text, deleted): &(i32, i32, &str, bool)| {
            (*number, Held::of(&context, &version(*number, *id, text, *deleted)))
        };
        versions.iter().map(of).collect()
    }

    fn ours(versions: &[(i32, i32, &str)]) -> WrittenSubject {
        let of = |(number, id, text): &(i32, i32, &str)| {
            (*number, Written { id: *id, content: Content::of(&version(*number, *id, text, false)) })
        };
        versions.iter().map(of).collect()
    }

    /// The steps as replace, register, soft-delete, remove.
    fn steps(plan: &Plan) -> (Vec<i32>, Vec<i32>, Vec<i32>, Vec<i32>) {
        let registered = plan.register.iter().map(|version| version.version).collect();
        (plan.replace.clone(), registered, plan.soft_delete.clone(), plan.remove.clone())
    }

    fn is_equal(plan: &Plan) -> bool {
        !plan.has_steps() && plan.foreign.is_empty() && plan.withheld.is_none()
    }

    #[test]
    fn a_subject_is_brought_to_what_the_primary_has() {
        let wanted = [version(1, 7, "a", true), version(3, 8, "b", false)];
        let fresh = plan(&wanted, &held(&[]), &ours(&[]));
        assert_eq!(steps(&fresh), (vec![], vec![1, 3], vec![1], vec![]));
        let there = held(&[(1, 7, "a", true), (3, 8, "b", false)]);
        let found = plan(&wanted, &there, &ours(&[]));
        assert!(is_equal(&found) && found.adopt.len() == 2, "what is as it should be is ours from now on");
        let known = plan(&wanted, &there, &ours(&[(1, 7, "a"), (3, 8, "b")]));
        assert!(is_equal(&known) && known.adopt.is_empty());
    }

    #[test]
    fn what_was_soft_deleted_on_one_side_only_is_made_alike() {
        let there = held(&[(1, 7, "a", false), (2, 8, "b", true)]);
        let wanted = [version(1, 7, "a", true), version(2, 8, "b", false)];
        assert_eq!(steps(&plan(&wanted, &there, &ours(&[]))), (vec![], vec![2], vec![1], vec![]));
    }

    #[test]
    fn what_the_primary_has_no_more_goes_if_it_is_ours_and_stays_if_not() {
        let there = held(&[(1, 7, "a", false), (2, 8, "b", false), (3, 9, "c", false)]);
        let wanted = [version(1, 7, "a", false)];
        let judged = plan(&wanted, &there, &ours(&[(1, 7, "a"), (2, 8, "b"), (3, 5, "c"), (4, 6, "d")]));
        assert_eq!(steps(&judged), (vec![], vec![], vec![], vec![2]));
        assert_eq!((judged.foreign.clone(), judged.forget.clone()), (vec![3], vec![3, 4]));
        assert!(!judged.loses_all && !is_equal(&judged));
        assert!(plan(&[], &held(&[(1, 7, "a", false)]), &ours(&[(1, 7, "a")])).loses_all);
    }

    #[test]
    fn a_number_that_others_have_taken_is_nobodys_to_overwrite() {
        let wanted = [version(1, 7, "a", false), version(2, 9, "x", false)];
        for (there, ours, why) in [
            (held(&[(2, 8, "b", false)]), ours(&[]), Withheld::OtherId { version: 2, held: 8, wanted: 9 }),
            (held(&[(2, 8, "b", false)]), ours(&[(2, 9, "x")]), Withheld::OtherId { version: 2, held: 8, wanted: 9 }),
            (held(&[(2, 9, "b", false)]), ours(&[]), Withheld::OtherContent { version: 2, id: 9 }),
            (held(&[(2, 9, "b", false)]), ours(&[(2, 9, "x")]), Withheld::KeptOtherwise { version: 2 }),
        ] {
            let judged = plan(&wanted, &there, &ours);
            assert_eq!(judged.withheld, Some(why));
            assert!(!judged.has_steps(), "it is no longer written at all");
        }
    }

    #[test]
    fn a_number_of_ours_that_the_primary_gave_anew_is_removed_first() {
        let judged = plan(&[version(1, 9, "x", true)], &held(&[(1, 7, "a", true)]), &ours(&[(1, 7, "a")]));
        assert_eq!(steps(&judged), (vec![1], vec![1], vec![1], vec![]));
    }

    #[test]
    fn ids_that_no_registry_takes_are_not_sent() {
        for id in [-1, i32::MIN, i32::MAX] {
            let judged = plan(&[version(1, id, "a", false)], &held(&[]), &ours(&[]));
            assert_eq!(judged.withheld, Some(Withheld::Unimportable { version: 1, id }));
        }
        assert_eq!(plan(&[version(1, 0, "a", false)], &held(&[]), &ours(&[])).register.len(), 1);
    }

    #[test]
    fn the_brake_counts_subjects_that_would_be_gone() {
        let name = QualifiedSubject::none();
        let gone = plan(&[], &held(&[(1, 7, "a", false)]), &ours(&[(1, 7, "a")]));
        let braked = |lost: usize, ours: usize| brake(std::iter::repeat_n((&name, &gone), lost), ours).is_some();
        assert!(!braked(10, 10), "so few are daily work");
        assert!(braked(11, 21) && !braked(11, 22), "more than half");
    }

    /// What the local registry makes of the steps of a plan.
    fn carried_out(plan: &Plan, mut held: HeldSubject, mut ours: WrittenSubject) -> (HeldSubject, WrittenSubject) {
        for (number, written) in &plan.adopt {
            ours.insert(*number, *written);
        }
        for number in plan.replace.iter().chain(&plan.remove) {
            held.remove(number);
            ours.remove(number);
        }
        for version in &plan.register {
            let written = Held { deleted: false, ..Held::of(&Context::default_context(), version) };
            ours.insert(version.version, Written { id: written.id, content: written.content });
            held.insert(version.version, written);
        }
        for number in &plan.soft_delete {
            held.get_mut(number).expect("it was there").deleted = true;
        }
        plan.forget.iter().for_each(|number| {
            ours.remove(number);
        });
        (held, ours)
    }

    type Made = (i32, i32, usize, bool);

    fn some_versions() -> impl Strategy<Value = Vec<Made>> {
        let one = (1..5, 1..4, 0..3_usize, any::<bool>());
        prop::collection::vec(one, 0..5).prop_map(|mut made| {
            made.sort_by_key(|(number, ..)| *number);
            made.dedup_by_key(|(number, ..)| *number);
            made
        })
    }

    proptest! {
        #[test]
        fn whatever_is_there_one_plan_leads_to_what_the_primary_has_and_touches_nothing_foreign(
            (wanted, there, known) in (some_versions(), some_versions(), some_versions())
        ) {
            const TEXTS: [&str; 3] = ["a", "b", "c"];
            let wanted: Vec<_> =
                wanted.iter().map(|(number, id, text, deleted)| version(*number, *id, TEXTS[*text], *deleted)).collect();
            let there: Vec<_> = there.iter().map(|(number, id, text, deleted)| (*number, *id, TEXTS[*text], *deleted)).collect();
            let known: Vec<_> = known.iter().map(|(number, id, text, _)| (*number, *id, TEXTS[*text])).collect();
            let (there, known) = (held(&there), ours(&known));
            let judged = plan(&wanted, &there, &known);
            for (number, held) in &there {
                let is_ours = known.get(number).is_some_and(|written| written.id == held.id);
                let is_wanted = wanted.iter().any(|version| version.version == *number);
                prop_assert!(is_ours || !(judged.replace.contains(number) || judged.remove.contains(number)));
                prop_assert!(is_ours || is_wanted || judged.foreign.contains(number));
            }
            let (after, ledger) = carried_out(&judged, there.clone(), known);
            let again = plan(&wanted, &after, &ledger);
            prop_assert!(!again.has_steps() && again.adopt.is_empty() && again.forget.is_empty(), "{again:?}");
            prop_assert_eq!(&again.withheld, &judged.withheld);
            prop_assert_eq!(again.foreign, judged.foreign);
            if judged.withheld.is_none() {
                for version in &wanted {
                    prop_assert_eq!(&after[&version.version], &Held::of(&Context::default_context(), version));
                }
            } else {
                prop_assert_eq!(after, there, "what is withheld is not touched");
            }
        }
    }
}
