//! What follows Synced: databases and users, the lineage, and what is remembered of the view.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::{Event, Stage, Supervising};
use crate::agent::client::Client;
use crate::cluster::lineage::{Branches, Incarnation, Lineage, one_past};
use crate::cluster::memory::{CaughtUp, Companion, Memory, Settled};
use crate::cluster::observation::{MemberView, Observation, Sql};
use crate::cluster::origin::{Origin, company, origin};
use crate::config::{self, MemberConfig, SeedConfig};
use crate::galera::gvwstate::{SavedView, ViewId};
use crate::galera::log_lines::begun_at;
use crate::galera::position::Position;
use crate::galera::wsrep::Wsrep;
use crate::host::datadir::DataDir;
use crate::host::processes::find_mariadbd;
use crate::host::{mariadbd, seed, sql, upgrade};
use crate::log;

/// How often what follows Synced is done again in an unchanged view: a peer's agent may have been away.
pub(super) const SETTLE_EVERY: Duration = Duration::from_secs(60);
/// The same where not all members of the component were seen to be in it.
pub(super) const SETTLE_SOON: Duration = Duration::from_secs(10);
/// Pause after a failure of that.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(3);

/// Whether the system tables are of the server's version: asked once in a life of `mariadbd`.
#[derive(Debug, Clone)]
pub(super) enum Upgrade {
    NotYet,
    UnderWay,
    Done,
    Failed { why: String, at: Instant },
}

impl Upgrade {
    fn due(&self) -> bool {
        match self {
            Upgrade::NotYet => true,
            Upgrade::Failed { at, .. } => at.elapsed() >= SETTLE_EVERY,
            Upgrade::UnderWay | Upgrade::Done => false,
        }
    }
}

/// What was found out once Synced.
pub(super) struct Inquiry {
    conf_id: Option<u64>,
    /// The view on disk that all of this is about.
    view: Option<ViewId>,
    /// How this component came about.
    origin: Origin,
    /// Who is in the component now.
    members: Vec<Companion>,
    /// The view of which all that came before it is applied here, and where this member stood then, if that could be seen.
    caught_up: Option<CaughtUp>,
    /// The databases and users that were changed.
    seeded: Result<Vec<String>>,
}

impl Supervising {
    /// What follows Synced: databases and users, and the lineage of the others.
    pub(super) fn settle(&self, wsrep: &Wsrep) {
        let (config, events, datadir) = (Arc::clone(&self.config), self.events.clone(), self.datadir.clone());
        let (me, own) = (self.me.clone(), self.observation_with((Sql::Open { milliseconds: 0 }, Some(wsrep.clone()))));
        let (conf_id, view) = (wsrep.cluster_conf_id, own.disk.saved_view.present().map(SavedView::id));
        std::thread::spawn(move || {
            let views: Vec<MemberView> =
                Client::ask_others(&config, false).into_iter().chain([MemberView::own(&me, own)]).collect();
            let seen: Vec<&Observation> = views.iter().filter_map(MemberView::seen).collect();
            let origin = origin(&me.name, &seen);
            let inquiry = Inquiry {
                conf_id,
                view,
                members: company(&me.name, &seen),
                caught_up: caught_up(&config, &datadir),
                origin,
                seeded: seeded(&config),
            };
            let _ = events.send(Event::Settled(Box::new(inquiry)));
        });
    }

    pub(super) fn settled(&mut self, inquiry: Inquiry) {
        let kept = self.keep_settled(inquiry);
        let Stage::Running(running) = &mut self.stage else {
            return;
        };
        running.settling.end();
        let before = running.failed.take();
        if let Err(e) = kept {
            // Tried again; the member serves meanwhile. The same again is not told again.
            let why = format!("{e:#}");
            if before.is_none_or(|(told, _)| told != why) {
                log::error("settle.failed", &[("why", &why)]);
            }
            running.failed = Some((why, Instant::now()));
        }
    }

