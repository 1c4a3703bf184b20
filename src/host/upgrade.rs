//! The upgrade step: after a new version of the server, its system tables are changed to what it expects.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::mariadbd::search_path;
use crate::config::MemberConfig;
use crate::log;

/// How long it may take. It checks every table, and rewrites only those that need it.
const LIMIT: Duration = Duration::from_secs(3600);
/// Pause between two looks at whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Runs `mariadb-upgrade`, which ends at once where its mark in the data directory is of this version. Each member does
/// so for itself: it does not replicate what it changes, because others may still run the version before.
pub fn system_tables(config: &MemberConfig) -> Result<()> {
    let path = config.paths.log_dir.join("mariadb-upgrade.log");
    let begun = Instant::now();
    let output = open(&path)?;
    let mut child = Command::new(&config.mariadb.upgrade_program)
        .arg("--no-defaults")
        .arg(format!("--socket={}", config.mariadb.socket.display()))
        .arg(format!("--user={}", config.mariadb.admin_user))
        .env("PATH", search_path(config))
        .current_dir(&config.mariadb.data_dir)
        .stdin(Stdio::null())
        .stdout(output.try_clone().context("share a log")?)
        .stderr(output)
        .spawn()
        .with_context(|| format!("start {}", config.mariadb.upgrade_program.display()))?;
    loop {
        match child.try_wait().context("wait for mariadb-upgrade")? {
            Some(status) if status.success() => break,
            Some(status) => bail!("mariadb-upgrade ended with {status}; {} tells why", path.display()),
            None if begun.elapsed() >= LIMIT => {
                let _ = child.kill();
                let _ = child.wait();
                bail!("mariadb-upgrade took more than {} s; {} tells how far it came", LIMIT.as_secs(), path.display())
            }
            None => std::thread::sleep(LOOK_EVERY),
        }
    }
    log::info("upgrade.done", &[("after_ms", &begun.elapsed().as_millis())]);
    Ok(())
}

fn open(path: &std::path::Path) -> Result<File> {
    let file = OpenOptions::new().create(true).append(true).mode(0o640).open(path);
    file.with_context(|| format!("open {}", path.display()))
}
