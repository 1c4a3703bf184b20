//! What the rules look at, and the gates that stand before all of them.

use std::collections::BTreeSet;

use super::NoProof;
use crate::cluster::lineage::{Branches, Lineage, Tail, one_past};
use crate::cluster::member::{Cluster, Member};
use crate::cluster::observation::{MemberView, Observation, Phase, Sql};
use crate::cluster::primary::{Primaries, primaries};
use crate::galera::position::Position;
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

impl<'a> Evidence<'a> {
    /// All expected members with what is seen of them.
    pub fn of(cluster: &'a Cluster, views: &'a [MemberView], fence: Fence) -> Evidence<'a> {
        Evidence { cluster, views, seen: views.iter().filter_map(MemberView::seen).collect(), fence }
    }

    pub(super) fn member(&self, of: &Observation) -> Option<&'a Member> {
        self.cluster.member(&of.member.name)
    }

    /// The members of which there is no observation, and why: the expected ones, and those that were part of the
    /// cluster and went without leaving it in order.
    pub(super) fn unseen(&self) -> Vec<(String, String)> {
        let without_answer = |member: &Member| {
            let view = self.views.iter().find(|v| v.member.name == member.name);
            match view {
                None => Some("it was not asked".to_owned()),
                Some(view) => view.why_unseen(),
            }
        };
        let expected = self.cluster.members.iter().filter_map(|m| Some((m.name.clone(), without_answer(m)?)));
        expected.chain(self.vanished()).collect()
    }

    /// Members that somebody who is seen knows, and that this configuration does not have.
    pub(super) fn vanished(&self) -> Vec<(String, String)> {
        let members: Vec<(&str, &str)> = self.cluster.members.iter().map(|m| (&*m.name, &*m.id)).collect();
        vanished(&self.seen, &members)
    }

    /// Nobody may have begun alone, with commits of its own since, of which only those were told that were held then.
    pub(super) fn no_beginning_is_open(&self) -> Result<(), NoProof> {
        let open = open_beginnings(&self.seen);
        let seen = |(name, _): &(String, String)| self.seen.iter().any(|o| o.member.name == *name);
        let (seen, unseen): (Vec<_>, Vec<_>) = open.into_iter().partition(seen);
        match (unseen.is_empty(), seen.is_empty()) {
            (true, true) => Ok(()),
            (true, false) => Err(NoProof::PositionUnknown(seen)),
            (false, _) => Err(NoProof::NotSeen(unseen)),
        }
    }

    /// Whether so many are more than half of the expected members. Exactly half never is (Q12).
    pub(super) fn majority(&self, of: usize) -> bool {
        2 * of > self.cluster.members.len()
    }

    /// Whether most members are seen and remember which incarnations there were. One that is empty, or new to all of
    /// this, would not know of a bootstrap that was forced where nobody looks.
    pub(super) fn most_bear_witness(&self) -> bool {
        self.majority(self.seen.iter().filter(|o| o.memory.is_witness()).count())
    }

    /// What no rule goes without, a person's neither: nobody is primary, and all are of one cluster.
    pub(super) fn nobody_serves(&self) -> Result<(), NoProof> {
        nobody_primary(self.seen.iter().copied())?;
        self.no_arbitrator_votes()?;
        none_of(self.named(|o| o.member.cluster != self.cluster.name), NoProof::MembershipDiffers)
    }

    /// Whoever is not seen is off, or not there: an agent that answers in whatever way, or a group port that is open,
    /// is a member that lives.
    pub(super) fn nobody_else_lives(&self) -> Result<(), NoProof> {
        let alive: Vec<(String, String)> = self
            .views
            .iter()
            .filter_map(|v| Some((v.member.name.clone(), v.why_alive().or_else(|| serves(v))?)))
            .collect();
        if alive.is_empty() { Ok(()) } else { Err(NoProof::MayBeAlive(alive)) }
    }

    /// What no proof goes without: whoever is looked at can be held, is, and says where it stands.
    pub(super) fn all_in_hand(&self) -> Result<(), NoProof> {
        none_of(self.named(|o| o.supervisor.present().is_none()), NoProof::NoSupervisor)?;
        let silent = |o: &&Observation| serves_in_silence(o).then(|| (o.member.name.clone(), SILENT.to_owned()));
        let silent: Vec<(String, String)> = self.seen.iter().filter_map(silent).collect();
        if !silent.is_empty() {
            return Err(NoProof::NotSeen(silent));
        }
        if let Fence::HeldBy(order) = self.fence {
            self.held_by(order)?;
        }
        let damage = |o: &&Observation| {
            let damage = o.memory.damaged.as_ref()?;
            Some((o.member.name.clone(), format!("what it remembers cannot be read: {damage}")))
        };
        let damaged: Vec<(String, String)> = self.seen.iter().filter_map(damage).collect();
        if damaged.is_empty() { Ok(()) } else { Err(NoProof::PositionUnknown(damaged)) }
    }

    /// All that are seen are held by this order, and nothing runs but what may be promoted.
    pub(super) fn held_by(&self, order: Uuid) -> Result<(), NoProof> {
        none_of(self.named(|o| !held_by(o, order)), NoProof::NotHeld)?;
        none_of(self.named(|o| o.takes_part() && !o.lives_without_quorum()), NoProof::Running)
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

    fn named(&self, wanted: impl Fn(&Observation) -> bool) -> Vec<String> {
        self.seen.iter().filter(|o| wanted(o)).map(|o| o.member.name.clone()).collect()
    }
}

