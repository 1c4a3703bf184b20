//! A running `mariadbd`: watching it come up, and what it shows of the cluster.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use super::ascent::Ascent;
use super::giving::Giving;
use super::leaving::{Leaving, Stop};
use super::pending::Pending;
use super::promoting::Promotion;
use super::settling::{RETRY_AFTER, SETTLE_EVERY, Upgrade};
use super::{ASK_EVERY, ChildHandle, Event, Stage, StopReason, Supervising};
use crate::cluster::maintenance::{Act, keeps_from};
use crate::cluster::memory::Memory;
use crate::cluster::observation::{File, MemberView, Sql, StartMode};
use crate::cluster::primary::{Primaries, primaries};
use crate::cluster::standing::{Provenance, Standing, Unknown};
use crate::cluster::start::{ByItself, without_primary};
use crate::galera::log_lines::{left_for_good, must_restart};
use crate::galera::position::Position;
use crate::galera::wsrep::{ClusterStatus, LocalState, Wsrep};
use crate::host::sql::Looks;
use crate::host::{mariadbd, ports};
use crate::log;

/// Pause between two looks by SQL.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// How often it is asked whether a start leads anywhere.
const DOUBT_EVERY: Duration = Duration::from_secs(2);
/// In no group for so long, a member does not come back by itself.
const DISCONNECTED_LIMIT: Duration = Duration::from_secs(15);
/// How often the last position is remembered while serving.
const REMEMBER_EVERY: Duration = Duration::from_secs(10);
/// What was committed so long ago is on disk: InnoDB syncs its log once a second, also for what is no transaction.
const ON_DISK_AFTER: Duration = Duration::from_secs(4);

/// A `mariadbd` under watch.
pub(super) struct Running {
    pub(super) child: ChildHandle,
    pub(super) mode: StartMode,
    /// Where the error log's lines of this life begin.
    pub(super) log_since: u64,
    /// Whether SQL has ever answered: from then on SIGTERM is heard, before that it is ignored.
    pub(super) sql_was_open: bool,
    /// Whether clients may have been served in this life: it was seen with all of its state in a primary component, or ran
    /// before this supervisor did.
    pub(super) served: bool,
    /// Whether nobody listens for clients, on the socket and on the port.
    pub(super) sql_closed: bool,
    probing: Pending,
    next_probe: Instant,
    pub(super) looks: Arc<Looks>,
    /// When it was last asked whether this life leads anywhere.
    doubted: Instant,
    pub(super) last: Option<Wsrep>,
    /// When what Galera shows of its view last changed.
    view_since: Instant,
    /// When the others are asked next; while it has no quorum, or is on its way up.
    ask_next: Instant,
    asking: Pending,
    /// Why nothing is done about a lost quorum yet.
    without_quorum: Option<String>,
    /// Where this member stood when it last had no quorum.
    pub(super) stood_without_quorum: Option<Position>,
    /// The view in which what follows Synced was done, and when; done again after each change of view.
    pub(super) settled_in: Option<(Option<u64>, Instant)>,
    /// After so long it settles again in the same view.
    pub(super) settle_again_after: Duration,
    pub(super) settling: Pending,
    /// Since when it has been in no group.
    pub(super) disconnected: Option<Instant>,
    /// Why settling failed last, and when.
    pub(super) failed: Option<(String, Instant)>,
    /// Whether the system tables are of the server's version.
    pub(super) upgrade: Upgrade,
    /// Where it stood, and when: kept once it is old enough to be on disk.
    stood: Option<(Position, Instant)>,
    /// It is to be stopped once its clients are gone.
    pub(super) leaving: Option<Leaving>,
    /// It is to be stopped once it was looked at for the last time.
    pub(super) stop: Option<Stop>,
    /// Why it is kept although it leads nowhere.
    kept: Option<String>,
    /// A state transfer out of it.
    pub(super) giving: Giving,
    /// What has come of its start.
    pub(super) ascent: Ascent,
    /// An order to make its component primary.
    pub(super) promotion: Option<Promotion>,
}

impl Running {
    /// For how long Galera's view has been the same, where SQL is open.
    pub(super) fn view_seconds(&self) -> Option<u64> {
        self.last.as_ref().map(|_| self.view_since.elapsed().as_secs())
    }

