use super::*;
use crate::cluster::memory::{Companion, Memory, Remembered};
use crate::cluster::observation::{File, MemberView, Observation, Phase, PortAnswer, Sight, Sql, SupervisorSight};
use crate::cluster::situation::*;
use crate::cluster::standing::{Standing, Unknown};
use crate::galera::wsrep::{ClusterStatus, LocalState};

fn word(result: &Result<Proof, NoProof>) -> String {
    match result {
        Ok(proof) => {
            let way = if proof.way() == Way::Promote { ", promoted" } else { "" };
            format!("{:?} {}{way}", proof.rule(), proof.member())
        }
        Err(no) => format!("{no:?}").split(['(', ' ']).next().unwrap_or_default().to_owned(),
    }
}

fn held_by_order(views: &[MemberView]) -> Result<Proof, NoProof> {
    proof(&Evidence::of(&cluster(3), views, Fence::HeldBy(ORDER)))
}

fn unfenced(views: &[MemberView]) -> Result<Proof, NoProof> {
    proof(&Evidence::of(&cluster(3), views, Fence::WouldHold))
}

fn with(mut views: Vec<MemberView>, n: usize, view: MemberView) -> Vec<MemberView> {
    views[n] = view;
    views
}

/// A live member without quorum, in a component of these.
fn alive(n: u32, seqno: u64, members: &[u32]) -> Observation {
    let o = primary(n, seqno, members).state(ClusterStatus::NonPrimary, LocalState::Initialized);
    o.phase(Phase::Serving)
}

/// The others voted it out, and its server runs on.
fn voted_out(n: u32, seqno: u64) -> Observation {
    let o = bounded(n, seqno);
    let alive = primary(n, seqno, &[n]).phase(Phase::Serving);
    alive.state(ClusterStatus::Disconnected, LocalState::Inconsistent).with(|p| p.position = o.position)
}

/// Its agent answers, in a way that nobody here understands.
fn answers_oddly(n: u32) -> MemberView {
    MemberView { sight: Sight::Unusable("a TLS alert".into()), ..silent(n) }
}

/// Its agent is silent, and its group port is open.
fn listens(n: u32) -> MemberView {
    MemberView { galera_port: Some(PortAnswer::Open), ..silent(n) }
}

/// Members of these names, with the ids that they have in all situations.
fn company(names: &[&str]) -> Vec<Companion> {
    names.iter().map(|name| Companion { name: (*name).into(), id: name.replace("mysql/", "id-") }).collect()
}

fn bounded(n: u32, seqno: u64) -> Observation {
    down(n, seqno).bounded()
}

#[test]
fn q17_g1_g7_g11_who_may_begin_the_very_first_cluster() {
    let founding = down(0, 3).remembers(Remembered { founding: true, ..Remembered::default() }.into());
    let gone = empty(1).unknown(Unknown::DataGone);
    for (me, own, others, expected, why) in [
        (0, empty(0), vec![seen(empty(1)), seen(empty(2))], "FirstDeploy mysql/0", "all are empty"),
        (0, empty(0), vec![], "FirstDeploy mysql/0", "a single node"),
        (0, founding, vec![seen(empty(1)), seen(empty(2))], "FirstDeploy mysql/0", "the first bootstrap broke off"),
        (1, empty(1), vec![seen(empty(0)), seen(empty(2))], "NotDesignated", "another is designated"),
        (0, empty(0), vec![seen(empty(1)), silent(2)], "NotSeen", "a time-out says nothing"),
        (0, empty(0), vec![refused(1), refused(2)], "NotSeen", "stopped by BOSH, with data or without: nobody knows"),
        (0, empty(0), vec![seen(down(1, 5)), seen(empty(2))], "HasData", "a new disk on mysql/0 (peers: 6.1.1)"),
        (0, empty(0), vec![seen(gone), seen(empty(2))], "HasData", "one lost its data"),
        (0, empty(0), vec![seen(running(1, 5)), seen(empty(2))], "Running", "one runs"),
        (0, empty(0), vec![seen(primary(1, 5, &[1])), seen(empty(2))], "PrimaryExists", "one is primary"),
        (0, down(0, 5), vec![seen(empty(1)), seen(empty(2))], "HasData", "this member has data itself"),
        (0, empty(0).unknown(Unknown::DataGone), vec![seen(empty(1))], "HasData", "this member lost its data"),
    ] {
        assert_eq!(word(&first_deploy(&member(me), &own, &others)), expected, "{why}");
    }
}

