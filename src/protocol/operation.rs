//! A request, understood: which endpoint it asks for, about which names, with which parameters.
//!
//! The path is decoded once, segment by segment. `/contexts/{ctx}/…` is folded into the names that
//! follow it, as the registry's own filter does (WIRE.md § 3.4), but only in what we understand:
//! what is passed on is the target as it was sent.

use std::borrow::Cow;
use std::sync::LazyLock;

use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::endpoints::{CONTROL_ROOTS, ENDPOINTS, Effect, Endpoint, Route};
use super::subject::{Context, QualifiedSubject};
use super::target::{Malformed, Query, Segment, split};

/// What of a context's name stands raw in a path: the registry looks at it before it decodes anything.
const CONTEXT: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A request, understood.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Which endpoint it asks for.
    pub route: Route,
    /// The path of its endpoint, names in braces; empty for routes that the registry does not have.
    pub path: &'static str,
    /// What it does.
    pub effect: Effect,
    /// The method as sent; HEAD asks for the same as GET.
    pub method: Method,
    /// The subject in the path, context folded in; the empty subject for routes that have none.
    pub subject: QualifiedSubject,
    /// The decoded text of that subject, context folded in, before it was normalised.
    pub subject_text: String,
    /// Whether the path spelled a qualified subject with escapes, which the registry's alias filter does
    /// not see through (WIRE.md § 3.5).
    pub is_escaped: bool,
    /// Whether the subject in the path, or the word before it, carried parameters: the registry's filter of aliases does
    /// not look past them (WIRE.md § 3.5).
    pub hides_alias: bool,
    /// The other names in the path, decoded, in their order: id, version, guid, context, resource.
    pub names: Vec<String>,
    /// The query, with the context of the path folded in.
    pub query: Query,
    /// The target to pass on: raw path and query, as sent.
    pub target: String,
}

/// Why a request asks for nothing that the registry has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misdirected {
    /// The target cannot be understood: 400.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// The context of the path has a colon in it: 400 (WIRE.md § 3.4).
    #[error("Context name '{0}' cannot contain a colon")]
    Context(String),
    /// No such route can exist here, and it must not be passed on: 404.
    #[error("HTTP 404 Not Found")]
    NotFound,
    /// The path is known, the method is not: 405.
    #[error("HTTP 405 Method Not Allowed")]
    Method,
    /// OPTIONS on a known path: 200 with the methods it has, in the registry's order.
    #[error("{0}")]
    Options(String),
}

impl Operation {
    /// Understands a method and a target where plain names mean a context: as the registry understands them behind
    /// `/contexts/{context}` (WIRE.md § 3.4).
    pub fn classify_within(context: &Context, method: &Method, path: &str, query: &str) -> Result<Self, Misdirected> {
        if context.is_default() || path == "/" {
            return Self::classify(method, path, query);
        }
        if hides_context(path) {
            return Err(Malformed::Parameter.into());
        }
        // What is sent on is spelt anew, without parameters that anybody could read otherwise.
        let name = utf8_percent_encode(context.as_str(), &CONTEXT);
        Self::understand(method, &format!("/contexts/{name}{path}"), query)
    }

