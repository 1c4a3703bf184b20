//! Takes an observation of this VM's member. Fetches only; every part is bounded.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::datadir::DataDir;
use super::ports;
use super::processes::find_mariadbd;
use super::socket::{Reply, Request, ask};
use super::sql;
use super::store::Store;
use crate::cluster::member::Member;
use crate::cluster::observation::{Host, Identity, Observation, PeerPorts, Ports, Sql, SupervisorSight};
use crate::cluster::standing::standing;
use crate::config::MemberConfig;
use crate::galera::wsrep::Wsrep;
use crate::log;

/// Galera's ports for state transfers.
const IST_PORT: u16 = 4568;
const SST_PORT: u16 = 4444;
/// How long a connect to a peer may take.
const KNOCK_LIMIT: Duration = Duration::from_secs(1);

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
    let memory = Store::in_dir(&config.paths.state_dir).memory();
    let process = find_mariadbd(&config.mariadb.defaults_file).map(|(_, process)| process);
    let (sql, wsrep) = sql;
    let resting = supervisor.present().map(|s| &s.position);
    let position = standing(process.as_ref(), wsrep.as_ref(), &disk, &memory, resting);
    Observation {
        member: identity(config, me),
        at: log::now(),
        supervisor,
        process,
        ports: Ports::default(),
        sql,
        wsrep,
        disk,
        host: Host::default(),
        peers: Vec::new(),
        memory,
        position,
    }
}

/// Takes whole observations, one after the other. Keeps what must outlive one of them: a probe of the
/// disk that still hangs.
#[derive(Debug)]
pub struct Observer {
    config: MemberConfig,
    me: Member,
    others: Vec<Member>,
    probe: Arc<DiskProbe>,
}

impl Observer {
    /// The observer of the member of this configuration.
    pub fn of(config: MemberConfig) -> Result<Observer, crate::config::BadConfig> {
        let (me, others) = config.split()?;
        let (me, others) = (me.clone(), others.into_iter().cloned().collect());
        Ok(Observer { config, me, others, probe: Arc::default() })
    }

    /// Looks at everything, in parallel where it may take long.
    pub fn look(&self) -> Observation {
        std::thread::scope(|scope| {
            let peers = scope.spawn(|| self.knock_on_peers());
            let answers = scope.spawn(|| sql::look(&self.config.mariadb.socket, &self.config.mariadb.admin_user));
            let supervisor = supervisor(&self.config);
            let sql = answers.join().unwrap_or((Sql::Failed { why: "the probe ended unexpectedly".into() }, None));
            let mut seen = at_hand(&self.config, &self.me, supervisor, sql);
            seen.ports = self.ports();
            seen.host = self.host();
            seen.peers = peers.join().unwrap_or_default();
            seen
        })
    }

    fn ports(&self) -> Ports {
        let open = ports::listening();
        Ports {
            sql: open.contains(&self.config.mariadb.port),
            galera: open.contains(&self.config.mariadb.galera_port),
            ist: open.contains(&IST_PORT),
            sst: open.contains(&SST_PORT),
        }
    }

    fn knock_on_peers(&self) -> Vec<PeerPorts> {
        std::thread::scope(|scope| {
            let knocking: Vec<_> = self
                .others
                .iter()
                .map(|peer| {
                    scope.spawn(move || PeerPorts {
                        name: peer.name.clone(),
                        agent: ports::knock(&peer.address, self.config.agents.port, KNOCK_LIMIT),
                        galera: ports::knock(&peer.address, self.config.mariadb.galera_port, KNOCK_LIMIT),
                    })
                })
                .collect();
            knocking.into_iter().filter_map(|k| k.join().ok()).collect()
        })
    }

    fn host(&self) -> Host {
        let dir = &self.config.paths.state_dir;
        let space = nix::sys::statvfs::statvfs(dir.as_path()).ok();
        Host {
            free_bytes: free_bytes(dir),
            free_inodes: space.map(|s| s.files_available()),
            write_milliseconds: self.probe.ask(dir),
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
    match ask(&config.paths.run_dir, &Request::Status) {
        Ok(Reply::Status(status)) => SupervisorSight::Present(status),
        Ok(other) => SupervisorSight::Absent { why: format!("unexpected answer {other:?}") },
        Err(e) => SupervisorSight::Absent { why: format!("{:#}", e.root_cause()) },
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
    running: bool,
    last: Option<(Instant, u64)>,
}

impl DiskProbe {
    /// Every so often; a sync each second would be load of our own making.
    const EVERY: Duration = Duration::from_secs(5);

    /// The last write's milliseconds; none while one hangs.
    fn ask(self: &Arc<DiskProbe>, dir: &Path) -> Option<u64> {
        let mut state = self.state.lock().ok()?;
        let due = state.last.is_none_or(|(at, _)| at.elapsed() > DiskProbe::EVERY);
        if due && !state.running {
            state.running = true;
            let (probe, dir) = (Arc::clone(self), dir.to_owned());
            let spawned = std::thread::Builder::new().name("disk".into()).spawn(move || {
                let begun = Instant::now();
                let written =
                    tempfile::tempfile_in(dir).and_then(|mut f| f.write_all(b"probe").and_then(|()| f.sync_all()));
                if let Ok(mut state) = probe.state.lock() {
                    state.running = false;
                    let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                    state.last = written.ok().map(|()| (Instant::now(), took));
                }
            });
            state.running = spawned.is_ok();
        }
        let stale = state.last.is_some_and(|(at, _)| at.elapsed() > 3 * DiskProbe::EVERY);
        state.last.filter(|_| !stale).map(|(_, took)| took)
    }
}
