//! Schemas by id, by GUID, and all of them (WIRE.md § 1.5 to § 1.9, § 3.7).

use schema_outpost::protocol::json::{Object, push_array};
use schema_outpost::protocol::order;
use schema_outpost::protocol::subject::{Context, QualifiedSubject, SubjectPrefix};
use schema_outpost::protocol::target::java_int;

use crate::associations;
use crate::call::{Call, Reply};
use crate::failure::{Failure, Outcome};
use crate::model::Stored;
use crate::print::{self, Extras};
use crate::schema;
use crate::state::{Filter, State};
use crate::subjects;
use crate::tags;

const PAGE: usize = 1000;
const ANY_NUMBER: usize = i32::MAX as usize;

/// What an id leads to.
struct Key {
    subject: QualifiedSubject,
    version: i32,
}

fn id(call: &Call<'_>) -> Outcome<i32> {
    java_int(call.operation.name()).ok_or_else(Failure::not_found)
}

/// The subject parameter, behind its alias. It is not normalised: `:.:s` is nobody's key (WIRE.md § 3.7), though its
/// configuration is found. What an alias leads to is.
fn asked(state: &State, call: &Call<'_>) -> (String, QualifiedSubject) {
    let text = call.parameter("subject");
    let named = QualifiedSubject::parse(text);
    let is_meant = !named.is_bare_context() || named.to_string() == text;
    let served = state.behind_alias(&named, &Context::default_context()).filter(|_| is_meant);
    served.map_or_else(|| (text.to_owned(), named), |served| (served.to_string(), served))
}

fn holder(state: &State, context: &Context, id: i32, name: Option<&str>) -> Option<Key> {
    let ids = &state.spaces.get(context.as_str())?.ids;
    let (holder, version) = match name {
        None => ids.holders(id).first().map(|(holder, version)| ((*holder).to_owned(), *version))?,
        Some(name) => (name.to_owned(), ids.held_by(id, name)?),
    };
    Some(Key { subject: QualifiedSubject::parse(&holder), version })
}

/// The steps of WIRE.md § 3.7.
fn resolve(state: &State, call: &Call<'_>, id: i32) -> Option<Key> {
    let (text, subject) = asked(state, call);
    if subject.is_bare_context() {
        return holder(state, &subject.context, id, None);
    }
    if let Some(key) = holder(state, &subject.context, id, Some(&text)) {
        return Some(key);
    }
    if !subject.context.is_default() {
        return None;
    }
    let others = state.context_names().into_iter().skip(1);
    let mut named = others.map(|context| (QualifiedSubject::new(context.clone(), &subject.subject), context));
    let elsewhere = named.find_map(|(name, context)| holder(state, &context, id, Some(&name.to_string())));
    elsewhere.or_else(|| holder(state, &subject.context, id, None))
}

fn stored<'a>(state: &'a State, key: &Key) -> Option<&'a Stored> {
    state.version(&key.subject, key.version, Filter::All)
}

/// `GET /schemas/ids/{id}`
pub(crate) fn by_id(state: &State, call: &Call<'_>) -> Outcome<Reply> {
    let id = id(call)?;
    let key = resolve(state, call, id).ok_or_else(|| Failure::named_schema_not_found(&id.to_string()))?;
    let stored = stored(state, &key).ok_or_else(Failure::internal)?;
    let text = schema::formatted(state, &key.subject, &stored.content, call.parameter("format"))?;
    let references = subjects::qualified(call, &key.subject, &stored.content.references);
    let tags = tags::found(&stored.content, call);
    let max = state.spaces.get(key.subject.context.as_str()).map(|space| space.ids.max);
    let extras = Extras {
        text: text.as_deref(),
        references: references.as_deref(),
        tags: tags.as_deref(),
        max_id: max.filter(|_| call.flag("fetchMaxId")),
        ..Extras::of(stored)
    };
    let place = Some((stored.subject.as_str(), stored.version));
    Ok(Reply::ok(print::schema_string(&stored.content, place, &extras, call.shape)))
}

/// `GET /schemas/ids/{id}/schema`; what is not there makes the registry stumble, not answer 404.
pub(crate) fn text_by_id(state: &State, call: &Call<'_>) -> Outcome<Reply> {
    let key = resolve(state, call, id(call)?).ok_or_else(Failure::internal)?;
    let stored = stored(state, &key).ok_or_else(Failure::internal)?;
    if stored.content.text.is_empty() {
        return Err(Failure::named_schema_not_found(&id(call)?.to_string()));
    }
    let text = schema::formatted(state, &key.subject, &stored.content, call.parameter("format"))?;
    Ok(subjects::raw(text.as_deref().unwrap_or(&stored.content.text)))
}

/// Who holds an id, in Java's order.
fn holders<'a>(state: &'a State, call: &Call<'_>) -> Outcome<Vec<(&'a str, i32)>> {
    let id = id(call)?;
    let key = resolve(state, call, id).ok_or_else(Failure::schema_not_found)?;
    let stored = stored(state, &key).ok_or_else(Failure::schema_not_found)?;
    let space = state.spaces.get(key.subject.context.as_str()).ok_or_else(Failure::schema_not_found)?;
    // The registry goes by the content: of several ids that one content was imported under, the last one counts.
    let id = space.ids.of(&stored.content.guid()).ok_or_else(Failure::schema_not_found)?;
    let deleted = call.flag("deleted");
    let shown = |(subject, version): &(&str, i32)| {
        let filter = Filter::of(deleted);
        state.version(&QualifiedSubject::parse(subject), *version, filter).is_some()
    };
    let holders = space.ids.holders(id).into_iter().filter(shown).collect();
    call.page(holders, ANY_NUMBER)
}

