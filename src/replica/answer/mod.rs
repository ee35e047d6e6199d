//! What the replica can say to a read: a renderer a kind of answer, pure functions of one snapshot.
//!
//! A renderer says what it knows for certain and nothing else. That something is not in the replica
//! is no knowledge: the verdict is then [`Verdict::Unknown`] and the primary is asked (C4b).

mod associations;
mod config;
mod lists;
mod lookup;
mod resolve;
mod schemas;
mod subjects;

use std::sync::Arc;

use bytes::Bytes;

use super::snapshot::{Remembered, Snapshot};
use crate::protocol::endpoints::{Route, is_known_parameter};
use crate::protocol::error::Refusal;
use crate::protocol::operation::Operation;
use crate::protocol::shape::Form;
use crate::protocol::target::{NotANumber, Page};

pub use lookup::{Asked, Found, MatchScope, is_config_of};
pub use resolve::{config_key, served_subject};

/// What the replica says to a read.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// The answer: its status and body.
    Known(u16, Bytes),
    /// A refusal that does not depend on what the primary holds.
    Refused(Refusal),
    /// The primary must be asked.
    Unknown(Why),
}

/// Why the primary must be asked.
#[derive(Clone, Debug)]
pub enum Why {
    /// The replica does not have it, which does not mean that it is not there.
    Absent,
    /// The answer needs something that the replica does not keep.
    PrimaryOnly,
    /// The primary refused this whole route before; that is what is said while it is away.
    Unsupported(Arc<Remembered>),
}

impl From<Refusal> for Verdict {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A parameter that must be a number is none.
impl From<NotANumber> for Verdict {
    fn from(_: NotANumber) -> Self {
        Self::Refused(Refusal::not_found())
    }
}

/// A renderer's way out: `?` on what ends it early.
type Answer = Result<Bytes, Verdict>;

const ABSENT: Verdict = Verdict::Unknown(Why::Absent);
const PRIMARY_ONLY: Verdict = Verdict::Unknown(Why::PrimaryOnly);

/// Answers a read from one snapshot.
pub fn answer(operation: &Operation, snapshot: &Snapshot, form: Form) -> Verdict {
    let body = match operation.route {
        Route::Root => lists::root(snapshot),
        Route::ClusterId | Route::ServerVersion | Route::Deployment | Route::SchemaTypes => {
            lists::fact(operation, snapshot)
        }
        Route::Contexts => lists::contexts(operation, snapshot),
        Route::Subjects => lists::subjects(operation, snapshot),
        Route::Schemas => lists::schemas(operation, snapshot, form),
        Route::SchemaById => schemas::by_id(operation, snapshot, form),
        Route::SchemaTextById => schemas::text_by_id(operation, snapshot),
        Route::SubjectsById => schemas::subjects_of(operation, snapshot),
        Route::VersionsById => schemas::versions_of(operation, snapshot),
        Route::SchemaByGuid => schemas::by_guid(operation, snapshot, form),
        Route::IdsByGuid => schemas::ids_of_guid(operation, snapshot),
        Route::Versions => subjects::versions(operation, snapshot),
        Route::Version => subjects::version(operation, snapshot, form),
        Route::VersionText => subjects::text(operation, snapshot),
        Route::ReferencedBy => subjects::referenced_by(operation, snapshot),
        Route::LatestWithMetadata => subjects::with_metadata(operation, snapshot, form),
        Route::GlobalConfig | Route::SubjectConfig => config::config(operation, snapshot),
        Route::AssociationsBySubject | Route::AssociationsByResource | Route::AssociationsByName => {
            associations::associations(operation, snapshot)
        }
        _ => Err(PRIMARY_ONLY),
    };
    match body {
        Ok(body) if body.is_empty() => Verdict::Known(204, body),
        Ok(body) => Verdict::Known(200, body),
        Err(verdict) => verdict,
    }
}

/// Whether the query names a parameter that no release we know has: what it does, only the primary
/// can say. The registry ignores what it does not know, and so do we while the primary is away.
pub fn has_unknown_parameters(operation: &Operation) -> bool {
    !operation.query.names().all(is_known_parameter)
}

/// Cuts a page out of a list, as the registry limits it (WIRE.md § 1).
fn page<T>(items: impl IntoIterator<Item = T>, page: Page, most: usize) -> Result<Vec<T>, Verdict> {
    let offset = usize::try_from(page.offset).map_err(|_| Refusal::internal())?;
    let limit = usize::try_from(page.limit).ok().filter(|limit| (1..=most).contains(limit)).unwrap_or(most);
    Ok(items.into_iter().skip(offset).take(limit).collect())
}

/// Lists that the registry does not cap.
const UNCAPPED: usize = i32::MAX as usize;

/// The cap of `/schemas`, `referencedby` and the associations.
const CAPPED: usize = 1000;
