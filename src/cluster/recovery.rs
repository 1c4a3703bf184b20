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
