//! What can happen: faults, each at a price, and what members, leaders and Galera do by themselves.

use super::Rules;
use super::sight::{index_of, observation, standing};
use super::world::{Leader, Members, Node, OURS, Server, Vm, World, companion, in_set, uuid};
use crate::cluster::bootstrap::{Fence, Force, Proof, Way};
use crate::cluster::hold::{Begin, Hold, OrderedStart, grant};
use crate::cluster::join::{MayJoin, MayNotJoin};
use crate::cluster::lineage::{Incarnation, Lineage, one_past};
use crate::cluster::memory::{Announced, CaughtUp, Memory, Settled};
use crate::cluster::observation::Observation;
use crate::cluster::origin::{Origin, company, origin};
use crate::cluster::start::{ByItself, Start};
use crate::galera::gvwstate::SavedView;
use crate::galera::position::Position;
use crate::galera::uuid::Uuid;

/// One thing that happens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Act {
    Write,
    /// The VM is off at once; its last commit, if another member answered for it, may be lost.
    Off {
        member: usize,
        loses: bool,
    },
    PowerLoss {
        loses: bool,
    },
    /// `bosh stop`.
    Stop(usize),
    Boot(usize),
    /// A new VM with an empty disk.
    Recreate(usize),
    ForgetView(usize),
    Isolate(usize),
    Heal,
    Decide(usize),
    /// It decides to join, and the component is gone before it gets there, or in the middle of a full copy.
    JoinFails {
        member: usize,
        overwritten: bool,
    },
    /// A live member without quorum asks itself what to do.
    Live(usize),
    GiveUp(usize),
    Settle(usize),
    Apply,
    Lead(usize),
    LeaderDies(usize),
    HoldEnds(usize),
    /// An operator runs the errand on this member.
    Errand(usize),
    Force(usize),
    /// A person starts the server of this member alone, as the first of a component, behind its supervisor's back.
    ByHand(usize),
    /// The agent of this member stops to answer.
    Mute(usize),
    Unmute,
}

/// Everything that may happen next.
pub fn possible(rules: &Rules, world: &World, acts: &mut Vec<Act>) {
    let up = |i: usize| world.nodes[i].vm == Vm::Up;
    let orders: Vec<Uuid> = world.leaders.iter().map(|l| l.order).collect();
    if world.writes > 0 && !world.primaries().is_empty() {
        acts.push(Act::Write);
    }
    if world.isolated.is_some() {
        acts.push(Act::Heal);
    }
    if world.mute.is_some() {
        acts.push(Act::Unmute);
    }
    let applies = |n: &Node| lags(n) && (!n.flushed || matches!(n.server, Server::Live { settled: true, .. }));
    if world.nodes.iter().any(applies) {
        acts.push(Act::Apply);
    }
    acts.extend((0..world.leaders.len()).map(Act::Lead));
    for i in world.members() {
        let node = &world.nodes[i];
        match node.server {
            _ if !up(i) => acts.push(Act::Boot(i)),
            Server::Down if node.hold.as_ref().is_none_or(|h| h.started) => acts.push(Act::Decide(i)),
            Server::Down => {}
            Server::Restoring => acts.push(Act::GiveUp(i)),
            Server::Live { primary: false, .. } => acts.push(Act::Live(i)),
            Server::Live { settled: false, .. } => acts.push(Act::Settle(i)),
            Server::Live { .. } => {}
        }
        if node.hold.as_ref().is_some_and(|h| !orders.contains(&h.order)) {
            acts.push(Act::HoldEnds(i));
        }
        if world.errands > 0 && up(i) && world.primaries().is_empty() {
            acts.push(Act::Errand(i));
        }
        if world.may_force && up(i) && node.data.is_some() && world.leaders.is_empty() {
            acts.push(Act::Force(i));
        }
        let idle = node.server == Server::Down && node.data.is_some() && node.hold.is_none();
        // Beside one that lives, Galera itself would merge both, whatever they have.
        if world.may_begin_by_hand && up(i) && idle && world.nodes.iter().all(|n| n.server == Server::Down) {
            acts.push(Act::ByHand(i));
        }
    }
    if world.faults == 0 {
        return;
    }
    if world.members().any(up) {
        acts.extend([Act::PowerLoss { loses: false }, Act::PowerLoss { loses: true }]);
    }
    acts.extend((0..world.leaders.len()).map(Act::LeaderDies));
    for i in world.members() {
        let node = &world.nodes[i];
        if up(i) {
            acts.extend([Act::Off { member: i, loses: false }, Act::Stop(i)]);
            if !node.flushed {
                acts.push(Act::Off { member: i, loses: true });
            }
            if world.network_fails && world.isolated.is_none() {
                acts.push(Act::Isolate(i));
            }
            if world.agents_fail && world.mute.is_none() {
                acts.push(Act::Mute(i));
            }
            if node.server == Server::Down
                && node.hold.is_none()
                && matches!(rules.decide(world, i), Start::Join { .. })
            {
                acts.extend([false, true].map(|overwritten| Act::JoinFails { member: i, overwritten }));
            }
        } else {
            acts.push(Act::Recreate(i));
            if node.saved.is_some() {
                acts.push(Act::ForgetView(i));
            }
        }
        if node.hold.as_ref().is_some_and(|h| orders.contains(&h.order)) {
            acts.push(Act::HoldEnds(i));
        }
    }
}

