//! Step 0 of a recovery: evidence of how it was before anything is done, and the hooks that may prevent it.
//! A recovery wipes what tells why it was needed. Evidence is not worth an outage, though: it has a short
//! time-out, and failing to keep it stops nothing.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use serde_json::json;

use super::hold::Held;
use super::report::{BESIDE, Report};
use super::{Errand, Verdict};
use crate::cluster::bootstrap::{Proof, Way};
use crate::cluster::observation::{MemberView, Phase, Sight, SupervisorSight};
use crate::galera::moment::Moment;
use crate::host::incidents;
use crate::host::operator_hooks::{self, Hook};
use crate::host::report::{Masking, USUAL_WINDOW, Wanted};
use crate::log;

/// How long each member may take for its part.
const MEMBER_LIMIT: Duration = Duration::from_millis(2000);
/// How long the recovery waits, whatever happens.
const STEP_LIMIT: Duration = Duration::from_millis(2500);
/// The most that one member sends.
const LARGEST: u64 = 8 * 1024 * 1024;
/// How long an errand waits at its end for the bundle to be packed.
const PACK_LIMIT: Duration = Duration::from_secs(15);
/// A member that tries again and again keeps no evidence of each try.
const SAME_INCIDENT: Duration = Duration::from_secs(600);

/// Evidence that is being packed.
pub(super) struct Packing(Receiver<Result<PathBuf>>);

impl Errand {
    /// Keeps evidence, and tells where; or why not.
    pub(super) fn keep_evidence(&mut self, held: &Held, views: &[MemberView]) {
        let Some(parent) = self.incidents.clone() else { return };
        if self.journal.is_some() && incidents::newer_than(&parent, SAME_INCIDENT) {
            return;
        }
        let (client, cluster, asked_by) = (self.client.clone(), self.cluster.clone(), self.owner.clone());
        let (views, begun) = (views.iter().map(|view| without_us(view, held)).collect(), Instant::now());
        let (collected, had) = channel();
        let (packed, packing) = channel();
        let spawned = std::thread::Builder::new().name("evidence".into()).spawn(move || {
            let keep = || -> Result<PathBuf> {
                let to = Moment::from(SystemTime::now());
                let report = Report {
                    cluster: &cluster,
                    wanted: Wanted { from: to.before(USUAL_WINDOW), to, largest: LARGEST },
                    limit: MEMBER_LIMIT,
                    asked_by,
                    own: None,
                    masking: Masking::of(client.passwords()),
                    client: &client,
                };
                let dir = incidents::begin(&parent)?;
                let all = report.collect(&dir, views)?;
                // From here on the recovery goes on; the rest needs nobody.
                let _ = collected.send(dir.clone());
                report.conclude(&all)?;
                incidents::pack(&dir, &BESIDE)?;
                incidents::finish(&dir)?;
                Ok(dir)
            };
            let kept = keep();
            if let Err(e) = &kept {
                log::warn("incident.not_kept", &[("why", &format!("{e:#}"))]);
            }
            let _ = packed.send(kept);
        });
        let told = match (spawned.map(|_| had.recv_timeout(STEP_LIMIT)), begun.elapsed().as_millis()) {
            (Ok(Ok(dir)), took) => {
                if let Some(journal) = &self.journal {
                    journal.record("incident.kept", json!({ "directory": dir, "milliseconds": took }));
                }
                format!("evidence of how it was is kept in {} ({took} ms)", dir.display())
            }
            (Ok(Err(RecvTimeoutError::Timeout)), took) => {
                format!("evidence is not complete after {took} ms; going on without waiting")
            }
            (Ok(Err(RecvTimeoutError::Disconnected)), _) => match packing.recv() {
                Ok(Err(e)) => {
                    return self.progress.line(&format!("evidence could not be kept, going on without: {e:#}"));
                }
                _ => "evidence could not be kept; going on without".into(),
            },
            (Err(e), _) => format!("evidence could not be kept, going on without: {e}"),
        };
        self.progress.line(&told);
        self.packing = Some(Packing(packing));
    }

    /// An errand ends with its process, so it waits a moment for its bundle.
    pub(super) fn wait_for_evidence(&mut self) {
        let Some(Packing(packing)) = self.packing.take() else { return };
        match packing.recv_timeout(PACK_LIMIT) {
            Ok(Ok(dir)) => self.progress.show(&format!("Evidence of before:\n  {}/bundle.tar.gz", dir.display())),
            Ok(Err(e)) => self.progress.show(&format!("Evidence of before could not be kept whole: {e:#}")),
            Err(_) => self.progress.show("Evidence of before was not packed in time; it is not whole."),
        }
    }

    /// Asks the operator's hooks whether this may be done: why not, if one objects. The holds are renewed meanwhile.
    pub(super) fn ask_hooks(&mut self, held: &Held, proof: &Proof) -> Option<Verdict> {
        let wanted = self.hooks.clone()?;
        let (client, mut renewed, mut lost) = (self.client.clone(), Instant::now(), None);
        let ran = operator_hooks::run(&wanted, Hook::PreBootstrap, &self.facts(Some(proof), None), &mut || {
            if renewed.elapsed() > super::steps::RENEW_EVERY {
                renewed = Instant::now();
                lost = held.renew(&client).err().or(lost.take());
            }
        });
        if let Some(ran) = ran.iter().find(|r| !r.succeeded()) {
            let text = format!(
                "Refused by a pre-bootstrap hook: {}. Nothing was changed; mend what it complains of, or take it away.",
                ran.sentence()
            );
            return Some(Verdict { vetoed: true, ..Verdict::refused(text) });
        }
        lost.map(|e| Verdict::refused(format!("Refused: while the hooks ran, {e:#}. Nothing was changed.")))
    }

    /// Tells the operator's hooks how it ended; what they make of it changes nothing. A member waits for none: it
    /// may have to bring the cluster back again at any moment.
    pub(super) fn tell_hooks(&mut self, kind: Hook, proof: Option<&Proof>, result: Option<&str>) {
        let Some(wanted) = self.hooks.clone() else { return };
        let facts = self.facts(proof, result);
        if self.journal.is_some() {
            std::thread::spawn(move || operator_hooks::run(&wanted, kind, &facts, &mut || ()));
            return;
        }
        for ran in operator_hooks::run(&wanted, kind, &facts, &mut || ()) {
            if !ran.succeeded() {
                self.progress.show(&ran.sentence());
            }
        }
    }

    fn facts(&self, proof: Option<&Proof>, result: Option<&str>) -> serde_json::Value {
        json!({
            "cluster": self.cluster.name,
            "by": self.owner,
            "member": proof.map(Proof::member),
            "proof": proof.map(ToString::to_string),
            "position": proof.and_then(Proof::position).map(|p| p.to_string()),
            "way": proof.map(|p| if p.way() == Way::Promote { "promote" } else { "bootstrap" }),
            "left_out": proof.map(Proof::left_out),
            "result": result,
        })
    }
}

/// How a member would be if this recovery had not held it: that is what needs an explanation.
fn without_us(view: &MemberView, held: &Held) -> MemberView {
    let mut view = view.clone();
    if let Sight::Seen(seen) = &mut view.sight
        && let SupervisorSight::Present(supervisor) = &mut seen.supervisor
        && supervisor.hold.as_ref().is_some_and(|hold| hold.order == held.order)
    {
        supervisor.hold = None;
        if supervisor.phase == Phase::Held {
            supervisor.phase = Phase::Waiting;
        }
    }
    view
}
