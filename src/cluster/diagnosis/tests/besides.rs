//! How sure a diagnosis is, what it warns of, and how it travels.

use super::*;
use crate::cluster::lineage::{Incarnation, Lineage};
use crate::cluster::memory::Remembered;
use crate::cluster::standing::{Provenance, Standing};
use crate::galera::grastate::Grastate;
use crate::galera::log_lines::evidence;
use crate::galera::moment::Moment;

#[test]
fn s15_s23_how_sure_it_is() {
    use Confidence::{Certain, OneWitness};
    let busy = three(1).wsrep(|w| (w.flow_control_active, w.flow_control_requested) = (true, true));
    for (views, expected, why) in [
        (pair_and(silent(2)), Certain, "two say so"),
        (vec![seen(three(0)), silent(1), silent(2)], OneWitness, "one says so"),
        (all([three(0), busy, three(2)]), OneWitness, "one moment"),
        (vec![seen(down(0, 9)), silent(1), silent(2)], Confidence::Unknown, "whoever is not seen may know better"),
        (vec![silent(0), silent(1), silent(2)], Confidence::Unknown, "nobody is seen"),
        (all([down(0, 9), down(1, 9), down(2, 9)]), Certain, "all are seen"),
    ] {
        assert_eq!(diagnose(&cluster(3), &views).confidence, expected, "{why}");
    }
}

