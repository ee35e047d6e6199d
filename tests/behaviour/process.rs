//! The program itself: signals, exit codes, what survives a kill, what it says and what it keeps to itself.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use small_registry::{Fault, Seen, SmallRegistry};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::house::{registration, send};
use crate::program::{PATIENCE, Place, Running, ended, said};

fn is_register(seen: &Seen) -> bool {
    seen.method == "POST" && seen.path().ends_with("/versions")
}

/// D-01, C3.
#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_without_the_primary() {
    let primary = SmallRegistry::start().await;
    let place = Place::new();
    let config = place.configure(&primary.url(), "");
    let steps = [
        ("PUT", "/config/a", r#"{"compatibility":"FULL"}"#.to_owned()),
        ("POST", "/subjects/a/versions", registration("1")),
        ("POST", "/subjects/a/versions", registration("2")),
        ("DELETE", "/subjects/a/versions/1", String::new()),
        ("POST", "/subjects/%3A.site1%3Ab/versions", registration("3")),
        ("DELETE", "/subjects/a/versions/1?permanent=true", String::new()),
        ("DELETE", "/subjects/a", String::new()),
    ];
    for (method, target, body) in &steps {
        let running = Running::start(&config).await;
        running.operator("POST", "/import").await;
        let answer = running.ask(method, target, body).await;
        assert_eq!(answer.status, 200, "{method} {target}: {}", answer.body);
        running.killed().await;
        primary.stop().await;
        let again = Running::start(&config).await;
        for read in [
            "/subjects?subjectPrefix=:*:",
            "/subjects?subjectPrefix=:*:&deleted=true",
            "/subjects/a/versions?deleted=true",
            "/subjects/a/versions/2?deleted=true",
            "/schemas/ids/1",
            "/config/a?defaultToGlobal=true",
            "/subjects/:.site1:b/versions/latest",
        ] {
            let expected = primary.ask("GET", read, None);
            let heard = again.get(read).await;
            if expected.status == 200 {
                // When a version was written, its registration does not say; that alone may be missing still.
                let same = heard.status == 200 && timeless(&heard.body) == timeless(&expected.body);
                assert!(same, "{read} after {method} {target}: {heard:?} instead of {}", expected.body);
            } else {
                // Unknown is not absent.
                assert_eq!((heard.status, heard.code()), (500, 50003), "{read} after {method} {target}");
            }
        }
        again.killed().await;
        primary.restart().await.expect("the same port");
    }
}

fn timeless(body: &str) -> Value {
    let mut value: Value = serde_json::from_str(body).expect("JSON");
    value.as_object_mut().and_then(|members| members.remove("ts"));
    value
}

#[tokio::test]
async fn threads_that_nobody_waits_for_stand_back_behind_those_that_answer() {
    let primary = SmallRegistry::start().await;
    let place = Place::new();
    let running = Running::start(&place.configure(&primary.url(), "")).await;
    let tasks = format!("/proc/{}/task", running.child.id().expect("it runs"));
    let mut niceness = std::collections::BTreeMap::new();
    for task in std::fs::read_dir(tasks).expect("Linux") {
        let stat = std::fs::read_to_string(task.expect("a thread").path().join("stat")).unwrap_or_default();
        // The name stands in brackets; the niceness is the seventeenth field behind it.
        let Some((name, rest)) = stat.rsplit_once(')') else { continue };
        let name = name.rsplit('(').next().unwrap_or_default().to_owned();
        niceness.insert(name, rest.split_whitespace().nth(16).expect("a number").to_owned());
    }
    assert_eq!(niceness.get("upkeep").map(String::as_str), Some("19"), "{niceness:?}");
    let others = niceness.iter().filter(|(name, _)| *name != "upkeep");
    assert!(others.clone().count() > 0 && others.clone().all(|(_, nice)| nice == "0"), "{niceness:?}");
}

