//! Schemas that clients send along, recognised without the primary: looked up, or registered once more.
//!
//! Recognised is what certainly equals something we hold, and what the primary was asked before while nothing
//! has changed since.

use bytes::Bytes;
use http::{Response, StatusCode};

use super::Proxy;
use super::ask::Ask;
use super::metrics::AnsweredBy;
use super::trim::trimmed;
use crate::body::Body;
use crate::protocol::endpoints::Route;
use crate::protocol::mode::Mode;
use crate::protocol::operation::Operation;
use crate::protocol::schema::{Listed, Version};
use crate::protocol::shape::{Form, Record, registered, schema};
use crate::protocol::subject::QualifiedSubject;
use crate::replica::answer::{Asked, MatchScope, Verdict, Why, has_unknown_parameters, is_config_of};
use crate::replica::{Doubt, Question, Scope, Snapshot, served_subject};
use crate::upstream::Answer;

impl Proxy {
    /// A lookup that is certainly equal to something we hold (WIRE.md § 1.2), or was answered before.
    pub(super) fn look_up(&self, operation: &Operation, ask: &Ask, snapshot: &Snapshot, trusting: bool) -> Verdict {
        let Some(asked) = Asked::read(&ask.body) else { return Verdict::Unknown(Why::Absent) };
        let scope = if operation.query.flag("deleted") { MatchScope::WithDeleted } else { MatchScope::Live };
        let as_stored = operation.shows_schema_as_stored();
        match as_stored.then(|| asked.find(snapshot, operation, scope, trusting)).flatten() {
            Some(found) => {
                let form = ask.form(snapshot);
                let body = schema(&found.subject.to_string(), &found.version, form, Record::Asked);
                Verdict::Known(200, body.into())
            }
            None => match self.recall(operation, ask, (&asked, snapshot), trusting) {
                Some(body) => Verdict::Known(200, body),
                None => Verdict::Unknown(Why::Absent),
            },
        }
    }

    /// Registering what is there already changes nothing and needs no primary (WIRE.md § 2.2). What would inherit is
    /// registered, though there is nothing new to it: that takes leave to write.
    pub(super) fn already_registered(
        &self,
        operation: &Operation,
        ask: &Ask,
        (trusting, may_write): (bool, bool),
    ) -> Option<Response<Body>> {
        // What a parameter does that we do not know, only the primary can say.
        if has_unknown_parameters(operation) && !trusting {
            return None;
        }
        let asked = Asked::read(&ask.body).filter(|asked| !asked.is_about_tags())?;
        let snapshot = self.view_of_now(ask.bound.as_ref());
        let served = served_subject(&snapshot, operation);
        let in_doubt = |scope: &Scope| match scope {
            Scope::Subject(subject) => *subject == served,
            Scope::Context(context) => *context == served.context,
            Scope::All => true,
            // What a configuration in doubt makes of a schema is not known.
            Scope::Remembered(key) => is_config_of(key, &operation.subject) || is_config_of(key, &served),
            Scope::Contexts | Scope::Associations => false,
        };
        if snapshot.doubts().any(|(scope, doubt)| doubt > bearable(trusting) && in_doubt(scope)) {
            return None;
        }
        let as_stored = operation.shows_schema_as_stored();
        let found = as_stored.then(|| asked.find(&snapshot, operation, MatchScope::Live, trusting)).flatten();
        // Some patches of 7.x say more than the id of what is stored with other metadata or rules than were sent
        // (WIRE.md § 12).
        let is_seven = ask.form(&snapshot) == Form::Plain && !ask.is_shown_less(&snapshot);
        let inherits = may_write && asked.is_plain_registration() && snapshot.mode_in_scope(&served) == Mode::ReadWrite;
        let body = match found.filter(|found| (inherits && !is_seven) || !has_more(&found.version, &asked)) {
            Some(found) if asked.is_met_by(found.version.id, found.version.version) => {
                registered(&found.version, ask.form(&snapshot), Record::Asked).into()
            }
            Some(_) => return None,
            None if !asked.is_plain_registration() => return None,
            None => {
                let is_as_sent = |body: &Bytes| {
                    serde_json::from_slice(body).is_ok_and(|Listed { version, .. }| !is_inherited(&version, &asked))
                };
                let recalled = self.recall(operation, ask, (&asked, &snapshot), trusting)?;
                Some(recalled).filter(|body| may_write || is_as_sent(body))?
            }
        };
        self.parties.metrics.answered(operation.route, AnsweredBy::Replica);
        Some(self.own(200, body, ask))
    }

    /// What the primary answered to the same question, as this client would have been given it.
    fn recall(
        &self,
        operation: &Operation,
        ask: &Ask,
        (asked, snapshot): (&Asked, &Snapshot),
        trusting: bool,
    ) -> Option<Bytes> {
        // Where a configuration adds something, to register is never merely to find.
        let adds = || snapshot.config_adds_to_schemas(&served_subject(snapshot, operation)) == Some(true);
        if operation.route == Route::Register && adds() {
            return None;
        }
        let body = self.memo.recall(&Question::of(operation, asked)?, snapshot, bearable(trusting))?;
        let is_shown_less = ask.is_shown_less(snapshot);
        Some(trimmed(operation.route, &body).filter(|_| is_shown_less).unwrap_or(body))
    }

