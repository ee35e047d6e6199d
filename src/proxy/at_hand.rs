//! Answers at hand: what was answered to the same words before, just as it went out.
//!
//! A cache, never the truth. An answer is found by how the request was *spelt*, which is cheaper than to
//! understand it, and carries what it was understood as, so that no step of its way is left out. It is stamped with
//! what of the replica it was made from; once that has changed, it counts only if the same would be rendered now.

use std::borrow::Borrow;
use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use dashmap::DashSet;
use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use smallvec::SmallVec;

use super::dress::{Dressed, takes_gzip};
use super::fields::{ID, UNKNOWN_PROPERTIES, takes_unknown};
use crate::protocol::operation::Operation;
use crate::protocol::subject::Context;
use crate::replica::Stamp;
use crate::server::{Heads, MOST_FIELDS, Outbox, Ready, is_host};

/// Longest spelling that is worth remembering.
const LONGEST: usize = 384;

/// Everything of a request on which the answer to a read depends: method, target, what it takes and sends.
///
/// Two requests of one spelling are understood alike. There are others that would be too: each spelling has
/// an entry of its own.
pub(super) struct Spelling {
    text: [u8; LONGEST],
    length: usize,
}

/// A spelling that is kept.
pub(super) type Spelt = SmallVec<[u8; 64]>;

/// A request without a body, as far as it is looked at here.
pub(super) struct Head<'a, F> {
    pub(super) is_head: bool,
    /// The target, which names neither scheme nor host.
    pub(super) target: &'a str,
    /// The fields, names in any case.
    pub(super) fields: F,
}

/// What one look at a request shows, if it is as usual as nearly all of them.
pub(super) struct Look<'a> {
    pub(super) spelling: &'a [u8],
    /// The request's id, if it brought just one.
    pub(super) request_id: Option<&'a [u8]>,
    /// What it says of who asks.
    pub(super) authorization: Option<&'a [u8]>,
    /// Whether the client takes fields that it may not know.
    pub(super) takes_unknown: bool,
}

const IS_HEAD: u8 = 1;
const TAKES_GZIP: u8 = 2;
const TAKES_UNKNOWN: u8 = 4;

impl<'a> Look<'a> {
    /// Looks at the head of a request, and writes down how it is spelt. `None` for one that has to be looked at
    /// closely, which is no verdict.
    pub(super) fn at<F>(head: Head<'a, F>, bound: Option<&Context>, spelling: &'a mut Spelling) -> Option<Self>
    where
        F: Iterator<Item = (&'a str, &'a [u8])>,
    {
        let target = head.target;
        if !target.starts_with('/') {
            return None;
        }
        let fields = Fields::of(head.fields)?;
        let takes_unknown = fields.unknown_properties.is_some_and(takes_unknown);
        let mut traits = if head.is_head { IS_HEAD } else { 0 };
        if fields.takes_gzip && !head.is_head {
            traits |= TAKES_GZIP;
        }
        if takes_unknown {
            traits |= TAKES_UNKNOWN;
        }
        spelling.length = 0;
        // What the same words mean depends on where they are said. A context's name ends where the target begins.
        let bound = bound.map_or(&[][..], |context| context.as_str().as_bytes());
        let text = |value: Option<&'a [u8]>| value.unwrap_or_default();
        let parts = [&[traits], bound, target.as_bytes(), b"\0", text(fields.accept), b"\0", text(fields.content_type)];
        let fits = parts.into_iter().all(|part| spelling.push(part));
        let Fields { request_id, authorization, .. } = fields;
        fits.then_some(Self { spelling: spelling.as_bytes(), request_id, authorization, takes_unknown })
    }
}

impl Spelling {
    /// Nothing yet.
    pub(super) fn blank() -> Self {
        Self { text: [0; LONGEST], length: 0 }
    }

    fn push(&mut self, part: &[u8]) -> bool {
        let end = self.length + part.len();
        let Some(room) = self.text.get_mut(self.length..end) else { return false };
        room.copy_from_slice(part);
        self.length = end;
        true
    }

    fn as_bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

/// The fields that matter to a read.
#[derive(Default)]
struct Fields<'a> {
    host: Option<&'a [u8]>,
    accept: Option<&'a [u8]>,
    content_type: Option<&'a [u8]>,
    request_id: Option<&'a [u8]>,
    authorization: Option<&'a [u8]>,
    unknown_properties: Option<&'a [u8]>,
    takes_gzip: bool,
}

