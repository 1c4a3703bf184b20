//! SQL over the Unix socket: a fresh connection each time, every step bounded.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder};

use crate::cluster::observation::Sql;
use crate::galera::wsrep::Wsrep;

/// No single step of a query takes longer.
pub const STEP_LIMIT: Duration = Duration::from_secs(2);

/// A new connection as the local administrator.
pub fn connect(socket: &Path, user: &str) -> mysql::Result<Conn> {
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
    let begun = Instant::now();
    let asked = connect(socket, user).and_then(|mut connection| status(&mut connection));
    match asked {
        Ok(wsrep) => {
            (Sql::Open { milliseconds: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX) }, wsrep)
        }
        Err(error) => (met(&error), None),
    }
}

fn status(connection: &mut Conn) -> mysql::Result<Option<Wsrep>> {
    // These answer without quorum; a query on a table would not (error 1047).
    let rows: Vec<(String, String)> = connection.query("SHOW GLOBAL STATUS LIKE 'wsrep%'")?;
    let variables: Vec<(String, String)> = connection.query("SHOW GLOBAL VARIABLES LIKE 'wsrep%'")?;
    let read_only: Option<(String, String)> = connection.query_first("SHOW GLOBAL VARIABLES LIKE 'read_only'")?;
    // Where a name is both, the status counts.
    let rows: BTreeMap<String, String> = variables.into_iter().chain(rows).collect();
    Ok(Wsrep::from_rows(&rows, read_only.is_some_and(|(_, value)| value == "ON")))
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

/// Makes the component that this server is in primary. Galera ignores it where it is primary already.
pub fn promote(socket: &Path, user: &str) -> mysql::Result<()> {
    connect(socket, user)?.query_drop("SET GLOBAL wsrep_provider_options='pc.bootstrap=YES'")
}

/// How many connections of clients there are: neither ours, nor threads of the server.
pub fn clients(socket: &Path, user: &str) -> mysql::Result<u64> {
    let statement =
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER NOT IN (?, 'system user', 'event_scheduler')";
    Ok(connect(socket, user)?.exec_first(statement, (user,))?.unwrap_or_default())
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
    fn hostile_names_stay_inside_their_quotes() {
        assert_eq!(quoted(r"a'b\"), r"'a''b\\'");
        assert_eq!(identifier("a`b"), "`a``b`");
    }
}
