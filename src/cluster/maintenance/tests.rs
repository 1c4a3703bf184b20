//! One line a case: who does what, in which maintenance, and whether it is allowed.

use super::*;
use crate::cluster::diagnosis::diagnose;
use crate::cluster::memory::Joining;
use crate::cluster::observation::{Phase, StartMode};
use crate::cluster::situation::*;
use crate::cluster::start::{AutoRecovery, ByItself, Start, decide, without_primary};

fn mysql(n: u32) -> Scope {
    Scope::Member(format!("mysql/{n}"))
}

fn unreadable(o: Observation) -> Observation {
    o.with(|o| o.maintenance.unreadable = Some("torn".into()))
}

#[test]
fn h1_h2_h11_h18_q21_what_is_allowed_in_maintenance() {
    use Act::*;
    use By::{Itself, Person};
    let off = || vec![down(0, 9), down(1, 9)];
    let whole = || vec![down(0, 9).maintained(), down(1, 9)];
    let one = |n| vec![down(0, 9).notices(&[maintained(mysql(n), 1)]), down(1, 9)];
    let torn = || vec![unreadable(down(0, 9)), down(1, 9)];
    let over = || vec![down(0, 9).maintained(), down(1, 9).notices(&[maintenance_over(Scope::Cluster, 2)])];
    for (seen, act, by, allowed, why) in [
        (off(), Start, Itself, true, "no maintenance"),
        (off(), Begin, Itself, true, "no maintenance"),
        (whole(), Observe, Itself, true, "h19: looking never ends"),
        (whole(), Adopt, Itself, true, "h17: what runs is taken over"),
        (whole(), Leave, Itself, true, "BOSH stops it"),
        (whole(), Start, Itself, false, "q21: monit restarts the supervisor"),
        (whole(), Start, Person, true, "a person named it"),
        (whole(), GiveUp, Itself, false, "what runs is never killed"),
        (whole(), GiveUp, Person, true, "a start that a person let happen may be tried again"),
        (whole(), Obey, Itself, false, "an errand that does not know of it"),
        (whole(), Obey, Person, true, "an errand with --during-maintenance"),
        (whole(), Begin, Itself, false, "h1: no recovery by itself"),
        (whole(), Begin, Person, true, "the errand, with a member named"),
        (one(0), Start, Itself, false, "h2: this member"),
        (one(1), Start, Itself, true, "h2: another member"),
        (one(1), Obey, Itself, true, "another member"),
        (one(1), Begin, Itself, false, "a recovery holds all that are seen"),
        (one(2), Begin, Itself, true, "a member that is not seen is nobody's to hold"),
        (torn(), Start, Itself, false, "fails closed"),
        (torn(), Begin, Itself, false, "fails closed"),
        (torn(), Leave, Itself, true, "and can be stopped"),
        (over(), Start, Itself, true, "the other one heard that it is over"),
        (over(), Begin, Itself, true, "the other one heard that it is over"),
    ] {
        let mode = Mode::of(seen.iter());
        assert_eq!(may(act, by, "mysql/0", &mode).is_ok(), allowed, "{why}: {act:?} {by:?}");
    }
    let sticky = Mode::of([&down(0, 9), &unreadable(down(1, 9))]);
    let said = may(Act::Start, By::Itself, "mysql/0", &sticky).unwrap_err();
    assert!(said.contains("mysql/1 knows of maintenance cannot be read (torn)"), "{said}");
}

