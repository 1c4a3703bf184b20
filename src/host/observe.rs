//! Takes an observation of this VM's member. Fetches only; every part is bounded.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::asking::{Asking, NO_ANSWER};
use super::clock::seconds_since_epoch;
use super::datadir::DataDir;
use super::journal::Journal;
use super::knocks::Knocks;
use super::mariadbd::{error_log_length, error_log_since};
use super::ports;
use super::processes::find_mariadbd;
use super::socket::{Reply, Request, ask};
use super::sql;
use super::store::Store;
use crate::agent::client::Client;
use crate::cluster::arbitration::ArbitratorWord;
use crate::cluster::member::Member;
use crate::cluster::observation::{Deaths, Host, Identity, Observation, Ports, Process, Sql, SupervisorSight};
use crate::cluster::standing::standing;
use crate::config::MemberConfig;
use crate::galera::log_lines::{Evidence, evidence};
use crate::galera::wsrep::Wsrep;
use crate::log;

/// Galera's ports for state transfers.
const IST_PORT: u16 = 4568;
const SST_PORT: u16 = 4444;
/// How long an arbitrator's agent may take.
const ARBITRATOR_LIMIT: Duration = Duration::from_secs(1);

/// Who we are.
pub fn identity(config: &MemberConfig, me: &Member) -> Identity {
    Identity {
        name: me.name.clone(),
        id: me.id.clone(),
        az: me.az.clone(),
        cluster: config.cluster.name.clone(),
        expects: config.cluster.members.iter().map(|m| m.name.clone()).collect(),
        version: env!("CARGO_PKG_VERSION").into(),
        boot_id: std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().into(),
        auto_recovery: Some(config.auto_recovery),
    }
}

/// What can be seen without asking anybody: files, processes, memory. `supervisor` and `sql` are what
/// was learned already.
pub fn at_hand(
    config: &MemberConfig,
    me: &Member,
    supervisor: SupervisorSight,
    sql: (Sql, Option<Wsrep>),
) -> Observation {
    let disk = DataDir::at(&config.mariadb.data_dir).look();
    let store = Store::in_dir(&config.paths.state_dir);
    let memory = store.memory();
    let process = find_mariadbd(&config.mariadb.defaults_file).map(|(_, process)| process);
    let (sql, wsrep) = sql;
    let resting = supervisor.present().map(|s| &s.position);
    let position = standing(process.as_ref(), wsrep.as_ref(), &disk, &memory, resting);
    Observation {
        member: identity(config, me),
        at: log::now(),
        supervisor,
        process_seconds: process.as_ref().and_then(age),
        process,
        deaths: Deaths::default(),
        log: Vec::new(),
        ports: Ports::default(),
        sql,
        wsrep,
        disk,
        host: Host::default(),
        peers: Vec::new(),
        arbitrators: Vec::new(),
        memory,
        maintenance: store.maintenance(seconds_since_epoch()),
        position,
    }
}

/// The same of this VM's member, with everything asked now. For programs that run beside supervisor and agent.
pub fn own(config: &MemberConfig) -> Result<Observation> {
    let me = config.split()?.0;
    let answers = sql::look(&config.mariadb.socket, &config.mariadb.admin_user);
    let deaths = Journal::in_dir(&config.paths.state_dir).deaths();
    Ok(Observation { deaths, ..at_hand(config, me, supervisor(config), answers) })
}

/// For how many seconds a process has run.
fn age(process: &Process) -> Option<u64> {
    /// The unit of start times in /proc, the same on all machines that we know.
    const TICKS_PER_SECOND: u64 = 100;
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let since_boot: u64 = uptime.split(['.', ' ']).next()?.parse().ok()?;
    Some(since_boot.saturating_sub(process.started / TICKS_PER_SECOND))
}

/// Takes whole observations, one after the other. Keeps what must outlive one of them: a probe of the
/// disk that still hangs, and what the error log said when it was last longer than before.
#[derive(Debug)]
pub struct Observer {
    config: MemberConfig,
    me: Member,
    peers: Arc<Knocks>,
    supervisor: Arc<Asking>,
    probe: Arc<DiskProbe>,
    log: Mutex<(u64, Vec<Evidence>)>,
    ports: Mutex<Option<(Instant, Ports)>>,
}

