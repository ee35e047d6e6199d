//! A site in contexts of a shared primary hears what a registry of its own would say: not in scenes that somebody
//! thought of, but in sequences that chance makes up.
//!
//! Each goes to an outpost with a map before a shared registry, and to a second registry that holds this site's
//! schemas alone. `OUTPOST_ROUND_TRIPS` says how many sequences a map is put to, `OUTPOST_ROUND_TRIPS_FROM` by which
//! number the first goes, which a failure names.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use schema_outpost::app::App;
use schema_outpost::protocol::endpoints::{ENDPOINTS, Effect, Route};
use schema_outpost::routing::Pair;
use serde_json::{Value, json};
use small_registry::SmallRegistry;

use crate::house::{Heard, House, registration, send, settings};
use crate::sequences::{Clients, Step};

/// A map, the contexts in which its site has anything to do, and those at the primary that are others'.
struct Site {
    pairs: &'static [(&'static str, &'static str)],
    contexts: &'static [&'static str],
    foreign: &'static [&'static str],
}

const BELOW: Site = Site {
    pairs: &[(".", ".site1"), (".*", ".site1.*")],
    contexts: &[".", ".c", ".finance", ".site1", ".site2", ".a b"],
    foreign: &["", ":.c:", ":.site2:", ":.site2.c:", ":.site1x:"],
};

const ASIDE: Site = Site {
    pairs: &[(".", ".a b"), (".c", ".site1"), (".d*", ".z*"), (".finance", ".finance"), (".lkc", ".lkc")],
    contexts: &[".", ".c", ".d1", ".d.x", ".finance"],
    foreign: &["", ":.c:", ":.site2:", ":.d1:", ":.z:"],
};

/// No map at all: what differs under it does not come of one.
const PLAIN: Site = Site { pairs: &[], contexts: BELOW.contexts, foreign: &[] };

const AWAY: &str = "with the primary away";

fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().map_or(usual, |text| text.parse().expect("a number"))
}

/// Both registries, and the outpost before one of them.
struct World {
    house: House,
    alone: SmallRegistry,
    guid: String,
}

/// What both sides said.
struct Said<'a> {
    step: &'a Step,
    site: Heard,
    alone: Heard,
}

impl World {
    async fn of(site: &Site) -> Self {
        let pairs =
            site.pairs.iter().map(|(local, primary)| Pair { local: (*local).into(), primary: (*primary).into() });
        let pairs: Vec<Pair> = pairs.collect();
        let house = House::with(SmallRegistry::builder().dek_registry(), |config| config.contexts = pairs).await;
        let alone = SmallRegistry::builder().dek_registry().start().await.expect("a port");
        let key = json!({ "name": "kek2", "kmsType": "aws-kms", "kmsKeyId": "arn" });
        for registry in [&house.primary, &alone] {
            written(registry, "POST", "/dek-registry/v1/keks", &key);
        }
        for context in site.foreign {
            furnish(&house.primary, context);
        }
        house.imported().await;
        Self { house, alone, guid: "d41d8cd9-8f00-b204-e980-0998ecf8427e".to_owned() }
    }

    async fn heard(&self, step: &Step, address: SocketAddr) -> Heard {
        let target = step.target.replace("{guid}", &self.guid);
        let fields: &[(&str, &str)] = if step.body.is_some() { &[("Content-Type", "application/json")] } else { &[] };
        send(address, step.row.method, &target, fields, step.body.as_deref()).await
    }

    async fn ask<'a>(&mut self, step: &'a Step) -> Said<'a> {
        let site = self.heard(step, self.house.address()).await;
        // The modes are the outpost's own, and the one that is asked for needs a local registry.
        let is_control = step.row.effect == Effect::Control;
        let alone = if is_control { site.clone() } else { self.heard(step, self.alone.address()).await };
        if alone.status == 200 && step.row.route == Route::Register && !alone.body.contains("\"references\"") {
            self.guid = alone.json()["guid"].as_str().unwrap_or(&self.guid).to_owned();
        }
        Said { step, site, alone }
    }
}

fn written(registry: &SmallRegistry, method: &str, target: &str, body: &Value) {
    let answer = registry.ask(method, target, Some(&body.to_string()));
    assert!(answer.status < 300, "{method} {target}: {}", answer.body);
}