#[test]
fn h1_h2_q21_no_member_starts_by_itself_and_each_says_what_it_would_do() {
    let known = |n, seqno| down(n, seqno).remembers(remembering(&[(1, 0)]));
    let saved = |n| known(n, 9).saved(view(n, 6, &[0, 1, 2]));
    let on_0 = |o: Observation| o.notices(&[maintained(mysql(0), 1)]);
    for (own, others, expected, why) in [
        (
            down(0, 9).maintained(),
            vec![seen(primary(1, 9, &[1, 2])), seen(primary(2, 9, &[1, 2]))],
            "wait: maintenance of the whole cluster is on, by alice: a new switch",
            "a member that died",
        ),
        (
            down(0, 9).maintained(),
            vec![seen(primary(1, 9, &[1, 2])), seen(primary(2, 9, &[1, 2]))],
            "nothing is begun by itself; otherwise: join mysql/1, mysql/2",
            "and what it would do",
        ),
        (
            down(0, 9),
            vec![seen(primary(1, 9, &[1, 2])), seen(primary(2, 9, &[1, 2]).maintained())],
            "maintenance of the whole cluster is on",
            "sticky: it was away when it was switched on",
        ),
        (
            down(0, 9).maintained(),
            vec![seen(primary(1, 9, &[1]).notices(&[maintenance_over(Scope::Cluster, 2)])), silent(2)],
            "join mysql/1",
            "it was away when it was switched off",
        ),
        (
            down(0, 9).maintained().stance(Some("bosh"), 0),
            vec![seen(primary(1, 9, &[1])), silent(2)],
            "join mysql/1",
            "a person let it start",
        ),
        (
            down(0, 9).stance(None, 2),
            vec![seen(primary(1, 9, &[1])), silent(2)],
            "it looks 2 times more before it does anything by itself; otherwise: join",
            "m10: maintenance has just ended",
        ),
        (on_0(down(0, 9)), vec![seen(primary(1, 9, &[1])), silent(2)], "maintenance of mysql/0 is on", "this one only"),
        (
            saved(0).maintained(),
            vec![seen(saved(1)), seen(saved(2))],
            "otherwise: restore the saved view",
            "power loss",
        ),
        (
            saved(1).notices(&[maintained(mysql(0), 1)]),
            vec![seen(saved(0)), seen(saved(2))],
            "mysql/0 does not start by itself: maintenance of mysql/0 is on",
            "its view cannot be restored without the one in maintenance",
        ),
        (
            known(0, 10).maintained(),
            vec![seen(known(1, 9)), seen(known(2, 9))],
            "otherwise: bootstrap: EveryMemberSeen",
            "power loss, the best",
        ),
        (
            known(1, 9).maintained().stance(Some("bosh"), 0),
            vec![seen(known(0, 8)), seen(known(2, 8))],
            "otherwise: mysql/1 would begin",
            "a permit to start is none to bring the cluster back",
        ),
        (
            known(1, 10).notices(&[maintained(mysql(0), 1)]),
            vec![seen(known(0, 8)), seen(known(2, 8))],
            "maintenance of mysql/0 is on",
            "a recovery would hold the one in maintenance",
        ),
        (
            empty(0).maintained(),
            vec![seen(empty(1)), seen(empty(2))],
            "otherwise: bootstrap: FirstDeploy",
            "a first deploy too",
        ),
        (
            down(0, 12).maintained(),
            vec![seen(primary(1, 9, &[1]).applied_all()), silent(2)],
            "refuse to join: AheadOfCluster",
            "a refusal is told as it is",
        ),
        (unreadable(down(0, 9)), vec![seen(primary(1, 9, &[1])), silent(2)], "cannot be read", "fails closed"),
    ] {
        let me = member(own.member.name.trim_start_matches("mysql/").parse().unwrap());
        let found = decide(&cluster(3), AutoRecovery::Provable, &me, &own, &others);
        assert!(found.to_string().contains(expected), "{why}: {found}");
        let waits = matches!(found, Start::Wait(_) | Start::Refuse(_));
        assert_eq!(waits, !expected.starts_with("join"), "{why}: {found}");
    }
}

#[test]
fn h1_a_live_member_without_quorum_is_left_as_it_is() {
    let alone = || non_primary(2, 9, 1).phase(Phase::Serving).view_for(60);
    let others = || vec![seen(down(0, 9)), seen(down(1, 9))];
    let found = |own: Observation| without_primary(&cluster(3), AutoRecovery::Provable, &member(2), &own, &others());
    assert!(!matches!(found(alone().maintained()), ByItself::Begin(_)));
    let told = format!("{:?}", found(alone().remembers(remembering(&[(1, 0)])).maintained()));
    assert!(
        told.contains("maintenance of the whole cluster") && told.contains("otherwise: mysql/2 would begin"),
        "{told}"
    );
    assert!(matches!(found(alone().remembers(remembering(&[(1, 0)]))), ByItself::Begin(_)));
}

#[test]
fn h4_m6_what_is_under_way_is_listed() {
    let started = |mode| {
        running(1, 9).with(|o| {
            if let crate::cluster::observation::SupervisorSight::Present(s) = &mut o.supervisor {
                s.child = Some(crate::cluster::observation::Child {
                    pid: 9,
                    mode,
                    seconds: 1,
                    work: 0,
                    standstill: None,
                    giving: None,
                });
            }
        })
    };
    let broken = down(1, 9).with(|o| {
        o.memory.joining = Some(Joining { from: None, incarnation: None, print: None, overwritten: false, boot: None })
    });
    let donor = primary(1, 9, &[0, 1])
        .state(crate::galera::wsrep::ClusterStatus::Primary, crate::galera::wsrep::LocalState::Donor);
    let transfer = running(1, 9).with(|o| o.process.as_mut().unwrap().state_transfer = true);
    for (o, expected) in [
        (primary(1, 9, &[1]), None),
        (down(1, 9), None),
        (down(1, 9).held(), Some("held by bootstrap errand on mysql/0")),
        (primary(1, 9, &[1]).phase(Phase::Stopping), Some("being stopped")),
        (started(StartMode::Join), Some("it joins")),
        (started(StartMode::Bootstrap), Some("begins a new incarnation")),
        (started(StartMode::RestoreView), Some("restores its saved view")),
        (transfer, Some("full copy (SST)")),
        (donor, Some("gives its state")),
        (broken, Some("its join began")),
        (down(1, 9).with(|o| o.memory.founding = true), Some("very first bootstrap")),
    ] {
        let views = [seen(primary(0, 9, &[0])), seen(o), silent(2)];
        for scope in [Scope::Cluster, mysql(1)] {
            let found = under_way(&views, &scope);
            assert_eq!(found.len(), usize::from(expected.is_some()), "{found:?}");
            assert!(expected.is_none_or(|e| found[0].to_string().contains(e)), "{expected:?}: {found:?}");
        }
        assert!(under_way(&views, &mysql(0)).is_empty());
    }
}

