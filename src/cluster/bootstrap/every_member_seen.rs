//! `EveryMemberSeen`: every expected member is seen, so the maximum is the maximum (G2).

use super::choice::choose;
use super::evidence::{Evidence, in_newest_incarnation};
use super::{NoProof, Proof, Rule};
use crate::cluster::standing::{Provenance, Standing};

/// Whom to make primary, given that every expected member is seen and where it stands is known.
///
/// A member that is empty now may have been ahead of all others before it lost its disk. It counts as seen
/// only where the last primary view shows that it was not part of it.
pub(super) fn every_member_seen(evidence: &Evidence) -> Result<Proof, NoProof> {
    let unseen = evidence.unseen();
    if !unseen.is_empty() {
        return Err(NoProof::NotSeen(unseen));
    }
    let placed = evidence.placed()?;
    if placed.is_empty() {
        return Err(NoProof::NoData);
    }
    // Only one can have been alone in the last primary component, whatever the numbers say.
    let lineage = evidence.lineage();
    let left_last = placed.iter().filter(|p| {
        let clean = matches!(p.of.position, Standing::At { from: Provenance::CleanStop, .. });
        clean && p.of.disk.grastate.present().is_some_and(|g| g.validly_safe()) && in_newest_incarnation(p.of, &lineage)
    });
    if left_last.count() > 1 {
        return Err(NoProof::Diverged("more than one member was the last to leave".into()));
    }
    let emptied = evidence.emptied();
    if !emptied.is_empty() && !evidence.view_tells_all() {
        return Err(NoProof::MayHaveLostData(emptied.iter().map(|o| o.member.name.clone()).collect()));
    }
    let notes = emptied.iter().map(|o| format!("{} has no data, and was not in the last primary view", o.member.name));
    choose(evidence, Rule::EveryMemberSeen, &placed, |_| true, notes.collect())
}
