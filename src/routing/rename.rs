//! Names on their way to the primary and back: in paths, queries, bodies and messages (WIRE.md § 3).
//!
//! Only names change. What is in no place of the tables below is no name, whatever it looks like.

use percent_encoding::utf8_percent_encode;

use super::contexts::Contexts;
use crate::protocol::endpoints::Route;
use crate::protocol::operation::Operation;
use crate::protocol::splice::{Fate, Spliced, Unreadable, splice};
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::protocol::target::{QUERY, SEGMENT, subject_segment};

/// What kind of name stands at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A subject, complete with its context.
    Subject,
    /// A name that lies beside the subject that it is a part of, unless it says otherwise (WIRE.md § 3.8).
    Beside,
    /// A context, as it is listed.
    Context,
    /// The namespace of resources, after which a context is called (WIRE.md § 1.22).
    Namespace,
    /// A sentence with names in it.
    Message,
}

/// Stands for every namespace.
const ANY: &str = "-";

type Places = &'static [(&'static str, Kind)];

const VERSION: Places = &[("subject", Kind::Subject), ("references[].subject", Kind::Beside)];
const REFERENCES: Places = &[("references[].subject", Kind::Beside)];
const CONFIG: Places = &[("alias", Kind::Beside), ("aliasForDeks", Kind::Beside)];
const MESSAGE: Places = &[("message", Kind::Message)];
const LIST: Places = &[("[]", Kind::Subject)];

/// Where the names are in what is sent.
fn sent(route: Route) -> Places {
    use Route as R;
    match route {
        R::Lookup | R::Register | R::TestCompatibility | R::TestCompatibilityAll => REFERENCES,
        R::UpdateGlobalConfig | R::UpdateSubjectConfig => CONFIG,
        R::CreateAssociation | R::UpdateAssociation => &[
            ("resourceNamespace", Kind::Namespace),
            ("associations[].subject", Kind::Subject),
            ("associations[].schema.references[].subject", Kind::Beside),
        ],
        R::BatchGetAssociations => &[("requests[].resourceNamespace", Kind::Namespace)],
        R::BatchMutateAssociations => &[
            ("requests[].resourceNamespace", Kind::Namespace),
            ("requests[].associations[].subject", Kind::Subject),
            ("requests[].associations[].schema.references[].subject", Kind::Beside),
        ],
        R::DekWrite => &[("subject", Kind::Subject)],
        _ => &[],
    }
}

/// Where they are in a success.
fn answered(operation: &Operation) -> Places {
    use Route as R;
    match operation.route {
        R::Lookup | R::Register | R::Version | R::LatestWithMetadata | R::ModifyTags | R::SchemaById => VERSION,
        R::SchemaByGuid => VERSION,
        R::Schemas => &[
            ("[].subject", Kind::Subject),
            ("[].references[].subject", Kind::Beside),
            ("[].aliases[]", Kind::Subject),
            ("[].associations[].subject", Kind::Subject),
            ("[].associations[].resourceNamespace", Kind::Namespace),
        ],
        R::Subjects | R::SubjectsById => LIST,
        R::VersionsById => &[("[].subject", Kind::Subject)],
        R::IdsByGuid => &[("[].context", Kind::Context)],
        R::Contexts => &[("[]", Kind::Context)],
        R::GlobalConfig | R::UpdateGlobalConfig | R::DeleteGlobalConfig => CONFIG,
        R::SubjectConfig | R::UpdateSubjectConfig | R::DeleteSubjectConfig => CONFIG,
        R::AssociationsBySubject | R::AssociationsByResource | R::AssociationsByName => {
            &[("[].subject", Kind::Subject), ("[].resourceNamespace", Kind::Namespace)]
        }
        R::TestCompatibility | R::TestCompatibilityAll => &[("messages[]", Kind::Message)],
        R::CreateAssociation | R::UpdateAssociation => &[
            ("resourceNamespace", Kind::Namespace),
            ("associations[].subject", Kind::Subject),
            ("associations[].schema.subject", Kind::Subject),
            ("associations[].schema.references[].subject", Kind::Beside),
        ],
        R::BatchGetAssociations | R::BatchMutateAssociations => &[
            ("results[].result.resourceNamespace", Kind::Namespace),
            ("results[].result.associations[].subject", Kind::Subject),
            ("results[].result.associations[].schema.subject", Kind::Subject),
            ("results[].result.associations[].schema.references[].subject", Kind::Beside),
            ("results[].error.message", Kind::Message),
        ],
        R::DekRead if operation.path.ends_with("/deks") => LIST,
        R::DekRead | R::DekWrite => &[("subject", Kind::Subject)],
        _ => &[],
    }
}

