//! What the local registry holds, as far as it matters to us.

use std::collections::BTreeMap;

use super::content::Content;
use crate::protocol::schema::Version;
use crate::protocol::subject::{Context, QualifiedSubject};

/// A version by its place.
pub(super) type Place = (QualifiedSubject, i32);

/// A version that the local registry holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) id: i32,
    pub(super) deleted: bool,
    pub(super) content: Content,
    /// What it refers to, which cannot be deleted before it is.
    pub(super) references: Vec<Place>,
}

impl Held {
    pub(super) fn of(context: &Context, version: &Version) -> Self {
        Self {
            id: version.id,
            deleted: version.deleted,
            content: Content::of(version),
            references: references(context, version),
        }
    }
}

/// The versions of a subject, by their numbers.
pub(super) type HeldSubject = BTreeMap<i32, Held>;

/// Where a version's references lead.
pub(super) fn references(context: &Context, version: &Version) -> Vec<Place> {
    if version.references.is_none() {
        return Vec::new();
    }
    let places = version.references().into_iter().filter_map(|reference| {
        let subject = QualifiedSubject::parse_in(reference.subject.as_deref()?, context);
        Some((subject, reference.version?))
    });
    places.collect()
}
