//! What the clients of a site do, made up: every row of the table, over and over, with names of every kind.

use schema_outpost::protocol::endpoints::{ENDPOINTS, Effect, Endpoint, Route};
use serde_json::{Value, json};

#[path = "../../src/routing/tests/chance.rs"]
mod chance;

use chance::Chance;

/// One request.
#[derive(Clone, Debug)]
pub struct Step {
    pub row: &'static Endpoint,
    pub target: String,
    pub body: Option<String>,
}

impl Step {
    pub fn is_read(&self) -> bool {
        self.row.effect == Effect::Read
    }
}

/// Plain names first: most of what happens has to concern the same few subjects.
const NAMES: &[&str] = &[
    "s",
    "orders",
    "a:b",
    "a.b",
    "a/b",
    "x%2Fy",
    "50%",
    "x y",
    "x+y",
    "\u{1f6d2}",
    "q\"t",
    "it's",
    ":.",
    ":.:",
    ":*:",
    ":.:s",
    ":x",
    "__GLOBAL",
    ".",
    "..",
    "semi;colon",
    "a?b#c",
    "é",
    ":.site2:s",
    "*",
];

/// A site whose clients act.
pub struct Clients<'a> {
    chance: Chance,
    contexts: &'a [&'a str],
    /// The subjects that most of it is about, with their contexts.
    subjects: Vec<(String, String)>,
}

