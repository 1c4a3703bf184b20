//! The supervisor: what `galera-start` is. One thread owns everything and takes events in turn; slow
//! things run on threads of their own and come back as events.
//!
//! ```text
//!            +--------------------------- hold -------------------------+
//!            v                                                          |
//! Preparing -> Recovering -> Waiting --decide--> Starting -> Serving    |
//!                  ^            |  ^               |   |        |       |
//!                  |            |  +----- given up ----+--------+       |
//!                  |            v                  |            |       |
//!                  +---------- Held <- Stopping <--+------------+-- stop by order
//!                                          |
//!                                          +-> end: SIGTERM, drain
//! mariadbd dies by itself in Starting or Serving -> end with its status: monit decides
//! ```

mod ascent;
mod asked;
mod child;
mod copied;
mod covering;
mod giving;
mod leading;
mod leaving;
mod maintained;
mod orders;
mod pending;
mod promoting;
mod running;
mod settling;
mod waiting;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal};
use serde_json::json;

use self::asked::Asked;
use self::child::{ChildHandle, Ended};
use self::copied::Copies;
use self::leading::Leading;
use self::maintained::Maintained;
pub use self::maintained::started_by_bosh;
use self::pending::Pending;
use self::running::Running;
use super::clock::Uptime;
use super::datadir::DataDir;
use super::journal::Journal;
use super::processes::find_mariadbd;
use super::resting::Found;
use super::socket::{self, Reply, Request};
use super::store::Store;
use crate::cli::Exit;
use crate::cluster::hold::Hold;
use crate::cluster::member::Member;
use crate::cluster::memory::Memory;
use crate::cluster::observation::{
    Child, FellBack, File, MemberView, Observation, Phase, Sql, StartMode, Supervisor, SupervisorSight,
};
use crate::cluster::standing::{Standing, Unknown};
use crate::cluster::start::back_off;
use crate::config::MemberConfig;
use crate::errand::Verdict;
use crate::galera::grastate::Grastate;
use crate::galera::moment::Moment;
use crate::galera::wsrep::Wsrep;
use crate::log;

/// How often the loop looks at its deadlines.
const TICK: Duration = Duration::from_millis(100);
/// How long a request may wait for its answer; whoever asked waits a little longer.
const ANSWER_LIMIT: Duration = Duration::from_secs(4);
/// Longest pause before a position that could not be found is looked for once more.
const RECOVER_EVERY: Duration = Duration::from_secs(30);
/// Pause between two rounds of asking the peers.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// A leave that is asked for may take a day at most: whatever is added to a moment is still one.
const LONGEST_LEAVE: Duration = Duration::from_secs(24 * 3600);

/// What the loop is told.
enum Event {
    /// SIGTERM or SIGINT.
    Terminate,
    /// A request over the socket.
    Request(Asked),
    /// The data directory is there.
    Prepared(Result<()>),
    /// Where the member stands.
    Recovered(Found),
    /// Data that may be nowhere else was set aside, or could not be.
    SetAside(Result<PathBuf>),
    /// What the peers' agents say.
    Peers(Vec<MemberView>),
    /// What a fresh connection met.
    Probed(Sql, Option<Box<Wsrep>>),
    /// The work that follows the first Synced of this life ended.
    Settled(Box<settling::Inquiry>),
    /// What Galera answered when it was asked to make this member's component primary.
    PromotionAsked(Result<()>),
    /// The last look before a stop: quorum may have been lost since the one before.
    LastLook { pid: i32, met: Sql, wsrep: Option<Box<Wsrep>> },
    /// The clients of a leaving member are gone, or so many are left at the end of their time.
    ClientsGone { left: Option<u64> },
    /// The system tables are of the server's version now.
    Upgraded(Result<()>),
    /// What this copy brought is on disk, after so long.
    OnDisk { copy: u64, synced: Result<Duration> },
    /// `mariadbd` is gone.
    Ended(Ended),
    /// A recovery of the cluster that this member led is over.
    RecoveryEnded(Result<Verdict>),
}

