//! One line a case: what was seen, and what it is called.

mod besides;
mod maintained;
mod members;
mod seed_000;

use super::*;
use crate::cluster::memory::Memory;
use crate::cluster::observation::*;
use crate::cluster::situation::*;
use crate::cluster::standing::Unknown as Why;
use crate::cluster::start::AutoRecovery;
use crate::galera::uuid::Uuid;
use crate::galera::wsrep::{ClusterStatus, LocalState};
use ClusterCode::*;

/// The code alone.
pub(super) fn code(cluster: &Cluster, views: &[MemberView]) -> ClusterCode {
    diagnose(cluster, views).code
}

fn three(n: u32) -> Observation {
    primary(n, 9, &[0, 1, 2])
}

fn pair(n: u32) -> Observation {
    primary(n, 9, &[0, 1])
}

/// All of these, seen.
fn all<const N: usize>(of: [Observation; N]) -> Vec<MemberView> {
    of.map(seen).into()
}

/// Two primary members and this third one.
fn pair_and(third: MemberView) -> Vec<MemberView> {
    vec![seen(pair(0)), seen(pair(1)), third]
}

fn away(o: Observation, peers: &[u32]) -> Observation {
    o.finds(peers, PortAnswer::Silent)
}

fn another(n: u32) -> MemberView {
    MemberView { sight: Sight::Another("asked instance a, and instance b answered".into()), ..silent(n) }
}

fn unusable(n: u32) -> MemberView {
    MemberView { sight: Sight::Unusable("it refuses our user name or password (401)".into()), ..silent(n) }
}

/// Whatever is found, its texts fit a terminal; only what must be copied in one piece may be longer.
pub(super) fn assert_fits(found: &Diagnosis, views: &[MemberView]) {
    let at = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    let page = page::Page { cluster: "galera", from: "mysql/0", at, diagnosis: found, views };
    for text in [found.to_string(), page.text(page::Paint::Plain)] {
        let wide: Vec<&str> =
            text.lines().filter(|l| l.chars().count() > 80 && !l.trim().starts_with("`/var/vcap/")).collect();
        assert!(wide.is_empty(), "{wide:#?}");
    }
}

fn check(cases: Vec<(Vec<MemberView>, ClusterCode, &str)>) {
    for (views, expected, why) in cases {
        let found = diagnose(&cluster(u32::try_from(views.len()).unwrap()), &views);
        assert_eq!(found.code, expected, "{why}:\n{found}");
        assert_fits(&found, &views);
        assert!(
            !found.sentence.is_empty() && !found.advice.run.is_empty() && found.members.len() == views.len(),
            "{why}"
        );
    }
}

