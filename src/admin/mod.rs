//! For operators, on its own port: health, status, metrics, digest.

use std::net::SocketAddr;

use serde::Deserialize;

/// The admin port.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port of the admin endpoints.
    pub bind: SocketAddr,
}

impl Default for Config {
    fn default() -> Self {
        Self { bind: SocketAddr::from(([127, 0, 0, 1], 8082)) }
    }
}
