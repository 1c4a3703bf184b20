//! Situations that nobody thought of: clusters of members drawn at random, most of them impossible. What is decided of them
//! is not compared with anything; it must hold together. Whoever hears in another order decides the same, two members never
//! decide for different ones, nobody begins beside a primary component, and every page can be read.

use std::time::{Duration, SystemTime};

use proptest::collection::vec;
use proptest::prelude::*;

use super::bootstrap::{Evidence, Fence, Proof, forced, proof, suggested_force};
use super::diagnosis::page::{Page, Paint};
use super::diagnosis::{Diagnosis, MemberCode, diagnose};
use super::donors::donors;
use super::health::{Fitness, health, monit_word};
use super::join::{may_abandon, may_join};
use super::leave::{Intent, may_leave};
use super::maintenance::Scope;
use super::member::Cluster;
use super::memory::{Announced, Companion, Memory};
use super::observation::*;
use super::primary::{Primaries, Primary, primaries};
use super::recovery::{Recovery, joiners, recovery};
use super::restore::{Restore, may_restore};
use super::situation::*;
use super::standing::{Standing, Unknown};
use super::start::{AutoRecovery, Start, decide, way_out};
use crate::galera::log_lines::evidence;
use crate::galera::uuid::Uuid;
use crate::galera::wsrep::{ClusterStatus, LocalState};

const MOST: u32 = 4;

/// One of these, by a number that was drawn.
fn one<T: Clone>(of: &[T], drawn: u64) -> T {
    of[usize::try_from(drawn).unwrap_or_default() % of.len()].clone()
}

/// Some of the members, by a number that was drawn; at least one.
fn some(drawn: u64) -> Vec<u32> {
    let picked: Vec<u32> = (0..MOST).filter(|n| drawn >> n & 1 == 1).collect();
    if picked.is_empty() { vec![u32::try_from(drawn >> 4).unwrap_or_default() % MOST] } else { picked }
}

/// What a member is, before anything else is known of it.
fn begun_as(n: u32, kind: u8, drawn: u64) -> Observation {
    let (seqno, group) = (5 + drawn % 4, 1 + u32::try_from(drawn % u64::from(MOST)).unwrap_or_default());
    match kind % 11 {
        0..=3 => down(n, seqno),
        4 => down(n, seqno).safe(),
        5 => down(n, seqno).stopped(),
        6 => empty(n),
        7 | 8 => primary(n, seqno, &some(drawn >> 8)),
        9 => non_primary(n, seqno, group),
        _ => wedged(n, seqno, group),
    }
}

/// Something else about it.
fn turned(o: Observation, kind: u8, drawn: u64) -> Observation {
    let of = some(drawn);
    match kind % 25 {
        0 => o.without_supervisor(),
        1 => o.bounded(),
        2 if !o.is_voted_out() => o.unknown(one(
            &[Unknown::NotLookedYet, Unknown::NoPosition, Unknown::Failed, Unknown::JoinBroke, Unknown::NotOnDisk],
            drawn,
        )),
        3 if o.position.position().is_some() => o.of_history(u128::from(1 + drawn % 2)),
        4 => {
            let n = u32::try_from(drawn >> 8).unwrap_or_default() % MOST;
            o.saved(view(n, 1 + u32::try_from(drawn >> 4 & 3).unwrap_or_default(), &of))
        }
        5 if o.disk.saved_view.present().is_some() => o.caught_up(),
        6 => {
            let past: Vec<(u128, u64)> = of.iter().map(|n| (u128::from(*n) + 1, drawn >> n & 7)).collect();
            o.remembers(remembering(&past))
        }
        7 => o.with(|o| o.memory = Memory::default()),
        8 => o.unexplained(),
        9 => o.held(),
        10 => o.phase(one(&[Phase::Preparing, Phase::Recovering, Phase::Held, Phase::Serving, Phase::Stopping], drawn)),
        11 => {
            let o = o.state(
                one(&[ClusterStatus::Primary, ClusterStatus::NonPrimary, ClusterStatus::Disconnected], drawn),
                one(
                    &[LocalState::Joining, LocalState::Donor, LocalState::Joined, LocalState::Inconsistent],
                    drawn >> 4,
                ),
            );
            // Where it stands is not believed of a server that says so (`standing.rs`).
            if o.is_voted_out() { o.unknown(Unknown::VotedOut) } else { o }
        }
        12 => {
            let failed = Sql::Failed { why: "an error".into() };
            o.with(|o| o.sql = one(&[Sql::TimedOut, Sql::TooManyConnections, Sql::Denied, failed], drawn))
        }
        13 => o.with(|o| o.wsrep = None),
        14 => o.notices(&[one(&[maintained(Scope::Cluster, 1), maintenance_over(Scope::Cluster, 2)], drawn)]),
        15 => o.with(|o| o.going_for_good = true),
        16 => o.with(|o| o.memory.departed = of.iter().map(|n| format!("mysql/{n}")).collect()),
        17 => o.with(|o| {
            let by = Companion { name: format!("mysql/{}", of[0]), id: format!("id-{}", of[0]) };
            let id = Uuid::from_u128(u128::from(drawn % 6));
            let lineage = lineage(&[(u128::from(drawn % 3) + 1, 0)]);
            o.memory.announced = vec![Announced { id, by, known_as: None, lineage }];
        }),
        18 => o.with(|o| {
            (o.memory.superseded, o.memory.voted_out) = one(&[(true, false), (false, true), (true, true)], drawn);
        }),
        19 => o.with(|o| o.deaths.in_a_row = u32::try_from(drawn % 6).unwrap_or_default()),
        20 => o.with(|o| {
            o.memory.damaged = Some("torn".into());
        }),
        21 => o.view_for(drawn % 99),
        22 => o.finds(&of, one(&[PortAnswer::Open, PortAnswer::Refused, PortAnswer::Silent], drawn >> 8)),
        23 => o.with(|o| o.log = evidence(one(&LINES, drawn))),
        // As a VM is whose jobs come up.
        24 if o.wsrep.is_none() => o.unknown(Unknown::NotLookedYet).without_supervisor(),
        _ => o,
    }
}

