//! What an error log tells of a member's life, line by line: starts, views, transfers, trouble.
//!
//! Beside [`super::log_lines`], which keeps what proves a state *now*, this keeps everything that happened,
//! with its time. The phrases are those of Galera 3 and 4 and of MariaDB since 10.1, in their own spelling
//! (`safe_to_bootsrap` is Galera 3.20's).

use super::log_identities::{Identities, short_id};
use super::moment::Moment;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// `mariadbd` began, as this process.
    Started(Option<u32>),
    /// A run only to find the position began.
    RecoveryBegun,
    /// Where the storage engine stands.
    Recovered(String),
    /// What `grastate.dat` said.
    SavedState(String),
    /// A saved view was found: it waits for exactly its members.
    ViewRestored,
    /// A new group was begun (`--wsrep-new-cluster`).
    GroupBegun,
    /// A view of the group, with the short ids of its members.
    View {
        /// With quorum?
        primary: bool,
        /// Who represents it.
        by: String,
        /// Its number.
        seq: String,
        /// Who is in it.
        members: Vec<String>,
    },
    /// The same as the server sees it.
    Component {
        /// With quorum?
        primary: bool,
        /// How many members.
        members: u32,
    },
    /// In a primary component at this position.
    Connected(String),
    /// Caught up.
    Synced,
    /// It opened SQL.
    Ready,
    /// It is stopping.
    Stopping,
    /// It stopped in order.
    Stopped,
    /// It died of this signal.
    Crashed(String),
    /// Something about a state transfer.
    Transfer,
    /// Something is wrong.
    Trouble,
    /// Something worth knowing.
    Note,
    /// More about what came before.
    More,
}

/// A line, or several, that tell something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEvent {
    /// When.
    pub at: Moment,
    /// What.
    pub what: Happening,
    /// The same in words, identifiers as Galera writes them.
    pub text: String,
    /// The number of its first line, from 1.
    pub line: usize,
    /// The line, cut if it is long.
    pub evidence: String,
}

/// Where a line is cut.
const LONGEST: usize = 300;

