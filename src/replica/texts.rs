//! The texts of all schemas, each held once.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

use super::keep::{Entry, Table};

/// The key of a text: a hash that nobody can find a second text for, since clients choose the texts.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TextKey(pub(super) [u8; 32]);

impl TextKey {
    pub(super) fn of(text: &str) -> Self {
        let mut key = [0; 32];
        key.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        Self(key)
    }

    /// Reads what `Display` printed.
    pub(super) fn parse(printed: &str) -> Option<Self> {
        let mut key = [0; 32];
        if printed.len() != 64 {
            return None;
        }
        for (byte, digits) in key.iter_mut().zip(printed.as_bytes().as_chunks::<2>().0) {
            let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
            *byte = u8::try_from(high? << 4 | low?).ok()?;
        }
        Some(Self(key))
    }
}

impl fmt::Display for TextKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut printed = [0; 64];
        for (pair, byte) in printed.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
            *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
        }
        f.write_str(std::str::from_utf8(&printed).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for TextKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Texts are written down many at a time: a start reads all of them, and reads a few large rows much faster than
/// many small ones. As much as fits into sixteen pages of the store, with what it adds to a row.
const PACK: usize = 60 << 10;
/// A pack that is smaller than this may be joined with others.
const SMALL: usize = PACK / 4;
/// So many small packs may lie about.
const MOST_SMALL: usize = 64;

/// The texts by their keys. The key and not the text is what a look-up goes by, so that nothing is held but the text.
#[derive(Debug, Default)]
pub(super) struct Texts {
    held: HashMap<TextKey, Held, foldhash::fast::RandomState>,
    /// The bytes of each pack as it was written.
    packs: HashMap<u32, usize>,
    /// The highest number of a pack so far.
    last: u32,
}

#[derive(Debug)]
struct Held {
    text: Arc<str>,
    pack: u32,
}

/// A row of texts that is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not written as texts are")]
pub(super) struct Garbled;

impl Texts {
    /// The one copy of a text, its key, and whether it is new; what is new is to be packed.
    pub(super) fn intern(&mut self, text: &Arc<str>) -> (Arc<str>, TextKey, bool) {
        let key = TextKey::of(text);
        if let Some(known) = self.held.get(&key) {
            return (known.text.clone(), key, false);
        }
        self.held.insert(key, Held { text: text.clone(), pack: 0 });
        (text.clone(), key, true)
    }

    /// The one copy of a text that some version has, with its key.
    pub(super) fn find(&self, text: &str) -> Option<(&Arc<str>, TextKey)> {
        let key = TextKey::of(text);
        self.get(&key).map(|text| (text, key))
    }

    /// The text of a key.
    pub(super) fn get(&self, key: &TextKey) -> Option<&Arc<str>> {
        self.held.get(key).map(|held| &held.text)
    }

    /// Puts texts into packs, which are to be kept.
    pub(super) fn pack(&mut self, keys: &[TextKey]) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut row = Vec::new();
        for (at, key) in keys.iter().enumerate() {
            let Some(held) = self.held.get_mut(key) else { continue };
            held.pack = self.last + 1;
            row.extend(key.0);
            // A registry's answer that were longer would not have been read.
            let length = u32::try_from(held.text.len()).expect("BUG: a text is longer than an answer can be");
            row.extend(length.to_le_bytes());
            row.extend(held.text.as_bytes());
            let next = keys.get(at + 1).and_then(|next| self.held.get(next)).map_or(0, |next| next.text.len() + 36);
            if at + 1 == keys.len() || row.len() + next > PACK {
                self.last += 1;
                self.packs.insert(self.last, row.len());
                entries.push(Entry::put(Table::Texts, row_key(self.last), std::mem::take(&mut row)));
            }
        }
        entries
    }

    /// Takes over a pack that is kept already.
    pub(super) fn take(&mut self, key: &str, mut row: &[u8]) -> Result<(), Garbled> {
        let pack = key.parse().map_err(|_| Garbled)?;
        self.last = self.last.max(pack);
        self.packs.insert(pack, row.len());
        while let Some((key, rest)) = row.split_first_chunk() {
            let (length, rest) = rest.split_first_chunk().ok_or(Garbled)?;
            let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| Garbled)?;
            let (text, rest) = rest.split_at_checked(length).ok_or(Garbled)?;
            let text = std::str::from_utf8(text).map_err(|_| Garbled)?;
            self.held.insert(TextKey(*key), Held { text: Arc::from(text), pack });
            row = rest;
        }
        if row.is_empty() { Ok(()) } else { Err(Garbled) }
    }

    /// Lets go of texts whose rows could not be kept.
    pub(super) fn forget(&mut self, fresh: &[TextKey]) {
        for key in fresh {
            if let Some(held) = self.held.remove(key) {
                self.packs.remove(&held.pack);
            }
        }
    }

    /// Lets go of what nobody refers to any more, and joins small packs; returns what is to be kept of that.
    ///
    /// Should that not be kept, packs are left behind that nobody misses, and no text is lost.
    pub(super) fn sweep(&mut self) -> Vec<Entry> {
        self.held.retain(|_, held| Arc::strong_count(&held.text) > 1);
        let mut live: HashMap<u32, usize> = HashMap::with_capacity(self.packs.len());
        for held in self.held.values() {
            *live.entry(held.pack).or_default() += held.text.len() + 36;
        }
        let live = |pack: &u32| live.get(pack).copied().unwrap_or_default();
        let small = self.packs.values().filter(|size| **size < SMALL).count();
        let goes = |(pack, size): (&u32, &usize)| {
            let is_hollow = live(pack) * 2 < *size;
            (is_hollow || (*size < SMALL && small > MOST_SMALL)).then_some(*pack)
        };
        let gone: HashSet<u32> = self.packs.iter().filter_map(goes).collect();
        self.packs.retain(|pack, _| !gone.contains(pack));
        let homeless = self.held.iter().filter(|(_, held)| gone.contains(&held.pack)).map(|(key, _)| *key);
        let homeless: Vec<TextKey> = homeless.collect();
        let mut entries = self.pack(&homeless);
        entries.extend(gone.into_iter().map(|pack| Entry::delete(Table::Texts, row_key(pack))));
        entries
    }

    /// Whether there are texts in the pack of a key.
    pub(super) fn uses(&self, key: &str) -> bool {
        key.parse().is_ok_and(|pack: u32| self.packs.contains_key(&pack))
    }

    /// How many there are, and their bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.held.len(), self.held.values().map(|held| held.text.len()).sum())
    }
}

