//! Maintenance as this supervisor heeds it: who let it start all the same, and how often it looks afterwards
//! before it does anything by itself. What is allowed is answered in [`crate::cluster::maintenance`].

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use super::Supervising;
use crate::cluster::maintenance::{Act, By, Kept, LOOKS_AFTER, Mode, Stance, may};
use crate::cluster::observation::MemberView;
use crate::host::clock::seconds_since_epoch;
use crate::host::files::{remove_durably, write_atomically};
use crate::host::socket::Reply;
use crate::log;

/// The longest that a permit lasts; as long as a hold at most.
const LONGEST_PERMIT: Duration = Duration::from_secs(crate::cluster::hold::LONGEST_HOLD);

/// BOSH's pre-start leaves word here that BOSH starts this member. monit runs no pre-start, nor does a reboot.
fn mark_in(run_dir: &Path) -> PathBuf {
    run_dir.join("started-by-bosh")
}

/// BOSH is about to start this member, on behalf of a person who named it.
pub fn started_by_bosh(run_dir: &Path) -> Result<()> {
    write_atomically(&mark_in(run_dir), b"", 0o640)
}

/// What the supervisor knows of maintenance besides the notices.
pub(super) struct Maintained {
    /// Who let this member start all the same, and until when.
    permit: Option<(String, Instant)>,
    looks_left: u8,
    /// Whether it was on at the last look.
    on: Option<bool>,
}

impl Maintained {
    /// For a life that begins; the word that BOSH left is good for one.
    pub(super) fn begin(run_dir: &Path) -> Maintained {
        let mark = mark_in(run_dir);
        // A mark that cannot be removed would be good for more than one start.
        let by_bosh = mark.exists() && remove_durably(&mark).is_ok();
        let permit = by_bosh.then(|| ("BOSH's start".to_owned(), Instant::now() + LONGEST_PERMIT));
        Maintained { permit, looks_left: 0, on: None }
    }

    fn permitted_by(&self) -> Option<&str> {
        self.permit.as_ref().filter(|(_, until)| Instant::now() < *until).map(|(by, _)| by.as_str())
    }

    pub(super) fn stance(&self) -> Stance {
        let looks_left = if self.on == Some(true) { 0 } else { self.looks_left };
        Stance { permit: self.permitted_by().map(str::to_owned), looks_left }
    }

    /// The start that was let happen has come to its end.
    pub(super) fn lapse(&mut self) {
        self.permit = None;
    }

    fn attend(&mut self, on: bool) {
        if on {
            // The look that finds it over counts down first.
            self.looks_left = LOOKS_AFTER + 1;
            if self.on == Some(false) {
                // What was let start before is not let start in this one.
                self.permit = None;
            }
        } else {
            self.looks_left = self.looks_left.saturating_sub(1);
        }
        self.on = Some(on);
    }
}

impl Supervising {
    fn kept(&self) -> Kept {
        self.store.maintenance(seconds_since_epoch())
    }

    /// Another look at the others, or at itself where nobody is asked: is this member in maintenance?
    pub(super) fn attend(&mut self, views: &[MemberView]) {
        let mut mode = Mode::of(views.iter().filter_map(MemberView::seen));
        mode.hear(&self.me.name, &self.kept());
        self.maintained.attend(mode.over(&self.me.name).is_some());
    }

    /// Why no order is obeyed now, if so.
    pub(super) fn disobeys(&self) -> Option<String> {
        let by = if self.maintained.permitted_by().is_some() { By::Person } else { By::Itself };
        let why = may(Act::Obey, by, &self.me.name, &Mode::kept_by(&self.me.name, &self.kept())).err()?;
        Some(format!("{why}; a person may go on all the same, by name (docs/runbook.md, Maintenance)"))
    }

    /// A person lets this member start, or obey, although maintenance is on.
    pub(super) fn permit(&mut self, by: &str, reason: &str, seconds: u64) -> Reply {
        if by.trim().is_empty() || reason.trim().is_empty() {
            return Reply::refused("by and reason: expected some words, found none");
        }
        let lasts = Duration::from_secs(seconds);
        if lasts.is_zero() || lasts > LONGEST_PERMIT {
            return Reply::refused(format!("seconds: expected 1 to {}, found {seconds}", LONGEST_PERMIT.as_secs()));
        }
        log::warn("maintenance.permit", &[("by", &by), ("reason", &reason), ("seconds", &seconds)]);
        self.journal.record("maintenance.permit", json!({ "by": by, "reason": reason, "seconds": seconds }));
        self.maintained.permit = Some((by.to_owned(), Instant::now() + lasts));
        Reply::done(format!("{} may start once, although maintenance may be on", self.me.name))
    }

    /// The same where a person acts on this very member.
    pub(super) fn permit_own(&mut self, by: &str) {
        self.maintained.permit = Some((by.to_owned(), Instant::now() + LONGEST_PERMIT));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q21_the_word_that_bosh_left_is_good_for_one_start() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Maintained::begin(dir.path()).stance(), Stance::default(), "monit starts it");
        started_by_bosh(dir.path()).unwrap();
        let mut one = Maintained::begin(dir.path());
        assert!(one.stance().permit.is_some(), "BOSH does");
        one.attend(true);
        assert!(one.stance().permit.is_some(), "in maintenance too");
        assert!(Maintained::begin(dir.path()).stance().permit.is_none(), "then monit again");
        one.attend(false);
        one.attend(true);
        assert!(one.stance().permit.is_none(), "not in the next maintenance");
    }

    #[test]
    fn after_maintenance_it_looks_three_times_first() {
        let dir = tempfile::tempdir().unwrap();
        let mut of = Maintained::begin(dir.path());
        let looks: Vec<u8> = [false, true, true, false, false, false, false, false]
            .into_iter()
            .map(|on| {
                of.attend(on);
                of.stance().looks_left
            })
            .collect();
        assert_eq!(looks, [0, 0, 0, 3, 2, 1, 0, 0]);
    }
}
