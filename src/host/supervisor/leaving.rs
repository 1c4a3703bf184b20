//! Stopping `mariadbd`, and what its end means.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::sys::signal::Signal;
use serde_json::json;

use super::{Ended, Event, Stage, StopReason, Stopping, Supervising};
use crate::agent::api::{self, DepartedBody};
use crate::agent::client::Client;
use crate::cli::Exit;
use crate::cluster::observation::StartMode;
use crate::galera::log_lines::{LogKind, evidence};
use crate::galera::wsrep::ClusterStatus;
use crate::host::{mariadbd, sql};
use crate::log;

/// Pause between two looks at the clients of a leaving member.
const CLIENTS_EVERY: Duration = Duration::from_millis(200);

/// A stop that waits for clients to go.
#[derive(Debug, Clone)]
pub(super) struct Leaving {
    /// SIGKILL so long after SIGTERM.
    limit: Duration,
    pub(super) reason: String,
}

impl Supervising {
    /// Stops `mariadbd` and ends. Returns whether there is nothing to wait for.
    pub(super) fn leave(&mut self, limit: Duration, reason: &str) -> Result<bool> {
        self.asked_to_stop.store(true, std::sync::atomic::Ordering::Relaxed);
        log::info("leave", &[("why", &reason)]);
        self.journal.record("leave", json!({ "why": reason, "phase": self.phase() }));
        match &mut self.stage {
            Stage::Running(running) if running.serves() && running.leaving.is_none() => {
                let reason = reason.to_owned();
                running.leaving = Some(Leaving { limit, reason });
                self.since = Instant::now();
                self.let_clients_go();
                Ok(false)
            }
            // Nobody is served, or whoever asks a second time means now.
            Stage::Running(_) => {
                self.stop(StopReason::Leave, limit, reason)?;
                Ok(false)
            }
            Stage::Stopping(stopping) => {
                stopping.why = StopReason::Leave;
                stopping.deadline = stopping.deadline.min(Instant::now() + limit);
                Ok(false)
            }
            Stage::Waiting { .. } => Ok(true),
            // Their children end first: nothing of ours may be left on the data directory.
            Stage::Preparing | Stage::Recovering => Ok(false),
        }
    }

    /// From now on health says that this member leaves; proxies move their clients meanwhile.
    fn let_clients_go(&self) {
        let (config, events) = (Arc::clone(&self.config), self.events.clone());
        std::thread::spawn(move || {
            let until = Instant::now() + config.timeouts.leave_grace;
            let left = loop {
                match sql::clients(&config.mariadb.socket, &config.mariadb.admin_user) {
                    Ok(0) => break Some(0),
                    Ok(left) if Instant::now() >= until => break Some(left),
                    // It cannot be asked: then nobody waits for it either.
                    Err(_) => break None,
                    Ok(_) => std::thread::sleep(CLIENTS_EVERY),
                }
            };
            let _ = events.send(Event::ClientsGone { left });
        });
    }

    /// The clients of a leaving member are gone, or had their time.
    pub(super) fn clients_gone(&mut self, left: Option<u64>) -> Result<()> {
        let Stage::Running(running) = &self.stage else {
            return Ok(());
        };
        let Some(leaving) = running.leaving.clone() else {
            return Ok(());
        };
        if let Some(left) = left.filter(|left| *left > 0) {
            log::warn(
                "leave.clients_cut",
                &[("connections", &left), ("after_s", &self.config.timeouts.leave_grace.as_secs())],
            );
        }
        self.stop(StopReason::Leave, leaving.limit, &leaving.reason)
    }

    /// Tells the others that this member left in order, so that none of them takes it for lost when it is
    /// asked whether it may leave too. Whoever is not reached takes it for lost: that errs on the safe side, but
    /// then `bosh stop` of all is refused at the last of them; hence a second try.
    fn say_goodbye(&self) {
        let client = Client::new(&self.config.agents, self.config.timeouts.ask, self.config.mariadb.galera_port);
        let body = DepartedBody { member: self.me.name.clone() };
        std::thread::scope(|scope| {
            for other in self.config.cluster.members.iter().filter(|m| m.name != self.me.name) {
                let (client, body) = (&client, &body);
                scope.spawn(move || {
                    let told =
                        client.tell(other, api::DEPARTED, body).or_else(|_| client.tell(other, api::DEPARTED, body));
                    if let Err(e) = told {
                        log::info("goodbye.not_told", &[("to", &other.name), ("why", &format!("{e:#}"))]);
                    }
                });
            }
        });
    }

