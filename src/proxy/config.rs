//! `galera-proxy.yml`.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::config::{Config, duration};

/// What `galera-proxy` is told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyConfig {
    /// The name of the instance that it runs on.
    pub runs_on: String,
    /// `haproxy`.
    pub program: PathBuf,
    /// HAProxy's own configuration.
    pub haproxy_config: PathBuf,
    /// The user that both run as.
    pub user: String,
    /// Pid file, lock, HAProxy's socket.
    pub run_dir: PathBuf,
    /// Logs.
    pub log_dir: PathBuf,
    /// Who the writer is.
    pub data_dir: PathBuf,
    /// Files that nobody else may read.
    pub private_files: Vec<PathBuf>,
    /// The members, as HAProxy knows them.
    pub members: Vec<Backend>,
    /// The other proxies.
    pub others: Vec<OtherProxy>,
    /// The port of the health page, the same on all proxies.
    pub health_port: u16,
    /// `RLIMIT_NOFILE` of HAProxy.
    pub open_files: u64,
    /// Bounds.
    pub timeouts: ProxyTimeouts,
}

/// A member, as HAProxy knows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// The instance.
    pub name: String,
    /// Its name in HAProxy's configuration.
    pub server: String,
    /// Its number there; not 0, which means nobody.
    pub number: u32,
}

/// Another proxy.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtherProxy {
    /// The instance.
    pub name: String,
    /// IP or DNS name.
    pub address: String,
    /// The environment variable by which HAProxy's configuration has its address, where that is a name.
    pub variable: String,
}

/// What a proxy waits for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyTimeouts {
    /// After a start, before BOSH goes on.
    #[serde(deserialize_with = "duration")]
    pub startup_delay: Duration,
    /// In a drain, from the closed health port to the closed port for clients.
    #[serde(deserialize_with = "duration")]
    pub drain_delay: Duration,
    /// In a drain, from there until the last client is cut.
    #[serde(deserialize_with = "duration")]
    pub drain: Duration,
}

impl Config for ProxyConfig {
    fn fault(&self) -> Option<String> {
        if self.members.is_empty() {
            return Some("members: expected at least one".into());
        }
        let twice = |b: &&Backend| {
            self.members.iter().filter(|o| o.number == b.number || o.server == b.server).count() > 1 || b.number == 0
        };
        let found = self.members.iter().find(twice)?;
        Some(format!("members: the number of {} must be its own, and not 0; so must its server name", found.name))
    }
}

impl ProxyConfig {
    /// The file that tells HAProxy, when it starts, who the writer is. `data_dir` outlives a restart of the VM's
    /// processes, and not the VM.
    pub fn writer_file(&self) -> PathBuf {
        self.data_dir.join("writer.map")
    }

    /// The file that tells HAProxy, when it starts, which addresses the other proxies have.
    pub fn admitted_file(&self) -> PathBuf {
        self.data_dir.join("proxies.lst")
    }

    /// What to call the member of this number.
    pub fn name_of(&self, number: u32) -> &str {
        self.members.iter().find(|m| m.number == number).map_or("nobody", |m| m.name.as_str())
    }
}
