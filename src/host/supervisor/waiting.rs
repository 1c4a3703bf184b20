//! From a stopped `mariadbd` to the decision how to start it.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::covering::Covered;
use super::pending::Pending;
use super::running::Running;
use super::settling::began_at_most;
use super::{ASK_EVERY, ChildHandle, Event, Found, Stage, Supervising};
use crate::agent::client::Client;
use crate::cluster::donors::{Donors, donors};
use crate::cluster::hold::Begin;
use crate::cluster::join::{MayJoin, MayNotJoin};
use crate::cluster::lineage::{Incarnation, Lineage};
use crate::cluster::member::listed;
use crate::cluster::memory::Memory;
use crate::cluster::observation::{FellBack, File, MemberView, Process, StartMode};
use crate::cluster::standing::{Doubt, Provenance, Standing, Unknown};
use crate::cluster::start::{Start, decide};
use crate::galera::grastate::Grastate;
use crate::galera::position::Position;
use crate::galera::uuid::Uuid;
use crate::host::clock::boot;
use crate::host::processes::{Handle, end_orphaned_transfers, find_mariadbd};
use crate::host::random::random_uuid;
use crate::host::{mariadbd, prepare, resting};
use crate::log;

/// How `mariadbd` is started.
pub(super) enum Beginning {
    /// With its saved view kept, together with all members of that view.
    RestoreView,
    /// As the first of a primary component.
    Bootstrap,
    /// To join; what may be overwritten by that is covered. From these members alone, where there are any.
    Join(Covered, Vec<String>),
}

impl Beginning {
    fn mode(&self) -> StartMode {
        match self {
            Beginning::RestoreView => StartMode::RestoreView,
            Beginning::Bootstrap => StartMode::Bootstrap,
            Beginning::Join(..) => StartMode::Join,
        }
    }
}

