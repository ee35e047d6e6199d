//! What an answer of the primary shows that the replica does not: every later read must show it too (C5).

use std::sync::Arc;

use http::header::CONTENT_ENCODING;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use super::Proxy;
use super::apply::remember_config;
use super::ask::Ask;
use crate::protocol::endpoints::Route;
use crate::protocol::operation::Operation;
use crate::protocol::schema::SchemaType;
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::protocol::target::java_int;
use crate::replica::answer::Asked;
use crate::replica::{Change, ContextState, Doubt, Scope, Snapshot, Ticket, Urgency, config_key, served_subject};
use crate::upstream::Answer;

/// Subjects that are read again one by one; when more are new, everything is.
const ONE_BY_ONE: usize = 16;

/// What is to be read again.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Lesson {
    Scope(Scope),
    Id(Context, i32),
}

impl Lesson {
    fn subject(subject: QualifiedSubject) -> Self {
        Self::Scope(Scope::Subject(subject))
    }

    fn scope(&self) -> Scope {
        match self {
            Self::Scope(scope) => scope.clone(),
            Self::Id(context, _) => Scope::Context(context.clone()),
        }
    }
}

/// What an answer about versions says of each.
#[derive(Deserialize)]
struct Shown {
    subject: Option<String>,
    version: Option<i32>,
    id: Option<i32>,
}

impl Proxy {
    /// Takes over what a relayed answer shows, before the client sees it.
    pub(super) async fn learn(&self, operation: &Operation, answer: &Answer, ticket: Ticket, deadline: Instant) {
        if answer.headers.contains_key(CONTENT_ENCODING) {
            return;
        }
        let replica = &self.parties.replica;
        if matches!(operation.route, Route::GlobalConfig | Route::SubjectConfig) {
            if let Some(change) = remember_config(operation, answer)
                && let Err(failure) = replica.apply_reading(vec![change], ticket).await
            {
                tracing::error!(error = %failure, "a configuration could not be kept");
            }
            return;
        }
        if !answer.status.is_success() {
            return;
        }
        let lessons = lessons(operation, answer, &replica.snapshot());
        if lessons.len() > ONE_BY_ONE {
            self.distrust(Scope::All, Doubt::Unsure, Vec::new()).await;
            return self.reread_later(Scope::All);
        }
        for lesson in lessons {
            let reread = &self.parties.reread;
            let reading = match lesson.clone() {
                Lesson::Scope(scope) => reread.reread(scope, Urgency::Read),
                Lesson::Id(context, id) => reread.reread_id(context, id),
            };
            match timeout_at(deadline, reading).await {
                Ok(Ok(())) => {}
                Ok(Err(failure)) => {
                    tracing::warn!(scope = %failure.scope, error = %failure.cause, "could not take over what the primary showed");
                    self.distrust(lesson.scope(), Doubt::Unsure, Vec::new()).await;
                }
                Err(_) => self.distrust(lesson.scope(), Doubt::Unsure, Vec::new()).await,
            }
        }
    }

    /// Remembers as which text the primary stores a spelling that only it can print, so that the next
    /// client that sends it needs no primary.
    pub(super) async fn learn_spelling(&self, operation: &Operation, ask: &Ask, answer: &Answer) {
        let replica = &self.parties.replica;
        // What is imported is not normalised, and what is tagged is written into the text.
        let is_plain = |asked: &Asked| operation.shows_schema_as_stored() && asked.is_plain_registration();
        let Some(asked) = Asked::read(&ask.body).filter(is_plain) else { return };
        let Some(normalize) = self.normalizes(operation, ask, &asked).await else { return };
        let Some(spelling) = asked.spelling(normalize) else { return };
        let snapshot = replica.snapshot();
        if snapshot.stored_as(&spelling).is_some() {
            return;
        }
        let subject = served_subject(&snapshot, operation);
        let is_avro = asked.schema_type() == SchemaType::Avro;
        // In another context the id is another schema's, and the configuration another one.
        let is_here = |shown: &Understood| {
            let place = shown.subject.as_deref().map(QualifiedSubject::parse);
            place.is_none_or(|place| place.context == subject.context)
        };
        let shown = read::<Understood>(answer).filter(is_here);
        let Some(text) = shown.and_then(|shown| stored_text(&shown, is_avro, snapshot.context(&subject.context)?))
        else {
            return;
        };
        if let Err(failure) = replica.apply_reading(vec![Change::StoredAs(spelling, text)], replica.ticket()).await {
            tracing::warn!(error = %failure, "a spelling could not be kept");
        }
    }

