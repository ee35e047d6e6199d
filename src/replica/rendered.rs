//! An answer as the replica gives it, and what tells two questions apart.

use bytes::Bytes;

use crate::protocol::operation::Operation;
use crate::protocol::shape::Form;

/// A rendered answer, stamped with the generation of the snapshot that it was rendered from.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The snapshot's generation.
    pub generation: u64,
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

/// The key of an answer: the request as it was understood, never its spelling.
pub fn key(operation: &Operation, form: Form) -> String {
    let mut key = String::with_capacity(96);
    let form = match form {
        Form::Plain => " plain ",
        Form::Full => " full ",
    };
    // Piece by piece: formatting costs more than all the rest of a cached answer's key. Each name and value
    // is followed by its length, for a decoded one may hold whatever else stands between them.
    key.push_str(operation.route.name());
    key.push_str(form);
    push_piece(&mut key, &operation.subject_text);
    key.push(if operation.is_escaped { 'e' } else { '.' });
    for name in &operation.names {
        push_piece(&mut key, name);
    }
    let mut parameters: Vec<(&str, &str)> = operation.parameters().collect();
    parameters.sort_by_key(|(name, _)| *name);
    for (name, value) in parameters {
        push_piece(&mut key, name);
        push_piece(&mut key, value);
    }
    key
}

fn push_piece(key: &mut String, piece: &str) {
    key.push_str(piece);
    // Four characters that stand for the length, so that no two lists of pieces read the same.
    for shift in [24, 16, 8, 0] {
        key.push(char::from((piece.len() >> shift) as u8));
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    #[test]
    fn no_two_requests_share_a_key_by_what_is_written_in_them() {
        let key_of = |path: &str, query: &str| {
            key(&Operation::classify(&Method::GET, path, query).expect("a route"), Form::Full)
        };
        assert_ne!(
            key_of("/subjects", "deleted=true%0AdeletedOnly=true"),
            key_of("/subjects", "deleted=true&deletedOnly=true")
        );
        assert_ne!(key_of("/subjects", "subjectPrefix=a"), key_of("/subjects", "subjectPrefix=a%00"));
        assert_eq!(key_of("/subjects", "limit=1&offset=2"), key_of("/subjects/", "offset=2&limit=1"));
    }
}
