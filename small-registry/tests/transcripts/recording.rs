//! The recorded exchanges, as the tests read them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

/// A line of a recording: an exchange, or a note between exchanges.
#[derive(Deserialize)]
pub struct Line {
    #[serde(default)]
    pub n: u32,
    #[serde(default)]
    pub kind: String,
    pub request: Option<Request>,
    pub response: Option<Recorded>,
    #[serde(default)]
    pub volatile: Vec<String>,
    #[serde(default)]
    pub unordered: bool,
}

#[derive(Deserialize)]
pub struct Request {
    pub method: String,
    pub target: String,
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    pub body: Option<String>,
    body_base64: Option<String>,
    /// Whether the recorder added a `Host` of its own.
    #[serde(default = "yes")]
    host: bool,
}

fn yes() -> bool {
    true
}

impl Request {
    /// All headers as they went over the wire.
    pub fn all_headers(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        if self.host {
            all.push(("Host".to_owned(), "registry".to_owned()));
        }
        all.extend(self.headers.iter().cloned());
        if let Some(body) = self.bytes() {
            all.push(("Content-Length".to_owned(), body.len().to_string()));
        }
        all
    }

    pub fn bytes(&self) -> Option<Vec<u8>> {
        let encoded = self.body_base64.as_ref();
        let decoded = encoded.map(|text| STANDARD.decode(text).expect("the recording is base64 where it says so"));
        decoded.or_else(|| self.body.as_ref().map(|text| text.clone().into_bytes()))
    }
}

#[derive(Deserialize)]
pub struct Recorded {
    pub status: u16,
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    pub body: Option<String>,
    pub body_gunzipped: Option<String>,
}

pub fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

pub type Known = BTreeMap<String, BTreeSet<u32>>;

pub fn manifest(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The whole recording, where it is at hand.
pub fn whole() -> Option<PathBuf> {
    let given = std::env::var_os("TRANSCRIPTS").map(PathBuf::from);
    let near = ["../../shared", "../../../shared"].map(|shared| manifest(shared).join("transcripts/confluent-8.3"));
    given.into_iter().chain(near).find(|folder| folder.is_dir())
}

/// Names and texts of the scenarios in a folder.
pub fn scenarios(folder: &Path) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    let read = |file: &PathBuf| {
        let name = file.file_stem().expect("it has a name").to_string_lossy().into_owned();
        (name, std::fs::read_to_string(file).expect("it can be read"))
    };
    files.iter().map(read).collect()
}

pub fn known_differences() -> Known {
    let text = std::fs::read_to_string(manifest("tests/known-differences.json")).expect("the list is checked in");
    serde_json::from_str(&text).expect("the list is JSON")
}
