//! The modes, as they are asked for and changed: `GET`, `PUT` and `DELETE` of `/mode[/{s}]`, from our own table.

use std::sync::Arc;

use http::Response;

use super::Proxy;
use super::ask::Ask;
use super::refuse::{Failure, HeldBack};
use crate::body::Body;
use crate::protocol::endpoints::Route;
use crate::protocol::error::Refusal;
use crate::protocol::json::{Object, push_string};
use crate::protocol::mode::{Mode, ModeUpdate};
use crate::protocol::operation::Operation;
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::replica::Snapshot;
use crate::routing::{Circumstances, Home, ModeChange, ModeTable};
use crate::store::{Entry, Table};
use crate::telemetry::Chain;

impl Proxy {
    /// What acts on this process (WIRE.md §§ 4.3 to 4.5).
    pub(super) async fn control(
        self: &Arc<Self>,
        operation: &Arc<Operation>,
        ask: Ask,
    ) -> Result<Response<Body>, Failure> {
        use Route as R;
        if matches!(operation.route, R::GlobalMode | R::SubjectMode) {
            let shown = self.modes().table().show(&operation.subject, operation.query.flag("defaultToGlobal"));
            let mode = shown.map_err(|refusal| Failure::refused(refusal, &ask.media))?;
            return Ok(self.own(200, printed(Some(mode)).into(), &ask));
        }
        // A client that goes away must not leave a change on the disk that does not count.
        let (proxy, operation, media) = (self.clone(), operation.clone(), ask.media.clone());
        let changing = self.carrying.spawn(async move {
            let change = Change { operation: &operation, ask: &ask };
            match operation.route {
                R::DeleteGlobalMode | R::DeleteSubjectMode => proxy.delete_mode(change).await,
                _ => proxy.update_mode(change).await,
            }
        });
        changing.await.unwrap_or(Err(Failure::Store(media)))
    }

    async fn update_mode(&self, change: Change<'_>) -> Result<Response<Body>, Failure> {
        let Change { operation, ask } = change;
        let argument = match operation.route {
            Route::UpdateGlobalMode => "updateTopLevelMode.arg1",
            _ => "updateMode.arg2",
        };
        let read = ModeUpdate::read(&ask.body, argument);
        // A body that cannot be read at all comes before the scope, a mode that there is not comes after it.
        let is_readable = read.as_ref().map_or_else(|refusal| refusal.code == INVALID_MODE, |_| true);
        let checked = if is_readable { check_scope(operation) } else { Ok(()) };
        let update = checked.and(read).map_err(|refusal| change.refused(refusal))?;
        let _turn = self.changing_modes.lock().await;
        let table = self.modes().table();
        let force = operation.query.flag("force");
        let is_import = update.mode() == Some(Mode::Import) && table.in_scope(&operation.subject) != Mode::Import;
        // Of what is the local registry's own, it knows itself what stands in the way.
        let is_asked = is_import && !force && table.home(&operation.subject) == Home::Primary;
        let holds_subjects = is_asked
            && (holds_subjects(&self.parties.replica.snapshot(), &operation.subject)
                || self.holds_subjects_there(change).await?);
        let around = Circumstances {
            has_local: self.parties.local.is_some(),
            has_primary: !self.parties.primary.registry().is_nowhere(),
            holds_subjects,
            force,
        };
        let next = table.update(&operation.subject, &update, around).map_err(|refusal| change.refused(refusal))?;
        self.change_modes(vec![next], change).await?;
        let mut body = b"{\"mode\":".to_vec();
        match &update {
            ModeUpdate::Set(_, written) => push_string(&mut body, written),
            ModeUpdate::Clear => body.extend_from_slice(b"null"),
        }
        body.push(b'}');
        Ok(self.own(200, body.into(), ask))
    }

    async fn delete_mode(&self, change: Change<'_>) -> Result<Response<Body>, Failure> {
        let Change { operation, ask } = change;
        let _turn = self.changing_modes.lock().await;
        let deleted = self.modes().table().delete(&operation.subject, operation.query.flag("recursive"));
        let (old, changes) = deleted.map_err(|refusal| change.refused(refusal))?;
        self.change_modes(changes, change).await?;
        Ok(self.own(200, printed(old).into(), ask))
    }

