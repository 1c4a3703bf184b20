//! `GET /metrics`: what monitoring should know of this member, and what this member thinks of the cluster.
//!
//! Everything comes from the last observation and the last round of asking the peers, so a scrape costs no
//! more than its text. Labels have few values: sentences are in the API and in the logs.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::api;
use super::exposition::{Exposition, Kind};
use super::server::Agent;
use super::watching::Watched;
use crate::cluster::health::Health;
use crate::cluster::maintenance::Mode;
use crate::cluster::observation::{Observation, Phase, PortAnswer, Sql, Supervisor};
use crate::cluster::standing::Standing;

/// Everything that a page of metrics is made of.
pub(super) struct Shown<'a> {
    pub(super) seen: &'a Observation,
    pub(super) health: &'a Health,
    /// Seconds since it was looked.
    pub(super) observed: f64,
    /// Seconds since the position last grew.
    pub(super) position_age: f64,
    pub(super) watched: Option<&'a Watched>,
}

pub(super) fn routes() -> Router<Arc<Agent>> {
    Router::new().route(api::METRICS, get(metrics))
}

async fn metrics(State(agent): State<Arc<Agent>>) -> Response {
    let watched = agent.watched();
    let text = match agent.latest() {
        Some(snapshot) => page(&Shown {
            seen: &snapshot.seen,
            health: &agent.health(),
            observed: snapshot.age().as_secs_f64(),
            position_age: snapshot.position_age().as_secs_f64(),
            watched: watched.as_deref(),
        }),
        // Something on the VM hangs; the agent itself still says so.
        None => {
            let mut page = Exposition::default();
            page.yes("mariadb_galera_observed", OBSERVED, false);
            own_process(&mut page);
            page.text()
        }
    };
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

const OBSERVED: &str = "Whether the agent has a recent observation of its member.";

/// The page.
pub(super) fn page(shown: &Shown) -> String {
    let mut page = Exposition::default();
    page.yes("mariadb_galera_observed", OBSERVED, true);
    let gauge = Kind::Gauge;
    let member = &shown.seen.member;
    let labels = [("cluster", member.cluster.as_str()), ("member", &member.name), ("version", &member.version)];
    page.sample(gauge, "mariadb_galera_info", "Which member this is.", &labels, 1.0);
    page.number(
        gauge,
        "mariadb_galera_observation_age_seconds",
        "Since the member was last looked at.",
        Some(shown.observed),
    );
    let maintained = Mode::of([shown.seen]).over(&member.name).is_some();
    page.yes("mariadb_galera_maintenance", "Whether maintenance of this member or the cluster is on.", maintained);
    of_server(&mut page, shown);
    of_supervisor(&mut page, shown.seen.supervisor.present());
    of_galera(&mut page, shown);
    of_host(&mut page, shown.seen);
    if let Some(watched) = shown.watched {
        of_cluster(&mut page, shown, watched);
    }
    own_process(&mut page);
    page.text()
}

fn of_server(page: &mut Exposition, shown: &Shown) {
    let seen = shown.seen;
    page.yes(
        "mariadb_galera_mariadbd_running",
        "Whether mariadbd runs.",
        seen.process.as_ref().is_some_and(|p| !p.recovering),
    );
    page.yes(
        "mariadb_galera_sql_open",
        "Whether a fresh connection was answered.",
        matches!(seen.sql, Sql::Open { .. }),
    );
    let latency = match seen.sql {
        Sql::Open { milliseconds } => Some(milliseconds as f64 / 1000.0),
        _ => None,
    };
    page.number(Kind::Gauge, "mariadb_galera_sql_seconds", "How long a fresh connection took to answer.", latency);
    page.yes("mariadb_galera_fit", "Whether clients may be sent to this member.", shown.health.fit);
    page.sample(Kind::Gauge, "mariadb_galera_health", "Health in one word.", &[("word", &shown.health.word)], 1.0);
    page.number(
        Kind::Gauge,
        "mariadb_galera_deaths_in_a_row",
        "How often mariadbd died by itself since it was last Synced, or stopped by somebody.",
        Some(f64::from(seen.deaths.in_a_row)),
    );
    page.number(
        Kind::Counter,
        "mariadb_galera_deaths_total",
        "How often mariadbd died by itself since the agent began.",
        Some(seen.deaths.counted as f64),
    );
}

fn of_supervisor(page: &mut Exposition, supervisor: Option<&Supervisor>) {
    page.yes("mariadb_galera_supervisor_running", "Whether galera-start answers.", supervisor.is_some());
    let Some(supervisor) = supervisor else { return };
    let phase = format!("{:?}", supervisor.phase).to_lowercase();
    page.sample(Kind::Gauge, "mariadb_galera_phase", "What galera-start is doing.", &[("phase", &phase)], 1.0);
    let seconds = supervisor.phase_seconds as f64;
    page.number(Kind::Gauge, "mariadb_galera_phase_seconds", "For how long.", Some(seconds));
    if let Some(what) = waited_for(supervisor) {
        let help = "For how long something has been waited for, and what.";
        page.sample(Kind::Gauge, "mariadb_galera_waiting_seconds", help, &[("for", what)], seconds);
    }
    page.yes("mariadb_galera_held", "Whether an order holds this member.", supervisor.hold.is_some());
}

/// What a member waits for, in a few words that never vary.
fn waited_for(supervisor: &Supervisor) -> Option<&'static str> {
    match supervisor.phase {
        Phase::Serving => None,
        Phase::Preparing => Some("data directory"),
        Phase::Recovering => Some("position"),
        Phase::Held => Some("order"),
        Phase::Waiting if supervisor.refused.is_some() => Some("person"),
        Phase::Waiting => Some("members"),
        Phase::Starting => Some("mariadbd to open SQL"),
        Phase::Stopping => Some("mariadbd to end"),
    }
}

