//! `galera-drain`: BOSH's drain hook. Asks whether this member may leave, and stops `mariadbd` through
//! `galera-start`, bounded.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use mariadb_galera::cli::{self, Exit};
use mariadb_galera::config::{self, MemberConfig};
use mariadb_galera::hooks::gate;
use mariadb_galera::host::detach::Daemon;
use mariadb_galera::host::early;
use mariadb_galera::host::mariadbd::wait_gone;
use mariadb_galera::host::next_state::NextState;
use mariadb_galera::host::prepare::{self, Needs};
use mariadb_galera::host::processes::{Handle, find_mariadbd};
use mariadb_galera::host::socket::{Reply, Request, ask};
use mariadb_galera::log;
use nix::sys::signal::Signal;

/// In the log directory; BOSH keeps nothing of what a drain says.
const LOG: &str = "drain.log";
/// What is kept back of the bound for making sure that everything is gone.
const RESERVE: Duration = Duration::from_secs(10);

/// Leaves the cluster, if the others can do without this member: stops mariadbd through galera-start, and waits until
/// it is really gone.
///
/// Prints 0 on stdout, and nothing else, when that is done. To refuse or to fail it prints nothing on
/// stdout and ends with another code: BOSH's agent does not look at the code beside an integer. Why is
/// in drain.log.
///
/// Exit codes: 0 done; 1 failed; 2 wrong arguments or configuration, nothing was changed; 3 refused, nothing
/// was changed.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// This member's configuration, member.yml
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Its log, where what fails before the configuration is known is told too; BOSH keeps nothing of what is said
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// What BOSH's agent passes: job_shutdown or job_changed, hash_..., updated packages
    #[arg(value_name = "HOOK_ARGUMENT")]
    hook: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = match cli::arguments::<Arguments>() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let config = configured(&arguments);
    if let (Err(error), Some(log)) = (&config, &arguments.log) {
        early::tell("galera-drain", log, &format!("{error:#}"));
    }
    let result = config.and_then(|config| drain(&arguments, &config));
    if let Ok(Exit::Done) = result {
        // Last, and only on success: an integer on stdout means success to BOSH, whatever the exit code.
        println!("0");
    }
    cli::end("galera-drain", result)
}

fn configured(arguments: &Arguments) -> Result<MemberConfig> {
    let config: MemberConfig = config::load(&arguments.config)?;
    log::set_instance(&config.instance);
    // The local administrator is known by the user that asks over the socket; its log lies in a folder of that user's.
    let needs = Needs { directories: vec![&config.paths.log_dir, &config.paths.run_dir], ..Needs::default() };
    prepare::give_up_root(&config.mariadb.user, &[needs])?;
    Ok(config)
}

fn drain(arguments: &Arguments, config: &MemberConfig) -> Result<Exit> {
    let begun = Instant::now();
    let environment: Vec<String> = std::env::vars()
        .filter(|(name, _)| name.starts_with("BOSH_"))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    note(config, &format!("begun: {} {}", arguments.hook.join(" "), environment.join(" ")));
    let result = ask_and_leave(config, begun);
    let seconds = begun.elapsed().as_secs_f64();
    match &result {
        Ok(Drained::Left(how)) => note(config, &format!("done after {seconds:.1} s: {how}")),
        Ok(Drained::Refused(why)) => note(config, &format!("refused after {seconds:.1} s: {why}")),
        Err(e) => note(config, &format!("failed after {seconds:.1} s: {e:#}")),
    }
    result.map(|drained| match drained {
        Drained::Left(_) => Exit::Done,
        Drained::Refused(_) => Exit::Refused,
    })
}

/// How a drain ends, where it does not fail; in words.
enum Drained {
    Left(String),
    Refused(String),
}

