//! Whether a directory takes a write, found out by one.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Writes a small file from time to time, on a thread that may hang with the disk: a frozen or very slow disk is
/// invisible to Galera, and stalls the whole cluster; a full one lets statements fail that need a file.
#[derive(Debug, Default)]
pub struct DiskProbe {
    /// Whether what is written is synced too, as each commit is.
    sync: bool,
    state: Mutex<ProbeState>,
}

#[derive(Debug, Default)]
struct ProbeState {
    running: Option<Instant>,
    last: Option<(Instant, u64)>,
    failed: Option<String>,
    /// Since when something has been wrong.
    since: Option<Instant>,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probed {
    /// How long the last write took; none while one hangs.
    pub milliseconds: Option<u64>,
    /// What is wrong, and where, in words.
    pub fault: Option<String>,
    /// For how many seconds.
    pub seconds: u64,
}

impl DiskProbe {
    /// Every so often; a sync each second would be load of our own making.
    const EVERY: Duration = Duration::from_secs(5);

    /// One that syncs what it writes.
    pub fn synced() -> DiskProbe {
        DiskProbe { sync: true, state: Mutex::default() }
    }

    /// What is known, and another write where one is due.
    pub fn ask(self: &Arc<DiskProbe>, dir: &Path) -> Probed {
        let Ok(mut state) = self.state.lock() else { return Probed::default() };
        let due = state.last.is_none_or(|(at, _)| at.elapsed() > DiskProbe::EVERY);
        if due && state.running.is_none() {
            let (probe, dir) = (Arc::clone(self), dir.to_owned());
            let spawned = std::thread::Builder::new().name("disk".into()).spawn(move || probe.write(&dir));
            state.running = spawned.is_ok().then(Instant::now);
        }
        let stale = state.last.is_some_and(|(at, _)| at.elapsed() > 3 * DiskProbe::EVERY);
        let hangs = state.running.map(|since| since.elapsed()).filter(|hung| *hung > 2 * DiskProbe::EVERY);
        let fault = hangs.map(|hung| format!("a small write has been hanging for {} s", hung.as_secs()));
        let fault = fault.or_else(|| state.failed.clone()).map(|what| format!("{}: {what}", dir.display()));
        state.since = fault.as_ref().map(|_| state.since.unwrap_or_else(Instant::now));
        Probed {
            milliseconds: state.last.filter(|_| !stale).map(|(_, took)| took),
            fault,
            seconds: state.since.map_or(0, |since| since.elapsed().as_secs()),
        }
    }

    fn write(&self, dir: &Path) {
        /// More than what a file system that is full finds room for all the same.
        const PROBE: [u8; 16 * 1024] = [0x70; 16 * 1024];
        let begun = Instant::now();
        let sync = |file: &std::fs::File| if self.sync { file.sync_all() } else { Ok(()) };
        let written = tempfile::tempfile_in(dir).and_then(|mut f| f.write_all(&PROBE).and_then(|()| sync(&f)));
        if let Ok(mut state) = self.state.lock() {
            state.running = None;
            let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            state.failed = written.as_ref().err().map(|e| format!("a small write fails: {e}"));
            state.last = written.ok().map(|()| (Instant::now(), took));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s19_t13_a_directory_that_takes_no_write_is_told_by_its_path() {
        let nowhere = Path::new("/nowhere/at/all");
        let probe = Arc::new(DiskProbe::default());
        probe.write(nowhere);
        let found = probe.ask(nowhere);
        assert_eq!(found.milliseconds, None);
        assert!(found.fault.is_some_and(|f| f.starts_with("/nowhere/at/all: a small write fails")));
        let dir = tempfile::tempdir().unwrap();
        let probe = Arc::new(DiskProbe::synced());
        probe.write(dir.path());
        let found = probe.ask(dir.path());
        assert!(found.milliseconds.is_some() && found.fault.is_none());
    }
}
