//! From the names in a request to what they stand for: aliases, other contexts, holders of an id.

use std::sync::Arc;

use serde::Deserialize;

use super::{ABSENT, Verdict};
use crate::protocol::error::Refusal;
use crate::protocol::operation::Operation;
use crate::protocol::order::{compare, map_order};
use crate::protocol::schema::Version;
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::protocol::target::{self, java_int};
use crate::replica::index::{ContextState, Holder, SubjectState};
use crate::replica::snapshot::Snapshot;

/// A version together with the subject that was found to have it.
pub(super) struct Holding {
    pub(super) subject: QualifiedSubject,
    pub(super) version: Arc<Version>,
}

/// The key under which a subject's own configuration is remembered.
pub fn config_key(subject: &QualifiedSubject) -> String {
    let name = subject.to_string();
    if name.is_empty() { "/config".to_owned() } else { format!("/config/{name}") }
}

/// The subject that is served for the one in the path: the target of its alias, if its configuration
/// has one (WIRE.md § 3.5). An unqualified target lies in the subject's own context, unless the path
/// spelled that with escapes.
pub fn served_subject(snapshot: &Snapshot, operation: &Operation) -> QualifiedSubject {
    let subject = &operation.subject;
    let target = if operation.hides_alias { None } else { alias(snapshot, subject) };
    target.map_or_else(|| subject.clone(), |target| behind(&target, operation))
}

/// All that a write to the subject in the path may be about: the subject, and what either of its aliases stands for, of
/// which the registry says which counts.
pub fn subjects_behind(snapshot: &Snapshot, operation: &Operation) -> Vec<QualifiedSubject> {
    let aliases = aliases(snapshot, &operation.subject).unwrap_or_default();
    let targets = [aliases.alias, aliases.alias_for_deks].into_iter().flatten().filter(|target| !target.is_empty());
    let behind = targets.map(|target| behind(&target, operation));
    std::iter::once(operation.subject.clone()).chain(behind).collect()
}

fn behind(target: &str, operation: &Operation) -> QualifiedSubject {
    if operation.is_escaped {
        QualifiedSubject::parse(target)
    } else {
        QualifiedSubject::parse_in(target, &operation.subject.context)
    }
}

/// Whether a subject is known to stand for another one.
pub fn is_alias(snapshot: &Snapshot, subject: &QualifiedSubject) -> bool {
    alias(snapshot, subject).is_some()
}

/// The subject that a name in a body stands for.
pub fn behind_alias(snapshot: &Snapshot, subject: &QualifiedSubject) -> QualifiedSubject {
    alias(snapshot, subject)
        .map_or_else(|| subject.clone(), |target| QualifiedSubject::parse_in(&target, &subject.context))
}

/// The same as text; a subject that is no alias as the path has it, before it was normalised.
pub(super) fn served_text(snapshot: &Snapshot, operation: &Operation) -> String {
    match alias(snapshot, &operation.subject).filter(|_| !operation.hides_alias) {
        Some(_) => served_subject(snapshot, operation).to_string(),
        None => operation.subject_text.clone(),
    }
}

/// The subject that the `subject` parameter of an id stands for, if it is an alias, however that is spelt. Of a whole
/// context only the name as it is printed is one. An unqualified target lies in the default context, whatever the
/// subject's.
pub fn behind_parameter(snapshot: &Snapshot, written: &str) -> Option<QualifiedSubject> {
    let named = QualifiedSubject::parse(written);
    let is_meant = !named.is_bare_context() || named.to_string() == written;
    let target = alias(snapshot, &named).filter(|_| is_meant)?;
    Some(QualifiedSubject::parse(&target))
}

