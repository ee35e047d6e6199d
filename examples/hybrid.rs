//! The main job, told in six scenes, with nothing else installed:
//!
//! ```sh
//! cargo run --release --example hybrid
//! ```
//!
//! An outpost stands before a registry, the `cloud`. Clients register Avro, JSON and Protobuf schemas through it, read
//! them back, and go on reading while the cloud is away and after the outpost was restarted; a write is refused
//! honestly until the cloud returns. A second registry, the `twin`, is told the same and never taken away: whatever
//! the outpost says is held against what the twin says, byte for byte (but for the milliseconds between the two
//! registrations). Who answered is no claim either: every request
//! carries an id, and the cloud has counted how often it saw that id.
//!
//! Both registries are small ones in this process (`small-registry`). Every line that is printed was checked; the exit
//! code is not 0 when a single fact was otherwise.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use schema_outpost::app::App;
use schema_outpost::config::Config;
use schema_outpost::server::ListenerConfig;
use serde_json::{Value, json};
use small_registry::SmallRegistry;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// How often a read is repeated; what is printed is the median.
const TIMES: usize = 200;

/// What the clients ask for, before and after the cloud is gone.
const READS: [&str; 8] = [
    "/schemas/ids/1",
    "/schemas/ids/2",
    "/schemas/ids/4",
    "/schemas/ids/6",
    "/subjects/order-value/versions/latest/schema",
    "/subjects/customer-value/versions/1/referencedby",
    "/schemas/ids/6/versions",
    "/subjects",
];

#[tokio::main]
async fn main() -> Result<()> {
    let mut stage = Stage::build().await?;
    stage.introduce();
    stage.teams_register().await?;
    stage.clients_read("Clients read them back", Cloud::Up).await?;
    stage.cloud_leaves().await?;
    stage.outpost_restarts().await?;
    stage.cloud_returns().await?;
    stage.clear().await;
    println!("\nEvery line above was checked. That is the whole job.");
    Ok(())
}

/// Two registries, an outpost before one of them, and a client.
struct Stage {
    cloud: SmallRegistry,
    twin: SmallRegistry,
    outpost: Option<App>,
    config: Config,
    client: Client<HttpConnector, Full<Bytes>>,
    requests: u32,
    // Held for its end: the directory goes with it.
    state: TempDir,
}

impl Stage {
    async fn build() -> Result<Self> {
        let cloud = SmallRegistry::start().await;
        let twin = SmallRegistry::start().await;
        let state = tempfile::tempdir()?;
        let free_port = ([127, 0, 0, 1], 0).into();
        let mut config = Config {
            listeners: vec![ListenerConfig { bind: free_port, ..ListenerConfig::default() }],
            ..Config::default()
        };
        config.admin.bind = free_port;
        config.primary.urls = vec![cloud.url()];
        config.state.directory = Some(state.path().to_owned());
        let outpost = Some(App::start(&config, &Handle::current())?);
        let client = Client::builder(TokioExecutor::new()).build_http();
        Ok(Self { cloud, twin, outpost, config, client, requests: 0, state })
    }

    fn introduce(&self) {
        println!("  cloud     {}   the primary: it owns the schemas", self.cloud.url());
        println!("  outpost   {}   what the clients take for their registry", self.outpost());
        println!("            state in {}", self.state.path().display());
        println!("  twin      {}   told the same, never taken away: to compare with", self.twin.url());
    }

    fn outpost(&self) -> String {
        let app = self.outpost.as_ref().expect("BUG: the outpost is between two lives");
        format!("http://{}", app.data_addresses()[0])
    }

    async fn teams_register(&mut self) -> Result<()> {
        println!("\nTeams register through the outpost, each schema with what it refers to");
        for (subject, body) in registrations() {
            let target = format!("/subjects/{subject}/versions");
            let heard = self.ask_outpost("POST", &target, Some(&body)).await?;
            heard.is(StatusCode::OK)?;
            heard.came_from("primary")?;
            self.twin_agrees("POST", &target, Some(&body), &heard)?;
            println!(
                "  {:<48} {:<9} id {}   {}",
                format!("POST {target}"),
                body["schemaType"].as_str().unwrap_or("AVRO"),
                heard.json()?["id"],
                heard.story()
            );
        }
        Ok(())
    }

