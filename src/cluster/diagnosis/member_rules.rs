//! How one member is. First match wins; a member that is out of a primary component is judged against it.

use super::facts::{Life, Look, disk_fault, group_size, group_uuid, life, said, side_fault, slow_disk};
use super::{MemberCode, MemberDiagnosis, since};
use crate::cluster::join::{MayNotJoin, may_join};
use crate::cluster::member::listed;
use crate::cluster::observation::{
    File, MemberView, Observation, Phase, PortAnswer, Sight, Sql, Standstill, SupervisorSight, WriteStall,
};
use crate::cluster::standing::{Standing, Unknown};
use crate::galera::log_lines::{Evidence, LogKind};
use crate::galera::uuid::Uuid;
use crate::galera::wsrep::{LocalState, Wsrep};

/// A code, and its sentence.
type Found = (MemberCode, String);

/// So many deaths in a row are a loop; from then on it is tried more and more rarely.
const LOOP: u32 = 3;
/// A member that was late so often is not only late now.
const OFTEN_LATE: u32 = 5;

pub(super) fn diagnose(look: &Look, view: &MemberView) -> MemberDiagnosis {
    let (code, sentence) = match (view.seen(), &view.relayed_by) {
        (Some(seen), Some(by)) => relayed(found(look, seen), by),
        (Some(seen), None) => found(look, seen),
        (None, _) => unseen(look, view),
    };
    let evidence = match view.seen() {
        // What the sentence says already is not said twice.
        Some(seen) if code != MemberCode::MemberOk => {
            evidence_of(look, seen).into_iter().filter(|e| !sentence.contains(e.as_str())).collect()
        }
        Some(_) => Vec::new(),
        None => evidence_about(look, view),
    };
    let since_seconds = view.seen().filter(|_| since::noted(code)).and_then(since::member);
    MemberDiagnosis { name: view.member.name.clone(), code, sentence, since_seconds, evidence }
}

/// What a member said to another one, and not to us: our network is at fault, and what it said counts.
fn relayed((code, sentence): Found, by: &str) -> Found {
    match code {
        MemberCode::MemberOk => (
            MemberCode::ObserverPartitioned,
            format!("it is well, as it told {by}; it is not reached from here: the network here is at fault"),
        ),
        other => (other, format!("{sentence} (told to {by}; it is not reached from here)")),
    }
}

/// Facts and the error log's words; the peers' word is part of every member's diagnosis (S5).
fn evidence_of(look: &Look, of: &Observation) -> Vec<String> {
    let mut evidence = vec![format!("stands at {}", of.position)];
    evidence.extend(of.supervisor.present().map(|s| format!("galera-start: {}", s.detail)));
    evidence.extend(of.deaths.last_end.as_ref().map(|end| format!("mariadbd last ended with: {end}")));
    let ordinary = |e: &&Evidence| matches!(e.kind, LogKind::Started | LogKind::PrimaryComponent);
    let telling = of.log.iter().filter(|e| !ordinary(e));
    evidence.extend(telling.map(|e| match e.times {
        1 => format!("log: {}", e.text),
        times => format!("log, {times} times: {}", e.text),
    }));
    evidence.extend(peers_word(look, &of.member.name));
    evidence
}

fn evidence_about(look: &Look, view: &MemberView) -> Vec<String> {
    let mut evidence: Vec<String> = view.why_unseen().into_iter().collect();
    evidence
        .extend(view.galera_port.map(|answer| format!("its group port, asked from here: {answer:?}").to_lowercase()));
    evidence.extend(peers_word(look, &view.member.name));
    if look.primary_counts(view) {
        evidence.push("the primary component counts it as a member".into());
    }
    evidence
}

fn peers_word(look: &Look, name: &str) -> Vec<String> {
    let (reached, not) = look.witnesses(name);
    let told = |who: Vec<&str>, what: &str| (!who.is_empty()).then(|| format!("{what} by {}", listed(who)));
    told(reached, "reached").into_iter().chain(told(not, "not reached")).collect()
}

