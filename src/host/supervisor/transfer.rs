//! A full copy that comes in: judged by what arrives, never by how long it takes.

use std::time::{Duration, Instant};

use super::{Stage, Supervising};
use crate::cluster::observation::Standstill;
use crate::galera::log_lines::donor_found;
use crate::host::{mariadbd, processes};

/// What has arrived so far, and since when it is that much.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transfer {
    written: u64,
    since: Instant,
}

impl Transfer {
    /// After another look: none where no transfer runs (`written`), or where no donor was found for it yet.
    pub(super) fn after(before: Option<Transfer>, written: Option<u64>, donor: bool) -> Option<Transfer> {
        let written = written.filter(|_| donor)?;
        before.filter(|t| t.written == written).or(Some(Transfer { written, since: Instant::now() }))
    }

    /// Whether it has stood still for so long that nothing more is to be hoped for.
    pub(super) fn is_over(&self, limit: Duration) -> bool {
        self.since.elapsed() > limit
    }

    /// What is published of it.
    pub(super) fn standstill(&self, limit: Duration) -> Standstill {
        Standstill { seconds: self.since.elapsed().as_secs(), limit: limit.as_secs() }
    }
}

impl Supervising {
    /// Whether more has arrived of a full copy.
    pub(super) fn look_at_transfer(&mut self) {
        let Stage::Running(running) = &mut self.stage else { return };
        let written = processes::transferred(running.child.pid()).filter(|_| !running.sql_was_open);
        let donor = written.is_some() && donor_found(&mariadbd::error_log_since(&self.config, running.log_since));
        running.transfer = Transfer::after(running.transfer, written, donor);
    }

    /// What is published of a full copy that comes in.
    pub(super) fn standstill(&self) -> Option<Standstill> {
        match &self.stage {
            Stage::Running(running) => Some(running.transfer?.standstill(self.config.timeouts.join_stall)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_arrives_is_progress_and_the_wait_for_a_donor_is_no_standstill() {
        let begun = Instant::now() - Duration::from_secs(60);
        let before = Some(Transfer { written: 9, since: begun });
        for (before, written, donor, seconds, why) in [
            (before, Some(9), true, Some(60), "nothing came"),
            (before, Some(10), true, Some(0), "something came"),
            (before, None, true, None, "it is over"),
            (before, Some(9), false, None, "all donors are busy"),
            (None, Some(0), true, Some(0), "it begins"),
        ] {
            let after = Transfer::after(before, written, donor);
            assert_eq!(after.map(|t| t.standstill(Duration::from_secs(60)).seconds), seconds, "{why}");
        }
        assert!(before.is_some_and(|t| t.is_over(Duration::from_secs(59)) && !t.is_over(Duration::from_secs(61))));
    }
}
