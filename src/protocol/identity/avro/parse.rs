//! Reads an Avro schema, and refuses what Avro refuses.

use super::defaults;
use super::{Enum, Field, Fixed, Kind, Known, Name, Properties, Record, Refused, Schema};
use crate::protocol::identity::tree::{Duplicates, Fractions, Tree, is_blank};

const PRIMITIVES: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];
const COMPLEX: [&str; 7] = ["record", "error", "enum", "array", "map", "fixed", "union"];

/// Avro refuses sizes near the end of an int, where exactly is a setting of the JVM's.
const LARGEST_FIXED: u32 = 1 << 30;

/// Keys that are never custom properties, whatever the type.
const RESERVED: [&str; 10] =
    ["doc", "fields", "items", "name", "namespace", "size", "symbols", "values", "type", "aliases"];
const RESERVED_IN_FIELDS: [&str; 6] = ["default", "doc", "name", "order", "type", "aliases"];

/// Reads a schema. Names that it defines are added to the known ones.
pub fn parse(text: &str, known: &mut Known) -> Result<Schema, Refused> {
    let (tree, rest) = Tree::read(text, Duplicates::Refuse).ok_or(Refused::NotJson)?;
    if !is_blank(rest) {
        return Err(Refused::Unsure);
    }
    let unresolved = |refused| match refused {
        Refused::Undefined(_) if matches!(tree, Tree::Text(_)) || tree.get("fields").is_none() => Refused::Unresolved,
        other => other,
    };
    Parser { known }.schema(&tree, None).map_err(unresolved)
}

struct Parser<'a> {
    known: &'a mut Known,
}

