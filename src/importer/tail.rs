//! A tail pass: a few questions whose answers change whenever something is new.
//!
//! The highest id of each context shows new schemas. Two pages behind the end of the listing show
//! whether it is as long as expected and ends as expected, with and without what is soft-deleted:
//! so deletes, undeletes and subjects that re-use an id are noticed too, and the listing is read.
//! A primary that has to be walked is walked each time, without reading again what is known.
//!
//! While nothing is new, the list of contexts and the highest ids are asked for in turns, and so each within the two
//! intervals in which everything is to be seen (C4). A context comes with a registration and goes only when it is empty,
//! so mostly the listing shows it too; but one that came and was emptied between two passes shows in the list of
//! contexts alone, as what was registered while as much was removed shows in the highest id alone. A context that is
//! listed and holds nothing can go without any other trace: while there is one, everything is asked each time.

use std::cmp::Ordering;

use jiff::{SignedDuration, Timestamp};

use super::Core;
use super::items::{self, Item};
use super::listing::ListingError;
use super::pass::{PassError, refused};
use super::poll::{Part, Poll};
use super::reread::RereadError;
use super::status::{PassKind, Reason, Report, Skipped};
use super::walk::Care;
use crate::protocol::order::compare;
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::replica::{Change, ContextState, Snapshot, Urgency};

/// With more new ids than this the listing is the shorter way.
const MOST_NEW_IDS: i32 = 32;

/// A pass that took less can be followed by another in time (C4).
const QUICK: SignedDuration = SignedDuration::from_millis(500);

/// How long the primary's listings should be, and where they should end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tally {
    generation: u64,
    /// One a part that is listed.
    parts: Vec<Listings>,
}

/// A part's listing with what is soft-deleted, and without.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Listings {
    all: Expected,
    live: Expected,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Expected {
    count: usize,
    last: Option<(String, i32)>,
}

/// What shows that something is new where the listing may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// The list of contexts.
    Contexts,
    /// The highest id of each context.
    Ids,
}

impl Core {
    /// A whole tail pass.
    pub(super) async fn tail_pass(&self) -> Report {
        let _turn = self.turn.lock().await;
        let started_at = Timestamp::now();
        let poll = self.poll(Urgency::Background);
        let outcome = self.catch_up(&poll).await;
        self.ended(PassKind::Tail, started_at, &poll, outcome)
    }

    async fn catch_up(&self, poll: &Poll) -> Result<u64, PassError> {
        let (mut changes, mut is_quiet) = (0, false);
        if let Some(sign) = self.next_sign() {
            (changes, is_quiet) = self.look(poll, sign).await?;
        }
        if !is_quiet {
            changes += self.take_all_news(poll).await?;
        }
        Ok(changes)
    }

    /// Which of the two is to be asked for, where the other one can wait until the next pass.
    fn next_sign(&self) -> Option<Sign> {
        let held = self.replica.snapshot();
        let listed = held.listed_contexts().map_or(0, <[Context]>::len);
        let with_ids = held.contexts().filter(|(_, state)| known_id(state).is_some()).count();
        let mut state = self.state();
        // A pass that takes long leaves no time for another before everything has to be seen.
        let is_quick = |pass: &Report| pass.ended_at.duration_since(pass.started_at) < QUICK;
        let went_well =
            state.status.last_pass.as_ref().is_some_and(|pass| pass.ok && pass.changes == 0 && is_quick(pass));
        if state.walks || !went_well || !held.is_sure() || listed == 0 || listed != with_ids {
            return None;
        }
        state.sign = match state.sign {
            Some(Sign::Contexts) => Some(Sign::Ids),
            Some(Sign::Ids) | None => Some(Sign::Contexts),
        };
        state.sign
    }

    /// Takes over what a sign shows; then whether there is certainly nothing else.
    async fn look(&self, poll: &Poll, sign: Sign) -> Result<(u64, bool), PassError> {
        let shown = match sign {
            Sign::Contexts => self.take_contexts(poll).await.map(|changes| (changes, true)),
            Sign::Ids => self.take_all_new_ids(poll).await,
        };
        match shown {
            Ok((0, true)) => Ok((0, self.agrees(poll, true).await? && self.agrees(poll, false).await?)),
            Ok((changes, _)) => Ok((changes, false)),
            Err(error) if error.is_refusal() => Ok((0, false)),
            Err(error) => Err(error),
        }
    }

