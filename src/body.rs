//! The one body type: empty, whole, or streamed from somewhere else, with whatever must live until it has ended.

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

/// Why a body broke off.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

type Stream = Pin<Box<dyn HttpBody<Data = Bytes, Error = BodyError> + Send>>;

/// A request or response body.
///
/// A guard that is put into it (an in-flight permit, say) is dropped when the body has ended or is
/// given up, so that a slow reader counts for as long as it reads.
pub struct Body {
    content: Content,
    _guard: Option<Box<dyn Any + Send>>,
}

enum Content {
    Empty,
    Whole(Bytes),
    Streamed(Stream),
}

impl Body {
    /// No content.
    pub fn empty() -> Self {
        Self { content: Content::Empty, _guard: None }
    }

    /// Content that is all there.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let content = if bytes.is_empty() { Content::Empty } else { Content::Whole(bytes) };
        Self { content, _guard: None }
    }

    /// Content that comes as it comes.
    pub fn streamed<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        use http_body_util::BodyExt as _;
        Self { content: Content::Streamed(Box::pin(body.map_err(Into::into))), _guard: None }
    }

    /// Keeps `guard` alive until the body has ended or is dropped.
    pub fn guarded(mut self, guard: impl Send + 'static) -> Self {
        self._guard = Some(Box::new((self._guard.take(), guard)));
        self
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
