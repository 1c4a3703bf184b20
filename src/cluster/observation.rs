//! What one member's agent reports: facts with their source, no opinion.
//!
//! The agent's `GET /v1/observation` sends exactly this, and every decision reads exactly this.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::arbitration::ArbitratorWord;
use super::hold::{Hold, Outcome};
use super::maintenance::{Kept, Stance};
use super::member::Member;
use super::memory::Memory;
use super::standing::{Standing, Unknown};
use super::start::AutoRecovery;
use crate::galera::grastate::Grastate;
use crate::galera::gvwstate::SavedView;
use crate::galera::log_lines::Evidence;
use crate::galera::position::Position;
use crate::galera::uuid::Uuid;
use crate::galera::wsrep::{ClusterStatus, LocalState, Wsrep};

/// How data is named that was kept aside because it was not known that the cluster had all of it.
pub const KEPT: &str = "kept-";
/// How data is named that a person gave up.
pub const ABANDONED: &str = "abandoned-";

/// Everything that one agent can see of its own member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Who answers.
    pub member: Identity,
    /// When it was taken, in UTC.
    pub at: String,
    /// What `galera-start` says over its socket.
    pub supervisor: SupervisorSight,
    /// The `mariadbd` that runs on the member's data directory, found in /proc, not by a pid file.
    pub process: Option<Process>,
    /// For how many seconds that process has run.
    #[serde(default)]
    pub process_seconds: Option<u64>,
    /// How `mariadbd` ended lately.
    #[serde(default)]
    pub deaths: Deaths,
    /// What the end of MariaDB's error log proves (K8).
    #[serde(default)]
    pub log: Vec<Evidence>,
    /// Which ports have a listener on this VM.
    pub ports: Ports,
    /// What a fresh connection to the server met.
    pub sql: Sql,
    /// Writes that do not get through here, once that has lasted.
    #[serde(default)]
    pub stalled: Option<WriteStall>,
    /// Tables whose files are missing, as `schema/table`, by what MariaDB says of them since it was started.
    #[serde(default)]
    pub missing_tables: Vec<String>,
    /// What was kept aside of this member's data, and lies beside it.
    #[serde(default)]
    pub kept_aside: Vec<String>,
    /// Galera's status, where SQL answered.
    pub wsrep: Option<Wsrep>,
    /// What lies in the data directory.
    pub disk: Disk,
    /// The VM.
    pub host: Host,
    /// Whom this VM can reach.
    pub peers: Vec<PeerPorts>,
    /// What the expected arbitrators say of themselves.
    #[serde(default)]
    pub arbitrators: Vec<ArbitratorWord>,
    /// What this member remembers outside the data directory.
    pub memory: Memory,
    /// What it knows of maintenance.
    #[serde(default)]
    pub maintenance: Kept,
    /// Whether BOSH is about to delete this instance, and its disk.
    #[serde(default)]
    pub going_for_good: bool,
    /// Where the member stands, concluded from the above by [`super::standing::standing`].
    pub position: Standing,
    /// Whether all that its group had delivered when it was asked is applied in it. Only told to who asks for it: it
    /// takes a causal read.
    #[serde(default)]
    pub applied_all: bool,
}

impl Observation {
    /// The last primary view that this stopped or waiting member was in, unless it left it gracefully.
    /// Galera's own file counts before what we remember: it was written at the very moment of the view.
    pub fn last_view(&self) -> Option<&SavedView> {
        let saved = self.disk.saved_view.present();
        saved.or(self.memory.last_view.as_ref().filter(|_| !self.memory.left))
    }

    /// Whether this member has all that was committed before this view: it lives since, or it was seen to have
    /// applied what came before, and still has that much. Galera writes the saved view the moment that the
    /// group changes, when commits of a member that just left may still wait in this one's memory.
    pub fn caught_up_with(&self, view: &SavedView) -> bool {
        let had = self.memory.caught_up.filter(|caught_up| caught_up.view == view.id()).map(|c| c.position);
        let has = |had: Position| {
            self.position.position().and_then(|now| now.against(had).ok()).is_some_and(|than| than != Ordering::Less)
        };
        // One whose join has not ended receives what the others had before it came; Galera calls it by the same state.
        self.lives_without_quorum() && self.memory.joining.is_none() || had.is_some_and(has)
    }

