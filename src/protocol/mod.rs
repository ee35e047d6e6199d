//! The Schema Registry API as types; no I/O.

pub mod identity;
pub mod json;
pub mod order;
pub mod schema;
pub mod subject;
