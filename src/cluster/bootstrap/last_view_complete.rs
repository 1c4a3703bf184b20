//! `LastViewComplete`: all members of the last primary view are there.

use super::choice::choose;
use super::weighed::Weighed;
use super::{NoProof, Proof, Rule};
use crate::cluster::observation::Observation;

/// The next primary component needs more than half of the last one, so it cannot have come about without a
/// member of it; and each member writes the view that it is in to its disk. Where all members of a view are
/// seen, and none of them was in a later one or left gracefully, it was the last: whoever is missing was not
/// part of it, and cannot have gone on.
pub(super) fn last_view_complete(of: &Weighed) -> Result<Proof, NoProof> {
    let view = of.last_view.as_ref().ok_or(NoProof::ViewIncomplete)?;
    // A bootstrap that somebody forced begins views of its own; whoever remembers it is asked, so most of all must be.
    if !of.evidence.most_bear_witness() {
        return Err(NoProof::NotSeen(of.unseen.clone()));
    }
    // Whoever left before the view may have been told of commits that its members had only in memory.
    let emptied = of.emptied.iter().map(|o| (o.member.name.clone(), "it is empty".to_owned()));
    let unknown: Vec<(String, String)> = of.unseen.iter().cloned().chain(emptied).collect();
    if !unknown.is_empty() && !view.tells_all() {
        return Err(NoProof::NotCaughtUp(unknown));
    }
    of.all_placed()?;
    let of_the_view = |o: &Observation| view.members.iter().any(|m| m.member.name == o.member.name);
    let unseen = of.unseen.iter().map(|(name, _)| format!("{name} is not seen; it was not in the last primary view"));
    choose(of, Rule::LastViewComplete, of_the_view, unseen.collect())
}
