//! What BOSH is about to do beyond a stop. It tells `pre-stop` by three variables, and not the drain, so that one
//! leaves them for the other.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::files::{read_if_there, remove_durably, write_atomically};
use crate::cluster::leave::Intent;
use crate::config::Paths;

/// Left by a `pre-stop` longer ago than this, it is of another stop that never came to its drain.
const FRESH: Duration = Duration::from_secs(3600);

/// The three variables; `keep` or `delete`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextState {
    /// `BOSH_VM_NEXT_STATE`
    pub vm: String,
    /// `BOSH_INSTANCE_NEXT_STATE`
    pub instance: String,
    /// `BOSH_DEPLOYMENT_NEXT_STATE`
    pub deployment: String,
}

impl NextState {
    /// As BOSH passes it.
    pub fn of_environment() -> NextState {
        let variable = |name: &str| std::env::var(name).unwrap_or_default();
        NextState {
            vm: variable("BOSH_VM_NEXT_STATE"),
            instance: variable("BOSH_INSTANCE_NEXT_STATE"),
            deployment: variable("BOSH_DEPLOYMENT_NEXT_STATE"),
        }
    }

    /// What that means for the gate. Whatever is not said is kept.
    pub fn intent(&self) -> Intent {
        Intent { deployment_deleted: self.deployment == "delete", instance_deleted: self.instance == "delete" }
    }

    /// Leaves it for the drain. On a tmpfs: after a reboot nothing of it is true.
    pub fn leave(&self, paths: &Paths) -> Result<()> {
        write_atomically(&path(paths), &serde_json::to_vec(self).context("write the next state")?, 0o640)
    }

    /// What `pre-stop` left. Nothing, or nothing that can be read, means: all is kept.
    pub fn left(paths: &Paths) -> NextState {
        let path = path(paths);
        let age = std::fs::metadata(&path).and_then(|m| m.modified()).ok().and_then(|at| at.elapsed().ok());
        let left = read_if_there(&path).ok().flatten().and_then(|text| serde_json::from_str(&text).ok());
        left.filter(|_| age.is_some_and(|age| age < FRESH)).unwrap_or_default()
    }

    /// The stop that it was left for is over, or does not come about.
    pub fn forget(paths: &Paths) {
        let _ = remove_durably(&path(paths));
    }
}

fn path(paths: &Paths) -> PathBuf {
    paths.run_dir.join("next-state.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q5_what_pre_stop_leaves_is_good_for_one_stop() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths {
            state_dir: dir.path().into(),
            run_dir: dir.path().into(),
            log_dir: dir.path().into(),
            tmp_dir: dir.path().into(),
            seed_file: dir.path().into(),
            private_files: Vec::new(),
            persistent_disk: None,
        };
        let scale_in = NextState { vm: "delete".into(), instance: "delete".into(), deployment: "keep".into() };
        scale_in.leave(&paths).unwrap();
        assert_eq!(NextState::left(&paths).intent(), Intent { deployment_deleted: false, instance_deleted: true });
        NextState::forget(&paths);
        assert_eq!(NextState::left(&paths), NextState::default());
        std::fs::write(path(&paths), "{").unwrap();
        assert_eq!(NextState::left(&paths).intent(), Intent::default());
    }
}
