//! The canonical text of a JSON schema: Jackson's tree, printed compactly (WIRE.md § 7.1).

use super::tree::{Duplicates, Fractions, Tree, is_blank};

/// Reprints a schema as the registry stores it; `None` when that is not certain.
///
/// Whether the schema means anything is not asked: the text of one that does not is never stored.
pub fn canonical(text: &str) -> Option<String> {
    print(&read(text)?)
}

/// The same for a registry that is told to normalise: keys come in order, all the way down.
pub fn normalized(text: &str) -> Option<String> {
    let mut tree = read(text)?;
    tree.sort_keys();
    print(&tree)
}

fn read(text: &str) -> Option<Tree> {
    let (tree, rest) = Tree::read(text, Duplicates::LastWins)?;
    match tree {
        Tree::Object(_) if tree.is_finite() => Some(tree),
        Tree::Bool(_) if is_blank(rest) => Some(tree),
        _ => None,
    }
}

fn print(tree: &Tree) -> Option<String> {
    let mut out = String::new();
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
    fn normalised_keys_are_sorted_by_their_utf_16_units_all_the_way_down() {
        let text = r#"{"b":[{"d":1,"c":2}],"\uffff":1,"\ud83d\uded2":2,"a":{"z":1e3,"y":true}}"#;
        let sorted = "{\"a\":{\"y\":true,\"z\":1E+3},\"b\":[{\"c\":2,\"d\":1}],\"\u{1f6d2}\":2,\"\u{ffff}\":1}";
        assert_eq!(normalized(text).as_deref(), Some(sorted));
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
