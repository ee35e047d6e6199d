//! Who writes into the local registry: one of all who could.
//!
//! The writer keeps a claim in the local registry itself, as the configuration of a reserved name that no list shows:
//! who it is, and a number that grows while it is there. Whoever finds the claim of another leaves everything alone
//! until that number has stood still for three of the times in which it promised to grow, by the finder's own clock:
//! clocks of two machines are never compared. Two who begin in the same moment find out at the next pass; what both
//! write until then is the same.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::time::Instant;

use super::wire::{Wire, WireError};
use super::withheld::Refused;
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::replica::Remembered;

/// A claim that has not moved for so many of its own intervals has fallen.
const STANDS_FOR: u32 = 3;
/// What a claim says of its interval is believed within limits: it is another's word.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(600);

/// What a writer says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// The name it was given.
    pub name: String,
    /// What tells it from others of the name, and from itself in another state directory.
    pub instance: String,
}

/// A claim as it stands in the local registry.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Standing {
    writer: Writer,
    counter: u64,
    interval: Duration,
}

/// Another's claim, since it last moved.
#[derive(Clone, Debug)]
struct Seen {
    standing: Standing,
    since: Instant,
}

/// Whether we may write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// The claim is ours.
    Ours,
    /// Another's claim stands.
    Others(Writer),
    /// The local registry cannot hold a claim, so nobody would notice another one.
    Unguarded,
}

/// Our side of the claim. Leader election can take its place: whoever writes asks for leave, and nothing else.
#[derive(Debug)]
pub(super) struct Claim {
    own: Writer,
    interval: Duration,
    /// What we sent last, whether or not it arrived.
    sent: Option<u64>,
    renewed: Option<Instant>,
    seen: Option<Seen>,
    leave: Option<Leave>,
}

impl Claim {
    pub(super) fn new(own: Writer, interval: Duration) -> Self {
        Self { own, interval, sent: None, renewed: None, seen: None, leave: None }
    }

    /// What the last question for leave came to.
    pub(super) fn leave(&self) -> Option<&Leave> {
        self.leave.as_ref()
    }

    /// When the claim has to grow again, if it is ours.
    pub(super) fn due(&self) -> Option<Instant> {
        (self.leave == Some(Leave::Ours)).then(|| self.renewed.map(|renewed| renewed + self.interval)).flatten()
    }

    /// Who the claim belongs to, without claiming it.
    pub(super) async fn look(&mut self, wire: &Wire) -> Result<Option<Writer>, WireError> {
        let found = standing(&wire.poll.fact(&key()).await?);
        Ok(found.map(|found| found.writer).filter(|writer| *writer != self.own))
    }

    /// Asks for leave to write, unless it was given a short while ago.
    pub(super) async fn refresh(&mut self, wire: &Wire) -> Result<Leave, WireError> {
        match (&self.leave, self.renewed) {
            (Some(Leave::Ours), Some(renewed)) if renewed.elapsed() < self.interval / 2 => Ok(Leave::Ours),
            (Some(Leave::Unguarded), _) => Ok(Leave::Unguarded),
            _ => self.ask(wire).await,
        }
    }

    /// Reads the claim, and renews it or takes it where that is ours to do.
    pub(super) async fn ask(&mut self, wire: &Wire) -> Result<Leave, WireError> {
        let before = self.leave.take();
        let found = standing(&wire.poll.fact(&key()).await?);
        let leave = match self.judge(found, Instant::now()) {
            Ok(counter) => self.take(wire, counter).await?,
            Err(writer) => Leave::Others(writer),
        };
        match &leave {
            Leave::Others(Writer { name, instance }) if before.as_ref() != Some(&leave) => {
                tracing::warn!(name, instance, "another writes into the local registry; nothing is written by us");
            }
            Leave::Unguarded if before.as_ref() != Some(&leave) => {
                tracing::warn!(
                    "the local registry cannot hold the claim of its writer; a second one would not be noticed"
                );
            }
            Leave::Ours if matches!(before, Some(Leave::Others(_))) => {
                tracing::info!("the other writer of the local registry is gone; we write from now on");
            }
            _ => {}
        }
        self.leave = Some(leave.clone());
        Ok(leave)
    }

    /// The number to claim with, or whose claim stands.
    fn judge(&mut self, found: Option<Standing>, now: Instant) -> Result<u64, Writer> {
        let Some(found) = found else {
            self.seen = None;
            return Ok(self.sent.map_or(1, |sent| sent + 1));
        };
        let is_as_sent = self.sent.is_none_or(|sent| sent == found.counter || sent == found.counter + 1);
        if found.writer.instance == self.own.instance && is_as_sent {
            self.seen = None;
            return Ok(found.counter.max(self.sent.unwrap_or_default()) + 1);
        }
        let since = match &self.seen {
            Some(seen) if seen.standing == found => seen.since,
            _ => now,
        };
        let patience = found.interval.clamp(SHORTEST, LONGEST) * STANDS_FOR;
        self.seen = Some(Seen { standing: found.clone(), since });
        if now.duration_since(since) >= patience {
            self.seen = None;
            return Ok(found.counter + 1);
        }
        Err(found.writer)
    }