#[test]
// S1, S2, S3, S5, S8, S9, S14
fn s1_s2_s3_s5_s8_s9_s14_somebody_is_primary() {
    let slow = |w: &mut crate::galera::wsrep::Wsrep| w.flow_control_active = true;
    let closed = |n, sql| three(n).with(|o| (o.wsrep, o.sql) = (None, sql));
    let donor = |n| three(n).state(ClusterStatus::Primary, LocalState::Donor);
    let fresh = running(0, 9).with(|o| o.process.as_mut().unwrap().new_cluster = true);
    let served = three(0).with(|o| o.process.as_mut().unwrap().new_cluster = true);
    let outside = |n| {
        three(n).state(ClusterStatus::Primary, LocalState::Initialized).wsrep(|w| {
            (w.on, w.incoming_addresses, w.gcomm_uuid) = (false, String::new(), None);
        })
    };
    let gives = |o: Observation| o.state(ClusterStatus::Primary, LocalState::Donor);
    let begun = |then: fn(Observation) -> Observation| {
        then(primary(0, 9, &[0, 1])).with(|o| o.process.as_mut().unwrap().new_cluster = true)
    };
    let nil = |n| three(n).wsrep(|w| w.cluster_state_uuid = None);
    check(vec![
        (all([three(0), three(1), three(2)]), Healthy, "healthy-3"),
        (all([primary(0, 9, &[0])]), Healthy, "a cluster of one"),
        (all([served, three(1), three(2)]), Healthy, "bootstrapped an hour ago: the argument stays"),
        (pair_and(seen(down(2, 9))), Degraded, "s3: one down, quorum intact: no recovery"),
        (pair_and(silent(2)), Degraded, "one lost"),
        (pair_and(seen(non_primary(2, 9, 1))), Degraded, "q1: a minority of one, seen from outside"),
        (vec![seen(three(0)), seen(three(1)), silent(2)], AgentsUnreachable, "s1 s8: agent down, database up"),
        (vec![seen(three(0)), silent(1), unusable(2)], AgentsUnreachable, "s8: one witness, and all are counted"),
        (all([three(0), three(1), closed(2, Sql::TooManyConnections)]), Degraded, "s9: too many connections"),
        (all([three(0), three(1), closed(2, Sql::TimedOut)]), Degraded, "s9: hung"),
        (
            all([three(0).wsrep(slow), three(1), closed(2, Sql::TimedOut)]),
            PrimaryWritesStalled,
            "s2: hung, and it stalls all",
        ),
        (all([three(0), three(1), donor(2)]), Degraded, "a donor"),
        (all([three(0), three(1), outside(2)]), Degraded, "wsrep_on is OFF at one, which then lists no members"),
        (all([outside(0), outside(1), outside(2)]), SplitBrain, "wsrep_on is OFF at all: each keeps its writes"),
        (all([donor(0), donor(1), donor(2)]), PrimaryNoUsableMember, "s14: reachable, and nobody takes clients"),
        (
            all([0, 1, 2].map(|n| three(n).wsrep(|w| w.read_only = true))),
            PrimaryNoUsableMember,
            "s2: all are read-only",
        ),
        (vec![seen(donor(0)), silent(1), silent(2)], Degraded, "whoever is not seen may serve"),
        (
            all([three(0).wsrep(slow), three(1), three(2).wsrep(|w| w.flow_control_requested = true)]),
            PrimaryWritesStalled,
            "s2 s14: alive, and not available",
        ),
        (
            all([three(0), three(1), three(2).with(|o| o.host.write_fault = Some("a small write hangs".into()))]),
            PrimaryWritesStalled,
            "s19: one full disk can halt all",
        ),
        (
            all([closed(0, Sql::TimedOut).phase(Phase::Stopping), down(1, 9), down(2, 9)]),
            RecoveryInProgress,
            "storm 1002: the one that is left in no group is being stopped",
        ),
        (all([primary(0, 9, &[0]), down(1, 9), down(2, 9)]), DegradedToOne, "q4: one is left"),
        (
            vec![seen(primary(0, 9, &[0])), silent(1), silent(2)],
            DegradedToOne,
            "one is left, and the others are not seen",
        ),
        (all([primary(0, 9, &[0]), primary(1, 9, &[1]), down(2, 9)]), SplitBrain, "h12: two writers, one history"),
        (
            all([
                primary(0, 9, &[0]),
                primary(1, 9, &[1]).wsrep(|w| w.cluster_state_uuid = Some(Uuid::from_u128(5))),
                down(2, 9),
            ]),
            SplitBrain,
            "h12: two writers, two histories",
        ),
        (
            vec![seen(primary(0, 9, &[0])), seen(primary(1, 9, &[1])), silent(2)],
            SplitBrain,
            "two writers, and one is not seen",
        ),
        (all([nil(0), nil(1), nil(2)]), NilHistory, "all crashed in a DDL"),
        (all([fresh, down(1, 9), down(2, 9)]), BootstrapInProgress, "one begins"),
        (
            all([begun(gives), running(1, 9), down(2, 9)]),
            Degraded,
            "it began, and gives its state to the first that joins",
        ),
        (
            all([begun(|o| o.state(ClusterStatus::NonPrimary, LocalState::Initialized)), down(1, 9), down(2, 9)]),
            SurvivorNonPrimary,
            "it began, and has lost its quorum since",
        ),
        (
            all([primary(0, 9, &[0]), down(1, 9).held(), down(2, 9).held()]),
            RecoveryInProgress,
            "h12: an order is at work",
        ),
        (all([three(0).held(), three(1), three(2)]), Healthy, "a hold that is not needed any more"),
        (
            all([
                three(0).with(|o| {
                    o.member.expects.pop();
                }),
                three(1),
                three(2),
            ]),
            Healthy,
            "s6: a deploy is under way, and all is well",
        ),
    ]);
}

