//! Running `garbd`, and what its log tells.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use super::mariadbd::wait_gone;
use super::processes::{Handle, find_garbd};
use crate::arbitrator_config::ArbitratorConfig;
use crate::cluster::arbitration::{Component, Running};

/// A `garbd` that runs: our child, or one that a supervisor before us left.
#[derive(Debug)]
pub struct Garbd {
    process: Handle,
    child: Option<Child>,
    ended: Option<String>,
    group: String,
    log: PathBuf,
    log_from: u64,
    component: Option<Component>,
    since: Instant,
}

fn log_path(config: &ArbitratorConfig) -> PathBuf {
    config.log_dir.join("garbd.log")
}

impl Garbd {
    /// The one that runs already, if any; a supervisor's end never takes its vote away.
    pub fn found(config: &ArbitratorConfig) -> Option<Garbd> {
        let (process, group) = find_garbd(&config.run_dir)?;
        Some(Garbd::new(process, None, group, log_path(config), 0))
    }

    fn new(process: Handle, child: Option<Child>, group: String, log: PathBuf, log_from: u64) -> Garbd {
        Garbd { process, child, ended: None, group, log, log_from, component: None, since: Instant::now() }
    }

    /// Starts one into this group.
    pub fn start(config: &ArbitratorConfig, group: &str) -> Result<Garbd> {
        let path = log_path(config);
        let log = OpenOptions::new().create(true).append(true).mode(0o640).open(&path);
        let log = log.with_context(|| format!("open {}", path.display()))?;
        let from = log.metadata().map(|m| m.len()).unwrap_or_default();
        let members = config.cluster.members.iter().map(|m| format!("{}:{}", m.address, config.garbd.galera_port));
        let child = Command::new(&config.garbd.program)
            .arg(format!("--address=gcomm://{}", members.collect::<Vec<_>>().join(",")))
            .arg(format!("--group={group}"))
            .arg(format!("--name={}", config.instance))
            .arg(format!("--options={}", config.garbd.options))
            .arg(format!("--workdir={}", config.run_dir.display()))
            .current_dir(&config.run_dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("share garbd's log")?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {}", config.garbd.program.display()))?;
        let pid = i32::try_from(child.id()).context("process number")?;
        let process = Handle::of(pid).with_context(|| format!("garbd ended at once; see {}", path.display()))?;
        Ok(Garbd::new(process, Some(child), group.to_owned(), path, from))
    }

    /// Whether it still lives. A child that ended is reaped by that.
    pub fn lives(&mut self) -> bool {
        match &mut self.child {
            Some(child) => match child.try_wait() {
                Ok(None) => true,
                Ok(Some(status)) => {
                    self.ended = Some(status.to_string());
                    false
                }
                Err(e) => {
                    self.ended = Some(format!("unknown status: {e}"));
                    false
                }
            },
            None => self.process.lives(),
        }
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.process.pid
    }

    /// How it is, by its log.
    pub fn look(&mut self) -> Running {
        let told = Component::last(&self.tail());
        // A log that was rotated away tells nothing; what was known stays.
        if told.is_some() && told != self.component {
            (self.component, self.since) = (told, Instant::now());
        }
        Running { group: self.group.clone(), component: self.component, seconds: self.since.elapsed().as_secs() }
    }

    fn tail(&self) -> String {
        const MOST: u64 = 128 * 1024;
        let read = || -> std::io::Result<String> {
            let mut file = File::open(&self.log)?;
            let length = file.metadata()?.len();
            let from = if self.log_from > length { 0 } else { self.log_from };
            file.seek(SeekFrom::Start(from.max(length.saturating_sub(MOST))))?;
            let mut bytes = Vec::new();
            file.take(MOST).read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        read().unwrap_or_default()
    }

    /// How it ended, for a log; the status of an adopted one is not ours to read.
    pub fn status(&self) -> &str {
        self.ended.as_deref().unwrap_or("unknown")
    }

    /// Its last words, for a log.
    pub fn last_words(&self) -> String {
        self.tail().lines().rev().find(|l| !l.trim().is_empty()).unwrap_or("it said nothing").trim().to_owned()
    }

    /// Lets it leave the group, so that its vote goes with it; SIGKILL where it does not.
    pub fn stop(mut self, limit: Duration) -> Result<()> {
        self.process.signal(Signal::SIGTERM)?;
        let begun = Instant::now();
        while self.lives() {
            if begun.elapsed() > limit {
                self.process.signal(Signal::SIGKILL)?;
                wait_gone(self.process, Duration::from_secs(10))?;
                // Its first thread may be gone before the others; reaped is only the whole.
                if let Some(child) = &mut self.child {
                    let _ = child.wait();
                }
                bail!("garbd did not end within {} s of SIGTERM, and was killed", limit.as_secs());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}
