//! The modes of a registry (CONSISTENCY.md, Modes; WIRE.md § 4).

use std::fmt;

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
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
