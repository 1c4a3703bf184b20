//! Requests over the socket: holds, orders, and what is refused.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use super::{Stage, StopReason, Supervising};
use crate::cluster::hold::{self, Begin, Hold, LONGEST_HOLD, OrderedStart, Outcome, Refusal};
use crate::cluster::memory::Memory;
use crate::cluster::observation::Phase;
use crate::galera::position::Position;
use crate::galera::uuid::Uuid;
use crate::host::clock::seconds_since_epoch;
use crate::host::socket::{Reply, Request};
use crate::log;

impl Supervising {
    pub(super) fn answer(&mut self, request: Request) -> Reply {
        let done = match request {
            Request::Status => return Reply::Status(Box::new(self.published())),
            Request::Leave { .. } => return Reply::refused("galera-start is ending already"),
            Request::Hold(asked) => self.hold_for(asked),
            Request::Release { order, outcome } => self.release(order, outcome),
            Request::Start { order, mode, begin } => self.start_by_order(order, mode, begin),
            Request::Stop { order } => self.stop_by_order(order),
            Request::Permit { by, reason, seconds } => return self.permit(&by, &reason, seconds),
            Request::Abandon { expect, keep } => self.abandon(expect, keep),
            Request::Departed { member } => self.departed(&member),
        };
        done.unwrap_or_else(|e| {
            log::error("request.failed", &[("why", &format!("{e:#}"))]);
            Reply::refused(format!("{e:#}"))
        })
    }

    /// Another member has left in order: whoever asks whether this one may leave must not count it as lost.
    fn departed(&mut self, member: &str) -> Result<Reply> {
        if member == self.me.name || self.config.cluster.member(member).is_none() {
            return Ok(Reply::refused(format!("{member} is not another member of this cluster")));
        }
        self.journal.record("member.departed", json!({ "member": member }));
        self.keep(|memory| {
            if !memory.departed.iter().any(|d| d == member) {
                memory.departed.push(member.to_owned());
            }
        })?;
        Ok(Reply::done("remembered"))
    }

    fn current_hold(&self) -> Option<Hold> {
        // One whose time is over and that the next tick drops is none.
        self.published().hold.filter(|hold| hold.seconds > 0)
    }

    fn hold_for(&mut self, asked: Hold) -> Result<Reply> {
        // Whoever holds already may renew: what is half done is not made better by a fence that falls.
        let new = self.current_hold().is_none_or(|hold| hold.order != asked.order);
        if let Some(why) = self.disobeys().filter(|_| new) {
            return Ok(Reply::refused(why));
        }
        match hold::grant(self.current_hold().as_ref(), asked) {
            Err(refusal) => Ok(Reply::refused(refusal)),
            Ok(granted) => {
                let renewed = self.hold.is_some();
                self.keep_hold(granted.clone())?;
                if !renewed {
                    log::info(
                        "hold.granted",
                        &[
                            ("order", &granted.order),
                            ("owner", &granted.owner),
                            ("seconds", &granted.seconds),
                            ("reason", &granted.reason),
                        ],
                    );
                    self.journal.record("hold.granted", json!({ "hold": granted }));
                }
                Ok(Reply::done(format!("held for {} s", granted.seconds)))
            }
        }
    }

    fn keep_hold(&mut self, hold: Hold) -> Result<()> {
        self.store.keep_hold(&hold, seconds_since_epoch())?;
        self.hold = Some((hold, Instant::now()));
        Ok(())
    }

    fn release(&mut self, order: Uuid, outcome: Option<Outcome>) -> Result<Reply> {
        if let Err(refusal) = hold::release(self.current_hold().as_ref(), order) {
            return Ok(Reply::refused(refusal));
        }
        if let Some(outcome) = &outcome {
            self.store.keep_outcome(outcome)?;
        }
        if self.hold.take().is_some() {
            self.store.drop_hold()?;
            log::info("hold.released", &[("order", &order)]);
            self.journal.record("hold.released", json!({ "order": order, "outcome": outcome }));
        }
        Ok(Reply::done("released"))
    }