/// Members that somebody who is seen expects, or was together with, and that are not among these (names and ids). One that
/// left in order took nothing along; of any other it is not known what it had.
pub fn vanished(seen: &[&Observation], members: &[(&str, &str)]) -> Vec<(String, String)> {
    let named = |name: &str| members.iter().any(|(known, _)| *known == name);
    let departed = |name: &str| seen.iter().any(|o| o.memory.departed.iter().any(|d| d == name));
    let mut vanished: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, why: &str| {
        if !vanished.iter().any(|(known, _)| known == name) {
            vanished.push((name.to_owned(), why.to_owned()));
        }
    };
    for of in seen {
        for name in of.member.expects.iter().filter(|name| !named(name) && !departed(name)) {
            add(name, "other members expect it, and this configuration does not");
        }
        let gone = |id: &str| members.iter().all(|(_, known)| *known != id);
        // By the word of the one that was together with it: what another one heard may be older than that.
        let parted = |name: &str| of.memory.departed.iter().any(|d| d == name);
        for known in of.memory.company.iter().filter(|known| gone(&known.id) && !parted(&known.name)) {
            // Another instance may have its name by now.
            let label = if named(&known.name) { &known.id } else { &known.name };
            add(label, "it was part of the cluster, was taken out of the deployment, and had not left in order");
        }
    }
    vanished
}

/// Members that may have begun an incarnation that nobody who is seen has: they were ordered to, as others were told, and are
/// not seen, or do not remember.
pub fn open_beginnings(seen: &[&Observation]) -> Vec<(String, String)> {
    let mut open: Vec<(String, String)> = Vec::new();
    // In a cluster that nobody has written down yet, to know no incarnation is no sign of a memory that is lost.
    let nobody_knows_any = !seen.iter().any(|o| o.memory.is_witness());
    for announced in seen.iter().flat_map(|o| &o.memory.announced) {
        let came_about = seen.iter().any(|o| o.memory.lineage.has(announced.id));
        let by = seen.iter().find(|o| o.member.name == announced.by.name && o.member.id == announced.by.id);
        // What was only intended has come to nothing: before anything is started, or asked of Galera, it is begun.
        let intends =
            |o: &&Observation| o.memory.begun && o.memory.beginning.as_ref().is_some_and(|b| b.id == announced.id);
        let knows_better = by.is_some_and(|o| (o.memory.is_witness() || nobody_knows_any) && !intends(o));
        let name = &announced.by.name;
        if !came_about && !knows_better && open.iter().all(|(known, _)| known != name) {
            let what = if by.is_some() { "does not remember whether it did" } else { "may have committed since" };
            open.push((name.clone(), format!("it was ordered to begin the cluster anew, and {what}")));
        }
    }
    open
}

/// Whether this order holds the member.
pub(super) fn held_by(of: &Observation, order: Uuid) -> bool {
    of.supervisor.present().and_then(|s| s.hold.as_ref()).is_some_and(|hold| hold.order == order)
}

/// Its server answers clients, and none of them learns what it is.
fn serves(view: &MemberView) -> Option<String> {
    let seen = view.seen()?;
    let answers = matches!(seen.sql, Sql::TooManyConnections | Sql::Denied);
    (answers && seen.wsrep.is_none()).then(|| "its mariadbd answers clients, and not its agent".into())
}

/// What is said of a member whose server takes connections and tells nothing.
pub(super) const SILENT: &str = "its SQL does not answer";

/// Whether its server serves or served, and does not say what it is: it may be primary.
pub(super) fn serves_in_silence(of: &Observation) -> bool {
    let runs = of.process.as_ref().is_some_and(|p| !p.recovering);
    of.wsrep.is_none() && of.supervisor.present().map_or(runs, |s| s.phase == Phase::Serving)
}

/// What of this member keeps it from being held, or from saying where it stands. A person may leave it out all the same.
pub(super) fn obstacle(of: &Observation) -> Option<String> {
    if serves_in_silence(of) {
        return Some("its mariadbd runs and does not answer: it is left running, in a group of its own".into());
    }
    let Some(supervisor) = of.supervisor.present() else {
        return Some("its galera-start does not run; what its mariadbd committed and the others have not".into());
    };
    if let Some(damage) = &of.memory.damaged {
        return Some(format!(
            "what it remembers cannot be read ({damage}); whatever it committed and the others have not"
        ));
    }
    match supervisor.phase {
        Phase::Preparing | Phase::Recovering | Phase::Starting | Phase::Stopping => {
            Some(format!("{}; whatever it committed and the others have not", supervisor.detail))
        }
        Phase::Waiting | Phase::Held | Phase::Serving => None,
    }
}

/// The one past that all that are seen remember.
pub(super) fn lineage_of(seen: &[&Observation]) -> Result<Lineage, NoProof> {
    one_past(seen.iter().map(|o| &o.memory.lineage)).map_err(|Branches| {
        let newest = |o: &&Observation| {
            let newest = o.memory.lineage.newest()?;
            Some(format!(
                "{} remembers incarnation {} begun by {} at {}",
                o.member.name, newest.number, newest.by, newest.began_at
            ))
        };
        let told: Vec<String> = seen.iter().filter_map(newest).collect();
        NoProof::Diverged(format!("the members were begun apart: {}", told.join(", ")))
    })
}

/// Whether the member's data is of the newest incarnation of this past.
pub fn in_newest_incarnation(of: &Observation, past: &Lineage) -> bool {
    match past.newest() {
        _ if of.memory.superseded => false,
        None => true,
        Some(newest) => {
            let memory = &of.memory;
            let last = of.position.at_most().map_or(memory.incarnation, |position| memory.incarnation_at(position));
            last == Some(newest.id)
        }
    }
}

/// What of this position of a member a past lacks.
pub fn tail_at(of: &Observation, position: Position, past: &Lineage) -> Tail {
    let memory = &of.memory;
    past.tail_of(position, memory.incarnation_at(position), &memory.lineage)
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
