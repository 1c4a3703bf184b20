//! `galera-hook`: BOSH's lifecycle hooks of job `mariadb`, except drain, which has an executable of its own.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use mariadb_galera::cli::{self, Exit};
use mariadb_galera::config::{self, MemberConfig, SeedConfig};
use mariadb_galera::hooks::{gate, post_deploy, post_start, post_stop};
use mariadb_galera::host::next_state::NextState;
use mariadb_galera::host::{prepare, supervisor};
use mariadb_galera::say;

/// What BOSH runs before and after starts, stops and deployments of a member.
///
/// Exit codes: 0 go on; 1 failed, and the deployment with it; 2 wrong arguments or configuration, nothing
/// was changed; 3 refused: the member must not leave now. The last line on stderr says why.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// This member's configuration, member.yml
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    #[command(subcommand)]
    hook: Hook,
}

#[derive(Subcommand)]
enum Hook {
    /// Make directories, ownership and the empty data directory; never waits for the cluster
    PreStart,
    /// Wait until this member serves, as long as there is progress
    PostStart,
    /// Wait until the whole cluster serves, and a write is seen on each member
    PostDeploy,
    /// Say whether this member may leave; stops nothing, for monit still watches
    PreStop,
    /// Make sure that nothing of this member runs any more
    PostStop,
}

fn main() -> ExitCode {
    cli::main("galera-hook", |arguments: Arguments| run(&arguments))
}

fn run(arguments: &Arguments) -> Result<Exit> {
    let config: MemberConfig = config::load(&arguments.config)?;
    let needs = match arguments.hook {
        Hook::PreStart => {
            config::load::<SeedConfig>(&config.paths.seed_file)?;
            vec![prepare::of_member(&config, &[&arguments.config])?]
        }
        _ => Vec::new(),
    };
    prepare::give_up_root(&config.mariadb.user, &needs)?;
    match arguments.hook {
        Hook::PreStart => {
            prepare::room(&config)?;
            prepare::data_directory(&config)?;
            supervisor::started_by_bosh(&config.paths.run_dir)?;
            Ok(Exit::Done)
        }
        Hook::PostStart => post_start::run(&config),
        Hook::PostDeploy => post_deploy::run(&config),
        Hook::PreStop => pre_stop(&config),
        Hook::PostStop => post_stop::run(&config),
    }
}

fn pre_stop(config: &MemberConfig) -> Result<Exit> {
    let next = NextState::of_environment();
    next.leave(&config.paths)?;
    let tell = |what: &str| say!("{} {} {what}", mariadb_galera::log::now(), config.instance);
    match gate::wait_to_leave(config, next.intent(), config.timeouts.drain, tell)? {
        Ok(free) => {
            say!("{} may leave: {free}", config.instance);
            Ok(Exit::Done)
        }
        Err(no) => {
            NextState::forget(&config.paths);
            bail!("{}", gate::refusal(&config.instance, &no))
        }
    }
}
