//! What should be known besides the diagnosis: the structure of the cluster, and dangers that are none yet.

use std::collections::BTreeSet;
use std::time::Duration;

use super::cluster_rules::differing;
use super::codes::{ClusterCode, WarningCode};
use super::facts::{Look, disk_fault, said, slow_disk};
use super::{MemberCode, Warning, maintained};
use crate::cluster::arbitration::ArbitratorWord;
use crate::cluster::observation::{ABANDONED, File, KEPT, MemberView, Observation};
use crate::galera::log_lines::LogKind;
use crate::galera::moment::Moment;
use crate::galera::position::OneHistory;

pub(super) fn of(look: &Look, diagnosis: ClusterCode) -> Vec<Warning> {
    let mut all = Vec::new();
    let mut warn = |code, sentence: String| all.push(Warning { code, sentence });
    structure(look, &mut warn);
    vms(look, &mut warn);
    servers(look, &mut warn);
    network(look, diagnosis, &mut warn);
    galera(look, &mut warn);
    maintained::warn_of(look, &mut warn);
    all
}

/// What a warning is told to.
pub(super) type Warn<'a> = dyn FnMut(WarningCode, String) + 'a;

fn structure(look: &Look, warn: &mut Warn) {
    let members = look.expected();
    if members == 1 {
        warn(WarningCode::SingleNode, "there is one member: no failure is survived".into());
    } else if members.is_multiple_of(2) && look.cluster.arbitrators.is_empty() {
        warn(
            WarningCode::EvenSizedCluster,
            format!("{members} members survive no more failures than {}, and half of them is no quorum", members - 1),
        );
    }
    if look.primary().is_some_and(|p| p.size + p.arbitrators == 2) {
        warn(
            WarningCode::OneMoreLossLosesQuorum,
            "two members are primary: if one is lost without a clean stop, the other loses its quorum".into(),
        );
    }
    let absent = look.cluster.arbitrators.iter().filter_map(|a| absent(look, &a.name)).collect::<Vec<_>>();
    if !absent.is_empty() {
        warn(WarningCode::ArbitratorAbsent, absent.join("; "));
    }
    let group = look.seen.iter().filter_map(|o| o.wsrep.as_ref()).filter(|w| w.is_primary()).map(|w| w.cluster_size);
    let ours = members + look.cluster.arbitrators.len();
    if let Some(size) = group.min().filter(|size| usize::try_from(*size).is_ok_and(|size| size > ours)) {
        let sentence =
            format!("{size} take part in the group, and the deployment has {ours}: somebody joined who is not of it");
        warn(WarningCode::StrangerInGroup, sentence);
    }
    let zones: BTreeSet<Option<&str>> = look.cluster.members.iter().map(|m| m.az.as_deref()).collect();
    if let (true, 1, Some(Some(zone))) = (members > 1, zones.len(), zones.first()) {
        warn(WarningCode::MembersInOneAz, format!("all members are in availability zone {zone}"));
    }
    let differ = differing(look);
    if !look.nobody_primary() && !differ.is_empty() {
        warn(WarningCode::MembershipConfigMismatch, format!("{}; normal while a deploy runs", differ.join("; ")));
    }
}

fn vms(look: &Look, warn: &mut Warn) {
    let full = look.names(|o| disk_fault(o).is_some());
    if full.contains(", ") {
        warn(WarningCode::SeveralDisksFull, format!("{full}: one cause for all, such as shared storage, is likely"));
    }
    let low = look.names(|o| disk_fault(o).is_none() && o.host.free_bytes.is_some_and(|free| free < ENOUGH));
    if !low.is_empty() {
        warn(WarningCode::DiskNearlyFull, format!("less than 512 MiB free: {low}"));
    }
    let slow = look.seen.iter().filter(|o| disk_fault(o).is_none());
    let slow: Vec<String> = slow.filter_map(|o| Some(format!("{} took {} ms", o.member.name, slow_disk(o)?))).collect();
    if !slow.is_empty() {
        warn(
            WarningCode::SlowDisk,
            format!("a small write and its sync: {}; under load all members wait for the slowest", slow.join(", ")),
        );
    }
    let unwatched = look.names(|o| o.process.is_some() && o.supervisor.present().is_none());
    if !unwatched.is_empty() {
        warn(
            WarningCode::SupervisorAbsent,
            format!("mariadbd runs without galera-start on {unwatched}: nothing looks after it; `monit start mariadb`"),
        );
    }
    let ours: BTreeSet<&str> = look.seen.iter().map(|o| o.member.version.as_str()).collect();
    let galeras: BTreeSet<&str> =
        look.seen.iter().filter_map(|o| o.wsrep.as_ref()).map(|w| w.provider_version.as_str()).collect();
    for (of, versions) in [("this release", ours), ("Galera", galeras)] {
        if versions.len() > 1 {
            let versions: Vec<&str> = versions.into_iter().collect();
            warn(WarningCode::MixedVersions, format!("versions of {of}: {}", versions.join(", ")));
        }
    }
}