    fn stop_by_order(&mut self, order: Uuid) -> Result<Reply> {
        let Some((hold, asked)) = self.hold.clone().filter(|(hold, _)| hold.order == order) else {
            return Ok(Reply::refused(Refusal::NotHeld));
        };
        if let Some(why) = self.disobeys() {
            return Ok(Reply::refused(why));
        }
        // Whatever the order started, it stops too, and the member is held again.
        self.hold = Some((Hold { started: false, ..hold.clone() }, asked));
        self.store.keep_hold(&Hold { started: false, ..hold.clone() }, seconds_since_epoch())?;
        match &self.stage {
            Stage::Running(running) if running.leaving.is_some() => Ok(Reply::under_way("stopping mariadbd already")),
            Stage::Running(_) => {
                self.stop(StopReason::Order, self.config.timeouts.stop, &format!("ordered by {}", hold.owner))?;
                Ok(Reply::under_way("stopping mariadbd"))
            }
            Stage::Stopping(_) => Ok(Reply::under_way("stopping mariadbd already")),
            Stage::Preparing | Stage::Recovering => {
                Ok(Reply::under_way("mariadbd is down; its position is being found"))
            }
            Stage::Waiting { .. } => Ok(Reply::done("mariadbd is down")),
        }
    }

    /// A person gives this member's data up. Whether there is a cluster to get it from was looked at by who
    /// asks; here it is made sure that nothing runs on the data, and that it is the data that was meant.
    fn abandon(&mut self, expect: Option<Position>, keep: bool) -> Result<Reply> {
        if !matches!(self.stage, Stage::Waiting { .. }) {
            return Ok(Reply::refused(format!(
                "not now, mariadbd must be down and its position found: {}",
                self.detail()
            )));
        }
        if let Some((hold, _)) = &self.hold {
            return Ok(Reply::refused(format!("this member is held by {}", hold.owner)));
        }
        if self.standing.at_most() != expect {
            return Ok(Reply::refused(format!("this member stands at {} now", self.standing)));
        }
        let name = keep.then(|| format!("abandoned-{}", log::now().replace([':', '.'], "-")));
        self.journal.record("data.abandoned", json!({ "standing": self.standing, "kept_as": name }));
        let kept = self.datadir.abandon(name.as_deref())?;
        // What it remembers of its data is over; of the cluster it still knows.
        self.store.set_damaged_memory_aside()?;
        let lineage = self.store.memory().lineage;
        self.keep(|memory| *memory = Memory { lineage, ..Memory::default() })?;
        let kept = kept.map_or_else(|| "deleted".to_owned(), |path| format!("kept in {}", path.display()));
        log::warn("data.abandoned", &[("position", &self.standing), ("data", &kept)]);
        self.permit_own("galera-ctl rejoin");
        self.prepare();
        Ok(Reply::done(kept))
    }

    fn start_by_order(&mut self, order: Uuid, mode: OrderedStart, begin: Option<Begin>) -> Result<Reply> {
        let consumed = match hold::consume(self.current_hold().as_ref(), order, mode) {
            Ok(consumed) => consumed,
            Err(refusal) => return Ok(Reply::refused(refusal)),
        };
        match (mode, self.phase()) {
            (OrderedStart::Join, Phase::Serving | Phase::Starting) => {
                return Ok(Reply::under_way("mariadbd runs already"));
            }
            (OrderedStart::Join | OrderedStart::Bootstrap, Phase::Held | Phase::Waiting) => {}
            (OrderedStart::Promote, Phase::Serving) => {}
            _ => return Ok(Reply::refused(format!("not now: {}", self.detail()))),
        }
        if let Some(why) = self.disobeys() {
            return Ok(Reply::refused(why));
        }
        log::info("order.start", &[("order", &order), ("mode", &format!("{mode:?}")), ("owner", &consumed.owner)]);
        if mode == OrderedStart::Join {
            self.keep_hold(consumed)?;
            self.wait("ordered to join; asking the peers");
            return Ok(Reply::under_way("joining"));
        }
        let Some(begin) = begin else {
            return Ok(Reply::refused("a new incarnation needs `begin`: where this member must stand, and the proof"));
        };
        let standing = self.standing_now();
        let stands = if begin.forced { standing.at_most() } else { standing.position() };
        if stands != Some(begin.expect) {
            let expect = begin.expect;
            return Ok(Reply::refused(format!("the order expects {expect}, and this member stands at {standing}")));
        }
        // On disk before anything starts: no retry and no restart may do it again.
        self.keep_hold(consumed)?;
        if mode == OrderedStart::Promote {
            self.promote_by_order(&begin)?;
            return Ok(Reply::under_way("promoting"));
        }
        self.bootstrap_by_order(&begin)?;
        Ok(Reply::under_way("bootstrapping"))
    }
}

/// The hold that stands in for one that cannot be read.
pub(super) fn unreadable_hold() -> Hold {
    Hold {
        order: Uuid::NIL,
        owner: "a hold that cannot be read".into(),
        reason: "hold.json is damaged; the member waits until any hold would have ended".into(),
        seconds: LONGEST_HOLD.min(Duration::from_secs(900).as_secs()),
        bootstrapped: false,
        started: false,
    }
}
