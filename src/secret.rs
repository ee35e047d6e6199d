//! A string that never prints itself.

use std::fmt;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

/// A password, key or token. `Debug` shows that there is one, never what it is.
#[derive(Clone, serde::Deserialize)]
#[serde(transparent)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// Reads a secret file; one trailing line end is not part of the secret.
    pub fn read(path: &Path) -> Result<Self, Unreadable> {
        let bytes = std::fs::read(path).map_err(|source| Unreadable::Io { path: path.into(), source })?;
        let text =
            String::from_utf8(bytes).map_err(|_| Unreadable::Malformed { path: path.into(), what: "is not UTF-8" })?;
        let text = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
        if text.is_empty() {
            return Err(Unreadable::Malformed { path: path.into(), what: "is empty" });
        }
        if text.chars().any(char::is_control) {
            return Err(Unreadable::Malformed { path: path.into(), what: "has a control character in it" });
        }
        Ok(Self::new(text))
    }

    /// The text itself, for the one place that puts it on the wire.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A secret file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The file could not be read at all.
    #[error("cannot read the secret file {path}")]
    Io {
        /// Where it should be.
        path: Box<Path>,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file was read, but holds no usable secret.
    #[error("the secret file {path} {what}")]
    Malformed {
        /// Where it is.
        path: Box<Path>,
        /// What is wrong with it.
        what: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_trailing_line_end_is_trimmed_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("secret");
        for (content, secret) in [
            ("a b\n", Some("a b")),
            ("x\r\n", Some("x")),
            (" x ", Some(" x ")),
            ("", None),
            ("\n", None),
            ("a\n\n", None),
            ("a\0", None),
        ] {
            std::fs::write(&file, content).expect("written");
            assert_eq!(Secret::read(&file).ok().as_ref().map(Secret::expose), secret, "{content:?}");
        }
        assert_eq!(format!("{:?}", Secret::new("x")), "[redacted]");
    }
}
