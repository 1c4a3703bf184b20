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

mod child;
mod leading;
mod leaving;
mod maintained;
mod orders;
mod running;
mod settling;
mod transfer;
mod waiting;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal};
use serde_json::json;

use self::child::{ChildHandle, Ended};
use self::leading::Leading;
use self::maintained::Maintained;
pub use self::maintained::started_by_bosh;
use self::running::Running;
use super::clock::seconds_since_epoch;
use super::datadir::DataDir;
use super::journal::Journal;
use super::processes::find_mariadbd;
use super::socket::{self, Reply, Request};
use super::store::Store;
use crate::cli::Exit;
use crate::cluster::hold::Hold;
use crate::cluster::member::Member;
use crate::cluster::observation::{
    Child, File, MemberView, Observation, Phase, Sql, StartMode, Supervisor, SupervisorSight,
};
use crate::cluster::standing::{Standing, Unknown};
use crate::cluster::start::back_off;
use crate::config::MemberConfig;
use crate::errand::Verdict;
use crate::galera::grastate::Grastate;
use crate::galera::wsrep::Wsrep;
use crate::log;

/// How often the loop looks at its deadlines.
const TICK: Duration = Duration::from_millis(100);
/// Pause before a position that could not be found is looked for once more.
const RECOVER_EVERY: Duration = Duration::from_secs(30);
/// Pause between two rounds of asking the peers.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// What the loop is told.
enum Event {
    /// SIGTERM or SIGINT.
    Terminate,
    /// A request over the socket, and where the reply goes.
    Request(Request, Sender<Reply>),
    /// The data directory is there.
    Prepared(Result<()>),
    /// Where the member stands.
    Recovered(Standing),
    /// What the peers' agents say.
    Peers(Vec<MemberView>),
    /// What a fresh connection met.
    Probed(Sql, Option<Box<Wsrep>>),
    /// The work that follows the first Synced of this life ended.
    Settled(Result<settling::Settled>),
    /// The clients of a leaving member are gone, or so many are left at the end of their time.
    ClientsGone { left: Option<u64> },
    /// The system tables are of the server's version now.
    Upgraded(Result<()>),
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
        asking: bool,
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
    why: StopReason,
    /// SIGKILL then.
    deadline: Instant,
    killed: bool,
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
    journal: Journal,
    datadir: DataDir,
    stage: Stage,
    since: Instant,
    /// `mariadbd` died in a row, so often: not before this moment does this member start it by itself.
    deaths: u32,
    patient_until: Instant,
    standing: Standing,
    /// `grastate.dat` as it was when the position was found.
    rested: File<Grastate>,
    hold: Option<(Hold, Instant)>,
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
        let hold = store.hold(seconds_since_epoch()).unwrap_or_else(|e| {
            // A fence that cannot be read is taken for closed, for as long as one may last.
            log::error("hold.unreadable", &[("why", &format!("{e:#}"))]);
            Some(orders::unreadable_hold())
        });
        let journal = Journal::in_dir(store.dir());
        let deaths = journal.deaths().in_a_row;
        Ok(Supervising {
            me,
            journal,
            deaths,
            // From now on, and not from when it died: monit restarts at once, and clocks jump.
            patient_until: Instant::now() + back_off(deaths),
            datadir: DataDir::at(&config.mariadb.data_dir),
            stage: Stage::Preparing,
            since: Instant::now(),
            standing: Standing::unknown(Unknown::NotLookedYet, "galera-start has just begun"),
            rested: File::Absent,
            hold: hold.map(|h| (h, Instant::now())),
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
            let (reply, answer) = channel();
            let asked = events.send(Event::Request(request, reply)).is_ok();
            let limit = Duration::from_secs(4);
            match asked.then(|| answer.recv_timeout(limit)) {
                Some(Ok(reply)) => reply,
                _ => Reply::refused("galera-start is ending, or did not answer in time"),
            }
        })
    }

    fn run(&mut self, inbox: &Receiver<Event>) -> Result<Exit> {
        match find_mariadbd(&self.config.mariadb.defaults_file).filter(|(_, p)| !p.recovering) {
            Some((handle, process)) => self.adopt(handle, &process)?,
            None => self.prepare(),
        }
        loop {
            let exit = match inbox.recv_timeout(TICK) {
                Ok(event) => self.take(event)?,
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => Some(Exit::Failed),
            };
            if let Some(exit) = exit {
                return Ok(exit);
            }
            self.tick()?;
        }
    }

    fn take(&mut self, event: Event) -> Result<Option<Exit>> {
        match event {
            Event::Terminate => Ok(self.leave(self.config.timeouts.stop, "SIGTERM")?.then_some(Exit::Done)),
            Event::Request(Request::Leave { within_seconds, reason }, reply) => {
                let gone = self.leave(Duration::from_secs(within_seconds), &reason)?;
                let _ = reply.send(if gone {
                    Reply::done("mariadbd does not run")
                } else {
                    Reply::under_way("stopping mariadbd")
                });
                Ok(gone.then_some(Exit::Done))
            }
            Event::Request(request, reply) => {
                let answer = self.answer(request);
                // Whoever asked may have gone away meanwhile.
                let _ = reply.send(answer);
                Ok(None)
            }
            Event::Prepared(result) => {
                result.context("initialise the data directory")?;
                if self.stop_asked() {
                    return Ok(Some(Exit::Done));
                }
                self.recover();
                Ok(None)
            }
            Event::Recovered(_) if self.stop_asked() => Ok(Some(Exit::Done)),
            Event::Recovered(standing) => {
                self.recovered(standing);
                Ok(None)
            }
            Event::Peers(views) => self.peers_answered(&views).map(|()| None),
            Event::Probed(sql, wsrep) => {
                self.probed(sql, wsrep.map(|w| *w));
                Ok(None)
            }
            Event::Settled(result) => {
                self.settled(result);
                Ok(None)
            }
            Event::ClientsGone { left } => self.clients_gone(left).map(|()| None),
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
        let failed = matches!(self.standing, Standing::Unknown { why: Unknown::Failed, .. });
        match &self.stage {
            // A full disk, or a wrong option, may have been mended meanwhile.
            Stage::Waiting { .. } if failed && !self.holding() && self.since.elapsed() > RECOVER_EVERY => {
                self.recover()
            }
            Stage::Waiting { asking: false, next, .. } if Instant::now() >= *next => self.ask_peers()?,
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
            Stage::Running(running) if running.leaving.is_some() => Phase::Stopping,
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
                work: super::processes::work_done_below(child.pid()),
                standstill: self.standstill(),
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
        }
    }

    /// What this member's agent would report of a stopped member.
    fn own_observation(&self) -> Observation {
        self.observation_with((Sql::Closed { why: "mariadbd is down".into() }, None))
    }

    fn observation_with(&self, sql: (Sql, Option<Wsrep>)) -> Observation {
        super::observe::at_hand(&self.config, &self.me, SupervisorSight::Present(Box::new(self.published())), sql)
    }

    fn stands(&mut self, standing: Standing) {
        log::set_position(standing.position().as_ref().map(|p| p as &dyn std::fmt::Display));
        self.standing = standing;
    }

    fn stop_asked(&self) -> bool {
        self.asked_to_stop.load(Ordering::Relaxed)
    }
}
