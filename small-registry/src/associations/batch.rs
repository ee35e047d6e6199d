//! Several resources in one request; each has its own result or error.

use schema_outpost::protocol::json::{Object, push_array};
use schema_outpost::protocol::order;
use schema_outpost::protocol::subject::QualifiedSubject;
use serde_json::Value;

use super::change::{Made, Wish, Wishes, answer, grant};
use super::{Association, Resource, invalid};
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
    if resource.id.is_none() && (resource.name.is_none() || resource.namespace.is_none()) {
        let message = "Error while getting associations: property: resourceId; detail: either resourceId or \
                       resourceName must be specified";
        return Err(Failure::new(500, 500, message));
    }
    let fits = |own: &&Association| match &resource.id {
        Some(id) => own.resource.id.as_ref() == Some(id),
        None => own.resource.name == resource.name && own.resource.namespace == resource.namespace,
    };
    let mut found: Vec<&Association> = state.associations.iter().filter(fits).collect();
    if let Some(own) = found.first() {
        resource = own.resource.clone();
    }
    if let Some(Value::Array(kinds)) = members.get("associationTypes") {
        let kinds = kinds.iter().map(text).collect::<Outcome<Vec<_>>>()?;
        found.retain(|own| kinds.contains(&own.kind));
    }
    if let Some(lifecycle) = members.text("lifecycle")? {
        found.retain(|own| own.lifecycle == lifecycle);
    }
    found.sort_by(|left, right| order::compare(&left.subject, &right.subject));
    let shown = found.into_iter().map(|own| {
        let latest = state.latest(&QualifiedSubject::parse(&own.subject));
        let latest = latest.filter(|_| call.flag("includeSchemas"));
        let schema = latest.map(|stored| print::schema(stored, &Extras::of(stored), call.shape));
        Made { association: own.clone(), schema }
    });
    Ok(answer(&resource, &shown.collect::<Vec<_>>()))
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
