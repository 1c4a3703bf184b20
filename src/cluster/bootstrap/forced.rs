//! What cannot be proven, a person may decide: the member to go on from, and what is left out.

use std::cmp::Reverse;
use std::fmt;

use super::choice::{restarted, way};
use super::evidence::{Evidence, Fence, held_by, lineage_of, obstacle, open_beginnings, serves_in_silence, tail_at};
use super::{NoProof, Proof, Rule, Way, proof};
use crate::cluster::lineage::{Lineage, Tail};
use crate::cluster::member::{Cluster, listed};
use crate::cluster::observation::{MemberView, Observation, Sight};
use crate::cluster::standing::{Standing, Unknown};
use crate::galera::position::Position;

/// A person's choice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Force {
    /// The member to go on from.
    pub node: String,
    /// The members of which something may be lost.
    pub accept_missing: Vec<String>,
    /// The members that may be alive where nobody sees what they are: they may serve clients, and go on doing so.
    pub accept_alive: Vec<String>,
    /// Its data has no position, as what a backup restored: a new history begins with it.
    pub new_history: bool,
}

impl fmt::Display for Force {
    /// The errand's arguments.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--node {}", self.node)?;
        if self.new_history {
            f.write_str(" --new-history")?;
        }
        self.accept_missing.iter().try_for_each(|name| write!(f, " --accept-missing {name}"))?;
        self.accept_alive.iter().try_for_each(|name| write!(f, " --accept-alive {name}"))
    }
}

impl Force {
    /// What is wrong with the names, whatever the members say.
    pub fn fault(&self, cluster: &Cluster) -> Option<String> {
        let mut named = [&self.node].into_iter().chain(&self.accept_alive);
        if let Some(stranger) = named.find(|name| cluster.member(name).is_none()) {
            return Some(no_member(stranger, cluster));
        }
        self.accepts(&self.node).then(|| format!("{} cannot be gone on from and left out", self.node))
    }

    /// A name of nobody of whom something may be lost. Whoever was taken out of the deployment is no member any more, and is
    /// named all the same.
    fn names_nobody(&self, evidence: &Evidence) -> Option<String> {
        let gone: Vec<(String, String)> =
            evidence.vanished().into_iter().chain(open_beginnings(&evidence.seen)).collect();
        let known = |name: &String| evidence.cluster.member(name).is_some() || gone.iter().any(|(n, _)| n == name);
        let stranger = self.accept_missing.iter().find(|name| !known(name))?;
        Some(no_member(stranger, evidence.cluster))
    }

    /// Whether a recovery by this choice leaves the member alone: a person named it, and it cannot be held, or does not say
    /// where it stands.
    pub fn sets_aside(&self, view: &MemberView) -> bool {
        self.accepts(&view.member.name) && view.seen().is_some_and(|o| obstacle(o).is_some())
    }

    /// Whether the person named this member as one of which something may be lost.
    pub fn accepts(&self, name: &str) -> bool {
        self.accept_missing.iter().chain(&self.accept_alive).any(|accepted| accepted == name)
    }
}

/// Whether the person's choice can be carried out. Each member of which something may be lost must be
/// named; what is left out is kept on it, and the join rule keeps it from being discarded there.
///
/// A member that is named is left out in whatever state it is: whoever waited for it would wait for what that person
/// has given up.
pub fn forced(evidence: &Evidence, force: &Force) -> Result<Proof, NoProof> {
    if let Some(why) = force.fault(evidence.cluster).or_else(|| force.names_nobody(evidence)) {
        return Err(NoProof::CannotForce(why));
    }
    evidence.nobody_serves()?;
    // What can be proven needs no force.
    if let Ok(proof) = proof(evidence)
        && proof.member() == force.node
    {
        return Ok(proof);
    }
    all_that_may_live_is_named(evidence, force)?;
    let node = gone_on_from(evidence, force)?;
    let chosen = node.position.at_most();
    let at_stake = at_stake(evidence, chosen, force);
    let missing: Vec<(String, String)> = at_stake.iter().filter(|(name, _)| !force.accepts(name)).cloned().collect();
    if !missing.is_empty() {
        return Err(NoProof::MustAccept(missing));
    }
    let views = without_those_set_aside(evidence, force);
    let rest = Evidence::of(evidence.cluster, &views, evidence.fence);
    if let Fence::HeldBy(order) = rest.fence {
        rest.held_by(order)?;
    }
    let way = match way(&rest, node) {
        // A member that lives keeps the name of its group, by which those that are left out could find it.
        Ok(Way::Promote) if !at_stake.is_empty() => restarted(&rest)?,
        // Nor is any promoted where several live apart.
        Err(NoProof::Apart(_)) => restarted(&rest)?,
        way => way?,
    };
    // Those that are held are told of it before it begins.
    let told = evidence.seen.iter().filter(|o| !(force.accepts(&o.member.name) && obstacle(o).is_some())).count();
    Ok(Proof {
        rule: Rule::Forced,
        member: force.node.clone(),
        position: chosen.filter(|_| !force.new_history),
        way,
        past: past_of(evidence, node),
        notes: notes(node, evidence.majority(told)),
        left_out: at_stake.into_iter().map(|(name, stake)| format!("{name}: {stake}")).collect(),
    })
}

