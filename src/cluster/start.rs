//! How should this member start? Puts together the three answers: join, restore, bootstrap.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bootstrap::{Evidence, Fence, NoProof, Proof, first_deploy, forced, suggested_force};
use super::join::{MayJoin, MayNotJoin, may_join};
use super::lineage::Lineage;
use super::maintenance::{Act, all_lifted, keeps_from, lifted};
use super::member::{Cluster, Member, listed};
use super::observation::{MemberView, Observation};
use super::primary::{Primaries, primaries};
use super::recovery::{Recovery, recovery};
use super::restore::{Restore, may_restore};
use super::standing::Standing;
use crate::galera::position::Position;

/// What a stopped member should do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// Join the primary component.
    Join {
        /// Why that discards nothing.
        because: MayJoin,
        /// Who is in the component.
        members: Vec<String>,
        /// Its lineage, to be remembered with the join.
        lineage: Lineage,
        /// Where this member stands.
        position: Option<Position>,
    },
    /// Start with the saved view, together with the members named.
    Restore {
        /// The members of the view.
        members: Vec<String>,
    },
    /// Begin the very first cluster.
    Found(Proof),
    /// Bring the cluster back from here: hold the others, look again, and begin.
    Recover(Proof),
    /// Wait; the sentence says for whom and why.
    Wait(String),
    /// Do not join yet; that ends by itself.
    NotYet(MayNotJoin),
    /// Do not join; a person must decide.
    Refuse(MayNotJoin),
}

impl Start {
    /// Whether it starts nothing.
    pub fn stands(&self) -> bool {
        matches!(self, Start::Wait(_) | Start::NotYet(_) | Start::Refuse(_))
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |of: &[String]| listed(of.iter().map(String::as_str));
        match self {
            Start::Join { because, members, .. } => write!(f, "join {}: {because}", names(members)),
            Start::Restore { members } => {
                write!(f, "restore the saved view together: {} are back with the same view", names(members))
            }
            Start::Found(proof) | Start::Recover(proof) => write!(f, "bootstrap: {proof}"),
            Start::Wait(why) => write!(f, "wait: {why}"),
            Start::NotYet(why) => write!(f, "wait: {why}"),
            Start::Refuse(why) => write!(f, "refuse to join: {why}"),
        }
    }
}

/// How long a member waits before it starts `mariadbd` by itself, which died so often in a row without ever
/// being Synced. monit restarts without any limit; a server that cannot live costs the others a donor each time.
pub fn back_off(deaths_in_a_row: u32) -> Duration {
    const FREE: u32 = 2;
    match deaths_in_a_row.checked_sub(FREE + 1) {
        None => Duration::ZERO,
        Some(more) => Duration::from_secs((10 << more.min(5)).min(300)),
    }
}

/// Whether members bring the cluster back by themselves where that is proven; property of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AutoRecovery {
    /// On any proof.
    Provable,
    /// Never: the errand does.
    Errand,
}

/// Decides for the stopped member `me`. In maintenance it waits, and says what it would do otherwise.
pub fn decide(cluster: &Cluster, auto: AutoRecovery, me: &Member, own: &Observation, others: &[MemberView]) -> Start {
    match keeps_from(Act::Start, own, others) {
        None => by_the_rules(cluster, auto, me, own, others),
        Some(why) => match by_the_rules(cluster, auto, me, &lifted(own), &all_lifted(others)) {
            refusal @ Start::Refuse(_) => refusal,
            decision => Start::Wait(format!("{why}; otherwise: {decision}")),
        },
    }
}

