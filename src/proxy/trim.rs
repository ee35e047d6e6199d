//! What Confluent Cloud leaves out for clients that did not ask for more (WIRE.md § 8.4).
//!
//! The primary is always asked for everything, because the replica keeps everything; a relayed answer
//! must then be cut down to what the client would have been given.

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::protocol::endpoints::Route;
use crate::protocol::json::{Object, push_array};

/// The members of an object, in their order and as printed.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// The body as such a client is shown it; nothing where it is shown whole.
pub(super) fn trimmed(route: Route, body: &Bytes) -> Option<Bytes> {
    let is_left_out = |name: &str, value: &RawValue| match route {
        Route::Register | Route::ModifyTags => name != "id",
        Route::SchemaById | Route::SchemaByGuid if matches!(name, "subject" | "version") => true,
        _ => matches!(name, "guid" | "ts" | "deleted") || (name == "schemaType" && value.get() == "\"AVRO\""),
    };
    if !matches!(
        route,
        Route::Register
            | Route::ModifyTags
            | Route::SchemaById
            | Route::SchemaByGuid
            | Route::Version
            | Route::Lookup
            | Route::LatestWithMetadata
            | Route::Schemas
    ) {
        return None;
    }
    let push = |out: &mut Vec<u8>, Members(members): Members| {
        let mut object = Object::open(out);
        for (name, value) in members.iter().filter(|(name, value)| !is_left_out(name, value)) {
            object.key(name).extend_from_slice(value.get().as_bytes());
        }
        object.close();
    };
    let mut out = Vec::with_capacity(body.len());
    match route {
        Route::Schemas => push_array(&mut out, serde_json::from_slice::<Vec<Members>>(body).ok()?, push),
        _ => push(&mut out, serde_json::from_slice(body).ok()?),
    }
    Some(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_for_is_left() {
        let body = Bytes::from_static(
            br#"{"subject":"s","version":1,"id":7,"guid":"g","schemaType":"AVRO","schema":"\"int\"","ts":5,"deleted":false}"#,
        );
        let shown = |route| trimmed(route, &body).map(|body| String::from_utf8_lossy(&body).into_owned());
        assert_eq!(shown(Route::Register).as_deref(), Some(r#"{"id":7}"#));
        let version = r#"{"subject":"s","version":1,"id":7,"schema":"\"int\""}"#;
        assert_eq!(shown(Route::Version).as_deref(), Some(version));
        assert_eq!(shown(Route::SchemaById).as_deref(), Some(r#"{"id":7,"schema":"\"int\""}"#));
        assert_eq!(shown(Route::Subjects), None);
        let listed = Bytes::from([&b"["[..], &body, b"]"].concat());
        assert_eq!(trimmed(Route::Schemas, &listed).as_deref(), Some(format!("[{version}]").as_bytes()));
    }
}
