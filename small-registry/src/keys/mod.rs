//! The DEK registry (WIRE.md § 1.23), without a KMS: keys are stored and handed out, never made or opened.

mod deks;
mod keks;

use std::collections::BTreeMap;

use schema_outpost::protocol::target::{Segment, split};

use crate::call::{Call, Reply};
use crate::failure::{Failure, Outcome};
use crate::state::State;

pub(crate) use deks::Dek;
pub(crate) use keks::Kek;

/// Every key.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    keks: BTreeMap<String, Kek>,
    /// By KEK, subject, algorithm and version.
    deks: BTreeMap<(String, String, String, i32), Dek>,
}

/// Which of several things at once are shown or meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    Show,
    Delete,
    Undelete,
}

fn not_found(name: &str) -> Failure {
    Failure::new(404, 40470, format!("Key '{name}' not found"))
}

fn not_deleted(name: &str) -> Failure {
    Failure::new(404, 40471, format!("Key '{name}' was not deleted first before being permanently deleted"))
}

fn exists(name: &str) -> Failure {
    Failure::new(409, 40971, format!("Key '{name}' already exists; use a different value"))
}

fn invalid(field: &str) -> Failure {
    Failure::new(422, 42271, format!("Invalid or missing value for field '{field}' of key"))
}

/// Answers what is asked below `/dek-registry/v1/keks`.
pub(crate) fn answer(state: &mut State, call: &Call<'_>) -> Outcome<Reply> {
    let path = call.operation.target.split('?').next().unwrap_or_default();
    let segments: Vec<Segment> = split(path).map_err(|_| Failure::not_found())?;
    let below = segments.iter().skip_while(|segment| segment.raw != "keks").skip(1);
    let words: Vec<&str> = below.map(|segment| segment.raw).collect();
    let subject = call.subject(state).to_string();
    let (keys, kek) = (&mut state.keys, call.operation.name().to_owned());
    let wish = match (call.operation.method.as_str(), words.last()) {
        ("DELETE", _) => Wish::Delete,
        ("POST", Some(&"undelete")) => Wish::Undelete,
        _ => Wish::Show,
    };
    let writes = call.operation.method == http::Method::POST && wish == Wish::Show;
    match words.as_slice() {
        [] if writes => keks::create(keys, call),
        [] => keks::list(keys, call),
        [_, "test"] => keks::test(keys, &kek),
        [_, "deks"] if writes => deks::create(keys, call, &kek, None),
        [_, "deks"] => deks::subjects(keys, call, &kek),
        [_, "deks", _] if writes => deks::create(keys, call, &kek, Some(subject)),
        [_, "deks", _, "versions"] => deks::versions(keys, call, &kek, &subject),
        [_, "deks", _, "versions", ..] => deks::one(keys, call, &kek, &subject, Some(wish)),
        [_, "deks", _, ..] => deks::one(keys, call, &kek, &subject, if wish == Wish::Show { None } else { Some(wish) }),
        [_] if call.operation.method == http::Method::PUT => keks::update(keys, call, &kek),
        _ => keks::one(keys, call, &kek, wish),
    }
}
