//! One client: a connection over TCP, and a table of its own.

use anyhow::{Context, Result};
use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder, SslOpts};

use super::config::{Address, SmokeConfig};
use crate::agent::tls::use_ring;
use crate::host::sql::{identifier, in_words};

/// `ER_LOCK_DEADLOCK`.
const ER_LOCK_DEADLOCK: u16 = 1213;
/// How often a statement is tried that Galera aborts.
const TRIES: u32 = 10;

/// A connection, and what it writes.
pub struct Session {
    connection: Conn,
    database: String,
    table: String,
    token: String,
    /// The member that serves it, by its own name.
    pub served_by: String,
}

impl Session {
    /// Connects. Every step is bounded.
    pub fn open(config: &SmokeConfig, to: &Address, token: &str) -> Result<Session> {
        let mut options = OptsBuilder::new()
            .ip_or_hostname(Some(&to.address))
            .tcp_port(to.port)
            .user(Some(&config.user))
            .pass(Some(config.password.reveal()))
            .prefer_socket(false)
            .tcp_connect_timeout(Some(config.step_timeout))
            .read_timeout(Some(config.step_timeout))
            .write_timeout(Some(config.step_timeout))
            // Given, so that the client does not ask the server for it.
            .max_allowed_packet(Some(16 * 1024 * 1024));
        if let Some(tls) = &config.tls {
            use_ring();
            options = options.ssl_opts(
                SslOpts::default().with_root_cert_path(Some(tls.ca.clone())).with_danger_skip_domain_validation(true),
            );
        }
        let mut connection =
            Conn::new(options).map_err(in_words).with_context(|| format!("connect as {}", config.user))?;
        let served_by: Option<String> =
            connection.query_first("SELECT @@wsrep_node_name").map_err(in_words).context("ask its name")?;
        Ok(Session {
            connection,
            database: config.database.clone(),
            table: format!("{}.{}", identifier(&config.database), identifier(&format!("smoke_{token}"))),
            token: token.to_owned(),
            served_by: served_by.unwrap_or_default(),
        })
    }

    /// What it writes, and others look for.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Makes the database if need be, and a table that no other run has.
    pub fn make_table(&mut self) -> Result<()> {
        let there: Option<u8> = self
            .connection
            .exec_first("SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ?", (&self.database,))
            .map_err(in_words)
            .context("look for its database")?;
        // DDL stops the whole cluster for a moment, so only where it is needed.
        if there.is_none() {
            let statement = format!("CREATE DATABASE IF NOT EXISTS {}", identifier(&self.database));
            self.again_if_aborted(|c| c.query_drop(&statement)).context("create its database")?;
        }
        let statement = format!("CREATE TABLE {} (token CHAR(36) PRIMARY KEY) ENGINE=InnoDB", self.table);
        self.again_if_aborted(|c| c.query_drop(&statement)).context("create a table")
    }

    /// Writes the token.
    pub fn write(&mut self) -> Result<()> {
        let (statement, token) = (format!("INSERT INTO {} VALUES (?)", self.table), self.token.clone());
        self.again_if_aborted(|c| c.exec_drop(&statement, (&token,))).context("insert")
    }

    /// Reads it.
    pub fn read_back(&mut self) -> Result<Option<String>> {
        let statement = format!("SELECT token FROM {}", self.table);
        self.again_if_aborted(|c| c.query_first(&statement)).context("read back")
    }

    /// Later reads see everything that was committed anywhere before them.
    pub fn wait_for_what_was_committed(&mut self) -> Result<()> {
        self.connection.query_drop("SET SESSION wsrep_sync_wait = 1").map_err(in_words).context("set wsrep_sync_wait")
    }

    /// Leaves nothing behind.
    pub fn drop_table(&mut self) -> Result<()> {
        let statement = format!("DROP TABLE {}", self.table);
        self.again_if_aborted(|c| c.query_drop(&statement)).context("drop its table")
    }

    /// Galera aborts a statement that meets another member's DDL in the same database, and says "deadlock, try
    /// restarting transaction". Every client has to; this one meets its own kind, where several instances run it.
    fn again_if_aborted<T>(&mut self, mut step: impl FnMut(&mut Conn) -> mysql::Result<T>) -> Result<T> {
        for _ in 1..TRIES {
            match step(&mut self.connection) {
                Err(mysql::Error::MySqlError(e)) if e.code == ER_LOCK_DEADLOCK => {}
                other => return other.map_err(in_words),
            }
        }
        step(&mut self.connection).map_err(in_words)
    }
}
