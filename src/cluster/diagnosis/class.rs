//! Diagnoses by class: what a script or an alert needs to know, as an exit code.

use serde::{Deserialize, Serialize};

use super::codes::ClusterCode;
use super::facts::Look;
use crate::cluster::recovery::{Recovery, recovery};

/// How bad it is, and who can end it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// All is well.
    Healthy,
    /// There is a primary component, and something is not as it should be.
    Degraded,
    /// Nobody is primary, and what brings the cluster back is proven to lose nothing: the members do it by
    /// themselves, or the errand does.
    DownRecoverable,
    /// A person must mend or decide something: nothing is done by itself.
    DownNeedsPerson,
    /// Nobody is seen: nothing is known.
    Blind,
}

impl Class {
    /// The exit code. They begin above those of all executables (0 to 3), so that a script can tell a sick
    /// cluster from wrong arguments; BOSH takes any of them for a failed errand.
    pub fn exit_code(self) -> u8 {
        match self {
            Class::Healthy => 0,
            Class::Degraded => 10,
            Class::DownRecoverable => 11,
            Class::DownNeedsPerson => 12,
            Class::Blind => 13,
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Class::Healthy => "healthy",
            Class::Degraded => "degraded",
            Class::DownRecoverable => "down, recoverable",
            Class::DownNeedsPerson => "a person is needed",
            Class::Blind => "blind",
        }
    }
}

/// The class of a diagnosis. Whether a cluster without a primary component comes back is asked of the rule
/// that brings it back, so that this never promises what the members would refuse.
pub(super) fn of(code: ClusterCode, look: &Look) -> Class {
    match code {
        ClusterCode::Healthy => Class::Healthy,
        ClusterCode::ObserverBlind => Class::Blind,
        // Two writers, or positions that mean nothing: worse than down, and nothing ends it by itself.
        ClusterCode::SplitBrain | ClusterCode::NilHistory => Class::DownNeedsPerson,
        _ if look.primary().is_some() => Class::Degraded,
        ClusterCode::FirstDeploy | ClusterCode::BootstrapInProgress | ClusterCode::RecoveryInProgress => {
            Class::DownRecoverable
        }
        // The network must be mended first, whatever could be promoted in one of the halves.
        ClusterCode::AllNonPrimaryPartitioned | ClusterCode::MinorityOnly => Class::DownNeedsPerson,
        _ => match recovery(look.cluster, look.views) {
            Recovery::UnderWay(_) | Recovery::Begin(_) => Class::DownRecoverable,
            Recovery::Refuse(_) | Recovery::Healthy(_) | Recovery::PrimaryExists { .. } => Class::DownNeedsPerson,
        },
    }
}
