//! Maintenance beside the diagnosis: it never changes what is wrong, only what happens by itself.

use super::advice::Advice;
use super::codes::{ClusterCode, WarningCode};
use super::facts::Look;
use super::warnings::Warn;
use super::{MemberCode, diagnose};
use crate::cluster::maintenance::{Act, By, Mode, Notice, Scope, all_lifted, left_undone, may, may_start, moment};
use crate::cluster::member::listed;
use crate::cluster::observation::Observation;

fn mode(look: &Look) -> Mode {
    Mode::of(look.seen.iter().copied())
}

/// The advice of the code, and that nothing of it happens by itself, where that is so.
pub(super) fn advice(look: &Look, code: ClusterCode, advice: Advice) -> Advice {
    let mode = mode(look);
    let kept = may(Act::Begin, By::Itself, "", &mode).is_err();
    if !kept || code == ClusterCode::Healthy {
        return advice;
    }
    let otherwise = diagnose(look.cluster, &all_lifted(look.views));
    let advice = if otherwise.code == code { otherwise.advice } else { advice };
    Advice {
        run: format!(
            "Maintenance is on, so nothing is begun by itself. To end it: {}, which first shows what would happen{}. Otherwise: {}",
            mode.ends_by(),
            by_name(look, &mode),
            advice.run
        ),
        by_itself: "nothing is begun".into(),
        prevented_by: Some("maintenance is on".into()),
        never: advice.never,
    }
}

/// What a person does without ending it: beside a primary component members are let start, and nothing is bootstrapped.
fn by_name(look: &Look, mode: &Mode) -> String {
    if look.nobody_primary() {
        return ". To go on from a member that you choose: `/var/vcap/jobs/bootstrap/bin/run --node INSTANCE --during-maintenance`".into();
    }
    let stays = |o: &&&Observation| o.process.is_none() && may_start(o, mode).is_err();
    let start = |o: &&Observation| format!("`/var/vcap/jobs/maintenance/bin/run start --member {}`", o.member.name);
    let starts: Vec<String> = look.seen.iter().filter(stays).map(start).collect();
    if starts.is_empty() { String::new() } else { format!(". To let it join now: {}", starts.join(" and ")) }
}

pub(super) fn warn_of(look: &Look, warn: &mut Warn) {
    let mode = mode(look);
    for notice in mode.notices().all().filter(|n| n.is_on()) {
        warn(WarningCode::Maintenance, format!("{notice}; nothing is begun by itself there"));
        // By the latest of the members' clocks.
        let now = look.seen.iter().map(|o| o.maintenance.now).max().unwrap_or_default();
        if notice.expired(now) {
            warn(
                WarningCode::MaintenanceExpired,
                format!(
                    "maintenance of {} should be over (it is {}), and ends by itself only when all is well and nothing would happen; it is still on: {}",
                    notice.scope,
                    moment(now),
                    notice.scope.ends_by()
                ),
            );
        }
    }
    for notice in mode.notices().all() {
        inconsistent(look, notice, warn);
    }
    for (name, why) in mode.unreadable() {
        warn(
            WarningCode::MaintenanceInconsistent,
            format!("what {name} knows of maintenance cannot be read, which counts as on: {why}"),
        );
    }
    let well = |name: &str| look.members.iter().any(|m| m.name == name && m.code == MemberCode::MemberOk);
    for undone in left_undone(look.views, well) {
        warn(WarningCode::UnfinishedOperation, undone.to_string());
    }
}

/// Members hear of each other within seconds; what stays so is worth a look.
fn inconsistent(look: &Look, newest: &Notice, warn: &mut Warn) {
    let says = |o: &Observation, scope: &Scope| o.maintenance.notices.of(scope).is_some_and(Notice::is_on);
    let readable: Vec<&&Observation> = look.seen.iter().filter(|o| o.maintenance.unreadable.is_none()).collect();
    let differ: Vec<&str> =
        readable.iter().filter(|o| says(o, &newest.scope) != newest.is_on()).map(|o| o.member.name.as_str()).collect();
    if differ.is_empty() {
        return;
    }
    let (word, other) = if newest.is_on() { ("on", "off") } else { ("off", "on") };
    warn(
        WarningCode::MaintenanceInconsistent,
        format!(
            "maintenance of {} is {word} by the newest notice ({} of {} members seen say so), and {} still says {other}; it takes the newer one over once its agent hears of it",
            newest.scope,
            readable.len() - differ.len(),
            look.seen.len(),
            listed(differ)
        ),
    );
}
