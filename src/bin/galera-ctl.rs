//! `galera-ctl`: for a person on a VM.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use mariadb_galera::agent::client::Client;
use mariadb_galera::cli::{self, Exit};
use mariadb_galera::cluster::diagnosis::{ClusterCode, diagnose};
use mariadb_galera::cluster::join::may_abandon;
use mariadb_galera::cluster::member::Member;
use mariadb_galera::cluster::observation::{Phase, SupervisorSight};
use mariadb_galera::cluster::primary::primaries;
use mariadb_galera::config::{self, MemberConfig};
use mariadb_galera::errand::table;
use mariadb_galera::host::datadir::DataDir;
use mariadb_galera::host::observe::free_bytes;
use mariadb_galera::host::socket::{Reply, Request, ask};
use mariadb_galera::host::{observe, prepare};

/// Tells how the cluster and this member are, and carries out what only a person may decide.
///
/// Exit codes: 0 done, and for `status` healthy; 1 failed, or not healthy; 2 wrong arguments or configuration;
/// 3 refused, nothing was changed.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// This member's configuration, member.yml
    #[arg(long, value_name = "FILE", default_value = "/var/vcap/jobs/mariadb/config/member.yml")]
    config: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// All members side by side, what it means, and what there is to do
    Status,
    /// This member's last sequence number; -1 if it is not known
    Seqno,
    /// This member in one word: bootstrapping, running, initiating, locked or stopped
    State,
    /// Give this member's data up, so that it gets a copy of the cluster's
    Rejoin(Rejoin),
}

#[derive(Args)]
struct Rejoin {
    /// The decision: this member's data is moved aside, and whatever only it has is not in the cluster
    #[arg(long)]
    abandon_data: bool,
    /// Delete the data instead of keeping it aside, where there is no room for both
    #[arg(long, requires = "abandon_data")]
    delete: bool,
}

fn main() -> ExitCode {
    match cli::arguments::<Arguments>() {
        Ok(arguments) => cli::end("galera-ctl", run(&arguments)),
        Err(code) => code,
    }
}

fn run(arguments: &Arguments) -> Result<Exit> {
    let config: MemberConfig = config::load(&arguments.config)?;
    // The local administrator is known by the user that asks over the socket.
    prepare::become_user(&config.mariadb.user)?;
    match arguments.what {
        What::Status => Ok(status(&config)),
        What::Seqno => seqno(&config),
        What::State => state(&config),
        What::Rejoin(ref rejoin) => rejoin.run(&config),
    }
}

fn status(config: &MemberConfig) -> Exit {
    let members: Vec<&Member> = config.cluster.members.iter().collect();
    let views = Client::new(&config.agents, config.timeouts.ask, config.mariadb.galera_port).observe(&members);
    let diagnosis = diagnose(&config.cluster, &views);
    println!("{}\n{diagnosis}", table::of(&views));
    if diagnosis.code == ClusterCode::Healthy { Exit::Done } else { Exit::Failed }
}

impl Rejoin {
    /// Says what is at stake; with the decision, carries it out.
    fn run(&self, config: &MemberConfig) -> Result<Exit> {
        let own = observe::own(config)?;
        let others = Client::ask_others(config);
        let stake = match may_abandon(&own.position, &own.memory, &primaries(others.iter().filter_map(|v| v.seen()))) {
            Ok(stake) => stake,
            Err(why) => return Ok(refused(&why)),
        };
        println!("{} stands at {}.", config.instance, own.position);
        let Some(stake) = stake else {
            println!("It has no data, and joins by itself.");
            return Ok(Exit::Done);
        };
        println!("At stake: {stake}.");
        let data_dir = DataDir::at(&config.mariadb.data_dir);
        let (size, free) = (data_dir.size()?, free_bytes(&config.paths.state_dir).unwrap_or_default());
        // A copy of the cluster's data is about as large as this one.
        let room = free > size + size / 10;
        println!("Its data takes {} MiB; {} MiB are free for the copy of the cluster's.", size >> 20, free >> 20);
        if !self.abandon_data {
            println!("To give it up and keep it aside: galera-ctl rejoin --abandon-data");
            return Ok(Exit::Done);
        }
        if !room && !self.delete {
            return Ok(refused(
                "there is no room to keep it aside; make room, or delete it: galera-ctl rejoin --abandon-data --delete",
            ));
        }
        match ask(&config.paths.run_dir, &Request::Abandon { expect: own.position.at_most(), keep: !self.delete })? {
            Reply::Done { text } => {
                println!("Given up: {text}. The member joins now; galera-start.log tells how.");
                Ok(Exit::Done)
            }
            Reply::Refused { why } => Ok(refused(&why)),
            other => anyhow::bail!("galera-start answered {other:?}"),
        }
    }
}

fn refused(why: &str) -> Exit {
    println!("Refused: {why}. Nothing was changed.");
    Exit::Refused
}

/// As galera_check does (G5): the number, or -1.
fn seqno(config: &MemberConfig) -> Result<Exit> {
    match observe::own(config)?.position.position() {
        Some(position) => println!("{}", position.seqno()),
        None => println!("-1"),
    }
    Ok(Exit::Done)
}

/// As galera_check does (G4): the first word that fits, in this order.
fn state(config: &MemberConfig) -> Result<Exit> {
    let seen = observe::own(config)?;
    let word = match (&seen.process, &seen.wsrep, &seen.supervisor) {
        (Some(process), None, _) if process.new_cluster => "bootstrapping",
        (_, Some(_), _) => "running",
        (_, _, SupervisorSight::Present(s)) if s.phase == Phase::Recovering => "locked",
        (_, _, SupervisorSight::Present(s)) if s.phase != Phase::Held => "initiating",
        _ => "stopped",
    };
    println!("{word}");
    Ok(Exit::Done)
}
