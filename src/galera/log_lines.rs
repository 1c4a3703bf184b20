//! Lines of MariaDB's error log that tell what Galera is at while SQL is closed.

use serde::{Deserialize, Serialize};

use super::position::Position;

/// Whether the log's last word is that the component is primary; none where it says nothing about it.
pub fn in_primary_component(log: &str) -> Option<bool> {
    const MARK: &str = "New COMPONENT: primary = ";
    log.lines().rev().find_map(|line| {
        let (_, after) = line.split_once(MARK)?;
        Some(after.starts_with("yes"))
    })
}

/// The line by which Galera says that this life leads nowhere, where there is one: the process goes on,
/// and never becomes Synced. Seen when two members receive IST at the same moment.
pub fn must_restart(log: &str) -> Option<&str> {
    log.lines().rev().find(|line| line.contains("[ERROR]") && line.contains("node restart required"))
}

/// The line by which Galera says that it left its group for good: the group could not agree on a view in time
/// (gcomm/src/evs_proto.cpp, `max_install_timeouts`).
pub fn left_for_good(log: &str) -> Option<&str> {
    log.lines().rev().find(|line| line.contains("[ERROR]") && line.contains("backend must be restarted"))
}

/// Whether a donor was found for the state that this life asked for. Until then nothing can arrive, however long
/// other members take to be done with theirs.
pub fn donor_found(log: &str) -> bool {
    log.contains("Requesting state transfer: success, donor:")
}

/// Whether the last word on a donor is that all are busy: Galera asks again, once a second.
pub fn queues_for_donor(log: &str) -> bool {
    let asks = log.lines().rev().find(|line| line.contains("Requesting state transfer"));
    asks.is_some_and(|line| !line.contains("success") && line.contains("Will keep retrying"))
}

/// How a joiner gets its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferKind {
    /// SST: the whole data directory is replaced.
    Full,
    /// IST: only what was missed, applied like any commit. The script of the full copy runs for it too.
    Incremental,
}

/// What kind of transfer comes in, by what its script says, or by how many bytes it has written: for an incremental one
/// it writes some bytes of its own only.
pub fn transfer_kind(log: &str, written: u64) -> Option<TransferKind> {
    const MORE_THAN_ITS_OWN: u64 = 1024 * 1024;
    let of = |line: &str| {
        let says = |words: &[&str]| words.iter().any(|w| line.contains(w));
        if says(&["received from donor: Running IST", "IST completed on joiner", "Receiving IST:"]) {
            return Some(TransferKind::Incremental);
        }
        says(&["Proceeding with SST", "SST completed on joiner", "Waiting for SST streaming"])
            .then_some(TransferKind::Full)
    };
    log.lines().rev().find_map(of).or((written > MORE_THAN_ITS_OWN).then_some(TransferKind::Full))
}

/// Whether a full copy came in. What follows it as an incremental one is told later, and changes nothing about that.
pub fn full_copy_came(log: &str) -> bool {
    ["Proceeding with SST", "SST completed on joiner"].iter().any(|words| log.contains(words))
}

/// A number that changes when an incremental transfer goes on.
pub fn ist_progress(log: &str) -> u64 {
    let last = log.lines().rev().find(|line| line.contains("Receiving IST"));
    let digits = last.and_then(|line| line.split_once("Receiving IST")).map(|(_, rest)| rest).unwrap_or_default();
    digits.bytes().filter(u8::is_ascii_digit).fold(0, |n, d| n.wrapping_mul(10).wrapping_add(u64::from(d - b'0')))
}

/// Where the group stood when the last primary component was made that did not grow out of another one: with
/// `pc.bootstrap`, or begun by a server that was told to wait for nobody. Galera's own word, whenever it is read. What
/// this component commits comes after it; the same numbers elsewhere are other transactions.
pub fn begun_at(log: &str) -> Option<Position> {
    const MARK: &str = "New COMPONENT: primary = ";
    let promoted = log.rfind("New COMPONENT: primary = yes, bootstrap = yes");
    let alone = log.rfind("start_prim is enabled").and_then(|at| Some(at + log.get(at..)?.find(MARK)?));
    let mut lines = log.get(promoted.max(alone)?..)?.lines();
    lines.next();
    let mut results =
        lines.take_while(|line| !line.contains(MARK)).skip_while(|line| !line.contains("Quorum results:"));
    let mut value = |name: &str| {
        results.find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == name).then(|| value.trim().trim_end_matches(',').to_owned())
        })
    };
    let seqno = value("act_id")?;
    let history = value("group UUID")?;
    format!("{history}:{seqno}").parse().ok()
}

