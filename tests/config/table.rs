//! The table of all settings, which the README shows.

use std::path::Path;

use schema_outpost::config::{self, Config, describe, settings};

use crate::files::problems_of;

#[test]
fn what_is_described_can_be_written_down_and_read_again() {
    let mut variables: Vec<(String, String)> = describe(&Config::default())
        .lines()
        .filter_map(|line| line.split_once(" = "))
        .filter(|(_, value)| *value != "–")
        .map(|(key, value)| (format!("OUTPOST_{}", key.replace('.', "__").to_uppercase()), value.to_owned()))
        .collect();
    variables.push(("OUTPOST_PRIMARY__URLS".to_owned(), "https://registry.example".to_owned()));
    let loaded = config::load(None, variables.into_iter()).expect("its own words");
    assert_eq!(loaded.warnings, []);
    let mut expected = Config::default();
    expected.primary.urls.push("https://registry.example".to_owned());
    assert_eq!(format!("{:?}", loaded.config), format!("{expected:?}"));
}

/// Where the settings of each section are declared: key, source, type.
const SECTIONS: &[(&str, &str, &str)] = &[
    ("", include_str!("../../src/config/mod.rs"), "Config"),
    ("listeners.N", include_str!("../../src/server/mod.rs"), "ListenerConfig"),
    ("listeners.N.tls", include_str!("../../src/server/mod.rs"), "TlsConfig"),
    ("admin", include_str!("../../src/admin/mod.rs"), "Config"),
    ("primary", include_str!("../../src/upstream/mod.rs"), "Config"),
    ("primary.credentials.basic", include_str!("../../src/upstream/mod.rs"), "Basic"),
    ("primary.credentials.bearer", include_str!("../../src/upstream/mod.rs"), "Bearer"),
    ("primary.tls", include_str!("../../src/upstream/mod.rs"), "Tls"),
    ("local", include_str!("../../src/upstream/mod.rs"), "LocalConfig"),
    ("local.credentials.basic", include_str!("../../src/upstream/mod.rs"), "Basic"),
    ("local.credentials.bearer", include_str!("../../src/upstream/mod.rs"), "Bearer"),
    ("local.tls", include_str!("../../src/upstream/mod.rs"), "Tls"),
    ("contexts.N", include_str!("../../src/routing/contexts.rs"), "Pair"),
    ("importer", include_str!("../../src/importer/mod.rs"), "Config"),
    ("state", include_str!("../../src/store/mod.rs"), "Config"),
    ("limits", include_str!("../../src/server/mod.rs"), "Limits"),
    ("log", include_str!("../../src/telemetry/mod.rs"), "Config"),
];

/// The fields of a struct with their doc lines, as its source has them.
fn documented(source: &str, name: &str) -> Vec<(String, String)> {
    let (_, rest) = source.split_once(&format!("pub struct {name} {{")).expect("the section is declared there");
    let (body, _) = rest.split_once("\n}").expect("a struct ends");
    let (mut fields, mut doc) = (Vec::new(), String::new());
    for line in body.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            doc.push_str(text);
        } else if let Some((field, _)) = line.strip_prefix("pub ").and_then(|line| line.split_once(':')) {
            fields.push((field.to_owned(), std::mem::take(&mut doc).trim().to_owned()));
        }
    }
    fields
}

/// The settings that a section knows, as it says itself when it is asked for one that it does not know.
fn known(section: &str) -> Vec<String> {
    let yaml = section.replace(".N", ".0").split('.').filter(|part| !part.is_empty()).enumerate().fold(
        String::new(),
        |yaml, (depth, part)| match part {
            "0" => format!("{yaml}{}-\n", " ".repeat(depth)),
            part => format!("{yaml}{}{part}:\n", " ".repeat(depth)),
        },
    );
    let depth = section.split('.').filter(|part| !part.is_empty()).count();
    let problems = problems_of("outpost.yaml", &format!("{yaml}{}no_such_setting: x\n", " ".repeat(depth)));
    let answer =
        problems.iter().find_map(|problem| problem.split_once("no_such_setting: unknown setting; known here are "));
    let (_, names) = answer.unwrap_or_else(|| panic!("{section} does not say what it knows: {problems:#?}"));
    names.split(", ").map(str::to_owned).collect()
}

fn table() -> String {
    let mut table = "| Setting | Default | |\n|---|---|---|\n".to_owned();
    for setting in settings() {
        let (section, field) = setting.key.rsplit_once('.').unwrap_or(("", &setting.key));
        let (_, source, name) = SECTIONS.iter().find(|(key, ..)| *key == section).expect("a section");
        let (_, doc) = documented(source, name).into_iter().find(|(known, _)| known == field).expect("a field");
        let default = if setting.default == "–" { String::new() } else { format!("`{}`", setting.default) };
        table.push_str(&format!("| `{}` | {default} | {doc} |\n", setting.key));
    }
    table
}

#[test]
fn every_setting_is_in_the_table_and_nothing_else_is() {
    let listed: Vec<String> = settings().into_iter().map(|setting| setting.key).collect();
    let mut declared = Vec::new();
    for (section, source, name) in SECTIONS {
        let documented: Vec<String> = documented(source, name).into_iter().map(|(field, _)| field).collect();
        assert_eq!(documented, known(section), "{section}");
        declared.extend(
            documented.into_iter().map(|field| if section.is_empty() { field } else { format!("{section}.{field}") }),
        );
    }
    for key in &declared {
        let is_section = listed.iter().any(|listed| listed.starts_with(&format!("{key}.")));
        assert!(is_section || listed.contains(key), "{key} is not in the table");
    }
    for key in &listed {
        assert!(declared.contains(key), "{key} is no setting");
    }
    assert!(!table().contains("|  |\n"), "every setting is explained");
}

const BEGIN: &str = "<!-- settings -->\n";
const END: &str = "<!-- /settings -->";

/// `OUTPOST_WRITE_SETTINGS=1 cargo test --test config` writes the table anew.
#[test]
fn the_table_in_the_readme_is_the_table_of_the_settings() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let Ok(readme) = std::fs::read_to_string(&path) else { return };
    let (before, rest) = readme.split_once(BEGIN).expect("README.md has the marker <!-- settings --> on a line");
    let (found, after) = rest.split_once(END).expect("README.md has the marker <!-- /settings -->");
    if std::env::var_os("OUTPOST_WRITE_SETTINGS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{}{END}{after}", table())).expect("written");
        return;
    }
    assert_eq!(found.trim(), table().trim(), "run OUTPOST_WRITE_SETTINGS=1 cargo test --test config");
}
