//! What acts on this process: the modes, and what they do not let through.

use http::Response;

use super::ask::Ask;
use super::forward::found_by;
use super::refuse::Failure;
use super::{Proxy, Visit};
use crate::body::Body;
use crate::protocol::endpoints::Route;
use crate::protocol::error::Refusal;
use crate::protocol::json::{Object, push_string};
use crate::protocol::mode::{Mode, ModeUpdate};
use crate::protocol::operation::Operation;
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::replica::Snapshot;
use crate::replica::answer::Asked;
use crate::routing::{Circumstances, ModeChange, Routed, Stop};
use crate::store::{Entry, Table};

impl Proxy {
    /// `GET`, `PUT` and `DELETE` of `/mode[/{s}]`, from our own table (WIRE.md §§ 4.3 to 4.5).
    pub(super) async fn control(&self, operation: &Operation, ask: &Ask) -> Result<Response<Body>, Failure> {
        let outcome = match operation.route {
            Route::UpdateGlobalMode | Route::UpdateSubjectMode => return self.update_mode(operation, ask).await,
            Route::DeleteGlobalMode | Route::DeleteSubjectMode => return self.delete_mode(operation, ask).await,
            _ => self.modes().table().show(&operation.subject, operation.query.flag("defaultToGlobal")),
        };
        let mode = outcome.map_err(|refusal| Failure::refused(refusal, &ask.media))?;
        Ok(self.own(200, shown(Some(mode)).into(), ask))
    }

    async fn update_mode(&self, operation: &Operation, ask: &Ask) -> Result<Response<Body>, Failure> {
        let argument = match operation.route {
            Route::UpdateGlobalMode => "updateTopLevelMode.arg1",
            _ => "updateMode.arg2",
        };
        let refused = |refusal| self.refuse_change(refusal, operation, ask);
        let update = ModeUpdate::read(&ask.body, argument).map_err(refused)?;
        check_scope(operation).map_err(refused)?;
        let _turn = self.changing_modes.lock().await;
        let around = Circumstances {
            has_local: false,
            has_primary: true,
            holds_subjects: holds_subjects(&self.parties.replica.snapshot(), &operation.subject),
            force: operation.query.flag("force"),
        };
        let change = self.modes().table().update(&operation.subject, &update, around).map_err(refused)?;
        self.change_modes(vec![change], operation, ask).await?;
        let mut body = b"{\"mode\":".to_vec();
        match &update {
            ModeUpdate::Set(_, written) => push_string(&mut body, written),
            ModeUpdate::Clear => body.extend_from_slice(b"null"),
        }
        body.push(b'}');
        Ok(self.own(200, body.into(), ask))
    }

    async fn delete_mode(&self, operation: &Operation, ask: &Ask) -> Result<Response<Body>, Failure> {
        let _turn = self.changing_modes.lock().await;
        let deleted = self.modes().table().delete(&operation.subject, operation.query.flag("recursive"));
        let (old, changes) = deleted.map_err(|refusal| self.refuse_change(refusal, operation, ask))?;
        self.change_modes(changes, operation, ask).await?;
        Ok(self.own(200, shown(old).into(), ask))
    }

    /// Keeps changes of the table, and lets them count then.
    async fn change_modes(&self, changes: Vec<ModeChange>, operation: &Operation, ask: &Ask) -> Result<(), Failure> {
        let table = self.modes().table();
        let entry = |ModeChange { scope, mode }: &ModeChange| match mode {
            Some(mode) => Entry::put(Table::Modes, scope.to_string(), mode.as_str()),
            None => Entry::remove(Table::Modes, scope.to_string()),
        };
        let kept = self.parties.store.commit(changes.iter().map(entry).collect()).await;
        if let Err(failure) = kept {
            tracing::error!(error = %failure, "a change of modes could not be kept, and does not count");
            return Err(Failure::Store(ask.media.clone()));
        }
        self.modes().show(table.with(&changes));
        for ModeChange { scope, mode } in &changes {
            tracing::info!(request_id = ?ask.request_id, peer = %ask.peer, operation = operation.route.name(),
                scope = %named(scope), from = name(table.own(scope)), to = name(*mode),
                force = operation.query.flag("force"), "mode changed");
        }
        Ok(())
    }