/// `GET /schemas/ids/{id}/subjects`
pub(crate) fn subjects_by_id(state: &State, call: &Call<'_>) -> Outcome<Reply> {
    let holders = holders(state, call)?;
    Ok(Reply::ok(print::texts(holders.into_iter().map(|(subject, _)| subject))))
}

/// `GET /schemas/ids/{id}/versions`
pub(crate) fn versions_by_id(state: &State, call: &Call<'_>) -> Outcome<Reply> {
    let holders = holders(state, call)?;
    let mut out = Vec::new();
    push_array(&mut out, holders, |out, (subject, version)| {
        let mut object = Object::open(out);
        object.text("subject", Some(subject)).number("version", Some(version.into()));
        object.close();
    });
    Ok(Reply::ok(out))
}

/// The ids of a GUID, each with its context.
fn ids_of_guid(state: &State, call: &Call<'_>) -> Vec<(Context, i32)> {
    let Ok(guid) = uuid::Uuid::try_parse(call.operation.name()) else { return Vec::new() };
    let guid = guid.to_string();
    let mut found = Vec::new();
    for (name, space) in &state.spaces {
        if let Some(id) = space.ids.ever_of(&guid) {
            found.push((Context::named(name), id));
        }
    }
    found
}

/// `GET /schemas/guids/{guid}`
pub(crate) fn by_guid(state: &State, call: &Call<'_>) -> Outcome<Reply> {
    let unknown = || Failure::named_schema_not_found(call.operation.name());
    let mut found = ids_of_guid(state, call);
    found.sort_by_key(|(context, _)| !context.is_default());
    let (context, id) = found.into_iter().next().ok_or_else(unknown)?;
    // A content that nobody holds any more makes the registry stumble.
    let key = holder(state, &context, id, None).ok_or_else(Failure::internal)?;
    let stored = stored(state, &key).ok_or_else(Failure::internal)?;
    let text = schema::formatted(state, &key.subject, &stored.content, call.parameter("format"))?;
    let extras = Extras { text: text.as_deref(), ..Extras::of(stored) };
    Ok(Reply::ok(print::schema_string(&stored.content, None, &extras, call.shape)))
}

/// `GET /schemas/guids/{guid}/ids`
pub(crate) fn ids_by_guid(state: &State, call: &Call<'_>) -> Reply {
    let mut out = Vec::new();
    push_array(&mut out, ids_of_guid(state, call), |out, (context, id)| {
        let mut object = Object::open(out);
        object.text("context", Some(context.as_str())).number("id", Some(id.into()));
        object.close();
    });
    Reply::ok(out)
}

/// `GET /schemas`
pub(crate) fn list(state: &State, call: &Call<'_>) -> Outcome<Reply> {
    let prefix = call.parameter("subjectPrefix");
    let filter = Filter::of(call.flag("deleted"));
    let mut subjects: Vec<(QualifiedSubject, Vec<String>)> = Vec::new();
    for subject in state.subjects(prefix) {
        subjects.push((subject, Vec::new()));
    }
    if call.flag("aliases") {
        add_alias_targets(state, prefix, &mut subjects);
    }
    subjects.sort_by(|left, right| order::compare(&left.0.to_string(), &right.0.to_string()));
    let mut found = Vec::new();
    for (subject, aliases) in &subjects {
        let versions = state.versions(subject).filter(|stored| filter.admits(stored));
        let versions: Vec<&Stored> = versions.collect();
        let skipped = if call.flag("latestOnly") { versions.len().saturating_sub(1) } else { 0 };
        found.extend(versions.into_iter().skip(skipped).map(|stored| (stored, aliases)));
    }
    let asked = associations::Filter::of_schemas(call)?;
    found.retain(|(stored, _)| has_rule(stored, call.parameter("ruleType")));
    let mut found: Vec<_> = found.into_iter().map(|(stored, aliases)| (stored, aliases, Vec::new())).collect();
    if asked.is_asked {
        found.retain_mut(|(stored, _, associations)| {
            let own = asked.of(state, &stored.subject);
            own.map(|own| *associations = own).is_some()
        });
    }
    let page = call.page(found, PAGE)?;
    let mut out = Vec::new();
    push_array(&mut out, page, |out, (stored, aliases, associations)| {
        if call.profile.gives_own_ids() {
            out.extend_from_slice(&print::anonymous(stored));
            return;
        }
        let extras = Extras { aliases, associations: &associations, ..Extras::of(stored) };
        out.extend_from_slice(&print::listed(stored, &extras, call.shape));
    });
    Ok(Reply::ok(out))
}

fn has_rule(stored: &Stored, rule_type: &str) -> bool {
    let rules = stored.content.rule_set.as_ref().map(|rules| rules.0.get());
    rule_type.is_empty() || rules.is_some_and(|rules| rules.contains(&format!("\"type\":\"{rule_type}\"")))
}

fn add_alias_targets(state: &State, prefix: &str, subjects: &mut Vec<(QualifiedSubject, Vec<String>)>) {
    let prefix = SubjectPrefix::parse(prefix);
    let mut names: Vec<&String> = state.configs.keys().collect();
    names.sort_by_key(|name| (name.starts_with(":."), *name));
    for name in names {
        let alias = QualifiedSubject::parse(name);
        let Some(target) = state.behind_alias(&alias, &alias.context) else { continue };
        let is_listed = state.context_names().contains(&alias.context);
        let is_reached = is_listed || !matches!(&prefix, SubjectPrefix::Everywhere(start) if !start.is_empty());
        if !is_reached || !prefix.admits(&alias.context) || !alias.subject.starts_with(prefix.start()) {
            continue;
        }
        match subjects.iter_mut().find(|(subject, _)| *subject == target) {
            Some((_, aliases)) => aliases.push(name.clone()),
            None => subjects.push((target, vec![name.clone()])),
        }
    }
}
