//! How a cluster is in which nobody who is seen is primary.
//!
//! What may be bootstrapped is asked of [`super::super::recovery`], as the members and the errand ask it, so
//! that this never advises what they would refuse.

use super::advice::{self, Advice, BY_HAND};
use super::cluster_rules::{Verdict, all};
use super::codes::ClusterCode;
use super::facts::{Life, Look, group_size, life};
use super::member_rules::{not_looked_yet, older_view};
use crate::cluster::bootstrap::{self, Evidence, Fence, NoProof, proof};
use crate::cluster::member::listed;
use crate::cluster::observation::{MemberView, Observation, Phase};
use crate::cluster::recovery::{Recovery, recovery};
use crate::cluster::standing::{Provenance, Standing};
use crate::cluster::start::{self, AutoRecovery};
use crate::galera::gvwstate::SavedView;
use crate::galera::position::OneHistory;

/// The others, as this member would see them.
fn others<'a>(look: &'a Look, me: &'a str) -> Vec<MemberView> {
    look.views.iter().filter(|v| v.member.name != me).cloned().collect()
}

/// What the members do by themselves, and what a person can do where they do not.
fn way_out(look: &Look) -> Advice {
    let usual = advice::of(ClusterCode::AllDownCrashed);
    match recovery(look.cluster, look.views) {
        Recovery::UnderWay(what) => Advice { run: "Wait, and look again".into(), by_itself: what, ..usual },
        Recovery::Begin(proof) => {
            let begins = format!("{} begins, and the others join it ({proof})", proof.member());
            // It is that member's own configuration that counts, for it is the one to act.
            let leads = look.seen.iter().find(|o| o.member.name == proof.member());
            let auto = leads.and_then(|o| o.member.auto_recovery).unwrap_or(AutoRecovery::Provable);
            match start::person_decides(auto, look.views, &proof) {
                None => Advice {
                    run: "Wait a minute, and look again; if it stays so, `bosh run-errand bootstrap`".into(),
                    by_itself: begins,
                    ..usual
                },
                Some(why) => {
                    Advice { run: format!("`bosh run-errand bootstrap`: {begins}"), prevented_by: Some(why), ..usual }
                }
            }
        }
        Recovery::Refuse(no) => refused(look, usual, &no),
        Recovery::Healthy(_) | Recovery::PrimaryExists { .. } => Advice { run: "Look again".into(), ..usual },
    }
}

/// Nothing is done by itself, and why; and what a person may decide all the same.
fn refused(look: &Look, usual: Advice, no: &NoProof) -> Advice {
    let decision = start::way_out(look.cluster, look.views, no);
    let run = match (no, decision.trim_start_matches(". ")) {
        (NoProof::NoSupervisor(names), _) => format!(
            "Start what does not run, on {}: `monit start mariadb`{decision}",
            listed(names.iter().map(String::as_str))
        ),
        (_, "") => "Take away what prevents it".into(),
        (_, decision) => decision.to_owned(),
    };
    Advice { run, prevented_by: Some(no.to_string()), ..usual }
}

/// The code's own words, and what the members do all the same, or what a person may decide.
fn with_way_out(look: &Look, code: ClusterCode, verdict: Verdict) -> Verdict {
    let usual = advice::of(code);
    verdict.advising(match recovery(look.cluster, look.views) {
        Recovery::UnderWay(what) => Advice { by_itself: what, ..usual },
        Recovery::Begin(proof) => Advice { by_itself: format!("{} begins ({proof})", proof.member()), ..usual },
        Recovery::Refuse(no) => {
            let decision = start::way_out(look.cluster, look.views, &no);
            Advice { run: format!("{}{decision}", usual.run), prevented_by: Some(no.to_string()), ..usual }
        }
        Recovery::Healthy(_) | Recovery::PrimaryExists { .. } => usual,
    })
}

