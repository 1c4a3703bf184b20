//! What cannot be proven, a person may decide: the member to go on from, and what is left out.

use super::choice::{restarted, way};
use super::evidence::{Evidence, Placed, tail};
use super::{NoProof, Proof, Rule, Way, proof};
use crate::cluster::lineage::Tail;
use crate::cluster::member::{Cluster, listed};
use crate::cluster::observation::Observation;
use crate::cluster::standing::Standing;

/// A person's choice.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Force {
    /// The member to go on from.
    pub node: String,
    /// The members of which something may be lost.
    pub accept_missing: Vec<String>,
}

impl Force {
    /// What is wrong with the names, whatever the members say.
    pub fn fault(&self, cluster: &Cluster) -> Option<String> {
        let mut named = std::iter::once(&self.node).chain(&self.accept_missing);
        if let Some(stranger) = named.find(|n| cluster.member(n).is_none()) {
            let members = listed(cluster.members.iter().map(|m| m.name.as_str()));
            return Some(format!("{stranger} is no member; members are {members}"));
        }
        let both = self.accept_missing.contains(&self.node);
        both.then(|| format!("{} cannot be gone on from and left out", self.node))
    }
}

/// Whether the person's choice can be carried out. Each member of which something may be lost must be
/// named; what is left out is kept on it, and the join rule keeps it from being discarded there.
pub fn forced(evidence: &Evidence, force: &Force) -> Result<Proof, NoProof> {
    if let Some(why) = force.fault(evidence.cluster) {
        return Err(NoProof::CannotForce(why));
    }
    evidence.gates().or_else(|no| match no {
        // Of the others a damaged memory is one more thing that may be left out.
        NoProof::PositionUnknown(damaged) if damaged.iter().all(|(name, _)| *name != force.node) => Ok(()),
        no => Err(no),
    })?;
    // What can be proven needs no force.
    if let Ok(proof) = proof(evidence)
        && proof.member() == force.node
    {
        return Ok(proof);
    }
    let seen = |name: &str| evidence.seen.iter().find(|o| o.member.name == name).copied();
    let Some(node) = seen(&force.node) else {
        return Err(NoProof::CannotForce(format!("{} is not seen, so it cannot be gone on from", force.node)));
    };
    let Some(chosen) = candidate(node) else {
        return Err(NoProof::CannotForce(format!(
            "{} cannot be gone on from: its position is {}",
            force.node, node.position
        )));
    };
    let others = evidence.cluster.members.iter().filter(|m| m.name != force.node);
    let at_stake: Vec<(String, String)> = others
        .filter_map(|m| {
            let stake = match seen(&m.name) {
                Some(other) => stake(evidence, &chosen, other)?,
                None => "it is not seen; whatever it committed and the others have not".into(),
            };
            Some((m.name.clone(), stake))
        })
        .collect();
    let accepted = |name: &String| force.accept_missing.contains(name);
    let missing: Vec<(String, String)> = at_stake.iter().filter(|(name, _)| !accepted(name)).cloned().collect();
    if !missing.is_empty() {
        return Err(NoProof::MustAccept(missing));
    }
    // A member that lives keeps the name of its group, by which those that are left out could find it.
    let way = match way(evidence, node) {
        Ok(Way::Promote) | Err(NoProof::Apart(_)) if !at_stake.is_empty() => restarted(evidence)?,
        way => way?,
    };
    Ok(Proof {
        rule: Rule::Forced,
        member: force.node.clone(),
        position: Some(chosen.position),
        way,
        notes: Vec::new(),
        left_out: at_stake.into_iter().map(|(name, stake)| format!("{name}: {stake}")).collect(),
    })
}

/// The choice that leaves out least, for the sentence that says what a person may run: the furthest of those
/// that are seen, and everything that would have to be accepted.
pub fn suggested_force(evidence: &Evidence) -> Option<Force> {
    let candidates = evidence.seen.iter().filter(|o| o.memory.damaged.is_none()).filter_map(|o| candidate(o));
    let stakes = |chosen: &Placed| {
        let node = chosen.of.member.name.clone();
        match forced(evidence, &Force { node: node.clone(), accept_missing: Vec::new() }) {
            Err(NoProof::MustAccept(missing)) => {
                Some(Force { node, accept_missing: missing.into_iter().map(|(name, _)| name).collect() })
            }
            Ok(_) => Some(Force { node, accept_missing: Vec::new() }),
            Err(_) => None,
        }
    };
    let index = |force: &Force| evidence.cluster.member(&force.node).map_or(u32::MAX, |m| m.index);
    candidates.filter_map(|c| stakes(&c)).min_by_key(|force| (force.accept_missing.len(), index(force)))
}

/// A member that can be gone on from: also one whose position is only a bound, if a person says so.
fn candidate(of: &Observation) -> Option<Placed<'_>> {
    let position = of.position.at_most()?;
    Some(Placed { of, position, bound: of.position.position().is_none() })
}

/// What of this member would not be in the cluster that goes on from the chosen one.
fn stake(evidence: &Evidence, chosen: &Placed, other: &Observation) -> Option<String> {
    if let Some(damage) = &other.memory.damaged {
        return Some(format!(
            "what it remembers cannot be read ({damage}); whatever it committed and the others have not"
        ));
    }
    match (&other.position, other.position.at_most()) {
        (_, Some(position)) if position.history() != chosen.position.history() => {
            Some(format!("all of its data, which is of another history ({position})"))
        }
        (_, Some(position)) => {
            let placed = Placed { of: other, position, bound: true };
            let transactions = match tail(&placed, &chosen.of.memory.lineage) {
                Tail::Has { transactions, .. } => transactions,
                Tail::None => position.seqno().saturating_sub(chosen.position.seqno()),
            };
            (transactions > 0).then(|| format!("its last {transactions} transactions (it stands at {position})"))
        }
        (Standing::Empty, _) | (Standing::Unknown { .. }, _) if other.position.may_have_lost_all() => {
            let lost = "it is empty; whatever its earlier disk had and the others have not";
            (!evidence.view_tells_all()).then(|| lost.into())
        }
        (position, None) if position.transfer_interrupted() => None,
        (position, None) => Some(format!("its position is {position}; whatever it committed and the others have not")),
    }
}
