//! May a member be bootstrapped, and what is the proof? This is the only place that answers.
//!
//! A [`Proof`] can be made by the rules in this file only; whatever starts `mariadbd` with
//! `--wsrep-new-cluster` takes one, or an order whose sender had to have one.

use std::fmt;

use super::lineage::{Lineage, Tail};
use super::member::{Cluster, Member, listed};
use super::observation::{MemberView, Observation, PortAnswer, Sight};
use super::primary::{Primaries, primaries};
use super::standing::{Provenance, Standing};
use crate::galera::position::{OneHistory, Position};
use crate::galera::uuid::Uuid;

/// That bootstrapping this member loses nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    rule: Rule,
    member: String,
    position: Option<Position>,
    notes: Vec<String>,
}

/// The rules by which a bootstrap is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// No member has data; the designated one begins.
    FirstDeploy,
    /// Every expected member was seen, stopped and held: the maximum is the maximum.
    EveryMemberSeen,
}

impl Proof {
    /// The rule.
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// The member that may be bootstrapped.
    pub fn member(&self) -> &str {
        &self.member
    }

    /// Where it stands; none at the very first deploy.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// What a person should know besides.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.rule, self.position) {
            (Rule::FirstDeploy, _) => {
                write!(f, "FirstDeploy: no member has data, and {} is the designated first", self.member)
            }
            (Rule::EveryMemberSeen, Some(position)) => {
                write!(
                    f,
                    "EveryMemberSeen: all members are stopped and held, and none is ahead of {} at {position}",
                    self.member
                )
            }
            (Rule::EveryMemberSeen, None) => write!(f, "EveryMemberSeen: {}", self.member),
        }
    }
}

/// Why there is no proof. Each text is the sentence that the operator reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoProof {
    /// A primary component exists (G7).
    PrimaryExists(Vec<String>),
    /// Two primary components exist.
    SplitBrain(Vec<Vec<String>>),
    /// This member is not the designated first one.
    NotDesignated,
    /// A member has data, so this is no first deploy.
    HasData(String),
    /// A member was not seen; it may be primary or ahead (G10, G11).
    NotSeen(Vec<(String, String)>),
    /// A member's `mariadbd` runs.
    Running(Vec<String>),
    /// A member is not held, so it may start at any moment (H14).
    NotHeld(Vec<String>),
    /// A member's position is not known.
    PositionUnknown(Vec<(String, String)>),
    /// Members have data of different histories.
    DifferentHistories(Vec<(String, Position)>),
    /// Members went on separately from a common past: each has something that the other lacks.
    Diverged(String),
    /// No member has data.
    NoData,
    /// Members expect different members (a deploy is under way, or stale configuration).
    MembershipDiffers(Vec<String>),
}

impl fmt::Display for NoProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = |pairs: &[(String, String)]| {
            pairs.iter().map(|(name, why)| format!("{name} ({why})")).collect::<Vec<_>>().join("; ")
        };
        let list = |names: &[String]| listed(names.iter().map(String::as_str));
        match self {
            NoProof::PrimaryExists(members) => {
                write!(f, "a primary component exists: {}", list(members))
            }
            NoProof::SplitBrain(sides) => {
                let sides: Vec<String> = sides.iter().map(|side| list(side)).collect();
                write!(
                    f,
                    "SplitBrain: there are {} primary components ({}); choose one side, stop the other and keep its data",
                    sides.len(),
                    sides.join(" | ")
                )
            }
            NoProof::NotDesignated => f.write_str("this is not the designated first member"),
            NoProof::HasData(name) => write!(f, "{name} has data of a cluster, so this is no first deploy"),
            NoProof::NotSeen(members) => write!(
                f,
                "PartialKnowledge: not seen: {}; a member that is not seen may be primary or ahead",
                each(members)
            ),
            NoProof::Running(names) => write!(f, "mariadbd runs on {}", list(names)),
            NoProof::NotHeld(names) => write!(f, "not held: {}", list(names)),
            NoProof::PositionUnknown(members) => {
                write!(f, "the position is not known of {}", each(members))
            }
            NoProof::DifferentHistories(positions) => {
                let all: Vec<String> =
                    positions.iter().map(|(name, position)| format!("{name} at {position}")).collect();
                write!(
                    f,
                    "DivergentHistories: {}; these are different databases, and a person must choose",
                    all.join(", ")
                )
            }
            NoProof::Diverged(what) => write!(f, "Diverged: {what}; a person must choose"),
            NoProof::NoData => f.write_str("no member has data; there is nothing to recover"),
            NoProof::MembershipDiffers(names) => write!(
                f,
                "MembershipConfigMismatch: {} expect other members than this configuration; wait for the deploy to end",
                list(names)
            ),
        }
    }
}

