//! Whatever changes in the replica, an answer whose stamp says that it is current is what would be rendered now.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use proptest::prelude::*;
use proptest::sample::select;
use tokio::runtime::{Builder, Runtime};

use super::ask::profile_of;
use crate::protocol::endpoints::{ENDPOINTS, Effect, Endpoint, Route};
use crate::protocol::operation::Operation;
use crate::protocol::schema::{Listed, SchemaType, Version};
use crate::protocol::shape::Profile;
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::replica::answer::{Verdict, answer};
use crate::replica::{
    Association, Change, Doubt, Forgetful, LeftOut, Remembered, Replica, Scope, Snapshot, Spelling, Stamp,
};

const SUBJECTS: [&str; 6] = ["s", "t", ":.a:s", ":.a:t", ":.b:s", ":.b:"];
const CONTEXTS: [&str; 3] = [".", ".a", ".b"];
const GUIDS: [&str; 3] = [
    "d41d8cd9-8f00-b204-e980-0998ecf8427e",
    "00000000-0000-0000-0000-0000000000ff",
    "00000000-0000-0000-0000-0000000000fe",
];
const TEXTS: [&str; 4] = [
    r#""int""#,
    r#"{"type":"record","name":"r","fields":[{"name":"f","type":"int","confluent:tags":["PII"]}]}"#,
    r#"["null","r"]"#,
    r#"{"type":"enum","name":"e","symbols":["A"]}"#,
];

