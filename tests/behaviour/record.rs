//! The record of a real registry: its scenarios, and how an exchange of theirs is had again.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use small_registry::SmallRegistry;

use crate::alike::Answer;
use crate::house::{House, raw, read};

/// The folder of the whole record where there is one, else of the sample that is checked in.
fn folder() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let whole = root.join("../shared/transcripts/confluent-8.3");
    if whole.is_dir() { whole } else { root.join("small-registry/tests/data") }
}

pub struct Scenario {
    pub name: String,
    pub lines: Vec<Value>,
    /// What the small registry is known to answer otherwise than the recorded one.
    unlike: HashSet<i64>,
}

impl Scenario {
    /// A small registry that has what the recorded one had.
    pub fn registry(&self) -> small_registry::Builder {
        let registry = SmallRegistry::builder();
        if self.name.ends_with("-dek") { registry.dek_registry() } else { registry }
    }

    /// The name of an exchange in a report.
    pub fn name_of(&self, line: &Value) -> String {
        let (method, target) = (&line["request"]["method"], &line["request"]["target"]);
        let target: String = target.as_str().unwrap_or_default().chars().take(120).collect();
        format!("{} {} {} {target}", self.name, number(line), method.as_str().unwrap_or_default())
    }

    pub fn is_unlike(&self, line: &Value) -> bool {
        self.unlike.contains(&number(line))
    }

    /// The parts of a scenario of which each begins at a checkpoint and has no write: how many lines lie
    /// before it, and its own. The sample has no checkpoints; what follows its last write is such a part too.
    pub fn pauses(&self) -> Vec<(usize, &[Value])> {
        let is = |line: &Value, kind: &str| line["kind"] == kind;
        let all = |kind| self.lines.iter().enumerate().filter(move |(_, line)| is(line, kind)).map(|(at, _)| at);
        let mut begins: Vec<usize> = all("checkpoint").map(|at| at + 1).collect();
        if begins.is_empty() {
            begins.extend(all("write").next_back().map(|at| at + 1));
        }
        let pause = |at: usize| {
            let rest = &self.lines[at..];
            let end = rest.iter().position(|line| is(line, "write") || is(line, "checkpoint")).unwrap_or(rest.len());
            (at, &rest[..end])
        };
        begins.into_iter().map(pause).filter(|(_, lines)| !lines.is_empty()).collect()
    }
}

pub fn number(line: &Value) -> i64 {
    line["n"].as_i64().expect("a number")
}

pub fn scenarios() -> Vec<Scenario> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let known = std::fs::read_to_string(root.join("small-registry/tests/known-differences.json")).expect("the list");
    let known: Value = serde_json::from_str(&known).expect("JSON");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder())
        .expect("the record")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "jsonl"))
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).expect("readable");
            // The whole record begins with a line about itself, the sample does not.
            let lines = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
            let lines = lines.filter(|line: &Value| line["kind"].is_string()).collect();
            let unlike = known[&name].as_array().into_iter().flatten().filter_map(Value::as_i64).collect();
            Scenario { name, lines, unlike }
        })
        .collect()
}

/// The outpost's own table answers these, if their path is one.
pub fn is_about_modes(line: &Value) -> bool {
    let target = line["request"]["target"].as_str().unwrap_or_default();
    if target.contains("//") {
        return false;
    }
    let mut words = target.split(['?', '#']).next().unwrap_or_default().split('/').skip(1).peekable();
    while words.next_if(|word| *word == "contexts").is_some() {
        words.next();
    }
    words.next() == Some("mode")
}

fn text<'a>(line: &'a Value, name: &str) -> &'a str {
    line["request"][name].as_str().expect("text")
}

/// All fields of the request as they go over the wire, but for those of the connection.
fn fields(line: &Value) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    if line["request"]["host"] != Value::Bool(false) {
        fields.push(("Host".to_owned(), "registry".to_owned()));
    }
    for header in line["request"]["headers"].as_array().expect("headers") {
        let text = |at: usize| header[at].as_str().expect("text").to_owned();
        fields.push((text(0), text(1)));
    }
    if let Some(body) = body(line) {
        fields.push(("Content-Length".to_owned(), body.len().to_string()));
    }
    fields
}

