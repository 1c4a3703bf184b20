use stateright::{Checker, HasDiscoveries};

use super::protocol::{Act, happen};
use super::*;
use crate::cluster::memory::{CaughtUp, Memory};
use crate::cluster::observation::Sight;
use crate::cluster::situation::*;
use crate::cluster::standing::{Standing, Unknown};

/// Every property that some way through the model breaks, with that way: all ways are tried.
fn broken(begin: World, rules: Rules) -> Vec<String> {
    let model = Protocol { rules, begin };
    failures(&model.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join())
}

fn failures(checker: &impl Checker<Protocol>) -> Vec<String> {
    let failures = checker.discoveries().into_iter().filter(|(name, _)| *name != A_PRIMARY_COMES);
    failures.map(|(name, path)| format!("{name}: {:?}", path.into_actions())).collect()
}

/// The first property that so many random ways break, with the way.
fn walked(begin: &World, ways: u64) -> Option<String> {
    let model = Protocol { rules: Rules::PRODUCTION, begin: begin.clone() };
    (0..ways).find_map(|way| {
        let (mut world, mut acts, mut dice) = (begin.clone(), Vec::new(), way);
        for _ in 0..100 {
            let mut possible = Vec::new();
            model.actions(&world, &mut possible);
            if possible.is_empty() {
                return None;
            }
            // Knuth's MMIX generator; the upper half of its state is random enough.
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let act = possible.swap_remove((dice >> 33) as usize % possible.len());
            world = model.next_state(&world, act.clone()).unwrap_or(world);
            acts.push(act);
            let always = model.properties().into_iter().filter(|p| p.name != A_PRIMARY_COMES);
            if let Some(broken) = always.into_iter().find(|p| !(p.condition)(&model, &world)) {
                return Some(format!("{}: {acts:?}", broken.name));
            }
        }
        None
    })
}

/// A world in which this has happened, at no price.
fn after(mut world: World, acts: &[Act]) -> World {
    let faults = world.faults;
    for act in acts {
        world.faults += 1;
        happen(&Rules::PRODUCTION, &mut world, act);
    }
    world.faults = faults;
    world
}

fn off(member: usize) -> Act {
    Act::Off { member, loses: false }
}

fn powered_on() -> Vec<Act> {
    let mut acts = vec![POWER_LOSS];
    acts.extend((0..3).flat_map(|i| [Act::ForgetView(i), Act::Boot(i)]));
    acts
}

/// An errand's order to mysql/0 is on its way when all holds of it end.
fn late_order() -> Vec<Act> {
    let mut acts = vec![Act::Errand(2), Act::Lead(0), Act::Lead(0), Act::Lead(0), Act::Lead(0)];
    acts.extend((0..3).map(Act::HoldEnds));
    // What was ordered happens without it.
    acts.push(Act::Decide(0));
    acts.extend((0..5).map(|_| Act::Lead(1)));
    acts
}

const POWER_LOSS: Act = Act::PowerLoss { loses: false };

#[test]
fn g9_h12_h13_two_faults_and_whatever_follows_break_nothing() {
    // Crashes, stops, power losses, cuts, recreated members, lost views, joins that fail, dead leaders and
    // holds that end early; after each of them everything that can happen, in every order.
    assert_eq!(broken(World::healthy(3, 2, 1), Rules::PRODUCTION), [""; 0]);
    assert_eq!(broken(World::healthy(3, 1, 1).with_errands(1), Rules::PRODUCTION), [""; 0]);
}

#[test]
fn q11_g14_nor_does_a_forced_bootstrap_with_a_fault_before_or_after() {
    assert_eq!(broken(World::healthy(3, 1, 1).with_force(), Rules::PRODUCTION), [""; 0]);
}

#[test]
fn h1_in_maintenance_nothing_is_begun_by_itself_whatever_fails() {
    assert_eq!(broken(World::healthy(3, 3, 1).in_maintenance(), Rules::PRODUCTION), [""; 0]);
    assert_eq!(broken(World::empty(3, 1, 0).in_maintenance(), Rules::PRODUCTION), [""; 0]);
}

#[test]
fn q17_nor_do_faults_while_a_cluster_is_made() {
    assert_eq!(broken(World::empty(3, 1, 1), Rules::PRODUCTION), [""; 0]);
}

#[test]
fn g9_h12_h13_five_members_walked_at_random_break_nothing() {
    for begin in [World::healthy(5, 4, 2).with_errands(1), World::healthy(4, 3, 2).with_force()] {
        assert_eq!(walked(&begin, 3_000), None);
    }
}

/// For hours, not for each change: `ci/model` runs it.
#[test]
#[ignore = "takes long; ci/model runs it"]
fn g9_h12_h13_more_faults_break_nothing() {
    for begin in [
        World::empty(3, 2, 1),
        World::healthy(3, 2, 1).with_errands(1),
        World::healthy(3, 2, 1).with_force(),
        World::healthy(3, 3, 1),
    ] {
        assert_eq!(broken(begin, Rules::PRODUCTION), [""; 0]);
    }
    for members in [3, 4, 5] {
        assert_eq!(walked(&World::healthy(members, 6, 3).with_errands(2).with_force(), 200_000), None);
    }
}

