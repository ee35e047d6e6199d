//! The shapes of the answers (WIRE.md § 0.8), and what older and hosted registries leave out of them.

use schema_outpost::protocol::json::{Object, push_array, push_string};
use schema_outpost::protocol::schema::{Reference, SchemaType};

use crate::model::{Content, Metadata, Stored};

/// Which members an answer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Everything: 8.x.
    Full,
    /// What 7.x knew.
    Seven,
    /// What a hosted registry shows to clients that do not say they accept more.
    Trimmed,
}

impl Shape {
    /// The shape of the answer to a registration; only the id where there is none. 7.x said more if metadata or
    /// rules made it another schema than was sent (WIRE.md § 12).
    pub(crate) fn of_registration(self, became_another: bool) -> Option<Self> {
        match self {
            Self::Full => Some(self),
            Self::Seven => Some(self).filter(|_| became_another),
            Self::Trimmed => None,
        }
    }

    fn has_guid(self) -> bool {
        self == Self::Full
    }

    fn type_of(self, schema_type: &SchemaType) -> Option<&str> {
        (self == Self::Full || *schema_type != SchemaType::Avro).then(|| schema_type.as_str())
    }
}

/// The members of a version that answers differ in.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extras<'a> {
    /// Time and deletion, for what came from the store.
    pub(crate) stored: Option<(i64, bool)>,
    /// The text in another form than the stored one.
    pub(crate) text: Option<&'a str>,
    /// The references in another form than the stored ones.
    pub(crate) references: Option<&'a [Reference]>,
    /// Another GUID than that of the content.
    pub(crate) guid: Option<&'a str>,
    pub(crate) max_id: Option<i32>,
    /// Names by which the subject is also known.
    pub(crate) aliases: &'a [String],
    /// Associations of the subject, printed.
    pub(crate) associations: &'a [u8],
    /// Inline tags, printed.
    pub(crate) tags: Option<&'a str>,
}

impl<'a> Extras<'a> {
    pub(crate) fn of(stored: &Stored) -> Self {
        Self { stored: Some((stored.ts, stored.deleted)), ..Self::default() }
    }

    fn times(&self, object: &mut Object<'_>, shape: Shape) {
        if let (Shape::Full, Some((ts, deleted))) = (shape, self.stored) {
            object.number("ts", Some(ts)).flag("deleted", Some(deleted));
        }
    }

    fn tags(&self, object: &mut Object<'_>) {
        if let Some(tags) = self.tags {
            object.key("schemaTags").extend_from_slice(tags.as_bytes());
        }
    }
}

struct Printer<'a> {
    content: &'a Content,
    extras: &'a Extras<'a>,
    shape: Shape,
}

impl Printer<'_> {
    fn guid(&self, object: &mut Object<'_>) {
        if self.shape.has_guid() {
            let guid = self.extras.guid.map_or_else(|| self.content.guid(), str::to_owned);
            object.text("guid", Some(&guid));
        }
        object.text("schemaType", self.shape.type_of(&self.content.schema_type));
    }

    fn references(&self, object: &mut Object<'_>) {
        let list = self.extras.references.unwrap_or(&self.content.references);
        if !list.is_empty() {
            references(object.key("references"), list);
        }
    }

    fn metadata(&self, object: &mut Object<'_>) {
        if let Some(value) = &self.content.metadata {
            object.key("metadata").extend_from_slice(metadata(value).as_bytes());
        }
    }

    fn rules(&self, object: &mut Object<'_>) {
        object.raw("ruleSet", self.content.rule_set.as_ref().map(|rules| &*rules.0));
    }

    fn text(&self, object: &mut Object<'_>) {
        object.text("schema", Some(self.extras.text.unwrap_or(&self.content.text)));
    }
}

fn numbers(object: &mut Object<'_>, stored: &Stored) {
    object.text("subject", Some(&stored.subject)).number("version", Some(stored.version.into()));
    object.number("id", Some(stored.id.into()));
}

/// The answer to a version or a lookup.
pub(crate) fn schema(stored: &Stored, extras: &Extras<'_>, shape: Shape) -> Vec<u8> {
    let printer = Printer { content: &stored.content, extras, shape };
    let mut out = Vec::new();
    let mut object = Object::open(&mut out);
    numbers(&mut object, stored);
    printer.guid(&mut object);
    printer.references(&mut object);
    printer.metadata(&mut object);
    printer.text(&mut object);
    extras.tags(&mut object);
    extras.times(&mut object, shape);
    printer.rules(&mut object);
    object.close();
    out
}

