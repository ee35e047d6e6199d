//! How an answer goes out: its fields, its coding, its framing (WIRE.md § 0.2).

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};

use super::fields::REQUEST_ID;
use crate::body::Body;
use crate::protocol::media::is_compressed_by_name;
use crate::server::{Framing, Heads, Ready};

/// The largest body that the registry sends with its length; what is longer comes in chunks.
const BUFFER: usize = 8192;

/// Bodies shorter than this are never compressed.
const WORTHWHILE: usize = 32;

/// What it takes longer to compress than a request may hold up the others on its thread.
const LONG: usize = 128 * 1024;

/// What of a request decides how its answer goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Manner {
    /// HEAD: everything but the body.
    pub(super) is_head: bool,
    /// Whether the answer tells that it depends on the codings that the client takes.
    pub(super) varies: bool,
    /// Whether the client takes gzip.
    pub(super) takes_gzip: bool,
}

impl Manner {
    pub(super) fn of(method: &Method, path: &str, headers: &HeaderMap) -> Self {
        let varies = varies(method, path);
        Self {
            is_head: method == Method::HEAD,
            varies,
            takes_gzip: varies
                && headers.get_all(header::ACCEPT_ENCODING).iter().map(HeaderValue::as_bytes).any(takes_gzip),
        }
    }

    /// The body as gzip, where the registry would compress it for this client.
    pub(super) fn compressed(self, status: StatusCode, body: &[u8]) -> Option<Bytes> {
        let is_empty = matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT);
        let is_worthwhile = status.is_success() && !is_empty && body.len() >= WORTHWHILE;
        (self.takes_gzip && is_worthwhile).then(|| gzip(body))
    }
}

/// Whether the answer tells that it depends on the codings that the client takes: to GET and POST, unless the path looks
/// like that of a file which is compressed already.
pub(super) fn varies(method: &Method, path: &str) -> bool {
    matches!(*method, Method::GET | Method::POST) && !is_compressed_by_name(path)
}

/// `gzip` in any case and with any weight but none; neither a wildcard nor `x-gzip`.
pub(super) fn takes_gzip(value: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|element| {
        let mut parts = element.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        parts.next().is_some_and(|name| name.eq_ignore_ascii_case(b"gzip")) && !parts.any(is_refusal)
    })
}

fn is_refusal(parameter: &[u8]) -> bool {
    let weight = std::str::from_utf8(parameter).ok().and_then(|text| text.strip_prefix("q="));
    weight.and_then(|weight| weight.trim().parse::<f32>().ok()) == Some(0.0)
}

/// An answer of ours as it goes out, request id and age aside.
#[derive(Clone, Debug)]
pub(super) struct Dressed {
    status: StatusCode,
    media: Option<HeaderValue>,
    manner: Manner,
    is_long: bool,
    body: Bytes,
    /// The body before it was compressed, if it was.
    plain: Option<Bytes>,
}

