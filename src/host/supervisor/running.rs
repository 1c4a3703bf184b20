//! A running `mariadbd`: watching it come up, what follows once it is Synced, and stopping it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use serde_json::json;

use super::{ChildHandle, Ended, Event, Stage, StopReason, Stopping, Supervising};
use crate::agent::client::Client;
use crate::cli::Exit;
use crate::cluster::hold::Begin;
use crate::cluster::lineage::{Incarnation, Lineage};
use crate::cluster::observation::{CaughtUp, File, MemberView, Sql, StartMode};
use crate::cluster::primary::{Primaries, primaries};
use crate::cluster::standing::{Provenance, Standing, Unknown};
use crate::cluster::start::{ByItself, without_primary};
use crate::config::{self, SeedConfig};
use crate::galera::log_lines::{in_primary_component, must_restart};
use crate::galera::position::Position;
use crate::galera::wsrep::{ClusterStatus, LocalState, Wsrep};
use crate::host::random::random_uuid;
use crate::host::{mariadbd, seed, sql};
use crate::log;

/// Pause between two looks by SQL.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// How often what follows Synced is done again in an unchanged view: a peer's agent may have been away.
const SETTLE_EVERY: Duration = Duration::from_secs(60);
/// Pause after a failure of that.
const RETRY_AFTER: Duration = Duration::from_secs(3);
/// How often it is asked whether a start leads anywhere.
const DOUBT_EVERY: Duration = Duration::from_secs(3);
/// In no group for so long, a member does not come back by itself.
const DISCONNECTED_LIMIT: Duration = Duration::from_secs(15);
/// How often the last position is remembered while serving.
const REMEMBER_EVERY: Duration = Duration::from_secs(10);

/// A `mariadbd` under watch.
pub(super) struct Running {
    pub(super) child: ChildHandle,
    pub(super) mode: StartMode,
    /// Where the error log's lines of this life begin.
    log_since: u64,
    /// Whether SQL has ever answered: from then on SIGTERM is heard, before that it is ignored.
    pub(super) sql_was_open: bool,
    probing: bool,
    next_probe: Instant,
    /// When it was last asked whether this life leads anywhere.
    doubted: Instant,
    last: Option<Wsrep>,
    /// When what Galera shows of its view last changed.
    view_since: Instant,
    /// Without quorum: when the others are asked next what can be done about it; none while they are asked.
    ask_next: Option<Instant>,
    /// Why nothing is done about it yet.
    without_quorum: Option<String>,
    /// Where this member stood when it last had no quorum.
    stood_without_quorum: Option<Position>,
    /// The view in which what follows Synced was done, and when; done again after each change of view.
    settled_in: Option<(Option<u64>, Instant)>,
    settling: bool,
    /// Since when it has been in no group.
    disconnected: Option<Instant>,
    /// Why settling failed last, and when.
    unsettled: Option<(String, Instant)>,
    remembered: Option<Instant>,
}

/// What was found out once Synced.
pub(super) struct Settled {
    conf_id: Option<u64>,
    changed: Vec<String>,
    lineage: Lineage,
}

impl Running {
    /// For how long Galera's view has been the same, where SQL is open.
    pub(super) fn view_seconds(&self) -> Option<u64> {
        self.last.as_ref().map(|_| self.view_since.elapsed().as_secs())
    }

    pub(super) fn new(child: ChildHandle, mode: StartMode, log_since: u64) -> Running {
        let sql_was_open = false;
        Running {
            child,
            mode,
            log_since,
            sql_was_open,
            probing: false,
            next_probe: Instant::now(),
            doubted: Instant::now(),
            last: None,
            view_since: Instant::now(),
            ask_next: Some(Instant::now()),
            without_quorum: None,
            stood_without_quorum: None,
            settled_in: None,
            settling: false,
            disconnected: None,
            unsettled: None,
            remembered: None,
        }
    }

