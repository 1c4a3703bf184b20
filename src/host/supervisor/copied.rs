//! What a full copy brought is brought to disk. Its scripts write files that nobody syncs, but the storage engine its own:
//! a VM that goes down soon after would leave torn definitions of tables, with which a member is voted out.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Event, Stage, Supervising};
use crate::cluster::memory::Memory;
use crate::galera::log_lines::full_copy_came;
use crate::galera::uuid::Uuid;
use crate::host::clock::boot_id;
use crate::host::files::sync_disk_of;
use crate::host::mariadbd;
use crate::log;

/// Pause after a sync that failed.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// The one sync at a time. It may take as long as the disk does, so nobody waits for it, and until it has ended the copy
/// counts as what may be torn.
#[derive(Debug, Default)]
pub(super) enum Syncing {
    #[default]
    NotNow,
    UnderWay,
    FailedAt(Instant),
}

impl Supervising {
    /// Whether the join that ends now was by a full copy, and in which boot of the VM.
    pub(super) fn copied_in(&self) -> Option<Uuid> {
        let (joining, Stage::Running(running)) = (self.memory.joining.as_ref()?, &self.stage) else { return None };
        let came = || full_copy_came(&mariadbd::error_log_since(&self.config, running.log_since));
        if joining.overwritten || came() { boot_id().parse().ok() } else { None }
    }

    /// Syncs the disk where what was copied is not known to be on it.
    pub(super) fn bring_to_disk(&mut self) {
        let Stage::Running(running) = &mut self.stage else { return };
        let due = match running.syncing {
            Syncing::NotNow => true,
            Syncing::UnderWay => false,
            Syncing::FailedAt(at) => at.elapsed() >= AGAIN_AFTER,
        };
        if self.memory.copied.is_none() || !due {
            return;
        }
        running.syncing = Syncing::UnderWay;
        let (pid, data_dir, events) = (running.child.pid(), self.config.mariadb.data_dir.clone(), self.events.clone());
        std::thread::spawn(move || {
            let begun = Instant::now();
            let synced = sync_disk_of(&data_dir).map(|()| begun.elapsed());
            let _ = events.send(Event::OnDisk { pid, synced });
        });
    }

    /// A sync that was begun in the life of this process has ended.
    pub(super) fn brought_to_disk(&mut self, pid: i32, synced: Result<Duration>) {
        let Stage::Running(running) = &mut self.stage else { return };
        // Of what a later life copied it says nothing.
        if running.child.pid() != pid {
            return;
        }
        running.syncing = Syncing::NotNow;
        let kept = synced.and_then(|took| self.keep(Memory::on_disk).map(|()| took));
        match kept {
            Ok(took) => log::info("data.on_disk", &[("after_ms", &took.as_millis())]),
            Err(e) => {
                log::error("data.not_on_disk", &[("why", &format!("{e:#}"))]);
                if let Stage::Running(running) = &mut self.stage {
                    running.syncing = Syncing::FailedAt(Instant::now());
                }
            }
        }
    }
}