/// What the supervisor is doing, with what belongs to it.
enum Stage {
    Preparing,
    Recovering,
    /// Asks the peers and decides; `asking` while a round is under way.
    Waiting {
        asking: Pending,
        next: Instant,
        detail: String,
        refused: Option<String>,
    },
    Running(Box<Running>),
    Stopping(Box<Stopping>),
}

struct Stopping {
    child: ChildHandle,
    mode: StartMode,
    /// Where the error log's lines of this life begin.
    log_since: u64,
    why: StopReason,
    /// SIGKILL then.
    deadline: Instant,
    killed: bool,
    /// What it had read and written when it was last seen to go on, and when that was.
    moved: (u64, Instant),
    /// A saved view that Galera removes on its way out, and that is put back.
    view: Option<Vec<u8>>,
    /// It was the only member of a primary component.
    alone: bool,
    reason: String,
}

/// What follows once `mariadbd` is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StopReason {
    /// The supervisor ends.
    Leave,
    /// It stays, held.
    Order,
    /// It leads nowhere: its saved view, if any, is set aside, and we decide anew.
    GivenUp,
}

/// The supervisor of one member.
pub struct Supervising {
    config: Arc<MemberConfig>,
    me: Member,
    store: Store,
    /// What is on disk of it; this is its only writer.
    memory: Memory,
    journal: Journal,
    datadir: DataDir,
    stage: Stage,
    since: Instant,
    /// Not before this moment does this member start `mariadbd` by itself, and why.
    patience: Option<(Instant, String)>,
    standing: Standing,
    /// What its disk lost of what this member had, when the position was found.
    fell_back: Option<FellBack>,
    /// Tables without a file of their own, when the position was found.
    lacks_tables: Vec<String>,
    /// `grastate.dat` as it was when the position was found.
    rested: File<Grastate>,
    hold: Option<(Hold, Instant)>,
    /// Whether the others are asked for what they have applied, since this member may only wait for that.
    ask_applied: bool,
    /// What it remembered could not be read, and no earlier copy of it either.
    past_lost: bool,
    /// What full copies brought, and whether it is on disk.
    copies: Copies,
    /// How often in a row a start was given up, since it was last Synced.
    given_up: u32,
    /// How often in a row the position could not be found.
    unfound: u32,
    /// A recovery of the cluster that this member leads.
    leading: Leading,
    maintained: Maintained,
    asked_to_stop: Arc<AtomicBool>,
    events: Sender<Event>,
}

/// Runs until `mariadbd` ends or somebody asks it to stop.
pub fn run(config: MemberConfig) -> Result<Exit> {
    let (events, inbox) = channel();
    catch_signals(events.clone())?;
    let mut supervising = Supervising::new(config, events)?;
    supervising.listen()?;
    let exit = supervising.run(&inbox);
    let _ = std::fs::remove_file(socket::path_in(&supervising.config.paths.run_dir));
    exit
}

