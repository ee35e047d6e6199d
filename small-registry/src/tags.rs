//! Inline tags: `confluent:tags` in the text, changed with a registration or on their own (WIRE.md § 1.16).

use schema_outpost::protocol::identity::avro::{self, Kind, Known, Schema};
use schema_outpost::protocol::identity::tree::{Duplicates, Fractions, Tree};
use schema_outpost::protocol::json::{Object, push_array, push_string};
use schema_outpost::protocol::schema::SchemaType;
use serde_json::Value;

use crate::body::{Expected, Members, cannot, text};
use crate::call::{Call, Reply, Wanted};
use crate::failure::{Failure, Outcome};
use crate::metadata::one_of;
use crate::model::{Content, Metadata, Stored};
use crate::print::{self, Extras};
use crate::register::{self, Registration};
use crate::schema::Sent;
use crate::state::{Filter, State};

/// Tags of one place in a schema.
#[derive(Clone, Debug)]
pub(crate) struct Tags {
    path: String,
    is_field: bool,
    tags: Vec<String>,
}

/// Tags to add and to remove.
#[derive(Clone, Debug, Default)]
pub(crate) struct TagChanges {
    add: Vec<Tags>,
    remove: Vec<Tags>,
}

impl TagChanges {
    pub(crate) fn read(members: &Members, [add, remove]: [&str; 2]) -> Outcome<Self> {
        Ok(Self { add: list(members.get(add))?, remove: list(members.get(remove))? })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty()
    }
}

fn list(value: Option<&Value>) -> Outcome<Vec<Tags>> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let Value::Array(items) = value else {
        return Err(cannot("SchemaTags>", "Object value (token `JsonToken.START_OBJECT`)"));
    };
    let one = |item: &Value| {
        let entity = item.get("schemaEntity").ok_or_else(Failure::internal)?;
        let path = entity.get("entityPath").map_or(Ok(String::new()), text)?;
        let kind = entity.get("entityType").unwrap_or(&Value::Null);
        let kind = one_of("EntityType", &["sr_record", "sr_field"], kind)?;
        let tags = item.get("tags").and_then(Value::as_array).into_iter().flatten();
        Ok(Tags { path, is_field: kind == "sr_field", tags: tags.map(text).collect::<Outcome<_>>()? })
    };
    items.iter().map(one).collect()
}

/// Writes the changes into the text. Of JSON schemas the root and its properties are understood, of Protobuf
/// only that a message is not there.
pub(crate) fn apply(content: &mut Content, changes: &TagChanges) -> Outcome<()> {
    if changes.is_empty() {
        return Ok(());
    }
    match content.schema_type {
        SchemaType::Avro => {
            let mut schema = avro::parse(&content.text, &mut Known::nothing()).map_err(|_| Failure::internal())?;
            changes.make(&mut |place, change| at(&mut schema, place, change))?;
            content.text = avro::print(&schema).ok_or_else(Failure::internal)?;
        }
        SchemaType::Json => {
            let (mut tree, _) = Tree::read(&content.text, Duplicates::LastWins).ok_or_else(Failure::internal)?;
            changes.make(&mut |place, change| at_json(&mut tree, place, change))?;
            let mut text = String::new();
            tree.print(&mut text, Fractions::Decimal).ok_or_else(Failure::internal)?;
            content.text = text;
        }
        SchemaType::Protobuf | SchemaType::Other(_) => {
            for change in changes.add.iter().chain(&changes.remove) {
                let message = change.path.split('.').find(|part| !part.is_empty()).unwrap_or_default();
                if !content.text.contains(&format!("message {message} ")) {
                    return Err(Failure::invalid_schema(format!(
                        "java.lang.IllegalArgumentException: No matching Message with name '{message}' found in the schema"
                    )));
                }
            }
        }
    }
    Ok(())
}

type Change<'a> = &'a mut dyn FnMut(&mut Properties);

