//! `galera-bootstrap`: the errand that brings a cluster back that has no primary component.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use mariadb_galera::cli::{self, Exit};
use mariadb_galera::cluster::bootstrap::Force;
use mariadb_galera::config::{self, BadConfig, BootstrapConfig};
use mariadb_galera::errand;
use mariadb_galera::host::prepare::{self, Needs};

/// Brings a cluster back that has no primary component: collects the position of every member, makes the
/// furthest primary where that is proven to lose nothing, joins the others, and verifies.
///
/// On a healthy cluster it changes nothing. It refuses, and changes nothing, when a primary component
/// exists, and when nothing proves that no commit would be lost; it then says what a person may decide, with
/// --node, --accept-missing, --accept-alive and --new-history. It can be run on all instances at once (one leads, the others end with its
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
    /// A member that may be alive where nobody sees what it is: it may serve clients, and go on doing so
    #[arg(long, value_name = "INSTANCE", requires = "node")]
    accept_alive: Vec<String>,
    /// The data of --node has no position, as what a backup restored: a new history begins with it
    #[arg(long, requires = "node")]
    new_history: bool,
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
    let force = arguments.node.clone().map(|node| Force {
        node,
        accept_missing: arguments.accept_missing.clone(),
        accept_alive: arguments.accept_alive.clone(),
        new_history: arguments.new_history,
    });
    if let Some(why) = force.as_ref().and_then(|force| force.fault(&config.cluster)) {
        return Err(BadConfig::of(why).into());
    }
    // BOSH runs errands as root, and this one works in folders of its user's.
    let needs = Needs {
        directories: vec![&config.log_dir],
        private_files: &config.private_files,
        configuration: vec![&arguments.config],
    };
    prepare::give_up_root(&config.user, &[needs])?;
    errand::run(config, arguments.dry_run, force, arguments.during_maintenance)
}
