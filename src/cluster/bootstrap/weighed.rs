//! The evidence, weighed once for all rules.

use super::NoProof;
use super::evidence::{Evidence, in_newest_incarnation, lineage_of, tail_at};
use crate::cluster::lineage::{Lineage, Tail};
use crate::cluster::observation::Observation;
use crate::cluster::standing::{Standing, Unknown};
use crate::galera::gvwstate::SavedView;
use crate::galera::position::{OneHistory, Position};
use crate::galera::uuid::Uuid;

/// What the rules conclude from.
pub(super) struct Weighed<'a> {
    pub(super) evidence: &'a Evidence<'a>,
    /// The members that have data, with how far it goes.
    pub(super) placed: Vec<Placed<'a>>,
    /// The members of which it is not known where they stand, and why.
    pub(super) unknown: Vec<(String, String)>,
    /// The members that have no data now, and may have had some before.
    pub(super) emptied: Vec<&'a Observation>,
    /// The members of which there is no observation, and why.
    pub(super) unseen: Vec<(String, String)>,
    /// The one past that all remember.
    pub(super) lineage: Lineage,
    /// The last primary view, where all its members are there.
    pub(super) last_view: Option<CompleteView<'a>>,
}

/// A member with data, and how far that goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed<'a> {
    pub(super) of: &'a Observation,
    pub(super) position: Position,
    /// Only a bound: nothing begins from here by itself.
    pub(super) bound: bool,
}

/// A primary view all members of which are seen, and were in no other one since.
pub(super) struct CompleteView<'a> {
    view: &'a SavedView,
    pub(super) members: Vec<&'a Observation>,
}

impl CompleteView<'_> {
    /// Whether whoever was not in it has nothing that its members lack: one of them has all that came before it.
    pub(super) fn tells_all(&self) -> bool {
        self.members.iter().any(|o| o.caught_up_with(self.view))
    }
}

impl<'a> Weighed<'a> {
    pub(super) fn of(evidence: &'a Evidence<'a>) -> Result<Weighed<'a>, NoProof> {
        let lineage = lineage_of(&evidence.seen)?;
        let (mut placed, mut unknown) = (Vec::new(), Vec::new());
        for of in evidence.seen.iter().copied() {
            match &of.position {
                // What came of a promotion by hand that nobody has recorded is of no past that is known.
                Standing::At { position, .. } => {
                    placed.push(Placed { of, position: *position, bound: of.memory.strange.is_some() });
                }
                Standing::Unknown { at_most: Some(position), .. } => {
                    placed.push(Placed { of, position: *position, bound: true });
                }
                // Into a mixture a full copy was written: nothing is left of what it had.
                Standing::Empty | Standing::Unknown { why: Unknown::DataGone | Unknown::TransferInterrupted, .. } => {}
                Standing::Unknown { detail, .. } => unknown.push((of.member.name.clone(), detail.clone())),
            }
        }
        Ok(Weighed {
            placed,
            unknown,
            emptied: evidence.seen.iter().filter(|o| may_have_lost_data(evidence, o)).copied().collect(),
            unseen: evidence.unseen(),
            last_view: complete_view(evidence, &lineage),
            lineage,
            evidence,
        })
    }

    /// Whether the last primary view tells that whoever was not in it has nothing that its members lack.
    pub(super) fn view_tells_all(&self) -> bool {
        self.last_view.as_ref().is_some_and(CompleteView::tells_all)
    }

    /// Of every member that is seen it is known where it stands, or that it has nothing.
    pub(super) fn all_placed(&self) -> Result<(), NoProof> {
        if self.unknown.is_empty() { Ok(()) } else { Err(NoProof::PositionUnknown(self.unknown.clone())) }
    }

    /// All of one history, so that they may be compared.
    pub(super) fn one_history(&self) -> Result<OneHistory<Placed<'a>>, NoProof> {
        OneHistory::of(self.placed.iter().map(|p| (*p, p.position))).map_err(|none| match none {
            None => NoProof::NoData,
            Some(_) => NoProof::DifferentHistories(
                self.placed.iter().map(|p| (p.of.member.name.clone(), p.position)).collect(),
            ),
        })
    }

    /// The maximum is the maximum only if nobody went on separately: against this lineage no member may have a
    /// tail.
    pub(super) fn nobody_parted(&self) -> Result<(), NoProof> {
        self.placed.iter().try_for_each(|p| match tail_at(p.of, p.position, &self.lineage) {
            Tail::None => Ok(()),
            Tail::Has { transactions, parted_at } => {
                let newest = self.lineage.newest();
                let newest = newest.map(|i| format!("incarnation {} begun by {}", i.number, i.by)).unwrap_or_default();
                Err(NoProof::Diverged(format!(
                    "{} at {} has {transactions} transactions after {parted_at} that are not part of {newest}",
                    p.of.member.name, p.position
                )))
            }
        })
    }

    /// Nor may the cluster have had more than is found on any disk: a server that does not sync each commit, or a disk
    /// that lies about it, loses some on all members at once.
    pub(super) fn nobody_fell_back(&self, highest: Position) -> Result<(), NoProof> {
        let had = |o: &&'a Observation| {
            let had = o.memory.beyond(highest)?;
            // What it had, and parted with long ago, says nothing about this past.
            (tail_at(o, had, &self.lineage) == Tail::None).then(|| (o.member.name.clone(), had))
        };
        let fell: Vec<(String, Position)> = self.evidence.seen.iter().filter_map(had).collect();
        if fell.is_empty() { Ok(()) } else { Err(NoProof::FellBack { had: fell, found: highest }) }
    }

    pub(super) fn in_newest(&self, of: &Observation) -> bool {
        in_newest_incarnation(of, &self.lineage)
    }
}

