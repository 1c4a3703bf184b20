//! The routes that clients of Cloud Foundry's galera-agent call, so that an existing bootstrap errand or
//! proxy of that family can drive our members.
//!
//! Their errand knows no order and no history, and picks by seqno alone. What it asks for is done under
//! one order that all members share, and a bootstrap only where our own rules prove it.
//!
//! Nor does it know that it holds members, and it may end half-way: the hold lasts as long as it gives signs of life, and
//! seconds more. It calls one member after the other, so the one that it waits for renews the holds of all. Whatever is
//! refused releases all, and what was begun goes on to its end though the client goes away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::api::{self, HoldBody, ReleaseBody, StartBody};
use super::beginning::order_to_begin;
use super::client::Client;
use super::server::{Agent, Snapshot, no_supervisor};
use crate::cluster::bootstrap::{Evidence, Fence, proof};
use crate::cluster::health::monit_word;
use crate::cluster::hold::{COMPATIBLE, COMPATIBLE_OWNER, Hold};
use crate::cluster::member::Member;
use crate::cluster::observation::{Observation, Phase};
use crate::config::MemberConfig;
use crate::host::socket::{Reply, Request};

/// For so long a member stays held after the last sign of life of the client that stopped it.
const LEASE: Duration = Duration::from_secs(45);
/// Pause between two renewals while a client waits for its answer.
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// How long a stop may take; that family's own agent gives up after two minutes.
const STOP_LIMIT: Duration = Duration::from_secs(300);
/// How long a start may take, a state transfer included.
const START_LIMIT: Duration = Duration::from_secs(3600);
/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// What that family tells an error with.
fn failed(why: impl Into<String>) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, why.into()).into_response()
}

pub(super) async fn status(State(agent): State<Arc<Agent>>) -> Response {
    let healthy = agent.health().fit;
    let Some(wsrep) = agent.latest().and_then(|s| s.seen.wsrep.clone()) else {
        return failed(agent.health().word);
    };
    Json(json!({
        "wsrep_local_state": wsrep.local_state_number(),
        "wsrep_local_state_comment": wsrep.local_state_comment,
        // Galera's own way to say "none".
        "wsrep_local_index": wsrep.local_index.unwrap_or(u64::MAX),
        "healthy": healthy,
        "maintenance": agent.maintained(),
    }))
    .into_response()
}

pub(super) async fn mysql_status(State(agent): State<Arc<Agent>>) -> Response {
    let seen = agent.fresh().await;
    lives(&agent, seen.as_deref()).await;
    match seen {
        Some(snapshot) => monit_word(&snapshot.seen).into_response(),
        None => failed("the observation takes too long"),
    }
}

pub(super) async fn sequence_number(State(agent): State<Arc<Agent>>) -> Response {
    let seen = agent.fresh().await;
    lives(&agent, seen.as_deref()).await;
    match seen {
        None => failed("the observation takes too long"),
        Some(s) if s.seen.process.is_some() => failed("can't determine sequence number when database is running"),
        Some(s) => match s.seen.position.position() {
            Some(position) => position.seqno().to_string().into_response(),
            None => failed(format!("Invalid sequence number: {}", s.seen.position)),
        },
    }
}

pub(super) async fn stop(State(agent): State<Arc<Agent>>) -> Response {
    let stopping = Arc::clone(&agent);
    answered(&agent, async move {
        for request in [Request::Hold(hold()), Request::Stop { order: COMPATIBLE }] {
            ask(&stopping, request).await?;
        }
        wait(&stopping, STOP_LIMIT, |seen| {
            let held = seen.supervisor.present().is_some_and(|s| s.phase == Phase::Held);
            (seen.process.is_none() && held).then_some(Ok(()))
        })
        .await?;
        Ok("stop successful".into())
    })
    .await
}

fn hold() -> Hold {
    Hold {
        order: COMPATIBLE,
        owner: COMPATIBLE_OWNER.into(),
        reason: "stopped by /stop_mysql; /start_mysql_join starts it".into(),
        seconds: LEASE.as_secs(),
        bootstrapped: false,
        started: false,
    }
}

