//! What holds for every request, body and answer, whatever is in them.

use http::Method;
use http::uri::PathAndQuery;
use serde_json::Value;

use super::bodies::{Model, Role, Writer, Written, answered, sent};
use super::chance::Chance;
use super::reading::{Reader, contexts_of, in_our_eyes, in_the_primarys, is_clean, normal, texts};
use super::requests::Request;
use super::sites::Site;
use crate::protocol::endpoints::Route;
use crate::protocol::operation::{Misdirected, Operation};
use crate::protocol::splice::Spliced;
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::replica::Snapshot;
use crate::routing::admit_body;
use crate::routing::calls::gather;
use crate::routing::primary::pairs;
use crate::routing::rename::target;
use crate::routing::way::Way;

/// How far a case came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Came {
    /// It is no request.
    Misdirected,
    /// It names what is not there for whoever asks.
    Denied,
    /// It is not the map's to pass on.
    Impassable,
    /// It was asked, and its answer read.
    Through,
}

/// Makes up a request with its answer and follows both; says which row it was made of and how far it came.
pub(super) fn follow(chance: &mut Chance, sites: &[Site]) -> Result<(&'static str, Came), String> {
    let site = &sites[chance.below(sites.len())];
    let ours: Vec<&str> = site.contexts.iter().copied().filter(|context| site.there(context).is_some()).collect();
    let bound = chance.is(30).then(|| Context::named(chance.one(&ours)));
    let request = Request::of(chance, site);
    let came = followed(chance, site, bound.as_ref(), &request);
    let came = came.map_err(|why| format!("{why}\n  {request:?}\n  under {:?}, bound to {bound:?}", site.map()))?;
    Ok((request.row.route.name(), came))
}

fn followed(chance: &mut Chance, site: &Site, bound: Option<&Context>, request: &Request) -> Result<Came, String> {
    let operation = match understood(bound, &request.method, &request.target) {
        Ok(operation) => operation,
        Err(_) => return Ok(Came::Misdirected),
    };
    if site.map().admit(&operation, bound, |_| false).is_err() {
        return Ok(Came::Denied);
    }
    let model = sent(operation.route);
    let body = Writer::write(chance, site, false, &model);
    let bytes = if chance.is(10) { spoilt(chance, &body.bytes()) } else { body.bytes() };
    if bound.is_some_and(|bound| admit_body(&operation, bound, &bytes).is_err()) {
        return Ok(Came::Denied);
    }
    let narrowed = bound.map(|bound| site.within(bound));
    let site = narrowed.as_ref().unwrap_or(site);
    let target = site.primary.target(&operation, &Snapshot::default());
    is_clean(&target)?;
    let read = match Operation::of_target(&operation.method, &target) {
        Ok(read) => read,
        // A context of such a name is nobody's.
        Err(Misdirected::Context(_)) if bound.is_none() => return Ok(Came::Impassable),
        Err(why) => return Err(format!("what was understood is sent as {target}, which is none: {why}")),
    };
    means_the_same(&operation, &read).map_err(|what| format!("{what}: {operation:?} is sent as {read:?}"))?;
    if site.map().is_identity() {
        return Ok(Came::Through);
    }
    let Ok(way) = Way::of(site.map(), &read, &bytes) else { return Ok(Came::Impassable) };
    for (target, is_main) in targets(site, &read, &way) {
        asks_for_ours(site, &read, &target, is_main).map_err(|why| format!("{why}: sent as {target}"))?;
    }
    let Ok(there) = site.map().body_there(&read, &bytes) else { return Ok(Came::Impassable) };
    let is_as_written = bytes == body.bytes();
    body_is_ours(site, &read, &model, is_as_written.then_some(&body), there.as_deref().unwrap_or(&bytes))
        .map_err(|why| format!("{why}\n  {}", String::from_utf8_lossy(&bytes)))?;
    answer_is_ours(chance, site, &read)?;
    Ok(Came::Through)
}

