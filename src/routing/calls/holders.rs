//! Who holds an id, in the order in which a registry lists them that has our names (WIRE.md § 1.7).
//!
//! It is the order of a hash table of whole names, so the primary has another one, and shows another holder first.

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::primary::{Primary, denied, pairs, refused};
use super::super::rename::target;
use super::gather::{names_of, page_of, read, unreadable};
use super::search::{at, question};
use crate::protocol::endpoints::Route;
use crate::protocol::error::Refusal;
use crate::protocol::operation::Operation;
use crate::protocol::order::map_order;
use crate::protocol::subject::Context;
use crate::protocol::target::UNCAPPED;
use crate::upstream::{Answer, Call, Failure, Priority};

/// A holder, as the two lists show it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Holder {
    Subject(String),
    Version { subject: String },
}

impl Holder {
    fn subject(self) -> String {
        let (Self::Subject(subject) | Self::Version { subject }) = self;
        subject
    }
}

/// The subject that an answer is of.
#[derive(Deserialize)]
struct Shown {
    subject: String,
}

/// The list of those that hold an id; `there` is the parameter by which the primary knows in which context.
pub(in crate::routing) async fn list(
    primary: &Primary,
    operation: &Operation,
    call: &Call,
    there: &str,
) -> Result<Answer, Failure> {
    let Ok(window) = operation.query.page() else { return Ok(refused(&call.method, &Refusal::not_found())) };
    let mut query = pairs(operation);
    query.retain(|(name, _)| !matches!(name.as_str(), "subject" | "offset" | "limit"));
    query.push(("subject".to_owned(), there.to_owned()));
    let mut items: Vec<Box<RawValue>> = Vec::new();
    let own = target(operation.path, "", &operation.names, &query);
    let answer = read(primary, operation, call, &own, |item| items.push(item)).await?;
    if answer.status != StatusCode::OK {
        return Ok(answer);
    }
    if items.len() > 1 && call.priority != Priority::Importer {
        let order = all(primary, operation, call, there).await?;
        let mut placed = Vec::with_capacity(items.len());
        for item in items {
            let subject = serde_json::from_str::<Holder>(item.get()).map_err(|_| unreadable())?.subject();
            placed.push((order.iter().position(|name| *name == subject), item));
        }
        placed.sort_by_key(|(place, _)| place.unwrap_or(usize::MAX));
        items = placed.into_iter().map(|(_, item)| item).collect();
    }
    Ok(page_of(answer, call, window.cut(items, UNCAPPED), |out, item| out.extend_from_slice(item.get().as_bytes())))
}

/// Every holder, soft-deleted or not, in our order.
async fn all(primary: &Primary, operation: &Operation, call: &Call, there: &str) -> Result<Vec<String>, Failure> {
    let query = [("subject".to_owned(), there.to_owned()), ("deleted".to_owned(), "true".to_owned())];
    let asked = question(call, target("/schemas/ids/{id}/subjects", "", &operation.names, &query));
    let listing = Operation { route: Route::SubjectsById, ..operation.clone() };
    let answer = primary.ask(&listing, asked).await?;
    let names = names_of(&answer).ok_or_else(unreadable)?;
    Ok(map_order(names.iter().map(String::as_str)).into_iter().map(str::to_owned).collect())
}

/// What an id stands for in a context, whoever holds it: the first holder is shown.
pub(in crate::routing) async fn first(
    primary: &Primary,
    operation: &Operation,
    call: &Call,
    context: &Context,
) -> Result<Answer, Failure> {
    let Some(there) = primary.contexts().to_primary(context) else { return Ok(denied(&call.method)) };
    let any = at(operation, call, operation.path, there.unaliased());
    // Whoever reads for the replica looks at what an id stands for, and not at who holds it.
    let is_any_good = there == *context || call.priority == Priority::Importer || call.method == Method::HEAD;
    if is_any_good || operation.route != Route::SchemaById {
        return primary.ask(operation, any).await;
    }
    let answer = primary.ask(operation, any).await?;
    let shown = |answer: &Answer| serde_json::from_slice::<Shown>(&answer.body).ok().map(|shown| shown.subject);
    // Releases that do not say whose it is say the same of all holders.
    let (StatusCode::OK, Some(subject)) = (answer.status, shown(&answer)) else { return Ok(answer) };
    let first = all(primary, operation, call, &there.unaliased()).await?.into_iter().next();
    let Some(first) = first.filter(|first| *first != subject) else { return Ok(answer) };
    let Ok(named) = primary.contexts().subject_there(&first) else { return Ok(answer) };
    let other = primary.ask(operation, at(operation, call, operation.path, named)).await?;
    // An alias may lead elsewhere.
    Ok(if other.status == StatusCode::OK && shown(&other).is_some_and(|subject| subject == first) {
        other
    } else {
        answer
    })
}