impl Supervising {
    /// A `mariadbd` that runs already is taken over as it is (H17): this process may be a successor. How it came to its
    /// component is asked once it is Synced, and again until that is known.
    pub(super) fn adopt(&mut self, process: Handle, seen: &Process) -> Result<()> {
        log::info("mariadbd.adopted", &[("pid", &process.pid)]);
        self.journal.record("mariadbd.adopted", json!({ "process": seen }));
        // What an earlier life said of its own transfer is not true of this one.
        let log_since = mariadbd::life_begins(&self.config, process.pid);
        let child = ChildHandle::adopted(process, self.events.clone())?;
        self.enter(Stage::Running(Box::new(Running::new(child, StartMode::Adopted, log_since))));
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

    /// One that goes on from what this member remembers.
    pub(super) fn incarnation(&self, history: Uuid, began_at: u64, proof: &str) -> Result<Incarnation> {
        let next = self.memory.lineage.next(random_uuid()?, history, began_at, &self.me.name);
        Ok(Incarnation { at: log::now(), proof: proof.to_owned(), ..next })
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
        self.end_orphaned_transfers();
        let (config, events, stop) = (Arc::clone(&self.config), self.events.clone(), Arc::clone(&self.asked_to_stop));
        let (disk, memory) = (self.datadir.look(), self.memory.clone());
        self.rested = disk.grastate.clone();
        std::thread::spawn(move || {
            let _ = events.send(Event::Recovered(resting::find(&config, &disk, &memory, &stop)));
        });
    }

    pub(super) fn recovered(&mut self, found: Found) -> Result<()> {
        let Found { standing, doubt, trace, begun_unseen, lacks_tables, print } = found;
        self.lacks_tables = lacks_tables;
        let clean_stop = matches!(standing, Standing::At { from: Provenance::CleanStop, .. });
        let saved = self.datadir.look().saved_view;
        let (unseen, saved) = (clean_stop && saved == File::Absent, saved.present().cloned());
        self.keep(|memory| {
            if unseen {
                // Somebody stopped `mariadbd` gracefully behind our back; the others may have gone on.
                memory.left_unseen();
            }
            if doubt == Doubt::VotedOut {
                memory.vote_out();
            }
            if trace.half_copied || trace.copied {
                memory.overwritten(memory.joining.as_ref().and_then(|joining| joining.boot));
            }
            if let Some(print) = print {
                memory.reprint(print);
            }
            memory.rested(saved.as_ref());
        })?;
        // Where it was announced, that is how it came about.
        let known = saved.is_some_and(|view| self.memory.explained == Some(view.id()));
        if let Some(told) = begun_unseen.filter(|_| !known) {
            self.record_begun_unseen(told, &standing, trace.process)?;
        }
        let found = standing.position();
        // What Galera's file claims this member had, whatever its disk kept of that.
        let claimed = |found: Position| {
            let claimed = self.rested.present().and_then(Grastate::clean_position)?;
            (claimed.history() == found.history() && claimed.seqno() > found.seqno()).then_some(claimed)
        };
        self.fell_back =
            found.and_then(|found| Some(FellBack { had: self.memory.beyond(found).or(claimed(found))?, found }));
        if let Some(FellBack { had, .. }) = self.fell_back {
            log::warn("position.fell_back", &[("had", &had), ("found", &standing)]);
            self.journal.record("position.fell_back", json!({ "had": had, "found": standing }));
        }
        self.stands(standing);
        log::info("position.found", &[("standing", &self.standing)]);
        self.journal.record("position.found", json!({ "standing": self.standing }));
        self.wait("asking the peers");
        Ok(())
    }

    /// Somebody began a component with this member by hand, and it ended before that was written down. Where nothing tells
    /// from where, what was remembered before is the bound.
    fn record_begun_unseen(&mut self, told: Option<Position>, standing: &Standing, process: Option<i32>) -> Result<()> {
        let Some(stands) = standing.at_most() else { return Ok(()) };
        let how = "begun by hand, and ended before it was looked after";
        let began_at = began_at_most(told, [self.memory.last_position], stands);
        let incarnation = self.incarnation(stands.history(), began_at, how)?;
        log::warn("bootstrap.by_hand", &[("began_at", &incarnation.began_at), ("how", &how)]);
        self.journal.record("bootstrap.by_hand", json!({ "incarnation": incarnation }));
        let disk = self.datadir.look();
        self.keep(|memory| memory.record(incarnation, process, disk.saved_view.present()))
    }

    pub(super) fn wait(&mut self, detail: &str) {
        self.enter(Stage::Waiting {
            asking: Pending::default(),
            next: Instant::now(),
            detail: detail.into(),
            refused: None,
        });
    }

    /// Another round of a member that waits.
    pub(super) fn ask_peers(&mut self) -> Result<()> {
        if !self.overtaken()?
            && let Stage::Waiting { asking, next, .. } = &mut self.stage
        {
            // From now, not from the answer: a peer that is off takes a second of its own each time.
            *next = Instant::now() + ASK_EVERY;
            if asking.begin() {
                self.ask_others();
            }
        }
        Ok(())
    }

    /// Asks the agents of all others; what they say comes as an event.
    pub(super) fn ask_others(&self) {
        let (config, events, applied) = (Arc::clone(&self.config), self.events.clone(), self.ask_applied);
        std::thread::spawn(move || {
            let _ = events.send(Event::Peers(Client::ask_others(&config, applied)));
        });
    }

    pub(super) fn peers_answered(&mut self, views: &[MemberView]) -> Result<()> {
        if let Stage::Running(_) = &self.stage {
            return self.peers_answered_while_running(views);
        }
        let Stage::Waiting { asking, .. } = &mut self.stage else {
            // The answer came late; whatever goes on now was decided without it.
            return Ok(());
        };
        asking.end();
        self.attend(views);
        if self.holding() || self.stop_asked() {
            return Ok(());
        }
        let auto = self.config.auto_recovery;
        let decision = decide(&self.config.cluster, auto, &self.me, &self.own_observation(), views);
        // Whether the cluster lacks what this member has, or only lags, is asked of it in the next round.
        self.ask_applied = matches!(&decision, Start::NotYet(MayNotJoin::NotAppliedYet { .. }));
        let patience = self.patience.as_ref().filter(|(until, _)| Instant::now() < *until);
        if let Some((_, why)) = patience.filter(|_| !decision.stands() && self.hold.is_none()) {
            let told = format!("wait {why}; then {decision}");
            self.tell(&told);
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
            Start::Wait(_) | Start::NotYet(_) => Ok(()),
            Start::Refuse(why) => self.refused_to_join(&why),
            // Under an order only what it asked for: its join. A bootstrap by order comes another way.
            Start::Found(_) | Start::Recover(_) | Start::Restore { .. } if self.hold.is_some() => Ok(()),
            Start::Join { because, lineage, .. } => self.join(&because, &lineage, views),
            Start::Restore { .. } => self.begin(Beginning::RestoreView, self.standing.position()),
            Start::Recover(proof) => {
                self.recover_cluster(&proof, views);
                Ok(())
            }
            Start::Found(proof) => {
                self.keep(Memory::found)?;
                self.journal.record("bootstrap.begun", json!({ "proof": proof.to_string() }));
                // Normally none; where a first bootstrap broke off, what it wrote is kept and gone on from.
                let position = self.standing.position();
                if let Some(position) = position {
                    self.confirm(position)?;
                    self.datadir.allow_bootstrap()?;
                }
                self.begin(Beginning::Bootstrap, position)
            }
        }
    }

    /// A primary component was seen that lacks what this member has. What the component applies later at the same numbers
    /// is something else, so where it stood is remembered.
    fn refused_to_join(&mut self, why: &MayNotJoin) -> Result<()> {
        match why {
            MayNotJoin::AheadOfCluster { position, parted_at, .. } => {
                let passed = Position::new(position.history(), *parted_at);
                self.keep(|memory| memory.supersede(passed))
            }
            MayNotJoin::OtherHistory { .. } => self.keep(|memory| memory.supersede(None)),
            _ => Ok(()),
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

    fn join(&mut self, because: &MayJoin, lineage: &Lineage, views: &[MemberView]) -> Result<()> {
        let Some(covered) = self.cover(because)? else {
            // The data is set aside, and a new directory is being made; or it is told why that cannot be.
            return Ok(());
        };
        let from = self.standing.position();
        if let Some(position) = from {
            // Where Galera zeroed the file for a join that broke off, the position counts again only with its history.
            self.confirm(position)?;
        }
        let print = self.datadir.print().ok();
        self.copies_anew();
        self.keep(|memory| memory.begin_join(from, lineage, print, boot()))?;
        self.begin(Beginning::Join(covered, self.donors(views)), from)
    }

    /// From whom the state is to come; whoever Galera chooses, where none is named.
    fn donors(&self, views: &[MemberView]) -> Vec<String> {
        match donors(views) {
            Donors::Any => Vec::new(),
            // An empty name at the end stands for whoever Galera chooses.
            Donors::First(mut names) => {
                log::info("donor.preferred", &[("from", &listed(names.iter().map(String::as_str)))]);
                names.push(String::new());
                names
            }
            Donors::Only(names) => {
                log::warn("donor.chosen", &[("from", &listed(names.iter().map(String::as_str)))]);
                names
            }
            // Without a donor it would not join at all; what is missing stays told.
            Donors::NoneWhole(who) => {
                log::warn("donor.not_whole", &[("why", &who)]);
                self.journal.record("donor.not_whole", json!({ "why": who }));
                Vec::new()
            }
        }
    }

    /// Begins a new incarnation from where this member stands, by an order that was checked.
    pub(super) fn bootstrap_by_order(&mut self, begin: &Begin) -> Result<()> {
        let Some(expect) = begin.expect else {
            return self.begin_new_history(begin);
        };
        // What is remembered first, the flag last: should the power go in between, a bound must not look like a position, nor
        // this member like the last one to leave.
        self.intend(begin)?;
        self.confirm(expect)?;
        self.datadir.allow_bootstrap()?;
        self.begin(Beginning::Bootstrap, Some(expect))
    }

    /// What a backup restored knows no history; Galera makes one up where its own file is absent.
    fn begin_new_history(&mut self, begin: &Begin) -> Result<()> {
        self.datadir.forget_history(self.store.dir())?;
        self.intend(begin)?;
        self.begin(Beginning::Bootstrap, None)
    }

    /// Remembers the incarnation that is to begin now, on disk before it does.
    pub(super) fn intend(&mut self, begin: &Begin) -> Result<()> {
        if self.memory.damaged.is_some() {
            self.mend_memory()?;
        }
        let (next, past) = begin.incarnation(&self.me.name, &self.memory.lineage, &self.config.cluster.name);
        let incarnation = Incarnation { at: log::now(), ..next };
        self.journal.record("bootstrap.begun", json!({ "incarnation": incarnation }));
        // Only who does not run says so, and is told of with a note.
        let torn = matches!(self.standing_now(), Standing::Unknown { why: Unknown::NotOnDisk, .. });
        self.keep(|memory| memory.intend(incarnation, past, begin.forced && torn))
    }

    /// A view that came about less than a look before the end is known from Galera's file only.
    fn remember_saved_view(&mut self) -> Result<()> {
        match self.datadir.look().saved_view {
            File::Present(view) => self.keep(|memory| memory.was_in(view)),
            File::Absent | File::Garbled(_) => Ok(()),
        }
    }

    /// Moves the saved view out of Galera's sight, so that it does not wait for members that never come
    /// (K17). We remember it.
    pub(super) fn set_view_aside(&mut self) -> Result<()> {
        self.remember_saved_view()?;
        self.datadir.set_view_aside(self.store.dir())
    }

    /// What transfers left behind is in the way of the next one, and may still write.
    pub(super) fn end_orphaned_transfers(&self) {
        let server = &self.config.mariadb;
        let Some(ended) = end_orphaned_transfers(&server.defaults_file, &server.data_dir) else { return };
        if ended > 0 {
            let why = "their mariadbd is gone; they are killed";
            log::warn("transfer.orphaned", &[("processes", &ended), ("why", &why)]);
        }
        if let Err(e) = self.datadir.forget_transfers() {
            log::error("transfer.not_forgotten", &[("why", &format!("{e:#}"))]);
        }
    }

    /// Has Galera's file say what the disk has, and no more. What it claimed stays remembered: should this start lead nowhere,
    /// the next one finds no claim any more.
    fn confirm(&mut self, position: Position) -> Result<()> {
        if let Some(FellBack { had, .. }) = self.fell_back {
            self.keep(|memory| memory.had(had))?;
        }
        self.datadir.confirm_history(position, self.store.dir())
    }

    fn begin(&mut self, how: Beginning, position: Option<Position>) -> Result<()> {
        if let Some((process, _)) = find_mariadbd(&self.config.mariadb.defaults_file) {
            bail!("mariadbd runs already (process {}); somebody else started it", process.pid);
        }
        match position {
            Some(position) => self.confirm(position)?,
            None => self.datadir.withdraw_claim(self.store.dir())?,
        }
        let mode = how.mode();
        match mode {
            StartMode::RestoreView => self.remember_saved_view()?,
            _ => self.set_view_aside()?,
        }
        self.keep(|memory| memory.starts(mode != StartMode::Join))?;
        self.end_orphaned_transfers();
        let log_since = mariadbd::error_log_length(&self.config);
        let lineage = self.memory.lineage_as_primary();
        let donors = match &how {
            Beginning::Join(_, donors) => donors.as_slice(),
            Beginning::RestoreView | Beginning::Bootstrap => &[],
        };
        let asked =
            mariadbd::Start { position, group: lineage.group(), new_cluster: mode == StartMode::Bootstrap, donors };
        let child = mariadbd::start(&self.config, &asked)?;
        let (pid, mode_text) = (child.id(), format!("{mode:?}"));
        log::info("mariadbd.started", &[("pid", &pid), ("mode", &mode_text)]);
        self.journal.record("mariadbd.started", json!({ "mode": mode, "position": position }));
        // Watched from the first moment, whatever fails from here on.
        let child = ChildHandle::owned(child, self.events.clone()).inspect_err(|_| mariadbd::kill(pid))?;
        let mark = child.process().mark();
        self.enter(Stage::Running(Box::new(Running::new(child, mode, log_since))));
        if let Err(e) = self.keep(|memory| memory.runs(mark)) {
            log::error("memory.not_kept", &[("why", &format!("{e:#}"))]);
        }
        Ok(())
    }

    /// Changes what this member remembers, on disk before it goes on. What cannot be read is not written over: it says
    /// that something was lost.
    pub(super) fn keep(&mut self, change: impl FnOnce(&mut Memory)) -> Result<()> {
        let mut after = self.memory.clone();
        change(&mut after);
        if after != self.memory && after.damaged.is_none() {
            self.store.keep_memory(&after).context("keep what this member remembers")?;
            self.memory = after;
        }
        Ok(())
    }
}
