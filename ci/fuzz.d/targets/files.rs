//! Files that somebody else wrote, or that a crash cut: Galera's, our own state, what HAProxy and the server tell.

#![no_main]

use std::collections::BTreeMap;
use std::time::Duration;

use fuzz::{disk, mutate, parts, same_again, text};
use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target};
use mariadb_galera::config::Paths;
use mariadb_galera::galera::grastate::Grastate;
use mariadb_galera::galera::gvwstate::SavedView;
use mariadb_galera::galera::moment::{Moment, in_words};
use mariadb_galera::galera::position::Position;
use mariadb_galera::galera::recovery::{Recovered, cache_history, recovered_position};
use mariadb_galera::galera::uuid::Uuid;
use mariadb_galera::galera::wsrep::Wsrep;
use mariadb_galera::host::clock::Uptime;
use mariadb_galera::host::datadir::DataDir;
use mariadb_galera::host::journal::Journal;
use mariadb_galera::host::next_state::NextState;
use mariadb_galera::host::store::Store;
use mariadb_galera::proxy::writer;

const KINDS: &[&str] = &[
    "grastate",
    "gvwstate",
    "recover",
    "cache",
    "uuid",
    "position",
    "moment",
    "memory",
    "hold",
    "maintenance",
    "outcome",
    "journal",
    "next",
    "haproxy",
    "status",
];

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate::mutate(data, size, max_size, seed, KINDS)
});

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((kind, content)) = parts(data) else { return Corpus::Reject };
    match kind {
        "grastate" => grastate(content),
        "gvwstate" => gvwstate(&text(content)),
        "recover" => recovered(&text(content)),
        "cache" => drop(cache_history(content)),
        "uuid" => drop(text(content).parse().map(|uuid: Uuid| assert_eq!(Ok(uuid), uuid.to_string().parse()))),
        "position" => drop(text(content).parse().map(position)),
        "moment" => moment(&text(content)),
        "memory" => memory(content),
        "hold" => hold(content),
        "maintenance" => maintenance(content),
        "outcome" => outcome(content),
        "journal" => journal(content),
        "next" => next_state(content),
        "haproxy" => haproxy(&text(content)),
        "status" => status(content),
        _ => return Corpus::Reject,
    }
    Corpus::Keep
});

fn position(position: Position) {
    assert_eq!(Ok(position), position.to_string().parse());
    assert!(!position.history().is_nil());
}

/// By the folder, as production reads it, with the one change that production makes to the file.
fn grastate(content: &[u8]) {
    if let Ok(state) = Grastate::parse(&text(content)) {
        assert_eq!(Grastate::parse(&state.render()), Ok(state.clone()));
        same_again(&state);
        if state.validly_safe() {
            position(state.clean_position().expect("whoever is safe has a position"));
        }
    }
    disk::file("grastate.dat", content);
    let folder = DataDir::at(disk::folder());
    let before = folder.look().grastate;
    if folder.allow_bootstrap().is_ok() {
        let (before, after) = (before.present().cloned(), folder.look().grastate.present().cloned());
        assert_eq!(after, before.map(|before| Grastate { safe_to_bootstrap: true, ..before }));
    }
    disk::without("grastate.dat");
}

fn gvwstate(text: &str) {
    if let Ok(view) = SavedView::parse(text) {
        assert!(view.has(view.my_uuid) && !view.my_uuid.is_nil() && view.same_view(&view));
        let _ = (view.id(), view.represented_here());
        same_again(&view);
    }
}

fn recovered(text: &str) {
    if let Some(Recovered::At(at)) = recovered_position(text) {
        position(at);
    }
}

fn moment(text: &str) {
    /// The last one that a text of four-digit years shows.
    const LAST: Moment = Moment(253_402_300_799_000);
    if let Some(moment) = Moment::parse(text).filter(|moment| *moment <= LAST) {
        assert_eq!(Moment::parse(&moment.rfc3339()), Some(moment));
        let _ = (moment.to_string(), moment.clock(), in_words(moment.0), moment.before(Duration::MAX));
    }
    if let Some((moment, rest)) = Moment::of_line(text) {
        assert!(text.ends_with(rest));
        let _ = moment.to_string();
    }
}

