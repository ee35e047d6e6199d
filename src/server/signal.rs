//! A word that is said once, for every connection to hear.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// Said once, heard by all. Whether it was said is asked with every request, so that asking takes no lock.
#[derive(Clone, Debug, Default)]
pub(super) struct Signal(Arc<Said>);

#[derive(Debug, Default)]
struct Said {
    given: AtomicBool,
    token: CancellationToken,
}

impl Signal {
    /// Says it.
    pub(super) fn give(&self) {
        // In this order: whoever is woken finds it said.
        self.0.given.store(true, Ordering::Release);
        self.0.token.cancel();
    }

    /// Whether it was said.
    pub(super) fn is_given(&self) -> bool {
        self.0.given.load(Ordering::Acquire)
    }

    /// Ends when it is said.
    pub(super) fn given(&self) -> WaitForCancellationFuture<'_> {
        self.0.token.cancelled()
    }

    /// Says it when the guard is dropped.
    pub(super) fn on_drop(&self) -> OnDrop {
        OnDrop(self.clone())
    }
}

/// Gives a signal when it is dropped.
pub(super) struct OnDrop(Signal);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.give();
    }
}
