//! Where a member stands, and how that is known.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::memory::Memory;
use super::observation::{Disk, File, Process};
use crate::galera::position::Position;
use crate::galera::recovery::Recovered;
use crate::galera::wsrep::{LocalState, Wsrep};

/// Where a member stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Standing {
    /// At this position.
    At {
        /// The position.
        position: Position,
        /// How it is known.
        from: Provenance,
    },
    /// It never had data of a cluster.
    Empty,
    /// Not known.
    Unknown {
        /// Why.
        why: Unknown,
        /// The details, for a person.
        detail: String,
        /// What it committed goes no further than this, by two witnesses: it can be told what is lost with
        /// its data, although nothing may begin from it without a person's word.
        #[serde(default)]
        at_most: Option<Position>,
    },
}

/// How a position is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    /// `wsrep_last_committed` of a live server.
    LiveSql,
    /// `grastate.dat` after a clean stop, `mariadbd` being down.
    CleanStop,
    /// `--wsrep-recover`, `mariadbd` being down.
    Recovered,
    /// `--wsrep_start_position` of a `mariadbd` that has not opened SQL: nothing was applied since (K6).
    StartArgument,
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Provenance::LiveSql => "live SQL",
            Provenance::CleanStop => "clean stop",
            Provenance::Recovered => "recovered",
            Provenance::StartArgument => "start argument",
        })
    }
}

/// Why a position is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// Nobody has looked yet: the supervisor does not run, or is still at it.
    NotLookedYet,
    /// A state transfer was under way: the data directory may be a mixture.
    TransferInterrupted,
    /// There is data, and nothing tells its position: crash in a DDL, an abort by Galera, a lost file.
    NoPosition,
    /// The witnesses of the history disagree.
    WitnessesDisagree,
    /// The member remembers a cluster, and its data directory is empty: what it had is gone.
    DataGone,
    /// The others voted it out: its data differs from theirs.
    VotedOut,
    /// Looking failed.
    Failed,
}

impl Standing {
    /// Unknown, with the reason.
    pub fn unknown(why: Unknown, detail: impl Into<String>) -> Standing {
        Standing::Unknown { why, detail: detail.into(), at_most: None }
    }

    /// The position, if known.
    pub fn position(&self) -> Option<Position> {
        match self {
            Standing::At { position, .. } => Some(*position),
            _ => None,
        }
    }

    /// What the member committed goes no further than this.
    pub fn at_most(&self) -> Option<Position> {
        match self {
            Standing::At { position, .. } => Some(*position),
            Standing::Unknown { at_most, .. } => *at_most,
            Standing::Empty => None,
        }
    }

    /// Whether the member may have had data that is not there any more.
    pub fn may_have_lost_all(&self) -> bool {
        matches!(self, Standing::Empty | Standing::Unknown { why: Unknown::DataGone, .. })
    }

    /// Whether a state transfer into the member broke off: what it had was part of the cluster's history
    /// when that began, and what it got came from there, so it has nothing that others lack.
    pub fn transfer_interrupted(&self) -> bool {
        matches!(self, Standing::Unknown { why: Unknown::TransferInterrupted, .. })
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Standing::At { position, from } => write!(f, "{position} ({from})"),
            Standing::Empty => f.write_str("no data"),
            Standing::Unknown { detail, .. } => write!(f, "unknown: {detail}"),
        }
    }
}

/// What is known of a stopped member before `--wsrep-recover` was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AtRest {
    /// This is the answer.
    Stands(Standing),
    /// `--wsrep-recover` must be asked.
    MustRecover,
}

/// Where a stopped member stands by its files alone, or that recovery is needed (G5, G6).
///
/// Recovery is never run on a data directory in which a state transfer was interrupted.
pub fn at_rest(disk: &Disk, memory: &Memory) -> AtRest {
    if let Some(why) = &disk.unreadable {
        return AtRest::Stands(Standing::unknown(Unknown::Failed, format!("data directory: {why}")));
    }
    let state = match &disk.grastate {
        File::Present(state) => Some(state),
        File::Absent | File::Garbled(_) => None,
    };
    let zeroed = state.is_none_or(|s| s.uuid.is_nil());
    if memory.joining.is_some() && zeroed {
        return AtRest::Stands(Standing::unknown(
            Unknown::TransferInterrupted,
            "a state transfer into this member was interrupted; its data directory may be incomplete",
        ));
    }
    if memory.voted_out && zeroed {
        return AtRest::Stands(Standing::unknown(
            Unknown::VotedOut,
            "the others voted this member out, because its data differs from theirs; its data is kept",
        ));
    }
    if let Some(position) = state.and_then(|s| s.clean_position()) {
        return AtRest::Stands(match disk.cache_history.filter(|h| *h != position.history()) {
            Some(other) => disagree(position, other),
            None => Standing::At { position, from: Provenance::CleanStop },
        });
    }
    if !disk.has_data() {
        return AtRest::Stands(match memory.knows_a_cluster() {
            false => Standing::Empty,
            true => Standing::unknown(
                Unknown::DataGone,
                "the data directory is empty, although this member remembers a cluster: what it had is gone",
            ),
        });
    }
    AtRest::MustRecover
}

