//! The rewriter under requests, bodies and answers that chance makes up: laws that hold for every one of them.
//!
//! `OUTPOST_FUZZ_RUNS` says how many are made up and `OUTPOST_FUZZ_FROM` by which number the first goes, which
//! a failure names:
//!
//! ```sh
//! OUTPOST_FUZZ_RUNS=10000000 cargo test --release --lib routing::tests
//! ```

mod bodies;
mod chance;
mod laws;
mod reading;
mod requests;
mod sites;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use chance::Chance;
use laws::Came;

use crate::protocol::endpoints::ENDPOINTS;

fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().map_or(usual, |text| text.parse().expect("a number"))
}

#[test]
fn whatever_is_asked_and_answered_only_what_is_mapped_passes_and_nothing_but_names_changes() {
    let (from, runs) = (number("OUTPOST_FUZZ_FROM", 0), number("OUTPOST_FUZZ_RUNS", 10_000));
    let sites = sites::sites();
    let mut came: BTreeMap<(&str, Came), u64> = BTreeMap::new();
    for case in from..from + runs {
        let followed = catch_unwind(AssertUnwindSafe(|| laws::follow(&mut Chance::of(case), &sites)));
        match followed {
            Ok(Ok(how)) => *came.entry(how).or_default() += 1,
            Ok(Err(why)) => panic!("case {case}: {why}"),
            Err(_) => panic!("case {case} panics"),
        }
    }
    let through = |route: &str| came.get(&(route, Came::Through)).copied().unwrap_or_default();
    println!("{runs} cases from {from}: {came:?}");
    let never = ENDPOINTS.iter().map(|row| row.route.name()).filter(|route| through(route) == 0);
    assert_eq!(never.collect::<Vec<_>>(), Vec::<&str>::new(), "made up, and never passed on");
}
