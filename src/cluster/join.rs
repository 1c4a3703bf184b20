//! May this member join, or would that discard its data? This is the only place that answers.
//!
//! Galera guards a member that is ahead once, by aborting, and zeroes `grastate.dat` while at it; the
//! next start then takes a full state transfer and the data is gone. And once the cluster has passed
//! the member's seqno, Galera does not guard at all. So the question is asked before any start.

use std::fmt;

use super::lineage::Tail;
use super::memory::Memory;
use super::primary::{Primaries, Primary};
use super::standing::{Standing, Unknown};
use crate::galera::position::Position;
use crate::galera::uuid::Uuid;

/// A member may join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MayJoin {
    /// It has no data to lose.
    NoData,
    /// Everything that it has is part of the cluster's history.
    Behind {
        /// Where it stands.
        position: Position,
    },
    /// Its own state cannot be gone on from; all that it can have is part of the cluster's history, and
    /// Galera gives it a full copy.
    Replaced {
        /// How far its data can go.
        at_most: Position,
    },
    /// A state transfer into it was interrupted; what it had was judged when that one began.
    ResumeTransfer,
}

/// A member may not join. Each text is the sentence that the operator reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MayNotJoin {
    /// It has transactions that the cluster lacks (Q10).
    AheadOfCluster {
        /// Where the member stands.
        position: Position,
        /// How many transactions it has that the cluster lacks.
        transactions: u64,
        /// Where both parted.
        parted_at: u64,
    },
    /// Its data is of another history.
    OtherHistory {
        /// Where the member stands.
        position: Position,
        /// The cluster's history.
        cluster: Uuid,
    },
    /// The cluster's history cannot be told.
    ClusterUnknown,
    /// A member of the cluster was bootstrapped by hand, and nobody has recorded from where.
    BootstrapUnrecorded(String),
    /// Where the member stands cannot be told, so what would be lost cannot be told either.
    OwnPositionUnknown(String),
}

impl fmt::Display for MayJoin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MayJoin::NoData => f.write_str("this member has no data to lose"),
            MayJoin::Behind { position } => {
                write!(f, "all up to {position} is part of the cluster's history")
            }
            MayJoin::Replaced { at_most } => {
                write!(
                    f,
                    "its own state cannot be gone on from, and all that it can have, up to {at_most}, is part of the cluster's history"
                )
            }
            MayJoin::ResumeTransfer => f.write_str("an interrupted state transfer is taken up again"),
        }
    }
}

impl fmt::Display for MayNotJoin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MayNotJoin::AheadOfCluster { position, transactions, parted_at } => write!(
                f,
                "AheadOfCluster: this member stands at {position}, and its last {transactions} transactions (after {parted_at}) are not in the running cluster; joining would discard them. Its data is kept. Choose: go on from this member (docs/runbook.md, AheadOfCluster), salvage the transactions by hand, or give them up: {GIVE_UP}",
            ),
            MayNotJoin::OtherHistory { position, cluster } => write!(
                f,
                "OtherHistory: this member's data is of history {}, the running cluster's is {cluster}; joining would discard all of it. Its data is kept; to give it up: {GIVE_UP}",
                position.history()
            ),
            MayNotJoin::ClusterUnknown => f.write_str(
                "the running cluster reports no history (nil, or its members disagree); nothing is joined to that",
            ),
            MayNotJoin::BootstrapUnrecorded(member) => write!(
                f,
                "{member} was bootstrapped by hand, and its galera-start has not recorded from where; start it there, and this member decides anew"
            ),
            MayNotJoin::OwnPositionUnknown(why) => {
                write!(
                    f,
                    "UnknownPosition: {why}; what a join would discard cannot be told. Its data is kept; to give it up: {GIVE_UP}"
                )
            }
        }
    }
}

/// What a person runs on the member to give its data up.
pub const GIVE_UP: &str = "/var/vcap/packages/mariadb-galera/bin/galera-ctl rejoin --abandon-data";

