//! `/mode`: reading and changing modes (WIRE.md § 4).

use schema_outpost::protocol::endpoints::Route;
use schema_outpost::protocol::json::{Object, push_string};
use schema_outpost::protocol::subject::{Context, QualifiedSubject};
use serde_json::Value;

use crate::body::{self, Expected, Members};
use crate::call::{Call, Reply};
use crate::failure::{Failure, Outcome};
use crate::register::check_subject;
use crate::state::{Filter, Mode, State};

const GLOBAL: &str = ":.__GLOBAL:";

fn printed(mode: Option<Mode>) -> Reply {
    let mut out = Vec::new();
    let mut object = Object::open(&mut out);
    object.text("mode", mode.map(Mode::as_str));
    object.close();
    Reply::ok(out)
}

/// `GET /mode[/{s}]`
pub(crate) fn get(state: &State, call: &Call<'_>) -> Outcome<Reply> {
    let scope = &call.operation.subject;
    let name = scope.to_string();
    let own = state.modes.get(&name).copied();
    let mode = match own {
        Some(own) => own,
        None if call.flag("defaultToGlobal") => state.mode(scope),
        None if name.is_empty() || name == GLOBAL || call.profile.gives_own_ids() => Mode::ReadWrite,
        None => return Err(Failure::no_mode(&name)),
    };
    Ok(printed(Some(mode)))
}

/// `PUT /mode[/{s}]`
pub(crate) fn update(state: &mut State, call: &Call<'_>) -> Outcome<Reply> {
    let top = call.route() == Route::UpdateGlobalMode;
    let asked = Asked::read(call, if top { "updateTopLevelMode.arg1" } else { "updateMode.arg2" })?;
    let scope = call.operation.subject.clone();
    let name = scope.to_string();
    if !top && scope.context != Context::global() {
        check_subject(&scope, &call.operation.subject_text)?;
    }
    let Some(written) = asked.mode else {
        state.modes.remove(&name);
        return Ok(Reply::ok("{\"mode\":null}"));
    };
    let known = |mode: &Mode| call.profile.forwards() || *mode != Mode::Forward;
    let mode = Mode::parse(&written).filter(known).ok_or_else(|| Failure::invalid_mode(call.profile.forwards()))?;
    // The comparison is exact, so `forward` goes anywhere.
    if written == "FORWARD" && name != GLOBAL {
        return Err(Failure::new(422, 42204, "Forward mode only supported on global level"));
    }
    if mode == Mode::Import && state.mode(&scope) != Mode::Import && !call.flag("force") {
        prepare_import(state, &scope)?;
    }
    state.modes.insert(name, mode);
    let mut out = b"{\"mode\":".to_vec();
    push_string(&mut out, &written);
    out.push(b'}');
    Ok(Reply::ok(out))
}

struct Asked {
    mode: Option<String>,
}

impl Asked {
    fn read(call: &Call<'_>, argument: &'static str) -> Outcome<Self> {
        // A bare string is taken for the mode itself.
        if let Value::String(mode) = body::parse(call.body.unwrap_or_default())? {
            return Ok(Self { mode: Some(mode) });
        }
        let members = Members::read(call.body, Expected { class: "ModeUpdateRequest", argument })?;
        if !members.has("mode") {
            return Err(Failure::internal());
        }
        Ok(Self { mode: members.text("mode")? })
    }
}

/// Subjects that a mode is about: one, a context's, or all.
fn concerned(state: &State, scope: &QualifiedSubject) -> Vec<QualifiedSubject> {
    if !scope.is_bare_context() {
        return vec![scope.clone()];
    }
    let everything = scope.context.is_default() || scope.context == Context::global();
    let spaces = state.spaces.iter().filter(|(name, _)| everything || name.as_str() == scope.context.as_str());
    let mut found = Vec::new();
    for (name, space) in spaces {
        let context = Context::named(name);
        found.extend(space.subjects.keys().map(|subject| QualifiedSubject::new(context.clone(), subject)));
    }
    found
}

/// An import starts on nothing: live subjects forbid it, soft-deleted ones are removed.
fn prepare_import(state: &mut State, scope: &QualifiedSubject) -> Outcome<()> {
    let subjects = concerned(state, scope);
    if subjects.iter().any(|subject| state.has_versions(subject, Filter::Live)) {
        return Err(Failure::not_permitted("Cannot import since found existing subjects"));
    }
    for subject in subjects {
        let versions: Vec<i32> = state.versions(&subject).map(|stored| stored.version).collect();
        for version in versions {
            state.check_unreferenced(&subject, version, Filter::All)?;
            state.remove(&subject, version);
        }
    }
    Ok(())
}

/// `DELETE /mode[/{s}]`
pub(crate) fn delete(state: &mut State, call: &Call<'_>) -> Outcome<Reply> {
    let scope = call.operation.subject.clone();
    let name = scope.to_string();
    let recursive = call.flag("recursive");
    let always = name.is_empty() || name == GLOBAL;
    let old = state.modes.get(&name).copied();
    if old.is_none() && !always && !recursive {
        return Err(Failure::subject_not_found(&name));
    }
    state.modes.remove(&name);
    if recursive && scope.is_bare_context() {
        state.modes.retain(|other, _| {
            let other = QualifiedSubject::parse(other);
            other.context != scope.context || other.is_bare_context()
        });
    }
    Ok(printed(if always { Some(old.unwrap_or(Mode::ReadWrite)) } else { old }))
}