/// Whether this member has no data, and may have had some. An instance that nobody was ever together with has had none.
fn may_have_lost_data(evidence: &Evidence, of: &Observation) -> bool {
    let known = |o: &&Observation| o.memory.company.iter().any(|c| c.id == of.member.id);
    let told = |o: &&Observation| !o.memory.company.is_empty();
    // Who came less than a minute before the end is in no company yet, but in the views.
    let owned = |uuid: &Uuid| evidence.seen.iter().any(|o| o.last_view().is_some_and(|v| v.my_uuid.same_member(*uuid)));
    let all_known = evidence.seen.iter().filter_map(|o| o.last_view()).all(|view| view.members.iter().all(owned));
    let never_was = of.position == Standing::Empty
        && all_known
        && evidence.seen.iter().any(told)
        && !evidence.seen.iter().any(known);
    of.position.may_have_lost_all() && !never_was
}

/// The last primary view, where all its members are among these and none of them was in another one
/// since: then nobody can have gone on without them. The view numbers of different bootstraps are not
/// comparable, so no number is compared; a view of before the newest incarnation was not the last.
fn complete_view<'a>(evidence: &Evidence<'a>, lineage: &Lineage) -> Option<CompleteView<'a>> {
    evidence.seen.iter().filter_map(|o| o.last_view()).find_map(|view| {
        let members: Option<Vec<&Observation>> = view.members.iter().map(|uuid| was(evidence, *uuid, view)).collect();
        let members = members.filter(|all| all.iter().all(|o| in_newest_incarnation(o, lineage)))?;
        Some(CompleteView { view, members })
    })
}

/// The one seen member that had this UUID in the group, whose last primary view is this one, and which
/// still has what it had then.
fn was<'a>(evidence: &Evidence<'a>, uuid: Uuid, view: &SavedView) -> Option<&'a Observation> {
    let with_data = evidence.seen.iter().filter(|o| !o.position.may_have_lost_all());
    let mut found = with_data.filter(|o| o.last_view().is_some_and(|v| v.my_uuid.same_member(uuid)));
    let one = found.next().filter(|o| o.last_view().is_some_and(|v| v.same_view(view)));
    one.filter(|_| found.next().is_none()).copied()
}
