//! The agent's server as a whole: whatever comes on a connection, it neither panics nor hangs, goes on to answer, and
//! does nothing for whoever does not show the password.

#![no_main]

use std::collections::VecDeque;
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use fuzz::{agent, mutate, parts};
use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target};

/// Bytes as they are; the same from somebody who stays; a request without the password; one with it.
const KINDS: &[&str] = &["raw", "stays", "stranger", "stranger", "known", "known", "known"];
/// So many who stay at the same time: of one address the agent lets 16 in.
const STAY: usize = 6;
/// These wait for a database that there is none of, for minutes.
const SLOW: &[&str] = &["_mysql", "/v1/report"];

static STAYING: Mutex<VecDeque<(Instant, TcpStream)>> = Mutex::new(VecDeque::new());

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate::mutate(data, size, max_size, seed, KINDS)
});

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((kind, content)) = parts(data) else { return Corpus::Reject };
    match kind {
        "raw" => refused(content, true),
        "stays" => stays(content),
        "stranger" => refused(&agent::request(content, false), false),
        "known" => {
            let first = content.split(|b| *b == b'\n').next().unwrap_or_default();
            if SLOW.iter().any(|slow| String::from_utf8_lossy(first).contains(slow)) {
                return Corpus::Reject;
            }
            known(content);
        }
        _ => return Corpus::Reject,
    }
    assert!(matches!(agent::status(&good()), Some(200 | 503)), "the next one gets no answer");
    Corpus::Keep
});

fn good() -> Vec<u8> {
    agent::answer(agent::sent(&agent::request(b"GET /", false), false))
}

/// Without a database nobody is well, so that there is nothing that a stranger gets 2xx for.
fn refused(bytes: &[u8], ends: bool) {
    let before = agent::told();
    let answer = agent::answer(agent::sent(bytes, ends));
    let status = agent::status(&answer);
    assert!(answer.is_empty() || status.is_some(), "no HTTP: {}", String::from_utf8_lossy(&answer));
    assert!(!status.is_some_and(|s| (200..300).contains(&s)), "a stranger gets {status:?}");
    assert_eq!(before, agent::told(), "a stranger tells the supervisor something");
}

/// Somebody who neither says more nor goes is sent away in time.
fn stays(bytes: &[u8]) {
    let mut staying = STAYING.lock().unwrap_or_else(PoisonError::into_inner);
    if staying.front().is_some_and(|(since, _)| since.elapsed() > agent::LONGEST)
        && let Some((_, stream)) = staying.pop_front()
    {
        let _ = stream.set_nonblocking(true);
        let mut all = Vec::new();
        let read = std::io::Read::read_to_end(&mut &stream, &mut all);
        let still = read.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock);
        assert!(!still, "a stranger has had a connection for longer than allowed");
    }
    if staying.len() < STAY {
        staying.push_back((Instant::now(), agent::sent(bytes, false)));
    }
}

/// With the password everything is answered, and what is under way ends before the next request.
fn known(content: &[u8]) {
    let begun = Instant::now();
    let answer = agent::answer(agent::sent(&agent::request(content, true), false));
    assert!(answer.is_empty() || agent::status(&answer).is_some(), "no HTTP: {}", String::from_utf8_lossy(&answer));
    // One that had to be told that nothing more comes may still be at it.
    if begun.elapsed() > Duration::from_millis(250) {
        std::thread::sleep(Duration::from_millis(50));
    }
}