impl TagChanges {
    fn make(&self, at: &mut dyn FnMut(&Tags, Change<'_>) -> bool) -> Outcome<()> {
        for change in &self.add {
            let found = at(change, &mut |properties| add(properties, &change.tags));
            found_or_refused(found, change)?;
        }
        for change in &self.remove {
            let found = at(change, &mut |properties| remove(properties, &change.tags));
            found_or_refused(found, change)?;
        }
        Ok(())
    }
}

/// The root of a JSON schema is called `object`, a property of it `object.name`.
fn at_json(tree: &mut Tree, place: &Tags, change: Change<'_>) -> bool {
    let Tree::Object(members) = tree else { return false };
    if !place.is_field {
        let is_root = place.path == "object";
        if is_root {
            change(members);
        }
        return is_root;
    }
    let Some(name) = place.path.strip_prefix("object.") else { return false };
    let properties = members.iter_mut().find(|(key, _)| key == "properties");
    let Some((_, Tree::Object(properties))) = properties else { return false };
    match properties.iter_mut().find(|(key, _)| key == name) {
        Some((_, Tree::Object(property))) => {
            change(property);
            true
        }
        _ => false,
    }
}

fn found_or_refused(found: bool, change: &Tags) -> Outcome<()> {
    let why = format!("java.lang.IllegalArgumentException: No matching path '{}' found in the schema", change.path);
    if found { Ok(()) } else { Err(Failure::invalid_schema(why)) }
}

type Properties = Vec<(String, Tree)>;

/// Finds the place of a path and changes its properties; says whether it is there.
fn at(schema: &mut Schema, place: &Tags, change: Change<'_>) -> bool {
    match &mut schema.kind {
        Kind::Array(inner) | Kind::Map(inner) => at(inner, place, change),
        Kind::Union(branches) => branches.iter_mut().any(|branch| at(branch, place, change)),
        Kind::Record(record) => {
            let full = record.name.full();
            if !place.is_field && place.path == full {
                change(&mut schema.properties);
                return true;
            }
            record.fields.iter_mut().any(|field| {
                if place.is_field && place.path == format!("{full}.{}", field.name) {
                    change(&mut field.properties);
                    return true;
                }
                at(&mut field.schema, place, change)
            })
        }
        Kind::Primitive(_) | Kind::Named(_) | Kind::Enum(_) | Kind::Fixed(_) => false,
    }
}

const KEY: &str = "confluent:tags";

/// The tags of a place, each once.
fn own(properties: &Properties) -> Vec<String> {
    let mut tags: Vec<String> = Vec::new();
    if let Some((_, Tree::Array(items))) = properties.iter().find(|(key, _)| key == KEY) {
        for tag in items.iter().filter_map(Tree::as_text).map(str::to_owned) {
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
    }
    tags
}

fn put(properties: &mut Properties, tags: Vec<String>) {
    if tags.is_empty() {
        return properties.retain(|(key, _)| key != KEY);
    }
    let tags = Tree::Array(tags.into_iter().map(Tree::Text).collect());
    match properties.iter_mut().find(|(key, _)| key == KEY) {
        Some((_, own)) => *own = tags,
        None => properties.push((KEY.to_owned(), tags)),
    }
}

fn add(properties: &mut Properties, tags: &[String]) {
    let mut all = own(properties);
    all.extend(tags.iter().filter(|tag| !own(properties).contains(tag)).cloned());
    put(properties, all);
}

fn remove(properties: &mut Properties, tags: &[String]) {
    let mut all = own(properties);
    all.retain(|tag| !tags.contains(tag));
    put(properties, all);
}

/// The tags that a request with `findTags` asks for, printed: every place that has one of them, with all it has.
pub(crate) fn found(content: &Content, call: &Call<'_>) -> Option<String> {
    let wanted: Vec<&str> = call.operation.query.all("findTags").filter(|tag| !tag.is_empty()).collect();
    if wanted.is_empty() {
        return None;
    }
    let mut places = Vec::new();
    match content.schema_type {
        SchemaType::Avro => tagged(&avro::parse(&content.text, &mut Known::nothing()).ok()?, &mut places),
        SchemaType::Json => tagged_json(&Tree::read(&content.text, Duplicates::LastWins)?.0, &mut places),
        SchemaType::Protobuf | SchemaType::Other(_) => {}
    }
    places.retain(|place| place.tags.iter().any(|tag| wanted.contains(&"*") || wanted.contains(&tag.as_str())));
    if places.is_empty() {
        return None;
    }
    let mut out = Vec::new();
    push_array(&mut out, places, |out, place| {
        let mut object = Object::open(out);
        let mut entity = Object::open(object.key("schemaEntity"));
        entity.text("entityPath", Some(&place.path));
        entity.text("entityType", Some(if place.is_field { "sr_field" } else { "sr_record" }));
        entity.close();
        push_array(object.key("tags"), place.tags, |out, tag| push_string(out, &tag));
        object.close();
    });
    String::from_utf8(out).ok()
}

fn tagged(schema: &Schema, places: &mut Vec<Tags>) {
    match &schema.kind {
        Kind::Array(inner) | Kind::Map(inner) => tagged(inner, places),
        Kind::Union(branches) => branches.iter().for_each(|branch| tagged(branch, places)),
        Kind::Record(record) => {
            let full = record.name.full();
            places.push(Tags { path: full.clone(), is_field: false, tags: own(&schema.properties) });
            for field in &record.fields {
                let path = format!("{full}.{}", field.name);
                places.push(Tags { path, is_field: true, tags: own(&field.properties) });
                tagged(&field.schema, places);
            }
        }
        Kind::Primitive(_) | Kind::Named(_) | Kind::Enum(_) | Kind::Fixed(_) => {}
    }
}

fn tagged_json(tree: &Tree, places: &mut Vec<Tags>) {
    let Tree::Object(members) = tree else { return };
    places.push(Tags { path: "object".to_owned(), is_field: false, tags: own(members) });
    let Some(Tree::Object(properties)) = tree.get("properties") else { return };
    for (name, property) in properties {
        if let Tree::Object(members) = property {
            places.push(Tags { path: format!("object.{name}"), is_field: true, tags: own(members) });
        }
    }
}

/// `POST /subjects/{s}/versions/{v}/tags`
pub(crate) fn modify(state: &mut State, call: &Call<'_>) -> Outcome<Reply> {
    let expected = Expected { class: "TagSchemaRequest", argument: "modifyTags.arg4" };
    let members = Members::read(call.body, expected)?;
    let changes = TagChanges::read(&members, ["tagsToAdd", "tagsToRemove"])?;
    let metadata = members.metadata("metadata")?;
    let rules = members.rule_set("ruleSet")?.filter(|_| call.profile.keeps_rules());
    let merged = members.rule_set("rulesToMerge")?;
    let new_version = members.number("newVersion")?;
    let subject = call.subject(state);
    register::check_subject(&subject, &call.operation.subject_text)?;
    let base = base(state, call, call.version()?)?;
    let next = register::next_version(state, &subject);
    let sent = Sent {
        metadata: metadata.or(base.content.metadata.clone()),
        rule_set: rules
            .or_else(|| merged.clone().filter(|_| call.profile.keeps_rules()))
            .or(base.content.rule_set.clone()),
        ..Sent::of(&base.content)
    };
    let version = new_version.unwrap_or(next);
    let sent = Sent { metadata: Some(Metadata::with_version(sent.metadata, next)), ..sent };
    let asked = Registration { sent, version, id: -1, tags: changes, propagates: true };
    let (mut stored, _) = register::put(state, call, &subject, asked)?;
    // The answer shows the merged rules although they are not stored.
    if merged.is_some() {
        stored.content.rule_set = merged;
    }
    Ok(Reply::ok(print::registered(&stored, &Extras::default(), call.shape.of_registration(true))))
}

fn base(state: &State, call: &Call<'_>, wanted: Wanted) -> Outcome<Stored> {
    let subject = call.subject(state);
    let stored = match wanted {
        Wanted::Latest => state.latest(&subject),
        Wanted::Number(number) => state.version(&subject, number, Filter::Live),
    };
    match stored {
        Some(stored) => Ok(stored.clone()),
        None if state.has_versions(&subject, Filter::Live) => Err(Failure::version_not_found(wanted.number())),
        None => Err(Failure::subject_not_found(&call.operation.subject_text)),
    }
}
