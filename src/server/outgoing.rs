//! An answer on its way out: it tells the clock whether it waits for the client, and when it has ended.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::clock::{Clock, Protocol};
use crate::body::{Body, BodyError};

/// Largest piece that HTTP/2 is given at once. It keeps what does not fit the client's window in
/// memory, and asks for the next piece only when the window has opened again.
const PIECE: usize = 16 * 1024;

/// From the head of a request to the last byte of its answer.
pub(super) struct Turn {
    clock: Arc<Clock>,
}

impl Turn {
    pub(super) fn begin(clock: Arc<Clock>, bodyless: bool) -> Self {
        clock.begin(bodyless);
        Self { clock }
    }

    /// Whether the client must be told that no answer follows this one; HTTP/2 has other words for it.
    pub(super) fn is_last(&self, is_tunnel: bool) -> bool {
        self.clock.protocol() == Protocol::H1 && (is_tunnel || self.clock.is_draining())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.clock.end();
    }
}

/// The body of an answer.
pub(super) struct Outgoing {
    body: Body,
    /// Over HTTP/2: what of the body comes next. In a box, for answers are moved about a lot.
    pieces: Option<Box<Pieces>>,
    _turn: Turn,
}

/// A body that is handed over piece by piece.
struct Pieces {
    clock: Arc<Clock>,
    number: u64,
    rest: Bytes,
}

impl Pieces {
    fn of(clock: &Arc<Clock>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        clock.waits(number);
        Self { clock: Arc::clone(clock), number, rest: Bytes::new() }
    }

    fn next(&mut self) -> Bytes {
        self.rest.split_to(self.rest.len().min(PIECE))
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        self.clock.moves(self.number);
    }
}

impl Outgoing {
    pub(super) fn new(body: Body, turn: Turn) -> Self {
        let is_plain = turn.clock.protocol() == Protocol::H1;
        let pieces = if is_plain { None } else { Some(Box::new(Pieces::of(&turn.clock))) };
        Self { body, pieces, _turn: turn }
    }
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self { body, pieces, .. } = self.get_mut();
        let Some(pieces) = pieces else { return Pin::new(body).poll_frame(cx) };
        if pieces.rest.is_empty() {
            pieces.clock.moves(pieces.number);
            match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => pieces.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                ended => return Poll::Ready(ended),
            }
        }
        let piece = pieces.next();
        pieces.clock.waits(pieces.number);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.as_ref().is_none_or(|pieces| pieces.rest.is_empty()) && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let rest = self.pieces.as_ref().map_or(0, |pieces| pieces.rest.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}