/// A member that is not seen: is it the member, its agent, or only us (S1, S5, S7, S8)?
fn unseen(look: &Look, view: &MemberView) -> Found {
    let (reached, not) = look.witnesses(&view.member.name);
    let listens = view.galera_port == Some(PortAnswer::Open);
    match &view.sight {
        Sight::Another(_) => (MemberCode::IdentityMismatch, view.why_unseen().unwrap_or_default()),
        Sight::Unusable(_) => (MemberCode::AgentUnreachable, "its agent answers, and nothing that can be used".into()),
        _ if look.primary_counts(view) => {
            (MemberCode::AgentUnreachable, "only its agent is silent; it is in the primary component".into())
        }
        _ if listens => (MemberCode::AgentUnreachable, "only its agent is silent; its mariadbd listens".into()),
        Sight::Refused => (
            MemberCode::AgentUnreachable,
            "its VM answers, and neither agent nor mariadbd listens: its jobs do not run".into(),
        ),
        _ if !reached.is_empty() => (
            MemberCode::ObserverPartitioned,
            format!("it is not reached from here, and {} reaches it: the network here is at fault", listed(reached)),
        ),
        _ if not.is_empty() => {
            (MemberCode::AgentUnreachable, "it is not reached from here, and nobody else can be asked".into())
        }
        _ => {
            let who = format!("neither from here nor by {}", listed(not));
            (MemberCode::MemberLost, format!("it is reached {who}: its VM is gone, or the network to it"))
        }
    }
}

fn found(look: &Look, of: &Observation) -> Found {
    let supervisor = of.supervisor.present();
    if let Some(fault) = disk_fault(of) {
        return (MemberCode::DiskFull, format!("{fault}; a member that cannot write can halt all others"));
    }
    if let Some(fault) = side_fault(of) {
        return (MemberCode::DiskFull, fault);
    }
    if supervisor.is_some_and(|s| s.phase == Phase::Stopping) {
        return (MemberCode::Leaving, "it is being stopped".into());
    }
    match life(of) {
        Life::Inconsistent => (
            MemberCode::Inconsistent,
            format!(
                "the others voted it out: its data differs, and the minority may be right; it stays as it is until a person decides (galera-ctl rejoin){}{}",
                succeeded_alone(of),
                if supervisor.is_none() {
                    ". galera-start does not run, and is needed for that: `monit start mariadb` first"
                } else {
                    ""
                }
            ),
        ),
        Life::Outside => {
            (MemberCode::OutsideGalera, "it serves without Galera: what is written to it reaches nobody".into())
        }
        Life::Primary => of.wsrep.as_ref().map_or_else(|| down(look, of), |wsrep| in_primary(look, of, wsrep)),
        Life::NonPrimary if look.nobody_primary() => {
            (MemberCode::NonPrimary, "it lives without quorum and refuses statements (1047)".into())
        }
        // Galera calls it so until what it has missed is applied; it is in its component all the same.
        Life::NonPrimary if of.wsrep.as_ref().is_some_and(|w| w.local_state == LocalState::Joining) => {
            receiving(look, of)
        }
        Life::NonPrimary => (
            MemberCode::MinorityPartitioned,
            "it lives without quorum, cut off from those that have one; it rejoins when the network is back".into(),
        ),
        Life::Disconnected => alone(look, of).unwrap_or_else(|| {
            (MemberCode::Disconnected, "mariadbd runs in no group of members, and does not come back by itself".into())
        }),
        Life::Mute => mute(of),
        Life::Receiving if said(of, LogKind::TransferFailed).is_some() => {
            (MemberCode::SstStuck, "its state transfer failed, and it goes on waiting for it".into())
        }
        Life::Receiving => receiving(look, of),
        Life::Wedged => alone(look, of).unwrap_or_else(|| wedged(look, of)),
        Life::Recovering if of.looks_in_vain() => (
            MemberCode::UnknownPosition,
            format!("it looks for its position once more, which failed before: {}", of.position),
        ),
        Life::Recovering => (MemberCode::Starting, "it is finding its position".into()),
        Life::Starting if said(of, LogKind::TransferFailed).is_some() => {
            (MemberCode::SstStuck, "its state transfer failed, and it needs a restart".into())
        }
        Life::Starting if look.primary().is_some() => {
            (MemberCode::Joining, "mariadbd was started and has not opened SQL yet".into())
        }
        Life::Starting => (MemberCode::Starting, "mariadbd runs and has not opened SQL yet".into()),
        Life::Down => down(look, of),
    }
}

