//! What a person reads of maintenance.

use anyhow::Result;

use crate::agent::client::in_words;
use crate::cluster::diagnosis::{WarningCode, diagnose, wrapped};
use crate::cluster::maintenance::{Mode, Notice, Planned, Undone};
use crate::cluster::member::Cluster;
use crate::cluster::observation::MemberView;

/// Whether a member has it on its disk.
pub(super) struct Acknowledged {
    pub(super) member: String,
    pub(super) result: Result<()>,
}

impl Acknowledged {
    pub(super) fn is_so(&self) -> bool {
        self.result.is_ok()
    }
}

/// One line a member.
pub(super) fn acknowledged(all: &[Acknowledged]) -> String {
    let line = |a: &Acknowledged| match &a.result {
        Ok(()) => format!("  {} acknowledged", a.member),
        Err(e) => wrapped("  ", &format!("{} NOT acknowledged: {}", a.member, in_words(e))),
    };
    let mut lines: Vec<String> = all.iter().map(line).collect();
    if !all.iter().all(Acknowledged::is_so) {
        lines.push(wrapped(
            "",
            "A member that is away takes it over from the others once its agent reaches one of them.",
        ));
    }
    lines.join("\n")
}

pub(super) fn listed(undone: &[Undone]) -> String {
    undone.iter().map(|u| wrapped("  ", &u.to_string())).collect::<Vec<_>>().join("\n")
}

/// What would happen by itself.
pub(super) fn planned(plan: &[Planned]) -> String {
    if plan.is_empty() {
        return "Without maintenance nothing would happen by itself.".into();
    }
    let lines: Vec<String> = plan.iter().map(|p| wrapped("  ", &format!("{} would {}", p.member, p.what))).collect();
    format!("Without maintenance, by themselves:\n{}", lines.join("\n"))
}

/// Who says what, and what is to be known about it.
pub(super) fn status(cluster: &Cluster, views: &[MemberView]) -> String {
    let mode = Mode::of(views.iter().filter_map(MemberView::seen));
    let mut lines: Vec<String> = mode.notices().all().map(|n| wrapped("", &format!("{n}."))).collect();
    if lines.is_empty() {
        lines.push("Maintenance was never on.".into());
    }
    lines.extend(views.iter().map(|view| wrapped("  ", &format!("{}: {}", view.member.name, says(view)))));
    let ours =
        [WarningCode::MaintenanceExpired, WarningCode::MaintenanceInconsistent, WarningCode::UnfinishedOperation];
    let found = diagnose(cluster, views);
    let told = found.warnings.iter().filter(|w| ours.contains(&w.code));
    lines.extend(told.map(|w| wrapped("", &format!("warning {}: {}", w.code, w.sentence))));
    lines.join("\n")
}

fn says(view: &MemberView) -> String {
    let Some(seen) = view.seen() else { return format!("not seen: {}", view.why_unseen().unwrap_or_default()) };
    if let Some(why) = &seen.maintenance.unreadable {
        return format!("cannot be read, which counts as on: {why}");
    }
    let word = |n: &Notice| format!("{} {} (epoch {})", n.scope, if n.is_on() { "on" } else { "off" }, n.epoch);
    let words: Vec<String> = seen.maintenance.notices.all().map(word).collect();
    let permit = seen.supervisor.present().and_then(|s| s.stance.permit.as_ref());
    let permit = permit.map(|by| format!("; let start by {by}")).unwrap_or_default();
    if words.is_empty() { format!("no notice{permit}") } else { format!("{}{permit}", words.join(", ")) }
}
