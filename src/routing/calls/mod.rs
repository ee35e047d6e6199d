//! What one call to the primary cannot answer under our names: a way of several calls each.
//!
//! `super::way` says which is taken; what they have in common is in [`gather`], lists of many pages, and [`search`],
//! one thing looked for in many places.

pub(super) mod batch;
pub(super) mod gather;
pub(super) mod guid;
pub(super) mod holders;
pub(super) mod keys;
pub(super) mod referrers;
pub(super) mod search;
pub(super) mod top;
