//! Which of the members that are furthest becomes primary: a total order over frozen facts, so that all who
//! evaluate it name the same one (G13, H12).

use super::evidence::{Evidence, Fence};
use super::weighed::{Placed, Weighed};
use super::{NoProof, Proof, Rule, Way};
use crate::cluster::observation::Observation;
use crate::cluster::primary::one_component;
use crate::cluster::standing::{Provenance, Standing};
use crate::galera::position::Position;

/// Chooses among those that are candidates; no member with data may be ahead of the chosen one.
///
/// Ties: a live member, then one whose `mariadbd` does not die each time, then one that misses no table, then one of
/// the newest incarnation, then a valid `safe_to_bootstrap`, then the newest saved view, then a clean stop, then the
/// lowest index. The flag never beats a seqno.
pub(super) fn choose(
    of: &Weighed,
    rule: Rule,
    candidates: impl Fn(&Observation) -> bool,
    notes: Vec<String>,
) -> Result<Proof, NoProof> {
    let history = of.one_history()?;
    of.nobody_parted()?;
    let highest = history.highest();
    if let Some(highest) = Position::new(history.history(), highest) {
        of.nobody_fell_back(highest)?;
    }
    let evidence = of.evidence;
    let newest_view = evidence.seen.iter().filter_map(|o| o.last_view()).map(|v| v.seq).max();
    let chosen = history
        .furthest()
        // A cluster went on without one that is superseded; what it has at the same numbers is something else.
        .filter(|p| !p.bound && !p.of.memory.superseded && candidates(p.of))
        .min_by_key(|p| {
            let o = p.of;
            let safe = o.disk.grastate.present().is_some_and(|g| g.validly_safe());
            let in_newest = newest_view.is_some() && o.last_view().map(|v| v.seq) == newest_view;
            let clean = matches!(o.position, Standing::At { from: Provenance::CleanStop, .. });
            let index = evidence.member(o).map_or(u32::MAX, |m| m.index);
            // Where its mariadbd cannot live, or a table file is gone, an equal one may have it.
            let dies = o.deaths.in_a_row > 2;
            let lacks = o.supervisor.present().is_some_and(|s| !s.lacks_tables.is_empty());
            (!o.lives_without_quorum(), dies, lacks, !of.in_newest(o), !safe, !in_newest, !clean, index)
        })
        .ok_or_else(|| ahead_of_all(&of.placed, highest))?;
    let way = way(evidence, chosen.of)?;
    Ok(Proof {
        rule,
        member: chosen.of.member.name.clone(),
        position: Position::new(history.history(), highest),
        way,
        past: of.lineage.clone(),
        notes,
        left_out: Vec::new(),
    })
}

/// Somebody may be further than whoever could be chosen.
fn ahead_of_all(all: &[Placed], highest: u64) -> NoProof {
    let ahead = all.iter().filter(|p| p.position.seqno() == highest);
    NoProof::AheadOfChoice(ahead.map(|p| (p.of.member.name.clone(), p.of.position.to_string())).collect())
}

/// In place, where the member lives; otherwise everything that lives is stopped first.
pub(super) fn way(evidence: &Evidence, chosen: &Observation) -> Result<Way, NoProof> {
    let alive: Vec<&Observation> = evidence.seen.iter().filter(|o| o.takes_part()).copied().collect();
    if chosen.takes_part() {
        // A promotion promotes the whole component that the member is in; in another one somebody else may
        // be promoted too, or Galera may be about to merge them.
        return if one_component(&alive) { Ok(Way::Promote) } else { Err(NoProof::Apart(names(&alive))) };
    }
    restarted(evidence)
}

/// With nothing alive any more.
pub(super) fn restarted(evidence: &Evidence) -> Result<Way, NoProof> {
    let alive: Vec<&Observation> = evidence.seen.iter().filter(|o| o.process.is_some()).copied().collect();
    match evidence.fence {
        Fence::HeldBy(_) if !alive.is_empty() => Err(NoProof::Running(names(&alive))),
        _ => Ok(Way::Bootstrap),
    }
}

fn names(of: &[&Observation]) -> Vec<String> {
    of.iter().map(|o| o.member.name.clone()).collect()
}
