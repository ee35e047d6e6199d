//! How paths are spelt (FAULTS.md, P), without a map, under one, and on a bound listener: nothing is resolved that the
//! registry does not resolve, and what is forwarded names what was asked for.

use schema_outpost::routing::Pair;
use small_registry::{Seen, SmallRegistry};

use crate::house::{Heard, House, raw, read, registration, send};

/// The ways in which an outpost stands before its primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    Plain,
    Mapped,
    Bound,
}

const STANDS: [Stand; 3] = [Stand::Plain, Stand::Mapped, Stand::Bound];

impl Stand {
    async fn open(self) -> House {
        House::with(SmallRegistry::builder(), |config| match self {
            Self::Plain => {}
            Self::Mapped => {
                let pair = |local: &str, primary: &str| Pair { local: local.into(), primary: primary.into() };
                config.contexts = vec![pair(".", ".site1"), pair(".*", ".site1.*")];
            }
            Self::Bound => config.listeners[0].context = Some(".site1".to_owned()),
        })
        .await
    }

    /// The primary's name of a subject without a context.
    fn named(self, subject: &str) -> String {
        if self == Self::Plain { subject.to_owned() } else { format!(":.site1:{subject}") }
    }

    /// How it is written in a body that the client is shown.
    fn shown(self, subject: &str) -> String {
        if self == Self::Bound { format!(":.site1:{subject}") } else { subject.to_owned() }
    }
}

/// What a client had forwarded; the importer asks in nobody's name.
fn forwarded(house: &House) -> Vec<Seen> {
    house.primary.requests().into_iter().filter(|seen| seen.headers.contains_key("via")).collect()
}

/// What the primary has, in all contexts.
fn state(house: &House) -> String {
    house.primary.ask("GET", "/schemas?subjectPrefix=:*:&deleted=true", None).body
}

async fn asked(house: &House, method: &str, target: &str) -> Heard {
    let body = registration("1");
    let fields = "Content-Type: application/json\r\nConnection: close";
    let request =
        format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    read(&raw(house.address(), request.as_bytes()).await)
}

/// Asks in all spellings, and holds all of it to a status, and to nothing having been forwarded or changed.
async fn stays_here(targets: &[String], statuses: &[u16]) {
    for stand in STANDS {
        let house = stand.open().await;
        assert_eq!(house.register("s", "1").await.status, 200);
        house.imported().await;
        let before = state(&house);
        house.primary.forget_requests();
        for target in targets {
            for method in ["GET", "POST", "PUT", "DELETE"] {
                let heard = asked(&house, method, target).await;
                assert!(statuses.contains(&heard.status), "{stand:?} {method} {target}: {heard:?}");
                assert!(!heard.body.contains("x-y"), "{stand:?} {method} {target}: {heard:?}");
            }
        }
        assert_eq!(forwarded(&house).iter().map(|seen| &seen.target).collect::<Vec<_>>(), Vec::<&String>::new());
        assert_eq!(state(&house), before, "{stand:?}");
    }
}

