//! The house rules that a compiler does not check: floors, lengths, opening lines, names (DESIGN.md).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The floor of every room; a room imports from lower floors only.
const FLOORS: &[(&str, u8)] = &[
    ("protocol", 0),
    ("body", 0),
    ("secret", 0),
    ("telemetry", 1),
    ("replica", 2),
    ("server", 2),
    ("upstream", 2),
    ("audit", 2),
    ("store", 2),
    ("admission", 3),
    ("routing", 4),
    ("importer", 5),
    ("exporter", 5),
    ("proxy", 5),
    ("switchover", 6),
    ("admin", 7),
    ("config", 8),
    ("app", 9),
    // The commands of the binary. The library is another crate to them, into which no way leads back.
    ("program", 10),
];

/// Files that are one long table, which may be as long as what it lists.
const TABLES: &[&str] = &["protocol/endpoints.rs"];

const LONGEST_FILE: usize = 500;
const LONGEST_FUNCTION: usize = 60;
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "helpers", "helper", "misc", "globals"];

struct Source {
    /// Path below `src`, with forward slashes.
    name: String,
    text: String,
}

impl Source {
    /// The text before the tests inside the file, which are no logic.
    fn logic(&self) -> &str {
        self.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()
    }

    fn is_test(&self) -> bool {
        self.name.ends_with("tests.rs") || self.name.contains("/tests/")
    }

    fn room(&self) -> &str {
        self.name.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }
}

fn sources(root: &Path) -> Vec<Source> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a readable folder").map(|entry| entry.expect("an entry").path())
        {
            if entry.is_dir() {
                walk(&entry, found);
            } else if entry.extension().is_some_and(|kind| kind == "rs") {
                found.push(entry);
            }
        }
    }
    let mut found = Vec::new();
    walk(root, &mut found);
    found.sort();
    found
        .into_iter()
        .map(|path| Source {
            name: path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/"),
            text: std::fs::read_to_string(&path).expect("a readable file"),
        })
        .collect()
}

fn house() -> Vec<Source> {
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

fn everything() -> Vec<Source> {
    let registry = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("small-registry/src"));
    house().into_iter().chain(registry).collect()
}

fn complain(found: &[String]) {
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn rooms_import_from_lower_floors_only() {
    let floors: BTreeMap<&str, u8> = FLOORS.iter().copied().collect();
    let mut found = Vec::new();
    for source in house().iter().filter(|source| !matches!(source.name.as_str(), "lib.rs" | "main.rs")) {
        let room = source.room();
        let Some(own) = floors.get(room) else {
            found.push(format!("{}: the room {room} has no floor", source.name));
            continue;
        };
        for import in source
            .logic()
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .flat_map(|line| line.split("crate::").skip(1))
        {
            let other = import
                .split(|character: char| !character.is_alphanumeric() && character != '_')
                .next()
                .unwrap_or_default();
            match floors.get(other) {
                Some(floor) if other != room && floor >= own => {
                    found.push(format!("{}: {room} on floor {own} imports {other} on floor {floor}", source.name));
                }
                _ => {}
            }
        }
    }
    complain(&found);
}

#[test]
fn no_file_and_no_function_is_too_long() {
    let mut found = Vec::new();
    for source in everything().iter().filter(|source| !source.is_test() && !TABLES.contains(&source.name.as_str())) {
        let lines: Vec<&str> = source.logic().lines().collect();
        if lines.len() > LONGEST_FILE {
            found.push(format!("{}: {} lines", source.name, lines.len()));
        }
        for (start, line) in lines.iter().enumerate() {
            let bare = line.trim_start();
            let is_function = [
                "fn ",
                "pub fn ",
                "async fn ",
                "pub async fn ",
                "pub(super) fn ",
                "pub(super) async fn ",
                "const fn ",
                "pub(crate) fn ",
            ]
            .iter()
            .any(|opening| bare.starts_with(opening));
            if !is_function || bare.ends_with(';') {
                continue;
            }
            let indent = line.len() - bare.len();
            let end = lines[start..].iter().position(|line| line.len() == indent + 1 && line.trim_start() == "}");
            if let Some(length) = end.filter(|length| *length + 1 > LONGEST_FUNCTION) {
                found.push(format!("{}:{}: {} lines: {}", source.name, start + 1, length + 1, bare));
            }
        }
    }
    complain(&found);
}

#[test]
fn every_file_opens_by_saying_what_it_holds() {
    let silent = everything().into_iter().filter(|source| !source.text.starts_with("//! "));
    complain(&silent.map(|source| format!("{}: no opening line", source.name)).collect::<Vec<_>>());
}

#[test]
fn no_name_is_empty_of_meaning() {
    let empty = everything()
        .into_iter()
        .filter(|source| source.name.trim_end_matches(".rs").split('/').any(|part| EMPTY_NAMES.contains(&part)));
    complain(&empty.map(|source| source.name).collect::<Vec<_>>());
}