/// First match wins.
fn by_the_rules(cluster: &Cluster, auto: AutoRecovery, me: &Member, own: &Observation, others: &[MemberView]) -> Start {
    match primaries(others.iter().filter_map(MemberView::seen)) {
        // Two writers: whichever side this member joined, it would take part in the fork.
        Primaries::Split(sides) => {
            let sides = sides.into_iter().map(|p| p.members).collect();
            return Start::Wait(NoProof::SplitBrain(sides).to_string());
        }
        // Somebody is primary: join it, never bootstrap (G7).
        Primaries::One(primary) if primary.synced.is_empty() => {
            return Start::Wait(format!(
                "{} is primary, and no member of it is Synced yet to give state to this one",
                listed(primary.members.iter().map(String::as_str))
            ));
        }
        Primaries::One(primary) => {
            if let Some(why) = primary.about_to_fall(others) {
                return Start::Wait(why);
            }
            if primary.unsettled {
                return Start::Wait(format!(
                    "{} is primary, and has not written down yet how its cluster began",
                    listed(primary.members.iter().map(String::as_str))
                ));
            }
            return match may_join(&own.position, &own.memory, &primary) {
                Ok(because) => Start::Join {
                    because,
                    members: primary.members,
                    lineage: primary.lineage,
                    position: own.position.position(),
                },
                Err(no) if no.passes() => Start::NotYet(no),
                Err(refusal) => Start::Refuse(refusal),
            };
        }
        Primaries::None => {}
    }
    // Nobody is primary: the cheapest way that decides nothing about data is the saved view.
    let restore = may_restore(own, others);
    if let Restore::Together { members } = restore {
        return Start::Restore { members };
    }
    // Nobody has data: the designated member begins (Q17).
    let no_first = match first_deploy(me, own, others) {
        Ok(proof) => return Start::Found(proof),
        Err(no) => no,
    };
    match without_primary(cluster, auto, me, own, others) {
        ByItself::Begin(proof) => Start::Recover(proof),
        ByItself::End(why) => Start::Wait(why),
        ByItself::Wait(waits) => Start::Wait(match restore {
            _ if own.position == Standing::Empty => waits.also(&no_first.to_string()).to_string(),
            Restore::NotYet(what) => waits.also(&what).to_string(),
            Restore::NoView | Restore::Together { .. } => waits.to_string(),
        }),
    }
}

/// What a member does by itself where nobody is primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ByItself {
    /// Bring the cluster back: this is the member, and this the proof.
    Begin(Proof),
    /// End this life of `mariadbd`, which lives without quorum, and decide anew: a cluster went on without it,
    /// in which Galera does not let it in.
    End(String),
    /// Wait.
    Wait(Waits),
}

/// For whom a member waits, and why; and what a person may do about it, which comes last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waits {
    why: String,
    way_out: String,
}

impl Waits {
    /// Something else that it waits for.
    fn also(self, what: &str) -> Waits {
        if self.why.contains(what) { self } else { Waits { why: format!("{}; {what}", self.why), ..self } }
    }
}

impl From<String> for Waits {
    fn from(why: String) -> Waits {
        Waits { why, way_out: String::new() }
    }
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.why, self.way_out)
    }
}

/// Decides for the member `me`, which is down, or lives without quorum. Of all members that evaluate the
/// same facts only one begins: the one that the proof names. In maintenance none does.
pub fn without_primary(
    cluster: &Cluster,
    auto: AutoRecovery,
    me: &Member,
    own: &Observation,
    others: &[MemberView],
) -> ByItself {
    let found = what_brings_it_back(cluster, auto, me, own, others);
    let act = if matches!(found, ByItself::End(_)) { Act::GiveUp } else { Act::Begin };
    let Some(why) = keeps_from(act, own, others) else { return found };
    ByItself::Wait(match what_brings_it_back(cluster, auto, me, &lifted(own), &all_lifted(others)) {
        ByItself::Begin(proof) => format!("{why}; otherwise: {} would begin ({proof})", proof.member()).into(),
        ByItself::End(what) => format!("{why}; otherwise: this mariadbd would be stopped: {what}").into(),
        ByItself::Wait(waits) => Waits { why: format!("{why}; otherwise: {}", waits.why), ..waits },
    })
}

