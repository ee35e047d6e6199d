//! Requests: every row of the table, names of every kind, in every spelling.

use http::Method;

use super::chance::Chance;
use super::sites::Site;
use crate::protocol::endpoints::{ENDPOINTS, Endpoint};

/// What the grammar takes for something, and what paths and JSON do.
const PIECES: &[&str] = &[
    ":",
    ".",
    ":.",
    ":.:",
    ":*:",
    "*",
    "..",
    "/",
    "%",
    "%2F",
    "%3A",
    " ",
    "+",
    ";",
    "?",
    "#",
    "&",
    "=",
    "\u{1f6d2}",
    "\"",
    "'",
    "\\",
    "__GLOBAL",
    "site1",
    ":.site1:",
    "x",
    "y",
    "é",
    "\u{2028}",
    "a",
    "B",
    "1",
    "latest",
    "-",
    "subjects",
    "contexts",
];

/// A name, empty now and then.
pub(super) fn name(chance: &mut Chance) -> String {
    if chance.is(40) {
        return (chance.one(&["s", "orders", "a.b", "x y", "a/b", ".."])).to_owned();
    }
    (0..chance.below(5)).map(|_| chance.one(PIECES)).collect()
}

/// The name of a context, ours or not.
pub(super) fn context(chance: &mut Chance, site: &Site) -> String {
    if chance.is(90) { (chance.one(site.contexts)).to_owned() } else { format!(".{}", name(chance).replace(':', "")) }
}

/// A subject, in any of the ways in which it is written.
pub(super) fn subject(chance: &mut Chance, site: &Site) -> String {
    let plain = name(chance);
    match chance.below(10) {
        0..4 => plain,
        4 => format!(":.:{plain}"),
        5 => format!(":{}", context(chance, site)),
        6 => format!(":{}:", context(chance, site)),
        _ => format!(":{}:{plain}", context(chance, site)),
    }
}

/// A text as it may stand in a path or a query.
fn escaped(chance: &mut Chance, text: &str, is_query: bool) -> String {
    let is_lower = chance.is(30);
    let eagerness = chance.one(&[0, 0, 5, 60, 100]);
    let mut out = String::new();
    for letter in text.chars() {
        let is_plain = letter.is_ascii_alphanumeric() || "-._~".contains(letter);
        let is_raw = is_plain || ":*!'(),$@".contains(letter) || (letter == '+' && !is_query);
        let is_blank = is_query && letter == ' ' && chance.is(50);
        if is_blank {
            out.push('+');
        } else if is_raw && !chance.is(eagerness) {
            out.push(letter);
        } else {
            for byte in letter.to_string().bytes() {
                out.push_str(&if is_lower { format!("%{byte:02x}") } else { format!("%{byte:02X}") });
            }
        }
    }
    out
}

/// A request, not understood yet.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) row: &'static Endpoint,
    pub(super) method: Method,
    pub(super) target: String,
}

impl Request {
    pub(super) fn of(chance: &mut Chance, site: &Site) -> Self {
        let row = &ENDPOINTS[chance.below(ENDPOINTS.len())];
        let mut target = String::new();
        for _ in 0..chance.below(10).saturating_sub(7) {
            let context = context(chance, site);
            let bare = context.trim_start_matches('.');
            let context = match chance.below(6) {
                0..3 => context,
                3 => bare.to_owned(),
                _ => format!(":{context}:"),
            };
            target.push_str(&format!("/contexts/{}", escaped(chance, &context, false)));
        }
        for word in row.path.split('/').filter(|word| !word.is_empty()) {
            target.push('/');
            let text = match word {
                "{subject}" => subject(chance, site),
                "{version}" => (chance.one(&["1", "latest", "-1", "0", " 1", "x"])).to_owned(),
                "{id}" => (chance.one(&["1", "7", "0", "-1", "99999999999", "x"])).to_owned(),
                "{context}" => context(chance, site),
                name_of if name_of.starts_with('{') => name(chance),
                fixed => {
                    target.push_str(fixed);
                    String::new()
                }
            };
            target.push_str(&escaped(chance, &text, false));
            if chance.is(2) {
                target.push_str(chance.one(&[";", ";a=b", ";a=:.site2:"]));
            }
        }
        if target.is_empty() || chance.is(5) {
            target.push('/');
        }
        let query = query(chance, site, row);
        if !query.is_empty() || chance.is(2) {
            target.push('?');
            target.push_str(&query);
        }
        if chance.is(3) {
            spoil(chance, &mut target);
        }
        let method = if row.method == "GET" && chance.is(10) { "HEAD" } else { row.method };
        Self { row, method: Method::from_bytes(method.as_bytes()).expect("a method"), target }
    }
}

fn query(chance: &mut Chance, site: &Site, row: &Endpoint) -> String {
    let mut pairs = Vec::new();
    for parameter in row.parameters {
        for _ in 0..(chance.below(8).saturating_sub(4)).min(2) {
            pairs.push((*parameter, value(chance, site, parameter)));
        }
    }
    if chance.is(10) {
        let parameter = chance.one(&["subject", "subjectPrefix", "context", "unknown", "a b", "deleted"]);
        pairs.push((parameter, value(chance, site, parameter)));
    }
    let mut written = Vec::new();
    for (parameter, value) in pairs {
        let value = escaped(chance, &value, true);
        let parameter = if chance.is(3) {
            format!("%{:02X}{}", parameter.as_bytes()[0], &parameter[1..])
        } else {
            parameter.replace(' ', "%20")
        };
        written.push(if value.is_empty() && chance.is(50) { parameter } else { format!("{parameter}={value}") });
    }
    written.join("&")
}

fn value(chance: &mut Chance, site: &Site, parameter: &str) -> String {
    match parameter {
        "subject" => subject(chance, site),
        "subjectPrefix" => match chance.below(6) {
            0 => ":*:".to_owned(),
            1 => format!(":*:{}", name(chance)),
            2 => format!(":{}", context(chance, site)),
            _ => subject(chance, site),
        },
        "context" => format!(":{}:", context(chance, site)),
        "contextPrefix" => context(chance, site),
        "referenceFormat" => (chance.one(&["qualified", "QUALIFIED", ""])).to_owned(),
        "offset" | "limit" => (chance.one(&["1", "0", "-1", "x", ""])).to_owned(),
        _ => match chance.below(3) {
            0 => "true".to_owned(),
            1 => name(chance),
            _ => String::new(),
        },
    }
}

/// Changes a byte or two, as long as a text remains.
fn spoil(chance: &mut Chance, target: &mut String) {
    let mut bytes = std::mem::take(target).into_bytes();
    for _ in 0..=chance.below(2) {
        let at = chance.below(bytes.len());
        match chance.below(3) {
            0 => bytes[at] = chance.one(b"/%.:;?&=2F\\ \x01\"+x"),
            1 if bytes.len() > 1 => drop(bytes.remove(at)),
            _ => bytes.insert(at, chance.one(b"/%.:;?&=2F\\ \x01\"+x")),
        }
    }
    *target = String::from_utf8_lossy(&bytes).into_owned();
}
