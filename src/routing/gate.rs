//! The gate: what the modes in scope make of a request (CONSISTENCY.md, Modes).
//!
//! Reads pass always, to where what they ask for lives. A write passes if every scope that it reaches lets it; where nobody could tell which those are,
//! every scope that is set, and that is there for the client, has a say.

use std::ops::Deref;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::Value;

use super::modes::{Home, ModeTable, whole};
use super::reach::Reach;
use super::rename::subjects_sent;
use super::{Addressed, Destination, Forbidden, Routed, Stop};
use crate::protocol::endpoints::{Effect, Route};
use crate::protocol::error::Refusal;
use crate::protocol::operation::Operation;
use crate::protocol::splice::Unreadable;
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::replica::{Snapshot, behind_parameter, served_subject, subjects_behind};

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
    fn by(operation: &Operation, written: Written<'_>, table: &ModeTable) -> Self {
        use Route as R;
        let is_local = || table.home(&operation.subject) == Home::Local;
        match operation.route {
            // An association without a subject is about one that is there already, or that it is called after.
            R::CreateAssociation | R::UpdateAssociation | R::BatchMutateAssociations if names_all(written.body) => {
                Self::named(operation, written, Self::Anything)
            }
            R::CreateAssociation | R::UpdateAssociation | R::BatchMutateAssociations => Self::Anything,
            R::DeleteContext => Self::Scopes(vec![whole(&operation.named_context())]),
            R::DeleteAssociations | R::UnknownWrite => Self::Anything,
            // The local registry's aliases are known to itself alone, and it is in the same modes.
            _ if operation.path.contains("{subject}") && is_local() => Self::Scopes(vec![operation.subject.clone()]),
            R::DekWrite if operation.path.contains("{subject}") => {
                Self::Scopes(subjects_behind(written.snapshot, operation))
            }
            R::DekWrite if operation.path.ends_with("/deks") => Self::named(operation, written, Self::Registry),
            R::DekWrite => Self::Registry,
            // Writes follow aliases too (WIRE.md § 3.5), so what is behind one is what is written to.
            _ if operation.follows_aliases() => Self::Scopes(vec![served_subject(written.snapshot, operation)]),
            _ => Self::Scopes(vec![operation.subject.clone()]),
        }
    }

    /// What the body names, and what is behind that; `otherwise`, if it names nothing.
    fn named(operation: &Operation, Written { body, bound, snapshot }: Written<'_>, otherwise: Self) -> Self {
        let behind = |subject| subjects_behind(snapshot, &Operation { subject, ..operation.clone() });
        match subjects_sent(operation, body, bound) {
            Ok(subjects) if subjects.is_empty() => otherwise,
            Ok(subjects) => Self::Scopes(subjects.into_iter().flat_map(behind).collect()),
            Err(Unreadable::Broken | Unreadable::Strange) => Self::Anything,
        }
    }
}

/// Whether every association of a body says which subject it is about.
fn names_all(body: &[u8]) -> bool {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return false };
    let requests = body.get("requests").and_then(Value::as_array);
    let one = std::slice::from_ref(&body);
    let named = |association: &Value| association.get("subject").is_some_and(|name| !name.is_null() && name != "");
    requests.map_or(one, Vec::as_slice).iter().all(|request| {
        let associations = request.get("associations").and_then(Value::as_array);
        associations.is_some_and(|associations| !associations.is_empty() && associations.iter().all(named))
    })
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

    /// Whether the data of a context live in the local registry.
    pub fn is_local(&self, context: &Context) -> bool {
        self.home(&whole(context)) == Home::Local
    }

    /// Where the data of a subject live, or of a context as a whole.
    pub fn home(&self, scope: &QualifiedSubject) -> Home {
        let table = self.table.load();
        table.throughout().unwrap_or_else(|| table.home(scope))
    }

    /// From now on another one counts. What was let through before goes on.
    pub fn enforce(&self, next: ModeTable) {
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
        let table = self.table.load();
        let destination = match (operation.effect, operation.route) {
            (_, Route::GlobalMode | Route::SubjectMode) => Destination::Here,
            (Effect::Control, Route::Exporters | Route::Importers) => return Err(Stop::NoRoute),
            (Effect::Control, _) => Destination::Here,
            (effect @ (Effect::Read | Effect::Judgement), _) => match home_of_read(&table, operation, written) {
                Some(Home::Primary) if effect == Effect::Read => Destination::Replica,
                Some(Home::Primary) => Destination::Primary,
                Some(Home::Local) => Destination::Local,
                None => Destination::Both,
            },
            (Effect::Write, route) => {
                let reached = written.map_or(Reached::Anything, |written| Reached::by(operation, written, &table));
                match forbidding(&table, operation, written.and_then(|written| written.bound), &reached) {
                    Some(forbidden) if route == Route::Register => Destination::Known(forbidden),
                    Some(forbidden) => return Err(Stop::Forbidden(forbidden)),
                    None => match home_of_write(&table, operation, written, &reached).ok_or(Stop::Divided)? {
                        Home::Primary => Destination::Primary,
                        Home::Local => Destination::Local,
                    },
                }
            }
        };
        Ok(Routed { addressed, destination })
    }
}

