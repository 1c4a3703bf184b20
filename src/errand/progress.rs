//! Telling what is going on: a bar on a terminal, plain lines otherwise, and everything in the log.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Write, stdout};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::log;

/// How many steps a recovery has.
pub(super) const STEPS: usize = 7;

/// Tells a person and the log.
pub(super) struct Progress {
    log: Option<File>,
    runs_on: String,
    terminal: bool,
    step: usize,
    last: String,
}

impl Progress {
    /// Begins to tell. A log that cannot be written is told, and stops nothing.
    pub(super) fn begin(log_dir: &Path, runs_on: &str) -> Progress {
        let path = log_dir.join("galera-bootstrap.log");
        let log = OpenOptions::new().create(true).append(true).mode(0o640).open(&path);
        let progress = Progress {
            terminal: stdout().is_terminal(),
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
        if self.terminal {
            let done = "#".repeat(self.step);
            let rest = ".".repeat(STEPS.saturating_sub(self.step));
            // One line that is written over; cut so that an 80-column terminal does not wrap it.
            let shown: String = what.chars().take(60).collect();
            print!("\r\x1b[K[{done}{rest}] {shown}");
            let _ = stdout().flush();
        } else {
            println!("[{}/{STEPS}] {what}", self.step);
        }
        self.note(what);
    }

    /// Shows a table, above the bar.
    pub(super) fn show(&self, table: &str) {
        if self.terminal {
            print!("\r\x1b[K");
        }
        println!("{table}");
        self.note(table);
    }

    /// Tells the end.
    pub(super) fn finish(&self, verdict: &str) {
        self.show(verdict);
    }

    fn note(&self, what: &str) {
        if let Some(mut log) = self.log.as_ref() {
            for line in what.lines() {
                let _ = log.write_all(format!("{} {} {line}\n", log::now(), self.runs_on).as_bytes());
            }
        }
    }
}
