//! `status` and `diagnose`: look at all members, twice where once is not enough, and tell.

use std::io::{IsTerminal, Write, stdout};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use clap::Args;

use crate::agent::client::Client;
use crate::cli::Exit;
use crate::cluster::diagnosis::page::{Document, Page, Paint};
use crate::cluster::diagnosis::{ClusterCode, Diagnosis, confirmed, diagnose};
use crate::cluster::member::Member;
use crate::cluster::observation::MemberView;
use crate::errand::table;
use crate::small_config::Whom;

/// Two looks lie so far apart (diagnosis.md): longer than `evs.suspect_timeout`, and than an agent's round.
const APART: Duration = Duration::from_secs(5);

/// How to look, and how to tell.
#[derive(Debug, Clone, Args)]
pub struct How {
    /// For programs: one JSON document, as docs/diagnose.schema.json describes it
    #[arg(long)]
    json: bool,
    /// Look again every so many seconds, until interrupted
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "5", require_equals = true,
        value_parser = every)]
    watch: Option<u64>,
    /// One look only, also where a second one would be needed to be sure
    #[arg(long)]
    once: bool,
}

fn every(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|seconds| (1..=3600).contains(seconds)).ok_or_else(|| "expected 1 to 3600 seconds".into())
}

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// A table, and the verdict in short.
    Short,
    /// Everything.
    Whole,
}

struct Looked {
    at: SystemTime,
    begun: Instant,
    views: Vec<MemberView>,
    found: Diagnosis,
}

/// Looks and tells. The exit code is the class of what was found.
pub fn run(whom: &Whom, how: &How, detail: Detail) -> Result<Exit> {
    let client = Client::new(&whom.agents, whom.ask, whom.galera_port);
    let mut looked = look(whom, &client);
    // A table is for a first glance; what takes a second look says so. But that all is well is never said by chance.
    let closely = detail == Detail::Whole || looked.found.code == ClusterCode::Healthy;
    if closely && !how.once && how.watch.is_none() && looked.found.needs_second_look {
        std::thread::sleep(APART.saturating_sub(looked.begun.elapsed()));
        looked = again(whom, &client, &looked);
    }
    tell(whom, how, detail, &looked)?;
    let Some(every) = how.watch else { return Ok(Exit::Status(looked.found.class.exit_code())) };
    loop {
        std::thread::sleep(Duration::from_secs(every).saturating_sub(looked.begun.elapsed()));
        looked = again(whom, &client, &looked);
        tell(whom, how, detail, &looked)?;
    }
}

fn look(whom: &Whom, client: &Client) -> Looked {
    let members: Vec<&Member> = whom.cluster.members.iter().collect();
    let (at, begun) = (SystemTime::now(), Instant::now());
    let views = client.observe_through_others(&members);
    let found = diagnose(&whom.cluster, &views);
    Looked { at, begun, views, found }
}

fn again(whom: &Whom, client: &Client, before: &Looked) -> Looked {
    let now = look(whom, client);
    let apart = now.begun.duration_since(before.begun);
    if apart + Duration::from_millis(100) < APART {
        return now;
    }
    let found = confirmed((&before.found, &before.views), now.found, &now.views, apart.as_secs());
    Looked { found, ..now }
}

fn tell(whom: &Whom, how: &How, detail: Detail, looked: &Looked) -> Result<()> {
    let Looked { at, views, found, .. } = looked;
    let page = Page { cluster: &whom.cluster.name, from: &whom.from, at: *at, diagnosis: found, views };
    let terminal = stdout().is_terminal();
    let text = if how.json {
        match how.watch {
            // One line a look, so that a reader knows where one ends.
            Some(_) => serde_json::to_string(&Document::of(&page)),
            None => serde_json::to_string_pretty(&Document::of(&page)),
        }
        .context("write JSON")?
    } else if detail == Detail::Short {
        format!("{}\n{found}{}", table::of(views), hint(found))
    } else {
        page.text(if terminal { paint() } else { Paint::Plain })
    };
    let shown = match how.watch {
        // In place: home, each line cleared to its end, and what is left below cleared.
        Some(_) if terminal && !how.json => {
            let rows = rustix::termios::tcgetwinsize(stdout()).map_or(0, |size| usize::from(size.ws_row));
            format!("\x1b[H{}\x1b[K\n\x1b[J", cut(&text, rows).replace('\n', "\x1b[K\n"))
        }
        Some(_) if !how.json => format!("{text}\n\n"),
        _ => format!("{text}\n"),
    };
    let mut out = stdout().lock();
    out.write_all(shown.as_bytes()).and_then(|()| out.flush()).context("write to stdout")
}

/// What fits on a terminal of so many rows: more would scroll, and what matters most is at the top.
fn cut(text: &str, rows: usize) -> String {
    // The cursor's row stays free.
    let (room, all) = (rows.saturating_sub(1), text.lines().count());
    if room < 2 || all <= room {
        return text.to_owned();
    }
    let shown: Vec<&str> = text.lines().take(room - 1).collect();
    format!("{}\n({} lines more: look without --watch)", shown.join("\n"), all + 1 - room)
}

fn hint(found: &Diagnosis) -> &'static str {
    if found.needs_second_look { "\nOne look is not enough for this: galera-ctl diagnose takes two." } else { "" }
}

fn paint() -> Paint {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if set("NO_COLOR") || dumb { Paint::Plain } else { Paint::Colour }
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn a_watched_page_does_not_scroll() {
        let page = (1..=30).map(|n| n.to_string()).collect::<Vec<_>>().join("\n");
        for (rows, last) in [(24, "(8 lines more: look without --watch)"), (31, "30"), (0, "30"), (2, "30")] {
            let shown = cut(&page, rows);
            assert!(shown.starts_with("1\n2") && shown.lines().last() == Some(last), "{rows}: {shown}");
            assert!(rows < 3 || shown.lines().count() < rows, "{rows}: {shown}");
        }
    }
}
