//! Is this member fit for clients? One word and one sentence, the same for every health route.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::observation::{Observation, Phase, Sql, SupervisorSight};
use crate::galera::wsrep::{ClusterStatus, LocalState, Wsrep};

/// What a health route answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Whether clients may be sent here.
    pub fit: bool,
    /// The state in one word.
    pub word: String,
    /// The state in one sentence.
    pub sentence: String,
}

/// What is said of a member that lacks nothing.
const SERVES: &str = "serves";

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sentence.as_str() {
            SERVES => f.write_str(&self.word),
            sentence => write!(f, "{}: {sentence}", self.word),
        }
    }
}

/// What counts as fit besides Synced; properties of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fitness {
    /// A donor serves.
    pub when_donor: bool,
    /// A server with `read_only` serves.
    pub when_read_only: bool,
}

/// How this member is. A running process, an open port or a socket file prove nothing (S2, K4): only a
/// fresh connection that answers does.
pub fn health(of: &Observation, fitness: Fitness) -> Health {
    let unfit = |word: &str, sentence: String| Health { fit: false, word: word.into(), sentence };
    let Some(wsrep) = &of.wsrep else {
        return without_sql(of);
    };
    if leaving(of) {
        return unfit("leaving", "this member is being stopped".into());
    }
    if !wsrep.on {
        return unfit("outside-galera", "wsrep_on is OFF: what is written here reaches no other member".into());
    }
    match (wsrep.cluster_status, wsrep.local_state) {
        (_, LocalState::Inconsistent) => {
            unfit("inconsistent", "this member's data differs from the others'; they voted it out".into())
        }
        (ClusterStatus::Disconnected, _) => unfit(
            "disconnected",
            "mariadbd runs, but is in no group of members; it does not come back by itself".into(),
        ),
        (ClusterStatus::NonPrimary, LocalState::Joining) => {
            unfit("joining", "this member is receiving what it has missed".into())
        }
        (ClusterStatus::NonPrimary, _) => unfit(
            "non-primary",
            format!(
                "this member sees {} of the members, which is no quorum; it refuses statements (error 1047)",
                wsrep.cluster_size
            ),
        ),
        (_, LocalState::Joining) => unfit("joining", "this member is receiving its state".into()),
        (_, LocalState::Joined) => unfit("joined", "this member has its state and is catching up".into()),
        (_, LocalState::Donor) if !fitness.when_donor => {
            unfit("not synced", "this member is a donor, or desynced by hand".into())
        }
        (_, LocalState::Synced | LocalState::Donor) => hindered(of).unwrap_or_else(|| serving(wsrep, &of.sql, fitness)),
        (_, LocalState::Initialized) => unfit("initialized", format!("Galera says {}", wsrep.local_state_comment)),
    }
}

fn serving(wsrep: &Wsrep, sql: &Sql, fitness: Fitness) -> Health {
    let unfit = |word: &str, sentence: &str| Health { fit: false, word: word.into(), sentence: sentence.into() };
    if !wsrep.ready {
        unfit("not-ready", "wsrep_ready is OFF: statements are refused")
    } else if wsrep.cluster_state_uuid.is_none() {
        unfit(
            "nil-history",
            "the cluster runs on the nil history, in which no position means anything; bootstrap it anew",
        )
    } else if wsrep.read_only && !fitness.when_read_only {
        unfit("read-only", "read_only is ON")
    } else {
        // Who is connected is served, and nobody is better off cut (I3): others would take the places at the next one.
        let full =
            matches!(sql, Sql::TooManyConnections).then_some(", and has no connection left for others (error 1040)");
        Health { fit: true, word: "synced".into(), sentence: format!("{SERVES}{}", full.unwrap_or_default()) }
    }
}

