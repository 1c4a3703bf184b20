//! Asks agents: all at once, every question bounded.

use std::future::Future;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use futures_util::future::join_all;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Identity, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::api::{self, Accepted, Problem};
use super::arbitrator::ARBITRATOR;
use super::tls;
use crate::cluster::arbitration::{ArbitratorSeen, ArbitratorWord};
use crate::cluster::member::{Arbitrator, Member};
use crate::cluster::observation::{MemberView, Observation, PortAnswer, Sight, identified};
use crate::config::{Agents, AgentsTls, MemberConfig, Secret};
use crate::host::ports::knock_async;
use crate::host::resolving::{self, Unresolved};

/// How long a connect may take, whatever the answer may. A VM that is off would otherwise hold up each round by
/// the whole limit; one that is only slow is asked again in the next.
const CONNECT: Duration = Duration::from_secs(1);
/// How long an agent has for its answer before its VM is asked something else at the same time.
const PATIENCE: Duration = Duration::from_millis(500);
/// The largest answer that is read, in bytes.
const LARGEST_ANSWER: usize = 4 * 1024 * 1024;

/// A client of all agents of a cluster.
#[derive(Debug, Clone)]
pub struct Client {
    agents: Agents,
    limit: Duration,
    galera_port: u16,
}

impl Client {
    /// A client that gives each question `limit`.
    pub fn new(agents: &Agents, limit: Duration, galera_port: u16) -> Client {
        Client { agents: agents.clone(), limit, galera_port }
    }

    /// What must not appear anywhere.
    pub fn passwords(&self) -> impl Iterator<Item = &str> {
        self.agents.passwords()
    }

    /// What the agents of all other members say, as this member asks them; with `applied`, once all that their group had
    /// delivered by then is applied there.
    pub fn ask_others(config: &MemberConfig, applied: bool) -> Vec<MemberView> {
        let others: Vec<&Member> = config.cluster.members.iter().filter(|m| m.name != config.instance).collect();
        let client = Client::new(&config.agents, config.timeouts.ask, config.mariadb.galera_port);
        let route = if applied { format!("{}?{}", api::OBSERVATION, api::APPLIED) } else { api::OBSERVATION.into() };
        client.observe_by(&others, &route)
    }

    /// What the agents of these members say, all asked at once.
    pub fn observe(&self, members: &[&Member]) -> Vec<MemberView> {
        self.observe_by(members, api::OBSERVATION)
    }

    /// The same as they last saw it themselves, a second ago mostly: that makes no work for them but the answer.
    pub(super) fn observe_latest(&self, members: &[&Member]) -> Vec<MemberView> {
        self.observe_by(members, &format!("{}?{}", api::OBSERVATION, api::LATEST))
    }

    fn observe_by(&self, members: &[&Member], route: &str) -> Vec<MemberView> {
        let asked = run(join_all(members.iter().map(|member| self.view(member, route))));
        asked.unwrap_or_else(|e| {
            let unusable = |member: &&Member| MemberView {
                member: (*member).clone(),
                sight: Sight::Unusable(format!("{e:#}")),
                galera_port: None,
                relayed_by: None,
            };
            members.iter().map(unusable).collect()
        })
    }

    /// The same, and whoever is not reached from here is asked for through those who say that they reach it. All
    /// of it ends within the one limit, or half a second later where an agent takes all of that. For a diagnosis only: a decision rests on what a member says itself.
    pub fn observe_through_others(&self, members: &[&Member]) -> Vec<MemberView> {
        let begun = Instant::now();
        let mut views = self.observe(members);
        let left = self.limit.saturating_sub(begun.elapsed()).max(PATIENCE);
        let asked = run(join_all(views.iter().map(|view| self.relayed(view, &views, left))));
        for (view, relayed) in views.iter_mut().zip(asked.unwrap_or_default()) {
            if let Some((by, observation)) = relayed {
                (view.sight, view.relayed_by) = (Sight::Seen(Box::new(observation)), Some(by));
            }
        }
        views
    }

