//! Switching maintenance on and off, on every member that can be told.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::telling::{self, Acknowledged};
use super::{refused, usage};
use crate::agent::api::{self, Accepted, MaintenanceBody, PermitBody};
use crate::agent::client::{Client, not_reached};
use crate::cli::Exit;
use crate::cluster::diagnosis::{MemberCode, diagnose, wrapped};
use crate::cluster::hold::LONGEST_HOLD;
use crate::cluster::maintenance::{
    Act, By, LOOKS_AFTER, Mode, Notice, Notices, Says, Scope, Undone, may, plan, ready_to_end, under_way,
};
use crate::cluster::member::{Member, listed as names};
use crate::cluster::observation::MemberView;
use crate::config::MemberConfig;
use crate::errand::table;
use crate::host::clock::seconds_since_epoch;
use crate::say;

/// How long members that are not reached are told again.
const TELL_LIMIT: Duration = Duration::from_secs(10);
/// Pause before that.
const TELL_AGAIN: Duration = Duration::from_secs(1);
/// Ends that are so close are the same: BOSH runs the errand on all instances at once.
const SAME_END: u64 = 60;

/// What is to be switched on.
pub(super) struct On {
    pub(super) scope: Scope,
    pub(super) owner: String,
    pub(super) reason: String,
    pub(super) until: u64,
    pub(super) force: bool,
    pub(super) replace: bool,
}

/// Asks all members, and tells them.
pub(super) struct Switch<'a> {
    config: &'a MemberConfig,
    client: Client,
}