/// `pre-stop` has asked already; much may have happened since, and older agents do not run it.
fn ask_and_leave(config: &MemberConfig, begun: Instant) -> Result<Drained> {
    let intent = NextState::left(&config.paths).intent();
    let drained = match gate::wait_to_leave(config, intent, config.timeouts.drain, |what| note(config, what))? {
        Ok(free) => {
            note(config, &format!("may leave: {free}"));
            leave(config, begun).map(Drained::Left)
        }
        Err(no) => Ok(Drained::Refused(gate::refusal(&config.instance, &no))),
    };
    // Not before: until this member is seen to stop, others tell by it that it goes for good.
    NextState::forget(&config.paths);
    drained
}

/// Through the supervisor; directly where there is none.
fn leave(config: &MemberConfig, begun: Instant) -> Result<String> {
    let bound = config.timeouts.drain;
    let for_stop = bound.saturating_sub(RESERVE);
    let daemon = Daemon::named("galera-start", &config.paths.run_dir, &config.paths.log_dir);
    let Some(supervisor) = daemon.running() else {
        return stop_orphan(config, for_stop);
    };
    let request = Request::Leave { within_seconds: for_stop.as_secs(), reason: "drain".into() };
    match ask(&config.paths.run_dir, &request) {
        Ok(Reply::Done { .. } | Reply::UnderWay { .. }) => {}
        Ok(Reply::Status(_)) => bail!("galera-start does not stop mariadbd, and tells its status instead"),
        // Its socket may be gone while the process is ending, or it is busy; a signal asks for the same, and waits.
        Ok(Reply::Refused { why }) => by_signal(config, supervisor, &why)?,
        Err(e) => by_signal(config, supervisor, &format!("{e:#}"))?,
    }
    while supervisor.lives() {
        if begun.elapsed() > bound {
            bail!(
                "galera-start (process {}) did not end within {} s; see galera-start.log",
                supervisor.pid,
                bound.as_secs()
            );
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    match find_mariadbd(&config.mariadb.defaults_file) {
        None => Ok(format!("galera-start and mariadbd have ended; {}", standing(config))),
        Some(_) => stop_orphan(config, for_stop.saturating_sub(begun.elapsed())),
    }
}

fn by_signal(config: &MemberConfig, supervisor: Handle, why: &str) -> Result<()> {
    note(config, &format!("asking galera-start by SIGTERM, because: {why}"));
    supervisor.signal(Signal::SIGTERM)
}

/// Stops a `mariadbd` that has no supervisor: SIGTERM, and SIGKILL at the bound.
fn stop_orphan(config: &MemberConfig, bound: Duration) -> Result<String> {
    let Some((handle, _)) = find_mariadbd(&config.mariadb.defaults_file) else {
        return Ok(format!("nothing runs; {}", standing(config)));
    };
    handle.signal(Signal::SIGTERM)?;
    if wait_gone(handle, bound).is_err() {
        note(config, &format!("mariadbd (process {}) did not end after SIGTERM; SIGKILL", handle.pid));
        handle.signal_group(Signal::SIGKILL)?;
        wait_gone(handle, RESERVE)?;
    }
    Ok(format!("mariadbd (process {}) had no supervisor, and has ended; {}", handle.pid, standing(config)))
}

fn standing(config: &MemberConfig) -> String {
    let state = mariadb_galera::host::datadir::DataDir::at(&config.mariadb.data_dir).look().grastate;
    match state.present().and_then(|g| g.clean_position()) {
        Some(position) => format!("grastate.dat is clean at {position}"),
        None => "grastate.dat has no position; it is recovered at the next start".into(),
    }
}

/// One line in drain.log, and on stderr, which BOSH's agent keeps in its own log only.
fn note(config: &MemberConfig, what: &str) {
    let line = format!("{} {} {what}\n", log::now(), config.instance);
    eprint!("{line}");
    let path = config.paths.log_dir.join(LOG);
    let written = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .open(&path)
        .and_then(|mut file| file.write_all(line.as_bytes()))
        .with_context(|| format!("write {}", path.display()));
    if let Err(e) = written {
        eprintln!("{e:#}");
    }
}
