//! Why a read is the primary's to answer: the test's own list, row for row that of the table.

use std::collections::BTreeSet;

use http::Method;
use schema_outpost::protocol::endpoints::Route;
use schema_outpost::protocol::identity::{Canonical, canonical};
use schema_outpost::protocol::operation::Operation;
use schema_outpost::protocol::schema::{Reference, SchemaType};
use schema_outpost::protocol::subject::QualifiedSubject;
use schema_outpost::replica::answer::{ROWS, Teller};
use serde_json::Value;
use small_registry::SmallRegistry;

/// A read, before a registry of the release that was recorded, which a pass has been over.
pub struct Asked<'a> {
    pub primary: &'a SmallRegistry,
    pub method: &'a str,
    pub target: &'a str,
    pub body: Option<&'a str>,
    /// Whether the client is shown the fields of 7.x only.
    pub is_shown_less: bool,
}

/// A reason of the table's, and for which reads it counts.
pub struct Ground {
    pub reason: &'static str,
    holds: fn(&Asked<'_>) -> bool,
    /// Whether it counts in other situations alone, each of which has a test of its own.
    pub is_elsewhere: bool,
}

const fn ground(reason: &'static str, holds: fn(&Asked<'_>) -> bool) -> Ground {
    Ground { reason, holds, is_elsewhere: false }
}

const fn elsewhere(reason: &'static str) -> Ground {
    Ground { reason, holds: |_| false, is_elsewhere: true }
}

/// The list. That a row is in the table and not here, or the other way round, fails a test.
pub static GROUNDS: &[Ground] = &[
    ground("keys are never kept", |asked| asked.path().contains("/dek-registry")),
    ground("no route of the registry", |asked| asked.is_of(&[Route::UnknownRead])),
    ground("a compatibility test is the primary's judgement", |asked| asked.path().contains("compatibility")),
    ground("the lookup is not certainly equal", |asked| asked.is_of(&[Route::Lookup])),
    elsewhere("whether the primary reads the parameter depends on its patch"),
    elsewhere("the replica is not whole yet"),
    elsewhere("the primary lists in its own way"),
    elsewhere("the primary filters in its own way"),
    ground("a wildcard inside a prefix", |asked| {
        asked.is_of(&[Route::Subjects, Route::Schemas])
            && asked.get("subjectPrefix").rfind(":*:").is_some_and(|place| place > 0)
    }),
    elsewhere("not every alias is known yet"),
    elsewhere("the associations are not known"),
    ground("an empty type of resource", |asked| asked.is_of(&[Route::Schemas]) && asked.has_empty("resourceType")),
    ground("an empty type of association", |asked| asked.goes_by_associations() && asked.has_empty("associationType")),
    ground("an empty lifecycle", |asked| asked.goes_by_associations() && asked.has_empty("lifecycle")),
    ground("a range of resources is not filtered by type", |asked| {
        asked.is_of(&[Route::AssociationsByName])
            && asked.path().split('/').any(|word| word == "-")
            && !matches!(asked.get("resourceType").as_str(), "" | "topic")
            && asked.primary.ask("GET", asked.path(), None).body != "[]"
    }),
    ground("what is left out of an enclosed schema", |asked| {
        asked.is_of(&[Route::BatchGetAssociations]) && asked.get("includeSchemas") == "true" && asked.is_shown_less
    }),
    ground("only the registry reads every body", |asked| {
        asked.is_of(&[Route::BatchGetAssociations]) && !is_plain_batch(asked.body.unwrap_or_default())
    }),
    elsewhere("the highest id was not read yet"),
    elsewhere("a format of a later release"),
    ground("another form of a Protobuf text", |asked| {
        let is_other = matches!(asked.format().to_ascii_lowercase().as_str(), "serialized" | "ignore_extensions");
        is_other && asked.schema_type() == SchemaType::Protobuf
    }),
    ground("a format takes the text apart", |asked| {
        let stored = asked.stored();
        let text = stored["schema"].as_str().unwrap_or_default();
        let behind = || asked.texts_behind(&stored);
        let printed =
            || canonical(&asked.schema_type(), text, &behind().iter().map(String::as_str).collect::<Vec<_>>());
        let is_protobuf = asked.schema_type() == SchemaType::Protobuf;
        !asked.format().is_empty() && !is_protobuf && printed() != Canonical::Certain(text.to_owned())
    }),
    ground("tags are looked for in the text", |asked| asked.is_of(RECORDS) && asked.asks_uncertain_tags()),
    elsewhere("references that say more than we know"),
    ground("that it is not here does not mean that it is not there", |asked| {
        asked.is_of(&[Route::SubjectConfig]) && asked.is_about_nothing()
    }),
];

