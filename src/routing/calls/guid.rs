//! A schema by its GUID, as one of our contexts holds it.
//!
//! The primary shows the record of the first context that has the content, whosever that is. So of its places the
//! first that is ours is taken, and what is there by its id is shown without the name of its holder, as the registry
//! does (WIRE.md § 1.8).

use http::StatusCode;
use serde::Deserialize;

use super::super::primary::{Primary, refused};
use super::super::rename::target;
use super::gather::{unreadable, with_body};
use super::search::{in_order, question};
use crate::protocol::endpoints::Route;
use crate::protocol::error::Refusal;
use crate::protocol::operation::Operation;
use crate::protocol::printed::Printed;
use crate::protocol::subject::Context;
use crate::upstream::{Answer, Call, Failure};

/// Where a content lies.
#[derive(Deserialize)]
struct Place {
    context: String,
    id: i32,
}

/// Asks for a schema by its GUID.
pub(in crate::routing) async fn by_guid(
    primary: &Primary,
    operation: &Operation,
    call: &Call,
) -> Result<Answer, Failure> {
    let listing = Operation { route: Route::IdsByGuid, ..operation.clone() };
    let asked = question(call, target("/schemas/guids/{guid}/ids", "", &operation.names, &[]));
    let listed = primary.ask(&listing, asked).await?;
    if listed.status != StatusCode::OK {
        return Ok(listed);
    }
    let places: Vec<Place> = serde_json::from_slice(&listed.body).map_err(|_| unreadable())?;
    let places = places.into_iter().map(|place| (Context::named(&place.context), place.id));
    let first = places
        .min_by(|(one, _), (other, _)| other.is_default().cmp(&one.is_default()).then_with(|| in_order(one, other)));
    let Some((context, id)) = first else {
        return Ok(refused(&call.method, &Refusal::schema_not_found(operation.name())));
    };
    let answer = primary.ask(&holding(operation, &context), at(primary, operation, call, (&context, id))?).await?;
    match answer.status {
        // An id can outlive all who hold it, and there the registry stumbles.
        StatusCode::NOT_FOUND => Ok(refused(&call.method, &Refusal::internal())),
        StatusCode::OK => {
            let printed: Printed = serde_json::from_slice(&answer.body).map_err(|_| unreadable())?;
            Ok(with_body(answer, printed.without(&["subject", "version"]), call))
        }
        _ => Ok(answer),
    }
}

/// The question as one for an id of a context, by which the names in its answer are found.
fn holding(operation: &Operation, context: &Context) -> Operation {
    let mut holding = Operation { route: Route::SchemaById, ..operation.clone() };
    holding.subject.context = context.clone();
    holding
}

fn at(primary: &Primary, operation: &Operation, call: &Call, (context, id): (&Context, i32)) -> Result<Call, Failure> {
    let there = primary.contexts().to_primary(context).ok_or_else(unreadable)?;
    let mut query = vec![("subject".to_owned(), there.unaliased())];
    query.extend(operation.query.get("format").map(|format| ("format".to_owned(), format.to_owned())));
    Ok(question(call, target("/schemas/ids/{id}", "", &[id.to_string()], &query)))
}
