//! What `galera-proxy` does while HAProxy runs.

use std::fs;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::future::join_all;
use nix::sys::signal::{SigSet, Signal};

use super::admitted::Admitted;
use super::config::{OtherProxy, ProxyConfig};
use super::haproxy;
use super::writer::{self, Sight};
use crate::agent::tls::use_ring;
use crate::cli::Exit;
use crate::host::files::{read_if_there, write_atomically};
use crate::host::processes::Handle;
use crate::log;

/// HAProxy is looked at so often.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long another proxy may take to tell its writer.
const ASK_LIMIT: Duration = Duration::from_secs(2);
/// How long HAProxy may take to end after SIGTERM; it has nothing to finish.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Starts HAProxy, or adopts one that runs, and stays with it until it ends or this process is told to.
pub fn run(config: &ProxyConfig) -> Result<Exit> {
    let told_to_end = catch_signals()?;
    let (master, admitted) = match haproxy::running(config) {
        Some(master) => {
            log::info("proxy.adopted", &[("pid", &master.pid)]);
            (master, Admitted::adopt(config))
        }
        None => {
            let admitted = Admitted::prepare(config)?;
            (begin(config)?, admitted)
        }
    };
    let mut watch = Watch { config, admitted, known: remembered(config), misplaced: Vec::new(), blind: false };
    loop {
        match told_to_end.recv_timeout(LOOK_EVERY) {
            Err(RecvTimeoutError::Timeout) => {}
            _ => return end(master),
        }
        if !master.lives() {
            log::warn("proxy.haproxy_ended", &[("pid", &master.pid), ("see", &"haproxy.err.log")]);
            return Ok(Exit::Failed);
        }
        watch.look();
    }
}

fn catch_signals() -> Result<Receiver<()>> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    signals.thread_block().context("block signals")?;
    let (tell, told) = channel();
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || while signals.wait().is_ok() && tell.send(()).is_ok() {})?;
    Ok(told)
}

fn begin(config: &ProxyConfig) -> Result<Handle> {
    let told = ask_others(&config.others, config.health_port)?;
    let known = |n| config.members.iter().any(|m| m.number == n);
    let writer = writer::to_begin_with(&told, remembered(config), known);
    remember(config, writer)?;
    let name = writer.map_or("the first that is fit", |w| config.name_of(w));
    log::info("proxy.starting", &[("writer", &name), ("told_by_others", &told.len())]);
    haproxy::start(config)
}

/// Stops HAProxy, bounded.
pub fn end(master: Handle) -> Result<Exit> {
    log::info("proxy.stopping", &[("pid", &master.pid)]);
    master.signal(Signal::SIGTERM)?;
    if !gone(master, STOP_LIMIT) {
        log::warn("proxy.killed", &[("pid", &master.pid), ("after_seconds", &STOP_LIMIT.as_secs())]);
        // Its workers end with it.
        master.signal(Signal::SIGKILL)?;
        if !gone(master, STOP_LIMIT) {
            bail!("HAProxy (process {}) does not end, even after SIGKILL", master.pid);
        }
    }
    Ok(Exit::Done)
}

/// Waits until a process is gone; false if it is not, in time.
pub fn gone(process: Handle, limit: Duration) -> bool {
    let begun = Instant::now();
    while process.lives() {
        if begun.elapsed() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    true
}

/// The writer as the file has it.
pub fn remembered(config: &ProxyConfig) -> Option<u32> {
    read_if_there(&config.writer_file()).ok().flatten().and_then(|text| writer::remembered(&text))
}

/// Writes the file that HAProxy reads when it starts or reloads.
pub fn remember(config: &ProxyConfig, writer: Option<u32>) -> Result<()> {
    fs::create_dir_all(&config.data_dir).with_context(|| format!("make {}", config.data_dir.display()))?;
    write_atomically(&config.writer_file(), writer::file_of(writer).as_bytes(), 0o640)
}

/// What changes from one look to the next.
struct Watch<'a> {
    config: &'a ProxyConfig,
    admitted: Admitted,
    known: Option<u32>,
    misplaced: Vec<String>,
    blind: bool,
}

impl Watch<'_> {
    fn look(&mut self) {
        self.admitted.renew(self.config);
        match haproxy::look(self.config) {
            Ok(sight) => {
                self.blind = false;
                self.note(&sight);
                self.cut(sight.misplaced());
            }
            // While it starts or reloads there is no socket. It serves all the same.
            Err(e) if !self.blind => {
                log::warn("proxy.unseen", &[("why", &format!("{e:#}"))]);
                self.blind = true;
            }
            Err(_) => {}
        }
    }

    fn note(&mut self, sight: &Sight) {
        let Some(writer) = sight.writer.filter(|w| Some(*w) != self.known) else {
            return;
        };
        let from = self.known.map_or("nobody", |w| self.config.name_of(w));
        log::info("proxy.writer", &[("from", &from), ("to", &self.config.name_of(writer))]);
        match remember(self.config, Some(writer)) {
            Ok(()) => self.known = Some(writer),
            Err(e) => log::error("proxy.writer_not_remembered", &[("why", &format!("{e:#}"))]),
        }
    }

    /// Only who was misplaced in two looks: the table is written a moment after a client is connected.
    fn cut(&mut self, now: Vec<String>) {
        for server in now.iter().filter(|s| self.misplaced.contains(s)) {
            log::warn("proxy.cut", &[("server", server), ("why", &"another member is the writer")]);
            if let Err(e) = haproxy::tell(self.config, &format!("shutdown sessions server {server}")) {
                log::error("proxy.cut_failed", &[("server", server), ("why", &format!("{e:#}"))]);
            }
        }
        self.misplaced = now;
    }
}

/// The writers of the other proxies that answer in time.
fn ask_others(others: &[OtherProxy], port: u16) -> Result<Vec<u32>> {
    use_ring();
    let client = reqwest::Client::builder().timeout(ASK_LIMIT).no_proxy().tls_certs_only([]).build()?;
    let ask = |other: &OtherProxy| {
        let host = if other.address.contains(':') { format!("[{}]", other.address) } else { other.address.clone() };
        let request = client.get(format!("http://{host}:{port}/writer"));
        async move { request.send().await.ok()?.text().await.ok()?.trim().parse().ok().filter(|n| *n != 0) }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("make a runtime")?;
    Ok(runtime.block_on(join_all(others.iter().map(ask))).into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn m3_others_are_asked_for_their_writer() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n3");
        });
        let other =
            |address: &str| OtherProxy { name: "proxy/1".into(), address: address.into(), variable: "PEER_1".into() };
        // Nobody listens at the second address.
        assert_eq!(ask_others(&[other("127.0.0.1"), other("127.0.0.2")], port).unwrap(), [3]);
    }
}
