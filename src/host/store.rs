//! What a member remembers outside the data directory: memory, hold, and how the last order ended.
//!
//! Each is one versioned JSON file, written atomically. A file that cannot be read is never taken for
//! an absent one: the memory is then [`Memory::damaged`], and nothing is bootstrapped from here.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::clock::Uptime;
use super::files::{read_if_there, remove_durably, rename_durably, write_atomically};
use crate::cluster::hold::{Hold, Outcome};
use crate::cluster::maintenance::{Kept, Notices};
use crate::cluster::memory::Memory;

/// What a member remembers.
const MEMORY: &str = "memory.json";
/// The same before its last change.
const EARLIER: &str = "memory.json.earlier";
/// The version of the files' format.
const VERSION: u32 = 1;

/// The state directory.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Versioned<T> {
    version: u32,
    content: T,
}

/// A hold as it lies on disk, with the moment to count from.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HoldFile {
    hold: Hold,
    granted: Uptime,
}

impl Store {
    /// The store in this directory.
    pub fn in_dir(dir: impl Into<PathBuf>) -> Store {
        Store { dir: dir.into() }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What this member remembers.
    pub fn memory(&self) -> Memory {
        match self.read::<Memory>(MEMORY) {
            Ok(memory) => memory.unwrap_or_default(),
            Err(e) => Memory::torn(format!("{e:#}")),
        }
    }

    /// What it remembered before the last change, where that can be read: what is past stays so.
    pub fn earlier_memory(&self) -> Option<Memory> {
        self.read::<Memory>(EARLIER).ok().flatten()
    }

    /// Keeps what this member remembers. A damaged memory is never written over: it says that
    /// something was lost.
    pub fn keep_memory(&self, memory: &Memory) -> Result<()> {
        if let Some(damage) = &memory.damaged {
            anyhow::bail!("what this member remembers is damaged and is not written over: {damage}");
        }
        match self.read::<Memory>(MEMORY) {
            // A second copy, one change older: should a disk spoil the first, it still tells of the past.
            Ok(Some(before)) => self.write(EARLIER, &before)?,
            Ok(None) => {}
            Err(_) => self.set_damaged_memory_aside()?,
        }
        self.write(MEMORY, memory)
    }

    /// Sets a memory that cannot be read aside, and keeps it; what it told of is over, as a person decided.
    pub fn set_damaged_memory_aside(&self) -> Result<()> {
        match self.memory().damaged {
            None => Ok(()),
            Some(_) => rename_durably(&self.dir.join(MEMORY), &self.dir.join("memory.json.damaged")),
        }
    }

    /// The hold that was granted, with the seconds that are left at `now`; none if it has ended. A wall clock says
    /// nothing about that: it may be set at any boot. A hold from before the VM was restarted has all of its time again,
    /// since whoever holds still counts on it.
    pub fn hold(&self, now: &Uptime) -> Result<Option<Hold>> {
        let Some(file) = self.read::<HoldFile>("hold.json")? else {
            return Ok(None);
        };
        let left = file.hold.seconds.saturating_sub(now.since(&file.granted).unwrap_or_default());
        Ok((left > 0).then_some(Hold { seconds: left, ..file.hold }))
    }

    /// Keeps a hold that counts from `now`.
    pub fn keep_hold(&self, hold: &Hold, now: Uptime) -> Result<()> {
        self.write("hold.json", HoldFile { hold: hold.clone(), granted: now })
    }

    /// Forgets the hold.
    pub fn drop_hold(&self) -> Result<()> {
        remove_durably(&self.dir.join("hold.json"))
    }

    /// What this member keeps of maintenance, read at `now` (seconds since the epoch).
    pub fn maintenance(&self, now: u64) -> Kept {
        match self.read::<Notices>("maintenance.json") {
            Ok(notices) => Kept { notices: notices.unwrap_or_default(), unreadable: None, now },
            Err(e) => Kept { notices: Notices::default(), unreadable: Some(format!("{e:#}")), now },
        }
    }

    /// Keeps notices of maintenance.
    pub fn keep_maintenance(&self, notices: &Notices) -> Result<()> {
        self.write("maintenance.json", notices)
    }

    /// Sets notices that cannot be read aside, as a person decided.
    pub fn set_unreadable_maintenance_aside(&self) -> Result<()> {
        rename_durably(&self.dir.join("maintenance.json"), &self.dir.join("maintenance.json.damaged"))
    }

    /// How the last order ended.
    pub fn outcome(&self) -> Option<Outcome> {
        self.read("outcome.json").ok().flatten()
    }

    /// Keeps how an order ended.
    pub fn keep_outcome(&self, outcome: &Outcome) -> Result<()> {
        self.write("outcome.json", outcome)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let path = self.dir.join(name);
        let Some(text) = read_if_there(&path).with_context(|| format!("read {}", path.display()))? else {
            return Ok(None);
        };
        let file: Versioned<T> =
            serde_json::from_str(&text).with_context(|| format!("{} is torn or not ours", path.display()))?;
        anyhow::ensure!(
            file.version == VERSION,
            "{} has format {}, this program knows {VERSION}",
            path.display(),
            file.version
        );
        Ok(Some(file.content))
    }

    fn write<T: Serialize>(&self, name: &str, content: T) -> Result<()> {
        let text = serde_json::to_vec_pretty(&Versioned { version: VERSION, content })?;
        write_atomically(&self.dir.join(name), &text, 0o640)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::in_dir(temp.path());
        (temp, store)
    }

    #[test]
    fn memory_survives_and_a_torn_file_is_damage_not_a_new_member() {
        let (temp, store) = store();
        assert_eq!(store.memory(), Memory::default());
        let mut memory = Memory::default();
        memory.stood("746e46f3-8f76-11e7-9c1c-a220eabab4ba:9".parse().unwrap());
        store.keep_memory(&memory).unwrap();
        assert_eq!(store.memory(), memory);
        let path = temp.path().join(MEMORY);
        let whole = std::fs::read(&path).unwrap();
        for torn in [&b""[..], &whole[..whole.len() / 2], b"{\"version\": 2, \"content\": {}}"] {
            std::fs::write(&path, torn).unwrap();
            let memory = store.memory();
            assert!(memory.damaged.is_some() && memory.knows_a_cluster());
            assert!(store.keep_memory(&memory).is_err(), "damage is not written over");
        }
        store.set_damaged_memory_aside().unwrap();
        assert_eq!(store.memory(), Memory::default());
        assert!(temp.path().join("memory.json.damaged").exists(), "and is kept");
    }

    #[test]
    fn h1_notices_survive_and_a_file_that_cannot_be_read_is_not_taken_for_none() {
        use crate::cluster::maintenance::{Mode, Scope};
        use crate::cluster::situation::maintained;

        let (temp, store) = store();
        let over = |store: &Store| Mode::kept_by("mysql/0", &store.maintenance(5)).over("mysql/0");
        assert_eq!(over(&store), None, "a first boot: never set");
        let notices = Notices::from(vec![maintained(Scope::Cluster, 1)]);
        store.keep_maintenance(&notices).unwrap();
        assert_eq!(store.maintenance(5), Kept { notices, unreadable: None, now: 5 });
        let path = temp.path().join("maintenance.json");
        let whole = std::fs::read(&path).unwrap();
        for torn in [&b""[..], &whole[..whole.len() / 2], b"{\"version\": 2, \"content\": []}"] {
            std::fs::write(&path, torn).unwrap();
            let why = over(&store).unwrap();
            assert!(why.contains("mysql/0") && why.contains("counts as on"), "{why}");
        }
        store.set_unreadable_maintenance_aside().unwrap();
        assert_eq!(over(&store), None);
        assert!(temp.path().join("maintenance.json.damaged").exists(), "and is kept");
    }

    #[test]
    // A13: only the VM's own time since its boot counts.
    fn a13_a_hold_ends_by_itself_whatever_the_wall_clock_says() {
        let (_temp, store) = store();
        let hold = Hold {
            order: crate::galera::uuid::Uuid::from_u128(1),
            owner: "o".into(),
            reason: "r".into(),
            seconds: 60,
            bootstrapped: false,
            started: false,
        };
        let at = |boot: &str, seconds| Uptime { boot: boot.into(), seconds };
        store.keep_hold(&hold, at("a", 1000)).unwrap();
        for (now, left, why) in [
            (at("a", 1010), Some(50), "ten seconds later"),
            (at("a", 1060), None, "its time is over"),
            (at("b", 3), Some(60), "the VM was restarted: whoever holds may count on it still"),
            (at("b", 100_000), Some(60), "however long ago that seems"),
        ] {
            assert_eq!(store.hold(&now).unwrap().map(|h| h.seconds), left, "{why}");
        }
        store.drop_hold().unwrap();
        assert_eq!(store.hold(&at("a", 1010)).unwrap(), None);
    }

    #[test]
    // B5: what a spoiled memory told of the past is in the copy before it.
    fn b5_an_earlier_memory_is_kept_beside() {
        let (temp, store) = store();
        assert!(store.earlier_memory().is_none());
        let mut memory = Memory::default();
        for seqno in [9, 10] {
            memory.stood(crate::cluster::situation::at(seqno));
            store.keep_memory(&memory).unwrap();
        }
        std::fs::write(temp.path().join(MEMORY), "").unwrap();
        assert_eq!(store.earlier_memory().unwrap().last_position, Some(crate::cluster::situation::at(9)));
    }
}
