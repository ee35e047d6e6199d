//! What is to be done about one configuration of the local registry: judgement over the primary's, the local
//! registry's, and whether the latter is ours.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::content::canonical;
use super::withheld::Withheld;
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::replica::{Remembered, Snapshot};

/// In answers the level has another name than in what is sent (WIRE.md § 1.19).
const LEVEL: &str = "compatibilityLevel";
const LEVEL_SENT: &str = "compatibility";

/// What is known of a configuration at the primary.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wanted {
    /// It has not been asked for yet.
    Unknown,
    /// There is none.
    Unset,
    Set(Map<String, Value>),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// It is as it should be, or there is nothing to go by.
    Nothing,
    /// It is as it should be, and ours from now on.
    Adopt,
    /// It was ours and is nowhere any more.
    Forget,
    /// This is to be sent.
    Put(Value),
    /// It is to be deleted.
    Delete,
    /// It is neither the primary's nor ours.
    Foreign,
    Withhold(Withheld),
}

/// The key under which the replica remembers a scope's configuration.
pub(super) fn key(scope: &QualifiedSubject) -> String {
    if scope.is_top_level() { "/config".to_owned() } else { format!("/config/{scope}") }
}

/// The scope of a key; nothing where it is no configuration of a scope's own.
pub(super) fn scope(key: &str) -> Option<QualifiedSubject> {
    if key == "/config" {
        return Some(QualifiedSubject::none());
    }
    let name = key.strip_prefix("/config/")?;
    let is_inherited = name.starts_with(":.") && name.ends_with(":?defaultToGlobal=true");
    (!is_inherited).then(|| QualifiedSubject::parse(name))
}

/// What the replica knows of a scope's configuration. Where the primary shows inherited ones for subjects without
/// their own, what is shown for the whole context is not the subject's.
pub(super) fn wanted(held: &Snapshot, scope: &QualifiedSubject, inherits: bool) -> Wanted {
    let Some(known) = held.remembered(&key(scope)) else { return Wanted::Unknown };
    if known.status != 200 {
        return Wanted::Unset;
    }
    let is_inherited = inherits && !scope.is_top_level() && held.remembered("/config") == Some(known);
    match read(known) {
        Some(_) if is_inherited => Wanted::Unset,
        Some(config) => Wanted::Set(config),
        None => Wanted::Unknown,
    }
}

/// A configuration that a registry showed.
pub(super) fn read(answer: &Remembered) -> Option<Map<String, Value>> {
    if answer.status != 200 {
        return None;
    }
    serde_json::from_slice::<Map<String, Value>>(&answer.body).ok()
}

/// Judges a configuration. Where nothing is set the top level and everything show a level all the same.
pub(super) fn plan(
    scope: &QualifiedSubject,
    wanted: &Wanted,
    held: Option<&Map<String, Value>>,
    is_ours: bool,
) -> Step {
    let always_shown = scope.is_top_level() || scope.context == Context::global();
    match (wanted, held) {
        (Wanted::Unknown, _) => Step::Nothing,
        (Wanted::Unset, None) if is_ours => Step::Forget,
        (Wanted::Unset, None) => Step::Nothing,
        (Wanted::Unset, Some(_)) if is_ours => Step::Delete,
        (Wanted::Unset, Some(held)) if always_shown && says_only_a_level(held) => Step::Nothing,
        (Wanted::Unset, Some(_)) => Step::Foreign,
        (Wanted::Set(wanted), Some(held)) if same(wanted, held) => {
            if is_ours {
                Step::Nothing
            } else {
                Step::Adopt
            }
        }
        (Wanted::Set(wanted), None) => Step::Put(update(wanted, &Map::new())),
        (Wanted::Set(wanted), Some(held)) if is_ours || (always_shown && says_only_a_level(held)) => {
            Step::Put(update(wanted, held))
        }
        (Wanted::Set(_), Some(_)) => Step::Withhold(Withheld::OtherConfig),
    }
}