    /// What a member that gave no answer told one that reaches it.
    async fn relayed(&self, of: &MemberView, views: &[MemberView], limit: Duration) -> Option<(String, Observation)> {
        /// So many are asked, one after the other: whoever reaches it mostly gets an answer.
        const MOST: usize = 3;
        if !matches!(of.sight, Sight::Silent(_) | Sight::Refused) {
            return None;
        }
        let reaches =
            |seen: &Observation| seen.peers.iter().any(|p| p.name == of.member.name && p.agent == PortAnswer::Open);
        let route = format!("{}?{}", api::RELAY, api::relay_query(&of.member.id));
        let begun = Instant::now();
        for by in views.iter().filter(|v| v.seen().is_some_and(reaches)).take(MOST) {
            let left = limit.saturating_sub(begun.elapsed());
            if let Ok(observation) = self.get::<Observation>(&by.member, &route, left).await
                && let Sight::Seen(observation) = identified(&of.member, observation)
            {
                return Some((by.member.name.clone(), *observation));
            }
        }
        None
    }

    /// Where no agent answers, the group port may still tell that mariadbd is there. It is not knocked on
    /// before: Galera logs each connection that says nothing.
    async fn view(&self, member: &Member, route: &str) -> MemberView {
        let mut asking = std::pin::pin!(self.told(member, route));
        // Over when a connect to the agent is: a round of questions takes no longer for it.
        let knocking = || knock_async(&member.address, self.galera_port, self.limit.min(CONNECT - PATIENCE));
        let (sight, galera_port) = match tokio::time::timeout(PATIENCE, asking.as_mut()).await {
            Ok(seen @ Sight::Seen(_)) => (seen, None),
            Ok(other) => (other, Some(knocking().await)),
            Err(_) => {
                let (sight, port) = futures_util::future::join(asking, knocking()).await;
                let unseen = !matches!(sight, Sight::Seen(_));
                (sight, unseen.then_some(port))
            }
        };
        MemberView { member: member.clone(), sight, galera_port, relayed_by: None }
    }

    /// What the agent of this member saw last.
    pub(super) async fn latest(&self, member: &Member) -> Sight {
        self.told(member, &format!("{}?{}", api::OBSERVATION, api::LATEST)).await
    }

    async fn told(&self, member: &Member, route: &str) -> Sight {
        match self.get::<Observation>(member, route, self.limit).await {
            Ok(observation) => identified(member, observation),
            Err(e) => {
                // The library's own words repeat the URL; the root cause says what was met.
                let why = format!("{}:{}: {}", member.address, self.agents.port, cause(&e));
                let refused = e.root_cause().downcast_ref::<std::io::Error>().map(std::io::Error::kind);
                match e.downcast_ref::<reqwest::Error>() {
                    Some(_) if refused == Some(std::io::ErrorKind::ConnectionRefused) => Sight::Refused,
                    // The handshake is part of connecting, and whoever takes part in it answers.
                    Some(_) if shook_hands(&e) => Sight::Unusable(why),
                    // To a VM that is off, connecting times out now, and a second later there is no route: that is no news.
                    Some(e) if e.is_connect() => {
                        Sight::Silent(format!("{}:{} is not reached", member.address, self.agents.port))
                    }
                    Some(e) if e.is_timeout() => Sight::Silent(why),
                    None if e.is::<Unresolved>() => Sight::Silent(why),
                    _ => Sight::Unusable(why),
                }
            }
        }
    }

    /// What these arbitrators say of themselves, all asked at once.
    pub fn ask_arbitrators(&self, arbitrators: &[Arbitrator]) -> Vec<ArbitratorWord> {
        run(join_all(arbitrators.iter().map(|arbitrator| self.word(arbitrator)))).unwrap_or_default()
    }

    async fn word(&self, of: &Arbitrator) -> ArbitratorWord {
        let asked = self.get::<ArbitratorSeen>(&of.asked_as_member(), ARBITRATOR, self.limit).await;
        let (seen, why_unseen) = match asked {
            Ok(seen) if seen.id == of.id => (Some(seen), None),
            Ok(other) => (None, Some(format!("instance {} answered at {}", other.id, of.address))),
            Err(e) => (None, Some(format!("{}:{}: {}", of.address, self.agents.port, cause(&e)))),
        };
        ArbitratorWord { name: of.name.clone(), seen, why_unseen }
    }

