//! `rejoin`: what giving this member's data up would lose, the other choices, and the decision (Q11).

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use serde::Deserialize;

use crate::agent::client::Client;
use crate::cli::Exit;
use crate::cluster::diagnosis::wrapped;
use crate::cluster::join::{GIVE_UP, may_abandon, may_join};
use crate::cluster::observation::Observation;
use crate::cluster::primary::{Primaries, primaries};
use crate::cluster::standing::{Standing, Unknown};
use crate::config::{self, Config, MemberConfig};
use crate::galera::log_lines::Evidence;
use crate::host::datadir::DataDir;
use crate::host::mariadbd::last_life;
use crate::host::observe::{self, free_bytes};
use crate::host::socket::{Reply, Request, ask};
use crate::say;

/// Pause between two questions whether `mariadbd` has ended.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// The decision of a person, or none.
#[derive(Debug, Clone, Args)]
pub struct Rejoin {
    /// The decision: this member's data is moved aside, and whatever only it has is not in the cluster
    #[arg(long)]
    abandon_data: bool,
    /// Delete the data instead of keeping it aside, where there is no room for both
    #[arg(long, requires = "abandon_data")]
    delete: bool,
    /// Where no decision is given: a file that names one instance, and the position given up
    #[arg(long, value_name = "FILE")]
    decision: Option<PathBuf>,
}

/// `decision.yml` of job `rejoin`. An errand takes no arguments, and its properties stay in the manifest; so the
/// decision names the instance and the position that is given up, and means nothing once that is gone.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    #[serde(default)]
    instance: Option<String>,
    #[serde(default)]
    abandon_position: Option<String>,
    delete: bool,
}

impl Config for Decision {
    fn fault(&self) -> Option<String> {
        (self.abandon_position.is_some() && self.instance.is_none())
            .then(|| "abandon_position: whose? instance is not given".into())
    }
}

/// What is to be done here.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    /// Nothing: tell.
    Tell,
    /// It is given up.
    Abandon {
        /// Without keeping it.
        delete: bool,
    },
}

impl Rejoin {
    /// Says what is at stake; with the decision, carries it out.
    pub fn run(&self, config: &MemberConfig) -> Result<Exit> {
        let seen = observe::own(config)?;
        let at = seen.position.position().map_or("unknown".to_owned(), |p| p.to_string());
        let wish = match &self.decision {
            _ if self.abandon_data => Wish::Abandon { delete: self.delete },
            None => Wish::Tell,
            Some(file) => match wanted(&config::load(file)?, &config.instance, &seen.member.id, &at) {
                Ok(wish) => wish,
                Err(why) => return Ok(refused(&why)),
            },
        };
        let errand = self.decision.is_some() && !self.abandon_data;
        if seen.wsrep.as_ref().is_some_and(|w| w.is_primary()) {
            say!("{} is in the primary component; there is nothing to rejoin.", config.instance);
            if let Some(kept) = seen.kept_aside.last() {
                say!("What was set aside is read without Galera, as root:");
                tell_salvage(config, kept);
            }
            return Ok(Exit::Done);
        }
        let others = Client::ask_others(config, false);
        let primaries = primaries(others.iter().filter_map(|v| v.seen()));
        let stake = match may_abandon(&seen, &primaries) {
            Ok(stake) => stake,
            // An errand runs everywhere; where nothing was asked for, this is no failure.
            Err(why) if errand && wish == Wish::Tell => {
                tell(&format!("{} is not joined: {why}.", config.instance));
                return Ok(Exit::Done);
            }
            Err(why) => return Ok(refused(&why)),
        };
        tell(&format!("{} stands at {}.", config.instance, seen.position));
        let Some(stake) = stake else {
            say!("It has no data, and joins by itself.");
            return Ok(Exit::Done);
        };
        tell(&format!("At stake: {stake}."));
        if wish == Wish::Tell && joins(&seen, &primaries) {
            say!("It joins by itself; nobody has to give anything up.");
            return Ok(Exit::Done);
        }
        let room = room(config)?;
        match wish {
            Wish::Tell => {
                tell_choices(config, errand, &at, &seen);
                Ok(Exit::Done)
            }
            Wish::Abandon { delete } if !room && !delete => {
                let way = if errand { "rejoin.delete: true".into() } else { format!("{GIVE_UP} --delete") };
                Ok(refused(&format!("there is no room to keep it aside; make room, or delete it: {way}")))
            }
            Wish::Abandon { delete } => abandon(config, &seen, !delete),
        }
    }
}

