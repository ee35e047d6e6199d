//! What the primary answered about a schema that was sent to it, for as long as nothing has changed that the
//! answer depends on (WIRE.md § 7.2, the practical verdict).
//!
//! As which text the registry stores a spelling is remembered apart, by [`Spelling`](super::Spelling): that is
//! true for ever, so it is kept on disk. An answer is true until somebody writes, so it lives in memory.

use std::sync::Arc;

use aws_lc_rs::digest::{Context as Hash, SHA256};
use bytes::Bytes;
use moka::sync::Cache;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::answer::{Asked, MOST_REFERENCES, config_key, served_subject};
use super::snapshot::{Doubt, Scope, Snapshot};
use crate::protocol::endpoints::Route;
use crate::protocol::operation::Operation;
use crate::protocol::schema::{Reference, Version};
use crate::protocol::subject::{Context, QualifiedSubject};

/// A hash that nobody can find a second origin of: clients choose what is hashed.
type Digest = [u8; 32];

/// The memo, bounded by bytes. Only answers with status 200 are in it: that something is not there is never
/// remembered here (C4b).
pub struct Memo(Cache<Digest, Arc<Kept>>);

/// An answer, and the state of what it depends on.
struct Kept {
    footing: Digest,
    /// Whether it shows when a version was written, so that this counts too.
    shows_times: bool,
    body: Bytes,
}

impl Memo {
    /// Room for `bytes` of answers.
    pub fn with_room(bytes: u64) -> Self {
        let weight = |_: &Digest, kept: &Arc<Kept>| {
            // Key, footing and what moka itself holds for an entry, roughly.
            const OVERHEAD: usize = 320;
            u32::try_from(kept.body.len() + OVERHEAD).unwrap_or(u32::MAX)
        };
        Self(Cache::builder().max_capacity(bytes).weigher(weight).build())
    }

    /// What the primary answered, if that must still be so. What it depends on may be in doubt as far as `bearable`.
    pub fn recall(&self, question: &Question<'_>, snapshot: &Snapshot, bearable: Doubt) -> Option<Bytes> {
        let kept = self.0.get(&question.digest())?;
        let ground = question.ground(snapshot)?;
        let holds =
            !ground.is_doubted(snapshot, bearable) && ground.digest(snapshot, kept.shows_times, None) == kept.footing;
        holds.then(|| kept.body.clone())
    }

    /// Keeps an answer with status 200, if `now` knows what it names and nothing that it depends on has changed
    /// since `before`, when the primary was not yet asked. What the question itself has registered is no change.
    pub fn keep(&self, question: &Question<'_>, before: &Snapshot, now: &Snapshot, body: &Bytes) {
        let Ok(named) = serde_json::from_slice::<Named>(body) else { return };
        let Some((ground, place)) = question.ground(now).zip(named.place(question, now)) else { return };
        // Under which of several ids the registry finds a content changes with every write of it.
        let Some(held) = now.version(&place.subject, place.version) else { return };
        let guid = held.guid.clone();
        let is_only_id =
            now.context(&place.subject.context).is_some_and(|context| context.is_only_id_of(guid.as_deref()));
        if !is_only_id {
            return;
        }
        // Metadata and rules that were not sent, and a number written into them, make a difference to who sends the same again.
        let is_new = before.version(&place.subject, place.version).is_none();
        let is_as_sent =
            || question.asked.has_metadata_of(held) && named.rule_set.is_none() && !question.asked.has_rules();
        if is_new && !(question.operation.route == Route::Register && is_as_sent()) {
            return;
        }
        let shows_times = named.ts.is_some();
        let own = is_new.then_some(&place);
        if ground.digest(before, shows_times, own) == ground.digest(now, shows_times, own) {
            let footing = ground.digest(now, shows_times, None);
            // Not the buffer that the answer was read into, which may be much larger and is not weighed.
            let body = Bytes::copy_from_slice(body);
            self.0.insert(question.digest(), Arc::new(Kept { footing, shows_times, body }));
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.0.weighted_size()
    }
}

/// A question about a schema that a client sent along: a lookup, or a registration of what may be there already.
pub struct Question<'a> {
    operation: &'a Operation,
    asked: &'a Asked,
}

