//! The agent's server: one thread answers HTTP, one takes observations. No request waits for
//! `mariadbd`: health is answered from the last observation, whose age is checked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use axum::body::Body;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, RawQuery, Request, State};
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use super::api::{
    self, Accepted, AnnounceBody, CheckAnswer, CheckBody, DepartedBody, HoldBody, Problem, ReleaseBody, StartBody,
    StopBody,
};
use super::connections::{Trust, accept};
use super::credentials::Credentials;
use super::maintenance::{self, Keeper};
use super::tls::Acceptor;
use super::watching::{self, Watched};
use super::{compatible, metrics, relay, reporting};
use crate::cluster::health::{Fitness, Health, health};
use crate::cluster::hold::Hold;
use crate::cluster::maintenance::Mode;
use crate::cluster::observation::Observation;
use crate::config::{AgentConfig, MemberConfig};
use crate::galera::position::Position;
use crate::host::observe::Observer;
use crate::host::socket::{self, Reply};
use crate::host::{seed, sql};
use crate::log;

/// An observation is taken at least so often.
const OBSERVE_EVERY: Duration = Duration::from_secs(1);
/// An observation older than this says nothing any more.
const STALE: Duration = Duration::from_secs(11);
/// How long a fresh observation may be waited for; below the clients' own limit.
const FRESH_LIMIT: Duration = Duration::from_millis(2500);
/// How long a request may take, reading its body included.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// The largest body, in bytes.
const LARGEST_BODY: usize = 64 * 1024;

/// An observation, and when it was begun and ended.
#[derive(Debug)]
pub(super) struct Snapshot {
    begun: Instant,
    ended: Instant,
    /// When the position last changed.
    moved: Instant,
    pub(super) seen: Observation,
}

impl Snapshot {
    /// Since it was begun.
    pub(super) fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Since the position last changed.
    pub(super) fn position_age(&self) -> Duration {
        self.moved.elapsed()
    }
}

/// What the handlers share.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) member: MemberConfig,
    pub(super) maintenance: Arc<Keeper>,
    credentials: Credentials,
    fitness: Fitness,
    nudge: SyncSender<()>,
    snapshot: watch::Receiver<Option<Arc<Snapshot>>>,
    watched: watching::Shared,
}

/// Serves until the process ends.
pub fn serve(config: &AgentConfig, member: MemberConfig) -> Result<()> {
    let acceptor = config.tls.as_ref().map(Acceptor::with).transpose()?;
    let address = SocketAddr::new(config.listen.address, config.listen.port);
    // Bound before anything else, so that a port that is taken ends the program at once.
    let listener = std::net::TcpListener::bind(address).with_context(|| format!("listen on {address}"))?;
    listener.set_nonblocking(true).context("prepare the listener")?;
    let agent = Agent::begin(config, member)?;
    log::info("agent.listening", &[("address", &address), ("tls", &acceptor.is_some())]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(16)
        .build()
        .context("make a runtime")?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener).context("prepare the listener")?;
        accept(listener, acceptor, routes(agent)).await
    })
}

fn routes(agent: Arc<Agent>) -> Router {
    let open = Router::new()
        .route("/", get(healthy))
        .route("/galera_status", get(healthy))
        .route("/api/v1/status", get(compatible::status));
    let closed = Router::new()
        .route(api::OBSERVATION, get(observation))
        .route(api::RELAY, get(relay::relay))
        .route(api::HOLD, post(hold))
        .route(api::ANNOUNCE, post(announce))
        .route(api::RELEASE, post(release))
        .route(api::START, post(start))
        .route(api::STOP, post(stop))
        .route(api::DEPARTED, post(departed))
        .route(api::CHECK, post(check))
        .route(api::MAINTENANCE, get(maintenance::told).post(maintenance::take))
        .route(api::PERMIT, post(maintenance::permit))
        .route("/mysql_status", get(compatible::mysql_status))
        .route("/sequence_number", get(compatible::sequence_number))
        .merge(metrics::routes())
        .layer(from_fn(bounded));
    // These answer once the work is done, as the clients of that family expect; each has its own bound.
    let slow = Router::new()
        .route("/stop_mysql", post(compatible::stop))
        .route("/start_mysql_bootstrap", post(compatible::start_bootstrap))
        .route("/start_mysql_join", post(compatible::start_join))
        .route("/start_mysql_single_node", post(compatible::start_single_node));
    let guarded =
        closed.merge(slow).merge(reporting::routes()).layer(from_fn_with_state(Arc::clone(&agent), authorized));
    open.layer(from_fn(bounded))
        .merge(guarded)
        .fallback(nothing_here)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(agent)
}

