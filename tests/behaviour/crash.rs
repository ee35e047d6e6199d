//! Killed at any moment, started again without its primary: what was acknowledged is there, what was deleted is not.

use small_registry::SmallRegistry;

use crate::house::{raw_or_nothing, read, registration};
use crate::program::{Place, Running};

/// Rounds of writing and killing; each kill hits another moment between two steps of some write.
const ROUNDS: usize = 8;

#[tokio::test]
async fn what_was_acknowledged_outlives_a_kill_at_any_moment() {
    let primary = SmallRegistry::start().await;
    let place = Place::new();
    let config = place.configure(&primary.url(), "");
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..ROUNDS {
        let running = Running::start(&config).await;
        let address = running.data;
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let writers = (0..4).map(|writer| {
            let told = told.clone();
            tokio::spawn(async move {
                for number in 0.. {
                    let subject = format!("s{round}-{writer}-{number}");
                    let body = registration(&subject);
                    let request = format!(
                        "POST /subjects/{subject}/versions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    let answer = read(&raw_or_nothing(address, request.as_bytes()).await);
                    if answer.status != 200 || told.send(subject).is_err() {
                        return;
                    }
                }
            })
        });
        let writers: Vec<_> = writers.collect();
        for _ in 0..=(round * 7) {
            acknowledged.push(heard.recv().await.expect("writes go on"));
        }
        running.killed().await;
        drop(told);
        while let Some(subject) = heard.recv().await {
            acknowledged.push(subject);
        }
        for writer in writers {
            writer.await.expect("a writer ends with its outpost");
        }
    }
    primary.stop().await;
    let running = Running::start(&config).await;
    for subject in &acknowledged {
        let version = running.get(&format!("/subjects/{subject}/versions/1")).await;
        assert_eq!(version.status, 200, "{subject} of {}: {}", acknowledged.len(), version.body);
        let id = version.json()["id"].clone();
        let schema = running.get(&format!("/schemas/ids/{id}")).await;
        assert!(schema.body.contains(&format!("\\\"{subject}\\\"")), "id {id} of {subject}: {}", schema.body);
    }
}
