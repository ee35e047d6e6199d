//! Registering schemas and looking them up (WIRE.md § 1.2, § 1.15, § 2.2, § 5, § 7.2).

use schema_outpost::protocol::subject::QualifiedSubject;
use serde_json::Value;

use crate::body::{Expected, Members};
use crate::call::{Call, Reply};
use crate::compatibility;
use crate::failure::{Failure, Outcome};
use crate::model::{Content, Metadata, Stored};
use crate::print::{self, Extras};
use crate::schema::{self, Reading, Sent};
use crate::state::{Config, Filter, State};
use crate::tags::{self, TagChanges};

/// A registration.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    pub(crate) sent: Sent,
    /// 0 for the next one, -1 to append.
    pub(crate) version: i32,
    /// Negative for the registry to choose.
    pub(crate) id: i32,
    pub(crate) tags: TagChanges,
    /// Whether the tags of the latest version are to be kept.
    pub(crate) propagates: bool,
}

impl Registration {
    /// Whether it is about tags, which makes it a new version that carries its number.
    fn is_about_tags(&self) -> bool {
        self.propagates || !self.tags.is_empty()
    }
}

impl Registration {
    pub(crate) fn read(call: &Call<'_>, argument: &'static str) -> Outcome<Self> {
        Self::from_members(&Members::read(call.body, Expected { class: "RegisterSchemaRequest", argument })?)
    }

    /// A registration inside another request.
    pub(crate) fn of(value: &Value) -> Outcome<Self> {
        Self::from_members(&Members::of(value, "RegisterSchemaRequest")?)
    }

    fn from_members(members: &Members) -> Outcome<Self> {
        let rule_set = members.rule_set("ruleSet")?;
        let sent = Sent {
            schema_type: members.text("schemaType")?,
            text: members.text("schema")?,
            references: members.references()?,
            metadata: members.metadata("metadata")?,
            rule_set,
        };
        Ok(Self {
            sent,
            version: members.number("version")?.unwrap_or(0),
            id: members.number("id")?.unwrap_or(-1),
            tags: TagChanges::read(members, ["schemaTagsToAdd", "schemaTagsToRemove"])?,
            propagates: members.flag("propagateSchemaTags")? == Some(true),
        })
    }
}

/// A schema that was found under a subject.
struct Hit {
    stored: Stored,
    /// Whether the answer is the stored object, with its times, or made from the request.
    from_store: bool,
}

impl Hit {
    fn extras(&self) -> Extras<'_> {
        if self.from_store { Extras::of(&self.stored) } else { Extras::default() }
    }
}

/// `POST /subjects/{s}`
pub(crate) fn look_up(state: &State, call: &Call<'_>) -> Outcome<Reply> {
    let subject = call.subject(state);
    let mut asked = Registration::read(call, "lookUpSchemaUnderSubject.arg5")?;
    let had_rules = asked.sent.rule_set.is_some();
    asked.sent.rule_set = asked.sent.rule_set.filter(|_| call.profile.keeps_rules());
    let filter = Filter::of(call.flag("deleted"));
    let places = std::iter::once(subject.clone()).chain(state.elsewhere(&subject, filter));
    for place in places {
        let normalize = call.flag("normalize") || state.config(&place).normalize == Some(true);
        let how = reading(normalize, filter);
        // What is never stored can never be found.
        if had_rules && asked.sent.rule_set.is_none() {
            schema::canonicalize(state, &place, &asked.sent, how)?;
            continue;
        }
        if let Some(hit) = find_inheriting(state, &place, &asked.sent, (how, filter))? {
            let format = schema::formatted(state, &place, &hit.stored.content, call.parameter("format"))?;
            let extras = Extras { text: format.as_deref(), ..hit.extras() };
            return Ok(Reply::ok(print::schema(&hit.stored, &extras, call.shape)));
        }
    }
    if state.has_versions(&subject, filter) {
        return Err(Failure::schema_not_found());
    }
    Err(Failure::subject_not_found(&subject.to_string()))
}

fn reading(normalize: bool, references: Filter) -> Reading {
    Reading { normalize, references }
}

/// Looks for the schema as sent, then with what a registration would inherit from the latest version.
fn find_inheriting(
    state: &State,
    subject: &QualifiedSubject,
    sent: &Sent,
    (how, filter): (Reading, Filter),
) -> Outcome<Option<Hit>> {
    let content = schema::canonicalize(state, subject, sent, how)?;
    if let Some(hit) = find(state, subject, &content, filter) {
        return Ok(Some(hit));
    }
    let Some(latest) = state.latest(subject) else { return Ok(None) };
    let mut content = content;
    if !inherit(&state.config(subject), &mut content, Some(&latest.content)) {
        return Ok(None);
    }
    Ok(find(state, subject, &content, filter))
}

