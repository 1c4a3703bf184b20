//! The upgrade step: after a new version of the server, its system tables are changed to what it expects.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::mariadbd::search_path;
use super::processes;
use super::sql::{self, Logs, Looks};
use super::write_stalls::{Session, held_up_applier};
use crate::config::MemberConfig;
use crate::log;

/// How long it may take. It checks every table, and rewrites only those that need it.
const LIMIT: Duration = Duration::from_secs(3600);
/// Pause between two looks at whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Pause between two looks at whether an applier waits for a lock.
const SESSIONS_EVERY: Duration = Duration::from_secs(1);

/// How often it is run where it has to make way, and the pause before it is run again.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_secs(3);

/// The tables of `mysql` that are kept without a log (`transactional=0` in mysql_system_tables.sql): a power loss may tear
/// them, and nothing brings them back. The upgrade fails where one cannot be read, and makes those that are not there. What is
/// lost with them are texts of HELP, and statistics that ANALYZE collects again.
const WITHOUT_LOG: [&str; 7] =
    ["column_stats", "index_stats", "table_stats", "help_category", "help_keyword", "help_relation", "help_topic"];

/// How one run ended.
enum Ended {
    Done,
    /// Why.
    Failed(String),
    /// What the group applies waited for a lock meanwhile; in words.
    MadeWay(String),
}

/// Runs `mariadb-upgrade`, which ends at once where its mark in the data directory is of this version. Each member does
/// so for itself: it does not replicate what it changes, because others may still run the version before.
///
/// It makes way for what the group applies. Its `ALTER TABLE mysql.proc`, say, and another member's `DROP DATABASE` wait
/// for each other for ever: one has the lock of the table and wants the one of its definition, the other the other way
/// round; Galera aborts no session that has `wsrep_on=OFF`, and flow control then stops the writes of all members. The
/// server rolls the statement back once its client is gone, and what was done is not done again.
pub fn system_tables(config: &MemberConfig) -> Result<()> {
    let begun = Instant::now();
    let mut reason = String::new();
    let (socket, user) = (&config.mariadb.socket, &config.mariadb.admin_user);
    // One that a supervisor left behind when it died would be beside ours, and nobody would look whether it makes way.
    if processes::end_clients_of(&config.mariadb.upgrade_program, socket) {
        log::warn("upgrade.ended_one_left_behind", &[("logs", &"general_log and slow_query_log may be off since")]);
    }
    let logs = sql::logs(socket, user).map_err(sql::in_words).context("ask which logs the server writes")?;
    for tried in 1..=TRIES {
        match run(config, logs)? {
            Ended::Done => {
                log::info("upgrade.done", &[("after_ms", &begun.elapsed().as_millis())]);
                return Ok(());
            }
            Ended::Failed(why) => {
                let torn = sql::unreadable(socket, user, &WITHOUT_LOG).map_err(sql::in_words).context(why.clone())?;
                if torn.is_empty() {
                    bail!("{why}");
                }
                log::warn("upgrade.torn_tables", &[("dropped", &torn.join(", ")), ("why", &why)]);
                sql::drop_here(socket, user, &torn).map_err(sql::in_words).context("drop what a power loss tore")?;
                reason = why;
            }
            Ended::MadeWay(waits) => {
                log::warn("upgrade.made_way", &[("tried", &tried), ("waits", &waits)]);
                reason = format!("it made way for what the group applies: {waits}");
                std::thread::sleep(PAUSE);
            }
        }
    }
    bail!("mariadb-upgrade was not done in {TRIES} tries; the last time {reason}")
}

fn run(config: &MemberConfig, logs: Logs) -> Result<Ended> {
    let path = config.paths.log_dir.join("mariadb-upgrade.log");
    let begun = Instant::now();
    let output = open(&path)?;
    let mut child = Command::new(&config.mariadb.upgrade_program)
        .arg("--no-defaults")
        .arg(format!("--socket={}", config.mariadb.socket.display()))
        .arg(format!("--user={}", config.mariadb.admin_user))
        .env("PATH", search_path(config))
        .current_dir(&config.mariadb.data_dir)
        // It starts others, which do the work; they are ended with it.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(output.try_clone().context("share a log")?)
        .stderr(output)
        .spawn()
        .with_context(|| format!("start {}", config.mariadb.upgrade_program.display()))?;
    let looks = Looks::default();
    let (mut looked, mut before): (Instant, Vec<Session>) = (begun, Vec::new());
    loop {
        match child.try_wait().context("wait for mariadb-upgrade")? {
            Some(status) if status.success() => return Ok(Ended::Done),
            Some(status) => {
                let why = format!("mariadb-upgrade ended with {status}; {} tells why", path.display());
                return Ok(Ended::Failed(why));
            }
            None if begun.elapsed() >= LIMIT => {
                end(&mut child, config, logs);
                bail!("mariadb-upgrade took more than {} s; {} tells how far it came", LIMIT.as_secs(), path.display())
            }
            None if looked.elapsed() >= SESSIONS_EVERY => {
                // Without an answer nothing is known of them; the next look tells.
                let now = looks.sessions(&config.mariadb.socket, &config.mariadb.admin_user).unwrap_or_default();
                if let Some(waits) = held_up_applier(&before, &now) {
                    end(&mut child, config, logs);
                    return Ok(Ended::MadeWay(waits));
                }
                (looked, before) = (Instant::now(), now);
            }
            None => std::thread::sleep(LOOK_EVERY),
        }
    }
}

/// It switches the server's logs off while it alters their tables, and on again; whoever ends it in between does that.
fn end(child: &mut Child, config: &MemberConfig, logs: Logs) {
    if let Ok(pid) = i32::try_from(child.id()) {
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let _ = child.wait();
    if let Err(e) = sql::set_logs(&config.mariadb.socket, &config.mariadb.admin_user, logs) {
        log::warn("upgrade.logs_not_set_back", &[("logs", &format!("{logs:?}")), ("why", &sql::in_words(e))]);
    }
}

fn open(path: &std::path::Path) -> Result<File> {
    let file = OpenOptions::new().create(true).append(true).mode(0o640).open(path);
    file.with_context(|| format!("open {}", path.display()))
}
