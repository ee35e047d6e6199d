//! What the real registry's web server answers by itself, before the registry is asked (WIRE.md § 0.1, § 0.6, § 0.7).

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, HeaderMap, TRANSFER_ENCODING};
use http::{HeaderValue, Method, Response, StatusCode, Uri};
use schema_outpost::protocol::page::{self, Page};
use schema_outpost::protocol::target::Malformed;

/// Most bytes of a head, and of a target in it.
const HEAD: usize = 8192;

/// The answer to a request that is no HTTP for the web server.
pub(crate) fn refused(method: &Method, target: &str, headers: &HeaderMap) -> Option<Response<Bytes>> {
    let path = target.split('?').next().unwrap_or_default();
    // What it could not read to the end it shows under a name of its own.
    let unread = |message: &str| Some(answer(&Page::html(message, "/badMessage")));
    let length: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if target.len() > HEAD {
        return Some(renamed(StatusCode::URI_TOO_LONG, "/badMessage"));
    }
    if length > HEAD {
        return Some(renamed(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, path));
    }
    if target.contains(' ') {
        return unread("Illegal character SPACE=' '");
    }
    if breaks_off(path) {
        return unread("Bad Request");
    }
    if target == "*" {
        return Some(answer(&Page::saying("Bad URI path", method, target, headers)));
    }
    if let Some(rest) = target.strip_prefix("http://") {
        let authority = rest.split('/').next().unwrap_or_default();
        let same = headers.get(HOST).is_some_and(|host| host.as_bytes() == authority.as_bytes());
        return if same { None } else { Some(answer(&Page::html("Authority!=Host", target))) };
    }
    if !target.starts_with('/') {
        return Some(answer(&Page::html("Bad Request", &format!("http:{target}"))));
    }
    framing(headers).map(|message| answer(&Page::html(message, path)))
}

/// What is wrong with the fields that say whose the request is and where it ends.
fn framing(headers: &HeaderMap) -> Option<&'static str> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter().map(HeaderValue::as_bytes);
    let first = lengths.next();
    if first.is_some_and(|length| !length.iter().all(u8::is_ascii_digit)) {
        return Some("Invalid Content-Length Value");
    }
    if lengths.next().is_some() {
        return Some("Multiple Content-Lengths");
    }
    if first.is_some() && headers.contains_key(TRANSFER_ENCODING) {
        return Some("Transfer-Encoding and Content-Length");
    }
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => Some("Duplicate Host Header"),
        (Some(blank), _) if blank.is_empty() => Some("Blank Host"),
        (None, _) => Some("No Host"),
        _ => None,
    }
}

/// Whether the path has an escape that is none, or a zero byte, beyond which it is not read.
fn breaks_off(path: &str) -> bool {
    let is_broken = |escape: &str| {
        let digits = |from: usize, to: usize| escape.as_bytes().get(from..to).unwrap_or_default();
        let (digits, most) = if escape.starts_with('u') { (digits(1, 5), 4) } else { (digits(0, 2), 2) };
        digits.len() < most || !digits.iter().all(u8::is_ascii_hexdigit) || digits.iter().all(|digit| *digit == b'0')
    };
    path.split('%').skip(1).any(is_broken)
}

/// The answer to a path that the web server reads and does not serve.
pub(crate) fn misread(why: Malformed, method: &Method, target: &str, headers: &HeaderMap) -> Response<Bytes> {
    let path = target.split('?').next().unwrap_or_default();
    let url = target.parse::<Uri>().map(|target| page::url(false, &target, headers)).unwrap_or_default();
    let page = match why {
        Malformed::Escape if path.contains("%u") => Page::saying("UTF-16 encoding", method, &url, headers),
        Malformed::Escape => Page::saying("Bad UTF-8 encoding", method, &url, headers),
        Malformed::Character if !path.contains('\\') => {
            Page::saying("Suspicious Path Character", method, &url, headers)
        }
        _ => Page::of_ambiguous(method, &url, path, headers),
    };
    answer(&page)
}

fn answer(page: &Page) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(page.body.clone()));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response.headers_mut().extend(page.headers());
    response
}

/// A page of another status, which stands in it as it does in the answer.
fn renamed(status: StatusCode, url: &str) -> Response<Bytes> {
    let reason = if status == StatusCode::URI_TOO_LONG { "URI Too Long" } else { "Request Header Fields Too Large" };
    let page = Page::html(reason, url);
    let body = String::from_utf8_lossy(&page.body).replace("400", status.as_str());
    let mut response = answer(&Page { body: body.into_bytes(), ..page });
    *response.status_mut() = status;
    response
}