/// What the servers' past and their logs tell.
fn servers(look: &Look, warn: &mut Warn) {
    /// Once is a mishap.
    const OFTEN: u32 = 3;
    for member in look.seen.iter().filter(|o| o.deaths.last_hour >= OFTEN) {
        let deaths = &member.deaths;
        let end = deaths.last_end.as_ref().map_or(String::new(), |end| format!(", last with {end}"));
        let text = format!(
            "{}: mariadbd died {} times within {} s{end}, and came back each time: its mariadb.err.log and the kernel's log (OOM) tell why",
            member.member.name, deaths.last_hour, deaths.within_seconds
        );
        warn(WarningCode::DiesAgainAndAgain, text);
    }
    for (member, line) in look.seen.iter().filter_map(|o| Some((o, said(o, LogKind::DdlDiffers)?))) {
        if !look.seen.iter().any(|other| carried_out(other, line)) {
            continue;
        }
        let text = format!(
            "{} ignored the failure of a DDL that others may have carried out, so that its tables may differ: {line}",
            member.member.name
        );
        warn(WarningCode::DdlDiffers, text);
    }
    for (member, fell) in look.seen.iter().filter_map(|o| Some((o, o.supervisor.present()?.fell_back?))) {
        let text = format!(
            "{} had {}, and after its last start its disk had {}: it lost {} transactions that were committed (innodb_flush_log_at_trx_commit, or a disk that says that it wrote and did not)",
            member.member.name,
            fell.had,
            fell.found,
            fell.had.seqno().saturating_sub(fell.found.seqno())
        );
        warn(WarningCode::PositionFellBack, text);
    }
    for member in look.seen.iter().filter(|o| !o.kept_aside.is_empty()) {
        let of = |what: &str, why: &str| {
            let marked = |path: &&str| path.contains(&format!(".{what}"));
            let found: Vec<&str> = member.kept_aside.iter().map(String::as_str).filter(marked).collect();
            (!found.is_empty()).then(|| format!("{why}: {}", found.join(" ")))
        };
        let kept: Vec<String> =
            [of(ABANDONED, "a person gave it up"), of(KEPT, "it was not known that the cluster has all of it")]
                .into_iter()
                .flatten()
                .collect();
        let text = format!(
            "{} keeps data that was set aside, and that may have transactions that no other member has ({}). To read it: `galera-ctl rejoin` on its VM tells how. Delete it (rm -r) once nobody needs it",
            member.member.name,
            kept.join("; ")
        );
        warn(WarningCode::DataKeptAside, text);
    }
    // While the sync of this boot goes on, nothing is wrong.
    let torn = look.names(|o| o.process.is_some() && o.memory.copy_may_be_torn(o.member.boot_id.parse().ok()));
    if !torn.is_empty() {
        let text = format!(
            "{torn} serves with what a full copy brought, and its disk did not take all of it: its files may be torn. Look at the disk, and then `bosh restart` it: it keeps what it has aside, and takes a new copy"
        );
        warn(WarningCode::CopyNotOnDisk, text);
    }
}

/// Whether a member lived when another one wrote this line about a DDL that failed there, and did not fail in the same way.
fn carried_out(of: &Observation, line: &str) -> bool {
    let failure = |line: &str| line.split_once("Ignoring error").map(|(_, what)| what.to_owned());
    let same = said(of, LogKind::DdlDiffers).and_then(failure) == failure(line);
    let began = Moment::parse(&of.at).zip(of.process_seconds).map(|(at, age)| at.before(Duration::from_secs(age)));
    let when = Moment::of_line(line).map(|(when, _)| when);
    !same && began.zip(when).is_some_and(|(began, when)| began <= when)
}

