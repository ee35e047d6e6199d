//! What has the right type and still cannot be: checks of single values and of values against each other.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use bytesize::ByteSize;
use http::Uri;

use super::places::{Places, is_at_or_below};
use super::{Config, Mode, Problem};
use crate::protocol::subject::Context;
use crate::routing::{Contexts, Pair};
use crate::secret::Secret;
use crate::server::{Limits, ListenerConfig};
use crate::upstream::{self, Basic, Bearer, Credentials};

/// Beyond this a duration is a slip, and far beyond it the clock cannot count it.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// Clients give up after a minute; an answer after that is for nobody.
const CLIENTS_WAIT: Duration = Duration::from_secs(60);

const NOBODY_WAITS: &str = "clients give up after 60s, so that they will not hear the answer";

/// The least head with which a client can still say what it wants.
const SMALLEST_HEAD: ByteSize = ByteSize::kib(1);

/// Reports everything that a start would trip over.
pub(super) fn run(config: &Config, places: &Places, problems: &mut Vec<Problem>, warnings: &mut Vec<Problem>) {
    let mut report =
        Report { places, known: problems.iter().map(|problem| problem.key.clone()).collect(), problems, warnings };
    listeners(config, &mut report);
    contexts(config, &mut report);
    registries(config, &mut report);
    limits(&config.limits, &mut report);
    let importer = &config.importer;
    duration("importer.interval", importer.interval, &mut report);
    duration("importer.full_interval", importer.full_interval, &mut report);
    at_least_one("importer.parallel", importer.parallel, &mut report);
    if importer.full_interval < importer.interval {
        report.warning("importer.full_interval", "shorter than importer.interval, so that every pass is a full one");
    }
    if config.state.directory.as_deref().is_some_and(|directory| directory.as_os_str().is_empty()) {
        report.problem("state.directory", "expected a path; leave the setting out to keep everything in memory");
    }
    if let Err(error) = config.log.check() {
        report.problem("log.level", &error.to_string());
    }
}

/// Where findings go. What was reported for a setting is not followed by what only results from that.
struct Report<'a> {
    places: &'a Places,
    known: Vec<String>,
    problems: &'a mut Vec<Problem>,
    warnings: &'a mut Vec<Problem>,
}

impl Report<'_> {
    fn problem(&mut self, key: &str, message: &str) {
        if !self.known.iter().any(|known| is_at_or_below(key, known) || is_at_or_below(known, key)) {
            self.problems.push(Problem::new(self.places.of(key), key, message));
        }
    }

    fn has_problems_below(&self, key: &str) -> bool {
        self.known.iter().any(|known| is_at_or_below(known, key))
    }

    fn warning(&mut self, key: &str, message: &str) {
        self.warnings.push(Problem::new(self.places.of(key), key, message));
    }
}

fn listeners(config: &Config, report: &mut Report<'_>) {
    if config.listeners.is_empty() {
        report.problem("listeners", "expected at least one listener");
    }
    let mut taken = vec![("admin.bind".to_owned(), config.admin.bind)];
    for (index, listener) in config.listeners.iter().enumerate() {
        let key = format!("listeners.{index}");
        let bind = format!("{key}.bind");
        let other = taken.iter().find(|(_, address)| collide(*address, listener.bind));
        // An address that could not be read is the default one here, and collides with nothing that was meant.
        if let Some((other, _)) = other.filter(|_| !report.has_problems_below("listeners")) {
            report.problem(&bind, &format!("the same address as {other}"));
        }
        taken.push((bind, listener.bind));
        listener_files(&key, listener, report);
    }
}

fn contexts(config: &Config, report: &mut Report<'_>) {
    let map = match Contexts::of(&config.contexts) {
        Ok(map) => map,
        Err(error) => return report.problem("contexts", &error.to_string()),
    };
    for (index, listener) in config.listeners.iter().enumerate() {
        let Some(name) = &listener.context else { continue };
        let key = format!("listeners.{index}.context");
        let own = Pair { local: name.clone(), primary: name.clone() };
        if name.ends_with('*') || Contexts::of(&[own]).is_err() {
            report.problem(&key, "expected the name of one context, '.' or '.name' without colons");
        } else if map.to_primary(&Context::named(name)).is_none() {
            report.problem(&key, "no entry of contexts maps this context");
        }
    }
}

fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let same_host = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    same_host && one.port() == other.port() && one.port() != 0
}

fn listener_files(key: &str, listener: &ListenerConfig, report: &mut Report<'_>) {
    let Some(tls) = &listener.tls else { return };
    readable(&format!("{key}.tls.certificate"), &tls.certificate, report);
    let key_file = format!("{key}.tls.key");
    readable(&key_file, &tls.key, report);
    private(&key_file, &tls.key, report);
    if let Some(authorities) = &tls.client_ca {
        readable(&format!("{key}.tls.client_ca"), authorities, report);
    }
}

fn readable(key: &str, path: &Path, report: &mut Report<'_>) {
    match File::open(path).and_then(|file| file.metadata()) {
        Ok(metadata) if metadata.is_dir() => report.problem(key, "expected a file, this is a directory"),
        Ok(_) => {}
        Err(error) => report.problem(key, &format!("cannot read this file: {error}")),
    }
}

/// Warns of a secret that others on this machine can read. A mounted Kubernetes secret is one of
/// these by default, so it is no reason not to start.
fn private(key: &str, path: &Path, report: &mut Report<'_>) {
    let mode = std::fs::metadata(path).map(|metadata| metadata.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o077 != 0) {
        report.warning(key, "others can read this file, its mode should be 0600 or 0400");
    }
}

