//! The canonical text of a JSON schema: Jackson's tree, printed compactly (WIRE.md § 7.1).

use super::tree::{Duplicates, Fractions, Tree, is_blank};

/// Reprints a schema as the registry stores it; `None` when that is not certain.
///
/// Whether the schema means anything is not asked: the text of one that does not is never stored.
pub fn canonical(text: &str) -> Option<String> {
    let (tree, rest) = Tree::read(text, Duplicates::LastWins)?;
    match tree {
        Tree::Object(_) if tree.is_finite() => {}
        Tree::Bool(_) if is_blank(rest) => {}
        _ => return None,
    }
    let mut out = String::with_capacity(text.len());
    tree.print(&mut out, Fractions::Decimal)?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_order_and_text_behind_the_schema_is_dropped() {
        assert_eq!(canonical(r#" {"b" : [1.0, {}], "a": 1e3} x"#).as_deref(), Some(r#"{"b":[1.0,{}],"a":1E+3}"#));
        assert_eq!(canonical(" true ").as_deref(), Some("true"));
    }

    #[test]
    fn a_number_that_releases_of_jackson_print_differently_is_left_to_the_registry() {
        assert_eq!(canonical(r#"{"enum":[1E400]}"#), None);
        assert_eq!(canonical(r#"{"enum":[1E300]}"#).as_deref(), Some(r#"{"enum":[1E+300]}"#));
    }

    #[test]
    fn what_is_neither_object_nor_truth_value_is_no_schema() {
        for text in ["[]", "12", "\"object\"", "null", "", "true x", "true\u{a0}", "{not json"] {
            assert_eq!(canonical(text), None, "{text}");
        }
    }
}