    async fn take_all_news(&self, poll: &Poll) -> Result<u64, PassError> {
        // Where it refuses to list its contexts, what is new in those that are known still comes.
        let (contexts, refusal) = match self.take_contexts(poll).await {
            Ok(changes) => (changes, None),
            Err(error) if error.is_refusal() => (0, Some(error)),
            Err(error) => return Err(error),
        };
        let changes = contexts + self.take_news(poll).await?;
        refusal.map_or(Ok(changes), Err)
    }

    async fn take_news(&self, poll: &Poll) -> Result<u64, PassError> {
        let walks = self.state().walks;
        let (changes, complete) = if walks { (0, false) } else { self.take_all_new_ids(poll).await? };
        if complete && self.agrees(poll, true).await? && self.agrees(poll, false).await? {
            return Ok(changes);
        }
        let reading = self.read(poll, None, Care::Quick).await?;
        Ok(changes + self.take(poll, reading, None, false).await?)
    }

    /// Reads what has come under new ids in all contexts, and says whether that is all of it.
    async fn take_all_new_ids(&self, poll: &Poll) -> Result<(u64, bool), PassError> {
        let (mut changes, mut complete) = (0, true);
        for (context, state) in self.replica.snapshot().contexts() {
            let new = self.take_new_ids(poll, context, state).await?;
            complete &= new.is_some();
            changes += new.unwrap_or(0);
        }
        Ok((changes, complete))
    }

