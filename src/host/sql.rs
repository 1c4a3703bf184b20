//! SQL over the Unix socket: a fresh connection each time, every step bounded.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder};

use super::write_stalls::Session;
use crate::cluster::observation::Sql;
use crate::galera::wsrep::Wsrep;

/// No single step of a query takes longer.
pub const STEP_LIMIT: Duration = Duration::from_secs(2);
/// Nor do all steps of a connect together. More than one step, so that what a server says late is still heard.
const CONNECT_LIMIT: Duration = Duration::from_secs(4);

/// A new connection as the local administrator, in bounded time.
///
/// The client connects before it sets its time-outs, so a `mariadbd` that accepts nobody (stopped, frozen, writing its
/// core) would hold whoever asks without end once its queue is full. It is done on a thread, which is left behind; while
/// one is, nobody else is sent after it.
pub fn connect(socket: &Path, user: &str) -> mysql::Result<Conn> {
    let late = || mysql::Error::IoError(ErrorKind::TimedOut.into());
    if hanging().iter().any(|at| at == socket) {
        return Err(late());
    }
    let (send, connected) = sync_channel(1);
    let (at, user, asked) = (socket.to_owned(), user.to_owned(), Arc::new(AtomicBool::new(true)));
    let waited_for = Arc::clone(&asked);
    std::thread::Builder::new().name("connect".into()).spawn(move || {
        let _ = send.send(connect_here(&at, &user));
        let mut hanging = hanging();
        if !waited_for.load(Ordering::Relaxed)
            && let Some(place) = hanging.iter().position(|other| *other == at)
        {
            hanging.swap_remove(place);
        }
    })?;
    connected.recv_timeout(CONNECT_LIMIT).unwrap_or_else(|_| {
        // Under the lock: it either ended, and is no hanging one, or takes its entry away when it ends.
        let mut hanging = hanging();
        match connected.try_recv() {
            Ok(connected) => connected,
            Err(_) => {
                asked.store(false, Ordering::Relaxed);
                hanging.push(socket.to_owned());
                Err(late())
            }
        }
    })
}

/// The sockets at which a connect hangs.
fn hanging() -> MutexGuard<'static, Vec<PathBuf>> {
    static HANGING: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    HANGING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect_here(socket: &Path, user: &str) -> mysql::Result<Conn> {
    let options = OptsBuilder::new()
        .socket(Some(socket.to_string_lossy()))
        .user(Some(user))
        .read_timeout(Some(STEP_LIMIT))
        .write_timeout(Some(STEP_LIMIT))
        // Given, so that the client does not ask the server for it.
        .max_allowed_packet(Some(16 * 1024 * 1024))
        .prefer_socket(false);
    Conn::new(options)
}

/// What a fresh connection met, and Galera's status if it answered.
pub fn look(socket: &Path, user: &str) -> (Sql, Option<Wsrep>) {
    Looks::default().look(socket, user)
}

/// What is asked of a server again and again. The connection of one question stays until the next: where clients have taken
/// every place since (error 1040), the one that is there is asked. Whoever holds connections open takes nobody's sight away,
/// nor keeps anybody from what has to be done.
#[derive(Debug, Default)]
pub struct Looks {
    kept: Mutex<Option<Conn>>,
}

impl Looks {
    /// As [`look`]. A server that turns the fresh connection away may have told its status all the same.
    pub fn look(&self, socket: &Path, user: &str) -> (Sql, Option<Wsrep>) {
        let begun = Instant::now();
        let (answer, turned_away) = self.ask(socket, user, status);
        let sql = match &answer {
            _ if turned_away => Sql::TooManyConnections,
            Ok((_, true)) => Sql::TooManyConnections,
            Ok(_) => Sql::Open { milliseconds: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX) },
            Err(error) => met(error),
        };
        (sql, answer.ok().and_then(|(wsrep, _)| wsrep))
    }

    /// What all sessions are at, for [`crate::host::write_stalls`].
    pub fn sessions(&self, socket: &Path, user: &str) -> mysql::Result<Vec<Session>> {
        self.ask(socket, user, sessions).0
    }

    /// Makes the component that this server is in primary. Galera ignores it where it is primary already.
    pub fn promote(&self, socket: &Path, user: &str) -> mysql::Result<()> {
        let statement = "SET GLOBAL wsrep_provider_options='pc.bootstrap=YES'";
        self.ask(socket, user, |connection| connection.query_drop(statement)).0
    }

    /// How many connections of clients there are: neither ours, nor threads of the server.
    pub fn clients(&self, socket: &Path, user: &str) -> mysql::Result<u64> {
        let statement = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER NOT IN (?, 'system user', 'event_scheduler')";
        self.ask(socket, user, |connection| connection.exec_first(statement, (user,))).0.map(Option::unwrap_or_default)
    }

    /// The answer, and whether it came from the connection that was there before, since there is place for no other one.
    fn ask<T>(
        &self,
        socket: &Path,
        user: &str,
        question: impl FnOnce(&mut Conn) -> mysql::Result<T>,
    ) -> (mysql::Result<T>, bool) {
        let mut place = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let before = place.take();
        let (mut connection, full) = match connect(socket, user) {
            Ok(fresh) => (fresh, false),
            Err(error) => match before.filter(|_| met(&error) == Sql::TooManyConnections) {
                Some(before) => (before, true),
                None => return (Err(error), false),
            },
        };
        let answer = question(&mut connection);
        if answer.is_ok() {
            *place = Some(connection);
        }
        (answer, full)
    }
}