/// Written over, it tells the same; and what cannot be read is kept.
fn memory(content: &[u8]) {
    disk::file("memory.json", content);
    let store = Store::in_dir(disk::folder());
    let memory = store.memory();
    same_again(&memory);
    if memory.damaged.is_none() {
        let _ = (memory.furthest(), memory.knows_a_cluster(), memory.is_witness(), memory.lineage_as_primary());
        store.keep_memory(&memory).expect("keep it");
        assert_eq!(store.memory(), memory);
        assert_eq!(store.earlier_memory(), Some(memory));
    } else {
        assert!(store.keep_memory(&memory).is_err());
    }
    disk::without("memory.json");
    disk::without("memory.json.earlier");
}

fn hold(content: &[u8]) {
    disk::file("hold.json", content);
    let (store, now) = (Store::in_dir(disk::folder()), Uptime::now());
    if let Ok(Some(hold)) = store.hold(&now) {
        store.keep_hold(&hold, now.clone()).expect("keep it");
        assert_eq!(store.hold(&now).ok().flatten(), Some(hold));
    }
    disk::without("hold.json");
}

fn maintenance(content: &[u8]) {
    disk::file("maintenance.json", content);
    let store = Store::in_dir(disk::folder());
    let kept = store.maintenance(1_800_000_000);
    for notice in kept.notices.all() {
        let _ = (notice.to_string(), notice.fault(kept.now), notice.expired(kept.now));
    }
    assert_eq!(kept.notices.clone().merged(&kept.notices), kept.notices);
    if kept.unreadable.is_none() {
        store.keep_maintenance(&kept.notices).expect("keep them");
        assert_eq!(store.maintenance(kept.now), kept);
    }
    disk::without("maintenance.json");
}

fn outcome(content: &[u8]) {
    disk::file("outcome.json", content);
    let store = Store::in_dir(disk::folder());
    if let Some(outcome) = store.outcome() {
        store.keep_outcome(&outcome).expect("keep it");
        assert_eq!(store.outcome(), Some(outcome));
    }
    disk::without("outcome.json");
}

fn journal(content: &[u8]) {
    disk::file("journal.jsonl", content);
    let journal = Journal::in_dir(disk::folder());
    let _ = (journal.deaths(Moment(1_800_000_000_000)), journal.deaths(Moment(0)), journal.last_leave());
    disk::without("journal.jsonl");
}

fn next_state(content: &[u8]) {
    disk::file("next-state.json", content);
    let dir = disk::folder().to_owned();
    let paths = Paths {
        state_dir: dir.clone(),
        run_dir: dir.clone(),
        log_dir: dir.clone(),
        tmp_dir: dir.clone(),
        seed_file: dir,
        private_files: Vec::new(),
        persistent_disk: None,
    };
    let left = NextState::left(&paths);
    let _ = left.intent();
    left.leave(&paths).expect("leave it");
    assert_eq!(NextState::left(&paths), left);
    NextState::forget(&paths);
}

/// The answers to both questions, with an empty line between them; and what was remembered.
fn haproxy(text: &str) {
    let (table, statistics) = text.split_once("\n\n").unwrap_or((text, ""));
    let _ = writer::read(table, statistics).misplaced();
    if let Some(remembered) = writer::remembered(text) {
        assert_eq!(writer::remembered(&writer::file_of(Some(remembered))), Some(remembered));
    }
}

/// The rows of the server's status, as JSON.
fn status(content: &[u8]) {
    let Ok(rows) = serde_json::from_slice::<BTreeMap<String, String>>(content) else { return };
    if let Some(wsrep) = Wsrep::from_rows(&rows, false) {
        let _ = (wsrep.members_with_data(), wsrep.lists_all(), wsrep.local_state_number(), wsrep.position());
        assert!(wsrep.same_view(&wsrep));
        same_again(&wsrep);
    }
}
