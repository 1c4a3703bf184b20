//! May this member leave now? The gate of a drain: it protects a primary component that clients use, and
//! nothing else.
//!
//! A member that leaves gracefully takes its vote along, so the others stay primary, down to one. What it
//! must not do is to leave while others are out for reasons of their own: the rest would be one failure
//! away from an outage, or in one already, for Galera needs seconds to notice that a member died.

use std::fmt;

use super::join::may_join;
use super::maintenance::Mode;
use super::memory::Memory;
use super::observation::{MemberView, Observation, Phase, Sql};
use super::primary::{Primaries, primaries};
use super::standing::Standing;
use crate::galera::wsrep::{LocalState, Wsrep};

/// What the director is about to do beyond the stop, as BOSH tells `pre-stop`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Intent {
    /// The deployment is being deleted: all members leave at once, and nobody is served any more.
    pub deployment_deleted: bool,
    /// This instance is taken away for good: it is no longer one of those whose majority counts.
    pub instance_deleted: bool,
}

/// Why a member may leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Free {
    /// The deployment is being deleted.
    DeploymentDeleted,
    /// It is in no primary component, so there is none to protect here.
    NotPrimary,
    /// A person works on the cluster, and answers for it.
    Maintenance,
    /// There are two primary components, and one must be stopped: which, a person decides.
    SplitBrain,
    /// There is no other member to leave behind.
    OnlyMember,
    /// These serve on; none of the others is out for a reason of its own.
    Others(Vec<String>),
    /// All others have left in order, or are leaving: the whole cluster is being stopped.
    LastOfAll,
}

impl fmt::Display for Free {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Free::DeploymentDeleted => f.write_str("the deployment is being deleted"),
            Free::NotPrimary => f.write_str("this member is in no primary component"),
            Free::Maintenance => f.write_str("maintenance is on: whoever switched it on answers for the rest"),
            Free::SplitBrain => f.write_str("there are two primary components, and one of them must be stopped"),
            Free::OnlyMember => f.write_str("it is the only member"),
            Free::Others(names) => write!(f, "{} serve on", names.join(", ")),
            Free::LastOfAll => f.write_str("all others have left in order: the whole cluster is being stopped"),
        }
    }
}

/// Why a member may not leave (yet).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotNow {
    /// The others could not do without it.
    Others(Others),
    /// Its disk is taken away with it, and nobody who stays is known to have all that is on it.
    OnlyCopy {
        /// Where it stands.
        position: Standing,
        /// Why the others are not known to have it.
        because: String,
    },
}

impl NotNow {
    /// Whether it is only a matter of waiting for a state transfer.
    pub fn passes(&self) -> bool {
        match self {
            NotNow::Others(others) => others.unwell.is_empty() && others.unseen.is_empty(),
            NotNow::OnlyCopy { .. } => false,
        }
    }
}

impl fmt::Display for NotNow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotNow::Others(others) => write!(f, "it would leave {} serving; {others}", others.serving.len()),
            NotNow::OnlyCopy { position, because } => {
                write!(f, "its disk would be deleted, and what is on it ({position}) may be nowhere else: {because}")
            }
        }
    }
}

/// How the other members are, as one member sees them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Others {
    /// They serve, in the primary component.
    pub serving: Vec<String>,
    /// They left in order, or are leaving; or they serve, and are to be deleted.
    pub left: Vec<String>,
    /// They are receiving their state: this passes by itself.
    pub joining: Vec<String>,
    /// They are seen, and do not serve, each with its reason.
    pub unwell: Vec<String>,
    /// Nothing is known of them, each with what was met.
    pub unseen: Vec<String>,
}

impl Others {
    /// How the others are, as this member sees them.
    pub fn seen_by(own: &Observation, others: &[MemberView]) -> Others {
        let mut found = Others::default();
        for view in others {
            let name = view.member.name.clone();
            match other(view, &own.memory) {
                Other::Serves => found.serving.push(name),
                Other::Left => found.left.push(name),
                Other::Joining => found.joining.push(name),
                Other::Unwell(why) => found.unwell.push(format!("{name}: {why}")),
                Other::Unseen(why) => found.unseen.push(format!("{name}: {why}")),
            }
        }
        found
    }