/// A transfer may take as long as it takes; what tells is whether anything arrives.
fn receiving(look: &Look, of: &Observation) -> Found {
    /// The disk is asked to write what has arrived from time to time only.
    const NOTICED: u64 = 10;
    let still = of.supervisor.present().and_then(|s| s.child.as_ref()?.standstill).filter(|s| s.seconds >= NOTICED);
    let full = of.supervisor.present().and_then(|s| s.child.as_ref()?.standstill?.full);
    if of.wsrep.is_some() || full == Some(false) {
        return (MemberCode::Joining, incremental(look, of, still));
    }
    let what = if full == Some(true) { "a full copy" } else { "its state" };
    match still {
        // Half of the time that it is given, so that this is seen before it is over.
        Some(still) if 2 * still.seconds >= still.limit => (
            MemberCode::SstStuck,
            format!(
                "nothing of {} has arrived for {} s; galera-start gives it up after {} s, and begins anew",
                if full == Some(true) { "its full copy" } else { "its state" },
                still.seconds,
                still.limit
            ),
        ),
        Some(still) => {
            (MemberCode::SstReceiving, format!("it receives {what}, and nothing has arrived for {} s", still.seconds))
        }
        None => (MemberCode::SstReceiving, format!("it receives {what}")),
    }
}

/// Only what it has missed: how far that is, and whether it goes on.
fn incremental(look: &Look, of: &Observation, still: Option<Standstill>) -> String {
    let own = of.wsrep.as_ref().and_then(|w| w.last_committed);
    let far = own.zip(look.primary().map(|p| p.seqno)).map(|(own, all)| format!(" at {own} of {all}"));
    let far = far.unwrap_or_default();
    match still {
        None => format!("it receives what it has missed (IST){far}"),
        Some(still) => format!(
            "IST stands{far} for {} s: is port 4568 open between it and the others? galera-start gives it up after {} s, and begins anew",
            still.seconds, still.limit
        ),
    }
}

/// SQL takes connections and tells nothing: it lives, whatever else it is (S9).
fn mute(of: &Observation) -> Found {
    match &of.sql {
        Sql::TooManyConnections => {
            (MemberCode::TooManyConnections, "it lives, and has no connection left (error 1040)".into())
        }
        Sql::TimedOut => (MemberCode::SqlHung, "it takes connections and does not answer in time".into()),
        Sql::Denied => (MemberCode::AccessDenied, "it lives, and refuses the agent's user (error 1045)".into()),
        Sql::Failed { why } => (MemberCode::SqlFailing, format!("it answers with an error: {why}")),
        Sql::Open { .. } | Sql::Closed { .. } => (MemberCode::SqlFailing, "it tells nothing of Galera".into()),
    }
}

/// Why a member that runs is in no component, where something tells.
fn alone(look: &Look, of: &Observation) -> Option<Found> {
    let uuid = group_uuid(of);
    let listed = |list: &str| {
        list.split(',').filter_map(|u| u.trim().parse::<Uuid>().ok()).any(|u| uuid.is_some_and(|m| m.same_member(u)))
    };
    let evicted = look.primary_members().any(|(_, wsrep)| listed(&wsrep.evs_evict_list));
    if evicted || said(of, LogKind::Evicted).is_some() {
        let who = match of.supervisor.present() {
            Some(_) => "galera-start restarts it",
            None => "a person must restart it: galera-start does not run",
        };
        let text = format!("the others evicted it; it takes part again only after a restart, and {who}");
        return Some((MemberCode::Evicted, text));
    }
    // A handshake that failed once is no reason where the group was found after all.
    if group_size(of).is_some_and(|size| size > 1) {
        return None;
    }
    if said(of, LogKind::WrongGroup).is_some() {
        return Some((MemberCode::WrongGroup, "its peers are of a group of another name".into()));
    }
    let tls = said(of, LogKind::TlsFailed).or_else(|| said(of, LogKind::HandshakeFailed))?;
    Some((MemberCode::TlsFailure, format!("it and its peers do not agree on TLS: {tls}")))
}

