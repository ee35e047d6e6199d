//! Subjects and their versions: listing, reading, deleting (WIRE.md § 1.3, § 1.4, § 1.10 to § 1.17, § 6).

use std::collections::{BTreeMap, BTreeSet};

use schema_outpost::protocol::order;
use schema_outpost::protocol::schema::Reference;
use schema_outpost::protocol::subject::{Context, QualifiedSubject};

use crate::call::{Call, Reply, Wanted};
use crate::failure::{Failure, Outcome};
use crate::model::Stored;
use crate::print::{self, Extras};
use crate::schema;
use crate::state::{Filter, State, resolve};
use crate::tags;

const ANY_NUMBER: usize = i32::MAX as usize;

/// `GET /subjects`
pub(crate) fn list(state: &State, call: &Call<'_>) -> Outcome<Reply> {
    let (deleted, deleted_only) = (call.flag("deleted"), call.flag("deletedOnly"));
    let prefix = call.operation.query.get("subjectPrefix").unwrap_or(":*:");
    let shown = |subject: &QualifiedSubject| {
        let live = state.has_versions(subject, Filter::Live);
        if deleted_only { !live } else { live || deleted }
    };
    let subjects = state.subjects(prefix).into_iter().filter(shown);
    let mut names: Vec<String> = subjects.map(|subject| subject.to_string()).collect();
    names.sort_by(|left, right| order::compare(left, right));
    let names = call.page(names, ANY_NUMBER)?;
    Ok(Reply::ok(print::texts(names.iter().map(String::as_str))))
}

/// `GET /subjects/{s}/versions`
pub(crate) fn versions(state: &State, call: &Call<'_>) -> Outcome<Reply> {
    let subject = call.subject(state);
    let (deleted, only, negative) = (call.flag("deleted"), call.flag("deletedOnly"), call.flag("deletedAsNegative"));
    let needed = if deleted || only { Filter::All } else { Filter::Live };
    if !state.has_versions(&subject, needed) {
        if subject.is_bare_context() && context_has_subjects(state, &subject, needed) {
            return Ok(Reply::ok(print::numbers_list(call.page(Vec::new(), ANY_NUMBER)?)));
        }
        return Err(Failure::subject_not_found(&subject.to_string()));
    }
    let filter = match (negative, only, deleted) {
        (true, ..) => Filter::All,
        (_, true, _) => Filter::Deleted,
        (.., deleted) => Filter::of(deleted),
    };
    let shown = state.listed(&subject).filter(|stored| filter.admits(stored));
    let numbers = shown.map(|stored| if negative && stored.deleted { -stored.version } else { stored.version });
    Ok(Reply::ok(print::numbers_list(call.page(numbers.collect(), ANY_NUMBER)?)))
}

/// The context of everything has what any has.
fn context_has_subjects(state: &State, subject: &QualifiedSubject, filter: Filter) -> bool {
    let name = subject.context.as_str();
    let spaces = state.spaces.iter().filter(|(own, _)| *own == name || subject.context == Context::global());
    let mut versions = spaces.flat_map(|(_, space)| space.subjects.values()).flat_map(|versions| versions.values());
    versions.any(|stored| filter.admits(stored))
}

/// Finds the version that the path names; an unqualified subject is looked for in other contexts too.
fn find<'a>(state: &'a State, call: &Call<'_>, filter: Filter, anywhere: bool) -> Outcome<&'a Stored> {
    let subject = call.subject(state);
    let wanted = call.version()?;
    let pick = |subject: &QualifiedSubject| match wanted {
        Wanted::Latest => state.latest(subject),
        Wanted::Number(number) => state.version(subject, number, filter),
    };
    if let Some(stored) = pick(&subject) {
        return Ok(stored);
    }
    if anywhere {
        let others = state.elsewhere(&subject, filter);
        if let Some(stored) = others.iter().find_map(pick) {
            return Ok(stored);
        }
    }
    let known = state.has_versions(&subject, filter)
        || (subject.is_bare_context() && context_has_subjects(state, &subject, filter));
    Err(if known {
        Failure::version_not_found(wanted.number())
    } else {
        Failure::subject_not_found(&subject.to_string())
    })
}

