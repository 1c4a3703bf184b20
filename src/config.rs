//! Configuration files: YAML, unknown keys rejected, no defaults. An error names the key's path.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::Uid;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use crate::cluster::member::{Cluster, Member};
use crate::cluster::start::AutoRecovery;
use crate::trust;

/// A configuration that cannot be used. Exit code 2; nothing was changed.
#[derive(Debug)]
pub struct BadConfig(String);

impl BadConfig {
    /// With what is wrong, and the key's path.
    pub fn saying(what: String) -> BadConfig {
        BadConfig(format!("configuration: {what}"))
    }

    /// Something else that a person gave and that cannot be used.
    pub fn of(what: impl Into<String>) -> BadConfig {
        BadConfig(what.into())
    }
}

impl std::fmt::Display for BadConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadConfig {}

/// A configuration file's content.
pub trait Config: DeserializeOwned {
    /// What is wrong with it although every key has the right form: a sentence with the key's path.
    fn fault(&self) -> Option<String>;
}

/// Reads and checks a configuration file.
pub fn load<C: Config>(path: &Path) -> Result<C, BadConfig> {
    let bad = |what: String| BadConfig(format!("configuration {}: {what}", path.display()));
    let text = text_of(path).map_err(bad)?;
    parse(&text).map_err(bad)
}

/// Whether a configuration file has this key at its top.
pub fn has_key(path: &Path, key: &str) -> Result<bool, BadConfig> {
    let bad = |what: String| BadConfig(format!("configuration {}: {what}", path.display()));
    let text = text_of(path).map_err(bad)?;
    let tree: serde_json::Value = tree_of(&text).map_err(bad)?;
    Ok(tree.get(key).is_some())
}

/// Passwords are in it, so whoever came by `bosh ssh` may not read it before `sudo`. And it says what root does, so
/// root believes it only where nobody else can have written it.
fn text_of(path: &Path) -> Result<String, String> {
    if Uid::effective().is_root() && path.exists() {
        trust::only_ours(path).map_err(|e| format!("root does not believe it: {e:#}"))?;
    }
    fs::read_to_string(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::PermissionDenied => "only root may read it; run this with sudo".into(),
        std::io::ErrorKind::NotFound => "there is no such file on this VM".into(),
        _ => format!("cannot be read: {e}"),
    })
}

/// Only the place: the reader's own words show what stands there and around it, and that may be a password.
fn tree_of(text: &str) -> Result<serde_json::Value, String> {
    serde_yaml::from_str(text).map_err(|e| match e.location() {
        Some(at) => format!("is not YAML: line {}, column {}", at.line(), at.column()),
        None => "is not YAML".into(),
    })
}

fn parse<C: Config>(text: &str) -> Result<C, String> {
    // In two steps, because the YAML reader alone does not tell the path of a wrong key.
    let tree = tree_of(text)?;
    // The reader's own words would repeat all of such a file.
    if !tree.is_object() {
        return Err("expected keys and their values, and there are none".into());
    }
    let config: C = serde_path_to_error::deserialize(tree).map_err(|e| {
        let (path, what) = (e.path().to_string(), e.inner().to_string());
        if path == "." { what } else { format!("{path}: {what}") }
    })?;
    match config.fault() {
        Some(fault) => Err(fault),
        None => Ok(config),
    }
}

/// A duration as configuration writes it.
pub(crate) fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    /// Whatever is added to it is still a moment.
    const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);
    let text = String::deserialize(from)?;
    let found = humantime::parse_duration(&text).map_err(|e| e.to_string());
    found
        .and_then(|d| if d <= LONGEST { Ok(d) } else { Err("more than a year".into()) })
        .map_err(|e| serde::de::Error::custom(format!("expected a duration such as 60s or 10m, found {text:?}: {e}")))
}

/// `member.yml`: this member, and everything that the executables on its VM need.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberConfig {
    /// The name of this member.
    pub instance: String,
    /// The expected members.
    pub cluster: Cluster,
    /// How agents are asked.
    pub agents: Agents,
    /// The server.
    pub mariadb: MariaDb,
    /// Our own directories and files.
    pub paths: Paths,
    /// Whether members bring the cluster back by themselves where that is proven.
    pub auto_recovery: AutoRecovery,
    /// `RLIMIT_NOFILE` of `mariadbd`.
    pub open_files: u64,
    /// Bounds.
    pub timeouts: Timeouts,
    /// What is told of what happens.
    #[serde(default)]
    pub hooks: Option<Hooks>,
}

/// The operator's executables that are told of what happens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hooks {
    /// Where their folders are; a `*` stands for every folder there.
    pub directory: String,
    /// How long one of them may take.
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
}

impl Hooks {
    fn fault(&self) -> Option<String> {
        (!self.directory.starts_with('/'))
            .then(|| format!("hooks.directory: expected an absolute path, found {:?}", self.directory))
    }
}

