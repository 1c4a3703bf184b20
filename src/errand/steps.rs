//! The steps of a recovery, carried out under a hold on all members.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::hold::Held;
use super::{Errand, Verdict, table};
use crate::agent::api::{self, CheckAnswer, CheckBody, StartBody, StopBody};
use crate::cli::Exit;
use crate::cluster::bootstrap::Proof;
use crate::cluster::observation::{MemberView, Observation, Phase};
use crate::cluster::primary::{Primaries, primaries};
use crate::cluster::recovery::{Recovery, first_look, once_held};
use crate::cluster::standing::Standing;
use crate::host::random::random_uuid;

/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often holds are renewed.
const RENEW_EVERY: Duration = Duration::from_secs(20);
/// How long one write or read on all members may take.
const CHECK_LIMIT: Duration = Duration::from_secs(10);

impl Errand {
    pub(super) fn carry_out(&mut self, held: &Held) -> Result<Verdict> {
        // Between the first look and the hold a member may have come up by itself.
        let views = self.look();
        if let Primaries::One(primary) = primaries(views.iter().filter_map(MemberView::seen)) {
            let text = format!(
                "No action: {} became primary by itself meanwhile; the others join it.",
                primary.members.join(", ")
            );
            return Ok(Verdict { exit: Exit::Done, text });
        }
        self.progress.step(3, "stopping what runs, finding positions");
        self.stop_all(held)?;

        let views = self.look();
        self.progress.show(&table::of(&views));
        let proof = match once_held(&self.config.cluster, &views, held.order) {
            Ok(proof) => proof,
            Err(no) => {
                return Ok(Verdict {
                    exit: Exit::Refused,
                    text: format!("Refused: {no}. All data is as it was; mariadbd is down on all members."),
                });
            }
        };
        self.progress.step(4, &format!("bootstrapping {}: {proof}", proof.member()));
        self.bootstrap(held, &proof)?;

        self.progress.step(5, "joining the others");
        let unjoined = self.join_others(held, &views, proof.member())?;

        self.progress.step(6, "verifying");
        let size = self.config.cluster.members.len() - unjoined.len();
        self.verify(size, &unjoined)?;

        let position = proof.position().map(|p| p.to_string()).unwrap_or_default();
        let notes: String = proof.notes().iter().map(|n| format!(" Note: {n}.")).collect();
        self.progress.step(7, "done");
        if unjoined.is_empty() {
            let text = format!(
                "Recovered: {} was bootstrapped at {position}, and all {size} members are Synced in one primary component; a write was seen on each.{notes}",
                proof.member()
            );
            return Ok(Verdict { exit: Exit::Done, text });
        }
        let reasons: Vec<String> = unjoined.iter().map(|(name, why)| format!("{name}: {why}")).collect();
        let text = format!(
            "Recovered in part: {} was bootstrapped at {position}, and {size} members are Synced. Not joined: {}.{notes}",
            proof.member(),
            reasons.join("; ")
        );
        Ok(Verdict { exit: Exit::Failed, text })
    }

    /// Stops every `mariadbd`, and waits until every member is held with its position found.
    fn stop_all(&mut self, held: &Held) -> Result<()> {
        for member in self.members() {
            self.client.tell(member, api::STOP, &StopBody { order: held.order })?;
        }
        let limit = self.config.timeouts.stop;
        self.wait(held, limit, "members to be down with their positions found", |views| {
            let not_yet: Vec<String> = views.iter().filter(|v| !v.seen().is_some_and(at_rest)).map(doing).collect();
            if not_yet.is_empty() { Ok(Some(())) } else { Err(not_yet.join("; ")) }
        })
    }

    fn bootstrap(&mut self, held: &Held, proof: &Proof) -> Result<()> {
        let member =
            self.config.cluster.member(proof.member()).context("the proof names a member that is not expected")?;
        self.client.tell(member, api::START, &StartBody::bootstrap(held.order, proof))?;
        let name = proof.member().to_owned();
        self.wait(held, self.config.timeouts.start, &format!("{name} to be Synced"), |views| {
            let Some(view) = views.iter().find(|v| v.member.name == name) else {
                return Ok(None);
            };
            if synced(view) { Ok(Some(())) } else { Err(doing(view)) }
        })
    }

