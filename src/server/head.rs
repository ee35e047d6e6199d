//! What RFC 9110 and 9112 forbid in a request head and hyper lets through.
//!
//! Paths and methods are not judged here: which exist is known to the table of endpoints. TRACE and
//! CONNECT are in no such table and so are answered 405 like any other method that it does not know.

use std::net::Ipv6Addr;

use http::header::{CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::Scheme;
use http::{HeaderValue, Method, StatusCode, Version};

/// Most fields that a head may have; hyper counts them in HTTP/1 alone.
const FIELDS: usize = 100;

/// A head that no server may act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// HTTP/1.1 without `Host`, HTTP/2 without an authority.
    #[error("the request names no host")]
    HostMissing,
    /// More than one `Host`, or one that differs from the HTTP/2 authority.
    #[error("the request names more than one host")]
    HostAmbiguous,
    /// A host that is none.
    #[error("the host of the request is invalid")]
    HostInvalid,
    /// A target of a form that does not go with the method, or of a scheme other than HTTP.
    #[error("the target of the request is invalid")]
    Target,
    /// A body length that is no number, or two of them.
    #[error("the content length of the request is invalid")]
    Length,
    /// A transfer coding other than one single `chunked`.
    #[error("the transfer coding of the request is not supported")]
    Coding,
    /// An expectation other than `100-continue`.
    #[error("the expectation of the request is not supported")]
    Expectation,
    /// Too many fields.
    #[error("the request has too many header fields")]
    Fields,
}

impl HeadError {
    /// The status that says so.
    pub fn status(self) -> StatusCode {
        match self {
            Self::HostMissing | Self::HostAmbiguous | Self::HostInvalid | Self::Target | Self::Length => {
                StatusCode::BAD_REQUEST
            }
            Self::Coding => StatusCode::NOT_IMPLEMENTED,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::Fields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        }
    }
}

/// Checks what hyper leaves to its user. The answer to a head that fails should carry
/// `Connection: close`, because its framing cannot be trusted.
pub fn examine(head: &Parts) -> Result<(), HeadError> {
    if head.headers.len() > FIELDS {
        return Err(HeadError::Fields);
    }
    target(head)?;
    host(head)?;
    framing(head)?;
    let as_usual = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if head.headers.get_all(EXPECT).iter().all(as_usual) { Ok(()) } else { Err(HeadError::Expectation) }
}

fn target(head: &Parts) -> Result<(), HeadError> {
    let uri = &head.uri;
    let valid = match (uri.scheme(), uri.authority()) {
        (Some(scheme), Some(_)) => {
            let http = *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS;
            http && (uri.path().starts_with('/') || uri.path().is_empty())
        }
        (None, None) => uri.path().starts_with('/') || (uri.path() == "*" && head.method == Method::OPTIONS),
        // A name alone is where CONNECT goes to, and what hyper makes of a path without its slash.
        (None, Some(_)) => head.method == Method::CONNECT,
        (Some(_), None) => false,
    };
    if valid { Ok(()) } else { Err(HeadError::Target) }
}

fn host(head: &Parts) -> Result<(), HeadError> {
    let authority = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    if authority.is_some_and(|authority| !is_host(authority)) {
        return Err(HeadError::HostInvalid);
    }
    let mut hosts = head.headers.get_all(HOST).iter();
    let first = hosts.next().map(HeaderValue::as_bytes);
    if hosts.next().is_some() {
        return Err(HeadError::HostAmbiguous);
    }
    match (first, authority) {
        (Some(host), _) if !is_host(host) => Err(HeadError::HostInvalid),
        (Some(host), Some(authority)) if head.version == Version::HTTP_2 && !host.eq_ignore_ascii_case(authority) => {
            Err(HeadError::HostAmbiguous)
        }
        (None, None) if head.version == Version::HTTP_2 => Err(HeadError::HostMissing),
        (None, _) if head.version == Version::HTTP_11 => Err(HeadError::HostMissing),
        _ => Ok(()),
    }
}

/// Names as DNS and container networks have them, addresses, and an optional port. Less than the
/// grammar of RFC 3986, which would allow a comma and with it two hosts in one.
pub fn is_host(text: &[u8]) -> bool {
    let name = text.iter().position(|byte| !IN_NAME[usize::from(*byte)]).unwrap_or(text.len());
    match &text[name..] {
        [] => name > 0,
        [b':', port @ ..] => name > 0 && is_port(port),
        [b'[', rest @ ..] if name == 0 => is_address(rest),
        _ => false,
    }
}

/// Which bytes a name may have.
static IN_NAME: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0;
    while byte < allowed.len() {
        allowed[byte] = matches!(byte as u8, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~');
        byte += 1;
    }
    allowed
};

fn is_address(text: &[u8]) -> bool {
    let Some((address, port)) = std::str::from_utf8(text).ok().and_then(|text| text.split_once(']')) else {
        return false;
    };
    address.parse::<Ipv6Addr>().is_ok()
        && (port.is_empty() || port.strip_prefix(':').is_some_and(|port| is_port(port.as_bytes())))
}

fn is_port(text: &[u8]) -> bool {
    let digits = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.is_some_and(|digits| digits.is_empty() || digits.parse::<u16>().is_ok())
}

