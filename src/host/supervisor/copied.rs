//! What a full copy brought is brought to disk. Its scripts write files that nobody syncs, but the storage engine its own:
//! a VM that goes down soon after would leave torn definitions of tables, with which a member is voted out.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{Event, Stage, Supervising};
use crate::cluster::memory::Memory;
use crate::galera::log_lines::full_copy_came;
use crate::host::clock::boot;
use crate::host::files::sync_disk_of;
use crate::host::mariadbd;
use crate::log;

/// How long a member that leaves waits for the disk, beside what is left of its own limit.
const AT_THE_END: Duration = Duration::from_secs(30);

impl Supervising {
    /// A copy that was too quick to be seen to write is in the log.
    pub(super) fn notice_copy(&mut self) -> Result<()> {
        match &self.stage {
            Stage::Running(running) => self.notice_copy_since(running.log_since),
            _ => Ok(()),
        }
    }

    /// The same of the life whose lines begin there.
    pub(super) fn notice_copy_since(&mut self, log_since: u64) -> Result<()> {
        if self.memory.joining.is_some() && full_copy_came(&mariadbd::error_log_since(&self.config, log_since)) {
            self.keep(|memory| memory.overwritten(boot()))?;
        }
        Ok(())
    }

    /// Whether what was copied in this boot is not known to be on disk.
    fn must_sync(&self) -> bool {
        self.memory.copied.is_some() && !self.memory.copy_may_be_torn(boot())
    }

    /// Syncs the disk once the copy is complete. It may take as long as the disk does, so nobody waits for it; one at a time.
    pub(super) fn bring_to_disk(&mut self) {
        let due = self.must_sync() && self.memory.joining.is_none();
        let Stage::Running(running) = &mut self.stage else { return };
        if !due || std::mem::replace(&mut running.syncing, true) {
            return;
        }
        let (pid, data_dir, events) = (running.child.pid(), self.config.mariadb.data_dir.clone(), self.events.clone());
        std::thread::spawn(move || {
            let begun = Instant::now();
            let synced = sync_disk_of(&data_dir).map(|()| begun.elapsed());
            let _ = events.send(Event::OnDisk { pid, synced });
        });
    }

    /// A sync that was begun in the life of this process has ended. Of what a later life copied it says nothing.
    pub(super) fn brought_to_disk(&mut self, pid: i32, synced: Result<Duration>) {
        match &mut self.stage {
            Stage::Running(running) if running.child.pid() == pid => running.syncing = false,
            Stage::Stopping(stopping) if stopping.child.pid() == pid => {}
            _ => return,
        }
        self.synced(synced);
    }

    fn synced(&mut self, synced: Result<Duration>) {
        let kept = match synced {
            Ok(took) => {
                log::info("data.on_disk", &[("after_ms", &took.as_millis())]);
                self.keep(Memory::on_disk)
            }
            // The kernel tells a failure once, and counts what it could not write as written: no later sync proves anything.
            Err(e) => {
                log::error("data.not_on_disk", &[("why", &format!("{e:#}"))]);
                self.keep(Memory::not_on_disk)
            }
        };
        if let Err(e) = kept {
            // Looked at again with the next look: what is not written down counts as not on disk.
            log::error("memory.not_kept", &[("why", &format!("{e:#}"))]);
        }
    }

    /// A member that leaves may be on a disk that is taken to another VM in a moment, and be the one to go on from.
    pub(super) fn bring_to_disk_at_the_end(&mut self, deadline: Instant) {
        if !self.must_sync() {
            return;
        }
        let limit = deadline.saturating_duration_since(Instant::now()).min(AT_THE_END);
        let (data_dir, begun) = (self.config.mariadb.data_dir.clone(), Instant::now());
        let (done, wait) = mpsc::channel();
        std::thread::spawn(move || {
            let _ = done.send(sync_disk_of(&data_dir));
        });
        match wait.recv_timeout(limit).context("it has not ended in time") {
            Ok(synced) => self.synced(synced.map(|()| begun.elapsed())),
            // It goes on, and nobody hears how it ends.
            Err(e) => log::error("data.not_on_disk", &[("why", &format!("{e:#}"))]),
        }
    }
}
