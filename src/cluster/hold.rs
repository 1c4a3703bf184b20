//! Holds and orders: how an errand takes members in hand without racing their supervisors.
//!
//! A hold is a promise of the member: "I do not start `mariadbd` except by this order". It has an
//! owner and an end, survives restarts of supervisor and VM, and is the fence without which nothing is
//! bootstrapped (H14). An order is one-shot: a bootstrap under it is consumed before `mariadbd` starts,
//! so that no retry and no restart can bootstrap twice (H12).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::bootstrap::{Proof, Rule};
use super::lineage::{Branches, Incarnation, Lineage, group_apart, one_past};
use crate::galera::position::Position;
use crate::galera::uuid::Uuid;

/// The longest that a hold may be asked for, in seconds.
pub const LONGEST_HOLD: u64 = 3600;

/// The order under which the routes for clients of Cloud Foundry's galera-agent act, the same on all members: those
/// clients know of none.
pub const COMPATIBLE: Uuid = Uuid::from_u128(0x6d61_7269_6164_4220_8000_0000_0000_0001);
/// Who holds then. The hold ends seconds after the client's last request.
pub const COMPATIBLE_OWNER: &str = "a client of /stop_mysql";

/// A granted hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hold {
    /// The order that holds; one per run of an errand.
    pub order: Uuid,
    /// Who, in words: `bootstrap errand on mysql/1`.
    pub owner: String,
    /// Why, in words.
    pub reason: String,
    /// When it ends, in seconds from the moment of asking; renewed by asking again.
    pub seconds: u64,
    /// Whether the order has bootstrapped this member: it never does so twice.
    #[serde(default)]
    pub bootstrapped: bool,
    /// Whether the order let this member start, by bootstrap or by join.
    #[serde(default)]
    pub started: bool,
}

/// How an order ended, kept for those who follow it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The order.
    pub order: Uuid,
    /// The exit code that its errand ended with.
    pub exit: u8,
    /// The errand's last sentence.
    pub text: String,
}

/// Why a hold or an order was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Another order holds this member.
    HeldByAnother(Hold),
    /// The order does not hold this member (any more).
    NotHeld,
    /// This order bootstrapped this member before.
    AlreadyBootstrapped,
    /// The duration makes no sense.
    BadDuration(u64),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::HeldByAnother(hold) => {
                write!(f, "held by {} (order {}) for {} s more: {}", hold.owner, hold.order, hold.seconds, hold.reason)
            }
            Refusal::NotHeld => f.write_str("not held by this order: hold the member first, or the hold has ended"),
            Refusal::AlreadyBootstrapped => {
                f.write_str("this order bootstrapped this member before; an order does so once")
            }
            Refusal::BadDuration(seconds) => {
                write!(f, "seconds: expected 1 to {LONGEST_HOLD}, found {seconds}")
            }
        }
    }
}

/// Asks for a hold, given the one there is (with the seconds that it has left; none once it ended).
/// Asking again under the same order renews it and keeps what it has done.
pub fn grant(current: Option<&Hold>, asked: Hold) -> Result<Hold, Refusal> {
    if !(1..=LONGEST_HOLD).contains(&asked.seconds) {
        return Err(Refusal::BadDuration(asked.seconds));
    }
    match current {
        Some(held) if held.order != asked.order => Err(Refusal::HeldByAnother(held.clone())),
        Some(held) => Ok(Hold { bootstrapped: held.bootstrapped, started: held.started, ..asked }),
        None => Ok(Hold { bootstrapped: false, started: false, ..asked }),
    }
}

/// Ends a hold. Ending one that is not there is already so, not an error.
pub fn release(current: Option<&Hold>, order: Uuid) -> Result<(), Refusal> {
    match current {
        Some(held) if held.order != order => Err(Refusal::HeldByAnother(held.clone())),
        _ => Ok(()),
    }
}

/// How an order starts a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderedStart {
    /// Join the primary component.
    Join,
    /// Begin a new incarnation here, `mariadbd` being down.
    Bootstrap,
    /// Begin a new incarnation here, in place: `mariadbd` lives without quorum.
    Promote,
}

