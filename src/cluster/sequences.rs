//! Sequences of events that broke a promise once, over several rules; each is named after the belief that it took.

use super::bootstrap::{Evidence, Fence, Force, NoProof, forced, proof};
use super::hold::Begin;
use super::join::{MayJoin, MayNotJoin, may_join};
use super::leave::{Intent, NotNow, may_leave};
use super::memory::{Announced, Companion, Joining, Memory, Remembered};
use super::observation::*;
use super::origin::{Origin, company, origin};
use super::primary::{Primaries, Primary, primaries};
use super::recovery::{Recovery, recovery};
use super::restore::{Restore, may_restore};
use super::situation::*;
use super::standing::*;
use super::start::way_out;
use crate::galera::log_lines::evidence;
use crate::galera::uuid::Uuid;

fn one(of: &[&Observation]) -> Primary {
    match primaries(of.iter().copied()) {
        Primaries::One(primary) => primary,
        other => panic!("{other:?}"),
    }
}

fn saved(n: u32, seq: u32, members: &[u32], bootstrap: bool) -> File<crate::galera::gvwstate::SavedView> {
    match view(n, seq, members) {
        File::Present(mut v) => {
            v.bootstrap = bootstrap;
            File::Present(v)
        }
        other => other,
    }
}

fn know(o: Observation, ids: &[u32]) -> Observation {
    o.with(|o| {
        o.memory.company =
            ids.iter().map(|n| Companion { name: format!("mysql/{n}"), id: format!("id-{n}") }).collect();
    })
}

/// What mysql/1 is about to begin.
fn announced(id: Uuid) -> Announced {
    let by = Companion { name: "mysql/1".into(), id: "id-1".into() };
    Announced { id, by, known_as: None, lineage: Default::default() }
}

/// The members of three, without this one, as the rest is configured after it was taken out.
fn without(name: &str) -> super::member::Cluster {
    let mut shrunk = cluster(3);
    shrunk.members.retain(|m| m.name != name);
    shrunk
}

#[test]
// A6, A7: a promotion by hand that nobody could record does not pass for known with the next view.
fn a7_a_promotion_by_hand_stays_a_fact_until_it_is_recorded() {
    let settled_v9 = |o: Observation| o.with(|o| o.memory.explained = view(0, 9, &[0, 1, 2]).present().map(|v| v.id()));
    let v20 = saved(1, 20, &[0, 1], true);
    let b = settled_v9(primary(1, 38, &[0, 1])).saved(v20.clone());
    assert!(b.beginning_unrecorded());
    // Its supervisor sees that view, and then the next one, which has no sign of it.
    let b = settled_v9(primary(1, 50, &[1])).with(|o| o.memory.was_in(v20.present().cloned().unwrap())).saved(saved(
        1,
        21,
        &[1],
        false,
    ));
    assert!(b.beginning_unrecorded());
    assert!(matches!(origin("mysql/1", &[&b]), Origin::BegunByHand(_)));
    let c = down(2, 40);
    assert!(matches!(may_join(&c.position, &c.memory, &one(&[&b])), Err(MayNotJoin::BootstrapUnrecorded(_))));
    // At rest it is the same, and nothing is restored from it.
    let b = down(1, 50).with(|o| o.memory.was_in(v20.present().cloned().unwrap())).saved(saved(1, 21, &[1], false));
    assert!(begun_unseen(&b.disk, &b.memory, &Trace::default()));
    assert!(matches!(may_restore(&b, &[seen(down(0, 38)), seen(c)]), Restore::NotYet(_)));
}

#[test]
// A6: the same where its process died before anybody had settled it; the saved view says how it came about.
fn a6_a_saved_view_that_was_made_primary_by_hand_is_recorded() {
    let c = down(2, 45).saved(saved(2, 20, &[2], true)).with(|o| {
        o.memory.explained_as = Some(group_uuid(2));
        o.memory.explained = view(2, 9, &[0, 1, 2]).present().map(|v| v.id());
    });
    assert!(begun_unseen(&c.disk, &c.memory, &Trace::default()));
    assert!(matches!(may_restore(&c, &[seen(down(0, 30)), seen(down(1, 40))]), Restore::NotYet(_)));
}

#[test]
// A6: a member that only restores its view explains no promotion that somebody does beside it.
fn a6_a_member_that_was_restoring_explains_no_promotion_by_hand() {
    let mark = ProcessMark { pid: 9, started: 1 };
    let a = primary(0, 50, &[0, 2]).saved(saved(0, 20, &[0, 2], true)).with(|o| {
        o.process.as_mut().unwrap().pid = mark.pid;
        o.process.as_mut().unwrap().started = mark.started;
        o.memory.explained_as = None;
        o.memory.started = Some(mark);
        o.memory.begun = true;
        o.memory.last_view = view(0, 10, &[0, 1]).present().cloned();
    });
    let c = primary(2, 50, &[0, 2]).saved(saved(2, 20, &[0, 2], true));
    assert!(c.beginning_unrecorded() && a.beginning_unrecorded());
    assert!(!matches!(origin("mysql/2", &[&a, &c]), Origin::Theirs(_)));
}

