//! Connections to an agent: whoever has not shown the password gets little of it, and keeps nobody else away.
//!
//! One request, few seconds, and few places for each address; where there are no more places, the oldest of those who
//! hold most of them makes room. Health is asked for without a password, and from many addresses, so nobody is turned
//! away for where it comes from.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::Body;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, Response};
use futures_util::future::select;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::tls::{Accepted, Acceptor};
use super::writing::Writing;
use crate::log;

/// So many connections at the same time.
const PLACES: usize = 128;
/// So many of them, of one address, without a password.
const OF_ONE: usize = 16;
/// So many that have shown it: the others need a place too.
const TRUSTED: usize = 96;
/// How long a client may take for its TLS handshake, and for the head of a request.
const HEAD_LIMIT: Duration = Duration::from_secs(5);
/// How long a connection may last that has not shown the password.
const STRANGER_LIMIT: Duration = Duration::from_secs(10);

/// Whether a connection has shown the password.
#[derive(Debug, Clone)]
pub(super) struct Trust {
    given: watch::Sender<bool>,
    so_many: Arc<AtomicUsize>,
}

impl Trust {
    fn none(so_many: &Arc<AtomicUsize>) -> Trust {
        Trust { given: watch::Sender::new(false), so_many: Arc::clone(so_many) }
    }

