//! The scopes of modes in words, and as they stand in a path.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schema_outpost::protocol::subject::{Context, QualifiedSubject};

/// What may stand in a path as it is; the colons and dots of a qualified name among it.
const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b':').remove(b'@');

/// A scope as a person would name it.
pub fn named(scope: &QualifiedSubject) -> String {
    let context = || format!("context {}", scope.context);
    match (scope.is_bare_context(), scope.context.is_default()) {
        (true, true) => "the default context".to_owned(),
        (true, false) if scope.context == Context::global() => "everything".to_owned(),
        (true, false) => context(),
        (false, true) => format!("subject {}", scope.subject),
        (false, false) => format!("subject {} in {}", scope.subject, context()),
    }
}

/// The path at which the mode of a scope is asked for and changed.
pub fn path(scope: &QualifiedSubject) -> String {
    if scope.is_top_level() {
        return "/mode".to_owned();
    }
    format!("/mode/{}", utf8_percent_encode(&scope.spelt(), ENCODED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_has_a_name_for_people_and_a_path_for_requests() {
        for (text, name, address) in [
            ("", "the default context", "/mode"),
            (":.__GLOBAL:", "everything", "/mode/:.__GLOBAL:"),
            (":.c:", "context .c", "/mode/:.c:"),
            ("s", "subject s", "/mode/s"),
            (":.c:a b/c'é", "subject a b/c'é in context .c", "/mode/:.c:a%20b%2Fc%27%C3%A9"),
            (":.::.x", "subject :.x", "/mode/:.::.x"),
        ] {
            let scope = QualifiedSubject::parse(text);
            assert_eq!((named(&scope).as_str(), path(&scope).as_str()), (name, address));
        }
    }
}
