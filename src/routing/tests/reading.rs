//! How requests and bodies are read here: by the tables of WIRE.md alone, as a registry reads them.

use serde_json::Value;

use super::bodies::{Model, Piece, Role};
use super::sites::Site;
use crate::protocol::endpoints::Route;
use crate::protocol::operation::Operation;
use crate::protocol::subject::{Context, QualifiedSubject, SubjectPrefix};

/// Contexts that a request names.
#[derive(Debug)]
pub(super) enum Named {
    One(Context),
    /// All whose names begin so.
    Begin(String),
    All,
}

impl Named {
    pub(super) fn is_ours(&self, site: &Site) -> bool {
        match self {
            Self::One(context) => site.here(context.as_str()).is_some(),
            Self::Begin(start) => site.begin.iter().any(|own| start.starts_with(own)),
            Self::All => false,
        }
    }
}

fn prefixed(text: &str) -> Named {
    match SubjectPrefix::parse(text) {
        SubjectPrefix::In(context, _) => Named::One(context),
        SubjectPrefix::ContextsFrom(start) => Named::Begin(start.to_string()),
        SubjectPrefix::Everywhere(_) => Named::All,
    }
}

/// The contexts in which a registry looks for what it is asked for. A namespace is none: what is listed of one is
/// shown as far as its subjects are ours.
pub(super) fn contexts_of(operation: &Operation) -> Vec<Named> {
    use Route as R;
    let of = |name: &str| QualifiedSubject::parse(operation.query.get(name).unwrap_or_default()).context;
    match operation.route {
        _ if operation.path.contains("{subject}") => vec![Named::One(operation.subject.context.clone())],
        R::Subjects => vec![prefixed(operation.query.get("subjectPrefix").unwrap_or(":*:"))],
        R::Schemas => vec![prefixed(operation.query.get("subjectPrefix").unwrap_or_default())],
        R::SchemaById | R::SchemaTextById | R::SubjectsById | R::VersionsById => vec![Named::One(of("subject"))],
        R::CreateAssociation | R::UpdateAssociation | R::BatchMutateAssociations => vec![Named::One(of("context"))],
        R::DeleteContext => vec![Named::One(operation.named_context())],
        R::GlobalConfig | R::UpdateGlobalConfig | R::DeleteGlobalConfig | R::GlobalMode => {
            vec![Named::One(Context::default_context())]
        }
        R::DekRead if operation.path.ends_with("/keks") => operation.query.all("subjectPrefix").map(prefixed).collect(),
        _ => Vec::new(),
    }
}

/// No reader on the way makes anything else of a target.
pub(super) fn is_clean(target: &str) -> Result<(), String> {
    let path = target.split('?').next().unwrap_or_default();
    let is_odd = !target.starts_with('/')
        || target.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b'#')
        || path.contains(['\\', '<', '>', '"'])
        || path.contains("//")
        || path.split('/').any(|segment| matches!(segment, "." | ".."));
    if is_odd { Err(format!("an ambiguous target: {target}")) } else { Ok(()) }
}

/// Reads a body along what was written.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn of(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// Moves behind a piece; of a name, what it is, what it was, and what it has become.
    pub(super) fn pass<'p>(&mut self, piece: &'p Piece) -> Result<Option<(Role, &'p str, String)>, String> {
        match piece {
            Piece::ItemBegins | Piece::ItemEnds => Ok(None),
            Piece::Fixed(text) => {
                self.rest = self
                    .rest
                    .strip_prefix(text.as_bytes())
                    .ok_or_else(|| format!("instead of {text} there is {}", String::from_utf8_lossy(self.rest)))?;
                Ok(None)
            }
            Piece::Name(role, old, spelt) => {
                let mut texts = serde_json::Deserializer::from_slice(self.rest).into_iter::<String>();
                let new = texts.next().and_then(Result::ok).ok_or_else(|| format!("no text for {old}"))?;
                let (raw, rest) = self.rest.split_at(texts.byte_offset());
                if new == *old && raw != spelt.as_bytes() {
                    return Err(format!("{spelt} is the same and spelt otherwise"));
                }
                self.rest = rest;
                Ok(Some((*role, old, new)))
            }
        }
    }

    pub(super) fn ends(&self) -> Result<(), String> {
        if self.rest.is_empty() { Ok(()) } else { Err(format!("and more: {}", String::from_utf8_lossy(self.rest))) }
    }
}

