//! Lists that go over several contexts, put together from what the primary lists of each.
//!
//! The primary's own pages would count what is not ours, and come in the order of its names. So all is read, and
//! the page cut out of it here.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::primary::{Primary, pairs, refused};
use super::super::rename::target;
use crate::protocol::endpoints::Route;
use crate::protocol::error::Refusal;
use crate::protocol::json::{push_array, push_string};
use crate::protocol::operation::Operation;
use crate::protocol::order::compare;
use crate::protocol::printed::Printed;
use crate::protocol::subject::{Context, QualifiedSubject, SubjectPrefix};
use crate::protocol::target::{CAPPED, Page, UNCAPPED};
use crate::upstream::{Answer, Call, Failure, FailureKind, Sent};

/// A list as it is read: the items as they came, under our names.
type Items = Vec<Box<RawValue>>;

/// Makes the calls that a list takes, and of their answers one.
pub(in crate::routing) async fn gather(
    primary: &Primary,
    operation: &Operation,
    call: &Call,
) -> Result<Answer, Failure> {
    // What is there of a GUID comes in one piece, whatever is asked for.
    let is_whole = operation.route == Route::IdsByGuid;
    let page = if is_whole { Ok(Page { offset: 0, limit: -1 }) } else { operation.query.page() };
    let Ok(window) = page else { return Ok(refused(&call.method, &Refusal::not_found())) };
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
        Route::AssociationsBySubject => CAPPED,
        _ => UNCAPPED,
    };
    let items = arranged(primary, operation, items).ok_or_else(unreadable)?;
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

#[derive(Deserialize, PartialEq, Eq, Hash)]
struct Listed {
    subject: String,
    version: i64,
}

/// The list that our names make of what was read; nothing if it cannot be read.
fn arranged(primary: &Primary, operation: &Operation, items: Items) -> Option<Items> {
    match operation.route {
        Route::Subjects => sorted(operation, items, ":*:", |item| Some((serde_json::from_str(item).ok()?, 0))),
        Route::IdsByGuid => by_key(items, |item| {
            let Place { context } = serde_json::from_str(item).ok()?;
            Some([context])
        }),
        Route::Schemas => {
            let items = if operation.query.flag("aliases") { with_all_aliases(items)? } else { items };
            sorted(operation, items, "", |item| {
                let listed: Listed = serde_json::from_str(item).ok()?;
                Some((listed.subject, listed.version))
            })
        }
        Route::Contexts => contexts(operation, items, primary.contexts().bound().is_none()),
        Route::AssociationsByResource | Route::AssociationsByName | Route::AssociationsBySubject => {
            by_key(items, |item| {
                let Associated { resource_name, resource_namespace, resource_type, association_type, subject } =
                    serde_json::from_str(item).ok()?;
                Some([resource_name, resource_namespace, resource_type, association_type, subject])
            })
        }
        Route::DekRead if operation.path.ends_with("/deks") => {
            by_key(items, |item| Some([serde_json::from_str(item).ok()?]))
        }
        _ => Some(items),
    }
}

/// Where a GUID is found.
#[derive(Deserialize)]
struct Place {
    context: String,
}

/// What the order of associations goes by.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Associated {
    resource_name: String,
    resource_namespace: String,
    resource_type: String,
    association_type: String,
    subject: String,
}

/// A list in the order that its names have here, and not at the primary.
fn by_key<const N: usize>(items: Items, key: impl Fn(&str) -> Option<[String; N]>) -> Option<Items> {
    let keyed = items.into_iter().map(|item| Some((key(item.get())?, item)));
    let mut keyed = keyed.collect::<Option<Vec<([String; N], Box<RawValue>)>>>()?;
    keyed.sort_by(|(one, _), (other, _)| {
        let pairs = one.iter().zip(other).map(|(one, other)| compare(one, other));
        pairs.fold(Ordering::Equal, Ordering::then)
    });
    Some(keyed.into_iter().map(|(_, item)| item).collect())
}

/// One item a version, with all names that stand for it: the primary lists those of each context apart.
fn with_all_aliases(items: Items) -> Option<Items> {
    let mut merged: Vec<(Vec<String>, Box<RawValue>)> = Vec::new();
    let mut places: HashMap<Listed, usize> = HashMap::new();
    for item in items {
        let listed: Listed = serde_json::from_str(item.get()).ok()?;
        let printed: Printed = serde_json::from_str(item.get()).ok()?;
        let aliases: Vec<String> = printed.get("aliases").unwrap_or_default();
        let place = *places.entry(listed).or_insert(merged.len());
        match merged.get_mut(place) {
            None => merged.push((aliases, item)),
            Some((known, kept)) if !aliases.is_empty() => {
                // Whichever has the member has it in its place.
                known.extend(aliases);
                *kept = item;
            }
            Some(_) => {}
        }
    }
    let print = |(mut aliases, item): (Vec<String>, Box<RawValue>)| {
        let place = |name: &String| {
            let name = QualifiedSubject::parse(name);
            (name.context.as_str().to_owned(), name.subject.to_string())
        };
        aliases.sort_by(|one, other| {
            let ((one, its), (other, others)) = (place(one), place(other));
            compare(&one, &other).then_with(|| compare(&its, &others))
        });
        let printed: Printed = serde_json::from_str(item.get()).ok()?;
        let mut names = Vec::new();
        push_array(&mut names, aliases, |out, name| push_string(out, &name));
        let names = RawValue::from_string(String::from_utf8(names).ok()?).ok()?;
        RawValue::from_string(String::from_utf8(printed.with("aliases", names)).ok()?).ok()
    };
    merged.into_iter().map(print).collect()
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
fn contexts(operation: &Operation, items: Items, is_whole: bool) -> Option<Items> {
    let start = operation.query.get("contextPrefix").unwrap_or_default();
    // On a bound listener there is no default context beside its own.
    let default = is_whole.then(|| Context::default_context().as_str().to_owned());
    let mut names: Vec<String> = default.into_iter().collect();
    for item in &items {
        names.push(serde_json::from_str(item.get()).ok()?);
    }
    names.sort_by(|one, other| (one != ".").cmp(&(other != ".")).then_with(|| compare(one, other)));
    names.dedup();
    names.retain(|name| name.starts_with(start));
    names.into_iter().map(|name| serde_json::value::to_raw_value(&name).ok()).collect()
}