/// What keeps a member that Galera calls well from doing what clients ask for: they are better off at another one. What
/// ends by itself is waited for.
fn hindered(of: &Observation) -> Option<Health> {
    /// A moment's fault is none of the member's.
    const LASTING: u64 = 30;
    let unfit = |word: &str, sentence: String| Some(Health { fit: false, word: word.into(), sentence });
    let host = &of.host;
    match (&of.stalled, &host.write_fault, &host.tmp_fault) {
        (Some(stall), ..) if stall.behind.is_none() => {
            unfit("writes-stalled", format!("writes have not got through for {} s: {}", stall.seconds, stall.waits))
        }
        (_, Some(fault), _) if host.write_fault_seconds >= LASTING => unfit("disk-fault", fault.clone()),
        (.., Some(fault)) if host.tmp_fault_seconds >= LASTING => unfit("disk-fault", fault.clone()),
        _ => None,
    }
}

fn leaving(of: &Observation) -> bool {
    of.supervisor.present().is_some_and(|s| s.phase == Phase::Stopping)
}

/// Why there is no answer from SQL, from what else is known (S9, K5).
fn without_sql(of: &Observation) -> Health {
    let unfit = |word: &str, sentence: String| Health { fit: false, word: word.into(), sentence };
    if leaving(of) {
        return unfit("leaving", "this member is being stopped".into());
    }
    match (&of.process, &of.sql) {
        (Some(_), Sql::TimedOut) => unfit("hung", "mariadbd runs and does not answer a new connection in time".into()),
        (Some(_), Sql::TooManyConnections) => {
            unfit("too-many-connections", "the server lives, and has no connection left (error 1040)".into())
        }
        (Some(_), Sql::Denied) => {
            unfit("denied", "the server lives, and refuses this agent's user (error 1045)".into())
        }
        (Some(_), Sql::Failed { why }) => unfit("failing", format!("the server answers with an error: {why}")),
        (Some(_), Sql::Open { .. }) => unfit("no-galera", "the server answers, and has no Galera status".into()),
        (Some(process), Sql::Closed { .. }) if process.recovering => {
            unfit("recovering", "finding its position after a crash".into())
        }
        (Some(process), Sql::Closed { .. }) if process.state_transfer => {
            unfit("joining", "this member is receiving its state".into())
        }
        // 4567 without 3306: connected to the group or trying to, and SQL not opened.
        (Some(_), Sql::Closed { .. }) if of.ports.galera => unfit(
            "waiting-for-primary",
            "mariadbd is connected to its group (4567) and has not opened SQL (3306): it waits for a primary component"
                .into(),
        ),
        (Some(_), Sql::Closed { .. }) => unfit("starting", "mariadbd runs and has not opened SQL yet".into()),
        (None, _) => match &of.supervisor {
            SupervisorSight::Present(supervisor) if supervisor.phase == Phase::Held => {
                unfit("held", supervisor.detail.clone())
            }
            SupervisorSight::Present(supervisor) => unfit("stopped", supervisor.detail.clone()),
            SupervisorSight::Absent { why } => unfit("stopped", format!("mariadbd does not run; {why}")),
        },
    }
}