/// G1, Q17: only where the rule that lets the designated member begin says so.
pub(super) fn first_deploy(look: &Look) -> Option<Verdict> {
    look.nobody_primary().then_some(())?;
    let designated = look.views.iter().find(|v| v.member.bootstrap);
    let begins = designated.and_then(|view| {
        let proof = bootstrap::first_deploy(&view.member, view.seen()?, &others(look, &view.member.name)).ok()?;
        Some(Verdict::of(
            format!("no member has ever had data; {} begins the cluster", proof.member()),
            look.positions(),
        ))
    });
    let nobody = || {
        let empty = look.whole() && look.seen.iter().all(|o| o.position == Standing::Empty && o.process.is_none());
        (empty && designated.is_none()).then(|| {
            let sentence = "no member has ever had data, and none is designated to begin";
            let run = "Give one member `bootstrap: true`: BOSH does so for the first instance of the group";
            let usual = advice::of(ClusterCode::FirstDeploy);
            let advice = Advice { run: run.into(), by_itself: "nothing".into(), ..usual };
            Verdict::of(sentence, look.positions()).advising(advice)
        })
    };
    begins.or_else(nobody)
}

/// Members that live without quorum, while those who are not seen may have one. Counted in the newest
/// primary view that anybody saved; a member that only waits, down, is no minority but an old witness (G10).
pub(super) fn minority(look: &Look) -> Option<Verdict> {
    look.nobody_primary().then_some(())?;
    let expected = look.expected();
    // A component of all members has nobody outside it, whoever of their agents is seen.
    let cut_off = |o: &Observation| {
        let complete = group_size(o).is_some_and(|size| usize::try_from(size).is_ok_and(|size| size >= expected));
        matches!(life(o), Life::NonPrimary | Life::Wedged) && !complete
    };
    let who = look.names(cut_off);
    let (missing, of) = outside(look);
    (!who.is_empty() && !look.whole() && 2 * missing >= of).then(|| {
        let sentence = format!(
            "{who} lives without quorum; {missing} of the {of} members of the last primary view are not seen, and may go on without it"
        );
        let mut evidence = look.why_unseen();
        evidence.extend(look.positions());
        evidence.extend(look.cut_links());
        with_way_out(look, ClusterCode::MinorityOnly, Verdict::of(sentence, evidence))
    })
}

/// How many members of the last primary view that anybody knows are not seen, and how many it has.
fn outside(look: &Look) -> (usize, usize) {
    let views = || look.seen.iter().filter_map(|o| o.disk.saved_view.present());
    match views().max_by_key(|v| v.seq) {
        Some(newest) => {
            let here = |uuid| views().any(|v: &SavedView| v.my_uuid.same_member(uuid));
            (newest.members.iter().filter(|uuid| !here(**uuid)).count(), newest.members.len())
        }
        None => (look.expected() - look.seen.len().min(look.expected()), look.expected()),
    }
}

/// G10, G11: whoever is not seen may be primary, or ahead.
pub(super) fn partial(look: &Look) -> Option<Verdict> {
    (look.nobody_primary() && !look.whole()).then(|| {
        let unseen = listed(look.unseen.iter().map(|v| v.member.name.as_str()));
        let whole = |o: &&&Observation| {
            group_size(o).is_some_and(|size| usize::try_from(size).is_ok_and(|s| s == look.expected()))
        };
        let connected =
            look.seen.iter().find(whole).map_or(String::new(), |o| {
                format!("; {} is connected to all of them, and none has quorum", o.member.name)
            });
        let sentence = format!(
            "{} of {} members are seen, and none of them is primary; not seen: {unseen}{connected}",
            look.seen.len(),
            look.expected()
        );
        let mut evidence = look.why_unseen();
        evidence.extend(look.positions());
        with_way_out(look, ClusterCode::PartialKnowledge, Verdict::of(sentence, evidence))
    })
}

/// G12: positions of different histories, or of one history that parted, are never compared.
pub(super) fn divergent(look: &Look) -> Option<Verdict> {
    (look.nobody_primary() && look.whole()).then_some(())?;
    let placed = look.seen.iter().filter_map(|o| Some((o.member.name.as_str(), o.position.position()?)));
    let histories = matches!(OneHistory::of(placed), Err(Some(_)));
    let parted = match proof(&Evidence::of(look.cluster, look.views, Fence::WouldHold)) {
        Err(NoProof::Diverged(what)) => Some(what),
        _ => None,
    };
    let last = look.names(|o| safe_at_the_end(look, o));
    let sentence = match parted {
        _ if histories => "members have data of different histories".into(),
        Some(what) => what,
        None if last.contains(", ") => {
            format!("{last} each left the cluster last, which only one can: they were bootstrapped apart")
        }
        None => return None,
    };
    Some(with_way_out(look, ClusterCode::DivergentHistories, Verdict::of(sentence, look.positions())))
}

