//! What an answer of the primary proves about its state (DESIGN.md, The replica).
//!
//! What it proves is applied; what it only hints at is read again.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use crate::protocol::endpoints::Route;
use crate::protocol::operation::Operation;
use crate::protocol::schema::Listed;
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::replica::answer::Asked;
use crate::replica::{Change, Remembered, Replica, Scope, Snapshot, Ticket, behind_alias, config_key, served_subject};
use crate::upstream::Answer;

/// What a write may have changed, worked out before it is sent.
#[derive(Debug)]
pub(super) struct Effects {
    /// From before the write is sent.
    pub(super) asked: Ticket,
    route: Route,
    subject: QualifiedSubject,
    permanent: bool,
    /// Whether the answer names all that changes; else it is read again.
    provable: bool,
    scopes: Vec<Scope>,
    /// The numbers and ids of the subject's versions before the write.
    before: Vec<(i32, i32, bool)>,
}

impl Effects {
    pub(super) fn of(operation: &Operation, body: &Bytes, replica: &Replica) -> Self {
        let asked = replica.ticket();
        let snapshot = &*replica.snapshot();
        let subject = served_subject(snapshot, operation);
        let versions = snapshot.subject(&subject);
        let before = versions
            .map(|state| state.versions.iter().map(|version| (version.version, version.id, version.deleted)).collect());
        let known =
            snapshot.is_sure() || !snapshot.doubts().any(|(scope, _)| *scope == Scope::Subject(subject.clone()));
        let provable = known
            && match operation.route {
                Route::Register => {
                    operation.query.get("format").is_none_or(str::is_empty)
                        && Asked::read(body).is_some_and(|asked| asked.is_plain_registration())
                }
                Route::DeleteSubject | Route::DeleteVersion => before.is_some(),
                _ => false,
            };
        let scopes = touched(operation, &subject, body, snapshot);
        let permanent = operation.query.flag("permanent");
        Self { asked, route: operation.route, subject, permanent, provable, scopes, before: before.unwrap_or_default() }
    }

    /// The scopes that a write like this can have changed.
    pub(super) fn scopes(&self) -> Vec<Scope> {
        self.scopes.clone()
    }

    /// What the answer proves, if it proves everything.
    pub(super) fn proven(&self, answer: &Answer) -> Option<Vec<Change>> {
        if !self.provable {
            return None;
        }
        match self.route {
            Route::Register => self.registered(answer),
            Route::DeleteSubject => {
                let numbers: Vec<i32> = serde_json::from_slice(&answer.body).ok()?;
                self.deleted(&numbers, true)
            }
            Route::DeleteVersion => {
                let number: i32 = serde_json::from_slice(&answer.body).ok()?;
                self.deleted(&[number], false)
            }
            _ => None,
        }
    }

    /// What of a scope is certainly gone for good, even where the rest of it is not known.
    pub(super) fn purged(&self, answer: &Answer, scope: &Scope) -> Vec<Change> {
        if !self.permanent || *scope != Scope::Subject(self.subject.clone()) {
            return Vec::new();
        }
        let one = |body: &Bytes| serde_json::from_slice::<i32>(body).ok().map(|number| vec![number]);
        let numbers = match self.route {
            Route::DeleteSubject => serde_json::from_slice(&answer.body).ok(),
            Route::DeleteVersion => one(&answer.body),
            _ => None,
        };
        let purge = |version| Change::Purge { subject: self.subject.clone(), version };
        numbers.unwrap_or_default().into_iter().map(purge).collect()
    }

    /// The answer of 8.x shows the whole version; one that says only the id proves too little.
    fn registered(&self, answer: &Answer) -> Option<Vec<Change>> {
        let listed: Listed = serde_json::from_slice(&answer.body).ok()?;
        let version = listed.version;
        // A lookup that stands in for a lost answer names the subject, which an alias may have led to.
        let is_ours = listed.subject.is_none_or(|name| QualifiedSubject::parse(&name) == self.subject);
        // Registering a soft-deleted schema again buries the old version with its id (WIRE.md § 6).
        let buries = self.before.iter().any(|(_, id, deleted)| *deleted && *id == version.id);
        // The next number can only be another one if somebody else wrote, or deleted for good.
        let highest = self.before.iter().map(|(number, ..)| *number).max().unwrap_or(0);
        let is_known = self.before.iter().any(|(number, id, _)| (*number, *id) == (version.version, version.id));
        let follows = Some(version.version) == highest.checked_add(1) || is_known;
        (is_ours && !buries && follows && !version.text.is_empty())
            .then(|| vec![Change::Version { subject: self.subject.clone(), version }])
    }