/// `/mysql_status` as Cloud Foundry's clients know it, in monit's words.
pub fn monit_word(of: &Observation) -> &'static str {
    match (&of.supervisor, &of.process, &of.wsrep) {
        (_, _, Some(_)) => "running",
        (SupervisorSight::Absent { .. }, None, _) => "stopped",
        (SupervisorSight::Absent { .. }, Some(_), _) => "failing",
        (SupervisorSight::Present(supervisor), _, _) => match supervisor.phase {
            Phase::Held => "stopped",
            Phase::Stopping => "pending",
            Phase::Preparing | Phase::Recovering | Phase::Waiting | Phase::Starting | Phase::Serving => "initializing",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::observation::WriteStall;
    use crate::cluster::situation::*;

    #[test]
    fn k4_k5_k14_s2_s9_t6_t13_every_state_has_its_word() {
        use crate::galera::wsrep::ClusterStatus::{Disconnected, NonPrimary, Primary};
        use crate::galera::wsrep::LocalState::{Donor, Inconsistent, Initialized, Joined, Joining, Synced};
        let live = |status, state| primary(0, 9, &[0]).state(status, state);
        let met = |sql| {
            let mut o = running(0, 9);
            o.sql = sql;
            o
        };
        let wedged = {
            let mut o = running(0, 9);
            o.ports.galera = true;
            o
        };
        let receiving = {
            let mut o = running(0, 9);
            o.process.as_mut().unwrap().state_transfer = true;
            o
        };
        let read_only = {
            let mut o = primary(0, 9, &[0]);
            o.wsrep.as_mut().unwrap().read_only = true;
            o
        };
        let nil = {
            let mut o = primary(0, 9, &[0]);
            o.wsrep.as_mut().unwrap().cluster_state_uuid = None;
            o
        };
        let stalled = |behind: Option<&str>| {
            primary(0, 9, &[0]).with(|o| {
                let (waits, behind) = ("session 118 (ALTER TABLE) is \"x\"".to_owned(), behind.map(str::to_owned));
                o.stalled = Some(WriteStall { seconds: 31, waits, behind, before: Vec::new() });
            })
        };
        let full = |seconds| {
            primary(0, 9, &[0]).with(|o| {
                (o.host.tmp_fault, o.host.tmp_fault_seconds) = (Some("/tmp: a small write fails".into()), seconds);
            })
        };
        let logs_full = primary(0, 9, &[0]).with(|o| o.host.log_fault = Some("/log: a small write fails".into()));
        let hangs = primary(0, 9, &[0]).with(|o| {
            (o.host.write_fault, o.host.write_fault_seconds) = (Some("/store: hangs".into()), 31);
        });
        let strict = Fitness { when_donor: false, when_read_only: false };
        let lenient = Fitness { when_donor: true, when_read_only: true };
        for (of, fitness, expected) in [
            (live(Primary, Synced), strict, "synced"),
            (live(Primary, Donor), lenient, "synced"),
            (live(Primary, Donor), strict, "not synced"),
            (live(Primary, Joined), lenient, "joined"),
            (live(Primary, Joining), lenient, "joining"),
            (live(NonPrimary, Initialized), lenient, "non-primary"),
            (live(NonPrimary, Synced), lenient, "non-primary"),
            (live(NonPrimary, Joining), lenient, "joining"),
            (live(Disconnected, Initialized), lenient, "disconnected"),
            (live(Disconnected, Inconsistent), lenient, "inconsistent"),
            (live(Primary, Initialized).wsrep(|w| w.on = false), lenient, "outside-galera"),
            (live(Primary, Synced).phase(Phase::Stopping), lenient, "leaving"),
            (read_only.clone(), strict, "read-only"),
            (read_only, lenient, "synced"),
            (nil, lenient, "nil-history"),
            (wedged, lenient, "waiting-for-primary"),
            (receiving, lenient, "joining"),
            (stalled(None), lenient, "writes-stalled"),
            (stalled(Some("session 9 (ALTER TABLE)")), lenient, "synced"),
            (full(29), lenient, "synced"),
            (full(30), lenient, "disk-fault"),
            (hangs, lenient, "disk-fault"),
            (logs_full, lenient, "synced"),
            (running(0, 9), lenient, "starting"),
            (met(Sql::TimedOut), lenient, "hung"),
            (met(Sql::TooManyConnections), lenient, "too-many-connections"),
            (live(Primary, Synced).with(|o| o.sql = Sql::TooManyConnections), lenient, "synced"),
            (live(NonPrimary, Synced).with(|o| o.sql = Sql::TooManyConnections), lenient, "non-primary"),
            (met(Sql::Denied), lenient, "denied"),
            (down(0, 9), lenient, "stopped"),
            (down(0, 9).held(), lenient, "held"),
        ] {
            let found = health(&of, fitness);
            assert_eq!(found.word, expected, "{found}");
            assert_eq!(found.fit, expected == "synced");
        }
    }
}