impl<'a> Clients<'a> {
    pub fn of(seed: u64, contexts: &'a [&'a str]) -> Self {
        let mut chance = Chance::of(seed);
        let odd = [chance.one(NAMES), chance.one(NAMES)];
        let mut subjects = Vec::new();
        for name in ["s", odd[0], odd[1]] {
            for context in [".", chance.one(contexts)] {
                // What looks qualified is told from what is, by those who print it, only where it has another context.
                let is_misread = name.starts_with(":.") || name.starts_with(":*:");
                let context = if context == "." && is_misread { contexts[1] } else { context };
                subjects.push((context.to_owned(), name.to_owned()));
            }
        }
        Self { chance, contexts, subjects }
    }

    /// Everything once to begin with, then every row so many times, in any order.
    pub fn act(&mut self, times: usize) -> Vec<Step> {
        let row = |route: Route| ENDPOINTS.iter().find(|row| row.route == route).expect("a row");
        let keks = ENDPOINTS.iter().find(|row| row.method == "POST" && row.path.ends_with("/keks")).expect("a row");
        let body = json!({ "name": "kek", "kmsType": "aws-kms", "kmsKeyId": "arn" }).to_string();
        let mut steps = vec![Step { row: keks, target: "/dek-registry/v1/keks".to_owned(), body: Some(body) }];
        steps.extend((0..8).map(|_| self.step(row(Route::Register))));
        let mut rows: Vec<&'static Endpoint> = (0..times).flat_map(|_| ENDPOINTS.iter()).collect();
        rows.extend((0..times * 6).map(|_| row(Route::Register)));
        while !rows.is_empty() {
            let next = rows.swap_remove(self.chance.below(rows.len()));
            steps.push(self.step(next));
        }
        steps
    }

    fn step(&mut self, row: &'static Endpoint) -> Step {
        let mut target = String::new();
        let context = self.chance.is(20).then(|| self.chance.one(self.contexts));
        if let Some(context) = context.filter(|_| row.path != "/" && row.path != "/contexts") {
            let spelt = match self.chance.below(3) {
                0 => context.to_owned(),
                1 if context != "." => context[1..].to_owned(),
                _ => format!(":{context}:"),
            };
            target.push_str(&format!("/contexts/{}", self.context_escaped(&spelt)));
        }
        for word in row.path.split('/').filter(|word| !word.is_empty()) {
            let text = match word {
                "{subject}" => self.subject(),
                "{version}" => self.chance.one(&["1", "1", "1", "2", "latest", "-1", "0", "LATEST", "x"]).to_owned(),
                "{id}" => self.chance.one(&["1", "1", "2", "3", "4", "99", "x"]).to_owned(),
                "{guid}" => {
                    target.push_str("/{guid}");
                    continue;
                }
                "{context}" => self.chance.one(self.contexts).to_owned(),
                "{resource}" => self.resource(),
                "{namespace}" => self.chance.one(&["-", "lkc", "finance"]).to_owned(),
                "{name}" => self.chance.one(&["-", "t", "u"]).to_owned(),
                "{kek}" => self.chance.one(&["kek", "kek", "kek", "none"]).to_owned(),
                fixed => {
                    assert!(!fixed.starts_with('{'), "what may stand for {fixed}?");
                    target.push_str(&format!("/{fixed}"));
                    continue;
                }
            };
            target.push('/');
            let written = match word {
                "{context}" => self.context_escaped(&text),
                _ => self.escaped(&text, false),
            };
            target.push_str(&written);
        }
        if target.is_empty() || self.chance.is(3) {
            target.push('/');
        }
        let query = self.query(row);
        if !query.is_empty() {
            target.push_str(&format!("?{query}"));
        }
        let body = self.body(row);
        Step { row, target, body }
    }

    /// A subject in one of its spellings.
    fn subject(&mut self) -> String {
        let at = self.chance.below(self.subjects.len());
        let (context, name) = self.subjects[at].clone();
        match (&*context, self.chance.below(8)) {
            (".", 0) => format!(":.:{name}"),
            (".", _) => name,
            (context, 0) => format!(":{context}:"),
            (context, _) => format!(":{context}:{name}"),
        }
    }

    fn resource(&mut self) -> String {
        self.chance.one(&["r1", "r2", "a/b", "r 3"]).to_owned()
    }

    fn escaped(&mut self, text: &str, is_query: bool) -> String {
        let eagerness = self.chance.one(&[0, 0, 50, 100]);
        let mut out = String::new();
        for letter in text.chars() {
            let is_raw = letter.is_ascii_alphanumeric()
                || "-._~:*!'(),".contains(letter)
                || (letter == '+' && !is_query)
                || (letter == '/' && is_query);
            if is_raw && (!self.chance.is(eagerness) || matches!(text, "." | "..")) {
                out.push(letter);
            } else {
                letter.to_string().bytes().for_each(|byte| out.push_str(&format!("%{byte:02X}")));
            }
        }
        out
    }

    /// The registry takes a context out of a path before it decodes it, so that an escaped dot is that of another one.
    fn context_escaped(&mut self, text: &str) -> String {
        text.replace(' ', "%20")
    }

    fn query(&mut self, row: &Endpoint) -> String {
        let mut pairs = Vec::new();
        for parameter in row.parameters {
            let is_asked = match *parameter {
                "subject" | "subjectPrefix" | "context" => 60,
                "deleted" | "permanent" => 40,
                _ => 15,
            };
            if self.chance.is(is_asked) {
                // Subjects of keys are compared as texts, whatever the grammar of prefixes says (WIRE.md § 1.23).
                let is_of_keys = row.route == Route::DekRead && *parameter == "subjectPrefix";
                let value =
                    if is_of_keys { self.chance.one(&["s", "o", ":.c:"]).to_owned() } else { self.value(parameter) };
                pairs.push(format!("{parameter}={}", self.escaped(&value, true)));
            }
        }
        if self.chance.is(5) {
            pairs.push("unknown=1".to_owned());
        }
        pairs.join("&")
    }

    fn value(&mut self, parameter: &str) -> String {
        match parameter {
            "subject" => self.subject(),
            "subjectPrefix" => match self.chance.below(8) {
                0 => ":*:".to_owned(),
                1 => ":*:s".to_owned(),
                2 => String::new(),
                3 => ":.".to_owned(),
                4 => format!(":{}", self.chance.one(self.contexts)),
                5 => format!(":{}:", self.chance.one(self.contexts)),
                6 => "s".to_owned(),
                _ => self.subject(),
            },
            "context" => format!(":{}:", self.chance.one(self.contexts)),
            "contextPrefix" => self.chance.one(&["", ".", ".c", ".s"]).to_owned(),
            "offset" => self.chance.one(&["0", "1", "2", "", "-1", "x"]).to_owned(),
            "limit" => self.chance.one(&["1", "2", "0", "-1", "5000", ""]).to_owned(),
            "format" => self.chance.one(&["", "resolved", "serialized", "nosuch"]).to_owned(),
            "referenceFormat" => "qualified".to_owned(),
            "key" => "owner".to_owned(),
            "value" => "sales".to_owned(),
            "ruleType" => "CEL".to_owned(),
            "findTags" => self.chance.one(&["*", "PII"]).to_owned(),
            "resourceType" => "topic".to_owned(),
            "associationType" => self.chance.one(&["value", "key"]).to_owned(),
            "lifecycle" | "cascadeLifecycle" => self.chance.one(&["STRONG", "WEAK"]).to_owned(),
            "algorithm" => "AES256_GCM".to_owned(),
            "aliases" | "deleted" | "deletedOnly" | "deletedAsNegative" | "latestOnly" | "defaultToGlobal"
            | "fetchMaxId" | "includeSchemas" | "normalize" | "verbose" | "permanent" | "force" | "recursive"
            | "dryRun" | "testSharing" | "rewrap" => self.chance.one(&["true", "true", "false"]).to_owned(),
            other => panic!("what may {other} be?"),
        }
    }

    #[rustfmt::skip]
    fn body(&mut self, row: &Endpoint) -> Option<String> {
        use Route as R;
        let body = match row.route {
            R::Lookup | R::Register | R::TestCompatibility | R::TestCompatibilityAll => self.schema(),
            R::UpdateGlobalConfig | R::UpdateSubjectConfig => self.config(),
            R::UpdateGlobalMode | R::UpdateSubjectMode => json!({ "mode": "IMPORT" }),
            R::ModifyTags => json!({}),
            R::CreateAssociation | R::UpdateAssociation => self.association(),
            R::BatchMutateAssociations => json!({ "requests": [self.association(), self.association()] }),
            R::BatchGetAssociations => json!({ "requests": [{ "resourceId": self.resource() }, { "resourceName": "t", "resourceNamespace": "lkc" }] }),
            R::RootPost => json!({}),
            R::DekWrite if row.method == "DELETE" || row.path.ends_with("/undelete") || row.path.ends_with("/test") => return None,
            R::DekWrite if row.path.contains("/deks") => json!({ "subject": self.subject(), "version": 1, "algorithm": "AES256_GCM", "encryptedKeyMaterial": "bQ==" }),
            R::DekWrite => json!({ "name": "kek", "kmsType": "aws-kms", "kmsKeyId": "arn", "doc": "d" }),
            R::Root | R::ClusterId | R::ServerVersion | R::Deployment | R::SchemaTypes | R::Schemas | R::SchemaById
            | R::SchemaTextById | R::SubjectsById | R::VersionsById | R::SchemaByGuid | R::IdsByGuid | R::Subjects
            | R::DeleteSubject | R::Versions | R::Version | R::DeleteVersion | R::VersionText | R::ReferencedBy
            | R::LatestWithMetadata | R::GlobalConfig | R::DeleteGlobalConfig | R::SubjectConfig
            | R::DeleteSubjectConfig | R::GlobalMode | R::DeleteGlobalMode | R::SubjectMode | R::DeleteSubjectMode
            | R::Contexts | R::DeleteContext | R::AssociationsBySubject | R::AssociationsByResource
            | R::AssociationsByName | R::DeleteAssociations | R::DekRead | R::Exporters | R::Importers
            | R::UnknownRead | R::UnknownWrite => return None,
        };
        Some(body.to_string())
    }

    fn schema(&mut self) -> Value {
        let doc = self.chance.one(&["1", "2", "3", "4"]);
        let text = format!(r#"{{"type":"record","name":"R","doc":"{doc}","fields":[]}}"#);
        let mut body = json!({ "schema": text });
        if self.chance.is(30) {
            let subject = self.subject();
            body["references"] = json!([{ "name": "n.Ref", "subject": subject, "version": 1 }]);
        }
        if self.chance.is(15) {
            body["metadata"] = json!({ "properties": { "owner": "sales" } });
        }
        if self.chance.is(5) {
            body["schema"] = json!("{");
        }
        body
    }

    fn config(&mut self) -> Value {
        match self.chance.below(5) {
            0 => json!({ "compatibility": "FULL" }),
            1 => json!({ "compatibility": "nosuch" }),
            2 => json!({ "normalize": true }),
            3 => json!({ "alias": self.subject() }),
            _ => json!({ "compatibility": "NONE", "compatibilityGroup": ":.site2:g" }),
        }
    }

    fn association(&mut self) -> Value {
        let (id, name) = (self.resource(), self.chance.one(&["t", "u"]));
        let namespace = self.chance.one(&["lkc", "lkc", "finance"]);
        let side = self.chance.one(&["value", "key"]);
        let lifecycle = self.chance.one(&["STRONG", "WEAK"]);
        let associations = [json!({ "subject": self.subject(), "associationType": side, "lifecycle": lifecycle })];
        json!({
            "resourceName": name, "resourceNamespace": namespace, "resourceId": id, "resourceType": "topic",
            "associations": associations,
        })
    }
}
