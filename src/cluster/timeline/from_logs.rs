//! What logs alone say of the members at their end, for whoever has nothing else: an observation of each
//! that wrote one, made of its own words, and the same diagnosis as ever.

use std::collections::BTreeMap;

use super::names::Names;
use super::{Read, Timeline};
use crate::cluster::diagnosis::{Diagnosis, WarningCode, diagnose};
use crate::cluster::maintenance::Kept;
use crate::cluster::member::{Cluster, Member};
use crate::cluster::memory::Memory;
use crate::cluster::observation::{
    Deaths, Disk, File, Host, Identity, MemberView, Observation, Ports, Process, Sight, Sql, SupervisorSight,
};
use crate::cluster::standing::{Provenance, Standing, Unknown};
use crate::galera::log_events::{Happening, LogEvent};
use crate::galera::log_lines::evidence;
use crate::galera::wsrep::Wsrep;

/// What the end of a log says.
#[derive(Default)]
struct End {
    runs: bool,
    open: bool,
    synced: bool,
    stopped: bool,
    component: Option<(bool, u32)>,
    /// Who is in it, by name, and its number.
    view: (Vec<String>, String),
    position: Option<String>,
    connected_at: Option<String>,
}

/// The diagnosis of what wrote these logs; none where no log tells of a server's life.
pub(super) fn verdict(read: &[Read], names: &Names, expected: Option<&Cluster>) -> Option<Diagnosis> {
    let newest = newest_of_each(read, names);
    newest.values().any(|one| one.events.iter().any(|e| matches!(e.what, Happening::Started(_)))).then_some(())?;
    let cluster = expected.cloned().unwrap_or_else(|| met(&newest, names));
    let view = |member: &Member| match newest.get(&member.name) {
        Some(one) => MemberView::own(member, observed(member, &cluster, one, names)),
        None => MemberView {
            member: member.clone(),
            sight: Sight::Silent("there is no log of it".into()),
            galera_port: None,
            relayed_by: None,
        },
    };
    let views: Vec<MemberView> = cluster.members.iter().map(view).collect();
    let mut found = diagnose(&cluster, &views);
    // What only somebody who is there can say.
    found.warnings.retain(|w| w.code != WarningCode::SupervisorAbsent);
    for member in found.members.iter_mut().filter(|m| !newest.contains_key(&m.name)) {
        member.sentence = "there is no log of it, so nothing is known of it".into();
    }
    Some(found)
}

/// Rotated logs of one member end before the one that is written.
fn newest_of_each<'a>(read: &'a [Read<'a>], names: &Names) -> BTreeMap<String, &'a Read<'a>> {
    let mut newest: BTreeMap<String, &Read> = BTreeMap::new();
    for one in read {
        let end = |of: &Read| of.events.last().map(|e| e.at);
        let lane = names.lane(one.source);
        if newest.get(&lane).is_none_or(|known| end(known) < end(one)) {
            newest.insert(lane, one);
        }
    }
    newest
}

/// The cluster that these logs tell of: who wrote them, and whom they met.
fn met(newest: &BTreeMap<String, &Read>, names: &Names) -> Cluster {
    let mut found: BTreeMap<String, String> = newest.keys().map(|name| (name.clone(), String::new())).collect();
    for address in newest.values().flat_map(|one| one.identities.addresses.values()) {
        found.insert(names.at_address(address).to_owned(), address.clone());
    }
    let members = found.into_iter().zip(0..).map(|((name, address), index)| Member {
        id: name.clone(),
        name,
        index,
        az: None,
        address,
        bootstrap: false,
    });
    Cluster { name: String::new(), members: members.collect(), arbitrators: Vec::new() }
}

