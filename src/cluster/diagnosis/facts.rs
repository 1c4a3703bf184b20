//! What several observations show together, before any verdict.

use super::codes::Confidence;
use super::{MemberCode, MemberDiagnosis};
use crate::cluster::member::{Cluster, listed};
use crate::cluster::observation::{MemberView, Observation, PeerPorts, Phase, PortAnswer, Sql};
use crate::cluster::primary::{Primaries, Primary, primaries};
use crate::galera::log_lines::{LogKind, last_component};
use crate::galera::uuid::Uuid;
use crate::galera::wsrep::{ClusterStatus, LocalState, Wsrep};

/// A `mariadbd` that waits longer than this before it opens SQL, and neither receives state nor is in a
/// primary component, is wedged. Longer than all of Galera's own time-outs together, and than the time
/// that `galera-start` gives a restored view.
const WEDGED_AFTER: u64 = 120;

/// All that was seen, sorted.
pub(super) struct Look<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) views: &'a [MemberView],
    pub(super) seen: Vec<&'a Observation>,
    pub(super) unseen: Vec<&'a MemberView>,
    pub(super) primaries: Primaries,
    /// The members' own diagnoses, once there are any.
    pub(super) members: Vec<MemberDiagnosis>,
}

/// What a member's `mariadbd` is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// It does not run.
    Down,
    /// It only finds its position.
    Recovering,
    /// It runs and has not opened SQL.
    Starting,
    /// The same, and it will stay so.
    Wedged,
    /// The same, and a state transfer script runs.
    Receiving,
    /// SQL answers: in a primary component.
    Primary,
    /// SQL answers: in a component without quorum.
    NonPrimary,
    /// SQL answers: in no component.
    Disconnected,
    /// SQL answers: voted out.
    Inconsistent,
    /// SQL answers, and there is no Galera.
    Outside,
    /// It takes connections, and tells nothing of Galera.
    Mute,
}

