//! The lineage: which incarnations this cluster has had, and who began them where.
//!
//! Galera cannot tell a member that missed a bootstrap behind its own position from one that is only
//! behind: it takes it back by IST, reports it Synced, and the data differs for ever. So we keep the
//! list of incarnations outside the data directory and compare it before any join.

use serde::{Deserialize, Serialize};

use crate::galera::position::Position;
use crate::galera::uuid::Uuid;

/// One bootstrap, and the history that went on from it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Incarnation {
    /// 1 for the first; one more than the incarnation before.
    pub number: u32,
    /// What makes this bootstrap different from any other of the same number.
    pub id: Uuid,
    /// The history's UUID.
    pub history: Uuid,
    /// The last transaction that was there when it began.
    pub began_at: u64,
    /// The member that was bootstrapped.
    pub by: String,
    /// When, in UTC.
    pub at: String,
    /// The proof on which it was begun, in words.
    pub proof: String,
    /// What a person knowingly left out when it was forced: members, and what may be lost with each.
    #[serde(default)]
    pub left_out: Vec<String>,
    /// The name by which its members know each other (`wsrep_cluster_name`), where that is not the cluster's
    /// own: Galera lets nobody of another name in.
    #[serde(default)]
    pub group: Option<String>,
}

/// All incarnations, oldest first. Empty where this member knows none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lineage(Vec<Incarnation>);

impl Lineage {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The incarnations, oldest first.
    pub fn incarnations(&self) -> &[Incarnation] {
        &self.0
    }

    /// The newest incarnation.
    pub fn newest(&self) -> Option<&Incarnation> {
        self.0.last()
    }

    /// The name of the newest incarnation's group, where it is not the cluster's own.
    pub fn group(&self) -> Option<&str> {
        self.newest().and_then(|i| i.group.as_deref())
    }

    /// The number that the next incarnation will have.
    pub fn next_number(&self) -> u32 {
        self.newest().map_or(1, |i| i.number + 1)
    }

    /// This lineage and one incarnation more.
    pub fn with(&self, incarnation: Incarnation) -> Lineage {
        let mut longer = self.clone();
        longer.0.push(incarnation);
        longer
    }

    /// The longer of two, which members of one primary component copy from each other; the first
    /// where both are as long.
    pub fn longer<'a>(&'a self, other: &'a Lineage) -> &'a Lineage {
        if other.0.len() > self.0.len() { other } else { self }
    }

    /// The incarnations that both have in common, oldest first; after them they part.
    pub fn common_with(&self, other: &Lineage) -> &[Incarnation] {
        let common = self.0.iter().zip(&other.0).take_while(|(a, b)| a.id == b.id).count();
        self.0.get(..common).unwrap_or_default()
    }

    fn index_of(&self, id: Uuid) -> Option<usize> {
        self.0.iter().position(|i| i.id == id)
    }

    /// How many transactions a member has that are not part of this lineage: 0 when every incarnation
    /// newer than the member's own began at or after its last position.
    ///
    /// `own` is the incarnation in which the member was last synced, if it remembers one, and
    /// `own_lineage` the list it remembers; a member that remembers nothing is taken to have been in the
    /// first incarnation of its history only.
    pub fn tail_of(&self, last: Position, own: Option<Uuid>, own_lineage: &Lineage) -> Tail {
        let in_this_history = |i: &&Incarnation| i.history == last.history();
        let after = match own.map(|id| self.index_of(id)) {
            // Synced last in an incarnation that this lineage has.
            Some(Some(at)) => at + 1,
            // Synced last in an incarnation that this lineage lacks: a fork. What both have in common
            // ends where the lists part, and so does what the member may keep.
            Some(None) => {
                let common = self.common_with(own_lineage).len();
                let begun_apart = own_lineage.0.get(common).filter(in_this_history).map(|i| i.began_at);
                if let Some(began_at) = begun_apart.filter(|b| *b < last.seqno()) {
                    return Tail::Has { transactions: last.seqno() - began_at, parted_at: began_at };
                }
                common
            }
            None => self.0.iter().position(|i| i.history == last.history()).map_or(0, |at| at + 1),
        };
        let parted_at = self.0.iter().skip(after).filter(in_this_history).map(|i| i.began_at).min();
        match parted_at {
            Some(parted_at) if parted_at < last.seqno() => {
                Tail::Has { transactions: last.seqno() - parted_at, parted_at }
            }
            _ => Tail::None,
        }
    }
}

/// A group name of its own for the incarnation of this id. What was left out of a forced bootstrap may be
/// alive where nobody looks; once the network heals, Galera would merge it by itself, and overwrite what only
/// it has. No longer than the 32 characters that Galera takes.
pub fn group_apart(cluster: &str, id: Uuid) -> String {
    let id = id.to_string();
    format!("{}~{}", cluster.chars().take(25).collect::<String>(), id.chars().take(6).collect::<String>())
}

/// Whether a member has transactions that a lineage lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// Nothing of the member's history is missing from the lineage.
    None,
    /// The member has transactions that the lineage lacks.
    Has {
        /// How many.
        transactions: u64,
        /// The last seqno that both share.
        parted_at: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::situation::{H, lineage};

    #[test]
    fn q10_h13_a_tail_is_what_newer_incarnations_lack() {
        let three = lineage(&[(1, 0), (2, 100), (3, 250)]);
        let at = |n| Position::new(H, n).unwrap();
        let id = Uuid::from_u128;
        let has = |transactions, parted_at| Tail::Has { transactions, parted_at };
        for (last, own, own_lineage, expected, why) in [
            (90, Some(1), lineage(&[(1, 0)]), Tail::None, "behind the bootstrap that it missed"),
            (100, Some(1), lineage(&[(1, 0)]), Tail::None, "exactly where the next one began"),
            (103, Some(1), lineage(&[(1, 0)]), has(3, 100), "three more than the next one had"),
            (103, Some(2), lineage(&[(1, 0), (2, 100)]), Tail::None, "was there for the second"),
            (300, Some(2), lineage(&[(1, 0), (2, 100)]), has(50, 250), "missed the third"),
            (999, Some(3), three.clone(), Tail::None, "was there for all"),
            (90, None, Lineage::default(), Tail::None, "remembers nothing, and is behind all of them"),
            (103, None, Lineage::default(), has(3, 100), "remembers nothing, and is ahead of one"),
            (103, Some(9), lineage(&[(1, 0), (9, 101)]), has(2, 101), "another bootstrap of its own, with writes"),
            (100, Some(9), lineage(&[(1, 0), (9, 100)]), Tail::None, "another bootstrap of its own, without writes"),
        ] {
            assert_eq!(three.tail_of(at(last), own.map(id), &own_lineage), expected, "{why}");
        }
    }

    #[test]
    fn the_longer_lineage_is_copied() {
        let (short, long) = (lineage(&[(1, 0)]), lineage(&[(1, 0), (2, 5)]));
        assert_eq!(short.longer(&long), &long);
        assert_eq!(long.longer(&short), &long);
        assert_eq!(long.next_number(), 3);
        assert_eq!(Lineage::default().next_number(), 1);
    }
}
