//! How the cluster is: the first rule that fits is the diagnosis.

use std::collections::BTreeSet;

use super::advice::{self, Advice};
use super::codes::{ClusterCode, Confidence};
use super::facts::{Life, Look, age, disk_fault, life, usable};
use super::no_primary as none;
use super::{MemberCode, facts};
use crate::cluster::hold::{COMPATIBLE, COMPATIBLE_OWNER};
use crate::cluster::member::listed;
use crate::cluster::observation::{MemberView, Observation, Phase, PortAnswer, Sight, StartMode};
use crate::cluster::primary::{Primaries, Primary};
use crate::galera::wsrep::LocalState;

/// What a rule found.
pub(super) struct Verdict {
    pub(super) sentence: String,
    /// Where the situation tells it more exactly than the code.
    pub(super) advice: Option<Advice>,
    pub(super) evidence: Vec<String>,
    /// Where it is not as sure as who is seen.
    pub(super) confidence: Option<Confidence>,
}

impl Verdict {
    pub(super) fn of(sentence: impl Into<String>, evidence: Vec<String>) -> Verdict {
        Verdict { sentence: sentence.into(), advice: None, evidence, confidence: None }
    }

    pub(super) fn advising(self, advice: Advice) -> Verdict {
        Verdict { advice: Some(advice), ..self }
    }
}

type Rule = fn(&Look) -> Option<Verdict>;

/// In this order. What may be concluded from a part comes before what needs all members to be seen.
pub(super) const RULES: [(ClusterCode, Rule); 26] = [
    (ClusterCode::ObserverBlind, blind),
    (ClusterCode::MembershipConfigMismatch, mismatch),
    (ClusterCode::SplitBrain, split),
    (ClusterCode::NilHistory, nil_history),
    (ClusterCode::Healthy, healthy),
    (ClusterCode::BootstrapInProgress, bootstrapping),
    (ClusterCode::RecoveryInProgress, recovering),
    (ClusterCode::PrimaryNoUsableMember, no_usable),
    (ClusterCode::PrimaryWritesStalled, stalled),
    (ClusterCode::AgentsUnreachable, only_agents),
    (ClusterCode::DegradedToOne, one_left),
    (ClusterCode::Degraded, degraded),
    // From here on nobody who is seen is primary.
    (ClusterCode::FirstDeploy, none::first_deploy),
    (ClusterCode::MinorityOnly, none::minority),
    (ClusterCode::PartialKnowledge, none::partial),
    // From here on everybody is seen.
    (ClusterCode::DivergentHistories, none::divergent),
    (ClusterCode::AllNonPrimaryPartitioned, none::partitioned),
    (ClusterCode::NoRecoverablePosition, none::no_position),
    (ClusterCode::AllDownClean, none::down_clean),
    (ClusterCode::AllDownCrashed, none::down_crashed),
    (ClusterCode::AllDownMixed, none::down_mixed),
    (ClusterCode::AllNonPrimaryRuntime, none::runtime),
    (ClusterCode::AllNonPrimaryWedged, none::wedged),
    (ClusterCode::SurvivorNonPrimary, none::survivor),
    (ClusterCode::NonPrimaryMixed, none::mixed),
    (ClusterCode::RecoveryInProgress, none::stopping),
];

pub(super) fn first_match(look: &Look) -> (ClusterCode, Verdict) {
    let found = RULES.iter().find_map(|(code, rule)| Some((*code, rule(look)?)));
    found.unwrap_or_else(|| {
        let sentence = "what the members report fits no known situation";
        let codes = look.members.iter().map(|m| format!("{} is {:?}: {}", m.name, m.code, m.sentence)).collect();
        (ClusterCode::Unknown, Verdict { confidence: Some(Confidence::Unknown), ..Verdict::of(sentence, codes) })
    })
}

