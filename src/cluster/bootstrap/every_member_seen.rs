//! `EveryMemberSeen`: every expected member is seen, so the maximum is the maximum (G2).

use super::choice::choose;
use super::weighed::{Placed, Weighed};
use super::{NoProof, Proof, Rule};
use crate::cluster::standing::{Provenance, Standing};

/// Whom to make primary, given that every expected member is seen and where it stands is known.
///
/// A member that is empty now may have been ahead of all others before it lost its disk. It counts as seen
/// only where the last primary view shows that it was not part of it.
pub(super) fn every_member_seen(of: &Weighed) -> Result<Proof, NoProof> {
    if !of.unseen.is_empty() {
        return Err(NoProof::NotSeen(of.unseen.clone()));
    }
    of.all_placed()?;
    if of.placed.is_empty() {
        return Err(NoProof::NoData);
    }
    only_one_left_last(of)?;
    if !of.emptied.is_empty() && !of.view_tells_all() {
        return Err(NoProof::MayHaveLostData(of.emptied.iter().map(|o| o.member.name.clone()).collect()));
    }
    let notes =
        of.emptied.iter().map(|o| format!("{} has no data, and was not in the last primary view", o.member.name));
    choose(of, Rule::EveryMemberSeen, |_| true, notes.collect())
}

/// Only one can have been alone in the last primary component, and nobody can have gone on beyond it, whatever the
/// numbers say.
fn only_one_left_last(of: &Weighed) -> Result<(), NoProof> {
    let last: Vec<&Placed> = of.placed.iter().filter(|p| left_last(of, p)).collect();
    match last.as_slice() {
        [] => Ok(()),
        [last] => {
            let alone = last.of.memory.left_alone == Some(last.position);
            let further = |p: &&Placed| alone && of.in_newest(p.of) && p.position.seqno() > last.position.seqno();
            of.placed.iter().find(further).map_or(Ok(()), |further| {
                Err(NoProof::Diverged(format!(
                    "{} was alone in the last primary component when it left it at {}, and {} of the same incarnation is at {}: they went on apart",
                    last.of.member.name, last.position, further.of.member.name, further.position
                )))
            })
        }
        _ => Err(NoProof::Diverged("more than one member was the last to leave".into())),
    }
}

fn left_last(of: &Weighed, placed: &Placed) -> bool {
    let clean = matches!(placed.of.position, Standing::At { from: Provenance::CleanStop, .. });
    clean && placed.of.disk.grastate.present().is_some_and(|g| g.validly_safe()) && of.in_newest(placed.of)
}
