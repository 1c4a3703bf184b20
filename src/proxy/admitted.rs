//! From which addresses the port of the proxies is answered. HAProxy asks nobody there for a password and takes anybody's
//! word for who the writer is (I2); so it lets the other proxies in, and nobody else. Where they are named, their addresses
//! change with each VM that BOSH recreates, and are looked up again and again.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::config::{OtherProxy, ProxyConfig};
use super::haproxy;
use crate::host::files::{read_if_there, write_atomically};
use crate::host::resolving::address_blocking;
use crate::log;

/// Names are looked up so often.
const LOOK_UP_EVERY: Duration = Duration::from_secs(10);
/// A look-up may take so long; the answer of a slow one is there at the next.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(1);

/// The addresses of the other proxies, by name.
#[derive(Debug, Default)]
pub struct Admitted {
    known: BTreeMap<String, IpAddr>,
    /// What HAProxy lets in.
    told: Vec<IpAddr>,
    looked: Option<Instant>,
    /// For how many looks in a row each proxy has not been connected.
    apart: BTreeMap<String, u32>,
}

impl Admitted {
    /// Looks up the others, and writes the file that HAProxy reads when it starts or reloads.
    pub fn prepare(config: &ProxyConfig) -> Result<Admitted> {
        let mut admitted = Admitted::default();
        admitted.look_up(&config.others);
        admitted.told = admitted.addresses();
        write(config, &admitted.told)?;
        Ok(admitted)
    }

    /// What the HAProxy lets in that is adopted.
    pub fn adopt(config: &ProxyConfig) -> Admitted {
        let list = read_if_there(&config.admitted_file()).ok().flatten().unwrap_or_default();
        Admitted { told: list.lines().filter_map(|line| line.parse().ok()).collect(), ..Admitted::default() }
    }

    /// Looks again from time to time, and tells HAProxy what has changed. What fails is done again at the next look.
    pub fn renew(&mut self, config: &ProxyConfig) {
        if self.looked.is_some_and(|at| at.elapsed() < LOOK_UP_EVERY) {
            return;
        }
        self.look_up(&config.others);
        self.tell_who_is_apart(config);
        let mut now = self.addresses();
        if config.others.iter().any(|other| !self.known.contains_key(&other.address)) {
            // Whoever is not known by name now may be one of those.
            now.extend(&self.told);
            now.sort();
            now.dedup();
        }
        if now == self.told {
            return;
        }
        match tell(config, &now) {
            Ok(()) => {
                log::info("proxy.others", &[("addresses", &format!("{now:?}"))]);
                self.told = now;
            }
            Err(e) => log::warn("proxy.others_not_told", &[("why", &format!("{e:#}"))]),
        }
    }

    /// One that is turned away, or cannot be reached, decides for itself who the writer is: that is told once it lasts.
    fn tell_who_is_apart(&mut self, config: &ProxyConfig) {
        const LOOKS: u32 = 3;
        let Ok(peers) = haproxy::tell(config, "show peers") else { return };
        for (proxy, connected) in connections(&peers) {
            let looks = self.apart.entry(proxy.to_owned()).or_default();
            match (connected, *looks) {
                (true, LOOKS..) => log::info("proxy.together", &[("proxy", &proxy)]),
                (false, looks) if looks + 1 == LOOKS => log::warn(
                    "proxy.apart",
                    &[
                        ("proxy", &proxy),
                        (
                            "why",
                            &"it does not run, is not reached, or comes from an address that is not its own (peers_from)",
                        ),
                    ],
                ),
                _ => {}
            }
            *looks = if connected { 0 } else { looks.saturating_add(1) };
        }
    }

    /// A proxy whose name is not known now stays where it was.
    fn look_up(&mut self, others: &[OtherProxy]) {
        self.looked = Some(Instant::now());
        for other in others {
            if let Ok(found) = address_blocking(&other.address, 0, LOOK_UP_LIMIT) {
                self.known.insert(other.address.clone(), found.ip());
            }
        }
    }

    fn addresses(&self) -> Vec<IpAddr> {
        let mut all: Vec<IpAddr> = self.known.values().copied().collect();
        all.sort();
        all.dedup();
        all
    }
}

/// On disk for the next reload, and then all at once in the worker that serves.
fn tell(config: &ProxyConfig, now: &[IpAddr]) -> Result<()> {
    write(config, now)?;
    let list = config.admitted_file();
    let list = list.display();
    let prepared = haproxy::tell(config, &format!("prepare acl {list}"))?;
    let version = prepared.rsplit(':').next().and_then(|n| n.trim().parse::<u32>().ok());
    let version = version.with_context(|| format!("HAProxy answers {:?}", prepared.trim()))?;
    let additions = now.iter().map(|address| format!("add acl @{version} {list} {address}"));
    for command in additions.chain([format!("commit acl @{version} {list}")]) {
        let answer = haproxy::tell(config, &command)?;
        ensure!(answer.trim().is_empty(), "HAProxy answers {:?} to {command}", answer.trim());
    }
    Ok(())
}

fn write(config: &ProxyConfig, addresses: &[IpAddr]) -> Result<()> {
    let lines: String = addresses.iter().map(|a| format!("{a}\n")).collect();
    write_atomically(&config.admitted_file(), lines.as_bytes(), 0o640).context("write who may tell of the writer")
}

/// The other proxies by HAProxy's `show peers`, and whether each is connected, by whoever began.
fn connections(peers: &str) -> impl Iterator<Item = (&str, bool)> {
    peers.lines().filter_map(|line| {
        let (name, rest) = line.split_once("id=")?.1.split_once("(remote,")?;
        Some((name, rest.contains("last_status=ESTA")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i2_who_is_connected_by_haproxys_word() {
        let peers = "0x1: [30/Nov/2026:15:06:10] id=proxies disabled=0 flags=0x11 resync_timeout=2s task_calls=1\n\
                     \x20 0x2: id=proxy-1(remote,active) addr=10.0.0.9:9210 last_status=CONN last_hdshk=2s\n\
                     \x20 0x3: id=proxy-2(remote,active) addr=10.0.0.8:9210 last_status=ESTA last_hdshk=2s\n\
                     \x20 0x4: id=proxy-0(local,inactive) addr=unix:0 last_status=NONE last_hdshk=<NEVER>\n";
        assert_eq!(connections(peers).collect::<Vec<_>>(), [("proxy-1", false), ("proxy-2", true)]);
        assert_eq!(connections("Unknown command").count(), 0);
    }
}
