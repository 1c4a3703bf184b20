//! May a member be bootstrapped, and what is the proof? This is the only place that answers.
//!
//! A [`Proof`] can be made by the rules in this folder only; whatever makes a member primary without Galera's
//! own arithmetic takes one, or an order whose sender had to have one.
//!
//! | rule | holds when |
//! |---|---|
//! | [`first_deploy`] | no member has data, and this is the designated first one |
//! | [`every_member_seen`] | every expected member is seen and fenced: the maximum is the maximum |
//! | [`last_to_leave`] | this member was alone in the last primary component, and left it |
//! | [`last_view_complete`] | all members of the last primary view are there, so nobody else went on |
//! | [`forced`] | a person named the member, and what is knowingly left out |

mod choice;
mod every_member_seen;
mod evidence;
mod first_deploy;
mod forced;
mod last_to_leave;
mod last_view_complete;
mod refusal;
mod weighed;

use std::fmt;

pub use self::evidence::{Evidence, Fence, in_newest_incarnation, open_beginnings, tail_at, vanished};
pub use self::first_deploy::first_deploy;
pub use self::forced::{Force, forced, suggested_force};
pub use self::refusal::NoProof;
use self::weighed::Weighed;
use crate::cluster::lineage::Lineage;
use crate::galera::position::Position;

/// That making this member primary loses nothing, or nothing but what a person left out knowingly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    rule: Rule,
    member: String,
    position: Option<Position>,
    way: Way,
    past: Lineage,
    notes: Vec<String>,
    left_out: Vec<String>,
}

/// The rules by which a bootstrap is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// No member has data; the designated one begins.
    FirstDeploy,
    /// Every expected member was seen: the maximum is the maximum.
    EveryMemberSeen,
    /// The others left before this member did, in order.
    LastToLeave,
    /// All members of the last primary view are there: whoever is missing was not part of it.
    LastViewComplete,
    /// A person named the member.
    Forced,
}

/// How the member becomes primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// `mariadbd` is down on it, and is started with `--wsrep-new-cluster`.
    Bootstrap,
    /// `mariadbd` lives without quorum, and is promoted in place: no restart, a warm buffer pool (H7).
    Promote,
}

impl Proof {
    /// The rule.
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// The member that may become primary.
    pub fn member(&self) -> &str {
        &self.member
    }

    /// Where it stands; none at the very first deploy.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// How.
    pub fn way(&self) -> Way {
        self.way
    }

    /// The incarnations that the new one goes on from: the member itself may not have heard of all.
    pub fn past(&self) -> &Lineage {
        &self.past
    }

    /// What a person should know besides.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What a person knowingly left out, and what may be lost with it.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let member = &self.member;
        let at = self.position.map(|p| format!(" at {p}")).unwrap_or_default();
        match self.rule {
            Rule::FirstDeploy => write!(f, "FirstDeploy: no member has data, and {member} is the designated first"),
            Rule::EveryMemberSeen => {
                write!(f, "EveryMemberSeen: all members are seen, and none is ahead of {member}{at}")
            }
            Rule::LastToLeave => {
                write!(f, "LastToLeave: {member}{at} was the last to leave, after all others had left")
            }
            Rule::LastViewComplete => write!(
                f,
                "LastViewComplete: all members of the last primary view are there, so nobody went on without them, and none is ahead of {member}{at}"
            ),
            Rule::Forced => write!(f, "Forced: a person chose {member}{at}"),
        }?;
        match self.left_out.as_slice() {
            [] => Ok(()),
            left_out => write!(f, "; left out: {}", left_out.join("; ")),
        }
    }
}

/// The proof that there is, by the first rule that gives one: whom may an errand, or a member by itself,
/// make primary? Otherwise why not, in the words of the rule that asks for the least knowledge of files.
pub fn proof(evidence: &Evidence) -> Result<Proof, NoProof> {
    evidence.nobody_serves()?;
    evidence.nobody_else_lives()?;
    evidence.all_in_hand()?;
    evidence.no_beginning_is_open()?;
    let weighed = Weighed::of(evidence)?;
    let no = match every_member_seen::every_member_seen(&weighed) {
        Ok(proof) => return Ok(proof),
        Err(no) => no,
    };
    let fewer = last_to_leave::last_to_leave(&weighed).or_else(|_| last_view_complete::last_view_complete(&weighed));
    fewer.map_err(|last| if matches!(last, NoProof::NotCaughtUp(_)) { last } else { no })
}

#[cfg(test)]
mod tests;
