//! Several questions about resources in one, answered as if no subject but ours were associated with any.
//!
//! The primary names the resource that it finds by an id, whoever uses it. One that only others use is none here.

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::super::primary::Primary;
use super::super::rename::target;
use super::gather::{gather, unreadable, with_body};
use super::search::question;
use crate::protocol::json::{Object, push_array};
use crate::protocol::operation::Operation;
use crate::upstream::{Answer, Call, Failure};

/// What is asked for where no type of resource is given.
const TOPIC: &str = "topic";

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    requests: Vec<Asked>,
}

/// One question; what else it says is passed on.
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    resource_name: Option<String>,
    resource_namespace: Option<String>,
    resource_id: Option<String>,
    resource_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    association_types: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lifecycle: Option<String>,
}

#[derive(Deserialize)]
struct Results {
    results: Vec<Box<RawValue>>,
}

/// One result, as far as it tells whose a resource is.
#[derive(Deserialize)]
struct Told {
    result: Option<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    #[serde(default)]
    associations: Vec<serde::de::IgnoredAny>,
}

/// An association of ours, as a list shows it.
#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
struct Listed {
    resource_name: String,
    resource_namespace: String,
}

/// Asks several questions; `there` is the body that the primary is sent.
pub(in crate::routing) async fn batch(
    primary: &Primary,
    operation: &Operation,
    call: &Call,
    there: Call,
) -> Result<Answer, Failure> {
    let mut sent = there;
    sent.headers.remove(http::header::ACCEPT_ENCODING);
    let raw = primary.registry().send(sent).await?;
    let translated = primary.translated(operation, raw.clone())?;
    if !raw.status.is_success() {
        return Ok(translated);
    }
    let Body { requests } = serde_json::from_slice(&call.body).map_err(|_| unreadable())?;
    let theirs: Results = serde_json::from_slice(&raw.body).map_err(|_| unreadable())?;
    let ours: Results = serde_json::from_slice(&translated.body).map_err(|_| unreadable())?;
    if requests.len() != theirs.results.len() || requests.len() != ours.results.len() {
        return Err(unreadable());
    }
    let mut results = Vec::new();
    for (asked, (theirs, ours)) in requests.iter().zip(theirs.results.iter().zip(ours.results)) {
        results.push(match (associated(theirs)?, associated(&ours)?) {
            (Some(all), Some(0)) if all > 0 => asked.unknown(),
            // Who else uses a resource can be why it is refused.
            (None, _) if asked.resource_id.is_some() => asked.ours(primary, operation, call).await?.unwrap_or(ours),
            _ => ours,
        });
    }
    let mut body = Vec::new();
    let mut object = Object::open(&mut body);
    push_array(object.key("results"), results, |out, result| out.extend_from_slice(result.get().as_bytes()));
    object.close();
    Ok(with_body(translated, body, call))
}

/// What is said to each question of a body if nothing is associated with what it asks about.
pub fn unassociated(body: &[u8]) -> Option<Vec<Box<RawValue>>> {
    let Body { requests } = serde_json::from_slice(body).ok()?;
    Some(requests.iter().map(Asked::unknown).collect())
}

/// How many associations a result has; nothing of a refusal.
fn associated(result: &RawValue) -> Result<Option<usize>, Failure> {
    let told: Told = serde_json::from_str(result.get()).map_err(|_| unreadable())?;
    Ok(told.result.map(|resource| resource.associations.len()))
}

impl Asked {
    /// What the registry says of a resource that it does not know: what it was asked.
    fn unknown(&self) -> Box<RawValue> {
        let mut out = Vec::new();
        let mut object = Object::open(&mut out);
        let mut resource = Object::open(object.key("result"));
        resource
            .text("resourceName", self.resource_name.as_deref())
            .text("resourceNamespace", self.resource_namespace.as_deref())
            .text("resourceId", self.resource_id.as_deref())
            .text("resourceType", Some(self.kind()));
        resource.close();
        object.close();
        let printed = String::from_utf8(out).unwrap_or_default();
        RawValue::from_string(printed).unwrap_or_default()
    }

    fn kind(&self) -> &str {
        self.resource_type.as_deref().filter(|kind| !kind.is_empty()).unwrap_or(TOPIC)
    }

    /// The result that our associations alone make, where those of others have an id in common with them; nothing
    /// if they are refused by themselves.
    async fn ours(
        &self,
        primary: &Primary,
        operation: &Operation,
        call: &Call,
    ) -> Result<Option<Box<RawValue>>, Failure> {
        let id = self.resource_id.clone().unwrap_or_default();
        let mut query = vec![("resourceType".to_owned(), self.kind().to_owned())];
        query.extend(self.association_types.iter().flatten().map(|side| ("associationType".to_owned(), side.clone())));
        query.extend(self.lifecycle.iter().map(|lifecycle| ("lifecycle".to_owned(), lifecycle.clone())));
        let listing = question(call, target("/associations/resources/{resource}", "", &[id], &query));
        let Ok(by_resource) = Operation::of_target(&Method::GET, &listing.path_and_query) else { return Ok(None) };
        let listed = gather(primary, &by_resource, &listing).await?;
        if listed.status != StatusCode::OK {
            return Ok(None);
        }
        let listed: Vec<Listed> = serde_json::from_slice(&listed.body).map_err(|_| unreadable())?;
        let Some(first) = listed.first() else { return Ok(Some(self.unknown())) };
        if listed.iter().any(|one| one != first) {
            return Ok(None);
        }
        let named = Self {
            resource_name: Some(first.resource_name.clone()),
            resource_namespace: Some(first.resource_namespace.clone()),
            resource_id: None,
            ..self.clone()
        };
        let body = serde_json::to_vec(&serde_json::json!({ "requests": [named] })).map_err(|_| unreadable())?;
        let renamed = primary.contexts().body_there(operation, &body).map_err(|_| unreadable())?;
        let body = Bytes::from(renamed.unwrap_or(body));
        let asked = Call { body, path_and_query: super::super::primary::plain_target(operation), ..call.clone() };
        let answer = primary.ask(operation, asked).await?;
        let Results { results } = serde_json::from_slice(&answer.body).map_err(|_| unreadable())?;
        Ok(results.into_iter().next())
    }
}
