//! Reads a request body whole, within its limits of size and time.

use std::pin::pin;

use bytes::{Bytes, BytesMut};
use http_body::Body as HttpBody;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use super::Limits;
use crate::body::BodyError;

/// Memory that is set aside on the word of a `Content-Length` alone.
const TRUSTED: u64 = 64 * 1024;

/// Why a request body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// More bytes than are taken, announced or sent: 413.
    #[error("the request body is larger than {limit} bytes")]
    TooLarge {
        /// How many are taken.
        limit: u64,
    },
    /// Nothing came for too long: 408.
    #[error("the request body stopped coming")]
    Idle,
    /// It came, but too slowly: 408.
    #[error("the request body came too slowly")]
    TooSlow,
    /// The framing is broken, or the client went away: 400.
    #[error("the request body broke off")]
    Broken(#[source] BodyError),
}

/// Reads `body` to its end. The connection should be closed after an answer to a body that failed.
pub async fn read_whole<B>(body: B, limits: &Limits) -> Result<Bytes, IntakeError>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BodyError>,
{
    let limit = limits.body.as_u64();
    let announced = body.size_hint().lower();
    if announced > limit {
        return Err(IntakeError::TooLarge { limit });
    }
    let end = Instant::now() + limits.body_time;
    let mut idle_at = Instant::now() + limits.body_idle;
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    loop {
        let frame = match timeout_at(idle_at.min(end), body.frame()).await {
            Ok(Some(frame)) => frame.map_err(|error| IntakeError::Broken(error.into()))?,
            Ok(None) => break,
            Err(_) if end <= idle_at => return Err(IntakeError::TooSlow),
            Err(_) => return Err(IntakeError::Idle),
        };
        let Ok(data) = frame.into_data() else { continue };
        if data.is_empty() {
            continue;
        }
        if (first.len() + whole.len() + data.len()) as u64 > limit {
            return Err(IntakeError::TooLarge { limit });
        }
        let now = Instant::now();
        if now >= end {
            // A body that always has one more byte ready never reaches the timer.
            return Err(IntakeError::TooSlow);
        }
        idle_at = now + limits.body_idle;
        if first.is_empty() && whole.is_empty() {
            first = data;
            continue;
        }
        if whole.is_empty() {
            whole.reserve(announced.min(TRUSTED) as usize);
            whole.extend_from_slice(&std::mem::take(&mut first));
        }
        whole.extend_from_slice(&data);
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use bytesize::ByteSize;
    use http_body::{Frame, SizeHint};
    use http_body_util::Full;
    use tokio::time::Interval;

    use super::*;

    fn limits() -> Limits {
        Limits { body: ByteSize::b(10), ..Limits::default() }
    }

    /// Sends one byte a tick, `left` times, then nothing more for ever unless it `ends`.
    struct Drip {
        left: usize,
        ends: bool,
        ticks: Interval,
    }

    fn drip(left: usize, ends: bool, seconds: u64) -> Drip {
        Drip { left, ends, ticks: tokio::time::interval(Duration::from_secs(seconds)) }
    }

    impl HttpBody for Drip {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if self.left == 0 {
                return if self.ends { Poll::Ready(None) } else { Poll::Pending };
            }
            self.ticks.poll_tick(cx).map(|_| {
                self.left -= 1;
                Some(Ok(Frame::data(Bytes::from_static(b"x"))))
            })
        }
    }

    /// Announces more than it has.
    struct Liar;

    impl HttpBody for Liar {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
            Poll::Ready(Some(Err(std::io::ErrorKind::UnexpectedEof.into())))
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(7)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_within_the_limits_arrives_whole() {
        let whole = read_whole(Full::new(Bytes::from_static(b"0123456789")), &limits()).await;
        assert_eq!(whole.expect("ten bytes are allowed"), "0123456789");
        let dripped = read_whole(drip(3, true, 9), &limits()).await;
        assert_eq!(dripped.expect("slow, but not too slow"), "xxx");
        assert_eq!(read_whole(drip(0, true, 1), &limits()).await.expect("empty"), "");
    }

    #[tokio::test(start_paused = true)]
    async fn one_byte_over_the_limit_is_too_large_whether_it_was_announced_or_not() {
        let announced = read_whole(Full::new(Bytes::from_static(b"0123456789a")), &limits()).await;
        assert!(matches!(announced, Err(IntakeError::TooLarge { limit: 10 })));
        let sent = read_whole(drip(11, true, 1), &limits()).await;
        assert!(matches!(sent, Err(IntakeError::TooLarge { limit: 10 })));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_is_given_up_after_the_idle_limit() {
        let start = Instant::now();
        assert!(matches!(read_whole(drip(2, false, 1), &limits()).await, Err(IntakeError::Idle)));
        assert_eq!(start.elapsed().as_secs(), 11);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_is_given_up_after_the_time_for_all_of_it() {
        let start = Instant::now();
        assert!(matches!(read_whole(drip(9, false, 9), &limits()).await, Err(IntakeError::TooSlow)));
        assert_eq!(start.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_breaks_off_says_why() {
        let Err(IntakeError::Broken(source)) = read_whole(Liar, &limits()).await else { panic!("it broke off") };
        assert_eq!(source.to_string(), "unexpected end of file");
    }
}
