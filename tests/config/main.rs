//! Settings from files and variables: what is taken, what is refused, and in which words.

mod files;

mod layers;
mod problems;
mod table;
