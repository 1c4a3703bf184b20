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

    /// The incarnation that goes on from this past, begun by this member after this transaction.
    pub fn next(&self, id: Uuid, history: Uuid, began_at: u64, by: &str) -> Incarnation {
        Incarnation {
            number: self.newest().map_or(1, |i| i.number + 1),
            id,
            history,
            began_at,
            by: by.to_owned(),
            at: String::new(),
            proof: String::new(),
            left_out: Vec::new(),
            group: self.group().map(str::to_owned),
        }
    }

    /// This lineage and one incarnation more.
    pub fn with(&self, incarnation: Incarnation) -> Lineage {
        let mut longer = self.clone();
        longer.0.push(incarnation);
        longer
    }

    /// Whether this lineage is the other one, or goes on from it.
    pub fn extends(&self, other: &Lineage) -> bool {
        self.common_with(other).len() == other.0.len()
    }

    /// Whether an incarnation of this id is in it.
    pub fn has(&self, id: Uuid) -> bool {
        self.index_of(id).is_some()
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

/// Members remember pasts of which none goes on from the other: they were begun apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Branches;

/// The one past that all of these tell of, each as far as it knows: the longest, where it goes on from every other. Two
/// branches are never mixed, whichever of them is longer.
pub fn one_past<'a>(of: impl IntoIterator<Item = &'a Lineage>) -> Result<Lineage, Branches> {
    let longest = of.into_iter().try_fold(None::<&Lineage>, |longest, next| match longest {
        None => Ok(Some(next)),
        Some(longest) if longest.extends(next) => Ok(Some(longest)),
        Some(longest) if next.extends(longest) => Ok(Some(next)),
        Some(_) => Err(Branches),
    })?;
    Ok(longest.cloned().unwrap_or_default())
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
    // A8: of two branches neither the longer one nor the first one counts.
    fn a8_branches_are_never_mixed() {
        let branches = |all: &[&[(u128, u64)]]| {
            let lineages: Vec<Lineage> = all.iter().map(|of| lineage(of)).collect();
            one_past(&lineages).map(|found| found.incarnations().len())
        };
        type Past = &'static [(u128, u64)];
        let cases: [(&[Past], Result<usize, Branches>, &str); 6] = [
            (&[], Ok(0), "nobody knows any"),
            (&[&[(1, 0)], &[(1, 0), (2, 5)]], Ok(2), "one goes on from the other"),
            (&[&[(1, 0), (2, 5)], &[], &[(1, 0)]], Ok(2), "in any order, beside one that knows nothing"),
            (&[&[(1, 0), (2, 5)], &[(1, 0), (9, 5)]], Err(Branches), "as long as each other"),
            (&[&[(1, 0), (2, 5)], &[(1, 0), (9, 5), (10, 7)]], Err(Branches), "the longer one is no better"),
            (&[&[(1, 0), (2, 5)], &[(1, 0)], &[(1, 0), (9, 5)]], Err(Branches), "beside what both have in common"),
        ];
        for (of, expected, why) in cases {
            assert_eq!(branches(of), expected, "{why}");
        }
        for (past, number) in [(lineage(&[(1, 0), (2, 5)]), 3), (Lineage::default(), 1)] {
            assert_eq!(past.next(Uuid::from_u128(9), H, 7, "mysql/0").number, number);
        }
    }

    #[test]
    fn the_newest_incarnation_names_the_group() {
        let past = lineage(&[(1, 0), (2, 5)]);
        assert_eq!((past.group(), past.has(Uuid::from_u128(2)), past.has(Uuid::from_u128(3))), (None, true, false));
        let apart = Incarnation { group: Some("apart".into()), ..past.next(Uuid::from_u128(3), H, 7, "mysql/0") };
        let past = past.with(apart);
        assert_eq!((past.group(), past.has(Uuid::from_u128(3))), (Some("apart"), true));
        assert_eq!(group_apart("galera", H), format!("galera~{}", &H.to_string()[..6]));
        assert_eq!(group_apart(&"g".repeat(40), H).len(), 32, "Galera takes no longer one");
        let own = past.with(Incarnation { group: None, ..past.next(Uuid::from_u128(4), H, 9, "mysql/0") });
        assert_eq!(own.group(), None, "only the newest counts");
    }
}