/// All texts at the places of names; nothing of what is no JSON.
pub(super) fn texts(model: &Model, body: &[u8]) -> Vec<(Role, String)> {
    fn walk(model: &Model, value: &Value, found: &mut Vec<(Role, String)>) {
        match (model, value) {
            (Model::Name(role), Value::String(text)) => found.push((*role, text.clone())),
            (Model::Object(members), Value::Object(values)) => {
                members
                    .iter()
                    .filter_map(|(name, model)| Some((model, values.get(*name)?)))
                    .for_each(|(model, value)| walk(model, value, found));
            }
            (Model::List(item) | Model::Items(item), Value::Array(values)) => {
                values.iter().for_each(|value| walk(item, value, found));
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    if let Ok(value) = serde_json::from_slice(body) {
        walk(model, &value, &mut found);
    }
    found
}

type Eyes<'a> = &'a dyn Fn(Role, &str, &Context) -> Option<String>;

/// A body with what its names mean in the place of names; nothing if it goes as a whole.
pub(super) fn normal(model: &Model, body: &[u8], parent: &Context, eyes: Eyes<'_>) -> Option<Value> {
    fn walk(model: &Model, value: &mut Value, parent: &mut Context, eyes: Eyes<'_>) -> bool {
        match (model, value) {
            (Model::Name(role), Value::String(text)) => {
                let meant = eyes(*role, text, parent);
                if *role == Role::Subject {
                    *parent = QualifiedSubject::parse(text).context;
                }
                meant.map(|meant| *text = meant).is_some()
            }
            (Model::Object(members), Value::Object(values)) => {
                let mut stays = true;
                for (name, value) in values.iter_mut() {
                    if let Some((_, model)) = members.iter().find(|(own, _)| own == name) {
                        stays &= walk(model, value, parent, eyes);
                    }
                }
                stays
            }
            (Model::List(item) | Model::Items(item), Value::Array(values)) => {
                values.retain_mut(|value| walk(item, value, parent, eyes));
                true
            }
            _ => true,
        }
    }
    let mut value: Value = serde_json::from_slice(body).expect("a registry writes JSON");
    walk(model, &mut value, &mut parent.clone(), eyes).then_some(value)
}

/// What a name of the primary's means to us.
pub(super) fn in_the_primarys(site: &Site, role: Role, text: &str, parent: &Context) -> Option<String> {
    match role {
        Role::Subject => {
            let named = QualifiedSubject::parse(text);
            let context = site.here(named.context.as_str())?;
            Some(QualifiedSubject { context: Context::named(&context), ..named }.to_string())
        }
        Role::Context => site.here(text),
        Role::Namespace => {
            let here = site.here(&format!(".{text}"));
            Some(here.map_or_else(|| text.to_owned(), |context| context[1..].to_owned()))
        }
        Role::Beside => {
            let named = QualifiedSubject::parse_in(text, parent);
            let context = site.here(named.context.as_str());
            Some(context.map_or_else(|| "foreign".to_owned(), |context| format!("{context} {}", named.subject)))
        }
        Role::Message => {
            let (start, end) = (text.find('\'')? + 1, text.rfind('\'')?);
            let named = QualifiedSubject::parse(&text[start..end]);
            let context = site.here(named.context.as_str()).filter(|_| text[start..].starts_with(":."));
            let own = context.map(|context| QualifiedSubject { context: Context::named(&context), ..named });
            Some(own.map_or_else(|| text.to_owned(), |own| format!("{}{own}{}", &text[..start], &text[end..])))
        }
    }
}

/// What a name that we are shown means.
pub(super) fn in_our_eyes(role: Role, text: &str, parent: &Context) -> Option<String> {
    match role {
        Role::Beside => {
            let named = QualifiedSubject::parse_in(text, parent);
            Some(format!("{} {}", named.context, named.subject))
        }
        _ => Some(text.to_owned()),
    }
}