    fn keep_settled(&mut self, inquiry: Inquiry) -> Result<()> {
        let Stage::Running(running) = &mut self.stage else {
            return Ok(());
        };
        let (stood, last, process) = (running.stood_without_quorum, running.last.clone(), running.child.pid());
        let Some(wsrep) = last.filter(Wsrep::is_synced) else {
            return Ok(());
        };
        let Some(position) = wsrep.position() else {
            return Ok(());
        };
        if self.memory.damaged.is_some() {
            self.mend_memory()?;
        }
        let view = self.datadir.look().saved_view.present().cloned();
        if view.as_ref().map(SavedView::id) != inquiry.view {
            // What was asked is about a view that is over; it is asked again in this one.
            return Ok(());
        }
        let lineage = self.past_of(&inquiry.origin, &wsrep, position, stood)?;
        // A joiner changes no view when it is Synced, and by then may have acknowledged what nobody else knows it could.
        let whole = usize::try_from(wsrep.members_with_data()).is_ok_and(|size| inquiry.members.len() >= size);
        let settled = Settled {
            lineage,
            position,
            applied_before: inquiry.caught_up,
            view,
            known_as: wsrep.gcomm_uuid,
            process: Some(process),
            members: inquiry.members,
            expected: self.config.cluster.members.iter().map(|m| m.id.clone()).collect(),
        };
        self.notice_copy()?;
        self.keep(|memory| memory.settle(settled))?;
        // Only now: whoever joins waits for the lineage, and not for a user that cannot be made.
        let seeded = inquiry.seeded?;
        let Stage::Running(running) = &mut self.stage else {
            return Ok(());
        };
        if running.upgrade.due() {
            running.upgrade = Upgrade::UnderWay;
            let (config, events) = (Arc::clone(&self.config), self.events.clone());
            std::thread::spawn(move || {
                let _ = events.send(Event::Upgraded(upgrade::system_tables(&config)));
            });
        }
        let again = running.settled_in.is_some_and(|(view, _)| view == inquiry.conf_id);
        running.settled_in = Some((inquiry.conf_id, Instant::now()));
        running.settle_again_after = if whole { SETTLE_EVERY } else { SETTLE_SOON };
        running.stood_without_quorum = None;
        if !again || !seeded.is_empty() {
            log::info("synced", &[("size", &wsrep.cluster_size), ("seeded", &seeded.join(", "))]);
            let details = json!({ "position": position, "size": wsrep.cluster_size, "seeded": seeded });
            self.journal.record("synced", details);
        }
        Ok(())
    }

    /// The past of this component: as the others tell it, or one incarnation more where somebody began it by hand.
    fn past_of(&self, origin: &Origin, wsrep: &Wsrep, position: Position, stood: Option<Position>) -> Result<Lineage> {
        let own = self.memory.lineage_as_primary();
        match origin {
            Origin::Unknown(why) => bail!("{why}"),
            Origin::Explained(others) => {
                let lineage = one_past([&own, others]).map_err(|Branches| {
                    anyhow::anyhow!(
                        "the others remember another past of this cluster than this member does, and none goes on from the other: a person must choose whose data is given up (galera-ctl rejoin)"
                    )
                })?;
                // A first deploy that got here, or a cluster that ran before this release looked after it.
                Ok(match lineage.is_empty() {
                    false => lineage,
                    // Its own past is lost, and nobody tells it: whoever comes with data is told from it by this.
                    true if self.past_lost => {
                        lineage.with(self.incarnation(position.history(), 0, "what was remembered is lost")?)
                    }
                    true => lineage.with(self.first_incarnation(position, wsrep)),
                })
            }
            // Whoever was put here by hand has the data of the others, whatever it remembers.
            Origin::Theirs(others) => {
                if !others.extends(&own) {
                    log::warn(
                        "lineage.given_up",
                        &[("why", &"this member was started by hand, among members of another past")],
                    );
                    self.journal.record("lineage.given_up", json!({ "own": own, "theirs": others }));
                }
                Ok(others.clone())
            }
            Origin::BegunByHand(how) => {
                // Galera's own word counts first: the moment without quorum may have been too short to be seen, and
                // what was committed since is the new component's own.
                let told = begun_at(&mariadbd::error_log_since(&self.config, 0));
                let process = find_mariadbd(&self.config.mariadb.defaults_file).map(|(_, process)| process);
                let started = process.as_ref().and_then(|p| p.start_position);
                let began_at = began_at_most(told, [started, stood, self.memory.last_position], position);
                let incarnation = Incarnation {
                    // Under the name that whoever began it gave, others find it.
                    group: process.map_or_else(|| own.group().map(str::to_owned), |p| p.group),
                    ..self.incarnation(position.history(), began_at, &format!("begun by hand: {how}"))?
                };
                log::warn("bootstrap.by_hand", &[("began_at", &began_at), ("how", how)]);
                self.journal.record("bootstrap.by_hand", json!({ "incarnation": incarnation }));
                Ok(own.with(incarnation))
            }
        }
    }

    /// A person may have put it back meanwhile, and the others see what lies on the disk.
    pub(super) fn read_damaged_memory_again(&mut self) {
        if self.memory.damaged.is_some() {
            self.memory = self.store.memory();
        }
    }

