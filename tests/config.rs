//! Settings from files and variables: what is taken, what is refused, and in which words.

use std::path::{Path, PathBuf};

use schema_outpost::config::{self, Config, Loaded, describe, settings};
use schema_outpost::upstream::{Credentials, ProfileChoice};
use tempfile::TempDir;

const MINIMAL: &str = "primary:\n  urls: [https://registry.example]\n";

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).expect("written");
        path
    }
}

fn load(path: Option<&Path>, variables: &[(&str, &str)]) -> Result<Loaded, Vec<String>> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    config::load(path, variables).map_err(|problems| problems.to_string().lines().map(str::to_owned).collect())
}

/// The problems of a file, each without the folder that the file is in.
fn problems_of(name: &str, content: &str) -> Vec<String> {
    let folder = Folder::new();
    let path = folder.write(name, content);
    let problems = load(Some(&path), &[]).expect_err("there is something wrong");
    let prefix = format!("{}/", folder.0.path().display());
    problems.into_iter().map(|problem| problem.replace(&prefix, "")).collect()
}

fn taken(name: &str, content: &str, variables: &[(&str, &str)]) -> Config {
    let folder = Folder::new();
    let path = folder.write(name, content);
    load(Some(&path), variables).unwrap_or_else(|problems| panic!("{problems:#?}")).config
}

#[test]
fn a_url_is_all_that_must_be_said() {
    let loaded = load(None, &[("OUTPOST_PRIMARY__URLS", "https://registry.example")]).expect("enough");
    assert_eq!(loaded.config.listeners.len(), 1);
    assert_eq!(loaded.warnings, []);
    let problems = load(None, &[]).expect_err("no primary");
    assert_eq!(problems, ["primary.urls: expected the URL of the primary registry, as in https://registry.example"]);
}