/// D-10.
#[tokio::test]
async fn a_second_process_on_one_state_directory_refuses_and_says_so() {
    let primary = SmallRegistry::start().await;
    let place = Place::new();
    let config = place.configure(&primary.url(), "");
    let first = Running::start(&config).await;
    let second = ended(&["run"], &config).await;
    assert!(!matches!(second.status.code(), Some(0) | None), "{}", said(&second));
    let spoken = said(&second);
    assert!(spoken.contains("state") && spoken.contains("another process"), "{spoken}");
    assert_eq!(first.ask("POST", "/subjects/a/versions", &registration("1")).await.status, 200);
    first.signal("TERM").await;
    assert_eq!(first.ended().await.0, Some(0));
}

/// D-07.
#[tokio::test]
async fn a_state_directory_that_cannot_be_one_is_refused_and_nothing_is_overwritten() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let primary = SmallRegistry::start().await;
    let place = Place::new();
    let config = place.configure(&primary.url(), "");
    let state = place.path("state");

    std::fs::write(&state, "mine").expect("written");
    let refused = ended(&["run"], &config).await;
    assert!(!refused.status.success() && said(&refused).contains("state"), "{}", said(&refused));
    assert_eq!(std::fs::read_to_string(&state).expect("still a file"), "mine");
    std::fs::remove_file(&state).expect("removed");

    let elsewhere = place.path("elsewhere");
    std::fs::create_dir(&elsewhere).expect("created");
    symlink(&elsewhere, &state).expect("linked");
    let refused = ended(&["run"], &config).await;
    assert!(!refused.status.success() && said(&refused).contains("state"), "{}", said(&refused));
    assert_eq!(std::fs::read_dir(&elsewhere).expect("a folder").count(), 0, "nothing was written through the link");
    std::fs::remove_file(&state).expect("removed");

    std::fs::create_dir(&state).expect("created");
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o500)).expect("set");
    // A superuser writes everywhere, so there is nothing to refuse.
    if std::fs::write(state.join("probe"), "").is_err() {
        let refused = ended(&["run"], &config).await;
        assert!(!refused.status.success() && said(&refused).contains("state"), "{}", said(&refused));
    }
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o700)).expect("set");
}

/// D-04.
#[tokio::test]
async fn a_full_disk_costs_no_read_and_no_write_is_forwarded_that_cannot_be_kept() {
    let primary = SmallRegistry::start().await;
    let place = Place::new();
    let config = place.configure(&primary.url(), "");
    let running = Running::start(&config).await;
    running.operator("POST", "/import").await;
    running.signal("TERM").await;
    assert_eq!(running.ended().await.0, Some(0));
    let size: u64 = std::fs::read_dir(place.path("state"))
        .expect("a folder")
        .map(|entry| entry.and_then(|entry| entry.metadata()).map_or(0, |file| file.len()))
        .sum();
    // Shells count in blocks of 512 bytes or of 1,024.
    let running = Running::start_with_little_room(&config, (size + (2 << 20)) / 512).await;
    let mut acknowledged = Vec::new();
    let refused = loop {
        let number = acknowledged.len();
        assert!(number < 300, "the disk is never full");
        let body = registration(&format!("{number} {}", "x".repeat(100_000)));
        let answer = running.ask("POST", &format!("/subjects/s{number}/versions"), &body).await;
        if answer.status != 200 {
            break answer;
        }
        acknowledged.push(answer.json()["id"].as_i64().expect("an id"));
    };
    assert_eq!((refused.status, refused.code()), (500, 50001), "{}", refused.body);
    assert!(!acknowledged.is_empty());
    assert_eq!(primary.count(is_register), acknowledged.len(), "refused before it was forwarded");
    for (number, id) in acknowledged.iter().enumerate() {
        let heard = running.get(&format!("/schemas/ids/{id}")).await;
        assert_eq!(heard.status, 200, "{}", heard.body);
        assert_eq!(running.get(&format!("/subjects/s{number}/versions")).await.body, "[1]");
    }
    // The disk is found full by a write that the primary has: that is acknowledged, and said in the log.
    let unkept = running.said().matches("an acknowledged write could not be kept").count();
    running.killed().await;
    primary.stop().await;
    let again = Running::start(&config).await;
    let mut unknown = 0;
    for id in &acknowledged {
        let heard = again.get(&format!("/schemas/ids/{id}")).await;
        if heard.status != 200 {
            assert_eq!(heard.code(), 50003, "unknown and not absent: {}", heard.body);
            unknown += 1;
        }
    }
    assert!(unknown <= unkept, "{unknown} of {} are gone, {unkept} were not kept", acknowledged.len());
    again.killed().await;
}