    /// Whether everybody serves who did not leave in order.
    pub fn well(&self) -> bool {
        self.joining.is_empty() && self.unwell.is_empty() && self.unseen.is_empty()
    }
}

impl fmt::Display for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        for (names, what) in
            [(&self.serving, "serving"), (&self.left, "left in order"), (&self.joining, "receiving state")]
        {
            if !names.is_empty() {
                words.push(format!("{what}: {}", names.join(", ")));
            }
        }
        for (reasons, what) in [(&self.unwell, "not well"), (&self.unseen, "not seen")] {
            if !reasons.is_empty() {
                words.push(format!("{what}: {}", reasons.join("; ")));
            }
        }
        f.write_str(&words.join("; "))
    }
}

/// How another member counts.
enum Other {
    /// It serves, in the primary component.
    Serves,
    /// It left in order, or is leaving.
    Left,
    Joining,
    Unwell(String),
    Unseen(String),
}

/// May this member leave now?
pub fn may_leave(own: &Observation, others: &[MemberView], intent: Intent) -> Result<Free, NotNow> {
    if intent.deployment_deleted {
        return Ok(Free::DeploymentDeleted);
    }
    if others.is_empty() {
        return Ok(Free::OnlyMember);
    }
    if !takes_part(own, others) {
        // No primary component is here to protect; what is on the disk is, if that goes too.
        let nowhere_else = if intent.instance_deleted { only_copy(own, others) } else { None };
        return nowhere_else.map_or(Ok(Free::NotPrimary), Err);
    }
    let observed = || others.iter().filter_map(MemberView::seen).chain([own]);
    let found = primaries(observed());
    let free = match Mode::of(observed()).over(&own.member.name) {
        Some(_) => Some(Free::Maintenance),
        None => matches!(found, Primaries::Split(_)).then_some(Free::SplitBrain),
    };
    // Those that were cut off go on to report the view before for some seconds: that may be two components.
    let apart = matches!(&found, Primaries::One(p) if !p.branches.is_empty() || p.unrecorded.is_some());
    if intent.instance_deleted
        && (free.is_some() || apart)
        && let Some(nowhere_else) = only_copy(own, others)
    {
        // The others need not be asked, but a disk that goes too takes along what nobody else is known to have.
        return Err(nowhere_else);
    }
    if let Some(free) = free {
        return Ok(free);
    }
    let others = Others::seen_by(own, others);
    // An unseen member may be gone: whoever stays must be the majority without it, and without this one.
    let missing = others.unseen.len() + usize::from(!intent.instance_deleted);
    let majority = others.unseen.is_empty() || others.serving.len() > missing;
    if !others.joining.is_empty() || !others.unwell.is_empty() || !majority {
        return Err(NotNow::Others(others));
    }
    if intent.instance_deleted && others.serving.is_empty() {
        let because = format!("no member that stays serves ({others})");
        return Err(NotNow::OnlyCopy { position: own.position.clone(), because });
    }
    Ok(if others.serving.is_empty() { Free::LastOfAll } else { Free::Others(others.serving) })
}

/// What is lost with the disk of a member that is in no primary component, where it is not known that one has it.
fn only_copy(own: &Observation, others: &[MemberView]) -> Option<NotNow> {
    if own.position == Standing::Empty || own.position.is_mixture() {
        return None;
    }
    let found = primaries(others.iter().filter_map(MemberView::seen).filter(|o| !o.going_for_good));
    let because = match &found {
        Primaries::One(primary) => match may_join(&own.position, &own.memory, primary) {
            Ok(because) if because.covered() => return None,
            Ok(because) => because.to_string(),
            Err(no) => no.to_string(),
        },
        Primaries::None => "no member that stays is primary".into(),
        Primaries::Split(_) => "there are two primary components".into(),
    };
    Some(NotNow::OnlyCopy { position: own.position.clone(), because })
}