#[test]
fn yaml_and_toml_say_the_same() {
    let yaml = "
listeners:
  - bind: 0.0.0.0:9081
  - bind: 0.0.0.0:9082
primary:
  urls: [https://a.example/path, https://b.example]
  credentials:
    basic: { username: KEY, password: '123456789' }
  requests_per_second: 7
  profile: cloud
importer: { interval: 1m }
limits: { body: 1MiB, idle: 90s }
log: { format: text }
";
    let toml = "
[[listeners]]
bind = '0.0.0.0:9081'
[[listeners]]
bind = '0.0.0.0:9082'
[primary]
urls = ['https://a.example/path', 'https://b.example']
credentials.basic = { username = 'KEY', password = '123456789' }
requests_per_second = 7
profile = 'cloud'
[importer]
interval = '1m'
[limits]
body = '1MiB'
idle = '90s'
[log]
format = 'text'
";
    let from_yaml = taken("outpost.yaml", yaml, &[]);
    assert_eq!(describe(&from_yaml), describe(&taken("outpost.toml", toml, &[])));
    assert_eq!(from_yaml.primary.profile, ProfileChoice::Cloud);
    let Some(Credentials::Basic(basic)) = from_yaml.primary.credentials else { panic!("basic was written") };
    assert_eq!(basic.password.expect("it was written").expose(), "123456789");
}

#[test]
fn the_environment_overrides_the_file_and_gives_text_the_type_that_is_asked_for() {
    let file = "
listeners:
  - bind: 0.0.0.0:9081
  - bind: 0.0.0.0:9082
primary:
  urls: [https://file.example]
  requests_per_second: 7
limits: { idle: 90s, drain: 5s }
";
    let config = taken(
        "outpost.yaml",
        file,
        &[
            ("OUTPOST_PRIMARY__URLS", "http://a.example, http://b.example"),
            ("OUTPOST_PRIMARY__REQUESTS_PER_SECOND", "12"),
            ("OUTPOST_PRIMARY__ALLOW_PLAIN_HTTP", "true"),
            ("OUTPOST_PRIMARY__PROFILE", "7"),
            ("OUTPOST_PRIMARY__CREDENTIALS__BASIC__USERNAME", "007"),
            ("OUTPOST_PRIMARY__CREDENTIALS__BASIC__PASSWORD", "true"),
            ("OUTPOST_LISTENERS__1__BIND", "0.0.0.0:9999"),
            ("OUTPOST_LISTENERS__2__BIND", "0.0.0.0:9998"),
            ("OUTPOST_LIMITS__IDLE", "2m"),
            ("OUTPOST_LIMITS__HEAD", "16KiB"),
            ("OUTPOST_CONFIG", "/etc/outpost.yaml"),
            ("PATH", "/bin"),
        ],
    );
    let text = describe(&config);
    for line in [
        "listeners.0.bind = 0.0.0.0:9081",
        "listeners.1.bind = 0.0.0.0:9999",
        "listeners.2.bind = 0.0.0.0:9998",
        "primary.urls = http://a.example,http://b.example",
        "primary.credentials.basic.username = 007",
        "primary.credentials.basic.password = [redacted]",
        "primary.requests_per_second = 12",
        "primary.profile = 7",
        "limits.idle = 2m",
        "limits.drain = 5s",
        "limits.head = 16KiB",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    let Some(Credentials::Basic(basic)) = config.primary.credentials else { panic!("basic was set") };
    assert_eq!(basic.password.expect("it was set").expose(), "true");
}

#[test]
fn a_list_can_come_from_the_environment_alone() {
    let loaded = load(
        None,
        &[
            ("OUTPOST_PRIMARY__URLS__0", "https://a.example"),
            ("OUTPOST_PRIMARY__URLS__1", "https://b.example"),
            ("OUTPOST_LISTENERS__0__BIND", "127.0.0.1:1234"),
        ],
    );
    let config = loaded.expect("good").config;
    assert_eq!(config.primary.urls, ["https://a.example", "https://b.example"]);
    assert_eq!(config.listeners[0].bind.port(), 1234);
}

#[test]
fn unknown_variables_are_warned_of_and_do_not_stop_the_start() {
    let loaded = load(
        None,
        &[
            ("OUTPOST_PRIMARY__URLS", "https://registry.example"),
            ("OUTPOST_PORT_8081_TCP_ADDR", "10.0.0.1"),
            ("OUTPOST_PORT", "tcp://10.0.0.1:8081"),
            ("OUTPOST_SERVICE_HOST", "10.0.0.1"),
            ("OUTPOST_LIMITS__CONECTIONS", "5"),
            ("OUTPOST_STATE__A__B", "x"),
        ],
    );
    let warnings: Vec<_> = loaded.expect("it starts").warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 5, "{warnings:#?}");
    for name in [
        "OUTPOST_PORT_8081_TCP_ADDR",
        "OUTPOST_PORT",
        "OUTPOST_SERVICE_HOST",
        "OUTPOST_LIMITS__CONECTIONS",
        "OUTPOST_STATE__A__B",
    ] {
        let said =
            warnings.iter().any(|warning| warning.starts_with(&format!("{name}: ")) && warning.ends_with("ignored"));
        assert!(said, "{name} is not in {warnings:#?}");
    }
}

#[test]
fn every_problem_of_a_file_is_named_with_its_line() {
    let problems = problems_of(
        "outpost.yaml",
        "\
listeners:
  - bind: localhost
  - bnd: 127.0.0.1:1
primary:
  urls: https://registry.example
  requests_per_second: many
  allow_plain_http: yes
  profile: 9
  timeuot: 3s
mode: READONLY
importer:
  interval: 10
  full_interval: soon
limits:
  body: big
  connections: -1
  in_flight: 1.5
log: loud
extra: {}
",
    );
    let expected = [
        (2, "listeners.0.bind", "expected an address with a port such as 127.0.0.1:8081"),
        (3, "listeners.1.bnd", "unknown setting; known here are bind, tls"),
        (5, "primary.urls", "expected a list"),
        (6, "primary.requests_per_second", "expected a whole number"),
        (7, "primary.allow_plain_http", "expected a boolean"),
        (8, "primary.profile", "expected one of auto, 7, 8, cloud"),
        (9, "primary.timeuot", "unknown setting; known here are urls"),
        (10, "mode", "this mode is not supported yet; the only one is FORWARD"),
        (12, "importer.interval", "expected a duration such as 10s or 5m"),
        (13, "importer.full_interval", "expected a duration such as 10s or 5m"),
        (15, "limits.body", "expected a size such as 64MiB"),
        (16, "limits.connections", "this number is out of range"),
        (17, "limits.in_flight", "expected a whole number"),
        (18, "log", "expected settings of its own below it"),
        (19, "extra", "unknown setting; known here are listeners"),
    ];
    for (line, key, message) in expected {
        let begin = format!("outpost.yaml:{line}: {key}: {message}");
        assert!(problems.iter().any(|problem| problem.starts_with(&begin)), "{begin:?} is not in {problems:#?}");
    }
    let keys: Vec<_> = problems.iter().filter_map(|problem| problem.split(": ").nth(1)).collect();
    assert_eq!(keys, expected.map(|(_, key, _)| key), "each once, in the order of the file");
}

#[test]
fn problems_of_a_toml_file_have_lines_too() {
    let problems = problems_of(
        "outpost.toml",
        "\
[[listeners]]
bind = 'nowhere'

[primary]
urls = ['ftp://registry.example']
[limits]
idle = 5
",
    );
    assert_eq!(
        problems,
        [
            "outpost.toml:2: listeners.0.bind: expected an address with a port such as 127.0.0.1:8081",
            "outpost.toml:5: primary.urls.0: expected a URL that begins with https:// or http://",
            "outpost.toml:7: limits.idle: expected a duration such as 10s or 5m",
        ]
    );
}

#[test]
fn problems_of_variables_name_the_variable() {
    let problems = load(
        None,
        &[
            ("OUTPOST_PRIMARY__URLS", "https://registry.example"),
            ("OUTPOST_PRIMARY__REQUESTS_PER_SECOND", "many"),
            ("OUTPOST_LIMITS__IDLE", "0s"),
            ("OUTPOST_LIMITS__CONNECTIONS", ""),
            ("OUTPOST_MODE", "IMPORT"),
        ],
    );
    assert_eq!(
        problems.expect_err("four of five are wrong"),
        [
            "OUTPOST_LIMITS__CONNECTIONS: limits.connections: expected a whole number",
            "OUTPOST_MODE: mode: this mode is not supported yet; the only one is FORWARD",
            "OUTPOST_PRIMARY__REQUESTS_PER_SECOND: primary.requests_per_second: expected a whole number",
            "OUTPOST_LIMITS__IDLE: limits.idle: expected a duration of more than nothing and at most a year",
        ]
    );
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let with = |more: &str| format!("{MINIMAL}{more}");
    for (content, expected) in [
        ("primary: { urls: [] }".to_owned(), "primary.urls: expected the URL"),
        ("listeners: []\n".to_owned() + MINIMAL, "listeners: expected at least one listener"),
        (with("admin: { bind: '127.0.0.1:8081' }"), "listeners.0.bind: the same address as admin.bind"),
        (with("listeners: [{ bind: '0.0.0.0:8082' }]"), "listeners.0.bind: the same address as admin.bind"),
        (
            with("listeners: [{ bind: '127.0.0.1:1' }, { bind: '127.0.0.1:1' }]"),
            "listeners.1.bind: the same address as listeners.0.bind",
        ),
        (with("  requests_per_second: 0"), "primary.requests_per_second: expected at least 1"),
        (with("  credentials: { basic: { username: a } }"), "primary.credentials.basic.password: expected this or"),
        (
            with("  credentials: { basic: { username: a, password: b, password_file: c } }"),
            "primary.credentials.basic.password_file: expected only one of",
        ),
        (
            with("  credentials: { basic: { username: 'a:b', password: b } }"),
            "primary.credentials.basic.username: expected a user name",
        ),
        (with("  credentials: { basic: { password: b } }"), "primary.credentials.basic: username is missing here"),
        (with("  credentials: { bearer: {} }"), "primary.credentials.bearer.token: expected this or"),
        (with("  credentials: { bearer: { token: '' } }"), "primary.credentials.bearer.token: expected a text"),
        (with("  credentials: { oauth: {} }"), "primary.credentials: expected one of basic, bearer"),
        (
            with("  credentials: { basic: { username: a, password: b }, bearer: { token: c } }"),
            "primary.credentials: expected only one of basic, bearer",
        ),
        (with("  credentials: {}"), "primary.credentials: expected"),
        (with("limits: { idle: 0s }"), "limits.idle: expected a duration of more than nothing"),
        (
            with("limits: { idle: 9000years }"),
            "limits.idle: expected a duration of more than nothing and at most a year",
        ),
        (with("limits: { connections: 0 }"), "limits.connections: expected at least 1"),
        (with("limits: { head: 100B }"), "limits.head: expected at least 1KiB"),
        (with("state: { directory: '' }"), "state.directory: expected a path"),
        (with("log: { level: inof }"), "log.level: \"inof\" is no log level"),
        (
            with("listeners: [{ tls: { certificate: /nowhere/a, key: /nowhere/b } }]"),
            "listeners.0.tls.key: cannot read this file",
        ),
        (with("listeners: [{ tls: { certificate: /nowhere/a } }]"), "listeners.0.tls: key is missing here"),
        (with("  tls: { ca: / }"), "primary.tls.ca: expected a file"),
    ] {
        let problems = problems_of("outpost.yaml", &content);
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{expected:?} is not in {problems:#?}");
    }
}

#[test]
fn a_url_has_a_host_and_nothing_that_would_be_lost_or_leaked() {
    for (url, good) in [
        ("https://registry.example", true),
        ("https://registry.example:8081/apis/ccompat/v7/", true),
        ("http://[::1]:8081", true),
        ("http://10.0.0.1", true),
        ("registry.example:8081", false),
        ("ftp://registry.example", false),
        ("https://", false),
        ("https://:8081", false),
        ("https://registry.example:99999", false),
        ("https://registry.example:", false),
        ("https://user:hunter2@registry.example", false),
        ("https://registry.example?x=hunter2", false),
        ("https://registry.example#hunter2", false),
        ("/subjects", false),
    ] {
        let result = load(None, &[("OUTPOST_PRIMARY__URLS", url)]);
        assert_eq!(result.is_ok(), good, "{url}: {:?}", result.err());
        let said = result.err().unwrap_or_default().concat();
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn credentials_do_not_go_over_plain_http_unless_that_is_wanted() {
    let credentials = [
        ("OUTPOST_PRIMARY__URLS", "https://a.example,http://b.example"),
        ("OUTPOST_PRIMARY__CREDENTIALS__BEARER__TOKEN", "hunter2"),
    ];
    let problems = load(None, &credentials).expect_err("one of them is plain");
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(
        problems[0].starts_with("OUTPOST_PRIMARY__URLS: primary.urls.1: credentials would go over plain http"),
        "{problems:#?}"
    );
    let allowed = [credentials[0], credentials[1], ("OUTPOST_PRIMARY__ALLOW_PLAIN_HTTP", "true")];
    assert!(load(None, &allowed).is_ok());
    assert!(load(None, &credentials[..1]).is_ok(), "without credentials there is nothing to be read along");
}

#[test]
fn a_secret_file_must_hold_a_secret_and_should_be_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    let file = folder.write("secret", "hunter2\n");
    let name = file.to_str().expect("UTF-8").to_owned();
    let try_it = || {
        load(
            None,
            &[
                ("OUTPOST_PRIMARY__URLS", "https://registry.example"),
                ("OUTPOST_PRIMARY__CREDENTIALS__BASIC__USERNAME", "key"),
                ("OUTPOST_PRIMARY__CREDENTIALS__BASIC__PASSWORD_FILE", &name),
            ],
        )
    };
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("set");
    let warnings = try_it().expect("it starts").warnings;
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].to_string().contains("password_file: others can read this file"), "{}", warnings[0]);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("set");
    assert_eq!(try_it().expect("it starts").warnings, []);
    for content in ["", "\n", "hunter2\0", "hunter2\nhunter2"] {
        std::fs::write(&file, content).expect("written");
        let problems = try_it().expect_err("no secret");
        assert!(
            problems[0].contains("password_file: the secret file") && !problems[0].contains("hunter2"),
            "{problems:#?}"
        );
    }
    std::fs::remove_file(&file).expect("removed");
    assert!(try_it().expect_err("missing")[0].contains("cannot read the secret file"));
}

#[test]
fn no_problem_repeats_a_value() {
    let secret = "hunter2";
    for content in [
        "primary:\n  urls: [https://a.example]\n  credentials: hunter2\n",
        "primary:\n  urls: [https://a.example]\n  credentials: { basic: hunter2 }\n",
        "primary:\n  urls: [https://a.example]\n  credentials: { basic: { username: a, password: [hunter2] } }\n",
        "primary:\n  urls: [https://a.example]\n  credentials: { basic: { username: a, pasword: hunter2 } }\n",
        "primary:\n  urls: [https://a.example]\n  credentials: { hunter2: a }\n",
        "primary:\n  urls: { hunter2: a }\n  requests_per_second: hunter2\n  profile: hunter2\n",
        "primary: hunter2\n",
        "password: hunter2\n",
        "mode: hunter2\nlimits: { idle: hunter2, body: hunter2 }\nadmin: { bind: hunter2 }\n",
        "password: *hunter2\n",
        "password: &hunter2 [\n",
        "password: 'hunter2\n",
        "password: !hunter2 x: y: z\n",
        "hunter2",
        "- hunter2",
    ] {
        let problems = problems_of("outpost.yaml", content);
        let said: String = problems
            .iter()
            .map(|problem| problem.replace("credentials.hunter2", "").replace("urls.hunter2", ""))
            .collect();
        assert!(!said.contains(secret), "{content:?} gives {problems:#?}");
    }
    for content in
        ["password = hunter2", "password = 'hunter2", "[hunter2", "primary.urls = 1\nprimary.urls = 'hunter2'"]
    {
        let problems = problems_of("outpost.toml", content);
        assert!(!problems.concat().contains(secret), "{content:?} gives {problems:#?}");
    }
    let config = taken(
        "outpost.yaml",
        "primary:\n  urls: [https://a.example]\n  credentials: { bearer: { token: hunter2 } }\n",
        &[],
    );
    assert!(!describe(&config).contains(secret) && !format!("{config:?}").contains(secret));
}

#[test]
fn a_number_for_a_password_is_a_problem_that_does_not_print_it() {
    let content =
        "primary:\n  urls: [https://a.example]\n  credentials: { basic: { username: a, password: 123456789 } }\n";
    assert_eq!(
        problems_of("outpost.yaml", content),
        ["outpost.yaml:3: primary.credentials.basic.password: expected a string"]
    );
}

#[test]
fn a_file_that_is_no_configuration_is_refused() {
    assert_eq!(
        problems_of("outpost.ini", MINIMAL),
        ["outpost.ini: expected a file called .yaml, .yml, .json or .toml"]
    );
    let problems = load(Some(Path::new("/nowhere/outpost.yaml")), &[]).expect_err("it is not there");
    assert!(problems[0].starts_with("/nowhere/outpost.yaml: cannot read the configuration: "), "{problems:#?}");
    let twice = problems_of("outpost.yaml", "mode: FORWARD\nmode: FORWARD\n");
    assert!(twice[0].starts_with("outpost.yaml:2: duplicate mapping key"), "{twice:#?}");
    for content in ["primary: [\n", "a: b: c\n"] {
        let problems = problems_of("outpost.yaml", content);
        assert!(problems[0].starts_with("outpost.yaml:"), "{problems:#?}");
    }
    assert!(problems_of("outpost.yaml", "")[0].starts_with("primary.urls: expected"), "an empty file sets nothing");
}

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
    ("", include_str!("../src/config/mod.rs"), "Config"),
    ("listeners.N", include_str!("../src/server/mod.rs"), "ListenerConfig"),
    ("listeners.N.tls", include_str!("../src/server/mod.rs"), "TlsConfig"),
    ("admin", include_str!("../src/admin/mod.rs"), "Config"),
    ("primary", include_str!("../src/upstream/mod.rs"), "Config"),
    ("primary.credentials.basic", include_str!("../src/upstream/mod.rs"), "Basic"),
    ("primary.credentials.bearer", include_str!("../src/upstream/mod.rs"), "Bearer"),
    ("primary.tls", include_str!("../src/upstream/mod.rs"), "Tls"),
    ("importer", include_str!("../src/importer/mod.rs"), "Config"),
    ("state", include_str!("../src/store/mod.rs"), "Config"),
    ("limits", include_str!("../src/server/mod.rs"), "Limits"),
    ("log", include_str!("../src/telemetry/mod.rs"), "Config"),
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
