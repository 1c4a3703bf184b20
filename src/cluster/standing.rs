//! Where a member stands, and how that is known.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::memory::{DataPrint, Joining, Memory};
use super::observation::{Disk, File, Process};
use crate::galera::gvwstate::SavedView;
use crate::galera::log_lines::{Evidence, LogKind, last_process};
use crate::galera::position::Position;
use crate::galera::recovery::Recovered;
use crate::galera::uuid::Uuid;
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
    /// A full copy was writing into the data directory: what was there before is gone, and this is a mixture.
    TransferInterrupted,
    /// A join broke off, and nothing tells whether it has touched the data: what the member had may still be there.
    JoinBroke,
    /// There is data, and nothing tells its position: crash in a DDL, an abort by Galera, a lost file.
    NoPosition,
    /// The witnesses of the history disagree.
    WitnessesDisagree,
    /// The member remembers a cluster, and its data directory is empty: what it had is gone.
    DataGone,
    /// The others voted it out: its data differs from theirs.
    VotedOut,
    /// A full copy was not known to be on disk when the VM went down: its files may be torn. It has served with them.
    NotOnDisk,
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

    /// Whether its position could not be found for a reason that may be over in a moment: it is looked for again.
    pub fn is_looked_for_again(&self) -> bool {
        matches!(
            self,
            Standing::Unknown { why: Unknown::Failed, .. }
                | Standing::Unknown { why: Unknown::NotOnDisk, at_most: None, .. }
        )
    }

    /// Whether a full copy that broke off has written over what the member had: nothing of that is left to be lost.
    pub fn is_mixture(&self) -> bool {
        matches!(self, Standing::Unknown { why: Unknown::TransferInterrupted, .. })
    }

    /// The same, and what the member committed goes no further than this.
    fn within(self, bound: Option<Position>) -> Standing {
        match self {
            Standing::Unknown { why, detail, .. } => Standing::Unknown { why, detail, at_most: bound },
            known => known,
        }
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
    /// `--wsrep-recover` must be asked; what is known besides.
    MustRecover(Doubt),
}

/// What is known of data whose position must be recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// Nothing speaks against it.
    None,
    /// Galera zeroed `grastate.dat` when this member asked for its state, and nothing but an incremental transfer, if
    /// anything, has touched the data since.
    JoinBroke,
    /// The same, and a full copy may have written over the data.
    JoinUncertain,
    /// A full copy was not known to be on disk when the VM went down: its files may be torn.
    NotOnDisk,
    /// The others voted the member out.
    VotedOut,
}

/// What tells, besides the files of a position, what happened to the data of a member that is down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trace {
    /// The error log's last life says that the others voted this member out.
    pub voted_out: bool,
    /// It says that a join got all of its state: what zeroed `grastate.dat` after that was something else.
    pub joined: bool,
    /// Its process, where it tells.
    pub process: Option<i32>,
    /// It says that the server was told to begin a component, and nobody has written down that of its process.
    pub began: bool,
    /// It says that the state came as an incremental transfer, which the server applies like any other commit.
    pub incremental: bool,
    /// It says that the storage engine was shut down in order.
    pub ended: bool,
    /// The data as it is now, where that was looked at.
    pub print: Option<DataPrint>,
    /// The error log of the join's own life says that a full copy came.
    pub copied: bool,
    /// The boot of the VM, where it is known.
    pub boot: Option<Uuid>,
    /// A full copy by mariabackup left its own directory behind, which it makes before it removes anything.
    pub half_copied: bool,
}

impl Trace {
    /// What the error log's last life proves. What it does not say proves nothing: it may have been rotated away, or
    /// be younger on disk than what it tells of.
    pub fn said_by(log: &[Evidence], memory: &Memory) -> Trace {
        let says = |kind| log.iter().any(|line| line.kind == kind);
        let process = last_process(log);
        // Of the join that was under way only the process tells that was started for it: the lines of that one may be lost with
        // the power, and the last life that is there is then an earlier one.
        let of_this_join = process.is_some_and(|process| memory.started.is_some_and(|mark| mark.pid == process));
        Trace {
            process,
            voted_out: says(LogKind::Inconsistent),
            joined: says(LogKind::StateComplete) && of_this_join,
            began: says(LogKind::BegunAlone) && process.is_some_and(|process| !memory.accounts_for(process)),
            incremental: says(LogKind::Incremental) && of_this_join,
            ended: says(LogKind::Ended),
            ..Trace::default()
        }
    }
}

