//! Who answers, under which names.
//!
//! [`Contexts::address`] finds out whether the names of an admitted request mean anything to whoever asks, and
//! [`Modes::route`] says where it goes. Both take the proof of the step before them and give the
//! proof for the next one. Under which names the primary knows what it is asked, [`Primary`] alone knows.

mod batch;
mod contexts;
mod gather;
mod guid;
mod holders;
mod keys;
mod primary;
mod printed;
mod reach;
mod referrers;
mod rename;
mod search;
mod top;
mod way;

use std::ops::Deref;
use std::sync::Arc;

use crate::admission::Admitted;
use crate::protocol::endpoints::{Effect, Route};
use crate::protocol::error::Refusal;
use crate::protocol::json::Object;
use crate::protocol::mode::Mode;
use crate::protocol::operation::Operation;
use crate::protocol::subject::Context;

pub use contexts::{Contexts, MapError, Pair, Selection};
pub use primary::Primary;
pub use reach::admit_body;
pub use rename::{Impassable, Unmapped};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To our own copy; what it does not know, the primary is asked.
    Replica,
    /// To the primary.
    Primary,
    /// Nowhere: it is about this process.
    Here,
}

/// A request that knows where it goes.
#[derive(Debug)]
pub struct Routed<O = Arc<Operation>> {
    addressed: Addressed<O>,
    destination: Destination,
}

impl<O> Routed<O> {
    /// Where it goes.
    pub fn destination(&self) -> Destination {
        self.destination
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
    /// The mode in scope forbids it; said in the registry's words.
    NotPermitted(Refusal),
}

/// The modes of all scopes. There is one yet: FORWARD, everywhere.
#[derive(Clone, Debug)]
pub struct Modes {
    everywhere: Mode,
}

impl Default for Modes {
    fn default() -> Self {
        Self { everywhere: Mode::Forward }
    }
}

impl Modes {
    /// Sends a request on its way, or says in the registry's words why not.
    pub fn route<O: Deref<Target = Operation>>(&self, addressed: Addressed<O>) -> Result<Routed<O>, Stop> {
        let operation = addressed.operation();
        let destination = match (operation.effect, operation.route) {
            (_, Route::GlobalMode | Route::SubjectMode) => Destination::Here,
            (Effect::Control, Route::Exporters | Route::Importers) => return Err(Stop::NoRoute),
            (Effect::Control, _) => {
                return Err(Stop::NotPermitted(Refusal::not_permitted(format!(
                    "Mode changes are not allowed: every context of this outpost is in {} mode",
                    self.everywhere
                ))));
            }
            (Effect::Read, _) => Destination::Replica,
            (Effect::Judgement | Effect::Write, _) => Destination::Primary,
        };
        Ok(Routed { addressed, destination })
    }

    /// The mode that counts where nothing closer is set.
    pub fn everywhere(&self) -> Mode {
        self.everywhere
    }

    /// The answer to `GET /mode` and `GET /mode/{s}` (WIRE.md § 4.3).
    pub fn show(&self, operation: &Operation) -> Result<Vec<u8>, Refusal> {
        let subject = &operation.subject;
        let is_top_level =
            subject.is_bare_context() && (subject.context.is_default() || subject.context == Context::global());
        if !is_top_level && !operation.query.flag("defaultToGlobal") {
            return Err(Refusal::no_mode(&subject.to_string()));
        }
        let mut out = Vec::new();
        let mut object = Object::open(&mut out);
        object.text("mode", Some(self.everywhere.as_str()));
        object.close();
        Ok(out)
    }
}
