//! Lists that go over several contexts, put together from what the primary lists of each.
//!
//! The primary's own pages would count what is not ours, and come in the order of its names. So all is read, and
//! the page cut out of it here.

use std::collections::HashSet;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::value::RawValue;

use super::super::listing::{Items, Pages, Step, arranged, window};
use super::super::primary::{Primary, pairs, refused};
use super::super::rename::target;
use crate::protocol::endpoints::Route;
use crate::protocol::error::Refusal;
use crate::protocol::json::push_array;
use crate::protocol::operation::Operation;
use crate::upstream::{Answer, Call, Failure, FailureKind, Sent};

/// Makes the calls that a list takes, and of their answers one.
pub(in crate::routing) async fn gather(
    primary: &Primary,
    operation: &Operation,
    call: &Call,
) -> Result<Answer, Failure> {
    let Ok((window, most)) = window(operation) else { return Ok(refused(&call.method, &Refusal::not_found())) };
    let mut items = Items::new();
    // What moved while it was read comes twice.
    let mut known = HashSet::new();
    let mut last = None;
    for target in targets(primary, operation) {
        let take = |item: Box<RawValue>| {
            if known.insert(item.get().to_owned()) {
                items.push(item);
            }
        };
        match read(primary, operation, call, &target, take).await? {
            answer if answer.status == StatusCode::OK => last = Some(answer),
            refusal => return Ok(refusal),
        }
    }
    let is_whole = primary.contexts().bound().is_none();
    let items = arranged(operation, items, is_whole).ok_or_else(unreadable)?;
    let answer = last.ok_or_else(unreadable)?;
    Ok(page_of(answer, call, window.cut(items, most), |out, item| out.extend_from_slice(item.get().as_bytes())))
}

/// The last answer that a list was made of, with a page of the list in it. A page that there cannot be the registry
/// stumbles over (WIRE.md § 0.7).
pub(in crate::routing) fn page_of<T>(
    answer: Answer,
    call: &Call,
    page: Option<impl IntoIterator<Item = T>>,
    push: impl FnMut(&mut Vec<u8>, T),
) -> Answer {
    let Some(page) = page else { return refused(&call.method, &Refusal::internal()) };
    let mut body = Vec::new();
    push_array(&mut body, page, push);
    with_body(answer, body, call)
}

/// The names that a list of names has; nothing of any other answer.
pub(in crate::routing) fn names_of(answer: &Answer) -> Option<Vec<String>> {
    (answer.status == StatusCode::OK).then(|| serde_json::from_slice(&answer.body).ok())?
}

/// An answer with another body, as far as the method wants one.
pub(in crate::routing) fn with_body(mut answer: Answer, body: Vec<u8>, call: &Call) -> Answer {
    answer.headers.insert(http::header::CONTENT_LENGTH, body.len().into());
    answer.body = if call.method == Method::HEAD { Bytes::new() } else { body.into() };
    answer
}

pub(in crate::routing) fn unreadable() -> Failure {
    Failure::new(FailureKind::Unreadable, Sent::Maybe)
}

/// What is asked of the primary, one target a list, without the page.
pub(in crate::routing) fn targets(primary: &Primary, operation: &Operation) -> Vec<String> {
    let mut names = operation.names.clone();
    if let (Route::AssociationsByName, Some(namespace)) = (operation.route, names.first_mut())
        && let Ok(there) = primary.contexts().namespace_there(namespace)
    {
        *namespace = there;
    }
    let subject = primary.contexts().subject_there(&operation.subject_text).unwrap_or_default();
    let mut query = pairs(operation);
    query.retain(|(name, _)| !matches!(name.as_str(), "offset" | "limit" | "contextPrefix" | "subjectPrefix"));
    let with = |prefixes: &[String]| {
        let prefixes = prefixes.iter().map(|prefix| ("subjectPrefix".to_owned(), prefix.clone()));
        let query: Vec<(String, String)> = query.iter().cloned().chain(prefixes).collect();
        target(operation.path, &subject, &names, &query)
    };
    let selections = || primary.contexts().selections().into_iter().map(|selection| selection.primary_prefix());
    match operation.route {
        Route::Subjects | Route::Schemas => selections().map(|prefix| with(&[prefix])).collect(),
        _ => vec![with(&[])],
    }
}

/// Reads all pages of a list; the answer to the last of them.
pub(in crate::routing) async fn read(
    primary: &Primary,
    operation: &Operation,
    call: &Call,
    target: &str,
    mut take: impl FnMut(Box<RawValue>),
) -> Result<Answer, Failure> {
    let mut pages = Pages::default();
    loop {
        let mark = if target.contains('?') { '&' } else { '?' };
        let mut page = Call { path_and_query: format!("{target}{mark}{}", pages.query()), ..call.clone() };
        page.method = Method::GET;
        page.headers.remove(http::header::ACCEPT_ENCODING);
        let answer = primary.registry().send(page).await?;
        if answer.status != StatusCode::OK {
            return primary.translated(operation, answer);
        }
        let page: Items = serde_json::from_slice(&answer.body).map_err(|_| unreadable())?;
        let step = pages.step(&page);
        let answer = primary.translated(operation, answer)?;
        if step == Step::Again {
            return Ok(answer);
        }
        serde_json::from_slice::<Items>(&answer.body).map_err(|_| unreadable())?.into_iter().for_each(&mut take);
        if step == Step::Last {
            return Ok(answer);
        }
    }
}