/// A-02.
#[tokio::test]
async fn a_drain_under_load_finishes_what_was_accepted() {
    let primary = SmallRegistry::start().await;
    let place = Place::new();
    let running = Running::start(&place.configure(&primary.url(), "")).await;
    assert_eq!(running.ask("POST", "/subjects/a/versions", &registration("1")).await.status, 200);
    let address = running.data;
    let (told, _) = watch::channel(0_usize);
    let told = Arc::new(told);
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let told = told.clone();
            tokio::spawn(async move {
                loop {
                    if tokio::net::TcpStream::connect(address).await.is_err() {
                        return Ok(());
                    }
                    let request = b"GET /subjects/a/versions/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
                    let Ok(mut stream) = tokio::net::TcpStream::connect(address).await else { return Ok(()) };
                    let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, request).await;
                    let mut answer = Vec::new();
                    let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer).await;
                    if answer.is_empty() {
                        // Refused while it stood in the queue of the port.
                        return Ok(());
                    }
                    let heard = crate::house::read(&answer);
                    if heard.status != 200 || !heard.body.ends_with('}') {
                        return Err(heard);
                    }
                    told.send_modify(|count| *count += 1);
                }
            })
        })
        .collect();
    primary.fault_where(|seen| seen.path().contains("/slow"), None, Fault::Delay(Duration::from_millis(700)));
    let slow = tokio::spawn(async move { send(address, "GET", "/subjects/slow/versions", &[], None).await });
    primary.wait_for(1, |seen| seen.path().contains("/slow")).await;
    timeout(PATIENCE, told.subscribe().wait_for(|count| *count >= 200)).await.expect("load").expect("clients");
    running.signal("TERM").await;
    let slow = slow.await.expect("no panic");
    assert_eq!((slow.status, slow.code()), (404, 40401), "{slow:?}");
    for client in clients {
        let ended = timeout(PATIENCE, client).await.expect("the port closes").expect("no panic");
        assert!(ended.is_ok(), "{ended:?}");
    }
    let (code, log) = running.ended().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("\"drained\""), "{log}");
}

/// A-03.
#[tokio::test]
async fn a_write_that_waits_for_a_slow_primary_hears_the_truth_during_a_drain() {
    let primary = SmallRegistry::start().await;
    let place = Place::new();
    let running = Running::start(&place.configure(&primary.url(), "")).await;
    primary.fault_where(is_register, Some(1), Fault::Delay(Duration::from_millis(1500)));
    let address = running.data;
    let body = registration("1");
    let write = tokio::spawn(async move {
        send(address, "POST", "/subjects/a/versions", &[("Content-Type", "application/json")], Some(&body)).await
    });
    primary.wait_for(1, is_register).await;
    running.signal("TERM").await;
    let answer = write.await.expect("no panic");
    assert_eq!((answer.status, answer.json()["id"].as_i64()), (200, Some(1)), "{answer:?}");
    assert_eq!(running.ended().await.0, Some(0));
    assert_eq!(primary.ask("GET", "/subjects/a/versions", None).body, "[1]");
}