#[test]
// T2: the restore of a saved view carries the sign of a promotion, and is none by hand.
fn t2_a_restored_view_is_explained() {
    let mut memory = remembering(&[(1, 0)]);
    memory.was_in(view(0, 9, &[0, 1, 2]).present().cloned().unwrap());
    memory.starts(true);
    let restored = saved(0, 10, &[0, 1, 2], true).present().cloned().unwrap();
    assert!(memory.explains_saved(&restored));
    let mut died = memory.clone();
    died.rested(Some(&restored));
    assert!(died.explains_saved(&restored), "also where it died before it was seen");
    memory.was_in(restored.clone());
    assert!(memory.strange.is_none() && memory.explains_saved(&restored));
    // With somebody else in it, it is another one.
    let mut other = remembering(&[(1, 0)]);
    other.was_in(view(0, 9, &[0, 1]).present().cloned().unwrap());
    other.starts(true);
    other.was_in(saved(0, 10, &[0, 2], true).present().cloned().unwrap());
    assert!(other.strange.is_some());
}

#[test]
// T2: a restore that led nowhere hides nothing that somebody begins by hand after it.
fn t2_a_restore_that_led_nowhere_is_over() {
    let log = "[Note] Starting MariaDB 10.11.19 source revision x as process 4711\n\
               [Note] WSREP: start_prim is enabled, turn off pc_recovery\n";
    let mut memory = remembering(&[(1, 0)]);
    memory.starts(true);
    memory.runs(ProcessMark { pid: 17, started: 5 });
    memory.rested(None);
    let a = down(0, 50).stopped().remembers(memory.clone());
    let trace = Trace::said_by(&evidence(log), &memory);
    assert!(begun_unseen(&a.disk, &memory, &trace));
}

#[test]
// D3: a server that runs and tells nothing may be primary, with a supervisor or without.
fn d3_nothing_is_suggested_beside_a_silent_server() {
    let full = |o: Observation| o.with(|o| o.sql = Sql::TooManyConnections);
    let hung = |o: Observation| o.with(|o| o.sql = Sql::TimedOut);
    let accept = Force { node: "mysql/1".into(), accept_missing: vec!["mysql/2".into()], ..Force::default() };
    let alive = Force { accept_missing: Vec::new(), accept_alive: vec!["mysql/2".into()], ..accept.clone() };
    let bare = || running(2, 40).without_supervisor();
    let looked_after = || running(2, 40).phase(Phase::Serving);
    for (c, force, allowed, why) in [
        (full(bare()), &accept, false, "it answers clients"),
        (full(looked_after()), &accept, false, "it answers clients, and has a supervisor"),
        (full(looked_after()), &alive, true, "and that person knows"),
        (hung(looked_after()), &accept, true, "B4: it answers nobody, and is named"),
    ] {
        let views = [seen(down(0, 38)), seen(down(1, 39)), seen(c)];
        let found = forced(&Evidence::of(&cluster(3), &views, Fence::WouldHold), force);
        assert_eq!(found.is_ok(), allowed, "{why}: {found:?}");
        let told = match recovery(&cluster(3), &views) {
            Recovery::Refuse(no) => way_out(&cluster(3), &views, &no),
            Recovery::UnderWay(what) => what,
            other => panic!("{why}: {other:?}"),
        };
        assert!(!told.contains("--node"), "{why}: {told}");
    }
}

#[test]
// A5: an instance that is in a saved view is not new, whoever had settled with it by then.
fn a5_an_instance_of_the_last_view_may_have_acknowledged() {
    let of = |n| know(down(n, 90).saved(view(n, 9, &[0, 1, 2])), &[0, 1]);
    let views = [seen(of(0)), seen(of(1)), seen(empty(2))];
    let found = proof(&Evidence::of(&cluster(3), &views, Fence::WouldHold));
    assert!(matches!(found, Err(NoProof::MayHaveLostData(_))), "{found:?}");
}

#[test]
// A5: what one heard long ago does not hide who came back since.
fn a5_an_old_goodbye_hides_nobody() {
    let narrow = |o: Observation| o.with(|o| o.member.expects = vec!["mysql/0".into(), "mysql/2".into()]);
    let a = narrow(know(down(0, 90), &[0, 1]));
    let c = narrow(down(2, 80).with(|o| o.memory.departed = vec!["mysql/1".into()]));
    let found = proof(&Evidence::of(&without("mysql/1"), &[seen(a), seen(c)], Fence::WouldHold));
    assert!(matches!(found, Err(NoProof::NotSeen(_))), "{found:?}");
}

