//! From whom may a joiner take its state? A full copy of a member that misses a table's file succeeds, and spreads the
//! loss; so such a member is no donor where another one is whole.

use super::member::listed;
use super::observation::{MemberView, Observation};

/// Who may give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Donors {
    /// Whoever Galera chooses.
    Any,
    /// These before all others, by the names that the group knows them by: of some other one it is not known that it is
    /// whole.
    First(Vec<String>),
    /// These alone: another one misses tables.
    Only(Vec<String>),
    /// All that could give miss tables; who, and which.
    NoneWhole(String),
}

/// By what is seen of the members of the primary component.
pub fn donors(views: &[MemberView]) -> Donors {
    let gives = |o: &&Observation| o.wsrep.as_ref().is_some_and(|w| w.is_primary());
    let seen: Vec<_> = views.iter().filter_map(MemberView::seen).filter(gives).collect();
    let (lacking, whole): (Vec<_>, Vec<_>) = seen.iter().copied().partition(|o| !o.missing_tables.is_empty());
    // What its data looked like at rest is a hint, since a table of the system tablespace has no file either.
    let (doubted, sound): (Vec<_>, Vec<_>) = whole.iter().copied().partition(|o| lacked_at_rest(o));
    let members = seen.iter().filter_map(|o| Some(o.wsrep.as_ref()?.members_with_data())).max();
    let silent = members.is_some_and(|members| seen.len() < members as usize);
    let synced = |of: &[&Observation]| of.iter().any(|o| o.wsrep.as_ref().is_some_and(|w| w.is_synced()));
    let names = |of: &[&Observation]| of.iter().rev().map(|o| o.member.name.clone()).collect();
    match lacking.as_slice() {
        [] if (silent || !doubted.is_empty()) && synced(&sound) => Donors::First(names(&sound)),
        [] => Donors::Any,
        _ if synced(&whole) => Donors::Only(names(&whole)),
        lacking => {
            let told = lacking.iter().map(|o| format!("{} misses {}", o.member.name, listed(tables(o))));
            Donors::NoneWhole(told.collect::<Vec<_>>().join("; "))
        }
    }
}

fn lacked_at_rest(of: &Observation) -> bool {
    of.supervisor.present().is_some_and(|s| !s.lacks_tables.is_empty())
}

fn tables(of: &Observation) -> impl Iterator<Item = &str> {
    of.missing_tables.iter().map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::observation::SupervisorSight;
    use crate::cluster::situation::*;
    use crate::galera::wsrep::{ClusterStatus, LocalState};

    #[test]
    fn t14_a_member_that_misses_a_table_is_no_donor_where_another_is_whole() {
        let whole = |n| primary(n, 9, &[0, 1]);
        let lacks = |n| whole(n).with(|o| o.missing_tables = vec!["ledger/entries".into()]);
        let joins = |n| whole(n).state(ClusterStatus::Primary, LocalState::Joined);
        let only = |n: u32| Donors::Only(vec![format!("mysql/{n}")]);
        let first = |of: &[u32]| Donors::First(of.iter().map(|n| format!("mysql/{n}")).collect());
        let lacked = |n| {
            whole(n).with(|o| match &mut o.supervisor {
                SupervisorSight::Present(s) => s.lacks_tables = vec!["ledger/entries".into()],
                _ => unreachable!("it has a supervisor"),
            })
        };
        for (views, expected, why) in [
            (vec![seen(whole(0)), seen(whole(1))], Donors::Any, "all are whole"),
            (vec![seen(lacks(0)), seen(whole(1))], only(1), "one is not"),
            (vec![seen(lacks(0)), seen(down(1, 9))], Donors::NoneWhole("mysql/0 misses ledger/entries".into()), "one"),
            (
                vec![seen(lacks(0)), seen(joins(1))],
                Donors::NoneWhole("mysql/0 misses ledger/entries".into()),
                "the other one catches up",
            ),
            (vec![silent(0), seen(whole(1))], first(&[1]), "nothing is known of it"),
            (vec![seen(lacked(0)), seen(whole(1))], first(&[1]), "its log may have scrolled away since it was started"),
            (vec![seen(lacked(0)), seen(lacked(1))], Donors::Any, "a table of the system tablespace, on both"),
        ] {
            assert_eq!(donors(&views), expected, "{why}");
        }
    }
}
