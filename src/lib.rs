//! **schema-outpost**, a transparent forwarding sidecar for Schema Registry.
//!
//! Unchanged Kafka clients talk to it as if it were their registry. It answers reads from its own
//! durable copy of the primary registry, forwards writes to the primary, and goes on answering reads
//! while the primary is away.
//!
//! # The rooms, floor by floor
//!
//! A room imports from lower floors only; `tests/house.rs` checks it.
//!
//! | floor | rooms |
//! |---|---|
//! | 9 | [`app`] puts the rooms together, starts them, drains them |
//! | 8 | [`config`] is the sum of the rooms' settings |
//! | 7 | [`admin`] shows operators how things are |
//! | 5 | [`proxy`] is the way of a request; [`importer`] keeps the replica current |
//! | 4 | [`routing`]: who answers, under which names |
//! | 3 | [`admission`]: who asks, and may they |
//! | 2 | [`replica`] is our copy; [`store`] keeps it on disk; [`server`] is sockets in; [`upstream`] is sockets out |
//! | 1 | [`telemetry`]: log and metrics |
//! | 0 | [`protocol`] is the registry's API as types; [`body`]; [`secret`] |
//!
//! The binary stands on top of them, a command a file in `src/program/`.
//!
//! # The way of a request
//!
//! [`server::Listener`] accepts it and knows the [`server::Peer`]; [`proxy::Stack`] gives it an id,
//! a place among those in flight, and a deadline. Then six steps, each of which takes the proof of
//! the one before:
//!
//! 1. [`admission::Admission::authenticate`] → [`admission::Caller`]
//! 2. [`protocol::operation::Operation::classify`] → [`protocol::operation::Operation`]
//! 3. [`admission::Admission::authorize`] → [`admission::Admitted`]
//! 4. [`routing::Contexts::address`] → [`routing::Addressed`]
//! 5. [`routing::Modes::route`] → [`routing::Routed`]
//! 6. A read asks [`replica::answer::answer`], and the primary for what that does not know; a write
//!    goes through [`routing::Primary::send`], is applied by [`replica::Replica::apply_write`], and
//!    is acknowledged then. What the modes call the local registry's own goes to `proxy/local.rs` instead, in the
//!    client's words; of it nothing is read or kept here.
//!
//! What was answered to the same words before, and of which nothing has changed since, is answered at once: it is
//! found by how the request is spelt, with what it was understood as, and takes steps 1, 3, 4 and 5 with that.
//! Whether anything it was made of has changed, its [`replica::Stamp`] tells. Over HTTP/1.1 that happens before
//! hyper: the server reads the head alone and asks [`server::AtOnce`], which the service of a connection is as
//! well; the answer was rendered when it was kept. Everything else hyper is given, byte for byte, and
//! [`proxy::Guest`] tries the same once more for what only hyper could read.
//!
//! # Two names
//!
//! Everything here speaks our names of contexts: requests, replica, importer, log. The primary's are known to
//! [`routing::Primary`] alone, through which every call to it goes: `routing/way.rs` says how a request is asked there,
//! `routing/rename.rs` at which places of a body names are exchanged, `routing/calls/gather.rs` puts lists over several
//! contexts together. A new endpoint with names in its bodies is a line in the second, and one in the first too unless
//! it is a single call about the subject in its path. One whose answer does not say whose it is needs a way of its own,
//! as those in `routing/calls/` are.
//!
//! A listener that is bound to a context has a part of both: [`replica::Snapshot::within`] and
//! [`routing::Primary::within`]. Nothing that it says is cut down afterwards.
//!
//! # The way of a change made elsewhere
//!
//! [`importer::Importer`] takes a [`replica::Ticket`], asks the primary, and hands what it read to
//! [`replica::Replica::apply_reading`], which drops what a later write or reading has overtaken, has
//! the rest kept through [`replica::Keep`], and shows the next [`replica::Snapshot`].
//!
//! # To add a read endpoint
//!
//! The route that is most like the new one leads the way, as `VersionText` does for a part of a version: wherever
//! `grep -rnw VersionText --include=*.rs src small-registry tests` finds it, the new one may have to stand too. The
//! compiler asks for those on which a promise hangs: `About::of` in `proxy/settle.rs`, which says what of a write of
//! unknown outcome may show in the answer, `Way::of` in `routing/way.rs`, which says how the primary is asked, and
//! `Made::by` in `replica/answer/parts.rs`, which says what changes the answer; that everything does is never wrong.
//!
//! 1. One row in [`protocol::endpoints::ENDPOINTS`]: method, path, a new [`protocol::endpoints::Route`] with its name,
//!    its effect, and the parameters it reads. A parameter that 7.4 did not read stands in `SINCE` too.
//! 2. In [`replica::answer::ROWS`], who answers the route and each parameter, in which case, and why. Rows are about
//!    lists of routes that stand above the table: the route goes into `HELD`, and into every other list that is true of
//!    it; what none of them says is a new row. [`replica::answer::Teller`] names who can.
//! 3. One renderer in `replica/answer/`, a pure function of an operation and a snapshot, and its arm in `rendered`,
//!    beside [`replica::answer::answer`]. It returns the bytes of a 200, or `ABSENT` for what is not there, even where
//!    the version is here and has no such part: that there is none, only the primary says.
//! 4. One arm in `dispatch` of `small-registry/src/router.rs`, and the answer to compare with. Paths and parameters it
//!    takes from our table; a route without an arm is not found there.
//! 5. One test: paths and values in `tests/behaviour/parameters.rs`, which panics for a route it has none
//!    for, holds every combination to the registry's bytes, and counts the calls that it cost. A row of the primary's
//!    needs its ground in `tests/behaviour/grounds.rs`, which has lists of its own. `tests/behaviour/sequences.rs`
//!    has to know what body is sent; out of that and the table it makes up what sites ask.
//!
//! ```sh
//! cargo test --lib table                                    # steps 1 and 2
//! cargo test --test behaviour every_parameter_is_answered   # steps 3 to 5
//! cargo test --test behaviour round_trip                    # the same under a map
//! ```
//!
//! All of this can be green while `Way::of` is wrong: where what is asked for lies in the primary's default context, the
//! primary goes on to all others, and an answer that does not say whose it is may be another site's. What is not found
//! there, `elsewhere` in `routing/primary.rs` looks for in our contexts. A target in the lists of
//! `tests/behaviour/sites.rs` holds the route to both.
//!
//! Less is lost with `lessons` in `proxy/learn.rs`, which says what an answer of the primary's is news of, and with
//! `is_registrys` in `proxy/apply.rs`, which knows the registry's answers from those of whatever stands before it.

pub mod admin;
pub mod admission;
pub mod app;
pub mod body;
pub mod config;
pub mod importer;
pub mod protocol;
pub mod proxy;
pub mod replica;
pub mod routing;
pub mod secret;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod upstream;