/// Whether a member of a primary component has something left to apply.
fn lags(node: &Node) -> bool {
    let told = node.memory.caught_up.map(|c| c.view) == node.saved.as_ref().map(|v| v.id());
    matches!(node.server, Server::Live { primary: true, .. }) && !(node.flushed && told)
}

/// Lets it happen.
pub fn happen(rules: &Rules, world: &mut World, act: &Act) {
    let price = |world: &mut World| world.faults = world.faults.saturating_sub(1);
    match *act {
        Act::Write => write(world),
        Act::Off { member, loses } => {
            price(world);
            off(world, member, loses);
        }
        Act::PowerLoss { loses } => {
            price(world);
            world.power_lost = true;
            // All at the same moment: nobody is left to form another view.
            for node in &mut world.nodes {
                if let Server::Live { primary, .. } = &mut node.server {
                    *primary = false;
                }
            }
            world
                .members()
                .filter(|i| world.nodes[*i].vm == Vm::Up)
                .collect::<Vec<_>>()
                .into_iter()
                .for_each(|i| off(world, i, loses));
        }
        Act::Stop(i) => {
            price(world);
            world.leaders.retain(|l| l.home != i);
            world.stop(i);
            world.nodes[i].vm = Vm::Stopped;
        }
        Act::Boot(i) => {
            world.nodes[i].vm = Vm::Up;
            world.rest(i);
        }
        Act::Recreate(i) => {
            price(world);
            let node = &mut world.nodes[i];
            world.lost_disk |= node.data.is_some();
            (node.data, node.saved, node.memory, node.hold) = (None, None, Memory::default(), None);
            (node.clean, node.safe, node.mixture) = (false, false, false);
            if world.nodes.iter().all(|n| n.data.is_none()) {
                // The only copy there ever was is gone, and with it all that could tell of it.
                world.acknowledged.clear();
            }
        }
        Act::ForgetView(i) => {
            price(world);
            world.nodes[i].saved = None;
            // Beside a member that is empty nothing else tells what that one had.
            world.lost_disk |= world.nodes.iter().any(|n| n.data.is_none());
        }
        Act::Isolate(i) => {
            price(world);
            world.isolated = Some(i);
            world.network_changed();
        }
        Act::Heal => {
            world.isolated = None;
            world.network_changed();
        }
        Act::Decide(i) => {
            world.begun_in_maintenance |= world.maintained && !rules.decide(world, i).stands();
            decide(rules, world, i);
        }
        Act::JoinFails { member, overwritten } => {
            price(world);
            if let Start::Join { lineage, because, .. } = rules.decide(world, member) {
                begin_join(world, member, &lineage, &because);
                let node = &mut world.nodes[member];
                (node.clean, node.safe, node.mixture) = (false, false, overwritten);
                if overwritten {
                    node.memory.overwritten(None);
                    // What is written is on disk here.
                    node.memory.on_disk();
                    node.data = node.data.as_ref().map(|_| Vec::new());
                }
            }
        }
        Act::Live(i) => {
            let leads = world.leaders.iter().any(|l| l.home == i);
            let found = rules.without_primary(world, i);
            world.begun_in_maintenance |= world.maintained && !matches!(found, ByItself::Wait(_));
            match found {
                ByItself::Begin(_) if !leads => lead(world, i, None),
                ByItself::End(_) => {
                    world.stop(i);
                    world.nodes[i].saved = None;
                }
                ByItself::Begin(_) | ByItself::Wait(_) => {}
            }
        }
        Act::GiveUp(i) => {
            world.nodes[i].server = Server::Down;
            set_view_aside(world, i);
        }
        Act::Settle(i) => world.settle(i),
        Act::Apply => {
            let late: Vec<usize> = world.members().filter(|i| lags(&world.nodes[*i])).collect();
            for i in late {
                world.nodes[i].flushed = true;
                world.nodes[i].memory.joined();
                // Whoever knows how its component came about goes on to know it in each view that grows out of it.
                if matches!(world.nodes[i].server, Server::Live { settled: true, .. }) {
                    world.settle(i);
                }
            }
        }
        Act::Lead(at) => step(rules, world, at),
        Act::LeaderDies(at) => {
            price(world);
            world.leaders.remove(at);
        }
        Act::HoldEnds(i) => {
            if world.leaders.iter().any(|l| world.nodes[i].hold.as_ref().is_some_and(|h| h.order == l.order)) {
                price(world);
            }
            world.nodes[i].hold = None;
        }
        Act::Errand(i) => {
            world.errands -= 1;
            lead(world, i, None);
        }
        Act::Force(i) => {
            world.may_force = false;
            if let Some(force) = rules.suggested(world, i) {
                lead(world, i, Some(force));
            }
        }
        Act::ByHand(i) => {
            world.may_begin_by_hand = false;
            decided(world, i, &[]);
            // Nobody else knows, nor is asked; what is promised is that nothing is overwritten by it.
            world.second = true;
            world.nodes[i].began_at = world.nodes[i].data.as_ref().map(|d| d.len() as u64);
            world.nodes[i].memory.starts(false);
            // Its connection to the group is another one.
            world.nodes[i].memory.explained_as = Some(Uuid::NIL);
            world.form(1 << i);
        }
        Act::Mute(i) => {
            price(world);
            world.mute = Some(i);
        }
        Act::Unmute => world.mute = None,
    }
    if !rules.fences {
        // Whoever decides orders at once.
        for at in 0..world.leaders.len() {
            let leader = world.leaders[at].clone();
            if !leader.to_hold.is_empty() {
                let proof = rules.proof(world, &leader, Fence::WouldHold).ok();
                let ordered = proof.and_then(|proof| ordered(&proof, next_id(world)));
                world.leaders[at] = Leader { to_hold: Vec::new(), ordered, ..leader };
            }
        }
    }
}

