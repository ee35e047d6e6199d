//! Texts at known places of a JSON body, exchanged for others; every other byte stays as it is.
//!
//! A *place* is written as a path: `subject`, `references[].subject`, `[]` for the items of a list. A body is
//! read no more strictly than Jackson does, so that nothing that a registry would take for a name is passed over.

use super::json::push_string;

/// What becomes of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays.
    Kept,
    /// Another stands in its place.
    Exchanged(String),
    /// The item of the list that it is in goes, or the whole body if that is no list.
    Gone,
}

/// Why the texts of a body cannot be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// No reader of JSON understands it; Jackson, which is stricter, does not either.
    #[error("not readable as JSON")]
    Broken,
    /// Jackson may read it and we cannot: another encoding than UTF-8, a text that is no Unicode.
    #[error("readable to some as JSON, but not here")]
    Strange,
}

/// A body with some of its texts exchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spliced {
    /// Nothing was exchanged.
    Same,
    /// The new body.
    Changed(Vec<u8>),
    /// It is about something that went, as a whole.
    Gone,
}

/// Jackson's own limit.
const DEEPEST: usize = 1_000;

/// Decides about every text at the places. `decide` is told the place, and the text without its escapes.
///
/// What follows the first value is not looked at, as registries do not. An empty body has no texts.
pub fn splice<'p>(
    body: &[u8],
    places: &[&'p str],
    decide: &mut dyn FnMut(&'p str, &str) -> Fate,
) -> Result<Spliced, Unreadable> {
    // Jackson guesses UTF-16 and UTF-32 by their zeros.
    if body.iter().take(4).any(|byte| *byte == 0) || body.starts_with(&[0xff, 0xfe]) || body.starts_with(&[0xfe, 0xff])
    {
        return Err(Unreadable::Strange);
    }
    let mut reader = Reader { body, at: 0, out: Vec::new(), copied: 0, is_gone: false, decide };
    if body.starts_with(&[0xef, 0xbb, 0xbf]) {
        reader.at = 3;
    }
    reader.blanks();
    if reader.at == body.len() {
        return Ok(Spliced::Same);
    }
    let open: Vec<Open<'p>> = places.iter().map(|place| Open { place, rest: place }).collect();
    reader.value(&open, 0)?;
    if reader.is_gone {
        return Ok(Spliced::Gone);
    }
    if reader.copied == 0 {
        return Ok(Spliced::Same);
    }
    reader.out.extend_from_slice(&body[reader.copied..]);
    Ok(Spliced::Changed(reader.out))
}

/// A place that the value at hand lies on the way to.
#[derive(Clone, Copy)]
struct Open<'p> {
    place: &'p str,
    rest: &'p str,
}

impl<'p> Open<'p> {
    fn into_item(self) -> Option<Self> {
        let rest = self.rest.strip_prefix("[]")?;
        Some(Self { rest: rest.strip_prefix('.').unwrap_or(rest), ..self })
    }

    fn into_member(self, name: &str) -> Option<Self> {
        let rest = self.rest.strip_prefix(name)?;
        match rest.as_bytes().first() {
            None | Some(b'[') => Some(Self { rest, ..self }),
            Some(b'.') => Some(Self { rest: &rest[1..], ..self }),
            Some(_) => None,
        }
    }
}

struct Reader<'b, 'p, 'd> {
    body: &'b [u8],
    at: usize,
    /// What was written so far: all before `copied`, changed.
    out: Vec<u8>,
    copied: usize,
    /// Whether something went that no list has let go of yet.
    is_gone: bool,
    decide: &'d mut dyn FnMut(&'p str, &str) -> Fate,
}

impl<'p> Reader<'_, 'p, '_> {
    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn value(&mut self, open: &[Open<'p>], depth: usize) -> Result<(), Unreadable> {
        // Releases of Jackson differ in how deep they go.
        if depth > DEEPEST {
            return Err(Unreadable::Strange);
        }
        match self.peek().ok_or(Unreadable::Broken)? {
            b'"' => self.text_value(open),
            b'[' => self.array(open, depth),
            b'{' => self.object(open, depth),
            _ => self.scalar(open),
        }
    }

    /// A number or a word. Where a name is expected Jackson makes a text of it (WIRE.md § 0.5).
    fn scalar(&mut self, open: &[Open<'p>]) -> Result<(), Unreadable> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')) {
            self.at += 1;
        }
        match &self.body[start..self.at] {
            b"" => Err(Unreadable::Broken),
            b"null" => Ok(()),
            scalar => {
                let text = std::str::from_utf8(scalar).map_err(|_| Unreadable::Strange)?.to_owned();
                self.decide_at(open, start, &text);
                Ok(())
            }
        }
    }

