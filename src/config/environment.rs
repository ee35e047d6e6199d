//! Settings from the environment: `OUTPOST_PRIMARY__URLS=a,b`, `OUTPOST_LISTENERS__0__BIND=…`.
//!
//! figment's own provider parses values, and so makes a number of a password that is one. Here a
//! value stays the text that it is, until a setting of another type asks for it.

use std::collections::BTreeMap;
use std::ffi::OsString;

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

use super::places::is_at_or_below;

/// What begins the name of a variable.
const PREFIX: &str = "OUTPOST_";

/// Variables with the prefix that are arguments of the program and no settings.
const ARGUMENTS: [&str; 1] = ["OUTPOST_CONFIG"];

/// The environment of this process. What is not UTF-8 is made so, and then fails where it is used.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    let text = |part: OsString| part.to_string_lossy().into_owned();
    std::env::vars_os().map(move |(name, value)| (text(name), text(value)))
}

/// The variables that are meant for us.
#[derive(Debug, Default)]
pub(super) struct Variables {
    settings: Dict,
    /// Names by key.
    pub(super) names: BTreeMap<String, String>,
}

impl Variables {
    /// Sorts the environment out. Entries of lists are laid over those of the `file`, by their index.
    pub(super) fn collect(environment: impl Iterator<Item = (String, String)>, file: &Dict) -> Self {
        let mut variables = Self::default();
        for (name, text) in environment {
            let Some(key) = name.strip_prefix(PREFIX).filter(|_| !ARGUMENTS.contains(&name.as_str())) else { continue };
            let path: Vec<String> = key.to_ascii_lowercase().split("__").map(str::to_owned).collect();
            put(&mut variables.settings, &path, text);
            variables.names.insert(path.join("."), name);
        }
        let lists: Vec<String> = variables.settings.keys().cloned().collect();
        for key in lists {
            if let Some(value) = variables.settings.remove(&key) {
                let value = with_lists(value, file.get(&key));
                variables.settings.insert(key, value);
            }
        }
        variables
    }
}

impl Variables {
    /// The keys that were set as a whole although something below them was set too, as with
    /// `OUTPOST_LOG=…` beside `OUTPOST_LOG__LEVEL=…`: the value of the first counts for nothing.
    pub(super) fn shadowed(&self) -> impl Iterator<Item = &str> {
        let is_above = |key: &str, other: &str| other != key && is_at_or_below(other, key);
        let keys = self.names.keys().map(String::as_str);
        keys.filter(move |key| self.names.keys().any(|other| is_above(key, other)))
    }
}

impl Provider for Variables {
    fn metadata(&self) -> Metadata {
        Metadata::named("environment")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.settings.clone()))
    }
}

fn put(settings: &mut Dict, path: &[String], text: String) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        settings.entry(first.clone()).or_insert_with(|| Value::from(text));
        return;
    }
    let below = settings.entry(first.clone()).or_insert_with(|| Value::from(Dict::new()));
    if !matches!(below, Value::Dict(..)) {
        *below = Value::from(Dict::new());
    }
    if let Value::Dict(_, below) = below {
        put(below, rest, text);
    }
}

/// Turns what has only numbers for names into the list that is meant.
fn with_lists(value: Value, file: Option<&Value>) -> Value {
    let Value::Dict(tag, settings) = value else { return value };
    let is_list = !settings.is_empty() && settings.keys().all(|key| key.parse::<usize>().is_ok());
    if !is_list {
        let below = |key: &str| file.and_then(|file| file.find_ref(key));
        let settings = settings.into_iter().map(|(key, value)| {
            let value = with_lists(value, below(&key));
            (key, value)
        });
        return Value::Dict(tag, settings.collect());
    }
    let mut list = file.and_then(Value::as_array).map(<[Value]>::to_vec).unwrap_or_default();
    let mut entries: Vec<(usize, Value)> =
        settings.into_iter().filter_map(|(key, value)| Some((key.parse().ok()?, value))).collect();
    entries.sort_by_key(|(index, _)| *index);
    for (index, value) in entries {
        match list.get_mut(index) {
            Some(entry) => *entry = over(entry.clone(), value),
            // A gap is closed: the second of two listeners may be called 1 or 7.
            None => list.push(with_lists(value, None)),
        }
    }
    Value::Array(tag, list)
}

fn over(below: Value, above: Value) -> Value {
    match (below, above) {
        (Value::Dict(tag, mut below), Value::Dict(_, above)) => {
            for (key, value) in above {
                let merged = match below.remove(&key) {
                    Some(old) => over(old, value),
                    None => with_lists(value, None),
                };
                below.insert(key, merged);
            }
            Value::Dict(tag, below)
        }
        (below, above) => with_lists(above, Some(&below)),
    }
}
