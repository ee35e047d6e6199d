//! Every parameter of every read, alone and with others: the bytes are the registry's, and what the
//! table gives to the replica costs the primary nothing.

use std::collections::{BTreeMap, BTreeSet};

use http::{HeaderMap, HeaderName, HeaderValue};
use schema_outpost::protocol::endpoints::{ENDPOINTS, Effect, Endpoint, Route};
use serde_json::json;
use small_registry::{Answer, Fault, Profile, SmallRegistry};

use crate::grounds::{Asked, GROUNDS, ground_of};
use crate::house::{Heard, House, send};

/// One request.
#[derive(Clone, Debug)]
struct Case {
    method: &'static str,
    target: String,
    body: Option<String>,
}

/// A case, what the registry says to it, and why the replica may not.
struct Walked {
    case: Case,
    direct: Answer,
    ground: Option<&'static str>,
}

fn avro(name: &str, rest: &str) -> String {
    format!(r#"{{"type":"record","name":"{name}","namespace":"n","fields":[{rest}]}}"#)
}

fn write(primary: &SmallRegistry, method: &str, target: &str, body: serde_json::Value) {
    let answer = primary.ask(method, target, Some(&body.to_string()));
    assert!(answer.status < 300, "{method} {target}: {}", answer.body);
}

fn register(primary: &SmallRegistry, subject: &str, body: serde_json::Value) {
    write(primary, "POST", &format!("/subjects/{subject}/versions"), body);
}

/// A registry with something of everything.
fn furnish(primary: &SmallRegistry) {
    let plain = |doc: &str| json!({ "schema": format!(r#"{{"type":"record","name":"R","doc":"{doc}","fields":[]}}"#) });
    write(primary, "PUT", "/config", json!({ "compatibility": "NONE" }));
    for (subject, docs) in [
        ("a", &["1", "2", "3"][..]),
        ("ab", &["1"]),
        ("abc", &["1", "4"]),
        ("B", &["2"]),
        ("0x", &["1"]),
        (":p", &["5"]),
        (":.c:a", &["2", "1"]),
        (":.c:only", &["9"]),
        (":.cat:a", &["1"]),
    ] {
        docs.iter().for_each(|doc| register(primary, subject, plain(doc)));
    }
    furnish_texts(primary);
    furnish_references(primary);
    for (subject, owner, environment) in [("meta", "sales", "prod"), ("meta", "sales", "test"), ("meta", "it", "prod")]
    {
        let schema = avro("M", &format!(r#"{{"name":"{owner}{environment}","type":"int"}}"#));
        let properties = json!({ "owner": owner, "env": environment });
        register(primary, subject, json!({ "schema": schema, "metadata": { "properties": properties } }));
    }
    let rule = json!({ "name": "r", "kind": "CONDITION", "mode": "WRITE", "type": "CEL", "expr": "true" });
    register(primary, "ruled", json!({ "schema": avro("Ruled", ""), "ruleSet": { "domainRules": [rule] } }));
    register(primary, "ruled", json!({ "schema": avro("Ruled", r#"{"name":"f","type":"int"}"#) }));
    write(primary, "PUT", "/config/a", json!({ "compatibility": "FULL" }));
    write(primary, "PUT", "/config/:.c:", json!({ "compatibility": "FORWARD" }));
    write(primary, "PUT", "/config/:.__GLOBAL:", json!({ "normalize": false }));
    for (name, target) in [
        ("nick", "a"),
        ("anick", "a"),
        (":.c:nick", "person"),
        ("far", ":.c:address"),
        ("lost", "nosuch"),
        ("abc2", "abc"),
    ] {
        write(primary, "PUT", &format!("/config/{name}"), json!({ "alias": target }));
    }
    furnish_associations(primary);
    for target in ["/subjects/a/versions/2", "/subjects/abc", "/subjects/:.c:only", "/subjects/meta/versions/2"] {
        write(primary, "DELETE", target, json!({}));
    }
}

fn furnish_texts(primary: &SmallRegistry) {
    let tagged = r#"{"type":"record","name":"T","namespace":"n","fields":[{"name":"f","type":"int","confluent:tags":["PII"]},{"name":"g","type":{"type":"record","name":"In","fields":[{"name":"h","type":"T","confluent:tags":["PII","R1","PII"]}]}}],"confluent:tags":["R1","R2"]}"#;
    register(primary, "tagged", json!({ "schema": tagged }));
    let document = r#"{"type":"object","properties":{"id":{"type":"integer","confluent:tags":["J"]}}}"#;
    register(primary, "document", json!({ "schemaType": "JSON", "schema": r#"{"type":"object"}"# }));
    register(primary, "document", json!({ "schemaType": "JSON", "schema": document }));
    let message = "syntax = \"proto3\";\n\nmessage M {\n  string a = 1;\n}\n";
    register(primary, "message", json!({ "schemaType": "PROTOBUF", "schema": message }));
    let optioned = "syntax = \"proto3\";\n\nmessage M {\n  string a = 1 [deprecated = true];\n}\n";
    register(primary, "message", json!({ "schemaType": "PROTOBUF", "schema": optioned }));
}

fn furnish_references(primary: &SmallRegistry) {
    let refers =
        |name: &str, subject: &str, version: i32| json!({ "name": name, "subject": subject, "version": version });
    let home = avro("Person", r#"{"name":"home","type":"Address"}"#);
    let family =
        avro("Family", r#"{"name":"seat","type":"Address"},{"name":"all","type":{"type":"array","items":"Person"}}"#);
    for context in ["", ":.c:"] {
        let address = r#"{"name":"zip","type":{"type":"enum","name":"Zip","symbols":["Z"]}}"#;
        register(primary, &format!("{context}address"), json!({ "schema": avro("Address", address) }));
        let references = [refers("n.Address", "address", 1)];
        register(primary, &format!("{context}person"), json!({ "schema": home, "references": references }));
        let references = [refers("n.Person", "person", 1), refers("n.Address", "address", 1)];
        register(primary, &format!("{context}family"), json!({ "schema": family, "references": references }));
    }
    for subject in [":.d:person", "guest"] {
        register(primary, subject, json!({ "schema": home, "references": [refers("n.Address", ":.c:address", 1)] }));
    }
    let tagged = avro("Holder", r#"{"name":"t","type":"T"}"#);
    register(primary, "holder", json!({ "schema": tagged, "references": [refers("n.T", "tagged", 1)] }));
    // A name that says nothing of the type that it brings.
    let misnamed = [refers("whatever", "address", 1)];
    register(primary, "misnamed", json!({ "schema": home, "references": misnamed }));
}

fn furnish_associations(primary: &SmallRegistry) {
    for (resource, namespace, side, lifecycle, subject) in [
        ("orders", "lkc-1", "value", "STRONG", "a"),
        ("orders", "lkc-1", "key", "WEAK", "B"),
        ("orders", "lkc-2", "value", "WEAK", "0x"),
        ("bills", "lkc-1", "value", "WEAK", "0x"),
        ("calls", "lkc-1", "value", "STRONG", ":.c:person"),
    ] {
        let associations = [json!({ "subject": subject, "associationType": side, "lifecycle": lifecycle })];
        let body = json!({
            "resourceName": resource, "resourceNamespace": namespace, "resourceId": format!("{namespace}:{resource}"),
            "resourceType": "topic", "associations": associations,
        });
        write(primary, "POST", "/associations", body);
    }
}

/// Paths of a route, its names filled in.
#[rustfmt::skip]
fn paths(endpoint: &Endpoint) -> Vec<&'static str> {
    match endpoint.route {
        Route::Root | Route::RootPost | Route::ClusterId | Route::ServerVersion | Route::Deployment
        | Route::SchemaTypes | Route::BatchGetAssociations | Route::GlobalConfig => vec![endpoint.path],
        Route::Schemas => vec!["/schemas", "/contexts/.c/schemas"],
        Route::SchemaById => vec!["/schemas/ids/1", "/schemas/ids/2", "/schemas/ids/6", "/schemas/ids/7", "/schemas/ids/8", "/schemas/ids/9", "/schemas/ids/10", "/schemas/ids/12", "/schemas/ids/13", "/schemas/ids/14", "/schemas/ids/99", "/schemas/ids/x"],
        Route::SchemaTextById => vec!["/schemas/ids/1/schema", "/schemas/ids/3/schema", "/schemas/ids/8/schema", "/schemas/ids/13/schema"],
        Route::SubjectsById => vec!["/schemas/ids/1/subjects", "/schemas/ids/4/subjects", "/contexts/.c/schemas/ids/3/subjects"],
        Route::VersionsById => vec!["/schemas/ids/1/versions", "/schemas/ids/2/versions/"],
        Route::SchemaByGuid => vec!["/schemas/guids/{person}", "/schemas/guids/{message}", "/schemas/guids/00000000-0000-0000-0000-000000000000"],
        Route::IdsByGuid => vec!["/schemas/guids/{person}/ids", "/schemas/guids/00000000-0000-0000-0000-000000000000/ids"],
        Route::Subjects => vec!["/subjects", "/contexts/.c/subjects"],
        Route::Lookup => vec!["/subjects/a", "/subjects/nosuch"],
        Route::Versions => vec!["/subjects/a/versions", "/subjects/abc/versions", "/subjects/nick/versions", "/subjects/:.c:/versions", "/contexts/.c/subjects/only/versions", "/subjects/nosuch/versions"],
        Route::Version => vec![
            "/subjects/a/versions/1", "/subjects/a/versions/2", "/subjects/a/versions/latest", "/subjects/abc/versions/latest", "/subjects/far/versions/1",
            "/subjects/tagged/versions/1", "/subjects/document/versions/1", "/subjects/document/versions/2", "/subjects/message/versions/1",
            "/subjects/message/versions/2", "/subjects/family/versions/-1", "/subjects/:.c:family/versions/1", "/contexts/.d/subjects/person/versions/1",
            "/subjects/guest/versions/1", "/subjects/holder/versions/1", "/subjects/misnamed/versions/1", "/subjects/meta/versions/3", "/subjects/ruled/versions/1",
            "/subjects/only/versions/1", "/subjects/a/versions/0",
        ],
        Route::VersionText => vec!["/subjects/a/versions/1/schema", "/subjects/a/versions/2/schema", "/subjects/:.c:family/versions/1/schema", "/subjects/message/versions/1/schema"],
        Route::ReferencedBy => vec!["/subjects/address/versions/1/referencedby", "/subjects/:.c:address/versions/1/referencedby", "/subjects/a/versions/1/referencedby"],
        Route::LatestWithMetadata => vec!["/subjects/meta/metadata", "/subjects/a/metadata", "/subjects/ruled/metadata"],
        Route::SubjectConfig => vec!["/config/a", "/config/ab", "/config/:.c:", "/config/:.c:a", "/config/:.__GLOBAL:", "/config/nick", "/config/lost", "/config/nosuch", "/contexts/.c/config", "/config/:.nosuch:"],
        Route::Contexts => vec!["/contexts", "/contexts/.c/contexts"],
        Route::AssociationsBySubject => vec!["/associations/subjects/a", "/associations/subjects/:.:a", "/associations/subjects/nick", "/contexts/.c/associations/subjects/person", "/associations/subjects/nosuch"],
        Route::AssociationsByResource => vec!["/associations/resources/lkc-1:orders", "/associations/resources/nosuch"],
        Route::AssociationsByName => vec!["/associations/resources/lkc-1/orders", "/associations/resources/-/orders", "/associations/resources/lkc-1/-", "/associations/resources/-/-"],
        Route::DekRead => vec!["/dek-registry/v1/keks"],
        other => panic!("{} has no path here", other.name()),
    }
}

/// Values that a parameter may be given; one that is repeated stands in one text.
#[rustfmt::skip]
fn values(parameter: &str) -> &'static [&'static str] {
    match parameter {
        "subject" => &["", "a", ":.c:", ":.c:person", ":.:a", "nick", "nosuch", ":.d:"],
        "format" => &["", "default", "RESOLVED", "nosuch", "serialized", "ignore_extensions", "logical", "+"],
        "referenceFormat" => &["", "qualified", "QUALIFIED"],
        "findTags" => &["", "*", "PII", "R2&findTags=PII", "PII,R1"],
        "deleted" | "deletedOnly" | "latestOnly" | "aliases" | "defaultToGlobal" | "fetchMaxId" | "includeSchemas" => &["true", "false"],
        "deletedAsNegative" => &["TRUE", "1"],
        "offset" => &["", "1", "3", "500", "-1", "x"],
        "limit" => &["", "0", "1", "2", "-7", "5000"],
        "subjectPrefix" => &["", "a", ":.c:", ":.c", ":.", ":.:", ":*:", ":*:a", ":.c:p", ":.nosuch:", ":", "ni", "x:*:a"],
        "ruleType" => &["", "CEL", "AVRO"],
        "resourceType" => &["", "topic", "other"],
        "associationType" => &["", "value", "key&associationType=value", "nosuch"],
        "lifecycle" => &["", "NONE", "STRONG", "WEAK", "STRONG&lifecycle=NONE", "strong"],
        "contextPrefix" => &["", ".", ".c", ".C"],
        "key" => &["owner", "owner&key=env", "nosuch"],
        "value" => &["sales", "it&value=prod", "x"],
        "normalize" | "algorithm" => &["true"],
        other => panic!("{other} has no values here"),
    }
}

/// Parameters that decide together what a list shows.
const TOGETHER: &[(Route, &[&str])] = &[
    (Route::Subjects, &["subjectPrefix", "deleted", "deletedOnly", "offset", "limit"]),
    (Route::Schemas, &["subjectPrefix", "deleted", "latestOnly", "aliases"]),
    (Route::Schemas, &["resourceType", "associationType", "lifecycle", "limit"]),
    (Route::Versions, &["deleted", "deletedOnly", "deletedAsNegative", "offset", "limit"]),
    (Route::SubjectsById, &["subject", "deleted", "offset"]),
    (Route::AssociationsByName, &["associationType", "lifecycle", "offset", "limit"]),
    (Route::LatestWithMetadata, &["key", "value", "deleted"]),
];

fn assigned(parameter: &str) -> Vec<String> {
    values(parameter).iter().map(|value| format!("{parameter}={value}")).collect()
}

/// Nothing, every parameter alone, every two of them and those that decide together. Of two and more,
/// every seventh: the number divides no count of values, so all of them meet all the same.
fn queries(endpoint: &Endpoint) -> Vec<String> {
    let parameters = endpoint.parameters;
    let mut alone = vec![String::new()];
    let mut combined = Vec::new();
    for (index, first) in parameters.iter().enumerate() {
        alone.extend(assigned(first));
        for second in &parameters[index + 1..] {
            combined.extend(product(&[first, second]));
        }
    }
    for (_, together) in TOGETHER.iter().filter(|(route, _)| *route == endpoint.route) {
        combined.extend(product(together));
    }
    alone.extend(combined.into_iter().step_by(7));
    alone
}

/// Every value of the first with every value of the next, and so on.
fn product(parameters: &[&str]) -> Vec<String> {
    let mut found = vec![String::new()];
    for parameter in parameters {
        let further = |start: &String| {
            let join = if start.is_empty() { "" } else { "&" };
            assigned(parameter).into_iter().map(move |one| format!("{start}{join}{one}")).collect::<Vec<_>>()
        };
        found = found.iter().flat_map(further).collect();
    }
    found
}

#[rustfmt::skip]
const BATCHES: [&str; 9] = [
    r#"{"requests":[{"resourceName":"orders","resourceNamespace":"lkc-1"},{"resourceId":"lkc-1:bills"},{"resourceId":"nosuch"},{}]}"#,
    r#"{"requests":[{"resourceId":"lkc-1:orders","associationTypes":["key"]},{"resourceId":"lkc-1:orders","lifecycle":"WEAK","associationTypes":[]}]}"#,
    r#"{"requests":[{"resourceName":"orders"},{"resourceId":"lkc-1:orders","resourceType":"table"},{"resourceId":"","resourceName":"orders","resourceNamespace":"lkc-1"}]}"#,
    r#"{"requests":[{"resourceId":"lkc-1:orders","resourceName":"other","resourceNamespace":"lkc-1"},{"resourceId":"lkc-1:calls"}]}"#,
    r#"{"requests":[]}"#, "{}", "", "[]",
    r#"{"requests":[{"resourceName":"orders","resourceNamespace":"-"},{"resourceId":"lkc-1:orders","later":1}]}"#,
];

fn bodies(route: Route) -> Vec<Option<String>> {
    match route {
        Route::BatchGetAssociations => BATCHES.iter().map(|body| Some((*body).to_owned())).collect(),
        Route::RootPost => vec![Some("{}".to_owned())],
        Route::Lookup => vec![Some(crate::house::registration("1")), Some(crate::house::registration("other"))],
        _ => vec![None],
    }
}

/// Every case, in an order that is always the same.
fn cases(primary: &SmallRegistry) -> Vec<Case> {
    let ours = [Route::GlobalMode, Route::SubjectMode];
    let reads = ENDPOINTS.iter().filter(|row| row.effect == Effect::Read && !ours.contains(&row.route));
    let mut deks = 0;
    let reads = reads.filter(|row| {
        deks += usize::from(row.route == Route::DekRead);
        row.route != Route::DekRead || deks == 1
    });
    let headers = HeaderMap::from_iter([
        (http::header::HOST, HeaderValue::from_static("registry")),
        (HeaderName::from_static("confluent-accept-unknown-properties"), HeaderValue::from_static("true")),
    ]);
    let guid = |subject: &str| {
        let answer = primary.ask_with("GET", &format!("/subjects/{subject}/versions/1"), &headers, None);
        let version: serde_json::Value = serde_json::from_str(&answer.body).expect("a version");
        version["guid"].as_str().unwrap_or("11111111-1111-1111-1111-111111111111").to_owned()
    };
    let (person, message) = (guid("person"), guid("message"));
    let mut found = Vec::new();
    for endpoint in reads {
        for path in paths(endpoint) {
            let path = path.replace("{person}", &person).replace("{message}", &message);
            for query in queries(endpoint) {
                let target = if query.is_empty() { path.clone() } else { format!("{path}?{query}") };
                let case = |body| Case { method: endpoint.method, target: target.clone(), body };
                found.extend(bodies(endpoint.route).into_iter().map(case));
            }
        }
    }
    found
}

async fn heard(house: &House, case: &Case) -> Heard {
    let media: &[(&str, &str)] = if case.body.is_some() { &[("Content-Type", "application/json")] } else { &[] };
    send(house.address(), case.method, &case.target, media, case.body.as_deref()).await
}

/// What each source has answered, by route.
async fn answers(house: &House) -> BTreeMap<(String, String), u64> {
    let metrics = send(house.admin(), "GET", "/metrics", &[], None).await.body;
    let label = |line: &str, name: &str| {
        line.split(&format!("{name}=\"")).nth(1).and_then(|rest| rest.split('"').next()).map(str::to_owned)
    };
    let lines = metrics.lines().filter(|line| line.starts_with("outpost_proxy_answers_total{"));
    let read = |line: &str| {
        let count = line.rsplit(' ').next()?.parse().ok()?;
        Some(((label(line, "route")?, label(line, "source")?), count))
    };
    lines.filter_map(read).collect()
}

/// Refusals that depend on nothing that the primary holds: whether it has the route at all is not among those.
fn is_bad_question(case: &Case, answer: &Answer) -> bool {
    if case.target.starts_with("/schemas/guids/") {
        return false;
    }
    let code = serde_json::from_str::<serde_json::Value>(&answer.body).unwrap_or_default()["error_code"].as_i64();
    matches!((answer.status, code), (404, Some(404)) | (422, Some(42202 | 42212)))
}

/// Walks every case, and holds each to the bytes of the registry and to the table.
async fn walk(house: &House, is_shown_less: bool) -> Vec<Walked> {
    let primary = &house.primary;
    let headers = HeaderMap::from_iter([
        (http::header::HOST, HeaderValue::from_static("registry")),
        (http::header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
    ]);
    let before = answers(house).await;
    let mut expected: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut walked = Vec::new();
    let mut wrong = Vec::new();
    for case in cases(primary) {
        let body = case.body.as_deref().map(str::as_bytes);
        let direct = primary.ask_with(case.method, &case.target, &headers, body);
        let asked =
            Asked { primary, method: case.method, target: &case.target, body: case.body.as_deref(), is_shown_less };
        let ground = ground_of(&asked);
        let route = asked.operation().map(|operation| operation.route).expect("a route");
        primary.forget_requests();
        let answer = heard(house, &case).await;
        let calls = primary.requests().len();
        if (answer.status, &answer.body) != (direct.status, &direct.body) {
            wrong.push(format!(
                "{case:?}\n    {} {}\n  instead of\n    {} {}",
                answer.status, answer.body, direct.status, direct.body
            ));
        }
        let is_answer = direct.status < 300;
        let is_certain = ground.is_none() && (is_answer || is_bad_question(&case, &direct));
        if is_certain && calls > 0 {
            wrong.push(format!("{case:?} cost {calls} calls: {:?}", primary.requests()[0].target));
        }
        if ground.is_some() && is_answer && calls == 0 && !is_learned(ground) {
            wrong.push(format!("{case:?} cost nothing in spite of {ground:?}"));
        }
        let source = if calls > 0 { "Primary" } else { "Replica" };
        // That a subject has no configuration of its own, a pass has been told.
        if calls > 0 || is_answer || direct.body.contains("40408") {
            *expected.entry((route.name().to_owned(), source.to_owned())).or_default() += 1;
        }
        walked.push(Walked { case, direct, ground });
    }
    let shown: Vec<&String> = wrong.iter().take(25).collect();
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        walked.len(),
        shown.into_iter().cloned().collect::<Vec<_>>().join("\n")
    );
    let mut counted = answers(house).await;
    counted.iter_mut().for_each(|(key, count)| *count -= before.get(key).copied().unwrap_or_default());
    counted.retain(|_, count| *count > 0);
    assert_eq!(counted, expected, "the counters of who answered");
    walked
}

/// Whether one who asks again may be answered with what the first was told.
fn is_learned(ground: Option<&str>) -> bool {
    matches!(
        ground,
        Some("the lookup is not certainly equal" | "that it is not here does not mean that it is not there")
    )
}

/// The same cases with nobody to ask.
async fn walk_alone(house: &House, walked: &[Walked]) {
    house.primary.stop().await;
    let mut wrong = Vec::new();
    for Walked { case, direct, ground } in walked {
        let answer = heard(house, case).await;
        let is_unknown = answer.status == 500 && answer.code() == 50003;
        let is_right = match (ground, direct.status < 300) {
            (None, true) => (answer.status, &answer.body) == (direct.status, &direct.body),
            (Some(_), true) if is_learned(*ground) => {
                is_unknown || (answer.status, &answer.body) == (direct.status, &direct.body)
            }
            (Some(_), true) => is_unknown,
            // That it is not here is no reason to say that it is nowhere.
            (_, false) => is_unknown || (answer.status, &answer.body) == (direct.status, &direct.body),
        };
        if !is_right {
            wrong.push(format!("{case:?} ({ground:?}): {} {}", answer.status, answer.body));
        }
        // That a subject has set nothing for itself was read of each subject, as surely as what others have set.
        let is_known = direct.body.contains("40408") && answer.body == direct.body;
        if answer.status == 404 && !is_bad_question(case, direct) && !is_known {
            wrong.push(format!("{case:?} is said to be absent: {}", answer.body));
        }
    }
    let shown: Vec<&String> = wrong.iter().take(25).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{shown:#?}", wrong.len(), walked.len());
}

async fn walk_a_registry(profile: Profile, is_shown_less: bool) {
    let house = House::with(SmallRegistry::builder().profile(profile).dek_registry(), |_| {}).await;
    furnish(&house.primary);
    house.imported().await;
    let walked = walk(&house, is_shown_less).await;
    println!("{profile:?}: {} compared", walked.len());
    assert!(walked.len() > 3000, "only {}", walked.len());
    let met: BTreeSet<&str> = walked.iter().filter_map(|walked| walked.ground).collect();
    for ground in GROUNDS.iter().filter(|ground| !ground.is_elsewhere) {
        let is_of_others = ground.reason == "what is left out of an enclosed schema" && !is_shown_less;
        let is_met = met.contains(ground.reason) || is_of_others;
        let is_no_read = ["no route of the registry", "a compatibility test is the primary's judgement"];
        assert!(is_met || is_no_read.contains(&ground.reason), "nothing is asked that has {}", ground.reason);
    }
    // An answer of the primary's to many who ask at once is good for a moment.
    walk_alone(&house, &walked).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_parameter_is_answered_as_by_the_registry_of_8() {
    walk_a_registry(Profile::Confluent8, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_parameter_is_answered_as_by_the_registry_of_7() {
    walk_a_registry(Profile::Confluent7, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_parameter_is_answered_as_by_cloud_to_a_client_of_old() {
    walk_a_registry(Profile::Cloud, true).await;
}

/// Asks through the outpost: the registry's bytes, from the primary; and nothing but unknown without it.
async fn is_the_primarys(house: &House, target: &str) {
    let direct = house.primary.ask("GET", target, None);
    house.primary.forget_requests();
    let answer = house.get(target).await;
    assert_eq!((answer.status, answer.body), (direct.status, direct.body), "{target}");
    assert!(house.primary.count(|seen| seen.target == target) > 0, "{target} was not asked of the primary");
}

async fn is_unknown_alone(house: &House, targets: &[&str]) {
    house.primary.stop().await;
    for target in targets {
        let answer = house.get(target).await;
        assert_eq!((answer.status, answer.code()), (500, 50003), "{target}: {}", answer.body);
    }
}

/// A house whose primary says something else about its release, or nothing.
async fn of_release(version: Option<&str>) -> House {
    let house = House::with(SmallRegistry::builder(), |_| {}).await;
    furnish(&house.primary);
    let answer = match version {
        Some(version) => Fault::Status {
            status: 200,
            headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
            body: json!({ "version": version, "commitId": "c" }).to_string(),
        },
        None => Fault::error(404, 404, "HTTP 404 Not Found"),
    };
    house.primary.fault_where(|seen| seen.path() == "/v1/metadata/version", None, answer);
    house.imported().await;
    house
}

#[tokio::test]
async fn a_parameter_that_came_after_the_primarys_release_is_the_primarys_to_read() {
    let house = of_release(Some("7.6.2-ce")).await;
    let later = ["/subjects/tagged/versions/1?findTags=PII", "/subjects/a/versions?offset=1", "/schemas?aliases=true"];
    for target in later {
        is_the_primarys(&house, target).await;
    }
    house.primary.forget_requests();
    for target in [
        "/subjects/a/versions?offset=0&limit=-1",
        "/schemas?ruleType=CEL&deleted=true",
        "/schemas/ids/1?format=resolved",
    ] {
        let direct = house.primary.ask("GET", target, None);
        assert_eq!(house.get(target).await.body, direct.body, "{target}");
    }
    assert_eq!(house.primary.requests().len(), 0, "what 7.6 reads, or ignores for certain, is ours to answer");
    is_unknown_alone(&house, &later).await;
}

#[tokio::test]
async fn a_format_of_a_later_release_is_the_primarys_to_print() {
    for version in [None, Some("8.5.0")] {
        let house = of_release(version).await;
        let target = "/subjects/a/versions/1?format=logical";
        is_the_primarys(&house, target).await;
        is_unknown_alone(&house, &[target]).await;
    }
}

#[tokio::test]
async fn before_a_first_pass_has_ended_no_list_and_no_highest_id_is_ours() {
    let primary = SmallRegistry::start().await;
    furnish(&primary);
    let fails = |seen: &small_registry::Seen| seen.path() == "/schemas" && seen.target.contains("offset");
    primary.fault_where(fails, None, Fault::error(503, 503, "not now"));
    let house = House::before(primary);
    let targets = [
        "/subjects",
        "/schemas?subjectPrefix=a",
        "/schemas/ids/1/subjects",
        "/subjects/address/versions/1/referencedby",
    ];
    for target in targets.iter().chain(&["/schemas/ids/1?fetchMaxId=true"]) {
        is_the_primarys(&house, target).await;
    }
    is_unknown_alone(&house, &targets).await;
}

#[tokio::test]
async fn a_list_with_aliases_is_ours_only_while_every_configuration_is_known() {
    let house = House::open().await;
    furnish(&house.primary);
    house.imported().await;
    let target = "/schemas?aliases=true&subjectPrefix=:*:";
    house.primary.forget_requests();
    assert_eq!(house.get(target).await.body, house.primary.ask("GET", target, None).body);
    assert_eq!(house.primary.requests().len(), 0);
    // Somebody may long have said that something stands for it.
    house.primary.ask("PUT", "/config/early", Some(r#"{"alias":"fresh"}"#));
    assert_eq!(house.register("fresh", "1").await.status, 200);
    is_the_primarys(&house, target).await;
    is_unknown_alone(&house, &[target]).await;
}

#[tokio::test]
async fn where_associations_cannot_be_read_nothing_is_filtered_by_them() {
    let house = House::open().await;
    furnish(&house.primary);
    let is_one = |seen: &small_registry::Seen| seen.path().starts_with("/associations");
    house.primary.fault_where(is_one, None, Fault::error(404, 404, "HTTP 404 Not Found"));
    house.imported().await;
    let target = "/schemas?lifecycle=STRONG";
    is_the_primarys(&house, target).await;
    is_unknown_alone(&house, &[target]).await;
}

#[tokio::test]
async fn a_registry_that_lists_in_its_own_way_filters_its_lists_itself() {
    let house = House::with(SmallRegistry::builder().profile(Profile::Poor), |_| {}).await;
    ["1", "2"].iter().for_each(|doc| {
        let body: serde_json::Value = serde_json::from_str(&crate::house::registration(doc)).expect("JSON");
        register(&house.primary, "a", body);
    });
    write(&house.primary, "DELETE", "/subjects/a/versions/1", json!({}));
    house.imported().await;
    let targets =
        ["/subjects?subjectPrefix=a", "/subjects?deleted=true", "/subjects/a/versions?deletedOnly=true", "/schemas"];
    for target in targets {
        is_the_primarys(&house, target).await;
    }
    is_unknown_alone(&house, &targets[..3]).await;
}

/// WIRE.md § 8.4. Nobody has written down what Cloud leaves out of a schema inside another answer, so it is left to do so.
#[tokio::test]
async fn what_cloud_leaves_out_of_an_enclosed_schema_is_left_to_it() {
    let house = House::with(SmallRegistry::builder().profile(Profile::Cloud), |_| {}).await;
    register(&house.primary, "a", json!({ "schema": avro("R", "") }));
    let association = |name: &str| {
        let associations = [json!({ "subject": "a", "associationType": "value", "lifecycle": "WEAK" })];
        json!({
            "resourceName": name, "resourceNamespace": "lkc-1", "resourceId": format!("lkc-1:{name}"),
            "resourceType": "topic", "associations": associations,
        })
    };
    write(&house.primary, "POST", "/associations", association("orders"));
    house.imported().await;
    let asked = json!({ "requests": [{ "resourceName": "orders", "resourceNamespace": "lkc-1" }] }).to_string();
    let target = "/associations:batchGet?includeSchemas=true";
    for (accepts, is_whole) in [(None, false), (Some("false"), false), (Some("true"), true)] {
        let mut fields = vec![("host", "registry"), ("content-type", "application/json")];
        fields.extend(accepts.map(|accepts| ("confluent-accept-unknown-properties", accepts)));
        let pairs = fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let headers = HeaderMap::from_iter(pairs);
        let direct = house.primary.ask_with("POST", target, &headers, Some(asked.as_bytes()));
        let heard = send(house.address(), "POST", target, &fields[1..], Some(&asked)).await;
        assert_eq!((heard.status, &heard.body), (direct.status, &direct.body), "{accepts:?}");
        assert_eq!(heard.body.contains("guid"), is_whole, "{accepts:?}: {}", heard.body);
    }
    // The replica goes on asking for everything.
    let created = send(
        house.address(),
        "POST",
        "/associations",
        &[("content-type", "application/json")],
        Some(&association("bills").to_string()),
    )
    .await;
    assert_eq!(created.status, 200, "{}", created.body);
    let read =
        send(house.address(), "GET", "/schemas/ids/1", &[("confluent-accept-unknown-properties", "true")], None).await;
    assert!(read.body.contains("guid") && read.body.contains("\"ts\""), "{}", read.body);
}
