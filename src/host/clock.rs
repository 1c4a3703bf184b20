//! Clocks for what must outlive a process: the wall clock, which may jump, so that whoever reads it must bear that; and
//! the time since this boot of the VM, which does not.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::galera::uuid::Uuid;

/// Seconds since the epoch.
pub fn seconds_since_epoch() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|d| d.as_secs()).unwrap_or_default()
}

/// A moment of one boot of the VM. Moments of two boots cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uptime {
    /// The kernel's boot id.
    pub boot: String,
    /// Seconds since then.
    pub seconds: u64,
}

impl Uptime {
    /// Now.
    pub fn now() -> Uptime {
        let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
        let seconds = uptime.split(['.', ' ']).next().and_then(|s| s.parse().ok()).unwrap_or_default();
        Uptime { boot: boot_id(), seconds }
    }

    /// For how many seconds it has been since an earlier moment; none where the VM was restarted since.
    pub fn since(&self, earlier: &Uptime) -> Option<u64> {
        (!self.boot.is_empty() && self.boot == earlier.boot).then(|| self.seconds.saturating_sub(earlier.seconds))
    }
}

/// The boot of the VM, where it is known.
pub fn boot() -> Option<Uuid> {
    boot_id().parse().ok()
}

/// What tells one boot of the VM from any other.
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}