    pub(super) fn detail(&self) -> String {
        match (&self.last, self.mode) {
            (Some(wsrep), _) if wsrep.is_synced() => {
                format!("Synced, in a primary component of {}", wsrep.cluster_size)
            }
            (Some(wsrep), _) if wsrep.is_primary() => format!("{}: in a primary component", wsrep.local_state_comment),
            (Some(wsrep), _) => {
                let more = self.without_quorum.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                format!("{}: no quorum{more}", wsrep.local_state_comment)
            }
            (None, _) if self.sql_was_open => "mariadbd runs, and does not answer at the moment".into(),
            (None, StartMode::Join) => "mariadbd was started to join, and has not opened SQL yet".into(),
            (None, StartMode::Bootstrap) => {
                "mariadbd was started to begin a new incarnation, and has not opened SQL yet".into()
            }
            (None, StartMode::RestoreView) => {
                "mariadbd was started with its saved view, and waits for the other members of it".into()
            }
            (None, StartMode::Adopted) => "mariadbd ran already, and has not opened SQL yet".into(),
        }
    }
}

impl Supervising {
    /// Looks after a running `mariadbd`; called at each tick.
    pub(super) fn watch(&mut self) -> Result<()> {
        let Stage::Running(running) = &mut self.stage else {
            return Ok(());
        };
        if !running.probing && Instant::now() >= running.next_probe {
            running.probing = true;
            let (config, events) = (Arc::clone(&self.config), self.events.clone());
            std::thread::spawn(move || {
                let (met, wsrep) = sql::look(&config.mariadb.socket, &config.mariadb.admin_user);
                let _ = events.send(Event::Probed(met, wsrep.map(Box::new)));
            });
        }
        let due = running.ask_next.is_some_and(|at| Instant::now() >= at);
        if due && running.last.as_ref().is_some_and(|w| w.cluster_status == ClusterStatus::NonPrimary) {
            running.ask_next = None;
            self.ask_others();
        }
        let Stage::Running(running) = &mut self.stage else {
            return Ok(());
        };
        if running.doubted.elapsed() > DOUBT_EVERY {
            running.doubted = Instant::now();
            if let Some(why) = self.leads_nowhere() {
                self.stop(StopReason::GivenUp, self.config.timeouts.stop, &why)?;
            }
        }
        Ok(())
    }

    /// Whether this life of `mariadbd` will never serve, and why. Galera leaves processes behind that wait
    /// for ever, or are in no group any more; we do not (K2).
    fn leads_nowhere(&self) -> Option<String> {
        let Stage::Running(running) = &self.stage else {
            return None;
        };
        if let Some(since) = running.disconnected {
            let lost = since.elapsed() > DISCONNECTED_LIMIT;
            return lost
                .then(|| "mariadbd runs, is in no group of members, and does not come back by itself".to_owned());
        }
        if running.sql_was_open {
            return None;
        }
        let log = mariadbd::error_log_since(&self.config, running.log_since);
        if running.mode != StartMode::Adopted
            && let Some(line) = must_restart(&log)
        {
            return Some(line.to_owned());
        }
        // Once the component is primary, the rest is a matter of state transfer and recovery, which take as
        // long as they take. A process that was adopted has an unknown past, and the same chance.
        let limit = self.config.timeouts.restore;
        let waited = running.child.age() > limit && in_primary_component(&log) != Some(true);
        waited.then(|| format!("it found no primary component within {} s", limit.as_secs()))
    }

