//! What Confluent Cloud leaves out for clients that did not ask for more (WIRE.md § 8.4).
//!
//! The primary is always asked for everything, because the replica keeps everything; a relayed answer
//! must then be cut down to what the client would have been given.

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::protocol::endpoints::Route;
use crate::protocol::json::push_array;
use crate::protocol::printed::Printed;

/// Whether anything is left out of what a route shows.
pub(super) fn is_trimmed(route: Route) -> bool {
    use Route as R;
    let shows_one = matches!(route, R::SchemaById | R::SchemaByGuid | R::Version | R::Lookup | R::LatestWithMetadata);
    shows_one || matches!(route, R::Register | R::ModifyTags | R::Schemas)
}

/// The body as such a client is shown it; nothing where it is shown whole.
pub(super) fn trimmed(route: Route, body: &Bytes) -> Option<Bytes> {
    let is_left_out = |name: &str, value: &RawValue| match route {
        Route::Register | Route::ModifyTags => name != "id",
        Route::SchemaById | Route::SchemaByGuid if matches!(name, "subject" | "version") => true,
        _ => matches!(name, "guid" | "ts" | "deleted") || (name == "schemaType" && value.get() == "\"AVRO\""),
    };
    if !is_trimmed(route) {
        return None;
    }
    let push = |out: &mut Vec<u8>, object: Printed| object.push(out, |name, value| !is_left_out(name, value));
    let mut out = Vec::with_capacity(body.len());
    match route {
        Route::Schemas => push_array(&mut out, serde_json::from_slice::<Vec<Printed>>(body).ok()?, push),
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
