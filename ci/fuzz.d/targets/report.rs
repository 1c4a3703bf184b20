//! A member's part of an incident report as a whole. Slow, since it looks at the machine too; what logs and masking
//! make of a text by themselves is target `logs`.

#![no_main]

use std::fs::File;
use std::time::{Duration, UNIX_EPOCH};

use fuzz::{SECRET, disk, mutate, parts, text};
use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target};
use mariadb_galera::galera::moment::Moment;
use mariadb_galera::host::report::{Part, Piece, Wanted};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate::mutate(data, size, max_size, seed, &["report"])
});

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some(("report", content)) = parts(data) else { return Corpus::Reject };
    report(&text(content));
    Corpus::Keep
});

/// All of a member's part of a report, with this error log. Neither the password shows there, nor the statement that a
/// server printed when it crashed.
fn report(content: &str) {
    let content = content.replace('@', SECRET);
    disk::file("error.log", content.as_bytes());
    let config = disk::member(1, SECRET);
    // Disks that were damaged have files of any age.
    let table = disk::file("data_dir/ibdata1", b"");
    if content.starts_with("old file") {
        let file = File::options().write(true).open(table).expect("open a file");
        file.set_modified(UNIX_EPOCH - Duration::from_secs(86400)).expect("make it old");
    }
    let wanted = Wanted { from: Moment(0), to: Moment(4_000_000_000_000), largest: 1 << 20 };
    let part = Part { config: &config, observation: None, config_dirs: Vec::new(), wanted };
    let mut told = String::new();
    let taken = part.tell(&mut |piece| {
        if let Piece::Text { text, .. } | Piece::Missing { why: text, .. } = piece {
            told.push_str(&text);
        }
        Ok(())
    });
    assert!(taken.is_ok());
    // A line that is too long comes in parts.
    assert!(!told.replace('\n', "").contains(SECRET), "a secret shows in a report");
    let (inside, outside) = statements(&content);
    for word in inside.iter().flat_map(|line| line.split_whitespace()).filter(|word| word.contains("statement-of-")) {
        assert!(outside.contains(word) || !told.contains(word), "a statement shows in a report: {word}");
    }
}

/// The lines of statements, and all others. Whatever a statement is, none goes on behind a line that is the server's own.
fn statements(log: &str) -> (Vec<&str>, String) {
    let (mut inside, mut outside, mut within) = (Vec::new(), String::new(), false);
    for line in log.lines() {
        let own = line.is_empty() || line.starts_with("Connection ID (thread ID)") || Moment::of_line(line).is_some();
        within = line.starts_with("Query (") || within && !own && !line.starts_with("{\"at\":");
        if within {
            inside.push(line);
        } else {
            outside.push_str(line);
            outside.push('\n');
        }
    }
    (inside, outside)
}