    /// Joins the others: those with data at once, for they can use IST; those without one after the
    /// other, because each takes a full copy. Returns who did not join, and why.
    fn join_others(&mut self, held: &Held, before: &[MemberView], bootstrapped: &str) -> Result<Vec<(String, String)>> {
        let others = before.iter().filter(|v| v.member.name != bootstrapped);
        let (placed, empty): (Vec<&MemberView>, Vec<&MemberView>) =
            others.partition(|v| v.seen().is_some_and(|o| matches!(o.position, Standing::At { .. })));
        let mut unjoined = Vec::new();
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
        let stall = self.config.timeouts.join_stall;
        let mut last: Vec<Option<(u64, Instant)>> = vec![None; names.len()];
        let (mut renewed, mut unjoined) = (Instant::now(), Vec::new());
        loop {
            let views = self.look();
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
                self.renew_in_time(held, &mut renewed)?;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Size, one history, all Synced, and a write that every member shows.
    fn verify(&self, size: usize, unjoined: &[(String, String)]) -> Result<()> {
        let views = self.look();
        let Primaries::One(primary) = primaries(views.iter().filter_map(MemberView::seen)) else {
            bail!("after the recovery there is not exactly one primary component");
        };
        if primary.history.is_none() {
            bail!("after the recovery the members do not agree on one history");
        }
        if unjoined.is_empty() && !matches!(first_look(&self.config.cluster, &views), Recovery::Healthy(_)) {
            bail!("after the recovery {} of {size} members are Synced", primary.synced.len());
        }
        let token = random_uuid()?;
        let member = |name: &String| self.config.cluster.member(name);
        let writer = primary.synced.first().and_then(member).context("no member is Synced")?;
        for (member, write) in
            std::iter::once((writer, true)).chain(primary.synced.iter().filter_map(member).map(|m| (m, false)))
        {
            let answer: CheckAnswer =
                self.client.post_within(member, api::CHECK, &CheckBody { token, write }, CHECK_LIMIT)?;
            if !answer.there {
                bail!("a write on {} is not seen on {}", writer.name, member.name);
            }
        }
        Ok(())
    }

    /// Looks until `done` says so; what it waits for is told, and in the error when time is over.
    fn wait(
        &mut self,
        held: &Held,
        limit: Duration,
        what: &str,
        done: impl Fn(&[MemberView]) -> Result<Option<()>, String>,
    ) -> Result<()> {
        let (begun, mut renewed) = (Instant::now(), Instant::now());
        loop {
            let missing = match done(&self.look()) {
                Ok(Some(())) => return Ok(()),
                Ok(None) => String::from("a member that is not expected"),
                Err(missing) => missing,
            };
            if begun.elapsed() > limit {
                bail!("waited {} s for {what}: {missing}", limit.as_secs());
            }
            self.progress.line(&format!("waiting for {missing}"));
            self.renew_in_time(held, &mut renewed)?;
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn renew_in_time(&self, held: &Held, renewed: &mut Instant) -> Result<()> {
        if renewed.elapsed() > RENEW_EVERY {
            held.renew(&self.client, &self.members())?;
            *renewed = Instant::now();
        }
        Ok(())
    }
}

/// Whether the member is down and held, and its position was looked for.
fn at_rest(seen: &Observation) -> bool {
    seen.process.is_none() && seen.supervisor.present().is_some_and(|s| s.phase == Phase::Held)
}

fn synced(view: &MemberView) -> bool {
    view.seen().is_some_and(|o| o.wsrep.as_ref().is_some_and(|w| w.is_synced()))
}

/// What a member is doing, with its name.
fn doing(view: &MemberView) -> String {
    let what = match view.seen() {
        None => view.why_unseen().unwrap_or_default(),
        Some(seen) => match (&seen.wsrep, seen.supervisor.present()) {
            (_, Some(supervisor)) => supervisor.detail.clone(),
            (Some(wsrep), None) => format!("{}, without a supervisor", wsrep.local_state_comment),
            (None, None) => "galera-start does not run".into(),
        },
    };
    format!("{}: {what}", view.member.name)
}
