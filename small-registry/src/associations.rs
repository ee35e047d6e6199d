//! Associations between topics and subjects (WIRE.md § 1.22).

use crate::call::Call;
use crate::failure::{Failure, Outcome};
use crate::state::State;

/// An association.
#[derive(Clone, Debug)]
pub(crate) struct Association {
    pub(crate) subject: String,
    pub(crate) kind: String,
    pub(crate) lifecycle: String,
}

/// Which associations a list asks for.
#[derive(Debug)]
pub(crate) struct Filter {
    kinds: Vec<String>,
    lifecycle: Option<String>,
}

impl Filter {
    pub(crate) fn read(call: &Call<'_>) -> Outcome<Self> {
        let query = &call.operation.query;
        let lifecycle = query.get("lifecycle").filter(|lifecycle| !lifecycle.is_empty());
        if lifecycle.is_some_and(|lifecycle| !matches!(lifecycle, "NONE" | "STRONG" | "WEAK")) {
            return Err(Failure::not_found());
        }
        let kinds = query.all("associationType").map(str::to_owned).collect();
        Ok(Self { kinds, lifecycle: lifecycle.map(str::to_owned) })
    }

    /// Whether a subject has what is asked for; `NONE` asks for subjects without any.
    pub(crate) fn admits(&self, state: &State, subject: &str) -> bool {
        let mut own = state.associations.iter().filter(|association| association.subject == subject);
        match self.lifecycle.as_deref() {
            None if self.kinds.is_empty() => true,
            Some("NONE") => own.next().is_none(),
            lifecycle => own.any(|association| {
                lifecycle.is_none_or(|lifecycle| association.lifecycle == lifecycle)
                    && (self.kinds.is_empty() || self.kinds.contains(&association.kind))
            }),
        }
    }
}
