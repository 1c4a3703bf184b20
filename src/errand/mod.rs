//! Carries out a recovery of the cluster: looks at all members, and does what [`crate::cluster::recovery`]
//! says. The bootstrap errand runs it, and so does a member that finds itself to be the one to begin.
//!
//! BOSH runs the errand on all instances at once, and members may recover by themselves meanwhile. The
//! members are held in the order of the configuration, so whoever holds the first one leads; the others
//! follow it and end with its result. A leader that dies leaves holds that end by themselves, and the first
//! follower to notice takes over.

mod following;
mod hold;
mod incident;
mod joining;
pub mod maintenance;
mod progress;
pub mod report;
mod steps;
pub mod table;

pub use steps::write_is_seen;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;

use self::following::Followed;
use self::hold::{Held, Taken};
use self::incident::Packing;
use self::joining::Fell;
use self::progress::Progress;
use crate::agent::api::{self, PermitBody};
use crate::agent::client::Client;
use crate::cli::Exit;
use crate::cluster::bootstrap::{Evidence, Fence, Force, NoProof, Proof, Way, forced, proof};
use crate::cluster::hold::LONGEST_HOLD;
use crate::cluster::maintenance::{Act, By, Mode, may};
use crate::cluster::member::{Cluster, Member, listed};
use crate::cluster::observation::MemberView;
use crate::cluster::primary::{Primaries, primaries};
use crate::cluster::recovery::{Recovery, joiners, recovery};
use crate::cluster::start::way_out;
use crate::config::{BootstrapConfig, BootstrapTimeouts, Hooks, MemberConfig};
use crate::host::journal::Journal;
use crate::host::operator_hooks::Hook;

/// A recovery under way.
pub struct Errand {
    cluster: Cluster,
    client: Client,
    timeouts: BootstrapTimeouts,
    progress: Progress,
    owner: String,
    force: Option<Force>,
    /// A person knows of the maintenance that is on, and goes on all the same.
    during_maintenance: bool,
    /// Where evidence is kept before anything is done.
    incidents: Option<PathBuf>,
    packing: Option<Packing>,
    hooks: Option<Hooks>,
    /// What this run did, once it is verified.
    recovered: Option<Proof>,
    /// The member's own, where a member recovers the cluster by itself.
    journal: Option<Journal>,
}

/// How it ended: the code, and the last sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The code.
    pub exit: Exit,
    /// The sentence.
    pub text: String,
    /// Whether a hook of the operator prevented it.
    pub vetoed: bool,
}

impl Verdict {
    fn done(text: String) -> Verdict {
        Verdict { exit: Exit::Done, text, vetoed: false }
    }

    fn refused(text: String) -> Verdict {
        Verdict { exit: Exit::Refused, text, vetoed: false }
    }

    /// It did not come about.
    pub fn failed(text: String) -> Verdict {
        Verdict { exit: Exit::Failed, text, vetoed: false }
    }
}

/// Runs the errand; with `dry_run`, only tells what it would do; with `force`, as a person decided, and with
/// `during_maintenance` also where maintenance is on.
pub fn run(config: BootstrapConfig, dry_run: bool, force: Option<Force>, during_maintenance: bool) -> Result<Exit> {
    let mut errand = Errand {
        client: Client::new(&config.agents, config.timeouts.ask, GALERA_PORT),
        progress: Progress::begin(&config.log_dir, &config.runs_on),
        owner: format!("{}{}", hold::ERRAND, config.runs_on),
        cluster: config.cluster,
        timeouts: config.timeouts,
        force,
        during_maintenance,
        incidents: config.incidents.map(|place| evidence_place(place, &config.log_dir)),
        packing: None,
        hooks: config.hooks,
        recovered: None,
        journal: None,
    };
    let verdict = errand.recover(dry_run);
    errand.wait_for_evidence();
    let verdict = verdict?;
    errand.progress.finish(&verdict.text);
    Ok(verdict.exit)
}

