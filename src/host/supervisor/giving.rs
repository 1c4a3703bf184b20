//! A state transfer out of this member: one of which nothing is sent any more holds a donor, which is desynced as long.
//! Its joiner gives it up by itself, and with it the script here; where the joiner is gone without a word, TCP takes a
//! quarter of an hour to notice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Stage, Supervising};
use crate::cluster::maintenance::{Act, keeps_from};
use crate::cluster::observation::Standstill;
use crate::galera::wsrep::LocalState;
use crate::host::processes;
use crate::log;

/// How far the programs that send have come, by process.
pub(super) type Sent = BTreeMap<(i32, u64), u64>;

/// Since when nothing more of it was sent, where there is one.
#[derive(Debug, Default)]
pub(super) struct Giving {
    sent: Sent,
    since: Option<Instant>,
}

impl Giving {
    /// After another look; `sent` where a script of a donor runs.
    pub(super) fn look(&mut self, sent: Option<Sent>, now: Instant) {
        let Some(sent) = sent else {
            *self = Giving::default();
            return;
        };
        // A process that is new has sent nothing yet that would not be seen at the next look.
        let further = sent.iter().any(|(process, bytes)| self.sent.get(process).is_some_and(|before| before < bytes));
        self.since = Some(self.since.filter(|_| !further).unwrap_or(now));
        self.sent = sent;
    }

    /// What is published of it.
    pub(super) fn standstill(&self, limit: Duration, now: Instant) -> Option<Standstill> {
        let seconds = now.saturating_duration_since(self.since?).as_secs();
        Some(Standstill { seconds, limit: limit.as_secs(), full: None })
    }

    fn is_over(&self, limit: Duration, now: Instant) -> bool {
        self.since.is_some_and(|since| now.saturating_duration_since(since) > limit)
    }
}

impl Supervising {
    /// How long nothing may be sent: longer than the joiner waits, which tells both sides more than an end from here.
    pub(super) fn giving_limit(&self) -> Duration {
        let stall = self.config.timeouts.join_stall;
        stall + stall / 4
    }

    /// Looks after a transfer out of this member.
    pub(super) fn look_at_giving(&mut self) {
        let limit = self.giving_limit();
        let Stage::Running(running) = &mut self.stage else { return };
        let donor = running.last.as_ref().is_some_and(|w| w.local_state == LocalState::Donor);
        let pid = running.child.pid();
        running.giving.look(if donor { processes::given(pid) } else { None }, Instant::now());
        if !running.giving.is_over(limit, Instant::now()) {
            return;
        }
        if keeps_from(Act::GiveUp, &self.own_observation(), &[]).is_some() {
            return;
        }
        let scripts = processes::end_giving(pid);
        let why =
            format!("nothing of the state transfer was sent for {} s; its joiner is gone, or hangs", limit.as_secs());
        log::warn("transfer.given_up", &[("scripts", &scripts), ("why", &why)]);
        self.journal.record("transfer.given_up", json!({ "why": why }));
        if let Stage::Running(running) = &mut self.stage {
            running.giving = Giving::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t8_a_donor_that_sends_nothing_any_more_is_known_by_what_its_programs_move() {
        let sent = |pairs: &[(i32, u64)]| Some(pairs.iter().map(|(pid, bytes)| ((*pid, 1), *bytes)).collect::<Sent>());
        let limit = Duration::from_secs(25);
        for (looks, at, over, why) in [
            (vec![(0, sent(&[(7, 10)])), (20, sent(&[(7, 10)]))], 26, true, "nothing"),
            (vec![(0, sent(&[(7, 10)])), (20, sent(&[(7, 11)]))], 44, false, "something, and not long ago"),
            (vec![(0, sent(&[(7, 10)])), (20, sent(&[(7, 11)]))], 46, true, "something, and long ago"),
            (vec![(0, sent(&[])), (20, sent(&[(8, 900)]))], 26, true, "what is new has yet to move"),
            (vec![(0, sent(&[(7, 10)])), (20, None)], 60, false, "it is over"),
            (vec![(0, None)], 60, false, "there is none"),
        ] {
            let (begun, mut giving) = (Instant::now(), Giving::default());
            for (second, sent) in looks {
                giving.look(sent, begun + Duration::from_secs(second));
            }
            assert_eq!(giving.is_over(limit, begun + Duration::from_secs(at)), over, "{why}");
        }
    }
}
