//! One context of the replica: its subjects, and what is found through ids and GUIDs.

use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Bound;
use std::slice;
use std::sync::Arc;

use rpds::{HashTrieMapSync, RedBlackTreeMapSync};

use crate::protocol::identity;
use crate::protocol::schema::Version;

/// A version of this number, which an import can make, is found by its number or id, and in no list of
/// versions (WIRE.md § 5).
const UNLISTED: i32 = i32::MAX;

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

    /// Whether a version is not soft-deleted.
    pub fn is_live(&self) -> bool {
        self.live().next().is_some()
    }

    /// The versions that a list of their numbers shows.
    pub fn listed(&self) -> impl DoubleEndedIterator<Item = &Arc<Version>> {
        self.versions.iter().filter(|version| version.version != UNLISTED)
    }

    /// The highest version that is not soft-deleted.
    pub fn latest(&self) -> Option<&Arc<Version>> {
        self.listed().rfind(|version| !version.deleted)
    }

    /// The version through which the registry finds an id in this subject: the one of those that have it which
    /// was written last. Who registers writes, and who soft-deletes; what the latter leaves for a time depends
    /// on whether it was a version or the whole subject, so that the times do not always tell.
    pub(super) fn holding(&self, id: i32) -> Option<(i32, bool)> {
        let mut held = self.versions.iter().rev().filter(|version| version.id == id);
        let highest = held.next()?;
        let Some(next) = held.next() else { return Some((highest.version, true)) };
        let all = || held.clone().chain([highest, next]);
        let last = all().max_by_key(|version| (version.ts, version.version)).unwrap_or(highest);
        let is_told = all().all(|version| version.ts.is_some());
        let is_certain = is_told && (last.version == highest.version || !highest.deleted);
        Some(if is_certain { (last.version, true) } else { (highest.version, false) })
    }
}

/// A subject that holds an id, with the one of its versions through which it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The subject's name inside its context.
    pub subject: Arc<str>,
    /// The version.
    pub version: i32,
    /// Whether that version is certainly the one that the registry finds.
    pub is_certain: bool,
}

/// All who hold an id; nearly always there is one.
#[derive(Clone, Debug)]
enum Holders {
    One(Holder),
    Many(Arc<[Holder]>),
}

/// Takes a number for its own hash: ids are given one after the other, and GUIDs are hashes themselves.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AsItIs(u64);

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

pub(super) type Tree = RedBlackTreeMapSync<Arc<str>, Arc<SubjectState>>;

pub(super) type ByNumber<K, V> = HashTrieMapSync<K, V, BuildHasherDefault<AsItIs>>;

/// One context: an id space with its subjects.
#[derive(Clone, Debug, Default)]
pub struct ContextState {
    pub(super) subjects: Tree,
    ids: ByNumber<i32, Holders>,
    pub(super) guids: ByNumber<u128, i32>,
    /// Those that are not written as GUIDs are.
    pub(super) odd_guids: HashTrieMapSync<Arc<str>, i32>,
    /// The ids of contents that were seen with more than one, which an import can bring about; by their GUIDs.
    pub(super) several: HashTrieMapSync<Arc<str>, Arc<[i32]>>,
    pub(super) versions: usize,
    /// The highest id ever seen; permanent deletes do not lower it.
    max_id: i32,
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

    /// Whether the id that a content is shown with is certainly the one under which the registry finds the
    /// content: the one that was written last. Where imports gave other contents several ids, it may have been
    /// given one that no list shows any more, since its version was overwritten.
    pub fn is_only_id_of(&self, guid: Option<&str>) -> bool {
        guid.is_none_or(|guid| !self.several.contains_key(guid)) && !self.has_several_ids()
    }

    /// Whether some content is held under several ids.
    fn has_several_ids(&self) -> bool {
        let is_held = |ids: &Arc<[i32]>| ids.iter().filter(|id| self.ids.contains_key(id)).nth(1).is_some();
        self.several.values().any(is_held)
    }

    /// Whether an id was given that nobody holds any more.
    pub fn lacks_ids(&self) -> bool {
        let before_the_first = usize::from(self.ids.contains_key(&0));
        usize::try_from(self.max_id).ok() != self.ids.size().checked_sub(before_the_first)
    }

    /// How many subjects there are.
    pub fn subject_count(&self) -> usize {
        self.subjects.size()
    }

    /// How many versions there are, soft-deleted ones included.
    pub fn version_count(&self) -> usize {
        self.versions
    }

    /// The highest id ever seen; the highest there can be once one was seen that comes after it.
    pub fn max_id(&self) -> i32 {
        self.max_id
    }

    /// Whether the counter of ids has come to its end, after which the registry goes on with the lowest.
    pub fn has_wrapped(&self) -> bool {
        self.max_id == i32::MAX
    }

