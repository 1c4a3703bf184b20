//! Holding all members: the fence of the errand, and what elects a leader among several.

use std::time::Duration;

use anyhow::{Context, Result};

use super::Verdict;
use crate::agent::api::{self, HoldBody, OutcomeBody, ReleaseBody};
use crate::agent::client::Client;
use crate::cluster::hold::COMPATIBLE;
use crate::cluster::member::Member;
use crate::cluster::observation::{MemberView, Observation, Supervisor};
use crate::galera::uuid::Uuid;
use crate::host::random::random_uuid;

/// A hold ends by itself after this time; it is renewed while the errand lives.
pub(super) const LEASE: Duration = Duration::from_secs(30);
/// The owner's text begins with one of these, by which other runs know it.
pub(super) const ERRAND: &str = "bootstrap errand on ";
pub(super) const BY_ITSELF: &str = "automatic recovery by ";

/// The run that leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leader {
    pub(super) order: Uuid,
    pub(super) owner: String,
}

/// The run of the errand that holds this member.
pub(super) fn leader_of(view: &MemberView) -> Option<Leader> {
    let hold = supervisor(view)?.hold.as_ref()?;
    let leads = [ERRAND, BY_ITSELF].iter().any(|kind| hold.owner.starts_with(kind));
    leads.then(|| Leader { order: hold.order, owner: hold.owner.clone() })
}

/// What the supervisor of this member says.
pub(super) fn supervisor(view: &MemberView) -> Option<&Supervisor> {
    view.seen()?.supervisor.present()
}

/// Members, held by one order.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) order: Uuid,
    pub(super) members: Vec<Member>,
    owner: String,
}

/// What came of trying to hold all.
pub(super) enum Taken {
    /// All are held.
    Held(Held),
    /// Another run of the errand was first.
    ByAnother(Leader),
}

/// Holds the members one after the other, in the order of the configuration, which is the same for
/// all runs: so the one that gets the first member gets them all. Two runs that see different members may
/// each hold some; what proves a bootstrap needs a majority, or all, so only one of them can.
///
/// Whom a person `left_out` goes without where it cannot be held: its disk takes no write, say.
pub(super) fn take(
    client: &Client,
    members: &[Member],
    owner: &str,
    left_out: impl Fn(&Member) -> bool,
) -> Result<Taken> {
    let mut held = Held { order: random_uuid()?, members: Vec::new(), owner: owner.to_owned() };
    for member in members {
        let asked = held.ask(client, member).or_else(|refused| held.take_over(client, member).ok_or(refused));
        let Err(refused) = asked else {
            held.members.push(member.clone());
            continue;
        };
        let leader = client.observe(&[member]).first().and_then(leader_of);
        if leader.is_none() && left_out(member) {
            continue;
        }
        // What cannot be given back ends by itself.
        held.release(client, None);
        return match leader {
            Some(leader) => Ok(Taken::ByAnother(leader)),
            None => Err(refused.context("nothing was changed")),
        };
    }
    Ok(Taken::Held(held))
}

impl Held {
    fn ask(&self, client: &Client, member: &Member) -> Result<String> {
        let body = HoldBody {
            order: self.order,
            owner: self.owner.clone(),
            reason: "recovery of the cluster".into(),
            seconds: LEASE.as_secs(),
        };
        client.tell(member, api::HOLD, &body)
    }

    /// A person's errand need not wait for a client of Cloud Foundry's API, which may have ended half-way. What that
    /// began is seen by the look that follows, and nothing more can be begun under its order.
    fn take_over(&self, client: &Client, member: &Member) -> Option<String> {
        let by_a_person = self.owner.starts_with(ERRAND);
        let views = client.observe(&[member]);
        let hold = views.first().and_then(supervisor)?.hold.as_ref()?;
        if !by_a_person || hold.order != COMPATIBLE {
            return None;
        }
        client.tell(member, api::RELEASE, &ReleaseBody { order: COMPATIBLE, outcome: None }).ok()?;
        self.ask(client, member).ok()
    }

    /// Whether all held members are as wanted.
    pub(super) fn all(&self, views: &[MemberView], wanted: fn(&Observation) -> bool) -> bool {
        let mut held = views.iter().filter(|v| self.members.iter().any(|m| m.name == v.member.name));
        held.all(|v| v.seen().is_some_and(wanted))
    }

    /// Renews all holds.
    pub(super) fn renew(&self, client: &Client) -> Result<()> {
        for member in &self.members {
            self.ask(client, member).with_context(|| format!("the hold on {} could not be renewed", member.name))?;
        }
        Ok(())
    }

    /// Releases all, and leaves word how it ended, if it did. Returns the members that could not be released.
    pub(super) fn release(&self, client: &Client, verdict: Option<&Verdict>) -> Vec<String> {
        let outcome = verdict.map(|v| OutcomeBody { exit: v.exit.code(), text: v.text.clone() });
        let body = ReleaseBody { order: self.order, outcome };
        // Followers look for the outcome once no hold is left; the first member is the last to go.
        self.members
            .iter()
            .rev()
            .filter(|m| client.tell(m, api::RELEASE, &body).is_err())
            .map(|m| m.name.clone())
            .collect()
    }
}
