//! Has the local registry in the mode that counts here, for what is its own (CONSISTENCY.md, Modes).
//!
//! It is told before a change counts: what it does not take does not become law here either. What is the primary's it
//! need not know of; whoever writes the second copy into it sees to its mode.

use std::collections::BTreeSet;

use http::{Method, StatusCode};
use percent_encoding::utf8_percent_encode;

use super::Proxy;
use super::control::Change;
use super::refuse::Failure;
use crate::protocol::error::Refusal;
use crate::protocol::mode::Mode;
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::protocol::target::{QUERY, subject_segment};
use crate::routing::{Home, ModeTable};
use crate::upstream::{Answer, Failure as Unanswered, FailureKind, Sent};

impl Proxy {
    /// Tells the local registry of a change from one table to the next, as far as it concerns it.
    pub(super) async fn tell_local(
        &self,
        before: &ModeTable,
        after: &ModeTable,
        change: Change<'_>,
    ) -> Result<(), Failure> {
        let scope = &change.operation.subject;
        if self.parties.local.is_none() {
            return Ok(());
        }
        let was_local = before.home(scope) == Home::Local;
        if after.home(scope) == Home::Primary {
            if was_local && let Err(failure) = self.clear_there(scope, change).await {
                // It is none of its business any more, so it is not in the way either.
                tracing::warn!(error = %crate::telemetry::Chain(&failure), scope = %scope.spelt(), "the local registry keeps the mode it had");
            }
            return Ok(());
        }
        match after.own(scope) {
            // Without force the registry wipes what is soft-deleted (HYBRID.md § 1.3). Where the data were its own
            // before, that is between it and the client.
            Some(mode) => {
                let is_forced = !was_local || change.operation.query.flag("force");
                self.set_there(scope, mode, is_forced, change).await?;
            }
            None => {
                self.clear_there(scope, change).await?;
                self.bring_in_line(scope, after, change).await?;
            }
        }
        self.take_along(before, after, change).await
    }

    /// What is set on a context there, by the importer or in times of another mode, holds against that of a wider scope.
    async fn take_along(&self, before: &ModeTable, after: &ModeTable, change: Change<'_>) -> Result<(), Failure> {
        if change.operation.subject.context != Context::global() {
            return Ok(());
        }
        let held = self.parties.replica.snapshot();
        let mut all: BTreeSet<Context> = held.contexts().map(|(context, _)| context.clone()).collect();
        all.insert(Context::default_context());
        let listed = self.ask_about_modes(Method::GET, "/contexts".to_owned(), String::new(), change).await?;
        let listed: Vec<String> = serde_json::from_slice(&listed.body).unwrap_or_default();
        all.extend(listed.iter().map(|name| Context::named(name)));
        for context in all {
            let scope = QualifiedSubject::new(context, "");
            let counts = |table: &ModeTable| (table.home(&scope), table.in_scope(&scope));
            if after.home(&scope) == Home::Local && counts(before) != counts(after) {
                self.bring_in_line(&scope, after, change).await?;
            }
        }
        Ok(())
    }

    /// Has a scope there in the mode that counts for it here, wherever that comes from.
    async fn bring_in_line(
        &self,
        scope: &QualifiedSubject,
        after: &ModeTable,
        change: Change<'_>,
    ) -> Result<(), Failure> {
        let expected = after.in_scope(scope);
        match self.in_scope_there(scope, change).await? {
            Some(mode) if mode != expected => self.set_there(scope, expected, true, change).await,
            _ => Ok(()),
        }
    }

    async fn set_there(
        &self,
        scope: &QualifiedSubject,
        mode: Mode,
        is_forced: bool,
        change: Change<'_>,
    ) -> Result<(), Failure> {
        let force = if is_forced { "?force=true" } else { "" };
        let body = format!("{{\"mode\":\"{mode}\"}}");
        let target = format!("{}{force}", target(scope));
        let answer = self.ask_about_modes(Method::PUT, target, body, change).await?;
        match heard(&answer, change)? {
            // Who knows no modes takes no ids either.
            Heard::NoModes if mode == Mode::Import => {
                Err(change.refused(Refusal::not_permitted("The local registry knows no modes, and none to import in")))
            }
            _ => Ok(()),
        }
    }