/// What is to be sent so that a scope is no alias for a while.
pub(super) fn without_alias() -> Bytes {
    Bytes::from_static(br#"{"alias":null}"#)
}

/// Whether a configuration makes its subject's name lead elsewhere.
pub(super) fn is_alias(config: &Map<String, Value>) -> bool {
    config.get("alias").and_then(Value::as_str).is_some_and(|alias| !alias.is_empty())
}

fn says_only_a_level(config: &Map<String, Value>) -> bool {
    config.iter().all(|(key, value)| key == LEVEL || value.is_null())
}

fn same(one: &Map<String, Value>, other: &Map<String, Value>) -> bool {
    let print = |config: &Map<String, Value>| canonical(&Value::Object(config.clone()));
    print(one) == print(other)
}

/// What is absent in what is sent stays as it is, and what is null is cleared.
fn update(wanted: &Map<String, Value>, held: &Map<String, Value>) -> Value {
    let sent = |key: &str| if key == LEVEL { LEVEL_SENT.to_owned() } else { key.to_owned() };
    let cleared = held.keys().filter(|key| !wanted.contains_key(*key)).map(|key| (sent(key), Value::Null));
    wanted.iter().map(|(key, value)| (sent(key), value.clone())).chain(cleared).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(value: &Value) -> Map<String, Value> {
        value.as_object().expect("an object").clone()
    }

    fn judged(scope: &str, wanted: Option<&Value>, held: Option<&Value>, is_ours: bool) -> Step {
        let wanted = wanted.map_or(Wanted::Unset, |wanted| Wanted::Set(config(wanted)));
        plan(&QualifiedSubject::parse(scope), &wanted, held.map(config).as_ref(), is_ours)
    }

    #[test]
    fn a_configuration_is_made_what_it_is_at_the_primary() {
        let wanted = json!({"normalize":true,"compatibilityLevel":"FULL"});
        let all = Step::Put(json!({"normalize":true,"compatibility":"FULL"}));
        assert_eq!(judged("s", Some(&wanted), None, false), all);
        let other = json!({"alias":"x","compatibilityLevel":"NONE"});
        let cleared = Step::Put(json!({"normalize":true,"compatibility":"FULL","alias":null}));
        assert_eq!(judged("s", Some(&wanted), Some(&other), true), cleared);
        let same = json!({"compatibilityLevel":"FULL","normalize":true,"alias":null});
        assert_eq!(judged("s", Some(&wanted), Some(&same), false), Step::Adopt);
        assert_eq!(judged("s", Some(&wanted), Some(&same), true), Step::Nothing);
    }

    #[test]
    fn what_is_not_ours_is_neither_replaced_nor_deleted() {
        let (wanted, other) = (json!({"compatibilityLevel":"FULL"}), json!({"compatibilityLevel":"NONE"}));
        assert_eq!(judged("s", Some(&wanted), Some(&other), false), Step::Withhold(Withheld::OtherConfig));
        assert_eq!(judged("s", None, Some(&other), false), Step::Foreign);
        assert_eq!(judged("s", None, Some(&other), true), Step::Delete);
        assert_eq!(judged("s", None, None, true), Step::Forget);
        assert_eq!(judged("s", None, None, false), Step::Nothing);
    }

    #[test]
    fn a_level_that_is_always_shown_is_nobodys() {
        let (wanted, other) = (json!({"compatibilityLevel":"FULL"}), json!({"compatibilityLevel":"BACKWARD"}));
        for scope in ["", ":.__GLOBAL:"] {
            assert_eq!(judged(scope, Some(&wanted), Some(&other), false), Step::Put(json!({"compatibility":"FULL"})));
            assert_eq!(judged(scope, None, Some(&other), false), Step::Nothing);
            let set = json!({"compatibilityLevel":"BACKWARD","normalize":true});
            assert_eq!(judged(scope, Some(&wanted), Some(&set), false), Step::Withhold(Withheld::OtherConfig));
        }
    }

    #[test]
    fn keys_are_those_of_scopes_and_what_is_inherited_is_none() {
        for (printed, name) in [
            ("/config", Some("")),
            ("/config/s", Some("s")),
            ("/config/:.c:", Some(":.c:")),
            ("/config/s?defaultToGlobal=true", Some("s?defaultToGlobal=true")),
            ("/config/:.c:?defaultToGlobal=true", None),
            ("/config?defaultToGlobal=true", None),
            ("/mode/s", None),
        ] {
            assert_eq!(scope(printed), name.map(QualifiedSubject::parse), "{printed}");
            if let Some(scope) = scope(printed) {
                assert_eq!(key(&scope), printed);
            }
        }
    }
}
