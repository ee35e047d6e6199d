//! Stamps: what an answer was made of, and how long nothing of that has changed.
//!
//! Nearly every answer is made of little, and nearly every change is about something else. So a change says which parts
//! of the replica it touches, and of each part is noted when it was touched last. An answer of which no part was
//! touched since its stamp is what would be rendered now. What is in doubt is not in here: a doubt changes what may be
//! said, not what would be, and whoever answers looks at doubts apart.
//!
//! Parts share a fixed number of places by their hash. Two in one place are taken for one, so that an answer may be
//! rendered in vain; it is never believed in vain.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

use super::answer::parts;
use super::snapshot::Snapshot;
use crate::protocol::operation::Operation;

/// A part of the replica that changes on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part<'a> {
    /// What answers of all kinds show or go by: the profile, facts about the server, what could not be taken over.
    /// Every answer is made of it.
    Common,
    /// Who holds an id, and with which version, in whichever context.
    Id(i32),
    /// The subjects of a name in all contexts: what is looked for in one may be found in another.
    Name(&'a str),
    /// What is remembered of a configuration or a mode under a key, alone and with what is in scope there.
    Setting(&'a str),
    /// The associations.
    Associations,
    /// Contents that were given several ids.
    SeveralIds,
}

/// Few enough to lie in the processor's caches, and so many that two parts seldom meet.
const PLACES: usize = 4096;

/// Where it is noted when a part was touched.
type Place = u16;

/// What clients may name in a request has its place here too. Who chooses names that meet another part's gains that
/// the other's answers are rendered when they might not have to be.
const KEYED: foldhash::fast::FixedState = foldhash::fast::FixedState::with_seed(0x6f75_7470_6f73_7421);

impl Part<'_> {
    /// What goes under a key of the remembered answers.
    pub(super) fn remembered(key: &str) -> Part<'_> {
        let key = key.strip_suffix("?defaultToGlobal=true").unwrap_or(key);
        if key.starts_with("/config") || key.starts_with("/mode") { Part::Setting(key) } else { Part::Common }
    }

    fn place(self) -> Place {
        const OTHERS: u64 = PLACES as u64 - 1;
        match self {
            Part::Common => 0,
            other => Place::try_from(1 + KEYED.hash_one(other) % OTHERS).expect("BUG: there are fewer places"),
        }
    }
}

/// The parts that a change touches.
#[derive(Debug)]
pub(super) struct Touched([u64; PLACES / 64]);

impl Touched {
    pub(super) fn nothing() -> Self {
        Self([0; PLACES / 64])
    }

    pub(super) fn add(&mut self, part: Part<'_>) {
        let place = usize::from(part.place());
        self.0[place / 64] |= 1 << (place % 64);
    }

    fn places(&self) -> impl Iterator<Item = usize> {
        let words = self.0.iter().enumerate().filter(|(_, word)| **word != 0);
        words.flat_map(|(at, word)| (0..64).filter(move |bit| word & 1 << bit != 0).map(move |bit| 64 * at + bit))
    }
}

/// The generations that touched each part last.
#[derive(Debug)]
pub(super) struct Touches(Box<[AtomicU64; PLACES]>);

impl Default for Touches {
    fn default() -> Self {
        Self(Box::new([const { AtomicU64::new(0) }; PLACES]))
    }
}

impl Touches {
    /// Notes what a generation touches. To be called *before* the generation is shown, by one writer at a time: who sees
    /// the generation sees this too then, since showing it releases and looking at it acquires.
    pub(super) fn note(&self, touched: &Touched, generation: u64) {
        touched.places().for_each(|place| self.0[place].store(generation, Ordering::Relaxed));
    }

    fn last(&self, basis: &[Place]) -> u64 {
        basis.iter().map(|place| self.0[usize::from(*place)].load(Ordering::Relaxed)).max().unwrap_or_default()
    }
}

/// The most parts that an answer is said to be made of.
const MOST_PARTS: usize = 4;

/// What an answer is made of; `None` where it is everything.
type Basis = Option<[Place; MOST_PARTS]>;

fn basis(operation: &Operation, snapshot: &Snapshot) -> Basis {
    let mut places = [Part::Common.place(); MOST_PARTS];
    let mut free = places[1..].iter_mut();
    // More than there is room for is everything.
    parts(operation, snapshot, |part| free.next().map(|place| *place = part.place())).map(|()| places)
}

/// What an answer was made of, and the last generation that it was found to be true of.
#[derive(Debug)]
pub struct Stamp {
    generation: AtomicU64,
    basis: Basis,
}

impl Stamp {
    /// Of the answer to an operation that was rendered from a state.
    pub fn of(operation: &Operation, snapshot: &Snapshot) -> Self {
        Self { generation: snapshot.generation.into(), basis: basis(operation, snapshot) }
    }

    /// Whether the answer is known to be true of a generation without a closer look.
    pub fn is_of(&self, generation: u64) -> bool {
        self.generation.load(Ordering::Relaxed) == generation
    }

