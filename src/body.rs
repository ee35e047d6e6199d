//! The one body type: empty, whole, or streamed from somewhere else, with whatever must live until it has ended.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use prometheus_client::metrics::gauge::Gauge;

/// Why a body broke off.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

type Stream = Pin<Box<dyn HttpBody<Data = Bytes, Error = BodyError> + Send>>;

/// How many requests are being worked on, and how many may be.
pub struct InFlight {
    taken: Gauge,
    most: i64,
}

impl InFlight {
    /// Room for `most` requests, counted by `taken`.
    pub fn limited(most: usize, taken: Gauge) -> Arc<Self> {
        Arc::new(Self { taken, most: i64::try_from(most).unwrap_or(i64::MAX) })
    }

    /// A place among them, if one is left.
    pub fn enter(self: &Arc<Self>) -> Option<Permit> {
        let permit = Permit(self.clone());
        // Counted before it is judged, so that two who come at once never share the last place.
        if self.taken.inc() < self.most { Some(permit) } else { None }
    }
}

/// A place among the requests in flight, given back when it is dropped.
pub struct Permit(Arc<InFlight>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.taken.dec();
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

/// A request or response body.
///
/// The permit that is put into it is given back when the body has ended or is given up, so that a slow
/// reader counts for as long as it reads.
pub struct Body {
    content: Content,
    tells_length: bool,
    _held: Option<Held>,
}

/// What a body keeps taken: a place of its own, or one that it shares with a write that may outlive it.
#[derive(Debug)]
pub enum Held {
    /// A place of its own.
    Alone(Permit),
    /// A shared one.
    Shared(Arc<Permit>),
}

enum Content {
    Empty,
    Whole(Bytes),
    Streamed(Stream),
}

impl Body {
    /// No content.
    pub fn empty() -> Self {
        Self::of(Content::Empty)
    }

    /// Content that is all there.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::of(if bytes.is_empty() { Content::Empty } else { Content::Whole(bytes) })
    }

    /// Content that comes as it comes.
    pub fn streamed<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        use http_body_util::BodyExt as _;
        Self::of(Content::Streamed(Box::pin(body.map_err(Into::into))))
    }

    fn of(content: Content) -> Self {
        Self { content, tells_length: true, _held: None }
    }

    /// The same content, its length left to be found out: HTTP/1.1 sends such a body in chunks.
    pub fn in_chunks(self) -> Self {
        Self { tells_length: false, ..self }
    }

    /// Keeps a place taken until the body has ended or is dropped.
    pub fn holding(self, held: Held) -> Self {
        Self { _held: Some(held), ..self }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.content {
            Content::Empty => Poll::Ready(None),
            Content::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                self.content = Content::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Content::Streamed(stream) => stream.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Empty => true,
            Content::Whole(_) => false,
            Content::Streamed(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            _ if !self.tells_length => SizeHint::default(),
            Content::Empty => SizeHint::with_exact(0),
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Streamed(stream) => stream.size_hint(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.content {
            Content::Empty => f.write_str("Body(empty)"),
            Content::Whole(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            Content::Streamed(_) => f.write_str("Body(streamed)"),
        }
    }
}
