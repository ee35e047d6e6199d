//! `POST /associations:batchGet`: several questions about resources in one (WIRE.md § 1.22).

use serde::Deserialize;

use super::Answer;
use super::associations::{TOPIC, known, order};
use super::table::Question;
use crate::protocol::error::Refusal;
use crate::protocol::json::{Object, push_array};
use crate::protocol::shape::{Record, schema};
use crate::protocol::subject::QualifiedSubject;
use crate::replica::snapshot::Association;

/// What opens every refusal of one question.
const FAILED: &str = "Error while getting associations: ";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    requests: Option<Vec<Asked>>,
}

/// One question.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Asked {
    resource_name: Option<String>,
    resource_namespace: Option<String>,
    resource_id: Option<String>,
    resource_type: Option<String>,
    association_types: Option<Vec<String>>,
    lifecycle: Option<Lifecycle>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Lifecycle {
    Strong,
    Weak,
}

impl Lifecycle {
    fn as_str(self) -> &'static str {
        match self {
            Self::Strong => "STRONG",
            Self::Weak => "WEAK",
        }
    }
}

/// Reads a body; `None` where it takes the registry to understand it.
pub(super) fn read(body: &[u8]) -> Option<Vec<Asked>> {
    let Body { requests } = serde_json::from_slice(body).ok()?;
    // Over several namespaces the registry reads a range of keys in which the type does not count.
    let is_plain = |asked: &Asked| asked.resource_namespace.as_deref() != Some("-");
    Some(requests.unwrap_or_default()).filter(|requests| requests.iter().all(is_plain))
}

/// Each question with its own result, or its own refusal.
pub(super) fn batch_get(question: &Question<'_>) -> Answer {
    let requests = read(question.body).unwrap_or_default();
    if requests.is_empty() {
        let message =
            "The association specified an invalid value for property: 'requests', detail: cannot be null or empty";
        return Err(Refusal::new(42212, message).into());
    }
    let all = known(question.snapshot)?;
    let mut out = Vec::new();
    let mut object = Object::open(&mut out);
    push_array(object.key("results"), requests, |out, asked| {
        let mut object = Object::open(out);
        match asked.answer(question, all) {
            Ok(result) => object.key("result").extend_from_slice(&result),
            Err(why) => object.key("error").extend_from_slice(&Refusal::new(500, format!("{FAILED}{why}")).body()),
        }
        object.close();
    });
    object.close();
    Ok(out.into())
}

fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

impl Asked {
    fn answer(mut self, question: &Question<'_>, all: &[Association]) -> Result<Vec<u8>, &'static str> {
        self.check()?;
        let kind = given(&self.resource_type).unwrap_or(TOPIC).to_owned();
        let mut found: Vec<&Association> =
            all.iter().filter(|one| one.resource_type == kind && self.takes(one)).collect();
        found.sort_by(|one, other| order(one, other));
        if let Some(first) = found.first() {
            self.resource_name.get_or_insert_with(|| first.resource_name.clone());
            self.resource_namespace.get_or_insert_with(|| first.resource_namespace.clone());
            self.resource_id.get_or_insert_with(|| first.resource_id.clone());
        }
        let is_same = |one: &&Association| {
            let own = [&one.resource_name, &one.resource_namespace, &one.resource_id];
            own.into_iter()
                .map(Some)
                .eq([&self.resource_name, &self.resource_namespace, &self.resource_id].map(Option::as_ref))
        };
        if !found.iter().all(is_same) {
            return Err(
                "All associations must have the same resourceName, resourceNamespace, resourceId, and resourceType.",
            );
        }
        Ok(self.printed(&kind, &found, question))
    }

    fn check(&self) -> Result<(), &'static str> {
        match (given(&self.resource_id), given(&self.resource_name), given(&self.resource_namespace)) {
            (None, None, _) => Err("property: resourceId; detail: either resourceId or resourceName must be specified"),
            (_, Some(_), None) => {
                Err("property: resourceNamespace; detail: resourceNamespace is required when resourceName is specified")
            }
            _ => Ok(()),
        }
    }

    fn takes(&self, one: &Association) -> bool {
        let is_named = match given(&self.resource_id) {
            Some(id) => one.resource_id == id,
            None => {
                self.resource_name.as_ref() == Some(&one.resource_name)
                    && self.resource_namespace.as_ref() == Some(&one.resource_namespace)
            }
        };
        let sides = self.association_types.as_deref().unwrap_or_default();
        is_named
            && (sides.is_empty() || sides.contains(&one.association_type))
            && self.lifecycle.is_none_or(|lifecycle| one.lifecycle == lifecycle.as_str())
    }

    fn printed(&self, kind: &str, found: &[&Association], question: &Question<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        let mut object = Object::open(&mut out);
        object
            .text("resourceName", self.resource_name.as_deref())
            .text("resourceNamespace", self.resource_namespace.as_deref())
            .text("resourceId", self.resource_id.as_deref())
            .text("resourceType", Some(kind));
        if !found.is_empty() {
            push_array(object.key("associations"), found, |out, one| push_info(out, one, question));
        }
        object.close();
        out
    }
}

/// An association without its resource. Later releases leave `frozen` out where it goes without
/// saying, here as in their lists.
fn push_info(out: &mut Vec<u8>, association: &Association, question: &Question<'_>) {
    #[derive(Deserialize)]
    struct Shown {
        frozen: Option<bool>,
    }
    let printed = association.printed.as_deref();
    let shown = printed.and_then(|printed| serde_json::from_str::<Shown>(printed.get()).ok());
    let mut object = Object::open(out);
    object
        .text("subject", Some(&association.subject))
        .text("associationType", Some(&association.association_type))
        .text("lifecycle", Some(&association.lifecycle))
        .flag("frozen", shown.and_then(|shown| shown.frozen));
    let subject = QualifiedSubject::parse(&association.subject);
    let latest = question.snapshot.subject(&subject).and_then(|state| state.latest());
    if let Some(version) = latest.filter(|_| question.operation.query.flag("includeSchemas")) {
        let enclosed = schema(&association.subject, version, question.form, Record::Stored);
        object.key("schema").extend_from_slice(&enclosed);
    }
    object.close();
}
