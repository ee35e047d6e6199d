//! Schemas, understood as far as storing and comparing them takes.

pub(crate) mod avro;
mod json;
pub(crate) mod protobuf;

use schema_outpost::protocol::schema::{Reference, SchemaType};
use schema_outpost::protocol::subject::QualifiedSubject;

use crate::failure::{Failure, Outcome};
use crate::model::{Content, Metadata, RuleSet, guid};
use crate::state::{Filter, State, resolve};

/// A schema as a request brings it.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) schema_type: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) references: Vec<Reference>,
    pub(crate) metadata: Option<Metadata>,
    pub(crate) rule_set: Option<RuleSet>,
}

impl Sent {
    /// Whether there is no text: the latest version's is meant, or nothing.
    pub(crate) fn is_blank(&self) -> bool {
        self.text.as_deref().is_none_or(|text| text.trim().is_empty())
    }

    pub(crate) fn of(content: &Content) -> Self {
        Self {
            schema_type: Some(content.schema_type.as_str().to_owned()),
            text: Some(content.text.clone()),
            references: content.references.clone(),
            metadata: content.metadata.clone(),
            rule_set: content.rule_set.clone(),
        }
    }
}

/// How a schema is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) normalize: bool,
    /// Imports may refer to soft-deleted versions.
    pub(crate) references: Filter,
}

/// A schema that a reference stands for.
#[derive(Clone, Debug)]
pub(crate) struct Referenced {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// Reads a schema into what is stored for it; the text is empty when the request had none.
pub(crate) fn canonicalize(
    state: &State,
    subject: &QualifiedSubject,
    sent: &Sent,
    reading: Reading,
) -> Outcome<Content> {
    let schema_type = match SchemaType::parse(sent.schema_type.as_deref()) {
        SchemaType::Other(name) => return Err(Failure::invalid_schema(format!("Invalid schema type {name}"))),
        known => known,
    };
    let mut references = sent.references.clone();
    if sent.is_blank() {
        return Ok(content(schema_type, String::new(), references, sent));
    }
    let text = sent.text.as_deref().unwrap_or_default();
    let resolved = dependencies(state, subject, &references, reading.references)
        .map_err(|why| unresolved(subject, &schema_type, sent, &why))?;
    let printed = match schema_type {
        SchemaType::Avro => avro::canonical(text, &resolved, reading.normalize),
        SchemaType::Json => json::canonical(text, &resolved, reading.normalize),
        SchemaType::Protobuf | SchemaType::Other(_) => protobuf::canonical(text, &resolved, reading.normalize),
    };
    let text = printed.map_err(|why| why.failure(subject, &schema_type, sent))?;
    for reference in &mut references {
        if reference.version == Some(-1) {
            let target = resolve(reference.subject.as_deref().unwrap_or_default(), &subject.context);
            reference.version = state.latest(&target).map(|latest| latest.version);
        }
    }
    if reading.normalize {
        references.sort_by(|left, right| sort_key(left).cmp(&sort_key(right)));
        references.dedup();
    }
    Ok(content(schema_type, text, references, sent))
}

fn sort_key(reference: &Reference) -> (&str, &str, i32) {
    let (name, subject) = (reference.name.as_deref(), reference.subject.as_deref());
    (name.unwrap_or_default(), subject.unwrap_or_default(), reference.version.unwrap_or_default())
}

fn content(schema_type: SchemaType, text: String, references: Vec<Reference>, sent: &Sent) -> Content {
    Content { schema_type, text, references, metadata: sent.metadata.clone(), rule_set: sent.rule_set.clone() }
}

/// Why a schema is not taken.
#[derive(Clone, Debug)]
pub(crate) enum Unreadable {
    /// The text is no schema; the reason in the words of the parser.
    Parser(String),
    /// The text is one, but not a valid one.
    Invalid(String),
}

impl Unreadable {
    fn failure(&self, subject: &QualifiedSubject, schema_type: &SchemaType, sent: &Sent) -> Failure {
        Failure::invalid_schema(match (self, schema_type) {
            (Self::Parser(why) | Self::Invalid(why), SchemaType::Avro) => avro_refusal(subject, sent, why),
            (Self::Parser(why), _) => doubly(schema_type, why),
            (Self::Invalid(why), _) => {
                format!("Invalid schema {}, details: {why}", described(subject, schema_type, sent, "version=0,id=-1"))
            }
        })
    }
}

fn doubly(schema_type: &SchemaType, why: &str) -> String {
    format!("Invalid schema of type {schema_type}, details: Invalid schema of type {schema_type}, details: {why}")
}

fn avro_refusal(subject: &QualifiedSubject, sent: &Sent, why: &str) -> String {
    let described = described(subject, &SchemaType::Avro, sent, "version=null,id=null");
    let list = described_references(&sent.references);
    format!(
        "Invalid schema of type AVRO, details: Invalid schema {described} with refs {list} of type AVRO, details: {why}"
    )
}

/// A schema as Java prints it in messages.
fn described(subject: &QualifiedSubject, schema_type: &SchemaType, sent: &Sent, numbers: &str) -> String {
    let text = sent.text.as_deref().unwrap_or_default();
    let guid = guid(text, &sent.references, sent.metadata.as_ref(), sent.rule_set.as_ref());
    let list = described_references(&sent.references);
    format!(
        "{{subject={subject},{numbers},guid={guid},schemaType={schema_type},references={list},metadata=null,\
         ruleSet=null,schema={text},schemaTags=null,ts=null,deleted=null}}"
    )
}

fn described_references(references: &[Reference]) -> String {
    let null = || "null".to_owned();
    let one = |reference: &Reference| {
        let name = reference.name.clone().unwrap_or_else(null);
        let subject = reference.subject.clone().unwrap_or_else(null);
        let version = reference.version.map_or_else(null, |version| version.to_string());
        format!("{{name='{name}', subject='{subject}', version={version}}}")
    };
    format!("[{}]", references.iter().map(one).collect::<Vec<_>>().join(", "))
}

fn unresolved(subject: &QualifiedSubject, schema_type: &SchemaType, sent: &Sent, why: &str) -> Failure {
    Failure::invalid_schema(match schema_type {
        SchemaType::Avro => avro_refusal(subject, sent, why),
        _ => doubly(schema_type, why),
    })
}

/// Every schema that the references lead to, the deepest first.
pub(crate) fn dependencies(
    state: &State,
    subject: &QualifiedSubject,
    references: &[Reference],
    filter: Filter,
) -> Result<Vec<Referenced>, String> {
    let mut found = Vec::new();
    let mut seen = Vec::new();
    collect(&Walk { state, filter }, subject, references, (&mut found, &mut seen))?;
    Ok(found)
}

struct Walk<'a> {
    state: &'a State,
    filter: Filter,
}

