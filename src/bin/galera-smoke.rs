//! `galera-smoke`: the errand that tries the cluster as a client would.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use mariadb_galera::cli::{self, Exit};
use mariadb_galera::config;
use mariadb_galera::host::prepare::{self, Needs};
use mariadb_galera::smoke::{self, config::SmokeConfig};

/// Writes through every proxy (without proxies, through every member), reads each write on every member, and
/// leaves nothing behind. It can be run at any time, and on several instances at once.
///
/// Exit codes: 0 everything worked; 1 something did not, and which; 2 wrong arguments or configuration.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The errand's configuration, galera-smoke.yml
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Only read the configuration
    #[arg(long)]
    check_config: bool,
}

fn main() -> ExitCode {
    cli::main("galera-smoke", |arguments: Arguments| run(&arguments))
}

fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let config: SmokeConfig = config::load(&arguments.config)?;
    if arguments.check_config {
        return Ok(Exit::Done);
    }
    let needs =
        Needs { private_files: &config.private_files, configuration: vec![&arguments.config], ..Needs::default() };
    prepare::give_up_root(&config.runs_as, &[needs])?;
    smoke::run(&config)
}
