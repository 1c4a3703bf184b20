//! A model of the protocol, checked exhaustively within bounds: what members decide, hold and begin, while
//! they crash, are stopped, cut off, recreated and forced. It holds only the world; every judgement is made by
//! the functions that production calls.
//!
//! What is simplified: agents are asked and members act in one step, except for the leader of a recovery,
//! whose every message is a step of its own; a join either succeeds at once or never begins; members keep
//! their UUID in the group for ever.

mod galera;
mod protocol;
mod sight;
mod world;

use stateright::{Model, Property};

use self::protocol::Act;
use self::world::{Leader, World};
use super::bootstrap::{Evidence, Fence, Force, NoProof, Proof, forced, proof};
use super::hold::{self, Hold, OrderedStart, Refusal};
use super::member::{Cluster, Member};
use super::observation::{MemberView, Observation};
use super::situation::cluster;
use super::start::{self, AutoRecovery, ByItself, Start, Waits};
use crate::galera::uuid::Uuid;

/// What is not production's own judgement, so that a test can put something weaker in its place and see that
/// the checker bites.
#[derive(Clone)]
pub struct Rules {
    /// What a decider takes from what it sees of one member, itself included.
    sees: fn(MemberView, Fence) -> MemberView,
    /// Whether an order to begin may be carried out.
    consume: fn(Option<&Hold>, Uuid, OrderedStart) -> Result<Hold, Refusal>,
    /// Whether the leader holds the others, and looks again, before it begins.
    fences: bool,
    /// Whether a forced bootstrap that leaves somebody out begins a group of its own.
    own_group: bool,
}

impl Rules {
    const PRODUCTION: Rules = Rules { sees: |view, _| view, consume: hold::consume, fences: true, own_group: true };

    fn cluster(world: &World) -> Cluster {
        cluster(u32::try_from(world.nodes.len()).unwrap())
    }

    fn views(&self, views: Vec<MemberView>, fence: Fence) -> Vec<MemberView> {
        views.into_iter().map(|view| (self.sees)(view, fence)).collect()
    }

    /// Member `i` and what it sees of the others.
    fn asked(&self, world: &World, i: usize) -> Option<(Member, Observation, Vec<MemberView>)> {
        let views = self.views(sight::all(world, i), Fence::WouldHold);
        let own = views.iter().position(|v| v.member.index as usize == i)?;
        let (me, observed) = (views[own].member.clone(), views[own].seen()?.clone());
        Some((me, observed, views.into_iter().filter(|v| v.member.index as usize != i).collect()))
    }

    fn decide(&self, world: &World, i: usize) -> Start {
        match self.asked(world, i) {
            Some((me, own, others)) => {
                start::decide(&Rules::cluster(world), AutoRecovery::Provable, &me, &own, &others)
            }
            None => Start::Wait(String::new()),
        }
    }

    fn without_primary(&self, world: &World, i: usize) -> ByItself {
        match self.asked(world, i) {
            Some((me, own, others)) => {
                start::without_primary(&Rules::cluster(world), AutoRecovery::Provable, &me, &own, &others)
            }
            None => ByItself::Wait(Waits::default()),
        }
    }

    /// What a person would run who goes on from this member, as a page says it: everybody is named who must be.
    fn suggested(&self, world: &World, i: usize) -> Option<Force> {
        let (cluster, views) = (Rules::cluster(world), self.views(sight::all(world, i), Fence::WouldHold));
        let force = Force { node: format!("mysql/{i}"), ..Force::default() };
        match forced(&Evidence::of(&cluster, &views, Fence::WouldHold), &force) {
            Ok(_) => Some(force),
            Err(NoProof::MustAccept(missing)) => {
                Some(Force { accept_missing: missing.into_iter().map(|(name, _)| name).collect(), ..force })
            }
            Err(_) => None,
        }
    }

    fn proof(&self, world: &World, leader: &Leader, fence: Fence) -> Result<Proof, NoProof> {
        let (cluster, views) = (Rules::cluster(world), self.views(sight::all(world, leader.home), fence));
        let evidence = Evidence::of(&cluster, &views, fence);
        match &leader.force {
            Some(force) => forced(&evidence, force),
            None => proof(&evidence),
        }
    }
}

const TWO: &str = "one primary component at most";
const BEHIND: &str = "every primary has all that was acknowledged";
const WIPED: &str = "nobody's own commits are wiped";
const NAMED: &str = "what a person gives up was named";
const WAITS: &str = "nobody waits for ever";
const LEFT_ALONE: &str = "in maintenance nothing is begun by itself";
const A_PRIMARY_COMES: &str = "a primary after a power loss";

/// The protocol with these rules, from this world on.
#[derive(Clone)]
pub struct Protocol {
    rules: Rules,
    begin: World,
}

impl Model for Protocol {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        vec![self.begin.clone()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Act>) {
        protocol::possible(&self.rules, world, actions);
    }

    fn next_state(&self, before: &World, act: Act) -> Option<World> {
        let mut after = before.clone();
        protocol::happen(&self.rules, &mut after, &act);
        (after != *before).then_some(after)
    }

    fn properties(&self) -> Vec<Property<Protocol>> {
        vec![
            // H12, H11: two elections, or two writers.
            Property::always(TWO, |_: &Protocol, world: &World| world.second || world.primaries().len() <= 1),
            // G2, G10, H13: no bootstrap behind a commit that a client was told of, and that no person gave up.
            Property::always(BEHIND, |_: &Protocol, world: &World| {
                world.second || world.primaries().iter().all(|members| world.has_all_acknowledged(*members))
            }),
            // A1, A4, A10: a person loses nothing but what that person named.
            Property::always(NAMED, |_: &Protocol, world: &World| !world.unnamed),
            // Q10, G14: also after a person forced a bootstrap elsewhere.
            Property::always(WIPED, |_: &Protocol, world: &World| !world.wiped),
            // G8, G16: whoever is up, connected and not damaged gets somewhere.
            Property::always(WAITS, |model: &Protocol, world: &World| protocol::goes_on(&model.rules, world)),
            // H1: whatever fails meanwhile.
            Property::always(LEFT_ALONE, |_: &Protocol, world: &World| !world.begun_in_maintenance),
            Property::sometimes(A_PRIMARY_COMES, |_: &Protocol, world: &World| {
                world.power_lost && !world.primaries().is_empty()
            }),
        ]
    }
}

#[cfg(test)]
mod tests;