fn three(n: u32) -> Observation {
    primary(n, 9, &[0, 1, 2])
}

fn forced(epoch: u64) -> Notice {
    let undone = vec![Undone { member: "mysql/2".into(), what: "it joins".into() }];
    Notice { undone, ..maintained(Scope::Cluster, epoch) }
}

#[test]
fn h9_m8_maintenance_ends_freely_only_where_nothing_would_happen() {
    let pair = |n: u32| primary(n, 9, &[0, 1]).maintained();
    let known = |n, seqno| down(n, seqno).remembers(remembering(&[(1, 0)])).maintained();
    let only_2 = |o: Observation| o.notices(&[maintained(mysql(2), 1)]);
    let whole = Scope::Cluster;
    for (views, scope, planned, ready, why) in [
        (vec![three(0).maintained(), three(1), three(2)], &whole, "", true, "all is well"),
        (vec![pair(0), pair(1), down(2, 9)], &whole, "mysql/2: join mysql/0, mysql/1", false, "one is down"),
        (
            vec![known(0, 9), known(1, 10), known(2, 9)],
            &whole,
            "mysql/1: bootstrap: EveryMemberSeen",
            false,
            "all are down",
        ),
        (vec![only_2(three(0)), three(1), three(2)], &mysql(2), "", true, "one member, and it is well"),
        (
            vec![primary(0, 9, &[0, 1]), primary(1, 9, &[0, 1]), only_2(down(2, 9))],
            &mysql(2),
            "mysql/2: join",
            false,
            "one member, and it is down",
        ),
        (
            vec![
                primary(0, 9, &[0, 1]),
                primary(1, 9, &[0, 1]),
                down(2, 9).notices(&[maintained(whole.clone(), 1), maintained(mysql(2), 1)]),
            ],
            &mysql(2),
            "",
            false,
            "the whole cluster's goes on, so nothing would happen, and it is not well",
        ),
    ] {
        let views: Vec<MemberView> = views.into_iter().map(seen).collect();
        let plan = plan(&cluster(3), AutoRecovery::Provable, &views, scope);
        let told: Vec<String> = plan.iter().map(|p| format!("{}: {}", p.member, p.what)).collect();
        assert!(told.join("; ").contains(planned) && told.is_empty() == planned.is_empty(), "{why}: {told:?}");
        let verdict = ready_to_end(scope, &diagnose(&cluster(3), &views), &plan);
        assert_eq!(verdict.is_ok(), ready, "{why}: {verdict:?}");
    }
}

#[test]
fn m8_a_time_that_is_over_ends_maintenance_only_where_all_is_well() {
    let views = |third: MemberView| vec![seen(three(0).notices(&[forced(1)])), seen(three(1)), third];
    let pair = || {
        let pair = |n: u32| primary(n, 9, &[0, 1]).notices(&[forced(1)]);
        vec![seen(pair(0)), seen(pair(1)), seen(down(2, 9))]
    };
    for (views, now, expected, why) in [
        (views(seen(three(2))), 8200, Some((false, 0)), "its time is over, and all is well"),
        (views(seen(three(2))), 8199, Some((true, 0)), "not yet; but what was left undone is done"),
        (views(silent(2)), 9999, None, "one is not seen"),
        (pair(), 9999, None, "one is down, and would join"),
        (views(seen(unreadable(three(2)))), 9999, None, "what one says cannot be read"),
    ] {
        let found = tidied(&cluster(3), AutoRecovery::Provable, &views, now);
        let notice = found.as_ref().and_then(|n| n.of(&Scope::Cluster));
        assert_eq!(notice.map(|n| (n.is_on(), n.undone.len())), expected, "{why}");
        assert!(notice.is_none_or(|n| n.epoch == 2), "{why}: the newer word");
    }
}