    /// Writes the claim, and reads whether it stands.
    async fn take(&mut self, wire: &Wire, counter: u64) -> Result<Leave, WireError> {
        let began = Instant::now();
        self.sent = Some(counter);
        match wire.configure(&scope(), self.printed(counter)).await {
            Ok(()) => {}
            Err(error) if cannot_hold(&error) => return Ok(Leave::Unguarded),
            Err(error) => return Err(error),
        }
        Ok(match standing(&wire.poll.fact(&key()).await?) {
            Some(now) if now.writer.instance == self.own.instance && now.counter == counter => {
                self.renewed = Some(began);
                Leave::Ours
            }
            Some(other) => {
                self.seen = Some(Seen { standing: other.clone(), since: Instant::now() });
                Leave::Others(other.writer)
            }
            None => Leave::Unguarded,
        })
    }

    /// Gives the claim up, so that another need not wait for it to fall.
    pub(super) async fn give_up(&mut self, wire: &Wire) -> Result<(), WireError> {
        if self.sent.is_none() {
            return Ok(());
        }
        self.leave = None;
        let found = standing(&wire.poll.fact(&key()).await?);
        if found.is_some_and(|found| found.writer.instance == self.own.instance) {
            wire.unconfigure(&scope()).await?;
        }
        Ok(())
    }

    fn printed(&self, counter: u64) -> Bytes {
        let properties = json!({
            "outpost.writer": self.own.name,
            "outpost.instance": self.own.instance,
            "outpost.counter": counter.to_string(),
            "outpost.intervalMillis": self.interval.as_millis().to_string(),
        });
        json!({ "defaultMetadata": { "properties": properties } }).to_string().into()
    }
}

/// Whether an answer says that the registry cannot do such a thing at all. Some have no other words for it than that
/// something went wrong, without the code that would tell what.
fn cannot_hold(error: &WireError) -> bool {
    let is_at_a_loss = |said: &Refused| said.status == 500 && matches!(said.code, None | Some(0 | 500));
    error.refused().is_some() || error.stumbled().is_some_and(is_at_a_loss)
}

/// The context of what outposts keep in the local registry; nothing of the primary's is written there.
pub(super) fn reserved() -> Context {
    Context::named(".__outpost")
}

fn scope() -> QualifiedSubject {
    QualifiedSubject::new(reserved(), "writer")
}

fn key() -> String {
    super::configs::key(&scope())
}

fn standing(answer: &Remembered) -> Option<Standing> {
    let config = super::configs::read(answer)?;
    let properties = config.get("defaultMetadata")?.get("properties")?;
    let text = |key: &str| properties.get(key)?.as_str().map(str::to_owned);
    let millis: u64 = text("outpost.intervalMillis")?.parse().ok()?;
    Some(Standing {
        writer: Writer { name: text("outpost.writer")?, instance: text("outpost.instance")? },
        counter: text("outpost.counter")?.parse().ok()?,
        interval: Duration::from_millis(millis),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(name: &str) -> Writer {
        Writer { name: name.to_owned(), instance: format!("{name}-1") }
    }

    fn claim() -> Claim {
        Claim::new(writer("own"), Duration::from_secs(60))
    }

    fn found(name: &str, counter: u64) -> Option<Standing> {
        Some(Standing { writer: writer(name), counter, interval: Duration::from_secs(10) })
    }

    #[tokio::test]
    async fn nobodys_claim_and_our_own_are_ours() {
        let mut claim = claim();
        let now = Instant::now();
        assert_eq!(claim.judge(None, now), Ok(1));
        assert_eq!(claim.judge(found("own", 41), now), Ok(42), "from before a restart");
        claim.sent = Some(42);
        for counter in [42, 41] {
            assert_eq!(claim.judge(found("own", counter), now), Ok(43), "what was sent may not have arrived");
        }
    }

    #[tokio::test]
    async fn a_claim_stands_while_it_moves_and_for_three_of_its_own_intervals() {
        let mut claim = claim();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(claim.judge(found("other", 1), start), Err(writer("other")));
        assert_eq!(claim.judge(found("other", 1), after(29)), Err(writer("other")));
        assert_eq!(claim.judge(found("other", 2), after(35)), Err(writer("other")), "it moved");
        assert_eq!(claim.judge(found("other", 2), after(64)), Err(writer("other")));
        assert_eq!(claim.judge(found("other", 2), after(65)), Ok(3));
    }

    #[tokio::test]
    async fn one_who_goes_by_our_own_name_and_state_is_another_all_the_same() {
        let mut claim = claim();
        claim.sent = Some(7);
        assert_eq!(claim.judge(found("own", 12), Instant::now()), Err(writer("own")));
    }

    #[test]
    fn a_claim_is_read_as_it_is_written_and_nothing_else_is_one() {
        let claim = claim();
        let answer = |body: Bytes| Remembered { status: 200, body };
        let read = standing(&answer(claim.printed(9))).expect("a claim");
        assert_eq!((read.writer, read.counter, read.interval), (writer("own"), 9, Duration::from_secs(60)));
        for body in
            [r#"{"compatibilityLevel":"BACKWARD"}"#, r#"{"defaultMetadata":{"properties":{"a":"b"}}}"#, "[]", ""]
        {
            assert_eq!(standing(&answer(Bytes::from_static(body.as_bytes()))), None, "{body}");
        }
    }
}