#[test]
// A5: the restore asks for who vanished as the proofs do.
fn a5_a_restore_asks_for_who_vanished() {
    let narrow = |o: Observation| o.with(|o| o.member.expects = vec!["mysql/0".into(), "mysql/1".into()]);
    let of = |n| narrow(know(down(n, 90).saved(view(n, 9, &[0, 1])), &[0, 1, 2]));
    assert!(proof(&Evidence::of(&without("mysql/2"), &[seen(of(0)), seen(of(1))], Fence::WouldHold)).is_err());
    assert!(matches!(may_restore(&of(0), &[seen(of(1))]), Restore::NotYet(_)));
}

#[test]
// A5: in a split brain, and in maintenance too, a disk that has what nobody else is known to have stays.
fn a5_scale_in_leaves_the_only_copy_in_a_split_brain_and_in_maintenance() {
    let gone = Intent { instance_deleted: true, ..Intent::default() };
    let split = [seen(primary(0, 50, &[0, 1])), seen(primary(1, 50, &[0, 1]))];
    assert!(matches!(may_leave(&primary(2, 60, &[2]), &split, gone), Err(NotNow::OnlyCopy { .. })));
    let alone = [seen(down(0, 50).maintained()), silent(1)];
    assert!(matches!(may_leave(&primary(2, 60, &[2]).maintained(), &alone, gone), Err(NotNow::OnlyCopy { .. })));
}

#[test]
// A1: where a join broke off and the data is not there any more, there is none: that is no unknown position.
fn a1_no_data_after_a_join_that_broke_off_is_no_data() {
    let joining = Joining {
        from: Some(at(30)),
        incarnation: Some(Uuid::from_u128(1)),
        print: None,
        overwritten: false,
        boot: None,
    };
    let memory: Memory = Remembered { joining: Some(joining), ..(*remembering(&[(1, 0)])).clone() }.into();
    let stands = at_rest(&empty(2).disk, &memory, &Trace::default());
    assert!(matches!(stands, AtRest::Stands(Standing::Unknown { why: Unknown::DataGone, .. })), "{stands:?}");
}

#[test]
// A2: a cluster went on without a member that was ahead; what it has at the same numbers is something else.
fn a2_nobody_begins_from_a_superseded_member_by_itself() {
    let c = down(2, 100).with(|o| o.memory.supersede(Some(at(90))));
    let views = [seen(down(0, 95)), seen(down(1, 95)), seen(c)];
    let found = proof(&Evidence::of(&cluster(3), &views, Fence::WouldHold));
    assert!(matches!(found, Err(NoProof::AheadOfChoice(_))), "{found:?}");
}

#[test]
// A11: the first member that is updated from the release before joins those that still run it.
fn a11_a_rolling_update_from_the_release_before_goes_on() {
    // memory.json as the release before wrote it.
    let text = format!(
        r#"{{"lineage":[{{"number":1,"id":"{H}","history":"{H}","began_at":0,"by":"mysql/0","at":"","proof":"FirstDeploy","left_out":[],"group":null}}],
            "incarnation":"{H}","last_position":"{H}:48","joining":null,"founding":false,"bootstrapped":null,"begun":false,
            "explained":null,"last_view":null,"caught_up":null,"left":false,"left_alone":null,"departed":[],
            "voted_out":false,"superseded":false,"damaged":null}}"#
    );
    let old: Memory = serde_json::from_str(&text).unwrap();
    let of = |n: u32| {
        primary(n, 50, &[0, 1]).saved(view(n, 9, &[0, 1])).with(|o| {
            o.memory = old.clone();
            o.memory.last_view = view(n, 9, &[0, 1]).present().cloned();
        })
    };
    let updated = down(2, 48).with(|o| o.memory = old.clone());
    let joins = may_join(&updated.position, &updated.memory, &one(&[&of(0), &of(1)]));
    assert!(matches!(joins, Ok(MayJoin::Behind { .. })), "{joins:?}");
}

#[test]
// F13: whoever begins goes on from all that is remembered, not from what it remembers itself.
fn f13_a_beginning_goes_on_from_what_all_remember() {
    // mysql/1 was ordered to begin at 50 and never served; mysql/0 is further, and never heard of that.
    let (first, second) = (remembering(&[(1, 0)]), remembering(&[(1, 0), (2, 50)]));
    let short = |n| down(n, 50).remembers(first.clone());
    let views = [seen(short(0).safe()), seen(down(1, 40).remembers(second.clone())), seen(short(2))];
    let held: Vec<MemberView> = views.iter().map(|v| seen(v.seen().unwrap().clone().held())).collect();
    let proven = proof(&Evidence::of(&cluster(3), &held, Fence::HeldBy(ORDER))).unwrap();
    let begin = Begin::by(&proven, Uuid::from_u128(9)).unwrap();
    let (incarnation, past) = begin.incarnation(proven.member(), &first.lineage, "galera");
    assert_eq!((proven.member(), incarnation.number, &past), ("mysql/0", 3, &second.lineage));
    assert!(past.with(incarnation).extends(&second.lineage), "no branch is made that nobody's data is of");
}