/// S1, S11: nobody is seen. Our own fault is the first thing to think of.
fn blind(look: &Look) -> Option<Verdict> {
    look.seen.is_empty().then_some(())?;
    let zones: BTreeSet<&str> = look.cluster.members.iter().filter_map(|m| m.az.as_deref()).collect();
    let perhaps = if look.views.iter().all(|v| matches!(v.sight, Sight::Unusable(_) | Sight::Another(_))) {
        "all answer, and no answer can be used: password, certificates or addresses"
    } else if look.views.iter().all(|v| v.sight == Sight::Refused) {
        "all VMs answer, and no agent runs on them"
    } else if zones.len() == 1 && look.expected() > 1 {
        "all are in one availability zone: that zone, its network, or only we are cut off"
    } else {
        "power, the network, or only we are cut off"
    };
    let sentence =
        format!("no agent of {} members is seen, which says nothing about the database; {perhaps}", look.expected());
    let mut evidence = look.why_unseen();
    let listening: Vec<&MemberView> = look.views.iter().filter(|v| v.galera_port == Some(PortAnswer::Open)).collect();
    evidence.extend(listening.iter().map(|v| format!("{} listens on the group port", v.member.name)));
    let found = Verdict::of(sentence, evidence);
    // Their VMs were asked, and said so.
    let stopped = listening.is_empty() && look.views.iter().all(|v| v.sight == Sight::Refused);
    Some(if stopped { found.advising(advice::start_the_jobs()) } else { found })
}

/// Members that expect other members than this configuration does, or another cluster.
pub(super) fn differing(look: &Look) -> Vec<String> {
    let expected: BTreeSet<&str> = look.cluster.members.iter().map(|m| m.name.as_str()).collect();
    let differ = look.seen.iter().filter(|o| {
        let theirs: BTreeSet<&str> = o.member.expects.iter().map(String::as_str).collect();
        theirs != expected || o.member.cluster != look.cluster.name
    });
    differ
        .map(|o| format!("{} is of {} and expects {}", o.member.name, o.member.cluster, o.member.expects.join(", ")))
        .collect()
}

fn mismatch(look: &Look) -> Option<Verdict> {
    let differ = differing(look);
    let impostors = look.unseen.iter().filter(|v| matches!(v.sight, Sight::Another(_)));
    let evidence: Vec<String> = differ.into_iter().chain(impostors.filter_map(|v| v.why_unseen())).collect();
    (look.nobody_primary() && !evidence.is_empty()).then(|| {
        let sentence = "nobody is primary, and the members do not agree on who they are: a deploy is under way, or a VM has an old configuration";
        Verdict::of(sentence, evidence)
    })
}

/// Two writers. The same history on both proves nothing; memberships without a common member do.
fn split(look: &Look) -> Option<Verdict> {
    let Primaries::Split(sides) = &look.primaries else { return None };
    let told = |p: &Primary| {
        let history = p.history.map_or("no history".into(), |h| h.to_string());
        let last = p.lineage.newest().map_or(String::new(), |i| format!(", begun by {} at {}", i.by, i.at));
        format!("{} at {history}:{}, of {} members{last}", p.members.join(", "), p.seqno, p.size)
    };
    let names: Vec<String> = sides.iter().map(|p| p.members.join(", ")).collect();
    let sentence = format!(
        "{} primary components take writes, and know nothing of each other: {}",
        sides.len(),
        names.join(" | ")
    );
    Some(Verdict::of(sentence, sides.iter().map(told).collect()))
}

fn nil_history(look: &Look) -> Option<Verdict> {
    look.primary()?;
    let nil = look.primary_members().all(|(_, w)| w.cluster_state_uuid.is_none());
    nil.then(|| {
        let sentence =
            "the cluster runs on the nil history: all members crashed in a DDL, and nobody compared their data since";
        Verdict::of(sentence, look.positions())
    })
}

fn healthy(look: &Look) -> Option<Verdict> {
    let primary = look.primary()?;
    let all = look.expected();
    let counted = usize::try_from(primary.size).is_ok_and(|size| size == all);
    let well = look.unwell().next().is_none();
    (counted && well && primary.synced.len() == all).then(|| {
        let sentence = format!("all {all} members are Synced in one primary component");
        match look.views_disagree() {
            None => Verdict::of(sentence, look.positions()),
            // Seen at different moments, of which none may have been like this.
            Some(views) => Verdict { confidence: Some(Confidence::OneWitness), ..Verdict::of(sentence, vec![views]) },
        }
    })
}