fn collect(
    walk: &Walk<'_>,
    referrer: &QualifiedSubject,
    references: &[Reference],
    (found, seen): (&mut Vec<Referenced>, &mut Vec<String>),
) -> Result<(), String> {
    for reference in references {
        let (Some(name), Some(written), Some(version)) = (&reference.name, &reference.subject, reference.version)
        else {
            let list = described_references(std::slice::from_ref(reference));
            return Err(format!("Invalid reference: {}", &list[1..list.len() - 1]));
        };
        let target = resolve(written, &referrer.context);
        if version == 0 || version < -1 {
            return Err(format!("io.confluent.kafka.schemaregistry.exceptions.InvalidVersionException: {version}"));
        }
        let stored =
            if version == -1 { walk.state.latest(&target) } else { walk.state.version(&target, version, walk.filter) };
        let Some(stored) = stored else {
            let shown = if target.context.is_default() { written.clone() } else { target.to_string() };
            return Err(format!("No schema reference found for subject \"{shown}\" and version {version}"));
        };
        if seen.contains(name) {
            continue;
        }
        seen.push(name.clone());
        let content = &stored.content;
        collect(walk, &target, &content.references, (found, seen))?;
        found.push(Referenced { name: name.clone(), text: content.text.clone() });
    }
    Ok(())
}

/// The text in another form, when the type knows the form.
pub(crate) fn formatted(
    state: &State,
    subject: &QualifiedSubject,
    content: &Content,
    format: &str,
) -> Outcome<Option<String>> {
    let resolved = || {
        let found = dependencies(state, subject, &content.references, Filter::All);
        found.map_err(|_| Failure::internal())
    };
    Ok(match (&content.schema_type, format.to_ascii_lowercase().as_str()) {
        (SchemaType::Avro, "resolved") => avro::resolved(&content.text, &resolved()?),
        (SchemaType::Protobuf, "serialized") if protobuf::is_clashing(&content.text) => {
            return Err(Failure::internal());
        }
        (SchemaType::Protobuf, "ignore_extensions" | "serialized") => {
            protobuf::formatted(&content.text, &resolved()?, &format.to_ascii_lowercase())
        }
        _ => None,
    })
}
