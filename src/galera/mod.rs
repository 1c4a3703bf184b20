//! FACTS: what Galera writes and says. Pure: text and bytes in, values out.

pub mod grastate;
pub mod gvwstate;
pub mod log_lines;
pub mod position;
pub mod recovery;
pub mod uuid;
pub mod wsrep;
