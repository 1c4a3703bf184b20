//! Requests over the socket: holds, orders, and what is refused.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use super::{Stage, StopReason, Supervising};
use crate::cluster::hold::{self, Begin, Hold, LONGEST_HOLD, OrderedStart, Outcome, Refusal};
use crate::cluster::memory::{Announced, Memory};
use crate::cluster::observation::{ABANDONED, Phase};
use crate::galera::log_lines::LogKind;
use crate::galera::position::Position;
use crate::galera::uuid::Uuid;
use crate::host::clock::Uptime;
use crate::host::mariadbd;
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
            Request::Announce { order, beginning } => self.announced(order, beginning),
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
        self.keep(|memory| memory.part_with(member))?;
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
        self.store.keep_hold(&hold, Uptime::now())?;
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
        self.store.keep_hold(&Hold { started: false, ..hold.clone() }, Uptime::now())?;
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
        // Galera's log has it before SQL is asked the next time.
        let running = matches!(self.stage, Stage::Running(_));
        if running && mariadbd::last_life(&self.config).iter().any(|line| line.kind == LogKind::Inconsistent) {
            self.keep(Memory::vote_out)?;
        }
        // What was voted out runs on and takes part in nothing: it ends for this, and who asks asks again.
        if self.memory.voted_out && !matches!(self.stage, Stage::Waiting { .. }) {
            self.stop(StopReason::Order, self.config.timeouts.stop, "its data is given up")?;
            return Ok(Reply::under_way(self.detail()));
        }
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
        let name = format!("{ABANDONED}{}", log::now().replace([':', '.'], "-"));
        self.journal.record("data.abandoned", json!({ "standing": self.standing, "kept": keep, "as": name }));
        let aside = self.datadir.set_aside(&name)?;
        // What it remembers of its data is over; of the cluster it still knows.
        self.store.set_damaged_memory_aside()?;
        self.memory = self.store.memory();
        self.keep(Memory::abandon)?;
        let kept =
            if keep { format!("kept in {}", aside.display()) } else { format!("{} is being deleted", aside.display()) };
        if !keep {
            // Large data takes its time; what is left of it after a crash is named as given up.
            std::thread::spawn(move || {
                if let Err(e) = std::fs::remove_dir_all(&aside) {
                    log::error("data.not_deleted", &[("data", &aside.display()), ("why", &e)]);
                }
            });
        }
        log::warn("data.abandoned", &[("position", &self.standing), ("data", &kept)]);
        self.permit_own("galera-ctl rejoin");
        self.prepare();
        Ok(Reply::done(kept))
    }

    /// Another member is about to begin by the order that holds this one.
    fn announced(&mut self, order: Uuid, beginning: Announced) -> Result<Reply> {
        if self.current_hold().is_none_or(|hold| hold.order != order) {
            return Ok(Reply::refused(Refusal::NotHeld));
        }
        self.read_damaged_memory_again();
        if let Some(damage) = &self.memory.damaged {
            return Ok(Reply::refused(format!("what it remembers cannot be read: {damage}")));
        }
        self.journal.record("bootstrap.announced", json!({ "order": order, "beginning": beginning }));
        self.keep(|memory| memory.hear(beginning))?;
        Ok(Reply::done("remembered"))
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
        if stands != begin.expect || (begin.expect.is_none() && !begin.forced) {
            let expect = begin.expect.map_or("data without a position".into(), |p| p.to_string());
            return Ok(Reply::refused(format!("the order expects {expect}, and this member stands at {standing}")));
        }
        // On disk before anything starts: no retry and no restart may do it again.
        self.keep_hold(consumed)?;
        if mode == OrderedStart::Promote {
            self.promote_by_order(order, &begin)?;
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