    pub(super) fn probed(&mut self, met: Sql, wsrep: Option<Wsrep>) {
        let Stage::Running(running) = &mut self.stage else {
            return;
        };
        (running.probing, running.next_probe) = (false, Instant::now() + PROBE_EVERY);
        if matches!(met, Sql::Open { .. } | Sql::TooManyConnections | Sql::Denied) && !running.sql_was_open {
            running.sql_was_open = true;
            self.since = Instant::now();
            log::info("sql.open", &[("after_ms", &running.child.age().as_millis())]);
        }
        let shown = |w: &Option<Wsrep>| {
            w.as_ref().map(|w| (w.local_state, w.cluster_status, w.cluster_size, w.cluster_conf_id))
        };
        if shown(&running.last) != shown(&wsrep)
            && let Some(now) = &wsrep
        {
            let pairs: [(&str, &dyn std::fmt::Display); 3] =
                [("state", &now.local_state_comment), ("primary", &now.is_primary()), ("size", &now.cluster_size)];
            log::info("view.changed", &pairs);
            running.view_since = Instant::now();
            running.without_quorum = None;
            // K15: what the cluster looked like, when, kept on disk.
            self.journal.record("view.changed", json!({ "state": now.local_state_comment, "primary": now.is_primary(), "size": now.cluster_size, "conf_id": now.cluster_conf_id, "members": now.incoming_addresses }));
        }
        // A member that was voted out stays as it is, for whoever looks into it.
        let lost = wsrep.as_ref().is_some_and(|w| {
            w.cluster_status == ClusterStatus::Disconnected && w.local_state != LocalState::Inconsistent
        });
        running.disconnected = lost.then(|| running.disconnected.unwrap_or_else(Instant::now));
        if let Some(now) = wsrep.as_ref().filter(|w| w.cluster_status == ClusterStatus::NonPrimary) {
            running.stood_without_quorum = now.position();
        }
        let changed = shown(&running.last) != shown(&wsrep);
        running.last.clone_from(&wsrep);
        let Some(wsrep) = wsrep else { return };
        if changed && let Err(e) = self.remember_view(&wsrep) {
            log::error("memory.not_kept", &[("why", &format!("{e:#}"))]);
        }
        let Stage::Running(running) = &mut self.stage else {
            return;
        };
        if wsrep.is_synced() {
            let conf_id = wsrep.cluster_conf_id;
            let settled = running.settled_in.is_some_and(|(view, at)| view == conf_id && at.elapsed() < SETTLE_EVERY);
            let failed = running.unsettled.as_ref().is_some_and(|(_, at)| at.elapsed() < RETRY_AFTER);
            if !settled && !running.settling && !failed {
                running.settling = true;
                self.settle(&wsrep);
            }
        }
        self.remember(&wsrep);
    }

    /// Keeps which primary view this member is in, and what Galera itself forgets.
    fn remember_view(&self, wsrep: &Wsrep) -> Result<()> {
        if wsrep.local_state == LocalState::Inconsistent {
            return self.keep(|memory| memory.voted_out = true);
        }
        match self.datadir.look().saved_view {
            File::Present(view) if wsrep.is_primary() => self.keep(|memory| {
                // The file is ahead of SQL while commits of before the view wait to be applied.
                if let Some(position) = wsrep.position().filter(|_| view.members.len() == wsrep.cluster_size as usize) {
                    memory.caught_up = Some(CaughtUp { view: view.id(), position });
                }
                memory.was_in(view);
            }),
            _ => Ok(()),
        }
    }

    /// The others were asked while this member lives without quorum.
    pub(super) fn peers_answered_without_quorum(&mut self, views: &[MemberView]) -> Result<()> {
        let Stage::Running(running) = &mut self.stage else {
            return Ok(());
        };
        running.ask_next = Some(Instant::now() + DOUBT_EVERY);
        let Some(wsrep) = running.last.clone().filter(|w| w.cluster_status == ClusterStatus::NonPrimary) else {
            return Ok(());
        };
        if self.holding() || self.stop_asked() {
            return Ok(());
        }
        let own = self.observation_with((Sql::Open { milliseconds: 0 }, Some(wsrep)));
        match without_primary(&self.config.cluster, self.config.auto_recovery, &self.me, &own, views) {
            ByItself::Begin(proof) => self.recover_cluster(&proof, views),
            ByItself::End(why) => self.stop(StopReason::GivenUp, self.config.timeouts.stop, &why)?,
            ByItself::Wait(why) => {
                if let Stage::Running(running) = &mut self.stage
                    && running.without_quorum.as_ref() != Some(&why)
                {
                    log::info("quorum.lost", &[("decision", &why)]);
                    running.without_quorum = Some(why);
                }
            }
        }
        Ok(())
    }

    /// Where this member stands at this moment.
    pub(super) fn standing_now(&self) -> Standing {
        match &self.stage {
            Stage::Running(running) => match running.last.as_ref().and_then(Wsrep::position) {
                Some(position) => Standing::At { position, from: Provenance::LiveSql },
                None => Standing::unknown(Unknown::NoPosition, "the server tells no position"),
            },
            _ => self.standing.clone(),
        }
    }

