//! May the arbitrator vote now? It has no data, so it has no position: it never counts as a member that has
//! something, and only its vote matters. It joins a primary component that members made, and goes once it would
//! be all that is left of one.
//!
//! Measured with Galera 26.4: garbd that is left without members after a crash is non-primary, and is taken in
//! again by whatever group of its name is begun. After an orderly stop of all members it stays *primary*, alone;
//! the members then begin a group that never merges with it, and later neither of the two gives way. So it must
//! not outlive the last member that leaves.

use serde::{Deserialize, Serialize};
use std::fmt;

use super::member::{Cluster, listed};
use super::observation::MemberView;
use super::primary::{Primaries, Primary, primaries};

/// Galera takes a member that it hears back in within seconds; one that is still outside of a primary component
/// after this many is not heard, or is of the past, and begins anew.
const GRACE: u64 = 30;

/// The component that garbd says it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// Whether it has a quorum.
    pub primary: bool,
    /// How many vote in it, garbd too.
    pub voters: u32,
}

impl Component {
    /// The last component that garbd's log tells of.
    pub fn last(log: &str) -> Option<Component> {
        const MARK: &str = "New COMPONENT: primary = ";
        let line = log.lines().rev().find(|line| line.contains(MARK))?;
        let (_, rest) = line.split_once(MARK)?;
        let voters = rest.split_once("memb_num = ")?.1.trim().parse().ok()?;
        Some(Component { primary: rest.starts_with("yes"), voters })
    }

    /// Whether it votes with members in a primary component.
    pub fn votes(self) -> bool {
        self.primary && self.voters > 1
    }
}

/// A garbd that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The name of its group.
    pub group: String,
    /// The component that it is in; none before the first.
    pub component: Option<Component>,
    /// For how many seconds that has been so.
    pub seconds: u64,
}

/// What is to be done, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arbitration {
    /// garbd does not run, and is not started.
    StayOut(String),
    /// It is started into this group.
    Join {
        /// The group's name.
        group: String,
        /// Whose primary component it joins.
        members: Vec<String>,
    },
    /// It goes on.
    Keep(String),
    /// It is stopped, gracefully: its vote goes with it.
    Leave(String),
}

impl fmt::Display for Arbitration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Arbitration::StayOut(why) => write!(f, "stay out: {why}"),
            Arbitration::Join { group, members } => {
                write!(f, "join {} in group {group}", listed(members.iter().map(String::as_str)))
            }
            Arbitration::Keep(why) => write!(f, "go on: {why}"),
            Arbitration::Leave(why) => write!(f, "leave: {why}"),
        }
    }
}

/// Decides, from what the members' agents say and what garbd itself says.
pub fn arbitrate(cluster: &Cluster, views: &[MemberView], own: Option<&Running>) -> Arbitration {
    let found = primaries(views.iter().filter_map(MemberView::seen));
    match own {
        None => outside(cluster, views, &found),
        Some(garbd) => inside(cluster, views, &found, garbd),
    }
}

fn outside(cluster: &Cluster, views: &[MemberView], found: &Primaries) -> Arbitration {
    let primary = match found {
        Primaries::One(primary) => primary,
        Primaries::None => {
            let why = "no primary component is seen; an arbitrator joins one, and never makes one";
            return Arbitration::StayOut(why.into());
        }
        Primaries::Split(_) => {
            return Arbitration::StayOut("there are two primary components; a person must choose".into());
        }
    };
    match primary.about_to_fall(views) {
        Some(why) => Arbitration::StayOut(why),
        None if primary.synced.is_empty() => {
            Arbitration::StayOut(format!("no member of the primary component is Synced yet ({})", names(primary)))
        }
        None => Arbitration::Join { group: group(cluster, views, primary), members: primary.members.clone() },
    }
}

fn inside(cluster: &Cluster, views: &[MemberView], found: &Primaries, garbd: &Running) -> Arbitration {
    let component = garbd.component;
    if component.is_some_and(Component::votes) {
        // Whoever it votes with may serve clients, seen from here or not: its going could cost them the quorum.
        return Arbitration::Keep("it votes in a primary component with members".into());
    }
    if component.is_some_and(|c| c.primary) {
        let why = "all members have left; alone it would be a primary component that nobody can join";
        return Arbitration::Leave(why.into());
    }
    match found {
        Primaries::One(primary) if group(cluster, views, primary) != garbd.group => Arbitration::Leave(format!(
            "its group is {}, and the primary component of {} is of group {}",
            garbd.group,
            names(primary),
            group(cluster, views, primary)
        )),
        Primaries::One(primary) if garbd.seconds >= GRACE && primary.about_to_fall(views).is_none() => {
            Arbitration::Leave(format!(
                "it has been outside of the primary component of {} for {} s, and begins anew",
                names(primary),
                garbd.seconds
            ))
        }
        Primaries::One(primary) => {
            Arbitration::Keep(format!("it is on its way into the primary component of {}", names(primary)))
        }
        Primaries::None | Primaries::Split(_) => {
            Arbitration::Keep("it has no quorum, and waits for members as they wait for it".into())
        }
    }
}

