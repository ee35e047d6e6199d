//! Who refers to a version, in either registry.
//!
//! Both tell the ids of referrers alone, and not in which contexts they are, nor which of them are copies of the
//! other's. So of each context the registry that it belongs to is asked what it has under each of the ids that it told.

use http::Method;
use serde::de::IgnoredAny;

use super::lists::Part;
use super::search::again;
use super::{Both, Told, asking, parameter};
use crate::protocol::endpoints::Route;
use crate::protocol::error::Refusal;
use crate::protocol::json::push_array;
use crate::protocol::order::compare;
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::proxy::refuse::Failure;
use crate::routing::listing::{Pages, Step, window};
use crate::routing::{Home, refers, target};

impl Both<'_> {
    /// The ids of those that refer to a version.
    pub(super) async fn referrers(&self) -> Result<Told, Failure> {
        let Ok((window, most)) = window(self.operation) else { return Ok(Told::refused(&Refusal::not_found())) };
        let Both { operation, .. } = self;
        let deleted = [parameter("deleted", "true")];
        let version =
            target("/subjects/{subject}/versions/{version}", &operation.subject_text, &operation.names, &deleted);
        let found = match self.find_version(asking(&Method::GET, &version)?).await? {
            Ok(found) => found,
            Err(told) => return Ok(told),
        };
        let wanted = (&found.subject, found.version);
        let mut referrers: Vec<(Context, i32)> = Vec::new();
        for home in [Home::Primary, Home::Local] {
            let ids = match self.told_by(home, wanted).await? {
                Ok(ids) => ids,
                // To what is not there nothing refers.
                Err(told) if told.is_nothing() && home != found.home => continue,
                Err(told) => return Ok(told),
            };
            if ids.is_empty() {
                continue;
            }
            let contexts = match self.part(home, &asking(&Method::GET, "/contexts")?, usize::MAX).await? {
                Part::Items(items) => items,
                Part::Other(told) => return Ok(told),
            };
            for context in contexts.iter().filter_map(|name| serde_json::from_str::<String>(name.get()).ok()) {
                let context = Context::named(&context);
                for id in &ids {
                    if self.is_referrer(home, (&context, *id), wanted).await? {
                        referrers.push((context.clone(), *id));
                    }
                }
            }
        }
        referrers.sort_by(|(one, id), (other, other_id)| {
            compare(one.as_str(), other.as_str()).then_with(|| id.cmp(other_id))
        });
        let Some(page) = window.cut(referrers, most) else { return Ok(Told::refused(&Refusal::internal())) };
        let mut body = Vec::new();
        push_array(&mut body, page, |out, (_, id)| out.extend_from_slice(id.to_string().as_bytes()));
        Ok(Told { status: 200, body: body.into() })
    }

    /// The ids of all that one of them knows to refer to a version, its copies of the other's too.
    async fn told_by(
        &self,
        home: Home,
        (subject, version): (&QualifiedSubject, i32),
    ) -> Result<Result<Vec<i32>, Told>, Failure> {
        let deleted = [parameter("deleted", self.operation.query.flag("deleted").to_string())];
        let all = target(self.operation.path, "s", &[version.to_string()], &deleted);
        let all = again(&asking(&Method::GET, &all)?, subject)?;
        debug_assert_eq!(all.route, Route::ReferencedBy);
        let (mut ids, mut pages) = (Vec::new(), Pages::default());
        loop {
            let told = self.ask(home, asking(&Method::GET, &format!("{}&{}", all.target, pages.query()))?).await?;
            if !told.is_ok() {
                return Ok(Err(told));
            }
            let page: Vec<Box<serde_json::value::RawValue>> = told.read().ok_or_else(|| self.unreadable(home))?;
            let step = pages.step(&page);
            let told: Option<Vec<i32>> = page.iter().map(|id| id.get().parse().ok()).collect();
            ids.extend(told.ok_or_else(|| self.unreadable(home))?);
            if step != Step::More {
                ids.sort_unstable();
                ids.dedup();
                return Ok(Ok(ids));
            }
        }
    }

    /// Whether what a context has under an id refers to a version, and is to be shown.
    async fn is_referrer(
        &self,
        home: Home,
        (context, id): (&Context, i32),
        wanted: (&QualifiedSubject, i32),
    ) -> Result<bool, Failure> {
        let names = [id.to_string()];
        let deleted = parameter("deleted", self.operation.query.flag("deleted").to_string());
        let query = [parameter("subject", context.unaliased()), deleted];
        let told = self.ask(home, asking(&Method::GET, &target("/schemas/ids/{id}", "", &names, &query[..1]))?).await?;
        if told.is_nothing() {
            return Ok(false);
        }
        let refers = refers(&told.body, context, wanted).filter(|_| told.is_ok());
        if !refers.ok_or_else(|| self.unreadable(home))? {
            return Ok(false);
        }
        // The id is shown as long as one of those that hold it is.
        let holders = target("/schemas/ids/{id}/versions", "", &names, &query);
        let told = self.ask(home, asking(&Method::GET, &holders)?).await?;
        let shown: Vec<IgnoredAny> = told.read().ok_or_else(|| self.unreadable(home))?;
        Ok(!shown.is_empty())
    }
}