    fn refuse_change(&self, refusal: Refusal, operation: &Operation, ask: &Ask) -> Failure {
        tracing::info!(request_id = ?ask.request_id, peer = %ask.peer, operation = operation.route.name(),
            scope = %named(&operation.subject), code = refusal.code, reason = %refusal.message, "mode change refused");
        Failure::refused(refusal, &ask.media)
    }

    /// What a mode does not let through.
    pub(super) fn stopped(&self, stop: Stop, visit: &Visit, ask: &Ask) -> Failure {
        if let (Stop::NotPermitted(refusal), Some(seen)) = (&stop, visit.seen.get()) {
            tracing::info!(request_id = ?ask.request_id, peer = %ask.peer, operation = seen.route.name(),
                subject = %seen.subject, code = refusal.code, reason = %refusal.message, "write refused");
        }
        Failure::stopped(stop, &ask.media)
    }

    /// Registers nothing: what is there already is answered, anything else refused (WIRE.md § 2.2). Where only the
    /// primary can tell which of the two it is, it is asked by a lookup.
    pub(super) async fn only_known(
        &self,
        routed: Routed,
        ask: Ask,
        refusal: Refusal,
        visit: &Visit,
    ) -> Result<Response<Body>, Failure> {
        let operation = routed.addressed().operation();
        if let Some(known) = self.already_registered(operation, &ask, false) {
            return Ok(known);
        }
        let refused = || Err(self.stopped(Stop::NotPermitted(refusal.clone()), visit, &ask));
        // An explicit id or version is never only asked for what is there.
        if Asked::read(&ask.body).is_none_or(|asked| !asked.is_plain_registration()) {
            return refused();
        }
        match self.look_up_there(operation, &ask).await {
            Some(Ok(answer)) => match found_by(&answer) {
                Some(found) => Ok(self.registered_as(&found, &ask)),
                None if answer.status.is_server_error() => Ok(self.relayed(operation, &answer, &ask)),
                None => refused(),
            },
            Some(Err(failure)) => Err(Failure::Away(Box::new(failure), ask.media.clone())),
            None => refused(),
        }
    }
}

/// The top level has no name in the store either, but one in the log.
fn named(scope: &QualifiedSubject) -> String {
    if is_top_level(scope) { "the default context".to_owned() } else { scope.to_string() }
}

fn is_top_level(scope: &QualifiedSubject) -> bool {
    scope.is_bare_context() && scope.context.is_default()
}

fn name(mode: Option<Mode>) -> &'static str {
    mode.map_or("none", Mode::as_str)
}

/// The names that no subject may have, of which only the global context is one that modes are set on (WIRE.md § 3.3).
fn check_scope(operation: &Operation) -> Result<(), Refusal> {
    let (scope, written) = (&operation.subject, &operation.subject_text);
    if is_top_level(scope) || scope.context == Context::global() {
        return Ok(());
    }
    let is_reserved = matches!(&*scope.subject, "__GLOBAL" | "__EMPTY");
    if is_reserved || written.chars().any(char::is_control) {
        return Err(Refusal::new(42208, format!("The specified subject '{written}' is not a valid.")));
    }
    Ok(())
}

/// Whether a scope holds a subject with a live version; the default context and everything hold all of them.
fn holds_subjects(snapshot: &Snapshot, scope: &QualifiedSubject) -> bool {
    if !scope.is_bare_context() {
        return snapshot.subject(scope).is_some_and(|subject| subject.is_live());
    }
    let is_everything = scope.context.is_default() || scope.context == Context::global();
    let mut contexts = snapshot.contexts().filter(|(context, _)| is_everything || **context == scope.context);
    contexts.any(|(_, state)| state.subjects().any(|(_, subject)| subject.is_live()))
}

fn shown(mode: Option<Mode>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut object = Object::open(&mut out);
    object.text("mode", mode.map(Mode::as_str));
    object.close();
    out
}
