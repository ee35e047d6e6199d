//! Items, subjects and answers that cannot be used cost nothing else.

use std::time::Duration;

use schema_outpost::importer::{Config, Reason};
use schema_outpost::protocol::schema::print_listed;
use schema_outpost::upstream::ProfileChoice;
use serde_json::{Value, json};
use small_registry::{Fault, Profile, SmallRegistry};

use super::setting::{self, Setting, holds, until};

/// Replaces the item of a subject's version by what the function makes of its text.
fn broken(listing: &[Value], subject: &str, make: impl Fn(&mut Value)) -> Vec<Value> {
    let mut listing = listing.to_vec();
    let item = listing.iter_mut().find(|item| item["subject"] == subject).expect("it is listed");
    make(item);
    listing
}

#[tokio::test]
async fn a_broken_item_is_named_and_costs_no_other() {
    type Break = fn(&mut Value);
    let breaks: [(&str, Break); 7] = [
        ("an id of another type", |item| item["id"] = json!("two")),
        ("no id", |item| item["id"] = Value::Null),
        ("no schema", |item| item["schema"] = Value::Null),
        ("no object", |item| *item = json!(17)),
        ("a schema of another type", |item| item["schema"] = json!({"type": "int"})),
        ("a version of another type", |item| item["version"] = json!([1])),
        ("an endless schema", |item| item["schema"] = json!("x".repeat(20 << 20))),
    ];
    for (what, make) in breaks {
        let setting = Setting::start().await;
        for subject in ["a", "b", "c", "d"] {
            setting.register(subject, &format!(r#"{{"type":"enum","name":"E","symbols":["{subject}"]}}"#));
        }
        setting.list(&broken(&setting.listing(), "b", make));
        setting.pass().await;
        let snapshot = setting.replica.snapshot();
        assert_eq!(setting.subjects(), 3, "{what}");
        assert!(["a", "c", "d"].iter().all(|subject| holds(&snapshot, subject, 1).is_some()), "{what}");
        let skipped = setting.importer.status().skipped;
        assert_eq!(skipped.len(), 1, "{what}: {skipped:?}");
        // Who reads the replica is told whose versions it lacks.
        let left_out = snapshot.left_out();
        assert_eq!((left_out.concerns("b"), left_out.concerns("c")), (true, what == "no object"), "{what}");
        if what != "no object" {
            assert_eq!(skipped[0].subject.as_deref(), Some("b"), "{what}");
        }
        // Whole again, it comes.
        setting.registry.clear_faults();
        setting.pass().await;
        assert_eq!((setting.subjects(), setting.importer.status().skipped.len()), (4, 0), "{what}");
        assert!(setting.replica.snapshot().left_out().is_empty(), "{what}");
    }
}

#[tokio::test]
async fn an_item_that_breaks_later_leaves_the_version_as_it_was() {
    let setting = Setting::start().await;
    setting.register("a", r#""string""#);
    setting.register("b", r#""int""#);
    setting.pass().await;
    setting.register("b", r#"["null","int"]"#);
    setting.register("c", r#""long""#);
    setting.list(&broken(&setting.listing(), "b", |item| item["id"] = json!("two")));
    setting.pass().await;
    let snapshot = setting.replica.snapshot();
    assert_eq!(holds(&snapshot, "b", 1).expect("the previous one stays").id, 2);
    assert!(holds(&snapshot, "b", 2).is_some() && holds(&snapshot, "c", 1).is_some());
    let skipped = setting.importer.status().skipped;
    assert_eq!((skipped[0].subject.as_deref(), skipped[0].version), (Some("b"), Some(1)));
    assert!(matches!(skipped[0].reason, Reason::Unreadable(_)));
}

#[tokio::test]
async fn bytes_that_are_no_text_and_items_that_are_no_json_are_left_out() {
    let setting = Setting::start().await;
    for subject in ["a", "b", "c"] {
        setting.register(subject, r#""string""#);
    }
    let listing = setting.ask("GET", "/schemas?subjectPrefix=:*:&deleted=true&limit=1000", None).1;
    setting.answer("/schemas?subjectPrefix=:*:", &listing.replacen(r#""version":1,"id""#, r#""version":1 1,"id""#, 1));
    setting.pass().await;
    assert_eq!(setting.subjects(), 2);
    assert_eq!(setting.importer.status().skipped.len(), 1);
    // Not even an array: nothing of it is believed.
    setting.registry.clear_faults();
    for body in ["<html>", "{}", r#"[{"subject":"a""#] {
        setting.answer("/schemas?subjectPrefix=:*:", body);
        assert!(!setting.importer.full_pass_now(false).await.ok, "{body}");
        assert_eq!(setting.subjects(), 2, "{body}");
        setting.registry.clear_faults();
    }
}

#[tokio::test]
async fn what_is_left_out_does_not_cost_a_listing_at_every_interval() {
    let setting = Setting::start().await;
    for subject in ["a", "b", "z"] {
        setting.register(subject, &format!(r#"{{"type":"enum","name":"E","symbols":["{subject}"]}}"#));
    }
    let listing = broken(&setting.listing(), "z", |item| item["id"] = json!("three"));
    let body = serde_json::to_string(&listing).expect("JSON");
    let whole = |seen: &small_registry::Seen| seen.target.ends_with("&deleted=true&offset=0&limit=1000");
    setting.registry.fault_where(whole, None, Fault::Status { status: 200, headers: Vec::new(), body });
    let stop = setting.run();
    until("it is read", || setting.importer.status().caught_up && setting.is_quiet()).await;
    let listings = setting.registry.count(whole);
    setting.registry.forget_requests();
    setting.registry.wait_for(5, |seen| seen.path() == "/contexts").await;
    assert_eq!(setting.registry.count(whole), 0, "after {listings}");
    drop(stop);
}

#[tokio::test]
async fn unknown_members_are_kept_byte_for_byte() {
    let setting = Setting::start().await;
    let item = r#"{"subject":"s","version":1,"id":1,"guid":"0b0c1d2e-0000-0000-0000-000000000000","schemaType":"JSON","metadata":{"tags":{"a":["b"]},"properties":{"n":"1e2"},"later":[1,  2.50]},"schema":"{}","ts":7,"deleted":false,"ruleSet":{"domainRules":[{"name":"r","x":1.0}]},"future":{"b":1,"a":"\u00e9"}}"#;
    setting.answer("/schemas?subjectPrefix=:*:", &format!("[{item}]"));
    setting.pass().await;
    let version = holds(&setting.replica.snapshot(), "s", 1).expect("it is there");
    assert_eq!(String::from_utf8(print_listed("s", &version)).expect("JSON"), item);
}

#[tokio::test]
async fn a_version_whose_reference_nobody_has_waits_for_it_and_holds_up_nothing() {
    let setting = Setting::start().await;
    for subject in ["zbase", "zother"] {
        setting.register(subject, &format!(r#"{{"type":"record","name":"{subject}","fields":[]}}"#));
    }
    setting.register_with_reference("middle", "zbase");
    setting.register_with_reference("alpha", "middle");
    let listing = setting.listing();
    let without: Vec<_> = listing.iter().filter(|item| item["subject"] != "zbase").cloned().collect();
    setting.list(&without);
    setting.pass().await;
    let snapshot = setting.replica.snapshot();
    assert!(holds(&snapshot, "zother", 1).is_some());
    assert!(holds(&snapshot, "middle", 1).is_none() && holds(&snapshot, "alpha", 1).is_none());
    let skipped = setting.importer.status().skipped;
    let reason =
        |subject: &str| skipped.iter().find(|one| one.subject.as_deref() == Some(subject)).map(|one| &one.reason);
    let missing = |subject: &str| Some(Reason::MissingReference { subject: subject.to_owned(), version: 1 });
    assert_eq!(reason("middle"), missing("zbase").as_ref());
    assert_eq!(reason("alpha"), missing("middle").as_ref());
    setting.registry.clear_faults();
    setting.pass().await;
    assert_eq!(setting.subjects(), 4);
    assert!(setting.importer.status().skipped.is_empty());
}

fn items(count: usize) -> Vec<Value> {
    let item = |number| json!({"subject": format!("s{number:05}"), "version": 1, "id": 1, "guid": "g", "schema": "{}", "ts": 1, "deleted": false});
    (0..count).map(item).collect()
}

#[tokio::test]
async fn a_primary_that_knows_no_paging_is_read_once_and_not_for_ever() {
    for count in [999, 1000, 1001, 2500] {
        let config = Config { interval: Duration::from_secs(3600), ..Config::default() };
        let setting = Setting::with(SmallRegistry::start().await, config, ProfileChoice::Auto);
        setting.list(&items(count));
        let stop = setting.run();
        until("it is listed", || setting.importer.status().listed).await;
        drop(stop);
        assert_eq!(setting.subjects(), count);
        let pages = setting.registry.count(|seen| seen.path() == "/schemas");
        assert!(pages <= 2, "{pages} pages for {count}");
    }
}

#[tokio::test]
async fn a_full_pass_ends_though_every_page_is_the_same() {
    let setting = Setting::start().await;
    // All of one subject, so that there is little to sweep.
    let items: Vec<_> = (1..=1000)
        .map(|number| json!({"subject": "s", "version": number, "id": number, "guid": format!("g{number}"), "schema": "{}", "ts": 1, "deleted": false}))
        .collect();
    setting.answer("/schemas?", &json!(items).to_string());
    setting.pass().await;
    assert!(holds(&setting.replica.snapshot(), "s", 1000).is_some());
}

#[tokio::test]
async fn an_item_that_is_too_large_for_any_page_is_stepped_over() {
    let setting = Setting::start().await;
    let all = items(7);
    let holds_the_large_one = |seen: &small_registry::Seen| {
        let number = |name: &str| -> usize {
            let value = seen.target.split(&['?', '&'][..]).find_map(|part| part.strip_prefix(name));
            value.and_then(|value| value.parse().ok()).unwrap_or(0)
        };
        let (offset, limit) = (number("offset="), number("limit="));
        seen.path() == "/schemas" && offset <= 3 && offset + limit > 3
    };
    // Larger than what is taken from any registry.
    let huge = Fault::Status { status: 200, headers: Vec::new(), body: " ".repeat((64 << 20) + 1) };
    setting.registry.fault_where(holds_the_large_one, None, huge);
    for offset in 0..8 {
        for limit in [1_usize, 2, 3, 7, 15, 31, 62, 124, 125, 250, 500, 1000]
            .into_iter()
            .chain([4, 6, 14, 28, 30, 56, 60, 112, 248])
        {
            let page = all.iter().skip(offset).take(limit);
            let body = serde_json::to_string(&page.collect::<Vec<_>>()).expect("JSON");
            let target = format!("/schemas?subjectPrefix=:*:&deleted=true&offset={offset}&limit={limit}");
            let fault = Fault::Status { status: 200, headers: Vec::new(), body };
            setting.registry.fault_where(move |seen| seen.target == target, None, fault);
        }
    }
    setting.pass().await;
    let snapshot = setting.replica.snapshot();
    for number in [0, 1, 2, 4, 5, 6] {
        assert!(holds(&snapshot, &format!("s{number:05}"), 1).is_some(), "{number}");
    }
    assert_eq!(setting.subjects(), 6);
    let skipped = setting.importer.status().skipped;
    assert_eq!((skipped.len(), &skipped[0].reason), (1, &Reason::TooLarge));
}

async fn poor() -> Setting {
    let registry = SmallRegistry::builder().profile(Profile::Poor).start().await.expect("a free port");
    let setting = Setting::with(registry, setting::quick(), ProfileChoice::Auto);
    for subject in ["a", "b", "c"] {
        setting.register(subject, r#""int""#);
    }
    setting
}

#[tokio::test]
async fn a_subject_that_goes_while_it_is_walked_is_gone_and_the_walk_goes_on() {
    let setting = poor().await;
    setting.pass().await;
    assert_eq!(setting.subjects(), 3);
    let gone = Fault::error(404, 40401, "Subject 'b' not found.");
    setting.registry.fault_where(|seen| seen.path() == "/subjects/b/versions", None, gone);
    setting.register("c", r#"["null","int"]"#);
    setting.pass().await;
    let snapshot = setting.replica.snapshot();
    assert!(holds(&snapshot, "b", 1).is_none());
    assert!(holds(&snapshot, "a", 1).is_some() && holds(&snapshot, "c", 2).is_some());
}

#[tokio::test]
async fn a_version_that_goes_while_its_subject_is_walked_is_gone() {
    let setting = poor().await;
    setting.register("b", r#"["null","int"]"#);
    let gone = Fault::error(404, 40402, "Version 1 not found.");
    setting.registry.fault_where(|seen| seen.path() == "/subjects/b/versions/1", None, gone);
    setting.pass().await;
    let snapshot = setting.replica.snapshot();
    assert!(holds(&snapshot, "b", 1).is_none() && holds(&snapshot, "b", 2).is_some());
}

#[tokio::test]
async fn a_subject_that_is_refused_for_ever_is_named_and_asked_for_once_a_pass() {
    let setting = poor().await;
    setting.pass().await;
    let is_b = |seen: &small_registry::Seen| seen.path().starts_with("/subjects/b/");
    setting.registry.fault_where(is_b, None, Fault::error(500, 50001, "no"));
    setting.register("c", r#"["null","int"]"#);
    setting.registry.forget_requests();
    setting.pass().await;
    let snapshot = setting.replica.snapshot();
    assert!(holds(&snapshot, "b", 1).is_some(), "as it was");
    assert!(holds(&snapshot, "c", 2).is_some(), "the others are current");
    assert_eq!(setting.registry.count(is_b), 1);
    let skipped = setting.importer.status().skipped;
    assert_eq!((skipped[0].subject.as_deref(), &skipped[0].reason), (Some("b"), &Reason::Refused(500)));
}

#[tokio::test]
async fn a_list_that_never_listed_anything_is_not_believed_and_the_subjects_are_walked() {
    let setting = Setting::start().await;
    setting.register("a", r#""string""#);
    setting.answer("/schemas?", "[]");
    for _ in 0..2 {
        setting.pass().await;
        assert!(holds(&setting.replica.snapshot(), "a", 1).is_some());
        assert!(setting.importer.status().alarm.is_none());
    }
    setting.registry.clear_faults();
    setting.pass().await;
    assert!(setting.replica.snapshot().remembered("/schemas").is_none(), "it lists now");
}