    /// Begins to stop `mariadbd`: SIGTERM where it is heard, SIGKILL where it would be ignored.
    ///
    /// Before SQL is open, SIGTERM is blocked in `mariadbd`; if a primary component comes later, the node
    /// is Synced, answers nobody, and cannot be stopped any more. Nobody was served yet, so SIGKILL loses
    /// nothing there; the whole process group, because transfer scripts live on otherwise.
    pub(super) fn stop(&mut self, why: StopReason, limit: Duration, reason: &str) -> Result<()> {
        let Stage::Running(running) = &self.stage else {
            return Ok(());
        };
        let (child, mode) = (running.child.clone(), running.mode);
        let heard = running.sql_was_open;
        // Asked once more: quorum may have been lost since the last look.
        let fresh = heard.then(|| sql::look(&self.config.mariadb.socket, &self.config.mariadb.admin_user).1).flatten();
        let status = fresh.as_ref().or(running.last.as_ref()).map(|w| w.cluster_status);
        // Galera removes the saved view on every SIGTERM, also without quorum, and the others would wait
        // for this member for ever; a member of the primary component leaves it for good.
        let alone = fresh.as_ref().or(running.last.as_ref()).is_some_and(|w| w.is_primary() && w.cluster_size == 1);
        // Whatever cannot be written down, on a full disk say, is concluded from a clean stop later; the stop
        // itself must not wait for it.
        let kept = match status {
            Some(ClusterStatus::NonPrimary) if heard && why != StopReason::GivenUp => self.datadir.copy_view(),
            Some(ClusterStatus::Primary) | None if heard => self.keep(|memory| memory.left = true).map(|()| None),
            _ => Ok(None),
        };
        let view = kept.unwrap_or_else(|e| {
            log::error("memory.not_kept", &[("why", &format!("{e:#}"))]);
            None
        });
        let signal = if heard { Signal::SIGTERM } else { Signal::SIGKILL };
        log::info("mariadbd.stopping", &[("signal", &signal), ("why", &reason)]);
        self.journal.record("mariadbd.stopping", json!({ "signal": signal.as_str(), "why": reason }));
        if heard {
            child.process().signal(signal)?;
        } else {
            child.process().signal_group(signal)?;
        }
        let deadline = Instant::now() + limit;
        self.enter(Stage::Stopping(Box::new(Stopping {
            child,
            mode,
            why,
            deadline,
            killed: !heard,
            view,
            alone,
            reason: reason.into(),
        })));
        Ok(())
    }

    /// Looks after a stop under way: SIGKILL at its deadline.
    pub(super) fn press_stop(&mut self) -> Result<()> {
        let Stage::Stopping(stopping) = &mut self.stage else {
            return Ok(());
        };
        if !stopping.killed && Instant::now() >= stopping.deadline {
            stopping.killed = true;
            log::warn(
                "mariadbd.killed",
                &[("why", &"it did not end in time after SIGTERM; committed data is recovered at the next start")],
            );
            stopping.child.process().signal_group(Signal::SIGKILL)?;
        }
        Ok(())
    }

    /// `mariadbd` is gone: asked for, or by itself.
    pub(super) fn ended(&mut self, ended: &Ended) -> Result<Option<Exit>> {
        match std::mem::replace(&mut self.stage, Stage::Preparing) {
            Stage::Stopping(stopping) => self.stopped(&stopping, ended),
            Stage::Running(running) => {
                let errors = mariadbd::last_errors(&self.config, running.log_since).join(" | ");
                let mode = format!("{:?}", running.mode);
                log::error("mariadbd.died", &[("status", &ended.text), ("mode", &mode), ("errors", &errors)]);
                self.journal
                    .record("mariadbd.died", json!({ "status": ended.text, "mode": running.mode, "errors": errors }));
                self.end_orphaned_transfers();
                // It was ahead of the component that it joined. Galera aborts, and zeroes grastate.dat as an
                // interrupted transfer does; the next start must not take it for one.
                if evidence(&mariadbd::error_log_since(&self.config, running.log_since))
                    .iter()
                    .any(|line| line.kind == LogKind::ReversingHistory)
                {
                    self.keep(|memory| memory.joining = None)?;
                }
                // Not started again from here: monit decides, and `monit unmonitor` keeps it down (Q19).
                Ok(Some(Exit::Status(ended.code)))
            }
            other => {
                self.stage = other;
                Ok(None)
            }
        }
    }

    fn stopped(&mut self, stopping: &Stopping, ended: &Ended) -> Result<Option<Exit>> {
        if let Some(view) = &stopping.view {
            self.datadir.put_view_back(view)?;
        }
        let clean = self.datadir.look().grastate.present().and_then(|g| g.clean_position());
        let position = clean.map_or_else(|| "not clean".to_owned(), |p| p.to_string());
        log::info("mariadbd.stopped", &[("status", &ended.text), ("grastate", &position)]);
        self.journal.record("mariadbd.stopped", json!({ "status": ended.text, "grastate": position }));
        if let Some(position) = clean {
            let kept = self.keep(|memory| {
                memory.left_alone = stopping.alone.then_some(position);
                // Only forward: a member that never caught up does not forget what it had.
                let further = memory
                    .last_position
                    .is_none_or(|p| p.history() != position.history() || p.seqno() < position.seqno());
                if further && memory.joining.is_none() {
                    memory.last_position = Some(position);
                }
            });
            if let Err(e) = kept {
                log::error("memory.not_kept", &[("why", &format!("{e:#}"))]);
            }
        }
        match stopping.why {
            StopReason::Leave => {
                if clean.is_some() && !stopping.alone {
                    self.say_goodbye();
                }
                Ok(Some(Exit::Done))
            }
            StopReason::GivenUp => {
                // It was tried with the view, and led nowhere. A process that was adopted may have had
                // company that did not fit; with the view it is tried once more.
                if stopping.mode == StartMode::RestoreView {
                    self.set_view_aside()?;
                }
                self.recover();
                Ok(None)
            }
            StopReason::Order => {
                self.recover();
                Ok(None)
            }
        }
    }
}