fn names(of: &Primary) -> String {
    listed(of.members.iter().map(String::as_str))
}

/// The name of the group that this component is: as its servers were started, which is the truth also where a
/// lineage is behind. A forced bootstrap gives the group a name of its own.
fn group(cluster: &Cluster, views: &[MemberView], of: &Primary) -> String {
    let started = views.iter().filter_map(MemberView::seen).filter(|o| of.members.contains(&o.member.name));
    let given = started.filter_map(|o| o.process.as_ref()).find_map(|p| p.group.clone());
    given.or_else(|| of.lineage.group().map(str::to_owned)).unwrap_or_else(|| cluster.name.clone())
}

/// What an arbitrator's agent says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArbitratorSeen {
    /// Its instance name.
    pub name: String,
    /// Its instance id.
    pub id: String,
    /// The component that garbd is in; none where it does not run, or has not found one yet.
    pub component: Option<Component>,
    /// The name of its group, where garbd runs.
    pub group: Option<String>,
    /// What it does, and why.
    pub detail: String,
}

/// What came of asking an expected arbitrator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArbitratorWord {
    /// The arbitrator.
    pub name: String,
    /// What it said.
    pub seen: Option<ArbitratorSeen>,
    /// Why there is no answer.
    pub why_unseen: Option<String>,
}

