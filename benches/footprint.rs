//! Memory, start and import of the outpost as it ships, empty and before primaries that hold much.
//!
//! The figures are those of its process, as the system tells them. How to run it: `benches/README.md`.

mod program;

use std::time::Duration;

use program::outpost::Outpost;
use program::primary::{Holding, Primary, subject};
use program::process::{coarse_cpu, memory};

const STARTS: usize = 5;
/// What the replica is measured with; the last two say whether it grows in proportion.
const HOLDINGS: [Holding; 4] = [
    Holding::NOTHING,
    Holding { subjects: 5_000, versions: 4, texts: 5_000, bytes: 1_200 },
    Holding { subjects: 12_500, versions: 4, texts: 50_000, bytes: 1_200 },
    Holding { subjects: 25_000, versions: 4, texts: 100_000, bytes: 1_200 },
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let wanted: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    if arguments.first().is_some_and(|word| word == "primary") {
        let holding =
            HOLDINGS.iter().find(|holding| wanted.contains(&holding.all())).expect("a known number of versions");
        let primary = Primary::start(*holding);
        println!("{}", primary.registry.url());
        primary.block_on(std::future::pending::<()>());
    }
    println!(
        "{:>9} {:>8} | {:>9} {:>9} {:>9} | {:>10} {:>9} {:>9} | {:>9} {:>9}",
        "versions", "texts", "full s", "full CPU", "full req", "start ms", "RSS MB", "read MB", "tail req", "tail CPU"
    );
    for holding in HOLDINGS.iter().filter(|holding| wanted.is_empty() || wanted.contains(&holding.all())) {
        measure(*holding);
    }
}

fn measure(holding: Holding) {
    let folder = tempfile::tempdir().expect("a folder");
    let primary = Primary::start(holding);
    let kept = format!("state: {{ directory: \"{}\" }}", folder.path().join("state").display());
    let seldom = format!("{kept}\nimporter: {{ interval: 1h, full_interval: 1h }}");

    let outpost = Outpost::start(folder.path(), &primary.registry.url(), &seldom);
    outpost.catch_up();
    let full = (outpost.started.elapsed(), coarse_cpu(outpost.id()));
    let requests = outpost.status()["lastPass"]["requests"].as_u64().unwrap_or_default();
    let (after, most) = memory(outpost.id());
    outpost.stop();

    let target = if holding.all() == 0 { "/subjects".to_owned() } else { format!("/schemas/ids/{}", holding.texts) };
    let mut starts = Vec::new();
    let mut resting = (0.0, 0.0);
    let mut reading = 0.0;
    for _ in 0..STARTS {
        primary.registry.forget_requests();
        // The primary is away, so that what is measured is the start and not the pass that follows it.
        let outpost = Outpost::start(folder.path(), "http://127.0.0.1:9", &seldom);
        starts.push(outpost.first_answer(&target).as_secs_f64() * 1e3);
        std::thread::sleep(Duration::from_millis(500));
        resting = memory(outpost.id());
        for number in 0..holding.subjects {
            let target = format!("/subjects/{}/versions/1", subject(number));
            assert!(program::http::ask(outpost.data, "GET", &target).is_some_and(|answer| answer.0 == 200));
        }
        reading = memory(outpost.id()).0;
        outpost.stop();
    }
    starts.sort_by(f64::total_cmp);

    let outpost = Outpost::start(folder.path(), &primary.registry.url(), &tails(&kept));
    outpost.catch_up();
    let (tail_requests, tail_cpu) = tail(&outpost, &primary);
    outpost.stop();
    println!(
        "{:>9} {:>8} | {:>9.1} {:>9.1} {:>9} | {:>10.1} {:>9.1} {:>9.1} | {:>9} {:>9.2}",
        holding.all(),
        holding.texts,
        full.0.as_secs_f64(),
        full.1.as_secs_f64(),
        requests,
        starts[STARTS / 2],
        resting.0,
        reading,
        tail_requests,
        tail_cpu,
    );
    println!(
        "          memory after the import {after:.1} MB, at most {most:.1} MB; after a start at most {:.1} MB",
        resting.1
    );
}

fn tails(kept: &str) -> String {
    format!("{kept}\nimporter: {{ interval: 100ms, full_interval: 1h }}")
}

/// Requests and milliseconds of processor time of a tail pass that finds nothing.
fn tail(outpost: &Outpost, primary: &Primary) -> (u64, f64) {
    const PASSES: u32 = 100;
    std::thread::sleep(Duration::from_millis(300));
    let begun = coarse_cpu(outpost.id());
    let before = primary.registry.count(|_| true);
    std::thread::sleep(Duration::from_millis(100) * PASSES);
    let used = coarse_cpu(outpost.id()) - begun;
    let requests = primary.registry.count(|_| true) - before;
    let status = outpost.status();
    let last = status["lastPass"]["requests"].as_u64().unwrap_or_default();
    let passes = (requests as u64).checked_div(last).unwrap_or(1).max(1);
    (last, used.as_secs_f64() * 1e3 / passes as f64)
}
