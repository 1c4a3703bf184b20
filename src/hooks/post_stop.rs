//! `post-stop`: the last moment before the director takes the disk away. It goes on when a stop has timed out, and
//! only a failure here keeps it from doing so under a server that lives.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::{LOOK_EVERY, Teller};
use crate::cli::Exit;
use crate::config::MemberConfig;
use crate::host::detach::Daemon;
use crate::host::processes::find_mariadbd;

/// How long what is ending may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Makes sure that nothing of ours runs.
pub fn run(config: &MemberConfig) -> Result<Exit> {
    let (begun, mut teller) = (Instant::now(), Teller::new());
    let daemon = Daemon::named("galera-start", &config.paths.run_dir, &config.paths.log_dir);
    loop {
        let supervisor = daemon.running().map(|p| format!("galera-start (process {})", p.pid));
        let server = find_mariadbd(&config.mariadb.defaults_file).map(|(p, _)| format!("mariadbd (process {})", p.pid));
        let alive: Vec<String> = supervisor.into_iter().chain(server).collect();
        if alive.is_empty() {
            return Ok(Exit::Done);
        }
        let alive = alive.join(" and ");
        if begun.elapsed() >= LIMIT {
            bail!(
                "{alive} of {} still runs; its disk must not be taken away: see galera-start.log, and stop it",
                config.instance
            );
        }
        teller.tell(&config.instance, &format!("waiting for {alive} to end"));
        std::thread::sleep(LOOK_EVERY);
    }
}