impl Observer {
    /// The observer of the member of this configuration.
    pub fn of(config: MemberConfig) -> Result<Observer, crate::config::BadConfig> {
        let (me, others) = config.split()?;
        let (me, others) = (me.clone(), others.into_iter().cloned().collect());
        let peers = Knocks::at(others, config.agents.port, config.mariadb.galera_port);
        Ok(Observer {
            config,
            me,
            peers,
            supervisor: Arc::default(),
            probe: Arc::default(),
            log: Mutex::default(),
            ports: Mutex::default(),
        })
    }

    /// Looks at everything, in parallel where it may take long.
    pub fn look(&self) -> Observation {
        std::thread::scope(|scope| {
            let peers = scope.spawn(|| self.peers.ask());
            let arbitrators = scope.spawn(|| self.ask_arbitrators());
            let answers = scope.spawn(|| sql::look(&self.config.mariadb.socket, &self.config.mariadb.admin_user));
            let run_dir = self.config.paths.run_dir.clone();
            let supervisor = self.supervisor.ask(move || said_in(&run_dir));
            let sql = answers.join().unwrap_or((Sql::Failed { why: "the probe ended unexpectedly".into() }, None));
            let mut seen = at_hand(&self.config, &self.me, supervisor, sql);
            seen.ports = self.ports(seen.wsrep.is_some());
            seen.host = self.host();
            seen.log = self.log();
            seen.deaths = Journal::in_dir(&self.config.paths.state_dir).deaths();
            seen.peers = peers.join().unwrap_or_default();
            seen.arbitrators = arbitrators.join().unwrap_or_default();
            seen
        })
    }

    /// The kernel walks its whole table of connections for this, which was most of what an observation cost. While
    /// SQL answers, no conclusion rests on ports, so they are looked at from time to time only.
    fn ports(&self, answers: bool) -> Ports {
        const EVERY: Duration = Duration::from_secs(5);
        let Ok(mut known) = self.ports.lock() else { return Ports::default() };
        if let Some((at, ports)) = *known
            && answers
            && at.elapsed() < EVERY
        {
            return ports;
        }
        let open = ports::listening();
        let found = Ports {
            sql: open.contains(&self.config.mariadb.port),
            galera: open.contains(&self.config.mariadb.galera_port),
            ist: open.contains(&IST_PORT),
            sst: open.contains(&SST_PORT),
        };
        *known = answers.then(|| (Instant::now(), found));
        found
    }

    /// What the end of the error log proves; read again only where it has changed.
    fn log(&self) -> Vec<Evidence> {
        const MOST: u64 = 128 * 1024;
        let length = error_log_length(&self.config);
        let Ok(mut known) = self.log.lock() else { return Vec::new() };
        if known.0 != length {
            *known = (length, evidence(&error_log_since(&self.config, length.saturating_sub(MOST))));
        }
        known.1.clone()
    }

    fn ask_arbitrators(&self) -> Vec<ArbitratorWord> {
        let expected = &self.config.cluster.arbitrators;
        if expected.is_empty() {
            return Vec::new();
        }
        Client::new(&self.config.agents, ARBITRATOR_LIMIT, self.config.mariadb.galera_port).ask_arbitrators(expected)
    }

    fn host(&self) -> Host {
        let dir = &self.config.paths.state_dir;
        let space = nix::sys::statvfs::statvfs(dir.as_path()).ok();
        let (write_milliseconds, write_fault) = self.probe.ask(dir);
        Host {
            free_bytes: free_bytes(dir),
            free_inodes: space.map(|s| s.files_available()),
            write_milliseconds,
            write_fault,
            load: std::fs::read_to_string("/proc/loadavg").ok().and_then(|l| l.split_whitespace().next()?.parse().ok()),
        }
    }

    /// The password-free part of the configuration that others need.
    pub fn config(&self) -> &MemberConfig {
        &self.config
    }
}

/// How many bytes are free on the file system of this directory.
pub fn free_bytes(dir: &Path) -> Option<u64> {
    let space = nix::sys::statvfs::statvfs(dir).ok()?;
    Some(space.blocks_available().saturating_mul(space.fragment_size()))
}

