//! The ids of one context: who holds them, which content has which.

use std::collections::{BTreeMap, HashMap};

use schema_outpost::protocol::order;

use crate::model::Stored;

/// The ids of a context.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    /// The highest id ever given.
    pub(crate) max: i32,
    by_guid: HashMap<String, i32>,
    /// For every id the subjects that hold it with the version they hold it in, in the order in which they came.
    holders: BTreeMap<i32, Vec<(String, i32)>>,
}

impl Ids {
    /// The next id. Beyond the highest number the registry goes on with the lowest.
    pub(crate) fn next(&mut self) -> i32 {
        self.max = self.max.wrapping_add(1);
        self.max
    }

    pub(crate) fn registered(&mut self, stored: &Stored) {
        // It counts from 1, whatever is given first.
        self.max = stored.id.max(if self.max == 0 { 1 } else { self.max });
        self.by_guid.insert(stored.content.guid(), stored.id);
        let holders = self.holders.entry(stored.id).or_default();
        match holders.iter_mut().find(|(subject, _)| *subject == stored.subject) {
            Some((_, version)) => *version = stored.version,
            None => holders.push((stored.subject.clone(), stored.version)),
        }
    }

    pub(crate) fn removed(&mut self, stored: &Stored) {
        let Some(holders) = self.holders.get_mut(&stored.id) else { return };
        holders.retain(|(subject, version)| *subject != stored.subject || *version != stored.version);
        if holders.is_empty() {
            self.holders.remove(&stored.id);
        }
    }

    /// The id of a content that somebody still holds.
    pub(crate) fn of(&self, guid: &str) -> Option<i32> {
        self.by_guid.get(guid).copied().filter(|id| self.holders.contains_key(id))
    }

    /// The id that a content once had; unlike its holders it is never forgotten.
    pub(crate) fn ever_of(&self, guid: &str) -> Option<i32> {
        self.by_guid.get(guid).copied()
    }

    /// The subjects that hold an id with their versions, in Java's order.
    pub(crate) fn holders(&self, id: i32) -> Vec<(&str, i32)> {
        let Some(holders) = self.holders.get(&id) else { return Vec::new() };
        let names = order::map_order(holders.iter().map(|(subject, _)| subject.as_str()));
        names.into_iter().filter_map(|name| self.held_by(id, name).map(|version| (name, version))).collect()
    }

    /// The version in which a subject holds an id.
    pub(crate) fn held_by(&self, id: i32, subject: &str) -> Option<i32> {
        self.holders.get(&id)?.iter().find(|(holder, _)| holder == subject).map(|(_, version)| *version)
    }
}
