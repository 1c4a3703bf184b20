//! The proxy: HAProxy sends all clients to one member, the writer, and to another one when that is unfit.
//!
//! HAProxy decides alone, by the rules in its configuration: whose agent says that it is fit, and that the writer
//! stays where it is. `galera-proxy` starts it, remembers who the writer is, so that no start moves it, and sees to
//! it that no client stays on a member that is not the writer any more. If `galera-proxy` dies, HAProxy serves on,
//! and the next `galera-proxy` adopts it.

pub mod admitted;
pub mod config;
pub mod haproxy;
pub mod leaving;
pub mod supervising;
pub mod writer;
