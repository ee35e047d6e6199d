//! A JSON tree that forgets nothing Jackson would print: numbers as written, members in their order.

use super::super::order;
use super::number;

/// What to do about a key that an object has twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicates {
    /// The last value counts, at the place of the first, as in Jackson's tree.
    LastWins,
    /// The text is not read at all.
    Refuse,
}

/// How fractions are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fractions {
    /// As Java's `BigDecimal`.
    Decimal,
    /// As Java's `double`.
    Double,
}

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as it was written.
    Number(String),
    /// A string, unescaped.
    Text(String),
    /// A list.
    Array(Vec<Tree>),
    /// Members in the order of the text.
    Object(Vec<(String, Tree)>),
}

impl Tree {
    /// Reads the first value of a text and returns what follows it; `None` for anything but strict JSON.
    pub fn read(text: &str, duplicates: Duplicates) -> Option<(Self, &str)> {
        let mut reader = Reader { bytes: text.as_bytes(), at: 0, depth: 0, duplicates };
        reader.blanks();
        let tree = reader.value()?;
        Some((tree, &text[reader.at..]))
    }

    /// The member of an object.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Sorts the members of every object by Java's order of texts.
    pub fn sort_keys(&mut self) {
        match self {
            Self::Object(members) => {
                members.sort_by(|left, right| order::compare(&left.0, &right.0));
                members.iter_mut().for_each(|(_, value)| value.sort_keys());
            }
            Self::Array(items) => items.iter_mut().for_each(Self::sort_keys),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) => {}
        }
    }

    /// The text of a string.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether every release of Java prints every number in the value alike as a double.
    pub fn has_certain_doubles(&self) -> bool {
        match self {
            Self::Number(raw) => number::is_certain_double(raw),
            Self::Array(items) => items.iter().all(Self::has_certain_doubles),
            Self::Object(members) => members.iter().all(|(_, value)| value.has_certain_doubles()),
            Self::Null | Self::Bool(_) | Self::Text(_) => true,
        }
    }

    /// Whether every whole number in the value is one that a `long` can hold.
    pub fn is_within_long(&self) -> bool {
        match self {
            Self::Number(raw) => !number::is_integer(raw) || raw.parse::<i64>().is_ok(),
            Self::Array(items) => items.iter().all(Self::is_within_long),
            Self::Object(members) => members.iter().all(|(_, value)| value.is_within_long()),
            Self::Null | Self::Bool(_) | Self::Text(_) => true,
        }
    }

    /// Whether every number in the value is one that a double can come close to.
    ///
    /// Releases of Jackson before 2.15 print any other as `"Infinity"`.
    pub fn is_finite(&self) -> bool {
        match self {
            Self::Number(raw) => number::is_integer(raw) || raw.parse().is_ok_and(f64::is_finite),
            Self::Array(items) => items.iter().all(Self::is_finite),
            Self::Object(members) => members.iter().all(|(_, value)| value.is_finite()),
            Self::Null | Self::Bool(_) | Self::Text(_) => true,
        }
    }

    /// Prints the value compactly, as Jackson does; `None` for a number whose text is not certain.
    pub fn print(&self, out: &mut String, fractions: Fractions) -> Option<()> {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(raw) => out.push_str(&match fractions {
                Fractions::Decimal => number::decimal(raw)?,
                Fractions::Double => number::double(raw)?,
            }),
            Self::Text(text) => push_text(out, text),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.print(out, fractions)?;
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (index, (key, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    push_text(out, key);
                    out.push(':');
                    value.print(out, fractions)?;
                }
                out.push('}');
            }
        }
        Some(())
    }
}

/// Whether a text is nothing but what JSON takes for blanks.
pub fn is_blank(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
}

/// Appends a JSON string as Jackson writes it into text: unlike on the wire, nothing beyond ASCII is escaped.
pub fn push_text(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\0'..='\u{1f}' => out.push_str(&format!("\\u{:04X}", u32::from(character))),
            _ => out.push(character),
        }
    }
    out.push('"');
}

