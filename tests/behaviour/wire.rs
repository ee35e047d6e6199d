//! HTTP itself at the data port (FAULTS.md, H and P).

use crate::house::{Heard, House, all_of, raw, read, registration, send};

#[tokio::test]
async fn malformed_targets_are_refused_here_and_never_forwarded() {
    let house = House::open().await;
    house.primary.forget_requests();
    for (target, status) in [
        ("/subjects/x/../../mode", 404),
        ("/subjects/x%2F..%2Fy/versions", 400),
        ("/subjects/./versions", 404),
        ("/subjects/%zz/versions", 400),
        ("/subjects/%/versions", 400),
        ("/subjects/%C0%AF/versions", 400),
        ("/subjects/%ED%A0%80/versions", 400),
        ("/subjects/%00/versions", 400),
        ("/subjects/%0d%0aX:y/versions", 400),
        ("/subjects/a\\b/versions", 400),
    ] {
        for method in ["GET", "POST", "DELETE"] {
            let answer = send(house.address(), method, target, &[], None).await;
            assert_eq!(answer.status, status, "{method} {target}: {}", answer.body);
            assert_eq!(answer.code(), i64::from(status), "{method} {target}");
        }
    }
    assert_eq!(house.primary.requests().len(), 0);
}

/// What the registry's web server would say, in its words (WIRE.md § 0.6).
#[tokio::test]
async fn ambiguous_targets_are_refused_with_the_web_servers_pages_and_never_forwarded() {
    let house = House::open().await;
    house.primary.forget_requests();
    for (target, why) in [
        ("//subjects", "Ambiguous URI empty segment"),
        ("/subjects//versions?deleted=true", "Ambiguous URI empty segment"),
        ("/contexts//subjects", "Ambiguous URI empty segment"),
        ("/subjects/;a=b/versions", "Ambiguous URI empty segment"),
        ("/subjects/%2e%2e/versions", "Ambiguous URI path segment"),
        ("/subjects/.%2e/versions", "Ambiguous URI path segment"),
        ("/subjects/..;a=b/versions", "Ambiguous URI path parameter"),
        ("/subjects/a%5Cb/versions", "Suspicious Path Character"),
        ("/subjects/[s]/versions", "Illegal Path Character"),
    ] {
        let json = |address: &str| {
            format!("{{\n\"message\":\"{why}\",\n\"url\":\"http://{address}{target}\",\n\"status\":\"400\"\n}}")
        };
        let address = house.address();
        for (accept, media, body) in [
            ("application/vnd.schemaregistry.v1+json", None, String::new()),
            ("application/json", Some("application/json"), json(&address.to_string())),
        ] {
            let answer = send(address, "GET", target, &[("Accept", accept)], None).await;
            assert_eq!((answer.status, &answer.body), (400, &body), "{target}");
            assert_eq!(answer.header("Content-Type"), media, "{target}");
            assert_eq!(answer.header("Cache-Control"), Some("must-revalidate,no-cache,no-store"), "{target}");
            assert_eq!((answer.header("X-Request-ID"), answer.header("Vary")), (None, None), "{target}");
        }
        let page = send(address, "GET", target, &[], None).await;
        assert_eq!(page.header("Content-Type"), Some("text/html;charset=iso-8859-1"), "{target}");
        assert!(page.body.contains(&format!("<tr><th>MESSAGE:</th><td>{why}</td></tr>")), "{target}: {}", page.body);
        for method in ["PUT", "DELETE"] {
            let answer = send(address, method, target, &[], None).await;
            assert_eq!((answer.status, answer.header("Content-Length")), (400, Some("0")), "{method} {target}");
        }
    }
    assert_eq!(house.primary.requests().len(), 0);
}

