//! Who reaches whom: so that "it is not reached from here" and "nobody reaches it" differ (S5, S7, H10).

use serde::Serialize;

use crate::cluster::observation::{MemberView, PeerPorts, PortAnswer};

/// More columns do not fit a terminal; then only what is cut is told.
const WIDEST: usize = 7;

/// What one member's connects to another met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// Who connected.
    pub from: String,
    /// To whom.
    pub to: String,
    /// What its agent's port did.
    pub agent: PortAnswer,
    /// What its group port did.
    pub galera: PortAnswer,
}

/// All that is known.
pub fn of(views: &[MemberView]) -> Vec<Reach> {
    let told = |from: &str, p: &PeerPorts| Reach {
        from: from.to_owned(),
        to: p.name.clone(),
        agent: p.agent,
        galera: p.galera,
    };
    views
        .iter()
        .filter_map(MemberView::seen)
        .flat_map(|o| o.peers.iter().map(|p| told(&o.member.name, p)).collect::<Vec<_>>())
        .collect()
}

/// Among the members.
pub(super) fn among(views: &[MemberView]) -> Vec<String> {
    let all = of(views);
    let whole = |r: &&Reach| r.agent == PortAnswer::Open && r.galera == PortAnswer::Open;
    if !all.is_empty() && all.iter().all(|r| whole(&r)) {
        vec!["every member that is seen reaches every other, agent and group port".to_owned()]
    } else if views.len() <= WIDEST {
        matrix(views, &all)
    } else {
        all.iter().filter(|r| !whole(r)).map(|r| format!("{} -> {}: {}", r.from, r.to, words(r))).collect()
    }
}

/// Who is not reached by whoever looks.
pub(super) fn from_here(views: &[MemberView]) -> Vec<String> {
    views.iter().filter_map(not_from_here).collect()
}

fn not_from_here(view: &MemberView) -> Option<String> {
    let name = &view.member.name;
    match (&view.relayed_by, view.why_unseen()) {
        (Some(by), _) => Some(format!("here -> {name}: not reached; {by} reaches it, and passed its word on")),
        (None, Some(why)) => Some(format!("here -> {name}: {why}")),
        (None, None) => None,
    }
}

fn words(of: &Reach) -> String {
    let word = |answer| match answer {
        PortAnswer::Open => "open",
        PortAnswer::Refused => "refused",
        PortAnswer::Silent => "silent",
    };
    format!("agent {}, group port {}", word(of.agent), word(of.galera))
}

/// A row for who connects, a column for whom: agent's port, then group port. Instances are long names, and the
/// columns carry their number in the table's rows.
fn matrix(views: &[MemberView], all: &[Reach]) -> Vec<String> {
    let wide = views.iter().map(|v| v.member.name.chars().count()).max().unwrap_or_default().max(4);
    let cell = |text: &str| format!("  {text:<7.7}");
    let short = |name: &str| name.rsplit('/').next().map_or(name.to_owned(), |n| format!("->{n}"));
    let head: String = views.iter().map(|v| cell(&short(&v.member.name))).collect();
    let mut lines = vec![format!("{:wide$}{head}", "from").trim_end().to_owned()];
    for from in views {
        let row: String = views
            .iter()
            .map(|to| {
                let met = all.iter().find(|r| r.from == from.member.name && r.to == to.member.name);
                cell(&met.map_or("-".into(), |r| format!("{} {}", sign(r.agent), sign(r.galera))))
            })
            .collect();
        lines.push(format!("{:wide$}{row}", from.member.name).trim_end().to_owned());
    }
    lines.push("agent, then group port: ok, no (nobody listens), ?? (no answer), - not told".into());
    lines
}

fn sign(answer: PortAnswer) -> &'static str {
    match answer {
        PortAnswer::Open => "ok",
        PortAnswer::Refused => "no",
        PortAnswer::Silent => "??",
    }
}
