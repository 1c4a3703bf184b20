//! What a member remembers outside the data directory, which a full copy wipes; on disk before it acts on it.

use serde::{Deserialize, Serialize};

use super::lineage::Lineage;
use super::observation::{Process, ProcessMark};
use crate::galera::gvwstate::{SavedView, ViewId};
use crate::galera::position::Position;
use crate::galera::uuid::Uuid;

/// What a member remembers outside the data directory, where no state transfer wipes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Memory {
    /// The incarnations that it knows of.
    pub lineage: Lineage,
    /// The incarnation in which it was last synced.
    pub incarnation: Option<Uuid>,
    /// The last position that it is known to have had.
    pub last_position: Option<Position>,
    /// A join that began and has not ended in Synced.
    pub joining: Option<Joining>,
    /// The very first bootstrap began here and has not ended in Synced: nobody was served yet, so it may
    /// be tried again.
    pub founding: bool,
    /// The process for whose bootstrap the lineage has an incarnation.
    pub bootstrapped: Option<ProcessMark>,
    /// A new incarnation was begun here by order, or a saved view restored, and the view that came of it was
    /// not settled yet.
    #[serde(default)]
    pub begun: bool,
    /// The view made with `pc.bootstrap` of which the lineage tells.
    #[serde(default)]
    pub explained: Option<ViewId>,
    /// The last primary view that this member was in: Galera removes `gvwstate.dat` on a stop, and a
    /// member must still be told by its UUID in the group.
    #[serde(default)]
    pub last_view: Option<SavedView>,
    /// The last primary view of which SQL told, so that all before it was applied here.
    #[serde(default)]
    pub caught_up: Option<CaughtUp>,
    /// Whether it left the group gracefully since: the others may have gone on without it.
    #[serde(default)]
    pub left: bool,
    /// Where it stood when it left a primary component of which it was the only member.
    #[serde(default)]
    pub left_alone: Option<Position>,
    /// The members that said that they leave in order, and were not seen in the component since.
    #[serde(default)]
    pub departed: Vec<String>,
    /// Whether the others voted it out: its data differs from theirs, and at which position does not tell
    /// by how much.
    #[serde(default)]
    pub voted_out: bool,
    /// Whether it saw a primary component that lacks what this member has: the cluster went on without it,
    /// and whatever its own files say, it is not the one to go on from.
    #[serde(default)]
    pub superseded: bool,
    /// What could not be read, if anything: then nothing is concluded from the rest.
    #[serde(default)]
    pub damaged: Option<String>,
}

/// A member had applied all that came before a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CaughtUp {
    /// The view.
    pub view: ViewId,
    /// Where the member stood then.
    pub position: Position,
}

/// A join under way: what was allowed when it began.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Joining {
    /// The position that the member had; none if it had no data.
    pub from: Option<Position>,
    /// The newest incarnation of the component that it joins.
    pub incarnation: Option<Uuid>,
}

impl Memory {
    /// Whether the member remembers ever having been in a cluster.
    pub fn knows_a_cluster(&self) -> bool {
        self.damaged.is_some() || !self.lineage.is_empty() || self.last_position.is_some() || self.joining.is_some()
    }

    /// This member was in this primary view, and has not left it: Galera removes its file when it does.
    pub fn was_in(&mut self, view: SavedView) {
        self.last_view = Some(view);
        self.left = false;
    }

    /// The join that was under way brought this member into its component: from now on it takes part.
    pub fn joined(&mut self) {
        if let Some(incarnation) = self.joining.take().and_then(|joining| joining.incarnation) {
            self.incarnation = Some(incarnation);
        }
    }

    /// Whether the lineage tells how this view became primary, if somebody made it so with `pc.bootstrap`.
    pub fn explains(&self, view: &SavedView) -> bool {
        !view.bootstrap || self.begun || self.explained == Some(view.id())
    }

    /// Whether the lineage tells of this process's bootstrap, if it is one at all.
    pub fn knows_bootstrap_of(&self, process: &Process) -> bool {
        !process.new_cluster || self.bootstrapped == Some(process.mark())
    }

    /// A join of a component with this lineage begins, from here; none where the position is not known. From
    /// now on the data may be replaced, and this says that it was judged.
    pub fn begin_join(&mut self, from: Option<Position>, lineage: &Lineage) {
        // What an earlier join brought stays part of what was joined then.
        self.incarnation = from.and_then(|position| self.incarnation_at(position)).or(self.incarnation);
        let from = from.or(self.joining.as_ref().and_then(|earlier| earlier.from));
        self.joining = Some(Joining { from, incarnation: lineage.newest().map(|i| i.id) });
        if !lineage.is_empty() {
            // The join was judged: what this member has is of the past that both lineages have in common.
            let own = self.incarnation.filter(|id| lineage.incarnations().iter().any(|i| i.id == *id));
            self.incarnation = own.or_else(|| lineage.common_with(&self.lineage).last().map(|i| i.id));
            // Whoever has transactions of an incarnation must know how it began, and what is received from
            // now on is of this one.
            self.lineage = lineage.clone();
        }
    }

    /// The incarnation to which data at this position belongs. What was applied during a join came
    /// from the component that was joined, even if the member never became Synced there.
    pub fn incarnation_at(&self, position: Position) -> Option<Uuid> {
        match &self.joining {
            Some(joining) if joining.from != Some(position) => joining.incarnation.or(self.incarnation),
            _ => self.incarnation,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::situation::{at, lineage};

    #[test]
    fn h13_what_a_join_brought_stays_part_of_what_was_joined() {
        let id = |n| Some(Uuid::from_u128(n));
        let mut memory = Memory { lineage: lineage(&[(1, 0)]), incarnation: id(1), ..Memory::default() };
        memory.begin_join(Some(at(7)), &lineage(&[(1, 0), (2, 7)]));
        assert_eq!(memory.incarnation_at(at(7)), id(1), "nothing came yet");
        assert_eq!(memory.incarnation_at(at(11)), id(2), "it caught up by IST, and was killed");
        assert_eq!(memory.lineage.next_number(), 3);
        memory.begin_join(Some(at(11)), &lineage(&[(1, 0), (2, 7)]));
        assert_eq!(memory.incarnation_at(at(11)), id(2), "and once more");
        memory.begin_join(None, &lineage(&[(1, 0), (2, 7), (3, 20)]));
        assert_eq!(memory.joining.as_ref().unwrap().from, Some(at(11)), "a transfer was interrupted");
        assert_eq!(memory.incarnation_at(at(30)), id(3));
    }

    #[test]
    fn q11_who_joins_another_branch_forgets_its_own() {
        let id = |n| Some(Uuid::from_u128(n));
        for component in [vec![(1, 0), (3, 7)], vec![(1, 0)], vec![(1, 0), (3, 7), (4, 9)]] {
            let own = lineage(&[(1, 0), (2, 7)]);
            let mut memory = Memory { lineage: own, incarnation: id(2), ..Memory::default() };
            let component = lineage(&component);
            memory.begin_join(Some(at(7)), &component);
            assert_eq!((memory.incarnation_at(at(7)), &memory.lineage), (id(1), &component));
            assert_eq!(memory.incarnation_at(at(8)), component.newest().map(|i| i.id));
        }
    }
}
