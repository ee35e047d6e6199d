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
    number: u64,
}

impl Turn {
    pub(super) fn begin(clock: Arc<Clock>, bodyless: bool) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        clock.begin(bodyless);
        Self { clock, number: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    fn in_pieces(&self) -> bool {
        self.clock.protocol() == Protocol::H2
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.in_pieces() {
            self.clock.moves(self.number);
        }
        self.clock.end();
    }
}

/// The body of an answer.
pub(super) struct Outgoing {
    body: Body,
    rest: Bytes,
    turn: Turn,
}

impl Outgoing {
    pub(super) fn new(body: Body, turn: Turn) -> Self {
        if turn.in_pieces() {
            turn.clock.waits(turn.number);
        }
        Self { body, rest: Bytes::new(), turn }
    }

    fn piece(&mut self) -> Bytes {
        self.rest.split_to(self.rest.len().min(PIECE))
    }
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if !self.turn.in_pieces() {
            return Pin::new(&mut self.body).poll_frame(cx);
        }
        if self.rest.is_empty() {
            self.turn.clock.moves(self.turn.number);
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                ended => return Poll::Ready(ended),
            }
        }
        let piece = self.piece();
        self.turn.clock.waits(self.turn.number);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let rest = self.rest.len() as u64;
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}