impl<'a> Question<'a> {
    /// `None` if its answer is not to be remembered.
    pub fn of(operation: &'a Operation, asked: &'a Asked) -> Option<Self> {
        let is_plain = asked.is_plain_registration() && asked.text().is_some();
        let is_remembered = match operation.route {
            Route::Lookup => true,
            Route::Register => operation.shows_schema_as_stored() && !operation.query.flag("force"),
            _ => false,
        };
        (is_plain && is_remembered).then_some(Self { operation, asked })
    }

    /// What identifies it, however it is spelled.
    fn digest(&self) -> Digest {
        let Self { operation, asked } = self;
        let mut hash = Pieces::new();
        hash.push(operation.route.name());
        // A name that was spelled with escapes has its alias elsewhere.
        hash.push(if operation.is_escaped { "escaped" } else { "plain" });
        hash.push(&operation.subject_text);
        for parameter in ["deleted", "normalize"] {
            hash.push(if operation.query.flag(parameter) { "true" } else { "false" });
        }
        hash.push(operation.query.get("format").unwrap_or_default());
        hash.push(asked.schema_type().as_str());
        hash.push(asked.text().unwrap_or_default());
        hash.list(asked.references(), |hash, reference| {
            hash.option(reference.name.as_deref());
            hash.option(reference.subject.as_deref());
            hash.option(reference.version.map(|version| version.to_string()).as_deref());
        });
        hash.option(asked.metadata().map(|metadata| metadata.to_string()).as_deref());
        hash.option(asked.rule_set().map(ToString::to_string).as_deref());
        hash.finish()
    }

    /// What the answer depends on; `None` if that is too much to look after.
    fn ground(&self, snapshot: &Snapshot) -> Option<Ground> {
        let served = served_subject(snapshot, self.operation);
        let mut homes = vec![self.operation.subject.clone(), served.clone()];
        if self.operation.route == Route::Lookup && served.context.is_default() {
            // What the default context does not have is looked for under the same name in every other one.
            let elsewhere = snapshot.named_contexts().filter(|(_, state)| state.subject(&served.subject).is_some());
            homes.extend(elsewhere.map(|(context, _)| QualifiedSubject::new(context.clone(), &served.subject)));
        }
        homes.dedup();
        let mut ground = Ground { settings: settings(&homes), subjects: homes, followed: Vec::new() };
        for home in ground.subjects.clone() {
            ground.follow(snapshot, &home, self.asked.references())?;
        }
        Some(ground)
    }
}

