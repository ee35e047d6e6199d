//! Several questions about resources in one, of which each registry knows its own associations.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Both, Told};
use crate::protocol::error::Refusal;
use crate::protocol::json::{Object, push_array};
use crate::protocol::order::compare;
use crate::protocol::printed::Printed;
use crate::protocol::subject::QualifiedSubject;
use crate::proxy::refuse::Failure;
use crate::routing::{Home, unassociated};

/// What the registry says of one resource under several names.
const NOT_THE_SAME: &str = "Error while getting associations: All associations must have the same resourceName, \
                            resourceNamespace, resourceId, and resourceType.";

#[derive(Deserialize)]
struct Results {
    results: Vec<Box<RawValue>>,
}

/// One result: of a refusal nothing.
#[derive(Deserialize)]
struct Answered {
    result: Option<Printed>,
}

/// What the order of a resource's associations goes by.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Associated {
    subject: String,
    association_type: String,
}

/// One resource, and those of its associations that are the teller's own.
struct Resource {
    printed: Printed,
    own: Vec<(Associated, Box<RawValue>)>,
}

impl Both<'_> {
    /// Each question with the result that both registries make together.
    pub(super) async fn batch(&self) -> Result<Told, Failure> {
        let (ours, theirs) = tokio::join!(self.ask(Home::Primary, self.same()), self.ask(Home::Local, self.same()));
        let (ours, theirs) = (ours?, theirs?);
        if ours.status != 207 || theirs.status != 207 {
            // Where one of them knows no associations, what the other says is filtered all the same.
            let answered = [(ours, Home::Primary), (theirs, Home::Local)];
            let [(one, home), (other, _)] = match answered {
                [one, other] if one.0.is_nothing() => [other, one],
                answered => answered,
            };
            if one.status != 207 || !other.is_nothing() {
                return Ok(if one.status == 207 { other } else { one });
            }
            let results = self.results(home, &one)?;
            return self.merged(results.into_iter().map(|result| vec![(home, result)]));
        }
        let (ours, theirs) = (self.results(Home::Primary, &ours)?, self.results(Home::Local, &theirs)?);
        if ours.len() != theirs.len() {
            return Err(self.unreadable(Home::Local));
        }
        let pairs = ours.into_iter().zip(theirs);
        self.merged(pairs.map(|(one, other)| vec![(Home::Primary, one), (Home::Local, other)]))
    }

    fn results(&self, home: Home, told: &Told) -> Result<Vec<Box<RawValue>>, Failure> {
        let read = serde_json::from_slice::<Results>(&told.body);
        read.map(|read| read.results).map_err(|_| self.unreadable(home))
    }

    fn merged(&self, questions: impl Iterator<Item = Vec<(Home, Box<RawValue>)>>) -> Result<Told, Failure> {
        let nothing = unassociated(&self.ask.body).ok_or_else(|| self.unreadable(Home::Local))?;
        let results = questions.zip(nothing).map(|(answers, nothing)| self.result(answers, &nothing));
        let results: Vec<Vec<u8>> = results.collect::<Result<_, _>>()?;
        let mut body = Vec::new();
        let mut object = Object::open(&mut body);
        push_array(object.key("results"), results, |out, result| out.extend_from_slice(&result));
        object.close();
        Ok(Told { status: 207, body: body.into() })
    }

    /// What both say of one resource, as one. Who has only copies of the other's must not tell what it is called.
    fn result(&self, answers: Vec<(Home, Box<RawValue>)>, nothing: &RawValue) -> Result<Vec<u8>, Failure> {
        let mut resources = Vec::new();
        for (home, answer) in answers {
            let read: Answered = serde_json::from_str(answer.get()).map_err(|_| self.unreadable(home))?;
            match read.result {
                Some(printed) => resources.push(self.resource(home, printed).ok_or_else(|| self.unreadable(home))?),
                // What is wrong with a question is wrong with it everywhere; what is wrong with an answer is so in one.
                None => return Ok(answer.get().as_bytes().to_vec()),
            }
        }
        let name = |resource: &Resource| {
            let members = ["resourceName", "resourceNamespace", "resourceId", "resourceType"];
            members.map(|member| resource.printed.get::<String>(member))
        };
        let mut named = resources.iter().filter(|resource| !resource.own.is_empty()).map(name);
        let first = named.next();
        if named.any(|other| Some(other) != first) {
            let mut out = Vec::new();
            let mut object = Object::open(&mut out);
            object.key("error").extend_from_slice(&Refusal::new(500, NOT_THE_SAME).body());
            object.close();
            return Ok(out);
        }
        match resources.iter().position(|resource| !resource.own.is_empty()) {
            Some(known) => Ok(printed(resources, known)),
            None => Ok(nothing.get().as_bytes().to_vec()),
        }
    }

    fn resource(&self, home: Home, printed: Printed) -> Option<Resource> {
        let all: Vec<Box<RawValue>> = printed.get("associations").unwrap_or_default();
        let mut own = Vec::new();
        for item in &all {
            let key: Associated = serde_json::from_str(item.get()).ok()?;
            if self.home(&QualifiedSubject::parse(&key.subject)) == home {
                own.push((key, item.clone()));
            }
        }
        Some(Resource { own, printed })
    }
}

/// One resource with the associations of all, called what one of those calls it.
fn printed(resources: Vec<Resource>, known: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut answer = Object::open(&mut out);
    let mut object = Object::open(answer.key("result"));
    for member in ["resourceName", "resourceNamespace", "resourceId", "resourceType"] {
        let value = resources.get(known).and_then(|resource| resource.printed.get::<String>(member));
        object.text(member, value.as_deref());
    }
    let mut all: Vec<(Associated, Box<RawValue>)> = resources.into_iter().flat_map(|resource| resource.own).collect();
    all.sort_by(|(one, _), (other, _)| {
        compare(&one.association_type, &other.association_type).then_with(|| compare(&one.subject, &other.subject))
    });
    if !all.is_empty() {
        push_array(object.key("associations"), all, |out, (_, item)| out.extend_from_slice(item.get().as_bytes()));
    }
    object.close();
    answer.close();
    out
}