/// Whether it says that it left last, and nobody is ahead of it.
fn safe_at_the_end(look: &Look, of: &Observation) -> bool {
    let positions = look.seen.iter().filter_map(|o| o.position.position());
    let furthest = positions.map(|p| p.seqno()).max();
    let safe = of.disk.grastate.present().is_some_and(|g| g.validly_safe());
    safe && of.process.is_none() && of.position.position().map(|p| p.seqno()) == furthest
}

/// All live, and Galera counts fewer in a component than there are.
pub(super) fn partitioned(look: &Look) -> Option<Verdict> {
    let alive = look.nobody_primary() && all(look, |l| matches!(l, Life::NonPrimary | Life::Wedged));
    let sizes: Vec<Option<u32>> = look.seen.iter().map(|o| group_size(o)).collect();
    let fewer = sizes.iter().flatten().any(|size| usize::try_from(*size).is_ok_and(|s| s < look.expected()));
    let links = look.cut_links();
    let untold = sizes.iter().any(Option::is_none) && !links.is_empty();
    (alive && (fewer || untold)).then(|| {
        let counted = look
            .seen
            .iter()
            .zip(&sizes)
            .filter_map(|(o, size)| Some(format!("{} is in a component of {}", o.member.name, (*size)?)));
        let cut = if links.is_empty() { "no cut link is seen from here" } else { "links between them are cut" };
        let sentence =
            format!("all {} members live, in several components, and none has a quorum; {cut}", look.expected());
        Verdict::of(sentence, counted.chain(links.clone()).collect())
    })
}

pub(super) fn no_position(look: &Look) -> Option<Verdict> {
    (look.nobody_primary() && look.whole()).then_some(())?;
    let unknown = look.names(|o| matches!(o.position, Standing::Unknown { .. }) && !not_looked_yet(o));
    (!unknown.is_empty()).then(|| {
        let sentence = format!("nothing tells where {unknown} stands, so nothing proves who is newest");
        with_way_out(look, ClusterCode::NoRecoverablePosition, Verdict::of(sentence, look.positions()))
    })
}

/// Whether all are down, and what of their stops: clean, crashed.
fn stops(look: &Look) -> Option<(bool, bool)> {
    (look.nobody_primary() && all(look, |l| l == Life::Down)).then_some(())?;
    let clean = |o: &&Observation| matches!(o.position, Standing::At { from: Provenance::CleanStop, .. });
    let with_data = || look.seen.iter().copied().filter(|o| o.position != Standing::Empty);
    Some((with_data().any(|o| clean(&o)), with_data().any(|o| !clean(&o))))
}

fn all_down(look: &Look, how: &str) -> Verdict {
    Verdict::of(format!("all {} members are down: {how}", look.expected()), look.positions()).advising(way_out(look))
}

pub(super) fn down_clean(look: &Look) -> Option<Verdict> {
    (stops(look)? == (true, false)).then(|| all_down(look, "all were stopped cleanly"))
}

pub(super) fn down_crashed(look: &Look) -> Option<Verdict> {
    (stops(look)? == (false, true)).then(|| all_down(look, "none was stopped cleanly"))
}

pub(super) fn down_mixed(look: &Look) -> Option<Verdict> {
    let (clean, crashed) = stops(look)?;
    let how = if clean || crashed { "some were stopped cleanly, some were not" } else { "none has data" };
    Some(all_down(look, how))
}

pub(super) fn runtime(look: &Look) -> Option<Verdict> {
    (look.nobody_primary() && all(look, |l| l == Life::NonPrimary)).then(|| {
        let sentence = format!("all {} members live in one component, and none of them has a quorum", look.expected());
        let way = way_out(look);
        let run = format!("Wait a minute: Galera often merges by itself. If not: {}", way.run);
        Verdict::of(sentence, look.positions()).advising(Advice { run, ..way })
    })
}

