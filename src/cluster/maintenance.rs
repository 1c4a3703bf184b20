//! Maintenance: what nobody does by itself while a person works on the cluster (H1). This is the only place
//! that answers whether something is allowed then.
//!
//! Each member keeps the notices on its persistent disk, and hears of the others'. What counts is what all that
//! are seen say together: the newest word on each scope, and a member that cannot read its notices counts as one
//! that says ON. So it fails closed, also where a member was away when it was switched on.
//!
//! | in maintenance | |
//! |---|---|
//! | goes on | observing, diagnosing, journal, health; a running `mariadbd`, and its adoption; BOSH's stop and drain |
//! | only by name | starting a member, orders to it, going on from a member that a person chose |
//! | never by itself | starting or restarting `mariadbd`, recovery, bootstrap, promotion, giving a start up |

mod ending;
mod notice;
mod unfinished;

use serde::{Deserialize, Serialize};

pub use self::ending::{Planned, plan, ready_to_end, tidied};
pub use self::notice::{LONGEST, Notice, Notices, Says, Scope, Undone, moment};
pub use self::unfinished::{left_undone, under_way};
use super::observation::{MemberView, Observation, Sight, SupervisorSight};

/// So many looks at the others come after maintenance before anything is done by itself (M10).
pub const LOOKS_AFTER: u8 = 3;

/// What a member keeps of maintenance. No file is no notice: it was never switched on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Its notices.
    pub notices: Notices,
    /// Why they cannot be read, if so. What they said is not known, so they count as ON.
    pub unreadable: Option<String>,
    /// When they were read, in seconds since the epoch.
    pub now: u64,
}

/// What maintenance means to a supervisor at this moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stance {
    /// By whom this member was let start all the same: by name, for one time.
    pub permit: Option<String>,
    /// How often it still looks before it does anything by itself, because maintenance has just ended.
    pub looks_left: u8,
}

/// What somebody is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Look, diagnose, tell.
    Observe,
    /// Take over a `mariadbd` that runs.
    Adopt,
    /// Stop `mariadbd` and end: BOSH's stop and drain, monit's stop.
    Leave,
    /// Start `mariadbd`: to join, to restore the saved view, or for the very first cluster.
    Start,
    /// End a `mariadbd` that leads nowhere, and decide anew.
    GiveUp,
    /// Obey an order: be held, stopped, started or promoted by it.
    Obey,
    /// Bring the cluster back, by a new incarnation; it holds all members that are seen.
    Begin,
}

/// By whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// By the programs themselves, or by somebody who does not know of the maintenance.
    Itself,
    /// By a person who named the member and knows of it, or by BOSH for one.
    Person,
}

/// Maintenance as all that are seen tell of it together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mode {
    notices: Notices,
    /// Who cannot read its notices, and why.
    unreadable: Vec<(String, String)>,
    /// Who is seen.
    seen: Vec<String>,
}

impl Mode {
    /// Of everybody who is seen.
    pub fn of<'a>(seen: impl IntoIterator<Item = &'a Observation>) -> Mode {
        seen.into_iter().fold(Mode::default(), |mut mode, o| {
            mode.hear(&o.member.name, &o.maintenance);
            mode
        })
    }

    /// Of what one member keeps, where no other is asked.
    pub fn kept_by(name: &str, kept: &Kept) -> Mode {
        let mut mode = Mode::default();
        mode.hear(name, kept);
        mode
    }

    /// Takes in what one more member keeps.
    pub fn hear(&mut self, name: &str, kept: &Kept) {
        self.notices = std::mem::take(&mut self.notices).merged(&kept.notices);
        self.unreadable.extend(kept.unreadable.iter().map(|why| (name.to_owned(), why.clone())));
        self.seen.push(name.to_owned());
    }

    /// The last word on each scope.
    pub fn notices(&self) -> &Notices {
        &self.notices
    }

    /// Who cannot read its notices, and why.
    pub fn unreadable(&self) -> &[(String, String)] {
        &self.unreadable
    }

    /// The commands that end all that is on, between backticks.
    pub fn ends_by(&self) -> String {
        let mut scopes: Vec<&Scope> = self.notices.all().filter(|n| n.is_on()).map(|n| &n.scope).collect();
        if !self.unreadable.is_empty() && !scopes.contains(&&Scope::Cluster) {
            scopes.push(&Scope::Cluster);
        }
        scopes.iter().map(|scope| scope.ends_by()).collect::<Vec<_>>().join(" and ")
    }

    /// Why this member is in maintenance, if it is: a sentence.
    pub fn over(&self, member: &str) -> Option<String> {
        let on = |scope: &Scope| self.notices.of(scope).filter(|n| n.is_on()).map(Notice::to_string);
        on(&Scope::Cluster).or_else(|| on(&Scope::Member(member.to_owned()))).or_else(|| {
            let (name, why) = self.unreadable.first()?;
            Some(format!(
                "what {name} knows of maintenance cannot be read ({why}), which counts as on; {} sets that aside",
                Scope::Cluster.ends_by()
            ))
        })
    }

    /// Why any member that is seen is in maintenance, if one is.
    fn over_any(&self) -> Option<String> {
        self.seen.iter().find_map(|name| self.over(name))
    }
}