impl ArbitratorWord {
    /// Whether it says that it votes with members in a primary component.
    pub fn votes(&self) -> bool {
        self.seen.as_ref().and_then(|s| s.component).is_some_and(Component::votes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::situation::*;

    fn run(primary: bool, voters: u32, seconds: u64) -> Running {
        Running { group: "galera".into(), component: Some(Component { primary, voters }), seconds }
    }

    #[test]
    fn q13_h11_h12_when_an_arbitrator_votes() {
        let pair = |n| seen(primary(n, 9, &[0, 1]));
        let apart = |n| {
            seen(primary(n, 9, &[0, 1]).with(|o| {
                o.process = running(n, 9).process;
                o.process.as_mut().unwrap().group = Some("galera~abc123".into());
            }))
        };
        let joining = seen(
            primary(0, 9, &[0])
                .state(crate::galera::wsrep::ClusterStatus::Primary, crate::galera::wsrep::LocalState::Joining),
        );
        let both_down = || vec![seen(down(0, 9)), seen(down(1, 9))];
        let none = || vec![silent(0), silent(1)];
        let falling = || vec![seen(primary(0, 9, &[0, 1])), seen(down(1, 9))];
        let split = || vec![seen(primary(0, 9, &[0])), seen(primary(1, 9, &[1]))];
        for (views, own, expected, why) in [
            (vec![pair(0), pair(1)], None, "join mysql/0, mysql/1 in group galera", "the usual"),
            (vec![pair(0), silent(1)], None, "join mysql/0 in group galera", "one is seen, and it counts two"),
            (vec![apart(0), apart(1)], None, "in group galera~abc123", "a forced bootstrap gave the group a name"),
            (both_down(), None, "never makes one", "all are down: it is no reason to begin anything"),
            (none(), None, "never makes one", "nobody is seen"),
            (falling(), None, "its quorum is lost once Galera notices", "the component is gone already"),
            (vec![joining, seen(down(1, 9))], None, "no member of the primary component is Synced", "not settled"),
            (split(), None, "a person must choose", "two writers"),
            (vec![pair(0), pair(1)], Some(run(true, 3, 9)), "go on: it votes", "the usual"),
            (none(), Some(run(true, 2, 900)), "go on: it votes", "s1: that we see no agent takes nobody's quorum away"),
            (split(), Some(run(true, 2, 900)), "go on: it votes", "a person chooses"),
            (vec![apart(0), silent(1)], Some(run(true, 2, 900)), "go on: it votes", "mysql/1 may serve with it"),
            (both_down(), Some(run(true, 1, 0)), "leave: all members have left", "alone, and primary: measured"),
            (none(), Some(run(true, 1, 0)), "leave: all members have left", "its own word is enough"),
            (both_down(), Some(run(false, 1, 900)), "go on: it has no quorum", "after a crash of all: harmless"),
            (none(), Some(run(false, 1, 900)), "go on: it has no quorum", "cut off: it merges when healed"),
            (vec![pair(0), pair(1)], Some(run(false, 1, 5)), "on its way", "Galera takes it in by itself"),
            (vec![pair(0), pair(1)], Some(run(false, 1, 30)), "begins anew", "and if not, it begins anew"),
            (falling(), Some(run(false, 1, 30)), "on its way", "into what is gone already: no hurry"),
            (vec![apart(0), apart(1)], Some(run(false, 1, 0)), "leave: its group is galera", "the group has changed"),
            (
                vec![pair(0), pair(1)],
                Some(Running { component: None, ..run(false, 0, 40) }),
                "begins anew",
                "it never found anybody",
            ),
        ] {
            let found = arbitrate(&cluster(2), &views, own.as_ref()).to_string();
            assert!(found.contains(expected), "{why}: {found}");
        }
    }

    /// Galera lists an empty address for garbd, and counts it.
    fn with_a_vote(o: crate::cluster::observation::Observation) -> crate::cluster::observation::Observation {
        o.wsrep(|w| {
            w.incoming_addresses.push(',');
            w.cluster_size += 1;
        })
        .of(2)
    }

    #[test]
    fn q3_q13_its_vote_counts_and_it_is_no_member() {
        use crate::cluster::recovery::{Recovery, recovery};
        let both = cluster(2);
        let pair = |n| seen(with_a_vote(primary(n, 9, &[0, 1])));
        let Primaries::One(found) = primaries([pair(0), pair(1)].iter().filter_map(MemberView::seen)) else {
            panic!("one component");
        };
        assert_eq!((found.size, found.arbitrators), (2, 1));
        assert!(matches!(recovery(&both, &[pair(0), pair(1)]), Recovery::Healthy(_)));
        // Measured: without its vote, the member that died was told to wait for a loss of quorum that never came.
        let one_left = seen(with_a_vote(primary(0, 9, &[0])));
        let left = recovery(&both, &[one_left, seen(down_of(2, 1, 9))]);
        assert!(matches!(left, Recovery::PrimaryExists { .. }), "{left:?}");
        let dying = seen(primary(0, 9, &[0, 1]).of(2));
        assert!(matches!(recovery(&both, &[dying, seen(down_of(2, 1, 9))]), Recovery::UnderWay(_)));
    }

    #[test]
    fn g7_g10_an_arbitrator_that_votes_proves_a_primary_component_only_among_those_not_seen() {
        use crate::cluster::bootstrap::{Evidence, Fence, NoProof, proof};
        let word = |primary, voters| ArbitratorWord {
            name: "arbitrator/0".into(),
            seen: Some(ArbitratorSeen {
                name: "arbitrator/0".into(),
                id: "a".into(),
                component: Some(Component { primary, voters }),
                group: Some("galera".into()),
                detail: String::new(),
            }),
            why_unseen: None,
        };
        let told = |n, by: ArbitratorWord| seen(down_of(2, n, 9).with(|o| o.arbitrators.push(by)));
        let found = |views: &[MemberView]| {
            proof(&Evidence::of(&cluster(2), views, Fence::WouldHold)).map(|proof| proof.member().to_owned())
        };
        assert!(matches!(found(&[told(0, word(true, 2)), silent(1)]), Err(NoProof::PrimaryExists(_))), "mysql/1 lives");
        assert!(matches!(found(&[told(0, word(true, 1)), silent(1)]), Err(NoProof::NotSeen(_))), "it is alone");
        assert!(matches!(found(&[told(0, word(false, 2)), silent(1)]), Err(NoProof::NotSeen(_))), "no quorum");
        // It notices a death some seconds late, and a liar must not keep a cluster down for ever.
        assert_eq!(found(&[told(0, word(true, 3)), told(1, word(true, 3))]).unwrap(), "mysql/0");
    }

    #[test]
    fn the_component_is_the_last_that_garbd_tells_of() {
        let log = "x INFO: New COMPONENT: primary = yes, bootstrap = no, my_idx = 0, memb_num = 3\nINFO: y\n\
                   x INFO: New COMPONENT: primary = no, bootstrap = no, my_idx = 0, memb_num = 1\nINFO: z\n";
        assert_eq!(Component::last(log), Some(Component { primary: false, voters: 1 }));
        let first = log.lines().next().unwrap();
        assert_eq!(Component::last(first), Some(Component { primary: true, voters: 3 }));
        assert!(Component::last(first).unwrap().votes());
        assert_eq!(Component::last("INFO: nothing"), None);
    }
}
