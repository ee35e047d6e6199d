//! The modes in force: from the running outpost, else from what it kept, else unknown with the reasons.

use std::path::PathBuf;

use schema_outpost::config::Config;
use schema_outpost::protocol::mode::Mode;
use schema_outpost::protocol::subject::{Context, QualifiedSubject};
use schema_outpost::routing::{Home, ModeChange, ModeTable};
use schema_outpost::store::{Table, glance};
use schema_outpost::telemetry::Chain;
use serde_json::Value;

use super::ask::{ask_status, reachable};
use super::harmless;
use super::page::rows;
use super::scopes::named;

/// The modes that count with this configuration.
pub struct InForce {
    pub table: ModeTable,
    pub leftovers: Vec<(QualifiedSubject, String)>,
    pub source: Source,
}

/// Who said what is set.
#[derive(Debug, PartialEq, Eq)]
pub enum Source {
    /// The outpost that runs with this configuration.
    Running(String),
    /// The state directory, and why nobody else was heard.
    Kept(PathBuf, String),
    /// Nobody, and why.
    Nobody(String),
}

impl InForce {
    /// Asks the running outpost, unless `offline`, and looks into the state directory else.
    pub async fn look_up(config: &Config, primaries: &[String], offline: bool) -> Self {
        let heard = if offline { Err("nobody was asked".to_owned()) } else { running(config, primaries).await };
        let unheard = match heard {
            Ok(status) => return Self::of_running(config, &status),
            Err(reason) => reason,
        };
        let Some(directory) = &config.state.directory else {
            let reason = format!("{unheard}, and without a state.directory nothing is kept");
            return Self::of(config, &[], Source::Nobody(reason));
        };
        match glance(directory, Table::Modes) {
            Ok(kept) => {
                let kept: Vec<ModeChange> =
                    kept.unwrap_or_default().iter().map(|(key, value)| ModeChange::kept(key, value)).collect();
                Self::of(config, &kept, Source::Kept(directory.clone(), unheard))
            }
            Err(failure) => Self::of(config, &[], Source::Nobody(format!("{unheard}; {}", Chain(&failure)))),
        }
    }

    fn of(config: &Config, set: &[ModeChange], source: Source) -> Self {
        let table = config.modes().with(set);
        let leftovers = table.leftovers().map(|(scope, mode)| (scope.clone(), mode.to_string())).collect();
        Self { table, leftovers, source }
    }

    fn of_running(config: &Config, status: &Value) -> Self {
        // As it is kept: what is not known here is taken for read-only, as it would be at a start.
        let kept = |row: &Value| {
            let (scope, mode) = (row["scope"].as_str()?, row["mode"].as_str()?);
            let home = row["home"].as_str().map(|home| format!(" {}", home.to_uppercase())).unwrap_or_default();
            Some(ModeChange::kept(scope, format!("{mode}{home}").as_bytes()))
        };
        let set: Vec<ModeChange> = status["modes"].as_array().into_iter().flatten().filter_map(kept).collect();
        let mut known = Self::of(config, &set, Source::Running(reachable(config.admin.bind).to_string()));
        // Under the configuration that it was started with there may be others than under this one.
        for left in rows(&status["leftovers"]) {
            if !known.leftovers.iter().any(|(scope, _)| *scope == left.0) {
                known.leftovers.push(left);
            }
        }
        known
    }

    /// Scopes, other than leftovers, whose registry this configuration does not have, and what would name it.
    pub fn homeless(&self, config: &Config) -> impl Iterator<Item = (&QualifiedSubject, Mode, &'static str)> {
        let is_left = |scope: &QualifiedSubject| self.leftovers.iter().any(|(left, _)| left == scope);
        let homeless = self.table.homeless(|home| config.has(home)).filter(move |(scope, ..)| !is_left(scope));
        homeless.map(|(scope, mode, home)| match home {
            Home::Primary => (scope, mode, "primary.urls"),
            Home::Local => (scope, mode, "local.urls"),
        })
    }

    /// Where requests go, a scope a line.
    pub fn told(&self) -> String {
        let heading = match &self.source {
            Source::Running(address) => format!("by the modes of the outpost that answers on {address}:"),
            Source::Kept(directory, unheard) => {
                format!("by the modes kept in {} ({unheard}):", directory.display())
            }
            Source::Nobody(_) => "if no mode is set; which are could not be looked up:".to_owned(),
        };
        let otherwise = QualifiedSubject::new(Context::global(), "");
        let rest = self.table.own(&otherwise).is_none().then(|| ("where nothing is set".to_owned(), otherwise));
        let set = self.table.iter().map(|(scope, _)| (harmless(&named(scope)), scope.clone()));
        let lines: Vec<(String, QualifiedSubject)> = rest.into_iter().chain(set).collect();
        let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
        let widest = lines.iter().map(|(_, scope)| self.table.in_scope(scope).as_str().len()).max().unwrap_or_default();
        let line = |(name, scope): &(String, QualifiedSubject)| {
            let mode = self.table.in_scope(scope);
            let way = way(mode, self.table.home(scope));
            format!("  {name:width$}  {:widest$}  {way}\n", mode.as_str())
        };
        format!("Where requests go, {heading}\n{}", lines.iter().map(line).collect::<String>())
    }
}

/// The status of the outpost that runs with this configuration, or why there is none to be had.
async fn running(config: &Config, primaries: &[String]) -> Result<Value, String> {
    let (_, status) = ask_status(config.admin.bind).await.map_err(|silence| Chain(&silence).to_string())?;
    let address = reachable(config.admin.bind);
    // The port may be that of another outpost, whose modes are not ours.
    let theirs = status["primary"]["url"].as_str();
    let is_ours = theirs.map_or(primaries.is_empty(), |theirs| primaries.iter().any(|ours| ours == theirs));
    if !is_ours {
        let theirs = theirs.unwrap_or("none");
        return Err(harmless(&format!("the outpost on {address} is another one: its primary is {theirs}")));
    }
    if status["modes"].is_array() { Ok(status) } else { Err(format!("the outpost on {address} lists no modes")) }
}

