//! May the members restore their saved view together, without any bootstrap?
//!
//! Galera promotes a restored view only when exactly its members are there and all say the same, and
//! waits without a time-out otherwise. So a member starts with its saved view only after it has seen
//! that all members of that view are back and say the same.

use super::bootstrap::{in_newest_incarnation, open_beginnings, tail_at, vanished};
use super::lineage::{Branches, Lineage, Tail, one_past};
use super::maintenance::{Mode, may_start};
use super::member::listed;
use super::observation::{MemberView, Observation, Phase};
use super::standing::Standing;
use crate::galera::gvwstate::SavedView;
use crate::galera::position::{OneHistory, Position};

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

    // A view of a minority may have been left behind by a bootstrap that was forced where nobody of us looks. A member
    // that remembers nothing would not know of that one.
    let expected = others.len() + 1;
    let witnesses = seen.iter().filter(|o| o.memory.is_witness()).count();
    if 2 * witnesses <= expected {
        return Restore::NotYet(format!(
            "{witnesses} of {expected} members are seen and remember the cluster's past, which is no majority"
        ));
    }
    // An order that holds members may be about to begin from one of them: a member that was left out of it for missing, and
    // comes back at this moment, must not go on by itself beside.
    if let Some((name, hold)) = seen.iter().find_map(|o| Some((&o.member.name, o.supervisor.present()?.hold.as_ref()?)))
    {
        return Restore::NotYet(format!("{name} is held by {}", hold.owner));
    }
    if let Some((name, why)) = others.iter().find_map(|v| Some((&v.member.name, v.why_alive()?))) {
        return Restore::NotYet(format!("{name} may be alive: {why}"));
    }
    if let Some((name, why)) = open_beginnings(&seen).pop() {
        return Restore::NotYet(format!("{name}: {why}"));
    }
    if own.memory.strange_to(view) {
        return Restore::NotYet("the saved view was made primary by hand, and nobody has recorded that".into());
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
    if let Some((name, theirs)) = partners.iter().find_map(|o| {
        let theirs = saved(o).filter(|v| !v.same_view(view))?;
        Some((&o.member.name, theirs))
    }) {
        // Numbers of one group only grow; whether it is one group, the numbers alone do not tell.
        let newer = if theirs.seq > view.seq { "a newer saved view" } else { "another saved view" };
        return Restore::NotYet(format!("{name} has {newer} than this member's"));
    }
    // A view from before a bootstrap that its members did not take part in must not become primary again.
    let lineage = match one_past(seen.iter().map(|o| &o.memory.lineage)) {
        Ok(lineage) => lineage,
        Err(Branches) => return Restore::NotYet("the members remember different incarnations".into()),
    };
    if let Some(behind) = partners.iter().find(|o| !in_newest_incarnation(o, &lineage)) {
        return Restore::NotYet(format!(
            "a later incarnation of the cluster is known than the one that {} was last in",
            behind.member.name
        ));
    }
    let mode = Mode::of(seen.iter().copied());
    if let Some(why) = partners.iter().find_map(|o| unfit(o, &mode)) {
        return Restore::NotYet(why);
    }
    let members: Vec<(&str, &str)> =
        others.iter().map(|v| (&*v.member.name, &*v.member.id)).chain([(&*own.member.name, &*own.member.id)]).collect();
    let vanished = vanished(&seen, &members);
    if let Some(why) = behind_others(&partners, view, &seen, expected, &vanished, &lineage) {
        return Restore::NotYet(why);
    }
    let positions = partners.iter().filter_map(|o| Some((o.member.name.clone(), o.position.position()?)));
    match OneHistory::of(positions) {
        Ok(_) => Restore::Together { members: partners.iter().map(|o| o.member.name.clone()).collect() },
        Err(_) => Restore::NotYet("the members of the saved view have different histories".into()),
    }
}

/// The members of these that can restore a saved view together, if any can.
pub fn restorable(views: &[MemberView]) -> Option<Vec<String>> {
    let mode = Mode::of(views.iter().filter_map(MemberView::seen));
    let with_view = views.iter().filter_map(MemberView::seen).filter(|o| o.disk.saved_view.present().is_some());
    with_view.into_iter().find_map(|own| {
        let others: Vec<MemberView> = views.iter().filter(|v| v.member.name != own.member.name).cloned().collect();
        match (unfit(own, &mode), may_restore(own, &others)) {
            (None, Restore::Together { members }) => Some(members),
            _ => None,
        }
    })
}

/// Why a member of the view cannot take part in a restore now.
fn unfit(partner: &Observation, mode: &Mode) -> Option<String> {
    let name = &partner.member.name;
    let Some(supervisor) = partner.supervisor.present() else {
        return Some(format!("the supervisor of {name} does not run"));
    };
    if partner.process.is_none()
        && let Err(why) = may_start(partner, mode)
    {
        return Some(format!("{name} does not start by itself: {why}"));
    }
    if !matches!(partner.position, Standing::At { .. }) {
        return Some(format!("the position of {name} is {}", partner.position));
    }
    match supervisor.phase {
        Phase::Waiting | Phase::Starting | Phase::Serving => None,
        Phase::Preparing | Phase::Recovering | Phase::Held | Phase::Stopping => {
            Some(format!("{name} is not ready: {}", supervisor.detail))
        }
    }
}

