//! Bodies, piece by piece: which of their texts are names, and of what kind, is known because they were put there.

use super::chance::Chance;
use super::requests::{context, name, subject};
use super::sites::Site;
use crate::protocol::endpoints::Route;
use crate::protocol::operation::Operation;
use crate::protocol::subject::QualifiedSubject;

/// What a text in a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Subject,
    /// Lies beside the subject of the request, or beside the one that was named last.
    Beside,
    Context,
    Namespace,
    Message,
}

/// A piece of a body.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    /// Bytes that are nobody's name.
    Fixed(String),
    /// A name: what it is, its text, and how it is spelt.
    Name(Role, String, String),
    /// What is between is one item of a list.
    ItemBegins,
    ItemEnds,
}

/// A body.
#[derive(Clone, Debug, Default)]
pub(super) struct Written(pub(super) Vec<Piece>);

impl Written {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in &self.0 {
            if let Piece::Fixed(text) | Piece::Name(_, _, text) = piece {
                out.extend_from_slice(text.as_bytes());
            }
        }
        out
    }

    pub(super) fn has_items(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::ItemBegins))
    }
}

/// A JSON value to be written: names at their places, and anything elsewhere.
pub(super) enum Model {
    Name(Role),
    Anything,
    Object(Vec<(&'static str, Model)>),
    List(Box<Model>),
    /// A list of which an item goes with its name.
    Items(Box<Model>),
}

use Model::{Anything, Items, List, Name, Object};

fn references() -> Model {
    List(Box::new(Object(vec![("name", Anything), ("subject", Name(Role::Beside)), ("version", Anything)])))
}

fn schema() -> Vec<(&'static str, Model)> {
    vec![("schema", Anything), ("references", references()), ("metadata", Object(vec![("subject", Anything)]))]
}

fn version() -> Vec<(&'static str, Model)> {
    let mut members = vec![("subject", Name(Role::Subject))];
    members.extend(schema());
    members
}

fn config() -> Model {
    Object(vec![("alias", Name(Role::Beside)), ("aliasForDeks", Name(Role::Beside)), ("compatibilityGroup", Anything)])
}

fn associated(is_sent: bool) -> Vec<(&'static str, Model)> {
    let schema = if is_sent { Object(schema()) } else { Object(version()) };
    let association = Object(vec![("subject", Name(Role::Subject)), ("schema", schema), ("guid", Anything)]);
    vec![
        ("resourceName", Anything),
        ("resourceNamespace", Name(Role::Namespace)),
        ("resourceId", Anything),
        ("associations", List(Box::new(association))),
    ]
}

/// What is sent to a route, as WIRE.md § 1 has it.
pub(super) fn sent(route: Route) -> Model {
    use Route as R;
    match route {
        R::Lookup | R::Register | R::TestCompatibility | R::TestCompatibilityAll => Object(schema()),
        R::UpdateGlobalConfig | R::UpdateSubjectConfig => config(),
        R::CreateAssociation | R::UpdateAssociation => Object(associated(true)),
        R::BatchMutateAssociations => Object(vec![("requests", List(Box::new(Object(associated(true)))))]),
        R::BatchGetAssociations => Object(vec![(
            "requests",
            List(Box::new(Object(vec![("resourceNamespace", Name(Role::Namespace)), ("subject", Anything)]))),
        )]),
        R::DekWrite => Object(vec![("subject", Name(Role::Subject)), ("encryptedKeyMaterial", Anything)]),
        _ => Anything,
    }
}

/// What a route answers.
pub(super) fn answered(operation: &Operation) -> Model {
    use Route as R;
    let associations = || {
        Items(Box::new(Object(vec![("subject", Name(Role::Subject)), ("resourceNamespace", Name(Role::Namespace))])))
    };
    match operation.route {
        R::Lookup | R::Register | R::Version | R::LatestWithMetadata | R::ModifyTags => Object(version()),
        R::SchemaById | R::SchemaByGuid => Object(version()),
        R::Schemas => {
            let mut item = version();
            item.push(("aliases", Items(Box::new(Name(Role::Subject)))));
            item.push(("associations", associations()));
            Items(Box::new(Object(item)))
        }
        R::Subjects | R::SubjectsById => Items(Box::new(Name(Role::Subject))),
        R::VersionsById => Items(Box::new(Object(vec![("subject", Name(Role::Subject)), ("version", Anything)]))),
        R::IdsByGuid => Items(Box::new(Object(vec![("context", Name(Role::Context)), ("id", Anything)]))),
        R::Contexts => Items(Box::new(Name(Role::Context))),
        R::GlobalConfig | R::UpdateGlobalConfig | R::DeleteGlobalConfig => config(),
        R::SubjectConfig | R::UpdateSubjectConfig | R::DeleteSubjectConfig => config(),
        R::AssociationsBySubject | R::AssociationsByResource | R::AssociationsByName => associations(),
        R::DekRead if operation.path.ends_with("/deks") => Items(Box::new(Name(Role::Subject))),
        R::DekRead if operation.path.ends_with("/keks") => List(Box::new(Anything)),
        R::DekRead | R::DekWrite => Object(vec![("subject", Name(Role::Subject)), ("kekName", Anything)]),
        R::TestCompatibility | R::TestCompatibilityAll => {
            Object(vec![("is_compatible", Anything), ("messages", List(Box::new(Name(Role::Message))))])
        }
        _ => Anything,
    }
}

/// Writes bodies.
pub(super) struct Writer<'a> {
    pub(super) chance: &'a mut Chance,
    pub(super) site: &'a Site,
    /// Whether a registry writes: in its own order, with subjects as registries print them.
    pub(super) is_registry: bool,
    out: Vec<Piece>,
}

impl<'a> Writer<'a> {
    pub(super) fn write(chance: &'a mut Chance, site: &'a Site, is_registry: bool, model: &Model) -> Written {
        let mut writer = Writer { chance, site, is_registry, out: Vec::new() };
        writer.blanks();
        writer.value(model);
        writer.blanks();
        Written(writer.out)
    }