#[test]
fn s2_after_a_power_loss_a_primary_component_comes() {
    let model = Protocol { rules: Rules::PRODUCTION, begin: World::healthy(3, 1, 0) };
    model.checker().spawn_bfs().join().assert_any_discovery(A_PRIMARY_COMES);
}

/// One line for each rule that is taken away: what is left of it, where it begins, and what breaks.
#[test]
fn g9_h12_h13_q10_each_rule_that_is_taken_away_is_missed() {
    let whole = || World::healthy(3, 2, 2);
    let forced = || World::healthy(3, 1, 2).with_force();
    let rules = Rules::PRODUCTION;
    for (rule, rules, begin, breaks) in [
        ("who is not seen may be ahead", Rules { sees: unseen_is_behind, ..rules.clone() }, whole(), TWO),
        (
            "an empty disk may have had more",
            Rules { sees: empty_is_behind, ..rules.clone() },
            after(whole(), &[Act::Isolate(0), Act::Write]),
            BEHIND,
        ),
        (
            "who left gracefully is not of the view any more",
            Rules { sees: nobody_left, ..rules.clone() },
            after(whole(), &[Act::Isolate(0), Act::Apply, Act::Stop(1), Act::Heal]),
            TWO,
        ),
        ("a view says nothing of what came before it", Rules { sees: all_caught_up, ..rules.clone() }, whole(), BEHIND),
        (
            "a closed port is no empty disk",
            Rules { sees: refused_is_empty, ..rules.clone() },
            after(whole(), &[Act::Stop(0), Act::Stop(1), Act::Stop(2)]),
            BEHIND,
        ),
        (
            "lineage before a join",
            Rules { sees: no_lineage, ..rules.clone() },
            after(forced(), &[Act::Isolate(2), Act::Write, POWER_LOSS, Act::Boot(2)]),
            WIPED,
        ),
        (
            "the others are held, and looked at again",
            Rules { fences: false, consume: any_order, ..rules.clone() },
            after(whole(), &powered_on()).with_errands(1),
            TWO,
        ),
        (
            "an order is of the hold, and good for once",
            Rules { consume: any_order, ..rules.clone() },
            after(after(whole(), &powered_on()).with_errands(1), &late_order()),
            TWO,
        ),
        (
            "maintenance",
            Rules { sees: no_maintenance, ..rules.clone() },
            World::healthy(3, 2, 0).in_maintenance(),
            LEFT_ALONE,
        ),
        (
            "what was left out is kept out",
            Rules { own_group: false, ..rules.clone() },
            after(forced(), &[Act::Isolate(2), Act::Write, off(0)]),
            WIPED,
        ),
    ] {
        let broken = broken(begin, rules);
        eprintln!("{rule}: {broken:?}");
        assert!(broken.iter().any(|b| b.starts_with(breaks)), "nobody misses the rule `{rule}`: {broken:?}");
    }
}

fn seen_as(view: MemberView, change: impl FnOnce(&mut Observation)) -> MemberView {
    let sight = match view.sight {
        Sight::Seen(mut o) => {
            change(&mut o);
            Sight::Seen(o)
        }
        other => other,
    };
    MemberView { sight, ..view }
}

fn stands_in(view: MemberView, o: Observation, fence: Fence) -> MemberView {
    let o = match fence {
        Fence::HeldBy(order) => o.held().with(|o| o.hold_by(order)),
        Fence::WouldHold => o,
    };
    MemberView { sight: Sight::Seen(Box::new(o)), ..view }
}

fn unseen_is_behind(view: MemberView, fence: Fence) -> MemberView {
    let behind = down(view.member.index, 0);
    if view.seen().is_some() { view } else { stands_in(view, behind, fence) }
}

fn refused_is_empty(view: MemberView, fence: Fence) -> MemberView {
    let nothing = empty(view.member.index);
    if view.sight == Sight::Refused { stands_in(view, nothing, fence) } else { view }
}

fn empty_is_behind(view: MemberView, _: Fence) -> MemberView {
    let n = view.member.index;
    seen_as(view, |o| {
        if matches!(o.position, Standing::Empty | Standing::Unknown { why: Unknown::DataGone, .. }) {
            o.position = down(n, 0).position;
        }
    })
}

fn nobody_left(view: MemberView, _: Fence) -> MemberView {
    seen_as(view, |o| o.memory.left = false)
}

fn all_caught_up(view: MemberView, _: Fence) -> MemberView {
    seen_as(view, |o| {
        let last = o.last_view().map(|v| v.id());
        o.memory.caught_up = last.zip(o.position.position()).map(|(view, position)| CaughtUp { view, position });
    })
}

fn no_lineage(view: MemberView, _: Fence) -> MemberView {
    seen_as(view, |o| {
        o.memory = Memory { lineage: lineage(&[(1, 0)]), incarnation: Some(Uuid::from_u128(1)), ..o.memory.clone() };
    })
}

fn no_maintenance(view: MemberView, _: Fence) -> MemberView {
    seen_as(view, |o| *o = crate::cluster::maintenance::lifted(o))
}

fn any_order(_: Option<&Hold>, order: Uuid, _: OrderedStart) -> Result<Hold, Refusal> {
    Ok(Hold { order, owner: String::new(), reason: String::new(), seconds: 30, bootstrapped: true, started: true })
}