    /// Whether nothing that the answer is made of was touched since, up to a generation that was seen; it is true of
    /// that one too then.
    pub(super) fn holds(&self, touches: &Touches, seen: u64) -> bool {
        // `seen` was acquired before the touches are looked at, so none is missed that led up to it. One that belongs to
        // a generation which is not shown yet only sends for a closer look.
        let since = self.generation.load(Ordering::Relaxed);
        let holds = self.basis.is_some_and(|basis| touches.last(&basis) <= since) && since <= seen;
        if holds {
            self.generation.store(seen, Ordering::Relaxed);
        }
        holds
    }

    /// Takes over that the same was rendered from a later state, unless it is made of other things now: then it has to
    /// be stamped anew.
    ///
    /// Several may do so at once, and the least generation may win. That does no harm, as the answer was true of each.
    pub fn renew(&self, operation: &Operation, snapshot: &Snapshot) -> bool {
        let is_alike = self.basis == basis(operation, snapshot);
        if is_alike {
            self.generation.store(snapshot.generation, Ordering::Relaxed);
        }
        is_alike
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use http::Method;
    use tokio::runtime::Builder;

    use super::super::answer::{Verdict, answer};
    use super::super::{Change, Forgetful, Replica};
    use super::*;
    use crate::protocol::schema::Listed;
    use crate::protocol::shape::{Form, Profile};
    use crate::protocol::subject::QualifiedSubject;

    fn version(subject: &str, number: u64) -> Change {
        let printed = format!(r#"{{"version":{number},"id":{number},"schema":"{number}"}}"#);
        let version = serde_json::from_str::<Listed>(&printed).expect("a version").version;
        Change::Subject { subject: QualifiedSubject::parse(subject), versions: vec![version] }
    }

    /// An answer at hand: the number of the latest version that it was made from.
    struct Kept(Stamp, u64);

    /// The text of the latest version, which is its number, looked for as a read does; whether it had to be rendered.
    fn latest(replica: &Replica, operation: &Operation, kept: &mut Option<Kept>) -> (u64, bool) {
        let is_current = |stamp: &Stamp| stamp.is_of(replica.generation()) || replica.holds(stamp, &replica.snapshot());
        if let Some(Kept(_, number)) = kept.as_ref().filter(|Kept(stamp, _)| is_current(stamp)) {
            return (*number, false);
        }
        let snapshot = replica.snapshot();
        let Verdict::Known(200, body) = answer(operation, &snapshot, Form::Full, &[]) else { panic!("it is there") };
        let number = std::str::from_utf8(&body).expect("a text").parse().expect("a number");
        *kept = Some(Kept(Stamp::of(operation, &snapshot), number));
        (number, true)
    }

    #[test]
    fn no_thread_is_shown_what_came_before_an_acknowledged_write_nor_less_than_it_has_seen() {
        const WRITES: u64 = 2_000;
        let replica = Arc::new(Replica::empty(Forgetful));
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        let write = |changes: Vec<Change>| runtime.block_on(replica.apply_write(changes, replica.ticket()));
        write(vec![Change::Profile(Profile::Confluent8), version("s", 2), version("other", 1)]).expect("kept");
        let acknowledged = AtomicU64::new(2);
        let of = |target: &str| Operation::of_target(&Method::GET, target).expect("a route");
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let (own, other) =
                        (of("/subjects/s/versions/latest/schema"), of("/subjects/other/versions/1/schema"));
                    let (mut kept, mut bystander) = (None, None);
                    let (mut seen, mut rendered) = (0, 0_u64);
                    while seen < WRITES {
                        let promised = acknowledged.load(Ordering::Acquire);
                        let (number, _) = latest(&replica, &own, &mut kept);
                        assert!(number >= promised.max(seen), "{number} after {promised} and {seen}");
                        seen = number;
                        rendered += u64::from(latest(&replica, &other, &mut bystander).1);
                    }
                    assert!(rendered < 20, "an id of the other one may have its place, {rendered} of {WRITES} do not");
                });
            }
            for number in 3..=WRITES {
                write(vec![version("s", number)]).expect("kept");
                acknowledged.store(number, Ordering::Release);
            }
        });
    }

    #[test]
    fn parts_that_a_change_names_and_those_that_an_answer_names_are_the_same_ones() {
        let mut touched = Touched::nothing();
        let parts = [
            Part::Common,
            Part::Id(7),
            Part::Name("s"),
            Part::Setting("/config"),
            Part::Associations,
            Part::SeveralIds,
        ];
        parts.into_iter().for_each(|part| touched.add(part));
        let mut places: Vec<usize> = parts.into_iter().map(|part| usize::from(part.place())).collect();
        places.sort_unstable();
        assert!(touched.places().eq(places.iter().copied()), "{places:?}");
        for (key, part) in [
            ("/config/s?defaultToGlobal=true", Part::Setting("/config/s")),
            ("/mode", Part::Setting("/mode")),
            ("/", Part::Common),
            ("/schemas", Part::Common),
        ] {
            assert_eq!(Part::remembered(key), part);
        }
    }
}
