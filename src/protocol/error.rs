//! The registry's own refusals: status, `error_code` and message, word for word (WIRE.md § 9).

use http::StatusCode;

/// A refusal in the registry's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// The `error_code` of the body.
    pub code: u32,
    /// The `message` of the body.
    pub message: String,
}

impl Refusal {
    /// A refusal with the status that the leading digits of its code name.
    pub fn new(code: u32, message: impl Into<String>) -> Self {
        let digits = if code >= 10_000 { code / 100 } else { code };
        let status = u16::try_from(digits).ok().and_then(|digits| StatusCode::from_u16(digits).ok());
        Self { status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), code, message: message.into() }
    }

    /// What the framework says of a path or parameter that is none.
    pub fn not_found() -> Self {
        Self::new(404, "HTTP 404 Not Found")
    }

    /// What the framework says when the code behind a route fails.
    pub fn internal() -> Self {
        Self::new(500, "Internal Server Error")
    }

    /// No version of the subject.
    pub fn subject_not_found(subject: &str) -> Self {
        Self::new(40401, format!("Subject '{subject}' not found."))
    }

    /// The subject is there, the version is not; -1 stands for the latest.
    pub fn version_not_found(version: i32) -> Self {
        Self::new(40402, format!("Version {version} not found."))
    }

    /// No schema of that id or GUID.
    pub fn schema_not_found(key: &str) -> Self {
        Self::new(40403, format!("Schema {key} not found"))
    }

    /// The subject has no configuration of its own.
    pub fn no_config(subject: &str) -> Self {
        Self::new(40408, format!("Subject '{subject}' does not have subject-level compatibility configured"))
    }

    /// The subject has no mode of its own.
    pub fn no_mode(subject: &str) -> Self {
        Self::new(40409, format!("Subject '{subject}' does not have subject-level mode configured"))
    }

    /// The version in the path is neither a number from 1 nor `latest`.
    pub fn invalid_version(written: &str) -> Self {
        Self::new(
            42202,
            format!(
                "The specified version '{written}' is not a valid version id. \
                 Allowed values are between [1, 2^31-1] and the string \"latest\""
            ),
        )
    }

    /// A mode, or the lack of one, forbids the operation.
    pub fn not_permitted(message: impl Into<String>) -> Self {
        Self::new(42205, message)
    }

    /// What another registry refuses with: in its words as far as it has any, for not every registry prints a code that
    /// is one, or a body at all. Nothing if it does not refuse.
    pub fn read(status: StatusCode, body: &[u8]) -> Option<Self> {
        #[derive(Default, serde::Deserialize)]
        struct Said {
            error_code: Option<u32>,
            message: Option<String>,
        }
        if !status.is_client_error() {
            return None;
        }
        let said: Said = serde_json::from_slice(body).unwrap_or_default();
        let of_the_status = || format!("HTTP {} {}", status.as_str(), status.canonical_reason().unwrap_or("refused"));
        let code = said.error_code.filter(|code| *code != 0).unwrap_or(status.as_u16().into());
        Some(Self { status, code, message: said.message.unwrap_or_else(of_the_status) })
    }

    /// The body that says so.
    pub fn body(&self) -> Vec<u8> {
        super::json::error_body(self.code, &self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_names_the_status() {
        assert_eq!(Refusal::subject_not_found("s").status, StatusCode::NOT_FOUND);
        assert_eq!(Refusal::invalid_version("x").status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(Refusal::new(508, "loop").status, StatusCode::LOOP_DETECTED);
        assert_eq!(Refusal::new(50003, "away").status, StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn what_another_registry_refuses_is_read_as_it_was_said() {
        let refusal = Refusal::not_permitted("Cannot import since found existing subjects");
        assert_eq!(Refusal::read(refusal.status, &refusal.body()), Some(refusal));
        for (status, body, code, message) in [
            (401, "", 401, "HTTP 401 Unauthorized"),
            (
                409,
                r#"{"message":"Storage is in read-only mode.","error_code":0}"#,
                409,
                "Storage is in read-only mode.",
            ),
            (409, r#"{"error_code":40407}"#, 40407, "HTTP 409 Conflict"),
            (403, "<html>", 403, "HTTP 403 Forbidden"),
            (400, r#""bad""#, 400, "HTTP 400 Bad Request"),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            let read = Refusal { status, code, message: message.to_owned() };
            assert_eq!(Refusal::read(status, body.as_bytes()), Some(read), "{body}");
        }
        for status in [StatusCode::OK, StatusCode::FOUND, StatusCode::INTERNAL_SERVER_ERROR] {
            assert_eq!(Refusal::read(status, b"{}"), None);
        }
    }
}
