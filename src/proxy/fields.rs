//! Two fields of a request that the proxy itself heeds: its id, and what the client takes.

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// The header by which one request is followed through all logs.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static(ID);
pub(super) const ID: &str = "x-request-id";

/// The header by which a client says that it takes fields that it may not know (WIRE.md § 8.4).
pub(super) const UNKNOWN_PROPERTIES: &str = "confluent-accept-unknown-properties";

/// Whether it does.
pub(super) fn takes_unknown(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"true")
}

/// The request's own id, if it has exactly one that is not blank; else a fresh one (WIRE.md § 0.2).
pub(super) fn request_id(headers: &HeaderMap) -> HeaderValue {
    let mut values = headers.get_all(&REQUEST_ID).iter();
    match (values.next(), values.next()) {
        (only, None) => only_id(only),
        _ => only_id(None),
    }
}

/// The same, of a request that has not more than one.
fn only_id(brought: Option<&HeaderValue>) -> HeaderValue {
    match brought {
        Some(only) if !is_blank(only.as_bytes()) => only.clone(),
        _ => {
            let fresh = HeaderValue::from_bytes(fresh_id(&mut FreshId::default()));
            fresh.expect("BUG: hexadecimal digits and hyphens can stand in a header")
        }
    }
}

/// The same of one whose id is given in bytes; `room` is for a fresh one.
pub(super) fn echoed_id<'a>(brought: Option<&'a [u8]>, room: &'a mut FreshId) -> &'a [u8] {
    brought.filter(|only| !is_blank(only)).unwrap_or_else(|| fresh_id(room))
}

fn is_blank(id: &[u8]) -> bool {
    id.iter().all(u8::is_ascii_whitespace)
}

/// Room for a fresh id.
pub(super) struct FreshId([u8; uuid::fmt::Hyphenated::LENGTH]);

impl Default for FreshId {
    fn default() -> Self {
        Self([0; _])
    }
}

fn fresh_id(FreshId(room): &mut FreshId) -> &[u8] {
    uuid::Uuid::new_v4().hyphenated().encode_lower(room).as_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_requests_are_given_the_same_id() {
        let ids: HashSet<HeaderValue> = (0..100).map(|_| only_id(None)).collect();
        assert_eq!(ids.len(), 100);
        let is_random = |id: &HeaderValue| {
            let id = uuid::Uuid::try_parse_ascii(id.as_bytes()).expect("a UUID");
            id.get_version() == Some(uuid::Version::Random)
        };
        assert!(ids.iter().all(is_random));
    }

    #[test]
    fn a_request_id_is_echoed_only_if_there_is_just_one() {
        let mut headers = HeaderMap::new();
        headers.append(REQUEST_ID, HeaderValue::from_static("mine"));
        assert_eq!(request_id(&headers), "mine");
        headers.append(REQUEST_ID, HeaderValue::from_static("yours"));
        assert_eq!(request_id(&headers).len(), 36);
        let mut blank = HeaderMap::new();
        blank.append(REQUEST_ID, HeaderValue::from_static(" "));
        assert_eq!(request_id(&blank).len(), 36);
    }
}