/// Carries it out, whether or not the client stays to hear of it. As long as it does, all that it stopped stay held.
async fn answered(agent: &Arc<Agent>, work: impl Future<Output = Result<String, String>> + Send + 'static) -> Response {
    let doing = Arc::clone(agent);
    let mut work = tokio::spawn(async move {
        let done = work.await;
        if done.is_err() {
            every_held(&doing, release_all).await;
        }
        done
    });
    loop {
        match tokio::time::timeout(RENEW_EVERY, &mut work).await {
            Ok(Ok(Ok(text))) => return text.into_response(),
            Ok(Ok(Err(why))) => return failed(why),
            Ok(Err(e)) => return failed(e.to_string()),
            Err(_) => every_held(agent, renew_all).await,
        }
    }
}

/// A sign of life of a client that has stopped this member.
async fn lives(agent: &Agent, seen: Option<&Snapshot>) {
    if seen.is_some_and(|s| holds(&s.seen)) {
        // One that is not renewed ends, and whoever held it is told so by its next request.
        let _ = agent.ask(Request::Hold(hold())).await;
    }
}

fn holds(seen: &Observation) -> bool {
    seen.supervisor.present().and_then(|s| s.hold.as_ref()).is_some_and(|hold| hold.order == COMPATIBLE)
}

/// Does this for all members that such a client holds. Whom it does not reach has a hold that ends by itself.
async fn every_held(agent: &Agent, each: fn(&Client, &[&Member])) {
    let config = agent.member.clone();
    let all = tokio::task::spawn_blocking(move || {
        let members: Vec<&Member> = config.cluster.members.iter().collect();
        let client = Client::new(&config.agents, config.timeouts.ask, config.mariadb.galera_port);
        let views = client.observe(&members);
        let held: Vec<&Member> = views.iter().filter(|v| v.seen().is_some_and(holds)).map(|v| &v.member).collect();
        each(&client, &held);
    });
    let _ = all.await;
}

fn renew_all(client: &Client, held: &[&Member]) {
    let Hold { order, owner, reason, seconds, .. } = hold();
    let body = HoldBody { order, owner, reason, seconds };
    for member in held {
        let _ = client.tell(member, api::HOLD, &body);
    }
}

fn release_all(client: &Client, held: &[&Member]) {
    for member in held {
        let _ = client.tell(member, api::RELEASE, &ReleaseBody { order: COMPATIBLE, outcome: None });
    }
}

pub(super) async fn start_join(State(agent): State<Arc<Agent>>) -> Response {
    let starting = Arc::clone(&agent);
    let work = async move { join(&starting, "join cluster successful").await };
    answered(&agent, work).await
}

pub(super) async fn start_single_node(State(agent): State<Arc<Agent>>) -> Response {
    if agent.member.cluster.members.len() > 1 {
        return failed(
            "refused: this deployment has several members, and a single node started beside them is a second cluster",
        );
    }
    begin(agent, "single node start successful").await
}

pub(super) async fn start_bootstrap(State(agent): State<Arc<Agent>>) -> Response {
    begin(agent, "cluster bootstrap successful").await
}

async fn begin(agent: Arc<Agent>, success: &'static str) -> Response {
    let beginning = Arc::clone(&agent);
    answered(&agent, async move { bootstrap(&beginning, success).await }).await
}

async fn bootstrap(agent: &Agent, success: &str) -> Result<String, String> {
    let config = agent.member.clone();
    let begun = tokio::task::spawn_blocking(move || begin_where_proven(&config));
    let by = begun.await.map_err(|e| e.to_string())??;
    if by == agent.member.instance {
        return ended(agent, success).await;
    }
    join(agent, success).await
}