/// From where an ordered incarnation begins, and why that is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    /// What makes this beginning different from any other: the incarnation's.
    pub id: Uuid,
    /// Where the member must stand; none where a person begins a new history with data that has no position.
    #[serde(default)]
    pub expect: Option<Position>,
    /// The proof in words, for the lineage.
    pub proof: String,
    /// Whether a person named the member: then a position that is only a bound is gone on from too.
    pub forced: bool,
    /// What that person left out knowingly.
    pub left_out: Vec<String>,
    /// The incarnations that it goes on from, as those tell them that were seen.
    pub past: Lineage,
}

impl Begin {
    /// As the proof says; none for the very first deploy, which no order carries out.
    pub fn by(proof: &Proof, id: Uuid) -> Option<Begin> {
        (proof.rule() != Rule::FirstDeploy).then(|| Begin {
            id,
            expect: proof.position(),
            proof: proof.to_string(),
            forced: proof.rule() == Rule::Forced,
            left_out: proof.left_out().to_vec(),
            past: proof.past().clone(),
        })
    }

    /// What this member begins by it, in the cluster of this name, and the past from which that goes on; `own` is what
    /// it remembers of that itself.
    pub fn incarnation(&self, by: &str, own: &Lineage, cluster: &str) -> (Incarnation, Lineage) {
        let past = one_past([own, &self.past]).unwrap_or_else(|Branches| own.clone());
        let (history, began_at) = self.expect.map_or((Uuid::NIL, 0), |at| (at.history(), at.seqno()));
        let next = past.next(self.id, history, began_at, by);
        let apart = || Some(group_apart(cluster, self.id));
        let incarnation = Incarnation {
            proof: self.proof.clone(),
            left_out: self.left_out.clone(),
            group: if self.left_out.is_empty() { next.group } else { apart() },
            ..next
        };
        (incarnation, past)
    }
}

/// Marks the hold as used for a start. The caller writes the result to disk *before* it starts
/// `mariadbd`.
pub fn consume(current: Option<&Hold>, order: Uuid, start: OrderedStart) -> Result<Hold, Refusal> {
    let held = current.filter(|hold| hold.order == order).ok_or(Refusal::NotHeld)?;
    match start {
        OrderedStart::Bootstrap | OrderedStart::Promote if held.bootstrapped => Err(Refusal::AlreadyBootstrapped),
        OrderedStart::Bootstrap | OrderedStart::Promote => {
            Ok(Hold { bootstrapped: true, started: true, ..held.clone() })
        }
        OrderedStart::Join => Ok(Hold { started: true, ..held.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(order: u128) -> Hold {
        Hold {
            order: Uuid::from_u128(order),
            owner: format!("errand {order}"),
            reason: "recovery".into(),
            seconds: 60,
            bootstrapped: false,
            started: false,
        }
    }

    #[test]
    fn h12_g9_one_order_holds_at_a_time_and_says_who() {
        let one = grant(None, hold(1)).unwrap();
        let refused = grant(Some(&one), hold(2)).unwrap_err();
        assert!(refused.to_string().contains("errand 1"), "{refused}");
        assert!(release(Some(&one), Uuid::from_u128(2)).is_err());
        assert!(release(Some(&one), Uuid::from_u128(1)).is_ok() && release(None, Uuid::from_u128(1)).is_ok());
        assert!(grant(None, hold(2)).is_ok(), "an ended hold is no hold");
    }

    #[test]
    fn a_bootstrap_is_consumed_and_survives_a_renewal() {
        let one = grant(None, hold(1)).unwrap();
        let used = consume(Some(&one), one.order, OrderedStart::Bootstrap).unwrap();
        let renewed = grant(Some(&used), hold(1)).unwrap();
        for again in [OrderedStart::Bootstrap, OrderedStart::Promote] {
            assert_eq!(consume(Some(&renewed), one.order, again), Err(Refusal::AlreadyBootstrapped));
        }
        assert!(consume(Some(&renewed), one.order, OrderedStart::Join).is_ok(), "a join may be tried again");
        assert_eq!(consume(None, one.order, OrderedStart::Bootstrap), Err(Refusal::NotHeld));
    }

    #[test]
    fn no_hold_is_without_end() {
        for seconds in [0, LONGEST_HOLD + 1] {
            assert!(grant(None, Hold { seconds, ..hold(1) }).is_err());
        }
    }
}
