//! A configuration file: its settings, and the line of each.

use std::collections::BTreeMap;
use std::path::Path;

use figment::providers::{Format, Toml};
use figment::value::Dict;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Spanned};
use toml_edit::{Item, Value};

use super::Problem;

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) name: String,
    pub(super) settings: Dict,
    pub(super) lines: BTreeMap<String, usize>,
}

/// YAML as figment wants a format, in the strict reading: `no` is a text, `012` is a text, no key comes twice.
struct Yaml;

impl Format for Yaml {
    type Error = serde_saphyr::Error;

    const NAME: &'static str = "YAML";

    fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, Self::Error> {
        let options = serde_saphyr::options! {
            strict_booleans: true,
            leading_zero_numbers_as_strings: true,
            underscored_numbers_as_strings: true,
            duplicate_keys: DuplicateKeyPolicy::Error,
        };
        serde_saphyr::from_str_with_options(text, options)
    }
}

impl Document {
    pub(super) fn read(path: &Path) -> Result<Self, Problem> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Problem::new(&name, "", format!("cannot read the configuration: {error}")))?;
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("yaml" | "yml" | "json") => Self::yaml(name, &text),
            Some("toml") => Self::toml(name, &text),
            _ => Err(Problem::new(name, "", "expected a file called .yaml, .yml, .json or .toml")),
        }
    }

    fn yaml(name: String, text: &str) -> Result<Self, Problem> {
        let broken = |error: serde_saphyr::Error| {
            let line = error.location().and_then(|location| usize::try_from(location.line()).ok());
            unparsable(&name, text, line, &error.without_snippet().to_string())
        };
        let settings: Option<Dict> = Yaml::from_str(text).map_err(broken)?;
        let tree: Option<Spanned<Tree>> = Yaml::from_str(text).map_err(broken)?;
        let mut lines = BTreeMap::new();
        if let Some(tree) = tree {
            tree.value.collect("", &mut lines);
        }
        Ok(Self { name, settings: settings.unwrap_or_default(), lines })
    }

    fn toml(name: String, text: &str) -> Result<Self, Problem> {
        let line_at = |offset: usize| text[..offset.min(text.len())].matches('\n').count() + 1;
        let settings = Toml::from_str(text)
            .map_err(|error| unparsable(&name, text, error.span().map(|span| line_at(span.start)), error.message()))?;
        let tree = toml_edit::Document::parse(text)
            .map_err(|error| unparsable(&name, text, error.span().map(|span| line_at(span.start)), error.message()))?;
        let mut lines = BTreeMap::new();
        collect_toml(tree.as_item(), "", &line_at, &mut lines);
        Ok(Self { name, settings, lines })
    }
}

/// Repeats what the parser said, unless that quotes a value of the line: it might be a secret.
fn unparsable(name: &str, text: &str, line: Option<usize>, message: &str) -> Problem {
    let place = line.map_or_else(|| name.to_owned(), |line| format!("{name}:{line}"));
    let written = line.and_then(|line| text.lines().nth(line.saturating_sub(1))).unwrap_or_default();
    let value = written.split_once([':', '=']).map_or(written, |(_, value)| value);
    let quotes = value.split(|char: char| !char.is_alphanumeric()).any(|word| word.len() > 2 && message.contains(word));
    let message = if quotes { "this cannot be parsed" } else { message.lines().next().unwrap_or_default() };
    Problem::new(place, "", message)
}

fn join(key: &str, part: &str) -> String {
    if key.is_empty() { part.to_owned() } else { format!("{key}.{part}") }
}

/// The shape of a YAML document, without its values.
enum Tree {
    Leaf,
    Map(Vec<(Spanned<String>, Spanned<Tree>)>),
    List(Vec<Spanned<Tree>>),
}

impl Tree {
    fn collect(&self, key: &str, lines: &mut BTreeMap<String, usize>) {
        let line = |line: u64| usize::try_from(line).unwrap_or_default();
        match self {
            Self::Leaf => {}
            Self::Map(entries) => {
                for (name, value) in entries {
                    let key = join(key, &name.value);
                    lines.insert(key.clone(), line(name.referenced.line()));
                    value.value.collect(&key, lines);
                }
            }
            Self::List(entries) => {
                for (index, value) in entries.iter().enumerate() {
                    let key = join(key, &index.to_string());
                    lines.insert(key.clone(), line(value.referenced.line()));
                    value.value.collect(&key, lines);
                }
            }
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Shape)
    }
}

struct Shape;

impl<'de> Visitor<'de> for Shape {
    type Value = Tree;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a setting")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_str<E>(self, _: &str) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Tree::Map(entries))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element()? {
            if entries.len() > 100_000 {
                return Err(A::Error::custom("too many entries"));
            }
            entries.push(entry);
        }
        Ok(Tree::List(entries))
    }
}

fn collect_toml(item: &Item, key: &str, line_at: &dyn Fn(usize) -> usize, lines: &mut BTreeMap<String, usize>) {
    if let Some(table) = item.as_table_like() {
        for (name, value) in table.iter() {
            let below = join(key, name);
            let span = table.key(name).and_then(|key| key.span()).or_else(|| value.span());
            if let Some(span) = span {
                lines.insert(below.clone(), line_at(span.start));
            }
            collect_toml(value, &below, line_at, lines);
        }
    }
    let entries: Vec<Item> = match item {
        Item::ArrayOfTables(tables) => tables.iter().cloned().map(Item::Table).collect(),
        Item::Value(Value::Array(list)) => list.iter().cloned().map(Item::Value).collect(),
        _ => return,
    };
    for (index, entry) in entries.iter().enumerate() {
        let below = join(key, &index.to_string());
        if let Some(span) = entry.span() {
            lines.insert(below.clone(), line_at(span.start));
        }
        collect_toml(entry, &below, line_at, lines);
    }
}