/// Where a stopped member stands by its files and by `--wsrep-recover`.
///
/// A recovered position needs a second witness for its history: Galera itself ignores a recovered
/// position where `grastate.dat` has another UUID. Where `grastate.dat` knows no history (crash in a DDL, a
/// lost or empty file), `galera.cache` and what we remember confirm how far the data can go, and no more.
pub fn after_recovery(disk: &Disk, recovered: &Recovered, memory: &Memory) -> Standing {
    let saved = disk.grastate.present().map(|s| s.uuid).filter(|u| !u.is_nil());
    let Recovered::At(position) = recovered else {
        return Standing::unknown(
            Unknown::NoPosition,
            "there is data, and the storage engine knows no position for it",
        );
    };
    let witnesses = [saved, disk.cache_history, memory.last_position.map(Position::history)];
    if let Some(other) = witnesses.into_iter().flatten().find(|h| *h != position.history()) {
        return disagree(*position, other);
    }
    match (saved, disk.cache_history) {
        (Some(_), _) => Standing::At { position: *position, from: Provenance::Recovered },
        (None, Some(_)) => Standing::Unknown {
            why: Unknown::NoPosition,
            detail: format!(
                "grastate.dat knows no history (a crash in a DDL, an abort by Galera, or the file is lost); what the storage engine has goes to {position}"
            ),
            at_most: Some(*position),
        },
        (None, None) => Standing::unknown(
            Unknown::NoPosition,
            format!(
                "the storage engine says {position}, and neither grastate.dat nor galera.cache confirms that history"
            ),
        ),
    }
}

fn disagree(position: Position, other: crate::galera::uuid::Uuid) -> Standing {
    Standing::unknown(
        Unknown::WitnessesDisagree,
        format!("one witness says {position}, another knows the history {other}"),
    )
}