/// May this member, by itself, begin the very first cluster (G1, Q17)?
///
/// Fails closed: a peer whose agent is silent, or answers with anything but "I am empty", forbids it.
pub fn first_deploy(me: &Member, own: &Observation, others: &[MemberView]) -> Result<Proof, NoProof> {
    no_primary(others.iter().filter_map(MemberView::seen))?;
    if !me.bootstrap {
        return Err(NoProof::NotDesignated);
    }
    // A first bootstrap that broke off before anybody was served may be taken up again.
    if own.position != Standing::Empty && !own.memory.founding {
        return Err(NoProof::HasData(me.name.clone()));
    }
    let mut unseen = Vec::new();
    for other in others {
        let name = other.member.name.clone();
        match (&other.sight, other.galera_port) {
            (Sight::Seen(theirs), _) if theirs.process.is_some() => {
                return Err(NoProof::Running(vec![name]));
            }
            (Sight::Seen(theirs), _) if theirs.position != Standing::Empty => {
                return Err(NoProof::HasData(name));
            }
            (Sight::Seen(_), _) | (Sight::Refused, Some(PortAnswer::Refused)) => {}
            _ => unseen.push((name, other.why_unseen().unwrap_or_default())),
        }
    }
    if !unseen.is_empty() {
        return Err(NoProof::NotSeen(unseen));
    }
    Ok(Proof { rule: Rule::FirstDeploy, member: me.name.clone(), position: None, notes: Vec::new() })
}

/// Which member may be bootstrapped, given that every expected member is seen, stopped and held by this
/// order (G2)? With no order (`--dry-run`), what would be chosen once all are held.
pub fn every_member_seen(cluster: &Cluster, views: &[MemberView], order: Option<Uuid>) -> Result<Proof, NoProof> {
    no_primary(views.iter().filter_map(MemberView::seen))?;
    let unseen: Vec<(String, String)> =
        views.iter().filter_map(|v| Some((v.member.name.clone(), v.why_unseen()?))).collect();
    if !unseen.is_empty() || views.len() != cluster.members.len() {
        return Err(NoProof::NotSeen(unseen));
    }
    let seen: Vec<&Observation> = views.iter().filter_map(MemberView::seen).collect();
    let named = |wanted: &dyn Fn(&Observation) -> bool| -> Vec<String> {
        seen.iter().filter(|o| wanted(o)).map(|o| o.member.name.clone()).collect()
    };
    let some = |names: Vec<String>, no: fn(Vec<String>) -> NoProof| {
        if names.is_empty() { Ok(()) } else { Err(no(names)) }
    };

    let mut expected: Vec<&str> = cluster.members.iter().map(|m| m.name.as_str()).collect();
    expected.sort_unstable();
    let differs = |o: &Observation| {
        let mut theirs: Vec<&str> = o.member.expects.iter().map(String::as_str).collect();
        theirs.sort_unstable();
        theirs != expected || o.member.cluster != cluster.name
    };
    some(named(&differs), NoProof::MembershipDiffers)?;
    if let Some(order) = order {
        some(named(&|o| o.process.is_some()), NoProof::Running)?;
        let held =
            |o: &Observation| o.supervisor.present().and_then(|s| s.hold.as_ref()).is_some_and(|h| h.order == order);
        some(named(&|o| !held(o)), NoProof::NotHeld)?;
    }
    let unknown: Vec<(String, String)> = seen
        .iter()
        .filter_map(|o| match (&o.position, &o.memory.damaged) {
            (Standing::Unknown { detail, .. }, _) => Some((o.member.name.clone(), detail.clone())),
            (_, Some(damage)) => Some((o.member.name.clone(), format!("what it remembers cannot be read: {damage}"))),
            _ => None,
        })
        .collect();
    if !unknown.is_empty() {
        return Err(NoProof::PositionUnknown(unknown));
    }

    let placed: Vec<(&Observation, Position)> =
        seen.iter().filter_map(|o| Some((*o, o.position.position()?))).collect();
    let history = OneHistory::of(placed.iter().copied()).map_err(|none| match none {
        None => NoProof::NoData,
        Some(_) => NoProof::DifferentHistories(placed.iter().map(|(o, p)| (o.member.name.clone(), *p)).collect()),
    })?;
    nobody_parted(&placed)?;

    let index = |o: &Observation| cluster.member(&o.member.name).map_or(u32::MAX, |m| m.index);
    // Ties (G13): a valid safe_to_bootstrap, then the newest saved view, then a clean stop, then the lowest index.
    let newest_view = seen.iter().filter_map(|o| o.disk.saved_view.present()).map(|v| v.seq).max();
    let chosen = history
        .furthest()
        .min_by_key(|o| {
            let safe = o.disk.grastate.present().is_some_and(|g| g.validly_safe());
            let in_newest = newest_view.is_some() && o.disk.saved_view.present().map(|v| v.seq) == newest_view;
            let clean = matches!(o.position, Standing::At { from: Provenance::CleanStop, .. });
            (!safe, !in_newest, !clean, index(o))
        })
        .ok_or(NoProof::NoData)?;
    let notes = seen
        .iter()
        .filter(|o| o.position == Standing::Empty)
        .map(|o| format!("{} has no data; whatever an earlier disk of it held is not considered", o.member.name))
        .collect();
    Ok(Proof {
        rule: Rule::EveryMemberSeen,
        member: chosen.member.name.clone(),
        position: Position::new(history.history(), history.highest()),
        notes,
    })
}