/// Phrase, and what it means. The first that fits counts.
const PHRASES: &[(&str, Happening, &str)] = &[
    (
        "restore pc from disk successfully",
        Happening::ViewRestored,
        "found its saved view, and waits for exactly its members",
    ),
    ("bootstrapping new group", Happening::GroupBegun, "begins a new group"),
    ("clear restored view", Happening::Note, "the saved view is done with"),
    ("promote to primary component", Happening::Note, "the saved view is complete: promoted to primary component"),
    (
        "are still in unknown state, unable to rebootstrap",
        Happening::Trouble,
        "cannot become primary: members are in an unknown state",
    ),
    (
        "Found more than one re-merged primary component candidate",
        Happening::Trouble,
        "several candidates for a re-merged primary component",
    ),
    ("No node with complete state", Happening::Trouble, "no member of this component has the complete state"),
    ("no nodes coming from prim view", Happening::Trouble, "nobody comes from a primary view: no quorum possible"),
    ("No nodes coming from primary view", Happening::Trouble, "nobody comes from a primary view: no quorum possible"),
    ("is inconsistent to restored view", Happening::Trouble, "another member saved another view than this one"),
    ("failed to reach primary view", Happening::Trouble, "found no primary component in time"),
    ("gcomm backend connection: 110", Happening::Trouble, "found no primary component in time"),
    (
        "It may not be safe to bootstrap",
        Happening::Trouble,
        "Galera refuses to begin from here: safe_to_bootstrap is 0",
    ),
    ("Reversing history:", Happening::Trouble, "has transactions that the cluster lacks; Galera aborts"),
    ("is greater than group seqno", Happening::Trouble, "has transactions that the cluster lacks; Galera aborts"),
    ("inconsistent with group. Leaving", Happening::Trouble, "its data differs from the others': voted out"),
    ("Inconsistent by consensus", Happening::Trouble, "its data differs from the others': voted out"),
    ("initiates vote on", Happening::Trouble, "a vote on differing data begins"),
    ("Votes over", Happening::Note, "the vote is over"),
    ("evicted out of the cluster", Happening::Trouble, "evicted by the others"),
    ("evicted permanently from cluster", Happening::Trouble, "evicted by the others"),
    ("same UUID already exists", Happening::Trouble, "another member has the same identifier"),
    ("my group:", Happening::Trouble, "a peer is of another group"),
    ("certificate verify failed", Happening::Trouble, "TLS between members fails"),
    ("No space left on device", Happening::Trouble, "the disk is full"),
    ("Disk full (", Happening::Trouble, "the disk is full"),
    ("free some space", Happening::Trouble, "the disk is full"),
    ("Too many connections", Happening::Trouble, "no connection is left for clients"),
    ("Out of memory", Happening::Trouble, "no memory is left"),
    ("Will never receive state", Happening::Trouble, "will never receive state"),
    ("node restart required", Happening::Trouble, "a state transfer failed; this life leads nowhere"),
    ("SST failed", Happening::Trouble, "a full copy failed"),
    ("impossible to select State Transfer donor", Happening::Transfer, "no donor is free to give state"),
    ("requested state transfer", Happening::Transfer, "asks for state"),
    ("State transfer to ", Happening::Transfer, "a state transfer ended"),
    ("State transfer from ", Happening::Transfer, "a state transfer ended"),
    ("Waiting for SST to complete", Happening::Transfer, "waits for a full copy (SST)"),
    ("SST received:", Happening::Transfer, "received a full copy (SST)"),
    ("SST succeeded for position", Happening::More, ""),
    ("Receiving IST: ", Happening::Transfer, "receives what it missed (IST)"),
    ("desyncs itself from group", Happening::Note, "is desynced"),
    ("resyncs itself to group", Happening::Note, "is no longer desynced"),
    ("suspecting node:", Happening::Note, "suspects a peer"),
    ("forgetting ", Happening::Note, "forgets a peer"),
    ("Synchronized with group", Happening::Synced, "Synced"),
    (": ready for connections", Happening::Ready, "opened SQL"),
    ("Received shutdown signal", Happening::Stopping, "is stopping"),
    ("Normal shutdown", Happening::Stopping, "is stopping"),
    ("(initiated by:", Happening::Stopping, "is stopping"),
    ("Shutdown complete", Happening::Stopped, "stopped in order"),
    ("Received NON-PRIMARY", Happening::More, ""),
    ("view# -1: non-Primary", Happening::More, ""),
    ("State transfer required", Happening::More, ""),
    ("Assertion", Happening::Trouble, "an assertion failed"),
];

/// Everything that this text tells, in its order, and who is who in it. Lines without a time belong to the
/// one before.
pub fn log_events(text: &str) -> (Vec<LogEvent>, Identities) {
    let (mut found, mut identities): (Vec<LogEvent>, Identities) = (Vec::new(), Identities::default());
    let (mut now, mut in_view) = (None, false);
    for (number, line) in text.lines().enumerate() {
        let number = number.saturating_add(1);
        identities.learn(line);
        let rest = match Moment::of_line(line) {
            Some((at, rest)) => {
                (now, in_view) = (Some(at), false);
                rest
            }
            None if in_view => {
                in_view = more_of_view(&mut found, line);
                continue;
            }
            None => line.trim_start(),
        };
        let (Some(at), Some((what, text))) = (now, told(rest)) else { continue };
        in_view = matches!(what, Happening::View { .. });
        let evidence: String = line.chars().take(LONGEST).collect();
        found.push(LogEvent { at, what, text, line: number, evidence });
    }
    (found, identities)
}

/// A line within `view(... memb {`: true while members follow.
fn more_of_view(found: &mut [LogEvent], line: &str) -> bool {
    let Some(LogEvent { what: Happening::View { members, .. }, .. }) = found.last_mut() else { return false };
    match short_id(line.trim()) {
        Some(id) => members.push(id.to_owned()),
        None => return false,
    }
    true
}

