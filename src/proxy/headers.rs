//! Which headers travel on, and which are ours to set (RFC 9110 § 7.6, DESIGN.md).

use std::collections::HashSet;
use std::net::IpAddr;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::ask::Ask;
use super::refuse::Failure;

/// Headers of a request that may travel on, beside all that begin with `confluent-`.
const PASSED: [HeaderName; 7] = [
    header::CONTENT_TYPE,
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::USER_AGENT,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("target-sr-cluster"),
];

/// Headers of an answer that end here: of the connection, of the primary's own clock and session, or
/// about our credentials.
const KEPT_BACK: [HeaderName; 16] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::DATE,
    header::AGE,
    header::SERVER,
    header::SET_COOKIE,
    header::WWW_AUTHENTICATE,
    header::CONTENT_LENGTH,
    HeaderName::from_static("x-request-id"),
];

/// The header by which one request is followed through all logs.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static(ID);
pub(super) const ID: &str = "x-request-id";

/// The header by which a client says that it takes fields that it may not know (WIRE.md § 8.4).
pub(super) const UNKNOWN_PROPERTIES: &str = "confluent-accept-unknown-properties";

/// Whether it does.
pub(super) fn takes_unknown(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"true")
}

/// The name by which this process knows itself in `Via`.
#[derive(Debug)]
pub(super) struct Pseudonym(String);

impl Pseudonym {
    pub(super) fn random() -> Self {
        Self(format!("outpost-{}", &uuid::Uuid::new_v4().simple().to_string()[..12]))
    }

    /// A request that has been here before would go round for ever: 508.
    pub(super) fn refuse_loop(&self, headers: &HeaderMap) -> Result<(), Failure> {
        let been_here = |value: &HeaderValue| value.to_str().is_ok_and(|via| via.contains(&self.0));
        if headers.get_all(header::VIA).iter().any(been_here) { Err(Failure::Loop) } else { Ok(()) }
    }
}

/// The headers of a call to the primary. Credentials and what belongs to the connection to the
/// primary are set by whoever holds that connection.
pub(super) fn to_primary(ask: &Ask, pseudonym: &Pseudonym, read_here: bool) -> HeaderMap {
    let named = connection_options(&ask.headers);
    let mut headers = HeaderMap::new();
    for (name, value) in &ask.headers {
        // What we read ourselves must come as it is.
        let unwanted = read_here && *name == header::ACCEPT_ENCODING;
        if passes(name) && !unwanted && !named.contains(name.as_str()) {
            headers.append(name, value.clone());
        }
    }
    headers.insert(REQUEST_ID, ask.request_id.clone());
    for value in ask.headers.get_all(header::VIA) {
        headers.append(header::VIA, value.clone());
    }
    append(&mut headers, header::VIA, &format!("1.1 {}", pseudonym.0));
    let scheme = if ask.tls { "https" } else { "http" };
    let address = ask.peer.ip();
    let host = ask.header(header::HOST);
    let node = match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("\"[{v6}]\""),
    };
    let quoted = host.map(|host| format!(";host=\"{}\"", host.replace(['"', '\\'], ""))).unwrap_or_default();
    append(&mut headers, header::FORWARDED, &format!("for={node};proto={scheme}{quoted}"));
    append(&mut headers, HeaderName::from_static("x-forwarded-for"), &address.to_string());
    append(&mut headers, HeaderName::from_static("x-forwarded-proto"), scheme);
    if let Some(host) = host {
        append(&mut headers, HeaderName::from_static("x-forwarded-host"), host);
    }
    headers
}

fn passes(name: &HeaderName) -> bool {
    // What a client may know is our business: the primary is always asked for everything.
    PASSED.contains(name) || (name.as_str().starts_with("confluent-") && name != UNKNOWN_PROPERTIES)
}

/// What of a request travels on and may bear on the answer, beside its media types.
pub(super) fn told_to_primary(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    const OF_NO_MATTER: [HeaderName; 4] = [
        header::ACCEPT_ENCODING,
        header::USER_AGENT,
        HeaderName::from_static("traceparent"),
        HeaderName::from_static("tracestate"),
    ];
    let told = headers.iter().filter(|(name, _)| passes(name) && !OF_NO_MATTER.contains(name));
    told.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn append(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.append(name, value);
    }
}

/// The headers of the primary's answer that the client sees.
pub(super) fn from_primary(answered: &HeaderMap) -> HeaderMap {
    let named = connection_options(answered);
    let mut headers = HeaderMap::with_capacity(answered.len());
    for (name, value) in answered {
        if !KEPT_BACK.contains(name) && !named.contains(name.as_str()) {
            headers.append(name, value.clone());
        }
    }
    headers
}

/// The names that `Connection` lists: they belong to the connection too.
fn connection_options(headers: &HeaderMap) -> HashSet<String> {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase());
    names.filter(|name| !name.is_empty()).collect()
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
    use super::*;

    #[test]
    fn what_connection_names_does_not_travel() {
        let mut answered = HeaderMap::new();
        for (name, value) in
            [("connection", "x-a, Keep-Alive"), ("x-a", "1"), ("x-b", "2"), ("date", "d"), ("set-cookie", "c")]
        {
            answered.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let passed = from_primary(&answered);
        assert_eq!(passed.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-b"]);
    }

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
