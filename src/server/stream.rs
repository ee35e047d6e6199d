//! A socket that tells the connection's clock what passes through it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::clock::Clock;

/// Most that is read from a client after our side was closed: more than the bodies that are refused
/// by default, so that a client which sends all of one before it listens hears why.
const LINGER_BYTES: usize = 64 << 20;

/// The socket of one connection.
pub(super) struct Watched<T> {
    inner: T,
    clock: Arc<Clock>,
    shut: bool,
    lingered: usize,
}

impl<T> Watched<T> {
    pub(super) fn new(inner: T, clock: Arc<Clock>) -> Self {
        Self { inner, clock, shut: false, lingered: 0 }
    }

    fn note_written(&self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &outcome {
            Poll::Pending => self.clock.blocked(),
            Poll::Ready(Ok(bytes)) => self.clock.took(*bytes),
            Poll::Ready(Err(_)) => {}
        }
        outcome
    }

    fn note_flushed(&self, outcome: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
        match &outcome {
            Poll::Pending => self.clock.blocked(),
            Poll::Ready(_) => self.clock.flushed(),
        }
        outcome
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        self.clock.received(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.note_written(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.note_written(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_flush(cx);
        self.note_flushed(outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.shut {
            let outcome = Pin::new(&mut self.inner).poll_shutdown(cx);
            ready!(self.note_flushed(outcome))?;
            self.shut = true;
            self.clock.closing();
        }
        let mut scratch = [0; 4096];
        while self.clock.lingers() && self.lingered < LINGER_BYTES {
            let mut buf = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => self.lingered += buf.filled().len(),
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}