#[test]
fn s1_s6_s11_s13_s18_g10_g11_nobody_seen_is_primary_and_somebody_is_not_seen() {
    let pop = |o: Observation| {
        o.with(|o| {
            o.member.expects.pop();
        })
    };
    let lived = |n| away(non_primary(n, 9, 1), &[0, 1, 2, 3]);
    let half = |n| non_primary(n, 9, 2).of(4);
    check(vec![
        (vec![silent(0), silent(1), silent(2)], ObserverBlind, "s1 s11: everybody, or only us"),
        (vec![unusable(0), unusable(1), unusable(2)], ObserverBlind, "the password is wrong"),
        (vec![refused(0), refused(1), refused(2)], ObserverBlind, "no agent runs"),
        (all([pop(down(0, 9)), down(1, 9), down(2, 9)]), MembershipConfigMismatch, "s6: a deploy is under way"),
        (vec![seen(down(0, 9)), seen(down(1, 9)), another(2)], MembershipConfigMismatch, "s18: stale DNS"),
        (vec![seen(lived(0)), silent(1), silent(2)], MinorityOnly, "q1 h11: one of three, seen from itself"),
        (vec![seen(half(0)), seen(half(1)), silent(2), silent(3)], MinorityOnly, "q13: 2/2, seen from one half"),
        (vec![seen(non_primary(0, 9, 1).of(2)), silent(1)], MinorityOnly, "q13: 1/1, seen from one half"),
        (vec![seen(wedged(0, 9, 1)), silent(1), silent(2)], MinorityOnly, "it waits at start-up, alone"),
        (
            vec![
                seen(non_primary(0, 9, 2).saved(view(0, 5, &[0, 1]))),
                seen(down(1, 9).saved(view(1, 5, &[0, 1]))),
                silent(2),
            ],
            PartialKnowledge,
            "all of the last view are seen, and the third was not in it",
        ),
        (vec![seen(non_primary(0, 9, 3)), silent(1), silent(2)], PartialKnowledge, "it is connected to all of them"),
        (
            vec![silent(0), silent(1), seen(down(2, 5))],
            PartialKnowledge,
            "g10: the oldest boots first, the newest are not seen",
        ),
        (vec![seen(down(0, 9)), seen(down(1, 9)), silent(2)], PartialKnowledge, "g11: one is not seen"),
        (vec![seen(down(0, 9)), seen(down(1, 9)), refused(2)], PartialKnowledge, "g11: one has no agent"),
        (vec![seen(empty(0)), silent(1), silent(2)], PartialKnowledge, "an empty one that sees nobody"),
    ]);
}

