//! A context with all its subjects put together at once, as a start does: sorted instead of one after the other.

use std::sync::Arc;

use super::index::{ContextState, Holder, SubjectState, Tree, guid_of, number_of, place_of};

/// A subject of the context.
pub(super) struct Member<'a> {
    /// Its place in the order in which they came to be.
    pub(super) rank: usize,
    pub(super) name: &'a Arc<str>,
    pub(super) state: &'a Arc<SubjectState>,
}

/// A version that has an id.
struct Holding<'a> {
    id: i32,
    rank: usize,
    version: i32,
    ts: Option<i64>,
    member: &'a Member<'a>,
}

/// A name that was seen with an id, by whom, and the GUID that the name is.
type Seen<N> = (N, usize, i32, Arc<str>);

impl ContextState {
    /// All of a context but the subjects themselves: what would be known if they had come one after the other.
    pub(super) fn index(members: &[Member<'_>]) -> Self {
        let mut context = Self::default();
        context.versions = members.iter().map(|member| member.state.versions.len()).sum();
        let mut all = Vec::with_capacity(context.versions);
        let (mut numbers, mut others) = (Vec::with_capacity(context.versions), Vec::new());
        for member in members {
            let rank = member.rank;
            for version in &member.state.versions {
                let id = version.id;
                all.push(Holding { id, rank, version: version.version, ts: version.ts, member });
                match guid_of(version).map(|guid| (number_of(&guid), guid)) {
                    Some((Some(number), guid)) => numbers.push((number, rank, id, guid)),
                    Some((None, guid)) => others.push((guid.clone(), rank, id, guid)),
                    None => {}
                }
            }
        }
        context.index_ids(&mut all);
        for (number, id) in context.last_ids(&mut numbers) {
            context.guids.insert_mut(number, id);
        }
        for (guid, id) in context.last_ids(&mut others) {
            context.odd_guids.insert_mut(guid, id);
        }
        context
    }

    fn index_ids(&mut self, all: &mut [Holding<'_>]) {
        all.sort_unstable_by_key(|holding| (holding.id, holding.rank, holding.version));
        for same in all.chunk_by(|one, other| one.id == other.id) {
            let id = same[0].id;
            let mut holders: Vec<(Option<i64>, Holder)> = Vec::new();
            for versions in same.chunk_by(|one, other| one.rank == other.rank) {
                let Member { name, state, .. } = versions[0].member;
                // Nearly always there is one, and to look at the others means to walk about in memory.
                let one = (versions[0].version, true);
                let (version, is_certain) = if versions.len() == 1 { one } else { state.holding(id).unwrap_or(one) };
                let ts = versions.iter().find(|holding| holding.version == version).and_then(|holding| holding.ts);
                let at = place_of(ts, holders.iter().map(|(theirs, _)| *theirs)).unwrap_or(holders.len());
                holders.insert(at, (ts, Holder { subject: Arc::clone(name), version, is_certain }));
            }
            self.note_id(id);
            self.hold(id, holders.into_iter().map(|(_, holder)| holder).collect());
        }
    }

    /// The id that each name was seen with last; notes those that were seen with several.
    fn last_ids<N: Clone + Ord>(&mut self, seen: &mut [Seen<N>]) -> Vec<(N, i32)> {
        seen.sort_unstable_by(|one, other| (&one.0, one.1, one.2).cmp(&(&other.0, other.1, other.2)));
        let mut last = Vec::with_capacity(seen.len());
        for seen in seen.chunk_by(|one, other| one.0 == other.0) {
            let (name, _, id, guid) = &seen[seen.len() - 1];
            last.push((name.clone(), *id));
            if seen.iter().any(|(_, _, other, _)| other != id) {
                let mut ids: Vec<i32> = seen.iter().map(|(_, _, id, _)| *id).collect();
                ids.sort_unstable();
                ids.dedup();
                self.several.insert_mut(guid.clone(), ids.into());
            }
        }
        last
    }

    /// What lies under [`Self::subjects`].
    pub(super) fn tree(members: &[Member<'_>]) -> Tree {
        members.iter().map(|member| (member.name.clone(), member.state.clone())).collect()
    }

    /// An index together with the subjects that it is of.
    pub(super) fn with_subjects(mut self, subjects: Tree) -> Self {
        self.subjects = subjects;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::schema::{Listed, Version};

    proptest::proptest! {
        #[test]
        fn what_many_subjects_hold_is_found_alike_whether_they_came_at_once_or_one_by_one(
            subjects in proptest::collection::vec(
                proptest::collection::vec(
                    (-1..5, 0..5_usize, proptest::option::of(0..4_i64), proptest::bool::ANY),
                    1..5,
                ),
                0..8,
            ),
        ) {
            let guids = ["g", "h", "d41d8cd9-8f00-b204-e980-0998ecf8427e", "00000000-0000-0000-0000-0000000000ff"];
            let version = |(number, (id, guid, ts, deleted)): (i32, &(i32, usize, Option<i64>, bool))| {
                let text = format!(r#"{{"version":{number},"id":{id},"schema":"x"}}"#);
                let listed: Listed = serde_json::from_str(&text).expect("a version");
                let guid = guids.get(*guid).map(|guid| Arc::from(*guid));
                Arc::new(Version { ts: *ts, guid, deleted: *deleted, ..listed.version })
            };
            let subjects: Vec<(Arc<str>, Arc<SubjectState>)> = subjects.iter().enumerate().map(|(place, versions)| {
                let versions = (1..).zip(versions).map(version).collect();
                (Arc::from(format!("s{}", 7 * place % 10)), Arc::new(SubjectState { versions }))
            }).collect();
            let member = |(rank, (name, state))| Member { rank, name, state };
            let mut members: Vec<_> = subjects.iter().map(|(name, state)| (name, state)).enumerate().map(member).collect();
            members.sort_by_key(|member| member.name);
            let at_once = ContextState::index(&members).with_subjects(ContextState::tree(&members));
            let mut one_by_one = ContextState::default();
            subjects.iter().for_each(|(name, state)| one_by_one.replace(name, Some(state.clone())));
            for id in -2..6 {
                assert_eq!(at_once.holders(id), one_by_one.holders(id));
            }
            for guid in guids {
                assert_eq!(at_once.id_of(guid), one_by_one.id_of(guid));
            }
            let several = |state: &ContextState| {
                let mut several: Vec<_> = state.several.iter().map(|(guid, ids)| (guid.clone(), ids.clone())).collect();
                several.sort();
                several
            };
            assert_eq!(several(&at_once), several(&one_by_one));
            assert_eq!((at_once.versions, at_once.max_id()), (one_by_one.versions, one_by_one.max_id()));
            assert!(at_once.subjects().map(|(name, _)| name).eq(one_by_one.subjects().map(|(name, _)| name)));
        }
    }
}
