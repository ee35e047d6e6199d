//! Reads the listing of versions page by page, though it may move while it is read.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use bytes::Bytes;

use super::items::{self, Item};
use super::poll::{PAGE, Part, Poll, PollError};
use super::reading::{Gathering, Reading};
use super::status::{Reason, Skipped};
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::replica::{Replica, Snapshot, Ticket};

/// How many items of the page before are remembered, to find the place where the next one goes on.
const ANCHORS: usize = 64;
/// How often a listing may slip away before it is given up until the next pass.
const MOST_SLIPS: u32 = 20;

/// Why a listing could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ListingError {
    /// A page could not be read.
    #[error(transparent)]
    Poll(#[from] PollError),
    /// What came is no list.
    #[error("the listing is no JSON array")]
    NoList,
    /// Pages kept shifting.
    #[error("the listing did not hold still")]
    Unsteady,
}

/// A page of a listing, or the end of it.
pub(super) enum Page {
    Items(Bytes, Ticket),
    /// An item so large that not even it alone can be had.
    TooLarge,
    End,
    /// The primary has no such listing.
    Unknown,
}

/// Goes through a listing. The pages overlap by one item; if none of the last items is found
/// again, the listing has moved, and the page is asked for further to the front.
pub(super) struct Pages<'a> {
    poll: &'a Poll,
    part: &'a Part,
    deleted: bool,
    offset: usize,
    limit: usize,
    anchors: Vec<u64>,
    first: Option<u64>,
    slips: u32,
    ended: bool,
    hasher: RandomState,
}

impl<'a> Pages<'a> {
    pub(super) fn new(poll: &'a Poll, part: &'a Part, deleted: bool) -> Self {
        Self {
            poll,
            part,
            deleted,
            offset: 0,
            limit: PAGE,
            anchors: Vec::new(),
            first: None,
            slips: 0,
            ended: false,
            hasher: RandomState::new(),
        }
    }

    pub(super) async fn next(&mut self, replica: &Replica) -> Result<Page, ListingError> {
        while !self.ended {
            let ticket = replica.ticket();
            let answer = match self.poll.schemas(self.part, self.deleted, self.offset, self.limit).await {
                Ok(Some(answer)) => answer,
                Ok(None) => return Ok(Page::Unknown),
                Err(error) if error.is_too_large() && self.limit > 1 => {
                    self.limit /= 2;
                    continue;
                }
                Err(error) if error.is_too_large() => {
                    self.offset += 1;
                    self.anchors.clear();
                    return Ok(Page::TooLarge);
                }
                Err(error) => return Err(error.into()),
            };
            let found = items::split(&answer.body).ok_or(ListingError::NoList)?;
            let marks: Vec<u64> = found.iter().map(|item| self.hasher.hash_one(item)).collect();
            if self.take(&marks)? {
                return Ok(if marks.is_empty() { Page::End } else { Page::Items(answer.body, ticket) });
            }
        }
        Ok(Page::End)
    }

    /// Whether the page goes on where the one before ended; sets where the next one begins.
    fn take(&mut self, marks: &[u64]) -> Result<bool, ListingError> {
        let repeats = self.offset > 0 && self.first.is_some() && marks.first() == self.first.as_ref();
        if repeats && self.anchors.iter().all(|anchor| marks.contains(anchor)) {
            // Paging is not known there: all of it came with the first page.
            self.ended = true;
            return Ok(false);
        }
        let joined =
            self.offset == 0 || self.anchors.is_empty() || marks.iter().any(|mark| self.anchors.contains(mark));
        if !joined {
            self.slips += 1;
            if self.slips > MOST_SLIPS {
                return Err(ListingError::Unsteady);
            }
            self.offset = self.offset.saturating_sub(ANCHORS << self.slips.min(10));
            return Ok(false);
        }
        if self.offset == 0 {
            self.first = marks.first().copied();
        }
        self.ended = marks.len() != self.limit;
        let overlap = usize::from(marks.len() > 1);
        self.offset += marks.len() - overlap.min(marks.len());
        self.anchors = marks[marks.len().saturating_sub(ANCHORS)..].to_vec();
        if self.limit == 1 {
            self.anchors.clear();
        }
        self.limit = (self.limit * 2).min(PAGE);
        Ok(true)
    }
}

/// Reads all versions under a prefix; nothing where the primary has no listing that says what is what.
pub(super) async fn read(
    poll: &Poll,
    replica: &Replica,
    within: Option<&Context>,
) -> Result<Option<Reading>, ListingError> {
    let parts = within.map_or_else(|| poll.parts(), |within| vec![Part::Under(within.prefix())]);
    let mut gathering = Gathering::new(replica.snapshot());
    for part in &parts {
        let mut pages = Pages::new(poll, part, true);
        loop {
            match pages.next(replica).await? {
                Page::Items(body, ticket) => {
                    let found = items::split(&body).ok_or(ListingError::NoList)?;
                    if gathering.is_empty() && found.iter().all(|item| items::is_anonymous(item)) {
                        return Ok(None);
                    }
                    gather(&mut gathering, &found, ticket, within);
                }
                Page::TooLarge => gathering.skip(unseen(), replica.ticket()),
                Page::End => break,
                Page::Unknown => return Ok(None),
            }
        }
    }
    // Some registries filter this list by a prefix that is none of theirs, and so list nothing. Where
    // it has listed something before, an empty one is for the brake to judge (C7).
    if gathering.is_empty() && !has_listed(&replica.snapshot()) && has_subjects(poll, within).await? {
        return Ok(None);
    }
    if !gathering.is_silent_on_deletion {
        return Ok(Some(gathering.finish()));
    }
    // Read after the other one: what appears in between counts as live at the next pass, while
    // what is deleted in between counts as deleted now.
    let mut all = HashSet::new();
    for part in &parts {
        let Some(live) = live(poll, replica, part).await? else { return Ok(None) };
        all.extend(live);
    }
    Ok(Some(gathering.finish_with(&all)))
}