    /// Whether this member, being primary, does not know how its component came about: somebody began or promoted it
    /// behind the back of its supervisor, by whatever means, or it came there by another way than a join that was judged.
    pub fn beginning_unrecorded(&self) -> bool {
        let Some(wsrep) = self.wsrep.as_ref().filter(|w| w.is_primary()) else { return false };
        !self.memory.explains(self.process.as_ref(), self.disk.saved_view.present(), wsrep.gcomm_uuid)
    }

    /// Whether nothing is known of its data before its `galera-start`, which does not run, has looked at it. With a memory
    /// that cannot be read, the files alone tell nothing.
    pub fn unlooked(&self) -> bool {
        let never = matches!(self.position, Standing::Unknown { why: Unknown::NotLookedYet, .. });
        (never || self.memory.damaged.is_some()) && self.supervisor.present().is_none()
    }

    /// Whether its position was looked for so often that nobody waits for the next time.
    pub fn looks_in_vain(&self) -> bool {
        self.unfound().is_some_and(|times| times > LOOKED_FOR_SOON)
    }

    /// Whether its position was not found, and is looked for again within seconds: most of what prevents it (a full disk, a
    /// kill) is over by then.
    pub fn looks_again_soon(&self) -> bool {
        self.unfound().is_some_and(|times| times <= LOOKED_FOR_SOON)
    }

    /// How often in a row its position was not found, if it was not.
    fn unfound(&self) -> Option<u32> {
        let failed = self.position.is_looked_for_again();
        self.supervisor.present().filter(|_| failed).map(|s| s.unfound.unwrap_or(u32::MAX))
    }

    /// Whether this member and another one, both primary, are in one and the same view. Galera writes the view to disk the
    /// moment that the group changes; SQL tells of it once all that came before is applied, and is asked where a file is not
    /// there.
    pub fn shares_view(&self, other: &Observation) -> bool {
        match (self.disk.saved_view.present(), other.disk.saved_view.present()) {
            (Some(own), Some(theirs)) => own.same_view(theirs),
            _ => self
                .wsrep
                .as_ref()
                .zip(other.wsrep.as_ref())
                .is_some_and(|(own, theirs)| own.same_view(theirs) == Some(true)),
        }
    }

    /// Whether the others voted it out: its server runs, for whoever looks into it, and takes part in nothing any more.
    pub fn is_voted_out(&self) -> bool {
        self.wsrep.as_ref().is_some_and(|w| w.local_state == LocalState::Inconsistent)
    }

    /// Whether it was voted out for having carried out what the others failed at: it may have the only copy of what clients
    /// were told is committed.
    pub fn succeeded_alone(&self) -> bool {
        self.log.iter().any(Evidence::succeeded_alone)
    }

    /// Whether its server runs, and may be in a component or come into one.
    pub fn takes_part(&self) -> bool {
        self.process.is_some() && !self.is_voted_out()
    }

    /// Whether SQL is open and Galera says that there is no quorum.
    pub fn lives_without_quorum(&self) -> bool {
        self.wsrep.as_ref().is_some_and(|w| w.cluster_status == ClusterStatus::NonPrimary)
    }
}

/// So often in a row a position is looked for again within seconds: for half a minute in all.
const LOOKED_FOR_SOON: u32 = 3;

/// Who answers, and what it believes the cluster to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// `mysql/0`.
    pub name: String,
    /// BOSH's instance id.
    pub id: String,
    /// Availability zone.
    pub az: Option<String>,
    /// The cluster's name.
    pub cluster: String,
    /// The names of the members that it expects.
    pub expects: Vec<String>,
    /// Version of these executables.
    pub version: String,
    /// The kernel's boot id: changes when the VM restarts.
    pub boot_id: String,
    /// Whether it brings the cluster back by itself where that is proven; an older agent does not say.
    #[serde(default)]
    pub auto_recovery: Option<AutoRecovery>,
}

/// What the agent learns from `galera-start`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum SupervisorSight {
    /// It does not run, or does not answer; why.
    Absent {
        /// What was met instead.
        why: String,
    },
    /// It answers.
    Present(Box<Supervisor>),
}

impl SupervisorSight {
    /// The supervisor, where it answers.
    pub fn present(&self) -> Option<&Supervisor> {
        match self {
            SupervisorSight::Present(supervisor) => Some(supervisor),
            SupervisorSight::Absent { .. } => None,
        }
    }
}