    /// Every read is answered by the replica, in the bytes of the twin, and tells its age only while the cloud is away.
    async fn clients_read(&mut self, title: &str, cloud: Cloud) -> Result<()> {
        println!("\n{title}");
        for target in READS {
            let mut took = Vec::with_capacity(TIMES);
            let mut last = None;
            for _ in 0..TIMES {
                let heard = self.ask_outpost("GET", target, None).await?;
                heard.is(StatusCode::OK)?;
                heard.came_from("replica")?;
                took.push(heard.took);
                last = Some(heard);
            }
            took.sort();
            let mut heard = last.context("nothing was asked")?;
            heard.took = took[TIMES / 2];
            self.twin_agrees("GET", target, None, &heard)?;
            let age = heard.headers.get("age").and_then(|age| age.to_str().ok());
            ensure!(age.is_some() == (cloud == Cloud::Away), "GET {target} told an age of {age:?}");
            let age = age.map(|age| format!("   Age: {age}")).unwrap_or_default();
            println!("  {:<58} {}   the twin's bytes{age}", format!("GET {target}"), heard.story());
        }
        Ok(())
    }

    async fn cloud_leaves(&mut self) -> Result<()> {
        self.cloud.stop().await;
        self.a_write_is_refused("The cloud is taken away. A write is refused, and says that it was not done").await?;
        self.clients_read("Clients read on, and are told how old an answer may be", Cloud::Away).await
    }

    async fn a_write_is_refused(&mut self, title: &str) -> Result<()> {
        println!("\n{title}");
        let heard = self.ask_outpost("POST", "/subjects/invoice-value/versions", Some(&invoice())).await?;
        heard.is(StatusCode::INTERNAL_SERVER_ERROR)?;
        heard.came_from("replica")?;
        ensure!(heard.json()?["error_code"] == 50003, "refused with {}", heard.text());
        let wait = heard.headers.get("retry-after").context("a refusal without Retry-After")?;
        println!("  {:<58} {} after {}", "POST /subjects/invoice-value/versions", heard.status, pretty(heard.took));
        println!("  {}   Retry-After: {} s", heard.text(), wait.to_str()?);
        Ok(())
    }

    async fn outpost_restarts(&mut self) -> Result<()> {
        if let Some(app) = self.outpost.take() {
            app.stop().await;
        }
        let began = Instant::now();
        self.outpost = Some(App::start(&self.config, &Handle::current())?);
        let heard = self.ask_outpost("GET", READS[0], None).await?;
        heard.is(StatusCode::OK)?;
        let took = pretty(began.elapsed());
        // The new process learns that the cloud is away when it first asks it for something.
        self.a_write_is_refused(&format!(
            "The outpost is restarted while the cloud is away: first right answer after {took}"
        ))
        .await?;
        self.clients_read("Clients read on from what was kept on disk", Cloud::Away).await
    }

    async fn cloud_returns(&mut self) -> Result<()> {
        self.cloud.restart().await?;
        println!("\nThe cloud comes back. The client that was refused tries again until it is heard");
        let began = Instant::now();
        let target = "/subjects/invoice-value/versions";
        let mut attempts = 1;
        let heard = loop {
            let heard = self.ask_outpost("POST", target, Some(&invoice())).await?;
            if heard.status == StatusCode::OK {
                break heard;
            }
            ensure!(heard.json()?["error_code"] == 50003, "refused with {}", heard.text());
            ensure!(began.elapsed() < Duration::from_secs(30), "the cloud is back, and the outpost never noticed");
            attempts += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        heard.came_from("primary")?;
        self.twin_agrees("POST", target, Some(&invoice()), &heard)?;
        let waited = pretty(began.elapsed());
        let id = &heard.json()?["id"];
        println!("  {:<48} {:<9} id {id}   {}", format!("POST {target}"), "AVRO", heard.story());
        println!("  heard at attempt {attempts}, {waited} after the cloud's return");
        self.clients_read("And everything is as it was, nothing lost, nothing old", Cloud::Up).await
    }

    async fn clear(mut self) {
        if let Some(app) = self.outpost.take() {
            app.stop().await;
        }
        self.cloud.stop().await;
        self.twin.stop().await;
    }

    /// One request to the outpost, and whether the cloud saw it.
    async fn ask_outpost(&mut self, method: &str, target: &str, body: Option<&Value>) -> Result<Heard> {
        self.requests += 1;
        let id = format!("hybrid-{}", self.requests);
        let mut request =
            Request::builder().method(method).uri(self.outpost() + target).header("x-request-id", id.as_str());
        if body.is_some() {
            request = request.header("content-type", "application/vnd.schemaregistry.v1+json");
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let began = Instant::now();
        let answer = self.client.request(request.body(Full::from(body))?).await?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        let took = began.elapsed();
        ensure!(head.headers.get("x-request-id").is_some_and(|echoed| *echoed == id), "the request id was lost");
        let reached_cloud = self.cloud.count(|seen| seen.header("x-request-id") == Some(&id));
        let who = if reached_cloud == 0 { "replica" } else { "primary" };
        Ok(Heard { target: target.to_owned(), status: head.status, headers: head.headers, body, took, who })
    }

    fn twin_agrees(&self, method: &str, target: &str, body: Option<&Value>, heard: &Heard) -> Result<()> {
        let twin = self.twin.ask(method, target, body.map(Value::to_string).as_deref());
        ensure!(
            (twin.status, timeless(&twin.body)) == (heard.status.as_u16(), timeless(&heard.text())),
            "{method} {target}: the outpost says {} {}, the twin {} {}",
            heard.status,
            heard.text(),
            twin.status,
            twin.body
        );
        Ok(())
    }
}

/// Whether the primary can be reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cloud {
    Up,
    Away,
}

/// An answer of the outpost.
struct Heard {
    target: String,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    took: Duration,
    /// `primary` if the cloud saw the request, else `replica`.
    who: &'static str,
}

impl Heard {
    fn is(&self, status: StatusCode) -> Result<()> {
        ensure!(self.status == status, "{}: {} {}", self.target, self.status, self.text());
        Ok(())
    }

