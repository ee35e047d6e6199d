//! THE table: a row an endpoint (WIRE.md § 1). Routing, effect, metric label and tests come from it.

/// Which endpoint a request asks for. The names follow the registry's own operation names (HYBRID.md § 1.7).
///
/// `UnknownWrite` stays the last: by it the proxy counts how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is a row of the table below, which says what it is")]
pub enum Route {
    Root,
    RootPost,
    ClusterId,
    ServerVersion,
    Deployment,
    SchemaTypes,
    Schemas,
    SchemaById,
    SchemaTextById,
    SubjectsById,
    VersionsById,
    SchemaByGuid,
    IdsByGuid,
    Subjects,
    Lookup,
    DeleteSubject,
    Versions,
    Register,
    Version,
    DeleteVersion,
    VersionText,
    ReferencedBy,
    ModifyTags,
    LatestWithMetadata,
    TestCompatibility,
    TestCompatibilityAll,
    GlobalConfig,
    UpdateGlobalConfig,
    DeleteGlobalConfig,
    SubjectConfig,
    UpdateSubjectConfig,
    DeleteSubjectConfig,
    GlobalMode,
    UpdateGlobalMode,
    DeleteGlobalMode,
    SubjectMode,
    UpdateSubjectMode,
    DeleteSubjectMode,
    Contexts,
    DeleteContext,
    AssociationsBySubject,
    AssociationsByResource,
    AssociationsByName,
    BatchGetAssociations,
    CreateAssociation,
    UpdateAssociation,
    DeleteAssociations,
    BatchMutateAssociations,
    DekRead,
    DekWrite,
    Exporters,
    Importers,
    UnknownRead,
    UnknownWrite,
}

/// What a request does, decided by its route and never by its method (CONSISTENCY.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Asks for what is there.
    Read,
    /// Asks for a judgement that only a registry can make, and changes nothing.
    Judgement,
    /// Asks for a change.
    Write,
    /// Acts on this process: modes, exporters, importers.
    Control,
}

/// One endpoint.
#[derive(Debug)]
pub struct Endpoint {
    /// The method; HEAD is served wherever GET is.
    pub method: &'static str,
    /// The path: fixed words, compared undecoded, and names in braces.
    pub path: &'static str,
    /// Which endpoint it is.
    pub route: Route,
    /// What it does.
    pub effect: Effect,
    /// The query parameters that it reads.
    pub parameters: &'static [&'static str],
}

impl Route {
    /// The name in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "Root",
            Self::RootPost => "RootPost",
            Self::ClusterId => "ClusterId",
            Self::ServerVersion => "ServerVersion",
            Self::Deployment => "Deployment",
            Self::SchemaTypes => "SchemaTypes",
            Self::Schemas => "Schemas",
            Self::SchemaById => "SchemaById",
            Self::SchemaTextById => "SchemaTextById",
            Self::SubjectsById => "SubjectsById",
            Self::VersionsById => "VersionsById",
            Self::SchemaByGuid => "SchemaByGuid",
            Self::IdsByGuid => "IdsByGuid",
            Self::Subjects => "Subjects",
            Self::Lookup => "Lookup",
            Self::DeleteSubject => "DeleteSubject",
            Self::Versions => "Versions",
            Self::Register => "Register",
            Self::Version => "Version",
            Self::DeleteVersion => "DeleteVersion",
            Self::VersionText => "VersionText",
            Self::ReferencedBy => "ReferencedBy",
            Self::ModifyTags => "ModifyTags",
            Self::LatestWithMetadata => "LatestWithMetadata",
            Self::TestCompatibility => "TestCompatibility",
            Self::TestCompatibilityAll => "TestCompatibilityAll",
            Self::GlobalConfig => "GlobalConfig",
            Self::UpdateGlobalConfig => "UpdateGlobalConfig",
            Self::DeleteGlobalConfig => "DeleteGlobalConfig",
            Self::SubjectConfig => "SubjectConfig",
            Self::UpdateSubjectConfig => "UpdateSubjectConfig",
            Self::DeleteSubjectConfig => "DeleteSubjectConfig",
            Self::GlobalMode => "GlobalMode",
            Self::UpdateGlobalMode => "UpdateGlobalMode",
            Self::DeleteGlobalMode => "DeleteGlobalMode",
            Self::SubjectMode => "SubjectMode",
            Self::UpdateSubjectMode => "UpdateSubjectMode",
            Self::DeleteSubjectMode => "DeleteSubjectMode",
            Self::Contexts => "Contexts",
            Self::DeleteContext => "DeleteContext",
            Self::AssociationsBySubject => "AssociationsBySubject",
            Self::AssociationsByResource => "AssociationsByResource",
            Self::AssociationsByName => "AssociationsByName",
            Self::BatchGetAssociations => "BatchGetAssociations",
            Self::CreateAssociation => "CreateAssociation",
            Self::UpdateAssociation => "UpdateAssociation",
            Self::DeleteAssociations => "DeleteAssociations",
            Self::BatchMutateAssociations => "BatchMutateAssociations",
            Self::DekRead => "DekRead",
            Self::DekWrite => "DekWrite",
            Self::Exporters => "Exporters",
            Self::Importers => "Importers",
            Self::UnknownRead => "UnknownRead",
            Self::UnknownWrite => "UnknownWrite",
        }
    }
}

