//! The status object: how the outpost is doing, in one place.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Admin;
use crate::importer::Report;
use crate::protocol::mode::Mode;
use crate::protocol::subject::QualifiedSubject;
use crate::replica::{Digest, Doubt};
use crate::routing::Home;
use crate::upstream::{BreakerState, Registry};

impl Admin {
    /// Why reads may be older than they should be; nothing if they are not.
    pub(super) fn degraded(&self) -> Option<String> {
        if !self.parties.store.is_writable() {
            return Some("the state directory cannot be written".to_owned());
        }
        let local = self.parties.local.as_ref().filter(|local| local.is_away());
        if local.is_some() && self.parties.proxy.modes().table().throughout() != Some(Home::Primary) {
            return Some("the local registry cannot be reached".to_owned());
        }
        if self.parties.primary.is_nowhere() {
            return None;
        }
        if self.parties.primary.is_away() {
            return Some("the primary cannot be reached; reads are answered from the replica".to_owned());
        }
        let status = self.parties.importer.status();
        if let Some(alarm) = status.alarm {
            return Some(alarm);
        }
        status.last_pass.filter(|pass| !pass.ok).map(|pass| {
            format!(
                "the last pass over the primary failed: {}",
                pass.error.unwrap_or_else(|| "no reason was given".to_owned())
            )
        })
    }

    pub(super) async fn digest(&self) -> Arc<Digest> {
        let snapshot = self.parties.replica.snapshot();
        let mut known = self.digest.lock().await;
        match &*known {
            Some((generation, digest)) if *generation == snapshot.generation() => digest.clone(),
            _ => {
                let generation = snapshot.generation();
                // It takes its time, and this thread has probes to answer.
                let hashing = tokio::task::spawn_blocking(move || Arc::new(snapshot.digest()));
                let digest = hashing.await.expect("BUG: hashing does not panic");
                *known = Some((generation, digest.clone()));
                digest
            }
        }
    }

    pub(super) async fn status(&self) -> Value {
        let importer = self.parties.importer.status();
        let skipped = importer.skipped.iter().map(|skipped| {
            json!({ "subject": skipped.subject, "version": skipped.version, "reason": skipped.reason.to_string() })
        });
        let modes = self.parties.proxy.modes().table();
        let set = |(scope, mode): (&QualifiedSubject, Mode)| {
            let home = match modes.home(scope) {
                Home::Primary => "primary",
                Home::Local => "local",
            };
            json!({ "scope": scope.spelt(), "mode": mode.as_str(), "home": home })
        };
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "uptimeSeconds": self.started.elapsed().as_secs(),
            "mode": modes.in_scope(&QualifiedSubject::none()).as_str(),
            "configuredMode": modes.otherwise().as_str(),
            "modes": modes.iter().map(set).collect::<Vec<_>>(),
            "leftovers": modes.leftovers().map(set).collect::<Vec<_>>(),
            "answeredBy": self.answered_by(),
            "caughtUp": importer.caught_up,
            "degraded": self.degraded(),
            "alarm": importer.alarm,
            "lastPass": importer.last_pass.as_ref().map(Report::json),
            "lastFullPass": importer.last_full_pass.as_ref().map(Report::json),
            "skipped": skipped.collect::<Vec<_>>(),
            "primary": self.parties.has_primary().then(|| self.primary()),
            "local": self.local(),
            "replica": self.replica().await,
            "store": {
                "durable": self.parties.store.is_durable(),
                "writable": self.parties.store.is_writable(),
                "bytes": self.parties.store.bytes_on_disk(),
            },
            "digest": self.digest().await.total,
        })
    }

    /// Who answers at the moment, of what is forwarded and of what is the local registry's own.
    fn answered_by(&self) -> Value {
        let parties = &self.parties;
        let modes = parties.proxy.modes().table();
        let is_there = |registry: &Registry| !registry.is_away();
        let local = parties.local.as_deref().filter(|local| is_there(local)).map(|_| "local");
        let primary = is_there(&parties.primary).then_some("primary");
        let has_read = parties.replica.snapshot().read_at().is_some() || !parties.replica.snapshot().is_empty();
        let mut answered_by = serde_json::Map::new();
        if modes.throughout() != Some(Home::Local) {
            let reads = if has_read { Some("replica") } else { primary.or(local) };
            answered_by.insert("forwarded".to_owned(), json!({ "reads": reads, "writes": primary }));
        }
        if modes.throughout() != Some(Home::Primary) {
            let remembered = || parties.proxy.remembers_local().then_some("replica");
            answered_by.insert("local".to_owned(), json!({ "reads": local.or_else(remembered), "writes": local }));
        }
        answered_by.into()
    }

    /// The local registry, and how it is kept as our copy is.
    fn local(&self) -> Option<Value> {
        let known = self.parties.local.as_deref()?;
        let mut local = registry(known);
        let Some(sink) = &self.parties.sink else { return Some(local) };
        // Where no client has asked for anything yet, the sink knows whether it is there.
        if !known.is_away() && sink.registry().reachability().reachable {
            local["reachable"] = json!(true);
        }
        for (key, value) in sink.status().json().as_object().into_iter().flatten() {
            local[key] = value.clone();
        }
        Some(local)
    }

    fn primary(&self) -> Value {
        let mut primary = registry(&self.parties.primary);
        primary["profile"] = json!(self.parties.replica.snapshot().profile().map(|profile| profile.as_str()));
        primary
    }

    async fn replica(&self) -> Value {
        let snapshot = self.parties.replica.snapshot();
        let (texts, bytes) = self.parties.replica.texts().await;
        let contexts = snapshot.contexts().filter(|(_, state)| state.subjects().next().is_some()).count();
        let doubts = |wanted: Doubt| {
            snapshot.doubts().filter(move |(_, doubt)| *doubt == wanted).map(|(scope, _)| scope.to_string())
        };
        json!({
            "contexts": contexts,
            "subjects": snapshot.contexts().map(|(_, state)| state.subject_count()).sum::<usize>(),
            "versions": snapshot.contexts().map(|(_, state)| state.version_count()).sum::<usize>(),
            "texts": texts,
            "bytes": bytes,
            "generation": snapshot.generation(),
            "idConflicts": self.parties.replica.id_conflicts(),
            "unsure": doubts(Doubt::Unsure).collect::<Vec<_>>(),
            "undecided": doubts(Doubt::Undecided).collect::<Vec<_>>(),
            "incomplete": doubts(Doubt::Incomplete).count(),
            "renderedBytes": self.parties.proxy.rendered_bytes(),
        })
    }
}

/// How another registry is doing.
fn registry(registry: &Registry) -> Value {
    let reachability = registry.reachability();
    let breaker = match reachability.breaker {
        BreakerState::Closed => "closed",
        BreakerState::Open => "open",
        BreakerState::Probing => "probing",
    };
    json!({
        "url": crate::upstream::without_secrets(registry.current_url()),
        "reachable": reachability.reachable,
        "breaker": breaker,
        "unreachableSeconds": reachability.unreachable_since.map(|since| since.elapsed().as_secs()),
    })
}
