//! The journal: what this member did and met, one JSON object a line, on the persistent disk.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};
use serde_json::{Value, json};

use super::files::rename_durably;
use crate::cluster::observation::Deaths;
use crate::galera::moment::Moment;
use crate::log;

/// Past this size the journal is set aside as `journal.jsonl.1`, which replaces an older one.
const LARGEST: u64 = 10 * 1024 * 1024;

/// The journal of one member.
#[derive(Debug, Clone)]
pub struct Journal {
    path: PathBuf,
}

impl Journal {
    /// The journal in this state directory.
    pub fn in_dir(state_dir: &Path) -> Journal {
        Journal { path: state_dir.join("journal.jsonl") }
    }

    /// What the agent met, beside it: two programs do not write, and set aside, one file.
    pub fn of_agent(state_dir: &Path) -> Journal {
        Journal { path: state_dir.join("diagnosis.jsonl") }
    }

    /// Appends an event and syncs it. A journal that cannot be written is told in the log, and stops
    /// nothing.
    pub fn record(&self, event: &str, details: Value) {
        if let Err(e) = self.append(event, &details) {
            log::warn("journal.failed", &[("event", &event), ("why", &format!("{e:#}"))]);
        }
    }

    /// How `mariadbd` ended lately, by the end of the journal; and when it died.
    pub fn deaths(&self, now: Moment) -> (Deaths, Vec<Moment>) {
        const HOUR: Duration = Duration::from_secs(3600);
        let (mut deaths, mut died) = (Deaths::default(), Vec::new());
        let tells = |line: &&str| ["\"mariadbd.", "\"view.changed\"", "\"leave\""].iter().any(|e| line.contains(e));
        for line in self.end().unwrap_or_default().lines().filter(tells) {
            let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
            let status = || event.pointer("/details/status").and_then(Value::as_str).map(str::to_owned);
            match event.get("event").and_then(Value::as_str) {
                Some("mariadbd.died") => {
                    deaths = Deaths { in_a_row: deaths.in_a_row + 1, last_end: status(), ..deaths };
                    died.extend(event.get("at").and_then(Value::as_str).and_then(Moment::parse));
                }
                Some("mariadbd.stopped") => deaths.last_end = status(),
                // Somebody stopped it, and is looking after it.
                Some("leave") => deaths.in_a_row = 0,
                Some("view.changed") if event.pointer("/details/state").is_some_and(|s| s == "Synced") => {
                    deaths.in_a_row = 0;
                }
                _ => {}
            }
        }
        let lately: Vec<Moment> = died.iter().copied().filter(|at| *at >= now.before(HOUR)).collect();
        deaths.last_hour = u32::try_from(lately.len()).unwrap_or(u32::MAX);
        deaths.within_seconds = lately.first().zip(lately.last()).map_or(0, |(first, last)| last.since(*first) / 1000);
        (deaths, died)
    }

    /// How long the last orderly end of the supervisor took, by the end of the journal.
    pub fn last_leave(&self) -> Option<Duration> {
        let (mut left, mut took) = (None, None);
        let tells = |line: &&str| ["\"mariadbd.stopped\"", "\"leave\""].iter().any(|e| line.contains(e));
        for line in self.end().unwrap_or_default().lines().filter(tells) {
            let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
            let at = event.get("at").and_then(Value::as_str).and_then(Moment::parse);
            match event.get("event").and_then(Value::as_str) {
                Some("leave") => left = at,
                Some("mariadbd.stopped") => {
                    let pair = left.take().zip(at);
                    took = pair.map(|(left, at)| Duration::from_millis(at.since(left))).or(took);
                }
                _ => {}
            }
        }
        took
    }

    fn end(&self) -> std::io::Result<String> {
        /// Some hundred events; more deaths than these hold are as many as these.
        const MOST: u64 = 64 * 1024;
        let mut file = File::open(&self.path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(MOST)))?;
        let mut bytes = Vec::new();
        file.take(MOST).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn is_full(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|m| m.len() > LARGEST)
    }

    /// Supervisor and agent both write: if both set it aside, the second would put a new one in the place of the old.
    fn set_aside(&self) -> Result<()> {
        let path = self.path.with_extension("lock");
        let file =
            OpenOptions::new().create(true).append(true).mode(0o640).open(path).context("open the journal's lock")?;
        let _locked = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, e)| e).context("lock the journal")?;
        if self.is_full() { rename_durably(&self.path, &self.path.with_extension("jsonl.1")) } else { Ok(()) }
    }

    fn append(&self, event: &str, details: &Value) -> Result<()> {
        if self.is_full() {
            self.set_aside()?;
        }
        let mut line = json!({ "at": log::now(), "event": event, "details": details }).to_string();
        line.push('\n');
        let mut file =
            OpenOptions::new().create(true).append(true).mode(0o640).open(&self.path).context("open journal")?;
        file.write_all(line.as_bytes()).and_then(|()| file.sync_data()).context("write journal")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    // S21
    fn s21_an_event_is_one_json_line() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::in_dir(dir.path());
        journal.record("x.y", json!({ "why": "two\nlines" }));
        journal.record("x.z", json!({}));
        let text = std::fs::read_to_string(dir.path().join("journal.jsonl")).unwrap();
        let events: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!((events.len(), &events[0]["event"]), (2, &json!("x.y")));
    }

    #[test]
    fn deaths_in_a_row_end_with_synced_or_a_stop() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::in_dir(dir.path());
        let deaths = || journal.deaths(Moment::now()).0;
        assert_eq!(deaths(), Deaths::default());
        std::fs::write(dir.path().join("journal.jsonl"), "torn\n").unwrap();
        let died = || journal.record("mariadbd.died", json!({ "status": "signal 6" }));
        let view = |state: &str| journal.record("view.changed", json!({ "state": state }));
        died();
        view("Synced");
        died();
        view("Initialized");
        died();
        assert_eq!(deaths().in_a_row, 2);
        assert_eq!(deaths().last_end, Some("signal 6".into()));
        journal.record("leave", json!({}));
        assert_eq!(deaths().in_a_row, 0);
    }

    #[test]
    fn t12_deaths_within_the_hour_are_counted_whatever_was_in_between() {
        let dir = tempfile::tempdir().unwrap();
        let line = |at: &str, event: &str| {
            format!("{{\"at\":\"{at}\",\"event\":\"{event}\",\"details\":{{\"state\":\"Synced\"}}}}\n")
        };
        let text: String = [
            line("2026-11-21T08:00:00.000Z", "mariadbd.died"),
            line("2026-11-21T09:10:00.000Z", "mariadbd.died"),
            line("2026-11-21T09:10:09.000Z", "view.changed"),
            line("2026-11-21T09:11:00.000Z", "mariadbd.died"),
            line("2026-11-21T09:12:30.000Z", "leave"),
        ]
        .concat();
        std::fs::write(dir.path().join("journal.jsonl"), text).unwrap();
        let journal = Journal::in_dir(dir.path());
        let (deaths, died) = journal.deaths(Moment::parse("2026-11-21T09:30:00Z").unwrap());
        assert_eq!((deaths.in_a_row, deaths.last_hour, deaths.within_seconds, died.len()), (0, 2, 60, 3));
        let (later, _) = journal.deaths(Moment::parse("2026-11-21T11:30:00Z").unwrap());
        assert_eq!((later.last_hour, later.within_seconds), (0, 0));
    }
}
