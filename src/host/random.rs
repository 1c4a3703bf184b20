//! Identifiers that nobody else has.

use anyhow::{Context, Result};

use crate::galera::uuid::Uuid;

/// A random UUID, drawn by the kernel.
pub fn random_uuid() -> Result<Uuid> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/uuid").context("draw a UUID")?;
    text.trim().parse().context("draw a UUID")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_the_same() {
        assert_ne!(random_uuid().unwrap(), random_uuid().unwrap());
    }
}