const RECORDS: &[Route] = &[Route::SchemaById, Route::Version];
const TEXTS: &[Route] = &[
    Route::SchemaById,
    Route::SchemaTextById,
    Route::SchemaByGuid,
    Route::Version,
    Route::VersionText,
    Route::LatestWithMetadata,
];

/// Why only the primary can answer a read; nothing if the replica must.
pub fn ground_of(asked: &Asked<'_>) -> Option<&'static str> {
    GROUNDS.iter().find(|ground| (ground.holds)(asked)).map(|ground| ground.reason)
}

impl Asked<'_> {
    fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub fn operation(&self) -> Option<Operation> {
        let (path, query) = self.target.split_once('?').unwrap_or((self.target, ""));
        let method = Method::from_bytes(self.method.as_bytes()).ok()?;
        Operation::classify(&method, path, query).ok()
    }

    fn is_of(&self, routes: &[Route]) -> bool {
        self.operation().is_some_and(|operation| routes.contains(&operation.route))
    }

    fn goes_by_associations(&self) -> bool {
        self.is_of(&[
            Route::Schemas,
            Route::AssociationsBySubject,
            Route::AssociationsByResource,
            Route::AssociationsByName,
        ])
    }

    fn get(&self, name: &str) -> String {
        let operation = self.operation();
        operation.and_then(|operation| operation.query.get(name).map(str::to_owned)).unwrap_or_default()
    }

    fn all(&self, name: &str) -> Vec<String> {
        let operation = self.operation();
        operation.map(|operation| operation.query.all(name).map(str::to_owned).collect()).unwrap_or_default()
    }

    fn has_empty(&self, name: &str) -> bool {
        self.all(name).iter().any(String::is_empty)
    }

    /// The format, where the route has any.
    fn format(&self) -> String {
        if self.is_of(TEXTS) { self.get("format").trim().to_owned() } else { String::new() }
    }

    /// The record as it is stored.
    fn stored(&self) -> Value {
        let (path, query) = self.target.split_once('?').unwrap_or((self.target, ""));
        let path = path.strip_suffix("/schema").unwrap_or(path);
        let is_kept =
            |part: &&str| ["subject=", "deleted=", "key=", "value="].iter().any(|name| part.starts_with(name));
        let query: Vec<&str> = query.split('&').filter(is_kept).collect();
        let answer = self.primary.ask("GET", &format!("{path}?{}", query.join("&")), None);
        serde_json::from_str(&answer.body).unwrap_or_default()
    }

    fn schema_type(&self) -> SchemaType {
        SchemaType::parse(self.stored()["schemaType"].as_str())
    }

    /// The texts that the references of a version lead to, deepest first.
    fn texts_behind(&self, stored: &Value) -> Vec<String> {
        let place = stored["subject"].as_str().map(QualifiedSubject::parse);
        let context = place.or_else(|| self.operation().map(|operation| operation.subject)).expect("a subject").context;
        let mut texts = Vec::new();
        for reference in references(stored) {
            let subject = QualifiedSubject::parse_in(reference.subject.as_deref().unwrap_or_default(), &context);
            let target = format!("/subjects/{subject}/versions/{}?deleted=true", reference.version.unwrap_or_default());
            let other: Value = serde_json::from_str(&self.primary.ask("GET", &target, None).body).unwrap_or_default();
            texts.extend(self.texts_behind(&other));
            texts.extend(other["schema"].as_str().map(str::to_owned));
        }
        texts
    }

    /// Tags of Avro are found by everyone, if nothing else has to be read first.
    fn asks_uncertain_tags(&self) -> bool {
        if self.all("findTags").is_empty() {
            return false;
        }
        let stored = self.stored();
        let text = stored["schema"].as_str().unwrap_or_default();
        let place = stored["subject"].as_str().map(QualifiedSubject::parse);
        let place = place.or_else(|| self.operation().map(|operation| operation.subject));
        let references = references(&stored);
        let is_tagged = |text: &str| text.contains("confluent:tags");
        let is_tagged_behind = || {
            let context = place.as_ref().map(|place| place.context.clone()).expect("a subject");
            references.iter().any(|reference| {
                let subject = QualifiedSubject::parse_in(reference.subject.as_deref().unwrap_or_default(), &context);
                let version = reference.version.unwrap_or_default();
                let target = format!("/subjects/{subject}/versions/{version}?deleted=true");
                is_tagged(&self.primary.ask("GET", &target, None).body)
            })
        };
        let is_named = place.as_ref().is_some_and(|place| !place.context.is_default())
            || self.get("subject").starts_with(":.c")
            || self.get("subject").starts_with(":.d");
        match self.schema_type() {
            SchemaType::Protobuf => text.contains('[') || text.contains("option"),
            SchemaType::Avro if references.is_empty() => false,
            _ => {
                is_tagged(text)
                    || is_tagged_behind()
                    || (!references.is_empty()
                        && self.is_of(&[Route::SchemaById])
                        && (is_named || self.format().eq_ignore_ascii_case("resolved")))
            }
        }
    }

    /// A name without versions that stands for no subject: its configuration is listed nowhere.
    fn is_about_nothing(&self) -> bool {
        let Some(operation) = self.operation() else { return false };
        let name = operation.subject.to_string();
        let has_versions = |name: &str| {
            let target = format!("/subjects/{}/versions?deleted=true", name.replace('%', "%25").replace('/', "%2F"));
            self.primary.ask("GET", &target, None).status == 200
        };
        if operation.subject.is_bare_context() {
            let contexts: Vec<String> =
                serde_json::from_str(&self.primary.ask("GET", "/contexts", None).body).unwrap_or_default();
            return !contexts.iter().any(|context| *context == operation.subject.context.as_str())
                && operation.subject.context.as_str() != ".__GLOBAL"
                && !operation.subject.context.is_default();
        }
        !has_versions(&name) && !self.is_alias(&name)
    }

    /// Whether a name is listed as standing for a subject.
    fn is_alias(&self, name: &str) -> bool {
        let target = "/schemas?subjectPrefix=:*:&aliases=true&deleted=true";
        let listed: Vec<Value> = serde_json::from_str(&self.primary.ask("GET", target, None).body).unwrap_or_default();
        listed.iter().flat_map(|item| item["aliases"].as_array()).flatten().any(|alias| alias == name)
    }
}

fn references(stored: &Value) -> Vec<Reference> {
    serde_json::from_value(stored["references"].clone()).unwrap_or_default()
}

fn is_plain_batch(body: &str) -> bool {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let Some(members) = body.as_object().filter(|members| members.keys().all(|key| key == "requests")) else {
        return false;
    };
    let names = ["resourceName", "resourceNamespace", "resourceId", "resourceType", "associationTypes", "lifecycle"];
    let mut requests = members.get("requests").and_then(Value::as_array).into_iter().flatten();
    requests.all(|request| {
        request.as_object().is_some_and(|members| members.keys().all(|key| names.contains(&key.as_str())))
            && request["resourceNamespace"] != "-"
    })
}

#[test]
fn every_row_of_the_primarys_in_the_table_is_a_ground_here() {
    let rows: BTreeSet<&str> = ROWS.iter().filter(|row| row.teller != Teller::Replica).map(|row| row.reason).collect();
    let grounds: BTreeSet<&str> = GROUNDS.iter().map(|ground| ground.reason).collect();
    assert_eq!(rows, grounds);
}
