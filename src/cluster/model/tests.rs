use stateright::{Checker, HasDiscoveries};

use super::protocol::{Act, happen};
use super::*;
use crate::cluster::memory::{CaughtUp, Remembered};
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

/// mysql/0 was alone in the last primary component, and its host is gone; mysql/2 has a new disk.
fn left_last_and_lost() -> Vec<Act> {
    vec![Act::Stop(1), Act::Stop(2), Act::Apply, off(0), Act::Boot(1), Act::Recreate(2), Act::Boot(2)]
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
// A1, A3, A4: whoever is named is all that is lost, and whoever knows nothing is no witness.
fn a1_a3_a4_nor_does_one_with_agents_that_fail() {
    let forced = || World::healthy(3, 0, 1).with_force();
    for acts in [
        vec![Act::Stop(1), Act::Write, Act::Boot(1), Act::Mute(0)],
        vec![Act::Stop(1), Act::Write, Act::Stop(2), Act::Boot(1), Act::Mute(0)],
        vec![Act::Write, POWER_LOSS, Act::Boot(0), Act::Boot(1), Act::Mute(0)],
    ] {
        assert_eq!(broken(after(forced().with_mute_agents(), &acts), Rules::PRODUCTION), [""; 0]);
    }
    let joined = [Act::Stop(1), Act::Write, Act::Stop(2), Act::Boot(2)];
    for overwritten in [false, true] {
        let fails = Act::JoinFails { member: 2, overwritten };
        let acts: Vec<Act> = joined.iter().cloned().chain([fails, off(0)]).collect();
        assert_eq!(broken(after(forced(), &acts), Rules::PRODUCTION), [""; 0]);
    }
}

/// mysql/0 left last, and is off; the other two are up, and a person goes on from one of them.
fn forced_without_the_last_to_leave() -> World {
    let stopped = [Act::Stop(2), Act::Stop(1), Act::Write, Act::Stop(0), Act::Boot(1), Act::Boot(2), Act::Force(1)];
    after(World::healthy(3, 1, 2).with_force(), &stopped)
}

#[test]
// F2: what one member began alone, and took away with it, is known to those that were told.
fn f2_nor_does_one_that_begins_alone_and_is_lost() {
    assert_eq!(broken(forced_without_the_last_to_leave(), Rules::PRODUCTION), [""; 0]);
}

#[test]
// T2, T18: a component that a person begins by hand, by whatever means, is told from what grew.
fn t2_t18_nor_does_a_person_who_begins_one_by_hand() {
    let begin = after(World::healthy(3, 0, 2).with_hands(), &[Act::Write, Act::PowerLoss { loses: true }]);
    assert_eq!(broken(begin, Rules::PRODUCTION), [""; 0]);
    let begin = after(World::healthy(3, 0, 2).with_hands(), &[Act::Stop(0), Act::Write, Act::Stop(1), Act::Stop(2)]);
    assert_eq!(broken(begin, Rules::PRODUCTION), [""; 0]);
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
    let by_hand = after(World::healthy(3, 1, 2).with_hands(), &[Act::Write, Act::PowerLoss { loses: true }]);
    let worlds = [
        ("4 members, 1 fault", World::healthy(4, 1, 1)),
        ("3 members, begun by hand, 1 more fault", by_hand),
        ("3 members, forced, agents that fail, 1 fault", World::healthy(3, 1, 1).with_force().with_mute_agents()),
        ("3 members, made new, 2 faults", World::empty(3, 2, 1)),
        ("3 members, an errand, 2 faults", World::healthy(3, 2, 1).with_errands(1)),
        ("3 members, forced, 2 faults", World::healthy(3, 2, 1).with_force()),
        ("5 members, 1 fault", World::healthy(5, 1, 1)),
        ("3 members, 3 faults", World::healthy(3, 3, 1)),
        ("4 members, 2 faults", World::healthy(4, 2, 1)),
        ("3 members, forced, agents that fail, 2 faults", World::healthy(3, 2, 1).with_force().with_mute_agents()),
    ];
    for (name, begin) in worlds {
        let since = std::time::Instant::now();
        let model = Protocol { rules: Rules::PRODUCTION, begin };
        // Depth first: breadth first would keep millions of worlds at a time, and 10 GiB do not hold them.
        let checker = model.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_dfs().join();
        println!("{name}: {} states, {} s", checker.unique_state_count(), since.elapsed().as_secs());
        assert_eq!(failures(&checker), [""; 0], "{name}");
    }
    for members in [3, 4, 5] {
        let since = std::time::Instant::now();
        assert_eq!(walked(&World::healthy(members, 6, 3).with_errands(2).with_force(), 200_000), None);
        println!(
            "{members} members, 6 faults, errands, forced: 200000 ways at random, {} s",
            since.elapsed().as_secs()
        );
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
        ("who is not seen may be ahead", Rules { sees: unseen_is_behind, ..rules.clone() }, whole(), &[TWO][..]),
        (
            "an empty disk may have had more",
            Rules { sees: empty_is_behind, ..rules.clone() },
            after(whole(), &[Act::Isolate(0), Act::Write]),
            &[BEHIND][..],
        ),
        (
            "who left gracefully is not of the view any more",
            Rules { sees: nobody_left, ..rules.clone() },
            after(whole(), &[Act::Isolate(0), Act::Apply, Act::Stop(1), Act::Heal]),
            &[TWO][..],
        ),
        (
            "a view says nothing of what came before it",
            Rules { sees: all_caught_up, ..rules.clone() },
            whole(),
            &[BEHIND][..],
        ),
        (
            "a closed port is no empty disk",
            Rules { sees: refused_is_empty, ..rules.clone() },
            after(whole(), &[Act::Stop(0), Act::Stop(1), Act::Stop(2)]),
            &[BEHIND][..],
        ),
        (
            "lineage before a join",
            Rules { sees: no_lineage, ..rules.clone() },
            after(forced(), &[Act::Isolate(2), Act::Write, POWER_LOSS, Act::Boot(2)]),
            &[WIPED][..],
        ),
        (
            "the others are held, and looked at again",
            Rules { fences: false, consume: any_order, ..rules.clone() },
            after(whole(), &powered_on()).with_errands(1),
            &[TWO][..],
        ),
        (
            "an order is of the hold, and good for once",
            Rules { consume: any_order, ..rules.clone() },
            after(after(whole(), &powered_on()).with_errands(1), &late_order()),
            &[TWO][..],
        ),
        (
            "maintenance",
            Rules { sees: no_maintenance, ..rules.clone() },
            World::healthy(3, 2, 0).in_maintenance(),
            &[LEFT_ALONE][..],
        ),
        (
            "what was left out is kept out",
            Rules { own_group: false, ..rules.clone() },
            after(forced(), &[Act::Isolate(2), Act::Write, off(0)]),
            &[WIPED][..],
        ),
        (
            "F2: a beginning that was announced may have come about",
            Rules { sees: nothing_is_announced, ..rules.clone() },
            forced_without_the_last_to_leave(),
            // Whichever of two threads is first to find one.
            &[BEHIND, TWO][..],
        ),
        (
            "A2: what is not applied yet may be on its way",
            Rules { sees: what_is_applied_is_all, ..rules.clone() },
            whole(),
            &[WAITS][..],
        ),
        (
            "A3: whoever remembers nothing is no witness",
            Rules { sees: all_are_witnesses, ..rules.clone() },
            after(forced(), &left_last_and_lost()),
            &[TWO][..],
        ),
        (
            "A3: an open port is a member that lives",
            Rules { sees: silence_is_absence, ..rules.clone() },
            after(forced().with_mute_agents(), &[Act::Stop(1), Act::Stop(2), Act::Apply, Act::Boot(1), Act::Mute(0)]),
            &[TWO][..],
        ),
        (
            "T2: a component that nobody explains was begun by hand",
            Rules { sees: all_is_explained, ..rules.clone() },
            after(whole().with_hands(), &[Act::Stop(1), Act::Write, POWER_LOSS, Act::Boot(1)]),
            &[WIPED][..],
        ),
    ] {
        let begun = std::time::Instant::now();
        let broken = broken(begin, rules);
        eprintln!("{rule}: {broken:?} ({:.1} s)", begun.elapsed().as_secs_f64());
        assert!(
            broken.iter().any(|b| breaks.iter().any(|rule| b.starts_with(rule))),
            "nobody misses the rule `{rule}`: {broken:?}"
        );
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
        let remembered = Remembered::clone(&o.memory);
        o.memory =
            Remembered { lineage: lineage(&[(1, 0)]), incarnation: Some(Uuid::from_u128(1)), ..remembered }.into();
    })
}

fn what_is_applied_is_all(view: MemberView, _: Fence) -> MemberView {
    seen_as(view, |o| o.applied_all = true)
}

fn nothing_is_announced(view: MemberView, _: Fence) -> MemberView {
    seen_as(view, |o| o.memory.announced.clear())
}

fn all_are_witnesses(view: MemberView, _: Fence) -> MemberView {
    seen_as(view, |o| {
        if o.memory.lineage.is_empty() {
            o.memory.lineage = lineage(&[(1, 0)]);
        }
    })
}

fn silence_is_absence(view: MemberView, _: Fence) -> MemberView {
    MemberView { galera_port: None, ..view }
}

fn all_is_explained(view: MemberView, _: Fence) -> MemberView {
    seen_as(view, |o| o.memory.explained_as = o.wsrep.as_ref().and_then(|w| w.gcomm_uuid))
}

fn no_maintenance(view: MemberView, _: Fence) -> MemberView {
    seen_as(view, |o| *o = crate::cluster::maintenance::lifted(o))
}

fn any_order(_: Option<&Hold>, order: Uuid, _: OrderedStart) -> Result<Hold, Refusal> {
    Ok(Hold { order, owner: String::new(), reason: String::new(), seconds: 30, bootstrapped: true, started: true })
}