/// The keys of the configurations and modes in scope of subjects, and of what release answers.
fn settings(subjects: &[QualifiedSubject]) -> Vec<String> {
    let scopes =
        subjects.iter().flat_map(|subject| [subject.clone(), QualifiedSubject::new(subject.context.clone(), "")]);
    let mut keys: Vec<String> = scopes
        .chain([QualifiedSubject::new(Context::global(), "")])
        .map(|scope| config_key(&scope))
        .flat_map(|config| [config.replacen("/config", "/mode", 1), config])
        .flat_map(|key| [format!("{key}?defaultToGlobal=true"), key])
        .chain(["/v1/metadata/version".to_owned()])
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

/// What an answer depends on.
struct Ground {
    /// The subjects asked about, then those that their references lead to.
    subjects: Vec<QualifiedSubject>,
    /// Keys of remembered answers.
    settings: Vec<String>,
    /// The references that were followed.
    followed: Vec<(QualifiedSubject, i32)>,
}

impl Ground {
    /// Adds what references lead to, wherever the registry may look when it is asked: that is more than it takes in
    /// the end, and one that leads nowhere counts as a subject that is not there.
    fn follow(&mut self, snapshot: &Snapshot, parent: &QualifiedSubject, references: &[Reference]) -> Option<()> {
        for reference in references {
            let Some(written) = reference.subject.as_deref() else { continue };
            let target = QualifiedSubject::parse_in(written, &parent.context);
            let number = reference.version.unwrap_or_default();
            if self.followed.contains(&(target.clone(), number)) {
                continue;
            }
            self.followed.push((target.clone(), number));
            if self.followed.len() > MOST_REFERENCES {
                return None;
            }
            if !self.subjects.contains(&target) {
                self.subjects.push(target.clone());
            }
            let state = snapshot.subject(&target);
            let version = state.and_then(|state| if number > 0 { state.version(number) } else { state.latest() });
            if let Some(version) = version {
                self.follow(snapshot, &target, &version.references())?;
            }
        }
        Some(())
    }

    /// Whether any of it is less certain than can be borne.
    fn is_doubted(&self, snapshot: &Snapshot, bearable: Doubt) -> bool {
        let is_in = |scope: &Scope| match scope {
            Scope::All => true,
            Scope::Context(context) => self.subjects.iter().any(|subject| subject.context == *context),
            Scope::Subject(subject) => self.subjects.contains(subject),
            Scope::Remembered(key) => self.settings.iter().any(|setting| **setting == **key),
            Scope::Contexts | Scope::Associations => false,
        };
        snapshot.doubts().any(|(scope, doubt)| doubt > bearable && is_in(scope))
    }

    /// The state that all of it is in, but for one version.
    fn digest(&self, snapshot: &Snapshot, with_times: bool, but: Option<&Place>) -> Digest {
        let mut hash = Pieces::new();
        hash.option(snapshot.profile().map(|profile| profile.as_str()));
        hash.list(&self.settings, |hash, key| {
            let remembered = snapshot.remembered(key);
            hash.option(remembered.map(|answer| answer.status.to_string()).as_deref());
            hash.bytes(remembered.map_or(&[], |answer| &answer.body));
        });
        hash.list(&self.subjects, |hash, subject| {
            hash.push(&subject.to_string());
            let context = snapshot.context(&subject.context);
            let state = snapshot.subject(subject);
            let is_left_out = |version: &Version| {
                but.is_some_and(|place| place.subject == *subject && place.version == version.version)
            };
            for version in state.into_iter().flat_map(|state| &state.versions).filter(|version| !is_left_out(version)) {
                hash.push(&format!("{} {} {}", version.version, version.id, version.deleted));
                if with_times {
                    hash.push(&version.ts.unwrap_or_default().to_string());
                }
                content(hash, version);
                let is_only_id = context.is_some_and(|context| context.is_only_id_of(version.guid.as_deref()));
                hash.push(if is_only_id { "" } else { "ambiguous" });
            }
        });
        hash.finish()
    }
}

/// What a version holds; its GUID says it all.
fn content(hash: &mut Pieces, version: &Version) {
    hash.option(version.guid.as_deref());
    if version.guid.is_none() {
        hash.push(version.schema_type.as_str());
        hash.push(&version.text);
        for part in [&version.references, &version.metadata, &version.rule_set] {
            hash.option(part.as_ref().map(|raw| raw.get()));
        }
    }
}

/// A version that an answer is about.
struct Place {
    subject: QualifiedSubject,
    version: i32,
}

/// What an answer names. Registries before 8.0 say no more than the id of what they registered.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    subject: Option<String>,
    version: Option<i32>,
    id: i32,
    rule_set: Option<IgnoredAny>,
    ts: Option<i64>,
}

impl Named {
    /// Where the replica has it too.
    fn place(&self, question: &Question<'_>, snapshot: &Snapshot) -> Option<Place> {
        let named = self.subject.as_deref().map(QualifiedSubject::parse);
        let subject = named.unwrap_or_else(|| served_subject(snapshot, question.operation));
        let may_be_deleted = question.operation.route == Route::Lookup && question.operation.query.flag("deleted");
        let is_it = |version: &&Arc<Version>| version.id == self.id && (may_be_deleted || !version.deleted);
        let state = snapshot.subject(&subject)?;
        let version = match self.version {
            Some(number) => state.version(number).filter(is_it)?,
            None => {
                let mut held = state.versions.iter().filter(is_it);
                held.next().filter(|_| held.next().is_none())?
            }
        };
        let version = version.version;
        Some(Place { subject, version })
    }
}

/// A hash over pieces, each with its length, so that no two lists of pieces have the same one.
struct Pieces(Hash);

impl Pieces {
    fn new() -> Self {
        Self(Hash::new(&SHA256))
    }

    fn bytes(&mut self, piece: &[u8]) {
        self.0.update(&(piece.len() as u64).to_be_bytes());
        self.0.update(piece);
    }

    fn push(&mut self, piece: &str) {
        self.bytes(piece.as_bytes());
    }