    /// Makes this live member and its component primary, by an order that was checked.
    pub(super) fn promote_by_order(&mut self, begin: &Begin) -> Result<()> {
        let live = matches!(&self.stage, Stage::Running(running) if running.last.as_ref().is_some_and(|w| w.cluster_status == ClusterStatus::NonPrimary));
        if !live {
            bail!("this member does not live without quorum (any more)");
        }
        self.record_incarnation(begin)?;
        let config = Arc::clone(&self.config);
        std::thread::spawn(move || match sql::promote(&config.mariadb.socket, &config.mariadb.admin_user) {
            Ok(()) => log::info("promoted", &[]),
            Err(e) => log::error("promote.failed", &[("why", &e)]),
        });
        Ok(())
    }

    /// Keeps the last position, now and then: the lower bound that nothing may fall behind.
    fn remember(&mut self, wsrep: &Wsrep) {
        let Some(position) = wsrep.position() else {
            return;
        };
        log::set_position(Some(&position));
        let Stage::Running(running) = &mut self.stage else {
            return;
        };
        if running.settled_in.is_some() && running.remembered.is_none_or(|at| at.elapsed() > REMEMBER_EVERY) {
            running.remembered = Some(Instant::now());
            if let Err(e) = self.keep(|memory| memory.last_position = Some(position)) {
                log::error("memory.not_kept", &[("why", &format!("{e:#}"))]);
            }
        }
    }

    /// What follows Synced: databases and users, and the lineage of the others.
    fn settle(&self, wsrep: &Wsrep) {
        let (config, events) = (Arc::clone(&self.config), self.events.clone());
        let (me, own) = (self.me.clone(), self.observation_with((Sql::Open { milliseconds: 0 }, Some(wsrep.clone()))));
        let conf_id = wsrep.cluster_conf_id;
        std::thread::spawn(move || {
            let work = move || -> Result<Settled> {
                let wanted: SeedConfig = config::load(&config.paths.seed_file)?;
                let mut connection =
                    sql::connect(&config.mariadb.socket, &config.mariadb.admin_user).context("connect to seed")?;
                let changed = seed::seed(&mut connection, &wanted)?;
                let views: Vec<MemberView> =
                    Client::ask_others(&config).into_iter().chain([MemberView::own(&me, own)]).collect();
                // Only of the component that this member is in: there may be another one beside it.
                let mine = match primaries(views.iter().filter_map(MemberView::seen)) {
                    Primaries::None => None,
                    Primaries::One(primary) => Some(primary).filter(|p| p.members.contains(&me.name)),
                    Primaries::Split(sides) => sides.into_iter().find(|p| p.members.contains(&me.name)),
                };
                // Settled without it, this member would remember less than it took part in.
                if let Some(other) =
                    mine.as_ref().and_then(|p| p.unrecorded.as_ref()).filter(|member| **member != me.name)
                {
                    bail!("{other} was bootstrapped, and has not recorded it yet")
                }
                let lineage = mine.map(|p| p.lineage).unwrap_or_default();
                Ok(Settled { conf_id, changed, lineage })
            };
            let _ = events.send(Event::Settled(work()));
        });
    }

    pub(super) fn settled(&mut self, result: Result<Settled>) {
        let kept = result.and_then(|settled| self.keep_settled(settled));
        let Stage::Running(running) = &mut self.stage else {
            return;
        };
        running.settling = false;
        let before = running.unsettled.take();
        if let Err(e) = kept {
            // Tried again; the member serves meanwhile. The same again is not told again.
            let why = format!("{e:#}");
            if before.is_none_or(|(told, _)| told != why) {
                log::error("settle.failed", &[("why", &why)]);
            }
            running.unsettled = Some((why, Instant::now()));
        }
    }

