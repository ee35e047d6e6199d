//! Answers about associations: filters over the list that the primary gave (WIRE.md § 1.22).

use super::{Answer, CAPPED, Verdict, Why, page};
use crate::protocol::endpoints::Route;
use crate::protocol::error::Refusal;
use crate::protocol::json::push_array;
use crate::protocol::operation::Operation;
use crate::protocol::order::compare;
use crate::protocol::subject::QualifiedSubject;
use crate::replica::snapshot::{Association, Snapshot};

/// The three ways to ask: by subject, by the resource's id, by its namespace and name.
pub(super) fn associations(operation: &Operation, snapshot: &Snapshot) -> Answer {
    let query = &operation.query;
    let window = query.page()?;
    let lifecycle = query.get("lifecycle").filter(|lifecycle| !lifecycle.is_empty());
    if lifecycle.is_some_and(|lifecycle| !["STRONG", "WEAK"].contains(&lifecycle)) {
        return Err(Refusal::not_found().into());
    }
    let Some(known) = snapshot.associations() else {
        let refusal = snapshot.remembered("/associations").cloned();
        return Err(Verdict::Unknown(refusal.map_or(Why::PrimaryOnly, Why::Unsupported)));
    };
    let kind = query.get("resourceType").filter(|kind| !kind.is_empty()).unwrap_or("topic");
    let sides: Vec<&str> = query.all("associationType").filter(|side| !side.is_empty()).collect();
    let mut found: Vec<&Association> = known
        .iter()
        .filter(|association| {
            is_asked(association, operation)
                && association.resource_type == kind
                && (sides.is_empty() || sides.contains(&association.association_type.as_str()))
                && lifecycle.is_none_or(|lifecycle| association.lifecycle == lifecycle)
        })
        .collect();
    found.sort_by(|one, other| {
        compare(&one.resource_name, &other.resource_name).then_with(|| compare(&one.subject, &other.subject))
    });
    let mut out = Vec::new();
    push_array(&mut out, page(found, window, CAPPED)?, |out, association| {
        let printed = association.printed.as_deref().map_or("{}", |raw| raw.get());
        out.extend_from_slice(printed.as_bytes());
    });
    Ok(out.into())
}

fn is_asked(association: &Association, operation: &Operation) -> bool {
    let wild = |asked: &str, own: &str| asked == "-" || asked == own;
    match (operation.route, operation.names.as_slice()) {
        (Route::AssociationsBySubject, _) => QualifiedSubject::parse(&association.subject) == operation.subject,
        (Route::AssociationsByResource, [id]) => association.resource_id == *id,
        (_, [namespace, name]) => {
            wild(namespace, &association.resource_namespace) && wild(name, &association.resource_name)
        }
        _ => false,
    }
}
