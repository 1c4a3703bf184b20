//! `galera-proxy`: looks after this VM's HAProxy. Run by monit and BOSH's hooks; see `--help`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use mariadb_galera::cli::{self, Exit, InBackground};
use mariadb_galera::config;
use mariadb_galera::host::detach::Daemon;
use mariadb_galera::host::open_files;
use mariadb_galera::host::prepare::{self, Needs};
use mariadb_galera::log;
use mariadb_galera::proxy::admitted::Admitted;
use mariadb_galera::proxy::config::ProxyConfig;
use mariadb_galera::proxy::{haproxy, leaving, supervising};

/// How long a stop may take: HAProxy's own end, by SIGKILL at last.
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// Runs HAProxy, which sends all clients to one member, the writer, and to another one when that is unfit.
///
/// It remembers the writer over restarts, asks the other proxies for theirs, and cuts clients that are on another
/// member. Its own end by SIGKILL does not touch HAProxy; the next start adopts it.
///
/// Exit codes: 0 done; 1 failed, or HAProxy ended; 2 wrong arguments or configuration, nothing was changed.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    daemon: InBackground,
    /// Only make directories and ownership, and have HAProxy check its configuration
    #[arg(long, group = "what")]
    prepare: bool,
    /// Take no new clients, let those that are connected go on for a while, then stop; prints 0
    #[arg(long, group = "what")]
    drain: bool,
    /// Have HAProxy read its configuration anew, without cutting clients
    #[arg(long, group = "what")]
    reload: bool,
    /// Wait until the proxy answers, and for the time that a load balancer needs
    #[arg(long, group = "what")]
    await_start: bool,
    /// What BOSH's agent gives to drain scripts; it is only logged
    #[arg(hide = true, requires = "drain")]
    from_bosh: Vec<String>,
}

fn main() -> ExitCode {
    cli::in_background("galera-proxy", |arguments: &Arguments| &arguments.daemon, run)
}

fn run(arguments: &Arguments) -> Result<Exit> {
    let config: ProxyConfig = config::load(&arguments.daemon.config)?;
    if arguments.daemon.check_config {
        return Ok(Exit::Done);
    }
    log::set_instance(&config.runs_on);
    if arguments.await_start || arguments.daemon.stop {
        // The lock, which says whom to stop, lies in a folder of that user's.
        prepare::become_user(&config.user)?;
    }
    if arguments.await_start {
        println!("{}", leaving::await_start(&config)?);
        return Ok(Exit::Done);
    }
    let daemon = Daemon::named("galera-proxy", &config.run_dir, &config.log_dir);
    if arguments.daemon.stop {
        return stop(&config, &daemon);
    }
    Daemon::settle();
    open_files::allow(config.open_files)?;
    let needs = Needs {
        directories: vec![&config.run_dir, &config.log_dir, &config.data_dir],
        private_files: &config.private_files,
        configuration: vec![&arguments.daemon.config],
    };
    prepare::give_up_root(&config.user, &[needs])?;
    if arguments.drain {
        return drain(&config, &arguments.from_bosh);
    }
    if arguments.reload {
        println!("{}", leaving::reload(&config)?);
        return Ok(Exit::Done);
    }
    // HAProxy does not start without these files.
    if !config.writer_file().exists() {
        supervising::remember(&config, None)?;
    }
    if arguments.prepare {
        Admitted::prepare(&config)?;
        haproxy::check(&config)?;
        return Ok(Exit::Done);
    }
    if arguments.daemon.detach {
        daemon.detach()?;
        return Ok(Exit::Done);
    }
    daemon.run("proxy", || supervising::run(&config))
}

/// Also an HAProxy that has lost its `galera-proxy`.
fn stop(config: &ProxyConfig, daemon: &Daemon) -> Result<Exit> {
    daemon.stop(STOP_LIMIT)?;
    match haproxy::running(config) {
        Some(master) => supervising::end(master),
        None => Ok(Exit::Done),
    }
}

fn drain(config: &ProxyConfig, from_bosh: &[String]) -> Result<Exit> {
    leaving::note(config, &format!("drain begins ({})", from_bosh.join(" ")));
    let how = leaving::drain(config);
    match &how {
        Ok(told) => leaving::note(config, told),
        Err(e) => leaving::note(config, &format!("drain failed: {e:#}")),
    }
    how?;
    // BOSH's agent takes exactly one integer for success, whatever the exit status is.
    println!("0");
    Ok(Exit::Done)
}
