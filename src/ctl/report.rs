//! `galera-ctl report`: an incident report of all members that can be reached.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use serde::Deserialize;

use super::Window;
use crate::agent::client::Client;
use crate::cli::Exit;
use crate::cluster::member::Member;
use crate::config::{BadConfig, Config, MemberConfig, duration, load};
use crate::errand::report::{BESIDE, Report};
use crate::galera::moment::Moment;
use crate::host::incidents;
use crate::host::report::{LARGEST_PART, Masking, Wanted};
use crate::say;

/// How long a member may take for its part.
const MEMBER_LIMIT: Duration = Duration::from_secs(60);

/// What is wanted.
#[derive(Debug, Clone, Args)]
pub struct Wants {
    #[command(flatten)]
    window: Window,
    /// Where to leave it; the last five are kept there
    #[arg(long, value_name = "FOLDER")]
    directory: Option<PathBuf>,
    /// The most that one member sends, in MiB; 64 if not given
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=64))]
    largest: Option<u64>,
    /// What is collected where nothing else is said: the errand's report.yml
    #[arg(long, value_name = "FILE")]
    errand: Option<PathBuf>,
}

/// `report.yml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ErrandConfig {
    /// So long before now.
    #[serde(deserialize_with = "duration")]
    last: Duration,
    /// The most that one member sends, in MiB.
    largest_mib: u64,
}

impl Config for ErrandConfig {
    fn fault(&self) -> Option<String> {
        let fits = (1..=LARGEST_PART >> 20).contains(&self.largest_mib);
        (!fits).then(|| format!("largest_mib: expected 1 to {}, found {}", LARGEST_PART >> 20, self.largest_mib))
    }
}

impl Wants {
    /// Collects it, and prints where it is, and the summary.
    pub fn run(&self, config: &MemberConfig) -> Result<Exit> {
        let (window, largest) = match &self.errand {
            None => (self.window.clone(), self.largest.unwrap_or(LARGEST_PART >> 20)),
            Some(path) => {
                let errand: ErrandConfig = load(path)?;
                (self.window.clone().or_last(errand.last), self.largest.unwrap_or(errand.largest_mib))
            }
        };
        let Some((from, to)) = window.bounds() else {
            return Err(BadConfig::of("--from is after --to").into());
        };
        let members: Vec<&Member> = config.cluster.members.iter().collect();
        let client = Client::new(&config.agents, config.timeouts.ask, config.mariadb.galera_port);
        let report = Report {
            cluster: &config.cluster,
            client: &client,
            wanted: Wanted { from, to: later(to), largest: largest << 20 },
            limit: MEMBER_LIMIT,
            asked_by: format!("galera-ctl report on {}", config.instance),
            own: Some(config),
            masking: Masking::of(config.agents.passwords()),
        };
        let parent = self.directory.clone().unwrap_or_else(|| config.paths.state_dir.join("reports"));
        let dir = incidents::begin(&parent)?;
        eprintln!("collecting from {} members, {from} to {to} UTC ...", members.len());
        let collected = report.collect(&dir, client.observe(&members))?;
        let summary = report.conclude(&collected)?;
        let bundle = incidents::pack(&dir, &BESIDE);
        let bundle =
            bundle.with_context(|| format!("pack the report; what was collected stays in {}", dir.display()))?;
        incidents::finish(&dir)?;
        say!("{summary}\nEverything:\n  {}\nTimeline:\n  {}/timeline.html", bundle.display(), dir.display());
        Ok(Exit::Done)
    }
}

/// Clocks differ: what a member that is ahead writes now is part of it.
fn later(to: Moment) -> Moment {
    Moment(to.0.saturating_add(60_000))
}
