//! Making a live member and its component primary, by an order: asked for until it is so. Galera drops `pc.bootstrap`
//! without a word, or refuses it with error 1210, while its view changes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::pending::Pending;
use super::{Event, Stage, Supervising};
use crate::cluster::hold::Begin;
use crate::cluster::memory::Memory;
use crate::galera::uuid::Uuid;
use crate::galera::wsrep::ClusterStatus;
use crate::host::sql;
use crate::log;

/// Pause before it is asked for again: Galera promotes within some milliseconds, or not at all.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// An order to be primary.
#[derive(Debug)]
pub(super) struct Promotion {
    /// The order; over once this member is not held by it any more.
    order: Uuid,
    asking: Pending,
    next: Instant,
    /// Why it was refused last.
    refused: Option<String>,
}

impl Supervising {
    /// Makes this live member and its component primary, by an order that was checked.
    pub(super) fn promote_by_order(&mut self, order: Uuid, begin: &Begin) -> Result<()> {
        let quorumless = |running: &super::Running| {
            running.last.as_ref().is_some_and(|w| w.cluster_status == ClusterStatus::NonPrimary)
        };
        if !matches!(&self.stage, Stage::Running(running) if quorumless(running)) {
            bail!("this member does not live without quorum (any more)");
        }
        self.intend(begin)?;
        self.keep(Memory::promotes)?;
        if let Stage::Running(running) = &mut self.stage {
            let (asking, next) = (Pending::default(), Instant::now());
            running.promotion = Some(Promotion { order, asking, next, refused: None });
        }
        Ok(())
    }

    /// Asks for it, as long as the order stands and it is not so.
    pub(super) fn press_promotion(&mut self) -> Result<()> {
        let order = self.hold.as_ref().map(|(hold, _)| hold.order);
        let Stage::Running(running) = &mut self.stage else { return Ok(()) };
        let quorumless = running.last.as_ref().is_some_and(|w| w.cluster_status == ClusterStatus::NonPrimary);
        let Some(promotion) = &mut running.promotion else {
            // An earlier life of this supervisor asked for it, or it could not be asked for: nobody does any more, and while
            // that is open nobody else begins either. It may have been primary for a moment.
            let open = quorumless && self.memory.beginning.is_some();
            return if open { self.no_promotion("nobody asks for it any more") } else { Ok(()) };
        };
        if order != Some(promotion.order) {
            let why = promotion.refused.take().unwrap_or_else(|| "the order is over".into());
            running.promotion = None;
            // One that is on its way to Galera at this moment may come about all the same.
            return self.no_promotion(&why);
        }
        if Instant::now() >= promotion.next && promotion.asking.begin() {
            promotion.next = Instant::now() + AGAIN_AFTER;
            let (config, events, looks) = (Arc::clone(&self.config), self.events.clone(), Arc::clone(&running.looks));
            std::thread::spawn(move || {
                let asked = looks.promote(&config.mariadb.socket, &config.mariadb.admin_user).map_err(sql::in_words);
                let _ = events.send(Event::PromotionAsked(asked));
            });
        }
        Ok(())
    }

    fn no_promotion(&mut self, why: &str) -> Result<()> {
        log::warn("promotion.given_up", &[("why", &why)]);
        let saved = self.datadir.look().saved_view.present().cloned();
        self.keep(|memory| memory.rested(saved.as_ref()))
    }

    /// What Galera answered. OK is no promise: whether it is primary is looked at.
    pub(super) fn promotion_asked(&mut self, asked: Result<()>) {
        let Stage::Running(running) = &mut self.stage else { return };
        let Some(promotion) = &mut running.promotion else { return };
        promotion.asking.end();
        let refused = asked.err().map(|e| format!("{e:#}"));
        if let Some(why) = refused.as_ref().filter(|_| promotion.refused != refused) {
            log::warn("promotion.refused", &[("why", why), ("then", &"asked again until it is primary")]);
        }
        promotion.refused = refused;
    }

    /// It is primary.
    pub(super) fn promoted(&mut self) {
        let Stage::Running(running) = &mut self.stage else { return };
        if running.promotion.take().is_some() {
            log::info("promoted", &[]);
        }
    }
}