    fn deleted(&self, numbers: &[i32], whole: bool) -> Option<Vec<Change>> {
        if !numbers.iter().all(|number| self.before.iter().any(|(known, ..)| known == number)) {
            return None;
        }
        let subject = self.subject.clone();
        if !self.permanent {
            return Some(vec![Change::SoftDelete { subject, versions: numbers.to_vec() }]);
        }
        let is_last = whole || self.before.iter().all(|(known, ..)| numbers.contains(known));
        if !is_last {
            return numbers
                .iter()
                .map(|number| Some(Change::Purge { subject: subject.clone(), version: *number }))
                .collect();
        }
        let forget = settings(&subject).map(|key| Change::Remember { key: Arc::from(key), answer: None });
        Some([Change::Subject { subject, versions: Vec::new() }].into_iter().chain(forget).collect())
    }
}

/// The keys of a subject's own configuration and mode, which it loses with its last version (WIRE.md § 6).
fn settings(subject: &QualifiedSubject) -> [String; 2] {
    let config = config_key(subject);
    let mode = config.replacen("/config", "/mode", 1);
    [config, mode]
}

fn touched(operation: &Operation, subject: &QualifiedSubject, body: &Bytes, snapshot: &Snapshot) -> Vec<Scope> {
    match operation.route {
        Route::Register | Route::ModifyTags => vec![Scope::Subject(subject.clone())],
        Route::DeleteSubject | Route::DeleteVersion => {
            let own = settings(subject).map(Arc::from).into_iter();
            let lost = own.filter(|key| operation.query.flag("permanent") && snapshot.remembered(key).is_some());
            [Scope::Subject(subject.clone())].into_iter().chain(lost.map(Scope::Remembered)).collect()
        }
        Route::UpdateGlobalConfig
        | Route::DeleteGlobalConfig
        | Route::UpdateSubjectConfig
        | Route::DeleteSubjectConfig => configs(&operation.subject, snapshot),
        Route::DeleteContext => vec![Scope::Contexts],
        Route::CreateAssociation
        | Route::UpdateAssociation
        | Route::BatchMutateAssociations
        | Route::DeleteAssociations => {
            let mut scopes = vec![Scope::Associations, Scope::Contexts];
            scopes.extend(associated(operation, body, snapshot));
            scopes
        }
        // Keys are never kept here.
        Route::DekWrite => Vec::new(),
        _ => vec![Scope::All],
    }
}

/// The remembered configurations that a change of one shows in: its own, and for a context also what
/// is in scope there. Registries that give every subject the inherited one show it everywhere.
fn configs(subject: &QualifiedSubject, snapshot: &Snapshot) -> Vec<Scope> {
    let own = config_key(subject);
    let mut keys: Vec<String> = vec![own.clone()];
    if subject.is_bare_context() {
        keys.push(format!("{own}?defaultToGlobal=true"));
        let inherits = |key: &&Arc<str>| key.starts_with("/config") && key.ends_with("?defaultToGlobal=true");
        if subject.context == Context::global() {
            keys.extend(snapshot.remembered_keys().filter(inherits).map(ToString::to_string));
        }
        if snapshot.profile() == Some(crate::protocol::shape::Profile::Confluent7) {
            let shown = |key: &&Arc<str>| snapshot.remembered(key).is_some_and(|answer| answer.status == 200);
            keys.extend(
                snapshot
                    .remembered_keys()
                    .filter(|key| key.starts_with("/config/"))
                    .filter(shown)
                    .map(ToString::to_string),
            );
        }
    }
    keys.sort();
    keys.dedup();
    keys.into_iter().map(|key| Scope::Remembered(Arc::from(key))).collect()
}

