//! HAProxy itself: its process, and its socket for administrators.
//!
//! It runs in its master-worker mode: the master keeps its process number over a reload, and its workers end
//! with it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::config::ProxyConfig;
use super::writer::{Sight, read};
use crate::host::processes::{Handle, find_program};
use crate::host::reaching::reach;

/// One question over the socket.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// The master that runs with this configuration, whoever started it.
pub fn running(config: &ProxyConfig) -> Option<Handle> {
    find_program("haproxy", &config.haproxy_config)
}

/// Has HAProxy read its configuration, and says what is wrong with it.
pub fn check(config: &ProxyConfig) -> Result<()> {
    let output = Command::new(&config.program)
        .envs(peers(config))
        .args(["-c", "-q", "-f"])
        .arg(&config.haproxy_config)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("run {}", config.program.display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let why = said.lines().find(|l| l.contains("[ALERT]")).unwrap_or("it said nothing");
    bail!("HAProxy refuses {}: {why}", config.haproxy_config.display())
}

/// Starts the master. What it says about members and clients goes to `haproxy.log`, and what it complains about
/// itself to `haproxy.err.log`, where it also repeats the former.
pub fn start(config: &ProxyConfig) -> Result<Handle> {
    let child = Command::new(&config.program)
        .envs(peers(config))
        .args(["-W", "-db", "-f"])
        .arg(&config.haproxy_config)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log_file(config, "haproxy.log")?)
        .stderr(log_file(config, "haproxy.err.log")?)
        .spawn()
        .with_context(|| format!("start {}", config.program.display()))?;
    i32::try_from(child.id()).ok().and_then(Handle::of).context("HAProxy ended at once; see haproxy.err.log")
}

/// The other proxies' addresses. One whose name is not known now is given an address that nobody has (RFC 5737):
/// HAProxy tries it in vain, and serves.
fn peers(config: &ProxyConfig) -> Vec<(&str, String)> {
    let nobody = IpAddr::from(Ipv4Addr::new(192, 0, 2, 1));
    let address = |name: &str| (name, 0).to_socket_addrs().ok()?.next().map(|a| a.ip());
    let written = |ip: IpAddr| if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
    config.others.iter().map(|o| (o.variable.as_str(), written(address(&o.address).unwrap_or(nobody)))).collect()
}

fn log_file(config: &ProxyConfig, name: &str) -> Result<File> {
    let path = config.log_dir.join(name);
    let file = OpenOptions::new().create(true).append(true).mode(0o640).open(&path);
    file.with_context(|| format!("open log {}", path.display()))
}

/// Asks or tells the worker that serves.
pub fn tell(config: &ProxyConfig, command: &str) -> Result<String> {
    let exchange = || -> std::io::Result<String> {
        let mut stream = reach(&config.run_dir.join("haproxy.sock"), ANSWER_LIMIT)?;
        stream.write_all(format!("{command}\n").as_bytes())?;
        let mut answer = String::new();
        // It answers one line of commands, and closes.
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    exchange().with_context(|| format!("tell HAProxy to {command}"))
}

/// Who the writer is, and who has how many clients.
pub fn look(config: &ProxyConfig) -> Result<Sight> {
    Ok(read(&tell(config, "show table mariadb")?, &tell(config, "show stat")?))
}