    pub(super) fn new(child: ChildHandle, mode: StartMode, log_since: u64) -> Running {
        let now = Instant::now();
        Running {
            child,
            mode,
            log_since,
            sql_was_open: false,
            served: mode == StartMode::Adopted,
            sql_closed: false,
            probing: Pending::default(),
            looks: Arc::default(),
            next_probe: now,
            doubted: now,
            last: None,
            view_since: now,
            ask_next: now,
            asking: Pending::default(),
            without_quorum: None,
            stood_without_quorum: None,
            settled_in: None,
            settle_again_after: SETTLE_EVERY,
            settling: Pending::default(),
            disconnected: None,
            failed: None,
            upgrade: Upgrade::NotYet,
            stood: None,
            leaving: None,
            stop: None,
            kept: None,
            giving: Giving::default(),
            ascent: Ascent::begin(now),
            promotion: None,
        }
    }

    /// What of that which follows Synced is not done yet.
    pub(super) fn unsettled(&self) -> Option<String> {
        let failed = self.failed.as_ref().map(|(why, _)| why.clone());
        match (self.settled_in, &self.upgrade) {
            (None, _) => Some(failed.unwrap_or_else(|| "lineage, databases and users".into())),
            (Some(_), Upgrade::Done) => failed,
            (Some(_), Upgrade::Failed { why, .. }) => Some(why.clone()),
            (Some(_), Upgrade::NotYet | Upgrade::UnderWay) => Some("the system tables of the server's version".into()),
        }
    }

    /// Whether clients may be connected and get answers.
    pub(super) fn serves(&self) -> bool {
        self.last.as_ref().is_some_and(Wsrep::is_primary)
    }

    pub(super) fn detail(&self) -> String {
        if let Some(stop) = &self.stop {
            return format!("stopping mariadbd: {}", stop.reason);
        }
        if let Some(leaving) = &self.leaving {
            return format!("leaving ({}): its clients have a moment to go elsewhere", leaving.reason);
        }
        let kept = self.kept.as_ref().map(|why| format!("; {why}")).unwrap_or_default();
        format!("{}{kept}", self.doing())
    }