/// Whether the others found that its data differs. Who of them is right is not known.
fn voted_out(seen: &Observation) -> bool {
    matches!(&seen.position, Standing::Unknown { why: Unknown::VotedOut, .. }) || seen.is_voted_out()
}

fn joins(seen: &Observation, of: &Primaries) -> bool {
    matches!(of, Primaries::One(primary) if may_join(&seen.position, &seen.memory, primary).is_ok())
}

/// What the decision of an errand means on this instance.
fn wanted(decision: &Decision, name: &str, id: &str, at: &str) -> Result<Wish, String> {
    let here = decision.instance.as_ref().is_some_and(|given| given == name || given == id);
    match &decision.abandon_position {
        Some(given) if here && given == at => Ok(Wish::Abandon { delete: decision.delete }),
        Some(given) if here => Err(format!(
            "rejoin.abandon_position gives {given} up, and {name} stands at {at}: look again, and decide again"
        )),
        Some(_) | None => Ok(Wish::Tell),
    }
}

/// Whether there is room for the copy of the cluster's data beside what is kept; told too.
fn room(config: &MemberConfig) -> Result<bool> {
    let (size, free) =
        (DataDir::at(&config.mariadb.data_dir).size()?, free_bytes(&config.paths.state_dir).unwrap_or_default());
    say!("Its data takes {} MiB; {} MiB are free for the copy of the cluster's.", size >> 20, free >> 20);
    // A copy of the cluster's data is about as large as this one.
    Ok(free > size + size / 10)
}

fn tell_choices(config: &MemberConfig, errand: bool, at: &str, seen: &Observation) {
    let me = &config.instance;
    let others = || config.cluster.members.iter().filter(|m| m.name != *me).map(|m| m.name.as_str());
    let accept: String = others().map(|name| format!(" --accept-missing {name}")).collect();
    let stop: Vec<String> = others().map(|name| format!("bosh stop --skip-drain {name}")).collect();
    say!("A person chooses; nothing is done by itself:");
    say!("1. Give it up, and keep it aside. The member gets a copy of the cluster's data:");
    if errand {
        say!(
            "     rejoin.instance: {me}\n     rejoin.abandon_position: {at}\n     (properties; then deploy, and run this errand again)"
        );
        say!("   or on that VM:\n     {GIVE_UP}");
    } else {
        say!("     {GIVE_UP}");
    }
    say!("2. Salvage what only it has: first 1, then read the copy that was kept, and");
    say!("   write what is missed, on the VM of this member as root:");
    tell_salvage(config, &config.mariadb.data_dir.with_extension("abandoned-TIME").display().to_string());
    if voted_out(seen) {
        say!("Compare before you give it up: the vote counts members, and tells not who is");
        say!("right. One that was outvoted may be the only one that has a table, or a row;");
        say!("then what it has is written into the others by 2. A cluster is not begun from");
        say!("it by itself, nor by the errand.");
        if last_life(config).iter().any(Evidence::succeeded_alone) {
            say!("Its log says that it carried out what the others failed at: look what they");
            say!("failed with (\"initiates vote\" in mariadb.err.log). Where their disks were full,");
            say!("say, it has what clients were told is committed, and they do not.");
        }
        return;
    }
    say!("3. Go on from this member, and give up what the others committed since; it is");
    say!("   kept on them:");
    say!("     {}", stop.join("\n     "));
    say!("     /var/vcap/jobs/bootstrap/bin/run --node {me}{accept}");
    say!("     then start the others, and 1 on each of them");
}