/// A-03, where the grace is over first.
#[tokio::test]
async fn a_write_that_outlasts_the_drain_is_said_to_be_unknown() {
    let primary = SmallRegistry::start().await;
    let place = Place::new();
    let running = Running::start(&place.configure(&primary.url(), "limits: { drain: 2s }")).await;
    let is_delete = |seen: &Seen| seen.method == "DELETE";
    primary.fault_where(is_delete, None, Fault::BlackHole);
    let address = running.data;
    let write = tokio::spawn(async move { send(address, "DELETE", "/subjects/a", &[], None).await });
    primary.wait_for(1, is_delete).await;
    running.signal("TERM").await;
    let answer = timeout(PATIENCE, write).await.expect("an end").expect("no panic");
    assert_eq!((answer.status, answer.code()), (500, 50002), "{answer:?}");
    assert_eq!(running.ended().await.0, Some(0));
}

/// A-05.
#[tokio::test]
async fn a_broken_configuration_is_not_taken_over_and_said_once() {
    let primary = SmallRegistry::start().await;
    let place = Place::new();
    let config = place.configure(&primary.url(), "");
    let mut running = Running::start(&config).await;
    assert_eq!(running.ask("POST", "/subjects/a/versions", &registration("1")).await.status, 200);
    place.configure(&primary.url(), "limits: { idle: s3cr3t-value }\nnosuch: 1");
    running.signal("HUP").await;
    let message = "the configuration cannot be used; the old one stays";
    let event = running.line(message, 1).await;
    assert_eq!(event["level"], "ERROR");
    let problems = event["problems"].as_str().unwrap_or_default();
    assert!(problems.contains("limits.idle") && problems.contains("nosuch"), "{event}");
    assert!(!running.said().contains("s3cr3t-value"));
    let metrics = running.operator("GET", "/metrics").await.body;
    assert!(metrics.contains("outpost_app_reloads_total{outcome=\"failed\"} 1"), "{metrics}");
    assert_eq!(running.get("/subjects/a/versions").await.body, "[1]");
    place.configure(&primary.url(), "");
    running.signal("HUP").await;
    running
        .line("the configuration is valid; certificates were read again, other changes count from the next start", 1)
        .await;
    let metrics = running.operator("GET", "/metrics").await.body;
    assert!(metrics.contains("outpost_app_reloads_total{outcome=\"ok\"} 1"), "{metrics}");
    assert_eq!(running.events().iter().filter(|event| event["message"] == message).count(), 1);
    running.killed().await;
}

/// A-06, C-22.
#[tokio::test]
async fn a_configuration_that_cannot_be_used_ends_with_78_and_names_file_line_and_key() {
    let place = Place::new();
    for (text, line, key) in [
        ("primary: { urls: [\"https://r.example\"] }\nlistners: s3cr3t\n", 2, "listners"),
        (
            "primary:\n  urls: [\"https://r.example\"]\n  requests_per_second: s3cr3t\n",
            3,
            "primary.requests_per_second",
        ),
        ("primary:\n  urls: [\"https://r.example\"]\nlimits:\n  idle: 0s\n", 4, "limits.idle"),
        ("primary:\n  urls: [\"https://r.example\"]\nlimits:\n  connections: -7\n", 4, "limits.connections"),
        (
            "primary:\n  urls: [\"https://r.example\"]\n  credentials:\n    basic:\n      username: s3cr3t\n      password_file: /nonexistent/file\n",
            6,
            "primary.credentials.basic.password_file",
        ),
        (
            "primary:\n  urls: [\"https://r.example\"]\n  credentials:\n    basic:\n      username: key\n      passwort: s3cr3t\n",
            6,
            "primary.credentials.basic.passwort",
        ),
        (
            "primary:\n  urls: [\"http://r.example\"]\n  credentials:\n    basic: { username: key, password: s3cr3t }\n",
            2,
            "primary",
        ),
        ("primary:\n  urls: [\"https://user:s3cr3t@r.example\"]\n", 2, "primary.urls"),
        ("log: { level: info }\n", 0, "primary.urls"),
        ("primary:\n  urls: [\"https://r.example\"]\n  password: \"s3cr3t\n", 3, ""),
    ] {
        let config = place.write("bad.yaml", text);
        for arguments in [&["run"][..], &["check"], &["check", "--offline"], &["health"], &["status"]] {
            let began = Instant::now();
            let output = ended(arguments, &config).await;
            let spoken = said(&output);
            assert_eq!(output.status.code(), Some(78), "{arguments:?} {text}: {spoken}");
            assert!(began.elapsed() < Duration::from_secs(5), "{arguments:?} {text}");
            let place = if line == 0 { key.to_owned() } else { format!("bad.yaml:{line}: {key}") };
            assert!(spoken.contains(&place), "{place:?} is not in {spoken}");
            assert!(!spoken.contains("s3cr3t"), "{spoken}");
        }
    }
}