/// A member brings the cluster back by itself, because it is the one that the proof names. One attempt: if
/// another one leads, or the proof does not hold once all that were `seen` are held, nothing has changed.
pub fn by_itself(config: &MemberConfig, seen: &[Member]) -> Result<Verdict> {
    let mut errand = Errand {
        client: Client::new(&config.agents, config.timeouts.ask, config.mariadb.galera_port),
        progress: Progress::in_log(),
        owner: format!("{}{}", hold::BY_ITSELF, config.instance),
        cluster: config.cluster.clone(),
        timeouts: config.timeouts.of_recovery(),
        force: None,
        during_maintenance: false,
        incidents: Some(config.paths.state_dir.join("incidents")),
        packing: None,
        hooks: config.hooks.clone(),
        recovered: None,
        journal: Some(Journal::in_dir(&config.paths.state_dir)),
    };
    match hold::take(&errand.client, seen, &errand.owner, |_| false)? {
        Taken::Held(held) => Ok(match errand.lead(&held) {
            Led::Ended(verdict) => verdict,
            // Whoever is to begin now finds out with its next look.
            Led::Fell(why) => Verdict::failed(format!("Failed: {why}.")),
        }),
        Taken::ByAnother(leader) => Ok(Verdict::refused(format!("{} leads", leader.owner))),
    }
}

/// On the persistent disk of a member; beside the log where this VM has none.
fn evidence_place(wanted: PathBuf, log_dir: &std::path::Path) -> PathBuf {
    let there = wanted.parent().is_some_and(std::path::Path::exists);
    if there { wanted } else { log_dir.join("incidents") }
}

/// Asked only where an agent gives no answer, to tell a person more.
const GALERA_PORT: u16 = 4567;
/// How long a supervisor may take from its start to its first answer.
const SUPERVISOR_GRACE: Duration = Duration::from_secs(10);
/// So often a recovery is begun anew because what it made fell.
const ATTEMPTS: u32 = 3;
/// Pause between two looks at what is under way.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What became of members that were on their way into a primary component.
enum Waited {
    /// There are none, or they do not come.
    ForNobody,
    /// All came: it is time to look again.
    Came,
    /// The component does not stand any more.
    Fell(String),
}

impl Errand {
    fn members(&self) -> Vec<&Member> {
        self.cluster.members.iter().collect()
    }

    fn look(&self) -> Vec<MemberView> {
        self.client.observe(&self.members())
    }

    fn recover(&mut self, dry_run: bool) -> Result<Verdict> {
        let (mut begun, mut attempts) = (Instant::now(), 1);
        loop {
            self.progress.step(1, "looking at all members");
            let views = self.look();
            if !dry_run && let Some(leader) = following::leader(&views) {
                // A person who wants something else than the leader is told who that is, and when to come back.
                if self.force.is_some() {
                    let why = format!(
                        "Refused: {} leads a recovery (order {}). Nothing was changed.",
                        leader.owner, leader.order
                    );
                    return Ok(Verdict::refused(why));
                }
                match self.follow(&leader)? {
                    Followed::Ended(verdict) => return Ok(verdict),
                    Followed::LeaderGone => continue,
                }
            }
            if !dry_run && let Some(verdict) = self.kept_by_maintenance(&views) {
                return Ok(verdict);
            }
            match if dry_run { Waited::ForNobody } else { self.waited_for_joiners(&views)? } {
                Waited::ForNobody => {}
                Waited::Came => continue,
                Waited::Fell(why) => match self.begins_anew(&why, &mut attempts) {
                    None => {
                        begun = Instant::now();
                        continue;
                    }
                    Some(given_up) => return Ok(given_up),
                },
            }
            let taken = self.taken_in_hand(&views);
            match recovery(&self.cluster, &taken) {
                Recovery::UnderWay(what) if !dry_run && begun.elapsed() < self.timeouts.stop => {
                    self.progress.line(&format!("waiting: {what}"));
                    std::thread::sleep(LOOK_EVERY);
                    continue;
                }
                // One that was just started has its socket in a moment.
                Recovery::Refuse(no @ NoProof::NoSupervisor(_)) if !dry_run && begun.elapsed() < SUPERVISOR_GRACE => {
                    self.progress.line(&format!("waiting: {no}"));
                    std::thread::sleep(LOOK_EVERY);
                    continue;
                }
                other => {
                    if let Some(verdict) = self.nothing_to_do(other, &views, dry_run) {
                        return Ok(verdict);
                    }
                }
            }
            self.let_obey(&views)?;
            self.progress.step(2, "holding all members that are seen");
            let left_out = |m: &Member| self.force.as_ref().is_some_and(|force| force.accepts(&m.name));
            match hold::take(&self.client, &seen_members(&taken), &self.owner, left_out)? {
                Taken::Held(held) => match self.lead(&held) {
                    Led::Ended(verdict) => return Ok(verdict),
                    Led::Fell(why) => match self.begins_anew(&why, &mut attempts) {
                        None => begun = Instant::now(),
                        Some(given_up) => return Ok(given_up),
                    },
                },
                Taken::ByAnother(leader) => match self.follow(&leader)? {
                    Followed::Ended(verdict) => return Ok(verdict),
                    Followed::LeaderGone => {}
                },
            }
        }
    }

