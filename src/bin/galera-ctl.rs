//! `galera-ctl`: for a person on a VM.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use mariadb_galera::agent::client::Client;
use mariadb_galera::cli::{self, Exit};
use mariadb_galera::cluster::member::Member;
use mariadb_galera::cluster::observation::{Phase, SupervisorSight};
use mariadb_galera::cluster::recovery::{Recovery, recovery};
use mariadb_galera::cluster::start::way_out;
use mariadb_galera::config::{self, MemberConfig};
use mariadb_galera::errand::table;
use mariadb_galera::host::{observe, prepare, sql};

/// Tells how the cluster and this member are. Changes nothing.
///
/// Exit codes: 0 done, and for `status` healthy; 1 failed, or not healthy; 2 wrong arguments or configuration.
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
    /// All members side by side, and what there is to do
    Status,
    /// This member's last sequence number; -1 if it is not known
    Seqno,
    /// This member in one word: bootstrapping, running, initiating, locked or stopped
    State,
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
    }
}

fn status(config: &MemberConfig) -> Exit {
    let members: Vec<&Member> = config.cluster.members.iter().collect();
    let views = Client::new(&config.agents, config.timeouts.ask, config.mariadb.galera_port).observe(&members);
    println!("{}", table::of(&views));
    let (exit, verdict) = match recovery(&config.cluster, &views) {
        Recovery::Healthy(primary) => {
            (Exit::Done, format!("Healthy: all {} members are Synced in one primary component.", primary.size))
        }
        Recovery::PrimaryExists { out, .. } => {
            let out: Vec<String> = out.iter().map(|(name, why)| format!("{name}: {why}")).collect();
            (Exit::Failed, format!("Degraded: {}.", out.join("; ")))
        }
        Recovery::Refuse(no) => (Exit::Failed, format!("Down: {no}{}.", way_out(&config.cluster, &views, &no))),
        Recovery::UnderWay(what) => (Exit::Failed, format!("Down, and something is under way: {what}.")),
        Recovery::Begin(proof) => {
            (Exit::Failed, format!("Down. {} can bring the cluster back. {proof}.", proof.member()))
        }
    };
    println!("{verdict}");
    exit
}

fn own(config: &MemberConfig) -> Result<mariadb_galera::cluster::observation::Observation> {
    let me = config.split()?.0;
    let answers = sql::look(&config.mariadb.socket, &config.mariadb.admin_user);
    Ok(observe::at_hand(config, me, observe::supervisor(config), answers))
}

/// As galera_check does (G5): the number, or -1.
fn seqno(config: &MemberConfig) -> Result<Exit> {
    match own(config)?.position.position() {
        Some(position) => println!("{}", position.seqno()),
        None => println!("-1"),
    }
    Ok(Exit::Done)
}

/// As galera_check does (G4): the first word that fits, in this order.
fn state(config: &MemberConfig) -> Result<Exit> {
    let seen = own(config)?;
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
