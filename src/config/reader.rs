//! From loose settings to typed ones, with every problem found on the way.
//!
//! serde stops at the first problem. So the setting that it stopped at is taken out, and everything
//! is read once more, until nothing is left to complain about.

use std::fmt;

use figment::value::{Dict, Value};
use serde::Deserialize as _;
use serde::de::Error as _;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{
    self, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use super::places::Places;
use super::{Config, Problem};

const SECTION: &str = "expected settings of its own below it";

/// What could be read.
pub(super) struct Read {
    pub(super) config: Config,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

/// Reads all that can be read. Unknown settings are problems in a file and warnings in the
/// environment: a Kubernetes service called `outpost` puts a dozen variables there.
pub(super) fn read(mut settings: Value, places: &Places, mut problems: Vec<Problem>) -> Read {
    let mut warnings = Vec::new();
    loop {
        let error = match Config::deserialize(Cursor { value: &settings, key: String::new(), places }) {
            Ok(config) => return Read { config, problems, warnings },
            Err(error) => error,
        };
        let key = error.key.clone().unwrap_or_default();
        if error.unknown && places.is_of_environment(&key) {
            let variable = places.variable_of(&key).unwrap_or_default();
            warnings.push(Problem::new(variable, &key, format!("{}, ignored", error.message)));
        } else if problems.last().is_none_or(|last| last.key != key) {
            problems.push(Problem::new(places.of(&key), &key, error.message));
        }
        if !remove(&mut settings, &key) {
            return Read { config: Config::default(), problems, warnings };
        }
    }
}

/// Takes out the setting at `key`, or what is around it when that is not there at all. Sections that
/// have nothing left go too: `credentials` without its only content would be a problem of our making.
fn remove(settings: &mut Value, key: &str) -> bool {
    let (mut key, mut removed) = (key, false);
    loop {
        let (parent, name) = key.rsplit_once('.').unwrap_or(("", key));
        match if parent.is_empty() { Some(&mut *settings) } else { find(settings, parent) } {
            Some(Value::Dict(_, map)) => {
                removed |= map.remove(name).is_some();
                if removed && !map.is_empty() {
                    return true;
                }
            }
            Some(Value::Array(_, list)) => {
                // Emptied and not removed, so that the entries behind it keep their index.
                let empty = Value::from(Dict::new());
                let entry = name.parse().ok().and_then(|index: usize| list.get_mut(index));
                removed |= entry.is_some_and(|entry| std::mem::replace(entry, empty.clone()) != empty);
                if removed {
                    return true;
                }
            }
            _ => {}
        }
        if parent.is_empty() {
            return removed;
        }
        key = parent;
    }
}

fn find<'a>(settings: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    key.split('.').try_fold(settings, |value, part| match value {
        Value::Dict(_, map) => map.get_mut(part),
        Value::Array(_, list) => part.parse::<usize>().ok().and_then(|index| list.get_mut(index)),
        _ => None,
    })
}

/// Why reading stopped, in words that repeat no value.
#[derive(Debug)]
struct Stopped {
    key: Option<String>,
    message: String,
    unknown: bool,
}

impl Stopped {
    fn at(mut self, key: &str) -> Self {
        self.key.get_or_insert_with(|| key.to_owned());
        self
    }

    fn below(mut self, key: &str, name: &str) -> Self {
        if self.unknown && self.key.is_none() {
            self.key = Some(join(key, name));
        }
        self.at(key)
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Stopped {}

impl de::Error for Stopped {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = match message.to_string() {
            said if said.contains("socket address") => "expected an address with a port such as 127.0.0.1:8081".into(),
            said => said,
        };
        Self { key: None, message, unknown: false }
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = match expected.to_string().as_str() {
            "a duration" => "a duration such as 10s or 5m".to_owned(),
            "an integer or string" | "parsable string" => "a size such as 64MiB".to_owned(),
            "socket address" => "an address with a port such as 127.0.0.1:8081".to_owned(),
            "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number".to_owned(),
            "path string" => "a path".to_owned(),
            "a sequence" => "a list".to_owned(),
            expected if expected.starts_with("enum ") || expected == "variant identifier" => {
                "one name below it".to_owned()
            }
            expected => expected.to_owned(),
        };
        Self { key: None, message: format!("expected {expected}"), unknown: false }
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        match found {
            Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => {
                Self { key: None, message: "this number is out of range".to_owned(), unknown: false }
            }
            found => Self::invalid_type(found, expected),
        }
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        let message = format!("unknown setting; known here are {}", expected.join(", "));
        Self { key: None, message, unknown: true }
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self { key: None, message: format!("expected one of {}", expected.join(", ")), unknown: false }
    }

    fn missing_field(field: &'static str) -> Self {
        Self { key: None, message: format!("{field} is missing here"), unknown: false }
    }
}

fn join(key: &str, part: &str) -> String {
    if key.is_empty() { part.to_owned() } else { format!("{key}.{part}") }
}

/// One setting, and where it stands.
struct Cursor<'a> {
    value: &'a Value,
    key: String,
    places: &'a Places,
}

