//! The gate: what the modes in scope make of a request (CONSISTENCY.md, Modes).
//!
//! Reads pass always. A write passes if every scope that it reaches lets it; where nobody could tell which those are,
//! every scope that is set has a say.

use std::ops::Deref;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::modes::{ModeTable, whole};
use super::rename::subjects_sent;
use super::{Addressed, Destination, Routed, Stop};
use crate::protocol::endpoints::{Effect, Route};
use crate::protocol::error::Refusal;
use crate::protocol::mode::Mode;
use crate::protocol::operation::Operation;
use crate::protocol::splice::Unreadable;
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::replica::{Snapshot, served_subject};

/// The modes in force, which can be changed while requests pass.
#[derive(Debug)]
pub struct Modes {
    table: ArcSwap<ModeTable>,
}

/// What there is to know of a write beside its head.
#[derive(Clone, Copy, Debug)]
pub struct Written<'a> {
    /// What is sent along.
    pub body: &'a [u8],
    /// The context that the listener is bound to, if it is.
    pub bound: Option<&'a Context>,
    /// The state that says which names are aliases.
    pub snapshot: &'a Snapshot,
}

/// What a write is about, as far as modes go.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reached {
    /// These subjects; a context stands for itself.
    Scopes(Vec<QualifiedSubject>),
    /// What belongs to no context.
    Registry,
    /// Nobody can tell.
    Anything,
}

impl Reached {
    fn by(operation: &Operation, written: Written<'_>) -> Self {
        use Route as R;
        let Written { body, bound, snapshot } = written;
        let subject = &operation.subject;
        match operation.route {
            R::CreateAssociation | R::UpdateAssociation | R::BatchMutateAssociations => {
                match subjects_sent(operation, body, bound) {
                    Ok(subjects) if !subjects.is_empty() => Self::Scopes(subjects),
                    // What names no subject the registry refuses, or it is about one that is there already.
                    Ok(_) | Err(Unreadable::Broken | Unreadable::Strange) => Self::Anything,
                }
            }
            R::DeleteContext => Self::Scopes(vec![whole(&operation.named_context())]),
            R::DeleteAssociations | R::UnknownWrite => Self::Anything,
            // Which of two aliases counts for a key is the registry's to say; neither may be read-only.
            R::DekWrite if operation.path.contains("{subject}") => {
                Self::Scopes(vec![subject.clone(), served_subject(snapshot, operation)])
            }
            R::DekWrite => match subjects_sent(operation, body, bound) {
                Ok(subjects) if !subjects.is_empty() => Self::Scopes(subjects),
                Ok(_) => Self::Registry,
                Err(Unreadable::Broken | Unreadable::Strange) => Self::Anything,
            },
            // Writes follow aliases too (WIRE.md § 3.5), so what is behind one is what is written to.
            _ if operation.follows_aliases() => Self::Scopes(vec![served_subject(snapshot, operation)]),
            _ => Self::Scopes(vec![subject.clone()]),
        }
    }
}

impl Modes {
    /// The modes of a table.
    pub fn of(table: ModeTable) -> Self {
        Self { table: ArcSwap::from_pointee(table) }
    }

    /// The table as it is now.
    pub fn table(&self) -> Arc<ModeTable> {
        self.table.load_full()
    }

    /// From now on another one counts. What was let through before goes on.
    pub fn show(&self, next: ModeTable) {
        self.table.store(Arc::new(next));
    }

    /// Sends a request on its way, or says in the registry's words why not. A write of which no more is known than its
    /// head is judged as one that could be about anything.
    pub fn route<O: Deref<Target = Operation>>(
        &self,
        addressed: Addressed<O>,
        written: Option<Written<'_>>,
    ) -> Result<Routed<O>, Stop> {
        let operation = addressed.operation();
        let destination = match (operation.effect, operation.route) {
            (_, Route::GlobalMode | Route::SubjectMode) => Destination::Here,
            (Effect::Control, Route::Exporters | Route::Importers) => return Err(Stop::NoRoute),
            (Effect::Control, _) => Destination::Here,
            (Effect::Read, _) => Destination::Replica,
            (Effect::Judgement, _) => Destination::Primary,
            (Effect::Write, Route::Register) => match self.refusal(operation, written) {
                Some(refusal) => Destination::Known(refusal),
                None => Destination::Primary,
            },
            (Effect::Write, _) => match self.refusal(operation, written) {
                Some(refusal) => return Err(Stop::NotPermitted(refusal)),
                None => Destination::Primary,
            },
        };
        Ok(Routed { addressed, destination })
    }

    /// Why a write is not let through.
    fn refusal(&self, operation: &Operation, written: Option<Written<'_>>) -> Option<Refusal> {
        let table = self.table.load();
        let (scope, mode) = match written.map_or(Reached::Anything, |written| Reached::by(operation, written)) {
            Reached::Scopes(scopes) => {
                let mut modes = scopes.into_iter().map(|scope| (table.in_scope(&scope), scope));
                modes.find(|(mode, _)| forbids_writes(*mode)).map(|(mode, scope)| (scope, mode))
            }
            Reached::Registry => {
                let everything = whole(&Context::global());
                let mode = table.in_scope(&everything);
                forbids_writes(mode).then_some((everything, mode))
            }
            Reached::Anything => {
                let set = table.iter().map(|(scope, mode)| (scope.clone(), mode));
                let otherwise = (whole(&Context::global()), table.otherwise());
                set.chain([otherwise]).find(|(_, mode)| forbids_writes(*mode))
            }
        }?;
        let refusal = Refusal::not_permitted(in_the_registrys_words(operation, &scope));
        tracing::debug!(%scope, %mode, operation = operation.route.name(), "a mode forbids a write");
        Some(refusal)
    }
}

fn forbids_writes(mode: Mode) -> bool {
    match mode {
        Mode::ReadOnly | Mode::ReadOnlyOverride => true,
        Mode::Forward | Mode::ReadWrite | Mode::Import => false,
    }
}

/// WIRE.md § 4.2. The top level has no name, and associations name what they are about without marks.
fn in_the_registrys_words(operation: &Operation, scope: &QualifiedSubject) -> String {
    use Route as R;
    let (subject, context) = match operation.route {
        R::CreateAssociation | R::UpdateAssociation | R::DeleteAssociations | R::BatchMutateAssociations => {
            (scope.subject.to_string(), scope.context.to_string())
        }
        _ if scope.is_bare_context() && scope.context.is_default() => ("null".to_owned(), String::new()),
        _ => (scope.to_string(), scope.context.prefix()),
    };
    format!("Subject {subject} in context {context} is in read-only mode")
}
