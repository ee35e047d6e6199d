//! THE table of who answers a read: for every route and parameter the replica, or the primary and why.
//!
//! A row of the primary's has a test; where one of them holds, the replica says nothing. What no such
//! row holds for, it answers from what it has, and what it has not, only the primary knows.

use super::resolve::{served_subject, version_number};
use super::{ABSENT, PRIMARY_ONLY, Verdict, associations, batch, filters, formats, references, tags};
use crate::protocol::endpoints::{Release, Route, is_settled};
use crate::protocol::operation::Operation;
use crate::protocol::schema::{SchemaType, Version};
use crate::protocol::shape::Form;
use crate::protocol::subject::Context;
use crate::replica::snapshot::Snapshot;

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Teller {
    /// Our copy.
    Replica,
    /// The primary, asked by each client for itself.
    Primary,
    /// The primary, asked once for all who ask at the same time.
    PrimaryOnce,
}

/// One row of the table.
#[derive(Debug)]
pub struct Row {
    /// The routes it is about.
    pub routes: &'static [Route],
    /// The query parameter; empty where it is the request as a whole.
    pub parameter: &'static str,
    /// In which case, in words; empty for always.
    pub case: &'static str,
    /// Who answers then.
    pub teller: Teller,
    /// Why.
    pub reason: &'static str,
    holds: fn(&Question<'_>) -> bool,
}

/// A read, with all that its answer depends on.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) operation: &'a Operation,
    pub(super) snapshot: &'a Snapshot,
    pub(super) form: Form,
    pub(super) body: &'a [u8],
    found: Option<(&'a Context, &'a Version)>,
}

impl<'a> Question<'a> {
    /// A question of which nothing has been looked up.
    pub(super) fn new(operation: &'a Operation, snapshot: &'a Snapshot, form: Form, body: &'a [u8]) -> Self {
        Self { operation, snapshot, form, body, found: None }
    }

    /// Whether the replica may answer, as far as that can be told without looking.
    pub(super) fn admit(&self) -> Result<(), Verdict> {
        match ROWS.iter().find(|row| row.is_about(self.operation) && (row.holds)(self)) {
            None => Ok(()),
            Some(row) => {
                tracing::debug!(reason = row.reason, "this is the primary's to answer");
                Err(if row.teller == Teller::PrimaryOnce { ABSENT } else { PRIMARY_ONLY })
            }
        }
    }

    /// Whether the replica may answer with a version that it has found.
    pub(super) fn admit_version(&self, context: &Context, version: &Version) -> Result<(), Verdict> {
        // Nearly all who ask without a parameter ask for the stored record as it is.
        if self.operation.query.is_empty() && !BY_CONTENT.contains(&self.operation.route) {
            Ok(())
        } else {
            Question { found: Some((context, version)), ..*self }.admit()
        }
    }

    /// The first value of a parameter that the route reads.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// Every value of a parameter that the route reads.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.operation.parameters().filter(move |(key, _)| *key == name).map(|(_, value)| value)
    }

    /// Whether a parameter is true.
    fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// Whether the version that was found is such.
    fn found(&self, is_such: impl FnOnce(&Context, &Version) -> bool) -> bool {
        self.found.is_some_and(|(context, version)| is_such(context, version))
    }

    /// The primary's release, where it says one.
    fn release(&self) -> Option<Release> {
        #[derive(serde::Deserialize)]
        struct Said {
            version: String,
        }
        let said = self.snapshot.remembered("/v1/metadata/version").filter(|said| said.status == 200)?;
        Release::parse(&serde_json::from_slice::<Said>(&said.body).ok()?.version)
    }
}

impl Row {
    fn is_about(&self, operation: &Operation) -> bool {
        self.routes.contains(&operation.route)
            && (self.parameter.is_empty() || operation.query.get(self.parameter).is_some())
    }
}

const fn replica(routes: &'static [Route], parameter: &'static str, reason: &'static str) -> Row {
    Row { routes, parameter, case: "", teller: Teller::Replica, reason, holds: |_| false }
}

