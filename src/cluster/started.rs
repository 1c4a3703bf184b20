//! Has this member come up, as far as a deployment may wait for it? The gate of BOSH's `post-start`.
//!
//! BOSH starts one instance after the other and waits for each. A member that must wait for members that BOSH
//! has not started yet would keep them from being started, so such a cold start is let pass, and told.

use std::time::Duration;

use super::observation::{MemberView, Observation, Phase, Sight};
use super::primary::{Primaries, primaries};

/// For how long a member must have waited before it is concluded that BOSH starts the others only after it, where
/// their VMs answer and nothing runs on them.
const COLD: Duration = Duration::from_secs(5);
/// The same where they do not answer: more than Galera takes to give a lost member up (15 s).
const COLD_AND_SILENT: Duration = Duration::from_secs(30);
/// For how long no supervisor may be there: monit starts it again within two of its cycles.
const ABSENT: Duration = Duration::from_secs(60);
/// So many deaths of `mariadbd` in a row are no accident.
const DEATHS: u32 = 3;

/// What `post-start` concludes from a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started {
    /// It serves.
    Ready,
    /// It waits for members that are not started; in words. The deployment may go on.
    ColdStart(String),
    /// It does not come up, and why.
    Cannot(String),
    /// It is under way.
    Wait(String),
}

/// What a look shows of the way up; as long as it changes there is progress.
pub fn progress(own: &Observation) -> impl PartialEq + use<> {
    let supervisor = own.supervisor.present();
    (
        supervisor.map(|s| (s.phase, s.unsettled.is_none(), s.child.as_ref().map(|c| (c.pid, c.work)))),
        // Once it is Synced, what clients write is no progress of its own.
        own.wsrep.as_ref().map(|w| (w.local_state, w.cluster_size, w.last_committed.filter(|_| !w.is_synced()))),
    )
}

/// Has this member come up? `idle`: for how long nothing of [`progress`] has changed; `stall`: for how long
/// that may be.
pub fn started(own: &Observation, others: &[MemberView], idle: Duration, stall: Duration) -> Started {
    let serves = own.wsrep.as_ref().is_some_and(|w| w.is_synced() && w.ready);
    if serves && own.supervisor.present().is_some_and(|s| s.unsettled.is_none()) {
        return Started::Ready;
    }
    let Some(supervisor) = own.supervisor.present() else {
        let why = "galera-start does not run; galera-start.log and mariadb.err.log tell how it ended".to_owned();
        return if idle >= ABSENT { Started::Cannot(why) } else { Started::Wait(why) };
    };
    if let Some(refused) = &supervisor.refused {
        return Started::Cannot(refused.clone());
    }
    if own.deaths.in_a_row >= DEATHS {
        let end = own.deaths.last_end.clone().unwrap_or_default();
        return Started::Cannot(format!("mariadbd died {} times in a row; last: {end}", own.deaths.in_a_row));
    }
    // An order ends by itself, and whoever gave it tells of its progress.
    if idle >= stall && supervisor.hold.is_none() {
        let missing = supervisor.unsettled.as_ref().map(|what| format!("; not done: {what}")).unwrap_or_default();
        return Started::Cannot(format!("no progress for {} s: {}{missing}", idle.as_secs(), supervisor.detail));
    }
    if serves {
        let missing = supervisor.unsettled.clone().unwrap_or_default();
        return Started::Wait(format!("it serves; not done yet: {missing}"));
    }
    let waits = matches!(supervisor.phase, Phase::Waiting | Phase::Starting) && own.wsrep.is_none();
    // Beside a cluster that serves, or may serve, one that does not is no cold start: the next stop would be one too many.
    let nobody = matches!(primaries(others.iter().filter_map(MemberView::seen)), Primaries::None)
        && others.iter().all(|v| v.why_alive().is_none());
    let away: Vec<&MemberView> = others.iter().filter(|v| not_started(v)).collect();
    let silent = away.iter().any(|v| v.seen().is_none() && !v.nothing_runs());
    let patience = if silent { COLD_AND_SILENT } else { COLD };
    if waits && nobody && !away.is_empty() && supervisor.phase_seconds >= patience.as_secs() {
        let away: Vec<&str> = away.iter().map(|v| v.member.name.as_str()).collect();
        let detail = supervisor.detail.strip_prefix("wait: ").unwrap_or(&supervisor.detail);
        return Started::ColdStart(format!("Not started yet: {}. This member waits: {detail}", away.join(", ")));
    }
    Started::Wait(supervisor.detail.clone())
}

