//! What it all means: one code for the cluster, one for each member, in words for a person.
//!
//! A cluster has exactly one diagnosis: the first of [`cluster_rules::RULES`] that fits. What else there is
//! to say becomes a warning. Whether something *may* be done is asked of the rules that answer that
//! ([`super::bootstrap`], [`super::join`], [`super::restore`]), and not answered here.
//!
//! [`diagnose`] is one look. Where that is not enough, it says so, and [`confirmed`] puts two together.
//!
//! | question | answered in |
//! |---|---|
//! | which words are there? | [`codes`] |
//! | what do several observations show together? | [`facts`] |
//! | how is a member? | [`member_rules`] |
//! | how is the cluster? | [`cluster_rules`]; where nobody is primary, [`no_primary`] |
//! | what should be known besides? | [`warnings`] |
//! | how bad is it, as an exit code? | [`class`] |
//! | what to run, and what never? | [`advice`] |
//! | since when, and is one look enough? | [`since`], [`second_look`] |
//! | all of it on a page? | [`page`] |
//! | what does maintenance change about it? Nothing but the advice | [`maintained`] |

mod advice;
mod class;
mod cluster_rules;
mod codes;
mod display;
mod facts;
mod maintained;
mod member_rules;
mod no_primary;
pub mod page;
mod second_look;
mod since;
mod warnings;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use self::advice::Advice;
pub use self::class::Class;
pub use self::codes::{ClusterCode, Confidence, MemberCode, WarningCode};
pub use self::display::{beside, folded, wrapped};
use self::facts::Look;
pub use self::second_look::confirmed;
use super::member::Cluster;
use super::observation::MemberView;

/// The diagnosis of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// What it is.
    pub code: ClusterCode,
    /// How bad that is, and who can end it.
    pub class: Class,
    /// The same in a sentence.
    pub sentence: String,
    /// For how many seconds at least it has been so, where anybody knows.
    #[serde(default)]
    pub since_seconds: Option<u64>,
    /// What to do, what happens by itself, and what never to do.
    pub advice: Advice,
    /// What it rests on.
    pub evidence: Vec<String>,
    /// How sure it is (S15, S23).
    pub confidence: Confidence,
    /// Whether one look is not enough for this.
    #[serde(default)]
    pub needs_second_look: bool,
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
    /// For how many seconds at least it has been so, where anybody knows.
    #[serde(default)]
    pub since_seconds: Option<u64>,
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
        class: class::of(code, &look),
        sentence: verdict.sentence,
        since_seconds: since::cluster(&look, code),
        advice: maintained::advice(&look, code, verdict.advice.unwrap_or_else(|| advice::of(code))),
        evidence: verdict.evidence,
        needs_second_look: since::needs_second_look(&look, code, &look.members),
        confidence: verdict.confidence.unwrap_or_else(|| look.confidence()),
        warnings: warnings::of(&look, code),
        members: look.members,
    }
}