    /// Remembers what the primary answered, for who asks the same. `before` is from when it was not yet asked.
    pub(super) fn remember_answer(&self, operation: &Operation, ask: &Ask, before: &Snapshot, answer: &Answer) {
        // An unknown parameter may make it another question.
        if !matches!(operation.route, Route::Lookup | Route::Register)
            || answer.status != StatusCode::OK
            || has_unknown_parameters(operation)
        {
            return;
        }
        let Some(asked) = Asked::read(&ask.body) else { return };
        let Some(question) = Question::of(operation, &asked) else { return };
        let now = self.view_of_now(ask.bound.as_ref());
        if is_expected(operation, &asked, &now, answer) {
            self.memo.keep(&question, before, &now, &answer.body);
        }
    }
}

/// Whether the registry understood a schema as we would. If not, its configuration is another one than we know of, and
/// may be again what it was before anybody tells us. What was found by comparing is shown as it is stored.
fn is_expected(operation: &Operation, asked: &Asked, now: &Snapshot, answer: &Answer) -> bool {
    let Ok(Listed { subject, version }) = serde_json::from_slice(&answer.body) else { return true };
    let is_made_from_request = version.ts.is_none() && version.guid.is_some();
    if !is_made_from_request || !operation.shows_schema_as_stored() {
        return true;
    }
    let served = served_subject(now, operation);
    let normalize = operation.query.flag("normalize") || now.config_normalizes(&served) == Some(true);
    let place = subject.as_deref().map_or_else(|| served.clone(), QualifiedSubject::parse);
    let metadata = |version: &Version| version.metadata.as_deref().map(|metadata| metadata.get().to_owned());
    let is_the_latests = || {
        let latest = now.subject(&place).and_then(|state| state.latest());
        latest.is_some_and(|latest| metadata(latest) == metadata(&version))
    };
    let adds = || now.config_adds_to_schemas(&place) == Some(true);
    (asked.has_metadata_of(&version) || is_the_latests() || adds())
        && asked.may_be_stored_as(&version.text, now, &served, normalize)
}

/// The target that looks up what another one registers.
pub(super) fn lookup_of(target: &str) -> Option<String> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = path.strip_suffix('/').unwrap_or(path).strip_suffix("/versions")?;
    let is_heeded = |parameter: &&str| parameter.starts_with("normalize=") || parameter.starts_with("format=");
    let heeded: Vec<&str> = query.split('&').filter(is_heeded).collect();
    Some(if heeded.is_empty() { path.to_owned() } else { format!("{path}?{}", heeded.join("&")) })
}

/// What a lookup found, if that is all that a registration asks for. The registry looks for a plain name in other
/// contexts too, where it would register nothing (WIRE.md § 1.2).
pub(super) fn found_by(answer: &Answer, served: &QualifiedSubject, ask: &Ask) -> Option<Listed> {
    let found: Listed = (answer.status == StatusCode::OK).then(|| serde_json::from_slice(&answer.body).ok())??;
    let place = found.subject.as_deref().map(QualifiedSubject::parse);
    let is_elsewhere = place.is_some_and(|place| place.context != served.context);
    let is_met = Asked::read(&ask.body)?.is_met_by(found.version.id, found.version.version);
    (is_met && !is_elsewhere).then_some(found)
}

/// The same where nothing may be registered.
pub(super) fn held_by(answer: &Answer, served: &QualifiedSubject, ask: &Ask) -> Option<Listed> {
    let asked = Asked::read(&ask.body)?;
    found_by(answer, served, ask).filter(|found| !is_inherited(&found.version, &asked))
}

/// Whether a version was only found with the metadata and rules of the latest one, and so is not there already. What
/// the registry finds by comparing it shows with its time, and then a version's number is no difference (WIRE.md § 7.2).
fn is_inherited(found: &Version, asked: &Asked) -> bool {
    let numbered = format!(r#"{{"properties":{{"confluent:version":"{}"}}}}"#, found.version);
    let is_merely_numbered = found.metadata.as_deref().is_some_and(|metadata| metadata.get() == numbered);
    has_more(found, asked) && !(found.ts.is_some() && is_merely_numbered && found.rule_set.is_none())
}

/// Whether a version has metadata or rules where none were sent.
fn has_more(found: &Version, asked: &Asked) -> bool {
    (found.metadata.is_some() && asked.metadata().is_none()) || (found.rule_set.is_some() && asked.rule_set().is_none())
}

/// What a registration answers with that a lookup found: with a time if that had one.
pub(super) fn registered_as(found: &Listed, form: Form) -> Vec<u8> {
    let record = if found.version.ts.is_some() { Record::Stored } else { Record::Asked };
    registered(&found.version, form, record)
}

/// Whether a lookup found for certain that there is no such subject, or no such schema in it.
pub(super) fn is_absence(answer: &Answer) -> bool {
    answer.status == StatusCode::NOT_FOUND && matches!(answer.error_code(), Some(40401 | 40403))
}

/// What may have been deleted is not there for certain, unless there is nobody to ask.
fn bearable(trusting: bool) -> Doubt {
    if trusting { Doubt::Undecided } else { Doubt::Incomplete }
}
