//! `galera-bootstrap`: the errand that brings a cluster back that has no primary component.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use mariadb_galera::cli::{self, Exit};
use mariadb_galera::cluster::bootstrap::Force;
use mariadb_galera::config::{self, BadConfig, BootstrapConfig};
use mariadb_galera::errand;
use mariadb_galera::host::prepare;

/// Brings a cluster back that has no primary component: collects the position of every member, makes the
/// furthest primary where that is proven to lose nothing, joins the others, and verifies.
///
/// On a healthy cluster it changes nothing. It refuses, and changes nothing, when a primary component
/// exists, and when nothing proves that no commit would be lost; it then says what a person may decide, with
/// --node and --accept-missing. It can be run on all instances at once (one leads, the others end with its
/// result), and again at any time.
///
/// Exit codes: 0 done, or nothing to do; 1 failed; 2 wrong arguments or configuration; 3 refused.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The errand's configuration, galera-bootstrap.yml
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Tell what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Go on from this member, as a person decided where nothing can be proven
    #[arg(long, value_name = "INSTANCE")]
    node: Option<String>,
    /// A member of which something may be lost by that; each must be named
    #[arg(long, value_name = "INSTANCE", requires = "node")]
    accept_missing: Vec<String>,
    /// Although maintenance is on
    #[arg(long, requires = "node")]
    during_maintenance: bool,
    /// Only read the configuration
    #[arg(long)]
    check_config: bool,
}

fn main() -> ExitCode {
    cli::main("galera-bootstrap", |arguments: Arguments| run(&arguments))
}

fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let config: BootstrapConfig = config::load(&arguments.config)?;
    if arguments.check_config {
        return Ok(Exit::Done);
    }
    let accept_missing = arguments.accept_missing.clone();
    let force = arguments.node.clone().map(|node| Force { node, accept_missing });
    if let Some(why) = force.as_ref().and_then(|force| force.fault(&config.cluster)) {
        return Err(BadConfig::of(why).into());
    }
    // Errands run as root, and BOSH renders files for root and vcap.
    prepare::directories("root", &[&config.log_dir], &config.private_files)?;
    errand::run(config, arguments.dry_run, force, arguments.during_maintenance)
}
