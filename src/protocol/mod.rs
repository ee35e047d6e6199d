//! The Schema Registry API as types; no I/O.

pub mod json;
pub mod schema;
pub mod subject;
