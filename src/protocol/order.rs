//! The orders that Java gives to strings: UTF-16 comparison, and the iteration order of a `ConcurrentHashMap` (WIRE.md § 1.7).

use std::cmp::Ordering;

/// Compares two strings as Java's `String.compareTo` does: by UTF-16 units, so U+10000 stands before U+E000.
pub fn compare(left: &str, right: &str) -> Ordering {
    left.encode_utf16().cmp(right.encode_utf16())
}

/// Java's `String.hashCode`, over UTF-16 units.
pub fn hash_code(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// Puts keys, given in the order of their insertion, into the order in which a `ConcurrentHashMap` lists them.
///
/// A registry keeps the subjects that hold an id in such a map, so this is the order of `/schemas/ids/{id}/subjects`.
/// Removals are not played back: a map that was larger before keeps its larger table. Nor are the trees that Java
/// makes of nine keys in one bucket, which takes names chosen to collide.
pub fn map_order<'a>(keys: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut table = Table::new();
    keys.into_iter().for_each(|key| table.insert(key));
    table.buckets.into_iter().flatten().map(|(_, key)| key).collect()
}

struct Table<'a> {
    buckets: Vec<Vec<(u32, &'a str)>>,
    count: usize,
}

impl<'a> Table<'a> {
    fn new() -> Self {
        Self { buckets: vec![Vec::new(); 16], count: 0 }
    }

    fn insert(&mut self, key: &'a str) {
        let hash = hash_code(key).cast_unsigned();
        let spread = (hash ^ (hash >> 16)) & 0x7fff_ffff;
        let last = self.buckets.len() - 1;
        let bucket = &mut self.buckets[spread as usize & last];
        if bucket.iter().any(|(_, present)| *present == key) {
            return;
        }
        bucket.push((spread, key));
        self.count += 1;
        if self.count >= self.buckets.len() / 4 * 3 {
            self.double();
        }
    }

    /// Splits every bucket in two as `transfer` does: the last run that goes to one side keeps its
    /// order, what stands before it is put in front, one by one, and so comes out reversed.
    fn double(&mut self) {
        let size = self.buckets.len();
        let mut doubled = vec![Vec::new(); size * 2];
        for (index, bucket) in self.buckets.drain(..).enumerate() {
            let high = |node: &(u32, &str)| node.0 as usize & size != 0;
            let Some(last) = bucket.last() else { continue };
            let side = high(last);
            let run = bucket.iter().rposition(|node| high(node) != side).map_or(0, |before| before + 1);
            for node in bucket[..run].iter().rev() {
                doubled[index + if high(node) { size } else { 0 }].push(*node);
            }
            doubled[index + if side { size } else { 0 }].extend_from_slice(&bucket[run..]);
        }
        self.buckets = doubled;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_hashed_over_utf_16_units() {
        assert_eq!(
            hash_code("orders-value"),
            "orders-value".bytes().fold(0_i32, |h, b| h.wrapping_mul(31).wrapping_add(i32::from(b)))
        );
        assert_eq!(hash_code("hello"), 99_162_322);
        assert_eq!(hash_code("🛒"), 0xd83d_i32.wrapping_mul(31).wrapping_add(0xded2));
    }

    #[test]
    fn strings_beyond_the_basic_plane_sort_before_the_end_of_it() {
        assert_eq!(compare("\u{10000}", "\u{e000}"), Ordering::Less);
        assert_eq!(compare("a", "B"), Ordering::Greater);
        assert_eq!(compare("a", "ab"), Ordering::Less);
    }

    #[test]
    fn holders_come_in_the_order_of_their_hashes() {
        assert_eq!(map_order(["b", "a", "p", "q", "0"]), ["p", "0", "a", "q", "b"]);
    }

    #[test]
    fn the_twelfth_holder_doubles_the_table() {
        let names: Vec<String> = ('a'..='k').chain(['A']).map(String::from).collect();
        assert_eq!(map_order(names[..11].iter().map(String::as_str)).concat(), "abcdefghijk");
        // Of 32 buckets A (65) is the second and a (97) is it too; A was put in last.
        assert_eq!(map_order(names.iter().map(String::as_str)).concat(), "aAbcdefghijk");
        assert_eq!(map_order(["1", "A", "Q"]).concat(), "1AQ");
    }

    #[test]
    fn a_splitting_bucket_reverses_what_stands_before_its_last_run() {
        // Buckets of 16: "A" 65, "Q" 81, "a" 97 share the second; of 32 "Q" (81 & 16) moves away.
        let names = ["A", "a", "Q", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        let order = map_order(names);
        let position = |name: &str| order.iter().position(|held| *held == name).expect("every holder is listed");
        assert!(position("a") < position("A"), "{order:?}");
        assert!(position("A") < position("Q"), "{order:?}");
    }
}