/// May a person give this member's data up, so that it gets a copy of the cluster's? Only where there is a
/// cluster to get it from. What is at stake, in a sentence; none where the member has no data.
pub fn may_abandon(standing: &Standing, memory: &Memory, of: &Primaries) -> Result<Option<String>, String> {
    let primary = match of {
        Primaries::One(primary) if !primary.synced.is_empty() => primary,
        Primaries::One(_) => {
            return Err("no member of the primary component is Synced, so none can give its data".into());
        }
        Primaries::None => {
            return Err(
                "no primary component is seen, so there is nothing to join; this data may be all there is".into()
            );
        }
        Primaries::Split(_) => {
            return Err("there is more than one primary component; first it must be settled which one stays".into());
        }
    };
    match may_join(standing, memory, primary) {
        Ok(MayJoin::NoData) => Ok(None),
        Ok(because) => Ok(Some(format!("nothing that the cluster lacks ({because})"))),
        Err(MayNotJoin::AheadOfCluster { position, transactions, parted_at }) => {
            Ok(Some(format!("{transactions} transactions that the cluster lacks ({} to {position})", parted_at + 1)))
        }
        Err(MayNotJoin::OtherHistory { position, .. }) => {
            Ok(Some(format!("a whole database of another history, {position}")))
        }
        Err(MayNotJoin::OwnPositionUnknown(why)) => Ok(Some(format!("data that cannot be told ({why})"))),
        Err(no @ (MayNotJoin::ClusterUnknown | MayNotJoin::BootstrapUnrecorded(_))) => Err(no.to_string()),
    }
}