/// Those that cannot be told know nothing of it until they see a member that does.
const FEW_ARE_TOLD: &str = "most members cannot be told of this: where they run and reach none that was told, they may begin by themselves. Start them only where they reach this one";

/// A copy of it would be given to all others.
const MAY_BE_TORN: &str = "a full copy may have left torn files on that member: check its tables before clients write: `/var/vcap/packages/mariadb/bin/mariadb-check --all-databases --socket=/var/vcap/sys/run/mariadb/mysqld.sock`";

fn notes(node: &Observation, many_are_told: bool) -> Vec<String> {
    let torn = matches!(node.position, Standing::Unknown { why: Unknown::NotOnDisk | Unknown::JoinBroke, .. });
    let few = (!many_are_told).then_some(FEW_ARE_TOLD);
    few.into_iter().chain(torn.then_some(MAY_BE_TORN)).map(str::to_owned).collect()
}

fn no_member(stranger: &str, cluster: &Cluster) -> String {
    let members = listed(cluster.members.iter().map(|m| m.name.as_str()));
    format!("{stranger} is no member; members are {members}")
}

fn without_those_set_aside(evidence: &Evidence, force: &Force) -> Vec<MemberView> {
    let aside = |v: &MemberView| {
        let slipped = || match (evidence.fence, v.seen()) {
            // When the others were taken in hand this one could not be, and by now it may say where it stands.
            (Fence::HeldBy(order), Some(o)) => !held_by(o, order),
            _ => false,
        };
        force.sets_aside(v) || force.accepts(&v.member.name) && slipped()
    };
    evidence.views.iter().filter(|v| !aside(v)).cloned().collect()
}

/// A member that lives where nobody sees what it is may be primary, with clients of its own.
fn all_that_may_live_is_named(evidence: &Evidence, force: &Force) -> Result<(), NoProof> {
    match evidence.nobody_else_lives() {
        Err(NoProof::MayBeAlive(alive)) => {
            let unnamed: Vec<_> = alive.into_iter().filter(|(name, _)| !force.accept_alive.contains(name)).collect();
            if unnamed.is_empty() { Ok(()) } else { Err(NoProof::MayBeAlive(unnamed)) }
        }
        other => other,
    }
}

fn gone_on_from<'a>(evidence: &Evidence<'a>, force: &Force) -> Result<&'a Observation, NoProof> {
    let cannot = |why: String| Err(NoProof::CannotForce(why));
    let node = &force.node;
    let Some(seen) = evidence.seen.iter().find(|o| o.member.name == *node).copied() else {
        return cannot(format!("{node} is not seen, so it cannot be gone on from"));
    };
    // Of this one a memory that cannot be read is no obstacle: the person knows what it is.
    if let Some(why) = obstacle(seen).filter(|_| seen.memory.damaged.is_none()) {
        return cannot(format!("{node} cannot be gone on from now: {why}"));
    }
    match (seen.position.at_most(), force.new_history) {
        (Some(_), false) => Ok(seen),
        (Some(position), true) => {
            cannot(format!("{node} stands at {position}; a new history is begun only with data that has no position"))
        }
        (None, true) if usable(seen) || !evidence.seen.iter().any(|o| usable(o)) && !seen.disk.has_data() => Ok(seen),
        (None, _) => {
            let way = match (usable(seen), seen.disk.has_data()) {
                (true, _) => format!(
                    "; where its data is what a backup restored, a new history can begin with it: --node {node} --new-history"
                ),
                (false, true) => "; a half of a copy is no database".into(),
                (false, false) => "; a cluster begins empty only where no member that is seen has data".into(),
            };
            cannot(format!("{node} cannot be gone on from: its position is {}{way}", seen.position))
        }
    }
}

/// The past that goes on from this member: as the others tell it, unless its own data is of a branch that parted before.
fn past_of(evidence: &Evidence, node: &Observation) -> Lineage {
    let of_it = |past: &Lineage| node.position.at_most().is_none_or(|at| tail_at(node, at, past) == Tail::None);
    lineage_of(&evidence.seen).ok().filter(of_it).unwrap_or_else(|| node.memory.lineage.clone())
}

/// Whether there is a database in its data directory, whatever nobody knows of it.
fn usable(of: &Observation) -> bool {
    of.disk.has_data() && !of.position.may_have_lost_all() && !of.position.is_mixture()
}