    fn doing(&self) -> String {
        match (&self.last, self.mode) {
            (Some(wsrep), _) if wsrep.is_synced() => {
                format!("Synced, in a primary component of {}", wsrep.cluster_size)
            }
            (Some(wsrep), _) if wsrep.is_primary() => format!("{}: in a primary component", wsrep.local_state_comment),
            (Some(wsrep), _) if wsrep.local_state == LocalState::Inconsistent => {
                "the others voted this member out: its data differs; it stays as it is until a person decides (galera-ctl rejoin)"
                    .into()
            }
            (Some(wsrep), _) if wsrep.cluster_status == ClusterStatus::Disconnected => format!(
                "in no group of members; it is restarted when that has lasted {} s",
                DISCONNECTED_LIMIT.as_secs()
            ),
            (Some(wsrep), _) if wsrep.local_state == LocalState::Joining => {
                self.ascent.doing().unwrap_or("its state is coming in").into()
            }
            (Some(wsrep), _) => {
                let more = self.without_quorum.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                format!("{}: no quorum{more}", wsrep.local_state_comment)
            }
            (None, _) if self.sql_was_open => "mariadbd runs, and does not answer at the moment".into(),
            (None, mode) if self.ascent.doing().is_some() && mode != StartMode::Bootstrap => {
                self.ascent.doing().unwrap_or_default().into()
            }
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
        self.probe();
        self.ask_others_while_it_matters();
        self.press_promotion()?;
        let Stage::Running(running) = &mut self.stage else {
            return Ok(());
        };
        if running.leaving.is_none() && running.doubted.elapsed() > DOUBT_EVERY {
            running.doubted = Instant::now();
            // Without quorum it asks the others, and each of their answers is a look.
            if running.last.as_ref().is_none_or(|w| w.cluster_status != ClusterStatus::NonPrimary) {
                self.attend(&[]);
            }
            self.look_at_start()?;
            self.look_at_giving();
            let doubt = self.leads_nowhere();
            let kept = doubt.as_ref().and_then(|_| keeps_from(Act::GiveUp, &self.own_observation(), &[]));
            match (doubt, kept) {
                (Some(why), None) => self.stop(StopReason::GivenUp, self.config.timeouts.stop, &why)?,
                (why, kept) => self.is_kept(why.zip(kept)),
            }
        }
        Ok(())
    }

    fn probe(&mut self) {
        let Stage::Running(running) = &mut self.stage else { return };
        if Instant::now() < running.next_probe || !running.probing.begin() {
            return;
        }
        let (config, events, looks) = (Arc::clone(&self.config), self.events.clone(), Arc::clone(&running.looks));
        std::thread::spawn(move || {
            let (met, wsrep) = looks.look(&config.mariadb.socket, &config.mariadb.admin_user);
            let _ = events.send(Event::Probed(met, wsrep.map(Box::new)));
        });
    }

    /// A member without quorum asks what can be done about it; one on its way up, whether what it joins still stands.
    fn ask_others_while_it_matters(&mut self) {
        let ascends = self.ascends();
        let Stage::Running(running) = &mut self.stage else { return };
        let quorumless = running.last.as_ref().is_some_and(|w| w.cluster_status == ClusterStatus::NonPrimary);
        let joins = ascends && running.mode == StartMode::Join;
        if (quorumless || joins) && Instant::now() >= running.ask_next && running.asking.begin() {
            running.ask_next = Instant::now() + ASK_EVERY;
            self.ask_others();
        }
    }

    /// This life of `mariadbd` leads nowhere, and maintenance keeps it all the same; or not any more.
    fn is_kept(&mut self, why: Option<(String, String)>) {
        let Stage::Running(running) = &mut self.stage else { return };
        let kept = why.map(|(doubt, kept)| format!("{doubt}; {kept}, and it is not ended either"));
        if let Some(told) = kept.as_ref().filter(|_| running.kept != kept) {
            log::warn("mariadbd.kept", &[("why", told)]);
            self.journal.record("mariadbd.kept", json!({ "why": told }));
        }
        running.kept = kept;
    }

    /// Whether this life of `mariadbd` will never serve, and why. Galera leaves processes behind that wait
    /// for ever, or are in no group any more; we do not (K2).
    fn leads_nowhere(&self) -> Option<String> {
        let Stage::Running(running) = &self.stage else {
            return None;
        };
        if let Some(since) = running.disconnected {
            let lost = since.elapsed() > DISCONNECTED_LIMIT
                || running.mode != StartMode::Adopted
                    && left_for_good(&mariadbd::error_log_since(&self.config, running.log_since)).is_some();
            return lost
                .then(|| "mariadbd runs, is in no group of members, and does not come back by itself".to_owned());
        }
        if !self.ascends() {
            return None;
        }
        if running.mode != StartMode::Adopted
            && let Some(line) = must_restart(&mariadbd::error_log_since(&self.config, running.log_since))
        {
            return Some(line.to_owned());
        }
        running.ascent.doubt(running.mode, self.patience(), Instant::now())
    }

    pub(super) fn probed(&mut self, met: Sql, wsrep: Option<Wsrep>) {
        let Stage::Running(running) = &mut self.stage else {
            return;
        };
        running.probing.end();
        running.next_probe = Instant::now() + PROBE_EVERY;
        running.sql_closed =
            matches!(met, Sql::Closed { .. }) && !ports::listening().contains(&self.config.mariadb.port);
        if met.is_open() && !running.sql_was_open {
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
        running.served |= wsrep.as_ref().is_some_and(|w| {
            w.is_primary() && matches!(w.local_state, LocalState::Joined | LocalState::Donor | LocalState::Synced)
        });
        let changed = shown(&running.last) != shown(&wsrep);
        running.last.clone_from(&wsrep);
        let Some(wsrep) = wsrep else { return };
        // Kept at each look until it is: a disk that is full takes it later.
        let unwritten = self.memory.beginning.is_some() || self.memory.joining.is_some();
        if (changed || unwritten)
            && let Err(e) = self.remember_view(&wsrep)
        {
            log::error("memory.not_kept", &[("why", &format!("{e:#}"))]);
        }
        let Stage::Running(running) = &mut self.stage else {
            return;
        };
        if wsrep.is_synced() {
            self.maintained.lapse();
            self.given_up = 0;
            let conf_id = wsrep.cluster_conf_id;
            let settled = running
                .settled_in
                .is_some_and(|(view, at)| view == conf_id && at.elapsed() < running.settle_again_after);
            let failed = running.failed.as_ref().is_some_and(|(_, at)| at.elapsed() < RETRY_AFTER);
            if !settled && !failed && running.settling.begin() {
                self.settle(&wsrep);
            }
        }
        self.remember(&wsrep);
    }

    /// Keeps which primary view this member is in, and what Galera itself forgets.
    pub(super) fn remember_view(&mut self, wsrep: &Wsrep) -> Result<()> {
        if wsrep.local_state == LocalState::Inconsistent {
            return self.keep(Memory::vote_out);
        }
        if !wsrep.is_primary() {
            return Ok(());
        }
        let view = match self.datadir.look().saved_view {
            File::Present(view) => Some(view),
            File::Absent | File::Garbled(_) => None,
        };
        // Clients are served from now on: what they are told of must not pass for a broken transfer.
        let serves = matches!(wsrep.local_state, LocalState::Joined | LocalState::Donor | LocalState::Synced);
        let begun = self.memory.begun && self.memory.beginning.is_some();
        self.notice_copy()?;
        self.keep(|memory| {
            if begun {
                memory.began_in(view.as_ref(), wsrep.gcomm_uuid);
            }
            if serves {
                memory.joined();
            }
            if let Some(view) = view {
                memory.was_in(view);
            }
        })?;
        if begun {
            self.promoted();
        }
        Ok(())
    }

    /// The others were asked while this member is on its way up, or lives without quorum.
    pub(super) fn peers_answered_while_running(&mut self, views: &[MemberView]) -> Result<()> {
        let ascends = self.ascends();
        let Stage::Running(running) = &mut self.stage else {
            return Ok(());
        };
        running.asking.end();
        if ascends {
            // Another one than was judged is none to join.
            let judged = self.memory.joining.as_ref().and_then(|joining| joining.incarnation);
            let elsewhere = match primaries(views.iter().filter_map(MemberView::seen)) {
                Primaries::None => false,
                Primaries::One(primary) => judged.is_none_or(|id| primary.lineage.newest().is_none_or(|i| i.id == id)),
                Primaries::Split(_) => true,
            };
            running.ascent.hear(elsewhere, Instant::now());
            return Ok(());
        }
        let Some(wsrep) = running.last.clone().filter(|w| w.cluster_status == ClusterStatus::NonPrimary) else {
            return Ok(());
        };
        self.attend(views);
        if self.holding() || self.stop_asked() {
            return Ok(());
        }
        let own = self.observation_with((Sql::Open { milliseconds: 0 }, Some(wsrep)));
        match without_primary(&self.config.cluster, self.config.auto_recovery, &self.me, &own, views) {
            ByItself::Begin(proof) => self.recover_cluster(&proof, views),
            ByItself::End(why) => self.stop(StopReason::GivenUp, self.config.timeouts.stop, &why)?,
            ByItself::Wait(waits) => {
                let why = waits.to_string();
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

    /// Keeps the last position, now and then: the lower bound that nothing may fall behind. Not what is committed at this
    /// moment, but what was some seconds ago: that is on disk.
    fn remember(&mut self, wsrep: &Wsrep) {
        let Some(position) = wsrep.position() else {
            return;
        };
        log::set_position(Some(&position));
        let Stage::Running(running) = &mut self.stage else {
            return;
        };
        // Only in a view that is settled: how the component came about must be known before what it commits is taken
        // for part of what was before.
        let settled = running.settled_in.is_some_and(|(view, _)| view == wsrep.cluster_conf_id);
        if !settled {
            running.stood = None;
            return;
        }
        let (stood, at) = *running.stood.get_or_insert((position, Instant::now()));
        let known = self.memory.last_position;
        let due = if known.is_none() { ON_DISK_AFTER } else { REMEMBER_EVERY };
        if at.elapsed() < due {
            return;
        }
        running.stood = Some((position, Instant::now()));
        if let Err(e) = self.keep(|memory| memory.stood(stood)) {
            log::error("memory.not_kept", &[("why", &format!("{e:#}"))]);
        }
    }
}
