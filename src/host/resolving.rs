//! Names of hosts, looked up in bounded time. The C library asks name servers for up to half a minute, one after the
//! other, and cannot be told to stop: it does so on a thread of its own, one for each name, and whoever asks meanwhile
//! waits for the same answer.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

/// Why a name says nothing now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unresolved {
    /// Name servers gave no answer in time.
    InTime(String),
    /// They know no such name, or the question failed.
    Failed(String, String),
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unresolved::InTime(name) => write!(f, "no name server tells the address of {name} in time"),
            Unresolved::Failed(name, why) => write!(f, "the address of {name} is not known: {why}"),
        }
    }
}

impl std::error::Error for Unresolved {}

type Answer = Result<IpAddr, Unresolved>;
type Waiting = Vec<Box<dyn FnOnce(Answer) + Send>>;

/// The address of a host that is named, or written as an address.
pub async fn address(host: &str, port: u16, limit: Duration) -> Result<SocketAddr, Unresolved> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, port));
    }
    let (tell, told) = oneshot::channel();
    look_up(host, move |answer| {
        // Whoever asked may have gone away.
        let _ = tell.send(answer);
    });
    let found = match timeout(limit, told).await {
        Ok(Ok(answer)) => answer?,
        _ => return Err(Unresolved::InTime(host.to_owned())),
    };
    Ok(SocketAddr::new(found, port))
}

/// The same, for a thread that may wait.
pub fn address_blocking(host: &str, port: u16, limit: Duration) -> Result<SocketAddr, Unresolved> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, port));
    }
    let (tell, told) = mpsc::sync_channel(1);
    look_up(host, move |answer| {
        let _ = tell.send(answer);
    });
    let found = told.recv_timeout(limit).unwrap_or_else(|_| Err(Unresolved::InTime(host.to_owned())))?;
    Ok(SocketAddr::new(found, port))
}

fn look_up(host: &str, tell: impl FnOnce(Answer) + Send + 'static) {
    let mut asked = asked();
    if let Some(waiting) = asked.get_mut(host) {
        waiting.push(Box::new(tell));
        return;
    }
    let name = host.to_owned();
    let spawned = std::thread::Builder::new().name("resolve".into()).spawn(move || {
        let found = (name.as_str(), 0).to_socket_addrs().map(|mut all| all.next());
        let answer = match found {
            Ok(Some(found)) => Ok(found.ip()),
            Ok(None) => Err(Unresolved::Failed(name.clone(), "it has none".into())),
            Err(e) => Err(Unresolved::Failed(name.clone(), e.to_string())),
        };
        answered(&name, &answer);
    });
    asked.insert(host.to_owned(), vec![Box::new(tell)]);
    drop(asked);
    if let Err(e) = spawned {
        answered(host, &Err(Unresolved::Failed(host.to_owned(), e.to_string())));
    }
}

fn answered(host: &str, answer: &Answer) {
    let waiting = asked().remove(host).unwrap_or_default();
    waiting.into_iter().for_each(|tell| tell(answer.clone()));
}

/// The names that are being looked up, and who waits for them.
fn asked() -> MutexGuard<'static, HashMap<String, Waiting>> {
    static ASKED: LazyLock<Mutex<HashMap<String, Waiting>>> = LazyLock::new(Mutex::default);
    ASKED.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn b9_a_name_that_nobody_answers_for_costs_one_thread_and_bounded_time() {
        let name = "b9.hangs.invalid";
        // As if the C library was asking for it.
        asked().insert(name.into(), Vec::new());
        let short = Duration::from_millis(20);
        assert_eq!(address_blocking(name, 1, short), Err(Unresolved::InTime(name.into())));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        assert_eq!(runtime.block_on(address(name, 1, short)), Err(Unresolved::InTime(name.into())));
        assert_eq!(asked().get(name).map(Vec::len), Some(2), "both wait for the one answer");
        answered(name, &Ok(IpAddr::from([10, 0, 0, 1])));
        assert!(!asked().contains_key(name));
    }

    #[test]
    fn names_and_addresses() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        for host in ["localhost", "127.0.0.1", "::1"] {
            let found = address_blocking(host, 7, LIMIT).unwrap();
            assert!(found.ip().is_loopback() && found.port() == 7, "{found}");
            assert_eq!(runtime.block_on(address(host, 7, LIMIT)), Ok(found));
        }
        assert!(matches!(address_blocking("no such host.invalid", 1, LIMIT), Err(Unresolved::Failed(..))));
    }
}
