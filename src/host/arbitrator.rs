//! The arbitrator's supervisor: looks, decides by [`crate::cluster::arbitration`], starts and stops `garbd`.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::garbd::Garbd;
use crate::agent::client::Client;
use crate::arbitrator_config::ArbitratorConfig;
use crate::cluster::arbitration::{Arbitration, ArbitratorSeen, arbitrate};
use crate::cluster::member::Member;
use crate::cluster::observation::MemberView;
use crate::cluster::start::back_off;
use crate::log;

/// What garbd says is looked at so often.
const ROUND: Duration = Duration::from_secs(1);
/// The members' agents are asked so often while it votes, and so often while it does not.
const ASK_VOTING: Duration = Duration::from_secs(5);
const ASK_OUTSIDE: Duration = Duration::from_secs(2);
/// So long it must have lived for its deaths to be forgotten.
const STAYED: Duration = Duration::from_secs(60);

/// What is told to whoever asks.
pub type Told = Arc<Mutex<ArbitratorSeen>>;

/// The supervisor of an arbitrator.
pub struct Arbitrating {
    config: ArbitratorConfig,
    garbd: Option<(Garbd, Instant)>,
    views: Vec<MemberView>,
    asked: Option<Instant>,
    deaths: u32,
    patient_until: Instant,
    last: String,
    told: Told,
}

/// Runs until `stop` says so; then garbd leaves the group. What goes on is in `told`.
pub fn run(config: ArbitratorConfig, told: Told, stop: &Receiver<()>) -> Result<()> {
    let garbd = Garbd::found(&config).map(|garbd| (garbd, Instant::now()));
    if let Some((garbd, _)) = &garbd {
        log::info("garbd.adopted", &[("pid", &garbd.pid())]);
    }
    let patient_until = Instant::now();
    let mut arbitrating = Arbitrating {
        config,
        garbd,
        views: Vec::new(),
        asked: None,
        deaths: 0,
        patient_until,
        last: String::new(),
        told,
    };
    loop {
        // A round that fails is told, and the next one is tried: the vote may be needed any moment.
        if let Err(e) = arbitrating.round() {
            arbitrating.tell("arbitrator.failed", &format!("{e:#}"), None);
        }
        match stop.recv_timeout(ROUND) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return arbitrating.leave("it was told to stop"),
        }
    }
}

impl Arbitrating {
    fn round(&mut self) -> Result<()> {
        self.bury();
        self.ask();
        let running = self.garbd.as_mut().map(|(garbd, _)| garbd.look());
        let decision = arbitrate(&self.config.cluster, &self.views, running.as_ref());
        match &decision {
            Arbitration::Join { group, .. } if Instant::now() >= self.patient_until => {
                let garbd = Garbd::start(&self.config, group)?;
                log::info("garbd.started", &[("pid", &garbd.pid()), ("group", group)]);
                self.garbd = Some((garbd, Instant::now()));
            }
            Arbitration::Join { .. } => {
                let patience = back_off(self.deaths);
                let why =
                    format!("wait {patience:?}: garbd ended {} times without staying; then {decision}", self.deaths);
                self.tell("arbitrator.decided", &why, None);
                return Ok(());
            }
            Arbitration::Leave(why) => {
                // One that is not let in must not shake the group again and again.
                self.be_patient();
                self.leave(why)?;
            }
            Arbitration::StayOut(_) | Arbitration::Keep(_) => {}
        }
        let running = self.garbd.as_mut().map(|(garbd, _)| garbd.look());
        self.tell("arbitrator.decided", &decision.to_string(), running);
        Ok(())
    }

    /// A garbd that ended by itself is started again as a new one would be, more and more rarely.
    fn bury(&mut self) {
        let Some((garbd, begun)) = &mut self.garbd else { return };
        if garbd.lives() {
            if begun.elapsed() > STAYED {
                self.deaths = 0;
            }
            return;
        }
        log::warn("garbd.ended", &[("status", &garbd.status()), ("said", &garbd.last_words())]);
        self.garbd = None;
        self.be_patient();
    }

    /// It ended, or was ended, without having stayed: the more often, the longer until the next.
    fn be_patient(&mut self) {
        self.deaths += 1;
        self.patient_until = Instant::now() + back_off(self.deaths);
    }

    fn ask(&mut self) {
        let every = if self.garbd.is_some() { ASK_VOTING } else { ASK_OUTSIDE };
        if self.asked.is_none_or(|asked| asked.elapsed() >= every) {
            let members: Vec<&Member> = self.config.cluster.members.iter().collect();
            let port = self.config.garbd.galera_port;
            self.views = Client::new(&self.config.agents, self.config.ask_timeout, port).observe(&members);
            self.asked = Some(Instant::now());
        }
    }

    fn leave(&mut self, why: &str) -> Result<()> {
        let Some((garbd, _)) = self.garbd.take() else { return Ok(()) };
        log::info("garbd.stopping", &[("why", &why)]);
        // What was seen was seen with its vote; the next decision looks again.
        self.asked = None;
        garbd.stop(self.config.stop_timeout).context("let garbd leave")
    }

    /// Tells it, and logs it when it changes.
    fn tell(&mut self, event: &str, what: &str, running: Option<crate::cluster::arbitration::Running>) {
        if self.last != what {
            log::info(event, &[("what", &what)]);
            what.clone_into(&mut self.last);
        }
        if let Ok(mut told) = self.told.lock() {
            what.clone_into(&mut told.detail);
            told.component = running.as_ref().and_then(|r| r.component);
            told.group = running.map(|r| r.group);
        }
    }
}