    /// Whether the registry normalises the schema of the request. The configuration is asked for now, even if it
    /// is known: somebody may have changed it, and what is learnt in the wrong way would be wrong for ever.
    async fn normalizes(&self, operation: &Operation, ask: &Ask, asked: &Asked) -> Option<bool> {
        if operation.query.flag("normalize") {
            return Some(true);
        }
        // Of a text that is certain as it was sent there is nothing to learn that is worth the question.
        asked.spelling(false)?;
        let subject = served_subject(&self.parties.replica.snapshot(), operation);
        let own = config_key(&subject);
        let context = config_key(&QualifiedSubject::new(subject.context.clone(), ""));
        for key in [own, format!("{context}?defaultToGlobal=true")] {
            let reading = self.parties.reread.reread(Scope::Remembered(key.clone().into()), Urgency::Read);
            timeout_at(ask.read_deadline, reading).await.ok()?.ok()?;
            if self.parties.replica.snapshot().remembered(&key).is_some_and(|answer| answer.status == 200) {
                break;
            }
        }
        self.parties.replica.snapshot().config_normalizes(&subject)
    }

    /// Marks a scope as not to be believed until it has been read again, and takes from it what is
    /// certainly gone: an id that was deleted for good must not be read, however doubtful all else is.
    pub(super) async fn distrust(&self, scope: Scope, doubt: Doubt, gone: Vec<Change>) {
        if let Err(failure) = self.parties.replica.doubt(scope, doubt, gone).await {
            tracing::error!(error = %failure, "a doubt could not be kept");
        }
        self.parties.reread.nudge();
    }
}

/// What an answer says of the schema that was sent.
#[derive(Deserialize)]
struct Understood {
    subject: Option<String>,
    id: i32,
    guid: Option<String>,
    schema: Option<String>,
    ts: Option<i64>,
}

/// The text as which the primary stores what it was sent.
fn stored_text(shown: &Understood, is_avro: bool, context: &ContextState) -> Option<Arc<str>> {
    // What an id stands for may have become another text, that of a purged one which was imported anew; but releases
    // before 8.0 show no more of what they registered.
    if !is_avro && shown.guid.is_none() {
        let holder = context.holders(shown.id).first()?;
        return Some(context.held(holder)?.text.clone());
    }
    // Avro is also found by its meaning, and then the text found is another one than would be stored. Only
    // an answer that was made from the request shows no time; releases before 8.0 never show one.
    let is_made_from_request = shown.ts.is_none() && shown.guid.is_some();
    shown.schema.as_deref().filter(|_| is_made_from_request).map(Arc::from)
}