/// `GET /subjects/{s}/versions/{v}`
pub(crate) fn version(state: &State, call: &Call<'_>) -> Outcome<Reply> {
    let stored = find(state, call, Filter::of(call.flag("deleted")), true)?;
    let place = QualifiedSubject::parse(&stored.subject);
    let text = schema::formatted(state, &place, &stored.content, call.parameter("format"))?;
    let references = qualified(call, &place, &stored.content.references);
    let tags = tags::found(&stored.content, call);
    let mut extras = Extras { text: text.as_deref(), tags: tags.as_deref(), ..Extras::of(stored) };
    // Here, and here alone, the GUID counts the qualified names (WIRE.md § 7.5).
    let mut content = stored.content.clone();
    if let Some(references) = &references {
        content.references.clone_from(references);
        content.text = text.clone().unwrap_or(content.text);
        extras.references = Some(references);
    }
    let guid = content.guid();
    extras.guid = Some(&guid);
    Ok(Reply::ok(print::schema(stored, &extras, call.shape)))
}

/// References with qualified names, when the request wants them and the place is not the default context.
pub(crate) fn qualified(call: &Call<'_>, place: &QualifiedSubject, references: &[Reference]) -> Option<Vec<Reference>> {
    if call.parameter("referenceFormat") != "qualified" || place.context.is_default() {
        return None;
    }
    let qualify = |reference: &Reference| {
        let subject = resolve(reference.subject.as_deref().unwrap_or_default(), &place.context).to_string();
        Reference { subject: Some(subject), ..reference.clone() }
    };
    Some(references.iter().map(qualify).collect())
}

/// `GET /subjects/{s}/versions/{v}/schema`
pub(crate) fn version_text(state: &State, call: &Call<'_>) -> Outcome<Reply> {
    let stored = find(state, call, Filter::of(call.flag("deleted")), true)?;
    let place = QualifiedSubject::parse(&stored.subject);
    let text = schema::formatted(state, &place, &stored.content, call.parameter("format"))?;
    Ok(raw(text.as_deref().unwrap_or(&stored.content.text)))
}

/// A schema's text as a body; an empty one is no content.
pub(crate) fn raw(text: &str) -> Reply {
    if text.is_empty() { Reply::nothing() } else { Reply::ok(text) }
}

/// `GET /subjects/{s}/versions/{v}/referencedby`
pub(crate) fn referenced_by(state: &State, call: &Call<'_>) -> Outcome<Reply> {
    let target = find(state, call, Filter::All, true)?;
    let subject = QualifiedSubject::parse(&target.subject);
    let referrers = state.referrers(&subject, target.version, Filter::of(call.flag("deleted")));
    let context = |stored: &Stored| QualifiedSubject::parse(&stored.subject).context.to_string();
    let ids: BTreeSet<(String, i32)> = referrers.iter().map(|stored| (context(stored), stored.id)).collect();
    let ids = call.page(ids.into_iter().map(|(_, id)| id).collect(), 1000)?;
    Ok(Reply::ok(print::numbers_list(ids)))
}

/// `GET /subjects/{s}/metadata`
pub(crate) fn latest_with_metadata(state: &State, call: &Call<'_>) -> Outcome<Reply> {
    let subject = call.subject(state);
    let filter = Filter::of(call.flag("deleted"));
    let query = &call.operation.query;
    let pairs: BTreeMap<&str, &str> = query.all("key").zip(query.all("value")).collect();
    let matches = |stored: &&Stored| {
        let Some(metadata) = &stored.content.metadata else { return false };
        let has = |(key, value): (&&str, &&str)| {
            metadata.properties.as_ref().and_then(|properties| properties.get(*key)).is_some_and(|own| own == value)
        };
        filter.admits(stored) && pairs.iter().all(has)
    };
    match state.versions(&subject).rev().find(matches) {
        Some(stored) => {
            let text = schema::formatted(state, &subject, &stored.content, call.parameter("format"))?;
            let extras = Extras { text: text.as_deref(), ..Extras::of(stored) };
            Ok(Reply::ok(print::schema(stored, &extras, call.shape)))
        }
        None if state.has_versions(&subject, filter) => Err(Failure::schema_not_found()),
        None => Err(Failure::subject_not_found(&subject.to_string())),
    }
}