    /// It has.
    pub(super) fn give(&self) {
        if !self.given() && self.so_many.fetch_add(1, Ordering::Relaxed) < TRUSTED {
            self.given.send_replace(true);
        } else if !self.given() {
            self.so_many.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn given(&self) -> bool {
        *self.given.borrow()
    }

    fn end(&self) {
        if self.given() {
            self.so_many.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Who has a place, the oldest first.
#[derive(Debug, Default)]
struct Places {
    next: u64,
    taken: BTreeMap<u64, Place>,
}

#[derive(Debug)]
struct Place {
    of: IpAddr,
    trust: Trust,
    /// None for the moment between its being taken and its task.
    task: Option<AbortHandle>,
}

impl Places {
    /// A place for this address. Whoever has to make room for it is gone; false where nobody can.
    fn make_room(&mut self, of: IpAddr) -> bool {
        let strangers = |of: Option<IpAddr>| {
            let stranger = move |(_, p): &(&u64, &Place)| !p.trust.given() && of.is_none_or(|of| p.of == of);
            self.taken.iter().filter(stranger).map(|(id, p)| (*id, p.of)).collect::<Vec<_>>()
        };
        let own = strangers(Some(of));
        let goes = if own.len() >= OF_ONE {
            own.first().map(|(id, _)| *id)
        } else if self.taken.len() >= PLACES {
            let all = strangers(None);
            let held = |of: IpAddr| all.iter().filter(|(_, other)| *other == of).count();
            all.iter().rev().max_by_key(|(_, of)| held(*of)).map(|(id, _)| *id)
        } else {
            return true;
        };
        let Some(place) = goes.and_then(|id| self.taken.remove(&id)) else { return false };
        if let Some(task) = place.task {
            task.abort();
        }
        true
    }

    fn take(&mut self, of: IpAddr, trust: Trust) -> u64 {
        self.next += 1;
        self.taken.insert(self.next, Place { of, trust, task: None });
        self.next
    }
}

/// Its place is free again once the connection has ended, however that came.
struct Taken {
    places: Arc<Mutex<Places>>,
    id: u64,
    trust: Trust,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.trust.end();
        if let Ok(mut places) = self.places.lock() {
            places.taken.remove(&self.id);
        }
    }
}

/// Takes connections until the process ends.
pub(super) async fn accept(listener: TcpListener, acceptor: Option<Acceptor>, routes: Router) -> Result<()> {
    let places = Arc::new(Mutex::new(Places::default()));
    let so_many = Arc::default();
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(e) => {
                // Out of file descriptors, or a connection that is gone already: not the end of the agent.
                log::warn("agent.accept_failed", &[("why", &e)]);
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (of, trust) = (neighbourhood(from.ip()), Trust::none(&so_many));
        let Ok(mut all) = places.lock() else { continue };
        if !all.make_room(of) {
            continue;
        }
        let id = all.take(of, trust.clone());
        let taken = Taken { places: Arc::clone(&places), id, trust: trust.clone() };
        let (acceptor, routes) = (acceptor.clone(), routes.clone());
        let task = tokio::spawn(async move {
            let _taken = taken;
            let conversing = std::pin::pin!(converse(stream, acceptor, routes, trust.clone()));
            select(conversing, std::pin::pin!(stranger_for_longer_than(STRANGER_LIMIT, &trust))).await;
        });
        if let Some(place) = all.taken.get_mut(&id) {
            place.task = Some(task.abort_handle());
        }
    }
}

/// Whoever has one IPv6 address mostly has all of its network.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
        v4 => v4,
    }
}

/// Ends once time is over for who has not shown the password by then.
async fn stranger_for_longer_than(limit: Duration, trust: &Trust) {
    let mut given = trust.given.subscribe();
    if timeout(limit, given.wait_for(|given| *given)).await.is_ok() {
        std::future::pending().await
    }
}

/// A client that misbehaves loses its connection, and nothing else happens.
async fn converse(stream: TcpStream, acceptor: Option<Acceptor>, routes: Router, trust: Trust) {
    let _ = stream.set_nodelay(true);
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT).max_buf_size(32 * 1024);
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(trust.clone());
        let (answered, trust) = (routes.call(request), trust.clone());
        async move {
            let mut response: Response<Body> = answered.await?;
            if !trust.given() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let accepted = match acceptor {
        None => Ok(Accepted::Plain(Writing::to(stream))),
        Some(acceptor) => timeout(HEAD_LIMIT, acceptor.accept(stream)).await.unwrap_or(Err(ErrorKind::TimedOut.into())),
    };
    match accepted {
        Ok(Accepted::Plain(stream)) => {
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        }
        Ok(Accepted::Tls(stream)) => {
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        }
        Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::time::Instant;

    use axum::routing::get;

    use super::*;

    fn serving() -> SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                accept(listener, None, Router::new().route("/", get(|| async { "synced" }))).await
            })
        });
        address
    }

    fn ask(address: SocketAddr) -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn c2_clients_that_do_not_read_silence_nobody() {
        let address = serving();
        let many = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".repeat(2_000);
        let pipelining = || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_nonblocking(true).unwrap();
            let _ = stream.write(&many);
            stream
        };
        let mut kept = Vec::new();
        for _ in 0..4 {
            kept.extend(std::iter::repeat_with(pipelining).take(100));
            let answer = ask(address).unwrap();
            assert!(answer.ends_with("synced"), "{answer}");
        }
    }

    #[test]
    fn c2_silent_clients_delay_nobody() {
        let address = serving();
        let _silent: Vec<_> = (0..2 * PLACES).map(|_| TcpStream::connect(address).unwrap()).collect();
        let begun = Instant::now();
        assert!(ask(address).unwrap().ends_with("synced"));
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }

    #[test]
    fn c2_a_stranger_has_seconds_and_whoever_shows_the_password_its_time() {
        let so_many = Arc::default();
        let (stranger, known) = (Trust::none(&so_many), Trust::none(&so_many));
        known.give();
        let (limit, longer) = (Duration::from_millis(20), Duration::from_millis(200));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            stranger_for_longer_than(limit, &stranger).await;
            assert!(timeout(longer, stranger_for_longer_than(limit, &known)).await.is_err());
        });
    }

    #[test]
    fn c2_room_is_made_by_the_oldest_of_those_who_hold_most() {
        let so_many = Arc::default();
        let address = |n: usize| IpAddr::from([10, 0, 0, u8::try_from(n).unwrap()]);
        let mut places = Places::default();
        let mut come = |of: usize, trusted: bool| {
            let trust = Trust::none(&so_many);
            if trusted {
                trust.give();
            }
            places.make_room(address(of)).then(|| places.take(address(of), trust))
        };
        // One that has shown the password never makes room.
        let known = come(1, true).unwrap();
        let own: Vec<u64> = (0..=OF_ONE).filter_map(|_| come(1, false)).collect();
        for of in 2..8 {
            (0..OF_ONE).for_each(|_| assert!(come(of, false).is_some()));
        }
        (0..PLACES - 7 * OF_ONE - 1).for_each(|_| assert!(come(8, false).is_some()));
        assert!(come(9, false).is_some(), "all places are taken");
        let left = |id: &u64| places.taken.contains_key(id);
        assert!(left(&known) && places.taken.len() == PLACES);
        assert_eq!(own.iter().map(left).collect::<Vec<_>>()[..3], [false, false, true]);
    }

    #[test]
    fn c2_a_network_of_ipv6_is_one_neighbour() {
        let of = |text: &str| neighbourhood(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }
}
