//! An answer that is ready: rendered for HTTP/1.1, but for what differs each time it is sent.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use dashmap::DashSet;
use http::{HeaderName, HeaderValue, StatusCode};
use tokio::io::AsyncWrite;

/// Bodies up to this length are copied behind their head, which costs less than to send two pieces.
const COPIED: usize = 4096;

/// The end of a body in chunks.
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none, only the length that it would have: the answer to HEAD.
    Announced(usize),
    /// By its length.
    Length(usize),
    /// By the end of its one chunk, which has this length.
    Chunk(usize),
}

/// The head of an answer, without `Date` and without the fields that are given each time.
#[derive(Debug)]
pub struct Ready {
    start: Arc<[u8]>,
    framing: Framing,
}

/// Renders heads. Those that begin alike share their beginning, which so is in the processor's caches when it is
/// needed.
#[derive(Debug, Default)]
pub struct Heads(DashSet<Arc<[u8]>>);

/// Most beginnings that are kept to be shared. There are a few, but a client can have parameters of its own in the
/// media type of an answer, and so make any number of them.
const MOST_SHARED: usize = 1024;

impl Heads {
    /// Renders a head as hyper would: names in lower case, the framing last but for `Date`.
    pub fn render<'a>(
        &self,
        status: StatusCode,
        fields: impl Iterator<Item = (HeaderName, &'a HeaderValue)>,
        framing: Framing,
    ) -> Ready {
        let line = format!("HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or("<none>"));
        let mut start = line.into_bytes();
        for (name, value) in fields {
            append(&mut start, &[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
        }
        let known = self.0.get(&*start).map(|known| known.key().clone());
        Ready { start: known.unwrap_or_else(|| self.share(start.into())), framing }
    }

    fn share(&self, start: Arc<[u8]>) -> Arc<[u8]> {
        if self.0.len() >= MOST_SHARED {
            self.0.retain(|start| Arc::strong_count(start) > 1);
        }
        if self.0.len() < MOST_SHARED {
            self.0.insert(start.clone());
        }
        start
    }
}

/// What waits to be sent on one connection: at most one answer.
#[derive(Default)]
pub struct Outbox {
    /// The head, and a short body.
    bytes: Vec<u8>,
    /// A long body.
    body: Bytes,
    tail: &'static [u8],
    /// How much of all that is sent.
    sent: usize,
}

impl Outbox {
    /// Puts an answer in: its head, the fields that differ each time, its body. A long body is lent, so that an
    /// answer which nobody takes is not held twice; the loan is asked for only then.
    pub fn put(&mut self, ready: &Ready, fields: &[(&str, &[u8])], body: &[u8], lent: impl FnOnce() -> Bytes) {
        self.bytes.extend_from_slice(&ready.start);
        for (name, value) in fields {
            append(&mut self.bytes, &[name.as_bytes(), b": ", value, b"\r\n"]);
        }
        match ready.framing {
            Framing::Announced(length) | Framing::Length(length) => {
                append(&mut self.bytes, &[b"content-length: ", itoa::Buffer::new().format(length).as_bytes()]);
            }
            Framing::Chunk(_) => self.bytes.extend_from_slice(b"transfer-encoding: chunked"),
        }
        self.bytes.extend_from_slice(b"\r\ndate: ");
        DATE.with_borrow_mut(|date| self.bytes.extend_from_slice(date.now()));
        self.bytes.extend_from_slice(b"\r\n\r\n");
        let tail: &'static [u8] = match ready.framing {
            Framing::Announced(_) => return,
            Framing::Length(_) => b"",
            Framing::Chunk(length) => {
                append(&mut self.bytes, &[format!("{length:X}\r\n").as_bytes()]);
                LAST_CHUNK
            }
        };
        if body.len() <= COPIED {
            append(&mut self.bytes, &[body, tail]);
        } else {
            self.body = lent();
            self.tail = tail;
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Sends what waits.
    pub(super) fn poll_send(
        &mut self,
        to: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let whole = self.bytes.len() + self.body.len() + self.tail.len();
        while self.sent < whole {
            let mut to = Pin::new(&mut *to);
            let taken = if self.body.is_empty() {
                ready!(to.poll_write(cx, &self.bytes[self.sent..]))?
            } else {
                let mut before = self.sent;
                let mut rest = |part| {
                    let part: &[u8] = part;
                    let skipped = before.min(part.len());
                    before -= skipped;
                    &part[skipped..]
                };
                let parts = [rest(&self.bytes), rest(&self.body), rest(self.tail)];
                ready!(to.as_mut().poll_write_vectored(cx, &parts.map(IoSlice::new)))?
            };
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += taken;
        }
        ready!(Pin::new(to).poll_flush(cx))?;
        self.bytes.clear();
        self.body = Bytes::new();
        self.tail = b"";
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

fn append(to: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        to.extend_from_slice(part);
    }
}

thread_local! {
    static DATE: RefCell<Date> = const { RefCell::new(Date { text: String::new(), until: UNIX_EPOCH }) };
}

/// The time as `Date` tells it (RFC 9110 § 5.6.7), written anew each second.
struct Date {
    text: String,
    until: SystemTime,
}

impl Date {
    fn now(&mut self) -> &[u8] {
        let now = SystemTime::now();
        // Earlier than the text's own second it is only after the clock was set back.
        if now >= self.until || now + Duration::from_secs(1) < self.until {
            let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
            self.until = UNIX_EPOCH + Duration::from_secs(since.as_secs() + 1);
            self.text.clear();
            let written = write!(self.text, "{}", httpdate::HttpDate::from(now));
            written.expect("BUG: a string takes whatever is written to it");
        }
        self.text.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(heads: &Heads, media: &str) -> Ready {
        let media = HeaderValue::from_str(media).expect("a value");
        heads.render(StatusCode::OK, [(http::header::CONTENT_TYPE, &media)].into_iter(), Framing::Length(1))
    }

    #[test]
    fn heads_that_begin_alike_share_that_and_those_that_a_client_makes_up_are_forgotten() {
        let heads = Heads::default();
        let usual = rendered(&heads, "application/json");
        for number in 0..3 * MOST_SHARED {
            rendered(&heads, &format!("application/json;x={number}"));
        }
        assert!(heads.0.len() <= MOST_SHARED, "{} are kept", heads.0.len());
        assert!(Arc::ptr_eq(&usual.start, &rendered(&heads, "application/json").start));
        let all: Vec<Ready> =
            (0..3 * MOST_SHARED).map(|number| rendered(&heads, &format!("application/json;y={number}"))).collect();
        assert!(heads.0.len() <= MOST_SHARED, "{} are kept", heads.0.len());
        let last = all.last().expect("there are many");
        assert_eq!(
            *last.start,
            *format!("HTTP/1.1 200 OK\r\ncontent-type: application/json;y={}\r\n", all.len() - 1).as_bytes()
        );
    }
}