impl<'a> Switch<'a> {
    pub(super) fn of(config: &'a MemberConfig) -> Switch<'a> {
        let client = Client::new(&config.agents, config.timeouts.ask, config.mariadb.galera_port);
        Switch { config, client }
    }

    fn members(&self) -> Vec<&Member> {
        self.config.cluster.members.iter().collect()
    }

    fn look(&self) -> Vec<MemberView> {
        self.client.observe(&self.members())
    }

    /// What is wrong with a member's name, if anything.
    fn unknown(&self, scope: &Scope) -> Option<String> {
        match scope {
            Scope::Member(name) if self.config.cluster.member(name).is_none() => {
                let names: Vec<&str> = self.config.cluster.members.iter().map(|m| m.name.as_str()).collect();
                Some(format!("--member: there is no member {name:?}; there are {}", names.join(", ")))
            }
            _ => None,
        }
    }

    pub(super) fn status(&self) -> Exit {
        let views = self.look();
        say!("{}", telling::status(&self.config.cluster, &views));
        Exit::Done
    }

    pub(super) fn on(&self, asked: &On) -> Result<Exit> {
        let now = seconds_since_epoch();
        if let Some(why) = self.unknown(&asked.scope).or_else(|| asked.notice(None, 1, now, &[]).fault(now)) {
            return Ok(usage(&why));
        }
        let views = self.look();
        if let Some(why) = blind(&views) {
            return Ok(refused(&why));
        }
        let mode = Mode::of(views.iter().filter_map(MemberView::seen));
        let known = mode.notices().of(&asked.scope).filter(|n| n.is_on());
        if let Some(why) = asked.is_not_theirs(known, &mode).filter(|_| !asked.replace) {
            return Ok(refused(&why));
        }
        // What is on already leaves nothing half done by being on.
        let in_flight = if known.is_some() { Vec::new() } else { under_way(&views, &asked.scope) };
        if !in_flight.is_empty() && !asked.force {
            say!("Under way at this moment:\n{}", telling::listed(&in_flight));
            return Ok(refused(
                "maintenance would leave that half done. Wait for its end, or leave it to yourself: --force",
            ));
        }
        let epoch = mode.notices().next_epoch(&asked.scope);
        let same = known.filter(|n| asked.is_as(n)).cloned();
        let notice = same.unwrap_or_else(|| asked.notice(known, epoch, now, &in_flight));
        let told = self.tell(&views, &mode.notices().clone().with(notice.clone()), asked.replace)?;
        say!("{}\n{}", wrapped("", &format!("{notice}.")), telling::acknowledged(&told));
        if !in_flight.is_empty() {
            say!(
                "Left undone, and now yours; status shows it until the member is well:\n{}",
                telling::listed(&in_flight)
            );
        }
        Ok(all_of(&told))
    }

    pub(super) fn off(&self, scope: Scope, by: &str, force: bool) -> Result<Exit> {
        if let Some(why) = self.unknown(&scope) {
            return Ok(usage(&why));
        }
        let (views, now) = (self.look(), seconds_since_epoch());
        if let Some(why) = blind(&views) {
            return Ok(refused(&why));
        }
        let mode = Mode::of(views.iter().filter_map(MemberView::seen));
        let known = mode.notices().of(&scope);
        let set_aside = scope == Scope::Cluster && !mode.unreadable().is_empty();
        if !known.is_some_and(Notice::is_on) && !set_aside {
            // Members that were away may not have heard of it.
            let told = self.tell(&views, mode.notices(), false)?;
            let word = known.map_or(format!("maintenance of {scope} was never on"), Notice::to_string);
            let other = mode.notices().all().find(|n| n.is_on());
            let other = other.map_or(String::new(), |n| format!(" {n}: {} ends that.", n.scope.ends_by()));
            say!("{}\n{}", wrapped("", &format!("{word}: nothing to end.{other}")), telling::acknowledged(&told));
            return Ok(all_of(&told));
        }
        let found = diagnose(&self.config.cluster, &views);
        let planned = plan(&self.config.cluster, self.config.auto_recovery, &views, &scope);
        say!("{}\n{found}\n{}", table::of(&views), telling::planned(&planned));
        if let (Err(why), false) = (ready_to_end(&scope, &found, &planned), force) {
            return Ok(refused(&format!(
                "not all is well, or something would happen by itself ({why}). To end it all the same: --force"
            )));
        }
        let well = |name: &str| found.members.iter().any(|m| m.name == name && m.code == MemberCode::MemberOk);
        let undone = known.map(|n| n.undone.iter().filter(|u| !well(&u.member)).cloned().collect()).unwrap_or_default();
        let says = Says::Off { by: by.to_owned(), at: now };
        let notice = Notice { epoch: mode.notices().next_epoch(&scope), says, scope, undone };
        if let Some(fault) = notice.fault(now) {
            return Ok(usage(&fault));
        }
        let told = self.tell(&views, &mode.notices().clone().with(notice.clone()), set_aside)?;
        say!("{}\n{}", wrapped("", &format!("{notice}.")), telling::acknowledged(&told));
        say!("Each member looks {LOOKS_AFTER} times more before it does anything by itself.");
        Ok(all_of(&told))
    }

    pub(super) fn start(&self, name: &str, by: &str, reason: &str) -> Result<Exit> {
        if let Some(why) = self.unknown(&Scope::Member(name.to_owned())) {
            return Ok(usage(&why));
        }
        let member = self.config.cluster.member(name).context("the member is expected")?;
        let views = self.look();
        let seen = views.iter().filter_map(MemberView::seen);
        if seen.clone().any(|o| o.member.name == name && o.process.as_ref().is_some_and(|p| !p.recovering)) {
            say!("{name} runs; there is nothing to permit.");
            return Ok(Exit::Done);
        }
        // A permit that nobody needs would be used in the next maintenance.
        if views.iter().all(|v| v.seen().is_some()) && may(Act::Start, By::Itself, name, &Mode::of(seen)).is_ok() {
            say!(
                "{}",
                wrapped(
                    "",
                    &format!(
                        "Maintenance is not on: it does not keep {name} from starting. What does is in its galera-start.log."
                    )
                )
            );
            return Ok(Exit::Done);
        }
        let body = PermitBody { by: by.to_owned(), reason: reason.to_owned(), seconds: LONGEST_HOLD };
        let said = self.client.tell(member, api::PERMIT, &body)?;
        say!(
            "{}",
            wrapped("", &format!("{said}. What it does is in its galera-start.log; `galera-ctl status` tells too."))
        );
        Ok(Exit::Done)
    }

    /// Tells all members, all at once; those that are not reached again and again, for a while.
    fn tell(&self, views: &[MemberView], notices: &Notices, set_unreadable_aside: bool) -> Result<Vec<Acknowledged>> {
        let unseen: Vec<&str> = views.iter().filter(|v| v.seen().is_none()).map(|v| v.member.name.as_str()).collect();
        if !unseen.is_empty() {
            let limit = TELL_LIMIT.as_secs();
            let waiting = format!("not seen: {}; told again and again, for up to {limit} s ...", names(unseen));
            eprintln!("{}", wrapped("", &waiting));
        }
        let begun = Instant::now();
        let body = MaintenanceBody { notices: notices.clone(), set_unreadable_aside };
        let once = |member: &Member| self.client.post::<_, Accepted>(member, api::MAINTENANCE, &body);
        std::thread::scope(|scope| {
            let asking: Vec<_> = self
                .members()
                .into_iter()
                .map(|member| {
                    scope.spawn(move || {
                        loop {
                            match once(member) {
                                Err(e) if not_reached(&e) && begun.elapsed() < TELL_LIMIT => {
                                    std::thread::sleep(TELL_AGAIN)
                                }
                                result => {
                                    return Acknowledged { member: member.name.clone(), result: result.map(|_| ()) };
                                }
                            }
                        }
                    })
                })
                .collect();
            asking.into_iter().map(|a| a.join().ok().context("tell a member")).collect()
        })
    }
}

/// Where nobody is seen, nothing is known of what is on, and nobody can be told.
fn blind(views: &[MemberView]) -> Option<String> {
    let unseen: Vec<String> =
        views.iter().filter_map(|v| Some(format!("{}: {}", v.member.name, v.why_unseen()?))).collect();
    (unseen.len() == views.len()).then(|| format!("no agent is seen ({})", unseen.join("; ")))
}

fn all_of(told: &[Acknowledged]) -> Exit {
    if told.iter().all(Acknowledged::is_so) { Exit::Done } else { Exit::Failed }
}

impl On {
    /// Why it is not for this owner to switch on, if so.
    fn is_not_theirs(&self, known: Option<&Notice>, mode: &Mode) -> Option<String> {
        let others = known.filter(|n| n.owner() != self.owner);
        others.map(|other| format!("{other}. To put yours in its place: --replace")).or_else(|| {
            let (name, why) = mode.unreadable().first()?;
            Some(format!(
                "what {name} knows of maintenance cannot be read ({why}), which counts as on. To set that aside: --replace"
            ))
        })
    }

    /// The notice, in place of one that is on, if any. The same owner's goes on from when it began.
    fn notice(&self, known: Option<&Notice>, epoch: u64, now: u64, in_flight: &[Undone]) -> Notice {
        let since = match known.filter(|n| n.owner() == self.owner).map(|n| &n.says) {
            Some(Says::On { since, .. }) => *since,
            Some(Says::Off { .. }) | None => now,
        };
        let says = Says::On { owner: self.owner.clone(), reason: self.reason.clone(), since, until: self.until };
        let undone = known.iter().flat_map(|n| &n.undone).chain(in_flight).cloned().collect();
        Notice { epoch, says, scope: self.scope.clone(), undone }
    }

    /// Whether this notice says it already.
    fn is_as(&self, known: &Notice) -> bool {
        matches!(&known.says, Says::On { owner, reason, until, .. }
            if *owner == self.owner && *reason == self.reason && until.abs_diff(self.until) <= SAME_END)
    }
}
