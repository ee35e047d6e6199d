//! The head of an HTTP/1 request in the words that it was sent in, before hyper makes anything of them.

use std::mem::MaybeUninit;

use httparse::{Header, Request, Status};
use percent_encoding::percent_encode_byte;

/// Most fields of a head that is as usual.
pub const MOST_FIELDS: usize = 32;

/// A head as usual as nearly all of them: GET or HEAD of HTTP/1.1, nothing that follows it belongs to it, and the
/// connection is kept. The fields are as they were sent, `Host` among them, and none is judged.
pub struct Words<'a> {
    /// Whether it is HEAD.
    pub is_head: bool,
    /// The target of the request line.
    pub target: &'a str,
    fields: &'a [Header<'a>],
}

impl<'a> Words<'a> {
    /// The fields, names in any case, in their order.
    pub fn fields(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.fields.iter().map(|field| (field.name, field.value))
    }
}

/// What the first bytes of a request are.
pub(super) enum Reading<'a> {
    /// The beginning of a head.
    Begun,
    /// A head of so many bytes.
    Head {
        length: usize,
        /// The target of the request line.
        target: &'a str,
        /// What it says, if it is as usual.
        words: Option<Words<'a>>,
        /// How many bytes follow it that belong to it; `None` if its length does not tell.
        body: Option<u64>,
    },
    /// Something that is for hyper to judge.
    Strange,
}

/// Reads the head that `bytes` begin with, as hyper would: it has the same parser.
pub(super) fn read<'a>(bytes: &'a [u8], room: &'a mut [MaybeUninit<Header<'a>>; MOST_FIELDS]) -> Reading<'a> {
    let mut request = Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(bytes, room) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Reading::Begun,
        Err(_) => return Reading::Strange,
    };
    let (Some(method), Some(target), version) = (request.method, request.path, request.version) else {
        return Reading::Strange;
    };
    let fields: &'a [Header<'a>] = request.headers;
    let frame = Frame::of(fields);
    let is_current = version == Some(1);
    let is_kept = is_current && frame.is_plain && frame.body == Some(0);
    let words = match method {
        "GET" | "HEAD" if is_kept => Some(Words { is_head: method == "HEAD", target, fields }),
        _ => None,
    };
    // What follows a CONNECT is for a tunnel, and hyper goes on in the manner of HTTP/1.0 where that was spoken.
    Reading::Head { length, target, words, body: frame.body.filter(|_| is_current && method != "CONNECT") }
}

/// The request that `bytes` begin with, and all that follows it, with the marks escaped that its query may have and
/// hyper does not take: web servers do, the registry's among them (WIRE.md section 0.7). `None` if there are none.
pub(super) fn escape_query(bytes: &[u8], target: &str) -> Option<Vec<u8>> {
    // What follows a `#` is cut off, whatever it is.
    let (path, query) = target.split('#').next()?.split_once('?')?;
    if !query.bytes().any(|byte| MARKS.contains(&byte)) {
        return None;
    }
    let begin = bytes.iter().position(|byte| *byte == b' ')? + 1 + path.len() + 1;
    let (before, rest) = bytes.split_at_checked(begin)?;
    let (query, after) = rest.split_at_checked(query.len())?;
    let mut escaped = before.to_vec();
    for byte in query {
        match MARKS.contains(byte) {
            true => escaped.extend_from_slice(percent_encode_byte(*byte).as_bytes()),
            false => escaped.push(*byte),
        }
    }
    escaped.extend_from_slice(after);
    Some(escaped)
}

/// What hyper refuses in a query.
const MARKS: &[u8] = b"\"<>";

/// What the fields say of where a request ends, and of what becomes of the connection.
struct Frame {
    body: Option<u64>,
    is_plain: bool,
}

