//! Drain, reload, and the wait after a start: what BOSH's hooks and people ask of a proxy that runs.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use super::config::ProxyConfig;
use super::haproxy;
use super::supervising::{end, gone, remember, remembered};
use crate::log;

/// What HAProxy may take beyond `hard-stop-after`, which is `drain.timeout`.
const RESERVE: Duration = Duration::from_secs(5);
/// How long a proxy that was started may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Leaves: first the load balancer's port is closed, then the clients', and who is connected may go on for a while.
/// Nothing is refused: a proxy holds no data.
pub fn drain(config: &ProxyConfig) -> Result<String> {
    let Some(master) = haproxy::running(config) else {
        return Ok("HAProxy does not run".into());
    };
    let begun = Instant::now();
    // Where it does not answer, clients are not asked to wait.
    match haproxy::tell(config, "disable frontend health") {
        Ok(_) => std::thread::sleep(config.timeouts.drain_delay),
        Err(e) => note(config, &format!("the health port could not be closed: {e:#}")),
    }
    note(config, "no new clients; those that are connected may go on");
    master.signal(Signal::SIGUSR1)?;
    if !gone(master, config.timeouts.drain + RESERVE) {
        note(config, "HAProxy did not end by itself, and is stopped");
        end(master)?;
    }
    Ok(format!("HAProxy has ended after {} s", begun.elapsed().as_secs()))
}

/// Has HAProxy read its configuration anew. Clients stay connected, for `drain.timeout` at most.
pub fn reload(config: &ProxyConfig) -> Result<String> {
    let master = haproxy::running(config).context("HAProxy does not run; start it with monit")?;
    haproxy::check(config)?;
    // The worker to come reads the file, until the one to go has told it.
    let writer = haproxy::look(config).map_or_else(|_| remembered(config), |sight| sight.writer);
    remember(config, writer)?;
    let before = worker(config);
    master.signal(Signal::SIGUSR2)?;
    let begun = Instant::now();
    while begun.elapsed() < START_LIMIT {
        if worker(config).is_some_and(|now| Some(now) != before) {
            return Ok("reloaded".into());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    bail!("HAProxy has no new worker after {} s; the old one serves on; see haproxy.err.log", START_LIMIT.as_secs())
}

/// The process number of the worker that answers.
fn worker(config: &ProxyConfig) -> Option<u32> {
    let told = haproxy::tell(config, "show info").ok()?;
    told.lines().find_map(|line| line.strip_prefix("Pid: ")?.trim().parse().ok())
}

/// Waits until the health page answers, whatever it says: without members there is nobody to serve clients, and
/// BOSH must be able to go on and start them. Then gives a load balancer the time to see it.
pub fn await_start(config: &ProxyConfig) -> Result<String> {
    let begun = Instant::now();
    let said = loop {
        if let Some(said) = health(config.health_port) {
            break said;
        }
        if begun.elapsed() > START_LIMIT {
            bail!(
                "the proxy on {} does not answer on port {} after {} s; see galera-proxy.log and haproxy.err.log",
                config.runs_on,
                config.health_port,
                START_LIMIT.as_secs()
            );
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    std::thread::sleep(config.timeouts.startup_delay);
    Ok(said)
}

fn health(port: u16) -> Option<String> {
    let address = std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.rsplit("\r\n\r\n").next().map(str::to_owned)
}

/// One line in drain.log, and on stderr, which BOSH's agent keeps in its own log only.
pub fn note(config: &ProxyConfig, what: &str) {
    let line = format!("{} {} {what}\n", log::now(), config.runs_on);
    eprint!("{line}");
    let path = config.log_dir.join("drain.log");
    let opened = OpenOptions::new().create(true).append(true).mode(0o640).open(&path);
    if let Err(e) = opened.and_then(|mut file| file.write_all(line.as_bytes())) {
        eprintln!("write {}: {e}", path.display());
    }
}
