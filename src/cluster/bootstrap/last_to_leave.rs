//! `LastToLeave`: the member was alone in the last primary component when it left it.

use super::choice::choose;
use super::weighed::Weighed;
use super::{NoProof, Proof, Rule};
use crate::cluster::observation::Observation;
use crate::cluster::standing::{Provenance, Standing};

/// Galera writes `safe_to_bootstrap: 1` where a member leaves a primary component of which it was the only
/// member. The flag alone proves nothing (a lost file reads as 1, a forced bootstrap elsewhere leaves it, people
/// write it): our own supervisor must have seen it leave so, nobody who is seen may be ahead or know of a later
/// incarnation, and most of the expected members must be seen and remember which incarnations there were. A VM on
/// which nothing runs remembers nothing: it may have been part of a cluster that a person began since.
pub(super) fn last_to_leave(of: &Weighed) -> Result<Proof, NoProof> {
    let left_last = |o: &Observation| {
        matches!(o.position, Standing::At { from: Provenance::CleanStop, .. })
            && o.process.is_none()
            && o.disk.grastate.present().is_some_and(|g| g.validly_safe())
            && o.memory.left_alone == o.position.position()
            && of.in_newest(o)
    };
    match of.evidence.seen.iter().filter(|o| left_last(o)).count() {
        1 => {}
        0 => return Err(NoProof::NobodyLeftLast),
        // Only one can have been alone in the last primary component.
        _ => return Err(NoProof::Diverged("more than one member was the last to leave".into())),
    }
    if !of.evidence.most_bear_witness() {
        return Err(NoProof::NotSeen(of.unseen.clone()));
    }
    of.all_placed()?;
    let unseen = of.unseen.iter().map(|(name, _)| format!("{name} is not seen; it had left before"));
    choose(of, Rule::LastToLeave, left_last, unseen.collect())
}
