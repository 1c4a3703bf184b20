//! Runs a MariaDB Galera cluster under BOSH: start, join, drain, recovery.
//!
//! The folders are roles, and dependencies point one way:
//!
//! - [`galera`]: FACTS. What Galera writes and says. Pure.
//! - [`cluster`]: JUDGEMENT. What we conclude and decide. Pure.
//! - [`host`]: HANDS. Files, processes, SQL, the supervisor: the only code that touches the VM.
//! - [`agent`]: VOICE. The agent's HTTP API, its server and its client.
//! - [`errand`]: the bootstrap errand, which carries out [`cluster::recovery`] on all members.
//! - [`hooks`]: BOSH's lifecycle hooks, which wait for [`cluster::leave`] and [`cluster::started`].
//! - [`proxy`]: HAProxy in front of the members, and which of them is the writer.
//! - [`smoke`]: the errand that tries the cluster as a client would.
//! - [`ctl`]: what `galera-ctl` does for a person: look, tell, carry out a decision.
//! - [`config`], [`small_config`], [`arbitrator_config`], [`trust`], [`log`], [`cli`]: what the executables in `bin/` share.

pub mod agent;
pub mod arbitrator_config;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod ctl;
pub mod errand;
pub mod galera;
pub mod hooks;
pub mod host;
pub mod log;
pub mod proxy;
pub mod small_config;
pub mod smoke;
pub mod trust;
