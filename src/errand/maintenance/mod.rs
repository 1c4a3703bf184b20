//! `galera-ctl maintenance`, which the errand `maintenance` runs too: switches it on and off on all members, and
//! tells how it is. It asks and tells the agents; what is allowed meanwhile is answered in
//! [`crate::cluster::maintenance`].
//!
//! BOSH runs an errand on all instances at once. Whoever comes second finds the notice of the first, and sends
//! the same again: two at the same moment write the same word.

mod switch;
mod telling;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Deserialize;

use self::switch::{On, Switch};
use crate::cli::{self, Exit, complain};
use crate::cluster::diagnosis::wrapped;
use crate::cluster::maintenance::Scope;
use crate::config::{self, Config, MemberConfig};
use crate::galera::moment::Moment;
use crate::host::clock::seconds_since_epoch;
use crate::say;

/// Where no end is given.
const USUAL: Duration = Duration::from_secs(2 * 3600);

/// Switch maintenance on or off, and tell how it is.
///
/// In maintenance nothing is begun by itself: no start or restart of mariadbd, no recovery, no bootstrap. What runs
/// goes on, and BOSH's own stop and drain work.
#[derive(Args)]
pub struct Arguments {
    /// What to do where no command is given: the errand's maintenance.yml
    #[arg(long, value_name = "FILE")]
    properties: Option<PathBuf>,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Subcommand)]
enum What {
    /// Switch it on; again by the same owner changes the reason or the end
    On(OnArguments),
    /// Switch it off, after a look at what would happen by itself then
    Off(OffArguments),
    /// Who is in maintenance, why, until when, and what is left undone
    Status,
    /// Let one member start once, although maintenance is on
    Start(StartArguments),
}

#[derive(Args)]
struct OnArguments {
    /// Only this member; otherwise the whole cluster
    #[arg(long, value_name = "INSTANCE")]
    member: Option<String>,
    /// Why, for whoever meets it
    #[arg(long)]
    reason: String,
    /// Who works on it; the user that runs this, if not given
    #[arg(long)]
    owner: Option<String>,
    /// For how long, such as 30m or 2h; 2h if not given
    #[arg(long = "for", value_name = "DURATION", value_parser = cli::duration)]
    lasts: Option<Duration>,
    /// Until when, in UTC: 2026-11-21T08:30 or 2026-11-21T08:30:15Z
    #[arg(long, value_name = "TIME", value_parser = cli::moment, conflicts_with = "lasts")]
    until: Option<Moment>,
    /// Also in the middle of something, which is then left undone
    #[arg(long)]
    force: bool,
    /// In place of another owner's
    #[arg(long)]
    replace: bool,
}

#[derive(Args)]
struct OffArguments {
    /// Only this member; otherwise the whole cluster
    #[arg(long, value_name = "INSTANCE")]
    member: Option<String>,
    /// Who ends it; the user that runs this, if not given
    #[arg(long)]
    owner: Option<String>,
    /// Also where not all is well, or something would happen by itself
    #[arg(long)]
    force: bool,
}

#[derive(Args)]
struct StartArguments {
    /// The member; the one of this VM if not given
    #[arg(long, value_name = "INSTANCE")]
    member: Option<String>,
    /// Why, for the journal
    #[arg(long, default_value = "no reason given")]
    reason: String,
    /// Who lets it; the user that runs this, if not given
    #[arg(long)]
    owner: Option<String>,
}

/// `maintenance.yml`: what the errand does where nobody passes arguments, which BOSH never does.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Properties {
    mode: Word,
    #[serde(default)]
    member: Option<String>,
    #[serde(default)]
    reason: Option<String>,
    owner: String,
    #[serde(rename = "for")]
    lasts: String,
    force: bool,
    replace: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    On,
    Off,
    Status,
}

impl Config for Properties {
    fn fault(&self) -> Option<String> {
        if let Err(e) = humantime::parse_duration(&self.lasts) {
            return Some(format!("for: expected a duration such as 30m or 2h, found {:?}: {e}", self.lasts));
        }
        (self.mode == Word::On && self.reason.is_none()).then(|| "reason: expected one, for mode on".into())
    }
}

impl Properties {
    fn what(self) -> What {
        let (member, owner) = (self.member, Some(self.owner));
        match self.mode {
            Word::Status => What::Status,
            Word::Off => What::Off(OffArguments { member, owner, force: self.force }),
            Word::On => What::On(OnArguments {
                member,
                reason: self.reason.unwrap_or_default(),
                owner,
                lasts: humantime::parse_duration(&self.lasts).ok(),
                until: None,
                force: self.force,
                replace: self.replace,
            }),
        }
    }
}

impl Arguments {
    /// Does what was asked.
    pub fn run(self, config: &MemberConfig) -> Result<Exit> {
        let what = match (self.what, self.properties) {
            (Some(what), _) => what,
            (None, Some(file)) => config::load::<Properties>(&file)?.what(),
            (None, None) => What::Status,
        };
        let switch = Switch::of(config);
        let scope = |member: Option<String>| member.map_or(Scope::Cluster, Scope::Member);
        match what {
            What::Status => Ok(switch.status()),
            What::Off(off) => switch.off(scope(off.member), &by(off.owner), off.force),
            What::Start(start) => {
                switch.start(&start.member.unwrap_or(config.instance.clone()), &by(start.owner), &start.reason)
            }
            What::On(on) => {
                let now = seconds_since_epoch();
                let until = on.until.map(|at| at.0 / 1000);
                let until = until.unwrap_or_else(|| now.saturating_add(on.lasts.unwrap_or(USUAL).as_secs()));
                let (owner, reason) = (by(on.owner), on.reason);
                switch.on(&On { scope: scope(on.member), owner, reason, until, force: on.force, replace: on.replace })
            }
        }
    }
}

/// Who asks: as given, or the user that a person is on this VM.
fn by(owner: Option<String>) -> String {
    let user =
        || ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    owner.or_else(user).unwrap_or_else(|| "root".into())
}

fn refused(why: &str) -> Exit {
    say!("{}", wrapped("", &format!("Refused: {why}. Nothing was changed.")));
    Exit::Refused
}

fn usage(why: &str) -> Exit {
    complain("galera-ctl", why);
    Exit::Usage
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_errand_does_is_in_its_file() {
        let parse = |text: &str| -> Result<Properties, String> {
            let file = tempfile::NamedTempFile::new().map_err(|e| e.to_string())?;
            std::fs::write(file.path(), text).map_err(|e| e.to_string())?;
            config::load(file.path()).map_err(|e| e.to_string())
        };
        let good = "{mode: 'on', reason: r, owner: o, for: 2h, force: false, replace: false}";
        assert!(matches!(parse(good).map(Properties::what), Ok(What::On(on)) if on.lasts == Some(USUAL)));
        for (text, word) in [
            (good.replace("reason: r, ", ""), "reason"),
            (good.replace("2h", "2"), "for"),
            (good.replace("'on'", "open"), "mode"),
            (good.replace("owner", "onwer"), "onwer"),
        ] {
            assert!(parse(&text).is_err_and(|e| e.contains(word)), "{text}");
        }
    }
}