/// What is remembered under which key.
const KEYS: [&str; 20] = [
    "/",
    "/schemas/types",
    "/schemas",
    "/schemas?aliases=true",
    "/v1/metadata/id",
    "/v1/metadata/version",
    "/v1/metadata/deployment",
    "/contexts",
    "/associations",
    "/config",
    "/config?defaultToGlobal=true",
    "/config/:.__GLOBAL:",
    "/config/s",
    "/config/t",
    "/config/:.a:s",
    "/config/:.a:",
    "/config/:.a:?defaultToGlobal=true",
    "/config/:.b:s",
    "/mode",
    "/mode/s",
];
const BODIES: [(u16, &str); 10] = [
    (200, "{}"),
    (200, r#"{"alias":"t"}"#),
    (200, r#"{"alias":":.a:s"}"#),
    (200, r#"{"alias":":.b:"}"#),
    (200, r#"{"compatibilityLevel":"FULL","alias":"t"}"#),
    (200, r#"{"compatibilityLevel":"NONE"}"#),
    (200, r#"{"version":"7.4.0","commitId":"c"}"#),
    (200, r#"{"version":"8.3.1","commitId":"c"}"#),
    (404, r#"{"error_code":40408,"message":"none"}"#),
    (404, r#"{"error_code":404,"message":"HTTP 404 Not Found"}"#),
];

fn maybe(part: &'static str) -> impl Strategy<Value = &'static str> {
    select(vec!["", "", part])
}

/// A version as a list prints it. Any id may come with any content, as imports bring about.
fn version() -> impl Strategy<Value = Version> {
    let parts = (1..4, 1..5, select(TEXTS.to_vec()), proptest::option::weighted(0.8, select(GUIDS.to_vec())));
    let beside = (
        proptest::option::of(1..4_i64),
        maybe(r#","references":[{"name":"r","subject":"t","version":1}]"#),
        maybe(r#","metadata":{"properties":{"k":"v"}}"#),
        maybe(r#","ruleSet":{"domainRules":[{"name":"n","type":"CEL"}]}"#),
        any::<bool>(),
    );
    (parts, beside).prop_map(|((number, id, text, guid), (ts, references, metadata, rules, deleted))| {
        let text = serde_json::to_string(text).expect("a text");
        let guid = guid.map_or(String::new(), |guid| format!(r#","guid":"{guid}""#));
        let ts = ts.map_or(String::new(), |ts| format!(r#","ts":{ts}"#));
        let printed = format!(
            r#"{{"version":{number},"id":{id}{guid},"schema":{text}{ts},"deleted":{deleted}{references}{metadata}{rules}}}"#
        );
        serde_json::from_str::<Listed>(&printed).expect("a version").version
    })
}

fn subject() -> impl Strategy<Value = QualifiedSubject> {
    select(SUBJECTS.to_vec()).prop_map(QualifiedSubject::parse)
}

fn context() -> impl Strategy<Value = Context> {
    select(CONTEXTS.to_vec()).prop_map(Context::named)
}

fn association() -> impl Strategy<Value = Association> {
    let sides = (select(vec!["key", "value"]), select(vec!["STRONG", "WEAK"]), select(vec!["topic", "other"]));
    (select(SUBJECTS.to_vec()), select(vec!["n", "m"]), sides).prop_map(|(subject, name, (side, lifecycle, kind))| {
        let printed = format!(
            r#"{{"subject":"{subject}","resourceName":"{name}","resourceNamespace":"x","resourceId":"i{name}","resourceType":"{kind}","associationType":"{side}","lifecycle":"{lifecycle}"}}"#
        );
        let raw = serde_json::value::RawValue::from_string(printed.clone()).expect("JSON");
        let read: Association = serde_json::from_str(&printed).expect("an association");
        Association { printed: Some(Arc::from(raw)), ..read }
    })
}

fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        Just(Scope::All),
        context().prop_map(Scope::Context),
        subject().prop_map(Scope::Subject),
        select(KEYS.to_vec()).prop_map(|key| Scope::Remembered(Arc::from(key))),
        Just(Scope::Contexts),
        Just(Scope::Associations),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let versions = || proptest::collection::vec(version(), 0..4);
    let doubt = proptest::option::of(select(vec![Doubt::Incomplete, Doubt::Undecided, Doubt::Unsure]));
    let remembered = proptest::option::weighted(0.8, select(BODIES.to_vec()));
    let associations = proptest::option::weighted(0.8, proptest::collection::vec(association(), 0..3));
    let left_out = (proptest::collection::btree_set(subject(), 0..2), any::<bool>());
    prop_oneof![
        6 => (subject(), versions()).prop_map(|(subject, versions)| Change::Subject { subject, versions }),
        3 => (subject(), version()).prop_map(|(subject, version)| Change::Version { subject, version }),
        1 => (subject(), 1..4).prop_map(|(subject, one)| Change::SoftDelete { subject, versions: vec![one] }),
        1 => (subject(), 1..4).prop_map(|(subject, version)| Change::Purge { subject, version }),
        6 => (select(KEYS.to_vec()), remembered).prop_map(|(key, answer)| Change::Remember {
            key: Arc::from(key),
            answer: answer.map(|(status, body)| Remembered { status, body: Bytes::from_static(body.as_bytes()) }),
        }),
        1 => proptest::collection::vec(context(), 0..3).prop_map(Change::Contexts),
        2 => associations.prop_map(Change::Associations),
        1 => (context(), 0..9).prop_map(|(context, id)| Change::MaxId(context, id)),
        2 => (scope(), doubt).prop_map(|(scope, doubt)| Change::Doubt(scope, doubt)),
        1 => select(vec!["7", "8", "cloud"]).prop_map(|name| Change::Profile(Profile::parse(name).expect("known"))),
        1 => (scope(), left_out).prop_map(|(of, (subjects, is_vague))| Change::LeftOut {
            of,
            now: LeftOut { subjects, is_vague },
        }),
        1 => (1..9_u64).prop_map(Change::ReadAt),
        1 => select(TEXTS.to_vec()).prop_map(|text| Change::StoredAs(Spelling::of(&SchemaType::Avro, text), text.into())),
    ]
}

/// The values that a parameter is tried with.
fn values(parameter: &str) -> &'static [&'static str] {
    match parameter {
        "subject" => &["s", "t", ":.a:", ":.a:s", "none"],
        "subjectPrefix" => &[":*:", ":.a:", "s"],
        "format" => &["resolved", "default"],
        "referenceFormat" => &["qualified"],
        "findTags" => &["*"],
        "ruleType" => &["CEL"],
        "resourceType" => &["topic", "other"],
        "associationType" => &["value"],
        "lifecycle" => &["STRONG", "NONE"],
        "offset" | "limit" => &["1"],
        "key" => &["k&value=v", "k&value=w"],
        "value" => &[],
        "contextPrefix" => &[".a"],
        "deleted" | "deletedOnly" | "deletedAsNegative" | "latestOnly" | "aliases" | "fetchMaxId" | "normalize"
        | "defaultToGlobal" | "includeSchemas" => &["true"],
        other => panic!("{other} has no values here"),
    }
}

/// What stands in the place of a name in a path.
fn names(name: &str) -> &'static [&'static str] {
    match name {
        "{subject}" => &["s", "t", ":.a:s", "%3A.a%3As", ":.b:", ":.a:none", "s;p"],
        "{id}" => &["1", "2", "3", "4"],
        "{guid}" => &GUIDS,
        "{version}" => &["1", "2", "latest"],
        "{resource}" => &["in", "-"],
        "{namespace}" => &["x", "-"],
        "{name}" => &["n", "-"],
        other => panic!("{other} has no names here"),
    }
}

/// Every read, of everything there may be, with each parameter and without, in a context's path too.
fn reads() -> Vec<Operation> {
    let mut targets = Vec::new();
    let is_kept = |endpoint: &&Endpoint| endpoint.effect == Effect::Read && endpoint.route != Route::DekRead;
    for endpoint in ENDPOINTS.iter().filter(is_kept) {
        let mut paths = vec![String::new()];
        for word in endpoint.path.split('/').skip(1) {
            let words = if word.starts_with('{') { names(word) } else { &[word][..] };
            paths = paths.iter().flat_map(|path| words.iter().map(move |word| format!("{path}/{word}"))).collect();
        }
        for path in paths {
            let mut queries = vec![String::new()];
            for parameter in endpoint.parameters {
                queries.extend(values(parameter).iter().map(|value| format!("?{parameter}={value}")));
            }
            let method = Method::from_bytes(endpoint.method.as_bytes()).expect("a method");
            targets.extend(queries.iter().map(|query| (method.clone(), format!("{path}{query}"))));
            let is_plain = !path.contains(':') && !path.contains(';');
            targets.extend(is_plain.then(|| (method, format!("/contexts/.a{path}"))));
        }
    }
    targets.iter().filter_map(|(method, target)| Operation::of_target(method, target).ok()).collect()
}

/// One answer at hand.
struct Kept {
    operation: Operation,
    takes_unknown: bool,
    /// Of a listener that is bound to a context.
    bound: Option<Context>,
    answer: Option<(Stamp, u16, Bytes)>,
}

impl Kept {
    fn rendered(&self, snapshot: &Snapshot) -> Option<(u16, Bytes)> {
        let within = self.bound.as_ref().map(|bound| snapshot.within(bound));
        let form = profile_of(snapshot).form(self.takes_unknown);
        match answer(&self.operation, within.as_ref().unwrap_or(snapshot), form, &[]) {
            Verdict::Known(status, body) => Some((status, body)),
            Verdict::Refused(_) | Verdict::Unknown(_) => None,
        }
    }

    /// Looks at the answer as a request does, or keeps one; says whether its stamp held.
    fn look(&mut self, replica: &Replica, snapshot: &Snapshot) -> Result<bool, TestCaseError> {
        let now = self.rendered(snapshot);
        if let Some((stamp, status, body)) = &self.answer {
            let holds = stamp.is_of(snapshot.generation()) || replica.holds(stamp, snapshot);
            let is_same = now.as_ref() == Some(&(*status, body.clone()));
            prop_assert!(is_same || !holds, "{} {:?}: {body:?} is {now:?} now", self.operation.target, self.bound);
            if holds || (is_same && stamp.renew(&self.operation, snapshot)) {
                return Ok(holds);
            }
        }
        self.answer = now.map(|(status, body)| (Stamp::of(&self.operation, snapshot), status, body));
        Ok(false)
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().build().expect("a runtime")
}

fn kept() -> Vec<Kept> {
    let clients = [(None, true), (None, false), (Some(Context::named(".a")), true)];
    let of = |operation: Operation| {
        clients.clone().map(|(bound, takes_unknown)| Kept {
            operation: operation.clone(),
            takes_unknown,
            bound,
            answer: None,
        })
    };
    reads().into_iter().flat_map(of).collect()
}

/// So that most of what is asked for is there, and lists are whole.
fn beginning() -> Vec<Change> {
    let listed = |printed: &str| serde_json::from_str::<Listed>(printed).expect("a version").version;
    let one = listed(r#"{"version":1,"id":1,"guid":"d41d8cd9-8f00-b204-e980-0998ecf8427e","schema":"\"int\""}"#);
    let remember = |key: &str, body: &'static str| Change::Remember {
        key: Arc::from(key),
        answer: Some(Remembered { status: 200, body: Bytes::from_static(body.as_bytes()) }),
    };
    vec![
        Change::Subject { subject: QualifiedSubject::parse("s"), versions: vec![one.clone()] },
        Change::Subject { subject: QualifiedSubject::parse(":.a:s"), versions: vec![one] },
        Change::Profile(Profile::Confluent8),
        Change::Contexts(CONTEXTS.map(Context::named).to_vec()),
        Change::Associations(Some(Vec::new())),
        remember("/v1/metadata/version", r#"{"version":"8.3.1"}"#),
        remember("/config", "{}"),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 400, ..ProptestConfig::default() })]
    #[test]
    fn an_answer_whose_stamp_holds_is_what_would_be_rendered_now(
        batches in proptest::collection::vec((proptest::collection::vec(change(), 1..3), any::<bool>()), 1..40),
        knows_profile in proptest::bool::weighted(0.9),
    ) {
        let (runtime, replica) = (runtime(), Arc::new(Replica::empty(Forgetful)));
        let apply = |changes| runtime.block_on(replica.apply_write(changes, replica.ticket())).expect("kept");
        let is_profile = |change: &Change| matches!(change, Change::Profile(_));
        apply(beginning().into_iter().filter(|change| knows_profile || !is_profile(change)).collect());
        let mut kept = kept();
        for (changes, is_looked_at) in batches {
            apply(changes);
            // Some answers are looked at again only after several changes.
            if is_looked_at {
                let snapshot = replica.snapshot();
                for one in &mut kept {
                    one.look(&replica, &snapshot)?;
                }
            }
        }
    }
}

/// The routes whose answers were kept, and those of them whose stamps held after a change.
fn looked_at(before: Vec<Change>, change: Change) -> [HashSet<&'static str>; 2] {
    let (runtime, replica, mut kept) = (runtime(), Arc::new(Replica::empty(Forgetful)), kept());
    runtime.block_on(replica.apply_write(before, replica.ticket())).expect("kept");
    let snapshot = replica.snapshot();
    kept.retain_mut(|one| one.look(&replica, &snapshot).is_ok() && one.answer.is_some());
    runtime.block_on(replica.apply_write(vec![change], replica.ticket())).expect("kept");
    let snapshot = replica.snapshot();
    let routes = kept.iter().map(|one| one.operation.route.name()).collect();
    kept.retain_mut(|one| one.look(&replica, &snapshot).expect("a stamp that holds is right"));
    [routes, kept.iter().map(|one| one.operation.route.name()).collect()]
}

#[test]
fn a_registration_leaves_all_answers_standing_that_are_not_made_of_everything() {
    let new = r#"{"version":1,"id":9,"guid":"00000000-0000-0000-0000-0000000000aa","schema":"\"long\""}"#;
    let version = serde_json::from_str::<Listed>(new).expect("a version").version;
    let facts = ["/", "/v1/metadata/id", "/v1/metadata/deployment", "/schemas/types"];
    let remember = |key: &str| Change::Remember {
        key: Arc::from(key),
        answer: Some(Remembered { status: 200, body: Bytes::from_static(b"{}") }),
    };
    let more = facts.into_iter().chain(["/config/s"]).map(remember);
    let [kept, held] = looked_at(
        beginning().into_iter().chain(more).collect(),
        Change::Version { subject: QualifiedSubject::parse("new"), version },
    );
    // Lists, and what is found by a GUID, in whichever subject it may be.
    let everything = ["IdsByGuid", "Contexts", "ReferencedBy", "SchemaByGuid", "Schemas", "Subjects"];
    let lost: HashSet<_> = kept.difference(&held).copied().collect();
    assert_eq!(lost, HashSet::from(everything));
    assert_eq!(held.len(), 17, "{held:?}");
}