/// A kind of line that proves something (K8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogKind {
    /// This life of the server began.
    Started,
    /// It found a saved view and waits for exactly its members.
    ViewRestored,
    /// Nobody comes from a primary view.
    NoPrimView,
    /// A member saved another view than this one.
    OtherView,
    /// The component has no quorum.
    NonPrimaryComponent,
    /// The component has a quorum.
    PrimaryComponent,
    /// Galera told the server that there is no quorum.
    ReceivedNonPrimary,
    /// The view that the server was told, without quorum.
    NonPrimaryView,
    /// No primary component within Galera's own time-out.
    JoinTimedOut,
    /// This member has more than the cluster; Galera aborts (Q10).
    ReversingHistory,
    /// The others evicted it.
    Evicted,
    /// The others voted it out.
    Inconsistent,
    /// Its peers are of another group.
    WrongGroup,
    /// TLS between members fails.
    TlsFailed,
    /// Another failure of a handshake.
    HandshakeFailed,
    /// A state transfer failed, and this life leads nowhere.
    TransferFailed,
    /// The script of the state transfer says that it was an incremental one: it has touched no data.
    Incremental,
    /// The state that a joiner asked for is complete.
    StateComplete,
    /// The server was told to make a primary component by itself, whoever told it.
    BegunAlone,
    /// The disk is full (errno 28).
    DiskFull,
    /// The file of a table is missing.
    TableMissing,
    /// A DDL failed here, and Galera ignored that: this member's schema differs from the others'.
    DdlDiffers,
    /// The server died of a signal of its own making.
    Crashed,
    /// The storage engine was shut down in order: all that was committed is on disk.
    Ended,
    /// What only a newer agent knows.
    #[serde(other)]
    Unfamiliar,
}

/// What the error log says of one kind, since the server was last started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The kind.
    pub kind: LogKind,
    /// The last such line, cut if it is long.
    pub text: String,
    /// How many such lines there are.
    pub times: u32,
}

/// The tables, as `schema/table`, whose files InnoDB has not found in the server's last life.
pub fn missing_tables(log: &str) -> Vec<String> {
    const MOST: usize = 20;
    let mut found: Vec<String> = Vec::new();
    for line in log.lines() {
        match kind_of(line) {
            Some(LogKind::Started) => found.clear(),
            Some(LogKind::TableMissing) => {
                let named = TABLE_MARKS.iter().find_map(|mark| line.split_once(mark)?.1.split_whitespace().next());
                let name = named.unwrap_or_default().trim_matches(['`', '\'', '"', '.', ',']).replace("`.`", "/");
                if name.contains('/') && !found.contains(&name) && found.len() < MOST {
                    found.push(name);
                }
            }
            _ => {}
        }
    }
    found
}

/// What stands before the name of a table whose file is missing.
const TABLE_MARKS: [&str; 2] = ["Could not find a valid tablespace file for ", "gnoring tablespace for "];

/// The process of the server's last life, by the line that it begins with.
pub fn last_process(evidence: &[Evidence]) -> Option<i32> {
    process_that_starts(&evidence.iter().find(|e| e.kind == LogKind::Started)?.text)
}

