//! What the registry looks for in more than one context, looked for in ours alone (WIRE.md §§ 1.2, 1.11, 3.7).
//!
//! A subject that the default context does not have is looked for under the same name in the others. Of which
//! contexts those are the primary has a notion of its own, so nothing that it found is taken that does not lie
//! in the one that was meant, and where else we have a subject is found out here.

use std::cmp::Ordering;

use bytes::Bytes;
use http::{Method, StatusCode, header};
use serde::Deserialize;

use super::super::primary::{Primary, denied, pairs, refused, showing};
use super::super::rename::target;
use super::gather::names_of;
use super::holders;
use crate::protocol::endpoints::Route;
use crate::protocol::error::Refusal;
use crate::protocol::operation::Operation;
use crate::protocol::order::compare;
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::protocol::target::{java_int, version_number};
use crate::upstream::{Answer, Call, Failure, FailureKind, Sent};

/// Which subject an answer says that it is of.
#[derive(Deserialize)]
struct Shown {
    subject: Option<String>,
}

/// What a question about a subject found out.
enum Found {
    Here(Answer),
    Nothing,
    /// The primary had another answer.
    Other(Answer),
}

/// Our contexts beside the default one that have a subject of a name, soft-deleted or not, in the order in which the
/// registry goes through them.
pub(in crate::routing) async fn homes(
    primary: &Primary,
    call: &Call,
    name: &str,
) -> Result<Vec<QualifiedSubject>, Failure> {
    if name.is_empty() || primary.contexts().is_the_default_alone() {
        return Ok(Vec::new());
    }
    let query = [("subjectPrefix".to_owned(), format!(":*:{name}")), ("deleted".to_owned(), "true".to_owned())];
    let asked = question(call, target("/subjects", "", &[], &query));
    let answer = primary.registry().send(asked).await?;
    let names = names_of(&answer).ok_or_else(|| Failure::new(FailureKind::Unreadable, Sent::No))?;
    let ours = |theirs: String| {
        let theirs = QualifiedSubject::parse(&theirs);
        let context = primary.contexts().to_local(&theirs.context)?;
        (!context.is_default() && *theirs.subject == *name).then(|| QualifiedSubject::new(context, name))
    };
    let mut homes: Vec<QualifiedSubject> = names.into_iter().filter_map(ours).collect();
    homes.sort_by(|one, other| in_order(&one.context, &other.context));
    Ok(homes)
}

pub(in crate::routing) fn in_order(one: &Context, other: &Context) -> Ordering {
    compare(one.as_str(), other.as_str())
}

/// A question of our own on behalf of a call.
pub(in crate::routing) fn question(call: &Call, target: String) -> Call {
    let mut asked = Call { method: Method::GET, body: Bytes::new(), path_and_query: target, ..call.clone() };
    asked.headers.remove(header::ACCEPT_ENCODING);
    asked.headers.remove(header::CONTENT_TYPE);
    asked
}

/// What is asked about a subject of the primary's default context, where that alone has it.
pub(in crate::routing) async fn strictly(
    primary: &Primary,
    operation: &Operation,
    call: Call,
) -> Result<Answer, Failure> {
    let is_head = call.method == Method::HEAD;
    let method = if is_head { Method::GET } else { call.method.clone() };
    let answer = primary.ask(&showing(operation), Call { method, ..call.clone() }).await?;
    match found(answer, |subject| subject.context == operation.subject.context) {
        Found::Here(mut answer) => {
            if is_head {
                answer.body = Bytes::new();
            }
            Ok(answer)
        }
        Found::Other(answer) => Ok(answer),
        Found::Nothing => absent(primary, operation, &call).await,
    }
}

/// Takes what is shown of the subject that was meant. What says nothing of subjects shows nothing.
fn found(answer: Answer, is_meant: impl Fn(&QualifiedSubject) -> bool) -> Found {
    match answer.status.as_u16() {
        200 => {
            let shown = serde_json::from_slice::<Shown>(&answer.body).ok().and_then(|shown| shown.subject);
            match shown.is_some_and(|subject| is_meant(&QualifiedSubject::parse(&subject))) {
                true => Found::Here(answer),
                false => Found::Nothing,
            }
        }
        // That of another site is there and is not.
        403 => Found::Nothing,
        _ => Found::Other(answer),
    }
}

/// The registry's words for a version that a subject does not have, or for a subject that is not there.
async fn absent(primary: &Primary, operation: &Operation, call: &Call) -> Result<Answer, Failure> {
    let Ok(there) = primary.contexts().subject_there(&operation.subject_text) else { return Ok(denied(&call.method)) };
    let is_any_enough = operation.route == Route::ReferencedBy || operation.query.flag("deleted");
    let query = [("deleted".to_owned(), is_any_enough.to_string())];
    // This list is the one that is never looked for elsewhere.
    let asked = question(call, target("/subjects/{subject}/versions", &there, &[], &query));
    let answer = primary.registry().send(asked).await?;
    if answer.status != StatusCode::OK {
        return primary.translated(operation, answer);
    }
    let refusal = match operation.route {
        Route::Lookup => Refusal::new(40403, "Schema not found"),
        _ => Refusal::version_not_found(version_number(operation.name()).ok().flatten().unwrap_or(-1)),
    };
    Ok(refused(&call.method, &refusal))
}

