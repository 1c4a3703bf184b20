//! `galera-smoke.yml`.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::config::{Config, Secret, duration};

/// What the smoke test is told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmokeConfig {
    /// Through which it writes: the proxies, or the members themselves.
    pub entries: Vec<Address>,
    /// On which each write must be seen.
    pub members: Vec<Address>,
    /// The user that it runs as, where root runs it.
    pub runs_as: String,
    /// The seeded user.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// Its own database.
    pub database: String,
    /// TLS, where the members have it.
    #[serde(default)]
    pub tls: Option<SmokeTls>,
    /// How long one step may take.
    #[serde(deserialize_with = "duration")]
    pub step_timeout: Duration,
    /// Files that nobody else may read.
    pub private_files: Vec<PathBuf>,
}

/// Where to connect.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Address {
    /// The instance.
    pub name: String,
    /// IP or DNS name.
    pub address: String,
    /// SQL port.
    pub port: u16,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}:{})", self.name, self.address, self.port)
    }
}

/// TLS to the members. Their certificates are checked for who signed them; their names need not be in there,
/// since members are known by address.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmokeTls {
    /// Who signed the members' certificates.
    pub ca: PathBuf,
}

impl Config for SmokeConfig {
    fn fault(&self) -> Option<String> {
        if self.entries.is_empty() || self.members.is_empty() {
            return Some("entries and members: expected at least one of each".into());
        }
        if self.step_timeout.is_zero() {
            return Some("step_timeout: must not be 0".into());
        }
        self.password.reveal().is_empty().then(|| "password: expected a password, found an empty text".into())
    }
}
