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
        let mut last: Vec<Option<(u64, Instant)>> = vec![None; names.len()];
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
                let work = supervisor.and_then(|s| s.child.as_ref()).map(|c| c.work).unwrap_or_default();
                if progress.is_none_or(|(before, _)| before != work) {
                    *progress = Some((work, Instant::now()));
                }
                let stalled = progress.is_some_and(|(_, since)| since.elapsed() > stall);
                match supervisor.and_then(|s| s.refused.clone()) {
                    _ if synced(view) => {}
                    Some(refused) => unjoined.push((name.clone(), refused)),
                    None if stalled => {
                        unjoined.push((name.clone(), format!("no progress for {} s: {}", stall.as_secs(), doing(view))))
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
