//! The members' own codes.

use super::*;
use crate::cluster::standing::{Provenance, Standing};
use crate::galera::log_lines::evidence;
use crate::galera::wsrep::Wsrep;
use MemberCode::*;

/// A log with this line at its end, of a server that began as usual.
fn log(line: &'static str) -> impl Fn(Observation) -> Observation {
    move |o| o.with(|o| o.log = evidence(&format!("[Note] Starting MariaDB 1 as process 9\n{line}\n")))
}

/// Whom nobody answers for, and what these members say of it.
fn lost_as_seen_by(answers: [PortAnswer; 2]) -> Vec<MemberView> {
    let [a, b] = answers;
    vec![seen(pair(0).finds(&[2], a)), seen(pair(1).finds(&[2], b)), silent(2)]
}

/// Writes that hang behind an ALTER.
fn stall(behind: Option<&str>) -> WriteStall {
    WriteStall {
        seconds: 31,
        waits: "session 118 (ALTER TABLE) is \"Waiting for table metadata lock\"".into(),
        behind: behind.map(str::to_owned),
        before: vec!["115 of app, Query for 40 s".into()],
    }
}

fn uuid(n: u128) -> Uuid {
    Uuid::from_u128(n << 96 | 1)
}

#[test]
// S1, S5, S7, S8, S13, S18
fn s1_s5_s7_s8_s13_s18_a_member_that_is_not_seen() {
    use PortAnswer::{Open, Silent};
    let listed = |n| primary(n, 9, &[0, 2]);
    let port_open = MemberView { galera_port: Some(Open), ..silent(2) };
    for (views, expected, why) in [
        (lost_as_seen_by([Silent, Silent]), MemberLost, "s7 s13: everybody who can be asked agrees"),
        (lost_as_seen_by([Silent, Open]), ObserverPartitioned, "s5: lost to us, and relayed by a peer"),
        (vec![seen(three(0)), seen(three(1)), silent(2)], AgentUnreachable, "s8: the peers are happy with it"),
        (
            vec![
                seen(pair(0).finds(&[2], Silent)),
                seen(three(1).with(|o| (o.wsrep, o.sql) = (None, Sql::TimedOut))),
                silent(2),
            ],
            MemberLost,
            "s9: it is the hung one that the view counts, not this one",
        ),
        (
            vec![seen(three(0).finds(&[2], Silent)), seen(three(1).finds(&[2], Silent)), silent(2)],
            AgentUnreachable,
            "s9: nobody gets a new connection to it, and the old ones hold",
        ),
        (vec![seen(listed(0)), seen(down(1, 9)), silent(2)], AgentUnreachable, "s8: its address is in the view"),
        (pair_and(port_open), AgentUnreachable, "s1: no agent, and mariadbd listens"),
        (pair_and(refused(2)), AgentUnreachable, "g11: its VM answers, and nothing of ours runs"),
        (pair_and(unusable(2)), AgentUnreachable, "s18: wrong password"),
        (pair_and(another(2)), IdentityMismatch, "s18: stale DNS"),
        (vec![silent(0), silent(1), silent(2)], AgentUnreachable, "s11: nobody can be asked about it"),
    ] {
        let found = diagnose(&cluster(3), &views);
        assert_fits(&found, &views);
        assert_eq!(found.members[2].code, expected, "{why}: {found}");
    }
    let evidence = diagnose(&cluster(3), &lost_as_seen_by([Silent, Open])).members[2].evidence.join("; ");
    assert!(evidence.contains("reached by mysql/1; not reached by mysql/0"), "{evidence}");
}

