//! What the registry says when it refuses: status, error code, message (WIRE.md § 9).

use schema_outpost::protocol::json;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) status: u16,
    pub(crate) code: u32,
    pub(crate) message: String,
}

pub(crate) type Outcome<T> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(status: u16, code: u32, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// The body of the answer.
    pub(crate) fn body(&self) -> Vec<u8> {
        json::error_body(self.code, &self.message)
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, 400, message)
    }

    pub(crate) fn not_found() -> Self {
        Self::new(404, 404, "HTTP 404 Not Found")
    }

    pub(crate) fn internal() -> Self {
        Self::new(500, 500, "Internal Server Error")
    }

    pub(crate) fn null_argument(argument: &str) -> Self {
        Self::new(422, 422, format!("{argument} must not be null (was null)"))
    }

    pub(crate) fn subject_not_found(subject: &str) -> Self {
        Self::new(404, 40401, format!("Subject '{subject}' not found."))
    }

    pub(crate) fn version_not_found(version: i32) -> Self {
        Self::new(404, 40402, format!("Version {version} not found."))
    }

    pub(crate) fn schema_not_found() -> Self {
        Self::new(404, 40403, "Schema not found")
    }

    pub(crate) fn named_schema_not_found(name: &str) -> Self {
        Self::new(404, 40403, format!("Schema {name} not found"))
    }

    pub(crate) fn subject_soft_deleted(subject: &str) -> Self {
        Self::new(404, 40404, format!("Subject '{subject}' was soft deleted.Set permanent=true to delete permanently"))
    }

    pub(crate) fn subject_not_soft_deleted(subject: &str) -> Self {
        Self::new(404, 40405, format!("Subject '{subject}' was not deleted first before being permanently deleted"))
    }

    pub(crate) fn version_soft_deleted(subject: &str, version: i32) -> Self {
        let message =
            format!("Subject '{subject}' Version {version} was soft deleted.Set permanent=true to delete permanently");
        Self::new(404, 40406, message)
    }

    pub(crate) fn version_not_soft_deleted(subject: &str, version: i32) -> Self {
        let message =
            format!("Subject '{subject}' Version {version} was not deleted first before being permanently deleted");
        Self::new(404, 40407, message)
    }

    pub(crate) fn no_config(subject: &str) -> Self {
        Self::new(404, 40408, format!("Subject '{subject}' does not have subject-level compatibility configured"))
    }

    pub(crate) fn no_mode(subject: &str) -> Self {
        Self::new(404, 40409, format!("Subject '{subject}' does not have subject-level mode configured"))
    }

    pub(crate) fn invalid_schema(message: impl Into<String>) -> Self {
        Self::new(422, 42201, message)
    }

    pub(crate) fn invalid_version(version: &str) -> Self {
        let message = format!(
            "The specified version '{version}' is not a valid version id. \
             Allowed values are between [1, 2^31-1] and the string \"latest\""
        );
        Self::new(422, 42202, message)
    }

    pub(crate) fn invalid_level() -> Self {
        let message = "Invalid compatibility level. Valid values are none, backward, forward, full, \
                       backward_transitive, forward_transitive, and full_transitive";
        Self::new(422, 42203, message)
    }

    pub(crate) fn invalid_mode(forwards: bool) -> Self {
        let last = if forwards { "READONLY, IMPORT and FORWARD." } else { "READONLY, and IMPORT." };
        Self::new(422, 42204, format!("Invalid mode. Valid values are READWRITE, {last}"))
    }

    pub(crate) fn not_permitted(message: impl Into<String>) -> Self {
        Self::new(422, 42205, message)
    }

    pub(crate) fn referenced(subject: &str, version: i32) -> Self {
        let message = format!(
            "One or more references exist to the schema {{magic=1,keytype=SCHEMA,subject={subject},version={version}}}."
        );
        Self::new(422, 42206, message)
    }

    pub(crate) fn invalid_subject(subject: &str) -> Self {
        Self::new(422, 42208, format!("The specified subject '{subject}' is not a valid."))
    }

    pub(crate) fn context_not_empty(context: &str) -> Self {
        Self::new(422, 42211, format!("The specified context '{context}' is not empty."))
    }
}