/// What stands where somebody at the primary wrote the name of what is not ours into what is: its own name there might
/// be that of another subject here. No map has this one, so whoever asks for it is refused as for all that is not mapped.
const NOWHERE: &str = ":*:";

/// A name that no context of ours has, or that means every context.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the context {0} is not mapped")]
pub struct Unmapped(pub Context);

/// Why a body cannot be passed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Impassable {
    /// It names what is not there for us.
    #[error(transparent)]
    Unmapped(#[from] Unmapped),
    /// Nobody could find the names in it.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

impl Contexts {
    /// The primary's name of a subject of ours, as it is written in a path or a body.
    pub(super) fn subject_there(&self, local: &str) -> Result<String, Unmapped> {
        self.named_there(QualifiedSubject::parse(local))
    }

    fn named_there(&self, local: QualifiedSubject) -> Result<String, Unmapped> {
        let context = self.to_primary(&local.context).ok_or(Unmapped(local.context))?;
        Ok(written(&context, &local.subject))
    }

    /// Our name of a subject of the primary's, as a registry prints it.
    fn subject_here(&self, primary: &str) -> Option<String> {
        let primary = QualifiedSubject::parse(primary);
        let context = self.to_local(&primary.context)?;
        Some(QualifiedSubject { context, subject: primary.subject }.to_string())
    }

    /// A name that lies beside a subject of the context `parent` of ours, as the primary has to read it.
    fn beside_there(&self, text: &str, parent: &Context) -> Result<String, Unmapped> {
        let named = QualifiedSubject::parse(text);
        let there = self.to_primary(parent).ok_or_else(|| Unmapped(parent.clone()))?;
        let is_qualified = text.starts_with(":.");
        match (named.context.is_default(), parent.is_default()) {
            (false, _) => {
                let context = self.to_primary(&named.context).ok_or_else(|| Unmapped(named.context.clone()))?;
                match (context.is_default(), there.is_default()) {
                    (false, _) => Ok(written(&context, &named.subject)),
                    (true, true) => Ok(format!(":.:{}", named.subject)),
                    // From a named context nothing leads into the default one (WIRE.md § 3.8).
                    (true, false) => Err(Unmapped(named.context)),
                }
            }
            (true, true) if is_qualified && !there.is_default() => Ok(written(&there, &named.subject)),
            // A subject that is itself called so, which in the default context has to be said more plainly.
            (true, false) if is_qualified && there.is_default() => Ok(format!(":.:{text}")),
            (true, _) => Ok(text.to_owned()),
        }
    }

    /// The same name as we read it; the primary's `parent` is the context that it lies beside there.
    fn beside_here(&self, text: &str, parent: &Context) -> String {
        let named = QualifiedSubject::parse(text);
        let Some(here) = self.to_local(parent) else { return text.to_owned() };
        let is_as_written = named.context.is_default() && (!parent.is_default() || here.is_default());
        if !text.starts_with(":.") || is_as_written {
            return text.to_owned();
        }
        if named.context.is_default() && named.subject.starts_with(":.") {
            return named.subject.to_string();
        }
        match self.to_local(&named.context) {
            Some(context) if context.is_default() => format!(":.:{}", named.subject),
            Some(context) => written(&context, &named.subject),
            None => NOWHERE.to_owned(),
        }
    }

    /// The primary's name of a namespace: the context called after it must be the one that is called so here.
    pub(super) fn namespace_there(&self, local: &str) -> Result<String, Unmapped> {
        if local.is_empty() || local == ANY {
            return Ok(local.to_owned());
        }
        let context = Context::named(&format!(".{local}"));
        if local.contains([':', '*']) {
            return Err(Unmapped(context));
        }
        match self.to_primary(&context) {
            // No namespace is called after the default context, and none of dots alone can be asked for.
            Some(there) if !matches!(there.as_str(), "." | ".." | "...") => Ok(there.as_str()[1..].to_owned()),
            _ => Err(Unmapped(context)),
        }
    }

    fn namespace_here(&self, primary: &str) -> String {
        let here = self.to_local(&Context::named(&format!(".{primary}")));
        here.map_or_else(|| primary.to_owned(), |context| context.as_str()[1..].to_owned())
    }

    /// A sentence of the primary's with our names in it. Names in sentences are quoted or stand apart.
    fn message_here(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(":.") {
            let (before, from) = rest.split_at(at);
            let is_apart = !before.chars().next_back().is_some_and(|letter| letter.is_alphanumeric() || letter == ':');
            let end = from[2..].find([':', '\'', '"']).map(|end| end + 2);
            let context = end.filter(|end| is_apart && from.as_bytes()[*end] == b':');
            let ours = context.and_then(|end| Some((end, self.to_local(&Context::named(&from[1..end]))?)));
            out.push_str(before);
            match ours {
                Some((end, context)) => {
                    out.push_str(&context.prefix());
                    rest = &from[end + 1..];
                }
                None => {
                    out.push_str(":.");
                    rest = &from[2..];
                }
            }
        }
        out.push_str(rest);
        self.context_here(out)
    }

    /// The same of a context that a sentence names without the marks of a subject.
    fn context_here(&self, text: String) -> String {
        const BEFORE: &str = " in context .";
        let Some(at) = text.find(BEFORE).map(|at| at + BEFORE.len() - 1) else { return text };
        let end = text[at..].find(' ').map_or(text.len(), |end| at + end);
        match self.to_local(&Context::named(&text[at..end])) {
            Some(context) => format!("{}{context}{}", &text[..at], &text[end..]),
            None => text,
        }
    }

    /// A body of ours as the primary has to read it; `None` if it is the same.
    pub(super) fn body_there(&self, operation: &Operation, body: &[u8]) -> Result<Option<Vec<u8>>, Impassable> {
        let places = sent(operation.route);
        if places.is_empty() {
            return Ok(None);
        }
        let parent = &operation.subject.context;
        let within = context_of_body(operation, self.bound());
        let mut unmapped = None;
        let spliced = splice(body, &paths(places), &mut |place, text| {
            let renamed = match kind(places, place) {
                Kind::Beside => self.beside_there(text, parent),
                Kind::Subject => self.named_there(QualifiedSubject::parse_in(text, &within)),
                // What stands for every namespace is none that anything could be created in.
                Kind::Namespace if text == ANY => Err(Unmapped(Context::named(text))),
                Kind::Namespace => self.namespace_there(text),
                Kind::Context | Kind::Message => Ok(text.to_owned()),
            };
            renamed.map_or_else(
                |why| {
                    unmapped = Some(why);
                    Fate::Kept
                },
                |renamed| exchanged(text, renamed),
            )
        });
        let spliced = match spliced {
            // What the registry cannot read either it says in its own words.
            Err(Unreadable::Broken) => return Ok(None),
            spliced => spliced?,
        };
        match (unmapped, spliced) {
            (Some(why), _) => Err(why.into()),
            (None, Spliced::Changed(body)) => Ok(Some(body)),
            (None, Spliced::Same | Spliced::Gone) => Ok(None),
        }
    }

    /// A body of the primary's as we read it. What is of other contexts goes.
    pub(super) fn body_here(
        &self,
        operation: &Operation,
        is_success: bool,
        body: &[u8],
    ) -> Result<Spliced, Unreadable> {
        let places = if is_success { answered(operation) } else { MESSAGE };
        if places.is_empty() {
            return Ok(Spliced::Same);
        }
        let asked = operation.subject_of_id().unwrap_or_else(|| operation.subject.clone());
        let own = self.to_primary(&asked.context).unwrap_or_else(Context::default_context);
        // A version's references lie beside it: in a list each beside its own, which is named before them.
        let mut parent = own;
        splice(body, &paths(places), &mut |place, text| match kind(places, place) {
            Kind::Subject => {
                parent = QualifiedSubject::parse(text).context;
                self.subject_here(text).map_or(Fate::Gone, |name| exchanged(text, name))
            }
            Kind::Context => {
                let ours = self.to_local(&Context::named(text));
                ours.map_or(Fate::Gone, |context| exchanged(text, context.as_str().to_owned()))
            }
            Kind::Namespace => exchanged(text, self.namespace_here(text)),
            Kind::Beside => exchanged(text, self.beside_here(text, &parent)),
            Kind::Message => exchanged(text, self.message_here(text)),
        })
    }
}

/// The subjects that a body names as what it is about, of a listener that may be bound to a context.
pub(super) fn subjects_sent(
    operation: &Operation,
    body: &[u8],
    bound: Option<&Context>,
) -> Result<Vec<QualifiedSubject>, Unreadable> {
    let places = sent(operation.route);
    let within = context_of_body(operation, bound);
    let mut subjects = Vec::new();
    splice(body, &paths(places), &mut |place, text| {
        if kind(places, place) == Kind::Subject {
            subjects.push(QualifiedSubject::parse_in(text, &within));
        }
        Fate::Kept
    })?;
    Ok(subjects)
}

/// The context that the subjects of a body lie in: the one that a parameter names (WIRE.md § 1.22), or that a listener
/// is bound to.
fn context_of_body(operation: &Operation, bound: Option<&Context>) -> Context {
    let named = operation.query.get("context").filter(|context| !context.is_empty());
    match (named, bound) {
        (None, Some(bound)) => bound.clone(),
        (named, _) => QualifiedSubject::parse(named.unwrap_or_default()).context,
    }
}

/// A subject as it is written in a path or a body, so that it is read as just this one; the beginning of one too.
pub(super) fn written(context: &Context, subject: &str) -> String {
    QualifiedSubject::new(context.clone(), subject).spelt()
}

fn exchanged(old: &str, new: String) -> Fate {
    if old == new { Fate::Kept } else { Fate::Exchanged(new) }
}

fn paths(places: Places) -> Vec<&'static str> {
    places.iter().map(|(path, _)| *path).collect()
}