fn body(line: &Value) -> Option<Vec<u8>> {
    let request = &line["request"];
    let encoded = request["body_base64"].as_str().map(|text| STANDARD.decode(text).expect("base64"));
    encoded.or_else(|| request["body"].as_str().map(|text| text.as_bytes().to_vec()))
}

/// The request id that was sent, if there was just one.
pub fn request_id(line: &Value) -> Option<String> {
    let mut ids = fields(line).into_iter().filter(|(name, _)| name.eq_ignore_ascii_case("x-request-id"));
    let first = ids.next().map(|(_, id)| id);
    first.filter(|id| ids.next().is_none() && !id.trim().is_empty())
}

/// Sends the request of a line, with some fields more, and hears the answer.
pub async fn replay(address: SocketAddr, line: &Value, more: &[(&str, &str)]) -> Answer {
    let method = text(line, "method");
    let mut head = format!("{method} {} HTTP/1.1\r\n", text(line, "target"));
    let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    for (name, value) in fields(line).into_iter().chain(more) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("Connection: close\r\n\r\n");
    let request = [head.as_bytes(), &body(line).unwrap_or_default()].concat();
    Answer::heard(&read(&raw(address, &request).await), method == "HEAD")
}

/// Has the primary carry out the request of a line, past the outpost.
pub fn carry_out(primary: &SmallRegistry, line: &Value) {
    let mut headers = HeaderMap::new();
    for (name, value) in fields(line) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(&name), HeaderValue::from_bytes(value.as_bytes())) {
            headers.append(name, value);
        }
    }
    primary.ask_with(text(line, "method"), text(line, "target"), &headers, body(line).as_deref());
}

/// A house whose primary has carried out the writes among some lines, and that has imported them.
pub async fn house_after(registry: small_registry::Builder, lines: &[Value]) -> House {
    let house = House::with(registry, |_| {}).await;
    lines.iter().filter(|line| line["kind"] == "write").for_each(|line| carry_out(&house.primary, line));
    house.imported().await;
    house
}

/// How a request that no well-behaved client sends is answered otherwise than recorded, because it was
/// decided so.
pub enum Otherwise {
    /// With the same status, in the registry's JSON or without a word: only the status is compared.
    InOwnWords(&'static str),
    /// Where the registry refuses, it is served.
    Served(&'static str),
}

pub fn otherwise(line: &Value) -> Option<Otherwise> {
    use Otherwise::{InOwnWords, Served};
    let target = line["request"]["target"].as_str().unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    let has = |marks: &[&str]| marks.iter().any(|mark| path.contains(mark));
    let values = |name: &str| {
        let values = fields(line).into_iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        values.map(|(_, value)| value).collect::<Vec<_>>()
    };
    let (hosts, lengths) = (values("Host"), values("Content-Length"));
    let is_coded = !values("Transfer-Encoding").is_empty();
    let is_twice = lengths.len() > 1 && lengths.iter().all(|length| *length == lengths[0]);
    let is_large = matches!(line["response"]["status"].as_u64(), Some(414 | 431));
    let grounds = [
        (has(&["%/", "%zz", "%ce", "%FF", "%u0"]), InOwnWords("an escape that is none, or no UTF-8 (FAULTS.md P-05)")),
        (
            has(&["%00", "%01", "%09", "%0A", "%7F", "\\"]),
            InOwnWords("a control character or a backslash (FAULTS.md P-05)"),
        ),
        (has(&["<", "`"]), InOwnWords("a character that ends the line for our parser")),
        (target.starts_with("http://"), Served("a host in the target and another one (RFC 9112 § 3.2.2)")),
        (target.contains(' ') || !target.starts_with('/'), InOwnWords("a request line that is none")),
        (hosts.len() != 1 || hosts[0].is_empty(), InOwnWords("not one host")),
        (is_twice, Served("one length, said twice (RFC 9110 § 8.6)")),
        (lengths.len() > 1 || lengths.iter().any(|length| length.parse::<u64>().is_err()), InOwnWords("no length")),
        (!lengths.is_empty() && is_coded, InOwnWords("two ways to end a body")),
        (fields(line).iter().any(|(name, _)| name.contains(' ')), InOwnWords("a field name that is none")),
        (is_large, Served("a head that only the registry is too small for")),
    ];
    grounds.into_iter().find(|(applies, _)| *applies).map(|(_, otherwise)| otherwise)
}