#[test]
fn g2_g10_g12_g13_h11_a5_a9_d3_t9_every_member_seen() {
    let held = |seqnos: [u64; 3]| [0, 1, 2].map(|n| seen(down(n, seqnos[n as usize]).held())).to_vec();
    let same = held([9, 9, 9]);
    let other_members = |mut o: Observation| {
        o.member.expects.pop();
        o
    };
    let in_view = |n, members: &[u32]| down(n, 9).saved(view(n, 6, members)).caught_up().held();
    let lost = |members: &[u32]| vec![seen(empty(0).held()), seen(in_view(1, members)), seen(in_view(2, members))];
    let torn = Memory::torn("torn".into());
    let had = |seqno| {
        let mut memory = remembering(&[(1, 0)]);
        memory.stood(at(seqno));
        memory
    };
    for (views, expected, why) in [
        (held([9, 10, 8]), "EveryMemberSeen mysql/1", "numbers are compared, not texts: 10 is more than 9"),
        (same.clone(), "EveryMemberSeen mysql/0", "a tie: the lowest index"),
        (with(same.clone(), 2, seen(down(2, 9).safe().held())), "EveryMemberSeen mysql/2", "a tie: safe_to_bootstrap"),
        (
            with(held([9, 10, 9]), 2, seen(down(2, 9).safe().with(|o| o.memory.left_alone = None).held())),
            "EveryMemberSeen mysql/1",
            "the flag never beats a seqno",
        ),
        (
            with(held([9, 10, 9]), 2, seen(down(2, 9).safe().held())),
            "Diverged",
            "A9: nobody can be beyond the one that was alone in the last component",
        ),
        (
            with(same.clone(), 1, seen(down(1, 9).remembers(had(12)).held())),
            "FellBack",
            "T9: one had more than any disk has now",
        ),
        (
            with(held([9, 12, 9]), 0, seen(down(0, 9).remembers(had(12)).held())),
            "EveryMemberSeen mysql/1",
            "T9: its disk lost some, and another one has it all",
        ),
        (
            with(held([9, 9, 9]), 0, seen(down(0, 9).remembers(had(12)).unknown(Unknown::TransferInterrupted).held())),
            "FellBack",
            "A1: a full copy over what it had broke off, and nobody else has that much",
        ),
        (with(same.clone(), 1, answers_oddly(1)), "MayBeAlive", "D3: its agent answers in another protocol"),
        (
            with(same.clone(), 2, seen(down(2, 9).with(|o| o.memory.company = company(&["x/9"])).held())),
            "NotSeen",
            "A5: one was part of the cluster, and was deleted with its disk",
        ),
        (
            with(
                same.clone(),
                2,
                seen(
                    down(2, 9)
                        .with(|o| (o.memory.company, o.memory.departed) = (company(&["x/9"]), vec!["x/9".into()]))
                        .held(),
                ),
            ),
            "EveryMemberSeen mysql/0",
            "A5: it had left in order",
        ),
        (
            [0, 1]
                .map(|n| seen(down(n, 9).with(|o| o.memory.company = company(&["mysql/0", "mysql/1"])).held()))
                .into_iter()
                .chain([seen(empty(2).held())])
                .collect(),
            "EveryMemberSeen mysql/0",
            "a new instance that nobody was ever together with has lost nothing",
        ),
        (
            with(same.clone(), 1, seen(down(1, 9).saved(view(1, 5, &[1])).held())),
            "EveryMemberSeen mysql/1",
            "a tie: the newest view",
        ),
        (
            with(same.clone(), 1, seen(down(1, 9).remembers(remembering(&[(1, 0), (2, 9)])).held())),
            "EveryMemberSeen mysql/1",
            "a tie: the newest incarnation",
        ),
        (lost(&[1, 2]), "EveryMemberSeen mysql/1", "an empty one that was not in the last view"),
        (lost(&[0, 1, 2]), "MayHaveLostData", "an empty one that was in the last view"),
        (with(same.clone(), 0, seen(empty(0).held())), "MayHaveLostData", "an empty one, and no view tells"),
        (
            with(same.clone(), 0, seen(empty(0).unknown(Unknown::TransferInterrupted).held())),
            "EveryMemberSeen mysql/1",
            "one was receiving its state: it has nothing that others lack",
        ),
        (
            with(same.clone(), 1, seen(bounded(1, 9).held())),
            "EveryMemberSeen mysql/0",
            "a crash in a DDL, and nothing beyond the others",
        ),
        (with(same.clone(), 1, seen(bounded(1, 10).held())), "AheadOfChoice", "a crash in a DDL, and it may be ahead"),
        (with(same.clone(), 1, silent(1)), "NotSeen", "one is not seen"),
        (
            with(same.clone(), 1, seen(running(1, 9).held().phase(Phase::Serving))),
            "NotSeen",
            "one served, and its SQL is silent: it may be primary",
        ),
        (
            [0, 1, 2].map(|n| seen(down(n, 9 + u64::from(n)).safe().held())).to_vec(),
            "Diverged",
            "more than one was alone in a last primary component",
        ),
        (with(same.clone(), 1, refused(1)), "NotSeen", "one has no agent"),
        (with(same.clone(), 1, seen(down(1, 9))), "NotHeld", "one is not held"),
        (with(same.clone(), 1, seen(running(1, 9).held())), "Running", "one runs"),
        (with(same.clone(), 1, seen(primary(1, 9, &[1]).held())), "PrimaryExists", "one is primary"),
        (with(same.clone(), 1, seen(down(1, 9).of_history(5).held())), "DifferentHistories", "one has another history"),
        (
            with(same.clone(), 1, seen(down(1, 9).unknown(Unknown::NoPosition).held())),
            "PositionUnknown",
            "one is not known",
        ),
        (
            with(same.clone(), 1, seen(down(1, 9).remembers(torn).held())),
            "PositionUnknown",
            "the memory of one is torn",
        ),
        (
            with(same.clone(), 1, seen(other_members(down(1, 9).held()))),
            "EveryMemberSeen mysql/0",
            "B4: one does not know of all that are seen yet: a deploy is under way",
        ),
        (
            with(same.clone(), 1, seen(down(1, 9).with(|o| o.member.expects.push("mysql/3".into())).held())),
            "NotSeen",
            "B4: one expects another member, which nobody has seen",
        ),
        (
            with(same.clone(), 1, seen(down(1, 9).with(|o| o.member.cluster = "other".into()).held())),
            "MembershipDiffers",
            "one is of another cluster",
        ),
        (with(same.clone(), 1, seen(down(1, 9).without_supervisor())), "NoSupervisor", "one cannot be held"),
        (same[..2].to_vec(), "NotSeen", "one is missing from the list"),
        ([0, 1, 2].map(|n| seen(empty(n).held())).to_vec(), "NoData", "nobody has data"),
    ] {
        assert_eq!(word(&held_by_order(&views)), expected, "{why}");
    }
}