#[tokio::test]
async fn strange_methods_and_forms_have_no_tunnel() {
    let house = House::open().await;
    house.primary.forget_requests();
    let address = house.address();
    for (request, statuses) in [
        ("TRACE /subjects HTTP/1.1\r\nHost: x\r\nAuthorization: secret\r\nConnection: close\r\n\r\n", &[405][..]),
        ("CONNECT evil:443 HTTP/1.1\r\nHost: evil:443\r\nConnection: close\r\n\r\n", &[400, 405, 501]),
        ("get /subjects HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", &[405]),
        ("PROPFIND /subjects HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", &[405]),
        ("GET /subjects HTTP/1.1\r\nConnection: close\r\n\r\n", &[400]),
        ("GET /subjects HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n", &[400]),
        ("GET * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", &[400]),
        ("GET ftp://evil/x HTTP/1.1\r\nHost: evil\r\nConnection: close\r\n\r\n", &[400]),
        ("GET /subjects HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\nConnection: close\r\n\r\n", &[417]),
        (
            "POST /subjects/a/versions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\nConnection: close\r\n\r\n0\r\n\r\n",
            &[400, 501],
        ),
    ] {
        let answer = read(&raw(address, request.as_bytes()).await);
        assert!(statuses.contains(&answer.status), "{request:?}: {answer:?}");
        assert!(!answer.body.contains("secret"));
    }
    assert_eq!(house.primary.requests().len(), 0);
}

#[tokio::test]
async fn a_broken_chunk_never_registers_anything() {
    let house = House::open().await;
    house.primary.forget_requests();
    for chunk in ["0x1\r\na\r\n0\r\n\r\n", "-1\r\n", "0_2e\r\nab\r\n0\r\n\r\n", "FFFFFFFFFFFFFFFFF\r\na", "5\r\nab"] {
        let request = format!(
            "POST /subjects/a/versions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{chunk}"
        );
        let mut stream = tokio::net::TcpStream::connect(house.address()).await.expect("connected");
        tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.expect("written");
        tokio::io::AsyncWriteExt::shutdown(&mut stream).await.expect("shut");
        let mut answer = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer).await;
        let heard = read(&answer);
        assert!(answer.is_empty() || heard.status == 400, "{chunk:?}: {heard:?}");
    }
    assert_eq!(house.primary.requests().len(), 0);
}

