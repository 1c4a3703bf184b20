//! The steps of a recovery, carried out under a hold on all members.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::hold::Held;
use super::joining::{Fell, Progress};
use super::{Errand, Verdict, table};
use crate::agent::api::{self, CheckAnswer, CheckBody, StopBody};
use crate::agent::beginning::order_to_begin;
use crate::agent::client::Client;
use crate::cluster::bootstrap::{Fence, Proof, Way};
use crate::cluster::member::Member;
use crate::cluster::observation::{MemberView, Observation, Phase};
use crate::cluster::primary::{Primaries, primaries};
use crate::cluster::recovery::{Recovery, recovery};
use crate::host::random::random_uuid;

/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often holds are renewed.
pub(super) const RENEW_EVERY: Duration = Duration::from_secs(8);
/// A promotion that Galera keeps dropping for so long is given up, and the recovery looks anew.
const PROMOTED_WITHIN: Duration = Duration::from_secs(60);
/// How long one write or read on all members may take.
const CHECK_LIMIT: Duration = Duration::from_secs(10);

impl Errand {
    pub(super) fn carry_out(&mut self, held: &Held) -> Result<Verdict> {
        // Between the first look and the hold a member may have come up by itself.
        let mut views = self.look();
        if let Primaries::One(primary) = primaries(views.iter().filter_map(MemberView::seen)) {
            let members = primary.members.join(", ");
            return Ok(Verdict::done(format!(
                "No action: {members} became primary by itself meanwhile; the others join it."
            )));
        }
        let not_proven = |no| Verdict::refused(format!("Refused: {no}. All data is as it was."));
        let proof = match self.proven(&views, Fence::WouldHold) {
            Err(no) => return Ok(not_proven(no)),
            Ok(proof) => proof,
        };
        self.keep_evidence(held, &views);
        if let Some(veto) = self.ask_hooks(held, &proof) {
            return Ok(veto);
        }
        // Evidence and hooks take their time, and what was seen before them is old.
        held.renew(&self.client)?;
        views = self.look();
        // Where a live member is promoted, nothing is stopped.
        if proof.way() != Way::Promote && !held.all(&views, at_rest) {
            self.progress.step(3, "stopping what runs, finding positions");
            self.stop_all(held)?;
            views = self.look();
        }
        self.progress.show(&table::of(&views));
        let proof = match self.proven(&views, Fence::HeldBy(held.order)) {
            Ok(proof) => proof,
            Err(no) => return Ok(not_proven(no)),
        };
        let what = match proof.way() {
            Way::Bootstrap => "bootstrapping",
            Way::Promote => "promoting in place",
        };
        self.progress.step(4, &format!("{what} {}: {proof}", proof.member()));
        self.begin(held, &proof)?;

        self.progress.step(5, "joining the others");
        let unjoined = self.join_others(held, &views, proof.member())?;

        self.progress.step(6, "verifying");
        let size = self.cluster.members.len() - unjoined.len();
        self.verify(held, size, &unjoined)?;
        self.progress.step(7, "done");
        let verdict = recovered(&proof, size, &unjoined);
        self.recovered = Some(proof);
        Ok(verdict)
    }

    /// Stops every `mariadbd`, and waits until every member is held with its position found.
    fn stop_all(&mut self, held: &Held) -> Result<()> {
        for member in &held.members {
            self.client.tell(member, api::STOP, &StopBody { order: held.order })?;
        }
        let limit = self.timeouts.stop;
        self.wait(held, limit, "members to be down with their positions found", |views| {
            let not_yet: Vec<String> = views.iter().filter(|v| !v.seen().is_some_and(at_rest)).map(doing).collect();
            if not_yet.is_empty() { Ok(()) } else { Err(not_yet.join("; ")) }
        })
    }