fn of_galera(page: &mut Exposition, shown: &Shown) {
    let gauge = Kind::Gauge;
    if let Some(wsrep) = &shown.seen.wsrep {
        page.yes("mariadb_galera_primary", "Whether it is in a component with quorum.", wsrep.is_primary());
        page.yes("mariadb_galera_synced", "Whether it is Synced in it and ready.", wsrep.is_synced());
        let number = |value: u64| Some(value as f64);
        page.number(
            gauge,
            "mariadb_galera_local_state",
            "wsrep_local_state.",
            Some(f64::from(wsrep.local_state_number())),
        );
        page.number(
            gauge,
            "mariadb_galera_cluster_size",
            "Members of its component.",
            Some(f64::from(wsrep.cluster_size)),
        );
        page.number(
            gauge,
            "mariadb_galera_view_number",
            "wsrep_cluster_conf_id.",
            wsrep.cluster_conf_id.and_then(number),
        );
        page.number(
            gauge,
            "mariadb_galera_receive_queue",
            "Transactions that wait to be applied here.",
            number(wsrep.local_recv_queue),
        );
        page.yes(
            "mariadb_galera_flow_control_active",
            "Whether replication stands still for flow control.",
            wsrep.flow_control_active,
        );
        page.yes(
            "mariadb_galera_flow_control_requested",
            "Whether this member asks for that.",
            wsrep.flow_control_requested,
        );
        page.number(
            gauge,
            "mariadb_galera_desync_reasons",
            "Reasons to be desynced.",
            Some(f64::from(wsrep.desync_count)),
        );
    }
    let seqno = shown.seen.position.position().map(|p| p.seqno() as f64);
    page.number(gauge, "mariadb_galera_seqno", "The last transaction of this member.", seqno);
    page.yes(
        "mariadb_galera_position_known",
        "Whether its position is known.",
        matches!(shown.seen.position, Standing::At { .. } | Standing::Empty),
    );
    page.number(
        gauge,
        "mariadb_galera_position_age_seconds",
        "Since its position was last seen to change.",
        Some(shown.position_age),
    );
    let expected = shown.seen.member.expects.len() as f64;
    page.number(gauge, "mariadb_galera_expected_members", "Members that the deployment has.", Some(expected));
    let mut bootstraps: BTreeMap<String, f64> = BTreeMap::new();
    for incarnation in shown.seen.memory.lineage.incarnations() {
        let proof: String = incarnation.proof.chars().take_while(char::is_ascii_alphanumeric).collect();
        // Those found running, or begun by hand, have a sentence in place of a proof.
        let rule = proof.chars().next().is_some_and(char::is_uppercase);
        *bootstraps.entry(if rule { proof } else { "none".into() }).or_default() += 1.0;
    }
    for (proof, times) in &bootstraps {
        let help = "Incarnations in this member's lineage, by what proved that they might begin.";
        page.sample(Kind::Counter, "mariadb_galera_bootstraps_total", help, &[("proof", proof)], *times);
    }
}

