//! FACTS: what Galera writes and says. Pure: text and bytes in, values out.

pub mod grastate;
pub mod gvwstate;
pub mod log_events;
pub mod log_identities;
pub mod log_lines;
pub mod moment;
pub mod position;
pub mod recovery;
pub mod uuid;
pub mod wsrep;
