//! The outage that lasted two days: its own log and its own list of ports, through the parsers that the
//! agent uses. One member's words are all that was kept; its two peers are taken to say the same.

use super::code;
use crate::cluster::diagnosis::*;
use crate::cluster::observation::{Observation, Ports, Process, SupervisorSight};
use crate::cluster::situation::*;
use crate::cluster::standing::standing;
use crate::galera::log_lines::{LogKind, evidence};

const LOG: &str = include_str!("../fixtures/seed_000_error_log.txt");
const NETSTAT: &str = include_str!("../fixtures/seed_000_netstat.txt");
const COMMAND_LINE: &str = "/var/vcap/packages/mariadb/bin/mysqld --pid-file=/var/vcap/sys/run/mysql/mysql.pid \
    --socket=/var/vcap/sys/run/mysql/mysqld.sock --port=3306 \
    --wsrep_start_position=746e46f3-8f76-11e7-9c1c-a220eabab4ba:20626756";

/// Which ports have a listener, by `netstat -tulpn`.
fn ports() -> Ports {
    let listeners = NETSTAT.lines().filter(|l| l.contains(" LISTEN "));
    let ports: Vec<u16> =
        listeners.filter_map(|line| line.split_whitespace().nth(3)?.rsplit_once(':')?.1.parse().ok()).collect();
    let open = |port| ports.contains(&port);
    Ports { sql: open(3306), galera: open(4567), ist: open(4568), sst: open(4444) }
}

/// One of the three, two days later: no pid file was there to look at, and nobody of ours supervised it.
fn stuck(n: u32) -> Observation {
    let position = COMMAND_LINE.split_once("--wsrep_start_position=").unwrap().1.parse().unwrap();
    let process = Process { start_position: Some(position), ..running(n, 0).process.unwrap() };
    down(n, 0).with(|o| {
        o.supervisor = SupervisorSight::Absent { why: "there is none".into() };
        o.position = standing(Some(&process), None, &o.disk, &o.memory, None, None);
        o.process = Some(process);
        o.process_seconds = Some(2 * 24 * 3600);
        o.ports = ports();
        o.log = evidence(LOG);
    })
}

#[test]
fn k1_k3_k5_k6_k7_k8_k16_the_outage_of_two_days_has_a_name() {
    assert_eq!(ports(), Ports { galera: true, ..Ports::default() }, "4567 listens, 3306 does not");
    let found = diagnose(&cluster(3), &[0, 1, 2].map(|n| seen(stuck(n))));
    assert_eq!((found.code, found.confidence), (ClusterCode::AllNonPrimaryWedged, Confidence::Certain));
    assert!(found.members.iter().all(|m| m.code == MemberCode::WedgedAtStart), "{found}");
    for words in ["By itself: nothing", "galera-start does not run on mysql/0, mysql/1, mysql/2", "monit start mariadb"]
    {
        assert!(found.advice.to_string().contains(words), "{words}: {}", found.advice);
    }
    let evidence = found.evidence.join("\n");
    for words in [
        "no nodes coming from prim view",
        "inconsistent to restored view",
        "Received NON-PRIMARY",
        "view# -1: non-Primary, number of nodes: 3",
        "stands at 746e46f3-8f76-11e7-9c1c-a220eabab4ba:20626756 (start argument)",
    ] {
        assert!(evidence.contains(words), "{words}: {evidence}");
    }
}

#[test]
fn k13_its_log_says_that_the_server_was_restarted() {
    let started = evidence(LOG).into_iter().find(|e| e.kind == LogKind::Started).unwrap();
    assert!(started.text.starts_with("2017-10-21 21:57:32") && started.text.contains("process 1890"), "{started:?}");
}

#[test]
fn k1_s15_what_one_of_them_alone_can_know() {
    let alone = [seen(stuck(0)), silent(1), silent(2)];
    let found = diagnose(&cluster(3), &alone);
    assert_eq!((found.code, found.confidence), (ClusterCode::PartialKnowledge, Confidence::Unknown));
    assert!(found.sentence.contains("mysql/0 is connected to all of them, and none has quorum"), "{found}");
    assert_eq!(found.members[0].code, MemberCode::WedgedAtStart);
    let at_first = stuck(0).with(|o| o.log = evidence(LOG.split_inclusive("memb_num = 1\n").next().unwrap()));
    assert_eq!(code(&cluster(3), &[seen(at_first), silent(1), silent(2)]), ClusterCode::MinorityOnly);
}

#[test]
fn k1_k12_a_stale_saved_view_is_named_as_what_keeps_the_others_waiting() {
    let views = [view(0, 7, &[0, 1]), view(1, 7, &[0, 1]), view(2, 6, &[0, 1, 2])];
    let members: Vec<_> = (0..).zip(views).map(|(n, view)| seen(stuck(n).saved(view))).collect();
    let found = diagnose(&cluster(3), &members);
    assert!(found.advice.run.contains("Killing mariadbd of mysql/2 alone"), "{}", found.advice);
    let apart = members[..2].iter().cloned().chain([seen(stuck(2).saved(view(2, 6, &[0, 2])))]);
    let of_three = [view(0, 7, &[0, 1, 2]), view(1, 7, &[0, 1, 2]), view(2, 6, &[0, 1, 2])];
    let three: Vec<_> = (0..).zip(of_three).map(|(n, view)| seen(stuck(n).saved(view))).collect();
    assert!(diagnose(&cluster(3), &apart.collect::<Vec<_>>()).advice.run.contains("Killing mariadbd of mysql/2 alone"));
    assert!(!diagnose(&cluster(3), &three).advice.run.contains("Killing"), "the others would go on waiting for it");
    assert!(found.members[2].sentence.contains("older than another member's"), "{found}");
}
