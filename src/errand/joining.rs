//! Joining the others, once one member is primary.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Errand;
use super::hold::Held;
use super::steps::{doing, synced};
use crate::agent::api::{self, StartBody};
use crate::cluster::member::Member;
use crate::cluster::observation::MemberView;
use crate::cluster::standing::Standing;

/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// So often a start of `mariadbd` counts as progress; what is begun again and again leads nowhere.
const STARTS: u32 = 3;

/// How far a joiner has come, and since when.
#[derive(Debug, Clone, Copy)]
struct Progress {
    pid: Option<i32>,
    work: u64,
    starts: u32,
    since: Instant,
}

impl Progress {
    /// After another look at its `mariadbd` (process and work), if there is one.
    fn after(before: Option<Progress>, child: Option<(i32, u64)>, now: Instant) -> Progress {
        let before = before.unwrap_or(Progress { pid: None, work: 0, starts: 0, since: now });
        let Some((pid, work)) = child else { return before };
        let begins = before.pid != Some(pid);
        let starts = before.starts + u32::from(begins);
        let further = starts <= STARTS && (begins || work != before.work);
        Progress { pid: Some(pid), work, starts, since: if further { now } else { before.since } }
    }
}

impl Errand {
    /// Joins the others: those with data at once, for they can use IST; those without one after the
    /// other, because each takes a full copy. Returns who did not join, and why.
    pub(super) fn join_others(
        &mut self,
        held: &Held,
        before: &[MemberView],
        bootstrapped: &str,
    ) -> Result<Vec<(String, String)>> {
        let others = || before.iter().filter(|v| v.member.name != bootstrapped);
        let mut unjoined: Vec<(String, String)> =
            others().filter_map(|v| Some((v.member.name.clone(), v.why_unseen()?))).collect();
        let (placed, empty): (Vec<&MemberView>, Vec<&MemberView>) = others()
            .filter(|v| v.seen().is_some())
            .partition(|v| v.seen().is_some_and(|o| matches!(o.position, Standing::At { .. })));
        let groups = std::iter::once(placed).chain(empty.into_iter().map(|v| vec![v])).filter(|g| !g.is_empty());
        for group in groups {
            for view in &group {
                self.client.tell(&view.member, api::START, &StartBody::join(held.order))?;
            }
            let names: Vec<String> = group.iter().map(|v| v.member.name.clone()).collect();
            unjoined.extend(self.wait_joined(Some(held), &names)?);
        }
        Ok(unjoined)
    }

    /// Waits until each is Synced, refuses, or makes no progress any more. Returns who did not join, and why.
    pub(super) fn wait_joined(&mut self, held: Option<&Held>, names: &[String]) -> Result<Vec<(String, String)>> {
        let stall = self.timeouts.join_stall;
        let mut last: Vec<Option<Progress>> = vec![None; names.len()];
        let members = self.cluster.members.clone();
        let waited_for: Vec<&Member> = members.iter().filter(|m| names.contains(&m.name)).collect();
        let (mut renewed, mut unjoined) = (Instant::now(), Vec::new());
        loop {
            let views = self.client.observe(&waited_for);
            let mut waiting = Vec::new();
            unjoined.clear();
            for (name, progress) in names.iter().zip(&mut last) {
                let Some(view) = views.iter().find(|v| v.member.name == *name) else {
                    continue;
                };
                let supervisor = view.seen().and_then(|o| o.supervisor.present());
                let child = supervisor.and_then(|s| s.child.as_ref()).map(|c| (c.pid, c.work));
                let now = Progress::after(*progress, child, Instant::now());
                *progress = Some(now);
                let stalled = now.since.elapsed() > stall;
                match supervisor.and_then(|s| s.refused.clone()) {
                    _ if synced(view) => {}
                    Some(refused) => unjoined.push((name.clone(), refused)),
                    None if stalled => {
                        let begun =
                            if now.starts > STARTS { format!(", begun {} times", now.starts) } else { String::new() };
                        let text = format!("no progress for {} s{begun}: {}", stall.as_secs(), doing(view));
                        unjoined.push((name.clone(), text));
                    }
                    None => waiting.push(doing(view)),
                }
            }
            if waiting.is_empty() {
                return Ok(unjoined);
            }
            self.progress.line(&format!("waiting for {}", waiting.join("; ")));
            if let Some(held) = held {
                // The cluster is primary: a member that is gone now only cannot join.
                if let Err(e) = self.renew_in_time(held, &mut renewed) {
                    self.progress.line(&format!("{e:#}"));
                }
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    // Promise 2: nothing is waited for without end, however busy it looks.
    fn a_joiner_that_is_begun_again_and_again_makes_no_progress() {
        let begun = Instant::now();
        let at = |seconds: u64| begun + Duration::from_secs(seconds);
        let mut progress = None;
        for (second, child, since, why) in [
            (0, None, 0, "it waits"),
            (10, Some((7, 0)), 10, "it was started"),
            (20, Some((7, 0)), 10, "it stands still"),
            (30, Some((7, 5)), 30, "it wrote"),
            (40, None, 30, "it is gone"),
            (50, Some((8, 0)), 50, "begun again"),
            (60, Some((9, 0)), 60, "and again"),
            (70, Some((10, 3)), 60, "once too often"),
            (80, Some((10, 9)), 60, "what it does then is not counted any more"),
        ] {
            let now = Progress::after(progress, child, at(second));
            assert_eq!(now.since, at(since), "{why}");
            progress = Some(now);
        }
    }
}
