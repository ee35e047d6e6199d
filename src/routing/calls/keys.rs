//! The names of KEKs that encrypt the keys of some subjects (WIRE.md § 1.23).
//!
//! A prefix is a plain beginning of the whole name there, context and all. Nothing is the beginning of the primary's
//! default context alone, so what is asked of that as a whole is found out key by key.

use std::collections::BTreeSet;

use http::StatusCode;

use super::super::primary::{Primary, refused};
use super::super::rename::target;
use super::gather::{page_of, read, unreadable};
use super::search::question;
use crate::protocol::error::Refusal;
use crate::protocol::json::push_string;
use crate::protocol::operation::Operation;
use crate::protocol::order::compare;
use crate::protocol::subject::QualifiedSubject;
use crate::protocol::target::UNCAPPED;
use crate::upstream::{Answer, Call, Failure};

const KEKS: &str = "/dek-registry/v1/keks";

/// Lists the KEKs of subjects of ours that begin as is asked.
pub(in crate::routing) async fn keks(primary: &Primary, operation: &Operation, call: &Call) -> Result<Answer, Failure> {
    let Ok(window) = operation.query.page() else { return Ok(refused(&call.method, &Refusal::not_found())) };
    let deleted = ("deleted".to_owned(), operation.query.flag("deleted").to_string());
    let prefixes = operation.query.all("subjectPrefix").flat_map(|start| primary.contexts().beginnings_there(start));
    let (whole, beginnings): (Vec<String>, Vec<String>) =
        prefixes.partition(|start| matches!(start.as_str(), "" | ":"));
    let beginnings = beginnings.into_iter().map(|start| ("subjectPrefix".to_owned(), start));
    let query: Vec<(String, String)> = beginnings.chain([deleted.clone()]).collect();
    let mut names = BTreeSet::new();
    let mut last = None;
    if query.len() > 1 {
        let answer = listed(primary, operation, call, &target(KEKS, "", &[], &query), &mut names).await?;
        if answer.status != StatusCode::OK {
            return Ok(answer);
        }
        last = Some(answer);
    }
    // Without a prefix of its own, what lies in the primary's default context does not show in a list of KEKs.
    if !whole.is_empty() || last.is_none() {
        let mut all = BTreeSet::new();
        let answer =
            listed(primary, operation, call, &target(KEKS, "", &[], std::slice::from_ref(&deleted)), &mut all).await?;
        if answer.status != StatusCode::OK {
            return Ok(answer);
        }
        last = Some(answer);
        for name in all.into_iter().filter(|_| !whole.is_empty()) {
            let path = format!("{KEKS}/{{name}}/deks");
            let target = target(&path, "", std::slice::from_ref(&name), std::slice::from_ref(&deleted));
            let mut subjects = BTreeSet::new();
            listed(primary, operation, call, &target, &mut subjects).await?;
            let is_in_default = |subject: &&String| QualifiedSubject::parse(subject).context.is_default();
            let begins = |subject: &String| whole.iter().any(|start| subject.starts_with(start));
            if subjects.iter().filter(is_in_default).any(begins) {
                names.insert(name);
            }
        }
    }
    let mut names: Vec<String> = names.into_iter().collect();
    names.sort_by(|one, other| compare(one, other));
    let answer = last.ok_or_else(unreadable)?;
    Ok(page_of(answer, call, window.cut(names, UNCAPPED), |out, name| push_string(out, &name)))
}

/// A list of names, as the primary has them.
async fn listed(
    primary: &Primary,
    operation: &Operation,
    call: &Call,
    target: &str,
    names: &mut BTreeSet<String>,
) -> Result<Answer, Failure> {
    let mut is_list = true;
    let asked = question(call, target.to_owned());
    let answer = read(primary, operation, &asked, target, |item| match serde_json::from_str(item.get()) {
        Ok(name) => drop(names.insert(name)),
        Err(_) => is_list = false,
    })
    .await?;
    if is_list { Ok(answer) } else { Err(unreadable()) }
}