fn wedged(look: &Look, of: &Observation) -> Found {
    let group = group_size(of).map_or(String::new(), |size| format!(" with {size} members"));
    let stale = match older_view(look, of) {
        true => "; its saved view is older than another member's, so it keeps the others from becoming primary",
        false => "",
    };
    let text = format!(
        "it waits at start-up in a component{group} without quorum: 4567 is open and 3306 is not{stale}; it will not end by itself, and ignores SIGTERM"
    );
    (MemberCode::WedgedAtStart, text)
}

/// Whether another member saved a newer view.
pub(super) fn older_view(look: &Look, of: &Observation) -> bool {
    let seq = |o: &Observation| o.disk.saved_view.present().map(|v| v.seq);
    let newest = look.seen.iter().filter_map(|o| seq(o)).max();
    newest.is_some() && seq(of).is_some() && seq(of) < newest
}

fn in_primary(look: &Look, of: &Observation, wsrep: &Wsrep) -> Found {
    match wsrep.local_state {
        LocalState::Joining => (MemberCode::Joining, "it is receiving its state".into()),
        LocalState::Joined => (MemberCode::Joining, "it has its state and is catching up".into()),
        // A donor is desynced too, and the variable tells who did it.
        LocalState::Donor if wsrep.desync => (
            MemberCode::DesyncedLeftOn,
            "it was desynced by hand (wsrep_desync = ON): it may fall behind without holding up the others".into(),
        ),
        LocalState::Donor => match gives_nothing(of) {
            Some(still) => (
                MemberCode::DonorStuck,
                format!(
                    "its transfer has sent nothing for {} s; galera-start ends it after {} s, and this member is Synced again",
                    still.seconds, still.limit
                ),
            ),
            None => (MemberCode::Donor, giving(look, of, wsrep)),
        },
        LocalState::Initialized | LocalState::Inconsistent => {
            (MemberCode::SqlFailing, format!("Galera says {}", wsrep.local_state_comment))
        }
        LocalState::Synced if wsrep.reject_queries => {
            (MemberCode::RejectingQueries, "wsrep_reject_queries turns clients away".into())
        }
        LocalState::Synced if !wsrep.ready => {
            (MemberCode::SqlFailing, "wsrep_ready is OFF: statements are refused".into())
        }
        LocalState::Synced if of.stalled.is_some() => {
            (MemberCode::WritesStalled, of.stalled.as_ref().map(stalled).unwrap_or_default())
        }
        LocalState::Synced if of.sql == Sql::TooManyConnections => (
            MemberCode::TooManyConnections,
            "it serves who is connected, and has no connection left for others (error 1040)".into(),
        ),
        LocalState::Synced if !of.missing_tables.is_empty() => (
            MemberCode::TableMissing,
            format!(
                "{}: the file of the table is missing here; the first write to it has this member voted out",
                listed(of.missing_tables.iter().map(String::as_str))
            ),
        ),
        LocalState::Synced if wsrep.read_only => (MemberCode::ReadOnly, "read_only is ON".into()),
        LocalState::Synced if paces(look, wsrep) => {
            let disk =
                slow_disk(of).map(|took| format!("; its disk is slow: {took} ms for a small write and its sync"));
            let text = format!("all others wait for it: {} transactions are queued here", wsrep.local_recv_queue);
            (MemberCode::FlowControlCulprit, text + &disk.unwrap_or_default())
        }
        LocalState::Synced => match late(look, of) {
            Some(times) => (MemberCode::Flapping, format!("it serves, and was late {times} times: look at its link")),
            None => (MemberCode::MemberOk, "serves".into()),
        },
    }
}

/// Writes that do not get through; what they wait for, and who may be behind it.
fn stalled(of: &WriteStall) -> String {
    let begin = format!("writes have not got through for {} s: {}", of.seconds, of.waits);
    match (&of.behind, of.before.as_slice()) {
        (Some(behind), _) => format!("{begin}, and waits for {behind}, which is at work"),
        (None, []) => begin,
        (None, before) => format!("{begin}; one of these sessions may hold the lock: {}", before.join("; ")),
    }
}