impl<'a> Cursor<'a> {
    /// The text of a variable; a text of the file is not read as anything else.
    fn variable(&self) -> Option<&'a str> {
        self.value.as_str().filter(|_| self.places.is_variable(&self.key))
    }

    fn integer<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stopped> {
        match self.variable().map(|text| text.trim().parse::<u64>()) {
            Some(Ok(number)) => visitor.visit_u64(number).map_err(|error: Stopped| error.at(&self.key)),
            _ => self.deserialize_any(visitor),
        }
    }
}

macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stopped> {
            self.integer(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Cursor<'_> {
    type Error = Stopped;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stopped> {
        let Self { value, key, places } = self;
        let result = match value {
            Value::String(_, text) => visitor.visit_str(text),
            Value::Char(_, char) => visitor.visit_char(*char),
            Value::Bool(_, bool) => visitor.visit_bool(*bool),
            Value::Num(..) => match (value.to_u128(), value.to_i128(), value.to_f64()) {
                (Some(number), ..) => match u64::try_from(number) {
                    Ok(number) => visitor.visit_u64(number),
                    Err(_) => Err(de::Error::custom("this number is out of range")),
                },
                (_, Some(number), _) => match i64::try_from(number) {
                    Ok(number) => visitor.visit_i64(number),
                    Err(_) => Err(de::Error::custom("this number is out of range")),
                },
                (_, _, number) => visitor.visit_f64(number.unwrap_or(f64::NAN)),
            },
            Value::Empty(..) => visitor.visit_unit(),
            Value::Dict(_, map) => {
                visitor.visit_map(Entries { entries: map.iter(), value: None, key: key.clone(), name: "", places })
            }
            Value::Array(_, list) => {
                visitor.visit_seq(Elements { list: list.iter().enumerate(), key: key.clone(), places })
            }
        };
        result.map_err(|error| error.at(&key))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stopped> {
        match self.variable().map(|text| text.trim().to_ascii_lowercase()).as_deref() {
            Some("true") => visitor.visit_bool(true),
            Some("false") => visitor.visit_bool(false),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stopped> {
        match self.variable() {
            Some(text) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                let list =
                    de::value::SeqDeserializer::<_, Stopped>::new(parts.map(IntoDeserializer::into_deserializer));
                visitor.visit_seq(list).map_err(|error| error.at(&self.key))
            }
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stopped> {
        match self.value {
            Value::Dict(..) => self.deserialize_any(visitor),
            // serde would take a list for the settings in the order in which they are declared.
            _ => Err(Stopped::custom(SECTION).at(&self.key)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stopped> {
        match self.value {
            Value::Empty(..) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Stopped> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stopped> {
        let Self { value, key, places } = self;
        let expected = || format!("expected one of {}", variants.join(", "));
        let result = match value {
            Value::String(_, text) => visitor.visit_enum(StrDeserializer::<Stopped>::new(text)),
            Value::Dict(_, map) if map.len() > 1 => {
                Err(de::Error::custom(format!("expected only one of {}", variants.join(", "))))
            }
            Value::Dict(_, map) => {
                let entries = Entries { entries: map.iter(), value: None, key: key.clone(), name: "", places };
                visitor.visit_enum(MapAccessDeserializer::new(entries))
            }
            _ => Err(de::Error::custom(expected())),
        };
        result.map_err(|error| error.at(&key))
    }

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
    }

    forward_to_deserialize_any! {
        f32 f64 char str string bytes byte_buf unit unit_struct tuple tuple_struct map identifier ignored_any
    }
}

struct Entries<'a> {
    entries: std::collections::btree_map::Iter<'a, String, Value>,
    value: Option<&'a Value>,
    key: String,
    name: &'a str,
    places: &'a Places,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Stopped;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Stopped> {
        let Some((name, value)) = self.entries.next() else { return Ok(None) };
        (self.name, self.value) = (name, Some(value));
        let key = seed.deserialize(StrDeserializer::<Stopped>::new(name));
        key.map(Some).map_err(|error| error.below(&self.key, name))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Stopped> {
        let value = self.value.take().expect("BUG: serde asks for a value after its key");
        let key = join(&self.key, self.name);
        // What a type says after it has taken the value is of the value too.
        seed.deserialize(Cursor { value, key: key.clone(), places: self.places }).map_err(|error| error.at(&key))
    }
}

struct Elements<'a> {
    list: std::iter::Enumerate<std::slice::Iter<'a, Value>>,
    key: String,
    places: &'a Places,
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Stopped;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Stopped> {
        let Some((index, value)) = self.list.next() else { return Ok(None) };
        let key = join(&self.key, &index.to_string());
        let element = seed.deserialize(Cursor { value, key: key.clone(), places: self.places });
        element.map(Some).map_err(|error| error.at(&key))
    }
}