/// The subjects that a change of associations names, with what those stand for that are aliases, or that those hold
/// which it removes.
fn associated(operation: &Operation, body: &Bytes, snapshot: &Snapshot) -> Vec<Scope> {
    fn walk(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => members.iter().for_each(|(key, member)| match member {
                Value::String(name) if key == "subject" => found.push(name.clone()),
                _ => walk(member, found),
            }),
            Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
            _ => {}
        }
    }
    let mut names = Vec::new();
    if let Ok(value) = serde_json::from_slice(body) {
        walk(&value, &mut names);
    }
    let context = QualifiedSubject::parse(operation.query.get("context").unwrap_or_default()).context;
    let mut subjects: Vec<_> = names.iter().map(|name| QualifiedSubject::parse_in(name, &context)).collect();
    let targets: Vec<_> = subjects.iter().map(|subject| behind_alias(snapshot, subject)).collect();
    subjects.extend(targets);
    let resource = operation.name();
    let held = snapshot.associations().unwrap_or_default().iter().filter(|held| held.resource_id == resource);
    subjects.extend(held.map(|held| QualifiedSubject::parse(&held.subject)));
    if subjects.is_empty() {
        return vec![Scope::All];
    }
    subjects.sort();
    subjects.dedup();
    subjects.into_iter().map(Scope::Subject).collect()
}

/// Whether a 2xx to a write is one: complete, and of the shape that such an answer has (C1).
pub(super) fn is_whole(route: Route, answer: &Answer) -> bool {
    #[derive(Deserialize)]
    struct Id {
        #[allow(dead_code, reason = "that it can be read is the point")]
        id: i32,
    }
    let says_nothing = answer.status == StatusCode::NO_CONTENT && answer.body.is_empty();
    match route {
        Route::Register | Route::ModifyTags => serde_json::from_slice::<Id>(&answer.body).is_ok(),
        Route::DeleteSubject => serde_json::from_slice::<Vec<i32>>(&answer.body).is_ok(),
        Route::DeleteVersion => serde_json::from_slice::<i32>(&answer.body).is_ok(),
        Route::UnknownWrite => true,
        _ if says_nothing => true,
        _ => serde_json::from_slice::<serde::de::IgnoredAny>(&answer.body).is_ok(),
    }
}

/// Whether an answer to a read can be the registry's own. Whatever stands before it answers with a
/// page when it cannot reach it, and "not found" on such a page is no absence (C4b).
pub(super) fn is_registrys(operation: &Operation, answer: &Answer) -> bool {
    if operation.method == http::Method::HEAD || answer.headers.contains_key(http::header::CONTENT_ENCODING) {
        return true;
    }
    let is_text = matches!(operation.route, Route::VersionText | Route::SchemaTextById);
    let is_everywhere = is_text
        || matches!(
            operation.route,
            Route::Subjects
                | Route::Versions
                | Route::Version
                | Route::Lookup
                | Route::SchemaById
                | Route::SubjectConfig
        );
    match answer.status {
        _ if !is_everywhere => true,
        StatusCode::NOT_FOUND => answer.error_code().is_some(),
        StatusCode::OK if !is_text => serde_json::from_slice::<serde::de::IgnoredAny>(&answer.body).is_ok(),
        _ => true,
    }
}

/// What a configuration read through teaches: the primary's word, or that there is none.
pub(super) fn remember_config(operation: &Operation, answer: &Answer) -> Option<Change> {
    let own = config_key(&operation.subject);
    let in_scope = operation.query.flag("defaultToGlobal");
    let key = match (in_scope, operation.subject.is_bare_context()) {
        (false, _) => own,
        (true, true) => format!("{own}?defaultToGlobal=true"),
        // What is in scope of a subject is made of two answers; one of them alone proves neither.
        (true, false) => return None,
    };
    let remembered = Remembered { status: answer.status.as_u16(), body: answer.body.clone() };
    let is_unset = remembered.status == 404 && remembered.error_code() == Some(40408);
    // An answer to HEAD has no body, and a page of a balancer is no configuration.
    let is_object = serde_json::from_slice::<serde_json::Map<String, Value>>(&answer.body).is_ok();
    let is_plain = !answer.headers.contains_key(http::header::CONTENT_ENCODING);
    ((remembered.status == 200 || is_unset) && is_plain && is_object)
        .then(|| Change::Remember { key: Arc::from(key), answer: Some(remembered) })
}
