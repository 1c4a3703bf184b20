//! JUDGEMENT: what we conclude from observations, and what we therefore do. Pure: no clock, no
//! network, no file, no process.
//!
//! | question | answered in |
//! |---|---|
//! | where does a member stand? | [`standing`] |
//! | is there a primary component, or are there two? | [`primary`] |
//! | how did a primary component come about: did somebody begin it by hand? | [`origin`] |
//! | may this member join, or would that discard its data? | [`join`] |
//! | from whom may it take its state? | [`donors`] |
//! | may the saved view be restored? | [`restore`] |
//! | may a member be bootstrapped, and what is the proof? | [`bootstrap`] |
//! | so how does this member start now? | [`start`] |
//! | may this member leave? | [`leave`] |
//! | has it come up, so that a deployment may go on? | [`started`] |
//! | what is nobody to do by itself, because a person works on the cluster? | [`maintenance`] |
//! | is it fit for clients? | [`health`] |
//! | may the arbitrator vote? | [`arbitration`] |
//! | what does it all mean, in words for a person? | [`diagnosis`] |
//! | what does the errand do? | [`recovery`] |
//! | what happened, when, on which member? | [`timeline`] |

pub mod arbitration;
pub mod bootstrap;
pub mod diagnosis;
pub mod donors;
pub mod health;
pub mod hold;
pub mod join;
pub mod leave;
pub mod lineage;
pub mod maintenance;
pub mod member;
pub mod memory;
pub mod observation;
pub mod origin;
pub mod primary;
pub mod recovery;
pub mod restore;
pub mod standing;
pub mod start;
pub mod started;
pub mod timeline;

#[cfg(test)]
mod anything;
#[cfg(test)]
mod model;
#[cfg(test)]
mod sequences;
#[cfg(test)]
pub(crate) mod situation;