/// Understands what the parser of HTTP lets in.
fn understood(bound: Option<&Context>, method: &Method, target: &str) -> Result<Operation, Misdirected> {
    if target.contains('#') || target.parse::<PathAndQuery>().is_err() {
        return Err(Misdirected::NotFound);
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    match bound {
        Some(context) => Operation::classify_within(context, method, path, query),
        None => Operation::classify(method, path, query),
    }
}

/// What was judged is what is sent.
fn means_the_same(judged: &Operation, sent: &Operation) -> Result<(), &'static str> {
    let pairs = |operation: &Operation| -> Vec<(String, String)> {
        operation.query.pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    match () {
        () if judged.route != sent.route || judged.path != sent.path => Err("another route"),
        () if judged.effect != sent.effect || judged.method != sent.method => Err("another effect"),
        () if judged.subject != sent.subject => Err("another subject"),
        () if judged.names != sent.names => Err("other names"),
        () if pairs(judged) != pairs(sent) => Err("another query"),
        () => Ok(()),
    }
}

/// The targets of a way, and whether what is asked for is the same.
fn targets(site: &Site, operation: &Operation, way: &Way) -> Vec<(String, bool)> {
    match way {
        Way::One(target) | Way::Strictly(target) | Way::IfNothing(target) => {
            vec![(target.clone(), true)]
        }
        Way::Referrers(target) => vec![(target.clone(), false)],
        Way::IfAllOurs { target, resources } => {
            // Of what cannot be asked for it is not known whose it is.
            let is_asked = |resource: &&String| Operation::of_target(&Method::GET, resource).is_ok();
            let resources = resources.iter().filter(is_asked).map(|resource| (resource.clone(), false));
            resources.chain([(target.clone(), true)]).collect()
        }
        Way::IfShown { shown, target } => vec![(shown.clone(), false), (target.clone(), true)],
        Way::TopLevel(own) => vec![(target("/config/{subject}", own, &[], &pairs(operation)), true)],
        Way::Gathered => gather::targets(&site.primary, operation).into_iter().map(|target| (target, false)).collect(),
        // Each call of these depends on the answer to the one before it; they are followed over sockets.
        Way::ById | Way::ByGuid | Way::Holders(_) | Way::Keks | Way::Batch | Way::Never => Vec::new(),
    }
}

/// A call to the primary names only contexts of ours, and asks for what the client asked for.
fn asks_for_ours(site: &Site, operation: &Operation, target: &str, is_main: bool) -> Result<(), String> {
    is_clean(target)?;
    let method = if is_main { &operation.method } else { &Method::GET };
    let there = Operation::of_target(method, target).map_err(|why| format!("it is no request: {why}"))?;
    // What comes of it is a status alone.
    if operation.route == Route::UnknownRead {
        return if there.route == Route::UnknownRead { Ok(()) } else { Err("known to the primary".to_owned()) };
    }
    if let Some(named) = contexts_of(&there).into_iter().find(|named| !named.is_ours(site)) {
        return Err(format!("{named:?} is not ours"));
    }
    if !is_main {
        return Ok(());
    }
    if there.effect != operation.effect {
        return Err(format!("another effect: {:?}", there.effect));
    }
    // The top level is a context, and the other way round.
    let is_top = there.route != operation.route;
    if is_top && !(operation.subject.is_bare_context() && there.subject.is_bare_context()) {
        return Err(format!("another route: {}", there.route.name()));
    }
    if operation.path.contains("{subject}") && !is_top {
        let expected = site.there(operation.subject.context.as_str()).map(|context| Context::named(&context));
        if Some(&there.subject.context) != expected.as_ref() || there.subject.subject != operation.subject.subject {
            return Err(format!("another subject: {:?} for {:?}", there.subject, operation.subject));
        }
    }
    let is_named_otherwise = operation.route == Route::DeleteContext || is_top;
    if !is_named_otherwise && there.names != operation.names {
        return Err(format!("other names: {:?}", there.names));
    }
    let rest = |operation: &Operation| -> Vec<(String, String)> {
        let has_name = |name: &str| matches!(name, "subject" | "subjectPrefix" | "context" | "referenceFormat");
        let pairs = operation.query.pairs().filter(|(name, _)| !has_name(name));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    let is_without = matches!(operation.route, Route::SchemaByGuid | Route::SubjectMode | Route::GlobalMode);
    if rest(&there) != rest(operation) && !is_without {
        return Err(format!("another query: {:?}", there.query));
    }
    Ok(())
}

/// A body that is sent on names only what is ours, and is otherwise the client's to the byte.
fn body_is_ours(
    site: &Site,
    operation: &Operation,
    model: &Model,
    written: Option<&Written>,
    there: &[u8],
) -> Result<(), String> {
    let parent = &operation.subject.context;
    let parent_there = site.parent(parent);
    // References of what is associated lie beside subjects of their own.
    let lies_beside = operation.path.contains("{subject}") || operation.route.name().contains("Config");
    for (role, text) in texts(model, there) {
        let context = match role {
            Role::Subject => QualifiedSubject::parse(&text).context,
            Role::Beside if !lies_beside && !text.starts_with(':') => continue,
            Role::Beside => QualifiedSubject::parse_in(&text, &parent_there).context,
            Role::Namespace if text.is_empty() || text == "-" => continue,
            Role::Namespace => Context::named(&format!(".{text}")),
            Role::Context | Role::Message => continue,
        };
        if site.here(context.as_str()).is_none() {
            return Err(format!("{text} passed: {}", String::from_utf8_lossy(there)));
        }
    }
    let Some(written) = written else { return Ok(()) };
    let named = operation.query.get("context").filter(|named| !named.is_empty());
    let within = named.map(|named| QualifiedSubject::parse(named).context);
    let within = within.unwrap_or_else(|| site.meant());
    let mut reader = Reader::of(there);
    for piece in &written.0 {
        let Some((role, old, new)) = reader.pass(piece)? else { continue };
        let (meant, found) = match role {
            Role::Subject => (QualifiedSubject::parse_in(old, &within), QualifiedSubject::parse(&new)),
            Role::Beside if lies_beside => {
                (QualifiedSubject::parse_in(old, parent), QualifiedSubject::parse_in(&new, &parent_there))
            }
            Role::Namespace if !old.is_empty() && old != "-" => {
                let called = |name: &str| QualifiedSubject::new(Context::named(&format!(".{name}")), "");
                (called(old), called(&new))
            }
            _ => continue,
        };
        let context = site.there(meant.context.as_str()).map(|context| Context::named(&context));
        if context.as_ref() != Some(&found.context) || meant.subject != found.subject {
            return Err(format!("{old} became {new}"));
        }
    }
    reader.ends()
}

/// An answer shows only what is ours, under our names, and is otherwise the primary's to the byte.
fn answer_is_ours(chance: &mut Chance, site: &Site, operation: &Operation) -> Result<(), String> {
    let is_success = chance.is(85);
    let model = if is_success {
        answered(operation)
    } else {
        Model::Object(vec![("error_code", Model::Anything), ("message", Model::Name(Role::Message))])
    };
    let written = Writer::write(chance, site, true, &model);
    let body = written.bytes();
    let complain = |why: &str| Err(format!("{why}\n  the answer {}", String::from_utf8_lossy(&body)));
    let spoilt = spoilt(chance, &body);
    if let Ok(Spliced::Changed(shown)) = site.map().body_here(operation, is_success, &spoilt)
        && serde_json::from_slice::<Value>(&spoilt).is_ok()
        && serde_json::from_slice::<Value>(&shown).is_err()
    {
        return complain("a whole answer was broken");
    }
    let parent = site.parent(&operation.subject.context);
    let expected = normal(&model, &body, &parent, &|role, text, parent| in_the_primarys(site, role, text, parent));
    let shown = match site.map().body_here(operation, is_success, &body) {
        Ok(Spliced::Same) => body.clone(),
        Ok(Spliced::Changed(shown)) => shown,
        Ok(Spliced::Gone) if expected.is_none() => return Ok(()),
        Ok(Spliced::Gone) => return complain("it went"),
        Err(why) => return complain(&why.to_string()),
    };
    let ours = &operation.subject.context;
    let found = normal(&model, &shown, ours, &|role, text, parent| in_our_eyes(role, text, parent));
    if expected != found {
        return complain(&format!("instead of {expected:?} {found:?}\n  as {}", String::from_utf8_lossy(&shown)));
    }
    if !written.has_items() {
        let mut reader = Reader::of(&shown);
        for piece in &written.0 {
            reader.pass(piece).or_else(|why| complain(&why).map(|()| None))?;
        }
        return reader.ends();
    }
    Ok(())
}

/// Other bytes here and there.
fn spoilt(chance: &mut Chance, body: &[u8]) -> Vec<u8> {
    let mut bytes = body.to_vec();
    for _ in 0..=chance.below(3) {
        let at = chance.below(bytes.len().max(1));
        let byte = chance.one(b"\"\\{}[],: a\x00\xff\xc3.u/");
        match chance.below(4) {
            0 if !bytes.is_empty() => bytes[at] = byte,
            1 if !bytes.is_empty() => drop(bytes.remove(at)),
            2 => bytes.truncate(at),
            _ => bytes.insert(at.min(bytes.len()), byte),
        }
    }
    bytes
}
