//! Reads what the local registry holds: through its listing, or subject by subject where that is of no use.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};
use http::HeaderMap;

use super::held::{Held, HeldSubject};
use super::wire::WireError;
use crate::importer::items::{self, Item};
use crate::importer::listing::{self, ListingError, Page, Pages};
use crate::importer::poll::{Part, Poll};
use crate::importer::walk;
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::replica::Replica;

/// Most subjects that are read one by one; for more the listing is the shorter way.
const FEW: usize = 32;

/// Versions of one subject that are asked for at once.
const LIMIT: usize = 100;

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Shown {
    pub(super) subjects: HashMap<QualifiedSubject, HeldSubject>,
    /// Subjects of which something could not be read.
    pub(super) unclear: BTreeSet<QualifiedSubject>,
    /// Subjects that are nobody's business, of which only the names were read.
    pub(super) others: Vec<QualifiedSubject>,
    /// Whether it had to be read subject by subject.
    pub(super) walks: bool,
    is_silent_on_deletion: bool,
}

impl Shown {
    fn add(&mut self, subject: QualifiedSubject, item: &Item) {
        self.is_silent_on_deletion |= !item.tells_deletion;
        let held = Held::of(&subject.context, &item.version);
        self.subjects.entry(subject).or_default().insert(item.version.version, held);
    }

    fn add_unread(&mut self, subject: Option<&str>, is_wanted: &Wanted<'_>) {
        let subject = subject.map(QualifiedSubject::parse).filter(|subject| is_wanted(subject));
        self.unclear.extend(subject);
    }

    /// What is not in the list of what is live is soft-deleted.
    fn mark(&mut self, live: &HashSet<(QualifiedSubject, i32)>) {
        for (subject, versions) in &mut self.subjects {
            for (number, held) in versions {
                held.deleted = !live.contains(&(subject.clone(), *number));
            }
        }
    }
}

type Wanted<'a> = dyn Fn(&QualifiedSubject) -> bool + Send + Sync + 'a;

/// Which part of the local registry is read.
#[derive(Clone, Copy)]
pub(super) enum Extent<'a> {
    /// The contexts that are the primary's.
    All {
        is_primarys: &'a (dyn Fn(&Context) -> bool + Send + Sync),
        /// Subjects that the primary has or that are ours. Of others not more than the name is needed.
        is_known: &'a Wanted<'a>,
    },
    /// Some subjects.
    These(&'a BTreeSet<QualifiedSubject>),
}

impl Extent<'_> {
    fn has(&self, subject: &QualifiedSubject) -> bool {
        match self {
            Self::All { is_primarys, .. } => is_primarys(&subject.context),
            Self::These(subjects) => subjects.contains(subject),
        }
    }
}

/// Who reads.
pub(super) struct Reader<'a> {
    pub(super) poll: &'a Poll,
    pub(super) replica: &'a Arc<Replica>,
    pub(super) parallel: usize,
    /// Whether the listing was of no use before.
    pub(super) walks: bool,
}