/// Who serves in a mode.
fn way(mode: Mode, home: Home) -> &'static str {
    match (home, mode) {
        (Home::Primary, mode) if mode.is_read_only() => "read from the replica, writes are refused",
        (Home::Primary, _) => "read from the replica, written to the primary",
        (Home::Local, mode) if mode.is_read_only() => "read from the local registry, writes are refused",
        (Home::Local, Mode::Import) => "read from and written to the local registry, with the ids that clients give",
        (Home::Local, _) => "read from and written to the local registry",
    }
}

#[cfg(test)]
mod tests {
    use schema_outpost::config::Mode as Configured;

    use super::*;

    fn of_a_primary() -> Config {
        let mut config = Config::default();
        config.primary.urls = vec!["http://primary.example".to_owned()];
        config
    }

    fn set(rows: &[(&str, Mode)]) -> Vec<ModeChange> {
        rows.iter().map(|(name, mode)| ModeChange::kept(name, mode.as_str().as_bytes())).collect()
    }

    #[test]
    fn it_is_told_of_every_scope_where_its_requests_go() {
        let rows = set(&[
            ("", Mode::ReadOnly),
            (":.c:", Mode::ReadWrite),
            (":.c:kept", Mode::ReadOnlyOverride),
            (":.d:", Mode::Import),
            ("left", Mode::ReadWrite),
        ]);
        let known = InForce::of(&of_a_primary(), &rows, Source::Kept("/state".into(), "nobody was asked".to_owned()));
        assert_eq!(
            known.told(),
            "\
Where requests go, by the modes kept in /state (nobody was asked):
  where nothing is set        FORWARD            read from the replica, written to the primary
  the default context         READONLY           read from the replica, writes are refused
  subject left                READWRITE          read from and written to the local registry
  context .c                  READWRITE          read from and written to the local registry
  subject kept in context .c  READONLY_OVERRIDE  read from the local registry, writes are refused
  context .d                  IMPORT             read from and written to the local registry, with the ids that clients give
"
        );
        assert_eq!(known.leftovers, [(QualifiedSubject::parse("left"), "READWRITE".to_owned())]);
    }

    #[test]
    fn where_a_mode_is_set_on_everything_the_configured_one_counts_nowhere() {
        let config = Config { mode: Some(Configured::ReadOnly), ..of_a_primary() };
        let told = |rows: &[(&str, Mode)]| InForce::of(&config, &set(rows), Source::Nobody("so".to_owned())).told();
        assert!(told(&[]).ends_with("\n  where nothing is set  READONLY  read from the replica, writes are refused\n"));
        let everywhere = told(&[(":.__GLOBAL:", Mode::Forward)]);
        assert!(everywhere.ends_with("\n  everything  FORWARD  read from the replica, written to the primary\n"));
        assert!(!everywhere.contains("nothing is set "), "{everywhere}");
    }

    #[test]
    fn beside_a_local_registry_alone_everything_lives_there() {
        let mut config = Config::default();
        config.local.urls = vec!["http://local.example".to_owned()];
        let rows = set(&[("", Mode::ReadOnly), (":.c:", Mode::Forward)]);
        let known = InForce::of(&config, &rows, Source::Nobody("so".to_owned()));
        let told = known.told();
        for line in [
            "  where nothing is set  READWRITE  read from and written to the local registry\n",
            "  the default context   READONLY   read from the local registry, writes are refused\n",
        ] {
            assert!(told.contains(line), "{told}");
        }
        let homeless: Vec<_> =
            known.homeless(&config).map(|(scope, mode, key)| (scope.to_string(), mode, key)).collect();
        assert_eq!(homeless, [(":.c:".to_owned(), Mode::Forward, "primary.urls")]);
        let rows = set(&[(":.c:", Mode::Import), (":.d:", Mode::ReadOnly), ("left", Mode::ReadWrite)]);
        let known = InForce::of(&of_a_primary(), &rows, Source::Nobody("so".to_owned()));
        let homeless: Vec<_> =
            known.homeless(&of_a_primary()).map(|(scope, mode, key)| (scope.to_string(), mode, key)).collect();
        assert_eq!(homeless, [(":.c:".to_owned(), Mode::Import, "local.urls")]);
    }

    #[test]
    fn what_the_running_outpost_calls_a_leftover_and_what_this_configuration_makes_one_are_both_listed() {
        let status = serde_json::json!({
            "modes": [
                {"scope": "a", "mode": "IMPORT", "home": "local"}, {"scope": ":.c:", "mode": "READWRITE"},
                {"scope": "new", "mode": "NEWER"}, {"scope": "still", "mode": "READONLY", "home": "local"},
            ],
            "leftovers": [{"scope": ":.d:b", "mode": "READWRITE"}, {"scope": "a", "mode": "IMPORT"}],
        });
        let known = InForce::of_running(&of_a_primary(), &status);
        let names: Vec<String> = known.leftovers.iter().map(|(scope, _)| scope.to_string()).collect();
        assert_eq!(names, ["a", "still", ":.d:b"]);
        assert_eq!(known.table.own(&QualifiedSubject::parse("new")), Some(Mode::ReadOnly));
        assert!(
            known.told().contains("subject still         READONLY   read from the local registry"),
            "{}",
            known.told()
        );
        assert_eq!(known.source, Source::Running("127.0.0.1:8082".to_owned()));
    }
}