const LINES: [&str; 3] = [
    "[ERROR] WSREP: Inconsistency detected: Inconsistent by consensus on 746e46f3-8f76-11e7-9c1c-a220eabab4ba:9",
    "[Note] WSREP: New COMPONENT: primary = yes, bootstrap = yes, my_idx = 0, memb_num = 1",
    "[Note] WSREP: New COMPONENT: primary = no, bootstrap = no, my_idx = 0, memb_num = 2",
];

/// A member, as somebody sees it or does not.
fn any_view(n: u32) -> impl Strategy<Value = MemberView> {
    (0u8..10, any::<(u8, u64)>(), vec(any::<(u8, u64)>(), 0..5)).prop_map(move |(sight, (kind, drawn), turns)| {
        match sight {
            0 => silent(n),
            1 => refused(n),
            _ => seen(turns.into_iter().fold(begun_as(n, kind, drawn), |o, (kind, drawn)| turned(o, kind, drawn))),
        }
    })
}

fn any_views() -> impl Strategy<Value = Vec<MemberView>> {
    (1..=MOST).prop_flat_map(|count| (0..count).map(any_view).collect::<Vec<_>>())
}

fn of(views: &[MemberView]) -> Cluster {
    cluster(u32::try_from(views.len()).unwrap())
}

fn observations(views: &[MemberView]) -> impl Iterator<Item = (usize, &Observation)> {
    views.iter().enumerate().filter_map(|(n, view)| Some((n, view.seen()?)))
}

fn without(views: &[MemberView], n: usize) -> Vec<MemberView> {
    views.iter().enumerate().filter(|(m, _)| *m != n).map(|(_, view)| view.clone()).collect()
}

/// What each of them decides for itself.
fn decisions(cluster: &Cluster, views: &[MemberView]) -> Vec<Start> {
    observations(views)
        .map(|(n, own)| decide(cluster, AutoRecovery::Provable, &cluster.members[n], own, &without(views, n)))
        .collect()
}

fn whose(begun: &Start) -> Option<&Proof> {
    match begun {
        Start::Recover(proof) | Start::Found(proof) => Some(proof),
        _ => None,
    }
}

fn page(cluster: &Cluster, views: &[MemberView], diagnosis: &Diagnosis) -> String {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    Page { cluster: &cluster.name, from: "mysql/0", at, diagnosis, views }.text(Paint::Plain)
}