impl Reader<'_> {
    /// Reads a part of the local registry.
    pub(super) async fn read(&self, extent: Extent<'_>) -> Result<Shown, WireError> {
        match extent {
            Extent::These(subjects) if subjects.len() <= FEW || self.walks => self.one_by_one(subjects).await,
            Extent::These(_) => match self.list(extent).await? {
                Some(shown) => Ok(shown),
                None => self.walk(extent).await,
            },
            Extent::All { .. } => match self.list(extent).await? {
                Some(shown) => Ok(shown),
                None => self.walk(extent).await,
            },
        }
    }

    async fn list(&self, extent: Extent<'_>) -> Result<Option<Shown>, WireError> {
        let is_wanted = |subject: &QualifiedSubject| extent.has(subject);
        let mut shown = Shown::default();
        let mut items = 0;
        let parts = self.poll.parts();
        for part in &parts {
            let mut pages = Pages::new(self.poll, part, true);
            loop {
                match pages.next(self.replica).await? {
                    Page::Items(body, _) => {
                        let found = items::split(&body).ok_or(ListingError::NoList)?;
                        if items == 0 && found.iter().all(|item| items::is_anonymous(item)) {
                            return Ok(None);
                        }
                        items += found.len();
                        gather(&mut shown, &found, &is_wanted);
                    }
                    // Without a name: what it belongs to looks as if it lacked something, and is written again.
                    Page::TooLarge => items += 1,
                    Page::End => break,
                    Page::Unknown => return Ok(None),
                }
            }
        }
        // Some registries filter this list by a prefix that is none of theirs, and so list nothing.
        if items == 0 && !walk::subjects(self.poll).await?.is_empty() {
            return Ok(None);
        }
        if shown.is_silent_on_deletion {
            let mut all = HashSet::new();
            for part in &parts {
                let Some(live) = listing::live(self.poll, self.replica, part).await? else { return Ok(None) };
                all.extend(live);
            }
            shown.mark(&all);
        }
        Ok(Some(shown))
    }

    async fn walk(&self, extent: Extent<'_>) -> Result<Shown, WireError> {
        let mut names: BTreeSet<QualifiedSubject> = walk::subjects(self.poll).await?.into_iter().collect();
        names.retain(|subject| extent.has(subject));
        let is_known = |subject: &QualifiedSubject| match extent {
            Extent::All { is_known, .. } => is_known(subject),
            Extent::These(_) => true,
        };
        let (known, others): (BTreeSet<_>, Vec<_>) = {
            let others = names.iter().filter(|subject| !is_known(subject)).cloned().collect();
            (names.into_iter().filter(is_known).collect(), others)
        };
        let mut shown = Shown { others, walks: true, ..Shown::default() };
        let mut walks = stream::iter(known)
            .map(|subject| async move { (self.walk_one(&subject).await, subject) })
            .buffer_unordered(self.parallel.max(1));
        while let Some((walked, subject)) = walks.next().await {
            shown.take(subject, walked?);
        }
        Ok(shown)
    }

    async fn one_by_one(&self, subjects: &BTreeSet<QualifiedSubject>) -> Result<Shown, WireError> {
        let mut shown = Shown { walks: self.walks, ..Shown::default() };
        let subjects: Vec<_> = subjects.iter().cloned().collect();
        let mut answers = stream::iter(subjects)
            .map(|subject| async move {
                let one = match self.walks {
                    true => self.walk_one(&subject).await,
                    false => self.list_one(&subject).await,
                };
                (one, subject)
            })
            .buffer_unordered(self.parallel.max(1));
        while let Some((one, subject)) = answers.next().await {
            shown.take(subject, one?);
        }
        Ok(shown)
    }

    /// One subject through the listing, where it stands first among all that start with its name. Unlike every
    /// question about the subject itself, this one is not led elsewhere by an alias.
    async fn list_one(&self, subject: &QualifiedSubject) -> Result<One, WireError> {
        let mut one = self.page_through(subject, true).await?;
        if one.walks {
            return self.walk_one(subject).await;
        }
        if one.is_silent_on_deletion {
            let live = self.page_through(subject, false).await?;
            one.versions.iter_mut().for_each(|(number, held)| held.deleted = !live.versions.contains_key(number));
        }
        Ok(one)
    }

    async fn page_through(&self, subject: &QualifiedSubject, deleted: bool) -> Result<One, WireError> {
        let name = subject.to_string();
        let part = Part::Under(name.clone());
        let mut one = One::default();
        let mut offset = 0;
        loop {
            let Some(answer) = self.poll.schemas(&part, deleted, offset, LIMIT).await? else {
                return Ok(One { walks: true, ..One::default() });
            };
            let found = items::split(&answer.body).ok_or(ListingError::NoList)?;
            let (mut ours, before) = (0, one.versions.len());
            for item in &found {
                match items::read(item) {
                    Ok(item) if item.subject.as_deref() == Some(&name) => one.add(subject, &item),
                    Err(skipped) if skipped.subject.as_deref() == Some(&name) => one.is_unclear = true,
                    Ok(Item { subject: Some(_), .. }) => continue,
                    Err(skipped) if skipped.subject.is_some() => continue,
                    // The list does not say what is whose.
                    _ => return Ok(One { walks: true, ..One::default() }),
                }
                ours += 1;
            }
            offset += ours;
            // Where paging is not known every page is the first one.
            if ours < LIMIT || one.versions.len() == before {
                return Ok(one);
            }
        }
    }

    async fn walk_one(&self, subject: &QualifiedSubject) -> Result<One, WireError> {
        let mut one = One { walks: true, ..One::default() };
        let Some(all) = self.poll.versions(subject, true).await? else { return Ok(one) };
        let live = self.poll.versions(subject, false).await?.unwrap_or_default();
        for number in all {
            let Some(answer) = self.poll.version(subject, number, HeaderMap::new()).await? else { continue };
            match items::read(&answer.body) {
                Ok(item) if walk::is_of(&item, subject) && item.version.version == number => {
                    one.add(subject, &item);
                    if let Some(held) = one.versions.get_mut(&number) {
                        held.deleted = !live.contains(&number);
                    }
                }
                _ => one.is_unclear = true,
            }
        }
        Ok(one)
    }
}

/// One subject that was read.
#[derive(Debug, Default)]
struct One {
    versions: BTreeMap<i32, Held>,
    is_unclear: bool,
    is_silent_on_deletion: bool,
    walks: bool,
}

impl One {
    fn add(&mut self, subject: &QualifiedSubject, item: &Item) {
        self.is_silent_on_deletion |= !item.tells_deletion;
        self.versions.insert(item.version.version, Held::of(&subject.context, &item.version));
    }
}

impl Shown {
    fn take(&mut self, subject: QualifiedSubject, one: One) {
        self.walks |= one.walks;
        if one.is_unclear {
            self.unclear.insert(subject.clone());
        }
        if !one.versions.is_empty() {
            self.subjects.insert(subject, one.versions);
        }
    }
}

fn gather(shown: &mut Shown, found: &[&[u8]], is_wanted: &Wanted<'_>) {
    for item in found {
        match items::read(item) {
            Ok(item) => {
                let subject = item.subject.as_deref().map(QualifiedSubject::parse);
                if let Some(subject) = subject.filter(|subject| is_wanted(subject)) {
                    shown.add(subject, &item);
                }
            }
            Err(skipped) => shown.add_unread(skipped.subject.as_deref(), is_wanted),
        }
    }
}
