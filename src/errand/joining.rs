//! Joining the others, once one member is primary.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Errand;
use super::hold::Held;
use super::steps::{doing, synced};
use crate::agent::api::{self, StartBody};
use crate::cluster::member::Member;
use crate::cluster::observation::MemberView;
use crate::cluster::primary::{Primaries, primaries};
use crate::cluster::standing::Standing;

/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// So often a start of `mariadbd` counts as progress; what is begun again and again leads nowhere.
const STARTS: u32 = 3;

/// For so long nobody is seen to be primary, and the component counts as fallen: a joiner's view change hides it for less.
const FALLEN: Duration = Duration::from_secs(10);

/// How far a member has come on its way to Synced, and since when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
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

    /// After another look at the member.
    pub(super) fn seen(before: Option<Progress>, view: &MemberView) -> Progress {
        let supervisor = view.seen().and_then(|o| o.supervisor.present());
        let child = supervisor.and_then(|s| s.child.as_ref()).map(|c| (c.pid, c.work));
        Progress::after(before, child, Instant::now())
    }

    /// That nothing has come of it for longer than this, if so.
    pub(super) fn stalled(&self, limit: Duration) -> Option<String> {
        let begun = if self.starts > STARTS { format!(", begun {} times", self.starts) } else { String::new() };
        (self.since.elapsed() > limit).then(|| format!("no progress for {} s{begun}", limit.as_secs()))
    }
}

/// Who did not join, and why.
pub(super) type Unjoined = Vec<(String, String)>;

/// A primary component that a recovery made, or found, and that is none any more.
#[derive(Debug)]
pub(super) struct Fell(pub(super) String);

impl fmt::Display for Fell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fell {}

/// Since when nobody is seen to be primary.
#[derive(Debug, Default)]
struct Footing(Option<Instant>);

impl Footing {
    /// After another look.
    fn look(&mut self, primary: bool, now: Instant) -> Result<(), Fell> {
        if primary {
            self.0 = None;
            return Ok(());
        }
        let seconds = now.saturating_duration_since(*self.0.get_or_insert(now)).as_secs();
        if seconds < FALLEN.as_secs() {
            return Ok(());
        }
        Err(Fell(format!("for {seconds} s no member has been primary: the component fell while others joined it")))
    }
}

impl Errand {
    /// Joins the others: those with data at once, for they can use IST; those without one after the
    /// other, because each takes a full copy. Returns who did not join, and why.
    pub(super) fn join_others(&mut self, held: &Held, before: &[MemberView], begun: &str) -> Result<Unjoined> {
        let others = || before.iter().filter(|v| v.member.name != begun);
        let mut unjoined: Unjoined =
            others().filter_map(|v| Some((v.member.name.clone(), left_alone(held, v)?))).collect();
        let (placed, empty): (Vec<&MemberView>, Vec<&MemberView>) = others()
            .filter(|v| left_alone(held, v).is_none())
            .partition(|v| v.seen().is_some_and(|o| matches!(o.position, Standing::At { .. })));
        let groups = std::iter::once(placed).chain(empty.into_iter().map(|v| vec![v])).filter(|g| !g.is_empty());
        let mut inside = vec![begun.to_owned()];
        for group in groups {
            for view in &group {
                self.client.tell(&view.member, api::START, &StartBody::join(held.order))?;
            }
            let names: Vec<String> = group.iter().map(|v| v.member.name.clone()).collect();
            let out = self.wait_joined(Some(held), &names, &inside)?;
            inside.extend(names.into_iter().filter(|name| out.iter().all(|(not, _)| not != name)));
            unjoined.extend(out);
        }
        Ok(unjoined)
    }

    /// Waits until each is Synced, refuses, or makes no progress any more. Returns who did not join, and why; an error
    /// ([`Fell`]) where the component of the members `inside` does not stand any more.
    pub(super) fn wait_joined(&mut self, held: Option<&Held>, names: &[String], inside: &[String]) -> Result<Unjoined> {
        let stall = self.timeouts.join_stall;
        let mut last: Vec<Option<Progress>> = vec![None; names.len()];
        let members = self.cluster.members.clone();
        let looked_at: Vec<&Member> =
            members.iter().filter(|m| names.contains(&m.name) || inside.contains(&m.name)).collect();
        let (mut renewed, mut footing, mut unjoined) = (Instant::now(), Footing::default(), Vec::new());
        loop {
            let views = self.client.observe(&looked_at);
            let primary = !matches!(primaries(views.iter().filter_map(MemberView::seen)), Primaries::None);
            footing.look(primary, Instant::now())?;
            let mut waiting = Vec::new();
            unjoined.clear();
            for (name, progress) in names.iter().zip(&mut last) {
                let Some(view) = views.iter().find(|v| v.member.name == *name) else {
                    continue;
                };
                let now = Progress::seen(*progress, view);
                *progress = Some(now);
                match view.seen().and_then(|o| o.supervisor.present()).and_then(|s| s.refused.clone()) {
                    _ if synced(view) => {}
                    Some(refused) => unjoined.push((name.clone(), refused)),
                    None => match now.stalled(stall) {
                        Some(why) => unjoined.push((name.clone(), format!("{why}: {}", doing(view)))),
                        None => waiting.push(doing(view)),
                    },
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

/// Why this member is not ordered to join: it is not seen, or a person named it as left out and it could not be held.
fn left_alone(held: &Held, view: &MemberView) -> Option<String> {
    let is_held = held.members.iter().any(|m| m.name == view.member.name);
    view.why_unseen()
        .or_else(|| (!is_held).then(|| format!("a person left it out; it decides by itself ({})", doing(view))))
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
    #[test]
    // R2: what a recovery made is looked at in each round, and a moment without it is not its end.
    fn r2_a_component_that_fell_is_noticed() {
        let begun = Instant::now();
        for (looks, falls, why) in [
            (vec![(0, true), (60, true)], false, "it stands"),
            (vec![(0, true), (1, false), (9, false), (10, true), (19, false)], false, "a view changed"),
            (vec![(0, true), (1, false), (11, false)], true, "it fell"),
            (vec![(0, false), (10, false)], true, "it never was"),
        ] {
            let mut footing = Footing::default();
            let fell =
                looks.iter().any(|(at, primary)| footing.look(*primary, begun + Duration::from_secs(*at)).is_err());
            assert_eq!(fell, falls, "{why}");
        }
    }
}