impl Parser<'_> {
    fn schema(&mut self, tree: &Tree, space: Option<&str>) -> Result<Schema, Refused> {
        match tree {
            Tree::Text(name) => self.by_name(name, space),
            Tree::Array(branches) => self.union(tree, branches, space),
            Tree::Object(members) => self.object(tree, members, space),
            Tree::Null | Tree::Bool(_) | Tree::Number(_) => Err(Refused::NotSupported(printed(tree))),
        }
    }

    fn by_name(&self, text: &str, space: Option<&str>) -> Result<Schema, Refused> {
        if let Some(primitive) = PRIMITIVES.into_iter().find(|name| *name == text) {
            return Ok(bare(Kind::Primitive(primitive)));
        }
        let name = split(text, space)?;
        if self.known.has(&name.full()) {
            return Ok(bare(Kind::Named(name)));
        }
        // Avro also tries the null namespace, and waits for definitions that come later.
        if self.known.has(text) { Err(Refused::Unsure) } else { Err(Refused::Undefined(name.full())) }
    }

    fn union(&mut self, tree: &Tree, branches: &[Tree], space: Option<&str>) -> Result<Schema, Refused> {
        let mut schemas: Vec<Schema> = Vec::with_capacity(branches.len());
        let mut seen = Vec::new();
        for branch in branches {
            let schema = self.schema(branch, space)?;
            let name = match &schema.kind {
                Kind::Union(_) => return Err(Refused::NestedUnion(printed(tree))),
                Kind::Primitive(name) => (*name).to_owned(),
                Kind::Array(_) => "array".to_owned(),
                Kind::Map(_) => "map".to_owned(),
                Kind::Named(name) => name.full(),
                Kind::Record(record) => record.name.full(),
                Kind::Enum(choice) => choice.name.full(),
                Kind::Fixed(fixed) => fixed.name.full(),
            };
            if seen.contains(&name) {
                return Err(Refused::DuplicateBranch(name));
            }
            seen.push(name);
            schemas.push(schema);
        }
        Ok(bare(Kind::Union(schemas)))
    }

    fn object(&mut self, tree: &Tree, members: &[(String, Tree)], space: Option<&str>) -> Result<Schema, Refused> {
        let kind = match tree.get("type") {
            Some(Tree::Text(kind)) => kind.as_str(),
            // Avro of 1.12 looks into a nested type in places; nobody should rely on where.
            Some(_) => return Err(Refused::Unsure),
            None => return Err(Refused::NoType(printed(tree))),
        };
        let mut reserved = RESERVED.to_vec();
        if kind == "enum" {
            reserved.push("default");
        }
        let properties = custom(members, &reserved)?;
        let kind = match kind {
            "record" | "error" => Kind::Record(self.record(tree, kind == "error", space)?),
            "enum" => Kind::Enum(self.choice(tree, space)?),
            "fixed" => Kind::Fixed(self.fixed(tree, space)?),
            "array" => Kind::Array(Box::new(self.schema(tree.get("items").ok_or(Refused::Unsure)?, space)?)),
            "map" => Kind::Map(Box::new(self.schema(tree.get("values").ok_or(Refused::Unsure)?, space)?)),
            name => match self.by_name(name, space)?.kind {
                Kind::Primitive(primitive) => Kind::Primitive(primitive),
                _ => return Err(Refused::Unsure),
            },
        };
        Ok(Schema { kind, properties })
    }

    fn record(&mut self, tree: &Tree, error: bool, space: Option<&str>) -> Result<Record, Refused> {
        let name = self.define(tree, space)?;
        // Releases of Avro differ in which namespace the types inside such a record lie in.
        if name.space.is_none() && space.is_some() {
            return Err(Refused::Unsure);
        }
        let doc = text(tree, "doc")?;
        let Some(Tree::Array(trees)) = tree.get("fields") else { return Err(Refused::Unsure) };
        let mut fields: Vec<Field> = Vec::with_capacity(trees.len());
        for (at, tree) in trees.iter().enumerate() {
            let field = self.field(tree, name.space.as_deref())?;
            if let Some(before) = fields.iter().position(|earlier| earlier.name == field.name) {
                let (later, earlier) = (field.schema.kind.type_name(), fields[before].schema.kind.type_name());
                return Err(Refused::DuplicateField {
                    name: field.name,
                    record: name.full(),
                    later,
                    at,
                    earlier,
                    before,
                });
            }
            fields.push(field);
        }
        let aliases = aliases(tree, &name)?;
        Ok(Record { name, error, doc, fields, aliases })
    }

    fn field(&mut self, tree: &Tree, space: Option<&str>) -> Result<Field, Refused> {
        let Tree::Object(members) = tree else { return Err(Refused::Unsure) };
        let name = text(tree, "name")?.ok_or(Refused::Unsure)?;
        checked(&name)?;
        let schema = self.schema(tree.get("type").ok_or(Refused::Unsure)?, space)?;
        let default = tree.get("default").cloned();
        if let Some(default) = &default {
            defaults::check(&name, &schema, default)?;
        }
        let order = match text(tree, "order")?.map(|order| order.to_ascii_lowercase()).as_deref() {
            None | Some("ascending") => None,
            Some("descending") => Some("descending"),
            Some("ignore") => Some("ignore"),
            Some(_) => return Err(Refused::Unsure),
        };
        let mut aliases: Vec<String> = Vec::new();
        for alias in texts(tree, "aliases")?.unwrap_or_default() {
            // Java keeps them in a set that remembers their order.
            if !aliases.contains(&alias) {
                aliases.push(alias);
            }
        }
        let properties = custom(members, &RESERVED_IN_FIELDS)?;
        Ok(Field { name, schema, doc: text(tree, "doc")?, default, order, aliases, properties })
    }

    fn choice(&mut self, tree: &Tree, space: Option<&str>) -> Result<Enum, Refused> {
        let name = self.define(tree, space)?;
        let symbols = texts(tree, "symbols")?.ok_or(Refused::Unsure)?;
        for (index, symbol) in symbols.iter().enumerate() {
            checked(symbol)?;
            if symbols[..index].contains(symbol) {
                return Err(Refused::DuplicateSymbol(symbol.clone()));
            }
        }
        let default = text(tree, "default")?;
        if default.as_ref().is_some_and(|default| !symbols.contains(default)) {
            return Err(Refused::Unsure);
        }
        let aliases = aliases(tree, &name)?;
        Ok(Enum { doc: text(tree, "doc")?, symbols, default, aliases, name })
    }

    fn fixed(&mut self, tree: &Tree, space: Option<&str>) -> Result<Fixed, Refused> {
        let name = self.define(tree, space)?;
        let size = match tree.get("size") {
            Some(Tree::Number(raw)) => raw.parse().ok().filter(|size| *size <= LARGEST_FIXED),
            _ => None,
        };
        let aliases = aliases(tree, &name)?;
        Ok(Fixed { doc: text(tree, "doc")?, size: size.ok_or(Refused::Unsure)?, aliases, name })
    }

    fn define(&mut self, tree: &Tree, space: Option<&str>) -> Result<Name, Refused> {
        let written = text(tree, "name")?.ok_or_else(|| Refused::NoName(printed(tree)))?;
        let own = text(tree, "namespace")?;
        // At the top an empty namespace says nothing; whether it stays has not been seen.
        if own.as_deref() == Some("") && space.is_none() {
            return Err(Refused::Unsure);
        }
        let name = split(&written, own.as_deref().or(space))?;
        checked(&name.name)?;
        if PRIMITIVES.contains(&&*name.name) || COMPLEX.contains(&&*name.name) {
            return Err(Refused::Unsure);
        }
        let full = name.full();
        if self.known.add(full.clone()) { Ok(name) } else { Err(Refused::Redefined(full)) }
    }
}

