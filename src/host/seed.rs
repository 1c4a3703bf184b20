//! Databases and users that a cluster must have. Asked for at every start of a Synced member, changed
//! only where something differs: DDL is replicated and blocks the whole cluster.

use anyhow::{Context, Result};
use mysql::Conn;
use mysql::prelude::Queryable;
use sha1::{Digest, Sha1};

use super::sql::{identifier, quoted};
use crate::config::{Role, SeedConfig, SeedUser};

/// Our own database: one row, written and read to see that writes reach every member.
const OWN_DATABASE: &str = "mariadb_galera";

/// Makes what is missing; returns what was changed, in words without secrets.
pub fn seed(connection: &mut Conn, wanted: &SeedConfig) -> Result<Vec<String>> {
    // Known quoting rules, whatever the server's mode is.
    connection.query_drop("SET SESSION sql_mode = ''").context("set the session's mode")?;
    let mut changed = Vec::new();
    let there: Vec<String> =
        connection.query("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA").context("list databases")?;
    for database in wanted.databases.iter().map(String::as_str).chain([OWN_DATABASE]) {
        if !there.iter().any(|d| d == database) {
            connection
                .query_drop(format!("CREATE DATABASE IF NOT EXISTS {}", identifier(database)))
                .with_context(|| format!("create database {database}"))?;
            changed.push(format!("database {database}"));
        }
    }
    let own_table: Option<u8> = connection
        .exec_first(
            "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = 'heartbeat'",
            (OWN_DATABASE,),
        )
        .context("look for our own table")?;
    if own_table.is_none() {
        connection
            .query_drop(format!("CREATE TABLE IF NOT EXISTS {OWN_DATABASE}.heartbeat (id INT PRIMARY KEY, token CHAR(36) NOT NULL) ENGINE=InnoDB"))
            .context("create our own table")?;
        changed.push(format!("table {OWN_DATABASE}.heartbeat"));
    }
    for user in &wanted.users {
        if seed_user(connection, user).with_context(|| format!("seed user {}@{}", user.name, user.host))? {
            changed.push(format!("user {}@{}", user.name, user.host));
        }
    }
    for name in &wanted.removed_users {
        for host in hosts_of(connection, name)? {
            let account = format!("{}@{}", quoted(name), quoted(&host));
            connection
                .query_drop(format!("DROP USER {account}"))
                .with_context(|| format!("remove user {name}@{host}"))?;
            changed.push(format!("removed user {name}@{host}"));
        }
    }
    Ok(changed)
}

/// From where a user of this name may come: each is an account of its own.
fn hosts_of(connection: &mut Conn, name: &str) -> Result<Vec<String>> {
    connection
        .exec(
            "SELECT Host FROM mysql.global_priv WHERE User = ? AND NOT COALESCE(JSON_VALUE(Priv, '$.is_role'), 0)",
            (name,),
        )
        .with_context(|| format!("look for user {name}"))
}

fn seed_user(connection: &mut Conn, user: &SeedUser) -> Result<bool> {
    // Made here: a password in a statement would be in the server's logs, and for a moment in its list of processes.
    let hash = native_password(user.password.reveal());
    let current: Option<(String, u32)> = connection.exec_first(
        "SELECT COALESCE(JSON_VALUE(Priv, '$.authentication_string'), ''), COALESCE(JSON_VALUE(Priv, '$.max_user_connections'), 0) \
         FROM mysql.global_priv WHERE User = ? AND Host = ?",
        (&user.name, &user.host),
    )?;
    let (current, allowed) = current.unzip();
    let account = format!("{}@{}", quoted(&user.name), quoted(&user.host));
    let mut changed = false;
    if current.as_deref() != Some(hash.as_str()) {
        let secret = format!("IDENTIFIED VIA mysql_native_password USING {}", quoted(&hash));
        connection.query_drop(format!("CREATE USER IF NOT EXISTS {account} {secret}"))?;
        connection.query_drop(format!("ALTER USER {account} {secret}"))?;
        changed = true;
    }
    if allowed.unwrap_or_default() != user.max_connections {
        connection.query_drop(format!("ALTER USER {account} WITH MAX_USER_CONNECTIONS {}", user.max_connections))?;
        changed = true;
    }
    let granted: Vec<String> = connection.query(format!("SHOW GRANTS FOR {account}"))?;
    let has = |what: &str| granted.iter().any(|line| line.starts_with(what));
    match user.role {
        Role::Minimal => {}
        Role::Reader | Role::Backup => {
            let privileges = everywhere(user.role);
            if !has_everywhere(&granted, privileges) {
                connection.query_drop(format!("GRANT {} ON *.* TO {account}", privileges.join(", ")))?;
                changed = true;
            }
        }
        Role::Admin => {
            if !granted.iter().any(|g| g.starts_with("GRANT ALL PRIVILEGES ON *.*") && g.ends_with("WITH GRANT OPTION"))
            {
                connection.query_drop(format!("GRANT ALL PRIVILEGES ON *.* TO {account} WITH GRANT OPTION"))?;
                changed = true;
            }
        }
        Role::Schema => {
            for database in &user.databases {
                // In a grant, _ and % are wildcards unless escaped.
                let name = identifier(&database.replace('\\', "\\\\").replace('_', "\\_").replace('%', "\\%"));
                if !has(&format!("GRANT ALL PRIVILEGES ON {name}.*")) {
                    connection.query_drop(format!("GRANT ALL PRIVILEGES ON {name}.* TO {account}"))?;
                    changed = true;
                }
            }
        }
    }
    Ok(changed)
}