#[test]
fn h7_s4_the_living_are_promoted_in_place_unless_somebody_is_ahead() {
    for (views, expected, why) in [
        (
            vec![seen(down(0, 9)), seen(down(1, 9)), seen(alive(2, 9, &[2]))],
            "EveryMemberSeen mysql/2, promoted",
            "two are down, none ahead",
        ),
        (
            vec![seen(down(0, 11)), seen(down(1, 9)), seen(alive(2, 9, &[2]))],
            "EveryMemberSeen mysql/0",
            "one that is down is ahead of the living: Galera itself would overwrite it",
        ),
        (
            vec![seen(alive(0, 9, &[0, 1, 2])), seen(alive(1, 10, &[0, 1, 2])), seen(alive(2, 9, &[0, 1, 2]))],
            "EveryMemberSeen mysql/1, promoted",
            "all live in one component: the most advanced",
        ),
        (
            vec![seen(alive(0, 9, &[0])), seen(alive(1, 9, &[1])), seen(alive(2, 9, &[2]))],
            "Apart",
            "1/1/1: nothing is done while the network is cut",
        ),
        (
            vec![seen(alive(0, 9, &[0, 1])), seen(alive(1, 9, &[0, 1])), silent(2)],
            "NotSeen",
            "the third may be primary elsewhere",
        ),
        (vec![seen(alive(0, 9, &[0])), seen(running(1, 9)), seen(down(2, 9))], "Apart", "one is just starting"),
        (
            vec![seen(alive(0, 9, &[0])), seen(voted_out(1, 9)), seen(down(2, 9))],
            "EveryMemberSeen mysql/0, promoted",
            "F15: what was voted out runs on, and is in no component",
        ),
    ] {
        assert_eq!(word(&unfenced(&views)), expected, "{why}");
    }
    let held = vec![seen(down(0, 11).held()), seen(down(1, 9).held()), seen(alive(2, 9, &[2]).held_running())];
    assert_eq!(word(&held_by_order(&held)), "Running", "the living is stopped before the other begins");
    let held =
        vec![seen(down(0, 9).held()), seen(voted_out(1, 9).held_running()), seen(alive(2, 9, &[2]).held_running())];
    assert_eq!(word(&held_by_order(&held)), "EveryMemberSeen mysql/2, promoted", "F15: nor is it stopped for that");
    // A person goes on from the one that was voted out, beside a survivor: both end first, and it is not promoted.
    let beside = [seen(alive(0, 9, &[0])), seen(voted_out(1, 12)), seen(down(2, 9))];
    let chosen = Force { node: "mysql/1".into(), ..Force::default() };
    let forced = forced(&Evidence::of(&cluster(3), &beside, Fence::WouldHold), &chosen);
    assert!(forced.as_ref().is_ok_and(|proof| proof.way() == Way::Bootstrap), "{forced:?}");
    let held = vec![seen(down(0, 9).held()), seen(down(1, 9).held()), seen(alive(2, 9, &[2]).held_running())];
    assert_eq!(
        word(&held_by_order(&held)),
        "EveryMemberSeen mysql/2, promoted",
        "and needs not be, where it is the one"
    );
}

