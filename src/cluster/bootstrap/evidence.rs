//! What the rules look at, and the gates that stand before all of them.

use std::collections::BTreeSet;

use super::NoProof;
use crate::cluster::lineage::{Lineage, Tail};
use crate::cluster::member::{Cluster, Member};
use crate::cluster::observation::{MemberView, Observation, Phase};
use crate::cluster::primary::{Primaries, primaries};
use crate::cluster::standing::{Standing, Unknown};
use crate::galera::gvwstate::SavedView;
use crate::galera::position::{OneHistory, Position};
use crate::galera::uuid::Uuid;

/// What keeps the members that are looked at from starting meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fence {
    /// Nothing yet: the answer says what would be done once all that are seen are held.
    WouldHold,
    /// All that are seen are held by this order; nothing runs but what may be promoted.
    HeldBy(Uuid),
}

/// The observations that the rules look at. They are frozen facts: whoever evaluates them finds the same.
#[derive(Debug)]
pub struct Evidence<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) views: &'a [MemberView],
    pub(super) seen: Vec<&'a Observation>,
    pub(super) fence: Fence,
}

/// A member with data, and how far that goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed<'a> {
    pub(super) of: &'a Observation,
    pub(super) position: Position,
    /// Only a bound: nothing begins from here by itself.
    pub(super) bound: bool,
}

impl<'a> Evidence<'a> {
    /// All expected members with what is seen of them.
    pub fn of(cluster: &'a Cluster, views: &'a [MemberView], fence: Fence) -> Evidence<'a> {
        Evidence { cluster, views, seen: views.iter().filter_map(MemberView::seen).collect(), fence }
    }

    pub(super) fn member(&self, of: &Observation) -> Option<&'a Member> {
        self.cluster.member(&of.member.name)
    }

    /// The expected members of which there is no observation, and why.
    pub(super) fn unseen(&self) -> Vec<(String, String)> {
        let without_answer = |member: &Member| {
            let view = self.views.iter().find(|v| v.member.name == member.name);
            match view {
                None => Some("it was not asked".to_owned()),
                Some(view) => view.why_unseen(),
            }
        };
        self.cluster.members.iter().filter_map(|m| Some((m.name.clone(), without_answer(m)?))).collect()
    }

    /// Whether so many are more than half of the expected members. Exactly half never is (Q12).
    pub(super) fn majority(&self, of: usize) -> bool {
        2 * of > self.cluster.members.len()
    }

    /// What no rule goes without: nobody is primary, everybody expects the same members, and whoever is
    /// looked at can be held.
    pub(super) fn gates(&self) -> Result<(), NoProof> {
        nobody_primary(self.seen.iter().copied())?;
        self.no_arbitrator_votes()?;
        none_of(self.named(|o| self.expects_others(o)), NoProof::MembershipDiffers)?;
        none_of(self.named(|o| o.supervisor.present().is_none()), NoProof::NoSupervisor)?;
        let silent = |o: &Observation| {
            let serving = o.supervisor.present().is_some_and(|s| s.phase == Phase::Serving);
            (serving && o.wsrep.is_none()).then(|| (o.member.name.clone(), "its SQL does not answer".to_owned()))
        };
        let silent: Vec<(String, String)> = self.seen.iter().filter_map(|o| silent(o)).collect();
        if !silent.is_empty() {
            return Err(NoProof::NotSeen(silent));
        }
        if let Fence::HeldBy(order) = self.fence {
            let held = |o: &Observation| {
                o.supervisor.present().and_then(|s| s.hold.as_ref()).is_some_and(|hold| hold.order == order)
            };
            none_of(self.named(|o| !held(o)), NoProof::NotHeld)?;
            none_of(self.named(|o| o.process.is_some() && !o.lives_without_quorum()), NoProof::Running)?;
        }
        let damaged: Vec<(String, String)> = self
            .seen
            .iter()
            .filter_map(|o| {
                let damage = o.memory.damaged.as_ref()?;
                Some((o.member.name.clone(), format!("what it remembers cannot be read: {damage}")))
            })
            .collect();
        if damaged.is_empty() { Ok(()) } else { Err(NoProof::PositionUnknown(damaged)) }
    }

    /// An arbitrator in a primary component proves that there is one, with a member that is not seen. Where all
    /// members are seen, and none is primary, it only has not noticed yet: it never stands in their way.
    fn no_arbitrator_votes(&self) -> Result<(), NoProof> {
        let voting = self.seen.iter().flat_map(|o| &o.arbitrators).filter(|word| word.votes());
        let names: BTreeSet<String> = voting.map(|word| word.name.clone()).collect();
        if names.is_empty() || self.unseen().is_empty() {
            return Ok(());
        }
        Err(NoProof::PrimaryExists(names.into_iter().collect()))
    }

    pub(super) fn expects_others(&self, of: &Observation) -> bool {
        let mut expected: Vec<&str> = self.cluster.members.iter().map(|m| m.name.as_str()).collect();
        let mut theirs: Vec<&str> = of.member.expects.iter().map(String::as_str).collect();
        expected.sort_unstable();
        theirs.sort_unstable();
        theirs != expected || of.member.cluster != self.cluster.name
    }

    fn named(&self, wanted: impl Fn(&Observation) -> bool) -> Vec<String> {
        self.seen.iter().filter(|o| wanted(o)).map(|o| o.member.name.clone()).collect()
    }

    /// The seen members that have data, with how far it goes. Those into which a state transfer broke off
    /// have nothing that others lack, and are left away; one of which nothing can be told is the error.
    pub(super) fn placed(&self) -> Result<Vec<Placed<'a>>, NoProof> {
        let mut unknown = Vec::new();
        let mut placed = Vec::new();
        for of in &self.seen {
            match &of.position {
                Standing::At { position, .. } => placed.push(Placed { of, position: *position, bound: false }),
                Standing::Unknown { at_most: Some(position), .. } => {
                    placed.push(Placed { of, position: *position, bound: true });
                }
                Standing::Empty | Standing::Unknown { why: Unknown::DataGone | Unknown::TransferInterrupted, .. } => {}
                Standing::Unknown { detail, .. } => unknown.push((of.member.name.clone(), detail.clone())),
            }
        }
        if unknown.is_empty() { Ok(placed) } else { Err(NoProof::PositionUnknown(unknown)) }
    }

    /// Members that are empty now, and may have had data before.
    pub(super) fn emptied(&self) -> Vec<&'a Observation> {
        self.seen.iter().filter(|o| o.position.may_have_lost_all()).copied().collect()
    }

    /// The last primary view, where all its members are among these and none of them was in another one
    /// since: then nobody can have gone on without them. The view numbers of different bootstraps are not
    /// comparable, so no number is compared.
    pub(super) fn complete_view(&self) -> Option<(&'a SavedView, Vec<&'a Observation>)> {
        self.seen.iter().filter_map(|o| o.last_view()).find_map(|view| {
            let members: Option<Vec<&Observation>> = view.members.iter().map(|uuid| self.was(*uuid, view)).collect();
            Some((view, members?))
        })
    }

    /// Whether the last primary view tells that whoever was not in it has nothing that its members lack: all of
    /// them are there, and one of them has all that came before it.
    pub(super) fn view_tells_all(&self) -> bool {
        self.complete_view().is_some_and(|(view, members)| members.iter().any(|o| o.caught_up_with(view)))
    }

    /// The one seen member that had this UUID in the group, whose last primary view is this one, and which
    /// still has what it had then.
    fn was(&self, uuid: Uuid, view: &SavedView) -> Option<&'a Observation> {
        let with_data = self.seen.iter().filter(|o| !o.position.may_have_lost_all());
        let mut found = with_data.filter(|o| o.last_view().is_some_and(|v| v.my_uuid.same_member(uuid)));
        let one = found.next().filter(|o| o.last_view().is_some_and(|v| v.same_view(view)));
        one.filter(|_| found.next().is_none()).copied()
    }

    /// The longest lineage that any seen member remembers.
    pub(super) fn lineage(&self) -> Lineage {
        longest_lineage(&self.seen)
    }
}

