//! Protobuf schemas: the text as it is, until it is read.

use super::{Referenced, Unreadable};

pub(super) fn canonical(text: &str, _references: &[Referenced], _normalize: bool) -> Result<String, Unreadable> {
    Ok(text.to_owned())
}

pub(super) fn formatted(_text: &str, _format: &str) -> Option<String> {
    None
}
