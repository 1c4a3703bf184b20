//! Running `mariadbd`: to recover its position, and to serve.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::processes::{Handle, find_mariadbd, work_done};
use crate::config::MemberConfig;
use crate::galera::position::Position;
use crate::galera::recovery::{Recovered, recovered_position};

/// Starts `mariadbd` for service, in a process group of its own, so that it can be killed together
/// with its state transfer scripts and does not get a terminal's signals.
pub fn start(
    config: &MemberConfig,
    position: Option<Position>,
    group: Option<&str>,
    new_cluster: bool,
) -> Result<Child> {
    let mut command = command(config)?;
    if let Some(group) = group {
        command.arg(format!("--wsrep-cluster-name={group}"));
    }
    if let Some(position) = position {
        // Without it a crashed node comes up on the nil history and counts from 0.
        command.arg(format!("--wsrep_start_position={position}"));
    }
    if new_cluster {
        command.arg("--wsrep-new-cluster");
    }
    command.spawn().with_context(|| format!("start {}", config.mariadb.program.display()))
}

/// Kills a `mariadbd` that was just started, and what it started, where it cannot be watched.
pub fn kill(pid: u32) {
    if let Ok(pid) = i32::try_from(pid) {
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

fn command(config: &MemberConfig) -> Result<Command> {
    let log = append_to_error_log(config)?;
    let mut command = Command::new(&config.mariadb.program);
    command
        .arg(format!("--defaults-file={}", config.mariadb.defaults_file.display()))
        // State transfer scripts are found by PATH, and may live beside the server.
        .env("PATH", search_path(config))
        .current_dir(&config.mariadb.data_dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("share the error log")?)
        .stderr(log)
        .process_group(0);
    Ok(command)
}

/// Where the server's own programs are found first.
pub(super) fn search_path(config: &MemberConfig) -> String {
    let system = std::env::var("PATH").unwrap_or_else(|_| "/usr/sbin:/usr/bin:/sbin:/bin".into());
    match config.mariadb.program.parent() {
        Some(bin) => format!("{}:{system}", bin.display()),
        None => system,
    }
}

fn append_to_error_log(config: &MemberConfig) -> Result<File> {
    let path = &config.mariadb.error_log;
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .open(path)
        .with_context(|| format!("open MariaDB's error log {}", path.display()))
}

/// Asks the storage engine for its position with `--wsrep-recover`. After a crash this runs InnoDB's
/// recovery, which may take long; it is bounded by progress, not by the clock. Stops when `stop` is set.
pub fn recover(config: &MemberConfig, stop: &AtomicBool) -> Result<Recovered> {
    end_orphaned_recovery(config)?;
    let output_path = config.paths.state_dir.join("recovery.log");
    // Its own file: the answer must not be mixed with what a server says.
    let _ = fs::remove_file(&output_path);
    let mut child = command(config)?
        .arg("--wsrep-recover")
        .arg(format!("--log-error={}", output_path.display()))
        .spawn()
        .with_context(|| format!("start {} --wsrep-recover", config.mariadb.program.display()))?;
    let status = wait_while_it_works(&mut child, config.timeouts.recover_stall, stop)?;
    let output = fs::read(&output_path).with_context(|| format!("read {}", output_path.display()))?;
    let output = String::from_utf8_lossy(&output);
    match recovered_position(&output) {
        Some(recovered) if status.success() => Ok(recovered),
        _ => {
            let errors: Vec<&str> = output.lines().filter(|l| l.contains("[ERROR]")).collect();
            let said =
                errors.first().or(output.lines().collect::<Vec<_>>().last()).copied().unwrap_or("it said nothing");
            bail!(
                "mariadbd --wsrep-recover ended with {status} and told no position: {said} (all of it: {})",
                output_path.display()
            )
        }
    }
}

/// A recovery whose supervisor died still has the data directory open. It changes nothing that the
/// next one would not do again, so it is killed.
fn end_orphaned_recovery(config: &MemberConfig) -> Result<()> {
    while let Some((handle, process)) = find_mariadbd(&config.mariadb.defaults_file) {
        if !process.recovering {
            bail!("mariadbd runs (process {}); a position is recovered only while it is down", process.pid);
        }
        handle.signal(Signal::SIGKILL)?;
        wait_gone(handle, Duration::from_secs(30))?;
    }
    Ok(())
}

fn wait_while_it_works(child: &mut Child, stall: Duration, stop: &AtomicBool) -> Result<ExitStatus> {
    let pid = i32::try_from(child.id()).context("process number")?;
    let (mut done, mut since) = (0, Instant::now());
    loop {
        if let Some(status) = child.try_wait().context("wait for --wsrep-recover")? {
            return Ok(status);
        }
        let now_done = work_done(pid);
        if now_done != done {
            (done, since) = (now_done, Instant::now());
        }
        let why = if stop.load(Ordering::Relaxed) {
            "was asked to stop".to_owned()
        } else if since.elapsed() > stall {
            format!("made no progress for {} s", stall.as_secs())
        } else {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        child.kill().context("kill --wsrep-recover")?;
        child.wait().context("wait for --wsrep-recover")?;
        bail!("position recovery {why}");
    }
}

/// Waits until a process is really gone.
pub fn wait_gone(process: Handle, limit: Duration) -> Result<()> {
    let begun = Instant::now();
    while process.lives() {
        if begun.elapsed() > limit {
            bail!("process {} is still there {} s after it was killed", process.pid, limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// An exit status as this program passes it on: 128 + number for a signal, and never 0, because a
/// server that ended by itself did not do what it was started for.
pub fn passed_on(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|s| s + 128)).unwrap_or(1);
    u8::try_from(code).ok().filter(|c| *c != 0).unwrap_or(1)
}

/// How long the error log is now: where the lines of the next life begin.
pub fn error_log_length(config: &MemberConfig) -> u64 {
    fs::metadata(&config.mariadb.error_log).map(|m| m.len()).unwrap_or_default()
}

/// The error log from `since` on; at most its last megabyte.
pub fn error_log_since(config: &MemberConfig, since: u64) -> String {
    const MOST: u64 = 1024 * 1024;
    let read = || -> std::io::Result<String> {
        let mut file = File::open(&config.mariadb.error_log)?;
        let length = file.metadata()?.len();
        // A log that was rotated away in between begins anew.
        let since = if since > length { 0 } else { since };
        file.seek(SeekFrom::Start(since.max(length.saturating_sub(MOST))))?;
        let mut bytes = Vec::new();
        file.take(MOST).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_default()
}

/// The lines of the error log, from `since` on, that say why a server ended: its last errors, and before them what
/// is behind many of them, which scripts of state transfers tell in words of their own.
pub fn last_errors(config: &MemberConfig, since: u64) -> Vec<String> {
    let text = error_log_since(config, since);
    let cause = text.lines().find(|l| l.contains("No space left on device") && !l.contains("[ERROR]"));
    let mut errors: Vec<&str> = text.lines().rev().filter(|l| l.contains("[ERROR]")).take(3).collect();
    errors.extend(cause);
    errors.into_iter().rev().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_passed_on_and_never_as_success() {
        for (raw, code) in [(0, 1), (7 << 8, 7), (9, 137), (6, 134)] {
            assert_eq!(passed_on(ExitStatus::from_raw(raw)), code);
        }
    }
}
