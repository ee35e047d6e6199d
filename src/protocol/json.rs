//! JSON as the registry prints it (WIRE.md § 0.8): Jackson's escapes, its key order, its omissions.

use serde_json::value::RawValue;

/// Appends a JSON string with Jackson's escapes: `\uD83D\uDED2` beyond U+FFFF, everything else of the BMP raw.
pub fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\u{c}' => out.extend_from_slice(b"\\f"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\0'..='\u{1f}' => push_unit(out, character as u16),
            '\u{10000}'.. => {
                let mut units = [0; 2];
                character.encode_utf16(&mut units).iter().for_each(|unit| push_unit(out, *unit));
            }
            _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

fn push_unit(out: &mut Vec<u8>, unit: u16) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        out.push(DIGITS[usize::from(unit >> shift & 0xf)]);
    }
}

/// Prints one object, key by key, in the order of the calls.
pub struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Object<'a> {
    /// Opens an object at the end of `out`.
    pub fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    /// Starts a member; its value is to be appended to what is returned.
    pub fn key(&mut self, key: &str) -> &mut Vec<u8> {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        push_string(self.out, key);
        self.out.push(b':');
        self.out
    }

    /// A text; left out when absent or empty, as NON_EMPTY has it.
    pub fn text(&mut self, key: &str, value: Option<&str>) -> &mut Self {
        if let Some(value) = value.filter(|text| !text.is_empty()) {
            push_string(self.key(key), value);
        }
        self
    }

    /// A whole number; left out when absent.
    pub fn number(&mut self, key: &str, value: Option<i64>) -> &mut Self {
        if let Some(value) = value {
            self.key(key).extend_from_slice(value.to_string().as_bytes());
        }
        self
    }

    /// A truth value; left out when absent.
    pub fn flag(&mut self, key: &str, value: Option<bool>) -> &mut Self {
        if let Some(value) = value {
            self.key(key).extend_from_slice(if value { b"true" } else { b"false" });
        }
        self
    }

    /// A value that is kept as the primary printed it; left out when absent or an empty list.
    pub fn raw(&mut self, key: &str, value: Option<&RawValue>) -> &mut Self {
        if let Some(value) = value.filter(|raw| !matches!(raw.get(), "null" | "[]" | "\"\"")) {
            self.key(key).extend_from_slice(value.get().as_bytes());
        }
        self
    }

    /// Closes the object.
    pub fn close(self) {
        self.out.push(b'}');
    }
}

/// Appends an array, its elements printed by `element`.
pub fn push_array<T>(out: &mut Vec<u8>, items: impl IntoIterator<Item = T>, mut element: impl FnMut(&mut Vec<u8>, T)) {
    out.push(b'[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        element(out, item);
    }
    out.push(b']');
}

/// The body of a failure: `{"error_code":…,"message":…}` (WIRE.md § 0.6).
pub fn error_body(code: u32, message: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 40);
    let mut object = Object::open(&mut out);
    object.number("error_code", Some(i64::from(code)));
    push_string(object.key("message"), message);
    object.close();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_jackson_does() {
        let mut out = Vec::new();
        push_string(&mut out, "a/<\u{7f}\u{2028}\u{feff}ü🛒\"\\\n\u{1}");
        let printed = String::from_utf8(out).expect("the input was UTF-8");
        assert_eq!(printed, "\"a/<\u{7f}\u{2028}\u{feff}ü\\uD83D\\uDED2\\\"\\\\\\n\\u0001\"");
    }
}
