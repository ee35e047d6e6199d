//! Why a read is the primary's to answer: the test's own list, row for row that of the table.

use std::collections::BTreeSet;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use schema_outpost::protocol::endpoints::Route;
use schema_outpost::protocol::identity::{Canonical, canonical};
use schema_outpost::protocol::operation::Operation;
use schema_outpost::protocol::schema::{Reference, SchemaType};
use schema_outpost::protocol::subject::{Context, QualifiedSubject};
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

/// What imports and purges bring about: the record has it.
const fn recorded(reason: &'static str, holds: fn(&Asked<'_>) -> bool) -> Ground {
    Ground { reason, holds, is_elsewhere: true }
}

const fn elsewhere(reason: &'static str) -> Ground {
    Ground { reason, holds: |_| false, is_elsewhere: true }
}

/// The list. That a row is in the table and not here, or the other way round, fails a test.
pub static GROUNDS: &[Ground] = &[
    ground("keys are never kept", |asked| asked.path().contains("/dek-registry")),
    ground("no route of the registry", |asked| asked.is_of(&[Route::UnknownRead])),
    ground("a compatibility test is the primary's judgement", |asked| asked.path().contains("compatibility")),
    // What is registered once more is looked up first.
    ground("the lookup is not certainly equal", |asked| asked.is_of(&[Route::Lookup, Route::Register])),
    elsewhere("whether the primary reads the parameter depends on its patch"),
    elsewhere("the replica is not whole yet"),
    recorded("the primary has a version that is not held", |asked| {
        asked.is_of(WHOLE) && Listing::of(asked.primary).has_item_without_content()
    }),
    elsewhere("the primary lists in its own way"),
    elsewhere("the primary filters in its own way"),
    ground("a wildcard inside a prefix", |asked| {
        asked.is_of(&[Route::Subjects, Route::Schemas])
            && asked.get("subjectPrefix").rfind(":*:").is_some_and(|place| place > 0)
    }),
    recorded("a wildcard inside a subject", |asked| {
        let is_one = |operation: &Operation| operation.subject_text.contains(":*:") && operation.names.is_empty();
        asked.operation().is_some_and(|operation| is_one(&operation))
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
    recorded("how far the counter of ids has come since it wrapped", |asked| {
        let max = || asked.stored_with("fetchMaxId=true")["maxId"].as_i64();
        asked.get("fetchMaxId") == "true" && max().is_some_and(|max| max < 0 || max == i64::from(i32::MAX))
    }),
    recorded("through which version a subject holds the id does not show", |asked| {
        asked.is_of(BY_CONTENT) && asked.listed().holds_uncertainly()
    }),
    recorded("under which id the content was written last does not show", |asked| {
        asked.is_of(&[Route::SubjectsById, Route::VersionsById, Route::SchemaByGuid])
            && asked.listed().has_content_with_several_ids()
    }),
    recorded("a GUID goes on naming an id that nobody holds", |asked| {
        asked.is_of(&[Route::IdsByGuid]) && asked.lacks_ids()
    }),
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
        (asked.is_of(&[Route::SubjectConfig]) && asked.is_about_nothing())
            || (asked.is_of(&[Route::IdsByGuid]) && asked.primary.ask("GET", asked.target, None).body == "[]")
            || (asked.is_of(BY_ID) && !asked.is_id_listed())
    }),
];

const BY_ID: &[Route] = &[Route::SchemaById, Route::SchemaTextById, Route::SubjectsById, Route::VersionsById];
const BY_CONTENT: &[Route] =
    &[Route::SchemaById, Route::SchemaTextById, Route::SubjectsById, Route::VersionsById, Route::SchemaByGuid];
