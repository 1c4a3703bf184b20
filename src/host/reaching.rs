//! A connect to a Unix socket that takes bounded time. The kernel lets a plain one wait without end once the queue of a
//! server that accepts nobody is full, and whatever time-outs the stream is given afterwards come too late.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// Connects; `limit` bounds the connect, and each read and write after it.
pub fn reach(path: &Path, limit: Duration) -> std::io::Result<UnixStream> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Linux waits for a place in a server's queue as long as a send may take: see unix(7) and SO_SNDTIMEO.
    set_socket_timeout(&socket, Timeout::Send, Some(limit))?;
    set_socket_timeout(&socket, Timeout::Recv, Some(limit))?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(UnixStream::from(socket))
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Instant;

    use super::*;

    /// A server whose queue is full. It lives as long as what is returned.
    pub(in crate::host) fn full(path: &Path) -> (rustix::fd::OwnedFd, Vec<UnixStream>) {
        let server = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&server, &SocketAddrUnix::new(path).unwrap()).unwrap();
        rustix::net::listen(&server, 0).unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = reach(path, Duration::from_millis(50)) {
            waiting.push(stream);
        }
        (server, waiting)
    }

    #[test]
    // B1: a connect has a deadline of its own.
    fn b1_a_server_that_accepts_nobody_is_not_waited_for_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let _full = full(&path);
        let begun = Instant::now();
        let error = reach(&path, Duration::from_millis(200)).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
}