/// How members' agents are asked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agents {
    /// TCP port, the same on all members.
    pub port: u16,
    /// Basic auth.
    pub username: String,
    /// Basic auth.
    pub password: Secret,
    /// Shown to agents that do not know the new password yet.
    #[serde(default)]
    pub previous_password: Option<Secret>,
    /// HTTPS instead of HTTP.
    #[serde(default)]
    pub tls: Option<AgentsTls>,
}

/// HTTPS to the agents.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentsTls {
    /// Who signed the agents' certificates.
    pub ca: PathBuf,
    /// Our client certificate, where agents want one.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    /// Its key.
    #[serde(default)]
    pub private_key: Option<PathBuf>,
    /// The name in the agents' certificates.
    pub server_name: String,
    /// Whether an agent that answers by HTTP is asked by HTTP, while a deployment switches to HTTPS.
    #[serde(default)]
    pub also_plain: bool,
}

/// A text that no log and no error message shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl<'de> Deserialize<'de> for Secret {
    /// Not by the derived code, whose error shows what it found: a password of digits without quotes is a number.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
        match serde_json::Value::deserialize(from)? {
            serde_json::Value::String(text) => Ok(Secret(text)),
            _ => Err(serde::de::Error::custom("expected a text; write it in quotes")),
        }
    }
}

impl Secret {
    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// The server and its files.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MariaDb {
    /// The user that supervisor, server and agent run as.
    pub user: String,
    /// `mariadbd`.
    pub program: PathBuf,
    /// `mariadb-install-db`.
    pub install_program: PathBuf,
    /// `mariadb-upgrade`.
    pub upgrade_program: PathBuf,
    /// `my.cnf`.
    pub defaults_file: PathBuf,
    /// The data directory.
    pub data_dir: PathBuf,
    /// What an empty data directory grows to before anything is written, in bytes: redo log and gcache.
    #[serde(default)]
    pub initial_bytes: u64,
    /// The server's Unix socket.
    pub socket: PathBuf,
    /// The server's error log.
    pub error_log: PathBuf,
    /// SQL port.
    pub port: u16,
    /// Group communication port.
    pub galera_port: u16,
    /// The local administrator, authenticated by the socket.
    pub admin_user: String,
}

/// Our own directories and files.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paths {
    /// What must survive: lineage, hold, journal. On the persistent disk, outside the data directory.
    pub state_dir: PathBuf,
    /// Pid file, lock, sockets.
    pub run_dir: PathBuf,
    /// Logs.
    pub log_dir: PathBuf,
    /// Temporary files of the server.
    pub tmp_dir: PathBuf,
    /// `seed.yml`.
    pub seed_file: PathBuf,
    /// Files that nobody else may read.
    pub private_files: Vec<PathBuf>,
    /// Where a persistent disk must be mounted before anything is done; none if the deployment has none.
    #[serde(default)]
    pub persistent_disk: Option<PathBuf>,
}

/// Bounds of what `galera-start` and `galera-drain` wait for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    /// One question to a peer's agent.
    #[serde(deserialize_with = "duration")]
    pub ask: Duration,
    /// `--wsrep-recover` without progress.
    #[serde(deserialize_with = "duration")]
    pub recover_stall: Duration,
    /// A restored view that does not become primary.
    #[serde(deserialize_with = "duration")]
    pub restore: Duration,
    /// In a recovery: the member that begins, without progress.
    #[serde(deserialize_with = "duration")]
    pub start: Duration,
    /// In a recovery: a joiner without progress. At any time: a full copy of which nothing arrives.
    #[serde(deserialize_with = "duration")]
    pub join_stall: Duration,
    /// SIGTERM to `mariadbd` before SIGKILL.
    #[serde(deserialize_with = "duration")]
    pub stop: Duration,
    /// The whole of a drain.
    #[serde(deserialize_with = "duration")]
    pub drain: Duration,
    /// Before a leaving member's `mariadbd` is stopped: for its clients to go elsewhere.
    #[serde(deserialize_with = "duration")]
    pub leave_grace: Duration,
    /// Another member that is not well, or not seen, before this one is refused to leave.
    #[serde(deserialize_with = "duration")]
    pub gate: Duration,
    /// The whole of `post-start`.
    #[serde(deserialize_with = "duration")]
    pub post_start: Duration,
    /// The whole of `post-deploy`.
    #[serde(deserialize_with = "duration")]
    pub post_deploy: Duration,
}