    /// Has the local registry follow, keeps changes of the table, and lets them count then. What only forbids writes
    /// counts first: it must not depend on anybody else.
    async fn change_modes(&self, changes: Vec<ModeChange>, change: Change<'_>) -> Result<(), Failure> {
        let table = self.modes().table();
        let next = table.with(&changes);
        if changes.iter().all(|change| change.set.is_some_and(|set| set.mode.is_read_only())) {
            self.keep_modes(&changes, change).await?;
            self.let_count(&table, next.clone(), &changes, change);
            if let Err(failure) = self.tell_local(&table, &next, change).await {
                tracing::warn!(request_id = ?change.ask.request_id, error = %Chain(&failure), "read-only here, though not in the local registry");
            }
            return Ok(());
        }
        let _still = self.parties.still.write().await;
        if !change.operation.query.flag("force")
            && let Some(subject) = self.would_be_otherwise(&table, &next)
        {
            let message = format!("Subject {subject} is not in the local registry as it is at the primary");
            return Err(change.refused(Refusal::not_permitted(message)));
        }
        let parting = self.about_to_part(&table, &next);
        self.tell_local(&table, &next, change).await?;
        if let Err(failure) = self.keep_modes(&changes, change).await {
            if let Err(failure) = self.tell_local(&next, &table, change).await {
                tracing::error!(request_id = ?change.ask.request_id, error = %Chain(&failure),
                    "the local registry is left in a mode that does not count here");
            }
            return Err(failure);
        }
        self.freeze(parting, &next);
        self.let_count(&table, next, &changes, change);
        Ok(())
    }

    async fn keep_modes(&self, changes: &[ModeChange], change: Change<'_>) -> Result<(), Failure> {
        let Change { operation, ask } = change;
        let entry = |change: &ModeChange| match change.set {
            Some(set) => Entry::put(Table::Modes, change.key(), set.printed()),
            None => Entry::remove(Table::Modes, change.key()),
        };
        let kept = self.parties.store.commit(changes.iter().map(entry).collect()).await;
        if let Err(failure) = kept {
            tracing::error!(request_id = ?ask.request_id, peer = %ask.peer, operation = operation.route.name(),
                scope = %named(&operation.subject), error = %failure, "a change of modes could not be kept, and does not count");
            return Err(Failure::Store(ask.media.clone()));
        }
        if !self.parties.store.is_durable() {
            tracing::warn!("no state.directory is set: the modes are forgotten with this process");
        }
        Ok(())
    }

    fn let_count(&self, before: &ModeTable, next: ModeTable, changes: &[ModeChange], change: Change<'_>) {
        let Change { operation, ask } = change;
        let is_new = |change: &&ModeChange| before.own(&change.scope) != change.set.map(|set| set.mode);
        for ModeChange { scope, set } in changes.iter().filter(is_new) {
            tracing::info!(request_id = ?ask.request_id, peer = %ask.peer, operation = operation.route.name(),
                scope = %named(scope), from = name(before.own(scope)), to = name(set.map(|set| set.mode)),
                home_before = ?before.home(scope), home = ?next.home(scope),
                force = operation.query.flag("force"), "mode changed");
        }
        self.modes().enforce(next);
    }
}

/// A request to change a mode.
#[derive(Clone, Copy)]
pub(super) struct Change<'a> {
    pub(super) operation: &'a Operation,
    pub(super) ask: &'a Ask,
}

impl Change<'_> {
    pub(super) fn refused(self, refusal: Refusal) -> Failure {
        let scope = self.operation.subject.clone();
        Failure::HeldBack(Box::new(HeldBack { refusal, scope, mode: None }), self.ask.media.clone())
    }
}

/// The code of a name that is none of a mode.
const INVALID_MODE: u32 = 42204;

/// A scope in the log, where the default context has a name too.
pub(super) fn named(scope: &QualifiedSubject) -> String {
    if scope.is_top_level() { "the default context".to_owned() } else { scope.spelt() }
}

fn name(mode: Option<Mode>) -> &'static str {
    mode.map_or("none", Mode::as_str)
}

/// The names that no subject may have, of which only the global context is one that modes are set on (WIRE.md § 3.3).
fn check_scope(operation: &Operation) -> Result<(), Refusal> {
    let (scope, written) = (&operation.subject, &operation.subject_text);
    if scope.is_top_level() || scope.context == Context::global() {
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

fn printed(mode: Option<Mode>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut object = Object::open(&mut out);
    object.text("mode", mode.map(Mode::as_str));
    object.close();
    out
}