fn kind(places: Places, path: &str) -> Kind {
    places.iter().find(|(own, _)| *own == path).map_or(Kind::Message, |(_, kind)| *kind)
}

/// A target, put together from what it means.
pub fn target(path: &str, subject: &str, names: &[String], query: &[(String, String)]) -> String {
    let mut target = String::with_capacity(64);
    let mut names = names.iter();
    for word in path.split('/').filter(|word| !word.is_empty()) {
        target.push('/');
        match word {
            "{subject}" => target.push_str(&subject_segment(subject)),
            name if name.starts_with('{') => {
                target.extend(utf8_percent_encode(names.next().map_or("", String::as_str), &SEGMENT));
            }
            fixed => target.push_str(fixed),
        }
    }
    if target.is_empty() {
        target.push('/');
    }
    for (index, (name, value)) in query.iter().enumerate() {
        target.push(if index == 0 { '?' } else { '&' });
        target.extend(utf8_percent_encode(name, &QUERY));
        target.push('=');
        target.extend(utf8_percent_encode(value, &QUERY));
    }
    target
}

#[cfg(test)]
mod tests {
    use http::Method;
    use proptest::prelude::*;

    use super::*;
    use crate::routing::Pair;
    use crate::routing::way::Way;

    fn map(pairs: &[(&str, &str)]) -> Contexts {
        let pairs: Vec<Pair> =
            pairs.iter().map(|(local, primary)| Pair { local: (*local).into(), primary: (*primary).into() }).collect();
        Contexts::of(&pairs).expect("a map")
    }

