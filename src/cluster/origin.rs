//! How did the primary component that a member is in come about? By what it did, not by one option of a command line:
//! a component that nobody of it can explain was begun by hand.

use super::lineage::{Lineage, one_past};
use super::memory::Companion;
use super::observation::Observation;
use super::primary::{Primaries, Primary, members_and_arbitrators, primaries};

/// Where a component came from, as one member of it finds by asking the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// This member knows, and this is what the others remember besides.
    Explained(Lineage),
    /// This member does not, and the others do: it was put among them by somebody's hand.
    Theirs(Lineage),
    /// Nobody in it does: somebody began it, in words; this member records it.
    BegunByHand(String),
    /// That cannot be told yet, and why.
    Unknown(String),
}

/// The primary component that this member is in, of all that are seen, by the members that it and the others list.
fn own_component(me: &str, seen: &[&Observation]) -> Option<Primary> {
    let is_mine = |p: &Primary| p.members.iter().any(|m| m == me);
    match primaries(seen.iter().copied()) {
        Primaries::None => None,
        Primaries::One(primary) => Some(primary).filter(is_mine),
        Primaries::Split(sides) => sides.into_iter().find(is_mine),
    }
}

/// The member `me`, and those that are in the very view that it is in. For some seconds members that were cut off go on to
/// report the view before, which has this one among them: what they remember is of another component by then.
fn in_its_view<'a>(me: &str, seen: &[&'a Observation]) -> Option<(&'a Observation, Vec<&'a Observation>)> {
    let own = seen.iter().find(|o| o.member.name == me).copied()?;
    own.wsrep.as_ref().filter(|w| w.is_primary())?;
    let shares = |o: &&&Observation| o.wsrep.as_ref().is_some_and(|w| w.is_primary()) && o.shares_view(own);
    Some((own, seen.iter().filter(|o| o.member.name != me).filter(shares).copied().collect()))
}

/// Asks for the member `me`, which is one of those that are seen.
pub fn origin(me: &str, seen: &[&Observation]) -> Origin {
    let Some((own, others)) = in_its_view(me, seen) else {
        return Origin::Unknown("this member is in no primary component any more".into());
    };
    let inside = || others.iter().chain([&own]);
    let pasts: Vec<Lineage> = others
        .iter()
        .filter(|o| !o.beginning_unrecorded())
        .map(|o| o.memory.lineage_as_primary())
        .filter(|past| !past.is_empty())
        .collect();
    let Ok(theirs) = one_past(&pasts) else {
        return Origin::Unknown("the others remember different pasts of this cluster".into());
    };
    let nobody_knows_any = inside().all(|o| o.memory.lineage_as_primary().is_empty());
    // A cluster that ran before this release looked after it has no past that anybody wrote down.
    if !own.beginning_unrecorded() || nobody_knows_any {
        return Origin::Explained(theirs);
    }
    if !theirs.is_empty() {
        return Origin::Theirs(theirs);
    }
    let (size, _) = members_and_arbitrators(inside().filter_map(|o| o.wsrep.as_ref()));
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if inside().count() < size {
        let why = "this member does not know how its component came about, and not all members of it are seen to tell";
        return Origin::Unknown(why.into());
    }
    // One records it, the others take it from there.
    let view = own.disk.saved_view.present();
    if size > 1 && !view.is_some_and(|v| v.represented_here()) {
        let why = "this component was begun by hand, and the member that represents it has not recorded that";
        return Origin::Unknown(why.into());
    }
    Origin::BegunByHand(how(own))
}

/// What shows that it was begun by hand.
fn how(own: &Observation) -> String {
    let started_here = own.process.as_ref().is_some_and(|p| own.memory.started(p));
    let promoted = own.disk.saved_view.present().is_some_and(|v| v.bootstrap);
    match &own.process {
        _ if promoted => "made primary with pc.bootstrap".into(),
        Some(process) if process.new_cluster => "found running with --wsrep-new-cluster".into(),
        Some(_) if started_here => "it left its group and began another one (wsrep_cluster_address)".into(),
        _ => "found running in a component of its own, which grew out of none that is remembered".into(),
    }
}

