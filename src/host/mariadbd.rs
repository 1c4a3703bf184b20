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

use super::datadir::DataDir;
use super::files::remove_durably;
use super::processes::{BELOW_MARIADBD, Handle, find_mariadbd, moved};
use crate::config::MemberConfig;
use crate::galera::log_lines::{Evidence, evidence, full_copy_came, process_that_starts};
use crate::galera::position::Position;
use crate::galera::recovery::{Recovered, recovered_position};
use crate::log;

/// How `mariadbd` is started for service.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    /// Where its data stands.
    pub position: Option<Position>,
    /// The name of its group, where that is not the configured one.
    pub group: Option<&'a str>,
    /// As the first of a primary component.
    pub new_cluster: bool,
    /// The members from which it takes its state; any, where none is named.
    pub donors: &'a [String],
}

/// Starts `mariadbd` for service, in a process group of its own, so that it can be killed together
/// with its state transfer scripts and does not get a terminal's signals.
pub fn start(config: &MemberConfig, asked: &Start) -> Result<Child> {
    let Start { position, group, new_cluster, donors } = *asked;
    let mut command = command(config)?;
    if !donors.is_empty() {
        // Without a comma at the end Galera takes no other one.
        command.arg(format!("--wsrep-sst-donor={}", donors.join(",")));
    }
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
    let error_log = append_to_error_log(config)?;
    let mut command = Command::new(&config.mariadb.program);
    command
        .arg(format!("--defaults-file={}", config.mariadb.defaults_file.display()))
        // State transfer scripts are found by PATH, and may live beside the server.
        .env("PATH", search_path(config))
        // By this whatever it starts is known, however that leaves its group and its parent.
        .env(BELOW_MARIADBD, &config.mariadb.data_dir)
        .current_dir(&config.mariadb.data_dir)
        .stdin(Stdio::null())
        .stdout(error_log.try_clone().context("share the error log")?)
        .stderr(error_log)
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

/// Pauses before a recovery that was killed from outside is run again.
const AFTER_A_KILL: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// Asks the storage engine for its position with `--wsrep-recover`. After a crash this runs InnoDB's
/// recovery, which may take long; it is bounded by progress, not by the clock. Stops when `stop` is set.
///
/// One that somebody killed (a person, the kernel for want of memory) says nothing about the data, and is run again: who
/// reads that the position is unknown is told how to go on without it.
pub fn recover(config: &MemberConfig, stop: &AtomicBool) -> Result<Recovered> {
    for pause in AFTER_A_KILL {
        match recover_once(config, stop)? {
            Run::Told(recovered) => return Ok(recovered),
            Run::Killed(by) => log::warn("recovery.killed", &[("signal", &by), ("again_after_ms", &pause.as_millis())]),
        }
        std::thread::sleep(pause);
    }
    match recover_once(config, stop)? {
        Run::Told(recovered) => Ok(recovered),
        Run::Killed(by) => bail!("mariadbd --wsrep-recover was killed again and again, at last by {by}"),
    }
}

/// How one run of the recovery ended.
enum Run {
    Told(Recovered),
    Killed(Signal),
}

/// The signal by which somebody ended it; a crash of its own is told by others.
fn killed(status: ExitStatus) -> Option<Signal> {
    [Signal::SIGKILL, Signal::SIGTERM].into_iter().find(|s| status.signal() == Some(*s as i32))
}

fn recover_once(config: &MemberConfig, stop: &AtomicBool) -> Result<Run> {
    end_orphaned_recovery(config)?;
    let datadir = DataDir::at(&config.mariadb.data_dir);
    // A log of two-phase commits that a power loss has torn ends each start. Without it no transaction that was prepared
    // can be decided, and the server says so where there is one; where there is none, nothing was in it that counts.
    let torn = datadir.torn_commit_log().context("read tc.log")?;
    let another = config.paths.state_dir.join("recovery.tc.log");
    let output_path = config.paths.state_dir.join("recovery.log");
    // Its own file: the answer must not be mixed with what a server says.
    let _ = fs::remove_file(&output_path);
    let mut child = command(config)?
        .arg("--wsrep-recover")
        .args(torn.then(|| format!("--log-tc={}", another.display())))
        .arg(format!("--log-error={}", output_path.display()))
        .spawn()
        .with_context(|| format!("start {} --wsrep-recover", config.mariadb.program.display()))?;
    let status = wait_while_it_works(&mut child, config.timeouts.recover_stall, stop);
    remove_durably(&another)?;
    let status = status?;
    if let Some(by) = killed(status) {
        return Ok(Run::Killed(by));
    }
    let output = fs::read(&output_path).with_context(|| format!("read {}", output_path.display()))?;
    let output = String::from_utf8_lossy(&output);
    match recovered_position(&output) {
        Some(recovered) if status.success() => {
            if torn {
                datadir.set_commit_log_aside()?;
                log::warn("tc_log.set_aside", &[("why", &"it is torn, and no transaction waited for it")]);
            }
            Ok(Run::Told(recovered))
        }
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
        // Not the processor's time: a torn Aria log makes it compute for ever (T1).
        let now_done = moved(pid);
        if now_done != done {
            (done, since) = (now_done, Instant::now());
        }
        let why = if stop.load(Ordering::Relaxed) {
            "was asked to stop".to_owned()
        } else if since.elapsed() > stall {
            format!("computed for {} s without reading or writing anything", stall.as_secs())
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
    let (_, bytes) = read_error_log(config, since).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Where in the error log the life of this process begins: what is said before that was said by others. A log that was
/// rotated away since has its lines only.
pub fn life_begins(config: &MemberConfig, pid: i32) -> u64 {
    match last_beginning(config) {
        (None, _) => 0,
        (Some((process, begins)), _) if process == pid => begins,
        // Its own lines are not there.
        (Some(_), end) => end,
    }
}

/// The process whose life began last, and where that is in the error log; and where the log ends.
fn last_beginning(config: &MemberConfig) -> (Option<(i32, u64)>, u64) {
    let (mut at, bytes) = read_error_log(config, 0).unwrap_or_default();
    let mut last = None;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if let Some(process) = process_that_starts(&String::from_utf8_lossy(line)) {
            last = Some((process, at));
        }
        at = at.saturating_add(u64::try_from(line.len()).unwrap_or_default());
    }
    (last, at)
}

/// Whether the last life is that of this process, and a full copy came in it.
pub fn copied_in_life_of(config: &MemberConfig, pid: i32) -> bool {
    let own = last_beginning(config).0.filter(|(process, _)| *process == pid);
    own.is_some_and(|(_, begins)| full_copy_came(&error_log_since(config, begins)))
}

/// Where what was read begins, and that.
fn read_error_log(config: &MemberConfig, since: u64) -> std::io::Result<(u64, Vec<u8>)> {
    const MOST: u64 = 1024 * 1024;
    let mut file = File::open(&config.mariadb.error_log)?;
    let length = file.metadata()?.len();
    // A log that was rotated away in between begins anew.
    let since = if since > length { 0 } else { since };
    let from = since.max(length.saturating_sub(MOST));
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    Ok((from, bytes))
}

/// What the error log proves of the server's last life. Only what it says counts.
pub fn last_life(config: &MemberConfig) -> Vec<Evidence> {
    evidence(&error_log_since(config, 0))
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
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;
    use crate::config;

    /// A member whose files are all in a folder of its own, and whose `mariadbd` is this script.
    fn member(at: &Path, mariadbd: &str) -> MemberConfig {
        let golden = include_str!("../../spec/golden/member.json").replace("/var/vcap", &at.display().to_string());
        fs::write(at.join("member.yml"), golden).unwrap();
        let mut config: MemberConfig = config::load(&at.join("member.yml")).unwrap();
        config.mariadb.program = at.join("mariadbd");
        fs::write(&config.mariadb.program, mariadbd).unwrap();
        fs::set_permissions(&config.mariadb.program, fs::Permissions::from_mode(0o755)).unwrap();
        for directory in [&config.mariadb.data_dir, &config.paths.state_dir, &config.paths.log_dir] {
            fs::create_dir_all(directory).unwrap();
        }
        config
    }

    #[test]
    fn s3_a_recovery_that_was_killed_says_nothing_and_is_run_again() {
        let at = tempfile::tempdir().unwrap();
        let told = "WSREP: Recovered position: 7851e18c-ebf3-11f1-ac17-33b11858d683:42";
        let script = format!(
            "#!/bin/sh\n[ -e {0}/once ] || {{ touch {0}/once; kill -KILL $$; }}\n\
             for a in \"$@\"; do case $a in --log-error=*) echo '{told}' >\"${{a#*=}}\";; esac; done\n",
            at.path().display()
        );
        let found = recover(&member(at.path(), &script), &AtomicBool::new(false)).unwrap();
        assert!(matches!(found, Recovered::At(position) if position.seqno() == 42), "{found:?}");

        let always = "#!/bin/sh\nkill -KILL $$\n";
        let failed = recover(&member(at.path(), always), &AtomicBool::new(false)).unwrap_err();
        assert!(failed.to_string().contains("killed again and again"), "{failed:#}");
    }

    #[test]
    // A1, H17: a supervisor that takes a server over reads the lines of that one's life.
    fn an_earlier_life_says_nothing_of_the_one_that_runs() {
        let at = tempfile::tempdir().unwrap();
        let config = member(at.path(), "");
        let told = |log: &[u8], pid| {
            fs::write(&config.mariadb.error_log, log).unwrap();
            error_log_since(&config, life_begins(&config, pid))
        };
        let first: &[u8] = b"\xff x\nStarting MariaDB 1 as process 7\nrsync SST completed on joiner\n";
        let second: &[u8] = b"Starting MariaDB 1 as process 8\nshort\n";
        let both = [first, second].concat();
        assert_eq!(told(&both, 8), String::from_utf8_lossy(second));
        assert_eq!(told(&both, 9), "", "its lines are not there");
        assert!(told(first, 7).ends_with("on joiner\n"));
        assert_eq!(told(b"short\n", 8), "short\n", "its first line was rotated away");
    }

    #[test]
    fn a_status_is_passed_on_and_never_as_success() {
        for (raw, code) in [(0, 1), (7 << 8, 7), (9, 137), (6, 134)] {
            assert_eq!(passed_on(ExitStatus::from_raw(raw)), code);
        }
    }
}
