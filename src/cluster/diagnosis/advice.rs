//! What a person is told to do, and not to do. The runbook has more on each.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::MemberDiagnosis;
use super::codes::{ClusterCode, MemberCode};
use crate::cluster::member::listed;

/// What follows from a diagnosis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// What a person should do.
    pub run: String,
    /// What the software does without anybody.
    pub by_itself: String,
    /// What keeps it from doing more.
    #[serde(default)]
    pub prevented_by: Option<String>,
    /// What must not be done, as the rest of a sentence that begins with `Never`.
    pub never: String,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = self.prevented_by.as_ref().map_or(String::new(), |why| format!(", because {why}"));
        write!(f, "{}. By itself: {}{why}. Never {}", self.run, self.by_itself, self.never)
    }
}

const NOTHING: &str = "nothing";

/// What a code asks for, where the situation does not say it more exactly.
pub(super) fn of(code: ClusterCode) -> Advice {
    let (run, by_itself, never) = match code {
        ClusterCode::ObserverBlind => (
            "Look at the network, name resolution, password and certificates between here and the agents",
            "the members go on as they are",
            "conclude from this that the database is down",
        ),
        ClusterCode::MembershipConfigMismatch => (
            "Let the deploy end, and look again. Where it does not end, or none runs: `bosh recreate` the VM that has the old configuration",
            "nothing is bootstrapped",
            "bootstrap while members disagree on who they are",
        ),
        ClusterCode::SplitBrain => (
            "Send clients to one side only, at once. A person chooses the side; stop the other with `monit stop mariadb`, and keep a copy of its data. After `monit start mariadb` it waits; `galera-ctl rejoin` on it shows how it joins",
            "nobody joins either side",
            "bootstrap, or merge by restarting members",
        ),
        ClusterCode::NilHistory => (
            "Back up, stop all members, and begin a new history with a person's choice of the member",
            "nobody joins",
            "rely on a position from now on",
        ),
        ClusterCode::Healthy => ("Nothing to do", "it serves", "bootstrap a cluster that lives"),
        ClusterCode::BootstrapInProgress | ClusterCode::RecoveryInProgress => {
            ("Wait, and look again", "it goes on", "start or stop members meanwhile")
        }
        ClusterCode::PrimaryNoUsableMember => (
            "Take each member's reason away: end the desync, the rejecting or the read_only; wait while a state transfer runs",
            "a state transfer ends",
            "bootstrap: the cluster lives",
        ),
        ClusterCode::PrimaryWritesStalled => (
            "Look at the named member: disk, long statements, locks. Stop it if two others are Synced",
            "flow control ends when it catches up",
            "bootstrap: the cluster lives",
        ),
        ClusterCode::AgentsUnreachable => (
            "Look at the agents and at the network to them",
            "the database goes on, and needs nothing",
            "restart a member for this",
        ),
        ClusterCode::DegradedToOne => {
            ("Bring the others back", "they join once they run", "stop this member: nobody else serves")
        }
        ClusterCode::Degraded => (
            "See what each member that is not well waits for",
            "members join once they run and reach the others",
            "bootstrap, or stop a Synced member meanwhile",
        ),
        ClusterCode::FirstDeploy => ("Wait", "the designated first member begins, once", "bootstrap by hand meanwhile"),
        ClusterCode::MinorityOnly => (
            "Look at the network and at the members that are not seen: they may go on without this side, and serve clients",
            "members rejoin when it heals",
            "bootstrap, or restart what lives: it would lose its place",
        ),
        ClusterCode::PartialKnowledge => (
            "Bring back the VM and the agent of whoever is not seen",
            NOTHING,
            "bootstrap while a member is not seen that may live: it may be primary, or ahead",
        ),
        ClusterCode::DivergentHistories => (
            "A person chooses which data is the right one; back up all of it first",
            NOTHING,
            "choose by sequence number: these are different pasts",
        ),
        ClusterCode::AllNonPrimaryPartitioned => (
            "Mend the network between the named members, port 4567",
            "Galera merges when it heals",
            "bootstrap: the halves would part for good",
        ),
        ClusterCode::NoRecoverablePosition => (
            "Copy the data directory of the named members, then a person decides, or restores a backup",
            NOTHING,
            "delete grastate.dat to get on",
        ),
        ClusterCode::AllDownClean
        | ClusterCode::AllDownCrashed
        | ClusterCode::AllDownMixed
        | ClusterCode::AllNonPrimaryRuntime
        | ClusterCode::AllNonPrimaryWedged
        | ClusterCode::SurvivorNonPrimary
        | ClusterCode::NonPrimaryMixed => ("`bosh run-errand bootstrap`", NOTHING, BY_HAND),
        ClusterCode::Unknown => {
            ("Look at every member's galera-start.log and mariadb.err.log", NOTHING, "bootstrap on a guess")
        }
    };
    Advice { run: run.into(), by_itself: by_itself.into(), prevented_by: None, never: never.into() }
}

/// Where the VMs answer and nothing runs on them.
pub(super) fn start_the_jobs() -> Advice {
    Advice {
        run: "Start what was stopped: `bosh start`, or `monit start all` on each VM".into(),
        by_itself: "nothing, as long as no job runs".into(),
        prevented_by: None,
        never: "bootstrap before all are started: with all of them there, nothing is guessed".into(),
    }
}