/// What `galera-start` publishes about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Supervisor {
    /// What it is doing.
    pub phase: Phase,
    /// For how many seconds.
    pub phase_seconds: u64,
    /// The same in a sentence: what it waits for, and why.
    pub detail: String,
    /// The position that it found when `mariadbd` was last down.
    pub position: Standing,
    /// Who holds this member, with the seconds left.
    pub hold: Option<Hold>,
    /// How the last order ended.
    pub last_outcome: Option<Outcome>,
    /// Why it does not join, where a person must decide.
    pub refused: Option<String>,
    /// The process that it owns.
    pub child: Option<Child>,
    /// For how many seconds Galera's view has been the same, where SQL is open.
    #[serde(default)]
    pub view_seconds: Option<u64>,
    /// What of that which follows Synced (lineage, system tables, databases and users) is not done yet, while
    /// `mariadbd` runs.
    #[serde(default)]
    pub unsettled: Option<String>,
    /// What maintenance means to it.
    #[serde(default)]
    pub stance: Stance,
    /// What it had, and what its disk had instead when that was last looked at: the disk lost what is in between.
    #[serde(default)]
    pub fell_back: Option<FellBack>,
    /// Tables without their file, as `schema/table`, when it last looked at data at rest. One that InnoDB keeps in its
    /// system tablespace looks the same.
    #[serde(default)]
    pub lacks_tables: Vec<String>,
    /// How often in a row its position was looked for and not found; none where an earlier release does not tell.
    #[serde(default)]
    pub unfound: Option<u32>,
}

/// A position that a disk does not reach any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FellBack {
    /// What the member was known to have had.
    pub had: Position,
    /// What was found.
    pub found: Position,
}

/// What `galera-start` is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Making directories and the empty data directory.
    Preparing,
    /// Finding its own position.
    Recovering,
    /// Asking the peers, and waiting for something named in the detail.
    Waiting,
    /// Held by an order: does not start `mariadbd`.
    Held,
    /// `mariadbd` runs and has not opened SQL: waits for a primary component, or receives state.
    Starting,
    /// SQL is open.
    Serving,
    /// Stopping `mariadbd`.
    Stopping,
}

/// The `mariadbd` that a supervisor started or adopted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Child {
    /// Process id.
    pub pid: i32,
    /// How it was started.
    pub mode: StartMode,
    /// Seconds since it was started or adopted.
    pub seconds: u64,
    /// How often it was seen to have come further on its way up: bytes that arrived, transactions applied, storage read.
    pub work: u64,
    /// A state transfer that a donor was found for, and since when nothing of it arrives.
    #[serde(default)]
    pub standstill: Option<Standstill>,
    /// A state transfer out of this member, and since when nothing of it is sent.
    #[serde(default)]
    pub giving: Option<Standstill>,
}

/// A state transfer that stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standstill {
    /// For so many seconds nothing of it has come further.
    pub seconds: u64,
    /// After so many it is given up.
    pub limit: u64,
    /// Whether it is a full copy; none while that is not known.
    #[serde(default)]
    pub full: Option<bool>,
}

/// How a `mariadbd` was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartMode {
    /// To join a primary component.
    Join,
    /// With `--wsrep-new-cluster`.
    Bootstrap,
    /// With its saved view kept, together with all members of that view.
    RestoreView,
    /// It ran already; how it was started is not known.
    Adopted,
}

/// A running `mariadbd`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Process id.
    pub pid: i32,
    /// When it was started, in the kernel's clock ticks since boot.
    pub started: u64,
    /// Whether it has `--wsrep-new-cluster`.
    pub new_cluster: bool,
    /// Whether it only recovers its position (`--wsrep-recover`).
    pub recovering: bool,
    /// `--wsrep_start_position`, if it has one with a known position.
    pub start_position: Option<Position>,
    /// The name of its group (`--wsrep-cluster-name`), where it was given one.
    #[serde(default)]
    pub group: Option<String>,
    /// Whether a state transfer script runs under it.
    pub state_transfer: bool,
}

