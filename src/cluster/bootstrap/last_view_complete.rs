//! `LastViewComplete`: all members of the last primary view are there.

use super::choice::choose;
use super::evidence::{Evidence, in_newest_incarnation};
use super::{NoProof, Proof, Rule};
use crate::cluster::observation::Observation;

/// The next primary component needs more than half of the last one, so it cannot have come about without a
/// member of it; and each member writes the view that it is in to its disk. Where all members of a view are
/// seen, and none of them was in a later one or left gracefully, it was the last: whoever is missing was not
/// part of it, and cannot have gone on.
pub(super) fn last_view_complete(evidence: &Evidence) -> Result<Proof, NoProof> {
    let (_, members) = evidence.complete_view().ok_or(NoProof::ViewIncomplete)?;
    let lineage = evidence.lineage();
    // A bootstrap that somebody forced begins views of its own; whoever knows of it is asked, so a majority
    // of all must be.
    if !evidence.majority(evidence.seen.len()) {
        return Err(NoProof::NotSeen(evidence.unseen()));
    }
    if !members.iter().all(|o| in_newest_incarnation(o, &lineage)) {
        return Err(NoProof::ViewIncomplete);
    }
    // Whoever left before the view may have been told of commits that its members had only in memory.
    let emptied = evidence.emptied().into_iter().map(|o| (o.member.name.clone(), "it is empty".to_owned()));
    let unknown: Vec<(String, String)> = evidence.unseen().into_iter().chain(emptied).collect();
    if !unknown.is_empty() && !evidence.view_tells_all() {
        return Err(NoProof::NotCaughtUp(unknown));
    }
    let of_the_view = |o: &Observation| members.iter().any(|m| m.member.name == o.member.name);
    let unseen = evidence
        .views
        .iter()
        .filter(|v| v.seen().is_none())
        .map(|v| format!("{} is not seen; it was not in the last primary view", v.member.name));
    choose(evidence, Rule::LastViewComplete, &evidence.placed()?, of_the_view, unseen.collect())
}
