//! Reads a `.proto` text character by character, as Wire's `SyntaxReader` does, with its errors.

/// A place in the text that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Syntax error in :{line}:{column}: {message}")]
pub(super) struct SyntaxError {
    line: usize,
    column: usize,
    message: String,
}

pub(super) struct Words<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Words<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// An error at the current place.
    pub(super) fn error(&self, message: impl Into<String>) -> SyntaxError {
        self.error_at(self.at, message)
    }

    /// An error at an earlier place.
    pub(super) fn error_at(&self, at: usize, message: impl Into<String>) -> SyntaxError {
        let before = &self.text[..at];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
        SyntaxError { line, column, message: message.into() }
    }

    pub(super) fn place(&self) -> usize {
        self.at
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Skips blanks and comments.
    pub(super) fn skip(&mut self) {
        loop {
            let rest = self.rest();
            let blanks = rest.len() - rest.trim_start().len();
            self.at += blanks;
            let rest = self.rest();
            if rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                self.at += rest.find("*/").map_or(rest.len(), |end| end + 2);
            } else if blanks == 0 {
                return;
            }
        }
    }

    pub(super) fn is_at_end(&mut self) -> bool {
        self.skip();
        self.rest().is_empty()
    }

    /// The next character that is neither blank nor comment.
    pub(super) fn peek(&mut self) -> Option<char> {
        self.skip();
        self.rest().chars().next()
    }

    /// Takes a character if it comes next.
    pub(super) fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    pub(super) fn require(&mut self, wanted: char) -> Result<(), SyntaxError> {
        if self.take(wanted) { Ok(()) } else { Err(self.error(format!("expected '{wanted}'"))) }
    }

    /// Letters, digits, dots, dashes and underscores.
    pub(super) fn word(&mut self) -> Result<String, SyntaxError> {
        self.skip();
        let rest = self.rest();
        let fits = |character: char| character.is_ascii_alphanumeric() || "_-.".contains(character);
        let end = rest.find(|character| !fits(character)).unwrap_or(rest.len());
        if end == 0 {
            return Err(self.error("expected a word"));
        }
        self.at += end;
        Ok(rest[..end].to_owned())
    }

    /// A quoted text, or several in a row, with their escapes undone.
    pub(super) fn text(&mut self) -> Result<String, SyntaxError> {
        let mut out = String::new();
        while let Some(quote @ ('"' | '\'')) = self.peek() {
            self.at += 1;
            loop {
                let character = self.rest().chars().next().ok_or_else(|| self.error("unterminated string"))?;
                self.at += character.len_utf8();
                match character {
                    found if found == quote => break,
                    '\\' => out.push(self.escaped()?),
                    other => out.push(other),
                }
            }
        }
        Ok(out)
    }

    fn escaped(&mut self) -> Result<char, SyntaxError> {
        let character = self.rest().chars().next().ok_or_else(|| self.error("unexpected end of file"))?;
        self.at += character.len_utf8();
        Ok(match character {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            other => other,
        })
    }

    /// A whole number, decimal or hexadecimal.
    pub(super) fn number(&mut self) -> Result<i32, SyntaxError> {
        self.skip();
        let start = self.at;
        let word = self.word()?;
        let hexadecimal = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X"));
        let number = hexadecimal.map_or_else(|| word.parse(), |digits| i32::from_str_radix(digits, 16));
        number.map_err(|_| self.error_at(start, format!("expected an integer but was {word}")))
    }

    /// A name that may be in parentheses or brackets; they are kept.
    pub(super) fn name(&mut self) -> Result<String, SyntaxError> {
        for (open, close) in [('(', ')'), ('[', ']')] {
            if self.take(open) {
                let word = self.word()?;
                self.require(close)?;
                return Ok(format!("{open}{word}{close}"));
            }
        }
        self.word()
    }

    /// A type: a name, or `map<key, value>`.
    pub(super) fn kind(&mut self) -> Result<String, SyntaxError> {
        let name = self.word()?;
        self.kind_after(name)
    }

    /// The rest of a type whose first word was read.
    pub(super) fn kind_after(&mut self, name: String) -> Result<String, SyntaxError> {
        if name != "map" || !self.take('<') {
            return Ok(name);
        }
        let key = self.kind()?;
        self.require(',')?;
        let value = self.kind()?;
        self.require('>')?;
        Ok(format!("map<{key}, {value}>"))
    }
}
