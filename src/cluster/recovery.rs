//! What the bootstrap errand does, given what it sees.

use super::bootstrap::{NoProof, Proof, every_member_seen};
use super::member::Cluster;
use super::observation::{MemberView, Observation};
use super::primary::{Primaries, Primary, primaries};
use super::standing::{Standing, Unknown};
use crate::galera::uuid::Uuid;

/// What the errand should do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovery {
    /// All expected members are Synced in one primary component.
    Healthy(Primary),
    /// A primary component exists: nothing is bootstrapped. Who is out of it, and why.
    PrimaryExists {
        /// The component.
        primary: Primary,
        /// The members that are not Synced in it.
        out: Vec<(String, String)>,
    },
    /// It would not be safe, or cannot be known to be safe.
    Refuse(NoProof),
    /// Hold all members, stop what runs, and bootstrap. The proof, if it can be told already; the
    /// positions may first have to be recovered.
    Recover(Option<Proof>),
}

/// Decides before anything is touched.
pub fn first_look(cluster: &Cluster, views: &[MemberView]) -> Recovery {
    let seen = || views.iter().filter_map(MemberView::seen);
    match primaries(seen()) {
        Primaries::Split(sides) => {
            return Recovery::Refuse(NoProof::SplitBrain(sides.into_iter().map(|p| p.members).collect()));
        }
        Primaries::One(primary) => {
            let out: Vec<(String, String)> = views
                .iter()
                .filter(|v| !primary.synced.contains(&v.member.name))
                .map(|v| (v.member.name.clone(), why_out(v)))
                .collect();
            let whole = out.is_empty() && usize::try_from(primary.size).is_ok_and(|n| n == cluster.members.len());
            return if whole { Recovery::Healthy(primary) } else { Recovery::PrimaryExists { primary, out } };
        }
        Primaries::None => {}
    }
    match every_member_seen(cluster, views, None) {
        Ok(proof) => Recovery::Recover(Some(proof)),
        // A position that is not known *yet* becomes known once the member is stopped and recovered.
        Err(NoProof::PositionUnknown(_))
            if seen().all(may_become_known) && views.iter().all(|v| v.seen().is_some()) =>
        {
            Recovery::Recover(None)
        }
        Err(no) => Recovery::Refuse(no),
    }
}

/// The members that are on their way into an existing primary component: their supervisors run, nobody
/// holds them, and nothing forbids their join.
pub fn joiners(cluster: &Cluster, views: &[MemberView]) -> Vec<String> {
    let Recovery::PrimaryExists { out, .. } = first_look(cluster, views) else { return Vec::new() };
    let coming = |name: &String| {
        let supervisor = views.iter().find(|v| v.member.name == *name)?.seen()?.supervisor.present()?;
        (supervisor.hold.is_none() && supervisor.refused.is_none()).then_some(())
    };
    out.into_iter().map(|(name, _)| name).filter(|name| coming(name).is_some()).collect()
}

/// Decides once all members are held and stopped.
pub fn once_held(cluster: &Cluster, views: &[MemberView], order: Uuid) -> Result<Proof, NoProof> {
    every_member_seen(cluster, views, Some(order))
}

/// Whether holding and stopping the member may tell its position.
pub fn may_become_known(of: &Observation) -> bool {
    match &of.position {
        Standing::Unknown { why, .. } => of.memory.damaged.is_none() && *why == Unknown::NotLookedYet,
        Standing::At { .. } | Standing::Empty => true,
    }
}

fn why_out(view: &MemberView) -> String {
    match view.seen() {
        None => view.why_unseen().unwrap_or_default(),
        Some(o) => match (&o.wsrep, o.supervisor.present()) {
            (Some(wsrep), _) => format!("Galera says {}", wsrep.local_state_comment),
            (None, Some(supervisor)) => supervisor.detail.clone(),
            (None, None) => "galera-start does not run".into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::observation::Phase;
    use crate::cluster::situation::*;

    fn word(recovery: Recovery) -> String {
        match recovery {
            Recovery::Healthy(_) => "healthy".into(),
            Recovery::PrimaryExists { out, .. } => {
                format!("primary, out: {}", out.into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(" "))
            }
            Recovery::Refuse(no) => no.to_string(),
            Recovery::Recover(Some(proof)) => format!("recover {}", proof.member()),
            Recovery::Recover(None) => "recover".into(),
        }
    }

    #[test]
    fn s1_s3_s11_h11_what_the_errand_does_at_first_look() {
        let three = |n| primary(n, 9, &[0, 1, 2]);
        let pair = |n| primary(n, 9, &[0, 1]);
        let looking = |n| down(n, 9).unknown(Unknown::NotLookedYet).phase(Phase::Recovering);
        for (views, expected, why) in [
            (vec![seen(three(0)), seen(three(1)), seen(three(2))], "healthy", "all well"),
            (vec![seen(pair(0)), seen(pair(1)), seen(down(2, 9))], "primary, out: mysql/2", "one is out"),
            (
                vec![seen(pair(0)), seen(pair(1)), silent(2)],
                "primary, out: mysql/2",
                "one is not seen: not our business",
            ),
            (vec![seen(down(0, 9)), seen(down(1, 11)), seen(down(2, 10))], "recover mysql/1", "all down"),
            (vec![seen(running(0, 9)), seen(down(1, 8)), seen(down(2, 7))], "recover mysql/0", "one waits before SQL"),
            (vec![seen(looking(0)), seen(down(1, 8)), seen(down(2, 7))], "recover", "one is still recovering"),
            (vec![seen(down(0, 9)), silent(1), seen(down(2, 9))], "PartialKnowledge", "one is not seen"),
            (vec![silent(0), silent(1), silent(2)], "PartialKnowledge", "nobody is seen: maybe it is us"),
            (
                vec![seen(down(0, 9).unknown(Unknown::NoPosition)), seen(down(1, 9)), seen(down(2, 9))],
                "not known",
                "cannot become known",
            ),
            (vec![seen(primary(0, 9, &[0])), seen(primary(1, 9, &[1])), seen(down(2, 9))], "SplitBrain", "two writers"),
        ] {
            let found = word(first_look(&cluster(3), &views));
            assert!(found.contains(expected), "{why}: {found}");
        }
    }

    #[test]
    fn only_members_that_can_come_are_waited_for() {
        let pair = |n| primary(n, 9, &[0, 1]);
        let coming = |third: Observation| joiners(&cluster(3), &[seen(pair(0)), seen(pair(1)), seen(third)]);
        assert_eq!(coming(down(2, 9)), ["mysql/2"]);
        assert!(coming(down(2, 9).held()).is_empty());
        assert!(joiners(&cluster(3), &[seen(pair(0)), seen(pair(1)), silent(2)]).is_empty());
    }
}
