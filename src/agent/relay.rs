//! One hop: an observer that does not reach a member may ask another one for its word, so that "it is not
//! reached from here" and "nobody reaches it" differ (S5, S7). Never further than one hop.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::api::relay_query;
use super::client::Client;
use super::server::{Agent, json_bytes, problem};
use crate::cluster::observation::MemberView;

/// Less than whoever asks has left, after it found out that it does not reach the member itself.
const LIMIT: Duration = Duration::from_millis(1500);

pub(super) async fn relay(State(agent): State<Arc<Agent>>, RawQuery(query): RawQuery) -> Response {
    let config = &agent.member;
    let asked = query.unwrap_or_default();
    let others = config.cluster.members.iter().filter(|m| m.name != config.instance);
    let Some(member) = others.into_iter().find(|m| relay_query(&m.id) == asked) else {
        return problem(StatusCode::BAD_REQUEST, "expected ?member= with the instance id of another member");
    };
    // Not a fresh one: whoever asks has spent most of its time-out on asking directly.
    let sight = Client::new(&config.agents, LIMIT, config.mariadb.galera_port).latest(member).await;
    let view = MemberView { member: member.clone(), sight, galera_port: None, relayed_by: None };
    match (view.seen(), view.why_unseen()) {
        (Some(observation), _) => json_bytes(observation),
        (None, why) => problem(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{} is not reached from {} either: {}", member.name, config.instance, why.unwrap_or_default()),
        ),
    }
}
