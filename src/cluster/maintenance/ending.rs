//! How maintenance ends: what would happen by itself then, and whether that is nothing (M8, H9).

use super::{Mode, Notice, Notices, Says, Scope, all_with};
use crate::cluster::diagnosis::{ClusterCode, Diagnosis, MemberCode, diagnose};
use crate::cluster::member::{Cluster, Member};
use crate::cluster::observation::{MemberView, Observation};
use crate::cluster::start::{AutoRecovery, ByItself, Start, decide, without_primary};

/// What a member would do by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The member.
    pub member: String,
    /// What.
    pub what: String,
}

/// What members would do by themselves if this scope were not in maintenance: the same decisions that they make.
pub fn plan(cluster: &Cluster, auto: AutoRecovery, views: &[MemberView], without: &Scope) -> Vec<Planned> {
    let mode = Mode::of(views.iter().filter_map(MemberView::seen));
    let over = Notice {
        epoch: mode.notices().next_epoch(without),
        says: Says::Off { by: String::new(), at: 0 },
        scope: without.clone(),
        undone: Vec::new(),
    };
    let views = all_with(views, &mode.notices().clone().with(over));
    let seen = views.iter().filter_map(MemberView::seen);
    seen.filter_map(|own| {
        let me = cluster.member(&own.member.name)?;
        let others: Vec<MemberView> = views.iter().filter(|v| v.member.name != me.name).cloned().collect();
        Some(Planned { member: me.name.clone(), what: would(cluster, auto, me, own, &others)? })
    })
    .collect()
}

fn would(
    cluster: &Cluster,
    auto: AutoRecovery,
    me: &Member,
    own: &Observation,
    others: &[MemberView],
) -> Option<String> {
    let supervisor = own.supervisor.present()?;
    if supervisor.hold.is_some() {
        return None;
    }
    if own.process.is_none() {
        return match decide(cluster, auto, me, own, others) {
            Start::Wait(_) | Start::Refuse(_) => None,
            acts => Some(acts.to_string()),
        };
    }
    if !own.lives_without_quorum() {
        return None;
    }
    match without_primary(cluster, auto, me, own, others) {
        ByItself::Begin(proof) => Some(format!("bring the cluster back: {proof}")),
        ByItself::End(why) => Some(format!("stop this mariadbd, and decide anew: {why}")),
        ByItself::Wait(_) => None,
    }
}

/// Whether this scope's maintenance may end without anybody deciding: all is well, and nothing would happen.
pub fn ready_to_end(scope: &Scope, found: &Diagnosis, plan: &[Planned]) -> Result<(), String> {
    let unwell = match scope {
        Scope::Cluster => (found.code != ClusterCode::Healthy).then(|| format!("{}: {}", found.code, found.sentence)),
        Scope::Member(name) => {
            let member = found.members.iter().find(|m| m.name == *name);
            let well = member.is_some_and(|m| m.code == MemberCode::MemberOk);
            let told = member.map_or("it is not one of the members".into(), |m| format!("{}: {}", m.code, m.sentence));
            (!well).then(|| format!("{name}: {told}"))
        }
    };
    match (unwell, plan) {
        (Some(why), _) => Err(why),
        (None, []) => Ok(()),
        (None, [first, ..]) => Err(format!("{} would {}", first.member, first.what)),
    }
}

/// What is over by itself: a maintenance whose time has come while all is well, and what was left undone by
/// members that are well again. The notices as they then are, none if nothing changes.
pub fn tidied(cluster: &Cluster, auto: AutoRecovery, views: &[MemberView], now: u64) -> Option<Notices> {
    let mode = Mode::of(views.iter().filter_map(MemberView::seen));
    if !mode.unreadable().is_empty() {
        return None;
    }
    let found = diagnose(cluster, views);
    let well = |name: &str| found.members.iter().any(|m| m.name == name && m.code == MemberCode::MemberOk);
    let after = mode.notices().all().fold(mode.notices().clone(), |notices, notice| {
        let mut after = notice.clone();
        after.undone.retain(|u| !well(&u.member));
        if notice.expired(now)
            && ready_to_end(&notice.scope, &found, &plan(cluster, auto, views, &notice.scope)).is_ok()
        {
            after.says = Says::Off { by: "its time being over, with all well and nothing to do".into(), at: now };
        }
        if after == *notice {
            return notices;
        }
        after.epoch += 1;
        notices.with(after)
    });
    (after != *mode.notices()).then_some(after)
}
