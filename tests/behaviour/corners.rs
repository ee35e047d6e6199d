//! What is seldom asked, and has an answer all the same: odd spellings of numbers, contexts that cannot be, and names
//! that mean more than one thing.

use schema_outpost::config::Config;
use schema_outpost::routing::Pair;
use serde_json::json;
use small_registry::SmallRegistry;

use crate::house::{House, raw, read, registration};

/// Asks the registry itself for something, as somebody else would.
fn elsewhere(house: &House, method: &str, target: &str, body: &str) {
    let answer = house.primary.ask(method, target, Some(body));
    assert!(answer.status < 300, "{method} {target}: {} {}", answer.status, answer.body);
}

/// Demands of questions what the registry says to them, and of the outpost that it says so of itself.
async fn are_known(house: &House, expected: &[(&str, u16, &str)]) {
    house.primary.forget_requests();
    for (target, status, part) in expected {
        let heard = house.get(target).await;
        assert_eq!((heard.status, heard.body.contains(part)), (*status, true), "{target}: {}", heard.body);
    }
    assert_eq!(house.primary.requests().len(), 0, "{:?}", house.primary.requests());
    for (target, status, _) in expected {
        let (direct, heard) = (house.primary.ask("GET", target, None), house.get(target).await);
        assert_eq!((direct.status, &direct.body), (*status, &heard.body), "{target}");
    }
}

async fn of_one_version() -> House {
    let house = House::open().await;
    assert_eq!(house.register("a", "1").await.status, 200);
    house.imported().await;
    house
}

/// `VersionId` takes the blanks off before it reads a number, and names a number that is no version by its value.
#[tokio::test]
async fn a_version_has_blanks_around_it_and_is_refused_as_the_number_that_it_is() {
    let house = of_one_version().await;
    are_known(
        &house,
        &[
            ("/subjects/a/versions/%201", 200, "\"version\":1"),
            ("/subjects/a/versions/+1%20/schema", 200, "record"),
            ("/subjects/a/versions/%20-1%20/referencedby", 200, "[]"),
            ("/subjects/a/versions/%20latest%20", 200, "\"version\":1"),
            ("/subjects/a/versions/00", 422, "'0' is not"),
            ("/subjects/a/versions/%20-02", 422, "'-2' is not"),
            ("/subjects/a/versions/%20x/schema", 422, "' x' is not"),
            ("/subjects/a/versions/%202147483648", 422, "' 2147483648' is not"),
            ("/subjects/a/versions/1%201", 422, "'1 1' is not"),
        ],
    )
    .await;
}

/// A refusal names an id by its number, however that was written.
#[tokio::test]
async fn an_id_that_is_not_there_is_named_by_its_number_under_a_map_too() {
    let pair = |local: &str, primary: &str| Pair { local: local.to_owned(), primary: primary.to_owned() };
    let adjust = |config: &mut Config| config.contexts = vec![pair(".", ".site1"), pair(".p", ".")];
    let house = House::with(SmallRegistry::builder(), adjust).await;
    for (target, message) in
        [("/schemas/ids/+09?subject=:.p:x", "Schema 9 not found"), ("/schemas/ids/09?subject=x", "Schema 9 not found")]
    {
        let heard = house.get(target).await;
        assert_eq!((heard.status, heard.json()["message"].as_str()), (404, Some(message)), "{target}");
    }
    assert_eq!(house.register(":.p:x", "1").await.status, 200);
    let heard = house.get("/subjects/:.p:x/versions/%2009").await;
    assert_eq!((heard.status, heard.json()["message"].as_str()), (404, Some("Version 9 not found.")));
}

/// The framework takes a number that is nothing but blanks for none.
#[tokio::test]
async fn a_page_of_blanks_is_no_page() {
    let house = of_one_version().await;
    are_known(
        &house,
        &[
            ("/subjects?offset=%20", 200, "[\"a\"]"),
            ("/subjects/a/versions?limit=+", 200, "[1]"),
            ("/schemas?offset=%09&limit=%20+", 200, "\"subject\":\"a\""),
            ("/contexts?limit=%20", 200, "[\".\"]"),
            ("/subjects?offset=%201", 404, "HTTP 404 Not Found"),
        ],
    )
    .await;
}