    async fn clear_there(&self, scope: &QualifiedSubject, change: Change<'_>) -> Result<(), Failure> {
        let recursive = if change.operation.query.flag("recursive") { "?recursive=true" } else { "" };
        let target = format!("{}{recursive}", target(scope));
        let answer = self.ask_about_modes(Method::DELETE, target, String::new(), change).await?;
        // That there is none to clear is as good.
        if answer.status == StatusCode::NOT_FOUND { Ok(()) } else { heard(&answer, change).map(drop) }
    }

    /// Whether it holds a live subject in a scope: the registry asks that itself, but only where it then wipes what is
    /// soft-deleted.
    pub(super) async fn holds_subjects_there(&self, change: Change<'_>) -> Result<bool, Failure> {
        if self.parties.local.is_none() {
            return Ok(false);
        }
        let scope = &change.operation.subject;
        let target = match (scope.is_bare_context(), scope.context.is_default() || scope.context == Context::global()) {
            (false, _) => format!("/subjects/{}/versions", subject_segment(&scope.spelt())),
            (true, true) => "/subjects?subjectPrefix=:*:".to_owned(),
            (true, false) => format!("/subjects?subjectPrefix={}", utf8_percent_encode(&scope.spelt(), &QUERY)),
        };
        let answer = self.ask_about_modes(Method::GET, target, String::new(), change).await?;
        let listed = serde_json::from_slice::<Option<Vec<serde_json::Value>>>(&answer.body).ok();
        // Not every registry reads the prefix.
        let prefix = if scope.context.is_default() { String::new() } else { scope.context.prefix() };
        let is_in_scope = |name: &serde_json::Value| match name.as_str() {
            Some(name) => scope.context == Context::global() || name.starts_with(&prefix),
            None => true,
        };
        // Nothing else is a word about what it holds.
        match (answer.status, listed) {
            (StatusCode::OK, Some(listed)) => Ok(listed.unwrap_or_default().iter().any(is_in_scope)),
            (StatusCode::NOT_FOUND, _) if answer.error_code() == Some(40401) => Ok(false),
            _ => Err(away(Unanswered::new(FailureKind::Unreadable, Sent::No), change)),
        }
    }

    /// The mode that counts there for a scope; nothing if it has no modes.
    async fn in_scope_there(&self, scope: &QualifiedSubject, change: Change<'_>) -> Result<Option<Mode>, Failure> {
        let target = format!("{}?defaultToGlobal=true", target(scope));
        let answer = self.ask_about_modes(Method::GET, target, String::new(), change).await?;
        let shown = serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap_or_default();
        Ok(shown["mode"].as_str().and_then(Mode::parse))
    }

    async fn ask_about_modes(
        &self,
        method: Method,
        path_and_query: String,
        body: String,
        change: Change<'_>,
    ) -> Result<Answer, Failure> {
        let answer = self.ask_beside(method, path_and_query, body, change.ask).await;
        let answer = answer.map_err(|failure| away(failure, change))?;
        if answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS {
            return Err(away(Unanswered::new(FailureKind::Unreadable, Sent::Maybe), change));
        }
        Ok(answer)
    }
}

fn target(scope: &QualifiedSubject) -> String {
    if scope.is_top_level() { "/mode".to_owned() } else { format!("/mode/{}", subject_segment(&scope.spelt())) }
}

/// How the local registry takes a change.
enum Heard {
    Done,
    /// It does not have modes.
    NoModes,
}

/// What the local registry says to a change: that it does not have modes is not against it.
fn heard(answer: &Answer, change: Change<'_>) -> Result<Heard, Failure> {
    if answer.status.is_success() {
        return Ok(Heard::Done);
    }
    let status = answer.status.as_u16();
    let has_no_modes =
        matches!(status, 404 | 405) && answer.error_code().is_none_or(|code| matches!(code, 0 | 404 | 405));
    if has_no_modes {
        tracing::warn!(request_id = ?change.ask.request_id, status, "the local registry knows no modes; they are enforced here alone");
        return Ok(Heard::NoModes);
    }
    match Refusal::read(answer.status, &answer.body) {
        Some(refusal) => Err(change.refused(refusal)),
        None => Err(away(Unanswered::new(FailureKind::Unreadable, Sent::No), change)),
    }
}

/// Whether it may have changed there does not matter: here it does not count, and it can be asked for again.
fn away(failure: Unanswered, change: Change<'_>) -> Failure {
    tracing::error!(request_id = ?change.ask.request_id, error = %crate::telemetry::Chain(&failure),
        "the local registry could not be brought into a mode, or be asked for its own");
    Failure::LocalAway(Box::new(failure), change.ask.media.clone())
}