/// Blocks SIGTERM and SIGINT in all threads, and turns them into events.
fn catch_signals(events: Sender<Event>) -> Result<()> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    signals.thread_block().context("block signals")?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        while signals.wait().is_ok() {
            if events.send(Event::Terminate).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

impl Supervising {
    fn new(config: MemberConfig, events: Sender<Event>) -> Result<Supervising> {
        let me = config.split()?.0.clone();
        let store = Store::in_dir(&config.paths.state_dir);
        let hold = store.hold(&Uptime::now()).unwrap_or_else(|e| {
            // A fence that cannot be read is taken for closed, for as long as one may last.
            log::error("hold.unreadable", &[("why", &format!("{e:#}"))]);
            Some(orders::unreadable_hold())
        });
        let journal = Journal::in_dir(store.dir());
        let deaths = journal.deaths(Moment::now()).0.in_a_row;
        let pause = back_off(deaths);
        let died = || {
            let log = config.mariadb.error_log.display();
            format!("{pause:?}: mariadbd died {deaths} times in a row before it was Synced, see {log}")
        };
        // From now on, and not from when it died: monit restarts at once, and clocks jump.
        let patience = (!pause.is_zero()).then(|| (Instant::now() + pause, died()));
        Ok(Supervising {
            me,
            journal,
            patience,
            datadir: DataDir::at(&config.mariadb.data_dir),
            stage: Stage::Preparing,
            since: Instant::now(),
            standing: Standing::unknown(Unknown::NotLookedYet, "galera-start has just begun"),
            fell_back: None,
            lacks_tables: Vec::new(),
            rested: File::Absent,
            hold: hold.map(|h| (h, Instant::now())),
            ask_applied: false,
            past_lost: false,
            copies: Copies::default(),
            given_up: 0,
            unfound: 0,
            memory: store.memory(),
            leading: Leading::default(),
            maintained: Maintained::begin(&config.paths.run_dir),
            asked_to_stop: Arc::default(),
            config: Arc::new(config),
            store,
            events,
        })
    }

    fn listen(&self) -> Result<()> {
        let events = self.events.clone();
        socket::serve(&self.config.paths.run_dir, move |request| {
            let (asked, asking) = asked::ask(request);
            // One that is not taken is dropped, and whoever waits for it is told so.
            let _ = events.send(Event::Request(asked));
            asking.wait(ANSWER_LIMIT)
        })
    }

    fn run(&mut self, inbox: &Receiver<Event>) -> Result<Exit> {
        match find_mariadbd(&self.config.mariadb.defaults_file).filter(|(_, p)| !p.recovering) {
            Some((handle, process)) => self.adopt(handle, &process)?,
            None => self.prepare(),
        }
        loop {
            let exit = match inbox.recv_timeout(TICK) {
                Ok(event) => self.take(event).unwrap_or_else(|e| self.stumble(&e)),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => Some(Exit::Failed),
            };
            if let Some(exit) = exit {
                return Ok(exit);
            }
            if let Some(exit) = self.tick().map_or_else(|e| self.stumble(&e), |()| None) {
                return Ok(exit);
            }
        }
    }

    /// Something could not be done: a disk that is full or takes no write, a program that cannot be started. A supervisor that
    /// ended for that would be begun again by monit without end, and nobody could hold it or ask it why. What runs goes
    /// on; where nothing runs, it is told and tried again.
    fn stumble(&mut self, error: &anyhow::Error) -> Option<Exit> {
        let why = format!("{error:#}");
        log::error("failed", &[("phase", &format!("{:?}", self.phase())), ("why", &why)]);
        match &self.stage {
            Stage::Running(_) | Stage::Stopping(_) => None,
            Stage::Preparing | Stage::Recovering | Stage::Waiting { .. } if self.stop_asked() => Some(Exit::Failed),
            Stage::Preparing | Stage::Recovering | Stage::Waiting { .. } => {
                // Where it stands is as true as before, if it was known already.
                if !matches!(self.stage, Stage::Waiting { .. }) {
                    self.stands(Standing::unknown(Unknown::Failed, &why));
                }
                self.wait(&format!("{why}; it is tried again every {} s", RECOVER_EVERY.as_secs()));
                if let Stage::Waiting { next, .. } = &mut self.stage {
                    *next += RECOVER_EVERY;
                }
                None
            }
        }
    }

    fn take(&mut self, event: Event) -> Result<Option<Exit>> {
        match event {
            Event::Terminate => Ok(self.leave(self.config.timeouts.stop, "SIGTERM")?.then_some(Exit::Done)),
            Event::Request(asked) => self.requested(asked),
            Event::Prepared(result) => {
                result.context("initialise the data directory")?;
                if self.stop_asked() {
                    return Ok(Some(Exit::Done));
                }
                self.recover();
                Ok(None)
            }
            Event::Recovered(_) if self.stop_asked() => Ok(Some(Exit::Done)),
            Event::Recovered(found) => self.recovered(found).map(|()| None),
            Event::SetAside(_) if self.stop_asked() => Ok(Some(Exit::Done)),
            Event::SetAside(aside) => self.data_set_aside(aside).map(|()| None),
            Event::Peers(views) => self.peers_answered(&views).map(|()| None),
            Event::Probed(sql, wsrep) => {
                self.probed(sql, wsrep.map(|w| *w));
                Ok(None)
            }
            Event::Settled(inquiry) => {
                self.settled(*inquiry);
                Ok(None)
            }
            Event::PromotionAsked(asked) => {
                self.promotion_asked(asked);
                Ok(None)
            }
            Event::LastLook { pid, met, wsrep } => self.last_looked(pid, &met, wsrep.map(|w| *w)).map(|()| None),
            Event::ClientsGone { left } => self.clients_gone(left).map(|()| None),
            Event::OnDisk { copy, synced } => {
                self.brought_to_disk(copy, &synced);
                Ok(None)
            }
            Event::Upgraded(result) => {
                self.upgraded(result);
                Ok(None)
            }
            Event::Ended(ended) => self.ended(&ended),
            Event::RecoveryEnded(result) => {
                self.recovery_ended(result);
                Ok(None)
            }
        }
    }

    fn requested(&mut self, asked: Asked) -> Result<Option<Exit>> {
        let Some((request, reply)) = asked.begin() else {
            log::warn("request.withdrawn", &[("why", &"it waited for too long, and whoever asked was told so")]);
            return Ok(None);
        };
        let (answer, exit) = match request {
            Request::Leave { within_seconds, reason } => {
                let gone = self.leave(Duration::from_secs(within_seconds).min(LONGEST_LEAVE), &reason)?;
                let answer =
                    if gone { Reply::done("mariadbd does not run") } else { Reply::under_way("stopping mariadbd") };
                (answer, gone.then_some(Exit::Done))
            }
            request => (self.answer(request), None),
        };
        // Whoever asked may have gone away meanwhile.
        let _ = reply.send(answer);
        Ok(exit)
    }

    fn tick(&mut self) -> Result<()> {
        if let Some((hold, asked)) = &self.hold
            && asked.elapsed() >= Duration::from_secs(hold.seconds)
        {
            log::warn(
                "hold.ended",
                &[("order", &hold.order), ("owner", &hold.owner), ("why", &"its time is over and nobody released it")],
            );
            self.journal.record("hold.ended", json!({ "hold": hold }));
            self.hold = None;
            self.store.drop_hold()?;
        }
        self.bring_to_disk();
        let failed = self.standing.is_looked_for_again();
        match &self.stage {
            // A full disk, or a wrong option, may have been mended meanwhile.
            Stage::Waiting { .. }
                if failed && !self.holding() && self.since.elapsed() > recover_pause(self.unfound) =>
            {
                self.prepare()
            }
            // What was to begin here could not be started. While that is open, nobody else begins.
            Stage::Waiting { .. } if self.memory.beginning.is_some() && self.since.elapsed() > recover_pause(1) => {
                self.recover();
            }
            Stage::Waiting { asking, next, .. } if asking.may_begin() && Instant::now() >= *next => self.ask_peers()?,
            Stage::Running(running) if running.stop.is_some() => self.press_last_look()?,
            Stage::Running(_) => self.watch()?,
            Stage::Stopping(_) => self.press_stop()?,
            _ => {}
        }
        Ok(())
    }

    /// Whether this member is held, and not let go by its order.
    fn holding(&self) -> bool {
        self.hold.as_ref().is_some_and(|(hold, _)| !hold.started)
    }

    fn enter(&mut self, stage: Stage) {
        self.stage = stage;
        self.since = Instant::now();
    }

    fn phase(&self) -> Phase {
        match &self.stage {
            Stage::Preparing => Phase::Preparing,
            Stage::Recovering => Phase::Recovering,
            Stage::Waiting { .. } if self.holding() => Phase::Held,
            Stage::Waiting { .. } => Phase::Waiting,
            Stage::Running(running) if running.leaving.is_some() || running.stop.is_some() => Phase::Stopping,
            Stage::Running(running) if running.sql_was_open => Phase::Serving,
            Stage::Running(_) => Phase::Starting,
            Stage::Stopping(_) => Phase::Stopping,
        }
    }

    fn detail(&self) -> String {
        match &self.stage {
            Stage::Preparing => "making directories and the empty data directory".into(),
            Stage::Recovering => "finding the position with --wsrep-recover".into(),
            Stage::Waiting { detail, .. } => match self.hold.as_ref().filter(|_| self.holding()) {
                Some((hold, asked)) => {
                    let left = hold.seconds.saturating_sub(asked.elapsed().as_secs());
                    format!("held by {} for at most {left} s more: {}", hold.owner, hold.reason)
                }
                None => detail.clone(),
            },
            Stage::Running(running) => running.detail(),
            Stage::Stopping(stopping) => format!("stopping mariadbd: {}", stopping.reason),
        }
    }

    /// What the supervisor publishes.
    fn published(&self) -> Supervisor {
        let child = match &self.stage {
            Stage::Running(running) => Some((&running.child, running.mode)),
            Stage::Stopping(stopping) => Some((&stopping.child, stopping.mode)),
            _ => None,
        };
        Supervisor {
            phase: self.phase(),
            phase_seconds: self.since.elapsed().as_secs(),
            detail: self.detail(),
            position: self.standing.clone(),
            hold: self.hold.as_ref().map(|(hold, asked)| Hold {
                seconds: hold.seconds.saturating_sub(asked.elapsed().as_secs()),
                ..hold.clone()
            }),
            last_outcome: self.store.outcome(),
            refused: match &self.stage {
                Stage::Waiting { refused, .. } => refused.clone(),
                _ => None,
            },
            child: child.map(|(child, mode)| Child {
                pid: child.pid(),
                mode,
                seconds: child.age().as_secs(),
                work: self.steps(),
                giving: match &self.stage {
                    Stage::Running(running) => running.giving.standstill(self.giving_limit(), Instant::now()),
                    _ => None,
                },
                standstill: match &self.stage {
                    Stage::Running(running) => running.ascent.standstill(self.patience(), Instant::now()),
                    _ => None,
                },
            }),
            view_seconds: match &self.stage {
                Stage::Running(running) => running.view_seconds(),
                _ => None,
            },
            unsettled: match &self.stage {
                Stage::Running(running) => running.unsettled(),
                _ => None,
            },
            stance: self.maintained.stance(),
            fell_back: self.fell_back,
            lacks_tables: self.lacks_tables.clone(),
            unfound: Some(self.unfound),
        }
    }

    /// How often the running start came further.
    fn steps(&self) -> u64 {
        match &self.stage {
            Stage::Running(running) => running.ascent.steps,
            _ => 0,
        }
    }

    /// What this member's agent would report of a stopped member.
    fn own_observation(&self) -> Observation {
        self.observation_with((Sql::Closed { why: "mariadbd is down".into() }, None))
    }

    fn observation_with(&self, sql: (Sql, Option<Wsrep>)) -> Observation {
        let seen =
            super::observe::at_hand(&self.config, &self.me, SupervisorSight::Present(Box::new(self.published())), sql);
        // As its agent tells it to the others, so that all choose alike.
        Observation { deaths: self.journal.deaths(Moment::now()).0, ..seen }
    }

    fn stands(&mut self, standing: Standing) {
        log::set_position(standing.position().as_ref().map(|p| p as &dyn std::fmt::Display));
        self.unfound = match &standing {
            failed if failed.is_looked_for_again() => self.unfound.saturating_add(1),
            _ => 0,
        };
        self.standing = standing;
    }

    fn stop_asked(&self) -> bool {
        self.asked_to_stop.load(Ordering::Relaxed)
    }
}

/// Before a position that could not be found so often in a row is looked for once more. Most of what prevents it is over
/// within seconds (a full disk, a kill), and meanwhile a page may tell how to go on without this member.
fn recover_pause(unfound: u32) -> Duration {
    Duration::from_secs(2 << unfound.min(4)).min(RECOVER_EVERY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s3_a_position_that_was_not_found_is_looked_for_again_soon_and_then_more_rarely() {
        let pauses: Vec<u64> = [1, 2, 3, 4, 99].into_iter().map(|n| recover_pause(n).as_secs()).collect();
        assert_eq!(pauses, [4, 8, 16, 30, 30]);
    }
}
