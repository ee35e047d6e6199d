//! Lists that go over several contexts, put together from what the primary lists of each.
//!
//! The primary's own pages would count what is not ours, and come in the order of its names. So all is read, and
//! the page cut out of it here.

use std::cmp::Ordering;
use std::collections::HashSet;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::primary::{Primary, pairs, refused};
use super::rename::target;
use super::way::prefix;
use crate::protocol::endpoints::Route;
use crate::protocol::json::push_array;
use crate::protocol::operation::Operation;
use crate::protocol::order::compare;
use crate::protocol::subject::{Context, QualifiedSubject, SubjectPrefix};
use crate::protocol::target::{CAPPED, UNCAPPED};
use crate::upstream::{Answer, Call, Failure, FailureKind, Sent};

/// A list as it is read: the items as they came, under our names.
type Items = Vec<Box<RawValue>>;

/// Makes the calls that a list takes, and of their answers one.
pub(super) async fn gather(primary: &Primary, operation: &Operation, call: &Call) -> Result<Answer, Failure> {
    let Ok(window) = operation.query.page() else {
        return Ok(refused(&call.method, StatusCode::NOT_FOUND, 404, "HTTP 404 Not Found"));
    };
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
    let most = match operation.route {
        Route::Schemas | Route::AssociationsByResource | Route::AssociationsByName => CAPPED,
        _ => UNCAPPED,
    };
    let items = arranged(operation, items).ok_or_else(unreadable)?;
    let Some(page) = window.cut(items, most) else {
        return Ok(refused(&call.method, StatusCode::INTERNAL_SERVER_ERROR, 500, "Internal Server Error"));
    };
    let mut body = Vec::new();
    push_array(&mut body, page, |out, item| out.extend_from_slice(item.get().as_bytes()));
    let mut answer = last.ok_or_else(unreadable)?;
    answer.headers.insert(http::header::CONTENT_LENGTH, body.len().into());
    answer.body = if call.method == Method::HEAD { Bytes::new() } else { body.into() };
    Ok(answer)
}

fn unreadable() -> Failure {
    Failure::new(FailureKind::Unreadable, Sent::Maybe)
}

/// What is asked of the primary, one target a list, without the page.
pub(super) fn targets(primary: &Primary, operation: &Operation) -> Vec<String> {
    let mut names = operation.names.clone();
    if let (Route::AssociationsByName, Some(namespace)) = (operation.route, names.first_mut())
        && let Ok(there) = primary.contexts().namespace_there(namespace)
    {
        *namespace = there;
    }
    let mut query = pairs(operation);
    query.retain(|(name, _)| !matches!(name.as_str(), "offset" | "limit" | "contextPrefix" | "subjectPrefix"));
    let with = |prefixes: &[String]| {
        let prefixes = prefixes.iter().map(|prefix| ("subjectPrefix".to_owned(), prefix.clone()));
        let query: Vec<(String, String)> = query.iter().cloned().chain(prefixes).collect();
        target(operation.path, "", &names, &query)
    };
    let selections = || primary.contexts().selections().into_iter().map(|selection| selection.primary_prefix());
    match operation.route {
        Route::Subjects | Route::Schemas => selections().map(|prefix| with(&[prefix])).collect(),
        Route::DekRead if operation.query.get("subjectPrefix").is_some() => {
            let asked = operation.query.all("subjectPrefix").flat_map(|asked| match SubjectPrefix::parse(asked) {
                SubjectPrefix::In(context, start) => {
                    primary.contexts().to_primary(&context).map(|there| prefix(&there, &start)).into_iter().collect()
                }
                SubjectPrefix::ContextsFrom(_) | SubjectPrefix::Everywhere(_) => selections().collect::<Vec<_>>(),
            });
            vec![with(&asked.collect::<Vec<_>>())]
        }
        _ => vec![with(&[])],
    }
}

/// Reads all pages of a list; the answer to the last of them.
async fn read(
    primary: &Primary,
    operation: &Operation,
    call: &Call,
    target: &str,
    mut take: impl FnMut(Box<RawValue>),
) -> Result<Answer, Failure> {
    let mut offset = 0;
    let mut first = None;
    loop {
        let mark = if target.contains('?') { '&' } else { '?' };
        let mut page = Call { path_and_query: format!("{target}{mark}offset={offset}&limit={CAPPED}"), ..call.clone() };
        page.method = Method::GET;
        page.headers.remove(http::header::ACCEPT_ENCODING);
        let answer = primary.registry().send(page).await?;
        if answer.status != StatusCode::OK {
            return primary.translated(operation, answer);
        }
        let page: Items = serde_json::from_slice(&answer.body).map_err(|_| unreadable())?;
        let (count, head) = (page.len(), page.first().map(|item| item.get().to_owned()));
        let answer = primary.translated(operation, answer)?;
        // Where paging is not known, every page is the first one.
        if offset > 0 && head == first {
            return Ok(answer);
        }
        serde_json::from_slice::<Items>(&answer.body).map_err(|_| unreadable())?.into_iter().for_each(&mut take);
        if count < CAPPED {
            return Ok(answer);
        }
        first = first.or(head);
        // One of the page before, so that one that moved forward is not missed.
        offset += CAPPED - 1;
    }
}

#[derive(Deserialize)]
struct Listed {
    subject: String,
    version: i64,
}

/// The list that our names make of what was read; nothing if it cannot be read.
fn arranged(operation: &Operation, items: Items) -> Option<Items> {
    match operation.route {
        Route::Subjects => sorted(operation, items, ":*:", |item| Some((serde_json::from_str(item).ok()?, 0))),
        Route::Schemas => sorted(operation, items, "", |item| {
            let listed: Listed = serde_json::from_str(item).ok()?;
            Some((listed.subject, listed.version))
        }),
        Route::Contexts => contexts(operation, items),
        _ => Some(items),
    }
}

/// Subjects or versions, those that are asked for, in the order of their names.
fn sorted(
    operation: &Operation,
    items: Items,
    all: &str,
    key: impl Fn(&str) -> Option<(String, i64)>,
) -> Option<Items> {
    let prefix = SubjectPrefix::parse(operation.query.get("subjectPrefix").unwrap_or(all));
    let mut keyed = items
        .into_iter()
        .map(|item| Some((key(item.get())?, item)))
        .collect::<Option<Vec<((String, i64), Box<RawValue>)>>>()?;
    keyed.retain(|((name, _), _)| {
        let subject = QualifiedSubject::parse(name);
        prefix.admits(&subject.context) && subject.subject.starts_with(prefix.start())
    });
    keyed.sort_by(|((one, version), _), ((other, later), _)| match compare(one, other) {
        Ordering::Equal => version.cmp(later),
        order => order,
    });
    Some(keyed.into_iter().map(|(_, item)| item).collect())
}

/// The default context first, which is always there, then the others in order (WIRE.md § 1.21).
fn contexts(operation: &Operation, items: Items) -> Option<Items> {
    let start = operation.query.get("contextPrefix").unwrap_or_default();
    let mut names = vec![Context::default_context().as_str().to_owned()];
    for item in &items {
        names.push(serde_json::from_str(item.get()).ok()?);
    }
    names.sort_by(|one, other| (one != ".").cmp(&(other != ".")).then_with(|| compare(one, other)));
    names.dedup();
    names.retain(|name| name.starts_with(start));
    names.into_iter().map(|name| serde_json::value::to_raw_value(&name).ok()).collect()
}
