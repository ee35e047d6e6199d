//! Avro schemas compared as Avro's `SchemaCompatibility` does: can this one read what that one wrote.

use schema_outpost::protocol::identity::avro::{Enum, Field, Kind, Name, Record, Schema};
use schema_outpost::protocol::subject::QualifiedSubject;

use super::Detail;
use crate::model::Content;
use crate::schema;
use crate::schema::avro::Definitions;
use crate::state::{Filter, State};

pub(super) fn compare(state: &State, subject: &QualifiedSubject, reader: &Content, writer: &Content) -> Vec<Detail> {
    let (Some(reader), Some(writer)) = (side(state, subject, reader), side(state, subject, writer)) else {
        return Vec::new();
    };
    let mut comparison = Comparison { reader: &reader.0, writer: &writer.0, details: Vec::new(), seen: Vec::new() };
    comparison.compare(&reader.1, &writer.1, "/");
    comparison.details
}

fn side(state: &State, subject: &QualifiedSubject, content: &Content) -> Option<(Definitions, Schema)> {
    let references = schema::dependencies(state, subject, &content.references, Filter::All).ok()?;
    let mut definitions = Definitions::of(&references).ok()?;
    let schema = definitions.read(&content.text).ok()?;
    Some((definitions, schema))
}

struct Comparison<'a> {
    reader: &'a Definitions,
    writer: &'a Definitions,
    details: Vec<Detail>,
    seen: Vec<(String, String)>,
}

fn follow<'s>(definitions: &'s Definitions, schema: &'s Schema) -> &'s Schema {
    match &schema.kind {
        Kind::Named(name) => definitions.get(&name.full()).unwrap_or(schema),
        _ => schema,
    }
}

impl Comparison<'_> {
    fn report(&mut self, kind: &str, description: String, info: &str) {
        let text = format!("{{errorType:'{kind}', description:'{description}', additionalInfo:'{info}'}}");
        self.details.push(Detail { text });
    }

    fn compare(&mut self, reader: &Schema, writer: &Schema, path: &str) {
        let (definitions, written) = (self.reader, self.writer);
        let (reader, writer) = (follow(definitions, reader), follow(written, writer));
        match (&reader.kind, &writer.kind) {
            (Kind::Union(_), Kind::Union(branches)) => {
                for (index, branch) in branches.iter().enumerate() {
                    self.branch_into(reader, branch, &format!("{}/{index}", path.trim_end_matches('/')));
                }
            }
            (_, Kind::Union(branches)) => {
                for branch in branches {
                    self.compare(reader, branch, path);
                }
            }
            (Kind::Union(_), _) => self.branch_into(reader, writer, path),
            (Kind::Record(new), Kind::Record(old)) => self.records(new, old, path),
            (Kind::Enum(new), Kind::Enum(old)) => self.enums(new, old, path),
            (Kind::Fixed(new), Kind::Fixed(old)) => {
                self.names((&new.name, &new.aliases), &old.name, path);
                if new.size != old.size {
                    let description = format!(
                        "The size of FIXED type field at path '{}' in the {{reader}} schema does not match with the {{writer}} schema",
                        join(path, "size")
                    );
                    self.report(
                        "FIXED_SIZE_MISMATCH",
                        description,
                        &format!("expected: {}, found: {}", old.size, new.size),
                    );
                }
            }
            (Kind::Array(new), Kind::Array(old)) => self.compare(new, old, &join(path, "items")),
            (Kind::Map(new), Kind::Map(old)) => self.compare(new, old, &join(path, "values")),
            (Kind::Primitive(new), Kind::Primitive(old)) if promotes(old, new) => {}
            _ => {
                let description = format!(
                    "The type (path '{path}') of a field in the {{reader}} schema does not match with the {{writer}} schema"
                );
                let (new, old) = (reader.kind.type_name(), writer.kind.type_name());
                self.report(
                    "TYPE_MISMATCH",
                    description,
                    &format!("reader type: {new} not compatible with writer type: {old}"),
                );
            }
        }
    }

    /// One written branch must be readable as some branch of the reading union.
    fn branch_into(&mut self, reader: &Schema, written: &Schema, path: &str) {
        let Kind::Union(branches) = &reader.kind else { return };
        let fits = branches.iter().any(|branch| {
            let seen = self.seen.clone();
            let mut inner = Comparison { reader: self.reader, writer: self.writer, details: Vec::new(), seen };
            inner.compare(branch, written, path);
            inner.details.is_empty()
        });
        if !fits {
            let kind = follow(self.writer, written).kind.type_name();
            let description = format!(
                "The {{reader}} schema is missing a type inside a union field at path '{path}' in the {{writer}} schema"
            );
            self.report("MISSING_UNION_BRANCH", description, &format!("reader union lacking writer type: {kind}"));
        }
    }

    fn names(&mut self, (new, aliases): (&Name, &[Name]), old: &Name, path: &str) {
        if new.name == old.name || aliases.iter().any(|alias| alias.full() == old.full()) {
            return;
        }
        let description = format!("The name of the schema has changed (path '{}')", join(path, "name"));
        self.report("NAME_MISMATCH", description, &format!("expected: {}", old.full()));
    }

    fn records(&mut self, new: &Record, old: &Record, path: &str) {
        let pair = (new.name.full(), old.name.full());
        if self.seen.contains(&pair) {
            return;
        }
        self.seen.push(pair);
        self.names((&new.name, &new.aliases), &old.name, path);
        for (index, field) in new.fields.iter().enumerate() {
            let path = join(path, &format!("fields/{index}"));
            match written_field(field, old) {
                Some(written) => self.compare(&field.schema, &written.schema, &join(&path, "type")),
                None if field.default.is_some() => {}
                None => {
                    let name = &field.name;
                    let description = format!(
                        "The field '{name}' at path '{path}' in the {{reader}} schema has no default value and is missing in the {{writer}} schema"
                    );
                    self.report("READER_FIELD_MISSING_DEFAULT_VALUE", description, name);
                }
            }
        }
    }

    fn enums(&mut self, new: &Enum, old: &Enum, path: &str) {
        self.names((&new.name, &new.aliases), &old.name, path);
        let missing: Vec<&str> =
            old.symbols.iter().filter(|symbol| !new.symbols.contains(symbol)).map(String::as_str).collect();
        if !missing.is_empty() && new.default.is_none() {
            let description = format!(
                "The {{reader}} schema is missing enum symbols '[{}]' at path '{}' in the {{writer}} schema",
                missing.join(", "),
                join(path, "symbols")
            );
            self.report("MISSING_ENUM_SYMBOLS", description, &format!("[{}]", missing.join(", ")));
        }
    }
}

fn written_field<'a>(field: &Field, old: &'a Record) -> Option<&'a Field> {
    let by_name = |name: &String| old.fields.iter().find(|written| written.name == *name);
    by_name(&field.name).or_else(|| field.aliases.iter().find_map(by_name))
}

fn join(path: &str, part: &str) -> String {
    format!("{}/{part}", path.trim_end_matches('/'))
}

fn promotes(from: &str, to: &str) -> bool {
    from == to
        || matches!(
            (from, to),
            ("int", "long" | "float" | "double")
                | ("long", "float" | "double")
                | ("float", "double")
                | ("string", "bytes")
                | ("bytes", "string")
        )
}