/// Whether somebody who is up, connected and undamaged can still get somewhere. What a person forced,
/// maintenance, a lost disk, a VM that is off or cut off, and a hold that has not ended yet, are reasons to stand.
pub fn goes_on(rules: &Rules, world: &World) -> bool {
    // An empty disk beside a view that ended before anybody had settled in it tells nothing of what it had.
    let newest =
        world.nodes.iter().filter_map(|n| n.saved.as_ref().or(n.memory.last_view.as_ref())).max_by_key(|v| v.seq);
    let settled_in =
        |view: &SavedView| world.nodes.iter().any(|n| n.memory.caught_up.is_some_and(|c| c.view == view.id()));
    let empty = world.nodes.iter().any(|n| n.data.is_none());
    let excused = world.decided
        || world.mute.is_some()
        || world.nodes.iter().any(lags)
        || world.maintained
        || world.lost_disk
        || empty && newest.is_some_and(|view| !settled_in(view))
        || world.isolated.is_some()
        || !world.leaders.is_empty()
        || world.nodes.iter().any(|n| {
            let settles = matches!(n.server, Server::Live { primary: true, settled: false, .. });
            n.vm != Vm::Up || n.hold.is_some() || n.server == Server::Restoring || settles
        });
    if excused {
        return true;
    }
    let primary = !world.primaries().is_empty();
    let mut standing_still =
        world.members().filter(|i| !matches!(world.nodes[*i].server, Server::Live { primary: true, .. }));
    let moves = |i: usize| match world.nodes[i].server {
        Server::Live { .. } => !matches!(rules.without_primary(world, i), ByItself::Wait(_)),
        _ => !rules.decide(world, i).stands(),
    };
    if primary { standing_still.all(moves) } else { standing_still.any(moves) }
}

fn write(world: &mut World) {
    let Some(members) = world.primaries().first().copied() else { return };
    world.writes -= 1;
    let id = world.next;
    world.next += 1;
    world.acknowledged.push(id);
    for (at, i) in in_set(members).enumerate() {
        let node = &mut world.nodes[i];
        node.data.get_or_insert_default().push(id);
        // The one that answered the client has it on disk.
        node.flushed = at == 0;
    }
}