#[test]
fn g10_a3_d3_the_last_to_leave_comes_back_by_itself() {
    let knows_more = remembering(&[(1, 0), (2, 9)]);
    let superseded = down(2, 9).safe().with(|o| o.memory.superseded = true);
    let crashed_safe = {
        let mut o = down(2, 9).safe();
        o.position = down(2, 9).position;
        o
    };
    for (views, expected, why) in [
        (vec![seen(down(0, 7)), silent(1), seen(down(2, 9).safe())], "LastToLeave mysql/2", "a majority is seen"),
        (
            vec![refused(0), refused(1), seen(down(2, 9).safe())],
            "NotSeen",
            "A3: where nothing runs nobody remembers whether a person began from there since",
        ),
        (
            vec![seen(down(0, 7)), answers_oddly(1), seen(down(2, 9).safe())],
            "MayBeAlive",
            "D3: an agent that answers in whatever way is a member that lives",
        ),
        (
            vec![seen(down(0, 7)), listens(1), seen(down(2, 9).safe())],
            "MayBeAlive",
            "A3: its group port is open, and only its agent is silent",
        ),
        (
            vec![silent(0), silent(1), seen(down(2, 9).safe())],
            "NotSeen",
            "no majority: the others may be primary by force",
        ),
        (
            vec![silent(0), seen(down(1, 9)), seen(down(2, 9))],
            "NotSeen",
            "G10: the old one comes first, and left nobody behind",
        ),
        (vec![seen(down(0, 12)), silent(1), seen(down(2, 9).safe())], "NotSeen", "somebody is ahead of the flag"),
        (
            vec![seen(bounded(0, 12)), silent(1), seen(down(2, 9).safe())],
            "NotSeen",
            "somebody may be ahead of the flag",
        ),
        (vec![seen(down(0, 9).safe()), silent(1), seen(down(2, 9).safe())], "NotSeen", "two flags: one of them lies"),
        (
            vec![seen(down(0, 9).remembers(knows_more)), silent(1), seen(down(2, 9).safe())],
            "NotSeen",
            "somebody knows of a later incarnation",
        ),
        (vec![seen(down(0, 7)), silent(1), seen(superseded)], "NotSeen", "it saw a cluster that went on without it"),
        (vec![seen(down(0, 7)), silent(1), seen(crashed_safe)], "NotSeen", "a flag without a clean stop is none"),
        (
            vec![seen(down(0, 7)), silent(1), seen(down(2, 9).safe().with(|o| o.memory.left_alone = None))],
            "NotSeen",
            "nobody saw it leave alone: a person wrote the flag",
        ),
        (
            vec![seen(empty(0)), silent(1), seen(down(2, 9).safe())],
            "NotSeen",
            "A3: an empty disk would not know of a bootstrap that a person forced on the third",
        ),
        (
            vec![seen(alive(0, 7, &[0])), silent(1), seen(down(2, 9).safe())],
            "LastToLeave mysql/2",
            "a live one that is behind",
        ),
    ] {
        assert_eq!(word(&unfenced(&views)), expected, "{why}");
    }
}

