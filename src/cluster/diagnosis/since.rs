//! For how long it has been so. Nobody keeps a diary for this: the clocks of the members' own states tell.

use super::facts::{Life, Look, life};
use super::{ClusterCode, MemberCode, MemberDiagnosis};
use crate::cluster::observation::Observation;

/// For how many seconds the member has been as it is, as far as its supervisor knows. A supervisor that was
/// restarted since knows less, so this is never too long.
pub(super) fn member(of: &Observation) -> Option<u64> {
    let supervisor = of.supervisor.present();
    match life(of) {
        Life::Primary | Life::NonPrimary | Life::Disconnected => supervisor?.view_seconds,
        Life::Down => Some(supervisor?.phase_seconds),
        Life::Recovering | Life::Starting | Life::Wedged | Life::Receiving => of.process_seconds,
        // When it fell silent, nobody noted.
        Life::Mute | Life::Inconsistent | Life::Outside => None,
    }
}

/// Whether the beginning of this is a change that a supervisor notes. What a moment shows of a member that stays in
/// its view (a queue, a variable, a connection that is refused) began at some time since that view.
pub(super) fn noted(code: MemberCode) -> bool {
    !matches!(
        code,
        MemberCode::DiskFull
            | MemberCode::FlowControlCulprit
            | MemberCode::Flapping
            | MemberCode::TooManyConnections
            | MemberCode::SqlHung
            | MemberCode::WritesStalled
            | MemberCode::TableMissing
            | MemberCode::DonorStuck
            | MemberCode::AccessDenied
            | MemberCode::SqlFailing
            | MemberCode::RejectingQueries
            | MemberCode::ReadOnly
    )
}

/// For how many seconds the cluster has been so: since the primary component last changed, or since the
/// last member fell out of it.
pub(super) fn cluster(look: &Look, code: ClusterCode) -> Option<u64> {
    // What a moment shows (a queue, a hung server, a disk) has no beginning that anybody noted.
    if matches!(code, ClusterCode::ObserverBlind | ClusterCode::PrimaryWritesStalled) {
        return None;
    }
    if code != ClusterCode::Healthy && (look.lags() || look.unwell().any(|m| !noted(m.code))) {
        return None;
    }
    match look.primary() {
        Some(_) => look.primary_members().filter_map(|(o, _)| member(o)).min(),
        None => look.seen.iter().map(|o| member(o)).min().flatten(),
    }
}

/// Whether the primary component has counted a member out for so long that Galera itself was sure.
pub(super) fn settled(look: &Look) -> bool {
    /// Longer than `evs.suspect_timeout` (Q15).
    const SURE: u64 = 5;
    look.primary_members().filter_map(|(o, _)| member(o)).min().is_some_and(|seconds| seconds >= SURE)
}

/// Whether one look is not enough for this (diagnosis.md: two samples): what is lost may only be late, and
/// what stands still may only pause.
pub(super) fn needs_second_look(look: &Look, code: ClusterCode, members: &[MemberDiagnosis]) -> bool {
    let momentary = |m: &MemberDiagnosis| {
        matches!(m.code, MemberCode::FlowControlCulprit | MemberCode::SqlHung | MemberCode::SqlFailing)
    };
    let lost = |m: &MemberDiagnosis| matches!(m.code, MemberCode::MemberLost | MemberCode::AgentUnreachable);
    let verdict = matches!(
        code,
        ClusterCode::ObserverBlind
            | ClusterCode::SplitBrain
            | ClusterCode::PrimaryNoUsableMember
            | ClusterCode::PrimaryWritesStalled
            | ClusterCode::AgentsUnreachable
            | ClusterCode::MinorityOnly
            | ClusterCode::PartialKnowledge
            | ClusterCode::AllNonPrimaryPartitioned
            | ClusterCode::Unknown
    );
    let mixed = code == ClusterCode::Healthy && look.views_disagree().is_some();
    verdict || mixed || members.iter().any(momentary) || (members.iter().any(lost) && !settled(look))
}
