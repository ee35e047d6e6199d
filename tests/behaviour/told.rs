//! What the commands tell an operator about an outpost that runs, or does not: `outpost status`, and the modes in
//! `outpost check`.

use std::path::{Path, PathBuf};

use schema_outpost::store::{self, Entry, Store, Table};
use serde_json::Value;
use small_registry::SmallRegistry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::house::{registration, send};
use crate::program::{PATIENCE, Place, Running, ended, said};

/// The configuration of a running outpost with the ports that it was given.
fn asking(place: &Place, running: &Running, primary: &str) -> PathBuf {
    let text = format!(
        "listeners: [{{ bind: \"{}\" }}]\nadmin: {{ bind: \"{}\" }}\nstate: {{ directory: {} }}\nprimary: {{ urls: [\"{primary}\"] }}\n",
        running.data,
        running.admin,
        place.path("state").display(),
    );
    place.write("asking.yaml", &text)
}

/// Sets modes in a state directory as they are kept.
async fn keep(directory: &Path, modes: &[(&str, &'static str)]) {
    let store = Store::open(&store::Config { directory: Some(directory.to_owned()) }).expect("opened");
    let entries = modes.iter().map(|(scope, mode)| Entry::put(Table::Modes, *scope, *mode)).collect();
    store.commit(entries).await.expect("kept");
    store.close();
}

async fn tell(command: &[&str], config: &Path) -> (Option<i32>, String) {
    let output = ended(command, config).await;
    (output.status.code(), said(&output))
}

fn bytes_of(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = std::fs::read_dir(directory).expect("a folder").map(|entry| entry.expect("an entry").path());
    files.map(|path| (path.clone(), std::fs::read(path).expect("a file"))).collect()
}

#[tokio::test]
async fn status_is_a_page_for_people_and_the_object_itself_for_programs() {
    let primary = SmallRegistry::start().await;
    let place = Place::new();
    let running = Running::start(&place.configure(&primary.url(), "")).await;
    assert_eq!(running.ask("POST", "/subjects/a/versions", &registration("1")).await.status, 200);
    running.operator("POST", "/import").await;
    let config = asking(&place, &running, &primary.url());
    let (code, page) = tell(&["status"], &config).await;
    assert_eq!(code, Some(0), "{page}");
    for line in ["state           well", "modes           FORWARD where nothing is set", "leftovers       none"] {
        assert!(page.lines().any(|found| found == line), "{line:?} is not in {page}");
    }
    assert!(page.contains("1 subject, 1 version,") && page.contains(&primary.url()), "{page}");
    let (code, object) = tell(&["status", "--json"], &config).await;
    assert_eq!(code, Some(0), "{object}");
    let [printed, asked] = [object, running.operator("GET", "/status").await.body].map(|text| {
        let mut object: Value = serde_json::from_str(&text).expect("JSON");
        object.as_object_mut().expect("an object").remove("uptimeSeconds").expect("stated");
        object
    });
    assert_eq!(printed, asked);
}

#[tokio::test]
async fn leftovers_are_told_with_the_request_that_ends_them_and_end_with_it() {
    let primary = SmallRegistry::start().await;
    let place = Place::new();
    let config = place.configure(&primary.url(), "");
    keep(&place.path("state"), &[("a b", "READWRITE"), (":.c:s", "IMPORT"), (":.d:", "READONLY")]).await;
    let running = Running::start(&config).await;
    running.operator("POST", "/import").await;
    let config = asking(&place, &running, &primary.url());
    let mut requests = Vec::new();
    for (command, expected) in
        [(&["status"][..], 1), (&["status", "--json"], 1), (&["check"], 0), (&["check", "--strict"], 1)]
    {
        let (code, text) = tell(command, &config).await;
        assert_eq!(code, Some(expected), "{command:?}: {text}");
        if command.contains(&"--json") {
            continue;
        }
        for (name, context) in [("a b", "the default context"), ("s", "context .c")] {
            let sentence = format!("subject {name} is still set to ");
            let line =
                text.lines().find(|line| line.contains(&sentence)).unwrap_or_else(|| panic!("{command:?}: {text}"));
            assert!(line.contains(&format!("while {context} is forwarded")), "{line}");
        }
        assert!(text.lines().any(|line| line.contains("READONLY") && line.contains("context .d")), "{text}");
        let told = text.split("curl -X DELETE '").skip(1).filter_map(|rest| rest.split_once('\''));
        requests.push(told.map(|(url, _)| url.to_owned()).collect::<Vec<_>>());
    }
    assert!(requests.iter().all(|told| told.len() == 2 && *told == requests[0]), "{requests:?}");
    for url in &requests[0] {
        let target = url.strip_prefix(&format!("http://{}", running.data)).expect("the port of the clients");
        assert_eq!(send(running.data, "DELETE", target, &[], None).await.status, 200, "{url}");
    }
    for command in [&["status"][..], &["check", "--strict"]] {
        let (code, text) = tell(command, &config).await;
        assert_eq!(code, Some(0), "{command:?}: {text}");
        assert!(!text.contains("is still set to"), "{text}");
    }
}

#[tokio::test]
async fn a_stopped_outpost_and_a_port_of_somebody_else_are_said_in_one_line() {
    let primary = SmallRegistry::start().await;
    let place = Place::new();
    let running = Running::start(&place.configure(&primary.url(), "")).await;
    let (admin, config) = (running.admin, asking(&place, &running, &primary.url()));
    running.killed().await;
    for command in [&["status"][..], &["status", "--json"], &["health"]] {
        let (code, text) = tell(command, &config).await;
        assert_eq!((code, text.lines().count()), (Some(1), 1), "{command:?}: {text}");
        assert!(text.starts_with(&format!("outpost: {admin} does not answer: Connection refused")), "{text}");
    }
    let listener = TcpListener::bind(admin).await.expect("free again");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n").await;
        }
    });
    let (code, text) = tell(&["status"], &config).await;
    assert_eq!((code, text.lines().count()), (Some(1), 1), "{text}");
    assert!(text.starts_with(&format!("outpost: {admin} does not answer as an outpost does")), "{text}");
}