/// The server is waited for as long as it lives, and ended: two on one directory would break it. Its socket is in a folder of
/// its own, and what talks to it is its own user: what anybody else put there is not taken for it. The server is that user
/// from the beginning: before it gives root up, it opens a file in the data directory, through a link. The dump has hashes of
/// passwords.
fn tell_salvage(config: &MemberConfig, kept: &str) {
    let (program, user) = (&config.mariadb.program, &config.mariadb.user);
    say!("     umask 077; d=$(mktemp -d); chown {user} $d");
    say!("     setpriv --reuid={user} --regid={user} --init-groups \\");
    say!("       {} --no-defaults --skip-networking \\", program.display());
    say!("       --wsrep-provider=none --socket=$d/salvage.sock \\");
    say!("       --datadir={kept} &");
    say!("     while kill -0 %1 && [ ! -S $d/salvage.sock ]; do sleep 1; done");
    say!("     setpriv --reuid={user} --regid={user} --init-groups \\");
    say!("       {} --socket=$d/salvage.sock \\", program.with_file_name("mariadb-dump").display());
    say!("       --all-databases > salvage.sql");
    say!("     kill %1; wait");
}

fn abandon(config: &MemberConfig, seen: &Observation, keep: bool) -> Result<Exit> {
    let deadline = Instant::now() + config.timeouts.stop + config.timeouts.recover_stall;
    let (mut expect, mut told) = (seen.position.at_most(), false);
    loop {
        match ask(&config.paths.run_dir, &Request::Abandon { expect, keep })? {
            Reply::Done { text } => {
                tell(&format!("Given up: {text}. The member joins now; galera-start.log tells how."));
                return Ok(Exit::Done);
            }
            // While it ran, nothing told where its data goes to; what is given up is still all of it.
            Reply::Refused { why } => {
                // While it ran, less was known of where its data goes to; what is given up is all of it still.
                let found = if told { observe::own(config)?.position.at_most() } else { None };
                if found.is_none() || found == expect {
                    return Ok(refused(&why));
                }
                expect = found;
            }
            Reply::UnderWay { text } if Instant::now() >= deadline => bail!("its mariadbd does not end: {text}"),
            Reply::UnderWay { .. } => {
                if !told {
                    tell("Its mariadbd, which takes part in nothing, is ended first.");
                    told = true;
                }
                std::thread::sleep(LOOK_EVERY);
            }
            other => bail!("galera-start answered {other:?}"),
        }
    }
}

fn tell(what: &str) {
    say!("{}", wrapped("", what));
}

fn refused(why: &str) -> Exit {
    tell(&format!("Refused: {why}. Nothing was changed."));
    Exit::Refused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q11_an_errands_decision_is_for_one_instance_and_what_it_has_now() {
        let decision = |instance: Option<&str>, position: Option<&str>| Decision {
            instance: instance.map(str::to_owned),
            abandon_position: position.map(str::to_owned),
            delete: false,
        };
        let abandoned = Some(Wish::Abandon { delete: false });
        for (given, expected, why) in [
            (decision(None, None), Some(Wish::Tell), "nothing was decided"),
            (decision(Some("mysql/2"), None), Some(Wish::Tell), "named, and not decided"),
            (decision(Some("mysql/1"), Some("u:9")), Some(Wish::Tell), "another one is named"),
            (decision(Some("mysql/2"), Some("u:9")), abandoned, "this one, and what it has"),
            (decision(Some("id-2"), Some("u:8")), None, "it has something else by now: never again without a look"),
        ] {
            assert_eq!(wanted(&given, "mysql/2", "id-2", "u:9").ok(), expected, "{why}");
        }
        assert!(decision(None, Some("u:9")).fault().is_some());
    }
}
