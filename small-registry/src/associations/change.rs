//! Creating, changing and removing associations.

use schema_outpost::protocol::json::{Object, push_array};
use schema_outpost::protocol::subject::QualifiedSubject;
use serde_json::Value;

use super::{Association, Resource, TOPIC, invalid, qualified};
use crate::body::{Expected, Members};
use crate::call::{Call, Reply};
use crate::failure::{Failure, Outcome};
use crate::metadata::one_of;
use crate::model::Stored;
use crate::print::{self, Extras};
use crate::register::{self, Registration};
use crate::state::{Filter, State};

const EMPTY: &str = "cannot be null or empty";

/// One association as a request brings it.
pub(super) struct Wish {
    pub(super) subject: Option<String>,
    pub(super) kind: String,
    lifecycle: Option<String>,
    frozen: Option<bool>,
    schema: Option<Registration>,
}

impl Wish {
    pub(super) fn read(value: &Value) -> Outcome<Self> {
        let members = Members::of(value, "AssociationCreateOrUpdateInfo")?;
        let lifecycle = members.get("lifecycle");
        let lifecycle = lifecycle.map(|value| one_of("LifecyclePolicy", &["WEAK", "STRONG"], value)).transpose()?;
        let schema = members.get("schema").map(Registration::of).transpose()?;
        Ok(Self {
            subject: members.text("subject")?,
            kind: members.text("associationType")?.unwrap_or_else(|| "value".to_owned()),
            lifecycle,
            frozen: members.flag("frozen")?,
            schema,
        })
    }
}

/// A resource with the associations that it is to have.
pub(super) struct Wishes {
    pub(super) resource: Resource,
    pub(super) wishes: Vec<Wish>,
}

impl Wishes {
    pub(super) fn resource(members: &Members) -> Outcome<Resource> {
        Ok(Resource {
            name: members.text("resourceName")?,
            namespace: members.text("resourceNamespace")?,
            id: members.text("resourceId")?,
            kind: Some(members.text("resourceType")?.unwrap_or_else(|| TOPIC.to_owned())),
        })
    }

    fn read(members: &Members) -> Outcome<Self> {
        let wishes = match members.get("associations") {
            Some(Value::Array(items)) => items.iter().map(Wish::read).collect::<Outcome<_>>()?,
            _ => Vec::new(),
        };
        Ok(Self { resource: Self::resource(members)?, wishes })
    }

    /// Fails when the resource is not named in full or nothing is wished for.
    pub(super) fn check(&self) -> Outcome<()> {
        let resource = &self.resource;
        for (property, value) in
            [("resourceName", &resource.name), ("resourceNamespace", &resource.namespace), ("resourceId", &resource.id)]
        {
            if value.as_deref().is_none_or(str::is_empty) {
                return Err(invalid(property, EMPTY));
            }
        }
        if resource.kind.as_deref() != Some(TOPIC) {
            return Err(invalid("resourceType", "must be 'topic'"));
        }
        if self.wishes.is_empty() {
            return Err(invalid("associations", EMPTY));
        }
        Ok(())
    }
}

const CREATE: Expected = Expected { class: "AssociationCreateOrUpdateRequest", argument: "createAssociation.arg4" };
const UPDATE: Expected =
    Expected { class: "AssociationCreateOrUpdateRequest", argument: "createOrUpdateAssociation.arg5" };

/// `POST /associations`
pub(crate) fn create(state: &mut State, call: &Call<'_>) -> Outcome<Reply> {
    let wishes = Wishes::read(&Members::read(call.body, CREATE)?)?;
    wishes.check()?;
    let made = grant(state, call, &wishes, false)?;
    Ok(Reply::ok(answer(&wishes.resource, &made)))
}

/// `PUT /associations/resources/{resource}`
pub(crate) fn update(state: &mut State, call: &Call<'_>) -> Outcome<Reply> {
    let mut wishes = Wishes::read(&Members::read(call.body, UPDATE)?)?;
    let id = call.operation.name().to_owned();
    if wishes.resource.id.as_ref().is_some_and(|own| *own != id) {
        let detail = "Resource ID in the path parameter does not match the resource ID in the request body";
        return Err(invalid("resourceId", detail));
    }
    wishes.resource.id = Some(id);
    wishes.check()?;
    let made = grant(state, call, &wishes, true)?;
    Ok(Reply::ok(answer(&wishes.resource, &made)))
}

