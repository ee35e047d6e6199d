//! A registry, a replica and the importer between them.

use std::sync::Arc;
use std::time::Duration;

use schema_outpost::importer::{Config, Importer, Report};
use schema_outpost::protocol::schema::Version;
use schema_outpost::protocol::subject::QualifiedSubject;
use schema_outpost::replica::{Forgetful, Replica, Snapshot};
use schema_outpost::routing::Primary;
use schema_outpost::upstream::{self, ProfileChoice, Registry};
use small_registry::{Fault, SmallRegistry};
use tokio_util::sync::{CancellationToken, DropGuard};

pub struct Setting {
    pub registry: Arc<SmallRegistry>,
    pub replica: Arc<Replica>,
    pub importer: Importer,
    running: Option<DropGuard>,
}

/// Passes as fast as the machine allows, so that a test waits for events and not for time.
pub fn quick() -> Config {
    Config { interval: Duration::from_millis(10), ..Config::default() }
}

impl Setting {
    /// Nothing runs until the test asks for it.
    pub async fn start() -> Self {
        Self::with(SmallRegistry::start().await, quick(), ProfileChoice::Auto)
    }

    /// The importer runs.
    pub async fn running() -> Self {
        let mut setting = Self::start().await;
        setting.running = Some(setting.run());
        setting
    }

    pub fn with(registry: SmallRegistry, config: Config, profile: ProfileChoice) -> Self {
        Self::shared(Arc::new(registry), config, profile)
    }

    /// Before a registry that others stand before as well.
    pub fn shared(registry: Arc<SmallRegistry>, config: Config, profile: ProfileChoice) -> Self {
        let primary = upstream::Config {
            urls: vec![registry.url()],
            requests_per_second: 100_000,
            ..upstream::Config::default()
        };
        let primary = Arc::new(Registry::new(&primary, "primary").expect("it can be called"));
        let replica = Arc::new(Replica::empty(Forgetful));
        let importer = Importer::new(Primary::behind(Arc::default(), primary), Arc::clone(&replica), &config, profile);
        Self { registry, replica, importer, running: None }
    }

    pub fn run(&self) -> DropGuard {
        let stop = CancellationToken::new();
        let (importer, token) = (self.importer.clone(), stop.clone());
        tokio::spawn(async move { importer.run(token).await });
        stop.drop_guard()
    }

    /// Carries out a request at the registry, behind the importer's back.
    pub fn ask(&self, method: &str, target: &str, body: Option<&str>) -> (u16, String) {
        let answer = self.registry.ask(method, target, body);
        (answer.status, answer.body)
    }

    pub fn register(&self, subject: &str, schema: &str) {
        self.post(subject, &serde_json::json!({ "schema": schema }));
    }

    /// Registers a record that refers to version 1 of another subject, a record by its own name.
    pub fn register_with_reference(&self, subject: &str, target: &str) {
        let schema = format!(r#"{{"type":"record","name":"{subject}","fields":[{{"name":"f","type":"{target}"}}]}}"#);
        let references = serde_json::json!([{ "name": target, "subject": target, "version": 1 }]);
        self.post(subject, &serde_json::json!({ "schema": schema, "references": references }));
    }

    fn post(&self, subject: &str, body: &serde_json::Value) {
        let target = format!("/subjects/{}/versions", subject.replace('/', "%2F"));
        let answer = self.ask("POST", &target, Some(&body.to_string()));
        assert_eq!(answer.0, 200, "{subject}: {}", answer.1);
    }

    /// Deletes a subject for good.
    pub fn purge(&self, subject: &str) {
        for query in ["", "?permanent=true"] {
            let answer = self.ask("DELETE", &format!("/subjects/{subject}{query}"), None);
            assert_eq!(answer.0, 200, "{subject}: {}", answer.1);
        }
    }

    /// What the registry lists.
    pub fn listing(&self) -> Vec<serde_json::Value> {
        let listing = self.ask("GET", "/schemas?subjectPrefix=:*:&deleted=true&limit=1000", None).1;
        serde_json::from_str(&listing).expect("a list")
    }

    /// Lets the listing be this one.
    pub fn list(&self, items: &[serde_json::Value]) {
        self.answer("/schemas?subjectPrefix=:*:&deleted=true", &serde_json::json!(items).to_string());
    }

    /// A whole pass that is expected to end well.
    pub async fn pass(&self) -> Report {
        let report = self.importer.full_pass_now(false).await;
        assert!(report.ok, "{:?}", report.error);
        report
    }

    /// Lets questions that start so be answered with this list.
    pub fn answer(&self, target: &'static str, body: &str) {
        let fault = Fault::Status { status: 200, headers: Vec::new(), body: body.to_owned() };
        self.registry.fault_where(move |seen| seen.target.starts_with(target), None, fault);
    }

    pub fn subjects(&self) -> usize {
        self.replica.snapshot().contexts().map(|(_, context)| context.subjects().count()).sum()
    }

    /// Whether the last pass found nothing.
    pub fn is_quiet(&self) -> bool {
        self.importer.status().last_pass.is_some_and(|pass| pass.ok && pass.changes == 0)
    }

    /// Waits until the replica shows something.
    pub async fn sees(&self, what: impl Fn(&Snapshot) -> bool) {
        let shown = async {
            while !what(&self.replica.snapshot()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(20), shown).await.is_err() {
            panic!("it did not come: {:?} {:?}", self.importer.status(), self.replica.snapshot());
        }
    }
}

pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let met = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), met).await.unwrap_or_else(|_| panic!("in vain: {what}"));
}

pub fn holds(snapshot: &Snapshot, subject: &str, version: i32) -> Option<Arc<Version>> {
    snapshot.version(&QualifiedSubject::parse(subject), version).cloned()
}