/// What another site has: the same names, the same ids, other texts.
fn furnish(primary: &SmallRegistry, context: &str) {
    let at = |name: &str| format!("{context}{name}").replace(' ', "%20");
    for (name, doc) in [("s", "theirs-1"), ("s", "theirs-2"), ("orders", "theirs-3"), ("only-theirs", "2")] {
        let body: Value = serde_json::from_str(&registration(doc)).expect("JSON");
        written(primary, "POST", &format!("/subjects/{}/versions", at(name)), &body);
    }
    written(primary, "PUT", &format!("/config/{}", at("theirs")), &json!({ "alias": format!("{context}s") }));
    let dek = json!({ "subject": format!("{context}s"), "version": 1, "encryptedKeyMaterial": "dGhlaXJz" });
    written(primary, "POST", &format!("/dek-registry/v1/keks/kek2/deks/{}", at("s")), &dek);
    let association = json!({
        "resourceName": "t", "resourceNamespace": "theirs", "resourceId": format!("theirs-{context}"),
        "resourceType": "topic",
        "associations": [{ "subject": format!("{context}s"), "associationType": "value", "lifecycle": "WEAK" }],
    });
    written(primary, "POST", "/associations", &association);
}

/// What a site hears otherwise than a registry of its own would say it, and why.
struct Otherwise {
    why: &'static str,
    holds: fn(&Said<'_>) -> bool,
}

const OTHERWISE: &[Otherwise] = &[
    Otherwise {
        why: "the modes are the outpost's own; none is ever set here, so that there is none to take away",
        holds: |said| match said.step.row.effect {
            Effect::Control if said.step.row.method == "DELETE" => matches!(said.site.status, 200 | 404),
            Effect::Control => said.site.status == 422,
            _ => said.step.row.route.name().contains("Mode") && said.site.status == said.alone.status,
        },
    },
    Otherwise {
        why: "a sentence names what lies in the default context without the mark `:.:`",
        holds: |said| {
            let is_sentence = said.site.status >= 400 || said.site.body.contains("\"messages\"");
            is_sentence && shown(said.step, &said.site) == shown(said.step, &said.alone).replace(":.:", "")
        },
    },
    Otherwise {
        why: "a GUID that names an id of the default context which nobody holds any more makes a registry fail",
        holds: |said| said.step.row.route == Route::SchemaByGuid && said.alone.status == 500,
    },
    Otherwise {
        why: "of a version that has aliases in other contexts than its own there is an item for each",
        holds: |said| said.step.row.route == Route::Schemas && said.step.target.contains("aliases="),
    },
    Otherwise {
        why: "which of several holders of an id or a GUID comes first depends on all of its name",
        holds: |said| {
            matches!(said.step.row.route, Route::SchemaById | Route::SchemaByGuid)
                && said.site.status == 200
                && said.alone.status == 200
                && without(&said.site, &["subject", "version", "deleted"])
                    == without(&said.alone, &["subject", "version", "deleted"])
        },
    },
];

fn without(heard: &Heard, members: &[&str]) -> Option<Value> {
    // A sentence may tell a GUID too.
    let mut parts = heard.body.split("guid=");
    let first = parts.next().unwrap_or_default().to_owned();
    let body = parts.fold(first, |body, part| format!("{body}guid{}", part.get(36..).unwrap_or(part)));
    let mut value: Value = serde_json::from_str(&body).ok()?;
    mask(&mut value, members);
    Some(value)
}

/// Leaves out what the clock, chance, and the names at the primary decide (WIRE.md § 7.4).
fn mask(value: &mut Value, members: &[&str]) {
    match value {
        Value::Object(own) => {
            let is_qualified = own.get("references").is_some_and(|names| names.to_string().contains("\":."));
            let is_association = own.contains_key("associationType");
            own.retain(|name, _| {
                !matches!(&**name, "ts" | "createTs" | "updateTs")
                    && !members.contains(&&**name)
                    && (name != "guid" || !(is_qualified || is_association))
            });
            own.values_mut().for_each(|value| mask(value, members));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, members)),
        _ => {}
    }
}

/// A body as it is compared.
fn shown(step: &Step, heard: &Heard) -> String {
    let Some(mut value) = without(heard, &[]) else { return heard.body.clone() };
    // Lists of holders come in the order of what their names hash to.
    if let (Route::SubjectsById | Route::VersionsById, Value::Array(items)) = (step.row.route, &mut value) {
        items.sort_by_key(ToString::to_string);
    }
    value.to_string()
}

fn difference(said: &Said<'_>) -> Option<String> {
    let Said { step, site, alone } = said;
    let kind = |heard: &Heard| heard.header("Content-Type").map(str::to_owned);
    let is_same = site.status == alone.status && kind(site) == kind(alone) && shown(step, site) == shown(step, alone);
    if is_same && step.row.effect != Effect::Control {
        return None;
    }
    let told = |heard: &Heard| format!("{} {:?} {}", heard.status, kind(heard), heard.body);
    Some(format!("the site hears\n    {}\n  instead of\n    {}", told(site), told(alone)))
}

