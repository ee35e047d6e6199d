//! Sites before one primary, as they live: side by side, started again, mapped anew.
