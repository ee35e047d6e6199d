//! A transparent forwarding sidecar for Schema Registry.

pub mod admin;
pub mod admission;
pub mod body;
pub mod importer;
pub mod protocol;
pub mod proxy;
pub mod replica;
pub mod routing;
pub mod secret;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod upstream;