/// What `outpost check` finds out, and how it ends.
#[tokio::test]
async fn a_check_names_the_step_at_which_the_way_to_the_primary_ends() {
    let place = Place::new();
    let primary = SmallRegistry::builder().credentials("key", "right-s3cr3t").start().await.expect("a port");
    let with = |url: &str, password: &str| {
        format!(
            "primary:\n  urls: [\"{url}\"]\n  allow_plain_http: true\n  credentials: {{ basic: {{ username: key, password: {password} }} }}\n"
        )
    };
    let good = ended(&["check"], &place.configure("", &with(&primary.url(), "right-s3cr3t"))).await;
    assert_eq!(good.status.code(), Some(0), "{}", said(&good));
    assert!(!said(&good).contains("s3cr3t") && !said(&good).contains("FAILED"), "{}", said(&good));

    let wrong = ended(&["check"], &place.configure("", &with(&primary.url(), "wrong-s3cr3t"))).await;
    assert_eq!(wrong.status.code(), Some(1), "{}", said(&wrong));
    assert!(said(&wrong).contains("401") && !said(&wrong).contains("s3cr3t"), "{}", said(&wrong));

    primary.stop().await;
    let config = place.configure("", &with(&primary.url(), "right-s3cr3t"));
    let away = ended(&["check"], &config).await;
    assert_eq!(away.status.code(), Some(1), "{}", said(&away));
    assert!(said(&away).contains("FAILED  TCP connection"), "{}", said(&away));
    let offline = ended(&["check", "--offline"], &config).await;
    assert_eq!(offline.status.code(), Some(0), "{}", said(&offline));
    assert!(!said(&offline).contains("s3cr3t"), "{}", said(&offline));

    let strange = SmallRegistry::builder().tls(self_signed().0).start().await.expect("a port");
    let url = strange.url().replace("127.0.0.1", "localhost");
    let untrusted = ended(&["check"], &place.configure(&url, "")).await;
    assert_eq!(untrusted.status.code(), Some(1), "{}", said(&untrusted));
    assert!(said(&untrusted).contains("FAILED  TLS"), "{}", said(&untrusted));
    assert_eq!(strange.requests().len(), 0);
}

/// A server's certificate for localhost that nobody knows.
fn self_signed() -> (Arc<rustls::ServerConfig>, rustls::pki_types::CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider knows them")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("they belong together");
    (Arc::new(config), made.cert.der().clone())
}

#[tokio::test]
async fn health_is_the_exit_code_for_images_without_a_shell() {
    let primary = SmallRegistry::start().await;
    let place = Place::new();
    let config = place.configure(&primary.url(), "");
    let running = Running::start(&config).await;
    running.operator("POST", "/import").await;
    let asking = place.write(
        "health.yaml",
        &format!("admin: {{ bind: \"{}\" }}\nprimary: {{ urls: [\"{}\"] }}\n", running.admin, primary.url()),
    );
    for probe in ["live", "ready", "startup"] {
        let well = ended(&["health", "--probe", probe], &asking).await;
        assert_eq!(well.status.code(), Some(0), "{probe}: {}", said(&well));
    }
    running.killed().await;
    for probe in ["live", "ready", "startup"] {
        let gone = ended(&["health", "--probe", probe], &asking).await;
        assert_eq!(gone.status.code(), Some(1), "{probe}: {}", said(&gone));
    }
    let nonsense = ended(&["health", "--probe", "nonsense"], &asking).await;
    assert!(!nonsense.status.success() && said(&nonsense).contains("ready"), "{}", said(&nonsense));

    primary.stop().await;
    let empty = place.write("empty.yaml", &format!("listeners: [{{ bind: 127.0.0.1:0 }}]\nadmin: {{ bind: 127.0.0.1:0 }}\nprimary: {{ urls: [\"{}\"] }}\nlog: {{ format: json }}\n", primary.url()));
    let running = Running::start(&empty).await;
    let asking = place.write(
        "health.yaml",
        &format!("admin: {{ bind: \"{}\" }}\nprimary: {{ urls: [\"{}\"] }}\n", running.admin, primary.url()),
    );
    assert_eq!(ended(&["health"], &asking).await.status.code(), Some(1), "empty, and nobody there");
    assert_eq!(ended(&["health", "--probe", "live"], &asking).await.status.code(), Some(0));
    running.killed().await;
}