/// A schema by its id and a subject, which is looked for in the other contexts where that is one of the default
/// context; whatever subject that is, in the end the id counts (WIRE.md § 3.7).
pub(in crate::routing) async fn by_id(
    primary: &Primary,
    operation: &Operation,
    call: &Call,
) -> Result<Answer, Failure> {
    let written = operation.query.get("subject").unwrap_or_default();
    let asked = QualifiedSubject::parse(written);
    if asked.is_bare_context() {
        return holders::first(primary, operation, call, &asked.context).await;
    }
    let mut places = Vec::new();
    // So spelled it never equals the name that is held.
    if !(asked.context.is_default() && written.starts_with(":.")) {
        places.push(asked.clone());
    }
    if let Some(outcome) = first(primary, operation, call, places).await? {
        return Ok(outcome);
    }
    if !asked.context.is_default() {
        return Ok(refused(&call.method, &no_schema(operation)));
    }
    let homes = homes(primary, call, &asked.subject).await?;
    if let Some(outcome) = first(primary, operation, call, homes).await? {
        return Ok(outcome);
    }
    match operation.route {
        Route::SubjectsById | Route::VersionsById => match primary.contexts().to_primary(&asked.context) {
            Some(there) => holders::list(primary, operation, call, &there.unaliased()).await,
            None => Ok(denied(&call.method)),
        },
        Route::SchemaTextById => text_alone(primary, operation, call, &asked.context).await,
        _ => holders::first(primary, operation, call, &asked.context).await,
    }
}

/// A text by its id in a context, whatever subject holds it there. An alias of the whole context would have the
/// primary look in its default one, and a text does not show that.
async fn text_alone(
    primary: &Primary,
    operation: &Operation,
    call: &Call,
    context: &Context,
) -> Result<Answer, Failure> {
    let Some(there) = primary.contexts().to_primary(context).map(|there| there.unaliased()) else {
        return Ok(denied(&call.method));
    };
    if java_int(operation.name()).is_none() {
        // What is no number is refused before anything is looked for.
        return primary.ask(operation, at(operation, call, operation.path, there)).await;
    }
    let mut asked = at(operation, call, "/schemas/ids/{id}", there.clone());
    asked.method = Method::GET;
    let shown = primary.ask(&showing(operation), asked).await?;
    match shown.status {
        StatusCode::OK => primary.ask(operation, at(operation, call, operation.path, there)).await,
        StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Ok(refused(&call.method, &no_schema(operation))),
        _ => Ok(shown),
    }
}

/// What the first of some subjects that holds the id says to what is asked.
async fn first(
    primary: &Primary,
    operation: &Operation,
    call: &Call,
    places: Vec<QualifiedSubject>,
) -> Result<Option<Answer>, Failure> {
    for place in places {
        let Ok(there) = primary.contexts().subject_there(&place.to_string()) else { continue };
        match holds(primary, operation, call, &place, there.clone()).await? {
            Found::Here(mut answer) if operation.route == Route::SchemaById => {
                if call.method == Method::HEAD {
                    answer.body = Bytes::new();
                }
                return Ok(Some(answer));
            }
            Found::Here(_) => {
                return primary.ask(operation, at(operation, call, operation.path, there)).await.map(Some);
            }
            Found::Nothing => {}
            Found::Other(answer) => return Ok(Some(answer)),
        }
    }
    Ok(None)
}

/// Whether a subject of ours holds the id: only the whole schema shows whose it is.
async fn holds(
    primary: &Primary,
    operation: &Operation,
    call: &Call,
    place: &QualifiedSubject,
    there: String,
) -> Result<Found, Failure> {
    let is_exact = QualifiedSubject::parse(&there).context.is_default();
    let mut asked = at(operation, call, "/schemas/ids/{id}", there);
    asked.method = Method::GET;
    let answer = primary.ask(&showing(operation), asked).await?;
    if answer.status == StatusCode::NOT_FOUND {
        return Ok(Found::Nothing);
    }
    if answer.status == StatusCode::OK && !is_exact {
        // A named context is the only one that is looked in.
        return Ok(Found::Here(answer));
    }
    // In its default context the primary goes on to the others, and then to whatever holds the id.
    let is_meant =
        |shown: &QualifiedSubject| shown.context == place.context && (place.context.is_default() || *shown == *place);
    Ok(found(answer, is_meant))
}

/// The call under the primary's name of a subject.
pub(in crate::routing) fn at(operation: &Operation, call: &Call, path: &str, there: String) -> Call {
    let is_whole = path == operation.path;
    let mut query = pairs(operation);
    query.retain(|(name, value)| {
        let is_qualified = name == "referenceFormat" && value == "qualified";
        name != "subject" && is_whole && !is_qualified
    });
    query.push(("subject".to_owned(), there));
    Call { path_and_query: target(path, "", &operation.names, &query), ..call.clone() }
}

fn no_schema(operation: &Operation) -> Refusal {
    match operation.route {
        Route::SchemaTextById => Refusal::internal(),
        Route::SchemaById => {
            let id = java_int(operation.name()).map(|id| id.to_string());
            Refusal::schema_not_found(id.as_deref().unwrap_or(operation.name()))
        }
        _ => Refusal::new(40403, "Schema not found"),
    }
}