/// Where a member stands: live, starting or stopped.
///
/// `resting` is what its supervisor found when `mariadbd` was last down.
pub fn standing(
    process: Option<&Process>,
    wsrep: Option<&Wsrep>,
    disk: &Disk,
    memory: &Memory,
    resting: Option<&Standing>,
) -> Standing {
    let Some(process) = process.filter(|p| !p.recovering) else {
        return match (resting, at_rest(disk, memory)) {
            (Some(known), _) => known.clone(),
            (None, AtRest::Stands(standing)) => standing,
            (None, AtRest::MustRecover) => Standing::unknown(Unknown::NotLookedYet, "not recovered yet"),
        };
    };
    if let Some(wsrep) = wsrep {
        return match wsrep.position() {
            Some(position) if wsrep.local_state != LocalState::Inconsistent => {
                Standing::At { position, from: Provenance::LiveSql }
            }
            _ if !wsrep.on => Standing::unknown(Unknown::NoPosition, "with wsrep_on = OFF the server tells none"),
            _ => Standing::unknown(Unknown::NoPosition, format!("the server says {}", wsrep.local_state_comment)),
        };
    }
    if process.state_transfer {
        return Standing::unknown(Unknown::TransferInterrupted, "it is receiving a state transfer");
    }
    match process.start_position {
        Some(position) => Standing::At { position, from: Provenance::StartArgument },
        None => Standing::unknown(
            Unknown::NotLookedYet,
            "mariadbd runs, has not opened SQL, and was started without a position",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::memory::Joining;
    use crate::galera::grastate::Grastate;
    use crate::galera::uuid::Uuid;

    const H: Uuid = Uuid::from_u128(0xabc);
    const OTHER: Uuid = Uuid::from_u128(0xdef);

    fn grastate(uuid: Uuid, seqno: i64) -> File<Grastate> {
        File::Present(Grastate { version: "2.1".into(), uuid, seqno, safe_to_bootstrap: false })
    }

    fn disk(grastate: File<Grastate>, cache: Option<Uuid>) -> Disk {
        Disk {
            unreadable: None,
            initialised: true,
            user_databases: false,
            grastate,
            saved_view: File::Absent,
            cache_history: cache,
        }
    }

    fn at(seqno: u64) -> Position {
        Position::new(H, seqno).unwrap()
    }

    fn word(at: AtRest) -> String {
        match at {
            AtRest::MustRecover => "recover".into(),
            AtRest::Stands(Standing::At { from, .. }) => from.to_string(),
            AtRest::Stands(Standing::Empty) => "empty".into(),
            AtRest::Stands(Standing::Unknown { why, .. }) => format!("{why:?}"),
        }
    }

    #[test]
    fn g5_g6_k7_where_a_stopped_member_stands_by_its_files() {
        let fresh = Memory::default();
        let joining = Memory { joining: Some(Joining { from: Some(at(9)), incarnation: None }), ..Memory::default() };
        let known = Memory { last_position: Some(at(9)), ..Memory::default() };
        let voted_out = Memory { voted_out: true, ..known.clone() };
        let user_data = Disk { user_databases: true, ..disk(File::Absent, None) };
        for (disk, memory, expected, why) in [
            (disk(grastate(H, 13), Some(H)), &fresh, "clean stop", "a clean stop"),
            (disk(grastate(H, 13), None), &fresh, "clean stop", "a clean stop, the cache removed"),
            (disk(grastate(H, 13), Some(OTHER)), &fresh, "WitnessesDisagree", "the cache knows another history"),
            (disk(grastate(H, -1), Some(H)), &fresh, "recover", "a crash"),
            (disk(grastate(H, -1), Some(H)), &joining, "recover", "a join that failed before any transfer"),
            (disk(grastate(Uuid::NIL, -1), Some(H)), &joining, "TransferInterrupted", "a transfer was interrupted"),
            (
                disk(File::Garbled("empty".into()), None),
                &joining,
                "TransferInterrupted",
                "a transfer left an empty file",
            ),
            (disk(grastate(Uuid::NIL, -1), Some(H)), &known, "recover", "a crash in a DDL"),
            (disk(File::Absent, None), &fresh, "empty", "a new disk"),
            (disk(grastate(Uuid::NIL, -1), None), &fresh, "empty", "a start that never reached a cluster"),
            (disk(File::Absent, None), &known, "DataGone", "the data directory was emptied"),
            (user_data, &fresh, "recover", "data of a server that never had Galera"),
            (disk(File::Garbled("x".into()), None), &fresh, "recover", "a garbled file never means empty"),
            (disk(grastate(Uuid::NIL, -1), Some(H)), &voted_out, "VotedOut", "voted out: its data differs"),
            (disk(grastate(H, 9), Some(H)), &voted_out, "clean stop", "voted out long ago, and back since"),
        ] {
            assert_eq!(word(at_rest(&disk, memory)), expected, "{why}");
        }
    }

    #[test]
    fn a_recovered_position_needs_a_second_witness() {
        let recovered = Recovered::At(at(20));
        let fresh = Memory::default();
        let same = Memory { last_position: Some(at(18)), ..Memory::default() };
        let another = Memory { last_position: Position::new(OTHER, 18), ..Memory::default() };
        for (disk, memory, known, at_most, why) in [
            (disk(grastate(H, -1), Some(H)), &same, true, true, "all agree"),
            (disk(grastate(H, -1), None), &fresh, true, true, "grastate agrees"),
            (disk(grastate(H, -1), Some(H)), &another, false, false, "we remember another history"),
            (disk(grastate(OTHER, -1), Some(H)), &fresh, false, false, "grastate says otherwise"),
            (
                disk(grastate(Uuid::NIL, -1), Some(H)),
                &same,
                false,
                true,
                "zeroed by a DDL: Galera ignores the position",
            ),
            (disk(grastate(Uuid::NIL, -1), Some(OTHER)), &fresh, false, false, "zeroed, and the cache says otherwise"),
            (disk(File::Absent, Some(H)), &fresh, false, true, "grastate.dat is lost"),
            (disk(File::Garbled("empty".into()), Some(H)), &fresh, false, true, "grastate.dat is empty"),
            (disk(File::Absent, None), &fresh, false, false, "no witness"),
        ] {
            let found = after_recovery(&disk, &recovered, memory);
            assert_eq!((found.position().is_some(), found.at_most().is_some()), (known, at_most), "{why}: {found}");
        }
    }

    #[test]
    // K6, S22: evidence where no client gets an answer.
    fn k6_s22_the_start_argument_of_a_member_that_waits() {
        let waiting = Process {
            pid: 7,
            started: 0,
            new_cluster: false,
            recovering: false,
            start_position: Some(at(20_626_756)),
            group: None,
            state_transfer: false,
        };
        let disk = disk(grastate(H, -1), Some(H));
        let memory = Memory::default();
        let stands = standing(Some(&waiting), None, &disk, &memory, None);
        assert_eq!(stands, Standing::At { position: at(20_626_756), from: Provenance::StartArgument });
        let receiving = Process { state_transfer: true, ..waiting };
        assert_eq!(standing(Some(&receiving), None, &disk, &memory, None).position(), None);
    }
}