fn row_key(pack: u32) -> String {
    format!("{pack:010}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_key_is_printed_and_read_as_hexadecimal() {
        let key = TextKey::of("abc");
        let printed = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(key.to_string(), printed);
        assert_eq!(TextKey::parse(printed), Some(key));
        for broken in ["", "ba", &printed.replace('b', "g"), &format!("{printed}00"), &"é".repeat(32)] {
            assert_eq!(TextKey::parse(broken), None, "{broken}");
        }
    }

    /// The rows as the store would hold them.
    fn keep(rows: &mut BTreeMap<String, Vec<u8>>, entries: Vec<Entry>) {
        for Entry { key, value, .. } in entries {
            match value {
                Some(value) => drop(rows.insert(key, value)),
                None => drop(rows.remove(&key).expect("only what is there is removed")),
            }
        }
    }

    fn loaded(rows: &BTreeMap<String, Vec<u8>>) -> Texts {
        let mut texts = Texts::default();
        rows.iter().for_each(|(key, row)| texts.take(key, row).expect("whole"));
        texts
    }

    #[test]
    fn texts_are_found_again_whatever_packs_they_went_through() {
        let (mut texts, mut rows) = (Texts::default(), BTreeMap::new());
        let mut held: Vec<Arc<str>> = Vec::new();
        for batch in [3, 1, 200, 1, 1] {
            let new: Vec<_> =
                (0..batch).map(|at| format!("{} {at} {}", held.len(), "x".repeat(at * 13 % 2_000))).collect();
            let mut fresh = Vec::new();
            for text in new {
                let (text, key, is_new) = texts.intern(&Arc::from(text));
                assert!(is_new);
                held.push(text);
                fresh.push(key);
            }
            keep(&mut rows, texts.pack(&fresh));
        }
        assert!(rows.values().all(|row| row.len() <= PACK) && rows.len() > 5, "{}", rows.len());
        assert!(texts.sweep().is_empty(), "nothing is to be done");
        assert!(!texts.intern(&held[7]).2);

        // Singles come in, and most of the rest goes.
        for number in 0..=MOST_SMALL {
            let (text, key, _) = texts.intern(&Arc::from(format!("single {number}")));
            held.push(text);
            keep(&mut rows, texts.pack(&[key]));
        }
        let many = rows.len();
        held.retain(|text| text.starts_with("single") || text.ends_with('x') && text.len() % 7 == 0);
        keep(&mut rows, texts.sweep());
        assert!(rows.len() + MOST_SMALL < many, "{} of {many} rows", rows.len());
        assert_eq!(texts.size().0, held.len());
        let again = loaded(&rows);
        assert!(held.iter().all(|text| again.find(text).is_some_and(|(found, _)| found == text)));
        assert!(again.size().0 < 2 * held.len(), "what is gone is not dragged along for ever");
    }

    #[test]
    fn half_a_row_of_texts_is_not_taken_for_a_whole_one() {
        let mut texts = Texts::default();
        let keys = ["one", "two"].map(|text| texts.intern(&Arc::from(text)).1);
        let row = texts.pack(&keys).remove(0).value.expect("a row");
        let whole = row.len();
        for end in (1..whole).filter(|end| *end != whole / 2) {
            assert_eq!(Texts::default().take("1", &row[..end]), Err(Garbled), "{end} bytes");
        }
        assert_eq!(Texts::default().take("one", &row), Err(Garbled));
    }
}
