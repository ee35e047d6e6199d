//! Which of several values counts.

use schema_outpost::config::describe;
use schema_outpost::upstream::{Credentials, ProfileChoice};

use crate::files::{load, taken};

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