async fn nothing_here() -> Response {
    problem(StatusCode::NOT_FOUND, "there is no such route; docs/openapi.yaml lists them")
}

async fn bounded(request: Request, next: Next) -> Response {
    match timeout(REQUEST_LIMIT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => problem(StatusCode::SERVICE_UNAVAILABLE, "the request took too long"),
    }
}

async fn authorized(State(agent): State<Arc<Agent>>, request: Request, next: Next) -> Response {
    admitted(&agent.credentials, request, next).await
}

/// Lets a request pass that shows the password.
pub(super) async fn admitted(credentials: &Credentials, request: Request, next: Next) -> Response {
    if !credentials.shown_in(request.headers()) {
        return unauthorized();
    }
    if let Some(trust) = request.extensions().get::<Trust>() {
        trust.give();
    }
    next.run(request).await
}

/// The answer to whoever shows no password, or a wrong one.
fn unauthorized() -> Response {
    let mut response = problem(StatusCode::UNAUTHORIZED, "user name and password are needed");
    response
        .headers_mut()
        .insert(WWW_AUTHENTICATE, axum::http::HeaderValue::from_static("Basic realm=\"galera-agent\""));
    response
}

/// An error as every route tells it.
pub(super) fn problem(status: StatusCode, error: impl Into<String>) -> Response {
    (status, Json(Problem { error: error.into() })).into_response()
}

impl Agent {
    fn begin(config: &AgentConfig, member: MemberConfig) -> Result<Arc<Agent>> {
        let observer = Observer::of(member.clone())?;
        let maintenance = Keeper::begin(&member)?;
        let (nudge, nudged) = sync_channel::<()>(1);
        let (publish, snapshot) = watch::channel(None);
        let fitness =
            Fitness { when_donor: config.available_when_donor, when_read_only: config.available_when_read_only };
        std::thread::Builder::new().name("observer".into()).spawn(move || {
            let mut last: Option<Health> = None;
            let mut position: (Option<Position>, Instant) = (None, Instant::now());
            loop {
                let begun = Instant::now();
                let seen = observer.look();
                tell_change(&mut last, health(&seen, fitness));
                if position.0 != seen.position.position() {
                    position = (seen.position.position(), begun);
                }
                let snapshot = Snapshot { begun, ended: Instant::now(), moved: position.1, seen };
                if publish.send(Some(Arc::new(snapshot))).is_err() {
                    return;
                }
                let rest = OBSERVE_EVERY.saturating_sub(begun.elapsed());
                if let Err(RecvTimeoutError::Disconnected) = nudged.recv_timeout(rest) {
                    return;
                }
            }
        })?;
        let credentials = Credentials::of(&config.username, &config.password, config.previous_password.as_ref());
        let own = snapshot.clone();
        let watched = watching::begin(member.clone(), move || own.borrow().clone().filter(|s| s.age() < STALE))?;
        Ok(Arc::new(Agent { member, maintenance, credentials, fitness, nudge, snapshot, watched }))
    }

    /// What the last look at the whole cluster found.
    pub(super) fn watched(&self) -> Option<Arc<Watched>> {
        self.watched.lock().ok()?.clone()
    }