fn told(line: &str) -> Option<(Happening, String)> {
    let words = |text: &str| text.to_owned();
    if line.contains("as process ") && (line.contains("tarting MariaDB") || line.contains(") starting as process")) {
        let pid = after(line, "as process ").and_then(|p| p.trim_end_matches('.').parse().ok());
        let shown = pid.map(|p: u32| format!(" as process {p}")).unwrap_or_default();
        return Some((Happening::Started(pid), format!("mariadbd started{shown}")));
    }
    if line.contains("Running position recovery") {
        return Some((Happening::RecoveryBegun, words("looks for its position")));
    }
    if let Some(position) = after(line, "Recovered position").filter(|_| line.contains("WSREP")) {
        let known = position.contains(':') && position.contains('-');
        return known.then(|| (Happening::Recovered(words(position)), format!("stands at {position} (recovered)")));
    }
    if let Some(position) = after(line, "connected to cluster at position ").or_else(|| primary_state(line)) {
        return Some((Happening::Connected(words(position)), format!("is in the cluster at {position}")));
    }
    if let Some(state) = line.split_once("Found saved state: ").map(|(_, state)| state.trim()) {
        return Some((Happening::SavedState(words(state)), format!("grastate.dat says {state}")));
    }
    if let Some((_, view)) = line.split_once("view(view_id(") {
        return view_of(view);
    }
    if let Some((_, component)) = line.split_once("New COMPONENT: primary = ") {
        let primary = component.starts_with("yes");
        let members = after(component, "memb_num = ").and_then(|n| n.parse().ok()).unwrap_or_default();
        let quorum = if primary { "primary" } else { "without quorum" };
        return Some((Happening::Component { primary, members }, format!("component of {members}, {quorum}")));
    }
    if let Some(signal) = after(line, " got signal ").filter(|_| line.contains("[ERROR]")) {
        return Some((Happening::Crashed(words(signal)), format!("died of signal {signal}")));
    }
    if let Some((_, happening, text)) = PHRASES.iter().find(|(phrase, _, _)| line.contains(phrase)) {
        return Some((happening.clone(), detailed(text, line)));
    }
    let error = line.split_once("[ERROR]").map(|(_, said)| said.trim().chars().take(160).collect());
    error.map(|said| (Happening::Trouble, said))
}

fn view_of(view: &str) -> Option<(Happening, String)> {
    let mut parts = view.split([',', ')']).map(str::trim);
    let (kind, by, seq) = (parts.next()?, parts.next()?, parts.next()?);
    let primary = matches!(kind, "PRIM" | "V_PRIM");
    // Views of transition between two others say nothing that these do not.
    (primary || matches!(kind, "NON_PRIM" | "V_NON_PRIM")).then_some(())?;
    let what = Happening::View { primary, by: by.into(), seq: seq.into(), members: Vec::new() };
    Some((what, format!("{} view {seq} of {by}", if primary { "primary" } else { "non-primary" })))
}

/// Galera 3's word for it.
fn primary_state(line: &str) -> Option<&str> {
    let (_, state) = line.split_once("New cluster view: global state: ")?;
    state.contains(": Primary, ").then(|| state.split(',').next())?
}

/// Says who, where the line does.
fn detailed(text: &str, line: &str) -> String {
    let said = line.split_once("WSREP: ").map_or(line, |(_, said)| said).trim();
    let names =
        ["requested state transfer", "State transfer", "desyncs", "resyncs", "suspecting", "forgetting", "vote"];
    let numbers =
        ["Reversing history", "greater than group", "Receiving IST:", "SST received:", "impossible to select"];
    if names.iter().chain(&numbers).any(|word| said.contains(word)) {
        let said: String = said.chars().take(200).collect();
        return format!("{text}: {said}");
    }
    text.to_owned()
}

