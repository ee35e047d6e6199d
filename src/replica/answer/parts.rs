//! What each answer is made of: the parts of the replica that it shows, or that decide what it shows.

use super::resolve::{config_key, served_subject};
use crate::protocol::endpoints::Route;
use crate::protocol::operation::Operation;
use crate::protocol::subject::QualifiedSubject;
use crate::protocol::target::java_int;
use crate::replica::snapshot::Snapshot;
use crate::replica::stamp::Part;

/// Parameters that pick out of what an answer is made of without them, or name what is said below. The others lead to
/// what versions refer to, or to counters, as may one that nobody has thought of.
const PICKING: [&str; 12] = [
    "subject",
    "deleted",
    "deletedOnly",
    "deletedAsNegative",
    "offset",
    "limit",
    "key",
    "value",
    "defaultToGlobal",
    "resourceType",
    "associationType",
    "lifecycle",
];

/// What an answer is made of, in a word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Made {
    /// Facts about the server alone.
    Facts,
    /// The versions that hold the id in the path.
    OneId,
    /// Who holds that id, which is not said where contents have several.
    Holders,
    /// The subject that the one in the path stands for, in whichever context.
    OneSubject,
    /// Configurations.
    Settings,
    /// Associations.
    Associations,
    /// Whatever there is.
    Everything,
}

impl Made {
    /// Says it of every route, so that a new one cannot be forgotten; to say `Everything` is never wrong.
    fn by(route: Route) -> Self {
        use Route as R;
        match route {
            R::Root | R::ClusterId | R::ServerVersion | R::Deployment | R::SchemaTypes => Self::Facts,
            R::SchemaById | R::SchemaTextById => Self::OneId,
            R::SubjectsById | R::VersionsById => Self::Holders,
            R::Versions | R::Version | R::VersionText | R::LatestWithMetadata => Self::OneSubject,
            R::GlobalConfig | R::SubjectConfig => Self::Settings,
            R::AssociationsBySubject | R::AssociationsByResource | R::AssociationsByName => Self::Associations,
            // Lists over all subjects, and what is found by a GUID in any context.
            R::Schemas | R::Subjects | R::Contexts | R::SchemaByGuid | R::IdsByGuid => Self::Everything,
            // Of versions of any subject that refer to one.
            R::ReferencedBy => Self::Everything,
            // They have a body, by which no answer is found again.
            R::RootPost | R::Lookup | R::BatchGetAssociations => Self::Everything,
            // Not answered from the replica.
            R::GlobalMode | R::SubjectMode | R::DekRead | R::UnknownRead | R::Exporters | R::Importers => {
                Self::Everything
            }
            R::TestCompatibility | R::TestCompatibilityAll => Self::Everything,
            R::Register | R::DeleteSubject | R::DeleteVersion | R::ModifyTags => Self::Everything,
            R::UpdateGlobalConfig | R::DeleteGlobalConfig | R::UpdateSubjectConfig | R::DeleteSubjectConfig => {
                Self::Everything
            }
            R::UpdateGlobalMode | R::DeleteGlobalMode | R::UpdateSubjectMode | R::DeleteSubjectMode => Self::Everything,
            R::DeleteContext | R::CreateAssociation | R::UpdateAssociation | R::DeleteAssociations => Self::Everything,
            R::BatchMutateAssociations | R::DekWrite | R::UnknownWrite => Self::Everything,
        }
    }
}

/// Tells the parts that the answer to an operation is made of, besides the common one; `None` where they are too many
/// to tell, or to be taken.
///
/// They are those of one state, and stay the same for as long as none of them changes.
pub(in crate::replica) fn parts(
    operation: &Operation,
    snapshot: &Snapshot,
    mut tell: impl FnMut(Part<'_>) -> Option<()>,
) -> Option<()> {
    // Until the profile is known, the first version there is shows it.
    let is_plain = snapshot.profile().is_some() && operation.query.names().all(|name| PICKING.contains(&name));
    let made = if is_plain { Made::by(operation.route) } else { Made::Everything };
    match made {
        Made::Facts => Some(()),
        Made::OneId | Made::Holders => {
            tell(Part::Id(java_int(operation.name())?))?;
            if made == Made::Holders {
                tell(Part::SeveralIds)?;
            }
            // It may be an alias.
            operation.subject_of_id().map_or(Some(()), |named| tell(Part::Setting(&config_key(&named))))
        }
        Made::OneSubject => {
            let served = served_subject(snapshot, operation);
            // A context as a whole is empty, or is not, by what all of its subjects are.
            (!served.is_bare_context()).then_some(())?;
            tell(Part::Setting(&config_key(&operation.subject)))?;
            tell(Part::Name(&served.subject))
        }
        Made::Settings => {
            let context = QualifiedSubject::new(operation.subject.context.clone(), "");
            tell(Part::Setting(&config_key(&operation.subject)))?;
            tell(Part::Setting(&config_key(&context)))
        }
        Made::Associations => {
            tell(Part::Associations)?;
            tell(Part::Setting(&config_key(&operation.subject)))
        }
        Made::Everything => None,
    }
}
