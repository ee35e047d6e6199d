//! Answers about associations: filters over the list that the primary gave (WIRE.md § 1.22).

use std::cmp::Ordering;

use bytes::Bytes;

use super::resolve::served_text;
use super::table::Question;
use super::{Answer, CAPPED, Verdict, Why, page};
use crate::protocol::endpoints::Route;
use crate::protocol::error::Refusal;
use crate::protocol::json::push_array;
use crate::protocol::order::compare;
use crate::replica::snapshot::{Association, Snapshot};

/// What is asked about where nothing else is said.
pub(super) const TOPIC: &str = "topic";

/// Stands for every namespace, or every name.
const ANY: &str = "-";

/// The three ways to ask: by subject, by the resource's id, by its namespace and name.
pub(super) fn associations(question: &Question<'_>) -> Answer {
    let query = &question.operation.query;
    let window = query.page()?;
    let lifecycle = query.get("lifecycle");
    if lifecycle.is_some_and(|lifecycle| !["STRONG", "WEAK"].contains(&lifecycle)) {
        return Err(Refusal::not_found().into());
    }
    let kind = asked_type(question);
    let sides: Vec<&str> = query.all("associationType").collect();
    let mut found: Vec<&Association> = named(question)?
        .filter(|association| {
            association.resource_type == kind
                && (sides.is_empty() || sides.contains(&association.association_type.as_str()))
                && lifecycle.is_none_or(|lifecycle| association.lifecycle == lifecycle)
        })
        .collect();
    found.sort_by(|one, other| order(one, other));
    Ok(listed(page(found, window, CAPPED)?))
}

/// The list, or what the primary said of a route that it does not have.
pub(super) fn known(snapshot: &Snapshot) -> Result<&[Association], Verdict> {
    snapshot.associations().ok_or_else(|| {
        let refusal = snapshot.remembered("/associations").cloned();
        Verdict::Unknown(refusal.map_or(Why::PrimaryOnly, Why::Unsupported))
    })
}

fn asked_type<'a>(question: &Question<'a>) -> &'a str {
    question.get("resourceType").filter(|kind| !kind.is_empty()).unwrap_or(TOPIC)
}

/// Those that the path names. A subject is taken as it is written there, behind its alias.
fn named<'a>(question: &Question<'a>) -> Result<impl Iterator<Item = &'a Association>, Verdict> {
    let (operation, snapshot) = (question.operation, question.snapshot);
    let is_by_subject = operation.route == Route::AssociationsBySubject;
    let subject = if is_by_subject { served_text(snapshot, operation) } else { String::new() };
    let fits = |asked: &str, own: &str| asked == ANY || asked == own;
    Ok(known(snapshot)?.iter().filter(move |association| match (operation.route, operation.names.as_slice()) {
        (Route::AssociationsBySubject, _) => association.subject == subject,
        (Route::AssociationsByResource, [id]) => association.resource_id == *id,
        (_, [space, name]) => fits(space, &association.resource_namespace) && fits(name, &association.resource_name),
        _ => false,
    }))
}

/// Whether a wildcard spans resources of other types than the one asked for: the registry then reads a
/// range of keys in which the type does not count.
pub(super) fn spans_types(question: &Question<'_>) -> bool {
    let is_wild = question.operation.names.iter().any(|name| name == ANY);
    let kind = asked_type(question);
    is_wild && named(question).is_ok_and(|mut found| found.any(|association| association.resource_type != kind))
}

/// The order of every list of them.
pub(super) fn order(one: &Association, other: &Association) -> Ordering {
    let key = |association: &Association| {
        let Association { resource_name, resource_namespace, resource_type, association_type, subject, .. } =
            association.clone();
        [resource_name, resource_namespace, resource_type, association_type, subject]
    };
    let pairs = key(one).into_iter().zip(key(other));
    pairs.map(|(one, other)| compare(&one, &other)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// An array of them, each as the primary printed it.
pub(super) fn listed<'a>(associations: impl IntoIterator<Item = &'a Association>) -> Bytes {
    let mut out = Vec::new();
    push_array(&mut out, associations, |out, association| {
        let printed = association.printed.as_deref().map_or("{}", |raw| raw.get());
        out.extend_from_slice(printed.as_bytes());
    });
    out.into()
}