    fn came_from(&self, who: &str) -> Result<()> {
        ensure!(self.who == who, "{}: answered by the {}, not by the {who}", self.target, self.who);
        Ok(())
    }

    fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("{}: no JSON: {}", self.target, self.text()))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn story(&self) -> String {
        format!("{} {:>8}", self.who, pretty(self.took))
    }
}

/// A body without its times: the twin was told a moment later.
fn timeless(body: &str) -> String {
    let mut parts = body.split("\"ts\":");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(part.trim_start_matches(|character: char| character.is_ascii_digit()));
    }
    out
}

fn pretty(took: Duration) -> String {
    match took.as_micros() {
        micros @ 0..1000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", took.as_secs_f64() * 1e3),
        _ => format!("{:.1} s", took.as_secs_f64()),
    }
}

/// Two schemas of each type; the second refers to the first.
fn registrations() -> Vec<(&'static str, Value)> {
    let customer = json!({"type": "record", "name": "Customer", "namespace": "shop", "fields": [
        {"name": "id", "type": "long"}, {"name": "name", "type": "string"}]});
    let order = json!({"type": "record", "name": "Order", "namespace": "shop", "fields": [
        {"name": "number", "type": "string"}, {"name": "customer", "type": "shop.Customer"}]});
    let address = json!({"$id": "address.json", "type": "object", "properties": {"city": {"type": "string"}}});
    let shipment = json!({"type": "object", "properties": {"to": {"$ref": "address.json"}}});
    let money =
        "syntax = \"proto3\";\npackage shop;\n\nmessage Money {\n  string currency = 1;\n  int64 cents = 2;\n}\n";
    let payment = "syntax = \"proto3\";\npackage shop;\n\nimport \"money.proto\";\n\nmessage Payment {\n  string order = 1;\n  .shop.Money amount = 2;\n}\n";
    let refers = |name: &str, subject: &str| json!([{"name": name, "subject": subject, "version": 1}]);
    vec![
        ("customer-value", json!({"schema": customer.to_string()})),
        ("order-value", json!({"schema": order.to_string(), "references": refers("shop.Customer", "customer-value")})),
        ("address-value", json!({"schemaType": "JSON", "schema": address.to_string()})),
        (
            "shipment-value",
            json!({"schemaType": "JSON", "schema": shipment.to_string(), "references": refers("address.json", "address-value")}),
        ),
        ("money.proto", json!({"schemaType": "PROTOBUF", "schema": money})),
        (
            "payment-value",
            json!({"schemaType": "PROTOBUF", "schema": payment, "references": refers("money.proto", "money.proto")}),
        ),
    ]
}

/// What a client tries to register while the cloud is away.
fn invoice() -> Value {
    let schema = json!({"type": "record", "name": "Invoice", "namespace": "shop", "fields": [
        {"name": "order", "type": "string"}]});
    json!({"schema": schema.to_string()})
}