fn observed(member: &Member, cluster: &Cluster, one: &Read, names: &Names) -> Observation {
    let end = End::of(&one.events, names);
    let wsrep = end.open.then(|| end.wsrep(cluster)).flatten();
    let process = end.runs.then(|| Process {
        pid: 0,
        started: 0,
        new_cluster: false,
        recovering: false,
        start_position: end.position.as_ref().and_then(|p| p.parse().ok()),
        group: None,
        state_transfer: false,
    });
    let from = if end.stopped { Provenance::CleanStop } else { Provenance::Recovered };
    let position = match end.position.as_ref().and_then(|p| p.parse().ok()) {
        Some(position) => Standing::At { position, from },
        None => Standing::unknown(Unknown::NotLookedYet, "its log does not tell"),
    };
    Observation {
        member: Identity {
            name: member.name.clone(),
            id: member.id.clone(),
            az: None,
            cluster: cluster.name.clone(),
            expects: cluster.members.iter().map(|m| m.name.clone()).collect(),
            version: String::new(),
            boot_id: String::new(),
            auto_recovery: None,
        },
        at: one.events.last().map(|e| e.at.rfc3339()).unwrap_or_default(),
        supervisor: SupervisorSight::Absent { why: "only its log is there".into() },
        process_seconds: None,
        process,
        deaths: Deaths::default(),
        log: evidence(&one.source.text),
        ports: Ports { galera: end.runs, sql: end.open, ..Ports::default() },
        sql: if end.open { Sql::Open { milliseconds: 0 } } else { Sql::Closed { why: "not opened yet".into() } },
        stalled: None,
        missing_tables: Vec::new(),
        kept_aside: Vec::new(),
        wsrep,
        disk: Disk {
            unreadable: None,
            initialised: true,
            user_databases: true,
            grastate: File::Absent,
            saved_view: File::Absent,
            cache_history: None,
        },
        host: Host::default(),
        peers: Vec::new(),
        arbitrators: Vec::new(),
        memory: Memory::default(),
        maintenance: Kept::default(),
        going_for_good: false,
        applied_all: false,
        position,
    }
}

impl End {
    fn of(events: &[LogEvent], names: &Names) -> End {
        let (mut end, mut recovery) = (End::default(), false);
        for event in events {
            match &event.what {
                Happening::RecoveryBegun => recovery = true,
                Happening::Started(_) if recovery => recovery = false,
                Happening::Started(_) => {
                    end = End { runs: true, position: end.position, ..End::default() };
                }
                Happening::Recovered(position) => {
                    end.position = position.split(',').next().map(str::to_owned);
                }
                Happening::Connected(position) => end.connected_at = Some(position.clone()),
                Happening::View { seq, members, .. } => {
                    end.view = (members.iter().map(|m| names.translated(m)).collect(), seq.clone());
                }
                Happening::Ready => end.open = true,
                Happening::Synced => end.synced = true,
                Happening::Component { primary, members } => {
                    end.component = Some((*primary, *members));
                    end.synced &= *primary;
                }
                Happening::Stopped => end = End { stopped: true, position: end.position, ..End::default() },
                Happening::Crashed(_) => end = End { position: end.position, ..End::default() },
                _ => {}
            }
        }
        end
    }

    fn wsrep(&self, cluster: &Cluster) -> Option<Wsrep> {
        let (primary, members) = self.component?;
        let (number, comment) = match (primary, self.synced) {
            (true, true) => ("4", "Synced"),
            (true, false) => ("1", "Joining"),
            (false, _) => ("0", "Initialized"),
        };
        let status = if primary { "Primary" } else { "non-Primary" };
        let on = if primary && self.synced { "ON" } else { "OFF" };
        let (history, seqno) = self.connected_at.as_deref().and_then(|at| at.split_once(':')).unwrap_or_default();
        let (members_of, seq) = &self.view;
        // By name, and by address where that is known.
        let addresses = members_of.iter().filter_map(|name| Some(format!("{}:0", cluster.member(name)?.address)));
        let met: Vec<String> = members_of.iter().cloned().chain(addresses).collect();
        let rows = [
            ("wsrep_cluster_state_uuid", history.to_owned()),
            ("wsrep_local_state_uuid", history.to_owned()),
            ("wsrep_last_committed", seqno.to_owned()),
            ("wsrep_cluster_conf_id", seq.clone()),
            ("wsrep_incoming_addresses", met.join(",")),
            ("wsrep_cluster_status", status.to_owned()),
            ("wsrep_cluster_size", members.to_string()),
            ("wsrep_local_state", number.to_owned()),
            ("wsrep_local_state_comment", comment.to_owned()),
            ("wsrep_ready", on.to_owned()),
            ("wsrep_connected", "ON".to_owned()),
            ("wsrep_local_index", "0".to_owned()),
        ];
        Wsrep::from_rows(&rows.map(|(k, v)| (k.to_owned(), v)).into(), false)
    }
}

impl Timeline {
    /// Whether there is anything to show.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}
