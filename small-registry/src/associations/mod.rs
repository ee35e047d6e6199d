//! Associations between topics and subjects (WIRE.md § 1.22).

mod batch;
mod change;

use std::cmp::Ordering;

use schema_outpost::protocol::endpoints::Route;
use schema_outpost::protocol::json::{Object, push_array};
use schema_outpost::protocol::order;
use schema_outpost::protocol::subject::QualifiedSubject;

use crate::call::{Call, Reply};
use crate::failure::{Failure, Outcome};
use crate::state::State;

pub(crate) use batch::{batch_get, batch_mutate};
pub(crate) use change::{create, delete, update};

/// An association.
#[derive(Clone, Debug)]
pub(crate) struct Association {
    pub(crate) subject: String,
    guid: String,
    resource: Resource,
    /// `key` or `value`.
    pub(crate) kind: String,
    /// `STRONG` or `WEAK`.
    pub(crate) lifecycle: String,
    frozen: bool,
    created: i64,
    updated: i64,
}

/// What a subject is associated with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Resource {
    name: Option<String>,
    namespace: Option<String>,
    id: Option<String>,
    kind: Option<String>,
}

const TOPIC: &str = "topic";

impl Resource {
    fn print(&self, object: &mut Object<'_>) {
        object.text("resourceName", self.name.as_deref()).text("resourceNamespace", self.namespace.as_deref());
        object.text("resourceId", self.id.as_deref()).text("resourceType", self.kind.as_deref());
    }
}

fn invalid(property: &str, detail: &str) -> Failure {
    let message = format!("The association specified an invalid value for property: '{property}', detail: {detail}");
    Failure::new(422, 42212, message)
}

/// Which associations a list asks for.
#[derive(Debug)]
pub(crate) struct Filter {
    kinds: Vec<String>,
    lifecycles: Vec<String>,
    resource_type: Option<String>,
    /// Whether the request says anything about associations at all.
    pub(crate) is_asked: bool,
}

impl Filter {
    /// What a list of schemas asks for: any type of resource, unless it names one.
    pub(crate) fn of_schemas(call: &Call<'_>) -> Outcome<Self> {
        Self::read(call, &["NONE", "STRONG", "WEAK"], call.operation.query.get("resourceType"))
    }

    /// What a list of associations asks for: one type of resource, and one lifecycle at most.
    fn of_list(call: &Call<'_>) -> Outcome<Self> {
        let named = call.operation.query.get("resourceType").filter(|named| !named.is_empty());
        // Over a range of names or namespaces the type is no part of the bounds.
        let is_range = call.route() == Route::AssociationsByName && call.operation.names.iter().any(|name| name == "-");
        let mut filter =
            Self::read(call, &["NONE", "STRONG", "WEAK"], Some(named.unwrap_or(TOPIC)).filter(|_| !is_range))?;
        filter.lifecycles.truncate(1);
        if filter.lifecycles.iter().any(|lifecycle| lifecycle == "NONE") {
            return Err(Failure::not_found());
        }
        Ok(filter)
    }

    fn read(call: &Call<'_>, known: &[&str], resource_type: Option<&str>) -> Outcome<Self> {
        let query = &call.operation.query;
        let all = |name| query.all(name).map(str::to_owned).collect::<Vec<_>>();
        let (kinds, mut lifecycles) = (all("associationType"), all("lifecycle"));
        lifecycles.retain(|lifecycle| !lifecycle.is_empty());
        if lifecycles.iter().any(|lifecycle| !known.contains(&lifecycle.as_str())) {
            return Err(Failure::not_found());
        }
        let is_asked = query.get("resourceType").is_some() || !kinds.is_empty() || !lifecycles.is_empty();
        Ok(Self { kinds, lifecycles, resource_type: resource_type.map(str::to_owned), is_asked })
    }

