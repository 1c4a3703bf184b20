//! The words of a diagnosis, and what each asks for. The runbook has a section for every one of them.

use serde::{Deserialize, Serialize};

/// How a cluster is. The first that fits, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ClusterCode {
    /// No agent answers: says nothing about the database (S1, S11).
    ObserverBlind,
    /// Nobody is primary, and the members do not agree on who they are.
    MembershipConfigMismatch,
    /// Two primary components without a common member.
    SplitBrain,
    /// The cluster runs on the nil history, in which no position means anything.
    NilHistory,
    /// All members are Synced in one primary component and serve.
    Healthy,
    /// A member is beginning a new incarnation.
    BootstrapInProgress,
    /// An order holds members, or members are starting together.
    RecoveryInProgress,
    /// Primary, and no member of it takes clients.
    PrimaryNoUsableMember,
    /// Primary, and writes do not get through.
    PrimaryWritesStalled,
    /// All members are in the primary component; only agents are silent (S8).
    AgentsUnreachable,
    /// One member is all that is left of the primary component.
    DegradedToOne,
    /// Primary, and members are out of it or not well.
    Degraded,
    /// No member has ever had data.
    FirstDeploy,
    /// What is seen has lost its quorum; those that are not seen may have it.
    MinorityOnly,
    /// Nobody seen is primary, and somebody is not seen.
    PartialKnowledge,
    /// Members have data of different pasts.
    DivergentHistories,
    /// All live, without quorum, in several components.
    AllNonPrimaryPartitioned,
    /// Nothing tells where a member with data stands.
    NoRecoverablePosition,
    /// All stopped cleanly.
    AllDownClean,
    /// All crashed.
    AllDownCrashed,
    /// Some stopped cleanly, some crashed.
    AllDownMixed,
    /// All live in one component without quorum, SQL open.
    AllNonPrimaryRuntime,
    /// All wait at start-up for a primary component that never comes (K1).
    AllNonPrimaryWedged,
    /// Some live without quorum, all others are down.
    SurvivorNonPrimary,
    /// Some wait at start-up, others do not.
    NonPrimaryMixed,
    /// None of the above.
    Unknown,
}

/// How a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MemberCode {
    /// Synced in the primary component, and takes clients.
    MemberOk,
    /// Its agent does not answer; it lives, or its VM does (S8).
    AgentUnreachable,
    /// We do not reach it, and another member does: our network.
    ObserverPartitioned,
    /// Nobody reaches it, and it is not in the primary component (S7).
    MemberLost,
    /// Another instance answered in its place (S18).
    IdentityMismatch,
    /// Its disk is full or does not answer.
    DiskFull,
    /// It is being stopped.
    Leaving,
    /// An order holds it.
    Held,
    /// It never had data.
    NoData,
    /// `mariadbd` does not run.
    MemberDown,
    /// `mariadbd` was started again and again, and does not stay.
    MemberCrashLoop,
    /// It is behind: it rejoins, and must not be the source.
    StaleMember,
    /// Its saved view says nothing.
    EmptyGvwstate,
    /// It has transactions that the cluster lacks (Q10).
    AheadOfCluster,
    /// Its data is of another history than the cluster's.
    OtherHistory,
    /// It has data, and nothing tells where it stands.
    UnknownPosition,
    /// `mariadbd` is on its way up.
    Starting,
    /// It waits at start-up for a primary component, and will not stop waiting (K5).
    WedgedAtStart,
    /// Its peers are of another group.
    WrongGroup,
    /// TLS between it and its peers fails.
    TlsFailure,
    /// It is joining, or catching up.
    Joining,
    /// It receives a full copy.
    SstReceiving,
    /// Its state transfer failed, and it does not give up by itself.
    SstStuck,
    /// It gives its state to another member.
    Donor,
    /// It was desynced by hand.
    DesyncedLeftOn,
    /// It makes all members wait for it.
    FlowControlCulprit,
    /// It serves, and was late again and again.
    Flapping,
    /// No connection is left for clients (1040); it lives.
    TooManyConnections,
    /// It takes connections and does not answer.
    SqlHung,
    /// It lives, and refuses the agent's user (1045).
    AccessDenied,
    /// It answers with another error, or is not ready for statements.
    SqlFailing,
    /// It turns clients away by `wsrep_reject_queries`.
    RejectingQueries,
    /// `read_only` is ON.
    ReadOnly,
    /// It runs without Galera: what is written to it reaches nobody else.
    OutsideGalera,
    /// Its data differs from the others'; they voted it out.
    Inconsistent,
    /// The others evicted it.
    Evicted,
    /// It lives in no group at all, and does not come back by itself.
    Disconnected,
    /// It lives without quorum, and others have one.
    MinorityPartitioned,
    /// It lives without quorum, and nobody has one.
    NonPrimary,
}

