//! The word that a drain has begun, for every connection to hear.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// Told once, heard by all. Whether it was told is asked with every request, so that asking takes no lock.
#[derive(Clone, Debug, Default)]
pub(super) struct Drain {
    begun: Arc<AtomicBool>,
    token: CancellationToken,
}

impl Drain {
    /// Tells everyone.
    pub(super) fn begin(&self) {
        // In this order: whoever is woken finds it said.
        self.begun.store(true, Ordering::Release);
        self.token.cancel();
    }

    /// Whether it was told.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Ends when it is told.
    pub(super) fn told(&self) -> WaitForCancellationFuture<'_> {
        self.token.cancelled()
    }
}
