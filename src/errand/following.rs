//! Following another run of the errand, which leads.

use std::time::Duration;

use anyhow::Result;

use super::hold::{Leader, leader_of, supervisor};
use super::{Errand, Verdict};
use crate::cli::Exit;
use crate::cluster::observation::MemberView;

/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What came of following.
pub(super) enum Followed {
    /// It ended, and told how.
    Ended(Verdict),
    /// Its holds ended and nobody knows how it ended: it died.
    LeaderGone,
}

/// The run of the errand that leads, by the first member that one holds.
pub(super) fn leader(views: &[MemberView]) -> Option<Leader> {
    views.iter().find_map(leader_of)
}

impl Errand {
    /// Waits for the end of the leader's run. Bounded by the leader's holds, which end by themselves.
    pub(super) fn follow(&mut self, leader: &Leader) -> Result<Followed> {
        self.progress.line(&format!("{} (order {}) leads; following it", leader.owner, leader.order));
        loop {
            let views = self.look();
            let outcome = views
                .iter()
                .filter_map(supervisor)
                .find_map(|s| s.last_outcome.clone().filter(|o| o.order == leader.order));
            let held = views.iter().filter_map(leader_of).any(|l| l == *leader);
            match (outcome, held) {
                (Some(outcome), false) => {
                    let exit = match outcome.exit {
                        0 => Exit::Done,
                        3 => Exit::Refused,
                        _ => Exit::Failed,
                    };
                    return Ok(Followed::Ended(Verdict {
                        exit,
                        vetoed: false,
                        text: format!("{} ended: {}", leader.owner, outcome.text),
                    }));
                }
                (None, false) => {
                    self.progress.line(&format!("{} is gone and left no result; starting over", leader.owner));
                    return Ok(Followed::LeaderGone);
                }
                (_, true) => std::thread::sleep(LOOK_EVERY),
            }
        }
    }
}