#[test]
fn k5_k14_s2_s9_s19_q1_a_member_that_runs() {
    let closed = |sql: Sql| three(2).with(|o| (o.wsrep, o.sql) = (None, sql));
    let with = |change: fn(&mut Wsrep)| three(2).wsrep(change);
    let state = |cluster, local| three(2).state(cluster, local);
    let receiving = || running(2, 9).with(|o| o.process.as_mut().unwrap().state_transfer = true);
    let still = |seconds| {
        let standstill = Some(Standstill { seconds, limit: 120, full: Some(true) });
        let child = Child { pid: 9, mode: StartMode::Join, seconds: 90, work: 0, standstill, giving: None };
        receiving().with(|o| {
            if let SupervisorSight::Present(s) = &mut o.supervisor {
                s.child = Some(child.clone());
            }
        })
    };
    let alone = || three(2).state(ClusterStatus::Disconnected, LocalState::Initialized);
    let donor = state(ClusterStatus::Primary, LocalState::Donor);
    let gives = |seconds| {
        let giving = Some(Standstill { seconds, limit: 120, full: None });
        let child = Child { pid: 9, mode: StartMode::Join, seconds: 90, work: 0, standstill: None, giving };
        donor.clone().with(|o| {
            if let SupervisorSight::Present(s) = &mut o.supervisor {
                s.child = Some(child.clone());
            }
        })
    };
    let stalled = |behind: Option<&str>| three(2).with(|o| o.stalled = Some(stall(behind)));
    let full = three(2).with(|o| o.host.write_fault = Some("a small write fails: no space left".into()));
    for (third, expected, why) in [
        (three(2), MemberOk, "well"),
        (closed(Sql::TooManyConnections), TooManyConnections, "s9: 1040 is not death"),
        (three(2).with(|o| o.sql = Sql::TooManyConnections), TooManyConnections, "i3: asked by who was there before"),
        (closed(Sql::TimedOut), SqlHung, "s9: hung is not death"),
        (closed(Sql::Denied), AccessDenied, "1045"),
        (closed(Sql::Failed { why: "x".into() }), SqlFailing, "another error"),
        (closed(Sql::Open { milliseconds: 1 }), OutsideGalera, "no Galera at all"),
        (with(|w| w.on = false), OutsideGalera, "wsrep_on = OFF"),
        (with(|w| w.ready = false), SqlFailing, "wsrep_ready is OFF"),
        (with(|w| w.read_only = true), ReadOnly, "s2: it answers, and takes no writes"),
        (with(|w| w.reject_queries = true), RejectingQueries, "s2: it turns clients away"),
        (with(|w| w.flow_control_requested = true), FlowControlCulprit, "s14: it asks all to wait"),
        (
            with(|w| (w.flow_control_active, w.local_recv_queue) = (true, 7)),
            FlowControlCulprit,
            "nobody admits, and its queue is the longest",
        ),
        (with(|w| w.local_recv_queue = 7), MemberOk, "a queue alone holds up nobody"),
        (donor.clone(), Donor, "it gives its state"),
        (gives(59), Donor, "t8: it sends nothing at the moment"),
        (gives(60), DonorStuck, "t8: it has sent nothing for half of the time that it is given"),
        (state(ClusterStatus::NonPrimary, LocalState::Joining), Joining, "t7: IST; Galera calls it non-Primary"),
        (donor.wsrep(|w| w.desync = true), DesyncedLeftOn, "desynced by hand, and forgotten"),
        (state(ClusterStatus::Primary, LocalState::Joining), Joining, "it joins"),
        (state(ClusterStatus::Primary, LocalState::Joined), Joining, "it catches up"),
        (state(ClusterStatus::Disconnected, LocalState::Inconsistent), Inconsistent, "voted out"),
        (alone(), Disconnected, "in no group"),
        (
            log("[Warning] WSREP: this node has been evicted out of the cluster, gcomm")(alone()),
            Evicted,
            "its log says so",
        ),
        (log("[ERROR] WSREP: handshake failed, my group: 'a', peer group: 'b'")(alone()), WrongGroup, "another group"),
        (log("[ERROR] WSREP: SSL handshake error: certificate has expired")(alone()), TlsFailure, "an old certificate"),
        (non_primary(2, 9, 1), MinorityPartitioned, "q1: cut off, and the others go on"),
        (full, DiskFull, "s19: its disk takes nothing"),
        (
            three(2).with(|o| o.host.tmp_fault = Some("/tmp: a small write fails".into())),
            DiskFull,
            "t13: nothing to sort in",
        ),
        (
            three(2).with(|o| o.host.log_fault = Some("/log: a small write fails".into())),
            DiskFull,
            "t5: no room for logs",
        ),
        (stalled(None), WritesStalled, "t6: a DDL waits for a lock, and all writes for it"),
        (stalled(Some("session 9 (ALTER TABLE)")), WritesStalled, "t6: a long DDL"),
        (three(2).with(|o| o.missing_tables = vec!["ledger/entries".into()]), TableMissing, "t14: its file is gone"),
        (three(2).with(|o| o.host.free_bytes = Some(4096)), DiskFull, "s19: its disk is full"),
        (receiving(), SstReceiving, "a full copy"),
        (still(59), SstReceiving, "s10: nothing comes at the moment"),
        (still(60), SstStuck, "s10: nothing has come for half of the time that it is given"),
        (
            log("[ERROR] WSREP: State transfer to 0.0 (x) failed: -255. Will never receive state. Need to abort.")(
                receiving(),
            ),
            SstStuck,
            "its donor failed",
        ),
        (log("[ERROR] WSREP: Receiving IST failed, node restart required")(running(2, 9)), SstStuck, "its IST failed"),
        (running(2, 9), Joining, "on its way up"),
        (running(2, 9).with(|o| o.process.as_mut().unwrap().recovering = true), Starting, "finding its position"),
        (wedged(2, 9, 1), WedgedAtStart, "k5: 4567 and no 3306"),
        (wedged(2, 9, 1).with(|o| o.process_seconds = Some(20)), Joining, "k5: the same, and young"),
        (
            wedged(2, 9, 1).with(|o| o.process_seconds = None).phase(Phase::Serving),
            WedgedAtStart,
            "its age is not known: its log decides",
        ),
        (
            wedged(2, 9, 3).with(|o| o.log = evidence("New COMPONENT: primary = yes")),
            Joining,
            "InnoDB recovers in a primary component",
        ),
        (wedged(2, 9, 1).with(|o| o.ports.sql = true), Joining, "k5: 3306 is open"),
        (three(2).phase(Phase::Stopping), Leaving, "it is being stopped"),
    ] {
        let views = pair_and(seen(third));
        let found = diagnose(&cluster(3), &views);
        assert_fits(&found, &views);
        assert_eq!(found.members[2].code, expected, "{why}: {found}");
        assert_eq!(found.members[2].evidence.is_empty(), expected == MemberOk, "s5: {why}");
    }
}

