//! Which contexts a request reaches, and whether they are there for whoever asks.

use super::contexts::Contexts;
use super::rename::{Impassable, Unmapped};
use crate::protocol::endpoints::Route;
use crate::protocol::operation::Operation;
use crate::protocol::subject::{Context, QualifiedSubject, SubjectPrefix};

/// The contexts that a request reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// None: it is about the registry, or about this process.
    Nothing,
    /// Just one.
    One(Context),
    /// Those of several, as far as they are shown: the answer tells what of it is whose.
    Shown,
    /// Several, and nobody could tell what of the answer is whose.
    Everything,
}

impl Reach {
    /// Those that an operation reaches.
    pub fn of(operation: &Operation) -> Self {
        use Route as R;
        let query = &operation.query;
        let named = |name: &str| QualifiedSubject::parse(query.get(name).unwrap_or_default()).context;
        let prefixed = |all: &str| match SubjectPrefix::parse(query.get("subjectPrefix").unwrap_or(all)) {
            SubjectPrefix::In(context, _) => Self::One(context),
            SubjectPrefix::ContextsFrom(_) | SubjectPrefix::Everywhere(_) => Self::Everything,
        };
        match operation.route {
            R::GlobalMode | R::UpdateGlobalMode | R::DeleteGlobalMode | R::Exporters | R::Importers => Self::Nothing,
            // The mode of everything is this outpost's own. Everyone may know it, and it changes for all.
            R::SubjectMode if operation.subject.context == Context::global() => Self::Nothing,
            R::UpdateSubjectMode | R::DeleteSubjectMode if operation.subject.context == Context::global() => {
                Self::Everything
            }
            R::Subjects => prefixed(":*:"),
            R::Schemas => prefixed(""),
            R::SchemaById | R::SchemaTextById | R::SubjectsById | R::VersionsById => Self::One(named("subject")),
            R::CreateAssociation | R::UpdateAssociation | R::BatchMutateAssociations => Self::One(named("context")),
            R::DeleteContext => Self::One(operation.named_context()),
            R::GlobalConfig | R::UpdateGlobalConfig | R::DeleteGlobalConfig => Self::One(Context::default_context()),
            R::Contexts | R::SchemaByGuid | R::IdsByGuid => Self::Shown,
            R::AssociationsByResource | R::AssociationsByName | R::BatchGetAssociations => Self::Shown,
            R::DeleteAssociations | R::UnknownRead | R::UnknownWrite => Self::Everything,
            _ if operation.path.contains("{subject}") => Self::One(operation.subject.context.clone()),
            R::DekRead if operation.path.ends_with("/deks") => Self::Shown,
            R::DekRead if query.get("subjectPrefix").is_some() => {
                let contexts = query.all("subjectPrefix").map(SubjectPrefix::parse).map(|prefix| match prefix {
                    SubjectPrefix::In(context, _) => Some(context),
                    SubjectPrefix::ContextsFrom(_) | SubjectPrefix::Everywhere(_) => None,
                });
                let mut contexts: Vec<Option<Context>> = contexts.collect();
                contexts.dedup();
                match contexts.as_slice() {
                    [Some(context)] => Self::One(context.clone()),
                    _ => Self::Everything,
                }
            }
            _ => Self::Nothing,
        }
    }
}

/// Whether what a request sends along names nothing outside the context that its listener is bound to.
pub fn admit_body(operation: &Operation, bound: &Context, body: &[u8]) -> Result<(), Impassable> {
    Contexts::default().within(bound).body_there(operation, body).map(|_| ())
}

impl Contexts {
    /// Whether whoever asks may reach what a request names: what is mapped, and of that only one context where a
    /// listener is bound to it.
    /// What lies in the local registry needs no name at the primary.
    pub(super) fn admit(
        &self,
        operation: &Operation,
        bound: Option<&Context>,
        is_local: impl Fn(&Context) -> bool,
    ) -> Result<(), Unmapped> {
        if bound.is_none() && self.is_identity() {
            return Ok(());
        }
        let everything = || Unmapped(Context::named("*"));
        match Reach::of(operation) {
            Reach::Nothing | Reach::Shown => Ok(()),
            Reach::One(context) => {
                let is_shown = self.to_primary(&context).is_some() || is_local(&context);
                let is_bound = bound.is_none_or(|bound| *bound == context);
                if is_shown && is_bound { Ok(()) } else { Err(Unmapped(context)) }
            }
            Reach::Everything if bound.is_some() => Err(everything()),
            // What a map cannot take apart is not passed through it.
            Reach::Everything if operation.route == Route::UnknownWrite => Err(everything()),
            Reach::Everything => Ok(()),
        }
    }
}
