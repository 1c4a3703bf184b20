//! The voice of an arbitrator: whether it votes, and why not.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use super::connections::accept;
use super::credentials::Credentials;
use super::server::{admitted, json_bytes, problem};
use super::tls::Acceptor;
use crate::arbitrator_config::ArbitratorConfig;
use crate::cluster::arbitration::{ArbitratorSeen, Component};
use crate::host::arbitrator::Told;

/// What an arbitrator says of itself; no agent of a member has this route.
pub const ARBITRATOR: &str = "/v1/arbitrator";

struct Voice {
    credentials: Credentials,
    told: Told,
}

impl Voice {
    fn seen(&self) -> Option<ArbitratorSeen> {
        self.told.lock().ok().map(|told| told.clone())
    }
}

/// Serves until the process ends.
pub fn serve(config: &ArbitratorConfig, told: Told) -> Result<()> {
    let acceptor = config.tls.as_ref().map(Acceptor::with).transpose()?;
    let address = SocketAddr::new(config.listen.address, config.listen.port);
    let listener = std::net::TcpListener::bind(address).with_context(|| format!("listen on {address}"))?;
    listener.set_nonblocking(true).context("prepare the listener")?;
    let agents = &config.agents;
    let credentials = Credentials::of(&agents.username, &agents.password, agents.previous_password.as_ref());
    let voice = Arc::new(Voice { credentials, told });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("make a runtime")?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener).context("prepare the listener")?;
        accept(listener, acceptor, routes(voice)).await
    })
}

fn routes(voice: Arc<Voice>) -> Router {
    let closed = Router::new().route(ARBITRATOR, get(arbitrator));
    let closed = closed.layer(from_fn_with_state(Arc::clone(&voice), authorized));
    Router::new().route("/", get(health)).merge(closed).with_state(voice)
}

async fn authorized(State(voice): State<Arc<Voice>>, request: Request, next: Next) -> Response {
    admitted(&voice.credentials, request, next).await
}

/// A word for everybody; why it does not vote, for whoever shows the password.
async fn health(State(voice): State<Arc<Voice>>, headers: HeaderMap) -> Response {
    let known = voice.credentials.shown_in(&headers);
    match voice.seen() {
        Some(seen) if seen.component.is_some_and(Component::votes) => (StatusCode::OK, "voting").into_response(),
        Some(seen) if known => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("not-voting: {}", seen.detail)).into_response()
        }
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "not-voting").into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "blind").into_response(),
    }
}

async fn arbitrator(State(voice): State<Arc<Voice>>) -> Response {
    match voice.seen() {
        Some(seen) => json_bytes(&seen),
        None => problem(StatusCode::SERVICE_UNAVAILABLE, "nothing is known of garbd"),
    }
}
