//! Whether a schema may follow others (WIRE.md § 1.18).

mod avro;
mod json;
mod protobuf;

use schema_outpost::protocol::endpoints::Route;
use schema_outpost::protocol::json::{Object, push_array, push_string};
use schema_outpost::protocol::schema::SchemaType;
use schema_outpost::protocol::subject::QualifiedSubject;

use crate::call::{Call, Reply, Wanted};
use crate::failure::{Failure, Outcome};
use crate::model::{Content, Stored};
use crate::profile::Profile;
use crate::register::Registration;
use crate::schema::{self, Reading};
use crate::state::{Config, Filter, Level, State};

/// Fails with 409 when the content is not compatible with the live versions, the newest first.
pub(crate) fn check(
    state: &State,
    (subject, config): (&QualifiedSubject, &Config),
    content: &Content,
    live: &[Stored],
    profile: Profile,
) -> Outcome<()> {
    let details = incompatibilities(state, (subject, config), content, live);
    if details.is_empty() {
        return Ok(());
    }
    let message = format!(
        "Schema being registered is incompatible with an earlier schema for subject \"{subject}\", details: [{}]",
        details.join(", ")
    );
    Err(Failure::new(409, profile.incompatible_code(), message))
}

/// What stands against a content after some versions, the newest first; the last line names the configuration.
fn incompatibilities(
    state: &State,
    (subject, config): (&QualifiedSubject, &Config),
    content: &Content,
    live: &[Stored],
) -> Vec<String> {
    let level = config.effective_level();
    if level == Level::None {
        return Vec::new();
    }
    let group = |content: &Content| {
        let property = config.group.as_ref()?;
        content.metadata.as_ref()?.properties.as_ref()?.get(property).cloned()
    };
    let mine = group(content);
    let others = live.iter().filter(|stored| config.group.is_none() || group(&stored.content) == mine);
    let most = if level.is_transitive() { usize::MAX } else { 1 };
    for stored in others.take(most) {
        let Against { mut details, shows_old } = against(state, subject, (content, &stored.content), level);
        if details.is_empty() {
            continue;
        }
        if shows_old {
            details.push(format!("{{oldSchemaVersion: {}}}", stored.version));
            details.push(format!("{{oldSchema: '{}'}}", stored.content.text));
        }
        let validates = config.validate_fields.unwrap_or(false);
        details.push(format!("{{validateFields: '{validates}', compatibility: '{}'}}", level.as_str()));
        return details;
    }
    Vec::new()
}

struct Against {
    details: Vec<String>,
    /// Whether the old schema is told with them.
    shows_old: bool,
}

fn against(state: &State, subject: &QualifiedSubject, (new, old): (&Content, &Content), level: Level) -> Against {
    if new.schema_type != old.schema_type {
        let details = vec!["Incompatible because of different schema type".to_owned()];
        return Against { details, shows_old: false };
    }
    let compare = |reader: &Content, writer: &Content| match new.schema_type {
        SchemaType::Avro => avro::compare(state, subject, reader, writer),
        SchemaType::Json => json::compare(reader, writer),
        SchemaType::Protobuf | SchemaType::Other(_) => protobuf::compare(reader, writer),
    };
    let mut details = Vec::new();
    if level.is_forward() {
        details.extend(compare(old, new).into_iter().map(|detail| detail.told("old", "new")));
    }
    let forward = details.len();
    if level.is_backward() {
        details.extend(compare(new, old).into_iter().map(|detail| detail.told("new", "old")));
    }
    // Of both directions only the backward one tells the old schema.
    let shows_old = !(level.is_backward() && level.is_forward()) || details.len() > forward;
    Against { details, shows_old }
}

/// One reason against a schema.
pub(crate) struct Detail {
    /// Where `{reader}` and `{writer}` stand for the schema that reads and the one that was written with.
    text: String,
}

impl Detail {
    fn told(&self, reader: &str, writer: &str) -> String {
        self.text.replace("{reader}", reader).replace("{writer}", writer)
    }
}

/// `POST /compatibility/subjects/{s}/versions[/{v}]`
pub(crate) fn test(state: &State, call: &Call<'_>) -> Outcome<Reply> {
    let subject = call.subject(state);
    let all = call.route() == Route::TestCompatibilityAll;
    let argument = if all { "testCompatibilityForSubject.arg3" } else { "testCompatibilityBySubjectName.arg4" };
    let asked = Registration::read(call, argument)?;
    let live = if all {
        state.listed(&subject).rev().filter(|stored| !stored.deleted).cloned().collect()
    } else {
        versions_asked_for(state, call, &subject)?
    };
    let config = state.config(&subject);
    let normalize = call.flag("normalize") || config.normalize == Some(true);
    let content = if asked.sent.is_blank() {
        Err(Failure::invalid_schema("Empty schema"))
    } else {
        schema::canonicalize(state, &subject, &asked.sent, Reading { normalize, references: Filter::Live })
    };
    let verbose = call.flag("verbose");
    let messages = match content {
        Ok(content) => incompatibilities(state, (&subject, &config), &content, &live),
        Err(failure) if verbose => vec![failure.message],
        Err(failure) => return Err(failure),
    };
    let mut out = Vec::new();
    let mut object = Object::open(&mut out);
    object.flag("is_compatible", Some(messages.is_empty()));
    if verbose {
        push_array(object.key("messages"), &messages, |out, message| push_string(out, message));
    }
    object.close();
    Ok(Reply::ok(out))
}

fn versions_asked_for(state: &State, call: &Call<'_>, subject: &QualifiedSubject) -> Outcome<Vec<Stored>> {
    match call.version()? {
        Wanted::Latest => Ok(state.latest(subject).cloned().into_iter().collect()),
        Wanted::Number(number) => {
            let stored = state.version(subject, number, Filter::Live);
            stored.cloned().map(|stored| vec![stored]).ok_or_else(|| Failure::version_not_found(number))
        }
    }
}