    /// The associations of a subject that are asked for, printed; nothing when the subject is not asked for.
    /// `NONE` asks for subjects without any of the kinds that count.
    pub(crate) fn of(&self, state: &State, subject: &str) -> Option<Vec<u8>> {
        let own = state.associations.iter().filter(|association| association.subject == subject);
        let mut own: Vec<&Association> = own.filter(|association| self.is_of_a_kind(association)).collect();
        if own.is_empty() {
            return self.lifecycles.iter().any(|lifecycle| lifecycle == "NONE").then(Vec::new);
        }
        own.retain(|association| self.takes(association));
        own.sort_by(|left, right| left.order(right));
        (!own.is_empty()).then(|| printed(own))
    }

    fn is_of_a_kind(&self, association: &Association) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&association.kind))
            && self.resource_type.as_ref().is_none_or(|kind| association.resource.kind.as_ref() == Some(kind))
    }

    fn takes(&self, association: &Association) -> bool {
        self.is_of_a_kind(association)
            && (self.lifecycles.is_empty() || self.lifecycles.contains(&association.lifecycle))
    }
}

impl Association {
    fn order(&self, other: &Self) -> Ordering {
        let key = |own: &Self| {
            let Resource { name, namespace, kind, .. } = own.resource.clone();
            [name, namespace, kind, Some(own.kind.clone()), Some(own.subject.clone())].map(Option::unwrap_or_default)
        };
        let pairs = key(self).into_iter().zip(key(other));
        pairs.map(|(left, right)| order::compare(&left, &right)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }
}

fn list(state: &State, call: &Call<'_>, wanted: impl Fn(&Association) -> bool) -> Outcome<Reply> {
    let filter = Filter::of_list(call)?;
    let found = state.associations.iter().filter(|association| wanted(association) && filter.takes(association));
    let mut found: Vec<&Association> = found.collect();
    found.sort_by(|left, right| left.order(right));
    Ok(Reply::ok(printed(call.page(found, 1000)?)))
}

fn printed(associations: Vec<&Association>) -> Vec<u8> {
    let mut out = Vec::new();
    push_array(&mut out, associations, |out, association| {
        let mut object = Object::open(out);
        object.text("subject", Some(&association.subject)).text("guid", Some(&association.guid));
        association.resource.print(&mut object);
        object.text("associationType", Some(&association.kind)).text("lifecycle", Some(&association.lifecycle));
        object.flag("frozen", Some(association.frozen));
        object.number("createTs", Some(association.created)).number("updateTs", Some(association.updated));
        object.close();
    });
    out
}

/// `GET /associations/subjects/{s}`
pub(crate) fn by_subject(state: &State, call: &Call<'_>) -> Outcome<Reply> {
    // What is no alias is taken as it is written: `:.:x` is nobody's key.
    let named = &call.operation.subject;
    let is_alias = state.behind_alias(named, &named.context).is_some();
    let subject = if is_alias { call.subject(state).to_string() } else { call.operation.subject_text.clone() };
    list(state, call, |association| association.subject == subject)
}

/// `GET /associations/resources/{resource}`
pub(crate) fn by_resource(state: &State, call: &Call<'_>) -> Outcome<Reply> {
    list(state, call, |association| association.resource.id.as_deref() == Some(call.operation.name()))
}

/// `GET /associations/resources/{namespace}/{name}`; a dash stands for any.
pub(crate) fn by_name(state: &State, call: &Call<'_>) -> Outcome<Reply> {
    let names = &call.operation.names;
    let fits = |wanted: Option<&String>, own: &Option<String>| {
        wanted.is_none_or(|name| name == "-" || Some(name) == own.as_ref())
    };
    list(state, call, |association| {
        fits(names.first(), &association.resource.namespace) && fits(names.get(1), &association.resource.name)
    })
}

fn qualified(state: &State, call: &Call<'_>, subject: &str) -> QualifiedSubject {
    let context = QualifiedSubject::parse(call.parameter("context")).context;
    let subject = QualifiedSubject::parse_in(subject, &context);
    state.behind_alias(&subject, &subject.context).unwrap_or(subject)
}
