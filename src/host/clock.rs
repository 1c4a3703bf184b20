//! The wall clock, for what must outlive a process. It may jump; whoever reads it must bear that.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since the epoch.
pub fn seconds_since_epoch() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|d| d.as_secs()).unwrap_or_default()
}
