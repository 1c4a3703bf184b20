//! `galera-start`: owns this VM's `mariadbd` from start to stop. Run by monit; see `--help`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use mariadb_galera::cli::{self, Exit, InBackground};
use mariadb_galera::config::{self, MemberConfig, SeedConfig};
use mariadb_galera::host::detach::Daemon;
use mariadb_galera::host::{open_files, prepare, supervisor};
use mariadb_galera::log;

/// Starts this VM's mariadbd the way that loses nothing, watches it, and stops it.
///
/// It finds the position, asks the other members' agents, and then joins the primary component, restores
/// the saved view together with the others, begins the very first cluster, or waits and says for whom.
///
/// Exit codes: 0 done; 1 failed; 2 wrong arguments or configuration, nothing was changed; in the
/// foreground the status of mariadbd if that died by itself (128 + number for a signal, never 0).
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    daemon: InBackground,
}

fn main() -> ExitCode {
    cli::in_background("galera-start", |arguments: &Arguments| &arguments.daemon, run)
}

fn run(arguments: &Arguments) -> Result<Exit> {
    let config: MemberConfig = config::load(&arguments.daemon.config)?;
    config::load::<SeedConfig>(&config.paths.seed_file)?;
    if arguments.daemon.check_config {
        return Ok(Exit::Done);
    }
    log::set_instance(&config.instance);
    let daemon = Daemon::named("galera-start", &config.paths.run_dir, &config.paths.log_dir);
    if arguments.daemon.stop {
        // The lock, which says whom to stop, lies in a folder of that user's.
        prepare::become_user(&config.mariadb.user)?;
        // The supervisor's own bounds, and a little for what comes before and after.
        daemon.stop(config.timeouts.leave_grace + config.timeouts.stop + std::time::Duration::from_secs(15))?;
        return Ok(Exit::Done);
    }
    Daemon::settle();
    open_files::allow(config.open_files)?;
    prepare::give_up_root(&config.mariadb.user, &[prepare::of_member(&config, &[&arguments.daemon.config])?])?;
    if arguments.daemon.detach {
        daemon.detach()?;
        return Ok(Exit::Done);
    }
    daemon.run("start", || supervisor::run(config))
}