#[test]
fn k12_a3_a4_the_last_view_is_complete_without_those_that_were_not_in_it() {
    let in_view = |n, seqno| down(n, seqno).saved(view(n, 7, &[0, 1]));
    let of = |n, seqno| in_view(n, seqno).caught_up();
    let forgot = |n, seqno| down(n, seqno).with(|o| o.memory.last_view = view(n, 7, &[0, 1]).present().cloned());
    let left = |n, seqno| {
        let mut o = forgot(n, seqno);
        o.memory.left = true;
        o
    };
    let moved_on = |n| down(n, 9).saved(view(n, 3, &[1, 2]));
    let newer = |n, seqno| {
        let mut o = of(n, seqno);
        o.memory = remembering(&[(1, 0), (2, 9)]);
        o
    };
    for (views, expected, why) in [
        (vec![seen(of(0, 9)), seen(of(1, 10)), silent(2)], "LastViewComplete mysql/1", "the third was cut off before"),
        (
            vec![seen(of(0, 9)), seen(forgot(1, 10)), silent(2)],
            "LastViewComplete mysql/1",
            "one lost the file, and remembers the view",
        ),
        (
            vec![seen(in_view(0, 9)), seen(in_view(1, 10)), silent(2)],
            "NotCaughtUp",
            "the third may have committed what they had only in memory when the power went",
        ),
        (
            vec![seen(in_view(0, 9)), seen(of(1, 10)), silent(2)],
            "LastViewComplete mysql/1",
            "it is enough that one has all",
        ),
        (
            vec![seen(of(0, 12).with(|o| o.position = down(0, 9).position)), seen(in_view(1, 10)), silent(2)],
            "NotCaughtUp",
            "it had all, and what was not on disk is gone",
        ),
        (
            vec![seen(of(0, 9)), seen(left(1, 10)), silent(2)],
            "NotSeen",
            "one left gracefully: the other went on alone, maybe with the third",
        ),
        (vec![seen(of(0, 9)), seen(down(1, 10)), silent(2)], "NotSeen", "one knows no view"),
        (
            vec![seen(of(0, 9)), seen(moved_on(1)), silent(2)],
            "NotSeen",
            "one was in another view since, with the third",
        ),
        (vec![seen(of(0, 9)), silent(1), silent(2)], "NotSeen", "one of the view is missing"),
        (vec![seen(down(0, 9).saved(view(0, 7, &[0]))), silent(1), silent(2)], "NotSeen", "alone: no majority"),
        (
            vec![seen(of(0, 9)), seen(of(1, 10)), seen(down(2, 12))],
            "EveryMemberSeen mysql/2",
            "all are seen, and the maximum is elsewhere",
        ),
        (
            vec![seen(of(0, 9)), seen(empty(1).remembers(forgot(1, 9).memory).unknown(Unknown::DataGone)), silent(2)],
            "NotSeen",
            "one of the view lost its data",
        ),
        (
            vec![seen(of(0, 9)), seen(of(1, 10)), listens(2)],
            "MayBeAlive",
            "A3: the third listens, and only its agent is silent",
        ),
        (
            vec![seen(down(0, 9).saved(view(0, 8, &[0])).caught_up()), silent(1), seen(empty(2))],
            "NotSeen",
            "A3: an empty disk is no witness that nobody else went on",
        ),
        (
            vec![seen(of(0, 9)), seen(of(1, 10).remembers(remembering(&[(1, 0), (2, 9)]))), silent(2)],
            "NotSeen",
            "A4, M10: the view is of an older incarnation",
        ),
        (
            vec![seen(of(0, 9)), seen(of(1, 10)), seen(down(2, 10).saved(view(1, 7, &[0, 1])))],
            "EveryMemberSeen mysql/1",
            "M14: a copied disk claims a place in the view, and all are seen",
        ),
        (
            vec![seen(of(0, 9)), seen(down(1, 9).saved(view(0, 7, &[0, 1])).caught_up()), silent(2)],
            "NotSeen",
            "M14: two claim one place in the view",
        ),
        (vec![seen(newer(0, 9)), seen(of(1, 10)), silent(2)], "NotSeen", "one was not part of the newest incarnation"),
        (
            vec![seen(of(0, 9)), seen(alive(1, 9, &[1]).saved(view(1, 7, &[0, 1]))), silent(2)],
            "LastViewComplete mysql/1, promoted",
            "the survivor of two",
        ),
        (
            vec![seen(of(0, 9)), seen(bounded(1, 10).saved(view(1, 7, &[0, 1]))), silent(2)],
            "NotSeen",
            "one of them may be ahead, and cannot be gone on from",
        ),
    ] {
        assert_eq!(word(&unfenced(&views)), expected, "{why}");
    }
}

