//! `galera-ctl.yml`: all that is needed to look. For the errand `diagnose`, which runs on a VM that may be no
//! member, and for people who run Galera by systemd or Puppet (G3): there only the names and addresses of the
//! members must be given, and the rest is as distributions have it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::cluster::member::{Cluster, Member};
use crate::cluster::start::AutoRecovery;
use crate::config::{self, Agents, BadConfig, Config, MariaDb, MemberConfig, Paths, Timeouts};

/// Either form of configuration that `galera-ctl` and the agent read.
#[derive(Debug, Clone)]
pub enum Known {
    /// `member.yml`.
    Member(Box<MemberConfig>),
    /// `galera-ctl.yml`.
    Small(Box<SmallConfig>),
}

/// `galera-ctl.yml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmallConfig {
    /// Which of the members this machine is; not given where it is none.
    #[serde(default)]
    pub instance: Option<String>,
    /// What this machine is called where it is no member.
    #[serde(default)]
    pub runs_on: Option<String>,
    /// The user that `galera-ctl` runs as, where root runs it; the server's, if not given and this machine is a member.
    #[serde(default)]
    pub runs_as: Option<String>,
    /// The expected members.
    pub cluster: SmallCluster,
    /// How the members' agents are asked; needed for `status` and `diagnose`.
    #[serde(default)]
    pub agents: Option<Agents>,
    /// One question to an agent.
    #[serde(default = "ask", deserialize_with = "config::duration")]
    pub ask_timeout: Duration,
    /// Port of group communication.
    #[serde(default = "galera_port")]
    pub galera_port: u16,
    /// The server on this machine.
    #[serde(default)]
    pub mariadb: Server,
    /// Where the agent may keep a small file to time the disk; on the data directory's file system.
    #[serde(default = "state_dir")]
    pub state_dir: PathBuf,
    /// Files that nobody else may read.
    #[serde(default)]
    pub private_files: Vec<PathBuf>,
}

/// The members.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmallCluster {
    /// `wsrep_cluster_name`.
    pub name: String,
    /// Every expected member.
    pub members: Vec<SmallMember>,
}

/// A member.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmallMember {
    /// What people call it.
    pub name: String,
    /// IP address or DNS name.
    pub address: String,
    /// What it is; its name where there is nothing better.
    #[serde(default)]
    pub id: Option<String>,
    /// Availability zone.
    #[serde(default)]
    pub az: Option<String>,
}

/// The server, as Debian and its relatives run it where nothing else is said.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// The user that it runs as.
    pub user: String,
    /// `mariadbd`, for `--wsrep-recover`.
    pub program: PathBuf,
    /// `my.cnf`.
    pub defaults_file: PathBuf,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The server's Unix socket.
    pub socket: PathBuf,
    /// The server's error log.
    pub error_log: PathBuf,
    /// SQL port.
    pub port: u16,
    /// A local user of the server, authenticated by the socket.
    pub admin_user: Option<String>,
}

impl Default for Server {
    fn default() -> Server {
        Server {
            user: "mysql".into(),
            program: "/usr/sbin/mariadbd".into(),
            defaults_file: "/etc/mysql/my.cnf".into(),
            data_dir: "/var/lib/mysql".into(),
            socket: "/run/mysqld/mysqld.sock".into(),
            error_log: "/var/log/mysql/error.log".into(),
            port: 3306,
            admin_user: None,
        }
    }
}

fn ask() -> Duration {
    Duration::from_secs(3)
}

fn galera_port() -> u16 {
    4567
}

fn state_dir() -> PathBuf {
    "/var/lib/galera-agent".into()
}

impl SmallCluster {
    fn whole(&self) -> Cluster {
        let whole = |(m, index): (&SmallMember, u32)| Member {
            name: m.name.clone(),
            id: m.id.clone().unwrap_or_else(|| m.name.clone()),
            index,
            az: m.az.clone(),
            address: m.address.clone(),
            bootstrap: false,
        };
        Cluster {
            name: self.name.clone(),
            members: self.members.iter().zip(0..).map(whole).collect(),
            arbitrators: Vec::new(),
        }
    }
}

impl Config for SmallConfig {
    fn fault(&self) -> Option<String> {
        let cluster = self.cluster.whole();
        let of_agents = || self.agents.as_ref().and_then(Agents::fault);
        let stranger = || {
            let name = self.instance.as_ref().filter(|name| cluster.member(name).is_none())?;
            Some(format!("instance: expected the name of one of cluster.members, found {name:?}"))
        };
        cluster.fault().or_else(stranger).or_else(of_agents)
    }
}

/// Reads either form. Only `member.yml` has `paths`.
pub fn load(path: &Path) -> Result<Known, BadConfig> {
    if config::has_key(path, "paths")? {
        config::load(path).map(|config| Known::Member(Box::new(config)))
    } else {
        config::load(path).map(|config| Known::Small(Box::new(config)))
    }
}

