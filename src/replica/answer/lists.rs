//! Answers about everything: subjects, schemas, contexts, and facts about the server.

use std::sync::Arc;

use bytes::Bytes;

use super::{Answer, CAPPED, PRIMARY_ONLY, UNCAPPED, Verdict, Why, page};
use crate::protocol::json::{push_array, push_string};
use crate::protocol::operation::Operation;
use crate::protocol::order::compare;
use crate::protocol::shape::{Form, push_extended_schema};
use crate::protocol::subject::{Context, QualifiedSubject, SubjectPrefix};
use crate::replica::index::SubjectState;
use crate::replica::snapshot::Snapshot;

/// `GET /`: an empty object, unless the primary is known to have something else there.
pub(super) fn root(snapshot: &Snapshot) -> Answer {
    match snapshot.remembered("/") {
        Some(answer) if !answer.body.starts_with(b"{") => Err(Verdict::Unknown(Why::Unsupported(answer.clone()))),
        Some(answer) if answer.status == 200 => Ok(answer.body.clone()),
        _ => Ok(Bytes::from_static(b"{}")),
    }
}

/// A fact that is remembered under its own path.
pub(super) fn fact(operation: &Operation, snapshot: &Snapshot) -> Answer {
    let path = operation.target.split('?').next().unwrap_or_default();
    match snapshot.remembered(path.strip_suffix('/').unwrap_or(path)) {
        Some(answer) if answer.status == 200 => Ok(answer.body.clone()),
        Some(answer) => Err(Verdict::Unknown(Why::Unsupported(answer.clone()))),
        None => Err(PRIMARY_ONLY),
    }
}

/// `GET /contexts` (WIRE.md § 1.21). Contexts that the replica has seen a subject of are there too.
pub(super) fn contexts(operation: &Operation, snapshot: &Snapshot) -> Answer {
    let window = operation.query.page()?;
    let Some(listed) = snapshot.listed_contexts() else {
        let refusal = snapshot.remembered("/contexts").cloned();
        return Err(Verdict::Unknown(refusal.map_or(Why::PrimaryOnly, Why::Unsupported)));
    };
    let seen = snapshot.contexts().filter(|(_, state)| state.subjects().next().is_some()).map(|(context, _)| context);
    let mut contexts: Vec<&Context> = listed.iter().chain(seen).collect();
    contexts.sort_by(|one, other| {
        other.is_default().cmp(&one.is_default()).then_with(|| compare(one.as_str(), other.as_str()))
    });
    contexts.dedup();
    let start = operation.query.get("contextPrefix").unwrap_or_default();
    contexts.retain(|context| context.as_str().starts_with(start));
    let mut out = Vec::new();
    push_array(&mut out, page(contexts, window, UNCAPPED)?, |out, context| push_string(out, context.as_str()));
    Ok(out.into())
}

/// `GET /subjects` (WIRE.md § 1.3).
pub(super) fn subjects(operation: &Operation, snapshot: &Snapshot) -> Answer {
    let window = operation.query.page()?;
    let prefix = SubjectPrefix::parse(operation.query.get("subjectPrefix").unwrap_or(":*:"));
    let (deleted, only) = (operation.query.flag("deleted"), operation.query.flag("deletedOnly"));
    let shown = |state: &SubjectState| match state.latest() {
        Some(_) => !only,
        None => only || deleted,
    };
    if snapshot.lists_its_own_way() && (deleted || only || operation.query.get("subjectPrefix").is_some()) {
        return Err(PRIMARY_ONLY);
    }
    let selected = selected(snapshot, &prefix).filter(|(_, state)| shown(state));
    let names = sorted(selected).into_iter().map(|(name, _)| name);
    let mut out = Vec::new();
    push_array(&mut out, page(names, window, UNCAPPED)?, |out, name| push_string(out, &name));
    Ok(out.into())
}

fn selected<'a>(
    snapshot: &'a Snapshot,
    prefix: &'a SubjectPrefix,
) -> impl Iterator<Item = (QualifiedSubject, &'a Arc<SubjectState>)> {
    snapshot.contexts().filter(|(context, _)| prefix.admits(context)).flat_map(|(context, state)| {
        let found = state.starting(prefix.start());
        found.map(|(name, state)| (QualifiedSubject { context: context.clone(), subject: name.clone() }, state))
    })
}

/// Sorted as plain strings of UTF-16, contexts and all: `:` stands after digits and before letters.
fn sorted<'a>(
    subjects: impl Iterator<Item = (QualifiedSubject, &'a Arc<SubjectState>)>,
) -> Vec<(String, &'a Arc<SubjectState>)> {
    let mut named: Vec<_> = subjects.map(|(subject, state)| (subject.to_string(), state)).collect();
    named.sort_by(|one, other| compare(&one.0, &other.0));
    named
}

/// `GET /schemas`: the default context only, unless a prefix says otherwise (WIRE.md § 1.9).
pub(super) fn schemas(operation: &Operation, snapshot: &Snapshot, form: Form) -> Answer {
    let query = &operation.query;
    if let Some(lifecycle) = query.get("lifecycle").filter(|lifecycle| !lifecycle.is_empty())
        && !["NONE", "STRONG", "WEAK"].contains(&lifecycle)
    {
        return Err(crate::protocol::error::Refusal::not_found().into());
    }
    let window = query.page()?;
    let by_others = ["ruleType", "resourceType", "associationType", "lifecycle"];
    if query.flag("aliases") || by_others.iter().any(|name| query.get(name).is_some_and(|value| !value.is_empty())) {
        return Err(PRIMARY_ONLY);
    }
    if snapshot.lists_its_own_way() {
        return Err(PRIMARY_ONLY);
    }
    let prefix = SubjectPrefix::parse(query.get("subjectPrefix").unwrap_or_default());
    let (deleted, latest_only) = (query.flag("deleted"), query.flag("latestOnly"));
    let named = sorted(selected(snapshot, &prefix));
    let versions = named.iter().flat_map(|(name, state)| {
        let shown: Vec<_> = state.versions.iter().filter(|version| deleted || !version.deleted).collect();
        let skip = if latest_only { shown.len().saturating_sub(1) } else { 0 };
        shown.into_iter().skip(skip).map(move |version| (name, version))
    });
    let mut out = Vec::new();
    push_array(&mut out, page(versions, window, CAPPED)?, |out, (name, version)| {
        push_extended_schema(out, name, version, form, &[]);
    });
    Ok(out.into())
}