/// What of an answer is news to the replica.
fn lessons(operation: &Operation, answer: &Answer, snapshot: &Snapshot) -> Vec<Lesson> {
    let asked = Lesson::subject(operation.subject.clone());
    match operation.route {
        Route::Version | Route::Lookup | Route::LatestWithMetadata => match read::<Shown>(answer) {
            Some(shown) => news(&shown, &operation.subject, snapshot).into_iter().collect(),
            None => vec![asked],
        },
        Route::SchemaById => match read::<Shown>(answer).filter(|shown| shown.subject.is_some()) {
            Some(shown) => news(&shown, &operation.subject, snapshot).into_iter().collect(),
            None => unheld(operation, snapshot, |held| held > 0),
        },
        Route::SchemaTextById => unheld(operation, snapshot, |held| held > 0),
        Route::SubjectsById | Route::VersionsById => {
            let listed = read::<Vec<serde_json::Value>>(answer).map_or(usize::MAX, |list| list.len());
            unheld(operation, snapshot, |held| held >= listed)
        }
        Route::Versions => {
            let held = |number: i32| snapshot.version(&operation.subject, number).is_some();
            let known = |number: &i32| number.checked_abs().is_some_and(held);
            let all_known = read::<Vec<i32>>(answer).is_some_and(|numbers| numbers.iter().all(known));
            if all_known { Vec::new() } else { vec![asked] }
        }
        Route::VersionText | Route::ReferencedBy => {
            let known = java_int(operation.name()).and_then(|number| snapshot.version(&operation.subject, number));
            if known.is_some() { Vec::new() } else { vec![asked] }
        }
        Route::IdsByGuid => ids_of_guid(answer, snapshot),
        Route::Schemas => {
            let listed = read::<Vec<Shown>>(answer).unwrap_or_default();
            // Some registries list schemas without saying of which subject.
            let named = listed.iter().filter(|shown| shown.subject.is_some());
            let mut found: Vec<Lesson> = named.filter_map(|shown| news(shown, &operation.subject, snapshot)).collect();
            found.dedup();
            found
        }
        Route::Subjects => {
            let names = read::<Vec<String>>(answer).unwrap_or_default();
            let subjects = names.iter().map(|name| QualifiedSubject::parse(name));
            let is_new = |subject: &QualifiedSubject| snapshot.subject(subject).is_none();
            subjects.filter(is_new).map(Lesson::subject).collect()
        }
        Route::Contexts => vec![Lesson::Scope(Scope::Contexts)],
        Route::AssociationsBySubject | Route::AssociationsByResource | Route::AssociationsByName => {
            vec![Lesson::Scope(Scope::Associations)]
        }
        _ => Vec::new(),
    }
}

fn read<T: for<'de> Deserialize<'de>>(answer: &Answer) -> Option<T> {
    serde_json::from_slice(&answer.body).ok()
}

/// The subject of a version that the replica does not have as shown.
fn news(shown: &Shown, asked: &QualifiedSubject, snapshot: &Snapshot) -> Option<Lesson> {
    let subject = shown.subject.as_deref().map_or_else(|| asked.clone(), QualifiedSubject::parse);
    let known = shown.version.and_then(|number| snapshot.version(&subject, number));
    let same = known.is_some_and(|known| shown.id.is_none_or(|id| id == known.id));
    (!same).then(|| Lesson::subject(subject))
}

/// The id in the path, if the replica does not know enough holders of it.
fn unheld(operation: &Operation, snapshot: &Snapshot, enough: impl Fn(usize) -> bool) -> Vec<Lesson> {
    let context = QualifiedSubject::parse(operation.query.get("subject").unwrap_or_default()).context;
    let Some(id) = java_int(operation.name()) else { return Vec::new() };
    let held = snapshot.context(&context).map_or(0, |state| state.holders(id).len());
    if enough(held) { Vec::new() } else { vec![Lesson::Id(context, id)] }
}

fn ids_of_guid(answer: &Answer, snapshot: &Snapshot) -> Vec<Lesson> {
    #[derive(Deserialize)]
    struct Placed {
        context: String,
        id: i32,
    }
    let places: Vec<Placed> = read(answer).unwrap_or_default();
    let placed = places.into_iter().map(|placed| (Context::named(&placed.context), placed.id));
    let is_new =
        |(context, id): &(Context, i32)| snapshot.context(context).is_none_or(|state| state.holders(*id).is_empty());
    placed.filter(is_new).map(|(context, id)| Lesson::Id(context, id)).collect()
}
