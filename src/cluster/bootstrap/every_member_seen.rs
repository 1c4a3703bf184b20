//! `EveryMemberSeen`: every expected member is seen, so the maximum is the maximum (G2).

use super::choice::choose;
use super::evidence::Evidence;
use super::{NoProof, Proof, Rule};

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
    let emptied = evidence.emptied();
    if !emptied.is_empty() && !evidence.view_tells_all() {
        return Err(NoProof::MayHaveLostData(emptied.iter().map(|o| o.member.name.clone()).collect()));
    }
    let notes = emptied.iter().map(|o| format!("{} has no data, and was not in the last primary view", o.member.name));
    choose(evidence, Rule::EveryMemberSeen, &placed, |_| true, notes.collect())
}
