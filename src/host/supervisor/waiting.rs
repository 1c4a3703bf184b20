//! From a stopped `mariadbd` to the decision how to start it.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::running::Running;
use super::{ASK_EVERY, ChildHandle, Event, Stage, Supervising};
use crate::agent::client::Client;
use crate::cluster::hold::Begin;
use crate::cluster::join::MayNotJoin;
use crate::cluster::lineage::{Incarnation, Lineage, group_apart};
use crate::cluster::memory::Memory;
use crate::cluster::observation::{File, MemberView, Process, StartMode};
use crate::cluster::standing::{AtRest, Provenance, Standing, Unknown, after_recovery, at_rest};
use crate::cluster::start::{Start, back_off, decide};
use crate::galera::position::Position;
use crate::host::processes::{Handle, end_orphaned_transfers, find_mariadbd};
use crate::host::random::random_uuid;
use crate::host::{mariadbd, prepare};
use crate::log;

impl Supervising {
    /// A `mariadbd` that runs already is taken over as it is (H17): this process may be a successor.
    pub(super) fn adopt(&mut self, process: Handle, seen: &Process) -> Result<()> {
        log::info("mariadbd.adopted", &[("pid", &process.pid)]);
        self.journal.record("mariadbd.adopted", json!({ "process": seen }));
        if !self.store.memory().knows_bootstrap_of(seen)
            && let Err(e) = self.record_bootstrap_by_others(seen)
        {
            // Nobody joins it until it is recorded; unwatched it would be worse.
            log::error("bootstrap.not_recorded", &[("why", &format!("{e:#}"))]);
        }
        let child = ChildHandle::adopted(process, self.events.clone())?;
        self.enter(Stage::Running(Box::new(Running::new(child, StartMode::Adopted, 0))));
        Ok(())
    }

    /// Whether somebody acted on the data behind the back of a supervisor that waits: what runs is taken over,
    /// what has changed is looked at again. A position that is not true any more must not be told to anybody.
    fn overtaken(&mut self) -> Result<bool> {
        if let Some((process, seen)) = find_mariadbd(&self.config.mariadb.defaults_file).filter(|(_, p)| !p.recovering)
        {
            self.adopt(process, &seen)?;
            return Ok(true);
        }
        let changed = self.datadir.look().grastate != self.rested;
        if changed {
            log::warn("data.changed", &[("why", &"grastate.dat is not what it was when the position was found")]);
            self.recover();
        }
        Ok(changed)
    }

    /// Somebody bootstrapped this member by hand. Whoever was further than it was then must be told from
    /// those that are only behind, so this is an incarnation like any other.
    fn record_bootstrap_by_others(&self, seen: &Process) -> Result<()> {
        let memory = self.store.memory();
        let Some(at) = seen.start_position.or(memory.last_position) else { return Ok(()) };
        let incarnation = Incarnation {
            group: seen.group.clone(),
            ..self.incarnation(at, "begun by hand, found running with --wsrep-new-cluster", &[])?
        };
        log::warn("bootstrap.by_hand", &[("pid", &seen.pid), ("began_at", &at)]);
        self.journal.record("bootstrap.by_hand", json!({ "incarnation": incarnation }));
        self.keep(|memory| {
            memory.incarnation = Some(incarnation.id);
            memory.lineage = memory.lineage.with(incarnation);
            memory.bootstrapped = Some(seen.mark());
        })
    }

    pub(super) fn incarnation(&self, at: Position, proof: &str, left_out: &[String]) -> Result<Incarnation> {
        let (lineage, id) = (self.store.memory().lineage, random_uuid()?);
        let group = if left_out.is_empty() {
            lineage.group().map(str::to_owned)
        } else {
            Some(group_apart(&self.config.cluster.name, id))
        };
        Ok(Incarnation {
            number: lineage.next_number(),
            id,
            group,
            history: at.history(),
            began_at: at.seqno(),
            by: self.me.name.clone(),
            at: log::now(),
            proof: proof.to_owned(),
            left_out: left_out.to_vec(),
        })
    }

    /// Makes the data directory if there is none.
    pub(super) fn prepare(&mut self) {
        self.enter(Stage::Preparing);
        let (config, events) = (Arc::clone(&self.config), self.events.clone());
        std::thread::spawn(move || {
            let made = prepare::data_directory(&config).map(|made| {
                if made {
                    log::info("datadir.initialised", &[("path", &config.mariadb.data_dir.display())]);
                }
            });
            let _ = events.send(Event::Prepared(made));
        });
    }