#[tokio::test]
async fn a_body_of_a_cached_read_is_never_a_request() {
    let house = House::open().await;
    house.register("a", "1").await;
    house.primary.forget_requests();
    let inner = "DELETE /subjects/a HTTP/1.1\r\nHost: x\r\n\r\n";
    let request = format!(
        "GET /subjects HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{inner}GET /mode HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        inner.len()
    );
    let answer = String::from_utf8_lossy(&raw(house.address(), request.as_bytes()).await).into_owned();
    assert!(answer.contains(r#"["a"]"#), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
    assert_eq!(house.primary.count(|seen| seen.method == "DELETE"), 0);
}

#[tokio::test]
async fn bodies_have_a_limit_that_the_primary_never_sees_crossed() {
    let house = House::open().await;
    house.primary.forget_requests();
    let large = "x".repeat((1 << 20) + 1);
    let answer = house.ask("POST", "/subjects/a/versions", &large).await;
    assert_eq!((answer.status, answer.code()), (413, 413));
    assert_eq!(house.primary.requests().len(), 0);
}

#[tokio::test]
async fn head_is_get_without_its_body() {
    let house = House::open().await;
    house.register("a", "1").await;
    for target in ["/subjects", "/subjects/a/versions/1", "/schemas/ids/1", "/config", "/mode", "/"] {
        let get = house.get(target).await;
        let head = send(house.address(), "HEAD", target, &[], None).await;
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{target}");
        assert_eq!(head.header("Content-Type"), get.header("Content-Type"), "{target}");
    }
}

#[tokio::test]
async fn every_answer_has_one_date_and_the_request_id() {
    let house = House::open().await;
    for target in ["/subjects", "/nosuch", "/subjects/a", "/subjects/a/versions", "/subjects/%zz"] {
        let answer = send(house.address(), "GET", target, &[("X-Request-ID", "7")], None).await;
        let dates = answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("date")).count();
        assert_eq!((dates, answer.header("X-Request-ID")), (1, Some("7")), "{target}: {answer:?}");
        assert_eq!(answer.header("Age"), None, "{target}");
    }
}

/// Each field line that may decide how a read is answered, in forms that are taken, refused, or odd.
const FIELDS: &[&[&str]] = &[
    &[
        "",
        "Accept: */*\r\n",
        "Accept:\r\n",
        "Accept: application/json\r\n",
        "Accept: application/json;q=0.1,*/*;q=0.9\r\n",
        "Accept: application/json; charset=UTF-8\r\n",
        "Accept: text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2\r\n",
        "Accept: text/plain\r\n",
        "Accept: application/\r\n",
        "Accept: application/json\r\nAccept: text/plain\r\n",
    ],
    &[
        "",
        "Content-Type: application/vnd.schemaregistry.v1+json\r\n",
        "Content-Type:\r\n",
        "Content-Type: text/plain\r\n",
        "Content-Type: garbage\r\n",
    ],
    &["", "Accept-Encoding: gzip\r\n", "Accept-Encoding: br, GZIP;q=0.5\r\n", "Accept-Encoding: gzip;q=0\r\n"],
    &["", "Confluent-Accept-Unknown-Properties: true\r\n", "Confluent-Accept-Unknown-Properties: no\r\n"],
    &[
        "",
        "Via: 1.1 other\r\n",
        "Content-Length: 0\r\n",
        "Expect: nothing\r\n",
        "X-Request-ID: mine\r\nX-Request-ID: too\r\n",
    ],
];

/// What an answer says, but for the request's own id.
fn said(answer: &Heard) -> (u16, Vec<(String, String)>, String) {
    let is_same = |name: &str| !name.eq_ignore_ascii_case("x-request-id") && !name.eq_ignore_ascii_case("date");
    let headers = answer.headers.iter().filter(|(name, _)| is_same(name)).cloned().collect();
    (answer.status, headers, answer.body.clone())
}

#[tokio::test]
async fn what_is_answered_at_once_is_what_a_close_look_would_have_said() {
    let mut heads = vec![String::new()];
    for lines in FIELDS {
        heads = heads.iter().flat_map(|head| lines.iter().map(move |line| format!("{head}{line}"))).collect();
    }
    let house = House::open().await;
    assert_eq!(house.register("s", "1").await.status, 200);
    house.imported().await;
    let ask = async |house: &House, target: &str, head: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{head}\r\n");
        said(&read(&all_of(house.address(), request.as_bytes()).await))
    };
    // Those that are answered well are at hand from here on, in every spelling that is kept.
    for head in &heads {
        ask(&house, "/schemas/ids/1", head).await;
    }
    for (number, head) in heads.iter().enumerate() {
        let at_once = ask(&house, "/schemas/ids/1", head).await;
        // Spelt as never before: no answer to that is at hand.
        let closely = ask(&house, &format!("/schemas/ids/1?fetchMaxId={number}"), head).await;
        assert_eq!(at_once, closely, "{head:?}");
    }
}

/// Long ones in chunks, compressed ones and those of HEAD among them.
#[tokio::test]
async fn what_is_asked_again_is_at_hand_in_every_framing() {
    let house = House::open().await;
    for subject in 0..600 {
        house.primary.ask("POST", &format!("/subjects/subject-{subject:05}/versions"), Some(&registration("1")));
    }
    house.imported().await;
    for target in ["/schemas/ids/1", "/subjects", "/subjects/subject-00001/versions/latest", "/config"] {
        for (method, codings) in [("GET", "identity"), ("GET", "gzip"), ("HEAD", "identity")] {
            let fields = [("Accept-Encoding", codings), ("X-Request-ID", "7")];
            let first = send(house.address(), method, target, &fields, None).await;
            let before = house.the_long_way().await;
            let request = format!(
                "{method} {target} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {codings}\r\nX-Request-ID: 7\r\n\r\n"
            );
            // Twice at once, so that where the first ends is told by nothing but its own framing.
            let answers = all_of(house.address(), request.repeat(2).as_bytes()).await;
            let (one, other) = answers.split_at(answers.len() / 2);
            for answer in [read(one), read(other)] {
                assert_eq!(said(&answer), said(&first), "{method} {target} {codings}");
            }
            assert_eq!(house.the_long_way().await, before, "{method} {target} {codings}");
        }
    }
}

