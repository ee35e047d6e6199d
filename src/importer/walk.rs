//! Reads a primary whose listing is of no use: subject by subject, version by version.
//!
//! It takes two calls a subject and one for each version that is not known yet. A registry that
//! re-uses a version's number is found out only where the highest version of a subject changed,
//! which a thorough walk asks for again. What a name holds that is an alias cannot be read in this
//! way: whoever asks for it is given what another subject holds (WIRE.md § 3.5).

use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};
use http::HeaderMap;

use super::items::{self, Item};
use super::poll::{PAGE, Poll, PollError};
use super::reading::{Gathering, Reading, Shown, mark};
use super::status::{Reason, Skipped};
use crate::protocol::subject::QualifiedSubject;
use crate::replica::{Replica, Ticket, is_alias};

/// Whether versions that are known already are asked for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Care {
    /// None of them.
    Quick,
    /// The highest one of each subject.
    Thorough,
}

/// Reads everything.
pub(super) async fn read(
    poll: &Poll,
    replica: &Arc<Replica>,
    parallel: usize,
    care: Care,
) -> Result<Reading, PollError> {
    let names = subjects(poll).await?;
    let mut reading = Reading { shown: Vec::new(), skipped: Vec::new(), items: names.len() };
    let total = names.len();
    let mut refused = 0;
    let mut walks = stream::iter(names)
        .map(|subject| async move {
            let ticket = replica.ticket();
            (subject.clone(), read_subject(poll, replica, &subject, ticket, care).await, ticket)
        })
        .buffer_unordered(parallel.max(1));
    while let Some((subject, outcome, ticket)) = walks.next().await {
        match outcome {
            Ok(Walk::Through(walked)) => {
                reading.shown.push(walked.shown);
                reading.skipped.extend(walked.skipped);
            }
            Ok(Walk::Elsewhere) => {
                let (shown, skipped) = unknown(subject, ticket, Reason::Aliased);
                reading.shown.push(shown);
                reading.skipped.push(skipped);
            }
            // Deleted between the list and now; whether that is so is asked again before it counts.
            Ok(Walk::Nowhere) => {}
            Err(error) => {
                refused += 1;
                let Some(status) = error.status().filter(|_| refused <= 10 || refused * 2 <= total) else {
                    return Err(error);
                };
                let (shown, skipped) = unknown(subject, ticket, Reason::Refused(status));
                reading.shown.push(shown);
                reading.skipped.push(skipped);
            }
        }
    }
    Ok(reading)
}

/// A subject of which only the name can be told.
pub(super) fn unknown(subject: QualifiedSubject, ticket: Ticket, reason: Reason) -> (Shown, Skipped) {
    let skipped = Skipped { subject: Some(subject.to_string()), version: None, deleted: false, reason };
    (Shown { is_vague: true, ..Shown::nothing(subject, ticket) }, skipped)
}

/// The names of all subjects. Registries without paging answer every page with the whole list.
pub(super) async fn subjects(poll: &Poll) -> Result<Vec<QualifiedSubject>, PollError> {
    let mut known = std::collections::HashSet::new();
    let mut subjects = Vec::new();
    for part in poll.parts() {
        let mut offset = 0;
        loop {
            let page = poll.subjects(&part, offset).await?;
            let (count, before) = (page.len(), subjects.len());
            for subject in page.iter().map(|name| QualifiedSubject::parse(name)) {
                if known.insert(subject.clone()) {
                    subjects.push(subject);
                }
            }
            if count != PAGE || subjects.len() == before {
                break;
            }
            offset += count - 1;
        }
    }
    Ok(subjects)
}

/// A subject with what of it is left out.
pub(super) struct Walked {
    pub(super) shown: Shown,
    pub(super) skipped: Vec<Skipped>,
}

/// What asking for one subject led to.
pub(super) enum Walk {
    /// It is there.
    Through(Walked),
    /// Nothing is there, neither under the name nor, if it is an alias, where that leads.
    Nowhere,
    /// The name is an alias: the answers are about another subject.
    Elsewhere,
}

/// Reads one subject.
pub(super) async fn read_subject(
    poll: &Poll,
    replica: &Arc<Replica>,
    subject: &QualifiedSubject,
    ticket: Ticket,
    care: Care,
) -> Result<Walk, PollError> {
    if is_alias(&replica.snapshot(), subject) {
        return Ok(Walk::Elsewhere);
    }
    let Some(all) = poll.versions(subject, true).await? else { return Ok(Walk::Nowhere) };
    let live = poll.versions(subject, false).await?.unwrap_or_default();
    let held = replica.snapshot();
    let highest = all.iter().max().copied();
    let mut gathering = Gathering::new(held.clone());
    let mut known = Vec::new();
    for number in all {
        let again = care == Care::Thorough && Some(number) == highest;
        match held.version(subject, number).filter(|_| !again) {
            Some(version) => known.push(version.clone()),
            None => match fetch(poll, subject, number).await? {
                Some(Ok(item)) if !is_of(&item, subject) => return Ok(Walk::Elsewhere),
                Some(Ok(item)) => gathering.add(subject.clone(), item, ticket),
                Some(Err(skipped)) => gathering.skip(skipped, ticket),
                // Gone since the list was made.
                None => {}
            },
        }
    }
    let Reading { mut shown, skipped, .. } = gathering.finish();
    let mut shown = shown.pop().unwrap_or_else(|| Shown::nothing(subject.clone(), ticket));
    shown.versions.extend(known);
    shown.versions.sort_by_key(|version| version.version);
    for version in &mut shown.versions {
        mark(version, !live.contains(&version.version));
    }
    Ok(Walk::Through(Walked { shown, skipped }))
}

/// Whether a version is one of the subject that was asked for. Some registries leave out the context that it was
/// asked for in, or the subject.
pub(super) fn is_of(item: &Item, subject: &QualifiedSubject) -> bool {
    let named = item.subject.as_deref().map(|name| QualifiedSubject::parse_in(name, &subject.context));
    named.is_none_or(|named| named == *subject)
}

/// One version; nothing if it is gone.
async fn fetch(
    poll: &Poll,
    subject: &QualifiedSubject,
    number: i32,
) -> Result<Option<Result<Item, Skipped>>, PollError> {
    let skipped =
        |reason, deleted| Skipped { subject: Some(subject.to_string()), version: Some(number), deleted, reason };
    let answer = match poll.version(subject, number, HeaderMap::new()).await {
        Ok(Some(answer)) => answer,
        Ok(None) => return Ok(None),
        Err(error) if error.is_too_large() => return Ok(Some(Err(skipped(Reason::TooLarge, false)))),
        Err(error) => return Err(error),
    };
    Ok(Some(match items::read(&answer.body) {
        Ok(item) if item.version.version == number => Ok(item),
        Ok(_) => Err(skipped(Reason::Unreadable("it is another version than was asked for".to_owned()), false)),
        Err(unread) => Err(skipped(unread.reason, unread.deleted)),
    }))
}