    /// Reads what has come under new ids; nothing if that was too much or did not work out.
    async fn take_new_ids(
        &self,
        poll: &Poll,
        context: &Context,
        state: &ContextState,
    ) -> Result<Option<u64>, PassError> {
        let Some(known) = known_id(state) else { return Ok(Some(0)) };
        let ticket = self.replica.ticket();
        let max = match poll.max_id(context, known).await {
            Ok(max) => max,
            Err(error) if error.status().is_some() => None,
            Err(error) => return Err(error.into()),
        };
        let Some(max) = max.filter(|max| *max > state.max_id()) else { return Ok(Some(0)) };
        if max - state.max_id() > MOST_NEW_IDS {
            return Ok(None);
        }
        let mut subjects: Vec<QualifiedSubject> = Vec::new();
        for id in state.max_id() + 1..=max {
            let holders = match self.holders_of(poll, context, id).await {
                Ok(holders) => holders,
                Err(error) if error.status().is_some() => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            subjects.extend(holders);
        }
        subjects.sort();
        subjects.dedup();
        let (mut changes, mut complete) = (0, true);
        for subject in subjects {
            match self.settle_subject(poll, subject.clone()).await {
                Ok(count) => changes += count,
                Err(RereadError::Pass(error)) => match *error {
                    PassError::Poll(error) if error.status().is_some() => {
                        self.leave_out_of(&subject, vec![refused(&subject, error.status().unwrap_or_default())])
                            .await?;
                        complete = false;
                    }
                    error => return Err(error),
                },
                Err(_) => complete = false,
            }
        }
        self.replica.apply_reading(vec![Change::MaxId(context.clone(), max)], ticket).await?;
        Ok(complete.then_some(changes))
    }

    /// Whether the primary's listings are as long as expected, and end as expected.
    async fn agrees(&self, poll: &Poll, deleted: bool) -> Result<bool, PassError> {
        for (index, part) in poll.parts().iter().enumerate() {
            if !self.agrees_in(poll, (index, part), deleted).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn agrees_in(&self, poll: &Poll, part: (usize, &Part), deleted: bool) -> Result<bool, PassError> {
        // Once more if the replica has moved meanwhile: both sides of the comparison must be of one time.
        for _ in 0..2 {
            let held = self.replica.snapshot();
            let expected = self.expected(&held, poll, part.0, deleted);
            let offset = expected.count.saturating_sub(1);
            let Some(answer) = poll.schemas(part.1, deleted, offset, 2).await? else { return Ok(false) };
            let found = items::split(&answer.body).ok_or(ListingError::NoList)?;
            let ends = match (found.as_slice(), &expected.last) {
                ([], None) => true,
                ([last], Some(expected)) => names(last).as_ref() == Some(expected),
                _ => false,
            };
            if ends || self.replica.snapshot().generation() == held.generation() {
                return Ok(ends);
            }
        }
        Ok(false)
    }

    fn expected(&self, held: &Snapshot, poll: &Poll, part: usize, deleted: bool) -> Expected {
        let mut state = self.state();
        let known = state.tally.take().filter(|tally| tally.generation == held.generation());
        let tally = known.unwrap_or_else(|| Tally::of(held, &state.status.skipped, poll));
        let expected = tally.parts.get(part).cloned().unwrap_or_default();
        let expected = if deleted { expected.all } else { expected.live };
        state.tally = Some(tally);
        expected
    }
}

impl Tally {
    fn of(held: &Snapshot, skipped: &[Skipped], poll: &Poll) -> Self {
        let mut parts = vec![Listings::default(); poll.parts().len()];
        for (context, state) in held.contexts() {
            let Some(Listings { all, live }) = poll.part_of(context).and_then(|part| parts.get_mut(part)) else {
                continue;
            };
            let (mut last, mut last_live) = (None, None);
            for (name, subject) in state.subjects() {
                all.count += subject.versions.len();
                last = later(last, name, subject.versions.last().map(|version| version.version));
                live.count += subject.live().count();
                last_live = later(last_live, name, subject.live().next_back().map(|version| version.version));
            }
            let full = |name: &str| QualifiedSubject::new(context.clone(), name).to_string();
            all.end_with(last.map(|(name, version)| (full(name), version)));
            live.end_with(last_live.map(|(name, version)| (full(name), version)));
        }
        for one in skipped.iter().filter(|one| is_listed(one) && !is_held(one, held)) {
            let place = one.subject.clone().zip(one.version);
            let context = one.subject.as_deref().map(|subject| QualifiedSubject::parse(subject).context);
            // Where it is not said in which part it stands, it is looked for in the first.
            let part = context.and_then(|context| poll.part_of(&context)).unwrap_or_default();
            let Some(Listings { all, live }) = parts.get_mut(part) else { continue };
            all.count += 1;
            all.end_with(place.clone());
            if !one.deleted {
                live.count += 1;
                live.end_with(place);
            }
        }
        Self { generation: held.generation(), parts }
    }
}

impl Expected {
    fn end_with(&mut self, place: Option<(String, i32)>) {
        let Some((name, version)) = place else { return };
        let is_later =
            |(last, number): &(String, i32)| compare(&name, last).then(version.cmp(number)) == Ordering::Greater;
        if self.last.as_ref().is_none_or(is_later) {
            self.last = Some((name, version));
        }
    }
}

/// The later one of two names inside a context.
fn later<'a>(last: Option<(&'a str, i32)>, name: &'a str, version: Option<i32>) -> Option<(&'a str, i32)> {
    let Some(version) = version else { return last };
    match last {
        Some((known, _)) if compare(name, known) != Ordering::Greater => last,
        _ => Some((name, version)),
    }
}

/// Whether it stands for an item of the listing, and not for a subject that could not be asked for.
fn is_listed(one: &Skipped) -> bool {
    !matches!(one.reason, Reason::Refused(_) | Reason::Aliased)
}

fn is_held(one: &Skipped, held: &Snapshot) -> bool {
    let place = one.subject.as_deref().zip(one.version);
    place.is_some_and(|(subject, version)| held.version(&QualifiedSubject::parse(subject), version).is_some())
}

/// The place of an item, as far as it can be read.
fn names(item: &[u8]) -> Option<(String, i32)> {
    match items::read(item) {
        Ok(Item { subject, version, .. }) => Some((subject?, version.version)),
        Err(Skipped { subject, version, .. }) => Some((subject?, version?)),
    }
}

/// An id that the context holds, the highest where it is still there.
pub(super) fn known_id(state: &ContextState) -> Option<i32> {
    if !state.holders(state.max_id()).is_empty() {
        return Some(state.max_id());
    }
    state.subjects().next().and_then(|(_, subject)| Some(subject.versions.first()?.id))
}