impl<'a> Look<'a> {
    pub(super) fn of(cluster: &'a Cluster, views: &'a [MemberView]) -> Look<'a> {
        let seen: Vec<&Observation> = views.iter().filter_map(MemberView::seen).collect();
        Look {
            cluster,
            views,
            unseen: views.iter().filter(|v| v.seen().is_none()).collect(),
            primaries: primaries(seen.iter().copied()),
            seen,
            members: Vec::new(),
        }
    }

    /// How many members there should be.
    pub(super) fn expected(&self) -> usize {
        self.cluster.members.len()
    }

    /// Whether every expected member is seen.
    pub(super) fn whole(&self) -> bool {
        self.seen.len() == self.expected()
    }

    /// The primary component, where there is exactly one.
    pub(super) fn primary(&self) -> Option<&Primary> {
        match &self.primaries {
            Primaries::One(primary) => Some(primary),
            Primaries::None | Primaries::Split(_) => None,
        }
    }

    /// Whether Galera counts a member that has ended: one without a last word is given up only after
    /// `evs.inactive_timeout` (Q15).
    pub(super) fn lags(&self) -> bool {
        let ended = self.seen.iter().filter(|o| o.process.is_none()).count();
        let size = |primary: &Primary| usize::try_from(primary.size).unwrap_or(usize::MAX);
        self.primary().is_some_and(|primary| size(primary).saturating_add(ended) > self.expected())
    }

    /// Whether nobody who is seen is primary.
    pub(super) fn nobody_primary(&self) -> bool {
        self.primaries == Primaries::None
    }

    /// Galera's status of those in the primary component.
    pub(super) fn primary_members(&self) -> impl Iterator<Item = (&'a Observation, &'a Wsrep)> {
        self.seen.iter().filter_map(|o| Some((*o, o.wsrep.as_ref().filter(|w| w.is_primary())?)))
    }

    /// That the members of the primary component do not describe the same view of it, and how: they were seen at different
    /// moments, between which it changed.
    pub(super) fn views_disagree(&self) -> Option<String> {
        let all: Vec<(&Observation, &Wsrep)> = self.primary_members().collect();
        let apart =
            |(_, one): &(&Observation, &Wsrep)| all.iter().any(|(_, other)| one.same_view(other) == Some(false));
        let told = |(o, w): &(&Observation, &Wsrep)| {
            let view = w.cluster_conf_id.unwrap_or_default();
            format!("{} is in view {view} of {} members, {}", o.member.name, w.cluster_size, w.incoming_addresses)
        };
        all.iter().any(apart).then(|| all.iter().map(told).collect::<Vec<_>>().join("; "))
    }

    /// The names of those seen for which this holds, in one line.
    pub(super) fn names(&self, wanted: impl Fn(&Observation) -> bool) -> String {
        listed(self.seen.iter().filter(|o| wanted(o)).map(|o| o.member.name.as_str()))
    }

    /// The names of those that have one of these codes.
    pub(super) fn coded(&self, wanted: impl Fn(MemberCode) -> bool) -> String {
        listed(self.members.iter().filter(|m| wanted(m.code)).map(|m| m.name.as_str()))
    }

    /// The members that are not well. One that is reached by others only, and said so to them, is well.
    pub(super) fn unwell(&self) -> impl Iterator<Item = &MemberDiagnosis> {
        let relayed = |v: &MemberView| v.relayed_by.is_some();
        self.members.iter().zip(self.views).filter_map(move |(m, view)| {
            let well = m.code == MemberCode::MemberOk || (m.code == MemberCode::ObserverPartitioned && relayed(view));
            (!well).then_some(m)
        })
    }

    /// Who is not seen, and why, one line each.
    pub(super) fn why_unseen(&self) -> Vec<String> {
        self.unseen.iter().map(|v| format!("{}: {}", v.member.name, v.why_unseen().unwrap_or_default())).collect()
    }

    /// Where everybody who is seen stands, one line each.
    pub(super) fn positions(&self) -> Vec<String> {
        self.seen.iter().map(|o| format!("{} stands at {}", o.member.name, o.position)).collect()
    }

    /// What the members who are seen say of one who is not: who reaches it, and who does not (S5).
    pub(super) fn witnesses(&self, of: &str) -> (Vec<&'a str>, Vec<&'a str>) {
        let (mut reached, mut not) = (Vec::new(), Vec::new());
        for observer in &self.seen {
            for answers in observer.peers.iter().filter(|p| p.name == of) {
                let open = answers.agent == PortAnswer::Open || answers.galera == PortAnswer::Open;
                if open { &mut reached } else { &mut not }.push(observer.member.name.as_str());
            }
        }
        (reached, not)
    }

    /// Whether the primary component counts a member that is not seen: by its address, or because the
    /// count leaves no other possibility.
    pub(super) fn primary_counts(&self, view: &MemberView) -> bool {
        let Some(primary) = self.primary() else { return false };
        let listed = self.primary_members().any(|(_, wsrep)| {
            let hosts = wsrep.incoming_addresses.split(',').filter_map(|a| Some(a.trim().rsplit_once(':')?.0));
            hosts.into_iter().any(|host| host.trim_matches(['[', ']']) == view.member.address)
        });
        let counted = usize::try_from(primary.size).unwrap_or_default();
        // One that gives no answer about Galera may be counted as well.
        let mute = self.seen.iter().filter(|o| life(o) == Life::Mute).count();
        listed || counted >= primary.members.len() + mute + self.unseen.len()
    }

    /// The links between members who are seen and whose `mariadbd` runs that do not let anything through.
    pub(super) fn cut_links(&self) -> Vec<String> {
        let runs = |name: &str| {
            let found = self.seen.iter().find(|o| o.member.name == name && o.process.is_some());
            found.filter(|o| o.ports.galera || o.wsrep.is_some())
        };
        // One that was evicted or voted out closes its port, and refuses: that is no cut.
        let left = |o: &Observation| matches!(life(o), Life::Disconnected | Life::Inconsistent);
        let cut_off = |p: &&PeerPorts| match p.galera {
            PortAnswer::Open => false,
            PortAnswer::Silent => runs(&p.name).is_some(),
            PortAnswer::Refused => runs(&p.name).is_some_and(|o| !left(o)),
        };
        let cut = self.seen.iter().flat_map(|o| {
            let peers = o.peers.iter().filter(cut_off);
            peers.map(|p| format!("{} does not reach {} on the group port", o.member.name, p.name))
        });
        cut.collect()
    }

    /// How sure a verdict is that rests on whoever is seen.
    pub(super) fn confidence(&self) -> Confidence {
        match (&self.primaries, self.whole()) {
            (_, true) | (Primaries::Split(_), _) => Confidence::Certain,
            (Primaries::One(primary), _) if primary.members.len() > 1 => Confidence::Certain,
            (Primaries::One(_), _) => Confidence::OneWitness,
            (Primaries::None, _) => Confidence::Unknown,
        }
    }
}

