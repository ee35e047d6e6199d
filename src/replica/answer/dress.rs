//! A version as a request wants to see it: in another format, with its tags, with full references.

use std::sync::Arc;

use super::table::{Question, asks_qualified};
use super::{PRIMARY_ONLY, Verdict, formats, references, tags};
use crate::protocol::endpoints::Route;
use crate::protocol::schema::Version;
use crate::protocol::subject::Context;

/// The version that was found in a context, with all that the parameters ask for (WIRE.md § 1.5, § 1.11).
/// The table has said before whether we may; what cannot be done all the same is the primary's.
pub(super) fn dressed(
    question: &Question<'_>,
    context: &Context,
    version: Arc<Version>,
) -> Result<Arc<Version>, Verdict> {
    question.admit_version(context, &version)?;
    let format = question.get("format").filter(|format| formats::is_asked(Some(format)));
    let wanted: Vec<&str> = question.all("findTags").collect();
    let is_qualified = asks_qualified(question) && !context.is_default() && version.references.is_some();
    if format.is_none() && wanted.is_empty() && !is_qualified {
        return Ok(version);
    }
    let behind = references::behind(question.snapshot, context, &version);
    let behind = behind.filter(|_| format.is_some() || !wanted.is_empty()).unwrap_or_default();
    let mut dressed = Version::clone(&version);
    if !wanted.is_empty() {
        dressed = tags::tagged(&dressed, &behind, &wanted).ok_or(PRIMARY_ONLY)?;
    }
    if format.is_some() {
        dressed = formats::formatted(&dressed, &behind, format).ok_or(PRIMARY_ONLY)?;
    }
    if is_qualified {
        dressed = references::qualified(context, &dressed).ok_or(PRIMARY_ONLY)?;
    }
    // Of all answers that show another form than the stored one, only this one has a GUID to match.
    if is_qualified && question.operation.route == Route::Version {
        dressed = references::recounted(&dressed).ok_or(PRIMARY_ONLY)?;
    }
    Ok(Arc::new(dressed))
}
