//! VOICE: the agent's HTTP API. What it says is [`crate::cluster::observation`]; what it is told goes to
//! `galera-start` over its socket. It never touches data by its own will.

pub mod api;
pub mod arbitrator;
pub mod beginning;
pub mod client;
mod collecting;
mod compatible;
mod connections;
mod credentials;
pub mod exposition;
mod maintenance;
mod metrics;
mod relay;
mod reporting;
pub mod server;
#[cfg(test)]
mod switching_tests;
pub(crate) mod tls;
mod watching;
mod writing;
