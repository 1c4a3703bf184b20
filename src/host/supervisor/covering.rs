//! The last line of defence, under all rules: before a state transfer may overwrite data of which it is not known that
//! the cluster has all of it, that data is set aside. A start in join mode takes the proof that this was seen to.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use serde_json::json;

use super::{Event, Stage, Supervising};
use crate::cluster::join::{GIVE_UP, MayJoin};
use crate::cluster::memory::Memory;
use crate::cluster::observation::KEPT;
use crate::host::datadir::DataDir;
use crate::host::observe::free_bytes;
use crate::log;

/// The cluster has all that the data directory has, or there is nothing in it.
pub(super) struct Covered(());

impl Supervising {
    /// Whether what is here may be overwritten. Where it is not known that the cluster has all of it, it is being set
    /// aside, and this member decides anew without it.
    pub(super) fn cover(&mut self, because: &MayJoin) -> Result<Option<Covered>> {
        if because.covered() {
            return Ok(Some(Covered(())));
        }
        log::warn("data.to_be_kept", &[("why", because)]);
        self.enter(Stage::Preparing);
        let (config, events) = (Arc::clone(&self.config), self.events.clone());
        std::thread::spawn(move || {
            let datadir = DataDir::at(&config.mariadb.data_dir);
            let aside = set_aside(&datadir, free_bytes(&config.paths.state_dir).unwrap_or_default());
            let _ = events.send(Event::SetAside(aside));
        });
        Ok(None)
    }

    /// The data is aside, and the member begins without any; or it stays, and why.
    pub(super) fn data_set_aside(&mut self, aside: Result<PathBuf>) -> Result<()> {
        match aside {
            Ok(path) => {
                log::warn("data.kept_aside", &[("position", &self.standing), ("data", &path.display())]);
                self.journal.record("data.kept_aside", json!({ "standing": self.standing, "kept_as": path }));
                self.keep(Memory::abandon)?;
                self.prepare();
            }
            Err(e) => {
                let why = format!("{e:#}");
                self.wait(&format!("refuse to join: {why}"));
                if let Stage::Waiting { refused, next, .. } = &mut self.stage {
                    *refused = Some(why.clone());
                    // A person makes room; nothing else changes it.
                    *next += super::RECOVER_EVERY;
                }
                log::warn("data.not_kept", &[("why", &why)]);
            }
        }
        Ok(())
    }
}

fn set_aside(datadir: &DataDir, free: u64) -> Result<PathBuf> {
    let size = datadir.size()?;
    // A copy of the cluster's data is about as large as this one.
    anyhow::ensure!(
        free > size + size / 10,
        "this member's data is kept aside before a full copy replaces it, since it is not known that the cluster has all \
         of it; it takes {} MiB, and {} MiB are free. Make room; or give it up without keeping it: `{GIVE_UP} --delete`",
        size >> 20,
        free >> 20
    );
    datadir.set_aside(&format!("{KEPT}{}", log::now().replace([':', '.'], "-")))
}