/// The longest lineage that any of these remembers.
pub fn longest_lineage(of: &[&Observation]) -> Lineage {
    of.iter().fold(Lineage::default(), |longest, o| longest.longer(&o.memory.lineage).clone())
}

/// Whether the member's data is of the newest incarnation that anybody remembers.
pub fn in_newest_incarnation(of: &Observation, longest: &Lineage) -> bool {
    match longest.newest() {
        _ if of.memory.superseded => false,
        None => true,
        Some(newest) => {
            let memory = &of.memory;
            let last = of.position.at_most().map_or(memory.incarnation, |position| memory.incarnation_at(position));
            last == Some(newest.id)
        }
    }
}

/// All of one history, so that they may be compared.
pub(super) fn one_history<'a>(placed: &[Placed<'a>]) -> Result<OneHistory<Placed<'a>>, NoProof> {
    OneHistory::of(placed.iter().map(|p| (*p, p.position))).map_err(|none| match none {
        None => NoProof::NoData,
        Some(_) => NoProof::DifferentHistories(placed.iter().map(|p| (p.of.member.name.clone(), p.position)).collect()),
    })
}

/// The maximum is the maximum only if nobody went on separately: against this lineage no member may have a
/// tail.
pub(super) fn nobody_parted(placed: &[Placed], lineage: &Lineage) -> Result<(), NoProof> {
    placed.iter().try_for_each(|p| match tail(p, lineage) {
        Tail::None => Ok(()),
        Tail::Has { transactions, parted_at } => {
            let newest =
                lineage.newest().map(|i| format!("incarnation {} begun by {}", i.number, i.by)).unwrap_or_default();
            Err(NoProof::Diverged(format!(
                "{} at {} has {transactions} transactions after {parted_at} that are not part of {newest}",
                p.of.member.name, p.position
            )))
        }
    })
}

pub(super) fn tail(of: &Placed, lineage: &Lineage) -> Tail {
    let memory = &of.of.memory;
    lineage.tail_of(of.position, memory.incarnation_at(of.position), &memory.lineage)
}

pub(super) fn nobody_primary<'a>(seen: impl Iterator<Item = &'a Observation>) -> Result<(), NoProof> {
    match primaries(seen) {
        Primaries::None => Ok(()),
        Primaries::One(primary) => Err(NoProof::PrimaryExists(primary.members)),
        Primaries::Split(sides) => Err(NoProof::SplitBrain(sides.into_iter().map(|p| p.members).collect())),
    }
}

fn none_of(names: Vec<String>, no: fn(Vec<String>) -> NoProof) -> Result<(), NoProof> {
    if names.is_empty() { Ok(()) } else { Err(no(names)) }
}
