//! Which primary components the observations show.

use std::collections::BTreeSet;

use super::lineage::{Lineage, one_past};
use super::observation::{MemberView, Observation};
use crate::galera::uuid::Uuid;
use crate::galera::wsrep::Wsrep;

/// A primary component, put together from what its members' agents report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Primary {
    /// The names of the members that report it.
    pub members: Vec<String>,
    /// Those of them that are Synced and let statements through.
    pub synced: Vec<String>,
    /// How many members with data Galera counts in it.
    pub size: u32,
    /// How many arbitrators vote in it besides.
    pub arbitrators: u32,
    /// Its history; none if the members do not agree on one, or it is nil.
    pub history: Option<Uuid>,
    /// The highest position that any of its members reports: what is applied there. It may have received more.
    pub seqno: u64,
    /// The same of a member that had applied all that the group had delivered by then; none where none was asked.
    pub applied: Option<u64>,
    /// The past that its members remember.
    pub lineage: Lineage,
    /// The members of it that remember pasts of which none goes on from the other, or that report different views and
    /// different pasts: they may be in one component no more. None mostly.
    pub branches: Vec<String>,
    /// Whether its members report different views: it is just changing, or is two components by now.
    pub changing: bool,
    /// A member that does not know how the component came about: begun by hand, behind the back of its supervisor.
    pub unrecorded: Option<String>,
    /// Whether none of its members remembers any incarnation yet, and one will: whoever joined now could not
    /// tell later what its data is part of.
    pub unsettled: bool,
}

impl Primary {
    /// Why this component is about to lose its quorum, where it is: Galera needs `evs.suspect_timeout` (5 s) to
    /// notice that members died, and so long the survivors report a component that is gone already. Whoever
    /// runs, or is not seen, may be part of it.
    pub fn about_to_fall(&self, views: &[MemberView]) -> Option<String> {
        let alive = views.iter().filter(|v| v.seen().is_none_or(Observation::takes_part)).count();
        let (size, arbitrators) = (self.size as usize, self.arbitrators as usize);
        // An arbitrator votes as long as Galera counts it; one that died with the members is the rarer case, and
        // then the component falls all the same, and the join into it with it.
        (2 * (alive + arbitrators) <= size + arbitrators).then(|| {
            let members = self.members.join(", ");
            format!(
                "{members} still counts {} members, and most of them are down: its quorum is lost once Galera notices",
                self.size
            )
        })
    }
}

/// What there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Primaries {
    /// No observed member is primary.
    None,
    /// One primary component.
    One(Primary),
    /// Two or more that have no member in common: two writers.
    Split(Vec<Primary>),
}

/// Finds the primary components. Two members are in one component when the memberships that Galera
/// lists to them overlap; equal history UUIDs prove nothing, a double bootstrap has the same on both.
pub fn primaries<'a>(observations: impl IntoIterator<Item = &'a Observation>) -> Primaries {
    let primary_ones = observations.into_iter().filter(|o| o.wsrep.as_ref().is_some_and(Wsrep::is_primary));
    // With wsrep_on = OFF a server goes on as a member, and lists nobody: it would look like a component of its own.
    let (on, off): (Vec<_>, Vec<_>) = primary_ones.partition(|o| o.wsrep.as_ref().is_some_and(|w| w.on));
    let mut found: Vec<Primary> = components(if on.is_empty() { off } else { on }).into_iter().map(primary).collect();
    match found.len() {
        0 => Primaries::None,
        1 => found.pop().map_or(Primaries::None, Primaries::One),
        _ => Primaries::Split(found),
    }
}

/// Whether these members are all in one component, primary or not: each has a view, and the views overlap.
pub fn one_component(of: &[&Observation]) -> bool {
    of.iter().all(|o| o.wsrep.is_some()) && components(of.iter().copied()).len() == 1
}