/// How `mariadbd` ended lately, from the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deaths {
    /// How often it died by itself since it was last Synced, or stopped by somebody.
    pub in_a_row: u32,
    /// How it last ended, in words.
    pub last_end: Option<String>,
    /// How often it died within the last hour, also where it was Synced in between.
    #[serde(default)]
    pub last_hour: u32,
    /// How many seconds lie between the first and the last of these.
    #[serde(default)]
    pub within_seconds: u64,
    /// How often it died since the agent began.
    #[serde(default)]
    pub counted: u64,
}

/// Statements that write and do not come further, on a member that Galera itself calls well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteStall {
    /// For so many seconds.
    pub seconds: u64,
    /// The one that all others wait for, or has waited longest: its session, its first words, its state.
    pub waits: String,
    /// What is at work meanwhile, and ends by itself; none where nothing is.
    pub behind: Option<String>,
    /// Sessions that may hold the lock, the likeliest first.
    pub before: Vec<String>,
}

/// What tells one process from any other on its VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessMark {
    /// Process id.
    pub pid: i32,
    /// When it was started, in the kernel's clock ticks since boot.
    pub started: u64,
}

impl Process {
    /// What tells this process from any other.
    pub fn mark(&self) -> ProcessMark {
        ProcessMark { pid: self.pid, started: self.started }
    }
}

/// Which ports have a listener.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// SQL, 3306.
    pub sql: bool,
    /// Group communication, 4567.
    pub galera: bool,
    /// Incremental state transfer, 4568.
    pub ist: bool,
    /// Full state transfer, 4444.
    pub sst: bool,
}

/// What a fresh connection met. An existing socket file proves nothing (K4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Sql {
    /// It answered.
    Open {
        /// After so many milliseconds.
        milliseconds: u64,
    },
    /// Nobody listens on the socket.
    Closed {
        /// What was met.
        why: String,
    },
    /// No answer in time: a hung server, or one that is shutting down.
    TimedOut,
    /// `Too many connections` (1040): the server lives.
    TooManyConnections,
    /// Access denied (1045).
    Denied,
    /// Any other error.
    Failed {
        /// The server's words.
        why: String,
    },
}

impl Sql {
    /// Whether the server takes connections, if only to refuse this one: then it hears SIGTERM too.
    pub fn is_open(&self) -> bool {
        matches!(self, Sql::Open { .. } | Sql::TooManyConnections | Sql::Denied)
    }
}

/// A file that may be there or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", content = "content", rename_all = "snake_case")]
pub enum File<T> {
    /// There is none.
    Absent,
    /// There is one, and it says nothing; why.
    Garbled(String),
    /// What it says.
    Present(T),
}

impl<T> File<T> {
    /// What the file says, if it says anything.
    pub fn present(&self) -> Option<&T> {
        match self {
            File::Present(value) => Some(value),
            File::Absent | File::Garbled(_) => None,
        }
    }
}

/// What lies in the data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Why the data directory cannot be read, if so.
    pub unreadable: Option<String>,
    /// Whether the data directory was initialised.
    pub initialised: bool,
    /// Whether there are databases that somebody made.
    pub user_databases: bool,
    /// `grastate.dat`.
    pub grastate: File<Grastate>,
    /// `gvwstate.dat`.
    pub saved_view: File<SavedView>,
    /// The history in the preamble of `galera.cache`.
    pub cache_history: Option<Uuid>,
}

impl Disk {
    /// Whether there is, or may be, data here that a cluster once had. Every doubt counts as data.
    pub fn has_data(&self) -> bool {
        let trace = match &self.grastate {
            File::Absent => false,
            File::Garbled(_) => true,
            File::Present(grastate) => !grastate.uuid.is_nil(),
        };
        self.unreadable.is_some() || trace || self.user_databases || self.cache_history.is_some()
    }

    /// Whether Galera's file says that this member left in order at this position.
    pub fn claims(&self, position: Position) -> bool {
        self.grastate.present().and_then(Grastate::clean_position) == Some(position)
    }
}

/// The VM.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Free bytes for the data directory.
    pub free_bytes: Option<u64>,
    /// Free inodes there.
    pub free_inodes: Option<u64>,
    /// How long a small write and fsync took there, in milliseconds; none while it hangs.
    pub write_milliseconds: Option<u64>,
    /// That this write hangs or failed, and where, in words; none while all is well, or nothing is known yet.
    #[serde(default)]
    pub write_fault: Option<String>,
    /// For how many seconds that has been so.
    #[serde(default)]
    pub write_fault_seconds: u64,
    /// The same of the directory of temporary files: sorting, and what changes tables, fails without it.
    #[serde(default)]
    pub tmp_fault: Option<String>,
    /// For how many seconds that has been so.
    #[serde(default)]
    pub tmp_fault_seconds: u64,
    /// The same of the directory of logs: scripts of state transfers end at their first line.
    #[serde(default)]
    pub log_fault: Option<String>,
    /// Load average over one minute.
    pub load: Option<f64>,
}

