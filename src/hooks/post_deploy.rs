//! `post-deploy`: whether the whole cluster is well. It runs on all instances at once.

use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::{LOOK_EVERY, Teller};
use crate::agent::client::Client;
use crate::cli::Exit;
use crate::cluster::diagnosis::diagnose;
use crate::cluster::leave::Others;
use crate::cluster::observation::MemberView;
use crate::cluster::primary::{Primaries, primaries};
use crate::config::MemberConfig;
use crate::errand::{table, write_is_seen};
use crate::host::observe;
use crate::say;

/// Waits until every member serves, but for those that were stopped in order; then one writes, and all
/// must show it.
pub fn run(config: &MemberConfig) -> Result<Exit> {
    let (begun, mut teller) = (Instant::now(), Teller::new());
    let client = Client::new(&config.agents, config.timeouts.ask, config.mariadb.galera_port);
    loop {
        let own = observe::own(config)?;
        let others = Client::ask_others(config, false);
        let company = Others::seen_by(&own, &others);
        let serves = own.wsrep.as_ref().is_some_and(|w| w.is_synced());
        let me = config.split()?.0;
        let views: Vec<MemberView> = std::iter::once(MemberView::own(me, own)).chain(others).collect();
        if serves && company.well() {
            verify(config, &client, &views)?;
            say!("{} {} serves; {company}", crate::log::now(), config.instance);
            return Ok(Exit::Done);
        }
        if begun.elapsed() >= config.timeouts.post_deploy {
            let diagnosis = diagnose(&config.cluster, &views);
            say!("{}\n{diagnosis}", table::of(&views));
            bail!(
                "the cluster is not whole {} s after the deployment: {}",
                config.timeouts.post_deploy.as_secs(),
                diagnosis.code
            )
        }
        let own = if serves { "" } else { "this member does not serve; " };
        teller.tell(&config.instance, &format!("waiting: {own}{company}"));
        std::thread::sleep(LOOK_EVERY);
    }
}

/// One primary component of one history; and the first of its members writes what all must show.
fn verify(config: &MemberConfig, client: &Client, views: &[MemberView]) -> Result<()> {
    let Primaries::One(primary) = primaries(views.iter().filter_map(MemberView::seen)) else {
        bail!("there is not exactly one primary component; what to do: bosh run-errand diagnose");
    };
    primary.history.context("the members do not agree on one history; what to do: bosh run-errand diagnose")?;
    // They would overwrite each other's.
    if primary.synced.first() == Some(&config.instance) {
        let members: Vec<_> = primary.synced.iter().filter_map(|name| config.cluster.member(name)).collect();
        write_is_seen(client, &members)?;
        say!("{} a write on {} was seen on {}", crate::log::now(), config.instance, primary.synced.join(", "));
    }
    Ok(())
}
