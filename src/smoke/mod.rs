//! The smoke test: what a client of the cluster does, through every proxy, and seen on every member.

pub mod client;
pub mod config;

use std::time::Instant;

use anyhow::{Result, bail, ensure};

use crate::cli::Exit;
use crate::cluster::diagnosis::folded;
use crate::host::random::random_uuid;
use crate::say;
use client::Session;
use config::{Address, SmokeConfig};

/// Tries everything, tells each result in a line, and fails if one did.
pub fn run(config: &SmokeConfig) -> Result<Exit> {
    let (mut written, mut failures) = (0, 0);
    for entry in &config.entries {
        let (told, failed) = try_entry(config, entry);
        told.iter().for_each(|line| say!("{}", folded(line)));
        written += usize::from(failed == 0);
        failures += failed;
    }
    let (entries, members) = (config.entries.len(), config.members.len());
    if failures > 0 {
        bail!(
            "{failures} of {} checks failed. What the members say of themselves: bosh run-errand diagnose",
            entries * (members + 1)
        );
    }
    say!(
        "{}",
        folded(&format!(
            "The cluster serves: written through {written} of {entries}, and each write read on {members} of {members}."
        ))
    );
    Ok(Exit::Done)
}

/// One write through an entry, looked for on each member. The lines to tell, and how many checks failed.
fn try_entry(config: &SmokeConfig, entry: &Address) -> (Vec<String>, usize) {
    let begun = Instant::now();
    let mut session = match write(config, entry) {
        Ok(session) => session,
        Err(e) => return (vec![format!("{entry}: FAILED: {e:#}")], 1 + config.members.len()),
    };
    let (by, took) = (session.served_by.clone(), begun.elapsed().as_millis());
    let mut told = vec![format!("{entry}: written and read back on {by} in {took} ms")];
    let mut failed = 0;
    for member in &config.members {
        told.push(match read(config, member, &session) {
            Ok(()) => format!("  {member}: has it"),
            Err(e) => {
                failed += 1;
                format!("  {member}: FAILED: {e:#}")
            }
        });
    }
    if let Err(e) = session.drop_table() {
        failed += 1;
        told.push(format!("{entry}: FAILED: {e:#}"));
    }
    (told, failed)
}

fn write(config: &SmokeConfig, entry: &Address) -> Result<Session> {
    let token = random_uuid()?.to_string();
    let mut session = Session::open(config, entry, &token)?;
    session.make_table()?;
    let written = session.write().and_then(|()| session.read_back());
    match written {
        Ok(found) if found.as_deref() == Some(&*token) => Ok(session),
        Ok(found) => {
            let _ = session.drop_table();
            bail!("wrote {token} and read {}", found.unwrap_or_else(|| "nothing".into()))
        }
        Err(e) => {
            let _ = session.drop_table();
            Err(e)
        }
    }
}

fn read(config: &SmokeConfig, member: &Address, written: &Session) -> Result<()> {
    let mut session = Session::open(config, member, written.token())?;
    session.wait_for_what_was_committed()?;
    let found = session.read_back()?;
    ensure!(
        found.as_deref() == Some(written.token()),
        "does not have what was written; it may serve old data: compare wsrep_cluster_state_uuid and wsrep_cluster_conf_id of the members"
    );
    Ok(())
}