/// What is to be done about these members; what is asked of several is said once.
pub(super) fn each<'a>(members: impl Iterator<Item = &'a MemberDiagnosis>) -> Option<String> {
    let mut asked: Vec<(&str, Vec<&str>)> = Vec::new();
    for member in members {
        let what = of_member(member.code);
        match asked.iter_mut().find(|(known, _)| *known == what) {
            Some((_, names)) => names.push(&member.name),
            None => asked.push((what, vec![&member.name])),
        }
    }
    let told: Vec<String> = asked.into_iter().map(|(what, names)| format!("{}: {what}", listed(names))).collect();
    (!told.is_empty()).then(|| told.join("; "))
}

/// What these members do by themselves, where others are primary: whoever waits for a person, or for a disk, does not join.
pub(super) fn joining<'a>(members: impl Iterator<Item = &'a MemberDiagnosis>) -> Option<String> {
    let (stay, join): (Vec<_>, Vec<_>) = members.partition(|m| stays(m.code));
    let names = |of: &[&MemberDiagnosis]| listed(of.iter().map(|m| m.name.as_str()));
    let told = |of: &[&MemberDiagnosis], one: &str, several: &str| {
        let does = if of.len() == 1 { one } else { several };
        (!of.is_empty()).then(|| format!("{} {does}", names(of)))
    };
    let stay_told =
        told(&stay, "stays as it is until somebody does something", "stay as they are until somebody does something");
    let join_told = told(&join, "joins once it runs and reaches the others", "join once they run and reach the others");
    let told: Vec<String> = stay_told.into_iter().chain(join_told).collect();
    (!stay.is_empty()).then(|| told.join("; "))
}

/// Whether a member with this code does not become well by itself.
fn stays(code: MemberCode) -> bool {
    matches!(
        code,
        MemberCode::AheadOfCluster
            | MemberCode::OtherHistory
            | MemberCode::UnknownPosition
            | MemberCode::Inconsistent
            | MemberCode::TableMissing
            | MemberCode::DiskFull
            | MemberCode::IdentityMismatch
            | MemberCode::TlsFailure
            | MemberCode::DesyncedLeftOn
            | MemberCode::AccessDenied
            | MemberCode::TooManyConnections
            | MemberCode::RejectingQueries
            | MemberCode::ReadOnly
            | MemberCode::OutsideGalera
    )
}

/// What a member's code asks for beside a primary component; the runbook has more on each.
fn of_member(code: MemberCode) -> &'static str {
    match code {
        MemberCode::MemberOk => "nothing",
        MemberCode::AgentUnreachable => {
            "`bosh start` it where it was stopped; if not, look at its jobs, `monit summary` on its VM"
        }
        MemberCode::ObserverPartitioned => "look at the network of this VM",
        MemberCode::MemberLost => "bring its VM back (`bosh cck`), or mend the network to it",
        MemberCode::IdentityMismatch => "look at DNS and at the addresses",
        MemberCode::DiskFull => "free or enlarge its disk",
        MemberCode::WritesStalled => {
            "end the session that holds the lock (SHOW PROCESSLIST, KILL); one that is at work ends by itself"
        }
        MemberCode::TableMissing => {
            "give its data up for a copy of another member's that has the table; galera-ctl rejoin on its VM tells how"
        }
        MemberCode::MemberDown => "see what it waits for; `monit start mariadb` on its VM where nothing runs",
        MemberCode::MemberCrashLoop => "read its mariadb.err.log, mend that, then `monit restart mariadb` on its VM",
        MemberCode::AheadOfCluster | MemberCode::OtherHistory => {
            "a person decides about its data; galera-ctl rejoin on its VM shows the choices"
        }
        MemberCode::UnknownPosition | MemberCode::Inconsistent => {
            "copy its data directory, then a person decides; galera-ctl rejoin on its VM shows the choices"
        }
        MemberCode::Starting
        | MemberCode::Joining
        | MemberCode::SstReceiving
        | MemberCode::Donor
        | MemberCode::Leaving
        | MemberCode::Held
        | MemberCode::NoData
        | MemberCode::StaleMember
        | MemberCode::EmptyGvwstate => "wait",
        MemberCode::WedgedAtStart | MemberCode::MinorityPartitioned | MemberCode::NonPrimary => {
            "look at the network to it, port 4567"
        }
        MemberCode::WrongGroup => "see whether its cluster_name is the deployment's",
        MemberCode::TlsFailure => "renew its certificates",
        MemberCode::SstStuck => "read mariadb.err.log, its own and the donor's",
        MemberCode::DonorStuck => "look at the joiner and at the network to it; wait: the transfer is ended",
        MemberCode::DesyncedLeftOn => "`SET GLOBAL wsrep_desync=OFF` there, if no backup runs",
        MemberCode::FlowControlCulprit => "look at its disk, and for long statements there",
        MemberCode::Flapping => "look at the network to it",
        MemberCode::TooManyConnections => "find the client that leaks connections",
        MemberCode::SqlHung => "look at its disk, and for who holds a lock",
        MemberCode::AccessDenied => "restore the account of the VM's administrator in it",
        MemberCode::SqlFailing => "read its mariadb.err.log",
        MemberCode::RejectingQueries | MemberCode::ReadOnly => "was it set by hand, and is it still meant so?",
        MemberCode::OutsideGalera => "stop it, and copy its data",
        MemberCode::Evicted | MemberCode::Disconnected => "read its mariadb.err.log; galera-start starts it anew",
    }
}

/// What is wrong wherever nobody is primary.
pub(super) const BY_HAND: &str = "start a member with --wsrep-new-cluster by hand";