    /// Does with the value from `start` to here what is decided of it, if it stands at a place.
    fn decide_at(&mut self, open: &[Open<'p>], start: usize, text: &str) {
        let Some(here) = open.iter().find(|open| open.rest.is_empty()) else { return };
        match (self.decide)(here.place, text) {
            Fate::Kept => {}
            Fate::Gone => self.is_gone = true,
            Fate::Exchanged(other) => {
                self.out.extend_from_slice(&self.body[self.copied..start]);
                push_string(&mut self.out, &other);
                self.copied = self.at;
            }
        }
    }

    /// Moves behind a text, and returns it without its escapes.
    fn text(&mut self) -> Result<std::borrow::Cow<'_, str>, Unreadable> {
        let start = self.at;
        self.pass_text()?;
        let raw = &self.body[start..self.at];
        if !raw.contains(&b'\\') {
            return std::str::from_utf8(&raw[1..raw.len() - 1]).map(Into::into).map_err(|_| Unreadable::Strange);
        }
        serde_json::from_slice::<String>(raw).map(Into::into).map_err(|_| Unreadable::Strange)
    }

    fn text_value(&mut self, open: &[Open<'p>]) -> Result<(), Unreadable> {
        let start = self.at;
        if !open.iter().any(|open| open.rest.is_empty()) {
            return self.pass_text();
        }
        let text = self.text()?.into_owned();
        self.decide_at(open, start, &text);
        Ok(())
    }

    /// Moves behind a text that is nobody's business, whatever stands in it.
    fn pass_text(&mut self) -> Result<(), Unreadable> {
        self.at += 1;
        loop {
            match self.peek().ok_or(Unreadable::Broken)? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Ok(())
    }

    fn object(&mut self, open: &[Open<'p>], depth: usize) -> Result<(), Unreadable> {
        self.at += 1;
        self.blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.blanks();
            if self.peek() != Some(b'"') {
                return Err(Unreadable::Broken);
            }
            let below: Vec<Open<'p>> = if open.is_empty() {
                self.pass_text()?;
                Vec::new()
            } else {
                let name = self.text()?;
                open.iter().filter_map(|open| open.into_member(&name)).collect()
            };
            self.blanks();
            if self.peek() != Some(b':') {
                return Err(Unreadable::Broken);
            }
            self.at += 1;
            self.blanks();
            self.value(&below, depth + 1)?;
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(Unreadable::Broken),
            }
        }
        self.at += 1;
        Ok(())
    }

