//! A piece of work on a thread of its own whose end comes as an event.

use std::time::{Duration, Instant};

/// All such work is bounded by deadlines of its own, which together are shorter than this. One that has not ended by then
/// never will: its thread is lost, and the work is begun anew.
const LOST_AFTER: Duration = Duration::from_secs(90);

/// Whether such work is under way, and since when.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pending(Option<Instant>);

impl Pending {
    /// Whether it may begin now; then it is under way.
    pub(super) fn begin(&mut self) -> bool {
        let free = self.may_begin();
        if free {
            self.0 = Some(Instant::now());
        }
        free
    }

    /// The same, and nothing begins.
    pub(super) fn may_begin(&self) -> bool {
        self.0.is_none_or(|since| since.elapsed() > LOST_AFTER)
    }

    /// It has ended.
    pub(super) fn end(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    // B9: a thread that never comes back does not end all asking.
    fn b9_work_that_never_ends_is_begun_anew() {
        let mut pending = Pending::default();
        assert!(pending.begin());
        assert!(!pending.begin(), "one at a time");
        pending.end();
        assert!(pending.begin());
        let mut lost = Pending(Instant::now().checked_sub(LOST_AFTER + Duration::from_secs(1)));
        assert!(lost.begin() && !lost.begin());
    }
}