    /// Understands a method and a target that is in one piece.
    pub fn of_target(method: &Method, target: &str) -> Result<Self, Misdirected> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self::classify(method, path, query)
    }

    /// Understands a method and a target.
    pub fn classify(method: &Method, path: &str, query: &str) -> Result<Self, Misdirected> {
        // What cannot be split is refused for that.
        if hides_context(path) && split(path).is_ok() {
            return Err(Malformed::Parameter.into());
        }
        Self::understand(method, path, query)
    }

    fn understand(method: &Method, path: &str, query: &str) -> Result<Self, Misdirected> {
        let segments = split(path)?;
        let target = passable(path, query, &segments)?;
        // What the registry's filters put into a query anew has a plus in it that is no blank any more: the subject of
        // an id, and behind a context the beginning of names.
        let is_by_id = segments.windows(2).any(|pair| pair[0].raw == "schemas" && pair[1].raw == "ids");
        let is_list = is_list_within(&segments);
        let is_put = |name: &str| (is_by_id && name == "subject") || (is_list && name == "subjectPrefix");
        let mut query = Query::parse_keeping_plus(query, is_put);
        let folded = fold(segments, method, &mut query)?;
        if let Some((_, route)) =
            folded.first().and_then(|first| CONTROL_ROOTS.iter().find(|(word, _)| *word == first.raw))
        {
            return Ok(Self::unnamed(*route, Effect::Control, method, query, target));
        }
        match find(method, &folded) {
            Found::Row(endpoint) => Ok(Self::of(endpoint, &folded, method, query, target)),
            Found::OtherMethods if method == Method::OPTIONS => Err(Misdirected::Options(allowed(&folded))),
            Found::OtherMethods => Err(Misdirected::Method),
            Found::Nothing if matches!(*method, Method::GET | Method::HEAD) => {
                Ok(Self::unnamed(Route::UnknownRead, Effect::Read, method, query, target))
            }
            Found::Nothing if matches!(*method, Method::POST | Method::PUT | Method::DELETE | Method::PATCH) => {
                Ok(Self::unnamed(Route::UnknownWrite, Effect::Write, method, query, target))
            }
            Found::Nothing => Err(Misdirected::NotFound),
        }
    }

    fn of(
        endpoint: &'static Endpoint,
        segments: &[Segment<'_>],
        method: &Method,
        query: Query,
        target: String,
    ) -> Self {
        let mut operation = Self::unnamed(endpoint.route, endpoint.effect, method, query, target);
        operation.path = endpoint.path;
        for (index, (word, segment)) in words(endpoint.path).zip(segments).enumerate() {
            match word {
                "{subject}" => {
                    let before = index.checked_sub(1).and_then(|before| segments.get(before));
                    operation.hides_alias = segment.has_parameters || before.is_some_and(|word| word.has_parameters);
                    operation.subject = QualifiedSubject::parse(&segment.decoded);
                    operation.subject_text = segment.decoded.clone().into_owned();
                    operation.is_escaped = is_escaped(segment.raw);
                }
                name if name.starts_with('{') => operation.names.push(segment.decoded.clone().into_owned()),
                _ => {}
            }
        }
        operation
    }

    fn unnamed(route: Route, effect: Effect, method: &Method, query: Query, target: String) -> Self {
        Self {
            route,
            path: "",
            effect,
            method: method.clone(),
            subject: QualifiedSubject::none(),
            subject_text: String::new(),
            is_escaped: false,
            hides_alias: false,
            names: Vec::new(),
            query,
            target,
        }
    }

    /// Whether the schema is to be shown as it is stored, in no other format.
    pub fn shows_schema_as_stored(&self) -> bool {
        self.query.get("format").unwrap_or_default().is_empty()
    }

    /// Whether an alias in the path is followed: of a subject, and never of its configuration or mode (WIRE.md § 3.5).
    pub fn follows_aliases(&self) -> bool {
        !self.hides_alias && ["/subjects/{", "/deks/{"].iter().any(|word| self.path.contains(word))
    }

    /// The subject that a parameter of an id names, behind which an alias is followed too.
    pub fn subject_of_id(&self) -> Option<QualifiedSubject> {
        let is_by_id = self.path.starts_with("/schemas/ids/");
        self.query.get("subject").filter(|_| is_by_id).map(QualifiedSubject::parse)
    }

    /// The parameters that the route reads, in the order of the query.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        // Most requests have no query, and then no row needs to be looked for.
        let mut rows = ENDPOINTS.iter().filter(|_| !self.query.is_empty());
        let read = rows.find(|endpoint| endpoint.route == self.route).map_or(&[][..], |row| row.parameters);
        self.query.pairs().filter(move |(name, _)| read.contains(name))
    }

    /// The context that the path names as a resource: `.ctx`, `ctx` and `:.ctx:` are the same.
    pub fn named_context(&self) -> Context {
        let name = self.name();
        let name = name.strip_prefix(':').unwrap_or(name);
        let name = name.strip_suffix(':').unwrap_or(name);
        if name.starts_with('.') { Context::named(name) } else { Context::named(&format!(".{name}")) }
    }

    /// The first name in the path that is not a subject: an id, a version, a guid.
    pub fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }
}

/// Whether a subject is qualified, and not to those who look before they decode. A context that came with the path
/// stands before it, and was never escaped.
fn is_escaped(raw: &str) -> bool {
    !raw.starts_with(":.") && percent_decode_str(raw).take(2).eq(*b":.")
}

