//! All settings as text: what is in force, for operators, and what there is, for the README.

use std::path::Path;
use std::time::Duration;

use bytesize::ByteSize;

use super::Config;
use crate::protocol::mode::Mode;
use crate::routing::Pair;
use crate::server::{Limits, ListenerConfig, TlsConfig};
use crate::telemetry::Format;
use crate::upstream::{self, Basic, Bearer, Credentials, LocalConfig, ProfileChoice};

/// What stands for a secret.
const REDACTED: &str = "[redacted]";

/// What stands for a setting that is not set.
const UNSET: &str = "–";

/// One setting, as the table of the README shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its key, as in `limits.idle`; `N` stands for the index in a list.
    pub key: String,
    /// Its default, in the form in which it is written.
    pub default: String,
}

/// The configuration in force, a setting a line, without its secrets.
pub fn describe(config: &Config) -> String {
    entries(config).iter().map(|(key, value)| format!("{key} = {value}\n")).collect()
}

/// All settings with their defaults.
pub fn settings() -> Vec<Setting> {
    let tls = TlsConfig { certificate: "".into(), key: "".into(), client_ca: None };
    let basic = Basic { username: String::new(), password: None, password_file: None };
    let bearer = Bearer { token: None, token_file: None };
    let listeners = vec![ListenerConfig { tls: Some(tls), ..ListenerConfig::default() }];
    let contexts = vec![Pair::default()];
    let mut full = Config { listeners, contexts, ..Config::default() };
    let mut with = |credentials: Credentials| {
        full.primary.credentials = Some(credentials.clone());
        full.local.credentials = Some(credentials);
        entries(&full)
    };
    let mut all = with(Credentials::Basic(basic));
    let with_bearer = with(Credentials::Bearer(bearer));
    for section in ["primary", "local"] {
        let of_bearer = format!("{section}.credentials.bearer.");
        let end = format!("{section}.tls.ca");
        let at = all.iter().position(|(key, _)| *key == end).unwrap_or(all.len());
        all.splice(at..at, with_bearer.iter().filter(|(key, _)| key.starts_with(&of_bearer)).cloned());
    }
    let rename = |key: String| key.replace("listeners.0", "listeners.N").replace("contexts.0", "contexts.N");
    all.into_iter().map(|(key, default)| Setting { key: rename(key), default }).collect()
}

type Entries = Vec<(String, String)>;

fn entries(config: &Config) -> Entries {
    let mut entries = Entries::new();
    for (index, listener) in config.listeners.iter().enumerate() {
        let key = |name: &str| format!("listeners.{index}.{name}");
        entries.push((key("bind"), listener.bind.to_string()));
        if let Some(TlsConfig { certificate, key: key_file, client_ca }) = &listener.tls {
            entries.push((key("tls.certificate"), path(Some(certificate))));
            entries.push((key("tls.key"), path(Some(key_file))));
            entries.push((key("tls.client_ca"), path(client_ca.as_deref())));
        }
        entries.push((key("context"), text(listener.context.as_deref().unwrap_or_default())));
    }
    let mut put = |key: &str, value: String| entries.push((key.to_owned(), value));
    put("admin.bind", config.admin.bind.to_string());
    primary(&config.primary, &mut put);
    local(&config.local, &mut put);
    put("mode", text(config.mode.map(Mode::from).map_or("", Mode::as_str)));
    for (index, pair) in config.contexts.iter().enumerate() {
        put(&format!("contexts.{index}.local"), text(&pair.local));
        put(&format!("contexts.{index}.primary"), text(&pair.primary));
    }
    put("importer.interval", duration(config.importer.interval));
    put("importer.full_interval", duration(config.importer.full_interval));
    put("importer.parallel", config.importer.parallel.to_string());
    put("state.directory", path(config.state.directory.as_deref()));
    limits(&config.limits, &mut put);
    let format = config.log.format.map(|format| match format {
        Format::Json => "json",
        Format::Text => "text",
    });
    put("log.format", format.unwrap_or(UNSET).to_owned());
    put("log.level", config.log.level.clone());
    entries
}

fn primary(primary: &upstream::Config, put: &mut impl FnMut(&str, String)) {
    way("primary", primary, put);
    let profile = match primary.profile {
        ProfileChoice::Auto => "auto",
        ProfileChoice::Confluent7 => "7",
        ProfileChoice::Confluent8 => "8",
        ProfileChoice::Cloud => "cloud",
    };
    put("primary.profile", profile.to_owned());
}

fn local(local: &LocalConfig, put: &mut impl FnMut(&str, String)) {
    way("local", &local.way(), put);
    put("local.timeout", duration(local.timeout));
    put("local.writer", local.writer.to_string());
}

/// What is set about the way to either registry.
fn way(section: &str, way: &upstream::Config, put: &mut impl FnMut(&str, String)) {
    let mut put = |key: &str, value: String| put(&format!("{section}.{key}"), value);
    put("urls", text(&way.urls.join(",")));
    match &way.credentials {
        None => {}
        Some(Credentials::Basic(Basic { username, password, password_file })) => {
            put("credentials.basic.username", text(username));
            put("credentials.basic.password", redacted(password.is_some()));
            put("credentials.basic.password_file", path(password_file.as_deref()));
        }
        Some(Credentials::Bearer(Bearer { token, token_file })) => {
            put("credentials.bearer.token", redacted(token.is_some()));
            put("credentials.bearer.token_file", path(token_file.as_deref()));
        }
    }
    put("tls.ca", path(way.tls.ca.as_deref()));
    put("allow_plain_http", way.allow_plain_http.to_string());
    put("requests_per_second", way.requests_per_second.to_string());
}

fn limits(limits: &Limits, put: &mut impl FnMut(&str, String)) {
    // Taken apart by name, so that a new limit cannot be forgotten here.
    let Limits {
        connections,
        in_flight,
        handshake,
        first_byte,
        head_time,
        body_idle,
        body_time,
        idle,
        read,
        write,
        drain,
        head,
        body,
        answers,
    } = limits;
    put("limits.connections", connections.to_string());
    put("limits.in_flight", in_flight.to_string());
    put("limits.handshake", duration(*handshake));
    put("limits.first_byte", duration(*first_byte));
    put("limits.head_time", duration(*head_time));
    put("limits.body_idle", duration(*body_idle));
    put("limits.body_time", duration(*body_time));
    put("limits.idle", duration(*idle));
    put("limits.read", duration(*read));
    put("limits.write", duration(*write));
    put("limits.drain", duration(*drain));
    put("limits.head", size(*head));
    put("limits.body", size(*body));
    put("limits.answers", size(*answers));
}

fn text(text: &str) -> String {
    if text.is_empty() { UNSET.to_owned() } else { text.to_owned() }
}

fn path(path: Option<&Path>) -> String {
    text(&path.map(|path| path.display().to_string()).unwrap_or_default())
}

fn redacted(is_set: bool) -> String {
    if is_set { REDACTED } else { UNSET }.to_owned()
}

fn duration(duration: Duration) -> String {
    match (duration.as_secs(), duration.subsec_nanos()) {
        (seconds, 0) if seconds > 0 && seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        (seconds, 0) if seconds > 0 && seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        (seconds, 0) => format!("{seconds}s"),
        _ => humantime::format_duration(duration).to_string(),
    }
}

fn size(size: ByteSize) -> String {
    let bytes = size.as_u64();
    for (unit, name) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if bytes >= unit && bytes.is_multiple_of(unit) {
            return format!("{}{name}", bytes / unit);
        }
    }
    format!("{bytes}B")
}