#[test]
fn t6_who_is_behind_a_stall_is_told_and_one_member_is_not_the_cluster() {
    let stalled = |n| three(n).with(|o| o.stalled = Some(stall(None)));
    let one = diagnose(&cluster(3), &all([three(0), three(1), stalled(2)]));
    assert_eq!(one.code, Degraded, "{one}");
    for words in ["for 31 s: session 118 (ALTER TABLE)", "may hold the lock: 115 of app", "KILL"] {
        assert!(one.to_string().replace("\n   ", "").contains(words), "{words}: {one}");
    }
    let nowhere = diagnose(&cluster(3), &all([stalled(0), stalled(1), stalled(2)]));
    assert_eq!((nowhere.code, nowhere.confidence), (PrimaryWritesStalled, Confidence::Certain), "{nowhere}");
}

#[test]
fn q11_a_member_that_nobody_looked_at_is_started_and_not_given_up() {
    let views = pair_and(seen(down(2, 9).unknown(Why::NotLookedYet).without_supervisor()));
    let found = diagnose(&cluster(3), &views);
    assert_eq!((found.code, found.members[2].code), (Degraded, MemberDown));
    assert!(found.advice.run.contains("mysql/2: ") && found.advice.run.contains("monit start mariadb"), "{found}");
    assert!(!found.to_string().contains("rejoin"), "{found}");
}

