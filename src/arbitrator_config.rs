//! `galera-arbitrator.yml`.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::cluster::member::{Arbitrator, Cluster};
use crate::config::{self, Agents, Config, Listen, ListenTls};

/// What an arbitrator needs to know.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArbitratorConfig {
    /// Which of `cluster.arbitrators` this is (its name).
    pub instance: String,
    /// The members, and the arbitrators.
    pub cluster: Cluster,
    /// How the members' agents are asked; whoever asks here shows the same name and password.
    pub agents: Agents,
    /// Where this arbitrator's own agent listens.
    pub listen: Listen,
    /// HTTPS instead of HTTP.
    #[serde(default)]
    pub tls: Option<ListenTls>,
    /// `garbd`.
    pub garbd: Garbd,
    /// Pid file, lock, garbd's working directory.
    pub run_dir: PathBuf,
    /// Logs.
    pub log_dir: PathBuf,
    /// Files that nobody else may read.
    pub private_files: Vec<PathBuf>,
    /// The user that all of it runs as.
    pub user: String,
    /// One question to an agent.
    #[serde(deserialize_with = "config::duration")]
    pub ask_timeout: Duration,
    /// SIGTERM to garbd before SIGKILL.
    #[serde(deserialize_with = "config::duration")]
    pub stop_timeout: Duration,
}

/// Galera's arbitrator daemon.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Garbd {
    /// The program.
    pub program: PathBuf,
    /// The members' group port.
    pub galera_port: u16,
    /// Its provider options: those of the members' that concern the group.
    pub options: String,
}

impl ArbitratorConfig {
    /// This arbitrator.
    pub fn me(&self) -> Option<&Arbitrator> {
        self.cluster.arbitrators.iter().find(|a| a.name == self.instance)
    }
}

impl Config for ArbitratorConfig {
    fn fault(&self) -> Option<String> {
        let stranger =
            || Some(format!("instance: expected the name of one of cluster.arbitrators, found {:?}", self.instance));
        // Its saved view would let it take part in a restore that the members do not count on.
        let saves = || {
            let off = self.garbd.options.split(';').any(|option| option.trim() == "pc.recovery=false");
            (!off).then(|| "garbd.options: expected pc.recovery=false among them".to_owned())
        };
        let unknown = || if self.me().is_none() { stranger() } else { None };
        self.cluster.fault().or_else(unknown).or_else(saves).or_else(|| self.agents.fault())
    }
}