    /// Finds where the member stands, `mariadbd` being down.
    pub(super) fn recover(&mut self) {
        self.enter(Stage::Recovering);
        let (config, events, stop) = (Arc::clone(&self.config), self.events.clone(), Arc::clone(&self.asked_to_stop));
        let (disk, memory) = (self.datadir.look(), self.store.memory());
        self.rested = disk.grastate.clone();
        std::thread::spawn(move || {
            let standing = match at_rest(&disk, &memory) {
                AtRest::Stands(standing) => standing,
                AtRest::MustRecover => match mariadbd::recover(&config, &stop) {
                    Ok(recovered) => after_recovery(&disk, &recovered, &memory),
                    Err(e) => Standing::unknown(Unknown::Failed, format!("{e:#}")),
                },
            };
            let _ = events.send(Event::Recovered(standing));
        });
    }

    pub(super) fn recovered(&mut self, standing: Standing) {
        let clean_stop = matches!(standing, Standing::At { from: Provenance::CleanStop, .. });
        if clean_stop && self.datadir.look().saved_view == File::Absent {
            // Somebody stopped `mariadbd` gracefully behind our back; the others may have gone on.
            if let Err(e) = self.keep(|memory| memory.left = memory.last_view.is_some()) {
                log::error("memory.not_kept", &[("why", &format!("{e:#}"))]);
            }
        }
        self.stands(standing);
        log::info("position.found", &[("standing", &self.standing)]);
        self.journal.record("position.found", json!({ "standing": self.standing }));
        self.wait("asking the peers");
    }

    pub(super) fn wait(&mut self, detail: &str) {
        self.enter(Stage::Waiting { asking: false, next: Instant::now(), detail: detail.into(), refused: None });
    }

    /// Another round of a member that waits.
    pub(super) fn ask_peers(&mut self) -> Result<()> {
        if !self.overtaken()?
            && let Stage::Waiting { asking, next, .. } = &mut self.stage
        {
            // From now, not from the answer: a peer that is off takes a second of its own each time.
            (*asking, *next) = (true, Instant::now() + ASK_EVERY);
            self.ask_others();
        }
        Ok(())
    }

    /// Asks the agents of all others; what they say comes as an event.
    pub(super) fn ask_others(&self) {
        let (config, events) = (Arc::clone(&self.config), self.events.clone());
        std::thread::spawn(move || {
            let _ = events.send(Event::Peers(Client::ask_others(&config)));
        });
    }

    pub(super) fn peers_answered(&mut self, views: &[MemberView]) -> Result<()> {
        if let Stage::Running(_) = &self.stage {
            return self.peers_answered_without_quorum(views);
        }
        let Stage::Waiting { asking, .. } = &mut self.stage else {
            // The answer came late; whatever goes on now was decided without it.
            return Ok(());
        };
        *asking = false;
        self.attend(views);
        if self.holding() || self.stop_asked() {
            return Ok(());
        }
        let auto = self.config.auto_recovery;
        let decision = decide(&self.config.cluster, auto, &self.me, &self.own_observation(), views);
        let starts = !matches!(decision, Start::Wait(_) | Start::Refuse(_));
        if starts && self.hold.is_none() && Instant::now() < self.patient_until {
            self.tell(&format!(
                "wait {:?}: mariadbd died {} times in a row before it was Synced, see {}; then {decision}",
                back_off(self.deaths),
                self.deaths,
                self.config.mariadb.error_log.display()
            ));
            return Ok(());
        }
        self.tell(&decision.to_string());
        if let Stage::Waiting { refused, .. } = &mut self.stage {
            *refused = match &decision {
                Start::Refuse(why) => Some(why.to_string()),
                _ => None,
            };
        }
        match decision {
            Start::Wait(_) => Ok(()),
            Start::Refuse(why) => match why {
                MayNotJoin::AheadOfCluster { .. } | MayNotJoin::OtherHistory { .. } => {
                    self.keep(|memory| memory.superseded = memory.damaged.is_none())
                }
                _ => Ok(()),
            },
            // Under an order only what it asked for: its join. A bootstrap by order comes another way.
            Start::Found(_) | Start::Recover(_) | Start::Restore { .. } if self.hold.is_some() => Ok(()),
            Start::Join { lineage, .. } => self.join(&lineage),
            Start::Restore { .. } => self.begin(StartMode::RestoreView, self.standing.position()),
            Start::Recover(proof) => {
                self.recover_cluster(&proof, views);
                Ok(())
            }
            Start::Found(proof) => {
                self.keep(|memory| memory.founding = true)?;
                self.journal.record("bootstrap.begun", json!({ "proof": proof.to_string() }));
                // Normally none; where a first bootstrap broke off, what it wrote is kept and gone on from.
                let position = self.standing.position();
                if position.is_some() {
                    self.datadir.allow_bootstrap()?;
                }
                self.begin(StartMode::Bootstrap, position)
            }
        }
    }

