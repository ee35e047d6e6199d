//! Keys that encrypt keys.

use std::collections::BTreeMap;

use schema_outpost::protocol::json::{Object, push_string};
use serde_json::Value;

use super::{Keys, Wish, exists, invalid, not_deleted, not_found};
use crate::body::{Expected, Members, text};
use crate::call::{Call, Reply};
use crate::failure::{Failure, Outcome};
use crate::print;

/// A key encryption key: where the key is, never the key itself.
#[derive(Clone, Debug)]
pub(crate) struct Kek {
    name: String,
    kms_type: String,
    kms_key_id: String,
    properties: BTreeMap<String, String>,
    doc: Option<String>,
    shared: bool,
    ts: i64,
    pub(super) deleted: bool,
}

impl Kek {
    fn print(&self) -> Reply {
        let mut out = Vec::new();
        let mut object = Object::open(&mut out);
        object.text("name", Some(&self.name)).text("kmsType", Some(&self.kms_type));
        object.text("kmsKeyId", Some(&self.kms_key_id));
        let mut properties = Object::open(object.key("kmsProps"));
        self.properties.iter().for_each(|(key, value)| push_string(properties.key(key), value));
        properties.close();
        object.text("doc", self.doc.as_deref()).flag("shared", Some(self.shared)).number("ts", Some(self.ts));
        object.flag("deleted", self.deleted.then_some(true));
        object.close();
        Reply::ok(out)
    }
}

fn properties(members: &Members) -> Outcome<Option<BTreeMap<String, String>>> {
    let Some(Value::Object(properties)) = members.get("kmsProps") else { return Ok(None) };
    properties.iter().map(|(key, value)| Ok((key.clone(), text(value)?))).collect::<Outcome<_>>().map(Some)
}

fn is_name(name: &str) -> bool {
    name.len() <= 256
        && name.starts_with(|first: char| first.is_alphabetic() || first == '_')
        && name.chars().all(|character| character.is_alphanumeric() || "_-".contains(character))
}

/// `POST /keks`
pub(super) fn create(keys: &mut Keys, call: &Call<'_>) -> Outcome<Reply> {
    let members = Members::read(call.body, Expected { class: "CreateKekRequest", argument: "createKek.arg3" })?;
    let name = members.text("name")?.filter(|name| is_name(name)).ok_or_else(|| invalid("name"))?;
    let given = |field: &str| members.text(field)?.filter(|value| !value.is_empty()).ok_or_else(|| invalid(field));
    let (kms_type, kms_key_id) = (given("kmsType")?, given("kmsKeyId")?);
    if let Some(own) = keys.keks.get(&name) {
        return Err(match own {
            own if own.kms_type != kms_type => invalid("kmsType"),
            own if own.kms_key_id != kms_key_id => invalid("kmsKeyId"),
            own if own.deleted => Failure::new(404, 40472, format!("Key '{name}' must be undeleted first")),
            _ => exists(&name),
        });
    }
    let kek = Kek {
        name: name.clone(),
        kms_type,
        kms_key_id,
        properties: properties(&members)?.unwrap_or_default(),
        doc: members.text("doc")?,
        shared: members.flag("shared")?.unwrap_or(false),
        ts: call.now,
        deleted: false,
    };
    let reply = kek.print();
    keys.keks.insert(name, kek);
    Ok(reply)
}

/// `PUT /keks/{name}`
pub(super) fn update(keys: &mut Keys, call: &Call<'_>, name: &str) -> Outcome<Reply> {
    let members = Members::read(call.body, Expected { class: "UpdateKekRequest", argument: "putKek.arg4" })?;
    let kek = keys.keks.get_mut(name).filter(|kek| !kek.deleted).ok_or_else(|| not_found(name))?;
    let cleared = |field: &str| members.has(field) && members.get(field).is_none();
    if ["kmsProps", "doc", "shared"].into_iter().any(cleared) {
        return Err(Failure::internal());
    }
    if let Some(properties) = properties(&members)? {
        kek.properties = properties;
    }
    if let Some(doc) = members.text("doc")? {
        kek.doc = Some(doc);
    }
    if let Some(shared) = members.flag("shared")? {
        kek.shared = shared;
    }
    kek.ts = call.now;
    Ok(kek.print())
}

/// `GET /keks`
pub(super) fn list(keys: &Keys, call: &Call<'_>) -> Outcome<Reply> {
    let all = call.flag("deleted");
    let prefixes: Vec<&str> = call.operation.query.all("subjectPrefix").collect();
    let has = |name: &str| {
        let mut own = keys.deks.iter().filter(|((kek, ..), dek)| kek == name && (all || !dek.deleted));
        own.any(|((_, subject, ..), _)| prefixes.iter().any(|prefix| subject.starts_with(prefix)))
    };
    let shown = keys.keks.values().filter(|kek| (all || !kek.deleted) && (prefixes.is_empty() || has(&kek.name)));
    let names = call.page(shown.map(|kek| kek.name.as_str()).collect(), i32::MAX as usize)?;
    Ok(Reply::ok(print::texts(names)))
}

/// `GET`, `DELETE /keks/{name}` and `POST /keks/{name}/undelete`
pub(super) fn one(keys: &mut Keys, call: &Call<'_>, name: &str, wish: Wish) -> Outcome<Reply> {
    let referenced = keys.deks.keys().any(|(kek, ..)| kek == name);
    let kek = keys.keks.get_mut(name).ok_or_else(|| not_found(name))?;
    match wish {
        Wish::Show if kek.deleted && !call.flag("deleted") => return Err(not_found(name)),
        Wish::Show => return Ok(kek.print()),
        Wish::Undelete => kek.deleted = false,
        Wish::Delete if referenced => {
            return Err(Failure::new(422, 42272, format!("One or more references exist to the key '{name}'")));
        }
        Wish::Delete if !call.flag("permanent") => kek.deleted = true,
        Wish::Delete if !kek.deleted => return Err(not_deleted(name)),
        Wish::Delete => drop(keys.keks.remove(name)),
    }
    Ok(Reply::nothing())
}

/// `POST /keks/{name}/test`: only a shared key can be tested, and that takes a KMS.
pub(super) fn test(keys: &Keys, name: &str) -> Outcome<Reply> {
    let kek = keys.keks.get(name).ok_or_else(|| not_found(name))?;
    Err(if kek.shared { Failure::internal() } else { invalid("shared") })
}
