//! Which headers travel on, and which are ours to set (RFC 9110 § 7.6, DESIGN.md).

use std::collections::HashSet;
use std::net::IpAddr;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::ask::Ask;
use super::fields::{REQUEST_ID, UNKNOWN_PROPERTIES};

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

/// Headers of the primary's answer that end here beside those of the connection: of its own clock and session, or about
/// our credentials.
const KEPT_BACK: [HeaderName; 6] = [
    header::DATE,
    header::AGE,
    header::SERVER,
    header::SET_COOKIE,
    header::WWW_AUTHENTICATE,
    HeaderName::from_static("x-request-id"),
];

/// Headers that belong to one connection or its framing (RFC 9110 § 7.6.1).
const OF_THE_CONNECTION: [HeaderName; 10] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::CONTENT_LENGTH,
];

/// The name by which this process knows itself in `Via`.
#[derive(Debug)]
pub(super) struct Pseudonym(String);

impl Pseudonym {
    pub(super) fn random() -> Self {
        Self(format!("outpost-{}", &uuid::Uuid::new_v4().simple().to_string()[..12]))
    }

    /// Whether a request has been here before, and would go round for ever.
    pub(super) fn is_among(&self, headers: &HeaderMap) -> bool {
        let been_here = |value: &HeaderValue| value.to_str().is_ok_and(|via| via.contains(&self.0));
        headers.get_all(header::VIA).iter().any(been_here)
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
    for value in ask.headers.get_all(header::VIA) {
        headers.append(header::VIA, value.clone());
    }
    sign(&mut headers, ask, pseudonym);
    headers
}

/// The headers of a client's own words to the local registry: all but what belongs to its connection to us.
pub(super) fn to_local(ask: &Ask, pseudonym: &Pseudonym) -> HeaderMap {
    let mut headers = of_the_message(&ask.headers, |name| name != header::HOST);
    sign(&mut headers, ask, pseudonym);
    headers
}

/// The headers of the local registry's answer, which are the client's: all but what belongs to its connection to us.
pub(super) fn from_local(answered: &HeaderMap) -> HeaderMap {
    of_the_message(answered, |name| name != header::HOST)
}

/// What of a head was said to whoever reads the message, and not to the other end of the connection.
fn of_the_message(headers: &HeaderMap, is_kept: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let named = connection_options(headers);
    let mut kept = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        if !OF_THE_CONNECTION.contains(name) && !named.contains(name.as_str()) && is_kept(name) {
            kept.append(name, value.clone());
        }
    }
    kept
}

/// Says under which id the request goes on, who passes it on, and for whom.
pub(super) fn sign(headers: &mut HeaderMap, ask: &Ask, pseudonym: &Pseudonym) {
    headers.insert(REQUEST_ID, ask.request_id.clone());
    append(headers, header::VIA, &format!("1.1 {}", pseudonym.0));
    let scheme = if ask.tls { "https" } else { "http" };
    let address = ask.peer.ip();
    let host = ask.header(header::HOST);
    let node = match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("\"[{v6}]\""),
    };
    let quoted = host.map(|host| format!(";host=\"{}\"", host.replace(['"', '\\'], ""))).unwrap_or_default();
    append(headers, header::FORWARDED, &format!("for={node};proto={scheme}{quoted}"));
    append(headers, HeaderName::from_static("x-forwarded-for"), &address.to_string());
    append(headers, HeaderName::from_static("x-forwarded-proto"), scheme);
    if let Some(host) = host {
        append(headers, HeaderName::from_static("x-forwarded-host"), host);
    }
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
    of_the_message(answered, |name| !KEPT_BACK.contains(name))
}

/// The names that `Connection` lists: they belong to the connection too.
fn connection_options(headers: &HeaderMap) -> HashSet<String> {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase());
    names.filter(|name| !name.is_empty()).collect()
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
}