/// A transfer out of this member that has stood still for half of the time that it is given.
fn gives_nothing(of: &Observation) -> Option<Standstill> {
    let giving = of.supervisor.present()?.child.as_ref()?.giving?;
    (2 * giving.seconds >= giving.limit).then_some(giving)
}

/// MariaDB desyncs a member too while a session holds `FLUSH TABLES WITH READ LOCK`: it then applies nothing, and
/// holds nobody up (S9).
fn giving(look: &Look, of: &Observation, wsrep: &Wsrep) -> String {
    let script = of.process.as_ref().is_some_and(|p| p.state_transfer);
    let joins = |o: &&Observation| {
        let state = o.wsrep.as_ref().map(|w| w.local_state);
        matches!(life(o), Life::Receiving | Life::Starting) || state == Some(LocalState::Joining)
    };
    if script || look.seen.iter().any(joins) || !look.whole() {
        return "it gives its state to another member, or to a backup".into();
    }
    format!(
        "nobody joins from it: a backup, or a session with a global read lock (FLUSH TABLES WITH READ LOCK), holds it; {} transactions wait here",
        wsrep.local_recv_queue
    )
}

/// Whether this member asks for flow control; where replication stands still and nobody admits to it,
/// the longest queue tells. One look only: whether it is so most of the time takes two.
fn paces(look: &Look, wsrep: &Wsrep) -> bool {
    let all: Vec<&Wsrep> = look.primary_members().map(|(_, w)| w).collect();
    let nobody_admits = !all.iter().any(|w| w.flow_control_requested);
    let paused = all.iter().any(|w| w.flow_control_active);
    let longest = wsrep.local_recv_queue > 0 && !all.iter().any(|w| w.local_recv_queue > wsrep.local_recv_queue);
    wsrep.flow_control_requested || (paused && nobody_admits && longest)
}

/// How often the others found this member late, if often.
fn late(look: &Look, of: &Observation) -> Option<u32> {
    let uuid = group_uuid(of)?;
    let entries = look.primary_members().flat_map(|(_, w)| w.evs_delayed.split(','));
    let of_this = entries.filter_map(|entry| {
        let (who, rest) = entry.trim().split_once(':')?;
        let times: u32 = rest.rsplit(':').next()?.parse().ok()?;
        who.parse::<Uuid>().is_ok_and(|u| u.same_member(uuid)).then_some(times)
    });
    of_this.max().filter(|times| *times >= OFTEN_LATE)
}

fn down(look: &Look, of: &Observation) -> Found {
    let supervisor = of.supervisor.present();
    if let Some(hold) = supervisor.and_then(|s| s.hold.as_ref()) {
        return (MemberCode::Held, format!("held by {} for {} s more: {}", hold.owner, hold.seconds, hold.reason));
    }
    // Its log alone is no verdict: whoever looks at the data reads that too.
    if matches!(of.position, Standing::Unknown { why: Unknown::VotedOut, .. }) && !of.unlooked() {
        let text = "the others voted it out before it ended: its data differs, and is kept, for the minority may be right; a person decides (galera-ctl rejoin)";
        return (MemberCode::Inconsistent, format!("{text}{}", succeeded_alone(of)));
    }
    let refusal = look.primary().and_then(|primary| may_join(&of.position, &of.memory, primary).err());
    // Nobody has looked yet: that is no verdict about the data.
    let unlooked = |no: &MayNotJoin| matches!(no, MayNotJoin::OwnPositionUnknown(_)) && not_looked_yet(of);
    if let Some(no) = refusal.filter(|no| !unlooked(no)) {
        return may_not_join(of, &no);
    }
    if of.deaths.in_a_row >= LOOP {
        let end = of.deaths.last_end.as_ref().map_or(String::new(), |end| format!(", at last with: {end}"));
        return (
            MemberCode::MemberCrashLoop,
            format!("mariadbd died {} times in a row before it was Synced{end}", of.deaths.in_a_row),
        );
    }
    match &of.position {
        Standing::Unknown { why: Unknown::NotLookedYet, .. } => {}
        Standing::Unknown { .. } if of.unlooked() => {}
        Standing::Unknown { why: Unknown::TransferInterrupted | Unknown::DataGone, .. } if look.primary().is_some() => {
        }
        Standing::Unknown { detail, .. } => return (MemberCode::UnknownPosition, detail.clone()),
        Standing::Empty => {
            return (MemberCode::NoData, "it has no data: its disk is new, or another one than before".into());
        }
        Standing::At { .. } => {}
    }
    if said(of, LogKind::Evicted).is_some() {
        return (MemberCode::Evicted, "the others evicted it before it ended; it may be started again".into());
    }
    if let File::Garbled(why) = &of.disk.saved_view {
        return (MemberCode::EmptyGvwstate, format!("{why}; it counts as none"));
    }
    if let Some(behind) = behind(look, of) {
        return (MemberCode::StaleMember, behind);
    }
    let sentence = match &of.supervisor {
        SupervisorSight::Present(supervisor) => format!("mariadbd is down; galera-start: {}", supervisor.detail),
        SupervisorSight::Absent { why } => format!("mariadbd does not run; {why}"),
    };
    (MemberCode::MemberDown, sentence)
}