impl Known {
    /// The cluster, how its agents are asked, and from where.
    pub fn whom(&self) -> Result<Whom, BadConfig> {
        match self {
            Known::Member(config) => Ok(Whom {
                cluster: config.cluster.clone(),
                agents: config.agents.clone(),
                ask: config.timeouts.ask,
                galera_port: config.mariadb.galera_port,
                from: config.instance.clone(),
            }),
            Known::Small(config) => Ok(Whom {
                cluster: config.cluster.whole(),
                agents: config.agents.clone().ok_or_else(|| {
                    BadConfig::saying("agents: port, username and password are needed to ask the members".into())
                })?,
                ask: config.ask_timeout,
                galera_port: config.galera_port,
                from: config.instance.clone().or(config.runs_on.clone()).unwrap_or_else(|| "here".into()),
            }),
        }
    }

    /// The user to run as, where root runs it; none where it needs no other and nothing is said.
    pub fn user(&self) -> Option<&str> {
        match self {
            Known::Member(config) => Some(&config.mariadb.user),
            Known::Small(config) => {
                let server = config.instance.is_some().then_some(&config.mariadb.user);
                config.runs_as.as_ref().or(server).map(String::as_str)
            }
        }
    }

    /// Files that nobody else may read.
    pub fn private_files(&self) -> &[PathBuf] {
        match self {
            // The supervisor and the agent see to them.
            Known::Member(_) => &[],
            Known::Small(config) => &config.private_files,
        }
    }

    /// This machine's member. What only `galera-start` uses is filled with what harms nobody.
    pub fn member(self) -> Result<MemberConfig, BadConfig> {
        match self {
            Known::Member(config) => Ok(*config),
            Known::Small(config) => config.member(),
        }
    }
}

impl SmallConfig {
    fn member(self) -> Result<MemberConfig, BadConfig> {
        let instance = self
            .instance
            .ok_or_else(|| BadConfig::saying("instance: which of cluster.members is this machine?".into()))?;
        let agents = self.agents.unwrap_or_else(Agents::nobody);
        let server = self.mariadb;
        // No supervisor is to be found there.
        let nowhere = self.state_dir.join("no-galera-start");
        let none = Duration::ZERO;
        Ok(MemberConfig {
            instance,
            cluster: self.cluster.whole(),
            agents,
            mariadb: MariaDb {
                admin_user: server.admin_user.unwrap_or_else(|| server.user.clone()),
                user: server.user,
                install_program: PathBuf::new(),
                upgrade_program: PathBuf::new(),
                initial_bytes: 0,
                program: server.program,
                defaults_file: server.defaults_file,
                data_dir: server.data_dir,
                socket: server.socket,
                error_log: server.error_log,
                port: server.port,
                galera_port: self.galera_port,
            },
            paths: Paths {
                run_dir: nowhere.clone(),
                log_dir: nowhere.clone(),
                tmp_dir: nowhere.clone(),
                seed_file: nowhere,
                state_dir: self.state_dir,
                private_files: self.private_files,
                persistent_disk: None,
            },
            hooks: None,
            auto_recovery: AutoRecovery::Errand,
            open_files: 0,
            timeouts: Timeouts {
                ask: self.ask_timeout,
                recover_stall: Duration::from_secs(600),
                restore: none,
                start: none,
                join_stall: none,
                stop: none,
                drain: none,
                leave_grace: none,
                gate: none,
                post_start: none,
                post_deploy: none,
            },
        })
    }
}

/// Whom to ask, and how.
#[derive(Debug, Clone)]
pub struct Whom {
    /// The expected members.
    pub cluster: Cluster,
    /// How their agents are asked.
    pub agents: Agents,
    /// One question.
    pub ask: Duration,
    /// Port of group communication.
    pub galera_port: u16,
    /// From where it is asked.
    pub from: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str) -> Result<Known, BadConfig> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("galera-ctl.yml");
        std::fs::write(&path, text).unwrap();
        load(&path)
    }

    const MEMBERS: &str = "cluster: {name: g, members: [{name: db1, address: 10.0.0.1}, {name: db2, address: db2}]}\n";

    #[test]
    fn g3_names_and_addresses_are_enough() {
        let member = loaded(&format!("instance: db1\n{MEMBERS}")).unwrap().member().unwrap();
        assert_eq!((member.cluster.members[0].id.as_str(), member.cluster.members[1].index), ("db1", 1));
        assert_eq!(member.mariadb.admin_user, "mysql");
        assert_eq!(member.mariadb.data_dir, Path::new("/var/lib/mysql"));
    }

    #[test]
    fn what_is_missing_for_a_command_is_named() {
        let known = loaded(MEMBERS).unwrap();
        assert!(known.whom().unwrap_err().to_string().contains("agents: port, username and password"));
        assert!(known.member().unwrap_err().to_string().contains("instance"));
        let whom = loaded(&format!("runs_on: tool/0\n{MEMBERS}agents: {{port: 9200, username: u, password: p}}\n"));
        assert_eq!(whom.unwrap().whom().unwrap().from, "tool/0");
    }

    #[test]
    fn a_wrong_file_is_told_with_its_path() {
        for (text, words) in [
            (format!("instance: db3\n{MEMBERS}"), "db3"),
            (format!("instanze: db1\n{MEMBERS}"), "instanze"),
            (MEMBERS.replace("db2, address", "db1, address"), "cluster.members[1].name"),
            (MEMBERS.replace("address: db2", "adress: db2"), "cluster.members[1]"),
            ("[".into(), "YAML"),
        ] {
            let error = loaded(&text).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(words), "{words}: {error}");
        }
    }
}
