//! Who refers to a version, of those that are ours.
//!
//! The primary tells the ids of all referrers, and not in which contexts they are: the same number is another schema
//! in each. So of each of our contexts it is asked what it has under each of the numbers, and whether that refers to
//! the version; what cannot be asked is not answered.

use std::collections::BTreeSet;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::super::primary::{Primary, refused};
use super::super::rename::target;
use super::gather::{self, names_of, page_of, unreadable};
use super::search::{in_order, question, strictly};
use crate::protocol::error::Refusal;
use crate::protocol::operation::Operation;
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::protocol::target::CAPPED;
use crate::upstream::{Answer, Call, Failure};

/// Questions that are under way at once.
const AT_ONCE: usize = 8;

/// The version that is asked about, as it is called here.
#[derive(Deserialize)]
struct Version {
    subject: String,
    version: i32,
}

/// What a schema says of itself.
#[derive(Deserialize)]
struct Schema {
    #[serde(default)]
    references: Vec<Reference>,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(default)]
    subject: String,
    #[serde(default)]
    version: i32,
}

/// Asks who refers to a version; `there` is what is asked of the primary, without the page.
pub(in crate::routing) async fn referrers(
    primary: &Primary,
    operation: &Operation,
    call: &Call,
    there: &str,
) -> Result<Answer, Failure> {
    let Ok(window) = operation.query.page() else { return Ok(refused(&call.method, &Refusal::not_found())) };
    let mut ids = BTreeSet::new();
    let mut is_list = true;
    let take = |item: Box<serde_json::value::RawValue>| match item.get().parse::<i32>() {
        Ok(id) => drop(ids.insert(id)),
        Err(_) => is_list = false,
    };
    let answer = gather::read(primary, operation, call, there, take).await?;
    if answer.status != StatusCode::OK {
        return Ok(answer);
    }
    if !is_list {
        return Err(unreadable());
    }
    // In its default context the primary goes on to the contexts of others, and does not say so.
    let shown = strictly(primary, operation, question(call, version_of(there))).await?;
    if shown.status != StatusCode::OK {
        return Ok(shown);
    }
    let version: Version = serde_json::from_slice(&shown.body).map_err(|_| unreadable())?;
    let wanted = (QualifiedSubject::parse(&version.subject), version.version);
    let contexts = contexts(primary, call).await?;
    let with_deleted = operation.query.flag("deleted");
    let places = contexts.iter().flat_map(|context| ids.iter().map(move |id| (context, *id)));
    let asked: Vec<BoxFuture<'_, Result<Option<i32>, Failure>>> = places
        .map(|(context, id)| {
            let place = Place { primary, call, context, id, with_deleted };
            place.refers(&wanted).boxed()
        })
        .collect();
    let told: Vec<Option<i32>> = stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
    let page = window.cut(told.into_iter().flatten(), CAPPED);
    Ok(page_of(answer, call, page, |out, id| out.extend_from_slice(id.to_string().as_bytes())))
}

/// Whether a schema of a context, as it is printed, refers to a version; nothing if it cannot be read.
pub fn refers(printed: &[u8], context: &Context, (subject, version): (&QualifiedSubject, i32)) -> Option<bool> {
    let schema: Schema = serde_json::from_slice(printed).ok()?;
    let leads_there = |reference: &Reference| {
        reference.version == version && QualifiedSubject::parse_in(&reference.subject, context) == *subject
    };
    Some(schema.references.iter().any(leads_there))
}

/// The target of the version itself, which may be soft-deleted.
fn version_of(there: &str) -> String {
    let path = there.split_once('?').map_or(there, |(path, _)| path);
    format!("{}?deleted=true", path.strip_suffix("/referencedby").unwrap_or(path))
}

/// All of our contexts, in order.
async fn contexts(primary: &Primary, call: &Call) -> Result<Vec<Context>, Failure> {
    let target = "/contexts";
    let asked = question(call, target.to_owned());
    let mut contexts = match Operation::of_target(&Method::GET, target) {
        Ok(operation) => {
            let answer = gather::gather(primary, &operation, &asked).await?;
            let names = names_of(&answer).ok_or_else(unreadable)?;
            names.iter().map(|name| Context::named(name)).collect()
        }
        Err(_) => Vec::new(),
    };
    contexts.retain(|context| primary.contexts().to_primary(context).is_some());
    contexts.sort_by(in_order);
    Ok(contexts)
}

/// A number, and a context of ours in which something may have it.
struct Place<'a> {
    primary: &'a Primary,
    call: &'a Call,
    context: &'a Context,
    id: i32,
    with_deleted: bool,
}

impl Place<'_> {
    /// The id, if what has it refers to a version and is to be shown.
    async fn refers(self, (subject, version): &(QualifiedSubject, i32)) -> Result<Option<i32>, Failure> {
        let answer = self.ask("/schemas/ids/{id}").await?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(unreadable()),
        }
        if !refers(&answer.body, self.context, (subject, *version)).ok_or_else(unreadable)? {
            return Ok(None);
        }
        // The id is shown as long as one of those that hold it is.
        let holders = self.ask("/schemas/ids/{id}/versions").await?;
        let shown = serde_json::from_slice::<Vec<IgnoredAny>>(&holders.body).map_err(|_| unreadable())?;
        Ok((!shown.is_empty()).then_some(self.id))
    }

    async fn ask(&self, path: &'static str) -> Result<Answer, Failure> {
        let id = [self.id.to_string()];
        let query = |context: &Context| {
            let deleted = ("deleted".to_owned(), self.with_deleted.to_string());
            [("subject".to_owned(), context.unaliased()), deleted]
        };
        let local = Operation::of_target(&Method::GET, &target(path, "", &id, &query(self.context)));
        let there = self.primary.contexts().to_primary(self.context);
        let (Ok(operation), Some(there)) = (local, there) else { return Err(unreadable()) };
        self.primary.ask(&operation, question(self.call, target(path, "", &id, &query(&there)))).await
    }
}