    fn push(&mut self, text: &str) {
        match self.out.last_mut() {
            Some(Piece::Fixed(before)) => before.push_str(text),
            _ => self.out.push(Piece::Fixed(text.to_owned())),
        }
    }

    fn blanks(&mut self) {
        if !self.is_registry && self.chance.is(20) {
            let blanks = self.chance.one(&[" ", "\n", "\t ", "\r\n"]);
            self.push(blanks);
        }
    }

    fn value(&mut self, model: &Model) {
        match model {
            Anything => self.anything(2),
            Name(_) if !self.is_registry && self.chance.is(3) => self.push("null"),
            Name(role) => self.name(*role),
            Object(members) => self.object(members),
            List(item) | Items(item) => {
                let goes = matches!(model, Items(_));
                self.push("[");
                for index in 0..self.chance.below(4) {
                    if index > 0 {
                        self.push(",");
                    }
                    self.blanks();
                    if goes {
                        self.out.push(Piece::ItemBegins);
                    }
                    self.value(item);
                    if goes {
                        self.out.push(Piece::ItemEnds);
                    }
                    self.blanks();
                }
                self.push("]");
            }
        }
    }

    fn object(&mut self, members: &[(&'static str, Model)]) {
        let shift = if self.is_registry { 0 } else { self.chance.below(members.len()) };
        self.push("{");
        let mut is_first = true;
        for index in 0..members.len() {
            let (name, model) = &members[(index + shift) % members.len()];
            // A registry's list is of items that all have names.
            if self.chance.is(10) && !(self.is_registry && matches!(model, Name(_))) {
                continue;
            }
            for _ in 0..=usize::from(!self.is_registry && self.chance.is(3)) {
                if !std::mem::take(&mut is_first) {
                    self.push(",");
                }
                self.blanks();
                let key = self.spelt(name);
                self.push(&key);
                self.blanks();
                self.push(":");
                self.blanks();
                self.value(model);
                self.blanks();
            }
        }
        if self.chance.is(15) {
            self.push(if is_first { "\"odd\":" } else { ",\"odd\":" });
            self.anything(2);
        }
        self.push("}");
    }

    fn anything(&mut self, depth: usize) {
        match self.chance.below(if depth == 0 { 6 } else { 8 }) {
            0 => self.push("1.50"),
            1 => self.push("true"),
            2 => self.push("123456789012345678901234567890"),
            3..6 => {
                // It looks like a name and is none.
                let text = subject(self.chance, self.site);
                let text = self.spelt(&text);
                self.push(&text);
            }
            6 => {
                self.push("[");
                self.anything(depth - 1);
                self.push("]");
            }
            _ => {
                let key = self.chance.one(&["{\"subject\":", "{\"references\":", "{\"alias\":"]);
                self.push(key);
                self.anything(depth - 1);
                self.push("}");
            }
        }
    }

    fn name(&mut self, role: Role) {
        let (chance, site) = (&mut *self.chance, self.site);
        let text = match role {
            Role::Subject if self.is_registry => {
                let context = context(chance, site);
                let name = name(chance);
                // What looks qualified and is not, no reader of an answer can tell.
                let name = if name.starts_with(':') { format!("n{name}") } else { name };
                if context == "." { name } else { format!(":{context}:{name}") }
            }
            Role::Beside if self.is_registry => {
                // What is ours refers to nothing else.
                let written = subject(chance, site);
                let context = QualifiedSubject::parse(&written).context;
                // From a named context nothing leads into the default one, and is never sent as if it did.
                let is_misread = context.is_default() && written.starts_with(":.");
                let is_ours = context.is_default() || site.here(context.as_str()).is_some_and(|here| here != ".");
                if is_ours && !is_misread { written } else { "s".to_owned() }
            }
            Role::Subject | Role::Beside => subject(chance, site),
            Role::Context => context(chance, site),
            Role::Namespace if chance.is(20) => (chance.one(&["", "-"])).to_owned(),
            Role::Namespace => context(chance, site).trim_start_matches('.').to_owned(),
            Role::Message => {
                let context = (chance.one(site.contexts)).to_owned();
                format!("Subject ':{context}:orders-{}' not found.", chance.below(9))
            }
        };
        let spelt = self.spelt(&text);
        self.out.push(Piece::Name(role, text, spelt));
    }

    /// A text as it may stand in JSON.
    fn spelt(&mut self, text: &str) -> String {
        let eagerness = if self.is_registry { 0 } else { self.chance.one(&[0, 0, 0, 20]) };
        let mut out = String::from("\"");
        for letter in text.chars() {
            match letter {
                '"' | '\\' => out.extend(['\\', letter]),
                '/' if self.chance.is(eagerness) => out.push_str("\\/"),
                _ if self.chance.is(eagerness) || letter.is_control() => {
                    let mut units = [0; 2];
                    for unit in letter.encode_utf16(&mut units) {
                        out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                _ => out.push(letter),
            }
        }
        out.push('"');
        out
    }
}
