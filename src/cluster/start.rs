//! How should this member start? Puts together the three answers: join, restore, bootstrap.

use std::fmt;

use super::bootstrap::{self, NoProof, Proof};
use super::join::{MayJoin, MayNotJoin, may_join};
use super::lineage::Lineage;
use super::member::{Member, listed};
use super::observation::{MemberView, Observation};
use super::primary::{Primaries, primaries};
use super::restore::{Restore, may_restore};
use super::standing::Standing;
use crate::galera::position::Position;
use crate::galera::uuid::Uuid;

/// What a stopped member should do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// Join the primary component.
    Join {
        /// Why that discards nothing.
        because: MayJoin,
        /// Who is in the component.
        members: Vec<String>,
        /// Its lineage, to be remembered with the join.
        lineage: Lineage,
        /// Where this member stands.
        position: Option<Position>,
    },
    /// Start with the saved view, together with the members named.
    Restore {
        /// The members of the view.
        members: Vec<String>,
    },
    /// Begin the very first cluster.
    Bootstrap(Proof),
    /// Wait; the sentence says for whom and why.
    Wait(String),
    /// Do not join; a person must decide.
    Refuse(MayNotJoin),
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |of: &[String]| listed(of.iter().map(String::as_str));
        match self {
            Start::Join { because, members, .. } => write!(f, "join {}: {because}", names(members)),
            Start::Restore { members } => {
                write!(f, "restore the saved view together: {} are back with the same view", names(members))
            }
            Start::Bootstrap(proof) => write!(f, "bootstrap: {proof}"),
            Start::Wait(why) => write!(f, "wait: {why}"),
            Start::Refuse(why) => write!(f, "refuse to join: {why}"),
        }
    }
}

impl Start {
    /// The newest incarnation of the component to be joined.
    pub fn joined_incarnation(&self) -> Option<Uuid> {
        match self {
            Start::Join { lineage, .. } => lineage.newest().map(|i| i.id),
            _ => None,
        }
    }
}

/// Decides for the stopped member `me`. First match wins.
pub fn decide(me: &Member, own: &Observation, others: &[MemberView]) -> Start {
    match primaries(others.iter().filter_map(MemberView::seen)) {
        // Two writers: whichever side this member joined, it would take part in the fork.
        Primaries::Split(sides) => {
            let sides = sides.into_iter().map(|p| p.members).collect();
            return Start::Wait(NoProof::SplitBrain(sides).to_string());
        }
        // Somebody is primary: join it, never bootstrap (G7).
        Primaries::One(primary) if primary.synced.is_empty() => {
            return Start::Wait(format!(
                "{} is primary, and no member of it is Synced yet to give state to this one",
                listed(primary.members.iter().map(String::as_str))
            ));
        }
        Primaries::One(primary) => {
            return match may_join(&own.position, &own.memory, &primary) {
                Ok(because) => Start::Join {
                    because,
                    members: primary.members,
                    lineage: primary.lineage,
                    position: own.position.position(),
                },
                Err(refusal) => Start::Refuse(refusal),
            };
        }
        Primaries::None => {}
    }
    // Nobody is primary: the cheapest way that decides nothing about data is the saved view.
    let restore = may_restore(own, others);
    if let Restore::Together { members } = restore {
        return Start::Restore { members };
    }
    // Nobody has data: the designated member begins (Q17).
    match bootstrap::first_deploy(me, own, others) {
        Ok(proof) => Start::Bootstrap(proof),
        Err(no) => Start::Wait(waits_for(own, others, &restore, &no)),
    }
}

/// Why nothing can be done, in one sentence: what is missing, from whom, and what a person can do.
fn waits_for(own: &Observation, others: &[MemberView], restore: &Restore, no: &NoProof) -> String {
    let unseen: Vec<String> =
        others.iter().filter_map(|v| Some(format!("{}: {}", v.member.name, v.why_unseen()?))).collect();
    let waiting = others.iter().filter_map(MemberView::seen);
    let standing: Vec<String> = waiting.map(|o| format!("{} {}", o.member.name, o.position)).collect();
    let mut why = match own.position {
        Standing::Empty => {
            format!("no primary component is seen, and this member has no data; {no}")
        }
        _ => format!("no primary component is seen; this member stands at {}", own.position),
    };
    if let Restore::NotYet(what) = restore {
        why.push_str(&format!("; {what}"));
    }
    for part in [("seen: ", standing), ("not seen: ", unseen)] {
        if !part.1.is_empty() {
            why.push_str(&format!("; {}{}", part.0, part.1.join(", ")));
        }
    }
    if own.position != Standing::Empty {
        why.push_str("; if it stays so: bosh run-errand bootstrap");
    }
    why
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::situation::*;
    use crate::galera::wsrep::{ClusterStatus, LocalState};

    #[test]
    fn g7_g8_g10_h12_how_a_member_starts() {
        let joining = primary(0, 9, &[0]).state(ClusterStatus::Primary, LocalState::Joining);
        let non_primary = primary(0, 9, &[0]).state(ClusterStatus::NonPrimary, LocalState::Initialized);
        let saved = |n| down(n, 9).saved(view(n, 6, &[0, 1, 2]));
        for (me, own, others, expected, why) in [
            (1, down(1, 9), vec![seen(primary(0, 9, &[0])), silent(2)], "join mysql/0", "a primary exists"),
            (1, empty(1), vec![seen(primary(0, 9, &[0])), silent(2)], "join mysql/0", "a fresh member"),
            (
                1,
                down(1, 12),
                vec![seen(primary(0, 9, &[0])), silent(2)],
                "refuse to join: AheadOfCluster",
                "it is ahead",
            ),
            (
                1,
                down(1, 9).of_history(5),
                vec![seen(primary(0, 9, &[0]))],
                "refuse to join: OtherHistory",
                "other data",
            ),
            (
                1,
                down(1, 9),
                vec![seen(joining), silent(2)],
                "wait: mysql/0 is primary, and no member",
                "it just begins",
            ),
            (
                1,
                down(1, 9),
                vec![seen(primary(0, 9, &[0])), seen(primary(2, 9, &[2]))],
                "wait: SplitBrain",
                "two writers",
            ),
            (0, saved(0), vec![seen(saved(1)), seen(saved(2))], "restore the saved view", "all are back"),
            (0, empty(0), vec![refused(1), refused(2)], "bootstrap: FirstDeploy", "the very first"),
            (2, down(2, 9), vec![silent(0), silent(1)], "not seen: mysql/0", "the old one comes first: it waits"),
            (1, down(1, 9), vec![seen(non_primary), silent(2)], "wait: no primary", "a live one without quorum"),
            (
                0,
                empty(0),
                vec![seen(down(1, 9)), seen(down(2, 9))],
                "wait: no primary component is seen, and this member has no data",
                "a new disk",
            ),
        ] {
            let found = decide(&member(me), &own, &others).to_string();
            assert!(found.contains(expected), "{why}: {found}");
        }
    }

    #[test]
    fn a_wait_says_for_whom_and_what_a_person_can_do() {
        let found = decide(&member(1), &down(1, 9), &[seen(down(0, 8)), silent(2)]).to_string();
        for words in
            ["stands at", "seen: mysql/0", "not seen: mysql/2: its agent does not answer", "bosh run-errand bootstrap"]
        {
            assert!(found.contains(words), "{words}: {found}");
        }
    }
}