fn framing(head: &Parts) -> Result<(), HeadError> {
    let mut codings = head.headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next()
        && (codings.next().is_some() || !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"))
    {
        return Err(HeadError::Coding);
    }
    let mut lengths = head.headers.get_all(CONTENT_LENGTH).iter().map(HeaderValue::as_bytes);
    let Some(first) = lengths.next() else { return Ok(()) };
    let is_number = !first.is_empty() && first.iter().all(u8::is_ascii_digit);
    if is_number && lengths.all(|other| other == first) { Ok(()) } else { Err(HeadError::Length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(method: &str, target: &str, version: Version, fields: &[(&str, &str)]) -> Option<u16> {
        let mut request = http::Request::builder().method(method).uri(target).version(version);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).expect("a request that the http crate can hold").into_parts();
        examine(&head).err().map(|error| error.status().as_u16())
    }

    #[test]
    fn targets_are_held_to_the_form_that_goes_with_the_method() {
        for (method, target, status) in [
            ("GET", "/subjects", None),
            ("GET", "//evil/x", None),
            ("GET", "http://evil.example/subjects", None),
            ("GET", "https://a:8443/", None),
            ("GET", "ftp://evil/x", Some(400)),
            ("GET", "http://u@a/x", Some(400)),
            ("GET", "evil:80", Some(400)),
            ("GET", "subjects", Some(400)),
            ("GET", "*", Some(400)),
            ("OPTIONS", "*", None),
            ("CONNECT", "evil:443", None),
            ("CONNECT", "/subjects", None),
            ("TRACE", "/subjects", None),
            ("get", "/subjects", None),
        ] {
            let found = judge(method, target, Version::HTTP_11, &[("host", "a")]);
            assert_eq!(found, status, "{method} {target}");
        }
    }

    #[test]
    fn exactly_one_valid_host_is_named() {
        for (value, status) in [
            ("a", None),
            ("a.b-c_d:8081", None),
            ("a:", None),
            ("10.0.0.1:1", None),
            ("[::1]:8081", None),
            ("[::1]", None),
            ("", Some(400)),
            ("a/b", Some(400)),
            ("u@a", Some(400)),
            ("a,b", Some(400)),
            ("a b", Some(400)),
            ("a:b", Some(400)),
            ("a:70000", Some(400)),
            ("a:+1", Some(400)),
            (":80", Some(400)),
            ("[::1", Some(400)),
            ("[x]", Some(400)),
            ("[::1]80", Some(400)),
            ("\u{e9}", Some(400)),
        ] {
            assert_eq!(judge("GET", "/", Version::HTTP_11, &[("host", value)]), status, "{value}");
        }
        assert_eq!(judge("GET", "/", Version::HTTP_11, &[]), Some(400));
        assert_eq!(judge("GET", "http://a/", Version::HTTP_11, &[]), Some(400));
        assert_eq!(judge("GET", "/", Version::HTTP_10, &[]), None);
        assert_eq!(judge("GET", "/", Version::HTTP_11, &[("host", "a"), ("host", "a")]), Some(400));
        assert_eq!(judge("GET", "/", Version::HTTP_10, &[("host", "a"), ("host", "b")]), Some(400));
    }

    #[test]
    fn an_http_2_request_names_one_authority() {
        assert_eq!(judge("GET", "https://a/x", Version::HTTP_2, &[]), None);
        assert_eq!(judge("GET", "https://a/x", Version::HTTP_2, &[("host", "A")]), None);
        assert_eq!(judge("GET", "https://a/x", Version::HTTP_2, &[("host", "b")]), Some(400));
        assert_eq!(judge("GET", "/x", Version::HTTP_2, &[]), Some(400));
        assert_eq!(judge("GET", "/x", Version::HTTP_2, &[("host", "a")]), None);
    }

    #[test]
    fn framing_that_two_readers_could_read_differently_is_refused() {
        for (fields, status) in [
            (vec![("transfer-encoding", "chunked")], None),
            (vec![("transfer-encoding", "Chunked ")], None),
            (vec![("transfer-encoding", "gzip, chunked")], Some(501)),
            (vec![("transfer-encoding", ",chunked")], Some(501)),
            (vec![("transfer-encoding", "identity")], Some(501)),
            (vec![("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], Some(501)),
            (vec![("content-length", "5")], None),
            (vec![("content-length", "5"), ("content-length", "5")], None),
            (vec![("content-length", "5"), ("content-length", "6")], Some(400)),
            (vec![("content-length", "+1")], Some(400)),
            (vec![("content-length", "-1")], Some(400)),
            (vec![("content-length", "")], Some(400)),
            (vec![("content-length", "5, 5")], Some(400)),
            (vec![("expect", "100-Continue")], None),
            (vec![("expect", "200-ok")], Some(417)),
            (vec![("expect", "100-continue, x")], Some(417)),
        ] {
            let with_host: Vec<_> = fields.iter().copied().chain([("host", "a")]).collect();
            assert_eq!(judge("POST", "/", Version::HTTP_11, &with_host), status, "{fields:?}");
        }
    }

    #[test]
    fn a_head_of_more_than_a_hundred_fields_is_too_large() {
        let fields = |count: usize| -> Vec<_> { (1..count).map(|_| ("x", "")).chain([("host", "a")]).collect() };
        assert_eq!(judge("GET", "/", Version::HTTP_11, &fields(100)), None);
        assert_eq!(judge("GET", "/", Version::HTTP_11, &fields(101)), Some(431));
    }
}
