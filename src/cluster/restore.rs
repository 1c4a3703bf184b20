//! May the members restore their saved view together, without any bootstrap?
//!
//! Galera promotes a restored view only when exactly its members are there and all say the same, and
//! waits without a time-out otherwise. So a member starts with its saved view only after it has seen
//! that all members of that view are back and say the same.

use super::member::listed;
use super::observation::{MemberView, Observation, Phase};
use super::standing::Standing;
use crate::galera::gvwstate::SavedView;
use crate::galera::position::OneHistory;

/// What becomes of a saved view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restore {
    /// All its members are back and agree: start together.
    Together {
        /// Their names.
        members: Vec<String>,
    },
    /// Not now; the sentence says what is missing.
    NotYet(String),
    /// There is no saved view here.
    NoView,
}

/// Decides for the member `own`, given what it sees of the others.
pub fn may_restore(own: &Observation, others: &[MemberView]) -> Restore {
    let Some(view) = own.disk.saved_view.present() else {
        return Restore::NoView;
    };
    let seen: Vec<&Observation> = others.iter().filter_map(MemberView::seen).chain([own]).collect();
    let saved = |o: &&Observation| o.disk.saved_view.present().cloned();

    if let Some(newer) = seen.iter().find(|o| saved(o).is_some_and(|v| v.seq > view.seq)) {
        return Restore::NotYet(format!("{} has a newer saved view than this member's", newer.member.name));
    }
    let mut partners = Vec::new();
    for uuid in &view.members {
        let owners: Vec<&&Observation> =
            seen.iter().filter(|o| saved(o).is_some_and(|v| v.my_uuid.same_member(*uuid))).collect();
        match owners.as_slice() {
            [one] => partners.push(**one),
            [] => return Restore::NotYet(missing(view, &seen, others)),
            _ => {
                return Restore::NotYet(format!(
                    "{} claim the same place in the saved view",
                    names(owners.iter().map(|o| **o))
                ));
            }
        }
    }
    if let Some(different) = partners.iter().find(|o| !saved(o).is_some_and(|v| v.same_view(view))) {
        return Restore::NotYet(format!("{} saved another view than this member", different.member.name));
    }
    if let Some(why) = partners.iter().find_map(|o| unfit(o)) {
        return Restore::NotYet(why);
    }
    let positions = partners.iter().filter_map(|o| Some((o.member.name.clone(), o.position.position()?)));
    match OneHistory::of(positions) {
        Ok(_) => Restore::Together { members: partners.iter().map(|o| o.member.name.clone()).collect() },
        Err(_) => Restore::NotYet("the members of the saved view have different histories".into()),
    }
}

/// Why a member of the view cannot take part in a restore now.
fn unfit(partner: &Observation) -> Option<String> {
    let name = &partner.member.name;
    let Some(supervisor) = partner.supervisor.present() else {
        return Some(format!("the supervisor of {name} does not run"));
    };
    if let Some(hold) = &supervisor.hold {
        return Some(format!("{name} is held by {}", hold.owner));
    }
    if !matches!(partner.position, Standing::At { .. }) {
        return Some(format!("the position of {name} is {}", partner.position));
    }
    match supervisor.phase {
        Phase::Waiting | Phase::Starting => None,
        Phase::Serving => None,
        Phase::Preparing | Phase::Recovering | Phase::Held | Phase::Stopping => {
            Some(format!("{name} is not ready: {}", supervisor.detail))
        }
    }
}

fn missing(view: &SavedView, seen: &[&Observation], others: &[MemberView]) -> String {
    let found = seen.iter().filter(|o| o.disk.saved_view.present().is_some_and(|v| view.has(v.my_uuid))).count();
    let silent = listed(others.iter().filter(|v| v.seen().is_none()).map(|v| v.member.name.as_str()));
    let who = if silent.is_empty() { String::new() } else { format!("; not seen: {silent}") };
    format!("the saved view has {} members, and {found} of them are back with it{who}", view.members.len())
}

fn names<'a>(of: impl Iterator<Item = &'a Observation>) -> String {
    listed(of.map(|o| o.member.name.as_str()))
}