/// May a stopped member join this primary component?
pub fn may_join(standing: &Standing, memory: &Memory, primary: &Primary) -> Result<MayJoin, MayNotJoin> {
    let cluster = primary.history.ok_or(MayNotJoin::ClusterUnknown)?;
    if *standing != Standing::Empty
        && let Some(member) = &primary.unrecorded
    {
        return Err(MayNotJoin::BootstrapUnrecorded(member.clone()));
    }
    if let Some(damage) = &memory.damaged {
        return Err(MayNotJoin::OwnPositionUnknown(format!("what this member remembers cannot be read ({damage})")));
    }
    let (found, certain) = match standing {
        Standing::Empty | Standing::Unknown { why: Unknown::DataGone, .. } => return Ok(MayJoin::NoData),
        Standing::Unknown { why: Unknown::TransferInterrupted, .. } => return Ok(MayJoin::ResumeTransfer),
        // A bound is enough: all that it can have must be part of the cluster's history.
        Standing::Unknown { at_most: Some(position), .. } => (*position, false),
        Standing::Unknown { detail, .. } => {
            return Err(MayNotJoin::OwnPositionUnknown(detail.clone()));
        }
        Standing::At { position, .. } => (*position, true),
    };
    // Galera forgets; a position that we remember and that is further than what is found counts.
    let position = match memory.last_position {
        Some(remembered) if remembered.history() == found.history() && remembered.seqno() > found.seqno() => remembered,
        _ => found,
    };
    if position.history() != cluster {
        return Err(MayNotJoin::OtherHistory { position, cluster });
    }
    match primary.lineage.tail_of(position, memory.incarnation_at(position), &memory.lineage) {
        Tail::Has { transactions, parted_at } => Err(MayNotJoin::AheadOfCluster { position, transactions, parted_at }),
        // No bootstrap explains it, and still it is ahead: nobody told us of that bootstrap.
        Tail::None if position.seqno() > primary.seqno => Err(MayNotJoin::AheadOfCluster {
            position,
            transactions: position.seqno() - primary.seqno,
            parted_at: primary.seqno,
        }),
        Tail::None if certain => Ok(MayJoin::Behind { position }),
        Tail::None => Ok(MayJoin::Replaced { at_most: position }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::lineage::Lineage;
    use crate::cluster::memory::Joining;
    use crate::cluster::situation::{H, lineage};
    use crate::cluster::standing::Provenance;

    fn at(seqno: u64) -> Standing {
        Standing::At { position: Position::new(H, seqno).unwrap(), from: Provenance::CleanStop }
    }

    fn primary(seqno: u64) -> Primary {
        Primary {
            members: vec!["mysql/1".into()],
            synced: vec!["mysql/1".into()],
            arbitrators: 0,
            size: 1,
            history: Some(H),
            seqno,
            lineage: lineage(&[(1, 0), (2, 34)]),
            unrecorded: None,
            unsettled: false,
        }
    }

    fn memory(incarnation: u128, of: &[(u128, u64)]) -> Memory {
        Memory { lineage: lineage(of), incarnation: Some(Uuid::from_u128(incarnation)), ..Memory::default() }
    }

    fn word(verdict: Result<MayJoin, MayNotJoin>) -> &'static str {
        match verdict {
            Ok(MayJoin::NoData) => "no data",
            Ok(MayJoin::Behind { .. }) => "behind",
            Ok(MayJoin::Replaced { .. }) => "replaced",
            Ok(MayJoin::ResumeTransfer) => "resume",
            Err(MayNotJoin::AheadOfCluster { .. }) => "ahead",
            Err(MayNotJoin::OtherHistory { .. }) => "other history",
            Err(MayNotJoin::ClusterUnknown) => "cluster unknown",
            Err(MayNotJoin::BootstrapUnrecorded(_)) => "unrecorded",
            Err(MayNotJoin::OwnPositionUnknown(_)) => "own position unknown",
        }
    }

    #[test]
    fn q9_q10_h13_who_may_join() {
        let first = memory(1, &[(1, 0)]);
        let both = memory(2, &[(1, 0), (2, 34)]);
        let other =
            Standing::At { position: Position::new(Uuid::from_u128(0xdef), 5).unwrap(), from: Provenance::CleanStop };
        let unknown = Standing::unknown(Unknown::NoPosition, "crash in a DDL");
        let voted_out = Standing::unknown(Unknown::VotedOut, "differs");
        let bound = |seqno| Standing::Unknown {
            why: Unknown::NoPosition,
            detail: String::new(),
            at_most: Position::new(H, seqno),
        };
        let gone = Standing::unknown(Unknown::DataGone, "emptied");
        let transfer = Standing::unknown(Unknown::TransferInterrupted, "sst");
        let by_hand = Primary { unrecorded: Some("mysql/1".into()), ..primary(100) };
        let nil = Primary { history: None, ..primary(100) };
        let unlisted = Primary { lineage: Lineage::default(), ..primary(36) };
        let remembers_more = Memory { last_position: Position::new(H, 37), ..first.clone() };
        let failed_join = Memory {
            joining: Some(Joining { from: Position::new(H, 30), incarnation: Some(Uuid::from_u128(2)) }),
            ..first.clone()
        };
        let damaged = Memory { damaged: Some("torn".into()), ..Memory::default() };
        for (standing, memory, primary, expected, why) in [
            (Standing::Empty, &Memory::default(), primary(100), "no data", "a fresh disk"),
            (gone, &remembers_more, primary(100), "no data", "its data directory was emptied: nothing is left to lose"),
            (at(30), &first, primary(100), "behind", "an ordinary restart"),
            (at(34), &first, primary(100), "behind", "exactly where the new incarnation began"),
            (at(37), &first, primary(36), "ahead", "Galera would abort: Reversing history"),
            (at(37), &first, primary(100), "ahead", "the silent fork: Galera would take it back by IST"),
            (at(50), &both, primary(100), "behind", "was there for the bootstrap"),
            (at(120), &both, primary(100), "ahead", "ahead for no known reason"),
            (at(37), &Memory::default(), unlisted, "ahead", "nobody keeps a lineage, and it is ahead"),
            (at(30), &remembers_more, primary(100), "ahead", "the data directory was set back behind what we remember"),
            (at(40), &failed_join, primary(100), "behind", "a join was interrupted while it caught up by IST"),
            (at(30), &damaged, primary(100), "own position unknown", "its memory is torn"),
            (at(30), &first, by_hand, "unrecorded", "bootstrapped by hand behind our back"),
            (other, &first, primary(100), "other history", "another cluster's data"),
            (unknown, &first, primary(100), "own position unknown", "cannot be told"),
            (bound(30), &first, primary(100), "replaced", "a crash in a DDL, and all of it is in the cluster"),
            (bound(37), &first, primary(100), "ahead", "a crash in a DDL, with a tail"),
            (voted_out, &first, primary(100), "own position unknown", "voted out: its data differs"),
            (transfer, &first, primary(100), "resume", "an interrupted state transfer"),
            (at(30), &first, nil, "cluster unknown", "a cluster on the nil history"),
        ] {
            assert_eq!(word(may_join(&standing, memory, &primary)), expected, "{why}");
        }
    }
    #[test]
    fn g14_q11_data_is_given_up_only_where_there_is_a_cluster_to_get_it_from() {
        let first = memory(1, &[(1, 0)]);
        let starting = Primary { synced: Vec::new(), ..primary(100) };
        for (standing, of, expected, why) in [
            (
                at(37),
                Primaries::One(primary(100)),
                "3 transactions that the cluster lacks (35 to",
                "the one that is ahead",
            ),
            (at(30), Primaries::One(primary(100)), "nothing that the cluster lacks", "one that is only behind"),
            (Standing::Empty, Primaries::One(primary(100)), "no data", "nothing to give up"),
            (
                Standing::unknown(Unknown::VotedOut, "voted out"),
                Primaries::One(primary(100)),
                "cannot be told (voted out",
                "voted out",
            ),
            (at(37), Primaries::None, "no primary component", "it may be all there is"),
            (at(37), Primaries::One(starting), "none can give", "nobody is Synced"),
            (at(37), Primaries::Split(vec![primary(100), primary(9)]), "more than one", "two writers"),
        ] {
            let found = may_abandon(&standing, &first, &of);
            let text = found.map_or_else(|no| no, |stake| stake.unwrap_or_else(|| "no data".into()));
            assert!(text.contains(expected), "{why}: {text}");
        }
    }
}