impl Config for MemberConfig {
    fn fault(&self) -> Option<String> {
        if let Some(fault) = self.cluster.fault() {
            return Some(fault);
        }
        if self.cluster.member(&self.instance).is_none() {
            return Some(format!("instance: expected the name of one of cluster.members, found {:?}", self.instance));
        }
        if self.paths.state_dir.starts_with(&self.mariadb.data_dir) {
            return Some("paths.state_dir: must not lie in mariadb.data_dir, a state transfer wipes that".into());
        }
        self.agents.fault().or_else(|| self.hooks.as_ref()?.fault())
    }
}

impl Agents {
    /// All that are accepted: the password, and the one before.
    pub fn passwords(&self) -> impl Iterator<Item = &str> {
        [Some(&self.password), self.previous_password.as_ref()].into_iter().flatten().map(Secret::reveal)
    }

    /// Where nobody is to be asked.
    pub(crate) fn nobody() -> Agents {
        Agents { port: 0, username: String::new(), password: Secret(String::new()), previous_password: None, tls: None }
    }

    pub(crate) fn fault(&self) -> Option<String> {
        let tls = self.tls.as_ref()?;
        (tls.certificate.is_some() != tls.private_key.is_some())
            .then(|| "agents.tls: certificate and private_key are given together or not at all".into())
    }
}

impl MemberConfig {
    /// This member and the others.
    pub fn split(&self) -> Result<(&Member, Vec<&Member>), BadConfig> {
        let me = self
            .cluster
            .member(&self.instance)
            .ok_or_else(|| BadConfig(format!("instance: {:?} is none of cluster.members", self.instance)))?;
        Ok((me, self.cluster.members.iter().filter(|m| m.name != me.name).collect()))
    }
}

/// `seed.yml`: what is made in a new cluster, and kept so.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedConfig {
    /// Databases that must exist.
    pub databases: Vec<String>,
    /// Users that must exist, with these passwords.
    pub users: Vec<SeedUser>,
    /// Users that must not exist any more, from wherever they came.
    #[serde(default)]
    pub removed_users: Vec<String>,
}

/// A user to be seeded.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedUser {
    /// Its name.
    pub name: String,
    /// From where it connects; `%` for anywhere.
    pub host: String,
    /// Its password.
    pub password: Secret,
    /// What it may do.
    pub role: Role,
    /// The databases of role `schema`.
    #[serde(default)]
    pub databases: Vec<String>,
    /// Its connections at most, on each member; 0 for no bound of its own.
    #[serde(default)]
    pub max_connections: u32,
}

/// What a seeded user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything, with the right to grant it.
    Admin,
    /// Everything on its databases.
    Schema,
    /// Read everything, and the server's figures.
    Reader,
    /// What a backup needs.
    Backup,
    /// Log in only.
    Minimal,
}

impl Config for SeedConfig {
    fn fault(&self) -> Option<String> {
        let kept = |name: &&String| {
            // The administrator of the VM is `vcap`, and what MariaDB itself needs goes by the other names.
            ["", "vcap", "root", "mysql", "mariadb.sys"].contains(&name.as_str())
                || self.users.iter().any(|user| user.name == **name)
        };
        if let Some(name) = self.removed_users.iter().find(kept) {
            return Some(format!("removed_users: {name:?} is needed, or seeded, and must not be removed"));
        }
        self.users.iter().enumerate().find_map(|(at, user)| {
            let schema = user.role == Role::Schema;
            (schema == user.databases.is_empty())
                .then(|| format!("users[{at}].databases: expected for role schema, and for no other role"))
        })
    }
}

/// `galera-agent.yml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// The member's `member.yml`.
    pub member: PathBuf,
    /// Where to listen.
    pub listen: Listen,
    /// Basic auth.
    pub username: String,
    /// Basic auth.
    pub password: Secret,
    /// Accepted as well, while those who ask are told the new one.
    #[serde(default)]
    pub previous_password: Option<Secret>,
    /// Whether a donor counts as fit for clients.
    pub available_when_donor: bool,
    /// Whether a read-only server counts as fit for clients.
    pub available_when_read_only: bool,
    /// HTTPS instead of HTTP.
    #[serde(default)]
    pub tls: Option<ListenTls>,
    /// Pid file and lock.
    pub run_dir: PathBuf,
    /// Log.
    pub log_dir: PathBuf,
    /// Files that nobody else may read.
    pub private_files: Vec<PathBuf>,
    /// The user that the agent runs as.
    pub user: String,
}

/// Where the agent listens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// IP address.
    pub address: std::net::IpAddr,
    /// TCP port.
    pub port: u16,
}

/// The agent's HTTPS.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenTls {
    /// The agent's certificate chain.
    pub certificate: PathBuf,
    /// Its key.
    pub private_key: PathBuf,
    /// Where given, clients must show a certificate signed by it.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
    /// HTTP too, and HTTPS without a client's certificate, while a deployment switches to HTTPS.
    #[serde(default)]
    pub also_plain: bool,
}

