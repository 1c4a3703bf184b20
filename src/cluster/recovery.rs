//! What brings a cluster back that has no primary component, given what is seen: the same answer for the
//! members themselves, the errand, and whoever only asks. Cheapest first.

use super::bootstrap::{Evidence, Fence, NoProof, Proof, proof};
use super::maintenance::{Mode, may_start};
use super::member::{Cluster, listed};
use super::observation::{MemberView, Observation, Phase};
use super::primary::{Primaries, Primary, primaries};
use super::restore::restorable;

/// So many seconds Galera's view must have been the same before several live members count as left without
/// quorum: longer than `evs.inactive_timeout` (Q15), and Galera merges what can be merged within 10 s by itself.
/// A survivor alone has nobody to merge with.
pub const SETTLED_VIEW: u64 = 20;

/// What brings the cluster back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovery {
    /// All expected members are Synced in one primary component.
    Healthy(Primary),
    /// A primary component exists: nothing is bootstrapped. Who is out of it, and why.
    PrimaryExists {
        /// The component.
        primary: Primary,
        /// The members that are not Synced in it.
        out: Vec<(String, String)>,
    },
    /// Something is under way that ends by itself; what.
    UnderWay(String),
    /// This member may become primary, and the others join it.
    Begin(Proof),
    /// Not by itself: it would not be safe, or cannot be known to be safe.
    Refuse(NoProof),
}

/// Decides. `views` has all expected members, the one that asks included.
pub fn recovery(cluster: &Cluster, views: &[MemberView]) -> Recovery {
    let seen = || views.iter().filter_map(MemberView::seen);
    match primaries(seen()) {
        Primaries::Split(sides) => {
            return Recovery::Refuse(NoProof::SplitBrain(sides.into_iter().map(|p| p.members).collect()));
        }
        Primaries::One(primary) => {
            if let Some(why) = primary.about_to_fall(views) {
                return Recovery::UnderWay(why);
            }
            // Or in two, of which one has not noticed yet.
            if primary.changing && !primary.branches.is_empty() {
                let who = listed(primary.branches.iter().map(String::as_str));
                return Recovery::UnderWay(format!(
                    "{who} report one primary component, and remember different incarnations"
                ));
            }
            let out: Vec<(String, String)> = views
                .iter()
                .filter(|v| !primary.synced.contains(&v.member.name))
                .map(|v| (v.member.name.clone(), why_out(v)))
                .collect();
            let whole = out.is_empty() && usize::try_from(primary.size).is_ok_and(|n| n == cluster.members.len());
            return if whole { Recovery::Healthy(primary) } else { Recovery::PrimaryExists { primary, out } };
        }
        Primaries::None => {}
    }
    if let Some(members) = restorable(views).filter(|members| !in_vain(views, members)) {
        let names = listed(members.iter().map(String::as_str));
        return Recovery::UnderWay(format!("{names} restore their saved view together"));
    }
    let alone = seen().filter(|o| o.lives_without_quorum()).count() == 1;
    let busy: Vec<String> = seen().filter_map(|o| busy(o, alone)).collect();
    if !busy.is_empty() {
        return Recovery::UnderWay(busy.join("; "));
    }
    match proof(&Evidence::of(cluster, views, Fence::WouldHold)) {
        Ok(proof) => Recovery::Begin(proof),
        Err(no) => Recovery::Refuse(no),
    }
}

/// Whether the members of a saved view have been together without quorum for so long that Galera will not restore it:
/// an arbitrator was in that view too, say, and is another one by now.
fn in_vain(views: &[MemberView], members: &[String]) -> bool {
    let of = |name: &String| views.iter().find(|v| v.member.name == *name).and_then(MemberView::seen);
    members.iter().all(|name| {
        of(name).is_some_and(|o| {
            let seconds = o.supervisor.present().and_then(|s| s.view_seconds);
            o.lives_without_quorum() && seconds.is_some_and(|s| s >= SETTLED_VIEW)
        })
    })
}