/// The process whose life begins with this line, if one does.
pub fn process_that_starts(line: &str) -> Option<i32> {
    let (_, number) = line.rsplit_once("as process ").filter(|_| kind_of(line) == Some(LogKind::Started))?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The lines that prove something, of the server's last life only: one entry a kind, the kind that spoke
/// last at the end.
pub fn evidence(log: &str) -> Vec<Evidence> {
    let mut found: Vec<Evidence> = Vec::new();
    for line in log.lines() {
        let line = own_words(line);
        let Some(kind) = kind_of(line) else { continue };
        if kind == LogKind::Started {
            found.clear();
        }
        let earlier = found.iter().position(|e| e.kind == kind).map(|at| found.remove(at));
        let times = earlier.as_ref().map_or(0, |e| e.times).saturating_add(1);
        let text = || line.trim().chars().take(LONGEST).collect();
        let text = earlier.filter(Evidence::succeeded_alone).map_or_else(text, |e| e.text);
        found.push(Evidence { kind, text, times });
    }
    found
}

impl Evidence {
    /// Whether it tells that this member carried out what the others failed at, and was voted out for that: where their disks
    /// were full, say (galera/src/replicator_smm.cpp).
    pub fn succeeded_alone(&self) -> bool {
        self.kind == LogKind::Inconsistent && self.text.contains("Vote 0 (success) on ")
    }
}

/// What of a line is the server's own, where it tells the statement of a client: that proves nothing, whatever it says, and
/// may have the password of a user in it.
pub fn own_words(line: &str) -> &str {
    line.split_once(STATEMENT).map_or(line, |(before, _)| before)
}

/// What stands before the statement of a DDL that failed (`wsrep_mysqld.cc`, `log_event_server.cc`).
const STATEMENT: &str = " Query: '";

/// Where a line is cut.
const LONGEST: usize = 240;

fn kind_of(line: &str) -> Option<LogKind> {
    let has = |words: &str| line.contains(words);
    let any = |of: &[&str]| of.iter().any(|words| has(words));
    Some(match () {
        () if any(&["tarting MariaDB", ") starting as process"]) && has("as process") => LogKind::Started,
        () if has("restore pc from disk successfully") => LogKind::ViewRestored,
        () if has("no nodes coming from prim view") => LogKind::NoPrimView,
        () if has("is inconsistent to restored view") => LogKind::OtherView,
        () if has("start_prim is enabled") => LogKind::BegunAlone,
        () if has("New COMPONENT: primary = no") => LogKind::NonPrimaryComponent,
        () if has("New COMPONENT: primary = yes") => LogKind::PrimaryComponent,
        () if has("Received NON-PRIMARY") => LogKind::ReceivedNonPrimary,
        () if any(&["view# -1: non-Primary", "status: non-primary"]) => LogKind::NonPrimaryView,
        () if any(&["failed to reach primary view", "gcomm backend connection: 110"]) => LogKind::JoinTimedOut,
        () if any(&["Reversing history:", "is greater than group seqno"]) => LogKind::ReversingHistory,
        () if any(&["evicted out of the cluster", "evicted permanently from cluster"]) => LogKind::Evicted,
        () if any(&["inconsistent with group. Leaving", "Inconsistent by consensus", "Inconsistency detected"]) => {
            LogKind::Inconsistent
        }
        () if any(&["received from donor: Running IST", "IST completed on joiner"]) => LogKind::Incremental,
        () if any(&["Shifting JOINER -> JOINED", "Shifting JOINED -> SYNCED"]) => LogKind::StateComplete,
        () if has("handshake failed, my group") => LogKind::WrongGroup,
        () if tls_failed(line) => LogKind::TlsFailed,
        () if any(&["handshake failed", "Handshake failed"]) => LogKind::HandshakeFailed,
        () if any(&[
            "Will never receive state",
            "SST failed",
            "node restart required",
            "cannot be completed, need to",
        ]) =>
        {
            LogKind::TransferFailed
        }
        () if any(&["No space left on device", "errno: 28", "Errcode: 28", "free some space"]) => LogKind::DiskFull,
        () if any(&TABLE_MARKS) => LogKind::TableMissing,
        () if has("WSREP: Ignoring error") && has("on query") => LogKind::DdlDiffers,
        () if has("[ERROR]") && has(" got signal ") => LogKind::Crashed,
        () if has("Shutdown completed; log sequence number") => LogKind::Ended,
        () => return None,
    })
}

fn tls_failed(line: &str) -> bool {
    let tls = ["SSL", "TLS", "tlsv1", "certificate"].iter().any(|word| line.contains(word));
    let failed = ["fail", "error", "alert", "wrong version", "expired"].iter().any(|word| line.contains(word));
    tls && failed && line.contains("WSREP")
}

/// The last component that the log tells of: whether it is primary, and how many members it has.
pub fn last_component(evidence: &[Evidence]) -> Option<(bool, Option<u32>)> {
    let last =
        evidence.iter().rev().find(|e| matches!(e.kind, LogKind::NonPrimaryComponent | LogKind::PrimaryComponent))?;
    let members = last.text.split_once("memb_num = ").and_then(|(_, number)| number.trim().parse().ok());
    Some((last.kind == LogKind::PrimaryComponent, members))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    // Galera tells of an incremental transfer after each full copy too.
    fn a_full_copy_is_told_from_an_incremental_transfer() {
        let ist = "WSREP: Receiving IST: 3 writesets, seqnos 9-11";
        for (log, full) in [
            (format!("WSREP_SST: [INFO] rsync SST completed on joiner (20261130 18:20:19.1)\n{ist}"), true),
            (format!("WSREP_SST: [INFO] Proceeding with SST....\n{ist}"), true),
            (format!("WSREP_SST: [INFO] rsync IST completed on joiner (20261130 18:20:19.1)\n{ist}"), false),
            (
                "WSREP_SST: [INFO] Galera co-ords from recovery; 'xtrabackup_ist' received from donor: Running IST"
                    .into(),
                false,
            ),
            (String::new(), false),
        ] {
            assert_eq!(full_copy_came(&log), full, "{log}");
        }
    }

    #[test]
    fn k8_the_last_component_counts() {
        let no =
            "2017-10-21 21:57:52 1 [Note] WSREP: New COMPONENT: primary = no, bootstrap = no, my_idx = 0, memb_num = 3";
        let yes = no.replace("= no, b", "= yes, b");
        assert_eq!(in_primary_component(&format!("{yes}\nx\n{no}\n")), Some(false));
        assert_eq!(in_primary_component(&format!("{no}\n{yes}\nx")), Some(true));
        assert_eq!(in_primary_component("nothing"), None);
    }

    #[test]
    fn h13_t2_a_beginning_by_hand_tells_where_the_group_stood() {
        let promotion = |seqno: &str| {
            format!(
                "2026-11-21  9:50:04 0 [Note] WSREP: New COMPONENT: primary = yes, bootstrap = yes, my_idx = 0, memb_num = 1\n\
                 2026-11-21  9:50:04 0 [Note] WSREP: Quorum: No node with complete state:\n\n\tLast  seqno  : 375\n\
                 2026-11-21  9:50:04 0 [Note] WSREP: Quorum results:\n\tversion    = 6,\n\tcomponent  = PRIMARY,\n\
                 \tconf_id    = 3,\n\tmembers    = 1/1 (joined/total),\n\tact_id     = {seqno},\n\tlast_appl. = 369,\n\
                 \tvote policy= 0,\n\tgroup UUID = 2088869b-e590-11f1-a003-dfbcc1687dda\n"
            )
        };
        let later = "[Note] WSREP: New COMPONENT: primary = yes, bootstrap = no, my_idx = 0, memb_num = 2\n\
                     [Note] WSREP: Quorum results:\n\tact_id     = 400,\n\tgroup UUID = 2088869b-e590-11f1-a003-dfbcc1687dda\n";
        for (log, expected) in [
            (promotion("375"), Some("2088869b-e590-11f1-a003-dfbcc1687dda:375")),
            (
                format!("[Note] WSREP: start_prim is enabled, turn off pc_recovery\n{}", promotion("375"))
                    .replace("bootstrap = yes", "bootstrap = no"),
                Some("2088869b-e590-11f1-a003-dfbcc1687dda:375"),
            ),
            (promotion("17") + &promotion("375") + later, Some("2088869b-e590-11f1-a003-dfbcc1687dda:375")),
            (later.to_owned(), None),
            (promotion("-1"), None),
            (promotion("375").replace("act_id", "other") + later, None),
        ] {
            assert_eq!(begun_at(&log).map(|p| p.to_string()).as_deref(), expected, "{log}");
        }
    }

    #[test]
    fn a_failed_transfer_is_told_from_an_ordinary_one() {
        let failed = "2026-11-21  0:39:29 2 [ERROR] WSREP: Receiving IST failed, node restart required: IST receiver reported failure: 'IST didn't contain all write sets, expected last: 12 last received: 11' (71)";
        assert_eq!(must_restart(&format!("x\n{failed}\ny")), Some(failed));
        assert_eq!(must_restart("2026-11-21  0:39:29 2 [Note] WSREP: IST received: 746e46f3:12"), None);
        let left = "2026-11-30 22:32:32 0 [ERROR] WSREP: exception from gcomm, backend must be restarted: evs::proto(b85ead87-a9e1, GATHER, view_id(REG,b816152c-af72,10)) failed to form singleton view after exceeding max_install_timeouts 3, giving up (FATAL)";
        assert_eq!([left_for_good(&format!("{failed}\n{left}\ny")), left_for_good(failed)], [Some(left), None]);
    }

    #[test]
    fn who_succeeded_alone_is_told_from_who_failed_alone() {
        let succeeded = "2026-12-01  0:20:40 7 [ERROR] WSREP: Vote 0 (success) on ec24659b-ed1c-11f1-bc31-13f7f34fed64:2692 is inconsistent with group. Leaving cluster.";
        let failed = "2026-12-01  0:20:40 7 [ERROR] WSREP: Vote fe9060369ebaa011 on ec24659b-ed1c-11f1-bc31-13f7f34fed64:2692 is inconsistent with group. Leaving cluster.";
        let after = "2026-12-01  0:20:41 7 [ERROR] WSREP: Inconsistent by consensus on ec24659b-ed1c-11f1-bc31-13f7f34fed64:2692";
        let told = |log: &str| evidence(log).iter().any(Evidence::succeeded_alone);
        assert_eq!([told(&format!("{succeeded}\n{after}")), told(&format!("{failed}\n{after}"))], [true, false]);
    }

    #[test]
    fn a_joiner_that_still_asks_for_a_donor_is_told_from_one_that_has_one() {
        let asked = "2026-11-21 12:06:05 0 [Note] WSREP: Member 2.0 (mysql/1) requested state transfer from '*any*', but it is impossible to select State Transfer donor: Resource temporarily unavailable";
        let found = "2026-11-21 12:06:05 2 [Note] WSREP: Requesting state transfer: success, donor: 1";
        assert_eq!([donor_found(asked), donor_found(&format!("{asked}\n{found}\nx"))], [false, true]);
    }

    #[test]
    fn t14_a_table_whose_file_is_missing_is_named_once() {
        let log = "2026-11-29 13:29:01 0 [ERROR] InnoDB: Cannot open datafile for read-only: './ledger/entries.ibd' OS error: 71\n\
                   2026-11-29 13:29:01 0 [ERROR] InnoDB: Could not find a valid tablespace file for ledger/entries. Please refer to https://mariadb.com/docs/x for how to resolve the issue.\n\
                   2026-11-29 13:29:01 0 [Warning] InnoDB: Ignoring tablespace for ledger/entries because it could not be opened.\n";
        assert_eq!(missing_tables(log), ["ledger/entries"]);
        let anew = format!(
            "{log}2026-11-29 13:30:00 0 [Note] Starting MariaDB 10.11.19-MariaDB source revision x as process 7\n"
        );
        assert!(missing_tables(&anew).is_empty(), "another life");
        assert!(missing_tables("").is_empty());
    }

    #[test]
    fn k8_q10_lines_that_prove_something_are_found_by_kind() {
        use LogKind::*;
        for (line, kind) in [
            (
                "2026-11-21  0:39:29 0 [Note] Starting MariaDB 10.11.19-MariaDB source revision x server_uid y as process 7",
                Started,
            ),
            (
                "2017-10-21 21:57:32 1 [Note] /var/vcap/bin/mysqld (mysqld 10.1.24-MariaDB) starting as process 1890 ...",
                Started,
            ),
            ("[Note] WSREP: restore pc from disk successfully", ViewRestored),
            ("[Warning] WSREP: no nodes coming from prim view, prim not possible", NoPrimView),
            (
                "[Warning] WSREP: node uuid: 11247975 last_prim(type: 2, uuid: 11247975) is inconsistent to restored view(type: V_NON_PRIM, uuid: 069ddd4c",
                OtherView,
            ),
            (
                "[Note] WSREP: New COMPONENT: primary = no, bootstrap = no, my_idx = 0, memb_num = 3",
                NonPrimaryComponent,
            ),
            ("[Note] WSREP: New COMPONENT: primary = yes, bootstrap = no, my_idx = 0, memb_num = 3", PrimaryComponent),
            ("[Note] WSREP: Received NON-PRIMARY.", ReceivedNonPrimary),
            (
                "[Note] WSREP: New cluster view: global state: 7:2, view# -1: non-Primary, number of nodes: 3, my index: 0",
                NonPrimaryView,
            ),
            ("  status: non-primary", NonPrimaryView),
            ("[ERROR] WSREP: failed to open gcomm backend connection: 110: failed to reach primary view", JoinTimedOut),
            (
                "[ERROR] WSREP: Reversing history: 37 -> 34, this member has applied 3 more events than the primary",
                ReversingHistory,
            ),
            (
                "[ERROR] WSREP: Local state seqno (37) is greater than group seqno (34): states diverged.",
                ReversingHistory,
            ),
            (
                "[Warning] WSREP: this node has been evicted out of the cluster, gcomm backend restart is required",
                Evicted,
            ),
            ("[ERROR] WSREP: Member 2(x) is inconsistent with group. Leaving cluster.", Inconsistent),
            ("[ERROR] WSREP: Inconsistent by consensus on 746e46f3:13", Inconsistent),
            ("[ERROR] WSREP: handshake failed, my group: 'galera', peer group: 'other'", WrongGroup),
            ("[Warning] WSREP: Handshake failed: certificate verify failed", TlsFailed),
            ("[ERROR] WSREP: Client handshake failed", HandshakeFailed),
            (
                "[ERROR] WSREP: 1.0 (x): State transfer to 0.0 (y) failed: -255. Will never receive state. Need to abort.",
                TransferFailed,
            ),
            (
                "[ERROR] mariadbd: Disk full (/tmp); waiting for someone to free some space... (errno: 28 \"No space left on device\")",
                DiskFull,
            ),
            ("261121  0:39:29 [ERROR] mysqld got signal 11 ;", Crashed),
        ] {
            assert_eq!(kind_of(line), Some(kind), "{line}");
        }
        for line in
            ["[Note] WSREP: SSL handshake successful, remote endpoint ssl://10.0.0.1", "[Note] WSREP: protonet", ""]
        {
            assert_eq!(kind_of(line), None, "{line}");
        }
    }

    #[test]
    fn k13_only_the_servers_last_life_is_evidence() {
        let log = "a Starting MariaDB 1 as process 7\nReversing history: 3 -> 2\nb Starting MariaDB 1 as process 8\n\
            New COMPONENT: primary = no, bootstrap = no, my_idx = 0, memb_num = 1\nReceived NON-PRIMARY.\n\
            New COMPONENT: primary = no, bootstrap = no, my_idx = 0, memb_num = 3\n";
        let found = evidence(log);
        let kinds: Vec<(LogKind, u32)> = found.iter().map(|e| (e.kind, e.times)).collect();
        assert_eq!(kinds, [(LogKind::Started, 1), (LogKind::ReceivedNonPrimary, 1), (LogKind::NonPrimaryComponent, 2)]);
        assert_eq!(last_component(&found), Some((false, Some(3))));
        assert_eq!(evidence(&"x".repeat(9)), []);
    }

    #[test]
    fn c4_the_statement_of_a_client_is_no_evidence_and_is_not_kept() {
        let of = |error: &str, statement: &str| {
            format!(
                "2026-12-01 12:56:21 9 [Warning] WSREP: Ignoring error '{error}' on query. Default database: ''. Query: '{statement}', Error_code: 1396"
            )
        };
        for log in [
            of("Operation CREATE USER failed", "create user app identified by 'secret1' require ssl"),
            of(
                "Operation CREATE USER failed",
                "create user app identified by 'secret1' /* Inconsistent by consensus */",
            ),
            of(
                "Operation CREATE USER failed",
                "/* Starting MariaDB as process 7 */ create user app identified by 'secret1'",
            ),
        ] {
            let found = evidence(&log);
            assert_eq!(found.iter().map(|e| e.kind).collect::<Vec<_>>(), [LogKind::DdlDiffers], "{log}");
            assert!(!found[0].text.contains("secret1"), "{found:?}");
        }
    }

    #[test]
    fn a_kind_of_a_newer_agent_does_not_spoil_the_rest() {
        let newer: Evidence = serde_json::from_str(r#"{"kind": "brand_new", "text": "x", "times": 1}"#).unwrap();
        assert_eq!(newer.kind, LogKind::Unfamiliar);
    }
}