/// K1: two days of this, once.
pub(super) fn wedged(look: &Look) -> Option<Verdict> {
    (look.nobody_primary() && all(look, |l| l == Life::Wedged)).then(|| {
        let sentence = format!(
            "all {} members wait at start-up for a primary component that none of them will be; 4567 is open, 3306 is not, and no time-out ends it",
            look.expected()
        );
        Verdict::of(sentence, wedge_evidence(look)).advising(wedge_action(look))
    })
}

fn wedge_evidence(look: &Look) -> Vec<String> {
    let lines = look.seen.iter().flat_map(|o| o.log.iter().map(|e| format!("{}: {}", o.member.name, e.text)));
    look.positions().into_iter().chain(lines).collect()
}

/// What `galera-start` does about it by itself, and the cheapest way out where a person must do it.
fn wedge_action(look: &Look) -> Advice {
    let looked_after = look.seen.iter().all(|o| o.supervisor.present().is_some());
    let way = way_out(look);
    let never = format!("{BY_HAND}, and never kill with SIGTERM: it is ignored, and leaves a corpse later");
    match (looked_after, freeing(look)) {
        (true, _) => Advice {
            run: format!("Wait two minutes. If it stays so: {}", way.run),
            by_itself: format!("galera-start gives up such a start and decides anew; {}", way.by_itself),
            never,
            ..way
        },
        (false, Some(stale)) => Advice {
            run: format!(
                "Killing mariadbd of {stale} alone (SIGKILL, its gvwstate.dat put aside) frees the others. If not: {}",
                way.run
            ),
            never,
            ..way
        },
        (false, None) => Advice { never, ..way },
    }
}

/// The members without which the others are exactly those of the view that they saved, and would be
/// primary at once.
fn freeing(look: &Look) -> Option<String> {
    let stale = |o: &Observation| older_view(look, o);
    let rest: Vec<&SavedView> =
        look.seen.iter().filter(|o| !stale(o)).map(|o| o.disk.saved_view.present()).collect::<Option<_>>()?;
    let (newest, waiting) = (rest.first()?, look.seen.iter().all(|o| life(o) == Life::Wedged));
    let exactly = newest.members.len() == rest.len() && rest.iter().all(|view| view.same_view(newest));
    let names = look.names(stale);
    (waiting && exactly && !names.is_empty()).then_some(names)
}

pub(super) fn survivor(look: &Look) -> Option<Verdict> {
    let expected = look.nobody_primary() && all(look, |l| matches!(l, Life::NonPrimary | Life::Down));
    let alive = look.names(|o| life(o) == Life::NonPrimary);
    (expected && !alive.is_empty()).then(|| {
        let down = look.names(|o| life(o) == Life::Down);
        let sentence = format!("{alive} lives and lost its quorum when {down} went down");
        Verdict::of(sentence, look.positions()).advising(way_out(look))
    })
}

pub(super) fn mixed(look: &Look) -> Option<Verdict> {
    let known = |l| matches!(l, Life::Wedged | Life::NonPrimary | Life::Down | Life::Starting | Life::Disconnected);
    let stuck = look.names(|o| matches!(life(o), Life::Wedged | Life::Disconnected));
    (look.nobody_primary() && all(look, known) && !stuck.is_empty()).then(|| {
        let sentence = format!("nobody has a quorum, and {stuck} will never get there by itself");
        Verdict::of(sentence, wedge_evidence(look)).advising(wedge_action(look))
    })
}

/// A server that ends tells nothing any more; who brings the cluster back is found out once it has ended.
pub(super) fn stopping(look: &Look) -> Option<Verdict> {
    let stops = |o: &Observation| o.supervisor.present().is_some_and(|s| s.phase == Phase::Stopping);
    let who = look.names(stops);
    (look.nobody_primary() && look.whole() && !who.is_empty()).then(|| {
        let sentence = format!("nobody is primary; mariadbd is being stopped on {who}");
        with_way_out(look, ClusterCode::RecoveryInProgress, Verdict::of(sentence, look.positions()))
    })
}
