//! Being a daemon under monit: one instance, a pid file at once, a log, and an orderly end.
//!
//! monit 5.2.5 looks at nothing but the pid file, blocks on it while it is missing, and may run the
//! start program twice at the same time; so the lock decides, and the pid file comes before all work.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::signal::Signal;
use rustix::process::{getpriority_process, setpriority_process};

use super::files::write_atomically;
use super::processes::Handle;
use crate::cli::Exit;
use crate::log;

/// Set in the environment of the detached process.
const DETACHED: &str = "MARIADB_GALERA_DETACHED";
/// How long the start program waits for the daemon's pid file; monit gives it 30 s.
const PID_FILE_LIMIT: Duration = Duration::from_secs(20);

/// The files by which a daemon is known.
#[derive(Debug, Clone)]
pub struct Daemon {
    lock: PathBuf,
    pid: PathBuf,
    log: PathBuf,
    name: &'static str,
    thrifty: bool,
}

/// That this process is the only one of its kind on the VM. Dropped, it is no more.
#[derive(Debug)]
pub struct OnlyOne {
    _lock: File,
}

/// A write lock on the whole file. It belongs to the open file: it ends with the process, however that
/// ends, and it can be asked about without being taken, so that a look never shuts out a start.
fn whole_file() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

impl Daemon {
    /// The daemon of this name, with its files in these directories.
    pub fn named(name: &'static str, run_dir: &Path, log_dir: &Path) -> Daemon {
        Daemon {
            lock: run_dir.join(format!("{name}.lock")),
            pid: run_dir.join(format!("{name}.pid")),
            log: log_dir.join(format!("{name}.log")),
            name,
            thrifty: false,
        }
    }

    /// The same with little memory: glibc keeps an arena for every thread that ever ran at the same time as others.
    /// Not for whoever starts `mariadbd`, which would inherit it and needs its arenas.
    pub fn thrifty(self) -> Daemon {
        Daemon { thrifty: true, ..self }
    }

    /// Takes the lock; none if another process has it.
    pub fn only_one(&self) -> Result<Option<OnlyOne>> {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o640)
            .open(&self.lock)
            .with_context(|| format!("open lock {}", self.lock.display()))?;
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file())) {
            Err(Errno::EAGAIN | Errno::EACCES) => return Ok(None),
            other => other.with_context(|| format!("lock {}", self.lock.display()))?,
        };
        // Who it is, for those who find it locked.
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| write!(file, "{}", std::process::id()))
            .context("write lock")?;
        write_atomically(&self.pid, format!("{}\n", std::process::id()).as_bytes(), 0o644)?;
        Ok(Some(OnlyOne { _lock: file }))
    }

    /// The process that has the lock, if any.
    pub fn running(&self) -> Option<Handle> {
        let mut file = OpenOptions::new().read(true).write(true).open(&self.lock).ok()?;
        let mut text = String::new();
        file.read_to_string(&mut text).ok()?;
        let mut lock = whole_file();
        fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock)).ok()?;
        // The number alone proves nothing; the lock does.
        if libc::c_int::from(lock.l_type) == libc::F_UNLCK { None } else { Handle::of(text.trim().parse().ok()?) }
    }

    /// Does the daemon's work as the only process of its kind, and logs under this name when it begins and what it
    /// failed with. Running already is done.
    pub fn run(&self, topic: &str, work: impl FnOnce() -> Result<Exit>) -> Result<Exit> {
        let Some(_only_one) = self.only_one()? else {
            log::info(&format!("{topic}.runs_already"), &[]);
            return Ok(Exit::Done);
        };
        let begun = format!("{topic}.begun");
        log::info(&begun, &[("version", &env!("CARGO_PKG_VERSION")), ("pid", &std::process::id())]);
        let ended = work();
        if let Err(error) = &ended {
            log::error(&format!("{topic}.failed"), &[("why", &format!("{error:#}"))]);
        }
        // So that monit sees at once that it has ended.
        let _ = fs::remove_file(&self.pid);
        ended
    }

    /// Starts this same program again in the background, and waits until its pid file is there.
    /// Already running is done.
    pub fn detach(&self) -> Result<()> {
        if self.running().is_some() {
            return Ok(());
        }
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o640)
            .open(&self.log)
            .with_context(|| format!("open log {}", self.log.display()))?;
        let begins_at = log.metadata().map(|m| m.len()).unwrap_or_default();
        let program = std::env::current_exe().context("find this program")?;
        let mut child = Command::new(program)
            .args(std::env::args_os().skip(1).filter(|a| a != "--detach"))
            .env(DETACHED, "1")
            .envs(self.thrifty.then_some(("MALLOC_ARENA_MAX", "1")))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("share log")?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {} in the background", self.name))?;
        let begun = Instant::now();
        while begun.elapsed() < PID_FILE_LIMIT {
            if self.running().is_some() {
                return Ok(());
            }
            if let Some(status) = child.try_wait().context("wait for the daemon")? {
                // It may have lost the race for the lock against another start.
                if status.success() {
                    return Ok(());
                }
                bail!("{} ended at once with {status}: {}", self.name, self.last_words(begins_at));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("{} wrote no pid file within {} s; see {}", self.name, PID_FILE_LIMIT.as_secs(), self.log.display())
    }

    fn last_words(&self, since: u64) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let since = usize::try_from(since).unwrap_or_default();
        let new = String::from_utf8_lossy(text.get(since..).unwrap_or_default()).into_owned();
        new.lines().last().unwrap_or("it said nothing").to_owned()
    }

    /// Whether this process was started by [`Daemon::detach`].
    pub fn detached() -> bool {
        std::env::var_os(DETACHED).is_some()
    }

    /// Leaves the session of whoever started this process, if it was started by [`Daemon::detach`], and gives up the
    /// raised priority that monit has and hands on: neither a database nor a proxy may starve what keeps the VM alive.
    pub fn settle() {
        if getpriority_process(None).is_ok_and(|nice| nice < 0) {
            let _ = setpriority_process(None, 0);
        }
        if Daemon::detached() {
            // Fails only for a process group's leader, which is as detached as can be.
            let _ = nix::unistd::setsid();
        }
    }

    /// Sends SIGTERM to the running daemon and waits until it is gone.
    pub fn stop(&self, limit: Duration) -> Result<()> {
        let Some(daemon) = self.running() else {
            return Ok(());
        };
        daemon.signal(Signal::SIGTERM)?;
        let begun = Instant::now();
        while daemon.lives() {
            if begun.elapsed() > limit {
                bail!(
                    "{} (process {}) did not end within {} s of SIGTERM; see {}",
                    self.name,
                    daemon.pid,
                    limit.as_secs(),
                    self.log.display()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g9_one_instance_and_a_lock_that_dies_with_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let daemon = Daemon::named("x", dir.path(), dir.path());
        let one = daemon.only_one().unwrap();
        assert!(one.is_some());
        assert_eq!(fs::read_to_string(dir.path().join("x.pid")).unwrap().trim(), std::process::id().to_string());
        assert!(daemon.only_one().unwrap().is_none());
        assert!(daemon.running().is_some());
        drop(one);
        assert!(daemon.running().is_none(), "the file is still there, and means nothing");
        assert!(daemon.only_one().unwrap().is_some());
    }
}
