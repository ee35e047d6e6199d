//! A primary, a local registry, and the importer with both of its sinks between them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use schema_outpost::importer::sink::{Parties, Settings, Sink, SinkStatus};
use schema_outpost::importer::{Config, Report};
use schema_outpost::protocol::subject::Context;
use schema_outpost::protocol::target::subject_segment;
use schema_outpost::store::{self, Store};
use schema_outpost::upstream::{self, ProfileChoice, Registry};
use serde_json::{Value, json};
use small_registry::{Profile, Seen, SmallRegistry};
use tokio::sync::RwLock;

use crate::setting::Setting;

pub struct Beside {
    pub setting: Setting,
    pub local: Arc<SmallRegistry>,
    pub sink: Sink,
    /// The contexts that are not the primary's.
    pub own: Own,
    /// Held alone by whoever changes which these are.
    pub still: Arc<RwLock<()>>,
    config: Config,
    state: Option<store::Config>,
}

/// Passes as fast as the machine allows, and full ones only where the test asks for one.
pub fn quick() -> Config {
    Config { interval: Duration::from_millis(10), full_interval: Duration::from_secs(3600), ..Config::default() }
}

impl Beside {
    pub async fn start() -> Self {
        Self::with(Profile::Confluent8, Profile::Confluent8).await
    }

    pub async fn with(primary: Profile, local: Profile) -> Self {
        let registry = |profile| SmallRegistry::builder().profile(profile).start();
        let primary = registry(primary).await.expect("a free port");
        let local = Arc::new(registry(local).await.expect("a free port"));
        Self::between(Setting::with(primary, quick(), ProfileChoice::Auto), local, "one", None)
    }

    fn between(setting: Setting, local: Arc<SmallRegistry>, name: &str, state: Option<store::Config>) -> Self {
        let (own, still) = (Arc::default(), Arc::default());
        let sink = sink(&setting, &local, (&own, &still), Some(name), state.as_ref());
        Self { setting, local, sink, own, still, config: quick(), state }
    }

    /// Another outpost beside the same two registries.
    pub fn another(&self, name: &str) -> Self {
        let setting = Setting::shared(Arc::clone(&self.setting.registry), self.config.clone(), ProfileChoice::Auto);
        Self::between(setting, Arc::clone(&self.local), name, None)
    }

    /// Another outpost that is not to write.
    pub fn onlooker(&self) -> Self {
        let mut other = self.another("onlooker");
        other.sink = sink(&other.setting, &other.local, (&other.own, &other.still), None, None);
        other
    }

    /// The same with other settings of the importer.
    pub fn going_by(mut self, config: Config) -> Self {
        self.setting = Setting::shared(Arc::clone(&self.setting.registry), config, ProfileChoice::Auto);
        self.restarted()
    }

    /// The same beside a registry of others.
    pub fn with_local(mut self, config: upstream::Config) -> Self {
        self.sink = sink_into(config, &self.setting, (&self.own, &self.still), Some("one"), None);
        self
    }

    /// The same outpost in another process: what it knew is gone, unless it was kept.
    pub fn restarted(self) -> Self {
        let Self { setting, local, sink, own, still, config, state } = self;
        drop(sink);
        let sink = self::sink(&setting, &local, (&own, &still), Some("one"), state.as_ref());
        Self { setting, local, sink, own, still, config, state }
    }

    /// The same, but of the replica's state nothing was left.
    pub fn with_an_empty_replica(mut self) -> Self {
        self.setting = Setting::shared(Arc::clone(&self.setting.registry), self.config.clone(), ProfileChoice::Auto);
        self.restarted()
    }

    /// With a state directory from now on.
    pub fn kept_in(mut self, folder: &std::path::Path) -> Self {
        self.state = Some(store::Config { directory: Some(folder.to_owned()) });
        self.restarted()
    }

    pub fn ask(&self, method: &str, target: &str, body: Option<&str>) -> (u16, String) {
        self.setting.ask(method, target, body)
    }

