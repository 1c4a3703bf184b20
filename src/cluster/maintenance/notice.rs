//! What members keep of maintenance: one notice for each scope, numbered, so that whoever was away can tell
//! the newer word from the older.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// How far ahead a maintenance may be set to end, in seconds.
pub const LONGEST: u64 = 31 * 24 * 3600;
/// No clock and no person gets there; a notice beyond could never be replaced.
const LAST_EPOCH: u64 = 1 << 40;

/// What a maintenance covers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Scope {
    /// All members.
    Cluster,
    /// The member of this name.
    Member(String),
}

impl From<String> for Scope {
    fn from(name: String) -> Scope {
        if name == "cluster" { Scope::Cluster } else { Scope::Member(name) }
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> String {
        match scope {
            Scope::Cluster => "cluster".into(),
            Scope::Member(name) => name,
        }
    }
}

impl Scope {
    /// The command that ends a maintenance of this scope, between backticks.
    pub fn ends_by(&self) -> String {
        match self {
            Scope::Cluster => "`/var/vcap/jobs/maintenance/bin/run off`".into(),
            Scope::Member(name) => format!("`/var/vcap/jobs/maintenance/bin/run off --member {name}`"),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Cluster => f.write_str("the whole cluster"),
            Scope::Member(name) => f.write_str(name),
        }
    }
}

/// What a notice says. Between two of the same epoch, which two persons wrote at the same moment, the greater
/// one holds everywhere: ON before OFF.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Says {
    /// It is over.
    Off {
        /// Who ended it, in words.
        by: String,
        /// When, in seconds since the epoch.
        at: u64,
    },
    /// It is on, until somebody ends it.
    On {
        /// Who works on the cluster.
        owner: String,
        /// Why.
        reason: String,
        /// When it began, in seconds since the epoch.
        since: u64,
        /// When it should be over; then it ends by itself only if all is well.
        until: u64,
    },
}

/// Something that was under way when maintenance was forced on, and that is left to a person (M6).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Undone {
    /// The member.
    pub member: String,
    /// What it was at.
    pub what: String,
}

impl fmt::Display for Undone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.member, self.what)
    }
}

/// The last word on one scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Notice {
    /// Grows with every change: the newer word holds.
    pub epoch: u64,
    /// The word.
    #[serde(flatten)]
    pub says: Says,
    /// What it covers.
    pub scope: Scope,
    /// What was left undone when it was forced on, and is still.
    #[serde(default)]
    pub undone: Vec<Undone>,
}

impl Notice {
    /// Whether it says ON.
    pub fn is_on(&self) -> bool {
        matches!(self.says, Says::On { .. })
    }

    /// Who says so.
    pub fn owner(&self) -> &str {
        match &self.says {
            Says::On { owner, .. } => owner,
            Says::Off { by, .. } => by,
        }
    }

    /// Whether it should have ended by now.
    pub fn expired(&self, now: u64) -> bool {
        matches!(self.says, Says::On { until, .. } if until <= now)
    }

    /// What is wrong with a notice that somebody sends, if anything.
    pub fn fault(&self, now: u64) -> Option<String> {
        let text = |name: &str, text: &str, most: usize| {
            let length = text.chars().count();
            if text.trim().is_empty() {
                Some(format!("{name}: expected some words, found none"))
            } else if length > most {
                Some(format!("{name}: expected at most {most} characters, found {length}"))
            } else {
                text.chars().any(char::is_control).then(|| format!("{name}: expected one line of text"))
            }
        };
        if !(1..LAST_EPOCH).contains(&self.epoch) {
            return Some(format!("epoch: expected 1 to {LAST_EPOCH}, found {}", self.epoch));
        }
        let undone = self.undone.iter().find_map(|u| text("undone", &u.member, 200).or(text("undone", &u.what, 4000)));
        undone.or_else(|| match &self.says {
            Says::Off { by, .. } => text("by", by, 200),
            Says::On { owner, reason, since, until } => {
                text("owner", owner, 200).or_else(|| text("reason", reason, 1000)).or_else(|| {
                    let lasts = until.saturating_sub(*since.max(&now));
                    (until <= since || lasts > LONGEST).then(|| {
                        format!("until: expected a moment after the beginning, at most {} days ahead", LONGEST / 86400)
                    })
                })
            }
        })
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scope = &self.scope;
        match &self.says {
            Says::On { owner, reason, since, until } => write!(
                f,
                "maintenance of {scope} is on, by {owner}: {reason} (since {}, until {})",
                moment(*since),
                moment(*until)
            ),
            Says::Off { by, at } => write!(f, "maintenance of {scope} is off, by {by} (since {})", moment(*at)),
        }
    }
}

/// Seconds since the epoch as people read them, in UTC.
pub fn moment(seconds: u64) -> String {
    /// The last second of the year 9999; the library takes none beyond.
    const LAST: u64 = 253_402_300_799;
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds.min(LAST))).to_string()
}

/// The notices that a member has: the last word on each scope.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<Notice>", into = "Vec<Notice>")]
pub struct Notices(Vec<Notice>);

impl From<Vec<Notice>> for Notices {
    fn from(all: Vec<Notice>) -> Notices {
        all.into_iter().fold(Notices::default(), Notices::with)
    }
}

impl From<Notices> for Vec<Notice> {
    fn from(notices: Notices) -> Vec<Notice> {
        notices.0
    }
}

impl Notices {
    /// All of them, in the order of their scopes.
    pub fn all(&self) -> impl Iterator<Item = &Notice> {
        self.0.iter()
    }

    /// The last word on this scope.
    pub fn of(&self, scope: &Scope) -> Option<&Notice> {
        self.0.iter().find(|n| n.scope == *scope)
    }