#[tokio::test]
async fn without_a_primary_status_says_since_when_and_fails() {
    let primary = SmallRegistry::start().await;
    let place = Place::new();
    let running = Running::start(&place.configure(&primary.url(), "")).await;
    running.operator("POST", "/import").await;
    let config = asking(&place, &running, &primary.url());
    primary.stop().await;
    let noticed = async {
        while running.operator("GET", "/status").await.json()["primary"]["reachable"] != false {
            running.operator("POST", "/import").await;
        }
    };
    timeout(PATIENCE, noticed).await.expect("it notices");
    let (code, page) = tell(&["status"], &config).await;
    assert_eq!(code, Some(1), "{page}");
    assert!(page.contains("state           DEGRADED: "), "{page}");
    let away = page.lines().find(|line| line.starts_with("primary")).expect("a line");
    assert!(away.contains("cannot be reached for ") && away.contains("breaker "), "{away}");
    assert!(page.lines().any(|line| line.starts_with("last full pass") && line.contains("FAILED: ")), "{page}");
}

#[tokio::test]
async fn an_alarm_is_on_the_page_and_in_the_exit_code_until_it_is_answered() {
    let primary = SmallRegistry::start().await;
    let place = Place::new();
    let running = Running::start(&place.configure(&primary.url(), "")).await;
    assert_eq!(running.ask("POST", "/subjects/a/versions", &registration("1")).await.status, 200);
    running.operator("POST", "/import").await;
    let config = asking(&place, &running, &primary.url());
    assert_eq!(tell(&["status"], &config).await.0, Some(0));
    for target in ["/subjects/a", "/subjects/a?permanent=true"] {
        assert_eq!(primary.ask("DELETE", target, None).status, 200);
    }
    running.operator("POST", "/import").await;
    let alarm = running.operator("GET", "/status").await.json()["alarm"].as_str().expect("an alarm").to_owned();
    let (code, page) = tell(&["status"], &config).await;
    assert_eq!(code, Some(1), "{page}");
    assert!(page.contains(&alarm), "{page}");
    running.operator("POST", "/import?confirm=true").await;
    let (code, page) = tell(&["status"], &config).await;
    assert_eq!(code, Some(0), "{page}");
}

#[tokio::test]
async fn a_check_takes_modes_from_the_running_outpost_else_from_what_is_kept_and_leaves_that_as_it_is() {
    let primary = SmallRegistry::start().await;
    let place = Place::new();
    let state = place.path("state");
    let running = Running::start(&place.configure(&primary.url(), "")).await;
    let config = asking(&place, &running, &primary.url());
    let body = r#"{"mode":"READONLY"}"#;
    assert_eq!(running.ask("PUT", "/mode/:.c:", body).await.status, 200);
    let line = "context .c            READONLY  read from the replica, writes are refused";
    let (code, text) = tell(&["check"], &config).await;
    assert_eq!(code, Some(0), "{text}");
    let answered = format!("by the modes of the outpost that answers on {}:", running.admin);
    assert!(text.contains(&answered) && text.contains(line), "{text}");
    // It holds its state, and that can be looked at all the same.
    let (code, text) = tell(&["check", "--offline"], &config).await;
    assert_eq!(code, Some(0), "{text}");
    let kept = format!("by the modes kept in {} (", state.display());
    assert!(text.contains(&kept) && text.contains(line) && !text.contains("  ok  "), "{text}");

    running.killed().await;
    let before = bytes_of(&state);
    for command in [&["check"][..], &["check", "--offline"]] {
        let (code, text) = tell(command, &config).await;
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains(&kept) && text.contains(line), "{text}");
    }
    assert!(bytes_of(&state) == before, "looked at, not touched");
    keep(&state, &[("s", "READWRITE")]).await;
    let (code, text) = tell(&["check", "--offline", "--strict"], &config).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("warning: leftover: subject s is still set to READWRITE"), "{text}");
}