#[test]
fn k1_k7_k12_q3_q17_g1_g2_g12_nobody_is_primary_and_all_are_seen() {
    let clean = |n, seqno| down(n, seqno).stopped();
    let cut = |n, others: &[u32]| away(non_primary(n, 9, 1), others);
    let half = |n, others: &[u32]| away(non_primary(n, 9, 2).of(4), others);
    let restoring = |n| {
        running(n, 9).with(|o| {
            (o.ports.galera, o.process_seconds) = (true, Some(20));
        })
    };
    let went_on = |id| remembering(&[(1, 0), (id, 5)]);
    check(vec![
        (all([empty(0), empty(1), empty(2)]), FirstDeploy, "g1: the very first"),
        (vec![seen(empty(0)), refused(1), refused(2)], PartialKnowledge, "q17: BOSH has not started the others yet"),
        (all([empty(0), clean(1, 9), clean(2, 9).safe()]), AllDownClean, "q17: a recreated disk beside stopped peers"),
        (all([clean(0, 8), clean(1, 9), down(2, 10).safe()]), AllDownClean, "an orderly stop, one after the other"),
        (all([clean(0, 9), clean(1, 9), clean(2, 9)]), AllDownClean, "stopped in the same instant: no flag at all"),
        (all([clean(0, 8), down(1, 9).safe(), down(2, 9).safe()]), DivergentHistories, "two say that they left last"),
        (all([down(0, 9), down(1, 9), down(2, 9)]), AllDownCrashed, "k7: all crashed, -1 and 0 everywhere"),
        (all([down(0, 9), down(1, 10), down(2, 9)]), AllDownCrashed, "one is ahead"),
        (all([down(0, 9), clean(1, 10), down(2, 9)]), AllDownMixed, "some crashed"),
        (
            all([down(0, 9), down(1, 9).unknown(Why::NoPosition), down(2, 9)]),
            NoRecoverablePosition,
            "one crashed in a DDL",
        ),
        (
            all([0, 1, 2].map(|n| down(n, 9).unknown(Why::NoPosition))),
            NoRecoverablePosition,
            "nothing is known of anybody",
        ),
        (
            all([down(0, 9), down(1, 9).unknown(Why::NotLookedYet), down(2, 9)]),
            AllDownCrashed,
            "one is not looked at yet",
        ),
        (all([down(0, 9), down(1, 900).of_history(5), down(2, 9)]), DivergentHistories, "g12: mixed histories"),
        (
            all([down(0, 9).remembers(went_on(2)), down(1, 8).remembers(went_on(3)), down(2, 5)]),
            DivergentHistories,
            "h13: both were bootstrapped after a common past",
        ),
        (
            all([non_primary(0, 9, 3), non_primary(1, 9, 3), non_primary(2, 9, 3)]),
            AllNonPrimaryRuntime,
            "k1 q3: all live",
        ),
        (all([wedged(0, 9, 3), wedged(1, 9, 3), wedged(2, 9, 3)]), AllNonPrimaryWedged, "k1: all wait for ever"),
        (all([wedged(0, 9, 3), wedged(1, 9, 3), non_primary(2, 9, 3)]), NonPrimaryMixed, "two wait, one lives"),
        (all([wedged(0, 9, 2), wedged(1, 9, 2), down(2, 9)]), NonPrimaryMixed, "two wait, one is down"),
        (all([restoring(0), restoring(1), restoring(2)]), RecoveryInProgress, "k12: they restore their view together"),
        (all([non_primary(0, 10, 1), down(1, 9), down(2, 9)]), SurvivorNonPrimary, "q3: a survivor that is ahead"),
        (all([non_primary(0, 8, 1), down(1, 9), down(2, 9)]), SurvivorNonPrimary, "q3: a survivor that is behind"),
        (all([non_primary(0, 9, 1).of(2), down(1, 9).of(2)]), SurvivorNonPrimary, "q13: one of two was killed"),
        (all([cut(0, &[1, 2]), cut(1, &[0, 2]), cut(2, &[0, 1])]), AllNonPrimaryPartitioned, "1/1/1"),
        (
            all([half(0, &[2, 3]), half(1, &[2, 3]), half(2, &[0, 1]), half(3, &[0, 1])]),
            AllNonPrimaryPartitioned,
            "q13: 2/2, seen from outside",
        ),
        (
            all([away(non_primary(0, 9, 1).of(2), &[1]), away(non_primary(1, 9, 1).of(2), &[0])]),
            AllNonPrimaryPartitioned,
            "q13: 1/1, seen from outside",
        ),
        (
            all([running(0, 9).with(|o| (o.wsrep, o.sql) = (None, Sql::Denied)), down(1, 9), down(2, 9)]),
            Unknown,
            "nothing can be asked of the one that runs",
        ),
    ]);
}

