//! Keys that encrypt data, by subject, algorithm and version.

use schema_outpost::protocol::json::Object;
use schema_outpost::protocol::order;
use schema_outpost::protocol::subject::QualifiedSubject;
use schema_outpost::protocol::target::java_int;

use super::{Keys, Wish, exists, invalid, not_deleted, not_found};
use crate::body::{Expected, Members};
use crate::call::{Call, Reply};
use crate::failure::{Failure, Outcome};
use crate::metadata::one_of;
use crate::print;

/// A data encryption key, encrypted.
#[derive(Clone, Debug)]
pub(crate) struct Dek {
    material: String,
    ts: i64,
    pub(super) deleted: bool,
}

const ALGORITHMS: [&str; 3] = ["AES128_GCM", "AES256_SIV", "AES256_GCM"];
const DEFAULT: &str = "AES256_GCM";

type Key = (String, String, String, i32);

fn printed((kek, subject, algorithm, version): &Key, dek: &Dek) -> Reply {
    let mut out = Vec::new();
    let mut object = Object::open(&mut out);
    object.text("kekName", Some(kek)).text("subject", Some(subject)).number("version", Some((*version).into()));
    object.text("algorithm", Some(algorithm)).text("encryptedKeyMaterial", Some(&dek.material));
    object.number("ts", Some(dek.ts)).flag("deleted", dek.deleted.then_some(true));
    object.close();
    Reply::ok(out)
}

fn algorithm(call: &Call<'_>) -> Outcome<String> {
    match call.parameter("algorithm") {
        "" => Ok(DEFAULT.to_owned()),
        known if ALGORITHMS.contains(&known) => Ok(known.to_owned()),
        _ => Err(Failure::not_found()),
    }
}

fn check_kek(keys: &Keys, call: &Call<'_>, kek: &str) -> Outcome<()> {
    let known = keys.keks.get(kek).filter(|own| !own.deleted || call.flag("deleted"));
    known.map(|_| ()).ok_or_else(|| not_found(kek))
}

/// `POST /keks/{name}/deks[/{s}]`
pub(super) fn create(keys: &mut Keys, call: &Call<'_>, kek: &str, path: Option<String>) -> Outcome<Reply> {
    let argument = if path.is_some() { "createDekWithSubject.arg5" } else { "createDek.arg3" };
    let members = Members::read(call.body, Expected { class: "CreateDekRequest", argument })?;
    let algorithm = members.get("algorithm").map(|value| one_of("DekFormat", &ALGORITHMS, value)).transpose()?;
    check_kek(keys, call, kek)?;
    let written = members.text("subject")?.filter(|subject| !subject.is_empty());
    let written = written.map(|subject| QualifiedSubject::parse(&subject).to_string());
    let subject = path.or(written).ok_or_else(|| invalid("subject"))?;
    let version = members.number("version")?.unwrap_or(1);
    let algorithm = algorithm.unwrap_or_else(|| DEFAULT.to_owned());
    let key = (kek.to_owned(), subject, algorithm, version);
    if keys.deks.contains_key(&key) {
        return Err(exists(&key.1));
    }
    let material = members.text("encryptedKeyMaterial")?.filter(|material| !material.is_empty());
    let material = material.ok_or_else(|| invalid("encryptedKeyMaterial"))?;
    let dek = Dek { material, ts: call.now, deleted: false };
    let reply = printed(&key, &dek);
    keys.deks.insert(key, dek);
    Ok(reply)
}

/// `GET /keks/{name}/deks`
pub(super) fn subjects(keys: &Keys, call: &Call<'_>, kek: &str) -> Outcome<Reply> {
    check_kek(keys, call, kek)?;
    let all = call.flag("deleted");
    let own = keys.deks.iter().filter(|((name, ..), dek)| name == kek && (all || !dek.deleted));
    let mut names: Vec<&str> = own.map(|((_, subject, ..), _)| subject.as_str()).collect();
    names.sort_by(|left, right| order::compare(left, right));
    names.dedup();
    Ok(Reply::ok(print::texts(call.page(names, i32::MAX as usize)?)))
}

fn of_subject(keys: &Keys, kek: &str, subject: &str, algorithm: &str) -> Vec<Key> {
    let own = |(name, of, with, _): &&Key| name == kek && of == subject && with == algorithm;
    keys.deks.keys().filter(own).cloned().collect()
}

/// `GET /keks/{name}/deks/{s}/versions`
pub(super) fn versions(keys: &Keys, call: &Call<'_>, kek: &str, subject: &str) -> Outcome<Reply> {
    check_kek(keys, call, kek)?;
    let all = call.flag("deleted");
    let own = of_subject(keys, kek, subject, &algorithm(call)?);
    let shown = own.iter().filter(|key| all || !keys.deks[*key].deleted).map(|key| key.3).collect();
    Ok(Reply::ok(print::numbers_list(call.page(shown, i32::MAX as usize)?)))
}

/// What is about one version, or, to delete or undelete, about all versions of a subject.
pub(super) fn one(keys: &mut Keys, call: &Call<'_>, kek: &str, subject: &str, wish: Option<Wish>) -> Outcome<Reply> {
    check_kek(keys, call, kek)?;
    let mut own = of_subject(keys, kek, subject, &algorithm(call)?);
    match (call.operation.names.get(1), wish) {
        (Some(text), _) => {
            let version = wanted(keys, &own, text)?;
            own.retain(|key| key.3 == version);
        }
        // Without a version it is the first one that is shown.
        (None, None | Some(Wish::Show)) => own.retain(|key| key.3 == 1),
        (None, Some(_)) => {}
    }
    if own.is_empty() {
        return Err(not_found(subject));
    }
    match wish.unwrap_or(Wish::Show) {
        Wish::Show => {
            let shown = own.iter().find(|key| call.flag("deleted") || !keys.deks[*key].deleted);
            return shown.map(|key| printed(key, &keys.deks[key])).ok_or_else(|| not_found(subject));
        }
        Wish::Undelete => mark(keys, &own, false),
        Wish::Delete if !call.flag("permanent") => mark(keys, &own, true),
        Wish::Delete if own.iter().any(|key| !keys.deks[key].deleted) => return Err(not_deleted(subject)),
        Wish::Delete => own.iter().for_each(|key| drop(keys.deks.remove(key))),
    }
    Ok(Reply::nothing())
}

fn mark(keys: &mut Keys, own: &[Key], deleted: bool) {
    for key in own {
        if let Some(dek) = keys.deks.get_mut(key) {
            dek.deleted = deleted;
        }
    }
}

fn wanted(keys: &Keys, own: &[Key], text: &str) -> Outcome<i32> {
    if text.eq_ignore_ascii_case("latest") || text == "-1" {
        let live = own.iter().filter(|key| !keys.deks[*key].deleted);
        return Ok(live.map(|key| key.3).max().unwrap_or(-1));
    }
    java_int(text).filter(|number| *number > 0).ok_or_else(|| Failure::invalid_version(text))
}