/// What should be known besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WarningCode {
    /// Members expect other members than this configuration; normal while a deploy runs.
    MembershipConfigMismatch,
    /// An even number of members (Q13).
    EvenSizedCluster,
    /// One member: no failure is survived.
    SingleNode,
    /// Losing one more member without a clean stop loses the quorum.
    OneMoreLossLosesQuorum,
    /// All members are in one availability zone.
    MembersInOneAz,
    /// All members that are not seen are in one availability zone (S12).
    OneAzUnseen,
    /// Several disks are full at once: perhaps one cause (S19).
    SeveralDisksFull,
    /// A disk is nearly full.
    DiskNearlyFull,
    /// Members do not reach each other.
    LinksCut,
    /// `pc.ignore_sb` is on: both halves of a cut cluster go on writing.
    PcIgnoreSbSet,
    /// `pc.ignore_quorum` is on: the same.
    PcIgnoreQuorumSet,
    /// Members run different versions.
    MixedVersions,
    /// A member that is out is older than what IST can bring.
    GcacheTooSmallForIst,
    /// Members were evicted; a cluster with evicted members can fail to form a primary component.
    EvictedMembers,
    /// A `safe_to_bootstrap` says what the positions do not.
    SafeToBootstrapSuspicious,
    /// `mariadbd` runs and nobody looks after it.
    SupervisorAbsent,
}

/// How sure a diagnosis is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Confidence {
    /// All members were seen, or several say the same.
    Certain,
    /// It rests on one member's word, or on one moment.
    OneWitness,
    /// Somebody who is not seen may know better.
    Unknown,
}

impl ClusterCode {
    /// What to do, what happens by itself, and what never to do, where the situation does not say it
    /// more exactly.
    pub fn action(self) -> &'static str {
        match self {
            ClusterCode::ObserverBlind => {
                "Look at the network, name resolution, password and certificates between here and the agents. Never conclude from this that the database is down"
            }
            ClusterCode::MembershipConfigMismatch => {
                "Let the deploy end, and look again. Never bootstrap while members disagree on who they are"
            }
            ClusterCode::SplitBrain => {
                "Send clients to one side only, at once. A person chooses the side; stop the other with `monit stop mariadb`, keep a copy of its data, and let it join. Nothing happens by itself. Never bootstrap, and never merge by restarting members"
            }
            ClusterCode::NilHistory => {
                "Stop all members and begin a new history with a person's choice of the member; back up first. Nothing happens by itself. Never rely on a position from now on"
            }
            ClusterCode::Healthy => "Nothing to do",
            ClusterCode::BootstrapInProgress | ClusterCode::RecoveryInProgress => {
                "Wait, and look again. It goes on by itself. Never start or stop members meanwhile"
            }
            ClusterCode::PrimaryNoUsableMember => {
                "Take each member's reason away: end the desync, the rejecting or the read_only; wait while a state transfer runs. Never bootstrap: the cluster lives"
            }
            ClusterCode::PrimaryWritesStalled => {
                "Look at the named member: disk, long statements, locks. Stop it if two others are Synced. Flow control ends by itself when it catches up. Never bootstrap: the cluster lives"
            }
            ClusterCode::AgentsUnreachable => {
                "Look at the agents and at the network to them. The database needs nothing. Never restart a member for this"
            }
            ClusterCode::DegradedToOne => {
                "Bring the others back. They join by themselves once they run. Never stop this member: it has the newest data"
            }
            ClusterCode::Degraded => {
                "See each member below. Members join by themselves once they run and reach the others. Never bootstrap, and never stop a Synced member meanwhile"
            }
            ClusterCode::FirstDeploy => {
                "Wait. The designated first member begins by itself, once. Never bootstrap by hand meanwhile"
            }
            ClusterCode::MinorityOnly => {
                "Look at the network and at the members that are not seen. Members rejoin by themselves when it heals. Never bootstrap, and never restart what lives: it would lose its place"
            }
            ClusterCode::PartialKnowledge => {
                "Bring back the VM and the agent of whoever is not seen. Never bootstrap while a member is not seen: it may be primary, or ahead"
            }
            ClusterCode::DivergentHistories => {
                "A person chooses which data is the right one; back up all of it first. Nothing happens by itself. Never choose by sequence number: these are different pasts"
            }
            ClusterCode::AllNonPrimaryPartitioned => {
                "Mend the network between the named members, port 4567. Galera merges by itself when it heals. Never bootstrap: the halves would part for good"
            }
            ClusterCode::NoRecoverablePosition => {
                "Copy the data directory of the named members, then a person decides, or restores a backup. Nothing happens by itself. Never delete grastate.dat to get on"
            }
            ClusterCode::AllDownClean
            | ClusterCode::AllDownCrashed
            | ClusterCode::AllDownMixed
            | ClusterCode::AllNonPrimaryRuntime
            | ClusterCode::AllNonPrimaryWedged
            | ClusterCode::SurvivorNonPrimary
            | ClusterCode::NonPrimaryMixed => {
                "`bosh run-errand bootstrap`. Never start a member with --wsrep-new-cluster by hand"
            }
            ClusterCode::Unknown => {
                "Look at every member's galera-start.log and mariadb.err.log. Nothing is advised. Never bootstrap on a guess"
            }
        }
    }
}