    /// A memory that cannot be read, of a member that serves: what is known is written anew, and what was there is kept.
    pub(super) fn mend_memory(&mut self) -> Result<()> {
        self.read_damaged_memory_again();
        let Some(damage) = self.memory.damaged.clone() else { return Ok(()) };
        let earlier = self.store.earlier_memory();
        let mended = Memory::mended(earlier.as_deref());
        self.store.keep_memory(&mended).context("write what this member remembers anew")?;
        log::warn("memory.mended", &[("damage", &damage), ("from_earlier", &earlier.is_some())]);
        self.journal.record("memory.mended", json!({ "damage": damage, "from_earlier": earlier.is_some() }));
        self.memory = mended;
        self.past_lost = earlier.is_none();
        Ok(())
    }

    /// Its id is the history's: members of a cluster that ran before this release looked after it each make one
    /// up at the same time, and it must be the same one.
    fn first_incarnation(&self, position: Position, wsrep: &Wsrep) -> Incarnation {
        let proof = if self.memory.founding {
            "FirstDeploy".to_owned()
        } else {
            // What was before is one history as far as anybody can tell; it counts as the first incarnation.
            format!("found running at {position} in a component of {}", wsrep.cluster_size)
        };
        Incarnation {
            number: 1,
            id: position.history(),
            history: position.history(),
            began_at: 0,
            by: self.me.name.clone(),
            at: log::now(),
            proof,
            left_out: Vec::new(),
            group: None,
        }
    }
}

/// Where what somebody began by hand began, as a member that stands here can tell: by Galera's own word, or the first other
/// one that is about the same history and goes no further. Where nothing tells, or Galera's word is about another history,
/// at 0: whoever comes with data is told from it.
pub(super) fn began_at_most<const N: usize>(
    told: Option<Position>,
    others: [Option<Position>; N],
    stands: Position,
) -> u64 {
    if told.is_some_and(|told| told.history() != stands.history()) {
        return 0;
    }
    let possible = |at: &Position| at.against(stands).is_ok_and(|than| than != Ordering::Greater);
    [told].into_iter().chain(others).flatten().find(possible).map_or(0, Position::seqno)
}

/// Whether all that came before the view on disk is applied here. Galera writes the file the moment that the group
/// changes, and SQL may still tell of a view before; a causal read ends once all that was delivered is applied.
///
/// Where it stood before that was asked is no witness: with so much on its disk it has not caught up.
fn caught_up(config: &MemberConfig, datadir: &DataDir) -> Option<CaughtUp> {
    let view: SavedView = datadir.look().saved_view.present().cloned()?;
    sql::apply_all(&config.mariadb.socket, &config.mariadb.admin_user).ok()?;
    let position = sql::look(&config.mariadb.socket, &config.mariadb.admin_user).1?.position()?;
    Some(CaughtUp { view: view.id(), position })
}

impl Supervising {
    pub(super) fn upgraded(&mut self, result: Result<()>) {
        let Stage::Running(running) = &mut self.stage else {
            return;
        };
        running.upgrade = match result {
            Ok(()) => Upgrade::Done,
            // Tried again when it is settled again; the member serves meanwhile, as it did before.
            Err(e) => {
                let why = format!("{e:#}");
                log::error("upgrade.failed", &[("why", &why)]);
                Upgrade::Failed { why, at: Instant::now() }
            }
        };
    }
}

fn seeded(config: &MemberConfig) -> Result<Vec<String>> {
    let wanted: SeedConfig = config::load(&config.paths.seed_file)?;
    let mut connection = sql::connect(&config.mariadb.socket, &config.mariadb.admin_user).context("connect to seed")?;
    seed::seed(&mut connection, &wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::situation::at;
    use crate::galera::uuid::Uuid;

    #[test]
    fn h13_t2_where_a_beginning_by_hand_was_is_told_by_what_is_possible() {
        let other = Position::new(Uuid::from_u128(9), 30).unwrap();
        for (told, remembered, stands, expected, why) in [
            (Some(at(30)), Some(at(20)), at(40), 30, "Galera's own word comes first"),
            (None, Some(at(20)), at(40), 20, "what was remembered"),
            (Some(other), Some(at(20)), at(40), 0, "a word about another history: nobody knows what happened"),
            (None, Some(other), at(40), 0, "the same was remembered"),
            (Some(at(50)), Some(at(20)), at(40), 20, "it cannot have begun after where it stands"),
            (None, Some(at(50)), at(40), 0, "its disk fell back behind what was remembered"),
            (None, None, at(40), 0, "nothing tells"),
        ] {
            assert_eq!(began_at_most(told, [remembered], stands), expected, "{why}");
        }
    }
}
