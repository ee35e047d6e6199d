//! One context of the replica: its subjects, and what is found through ids and GUIDs.

use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Bound;
use std::slice;
use std::sync::Arc;

use rpds::{HashTrieMapSync, HashTrieSetSync, RedBlackTreeMapSync};

use crate::protocol::schema::Version;

/// The versions of one subject, ascending. Never empty.
#[derive(Clone, Debug)]
pub struct SubjectState {
    /// The versions, soft-deleted ones included.
    pub versions: Vec<Arc<Version>>,
}

impl SubjectState {
    /// The version of a number.
    pub fn version(&self, number: i32) -> Option<&Arc<Version>> {
        self.versions.binary_search_by_key(&number, |version| version.version).ok().map(|at| &self.versions[at])
    }

    /// The versions that are not soft-deleted.
    pub fn live(&self) -> impl DoubleEndedIterator<Item = &Arc<Version>> {
        self.versions.iter().filter(|version| !version.deleted)
    }

    /// The highest version that is not soft-deleted.
    pub fn latest(&self) -> Option<&Arc<Version>> {
        self.live().next_back()
    }
}

/// A subject that holds an id, with the highest of its versions that does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The subject's name inside its context.
    pub subject: Arc<str>,
    /// The version.
    pub version: i32,
}

/// All who hold an id; nearly always there is one.
#[derive(Clone, Debug)]
enum Holders {
    One(Holder),
    Many(Arc<[Holder]>),
}

/// Takes a number for its own hash: ids are given one after the other, and GUIDs are hashes themselves.
#[derive(Clone, Copy, Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_i32(&mut self, number: i32) {
        self.0 = u64::from(number.cast_unsigned());
    }

    fn write_u128(&mut self, number: u128) {
        self.0 = (number >> 64) as u64 ^ number as u64;
    }
}

/// A subject of a context that is put together at once.
pub(super) struct Member<'a> {
    /// Its place in the order in which they came to be.
    pub(super) rank: usize,
    pub(super) name: &'a Arc<str>,
    pub(super) state: &'a Arc<SubjectState>,
}

/// A version that holds an id.
struct Holding<'a> {
    id: i32,
    rank: usize,
    name: &'a Arc<str>,
    version: i32,
    ts: Option<i64>,
}

pub(super) type Tree = RedBlackTreeMapSync<Arc<str>, Arc<SubjectState>>;

type ByNumber<K, V> = HashTrieMapSync<K, V, BuildHasherDefault<AsItIs>>;

/// One context: an id space with its subjects.
#[derive(Clone, Debug, Default)]
pub struct ContextState {
    pub(super) subjects: Tree,
    ids: ByNumber<i32, Holders>,
    guids: ByNumber<u128, i32>,
    /// Those that are not written as GUIDs are.
    odd_guids: HashTrieMapSync<Arc<str>, i32>,
    /// GUIDs that were seen with more than one id, which an import can bring about.
    ambiguous: HashTrieSetSync<Arc<str>>,
    pub(super) versions: usize,
    /// The highest id ever seen; permanent deletes do not lower it.
    pub(super) max_id: i32,
}

impl ContextState {
    /// The subject of a name.
    pub fn subject(&self, name: &str) -> Option<&Arc<SubjectState>> {
        self.subjects.get(name)
    }

    /// Every subject, in byte order of the names.
    pub fn subjects(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<SubjectState>)> {
        self.subjects.iter()
    }

