//! What the registry says about itself (WIRE.md § 1.1).

use serde_json::Value;

use crate::body::{cannot, parse, text};
use crate::call::{Call, Reply};
use crate::failure::Outcome;

/// `POST /`: any object of texts is fine.
pub(crate) fn root(call: &Call<'_>) -> Outcome<Reply> {
    match parse(call.body.unwrap_or_default())? {
        Value::Object(members) => {
            members.values().filter(|value| !value.is_null()).try_for_each(|value| text(value).map(drop))?
        }
        Value::Array(_) => return Err(cannot("String>", "Array value (token `JsonToken.START_ARRAY`)")),
        _ => {}
    }
    Ok(Reply::ok("{}"))
}

/// `GET /v1/metadata/id`
pub(crate) fn cluster_id() -> Reply {
    Reply::ok(
        r#"{"scope":{"path":[],"clusters":{"kafka-cluster":"c21hbGwtcmVnaXN0cnk","schema-registry-cluster":"schema-registry"}}}"#,
    )
}

/// `GET /v1/metadata/version`
pub(crate) fn version() -> Reply {
    Reply::ok(r#"{"version":"8.3.1","commitId":"small-registry"}"#)
}