/// What `galera-start` says.
pub fn supervisor(config: &MemberConfig) -> SupervisorSight {
    said_in(&config.paths.run_dir).unwrap_or_else(|| SupervisorSight::Absent { why: NO_ANSWER.into() })
}

/// None where it runs and gives no answer in time.
fn said_in(run_dir: &Path) -> Option<SupervisorSight> {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    match ask(run_dir, &Request::Status) {
        Ok(Reply::Status(status)) => Some(SupervisorSight::Present(status)),
        Ok(other) => Some(SupervisorSight::Absent { why: format!("unexpected answer {other:?}") }),
        Err(e) => {
            let late = e.root_cause().downcast_ref::<std::io::Error>().map(std::io::Error::kind);
            (!matches!(late, Some(TimedOut | WouldBlock))).then(|| SupervisorSight::Absent { why: absence(&e) })
        }
    }
}

/// No socket, or one that nobody listens on, is what a supervisor leaves that has ended.
fn absence(error: &anyhow::Error) -> String {
    use std::io::ErrorKind::{ConnectionRefused, NotFound};
    match error.root_cause().downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
        Some(NotFound | ConnectionRefused) => "nor does galera-start: monit start mariadb".into(),
        _ => format!("galera-start does not answer: {}", error.root_cause()),
    }
}

/// Writes and syncs a small file from time to time, on a thread that may hang with the disk: a frozen
/// or very slow disk is invisible to Galera, and stalls the whole cluster.
#[derive(Debug, Default)]
struct DiskProbe {
    state: Mutex<ProbeState>,
}

#[derive(Debug, Default)]
struct ProbeState {
    running: Option<Instant>,
    last: Option<(Instant, u64)>,
    failed: Option<String>,
}

impl DiskProbe {
    /// Every so often; a sync each second would be load of our own making.
    const EVERY: Duration = Duration::from_secs(5);

    /// The last write's milliseconds, none while one hangs; and what is wrong, in words.
    fn ask(self: &Arc<DiskProbe>, dir: &Path) -> (Option<u64>, Option<String>) {
        let Ok(mut state) = self.state.lock() else { return (None, None) };
        let due = state.last.is_none_or(|(at, _)| at.elapsed() > DiskProbe::EVERY);
        if due && state.running.is_none() {
            let (probe, dir) = (Arc::clone(self), dir.to_owned());
            let spawned = std::thread::Builder::new().name("disk".into()).spawn(move || probe.write(&dir));
            state.running = spawned.is_ok().then(Instant::now);
        }
        let stale = state.last.is_some_and(|(at, _)| at.elapsed() > 3 * DiskProbe::EVERY);
        let hangs = state.running.map(|since| since.elapsed()).filter(|hung| *hung > 2 * DiskProbe::EVERY);
        let fault = hangs.map(|hung| format!("a small write has been hanging for {} s", hung.as_secs()));
        (state.last.filter(|_| !stale).map(|(_, took)| took), fault.or_else(|| state.failed.clone()))
    }

    fn write(&self, dir: &Path) {
        let begun = Instant::now();
        let written = tempfile::tempfile_in(dir).and_then(|mut f| f.write_all(b"probe").and_then(|()| f.sync_all()));
        if let Ok(mut state) = self.state.lock() {
            state.running = None;
            let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            state.failed = written.as_ref().err().map(|e| format!("a small write fails: {e}"));
            state.last = written.ok().map(|()| (Instant::now(), took));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s19_a_disk_that_takes_no_write_is_told() {
        let probe = Arc::new(DiskProbe::default());
        probe.write(Path::new("/nowhere/at/all"));
        let (took, fault) = probe.ask(Path::new("/nowhere/at/all"));
        assert!(took.is_none() && fault.is_some_and(|f| f.contains("a small write fails")));
        let dir = tempfile::tempdir().unwrap();
        let probe = Arc::new(DiskProbe::default());
        probe.write(dir.path());
        assert!(matches!(probe.ask(dir.path()), (Some(_), None)));
    }
}