    fn maps() -> [Contexts; 3] {
        [
            map(&[(".", ".site1"), (".*", ".site1.*")]),
            map(&[(".", ".a b"), (".x", "."), (".y*", ".z*")]),
            map(&[(".", "."), (".x", ".y")]),
        ]
    }

    /// Names made of what the grammar takes for something, and of what paths and JSON do.
    fn name() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just(":"),
            Just("."),
            Just(":."),
            Just(":.:"),
            Just(":*:"),
            Just("*"),
            Just("/"),
            Just("%"),
            Just("%2F"),
            Just(" "),
            Just("+"),
            Just("\u{1f6d2}"),
            Just("\""),
            Just("\\"),
            Just("__GLOBAL"),
            Just(".site1"),
            Just(":.site1:"),
            Just("x"),
            Just("y"),
            Just("é"),
        ];
        proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
    }

    #[test]
    fn names_are_found_in_sentences() {
        let site = map(&[(".", ".site1"), (".*", ".site1.*")]);
        for (theirs, ours) in [
            ("Subject ':.site1:orders' not found.", "Subject 'orders' not found."),
            ("Subject ':.site1.finance:a:b' not found.", "Subject ':.finance:a:b' not found."),
            ("The specified context ':.site1.c:' is not empty.", "The specified context ':.c:' is not empty."),
            ("{subject=:.site1:s,version=1}", "{subject=s,version=1}"),
            ("Subject s in context .site1 is in read-only mode", "Subject s in context . is in read-only mode"),
            ("Subject s in context :.site1.c: is in read-only mode", "Subject s in context :.c: is in read-only mode"),
            ("of ':.site2:x'", "of ':.site2:x'"),
            ("x:.site1:y", "x:.site1:y"),
            ("an unfinished :.site1", "an unfinished :.site1"),
        ] {
            assert_eq!(site.message_here(theirs), ours);
        }
    }

    #[test]
    fn subjects_of_associations_lie_in_the_context_that_a_parameter_names() {
        let site = map(&[(".", ".site1"), (".*", ".site1.*")]);
        let body = br#"{"resourceName":"t","associations":[{"subject":"s"},{"subject":":.x:s"}]}"#;
        for (query, first) in [("", ":.site1:s"), ("context=:.finance:", ":.site1.finance:s")] {
            let operation = Operation::classify(&Method::POST, "/associations", query).expect("a route");
            let sent = site.body_there(&operation, body).expect("mapped").expect("changed");
            let expected = format!(
                r#"{{"resourceName":"t","associations":[{{"subject":"{first}"}},{{"subject":":.site1.x:s"}}]}}"#
            );
            assert_eq!(String::from_utf8_lossy(&sent), expected);
        }
    }

    proptest! {
        #[test]
        fn a_subject_comes_back_as_it_went(text in name()) {
            for map in maps() {
                let Ok(there) = map.subject_there(&text) else { continue };
                let ours = QualifiedSubject::parse(&text);
                prop_assert_eq!(map.to_primary(&ours.context), Some(QualifiedSubject::parse(&there).context));
                prop_assert_eq!(QualifiedSubject::parse(&there).subject, ours.subject.clone());
                // A registry prints it without the mark that kept it from being misread.
                let printed = QualifiedSubject::parse(&there).to_string();
                if QualifiedSubject::parse(&printed) == QualifiedSubject::parse(&there) {
                    prop_assert_eq!(map.subject_here(&printed), Some(ours.to_string()));
                }
            }
        }

        #[test]
        fn a_name_beside_a_subject_comes_back_as_it_was_written(text in name(), in_default in any::<bool>()) {
            for map in maps() {
                let parent = if in_default { Context::default_context() } else { Context::named(".x") };
                let Some(there) = map.to_primary(&parent) else { continue };
                if let Ok(sent) = map.beside_there(&text, &parent) {
                    let meant = QualifiedSubject::parse_in(&text, &parent);
                    if let Some(context) = map.to_primary(&meant.context) {
                        let found = QualifiedSubject::parse_in(&sent, &there);
                        prop_assert_eq!(&found.context, &context, "{} sent as {}", &text, &sent);
                        prop_assert_eq!(&found.subject, &meant.subject, "{} sent as {}", &text, &sent);
                    }
                    let back = map.beside_here(&sent, &there);
                    prop_assert_eq!(
                        QualifiedSubject::parse_in(&back, &parent), meant,
                        "{} sent as {} came back as {}", &text, &sent, &back
                    );
                }
            }
        }

        #[test]
        fn bodies_come_back_to_the_byte(subject in name(), other in name(), blanks in "[ \n\t]{0,3}") {
            let text = |name: &str| serde_json::to_string(name).expect("a text");
            let body = format!(
                "{{{blanks}\"metadata\":{{\"subject\":{}}},\"schema\":{},{blanks}\"references\":[{{\"name\":{},\"subject\":{}}}]}}{blanks}",
                text(&subject), text(&other), text(&subject), text(&other)
            );
            let operation = Operation::classify(&Method::POST, "/subjects/s/versions", "").expect("a route");
            for map in maps() {
                let Ok(sent) = map.body_there(&operation, body.as_bytes()) else { continue };
                let sent = sent.unwrap_or_else(|| body.clone().into_bytes());
                let read = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).expect("JSON");
                let (before, after) = (read(body.as_bytes()), read(&sent));
                prop_assert_eq!(&before["metadata"], &after["metadata"]);
                prop_assert_eq!(&before["schema"], &after["schema"]);
                prop_assert_eq!(&before["references"][0]["name"], &after["references"][0]["name"]);
                let back = map.body_here(&operation, true, &sent).expect("readable");
                let back = match back { Spliced::Changed(back) => back, Spliced::Same | Spliced::Gone => sent };
                let (written, found) = (read(body.as_bytes()), read(&back));
                let meant = |value: &serde_json::Value| {
                    let name = value["references"][0]["subject"].as_str().unwrap_or_default().to_owned();
                    QualifiedSubject::parse_in(&name, &Context::default_context())
                };
                prop_assert_eq!(meant(&written), meant(&found));
            }
        }

        #[test]
        fn whatever_is_sent_nothing_breaks_and_nothing_else_changes(bytes in proptest::collection::vec(any::<u8>(), 0..64), json in "[\\[\\]{}\",:a\\\\ 0-9]{0,40}") {
            for body in [&bytes[..], json.as_bytes()] {
                for place in ["a", "[]", "a[].a", "[].a"] {
                    let same = splice(body, &[place], &mut |_, _| Fate::Kept);
                    prop_assert!(matches!(same, Ok(Spliced::Same) | Err(_)));
                    let gone = splice(body, &[place], &mut |_, _| Fate::Gone);
                    if let (Ok(Spliced::Changed(left)), Ok(_)) = (gone, serde_json::from_slice::<serde_json::Value>(body)) {
                        prop_assert!(serde_json::from_slice::<serde_json::Value>(&left).is_ok(), "{:?}", left);
                    }
                }
            }
        }

        #[test]
        fn a_target_that_was_put_together_means_the_same_subject(text in name()) {
            let segment = utf8_percent_encode(&text, &SEGMENT).to_string();
            let path = format!("/subjects/{segment}/versions/latest");
            let Ok(operation) = Operation::classify(&Method::GET, &path, "deleted=true&x=%26%3D+") else { return Ok(()) };
            for map in maps() {
                let Ok(Way::One(sent)) = Way::of(&map, &operation, b"") else { continue };
                let (path, query) = sent.split_once('?').expect("a query");
                let read = Operation::classify(&Method::GET, path, query);
                // What the primary's web server would not let in, it refuses there.
                let Ok(read) = read else { continue };
                let there = map.to_primary(&operation.subject.context).expect("mapped");
                prop_assert_eq!(&read.subject.context, &there);
                prop_assert_eq!(&read.subject.subject, &operation.subject.subject);
                prop_assert_eq!(&read.names, &operation.names);
                prop_assert_eq!(&read.query, &operation.query);
            }
        }
    }
}
