//! `schema_registry_converter` against a registry: see ../../README.md for what a client program does.

use std::error::Error;
use std::fmt::Debug;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use apache_avro::types::Value;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schema_registry_converter::async_impl::avro::{AvroDecoder, AvroEncoder};
use schema_registry_converter::async_impl::schema_registry::{
    SrSettings, get_all_subjects, get_all_versions, get_schema_by_id, get_schema_by_subject, is_compatible_schema,
    post_schema,
};
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::{SchemaType, SubjectNameStrategy, SuppliedSchema};

const TOPIC: &str = "known-rust";

type Outcome<T> = Result<T, Box<dyn Error>>;

#[derive(Default)]
struct Steps {
    passed: u32,
    failed: u32,
}

impl Steps {
    fn step<T: PartialEq + Debug>(&mut self, name: &str, got: Outcome<T>, expected: T) {
        match got {
            Ok(got) if got == expected => self.ok(name),
            Ok(got) => self.failed(name, &format!("got {got:?}, expected {expected:?}")),
            Err(why) => self.failed(name, &why.to_string()),
        }
    }

    fn value<T>(&mut self, name: &str, got: Outcome<T>) -> Option<T> {
        match got {
            Ok(got) => {
                self.ok(name);
                Some(got)
            }
            Err(why) => {
                self.failed(name, &why.to_string());
                None
            }
        }
    }

    fn ok(&mut self, name: &str) {
        self.passed += 1;
        println!("ok {name}");
    }

    fn failed(&mut self, name: &str, why: &str) {
        self.failed += 1;
        println!("FAILED {name}: {}", why.replace('\n', " "));
    }
}

fn settings() -> Outcome<SrSettings> {
    let mut builder = SrSettings::new_builder(std::env::var("BASE_URL")?);
    if let Some((user, password)) = std::env::var("BASIC").ok().as_deref().and_then(|basic| basic.split_once(':')) {
        builder.set_basic_authorization(user, Some(password));
    }
    Ok(builder.no_proxy().build()?)
}

fn schema(more: &str) -> SuppliedSchema {
    let text = format!(
        r#"{{"type":"record","name":"Order","namespace":"outpost.test.rust","fields":[{{"name":"id","type":"string"}},{{"name":"amount","type":"long"}}{more}]}}"#
    );
    SuppliedSchema::new(Some("outpost.test.rust.Order".to_owned()), SchemaType::Avro, text)
}

fn first() -> SuppliedSchema {
    schema("")
}

fn second() -> SuppliedSchema {
    schema(r#",{"name":"note","type":"string","default":""}"#)
}

fn broken() -> SuppliedSchema {
    schema(r#",{"name":"note","type":"string"}"#)
}

fn values() -> Vec<(&'static str, Value)> {
    vec![("id", Value::String("o-1".to_owned())), ("amount", Value::Long(42))]
}

fn order() -> Value {
    Value::Record(values().into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn flat<T>(got: Result<T, SRCError>) -> Outcome<T> {
    Ok(got?)
}

async fn encode(settings: &SrSettings, strategy: SubjectNameStrategy) -> Outcome<Vec<u8>> {
    flat(AvroEncoder::new(settings.clone()).encode(values(), strategy).await)
}

async fn decode(settings: &SrSettings, payload: &[u8]) -> Outcome<Value> {
    Ok(AvroDecoder::new(settings.clone()).decode(Some(payload)).await?.value)
}

fn latest(topic: &str) -> SubjectNameStrategy {
    SubjectNameStrategy::TopicNameStrategy(topic.to_owned(), false)
}

fn registering(topic: &str) -> SubjectNameStrategy {
    SubjectNameStrategy::TopicNameStrategyWithSchema(topic.to_owned(), false, first())
}

fn state_file() -> Outcome<PathBuf> {
    Ok(PathBuf::from(std::env::var("STATE_DIR")?).join("rust.json"))
}

async fn online(steps: &mut Steps, settings: &SrSettings) -> Outcome<()> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos();
    let topic = format!("throwaway-rust-{now:x}");
    let subject = format!("{topic}-value");
    let by_subject = latest(&topic);
    let id = steps.value("register", register(settings, &subject, first()).await).unwrap_or_default();
    steps.step("register again", register(settings, &subject, first()).await, id);
    let found = get_schema_by_id(id, settings).await;
    steps.step("get by id", flat(found.map(|schema| schema.schema.contains("amount"))), true);
    let found = get_schema_by_subject(settings, &by_subject).await;
    steps.step("latest", flat(found.map(|schema| schema.id)), id);
    steps.step("versions", flat(get_all_versions(settings, subject.clone()).await), vec![1]);
    steps.step("subjects", flat(get_all_subjects(settings).await.map(|all| all.contains(&subject))), true);
    steps.step("compatible", flat(is_compatible_schema(settings, subject.clone(), second()).await), true);
    steps.step("incompatible", flat(is_compatible_schema(settings, subject.clone(), broken()).await), false);
    let payload = encode(settings, registering(&topic)).await;
    let payload = steps.value("serialise, schema registered on the way", payload).unwrap_or_default();
    steps.step("serialise with the latest version", encode(settings, latest(&topic)).await, payload.clone());
    steps.step("deserialise", decode(settings, &payload).await, order());
    let newer = register(settings, &subject, second()).await.map(|newer| newer != id);
    steps.step("second version", newer, true);
    steps.step("versions after it", flat(get_all_versions(settings, subject).await), vec![1, 2]);

    let known = encode(settings, registering(TOPIC)).await;
    if let Some(payload) = steps.value("known subject", known) {
        steps.step("known subject, read back", decode(settings, &payload).await, order());
        std::fs::write(state_file()?, serde_json::json!({ "bytes": STANDARD.encode(payload) }).to_string())?;
    }
    Ok(())
}

async fn register(settings: &SrSettings, subject: &str, schema: SuppliedSchema) -> Outcome<u32> {
    Ok(post_schema(settings, subject.to_owned(), schema).await?.id)
}

async fn offline(steps: &mut Steps, settings: &SrSettings) -> Outcome<()> {
    let state: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(state_file()?)?)?;
    let payload = STANDARD.decode(state["bytes"].as_str().ok_or("no bytes in the state file")?)?;
    let id = u32::from_be_bytes(payload[1..5].try_into()?);
    let subject = format!("{TOPIC}-value");
    steps.step("deserialise what was stored", decode(settings, &payload).await, order());
    let sent = encode(settings, registering(TOPIC)).await;
    steps.step("serialise, schema registered on the way", sent, payload.clone());
    steps.step("serialise with the latest version", encode(settings, latest(TOPIC)).await, payload.clone());
    steps.step("register again", register(settings, &subject, first()).await, id);
    let found = get_schema_by_id(id, settings).await;
    steps.step("get by id", flat(found.map(|schema| schema.schema.contains("amount"))), true);
    let found = get_schema_by_subject(settings, &latest(TOPIC)).await;
    steps.step("latest", flat(found.map(|schema| schema.id)), id);
    steps.step("versions", flat(get_all_versions(settings, subject.clone()).await), vec![1]);
    steps.step("subjects", flat(get_all_subjects(settings).await.map(|all| all.contains(&subject))), true);
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<ExitCode> {
    let settings = settings()?;
    let mut steps = Steps::default();
    match std::env::var("PHASE")?.as_str() {
        "online" => online(&mut steps, &settings).await?,
        "offline" => offline(&mut steps, &settings).await?,
        other => return Err(format!("PHASE is online or offline, not {other}").into()),
    }
    println!("{} passed, {} failed", steps.passed, steps.failed);
    Ok(if steps.failed == 0 && steps.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