impl<'a> Fields<'a> {
    /// One pass. What is here twice, frames a body, or tells of a proxy before us has to be looked at closely.
    fn of(fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> Option<Self> {
        let mut found = Self::default();
        for (number, (name, value)) in fields.enumerate() {
            if number == MOST_FIELDS {
                return None;
            }
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            // By their lengths first, which tell nearly all others from these.
            let place = match name.len() {
                4 if is("host") => &mut found.host,
                6 if is("accept") => &mut found.accept,
                // An empty one is refused, and its spelling is that of none.
                12 if is("content-type") && value.is_empty() => return None,
                12 if is("content-type") => &mut found.content_type,
                12 if is(ID) => &mut found.request_id,
                13 if is("authorization") => &mut found.authorization,
                15 if is("accept-encoding") => {
                    found.takes_gzip |= takes_gzip(value);
                    continue;
                }
                35 if is(UNKNOWN_PROPERTIES) => &mut found.unknown_properties,
                3 | 6 | 14 | 17 if CLOSELY.into_iter().any(is) => return None,
                _ => continue,
            };
            if place.replace(value).is_some() {
                return None;
            }
        }
        found.host.is_some_and(is_host).then_some(found)
    }
}

/// Fields that change what becomes of a request before it is understood.
const CLOSELY: [&str; 4] = ["content-length", "transfer-encoding", "expect", "via"];

/// An answer at hand. All that a request needs of it lies in one piece: most of what it takes to answer is to
/// wait for memory.
#[derive(Debug)]
pub(super) struct AtHand {
    /// How the request was spelt.
    pub(super) spelling: Spelt,
    /// What it was understood as.
    pub(super) operation: Operation,
    /// What of the replica the answer was made from, and until when that is known to have stayed.
    pub(super) stamp: Stamp,
    /// The answer.
    pub(super) dressed: Dressed,
    /// The same rendered.
    ready: Option<Ready>,
}

impl AtHand {
    /// Sends the answer with the fields that differ each time, if it is one of those that can be sent like that.
    pub(super) fn send(self: &Arc<Self>, fields: &[(&str, &[u8])], outbox: &mut Outbox) -> bool {
        let Some(ready) = &self.ready else { return false };
        // The count of the answer is taken already, that of its body would have to be fetched.
        outbox.put(ready, fields, self.dressed.body(), || Bytes::from_owner(Lent(Arc::clone(self))));
        true
    }
}

/// The body of an answer at hand.
struct Lent(Arc<AtHand>);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.0.dressed.body()
    }
}

type Keyed = foldhash::quality::RandomState;
type Answers = DashSet<Entry, Keyed>;

/// An answer as it lies in the set: found by how its request was spelt.
struct Entry(Arc<AtHand>);

impl Borrow<[u8]> for Entry {
    fn borrow(&self) -> &[u8] {
        &self.0.spelling
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.0.spelling == other.0.spelling
    }
}

impl Eq for Entry {}

impl Hash for Entry {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // As the spelling alone is hashed, by which it is looked for.
        Borrow::<[u8]>::borrow(self).hash(state);
    }
}

/// The answers at hand, bounded by bytes.
///
/// moka decides what stays. It is not asked for the answers themselves: that takes it ten times as long as
/// a plain map, since it keeps account of each time. So it hears of one in [`SAMPLE`].
pub(super) struct AnswersAtHand {
    answers: Arc<Answers>,
    heads: Heads,
    /// What each weighs.
    staying: Cache<Arc<[u8]>, u32, Keyed>,
}

/// One in how many uses moka is told of. What is used so seldom that none of them is among those is what
/// should go first.
const SAMPLE: u32 = 32;

thread_local! {
    static USES: Cell<u32> = const { Cell::new(0) };
}

impl AnswersAtHand {
    /// Room for `bytes` of spellings and bodies.
    pub(super) fn with_room(bytes: u64) -> Self {
        let answers = Arc::new(Answers::with_hasher(Keyed::default()));
        let shown = answers.clone();
        let staying = Cache::builder()
            .max_capacity(bytes)
            // Counting uses instead would keep out all that is new, since most uses are not told of.
            .eviction_policy(EvictionPolicy::lru())
            .weigher(|_, weight: &u32| *weight)
            .eviction_listener(move |spelling: Arc<Arc<[u8]>>, _, cause| {
                if cause != RemovalCause::Replaced {
                    shown.remove(&**spelling);
                }
            })
            .build_with_hasher(Keyed::default());
        Self { answers, heads: Heads::default(), staying }
    }