/// Looks for a content: by its hash, then by comparing with every version, the newest first.
fn find(state: &State, subject: &QualifiedSubject, content: &Content, filter: Filter) -> Option<Hit> {
    if content.text.is_empty() {
        return None;
    }
    let space = state.spaces.get(subject.context.as_str())?;
    let held = space.ids.of(&content.guid()).and_then(|id| {
        let version = space.ids.held_by(id, &subject.to_string())?;
        let stored = state.version(subject, version, filter)?;
        Some(Stored { id, content: content.clone(), ..stored.clone() })
    });
    if let Some(stored) = held {
        return Some(Hit { stored, from_store: false });
    }
    let mut versions = state.versions(subject).rev().filter(|stored| filter.admits(stored));
    let stored = versions.find(|stored| schema::avro::same(state, subject, content, stored))?;
    Some(Hit { stored: stored.clone(), from_store: true })
}

/// `POST /subjects/{s}/versions`
pub(crate) fn register(state: &mut State, call: &Call<'_>) -> Outcome<Reply> {
    let subject = call.subject(state);
    check_subject(&subject, &call.operation.subject_text)?;
    let mut asked = Registration::read(call, "register.arg5")?;
    if !call.profile.keeps_rules() {
        asked.sent.rule_set = None;
    }
    if call.profile.gives_own_ids() {
        (asked.id, asked.version) = (-1, 0);
    }
    let sent = (asked.sent.metadata.clone(), asked.sent.rule_set.clone());
    let (stored, from_store) = put(state, call, &subject, asked)?;
    let format = schema::formatted(state, &subject, &stored.content, call.parameter("format"))?;
    let extras = if from_store { Extras::of(&stored) } else { Extras::default() };
    let extras = Extras { text: format.as_deref(), ..extras };
    let became_another = (&stored.content.metadata, &stored.content.rule_set) != (&sent.0, &sent.1);
    Ok(Reply::ok(print::registered(&stored, &extras, call.shape.of_registration(became_another))))
}

pub(crate) fn check_subject(subject: &QualifiedSubject, shown: &str) -> Outcome<()> {
    let reserved = matches!(&*subject.subject, "__GLOBAL" | "__EMPTY") || subject.context.as_str() == ".__GLOBAL";
    if reserved || shown.chars().any(char::is_control) {
        return Err(Failure::invalid_subject(shown));
    }
    Ok(())
}

/// Registers a schema, or finds it registered; says whether the result is the object of the store.
pub(crate) fn put(
    state: &mut State,
    call: &Call<'_>,
    subject: &QualifiedSubject,
    mut asked: Registration,
) -> Outcome<(Stored, bool)> {
    let config = state.config(subject);
    let normalize = call.flag("normalize") || config.normalize == Some(true);
    if !asked.is_about_tags()
        && !config.shapes_schemas()
        && let Some(hit) = already(state, subject, &asked, normalize)?
    {
        return Ok((hit.stored, hit.from_store));
    }
    if !call.profile.gives_own_ids() {
        state.check_registrable(subject, asked.id)?;
    }
    if subject.context.is_default() && subject.is_bare_context() {
        return Err(Failure::new(500, 50002, "Register operation timed out"));
    }
    let imports = asked.id >= 0;
    let next = next_version(state, subject);
    if imports {
        let content = schema::canonicalize(state, subject, &asked.sent, reading(false, Filter::All))?;
        return import(state, call, subject, (asked, content, next));
    }
    let live: Vec<Stored> = state.listed(subject).rev().filter(|stored| !stored.deleted).cloned().collect();
    if asked.sent.is_blank() {
        let latest = live.first().ok_or_else(|| Failure::invalid_schema("Empty schema"))?;
        let own = asked.sent;
        asked.sent = Sent { metadata: own.metadata, rule_set: own.rule_set, ..Sent::of(&latest.content) };
    }
    let mut content = schema::canonicalize(state, subject, &asked.sent, reading(normalize, Filter::Live))?;
    tags::apply(&mut content, &asked.tags)?;
    inherit(&config, &mut content, live.first().map(|stored| &stored.content));
    let numbered = content.metadata.as_ref().is_some_and(|metadata| metadata.confluent_version().is_some());
    if asked.version != 0 || asked.is_about_tags() || numbered {
        content.metadata = Some(Metadata::with_version(content.metadata, next));
    }
    if asked.version == 0
        && let Some(hit) = find(state, subject, &content, Filter::Live).filter(|hit| !hit.from_store)
    {
        return Ok((hit.stored, false));
    }
    compatibility::check(state, (subject, &config), &content, &live, call.profile)?;
    if asked.version > 0 && asked.version != next {
        return Err(Failure::invalid_schema("Version is not one more than previous version"));
    }
    let space = state.space(&subject.context);
    let id = space.ids.of(&content.guid()).unwrap_or_else(|| space.ids.next());
    let stored = Stored { subject: subject.to_string(), version: next, id, content, ts: call.now, deleted: false };
    Ok((keep(state, subject, stored), false))
}

