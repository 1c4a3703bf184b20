//! Who has the newest data, and how do we know?

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cluster::member::listed;
use crate::cluster::observation::{MemberView, Observation};
use crate::cluster::standing::{Provenance, Standing};
use crate::galera::position::Position;
use crate::galera::uuid::Uuid;

/// The furthest of one history. Positions of two histories are never compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Newest {
    /// The history.
    pub history: Uuid,
    /// The highest sequence number that is known in it.
    pub seqno: u64,
    /// Who has it, and how that is known.
    pub members: Vec<Known>,
    /// By how much each of the others is behind.
    pub behind: Vec<Behind>,
}

/// A member and how its position is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Known {
    /// The member.
    pub name: String,
    /// How its position is known.
    pub known_by: String,
}

/// A member that is behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Behind {
    /// The member.
    pub name: String,
    /// By so many transactions.
    pub by: u64,
}

/// The furthest of each history that is seen.
pub fn of(views: &[MemberView]) -> Vec<Newest> {
    let mut histories: BTreeMap<Uuid, Vec<(&Observation, Position, Provenance)>> = BTreeMap::new();
    for seen in views.iter().filter_map(MemberView::seen) {
        if let Standing::At { position, from } = &seen.position {
            histories.entry(position.history()).or_default().push((seen, *position, *from));
        }
    }
    histories.into_iter().map(|(history, of)| newest(history, &of)).collect()
}

fn newest(history: Uuid, of: &[(&Observation, Position, Provenance)]) -> Newest {
    let seqno = of.iter().map(|(_, position, _)| position.seqno()).max().unwrap_or_default();
    let (furthest, rest): (Vec<_>, Vec<_>) = of.iter().copied().partition(|(_, position, _)| position.seqno() == seqno);
    let known = furthest.into_iter().map(|(o, _, from)| Known { name: o.member.name.clone(), known_by: how(from) });
    let behind =
        rest.into_iter().map(|(o, position, _)| Behind { name: o.member.name.clone(), by: seqno - position.seqno() });
    Newest { history, seqno, members: known.collect(), behind: behind.collect() }
}

/// A member whose position is not known, but not to be below the furthest of this history.
fn may_have_more(view: &MemberView, newest: &Newest) -> Option<String> {
    match &view.seen()?.position {
        Standing::Unknown { at_most: Some(most), .. } => {
            let ahead = most.history() == newest.history && most.seqno() > newest.seqno;
            ahead.then(|| format!("{} (at most {most})", view.member.name))
        }
        _ => None,
    }
}

/// How a position is known, for somebody who has to trust it.
fn how(from: Provenance) -> String {
    let why = match from {
        Provenance::LiveSql => "its server says so",
        Provenance::CleanStop => "grastate.dat after a clean stop",
        Provenance::Recovered => "found in InnoDB by --wsrep-recover",
        Provenance::StartArgument => "its server was started with it, and has applied nothing since",
    };
    format!("{from}: {why}")
}

/// The same in lines, with what is not known. Those that went `apart` have numbers that say nothing beside the others'.
pub(super) fn lines(views: &[MemberView], apart: &[&str]) -> Vec<String> {
    let all = of(views);
    let mut lines: Vec<String> = Vec::new();
    if !apart.is_empty() {
        let who = listed(apart.iter().copied());
        lines.push(format!("members went on apart ({who}): the same number is not the same data there"));
    }
    if all.len() > 1 {
        lines.push(format!("{} histories, whose numbers cannot be compared:", all.len()));
    }
    for newest in &all {
        let ways: std::collections::BTreeSet<&str> = newest.members.iter().map(|m| m.known_by.as_str()).collect();
        lines.push(format!(
            "{} at {}:{} ({})",
            listed(newest.members.iter().map(|m| m.name.as_str())),
            newest.history,
            newest.seqno,
            ways.into_iter().collect::<Vec<_>>().join("; ")
        ));
        // Where nobody knows where a member stands, it may be the one that is ahead.
        let more: Vec<String> = views.iter().filter_map(|view| may_have_more(view, newest)).collect();
        if !more.is_empty() {
            lines.push(format!("may have more: {}", more.join(", ")));
        }
        if !newest.behind.is_empty() {
            let behind: Vec<String> = newest.behind.iter().map(|b| format!("{} by {}", b.name, b.by)).collect();
            lines.push(format!("behind, in transactions: {}", behind.join(", ")));
        }
    }
    if all.is_empty() {
        lines.push("nobody's position is known".into());
    }
    for view in views {
        match view.seen().map(|o| &o.position) {
            None => lines.push(format!("not known: {}, {}", view.member.name, view.why_unseen().unwrap_or_default())),
            Some(Standing::Unknown { detail, at_most, .. }) => {
                let most = at_most.map_or(String::new(), |p| format!("; at most {p}"));
                lines.push(format!("not known: {}, {detail}{most}", view.member.name));
            }
            Some(Standing::Empty) => lines.push(format!("no data: {}", view.member.name)),
            Some(Standing::At { .. }) => {}
        }
    }
    lines
}