/// Whether this member is, or may be, part of a primary component. One that hangs, or has no connection
/// left, is still counted by the others.
fn takes_part(own: &Observation, others: &[MemberView]) -> bool {
    match &own.wsrep {
        Some(wsrep) => wsrep.is_primary(),
        None => {
            let silent = !matches!(own.sql, Sql::Closed { .. }) && own.process.is_some();
            silent && !matches!(primaries(others.iter().filter_map(MemberView::seen)), Primaries::None)
        }
    }
}

fn other(view: &MemberView, memory: &Memory) -> Other {
    let Some(seen) = view.seen() else {
        // Whoever said that it leaves, and answers in whatever way by now, is up again, and not known to serve.
        let gone = memory.departed.contains(&view.member.name) && view.why_alive().is_none();
        return if gone { Other::Left } else { Other::Unseen(view.why_unseen().unwrap_or_default()) };
    };
    let supervisor = seen.supervisor.present();
    if supervisor.is_some_and(|s| s.phase == Phase::Stopping) || seen.going_for_good {
        return Other::Left;
    }
    match &seen.wsrep {
        Some(wsrep) if wsrep.is_primary() => match wsrep.local_state {
            LocalState::Synced | LocalState::Donor if wsrep.ready => Other::Serves,
            LocalState::Joining | LocalState::Joined => Other::Joining,
            _ => Other::Unwell(unready(wsrep)),
        },
        Some(wsrep) => Other::Unwell(unready(wsrep)),
        None if seen.process.as_ref().is_some_and(|p| p.state_transfer) => Other::Joining,
        // Stopped in order, with its agent still up: by monit, or by BOSH a moment ago.
        None if seen.process.is_none() && supervisor.is_none() && seen.memory.left => Other::Left,
        None => Other::Unwell(match supervisor {
            Some(supervisor) => supervisor.detail.clone(),
            None if seen.process.is_some() => "mariadbd does not answer, and galera-start does not run".into(),
            None => "neither mariadbd nor galera-start runs".into(),
        }),
    }
}

