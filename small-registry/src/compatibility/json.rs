//! JSON schemas compared: types, limits, and the properties of objects. Combinations (`oneOf` and the like),
//! references and items beyond the first are compared by their text alone, and count as compatible when in doubt.

use schema_outpost::protocol::identity::tree::{Duplicates, Tree};
use schema_outpost::protocol::order;

use super::Detail;
use crate::model::Content;

pub(super) fn compare(reader: &Content, writer: &Content) -> Vec<Detail> {
    let tree = |content: &Content| Tree::read(&content.text, Duplicates::LastWins).map(|(tree, _)| tree);
    let (Some(reader), Some(writer)) = (tree(reader), tree(writer)) else { return Vec::new() };
    let mut comparison = Comparison { details: Vec::new() };
    comparison.schemas(&reader, &writer, "#/");
    comparison.details
}

struct Comparison {
    details: Vec<Detail>,
}

/// Keywords that limit a value, with the error for a limit that is new; the third says which way a change of the
/// limit narrows.
const LIMITS: [(&str, &str, Narrows); 10] = [
    ("maxLength", "MAX_LENGTH", Narrows::Decreased),
    ("minLength", "MIN_LENGTH", Narrows::Increased),
    ("maximum", "MAXIMUM", Narrows::Decreased),
    ("minimum", "MINIMUM", Narrows::Increased),
    ("exclusiveMaximum", "EXCLUSIVE_MAXIMUM", Narrows::Decreased),
    ("exclusiveMinimum", "EXCLUSIVE_MINIMUM", Narrows::Increased),
    ("maxItems", "MAX_ITEMS", Narrows::Decreased),
    ("minItems", "MIN_ITEMS", Narrows::Increased),
    ("maxProperties", "MAX_PROPERTIES", Narrows::Decreased),
    ("minProperties", "MIN_PROPERTIES", Narrows::Increased),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Narrows {
    Increased,
    Decreased,
}

impl Comparison {
    fn report(&mut self, kind: &str, description: &str) {
        // Quoted like this, unbalanced, by the registry itself.
        self.details.push(Detail { text: format!("{{errorType:\"{kind}\", description:\"{description}'}}") });
    }

    fn keyword(&mut self, kind: &str, path: &str) {
        let description =
            format!("The keyword at path '{path}' in the {{reader}} schema is not present in the {{writer}} schema");
        self.report(kind, &description);
    }

    fn type_changed(&mut self, path: &str) {
        let description =
            format!("A type at path '{path}' is different between the {{reader}} schema and the {{writer}} schema");
        self.report("TYPE_CHANGED", &description);
    }

    /// `reader` must take all that `writer` took.
    fn schemas(&mut self, reader: &Tree, writer: &Tree, path: &str) {
        let accepts_all = |tree: &Tree| matches!(tree, Tree::Bool(true)) || *tree == Tree::Object(Vec::new());
        if reader == writer || accepts_all(reader) || *writer == Tree::Bool(false) {
            return;
        }
        if accepts_all(writer) || *reader == Tree::Bool(false) {
            return self.type_changed(path);
        }
        let (read, written) = (types(reader), types(writer));
        let taken = |kind: &&str| read.contains(kind) || (*kind == "integer" && read.contains(&"number"));
        if !read.is_empty() && !written.iter().all(taken) {
            return self.type_changed(path);
        }
        self.limits(reader, writer, path);
        self.properties(reader, writer, path);
        if let (Some(read), Some(written)) = (reader.get("items"), writer.get("items")) {
            self.schemas(read, written, &join(path, "items"));
        }
    }

    fn limits(&mut self, reader: &Tree, writer: &Tree, path: &str) {
        for (keyword, kind, narrows) in LIMITS {
            let path = join(path, keyword);
            match (number(reader, keyword), number(writer, keyword)) {
                (Some(_), None) => self.keyword(&format!("{kind}_ADDED"), &path),
                (Some(read), Some(written)) if read > written && narrows == Narrows::Increased => {
                    self.keyword(&format!("{kind}_INCREASED"), &path);
                }
                (Some(read), Some(written)) if read < written && narrows == Narrows::Decreased => {
                    self.keyword(&format!("{kind}_DECREASED"), &path);
                }
                _ => {}
            }
        }
    }

    fn properties(&mut self, reader: &Tree, writer: &Tree, path: &str) {
        if is_open(writer) && !is_open(reader) {
            self.keyword("ADDITIONAL_PROPERTIES_REMOVED", &join(path, "additionalProperties"));
        }
        let (required, was_required) = (texts(reader, "required"), texts(writer, "required"));
        for name in required.iter().filter(|name| !was_required.contains(name)) {
            let has_default = property(reader, name).is_some_and(|property| property.get("default").is_some());
            if property(writer, name).is_some() && !has_default {
                self.keyword("REQUIRED_ATTRIBUTE_ADDED", &join(path, &format!("required/{name}")));
            }
        }
        let names = names(reader).into_iter().chain(names(writer));
        for name in order::map_order(names) {
            let path = join(path, &format!("properties/{name}"));
            match (property(reader, name), property(writer, name)) {
                (Some(read), Some(written)) => self.schemas(read, written, &path),
                (None, Some(_)) if !is_open(reader) => {
                    let description = format!(
                        "The {{reader}} has a closed content model and is missing a property or item present at path '{path}' in the {{writer}} schema"
                    );
                    self.report("PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL", &description);
                }
                (Some(added), None) => self.added(added, required.contains(&name), is_open(writer), &path),
                _ => {}
            }
        }
    }

    fn added(&mut self, property: &Tree, is_required: bool, was_open: bool, path: &str) {
        let has_default = property.get("default").is_some();
        let kind = match (is_required, has_default) {
            (true, false) => "REQUIRED_PROPERTY",
            (true, true) => "REQUIRED_PROPERTY_WITH_DEFAULT",
            (false, _) => "OPTIONAL_PROPERTY",
        };
        if was_open && *property != Tree::Bool(true) && *property != Tree::Object(Vec::new()) {
            let description = format!(
                "The {{reader}} schema has an open content model and has a property or item at path '{path}' which is missing in the {{writer}} schema"
            );
            self.report(&format!("{kind}_ADDED_TO_OPEN_CONTENT_MODEL"), &description);
        } else if !was_open && is_required && !has_default {
            let description = format!(
                "The {{reader}} schema has an unopen content model and has a required property or item at path '{path}' which is missing in the {{writer}} schema"
            );
            self.report("REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL", &description);
        }
    }
}

fn types(tree: &Tree) -> Vec<&str> {
    match tree.get("type") {
        Some(Tree::Text(kind)) => vec![kind],
        Some(Tree::Array(kinds)) => kinds.iter().filter_map(Tree::as_text).collect(),
        _ => Vec::new(),
    }
}

fn number(tree: &Tree, keyword: &str) -> Option<f64> {
    match tree.get(keyword) {
        Some(Tree::Number(raw)) => raw.parse().ok(),
        _ => None,
    }
}

fn texts<'a>(tree: &'a Tree, keyword: &str) -> Vec<&'a str> {
    match tree.get(keyword) {
        Some(Tree::Array(items)) => items.iter().filter_map(Tree::as_text).collect(),
        _ => Vec::new(),
    }
}

fn names(tree: &Tree) -> Vec<&str> {
    match tree.get("properties") {
        Some(Tree::Object(members)) => members.iter().map(|(name, _)| name.as_str()).collect(),
        _ => Vec::new(),
    }
}

fn property<'a>(tree: &'a Tree, name: &str) -> Option<&'a Tree> {
    tree.get("properties")?.get(name)
}

fn is_open(tree: &Tree) -> bool {
    !matches!(tree.get("additionalProperties"), Some(Tree::Bool(false) | Tree::Object(_)))
}

fn join(path: &str, part: &str) -> String {
    format!("{}/{part}", path.trim_end_matches('/'))
}