/// What `mysql_native_password` keeps of a password: `*` and the SHA-1 of its SHA-1; of an empty one nothing.
fn native_password(password: &str) -> String {
    if password.is_empty() {
        return String::new();
    }
    let twice = Sha1::digest(Sha1::digest(password.as_bytes()));
    twice.iter().fold(String::from("*"), |hash, byte| format!("{hash}{byte:02X}"))
}

/// What these roles may do in all databases, in the words of `SHOW GRANTS`.
fn everywhere(role: Role) -> &'static [&'static str] {
    match role {
        Role::Reader => &["SELECT", "PROCESS", "BINLOG MONITOR"],
        Role::Backup => {
            &["SELECT", "RELOAD", "PROCESS", "LOCK TABLES", "BINLOG MONITOR", "SHOW VIEW", "EVENT", "TRIGGER"]
        }
        Role::Admin | Role::Schema | Role::Minimal => &[],
    }
}

fn has_everywhere(granted: &[String], privileges: &[&str]) -> bool {
    let has = |what: &str| what == "ALL PRIVILEGES" || privileges.iter().all(|p| what.split(", ").any(|g| g == *p));
    granted.iter().any(|line| {
        let what = line.strip_prefix("GRANT ").and_then(|rest| rest.split_once(" ON *.* TO "));
        what.is_some_and(|(what, _)| has(what))
    })
}

/// Writes a token, to be read on every member.
pub fn write_token(connection: &mut Conn, token: &str) -> mysql::Result<()> {
    connection.exec_drop(format!("REPLACE INTO {OWN_DATABASE}.heartbeat (id, token) VALUES (1, ?)"), (token,))
}

/// Reads the token, after everything that the cluster committed before has been applied here.
pub fn read_token(connection: &mut Conn) -> mysql::Result<Option<String>> {
    connection.query_drop("SET SESSION wsrep_sync_wait = 1")?;
    connection.query_first(format!("SELECT token FROM {OWN_DATABASE}.heartbeat WHERE id = 1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c4_a_password_is_kept_as_the_server_keeps_it() {
        for (password, hash) in [
            ("", ""),
            ("x", "*B69027D44F6E5EDC07F1AEAD1477967B16F28227"),
            ("it's \"se\\cret\" ü 😀", "*7599DDADFB0D320FF3C649CC5AE86AB7CB95B5E7"),
        ] {
            assert_eq!(native_password(password), hash);
        }
    }

    #[test]
    fn a_grant_is_asked_for_where_it_is_not_there() {
        for (granted, role, there) in [
            ("GRANT SELECT, PROCESS, BINLOG MONITOR ON *.* TO `a`@`%` IDENTIFIED BY PASSWORD '*9'", Role::Reader, true),
            ("GRANT SELECT, RELOAD, PROCESS, BINLOG MONITOR ON *.* TO `a`@`%`", Role::Reader, true),
            ("GRANT ALL PRIVILEGES ON *.* TO `a`@`%` WITH GRANT OPTION", Role::Backup, true),
            ("GRANT SELECT, PROCESS ON *.* TO `a`@`%`", Role::Reader, false),
            ("GRANT SELECT, PROCESS, BINLOG MONITOR ON `x`.* TO `a`@`%`", Role::Reader, false),
            ("GRANT USAGE ON *.* TO `a`@`%`", Role::Backup, false),
        ] {
            assert_eq!(has_everywhere(&[granted.to_owned()], everywhere(role)), there, "{granted}");
        }
    }
}