fn unready(wsrep: &Wsrep) -> String {
    let primary = if wsrep.is_primary() { "in the primary component" } else { "without quorum" };
    format!("{}, {primary}", wsrep.local_state_comment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::situation::*;
    use crate::cluster::standing::Unknown;
    use crate::galera::wsrep::ClusterStatus::{NonPrimary, Primary};
    use crate::galera::wsrep::LocalState::{Donor, Initialized, Joined, Joining, Synced};

    const KEEP: Intent = Intent { deployment_deleted: false, instance_deleted: false };
    const SCALE_IN: Intent = Intent { deployment_deleted: false, instance_deleted: true };
    const DELETE: Intent = Intent { deployment_deleted: true, instance_deleted: true };

    fn serves(n: u32) -> MemberView {
        seen(primary(n, 9, &[0, 1, 2]))
    }

    fn verdict(own: &Observation, others: &[MemberView], intent: Intent) -> String {
        match may_leave(own, others, intent) {
            Ok(free) => format!("yes: {free}"),
            Err(no) => format!("no: {no}"),
        }
    }

    #[test]
    fn k9_q4_q5_h11_who_may_leave() {
        let own = || primary(0, 9, &[0, 1, 2]);
        let knows_left =
            |names: &[&str]| own().with(|o| o.memory.departed = names.iter().map(|n| (*n).to_owned()).collect());
        let is = |n, status, state| seen(primary(n, 9, &[0, 1, 2]).state(status, state));
        let stopping = |n| seen(primary(n, 9, &[0, 1, 2]).phase(Phase::Stopping));
        let stopped_in_order = |n| seen(down(n, 9).stopped().without_supervisor().with(|o| o.memory.left = true));
        let crashed = |n| seen(down(n, 9).without_supervisor());
        let receiving = seen(running(1, 9).with(|o| o.process.as_mut().unwrap().state_transfer = true));
        let wedged_self = wedged(0, 9, 3);
        let hung = running(0, 9).with(|o| o.sql = Sql::TimedOut);
        for (own, others, intent, expected, why) in [
            (own(), vec![serves(1), serves(2)], KEEP, "yes: mysql/1, mysql/2 serve on", "a rolling update"),
            (own(), vec![serves(1)], KEEP, "yes: mysql/1 serve on", "two members: the other stays primary"),
            (own(), vec![], KEEP, "yes: it is the only member", "a single node"),
            (own(), vec![is(1, Primary, Donor), serves(2)], KEEP, "yes: mysql/1, mysql/2 serve on", "a donor serves"),
            (own(), vec![is(1, Primary, Joined), serves(2)], KEEP, "no: it would leave 1", "one is catching up"),
            (own(), vec![is(1, Primary, Joining), serves(2)], KEEP, "no: it would leave 1", "one joins"),
            (own(), vec![receiving.clone(), serves(2)], KEEP, "no: it would leave 1", "a full copy, before SQL"),
            (own(), vec![is(1, NonPrimary, Initialized), serves(2)], KEEP, "no: it would leave 1", "one is cut off"),
            (own(), vec![crashed(1), serves(2)], KEEP, "no: it would leave 1", "one crashed"),
            (own(), vec![seen(down(1, 9)), serves(2)], KEEP, "no: it would leave 1", "one waits"),
            (own(), vec![silent(1), serves(2)], KEEP, "no: it would leave 1", "one is not seen: 1 of 3 would be left"),
            (
                own(),
                vec![refused(1), serves(2)],
                KEEP,
                "no: it would leave 1",
                "its VM is up, and why it is down is not known",
            ),
            (
                own(),
                vec![silent(1), serves(2), serves(3), serves(4)],
                KEEP,
                "yes: mysql/2, mysql/3, mysql/4 serve on",
                "3 of 5",
            ),
            (own(), vec![silent(1), silent(2), serves(3), serves(4)], KEEP, "no: it would leave 2", "2 of 5"),
            (own(), vec![silent(1), serves(2), serves(3)], KEEP, "no: it would leave 2", "2 of 4 is no majority"),
            (own(), vec![silent(1), serves(2), serves(3)], SCALE_IN, "yes: mysql/2, mysql/3 serve on", "2 of 3"),
            (own(), vec![stopping(1), stopping(2)], KEEP, "yes: all others have left in order", "all stop at once"),
            (own(), vec![stopped_in_order(1), serves(2)], KEEP, "yes: mysql/2 serve on", "stopped by monit"),
            (
                knows_left(&["mysql/1"]),
                vec![refused(1), serves(2)],
                KEEP,
                "yes: mysql/2 serve on",
                "bosh stop, the second",
            ),
            (
                knows_left(&["mysql/1", "mysql/2"]),
                vec![silent(1), silent(2)],
                KEEP,
                "yes: all others have left in order",
                "bosh stop --hard, the last",
            ),
            (
                knows_left(&["mysql/1"]),
                vec![silent(1), silent(2)],
                KEEP,
                "no: it would leave 0",
                "one left, another is lost",
            ),
            (own(), vec![stopping(1), serves(2)], SCALE_IN, "yes: mysql/2 serve on", "3 to 1: two leave at once"),
            (own(), vec![silent(1), crashed(2)], DELETE, "yes: the deployment is being deleted", "with a sick member"),
            (
                wedged_self.clone(),
                vec![seen(wedged(1, 9, 3)), seen(wedged(2, 9, 3))],
                KEEP,
                "yes: this member is in no primary",
                "seed 000",
            ),
            (wedged_self, vec![serves(1), silent(2)], KEEP, "yes: this member is in no primary", "only it is wedged"),
            (
                own().state(NonPrimary, Initialized),
                vec![silent(1), silent(2)],
                KEEP,
                "yes: this member is in no primary",
                "no quorum",
            ),
            (
                primary(0, 9, &[0]),
                vec![silent(1), seen(primary(2, 9, &[2]))],
                KEEP,
                "yes: there are two primary",
                "split brain",
            ),
            (
                own().maintained(),
                vec![silent(1), serves(2)],
                KEEP,
                "yes: maintenance is on",
                "a person answers for it (H1)",
            ),
            (
                hung.clone(),
                vec![serves(1), serves(2)],
                KEEP,
                "yes: mysql/1, mysql/2 serve on",
                "it hangs, and the rest is well",
            ),
            (hung, vec![serves(1), silent(2)], KEEP, "no: it would leave 1", "it hangs, and still has a vote"),
            (down(0, 9), vec![serves(1), silent(2)], KEEP, "yes: this member is in no primary", "it waits"),
        ] {
            let found = verdict(&own, &others, intent);
            assert!(found.starts_with(expected), "{why}: {found}");
        }
    }

    #[test]
    fn how_another_member_counts() {
        let own = primary(0, 9, &[0, 1, 2]);
        let is = |status, state| primary(1, 9, &[0, 1, 2]).state(status, state);
        let receives = running(1, 9).with(|o| o.process.as_mut().unwrap().state_transfer = true);
        for (other, expected) in [
            (is(Primary, Synced), "serving: mysql/1"),
            (is(Primary, Synced).wsrep(|w| w.ready = false), "not well: mysql/1: Synced, in the primary component"),
            (is(NonPrimary, Synced), "not well: mysql/1: Synced, without quorum"),
            (is(NonPrimary, Joined), "not well: mysql/1: Joined, without quorum"),
            (is(Primary, Joined), "receiving state: mysql/1"),
            (receives, "receiving state: mysql/1"),
            (
                running(1, 9).without_supervisor(),
                "not well: mysql/1: mariadbd does not answer, and galera-start does not run",
            ),
            (down(1, 9).without_supervisor(), "not well: mysql/1: neither mariadbd nor galera-start runs"),
            (down(1, 9).without_supervisor().with(|o| o.memory.left = true), "left in order: mysql/1"),
            (is(Primary, Synced).with(|o| o.going_for_good = true), "left in order: mysql/1"),
        ] {
            assert_eq!(Others::seen_by(&own, &[seen(other)]).to_string(), expected);
        }
    }

    #[test]
    fn a5_a_disk_is_deleted_only_with_what_one_that_stays_is_known_to_have() {
        let stays = || vec![serves(1), serves(2)];
        let goes = |n| seen(primary(n, 9, &[0, 1, 2]).with(|o| o.going_for_good = true));
        let apart = vec![seen(primary(1, 9, &[1])), seen(primary(2, 9, &[2]))];
        for (own, others, allowed, why) in [
            (down(0, 9), stays(), true, "the cluster has all of it"),
            (down(0, 12), stays(), false, "it has more"),
            (
                down(0, 9).with(|o| o.memory = Memory::default()),
                stays(),
                false,
                "it remembers nothing: that proves nothing",
            ),
            (down(0, 9).unknown(Unknown::NoPosition), stays(), false, "where it stands is not known"),
            (empty(0), stays(), true, "there is nothing"),
            (down(0, 9).unknown(Unknown::TransferInterrupted), stays(), true, "half of a copy"),
            (down(0, 9), vec![goes(1), goes(2)], false, "nobody stays who has it"),
            (down(0, 9), vec![silent(1), silent(2)], false, "nobody is seen"),
            (down(0, 9), apart, false, "which side stays is not known"),
        ] {
            let found = verdict(&own, &others, SCALE_IN);
            assert_eq!(found.starts_with("yes"), allowed, "{why}: {found}");
            assert!(allowed || found.starts_with("no: its disk would be deleted"), "{why}: {found}");
        }
    }

    #[test]
    fn well_are_those_of_whom_nobody_joins_fails_or_hides() {
        let one = || vec!["mysql/1".to_owned()];
        for (others, well) in [
            (Others { serving: one(), left: one(), ..Others::default() }, true),
            (Others { joining: one(), ..Others::default() }, false),
            (Others { unwell: one(), ..Others::default() }, false),
            (Others { unseen: one(), ..Others::default() }, false),
        ] {
            assert_eq!(others.well(), well, "{others}");
        }
    }

    #[test]
    fn only_a_state_transfer_passes_by_itself() {
        let own = primary(0, 9, &[0, 1, 2]);
        let joining = seen(primary(1, 9, &[0, 1, 2]).state(Primary, Joining));
        assert!(may_leave(&own, &[joining.clone(), serves(2)], KEEP).unwrap_err().passes());
        assert!(!may_leave(&own, &[joining, silent(2)], KEEP).unwrap_err().passes());
    }
}