fn off(world: &mut World, i: usize, loses: bool) {
    world.leaders.retain(|l| l.home != i);
    world.crash(i, loses);
    world.nodes[i].vm = Vm::Off;
}

/// An order that nobody has, nor remembers.
fn next_order(world: &World) -> Uuid {
    let known = |order: &Uuid| {
        world.leaders.iter().any(|l| l.order == *order)
            || world.nodes.iter().any(|n| n.hold.as_ref().is_some_and(|h| h.order == *order))
    };
    (1000..).map(Uuid::from_u128).find(|order| !known(order)).unwrap()
}

/// An incarnation's id that nobody has, nor remembers.
fn next_id(world: &World) -> Uuid {
    let remembers = |memory: &Memory, id: &Uuid| {
        memory.lineage.has(*id)
            || memory.incarnation == Some(*id)
            || memory.beginning.as_ref().is_some_and(|b| b.id == *id)
            || memory.announced.iter().any(|a| a.id == *id)
            || memory.joining.as_ref().is_some_and(|j| j.incarnation == Some(*id))
    };
    let known = |id: &Uuid| {
        world.leaders.iter().any(|l| l.ordered.as_ref().is_some_and(|(_, begin, _)| begin.id == *id))
            || world.nodes.iter().any(|n| remembers(&n.memory, id))
    };
    (2..).map(Uuid::from_u128).find(|id| !known(id)).unwrap()
}

fn position(world: &World, i: usize) -> Option<Position> {
    standing(&world.nodes[i]).position()
}

/// A person begins something from member `i`, and gives up what the named members have and this one has not.
fn decided(world: &mut World, i: usize, accepted: &[String]) {
    world.decided = true;
    // Nor does a majority that is left out know of it: it may go on by itself.
    let left_out =
        world.members().filter(|j| accepted.contains(&format!("mysql/{j}")) && world.nodes[*j].data.is_some());
    let majority = 2 * left_out.count() > world.nodes.len();
    world.second |= majority;
    let kept = world.nodes[i].data.clone().unwrap_or_default();
    let given_up: Vec<u8> = world.acknowledged.iter().filter(|c| !kept.contains(c)).copied().collect();
    let named = |j: usize| accepted.contains(&format!("mysql/{j}"));
    // Whoever has it, and whoever has lost a disk that may have had it.
    let has = |j: usize, c: &u8| world.nodes[j].data.as_ref().is_some_and(|d| d.contains(c));
    let unnamed = |c: &u8| world.members().any(|j| j != i && has(j, c) && !named(j));
    world.unnamed |= !accepted.is_empty() && given_up.iter().any(unnamed);
    world.acknowledged.retain(|c| kept.contains(c));
}

fn set_view_aside(world: &mut World, i: usize) {
    let node = &mut world.nodes[i];
    if let Some(view) = node.saved.take() {
        node.memory.was_in(view);
    }
}

fn begin_join(world: &mut World, i: usize, lineage: &Lineage, because: &MayJoin) {
    if !because.covered() {
        // Set aside: whatever it had is kept, and it comes with nothing.
        world.nodes[i].data = None;
        world.nodes[i].memory.abandon();
    }
    let from = position(world, i);
    set_view_aside(world, i);
    let memory = &mut world.nodes[i].memory;
    memory.begin_join(from, lineage, None, None);
    memory.starts(false);
    memory.runs(OURS);
}

fn decide(rules: &Rules, world: &mut World, i: usize) {
    match rules.decide(world, i) {
        Start::Join { lineage, because, .. } => {
            begin_join(world, i, &lineage, &because);
            let seen = world.primaries().into_iter().find(|p| in_set(*p).any(|j| world.connected(i, j)));
            if let Some(group) = seen {
                let near = in_set(group).filter(|j| world.connected(i, *j)).fold(0, |set: Members, j| set | 1 << j);
                world.form(near | 1 << i);
            }
        }
        Start::Restore { .. } => {
            let node = &mut world.nodes[i];
            if let Some(view) = node.saved.clone() {
                node.memory.was_in(view);
            }
            node.memory.starts(true);
            node.memory.runs(OURS);
            node.server = Server::Restoring;
            world.merge();
        }
        Start::Found(_) => {
            let node = &mut world.nodes[i];
            node.memory.found();
            node.memory.starts(true);
            node.memory.runs(OURS);
            node.data.get_or_insert_default();
            world.form(1 << i);
        }
        Start::Recover(_) => {
            if world.leaders.iter().all(|l| l.home != i) {
                lead(world, i, None);
            }
        }
        Start::Refuse(MayNotJoin::AheadOfCluster { parted_at, .. }) => {
            let passed = Position::new(World::history(), parted_at);
            world.nodes[i].memory.supersede(passed);
        }
        Start::Wait(_) | Start::NotYet(_) | Start::Refuse(_) => {}
    }
}

