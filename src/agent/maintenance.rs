//! What this member keeps of maintenance: written by persons through the API, taken over from the other members'
//! agents, and ended by itself where its time is over and all is well.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::api::{self, Accepted, MaintenanceBody, PermitBody};
use super::client::Client;
use super::server::{Agent, Wanted, act, problem};
use crate::cluster::maintenance::{Kept, Notice, Notices, Scope, tidied};
use crate::cluster::member::Member;
use crate::config::MemberConfig;
use crate::host::clock::seconds_since_epoch;
use crate::host::journal::Journal;
use crate::host::socket::Request;
use crate::host::store::Store;
use crate::log;

/// How often the others are asked what they know.
const ASK_EVERY: Duration = Duration::from_secs(4);
/// How often it is told again that a maintenance should be over.
const NAG_EVERY: Duration = Duration::from_secs(3600);

/// The one writer of this member's notices.
#[derive(Debug)]
pub(super) struct Keeper {
    config: MemberConfig,
    store: Store,
    journal: Journal,
    writing: Mutex<()>,
}

/// Why notices were not taken.
enum NotTaken {
    /// They make no sense.
    Bad(String),
    /// Something else holds already.
    Refused(String),
    /// They could not be written.
    Failed(anyhow::Error),
}

impl Keeper {
    /// Begins to listen to the others.
    pub(super) fn begin(config: &MemberConfig) -> Result<Arc<Keeper>> {
        let store = Store::in_dir(&config.paths.state_dir);
        let journal = Journal::in_dir(store.dir());
        let keeper = Arc::new(Keeper { config: config.clone(), store, journal, writing: Mutex::default() });
        let listening = Arc::clone(&keeper);
        std::thread::Builder::new().name("maintenance".into()).spawn(move || {
            let mut nagged = None;
            loop {
                listening.listen();
                listening.tidy(&mut nagged);
                std::thread::sleep(ASK_EVERY);
            }
        })?;
        Ok(keeper)
    }

    fn kept(&self) -> Kept {
        self.store.maintenance(seconds_since_epoch())
    }

    fn client(&self) -> Client {
        Client::new(&self.config.agents, self.config.timeouts.ask, self.config.mariadb.galera_port)
    }

    fn is_member(&self, name: &str) -> bool {
        self.config.cluster.member(name).is_some()
    }

