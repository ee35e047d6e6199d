//! The configuration of a site's top level, which is that of a context at the primary (WIRE.md § 1.19).
//!
//! A top level is always there, and sentences about it are worded otherwise than those about a context.

use bytes::Bytes;
use http::{Method, StatusCode, header};
use serde::Deserialize;

use super::super::primary::{Primary, is_unset, pairs, refused};
use super::super::rename::target;
use super::search::question;
use crate::protocol::error::Refusal;
use crate::protocol::json::error_body;
use crate::protocol::operation::Operation;
use crate::upstream::{Answer, Call, Failure};

/// Makes a call about the top level, which is the context `there`; `call` has the primary's body.
pub(in crate::routing) async fn config(
    primary: &Primary,
    operation: &Operation,
    call: Call,
    there: &str,
) -> Result<Answer, Failure> {
    let about = |path: &str, query: &[(String, String)]| target(path, there, &[], query);
    let own = Call { path_and_query: about("/config/{subject}", &pairs(operation)), ..call.clone() };
    let answer = primary.ask(operation, own).await?;
    if !is_unset(&answer) || call.method == Method::PUT {
        return Ok(reworded(answer));
    }
    let inherited = inherited();
    if call.method == Method::DELETE {
        // What was never set is not looked at for its mode there.
        let mode = primary.registry().send(question(&call, about("/mode/{subject}", &inherited))).await?;
        if is_read_only(&mode) {
            let refusal = Refusal::not_permitted("Subject null in context  is in read-only mode");
            return Ok(refused(&call.method, &refusal));
        }
    }
    // What is in force is shown; nothing is written by reading.
    let shown = Call {
        method: if call.method == Method::HEAD { Method::HEAD } else { Method::GET },
        body: Bytes::new(),
        path_and_query: about("/config/{subject}", &inherited),
        ..call
    };
    primary.ask(operation, shown).await
}

/// The parameter by which is shown what is in force where nothing is set.
pub(in crate::routing) fn inherited() -> [(String, String); 1] {
    [("defaultToGlobal".to_owned(), "true".to_owned())]
}

fn is_read_only(answer: &Answer) -> bool {
    #[derive(Deserialize)]
    struct Shown {
        mode: String,
    }
    let shown: Option<Shown> = serde_json::from_slice(&answer.body).ok().filter(|_| answer.status == StatusCode::OK);
    shown.is_some_and(|shown| shown.mode.starts_with("READONLY"))
}

/// A refusal in the words that it has about a top level.
fn reworded(mut answer: Answer) -> Answer {
    #[derive(Deserialize)]
    struct Said {
        error_code: u32,
        message: String,
    }
    let said = serde_json::from_slice::<Said>(&answer.body).ok().filter(|_| !answer.status.is_success());
    let words = said.and_then(|said| Some((said.error_code, of_top_level(&said.message)?)));
    if let Some((code, message)) = words {
        answer.body = error_body(code, &message).into();
        answer.headers.insert(header::CONTENT_LENGTH, answer.body.len().into());
    }
    answer
}

fn of_top_level(message: &str) -> Option<String> {
    if let Some(rest) = message.strip_prefix("Subject  in context ") {
        return Some(format!("Subject null in context {rest}"));
    }
    // A method of the registry's, which takes the subject as one argument more.
    let rest = message.strip_prefix("updateSubjectLevelConfig.arg")?;
    let (number, rest) = rest.split_once(' ')?;
    let number = number.parse::<u32>().ok()?.checked_sub(1)?;
    Some(format!("updateTopLevelConfig.arg{number} {rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_about_a_context_are_said_of_the_top_level() {
        for (theirs, ours) in [
            (
                "updateSubjectLevelConfig.arg2 must not be null (was null)",
                Some("updateTopLevelConfig.arg1 must not be null (was null)"),
            ),
            ("Subject  in context  is in read-only mode", Some("Subject null in context  is in read-only mode")),
            ("updateSubjectLevelConfig.args", None),
            ("Invalid compatibility level.", None),
        ] {
            assert_eq!(of_top_level(theirs).as_deref(), ours);
        }
    }
}
