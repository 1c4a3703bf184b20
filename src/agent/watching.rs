//! Looking at the whole cluster from here: every ten seconds the other agents are asked, and the diagnosis of
//! what they and this member say is kept for metrics. A change that two looks agree on goes into a journal and
//! to the hooks. Nothing is ever done to the database for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use super::client::Client;
use super::server::Snapshot;
use crate::cluster::diagnosis::{ClusterCode, Diagnosis, diagnose};
use crate::cluster::observation::{MemberView, Sight};
use crate::config::MemberConfig;
use crate::host::journal::Journal;
use crate::host::operator_hooks::{self, Hook};
use crate::log;

/// Pause between two looks.
const EVERY: Duration = Duration::from_secs(10);
/// The same where the last look said something new: a verdict needs two that agree.
const AGAIN: Duration = Duration::from_secs(5);
/// For so long after the agent began nothing is called a change: its own first looks say little.
const GRACE: Duration = Duration::from_secs(10);

/// What the last look found.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) diagnosis: Diagnosis,
    pub(super) at: Instant,
    /// Members whose agents answered, this one too.
    pub(super) seen: usize,
    pub(super) changes: u64,
    pub(super) hook_failures: u64,
    /// How long the last orderly end of `galera-start` took.
    pub(super) last_leave: Option<Duration>,
}

/// What all look at.
pub(super) type Shared = Arc<Mutex<Option<Arc<Watched>>>>;

/// Watches until the process ends.
pub(super) fn begin(config: MemberConfig, own: impl Fn() -> Option<Arc<Snapshot>> + Send + 'static) -> Result<Shared> {
    let shared = Shared::default();
    let told = Arc::clone(&shared);
    std::thread::Builder::new().name("watcher".into()).spawn(move || {
        let mut watcher = Watcher {
            journal: Journal::of_agent(&config.paths.state_dir),
            config,
            settled: None,
            last: None,
            changes: 0,
            hook_failures: Arc::default(),
            begun: Instant::now(),
        };
        loop {
            let pause = watcher.look(&told, &own);
            std::thread::sleep(pause);
        }
    })?;
    Ok(shared)
}

struct Watcher {
    config: MemberConfig,
    journal: Journal,
    /// What two looks agreed on.
    settled: Option<ClusterCode>,
    last: Option<ClusterCode>,
    changes: u64,
    hook_failures: Arc<AtomicU64>,
    begun: Instant,
}

impl Watcher {
    fn look(&mut self, shared: &Shared, own: &impl Fn() -> Option<Arc<Snapshot>>) -> Duration {
        let Ok((me, others)) = self.config.split() else { return EVERY };
        let (agents, limit) = (&self.config.agents, self.config.timeouts.ask);
        let mut views = Client::new(agents, limit, self.config.mariadb.galera_port).observe_latest(&others);
        views.push(match own() {
            Some(own) => MemberView::own(me, own.seen.clone()),
            None => {
                let why = "this very agent has no recent observation of it".to_owned();
                MemberView { member: me.clone(), sight: Sight::Unusable(why), galera_port: None, relayed_by: None }
            }
        });
        // In the order of the configuration.
        let place = |view: &MemberView| self.config.cluster.members.iter().position(|m| m.name == view.member.name);
        views.sort_by_key(place);
        let diagnosis = diagnose(&self.config.cluster, &views);
        let code = diagnosis.code;
        let agreed = self.last == Some(code) && self.begun.elapsed() > GRACE;
        if agreed && self.settled != Some(code) {
            self.changed(&diagnosis);
        }
        self.last = Some(code);
        let watched = Watched {
            seen: views.iter().filter(|v| v.seen().is_some()).count(),
            at: Instant::now(),
            changes: self.changes,
            hook_failures: self.hook_failures.load(Ordering::Relaxed),
            last_leave: Journal::in_dir(&self.config.paths.state_dir).last_leave(),
            diagnosis,
        };
        if let Ok(mut shared) = shared.lock() {
            *shared = Some(Arc::new(watched));
        }
        if self.settled == Some(code) { EVERY } else { AGAIN }
    }

    fn changed(&mut self, diagnosis: &Diagnosis) {
        let before = self.settled.replace(diagnosis.code).map(|code| code.to_string());
        self.changes += 1;
        let code = diagnosis.code.to_string();
        log::info("diagnosis.changed", &[("code", &code), ("why", &diagnosis.sentence)]);
        let facts = json!({
            "code": code,
            "before": before,
            "sentence": diagnosis.sentence,
            "action": diagnosis.advice.run,
            "never": diagnosis.advice.never,
            "confidence": diagnosis.confidence,
            "instance": self.config.instance,
            "cluster": self.config.cluster.name,
            "members": diagnosis.members.iter().map(|m| json!({"name": m.name, "code": m.code})).collect::<Vec<_>>(),
        });
        self.journal.record("diagnosis.changed", facts.clone());
        let Some(wanted) = self.config.hooks.clone() else { return };
        let failures = Arc::clone(&self.hook_failures);
        // A hook may take its time; the next look does not wait for it.
        let spawned = std::thread::Builder::new().name("hooks".into()).spawn(move || {
            let ran = operator_hooks::run(&wanted, Hook::OnDiagnosis, &facts, &mut || ());
            let failed = ran.iter().filter(|r| !r.succeeded()).count();
            failures.fetch_add(u64::try_from(failed).unwrap_or_default(), Ordering::Relaxed);
        });
        if let Err(e) = spawned {
            log::warn("hook.not_run", &[("why", &e)]);
        }
    }
}