/// Why an expected arbitrator does not vote. Any member that sees it vote is enough.
fn absent(look: &Look, name: &str) -> Option<String> {
    let words = || look.seen.iter().flat_map(|o| o.arbitrators.iter().filter(|w| w.name == name));
    if words().any(ArbitratorWord::votes) {
        return None;
    }
    let said = words().find_map(|w| Some(format!("{name} does not vote: {}", w.seen.as_ref()?.detail)));
    let unseen = || words().find_map(|w| Some(format!("{name} is not seen: {}", w.why_unseen.as_ref()?)));
    said.or_else(unseen)
}

/// Below this many bytes a disk is nearly full.
const ENOUGH: u64 = 512 * 1024 * 1024;

fn network(look: &Look, diagnosis: ClusterCode, warn: &mut Warn) {
    let zone = |v: &&MemberView| v.member.az.clone();
    let unseen: BTreeSet<Option<String>> = look.unseen.iter().map(zone).collect();
    if let (true, 1, Some(Some(zone))) = (look.unseen.len() > 1 && !look.seen.is_empty(), unseen.len(), unseen.first())
    {
        warn(WarningCode::OneAzUnseen, format!("all members that are not seen are in availability zone {zone}"));
    }
    let relayed =
        look.views.iter().filter_map(|v| Some(format!("{} (told by {})", v.member.name, v.relayed_by.as_ref()?)));
    let relayed: Vec<String> = relayed.collect();
    if !relayed.is_empty() {
        warn(
            WarningCode::ObserverCutOff,
            format!(
                "not reached from here, and reached by others: {}; the network here is at fault",
                relayed.join(", ")
            ),
        );
    }
    let links = look.cut_links();
    // Where that is the diagnosis, it is its evidence.
    if !links.is_empty() && diagnosis != ClusterCode::AllNonPrimaryPartitioned {
        warn(WarningCode::LinksCut, links.join("; "));
    }
}

fn galera(look: &Look, warn: &mut Warn) {
    for (code, option) in
        [(WarningCode::PcIgnoreSbSet, "pc.ignore_sb"), (WarningCode::PcIgnoreQuorumSet, "pc.ignore_quorum")]
    {
        let on = look.names(|o| o.wsrep.as_ref().is_some_and(|w| w.quorum_ignored.iter().any(|q| q == option)));
        if !on.is_empty() {
            warn(code, format!("{option} is on at {on}: after a cut both halves go on writing"));
        }
    }
    if look.primary_members().any(|(_, w)| !w.evs_evict_list.is_empty()) {
        warn(
            WarningCode::EvictedMembers,
            "members were evicted; after an outage such a cluster can fail to form a primary component".into(),
        );
    }
    let stale = match look.primary() {
        Some(_) => look.coded(|code| code == MemberCode::StaleMember),
        None => String::new(),
    };
    if !stale.is_empty() {
        warn(
            WarningCode::GcacheTooSmallForIst,
            format!("{stale} needs a full copy: gcache_size is small for such an absence"),
        );
    }
    for member in look.seen.iter().filter(|o| suspicious(look, o)) {
        warn(
            WarningCode::SafeToBootstrapSuspicious,
            format!(
                "{} says safe_to_bootstrap, and its position does not: the flag is not believed",
                member.member.name
            ),
        );
    }
}

/// A flag on the nil history is what Galera leaves behind; one with a position below another's means that
/// the cluster went on elsewhere.
fn suspicious(look: &Look, of: &Observation) -> bool {
    let File::Present(grastate) = &of.disk.grastate else { return false };
    let placed = look.seen.iter().filter_map(|o| Some((o.member.name.as_str(), o.position.position()?)));
    let ahead = match (OneHistory::of(placed), of.position.position()) {
        (Ok(history), Some(own)) => history.highest() > own.seqno(),
        _ => false,
    };
    grastate.safe_to_bootstrap && of.process.is_none() && (!grastate.validly_safe() || ahead)
}