    /// Refuses where maintenance is on, unless a person named the member and knows of it.
    fn kept_by_maintenance(&self, views: &[MemberView]) -> Option<Verdict> {
        let mode = Mode::of(views.iter().filter_map(MemberView::seen));
        let why = may(Act::Begin, self.by(), "", &mode).err()?;
        if matches!(recovery(&self.cluster, views), Recovery::Healthy(_)) {
            return None;
        }
        Some(Verdict::refused(format!(
            "Refused: {why}, so nothing is begun. Nothing was changed. End it with {}, or name the member to go on from: `/var/vcap/jobs/bootstrap/bin/run --node INSTANCE --during-maintenance`.",
            mode.ends_by()
        )))
    }

    /// On whose word it begins.
    fn by(&self) -> By {
        if self.during_maintenance && self.force.is_some() { By::Person } else { By::Itself }
    }

    /// Where a person begins in spite of maintenance, members are let obey: once it is known that it begins.
    fn let_obey(&self, views: &[MemberView]) -> Result<()> {
        let mode = Mode::of(views.iter().filter_map(MemberView::seen));
        let Err(reason) = may(Act::Begin, By::Itself, "", &mode) else { return Ok(()) };
        let body = PermitBody { by: self.owner.clone(), reason, seconds: LONGEST_HOLD };
        let waits =
            |v: &&MemberView| hold::supervisor(v).is_some_and(|s| s.stance.permit.is_none()) && !steps::synced(v);
        for view in views.iter().filter(waits) {
            self.client.tell(&view.member, api::PERMIT, &body)?;
        }
        Ok(())
    }

    /// The members that this run holds and waits for: not those whom a person left out and who cannot be held, or do not
    /// say where they stand.
    fn taken_in_hand(&self, views: &[MemberView]) -> Vec<MemberView> {
        let aside = |v: &MemberView| self.force.as_ref().is_some_and(|force| force.sets_aside(v));
        views.iter().filter(|v| !aside(v)).cloned().collect()
    }

    /// After a component fell: another attempt, or what it ends with, where that was the last one.
    fn begins_anew(&mut self, why: &str, attempts: &mut u32) -> Option<Verdict> {
        if *attempts >= ATTEMPTS {
            return Some(Verdict::failed(format!(
                "Failed: {why}. That was attempt {attempts} of {ATTEMPTS}. Look why members fall (mariadb.err.log), and run the errand again: that is safe."
            )));
        }
        *attempts += 1;
        self.progress.line(&format!("{why}; starting over"));
        None
    }

    /// Where a primary component exists, members that are on their way into it are waited for.
    fn waited_for_joiners(&mut self, views: &[MemberView]) -> Result<Waited> {
        let coming = joiners(&self.cluster, views);
        if coming.is_empty() {
            return Ok(Waited::ForNobody);
        }
        let Primaries::One(primary) = primaries(views.iter().filter_map(MemberView::seen)) else {
            return Ok(Waited::ForNobody);
        };
        self.progress.line(&format!("a primary component exists; {} join it by themselves", coming.join(", ")));
        match self.wait_joined(None, &coming, &primary.members) {
            Err(fell) if fell.is::<Fell>() => Ok(Waited::Fell(format!("{fell:#}"))),
            joined => Ok(if joined?.is_empty() { Waited::Came } else { Waited::ForNobody }),
        }
    }

    /// Whether this may be done, by proof or by what a person decided.
    fn proven(&self, views: &[MemberView], fence: Fence) -> Result<Proof, NoProof> {
        let evidence = Evidence::of(&self.cluster, views, fence);
        match &self.force {
            Some(force) => forced(&evidence, force),
            None => proof(&evidence),
        }
    }