/// A member, or an errand on it, begins to bring the cluster back.
fn lead(world: &mut World, home: usize, force: Option<Force>) {
    let to_hold = world.members().filter(|j| reaches(world, home, *j)).collect();
    let order = next_order(world);
    world.leaders.push(Leader { home, order, to_hold, held: Vec::new(), ordered: None, force });
}

fn reaches(world: &World, home: usize, i: usize) -> bool {
    world.heard(home, i) && world.nodes[i].vm == Vm::Up
}

/// The leader's next message, or its next look.
fn step(rules: &Rules, world: &mut World, at: usize) {
    let mut leader = world.leaders[at].clone();
    if !leader.to_hold.is_empty() {
        let i = leader.to_hold.remove(0);
        let asked = Hold {
            order: leader.order,
            owner: String::new(),
            reason: String::new(),
            seconds: 30,
            bootstrapped: false,
            started: false,
        };
        match grant(world.nodes[i].hold.as_ref(), asked) {
            Ok(hold) if reaches(world, leader.home, i) => {
                world.nodes[i].hold = Some(hold);
                leader.held.push(i);
                world.leaders[at] = leader;
            }
            _ => release(world, at),
        }
        return;
    }
    match leader.ordered.take() {
        None => {
            leader.ordered = look(rules, world, &leader);
            if leader.ordered.is_some() {
                world.leaders[at] = leader;
            } else {
                release(world, at);
            }
        }
        Some((i, begin, promote)) => {
            obey(rules, world, &leader, i, &begin, promote);
            release(world, at);
        }
    }
}

/// All are held: looks again, stops what must be stopped, and decides.
fn look(rules: &Rules, world: &mut World, leader: &Leader) -> Option<(usize, Begin, bool)> {
    if rules.proof(world, leader, Fence::WouldHold).ok()?.way() == Way::Bootstrap {
        for i in leader.held.iter().copied().filter(|i| reaches(world, leader.home, *i)).collect::<Vec<_>>() {
            world.stop(i);
        }
    }
    let proof = rules.proof(world, leader, Fence::HeldBy(leader.order)).ok()?;
    let ordered = ordered(&proof, next_id(world))?;
    // One that lives where nobody can look is nobody's fault; one whose ports are open is seen, whatever its agent does.
    let out_of_sight = |group: &Members| in_set(*group).all(|j| !world.connected(ordered.0, j));
    world.second |= leader.force.is_some() && world.primaries().iter().any(out_of_sight);
    announce(world, leader, &ordered)?;
    Some(ordered)
}

/// All others that are held are told, or nothing is begun. In one step: whoever is told while nothing comes of it only waits.
fn announce(world: &mut World, leader: &Leader, (by, begin, promote): &(usize, Begin, bool)) -> Option<()> {
    let (next, past) = begin.incarnation(&format!("mysql/{by}"), &begin.past, "galera");
    let lineage = past.with(Incarnation { proof: String::new(), ..next });
    let known_as = promote.then(|| uuid(*by));
    for j in leader.held.iter().copied().filter(|j| j != by) {
        let held = world.nodes[j].hold.as_ref().is_some_and(|h| h.order == leader.order);
        if !held || !reaches(world, leader.home, j) {
            return None;
        }
        world.nodes[j].memory.hear(Announced { id: begin.id, by: companion(*by), known_as, lineage: lineage.clone() });
    }
    Some(())
}

fn ordered(proof: &Proof, id: Uuid) -> Option<(usize, Begin, bool)> {
    Some((index_of(proof.member()), Begin::by(proof, id)?, proof.way() == Way::Promote))
}