const fn row(
    method: &'static str,
    path: &'static str,
    route: Route,
    effect: Effect,
    parameters: &'static [&'static str],
) -> Endpoint {
    Endpoint { method, path, route, effect, parameters }
}

use Effect::{Control, Judgement, Read, Write};
use Route as R;

const DEKS: &str = "/dek-registry/v1/keks/{kek}/deks";

/// Every endpoint of the registry. Rows of one path stand together: what has no row of the method
/// asked for is 405, a path without rows is unknown.
#[rustfmt::skip]
pub static ENDPOINTS: &[Endpoint] = &[
    row("GET", "/", R::Root, Read, &[]),
    row("POST", "/", R::RootPost, Read, &[]),
    row("GET", "/v1/metadata/id", R::ClusterId, Read, &[]),
    row("GET", "/v1/metadata/version", R::ServerVersion, Read, &[]),
    row("GET", "/v1/metadata/deployment", R::Deployment, Read, &[]),
    row("GET", "/schemas/types", R::SchemaTypes, Read, &[]),
    row("GET", "/schemas", R::Schemas, Read, &["subjectPrefix", "aliases", "deleted", "latestOnly", "ruleType", "resourceType", "associationType", "lifecycle", "offset", "limit"]),
    row("GET", "/schemas/ids/{id}", R::SchemaById, Read, &["subject", "format", "referenceFormat", "findTags", "fetchMaxId"]),
    row("GET", "/schemas/ids/{id}/schema", R::SchemaTextById, Read, &["subject", "format"]),
    row("GET", "/schemas/ids/{id}/subjects", R::SubjectsById, Read, &["subject", "deleted", "offset", "limit"]),
    row("GET", "/schemas/ids/{id}/versions", R::VersionsById, Read, &["subject", "deleted", "offset", "limit"]),
    row("GET", "/schemas/guids/{guid}", R::SchemaByGuid, Read, &["format"]),
    row("GET", "/schemas/guids/{guid}/ids", R::IdsByGuid, Read, &[]),
    row("GET", "/subjects", R::Subjects, Read, &["subjectPrefix", "deleted", "deletedOnly", "offset", "limit"]),
    row("POST", "/subjects/{subject}", R::Lookup, Read, &["normalize", "format", "deleted"]),
    row("DELETE", "/subjects/{subject}", R::DeleteSubject, Write, &["permanent"]),
    row("GET", "/subjects/{subject}/versions", R::Versions, Read, &["deleted", "deletedOnly", "deletedAsNegative", "offset", "limit"]),
    row("POST", "/subjects/{subject}/versions", R::Register, Write, &["normalize", "format", "force"]),
    row("GET", "/subjects/{subject}/versions/{version}", R::Version, Read, &["format", "referenceFormat", "deleted", "findTags"]),
    row("DELETE", "/subjects/{subject}/versions/{version}", R::DeleteVersion, Write, &["permanent"]),
    row("GET", "/subjects/{subject}/versions/{version}/schema", R::VersionText, Read, &["format", "deleted"]),
    row("GET", "/subjects/{subject}/versions/{version}/referencedby", R::ReferencedBy, Read, &["deleted", "offset", "limit"]),
    row("POST", "/subjects/{subject}/versions/{version}/tags", R::ModifyTags, Write, &[]),
    row("GET", "/subjects/{subject}/metadata", R::LatestWithMetadata, Read, &["key", "value", "format", "deleted"]),
    row("POST", "/compatibility/subjects/{subject}/versions/{version}", R::TestCompatibility, Judgement, &["normalize", "verbose"]),
    row("POST", "/compatibility/subjects/{subject}/versions", R::TestCompatibilityAll, Judgement, &["normalize", "verbose"]),
    row("GET", "/config", R::GlobalConfig, Read, &["defaultToGlobal"]),
    row("PUT", "/config", R::UpdateGlobalConfig, Write, &[]),
    row("DELETE", "/config", R::DeleteGlobalConfig, Write, &[]),
    row("GET", "/config/{subject}", R::SubjectConfig, Read, &["defaultToGlobal"]),
    row("PUT", "/config/{subject}", R::UpdateSubjectConfig, Write, &[]),
    row("DELETE", "/config/{subject}", R::DeleteSubjectConfig, Write, &[]),
    row("GET", "/mode", R::GlobalMode, Read, &["defaultToGlobal"]),
    row("PUT", "/mode", R::UpdateGlobalMode, Control, &["force"]),
    row("DELETE", "/mode", R::DeleteGlobalMode, Control, &["recursive"]),
    row("GET", "/mode/{subject}", R::SubjectMode, Read, &["defaultToGlobal"]),
    row("PUT", "/mode/{subject}", R::UpdateSubjectMode, Control, &["force"]),
    row("DELETE", "/mode/{subject}", R::DeleteSubjectMode, Control, &["recursive"]),
    row("GET", "/contexts", R::Contexts, Read, &["offset", "limit", "contextPrefix"]),
    row("DELETE", "/contexts/{context}", R::DeleteContext, Write, &[]),
    row("GET", "/associations/subjects/{subject}", R::AssociationsBySubject, Read, &["resourceType", "associationType", "lifecycle", "offset", "limit"]),
    row("GET", "/associations/resources/{resource}", R::AssociationsByResource, Read, &["resourceType", "associationType", "lifecycle", "offset", "limit"]),
    row("GET", "/associations/resources/{namespace}/{name}", R::AssociationsByName, Read, &["resourceType", "associationType", "lifecycle", "offset", "limit"]),
    row("POST", "/associations:batchGet", R::BatchGetAssociations, Read, &["includeSchemas"]),
    row("POST", "/associations", R::CreateAssociation, Write, &["context", "dryRun"]),
    row("PUT", "/associations", R::CreateAssociation, Write, &["context", "dryRun"]),
    row("PUT", "/associations/resources/{resource}", R::UpdateAssociation, Write, &["context", "dryRun"]),
    row("DELETE", "/associations/resources/{resource}", R::DeleteAssociations, Write, &["resourceType", "associationType", "cascadeLifecycle", "dryRun"]),
    row("POST", "/associations:batchMutate", R::BatchMutateAssociations, Write, &["context", "dryRun"]),
    row("GET", "/dek-registry/v1/keks", R::DekRead, Read, &["subjectPrefix", "deleted", "offset", "limit"]),
    row("POST", "/dek-registry/v1/keks", R::DekWrite, Write, &["testSharing"]),
    row("GET", "/dek-registry/v1/keks/{kek}", R::DekRead, Read, &["deleted"]),
    row("PUT", "/dek-registry/v1/keks/{kek}", R::DekWrite, Write, &["testSharing"]),
    row("DELETE", "/dek-registry/v1/keks/{kek}", R::DekWrite, Write, &["permanent"]),
    row("POST", "/dek-registry/v1/keks/{kek}/test", R::DekWrite, Write, &[]),
    row("POST", "/dek-registry/v1/keks/{kek}/undelete", R::DekWrite, Write, &[]),
    row("GET", DEKS, R::DekRead, Read, &["deleted", "offset", "limit"]),
    row("POST", DEKS, R::DekWrite, Write, &["rewrap"]),
    row("GET", "/dek-registry/v1/keks/{kek}/deks/{subject}", R::DekRead, Read, &["algorithm", "deleted"]),
    row("POST", "/dek-registry/v1/keks/{kek}/deks/{subject}", R::DekWrite, Write, &["rewrap"]),
    row("DELETE", "/dek-registry/v1/keks/{kek}/deks/{subject}", R::DekWrite, Write, &["permanent", "algorithm"]),
    row("POST", "/dek-registry/v1/keks/{kek}/deks/{subject}/undelete", R::DekWrite, Write, &["algorithm"]),
    row("GET", "/dek-registry/v1/keks/{kek}/deks/{subject}/versions", R::DekRead, Read, &["algorithm", "deleted", "offset", "limit"]),
    row("GET", "/dek-registry/v1/keks/{kek}/deks/{subject}/versions/{version}", R::DekRead, Read, &["algorithm", "deleted"]),
    row("DELETE", "/dek-registry/v1/keks/{kek}/deks/{subject}/versions/{version}", R::DekWrite, Write, &["permanent", "algorithm"]),
    row("POST", "/dek-registry/v1/keks/{kek}/deks/{subject}/versions/{version}/undelete", R::DekWrite, Write, &["algorithm"]),
];

