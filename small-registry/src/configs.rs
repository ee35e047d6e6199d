//! `/config`: reading and changing configurations (WIRE.md § 1.19).

use schema_outpost::protocol::endpoints::Route;
use schema_outpost::protocol::json::Object;
use schema_outpost::protocol::subject::{Context, QualifiedSubject};

use crate::body::{Expected, Members};
use crate::call::{Call, Reply};
use crate::failure::{Failure, Outcome};
use crate::print;
use crate::state::{Config, Level, State};

const GLOBAL: &str = ":.__GLOBAL:";

/// The name of the configuration that the path asks for; the empty one is the top level.
fn scope(call: &Call<'_>) -> QualifiedSubject {
    call.operation.subject.clone()
}

/// `GET /config[/{s}]`
pub(crate) fn get(state: &State, call: &Call<'_>) -> Outcome<Reply> {
    let scope = scope(call);
    let name = scope.to_string();
    let own = state.configs.get(&name);
    let config = match own {
        Some(own) => own.clone(),
        None if name.is_empty() || name == GLOBAL => {
            let global = state.configs.get(GLOBAL).filter(|_| call.flag("defaultToGlobal"));
            global.cloned().unwrap_or_default()
        }
        None if call.flag("defaultToGlobal") || call.profile.gives_own_ids() => state.config(&scope),
        None => return Err(Failure::no_config(&name)),
    };
    Ok(Reply::ok(printed(&config)))
}

fn printed(config: &Config) -> Vec<u8> {
    print(config, "compatibilityLevel", Some(config.effective_level()))
}

fn print(config: &Config, level_key: &str, level: Option<Level>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut object = Object::open(&mut out);
    object.text("alias", config.alias.as_deref()).text("aliasForDeks", config.alias_for_deks.as_deref());
    object.flag("normalize", config.normalize).flag("validateFields", config.validate_fields);
    object.flag("validateNewSchemas", config.validate_new_schemas).flag("validateRules", config.validate_rules);
    object.text(level_key, level.map(Level::as_str)).text("compatibilityPolicy", config.policy.as_deref());
    object.text("compatibilityGroup", config.group.as_deref());
    for (key, metadata) in
        [("defaultMetadata", &config.default_metadata), ("overrideMetadata", &config.override_metadata)]
    {
        if let Some(metadata) = metadata {
            object.key(key).extend_from_slice(print::metadata(metadata).as_bytes());
        }
    }
    for (key, rules) in [("defaultRuleSet", &config.default_rule_set), ("overrideRuleSet", &config.override_rule_set)] {
        object.raw(key, rules.as_ref().map(|rules| &*rules.0));
    }
    object.close();
    out
}

/// `PUT /config[/{s}]`
pub(crate) fn update(state: &mut State, call: &Call<'_>) -> Outcome<Reply> {
    let top = call.route() == Route::UpdateGlobalConfig;
    let argument = if top { "updateTopLevelConfig.arg1" } else { "updateSubjectLevelConfig.arg2" };
    let members = Members::read(call.body, Expected { class: "ConfigUpdateRequest", argument })?;
    let read = Update::read(&members)?;
    let scope = scope(call);
    if !top && matches!(&*scope.subject, "__GLOBAL" | "__EMPTY") {
        return Err(Failure::invalid_subject(&call.operation.subject_text));
    }
    let level = read.level()?;
    state.check_writable(&scope, &shown(&scope))?;
    let config = state.configs.entry(scope.to_string()).or_default();
    match call.profile.gives_own_ids() {
        true => set(&mut config.level, level, true),
        false => read.apply(config, level, call.profile.keeps_rules()),
    }
    let answer = print(config, "compatibility", config.level);
    // An empty alias is echoed as empty, and is no alias.
    let answer = match &config.alias {
        Some(alias) if alias.is_empty() => with_empty_alias(answer),
        _ => answer,
    };
    config.alias.take_if(|alias| alias.is_empty());
    Ok(Reply::ok(answer))
}

