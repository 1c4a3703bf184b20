//! Galera's own words about itself, from `SHOW GLOBAL STATUS` and `SHOW GLOBAL VARIABLES`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::position::Position;
use super::uuid::Uuid;

/// `wsrep_cluster_status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClusterStatus {
    /// Member of a component with quorum.
    Primary,
    /// In a component without quorum.
    NonPrimary,
    /// Not in any component: after an inconsistency, or a lost second primary.
    Disconnected,
}

/// `wsrep_local_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LocalState {
    /// 0: not (or no longer) part of a primary component.
    Initialized,
    /// 1: about to receive, or receiving, state.
    Joining,
    /// 2: giving state to another member, or desynced by hand.
    Donor,
    /// 3: has its state, is catching up.
    Joined,
    /// 4: caught up.
    Synced,
    /// Voted out: the data differs from the others'.
    Inconsistent,
}

/// The status of a `mariadbd` whose SQL answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wsrep {
    /// Whether, and in what kind of component.
    pub cluster_status: ClusterStatus,
    /// The history of the component.
    pub cluster_state_uuid: Option<Uuid>,
    /// Members of the component.
    pub cluster_size: u32,
    /// The component's view number; none while not primary (Galera shows -1 as 2^64-1).
    pub cluster_conf_id: Option<u64>,
    /// The member's state.
    pub local_state: LocalState,
    /// The same in Galera's words.
    pub local_state_comment: String,
    /// The history of the member's data.
    pub local_state_uuid: Option<Uuid>,
    /// The member's number in the view; none while not primary.
    pub local_index: Option<u64>,
    /// Whether statements are let through.
    pub ready: bool,
    /// Whether there is a connection to the group.
    pub connected: bool,
    /// The last transaction committed here.
    pub last_committed: Option<u64>,
    /// This member's UUID in the group.
    pub gcomm_uuid: Option<Uuid>,
    /// The addresses of the component's members, as Galera lists them.
    pub incoming_addresses: String,
    /// How many reasons there are to be desynced; a donor has at least one.
    pub desync_count: u32,
    /// `read_only`.
    pub read_only: bool,
    /// Galera's version.
    pub provider_version: String,
    /// `wsrep_on`; OFF, the server takes writes that no other member gets.
    #[serde(default = "on")]
    pub on: bool,
    /// `wsrep_desync`: desynced by hand. A donor is desynced without it.
    #[serde(default)]
    pub desync: bool,
    /// `wsrep_reject_queries` is not NONE: clients are turned away by hand.
    #[serde(default)]
    pub reject_queries: bool,
    /// Whether replication stands still at this moment, for flow control.
    #[serde(default)]
    pub flow_control_active: bool,
    /// For how many nanoseconds replication stood still for that since the server started.
    #[serde(default)]
    pub flow_control_paused_ns: Option<u64>,
    /// Whether it is this member that asks for that.
    #[serde(default)]
    pub flow_control_requested: bool,
    /// Transactions that wait to be applied here.
    #[serde(default)]
    pub local_recv_queue: u64,
    /// The oldest transaction that this member can give to a joiner by IST.
    #[serde(default)]
    pub local_cached_downto: Option<u64>,
    /// Members that were late, as `uuid:address:times`, separated by commas.
    #[serde(default)]
    pub evs_delayed: String,
    /// The UUIDs of the members that were evicted, separated by commas.
    #[serde(default)]
    pub evs_evict_list: String,
    /// `pc.ignore_sb` or `pc.ignore_quorum`, those of them that are on.
    #[serde(default)]
    pub quorum_ignored: Vec<String>,
}

/// An older agent does not tell `wsrep_on`; it is OFF only where a person made it so.
fn on() -> bool {
    true
}

