//! How a version is written down: everything but its subject, which its key names, and its text, which has a row of
//! its own.
//!
//! Not JSON, because a start reads all rows before it can answer anything, and reading JSON took most of it. Numbers
//! are little-endian; what may be of any length is preceded by its length.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::texts::TextKey;
use crate::protocol::schema::{SchemaType, Version};

const DELETED: u8 = 1;
const HAS_TIME: u8 = 2;
const HAS_GUID: u8 = 4;
/// Whether anything follows the fixed part.
const HAS_MORE: u8 = 8;

const TYPES: [SchemaType; 3] = [SchemaType::Avro, SchemaType::Json, SchemaType::Protobuf];

/// Why a row cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not written as a version is")]
pub(super) struct Garbled;

/// Writes a version whose text has a key.
pub(super) fn write(version: &Version, text: &TextKey) -> Vec<u8> {
    let raws = [&version.references, &version.metadata, &version.rule_set, &version.schema_tags];
    let known_type = TYPES.iter().position(|known| *known == version.schema_type);
    let has_more = known_type.is_none() || !version.unknown.is_empty() || raws.iter().any(|raw| raw.is_some());
    let flag = |flag: u8, set: bool| if set { flag } else { 0 };
    let mut out = Vec::with_capacity(96);
    out.push(
        flag(DELETED, version.deleted)
            | flag(HAS_TIME, version.ts.is_some())
            | flag(HAS_GUID, version.guid.is_some())
            | flag(HAS_MORE, has_more),
    );
    out.extend(version.id.to_le_bytes());
    out.extend(text.0);
    out.extend(version.ts.unwrap_or_default().to_le_bytes());
    out.push(known_type.and_then(|known| u8::try_from(known).ok()).unwrap_or(u8::MAX));
    if let Some(guid) = &version.guid {
        push(&mut out, guid);
    }
    if has_more {
        push(&mut out, if known_type.is_none() { version.schema_type.as_str() } else { "" });
        // Nothing that is printed as JSON is empty, so an empty one is none.
        raws.into_iter().for_each(|raw| push(&mut out, raw.as_deref().map_or("", RawValue::get)));
        for (name, value) in &version.unknown {
            push(&mut out, name);
            push(&mut out, value.get());
        }
    }
    out
}

/// Reads a version and the key of its text, which is left empty.
pub(super) fn read(number: i32, row: &[u8], nothing: &Arc<str>) -> Result<(Version, TextKey), Garbled> {
    let mut row = Row(row);
    let [flags] = row.fixed()?;
    let has = |flag: u8| flags & flag != 0;
    let id = i32::from_le_bytes(row.fixed()?);
    let key = TextKey(row.fixed()?);
    let ts = i64::from_le_bytes(row.fixed()?);
    let [known_type] = row.fixed()?;
    let mut version = Version {
        version: number,
        id,
        guid: if has(HAS_GUID) { Some(Arc::from(row.text()?)) } else { None },
        schema_type: TYPES.get(usize::from(known_type)).cloned().unwrap_or(SchemaType::Avro),
        references: None,
        metadata: None,
        rule_set: None,
        schema_tags: None,
        text: nothing.clone(),
        ts: has(HAS_TIME).then_some(ts),
        deleted: has(DELETED),
        unknown: Vec::new(),
    };
    if has(HAS_MORE) {
        let other_type = row.text()?;
        if known_type == u8::MAX {
            version.schema_type = SchemaType::Other(Arc::from(other_type));
        }
        version.references = row.raw()?;
        version.metadata = row.raw()?;
        version.rule_set = row.raw()?;
        version.schema_tags = row.raw()?;
        while !row.0.is_empty() {
            let name = Arc::from(row.text()?);
            version.unknown.push((name, row.raw()?.ok_or(Garbled)?));
        }
    }
    if row.0.is_empty() { Ok((version, key)) } else { Err(Garbled) }
}

fn push(out: &mut Vec<u8>, text: &str) {
    // A registry's answer that were longer would not have been read.
    let length = u32::try_from(text.len()).expect("BUG: a part of a version is longer than an answer can be");
    out.extend(length.to_le_bytes());
    out.extend(text.as_bytes());
}

/// What is left of a row.
struct Row<'a>(&'a [u8]);

impl<'a> Row<'a> {
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Garbled> {
        let (fixed, rest) = self.0.split_first_chunk().ok_or(Garbled)?;
        self.0 = rest;
        Ok(*fixed)
    }

    fn text(&mut self) -> Result<&'a str, Garbled> {
        let length = usize::try_from(u32::from_le_bytes(self.fixed()?)).map_err(|_| Garbled)?;
        let (text, rest) = self.0.split_at_checked(length).ok_or(Garbled)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| Garbled)
    }

    fn raw(&mut self) -> Result<Option<Arc<RawValue>>, Garbled> {
        let text = self.text()?;
        if text.is_empty() {
            return Ok(None);
        }
        let raw = RawValue::from_string(text.to_owned()).map_err(|_| Garbled)?;
        Ok(Some(Arc::from(raw)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::schema::{Listed, print_listed};

    #[test]
    fn a_version_comes_back_with_all_that_the_primary_printed() {
        for printed in [
            r#"{"subject":"s","version":1,"id":7,"schemaType":"AVRO","schema":"text","deleted":false}"#,
            r#"{"subject":"s","version":3,"id":-7,"guid":"g","schemaType":"PROTOBUF","schema":"text","ts":0,"deleted":true}"#,
            r#"{"subject":"s","version":2,"id":7,"guid":"g","schemaType":"XML","references":[{"name":"n"}],"metadata":{"properties":{"n":"1e2"}},"schema":"text","ts":-5,"deleted":false,"ruleSet":{"x":1.50},"schemaTags":[{"a":"\uD83D\uDED2"}],"future":[1, 2],"more":"x"}"#,
        ] {
            let listed: Listed = serde_json::from_str(printed).expect("a version");
            let key = TextKey::of("text");
            let row = write(&listed.version, &key);
            let (version, of) = read(listed.version.version, &row, &Arc::from("text")).expect("readable");
            assert_eq!(of, key);
            assert_eq!(String::from_utf8(print_listed("s", &version)).expect("JSON is UTF-8"), printed);
            for end in 0..row.len() {
                let half = read(1, &row[..end], &Arc::from(""));
                // What comes last may be missing whole without leaving a mark.
                let is_shorter = half.is_ok_and(|(half, _)| half.unknown.len() < version.unknown.len());
                assert!(is_shorter || read(1, &row[..end], &Arc::from("")).is_err(), "{end} bytes of {printed}");
            }
            assert!(read(1, &[&row[..], b"x"].concat(), &Arc::from("")).is_err());
        }
    }
}
