//! `galera-ctl`: for a person on a VM.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use mariadb_galera::cli::{self, Exit};
use mariadb_galera::config::MemberConfig;
use mariadb_galera::ctl::looking::{self, Detail, How};
use mariadb_galera::ctl::rejoin::Rejoin;
use mariadb_galera::ctl::{events, own, report, timeline};
use mariadb_galera::errand::maintenance;
use mariadb_galera::host::prepare::{self, Needs};
use mariadb_galera::small_config;
use nix::unistd::Uid;

/// Tells how the cluster and this member are, and carries out what only a person may decide.
///
/// Exit codes: 0 done, and for `status` and `diagnose` healthy; 1 failed; 2 wrong arguments or configuration;
/// 3 refused, nothing was changed. `status` and `diagnose` besides: 10 degraded, 11 down and recoverable, 12 a
/// person is needed, 13 blind.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// This member's configuration, member.yml; or galera-ctl.yml, which only names the members
    #[arg(long, value_name = "FILE", default_value = "/var/vcap/jobs/mariadb/config/member.yml")]
    config: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// All members in a table, and what it means, in short; one look
    Status(How),
    /// Everything: what is wrong, since when, who has the newest data, what to do and never to do
    Diagnose(How),
    /// This member's last sequence number; -1 if it is not known
    Seqno,
    /// This member in one word: bootstrapping, running, initiating, locked or stopped
    State,
    /// Give this member's data up, so that it gets a copy of the cluster's
    Rejoin(Rejoin),
    Maintenance(maintenance::Arguments),
    /// Collect an incident report from all members that can be reached; changes nothing
    Report(report::Wants),
    /// What happened, from a folder of logs alone; needs no cluster and no configuration
    Timeline(timeline::Wants),
    /// What this member did and met, from its journals
    Events(events::Wants),
}

fn main() -> ExitCode {
    cli::main("galera-ctl", run)
}

fn run(arguments: Arguments) -> Result<Exit> {
    if let What::Timeline(wanted) = &arguments.what {
        return wanted.run();
    }
    let known = small_config::load(&arguments.config)?;
    // The local administrator is known by the user that asks over the socket; and nothing here needs root.
    if let Some(user) = known.user().or(Uid::effective().is_root().then_some("root")) {
        let needs =
            Needs { private_files: known.private_files(), configuration: vec![&arguments.config], ..Needs::default() };
        prepare::give_up_root(user, &[needs])?;
    }
    match &arguments.what {
        What::Status(how) => return looking::run(&known.whom()?, how, Detail::Short),
        What::Diagnose(how) => return looking::run(&known.whom()?, how, Detail::Whole),
        _ => {}
    }
    let config: MemberConfig = known.member()?;
    match arguments.what {
        What::Maintenance(maintenance) => maintenance.run(&config),
        What::Seqno => own::seqno(&config),
        What::State => own::state(&config),
        What::Rejoin(rejoin) => rejoin.run(&config),
        What::Report(wanted) => wanted.run(&config),
        What::Events(wanted) => wanted.run(&config),
        What::Timeline(_) | What::Status(_) | What::Diagnose(_) => Ok(Exit::Done),
    }
}