#[test]
fn q9_q10_h13_a_member_that_is_down_beside_a_primary_component() {
    let known = |n, seqno| down(n, seqno).with(|o| o.memory.last_position = Some(at(seqno)));
    let loops =
        known(2, 9).with(|o| o.deaths = Deaths { in_a_row: 3, last_end: Some("signal 6".into()), ..Deaths::default() });
    let cached = |n| pair(n).wsrep(|w| w.local_cached_downto = Some(7));
    let unlooked = down(2, 9).unknown(Why::NotLookedYet);
    let voted_out = log("[ERROR] WSREP: Member 2(x) is inconsistent with group. Leaving cluster.");
    let reversed = log("[ERROR] WSREP: Reversing history: 12 -> 9, this member has applied 3 more events than the");
    for (third, expected, why) in [
        (down(2, 9), MemberDown, "q9: it rejoins by itself"),
        (down(2, 12), Joining, "a2: three transactions more than the cluster has applied so far"),
        (
            down(2, 12).with(|o| o.memory.supersede(Some(at(9)))),
            AheadOfCluster,
            "q10: three transactions more than the cluster has, and it was asked",
        ),
        (
            reversed(down(2, 9).unknown(Why::NoPosition)),
            AheadOfCluster,
            "q10: Galera zeroed grastate.dat on its way out",
        ),
        (down(2, 9).of_history(5), OtherHistory, "another history"),
        (down(2, 9).unknown(Why::NoPosition), UnknownPosition, "a crash in a DDL"),
        (down(2, 9).unknown(Why::TransferInterrupted), MemberDown, "its transfer is taken up again"),
        (unlooked.clone(), MemberDown, "nobody has looked yet"),
        (
            down(2, 9).without_supervisor().with(|o| o.memory.damaged = Some("torn".into())),
            MemberDown,
            "stopped in order; its memory is torn",
        ),
        (empty(2), NoData, "a new disk"),
        (down(2, 9).held(), Held, "an order holds it"),
        (loops, MemberCrashLoop, "three starts in an hour"),
        (down(2, 3), StaleMember, "h13: older than any IST"),
        (down(2, 6), MemberDown, "just within reach of IST"),
        (voted_out(down(2, 9).unknown(Why::VotedOut)), Inconsistent, "voted out before it ended"),
        (voted_out(unlooked.clone()), MemberDown, "its log says so, and nobody has looked yet"),
        (
            unlooked.clone().without_supervisor().with(|o| o.memory.damaged = Some("torn".into())),
            MemberDown,
            "galera-start looks first, and rejoin is refused until then",
        ),
        (down(2, 9).unknown(Why::VotedOut), Inconsistent, "the same, and its log is gone"),
        (
            log("[Warning] WSREP: this node has been evicted out of the cluster")(down(2, 9)),
            Evicted,
            "evicted before it ended",
        ),
        (down(2, 9).saved(File::Garbled("gvwstate.dat is empty".into())), EmptyGvwstate, "an empty view"),
    ] {
        let views = vec![seen(cached(0)), seen(cached(1)), seen(third)];
        let found = diagnose(&cluster(3), &views);
        assert_fits(&found, &views);
        assert_eq!(found.members[2].code, expected, "{why}: {found}");
    }
}

#[test]
fn k17_q10_h13_a_member_that_is_down_while_nobody_is_primary() {
    let gone = Standing::unknown(Why::DataGone, "emptied");
    let behind = down(2, 9).with(|o| o.position = Standing::At { position: at(3), from: Provenance::Recovered });
    for (third, expected, why) in [
        (down(2, 9), MemberDown, "as far as the others"),
        (behind, StaleMember, "h13: behind the others"),
        (down(2, 9).saved(view(2, 4, &[0, 1, 2])), StaleMember, "k17: as far, and with an older view"),
        (down(2, 9).with(|o| o.position = gone), UnknownPosition, "its data is gone"),
        (down(2, 9).unknown(Why::WitnessesDisagree), UnknownPosition, "its witnesses disagree"),
        (non_primary(2, 9, 1), NonPrimary, "it lives without quorum"),
        (running(2, 9), Starting, "on its way up"),
    ] {
        let saved = |n| seen(down(n, 9).saved(view(n, 5, &[0, 1])));
        let found = diagnose(&cluster(3), &[saved(0), saved(1), seen(third)]);
        assert_eq!(found.members[2].code, expected, "{why}: {found}");
    }
}

#[test]
// Q14
fn q14_the_members_that_the_group_knows_as_late_or_evicted() {
    let told = |n, change: fn(&mut Wsrep)| three(n).wsrep(change);
    let late = |w: &mut Wsrep| w.evs_delayed = format!("{}:tcp://10.0.0.2:4567:6,", uuid(3));
    let once = |w: &mut Wsrep| w.evs_delayed = format!("{}:tcp://10.0.0.2:4567:1", uuid(3));
    let evicted = |w: &mut Wsrep| w.evs_evict_list = format!("{},{}", uuid(9), uuid(3));
    let third = || three(2).wsrep(|w| w.gcomm_uuid = Some(uuid(3)));
    for (first, third, expected, why) in [
        (told(0, late), third(), Flapping, "late six times"),
        (told(0, once), third(), MemberOk, "late once"),
        (
            told(0, evicted),
            third().state(ClusterStatus::Disconnected, LocalState::Initialized),
            Evicted,
            "its UUID is listed",
        ),
        (
            told(0, evicted),
            non_primary(2, 9, 1),
            MinorityPartitioned,
            "it is cut off: an evicted one is in no component",
        ),
    ] {
        let found = diagnose(&cluster(3), &[seen(first), seen(three(1)), seen(third)]);
        assert_eq!(found.members[2].code, expected, "{why}: {found}");
    }
}
