//! HANDS: the only code that touches the VM. It fetches and does; what to do is decided in
//! [`crate::cluster`].

pub mod arbitrator;
pub mod asking;
pub mod clock;
pub mod datadir;
pub mod detach;
pub mod disk_probe;
pub mod early;
pub mod files;
pub mod garbd;
pub mod incidents;
pub mod journal;
pub mod knocks;
pub mod mariadbd;
pub mod next_state;
pub mod observe;
pub mod open_files;
pub mod operator_hooks;
pub mod ports;
pub mod prepare;
pub mod processes;
pub mod random;
pub mod reaching;
pub mod report;
pub mod resolving;
pub mod resting;
pub mod seed;
pub mod socket;
pub mod sql;
pub mod store;
pub mod supervisor;
pub mod upgrade;
pub mod write_stalls;