#[test]
fn s1_s11_stopped_jobs_are_told_from_a_network_that_is_gone() {
    let stopped = diagnose(&cluster(3), &[refused(0), refused(1), refused(2)]);
    assert!(stopped.advice.run.contains("`bosh start`"), "{stopped}");
    assert!(!stopped.evidence.join("; ").contains("listens"), "{stopped}");
    let silent = diagnose(&cluster(3), &[silent(0), silent(1), refused(2)]);
    assert!(silent.advice.run.contains("network"), "{silent}");
    let lives = MemberView { galera_port: Some(PortAnswer::Open), ..refused(0) };
    let agents = diagnose(&cluster(3), &[lives, refused(1), refused(2)]);
    assert!(agents.evidence.join("; ").contains("mysql/0 listens on the group port"), "{agents}");
    assert!(!agents.advice.run.contains("`bosh start`"), "{agents}");
}

#[test]
fn q15_a_member_that_ended_is_counted_by_galera_for_some_seconds() {
    let found = diagnose(&cluster(3), &all([three(0), three(1), down(2, 9)]));
    assert!(found.sentence.contains("3 of 3 members by Galera's count, which lags"), "{found}");
    assert_eq!(found.since_seconds, None, "the view is older than what happened");
    let later = diagnose(&cluster(3), &pair_and(seen(down(2, 9))));
    assert!(later.sentence.contains("has 2 of 3 members and goes on"), "{later}");
}

#[test]
fn k12_g2_g12_g13_the_action_says_what_brings_it_back() {
    let new = |o: Observation| o.with(|o| o.memory = Memory::default());
    let views = |seqnos: [u64; 3]| all([0, 1, 2].map(|n| down(n, seqnos[n as usize])));
    let saved = |n| down(n, 9).saved(view(n, 5, &[0, 1, 2]));
    let alone = |seqno| non_primary(0, seqno, 1).phase(Phase::Serving).view_for(60);
    let errand = |o: Observation| o.with(|o| o.member.auto_recovery = Some(AutoRecovery::Errand));
    for (views, expected, why) in [
        (
            all([errand(down(0, 9)), down(1, 9), down(2, 9)]),
            "By itself: nothing, because auto_recovery is `errand`",
            "h16",
        ),
        (all([errand(down(0, 9)), down(1, 9), down(2, 9)]), "`bosh run-errand bootstrap`: mysql/0 begins", "h16"),
        (all([0, 1, 2].map(|n| new(down(n, 9)))), "remembers no incarnation", "as its supervisor, which waits then"),
        (views([9, 10, 8]), "By itself: mysql/1 begins, and the others join it", "9 against 10, as numbers"),
        (views([9, 9, 9]), "mysql/0 begins", "g13: a tie"),
        (all([alone(8), down(1, 9), down(2, 9)]), "By itself: mysql/1 begins", "a survivor that is behind"),
        (all([alone(10), down(1, 9), down(2, 9)]), "mysql/0 begins", "a survivor that is ahead"),
        (
            all([down(0, 9), down(1, 9).unknown(Why::NoPosition), down(2, 9)]),
            "--node mysql/0 --accept-missing mysql/1",
            "not known, and a person must decide",
        ),
        (all([0, 1, 2].map(|n| wedged(n, 9, 3))), "galera-start gives up such a start", "k2 k12: it is looked after"),
        (
            all([saved(0), saved(1), saved(2)]),
            "By itself: mysql/0, mysql/1, mysql/2 restore their saved view",
            "k12: nobody is needed",
        ),
        (vec![seen(down(0, 9)), silent(1), seen(down(2, 9))], "Never bootstrap while a member is not seen", "g10"),
    ] {
        let found = diagnose(&cluster(3), &views);
        assert!(found.advice.to_string().contains(expected), "{why}: {}", found.advice);
    }
}
