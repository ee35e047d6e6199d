//! What a reader may ask to have read again from the primary, without knowing how.

use futures_util::future::BoxFuture;

use super::snapshot::Scope;

/// Reads parts of the primary again and applies them to the replica.
///
/// The replica stands below everything that talks to the primary, so whoever does lends it this.
pub trait Reread: Send + Sync {
    /// Reads a scope again; when it is done, the replica shows at least what the primary showed when
    /// this was called, and the scope is in doubt no longer.
    fn reread(&self, scope: Scope, urgency: Urgency) -> BoxFuture<'_, Result<(), NotReread>>;

    /// Says that something came into doubt, so that it is read again soon although nobody waits for it.
    fn nudge(&self);

    /// Reads again what holds an id of a context: every subject that does.
    fn reread_id(&self, context: crate::protocol::subject::Context, id: i32) -> BoxFuture<'_, Result<(), NotReread>>;
}

/// Who waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// A client's write waits for its acknowledgement.
    Write,
    /// A client's read waits.
    Read,
    /// Nobody waits.
    Background,
}

/// A scope could not be read again; what is in doubt stays in doubt.
#[derive(Debug, thiserror::Error)]
#[error("{scope} could not be read again")]
pub struct NotReread {
    /// What was to be read.
    pub scope: Scope,
    /// Why not.
    #[source]
    pub cause: Box<dyn std::error::Error + Send + Sync>,
}
