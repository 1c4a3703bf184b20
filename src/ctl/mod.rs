//! What `galera-ctl` does for a person on a VM, and the errands that only run it.

pub mod looking;
pub mod own;
pub mod rejoin;
