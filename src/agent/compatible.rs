//! The routes that clients of Cloud Foundry's galera-agent call, so that an existing bootstrap errand or
//! proxy of that family can drive our members.
//!
//! Their errand knows no order and no history, and picks by seqno alone. What it asks for is done under
//! one order that all members share, and a bootstrap only where our own rules prove it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::api::{self, StartBody};
use super::client::Client;
use super::server::Agent;
use crate::cluster::bootstrap::{Evidence, Fence, Proof, proof};
use crate::cluster::health::monit_word;
use crate::cluster::hold::Hold;
use crate::cluster::member::Member;
use crate::cluster::observation::{Observation, Phase};
use crate::galera::uuid::Uuid;
use crate::host::socket::{Reply, Request};

/// The order under which these routes act, the same on all members.
const ORDER: Uuid = Uuid::from_u128(0x6d61_7269_6164_4220_8000_0000_0000_0001);
/// How long a stopped member stays stopped if nobody starts it.
const HELD_FOR: u64 = 3600;
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
        return failed(agent.health().to_string());
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
    match agent.fresh().await {
        Some(snapshot) => monit_word(&snapshot.seen).into_response(),
        None => failed("the observation takes too long"),
    }
}

pub(super) async fn sequence_number(State(agent): State<Arc<Agent>>) -> Response {
    match agent.fresh().await {
        None => failed("the observation takes too long"),
        Some(s) if s.seen.process.is_some() => failed("can't determine sequence number when database is running"),
        Some(s) => match s.seen.position.position() {
            Some(position) => position.seqno().to_string().into_response(),
            None => failed(format!("Invalid sequence number: {}", s.seen.position)),
        },
    }
}

pub(super) async fn stop(State(agent): State<Arc<Agent>>) -> Response {
    let hold = Hold {
        order: ORDER,
        owner: "/stop_mysql".into(),
        reason: "stopped over the compatible API; /start_mysql_join starts it".into(),
        seconds: HELD_FOR,
        bootstrapped: false,
        started: false,
    };
    for request in [Request::Hold(hold), Request::Stop { order: ORDER }] {
        if let Err(refused) = ask(&agent, request).await {
            return refused;
        }
    }
    match wait(&agent, STOP_LIMIT, |seen| {
        let held = seen.supervisor.present().is_some_and(|s| s.phase == Phase::Held);
        (seen.process.is_none() && held).then_some(Ok(()))
    })
    .await
    {
        Ok(()) => "stop successful".into_response(),
        Err(why) => failed(why),
    }
}

pub(super) async fn start_join(State(agent): State<Arc<Agent>>) -> Response {
    start(&agent, StartBody::join(ORDER), "join cluster successful").await
}

pub(super) async fn start_single_node(State(agent): State<Arc<Agent>>) -> Response {
    if agent.member.cluster.members.len() > 1 {
        return failed(
            "refused: this deployment has several members, and a single node started beside them is a second cluster",
        );
    }
    bootstrap(&agent, "single node start successful").await
}

pub(super) async fn start_bootstrap(State(agent): State<Arc<Agent>>) -> Response {
    bootstrap(&agent, "cluster bootstrap successful").await
}

async fn bootstrap(agent: &Agent, success: &str) -> Response {
    let config = agent.member.clone();
    let looked = tokio::task::spawn_blocking(move || {
        let members: Vec<&Member> = config.cluster.members.iter().collect();
        let views = Client::new(&config.agents, config.timeouts.ask, config.mariadb.galera_port).observe(&members);
        let own = views
            .iter()
            .find(|v| v.member.name == config.instance)
            .and_then(|v| v.seen())
            .and_then(|o| o.position.position());
        (proof(&Evidence::of(&config.cluster, &views, Fence::HeldBy(ORDER))), own)
    })
    .await;
    match looked {
        Err(e) => failed(e.to_string()),
        Ok((Err(no), _)) => failed(format!("refused: {no}")),
        Ok((Ok(proof), own)) if own.is_some() && own == proof.position() => {
            // Among equals their errand picks at random, and two of them may pick two: the one that the proof
            // names begins, once, and this member joins it.
            if let Err(why) = begin_elsewhere(agent, &proof).await {
                return failed(why);
            }
            let body = if proof.member() == agent.member.instance {
                StartBody::begin(ORDER, &proof)
            } else {
                StartBody::join(ORDER)
            };
            start(agent, body, success).await
        }
        Ok((Ok(proof), _)) => failed(format!("refused: {proof}; bootstrap that member")),
    }
}

/// Has the member that the proof names begin, where that is another one.
async fn begin_elsewhere(agent: &Agent, proof: &Proof) -> Result<(), String> {
    let config = agent.member.clone();
    let Some(member) = config.cluster.member(proof.member()).filter(|m| m.name != config.instance).cloned() else {
        return Ok(());
    };
    let body = StartBody::begin(ORDER, proof);
    let told = tokio::task::spawn_blocking(move || {
        let client = Client::new(&config.agents, config.timeouts.ask, config.mariadb.galera_port);
        client.tell(&member, api::START, &body).map_err(|e| format!("{}: {e:#}", member.name))
    });
    told.await.map_err(|e| e.to_string())?.map(|_| ())
}

async fn start(agent: &Agent, body: StartBody, success: &str) -> Response {
    let request = Request::Start { order: body.order, mode: body.mode, begin: body.begin };
    if let Err(refused) = ask(agent, request).await {
        return refused;
    }
    let came_up = wait(agent, START_LIMIT, |seen| match (&seen.wsrep, seen.supervisor.present()) {
        (Some(wsrep), _) if wsrep.is_synced() => Some(Ok(())),
        (_, None) => Some(Err("job failed during startup".to_owned())),
        _ => None,
    })
    .await;
    match came_up {
        Ok(()) => match ask(agent, Request::Release { order: ORDER, outcome: None }).await {
            Ok(()) => success.to_owned().into_response(),
            Err(refused) => refused,
        },
        Err(why) => failed(why),
    }
}

async fn ask(agent: &Agent, request: Request) -> Result<(), Response> {
    match agent.ask(request).await {
        Ok(Reply::Refused { why }) => Err(failed(why)),
        Ok(_) => Ok(()),
        Err(e) => Err(failed(format!("error fetching status for service: {:#}", e.root_cause()))),
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
