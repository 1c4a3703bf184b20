//! `seqno` and `state`: this member alone, as galera_check tells it (G4, G5).

use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

use crate::cli::Exit;
use crate::cluster::observation::{Observation, Phase, SupervisorSight};
use crate::cluster::standing::{Standing, Unknown};
use crate::config::MemberConfig;
use crate::host::processes::find_mariadbd;
use crate::host::{observe, resting};
use crate::say;

/// The number, or -1.
pub fn seqno(config: &MemberConfig) -> Result<Exit> {
    let seen = observe::own(config)?;
    let standing = match &seen.position {
        // Under a supervisor it is the supervisor that looks; it will, or says why it cannot.
        Standing::Unknown { why: Unknown::NotLookedYet, .. } if seen.supervisor.present().is_none() => {
            recovered(config, &seen)?
        }
        known => known.clone(),
    };
    match standing.position() {
        Some(position) => say!("{}", position.seqno()),
        None => say!("-1"),
    }
    Ok(Exit::Done)
}

/// Asks the storage engine, where nothing runs on the data directory and nobody else will (G6).
fn recovered(config: &MemberConfig, seen: &Observation) -> Result<Standing> {
    if find_mariadbd(&config.mariadb.defaults_file).is_some() {
        return Ok(seen.position.clone());
    }
    let aside = tempfile::tempdir().context("make a directory for the log of --wsrep-recover")?;
    let mut config = config.clone();
    config.paths.state_dir = aside.path().to_owned();
    config.mariadb.error_log = aside.path().join("mariadb.err.log");
    Ok(resting::find(&config, &seen.disk, &seen.memory, &AtomicBool::new(false)).standing)
}

/// The first word that fits, in this order.
pub fn state(config: &MemberConfig) -> Result<Exit> {
    say!("{}", word(&observe::own(config)?));
    Ok(Exit::Done)
}

fn word(seen: &Observation) -> &'static str {
    match (&seen.process, &seen.wsrep, &seen.supervisor) {
        (Some(process), None, _) if process.new_cluster => "bootstrapping",
        (_, Some(_), _) => "running",
        (_, _, SupervisorSight::Present(s)) if s.phase == Phase::Recovering => "locked",
        (_, _, SupervisorSight::Present(s)) if s.phase != Phase::Held => "initiating",
        // Without a supervisor: somebody finds the position, or the server is on its way up.
        (Some(process), _, SupervisorSight::Absent { .. }) if process.recovering => "locked",
        (Some(_), _, SupervisorSight::Absent { .. }) => "initiating",
        _ => "stopped",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::situation::*;

    #[test]
    fn g4_one_word_in_galera_checks_order() {
        let by = |change: fn(&mut Observation)| running(0, 9).without_supervisor().with(change);
        for (of, expected) in [
            (primary(0, 9, &[0]), "running"),
            (running(0, 9).with(|o| o.process.as_mut().unwrap().new_cluster = true), "bootstrapping"),
            (primary(0, 9, &[0]).with(|o| o.process = running(0, 9).process), "running"),
            (down(0, 9), "initiating"),
            (down(0, 9).phase(Phase::Recovering), "locked"),
            (down(0, 9).held(), "stopped"),
            (down(0, 9).without_supervisor(), "stopped"),
            (by(|_| ()), "initiating"),
            (by(|o| o.process.as_mut().unwrap().recovering = true), "locked"),
            (by(|o| o.process.as_mut().unwrap().new_cluster = true), "bootstrapping"),
        ] {
            assert_eq!(word(&of), expected, "{of:?}");
        }
    }
}