fn bootstrapping(look: &Look) -> Option<Verdict> {
    /// Longer than an ordinary recovery of InnoDB; then it is judged like any other start.
    const LONGEST: u64 = 600;
    let begins = |o: &&&Observation| {
        let new = o.process.as_ref().is_some_and(|p| p.new_cluster);
        // The argument stays. One that gives its state, hangs or has lost its quorum has served before.
        let on_its_way = match life(o) {
            Life::Starting | Life::Wedged => true,
            Life::Primary => {
                !o.wsrep.as_ref().is_some_and(|w| matches!(w.local_state, LocalState::Synced | LocalState::Donor))
            }
            _ => false,
        };
        new && on_its_way && age(o).is_none_or(|seconds| seconds < LONGEST)
    };
    let who = look.seen.iter().find(begins)?;
    Some(Verdict::of(
        format!("{} is beginning a new incarnation", who.member.name),
        vec![format!("its mariadbd has --wsrep-new-cluster, and stands at {}", who.position)],
    ))
}

/// Somebody is at it: an order, or members that restore their view together and still have time.
fn recovering(look: &Look) -> Option<Verdict> {
    let held = look.seen.iter().filter_map(|o| Some((o, o.supervisor.present()?.hold.as_ref()?)));
    let holds: Vec<String> = held
        .map(|(o, hold)| {
            format!("{} is held by {} for {} s more: {}", o.member.name, hold.owner, hold.seconds, hold.reason)
        })
        .collect();
    if !holds.is_empty() {
        let compatible =
            look.seen.iter().filter_map(|o| o.supervisor.present()?.hold.as_ref()).all(|h| h.order == COMPATIBLE);
        let sentence = if compatible {
            format!(
                "{COMPATIBLE_OWNER} holds members; that ends by itself seconds after its last request, and at once by the errand: `/var/vcap/jobs/bootstrap/bin/run`"
            )
        } else {
            "an order holds members; whoever gave it is at work".into()
        };
        let longest = look.seen.iter().filter_map(|o| Some(o.supervisor.present()?.hold.as_ref()?.seconds)).max();
        let by_itself = format!(
            "whoever holds them goes on; without a sign of life from there the holds end within {} s, and members decide anew",
            longest.unwrap_or_default()
        );
        let usual = advice::of(ClusterCode::RecoveryInProgress);
        return Some(Verdict::of(sentence, holds).advising(Advice { by_itself, ..usual }));
    }
    look.nobody_primary().then_some(())?;
    let coming = |o: &Observation| {
        let supervisor = o.supervisor.present();
        let restores = supervisor.and_then(|s| s.child.as_ref()).is_some_and(|c| c.mode == StartMode::RestoreView);
        let looks = supervisor.is_some_and(|s| s.phase == Phase::Recovering) || o.looks_again_soon();
        let starts = life(o) == Life::Starting && (restores || (o.ports.galera && age(o).is_some()));
        (looks || starts || life(o) == Life::Recovering) && !o.looks_in_vain()
    };
    let who = look.names(coming);
    (!who.is_empty()).then(|| {
        let details = look
            .seen
            .iter()
            .filter(|o| coming(o))
            .filter_map(|o| Some(format!("{}: {}", o.member.name, o.supervisor.present()?.detail)));
        Verdict::of(format!("nobody is primary yet; on the way: {who}"), details.collect())
    })
}

/// The members of the primary component that are not fit, and why, one line each.
fn unfit(look: &Look) -> Vec<String> {
    look.unwell().map(|m| format!("{}: {:?}: {}", m.name, m.code, m.sentence)).collect()
}

fn no_usable(look: &Look) -> Option<Verdict> {
    let primary = look.primary()?;
    // A member that is not seen may be the one that serves.
    let all_seen = usize::try_from(primary.size).is_ok_and(|size| size <= primary.members.len());
    let none = !look.primary_members().any(|(_, wsrep)| usable(wsrep));
    (all_seen && none).then(|| {
        let sentence = format!("the cluster lives ({}), and no member of it takes clients", primary.members.join(", "));
        Verdict::of(sentence, unfit(look))
    })
}