fn what_brings_it_back(
    cluster: &Cluster,
    auto: AutoRecovery,
    me: &Member,
    own: &Observation,
    others: &[MemberView],
) -> ByItself {
    let views: Vec<MemberView> = others.iter().cloned().chain([MemberView::own(me, own.clone())]).collect();
    let stands = match own.position {
        Standing::Empty => "no primary component is seen, and this member has no data".to_owned(),
        _ => format!("no primary component is seen; this member stands at {}", own.position),
    };
    let wait = |why: String| ByItself::Wait(why.into());
    match recovery(cluster, &views) {
        Recovery::Begin(proof) => match person_decides(auto, &views, &proof) {
            Some(why) => {
                wait(format!("{stands}; {why}, so a person decides when: bosh run-errand bootstrap ({proof})"))
            }
            None if proof.member() == me.name => ByItself::Begin(proof),
            None => wait(format!("{stands}; {} brings the cluster back ({proof})", proof.member())),
        },
        Recovery::UnderWay(what) => wait(format!("{stands}; {what}")),
        Recovery::Refuse(no) => ByItself::Wait(Waits {
            why: format!("{stands}; {no}{}", others_stand(others)),
            way_out: way_out(cluster, &views, &no),
        }),
        Recovery::PrimaryExists { primary, .. }
            if own.process.is_some() && primary.lineage.group() != own.memory.lineage.group() =>
        {
            ByItself::End(format!(
                "{} went on without this member, in a group of its own",
                listed(primary.members.iter().map(String::as_str))
            ))
        }
        // Galera merges what lives, and whoever is down has asked for the primary component before.
        Recovery::Healthy(_) | Recovery::PrimaryExists { .. } => wait("a primary component exists".into()),
    }
}

/// Why a person decides when to begin, although it is proven from where.
pub fn person_decides(auto: AutoRecovery, views: &[MemberView], proof: &Proof) -> Option<String> {
    if auto == AutoRecovery::Errand {
        return Some("auto_recovery is `errand`".into());
    }
    remembers_nothing(views, proof.member()).then(|| {
        format!(
            "{} has data and remembers no incarnation of the cluster (its memory is lost, or it is new to this release)",
            proof.member()
        )
    })
}

/// Whether this member knows of no incarnation, and so cannot tell whether it was part of the newest.
fn remembers_nothing(views: &[MemberView], name: &str) -> bool {
    let of = views.iter().filter_map(MemberView::seen).find(|o| o.member.name == name);
    of.is_some_and(|o| o.memory.lineage.is_empty())
}

fn others_stand(others: &[MemberView]) -> String {
    let standing: Vec<String> =
        others.iter().filter_map(MemberView::seen).map(|o| format!("{} {}", o.member.name, o.position)).collect();
    if standing.is_empty() { String::new() } else { format!("; seen: {}", standing.join(", ")) }
}

/// BOSH starts one instance after the other, and monit starts anew what died: what does not run is about to be started, and
/// nobody is told what to give up before all that run have waited for so many seconds.
const STARTED_WITHIN: u64 = 60;

fn too_soon(views: &[MemberView], no: &NoProof) -> bool {
    let about_to_start = matches!(no, NoProof::NoSupervisor(_)) || views.iter().any(MemberView::nothing_runs);
    // Whoever looks for its position again and again has waited, although its phase never lasts.
    let waited = |o: &Observation| {
        let seconds = o.supervisor.present()?.phase_seconds;
        Some(seconds >= STARTED_WITHIN || o.looks_in_vain())
    };
    let mut all = views.iter().filter_map(MemberView::seen).filter_map(waited).peekable();
    about_to_start && (all.peek().is_none() || !all.all(|waited| waited))
}

