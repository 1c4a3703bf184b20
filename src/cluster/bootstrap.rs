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
