//! Writes that do not get through: Galera calls a member well in which every write waits behind a DDL that waits for a
//! lock. What sessions are at tells, and needs no write of ours.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::cluster::observation::WriteStall;

/// So long at one statement in one of these states, and it is told. A commit takes milliseconds there; what Galera does
/// in order takes as long as what is before it.
const LONG: Duration = Duration::from_secs(30);

/// Where a statement waits for its turn in the group's order.
const TURN: [&str; 3] = ["Waiting for certification", "Waiting to execute in isolation", "Waiting for TOI DDL"];

/// The first words of what all members do at the same place of the order.
const DDL: [&str; 11] = [
    "ALTER",
    "CREATE",
    "DROP",
    "TRUNCATE",
    "RENAME",
    "OPTIMIZE",
    "ANALYZE",
    "REPAIR",
    "GRANT",
    "REVOKE",
    "SET PASSWORD",
];

/// The user of the server's own threads.
const OWN_THREADS: &str = "system user";

/// What one session is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its number, which grows with each connection.
    pub id: u64,
    /// The number of its statement.
    pub query: u64,
    /// Its user.
    pub user: String,
    /// `Query`, `Sleep` and others.
    pub command: String,
    /// For how many seconds.
    pub seconds: i64,
    /// The server's word for what it is at.
    pub state: String,
    /// The beginning of its statement.
    pub statement: String,
}

impl Session {
    /// The first words of its statement; what follows may be data.
    fn words(&self) -> String {
        let mut text = self.statement.trim_start();
        while let Some((_, after)) = text.strip_prefix("/*").and_then(|inside| inside.split_once("*/")) {
            text = after.trim_start();
        }
        let plain = |word: &&str| word.chars().all(|c| c.is_ascii_alphabetic());
        text.split_whitespace().take_while(plain).take(2).collect::<Vec<_>>().join(" ").to_uppercase()
    }

    fn is_ddl(&self) -> bool {
        let words = self.words();
        DDL.iter().any(|begin| words.starts_with(begin))
    }

    fn waits(&self) -> bool {
        self.state.starts_with("Waiting")
    }

    /// Whether it waits in the group's order, or holds its place there and waits for a lock. A DDL that takes part in the
    /// order has Galera zero the position in grastate.dat, until it is done.
    fn stands_in_order(&self, ddl_under_way: bool) -> bool {
        TURN.contains(&self.state.as_str()) || (ddl_under_way && self.waits() && self.is_ddl())
    }

    /// Whether it is at something that the group's order waits for, and that ends by itself.
    fn works(&self) -> bool {
        let writes_rows = self.applies() && self.state.contains("rows_log_event");
        writes_rows || (self.command != "Sleep" && self.is_ddl() && !self.waits())
    }

    /// Whether it is one of the threads that apply what the group delivers.
    fn applies(&self) -> bool {
        self.user == OWN_THREADS
    }

    fn waits_for_a_lock(&self) -> bool {
        self.waits() && self.state.ends_with(" lock")
    }

    fn told(&self) -> String {
        let words = self.words();
        let what = if words.is_empty() { "a statement".into() } else { words };
        format!("session {} ({what})", self.id)
    }
}

/// Since when which statement has waited.
#[derive(Debug, Default)]
pub struct WriteStalls {
    since: HashMap<(u64, u64), Instant>,
}

impl WriteStalls {
    /// After another look at all sessions.
    pub fn look(&mut self, sessions: &[Session], ddl_under_way: bool, now: Instant) -> Option<WriteStall> {
        let standing: Vec<&Session> = sessions.iter().filter(|s| s.stands_in_order(ddl_under_way)).collect();
        let before = std::mem::take(&mut self.since);
        self.since = standing
            .iter()
            .map(|s| {
                let mark = (s.id, s.query);
                (mark, before.get(&mark).copied().unwrap_or(now))
            })
            .collect();
        let waited = |s: &Session| {
            let since = self.since.get(&(s.id, s.query)).copied().unwrap_or(now);
            now.saturating_duration_since(since)
        };
        let longest = standing.iter().map(|s| waited(s)).max().filter(|long| *long >= LONG)?;
        // All others wait for the one that holds its place. An applier's is sure to be in the order; a DDL of a client
        // may be outside of it, with `wsrep_on=OFF`.
        let applied = standing.iter().find(|s| s.applies() && s.is_ddl());
        let first = applied
            .or_else(|| standing.iter().find(|s| s.is_ddl()))
            .or_else(|| standing.iter().max_by_key(|s| waited(s)))?;
        let behind = sessions.iter().find(|s| s.works());
        Some(WriteStall {
            seconds: longest.as_secs(),
            waits: format!("{} is \"{}\"", first.told(), first.state),
            behind: behind.map(Session::told),
            before: if behind.is_some() { Vec::new() } else { there_before(sessions, first) },
        })
    }
}