fn registries(config: &Config, report: &mut Report<'_>) {
    if !config.primary.is_set() && !config.local.is_set() {
        report.problem("primary.urls", "expected the URL of the primary registry, as in https://registry.example");
    }
    way("primary", &config.primary, report);
    way("local", &config.local.way(), report);
    duration("local.timeout", config.local.timeout, report);
    if config.local.timeout >= CLIENTS_WAIT {
        report.warning("local.timeout", NOBODY_WAITS);
    }
    if config.local.writer && !(config.local.is_set() && config.primary.is_set()) {
        report.problem("local.writer", "there is nothing to write without both primary.urls and local.urls");
    }
    if config.mode.is_none() && config.primary.is_set() && config.local.is_set() {
        let message =
            "not set: with a primary everything is forwarded to it where no mode says otherwise; say FORWARD if so";
        report.warning("mode", message);
    }
    match config.mode {
        Some(Mode::Forward) if !config.primary.is_set() => report.problem("mode", "this mode needs primary.urls"),
        Some(Mode::ReadWrite | Mode::Import) if !config.local.is_set() => {
            report.problem("mode", "this mode needs local.urls");
        }
        _ => {}
    }
}

/// What is set about the way to one registry.
fn way(section: &str, way: &upstream::Config, report: &mut Report<'_>) {
    let key = |name: &str| format!("{section}.{name}");
    for (index, text) in way.urls.iter().enumerate() {
        let key = key(&format!("urls.{index}"));
        if let Err(message) = url(text) {
            report.problem(&key, message);
        } else if !text.starts_with("https") && way.credentials.is_some() && !way.allow_plain_http {
            let message = format!("credentials would go over plain http; use https, or set {section}.allow_plain_http");
            report.problem(&key, &message);
        }
    }
    at_least_one(&key("requests_per_second"), way.requests_per_second as usize, report);
    if let Some(authorities) = &way.tls.ca {
        readable(&key("tls.ca"), authorities, report);
    }
    match &way.credentials {
        None => {}
        Some(Credentials::Basic(Basic { username, password, password_file })) => {
            if username.is_empty() || username.contains(':') || username.chars().any(char::is_control) {
                report.problem(&key("credentials.basic.username"), "expected a user name, without a colon in it");
            }
            one_secret(&key("credentials.basic.password"), password.as_ref(), password_file.as_deref(), report);
        }
        Some(Credentials::Bearer(Bearer { token, token_file })) => {
            one_secret(&key("credentials.bearer.token"), token.as_ref(), token_file.as_deref(), report);
        }
    }
}

/// What is wrong with the URL of a registry. The message does not repeat it, it may hold a password.
fn url(text: &str) -> Result<(), &'static str> {
    // The parser drops a fragment without a word.
    if text.contains(['?', '#']) {
        return Err("expected a URL without query and fragment");
    }
    let Ok(uri) = text.parse::<Uri>() else { return Err("expected a URL, as in https://registry.example") };
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("expected a URL that begins with https:// or http://");
    }
    let Some(authority) = uri.authority() else { return Err("expected a URL with a host") };
    if authority.as_str().contains('@') {
        return Err("expected a URL without user and password; those belong into credentials");
    }
    let port = authority.as_str().rsplit_once(':').filter(|(_, port)| !port.contains(']')).map(|(_, port)| port);
    if authority.host().is_empty() || port.is_some_and(|port| !port.parse::<u16>().is_ok_and(|port| port > 0)) {
        return Err("expected a URL with a host, and a port up to 65535 if any");
    }
    Ok(())
}

fn one_secret(key: &str, inline: Option<&Secret>, file: Option<&Path>, report: &mut Report<'_>) {
    let file_key = format!("{key}_file");
    match (inline, file) {
        (Some(_), Some(_)) => report.problem(&file_key, &format!("expected only one of {key} and this")),
        (None, None) => report.problem(key, &format!("expected this or {file_key}")),
        (Some(secret), None) => {
            let text = secret.expose();
            if text.is_empty() || text.chars().any(char::is_control) {
                report.problem(key, "expected a text that is not empty and has no control characters");
            }
        }
        (None, Some(path)) => {
            if let Err(error) = Secret::read(path) {
                report.problem(&file_key, &crate::telemetry::Chain(&error).to_string());
            }
            private(&file_key, path, report);
        }
    }
}

fn limits(limits: &Limits, report: &mut Report<'_>) {
    at_least_one("limits.connections", limits.connections, report);
    at_least_one("limits.in_flight", limits.in_flight, report);
    for (key, value) in [
        ("limits.handshake", limits.handshake),
        ("limits.first_byte", limits.first_byte),
        ("limits.head_time", limits.head_time),
        ("limits.body_idle", limits.body_idle),
        ("limits.body_time", limits.body_time),
        ("limits.idle", limits.idle),
        ("limits.read", limits.read),
        ("limits.write", limits.write),
        ("limits.drain", limits.drain),
    ] {
        duration(key, value, report);
    }
    for (key, value) in [("limits.read", limits.read), ("limits.write", limits.write)] {
        if value >= CLIENTS_WAIT {
            report.warning(key, NOBODY_WAITS);
        }
    }
    if limits.head < SMALLEST_HEAD {
        report.problem("limits.head", "expected at least 1KiB");
    }
    if limits.body.as_u64() == 0 {
        report.problem("limits.body", "expected more than nothing");
    }
}

fn duration(key: &str, value: Duration, report: &mut Report<'_>) {
    if value.is_zero() || value > LONGEST {
        report.problem(key, "expected a duration of more than nothing and at most a year");
    }
}

fn at_least_one(key: &str, value: usize, report: &mut Report<'_>) {
    if value == 0 {
        report.problem(key, "expected at least 1");
    }
}
