//! What makes an answer the recorded one: status, headers, framing and body, outside of what varies by its nature.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::house::Heard;

/// An answer as far as it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// Without chunks and without gzip.
    pub body: Vec<u8>,
    pub framing: &'static str,
}

impl Answer {
    /// What was recorded.
    pub fn recorded(line: &Value) -> Self {
        let response = &line["response"];
        let text = |value: &Value| value.as_str().map(|text| text.as_bytes().to_vec());
        let encoded = || response["body_base64"].as_str().map(|text| STANDARD.decode(text).expect("base64"));
        let body = text(&response["body_gunzipped"]).or_else(|| text(&response["body"])).or_else(encoded);
        let pair = |header: &Value| {
            (header[0].as_str().expect("a name").to_owned(), header[1].as_str().expect("a value").to_owned())
        };
        Self {
            status: response["status"].as_u64().and_then(|status| u16::try_from(status).ok()).expect("a status"),
            headers: response["headers"].as_array().expect("headers").iter().map(pair).collect(),
            body: body.unwrap_or_default(),
            framing: match response["framing"].as_str() {
                Some("chunked") => "chunked",
                Some("none") => "none",
                _ => "length",
            },
        }
    }

    /// What was heard on a socket.
    pub fn heard(heard: &Heard, is_head: bool) -> Self {
        let framing = match (heard.header("Transfer-Encoding"), heard.header("Content-Length")) {
            _ if is_head => "none",
            (Some(_), _) => "chunked",
            (None, Some(_)) => "length",
            (None, None) => "none",
        };
        Self { status: heard.status, headers: heard.headers.clone(), body: heard.bytes.clone(), framing }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The names of the headers that are the registry's: not those of the clock, the connection or an outage.
    fn names(&self) -> BTreeSet<String> {
        let names = self.headers.iter().map(|(name, _)| name.to_ascii_lowercase());
        names.filter(|name| !matches!(name.as_str(), "date" | "connection" | "age")).collect()
    }

    /// How it is framed; a HEAD has no body to frame, but may say how long that would be.
    fn frame(&self) -> (&'static str, Option<&str>) {
        (self.framing, self.header("Content-Length").filter(|_| self.framing == "none"))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// What may differ from run to run in a body.
#[derive(Clone, Debug, Default)]
pub struct Varying<'a> {
    pointers: Vec<&'a str>,
    is_unordered: bool,
}

impl<'a> Varying<'a> {
    pub fn of(line: &'a Value) -> Self {
        let names = line["volatile"].as_array().into_iter().flatten().filter_map(Value::as_str);
        Self {
            pointers: names.filter(|name| name.starts_with('/')).collect(),
            is_unordered: line["unordered"] == Value::Bool(true),
        }
    }

    fn masked(&self, body: &[u8]) -> Option<String> {
        let mut value: Value = serde_json::from_slice(body).ok()?;
        self.pointers.iter().for_each(|pointer| mask(&mut value, &pointer[1..]));
        if let (true, Value::Array(items)) = (self.is_unordered, &mut value) {
            items.sort_by_key(ToString::to_string);
        }
        Some(value.to_string())
    }
}

fn mask(value: &mut Value, pointer: &str) {
    let (first, rest) = pointer.split_once('/').unwrap_or((pointer, ""));
    let step = |child: &mut Value| {
        if rest.is_empty() { *child = Value::Null } else { mask(child, rest) }
    };
    match value {
        Value::Array(items) if first == "*" => items.iter_mut().for_each(step),
        Value::Array(items) => {
            first.parse::<usize>().ok().and_then(|index| items.get_mut(index)).into_iter().for_each(step);
        }
        Value::Object(members) if first == "*" => members.values_mut().for_each(step),
        Value::Object(members) => members.get_mut(first).into_iter().for_each(step),
        _ => {}
    }
}

/// What of an answer differs from the expected one, if anything does.
pub fn difference(expected: &Answer, heard: &Answer, varying: &Varying<'_>, asked_id: Option<&str>) -> Option<String> {
    if heard.status != expected.status {
        return Some(format!("status {} instead of {}: {}", heard.status, expected.status, heard.text()));
    }
    if heard.names() != expected.names() {
        return Some(format!("headers {:?} instead of {:?}", heard.names(), expected.names()));
    }
    for name in ["Content-Type", "Vary", "Content-Encoding", "Cache-Control", "Allow"] {
        if heard.header(name) != expected.header(name) {
            return Some(format!("{name} {:?} instead of {:?}", heard.header(name), expected.header(name)));
        }
    }
    if heard.frame() != expected.frame() {
        return Some(format!("framed {:?} instead of {:?}", heard.frame(), expected.frame()));
    }
    let is_echoed = asked_id.is_some() && expected.header("X-Request-ID") == asked_id;
    match heard.header("X-Request-ID") {
        Some(id) if is_echoed && Some(id) != asked_id => return Some(format!("request id {id:?} for {asked_id:?}")),
        Some(id) if !is_echoed && !is_random(id) => return Some(format!("request id {id:?}, which is no UUID")),
        _ => {}
    }
    if heard.body == expected.body {
        return None;
    }
    match (varying.masked(&heard.body), varying.masked(&expected.body)) {
        (Some(heard), Some(expected)) if heard == expected => None,
        _ => Some(format!("body\n    {}\n  instead of\n    {}", heard.text(), expected.text())),
    }
}

fn is_random(id: &str) -> bool {
    id.len() == 36 && id.as_bytes()[14] == b'4' && id.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}