#[test]
// F13: but not from a branch that a person leaves out with what is on it.
fn f13_what_a_person_leaves_out_is_no_past_of_what_goes_on() {
    let (first, second) = (remembering(&[(1, 0)]), remembering(&[(1, 0), (2, 50)]));
    let ahead = down(0, 60).remembers(first.clone());
    let views = [seen(ahead), seen(down(1, 55).remembers(second.clone())), seen(down(2, 50).remembers(first.clone()))];
    let force = Force { node: "mysql/0".into(), accept_missing: vec!["mysql/1".into()], ..Force::default() };
    let chosen = forced(&Evidence::of(&cluster(3), &views, Fence::WouldHold), &force).unwrap();
    assert_eq!(chosen.past(), &first.lineage, "its own 51 to 60 are not of incarnation 2");
    let force = Force { node: "mysql/2".into(), accept_missing: vec!["mysql/0".into(), "mysql/1".into()], ..force };
    let chosen = forced(&Evidence::of(&cluster(3), &views, Fence::WouldHold), &force).unwrap();
    assert_eq!(chosen.past(), &second.lineage, "its data is where both parted");
}

#[test]
// F2: a member began alone and was lost before anybody joined it.
fn f2_what_was_announced_may_have_come_about() {
    let id = Uuid::from_u128(9);
    let told = |o: Observation| o.with(|o| o.memory.hear(announced(id)));
    let last = || down(0, 50).safe().saved(view(0, 9, &[0])).with(|o| o.memory.left_alone = Some(at(50)));
    let began = || down(1, 70).remembers(remembering(&[(1, 0), (9, 48)]));
    let idle = || down(1, 48);
    let settled = |o: Observation| o.with(|o| o.memory.announced.clear());
    let cases = [
        (silent(1), told(down(2, 48)), "not seen: mysql/1", "it may have committed since"),
        (seen(empty(1)), told(down(2, 48)), "the position is not known of mysql/1", "it has another disk by now"),
        (seen(idle()), told(down(2, 48)), "mysql/0", "nothing came of it"),
        (silent(1), settled(told(down(2, 48))), "mysql/0", "it was accounted for in a component since"),
        (seen(began()), told(down(2, 48)), "Diverged", "it is seen with what it has"),
        (refused(1), down(2, 48), "mysql/0", "nobody was told of anything"),
    ];
    let mut wrong = Vec::new();
    for (b, c, expected, why) in cases {
        let views = [seen(last()), b, seen(c)];
        let found = match proof(&Evidence::of(&cluster(3), &views, Fence::WouldHold)) {
            Ok(proof) => proof.member().to_owned(),
            Err(no) => no.to_string(),
        };
        if !found.contains(expected) {
            wrong.push(format!("{why}: {found}"));
        }
        let restored = may_restore(&last(), &views[1..]);
        if matches!(restored, Restore::Together { .. }) && expected != "mysql/0" {
            wrong.push(format!("{why}: restored"));
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
// F2: what a person is told of who learns of it.
fn f2_a_person_is_told_where_few_are_told() {
    let force = |names: &[&str]| Force {
        node: "mysql/1".into(),
        accept_missing: names.iter().map(|n| (*n).to_owned()).collect(),
        ..Force::default()
    };
    for (views, force, noted, why) in [
        (
            vec![seen(down(0, 60)), seen(down(1, 50)), seen(down(2, 60))],
            force(&["mysql/0", "mysql/2"]),
            false,
            "both are held",
        ),
        (vec![silent(0), seen(down(1, 50)), seen(down(2, 50))], force(&["mysql/0"]), false, "one of two is held"),
        (vec![silent(0), seen(down(1, 50)), silent(2)], force(&["mysql/0", "mysql/2"]), true, "nobody is"),
        (
            vec![silent(0), seen(down(1, 50)), seen(down(2, 50).without_supervisor())],
            force(&["mysql/0", "mysql/2"]),
            true,
            "one is there, and cannot be told",
        ),
    ] {
        let chosen = forced(&Evidence::of(&cluster(3), &views, Fence::WouldHold), &force).unwrap();
        assert_eq!(!chosen.notes().is_empty(), noted, "{why}");
    }
}

#[test]
// A12: Galera gives a member that still receives what the others had the same state as one that lost its quorum.
fn a12_a_joiner_that_lost_its_component_has_not_caught_up() {
    let lost = |joining: bool| {
        non_primary(1, 50, 1).saved(view(1, 9, &[0, 1])).with(|o| {
            o.memory.joining = joining.then(|| Joining {
                from: Some(at(30)),
                incarnation: None,
                print: None,
                overwritten: false,
                boot: None,
            });
        })
    };
    let view = view(1, 9, &[0, 1]).present().cloned().unwrap();
    for (joining, caught_up, why) in [(false, true, "it was Synced"), (true, false, "it was receiving an IST")] {
        assert_eq!(lost(joining).caught_up_with(&view), caught_up, "{why}");
    }
}

#[test]
// A8: for some seconds those that are left go on to report the view before, with the member that was promoted apart.
fn a8_nobody_joins_what_may_be_two_components_of_different_pasts() {
    let stays = |n| primary(n, 50, &[0, 1, 2]);
    let promoted = primary(2, 55, &[2]).remembers(remembering(&[(1, 0), (9, 50)]));
    let joiner = down(3, 40);
    for (third, joins, why) in [
        (primary(2, 50, &[2]), true, "one past, whatever the views: a view that is just changing"),
        (promoted.clone(), false, "which of both would be joined is not known"),
        (promoted.wsrep(|w| w.incoming_addresses = stays(0).wsrep.unwrap().incoming_addresses), true, "it is one view"),
    ] {
        let third = third.wsrep(|w| w.cluster_size = if joins { 3 } else { 1 });
        let found = may_join(&joiner.position, &joiner.memory, &one(&[&stays(0), &stays(1), &third]));
        assert_eq!(found.is_ok(), joins, "{why}: {found:?}");
    }
}

#[test]
// U1: the supervisor of a member that was asked to promote ended before that came about; nobody asks any more.
fn u1_an_order_that_nobody_carries_out_any_more_is_no_open_beginning() {
    let id = Uuid::from_u128(9);
    let begin = |o: &mut Observation, promotes: bool| {
        let incarnation = o.memory.lineage.next(id, H, 48, "mysql/1");
        let past = o.memory.lineage.clone();
        o.memory.intend(incarnation, past, false);
        if promotes {
            o.memory.promotes();
            // Its successor finds that nobody asks for it any more.
            o.memory.rested(None);
        }
    };
    let told = |o: Observation| o.with(|o| o.memory.hear(announced(id)));
    for (promotes, why) in [(false, "it failed before anything was started"), (true, "its supervisor ended meanwhile")]
    {
        let lives = non_primary(1, 48, 1).phase(Phase::Serving).view_for(90).with(|o| begin(o, promotes));
        let views = [seen(told(down(0, 48))), seen(lives), seen(told(down(2, 48)))];
        let found = proof(&Evidence::of(&cluster(3), &views, Fence::WouldHold));
        assert!(found.is_ok(), "{why}: {found:?}");
    }
}

#[test]
// U2: somebody promoted a member by hand; it was seen, and not recorded before it was stopped in order, which removes the view.
fn u2_a_promotion_by_hand_is_not_forgotten_with_its_view() {
    let stopped = |last: File<crate::galera::gvwstate::SavedView>| {
        down(0, 43).stopped().with(|o| {
            o.memory.was_in(last.present().cloned().unwrap());
            o.memory.leave();
        })
    };
    // One that records it, alone or for all.
    for last in [saved(0, 20, &[0], true), saved(0, 20, &[0, 1], true)] {
        let a = stopped(last);
        assert!(begun_unseen(&a.disk, &a.memory, &Trace::default()));
    }
    // And one that does not: what it has is of no past that is known.
    let a = stopped(saved(0, 21, &[0, 1, 3], false))
        .with(|o| o.memory.strange = saved(0, 20, &[0, 1], true).present().map(|v| v.id()));
    let rest = [primary(1, 45, &[1, 2]), primary(2, 45, &[1, 2])];
    let joins = may_join(&a.position, &a.memory, &one(&[&rest[0], &rest[1]]));
    assert!(!joins.as_ref().is_ok_and(MayJoin::covered), "{joins:?}");
    let ahead = a.clone().with(|o| o.position = Standing::At { position: at(47), from: Provenance::CleanStop });
    let views = [seen(ahead), seen(down(1, 45)), seen(down(2, 45))];
    let found = proof(&Evidence::of(&cluster(3), &views, Fence::WouldHold));
    assert!(found.is_err(), "{found:?}");
}

#[test]
// U3: what may have been begun by somebody who is no member any more, or does not remember, is named by a person too.
fn u3_whoever_may_have_begun_is_named_by_a_person() {
    let id = Uuid::from_u128(9);
    let told = |o: Observation| {
        o.with(|o| {
            o.memory.hear(announced(id));
            o.memory.departed = vec!["mysql/1".into()];
            o.member.expects = vec!["mysql/0".into(), "mysql/2".into()];
        })
    };
    let force = Force { node: "mysql/0".into(), ..Force::default() };
    // It was taken out of the deployment since.
    let views = [seen(told(down(0, 50))), seen(told(down(2, 50)))];
    let found = forced(&Evidence::of(&without("mysql/1"), &views, Fence::WouldHold), &force);
    assert!(matches!(found, Err(NoProof::MustAccept(_))), "{found:?}");
    // It has data, and its memory is lost.
    let forgot = down(1, 48).remembers(Memory::default());
    let views = [seen(told(down(0, 50))), seen(forgot), seen(told(down(2, 50)))];
    let found = forced(&Evidence::of(&cluster(3), &views, Fence::WouldHold), &force);
    assert!(matches!(found, Err(NoProof::MustAccept(_))), "{found:?}");
    let named = Force { accept_missing: vec!["mysql/1".into()], ..force };
    assert!(forced(&Evidence::of(&cluster(3), &views, Fence::WouldHold), &named).is_ok());
}

#[test]
// U6: promoted by hand a moment ago, while the others have not noticed yet that it is not with them any more.
fn u6_scale_in_leaves_the_only_copy_where_a_split_brain_is_not_noticed_yet() {
    let gone = Intent { instance_deleted: true, ..Intent::default() };
    let rest = [seen(primary(0, 50, &[0, 1, 2])), seen(primary(1, 50, &[0, 1, 2]))];
    let alone = || primary(2, 55, &[2]);
    let recorded = alone().remembers(remembering(&[(1, 0), (9, 50)]));
    for (own, why) in [(recorded, "it is recorded"), (alone().unexplained(), "it is not recorded yet")] {
        let found = may_leave(&own, &rest, gone);
        assert!(matches!(found, Err(NotNow::OnlyCopy { .. })), "{why}: {found:?}");
    }
    assert!(may_leave(&primary(2, 50, &[0, 1, 2]), &rest, gone).is_ok(), "an ordinary scale-in");
}

#[test]
// U7: a view that came in the second before the power went was seen by nobody but Galera, and its restore is none by hand.
fn u7_the_restore_of_a_view_that_nobody_saw_is_explained() {
    let mut memory = remembering(&[(1, 0)]);
    memory.was_in(view(0, 9, &[0, 1, 2]).present().cloned().unwrap());
    memory.rested(view(0, 10, &[0, 1]).present());
    memory.starts(true);
    memory.was_in(saved(0, 11, &[0, 1], true).present().cloned().unwrap());
    assert!(memory.strange.is_none());
}

#[test]
// U8: mysql/1 was promoted in place by order, and mysql/2 with it; both lose power before mysql/2 has settled.
fn u8_who_is_promoted_with_another_one_knows_how_that_came_about() {
    let id = Uuid::from_u128(9);
    let (first, second) = (remembering(&[(1, 0)]), remembering(&[(1, 0), (9, 48)]));
    let beginning = Announced { known_as: Some(group_uuid(1)), lineage: second.lineage.clone(), ..announced(id) };
    let promoted = |n: u32| saved(n, 20, &[1, 2], true);
    let leads = down(1, 50).saved(promoted(1)).remembers(second.clone()).with(|o| {
        o.memory.explained = promoted(1).present().map(|v| v.id());
    });
    let told = |o: Observation| o.remembers(first.clone()).with(|o| o.memory.hear(beginning.clone()));
    let with_it = told(down(2, 50)).saved(promoted(2)).with(|o| o.memory.rested(promoted(2).present()));
    assert_eq!((&with_it.memory.lineage, with_it.memory.incarnation), (&second.lineage, Some(id)));
    let views = [seen(told(down(0, 48))), seen(leads), seen(with_it)];
    let found = proof(&Evidence::of(&cluster(3), &views, Fence::WouldHold));
    assert!(found.as_ref().is_ok_and(|proof| proof.position() == Some(at(50))), "{found:?}");
    // A promotion by hand beside it, in another component, is none of that.
    let other = told(down(0, 48)).with(|o| o.memory.rested(saved(0, 20, &[0], true).present()));
    assert!(other.memory.strange.is_some() && other.memory.lineage == first.lineage);
}

#[test]
// V1: Galera dropped the first promotion of mysql/1, and it was ordered anew; the others heard of both.
fn v1_who_is_promoted_by_a_second_order_is_of_that_one() {
    let (x, y) = (Uuid::from_u128(9), Uuid::from_u128(10));
    let of = |id: u128| Announced {
        known_as: Some(group_uuid(1)),
        lineage: lineage(&[(1, 0), (id, 48)]),
        ..announced(Uuid::from_u128(id))
    };
    let mut memory = remembering(&[(1, 0)]);
    memory.hear(of(9));
    memory.hear(of(10));
    memory.was_in(saved(2, 20, &[1, 2], true).present().cloned().unwrap());
    assert_eq!(
        (memory.incarnation, memory.lineage.has(x)),
        (Some(y), false),
        "or both remember different pasts for ever"
    );
}

#[test]
// V2: a promotion came to nothing, all lost their power, and the view of before is restored with the same members.
fn v2_a_restored_view_is_no_promotion_that_was_announced() {
    let mut memory = remembering(&[(1, 0)]);
    memory.was_in(view(2, 9, &[0, 1, 2]).present().cloned().unwrap());
    memory.hear(Announced {
        known_as: Some(group_uuid(1)),
        lineage: lineage(&[(1, 0), (9, 48)]),
        ..announced(Uuid::from_u128(9))
    });
    memory.rested(view(2, 9, &[0, 1, 2]).present());
    memory.starts(true);
    memory.was_in(saved(2, 10, &[0, 1, 2], true).present().cloned().unwrap());
    assert_eq!((memory.incarnation, memory.strange), (Some(Uuid::from_u128(1)), None));
}

#[test]
// V3: whoever was taken out of the deployment is named by a person like any other; a name that nobody has is refused.
fn v3_whoever_is_no_member_any_more_can_be_named() {
    let narrow = |o: Observation| o.with(|o| o.member.expects = vec!["mysql/0".into(), "mysql/2".into()]);
    let views = [seen(narrow(know(down(0, 90), &[0, 1, 2]))), seen(narrow(know(down(2, 90), &[0, 1, 2])))];
    let shrunk = without("mysql/1");
    let evidence = Evidence::of(&shrunk, &views, Fence::WouldHold);
    let named = |name: &str| Force { node: "mysql/0".into(), accept_missing: vec![name.into()], ..Force::default() };
    let found = forced(&evidence, &named("mysql/1"));
    assert!(found.is_ok(), "nobody would ever begin: {found:?}");
    assert!(named("mysql/1").fault(&shrunk).is_none());
    assert!(matches!(forced(&evidence, &named("mysql/7")), Err(NoProof::CannotForce(_))));
    // It was ordered to begin before it was taken out.
    let id = Uuid::from_u128(9);
    let told = |n| narrow(down(n, 90)).with(|o| o.memory.hear(announced(id)));
    let views = [seen(told(0)), seen(told(2))];
    let found = forced(&Evidence::of(&shrunk, &views, Fence::WouldHold), &named("mysql/1"));
    assert!(found.is_ok(), "{found:?}");
}

#[test]
// V4: mysql/0 was in a component that somebody made primary beside the others, and nobody has recorded that.
fn v4_what_others_have_beside_a_promotion_by_hand_is_named() {
    let strange = down(0, 60).with(|o| o.memory.strange = saved(1, 20, &[0, 1], true).present().map(|v| v.id()));
    let views = [seen(strange), silent(1), seen(down(2, 45))];
    let force = |names: &[&str]| Force {
        node: "mysql/0".into(),
        accept_missing: names.iter().map(|n| (*n).to_owned()).collect(),
        ..Force::default()
    };
    let of = cluster(3);
    let evidence = Evidence::of(&of, &views, Fence::WouldHold);
    let found = forced(&evidence, &force(&["mysql/1"]));
    assert!(matches!(&found, Err(NoProof::MustAccept(names)) if names.len() == 1), "{found:?}");
    assert!(forced(&evidence, &force(&["mysql/1", "mysql/2"])).is_ok());
}

#[test]
// V5: a person went on from such a member; what began by that order is known, also where it dies before it has settled.
fn v5_an_order_ends_what_nobody_had_recorded() {
    let mut memory = remembering(&[(1, 0)]);
    memory.was_in(saved(0, 20, &[0, 1], true).present().cloned().unwrap());
    assert!(memory.strange.is_some());
    let (next, past) = (memory.lineage.next(Uuid::from_u128(9), H, 60, "mysql/0"), memory.lineage.clone());
    memory.intend(next, past, false);
    memory.starts(true);
    memory.runs(ProcessMark { pid: 9, started: 1 });
    let alone = view(0, 1, &[0]);
    memory.began_in(alone.present(), Some(group_uuid(0)));
    memory.was_in(alone.present().cloned().unwrap());
    let a = primary(0, 60, &[0]).saved(alone).with(|o| o.memory = memory.clone());
    assert!(memory.strange.is_none() && !a.beginning_unrecorded());
}

#[test]
// V6: members that each noted by themselves when an incarnation began remember one past, while a view changes.
fn v6_one_past_is_told_by_ids() {
    let noted = |o: Observation, at: &str| {
        o.with(|o| {
            let told = o.memory.lineage.newest().unwrap().clone();
            let noted = super::lineage::Incarnation { at: at.into(), ..told };
            o.memory.lineage = super::lineage::Lineage::default().with(noted);
        })
    };
    let (a, b) = (noted(primary(0, 50, &[0, 1]), "10:00:00"), noted(primary(1, 50, &[0, 1, 2]), "10:00:01"));
    assert!(one(&[&a, &b]).branches.is_empty());
}

#[test]
// V7: a view that followed a promotion by hand is the last one by then, and no restore.
fn v7_what_followed_a_promotion_by_hand_is_no_restore() {
    let mut memory = remembering(&[(1, 0)]);
    memory.was_in(view(0, 9, &[0, 1, 2]).present().cloned().unwrap());
    memory.starts(true);
    memory.runs(ProcessMark { pid: 9, started: 1 });
    let by_hand = saved(0, 20, &[0, 2], true);
    memory.was_in(by_hand.present().cloned().unwrap());
    assert!(primary(0, 50, &[0, 2]).saved(by_hand).with(|o| o.memory = memory).beginning_unrecorded());
}

#[test]
// V8, V9: what does not end by itself is nothing that is under way.
fn v8_v9_what_stays_so_is_not_under_way() {
    let branch = |n, id| primary(n, 50, &[0, 1]).remembers(remembering(&[(1, 0), (id, 48)]));
    let old = down(0, 9).unfound_after(0).with(|o| {
        if let SupervisorSight::Present(supervisor) = &mut o.supervisor {
            supervisor.unfound = None;
        }
    });
    for (views, why) in [
        ([seen(branch(0, 9)), seen(branch(1, 10)), seen(down(2, 40))], "one view, and different pasts"),
        ([seen(old), seen(down(1, 8)), seen(down(2, 7))], "an earlier release does not tell how often it looked"),
    ] {
        let found = recovery(&cluster(3), &views);
        assert!(!matches!(found, Recovery::UnderWay(_)), "{why}: {found:?}");
    }
}

#[test]
// A6: one view is known by what Galera wrote of it, and not by the addresses that SQL tells, which may lag.
fn a6_one_view_is_told_by_its_file() {
    let of = |n: u32, seq, listed: &[u32]| primary(n, 50, listed).saved(view(n, seq, &[0, 1, 2]));
    for (own, other, shared, why) in [
        (of(0, 9, &[0, 1, 2]), of(1, 9, &[0, 1]), true, "SQL of the other one lacks an address"),
        (of(0, 9, &[0, 1, 2]), of(1, 10, &[0, 1, 2]), false, "SQL of this one tells of the view before"),
        (of(0, 9, &[0, 1, 2]), primary(1, 50, &[0, 1, 2]), true, "there is no file, and SQL says the same"),
        (of(0, 9, &[0, 1, 2]), primary(1, 50, &[1]), false, "there is no file, and SQL says something else"),
    ] {
        assert_eq!(own.shares_view(&other), shared, "{why}");
    }
}

#[test]
// A9: whoever was together with a member once is remembered, though one of both tells of a view before, or of fewer.
fn a9_whoever_was_in_the_component_is_in_its_company() {
    let own = primary(0, 50, &[0, 1, 2]).saved(view(0, 9, &[0, 1, 2]));
    let lists_fewer = primary(2, 50, &[2]).saved(view(2, 9, &[0, 1, 2]));
    let one_view_ago = primary(1, 50, &[0, 1]).saved(view(1, 8, &[0, 1]));
    let mut names: Vec<String> =
        company("mysql/0", &[&own, &lists_fewer, &one_view_ago]).into_iter().map(|c| c.name).collect();
    names.sort();
    assert_eq!(names, ["mysql/0", "mysql/1", "mysql/2"]);
}

#[test]
// S11: the list of a member that was receiving a full copy when the arbitrator came in is of the view before.
fn s11_a_list_of_the_view_before_makes_no_member_of_an_arbitrator() {
    let whole = primary(0, 50, &[0, 1]).wsrep(|w| (w.cluster_size, w.incoming_addresses) = (3, "a:1,b:1,".into()));
    let lags = primary(1, 50, &[0, 1]).wsrep(|w| (w.cluster_size, w.incoming_addresses) = (3, "a:1,b:1".into()));
    let found = one(&[&whole, &lags]);
    assert_eq!((found.size, found.arbitrators), (2, 1));
}

#[test]
// F2: a recovery that is tried for hours fills no memory, and what another member may have begun stays open.
fn f2_of_each_member_one_announcement_is_kept() {
    let mut memory = remembering(&[(1, 0)]);
    let other =
        Announced { by: Companion { name: "mysql/2".into(), id: "id-2".into() }, ..announced(Uuid::from_u128(8)) };
    memory.hear(other.clone());
    for id in 9..99 {
        memory.hear(announced(Uuid::from_u128(id)));
    }
    assert_eq!(memory.announced, [other, announced(Uuid::from_u128(98))]);
}

#[test]
// S11: an arbitrator that one list lacks is no member that is waited for to tell how a component came about.
fn s11_nobody_waits_for_an_arbitrator_to_tell_how_a_component_came_about() {
    let of = |n: u32, listed: &str| {
        primary(n, 50, &[0, 1]).unexplained().saved(view(n, 3, &[0, 1])).wsrep(|w| {
            (w.cluster_size, w.incoming_addresses) = (3, listed.into());
        })
    };
    let (own, other) = (of(0, "a:1,b:1"), of(1, "a:1,b:1,"));
    let found = origin("mysql/0", &[&own, &other]);
    assert!(matches!(found, Origin::BegunByHand(_)), "{found:?}");
}