/// An applier's statement that waits for a lock in both of these looks.
pub fn held_up_applier(before: &[Session], now: &[Session]) -> Option<String> {
    let waited = |s: &&Session| before.iter().any(|b| (b.id, b.query) == (s.id, s.query) && b.waits_for_a_lock());
    let held_up = now.iter().filter(|s| s.applies() && s.waits_for_a_lock()).find(waited)?;
    Some(format!("{} is \"{}\"", held_up.told(), held_up.state))
}

/// Who may hold the lock: a DDL that waits for one itself comes first, then whoever is at something. Whoever connected
/// after a client's session cannot be in its way; an applier has been there from the beginning.
fn there_before(sessions: &[Session], than: &Session) -> Vec<String> {
    const MOST: usize = 3;
    let earlier = |s: &Session| than.applies() || s.id < than.id;
    let client = |s: &&Session| !s.applies() && earlier(s) && !TURN.contains(&s.state.as_str());
    let mut found: Vec<&Session> = sessions.iter().filter(client).collect();
    found.sort_by_key(|s| (!(s.is_ddl() && s.waits_for_a_lock()), s.command == "Sleep", -s.seconds));
    found.iter().take(MOST).map(|s| format!("{} of {}, {} for {} s", s.id, s.user, s.command, s.seconds)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: u64, user: &str, command: &str, state: &str, statement: &str) -> Session {
        let (user, command, state) = (user.into(), command.into(), state.into());
        Session { id, query: id * 10, user, command, seconds: 40, state, statement: statement.into() }
    }

    /// As seen on a member whose ALTER waits for a session with LOCK TABLES.
    fn locked() -> Vec<Session> {
        vec![
            session(126, "vcap", "Query", "Filling schema table", "SELECT ID FROM information_schema.PROCESSLIST"),
            session(121, "app", "Query", "Waiting for certification", "INSERT INTO shop.u (b) VALUES (1)"),
            session(118, "app", "Query", "Waiting for table metadata lock", "ALTER TABLE shop.t ADD c INT"),
            session(115, "app", "Query", "User sleep", "SELECT SLEEP(40)"),
            session(90, "app", "Sleep", "", ""),
            session(8, "system user", "Sleep", "wsrep applier idle", ""),
            session(1, "system user", "Sleep", "Waiting for certification", ""),
        ]
    }

    /// The last of looks that lie so many seconds after the first one.
    fn after(looks: &[(u64, Vec<Session>)], ddl_under_way: bool) -> Option<WriteStall> {
        let (begun, mut stalls) = (Instant::now(), WriteStalls::default());
        let told = looks.iter().map(|(s, now)| stalls.look(now, ddl_under_way, begun + Duration::from_secs(*s)));
        told.last().flatten()
    }

    #[test]
    fn t6_writes_that_hang_behind_a_ddl_are_told_with_its_session() {
        let found = after(&[(0, locked()), (15, locked()), (31, locked())], true).unwrap();
        assert_eq!(found.waits, "session 118 (ALTER TABLE) is \"Waiting for table metadata lock\"");
        assert_eq!(found.before, ["115 of app, Query for 40 s", "90 of app, Sleep for 40 s"]);
        assert_eq!((found.seconds, found.behind), (31, None));
        // No write of anybody is needed for that.
        let alone: Vec<Session> = locked().into_iter().filter(|s| !TURN.contains(&s.state.as_str())).collect();
        assert!(after(&[(0, alone.clone()), (31, alone)], true).is_some());
    }

    /// As seen where `mariadb-upgrade` and another member's DROP DATABASE wait for each other.
    fn crossed() -> Vec<Session> {
        let altering = "ALTER TABLE proc MODIFY comment text collate utf8mb3_bin NOT NULL";
        vec![
            session(1208, "vcap", "Query", "Filling schema table", "SELECT ID FROM information_schema.PROCESSLIST"),
            session(1078, "vcap", "Query", "Waiting for table metadata lock", altering),
            session(8, "system user", "Sleep", "After apply log event", ""),
            session(2, "system user", "Sleep", "Waiting for table level lock", "DROP DATABASE IF EXISTS shop"),
        ]
    }

    #[test]
    fn an_applier_that_waits_for_a_client_outside_the_order_is_told_with_that_client_first() {
        let found = after(&[(0, crossed()), (31, crossed())], true).unwrap();
        assert_eq!(found.waits, "session 2 (DROP DATABASE) is \"Waiting for table level lock\"");
        assert_eq!(found.before, ["1078 of vcap, Query for 40 s", "1208 of vcap, Query for 40 s"]);
    }

    #[test]
    fn an_upgrade_makes_way_for_an_applier_that_waits_for_a_lock_in_two_looks() {
        let with = |user: &str, query: u64, state: &str| Session {
            query,
            ..session(2, user, "Sleep", state, "DROP DATABASE IF EXISTS shop")
        };
        let (table, definition) = ("Waiting for table level lock", "Waiting for table metadata lock");
        for (before, now, expected, why) in [
            (with(OWN_THREADS, 7, table), with(OWN_THREADS, 7, table), true, "the same"),
            (with(OWN_THREADS, 7, table), with(OWN_THREADS, 7, definition), true, "another lock"),
            (with(OWN_THREADS, 7, table), with(OWN_THREADS, 8, table), false, "another statement by now"),
            (with(OWN_THREADS, 7, "creating table"), with(OWN_THREADS, 7, table), false, "it worked a look before"),
            (with(OWN_THREADS, 7, table), with(OWN_THREADS, 7, "creating table"), false, "it works"),
            (
                with(OWN_THREADS, 7, "Waiting for certification"),
                with(OWN_THREADS, 7, "Waiting for certification"),
                false,
                "its turn",
            ),
            (with("vcap", 7, table), with("vcap", 7, table), false, "no applier"),
        ] {
            assert_eq!(held_up_applier(&[before], &[now]).is_some(), expected, "{why}");
        }
        let told = held_up_applier(&crossed(), &crossed()).unwrap();
        assert_eq!(told, "session 2 (DROP DATABASE) is \"Waiting for table level lock\"");
        assert_eq!(held_up_applier(&[], &crossed()), None);
    }

    #[test]
    fn t6_what_does_not_last_or_is_at_work_is_no_stall_of_this_member() {
        let another = |mut of: Vec<Session>| {
            of.iter_mut().for_each(|s| s.query += 1);
            of
        };
        let quiet = vec![session(7, "app", "Query", "Waiting for table metadata lock", "LOCK TABLES shop.t READ")];
        let waits = |state: &str| vec![session(7, "app", "Query", state, "ALTER TABLE shop.t ADD c INT")];
        for (looks, ddl_under_way, why) in [
            (vec![(0, locked()), (29, locked())], true, "not long enough"),
            (vec![(0, locked()), (31, another(locked()))], true, "other statements by now"),
            (vec![(0, quiet.clone()), (60, quiet)], true, "it waits for a lock, and is not in the order"),
            (
                vec![(0, waits("Waiting for table metadata lock")), (60, waits("Waiting for table metadata lock"))],
                false,
                "the same, and its turn has not come",
            ),
            (vec![(0, waits("copy to tmp table")), (600, waits("copy to tmp table"))], true, "it is being done"),
        ] {
            assert_eq!(after(&looks, ddl_under_way), None, "{why}");
        }
        let copying = |mut of: Vec<Session>| {
            of.push(session(2, "system user", "Query", "copy to tmp table", "/* x */ alter table shop.v ADD c INT"));
            of
        };
        let found = after(&[(0, copying(locked())), (60, copying(locked()))], true).unwrap();
        assert_eq!(found.behind.as_deref(), Some("session 2 (ALTER TABLE)"), "it ends by itself");
    }
}