impl Wsrep {
    /// From the rows of `SHOW GLOBAL STATUS LIKE 'wsrep%'` and those of the variables of that name, which
    /// are no less telling, and the variable `read_only`; none where the server has no wsrep status at all
    /// (not a Galera server).
    pub fn from_rows(rows: &BTreeMap<String, String>, read_only: bool) -> Option<Wsrep> {
        let text = |name: &str| rows.get(name).map(String::as_str).unwrap_or_default();
        let number = |name: &str| text(name).parse::<u64>().ok().filter(|n| *n != u64::MAX);
        let uuid = |name: &str| text(name).parse::<Uuid>().ok().filter(|u| !u.is_nil());
        let comment = text("wsrep_local_state_comment");
        // Seen on a member that was cut off soon after an IST: Galera's log says `Received NON-PRIMARY`, SQL goes
        // on to say Primary, Synced and the old size, for ever. These two come from the group itself.
        let alone = text("wsrep_cluster_weight") == "0" && number("wsrep_local_index").is_none();
        Some(Wsrep {
            cluster_status: match rows.get("wsrep_cluster_status")?.to_ascii_lowercase().as_str() {
                "primary" if !alone => ClusterStatus::Primary,
                "primary" | "non-primary" => ClusterStatus::NonPrimary,
                _ => ClusterStatus::Disconnected,
            },
            cluster_state_uuid: uuid("wsrep_cluster_state_uuid"),
            cluster_size: number("wsrep_cluster_size").and_then(|n| u32::try_from(n).ok()).unwrap_or_default(),
            cluster_conf_id: number("wsrep_cluster_conf_id"),
            local_state: match (number("wsrep_local_state"), comment) {
                (_, "Inconsistent") => LocalState::Inconsistent,
                (Some(1), _) => LocalState::Joining,
                (Some(2), _) => LocalState::Donor,
                (Some(3), _) => LocalState::Joined,
                (Some(4), _) => LocalState::Synced,
                _ => LocalState::Initialized,
            },
            local_state_comment: comment.to_owned(),
            local_state_uuid: uuid("wsrep_local_state_uuid"),
            local_index: number("wsrep_local_index"),
            ready: text("wsrep_ready") == "ON",
            connected: text("wsrep_connected") == "ON",
            last_committed: number("wsrep_last_committed"),
            gcomm_uuid: uuid("wsrep_gcomm_uuid"),
            incoming_addresses: if alone { String::new() } else { text("wsrep_incoming_addresses").to_owned() },
            desync_count: number("wsrep_desync_count").and_then(|n| u32::try_from(n).ok()).unwrap_or_default(),
            read_only,
            provider_version: text("wsrep_provider_version").to_owned(),
            on: !text("wsrep_on").eq_ignore_ascii_case("off"),
            desync: is_on(text("wsrep_desync")),
            reject_queries: !matches!(text("wsrep_reject_queries"), "" | "NONE"),
            flow_control_active: is_on(text("wsrep_flow_control_active")),
            flow_control_paused_ns: number("wsrep_flow_control_paused_ns"),
            flow_control_requested: is_on(text("wsrep_flow_control_requested")),
            local_recv_queue: number("wsrep_local_recv_queue").unwrap_or_default(),
            local_cached_downto: number("wsrep_local_cached_downto").filter(|n| *n > 0),
            evs_delayed: text("wsrep_evs_delayed").to_owned(),
            evs_evict_list: text("wsrep_evs_evict_list").to_owned(),
            quorum_ignored: options_on(text("wsrep_provider_options"), &["pc.ignore_sb", "pc.ignore_quorum"]),
        })
    }

    /// How many members of the component have no data: garbd has no address for clients, so Galera lists an
    /// empty one for it.
    pub fn arbitrators(&self) -> u32 {
        let known = self.incoming_addresses.split(',').any(|a| !a.trim().is_empty());
        let empty = self.incoming_addresses.split(',').filter(|a| a.trim().is_empty()).count();
        if known { u32::try_from(empty).unwrap_or_default() } else { 0 }
    }

    /// Whether the list of addresses is of the view that the size is of: a member that was receiving a full copy when the view
    /// changed keeps the list of the view before, until the next one.
    pub fn lists_all(&self) -> bool {
        u32::try_from(self.incoming_addresses.split(',').count()).is_ok_and(|listed| listed == self.cluster_size)
    }

    /// Whether both tell of one and the same view; none where one of the lists is of a view before, and the numbers are the
    /// same: two halves of a cluster may count alike.
    pub fn same_view(&self, other: &Wsrep) -> Option<bool> {
        let numbers = |w: &Wsrep| (w.cluster_conf_id, w.cluster_size, w.cluster_state_uuid);
        if numbers(self) != numbers(other) {
            return Some(false);
        }
        (self.lists_all() && other.lists_all()).then(|| self.listed() == other.listed())
    }

    /// The addresses of the view; the order says nothing.
    fn listed(&self) -> Vec<&str> {
        let mut addresses: Vec<&str> = self.incoming_addresses.split(',').map(str::trim).collect();
        addresses.sort_unstable();
        addresses
    }

    /// How many members of the component have data.
    pub fn members_with_data(&self) -> u32 {
        self.cluster_size.saturating_sub(self.arbitrators())
    }

    /// `wsrep_local_state` as Galera numbers it.
    pub fn local_state_number(&self) -> u8 {
        match self.local_state {
            LocalState::Initialized | LocalState::Inconsistent => 0,
            LocalState::Joining => 1,
            LocalState::Donor => 2,
            LocalState::Joined => 3,
            LocalState::Synced => 4,
        }
    }

    /// Whether this member is in a component with quorum.
    pub fn is_primary(&self) -> bool {
        self.cluster_status == ClusterStatus::Primary
    }

    /// Whether it serves: primary, caught up, and statements are let through.
    pub fn is_synced(&self) -> bool {
        self.is_primary() && self.local_state == LocalState::Synced && self.ready
    }

    /// The position of a live member; `last_committed` is also true while non-primary.
    pub fn position(&self) -> Option<Position> {
        Position::new(self.local_state_uuid?, self.last_committed?)
    }
}

/// Galera writes `true` where the server writes `ON`.
fn is_on(value: &str) -> bool {
    ["on", "true", "1", "yes"].iter().any(|yes| value.eq_ignore_ascii_case(yes))
}