/// What this member is at, where that ends by itself within a bound.
fn busy(of: &Observation, alone: bool) -> Option<String> {
    let supervisor = of.supervisor.present()?;
    let name = &of.member.name;
    if of.looks_again_soon() {
        return Some(format!("the position of {name} was not found, and is looked for again: {}", of.position));
    }
    match supervisor.phase {
        Phase::Recovering if of.looks_in_vain() => None,
        Phase::Preparing | Phase::Recovering | Phase::Starting | Phase::Stopping => {
            Some(format!("{name}: {}", supervisor.detail))
        }
        Phase::Serving if of.wsrep.is_none() => {
            Some(format!("mariadbd of {name} serves or served, and its SQL does not answer: it may be primary"))
        }
        Phase::Serving if !alone && supervisor.view_seconds.is_none_or(|s| s < SETTLED_VIEW) => {
            Some(format!("{name} lost its quorum less than {SETTLED_VIEW} s ago, and Galera may merge by itself"))
        }
        Phase::Serving | Phase::Waiting | Phase::Held => None,
    }
}

/// The members that are on their way into an existing primary component: their supervisors run, nobody
/// holds them, and neither their data nor maintenance forbids their join.
pub fn joiners(cluster: &Cluster, views: &[MemberView]) -> Vec<String> {
    let Recovery::PrimaryExists { out, .. } = recovery(cluster, views) else { return Vec::new() };
    let mode = Mode::of(views.iter().filter_map(MemberView::seen));
    let coming = |name: &String| {
        let seen = views.iter().find(|v| v.member.name == *name)?.seen()?;
        let supervisor = seen.supervisor.present()?;
        let starts = seen.process.is_some() || may_start(seen, &mode).is_ok();
        (supervisor.hold.is_none() && supervisor.refused.is_none() && starts).then_some(())
    };
    out.into_iter().map(|(name, _)| name).filter(|name| coming(name).is_some()).collect()
}

