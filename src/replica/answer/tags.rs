//! `findTags`: the tags that stand inside a schema's own text (WIRE.md § 1.5, § 1.11).

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::protocol::identity::avro::{self, Kind, Known, Properties, Schema};
use crate::protocol::identity::tree::Tree;
use crate::protocol::json::{Object, push_array, push_string};
use crate::protocol::schema::{SchemaType, Version};

/// The member of a text that holds tags.
const TAGS: &str = "confluent:tags";

/// A place in a schema, with all its tags.
struct Place {
    path: String,
    kind: &'static str,
    tags: Vec<String>,
}

/// The version with the tags that are asked for, each place with all it has; unchanged where there are
/// none. `None` where only the registry can tell: its readers of JSON schemas and of Protobuf options
/// have an order and a taste of their own, and a text may be tagged through what it refers to.
pub(super) fn tagged(version: &Version, behind: &[Arc<Version>], wanted: &[&str]) -> Option<Version> {
    let texts = || behind.iter().map(|other| &*other.text).chain([&*version.text]);
    let places = match version.schema_type {
        SchemaType::Avro | SchemaType::Json if !texts().any(|text| text.contains(TAGS)) => Vec::new(),
        SchemaType::Avro if behind.is_empty() => {
            let mut places = Vec::new();
            walk(&avro::parse(&version.text, &mut Known::nothing()).ok()?, &mut places)?;
            places
        }
        SchemaType::Protobuf if !has_options(&version.text) => Vec::new(),
        _ => return None,
    };
    let is_wanted =
        |place: &Place| place.tags.iter().any(|tag| wanted.contains(&"*") || wanted.contains(&tag.as_str()));
    let found: Vec<Place> = places.into_iter().filter(is_wanted).collect();
    let schema_tags = if found.is_empty() { None } else { Some(printed(found)?) };
    Some(Version { schema_tags, ..version.clone() })
}

/// Whether a text of Protobuf's can have options: they stand in brackets, or behind their word.
fn has_options(text: &str) -> bool {
    text.contains('[') || text.contains("option")
}

/// Records and their fields in the order of the text, as far as they have tags.
fn walk(schema: &Schema, places: &mut Vec<Place>) -> Option<()> {
    match &schema.kind {
        Kind::Array(inner) | Kind::Map(inner) => walk(inner, places),
        Kind::Union(branches) => branches.iter().try_for_each(|branch| walk(branch, places)),
        Kind::Record(record) => {
            let full = record.name.full();
            places.push(Place { path: full.clone(), kind: "sr_record", tags: own(&schema.properties)? });
            record.fields.iter().try_for_each(|field| {
                let path = format!("{full}.{}", field.name);
                places.push(Place { path, kind: "sr_field", tags: own(&field.properties)? });
                walk(&field.schema, places)
            })
        }
        Kind::Primitive(_) | Kind::Named(_) | Kind::Enum(_) | Kind::Fixed(_) => Some(()),
    }
}

/// A place's tags, each once; `None` where one is no text.
fn own(properties: &Properties) -> Option<Vec<String>> {
    let mut tags: Vec<String> = Vec::new();
    if let Some((_, Tree::Array(items))) = properties.iter().find(|(key, _)| key == TAGS) {
        for item in items {
            let tag = item.as_text()?;
            if !tags.iter().any(|known| known == tag) {
                tags.push(tag.to_owned());
            }
        }
    }
    Some(tags)
}

fn printed(places: Vec<Place>) -> Option<Arc<RawValue>> {
    let mut out = Vec::new();
    push_array(&mut out, places, |out, place| {
        let mut object = Object::open(out);
        let mut entity = Object::open(object.key("schemaEntity"));
        entity.text("entityPath", Some(&place.path)).text("entityType", Some(place.kind));
        entity.close();
        push_array(object.key("tags"), place.tags, |out, tag| push_string(out, &tag));
        object.close();
    });
    RawValue::from_string(String::from_utf8(out).ok()?).ok().map(Arc::from)
}
