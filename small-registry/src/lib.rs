//! A small in-memory Schema Registry on a real socket.
