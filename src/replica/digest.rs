//! A fingerprint of what the replica holds, for comparing two of them (CONSISTENCY.md, Words).
//!
//! Every fact is hashed for itself and the hashes are added up, so the order in which facts came does
//! not count. Times of records and what is merely remembered to be absent are left out.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{Context as Hasher, SHA256};

use super::snapshot::Snapshot;
use crate::protocol::schema::Version;
use crate::protocol::subject::QualifiedSubject;

/// The digests of a snapshot, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// Of everything.
    pub total: String,
    /// Of each context, by its name.
    pub contexts: BTreeMap<String, String>,
}

impl Snapshot {
    /// Hashes the whole state; takes time in proportion to it.
    pub fn digest(&self) -> Digest {
        let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
        for (context, state) in self.contexts() {
            let sum = sums.entry(context.as_str().to_owned()).or_default();
            for (name, state) in state.subjects() {
                state.versions.iter().for_each(|version| sum.add(&of_version(context.as_str(), name, version)));
            }
        }
        for key in self.remembered_keys().filter(|key| key.starts_with("/config") && !key.contains('?')) {
            let Some(answer) = self.remembered(key).filter(|answer| answer.status == 200) else { continue };
            let subject = QualifiedSubject::parse(key.strip_prefix("/config/").unwrap_or_default());
            let sum = sums.entry(subject.context.as_str().to_owned()).or_default();
            sum.add(&hash(&[b"config", key.as_bytes(), &answer.body]));
        }
        let mut total = Sum::default();
        sums.values().for_each(|sum| total.join(sum));
        let contexts = sums.into_iter().map(|(name, sum)| (name, sum.hex())).collect();
        Digest { total: total.hex(), contexts }
    }
}

fn of_version(context: &str, subject: &str, version: &Version) -> [u8; 32] {
    let raw = |value: &Option<std::sync::Arc<serde_json::value::RawValue>>| {
        value.as_deref().map_or(Vec::new(), |raw| raw.get().as_bytes().to_vec())
    };
    hash(&[
        context.as_bytes(),
        subject.as_bytes(),
        &version.version.to_be_bytes(),
        &version.id.to_be_bytes(),
        &[u8::from(version.deleted)],
        version.schema_type.as_str().as_bytes(),
        version.text.as_bytes(),
        &raw(&version.references),
        &raw(&version.metadata),
        &raw(&version.rule_set),
    ])
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Hasher::new(&SHA256);
    for part in parts {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(hasher.finish().as_ref());
    hash
}

/// A sum of hashes modulo 2²⁵⁶.
#[derive(Default)]
struct Sum([u64; 4]);

impl Sum {
    fn add(&mut self, hash: &[u8; 32]) {
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(hash.chunks_exact(8)) {
            *word = bytes.iter().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
        }
        self.join(&Self(words));
    }

    fn join(&mut self, other: &Self) {
        let mut carry = false;
        for (own, other) in self.0.iter_mut().zip(other.0).rev() {
            let (sum, over) = own.overflowing_add(other);
            let (sum, again) = sum.overflowing_add(u64::from(carry));
            (*own, carry) = (sum, over || again);
        }
    }

    fn hex(&self) -> String {
        self.0.iter().map(|word| format!("{word:016x}")).collect()
    }
}