    /// Logs a decision when it changes; a repeated one is no event.
    fn tell(&mut self, decision: &str) {
        if let Stage::Waiting { detail, .. } = &mut self.stage
            && detail != decision
        {
            *detail = decision.to_owned();
            log::info("start.decided", &[("decision", &decision)]);
            self.journal.record("start.decided", json!({ "decision": decision }));
        }
    }

    fn join(&mut self, lineage: &Lineage) -> Result<()> {
        let from = self.standing.position();
        self.keep(|memory| memory.begin_join(from, lineage))?;
        self.begin(StartMode::Join, from)
    }

    /// Begins a new incarnation from where this member stands, by an order that was checked.
    pub(super) fn bootstrap_by_order(&mut self, begin: &Begin) -> Result<()> {
        if begin.forced {
            self.datadir.confirm_history(begin.expect, self.store.dir())?;
        }
        // The flag last: should the power go in between, it must not look like that of a last member to leave.
        self.record_incarnation(begin)?;
        self.datadir.allow_bootstrap()?;
        self.begin(StartMode::Bootstrap, Some(begin.expect))
    }

    /// Remembers the incarnation that begins now, on disk before it does.
    pub(super) fn record_incarnation(&mut self, begin: &Begin) -> Result<()> {
        let incarnation = self.incarnation(begin.expect, &begin.proof, &begin.left_out)?;
        self.journal.record("bootstrap.begun", json!({ "incarnation": incarnation }));
        self.keep(|memory| {
            memory.incarnation = Some(incarnation.id);
            memory.lineage = memory.lineage.with(incarnation);
            memory.last_position = Some(begin.expect);
            memory.joining = None;
            memory.voted_out = false;
            memory.superseded = false;
            memory.begun = true;
        })
    }

    /// Moves the saved view out of Galera's sight, so that it does not wait for members that never come
    /// (K17). We remember it.
    pub(super) fn set_view_aside(&self) -> Result<()> {
        if let File::Present(view) = self.datadir.look().saved_view {
            self.keep(|memory| memory.was_in(view))?;
        }
        self.datadir.set_view_aside(self.store.dir())
    }

    pub(super) fn end_orphaned_transfers(&self) {
        let ended = end_orphaned_transfers(&self.config.mariadb.defaults_file, &self.config.mariadb.data_dir);
        if ended > 0 {
            log::warn("transfer.orphaned", &[("scripts", &ended), ("why", &"their mariadbd is gone; they are killed")]);
        }
    }

    fn begin(&mut self, mode: StartMode, position: Option<Position>) -> Result<()> {
        if let Some((process, _)) = find_mariadbd(&self.config.mariadb.defaults_file) {
            bail!("mariadbd runs already (process {}); somebody else started it", process.pid);
        }
        if mode != StartMode::RestoreView {
            self.set_view_aside()?;
        }
        // Galera marks a restored view like one that somebody made primary by hand; this one is ours.
        self.keep(|memory| memory.begun = mode != StartMode::Join)?;
        self.end_orphaned_transfers();
        let log_since = mariadbd::error_log_length(&self.config);
        let lineage = self.store.memory().lineage;
        let child = mariadbd::start(&self.config, position, lineage.group(), mode == StartMode::Bootstrap)?;
        let (pid, mode_text) = (child.id(), format!("{mode:?}"));
        log::info("mariadbd.started", &[("pid", &pid), ("mode", &mode_text)]);
        self.journal.record("mariadbd.started", json!({ "mode": mode, "position": position }));
        // Watched from the first moment, whatever fails from here on.
        let child = ChildHandle::owned(child, self.events.clone()).inspect_err(|_| mariadbd::kill(pid))?;
        let mark = child.process().mark();
        self.enter(Stage::Running(Box::new(Running::new(child, mode, log_since))));
        if mode == StartMode::Bootstrap
            && let Err(e) = self.keep(|memory| memory.bootstrapped = Some(mark))
        {
            log::error("memory.not_kept", &[("why", &format!("{e:#}"))]);
        }
        Ok(())
    }

    /// Changes what this member remembers, on disk before it goes on.
    pub(super) fn keep(&self, change: impl FnOnce(&mut Memory)) -> Result<()> {
        let before = self.store.memory();
        let mut after = before.clone();
        change(&mut after);
        if after == before { Ok(()) } else { self.store.keep_memory(&after).context("keep what this member remembers") }
    }
}
