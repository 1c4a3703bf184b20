//! `galera-agent`: eyes and hands of this VM's member over HTTP(S). Run by monit; see `--help`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use mariadb_galera::agent::server;
use mariadb_galera::cli::{self, Exit, InBackground};
use mariadb_galera::config::{self, AgentConfig, MemberConfig};
use mariadb_galera::host::detach::Daemon;
use mariadb_galera::host::prepare;
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
    cli::main("galera-agent", |arguments: Arguments| run(&arguments))
}

fn run(arguments: &Arguments) -> Result<Exit> {
    let config: AgentConfig = config::load(&arguments.daemon.config)?;
    if arguments.daemon.check_config {
        return Ok(Exit::Done);
    }
    let daemon = Daemon::named("galera-agent", &config.run_dir, &config.log_dir).thrifty();
    if arguments.daemon.stop {
        daemon.stop(STOP_LIMIT)?;
        return Ok(Exit::Done);
    }
    // Where somebody else looks after mariadbd, directories are theirs too.
    let known = small_config::load(&config.member)?;
    let looked_after = matches!(known, Known::Member(_));
    let member: MemberConfig = known.member()?;
    log::set_instance(&member.instance);
    Daemon::settle();
    prepare::directories(&config.user, &[&config.run_dir, &config.log_dir], &config.private_files)?;
    // The agent reads the same private files as the supervisor, and may be first after a reboot.
    if looked_after {
        prepare::member(&member)?;
    } else {
        prepare::directories(&config.user, &[&member.paths.state_dir], &member.paths.private_files)?;
    }
    prepare::become_user(&config.user)?;
    if arguments.daemon.detach {
        daemon.detach()?;
        return Ok(Exit::Done);
    }
    daemon.run("agent", || server::serve(&config, member).map(|()| Exit::Done))
}