/// The one command that a person may decide to run.
pub fn way_out(cluster: &Cluster, views: &[MemberView], no: &NoProof) -> String {
    let no_force = matches!(
        no,
        NoProof::SplitBrain(_) | NoProof::PrimaryExists(_) | NoProof::MembershipDiffers(_) | NoProof::MayBeAlive(_)
    );
    // Empty disks of members that remember no cluster are a first deploy, which the designated one begins.
    let remembered = views.iter().filter_map(MemberView::seen).any(|o| o.memory.is_witness());
    if no_force || (*no == NoProof::NoData && !remembered) {
        return String::new();
    }
    let evidence = Evidence::of(cluster, views, Fence::WouldHold);
    let Some(force) = suggested_force(&evidence) else { return String::new() };
    if too_soon(views, no) {
        return format!(
            ". What does not run may be about to start: what a person may decide is named here once all that run have waited for {STARTED_WITHIN} s"
        );
    }
    let told = forced(&evidence, &force).map(|proof| {
        let given_up = match proof.left_out() {
            [] => String::new(),
            left_out => format!(". Given up then: {}", left_out.join("; ")),
        };
        given_up + &proof.notes().iter().map(|note| format!(". Note: {note}")).collect::<String>()
    });
    format!(
        ". If nothing more can be had back, a person may decide, on any instance: `/var/vcap/jobs/bootstrap/bin/run {force}`{}",
        told.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::situation::*;
    use crate::cluster::standing::Unknown;
    use crate::galera::wsrep::{ClusterStatus, LocalState};

    #[test]
    fn a_server_that_cannot_live_is_tried_more_and_more_rarely() {
        let seconds: Vec<u64> = (0..9).chain([99]).map(|deaths| back_off(deaths).as_secs()).collect();
        assert_eq!(seconds, [0, 0, 0, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn g7_g8_g10_h12_how_a_member_starts() {
        let joining = primary(0, 9, &[0]).state(ClusterStatus::Primary, LocalState::Joining);
        let non_primary = primary(0, 9, &[0]).state(ClusterStatus::NonPrimary, LocalState::Initialized);
        let known = |n, seqno| down(n, seqno).remembers(remembering(&[(1, 0)]));
        let saved2 = |n| down(n, 9).saved(view(n, 7, &[0, 1]));
        let saved = |n| down(n, 9).saved(view(n, 6, &[0, 1, 2]));
        for (me, own, others, expected, why) in [
            (1, down(1, 9), vec![seen(primary(0, 9, &[0])), silent(2)], "join mysql/0", "a primary exists"),
            (1, empty(1), vec![seen(primary(0, 9, &[0])), silent(2)], "join mysql/0", "a fresh member"),
            (
                1,
                down(1, 9),
                vec![seen(primary(0, 9, &[0, 1, 2])), seen(down(2, 9))],
                "wait: mysql/0 still counts 3 members",
                "two were killed, and the third has not noticed",
            ),
            (
                1,
                down(1, 9),
                vec![seen(primary(0, 9, &[0, 1, 2])), silent(2)],
                "join mysql/0",
                "the third may be with it",
            ),
            (
                1,
                down(1, 9),
                vec![seen(primary(0, 9, &[0, 1, 2])), seen(primary(2, 9, &[0, 1, 2]))],
                "join mysql/0",
                "only this one was killed",
            ),
            (
                1,
                down(1, 12),
                vec![seen(primary(0, 9, &[0]).applied_all()), silent(2)],
                "refuse to join: AheadOfCluster",
                "it is ahead",
            ),
            (
                1,
                down(1, 12),
                vec![seen(primary(0, 9, &[0])), silent(2)],
                "wait: this member stands at",
                "A2: what it has may be in a queue there",
            ),
            (
                1,
                down(1, 9).of_history(5),
                vec![seen(primary(0, 9, &[0]))],
                "refuse to join: OtherHistory",
                "other data",
            ),
            (
                1,
                down(1, 9),
                vec![seen(joining), silent(2)],
                "wait: mysql/0 is primary, and no member",
                "it just begins",
            ),
            (
                1,
                down(1, 9),
                vec![seen(primary(0, 9, &[0])), seen(primary(2, 9, &[2]))],
                "wait: SplitBrain",
                "two writers",
            ),
            (0, saved(0), vec![seen(saved(1)), seen(saved(2))], "restore the saved view", "all are back"),
            (0, empty(0), vec![seen(empty(1)), seen(empty(2))], "bootstrap: FirstDeploy", "the very first"),
            (0, empty(0), vec![refused(1), refused(2)], "not seen: mysql/1", "BOSH has not started the others yet"),
            (
                1,
                known(1, 9),
                vec![seen(known(0, 8)), seen(known(2, 9))],
                "bootstrap: EveryMemberSeen",
                "power loss: the best",
            ),
            (
                1,
                down(1, 10).remembers(Default::default()),
                vec![seen(known(0, 8)), seen(known(2, 9))],
                "remembers no incarnation",
                "its memory is lost, so nothing begins there by itself",
            ),
            (
                0,
                known(0, 8),
                vec![seen(known(1, 9)), seen(known(2, 9))],
                "mysql/1 brings the cluster back",
                "power loss: the others wait for it",
            ),
            (
                2,
                down(2, 9),
                vec![seen(saved2(0)), seen(saved2(1))],
                "mysql/0, mysql/1 restore",
                "two of the newest view are back",
            ),
            (2, down(2, 9), vec![silent(0), silent(1)], "not seen: mysql/0", "the old one comes first: it waits"),
            (1, down(1, 9), vec![seen(non_primary), silent(2)], "wait: no primary", "a live one without quorum"),
            (
                0,
                empty(0),
                vec![seen(down(1, 9)), seen(down(2, 9))],
                "wait: no primary component is seen, and this member has no data",
                "a new disk",
            ),
        ] {
            let found = decide(&cluster(3), AutoRecovery::Provable, &member(me), &own, &others).to_string();
            assert!(found.contains(expected), "{why}: {found}");
        }
    }

    #[test]
    // H16, S17: to join is cheap and stays automatic, to begin is not.
    fn h16_s17_with_auto_recovery_errand_a_person_decides_when() {
        let known = |n, seqno| down(n, seqno).remembers(remembering(&[(1, 0)]));
        let others = [seen(known(0, 8)), seen(known(2, 8))];
        let found = decide(&cluster(3), AutoRecovery::Errand, &member(1), &known(1, 9), &others).to_string();
        assert!(found.starts_with("wait") && found.contains("bosh run-errand bootstrap (EveryMemberSeen"), "{found}");
    }

    #[test]
    // D8: whoever is started one after the other is not asked what to give up.
    fn d8_a_member_that_bosh_is_yet_to_start_is_nothing_to_give_up() {
        let waits = |seconds| {
            down(1, 9).with(|o| {
                if let crate::cluster::observation::SupervisorSight::Present(s) = &mut o.supervisor {
                    s.phase_seconds = seconds;
                }
            })
        };
        let idle = |n| MemberView { galera_port: Some(crate::cluster::observation::PortAnswer::Refused), ..refused(n) };
        for (seconds, other, told, why) in [
            (5, idle(2), false, "its VM is there, and BOSH starts it in a moment"),
            (60, idle(2), true, "it was not started"),
            (5, silent(2), true, "its VM is gone"),
        ] {
            let others = [seen(down(0, 8)), other];
            let found = decide(&cluster(3), AutoRecovery::Provable, &member(1), &waits(seconds), &others).to_string();
            assert_eq!(found.contains("--accept-missing"), told, "{why}: {found}");
        }
        let parted = |o: Observation| seen(o.of_history(5));
        for (views, told, why) in [
            (
                vec![seen(waits(60).without_supervisor()), parted(down(2, 9).without_supervisor())],
                false,
                "all were killed",
            ),
            (vec![seen(waits(5)), parted(down(2, 9).without_supervisor())], false, "one is back already"),
            (vec![seen(waits(60)), parted(down(2, 9).without_supervisor())], true, "the other one was not started"),
            (
                vec![seen(waits(60)), seen(waits(5).unfound_after(1)), parted(down(2, 9).without_supervisor())],
                false,
                "it is looked for again in a moment",
            ),
            (
                vec![seen(waits(60)), seen(waits(5).unfound_after(9)), parted(down(2, 9).without_supervisor())],
                true,
                "it is looked for again every 30 s, for ever",
            ),
        ] {
            let no = NoProof::NoSupervisor(vec!["mysql/2".into()]);
            assert_eq!(way_out(&cluster(2), &views, &no).contains("--node"), told, "{why}");
        }
    }

    #[test]
    fn whoever_is_told_a_command_is_told_what_it_gives_up() {
        let torn = down(1, 9).bounded().with(|o| {
            let at_most = o.position.at_most();
            o.position = Standing::Unknown { why: Unknown::NotOnDisk, detail: "not on disk yet".into(), at_most };
        });
        for (views, told, why) in [
            (
                vec![seen(down(0, 8)), seen(down(1, 9)), silent(2)],
                "Given up then: mysql/2: whatever it committed",
                "not seen",
            ),
            (vec![seen(torn), silent(0), silent(2)], "Note: a full copy may have left torn files", "torn"),
        ] {
            let found = way_out(&cluster(3), &views, &NoProof::NoData);
            assert!(found.contains(told), "{why}: {found}");
        }
    }

    #[test]
    fn a_wait_says_for_whom_and_what_a_person_can_do() {
        let others = [seen(down(0, 8)), silent(2)];
        let found = decide(&cluster(3), AutoRecovery::Provable, &member(1), &down(1, 9), &others).to_string();
        for words in [
            "stands at",
            "not seen: mysql/2 (its agent does not answer",
            "seen: mysql/0",
            "bin/run --node mysql/1 --accept-missing mysql/2",
        ] {
            assert!(found.contains(words), "{words}: {found}");
        }
    }
}
