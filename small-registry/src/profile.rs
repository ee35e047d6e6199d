//! Which registry the small one passes for.

use http::HeaderMap;

use crate::print::Shape;

/// A kind of registry; what differs is in WIRE.md § 8.4 and § 12 and in REAL-REGISTRIES.md.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Confluent 8.3, what the transcripts were recorded from.
    #[default]
    Confluent8,
    /// Confluent 7.x: no GUIDs, no times, `{"id"}` for a registration, AVRO not named.
    Confluent7,
    /// A hosted one: rule sets are kept, and members are trimmed unless the client accepts unknown ones.
    Cloud,
    /// One that lacks `/schemas`, `/contexts` and `/mode`, and says `null` for an empty list.
    Poor,
    /// One that takes an import for a registration: it says 200 and gives an id and a version of its own. Its
    /// `/schemas` names neither, its modes bind nobody, and of a configuration it keeps the level.
    OwnIds,
}

impl Profile {
    pub(crate) fn shape(self, headers: &HeaderMap) -> Shape {
        let accepts = headers.get("Confluent-Accept-Unknown-Properties");
        let accepts = accepts.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
        match self {
            Self::Confluent8 => Shape::Full,
            Self::Confluent7 | Self::Poor | Self::OwnIds => Shape::Seven,
            Self::Cloud if accepts => Shape::Full,
            Self::Cloud => Shape::Trimmed,
        }
    }

    /// Whether rule sets are stored.
    pub(crate) fn keeps_rules(self) -> bool {
        self == Self::Cloud
    }

    /// Whether what is registered gets an id and a version of the registry's own, whatever comes with it.
    pub(crate) fn gives_own_ids(self) -> bool {
        self == Self::OwnIds
    }

    /// Whether there is a mode FORWARD.
    pub(crate) fn forwards(self) -> bool {
        matches!(self, Self::Confluent8 | Self::Cloud)
    }

    /// Whether an incompatible schema is 409 with its own code.
    pub(crate) fn incompatible_code(self) -> u32 {
        if matches!(self, Self::Confluent8 | Self::Cloud) { 40901 } else { 409 }
    }
}