/// Whether BOSH may be yet to start this member. An agent that answers with an error is up.
fn not_started(view: &MemberView) -> bool {
    match &view.sight {
        Sight::Refused | Sight::Silent(_) => true,
        Sight::Seen(seen) => seen.supervisor.present().is_none() && seen.process.is_none(),
        Sight::Another(_) | Sight::Unusable(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::situation::*;
    use crate::galera::wsrep::ClusterStatus::Primary;
    use crate::galera::wsrep::LocalState::{Joined, Joining};

    const STALL: Duration = Duration::from_secs(600);

    #[test]
    fn k2_k10_when_a_deployment_may_go_on() {
        let waits = |seconds| {
            down(0, 9).with(|o| {
                if let crate::cluster::observation::SupervisorSight::Present(s) = &mut o.supervisor {
                    s.phase_seconds = seconds
                }
            })
        };
        let refuses = down(0, 9).with(|o| {
            if let crate::cluster::observation::SupervisorSight::Present(s) = &mut o.supervisor {
                s.refused = Some("AheadOfCluster".into());
            }
        });
        let dies = down(0, 9).with(|o| {
            o.deaths.in_a_row = 3;
            o.deaths.last_end = Some("exit status 1".into());
        });
        let unsettled = primary(0, 9, &[0, 1, 2]).with(|o| {
            if let crate::cluster::observation::SupervisorSight::Present(s) = &mut o.supervisor {
                s.unsettled = Some("seed user x".into());
            }
        });
        let joins = |state| primary(0, 9, &[0, 1, 2]).state(Primary, state);
        let serves = || seen(primary(1, 9, &[0, 1, 2]));
        let unusable = MemberView { sight: Sight::Unusable("401".into()), ..silent(1) };
        for (own, others, idle, expected, why) in [
            (primary(0, 9, &[0]), vec![silent(1), silent(2)], 0, "Ready", "it serves"),
            (unsettled.clone(), vec![serves()], 9, "Wait", "its users are not seeded yet"),
            (unsettled, vec![serves()], 600, "Cannot", "its users cannot be seeded"),
            (joins(Joining), vec![serves()], 0, "Wait", "it joins"),
            (joins(Joined), vec![serves()], 599, "Wait", "it catches up"),
            (joins(Joining), vec![serves()], 600, "Cannot", "a transfer that stands still"),
            (waits(4), vec![refused(1), refused(2)], 4, "Wait", "too soon to tell"),
            (waits(5), vec![refused(1), refused(2)], 5, "ColdStart", "bosh start, the first"),
            (waits(29), vec![refused(1), silent(2)], 29, "Wait", "silence may be a network that is slow"),
            (waits(30), vec![seen(down(1, 9)), silent(2)], 30, "ColdStart", "bosh start, the second"),
            (
                waits(30),
                vec![seen(down(1, 9)), seen(down(2, 9).without_supervisor())],
                30,
                "ColdStart",
                "its agent is up first",
            ),
            (waits(30), vec![seen(down(1, 9)), seen(down(2, 9))], 30, "Wait", "all are up, and bring the cluster back"),
            (
                waits(600),
                vec![seen(down(1, 9)), seen(down(2, 9))],
                600,
                "Cannot",
                "all are up, and nothing comes of it",
            ),
            (waits(30), vec![serves(), silent(2)], 30, "Wait", "there is a cluster to join"),
            (waits(30), vec![unusable.clone(), unusable], 30, "Wait", "a wrong password is no cold start"),
            (refuses, vec![serves()], 0, "Cannot", "a person must decide"),
            (dies, vec![serves()], 0, "Cannot", "it dies again and again"),
            (down(0, 9).without_supervisor(), vec![serves()], 59, "Wait", "monit starts it again"),
            (down(0, 9).without_supervisor(), vec![serves()], 60, "Cannot", "it does not run"),
            (down(0, 9).held(), vec![seen(down(1, 9).held())], 900, "Wait", "an errand is at work"),
        ] {
            let found = format!("{:?}", started(&own, &others, Duration::from_secs(idle), STALL));
            assert!(found.starts_with(expected), "{why}: {found}");
        }
    }
}