    /// Carries out a request at the local registry, behind everybody's back.
    pub fn locally(&self, method: &str, target: &str, body: Option<&str>) -> (u16, String) {
        let answer = self.local.ask(method, target, body);
        (answer.status, answer.body)
    }

    /// The importer's pass and the sink's, which are expected to end well.
    pub async fn passes(&self) -> Report {
        self.setting.pass().await;
        let report = self.sink.full_pass_now(false).await;
        assert!(report.ok, "{:?}", report.error);
        report
    }

    pub fn status(&self) -> SinkStatus {
        self.sink.status()
    }

    /// The withheld subjects with their reasons.
    pub fn withheld(&self) -> Vec<(String, String)> {
        self.sink.withheld().into_iter().map(|one| (one.subject, one.reason)).collect()
    }

    /// What is foreign, in words.
    pub fn foreign(&self) -> Vec<String> {
        self.status().foreign.iter().map(|one| format!("{} {}", one.subject, one.what)).collect()
    }

    pub fn in_step(&self, context: &str) -> bool {
        self.sink.in_step(&Context::named(context))
    }

    pub fn is_all_in_step(&self) -> bool {
        self.status().in_step.values().all(|in_step| *in_step)
    }

    /// Holds the local registry to the primary: every version, soft-deleted or not, and every configuration.
    pub fn assert_same(&self, what: &str) {
        let ours = listing(&self.setting.registry);
        assert_eq!(listing(&self.local), ours, "{what}: {:?}", self.withheld());
        // What the replica has not been told of, as the configuration of a context without subjects, nobody has.
        let snapshot = self.setting.replica.snapshot();
        let remembered = snapshot.remembered_keys().filter(|key| !key.ends_with("?defaultToGlobal=true"));
        let scopes: BTreeSet<String> = remembered.filter_map(|key| config_of(key)).collect();
        for scope in scopes {
            let there = self.ask("GET", &scope, None);
            assert_eq!(self.locally("GET", &scope, None), there, "{what}: {scope}");
        }
    }

    /// What was written into the local registry, its claim apart.
    pub fn writes(&self) -> usize {
        self.local.count(is_write)
    }
}

/// The target behind a key that the replica remembers a configuration by.
fn config_of(key: &str) -> Option<String> {
    match key.strip_prefix("/config/") {
        Some(name) => Some(format!("/config/{}", subject_segment(name))),
        None => (key == "/config").then(|| key.to_owned()),
    }
}

pub fn is_write(seen: &Seen) -> bool {
    seen.method != "GET" && !is_claim(seen)
}

pub fn is_claim(seen: &Seen) -> bool {
    seen.path().ends_with("/:.__outpost:writer")
}

fn sink(
    setting: &Setting,
    local: &SmallRegistry,
    (own, still): (&Own, &Arc<RwLock<()>>),
    name: Option<&str>,
    state: Option<&store::Config>,
) -> Sink {
    let config =
        upstream::Config { urls: vec![local.url()], requests_per_second: 100_000, ..upstream::Config::default() };
    sink_into(config, setting, (own, still), name, state)
}

type Own = Arc<Mutex<BTreeSet<Context>>>;

fn sink_into(
    config: upstream::Config,
    setting: &Setting,
    (own, still): (&Own, &Arc<RwLock<()>>),
    name: Option<&str>,
    state: Option<&store::Config>,
) -> Sink {
    let own = Arc::clone(own);
    let parties = Parties {
        local: Arc::new(Registry::new(&config, "local").expect("it can be called")),
        replica: Arc::clone(&setting.replica),
        store: Store::open(state.unwrap_or(&store::Config::default())).expect("it opens"),
        importer: setting.importer.clone(),
        is_primarys: Arc::new(move |scope| !own.lock().expect("held briefly").contains(&scope.context)),
        still: Arc::clone(still),
    };
    Sink::new(parties, Settings { writer: name.is_some(), name: name.unwrap_or("onlooker").to_owned() })
        .expect("the ledger is readable")
}

