//! What follows Synced: databases and users, the lineage, and what is remembered of the view.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::{Event, Stage, Supervising};
use crate::agent::client::Client;
use crate::cluster::lineage::{Incarnation, Lineage};
use crate::cluster::observation::{MemberView, Sql};
use crate::cluster::primary::{Primaries, primaries};
use crate::config::{self, MemberConfig, SeedConfig};
use crate::galera::log_lines::promoted_at;
use crate::galera::position::Position;
use crate::galera::wsrep::Wsrep;
use crate::host::{mariadbd, seed, sql, upgrade};
use crate::log;

/// How often what follows Synced is done again in an unchanged view: a peer's agent may have been away.
pub(super) const SETTLE_EVERY: Duration = Duration::from_secs(60);
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
pub(super) struct Settled {
    conf_id: Option<u64>,
    lineage: Lineage,
    /// Who is in the component now.
    members: Vec<String>,
    /// The databases and users that were changed.
    seeded: Result<Vec<String>>,
}

impl Supervising {
    /// What follows Synced: databases and users, and the lineage of the others.
    pub(super) fn settle(&self, wsrep: &Wsrep) {
        let (config, events) = (Arc::clone(&self.config), self.events.clone());
        let (me, own) = (self.me.clone(), self.observation_with((Sql::Open { milliseconds: 0 }, Some(wsrep.clone()))));
        let conf_id = wsrep.cluster_conf_id;
        std::thread::spawn(move || {
            let work = move || -> Result<Settled> {
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
                let (lineage, members) = mine.map(|p| (p.lineage, p.members)).unwrap_or_default();
                Ok(Settled { conf_id, lineage, members, seeded: seeded(&config) })
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
        let stood = running.stood_without_quorum;
        let mut lineage = own.lineage.longer(&settled.lineage).clone();
        if lineage.is_empty() {
            // A first deploy that got here, or a cluster that ran before this release looked after it.
            let first = first_incarnation(own.founding, position, &wsrep, &self.me.name);
            lineage = lineage.with(first);
        }
        let view = self.datadir.look().saved_view.present().filter(|v| v.bootstrap).cloned();
        if let Some(view) = view.as_ref().filter(|v| !own.explains(v) && own.lineage.newest() == lineage.newest()) {
            // Somebody promoted this component by hand; whoever was further is then told from those behind.
            if !view.represented_here() {
                bail!("this component was promoted by hand, and the member that represents it has not recorded that");
            }
            // Galera's word counts first: the moment without quorum may have been too short to be seen, and what was
            // committed since is the new component's own.
            let told = promoted_at(&mariadbd::error_log_since(&self.config, 0))
                .filter(|told| told.against(position).is_ok_and(|than| than != Ordering::Greater));
            let stood = told.or(stood).or(own.last_position).unwrap_or(position);
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
            memory.departed.retain(|name| !settled.members.contains(name));
        })?;
        self.remember_view(&wsrep)?;
        // Only now: whoever joins waits for the lineage, and not for a user that cannot be made.
        let seeded = settled.seeded?;
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
        let again = running.settled_in.is_some_and(|(view, _)| view == settled.conf_id);
        running.settled_in = Some((settled.conf_id, Instant::now()));
        running.remembered = Some(Instant::now());
        running.stood_without_quorum = None;
        if !again || !seeded.is_empty() {
            log::info("synced", &[("size", &wsrep.cluster_size), ("seeded", &seeded.join(", "))]);
            let details = json!({ "position": position, "size": wsrep.cluster_size, "seeded": seeded });
            self.journal.record("synced", details);
        }
        Ok(())
    }
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

/// Its id is the history's: members of a cluster that ran before this release looked after it each make one
/// up at the same time, and it must be the same one.
fn first_incarnation(founding: bool, position: Position, wsrep: &Wsrep, me: &str) -> Incarnation {
    let proof = if founding {
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
        by: me.to_owned(),
        at: log::now(),
        proof,
        left_out: Vec::new(),
        group: None,
    }
}