    /// The cases in which nothing is touched.
    fn nothing_to_do(&self, found: Recovery, views: &[MemberView], dry_run: bool) -> Option<Verdict> {
        match found {
            Recovery::Healthy(primary) => {
                let size = primary.size;
                return Some(Verdict::done(format!(
                    "No action: all {size} members are Synced in one primary component."
                )));
            }
            Recovery::PrimaryExists { primary, out } => {
                self.progress.show(&table::of(views));
                let out: Vec<String> = out.iter().map(|(name, why)| format!("{name} ({why})")).collect();
                return Some(Verdict::refused(format!(
                    "Refused: a primary component exists ({}), so nothing is bootstrapped. Not Synced in it: {}. A member joins it by itself once its galera-start runs (monit start mariadb) and reaches the others; what it waits for is in its galera-start.log.",
                    listed(primary.members.iter().map(String::as_str)),
                    out.join("; ")
                )));
            }
            Recovery::UnderWay(what) if dry_run => {
                self.progress.show(&table::of(views));
                return Some(Verdict::done(format!("Would wait, because something is under way: {what}.")));
            }
            Recovery::UnderWay(what) => {
                let limit = self.timeouts.stop.as_secs();
                let text =
                    format!("Failed: waited {limit} s, and this is still under way: {what}. Nothing was changed.");
                return Some(Verdict::failed(text));
            }
            Recovery::Begin(_) | Recovery::Refuse(_) => {}
        }
        self.progress.show(&table::of(views));
        match self.proven(views, Fence::WouldHold) {
            Err(no) => {
                let way_out = if self.force.is_some() { String::new() } else { way_out(&self.cluster, views, &no) };
                Some(Verdict::refused(format!("Refused: {no}. Nothing was changed{way_out}.")))
            }
            Ok(proof) => dry_run.then(|| {
                let how = match proof.way() {
                    Way::Promote => format!("promote {} in place", proof.member()),
                    Way::Bootstrap => format!("stop what runs, bootstrap {}", proof.member()),
                };
                Verdict::done(format!("Would hold all members that are seen, {how}, and join the others. {proof}."))
            }),
        }
    }

    /// Leads: whatever happens, the members are released and told how it ended.
    fn lead(&mut self, held: &Held) -> Led {
        let verdict = match self.carry_out(held) {
            Ok(verdict) => verdict,
            Err(e) if e.is::<Fell>() => {
                // Followers hear of no result, and look anew as this run does.
                held.release(&self.client, None);
                return Led::Fell(format!("{e:#}"));
            }
            Err(e) => {
                // A member that leads by itself tries again without being asked.
                let again =
                    if self.journal.is_none() { " Mend that, and run the errand again: that is safe." } else { "" };
                Verdict::failed(format!("Failed: {e:#}.{again}"))
            }
        };
        if verdict.exit != Exit::Done {
            self.progress.show(&table::of(&self.look()));
        }
        let unreleased = held.release(&self.client, Some(&verdict));
        // Nobody is held any more, so a hook may take its time.
        if let Some(proof) = self.recovered.take() {
            self.tell_hooks(Hook::PostBootstrap, Some(&proof), Some(&verdict.text));
        }
        // A member that fails in the same way again and again tells it once, and sees to that itself.
        if verdict.exit == Exit::Failed && self.journal.is_none() {
            self.tell_hooks(Hook::OnFailed, None, Some(&verdict.text));
        }
        if unreleased.is_empty() {
            return Led::Ended(verdict);
        }
        let text = format!(
            "{} Could not release {}; that hold ends by itself within {} s.",
            verdict.text,
            unreleased.join(", "),
            hold::LEASE.as_secs()
        );
        Led::Ended(Verdict { text, ..verdict })
    }
}

/// What came of leading.
enum Led {
    /// It ended.
    Ended(Verdict),
    /// The primary component that it made fell before all was done; why.
    Fell(String),
}

/// The members whose agents answer.
fn seen_members(views: &[MemberView]) -> Vec<Member> {
    views.iter().filter(|v| v.seen().is_some()).map(|v| v.member.clone()).collect()
}