/// Jackson refuses a depth of 1001 and numbers of 1001 digits; well below both nobody is in doubt.
const DEEPEST: usize = 200;
const LONGEST_NUMBER: usize = 400;

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    duplicates: Duplicates,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, expected: &[u8]) -> Option<()> {
        self.bytes[self.at..].starts_with(expected).then(|| self.at += expected.len())
    }

    fn value(&mut self) -> Option<Tree> {
        match self.peek()? {
            b'{' => self.nested(Self::object),
            b'[' => self.nested(Self::array),
            b'"' => self.text().map(Tree::Text),
            b't' => self.eat(b"true").map(|()| Tree::Bool(true)),
            b'f' => self.eat(b"false").map(|()| Tree::Bool(false)),
            b'n' => self.eat(b"null").map(|()| Tree::Null),
            b'-' | b'0'..=b'9' => self.number().map(Tree::Number),
            _ => None,
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Option<Tree>) -> Option<Tree> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        self.at += 1;
        self.blanks();
        let tree = read(self)?;
        self.depth -= 1;
        Some(tree)
    }

    fn object(&mut self) -> Option<Tree> {
        let mut members: Vec<(String, Tree)> = Vec::new();
        if self.eat(b"}").is_some() {
            return Some(Tree::Object(members));
        }
        let mut places = std::collections::HashMap::new();
        loop {
            let key = self.text()?;
            self.blanks();
            self.eat(b":")?;
            self.blanks();
            let value = self.value()?;
            match (places.get(&key), self.duplicates) {
                (Some(_), Duplicates::Refuse) => return None,
                (Some(&place), Duplicates::LastWins) => {
                    let (_, earlier): &mut (String, Tree) = &mut members[place];
                    *earlier = value;
                }
                (None, _) => {
                    places.insert(key.clone(), members.len());
                    members.push((key, value));
                }
            }
            self.blanks();
            if self.eat(b"}").is_some() {
                return Some(Tree::Object(members));
            }
            self.eat(b",")?;
            self.blanks();
        }
    }

    fn array(&mut self) -> Option<Tree> {
        let mut items = Vec::new();
        if self.eat(b"]").is_some() {
            return Some(Tree::Array(items));
        }
        loop {
            items.push(self.value()?);
            self.blanks();
            if self.eat(b"]").is_some() {
                return Some(Tree::Array(items));
            }
            self.eat(b",")?;
            self.blanks();
        }
    }

    fn text(&mut self) -> Option<String> {
        let start = self.at;
        self.eat(b"\"")?;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                0..0x20 => return None,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        // An escaped lone surrogate fails here, as it must: no Rust string can hold it.
        serde_json::from_slice(&self.bytes[start..self.at]).ok()
    }

    fn number(&mut self) -> Option<String> {
        let start = self.at;
        while matches!(self.peek(), Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')) {
            self.at += 1;
        }
        let raw = std::str::from_utf8(&self.bytes[start..self.at]).ok()?;
        (raw.len() <= LONGEST_NUMBER && number::is_json(raw)).then(|| raw.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str) -> Option<String> {
        let (tree, _) = Tree::read(text, Duplicates::LastWins)?;
        let mut out = String::new();
        tree.print(&mut out, Fractions::Decimal)?;
        Some(out)
    }

    #[test]
    fn the_last_of_equal_keys_wins_at_the_place_of_the_first() {
        assert_eq!(printed(r#"{"a":1,"b":2,"a":3}"#).as_deref(), Some(r#"{"a":3,"b":2}"#));
        assert!(Tree::read(r#"{"a":1,"a":1}"#, Duplicates::Refuse).is_none());
    }

    #[test]
    fn text_that_is_not_strict_json_is_not_read() {
        for text in
            ["", "{", "{a:1}", "[1,]", "01", "1.", "-", "'a'", "\"\\ud800\"", "\"\\x\"", "\"a\nb\"", "\"a\\", "NaN"]
        {
            assert_eq!(printed(text), None, "{text}");
        }
        assert_eq!(printed(&format!("{}{}", "[".repeat(300), "]".repeat(300))), None);
    }

    #[test]
    fn what_follows_the_first_value_is_handed_back() {
        let (tree, rest) = Tree::read(" {} x", Duplicates::Refuse).expect("an object");
        assert_eq!((tree, rest), (Tree::Object(Vec::new()), " x"));
    }

    #[test]
    fn strings_keep_everything_raw_but_controls_quotes_and_backslashes() {
        let text = r#""\u00fcber \"q\" \/ \u2028 🛒 \u0001\t\u007f""#;
        assert_eq!(printed(text).as_deref(), Some("\"über \\\"q\\\" / \u{2028} 🛒 \\u0001\\t\u{7f}\""));
    }
}