/// Every version of a registry but for its time.
pub fn listing(registry: &SmallRegistry) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let offset = all.len();
        let page = registry.ask("GET", &format!("/schemas?subjectPrefix=:*:&deleted=true&offset={offset}"), None);
        let page: Vec<Value> = serde_json::from_str(&page.body).expect("a list");
        let is_last = page.len() < 1000;
        all.extend(page);
        if is_last {
            break;
        }
    }
    for item in &mut all {
        item.as_object_mut().expect("an object").remove("ts");
    }
    all
}

/// A record with a field of a type.
pub fn record(name: &str, kind: &str) -> String {
    format!(r#"{{"type":"record","name":"{name}","fields":[{{"name":"f","type":"{kind}"}}]}}"#)
}

/// Something of every kind, in three contexts.
pub fn furnish(beside: &Beside) {
    let register = |subject: &str, body: Value| {
        let target = format!("/subjects/{}/versions", subject_segment(subject));
        let answer = beside.ask("POST", &target, Some(&body.to_string()));
        assert_eq!(answer.0, 200, "{subject}: {}", answer.1);
    };
    beside.ask("PUT", "/config", Some(r#"{"compatibility":"NONE"}"#));
    register("plain", json!({ "schema": r#""string""# }));
    register("plain", json!({ "schema": r#""int""# }));
    register("plain", json!({ "schema": r#""long""# }));
    register("also/odd %", json!({ "schema": r#""string""# }));
    register("json", json!({ "schema": r#"{"type":"object"}"#, "schemaType": "JSON" }));
    register(
        "proto",
        json!({ "schema": "syntax = \"proto3\"; message M { string a = 1; }", "schemaType": "PROTOBUF" }),
    );
    register(
        "rich",
        json!({
            "schema": record("Rich", "string"),
            "metadata": { "properties": { "owner": "team", "a": "🛒" }, "tags": { "t": ["PII", "A"] } },
            "ruleSet": { "domainRules": [{ "name": "r", "kind": "CONDITION", "mode": "WRITE", "type": "CEL", "expr": "true" }] },
        }),
    );
    register("zz-base", json!({ "schema": record("Base", "string") }));
    let to_base = json!([{ "name": "Base", "subject": "zz-base", "version": 1 }]);
    register("a-referrer", json!({ "schema": record("Referrer", "Base"), "references": to_base }));
    for context in [".c", ".d"] {
        register(&format!(":{context}:zz-base"), json!({ "schema": record("Base", "string") }));
        register(&format!(":{context}:a"), json!({ "schema": record("Referrer", "Base"), "references": to_base }));
    }
    let elsewhere = json!([{ "name": "Base", "subject": ":.c:zz-base", "version": 1 }]);
    register(":.d:x", json!({ "schema": record("Far", "Base"), "references": elsewhere }));
    for (target, body) in [
        ("/config/plain", r#"{"compatibility":"FULL","normalize":true,"compatibilityGroup":"g"}"#),
        ("/config/rich", r#"{"defaultMetadata":{"properties":{"k":"v"}}}"#),
        ("/config/:.c:", r#"{"compatibility":"NONE"}"#),
        ("/config/:.__GLOBAL:", r#"{"compatibility":"FORWARD"}"#),
        ("/config/nick", r#"{"alias":"plain"}"#),
    ] {
        assert_eq!(beside.ask("PUT", target, Some(body)).0, 200, "{target}");
    }
    for target in [
        "/subjects/plain/versions/1",
        "/subjects/plain/versions/2",
        "/subjects/plain/versions/2?permanent=true",
        "/subjects/json",
        "/subjects/:.d:x",
        "/subjects/a-referrer",
    ] {
        assert_eq!(beside.ask("DELETE", target, None).0, 200, "{target}");
    }
}
