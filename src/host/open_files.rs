//! How many files a process may have open.

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::log;

/// Allows so many open files; what is started afterwards inherits it. Where the limit cannot be raised as far as
/// wanted (containers), what there is must do: `mariadbd` and HAProxy adjust themselves, and that is told.
pub fn allow(wanted: u64) -> Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("read the limit of open files")?;
    if hard < wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted).is_ok() {
        return Ok(());
    }
    if hard < wanted {
        log::warn("start.open_files", &[("wanted", &wanted), ("limit", &hard)]);
    }
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(wanted.min(hard)), hard).context("set the limit of open files")
}