    /// The subjects whose names start with `start`, in byte order.
    pub fn starting<'a>(&'a self, start: &'a str) -> impl Iterator<Item = (&'a Arc<str>, &'a Arc<SubjectState>)> {
        self.subjects
            .range::<str, _>((Bound::Included(start), Bound::Unbounded))
            .take_while(move |(name, _)| name.starts_with(start))
    }

    /// Who holds an id, in the order in which they came to hold it.
    pub fn holders(&self, id: i32) -> &[Holder] {
        match self.ids.get(&id) {
            None => &[],
            Some(Holders::One(holder)) => slice::from_ref(holder),
            Some(Holders::Many(holders)) => holders,
        }
    }

    /// The version that a holder names.
    pub fn held(&self, holder: &Holder) -> Option<&Arc<Version>> {
        self.subject(&holder.subject)?.version(holder.version)
    }

    /// The id of a GUID, lower-case with dashes.
    pub fn id_of(&self, guid: &str) -> Option<i32> {
        match number_of(guid) {
            Some(number) => self.guids.get(&number).copied(),
            None => self.odd_guids.get(guid).copied(),
        }
    }

    /// Whether more than one id was seen with a GUID.
    pub fn is_ambiguous(&self, guid: &str) -> bool {
        self.ambiguous.contains(guid)
    }

    /// How many subjects there are.
    pub fn subject_count(&self) -> usize {
        self.subjects.size()
    }

    /// How many versions there are, soft-deleted ones included.
    pub fn version_count(&self) -> usize {
        self.versions
    }

    /// The highest id ever seen.
    pub fn max_id(&self) -> i32 {
        self.max_id
    }

    /// Puts a subject's new state in the place of the old one; `None` removes it.
    pub(super) fn replace(&mut self, name: &Arc<str>, next: Option<Arc<SubjectState>>) {
        let old = self.subjects.get(name).cloned();
        let versions = |state: &Option<Arc<SubjectState>>| state.as_ref().map_or(0, |state| state.versions.len());
        self.versions = self.versions + versions(&next) - versions(&old);
        match &next {
            Some(next) => self.subjects.insert_mut(name.clone(), next.clone()),
            None => {
                self.subjects.remove_mut(name);
            }
        }
        let mut touched: Vec<(i32, Option<Arc<str>>)> = Vec::new();
        for version in [&old, &next].into_iter().flatten().flat_map(|state| &state.versions) {
            touched.push((version.id, version.guid.clone()));
            self.max_id = self.max_id.max(version.id);
        }
        touched.sort();
        touched.dedup();
        for (id, guid) in touched {
            self.reindex(id, name, next.as_deref());
            if let Some(guid) = guid {
                self.reindex_guid(id, &guid);
            }
        }
    }

    /// All of a context but the subjects themselves: what would be known if they had come one after the other.
    pub(super) fn index(members: &[Member<'_>]) -> Self {
        let mut context = Self::default();
        context.versions = members.iter().map(|member| member.state.versions.len()).sum();
        let mut all = Vec::with_capacity(context.versions);
        let (mut numbers, mut others) = (Vec::with_capacity(context.versions), Vec::new());
        for Member { rank, name, state } in members {
            for version in &state.versions {
                let id = version.id;
                all.push(Holding { id, rank: *rank, name, version: version.version, ts: version.ts });
                match version.guid.as_ref().map(|guid| (number_of(guid), guid)) {
                    Some((Some(number), guid)) => numbers.push((number, *rank, id, guid)),
                    Some((None, guid)) => others.push((guid, *rank, id, guid)),
                    None => {}
                }
            }
        }
        context.index_ids(&mut all);
        for (number, id, ambiguous) in last_ids(&mut numbers) {
            context.guids.insert_mut(number, id);
            ambiguous.into_iter().for_each(|guid| context.ambiguous.insert_mut(Arc::clone(guid)));
        }
        for (guid, id, ambiguous) in last_ids(&mut others) {
            context.odd_guids.insert_mut(guid.clone(), id);
            ambiguous.into_iter().for_each(|guid| context.ambiguous.insert_mut(Arc::clone(guid)));
        }
        context
    }

    fn index_ids(&mut self, all: &mut [Holding<'_>]) {
        all.sort_unstable_by_key(|holding| (holding.id, holding.rank, holding.version));
        for same in all.chunk_by(|one, other| one.id == other.id) {
            let mut holders: Vec<(Option<i64>, Holder)> = Vec::new();
            // A subject holds an id with the highest of its versions that has it.
            for highest in same.chunk_by(|one, other| one.rank == other.rank).filter_map(<[_]>::last) {
                let at = place_of(highest.ts, holders.iter().map(|(theirs, _)| *theirs));
                let holder = Holder { subject: highest.name.clone(), version: highest.version };
                holders.insert(at.unwrap_or(holders.len()), (highest.ts, holder));
            }
            self.max_id = self.max_id.max(same[0].id);
            self.hold(same[0].id, holders.into_iter().map(|(_, holder)| holder).collect());
        }
    }

    /// What lies under [`Self::subjects`].
    pub(super) fn tree(members: &[Member<'_>]) -> Tree {
        members.iter().map(|member| (member.name.clone(), member.state.clone())).collect()
    }

    /// An index together with the subjects that it is of.
    pub(super) fn with_subjects(self, subjects: Tree) -> Self {
        Self { subjects, ..self }
    }

    fn reindex(&mut self, id: i32, name: &Arc<str>, state: Option<&SubjectState>) {
        let held = state.and_then(|state| state.versions.iter().rev().find(|version| version.id == id));
        if let (Some(version), []) = (held, self.holders(id)) {
            self.ids.insert_mut(id, Holders::One(Holder { subject: name.clone(), version: version.version }));
            return;
        }
        let mut holders = self.holders(id).to_vec();
        let place = holders.iter().position(|holder| holder.subject == *name);
        match (place, held) {
            (Some(at), Some(version)) => holders[at].version = version.version,
            (Some(at), None) => drop(holders.remove(at)),
            (None, Some(version)) => {
                let at = place_of(version.ts, holders.iter().map(|holder| self.held(holder)?.ts));
                holders.insert(at.unwrap_or(holders.len()), Holder { subject: name.clone(), version: version.version });
            }
            (None, None) => return,
        }
        self.hold(id, holders);
    }

    fn hold(&mut self, id: i32, mut holders: Vec<Holder>) {
        match holders.pop() {
            None => drop(self.ids.remove_mut(&id)),
            Some(holder) if holders.is_empty() => self.ids.insert_mut(id, Holders::One(holder)),
            Some(last) => {
                holders.push(last);
                self.ids.insert_mut(id, Holders::Many(holders.into()));
            }
        }
    }

    /// A GUID goes on naming its id when nobody holds that any more, as in the registry.
    fn reindex_guid(&mut self, id: i32, guid: &Arc<str>) {
        if !self.ids.contains_key(&id) {
            return;
        }
        match self.id_of(guid) {
            Some(known) if known == id => return,
            Some(known) if self.ids.contains_key(&known) => self.ambiguous.insert_mut(guid.clone()),
            _ => {}
        }
        match number_of(guid) {
            Some(number) => self.guids.insert_mut(number, id),
            None => self.odd_guids.insert_mut(guid.clone(), id),
        }
    }
}

/// Where one more holder belongs, unless at the end. They stand in the order in which they came to hold the id, as
/// far as times tell: it counts where the registry's own map has two names in one bucket (WIRE.md § 1.7).
fn place_of(ts: Option<i64>, mut holders: impl Iterator<Item = Option<i64>>) -> Option<usize> {
    holders.position(|theirs| theirs.zip(ts).is_some_and(|(theirs, ours)| theirs > ours))
}

/// The id that each name was seen with last, and the GUID if it was seen with others before.
fn last_ids<'a, N: Copy + Ord>(
    seen: &mut [(N, usize, i32, &'a Arc<str>)],
) -> impl Iterator<Item = (N, i32, Option<&'a Arc<str>>)> {
    seen.sort_unstable_by_key(|(name, place, id, _)| (*name, *place, *id));
    seen.chunk_by(|(one, ..), (other, ..)| one == other).filter_map(|seen| {
        let (name, _, last, guid) = *seen.last()?;
        Some((name, last, seen.iter().any(|(_, _, id, _)| *id != last).then_some(guid)))
    })
}

/// The number that a GUID is, if it is written with lower-case digits and dashes in their places.
fn number_of(guid: &str) -> Option<u128> {
    const DASHES: [usize; 4] = [8, 13, 18, 23];
    if guid.len() != 36 {
        return None;
    }
    let mut number = 0;
    for (place, byte) in guid.bytes().enumerate() {
        match byte {
            b'-' if DASHES.contains(&place) => {}
            _ if DASHES.contains(&place) => return None,
            b'0'..=b'9' => number = number << 4 | u128::from(byte - b'0'),
            b'a'..=b'f' => number = number << 4 | u128::from(byte - b'a' + 10),
            _ => return None,
        }
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_written_as_a_guid_is_taken_for_a_number() {
        assert_eq!(number_of("00000000-0000-0000-0000-0000000000ff"), Some(255));
        assert_eq!(number_of("d41d8cd9-8f00-b204-e980-0998ecf8427e"), Some(0xd41d_8cd9_8f00_b204_e980_0998_ecf8_427e));
        for odd in ["", "g", "D41D8CD9-8F00-B204-E980-0998ECF8427E", "d41d8cd98f00-b204-e980-0998ecf8427e0000"] {
            assert_eq!(number_of(odd), None, "{odd}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_many_subjects_hold_is_found_alike_whether_they_came_at_once_or_one_by_one(
            subjects in proptest::collection::vec(
                proptest::collection::vec((1..5, 0..4_usize, proptest::option::of(0..4_i64)), 1..5),
                0..8,
            ),
        ) {
            let guids = ["g", "h", "d41d8cd9-8f00-b204-e980-0998ecf8427e", "00000000-0000-0000-0000-0000000000ff"];
            let version = |(number, (id, guid, ts)): (i32, &(i32, usize, Option<i64>))| {
                let text = format!(r#"{{"version":{number},"id":{id},"guid":"{}","schema":"x"}}"#, guids[*guid]);
                let listed: crate::protocol::schema::Listed = serde_json::from_str(&text).expect("a version");
                Arc::new(Version { ts: *ts, ..listed.version })
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
            for id in 0..6 {
                assert_eq!(at_once.holders(id), one_by_one.holders(id));
            }
            for guid in guids {
                assert_eq!(at_once.id_of(guid), one_by_one.id_of(guid));
                assert_eq!(at_once.is_ambiguous(guid), one_by_one.is_ambiguous(guid));
            }
            assert_eq!((at_once.versions, at_once.max_id), (one_by_one.versions, one_by_one.max_id));
            assert!(at_once.subjects().map(|(name, _)| name).eq(one_by_one.subjects().map(|(name, _)| name)));
        }
    }

    #[test]
    fn an_id_leads_to_all_who_hold_it_and_a_guid_to_the_id_however_it_is_written() {
        let version = |number, guid: &str| {
            let text = format!(r#"{{"version":{number},"id":7,"guid":"{guid}","schema":"x"}}"#);
            Arc::new(serde_json::from_str::<crate::protocol::schema::Listed>(&text).expect("a version").version)
        };
        for guid in ["g", "d41d8cd9-8f00-b204-e980-0998ecf8427e"] {
            let mut context = ContextState::default();
            let names: Vec<Arc<str>> = ["a", "b", "c"].map(Arc::from).to_vec();
            for (count, name) in names.iter().enumerate() {
                context.replace(name, Some(Arc::new(SubjectState { versions: vec![version(1, guid)] })));
                assert_eq!(context.holders(7).len(), count + 1);
            }
            assert_eq!(context.id_of(guid), Some(7));
            for (count, name) in names.iter().enumerate() {
                context.replace(name, None);
                assert_eq!(context.holders(7).len(), 2 - count);
            }
            assert_eq!(context.id_of(guid), Some(7), "it goes on naming its id");
        }
    }
}