/// Has the member begin that the proof names, which stands where this one does. Among equals their errand picks at random,
/// and two of them may pick two: the one that is named begins, once, and this member joins it.
fn begin_where_proven(config: &MemberConfig) -> Result<String, String> {
    let members: Vec<&Member> = config.cluster.members.iter().collect();
    let client = Client::new(&config.agents, config.timeouts.ask, config.mariadb.galera_port);
    let views = client.observe(&members);
    let evidence = Evidence::of(&config.cluster, &views, Fence::HeldBy(COMPATIBLE));
    let proof = proof(&evidence).map_err(|no| format!("refused: {no}"))?;
    let own = views.iter().find(|v| v.member.name == config.instance);
    let own = own.and_then(|v| v.seen()).and_then(|o| o.position.position());
    if own.is_none() || own != proof.position() {
        return Err(format!("refused: {proof}; bootstrap that member"));
    }
    let held: Vec<&Member> = views.iter().filter(|v| v.seen().is_some_and(holds)).map(|v| &v.member).collect();
    order_to_begin(&client, &config.cluster.name, COMPATIBLE, &proof, &held).map_err(|e| format!("{e:#}"))?;
    Ok(proof.member().to_owned())
}

async fn join(agent: &Agent, success: &str) -> Result<String, String> {
    let StartBody { order, mode, begin } = StartBody::join(COMPATIBLE);
    ask(agent, Request::Start { order, mode, begin }).await?;
    ended(agent, success).await
}

/// Waits until what was ordered of this member has come about.
async fn ended(agent: &Agent, success: &str) -> Result<String, String> {
    wait(agent, START_LIMIT, came_up).await?;
    ask(agent, Request::Release { order: COMPATIBLE, outcome: None }).await?;
    Ok(success.into())
}

/// Whether a member that was ordered to start is Synced, or never will be.
fn came_up(seen: &Observation) -> Option<Result<(), String>> {
    match (&seen.wsrep, seen.supervisor.present()) {
        (Some(wsrep), _) if wsrep.is_synced() => Some(Ok(())),
        (_, None) => Some(Err("job failed during startup".to_owned())),
        (_, Some(supervisor)) => supervisor.refused.as_ref().map(|why| Err(format!("refused: {why}"))),
    }
}

async fn ask(agent: &Agent, request: Request) -> Result<(), String> {
    match agent.ask(request).await {
        Ok(Reply::Refused { why }) => Err(why),
        Ok(_) => Ok(()),
        Err(e) => Err(no_supervisor(&e)),
    }
}

/// Looks again and again until the member is as wanted, cannot become so, or time is over.
async fn wait(
    agent: &Agent,
    limit: Duration,
    wanted: impl Fn(&Observation) -> Option<Result<(), String>>,
) -> Result<(), String> {
    let begun = Instant::now();
    let mut detail = String::from("nothing was seen");
    while begun.elapsed() < limit {
        if let Some(snapshot) = agent.fresh().await {
            if let Some(result) = wanted(&snapshot.seen) {
                return result;
            }
            if let Some(supervisor) = snapshot.seen.supervisor.present() {
                detail.clone_from(&supervisor.detail);
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(format!("timed out after {} s: {detail}", limit.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::observation::SupervisorSight;
    use crate::cluster::situation::{down, primary};

    #[test]
    // D4: the refusal is the answer.
    fn d4_a_member_that_refuses_to_join_says_so_at_once() {
        let waits = down(0, 9);
        assert_eq!(came_up(&waits), None);
        let refuses = waits.clone().with(|o| {
            if let SupervisorSight::Present(s) = &mut o.supervisor {
                s.refused = Some("AheadOfCluster: 3 transactions".into());
            }
        });
        assert_eq!(came_up(&refuses), Some(Err("refused: AheadOfCluster: 3 transactions".into())));
        assert!(matches!(came_up(&waits.without_supervisor()), Some(Err(_))));
        assert_eq!(came_up(&primary(0, 9, &[0, 1, 2])), Some(Ok(())));
    }

    #[test]
    fn d2_a_client_that_is_gone_holds_nobody_for_long() {
        assert!(LEASE >= 3 * RENEW_EVERY && LEASE <= Duration::from_secs(60));
        assert_eq!(hold().seconds, LEASE.as_secs());
    }
}
