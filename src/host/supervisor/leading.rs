//! Bringing the cluster back from here, where nobody is primary and this member is the one: the errand's
//! steps, on a thread of their own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use super::{Event, Supervising};
use crate::cli::Exit;
use crate::cluster::bootstrap::Proof;
use crate::cluster::member::Member;
use crate::cluster::observation::MemberView;
use crate::errand::{self, Verdict};
use crate::host::operator_hooks::{self, Hook};
use crate::log;

/// Pause before a recovery that did not come about is tried again; twice as long each time that it ends in the same way, since
/// each attempt holds all members.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// The longest pause.
const AGAIN_AT_LAST: Duration = Duration::from_secs(60);

/// The same where a hook of the operator prevented it: whoever wrote that wants to look first.
const AGAIN_AFTER_VETO: Duration = Duration::from_secs(60);

/// The recovery that this member leads, if it does.
#[derive(Debug, Default)]
pub(super) struct Leading {
    under_way: bool,
    /// How the last one ended, if not well, and when: the same again is not told again.
    failed: Option<(String, Instant)>,
    /// How often in a row it ended like this.
    alike: u32,
    vetoed: bool,
}

impl Supervising {
    /// Holds the others, looks again, and begins if the proof still holds then.
    pub(super) fn recover_cluster(&mut self, proof: &Proof, views: &[MemberView]) {
        let early = self.leading.failed.as_ref().is_some_and(|(_, at)| at.elapsed() < self.leading.pause());
        if self.leading.under_way || early {
            return;
        }
        self.leading.under_way = true;
        log::info("recovery.begun", &[("proof", proof)]);
        self.journal.record("recovery.begun", json!({ "proof": proof.to_string() }));
        let (config, events) = (Arc::clone(&self.config), self.events.clone());
        // In the order of the configuration, which is the order of holding for all.
        let is_seen =
            |m: &&Member| m.name == self.me.name || views.iter().any(|v| v.member.name == m.name && v.seen().is_some());
        let seen: Vec<Member> = config.cluster.members.iter().filter(is_seen).cloned().collect();
        std::thread::spawn(move || {
            let _ = events.send(Event::RecoveryEnded(errand::by_itself(&config, &seen)));
        });
    }

    pub(super) fn recovery_ended(&mut self, result: Result<Verdict>) {
        self.leading.under_way = false;
        let verdict = result.unwrap_or_else(|e| Verdict::failed(format!("{e:#}")));
        self.leading.vetoed = verdict.vetoed;
        let told = self.leading.failed.as_ref().is_some_and(|(text, _)| *text == verdict.text);
        self.leading.alike = if told { self.leading.alike.saturating_add(1) } else { 0 };
        if verdict.exit == Exit::Done {
            log::info("recovery.done", &[("result", &verdict.text)]);
            self.leading.failed = None;
        } else {
            if !told {
                log::warn("recovery.not_done", &[("why", &verdict.text)]);
            }
            self.leading.failed = Some((verdict.text.clone(), Instant::now()));
        }
        if !told && verdict.exit == Exit::Failed {
            self.tell_failed(&verdict.text);
        }
        if !told {
            self.journal.record("recovery.ended", json!({ "exit": verdict.exit.code(), "text": verdict.text }));
        }
    }

    /// The operator's hooks learn that it failed; nothing waits for them.
    fn tell_failed(&self, why: &str) {
        let Some(hooks) = self.config.hooks.clone() else { return };
        let facts = json!({ "cluster": self.config.cluster.name, "by": self.me.name, "result": why });
        std::thread::spawn(move || operator_hooks::run(&hooks, Hook::OnFailed, &facts, &mut || ()));
    }
}

impl Leading {
    fn pause(&self) -> Duration {
        if self.vetoed { AGAIN_AFTER_VETO } else { (AGAIN_AFTER * (1 << self.alike.min(4))).min(AGAIN_AT_LAST) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    // B10: each attempt holds every member, and writes that into every journal.
    fn b10_what_fails_in_the_same_way_is_tried_more_and_more_rarely() {
        let seconds = |alike, vetoed| Leading { alike, vetoed, ..Leading::default() }.pause().as_secs();
        assert_eq!([0, 1, 2, 3, 4, 99].map(|alike| seconds(alike, false)), [5, 10, 20, 40, 60, 60]);
        assert_eq!(seconds(0, true), 60);
    }
}