    /// Notices that a person sends. All are taken, or none.
    fn take(&self, body: MaintenanceBody) -> Result<String, NotTaken> {
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, mut kept) = (seconds_since_epoch(), self.kept());
        let bad = |notice: &Notice| match &notice.scope {
            Scope::Member(name) if !self.is_member(name) => Some(format!("scope: there is no member {name:?}")),
            _ => notice.fault(now),
        };
        if let Some(why) = body.notices.all().find_map(bad) {
            return Err(NotTaken::Bad(why));
        }
        if let Some(why) = &kept.unreadable {
            if !body.set_unreadable_aside {
                return Err(NotTaken::Refused(format!("what this member knows of maintenance cannot be read: {why}")));
            }
            log::warn("maintenance.set_aside", &[("why", why)]);
            self.journal.record("maintenance.set_aside", json!({ "why": why }));
            self.store.set_unreadable_maintenance_aside().map_err(NotTaken::Failed)?;
            kept = self.kept();
        }
        let newer = body.notices.all().find_map(|n| kept.notices.of(&n.scope).filter(|known| *known > n));
        if let Some(known) = newer {
            return Err(NotTaken::Refused(format!("there is a newer notice (epoch {}): {known}", known.epoch)));
        }
        let after = kept.notices.clone().merged(&body.notices);
        self.keep(&kept.notices, &after, "a person").map_err(NotTaken::Failed)?;
        let told: Vec<String> = body.notices.all().map(Notice::to_string).collect();
        Ok(told.join("; "))
    }

    /// Writes what has changed, and tells it.
    fn keep(&self, before: &Notices, after: &Notices, from: &str) -> Result<()> {
        if before == after {
            return Ok(());
        }
        self.store.keep_maintenance(after).context("keep the notices of maintenance")?;
        for notice in after.all().filter(|n| before.of(&n.scope) != Some(n)) {
            let event = if notice.is_on() { "maintenance.on" } else { "maintenance.off" };
            log::warn(
                event,
                &[("scope", &notice.scope), ("epoch", &notice.epoch), ("from", &from), ("notice", notice)],
            );
            self.journal.record(event, json!({ "from": from, "notice": notice }));
        }
        Ok(())
    }

    /// Takes over what the others know better. What cannot be read here is left to a person.
    fn listen(&self) {
        let others: Vec<&Member> =
            self.config.cluster.members.iter().filter(|m| m.name != self.config.instance).collect();
        for (member, heard) in others.iter().zip(self.client().maintenance(&others)) {
            let Ok(heard) = heard else { continue };
            let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
            let kept = self.kept();
            if kept.unreadable.is_some() {
                return;
            }
            let theirs = heard.notices.only(|name| self.is_member(name));
            let after = kept.notices.clone().merged(&theirs);
            self.keep_and_tell(&kept.notices, &after, &format!("the agent of {}", member.name));
        }
    }

    fn keep_and_tell(&self, before: &Notices, after: &Notices, from: &str) {
        if let Err(e) = self.keep(before, after, from) {
            log::error("maintenance.not_kept", &[("why", &format!("{e:#}"))]);
        }
    }

    /// A maintenance whose time is over ends only where all is well; the first member that is seen looks.
    fn tidy(&self, nagged: &mut Option<Instant>) {
        let now = seconds_since_epoch();
        let kept = self.kept();
        let expired: Vec<&Notice> = kept.notices.all().filter(|n| n.expired(now)).collect();
        if expired.is_empty() {
            *nagged = None;
            if kept.notices.all().all(|n| n.undone.is_empty()) {
                return;
            }
        }
        let members: Vec<&Member> = self.config.cluster.members.iter().collect();
        let views = self.client().observe(&members);
        let first = views.iter().find(|v| v.seen().is_some());
        if first.is_some_and(|v| v.member.name == self.config.instance)
            && let Some(after) = tidied(&self.config.cluster, self.config.auto_recovery, &views, now)
        {
            let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
            let before = self.kept();
            let merged = before.notices.clone().merged(&after);
            self.keep_and_tell(&before.notices, &merged, "its time being over");
        }
        let still = self.kept().notices.all().any(|n| n.expired(now));
        if still && nagged.is_none_or(|at| at.elapsed() > NAG_EVERY) {
            *nagged = Some(Instant::now());
            for notice in expired {
                log::warn(
                    "maintenance.expired",
                    &[("notice", notice), ("why", &"it is still on, until all is well or a person ends it")],
                );
                self.journal.record("maintenance.expired", json!({ "notice": notice }));
            }
        }
    }
}

pub(super) async fn told(State(agent): State<Arc<Agent>>) -> Response {
    let keeper = Arc::clone(&agent.maintenance);
    match tokio::task::spawn_blocking(move || keeper.kept()).await {
        Ok(kept) => Json(kept).into_response(),
        Err(e) => problem(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()),
    }
}

pub(super) async fn take(State(agent): State<Arc<Agent>>, body: Wanted<MaintenanceBody>) -> Response {
    let body = match body {
        Ok(Json(body)) => body,
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, rejection.body_text()),
    };
    let keeper = Arc::clone(&agent.maintenance);
    match tokio::task::spawn_blocking(move || keeper.take(body)).await {
        Ok(Ok(text)) => Json(Accepted { text }).into_response(),
        Ok(Err(NotTaken::Bad(why))) => problem(StatusCode::BAD_REQUEST, why),
        Ok(Err(NotTaken::Refused(why))) => problem(StatusCode::CONFLICT, why),
        Ok(Err(NotTaken::Failed(e))) => problem(StatusCode::SERVICE_UNAVAILABLE, format!("{e:#}")),
        Err(e) => problem(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()),
    }
}

pub(super) async fn permit(State(agent): State<Arc<Agent>>, body: Wanted<PermitBody>) -> Response {
    act(&agent, body, |b| Request::Permit { by: b.by, reason: b.reason, seconds: b.seconds }).await
}

impl Client {
    /// What the agents of these members keep of maintenance, all asked at once.
    pub fn maintenance(&self, members: &[&Member]) -> Vec<Result<Kept>> {
        self.get_all(members, api::MAINTENANCE)
    }
}
