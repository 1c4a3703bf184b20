//! `galera-ctl events`: what this member did and met, from its journals.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write, stdout};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use crate::cli::Exit;
use crate::cluster::diagnosis::beside;
use crate::cluster::timeline::journal::entry;
use crate::config::MemberConfig;
use crate::galera::moment::Moment;

/// How often it is looked whether something was added.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What is wanted.
#[derive(Debug, Clone, Args)]
pub struct Wants {
    /// Go on, and print what comes, until interrupted
    #[arg(long)]
    follow: bool,
    /// From when, in UTC, or for how long back: 2026-11-21T08:30 or 2h
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Moment>,
    /// The lines as they are kept, one JSON object each
    #[arg(long)]
    json: bool,
}

fn since(text: &str) -> Result<Moment, String> {
    let ago = humantime::parse_duration(text).ok();
    let moment = ago.map(|ago| Moment::from(std::time::SystemTime::now()).before(ago)).or_else(|| Moment::parse(text));
    moment.ok_or_else(|| "expected a time in UTC such as 2026-11-21T08:30, or a duration such as 2h".into())
}

/// A journal that is read on.
struct Journal {
    path: PathBuf,
    read: u64,
}

impl Wants {
    /// Prints them.
    pub fn run(&self, config: &MemberConfig) -> Result<Exit> {
        let names = ["journal.jsonl.1", "journal.jsonl", "diagnosis.jsonl.1", "diagnosis.jsonl"];
        let mut journals: Vec<Journal> =
            names.map(|name| Journal { path: config.paths.state_dir.join(name), read: 0 }).into();
        self.print(&mut journals)?;
        // What was set aside does not grow.
        journals.retain(|j| j.path.extension().is_some_and(|e| e == "jsonl"));
        if !self.follow {
            return Ok(Exit::Done);
        }
        loop {
            std::thread::sleep(LOOK_EVERY);
            self.print(&mut journals)?;
        }
    }

    fn print(&self, journals: &mut [Journal]) -> Result<()> {
        let mut found: Vec<(Moment, String)> = Vec::new();
        for journal in journals {
            let lines = journal.new_lines().with_context(|| format!("read {}", journal.path.display()))?;
            for line in lines {
                let Some(event) = entry(&line).filter(|e| self.since.is_none_or(|since| e.at >= since)) else {
                    continue;
                };
                let shown = if self.json {
                    line
                } else {
                    let text: String = event.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
                    beside(&format!("{}  {:9}  ", event.at, event.mark.word()), &text)
                };
                found.push((event.at, shown));
            }
        }
        found.sort_by_key(|(at, _)| *at);
        let mut out = stdout().lock();
        for (_, line) in found {
            // Whoever reads may have gone away.
            if writeln!(out, "{line}").is_err() {
                std::process::exit(0);
            }
        }
        let _ = out.flush();
        Ok(())
    }
}

impl Journal {
    /// The whole lines that were added since the last look. One that was set aside meanwhile begins anew.
    fn new_lines(&mut self) -> std::io::Result<Vec<String>> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        if file.metadata()?.len() < self.read {
            self.read = 0;
        }
        file.seek(SeekFrom::Start(self.read))?;
        let mut reader = BufReader::new(file);
        let mut lines = Vec::new();
        loop {
            let mut line = Vec::new();
            let read = reader.read_until(b'\n', &mut line)?;
            if line.pop() != Some(b'\n') {
                return Ok(lines);
            }
            self.read += u64::try_from(read).unwrap_or_default();
            lines.push(String::from_utf8_lossy(&line).into_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s21_only_whole_and_new_lines_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let mut journal = Journal { path: path.clone(), read: 0 };
        assert!(journal.new_lines().unwrap().is_empty());
        std::fs::write(&path, "one\ntw").unwrap();
        assert_eq!(journal.new_lines().unwrap(), ["one"]);
        std::fs::write(&path, "one\ntwo\n").unwrap();
        assert_eq!(journal.new_lines().unwrap(), ["two"]);
        std::fs::write(&path, "new\n").unwrap();
        assert_eq!(journal.new_lines().unwrap(), ["new"], "it was set aside meanwhile");
    }
}
