//! Associations between topics and subjects (WIRE.md § 1.22).

use crate::call::Call;
use crate::state::State;

/// An association.
#[derive(Clone, Debug)]
pub(crate) struct Association {
    pub(crate) subject: String,
}

/// Whether a subject is among those that the association parameters of a list ask for.
pub(crate) fn admits(state: &State, call: &Call<'_>, subject: &str) -> bool {
    if call.parameter("resourceType").is_empty() {
        return true;
    }
    state.associations.iter().any(|association| association.subject == subject)
}