    /// Tells an agent something. A refusal is an error with the agent's sentence.
    pub fn post<B: Serialize, A: DeserializeOwned>(&self, member: &Member, route: &str, body: &B) -> Result<A> {
        self.post_within(member, route, body, self.limit)
    }

    /// The same, with a limit of its own.
    pub fn post_within<B: Serialize, A: DeserializeOwned>(
        &self,
        member: &Member,
        route: &str,
        body: &B,
        limit: Duration,
    ) -> Result<A> {
        run(async {
            answer(self.exchange(member, route, limit, |client, url| client.post(url).json(body)).await?).await
        })?
        .with_context(|| format!("tell the agent of {} to {}", member.name, route.trim_start_matches("/v1/")))
    }

    /// Tells an agent something whose answer is only words.
    pub fn tell<B: Serialize>(&self, member: &Member, route: &str, body: &B) -> Result<String> {
        Ok(self.post::<B, Accepted>(member, route, body)?.text)
    }

    /// What the agents of these members answer, all asked at once.
    pub(super) fn get_all<A: DeserializeOwned>(&self, members: &[&Member], route: &str) -> Vec<Result<A>> {
        run(join_all(members.iter().map(|member| self.get(member, route, self.limit)))).unwrap_or_else(|e| {
            let failed = |_| Err(anyhow!("{e:#}"));
            members.iter().map(failed).collect()
        })
    }

    async fn get<A: DeserializeOwned>(&self, member: &Member, route: &str, limit: Duration) -> Result<A> {
        answer(self.asked(member, route, limit).await?).await
    }

    /// A question without a body.
    pub(super) async fn asked(&self, member: &Member, route: &str, limit: Duration) -> Result<Response> {
        self.exchange(member, route, limit, |client, url| client.get(url)).await
    }

    /// By HTTPS where it is configured. While a deployment switches to it, some agents know HTTP only: whoever answers
    /// that is asked by it, where the configuration allows it. Otherwise the password never goes there in clear.
    async fn exchange(
        &self,
        member: &Member,
        route: &str,
        limit: Duration,
        request: impl Fn(&reqwest::Client, String) -> RequestBuilder,
    ) -> Result<Response> {
        let begun = Instant::now();
        let at = resolving::address(&member.address, self.agents.port, limit.min(CONNECT)).await?;
        let left = || limit.saturating_sub(begun.elapsed());
        let (client, url) = target(self.agents.tls.as_ref(), member, at, route, left())?;
        let met = self.sent(request(&client, url)).await;
        match (&self.agents.tls, met) {
            (Some(tls), Err(e)) if tls.also_plain && speaks_no_tls(&e) => {
                let (client, url) = target(None, member, at, route, left())?;
                self.sent(request(&client, url)).await
            }
            (_, met) => met,
        }
    }

    /// As the user that agents know. While a deployment changes the password, one of them may know only the one
    /// before: unseen, it would keep the next member from leaving, and the deployment from going on.
    async fn sent(&self, request: RequestBuilder) -> Result<Response> {
        let shown = |request: RequestBuilder, password: &Secret| {
            request.basic_auth(&self.agents.username, Some(password.reveal())).send()
        };
        let again = self.agents.previous_password.as_ref().and_then(|previous| Some((request.try_clone()?, previous)));
        let response = shown(request, &self.agents.password).await?;
        match again {
            Some((request, previous)) if response.status() == StatusCode::UNAUTHORIZED => {
                Ok(shown(request, previous).await?)
            }
            _ => Ok(response),
        }
    }
}

/// A client for one question, and its URL.
fn target(
    tls: Option<&AgentsTls>,
    member: &Member,
    at: SocketAddr,
    route: &str,
    limit: Duration,
) -> Result<(reqwest::Client, String)> {
    tls::use_ring();
    // No proxy of the environment: agents are asked directly or not at all. No authority but the one configured, so the
    // system's are not even read. Nor is the password taken to wherever an answer points.
    let builder = reqwest::Client::builder()
        .timeout(limit)
        .connect_timeout(limit.min(CONNECT))
        .no_proxy()
        .redirect(Policy::none())
        .tls_certs_only([]);
    // The certificate has one name for all agents; the address comes from the member.
    let (scheme, host, builder) = match tls {
        None => ("http", member.address.as_str(), builder),
        Some(tls) => ("https", tls.server_name.as_str(), with_tls(builder, tls)?),
    };
    let url = format!("{scheme}://{}:{}{route}", bracketed(host), at.port());
    Ok((builder.resolve(host, at).build()?, url))
}

