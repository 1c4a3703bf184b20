//! Takes an observation of this VM's member. Fetches only; every part is bounded.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::asking::{Asking, NO_ANSWER};
use super::clock::{boot, boot_id, seconds_since_epoch};
use super::datadir::DataDir;
use super::disk_probe::DiskProbe;
use super::journal::Journal;
use super::knocks::Knocks;
use super::mariadbd::{error_log_length, error_log_since};
use super::next_state::NextState;
use super::ports;
use super::processes::find_mariadbd;
use super::socket::{Reply, Request, ask};
use super::sql::{self, Looks};
use super::store::Store;
use super::write_stalls::WriteStalls;
use crate::agent::client::Client;
use crate::cluster::arbitration::ArbitratorWord;
use crate::cluster::member::Member;
use crate::cluster::observation::{
    Deaths, Host, Identity, Observation, Ports, Process, Sql, SupervisorSight, WriteStall,
};
use crate::cluster::standing::standing;
use crate::config::MemberConfig;
use crate::galera::log_lines::{Evidence, evidence, missing_tables};
use crate::galera::moment::Moment;
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
        boot_id: boot_id(),
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
    let datadir = DataDir::at(&config.mariadb.data_dir);
    let disk = datadir.look();
    let store = Store::in_dir(&config.paths.state_dir);
    let memory = store.memory();
    let process = find_mariadbd(&config.mariadb.defaults_file).map(|(_, process)| process);
    let (sql, wsrep) = sql;
    let resting = supervisor.present().map(|s| &s.position);
    let position = standing(process.as_ref(), wsrep.as_ref(), &disk, &memory, resting, boot());
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
        stalled: None,
        missing_tables: Vec::new(),
        kept_aside: datadir.kept_aside().iter().map(|path| path.display().to_string()).collect(),
        wsrep,
        disk,
        host: Host::default(),
        peers: Vec::new(),
        arbitrators: Vec::new(),
        memory,
        maintenance: store.maintenance(seconds_since_epoch()),
        going_for_good: NextState::left(&config.paths).intent().instance_deleted,
        position,
        applied_all: false,
    }
}

/// The same of this VM's member, with everything asked now. For programs that run beside supervisor and agent.
pub fn own(config: &MemberConfig) -> Result<Observation> {
    let me = config.split()?.0;
    let answers = sql::look(&config.mariadb.socket, &config.mariadb.admin_user);
    let deaths = Journal::in_dir(&config.paths.state_dir).deaths(Moment::now()).0;
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

/// What the end of the error log says.
#[derive(Debug, Clone, Default)]
struct LogWords {
    proves: Vec<Evidence>,
    missing: Vec<String>,
}

/// What was last found of writes that do not get through.
#[derive(Debug, Default)]
struct Stalls {
    asked: Option<Instant>,
    stalls: WriteStalls,
    last: Option<WriteStall>,
}

/// Takes whole observations, one after the other. Keeps what must outlive one of them: a probe of the
/// disk that still hangs, and what the error log said when it was last longer than before.
#[derive(Debug)]
pub struct Observer {
    config: MemberConfig,
    me: Member,
    looks: Looks,
    peers: Arc<Knocks>,
    supervisor: Arc<Asking>,
    store_probe: Arc<DiskProbe>,
    tmp_probe: Arc<DiskProbe>,
    log_probe: Arc<DiskProbe>,
    log: Mutex<(u64, LogWords)>,
    ports: Mutex<Option<(Instant, Ports)>>,
    stalls: Mutex<Stalls>,
    /// The last death that was counted, and how many were.
    deaths: Mutex<(Moment, u64)>,
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
            looks: Looks::default(),
            peers,
            supervisor: Arc::default(),
            store_probe: Arc::new(DiskProbe::synced()),
            tmp_probe: Arc::default(),
            log_probe: Arc::default(),
            log: Mutex::default(),
            ports: Mutex::default(),
            stalls: Mutex::default(),
            deaths: Mutex::new((Moment::now(), 0)),
        })
    }

    /// Looks at everything, in parallel where it may take long.
    pub fn look(&self) -> Observation {
        std::thread::scope(|scope| {
            let peers = scope.spawn(|| self.peers.ask());
            let arbitrators = scope.spawn(|| self.ask_arbitrators());
            let server = &self.config.mariadb;
            let answers = scope.spawn(|| self.looks.look(&server.socket, &server.admin_user));
            let run_dir = self.config.paths.run_dir.clone();
            let supervisor = self.supervisor.ask(move || said_in(&run_dir));
            let sql = answers.join().unwrap_or((Sql::Failed { why: "the probe ended unexpectedly".into() }, None));
            let mut seen = at_hand(&self.config, &self.me, supervisor, sql);
            seen.ports = self.ports(seen.wsrep.is_some());
            seen.host = self.host();
            let words = self.log();
            seen.log = words.proves;
            let datadir = DataDir::at(&self.config.mariadb.data_dir);
            seen.missing_tables = words.missing.into_iter().filter(|table| datadir.lacks(table)).collect();
            seen.stalled = self.stalled(&seen);
            seen.deaths = self.deaths();
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
    fn log(&self) -> LogWords {
        const MOST: u64 = 128 * 1024;
        let length = error_log_length(&self.config);
        let Ok(mut known) = self.log.lock() else { return LogWords::default() };
        if known.0 != length {
            let text = error_log_since(&self.config, length.saturating_sub(MOST));
            *known = (length, LogWords { proves: evidence(&text), missing: missing_tables(&text) });
        }
        known.1.clone()
    }

    /// Asked from time to time only, and only of a member that clients may be at.
    fn stalled(&self, seen: &Observation) -> Option<WriteStall> {
        const EVERY: Duration = Duration::from_secs(5);
        let mut known = self.stalls.lock().ok()?;
        if !seen.wsrep.as_ref().is_some_and(Wsrep::is_primary) {
            *known = Stalls::default();
            return None;
        }
        if known.asked.is_none_or(|at| at.elapsed() >= EVERY) {
            known.asked = Some(Instant::now());
            let server = &self.config.mariadb;
            // Without an answer nothing is known; what was known stays until there is one.
            if let Ok(sessions) = self.looks.sessions(&server.socket, &server.admin_user) {
                let ddl_under_way = seen.disk.grastate.present().is_some_and(|state| state.uuid.is_nil());
                known.last = known.stalls.look(&sessions, ddl_under_way, Instant::now());
            }
        }
        known.last.clone()
    }

    /// The end of the journal is all that is read each time; what is counted goes on growing.
    fn deaths(&self) -> Deaths {
        let (deaths, died) = Journal::in_dir(&self.config.paths.state_dir).deaths(Moment::now());
        let Ok(mut counted) = self.deaths.lock() else { return deaths };
        let new = died.iter().filter(|at| **at > counted.0).count();
        counted.1 += u64::try_from(new).unwrap_or_default();
        counted.0 = died.last().copied().map_or(counted.0, |last| last.max(counted.0));
        Deaths { counted: counted.1, ..deaths }
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
        let store = self.store_probe.ask(dir);
        let tmp = self.tmp_probe.ask(&self.config.paths.tmp_dir);
        let log = self.config.mariadb.error_log.parent().map(|dir| self.log_probe.ask(dir)).unwrap_or_default();
        Host {
            free_bytes: free_bytes(dir),
            free_inodes: space.map(|s| s.files_available()),
            write_milliseconds: store.milliseconds,
            write_fault: store.fault,
            write_fault_seconds: store.seconds,
            tmp_fault: tmp.fault,
            tmp_fault_seconds: tmp.seconds,
            log_fault: log.fault,
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