/// `DELETE /subjects/{s}`
pub(crate) fn delete(state: &mut State, call: &Call<'_>) -> Outcome<Reply> {
    let subject = call.subject(state);
    let name = subject.to_string();
    let permanent = call.flag("permanent");
    if !state.has_versions(&subject, Filter::All) {
        return Err(Failure::subject_not_found(&name));
    }
    let is_live = state.has_versions(&subject, Filter::Live);
    if !permanent && !is_live {
        return Err(Failure::subject_soft_deleted(&name));
    }
    state.check_writable(&subject, &name)?;
    if state.associations.iter().any(|association| association.subject == name) {
        return Err(Failure::new(409, 40904, format!("An association already exists for subject '{name}'")));
    }
    let filter = if permanent { Filter::All } else { Filter::Live };
    let gone: Vec<i32> =
        state.versions(&subject).filter(|stored| filter.admits(stored)).map(|one| one.version).collect();
    for version in &gone {
        let others = state.referrers(&subject, *version, filter);
        if others.iter().any(|referrer| referrer.subject != name) {
            return Err(Failure::referenced(&name, *version));
        }
    }
    if permanent && is_live {
        return Err(Failure::subject_not_soft_deleted(&name));
    }
    for version in &gone {
        if permanent {
            state.remove(&subject, *version);
        } else {
            mark(state, &subject, *version, None);
        }
    }
    if permanent {
        forget_settings(state, &name);
    }
    Ok(Reply::ok(print::numbers_list(gone.into_iter().filter(|version| *version != i32::MAX))))
}

fn forget_settings(state: &mut State, name: &str) {
    state.configs.remove(name);
    state.modes.remove(name);
}

/// Soft-deletes a version. That is a write of it too: an id is found through it again, and its content under its id.
fn mark(state: &mut State, subject: &QualifiedSubject, version: i32, ts: Option<i64>) {
    let space = state.space(&subject.context);
    let versions = space.subjects.get_mut(&*subject.subject);
    if let Some(stored) = versions.and_then(|versions| versions.get_mut(&version)) {
        stored.deleted = true;
        stored.ts = ts.unwrap_or(stored.ts);
        space.ids.registered(stored);
    }
}

/// `DELETE /subjects/{s}/versions/{v}`
pub(crate) fn delete_version(state: &mut State, call: &Call<'_>) -> Outcome<Reply> {
    let subject = call.subject(state);
    let name = subject.to_string();
    let permanent = call.flag("permanent");
    let wanted = call.version()?;
    if !state.has_versions(&subject, Filter::All) {
        return Err(Failure::subject_not_found(&name));
    }
    let stored = match wanted {
        Wanted::Latest => state.latest(&subject),
        Wanted::Number(number) => state.version(&subject, number, Filter::All),
    };
    let Some(stored) = stored else { return Err(Failure::version_not_found(wanted.number())) };
    let (version, deleted) = (stored.version, stored.deleted);
    if !permanent && deleted {
        return Err(Failure::version_soft_deleted(&name, version));
    }
    state.check_writable(&subject, &name)?;
    let live = state.versions(&subject).filter(|stored| !stored.deleted).count();
    if !deleted && live == 1 && state.associations.iter().any(|association| association.subject == name) {
        return Err(Failure::new(500, 500, "Error while deleting Schema Version"));
    }
    state.check_unreferenced(&subject, version, if permanent { Filter::All } else { Filter::Live })?;
    if permanent && !deleted {
        return Err(Failure::version_not_soft_deleted(&name, version));
    }
    if permanent {
        state.remove(&subject, version);
        if !state.has_versions(&subject, Filter::All) {
            forget_settings(state, &name);
        }
    } else {
        mark(state, &subject, version, Some(call.now));
    }
    Ok(Reply::ok(version.to_string()))
}