/// May this member do this, or have it done to it? If not, the sentence says why.
pub fn may(act: Act, by: By, member: &str, mode: &Mode) -> Result<(), String> {
    let on = match (act, by) {
        (Act::Observe | Act::Adopt | Act::Leave, _) | (_, By::Person) => None,
        (Act::Start | Act::GiveUp | Act::Obey, By::Itself) => mode.over(member),
        (Act::Begin, By::Itself) => mode.over_any(),
    };
    on.map_or(Ok(()), Err)
}

/// Whether this member, down as it is, starts when its turn comes.
pub fn may_start(of: &Observation, mode: &Mode) -> Result<(), String> {
    may(Act::Start, by_whom(of), &of.member.name, mode)
}

/// A permit is for the member that it names: what concerns all members is nobody's to permit this way.
fn by_whom(of: &Observation) -> By {
    let permitted = stance(of).is_some_and(|s| s.permit.is_some());
    if permitted { By::Person } else { By::Itself }
}

fn stance(of: &Observation) -> Option<&Stance> {
    of.supervisor.present().map(|s| &s.stance)
}

/// What keeps the member `own` from doing this by itself now, if anything.
pub fn keeps_from(act: Act, own: &Observation, others: &[MemberView]) -> Option<String> {
    let mode = Mode::of(std::iter::once(own).chain(others.iter().filter_map(MemberView::seen)));
    let by = if act == Act::Begin { By::Itself } else { by_whom(own) };
    match (may(act, by, &own.member.name, &mode), stance(own)) {
        (Err(why), _) => Some(format!("{why}, so nothing is begun by itself")),
        (Ok(()), Some(stance)) if by == By::Itself && stance.looks_left > 0 => Some(format!(
            "maintenance has just ended: it looks {} more before it does anything by itself",
            if stance.looks_left == 1 { "once".into() } else { format!("{} times", stance.looks_left) }
        )),
        _ => None,
    }
}

/// The same without any maintenance: what would be then.
pub fn lifted(of: &Observation) -> Observation {
    with_notices(of, Notices::default())
}

/// The same of what is seen.
pub fn all_lifted(views: &[MemberView]) -> Vec<MemberView> {
    all_with(views, &Notices::default())
}

fn with_notices(of: &Observation, notices: Notices) -> Observation {
    let mut of = of.clone();
    of.maintenance = Kept { notices, unreadable: None, now: of.maintenance.now };
    if let SupervisorSight::Present(supervisor) = &mut of.supervisor {
        supervisor.stance = Stance::default();
    }
    of
}

fn all_with(views: &[MemberView], notices: &Notices) -> Vec<MemberView> {
    let with = |view: &MemberView| match &view.sight {
        Sight::Seen(o) => MemberView { sight: Sight::Seen(Box::new(with_notices(o, notices.clone()))), ..view.clone() },
        _ => view.clone(),
    };
    views.iter().map(with).collect()
}

#[cfg(test)]
mod tests;