/// S2, S14: alive is not available. One look shows a pause at this moment; whether it is one most of the
/// time takes two, so this is one witness's word. A disk that takes no write is no moment.
fn stalled(look: &Look) -> Option<Verdict> {
    look.primary()?;
    let counts = |o: &Observation| matches!(life(o), Life::Primary | Life::Mute);
    let full = look.names(|o| counts(o) && disk_fault(o).is_some());
    let paused = look.primary_members().any(|(_, w)| w.flow_control_active);
    let pacer = look.coded(|code| code == MemberCode::FlowControlCulprit);
    let hung = look.coded(|code| code == MemberCode::SqlHung);
    let blocked = |o: &Observation| o.stalled.is_some();
    let nowhere = look.primary_members().any(|(o, _)| blocked(o))
        && look.primary_members().filter(|(_, w)| w.local_state == LocalState::Synced).all(|(o, _)| blocked(o));
    let (sentence, sure) = match (full.is_empty(), paused, pacer.is_empty(), hung.is_empty()) {
        _ if full.is_empty() && nowhere => (format!("writes get through on no member: {}", look.names(blocked)), true),
        (false, ..) => (format!("the disk of {full} takes no writes, which holds up all members"), true),
        (_, true, false, _) => (format!("replication stands still, and all wait for {pacer}"), false),
        (_, true, _, false) => (format!("replication stands still, and {hung} does not answer"), false),
        (_, true, ..) => ("replication stands still, and no member seen asks for it".into(), false),
        _ => return None,
    };
    Some(Verdict { confidence: (!sure).then_some(Confidence::OneWitness), ..Verdict::of(sentence, unfit(look)) })
}

/// S8: the members are happy; it is only we who do not see some of them.
fn only_agents(look: &Look) -> Option<Verdict> {
    let primary = look.primary()?;
    let complete = usize::try_from(primary.size).is_ok_and(|size| size == look.expected());
    let unseen = |name: &str| look.unseen.iter().any(|v| v.member.name == name);
    let well = look.unwell().all(|m| unseen(&m.name));
    let counted = look.unseen.iter().all(|v| look.primary_counts(v));
    (complete && well && counted && !look.unseen.is_empty()).then(|| {
        let names = listed(look.unseen.iter().map(|v| v.member.name.as_str()));
        let sentence = format!(
            "all {} members are in the primary component; only the agent of {names} is not seen",
            look.expected()
        );
        Verdict::of(sentence, look.why_unseen())
    })
}

fn one_left(look: &Look) -> Option<Verdict> {
    let primary = look.primary().filter(|p| p.size == 1 && look.expected() > 1)?;
    let sentence = format!(
        "{} is all that is left of the primary component: if it stops, so does the service",
        listed(primary.members.iter().map(String::as_str))
    );
    Some(Verdict::of(sentence, unfit(look)).advising(of_members(look, ClusterCode::DegradedToOne)))
}

/// What each member that is not well asks for, and what it does by itself.
fn of_members(look: &Look, code: ClusterCode) -> Advice {
    let usual = advice::of(code);
    let joins = advice::joining(look.unwell()).unwrap_or(usual.by_itself);
    Advice {
        run: advice::each(look.unwell()).unwrap_or(usual.run),
        by_itself: format!("{joins}{}", left_out(look)),
        ..usual
    }
}

/// Of whoever is not seen it is not known whether it joins by itself, where a person left something out.
fn left_out(look: &Look) -> String {
    let begun = look.primary().and_then(|primary| primary.lineage.newest()).filter(|i| !i.left_out.is_empty());
    match begun {
        Some(begun) if !look.unseen.is_empty() => format!(
            "; what was left out when {} began joins only if the cluster lacks nothing of it ({})",
            begun.by,
            begun.left_out.join("; ")
        ),
        _ => String::new(),
    }
}

fn degraded(look: &Look) -> Option<Verdict> {
    let primary = look.primary()?;
    let lags = if look.lags() { " by Galera's count, which lags some seconds behind," } else { "" };
    let sentence = format!(
        "the primary component has {} of {} members{lags} and goes on; not well: {}",
        primary.size,
        look.expected(),
        listed(look.unwell().map(|m| m.name.as_str()))
    );
    let mut evidence = unfit(look);
    evidence.extend(look.cut_links());
    Some(Verdict::of(sentence, evidence).advising(of_members(look, ClusterCode::Degraded)))
}

/// Whether all that are seen are at this.
pub(super) fn all(look: &Look, wanted: impl Fn(Life) -> bool) -> bool {
    look.whole() && look.seen.iter().all(|o| wanted(facts::life(o)))
}
