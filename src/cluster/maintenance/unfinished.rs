//! What is half done: shown before maintenance is switched on (H4), and left to a person where it is forced on
//! in the middle (H5, M6).

use super::{Mode, Scope, Undone};
use crate::cluster::observation::{Child, MemberView, Observation, Phase, StartMode};
use crate::galera::wsrep::LocalState;

/// What members that the scope covers are in the middle of.
pub fn under_way(views: &[MemberView], scope: &Scope) -> Vec<Undone> {
    let covered = |o: &&Observation| match scope {
        Scope::Cluster => true,
        Scope::Member(name) => o.member.name == *name,
    };
    let seen = views.iter().filter_map(MemberView::seen).filter(covered);
    seen.filter_map(|o| Some(Undone { member: o.member.name.clone(), what: at(o)? })).collect()
}

/// What is left undone: what members in maintenance are in the middle of, and what was noted when it was forced
/// on of members that are not well again.
pub fn left_undone(views: &[MemberView], is_well: impl Fn(&str) -> bool) -> Vec<Undone> {
    let mode = Mode::of(views.iter().filter_map(MemberView::seen));
    let mut left: Vec<Undone> =
        under_way(views, &Scope::Cluster).into_iter().filter(|u| mode.over(&u.member).is_some()).collect();
    for noted in mode.notices().all().flat_map(|n| &n.undone) {
        if !is_well(&noted.member) && !left.iter().any(|u| u.member == noted.member) {
            left.push(Undone {
                what: format!("not well since maintenance began, when it was so: {}", noted.what),
                ..noted.clone()
            });
        }
    }
    left
}

/// What this member is in the middle of, if anything.
fn at(of: &Observation) -> Option<String> {
    let supervisor = of.supervisor.present();
    if let Some(hold) = supervisor.and_then(|s| s.hold.as_ref()) {
        return Some(format!("held by {}: {}", hold.owner, hold.reason));
    }
    match supervisor.map(|s| (s.phase, s.child.as_ref())) {
        Some((Phase::Stopping, _)) => return Some("mariadbd is being stopped".into()),
        Some((Phase::Starting, child)) if of.wsrep.is_none() => return Some(starting(of, child)),
        _ => {}
    }
    match (&of.wsrep, &of.process) {
        (Some(wsrep), _) if wsrep.is_primary() => match wsrep.local_state {
            LocalState::Joining | LocalState::Joined => Some("it joins, and has not caught up".into()),
            LocalState::Donor if !wsrep.desync => Some("it gives its state to another member, or to a backup".into()),
            _ => None,
        },
        (None, None) if of.memory.joining.is_some() => Some("its join began, and has not ended in Synced".into()),
        (None, None) if of.memory.founding => {
            Some("the very first bootstrap began here, and has not ended in Synced".into())
        }
        _ => None,
    }
}

fn starting(of: &Observation, child: Option<&Child>) -> String {
    let transfer = of.process.as_ref().is_some_and(|p| p.state_transfer);
    match child.map(|c| c.mode) {
        _ if transfer => "it receives a full copy (SST)",
        Some(StartMode::Bootstrap) => "it begins a new incarnation, and has not opened SQL",
        Some(StartMode::RestoreView) => "it restores its saved view, and has not opened SQL",
        Some(StartMode::Join) => "it joins, and has not opened SQL",
        Some(StartMode::Adopted) | None => "mariadbd runs, and has not opened SQL",
    }
    .into()
}