/// The filter of contexts looks at the name where it puts it before something, and only there.
#[tokio::test]
async fn a_context_that_cannot_be_is_refused_where_it_counts() {
    let house = of_one_version().await;
    assert_eq!(house.register(":.c:s", "2").await.status, 200);
    house.imported().await;
    let refusal = "Context name 'a:b' cannot contain a colon";
    are_known(
        &house,
        &[
            ("/contexts/a:b/schemas/types", 200, "AVRO"),
            ("/contexts/a:b/contexts", 200, "[\".\",\".c\"]"),
            ("/contexts/a:b/contexts/.c/subjects", 200, "[\":.c:s\"]"),
            ("/contexts/a:b/subjects/:.c:s/versions", 200, "[1]"),
            ("/contexts/a:b/schemas/ids/1?subject=:.c:", 200, "\":.c:s\""),
            ("/contexts/a:b/subjects?subjectPrefix=:.c:", 200, "[\":.c:s\"]"),
            ("/contexts/a:b/config/:.c:?defaultToGlobal=true", 200, "BACKWARD"),
            ("/contexts/a:b", 400, refusal),
            ("/contexts/a:b/config", 400, refusal),
            ("/contexts/a:b/subjects", 400, refusal),
            ("/contexts/a:b/subjects?subjectPrefix=:.c:&subjectPrefix=s", 400, refusal),
            ("/contexts/.c/contexts/a:b/schemas/ids/1", 400, refusal),
        ],
    )
    .await;
}

/// The filter looks for the dot before it decodes anything, and puts another one before a name that seems to have none.
#[tokio::test]
async fn a_context_behind_an_escaped_dot_has_two() {
    let house = of_one_version().await;
    for subject in [":.c:s", ":..c:two"] {
        assert_eq!(house.register(subject, "2").await.status, 200);
    }
    house.imported().await;
    are_known(
        &house,
        &[
            ("/contexts/%2Ec/subjects", 200, "[\":..c:two\"]"),
            ("/contexts/:%2ec:/subjects/two/versions", 200, "[1]"),
            ("/contexts/%2Ec/schemas/ids/1", 200, "\":..c:two\""),
            ("/contexts/%63/subjects", 200, "[\":.c:s\"]"),
            ("/contexts/.%63/subjects", 200, "[\":.c:s\"]"),
        ],
    )
    .await;
}

/// A filter that puts a parameter into a query anew leaves no blank where a plus was, as with the subject of an id.
#[tokio::test]
async fn behind_a_context_a_plus_in_a_beginning_of_names_is_a_plus() {
    let house = of_one_version().await;
    for (subject, doc) in [(":.with%20blank:x%20y", "2"), (":.with%20blank:x+y", "3")] {
        assert_eq!(house.register(subject, doc).await.status, 200);
    }
    house.imported().await;
    are_known(
        &house,
        &[
            ("/subjects?subjectPrefix=:.with+blank:x+", 200, "[\":.with blank:x y\"]"),
            ("/contexts/.with%20blank/subjects?subjectPrefix=x+", 200, "[\":.with blank:x+y\"]"),
            ("/contexts/.with%20blank/subjects?subjectPrefix=x%20", 200, "[\":.with blank:x y\"]"),
            ("/contexts/.c/schemas?subjectPrefix=:.with+blank:", 200, "[]"),
        ],
    )
    .await;
}

