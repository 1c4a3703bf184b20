//! What another agent, a client of the API, or somebody at the supervisor's socket sends; and what is made of it.

#![no_main]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Once;
use std::time::Duration;

use fuzz::{cluster, disk, mutate, parts, same_again, text};
use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target};
use mariadb_galera::agent::api;
use mariadb_galera::cluster::arbitration::ArbitratorSeen;
use mariadb_galera::cluster::maintenance::Kept;
use mariadb_galera::cluster::observation::Observation;
use mariadb_galera::host::report::Piece;
use mariadb_galera::host::socket::{self, Reply, Request};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const KINDS: &[&str] = &[
    "request",
    "reply",
    "observation",
    "cluster",
    "cluster",
    "hold",
    "release",
    "start",
    "announce",
    "stop",
    "departed",
    "check",
    "maintenance",
    "permit",
    "kept",
    "arbitrator",
    "piece",
    "problem",
    "socket",
];

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate::mutate(data, size, max_size, seed, KINDS)
});

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((kind, content)) = parts(data) else { return Corpus::Reject };
    match kind {
        "request" => read::<Request>(content),
        "reply" => read::<Reply>(content),
        "observation" => observation(content),
        "cluster" => concluded(content),
        "hold" => read::<api::HoldBody>(content),
        "release" => release(content),
        "start" => read::<api::StartBody>(content),
        "announce" => read::<api::AnnounceBody>(content),
        "stop" => read::<api::StopBody>(content),
        "departed" => read::<api::DepartedBody>(content),
        "check" => read::<api::CheckBody>(content),
        "maintenance" => maintenance(content),
        "permit" => read::<api::PermitBody>(content),
        "kept" => read::<Kept>(content),
        "arbitrator" => read::<ArbitratorSeen>(content),
        "piece" => read::<Piece>(content),
        "problem" => read::<api::Problem>(content),
        "socket" => answered(content),
        _ => return Corpus::Reject,
    }
    Corpus::Keep
});

fn read<T: Serialize + DeserializeOwned>(content: &[u8]) {
    if let Ok(message) = serde_json::from_slice::<T>(content) {
        same_again(&message);
    }
}

fn release(content: &[u8]) {
    if let Ok(body) = serde_json::from_slice::<api::ReleaseBody>(content) {
        assert_eq!(body.kept().is_some(), body.outcome.is_some());
    }
}

/// Checked as the agent checks what a person sends.
fn maintenance(content: &[u8]) {
    let Ok(body) = serde_json::from_slice::<api::MaintenanceBody>(content) else { return };
    for notice in body.notices.all() {
        let _ = (notice.fault(1_800_000_000), notice.to_string(), notice.owner());
    }
    let merged = body.notices.clone().merged(&body.notices);
    assert_eq!(merged, body.notices);
    same_again(&body);
}

/// One member's word, as whoever asked for it takes it.
fn observation(content: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(content) else { return };
    if let Ok(seen) = serde_json::from_value::<Observation>(value.clone()) {
        same_again(&seen);
        // Only an observation of the member that was asked is concluded from.
        let asked = cluster::expected(3);
        let views = cluster::views(&asked, &[value, Value::Null, Value::String("refused".into())]);
        assert_eq!(views[0].seen().is_some(), seen.member.id == "id-0");
        cluster::conclude(&asked, &views);
    }
}

/// The words of all members.
fn concluded(content: &[u8]) {
    let Ok(told) = serde_json::from_slice::<Vec<Value>>(content) else { return };
    let told = told.get(..told.len().min(5)).unwrap_or_default();
    let expected = cluster::expected(told.len());
    cluster::conclude(&expected, &cluster::views(&expected, told));
}

/// The socket gives every line one answer, and lives on.
fn answered(content: &[u8]) {
    static SERVING: Once = Once::new();
    SERVING.call_once(|| socket::serve(disk::folder(), |_| Reply::done("it is so")).expect("listen"));
    let mut stream = UnixStream::connect(socket::path_in(disk::folder())).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(8))).expect("set a limit");
    // It may have heard enough before all is sent.
    let _ = stream.write_all(content);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    if let Err(e) = stream.read_to_end(&mut answer) {
        assert_eq!(e.kind(), std::io::ErrorKind::ConnectionReset, "the socket hangs");
    }
    if !answer.is_empty() {
        let reply: Reply = serde_json::from_slice(&answer).expect("an answer");
        let line = content.split(|b| *b == b'\n').next().unwrap_or_default();
        let fine = serde_json::from_str::<Request>(&text(line)).is_ok();
        assert!(fine || matches!(reply, Reply::Refused { .. }), "{reply:?}");
    }
    let good = socket::ask(disk::folder(), &Request::Status).expect("the next one is answered");
    assert_eq!(good, Reply::done("it is so"));
}
