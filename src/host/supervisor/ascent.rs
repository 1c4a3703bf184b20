//! What comes of a start of `mariadbd`: judged by what arrives, what is read and written, and what Galera's log *says*;
//! never by how long it takes, by the processor's time, or by a log that is silent.

use std::time::{Duration, Instant};

use super::{Stage, Supervising};
use crate::cluster::observation::{Standstill, StartMode};
use crate::galera::log_lines::{
    TransferKind, donor_found, full_copy_came, ist_progress, queues_for_donor, transfer_kind,
};
use crate::galera::wsrep::LocalState;
use crate::host::{mariadbd, processes};

/// No primary component is seen for so long, and a member that was started to join one decides anew. Galera itself
/// would let it wait for 30 s, and a component that is about to fall is not joined in the first place.
const NOTHING_TO_JOIN: Duration = Duration::from_secs(5);

/// A joiner that asks for its state, while no member is seen that is primary and could give it: it may be the last one of the
/// component that it came into, which waits for it then. Longer than agents take to be back.
const NOBODY_TO_GIVE: Duration = Duration::from_secs(30);

/// What a look at a start shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Glimpse {
    /// Galera's last word on whether its component is primary; none where it has said none.
    pub(super) primary: Option<bool>,
    /// How many bytes the scripts of a state transfer have written; none where none runs.
    pub(super) arrived: Option<u64>,
    /// Whether a donor was found for it.
    pub(super) donor: bool,
    /// What kind of transfer it is, once that is known.
    pub(super) kind: Option<TransferKind>,
    /// SQL is open, and says that its state comes in.
    pub(super) joins: bool,
    /// Nobody listens for its clients: it does not serve.
    pub(super) closed: bool,
    /// It has its request turned down by busy donors, and asks again.
    pub(super) queues: bool,
    /// Everything else that is done on the way up: bytes of the storage, transactions applied, write sets received.
    pub(super) done: u64,
}

/// How far a start has come, and since when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ascent {
    last: Glimpse,
    /// Since when nothing has changed of what is done.
    done_since: Instant,
    /// Since when Galera's last word has been the same.
    said_since: Instant,
    /// Since when nothing more of a transfer has arrived, where one runs and has a donor.
    arrived_since: Option<Instant>,
    /// Since when no primary component is seen elsewhere.
    alone_since: Option<Instant>,
    /// How often there was something new: grows while there is progress.
    pub(super) steps: u64,
}

/// How long what may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Without a primary component.
    pub(super) restore: Duration,
    /// Without anything that arrives, or is done.
    pub(super) stall: Duration,
}

impl Ascent {
    pub(super) fn begin(now: Instant) -> Ascent {
        Ascent {
            last: Glimpse::default(),
            done_since: now,
            said_since: now,
            arrived_since: None,
            alone_since: None,
            steps: 0,
        }
    }

    /// After another look.
    pub(super) fn look(&mut self, seen: Glimpse, now: Instant) {
        // A log that says nothing (any more) says nothing; what it said stands.
        let seen = Glimpse { primary: seen.primary.or(self.last.primary), kind: seen.kind.or(self.last.kind), ..seen };
        if seen.primary != self.last.primary {
            self.said_since = now;
        }
        let moved = seen.done != self.last.done || seen.arrived != self.last.arrived || seen.donor != self.last.donor;
        if moved || seen.queues {
            self.done_since = now;
        }
        self.steps += u64::from(moved);
        let arrives = seen.arrived.is_some() && seen.donor;
        let same = seen.arrived == self.last.arrived;
        self.arrived_since = arrives.then(|| self.arrived_since.filter(|_| same).unwrap_or(now));
        self.last = seen;
    }

    /// Whether a primary component is seen elsewhere.
    pub(super) fn hear(&mut self, primary_elsewhere: bool, now: Instant) {
        self.alone_since = if primary_elsewhere { None } else { self.alone_since.or(Some(now)) };
    }

    /// Whether a full copy is known to write over the data.
    pub(super) fn overwrites(&self) -> bool {
        self.last.kind == Some(TransferKind::Full) && self.last.arrived.is_some()
    }

    /// Why nothing more is to be hoped for from this start, if so.
    pub(super) fn doubt(&self, mode: StartMode, patience: Patience, now: Instant) -> Option<String> {
        let since = |at: Instant| now.saturating_duration_since(at);
        if let Some(still) = self.arrived_since.map(since).filter(|still| *still > patience.stall) {
            return Some(format!("nothing of its state transfer has arrived for {} s", still.as_secs()));
        }
        // While something arrives, a component that lost its quorum for a moment is no reason to begin anew.
        let arrives = self.arrived_since.is_some();
        if self.last.primary == Some(false) && since(self.said_since) > patience.restore && !arrives {
            return Some(format!(
                "by its log it has been without a primary component for {} s",
                since(self.said_since).as_secs()
            ));
        }
        // What ran already, and listens, may be serving, however slow it is; only what its log says counts against it.
        if mode == StartMode::Adopted && !self.last.joins && !self.last.closed {
            return None;
        }
        let alone = self.alone_since.map(since);
        if mode == StartMode::Join && self.last.primary != Some(true) && alone.is_some_and(|a| a > NOTHING_TO_JOIN) {
            return Some("the primary component that it was to join is gone".into());
        }
        if mode == StartMode::Join && self.last.queues && alone.is_some_and(|a| a > NOBODY_TO_GIVE) {
            return Some("it asks for its state, and nobody is left who could give it".into());
        }
        let idle = since(self.done_since);
        (idle > patience.stall && !arrives).then(|| format!("nothing has come of its start for {} s", idle.as_secs()))
    }