#[test]
fn s12_s19_q10_q13_what_should_be_known_besides() {
    let codes = |cluster: &Cluster, views: &[MemberView]| -> Vec<WarningCode> {
        diagnose(cluster, views).warnings.into_iter().map(|w| w.code).collect()
    };
    let full = |n| three(n).with(|o| o.host.free_bytes = Some(0));
    let zeroed = down(0, 9).with(|o| {
        o.disk.grastate =
            File::Present(Grastate { version: "2.1".into(), uuid: Uuid::NIL, seqno: -1, safe_to_bootstrap: true });
    });
    let old = down(2, 3).with(|o| o.position = Standing::At { position: at(3), from: Provenance::CleanStop });
    let caches = |n| pair(n).wsrep(|w| w.local_cached_downto = Some(7));
    let dies = |times| three(1).with(|o| o.deaths.last_hour = times);
    let ignored = |n, at: &str| {
        let line = format!(
            "2026-11-21 {at} 43 [Warning] WSREP: Ignoring error 'Temporary file write failure' on query. Default database: ''. Query: 'ALTER TABLE shop.t ADD INDEX ib (b)', Error_code: 1878"
        );
        three(n).with(|o| o.log = evidence(&line))
    };
    let since = |clock: &str, o: Observation| {
        let began = Moment::parse(&format!("2026-11-21 {clock}")).unwrap();
        let now = Moment::parse("2026-11-21 12:00:00").unwrap();
        o.with(|o| (o.at, o.process_seconds) = (now.rfc3339(), Some(now.since(began) / 1000)))
    };
    let fell_back = three(1).with(|o| {
        if let SupervisorSight::Present(supervisor) = &mut o.supervisor {
            supervisor.fell_back = Some(FellBack { had: at(64), found: at(9) });
        }
    });
    let healthy = || all([three(0), three(1), three(2)]);
    let with = |n: usize, view: MemberView| {
        let mut v = healthy();
        v[n] = view;
        v
    };
    for (views, expected, why) in [
        (healthy(), None, "nothing"),
        (
            all([0, 1, 2].map(|n| three(n).wsrep(|w| (w.cluster_size, w.incoming_addresses) = (4, "a,b,c,".into())))),
            Some(WarningCode::StrangerInGroup),
            "intruder: garbd of somebody else has a vote",
        ),
        (pair_and(silent(2)), Some(WarningCode::OneMoreLossLosesQuorum), "q13: two are left"),
        (all([primary(0, 9, &[0])]), Some(WarningCode::SingleNode), "one member"),
        (all([0, 1].map(|n| pair(n).of(2))), Some(WarningCode::EvenSizedCluster), "q13: two members"),
        (all([full(0), full(1), three(2)]), Some(WarningCode::SeveralDisksFull), "s19: shared storage"),
        (
            with(0, seen(three(0).with(|o| o.host.free_bytes = Some(100 << 20)))),
            Some(WarningCode::DiskNearlyFull),
            "low",
        ),
        (with(0, seen(three(0).with(|o| o.host.write_milliseconds = Some(999)))), None, "a disk that is busy"),
        (
            with(0, seen(three(0).with(|o| o.host.write_milliseconds = Some(1000)))),
            Some(WarningCode::SlowDisk),
            "s2: under load all wait for it",
        ),
        (
            with(0, seen(three(0).finds(&[1], PortAnswer::Silent))),
            Some(WarningCode::LinksCut),
            "s4: well, and not reached",
        ),
        (
            all([three(0).finds(&[1], PortAnswer::Refused), three(1), three(2)]),
            Some(WarningCode::LinksCut),
            "s4: it listens, and something refuses in its name",
        ),
        (
            all([
                three(0).finds(&[2], PortAnswer::Refused),
                three(1),
                three(2).state(ClusterStatus::Disconnected, LocalState::Inconsistent),
            ]),
            None,
            "one that left the group closes its port: no cut",
        ),
        (
            with(0, seen(three(0).wsrep(|w| w.quorum_ignored = vec!["pc.ignore_sb".into()]))),
            Some(WarningCode::PcIgnoreSbSet),
            "a trap",
        ),
        (
            with(0, seen(three(0).wsrep(|w| w.quorum_ignored = vec!["pc.ignore_quorum".into()]))),
            Some(WarningCode::PcIgnoreQuorumSet),
            "a trap",
        ),
        (
            with(0, seen(three(0).with(|o| o.member.version = "1".into()))),
            Some(WarningCode::MixedVersions),
            "an update",
        ),
        (
            with(
                0,
                seen(three(0).with(|o| {
                    o.member.expects.pop();
                })),
            ),
            Some(WarningCode::MembershipConfigMismatch),
            "s6: a deploy",
        ),
        (
            with(0, seen(three(0).wsrep(|w| w.evs_evict_list = H.to_string()))),
            Some(WarningCode::EvictedMembers),
            "evicted",
        ),
        (
            with(0, seen(three(0).with(|o| o.supervisor = SupervisorSight::Absent { why: String::new() }))),
            Some(WarningCode::SupervisorAbsent),
            "alone",
        ),
        (all([zeroed, down(1, 9), down(2, 9)]), Some(WarningCode::SafeToBootstrapSuspicious), "zero UUID, safe = 1"),
        (
            all([down(0, 8).safe(), down(1, 9), down(2, 9)]),
            Some(WarningCode::SafeToBootstrapSuspicious),
            "safe, and behind",
        ),
        (with(1, seen(dies(2))), None, "t12: twice is no habit"),
        (with(1, seen(dies(3))), Some(WarningCode::DiesAgainAndAgain), "t12: and came back each time"),
        (
            all([since("11:00", three(0)), since("11:00", ignored(1, "11:59:00")), since("11:00", three(2))]),
            Some(WarningCode::DdlDiffers),
            "t13: its schema may differ, and nobody votes",
        ),
        (
            all([0, 1, 2].map(|n| since("11:00", ignored(n, &format!("11:59:0{n}"))))),
            None,
            "t13: it failed at all of them alike: somebody's mistake",
        ),
        (
            all([since("11:59:30", three(0)), since("11:00", ignored(1, "11:59:00")), since("11:59:30", three(2))]),
            None,
            "t13: nobody is left who could tell how it ended elsewhere",
        ),
        (with(1, seen(fell_back)), Some(WarningCode::PositionFellBack), "t9: its disk lost the last 55"),
        (
            with(1, seen(three(1).with(|o| o.kept_aside = vec!["/store/data.kept-1".into()]))),
            Some(WarningCode::DataKeptAside),
            "t9: somebody should look into it",
        ),
        (
            with(1, seen(three(1).with(|o| o.memory.not_on_disk()))),
            Some(WarningCode::CopyNotOnDisk),
            "the disk failed to take a full copy",
        ),
        (all([caches(0), caches(1), old]), Some(WarningCode::GcacheTooSmallForIst), "away for too long"),
    ] {
        let found = codes(&cluster(u32::try_from(views.len()).unwrap()), &views);
        assert_eq!(found.first().copied().filter(|_| expected.is_none()), None, "{why}: {found:?}");
        assert!(expected.is_none_or(|e| found.contains(&e)), "{why}: {found:?}");
    }
    let zones = |zones: [&str; 3]| {
        let mut cluster = cluster(3);
        for (member, zone) in cluster.members.iter_mut().zip(zones) {
            member.az = Some(zone.into());
        }
        let views = [seen(down(0, 9)), silent(1), silent(2)];
        let views: Vec<MemberView> =
            views.into_iter().zip(&cluster.members).map(|(v, m)| MemberView { member: m.clone(), ..v }).collect();
        codes(&cluster, &views)
    };
    assert_eq!(zones(["z1", "z2", "z2"]), [WarningCode::OneAzUnseen], "s12: a zone is gone");
    assert_eq!(zones(["z1", "z2", "z3"]), [], "no common cause");
    assert!(zones(["z1", "z1", "z1"]).contains(&WarningCode::MembersInOneAz));
}

#[test]
fn a_diagnosis_travels_as_json_with_its_codes_by_name() {
    let found = diagnose(&cluster(3), &pair_and(silent(2)));
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!((&json["code"], &json["members"][2]["code"]), (&"Degraded".into(), &"AgentUnreachable".into()));
    assert_eq!(serde_json::from_value::<Diagnosis>(json).unwrap(), found);
    assert!(found.to_string().lines().all(|l| l.chars().count() <= 80), "{found}");
}

