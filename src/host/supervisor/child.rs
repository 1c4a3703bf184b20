//! The `mariadbd` that a supervisor owns: its own child, or one that it adopted.

use std::process::Child;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Event;
use crate::host::mariadbd::passed_on;
use crate::host::processes::Handle;

/// How a `mariadbd` ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ended {
    /// The exit code to pass on; 1 where the status is not ours to read.
    pub(super) code: u8,
    /// The same in words.
    pub(super) text: String,
}

/// A running `mariadbd`.
#[derive(Debug, Clone)]
pub(super) struct ChildHandle {
    process: Handle,
    since: Instant,
}

impl ChildHandle {
    /// Watches a child of ours; its end comes as an event, exactly once.
    pub(super) fn owned(mut child: Child, events: Sender<Event>) -> Result<ChildHandle> {
        let pid = i32::try_from(child.id()).context("process number")?;
        // A child that ended already is a zombie, and has no handle; waiting for it tells how it ended.
        let process = Handle::of(pid);
        std::thread::Builder::new().name("child".into()).spawn(move || {
            let ended = match child.wait() {
                Ok(status) => Ended { code: passed_on(status), text: status.to_string() },
                Err(e) => Ended { code: 1, text: format!("unknown status: {e}") },
            };
            let _ = events.send(Event::Ended(ended));
        })?;
        let process = process.with_context(|| format!("mariadbd (process {pid}) ended at once"))?;
        Ok(ChildHandle { process, since: Instant::now() })
    }

    /// Watches a process that is not our child.
    pub(super) fn adopted(process: Handle, events: Sender<Event>) -> Result<ChildHandle> {
        std::thread::Builder::new().name("adopted".into()).spawn(move || {
            while process.lives() {
                std::thread::sleep(Duration::from_millis(100));
            }
            let _ =
                events.send(Event::Ended(Ended { code: 1, text: "it was adopted, so its status is not known".into() }));
        })?;
        Ok(ChildHandle { process, since: Instant::now() })
    }

    pub(super) fn pid(&self) -> i32 {
        self.process.pid
    }

    pub(super) fn process(&self) -> Handle {
        self.process
    }

    pub(super) fn age(&self) -> Duration {
        self.since.elapsed()
    }
}