    fn array(&mut self, open: &[Open<'p>], depth: usize) -> Result<(), Unreadable> {
        let below: Vec<Open<'p>> = open.iter().filter_map(|open| open.into_item()).collect();
        // An item of this list does not take with it what went before the list, in the same item of an outer one.
        let has_gone = std::mem::take(&mut self.is_gone);
        self.items(&below, depth)?;
        self.is_gone = has_gone;
        Ok(())
    }

    fn items(&mut self, below: &[Open<'p>], depth: usize) -> Result<(), Unreadable> {
        self.at += 1;
        self.blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        // Whether an item stands before the one at hand, and from where the comma between them is.
        let mut has_kept = false;
        let mut comma = self.at;
        loop {
            self.blanks();
            let (written, copied) = (self.out.len(), self.copied);
            let item = self.at;
            self.value(below, depth + 1)?;
            if std::mem::take(&mut self.is_gone) {
                // As if the item had never been looked at, and without it.
                self.out.truncate(written);
                self.copied = copied;
                let from = if has_kept { comma } else { item };
                self.out.extend_from_slice(&self.body[self.copied..from]);
                self.copied = self.at;
                self.blanks();
                if !has_kept && self.peek() == Some(b',') {
                    self.at += 1;
                    self.blanks();
                    self.copied = self.at;
                    continue;
                }
            } else {
                has_kept = true;
            }
            self.blanks();
            match self.peek() {
                Some(b',') => {
                    comma = self.at;
                    self.at += 1;
                }
                Some(b']') => break,
                _ => return Err(Unreadable::Broken),
            }
        }
        self.at += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shout(places: &[&str], body: &str) -> Result<String, Unreadable> {
        let mut decide = |_: &str, text: &str| match text {
            "gone" => Fate::Gone,
            "same" => Fate::Kept,
            other => Fate::Exchanged(other.to_uppercase()),
        };
        Ok(match splice(body.as_bytes(), places, &mut decide)? {
            Spliced::Same => "same".to_owned(),
            Spliced::Gone => "gone".to_owned(),
            Spliced::Changed(body) => String::from_utf8(body).expect("UTF-8"),
        })
    }

    #[test]
    fn only_the_texts_at_the_places_are_exchanged() {
        let body = r#" { "a" : 1.50, "subject": "x\u0079", "metadata":{"subject":"no"}, "references" : [ {"name":"n","subject":"r"} , {"subject":null} ] } junk"#;
        let changed = r#" { "a" : 1.50, "subject": "XY", "metadata":{"subject":"no"}, "references" : [ {"name":"n","subject":"R"} , {"subject":null} ] } junk"#;
        assert_eq!(shout(&["subject", "references[].subject"], body).as_deref(), Ok(changed));
        assert_eq!(shout(&["subjects", "reference[].subject", "references.subject"], body).as_deref(), Ok("same"));
    }

    #[test]
    fn a_number_is_the_text_that_jackson_makes_of_it() {
        let body = r#"{"subject":12,"references":[{"subject":true},{"subject":null}],"id":7}"#;
        let changed = r#"{"subject":"12","references":[{"subject":"TRUE"},{"subject":null}],"id":7}"#;
        assert_eq!(shout(&["subject", "references[].subject"], body).as_deref(), Ok(changed));
    }

    #[test]
    fn a_name_is_found_however_its_key_is_spelt_and_however_often() {
        assert_eq!(
            shout(&["subject"], r#"{"subj\u0065ct":"a","subject":"b"}"#).as_deref(),
            Ok(r#"{"subj\u0065ct":"A","subject":"B"}"#)
        );
    }

    #[test]
    fn items_that_go_take_their_comma_along() {
        for (body, left) in [
            (r#"["gone","a"]"#, r#"["A"]"#),
            (r#"["a","gone"]"#, r#"["A"]"#),
            (r#"["a","gone","b"]"#, r#"["A","B"]"#),
            (r#"["gone","gone","b"]"#, r#"["B"]"#),
            (r#"["gone"]"#, "[]"),
            (r#"["gone","gone"]"#, "[]"),
            (r#"[ "same" , "gone" , "same" ]"#, r#"[ "same"  , "same" ]"#),
            ("[]", "same"),
        ] {
            assert_eq!(shout(&["[]"], body).as_deref(), Ok(left), "{body}");
        }
        let body =
            r#"[{"subject":"a","n":[1,{"x":2}]},{"n":1,"subject":"gone"},{"subject":"gone","n":[1]},{"subject":"b"}]"#;
        let left = r#"[{"subject":"A","n":[1,{"x":2}]},{"subject":"B"}]"#;
        assert_eq!(shout(&["[].subject"], body).as_deref(), Ok(left));
    }

    #[test]
    fn a_body_whose_own_name_goes_is_gone() {
        assert_eq!(shout(&["subject"], r#"{"id":1,"subject":"gone"}"#).as_deref(), Ok("gone"));
    }

    #[test]
    fn what_nobody_understands_is_an_error_and_nothing_is_no_text() {
        for body in ["{", r#"{"a"}"#, r#"{"a":}"#, r#"{a:1}"#, "[1,]x", r#"{"a":"b"#, "{\"a\":1 \"b\":2}"] {
            assert_eq!(shout(&["a"], body), Err(Unreadable::Broken), "{body}");
        }
        for body in ["\0{\0", r#"{"a":"\ud800"}"#, r#"{"\ud800":1}"#] {
            assert_eq!(shout(&["a"], body), Err(Unreadable::Strange), "{body}");
        }
        assert_eq!(shout(&["a"], "").as_deref(), Ok("same"));
        assert_eq!(shout(&["a"], &"[".repeat(2_000)), Err(Unreadable::Strange));
    }
}