impl Dressed {
    /// Dresses an answer.
    pub(super) fn new(status: u16, body: Bytes, media: &HeaderValue, manner: Manner) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
        let is_long = is_long(body.len());
        let (body, plain) = match manner.compressed(status, &body) {
            Some(gzipped) => (gzipped, Some(body)),
            None => (body, None),
        };
        let media = (status != StatusCode::NO_CONTENT).then(|| media.clone());
        Self { status, media, manner, is_long, body, plain }
    }

    /// The same; what takes long is done where nobody waits for its turn.
    pub(super) async fn apart(status: u16, body: Bytes, media: &HeaderValue, manner: Manner) -> Self {
        if !manner.takes_gzip || body.len() < LONG {
            return Self::new(status, body, media, manner);
        }
        let (plain, same) = (body.clone(), media.clone());
        let dressing = tokio::task::spawn_blocking(move || Self::new(status, body, &same, manner));
        let identity = Manner { takes_gzip: false, ..manner };
        dressing.await.unwrap_or_else(|_| Self::new(status, plain, media, identity))
    }

    /// Bytes held.
    pub(super) fn size(&self) -> usize {
        self.body.len() + self.plain.as_ref().map_or(0, Bytes::len)
    }

    /// Whether it is what another answer would look like.
    pub(super) fn is_same(&self, status: u16, body: &[u8]) -> bool {
        self.status.as_u16() == status && **self.plain.as_ref().unwrap_or(&self.body) == *body
    }

    /// The status.
    pub(super) fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// The body.
    pub(super) fn body(&self) -> &Bytes {
        &self.body
    }

    /// The answer, with its age if that is told.
    pub(super) fn response(&self, request_id: HeaderValue, age: Option<u64>) -> Response<Body> {
        let mut fields = HeaderMap::with_capacity(8);
        fields.extend(self.fields().map(|(name, value)| (name, value.clone())));
        fields.insert(REQUEST_ID, request_id);
        if let Some(age) = age {
            fields.insert(header::AGE, age.into());
        }
        let body = if self.manner.is_head {
            if !self.body.is_empty() {
                fields.insert(header::CONTENT_LENGTH, self.announced().into());
            }
            Body::empty()
        } else {
            framed(self.body.clone(), self.is_long)
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = fields;
        response
    }

    /// The same rendered, request id and age aside, if it is one that HTTP/1.1 frames like most.
    pub(super) fn ready(&self, heads: &Heads) -> Option<Ready> {
        let length = self.body.len();
        let framing = match self.manner.is_head {
            _ if length == 0 => return None,
            true => Framing::Announced(self.announced()),
            false if self.is_long => Framing::Chunk(length),
            false => Framing::Length(length),
        };
        Some(heads.render(self.status, self.fields(), framing))
    }

    /// What HEAD says of the length of the body: nothing, in a way, where GET would not say it either.
    fn announced(&self) -> usize {
        if self.is_long { 0 } else { self.body.len() }
    }

    /// The fields that are the same each time.
    fn fields(&self) -> impl Iterator<Item = (HeaderName, &HeaderValue)> {
        static VARY: HeaderValue = HeaderValue::from_static("Accept-Encoding");
        static GZIP: HeaderValue = HeaderValue::from_static("gzip");
        let vary = self.manner.varies.then_some((header::VARY, &VARY));
        let media = self.media.as_ref().map(|media| (header::CONTENT_TYPE, media));
        let coding = self.plain.is_some().then_some((header::CONTENT_ENCODING, &GZIP));
        vary.into_iter().chain(media).chain(coding)
    }
}

/// Whether the registry sends a body of this length in chunks. It decides that before it compresses.
pub(super) fn is_long(length: usize) -> bool {
    length > BUFFER
}

/// A body, framed as the registry frames a long one or another.
pub(super) fn framed(body: Bytes, is_long: bool) -> Body {
    if is_long { Body::whole(body).in_chunks() } else { Body::whole(body) }
}

fn gzip(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4 + 64), Compression::default());
    encoder
        .write_all(body)
        .and_then(|()| encoder.finish())
        .map(Bytes::from)
        .expect("BUG: a vector takes whatever is written to it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_content_tells_no_length_to_get_and_to_head() {
        for is_head in [false, true] {
            let manner = Manner { is_head, varies: !is_head, takes_gzip: false };
            let dressed = Dressed::new(204, Bytes::new(), &HeaderValue::from_static("application/json"), manner);
            let response = dressed.response(HeaderValue::from_static("1"), None);
            assert_eq!(response.headers().get(header::CONTENT_LENGTH), None, "{is_head}");
            assert!(dressed.ready(&Heads::default()).is_none(), "{is_head}");
        }
    }

    #[test]
    fn gzip_is_taken_by_those_who_name_it() {
        for (offered, taken) in [
            ("gzip", true),
            ("GZIP;q=0.5", true),
            ("deflate, gzip, br", true),
            ("identity;q=0, gzip", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0", false),
            ("*", false),
            ("x-gzip", false),
            ("deflate, br", false),
            ("", false),
        ] {
            assert_eq!(takes_gzip(offered.as_bytes()), taken, "{offered}");
        }
    }
}
