//! `LastToLeave`: the member was alone in the last primary component when it left it.

use super::choice::choose;
use super::evidence::{Evidence, in_newest_incarnation};
use super::{NoProof, Proof, Rule};
use crate::cluster::observation::{MemberView, Observation};
use crate::cluster::standing::{Provenance, Standing};

/// Galera writes `safe_to_bootstrap: 1` where a member leaves a primary component of which it was the only
/// member. The flag alone proves nothing (a lost file reads as 1, a forced bootstrap elsewhere leaves it, people
/// write it): our own supervisor must have seen it leave so, nobody who is seen may be ahead or know of a later incarnation, and a majority of the expected members
/// must be seen, or be seen not to run.
pub(super) fn last_to_leave(evidence: &Evidence) -> Result<Proof, NoProof> {
    let lineage = evidence.lineage();
    let left_last = |o: &Observation| {
        matches!(o.position, Standing::At { from: Provenance::CleanStop, .. })
            && o.process.is_none()
            && o.disk.grastate.present().is_some_and(|g| g.validly_safe())
            && o.memory.left_alone == o.position.position()
            && in_newest_incarnation(o, &lineage)
    };
    match evidence.seen.iter().filter(|o| left_last(o)).count() {
        1 => {}
        0 => return Err(NoProof::NobodyLeftLast),
        // Only one can have been alone in the last primary component.
        _ => return Err(NoProof::Diverged("more than one member was the last to leave".into())),
    }
    let accounted = evidence.views.iter().filter(|v| v.seen().is_some() || v.nothing_runs());
    if !evidence.majority(accounted.count()) {
        return Err(NoProof::NotSeen(evidence.unseen()));
    }
    let unseen = evidence
        .views
        .iter()
        .filter(|v| v.seen().is_none())
        .map(|v: &MemberView| format!("{} is not seen; it had left before", v.member.name));
    choose(evidence, Rule::LastToLeave, &evidence.placed()?, left_last, unseen.collect())
}
