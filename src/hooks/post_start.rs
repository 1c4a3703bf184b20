//! `post-start`: BOSH goes on to the next instance when it ends.

use std::time::Instant;

use anyhow::Result;

use super::{LOOK_EVERY, Teller};
use crate::agent::client::Client;
use crate::cli::Exit;
use crate::cluster::started::{Started, progress, started};
use crate::config::MemberConfig;
use crate::host::observe;
use crate::say;

/// Waits until this member serves, as long as there is progress.
pub fn run(config: &MemberConfig) -> Result<Exit> {
    let (begun, mut teller) = (Instant::now(), Teller::new());
    let (mut seen, mut changed) = (None, Instant::now());
    loop {
        let own = observe::own(config)?;
        let now = Some(progress(&own));
        if seen != now {
            (seen, changed) = (now, Instant::now());
        }
        let name = &config.instance;
        match started(&own, &Client::ask_others(config, false), changed.elapsed(), config.timeouts.join_stall) {
            Started::Ready => {
                say!("{} {name} serves, after {:.1} s", crate::log::now(), begun.elapsed().as_secs_f64());
                return Ok(Exit::Done);
            }
            Started::ColdStart(why) => {
                say!(
                    "{} {name} DOES NOT SERVE YET, and cannot before others are up. The deployment goes on, so that \
                     they are started; post-deploy looks at the whole. {why}",
                    crate::log::now()
                );
                return Ok(Exit::Done);
            }
            Started::Cannot(why) => anyhow::bail!("{name} does not come up: {why}"),
            Started::Wait(what) if begun.elapsed() >= config.timeouts.post_start => {
                anyhow::bail!("{name} did not serve within {} s: {what}", config.timeouts.post_start.as_secs())
            }
            Started::Wait(what) => {
                teller.tell(name, &format!("waiting: {}", what.strip_prefix("wait: ").unwrap_or(&what)))
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
