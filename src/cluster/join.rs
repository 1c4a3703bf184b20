//! May this member join, or would that discard its data? This is the only place that answers.
//!
//! Galera guards a member that is ahead once, by aborting, and zeroes `grastate.dat` while at it; the
//! next start then takes a full state transfer and the data is gone. And once the cluster has passed
//! the member's seqno, Galera does not guard at all. So the question is asked before any start.

use std::fmt;

use super::lineage::Tail;
use super::member::listed;
use super::memory::Memory;
use super::observation::Observation;
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
    /// Its own state cannot be gone on from. As far as two witnesses tell, all that it can have is part of the cluster's
    /// history; that is no knowledge, so its data is set aside before Galera gives it a full copy.
    Replaced {
        /// How far its data can go.
        at_most: Position,
    },
    /// It has data, and remembers no incarnation of the cluster: what it did before it was looked after is not known, so
    /// its data is set aside before Galera gives it a full copy.
    Unremembered {
        /// Where it stands.
        position: Position,
    },
    /// A full copy into it was interrupted; what it had was judged when that one began, and is gone.
    ResumeTransfer,
}

impl MayJoin {
    /// Whether it is known that the running cluster has all that is in the member's data directory. Where it is not, the
    /// data is kept aside, whatever the rules concluded.
    pub fn covered(&self) -> bool {
        match self {
            MayJoin::NoData | MayJoin::Behind { .. } | MayJoin::ResumeTransfer => true,
            MayJoin::Replaced { .. } | MayJoin::Unremembered { .. } => false,
        }
    }
}

/// A member may not join (yet). Each text is the sentence that the operator reads.
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
    /// It has more than the cluster has applied so far: that may only be on its way.
    NotAppliedYet {
        /// Where the member stands.
        position: Position,
        /// How far the cluster is.
        applied: u64,
    },
    /// A member of the cluster was bootstrapped by hand, and nobody has recorded from where.
    BootstrapUnrecorded(String),
    /// Members of the cluster remember different pasts.
    Branches(Vec<String>),
    /// Where the member stands cannot be told, so what would be lost cannot be told either.
    OwnPositionUnknown(String),
}

impl MayNotJoin {
    /// Whether it ends by itself, or once another member is looked after; a person has nothing to decide.
    pub fn passes(&self) -> bool {
        match self {
            MayNotJoin::NotAppliedYet { .. } | MayNotJoin::BootstrapUnrecorded(_) | MayNotJoin::Branches(_) => true,
            MayNotJoin::AheadOfCluster { .. }
            | MayNotJoin::OtherHistory { .. }
            | MayNotJoin::ClusterUnknown
            | MayNotJoin::OwnPositionUnknown(_) => false,
        }
    }
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
                    "its own state cannot be gone on from, and up to {at_most} the cluster's history has it; the data is kept aside, and a full copy follows"
                )
            }
            MayJoin::Unremembered { position } => write!(
                f,
                "it stands at {position} and remembers no incarnation of the cluster, so that nothing proves that the cluster has all of it; the data is kept aside, and a full copy follows"
            ),
            MayJoin::ResumeTransfer => f.write_str("an interrupted full copy is begun again"),
        }
    }
}

impl fmt::Display for MayNotJoin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MayNotJoin::AheadOfCluster { position, transactions, parted_at } => write!(
                f,
                "AheadOfCluster: this member stands at {position}, and its last {transactions} transactions (after {parted_at}) are not in the running cluster; joining would discard them. Its data is kept. Choose: go on from this member (docs/runbook.md, AheadOfCluster), salvage the transactions by hand, or give them up: `{GIVE_UP}`",
            ),
            MayNotJoin::OtherHistory { position, cluster } => write!(
                f,
                "OtherHistory: this member's data is of history {}, the running cluster's is {cluster}; joining would discard all of it. Its data is kept; to give it up: `{GIVE_UP}`",
                position.history()
            ),
            MayNotJoin::ClusterUnknown => f.write_str(
                "the running cluster reports no history (nil, or its members disagree); nothing is joined to that",
            ),
            MayNotJoin::NotAppliedYet { position, applied } => write!(
                f,
                "this member stands at {position}, and the running cluster has applied {applied} so far; it joins once the rest is applied there"
            ),
            MayNotJoin::BootstrapUnrecorded(member) => write!(
                f,
                "{member} was begun by hand, and its galera-start has not recorded from where; this member joins once that is done (on {member}: `monit start mariadb`)"
            ),
            MayNotJoin::Branches(members) => write!(
                f,
                "{} are in one primary component, and remember different incarnations of the cluster; this member joins once they agree. A member that was started by hand agrees with the others when its galera-start runs",
                listed(members.iter().map(String::as_str))
            ),
            MayNotJoin::OwnPositionUnknown(why) => {
                write!(
                    f,
                    "UnknownPosition: {why}; what a join would discard cannot be told. Its data is kept; to give it up: `{GIVE_UP}`"
                )
            }
        }
    }
}