    /// What is published of a transfer that comes in.
    pub(super) fn standstill(&self, patience: Patience, now: Instant) -> Option<Standstill> {
        // No script runs any more for an incremental one; what is applied tells.
        let incremental = self.last.joins.then_some(self.done_since);
        let since = incremental.or(self.arrived_since)?;
        let full = self.last.kind.map(|kind| kind == TransferKind::Full);
        Some(Standstill {
            seconds: now.saturating_duration_since(since).as_secs(),
            limit: patience.stall.as_secs(),
            full: incremental.map(|_| false).or(full),
        })
    }

    /// What it is at, for a person.
    pub(super) fn doing(&self) -> Option<&'static str> {
        match (self.last.arrived, self.last.kind) {
            _ if self.last.queues => Some("mariadbd asks for its state, and all donors are busy"),
            (Some(_), Some(TransferKind::Full)) => Some("mariadbd receives a full copy (SST)"),
            (_, Some(TransferKind::Incremental)) => Some("mariadbd receives what it has missed (IST)"),
            (Some(_), None) if self.last.donor => Some("mariadbd receives its state"),
            (Some(_), None) => Some("mariadbd asks for its state"),
            (None, _) => None,
        }
    }
}

impl Supervising {
    pub(super) fn patience(&self) -> Patience {
        Patience { restore: self.config.timeouts.restore, stall: self.config.timeouts.join_stall }
    }

    /// Whether this life of `mariadbd` is still on its way up: before SQL is open, or while its state comes in.
    pub(super) fn ascends(&self) -> bool {
        let Stage::Running(running) = &self.stage else { return false };
        let joining = running.last.as_ref().is_some_and(|w| w.local_state == LocalState::Joining);
        !running.sql_was_open || joining
    }

