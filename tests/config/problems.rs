//! What is refused, and in which words.

use std::path::Path;

use schema_outpost::config::describe;

use crate::files::{Folder, MINIMAL, load, problems_of, taken};

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
mode: LOCAL_RW
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
        (10, "mode", "expected FORWARD, READWRITE, READONLY or IMPORT"),
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
            ("OUTPOST_MODE", "LOCAL_RW"),
        ],
    );
    assert_eq!(
        problems.expect_err("four of five are wrong"),
        [
            "OUTPOST_LIMITS__CONNECTIONS: limits.connections: expected a whole number",
            "OUTPOST_MODE: mode: expected FORWARD, READWRITE, READONLY or IMPORT",
            "OUTPOST_PRIMARY__REQUESTS_PER_SECOND: primary.requests_per_second: expected a whole number",
            "OUTPOST_LIMITS__IDLE: limits.idle: expected a duration of more than nothing and at most a year",
        ]
    );
}

#[test]
fn a_variable_that_others_take_the_place_of_is_not_passed_over() {
    let variables = [
        ("OUTPOST_PRIMARY__URLS", "https://registry.example"),
        ("OUTPOST_LOG__LEVEL", "warn"),
        ("OUTPOST_LOG", "json"),
    ];
    let problems = load(None, &variables).expect_err("one of them is lost");
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(problems[0].starts_with("OUTPOST_LOG: log: set as a whole"), "{problems:#?}");
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let with = |more: &str| format!("{MINIMAL}{more}");
    for (content, expected) in [
        ("primary: { urls: [] }".to_owned(), "primary.urls: expected the URL"),
        ("primary:\n".to_owned(), "primary: expected settings of its own below it"),
        (with("limits: []"), "limits: expected settings of its own below it"),
        (with("listeners: { bind: '127.0.0.1:1' }"), "listeners: expected a list"),
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
        (with("mode: READWRITE"), "mode: this mode needs local.urls"),
        ("mode: FORWARD\nlocal: { urls: ['http://l'] }".to_owned(), "mode: this mode needs primary.urls"),
        (with("local: { writer: true }"), "local.writer: there is nothing to write without both"),
        (
            "local: { urls: ['http://l'], writer: true }".to_owned(),
            "local.writer: there is nothing to write without both",
        ),
        (with("local: { urls: ['ftp://l'] }"), "local.urls.0: expected a URL that begins with"),
        (
            with("local: { urls: ['http://l'], credentials: { bearer: { token: t } } }"),
            "local.urls.0: credentials would go over plain http; use https, or set local.allow_plain_http",
        ),
        (with("local: { urls: ['http://l'], timeout: 0s }"), "local.timeout: expected a duration"),
        (with("local: { urls: ['http://l'], profile: auto }"), "local.profile: unknown setting"),
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