#[test]
fn q11_g14_a1_a4_a5_a10_b4_d3_t1_t4_t10_what_a_person_decides_is_named_and_nothing_else_is_given_up() {
    let force = |node: u32, accept: &[u32]| Force {
        node: format!("mysql/{node}"),
        accept_missing: accept.iter().map(|n| format!("mysql/{n}")).collect(),
        ..Force::default()
    };
    let ahead = |n, seqno| {
        let mut o = down(n, seqno);
        o.memory = remembering(&[(1, 0)]);
        o
    };
    let two = |n, seqno| down(n, seqno).remembers(remembering(&[(1, 0), (2, 34)]));
    let within = |n, why, seqno| {
        down(n, seqno).with(|o| o.position = Standing::Unknown { why, detail: String::new(), at_most: Some(at(seqno)) })
    };
    let broke = |n, seqno| within(n, Unknown::JoinBroke, seqno);
    let voted_out = |n, seqno| within(n, Unknown::VotedOut, seqno);
    let torn = |n| down(n, 9).remembers(Memory::torn("torn".into()));
    let gone = |n| empty(n).remembers(remembering(&[(1, 0)])).unknown(Unknown::DataGone);
    let hung = |n| running(n, 9).phase(Phase::Serving).with(|o| o.sql = Sql::TimedOut);
    let onward = |n, seqno| down(n, seqno).remembers(remembering(&[(1, 0), (2, 34)]));
    let fork = || vec![seen(onward(0, 36)), seen(onward(1, 36)), seen(ahead(2, 37))];
    for (views, force, expected, why) in [
        (vec![seen(down(0, 9)), seen(down(1, 9)), silent(2)], force(0, &[2]), "Forced mysql/0", "one is lost for good"),
        (vec![seen(down(0, 9)), seen(down(1, 9)), silent(2)], force(0, &[]), "MustAccept", "and must be named"),
        (
            vec![seen(down(0, 9)), seen(down(1, 9)), silent(2)],
            force(0, &[2, 7]),
            "CannotForce",
            "newcomer: a name that is nobody's was meant for somebody",
        ),
        (vec![seen(down(0, 9)), seen(down(1, 11)), silent(2)], force(0, &[2]), "MustAccept", "another one is ahead"),
        (
            vec![seen(down(0, 9)), seen(down(1, 11)), silent(2)],
            force(0, &[1, 2]),
            "Forced mysql/0",
            "and may be named too",
        ),
        (
            vec![seen(down(0, 9)), seen(down(1, 9)), seen(down(2, 9))],
            force(1, &[]),
            "Forced mysql/1",
            "nothing is at stake",
        ),
        (
            vec![seen(down(0, 9)), seen(down(1, 11)), seen(down(2, 9))],
            force(1, &[0]),
            "EveryMemberSeen mysql/1",
            "what is proven needs no force",
        ),
        (
            vec![seen(bounded(0, 9)), seen(bounded(1, 9)), seen(bounded(2, 9))],
            force(0, &[]),
            "Forced mysql/0",
            "all crashed in a DDL",
        ),
        (
            vec![seen(bounded(0, 8)), seen(bounded(1, 9)), seen(bounded(2, 9))],
            force(0, &[]),
            "MustAccept",
            "all crashed in a DDL, and another one is ahead",
        ),
        (fork(), force(0, &[2]), "Forced mysql/0", "a fork: the tail stays on its member"),
        (fork(), force(0, &[]), "MustAccept", "a fork: the tail must be named"),
        (fork(), force(2, &[0, 1]), "Forced mysql/2", "a fork: back to the one that was left"),
        (
            vec![seen(down(0, 9)), seen(down(1, 9).of_history(5)), seen(down(2, 9))],
            force(0, &[1]),
            "Forced mysql/0",
            "another history",
        ),
        (
            vec![seen(down(0, 9)), silent(1), silent(2)],
            force(2, &[1]),
            "CannotForce",
            "what is not seen cannot be gone on from",
        ),
        (
            vec![seen(down(0, 9)), silent(1), silent(2)],
            force(0, &[0, 1, 2]),
            "CannotForce",
            "neither one nor the other",
        ),
        (vec![seen(down(0, 9)), silent(1), silent(2)], force(7, &[]), "CannotForce", "no such member"),
        (
            vec![seen(empty(0)), silent(1), silent(2)],
            force(0, &[1, 2]),
            "CannotForce",
            "no data, nothing to go on from",
        ),
        (vec![seen(down(0, 9)), seen(down(1, 9)), seen(empty(2))], force(0, &[]), "MustAccept", "M33: a lost disk"),
        (vec![seen(down(0, 9)), seen(down(1, 9)), seen(empty(2))], force(0, &[2]), "Forced mysql/0", "and it is named"),
        (
            vec![silent(0), seen(down(1, 30)), seen(broke(2, 37))],
            force(1, &[0]),
            "MustAccept",
            "A1: a join of the third broke off, and it may have the only copy",
        ),
        (vec![silent(0), silent(1), seen(broke(2, 37))], force(2, &[0, 1]), "Forced mysql/2", "A1: the sole survivor"),
        (
            vec![silent(0), silent(1), seen(voted_out(2, 40))],
            force(2, &[0, 1]),
            "Forced mysql/2",
            "T4: the others voted out the one that was right",
        ),
        (
            vec![
                seen(two(0, 34).saved(view(0, 8, &[0])).caught_up().remembers(remembering(&[(1, 0)]))),
                seen(two(1, 48)),
                seen(empty(2)),
            ],
            force(1, &[]),
            "MustAccept",
            "A4: a view of an older incarnation tells nothing of a disk that was lost in the newest",
        ),
        (
            vec![seen(down(0, 9)), seen(down(1, 9)), seen(down(2, 9).without_supervisor())],
            force(0, &[2]),
            "Forced mysql/0",
            "B4, T10: no supervisor runs there",
        ),
        (
            vec![
                seen(down(0, 9)),
                seen(down(1, 9)),
                seen(down(2, 9).unknown(Unknown::NotLookedYet).phase(Phase::Recovering)),
            ],
            force(0, &[2]),
            "Forced mysql/0",
            "T1: it still finds its position",
        ),
        (vec![seen(down(0, 9)), seen(down(1, 9)), seen(hung(2))], force(0, &[2]), "Forced mysql/0", "B4: it hangs"),
        (vec![seen(down(0, 9)), seen(down(1, 9)), seen(hung(2))], force(0, &[]), "MustAccept", "and must be named"),
        (
            vec![seen(torn(0)), seen(torn(1)), seen(torn(2))],
            force(0, &[1, 2]),
            "Forced mysql/0",
            "B4: no memory can be read",
        ),
        (vec![seen(down(0, 9)), silent(1), answers_oddly(2)], force(0, &[1, 2]), "MayBeAlive", "D3: it answers"),
        (
            vec![seen(down(0, 9)), silent(1), listens(2)],
            Force { accept_alive: vec!["mysql/2".into()], ..force(0, &[1]) },
            "Forced mysql/0",
            "D3: and that person knows what it is",
        ),
        (
            vec![seen(down(0, 9).unknown(Unknown::NoPosition)), silent(1), silent(2)],
            force(0, &[1, 2]),
            "CannotForce",
            "B4: what a backup restored has no position",
        ),
        (
            vec![seen(down(0, 9).unknown(Unknown::NoPosition)), silent(1), silent(2)],
            Force { new_history: true, ..force(0, &[1, 2]) },
            "Forced mysql/0",
            "B4: and a new history may begin with it",
        ),
        (
            vec![seen(down(0, 9)), silent(1), silent(2)],
            Force { new_history: true, ..force(0, &[1, 2]) },
            "CannotForce",
            "what has a position goes on from it",
        ),
        (
            vec![seen(gone(0)), seen(gone(1)), silent(2)],
            Force { new_history: true, ..force(0, &[1, 2]) },
            "Forced mysql/0",
            "every disk is lost: it begins empty, and each is named",
        ),
        (
            vec![seen(gone(0)), seen(down(1, 9)), silent(2)],
            Force { new_history: true, ..force(0, &[1, 2]) },
            "CannotForce",
            "never empty where somebody has data",
        ),
        (
            vec![seen(down(0, 9).unknown(Unknown::TransferInterrupted)), silent(1), silent(2)],
            Force { new_history: true, ..force(0, &[1, 2]) },
            "CannotForce",
            "half of a copy is no database",
        ),
        (
            vec![seen(alive(0, 9, &[0])), seen(alive(1, 9, &[1])), seen(down(2, 9))],
            force(1, &[]),
            "Forced mysql/1",
            "two live apart: all are stopped",
        ),
        (
            vec![seen(down(0, 9)), seen(down(1, 9).with(|o| o.memory.company = company(&["x/9"]))), silent(2)],
            force(0, &[2]),
            "MustAccept",
            "A5: an instance that was deleted must be named too",
        ),
        (
            vec![seen(down(0, 9)), seen(primary(1, 9, &[1])), silent(2)],
            force(0, &[1, 2]),
            "PrimaryExists",
            "never beside a primary",
        ),
    ] {
        let found = forced(&Evidence::of(&cluster(3), &views, Fence::WouldHold), &force);
        assert_eq!(word(&found), expected, "{why}");
    }
    let views = fork();
    let three = cluster(3);
    let evidence = Evidence::of(&three, &views, Fence::WouldHold);
    let suggested = suggested_force(&evidence).unwrap();
    assert_eq!(suggested, force(0, &[2]), "the least is left out");
    let proof = forced(&evidence, &suggested).unwrap();
    assert!(proof.to_string().contains("its last 3 transactions"), "{proof}");
    // A10: what is beyond the chosen one counts, not only what an earlier bootstrap left out.
    let views = [seen(down(0, 34)), seen(down(1, 60).remembers(remembering(&[(1, 0), (2, 50)]))), silent(2)];
    let told = forced(&Evidence::of(&three, &views, Fence::WouldHold), &force(0, &[])).unwrap_err().to_string();
    assert!(told.contains("its last 26 transactions"), "{told}");
    // Every state of the disks has a way out, in the words that a person types; of equal ones the furthest.
    for (views, expected) in [
        (vec![seen(down(0, 40)), seen(down(1, 41)), silent(2)], "--node mysql/1 --accept-missing mysql/2"),
        // It may have acknowledged more than the others have; what may be torn is said where it is carried out.
        (vec![seen(down(0, 40)), seen(broke(1, 41)), silent(2)], "--node mysql/1 --accept-missing mysql/2"),
        (
            vec![seen(down(0, 40)), seen(within(1, Unknown::NotOnDisk, 41)), silent(2)],
            "--node mysql/1 --accept-missing mysql/2",
        ),
        (
            vec![seen(gone(0)), seen(broke(1, 41)), silent(2)],
            "--node mysql/1 --accept-missing mysql/0 --accept-missing mysql/2",
        ),
        (
            vec![seen(down(0, 40).of_history(5)), seen(down(1, 41)), silent(2)],
            "--node mysql/1 --accept-missing mysql/0 --accept-missing mysql/2",
        ),
        (
            vec![seen(gone(0)), seen(gone(1)), seen(gone(2))],
            "--node mysql/0 --new-history --accept-missing mysql/1 --accept-missing mysql/2",
        ),
        (
            vec![seen(down(0, 9).unknown(Unknown::NoPosition)), seen(empty(1)), silent(2)],
            "--node mysql/0 --new-history --accept-missing mysql/1 --accept-missing mysql/2",
        ),
        (vec![seen(alive(0, 9, &[0])), seen(alive(1, 9, &[1])), seen(down(2, 9))], "--node mysql/0"),
    ] {
        let suggested = suggested_force(&Evidence::of(&three, &views, Fence::WouldHold));
        assert_eq!(suggested.map(|force| force.to_string()).as_deref(), Some(expected));
    }
    // S8: but none that parts from the only copy, while its agent or its position may be there in a moment.
    let failed = || seen(down(1, 9).unknown(Unknown::Failed));
    for views in [[seen(gone(0)), refused(1), seen(gone(2))], [seen(empty(0)), failed(), seen(empty(2))]] {
        let evidence = Evidence::of(&three, &views, Fence::WouldHold);
        assert_eq!(suggested_force(&evidence).map(|force| force.to_string()), None);
    }
    let torn = [seen(down(0, 40)), seen(broke(1, 41)), silent(2)];
    let proof = forced(&Evidence::of(&three, &torn, Fence::WouldHold), &force(1, &[2])).unwrap();
    assert!(proof.notes().iter().any(|note| note.contains("check its tables")), "{proof}");
    // M16: whoever lives and leaves somebody out is begun anew, in a group of its own; never promoted in place.
    let alone = [seen(alive(0, 9, &[0])), seen(down(1, 11)), silent(2)];
    let proof = forced(&Evidence::of(&three, &alone, Fence::WouldHold), &force(0, &[1, 2])).unwrap();
    assert_eq!(proof.way(), Way::Bootstrap);
}