fn why_out(view: &MemberView) -> String {
    match view.seen() {
        None => view.why_unseen().unwrap_or_default(),
        Some(o) => match (&o.wsrep, o.supervisor.present()) {
            (Some(wsrep), _) => format!("Galera says {}", wsrep.local_state_comment),
            (None, Some(supervisor)) => supervisor.detail.clone(),
            (None, None) => "galera-start does not run".into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::situation::*;
    use crate::cluster::standing::Unknown;
    use crate::galera::wsrep::{ClusterStatus, LocalState};

    fn word(recovery: Recovery) -> String {
        match recovery {
            Recovery::Healthy(_) => "healthy".into(),
            Recovery::PrimaryExists { out, .. } => {
                format!("primary, out: {}", out.into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(" "))
            }
            Recovery::UnderWay(what) => format!("under way: {what}"),
            Recovery::Refuse(no) => no.to_string(),
            Recovery::Begin(proof) => format!("begin {} ({:?})", proof.member(), proof.way()),
        }
    }

    #[test]
    fn s1_s3_s11_s17_h6_h11_what_brings_a_cluster_back() {
        let three = |n| primary(n, 9, &[0, 1, 2]);
        let pair = |n| primary(n, 9, &[0, 1]);
        let in_vain = |n| down(n, 9).unfound_after(4).phase(Phase::Recovering);
        let looking = |n| down(n, 9).unknown(Unknown::NotLookedYet).phase(Phase::Recovering);
        let saved = |n| down(n, 9).saved(view(n, 6, &[0, 1]));
        let alive = |n, seconds| {
            let o = primary(n, 9, &[n]).state(ClusterStatus::NonPrimary, LocalState::Initialized);
            o.phase(Phase::Serving).view_for(seconds)
        };
        let two = |n, seconds| {
            let o = primary(n, 9, &[1, 2]).state(ClusterStatus::NonPrimary, LocalState::Initialized);
            o.phase(Phase::Serving).view_for(seconds)
        };
        let together = |seconds| -> Vec<MemberView> {
            let of = |n| {
                let o =
                    three(n).state(ClusterStatus::NonPrimary, LocalState::Initialized).saved(view(n, 6, &[0, 1, 2]));
                seen(o.phase(Phase::Serving).view_for(seconds))
            };
            vec![of(0), of(1), of(2)]
        };
        for (views, expected, why) in [
            (together(5), "under way: mysql/0, mysql/1, mysql/2 restore", "Galera merges the members of a view"),
            (together(20), "begin mysql/0 (Promote)", "and where it does not, nobody waits for ever"),
            (vec![seen(three(0)), seen(three(1)), seen(three(2))], "healthy", "all well"),
            (vec![seen(pair(0)), seen(pair(1)), seen(down(2, 9))], "primary, out: mysql/2", "one is out"),
            (
                vec![
                    seen(three(0)),
                    seen(three(1)),
                    seen(primary(2, 12, &[2]).remembers(remembering(&[(1, 0), (9, 9)]))),
                ],
                "under way: mysql/0, mysql/1, mysql/2 report one",
                "u9: one was promoted apart a moment ago, and the others have not noticed",
            ),
            (
                vec![seen(pair(0)), seen(pair(1)), silent(2)],
                "primary, out: mysql/2",
                "one is not seen: not our business",
            ),
            (vec![seen(down(0, 9)), seen(down(1, 11)), seen(down(2, 10))], "begin mysql/1 (Bootstrap)", "all down"),
            (
                vec![seen(saved(0)), seen(saved(1)), seen(down(2, 9))],
                "under way: mysql/0, mysql/1 restore",
                "the saved view needs no new incarnation, so it comes first",
            ),
            (
                vec![seen(saved(0)), seen(saved(1)), seen(down(2, 11))],
                "begin mysql/2 (Bootstrap)",
                "unless another member is ahead of all of that view",
            ),
            (
                vec![seen(running(0, 9)), seen(down(1, 8)), seen(down(2, 7))],
                "under way: mysql/0",
                "one waits before SQL",
            ),
            (
                vec![seen(looking(0)), seen(down(1, 8)), seen(down(2, 7))],
                "under way: mysql/0",
                "one is still recovering",
            ),
            (
                vec![seen(down(0, 9).unfound_after(3)), seen(down(1, 8)), seen(down(2, 7))],
                "under way: the position of mysql/0",
                "s5: what prevented it may be over in a moment",
            ),
            (
                vec![seen(in_vain(0)), seen(down(1, 8)), seen(down(2, 7))],
                "the position is not known of mysql/0",
                "t1: it tries again what failed before, and nobody waits for that",
            ),
            (
                vec![seen(down(0, 9)), seen(two(1, 5)), seen(two(2, 5))],
                "under way: mysql/1 lost its quorum",
                "Galera may mend it by itself",
            ),
            (vec![seen(down(0, 9)), seen(two(1, 20)), seen(two(2, 20))], "begin mysql/1 (Promote)", "it did not"),
            (
                vec![seen(down(0, 9)), seen(down(1, 9)), seen(alive(2, 0))],
                "begin mysql/2 (Promote)",
                "nobody to merge with",
            ),
            (vec![seen(down(0, 9)), silent(1), seen(down(2, 9))], "PartialKnowledge", "one is not seen"),
            (
                vec![seen(down(0, 9)), seen(running(1, 3).phase(Phase::Serving)), seen(down(2, 9))],
                "under way: mariadbd of mysql/1 serves or served",
                "s9: a primary whose SQL is silent for a moment is not stopped",
            ),
            (vec![silent(0), silent(1), silent(2)], "PartialKnowledge", "nobody is seen: maybe it is us"),
            (
                vec![seen(down(0, 9).unknown(Unknown::NoPosition)), seen(down(1, 9)), seen(down(2, 9))],
                "not known",
                "cannot become known",
            ),
            (vec![seen(primary(0, 9, &[0])), seen(primary(1, 9, &[1])), seen(down(2, 9))], "SplitBrain", "two writers"),
        ] {
            let found = word(recovery(&cluster(3), &views));
            assert!(found.contains(expected), "{why}: {found}");
        }
    }

    #[test]
    fn only_members_that_can_come_are_waited_for() {
        let pair = |n| primary(n, 9, &[0, 1]);
        let coming = |third: Observation| joiners(&cluster(3), &[seen(pair(0)), seen(pair(1)), seen(third)]);
        assert_eq!(coming(down(2, 9)), ["mysql/2"]);
        assert!(coming(down(2, 9).held()).is_empty());
        assert!(joiners(&cluster(3), &[seen(pair(0)), seen(pair(1)), silent(2)]).is_empty());
    }
}