proptest! {
    #[test]
    fn whatever_is_seen_is_decided_by_all_alike(views in any_views(), order in Just((0..MOST as usize).collect::<Vec<_>>()).prop_shuffle()) {
        let cluster = of(&views);
        let evidence = Evidence::of(&cluster, &views, Fence::WouldHold);
        let found = proof(&evidence);
        let some_primary = !matches!(primaries(observations(&views).map(|(_, o)| o)), Primaries::None);
        if let Ok(found) = &found {
            prop_assert!(!some_primary, "G7: {found}");
            prop_assert!(observations(&views).any(|(_, o)| o.member.name == found.member()), "{found} names nobody that is seen");
        }
        let decided = decisions(&cluster, &views);
        let names: Vec<&str> = decided.iter().filter_map(whose).map(Proof::member).collect();
        prop_assert!(names.windows(2).all(|two| two[0] == two[1]), "they would begin from different members: {decided:#?}");

        let shuffled: Vec<MemberView> = order.iter().filter_map(|n| views.get(*n).cloned()).collect();
        let again = proof(&Evidence::of(&cluster, &shuffled, Fence::WouldHold));
        let of = |p: &Proof| (p.rule(), p.member().to_owned(), p.position(), p.way());
        prop_assert_eq!(found.as_ref().ok().map(of), again.as_ref().ok().map(of));
        for (n, own) in observations(&views) {
            let (others, mut reversed) = (without(&views, n), without(&views, n));
            reversed.reverse();
            let together = |others| matches!(may_restore(own, others), Restore::Together { .. });
            prop_assert_eq!(together(&others), together(&reversed));
            for intent in [(false, false), (true, false), (false, true)] {
                let intent = Intent { deployment_deleted: intent.0, instance_deleted: intent.1 };
                prop_assert_eq!(may_leave(own, &others, intent).is_ok(), may_leave(own, &reversed, intent).is_ok());
            }
        }
    }

    #[test]
    fn whatever_is_seen_the_page_can_be_read(views in any_views()) {
        let cluster = of(&views);
        let diagnosis = diagnose(&cluster, &views);
        let page = page(&cluster, &views, &diagnosis);
        for heading in ["What is wrong", "Since when", "Who has the newest data", "What to do", "What never to do"] {
            prop_assert!(page.contains(heading), "{heading} is missing:\n{page}");
        }
        let wide: Vec<&str> = page.lines().filter(|l| l.chars().count() > 80 && !l.trim().starts_with("`/var/vcap/")).collect();
        prop_assert!(wide.is_empty(), "{wide:#?}");
        prop_assert_eq!(&serde_json::from_str::<Diagnosis>(&serde_json::to_string(&diagnosis).unwrap()).unwrap(), &diagnosis);
        let words = [&diagnosis.advice.run, &diagnosis.advice.by_itself, &diagnosis.advice.never, &diagnosis.sentence];
        prop_assert!(words.iter().all(|w| !w.is_empty()), "{diagnosis:#?}");

        match recovery(&cluster, &views) {
            Recovery::Refuse(no) => drop(way_out(&cluster, &views, &no)),
            Recovery::UnderWay(why) => prop_assert!(!why.is_empty()),
            Recovery::Begin(proof) => prop_assert!(!proof.to_string().is_empty()),
            Recovery::Healthy(_) | Recovery::PrimaryExists { .. } => {}
        }
        joiners(&cluster, &views);
        donors(&views);
        for (_, own) in observations(&views) {
            let fit = health(own, Fitness { when_donor: true, when_read_only: false });
            prop_assert!(!fit.sentence.is_empty());
            monit_word(own);
            prop_assert_eq!(&serde_json::from_str::<Observation>(&serde_json::to_string(own).unwrap()).unwrap(), own);
        }
    }

    // A page must not name what is refused.
    #[test]
    fn a_way_out_that_is_suggested_is_one(views in any_views()) {
        let cluster = of(&views);
        let evidence = Evidence::of(&cluster, &views, Fence::WouldHold);
        if let Some(force) = suggested_force(&evidence) {
            let found = forced(&evidence, &force);
            prop_assert!(found.is_ok(), "{force:?}: {found:?}");
            prop_assert!(force.fault(&cluster).is_none());
        }
        let diagnosis = diagnose(&cluster, &views);
        for (n, own) in observations(&views) {
            let told = diagnosis.members.iter().find(|m| m.name == own.member.name);
            let asks = told.is_some_and(|m| {
                use MemberCode::{AheadOfCluster, Inconsistent, OtherHistory, UnknownPosition};
                matches!(m.code, AheadOfCluster | OtherHistory | Inconsistent | UnknownPosition)
            });
            let others = without(&views, n);
            let of = primaries(others.iter().filter_map(MemberView::seen));
            // Whom nobody may join yet, nobody gives anything up for.
            let joined = |primary: &Primary| {
                !primary.synced.is_empty() && may_join(&Standing::Empty, &Memory::default(), primary).is_ok()
            };
            // Of one that lives beside its supervisor's absence the page says to start that first.
            let asks = asks && !told.is_some_and(|m| m.sentence.contains("`monit start mariadb` first"));
            if asks && matches!(&of, Primaries::One(primary) if joined(primary)) {
                prop_assert!(may_abandon(own, &of).is_ok(), "{told:#?}: {:?}", may_abandon(own, &of));
            }
        }
    }
}
