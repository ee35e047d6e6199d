//! What the replica can say to a read: a renderer a kind of answer, pure functions of one snapshot.
//!
//! A renderer says what it knows for certain and nothing else. That something is not in the replica
//! is no knowledge: the verdict is then [`Verdict::Unknown`] and the primary is asked (C4b).

mod associations;
mod batch;
mod config;
mod dress;
mod filters;
mod formats;
mod lists;
mod lookup;
mod parts;
mod references;
mod resolve;
mod schemas;
mod subjects;
mod table;
mod tags;

use std::sync::Arc;

use bytes::Bytes;

use super::snapshot::{Remembered, Snapshot};
use crate::protocol::endpoints::{Route, is_known_parameter};
use crate::protocol::error::Refusal;
use crate::protocol::operation::Operation;
use crate::protocol::shape::Form;
use crate::protocol::target::{CAPPED, NotANumber, Page, UNCAPPED};
use table::Question;

pub use lookup::{Asked, Found, MatchScope, is_config_of};
pub(super) use parts::parts;
pub(super) use references::MOST_REFERENCES;
pub use resolve::{behind_alias, behind_parameter, config_key, is_alias, served_subject, subjects_behind};
pub use table::{ROWS, Row, Teller};

/// Under this key is remembered which names the primary lists as aliases, once all of their
/// configurations have been read.
pub const ALIASES: &str = "/schemas?aliases=true";

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

/// The replica does not have it: the primary is asked once for all who ask at the same time.
const ABSENT: Verdict = Verdict::Unknown(Why::Absent);
/// The replica cannot say it: the primary is asked by each client for itself.
const PRIMARY_ONLY: Verdict = Verdict::Unknown(Why::PrimaryOnly);

/// Answers a read from one snapshot. Who answers, the [table](ROWS) says.
pub fn answer(operation: &Operation, snapshot: &Snapshot, form: Form, body: &[u8]) -> Verdict {
    let question = Question::new(operation, snapshot, form, body);
    match question.admit().and_then(|()| rendered(&question)) {
        Ok(body) if body.is_empty() => Verdict::Known(204, body),
        Ok(body) if operation.route == Route::BatchGetAssociations => Verdict::Known(207, body),
        Ok(body) => Verdict::Known(200, body),
        Err(verdict) => verdict,
    }
}

/// What the replica has to say. A route without an arm is the primary's.
fn rendered(question: &Question<'_>) -> Answer {
    match question.operation.route {
        Route::Root => lists::root(question.snapshot),
        Route::ClusterId | Route::ServerVersion | Route::Deployment | Route::SchemaTypes => lists::fact(question),
        Route::Contexts => lists::contexts(question),
        Route::Subjects => lists::subjects(question),
        Route::Schemas => lists::schemas(question),
        Route::SchemaById => schemas::by_id(question),
        Route::SchemaTextById => schemas::text_by_id(question),
        Route::SubjectsById => schemas::subjects_of(question),
        Route::VersionsById => schemas::versions_of(question),
        Route::SchemaByGuid => schemas::by_guid(question),
        Route::IdsByGuid => schemas::ids_of_guid(question),
        Route::Versions => subjects::versions(question),
        Route::Version => subjects::version(question),
        Route::VersionText => subjects::text(question),
        Route::ReferencedBy => subjects::referenced_by(question),
        Route::LatestWithMetadata => subjects::with_metadata(question),
        Route::GlobalConfig | Route::SubjectConfig => config::config(question),
        Route::AssociationsBySubject | Route::AssociationsByResource | Route::AssociationsByName => {
            associations::associations(question)
        }
        Route::BatchGetAssociations => batch::batch_get(question),
        _ => Err(PRIMARY_ONLY),
    }
}

/// Whether the query names a parameter that no release we know has: what it does, only the primary
/// can say. The registry ignores what it does not know, and so do we while the primary is away.
pub fn has_unknown_parameters(operation: &Operation) -> bool {
    !operation.query.names().all(is_known_parameter)
}

/// Cuts a page out of a list, as the registry limits it (WIRE.md § 1).
fn page<T>(items: impl IntoIterator<Item = T>, page: Page, most: usize) -> Result<Vec<T>, Verdict> {
    page.cut(items, most).ok_or_else(|| Refusal::internal().into())
}
