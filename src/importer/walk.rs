//! Reads a primary whose listing is of no use: subject by subject, version by version.
//!
//! It takes two calls a subject and one for each version that is not known yet. A registry that
//! re-uses a version's number is found out only where the highest version of a subject changed,
//! which a thorough walk asks for again.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};
use http::HeaderMap;

use super::items::{self, Item};
use super::poll::{PAGE, Poll, PollError};
use super::reading::{Gathering, Reading, Shown, mark};
use super::status::{Reason, Skipped};
use crate::protocol::subject::QualifiedSubject;
use crate::replica::{Replica, Ticket};

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
            Ok(Some(walked)) => {
                reading.shown.push(walked.shown);
                reading.skipped.extend(walked.skipped);
            }
            // Deleted between the list and now; whether that is so is asked again before it counts.
            Ok(None) => {}
            Err(error) => {
                refused += 1;
                let Some(status) = error.status().filter(|_| refused <= 10 || refused * 2 <= total) else {
                    return Err(error);
                };
                let reason = Reason::Refused(status);
                reading.skipped.push(Skipped {
                    subject: Some(subject.to_string()),
                    version: None,
                    deleted: false,
                    reason,
                });
                let mut shown = Shown::nothing(subject, ticket);
                shown.is_vague = true;
                reading.shown.push(shown);
            }
        }
    }
    Ok(reading)
}

/// The names of all subjects. Registries without paging answer every page with the whole list.
async fn subjects(poll: &Poll) -> Result<Vec<QualifiedSubject>, PollError> {
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

/// Reads one subject; nothing if it certainly is not there.
pub(super) async fn read_subject(
    poll: &Poll,
    replica: &Arc<Replica>,
    subject: &QualifiedSubject,
    ticket: Ticket,
    care: Care,
) -> Result<Option<Walked>, PollError> {
    let Some(all) = poll.versions(subject, true).await? else { return Ok(None) };
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
    Ok(Some(Walked { shown, skipped }))
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