/// What is asked of paths that begin like this acts on this process, whatever follows.
pub static CONTROL_ROOTS: &[(&str, Route)] = &[("exporters", R::Exporters), ("importers", R::Importers)];

/// Parameters that common clients send although no route reads them (REAL-REGISTRIES.md § 5); the
/// registry ignores them, and so may we.
pub static IGNORED_PARAMETERS: &[&str] = &["deleted_only", "lookup_deleted_schema"];

/// Whether the registry is known to ignore or read the parameter, so that an answer without asking it is certain.
pub fn is_known_parameter(name: &str) -> bool {
    IGNORED_PARAMETERS.contains(&name) || ENDPOINTS.iter().any(|endpoint| endpoint.parameters.contains(&name))
}

/// A release of Confluent's registry, as far as it decides which parameters are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// The first number.
    pub major: u16,
    /// The second; what follows it brings parameters only now and then.
    pub minor: u16,
}

impl Release {
    /// A release by its first two numbers.
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    /// Reads what `/v1/metadata/version` calls the version: `8.3.1`, `7.9.0-ce`.
    pub fn parse(version: &str) -> Option<Self> {
        let mut numbers = version.split('.').map(|number| number.parse().ok());
        Some(Self { major: numbers.next()??, minor: numbers.next()?? })
    }
}