    /// Notes an id that was given. The registry counts from 1, whatever was given first.
    pub(super) fn note_id(&mut self, id: i32) {
        self.max_id = self.max_id.max(if id < 0 { i32::MAX } else { id.max(1) });
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
        let is_news = |version: &Version, other: &Option<Arc<SubjectState>>| {
            let same = other.as_ref().and_then(|other| other.version(version.version));
            same.is_none_or(|same| !std::ptr::eq(&**same, version))
        };
        let mut touched: Vec<&Arc<Version>> = Vec::new();
        for (state, other) in [(&old, &next), (&next, &old)] {
            let versions = state.iter().flat_map(|state| &state.versions);
            touched.extend(versions.filter(|version| is_news(version, other)));
        }
        touched.sort_by_key(|version| version.id);
        for (at, version) in touched.iter().enumerate() {
            self.note_id(version.id);
            if at == 0 || touched[at - 1].id != version.id {
                self.reindex(version.id, name, next.as_deref());
            }
        }
        for version in touched {
            self.reindex_guid(version);
        }
    }

    fn reindex(&mut self, id: i32, name: &Arc<str>, state: Option<&SubjectState>) {
        let held = state.and_then(|state| state.holding(id));
        let holder = held.map(|(version, is_certain)| Holder { subject: name.clone(), version, is_certain });
        if let (Some(holder), []) = (&holder, self.holders(id)) {
            self.ids.insert_mut(id, Holders::One(holder.clone()));
            return;
        }
        let mut holders = self.holders(id).to_vec();
        let place = holders.iter().position(|holder| holder.subject == *name);
        match (place, holder) {
            (Some(at), Some(holder)) => holders[at] = holder,
            (Some(at), None) => drop(holders.remove(at)),
            (None, Some(holder)) => {
                let ts = self.held(&holder).and_then(|held| held.ts);
                let at = place_of(ts, holders.iter().map(|holder| self.held(holder)?.ts));
                holders.insert(at.unwrap_or(holders.len()), holder);
            }
            (None, None) => return,
        }
        self.hold(id, holders);
    }