    /// The answer to a spelling, however old.
    pub(super) fn get(&self, spelling: &[u8]) -> Option<Arc<AtHand>> {
        let answer = self.answers.get(spelling)?.0.clone();
        let uses = USES.get().wrapping_add(1);
        USES.set(uses);
        if uses.is_multiple_of(SAMPLE) {
            self.staying.get(spelling);
        }
        Some(answer)
    }

    /// Keeps the answer that was made from a state of the replica.
    pub(super) fn put(&self, spelling: Spelt, operation: Operation, stamp: Stamp, dressed: Dressed) {
        // What both structures hold for an entry, and what was understood, roughly.
        const OVERHEAD: usize = 900;
        let key: Arc<[u8]> = Arc::from(&*spelling);
        let weight = u32::try_from(2 * key.len() + dressed.size() + OVERHEAD).unwrap_or(u32::MAX);
        let ready = dressed.ready(&self.heads);
        let answer = AtHand { spelling, operation, stamp, dressed, ready };
        // A set keeps what it has, so an older answer has to go first. Then in this order: what
        // moka lets go of is always taken out of the set.
        self.answers.remove(&*key);
        self.answers.insert(Entry(Arc::new(answer)));
        self.staying.insert(key, weight);
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> u64 {
        self.staying.weighted_size()
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Method};

    use crate::proxy::dress::Manner;
    use crate::replica::Snapshot;

    use super::*;

    fn spelt(target: &str, fields: &[(&str, &str)]) -> Option<Vec<u8>> {
        let fields = [("host", "a")].iter().chain(fields).map(|(name, value)| (*name, value.as_bytes()));
        let head = Head { is_head: false, target, fields };
        Look::at(head, None, &mut Spelling::blank()).map(|look| look.spelling.to_vec())
    }

    #[test]
    fn requests_that_are_answered_differently_are_spelt_differently() {
        let plain = spelt("/subjects", &[]);
        assert!(plain.is_some());
        for other in [
            spelt("/subjects?deleted=true", &[]),
            spelt("/subjects", &[("accept", "application/json")]),
            spelt("/subjects", &[("content-type", "application/json")]),
            spelt("/subjects", &[("accept-encoding", "gzip")]),
            spelt("/subjects", &[("confluent-accept-unknown-properties", "true")]),
        ] {
            assert!(other.is_some() && other != plain, "{other:?}");
        }
        let irrelevant =
            [("user-agent", "x"), ("accept-encoding", "br"), ("x-request-id", "1"), ("authorization", "y")];
        assert_eq!(spelt("/subjects", &irrelevant), plain);
    }

    #[test]
    fn what_is_unusual_is_looked_at_closely() {
        for field in ["host", "content-length", "transfer-encoding", "expect", "via"] {
            assert_eq!(spelt("/subjects", &[(field, "1")]), None, "{field}");
        }
        for twice in ["accept", "authorization", "content-type", "x-request-id", "confluent-accept-unknown-properties"]
        {
            let shouted = twice.to_ascii_uppercase();
            assert_eq!(spelt("/subjects", &[(twice, "1"), (&*shouted, "1")]), None, "{twice}");
        }
        assert_eq!(spelt("/subjects", &[("content-type", "")]), None);
        assert_eq!(spelt("http://a/subjects", &[]), None);
        assert_eq!(spelt(&format!("/{}", "x".repeat(LONGEST)), &[]), None);
        let nowhere = Head { is_head: false, target: "/", fields: [].into_iter() };
        assert!(Look::at(nowhere, None, &mut Spelling::blank()).is_none());
    }

    #[test]
    fn the_map_holds_what_moka_lets_stay_and_nothing_else() {
        let room = AnswersAtHand::with_room(40_000);
        let manner = Manner { is_head: false, varies: true, takes_gzip: false };
        for number in 0..1_000 {
            let spelling = Spelt::from_slice(format!("/schemas/ids/{number}").as_bytes());
            let operation = Operation::classify(&Method::GET, "/schemas/ids/1", "").expect("a route");
            let body = Bytes::from(vec![b'x'; 1_000]);
            let dressed = Dressed::new(200, body, &HeaderValue::from_static("application/json"), manner);
            let stamp = Stamp::of(&operation, &Snapshot::default());
            room.put(spelling, operation, stamp, dressed);
        }
        room.staying.run_pending_tasks();
        assert!(room.bytes() <= 40_000, "{} bytes", room.bytes());
        assert!((1..=40).contains(&room.answers.len()), "{} answers", room.answers.len());
        assert_eq!(room.answers.len() as u64, room.staying.entry_count());
    }
}