fn no_primary<'a>(seen: impl Iterator<Item = &'a Observation>) -> Result<(), NoProof> {
    match primaries(seen) {
        Primaries::None => Ok(()),
        Primaries::One(primary) => Err(NoProof::PrimaryExists(primary.members)),
        Primaries::Split(sides) => Err(NoProof::SplitBrain(sides.into_iter().map(|p| p.members).collect())),
    }
}

/// The maximum is the maximum only if nobody went on separately: against the longest lineage that any
/// member remembers, no member may have a tail, and the one that is ahead must have been part of it.
fn nobody_parted(placed: &[(&Observation, Position)]) -> Result<(), NoProof> {
    let longest = placed.iter().fold(Lineage::default(), |l, (o, _)| l.longer(&o.memory.lineage).clone());
    for (member, position) in placed {
        let memory = &member.memory;
        if let Tail::Has { transactions, parted_at } =
            longest.tail_of(*position, memory.incarnation_at(*position), &memory.lineage)
        {
            let newest =
                longest.newest().map(|i| format!("incarnation {} begun by {}", i.number, i.by)).unwrap_or_default();
            return Err(NoProof::Diverged(format!(
                "{} at {position} has {transactions} transactions after {parted_at} that are not part of {newest}",
                member.member.name
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::lineage::Incarnation;
    use crate::cluster::observation::{Memory, PortAnswer};
    use crate::cluster::situation::*;
    use crate::cluster::standing::Unknown;

    fn word<T: std::fmt::Debug>(result: Result<T, NoProof>) -> String {
        match result {
            Ok(proof) => format!("{proof:?}"),
            Err(no) => format!("{no:?}").split(['(', ' ']).next().unwrap_or_default().to_owned(),
        }
    }

    #[test]
    fn q17_g1_g7_g11_who_may_begin_the_very_first_cluster() {
        let galera_only = MemberView { galera_port: Some(PortAnswer::Open), ..refused(1) };
        let founding = down(0, 3).remembers(Memory { founding: true, ..Memory::default() });
        for (me, own, others, expected, why) in [
            (0, empty(0), vec![seen(empty(1)), seen(empty(2))], "may", "all are empty"),
            (0, empty(0), vec![refused(1), refused(2)], "may", "BOSH has not started the others yet"),
            (0, empty(0), vec![], "may", "a single node"),
            (0, founding, vec![seen(empty(1)), refused(2)], "may", "the first bootstrap broke off"),
            (1, empty(1), vec![seen(empty(0)), seen(empty(2))], "NotDesignated", "another is designated"),
            (0, empty(0), vec![seen(empty(1)), silent(2)], "NotSeen", "a time-out is not a refusal"),
            (0, empty(0), vec![seen(empty(1)), galera_only], "NotSeen", "no agent, but mariadbd listens"),
            (0, empty(0), vec![seen(down(1, 5)), seen(empty(2))], "HasData", "a new disk on mysql/0 (peers: 6.1.1)"),
            (
                0,
                empty(0),
                vec![seen(empty(1).unknown(Unknown::DataGone)), seen(empty(2))],
                "HasData",
                "one lost its data",
            ),
            (0, empty(0), vec![seen(running(1, 5)), seen(empty(2))], "Running", "one runs"),
            (0, empty(0), vec![seen(primary(1, 5, &[1])), seen(empty(2))], "PrimaryExists", "one is primary"),
            (0, down(0, 5), vec![seen(empty(1)), seen(empty(2))], "HasData", "this member has data itself"),
            (0, empty(0).unknown(Unknown::DataGone), vec![seen(empty(1))], "HasData", "this member lost its data"),
        ] {
            let found = first_deploy(&member(me), &own, &others)
                .map(|_| ())
                .map_or_else(|no| word::<()>(Err(no)), |()| "may".into());
            assert_eq!(found, expected, "{why}");
        }
    }

    #[test]
    fn g2_g10_g12_g13_h11_whom_the_errand_may_bootstrap() {
        let held = |seqnos: [u64; 3]| [0, 1, 2].map(|n| seen(down(n, seqnos[n as usize]).held())).to_vec();
        let with = |views: Vec<MemberView>, n: usize, view: MemberView| {
            let mut views = views;
            views[n] = view;
            views
        };
        let same = held([9, 9, 9]);
        let other_members = |mut o: Observation| {
            o.member.expects.pop();
            o
        };
        for (views, expected, why) in [
            (held([9, 10, 8]), "mysql/1", "numbers are compared, not texts: 10 is more than 9"),
            (same.clone(), "mysql/0", "a tie: the lowest index"),
            (with(same.clone(), 2, seen(down(2, 9).safe().held())), "mysql/2", "a tie: safe_to_bootstrap"),
            (with(held([9, 10, 9]), 2, seen(down(2, 9).safe().held())), "mysql/1", "the flag never beats a seqno"),
            (
                with(same.clone(), 1, seen(down(1, 9).saved(view(1, 5, &[1])).held())),
                "mysql/1",
                "a tie: the newest view",
            ),
            (with(same.clone(), 0, seen(empty(0).held())), "mysql/1", "an empty member is never chosen"),
            (with(same.clone(), 1, silent(1)), "NotSeen", "one is not seen"),
            (with(same.clone(), 1, refused(1)), "NotSeen", "one has no agent"),
            (with(same.clone(), 1, seen(down(1, 9))), "NotHeld", "one is not held"),
            (with(same.clone(), 1, seen(running(1, 9).held())), "Running", "one runs"),
            (with(same.clone(), 1, seen(primary(1, 9, &[1]).held())), "PrimaryExists", "one is primary"),
            (
                with(same.clone(), 1, seen(down(1, 9).of_history(5).held())),
                "DifferentHistories",
                "one has another history",
            ),
            (
                with(same.clone(), 1, seen(down(1, 9).unknown(Unknown::NoPosition).held())),
                "PositionUnknown",
                "one is not known",
            ),
            (
                with(same.clone(), 1, seen(other_members(down(1, 9).held()))),
                "MembershipDiffers",
                "a deploy is under way",
            ),
            (same[..2].to_vec(), "NotSeen", "one is missing from the list"),
            ([0, 1, 2].map(|n| seen(empty(n).held())).to_vec(), "NoData", "nobody has data"),
        ] {
            let found = every_member_seen(&cluster(3), &views, Some(ORDER)).map(|p| p.member().to_owned());
            assert_eq!(found.unwrap_or_else(|no| word::<()>(Err(no))), expected, "{why}");
        }
    }

    #[test]
    fn h13_members_that_went_on_separately_are_never_chosen_between() {
        let first = Incarnation {
            number: 1,
            id: Uuid::from_u128(1),
            history: H,
            began_at: 0,
            by: "mysql/0".into(),
            at: String::new(),
            proof: String::new(),
        };
        let second = Incarnation { number: 2, id: Uuid::from_u128(2), began_at: 34, ..first.clone() };
        let old = Lineage::default().with(first.clone());
        let new = old.with(second);
        let remembers = |lineage: &Lineage, id| Memory {
            lineage: lineage.clone(),
            incarnation: Some(Uuid::from_u128(id)),
            ..Memory::default()
        };
        let views = |third: u64| {
            vec![
                seen(down(0, 36).remembers(remembers(&new, 2)).held()),
                seen(down(1, 35).remembers(remembers(&new, 2)).held()),
                seen(down(2, third).remembers(remembers(&old, 1)).held()),
            ]
        };
        assert_eq!(every_member_seen(&cluster(3), &views(34), Some(ORDER)).unwrap().member(), "mysql/0");
        let diverged = every_member_seen(&cluster(3), &views(37), Some(ORDER)).unwrap_err();
        assert!(
            diverged.to_string().contains("mysql/2") && diverged.to_string().contains("3 transactions"),
            "{diverged}"
        );
    }

    #[test]
    fn h12_two_primary_components_are_seen_though_they_have_the_same_history() {
        let views = [seen(primary(0, 9, &[0])), seen(primary(1, 9, &[1])), seen(down(2, 9))];
        assert_eq!(word(every_member_seen(&cluster(3), &views, None)), "SplitBrain");
        let one = [seen(primary(0, 9, &[0, 1])), seen(primary(1, 9, &[0, 1])), seen(down(2, 9))];
        assert_eq!(word(every_member_seen(&cluster(3), &one, None)), "PrimaryExists");
    }
}