/// The order to begin arrives, however late.
fn obey(rules: &Rules, world: &mut World, leader: &Leader, i: usize, begin: &Begin, promote: bool) {
    let mode = if promote { OrderedStart::Promote } else { OrderedStart::Bootstrap };
    let Ok(consumed) = (rules.consume)(world.nodes[i].hold.as_ref(), leader.order, mode) else { return };
    let ready = match world.nodes[i].server {
        Server::Down => !promote,
        Server::Live { primary, .. } => promote && !primary,
        Server::Restoring => false,
    };
    if reaches(world, leader.home, i) && ready && position(world, i) == begin.expect {
        world.nodes[i].hold = Some(consumed);
        if let Some(force) = &leader.force {
            decided(world, i, &force.accept_missing);
        }
        begin_incarnation(rules, world, i, begin, promote);
    }
}

fn begin_incarnation(rules: &Rules, world: &mut World, i: usize, begin: &Begin, promote: bool) {
    set_view_aside(world, i);
    let memory = &mut world.nodes[i].memory;
    let (next, past) = begin.incarnation(&format!("mysql/{i}"), &memory.lineage, "galera");
    let group = if rules.own_group { next.group } else { past.group().map(str::to_owned) };
    memory.intend(Incarnation { proof: String::new(), group, ..next }, past, false);
    if promote {
        memory.promotes();
    } else {
        memory.starts(true);
        memory.runs(OURS);
    }
    let members = match world.nodes[i].server {
        Server::Live { group, .. } if promote => group,
        _ => 1 << i,
    };
    world.form(members);
    if promote {
        world.mark_as_made_primary(members);
    }
    world.merge();
}

/// Gives back what can be reached; the rest ends by itself.
fn release(world: &mut World, at: usize) {
    let leader = world.leaders.remove(at);
    for i in leader.held {
        let ours = world.nodes[i].hold.as_ref().is_some_and(|h| h.order == leader.order);
        if ours && reaches(world, leader.home, i) {
            world.nodes[i].hold = None;
        }
    }
}

impl World {
    /// What follows Synced: how the component came about, and its lineage.
    pub fn settle(&mut self, i: usize) {
        let Server::Live { group, primary: true, .. } = self.nodes[i].server else { return };
        let heard = in_set(group).filter(|j| self.heard(i, *j));
        let inside: Vec<Observation> = heard.map(|j| observation(self, j)).collect();
        let seen: Vec<&Observation> = inside.iter().collect();
        let name = format!("mysql/{i}");
        let own = self.nodes[i].memory.lineage_as_primary();
        let Some(position) = position(self, i) else { return };
        let lineage = match origin(&name, &seen) {
            Origin::Unknown(_) => return,
            Origin::Theirs(theirs) => theirs,
            Origin::BegunByHand(_) => own.with(self.begun_by_hand(i)),
            Origin::Explained(theirs) => match one_past([&own, &theirs]) {
                Err(_) => return,
                Ok(past) if past.is_empty() => past.with(first_incarnation()),
                Ok(past) => past,
            },
        };
        let node = &mut self.nodes[i];
        node.began_at = None;
        let settled = Settled {
            lineage,
            position,
            view: node.saved.clone(),
            known_as: Some(uuid(i)),
            process: None,
            applied_before: node
                .saved
                .as_ref()
                .filter(|_| node.flushed)
                .map(|view| CaughtUp { view: view.id(), position }),
            members: company(&name, &seen),
            expected: (0..8).map(|j| companion(j).id).collect(),
        };
        node.memory.settle(settled);
        if node.flushed {
            // What was committed some seconds ago is on disk.
            node.memory.stood(position);
        }
        if let Server::Live { settled, .. } = &mut node.server {
            *settled = true;
        }
    }
}

impl World {
    fn begun_by_hand(&self, i: usize) -> Incarnation {
        let id = next_id(self);
        let node = &self.nodes[i];
        node.memory.lineage.next(id, World::history(), node.began_at.unwrap_or_default(), "")
    }

    /// What a supervisor finds of a member that is down.
    fn rest(&mut self, i: usize) {
        if self.nodes[i].server == Server::Down {
            let saved = self.nodes[i].saved.clone();
            self.nodes[i].memory.rested(saved.as_ref());
        }
        if self.nodes[i].began_at.is_some() && self.nodes[i].server == Server::Down {
            let incarnation = self.begun_by_hand(i);
            let saved = self.nodes[i].saved.clone();
            self.nodes[i].memory.record(incarnation, None, saved.as_ref());
            self.nodes[i].began_at = None;
        }
    }
}

fn first_incarnation() -> Incarnation {
    Incarnation {
        number: 1,
        id: World::history(),
        history: World::history(),
        began_at: 0,
        by: String::new(),
        at: String::new(),
        proof: String::new(),
        left_out: Vec::new(),
        group: None,
    }
}