/// An association that was made or changed, with the schema that was registered for it.
pub(super) struct Made {
    pub(super) association: Association,
    pub(super) schema: Option<Vec<u8>>,
}

/// Grants every wish, or none: what is checked, is checked before anything is changed.
pub(super) fn grant(state: &mut State, call: &Call<'_>, wishes: &Wishes, updates: bool) -> Outcome<Vec<Made>> {
    let mut planned = Vec::new();
    for wish in &wishes.wishes {
        if let Some(association) = plan(state, call, (&wishes.resource, wish), updates)? {
            planned.push((association, wish));
        }
    }
    if call.flag("dryRun") {
        return Ok(Vec::new());
    }
    let mut made = Vec::new();
    for (association, wish) in planned {
        let schema = match &wish.schema {
            None => None,
            Some(schema) => {
                let subject = QualifiedSubject::parse(&association.subject);
                let (stored, _) = register::put(state, call, &subject, schema.clone())?;
                Some(print::schema(&stored, &Extras::default(), call.shape))
            }
        };
        state.associations.retain(|own| own.resource != association.resource || own.kind != association.kind);
        state.associations.push(association.clone());
        made.push(Made { association, schema });
    }
    Ok(made)
}

/// What a wish comes to; nothing when it is so already.
fn plan(
    state: &State,
    call: &Call<'_>,
    (resource, wish): (&Resource, &Wish),
    updates: bool,
) -> Outcome<Option<Association>> {
    if !matches!(wish.kind.as_str(), "key" | "value") {
        return Err(invalid("associationType", "must be either 'key' or 'value'"));
    }
    let own = state.associations.iter().find(|own| own.resource.id == resource.id && own.kind == wish.kind);
    if updates && own.is_some() && wish.lifecycle.is_none() && wish.schema.is_none() {
        return Err(invalid("lifecycle", "at least lifecycle or schema must be provided for update"));
    }
    let lifecycle = wish.lifecycle.clone().or_else(|| own.map(|own| own.lifecycle.clone()));
    let lifecycle = lifecycle.unwrap_or_else(|| "WEAK".to_owned());
    let is_weak = lifecycle == "WEAK";
    if is_weak && wish.schema.is_some() {
        return Err(invalid("lifecycle", "cannot be WEAK when schema is provided"));
    }
    if !updates && wish.schema.is_some() && wish.frozen == Some(false) {
        return Err(invalid("frozen", "cannot be false when schema is provided for create"));
    }
    if is_weak && wish.frozen == Some(true) {
        return Err(invalid("frozen", "association with lifecycle of WEAK cannot be frozen"));
    }
    let frozen = wish.frozen.unwrap_or(!updates && wish.schema.is_some());
    let subject = subject(state, call, (resource, wish), (own, is_weak, frozen))?;
    if let Some(own) = own {
        if own.subject != subject {
            let name = resource.name.as_deref().unwrap_or_default();
            let message = format!("An association of type '{}' already exists for resource '{name}'", wish.kind);
            return Err(Failure::new(409, 40903, message));
        }
        if own.lifecycle == lifecycle && wish.schema.is_none() {
            return Ok(None);
        }
    }
    check_writable(state, &subject)?;
    check_subject(state, (resource, wish), &subject, is_weak)?;
    let guid = own.map_or_else(|| uuid::Uuid::new_v4().to_string(), |own| own.guid.clone());
    let created = own.map_or(call.now, |own| own.created);
    let (resource, kind) = (resource.clone(), wish.kind.clone());
    Ok(Some(Association { subject, guid, resource, kind, lifecycle, frozen, created, updated: call.now }))
}