#[test]
fn every_code_has_its_place_in_the_runbook() {
    let runbook = include_str!("../../../../docs/runbook.md");
    let variants = include_str!("../codes.rs").lines().filter_map(|line| line.strip_prefix("    ")?.strip_suffix(','));
    let codes: Vec<&str> = variants.filter(|v| v.chars().all(char::is_alphanumeric)).collect();
    assert!(codes.len() > 70, "{codes:?}");
    let told_in_words = ["Certain", "OneWitness"];
    let missing: Vec<&&str> =
        codes.iter().filter(|code| !told_in_words.contains(*code) && !runbook.contains(**code)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

fn begun_without_mysql_2() -> Memory {
    let first = lineage(&[(1, 0)]).newest().cloned().unwrap();
    let begun = Incarnation { left_out: vec!["mysql/2: all".into()], ..first };
    Remembered { incarnation: Some(begun.id), lineage: Lineage::default().with(begun), ..Remembered::default() }.into()
}

#[test]
// R5
fn r5_who_does_not_join_by_itself_is_said() {
    let ahead = down(2, 12).with(|o| o.memory.supersede(Some(at(9))));
    for (views, expected, why) in [
        (all([primary(0, 9, &[0]), down(1, 9), down(2, 9)]), "By itself: they join once they run", "all do"),
        (
            all([primary(0, 9, &[0]), down(1, 9), ahead.clone()]),
            "By itself: mysql/2 stays as it is until somebody does something; mysql/1 joins once",
            "one waits for a person",
        ),
        (
            vec![seen(primary(0, 9, &[0]).remembers(begun_without_mysql_2())), seen(down(1, 9)), silent(2)],
            "By itself: they join once they run; what was left out when mysql/0 began joins only if the cluster lacks nothing of it (mysql/2: all)",
            "one that is not seen was left out by a person",
        ),
        (
            pair_and(seen(ahead)),
            "By itself: mysql/2 stays as it is until somebody does something. Never",
            "nobody joins",
        ),
        (
            all([primary(0, 9, &[0]), down(1, 9).held(), down(2, 9)]),
            "without a sign of life from there the holds end within 60 s",
            "a hold has an end",
        ),
    ] {
        let advice = diagnose(&cluster(3), &views).advice.to_string();
        assert!(advice.contains(expected), "{why}: {advice}");
    }
}

#[test]
fn storm_1601_who_was_voted_out_for_having_succeeded_is_told_apart() {
    let vote = |what: &str| {
        let line = format!(
            "2026-12-01  0:20:40 7 [ERROR] WSREP: Vote {what} on {H}:2692 is inconsistent with group. Leaving cluster."
        );
        three(2).state(ClusterStatus::NonPrimary, LocalState::Inconsistent).with(|o| o.log = evidence(&line))
    };
    for (what, told) in [("0 (success)", true), ("fe9060369ebaa011", false)] {
        let found = diagnose(&cluster(3), &pair_and(seen(vote(what))));
        let member = found.members.iter().find(|m| m.name == "mysql/2").unwrap();
        assert_eq!(member.code, MemberCode::Inconsistent);
        assert_eq!(member.sentence.contains("It carried out what the others failed at"), told, "{}", member.sentence);
    }
}

#[test]
fn what_was_set_aside_is_told_with_the_reason() {
    let kept = three(1).with(|o| o.kept_aside = vec!["/store/data.abandoned-1".into(), "/store/data.kept-2".into()]);
    let told = diagnose(&cluster(3), &all([three(0), kept, three(2)]));
    let expected = "a person gave it up: /store/data.abandoned-1; it was not known that the cluster has all of it: /store/data.kept-2";
    assert!(told.warnings.iter().any(|w| w.sentence.contains(expected)), "{:?}", told.warnings);
}

#[test]
// D9
fn d9_well_by_views_of_different_moments_takes_a_second_look() {
    let healthy = diagnose(&cluster(3), &all([three(0), three(1), three(2)]));
    assert_eq!((healthy.confidence, healthy.needs_second_look), (Confidence::Certain, false));
    let later = |change: fn(&mut crate::galera::wsrep::Wsrep)| all([three(0), three(1), three(2).wsrep(change)]);
    for views in [
        later(|w| w.cluster_conf_id = Some(9)),
        later(|w| w.incoming_addresses = "10.0.0.0:3306,10.0.0.1:3306,10.0.0.9:3306".into()),
    ] {
        let found = diagnose(&cluster(3), &views);
        assert_eq!(found.code, Healthy, "{found}");
        assert_eq!((found.confidence, found.needs_second_look), (Confidence::OneWitness, true), "{found}");
    }
    let mut swapped = three(2);
    swapped.wsrep.as_mut().unwrap().incoming_addresses = "10.0.0.2:3306,10.0.0.0:3306,10.0.0.1:3306".into();
    assert!(!diagnose(&cluster(3), &all([three(0), three(1), swapped])).needs_second_look, "the order says nothing");
    // Measured: who receives a full copy while the view changes lists the members of the view before.
    for views in [
        all([three(0), three(1), three(2).wsrep(|w| w.incoming_addresses = "10.0.0.0:3306,10.0.0.1:3306".into())]),
        all([three(0).wsrep(|w| w.incoming_addresses = "10.0.0.1:3306".into()), three(1), three(2)]),
    ] {
        assert!(!diagnose(&cluster(3), &views).needs_second_look, "a list of another size is of another view");
    }
}