/// Why it must not join, by the name of the reason.
/// Galera counts members, and not what they say.
fn succeeded_alone(of: &Observation) -> &'static str {
    if of.succeeded_alone() {
        ". It carried out what the others failed at: look what they failed with (\"initiates vote\" in mariadb.err.log). Where their disks were full, say, it has what clients were told is committed, and they do not"
    } else {
        ""
    }
}

fn may_not_join(of: &Observation, no: &MayNotJoin) -> Found {
    let reversing = said(of, LogKind::ReversingHistory);
    let code = match (no, reversing) {
        (MayNotJoin::AheadOfCluster { .. }, _) => MemberCode::AheadOfCluster,
        (MayNotJoin::OtherHistory { .. }, _) => MemberCode::OtherHistory,
        (MayNotJoin::OwnPositionUnknown(_), Some(line)) => {
            let text = "it is ahead of the cluster: Galera found out, aborted, and zeroed its position";
            return (MemberCode::AheadOfCluster, format!("{text}; its data is still there ({line})"));
        }
        (MayNotJoin::OwnPositionUnknown(_), None) => MemberCode::UnknownPosition,
        (MayNotJoin::NotAppliedYet { .. }, _) => MemberCode::Joining,
        (MayNotJoin::ClusterUnknown | MayNotJoin::BootstrapUnrecorded(_) | MayNotJoin::Branches(_), _) => {
            MemberCode::MemberDown
        }
    };
    let text = no.to_string();
    // The sentence begins with the code's name already.
    (code, text.strip_prefix(&format!("{code}: ")).unwrap_or(&text).to_owned())
}

/// Whether nothing can be said of its data yet. With a torn memory the look at it will not tell more, once somebody looks.
pub(super) fn not_looked_yet(of: &Observation) -> bool {
    let never = matches!(of.position, Standing::Unknown { why: Unknown::NotLookedYet, .. });
    of.unlooked() || (never && of.memory.damaged.is_none())
}

/// Whether the member is behind in a way that matters: IST does not reach back to it, or others are ahead
/// while nobody is primary.
fn behind(look: &Look, of: &Observation) -> Option<String> {
    let position = of.position.position()?;
    if look.primary().is_some() {
        let oldest = look.primary_members().filter_map(|(_, w)| w.local_cached_downto).min()?;
        let missing = position.seqno() + 1 < oldest;
        return missing.then(|| {
            format!("it lacks transactions older than {oldest}, the oldest that IST can bring: it needs a full copy")
        });
    }
    let others = look.seen.iter().filter_map(|o| o.position.position());
    let furthest = others.filter(|p| p.history() == position.history()).map(|p| p.seqno()).max()?;
    match (furthest > position.seqno(), older_view(look, of)) {
        (true, _) => Some(format!("it is {} transactions behind another member", furthest - position.seqno())),
        (_, true) => Some("its saved view is older than another member's".into()),
        (false, false) => None,
    }
}
