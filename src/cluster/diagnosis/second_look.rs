//! Two looks are more than one (diagnosis.md, "Timers"): what was only late is back by then, what only paused
//! goes on, and what moved in between is evidence of its own (S10, S15).

use super::{ClusterCode, Confidence, Diagnosis};
use crate::cluster::observation::MemberView;

/// The verdict of the second look, with what the first one adds to it. `seconds` lie between them.
pub fn confirmed(
    first: (&Diagnosis, &[MemberView]),
    second: Diagnosis,
    views: &[MemberView],
    seconds: u64,
) -> Diagnosis {
    let mut found = second;
    let (before, before_views) = first;
    if before.code == found.code {
        found.evidence.push(format!("it was so in two looks, {seconds} s apart"));
        // Only that it was a moment spoke against it.
        if found.code == ClusterCode::PrimaryWritesStalled {
            found.confidence = Confidence::Certain;
        }
    } else {
        found.evidence.push(format!("{seconds} s earlier it was {}: {}", before.code, before.sentence));
        if found.confidence == Confidence::Certain {
            found.confidence = Confidence::OneWitness;
        }
    }
    for now in &mut found.members {
        if let Some(then) = before.members.iter().find(|m| m.name == now.name && m.code != now.code) {
            now.evidence.push(format!("{seconds} s earlier it was {}: {}", then.code, then.sentence));
        }
    }
    found.evidence.extend(progress(before_views, views, seconds));
    found.needs_second_look = false;
    found
}

/// What moved between the looks in the primary component, and for how much of the time replication was paused.
fn progress(before: &[MemberView], now: &[MemberView], seconds: u64) -> Vec<String> {
    let pairs = before.iter().zip(now).filter_map(|(b, n)| Some((&n.member.name, b.seen()?, n.seen()?)));
    let lines = pairs.filter_map(|(name, before, now)| {
        let (was, is) = (before.wsrep.as_ref()?, now.wsrep.as_ref().filter(|w| w.is_primary())?);
        let applied = is.last_committed?.checked_sub(was.last_committed?)?;
        let paused = is.flow_control_paused_ns?.checked_sub(was.flow_control_paused_ns?)?;
        let share = paused / (seconds.max(1) * 10_000_000);
        let told = if share > 0 { format!(", and was paused for {share} % of that time") } else { String::new() };
        Some(format!("{name} applied {applied} transactions in {seconds} s{told}"))
    });
    lines.collect()
}