/// Who is in this member's component, as far as they are seen, or was a moment ago: whoever was with it once must not pass
/// for one that never was.
pub fn company(me: &str, seen: &[&Observation]) -> Vec<Companion> {
    let listed = own_component(me, seen).map(|p| p.members).unwrap_or_default();
    let shares = in_its_view(me, seen).map(|(_, others)| others).unwrap_or_default();
    let with_it = |o: &&&Observation| listed.contains(&o.member.name) || shares.iter().any(|s| s.member == o.member);
    let inside = seen.iter().filter(with_it);
    inside.map(|o| Companion { name: o.member.name.clone(), id: o.member.id.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::observation::ProcessMark;
    use crate::cluster::situation::*;

    fn word(origin: &Origin) -> String {
        match origin {
            Origin::Explained(theirs) => format!("explained, {}", theirs.incarnations().len()),
            Origin::Theirs(theirs) => format!("theirs, {}", theirs.incarnations().len()),
            Origin::BegunByHand(how) => format!("by hand: {how}"),
            Origin::Unknown(why) => format!("unknown: {why}"),
        }
    }

    #[test]
    // T2, T18, A6, A8: a beginning is known by what it did.
    fn t2_t18_a6_a8_how_a_component_came_about() {
        let one = |n, members: &[u32]| primary(n, 50, members).remembers(remembering(&[(1, 0)]));
        let two = |n, members: &[u32]| primary(n, 50, members).remembers(remembering(&[(1, 0), (2, 20)]));
        let nobody = |n, members: &[u32]| primary(n, 50, members).remembers(Default::default());
        let stray = |n, members: &[u32]| one(n, members).unexplained();
        let promoted = |o: crate::cluster::observation::Observation, n, members: &[u32]| {
            o.saved(view(n, 9, members)).with(|o| {
                if let crate::cluster::observation::File::Present(view) = &mut o.disk.saved_view {
                    view.bootstrap = true;
                }
            })
        };
        for (own, others, expected, why) in [
            (one(0, &[0, 1]), vec![two(1, &[0, 1])], "explained, 2", "an ordinary member"),
            (one(0, &[0]), vec![], "explained, 0", "alone, and it knows why"),
            (nobody(0, &[0, 1]), vec![nobody(1, &[0, 1])], "explained, 0", "new to all of this"),
            (nobody(0, &[0]).unexplained(), vec![], "explained, 0", "new to all of this, and alone"),
            (stray(0, &[0]), vec![], "by hand: found running in a component", "T2: begun with an empty address"),
            (stray(0, &[0]), vec![two(1, &[1])], "by hand: found", "T2: beside another one"),
            (
                stray(0, &[0]).with(|o| o.process.iter_mut().for_each(|p| p.new_cluster = true)),
                vec![],
                "by hand: found running with --wsrep-new-cluster",
                "T18: begun with the option",
            ),
            (
                stray(0, &[0]).with(|o| o.memory.runs(ProcessMark { pid: 9, started: 1 })),
                vec![],
                "by hand: it left its group",
                "T2: told another address while it ran",
            ),
            (stray(0, &[0, 1]), vec![two(1, &[0, 1])], "theirs, 2", "A8: put among the others by hand"),
            (stray(0, &[0, 1]), vec![], "unknown: this member does not know", "the other's agent is not seen"),
            (
                stray(0, &[0, 1]).saved(view(0, 3, &[0, 1])),
                vec![stray(1, &[0, 1])],
                "by hand: found",
                "all by hand: it represents the view",
            ),
            (
                stray(1, &[0, 1]).saved(view(1, 3, &[0, 1])),
                vec![stray(0, &[0, 1])],
                "unknown: this component was begun by hand",
                "all by hand: the other one records it",
            ),
            (promoted(one(0, &[0]), 0, &[0]), vec![], "by hand: made primary with pc.bootstrap", "promoted"),
            (
                promoted(one(2, &[2]), 2, &[2]),
                vec![two(0, &[0, 1, 2]), two(1, &[0, 1, 2])],
                "by hand: made primary with pc.bootstrap",
                "A6: promoted before the others have noticed that it is cut off",
            ),
            (
                one(0, &[0, 1, 2]),
                vec![one(1, &[0, 1, 2]), two(2, &[2])],
                "explained, 1",
                "nor is what that one remembers any past of theirs",
            ),
            (
                promoted(one(1, &[0, 1]), 1, &[0, 1]),
                vec![promoted(one(0, &[0, 1]), 0, &[0, 1])],
                "unknown: this component was begun by hand",
                "A6: whoever is in it knows that nobody told of it",
            ),
        ] {
            let me = own.member.name.clone();
            let seen: Vec<&Observation> = others.iter().chain([&own]).collect();
            let found = word(&origin(&me, &seen));
            assert!(found.starts_with(expected), "{why}: {found}");
        }
    }

    #[test]
    // N9: one view by the file that Galera writes of it, while SQL of both still lists the view before.
    fn n9_company_is_who_is_in_the_view_and_nobody_of_another_component() {
        let of = |n, members: &[u32], seq| primary(n, 50, members).saved(view(n, seq, members));
        let late = |n: u32| of(n, &[n], 9).saved(view(n, 9, &[0, 1]));
        let (a, b, c) = (late(0), late(1), of(2, &[2], 5));
        for (me, expected) in [("mysql/0", vec!["mysql/0", "mysql/1"]), ("mysql/2", vec!["mysql/2"])] {
            let found = company(me, &[&a, &b, &c]);
            let names: Vec<&str> = found.iter().map(|companion| companion.name.as_str()).collect();
            assert_eq!(names, expected, "{me}");
        }
    }
}
