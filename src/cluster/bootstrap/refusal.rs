//! Why there is no proof. Each text is the sentence that the operator reads.

use std::fmt;

use crate::cluster::member::listed;
use crate::galera::position::Position;

/// Why there is no proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoProof {
    /// A primary component exists (G7).
    PrimaryExists(Vec<String>),
    /// Two primary components exist.
    SplitBrain(Vec<Vec<String>>),
    /// This member is not the designated first one.
    NotDesignated,
    /// A member has data, so this is no first deploy.
    HasData(String),
    /// A member was not seen; it may be primary or ahead (G10, G11).
    NotSeen(Vec<(String, String)>),
    /// A member is not seen, and something of it answers: it lives, and may be primary (G11).
    MayBeAlive(Vec<(String, String)>),
    /// A member's `mariadbd` runs.
    Running(Vec<String>),
    /// Members live without quorum, and not all in one component.
    Apart(Vec<String>),
    /// A member is not held, so it may start at any moment (H14).
    NotHeld(Vec<String>),
    /// A member's `galera-start` does not run, so nobody can keep it from being started, nor find its position.
    NoSupervisor(Vec<String>),
    /// A member's position is not known.
    PositionUnknown(Vec<(String, String)>),
    /// A member is empty now, and may have been ahead of all others.
    MayHaveLostData(Vec<String>),
    /// Whoever is ahead cannot be made primary by itself.
    AheadOfChoice(Vec<(String, String)>),
    /// The cluster had committed more than is found on any disk.
    FellBack {
        /// Who had how much.
        had: Vec<(String, Position)>,
        /// The most that is found.
        found: Position,
    },
    /// Members have data of different histories.
    DifferentHistories(Vec<(String, Position)>),
    /// Members went on separately from a common past: each has something that the other lacks.
    Diverged(String),
    /// No member has data.
    NoData,
    /// No member was alone in the last primary component when it left.
    NobodyLeftLast,
    /// Of the last primary view some members are missing, or were in another view since.
    ViewIncomplete,
    /// No member of the last primary view is known to have all that came before it.
    NotCaughtUp(Vec<(String, String)>),
    /// Members are of another cluster, by its name (a deploy is under way, or stale configuration).
    MembershipDiffers(Vec<String>),
    /// The member that a person named cannot be made primary.
    CannotForce(String),
    /// A person must accept what may be lost with these.
    MustAccept(Vec<(String, String)>),
}

impl fmt::Display for NoProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: &[String]| listed(names.iter().map(String::as_str));
        match self {
            NoProof::PrimaryExists(members) => write!(f, "a primary component exists: {}", list(members)),
            NoProof::SplitBrain(sides) => {
                let sides: Vec<String> = sides.iter().map(|side| list(side)).collect();
                write!(
                    f,
                    "SplitBrain: there are {} primary components ({}); choose one side, stop the other and keep its data",
                    sides.len(),
                    sides.join(" | ")
                )
            }
            NoProof::NotDesignated => f.write_str("this is not the designated first member"),
            NoProof::HasData(name) => write!(f, "{name} has data of a cluster, so this is no first deploy"),
            NoProof::NotSeen(members) => write!(
                f,
                "PartialKnowledge: not seen: {}; a member that is not seen may be primary or ahead",
                each(members)
            ),
            NoProof::MayBeAlive(members) => write!(
                f,
                "MayBeAlive: {}; a member that lives may be primary, and a second cluster beside it is never begun. Make its agent answer first; a person who knows better says --accept-alive",
                each(members)
            ),
            NoProof::Running(names) => write!(f, "mariadbd runs on {}", list(names)),
            NoProof::Apart(names) => write!(
                f,
                "AllNonPrimaryPartitioned: {} live without quorum, and not in one component; mend the network, Galera then merges them",
                list(names)
            ),
            NoProof::NotHeld(names) => write!(f, "not held: {}", list(names)),
            NoProof::NoSupervisor(names) => write!(
                f,
                "galera-start does not run on {}, so it can be neither held nor asked for its position; start it there: `monit start mariadb`",
                list(names)
            ),
            NoProof::PositionUnknown(members) => write!(f, "the position is not known of {}", each(members)),
            NoProof::MayHaveLostData(names) => write!(
                f,
                "{} has no data, and may have had more than all others before; no saved view shows that it was not part of the last primary component. If its disk can be had back, attach it",
                list(names)
            ),
            NoProof::AheadOfChoice(members) => {
                write!(f, "the furthest cannot be made primary by itself: {}", each(members))
            }
            NoProof::FellBack { had, found } => {
                let all: Vec<String> = had.iter().map(|(name, at)| format!("{name} had {at}")).collect();
                write!(
                    f,
                    "PositionFellBack: {}, and no disk has more than {found}: the disks, or innodb_flush_log_at_trx_commit, lost what was committed. A person decides to go on without it",
                    all.join(", ")
                )
            }
            NoProof::DifferentHistories(positions) => {
                let all: Vec<String> =
                    positions.iter().map(|(name, position)| format!("{name} at {position}")).collect();
                write!(
                    f,
                    "DivergentHistories: {}; these are different databases, and a person must choose",
                    all.join(", ")
                )
            }
            NoProof::Diverged(what) => write!(f, "Diverged: {what}; a person must choose"),
            NoProof::NoData => f.write_str("no member has data; there is nothing to recover"),
            NoProof::NobodyLeftLast => f.write_str("no member was the last to leave"),
            NoProof::ViewIncomplete => f.write_str("not all members of the last primary view are there"),
            NoProof::NotCaughtUp(members) => write!(
                f,
                "PartialKnowledge: not known: {}; the last primary view was formed without it, and ended before its members were seen to have applied all that came before",
                each(members)
            ),
            NoProof::MembershipDiffers(names) => write!(
                f,
                "MembershipConfigMismatch: {} is configured for a cluster of another name; wait for the deployment to finish, or `bosh recreate` what has the old configuration",
                list(names)
            ),
            NoProof::CannotForce(why) => f.write_str(why),
            NoProof::MustAccept(members) => {
                let words: Vec<String> = members.iter().map(|(name, _)| format!("--accept-missing {name}")).collect();
                write!(
                    f,
                    "not accepted: {}; what that may lose is only lost if you say {}",
                    each(members),
                    words.join(" ")
                )
            }
        }
    }
}

fn each(pairs: &[(String, String)]) -> String {
    pairs.iter().map(|(name, why)| format!("{name} ({why})")).collect::<Vec<_>>().join("; ")
}
