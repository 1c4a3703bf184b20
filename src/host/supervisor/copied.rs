//! What a full copy brought is brought to disk. Its scripts write files that nobody syncs, but the storage engine its own:
//! a VM that goes down soon after would leave torn definitions of tables, with which a member is voted out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
/// Pause after something that could not be written.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// The copies that this supervisor saw, and whether the disk has them.
#[derive(Debug, Default)]
pub(super) struct Copies {
    /// How many. What becomes of a sync that was begun before the last one says nothing of that.
    number: u64,
    /// Whether a sync is under way: one at a time.
    syncing: bool,
    /// Whether a sync failed since the last copy began. The kernel tells that once, and counts what it could not write as
    /// written from then on: no later sync proves anything. Set by the thread that hears it, before anybody else can sync.
    failed: Arc<AtomicBool>,
    /// Nothing is tried before.
    not_before: Option<Instant>,
}

/// What is remembered once a sync has ended.
fn lesson(failed_before: bool, synced: &Result<Duration>) -> fn(&mut Memory) {
    if failed_before || synced.is_err() { Memory::not_on_disk } else { Memory::on_disk }
}

impl Supervising {
    /// A join begins: what it copies is another copy. A sync of the one before that still goes on may be the one that hears
    /// of a failure of this one.
    pub(super) fn copies_anew(&mut self) {
        let failed = if self.copies.syncing { Arc::clone(&self.copies.failed) } else { Arc::default() };
        self.copies = Copies { number: self.copies.number + 1, failed, ..Copies::default() };
    }

    /// A full copy writes, or has written.
    pub(super) fn copy_writes(&mut self) -> Result<()> {
        let known = if self.copies.failed.load(Ordering::Relaxed) { None } else { boot() };
        self.keep(|memory| memory.overwritten(known))
    }

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
            self.copy_writes()?;
        }
        Ok(())
    }

    /// Whether what a copy brought in this boot is complete, and not known to be on disk.
    fn must_sync(&self) -> bool {
        let memory = &self.memory;
        memory.copied.is_some() && memory.joining.is_none() && !memory.copy_may_be_torn(boot())
    }

    /// Syncs the disk once a copy is complete, whatever goes on meanwhile. It may take as long as the disk does, so nobody
    /// waits for it.
    pub(super) fn bring_to_disk(&mut self) {
        let early = self.copies.not_before.is_some_and(|at| Instant::now() < at);
        if self.copies.syncing || early || !self.must_sync() {
            return;
        }
        if self.copies.failed.load(Ordering::Relaxed) {
            // It could not be written down so far.
            self.remember_synced(Memory::not_on_disk);
            return;
        }
        self.copies.syncing = true;
        let (copy, failed) = (self.copies.number, Arc::clone(&self.copies.failed));
        let (data_dir, events) = (self.config.mariadb.data_dir.clone(), self.events.clone());
        std::thread::spawn(move || {
            let begun = Instant::now();
            let synced = sync_disk_of(&data_dir).map(|()| begun.elapsed());
            failed.fetch_or(synced.is_err(), Ordering::Relaxed);
            let _ = events.send(Event::OnDisk { copy, synced });
        });
    }

    /// A sync has ended, whatever the member is at by now.
    pub(super) fn brought_to_disk(&mut self, copy: u64, synced: &Result<Duration>) {
        if self.copies.number == copy {
            self.copies.syncing = false;
            self.synced(synced);
        }
    }

    fn synced(&mut self, synced: &Result<Duration>) {
        match synced {
            Ok(took) => log::info("data.on_disk", &[("after_ms", &took.as_millis())]),
            Err(e) => log::error("data.not_on_disk", &[("why", &format!("{e:#}"))]),
        }
        self.remember_synced(lesson(self.copies.failed.load(Ordering::Relaxed), synced));
    }

    fn remember_synced(&mut self, lesson: fn(&mut Memory)) {
        if let Err(e) = self.keep(lesson) {
            log::error("memory.not_kept", &[("why", &format!("{e:#}"))]);
            self.copies.not_before = Some(Instant::now() + AGAIN_AFTER);
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
            Ok(synced) => self.synced(&synced.map(|()| begun.elapsed())),
            // It goes on, and nobody hears how it ends.
            Err(e) => log::error("data.not_on_disk", &[("why", &format!("{e:#}"))]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::memory::Remembered;
    use crate::galera::uuid::Uuid;

    #[test]
    fn a_sync_that_failed_is_repaired_by_none() {
        let this = Uuid::from_u128(1);
        let failed = || Err(anyhow::anyhow!("EIO"));
        let well = || Ok(Duration::ZERO);
        for (failed_before, synced, copied) in
            [(false, well(), None), (false, failed(), Some(Uuid::NIL)), (true, well(), Some(Uuid::NIL))]
        {
            let mut memory: Memory = Remembered { copied: Some(this), ..Remembered::default() }.into();
            lesson(failed_before, &synced)(&mut memory);
            assert_eq!(memory.copied, copied, "{failed_before} {synced:?}");
            assert_eq!(memory.copy_may_be_torn(Some(this)), copied.is_some());
        }
    }
}
