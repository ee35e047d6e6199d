//! Who answers, under which names.
//!
//! [`Contexts::address`] finds out whether the names of an admitted request mean anything to whoever asks, and
//! [`Modes::route`] says where it goes. Both take the proof of the step before them and give the
//! proof for the next one. Under which names the primary knows what it is asked, [`Primary`] alone knows.

mod calls;
mod contexts;
mod gate;
pub mod listing;
mod modes;
mod primary;
mod reach;
mod rename;
#[cfg(test)]
mod tests;
mod way;

use std::ops::Deref;
use std::sync::Arc;

use crate::admission::Admitted;
use crate::protocol::error::Refusal;
use crate::protocol::mode::Mode;
use crate::protocol::operation::Operation;
use crate::protocol::subject::QualifiedSubject;

pub use calls::batch::unassociated;
pub use calls::referrers::refers;
pub use contexts::{Contexts, MapError, Pair, Selection};
pub use gate::{Modes, Written};
pub use modes::{Circumstances, Home, ModeChange, ModeTable, Setting};
pub use primary::{Primary, local_target};
pub use reach::{Reach, admit_body};
pub use rename::{Impassable, Unmapped, target};

/// A request whose names mean something to whoever asks.
#[derive(Debug)]
pub struct Addressed<O = Arc<Operation>> {
    admitted: Admitted<O>,
}

impl<O: Deref<Target = Operation>> Addressed<O> {
    /// What is asked for, under our names.
    pub fn operation(&self) -> &O {
        self.admitted.operation()
    }

    /// Who asks, and what.
    pub fn admitted(&self) -> &Admitted<O> {
        &self.admitted
    }
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To our own copy; what it does not know, the primary is asked.
    Replica,
    /// To the primary.
    Primary,
    /// To the local registry, which is asked in the client's own words.
    Local,
    /// To our own copy and to the local registry, each for what is its own.
    Both,
    /// To where the subject's versions are if it asks for what is there already, and else it is refused so.
    Known(Forbidden),
    /// Nowhere: it is about this process.
    Here,
}

impl Addressed {
    /// What a request to both registries asks of our own copy.
    pub fn of_our_copy(self) -> Routed {
        Routed { addressed: self, destination: Destination::Replica }
    }
}

/// A request that knows where it goes.
#[derive(Debug)]
pub struct Routed<O = Arc<Operation>> {
    addressed: Addressed<O>,
    destination: Destination,
}

impl<O> Routed<O> {
    /// Where it goes.
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// The request under both names.
    pub fn addressed(&self) -> &Addressed<O> {
        &self.addressed
    }
}

/// Why a request goes nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It asks for something that this outpost does not have, and that must not be forwarded blindly.
    NoRoute,
    /// A mode forbids it.
    Forbidden(Forbidden),
    /// It is a write to subjects of both registries, and no part of it may fail alone.
    Divided,
}

/// A write that a mode does not let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forbidden {
    /// The registry's words for it.
    pub refusal: Refusal,
    /// What may not be written to; the top level where nobody can tell.
    pub scope: QualifiedSubject,
    /// The mode in that scope.
    pub mode: Mode,
    /// Where the data of that scope live.
    pub home: Home,
}
