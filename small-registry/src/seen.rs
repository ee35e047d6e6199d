//! What reached the registry.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::sync::watch;

/// A request as it was received.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The method.
    pub method: Method,
    /// Path and query, as sent.
    pub target: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, empty if there was none.
    pub body: Bytes,
}

impl Seen {
    /// A header's value, if it is there and text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

/// Everything that was seen, and a bell for those who wait for more.
#[derive(Debug)]
pub(crate) struct Log {
    seen: Mutex<Vec<Seen>>,
    bell: watch::Sender<usize>,
}

impl Default for Log {
    fn default() -> Self {
        Self { seen: Mutex::default(), bell: watch::Sender::new(0) }
    }
}

impl Log {
    pub(crate) fn all(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, seen: Seen) {
        self.all().push(seen);
        self.bell.send_modify(|rung| *rung += 1);
    }

    /// Waits until enough of what was seen matches.
    pub(crate) async fn wait(&self, count: usize, matches: impl Fn(&Seen) -> bool) {
        let mut bell = self.bell.subscribe();
        while self.all().iter().filter(|seen| matches(seen)).count() < count {
            if bell.changed().await.is_err() {
                return;
            }
        }
    }
}