fn words(path: &'static str) -> impl Iterator<Item = &'static str> {
    path.split('/').filter(|word| !word.is_empty())
}

enum Found {
    Row(&'static Endpoint),
    OtherMethods,
    Nothing,
}

/// The table, each path taken apart, by the number of its words; rows of one length stay in their order.
static ROWS: LazyLock<Vec<Vec<Row>>> = LazyLock::new(|| {
    let mut rows = Vec::new();
    for endpoint in ENDPOINTS {
        let words: Vec<&'static str> = words(endpoint.path).collect();
        let length = words.len();
        rows.resize_with(rows.len().max(length + 1), Vec::new);
        rows[length].push(Row { words, endpoint });
    }
    rows
});

struct Row {
    words: Vec<&'static str>,
    endpoint: &'static Endpoint,
}

/// A fixed word beats a name, so the row with more fixed words wins: `/schemas/types` is no id.
fn find(method: &Method, segments: &[Segment<'_>]) -> Found {
    let fits = |row: &&Row| {
        row.words.iter().zip(segments).all(|(word, segment)| word.starts_with('{') || *word == segment.raw)
    };
    let rows = ROWS.get(segments.len()).map_or(&[][..], Vec::as_slice);
    let asked = if method == Method::HEAD { "GET" } else { method.as_str() };
    let mut known = Found::Nothing;
    for row in rows.iter().filter(fits) {
        if row.endpoint.method == asked {
            return Found::Row(row.endpoint);
        }
        known = Found::OtherMethods;
    }
    match known {
        Found::Nothing if is_known_without_methods(segments) => Found::OtherMethods,
        found => found,
    }
}

/// `GET /subjects/{s}` and `GET /contexts/{c}` are 405, not 404: their rows have other methods. The
/// same holds for the extra words below a known path only where rows exist, so nothing else is here.
fn is_known_without_methods(segments: &[Segment<'_>]) -> bool {
    matches!(segments, [contexts, _] if contexts.raw == "contexts")
}

fn allowed(segments: &[Segment<'_>]) -> String {
    let has = |asked: &Method| matches!(find(asked, segments), Found::Row(_));
    let (get, post) = (has(&Method::GET), has(&Method::POST));
    let (put, delete) = (has(&Method::PUT), has(&Method::DELETE));
    // The orders that were seen on the wire (WIRE.md § 0.7).
    let mut methods = Vec::new();
    if get {
        methods.push("HEAD");
    }
    if delete {
        methods.push("DELETE");
    }
    if post {
        methods.push("POST");
    }
    if get {
        methods.push("GET");
    }
    methods.push("OPTIONS");
    if put {
        methods.push("PUT");
    }
    methods.join(",")
}

/// The target to pass on. Raw dot segments mean something to whatever stands before the primary, so
/// they never leave: contexts of such names have another spelling, everything else is no route.
fn passable(path: &str, query: &str, segments: &[Segment<'_>]) -> Result<String, Misdirected> {
    let is_context =
        |index: usize| index % 2 == 1 && segments[..index].iter().step_by(2).all(|word| word.raw == "contexts");
    let mut path = path.to_owned();
    if segments.len().checked_sub(1).is_some_and(|last| is_context(last) && segments[last].raw == ".") {
        // By its other spelling, the default context as a resource is the list of all (WIRE.md § 3.4).
        path = "/".to_owned();
    }
    for (index, segment) in segments.iter().enumerate() {
        let dots = matches!(segment.raw, "." | "..");
        match segment.raw {
            "." | ".." if is_context(index) => {
                path =
                    path.replacen(&format!("/contexts/{}/", segment.raw), &format!("/contexts/:{}:/", segment.raw), 1);
            }
            _ if dots => return Err(Misdirected::NotFound),
            _ => {}
        }
    }
    if path.ends_with("/contexts/..") {
        path.insert(path.len() - 2, ':');
        path.push(':');
    }
    Ok(if query.is_empty() { path } else { format!("{path}?{query}") })
}

/// Whether a path with a context in it has parameters anywhere. The registry takes contexts out of a path before it
/// knows of parameters, and reads what remains when it does: what is meant is anybody's guess.
fn hides_context(path: &str) -> bool {
    let mut words = path.split('/').skip(1).filter(|word| !word.is_empty());
    let is_context = words.next().is_some_and(|word| word.split(';').next() == Some("contexts"));
    is_context && words.next().is_some() && path.contains(';')
}

/// Whether a list by prefix is asked for behind a context, or behind several.
fn is_list_within(segments: &[Segment<'_>]) -> bool {
    let Some((last, contexts)) = segments.split_last() else { return false };
    let is_behind = !contexts.is_empty() && contexts.len() % 2 == 0;
    is_behind
        && matches!(last.raw, "schemas" | "subjects")
        && contexts.iter().step_by(2).all(|word| word.raw == "contexts")
}

/// Folds `contexts/{ctx}` into the names that follow (WIRE.md § 3.4).
fn fold<'a>(
    mut segments: Vec<Segment<'a>>,
    method: &Method,
    query: &mut Query,
) -> Result<Vec<Segment<'a>>, Misdirected> {
    let mut context = None;
    while segments.len() >= 2 && segments[0].raw == "contexts" {
        let is_resource = segments.len() == 2 && context.is_none();
        context = segments.drain(..2).nth(1);
        if is_resource {
            break;
        }
    }
    let Some(context) = context else { return Ok(segments) };
    // One that cannot be is refused where it is used, and nowhere else.
    let prefix = || context_prefix(&context);
    if segments.is_empty() {
        return Ok(bare_context(prefix()?, context.raw));
    }
    fold_path(&mut segments, prefix)?;
    fold_query(&segments, method, prefix, query)?;
    Ok(segments)
}

/// `:ctx:` for a named context, empty for the default one. The segment is taken as it was written: the registry's filter
/// runs before anything is decoded. So an escaped dot does not begin a context, which has another one put before it, and
/// a name with escaped colons ends at the first of them once it is decoded (WIRE.md § 3.4).
fn context_prefix(segment: &Segment<'_>) -> Prefix {
    let text = segment.raw.strip_prefix(':').unwrap_or(segment.raw);
    let text = text.strip_suffix(':').unwrap_or(text);
    if text.contains(':') {
        return Err(Misdirected::Context(text.to_owned()));
    }
    let dot = if text.starts_with('.') { "" } else { "." };
    let name = percent_decode_str(text).decode_utf8_lossy();
    Ok(if matches!(text, "" | ".") { String::new() } else { format!(":{dot}{name}:") })
}

/// What stands for the raw text of a name that came with the context: like no fixed word, and without escapes.
const GIVEN: &str = ":";

fn given(name: String) -> Segment<'static> {
    Segment { raw: GIVEN, decoded: Cow::Owned(name), has_parameters: false }
}

fn bare_context(prefix: String, written: &str) -> Vec<Segment<'static>> {
    let contexts = Segment { raw: "contexts", decoded: Cow::Borrowed("contexts"), has_parameters: false };
    match (prefix.is_empty(), written) {
        (false, _) => vec![contexts, given(prefix)],
        (true, ".") => Vec::new(),
        (true, _) => vec![contexts],
    }
}

fn is_qualified(text: &str) -> bool {
    text.starts_with(":.") || text.starts_with(":*:")
}

type Prefix = Result<String, Misdirected>;

fn fold_path(segments: &mut Vec<Segment<'_>>, prefix: impl Fn() -> Prefix) -> Result<(), Misdirected> {
    let qualify = |segment: &mut Segment<'_>| -> Result<(), Misdirected> {
        if !is_qualified(&segment.decoded) {
            segment.decoded.to_mut().insert_str(0, &prefix()?);
        }
        Ok(())
    };
    for index in 1..segments.len() {
        if matches!(segments[index - 1].raw, "subjects" | "deks") {
            qualify(&mut segments[index])?;
        }
    }
    if matches!(segments[0].raw, "config" | "mode") {
        match segments.get_mut(1) {
            Some(segment) => qualify(segment)?,
            None => segments.extend(Some(prefix()?).filter(|prefix| !prefix.is_empty()).map(given)),
        }
    }
    Ok(())
}

fn fold_query(
    segments: &[Segment<'_>],
    method: &Method,
    prefix: impl Fn() -> Prefix,
    query: &mut Query,
) -> Result<(), Misdirected> {
    let word = |index: usize| segments.get(index).map(|segment| segment.raw);
    if word(0) == Some("schemas") && word(1) == Some("ids") {
        let subject = query.get("subject").unwrap_or_default();
        let subject = if is_qualified(subject) { subject.to_owned() } else { prefix()? + subject };
        query.set("subject", subject);
    } else if segments.len() == 1 && matches!(word(0), Some("schemas" | "subjects")) {
        let is_named = query.get("subjectPrefix").is_some() && query.all("subjectPrefix").all(is_qualified);
        let prefix = if is_named { String::new() } else { prefix()? };
        let qualify = |text: &str| if is_qualified(text) { text.to_owned() } else { format!("{prefix}{text}") };
        if !query.rewrite("subjectPrefix", qualify) {
            query.set("subjectPrefix", prefix);
        }
    } else if word(0).is_some_and(|first| first.starts_with("associations"))
        && matches!(*method, Method::POST | Method::PUT | Method::PATCH)
    {
        query.set("context", prefix()?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understood(method: Method, target: &str) -> Result<Operation, Misdirected> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Operation::classify(&method, path, query)
    }

    #[test]
    fn every_row_of_the_table_is_found_by_its_own_path() {
        for endpoint in ENDPOINTS {
            let path = words(endpoint.path).map(|word| if word.starts_with('{') { "x" } else { word });
            let path = format!("/{}", path.collect::<Vec<_>>().join("/"));
            let method = Method::from_bytes(endpoint.method.as_bytes()).expect("a method");
            if endpoint.route == Route::DeleteContext {
                continue;
            }
            let operation = understood(method, &path).unwrap_or_else(|failure| panic!("{path}: {failure}"));
            assert_eq!((operation.route, operation.effect), (endpoint.route, endpoint.effect), "{path}");
        }
    }

    #[test]
    fn a_context_in_the_path_is_folded_into_the_names_after_it() {
        let subject = |target: &str| understood(Method::GET, target).expect("a route").subject.to_string();
        for spelling in [".c", "c", ":.c:", ":c:"] {
            assert_eq!(subject(&format!("/contexts/{spelling}/subjects/s/versions")), ":.c:s");
        }
        assert_eq!(subject("/contexts/.c/subjects/:.d:s/versions"), ":.d:s");
        assert_eq!(subject("/contexts/.a/contexts/.b/subjects/s/versions"), ":.b:s");
        assert_eq!(subject("/contexts/./subjects/s/versions"), "s");
        assert_eq!(subject("/contexts/.c/config"), ":.c:");
        assert_eq!(subject("/contexts/.c/mode/s"), ":.c:s");
        assert_eq!(subject("/contexts/%3A.c%3A/subjects/s/versions"), ".c::s");
        assert_eq!(subject("/contexts/:.c%3A/subjects/s/versions"), ":.c::s");
        for spelling in ["%2Ec", ":%2ec:", "..c"] {
            assert_eq!(subject(&format!("/contexts/{spelling}/subjects/s/versions")), ":..c:s");
        }
        assert_eq!(subject("/contexts/%63%20d/subjects/s/versions"), ":.c d:s");
        let by_id = understood(Method::GET, "/contexts/.c/schemas/ids/1").expect("a route");
        assert_eq!(by_id.query.get("subject"), Some(":.c:"));
        let list = understood(Method::GET, "/contexts/.c/subjects").expect("a route");
        assert_eq!(list.query.get("subjectPrefix"), Some(":.c:"));
        let context = understood(Method::DELETE, "/contexts/c").expect("a route");
        assert_eq!((context.route, context.name()), (Route::DeleteContext, ":.c:"));
        assert_eq!(understood(Method::GET, "/contexts/.").expect("a route").route, Route::Root);
        assert_eq!(understood(Method::GET, "/contexts/:.:").expect("a route").route, Route::Contexts);
        assert_eq!(understood(Method::GET, "/contexts/.c/contexts").expect("a route").route, Route::Contexts);
        let colon = understood(Method::GET, "/contexts/a:b/subjects");
        assert_eq!(colon.err(), Some(Misdirected::Context("a:b".to_owned())));
    }

    #[test]
    fn a_plus_in_the_subject_of_an_id_is_no_blank() {
        let subject =
            |target| understood(Method::GET, target).expect("a route").query.get("subject").map(str::to_owned);
        assert_eq!(subject("/schemas/ids/1?subject=a+b%20c").as_deref(), Some("a+b c"));
        assert_eq!(subject("/subjects?subject=a+b").as_deref(), Some("a b"));
    }

    #[test]
    fn a_plus_in_a_beginning_of_names_is_a_blank_unless_a_context_stands_before_the_list() {
        let prefix =
            |target| understood(Method::GET, target).expect("a route").query.get("subjectPrefix").map(str::to_owned);
        assert_eq!(prefix("/subjects?subjectPrefix=a+b").as_deref(), Some("a b"));
        assert_eq!(prefix("/contexts/.c/subjects?subjectPrefix=a+b%20c").as_deref(), Some(":.c:a+b c"));
        assert_eq!(prefix("/contexts/.a/contexts/.c/schemas/?subjectPrefix=:.d+e:").as_deref(), Some(":.d+e:"));
    }

    #[test]
    fn only_a_subject_that_is_qualified_by_itself_is_escaped() {
        for (path, is_escaped) in [
            ("/subjects/%3A.c%3As/versions", true),
            ("/subjects/:%2Ec:s/versions", true),
            ("/subjects/:.c%3As/versions", false),
            ("/subjects/%73/versions", false),
            ("/contexts/.c/subjects/%73/versions", false),
            ("/contexts/.c/subjects/%3A.d:s/versions", true),
        ] {
            assert_eq!(understood(Method::GET, path).expect("a route").is_escaped, is_escaped, "{path}");
        }
    }

    #[test]
    fn raw_dot_segments_never_leave() {
        for target in ["/subjects/../mode", "/subjects/./s/versions", "/./subjects", "/subjects/x/../../mode"] {
            assert_eq!(understood(Method::GET, target).err(), Some(Misdirected::NotFound), "{target}");
        }
        let default = understood(Method::GET, "/contexts/./subjects/s/versions?x=1").expect("a route");
        assert_eq!(default.target, "/contexts/:.:/subjects/s/versions?x=1");
        let dots = understood(Method::GET, "/contexts/../subjects/s/versions").expect("a route");
        assert_eq!((dots.subject.to_string().as_str(), &*dots.target), (":..:s", "/contexts/:..:/subjects/s/versions"));
    }

    #[test]
    fn a_context_with_parameters_is_nobodys_and_the_default_one_alone_is_the_root() {
        for target in [
            "/contexts/.c;a=b/subjects",
            "/contexts;a/.c/subjects",
            "/contexts/.c/contexts/.d;/config",
            "/contexts/.c/subjects;a",
            "/contexts/.c/subjects;a/s/versions",
            "/contexts;a=b/..",
        ] {
            let found = understood(Method::GET, target).err();
            assert_eq!(found, Some(Misdirected::Malformed(Malformed::Parameter)), "{target}");
        }
        assert_eq!(understood(Method::GET, "/contexts;a").expect("a route").route, Route::Contexts);
        for target in ["/contexts/.?x=1", "/contexts/./?x=1", "/contexts/.c/contexts/.?x=1"] {
            let root = understood(Method::GET, target).expect("a route");
            assert_eq!((root.route, &*root.target), (Route::Root, "/?x=1"), "{target}");
        }
    }

    #[test]
    fn the_effect_is_decided_by_the_route() {
        let effect = |method, target| understood(method, target).map(|operation| operation.effect);
        assert_eq!(effect(Method::POST, "/subjects/s"), Ok(Effect::Read));
        assert_eq!(effect(Method::POST, "/contexts/.c/subjects/s"), Ok(Effect::Read));
        assert_eq!(effect(Method::POST, "/compatibility/subjects/s/versions/"), Ok(Effect::Judgement));
        assert_eq!(effect(Method::PUT, "/mode"), Ok(Effect::Control));
        assert_eq!(effect(Method::POST, "/catalog/v1/entity"), Ok(Effect::Write));
        assert_eq!(effect(Method::GET, "/catalog/v1/entity"), Ok(Effect::Read));
        assert_eq!(effect(Method::GET, "/subjects/s").err(), Some(Misdirected::Method));
        assert_eq!(effect(Method::from_bytes(b"get").expect("a token"), "/subjects").err(), Some(Misdirected::Method));
        assert_eq!(effect(Method::TRACE, "/nosuch").err(), Some(Misdirected::NotFound));
    }
}
