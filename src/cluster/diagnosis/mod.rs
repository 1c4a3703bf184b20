//! What it all means: one code for the cluster, one for each member, in words for a person.
//!
//! A cluster has exactly one diagnosis: the first of [`cluster_rules::RULES`] that fits. What else there is
//! to say becomes a warning. Whether something *may* be done is asked of the rules that answer that
//! ([`super::bootstrap`], [`super::join`], [`super::restore`]), and not answered here.
//!
//! This is one look. Whatever shows only between two looks (does a state transfer get on, is replication
//! paused most of the time, does a position advance) is left to what one look can tell.
//!
//! | question | answered in |
//! |---|---|
//! | which words are there? | [`codes`] |
//! | what do several observations show together? | [`facts`] |
//! | how is a member? | [`member_rules`] |
//! | how is the cluster? | [`cluster_rules`]; where nobody is primary, [`no_primary`] |
//! | what should be known besides? | [`warnings`] |

mod cluster_rules;
mod codes;
mod display;
mod facts;
mod member_rules;
mod no_primary;
mod warnings;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use self::codes::{ClusterCode, Confidence, MemberCode, WarningCode};
use self::facts::Look;
use super::member::Cluster;
use super::observation::MemberView;

/// The diagnosis of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// What it is.
    pub code: ClusterCode,
    /// The same in a sentence.
    pub sentence: String,
    /// What to do, what happens by itself, and what never to do.
    pub action: String,
    /// What it rests on.
    pub evidence: Vec<String>,
    /// How sure it is (S15, S23).
    pub confidence: Confidence,
    /// What should be known besides.
    pub warnings: Vec<Warning>,
    /// Each member, in the order of the configuration.
    pub members: Vec<MemberDiagnosis>,
}

/// The diagnosis of one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberDiagnosis {
    /// The member.
    pub name: String,
    /// What it is.
    pub code: MemberCode,
    /// The same in a sentence.
    pub sentence: String,
    /// What it rests on.
    pub evidence: Vec<String>,
}

/// Something that should be known, and is not the diagnosis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// What it is.
    pub code: WarningCode,
    /// The same in a sentence.
    pub sentence: String,
}

/// Concludes from what was seen of every expected member.
pub fn diagnose(cluster: &Cluster, views: &[MemberView]) -> Diagnosis {
    let mut look = Look::of(cluster, views);
    look.members = views.iter().map(|view| member_rules::diagnose(&look, view)).collect();
    let (code, verdict) = cluster_rules::first_match(&look);
    Diagnosis {
        code,
        sentence: verdict.sentence,
        action: verdict.action.unwrap_or_else(|| code.action().to_owned()),
        evidence: verdict.evidence,
        confidence: verdict.confidence.unwrap_or_else(|| look.confidence()),
        warnings: warnings::of(&look, code),
        members: look.members,
    }
}