/// The members that see each other, by the memberships that Galera lists to them.
fn components<'a>(observations: impl IntoIterator<Item = &'a Observation>) -> Vec<Vec<&'a Observation>> {
    let mut components: Vec<(BTreeSet<&str>, Vec<&Observation>)> = Vec::new();
    for observation in observations {
        let Some(wsrep) = &observation.wsrep else { continue };
        let mut addresses: BTreeSet<&str> =
            wsrep.incoming_addresses.split(',').map(str::trim).filter(|a| !a.is_empty() && *a != "AUTO").collect();
        // The member itself is one of them, whatever its address looks like to Galera.
        addresses.insert(&observation.member.name);
        let mut members = vec![observation];
        components.retain_mut(|(known, of)| {
            let apart = known.is_disjoint(&addresses);
            if !apart {
                addresses.append(known);
                members.append(of);
            }
            apart
        });
        components.push((addresses, members));
    }
    components.into_iter().map(|(_, members)| members).collect()
}

/// How many members with data, and how many arbitrators, Galera counts in the component of these. Whoever lists all of its view
/// tells the one from the other.
pub fn members_and_arbitrators<'a>(of: impl Iterator<Item = &'a Wsrep> + Clone) -> (u32, u32) {
    let any_lists_all = of.clone().any(Wsrep::lists_all);
    let sized = of.filter(|w| w.lists_all() || !any_lists_all);
    let most = |count: fn(&Wsrep) -> u32| sized.clone().map(count).max().unwrap_or_default();
    (most(Wsrep::members_with_data), most(Wsrep::arbitrators))
}

fn primary(mut members: Vec<&Observation>) -> Primary {
    members.sort_by(|a, b| a.member.name.cmp(&b.member.name));
    let wsreps = || members.iter().filter_map(|o| o.wsrep.as_ref());
    let histories: BTreeSet<Uuid> = wsreps().filter_map(|w| w.cluster_state_uuid).collect();
    let name = |o: &&Observation| o.member.name.clone();
    let remembers = |o: &&Observation| !o.memory.lineage_as_primary().is_empty();
    // A member that somebody put there by hand remembers what it was part of before.
    let explained: Vec<&Observation> = members.iter().filter(|o| !o.beginning_unrecorded()).copied().collect();
    let telling = if explained.iter().any(&remembers) { &explained } else { &members };
    let pasts: Vec<Lineage> = telling.iter().map(|o| o.memory.lineage_as_primary()).collect();
    let past = one_past(&pasts);
    let (size, arbitrators) = members_and_arbitrators(wsreps());
    let views_differ = members.iter().any(|o| !members.iter().all(|other| o.shares_view(other)));
    let mut known = pasts.iter().filter(|past| !past.is_empty());
    // By their ids: of one incarnation each member may have noted by itself when it was.
    let differ = |a: &Lineage, b: &Lineage| !(a.extends(b) && b.extends(a));
    let pasts_differ = known.next().is_some_and(|first| known.any(|past| differ(past, first)));
    let applied = members.iter().filter(|o| o.applied_all).filter_map(|o| o.wsrep.as_ref()?.last_committed);
    Primary {
        unsettled: !members.iter().any(remembers) && members.iter().any(|o| o.supervisor.present().is_some()),
        synced: members.iter().filter(|o| o.wsrep.as_ref().is_some_and(|w| w.is_synced())).map(name).collect(),
        size,
        arbitrators,
        history: histories.first().filter(|_| histories.len() == 1).copied(),
        seqno: wsreps().filter_map(|w| w.last_committed).max().unwrap_or_default(),
        applied: applied.max(),
        branches: if past.is_err() || (views_differ && pasts_differ) {
            telling.iter().map(name).collect()
        } else {
            Vec::new()
        },
        lineage: past.unwrap_or_default(),
        changing: views_differ,
        unrecorded: members.iter().find(|o| remembers(o) && o.beginning_unrecorded()).map(name),
        members: members.iter().map(name).collect(),
    }
}
