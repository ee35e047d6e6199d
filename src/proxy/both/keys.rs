//! The KEKs that encrypt the keys of some subjects (WIRE.md § 1.23).
//!
//! A name in that list does not say whose keys it encrypts, so that is found out key by key.

use std::collections::BTreeSet;

use http::Method;

use super::lists::Part;
use super::{Both, Told, asking, parameter};
use crate::protocol::error::Refusal;
use crate::protocol::json::{push_array, push_string};
use crate::protocol::order::compare;
use crate::proxy::refuse::Failure;
use crate::routing::listing::{Items, window};
use crate::routing::{Home, target};

const KEKS: &str = "/dek-registry/v1/keks";

impl Both<'_> {
    /// The KEKs of subjects that begin as is asked.
    pub(super) async fn keks(&self) -> Result<Told, Failure> {
        let Ok((window, most)) = window(self.operation) else { return Ok(Told::refused(&Refusal::not_found())) };
        let deleted = [parameter("deleted", self.operation.query.flag("deleted").to_string())];
        let starts: Vec<&str> = self.operation.query.all("subjectPrefix").collect();
        let mut found = BTreeSet::new();
        let mut refused = Vec::new();
        for home in [Home::Primary, Home::Local] {
            let names = match self.names(home, &target(KEKS, "", &[], &deleted)).await? {
                Ok(names) => names,
                Err(told) => {
                    refused.push(told);
                    continue;
                }
            };
            for name in names {
                let of_it = asking(
                    &Method::GET,
                    &target(&format!("{KEKS}/{{name}}/deks"), "", std::slice::from_ref(&name), &deleted),
                )?;
                let subjects = match self.part(home, &of_it, usize::MAX).await? {
                    Part::Items(items) => texts(&items),
                    Part::Other(told) if told.is_nothing() => Vec::new(),
                    Part::Other(told) => return Ok(told),
                };
                if subjects.iter().any(|subject| starts.iter().any(|start| subject.starts_with(start))) {
                    found.insert(name);
                }
            }
        }
        // Not every registry knows keys.
        if let Some(told) = refused.pop_if(|told| !told.is_nothing()).or_else(|| refused.into_iter().nth(1)) {
            return Ok(told);
        }
        let mut names: Vec<String> = found.into_iter().collect();
        names.sort_by(|one, other| compare(one, other));
        let Some(page) = window.cut(names, most) else { return Ok(Told::refused(&Refusal::internal())) };
        let mut body = Vec::new();
        push_array(&mut body, page, |out, name| push_string(out, &name));
        Ok(Told { status: 200, body: body.into() })
    }

    async fn names(&self, home: Home, target: &str) -> Result<Result<Vec<String>, Told>, Failure> {
        let told = self.ask(home, asking(&Method::GET, target)?).await?;
        if !told.is_ok() {
            return Ok(Err(told));
        }
        told.read().map(Ok).ok_or_else(|| self.unreadable(home))
    }
}

fn texts(items: &Items) -> Vec<String> {
    items.iter().filter_map(|item| serde_json::from_str(item.get()).ok()).collect()
}
