//! The modes of a registry, and what a request to change one says (CONSISTENCY.md, Modes; WIRE.md § 4).

use std::fmt;

use serde_json::Value;

use super::error::Refusal;

/// What a scope allows, and where its data live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Reads are answered from the replica, writes go to the primary.
    Forward,
    /// The local registry serves everything.
    ReadWrite,
    /// Writes are refused.
    ReadOnly,
    /// Another spelling of read-only since 8.1.
    ReadOnlyOverride,
    /// The local registry takes explicit ids and versions.
    Import,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Forward, Self::ReadWrite, Self::ReadOnly, Self::ReadOnlyOverride, Self::Import];

    /// The mode of a name, in any case.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str().eq_ignore_ascii_case(name))
    }

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "FORWARD",
            Self::ReadWrite => "READWRITE",
            Self::ReadOnly => "READONLY",
            Self::ReadOnlyOverride => "READONLY_OVERRIDE",
            Self::Import => "IMPORT",
        }
    }

    /// Whether it forbids writes, however it is spelt.
    pub fn is_read_only(self) -> bool {
        matches!(self, Self::ReadOnly | Self::ReadOnlyOverride)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the body of `PUT /mode[/{s}]` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModeUpdate {
    /// This mode, in the spelling that is echoed.
    Set(Mode, String),
    /// None of its own any more.
    Clear,
}

impl ModeUpdate {
    /// The mode that is asked for, if any is.
    pub fn mode(&self) -> Option<Mode> {
        match self {
            Self::Set(mode, _) => Some(*mode),
            Self::Clear => None,
        }
    }

    /// Reads a body as tolerantly as the registry does (WIRE.md §§ 0.5, 4.4): a bare text is the mode, scalars are
    /// texts, members that nobody knows are ignored. `argument` is the registry's name of what must not be missing.
    pub fn read(body: &[u8], argument: &str) -> Result<Self, Refusal> {
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let value = match body.trim_ascii() {
            [] => Value::Null,
            body => serde_json::from_slice(body).map_err(|_| Refusal::new(400, "Unable to process JSON"))?,
        };
        let written = match value {
            Value::Null => return Err(Refusal::new(422, format!("{argument} must not be null (was null)"))),
            Value::String(text) => text,
            Value::Object(mut members) => match members.remove("mode") {
                // Its code takes for granted that there is one.
                None => return Err(Refusal::internal()),
                Some(Value::Null) => return Ok(Self::Clear),
                Some(Value::String(text)) => text,
                Some(Value::Array(_)) => return Err(mistyped("String", "Array value (token `JsonToken.START_ARRAY`)")),
                Some(Value::Object(_)) => {
                    return Err(mistyped("String", "Object value (token `JsonToken.START_OBJECT`)"));
                }
                Some(scalar) => scalar.to_string(),
            },
            Value::Array(_) => return Err(mistyped(CLASS, "Array value (token `JsonToken.START_ARRAY`)")),
            Value::Number(number) => return Err(unconstructed("int/Int", &format!("Number value ({number})"))),
            Value::Bool(value) => return Err(unconstructed("boolean/Boolean", &format!("Boolean value ({value})"))),
        };
        let mode = Mode::parse(&written).ok_or_else(|| {
            Refusal::new(42204, "Invalid mode. Valid values are READWRITE, READONLY, IMPORT and FORWARD.")
        })?;
        Ok(Self::Set(mode, written))
    }
}

/// Java's name of what such a body is read as.
const CLASS: &str = "ModeUpdateRequest";

fn mistyped(class: &str, from: &str) -> Refusal {
    Refusal::new(400, format!("Cannot deserialize value of type `{class}` from {from}"))
}

fn unconstructed(kind: &str, from: &str) -> Refusal {
    Refusal::new(
        400,
        format!(
            "Cannot construct instance of `{CLASS}` (although at least one Creator exists): \
             no {kind}-argument constructor/factory method to deserialize from {from}"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As recorded in 07-mode, exchanges 541 to 560.
    #[test]
    fn odd_bodies_are_read_as_recorded() {
        let set = |mode: Mode, written: &str| Ok(ModeUpdate::Set(mode, written.to_owned()));
        for (body, read) in [
            (r#"{"mode": "READONLY"}"#, set(Mode::ReadOnly, "READONLY")),
            (r#"{"mode": "import"}"#, set(Mode::Import, "import")),
            (r#"{"mode": "READWRITE", "unknown": 1}"#, set(Mode::ReadWrite, "READWRITE")),
            (r#""READONLY""#, set(Mode::ReadOnly, "READONLY")),
            (r#"{"mode": null}"#, Ok(ModeUpdate::Clear)),
            (
                r#"{"mode": ""}"#,
                Err((42204, "Invalid mode. Valid values are READWRITE, READONLY, IMPORT and FORWARD.")),
            ),
            (r#"{"mode": 1}"#, Err((42204, "Invalid mode. Valid values are READWRITE, READONLY, IMPORT and FORWARD."))),
            (
                r#"{"mode": ["READONLY"]}"#,
                Err((
                    400,
                    "Cannot deserialize value of type `String` from Array value (token `JsonToken.START_ARRAY`)",
                )),
            ),
            (
                r#"{"mode": {"a": 1}}"#,
                Err((
                    400,
                    "Cannot deserialize value of type `String` from Object value (token `JsonToken.START_OBJECT`)",
                )),
            ),
            ("{}", Err((500, "Internal Server Error"))),
            ("", Err((422, "updateMode.arg2 must not be null (was null)"))),
            ("null", Err((422, "updateMode.arg2 must not be null (was null)"))),
            (
                "[]",
                Err((
                    400,
                    "Cannot deserialize value of type `ModeUpdateRequest` from Array value (token `JsonToken.START_ARRAY`)",
                )),
            ),
        ] {
            let found = ModeUpdate::read(body.as_bytes(), "updateMode.arg2");
            let found = found.as_ref().map_err(|refusal| (refusal.code, refusal.message.as_str()));
            assert_eq!(found, read.as_ref().map_err(|(code, message)| (*code, *message)), "{body}");
        }
    }
}