fn with_tls(builder: reqwest::ClientBuilder, files: &AgentsTls) -> Result<reqwest::ClientBuilder> {
    let read = |path: &std::path::Path| std::fs::read(path).with_context(|| format!("read {}", path.display()));
    let authorities = Certificate::from_pem_bundle(&read(&files.ca)?)
        .with_context(|| format!("{} holds no certificates", files.ca.display()))?;
    let mut builder = builder.tls_certs_only(authorities);
    if let (Some(certificate), Some(key)) = (&files.certificate, &files.private_key) {
        let mut both = read(certificate)?;
        both.push(b'\n');
        both.extend(read(key)?);
        builder = builder
            .identity(Identity::from_pem(&both).with_context(|| format!("{} and its key", certificate.display()))?);
    }
    Ok(builder)
}

/// Whether an agent was not reached at all: it may be so in a moment. A refusal is an answer.
pub fn not_reached(error: &anyhow::Error) -> bool {
    error.is::<reqwest::Error>() || error.is::<Unresolved>()
}

/// What TLS complains about. An I/O error hides what it holds from those who walk along its sources.
fn tls_fault(error: &anyhow::Error) -> Option<&rustls::Error> {
    fn within<'a>(e: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
        let held = || within(e.downcast_ref::<std::io::Error>()?.get_ref()?);
        e.downcast_ref().or_else(held)
    }
    error.chain().find_map(within)
}

/// Whether an agent that was asked by HTTPS answers something else than TLS.
fn speaks_no_tls(error: &anyhow::Error) -> bool {
    matches!(tls_fault(error), Some(rustls::Error::InvalidMessage(_)))
}

/// Whether an agent that was asked by HTTPS took part in the handshake, if only to end it.
fn shook_hands(error: &anyhow::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    let ended = error.root_cause().downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    tls_fault(error).is_some() || matches!(ended, Some(BrokenPipe | ConnectionReset | UnexpectedEof))
}

/// Why an agent did not do what it was told, for a person.
pub fn in_words(error: &anyhow::Error) -> String {
    if not_reached(error) { format!("its agent does not answer: {}", cause(error)) } else { format!("{error:#}") }
}

/// What was met, without the library's words for how it got there.
fn cause(error: &anyhow::Error) -> String {
    let late = error.root_cause().downcast_ref::<std::io::Error>().map(std::io::Error::kind)
        == Some(std::io::ErrorKind::TimedOut);
    if late || error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_timeout) {
        return "timed out".into();
    }
    if speaks_no_tls(error) {
        return "it speaks HTTP, and is asked by HTTPS: see tls.mode of job galera-agent".into();
    }
    if error.chain().any(|e| e.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse)) {
        return "what it speaks is no HTTP; it may be HTTPS: see tls.mode of job galera-agent".into();
    }
    error.root_cause().to_string()
}

/// An IPv6 address in a URL stands in brackets.
fn bracketed(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}

async fn answer<A: DeserializeOwned>(mut response: Response) -> Result<A> {
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > LARGEST_ANSWER {
            bail!("the answer is larger than {LARGEST_ANSWER} bytes");
        }
    }
    if status.is_success() {
        return serde_json::from_slice(&body).context("the answer is not what this version understands");
    }
    let said = serde_json::from_slice::<Problem>(&body).map(|p| p.error);
    let said = said.unwrap_or_else(|_| String::from_utf8_lossy(&body).chars().take(200).collect());
    Err(match status {
        StatusCode::UNAUTHORIZED => anyhow!("it refuses our user name or password (401)"),
        _ => anyhow!("{said} ({})", status.as_u16()),
    })
}

/// Runs to the end on this thread.
pub(super) fn run<T>(work: impl Future<Output = T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("make a runtime")?;
    let done = runtime.block_on(work);
    // A thread of the runtime that still does something for nobody is not waited for.
    runtime.shutdown_background();
    Ok(done)
}
