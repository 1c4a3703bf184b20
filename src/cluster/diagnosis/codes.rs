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
    /// A directory that it needs takes no write: the disk is full or does not answer.
    DiskFull,
    /// Writes hang in it, and Galera calls it well.
    WritesStalled,
    /// The file of a table is missing.
    TableMissing,
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
    /// It gives its state, and nothing of it is sent any more.
    DonorStuck,
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
    /// A disk takes long for a small write: the member may hold up all others under load.
    SlowDisk,
    /// An arbitrator that should vote does not.
    ArbitratorAbsent,
    /// More take part in the group than the deployment has: somebody joined who is not of it.
    StrangerInGroup,
    /// Members do not reach each other.
    LinksCut,
    /// Members are not reached from here, and others passed their word on: our network.
    ObserverCutOff,
    /// `pc.ignore_sb` is on: both halves of a cut cluster go on writing.
    PcIgnoreSbSet,
    /// `pc.ignore_quorum` is on: the same.
    PcIgnoreQuorumSet,
    /// Members run different versions.
    MixedVersions,
    /// `mariadbd` died several times within an hour, also where it was Synced in between.
    DiesAgainAndAgain,
    /// A DDL failed at one member, which Galera ignored, and was carried out by others.
    DdlDiffers,
    /// The disk of a member lost what it had already committed.
    PositionFellBack,
    /// Data of a member was kept aside, and takes room.
    DataKeptAside,
    /// A member serves with what a full copy brought, and its disk did not take all of that.
    CopyNotOnDisk,
    /// A member that is out is older than what IST can bring.
    GcacheTooSmallForIst,
    /// Members were evicted; a cluster with evicted members can fail to form a primary component.
    EvictedMembers,
    /// A `safe_to_bootstrap` says what the positions do not.
    SafeToBootstrapSuspicious,
    /// `mariadbd` runs and nobody looks after it.
    SupervisorAbsent,
    /// A person works on the cluster, or on a member: nothing is begun by itself (H1).
    Maintenance,
    /// A maintenance should be over, and is not: it is still on until a person ends it.
    MaintenanceExpired,
    /// Members do not say the same of a maintenance; whoever says ON counts.
    MaintenanceInconsistent,
    /// Something is half done, and maintenance leaves it to a person (H5).
    UnfinishedOperation,
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
