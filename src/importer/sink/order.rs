//! In which order versions are written and taken away: what is referred to comes before what refers to it.

use std::collections::HashMap;

use super::held::Place;

/// Puts places into groups. What a place refers to, and the versions before it, are in earlier groups; inside a
/// group the order does not matter. Places that refer to each other in a circle come in any order.
pub(super) fn groups(places: &[(Place, Vec<Place>)]) -> Vec<Vec<usize>> {
    let mut sorted: Vec<usize> = (0..places.len()).collect();
    sorted.sort_by_key(|at| &places[*at].0);
    let mut waits: Vec<Vec<usize>> = {
        let at: HashMap<&Place, usize> = places.iter().enumerate().map(|(at, (place, _))| (place, at)).collect();
        let referred = |(_, references): &(Place, Vec<Place>)| {
            references.iter().filter_map(|place| at.get(place).copied()).collect()
        };
        places.iter().map(referred).collect()
    };
    for pair in sorted.windows(2) {
        if places[pair[0]].0.0 == places[pair[1]].0.0 {
            waits[pair[1]].push(pair[0]);
        }
    }
    let mut depths: Vec<Option<usize>> = vec![None; places.len()];
    let mut met = vec![false; places.len()];
    for start in sorted {
        // Each with those it still has to wait for; no recursion, chains may be long.
        let mut open: Vec<(usize, usize)> = if met[start] { Vec::new() } else { vec![(start, 0)] };
        met[start] = true;
        while let Some((at, next)) = open.last_mut() {
            match waits[*at].get(*next) {
                Some(other) => {
                    *next += 1;
                    if !std::mem::replace(&mut met[*other], true) {
                        open.push((*other, 0));
                    }
                }
                None => {
                    let below = waits[*at].iter().filter_map(|other| depths[*other]).max();
                    depths[*at] = Some(below.map_or(0, |below| below + 1));
                    open.pop();
                }
            }
        }
    }
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (at, depth) in depths.into_iter().enumerate() {
        let depth = depth.unwrap_or_default();
        groups.resize_with(groups.len().max(depth + 1), Vec::new);
        groups[depth].push(at);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::subject::QualifiedSubject;

    fn place(subject: &str, version: i32) -> Place {
        (QualifiedSubject::parse(subject), version)
    }

    fn printed(places: &[(Place, Vec<Place>)]) -> Vec<Vec<String>> {
        let print = |group: &Vec<usize>| {
            let mut names: Vec<_> = group.iter().map(|at| format!("{}{}", places[*at].0.0, places[*at].0.1)).collect();
            names.sort();
            names
        };
        groups(places).iter().map(print).collect()
    }

    #[test]
    fn references_come_first_and_versions_ascend() {
        let places = [
            (place("a", 2), vec![place("b", 1)]),
            (place("a", 1), vec![]),
            (place("b", 1), vec![place(":.c:x", 7), place("gone", 1)]),
            (place(":.c:x", 7), vec![]),
        ];
        assert_eq!(printed(&places), [vec![":.c:x7", "a1"], vec!["b1"], vec!["a2"]]);
    }

    #[test]
    fn a_circle_ends_and_leaves_nobody_out() {
        let places = [
            (place("a", 1), vec![place("b", 1)]),
            (place("b", 1), vec![place("a", 1)]),
            (place("c", 1), vec![place("c", 1)]),
        ];
        let all: usize = groups(&places).iter().map(Vec::len).sum();
        assert_eq!(all, 3);
        assert!(groups(&[]).is_empty());
    }

    #[test]
    fn a_long_chain_is_followed_to_its_end() {
        let chain: Vec<_> = (1..=20_000)
            .map(|number| (place(&format!("s{number}"), 1), vec![place(&format!("s{}", number + 1), 1)]))
            .collect();
        assert_eq!(groups(&chain).len(), 20_000);
    }
}