#[tokio::test]
async fn of_a_property_that_is_asked_for_twice_the_last_value_counts() {
    let house = House::open().await;
    for owner in ["sales", "it"] {
        let schema = json!({ "type": "record", "name": "R", "doc": owner, "fields": [] }).to_string();
        let body = json!({ "schema": schema, "metadata": { "properties": { "owner": owner } } }).to_string();
        assert_eq!(house.ask("POST", "/subjects/m/versions", &body).await.status, 200);
    }
    house.imported().await;
    let twice =
        |first: &str, last: &str| format!("/subjects/m/metadata?key=owner&value={first}&key=owner&value={last}");
    are_known(
        &house,
        &[
            (&twice("it", "sales"), 200, "\"version\":1"),
            (&twice("sales", "it"), 200, "\"version\":2"),
            (&twice("nobody", "it"), 200, "\"version\":2"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_context_of_soft_deleted_subjects_is_there_for_those_who_ask_for_them() {
    let house = of_one_version().await;
    assert_eq!(house.register(":.c:s", "2").await.status, 200);
    assert_eq!(house.ask("DELETE", "/subjects/:.c:s", "").await.status, 200);
    house.imported().await;
    are_known(
        &house,
        &[
            ("/subjects/:.c:/versions?deleted=true", 200, "[]"),
            ("/subjects/:.c/versions?deletedOnly=true&deletedAsNegative=true", 200, "[]"),
            ("/subjects/:.__GLOBAL:/versions", 200, "[]"),
        ],
    )
    .await;
    let alone = house.primary.ask("GET", "/subjects/:.c:/versions?deletedAsNegative=true", None);
    let heard = house.get("/subjects/:.c:/versions?deletedAsNegative=true").await;
    assert_eq!((heard.status, &heard.body), (alone.status, &alone.body));
    assert_eq!(heard.code(), 40401);
}

/// WIRE.md § 1.21: from its first registration on, whatever becomes of its subjects.
#[tokio::test]
async fn a_context_stays_listed_when_its_only_subject_came_and_went_between_two_passes() {
    let house = of_one_version().await;
    for (context, parameter) in [(".c", ""), (".d", "?format=nosuch")] {
        let target = format!("/subjects/:{context}:s");
        let heard = house.ask("POST", &format!("{target}/versions{parameter}"), &registration("2")).await;
        assert_eq!(heard.status, 200, "{}", heard.body);
        assert_eq!(house.ask("DELETE", &target, "").await.status, 200);
        assert_eq!(house.ask("DELETE", &format!("{target}?permanent=true"), "").await.status, 200);
    }
    let direct = house.primary.ask("GET", "/contexts", None);
    assert_eq!((house.get("/contexts").await.body, direct.body.as_str()), (direct.body.clone(), r#"[".",".c",".d"]"#));
}

/// The store in which the registry looks for a configuration takes `:.:nick` for `nick`, as its routes do.
#[tokio::test]
async fn an_alias_is_one_however_the_subject_of_an_id_is_spelt() {
    let house = of_one_version().await;
    assert_eq!(house.register(":.c:nick", "2").await.status, 200);
    elsewhere(&house, "PUT", "/config/nick", r#"{"alias":"a"}"#);
    house.imported().await;
    let questions = ["nick", ":.:nick", "%3A.%3Anick"].map(|name| format!("/schemas/ids/1?subject={name}"));
    are_known(&house, &questions.each_ref().map(|target| (target.as_str(), 200, "\"subject\":\"a\""))).await;
}

/// WIRE.md § 3.6: everywhere with a beginning of names is in every context that is listed.
#[tokio::test]
async fn an_alias_in_a_context_that_is_not_listed_is_found_by_no_beginning_of_its_name() {
    let house = of_one_version().await;
    assert_eq!(house.register(":.c:t", "2").await.status, 200);
    for (name, target) in [(":.unlisted:nick", ":.c:t"), (":.c:nick", "t"), ("nick", "a")] {
        elsewhere(&house, "PUT", &format!("/config/{name}"), &json!({ "alias": target }).to_string());
    }
    house.imported().await;
    let aliases = |names: &str| format!("\"aliases\":[{names}]");
    are_known(
        &house,
        &[
            ("/schemas?aliases=true&subjectPrefix=:*:nick", 200, &aliases("\":.c:nick\"")),
            ("/schemas?aliases=true&subjectPrefix=:*:", 200, &aliases("\":.c:nick\",\":.unlisted:nick\"")),
            ("/schemas?aliases=true&subjectPrefix=:.unlisted:", 200, &aliases("\":.unlisted:nick\"")),
        ],
    )
    .await;
}

/// No list has an alias of a subject without versions; the name is looked for in every context all the same (WIRE.md
/// section 1.11), unless it is one.
#[tokio::test]
async fn an_alias_that_leads_nowhere_does_not_lead_to_its_namesake_in_another_context() {
    let house = of_one_version().await;
    for subject in [":.c:nick", ":.c:other", ":.c:a"] {
        assert_eq!(house.register(subject, subject).await.status, 200);
    }
    elsewhere(&house, "PUT", "/config/nick", r#"{"alias":"nowhere"}"#);
    house.imported().await;
    are_known(
        &house,
        &[
            ("/subjects/other/versions/1", 200, r#""subject":":.c:other""#),
            ("/subjects/other/versions/latest/schema", 200, "record"),
            ("/schemas/ids/2?subject=other", 200, r#""subject":":.c:other""#),
            ("/subjects/a/versions/1", 200, r#""subject":"a""#),
        ],
    )
    .await;
    for (target, status, part) in [
        ("/subjects/nick/versions/1", 404, "'nowhere' not found"),
        ("/subjects/nick/versions/latest/schema", 404, "'nowhere' not found"),
        ("/subjects/nick/versions/1/referencedby", 404, "'nowhere' not found"),
    ] {
        let (direct, heard) = (house.primary.ask("GET", target, None), house.get(target).await);
        assert_eq!((direct.status, direct.body.contains(part)), (status, true), "{target}: {}", direct.body);
        assert_eq!((heard.status, &heard.body), (direct.status, &direct.body), "{target}");
    }
    let target = "/schemas/ids/1?subject=nick";
    let (direct, heard) = (house.primary.ask("GET", target, None), house.get(target).await);
    assert_eq!((heard.status, &heard.body), (direct.status, &direct.body), "{target}");
}

/// The registry reads a list or the latest of such a subject out of all contexts, and loses itself in that of this name.
#[tokio::test]
async fn a_subject_with_a_wildcard_in_its_name_is_the_primarys_unless_a_number_is_asked_for() {
    let house = of_one_version().await;
    assert_eq!(house.register(":*:any", "2").await.status, 200);
    house.imported().await;
    are_known(
        &house,
        &[("/subjects/:*:any/versions/1", 200, "\":*:any\""), ("/subjects?subjectPrefix=:*:", 200, "[\"a\"]")],
    )
    .await;
    let targets = [
        "/subjects/:*:any/versions",
        "/subjects/:*:/versions",
        "/subjects/:*:any/versions/latest",
        "/subjects/:*:any/versions/-1/schema",
        "/subjects?subjectPrefix=:*:a",
        "/schemas?subjectPrefix=:*:a&latestOnly=true",
    ];
    for target in targets {
        house.primary.forget_requests();
        house.get(target).await;
        assert_eq!(house.primary.count(|seen| seen.target == target), 1, "{target}");
    }
    house.primary.stop().await;
    for target in targets {
        let heard = house.get(&format!("{target}{}deleted=false", if target.contains('?') { '&' } else { '?' })).await;
        assert_eq!((heard.status, heard.code()), (500, 50003), "{target}: {}", heard.body);
    }
    assert_eq!(house.ask("POST", "/subjects/a", &registration("1")).await.status, 200);
}

#[tokio::test]
async fn the_highest_id_of_a_context_that_has_but_an_imported_zero_is_one() {
    let house = House::open().await;
    elsewhere(&house, "PUT", "/mode/:.zero:", r#"{"mode":"IMPORT"}"#);
    house.imported().await;
    let imported = json!({ "schema": "\"int\"", "id": 0, "version": 1 }).to_string();
    let answer = house.ask("POST", "/subjects/:.zero:s/versions", &imported).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let target = "/schemas/ids/0?fetchMaxId=true&subject=:.zero:";
    let heard = house.get(target).await;
    assert_eq!(heard.json()["maxId"], 1, "{}", heard.body);
    assert_eq!(house.primary.ask("GET", target, None).body, heard.body);
    elsewhere(&house, "PUT", "/mode/:.zero:", r#"{"mode":"READWRITE"}"#);
    let next = house.primary.ask("POST", "/subjects/:.zero:t/versions", Some(&registration("1")));
    assert!(next.body.starts_with("{\"id\":2,"), "{}", next.body);
}

/// The registry's web server takes in a query what no path may have (WIRE.md section 0.7). hyper does not take all of it.
#[tokio::test]
async fn marks_that_stand_raw_in_a_query_mean_what_they_mean_escaped() {
    let house = of_one_version().await;
    assert_eq!(house.register("%22q%22%3C%3E", "1").await.status, 200);
    house.imported().await;
    house.primary.forget_requests();
    let lookup = registration("1");
    let said = async |method: &str, target: &str, body: &str| {
        let length = body.len();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nConnection: close\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        let heard = read(&raw(house.address(), request.as_bytes()).await);
        (heard.status, heard.header("Content-Type").map(str::to_owned), heard.body)
    };
    let escaped = |target: &str| target.replace('"', "%22").replace('<', "%3C").replace('>', "%3E");
    for (method, target, body, status, part) in [
        ("GET", "/subjects?subjectPrefix=\"q", "", 200, r#"["\"q\"<>"]"#),
        ("GET", "/subjects?subjectPrefix=\"q\"<>&offset=", "", 200, r#"["\"q\"<>"]"#),
        ("GET", "/schemas/ids/1?subject=<>", "", 200, "record"),
        ("GET", "/subjects/a/versions?offset=\"0\"", "", 404, "HTTP 404"),
        ("POST", "/subjects/a?deleted=<\">", lookup.as_str(), 200, "\"version\":1"),
        ("HEAD", "/subjects?deleted=\"", "", 200, ""),
    ] {
        let heard = said(method, target, body).await;
        assert_eq!((heard.0, heard.2.contains(part)), (status, true), "{target}: {}", heard.2);
        assert_eq!(said(method, &escaped(target), body).await, heard, "{target}");
    }
    assert_eq!(house.primary.requests().len(), 0, "{:?}", house.primary.requests());
    let refused = said("GET", "/subjects/\"q\"/versions", "").await;
    assert_eq!(refused.0, 400, "not in a path: {}", refused.2);
}