    fn keep_settled(&mut self, settled: Settled) -> Result<()> {
        let Stage::Running(running) = &mut self.stage else {
            return Ok(());
        };
        let Some(wsrep) = running.last.clone().filter(Wsrep::is_synced) else {
            return Ok(());
        };
        let Some(position) = wsrep.position() else {
            return Ok(());
        };
        let own = self.store.memory();
        let stood = running.stood_without_quorum.or(own.last_position).unwrap_or(position);
        let mut lineage = own.lineage.longer(&settled.lineage).clone();
        if lineage.is_empty() {
            // A first deploy that got here, or a cluster that ran before this release looked after it.
            let first = first_incarnation(&own.founding, position, &wsrep, &self.me.name)?;
            lineage = lineage.with(first);
        }
        let view = self.datadir.look().saved_view.present().filter(|v| v.bootstrap).cloned();
        if let Some(view) = view.as_ref().filter(|v| !own.explains(v) && own.lineage.newest() == lineage.newest()) {
            // Somebody promoted this component by hand; whoever was further is then told from those behind.
            if !view.represented_here() {
                bail!("this component was promoted by hand, and the member that represents it has not recorded that");
            }
            let incarnation = self.incarnation(stood, "promoted by hand, with pc.bootstrap", &[])?;
            log::warn("bootstrap.by_hand", &[("began_at", &stood)]);
            self.journal.record("bootstrap.by_hand", json!({ "incarnation": incarnation }));
            lineage = lineage.with(incarnation);
        }
        let newest = lineage.newest().map(|i| i.id);
        self.keep(|memory| {
            memory.begun = false;
            memory.explained = view.map(|v| v.id());
            memory.lineage = lineage;
            memory.incarnation = newest;
            memory.last_position = Some(position);
            memory.joining = None;
            memory.founding = false;
            memory.voted_out = false;
            memory.superseded = false;
        })?;
        self.remember_view(&wsrep)?;
        let Stage::Running(running) = &mut self.stage else {
            return Ok(());
        };
        let again = running.settled_in.is_some_and(|(view, _)| view == settled.conf_id);
        running.settled_in = Some((settled.conf_id, Instant::now()));
        running.remembered = Some(Instant::now());
        if !again || !settled.changed.is_empty() {
            let seeded = settled.changed.join(", ");
            log::info("synced", &[("size", &wsrep.cluster_size), ("seeded", &seeded)]);
            let details = json!({ "position": position, "size": wsrep.cluster_size, "seeded": settled.changed });
            self.journal.record("synced", details);
        }
        Ok(())
    }

    /// Stops `mariadbd` and ends. Returns whether there is nothing to wait for.
    pub(super) fn leave(&mut self, limit: Duration, reason: &str) -> Result<bool> {
        self.asked_to_stop.store(true, std::sync::atomic::Ordering::Relaxed);
        log::info("leave", &[("why", &reason)]);
        self.journal.record("leave", json!({ "why": reason, "phase": self.phase() }));
        match &mut self.stage {
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
        let view = match status {
            Some(ClusterStatus::NonPrimary) if heard && why != StopReason::GivenUp => self.datadir.copy_view()?,
            Some(ClusterStatus::Primary) | None if heard => {
                self.keep(|memory| memory.left = true)?;
                None
            }
            _ => None,
        };
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
            // Only forward: a member that never caught up does not forget what it had.
            self.keep(|memory| {
                let further = memory
                    .last_position
                    .is_none_or(|p| p.history() != position.history() || p.seqno() < position.seqno());
                if further && memory.joining.is_none() {
                    memory.last_position = Some(position);
                }
            })?;
        }
        match stopping.why {
            StopReason::Leave => Ok(Some(Exit::Done)),
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

fn first_incarnation(founding: &bool, position: Position, wsrep: &Wsrep, me: &str) -> Result<Incarnation> {
    let (began_at, proof) = if *founding {
        (0, "FirstDeploy".to_owned())
    } else {
        // What was before is one history as far as anybody can tell; it counts as the first incarnation.
        (0, format!("found running at {position} in a component of {}", wsrep.cluster_size))
    };
    Ok(Incarnation {
        number: 1,
        id: random_uuid()?,
        history: position.history(),
        began_at,
        by: me.to_owned(),
        at: log::now(),
        proof,
        left_out: Vec::new(),
        group: None,
    })
}
