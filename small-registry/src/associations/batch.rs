//! Several resources in one request; each has its own result or error.

use schema_outpost::protocol::json::{Object, push_array};
use schema_outpost::protocol::subject::QualifiedSubject;
use serde_json::Value;

use super::change::{Made, Wish, Wishes, answer, grant};
use super::{Association, Resource, TOPIC, invalid};
use crate::body::{Expected, Members, text};
use crate::call::{Call, Reply};
use crate::failure::{Failure, Outcome};
use crate::print::{self, Extras};
use crate::state::State;

fn requests(call: &Call<'_>, expected: Expected) -> Outcome<Vec<Value>> {
    let members = Members::read(call.body, expected)?;
    match members.get("requests") {
        Some(Value::Array(requests)) if !requests.is_empty() => Ok(requests.clone()),
        _ => Err(invalid("requests", "cannot be null or empty")),
    }
}

fn printed(results: Vec<Outcome<Vec<u8>>>) -> Reply {
    let mut out = Vec::new();
    let mut object = Object::open(&mut out);
    push_array(object.key("results"), results, |out, result| {
        let mut object = Object::open(out);
        match result {
            Ok(result) => object.key("result").extend_from_slice(&result),
            Err(failure) => object.key("error").extend_from_slice(&failure.body()),
        }
        object.close();
    });
    object.close();
    Reply { status: 207, body: out }
}

/// `POST /associations:batchGet`
pub(crate) fn batch_get(state: &State, call: &Call<'_>) -> Outcome<Reply> {
    let expected = Expected { class: "AssociationBatchGetRequest", argument: "batchGetAssociations.arg1" };
    let requests = requests(call, expected)?;
    Ok(printed(requests.iter().map(|request| get(state, call, request)).collect()))
}

fn get(state: &State, call: &Call<'_>, request: &Value) -> Outcome<Vec<u8>> {
    let members = Members::of(request, "AssociationGetRequest")?;
    let mut resource = Wishes::resource(&members)?;
    check(&resource)?;
    let kind = resource.kind.take().filter(|kind| !kind.is_empty()).unwrap_or_else(|| TOPIC.to_owned());
    let id = resource.id.clone().filter(|id| !id.is_empty());
    let is_any = resource.namespace.as_deref() == Some("-");
    let fits = |own: &&Association| match &id {
        Some(id) => own.resource.id.as_ref() == Some(id) && own.resource.kind.as_ref() == Some(&kind),
        None if is_any => own.resource.name == resource.name,
        None => {
            own.resource.name == resource.name
                && own.resource.namespace == resource.namespace
                && own.resource.kind.as_ref() == Some(&kind)
        }
    };
    let mut found: Vec<&Association> = state.associations.iter().filter(fits).collect();
    if let Some(Value::Array(kinds)) = members.get("associationTypes").filter(|kinds| **kinds != Value::Array(vec![])) {
        let kinds = kinds.iter().map(text).collect::<Outcome<Vec<_>>>()?;
        found.retain(|own| kinds.contains(&own.kind));
    }
    if let Some(lifecycle) = members.text("lifecycle")? {
        found.retain(|own| own.lifecycle == lifecycle);
    }
    found.sort_by(|left, right| left.order(right));
    if let Some(first) = found.first() {
        let Resource { name, namespace, id, .. } = first.resource.clone();
        resource.name = resource.name.or(name);
        resource.namespace = resource.namespace.or(namespace);
        resource.id = resource.id.or(id);
    }
    resource.kind = Some(kind);
    if found.iter().any(|own| own.resource != resource) {
        return Err(refused(
            "All associations must have the same resourceName, resourceNamespace, resourceId, and resourceType.",
        ));
    }
    let shown = found.into_iter().map(|own| {
        let latest = state.latest(&QualifiedSubject::parse(&own.subject));
        let latest = latest.filter(|_| call.flag("includeSchemas"));
        let schema = latest.map(|stored| print::schema(stored, &Extras::of(stored), call.shape));
        Made { association: own.clone(), schema }
    });
    Ok(answer(&resource, &shown.collect::<Vec<_>>()))
}

fn refused(why: &str) -> Failure {
    Failure::new(500, 500, format!("Error while getting associations: {why}"))
}

fn check(resource: &Resource) -> Outcome<()> {
    let is_given = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    if !is_given(&resource.id) && !is_given(&resource.name) {
        return Err(refused("property: resourceId; detail: either resourceId or resourceName must be specified"));
    }
    if is_given(&resource.name) && !is_given(&resource.namespace) {
        let why = "property: resourceNamespace; detail: resourceNamespace is required when resourceName is specified";
        return Err(refused(why));
    }
    Ok(())
}

/// `POST /associations:batchMutate`
pub(crate) fn batch_mutate(state: &mut State, call: &Call<'_>) -> Outcome<Reply> {
    let expected = Expected { class: "AssociationBatchMutateRequest", argument: "mutateAssociations.arg4" };
    let mut asked = Vec::new();
    for request in requests(call, expected)? {
        let members = Members::of(&request, "AssociationOpRequest")?;
        let operations = match members.get("associations") {
            Some(Value::Array(items)) => items.iter().map(Step::read).collect::<Outcome<Vec<_>>>()?,
            _ => Vec::new(),
        };
        asked.push((Wishes::resource(&members)?, operations));
    }
    let results = asked.into_iter().map(|(resource, steps)| mutate(state, call, resource, steps)).collect();
    Ok(printed(results))
}

enum Step {
    Create(Wish),
    Upsert(Wish),
    Delete(String),
}

impl Step {
    fn read(value: &Value) -> Outcome<Self> {
        let members = Members::of(value, "AssociationOp")?;
        match members.text("opType")?.unwrap_or_default().as_str() {
            "CREATE" => Ok(Self::Create(Wish::read(value)?)),
            "UPSERT" => Ok(Self::Upsert(Wish::read(value)?)),
            "DELETE" => Ok(Self::Delete(members.text("associationType")?.unwrap_or_else(|| "value".to_owned()))),
            other => Err(Failure::bad_request(format!(
                "Could not resolve type id '{other}' as a subtype of `AssociationOp`: known type ids = \
                 [CREATE, DELETE, UPSERT] (for POJO property 'associations')"
            ))),
        }
    }
}

fn mutate(state: &mut State, call: &Call<'_>, resource: Resource, steps: Vec<Step>) -> Outcome<Vec<u8>> {
    if steps.is_empty() {
        return Err(invalid("associations", "cannot be null or empty"));
    }
    let mut made = Vec::new();
    for step in steps {
        let (wish, updates) = match step {
            Step::Create(wish) => (wish, false),
            Step::Upsert(wish) => (wish, true),
            Step::Delete(kind) => {
                state.associations.retain(|own| own.resource.id != resource.id || own.kind != kind);
                continue;
            }
        };
        let wishes = Wishes { resource: resource.clone(), wishes: vec![wish] };
        wishes.check()?;
        made.extend(grant(state, call, &wishes, updates)?);
    }
    Ok(answer(&resource, &made))
}