/// What a TCP connect met. A time-out is not a refusal: it says nothing about the other side (G11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortAnswer {
    /// Somebody listens.
    Open,
    /// The VM is there and nobody listens.
    Refused,
    /// No answer, or no route.
    Silent,
}

/// Whether this VM reaches a peer's ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerPorts {
    /// The peer.
    pub name: String,
    /// Its agent.
    pub agent: PortAnswer,
    /// Its port 4567.
    pub galera: PortAnswer,
}

/// What an observer has of one expected member.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberView {
    /// The member.
    pub member: Member,
    /// What came of asking its agent.
    pub sight: Sight,
    /// What came of a connect to its port 4567; asked only where the agent gave no answer.
    pub galera_port: Option<PortAnswer>,
    /// Who passed its word on, where it is not reached from here. Only a diagnosis asks in this way.
    pub relayed_by: Option<String>,
}

/// What came of asking an agent.
#[derive(Debug, Clone, PartialEq)]
pub enum Sight {
    /// It answered.
    Seen(Box<Observation>),
    /// Its port is closed: the VM is there, the agent is not.
    Refused,
    /// No answer in time, or no route: says nothing about the member.
    Silent(String),
    /// Another instance answered: stale DNS, or an address that was given away again.
    Another(String),
    /// It answered something else than an observation: wrong password, an error.
    Unusable(String),
}

impl MemberView {
    /// What a member has of itself.
    pub fn own(member: &Member, observation: Observation) -> MemberView {
        MemberView {
            member: member.clone(),
            sight: Sight::Seen(Box::new(observation)),
            galera_port: None,
            relayed_by: None,
        }
    }

    /// Whether the VM answers, and nothing of ours listens on it: neither agent nor `mariadbd`. That tells nothing of
    /// what ran there before.
    pub fn nothing_runs(&self) -> bool {
        matches!((&self.sight, self.galera_port), (Sight::Refused, Some(PortAnswer::Refused)))
    }

    /// The observation, where there is one.
    pub fn seen(&self) -> Option<&Observation> {
        match &self.sight {
            Sight::Seen(observation) => Some(observation),
            _ => None,
        }
    }

    /// What of a member that is not seen answers all the same, as a clause: then it lives, whatever it is. An address
    /// that another instance has by now says nothing about it.
    pub fn why_alive(&self) -> Option<String> {
        match (&self.sight, self.galera_port) {
            (Sight::Seen(_), _) => None,
            (Sight::Unusable(why), _) => Some(format!("its agent answers, and the answer cannot be used: {why}")),
            (Sight::Refused | Sight::Silent(_) | Sight::Another(_), Some(PortAnswer::Open)) => {
                Some("its agent does not answer, and its group port is open".into())
            }
            (Sight::Refused | Sight::Silent(_) | Sight::Another(_), _) => None,
        }
    }

    /// Why there is no observation, as a clause: `its agent does not answer: ...`.
    pub fn why_unseen(&self) -> Option<String> {
        match &self.sight {
            Sight::Seen(_) => None,
            Sight::Refused => Some("its VM answers but its agent does not run".into()),
            Sight::Silent(why) => Some(format!("its agent does not answer: {why}")),
            Sight::Another(why) | Sight::Unusable(why) => Some(format!("its agent's answer cannot be used: {why}")),
        }
    }
}

/// Whether an answer may be taken for the member that was asked: an address may lead to another VM
/// by stale DNS, or by an IP that was given away again.
pub fn identified(asked: &Member, observation: Observation) -> Sight {
    if observation.member.id == asked.id {
        Sight::Seen(Box::new(observation))
    } else {
        Sight::Another(format!(
            "asked instance {} at {}, and instance {} ({}) answered: stale DNS or a reused address",
            asked.id, asked.address, observation.member.id, observation.member.name
        ))
    }
}