/// The schema as it is registered already, when that is all the request asks for (WIRE.md § 2.2).
fn already(state: &State, subject: &QualifiedSubject, asked: &Registration, normalize: bool) -> Outcome<Option<Hit>> {
    let references = if asked.id >= 0 { Filter::All } else { Filter::Live };
    let content = schema::canonicalize(state, subject, &asked.sent, reading(normalize, references))?;
    let Some(hit) = find(state, subject, &content, Filter::Live) else { return Ok(None) };
    let (id, version) = (hit.stored.id, hit.stored.version);
    let fits = match asked.version {
        0 => asked.id < 0 || asked.id == id,
        -1 => (asked.id < 0 || asked.id == id) && state.latest(subject).is_some_and(|latest| latest.version == version),
        wanted => asked.id == id && wanted == version,
    };
    if fits {
        return Ok(Some(hit));
    }
    // An older version that has the same id and content.
    let older = state.version(subject, asked.version, Filter::Live);
    let older = older.filter(|older| asked.id == id && older.id == id && older.content.guid() == content.guid());
    Ok(older.map(|older| Hit { stored: older.clone(), from_store: true }))
}

/// Stores a schema under the id and version it comes with.
fn import(
    state: &mut State,
    call: &Call<'_>,
    subject: &QualifiedSubject,
    (asked, content, next): (Registration, Content, i32),
) -> Outcome<(Stored, bool)> {
    let space = state.space(&subject.context);
    let holder = space.ids.holders(asked.id).first().map(|(holder, version)| ((*holder).to_owned(), *version));
    if let Some((holder, version)) = holder {
        let holder = QualifiedSubject::parse(&holder);
        let held = state.version(&holder, version, Filter::All);
        if held.is_some_and(|held| held.content.guid() != content.guid()) {
            let context = subject.context.prefix();
            return Err(Failure::not_permitted(format!(
                "Overwrite new schema with id {} in context {context} is not permitted.",
                asked.id
            )));
        }
    }
    let version = if asked.version > 0 { asked.version } else { next };
    let subject_text = subject.to_string();
    let stored = Stored { subject: subject_text, version, id: asked.id, content, ts: call.now, deleted: false };
    Ok((keep(state, subject, stored), false))
}

/// Stores a version, and removes the soft-deleted ones that it replaces.
fn keep(state: &mut State, subject: &QualifiedSubject, stored: Stored) -> Stored {
    state.put(subject, stored.clone());
    let replaced = |other: &&Stored| other.deleted && other.id == stored.id && other.version < stored.version;
    let replaced: Vec<i32> = state.versions(subject).filter(replaced).map(|other| other.version).collect();
    for version in replaced {
        if state.referrers(subject, version, Filter::All).is_empty() {
            state.remove(subject, version);
        }
    }
    stored
}

pub(crate) fn next_version(state: &State, subject: &QualifiedSubject) -> i32 {
    let last = state.listed(subject).map(|stored| stored.version).max();
    last.unwrap_or(0) + 1
}

/// Fills in metadata and rules from the latest version and the configuration; says whether that changed anything.
fn inherit(config: &Config, content: &mut Content, latest: Option<&Content>) -> bool {
    let own = content.metadata.clone().or_else(|| latest.and_then(|latest| latest.metadata.clone()));
    let merged = Metadata::merged(config.default_metadata.as_ref(), own.as_ref());
    let metadata = Metadata::merged(merged.as_ref(), config.override_metadata.as_ref());
    let own = content.rule_set.clone().or_else(|| latest.and_then(|latest| latest.rule_set.clone()));
    let rules = config.override_rule_set.clone().or(own).or_else(|| config.default_rule_set.clone());
    let changed = metadata != content.metadata || rules != content.rule_set;
    content.metadata = metadata;
    content.rule_set = rules;
    changed
}