const WHOLE: &[Route] = &[
    Route::Subjects,
    Route::Schemas,
    Route::SubjectsById,
    Route::VersionsById,
    Route::ReferencedBy,
    Route::Versions,
    Route::Version,
    Route::VersionText,
    Route::LatestWithMetadata,
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

    /// All that the primary lists in the contexts that the read may be about, soft-deleted versions too.
    fn listed(&self) -> Listing {
        let named = QualifiedSubject::parse(&self.get("subject"));
        // What the default context has not of a subject is looked for in the others, and a GUID has none of its own.
        let is_anywhere = named.context.is_default() && !named.is_bare_context();
        let listed = Listing::of(self.primary);
        if is_anywhere || self.is_of(&[Route::SchemaByGuid]) { listed } else { listed.only(&named.context) }
    }

    /// Whether the primary lists a version with the id that is asked for.
    fn is_id_listed(&self) -> bool {
        let id = self.operation().and_then(|operation| operation.name().parse::<i64>().ok());
        self.listed().0.iter().any(|item| item["id"].as_i64() == id)
    }

    /// Whether some context has given an id that the list does not show.
    fn lacks_ids(&self) -> bool {
        let contexts: Vec<String> =
            serde_json::from_str(&self.primary.ask("GET", "/contexts", None).body).expect("a list of contexts");
        contexts.iter().map(|context| Context::named(context)).any(|context| {
            let listed = Listing::of(self.primary).only(&context);
            let ids: BTreeSet<i64> = listed.0.iter().filter_map(|item| item["id"].as_i64()).collect();
            let Some(id) = ids.last() else { return true };
            let prefix: String = context.prefix().bytes().map(|byte| format!("%{byte:02X}")).collect();
            let target = format!("/schemas/ids/{id}?fetchMaxId=true&subject={prefix}");
            let shown: Value = serde_json::from_str(&self.primary.ask("GET", &target, None).body).expect("a schema");
            let highest = shown["maxId"].as_i64().expect("the highest id");
            !(1..=highest).all(|id| ids.contains(&id))
        })
    }

    /// The record as it is stored.
    fn stored(&self) -> Value {
        self.stored_with("")
    }

    /// The same, with a parameter more.
    fn stored_with(&self, parameter: &str) -> Value {
        let (path, query) = self.target.split_once('?').unwrap_or((self.target, ""));
        let path = path.strip_suffix("/schema").unwrap_or(path);
        let is_kept =
            |part: &&str| ["subject=", "deleted=", "key=", "value="].iter().any(|name| part.starts_with(name));
        let query: Vec<&str> = query.split('&').filter(is_kept).chain([parameter]).collect();
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
            let further = self.texts_behind(&other).into_iter().chain(other["schema"].as_str().map(str::to_owned));
            for text in further {
                // Two ways may lead to one.
                if !texts.contains(&text) {
                    texts.push(text);
                }
            }
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
        let is_tagged_behind = || self.texts_behind(&stored).iter().any(|text| is_tagged(text));
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

/// Items of the primary's list of schemas.
struct Listing(Vec<Value>);

impl Listing {
    fn of(primary: &SmallRegistry) -> Self {
        let headers = [("host", "registry"), ("confluent-accept-unknown-properties", "true")]
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let headers = HeaderMap::from_iter(headers);
        let mut all: Vec<Value> = Vec::new();
        loop {
            let target = format!("/schemas?deleted=true&subjectPrefix=:*:&offset={}", all.len());
            let page = primary.ask_with("GET", &target, &headers, None).body;
            let page: Vec<Value> = serde_json::from_str(&page).expect("a list of schemas");
            if page.is_empty() {
                return Self(all);
            }
            all.extend(page);
        }
    }

    fn only(mut self, context: &Context) -> Self {
        self.0.retain(|item| context_of(item) == *context);
        self
    }

    /// Whether a subject has an id in several versions, of which the times do not say which was written last.
    fn holds_uncertainly(&self) -> bool {
        self.0.iter().any(|item| {
            let is_same = |other: &&Value| other["subject"] == item["subject"] && other["id"] == item["id"];
            let same: Vec<&Value> = self.0.iter().filter(is_same).collect();
            let highest = same.iter().max_by_key(|one| one["version"].as_i64()).expect("itself");
            let is_latest = same.iter().all(|one| one["ts"].as_i64() <= highest["ts"].as_i64());
            let is_timed = same.iter().all(|one| one["ts"].is_i64());
            same.len() > 1 && (!is_timed || (!is_latest && highest["deleted"] == true))
        })
    }

    /// Whether an item has neither a text nor, in place of it, the GUID of an empty one.
    fn has_item_without_content(&self) -> bool {
        self.0.iter().any(|item| !item["schema"].is_string() && !item["guid"].is_string())
    }

    /// Whether a content has several ids in one context.
    fn has_content_with_several_ids(&self) -> bool {
        let parts = ["schemaType", "schema", "references", "metadata", "ruleSet"];
        self.0.iter().any(|item| {
            let is_same = |other: &&Value| {
                context_of(other) == context_of(item) && parts.iter().all(|part| other[*part] == item[*part])
            };
            self.0.iter().filter(is_same).any(|other| other["id"] != item["id"])
        })
    }
}

fn context_of(item: &Value) -> Context {
    QualifiedSubject::parse(item["subject"].as_str().expect("a subject")).context
}

#[test]
fn every_row_of_the_primarys_in_the_table_is_a_ground_here() {
    let rows: BTreeSet<&str> = ROWS.iter().filter(|row| row.teller != Teller::Replica).map(|row| row.reason).collect();
    let grounds: BTreeSet<&str> = GROUNDS.iter().map(|ground| ground.reason).collect();
    assert_eq!(rows, grounds);
}
