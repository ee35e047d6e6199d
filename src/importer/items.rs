//! The items of a list one by one, so that a broken one does not take the others with it.

use serde::Deserialize;

use super::status::{Reason, Skipped};
use crate::protocol::schema::{Listed, Version};

// A registry keeps its schemas in messages of a megabyte or a few; what is larger is an accident.
const LARGEST_TEXT: usize = 16 << 20;

/// The MD5 of nothing, which is the GUID of a version that was imported without a text (WIRE.md § 1.5).
const GUID_OF_NOTHING: &str = "d41d8cd9-8f00-b204-e980-0998ecf8427e";

/// A version as an item showed it.
#[derive(Debug)]
pub(super) struct Item {
    /// The subject as printed; absent where the registry does not say it.
    pub(super) subject: Option<String>,
    /// The version.
    pub(super) version: Version,
    /// Whether the item says if the version is soft-deleted; registries before 8.0 do not.
    pub(super) tells_deletion: bool,
}

#[derive(Deserialize)]
struct Deletion {
    deleted: Option<bool>,
}

/// What can be told of an item that is no version.
#[derive(Default, Deserialize)]
struct Remains {
    subject: Option<serde_json::Value>,
    version: Option<serde_json::Value>,
    deleted: Option<serde_json::Value>,
}

/// Reads one item; what cannot be read is named as well as it can be.
pub(super) fn read(item: &[u8]) -> Result<Item, Skipped> {
    let reason = match serde_json::from_slice::<Listed>(item) {
        Ok(Listed { subject, version }) => match flaw(&version) {
            None => {
                let says = |deletion: Deletion| deletion.deleted.is_some();
                let tells_deletion = version.deleted || serde_json::from_slice(item).is_ok_and(says);
                return Ok(Item { subject, version, tells_deletion });
            }
            Some(reason) => reason,
        },
        Err(error) => Reason::Unreadable(error.to_string()),
    };
    let lossy = String::from_utf8_lossy(item);
    let remains: Remains = serde_json::from_str(&lossy).unwrap_or_default();
    let number = remains.version.as_ref().and_then(serde_json::Value::as_i64);
    Err(Skipped {
        subject: remains.subject.as_ref().and_then(serde_json::Value::as_str).map(str::to_owned),
        version: number.and_then(|number| i32::try_from(number).ok()),
        deleted: remains.deleted.as_ref().and_then(serde_json::Value::as_bool).unwrap_or(false),
        reason,
    })
}

/// Whether the item is an object without a subject or without an id, as in lists that are of no use to us.
pub(super) fn is_anonymous(item: &[u8]) -> bool {
    let object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(item);
    object.is_ok_and(|object| !object.contains_key("subject") || !object.contains_key("id"))
}

fn flaw(version: &Version) -> Option<Reason> {
    if version.version < 1 {
        return Some(Reason::Unreadable(format!("version {} is no version", version.version)));
    }
    if version.text.len() > LARGEST_TEXT {
        return Some(Reason::TooLarge);
    }
    if version.text.is_empty() && version.guid.as_deref() != Some(GUID_OF_NOTHING) {
        return Some(Reason::Unreadable("it has no schema".to_owned()));
    }
    None
}

/// Finds the items of a JSON array without reading them; `null` is an empty one, and what is no
/// whole array is nothing.
pub(super) fn split(body: &[u8]) -> Option<Vec<&[u8]>> {
    let body = body.trim_ascii();
    if body == b"null" {
        return Some(Vec::new());
    }
    let inside = body.strip_prefix(b"[")?.strip_suffix(b"]")?;
    if inside.trim_ascii().is_empty() {
        return Some(Vec::new());
    }
    let mut items = Vec::new();
    let (mut start, mut depth, mut quoted, mut escaped) = (0, 0_usize, false, false);
    for (at, byte) in inside.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.checked_sub(1)?,
            b',' if depth == 0 => {
                items.push(inside[start..at].trim_ascii());
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push(inside[start..].trim_ascii());
    (depth == 0 && !quoted).then_some(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_found_whatever_stands_in_them() {
        for (body, items) in [
            ("[]", &[][..]),
            (" null\n", &[]),
            ("[ ]", &[]),
            ("[1, {\"a\":\"],\\\"\"},[2,[3]]]\n", &["1", "{\"a\":\"],\\\"\"}", "[2,[3]]"]),
        ] {
            let found = split(body.as_bytes()).expect("a whole array");
            let found: Vec<_> = found.into_iter().map(|item| std::str::from_utf8(item).expect("text")).collect();
            assert_eq!(found, items, "{body}");
        }
    }

    #[test]
    fn what_is_no_whole_array_is_nothing() {
        for body in ["", "{}", "[1", "[{]", "[\"]", "<html>", "[}]"] {
            assert!(split(body.as_bytes()).is_none(), "{body}");
        }
    }

    #[test]
    fn a_broken_item_is_named_as_well_as_it_can_be() {
        for (item, subject, version) in [
            (&br#"{"subject":"s","version":3,"id":"x","schema":"{}"}"#[..], Some("s"), Some(3)),
            (br#"{"subject":"s","version":3,"id":null,"schema":"{}"}"#, Some("s"), Some(3)),
            (br#"{"subject":7,"version":"3","id":1,"schema":"{}"}"#, None, None),
            (b"{\"subject\":\"s\",\"version\":3,\"id\":1,\"schema\":\"\xff\"}", Some("s"), Some(3)),
            (br#"{"subject":"s","version":3,"id":1,"schema":null}"#, Some("s"), Some(3)),
            (br#"{"subject":"s","version":3,"#, None, None),
            (b"17", None, None),
        ] {
            let skipped = read(item).expect_err("no version");
            assert_eq!((skipped.subject.as_deref(), skipped.version), (subject, version), "{skipped:?}");
        }
    }

    #[test]
    fn a_version_of_an_unknown_type_is_a_version_and_so_is_one_without_a_text() {
        let strange = br#"{"subject":"s","version":1,"id":1,"schemaType":"THRIFT","schema":"struct"}"#;
        let item = read(strange).expect("a version");
        assert_eq!(item.version.schema_type.as_str(), "THRIFT");
        assert!(!item.tells_deletion);
        let empty =
            br#"{"subject":"s","version":1,"id":1,"guid":"d41d8cd9-8f00-b204-e980-0998ecf8427e","deleted":false}"#;
        assert!(read(empty).expect("a version").tells_deletion);
    }

    #[test]
    fn a_text_of_twenty_megabytes_is_left_out() {
        let item = format!(r#"{{"subject":"s","version":1,"id":1,"schema":"{}"}}"#, "x".repeat(20 << 20));
        let skipped = read(item.as_bytes()).expect_err("too large");
        assert_eq!(skipped.reason, Reason::TooLarge);
        assert_eq!(skipped.subject.as_deref(), Some("s"));
    }
}
