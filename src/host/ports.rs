//! Ports: which have a listener here, and what a connect to a peer meets.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::Duration;

use super::resolving;
use crate::cluster::observation::PortAnswer;

/// The TCP ports of this VM that have a listener, from /proc/net.
pub fn listening() -> BTreeSet<u16> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| table.lines().skip(1).filter_map(listener).collect::<Vec<_>>())
        .collect()
}

fn listener(line: &str) -> Option<u16> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_whitespace();
    let local = fields.nth(1)?;
    (fields.nth(1)? == LISTEN).then_some(())?;
    u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()
}

/// Connects to a port and closes again.
pub fn knock(address: &str, port: u16, limit: Duration) -> PortAnswer {
    let Ok(target) = resolving::address_blocking(address, port, limit) else {
        return PortAnswer::Silent;
    };
    answer(TcpStream::connect_timeout(&target, limit))
}

/// The same, without a thread of its own.
pub async fn knock_async(address: &str, port: u16, limit: Duration) -> PortAnswer {
    let connect = async {
        let target = resolving::address(address, port, limit).await.map_err(std::io::Error::other)?;
        tokio::net::TcpStream::connect(target).await
    };
    match tokio::time::timeout(limit, connect).await {
        Ok(met) => answer(met),
        Err(_) => PortAnswer::Silent,
    }
}

fn answer<T>(met: std::io::Result<T>) -> PortAnswer {
    match met {
        Ok(_) => PortAnswer::Open,
        // The VM answered, and nobody listens there. Everything else says nothing about the VM.
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => PortAnswer::Refused,
        Err(_) => PortAnswer::Silent,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn g11_a_refusal_is_told_from_silence() {
        let here = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = here.local_addr().unwrap().port();
        assert_eq!(knock("127.0.0.1", port, Duration::from_secs(1)), PortAnswer::Open);
        assert!(listening().contains(&port));
        // Nobody listens there. (A listener that is dropped may live on for a moment, in a child of another test.)
        assert_eq!(knock("127.77.77.77", port, Duration::from_secs(1)), PortAnswer::Refused);
        assert_eq!(knock("no such host.invalid", port, Duration::from_secs(1)), PortAnswer::Silent);
    }

    #[test]
    fn k5_listeners_by_the_kernels_table() {
        let line = "   0: 00000000:11D7 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1";
        assert_eq!(listener(line), Some(4567));
        assert_eq!(listener(&line.replace(" 0A ", " 01 ")), None);
    }
}
