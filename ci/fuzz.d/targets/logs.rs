//! Logs and journals, whoever wrote them; and what an incident report makes of them: no secret may show there.

#![no_main]

use fuzz::{SECRET, mutate, parts, text};
use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target};
use mariadb_galera::cluster::arbitration::Component;
use mariadb_galera::cluster::timeline::journal::entry;
use mariadb_galera::cluster::timeline::{Known, Source, SourceKind, Timeline};
use mariadb_galera::galera::log_events::log_events;
use mariadb_galera::galera::log_identities::prefix;
use mariadb_galera::galera::log_lines::*;
use mariadb_galera::galera::moment::Moment;
use mariadb_galera::host::report::Masking;

const KINDS: &[&str] = &["log", "several", "journal", "by_heart", "by_name"];

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate::mutate(data, size, max_size, seed, KINDS)
});

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((kind, content)) = parts(data) else { return Corpus::Reject };
    let content = text(content);
    match kind {
        "log" => log(&content),
        "several" => several(&content),
        "journal" => journal(&content),
        "by_heart" => by_heart(&content),
        "by_name" => by_name(&content),
        _ => return Corpus::Reject,
    }
    Corpus::Keep
});

fn log(content: &str) {
    let _ = (in_primary_component(content), must_restart(content), donor_found(content), queues_for_donor(content));
    let _ = (transfer_kind(content, 0), ist_progress(content), begun_at(content), missing_tables(content));
    let found = evidence(content);
    let _ = (last_process(&found), last_component(&found), Component::last(content));
    // One entry a kind, so that an agent's answer stays small whatever the log is.
    assert!(found.len() <= 24 && found.iter().all(|e| e.text.chars().count() <= 240));
    let (events, _) = log_events(content);
    assert!(events.iter().all(|e| e.evidence.chars().count() <= 300));
    let _ = content.lines().filter_map(prefix).count();
    timeline(&[source("mysql/0", SourceKind::ErrorLog, content)]);
}

fn source(member: &str, kind: SourceKind, text: &str) -> Source {
    Source { member: member.into(), file: format!("{member}/log"), kind, text: text.into() }
}

/// Logs and journals in turn, with a line `--` between them.
fn several(content: &str) {
    let kinds = [SourceKind::ErrorLog, SourceKind::Journal].into_iter().cycle();
    let texts = content.split("\n--\n").take(6).zip(kinds).enumerate();
    let sources: Vec<Source> = texts.map(|(n, (text, kind))| source(&format!("mysql/{}", n / 2), kind, text)).collect();
    timeline(&sources);
}

fn journal(content: &str) {
    for line in content.lines() {
        let _ = entry(line);
    }
    timeline(&[source("mysql/0", SourceKind::Journal, content)]);
}

/// Whatever a log says, the page that shows it has no markup of the log's making.
fn timeline(sources: &[Source]) {
    let marked: Vec<Source> =
        sources.iter().map(|s| Source { text: s.text.replace('@', "<fuzz>"), ..s.clone() }).collect();
    for (from, to) in [(None, None), (Some(Moment(1_400_000_000_000)), Some(Moment(1_500_000_000_000)))] {
        let timeline = Timeline::of(&marked, Known { from, to, ..Known::default() });
        let _ = (timeline.text(), timeline.is_empty());
        assert!(timeline.events.iter().all(|e| e.lane < timeline.lanes.len()));
        assert!(!timeline.html().contains("<fuzz>"), "the page has markup of the log's making");
    }
}

/// A secret that the member knows shows nowhere, whatever stands around it.
fn by_heart(content: &str) {
    let content = content.replace('@', SECRET);
    let masking = Masking::of([SECRET].into_iter());
    let mut shown = vec![masking.lines(&content), masking.configuration(&content), masking.line(&content)];
    shown.push(masking.command(&content.split('\n').map(str::to_owned).collect::<Vec<_>>()));
    if let Ok(tree) = serde_json::from_str(&content) {
        shown.push(masking.json(tree).to_string());
    }
    if let Some(text) = shown.iter().find(|text| text.contains(SECRET)) {
        panic!("a secret that is known shows: {text:?}");
    }
}

/// A secret that nobody knows by heart, behind a name that says what it is. The content has the name's rest, and
/// what stands before and behind: a line each.
fn by_name(content: &str) {
    let mut parts = content.split('\n');
    let (rest, before, behind) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    // Quotes that do not match, and names of secrets before the one that is meant, make a line of which nobody can
    // say where the value is.
    let plain = |text: &str| {
        let text = text.to_ascii_lowercase();
        let named = ["passw", "secret", "key", "token", "auth", "sekret"].iter().any(|name| text.contains(name));
        !named && !text.contains(['"', '\'', '`', '\\'])
    };
    let word = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    if !plain(before) || !plain(behind) || !word(rest) {
        return;
    }
    let masking = Masking::default();
    for name in [format!("{rest}password"), format!("Secret{rest}"), format!("api_key{rest}")] {
        for (sign, end) in [("=", ""), (" = ", ""), (": ", ""), ("\": \"", "\""), ("='", "'"), (": \\\"", "\\\"")] {
            // Where no quote ends it, a value ends at a space.
            let space = if end.is_empty() { " " } else { "" };
            let line = format!("{before} {name}{sign}{SECRET}{end}{space}{behind}");
            let shown = [masking.line(&line), masking.configuration(&line)];
            assert!(shown.iter().all(|text| !text.contains(SECRET)), "a secret shows in {shown:?}");
        }
    }
    let command = ["mysql".into(), before.to_owned(), format!("-p{SECRET}"), format!("--{rest}password={SECRET}")];
    assert!(!masking.command(&command).contains(SECRET), "a secret shows in a command");
    let tree = serde_json::json!({ "a": [{ format!("x{rest}Password"): SECRET }, before] });
    assert!(!masking.json(tree).to_string().contains(SECRET), "a secret shows in JSON");
}
