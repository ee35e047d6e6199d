//! JSON schemas: the text, and whether it is one at all.

use schema_outpost::protocol::identity::tree::{Duplicates, Fractions, Tree};

use super::{Referenced, Unreadable};

const TYPES: [&str; 7] = ["null", "boolean", "object", "array", "number", "string", "integer"];

pub(super) fn canonical(text: &str, references: &[Referenced], normalize: bool) -> Result<String, Unreadable> {
    let unparsable = || Unreadable::Parser("Invalid JSON schema".to_owned());
    let invalid = || Unreadable::Invalid("Invalid JSON".to_owned());
    let (mut tree, _) = Tree::read(text, Duplicates::LastWins).ok_or_else(unparsable)?;
    if !is_schema(&tree) || !refers_well(&tree, &tree, references) {
        return Err(invalid());
    }
    if normalize {
        tree.sort_keys();
    }
    let mut out = String::new();
    tree.print(&mut out, Fractions::Decimal).ok_or_else(invalid)?;
    Ok(out)
}

fn is_schema(tree: &Tree) -> bool {
    let known = |kind: &Tree| kind.as_text().is_some_and(|name| TYPES.contains(&name));
    match tree {
        Tree::Bool(_) => true,
        Tree::Object(_) => {
            let right_type = match tree.get("type") {
                None => true,
                Some(Tree::Array(kinds)) => kinds.iter().all(known),
                Some(kind) => known(kind),
            };
            // An older draft has a truth value here.
            let required = tree.get("required");
            right_type && matches!(required, None | Some(Tree::Array(_) | Tree::Bool(_)))
        }
        _ => false,
    }
}

/// Whether every `$ref` leads somewhere: into the schema, to its id, or to a reference.
fn refers_well(root: &Tree, tree: &Tree, references: &[Referenced]) -> bool {
    match tree {
        Tree::Object(members) => members.iter().all(|(key, value)| match (key.as_str(), value) {
            ("$ref", Tree::Text(target)) => leads_somewhere(root, target, references),
            ("enum" | "const" | "default" | "examples", _) => true,
            _ => refers_well(root, value, references),
        }),
        Tree::Array(items) => items.iter().all(|item| refers_well(root, item, references)),
        _ => true,
    }
}

fn leads_somewhere(root: &Tree, target: &str, references: &[Referenced]) -> bool {
    let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
    if file.is_empty() {
        return points_into(root, fragment);
    }
    let own = root.get("$id").or_else(|| root.get("id")).and_then(Tree::as_text);
    if own == Some(file) || file.starts_with("http://json-schema.org/") || file.starts_with("https://json-schema.org/")
    {
        return true;
    }
    let found =
        references.iter().find(|reference| reference.name == file || reference.name.ends_with(&format!("/{file}")));
    found.is_some_and(|reference| match Tree::read(&reference.text, Duplicates::LastWins) {
        Some((tree, _)) => is_schema(&tree) && points_into(&tree, fragment),
        None => false,
    })
}

fn points_into(root: &Tree, fragment: &str) -> bool {
    if !fragment.starts_with('/') {
        // Anchors are taken on trust.
        return true;
    }
    let mut tree = root;
    for part in fragment.split('/').skip(1) {
        let key = part.replace("~1", "/").replace("~0", "~");
        let next = match tree {
            Tree::Array(items) => key.parse::<usize>().ok().and_then(|index| items.get(index)),
            tree => tree.get(&key),
        };
        match next {
            Some(next) => tree = next,
            None => return false,
        }
    }
    true
}