/// Galera's status, and whether clients have taken every place. MariaDB keeps one above `max_connections` for whoever may
/// administer it, so a fresh connection of ours tells nothing of theirs.
fn status(connection: &mut Conn) -> mysql::Result<(Option<Wsrep>, bool)> {
    // These answer without quorum; a query on a table would not (error 1047).
    let rows: Vec<(String, String)> = connection
        .query("SHOW GLOBAL STATUS WHERE Variable_name LIKE 'wsrep%' OR Variable_name = 'Threads_connected'")?;
    let variables: Vec<(String, String)> = connection.query(
        "SHOW GLOBAL VARIABLES WHERE Variable_name LIKE 'wsrep%' OR Variable_name IN ('read_only', 'max_connections')",
    )?;
    // Where a name is both, the status counts.
    let rows: BTreeMap<String, String> = variables.into_iter().chain(rows).collect();
    let number = |name: &str| rows.get(name).and_then(|n| n.parse::<u64>().ok());
    // Ours is one of them.
    let full = number("Threads_connected").zip(number("max_connections")).is_some_and(|(taken, places)| taken > places);
    let read_only = rows.get("read_only").is_some_and(|value| value == "ON");
    Ok((Wsrep::from_rows(&rows, read_only), full))
}

/// The rows of a statement that answers with names and values.
pub fn pairs(connection: &mut Conn, statement: &str) -> mysql::Result<Vec<(String, String)>> {
    connection.query(statement)
}

/// Who is connected and what for, one line each. Not the statements: they may hold data.
pub fn connections(connection: &mut Conn) -> mysql::Result<Vec<String>> {
    type Row = (u64, String, String, Option<String>, String, Option<i64>, Option<String>);
    let statement = "SELECT ID, USER, HOST, DB, COMMAND, TIME, STATE FROM information_schema.PROCESSLIST ORDER BY TIME DESC LIMIT 500";
    let rows: Vec<Row> = connection.query(statement)?;
    let line = |(id, user, host, db, command, time, state): Row| {
        let (db, time) = (db.unwrap_or_else(|| "-".into()), time.unwrap_or_default());
        format!("{id:>8} {user:<20} {host:<24} {db:<16} {command:<10} {time:>8} s  {}", state.unwrap_or_default())
    };
    Ok(rows.into_iter().map(line).collect())
}

fn sessions(connection: &mut Conn) -> mysql::Result<Vec<Session>> {
    type Row = (u64, u64, String, String, Option<i64>, Option<String>, Option<String>);
    let statement = "SELECT ID, QUERY_ID, USER, COMMAND, TIME, STATE, LEFT(INFO, 64) FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID()";
    let rows: Vec<Row> = connection.query(statement)?;
    let session = |(id, query, user, command, seconds, state, statement): Row| Session {
        id,
        query,
        user,
        command,
        seconds: seconds.unwrap_or_default(),
        state: state.unwrap_or_default(),
        statement: statement.unwrap_or_default(),
    };
    Ok(rows.into_iter().map(session).collect())
}

/// Waits until all that the group had delivered by now is applied here; or fails, in bounded time.
pub fn apply_all(socket: &Path, user: &str) -> mysql::Result<()> {
    let mut connection = connect(socket, user)?;
    connection.query_drop("SET SESSION wsrep_sync_wait = 1")?;
    connection.query_drop("SELECT 1")
}

/// Which logs of statements the server writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logs {
    general: bool,
    slow: bool,
}

/// Which logs of statements it writes now.
pub fn logs(socket: &Path, user: &str) -> mysql::Result<Logs> {
    let row: Option<(bool, bool)> =
        connect(socket, user)?.query_first("SELECT @@global.general_log, @@global.slow_query_log")?;
    row.map(|(general, slow)| Logs { general, slow })
        .ok_or_else(|| mysql::Error::IoError(ErrorKind::UnexpectedEof.into()))
}

/// Has it write these.
pub fn set_logs(socket: &Path, user: &str, Logs { general, slow }: Logs) -> mysql::Result<()> {
    connect(socket, user)?.query_drop(format!("SET GLOBAL general_log = {general}, GLOBAL slow_query_log = {slow}"))
}