/// Whether somebody began a component with this member by hand, which nobody has written down: what it has since then
/// is of no incarnation that is known. Galera's log says so, or a saved view of this member alone that came from nowhere.
pub fn begun_unseen(disk: &Disk, memory: &Memory, trace: &Trace) -> bool {
    let alone = |view: &SavedView| {
        // Of several that somebody made primary together one records it.
        (view.members.len() == 1 || view.bootstrap && view.represented_here()) && !memory.explains_saved(view)
    };
    // Galera removes the view on a stop in order; what was seen of it before stays so.
    let seen_before = memory.last_view.as_ref().filter(|_| memory.strange.is_some());
    let view = disk.saved_view.present().or(seen_before);
    memory.is_witness()
        && disk.has_data()
        && !memory.begun
        && !memory.founding
        && (view.is_some_and(alone) || trace.began && !view.is_some_and(|v| memory.explains_saved(v)))
}

/// Where a stopped member stands by its files alone, or that recovery is needed (G5, G6).
///
/// Recovery is never run on a data directory into which a full copy was being written.
pub fn at_rest(disk: &Disk, memory: &Memory, trace: &Trace) -> AtRest {
    if let Some(why) = &disk.unreadable {
        return AtRest::Stands(Standing::unknown(Unknown::Failed, format!("data directory: {why}")));
    }
    let state = match &disk.grastate {
        File::Present(state) => Some(state),
        File::Absent | File::Garbled(_) => None,
    };
    let zeroed = state.is_none_or(|s| s.uuid.is_nil());
    // Galera zeroes the file at a vote too; what it says of that is asked before a zeroed file is believed.
    if (trace.voted_out && zeroed || memory.voted_out) && disk.has_data() {
        return AtRest::MustRecover(Doubt::VotedOut);
    }
    let another = |boot: Uuid| trace.boot != Some(boot);
    let torn = disk.has_data() && memory.copy_may_be_torn(trace.boot);
    if let Some(joining) = memory.joining.as_ref().filter(|_| zeroed && !trace.joined && disk.has_data()) {
        return join_broke(joining, trace, torn);
    }
    // The server syncs its own files only, also at a stop in order. A copy may have come and gone without being seen: Galera
    // writes its file when that is done, long before the member is Joined.
    let unseen = |joining: &Joining| joining.boot.is_some_and(another) && !joining.untouched(trace);
    if torn || disk.has_data() && memory.joining.as_ref().is_some_and(unseen) {
        return AtRest::MustRecover(Doubt::NotOnDisk);
    }
    // Galera writes its file before the storage engine is shut down. A server that is killed in between claims what its disk
    // may not have (`innodb_flush_log_at_trx_commit` of 0 or 2); nobody is believed who is not known to have ended.
    let ended = |at: &Position| trace.ended || memory.ended_at == Some(*at);
    if let Some(position) = state.and_then(|s| s.clean_position()).filter(ended) {
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
    AtRest::MustRecover(Doubt::None)
}

impl Joining {
    /// Whether nothing but an incremental transfer, if anything, has touched the data since it began.
    fn untouched(&self, trace: &Trace) -> bool {
        trace.print.is_some() && self.print == trace.print || trace.incremental
    }
}

/// A join has not ended. Galera zeroes `grastate.dat` when it *asks* for state, before a donor is found and before one
/// byte moves (galera/src/replicator_str.cpp): until something was written, all of the member's data is there.
fn join_broke(joining: &Joining, trace: &Trace, torn: bool) -> AtRest {
    if joining.overwritten || trace.half_copied || trace.copied || joining.from.is_none() {
        return AtRest::Stands(Standing::unknown(
            Unknown::TransferInterrupted,
            "a full copy into this member was interrupted; its data directory may be incomplete",
        ));
    }
    AtRest::MustRecover(match joining.untouched(trace) {
        true if torn => Doubt::NotOnDisk,
        true => Doubt::JoinBroke,
        false => Doubt::JoinUncertain,
    })
}

/// Where a stopped member stands by its files and by `--wsrep-recover`.
///
/// A recovered position needs a second witness for its history: Galera itself ignores a recovered
/// position where `grastate.dat` has another UUID. Where `grastate.dat` knows no history (crash in a DDL, a
/// lost or empty file), `galera.cache` and what we remember confirm how far the data can go, and no more.
pub fn after_recovery(disk: &Disk, recovered: &Recovered, memory: &Memory, doubt: Doubt) -> Standing {
    let saved = disk.grastate.present().map(|s| s.uuid).filter(|u| !u.is_nil());
    let Recovered::At(position) = recovered else {
        return Standing::unknown(
            Unknown::NoPosition,
            "there is data, and the storage engine knows no position for it",
        );
    };
    let witnesses = [saved, disk.cache_history, memory.furthest().map(Position::history)];
    if let Some(other) = witnesses.into_iter().flatten().find(|h| *h != position.history()) {
        return disagree(*position, other);
    }
    let bound = Some(*position);
    match (doubt, saved, disk.cache_history) {
        (Doubt::VotedOut, ..) => Standing::unknown(
            Unknown::VotedOut,
            format!(
                "the others voted this member out, because its data differs from theirs; its data is kept, and goes to {position}"
            ),
        )
        .within(bound),
        (Doubt::JoinUncertain, ..) => Standing::unknown(
            Unknown::JoinBroke,
            format!(
                "a join of this member broke off, and a full copy may have written over its data; what the storage engine has goes to {position}"
            ),
        )
        .within(bound),
        (Doubt::NotOnDisk, ..) => Standing::unknown(
            Unknown::NotOnDisk,
            format!("{NOT_ON_DISK}; what the storage engine has goes to {position}"),
        )
        .within(bound),
        (Doubt::None, Some(_), _) if disk.claims(*position) => {
            Standing::At { position: *position, from: Provenance::CleanStop }
        }
        // What zeroed the file is known, and so is what the member had.
        (Doubt::JoinBroke, ..) | (_, Some(_), _) => Standing::At { position: *position, from: Provenance::Recovered },
        (_, None, Some(_)) => Standing::unknown(
            Unknown::NoPosition,
            format!(
                "grastate.dat knows no history (a crash in a DDL, an abort by Galera, or the file is lost); what the storage engine has goes to {position}"
            ),
        )
        .within(bound),
        (_, None, None) => Standing::unknown(
            Unknown::NoPosition,
            format!(
                "the storage engine says {position}, and neither grastate.dat nor galera.cache confirms that history"
            ),
        ),
    }
}

/// Where a member stands whose recovery failed: asked again soon.
pub fn recovery_failed(doubt: Doubt, why: &str) -> Standing {
    match doubt {
        Doubt::NotOnDisk => Standing::unknown(
            Unknown::NotOnDisk,
            format!("{NOT_ON_DISK}, and the storage engine tells no position: {why}"),
        ),
        Doubt::None | Doubt::JoinBroke | Doubt::JoinUncertain | Doubt::VotedOut => {
            Standing::unknown(Unknown::Failed, why)
        }
    }
}

const NOT_ON_DISK: &str =
    "a full copy into this member was not on disk yet when its VM went down, and its files may be torn";

fn disagree(position: Position, other: Uuid) -> Standing {
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
    boot: Option<Uuid>,
) -> Standing {
    let Some(process) = process.filter(|p| !p.recovering) else {
        // Where nobody has looked yet, the file's word is all there is.
        let as_told = Trace { ended: true, boot, ..Trace::default() };
        return match (resting, at_rest(disk, memory, &as_told)) {
            (Some(known), _) => known.clone(),
            (None, AtRest::Stands(standing)) => standing,
            (None, AtRest::MustRecover(_)) => Standing::unknown(Unknown::NotLookedYet, "not recovered yet"),
        };
    };
    if let Some(wsrep) = wsrep {
        return match wsrep.position() {
            position if wsrep.local_state == LocalState::Inconsistent => Standing::unknown(
                Unknown::VotedOut,
                "the others voted this member out, because its data differs from theirs",
            )
            .within(position.or(memory.last_position)),
            Some(position) => Standing::At { position, from: Provenance::LiveSql },
            _ if !wsrep.on => Standing::unknown(Unknown::NoPosition, "with wsrep_on = OFF the server tells none"),
            _ => Standing::unknown(Unknown::NoPosition, format!("the server says {}", wsrep.local_state_comment)),
        };
    }
    if process.state_transfer {
        return Standing::unknown(Unknown::NotLookedYet, "it is receiving a state transfer");
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
    use crate::cluster::memory::Remembered;
    use crate::cluster::observation::ProcessMark;
    use crate::galera::grastate::Grastate;
    use crate::galera::log_lines::evidence;

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
            AtRest::MustRecover(Doubt::None) => "recover".into(),
            AtRest::MustRecover(doubt) => format!("recover, {doubt:?}"),
            AtRest::Stands(Standing::At { from, .. }) => from.to_string(),
            AtRest::Stands(Standing::Empty) => "empty".into(),
            AtRest::Stands(Standing::Unknown { why, .. }) => format!("{why:?}"),
        }
    }

    fn remembers(remembered: Remembered) -> Memory {
        remembered.into()
    }

    const PRINT: Option<DataPrint> = Some(DataPrint(7));

    fn known_as_of(seqno: u64) -> Remembered {
        Remembered { last_position: Some(at(seqno)), ..Remembered::default() }
    }

    fn joins(from: Option<u64>) -> Remembered {
        let joining = Joining { from: from.map(at), incarnation: None, print: PRINT, overwritten: false, boot: None };
        Remembered { joining: Some(joining), ..Remembered::default() }
    }

    #[test]
    fn g5_g6_k7_where_a_stopped_member_stands_by_its_files() {
        let fresh = Memory::default();
        let joining = remembers(joins(Some(9)));
        let known = remembers(known_as_of(9));
        let voted_out = remembers(Remembered { voted_out: true, ..Remembered::clone(&known) });
        let (this, another) = (Some(Uuid::from_u128(1)), Some(Uuid::from_u128(2)));
        let copied = |boot, joins| remembers(Remembered { copied: boot, ..joins });
        let (safe, torn) = (copied(this, known_as_of(9)), copied(another, known_as_of(9)));
        let failed = {
            let mut memory = safe.clone();
            memory.not_on_disk();
            memory
        };
        let unseen = |boot| {
            let mut memory = remembers(joins(Some(9)));
            memory.joining.as_mut().unwrap().boot = boot;
            memory
        };
        let user_data = Disk { user_databases: true, ..disk(File::Absent, None) };
        for (disk, memory, expected, why) in [
            (disk(grastate(H, 13), Some(H)), &fresh, "clean stop", "a clean stop"),
            (disk(grastate(H, 13), None), &fresh, "clean stop", "a clean stop, the cache removed"),
            (disk(grastate(H, 13), Some(OTHER)), &fresh, "WitnessesDisagree", "the cache knows another history"),
            (disk(grastate(H, -1), Some(H)), &fresh, "recover", "a crash"),
            (disk(grastate(H, -1), Some(H)), &joining, "recover", "a join that failed before it asked for state"),
            (disk(grastate(Uuid::NIL, -1), Some(H)), &known, "recover", "a crash in a DDL"),
            (disk(File::Absent, None), &fresh, "empty", "a new disk"),
            (disk(grastate(Uuid::NIL, -1), None), &fresh, "empty", "a start that never reached a cluster"),
            (disk(File::Absent, None), &known, "DataGone", "the data directory was emptied"),
            (disk(File::Absent, None), &voted_out, "DataGone", "voted out, and emptied since"),
            (user_data, &fresh, "recover", "data of a server that never had Galera"),
            (disk(File::Garbled("x".into()), None), &fresh, "recover", "a garbled file never means empty"),
            (disk(grastate(Uuid::NIL, -1), Some(H)), &voted_out, "recover, VotedOut", "voted out: its data differs"),
            (disk(grastate(H, 9), Some(H)), &voted_out, "recover, VotedOut", "voted out, whatever its files say since"),
            (disk(grastate(H, 13), Some(H)), &safe, "clean stop", "copied, and stopped in the same boot"),
            (
                disk(grastate(H, 13), Some(H)),
                &torn,
                "recover, NotOnDisk",
                "copied, stopped, and another boot before a sync",
            ),
            (disk(grastate(H, -1), Some(H)), &safe, "recover", "copied, and killed in the same boot"),
            (disk(grastate(H, -1), Some(H)), &torn, "recover, NotOnDisk", "copied, and its power lost before a sync"),
            (disk(File::Absent, None), &torn, "DataGone", "what was copied is gone"),
            (disk(grastate(H, -1), Some(H)), &unseen(this), "recover", "a copy may have come unseen, in this boot"),
            (
                disk(grastate(H, -1), Some(H)),
                &unseen(another),
                "recover, NotOnDisk",
                "the same, and its power was lost",
            ),
            (disk(grastate(H, -1), Some(H)), &failed, "recover, NotOnDisk", "the disk failed to take it, in this boot"),
        ] {
            let ended = Trace { ended: true, boot: this, ..Trace::default() };
            assert_eq!(word(at_rest(&disk, memory, &ended)), expected, "{why}");
        }
        let claims = disk(grastate(H, 13), Some(H));
        let ended = |seqno| remembers(Remembered { ended_at: Some(at(seqno)), ..Remembered::default() });
        for (memory, expected, why) in [
            (&fresh, "recover", "nothing says that it ended in order"),
            (&ended(13), "clean stop", "it was seen to end there; its log is lost"),
            (&ended(9), "recover", "it was seen to end, and has run since"),
        ] {
            assert_eq!(word(at_rest(&claims, memory, &Trace::default())), expected, "{why}");
        }
        for (had, expected) in [(13, Provenance::CleanStop), (9, Provenance::Recovered), (17, Provenance::Recovered)] {
            let found = after_recovery(&claims, &Recovered::At(at(had)), &fresh, Doubt::None);
            assert_eq!(found, Standing::At { position: at(had), from: expected }, "it claims 13, and has {had}");
        }
    }

    #[test]
    // A1: a join that broke off is no reason to take the data for lost. T4: what zeroed grastate.dat is asked of the log.
    fn a1_t4_what_zeroed_grastate_before_the_member_died() {
        let trace = |voted_out, joined, incremental, print, half_copied| Trace {
            voted_out,
            joined,
            incremental,
            print,
            half_copied,
            ..Trace::default()
        };
        let same = trace(false, false, false, PRINT, false);
        let touched = trace(false, false, false, Some(DataPrint(8)), false);
        let overwritten = |of: Remembered| {
            let mut memory = Memory::from(of);
            memory.overwritten(None);
            memory
        };
        for (memory, trace, expected, why) in [
            (remembers(joins(Some(9))), same, "recover, JoinBroke", "it waited for a donor: nothing was touched"),
            (remembers(joins(Some(9))), touched, "recover, JoinUncertain", "touched, and nothing tells by what"),
            (
                remembers(Remembered { copied: Some(Uuid::from_u128(2)), ..joins(Some(9)) }),
                same,
                "recover, NotOnDisk",
                "untouched since a full copy that another boot may have torn",
            ),
            (remembers(joins(Some(9))), Trace { print: None, ..same }, "recover, JoinUncertain", "nobody could look"),
            (
                remembers(joins(Some(9))),
                Trace { incremental: true, ..touched },
                "recover, JoinBroke",
                "touched by an IST, which is applied like any commit",
            ),
            (
                remembers(joins(Some(9))),
                Trace { half_copied: true, ..touched },
                "TransferInterrupted",
                "mariabackup had begun to remove the files",
            ),
            (overwritten(joins(Some(9))), same, "TransferInterrupted", "it was seen to be written over, once"),
            (remembers(joins(None)), same, "TransferInterrupted", "it had nothing of its own"),
            (
                remembers(joins(Some(9))),
                Trace { voted_out: true, ..touched },
                "recover, VotedOut",
                "the log says what it was",
            ),
            (
                remembers(joins(Some(9))),
                Trace { joined: true, ..touched },
                "recover",
                "the join was over: a DDL, or a vote that no log tells of",
            ),
            (remembers(Remembered::default()), Trace { voted_out: true, ..touched }, "recover, VotedOut", "T4"),
        ] {
            assert_eq!(word(at_rest(&disk(grastate(Uuid::NIL, -1), Some(H)), &memory, &trace)), expected, "{why}");
        }
    }

    #[test]
    fn a_recovered_position_needs_a_second_witness() {
        let recovered = Recovered::At(at(20));
        let fresh = Memory::default();
        let had = |position| remembers(Remembered { last_position: position, ..Remembered::default() });
        let (same, another) = (had(Some(at(18))), had(Position::new(OTHER, 18)));
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
            let found = after_recovery(&disk, &recovered, memory, Doubt::None);
            assert_eq!((found.position().is_some(), found.at_most().is_some()), (known, at_most), "{why}: {found}");
        }
    }

    #[test]
    // A1: an incremental transfer of an earlier life says nothing of the join that broke off.
    fn a1_what_an_earlier_life_says_is_not_believed_of_this_join() {
        let log = evidence(
            "2026-01-01 0:00:00 0 [Note] Starting MariaDB 10.11.6-MariaDB source revision x as process 77\nWSREP_SST: [INFO] 'xtrabackup_ist' received from donor: Running IST\n",
        );
        for (pid, believed) in [(77, true), (78, false)] {
            let started = Some(ProcessMark { pid, started: 1 });
            let memory = Remembered { started, ..Remembered::default() }.into();
            assert_eq!(Trace::said_by(&log, &memory).incremental, believed);
        }
    }

    #[test]
    // T2: what the log says of a life is news once: not where it was started from here, nor where it is written down.
    fn t2_what_a_log_says_of_a_beginning_is_recorded_once() {
        let log = evidence(
            "2026-01-01 0:00:00 0 [Note] Starting MariaDB 10.11.6-MariaDB source revision x as process 77\n2026-01-01 0:00:01 0 [Note] WSREP: (f, tcp://0.0.0.0:4567) start_prim is enabled, turn off pc_recovery\n",
        );
        let mark = |pid| ProcessMark { pid, started: 1 };
        let by = |started, accounted| Remembered { started, accounted, ..Remembered::default() };
        for (memory, news, why) in [
            (by(None, None), true, "nobody knows of it"),
            (by(Some(mark(77)), None), false, "it was started from here"),
            (by(Some(mark(76)), Some(77)), false, "it is written down"),
            (by(Some(mark(76)), Some(75)), true, "another one was"),
        ] {
            assert_eq!(Trace::said_by(&log, &memory.into()).began, news, "{why}");
        }
    }

    #[test]
    // A1, T4
    fn a1_t4_a_zeroed_file_is_no_loss_where_it_is_known_what_zeroed_it() {
        let zeroed = disk(grastate(Uuid::NIL, -1), Some(H));
        let other = disk(grastate(Uuid::NIL, -1), Some(OTHER));
        let joining = remembers(joins(Some(9)));
        for (disk, recovered, doubt, known, at_most, why) in [
            (&zeroed, Recovered::At(at(9)), Doubt::JoinBroke, true, true, "what it had when the join began"),
            (&zeroed, Recovered::At(at(12)), Doubt::JoinBroke, true, true, "and what an IST brought"),
            (&zeroed, Recovered::At(at(12)), Doubt::JoinUncertain, false, true, "it may be a mixture"),
            (&zeroed, Recovered::At(at(12)), Doubt::NotOnDisk, false, true, "its files may be torn"),
            (&zeroed, Recovered::Nothing, Doubt::JoinBroke, false, false, "the storage engine knows nothing"),
            (&other, Recovered::At(at(9)), Doubt::JoinBroke, false, false, "the cache knows another history"),
            (&zeroed, Recovered::At(at(9)), Doubt::VotedOut, false, true, "a person may go on from it all the same"),
        ] {
            let found = after_recovery(disk, &recovered, &joining, doubt);
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
        let stands = standing(Some(&waiting), None, &disk, &memory, None, None);
        assert_eq!(stands, Standing::At { position: at(20_626_756), from: Provenance::StartArgument });
        let receiving = Process { state_transfer: true, ..waiting };
        assert_eq!(standing(Some(&receiving), None, &disk, &memory, None, None).position(), None);
    }
}