#[tokio::test]
async fn the_age_of_an_answer_stands_in_one_place_however_the_answer_was_found() {
    let house = House::open().await;
    assert_eq!(house.register("s", "1").await.status, 200);
    house.imported().await;
    house.primary.stop().await;
    house.until("/subjects/s/versions/1?nothing=known", |heard| heard.header("Age").is_some()).await;
    let names = async |method: &str| {
        let request = format!("{method} /subjects HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = read(&all_of(house.address(), request.as_bytes()).await);
        answer.headers.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    for method in ["GET", "HEAD"] {
        let looked_for = names(method).await;
        let before = house.the_long_way().await;
        let at_hand = names(method).await;
        assert_eq!(house.the_long_way().await, before, "{method}");
        assert!(at_hand.iter().any(|name| name == "age"), "{method}: {at_hand:?}");
        assert_eq!(looked_for, at_hand, "{method}");
    }
}

/// Requests that are odd in one way each; the last field is still to come.
const ODD: &[&[u8]] = &[
    b"GET /subjects HTTP/1.1\r\nHost: a\r\n",
    b"\r\n\nGET /subjects HTTP/1.1\r\nHost: a\r\n",
    b"GET /subjects HTTP/1.1\nHost: a\n",
    b"GET  /subjects HTTP/1.1\r\nHost: a\r\n",
    b"GET /subjects HTTP/1.1\r\nhOsT:a\r\naCCEPT:*/*\r\n",
    b"GET /subjects HTTP/1.1\r\nHost: a\r\nAccept: */*;\r\n q=1\r\n",
    b"GET /subjects HTTP/1.1\r\nHost : a\r\n",
    b"GET /subjects HTTP/1.1\r\nHost: a\r\nHost: a\r\n",
    b"GET /subjects HTTP/1.1\r\nHost:\r\n",
    b"GET /subjects HTTP/1.1\r\nHost: a/b\r\n",
    b"GET /subjects HTTP/1.1\r\nHost: [::1]:80\r\n",
    b"GET /subjects HTTP/1.1\r\nHost: \xe9\r\n",
    b"GET /subjects HTTP/1.1\r\n",
    b"GET /subjects HTTP/1.0\r\nHost: a\r\n",
    b"GET /subjects#x HTTP/1.1\r\nHost: a\r\n",
    b"GET /subjects? HTTP/1.1\r\nHost: a\r\n",
    b"GET /subjects?#? HTTP/1.1\r\nHost: a\r\n",
    b"GET /subjects\xc3\xa9 HTTP/1.1\r\nHost: a\r\n",
    b"GET /subjects\xff HTTP/1.1\r\nHost: a\r\n",
    b"GET /subjects\\ HTTP/1.1\r\nHost: a\r\n",
    b"GET //subjects HTTP/1.1\r\nHost: a\r\n",
    b"GET subjects HTTP/1.1\r\nHost: a\r\n",
    b"GET http://b/subjects HTTP/1.1\r\nHost: a\r\n",
    b"HEAD /subjects HTTP/1.1\r\nHost: a\r\n",
    b"get /subjects HTTP/1.1\r\nHost: a\r\n",
    b"GET /subjects HTTP/1.1\r\nHost: a\r\nAccept: \xe9\r\n",
    b"GET /subjects HTTP/1.1\r\nHost: a\r\nX-Request-ID: \t \r\n",
    b"GET /subjects HTTP/1.1\r\nHost: a\r\nX-Request-ID:\r\n",
    b"GET /subjects HTTP/1.1\r\nHost: a\r\nX-Request-ID:  two words\t\r\n",
    b"GET /subjects HTTP/1.1\r\nHost: a\r\nX-Request-ID: \"\xc3\xa9\xff\r\n",
    b"GET /subjects HTTP/1.1\r\nHost: a\r\nX-Request-ID: a\x0bb\r\n",
    b"GET /subjects HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nKeep-Alive: 5\r\nProxy-Connection: close\r\n",
];

#[tokio::test]
async fn what_is_odd_is_answered_alike_before_hyper_after_it_and_after_a_close_look() {
    let house = House::open().await;
    assert_eq!(house.register("s", "1").await.status, 200);
    house.imported().await;
    let ask = async |odd: &[u8], field: &str| {
        let request = [odd, field.as_bytes(), b"\r\n"].concat();
        let answer = all_of(house.address(), &request).await;
        let lines = answer.split_inclusive(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"date: "));
        // A fresh id is as good as another.
        let lines = lines.map(|line| match line.strip_prefix(b"x-request-id: ") {
            Some(id) if uuid::Uuid::try_parse_ascii(id.trim_ascii()).is_ok() => b"fresh",
            _ => line,
        });
        lines.map(|line| line.escape_ascii().to_string()).collect::<Vec<_>>()
    };
    for odd in ODD {
        // Whatever of it can be kept at hand is so from here on.
        ask(odd, "").await;
        let before_hyper = ask(odd, "").await;
        let after_hyper = ask(odd, "Connection: x\r\n").await;
        let closely = ask(odd, "Via: 1.1 other\r\n").await;
        assert_eq!(before_hyper, after_hyper, "{}", odd.escape_ascii());
        assert_eq!(before_hyper, closely, "{}", odd.escape_ascii());
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let house = House::open().await;
    for number in 1..=20 {
        assert_eq!(house.register("s", &number.to_string()).await.status, 200);
    }
    house.imported().await;
    let order: Vec<usize> = (0..200).map(|turn| 1 + turn * 7 % 20).collect();
    let mut requests: String =
        order.iter().map(|id| format!("GET /subjects/s/versions/{id} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    requests.push_str("GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let answers = String::from_utf8(raw(house.address(), requests.as_bytes()).await).expect("text");
    let heard: Vec<usize> = answers
        .split("\"version\":")
        .skip(1)
        .map(|rest| rest.split(',').next().and_then(|number| number.parse().ok()).expect("a number"))
        .collect();
    assert_eq!(heard, order);
}

#[tokio::test]
async fn a_client_of_http_1_0_is_closed_on_unless_it_asks_to_be_kept() {
    let house = House::open().await;
    let once = raw(house.address(), b"GET /subjects HTTP/1.0\r\n\r\n").await;
    assert!(once.ends_with(b"\r\n\r\n[]"), "{}", String::from_utf8_lossy(&once));
    let twice = b"GET /subjects HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /schemas/types HTTP/1.0\r\n\r\n";
    let twice = String::from_utf8(raw(house.address(), twice).await).expect("text");
    assert_eq!(twice.matches(" 200 OK\r\n").count(), 2, "{twice}");
}

#[tokio::test]
async fn a_schema_of_ten_megabytes_goes_in_and_comes_out_whole() {
    let usual = schema_outpost::server::Limits::default().body;
    let house = House::with(small_registry::SmallRegistry::builder(), |config| config.limits.body = usual).await;
    let doc = "é".repeat(5 << 20);
    assert_eq!(house.register("large", &doc).await.status, 200);
    house.imported().await;
    let answer = house.get("/subjects/large/versions/1").await;
    assert_eq!(answer.header("Transfer-Encoding"), Some("chunked"));
    let text = answer.json()["schema"].as_str().expect("a text").to_owned();
    assert!(text.contains(&doc), "{} bytes came back", text.len());
    house.primary.forget_requests();
    let found = house.ask("POST", "/subjects/large", &registration(&doc)).await;
    assert_eq!((found.status, house.primary.requests().len()), (200, 0));
}
