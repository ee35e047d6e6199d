//! Lists of both registries: all of both is read, what belongs to the other is left out, and the page cut from the rest.

use std::collections::HashSet;

use bytes::Bytes;
use http::Method;
use serde::Deserialize;

use super::{Both, Told, asking, parameter};
use crate::protocol::error::Refusal;
use crate::protocol::json::push_array;
use crate::protocol::operation::Operation;
use crate::protocol::order::compare;
use crate::protocol::printed::Printed;
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::protocol::target::CAPPED;
use crate::proxy::refuse::Failure;
use crate::routing::listing::{Items, Pages, Step, arranged, shown_of, window};
use crate::routing::{Home, target};

/// What there is of a list in one of them.
pub(super) enum Part {
    /// Its own items.
    Items(Items),
    /// Something else than a list.
    Other(Told),
}

impl Both<'_> {
    /// The list that was asked for.
    pub(super) async fn list(&self) -> Result<Told, Failure> {
        let operation = self.operation;
        let Ok((window, most)) = window(operation) else { return Ok(Told::refused(&Refusal::not_found())) };
        let names: Vec<String> = operation.names.clone();
        let all = target(operation.path, "", &names, &self.parameters(&["offset", "limit"]));
        let wanted = window.end(most);
        let items = match self.items(&all, wanted).await? {
            Part::Items(items) => items,
            Part::Other(told) => return Ok(told),
        };
        let Some(page) = window.cut(items, most) else { return Ok(Told::refused(&Refusal::internal())) };
        let mut body = Vec::new();
        push_array(&mut body, page, |out, item| out.extend_from_slice(item.get().as_bytes()));
        Ok(Told { status: 200, body: body.into() })
    }

    /// The items of a list of both, in the registry's order: all, or at least the first of them.
    pub(super) async fn items(&self, target: &str, wanted: usize) -> Result<Part, Failure> {
        let operation = asking(&Method::GET, target)?;
        let (ours, theirs) =
            tokio::join!(self.part(Home::Primary, &operation, wanted), self.part(Home::Local, &operation, wanted));
        let items = match (ours?, theirs?) {
            (Part::Items(mut items), Part::Items(more)) => {
                items.extend(more);
                items
            }
            // Where one of them has no such list, the other's is all there is.
            (Part::Items(items), Part::Other(told)) | (Part::Other(told), Part::Items(items)) if told.is_nothing() => {
                items
            }
            (Part::Other(told), Part::Other(other)) if told.is_nothing() => return Ok(Part::Other(other)),
            (Part::Other(told), _) | (_, Part::Other(told)) => return Ok(Part::Other(told)),
        };
        arranged(&operation, items, true).map(Part::Items).ok_or_else(|| self.unreadable(Home::Local))
    }

    /// What one of them lists of its own: all, or at least the first of it. What is not capped comes in one piece.
    pub(super) async fn part(&self, home: Home, operation: &Operation, wanted: usize) -> Result<Part, Failure> {
        let mut items = Items::new();
        // What moved while it was read comes twice.
        let mut known = HashSet::new();
        let mut pages = Pages::default();
        let is_capped = window(operation).is_ok_and(|(_, most)| most == CAPPED);
        let mark = if operation.target.contains('?') { '&' } else { '?' };
        loop {
            let page = match is_capped {
                true => asking(&Method::GET, &format!("{}{mark}{}", operation.target, pages.query()))?,
                false => operation.clone(),
            };
            let told = self.ask(home, page).await?;
            if !told.is_ok() {
                return Ok(Part::Other(told));
            }
            let page: Items = told.read().ok_or_else(|| self.unreadable(home))?;
            let step = if is_capped { pages.step(&page) } else { Step::Last };
            for item in page.into_iter().filter(|_| step != Step::Again) {
                let own = shown_of(operation, item, |scope| self.home(scope) == home);
                let own = own.ok_or_else(|| self.unreadable(home))?;
                items.extend(own.filter(|item| known.insert(item.get().to_owned())));
            }
            // Nothing of what comes later is of use, if it is what comes later.
            if step != Step::More || items.len() >= wanted && is_arranged(operation, &items) {
                return Ok(Part::Items(items));
            }
        }
    }

    /// The other contexts that have a subject of a name, in the order in which a registry goes through them.
    pub(super) async fn namesakes(&self, name: &str) -> Result<Result<Vec<QualifiedSubject>, Told>, Failure> {
        let query = [parameter("subjectPrefix", format!(":*:{name}")), parameter("deleted", "true")];
        let items = match self.items(&target("/subjects", "", &[], &query), usize::MAX).await? {
            Part::Items(items) => items,
            Part::Other(told) => return Ok(Err(told)),
        };
        let names = items.iter().filter_map(|item| serde_json::from_str::<String>(item.get()).ok());
        let mut found: Vec<QualifiedSubject> = names.map(|name| QualifiedSubject::parse(&name)).collect();
        found.retain(|subject| !subject.context.is_default() && *subject.subject == *name);
        found.sort_by(|one, other| compare(one.context.as_str(), other.context.as_str()));
        Ok(Ok(found))
    }

    /// A schema by its GUID: what the first context that has the content has of it. The content is the same in all of
    /// them, so what one registry has is enough where the other is away.
    pub(super) async fn by_guid(&self) -> Result<Told, Failure> {
        let listing = asking(&Method::GET, &target("/schemas/guids/{guid}/ids", "", &self.operation.names, &[]))?;
        let (ours, theirs) =
            tokio::join!(self.part(Home::Primary, &listing, usize::MAX), self.part(Home::Local, &listing, usize::MAX));
        let mut places: Vec<Place> = Vec::new();
        let mut missing = None;
        for part in [ours, theirs] {
            match part {
                Ok(Part::Items(items)) => {
                    places.extend(items.iter().filter_map(|item| serde_json::from_str::<Place>(item.get()).ok()));
                }
                Ok(Part::Other(told)) if told.is_nothing() => {}
                Ok(Part::Other(told)) => missing = missing.or(Some(Ok(told))),
                Err(failure) => missing = missing.or(Some(Err(failure))),
            }
        }
        let order = |place: &Place| (place.context != ".", place.context.encode_utf16().collect::<Vec<u16>>());
        let Some(first) = places.into_iter().min_by_key(order) else {
            return missing.unwrap_or_else(|| Ok(Told::refused(&Refusal::schema_not_found(self.operation.name()))));
        };
        let context = Context::named(&first.context);
        let mut query = vec![parameter("subject", context.unaliased())];
        query.extend(self.parameters(&[]).into_iter().filter(|(name, _)| name == "format"));
        let by_id = asking(&Method::GET, &target("/schemas/ids/{id}", "", &[first.id.to_string()], &query))?;
        let told = self.ask(self.home_of(&context), by_id).await?;
        Ok(match told.read::<Printed>() {
            Some(printed) => Told { body: Bytes::from(printed.without(&["subject", "version"])), ..told },
            // An id can outlive all who hold it, and there the registry stumbles.
            None if told.is_nothing() => Told::refused(&Refusal::internal()),
            None => told,
        })
    }
}

/// Whether items come in the registry's order, which some registries do not keep.
fn is_arranged(operation: &Operation, items: &Items) -> bool {
    let texts = |items: &Items| items.iter().map(|item| item.get().to_owned()).collect::<Vec<_>>();
    arranged(operation, items.clone(), true).is_some_and(|arranged| texts(&arranged) == texts(items))
}

/// Where a content lies.
#[derive(Deserialize)]
struct Place {
    context: String,
    id: i32,
}
