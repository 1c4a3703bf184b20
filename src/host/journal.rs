//! The journal: what this member did and met, one JSON object a line, on the persistent disk.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::files::rename_durably;
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

    /// Appends an event and syncs it. A journal that cannot be written is told in the log, and stops
    /// nothing.
    pub fn record(&self, event: &str, details: Value) {
        if let Err(e) = self.append(event, &details) {
            log::warn("journal.failed", &[("event", &event), ("why", &format!("{e:#}"))]);
        }
    }

    fn append(&self, event: &str, details: &Value) -> Result<()> {
        if std::fs::metadata(&self.path).is_ok_and(|m| m.len() > LARGEST) {
            rename_durably(&self.path, &self.path.with_extension("jsonl.1"))?;
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
    fn s21_an_event_is_one_json_line() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::in_dir(dir.path());
        journal.record("x.y", json!({ "why": "two\nlines" }));
        journal.record("x.z", json!({}));
        let text = std::fs::read_to_string(dir.path().join("journal.jsonl")).unwrap();
        let events: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!((events.len(), &events[0]["event"]), (2, &json!("x.y")));
    }
}
