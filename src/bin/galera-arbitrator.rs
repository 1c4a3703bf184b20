//! `galera-arbitrator`: owns this VM's `garbd`. Run by monit; see `--help`.

use std::process::ExitCode;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use mariadb_galera::agent;
use mariadb_galera::arbitrator_config::ArbitratorConfig;
use mariadb_galera::cli::{self, Exit, InBackground};
use mariadb_galera::cluster::arbitration::ArbitratorSeen;
use mariadb_galera::config;
use mariadb_galera::host::arbitrator;
use mariadb_galera::host::detach::Daemon;
use mariadb_galera::host::prepare::{self, Needs};
use mariadb_galera::log;
use nix::sys::signal::{SigSet, Signal};

/// Votes in a Galera cluster without having data, so that an even number of members survives the loss of one.
///
/// It joins a primary component that members made, under the group name that it has now, and never makes one;
/// it goes when all members have left.
///
/// Exit codes: 0 done; 1 failed; 2 wrong arguments or configuration, nothing was changed.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    daemon: InBackground,
    /// The same as BOSH's drain hook; prints 0
    #[arg(long, group = "what")]
    drain: bool,
    /// What BOSH's hooks are given
    #[arg(hide = true, trailing_var_arg = true)]
    given: Vec<String>,
}

fn main() -> ExitCode {
    cli::in_background("galera-arbitrator", |arguments: &Arguments| &arguments.daemon, run)
}

fn run(arguments: &Arguments) -> Result<Exit> {
    let config: ArbitratorConfig = config::load(&arguments.daemon.config)?;
    if !arguments.drain && !arguments.given.is_empty() {
        return Err(config::BadConfig::saying(format!("not understood: {}", arguments.given.join(" "))).into());
    }
    if arguments.daemon.check_config {
        return Ok(Exit::Done);
    }
    log::set_instance(&config.instance);
    let daemon = Daemon::named("galera-arbitrator", &config.run_dir, &config.log_dir);
    if arguments.daemon.stop || arguments.drain {
        // The lock, which says whom to stop, lies in a folder of that user's.
        prepare::become_user(&config.user)?;
        // A round of questions may be under way; then garbd has its own bound.
        daemon.stop(config.ask_timeout + config.stop_timeout + Duration::from_secs(15))?;
        if arguments.drain {
            println!("0");
        }
        return Ok(Exit::Done);
    }
    Daemon::settle();
    let needs = Needs {
        directories: vec![&config.run_dir, &config.log_dir],
        private_files: &config.private_files,
        configuration: vec![&arguments.daemon.config],
    };
    prepare::give_up_root(&config.user, &[needs])?;
    if arguments.daemon.detach {
        daemon.detach()?;
        return Ok(Exit::Done);
    }
    daemon.run("arbitrator", || arbitrate(config).map(|()| Exit::Done))
}

fn arbitrate(config: ArbitratorConfig) -> Result<()> {
    let (stop, stopped) = channel();
    catch_signals(stop)?;
    let me = config.me().context("instance is none of cluster.arbitrators")?;
    let told = Arc::new(Mutex::new(ArbitratorSeen {
        name: me.name.clone(),
        id: me.id.clone(),
        component: None,
        group: None,
        detail: "it has just begun".into(),
    }));
    let (voice, heard) = (config.clone(), Arc::clone(&told));
    std::thread::Builder::new().name("agent".into()).spawn(move || {
        // Its vote counts more than its voice: without a port it goes on, and says so.
        if let Err(e) = agent::arbitrator::serve(&voice, heard) {
            log::error("agent.failed", &[("why", &format!("{e:#}"))]);
        }
    })?;
    arbitrator::run(config, told, &stopped)
}

/// Blocks SIGTERM and SIGINT in all threads, and turns them into an event.
fn catch_signals(stop: Sender<()>) -> Result<()> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    signals.thread_block().context("block signals")?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        while signals.wait().is_ok() {
            if stop.send(()).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}
