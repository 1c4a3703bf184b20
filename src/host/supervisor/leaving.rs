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
use crate::cluster::memory::{CleanStop, Memory};
use crate::cluster::observation::{File, Sql, StartMode};
use crate::cluster::start::back_off;
use crate::galera::log_lines::{LogKind, evidence};
use crate::galera::wsrep::{ClusterStatus, Wsrep};
use crate::host::sql::Looks;
use crate::host::{mariadbd, processes};
use crate::log;

/// Pause between two looks at the clients of a leaving member.
const CLIENTS_EVERY: Duration = Duration::from_millis(200);

/// How long the last look before a stop is waited for; a server that hangs is stopped all the same.
const LAST_LOOK: Duration = Duration::from_secs(3);
/// How long one that serves nobody may take to end.
const UNSERVED: Duration = Duration::from_secs(5);
/// A stop that moves nothing for so long is given up. That costs a crash recovery, and nothing that was committed.
const STANDS_STILL: Duration = Duration::from_secs(60);

/// A stop that waits for the last look.
#[derive(Debug, Clone)]
pub(super) struct Stop {
    why: StopReason,
    /// SIGKILL so long after SIGTERM.
    limit: Duration,
    pub(super) reason: String,
    since: Instant,
}

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
                let looks = Arc::clone(&running.looks);
                self.let_clients_go(looks);
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
            Stage::Waiting { .. } => {
                self.bring_to_disk_at_the_end(Instant::now() + limit);
                Ok(true)
            }
            // Their children end first: nothing of ours may be left on the data directory.
            Stage::Preparing | Stage::Recovering => Ok(false),
        }
    }

    /// From now on health says that this member leaves; proxies move their clients meanwhile.
    fn let_clients_go(&self, looks: Arc<Looks>) {
        let (config, events) = (Arc::clone(&self.config), self.events.clone());
        std::thread::spawn(move || {
            let until = Instant::now() + config.timeouts.leave_grace;
            let left = loop {
                match looks.clients(&config.mariadb.socket, &config.mariadb.admin_user) {
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
    ///
    /// SQL may have been opened since the last look, or quorum lost, and what is done rests on both: so it is looked at once
    /// more, on a thread that may block.
    pub(super) fn stop(&mut self, why: StopReason, limit: Duration, reason: &str) -> Result<()> {
        let Stage::Running(running) = &mut self.stage else {
            return Ok(());
        };
        let since = running.stop.as_ref().map_or_else(Instant::now, |stop| stop.since);
        let asks = running.stop.is_none();
        // Who has served nobody in this life often hears no SIGTERM after a transfer that failed, nor who is in no group any
        // more: it is asked to leave, which the others notice at once, and not waited for.
        let serves_nobody = !running.served || running.disconnected.is_some();
        let limit = if why == StopReason::GivenUp && serves_nobody { limit.min(UNSERVED) } else { limit };
        running.stop = Some(Stop { why, limit, reason: reason.into(), since });
        if asks {
            let (looks, pid) = (Arc::clone(&running.looks), running.child.pid());
            self.since = Instant::now();
            let (config, events) = (Arc::clone(&self.config), self.events.clone());
            std::thread::spawn(move || {
                let (met, seen) = looks.look(&config.mariadb.socket, &config.mariadb.admin_user);
                let _ = events.send(Event::LastLook { pid, met, wsrep: seen.map(Box::new) });
            });
        }
        Ok(())
    }

    /// What the last look before a stop met; of an earlier life it says nothing.
    pub(super) fn last_looked(&mut self, pid: i32, met: &Sql, fresh: Option<Wsrep>) -> Result<()> {
        let Stage::Running(running) = &mut self.stage else {
            return Ok(());
        };
        if running.child.pid() != pid {
            return Ok(());
        }
        let opened = met.is_open() && !running.sql_was_open;
        if opened && running.stop.as_ref().is_some_and(|stop| stop.why == StopReason::GivenUp) {
            // It got there after all, as the next look tells.
            running.stop = None;
            return Ok(());
        }
        running.sql_was_open |= opened;
        self.stop_after(fresh)
    }

    /// Goes on without the last look where it takes too long.
    pub(super) fn press_last_look(&mut self) -> Result<()> {
        match &self.stage {
            Stage::Running(running) if running.stop.as_ref().is_some_and(|s| s.since.elapsed() > LAST_LOOK) => {
                self.stop_after(None)
            }
            _ => Ok(()),
        }
    }

    /// Sends the signal, knowing as much as can be known.
    pub(super) fn stop_after(&mut self, fresh: Option<Wsrep>) -> Result<()> {
        let Stage::Running(running) = &mut self.stage else {
            return Ok(());
        };
        let Some(Stop { why, limit, reason, .. }) = running.stop.take() else {
            return Ok(());
        };
        let (child, mode, log_since) = (running.child.clone(), running.mode, running.log_since);
        let heard = running.sql_was_open;
        let last = running.last.clone();
        let status = fresh.as_ref().or(last.as_ref()).map(|w| w.cluster_status);
        if heard && let Err(e) = self.remember_last_view(fresh.as_ref()) {
            not_kept(e);
        }
        // Galera removes the saved view on every SIGTERM, also without quorum, and the others would wait
        // for this member for ever; a member of the primary component leaves it for good.
        let alone = fresh.as_ref().or(last.as_ref()).is_some_and(|w| w.is_primary() && w.cluster_size == 1);
        // Whatever cannot be written down, on a full disk say, is concluded from a clean stop later; the stop
        // itself must not wait for it.
        let kept = match status {
            Some(ClusterStatus::NonPrimary) if heard && why != StopReason::GivenUp => self.datadir.copy_view(),
            Some(ClusterStatus::Primary) | None if heard => self.keep(|memory| memory.leave()).map(|()| None),
            _ => Ok(None),
        };
        let view = kept.unwrap_or_else(|e| {
            not_kept(e);
            None
        });
        let signal = if heard { Signal::SIGTERM } else { Signal::SIGKILL };
        log::info("mariadbd.stopping", &[("signal", &signal), ("why", &reason)]);
        self.journal.record("mariadbd.stopping", json!({ "signal": signal.as_str(), "why": reason }));
        let sent = if heard { child.process().signal(signal) } else { child.process().signal_group(signal) };
        if let Err(e) = sent {
            // It is gone, and that is told next; or SIGKILL follows.
            log::warn("signal.not_sent", &[("why", &format!("{e:#}"))]);
        }
        let (deadline, moved) = (Instant::now() + limit, (0, Instant::now()));
        self.enter(Stage::Stopping(Box::new(Stopping {
            child,
            mode,
            log_since,
            why,
            deadline,
            killed: !heard,
            moved,
            view,
            alone,
            reason,
        })));
        Ok(())
    }

    /// Galera removes the saved view on its way out, and with it the sign that somebody made this component primary by hand
    /// since it was last looked at.
    fn remember_last_view(&mut self, fresh: Option<&Wsrep>) -> Result<()> {
        if let Some(wsrep) = fresh {
            self.remember_view(wsrep)?;
        }
        match self.datadir.look().saved_view {
            File::Present(view) if !self.memory.voted_out => self.keep(|memory| memory.was_in(view)),
            _ => Ok(()),
        }
    }

    /// Looks after a stop under way: SIGKILL at its deadline, and where it stands still. What a server still has to do then
    /// it does on its disk; but Galera waits for whoever it gives an incremental transfer, also for a joiner whose VM is gone
    /// without a word, as long as TCP does: a quarter of an hour (T8).
    pub(super) fn press_stop(&mut self) -> Result<()> {
        let Stage::Stopping(stopping) = &mut self.stage else {
            return Ok(());
        };
        let moved = processes::moved(stopping.child.process().pid);
        if moved != stopping.moved.0 {
            stopping.moved = (moved, Instant::now());
        }
        let still = stopping.moved.1.elapsed();
        let why = if Instant::now() >= stopping.deadline {
            "it did not end in time after SIGTERM".to_owned()
        } else if moved > 0 && still >= STANDS_STILL {
            // What cannot be read (a server that somebody started as root) is 0, and says nothing.
            format!("after SIGTERM it has read and written nothing for {} s", still.as_secs())
        } else {
            return Ok(());
        };
        if !stopping.killed {
            stopping.killed = true;
            let why = format!("{why}; committed data is recovered at the next start");
            log::warn("mariadbd.killed", &[("why", &why)]);
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
                self.notice_copy_since(running.log_since).unwrap_or_else(not_kept);
                // It was ahead of the component that it joined. Galera aborts, and zeroes grastate.dat as an
                // interrupted transfer does; the next start must not take it for one.
                if evidence(&mariadbd::error_log_since(&self.config, running.log_since))
                    .iter()
                    .any(|line| line.kind == LogKind::ReversingHistory)
                {
                    self.keep(Memory::join_refused).unwrap_or_else(not_kept);
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
        self.end_orphaned_transfers();
        self.notice_copy_since(stopping.log_since).unwrap_or_else(not_kept);
        if let Some(view) = &stopping.view {
            self.datadir.put_view_back(view).unwrap_or_else(not_kept);
        }
        let clean = self.datadir.look().grastate.present().and_then(|g| g.clean_position());
        let position = clean.map_or_else(|| "not clean".to_owned(), |p| p.to_string());
        log::info("mariadbd.stopped", &[("status", &ended.text), ("grastate", &position)]);
        self.journal.record("mariadbd.stopped", json!({ "status": ended.text, "grastate": position }));
        if let Some(position) = clean {
            let in_order = ended.code == 0 && !stopping.killed;
            let stop = CleanStop { position, alone: stopping.alone, in_order };
            self.keep(|memory| memory.stopped(stop)).unwrap_or_else(not_kept);
        }
        match stopping.why {
            StopReason::Leave => {
                if clean.is_some() && !stopping.alone {
                    self.say_goodbye();
                }
                self.bring_to_disk_at_the_end(stopping.deadline);
                Ok(Some(Exit::Done))
            }
            StopReason::GivenUp => {
                // Begun again and again it would cost a donor each time.
                self.given_up += 1;
                let (pause, times) = (back_off(self.given_up), self.given_up);
                let why =
                    format!("{pause:?}: {times} starts in a row were given up, the last because {}", stopping.reason);
                self.patience = (!pause.is_zero()).then(|| (Instant::now() + pause, why));
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

/// What cannot be written down while `mariadbd` stops is concluded at the next start; the stop does not wait for it.
fn not_kept(e: anyhow::Error) {
    log::error("memory.not_kept", &[("why", &format!("{e:#}"))]);
}