/// The word after a mark.
fn after<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(mark)?;
    rest.trim_start_matches([':', ' ']).split([' ', ';']).next().filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SEED: &str = include_str!("../cluster/diagnosis/fixtures/seed_000_error_log.txt");

    #[test]
    fn k8_k13_the_log_of_seed_000_as_events() {
        let (events, identities) = log_events(SEED);
        let told: Vec<(String, &str)> =
            events.iter().filter(|e| e.what != Happening::More).map(|e| (e.at.clock(), e.text.as_str())).collect();
        let at = |clock: &str, text: &'static str| (clock.to_owned(), text);
        assert_eq!(
            told.iter().take(7).cloned().collect::<Vec<_>>(),
            [
                at("21:56:54", "looks for its position"),
                at("21:56:55", "mariadbd started as process 1822"),
                at("21:57:32", "stands at 746e46f3-8f76-11e7-9c1c-a220eabab4ba:20626756 (recovered)"),
                at("21:57:32", "mariadbd started as process 1890"),
                at("21:57:33", "grastate.dat says 746e46f3-8f76-11e7-9c1c-a220eabab4ba:-1, safe_to_bootsrap: 0"),
                at("21:57:33", "found its saved view, and waits for exactly its members"),
                at("21:57:36", "nobody comes from a primary view: no quorum possible"),
            ]
        );
        assert_eq!(told.last().unwrap().1, "component of 3, without quorum");
        assert_eq!(identities.own.as_deref(), Some("069ddd4c"));
        assert_eq!(identities.addresses["26d54452"], "10.62.154.13");
    }

    #[test]
    fn a_view_of_galera_4_has_its_members() {
        let text = "2026-11-21  8:39:16 0 [Note] WSREP: view(view_id(PRIM,08bc8243-a737,2) memb {\n\t08bc8243-a737,0\n\t09271dee-9209,0\n} joined {\n} left {\n\t0984f5ba-b0dc,0\n})\n2026-11-21  8:39:16 0 [Note] WSREP: view(view_id(REG,08bc8243-a737,2) memb {\n\t1,0\n})\n";
        let (events, _) = log_events(text);
        assert_eq!(events.len(), 1);
        let Happening::View { primary, by, seq, members } = &events[0].what else { panic!("{events:?}") };
        assert_eq!((*primary, by.as_str(), seq.as_str()), (true, "08bc8243-a737", "2"));
        assert_eq!(members, &["08bc8243-a737", "09271dee-9209"], "and not those that left");
    }

    #[test]
    fn k8_q10_phrases_of_both_galeras() {
        for (line, what) in [
            (
                "[Note] Starting MariaDB 10.11.19-MariaDB source revision x server_uid y= as process 170",
                Happening::Started(Some(170)),
            ),
            (
                "[Note] /usr/sbin/mysqld (mysqld 10.1.24-MariaDB) starting as process 1890 ...",
                Happening::Started(Some(1890)),
            ),
            ("[Note] /usr/sbin/mariadbd: Shutdown complete", Happening::Stopped),
            ("[Note] /usr/sbin/mariadbd (initiated by: unknown): Normal shutdown", Happening::Stopping),
            ("[ERROR] mysqld got signal 6 ;", Happening::Crashed("6".into())),
            (
                "[Note] WSREP: Recovered position: 746e46f3-8f76-11e7-9c1c-a220eabab4ba:9,0-1-9",
                Happening::Recovered("746e46f3-8f76-11e7-9c1c-a220eabab4ba:9,0-1-9".into()),
            ),
            ("[Note] WSREP: Synchronized with group, ready for connections", Happening::Synced),
            (
                "[ERROR] WSREP: Local state seqno (37) is greater than group seqno (34): states diverged.",
                Happening::Trouble,
            ),
            (
                "[Note] WSREP: Member 2.0 (mysql/2) requested state transfer from '*any*'. Selected 0.0 (mysql/0)(SYNCED) as donor.",
                Happening::Transfer,
            ),
            ("[Warning] WSREP: Member 1.0 (x) initiates vote on 7:8,deadbeef:  x;", Happening::Trouble),
            ("[ERROR] whatever else", Happening::Trouble),
        ] {
            let (events, _) = log_events(&format!("2026-11-21  8:39:16 0 {line}"));
            assert_eq!(events.first().map(|e| &e.what), Some(&what), "{line}");
        }
        assert_eq!(log_events("2026-11-21  8:39:16 0 [Note] WSREP: Service thread queue flushed.").0, []);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(2026-11-21  8:39:16 |view\\(view_id\\(|PRIM,|New COMPONENT: primary = |memb_num = |Recovered position|as process |tarting MariaDB|\\PC|\n){0,30}") {
            let _ = log_events(&text);
        }
    }
}
