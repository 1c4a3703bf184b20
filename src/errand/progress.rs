//! Telling what is going on: a bar on a terminal, plain lines otherwise, and everything in the log.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Write, stdout};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::cluster::diagnosis::wrapped;
use crate::log;
use crate::say;

/// How many steps a recovery has.
pub(super) const STEPS: usize = 7;

/// How it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Voice {
    /// A bar that is written over.
    Terminal,
    /// A line each.
    Lines,
    /// A line each in the program's own log.
    Log,
}

/// Tells a person and the log.
pub(super) struct Progress {
    log: Option<File>,
    runs_on: String,
    voice: Voice,
    step: usize,
    last: String,
}

impl Progress {
    /// Tells the program's own log only, for a recovery that no person watches.
    pub(super) fn in_log() -> Progress {
        Progress { log: None, runs_on: String::new(), voice: Voice::Log, step: 0, last: String::new() }
    }

    /// Begins to tell. A log that cannot be written is told, and stops nothing.
    pub(super) fn begin(log_dir: &Path, runs_on: &str) -> Progress {
        let path = log_dir.join("galera-bootstrap.log");
        let log = OpenOptions::new().create(true).append(true).mode(0o640).open(&path);
        let progress = Progress {
            voice: if stdout().is_terminal() { Voice::Terminal } else { Voice::Lines },
            log: log.ok(),
            runs_on: runs_on.into(),
            step: 0,
            last: String::new(),
        };
        if progress.log.is_none() {
            eprintln!("galera-bootstrap: {} cannot be written; going on without it", path.display());
        }
        progress
    }

    /// Begins a step.
    pub(super) fn step(&mut self, step: usize, what: &str) {
        self.step = step;
        self.line(what);
    }

    /// Tells what is going on within a step; the same again is not told again.
    pub(super) fn line(&mut self, what: &str) {
        if self.last == what {
            return;
        }
        self.last = what.to_owned();
        match self.voice {
            Voice::Terminal => {
                let done = "#".repeat(self.step);
                let rest = ".".repeat(STEPS.saturating_sub(self.step));
                // One line that is written over; cut so that an 80-column terminal does not wrap it.
                let shown: String = what.chars().take(60).collect();
                let _ = write!(stdout(), "\r\x1b[K[{done}{rest}] {shown}");
                let _ = stdout().flush();
            }
            Voice::Lines => say!("{}", wrapped("", &format!("[{}/{STEPS}] {what}", self.step))),
            Voice::Log => log::info("recovery.step", &[("step", &self.step), ("what", &what)]),
        }
        self.note(what);
    }

    /// Shows a table, above the bar.
    pub(super) fn show(&self, table: &str) {
        match self.voice {
            Voice::Terminal => say!("\r\x1b[K{table}"),
            Voice::Lines => say!("{table}"),
            Voice::Log => table.lines().for_each(|row| log::info("recovery.seen", &[("row", &row)])),
        }
        self.note(table);
    }

    /// Tells the end; in the log it is one line.
    pub(super) fn finish(&self, verdict: &str) {
        let shown = wrapped("", verdict);
        match self.voice {
            Voice::Terminal => say!("\r\x1b[K{shown}"),
            Voice::Lines => say!("{shown}"),
            Voice::Log => log::info("recovery.seen", &[("row", &verdict)]),
        }
        self.note(verdict);
    }

    fn note(&self, what: &str) {
        if let Some(mut log) = self.log.as_ref() {
            for line in what.lines() {
                let _ = log.write_all(format!("{} {} {line}\n", log::now(), self.runs_on).as_bytes());
            }
        }
    }
}