    /// What this scope's next notice must be numbered.
    pub fn next_epoch(&self, scope: &Scope) -> u64 {
        self.of(scope).map_or(1, |n| n.epoch.saturating_add(1))
    }

    /// The same with this notice, unless there is a newer word on its scope.
    #[must_use]
    pub fn with(mut self, notice: Notice) -> Notices {
        match self.0.iter_mut().find(|n| n.scope == notice.scope) {
            Some(known) if *known >= notice => {}
            Some(known) => *known = notice,
            None => self.0.push(notice),
        }
        self.0.sort_by(|a, b| a.scope.cmp(&b.scope));
        self
    }

    /// The last words that either knows. In whatever order members hear of each other, they end up the same.
    #[must_use]
    pub fn merged(self, other: &Notices) -> Notices {
        other.0.iter().cloned().fold(self, Notices::with)
    }

    /// The same, of the scopes that there are in this cluster.
    #[must_use]
    pub fn only(mut self, is_member: impl Fn(&str) -> bool) -> Notices {
        self.0.retain(|n| match &n.scope {
            Scope::Cluster => true,
            Scope::Member(name) => is_member(name),
        });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::situation::{maintained, maintenance_over};
    use proptest::prelude::*;

    fn any_notices() -> impl Strategy<Value = Notices> {
        let notice = (1..4_u64, any::<bool>(), 0..2_u32, 0..3_u64).prop_map(|(epoch, on, scope, at)| {
            let scope = if scope == 0 { Scope::Cluster } else { Scope::Member("mysql/1".into()) };
            let notice = if on { maintained(scope, epoch) } else { maintenance_over(scope, epoch) };
            match notice.says {
                Says::Off { by, .. } => Notice { says: Says::Off { by, at }, ..notice },
                on => Notice { says: on, ..notice },
            }
        });
        proptest::collection::vec(notice, 0..6).prop_map(Notices::from)
    }

    proptest! {
        #[test]
        fn whoever_hears_of_whom_first_all_end_up_the_same(a in any_notices(), b in any_notices(), c in any_notices()) {
            let one = a.clone().merged(&b).merged(&c);
            prop_assert_eq!(&one, &c.clone().merged(&a).merged(&b));
            prop_assert_eq!(&one, &a.clone().merged(&b.clone().merged(&c)));
            prop_assert_eq!(&one, &one.clone().merged(&a));
        }
    }

    #[test]
    fn the_newer_word_holds_and_of_two_at_once_the_one_that_says_on() {
        let on = |epoch| maintained(Scope::Cluster, epoch);
        let off = |epoch| maintenance_over(Scope::Cluster, epoch);
        for (known, heard, expected, why) in [
            (on(1), off(2), false, "it was away when maintenance ended"),
            (off(2), on(1), false, "the other one was"),
            (off(2), on(3), true, "switched on again"),
            (off(2), on(2), true, "two persons at once"),
            (on(2), off(2), true, "two persons at once"),
        ] {
            let both = Notices::from(vec![known, heard]);
            assert_eq!(both.of(&Scope::Cluster).map(Notice::is_on), Some(expected), "{why}");
            assert_eq!(both.of(&Scope::Member("mysql/1".into())), None);
        }
    }

    #[test]
    fn a_notice_says_who_why_and_until_when() {
        let fault = |change: fn(&mut String, &mut String, &mut u64)| {
            let Says::On { mut owner, mut reason, since, mut until } = maintained(Scope::Cluster, 1).says else {
                return None;
            };
            change(&mut owner, &mut reason, &mut until);
            Notice { says: Says::On { owner, reason, since, until }, ..maintained(Scope::Cluster, 1) }.fault(since)
        };
        assert_eq!(fault(|_, _, _| {}), None);
        assert!(fault(|owner, _, _| owner.clear()).is_some_and(|f| f.contains("owner: expected some words")));
        assert!(fault(|_, reason, _| *reason = " ".into()).is_some_and(|f| f.contains("reason")));
        assert!(fault(|_, reason, _| reason.push('\n')).is_some_and(|f| f.contains("one line")));
        assert!(fault(|_, reason, _| *reason = "x".repeat(1001)).is_some_and(|f| f.contains("at most 1000")));
        assert!(fault(|_, _, until| *until = 0).is_some_and(|f| f.contains("until")));
        assert!(fault(|_, _, until| *until = u64::MAX).is_some_and(|f| f.contains("31 days")));
        for epoch in [0, u64::MAX] {
            assert!(Notice { epoch, ..maintained(Scope::Cluster, 1) }.fault(0).is_some());
        }
        assert!(
            Notice { says: Says::Off { by: "a".into(), at: u64::MAX }, ..maintained(Scope::Cluster, 1) }
                .to_string()
                .contains("9999")
        );
    }

    #[test]
    fn it_travels_as_json_and_unknown_keys_are_refused() {
        let notices =
            Notices::from(vec![maintained(Scope::Member("mysql/1".into()), 3), maintenance_over(Scope::Cluster, 2)]);
        let json = serde_json::to_value(&notices).unwrap();
        assert_eq!((&json[0]["scope"], &json[0]["is"]), (&"cluster".into(), &"off".into()));
        assert_eq!((&json[1]["scope"], &json[1]["owner"]), (&"mysql/1".into(), &"alice".into()));
        assert_eq!(serde_json::from_value::<Notices>(json.clone()).unwrap(), notices);
        let mut more = json;
        more[1]["untill"] = 5.into();
        assert!(serde_json::from_value::<Notices>(more).is_err(), "a misspelt key changes nothing silently");
    }
}