/// An item of the list of schemas.
pub(crate) fn listed(stored: &Stored, extras: &Extras<'_>, shape: Shape) -> Vec<u8> {
    let printer = Printer { content: &stored.content, extras, shape };
    let mut out = Vec::new();
    let mut object = Object::open(&mut out);
    numbers(&mut object, stored);
    printer.guid(&mut object);
    printer.references(&mut object);
    printer.metadata(&mut object);
    printer.text(&mut object);
    extras.times(&mut object, shape);
    if !extras.aliases.is_empty() {
        push_array(object.key("aliases"), extras.aliases, |out, alias| push_string(out, alias));
    }
    if !extras.associations.is_empty() {
        object.key("associations").extend_from_slice(extras.associations);
    }
    printer.rules(&mut object);
    extras.tags(&mut object);
    object.close();
    out
}

/// An item of a list of schemas that does not say what is whose.
pub(crate) fn anonymous(stored: &Stored) -> Vec<u8> {
    let mut out = Vec::new();
    let mut object = Object::open(&mut out);
    object.text("schemaType", Some(stored.content.schema_type.as_str())).text("schema", Some(&stored.content.text));
    object.close();
    out
}

/// The answer to an id or a GUID.
pub(crate) fn schema_string(
    content: &Content,
    place: Option<(&str, i32)>,
    extras: &Extras<'_>,
    shape: Shape,
) -> Vec<u8> {
    let printer = Printer { content, extras, shape };
    let mut out = Vec::new();
    let mut object = Object::open(&mut out);
    if let (Shape::Full, Some((subject, version))) = (shape, place) {
        object.text("subject", Some(subject)).number("version", Some(version.into()));
    }
    printer.guid(&mut object);
    printer.text(&mut object);
    printer.references(&mut object);
    printer.metadata(&mut object);
    printer.rules(&mut object);
    extras.tags(&mut object);
    object.number("maxId", extras.max_id.map(i64::from));
    extras.times(&mut object, shape);
    object.close();
    out
}

/// The answer to a registration.
pub(crate) fn registered(stored: &Stored, extras: &Extras<'_>, shape: Option<Shape>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut object = Object::open(&mut out);
    object.number("id", Some(stored.id.into()));
    if let Some(shape) = shape {
        let printer = Printer { content: &stored.content, extras, shape };
        object.number("version", Some(stored.version.into()));
        printer.guid(&mut object);
        printer.references(&mut object);
        printer.metadata(&mut object);
        printer.rules(&mut object);
        printer.text(&mut object);
        extras.times(&mut object, shape);
    }
    object.close();
    out
}

fn references(out: &mut Vec<u8>, list: &[Reference]) {
    push_array(out, list, |out, reference| {
        let mut object = Object::open(out);
        object.text("name", reference.name.as_deref()).text("subject", reference.subject.as_deref());
        object.number("version", reference.version.map(i64::from));
        object.close();
    });
}

/// Metadata, its maps in order.
pub(crate) fn metadata(metadata: &Metadata) -> String {
    let mut out = Vec::new();
    let mut object = Object::open(&mut out);
    if let Some(tags) = metadata.tags.as_ref().filter(|tags| !tags.is_empty()) {
        let mut members = Object::open(object.key("tags"));
        for (key, values) in tags {
            push_array(members.key(key), values, |out, value| push_string(out, value));
        }
        members.close();
    }
    if let Some(properties) = metadata.properties.as_ref().filter(|properties| !properties.is_empty()) {
        let mut members = Object::open(object.key("properties"));
        for (key, value) in properties {
            push_string(members.key(key), value);
        }
        members.close();
    }
    if let Some(sensitive) = metadata.sensitive.as_ref().filter(|names| !names.is_empty()) {
        push_array(object.key("sensitive"), sensitive, |out, name| push_string(out, name));
    }
    object.close();
    String::from_utf8(out).expect("BUG: JSON is printed as UTF-8")
}

/// A list of texts.
pub(crate) fn texts<'a>(items: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut out = Vec::new();
    push_array(&mut out, items, push_string);
    out
}

/// A list of numbers.
pub(crate) fn numbers_list(items: impl IntoIterator<Item = i32>) -> Vec<u8> {
    let mut out = Vec::new();
    push_array(&mut out, items, |out, item| out.extend_from_slice(item.to_string().as_bytes()));
    out
}