    pub(super) fn hold(&mut self, id: i32, mut holders: Vec<Holder>) {
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
    fn reindex_guid(&mut self, version: &Version) {
        let id = version.id;
        if !self.ids.contains_key(&id) {
            return;
        }
        let Some(guid) = guid_of(version) else { return };
        match self.id_of(&guid) {
            Some(known) if known == id => return,
            Some(known) if self.ids.contains_key(&known) => {
                let mut ids = self.several.get(&guid).map_or_else(|| vec![known], |ids| ids.to_vec());
                ids.push(id);
                ids.sort_unstable();
                ids.dedup();
                self.several.insert_mut(guid.clone(), ids.into());
            }
            _ => {}
        }
        match number_of(&guid) {
            Some(number) => self.guids.insert_mut(number, id),
            None => self.odd_guids.insert_mut(guid, id),
        }
    }
}

/// Where one more holder belongs, unless at the end. They stand in the order in which they came to hold the id, as
/// far as times tell: it counts where the registry's own map has two names in one bucket (WIRE.md § 1.7). One that is
/// known keeps its place; of one that is new and soft-deleted only the time of that is known, which is also all that
/// the registry goes by when it reads its compacted log again.
pub(super) fn place_of(ts: Option<i64>, mut holders: impl Iterator<Item = Option<i64>>) -> Option<usize> {
    holders.position(|theirs| theirs.zip(ts).is_some_and(|(theirs, ours)| theirs > ours))
}

/// A version's GUID, whether or not the registry is of a release that shows it.
pub(super) fn guid_of(version: &Version) -> Option<Arc<str>> {
    let counted = || {
        let (metadata, rules) = (version.metadata.as_deref(), version.rule_set.as_deref());
        identity::guid(&version.text, &version.references(), metadata, rules).map(Arc::from)
    };
    version.guid.clone().or_else(counted)
}

/// The number that a GUID is, if it is written with lower-case digits and dashes in their places.
pub(super) fn number_of(guid: &str) -> Option<u128> {
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

    fn version(number: i32, id: i32, guid: &str) -> Arc<Version> {
        let text = format!(r#"{{"version":{number},"id":{id},"guid":"{guid}","schema":"{guid}"}}"#);
        Arc::new(serde_json::from_str::<crate::protocol::schema::Listed>(&text).expect("a version").version)
    }

    /// Versions of one id, as number, time and whether it is soft-deleted.
    fn holder_of(versions: &[(i32, Option<i64>, bool)]) -> (i32, bool) {
        let made = |(number, ts, deleted): &(i32, Option<i64>, bool)| {
            Arc::new(Version { ts: *ts, deleted: *deleted, ..(*version(*number, 7, "g")).clone() })
        };
        let mut context = ContextState::default();
        context
            .replace(&Arc::from("s"), Some(Arc::new(SubjectState { versions: versions.iter().map(made).collect() })));
        let [holder] = context.holders(7) else { panic!("one holder: {versions:?}") };
        (holder.version, holder.is_certain)
    }

    #[test]
    fn a_subject_holds_an_id_through_the_version_that_was_written_last_if_that_can_be_told() {
        let (live, deleted) = (false, true);
        for (versions, expected) in [
            (&[(4, None, live)][..], (4, true)),
            (&[(1, Some(1), live), (41, Some(2), live)], (41, true)),
            (&[(1, Some(3), live), (41, Some(2), live)], (1, true)),
            (&[(1, Some(2), deleted), (3, Some(3), deleted)], (3, true)),
            // The first was soft-deleted last, and the subject not since, or the other would be too.
            (&[(1, Some(3), deleted), (3, Some(2), live)], (1, true)),
            // It may be that the whole subject was soft-deleted after that.
            (&[(1, Some(3), deleted), (3, Some(2), deleted)], (3, false)),
            (&[(1, None, deleted), (3, None, live)], (3, false)),
        ] {
            assert_eq!(holder_of(versions), expected, "{versions:?}");
        }
    }

    #[test]
    fn a_content_with_several_ids_leaves_the_id_of_every_content_uncertain() {
        let mut context = ContextState::default();
        let names: [Arc<str>; 3] = ["a", "b", "c"].map(Arc::from);
        let put = |context: &mut ContextState, at: usize, versions: Vec<Arc<Version>>| {
            context.replace(&names[at], Some(Arc::new(SubjectState { versions })));
        };
        put(&mut context, 0, vec![version(1, 1, "g"), version(2, 2, "h")]);
        put(&mut context, 1, vec![version(1, 1, "g")]);
        assert!(context.is_only_id_of(Some("g")) && context.is_only_id_of(Some("h")));
        put(&mut context, 2, vec![version(1, 100, "g")]);
        assert!(!context.is_only_id_of(Some("g")) && !context.is_only_id_of(Some("h")));
        context.replace(&names[2], None);
        assert!(!context.is_only_id_of(Some("g")), "the registry may go on finding it under the other id");
        assert!(context.is_only_id_of(Some("h")));
    }

    #[test]
    fn a_content_that_was_purged_and_came_again_has_one_id() {
        let name: Arc<str> = Arc::from("a");
        for again in [1, 9] {
            let mut context = ContextState::default();
            for id in [5, again] {
                context.replace(&name, Some(Arc::new(SubjectState { versions: vec![version(1, id, "g")] })));
            }
            assert!(context.is_only_id_of(Some("g")), "{again}");
            assert_eq!(context.id_of("g"), Some(again));
        }
    }

    #[test]
    fn without_guids_contents_are_told_apart_all_the_same() {
        let bare = |id: i32, text: &str| Arc::new(Version { guid: None, ..(*version(id, id, text)).clone() });
        let mut context = ContextState::default();
        let mut put = |versions: Vec<Arc<Version>>| {
            context.replace(&Arc::from("a"), Some(Arc::new(SubjectState { versions })));
            context.is_only_id_of(None)
        };
        assert!(put(vec![bare(1, "x"), bare(2, "y")]));
        assert!(!put(vec![bare(1, "x"), bare(2, "y"), bare(3, "x")]));
    }

    #[test]
    fn ids_that_nobody_holds_are_missed_and_a_counter_that_wrapped_is_at_its_end() {
        let lacks = |ids: &[i32]| {
            let mut context = ContextState::default();
            let versions = ids.iter().zip(1..).map(|(id, number)| version(number, *id, &format!("{id}"))).collect();
            context.replace(&Arc::from("a"), Some(Arc::new(SubjectState { versions })));
            (context.lacks_ids(), context.max_id())
        };
        assert_eq!(lacks(&[1, 2, 3]), (false, 3));
        assert_eq!(lacks(&[0, 1, 2]), (false, 2));
        assert_eq!(lacks(&[0, 1, 3]), (true, 3));
        assert_eq!(lacks(&[2]), (true, 2));
        assert_eq!(lacks(&[1, -5]), (true, i32::MAX));
        let mut context = ContextState::default();
        context.note_id(1);
        assert!(context.lacks_ids(), "the primary said that there was one");
    }

    #[test]
    fn the_highest_number_there_can_be_is_in_no_list_and_never_the_latest() {
        let versions = [1, 2, i32::MAX].map(|number| version(number, number, "g")).to_vec();
        let state = SubjectState { versions };
        assert_eq!(state.latest().map(|latest| latest.version), Some(2));
        assert_eq!(state.listed().count(), 2);
        let alone = SubjectState { versions: state.versions[2..].to_vec() };
        assert!(alone.is_live() && alone.latest().is_none() && alone.version(i32::MAX).is_some());
    }

    #[test]
    fn an_id_leads_to_all_who_hold_it_and_a_guid_to_the_id_however_it_is_written() {
        for guid in ["g", "d41d8cd9-8f00-b204-e980-0998ecf8427e"] {
            let mut context = ContextState::default();
            let names: Vec<Arc<str>> = ["a", "b", "c"].map(Arc::from).to_vec();
            for (count, name) in names.iter().enumerate() {
                context.replace(name, Some(Arc::new(SubjectState { versions: vec![version(1, 7, guid)] })));
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