#[tokio::test]
async fn every_command_explains_itself() {
    for (arguments, word) in [
        (&["--help"][..], "Schema Registry"),
        (&["run", "--help"], "--config"),
        (&["check", "--help"], "--offline"),
        (&["check", "--help"], "Exit code: 0 if the configuration is valid"),
        (&["health", "--help"], "--probe"),
        (&["status", "--help"], "Exit code: 0 if it is well"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_outpost")).args(arguments).output().await.expect("it starts");
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        assert!(String::from_utf8_lossy(&output.stdout).contains(word), "{arguments:?}: {}", said(&output));
    }
}

/// Principle: secrets never reach a log, an error, a metric.
#[tokio::test]
async fn a_secret_is_in_nothing_that_the_outpost_says() {
    let primary = SmallRegistry::builder().credentials("the-key", "hush-hush").start().await.expect("a port");
    let place = Place::new();
    let secret = place.write("password", "hush-hush\n");
    let more = format!(
        "log: {{ format: json, level: trace }}\nprimary:\n  urls: [\"{}\"]\n  allow_plain_http: true\n  credentials: {{ basic: {{ username: the-key, password_file: {} }} }}",
        primary.url(),
        secret.display()
    );
    let config = place.configure("", &more);
    let text = std::fs::read_to_string(&config).expect("a file").replacen("log: { format: json }\n", "", 1);
    std::fs::write(&config, text).expect("written");
    let running = Running::start(&config).await;
    running.operator("POST", "/import").await;
    let mut heard = vec![running.ask("POST", "/subjects/a/versions", &registration("1")).await];
    let headers =
        [("Authorization", "Basic bWU6aHVzaC1odXNo"), ("Cookie", "hush-hush"), ("Content-Type", "application/json")];
    heard.push(send(running.data, "POST", "/subjects/a/versions", &headers, Some(&registration("2"))).await);
    heard.push(send(running.data, "GET", "/nosuch", &headers, None).await);
    primary.fault_times(2, Fault::Unauthorized);
    heard.push(running.ask("POST", "/subjects/a/versions", &registration("3")).await);
    heard.push(running.get("/subjects/b/versions").await);
    primary.stop().await;
    heard.push(running.ask("POST", "/subjects/a/versions", &registration("4")).await);
    heard.push(running.get("/subjects/c/versions").await);
    for target in ["/metrics", "/status", "/ready", "/digest"] {
        heard.push(running.operator("GET", target).await);
    }
    running.signal("HUP").await;
    running.signal("TERM").await;
    let (code, log) = running.ended().await;
    assert_eq!(code, Some(0), "{log}");
    let check = ended(&["check"], &config).await;
    // The password, and how it looks on the wire: "the-key:hush-hush" and "me:hush-hush".
    for secret in ["hush-hush", "dGhlLWtleTpodXNoLWh1c2g", "bWU6aHVzaC1odXNo"] {
        assert!(!log.contains(secret), "{secret} is in the log");
        assert!(!said(&check).contains(secret), "{secret} is in what the check says");
        for heard in &heard {
            assert!(!format!("{heard:?}").contains(secret), "{secret}: {heard:?}");
        }
    }
}