#[test]
fn h13_members_that_went_on_separately_are_never_chosen_between() {
    let onward = |n, seqno| seen(down(n, seqno).remembers(remembering(&[(1, 0), (2, 34)])).held());
    let views =
        |third: u64| vec![onward(0, 36), onward(1, 35), seen(down(2, third).remembers(remembering(&[(1, 0)])).held())];
    assert_eq!(word(&held_by_order(&views(34))), "EveryMemberSeen mysql/0");
    let diverged = held_by_order(&views(37)).unwrap_err().to_string();
    assert!(diverged.contains("mysql/2") && diverged.contains("3 transactions"), "{diverged}");
}

#[test]
fn h12_two_primary_components_are_seen_though_they_have_the_same_history() {
    let views = [seen(primary(0, 9, &[0])), seen(primary(1, 9, &[1])), seen(down(2, 9))];
    assert_eq!(word(&unfenced(&views)), "SplitBrain");
    let one = [seen(primary(0, 9, &[0, 1])), seen(primary(1, 9, &[0, 1])), seen(down(2, 9))];
    assert_eq!(word(&unfenced(&one)), "PrimaryExists");
}

#[test]
fn q12_q13_exactly_half_is_no_majority() {
    let pair = cluster(2);
    for (other, expected, why) in [
        (silent(1), "NotSeen", "the other may be there"),
        (listens(1), "MayBeAlive", "mariadbd listens there"),
        (refused(1), "NotSeen", "nothing runs there, and nobody remembers what did"),
    ] {
        let two = [seen(down_of(2, 0, 9).safe()), other];
        assert_eq!(word(&proof(&Evidence::of(&pair, &two, Fence::WouldHold))), expected, "{why}");
    }
    let single = cluster(1);
    let one = [seen(down_of(1, 0, 9).saved(File::Absent))];
    assert_eq!(word(&proof(&Evidence::of(&single, &one, Fence::WouldHold))), "EveryMemberSeen mysql/0");
}

#[test]
fn t14_of_two_at_one_position_the_one_that_misses_a_table_does_not_begin() {
    let lacks = |o: Observation| {
        o.with(|o| {
            if let SupervisorSight::Present(supervisor) = &mut o.supervisor {
                supervisor.lacks_tables = vec!["ledger/entries".into()];
            }
        })
    };
    for (views, expected, why) in [
        ([down(0, 9), down(1, 9), down(2, 9)], "mysql/0", "the lowest index"),
        ([lacks(down(0, 9)), down(1, 9), down(2, 9)], "mysql/1", "it has no entries to lose"),
        ([lacks(down(0, 9)), down(1, 8), down(2, 8)], "mysql/0", "it alone has the last transaction"),
        ([lacks(down(0, 9)), lacks(down(1, 9)), lacks(down(2, 9))], "mysql/0", "all lack it: in the system tablespace"),
    ] {
        let chosen = unfenced(&views.map(seen)).map(|proof| proof.member().to_owned());
        assert_eq!(chosen.as_deref().ok(), Some(expected), "{why}: {chosen:?}");
    }
}