fn of_host(page: &mut Exposition, seen: &Observation) {
    let (gauge, host) = (Kind::Gauge, &seen.host);
    page.number(
        gauge,
        "mariadb_galera_disk_free_bytes",
        "Free for the data directory.",
        host.free_bytes.map(|b| b as f64),
    );
    page.number(gauge, "mariadb_galera_disk_free_inodes", "Free inodes there.", host.free_inodes.map(|b| b as f64));
    let sync = host.write_milliseconds.map(|ms| ms as f64 / 1000.0);
    page.number(gauge, "mariadb_galera_disk_sync_seconds", "How long a small write and fsync took there.", sync);
    let fault = [&host.write_fault, &host.tmp_fault, &host.log_fault].iter().any(|fault| fault.is_some());
    page.yes("mariadb_galera_disk_fault", "Whether a write hangs or fails: of data, temporary files, logs.", fault);
    for peer in &seen.peers {
        for (port, answer) in [("agent", peer.agent), ("galera", peer.galera)] {
            let open = f64::from(u8::from(answer == PortAnswer::Open));
            let labels = [("peer", peer.name.as_str()), ("port", port)];
            page.sample(
                gauge,
                "mariadb_galera_peer_reachable",
                "Whether a TCP connect to a peer succeeds.",
                &labels,
                open,
            );
        }
    }
}

fn of_cluster(page: &mut Exposition, shown: &Shown, watched: &Watched) {
    let (gauge, found) = (Kind::Gauge, &watched.diagnosis);
    let code = found.code.to_string();
    page.sample(gauge, "mariadb_galera_diagnosis", "The cluster, as this member sees it.", &[("code", &code)], 1.0);
    let own = found.members.iter().find(|m| m.name == shown.seen.member.name);
    if let Some(own) = own {
        let code = own.code.to_string();
        page.sample(gauge, "mariadb_galera_member_diagnosis", "This member.", &[("code", &code)], 1.0);
    }
    let mut warnings: Vec<String> = found.warnings.iter().map(|w| w.code.to_string()).collect();
    warnings.sort();
    warnings.dedup();
    for code in &warnings {
        page.sample(gauge, "mariadb_galera_warning", "What should be known besides.", &[("code", code)], 1.0);
    }
    page.number(
        gauge,
        "mariadb_galera_members_seen",
        "Members whose agents answer this one.",
        Some(watched.seen as f64),
    );
    let age = watched.at.elapsed().as_secs_f64();
    page.number(gauge, "mariadb_galera_diagnosis_age_seconds", "Since the members were last asked.", Some(age));
    let leave = watched.last_leave.map(|d| d.as_secs_f64());
    page.number(
        gauge,
        "mariadb_galera_last_leave_seconds",
        "How long the last drain, or other stop of galera-start, took.",
        leave,
    );
    page.number(
        Kind::Counter,
        "mariadb_galera_diagnosis_changes_total",
        "Changes since the agent began.",
        Some(watched.changes as f64),
    );
    page.number(
        Kind::Counter,
        "mariadb_galera_hook_failures_total",
        "Hooks that failed since the agent began.",
        Some(watched.hook_failures as f64),
    );
}

fn own_process(page: &mut Exposition) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident =
        status.lines().find_map(|l| l.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<f64>().ok());
    page.number(Kind::Gauge, "process_resident_memory_bytes", "Memory of the agent.", resident.map(|kib| kib * 1024.0));
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks: Option<f64> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<f64>().ok()).sum());
    page.number(Kind::Counter, "process_cpu_seconds_total", "CPU time of the agent.", ticks.map(|t| t / 100.0));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::health::{Fitness, health};
    use crate::cluster::situation::down;

    #[test]
    fn s21_k14_a_waiting_member_says_what_it_waits_for() {
        let seen = down(0, 7);
        let health = health(&seen, Fitness { when_donor: true, when_read_only: false });
        let text = page(&Shown { seen: &seen, health: &health, observed: 0.5, position_age: 3.0, watched: None });
        for line in [
            "mariadb_galera_mariadbd_running 0",
            "mariadb_galera_waiting_seconds{for=\"members\"} 60",
            "mariadb_galera_seqno 7",
            "mariadb_galera_position_age_seconds 3",
            "mariadb_galera_fit 0",
            "mariadb_galera_maintenance 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}: {text}");
        }
        assert!(!text.contains("mariadb_galera_primary"), "what is not known is left out");
    }
}