/// The subject of an association: as wished for, or the one that a frozen association must have.
fn subject(
    state: &State,
    call: &Call<'_>,
    (resource, wish): (&Resource, &Wish),
    (own, is_weak, frozen): (Option<&Association>, bool, bool),
) -> Outcome<String> {
    let (namespace, name) = (resource.namespace.as_deref(), resource.name.as_deref());
    let given = format!(":.{}:{}-{}", namespace.unwrap_or_default(), name.unwrap_or_default(), wish.kind);
    let wished = wish.subject.as_ref().map(|subject| qualified(state, call, subject).to_string());
    let subject = wished.or_else(|| own.map(|own| own.subject.clone()));
    if is_weak && subject.as_ref() == Some(&given) {
        return Err(invalid("subject", &format!("WEAK associations cannot use subject '{given}'")));
    }
    match subject {
        Some(subject) if frozen && subject != given => {
            Err(invalid("subject", &format!("frozen associations must use subject '{given}'")))
        }
        Some(subject) => Ok(subject),
        None if is_weak => Err(invalid("subject", "must be provided for WEAK associations")),
        None => Ok(given),
    }
}

/// Here the message has the bare names.
fn check_writable(state: &State, subject: &str) -> Outcome<()> {
    let subject = QualifiedSubject::parse(subject);
    if state.mode(&subject).is_read_only() {
        let (name, context) = (&subject.subject, &subject.context);
        return Err(Failure::not_permitted(format!("Subject {name} in context {context} is in read-only mode")));
    }
    Ok(())
}

/// Fails when other associations of the subject stand against it, or when it has no schema.
fn check_subject(state: &State, (resource, wish): (&Resource, &Wish), subject: &str, is_weak: bool) -> Outcome<()> {
    let others = state.associations.iter().filter(|other| other.subject == subject);
    let mut others = others.filter(|other| other.resource.id != resource.id || other.kind != wish.kind);
    if !is_weak && others.next().is_some() {
        return Err(Failure::new(409, 40904, format!("An association already exists for subject '{subject}'")));
    }
    if is_weak && others.any(|other| other.lifecycle == "STRONG") {
        return Err(Failure::new(409, 40905, format!("A strong association already exists for subject '{subject}'")));
    }
    if wish.schema.is_none() && !state.has_versions(&QualifiedSubject::parse(subject), Filter::Live) {
        let message = format!("No active (non-deleted) version exists for subject '{subject}'");
        return Err(Failure::new(409, 40907, message));
    }
    Ok(())
}

/// A resource with associations, printed.
pub(super) fn answer(resource: &Resource, made: &[Made]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut object = Object::open(&mut out);
    resource.print(&mut object);
    if !made.is_empty() {
        push_array(object.key("associations"), made, |out, made| {
            let association = &made.association;
            let mut object = Object::open(out);
            object.text("subject", Some(&association.subject)).text("associationType", Some(&association.kind));
            object.text("lifecycle", Some(&association.lifecycle)).flag("frozen", Some(association.frozen));
            if let Some(schema) = &made.schema {
                object.key("schema").extend_from_slice(schema);
            }
            object.close();
        });
    }
    object.close();
    out
}

/// `DELETE /associations/resources/{resource}`
pub(crate) fn delete(state: &mut State, call: &Call<'_>) -> Outcome<Reply> {
    let filter = super::Filter::of_list(call)?;
    let id = call.operation.name().to_owned();
    let concerned = |own: &Association| own.resource.id.as_ref() == Some(&id) && filter.takes(own);
    let found: Vec<Association> = state.associations.iter().filter(|own| concerned(own)).cloned().collect();
    if found.is_empty() {
        return Err(Failure::new(404, 40410, format!("Association for '{id}' not found.")));
    }
    let cascades = call.flag("cascadeLifecycle");
    if let Some(own) = found.iter().find(|own| own.frozen && !cascades) {
        let message = format!("The association of type  '{}' is frozen for subject '{}'", own.kind, own.subject);
        return Err(Failure::new(409, 40908, message));
    }
    found.iter().try_for_each(|own| check_writable(state, &own.subject))?;
    if call.flag("dryRun") {
        return Ok(Reply::nothing());
    }
    state.associations.retain(|own| !concerned(own));
    for own in found.iter().filter(|own| cascades && own.lifecycle == "STRONG") {
        forget(state, &own.subject);
    }
    Ok(Reply::nothing())
}

fn forget(state: &mut State, subject: &str) {
    let subject = QualifiedSubject::parse(subject);
    let versions: Vec<i32> = state.versions(&subject).map(|stored: &Stored| stored.version).collect();
    versions.into_iter().for_each(|version| state.remove(&subject, version));
}
