//! Answers about everything: subjects, schemas, contexts, and facts about the server.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::filters::{self, Filter};
use super::table::Question;
use super::{Answer, CAPPED, PRIMARY_ONLY, UNCAPPED, Verdict, Why, page};
use crate::protocol::endpoints::ENDPOINTS;
use crate::protocol::json::{push_array, push_string};
use crate::protocol::order::compare;
use crate::protocol::schema::Version;
use crate::protocol::shape::{Beside, push_extended_schema};
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
pub(super) fn fact(question: &Question<'_>) -> Answer {
    let Question { operation, snapshot, .. } = *question;
    // By the table's path and not as it was asked: a context before it changes nothing of these.
    let row = ENDPOINTS.iter().find(|row| row.route == operation.route);
    match row.and_then(|row| snapshot.remembered(row.path)) {
        Some(answer) if answer.status == 200 => Ok(answer.body.clone()),
        Some(answer) => Err(Verdict::Unknown(Why::Unsupported(answer.clone()))),
        None => Err(PRIMARY_ONLY),
    }
}

/// `GET /contexts` (WIRE.md § 1.21). Contexts that the replica has seen a subject of are there too.
pub(super) fn contexts(question: &Question<'_>) -> Answer {
    let Question { operation, snapshot, .. } = *question;
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
pub(super) fn subjects(question: &Question<'_>) -> Answer {
    let Question { operation, snapshot, .. } = *question;
    let window = operation.query.page()?;
    let prefix = SubjectPrefix::parse(operation.query.get("subjectPrefix").unwrap_or(":*:"));
    let (deleted, only) = (operation.query.flag("deleted"), operation.query.flag("deletedOnly"));
    let shown = |state: &SubjectState| if state.is_live() { !only } else { only || deleted };
    // Sorted as plain strings of UTF-16, contexts and all: `:` stands after digits and before letters.
    let selected = selected(snapshot, &prefix).filter(|(_, state)| shown(state));
    let mut names: Vec<String> = selected.map(|(subject, _)| subject.to_string()).collect();
    names.sort_by(|one, other| compare(one, other));
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

/// `GET /schemas`: the default context only, unless a prefix says otherwise (WIRE.md § 1.9).
pub(super) fn schemas(question: &Question<'_>) -> Answer {
    let (query, snapshot) = (&question.operation.query, question.snapshot);
    let window = query.page()?;
    let filter = Filter::read(question.operation, snapshot)?;
    let prefix = SubjectPrefix::parse(query.get("subjectPrefix").unwrap_or_default());
    let mut aliases = if query.flag("aliases") { filters::aliases(snapshot, &prefix) } else { HashMap::new() };
    let mut named: Vec<Listed<'_>> = Vec::new();
    for (subject, state) in selected(snapshot, &prefix) {
        let aliases = aliases.remove(&subject).unwrap_or_default();
        named.push(Listed { name: subject.to_string(), state, aliases });
    }
    // What is left stands for subjects that the prefix does not select.
    for (subject, aliases) in aliases {
        if let Some(state) = snapshot.subject(&subject) {
            named.push(Listed { name: subject.to_string(), state, aliases });
        }
    }
    named.sort_by(|one, other| compare(&one.name, &other.name));
    let rule_type = query.get("ruleType").filter(|rule_type| !rule_type.is_empty());
    let versions = named.iter().flat_map(|listed| {
        let associations = filter.as_ref().map_or(Some(Vec::new()), |filter| filter.shown(&listed.name));
        let shown = associations.is_some().then(|| listed.shown(question)).into_iter().flatten();
        let shown = shown.filter(|version| rule_type.is_none_or(|rule_type| filters::has_rule(version, rule_type)));
        let associations: Arc<[u8]> = associations.unwrap_or_default().into();
        shown.map(move |version| (listed, version, associations.clone()))
    });
    let mut out = Vec::new();
    push_array(&mut out, page(versions, window, CAPPED)?, |out, (listed, version, associations)| {
        let beside = Beside { aliases: &listed.aliases, associations: &associations };
        push_extended_schema(out, &listed.name, version, question.form, beside);
    });
    Ok(out.into())
}

/// A subject in the list of all schemas.
struct Listed<'a> {
    name: String,
    state: &'a SubjectState,
    aliases: Vec<String>,
}

impl<'a> Listed<'a> {
    /// The versions that are shown: the latest alone is the last of them that could be.
    fn shown(&self, question: &Question<'_>) -> impl Iterator<Item = &'a Arc<Version>> + use<'a> {
        let query = &question.operation.query;
        let (deleted, latest_only) = (query.flag("deleted"), query.flag("latestOnly"));
        let shown: Vec<_> = self.state.versions.iter().filter(|version| deleted || !version.deleted).collect();
        let skipped = if latest_only { shown.len().saturating_sub(1) } else { 0 };
        shown.into_iter().skip(skipped)
    }
}
