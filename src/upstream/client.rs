//! Questions to the other registry whose answers are read and not passed on.

use http::StatusCode;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{Answer, Call, Failure, FailureKind, Priority, Registry, Sent};

/// What the other registry said to a question.
#[derive(Clone, Debug)]
pub enum Got<T> {
    /// The thing that was asked for.
    Value(T),
    /// It has no such thing, or does not know the question; the error code tells, where there is one.
    Absent {
        /// The registry's own code, as 40401.
        error_code: Option<i64>,
        /// The answer as it came.
        answer: Answer,
    },
    /// It answered something else than yes or no.
    Other {
        /// The registry's own code, as 50001.
        error_code: Option<i64>,
        /// The answer as it came.
        answer: Answer,
    },
}

impl Registry {
    /// Asks for something and reads it.
    pub async fn get_json<T: DeserializeOwned>(
        &self,
        path_and_query: impl Into<String>,
        priority: Priority,
        deadline: Instant,
    ) -> Result<Got<T>, Failure> {
        let answer = self.send(Call::get(path_and_query, priority, deadline)).await?;
        answer.read()
    }

    /// Asks for a list. Some registries say `null` for one without elements.
    pub async fn get_list<T: DeserializeOwned>(
        &self,
        path_and_query: impl Into<String>,
        priority: Priority,
        deadline: Instant,
    ) -> Result<Got<Vec<T>>, Failure> {
        let got = self.get_json::<Option<Vec<T>>>(path_and_query, priority, deadline).await?;
        Ok(match got {
            Got::Value(list) => Got::Value(list.unwrap_or_default()),
            Got::Absent { error_code, answer } => Got::Absent { error_code, answer },
            Got::Other { error_code, answer } => Got::Other { error_code, answer },
        })
    }
}

impl Answer {
    /// Reads the answer as what was asked for. The body of an error need not be readable.
    pub fn read<T: DeserializeOwned>(self) -> Result<Got<T>, Failure> {
        if self.status.is_success() {
            let read = serde_json::from_slice(&self.body);
            return read
                .map(Got::Value)
                .map_err(|error| Failure::from_source(FailureKind::Unreadable, Sent::Maybe, error));
        }
        let error_code = self.error_code();
        Ok(match self.status {
            StatusCode::NOT_FOUND => Got::Absent { error_code, answer: self },
            _ => Got::Other { error_code, answer: self },
        })
    }

    /// The registry's own code in the body of an error, if it can be found there.
    pub fn error_code(&self) -> Option<i64> {
        #[derive(serde::Deserialize)]
        struct Body {
            error_code: i64,
        }
        serde_json::from_slice::<Body>(&self.body).ok().map(|body| body.error_code)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    fn answer(status: u16, body: &'static str) -> Answer {
        let status = StatusCode::from_u16(status).expect("a status");
        Answer { status, headers: HeaderMap::new(), body: Bytes::from_static(body.as_bytes()), url: 0 }
    }

    #[test]
    fn answers_are_read_as_values_absences_and_the_rest() {
        assert!(matches!(answer(200, "[1,2]").read::<Vec<i32>>(), Ok(Got::Value(list)) if list == [1, 2]));
        for (body, code) in [
            (r#"{"error_code":40403,"message":"x"}"#, Some(40403)),
            ("<html>not found</html>", None),
            ("", None),
            (r#"{"error_code":"x"}"#, None),
            ("[]", None),
        ] {
            let absent = answer(404, body).read::<i32>();
            assert!(matches!(absent, Ok(Got::Absent { error_code, .. }) if error_code == code), "{body}");
            let other = answer(500, body).read::<i32>();
            assert!(matches!(other, Ok(Got::Other { error_code, .. }) if error_code == code), "{body}");
        }
    }

    #[test]
    fn a_success_with_another_content_is_no_value() {
        for body in ["", "<html>log in first</html>", "{\"a\":", "[1,2] trailing"] {
            let failure = answer(200, body).read::<Vec<i32>>().expect_err("unreadable");
            assert_eq!(failure.kind, FailureKind::Unreadable, "{body}");
        }
    }
}