/// Where that lives which a read asks for; nothing if it may be in either registry. An alias may lead from one to the
/// other, of which nothing is known without a state: then it is not for our own copy.
fn home_of_read(table: &ModeTable, operation: &Operation, known: Option<Written<'_>>) -> Option<Home> {
    if let Some(home) = table.throughout() {
        return Some(home);
    }
    let everything = || table.home(&whole(&Context::global()));
    let bound = known.and_then(|known| known.bound);
    let reach = Reach::of(operation);
    // To a listener that is bound to a context there is no other, and that context is as a whole in one place.
    if bound.is_none() && goes_over_both(table, operation, &reach, known) {
        return None;
    }
    Some(match reach {
        Reach::One(_) if operation.path.contains("{subject}") => match (table.home(&operation.subject), known) {
            (Home::Local, _) => Home::Local,
            (Home::Primary, _) if !operation.follows_aliases() => Home::Primary,
            (Home::Primary, Some(known)) => table.home(&served_subject(known.snapshot, operation)),
            (Home::Primary, None) => Home::Local,
        },
        Reach::One(context) => table.home(&whole(&context)),
        Reach::Nothing => everything(),
        Reach::Shown | Reach::Everything => bound.map_or_else(everything, |bound| table.home(&whole(bound))),
    })
}

/// Whether a read goes over what lives in two registries. A name that the default context does not have is looked for
/// in all the others (WIRE.md §§ 1.2, 1.11, 3.7), and a reference may come from any of them.
fn goes_over_both(table: &ModeTable, operation: &Operation, reach: &Reach, known: Option<Written<'_>>) -> bool {
    use Route as R;
    match operation.route {
        R::Lookup | R::Version | R::VersionText => {
            let served = known.map(|known| served_subject(known.snapshot, operation));
            let served = served.filter(|_| table.home(&operation.subject) == Home::Primary);
            served.as_ref().unwrap_or(&operation.subject).context.is_default()
        }
        R::ReferencedBy => true,
        R::SchemaById | R::SchemaTextById | R::SubjectsById | R::VersionsById => {
            let written = operation.query.get("subject").unwrap_or_default();
            let (named, known) = (QualifiedSubject::parse(written), known.map(|known| known.snapshot));
            let led_to = known.and_then(|snapshot| behind_parameter(snapshot, written));
            let served = led_to.filter(|_| table.home(&named) == Home::Primary);
            let served = served.as_ref().unwrap_or(&named);
            let is_apart = || table.home(served) != table.home(&whole(&named.context));
            !named.is_bare_context() && (served.context.is_default() || is_apart())
        }
        // Who lists aliases lists what they stand for, wherever that is.
        R::Schemas if operation.query.flag("aliases") => true,
        R::Subjects | R::Schemas => match reach {
            Reach::One(context) => table.is_divided(context),
            _ => true,
        },
        // A plain beginning of the whole name, context and all: these two leave open which.
        R::DekRead if operation.query.all("subjectPrefix").any(|start| matches!(start, "" | ":")) => true,
        // No route of the registry's: nobody could tell what of the answer is whose.
        R::UnknownRead => false,
        _ => matches!(reach, Reach::Shown | Reach::Everything),
    }
}

/// Where that lives which a write changes, if it is one place. What is on no route of the registry's goes to where all
/// goes of which nothing is said.
fn home_of_write(
    table: &ModeTable,
    operation: &Operation,
    written: Option<Written<'_>>,
    reached: &Reached,
) -> Option<Home> {
    let everything = table.home(&whole(&Context::global()));
    match (reached, written.and_then(|written| written.bound)) {
        (Reached::Scopes(scopes), _) => {
            let mut homes = scopes.iter().map(|scope| table.home(scope));
            let first = homes.next()?;
            homes.all(|home| home == first).then_some(first)
        }
        (Reached::Anything, Some(bound)) => Some(table.home(&whole(bound))),
        (Reached::Anything, None) if operation.route != Route::UnknownWrite => table.throughout(),
        (Reached::Registry | Reached::Anything, _) => Some(everything),
    }
}

/// Why a write is not let through.
fn forbidding(
    table: &ModeTable,
    operation: &Operation,
    bound: Option<&Context>,
    reached: &Reached,
) -> Option<Forbidden> {
    if !table.forbids_anything() {
        return None;
    }
    let read_only = |scope: &QualifiedSubject| {
        let mode = table.in_scope(scope);
        mode.is_read_only().then(|| (scope.clone(), mode))
    };
    let everything = whole(&Context::global());
    let (scope, mode) = match reached {
        Reached::Scopes(scopes) => scopes.iter().find_map(read_only),
        Reached::Registry => read_only(&everything),
        Reached::Anything => {
            // What is set on contexts that there are not for the client is no matter of its own.
            let is_there = |scope: &&QualifiedSubject| bound.is_none_or(|bound| scope.context == *bound);
            let set = table.iter().map(|(scope, _)| scope).filter(is_there);
            let found = set.chain([&everything]).find_map(read_only);
            // Nobody knows that it is about this one, so it is not named.
            found.map(|(_, mode)| (QualifiedSubject::none(), mode))
        }
    }?;
    let refusal = Refusal::not_permitted(in_the_registrys_words(operation, &scope));
    let home = table.home(&scope);
    Some(Forbidden { refusal, scope, mode, home })
}

/// WIRE.md § 4.2. The top level has no name, and associations name what they are about without marks.
fn in_the_registrys_words(operation: &Operation, scope: &QualifiedSubject) -> String {
    use Route as R;
    let (subject, context) = match operation.route {
        _ if scope.is_top_level() => ("null".to_owned(), String::new()),
        R::CreateAssociation | R::UpdateAssociation | R::DeleteAssociations | R::BatchMutateAssociations => {
            (scope.subject.to_string(), scope.context.to_string())
        }
        _ => (scope.to_string(), scope.context.prefix()),
    };
    format!("Subject {subject} in context {context} is in read-only mode")
}