/// Parameters that 7.4 did not read, with the first release of which every patch does: what an earlier
/// one does with them depends on its patch.
#[rustfmt::skip]
static SINCE: &[(&[Route], &str, Release)] = &[
    (&[R::Schemas], "ruleType", Release::new(7, 6)),
    (&[R::Schemas], "aliases", Release::new(7, 7)),
    (&[R::Schemas], "resourceType", Release::new(8, 3)),
    (&[R::Schemas], "associationType", Release::new(8, 3)),
    (&[R::Schemas], "lifecycle", Release::new(8, 3)),
    (&[R::SchemaById, R::Version], "findTags", Release::new(7, 7)),
    (&[R::SchemaById, R::Version], "referenceFormat", Release::new(8, 1)),
    (&[R::Version, R::VersionText, R::LatestWithMetadata, R::Lookup], "format", Release::new(7, 8)),
    (&[R::Subjects, R::SubjectsById, R::VersionsById, R::Versions, R::ReferencedBy, R::Contexts], "offset", Release::new(8, 0)),
    (&[R::Subjects, R::SubjectsById, R::VersionsById, R::Versions, R::ReferencedBy, R::Contexts], "limit", Release::new(8, 0)),
    (&[R::ReferencedBy], "deleted", Release::new(8, 3)),
    (&[R::Versions], "deletedAsNegative", Release::new(8, 2)),
    (&[R::Contexts], "contextPrefix", Release::new(8, 2)),
    (&[R::GlobalConfig], "defaultToGlobal", Release::new(8, 1)),
];

/// Whether every patch of a release is known to read a parameter of a route, or none ever did.
pub fn is_settled(route: Route, parameter: &str, release: Release) -> bool {
    let later = |(routes, name, since): &(&[Route], &str, Release)| {
        routes.contains(&route) && *name == parameter && release < *since
    };
    !SINCE.iter().any(later)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_later_is_not_settled_for_an_earlier_release() {
        let release = |version| Release::parse(version).expect("a version");
        assert!(!is_settled(Route::Versions, "deletedAsNegative", release("7.9.5-ce")));
        assert!(is_settled(Route::Versions, "deletedAsNegative", release("8.3.1")));
        assert!(is_settled(Route::Versions, "deleted", release("7.4.0")));
        assert!(is_settled(Route::Versions, "deletedAsNegative", release("10.0.0")));
        assert_eq!(Release::parse("cloud"), None);
    }

    #[test]
    fn what_came_later_is_a_parameter_of_its_routes() {
        for (routes, parameter, _) in SINCE {
            for route in *routes {
                let rows = ENDPOINTS.iter().filter(|row| row.route == *route);
                assert!(rows.clone().all(|row| row.parameters.contains(parameter)), "{} {parameter}", route.name());
                assert!(rows.count() > 0);
            }
        }
    }

    #[test]
    fn a_method_and_path_stand_in_the_table_once() {
        let mut seen = std::collections::HashSet::new();
        for endpoint in ENDPOINTS {
            assert!(seen.insert((endpoint.method, endpoint.path)), "{} {}", endpoint.method, endpoint.path);
        }
    }
}