impl Config for AgentConfig {
    fn fault(&self) -> Option<String> {
        self.password.reveal().is_empty().then(|| "password: expected a password, found an empty text".into())
    }
}

impl Timeouts {
    /// The bounds of a recovery that this member leads.
    pub fn of_recovery(&self) -> BootstrapTimeouts {
        // All members are stopped within the same time; then a position may have to be recovered.
        let stop = self.stop + self.recover_stall;
        BootstrapTimeouts { ask: self.ask, stop, start: self.start, join_stall: self.join_stall }
    }
}

/// `galera-bootstrap.yml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootstrapConfig {
    /// The instance that runs this errand.
    pub runs_on: String,
    /// The user that it runs as, where root runs it.
    pub user: String,
    /// The expected members.
    pub cluster: Cluster,
    /// How agents are asked.
    pub agents: Agents,
    /// Log.
    pub log_dir: PathBuf,
    /// Files that nobody else may read.
    pub private_files: Vec<PathBuf>,
    /// Bounds.
    pub timeouts: BootstrapTimeouts,
    /// Where evidence is kept before anything is done; not kept where there is none.
    #[serde(default)]
    pub incidents: Option<PathBuf>,
    /// What is told of what happens.
    #[serde(default)]
    pub hooks: Option<Hooks>,
}

/// Bounds of the errand's steps.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootstrapTimeouts {
    /// One question to an agent.
    #[serde(deserialize_with = "duration")]
    pub ask: Duration,
    /// All members stopped, and their positions known.
    #[serde(deserialize_with = "duration")]
    pub stop: Duration,
    /// The member that begins, without progress.
    #[serde(deserialize_with = "duration")]
    pub start: Duration,
    /// A joiner without progress.
    #[serde(deserialize_with = "duration")]
    pub join_stall: Duration,
}

impl Config for BootstrapConfig {
    fn fault(&self) -> Option<String> {
        self.cluster.fault().or_else(|| self.agents.fault()).or_else(|| self.hooks.as_ref()?.fault())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &str =
        "databases: [cf]\nusers:\n  - {name: app, host: '%', password: 'p''\"\\n', role: schema, databases: [cf]}\n";

    #[test]
    fn a_good_file() {
        let seed: SeedConfig = parse(SEED).unwrap();
        assert_eq!(seed.users[0].role, Role::Schema);
    }

    #[test]
    fn an_error_names_the_path_and_what_is_expected() {
        for (text, words) in [
            (SEED.replace("host:", "hots:"), ["users[0]", "hots", "expected"]),
            (SEED.replace("role: schema", "role: boss"), ["users[0].role", "boss", "admin"]),
            (SEED.replace("databases: [cf]\nusers", "databases: 5\nusers"), ["databases", "5", "sequence"]),
            (SEED.replace("users:", "users: ["), ["YAML", "", ""]),
            (SEED.replace("role: schema", "role: admin"), ["users[0].databases", "schema", ""]),
            (format!("{SEED}removed_users: [old, app]"), ["removed_users", "app", "must not be removed"]),
            (format!("{SEED}removed_users: [root]"), ["removed_users", "root", "must not be removed"]),
            (String::new(), ["expected keys", "", ""]),
            ("root:x:0:0:root".repeat(9), ["expected keys", "", ""]),
        ] {
            let error = parse::<SeedConfig>(&text).unwrap_err();
            assert!(words.iter().all(|w| error.contains(w)), "{error}");
        }
    }

    #[test]
    fn an_error_shows_no_password() {
        for (text, words) in [
            (format!("{SEED}secret1: [\"secret1"), "is not YAML: line "),
            (SEED.replace("password: 'p''\"\\n'", "password: 1234567"), "users[0].password"),
        ] {
            let error = parse::<SeedConfig>(&text).unwrap_err();
            assert!(error.contains(words) && !error.contains("secret1") && !error.contains("1234567"), "{error}");
        }
    }

    #[test]
    fn a_duration_has_an_end() {
        let read = |text: &str| duration(serde_json::Value::from(text));
        assert_eq!(read("366d").unwrap(), Duration::from_secs(366 * 86_400));
        for text in ["367d", "999999999y", "1 s 1", ""] {
            assert!(read(text).unwrap_err().to_string().contains("expected a duration"), "{text}");
        }
    }

    #[test]
    fn durations_are_written_with_a_unit() {
        let at = |text: &str| duration(serde::de::value::StrDeserializer::<serde::de::value::Error>::new(text));
        assert_eq!(at("10m").unwrap(), Duration::from_secs(600));
        assert!(at("10").unwrap_err().to_string().contains("60s"));
    }

    #[test]
    fn a_secret_is_not_shown() {
        let seed: SeedConfig = parse(SEED).unwrap();
        assert!(!format!("{seed:?}").contains("p'"));
    }
}