/// Whether what the replica holds came from the listing.
fn has_listed(held: &Snapshot) -> bool {
    held.remembered("/schemas").is_none() && held.contexts().any(|(_, context)| context.version_count() > 0)
}

async fn has_subjects(poll: &Poll, within: Option<&Context>) -> Result<bool, ListingError> {
    for part in poll.parts() {
        let names = poll.subjects(&part, 0).await?;
        let mut contexts = names.iter().map(|name| QualifiedSubject::parse(name).context);
        if contexts.any(|context| within.is_none_or(|within| *within == context)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn gather(gathering: &mut Gathering, found: &[&[u8]], ticket: Ticket, within: Option<&Context>) {
    for item in found {
        match items::read(item) {
            Ok(Item { subject: Some(name), version, tells_deletion }) => {
                let subject = QualifiedSubject::parse(&name);
                // Some registries list all contexts whatever they are asked for.
                if within.is_none_or(|within| *within == subject.context) {
                    gathering.add(subject, Item { subject: None, version, tells_deletion }, ticket);
                }
            }
            Ok(Item { version, .. }) => {
                let reason = Reason::Unreadable("it has no subject".to_owned());
                let number = Some(version.version);
                gathering.skip(Skipped { subject: None, version: number, deleted: version.deleted, reason }, ticket);
            }
            Err(skipped) => gathering.skip(skipped, ticket),
        }
    }
}

fn unseen() -> Skipped {
    Skipped { subject: None, version: None, deleted: false, reason: Reason::TooLarge }
}

/// The versions that are not soft-deleted.
pub(super) async fn live(
    poll: &Poll,
    replica: &Replica,
    part: &Part,
) -> Result<Option<HashSet<(QualifiedSubject, i32)>>, ListingError> {
    let mut pages = Pages::new(poll, part, false);
    let mut live = HashSet::new();
    loop {
        match pages.next(replica).await? {
            Page::Items(body, _) => {
                let found = items::split(&body).ok_or(ListingError::NoList)?;
                live.extend(found.iter().filter_map(|item| {
                    let Item { subject, version, .. } = items::read(item).ok()?;
                    Some((QualifiedSubject::parse(&subject?), version.version))
                }));
            }
            Page::TooLarge => {}
            Page::End => return Ok(Some(live)),
            Page::Unknown => return Ok(None),
        }
    }
}

/// One subject through the listing.
pub(super) enum Found {
    /// It is there.
    Reading(Box<Reading>),
    /// It is not in the list.
    Nowhere,
    /// The list is of no use for this.
    Unclear,
}

/// Reads the versions of one subject, which stands first among all that start with its name.
pub(super) async fn read_subject(
    poll: &Poll,
    replica: &Arc<Replica>,
    subject: &QualifiedSubject,
    ticket: Ticket,
) -> Result<Found, ListingError> {
    let name = subject.to_string();
    let part = Part::Under(name.clone());
    let known = replica.snapshot();
    let held = known.subject(subject);
    let limit = (held.map_or(0, |held| held.versions.len()) + 8).min(PAGE);
    let mut gathering = Gathering::new(known.clone());
    let mut offset = 0;
    loop {
        let Some(answer) = poll.schemas(&part, true, offset, limit).await? else { return Ok(Found::Unclear) };
        let found = items::split(&answer.body).ok_or(ListingError::NoList)?;
        let mut ours = 0;
        for item in &found {
            match items::read(item) {
                Ok(read) if read.subject.as_deref() == Some(&name) => gathering.add(subject.clone(), read, ticket),
                Err(skipped) if skipped.subject.as_deref() == Some(&name) => gathering.skip(skipped, ticket),
                Ok(Item { subject: Some(other), .. }) if other.starts_with(&name) => continue,
                // Not asked for, or not to be understood: no proof that the list is whole.
                _ => return Ok(Found::Unclear),
            }
            ours += 1;
        }
        if ours < limit || found.len() != limit {
            break;
        }
        offset += ours;
    }
    // A page that moved shows a hole or nothing, and so does a registry that does not say what is deleted.
    if gathering.is_silent_on_deletion || offset > 0 {
        return Ok(Found::Unclear);
    }
    if gathering.is_empty() {
        return Ok(Found::Nowhere);
    }
    Ok(Found::Reading(Box::new(gathering.finish())))
}