fn otherwise(said: &Said<'_>) -> Option<&'static str> {
    OTHERWISE.iter().find(|otherwise| (otherwise.holds)(said)).map(|otherwise| otherwise.why)
}

/// What came of a sequence: how often each row was answered well, and each reason counted.
#[derive(Default)]
struct Tally {
    well: BTreeMap<(&'static str, &'static str), usize>,
    otherwise: BTreeMap<&'static str, usize>,
    compared: usize,
}

/// Goes through a sequence; the step at which the two differ, and how.
async fn went(site: &Site, steps: &[Step], tally: &mut Tally) -> Option<(usize, String)> {
    let mut world = World::of(site).await;
    for (at, step) in steps.iter().enumerate() {
        let said = world.ask(step).await;
        let is_well = said.site.status < 300;
        if let Some(difference) = difference(&said) {
            let Some(why) = otherwise(&said) else { return Some((at, difference)) };
            *tally.otherwise.entry(why).or_default() += 1;
        }
        tally.compared += 1;
        if is_well || step.row.effect == Effect::Control {
            *tally.well.entry((step.row.method, step.row.path)).or_default() += 1;
        }
    }
    went_alone(&mut world, steps, tally).await
}

/// The reads again, with the primary away: what the site hears then is true, and what it does not hear is more than an
/// outpost without a map could say before the other registry.
async fn went_alone(world: &mut World, steps: &[Step], tally: &mut Tally) -> Option<(usize, String)> {
    world.house.imported().await;
    let twin = App::start(&settings(&world.alone), &tokio::runtime::Handle::current()).expect("started");
    send(twin.admin_address(), "POST", "/import", &[], None).await;
    let reads = || steps.iter().enumerate().filter(|(_, step)| step.is_read());
    let mut truth = Vec::new();
    for (_, step) in reads() {
        truth.push(world.heard(step, world.alone.address()).await);
    }
    world.house.primary.stop().await;
    world.alone.stop().await;
    for ((at, step), alone) in reads().zip(truth) {
        let is_refused = |heard: &Heard| heard.status == 500 && heard.body.contains("\"error_code\":50003");
        let site = world.heard(step, world.house.address()).await;
        if is_refused(&site) && is_refused(&world.heard(step, twin.data_addresses()[0]).await) {
            continue;
        }
        tally.compared += 1;
        let said = Said { step, site, alone };
        if let Some(difference) = difference(&said).filter(|_| otherwise(&said).is_none()) {
            return Some((at, format!("{AWAY}, {difference}")));
        }
    }
    None
}

/// The fewest steps of a sequence after which the two still differ.
async fn fewest(site: &Site, mut steps: Vec<Step>) -> (Vec<Step>, String) {
    let mut tries = 0;
    let mut last = String::new();
    let mut size = steps.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < steps.len() && tries < 300 {
            let mut fewer = steps.clone();
            fewer.drain(at..(at + size).min(steps.len()));
            tries += 1;
            match went(site, &fewer, &mut Tally::default()).await {
                Some((end, difference)) => {
                    if !difference.starts_with(AWAY) {
                        fewer.truncate(end + 1);
                    }
                    (steps, last) = (fewer, difference);
                }
                None => at += size,
            }
        }
        size /= 2;
    }
    (steps, last)
}

async fn hears_what_it_would_alone(site: &Site) {
    let (from, cases) = (number("OUTPOST_ROUND_TRIPS_FROM", 0), number("OUTPOST_ROUND_TRIPS", 3));
    let mut tally = Tally::default();
    for case in from..from + cases {
        let mut steps = Clients::of(case, site.contexts).act(2);
        let Some((at, difference)) = went(site, &steps, &mut tally).await else { continue };
        if !difference.starts_with(AWAY) {
            steps.truncate(at + 1);
        }
        let (steps, last) = fewest(site, steps).await;
        let told: Vec<String> = steps
            .iter()
            .map(|step| format!("{} {} {}", step.row.method, step.target, step.body.as_deref().unwrap_or_default()))
            .collect();
        let last = if last.is_empty() { difference } else { last };
        panic!("sequence {case} under {:?}: {last}\n  after\n    {}", site.pairs, told.join("\n    "));
    }
    println!("{} answers compared, otherwise {:?}", tally.compared, tally.otherwise);
    let never: Vec<_> =
        ENDPOINTS.iter().map(|row| (row.method, row.path)).filter(|row| !tally.well.contains_key(row)).collect();
    assert!(never.len() * 5 <= ENDPOINTS.len(), "hardly anything is answered well: {never:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_site_below_its_name_does_it_hears_what_a_registry_of_its_own_would_say() {
    hears_what_it_would_alone(&BELOW).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_site_with_names_of_another_kind_does_it_hears_the_same() {
    hears_what_it_would_alone(&ASIDE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_done_without_a_map_nothing_is_heard_otherwise() {
    hears_what_it_would_alone(&PLAIN).await;
}
