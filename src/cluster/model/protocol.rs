//! What can happen: faults, each at a price, and what members, leaders and Galera do by themselves.

use super::Rules;
use super::sight::{index_of, standing};
use super::world::{Leader, Members, Node, Server, Vm, World, in_set};
use crate::cluster::bootstrap::{Fence, Force, Proof, Way};
use crate::cluster::hold::{Begin, Hold, OrderedStart, grant};
use crate::cluster::lineage::{Incarnation, Lineage, group_apart};
use crate::cluster::memory::Memory;
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
    /// It decides to join, and the component is gone before it gets there.
    JoinFails(usize),
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
    if world.nodes.iter().any(lags) {
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
        if world.may_force && up(i) && world.primaries().is_empty() && node.data.is_some() && world.leaders.is_empty() {
            acts.push(Act::Force(i));
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
            if world.isolated.is_none() {
                acts.push(Act::Isolate(i));
            }
            if node.server == Server::Down
                && node.hold.is_none()
                && matches!(rules.decide(world, i), Start::Join { .. })
            {
                acts.push(Act::JoinFails(i));
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
        Act::Boot(i) => world.nodes[i].vm = Vm::Up,
        Act::Recreate(i) => {
            price(world);
            let node = &mut world.nodes[i];
            world.lost_disk |= node.data.is_some();
            (node.data, node.saved, node.memory, node.hold) = (None, None, Memory::default(), None);
            (node.clean, node.safe) = (false, false);
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
            let stands = matches!(rules.decide(world, i), Start::Wait(_) | Start::Refuse(_));
            world.begun_in_maintenance |= world.maintained && !stands;
            decide(rules, world, i);
        }
        Act::JoinFails(i) => {
            price(world);
            if let Start::Join { lineage, .. } = rules.decide(world, i) {
                begin_join(world, i, &lineage);
                (world.nodes[i].clean, world.nodes[i].safe) = (false, false);
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
        Act::Settle(i) => settle(world, i),
        Act::Apply => world
            .members()
            .filter(|i| lags(&world.nodes[*i]))
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|i| world.apply(i)),
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
            (world.may_force, world.forced) = (false, true);
            let accept_missing = world.members().filter(|j| *j != i).map(|j| format!("mysql/{j}")).collect();
            lead(world, i, Some(Force { node: format!("mysql/{i}"), accept_missing }));
        }
    }
    if !rules.fences {
        // Whoever decides orders at once.
        for at in 0..world.leaders.len() {
            let leader = world.leaders[at].clone();
            if !leader.to_hold.is_empty() {
                let ordered = rules.proof(world, &leader, Fence::WouldHold).ok().and_then(|proof| ordered(&proof));
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
    let excused = world.forced
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
        _ => !matches!(rules.decide(world, i), Start::Wait(_) | Start::Refuse(_)),
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

fn next_id(world: &mut World) -> Uuid {
    world.ids += 1;
    Uuid::from_u128(u128::from(world.ids))
}

fn position(world: &World, i: usize) -> Option<Position> {
    standing(&world.nodes[i]).position()
}

fn set_view_aside(world: &mut World, i: usize) {
    let node = &mut world.nodes[i];
    if let Some(view) = node.saved.take() {
        node.memory.was_in(view);
    }
}

fn begin_join(world: &mut World, i: usize, lineage: &Lineage) {
    let from = position(world, i);
    set_view_aside(world, i);
    world.nodes[i].memory.begin_join(from, lineage);
}

fn decide(rules: &Rules, world: &mut World, i: usize) {
    match rules.decide(world, i) {
        Start::Join { lineage, .. } => {
            begin_join(world, i, &lineage);
            let seen = world.primaries().into_iter().find(|p| in_set(*p).any(|j| world.connected(i, j)));
            if let Some(group) = seen {
                let near = in_set(group).filter(|j| world.connected(i, *j)).fold(0, |set: Members, j| set | 1 << j);
                world.form(near | 1 << i);
            }
        }
        Start::Restore { .. } => {
            world.nodes[i].server = Server::Restoring;
            world.merge();
        }
        Start::Found(_) => {
            let node = &mut world.nodes[i];
            node.memory.founding = true;
            node.data.get_or_insert_default();
            world.form(1 << i);
        }
        Start::Recover(_) => {
            if world.leaders.iter().all(|l| l.home != i) {
                lead(world, i, None);
            }
        }
        Start::Refuse(_) => world.nodes[i].memory.superseded = true,
        Start::Wait(_) => {}
    }
}

/// A member, or an errand on it, begins to bring the cluster back.
fn lead(world: &mut World, home: usize, force: Option<Force>) {
    let to_hold = world.members().filter(|j| reaches(world, home, *j)).collect();
    let order = next_order(world);
    world.leaders.push(Leader { home, order, to_hold, held: Vec::new(), ordered: None, force });
}

fn reaches(world: &World, home: usize, i: usize) -> bool {
    world.connected(home, i) && world.nodes[i].vm == Vm::Up
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
    ordered(&rules.proof(world, leader, Fence::HeldBy(leader.order)).ok()?)
}

fn ordered(proof: &Proof) -> Option<(usize, Begin, bool)> {
    Some((index_of(proof.member()), Begin::by(proof)?, proof.way() == Way::Promote))
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
    if reaches(world, leader.home, i) && ready && position(world, i) == Some(begin.expect) {
        world.nodes[i].hold = Some(consumed);
        begin_incarnation(rules, world, i, begin, promote);
    }
}

fn begin_incarnation(rules: &Rules, world: &mut World, i: usize, begin: &Begin, promote: bool) {
    let id = next_id(world);
    set_view_aside(world, i);
    let memory = &mut world.nodes[i].memory;
    let incarnation = Incarnation {
        number: memory.lineage.next_number(),
        id,
        history: begin.expect.history(),
        began_at: begin.expect.seqno(),
        by: format!("mysql/{i}"),
        at: String::new(),
        proof: String::new(),
        left_out: begin.left_out.clone(),
        group: if begin.left_out.is_empty() || !rules.own_group {
            memory.lineage.group().map(str::to_owned)
        } else {
            Some(group_apart("galera", id))
        },
    };
    memory.incarnation = Some(id);
    memory.lineage = memory.lineage.with(incarnation);
    memory.last_position = Some(begin.expect);
    (memory.joining, memory.superseded) = (None, false);
    let members = match world.nodes[i].server {
        Server::Live { group, .. } if promote => group,
        _ => 1 << i,
    };
    world.form(members);
    for i in in_set(members) {
        if let Server::Live { settled, .. } = &mut world.nodes[i].server {
            *settled = false;
        }
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

/// What follows Synced: the lineage of the component.
fn settle(world: &mut World, i: usize) {
    let Server::Live { group, primary: true, .. } = world.nodes[i].server else { return };
    let longest = in_set(group)
        .filter(|j| world.connected(i, *j))
        .fold(Lineage::default(), |l, j| l.longer(&world.nodes[j].memory.lineage).clone());
    let longest = if longest.is_empty() {
        longest.with(Incarnation {
            number: 1,
            id: World::history(),
            history: World::history(),
            began_at: 0,
            by: String::new(),
            at: String::new(),
            proof: String::new(),
            left_out: Vec::new(),
            group: None,
        })
    } else {
        longest
    };
    let position = position(world, i);
    let memory = &mut world.nodes[i].memory;
    memory.incarnation = longest.newest().map(|i| i.id);
    memory.lineage = longest;
    (memory.joining, memory.founding, memory.superseded) = (None, false, false);
    memory.last_position = position;
    world.apply(i);
    if let Server::Live { settled, .. } = &mut world.nodes[i].server {
        *settled = true;
    }
}
