//! An agent in this process, on a loopback port, with a supervisor that only counts what it is told, and no database.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mariadb_galera::agent::server;
use mariadb_galera::config::{AgentConfig, MemberConfig};
use mariadb_galera::host::socket::{self, Reply, Request};
use serde_json::json;

use crate::disk::{self, member};

/// `fuzz:` and a password that no input can guess.
const BASIC: &str = "authorization: Basic ZnV6ejpuby1pbnB1dC1ndWVzc2VzLXRoaXM=";
const PASSWORD: &str = "no-input-guesses-this";
/// An answer takes longer only where the agent waits for more of the request.
const PATIENCE: Duration = Duration::from_millis(300);
/// No connection of a stranger lasts longer: the agent's own limit is 10 s.
pub const LONGEST: Duration = Duration::from_secs(13);

/// How often the supervisor was told to do something.
static TOLD: AtomicUsize = AtomicUsize::new(0);

/// How often the supervisor was told to do something.
pub fn told() -> usize {
    TOLD.load(Ordering::SeqCst)
}

/// The agent's address; it begins with the first call.
pub fn address() -> SocketAddr {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    *ADDRESS.get_or_init(|| {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("find a free port");
        let answer = |request: Request| {
            if request != Request::Status {
                TOLD.fetch_add(1, Ordering::SeqCst);
                return Reply::done("it is so");
            }
            Reply::refused("it only counts")
        };
        socket::serve(disk::folder(), answer).expect("serve as the supervisor");
        let (agent, member) = configs(free.port());
        std::thread::spawn(move || server::serve(&agent, member).expect("serve"));
        let begun = Instant::now();
        while TcpStream::connect(free).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(10), "the agent does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        free
    })
}

fn configs(port: u16) -> (AgentConfig, MemberConfig) {
    let folder = disk::folder();
    let agent = json!({
        "member": "/none", "listen": { "address": "127.0.0.1", "port": port }, "username": "fuzz",
        "password": PASSWORD, "available_when_donor": true, "available_when_read_only": true, "run_dir": folder,
        "log_dir": folder, "private_files": [], "user": "root",
    });
    (serde_json::from_value(agent).expect("an agent's"), member(port, PASSWORD))
}

/// Sends these bytes. With `ends`, nothing follows them.
pub fn sent(bytes: &[u8], ends: bool) -> TcpStream {
    let mut stream = TcpStream::connect(address()).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("set a limit");
    stream.set_write_timeout(Some(LONGEST)).expect("set a limit");
    // It may have heard enough before all is sent.
    let _ = stream.write_all(bytes);
    if ends {
        let _ = stream.shutdown(Shutdown::Write);
    }
    stream
}

/// What the agent answers until it ends the connection; where it waits for more, it is told that nothing comes.
pub fn answer(mut stream: TcpStream) -> Vec<u8> {
    let (mut all, mut buffer, begun) = (Vec::new(), [0; 4096], Instant::now());
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return all,
            Ok(some) => all.extend_from_slice(&buffer[..some]),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                let _ = stream.shutdown(Shutdown::Write);
                assert!(begun.elapsed() < LONGEST, "the agent keeps a connection beyond its limits");
            }
            // Reset, where it has closed with something of ours unread.
            Err(_) => return all,
        }
    }
}

/// A request out of a text: method and path, headers, an empty line, the body. Its length is added.
pub fn request(text: &[u8], known: bool) -> Vec<u8> {
    let (head, body) = match text.windows(2).position(|two| two == b"\n\n") {
        Some(at) => (&text[..at], &text[at + 2..]),
        None => (text, &b""[..]),
    };
    let mut lines = head.split(|b| *b == b'\n');
    let mut made = lines.next().unwrap_or_default().to_owned();
    made.extend_from_slice(b" HTTP/1.1\r\nhost: x\r\n");
    for line in lines {
        made.extend_from_slice(line);
        made.extend_from_slice(b"\r\n");
    }
    if !body.is_empty() {
        made.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    if known {
        made.extend_from_slice(format!("{BASIC}\r\nconnection: close\r\n").as_bytes());
    }
    made.extend_from_slice(b"\r\n");
    made.extend_from_slice(body);
    made
}

/// The status of an answer, if it is one.
pub fn status(answer: &[u8]) -> Option<u16> {
    let rest = answer.strip_prefix(b"HTTP/1.1 ").or_else(|| answer.strip_prefix(b"HTTP/1.0 "))?;
    std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok()
}