#[tokio::test]
async fn a_check_says_when_modes_cannot_be_looked_up_and_why() {
    let primary = SmallRegistry::start().await;
    let place = Place::new();
    let config = place.configure(&primary.url(), "");
    let (code, text) = tell(&["check", "--strict"], &config).await;
    assert_eq!(code, Some(0), "nothing is kept yet, so nothing is set: {text}");
    assert!(!place.path("state").exists(), "a check makes no state");

    std::fs::create_dir(place.path("state")).expect("created");
    std::fs::write(place.path("state").join("outpost.redb"), "no state").expect("written");
    let (code, text) = tell(&["check"], &config).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("could not be looked up") && text.contains("is damaged"), "{text}");
    assert_eq!(tell(&["check", "--strict"], &config).await.0, Some(1));

    let memory = place.write("memory.yaml", &format!("primary: {{ urls: [\"{}\"] }}\n", primary.url()));
    let (code, text) = tell(&["check", "--offline"], &memory).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("could not be looked up: nobody was asked"), "{text}");
}

#[tokio::test]
async fn a_check_takes_no_modes_from_an_outpost_before_another_primary() {
    let (primary, other) = (SmallRegistry::start().await, SmallRegistry::start().await);
    let place = Place::new();
    let running = Running::start(&place.configure(&primary.url(), "")).await;
    let elsewhere = Place::new();
    let config = asking(&elsewhere, &running, &other.url());
    assert_eq!(running.ask("PUT", "/mode/:.c:", r#"{"mode":"READONLY"}"#).await.status, 200);
    let (code, text) = tell(&["check"], &config).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("is another one: its primary is ") && !text.contains("context .c"), "{text}");
}

#[tokio::test]
async fn the_way_to_the_local_registry_is_tested_as_that_to_the_primary_and_what_needs_it_is_said() {
    let (primary, local) = (SmallRegistry::start().await, SmallRegistry::start().await);
    let place = Place::new();
    let running =
        Running::start(&place.configure(&primary.url(), &format!("local: {{ urls: [\"{}\"] }}", local.url()))).await;
    running.operator("POST", "/import").await;
    let alone = asking(&place, &running, &primary.url());
    let text = std::fs::read_to_string(&alone).expect("a file");
    let config = place.write("both.yaml", &format!("{text}mode: FORWARD\nlocal: {{ urls: [\"{}\"] }}\n", local.url()));
    assert_eq!(running.ask("PUT", "/mode/:.c:", r#"{"mode":"READWRITE"}"#).await.status, 200);
    let (code, page) = tell(&["status"], &config).await;
    assert_eq!(code, Some(0), "{page}");
    assert!(page.lines().any(|line| line.starts_with("local") && line.contains(&local.url())), "{page}");
    let (code, text) = tell(&["check", "--strict"], &config).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(&format!("\nlocal {}\n  ok ", local.url())), "{text}");
    assert!(text.contains("READWRITE  read from and written to the local registry"), "{text}");
    // Against the rule, as somebody insists.
    let forced = running.ask("PUT", "/mode/s?force=true", r#"{"mode":"READWRITE"}"#).await;
    assert_eq!(forced.status, 200, "{}", forced.body);
    for (command, expected) in [(&["status"][..], 1), (&["check"], 0), (&["check", "--strict"], 1)] {
        let (code, text) = tell(command, &config).await;
        assert_eq!(code, Some(expected), "{command:?}: {text}");
        assert!(text.contains(&format!("curl -X DELETE 'http://{}/mode/s'", running.data)), "{text}");
    }
    // What is about to be started without it.
    let (code, text) = tell(&["check"], &alone).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("warning: context .c is set to READWRITE, which needs local.urls"), "{text}");
    local.stop().await;
    let (code, text) = tell(&["check"], &config).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("FAILED  TCP connection"), "{text}");
}