    /// The last observation, if it still says something.
    pub(super) fn latest(&self) -> Option<Arc<Snapshot>> {
        self.snapshot.borrow().clone().filter(|s| s.begun.elapsed() < STALE)
    }

    /// An observation that was begun after this call. Where something on the VM hangs and each takes long,
    /// one that at least ended after it: what hangs is in there.
    pub(super) async fn fresh(&self) -> Option<Arc<Snapshot>> {
        let asked = Instant::now();
        let mut snapshots = self.snapshot.clone();
        let wait = async {
            loop {
                // A nudge that is there already serves as well.
                let _ = self.nudge.try_send(());
                if let Ok(found) =
                    timeout(OBSERVE_EVERY, snapshots.wait_for(|s| s.as_ref().is_some_and(|s| s.begun >= asked))).await
                {
                    return found.ok().and_then(|s| s.clone());
                }
            }
        };
        match timeout(FRESH_LIMIT, wait).await {
            Ok(fresh) => fresh,
            Err(_) => self.latest().filter(|s| s.ended >= asked),
        }
    }

    /// Whether all that this member's group had delivered is applied here, after some waiting.
    async fn applies_all(&self) -> bool {
        let server = self.member.mariadb.clone();
        let waited = tokio::task::spawn_blocking(move || sql::apply_all(&server.socket, &server.admin_user));
        matches!(timeout(FRESH_LIMIT / 2, waited).await, Ok(Ok(Ok(()))))
    }

    pub(super) fn health(&self) -> Health {
        match self.latest() {
            Some(snapshot) => health(&snapshot.seen, self.fitness),
            None => Health {
                fit: false,
                word: "blind".into(),
                sentence: "the agent has no recent observation of its member".into(),
            },
        }
    }

    /// Whether this member is in maintenance, as far as it knows.
    pub(super) fn maintained(&self) -> bool {
        self.latest().is_some_and(|s| Mode::of([&s.seen]).over(&self.member.instance).is_some())
    }

    /// Asks `galera-start`, on a thread that may block.
    pub(super) async fn ask(&self, request: socket::Request) -> Result<Reply> {
        let run_dir = self.member.paths.run_dir.clone();
        tokio::task::spawn_blocking(move || socket::ask(&run_dir, &request)).await.context("ask galera-start")?
    }
}

/// Logs health when it changes, and only then.
fn tell_change(last: &mut Option<Health>, now: Health) {
    if last.as_ref().is_none_or(|l| l.word != now.word) {
        log::info("health.changed", &[("word", &now.word), ("fit", &now.fit), ("why", &now.sentence)]);
        *last = Some(now);
    }
}

/// A word for everybody. The sentence names addresses, positions and commands, and is for whoever shows the password.
async fn healthy(State(agent): State<Arc<Agent>>, headers: HeaderMap) -> Response {
    let health = agent.health();
    let status = if health.fit { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if !agent.credentials.shown_in(&headers) {
        return (status, health.word).into_response();
    }
    // The word stays the true one; only a member that does not serve says more than it.
    let maintained = if health.fit || !agent.maintained() { "" } else { "; maintenance is on" };
    (status, format!("{health}{maintained}")).into_response()
}

async fn observation(State(agent): State<Arc<Agent>>, RawQuery(query): RawQuery) -> Response {
    let applied = query.as_deref() == Some(api::APPLIED) && agent.applies_all().await;
    let found = if query.as_deref() == Some(api::LATEST) { agent.latest() } else { agent.fresh().await };
    match found {
        Some(snapshot) if applied => json_bytes(&Observation { applied_all: true, ..snapshot.seen.clone() }),
        Some(snapshot) => json_bytes(&snapshot.seen),
        None => problem(StatusCode::SERVICE_UNAVAILABLE, "the observation takes too long; something on this VM hangs"),
    }
}

pub(super) fn json_bytes(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => ([(CONTENT_TYPE, "application/json")], Body::from(bytes)).into_response(),
        Err(e) => problem(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()),
    }
}