/// Whoever was not in the view may have more than all its members: Galera would not ask.
fn behind_others(
    partners: &[&Observation],
    view: &SavedView,
    seen: &[&Observation],
    expected: usize,
    vanished: &[(String, String)],
    lineage: &Lineage,
) -> Option<String> {
    let positions = || partners.iter().filter_map(|o| o.position.position());
    let furthest = positions().max_by_key(|p| p.seqno())?;
    // Not those that went on separately from an earlier incarnation: they are refused, and keep what they have.
    let of_this_past = |o: &&&Observation, at: Position| tail_at(o, at, lineage) == Tail::None;
    let ahead = seen.iter().find(|o| {
        let at = o.position.at_most().filter(|at| at.history() == furthest.history());
        at.is_some_and(|at| at.seqno() > furthest.seqno() && of_this_past(o, at))
    });
    if let Some(ahead) = ahead {
        return Some(format!("{} at {} is ahead of all members of the saved view", ahead.member.name, ahead.position));
    }
    let had_more = seen.iter().find_map(|o| {
        let had = o.memory.beyond(furthest)?;
        of_this_past(&o, had)
            .then(|| format!("{} had {had}, and no member of the saved view has that much", o.member.name))
    });
    if had_more.is_some() {
        return had_more;
    }
    // Known is where it stands, or that nothing is left of what it had.
    let told = seen.iter().filter(|o| o.position.at_most().is_some() || o.position.is_mixture()).count();
    let all_told = (told == expected && vanished.is_empty()) || partners.iter().any(|o| o.caught_up_with(view));
    (!all_told).then(|| {
        "not all members are seen with their data, and no member of the saved view was seen to have applied all that came before it"
            .into()
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::observation::File;
    use crate::cluster::situation::*;
    use crate::cluster::standing::Unknown;

    fn word(restore: Restore) -> String {
        match restore {
            Restore::Together { members } => members.join("+"),
            Restore::NotYet(why) => why,
            Restore::NoView => "no view".into(),
        }
    }

    #[test]
    fn k1_k12_k17_when_the_saved_view_is_restored() {
        let all = |n| down(n, 9).saved(view(n, 6, &[0, 1, 2]));
        let pair = |n| down(n, 9).saved(view(n, 7, &[0, 1]));
        let later = || remembering(&[(1, 0), (2, 5)]);
        for (own, others, expected, why) in [
            (all(0), vec![seen(all(1)), seen(all(2))], "mysql/0+mysql/1+mysql/2", "all are back and agree"),
            (
                all(0),
                vec![seen(running(1, 9).saved(view(1, 6, &[0, 1, 2]))), seen(all(2))],
                "mysql/0+mysql/1+mysql/2",
                "one was quicker",
            ),
            (pair(0), vec![seen(pair(1)), seen(all(2))], "mysql/0+mysql/1", "seed 000: the two of the newest view"),
            (
                pair(0),
                vec![seen(pair(1).caught_up()), silent(2)],
                "mysql/0+mysql/1",
                "whoever was not in the view is not needed",
            ),
            (
                pair(0),
                vec![seen(pair(1)), silent(2)],
                "not all members are seen with",
                "the third may have committed what they had only in memory when all lost power",
            ),
            (
                pair(0),
                vec![seen(pair(1).caught_up()), seen(down(2, 10))],
                "mysql/2 at",
                "the third has committed more than they wrote down",
            ),
            (
                pair(0).remembers(later()),
                vec![seen(pair(1).remembers(later()).caught_up()), seen(down(2, 10).remembers(remembering(&[(1, 0)])))],
                "mysql/0+mysql/1",
                "what went on separately, and is refused, counts for nothing",
            ),
            (all(2), vec![seen(pair(0)), seen(pair(1))], "mysql/0 has a newer saved view", "seed 000: the stale one"),
            (all(0), vec![seen(all(1)), silent(2)], "not seen: mysql/2", "one of the view is missing"),
            (all(0), vec![seen(all(1)), seen(down(2, 9))], "2 of them are back", "one has lost its view"),
            (
                all(0),
                vec![seen(all(1)), seen(all(2).caught_up()), silent(3), silent(4)],
                "mysql/0+mysql/1+mysql/2",
                "three of five are a majority",
            ),
            (
                pair(0),
                vec![seen(pair(1).caught_up()), silent(2), silent(3)],
                "2 of 4 members are seen",
                "half of them are none",
            ),
            (all(0), vec![seen(all(1).held()), seen(all(2))], "mysql/1 is held", "one is held"),
            (
                all(0),
                vec![seen(all(1).unknown(Unknown::NoPosition)), seen(all(2))],
                "the position of mysql/1",
                "a crash in a DDL: nil history",
            ),
            (all(0), vec![seen(all(1).of_history(5)), seen(all(2))], "different histories", "another history"),
            (
                all(0).saved(File::Garbled("empty".into())),
                vec![seen(all(1)), seen(all(2))],
                "no view",
                "an empty file is no view",
            ),
            (
                down(0, 9).saved(view(0, 4, &[0, 1])),
                vec![seen(down(1, 9).saved(view(1, 4, &[0, 1]))), seen(down(2, 9).remembers(later()))],
                "a later incarnation",
                "somebody was bootstrapped without them meanwhile",
            ),
            (
                down(0, 9).saved(view(0, 4, &[0, 1])),
                vec![seen(down(1, 9).saved(view(1, 4, &[0, 1]))), seen(down(2, 9).saved(view(2, 9, &[0, 1, 2])))],
                "mysql/0+mysql/1",
                "a higher number of a group before this one",
            ),
            (
                down(0, 9).saved(view(0, 8, &[0])),
                vec![silent(1), silent(2)],
                "no majority",
                "alone, and nobody is seen",
            ),
        ] {
            let found = word(may_restore(&own, &others));
            assert!(found.contains(expected), "{why}: {found}");
        }
    }
}
