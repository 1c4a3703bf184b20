//! The bootstrap errand: looks at all members, and carries out what [`crate::cluster::recovery`] says.
//!
//! BOSH runs it on all instances at once. The members are held in the order of the configuration, so
//! whoever holds the first one leads; the others follow it and end with its result. A leader that dies
//! leaves holds that end by themselves, and the first follower to notice takes over.

mod following;
mod hold;
mod progress;
mod steps;
pub mod table;

use anyhow::Result;

use self::following::Followed;
use self::hold::{Held, Taken};
use self::progress::Progress;
use crate::agent::client::Client;
use crate::cli::Exit;
use crate::cluster::member::{Member, listed};
use crate::cluster::observation::MemberView;
use crate::cluster::recovery::{Recovery, first_look, joiners};
use crate::config::BootstrapConfig;

/// A run of the errand.
pub struct Errand {
    config: BootstrapConfig,
    client: Client,
    progress: Progress,
}

/// How a run ended: the code, and the last sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Verdict {
    exit: Exit,
    text: String,
}

/// Runs the errand; with `dry_run`, only tells what it would do.
pub fn run(config: BootstrapConfig, dry_run: bool) -> Result<Exit> {
    let client = Client::new(&config.agents, config.timeouts.ask, GALERA_PORT);
    let progress = Progress::begin(&config.log_dir, &config.runs_on);
    let mut errand = Errand { config, client, progress };
    let verdict = errand.recover(dry_run)?;
    errand.progress.finish(&verdict.text);
    Ok(verdict.exit)
}

/// Asked only where an agent gives no answer, to tell a person more.
const GALERA_PORT: u16 = 4567;

impl Errand {
    fn members(&self) -> Vec<&Member> {
        self.config.cluster.members.iter().collect()
    }

    fn look(&self) -> Vec<MemberView> {
        self.client.observe(&self.members())
    }

    fn recover(&mut self, dry_run: bool) -> Result<Verdict> {
        loop {
            self.progress.step(1, "looking at all members");
            let views = self.look();
            if !dry_run && let Some(leader) = following::leader(&views) {
                match self.follow(&leader)? {
                    Followed::Ended(verdict) => return Ok(verdict),
                    Followed::LeaderGone => continue,
                }
            }
            if !dry_run && self.waited_for_joiners(&views)? {
                continue;
            }
            if let Some(verdict) = self.nothing_to_do(&views, dry_run) {
                return Ok(verdict);
            }
            self.progress.step(2, "holding all members");
            match hold::take(&self.client, &self.config)? {
                Taken::Held(held) => return self.lead(&held),
                Taken::ByAnother(leader) => match self.follow(&leader)? {
                    Followed::Ended(verdict) => return Ok(verdict),
                    Followed::LeaderGone => {}
                },
            }
        }
    }

    /// Where a primary component exists, members that are on their way into it are waited for; true if
    /// there were any that came, so that it is time to look again.
    fn waited_for_joiners(&mut self, views: &[MemberView]) -> Result<bool> {
        let coming = joiners(&self.config.cluster, views);
        if coming.is_empty() {
            return Ok(false);
        }
        self.progress.line(&format!("a primary component exists; {} join it by themselves", coming.join(", ")));
        Ok(self.wait_joined(None, &coming)?.is_empty())
    }

    /// The cases in which nothing is touched.
    fn nothing_to_do(&self, views: &[MemberView], dry_run: bool) -> Option<Verdict> {
        match first_look(&self.config.cluster, views) {
            Recovery::Healthy(primary) => Some(Verdict {
                exit: Exit::Done,
                text: format!("No action: all {} members are Synced in one primary component.", primary.size),
            }),
            Recovery::PrimaryExists { primary, out } => {
                self.progress.show(&table::of(views));
                let out: Vec<String> = out.iter().map(|(name, why)| format!("{name} ({why})")).collect();
                Some(Verdict {
                    exit: Exit::Refused,
                    text: format!(
                        "Refused: a primary component exists ({}), so nothing is bootstrapped. Not Synced in it: {}. Members join it by themselves; what they wait for is in their galera-start.log.",
                        listed(primary.members.iter().map(String::as_str)),
                        out.join("; ")
                    ),
                })
            }
            Recovery::Refuse(no) => {
                self.progress.show(&table::of(views));
                Some(Verdict { exit: Exit::Refused, text: format!("Refused: {no}. Nothing was changed.") })
            }
            Recovery::Recover(proof) => {
                self.progress.show(&table::of(views));
                dry_run.then(|| Verdict {
                    exit: Exit::Done,
                    text: match proof {
                        Some(proof) => format!("Would hold and stop all members, bootstrap {}, and join the others. Proof then: {proof}.", proof.member()),
                        None => "Would hold and stop all members, recover the positions that are not known, and bootstrap the furthest if that is proven.".into(),
                    },
                })
            }
        }
    }

    /// Leads: whatever happens, the members are released and told how it ended.
    fn lead(&mut self, held: &Held) -> Result<Verdict> {
        let verdict = match self.carry_out(held) {
            Ok(verdict) => verdict,
            Err(e) => Verdict { exit: Exit::Failed, text: format!("Failed: {e:#}.") },
        };
        if verdict.exit != Exit::Done {
            self.progress.show(&table::of(&self.look()));
        }
        let unreleased = held.release(&self.client, &self.config, &verdict);
        if unreleased.is_empty() {
            return Ok(verdict);
        }
        let text = format!(
            "{} Could not release {}; that hold ends by itself within {} s.",
            verdict.text,
            unreleased.join(", "),
            hold::LEASE.as_secs()
        );
        Ok(Verdict { text, ..verdict })
    }
}