impl Frame {
    fn of(fields: &[Header<'_>]) -> Self {
        let mut frame = Self { body: Some(0), is_plain: true };
        let mut has_length = false;
        for field in fields {
            // By their lengths first, which tell nearly all of them from these.
            match field.name.len() {
                14 if field.name.eq_ignore_ascii_case("content-length") => {
                    let length = std::str::from_utf8(field.value).ok().and_then(|text| text.parse().ok());
                    frame.body = length.filter(|_| !has_length);
                    frame.is_plain = false;
                    has_length = true;
                }
                17 if field.name.eq_ignore_ascii_case("transfer-encoding") => {
                    return Self { body: None, is_plain: false };
                }
                10 if field.name.eq_ignore_ascii_case("connection") => {
                    frame.is_plain &= field.value.eq_ignore_ascii_case(b"keep-alive");
                }
                6 if field.name.eq_ignore_ascii_case("expect") => frame.is_plain = false,
                7 if field.name.eq_ignore_ascii_case("upgrade") => frame.is_plain = false,
                _ => {}
            }
        }
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Length of the head, whether it is as usual, length of the body.
    fn reading(text: &str) -> Option<(usize, bool, Option<u64>)> {
        let mut room = [const { MaybeUninit::uninit() }; MOST_FIELDS];
        match read(text.as_bytes(), &mut room) {
            Reading::Head { length, words, body, .. } => Some((length, words.is_some(), body)),
            Reading::Begun | Reading::Strange => None,
        }
    }

    #[test]
    fn a_head_ends_where_hyper_lets_it_end() {
        for (text, found) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET", Some((27, true, Some(0)))),
            ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Some((29, true, Some(0)))),
            ("GET / HTTP/1.1\nHost: a\n\nx", Some((24, true, Some(0)))),
            ("GET / HTTP/1.1\r\nHost: a\r\n", None),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", None),
            ("GET / HTTP/2.0\r\n\r\n", None),
        ] {
            assert_eq!(reading(text), found, "{text:?}");
        }
    }

    #[test]
    fn marks_in_a_query_are_escaped_and_nothing_else_is() {
        let escaped = |target: &str| {
            let around = |target: &str| format!("\r\nPOST {target} HTTP/1.1\r\nHost: \"<a>\"\r\n\r\n?\"<>");
            let escaped = escape_query(around(target).as_bytes(), target)?;
            let text = String::from_utf8(escaped).expect("UTF-8");
            let target = text.strip_prefix("\r\nPOST ").and_then(|text| text.split(' ').next()).expect("a target");
            assert_eq!(text, around(target));
            Some(target.to_owned())
        };
        assert_eq!(escaped("/a?x=\"é\"&<y>=?%22#\"<").as_deref(), Some("/a?x=%22é%22&%3Cy%3E=?%22#\"<"));
        assert_eq!(escaped("http://h/\"?<").as_deref(), Some("http://h/\"?%3C"));
        for kept in ["/a", "/\"<>?", "/a?x={}|^`'", "/a?#<", "/a#?<"] {
            assert_eq!(escaped(kept), None, "{kept}");
        }
    }

    #[test]
    fn what_bears_on_the_connection_or_has_a_body_is_not_as_usual() {
        for (fields, usual, body) in [
            ("Connection: Keep-Alive\r\n", true, Some(0)),
            ("Connection: close\r\n", false, Some(0)),
            ("Connection: keep-alive, close\r\n", false, Some(0)),
            ("CONNECTION: keep-alive\r\nconnection: close\r\n", false, Some(0)),
            ("Upgrade: h2c\r\n", false, Some(0)),
            ("Expect: 100-continue\r\n", false, Some(0)),
            ("content-length: 5\r\n", false, Some(5)),
            ("Content-Length: 0\r\n", false, Some(0)),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", false, None),
            ("Content-Length: 5, 5\r\n", false, None),
            ("Content-Length: 18446744073709551616\r\n", false, None),
            ("Transfer-Encoding: chunked\r\n", false, None),
            ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", false, None),
            ("Content-Length: 5\r\nTransfer-Encoding: identity\r\n", false, None),
        ] {
            let found = reading(&format!("GET / HTTP/1.1\r\n{fields}\r\n")).map(|(_, usual, body)| (usual, body));
            assert_eq!(found, Some((usual, body)), "{fields:?}");
        }
        for (line, usual, body) in [
            ("HEAD / HTTP/1.1", true, Some(0)),
            ("GET / HTTP/1.0", false, None),
            ("POST / HTTP/1.1", false, Some(0)),
            ("get / HTTP/1.1", false, Some(0)),
            ("CONNECT a:1 HTTP/1.1", false, None),
        ] {
            let found = reading(&format!("{line}\r\n\r\n")).map(|(_, usual, body)| (usual, body));
            assert_eq!(found, Some((usual, body)), "{line}");
        }
    }
}