/// What of each other member would not be in the cluster that goes on from the chosen position.
fn at_stake(evidence: &Evidence, chosen: Option<Position>, force: &Force) -> Vec<(String, String)> {
    let node = evidence.seen.iter().find(|o| o.member.name == force.node);
    let past = node.map(|o| &o.memory.lineage);
    // Where somebody made its last component primary, nobody has recorded: what others have may have been committed beside.
    let unrecorded = |other: &Observation| {
        let strange = node.is_some_and(|o| o.memory.strange.is_some()) && other.position.at_most().is_some();
        strange.then(|| {
            format!(
                "{} was made primary by hand, and where both parted is not recorded; it stands at {}",
                force.node, other.position
            )
        })
    };
    let others = evidence.cluster.members.iter().filter(|m| m.name != force.node);
    let stakes = others.filter_map(|m| {
        let stake = match evidence.seen.iter().find(|o| o.member.name == m.name) {
            Some(other) => obstacle(other).or_else(|| {
                let tail = |position| past.map_or(Tail::None, |past| tail_at(other, position, past));
                stake(evidence, chosen, other, tail).or_else(|| unrecorded(other))
            })?,
            None => "whatever it committed and the others have not (it is not seen)".into(),
        };
        Some((m.name.clone(), stake))
    });
    let mut stakes: Vec<(String, String)> = stakes.chain(evidence.vanished()).collect();
    // Whoever may have begun and is no member any more, or does not remember.
    for (name, why) in open_beginnings(&evidence.seen) {
        if name != force.node && stakes.iter().all(|(known, _)| *known != name) {
            stakes.push((name, why));
        }
    }
    stakes
}

/// The choice that leaves out least, for the sentence that says what a person may run: the furthest of those
/// that are seen, and everything that would have to be accepted; a new history only where no other choice is left.
pub fn suggested_force(evidence: &Evidence) -> Option<Force> {
    // Never beside a server that runs and tells nothing: it may be primary.
    if evidence.seen.iter().any(|o| serves_in_silence(o)) {
        return None;
    }
    let choice = |o: &&Observation, new_history: bool| {
        let force = Force { node: o.member.name.clone(), new_history, ..Force::default() };
        match forced(evidence, &force) {
            Err(NoProof::MustAccept(missing)) => {
                Some(Force { accept_missing: missing.into_iter().map(|(name, _)| name).collect(), ..force })
            }
            Ok(_) => Some(force),
            Err(_) => None,
        }
    };
    let index = |force: &Force| evidence.cluster.member(&force.node).map_or(u32::MAX, |m| m.index);
    let of = |force: &Force| evidence.seen.iter().find(|o| o.member.name == force.node);
    let seqno = |force: &Force| of(force).and_then(|o| o.position.at_most()).map_or(0, Position::seqno);
    let least = |new_history: bool| {
        let choices = evidence.seen.iter().filter_map(|o| choice(o, new_history));
        choices.min_by_key(|force| (force.accept_missing.len(), Reverse(seqno(force)), index(force)))
    };
    // It parts from all that anybody has: no answer while somebody's agent or position may be there in a moment.
    let soon = |view: &MemberView| match &view.sight {
        Sight::Seen(o) => {
            o.looks_again_soon()
                || matches!(o.position, Standing::Unknown { why: Unknown::Failed | Unknown::NotLookedYet, .. })
        }
        Sight::Refused | Sight::Another(_) | Sight::Unusable(_) => true,
        Sight::Silent(_) => false,
    };
    let new_history = || least(true).filter(|_| !evidence.views.iter().any(soon));
    least(false).or_else(new_history)
}

/// What of this member would not be in the cluster that goes on from the chosen position.
fn stake(
    evidence: &Evidence,
    chosen: Option<Position>,
    other: &Observation,
    tail: impl Fn(Position) -> Tail,
) -> Option<String> {
    match (&other.position, other.position.at_most(), chosen) {
        (_, Some(position), Some(chosen)) if position.history() == chosen.history() => {
            // What an earlier bootstrap left out, and what is beyond the chosen one: whichever is more.
            let parted = match tail(position) {
                Tail::Has { transactions, .. } => transactions,
                Tail::None => 0,
            };
            let transactions = parted.max(position.seqno().saturating_sub(chosen.seqno()));
            (transactions > 0).then(|| format!("its last {transactions} transactions (it stands at {position})"))
        }
        (_, Some(position), _) => Some(format!("all of its data, which is of another history ({position})")),
        _ if other.position.may_have_lost_all() => {
            let lost = "it is empty; whatever its earlier disk had and the others have not";
            (!view_tells_all(evidence)).then(|| lost.into())
        }
        _ if other.position.is_mixture() => None,
        (position @ (Standing::Unknown { .. } | Standing::At { .. } | Standing::Empty), ..) => {
            Some(format!("its position is {position}; whatever it committed and the others have not"))
        }
    }
}

fn view_tells_all(evidence: &Evidence) -> bool {
    // The last view is not the last one where somebody may have begun another since.
    evidence.no_beginning_is_open().is_ok()
        && super::weighed::Weighed::of(evidence).is_ok_and(|weighed| weighed.view_tells_all())
}