/// Those of these tables of `mysql` that the server cannot read.
pub fn unreadable<'a>(socket: &Path, user: &str, tables: &[&'a str]) -> mysql::Result<Vec<&'a str>> {
    let mut connection = connect(socket, user)?;
    let mut found = Vec::new();
    for table in tables {
        let said: Vec<(String, String, String, String)> =
            connection.query(format!("CHECK TABLE mysql.{table} QUICK"))?;
        if said.iter().any(|(_, _, kind, _)| kind.eq_ignore_ascii_case("error")) {
            found.push(*table);
        }
    }
    Ok(found)
}

/// Takes these tables of `mysql` away on this member alone.
pub fn drop_here(socket: &Path, user: &str, tables: &[&str]) -> mysql::Result<()> {
    let mut connection = connect(socket, user)?;
    connection.query_drop("SET SESSION wsrep_on = OFF, SESSION sql_log_bin = OFF")?;
    for table in tables {
        let statement = format!("DROP TABLE IF EXISTS mysql.{table}");
        // Where the index is torn this takes data and index away, and fails with error 130; the next takes the rest.
        let _ = connection.query_drop(&statement);
        connection.query_drop(&statement)?;
    }
    Ok(())
}

/// The server's or the network's own words, without the library's name for their kind.
pub fn in_words(error: mysql::Error) -> anyhow::Error {
    match error {
        mysql::Error::MySqlError(e) => anyhow::anyhow!("error {}: {}", e.code, e.message),
        mysql::Error::DriverError(e) => anyhow::anyhow!("{e}"),
        mysql::Error::IoError(e) => anyhow::anyhow!("{e}"),
        other => other.into(),
    }
}

fn met(error: &mysql::Error) -> Sql {
    let io = |kind: ErrorKind, why: String| match kind {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Sql::TimedOut,
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => Sql::Closed { why },
        _ => Sql::Failed { why },
    };
    match error {
        mysql::Error::MySqlError(e) if e.code == 1040 => Sql::TooManyConnections,
        mysql::Error::MySqlError(e) if e.code == 1045 || e.code == 1698 => Sql::Denied,
        mysql::Error::DriverError(mysql::DriverError::CouldNotConnect(Some((_, why, kind)))) => io(*kind, why.clone()),
        mysql::Error::CodecError(mysql::mysql_common::proto::codec::error::PacketCodecError::Io(e)) => {
            io(e.kind(), e.to_string())
        }
        mysql::Error::IoError(e) => io(e.kind(), e.to_string()),
        other => {
            let mut causes = std::iter::successors(Some(other as &dyn std::error::Error), |e| e.source());
            match causes.find_map(|e| e.downcast_ref::<std::io::Error>()) {
                Some(e) => io(e.kind(), e.to_string()),
                None => Sql::Failed { why: other.to_string() },
            }
        }
    }
}

/// A text as an SQL literal, for statements that take no parameters. The session must not have
/// `NO_BACKSLASH_ESCAPES`, which [`crate::host::seed`] sees to.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A name as an SQL identifier.
pub fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k4_a_socket_without_a_server_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mysqld.sock");
        assert!(matches!(look(&path, "x").0, Sql::Closed { .. }));
        // A dead server's socket file stays behind.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        assert!(matches!(look(&path, "x").0, Sql::Closed { .. }));
    }

    #[test]
    fn s9_a_server_that_accepts_and_says_nothing_is_hung() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mysqld.sock");
        let _silent = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(look(&path, "x").0, Sql::TimedOut);
    }

    #[test]
    // B1: the accept queue of a hung server fills up.
    fn b1_a_server_whose_queue_is_full_times_out_and_no_second_look_hangs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mysqld.sock");
        let full = super::super::reaching::tests::full(&path);
        let begun = Instant::now();
        assert_eq!(look(&path, "x").0, Sql::TimedOut);
        assert!(begun.elapsed() < 2 * CONNECT_LIMIT, "{:?}", begun.elapsed());
        let begun = Instant::now();
        assert_eq!(look(&path, "x").0, Sql::TimedOut);
        assert!(begun.elapsed() < Duration::from_secs(1), "one hangs already: {:?}", begun.elapsed());
        // Once the server is gone, what hung ends, and the next look is a look again.
        drop(full);
        while look(&path, "x").0 == Sql::TimedOut {
            std::thread::yield_now();
        }
        assert!(matches!(look(&path, "x").0, Sql::Closed { .. }));
    }

    #[test]
    fn hostile_names_stay_inside_their_quotes() {
        assert_eq!(quoted(r"a'b\"), r"'a''b\\'");
        assert_eq!(identifier("a`b"), "`a``b`");
    }
}
