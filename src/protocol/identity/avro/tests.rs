//! What Avro prints for what it reads.

use super::*;

const ADDRESS: &str = r#"{"type":"record","name":"ref.Address","fields":[]}"#;

fn reprinted(text: &str) -> Option<String> {
    canonical(text, &[])
}

fn refused(text: &str) -> String {
    parse(text, &mut Known::nothing()).expect_err("Avro refuses it").to_string()
}

#[test]
fn keys_come_in_avros_order_and_custom_properties_in_that_of_the_text() {
    for (text, expected) in [
        (r#"{"type":"string"}"#, r#""string""#),
        (" \n \"long\" \t", r#""long""#),
        (r#"["null", "string" , {"type":"int"}]"#, r#"["null","string","int"]"#),
        (r#"{"type":"string","avro.java.string":"String"}"#, r#"{"type":"string","avro.java.string":"String"}"#),
        (
            r#"{"type":"enum","name":"E","symbols":["B","A"],"doc":"d"}"#,
            r#"{"type":"enum","name":"E","doc":"d","symbols":["B","A"]}"#,
        ),
        (
            r#"{"type":"fixed","name":"ns.F","size":16,"aliases":["G"],"p":1}"#,
            r#"{"type":"fixed","name":"F","namespace":"ns","size":16,"p":1,"aliases":["G"]}"#,
        ),
        (
            r#"{"scale":2,"precision":9,"logicalType":"decimal","type":"bytes"}"#,
            r#"{"type":"bytes","scale":2,"precision":9,"logicalType":"decimal"}"#,
        ),
        (
            r#"{"fields":[{"x":1,"aliases":["b"],"order":"descending","default":1.50,"doc":"d","type":"float","name":"a"},{"name":"c","type":"int","order":"ascending"}],"name":"R","type":"error"}"#,
            r#"{"type":"error","name":"R","fields":[{"name":"a","type":"float","doc":"d","default":1.5,"order":"descending","aliases":["b"],"x":1},{"name":"c","type":"int"}]}"#,
        ),
    ] {
        assert_eq!(reprinted(text).as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn names_are_relative_to_the_namespace_around_them() {
    let text = r#"{"type":"record","name":"n.root.Outer","aliases":["Old","n.root.Older","x.Oldest"],"fields":[
        {"name":"a","type":{"type":"record","name":"A","namespace":"n.one","fields":[]}},
        {"name":"b","type":["null","n.root.Outer","n.one.A"]},
        {"name":"c","type":{"type":"enum","name":"D","namespace":"","symbols":["X"]}}]}"#;
    let expected = concat!(
        r#"{"type":"record","name":"Outer","namespace":"n.root","fields":["#,
        r#"{"name":"a","type":{"type":"record","name":"A","namespace":"n.one","fields":[]}},"#,
        r#"{"name":"b","type":["null","Outer","n.one.A"]},"#,
        r#"{"name":"c","type":{"type":"enum","name":"D","namespace":"","symbols":["X"]}}],"#,
        r#""aliases":["Old","Older","x.Oldest"]}"#
    );
    assert_eq!(reprinted(text).as_deref(), Some(expected));
}

#[test]
fn a_reference_makes_its_name_known() {
    let text = r#"{"type":"record","name":"Person","namespace":"ref","fields":[{"name":"home","type":"ref.Address"}]}"#;
    assert_eq!(reprinted(text), None);
    let expected = r#"{"type":"record","name":"Person","namespace":"ref","fields":[{"name":"home","type":"Address"}]}"#;
    assert_eq!(canonical(text, &[ADDRESS]).as_deref(), Some(expected));
}

#[test]
fn what_lies_inside_a_referenced_type_is_not_to_be_printed_by_its_name() {
    let outer =
        r#"{"type":"record","name":"n.Outer","fields":[{"name":"i","type":{"type":"fixed","name":"Inner","size":1}}]}"#;
    let field = |kind: &str| {
        format!(r#"{{"type":"record","name":"R","namespace":"n","fields":[{{"name":"a","type":{kind}}}]}}"#)
    };
    assert!(canonical(&field("\"Outer\""), &[outer]).is_some());
    for kind in ["\"Inner\"", "[\"null\",\"n.Inner\"]", r#"{"type":"fixed","name":"Inner","size":1}"#, "\"Nope\""] {
        assert_eq!(canonical(&field(kind), &[outer]), None, "{kind}");
    }
    assert_eq!(canonical("\"int\"", &["[\"null\",\"int\"]"]), None, "releases differ about such a reference");
    assert_eq!(canonical("\"int\"", &["{not avro"]), None);
}

#[test]
fn what_avro_refuses_is_refused_in_its_words() {
    for (text, message) in [
        (r#"{"type":"nosuch"}"#, "Unknown schema: org.apache.avro.compiler.UnresolvedSchema"),
        (r#"{"type":"record","fields":[]}"#, r#"No name in schema: {"type":"record","fields":[]}"#),
        (r#"{"type":"record","name":"1bad","fields":[]}"#, "Illegal initial character: 1bad"),
        (r#"{"type":"record","name":"R","fields":[{"name":"a-b","type":"int"}]}"#, "Illegal character in: a-b"),
        (
            r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}"#,
            "Duplicate field a in record R: a type:INT pos:1 and a type:INT pos:0.",
        ),
        (
            r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int","default":"x"}]}"#,
            r#"Invalid default for field a: "x" not a "int""#,
        ),
        (r#"{"type":"record","name":"R","fields":[{"name":"a","type":"Other"}]}"#, "Undefined schema: Other"),
        (r#"[{"type":"fixed","name":"F","size":1},{"type":"fixed","name":"F","size":2}]"#, "Can't redefine: F"),
        (r#"{"type":"enum","name":"E","symbols":["A","A"]}"#, "Duplicate enum symbol: A"),
        (r#"["null",["int"]]"#, r#"Nested union: ["null",["int"]]"#),
        ("42", "Schema not yet supported: 42"),
    ] {
        assert_eq!(refused(text), message, "{text}");
    }
}

#[test]
fn a_default_may_fit_any_branch_of_a_union() {
    let text = r#"{"type":"record","name":"R","fields":[{"name":"a","type":["string","null"],"default":null}]}"#;
    assert_eq!(reprinted(text).as_deref(), Some(text));
}

#[test]
fn where_readers_could_differ_nothing_is_certain() {
    for text in [
        r#"{"type":"string","type":"int"}"#,
        r#""string" x"#,
        r#"{"type":{"type":"string"}}"#,
        r#"{"type":"record","name":"R","namespace":"","fields":[]}"#,
        r#"{"type":"record","name":"n.R","fields":[{"name":"a","type":{"type":"record","name":"I","namespace":"","fields":[]}}]}"#,
        "\"string\"\u{c}",
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"double","default":1e300}]}"#,
        r#"{"type":"record","name":"R","doc":7,"fields":[]}"#,
        r#"{"type":"record","name":"Ünicode","fields":[]}"#,
        r#"{"type":"record","name":"string","namespace":"n","fields":[]}"#,
        "",
    ] {
        assert_eq!(reprinted(text), None, "{text}");
    }
}