    fn begin(&mut self, held: &Held, proof: &Proof) -> Result<()> {
        let member = self.cluster.member(proof.member()).context("the proof names a member that is not expected")?;
        let member = member.clone();
        let all: Vec<&Member> = held.members.iter().collect();
        order_to_begin(&self.client, &self.cluster.name, held.order, proof, &all)?;
        let (begun, mut renewed, mut progress) = (Instant::now(), Instant::now(), None);
        loop {
            let view = self.client.observe(&[&member]).pop().context("no view of the member that begins")?;
            if synced(&view) {
                return Ok(());
            }
            let now = Progress::seen(progress, &view);
            progress = Some(now);
            if let Some(why) = now.stalled(self.timeouts.start) {
                bail!("waited for {} to be Synced: {why}: {}", member.name, doing(&view));
            }
            // Galera promotes within moments, or drops it because the view changes; its supervisor asks again meanwhile.
            let primary = view.seen().and_then(|o| o.wsrep.as_ref()).is_some_and(|w| w.is_primary());
            if proof.way() == Way::Promote && !primary && begun.elapsed() > PROMOTED_WITHIN {
                let seconds = begun.elapsed().as_secs();
                return Err(Fell(format!("{} was not primary {seconds} s after it was promoted", member.name)).into());
            }
            self.progress.line(&format!("waiting for {}", doing(&view)));
            self.renew_in_time(held, &mut renewed)?;
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Size, one history, all Synced, and a write that every member shows.
    fn verify(&self, held: &Held, size: usize, unjoined: &[(String, String)]) -> Result<()> {
        let views = self.look_at(held);
        let Primaries::One(primary) = primaries(views.iter().filter_map(MemberView::seen)) else {
            bail!("after the recovery there is not exactly one primary component");
        };
        if primary.history.is_none() {
            bail!("after the recovery the members do not agree on one history");
        }
        if unjoined.is_empty() && !matches!(recovery(&self.cluster, &views), Recovery::Healthy(_)) {
            bail!("after the recovery {} of {size} members are Synced", primary.synced.len());
        }
        let members: Vec<&Member> = primary.synced.iter().filter_map(|name| self.cluster.member(name)).collect();
        write_is_seen(&self.client, &members)
    }

    /// Looks at the held members: nothing is waited for on others, which may be off and take their time.
    fn look_at(&self, held: &Held) -> Vec<MemberView> {
        self.client.observe(&held.members.iter().collect::<Vec<_>>())
    }

    /// Looks until `done` says so; what it waits for is told, and in the error when time is over.
    fn wait(
        &mut self,
        held: &Held,
        limit: Duration,
        what: &str,
        done: impl Fn(&[MemberView]) -> Result<(), String>,
    ) -> Result<()> {
        let (begun, mut renewed) = (Instant::now(), Instant::now());
        loop {
            let Err(missing) = done(&self.look_at(held)) else { return Ok(()) };
            if begun.elapsed() > limit {
                bail!("waited {} s for {what}: {missing}", limit.as_secs());
            }
            self.progress.line(&format!("waiting for {missing}"));
            self.renew_in_time(held, &mut renewed)?;
            std::thread::sleep(LOOK_EVERY);
        }
    }

    pub(super) fn renew_in_time(&self, held: &Held, renewed: &mut Instant) -> Result<()> {
        if renewed.elapsed() > RENEW_EVERY {
            held.renew(&self.client)?;
            *renewed = Instant::now();
        }
        Ok(())
    }
}

/// Writes on the first of these members, and reads it on each. Not once only: while members become Synced, hooks on
/// two instances may each take another one for the first, and write to the one row at the same time.
pub fn write_is_seen(client: &Client, members: &[&Member]) -> Result<()> {
    const TRIES: u32 = 5;
    let mut tried = 1;
    loop {
        match write_and_read(client, members) {
            Err(_) if tried < TRIES => std::thread::sleep(LOOK_EVERY * tried),
            last => return last,
        }
        tried += 1;
    }
}

fn write_and_read(client: &Client, members: &[&Member]) -> Result<()> {
    let token = random_uuid()?;
    let writer = members.first().context("no member is Synced")?;
    for (member, write) in std::iter::once((writer, true)).chain(members.iter().map(|m| (m, false))) {
        let answer: CheckAnswer = client.post_within(member, api::CHECK, &CheckBody { token, write }, CHECK_LIMIT)?;
        if !answer.there {
            bail!("a write on {} is not seen on {}", writer.name, member.name);
        }
    }
    Ok(())
}

/// The last sentence of a recovery that came about.
fn recovered(proof: &Proof, size: usize, unjoined: &[(String, String)]) -> Verdict {
    let position = proof.position().map_or("the beginning of a new history".to_owned(), |p| p.to_string());
    let notes: String = proof.notes().iter().map(|n| format!(" Note: {n}.")).collect();
    let left_out: String = proof.left_out().iter().map(|l| format!(" Left out: {l}.")).collect();
    let how = match proof.way() {
        Way::Bootstrap => "was bootstrapped",
        Way::Promote => "was promoted in place",
    };
    let begun = format!("{} {how} at {position}", proof.member());
    if unjoined.is_empty() {
        return Verdict::done(format!(
            "Recovered: {begun}, and all {size} members are Synced in one primary component; a write was seen on each.{notes}{left_out}"
        ));
    }
    let reasons: Vec<String> = unjoined.iter().map(|(name, why)| format!("{name}: {why}")).collect();
    let text = format!(
        "Recovered in part: {begun}, and {size} members are Synced. Not joined: {}.{notes}{left_out}",
        reasons.join("; ")
    );
    Verdict::failed(text)
}

/// Whether the member is down and held, and its position was looked for.
fn at_rest(seen: &Observation) -> bool {
    seen.process.is_none() && seen.supervisor.present().is_some_and(|s| s.phase == Phase::Held)
}

pub(super) fn synced(view: &MemberView) -> bool {
    view.seen().is_some_and(|o| o.wsrep.as_ref().is_some_and(|w| w.is_synced()))
}

/// What a member is doing, with its name.
pub(super) fn doing(view: &MemberView) -> String {
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