/// Those of the named provider options that are on.
fn options_on(options: &str, names: &[&str]) -> Vec<String> {
    let pairs = options.split(';').filter_map(|option| option.split_once('='));
    pairs
        .map(|(name, value)| (name.trim(), value.trim()))
        .filter(|(name, value)| names.contains(name) && is_on(value))
        .map(|(name, _)| name.to_owned())
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A healthy member of a component of three.
    pub(crate) fn synced(history: &str, seqno: u64) -> Wsrep {
        let rows = [
            ("wsrep_cluster_status", "Primary"),
            ("wsrep_cluster_state_uuid", history),
            ("wsrep_local_state_uuid", history),
            ("wsrep_cluster_size", "3"),
            ("wsrep_cluster_conf_id", "3"),
            ("wsrep_local_state", "4"),
            ("wsrep_local_state_comment", "Synced"),
            ("wsrep_local_index", "0"),
            ("wsrep_ready", "ON"),
            ("wsrep_connected", "ON"),
            ("wsrep_last_committed", &seqno.to_string()),
        ]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect();
        Wsrep::from_rows(&rows, false).unwrap()
    }

    #[test]
    fn a_synced_member() {
        let wsrep = synced("746e46f3-8f76-11e7-9c1c-a220eabab4ba", 42);
        assert!(wsrep.is_synced());
        assert_eq!(wsrep.position().unwrap().seqno(), 42);
    }

    #[test]
    fn a_member_without_quorum_still_has_its_position() {
        let mut rows: BTreeMap<String, String> = BTreeMap::new();
        for (k, v) in [
            ("wsrep_cluster_status", "non-Primary"),
            ("wsrep_cluster_conf_id", "18446744073709551615"),
            ("wsrep_local_state", "0"),
            ("wsrep_local_state_comment", "Initialized"),
            ("wsrep_local_state_uuid", "746e46f3-8f76-11e7-9c1c-a220eabab4ba"),
            ("wsrep_last_committed", "7"),
            ("wsrep_ready", "OFF"),
            ("wsrep_local_index", "18446744073709551615"),
        ] {
            rows.insert(k.into(), v.into());
        }
        let wsrep = Wsrep::from_rows(&rows, false).unwrap();
        assert!(!wsrep.is_primary() && !wsrep.is_synced());
        assert_eq!((wsrep.cluster_conf_id, wsrep.local_index), (None, None));
        assert_eq!(wsrep.position().unwrap().seqno(), 7);
    }

    #[test]
    fn k3_a_member_whose_sql_goes_on_to_say_primary_after_it_was_cut_off() {
        let rows = |weight: &str, index: &str| {
            let pairs = [
                ("wsrep_cluster_status", "Primary"),
                ("wsrep_cluster_size", "3"),
                ("wsrep_local_state", "4"),
                ("wsrep_ready", "ON"),
                ("wsrep_incoming_addresses", "10.0.0.1:3306,10.0.0.2:3306,10.0.0.3:3306"),
                ("wsrep_cluster_weight", weight),
                ("wsrep_local_index", index),
            ];
            pairs.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect::<BTreeMap<String, String>>()
        };
        let cut_off = Wsrep::from_rows(&rows("0", "18446744073709551615"), false).unwrap();
        assert!(!cut_off.is_primary() && !cut_off.is_synced() && cut_off.incoming_addresses.is_empty());
        for (weight, index) in [("3", "0"), ("0", "0"), ("3", "18446744073709551615")] {
            assert!(Wsrep::from_rows(&rows(weight, index), false).unwrap().is_synced(), "{weight} {index}");
        }
    }

    #[test]
    fn a_server_without_galera() {
        assert_eq!(Wsrep::from_rows(&BTreeMap::new(), false), None);
    }

    #[test]
    fn what_slows_or_endangers_the_cluster() {
        let rows = [
            ("wsrep_cluster_status", "Primary"),
            ("wsrep_on", "OFF"),
            ("wsrep_desync", "ON"),
            ("wsrep_reject_queries", "ALL"),
            ("wsrep_flow_control_requested", "true"),
            ("wsrep_flow_control_active", "false"),
            ("wsrep_local_recv_queue", "17"),
            ("wsrep_provider_options", "pc.ignore_quorum = false; pc.ignore_sb = true; pc.weight = 1"),
        ];
        let rows = rows.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let wsrep = Wsrep::from_rows(&rows, false).unwrap();
        assert!(!wsrep.on && wsrep.desync && wsrep.reject_queries);
        assert!(wsrep.flow_control_requested && !wsrep.flow_control_active);
        assert_eq!((wsrep.local_recv_queue, wsrep.quorum_ignored), (17, vec!["pc.ignore_sb".to_owned()]));
    }

    #[test]
    fn an_older_agents_answer_is_understood() {
        let mut answer = serde_json::to_value(synced("746e46f3-8f76-11e7-9c1c-a220eabab4ba", 42)).unwrap();
        let fields = answer.as_object_mut().unwrap();
        for newer in ["on", "desync", "reject_queries", "local_recv_queue", "evs_delayed", "quorum_ignored"] {
            assert!(fields.remove(newer).is_some(), "{newer}");
        }
        assert!(serde_json::from_value::<Wsrep>(answer).unwrap().on);
    }
}