    fn option(&mut self, piece: Option<&str>) {
        self.0.update(&[u8::from(piece.is_some())]);
        self.push(piece.unwrap_or_default());
    }

    fn list<T>(&mut self, items: &[T], push: impl Fn(&mut Self, &T)) {
        self.0.update(&(items.len() as u64).to_be_bytes());
        items.iter().for_each(|item| push(self, item));
    }

    fn finish(self) -> Digest {
        let mut digest = [0; 32];
        digest.copy_from_slice(self.0.finish().as_ref());
        digest
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::protocol::schema::Listed;
    use crate::protocol::shape::Profile;
    use crate::replica::{Change, Forgetful, Remembered, Replica};

    const BODY: &str = r#"{"subject":"s","version":1,"id":1,"guid":"g","schemaType":"AVRO","schema":"\"int\""}"#;

    fn asked(body: &str) -> Asked {
        Asked::read(body.as_bytes()).expect("a body that is understood")
    }

    fn operation(target: &str) -> Operation {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Operation::classify(&Method::POST, path, query).expect("a route")
    }

    /// A replica that holds the version of `BODY`.
    async fn replica() -> Arc<Replica> {
        let replica = Arc::new(Replica::empty(Forgetful));
        let listed: Listed = serde_json::from_str(BODY).expect("a version");
        let change = Change::Subject { subject: QualifiedSubject::parse("s"), versions: vec![listed.version] };
        replica.apply_write(vec![change], replica.ticket()).await.expect("kept");
        replica
    }

    #[test]
    fn questions_that_differ_in_anything_have_answers_of_their_own() {
        let plain = r#"{"schema":"\"int\""}"#;
        let questions = [
            ("/subjects/s", plain),
            ("/subjects/s/versions", plain),
            ("/subjects/t", plain),
            ("/subjects/:.c:s", plain),
            ("/subjects/%3A.c%3As", plain),
            ("/subjects/s?deleted=true", plain),
            ("/subjects/s?normalize=true", plain),
            ("/subjects/s?normalize=true&deleted=true", plain),
            ("/subjects/s?format=resolved", plain),
            ("/subjects/s", r#"{"schema":"\"int\" "}"#),
            ("/subjects/s", r#"{"schema":"\"int\"","schemaType":"JSON"}"#),
            ("/subjects/s", r#"{"schema":"\"int\"","references":[{"name":"n","subject":"s","version":1}]}"#),
            ("/subjects/s", r#"{"schema":"\"int\"","references":[{"name":"n","subject":"s","version":2}]}"#),
            ("/subjects/s", r#"{"schema":"\"int\"","references":[{"name":"","subject":"ns","version":1}]}"#),
            ("/subjects/s", r#"{"schema":"\"int\"","references":[{"subject":"ns","version":1}]}"#),
            ("/subjects/s", r#"{"schema":"\"int\"","metadata":{}}"#),
            ("/subjects/s", r#"{"schema":"\"int\"","metadata":{"properties":{"a":"b"}}}"#),
            ("/subjects/s", r#"{"schema":"\"int\"","ruleSet":{}}"#),
        ];
        let digest = |(target, body): &(&str, &str)| {
            let (operation, asked) = (operation(target), asked(body));
            Question::of(&operation, &asked).expect("one to remember").digest()
        };
        let digests: std::collections::HashSet<Digest> = questions.iter().map(digest).collect();
        assert_eq!(digests.len(), questions.len());
        let same = (
            "/subjects/%73/?normalize=false",
            r#"{ "ruleSet":null, "schemaType":"AVRO", "schema":"\"int\"", "id":-1 }"#,
        );
        assert_eq!(digest(&same), digest(&questions[0]));
    }

    #[test]
    fn what_asks_for_more_than_a_schema_is_no_question_to_remember() {
        for body in [
            r#"{"schema":""}"#,
            r#"{"schema":"\"int\"","version":2}"#,
            r#"{"schema":"\"int\"","id":7}"#,
            r#"{"schema":"\"int\"","propagateSchemaTags":true}"#,
        ] {
            assert!(Question::of(&operation("/subjects/s/versions"), &asked(body)).is_none(), "{body}");
        }
        let plain = asked(r#"{"schema":"\"int\""}"#);
        for target in [
            "/subjects/s/versions?force=true",
            "/subjects/s/versions?format=resolved",
            "/compatibility/subjects/s/versions",
        ] {
            assert!(Question::of(&operation(target), &plain).is_none(), "{target}");
        }
    }

    #[tokio::test]
    async fn an_answer_lives_until_something_that_it_stands_on_changes_or_is_in_doubt() {
        let (operation, asked) = (operation("/subjects/s?normalize=true"), asked(r#"{"schema":"\"int\""}"#));
        let question = Question::of(&operation, &asked).expect("one to remember");
        let config = |key: &str| Change::Remember {
            key: Arc::from(key),
            answer: Some(Remembered { status: 200, body: Bytes::from_static(b"{}") }),
        };
        let doubt = |scope: Scope| Change::Doubt(scope, Some(Doubt::Undecided));
        let elsewhere = QualifiedSubject::parse(":.c:t");
        let changes = [
            (Change::Profile(Profile::Cloud), false),
            (config("/config/s"), false),
            (config("/config?defaultToGlobal=true"), false),
            (config("/mode/s"), false),
            (config("/v1/metadata/version"), false),
            (config("/mode/:.__GLOBAL:"), false),
            (Change::SoftDelete { subject: QualifiedSubject::parse("s"), versions: vec![1] }, false),
            (doubt(Scope::All), false),
            (doubt(Scope::Context(Context::named("."))), false),
            (doubt(Scope::Subject(QualifiedSubject::parse("s"))), false),
            (doubt(Scope::Remembered(Arc::from("/config/s"))), false),
            (config("/config/t"), true),
            (config("/config/:.c:"), true),
            (doubt(Scope::Subject(elsewhere.clone())), true),
            (doubt(Scope::Context(elsewhere.context)), true),
            (doubt(Scope::Associations), true),
            (Change::ReadAt(1), true),
        ];
        for (change, lives) in changes {
            let (replica, memo) = (replica().await, Memo::with_room(1 << 20));
            let before = replica.snapshot();
            memo.keep(&question, &before, &before, &Bytes::from_static(BODY.as_bytes()));
            assert!(memo.recall(&question, &before, Doubt::Incomplete).is_some());
            replica.apply_write(vec![change.clone()], replica.ticket()).await.expect("kept");
            let recalled = memo.recall(&question, &replica.snapshot(), Doubt::Incomplete);
            assert_eq!(recalled.is_some(), lives, "{change:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_was_overtaken_or_names_what_nobody_holds_is_not_kept() {
        let (operation, asked) = (operation("/subjects/s?normalize=true"), asked(r#"{"schema":"\"int\""}"#));
        let question = Question::of(&operation, &asked).expect("one to remember");
        let (replica, memo) = (replica().await, Memo::with_room(1 << 20));
        let before = replica.snapshot();
        for body in [
            BODY.replace("\"id\":1", "\"id\":2"),
            BODY.replace("\"version\":1", "\"version\":2"),
            BODY.replace("\"s\"", "\"t\""),
        ] {
            memo.keep(&question, &before, &before, &body.into());
            assert!(memo.recall(&question, &before, Doubt::Incomplete).is_none());
        }
        let change = Change::Profile(Profile::Cloud);
        replica.apply_write(vec![change], replica.ticket()).await.expect("kept");
        memo.keep(&question, &before, &replica.snapshot(), &Bytes::from_static(BODY.as_bytes()));
        assert!(memo.recall(&question, &replica.snapshot(), Doubt::Incomplete).is_none());
    }

    #[tokio::test]
    async fn the_memo_takes_no_more_room_than_it_is_given() {
        let (replica, memo) = (replica().await, Memo::with_room(10_000));
        let snapshot = replica.snapshot();
        for number in 0..500 {
            let (operation, asked) = (operation("/subjects/s"), asked(&format!(r#"{{"schema":"\"int\" {number}"}}"#)));
            let question = Question::of(&operation, &asked).expect("one to remember");
            memo.keep(&question, &snapshot, &snapshot, &Bytes::from_static(BODY.as_bytes()));
        }
        memo.0.run_pending_tasks();
        assert!((1_000..=10_000).contains(&memo.bytes()), "{}", memo.bytes());
    }
}