fn bare(kind: Kind) -> Schema {
    Schema { kind, properties: Vec::new() }
}

/// A tree as Jackson prints it, for messages.
pub(super) fn printed(tree: &Tree) -> String {
    let mut out = String::new();
    match tree.print(&mut out, Fractions::Double) {
        Some(()) => out,
        None => "?".to_owned(),
    }
}

/// Splits a name at its last dot; without one it lies in `space`.
fn split(text: &str, space: Option<&str>) -> Result<Name, Refused> {
    let (space, name) = text.rsplit_once('.').map_or((space, text), |(space, name)| (Some(space), name));
    let space = space.filter(|space| !space.is_empty());
    if name.is_empty() || text.starts_with('.') || space.is_some_and(|space| space.split('.').any(str::is_empty)) {
        return Err(Refused::Unsure);
    }
    Ok(Name { space: space.map(str::to_owned), name: name.to_owned() })
}

/// Letters, digits and underscores. Java knows more letters than Rust does, and fewer; those are left alone.
fn checked(name: &str) -> Result<(), Refused> {
    if !name.is_ascii() || name.is_empty() {
        return Err(Refused::Unsure);
    }
    if !name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
        return Err(Refused::IllegalInitial(name.to_owned()));
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(Refused::IllegalCharacter(name.to_owned()));
    }
    Ok(())
}

fn text(tree: &Tree, key: &str) -> Result<Option<String>, Refused> {
    match tree.get(key) {
        None => Ok(None),
        Some(Tree::Text(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Refused::Unsure),
    }
}

/// A list of texts.
fn texts(tree: &Tree, key: &str) -> Result<Option<Vec<String>>, Refused> {
    let items = match tree.get(key) {
        None => return Ok(None),
        Some(Tree::Array(items)) => items,
        Some(_) => return Err(Refused::Unsure),
    };
    let texts: Option<Vec<String>> = items.iter().map(|item| item.as_text().map(str::to_owned)).collect();
    texts.map(Some).ok_or(Refused::Unsure)
}

fn aliases(tree: &Tree, name: &Name) -> Result<Vec<Name>, Refused> {
    let mut aliases = Vec::new();
    for alias in texts(tree, "aliases")?.unwrap_or_default() {
        let alias = split(&alias, name.space.as_deref())?;
        checked(&alias.name)?;
        if aliases.contains(&alias) {
            return Err(Refused::Unsure);
        }
        aliases.push(alias);
    }
    Ok(aliases)
}

fn custom(members: &[(String, Tree)], reserved: &[&str]) -> Result<Properties, Refused> {
    let custom = members.iter().filter(|(key, _)| !reserved.contains(&key.as_str()));
    // Releases of Avro differ in what they do about a `null`, and about a whole number that no long holds.
    let is_odd = |value: &Tree| *value == Tree::Null || !value.is_within_long();
    custom
        .map(|(key, value)| if is_odd(value) { Err(Refused::Unsure) } else { Ok((key.clone(), value.clone())) })
        .collect()
}