    /// Another look at a start. A full copy that is seen to write is remembered before anything else is done, and so is
    /// that the component which is joined took this member in.
    pub(super) fn look_at_start(&mut self) -> anyhow::Result<()> {
        if !self.ascends() {
            return Ok(());
        }
        let Stage::Running(running) = &mut self.stage else { return Ok(()) };
        let pid = running.child.pid();
        let log = mariadbd::error_log_since(&self.config, running.log_since);
        let arrived = processes::transferred(pid);
        let applied = running.last.as_ref().and_then(|w| w.last_committed).unwrap_or_default();
        // What the server writes into its log is no work.
        let stored = processes::stored(pid).saturating_sub(mariadbd::error_log_length(&self.config));
        let glimpse = Glimpse {
            primary: crate::galera::log_lines::in_primary_component(&log),
            arrived,
            donor: arrived.is_some() && donor_found(&log),
            kind: transfer_kind(&log, arrived.unwrap_or_default()),
            queues: queues_for_donor(&log),
            joins: running.last.as_ref().is_some_and(|w| w.local_state == LocalState::Joining),
            closed: running.sql_closed,
            done: stored.wrapping_add(applied).wrapping_add(ist_progress(&log)),
        };
        running.ascent.look(glimpse, Instant::now());
        let overwrites = running.ascent.overwrites() || full_copy_came(&log);
        // Also where one was seen before: it may have been in another boot.
        if overwrites && self.memory.joining.is_some() {
            self.copy_writes()?;
        }
        if self.memory.joining.is_some()
            && let Some(view) = self.datadir.look().saved_view.present()
            && view.members.len() > 1
            && self.memory.explained_as != Some(view.my_uuid)
        {
            self.keep(|memory| memory.taken_in(view))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { restore: Duration::from_secs(60), stall: Duration::from_secs(600) };

    /// Looks, each so many seconds after the beginning, with whether a primary component is seen elsewhere.
    fn after(looks: &[(u64, Glimpse, bool)]) -> (Ascent, Instant) {
        let begun = Instant::now();
        let mut ascent = Ascent::begin(begun);
        for (second, glimpse, elsewhere) in looks {
            let now = begun + Duration::from_secs(*second);
            ascent.look(*glimpse, now);
            ascent.hear(*elsewhere, now);
        }
        (ascent, begun)
    }

    #[test]
    // B2, B3, R3, T5, T7: what counts is what arrives and what a log says.
    fn b2_b3_r3_t5_t7_when_a_start_is_given_up() {
        let quiet = Glimpse::default();
        let said = |primary| Glimpse { primary: Some(primary), ..quiet };
        let done = |done| Glimpse { done, ..said(true) };
        let copy =
            |arrived| Glimpse { arrived: Some(arrived), donor: true, kind: Some(TransferKind::Full), ..said(true) };
        let waits = Glimpse { queues: true, arrived: Some(0), ..said(true) };
        let ist = |done| Glimpse { done, joins: true, ..said(true) };
        use StartMode::{Adopted, Bootstrap, Join, RestoreView};
        for (mode, looks, at, given_up, why) in [
            (RestoreView, vec![(1, said(false), false)], 60, false, "it waits for the others of its view"),
            (RestoreView, vec![(1, said(false), false)], 62, true, "for too long"),
            (RestoreView, vec![(1, said(false), false), (50, said(true), true)], 100, false, "they came"),
            (
                Join,
                vec![(1, copy(1), true), (66, Glimpse { primary: None, ..copy(2) }, true)],
                67,
                false,
                "T5: truncated",
            ),
            (
                Join,
                vec![(1, copy(1), true), (500, Glimpse { primary: Some(false), ..copy(2) }, true)],
                501,
                false,
                "B3b: it lost its quorum for a second",
            ),
            (Join, vec![(1, copy(1), true), (2, copy(1), true)], 602, true, "nothing arrives any more"),
            (Join, vec![(1, copy(1), true), (600, copy(2), true)], 1100, false, "it arrives slowly"),
            (Join, vec![(1, waits, true), (2000, waits, true)], 2001, false, "it queues for a donor"),
            (Join, vec![(1, waits, true), (9, waits, false), (39, waits, false)], 39, false, "S10: agents may be away"),
            (Join, vec![(1, waits, true), (9, waits, false), (40, waits, false)], 40, true, "S10: it is the last one"),
            (Join, vec![(1, done(7), true), (590, done(8), true)], 1000, false, "it recovers its storage"),
            (Join, vec![(1, done(7), true), (2, done(7), true)], 602, true, "primary, and SQL never opens: a corpse"),
            (Bootstrap, vec![(1, quiet, false)], 599, false, "it may take long to open its tables"),
            (Join, vec![(1, said(false), true), (2, said(false), false)], 8, true, "R3: what it was to join is gone"),
            (Join, vec![(1, said(true), true), (2, said(true), false)], 8, false, "Galera says that it is there"),
            (
                Join,
                vec![(1, said(false), true), (6, said(false), false), (7, said(false), true)],
                20,
                false,
                "it is back",
            ),
            (Join, vec![(1, ist(9), true), (60, ist(9), true)], 602, true, "T7: IST stands still, and SQL is open"),
            (Join, vec![(1, ist(9), true), (600, ist(10), true)], 1100, false, "T7: it comes in slowly"),
            (Adopted, vec![(1, ist(9), true), (60, ist(9), true)], 602, true, "T7: whoever started it"),
            (Adopted, vec![(1, quiet, false)], 5000, false, "B3c: it may serve, and its log was rotated"),
            (Adopted, vec![(1, said(false), false)], 62, true, "its log says that it waits for nothing"),
            (
                Adopted,
                vec![(1, Glimpse { closed: true, ..quiet }, false)],
                602,
                true,
                "F11: nobody listens, so it does not serve",
            ),
        ] {
            let (ascent, begun) = after(&looks);
            let doubt = ascent.doubt(mode, PATIENCE, begun + Duration::from_secs(at));
            assert_eq!(doubt.is_some(), given_up, "{why}: {doubt:?}");
        }
    }

    #[test]
    fn t7_how_long_an_incremental_transfer_stands_still_is_published() {
        let ist = Glimpse { done: 9, joins: true, kind: Some(TransferKind::Incremental), ..Glimpse::default() };
        let (ascent, begun) = after(&[(1, ist, true), (40, ist, true)]);
        let still = ascent.standstill(PATIENCE, begun + Duration::from_secs(61)).unwrap();
        assert_eq!((still.seconds, still.limit, still.full), (60, 600, Some(false)));
        let (ascent, begun) = after(&[(1, Glimpse { joins: false, ..ist }, true)]);
        assert!(ascent.standstill(PATIENCE, begun + Duration::from_secs(61)).is_none(), "no transfer");
    }

    #[test]
    // A1, R4: a full copy is told from an incremental one, and only that one writes over the data.
    fn a1_r4_what_comes_in_has_its_own_word() {
        let with = |kind, arrived| Glimpse { kind, arrived, donor: true, ..Glimpse::default() };
        for (glimpse, overwrites, words) in [
            (with(Some(TransferKind::Full), Some(9)), true, "a full copy"),
            (with(Some(TransferKind::Incremental), Some(9)), false, "IST"),
            (with(None, Some(9)), false, "receives its state"),
        ] {
            let (ascent, _) = after(&[(1, glimpse, true)]);
            assert_eq!(ascent.overwrites(), overwrites);
            assert!(ascent.doing().unwrap().contains(words));
        }
    }
}
