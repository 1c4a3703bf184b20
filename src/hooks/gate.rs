//! The gate of `pre-stop` and of drain: waits until this member may leave, or says why it may not.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::LOOK_EVERY;
use crate::agent::client::Client;
use crate::cluster::leave::{Free, Intent, NotNow, may_leave};
use crate::config::MemberConfig;
use crate::host::observe;

/// Waits until this member may leave. A state transfer is waited for up to `bound`; anything else is looked at
/// for `timeouts.gate`, longer than Galera takes to notice that a member is gone, and refused then.
pub fn wait_to_leave(
    config: &MemberConfig,
    intent: Intent,
    bound: Duration,
    mut tell: impl FnMut(&str),
) -> Result<Result<Free, NotNow>> {
    let (begun, mut in_doubt, mut told) = (Instant::now(), None::<Instant>, None);
    loop {
        let own = observe::own(config)?;
        let no = match may_leave(&own, &Client::ask_others(config, false), intent) {
            Ok(free) => return Ok(Ok(free)),
            Err(no) => no,
        };
        let doubted = if no.passes() { None } else { Some(in_doubt.unwrap_or_else(Instant::now)) };
        in_doubt = doubted;
        if begun.elapsed() >= bound || doubted.is_some_and(|since| since.elapsed() >= config.timeouts.gate) {
            return Ok(Err(no));
        }
        if told.as_ref() != Some(&no) {
            tell(&format!("waiting, because {no}"));
            told = Some(no);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The sentence of a refusal, with the ways out.
pub fn refusal(instance: &str, no: &NotNow) -> String {
    format!(
        "{instance} does not leave: {no}. Mend that first (bosh run-errand diagnose). To stop it all the same: --skip-drain, \
         which still stops mariadbd gracefully"
    )
}