fn with_empty_alias(answer: Vec<u8>) -> Vec<u8> {
    let rest = &answer[1..];
    let comma: &[u8] = if rest == b"}" { b"" } else { b"," };
    [b"{\"alias\":\"\"", comma, rest].concat()
}

/// How messages name what a setting is for.
pub(crate) fn shown(scope: &QualifiedSubject) -> String {
    if scope.context.is_default() && scope.is_bare_context() { "null".to_owned() } else { scope.to_string() }
}

/// A change: for every member nothing, a value, or the order to clear it.
struct Update<'a> {
    members: &'a Members,
    compatibility: Option<String>,
    new: Config,
}

const POLICIES: [&str; 3] = ["STRICT", "LENIENT", "LOGICAL"];

impl<'a> Update<'a> {
    fn read(members: &'a Members) -> Outcome<Self> {
        let policy = members.text("compatibilityPolicy")?.map(|policy| policy.to_ascii_uppercase());
        let new = Config {
            alias: members.text("alias")?,
            alias_for_deks: members.text("aliasForDeks")?,
            normalize: members.flag("normalize")?,
            validate_fields: members.flag("validateFields")?,
            validate_new_schemas: members.flag("validateNewSchemas")?,
            validate_rules: members.flag("validateRules")?,
            level: None,
            policy: policy.filter(|policy| POLICIES.contains(&policy.as_str())),
            group: members.text("compatibilityGroup")?,
            default_metadata: members.metadata("defaultMetadata")?,
            override_metadata: members.metadata("overrideMetadata")?,
            default_rule_set: members.rule_set("defaultRuleSet")?,
            override_rule_set: members.rule_set("overrideRuleSet")?,
        };
        Ok(Self { members, compatibility: members.text("compatibility")?, new })
    }

    fn level(&self) -> Outcome<Option<Level>> {
        match &self.compatibility {
            None => Ok(None),
            Some(name) => Level::parse(name).map(Some).ok_or_else(Failure::invalid_level),
        }
    }

    fn apply(self, config: &mut Config, level: Option<Level>, keeps_rules: bool) {
        let has = |key: &str| self.members.has(key);
        let new = self.new;
        set(&mut config.alias, new.alias, has("alias"));
        set(&mut config.alias_for_deks, new.alias_for_deks, has("aliasForDeks"));
        set(&mut config.normalize, new.normalize, has("normalize"));
        set(&mut config.validate_fields, new.validate_fields, has("validateFields"));
        set(&mut config.validate_new_schemas, new.validate_new_schemas, has("validateNewSchemas"));
        set(&mut config.validate_rules, new.validate_rules, has("validateRules"));
        set(&mut config.level, level, has("compatibility"));
        set(&mut config.policy, new.policy, has("compatibilityPolicy"));
        set(&mut config.group, new.group, has("compatibilityGroup"));
        set(&mut config.default_metadata, new.default_metadata, has("defaultMetadata"));
        set(&mut config.override_metadata, new.override_metadata, has("overrideMetadata"));
        if keeps_rules {
            set(&mut config.default_rule_set, new.default_rule_set, has("defaultRuleSet"));
            set(&mut config.override_rule_set, new.override_rule_set, has("overrideRuleSet"));
        }
    }
}

fn set<T>(own: &mut Option<T>, new: Option<T>, mentioned: bool) {
    if mentioned {
        *own = new;
    }
}

/// `DELETE /config[/{s}]`
pub(crate) fn delete(state: &mut State, call: &Call<'_>) -> Outcome<Reply> {
    let scope = scope(call);
    let name = scope.to_string();
    let always = name.is_empty() || scope.context == Context::global();
    if !always && !state.configs.contains_key(&name) {
        return Err(Failure::subject_not_found(&name));
    }
    state.check_writable(&scope, &shown(&scope))?;
    let old = state.configs.remove(&name).unwrap_or_default();
    Ok(Reply::ok(printed(&old)))
}
