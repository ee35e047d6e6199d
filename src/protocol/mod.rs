//! The Schema Registry API as types; no I/O.

pub mod endpoints;
pub mod error;
pub mod identity;
pub mod json;
pub mod media;
pub mod mode;
pub mod operation;
pub mod order;
pub mod page;
pub mod printed;
pub mod schema;
pub mod shape;
pub mod splice;
pub mod subject;
pub mod target;