/// What this member's `mariadbd` is at. A port or a socket file proves nothing (K4): an answer does.
pub(super) fn life(of: &Observation) -> Life {
    let waits = || match &of.process {
        Some(process) if process.state_transfer => Life::Receiving,
        _ if wedged(of) => Life::Wedged,
        _ => Life::Starting,
    };
    match (&of.wsrep, &of.sql) {
        (Some(wsrep), _) if !wsrep.on => Life::Outside,
        (Some(wsrep), _) if wsrep.local_state == LocalState::Inconsistent => Life::Inconsistent,
        (Some(wsrep), _) => match wsrep.cluster_status {
            ClusterStatus::Primary => Life::Primary,
            ClusterStatus::NonPrimary => Life::NonPrimary,
            ClusterStatus::Disconnected => Life::Disconnected,
        },
        _ if of.process.is_none() => Life::Down,
        _ if of.process.as_ref().is_some_and(|p| p.recovering) => Life::Recovering,
        (None, Sql::Open { .. }) => Life::Outside,
        (None, Sql::Closed { .. }) => waits(),
        (None, Sql::TimedOut | Sql::TooManyConnections | Sql::Denied | Sql::Failed { .. }) => Life::Mute,
    }
}

/// 4567 without 3306 (K5), for longer than anything that ends by itself. Where the age is not known,
/// Galera's last word in the log decides.
fn wedged(of: &Observation) -> bool {
    let last = last_component(&of.log);
    let old = match age(of) {
        Some(seconds) => seconds >= WEDGED_AFTER,
        None => last.is_some(),
    };
    of.ports.galera && !of.ports.sql && old && !last.is_some_and(|(primary, _)| primary)
}

/// For how many seconds `mariadbd` has run, as far as anybody knows.
pub(super) fn age(of: &Observation) -> Option<u64> {
    let supervisor = of.supervisor.present();
    of.process_seconds.or_else(|| Some(supervisor?.child.as_ref()?.seconds)).or_else(|| {
        let starting = supervisor.filter(|s| s.phase == Phase::Starting)?;
        Some(starting.phase_seconds)
    })
}

/// How many members the component has that this member is in without quorum; none if nothing tells.
pub(super) fn group_size(of: &Observation) -> Option<u32> {
    match (&of.wsrep, last_component(&of.log)) {
        (Some(wsrep), _) if wsrep.cluster_status == ClusterStatus::NonPrimary => Some(wsrep.members_with_data()),
        (None, Some((false, members))) => members,
        _ => None,
    }
}

/// Whether Galera lets this member's clients through, as far as Galera is concerned.
pub(super) fn usable(wsrep: &Wsrep) -> bool {
    wsrep.is_synced() && !wsrep.read_only && !wsrep.reject_queries && wsrep.on
}

/// What is wrong with this member's disk, if it halts the member, and perhaps all others with it.
pub(super) fn disk_fault(of: &Observation) -> Option<String> {
    /// Less is as good as nothing: Galera's next cache page does not fit.
    const FLOOR: u64 = 32 * 1024 * 1024;
    let full = of.host.free_bytes.filter(|free| *free < FLOOR);
    of.host.write_fault.clone().or_else(|| Some(format!("the persistent disk has {} bytes left", full?)))
}

/// What is wrong with the directories that a member needs besides its data: Galera goes on without them.
pub(super) fn side_fault(of: &Observation) -> Option<String> {
    let tmp = of.host.tmp_fault.as_ref().map(|fault| format!("{fault}; statements that need a temporary file fail"));
    tmp.or_else(|| {
        of.host.log_fault.as_ref().map(|fault| format!("{fault}; scripts of state transfers end where they log"))
    })
}

/// How many milliseconds a small write and its sync took on this member's disk, if that is slow: each transaction
/// waits for as much when it is made durable.
pub(super) fn slow_disk(of: &Observation) -> Option<u64> {
    const SLOW: u64 = 1000;
    of.host.write_milliseconds.filter(|took| *took >= SLOW)
}

/// The UUID by which the group knows this member.
pub(super) fn group_uuid(of: &Observation) -> Option<Uuid> {
    of.wsrep.as_ref().and_then(|w| w.gcomm_uuid).or_else(|| Some(of.disk.saved_view.present()?.my_uuid))
}

/// The line of the error log that proves this, where there is one.
pub(super) fn said(of: &Observation, kind: LogKind) -> Option<&str> {
    of.log.iter().find(|e| e.kind == kind).map(|e| e.text.as_str())
}
