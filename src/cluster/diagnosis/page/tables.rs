//! The members side by side.

use std::time::Duration;

use crate::cluster::diagnosis::display::WIDTH;
use crate::cluster::observation::{File, MemberView, Observation, Sql};
use crate::cluster::standing::Standing;

/// What runs, what it says, and where it stands.
pub(super) fn running(views: &[MemberView]) -> Vec<String> {
    let head = ["instance", "process", "ports", "SQL", "Galera", "position", "known by"];
    let rows = views.iter().map(|view| {
        let name = view.member.name.clone();
        let Some(seen) = view.seen() else {
            return [name, "?".into(), "?".into(), "?".into(), "?".into(), "?".into(), "not seen".into()];
        };
        let (position, known_by) = position(&seen.position);
        [name, process(seen), ports(seen), sql(&seen.sql), galera(seen), position, known_by]
    });
    aligned(head, rows.collect())
}

/// What lies on the disks.
pub(super) fn disks(views: &[MemberView]) -> Vec<String> {
    let head = ["instance", "grastate.dat", "saved view", "lineage", "free", "write+sync"];
    let rows = views.iter().filter_map(|view| {
        let seen = view.seen()?;
        let lineage = seen.memory.lineage.newest().map_or("-".into(), |i| format!("{} by {}", i.number, i.by));
        let written = match (&seen.host.write_fault, seen.host.write_milliseconds) {
            (Some(_), _) => "FAULT".into(),
            (None, Some(took)) => format!("{took} ms"),
            (None, None) => "-".into(),
        };
        let free = seen.host.free_bytes.map_or("-".into(), bytes);
        Some([view.member.name.clone(), grastate(seen), saved_view(seen), lineage, free, written])
    });
    aligned(head, rows.collect())
}

fn process(seen: &Observation) -> String {
    match (&seen.process, seen.process_seconds) {
        (None, _) => "none".into(),
        (Some(process), _) if process.recovering => "recovering".into(),
        (Some(_), None) => "up".into(),
        (Some(_), Some(seconds)) => format!("up {}", brief(seconds)),
    }
}

/// The listeners, 4567 and 3306 first: the one without the other is a state of its own (K5).
fn ports(seen: &Observation) -> String {
    let ports = seen.ports;
    let open = [(ports.galera, "4567"), (ports.sql, "3306"), (ports.sst, "4444"), (ports.ist, "4568")];
    let open: Vec<&str> = open.iter().filter(|(open, _)| *open).map(|(_, name)| *name).collect();
    if open.is_empty() { "none".into() } else { open.join(" ") }
}

fn sql(sql: &Sql) -> String {
    match sql {
        Sql::Open { milliseconds } => format!("{milliseconds} ms"),
        Sql::Closed { .. } => "closed".into(),
        Sql::TimedOut => "HANGS".into(),
        Sql::TooManyConnections => "1040".into(),
        Sql::Denied => "1045".into(),
        Sql::Failed { .. } => "error".into(),
    }
}

fn galera(seen: &Observation) -> String {
    match &seen.wsrep {
        Some(w) if !w.on => "OFF".into(),
        Some(w) if w.is_primary() => format!("{} of {}", short(&w.local_state_comment), w.cluster_size),
        Some(w) => format!("non-prim of {}", w.cluster_size),
        None => "-".into(),
    }
}

/// `Donor/Desynced` is as long as a column.
fn short(comment: &str) -> &str {
    comment.split(['/', ' ']).next().unwrap_or(comment)
}

fn position(standing: &Standing) -> (String, String) {
    match standing {
        Standing::At { position, from } => {
            (format!("{}:{}", head(&position.history().to_string()), position.seqno()), from.to_string())
        }
        Standing::Empty => ("no data".into(), "-".into()),
        Standing::Unknown { at_most, .. } => {
            (at_most.map_or("unknown".into(), |p| format!("<= {}", p.seqno())), "unknown".into())
        }
    }
}

fn grastate(seen: &Observation) -> String {
    match &seen.disk.grastate {
        File::Absent => "none".into(),
        File::Garbled(_) => "garbled".into(),
        File::Present(g) => {
            let safe = if g.safe_to_bootstrap { " safe" } else { "" };
            format!("{}:{}{safe}", head(&g.uuid.to_string()), g.seqno)
        }
    }
}

fn saved_view(seen: &Observation) -> String {
    match &seen.disk.saved_view {
        File::Absent => "none".into(),
        File::Garbled(_) => "garbled".into(),
        File::Present(view) => format!("no. {}, of {}", view.seq, view.members.len()),
    }
}

/// The first part of a UUID tells histories apart well enough on one page.
fn head(uuid: &str) -> &str {
    uuid.split('-').next().unwrap_or(uuid)
}

/// A duration in its largest unit.
pub(super) fn brief(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A duration as it is said.
pub(super) fn long(seconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

fn bytes(bytes: u64) -> String {
    if bytes >> 30 >= 10 { format!("{} GiB", bytes >> 30) } else { format!("{} MiB", bytes >> 20) }
}

fn aligned<const N: usize>(head: [&str; N], rows: Vec<[String; N]>) -> Vec<String> {
    let all: Vec<[String; N]> = std::iter::once(head.map(String::from)).chain(rows).collect();
    let mut widths = [0; N];
    for row in &all {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    // The page indents by two columns.
    let wide = widths.iter().sum::<usize>() + 2 * N;
    let between = if wide > WIDTH { " " } else { "  " };
    let line = |row: &[String; N]| {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join(between).trim_end().to_owned()
    };
    all.iter().map(line).collect()
}