const fn primary(
    (routes, parameter, case): (&'static [Route], &'static str, &'static str),
    reason: &'static str,
    holds: fn(&Question<'_>) -> bool,
) -> Row {
    Row { routes, parameter, case, teller: Teller::Primary, reason, holds }
}

const fn primary_once(
    (routes, parameter, case): (&'static [Route], &'static str, &'static str),
    reason: &'static str,
    holds: fn(&Question<'_>) -> bool,
) -> Row {
    Row { routes, parameter, case, teller: Teller::PrimaryOnce, reason, holds }
}

use Route as R;

/// Stands for all contexts where it begins a range of names.
const WILDCARD: &str = ":*:";

/// Answers that hold a schema's text.
const TEXTS: &[Route] =
    &[R::SchemaById, R::SchemaTextById, R::SchemaByGuid, R::Version, R::VersionText, R::LatestWithMetadata];
/// Answers that hold a whole record, and can show what stands in or behind its text.
const RECORDS: &[Route] = &[R::SchemaById, R::Version];
/// Routes that go by an id.
const BY_ID: &[Route] = &[R::SchemaById, R::SchemaTextById, R::SubjectsById, R::VersionsById];
/// Routes that go from an id or a GUID to a content, and from there on.
const BY_CONTENT: &[Route] = &[R::SchemaById, R::SchemaTextById, R::SubjectsById, R::VersionsById, R::SchemaByGuid];
/// Those of them where it counts under which id the content was written last.
const BY_LAST_ID: &[Route] = &[R::SubjectsById, R::VersionsById, R::SchemaByGuid];
/// Lists over the whole replica: what one lacks, it says to be absent.
const LISTS: &[Route] = &[R::Subjects, R::Schemas, R::SubjectsById, R::VersionsById, R::IdsByGuid, R::ReferencedBy];
/// What all versions of a subject, or of all subjects, have a part in.
const WHOLE: &[Route] = &[
    R::Subjects,
    R::Schemas,
    R::SubjectsById,
    R::VersionsById,
    R::ReferencedBy,
    R::Versions,
    R::Version,
    R::VersionText,
    R::LatestWithMetadata,
];
/// What the registry may read out of a range of names.
const RANGES: &[Route] = &[R::Versions, R::Version, R::VersionText, R::ReferencedBy, R::LatestWithMetadata];
/// Lists that go by associations.
const ASSOCIATED: &[Route] = &[R::Schemas, R::AssociationsBySubject, R::AssociationsByResource, R::AssociationsByName];
/// What shows soft-deleted versions on demand.
const DELETABLE: &[Route] = &[
    R::Subjects,
    R::Schemas,
    R::SubjectsById,
    R::VersionsById,
    R::Versions,
    R::Version,
    R::VersionText,
    R::ReferencedBy,
    R::LatestWithMetadata,
];
/// Lists that are cut into pages.
const PAGED: &[Route] = &[
    R::Subjects,
    R::Schemas,
    R::SubjectsById,
    R::VersionsById,
    R::ReferencedBy,
    R::Versions,
    R::Contexts,
    R::AssociationsBySubject,
    R::AssociationsByResource,
    R::AssociationsByName,
];
/// Every read that the replica has an answer to.
const HELD: &[Route] = &[
    R::Root,
    R::RootPost,
    R::ClusterId,
    R::ServerVersion,
    R::Deployment,
    R::SchemaTypes,
    R::Schemas,
    R::SchemaById,
    R::SchemaTextById,
    R::SubjectsById,
    R::VersionsById,
    R::SchemaByGuid,
    R::IdsByGuid,
    R::Subjects,
    R::Versions,
    R::Version,
    R::VersionText,
    R::ReferencedBy,
    R::LatestWithMetadata,
    R::GlobalConfig,
    R::SubjectConfig,
    R::Contexts,
    R::AssociationsBySubject,
    R::AssociationsByResource,
    R::AssociationsByName,
    R::BatchGetAssociations,
];

/// The table. A read that no row of the primary's holds for is the replica's, also where a list lacks its route.
#[rustfmt::skip]
pub static ROWS: &[Row] = &[
    // What is the primary's, whatever the replica holds.
    primary((&[R::DekRead], "", ""), "keys are never kept", always),
    primary((&[R::UnknownRead], "", ""), "no route of the registry", always),
    primary((&[R::TestCompatibility, R::TestCompatibilityAll], "", ""), "a compatibility test is the primary's judgement", always),
    primary((&[R::Lookup], "", "unless certainly equal"), "the lookup is not certainly equal", always),
    primary((HELD, "", "a parameter that came after the primary's release"), "whether the primary reads the parameter depends on its patch", came_later),

    // Lists.
    primary_once((LISTS, "", "before a first pass has ended"), "the replica is not whole yet", is_partial),
    primary_once((WHOLE, "", "where versions could not be taken over"), "the primary has a version that is not held", lacks_versions),
    primary((&[R::Schemas], "", "of a primary whose list cannot be taken over"), "the primary lists in its own way", lists_its_own_way),
    primary((&[R::Subjects, R::Versions], "", "filtered, of a primary whose list cannot be taken over"), "the primary filters in its own way", filters_its_own_way),
    primary((&[R::Subjects, R::Schemas], "subjectPrefix", "`:*:` inside"), "a wildcard inside a prefix", has_inner_wildcard),
    primary((RANGES, "", "of a subject with a wildcard in its name"), "a wildcard inside a subject", has_wildcard),
    replica(&[R::Subjects, R::Schemas], "subjectPrefix", "the grammar of prefixes is settled (§ 3.6)"),
    replica(PAGED, "offset", "pages are cut out last (§ 1)"),
    replica(PAGED, "limit", "the caps are settled (§ 1)"),
    replica(DELETABLE, "deleted", "soft-deleted versions are held (§ 6)"),
    replica(&[R::Subjects, R::Versions], "deletedOnly", "it wins over deleted (§ 1.3, § 1.10)"),
    replica(&[R::Versions], "deletedAsNegative", "it wins over both (§ 1.10)"),
    replica(&[R::Schemas], "latestOnly", "it counts after deleted (§ 1.9)"),
    replica(&[R::Contexts], "contextPrefix", "a plain beginning of the name (§ 1.21)"),

    // The list of schemas, by what is not in the schemas.
    primary((&[R::Schemas], "aliases", "before every configuration was read"), "not every alias is known yet", has_unknown_aliases),
    replica(&[R::Schemas], "aliases", "the configurations say what stands for what (§ 1.9)"),
    replica(&[R::Schemas], "ruleType", "the rules are held (§ 1.9)"),
    primary((&[R::Schemas], "", "by associations, where they cannot be read"), "the associations are not known", lacks_associations),
    primary((&[R::Schemas], "resourceType", "empty"), "an empty type of resource", |question| is_empty(question, "resourceType")),
    primary((ASSOCIATED, "associationType", "empty"), "an empty type of association", |question| is_empty(question, "associationType")),
    primary((ASSOCIATED, "lifecycle", "empty"), "an empty lifecycle", |question| is_empty(question, "lifecycle")),
    replica(ASSOCIATED, "resourceType", "the associations are held (§ 1.22)"),
    replica(ASSOCIATED, "associationType", "the associations are held (§ 1.22)"),
    replica(ASSOCIATED, "lifecycle", "the associations are held (§ 1.22)"),

    // Associations.
    primary((&[R::AssociationsByName], "", "with a wildcard over resources of several types"), "a range of resources is not filtered by type", associations::spans_types),
    primary((&[R::BatchGetAssociations], "", "a body that is not plainly a list of questions"), "only the registry reads every body", has_other_body),
    primary((&[R::BatchGetAssociations], "includeSchemas", "for a client that is shown less"), "what is left out of an enclosed schema", encloses_less),
    replica(&[R::BatchGetAssociations], "includeSchemas", "the latest version of each subject (§ 1.22)"),

    // Ids.
    replica(BY_ID, "subject", "the way from a subject to an id is settled (§ 3.7)"),
    primary_once((&[R::SchemaById], "fetchMaxId", "before a first pass has ended"), "the highest id was not read yet", lacks_highest_id),
    primary_once((&[R::SchemaById], "fetchMaxId", "after the highest id there can be"), "how far the counter of ids has come since it wrapped", has_wrapped),
    replica(&[R::SchemaById], "fetchMaxId", "the highest id is held (§ 1.5)"),
    primary_once((BY_CONTENT, "", "where a subject holds the id in several versions"), "through which version a subject holds the id does not show", holds_uncertainly),
    primary_once((BY_LAST_ID, "", "where imports gave contents several ids"), "under which id the content was written last does not show", has_several_ids),
    primary_once((&[R::IdsByGuid], "", "where ids were given that nobody holds"), "a GUID goes on naming an id that nobody holds", lacks_ids),

    // Texts in other forms.
    primary((TEXTS, "format", "logical, of a release that may know it"), "a format of a later release", is_later_format),
    primary((TEXTS, "format", "serialized and ignore_extensions of PROTOBUF"), "another form of a Protobuf text", reprints_protobuf),
    primary((TEXTS, "format", "of a text that is not certainly read again as it was"), "a format takes the text apart", is_not_read_again),
    replica(TEXTS, "format", "default, resolved, and what the type has not (§ 1.5)"),

    // What stands in or behind a text.
    primary((RECORDS, "findTags", "of JSON and PROTOBUF that may have some, or behind references"), "tags are looked for in the text", has_uncertain_tags),
    replica(RECORDS, "findTags", "the tags of AVRO, and that there are none (§ 1.5)"),
    primary((RECORDS, "referenceFormat", "qualified, of references in a form of a later release"), "references that say more than we know", has_other_references),
    replica(RECORDS, "referenceFormat", "a reference lies beside its referrer (§ 1.5, § 3.8)"),
    replica(&[R::LatestWithMetadata], "key", "the properties are held (§ 1.14)"),
    replica(&[R::LatestWithMetadata], "value", "the properties are held (§ 1.14)"),

    // Configurations, and all that may be missing.
    replica(&[R::GlobalConfig, R::SubjectConfig], "defaultToGlobal", "the closest configuration counts whole (§ 1.19)"),
    primary_once((HELD, "", "what the replica does not hold"), "that it is not here does not mean that it is not there", |_| false),
];

fn always(_: &Question<'_>) -> bool {
    true
}

/// Whether a parameter came after the primary's release, so that only some patches of that read it.
/// One that says nothing is the same to all.
fn came_later(question: &Question<'_>) -> bool {
    let says_something = |value: &str| !matches!(value, "" | "false" | "0" | "-1");
    let mut parameters = question.operation.parameters().filter(|(_, value)| says_something(value)).peekable();
    if parameters.peek().is_none() {
        return false;
    }
    let Some(release) = question.release() else { return false };
    parameters.any(|(name, _)| !is_settled(question.operation.route, name, release))
}

fn is_partial(question: &Question<'_>) -> bool {
    !question.snapshot.is_whole()
}

fn lacks_versions(question: &Question<'_>) -> bool {
    let (left_out, operation) = (question.snapshot.left_out(), question.operation);
    if left_out.is_empty() {
        return false;
    }
    let is_concerned = || {
        left_out.concerns(&operation.subject.subject)
            || left_out.concerns(&served_subject(question.snapshot, operation).subject)
    };
    match operation.route {
        R::Versions | R::LatestWithMetadata => is_concerned(),
        // A version by its number is held or is not.
        R::Version | R::VersionText => is_concerned() && matches!(version_number(operation.name()), Ok(None)),
        _ => true,
    }
}

fn lists_its_own_way(question: &Question<'_>) -> bool {
    question.snapshot.lists_its_own_way()
}

fn filters_its_own_way(question: &Question<'_>) -> bool {
    let is_filtered = || ["deleted", "deletedOnly", "deletedAsNegative"].iter().any(|name| question.flag(name));
    lists_its_own_way(question) && (is_filtered() || question.get("subjectPrefix").is_some())
}

/// A context may have the wildcard for its name, and the registry does not find its way out of that.
fn has_inner_wildcard(question: &Question<'_>) -> bool {
    let prefix = question.get("subjectPrefix").unwrap_or_default();
    let is_endless = || {
        let mut contexts = question.snapshot.listed_contexts().unwrap_or_default().iter();
        prefix.len() > WILDCARD.len() && contexts.any(Context::is_wildcard)
    };
    prefix.rfind(WILDCARD).is_some_and(|place| place > 0 || is_endless())
}

/// A version by its number is looked for under the very name; all others in all contexts then.
fn has_wildcard(question: &Question<'_>) -> bool {
    let operation = question.operation;
    let is_range = || match operation.route {
        R::Versions | R::LatestWithMetadata => true,
        _ => matches!(version_number(operation.name()), Ok(None)),
    };
    operation.subject_text.contains(WILDCARD) && is_range()
}

fn has_unknown_aliases(question: &Question<'_>) -> bool {
    question.flag("aliases") && !filters::knows_aliases(question.snapshot)
}

fn lacks_associations(question: &Question<'_>) -> bool {
    filters::asks_associations(question.operation) && question.snapshot.associations().is_none()
}

fn is_empty(question: &Question<'_>, parameter: &str) -> bool {
    question.all(parameter).any(str::is_empty)
}

fn has_other_body(question: &Question<'_>) -> bool {
    batch::read(question.body).is_none()
}

fn encloses_less(question: &Question<'_>) -> bool {
    question.flag("includeSchemas") && question.form == Form::Plain
}

fn lacks_highest_id(question: &Question<'_>) -> bool {
    question.flag("fetchMaxId") && is_partial(question)
}

fn has_wrapped(question: &Question<'_>) -> bool {
    let is_asked = question.flag("fetchMaxId");
    is_asked && question.found(|context, _| question.snapshot.context(context).is_some_and(|state| state.has_wrapped()))
}

fn holds_uncertainly(question: &Question<'_>) -> bool {
    question.found(|context, version| {
        let state = question.snapshot.context(context);
        state.is_some_and(|state| state.holders(version.id).iter().any(|holder| !holder.is_certain))
    })
}

fn has_several_ids(question: &Question<'_>) -> bool {
    question.found(|context, version| {
        let state = question.snapshot.context(context);
        state.is_some_and(|state| !state.is_only_id_of(version.guid.as_deref()))
    })
}

/// A context of which no subject is left may have had any.
fn lacks_ids(question: &Question<'_>) -> bool {
    let snapshot = question.snapshot;
    let listed = snapshot.listed_contexts().unwrap_or_default();
    snapshot.contexts().any(|(_, state)| state.lacks_ids())
        || listed.iter().any(|context| snapshot.context(context).is_none())
}

fn is_later_format(question: &Question<'_>) -> bool {
    question.get("format").is_some_and(|format| format.eq_ignore_ascii_case("logical"))
        && question.release().is_none_or(|release| release >= Release::new(8, 4))
}

fn reprints_protobuf(question: &Question<'_>) -> bool {
    question.found(|_, version| {
        version.schema_type == SchemaType::Protobuf && formats::reprints(question.get("format"), &version.schema_type)
    })
}

fn is_not_read_again(question: &Question<'_>) -> bool {
    let format = question.get("format");
    formats::is_asked(format)
        && question.found(|context, version| {
            let behind = references::behind(question.snapshot, context, version);
            behind.and_then(|behind| formats::formatted(version, &behind, format)).is_none()
        })
}

/// By its id, a schema is taken apart as if it stood in the default context, and in the format that
/// was asked for: with references, that can be another schema.
fn has_uncertain_tags(question: &Question<'_>) -> bool {
    question.found(|context, version| {
        let is_by_id = question.operation.route == R::SchemaById;
        let is_other = || !context.is_default() || formats::reprints(question.get("format"), &version.schema_type);
        let behind = || references::behind(question.snapshot, context, version);
        (is_by_id && version.references.is_some() && is_other())
            || behind().is_none_or(|behind| tags::tagged(version, &behind, &[]).is_none())
    })
}

/// Whether the references are wanted under their full names.
pub(super) fn asks_qualified(question: &Question<'_>) -> bool {
    question.get("referenceFormat") == Some("qualified")
}

fn has_other_references(question: &Question<'_>) -> bool {
    asks_qualified(question)
        && question.found(|context, version| {
            !context.is_default()
                && references::qualified(context, version).as_ref().and_then(references::recounted).is_none()
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::endpoints::{ENDPOINTS, Effect};

    /// Answered from our own table of modes.
    const OURS: [Route; 2] = [R::GlobalMode, R::SubjectMode];

    #[test]
    fn every_parameter_of_every_read_has_a_row() {
        for endpoint in ENDPOINTS.iter().filter(|endpoint| endpoint.effect == Effect::Read) {
            let rows = || ROWS.iter().filter(|row| row.routes.contains(&endpoint.route));
            let is_ours = OURS.contains(&endpoint.route);
            assert!(is_ours || rows().any(|row| row.parameter.is_empty()), "{} has no row", endpoint.route.name());
            let is_the_primarys = endpoint.route == Route::Lookup
                || rows().any(|row| row.teller != Teller::Replica && row.parameter.is_empty() && row.case.is_empty());
            for parameter in endpoint.parameters {
                let has = rows().any(|row| row.parameter == *parameter);
                assert!(has || is_the_primarys || is_ours, "{} {parameter}", endpoint.route.name());
            }
        }
    }

    #[test]
    fn a_row_is_about_parameters_that_its_routes_read_and_has_a_reason_of_its_own() {
        let mut reasons = std::collections::HashSet::new();
        for row in ROWS {
            for route in row.routes.iter().filter(|_| !row.parameter.is_empty()) {
                let reads = ENDPOINTS.iter().any(|one| one.route == *route && one.parameters.contains(&row.parameter));
                assert!(reads, "{} does not read {}", route.name(), row.parameter);
            }
            assert!(row.teller == Teller::Replica || reasons.insert(row.reason), "{} stands twice", row.reason);
        }
    }
}