/// Every place of a name in a path, with something in it.
fn everywhere(text: &str) -> Vec<String> {
    [
        "/subjects/{}/versions",
        "/subjects/s/versions/{}",
        "/subjects/{}",
        "/config/{}",
        "/schemas/ids/{}/schema",
        "/contexts/.c/subjects/{}/versions",
        "/compatibility/subjects/{}/versions/1",
        "/dek-registry/v1/keks/{}/deks/s",
        "/associations/resources/{}/n",
    ]
    .map(|path| path.replace("{}", text))
    .to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_decoded_once_and_is_the_same_name_at_the_primary() {
    for stand in STANDS {
        let house = stand.open().await;
        for (spelt, name) in [
            ("a%2Fb", "a/b"),
            ("a%252Fb", "a%2Fb"),
            ("a%25b", "a%b"),
            ("a+b", "a+b"),
            ("a%20b", "a b"),
            ("%F0%9F%9B%92", "\u{1f6d2}"),
            ("a%252520b", "a%2520b"),
            ("%c3%a9", "\u{e9}"),
            ("semi%3Bcolon", "semi;colon"),
            ("q%22'", "q\"'"),
            ("a%3Ab", "a:b"),
        ] {
            let heard = house.register(spelt, "1").await;
            assert_eq!(heard.status, 200, "{stand:?} {spelt}: {heard:?}");
            let listed = house.primary.ask("GET", "/subjects", None).body;
            let listed: Vec<String> = serde_json::from_str(&listed).expect("names");
            assert_eq!(listed, [stand.named(name)], "{stand:?} {spelt}");
            let shown = house.get(&format!("/subjects/{spelt}/versions/1")).await.json();
            assert_eq!(shown["subject"], stand.shown(name), "{stand:?} {spelt}");
            for permanent in ["false", "true"] {
                let heard = house.ask("DELETE", &format!("/subjects/{spelt}?permanent={permanent}"), "").await;
                assert_eq!(heard.body, "[1]", "{stand:?} {spelt}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_dots_are_no_route_and_never_resolved() {
    let mut targets: Vec<String> =
        ["/subjects/x/../../mode", "/subjects/../config", "/./subjects", "/subjects/./s/versions"]
            .map(str::to_owned)
            .to_vec();
    targets.extend(everywhere(".."));
    targets.extend(everywhere("."));
    stays_here(&targets, &[404]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_dots_are_refused_in_every_segment() {
    let mut targets = Vec::new();
    for dots in
        ["%2e", "%2e%2e", ".%2e", "%2E.", "..;a=b", ".;", "%2F..%2F", "x%2F..%2Fy", "..%2Fs", "s%2F.", "%2e%2e;a"]
    {
        targets.extend(everywhere(dots));
        targets.extend([format!("/contexts/{dots}/subjects"), format!("/contexts/{dots}/subjects/s/versions")]);
    }
    targets.push("/contexts/..%2F.other/subjects".to_owned());
    targets.push("/contexts/.c%2F..%2F.other/subjects/s/versions".to_owned());
    stays_here(&targets, &[400]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_utf_8_or_controls_something_is_refused() {
    let mut targets = Vec::new();
    for text in ["%zz", "%", "%C0%AF", "%ED%A0%80", "%00", "%0d%0aX:y", "a\\b", "a%5Cb", "%FF", "%u0041", "%7F", "%09"]
    {
        targets.extend(everywhere(text));
        targets.push(format!("/contexts/{text}/subjects"));
    }
    stays_here(&targets, &[400]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_segments_and_contexts_with_parameters_are_refused() {
    let targets = [
        "//subjects",
        "/subjects//versions",
        "/contexts//subjects",
        "/contexts/.c//subjects",
        "/contexts;x=y/.other/subjects",
        "/contexts/.other;x=y/subjects/s/versions",
        "/contexts/.c/contexts/.other;x/subjects",
        "/contexts/a:b/subjects",
    ];
    stays_here(&targets.map(str::to_owned), &[400]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_of_a_segment_are_no_part_of_a_name() {
    for stand in STANDS {
        let house = stand.open().await;
        assert_eq!(house.register("s;a=b", "1").await.status, 200);
        assert_eq!(house.primary.ask("GET", "/subjects", None).body, format!("[\"{}\"]", stand.named("s")));
        for target in ["/subjects;x/s/versions", "/subjects/s;x=:.other:/versions;y", "/subjects/s/versions;a=b/"] {
            assert_eq!(house.get(target).await.body, "[1]", "{stand:?} {target}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_read_as_the_registry_reads_them() {
    for stand in STANDS {
        let house = stand.open().await;
        for doc in ["1", "2"] {
            assert_eq!(house.register("s", doc).await.status, 200);
        }
        house.imported().await;
        house.primary.forget_requests();
        for (version, number) in
            [("latest", 2), ("LATEST", 2), ("-1", 2), ("+1", 1), ("01", 1), ("%31", 1), ("1", 1), ("1%20", 1)]
        {
            let heard = house.get(&format!("/subjects/s/versions/{version}")).await;
            assert_eq!((heard.status, &heard.json()["version"]), (200, &number.into()), "{stand:?} {version}");
        }
        for version in ["0", "-2", "1.0", "2147483648", "9223372036854775808", "1%202", "x", "%252F"] {
            let heard = house.get(&format!("/subjects/s/versions/{version}")).await;
            assert_eq!((heard.status, heard.code()), (422, 42202), "{stand:?} {version}: {heard:?}");
        }
        assert_eq!(forwarded(&house).len(), 0, "{stand:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_are_no_numbers_are_no_route_and_never_forwarded() {
    for stand in STANDS {
        let house = stand.open().await;
        assert_eq!(house.register("s", "1").await.status, 200);
        house.imported().await;
        house.primary.forget_requests();
        for id in ["abc", "2147483648", "123456789012345678901234567890", "1.0", "0x1", "%2F", "1%20"] {
            for rest in ["", "/schema", "/subjects", "/versions"] {
                let heard = house.get(&format!("/schemas/ids/{id}{rest}")).await;
                assert_eq!((heard.status, heard.code()), (404, 404), "{stand:?} {id}{rest}: {heard:?}");
            }
        }
        assert_eq!(forwarded(&house).len(), 0, "{stand:?}");
        for id in ["-1", "0"] {
            let heard = house.get(&format!("/schemas/ids/{id}")).await;
            assert_eq!((heard.status, heard.code()), (404, 40403), "{stand:?} {id}: {heard:?}");
        }
    }
}

/// A registry in which the other sites' texts are told from this one's, and every id is taken everywhere.
async fn shared(stand: Stand) -> House {
    let house = stand.open().await;
    for (context, doc) in [("", "x-y-plain"), (":.other:", "x-y-other"), (":.site10:", "x-y-ten"), (":.site1:", "mine")]
    {
        let target = format!("/subjects/{context}s/versions");
        assert_eq!(house.primary.ask("POST", &target, Some(&registration(doc))).status, 200);
    }
    house.imported().await;
    house.primary.forget_requests();
    house
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_another_context_shows_what_is_in_it() {
    for stand in [Stand::Mapped, Stand::Bound] {
        let house = shared(stand).await;
        for target in [
            "/contexts/.other/subjects",
            "/contexts/.other/subjects/s/versions/1",
            "/contexts/:.other:/schemas/ids/1",
            "/contexts/%3A.other%3A/subjects",
            "/contexts/%2Eother/subjects/s/versions/1",
            "/contexts/.site1/contexts/.other/subjects/s/versions/1",
            "/contexts/.%2Fother/subjects",
            "/contexts/.other%252F/subjects",
            "/contexts/./subjects/s/versions/1/schema",
            "/contexts/../subjects/s/versions/1/schema",
            "/contexts/*/subjects",
            "/subjects/:.other:s/versions/1",
            "/subjects/%3A.other%3As/versions/1",
            "/subjects/:%2Eother:s/versions/1",
            "/subjects/%253A.other%253As/versions/1",
            "/subjects/:.:s/versions/1/schema",
            "/subjects/:.::.other:s/versions/1/schema",
            "/subjects/:*:s/versions/1/schema",
            "/subjects/:.site10:s/versions/1/schema",
            "/subjects?subjectPrefix=:*:",
            "/subjects?subjectPrefix=:.",
            "/subjects?subjectPrefix=:.site1",
            "/subjects?subjectPrefix=%3A.other%3A",
            "/subjects?subjectPrefix=x:*:",
            "/schemas?subjectPrefix=:*:",
            "/schemas?subjectPrefix=:.::.other:",
            "/schemas/ids/1?subject=:.other:s",
            "/schemas/ids/1/schema?subject=:.other:",
            "/schemas/ids/1/schema?subject=s",
            "/schemas/ids/1/schema?%73ubject=%3A.other%3As",
            "/schemas/ids/1/versions?subject=:.other:&deleted=true",
            "/config/:.other:s?defaultToGlobal=true",
            "/compatibility/subjects/:.other:s/versions",
        ] {
            for spelt in
                [target.to_owned(), format!("{target}{}unknown=1", if target.contains('?') { '&' } else { '?' })]
            {
                let heard = house.get(&spelt).await;
                assert!(heard.status < 600 && heard.status >= 200, "{stand:?} {spelt}: {heard:?}");
                assert!(!heard.body.contains("x-y"), "{stand:?} {spelt}: {heard:?}");
            }
        }
        let foreign = |seen: &Seen| {
            let target = seen.target.replace("%3A", ":").replace("%2E", ".");
            let begins = ["/:.other", "=:.other", "/:.site10", "=:.site10", "/contexts/.other"];
            begins.iter().any(|name| target.contains(name))
        };
        let passed: Vec<String> = forwarded(&house).into_iter().filter(foreign).map(|seen| seen.target).collect();
        // Under the map a context called `.other` is one of this site's, and has the site's name before its own.
        assert_eq!(passed, Vec::<String>::new(), "{stand:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_asked_in_its_own_context_whoever_was_answered_before() {
    for stand in [Stand::Mapped, Stand::Bound] {
        let house = shared(stand).await;
        for turn in 0..3 {
            for (target, is_mine) in [
                ("/schemas/ids/1", true),
                ("/schemas/ids/1?subject=s", true),
                ("/schemas/ids/1/schema", true),
                ("/schemas/ids/1?subject=:.other:s", false),
                ("/contexts/.other/schemas/ids/1/schema", false),
                (["/schemas/ids/1?unknown=1", "/schemas/ids/1?unknown=2", "/schemas/ids/1?unknown=3"][turn], true),
            ] {
                let heard = house.get(target).await;
                assert_eq!(heard.body.contains("mine"), is_mine, "{stand:?} {target}: {heard:?}");
                assert!(!heard.body.contains("x-y"), "{stand:?} {target}: {heard:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_of_everything_leads_no_id_out_of_the_site() {
    let house = shared(Stand::Mapped).await;
    assert_eq!(house.ask("PUT", "/config", r#"{"alias":"s"}"#).await.status, 200);
    for number in 0..3 {
        for path in ["", "/schema", "/subjects", "/versions"] {
            let heard = house.get(&format!("/schemas/ids/1{path}?unknown={number}")).await;
            assert!(!heard.body.contains("x-y"), "{path}: {heard:?}");
            assert!(!heard.body.contains("site1"), "{path}: {heard:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_admin_port_is_at_the_data_port() {
    for stand in STANDS {
        let house = stand.open().await;
        for path in ["/metrics", "/status", "/digest", "/live", "/ready", "/startup", "/import"] {
            for target in [
                path.to_owned(),
                format!("/subjects/..{path}"),
                format!("/subjects/%2e%2e{path}"),
                format!("/contexts/.c{path}"),
                format!("/.{path}"),
                format!("/{path}"),
                format!("http://{}{path}", house.admin()),
            ] {
                let heard = send(house.address(), "GET", &target, &[], None).await;
                // What no registry has is nobody's to see on a bound listener.
                let statuses: &[u16] = if stand == Stand::Bound { &[400, 403, 404] } else { &[400, 404] };
                assert!(statuses.contains(&heard.status), "{stand:?} {target}: {heard:?}");
                assert!(!heard.body.contains("caughtUp") && !heard.body.contains("# TYPE"), "{stand:?} {target}");
            }
        }
    }
}