/// What the configuration of a subject says that it stands for. That of the default context as a whole has no name that
/// an alias could be looked for by.
pub(super) fn alias(snapshot: &Snapshot, subject: &QualifiedSubject) -> Option<String> {
    aliases(snapshot, subject)?.alias.filter(|target| !target.is_empty())
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Aliases {
    alias: Option<String>,
    alias_for_deks: Option<String>,
}

fn aliases(snapshot: &Snapshot, subject: &QualifiedSubject) -> Option<Aliases> {
    if subject.is_bare_context() && subject.context.is_default() {
        return None;
    }
    let config = snapshot.remembered(&config_key(subject)).filter(|config| config.status == 200)?;
    serde_json::from_slice(&config.body).ok()
}

/// Whether it is known of a name if it is an alias. No list has those that lead to a subject without versions.
fn is_settled(snapshot: &Snapshot, named: &QualifiedSubject) -> bool {
    snapshot.remembered(&config_key(named)).is_some()
}

/// A version of the subject in the path. One that the default context does not have is looked for under the same
/// name in every other context (WIRE.md § 1.11), unless the name is an alias.
pub(super) fn anywhere<'a>(
    snapshot: &'a Snapshot,
    operation: &Operation,
    pick: impl Fn(&'a SubjectState) -> Option<&'a Arc<Version>>,
) -> Option<Holding> {
    let subject = &served_subject(snapshot, operation);
    let found = |context: &Context, state: &'a ContextState| {
        let version = pick(state.subject(&subject.subject)?)?.clone();
        Some(Holding { subject: QualifiedSubject::new(context.clone(), &subject.subject), version })
    };
    let own = snapshot.context(&subject.context).and_then(|state| found(&subject.context, state));
    let elsewhere = || snapshot.named_contexts().find_map(|(context, state)| found(context, state));
    let may_be_elsewhere =
        || subject.context.is_default() && (operation.hides_alias || is_settled(snapshot, &operation.subject));
    own.or_else(|| if may_be_elsewhere() { elsewhere() } else { None })
}

/// The id in the path; what is no number has no route.
pub(super) fn id(written: &str) -> Result<i32, Verdict> {
    java_int(written).ok_or_else(|| Refusal::not_found().into())
}

/// The version in the path: `None` is the latest.
pub(super) fn version_number(written: &str) -> Result<Option<i32>, Verdict> {
    target::version_number(written).map_err(|named| Refusal::invalid_version(&named).into())
}

/// The holders of an id, in the order in which the registry lists them.
pub(super) fn holders(snapshot: &Snapshot, context: &Context, state: &ContextState, id: i32) -> Vec<Holder> {
    let inserted = state.holders(id);
    if inserted.len() < 2 {
        return inserted.to_vec();
    }
    if snapshot.lists_its_own_way() {
        // Registries that are not Java's hash tables list by name (seen: Apicurio).
        let mut named = inserted.to_vec();
        named.sort_by(|one, other| compare(&one.subject, &other.subject));
        return named;
    }
    let names: Vec<String> =
        inserted.iter().map(|holder| QualifiedSubject::new(context.clone(), &holder.subject).to_string()).collect();
    let place = |name: &str| names.iter().position(|known| known == name);
    map_order(names.iter().map(String::as_str)).into_iter().filter_map(place).map(|at| inserted[at].clone()).collect()
}

/// Finds an id as `/schemas/ids/{id}` does (WIRE.md § 3.7). `written` is the `subject` parameter,
/// which is not normalised there: `:.:s` is not `s`.
pub(super) fn by_id(snapshot: &Snapshot, id: i32, written: &str) -> Result<Holding, Verdict> {
    let served = behind_parameter(snapshot, written);
    let is_normal = served.is_some();
    let named = served.unwrap_or_else(|| QualifiedSubject::parse(written));
    let is_spelled_out = !is_normal && named.context.is_default() && written.starts_with(":.");
    if named.is_bare_context() {
        return first_holder(snapshot, &named.context, id).ok_or(ABSENT);
    }
    if !is_spelled_out && let Some(found) = held_by(snapshot, &named, id) {
        return Ok(found);
    }
    if !named.context.is_default() {
        return Err(ABSENT);
    }
    let elsewhere = snapshot
        .named_contexts()
        .find_map(|(context, _)| held_by(snapshot, &QualifiedSubject::new(context.clone(), &named.subject), id));
    if elsewhere.is_some() && !is_normal && !is_settled(snapshot, &named) {
        return Err(ABSENT);
    }
    elsewhere.or_else(|| first_holder(snapshot, &named.context, id)).ok_or(ABSENT)
}

fn held_by(snapshot: &Snapshot, subject: &QualifiedSubject, id: i32) -> Option<Holding> {
    let context = snapshot.context(&subject.context)?;
    let holder = context.holders(id).iter().find(|holder| holder.subject == subject.subject)?;
    Some(Holding { subject: subject.clone(), version: context.held(holder)?.clone() })
}

/// The first holder of an id in a context.
pub(super) fn first_holder(snapshot: &Snapshot, context: &Context, id: i32) -> Option<Holding> {
    let state = snapshot.context(context)?;
    let holder = holders(snapshot, context, state, id).into_iter().next()?;
    let version = state.held(&holder)?.clone();
    Some(Holding { subject: QualifiedSubject::new(context.clone(), &holder.subject), version })
}