/// What a person runs on the member to give its data up.
pub const GIVE_UP: &str = "/var/vcap/packages/mariadb-galera/bin/galera-ctl rejoin --abandon-data";

/// May a person give this member's data up, so that it gets a copy of the cluster's? Only where there is a
/// cluster to get it from. What is at stake, in a sentence; none where the member has no data.
pub fn may_abandon(own: &Observation, of: &Primaries) -> Result<Option<String>, String> {
    // Who gives up data that nobody has looked at may give up what would have joined by itself.
    if own.unlooked() {
        return Err(format!(
            "galera-start does not run on {}, so nothing is known of its data; it looks, and mostly joins by itself: monit start mariadb",
            own.member.name
        ));
    }
    let primary = match of {
        Primaries::One(primary) if !primary.synced.is_empty() => primary,
        Primaries::One(_) => {
            return Err(
                "no member of the primary component is Synced, so none can give its data yet; run this again once one is"
                    .into(),
            );
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
    match may_join(&own.position, &own.memory, primary) {
        Ok(MayJoin::NoData) => Ok(None),
        Ok(because) => Ok(Some(format!("nothing that the cluster lacks ({because})"))),
        Err(MayNotJoin::AheadOfCluster { position, transactions, parted_at }) => {
            Ok(Some(format!("{transactions} transactions that the cluster lacks ({} to {position})", parted_at + 1)))
        }
        Err(MayNotJoin::OtherHistory { position, .. }) => {
            Ok(Some(format!("a whole database of another history, {position}")))
        }
        Err(MayNotJoin::OwnPositionUnknown(why)) => Ok(Some(format!("data that cannot be told ({why})"))),
        Err(no) => Err(no.to_string()),
    }
}

/// May a stopped member join this primary component?
pub fn may_join(standing: &Standing, memory: &Memory, primary: &Primary) -> Result<MayJoin, MayNotJoin> {
    let cluster = primary.history.ok_or(MayNotJoin::ClusterUnknown)?;
    // A member without data too: it would vouch later for a past that is not the whole one.
    if let Some(member) = &primary.unrecorded {
        return Err(MayNotJoin::BootstrapUnrecorded(member.clone()));
    }
    if !primary.branches.is_empty() {
        return Err(MayNotJoin::Branches(primary.branches.clone()));
    }
    if let Some(damage) = &memory.damaged {
        return Err(MayNotJoin::OwnPositionUnknown(format!("what this member remembers cannot be read ({damage})")));
    }
    let (position, certain) = match standing {
        Standing::Empty | Standing::Unknown { why: Unknown::DataGone, .. } => return Ok(MayJoin::NoData),
        Standing::Unknown { why: Unknown::TransferInterrupted, .. } => return Ok(MayJoin::ResumeTransfer),
        // What the others found to differ is given up by a person only.
        Standing::Unknown { why: Unknown::VotedOut, detail, .. } => {
            return Err(MayNotJoin::OwnPositionUnknown(detail.clone()));
        }
        // A bound is enough: all that it can have must be part of the cluster's history.
        Standing::Unknown { at_most: Some(position), .. } => (*position, false),
        Standing::Unknown { detail, .. } => {
            return Err(MayNotJoin::OwnPositionUnknown(detail.clone()));
        }
        // Somebody made its last component primary by hand, and nobody has recorded from where.
        Standing::At { position, .. } => (*position, memory.strange.is_none()),
    };
    if position.history() != cluster {
        return Err(MayNotJoin::OtherHistory { position, cluster });
    }
    let ahead = |parted_at: u64| {
        let transactions = position.seqno() - parted_at;
        Err(MayNotJoin::AheadOfCluster { position, transactions, parted_at })
    };
    if let Tail::Has { parted_at, .. } =
        primary.lineage.tail_of(position, memory.incarnation_at(position), &memory.lineage)
    {
        return ahead(parted_at);
    }
    // It was ahead of this cluster once, for no reason that any incarnation tells; what the cluster has committed at
    // those numbers since is something else.
    if let Some(passed) = memory.passed_at.filter(|p| p.history() == cluster && p.seqno() < position.seqno()) {
        return ahead(passed.seqno());
    }
    match primary.applied {
        Some(applied) if applied < position.seqno() => return ahead(applied),
        // What this member has was delivered to all of its component. Others may have it in a queue (A2).
        None if primary.seqno < position.seqno() => {
            return Err(MayNotJoin::NotAppliedYet { position, applied: primary.seqno });
        }
        Some(_) | None => {}
    }
    Ok(match certain {
        _ if !memory.is_witness() => MayJoin::Unremembered { position },
        true => MayJoin::Behind { position },
        false => MayJoin::Replaced { at_most: position },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::lineage::Lineage;
    use crate::cluster::memory::{Joining, Remembered};
    use crate::cluster::situation::{H, down, lineage};
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
            applied: None,
            branches: Vec::new(),
            changing: false,
            lineage: lineage(&[(1, 0), (2, 34)]),
            unrecorded: None,
            unsettled: false,
        }
    }

    fn memory(incarnation: u128, of: &[(u128, u64)]) -> Memory {
        remembered(incarnation, of).into()
    }

    fn remembered(incarnation: u128, of: &[(u128, u64)]) -> Remembered {
        Remembered { lineage: lineage(of), incarnation: Some(Uuid::from_u128(incarnation)), ..Remembered::default() }
    }

    fn word(verdict: Result<MayJoin, MayNotJoin>) -> &'static str {
        match verdict {
            Ok(MayJoin::NoData) => "no data",
            Ok(MayJoin::Behind { .. }) => "behind",
            Ok(MayJoin::Replaced { .. }) => "replaced",
            Ok(MayJoin::Unremembered { .. }) => "unremembered",
            Ok(MayJoin::ResumeTransfer) => "resume",
            Err(MayNotJoin::AheadOfCluster { .. }) => "ahead",
            Err(MayNotJoin::OtherHistory { .. }) => "other history",
            Err(MayNotJoin::NotAppliedYet { .. }) => "not yet",
            Err(MayNotJoin::Branches(_)) => "branches",
            Err(MayNotJoin::ClusterUnknown) => "cluster unknown",
            Err(MayNotJoin::BootstrapUnrecorded(_)) => "unrecorded",
            Err(MayNotJoin::OwnPositionUnknown(_)) => "own position unknown",
        }
    }

    #[test]
    fn q9_q10_h13_a1_a2_a8_a11_t9_who_may_join() {
        let first = memory(1, &[(1, 0)]);
        let both = memory(2, &[(1, 0), (2, 34)]);
        let other =
            Standing::At { position: Position::new(Uuid::from_u128(0xdef), 5).unwrap(), from: Provenance::CleanStop };
        let unknown = Standing::unknown(Unknown::NoPosition, "crash in a DDL");
        let voted_out = Standing::unknown(Unknown::VotedOut, "differs");
        let broke = Standing::Unknown { why: Unknown::JoinBroke, detail: String::new(), at_most: Position::new(H, 37) };
        let elsewhere = Primary { history: Some(Uuid::from_u128(0xdef)), ..primary(100) };
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
        let known = || remembered(1, &[(1, 0)]);
        let remembers_more: Memory = Remembered { last_position: Position::new(H, 37), ..known() }.into();
        let (from, incarnation) = (Position::new(H, 30), Some(Uuid::from_u128(2)));
        let joining = Some(Joining { from, incarnation, print: None, overwritten: false, boot: None });
        let failed_join: Memory = Remembered { joining, ..known() }.into();
        let damaged = Memory::torn("torn".into());
        let passed: Memory = Remembered { superseded: true, passed_at: Position::new(H, 40), ..known() }.into();
        let applied = |seqno| Primary { applied: Some(seqno), lineage: lineage(&[(1, 0)]), ..primary(seqno) };
        let grown = |seqno| Primary { lineage: lineage(&[(1, 0)]), ..primary(seqno) };
        let branches = Primary { branches: vec!["mysql/0".into(), "mysql/1".into()], ..primary(100) };
        for (standing, memory, primary, expected, why) in [
            (Standing::Empty, &Memory::default(), primary(100), "no data", "a fresh disk"),
            (gone, &remembers_more, primary(100), "no data", "its data directory was emptied: nothing is left to lose"),
            (at(30), &first, primary(100), "behind", "an ordinary restart"),
            (at(34), &first, primary(100), "behind", "exactly where the new incarnation began"),
            (at(37), &first, primary(36), "ahead", "Galera would abort: Reversing history"),
            (at(37), &first, primary(100), "ahead", "the silent fork: Galera would take it back by IST"),
            (at(50), &both, primary(100), "behind", "was there for the bootstrap"),
            (at(120), &both, primary(100), "not yet", "A2: the cluster may have it in a queue"),
            (at(50), &first, applied(50), "behind", "A2: it has applied all of it by now"),
            (at(50), &first, applied(49), "ahead", "A2: it has applied all that it got, and lacks the last"),
            (at(50), &passed, grown(90), "ahead", "it was ahead at 40, and what came there since is something else"),
            (at(40), &passed, grown(90), "behind", "exactly where it was passed"),
            (at(37), &Memory::default(), unlisted, "not yet", "nobody keeps a lineage, and it is ahead"),
            (at(30), &Memory::default(), primary(100), "unremembered", "A11: new to all of this, with data"),
            (at(37), &Memory::default(), primary(100), "ahead", "A11: and with a tail"),
            (at(30), &remembers_more, primary(100), "behind", "T9: its disk lost what it remembers"),
            (at(30), &first, branches, "branches", "A8: nobody knows which past is the cluster's"),
            (at(40), &failed_join, primary(100), "behind", "a join was interrupted while it caught up by IST"),
            (at(30), &damaged, primary(100), "own position unknown", "its memory is torn"),
            (at(30), &first, by_hand, "unrecorded", "bootstrapped by hand behind our back"),
            (other, &first, primary(100), "other history", "another cluster's data"),
            (unknown, &first, primary(100), "own position unknown", "cannot be told"),
            (bound(30), &first, primary(100), "replaced", "a crash in a DDL, and all of it is in the cluster"),
            (bound(37), &first, primary(100), "ahead", "a crash in a DDL, with a tail"),
            (voted_out, &first, primary(100), "own position unknown", "voted out: its data differs"),
            (transfer, &first, primary(100), "resume", "a full copy that broke off: nothing is left of what it had"),
            (broke.clone(), &first, primary(100), "ahead", "A1: a join broke off, and its tail may still be there"),
            (broke, &first, elsewhere, "other history", "A1: and it is of another history"),
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
            let own = down(1, 30).with(|o| (o.position, o.memory) = (standing, first.clone()));
            let found = may_abandon(&own, &of);
            let text = found.map_or_else(|no| no, |stake| stake.unwrap_or_else(|| "no data".into()));
            assert!(text.contains(expected), "{why}: {text}");
        }
        let unlooked = down(1, 30).unknown(Unknown::NotLookedYet).without_supervisor();
        let found = may_abandon(&unlooked, &Primaries::One(primary(100)));
        assert!(found.is_err_and(|no| no.contains("nothing is known of its data")), "nobody has looked");
    }

    #[test]
    fn what_the_cluster_is_not_known_to_have_is_not_covered() {
        let position = Position::new(H, 5).unwrap();
        for (may, covered) in [
            (MayJoin::NoData, true),
            (MayJoin::Behind { position }, true),
            (MayJoin::ResumeTransfer, true),
            (MayJoin::Replaced { at_most: position }, false),
            (MayJoin::Unremembered { position }, false),
        ] {
            assert_eq!(may.covered(), covered, "{may:?}");
        }
    }
}
