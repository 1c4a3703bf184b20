//! `galera-agent`: eyes and hands of this VM's member over HTTP(S). Run by monit; see `--help`.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use mariadb_galera::agent::server;
use mariadb_galera::cli::{self, Exit, InBackground};
use mariadb_galera::config::{self, AgentConfig, MemberConfig};
use mariadb_galera::host::detach::Daemon;
use mariadb_galera::host::prepare::{self, Needs};
use mariadb_galera::log;
use mariadb_galera::small_config::{self, Known};

/// How long a stop may take; the agent has nothing to finish.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Tells over HTTP(S) how this VM's member is, and passes orders on to galera-start.
///
/// It never touches data, and its end or restart never touches mariadbd.
///
/// Exit codes: 0 done; 1 failed; 2 wrong arguments or configuration, nothing was changed.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    daemon: InBackground,
}

fn main() -> ExitCode {
    cli::in_background("galera-agent", |arguments: &Arguments| &arguments.daemon, run)
}

fn run(arguments: &Arguments) -> Result<Exit> {
    let config: AgentConfig = config::load(&arguments.daemon.config)?;
    if arguments.daemon.check_config {
        return Ok(Exit::Done);
    }
    let daemon = Daemon::named("galera-agent", &config.run_dir, &config.log_dir).thrifty();
    if arguments.daemon.stop {
        // The lock, which says whom to stop, lies in a folder of that user's.
        prepare::become_user(&config.user)?;
        daemon.stop(STOP_LIMIT)?;
        return Ok(Exit::Done);
    }
    // Where somebody else looks after mariadbd, directories are theirs too.
    let known = small_config::load(&config.member)?;
    let looked_after = matches!(known, Known::Member(_));
    let member: MemberConfig = known.member()?;
    log::set_instance(&member.instance);
    Daemon::settle();
    let configuration: [&Path; 2] = [&arguments.daemon.config, &config.member];
    let own = Needs {
        directories: vec![&config.run_dir, &config.log_dir],
        private_files: &config.private_files,
        configuration: configuration.to_vec(),
    };
    // The agent reads the same private files as the supervisor, and may be first after a reboot.
    let of_member = if looked_after {
        prepare::of_member(&member, &configuration)?
    } else {
        Needs {
            directories: vec![&member.paths.state_dir],
            private_files: &member.paths.private_files,
            configuration: configuration.to_vec(),
        }
    };
    prepare::give_up_root(&config.user, &[own, of_member])?;
    if arguments.daemon.detach {
        daemon.detach()?;
        return Ok(Exit::Done);
    }
    daemon.run("agent", || server::serve(&config, member).map(|()| Exit::Done))
}