/// The body, or 400 with what is wrong with it.
pub(super) type Wanted<T> = Result<Json<T>, JsonRejection>;

async fn hold(State(agent): State<Arc<Agent>>, body: Wanted<HoldBody>) -> Response {
    act(&agent, body, |b| {
        socket::Request::Hold(Hold {
            order: b.order,
            owner: b.owner,
            reason: b.reason,
            seconds: b.seconds,
            bootstrapped: false,
            started: false,
        })
    })
    .await
}

async fn release(State(agent): State<Arc<Agent>>, body: Wanted<ReleaseBody>) -> Response {
    act(&agent, body, |b| socket::Request::Release { order: b.order, outcome: b.kept() }).await
}

async fn start(State(agent): State<Arc<Agent>>, body: Wanted<StartBody>) -> Response {
    act(&agent, body, |b| socket::Request::Start { order: b.order, mode: b.mode, begin: b.begin }).await
}

async fn announce(State(agent): State<Arc<Agent>>, body: Wanted<AnnounceBody>) -> Response {
    act(&agent, body, |b| socket::Request::Announce { order: b.order, beginning: b.beginning }).await
}

async fn stop(State(agent): State<Arc<Agent>>, body: Wanted<StopBody>) -> Response {
    act(&agent, body, |b| socket::Request::Stop { order: b.order }).await
}

async fn departed(State(agent): State<Arc<Agent>>, body: Wanted<DepartedBody>) -> Response {
    act(&agent, body, |b| socket::Request::Departed { member: b.member }).await
}

pub(super) async fn act<T>(agent: &Agent, body: Wanted<T>, request: impl FnOnce(T) -> socket::Request) -> Response {
    let body = match body {
        Ok(Json(body)) => body,
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, rejection.body_text()),
    };
    match agent.ask(request(body)).await {
        Ok(Reply::Done { text }) => (StatusCode::OK, Json(Accepted { text })).into_response(),
        Ok(Reply::UnderWay { text }) => (StatusCode::ACCEPTED, Json(Accepted { text })).into_response(),
        Ok(Reply::Refused { why }) => problem(StatusCode::CONFLICT, why),
        Ok(Reply::Status(status)) => Json(json!(status)).into_response(),
        Err(e) => problem(StatusCode::SERVICE_UNAVAILABLE, no_supervisor(&e)),
    }
}

/// What is said where `galera-start` was asked in vain.
pub(super) fn no_supervisor(e: &anyhow::Error) -> String {
    use std::io::ErrorKind::{ConnectionRefused, NotFound};
    match e.root_cause().downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
        // What one leaves that has ended, or was never started.
        Some(NotFound | ConnectionRefused) => {
            "galera-start does not run; see galera-start.log, and start it: monit start mariadb".into()
        }
        _ => format!("galera-start does not answer: {}; see galera-start.log", e.root_cause()),
    }
}

async fn check(State(agent): State<Arc<Agent>>, body: Wanted<CheckBody>) -> Response {
    let CheckBody { token, write } = match body {
        Ok(Json(body)) => body,
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, rejection.body_text()),
    };
    let server = agent.member.mariadb.clone();
    let checked = tokio::task::spawn_blocking(move || {
        let mut connection = sql::connect(&server.socket, &server.admin_user)?;
        let token = token.to_string();
        if write {
            seed::write_token(&mut connection, &token)?;
        }
        seed::read_token(&mut connection).map(|there| there == Some(token))
    })
    .await;
    match checked {
        Ok(Ok(there)) => Json(CheckAnswer { there }).into_response(),
        Ok(Err(e)) => problem(StatusCode::CONFLICT, format!("SQL: {e}")),
        Err(e) => problem(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()),
    }
}
