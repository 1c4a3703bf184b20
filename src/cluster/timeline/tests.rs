//! The timeline of what really happened: seed 000, and whatever a hostile log may say.

use super::bands::State;
use super::*;
use crate::cluster::diagnosis::{ClusterCode, Confidence, MemberCode};

const SEED: &str = include_str!("../diagnosis/fixtures/seed_000_error_log.txt");

fn log(member: &str, text: &str) -> Source {
    Source { member: member.into(), file: format!("{member}.log"), kind: SourceKind::ErrorLog, text: text.into() }
}

fn journal_of(member: &str, lines: &[&str]) -> Source {
    Source { member: member.into(), file: "journal.jsonl".into(), kind: SourceKind::Journal, text: lines.join("\n") }
}

#[test]
fn k1_k8_k13_seed_000_from_its_log_alone() {
    let timeline = Timeline::of(&[log("node", SEED)], Known::default());
    assert_eq!(timeline.lanes, ["node"]);
    let verdict = timeline.verdict.as_ref().unwrap();
    assert_eq!((verdict.code, verdict.confidence), (ClusterCode::PartialKnowledge, Confidence::Unknown));
    assert_eq!(verdict.members.len(), 3, "it met two others: {verdict}");
    let own = verdict.members.iter().find(|m| m.name == "node").unwrap();
    assert_eq!(own.code, MemberCode::WedgedAtStart);
    assert!(verdict.sentence.contains("node is connected to all of them, and none has quorum"), "{verdict}");
    let states: Vec<(State, u32)> = timeline.bands.iter().map(|b| (b.state, b.members)).collect();
    assert_eq!(
        states,
        [
            (State::Recovering, 0),
            (State::Starting, 0),
            (State::NonPrimary, 1),
            (State::NonPrimary, 2),
            (State::NonPrimary, 3)
        ]
    );
    assert!(timeline.events.iter().all(|e| e.mark != Mark::Crash), "the run that finds the position is no crash");
    let text = timeline.text();
    for words in
        ["2017-10-21 (UTC", "21:57:32  node  > mariadbd started as process 1890", "non-primary view 111 of node"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn k13_a_start_after_a_start_is_a_crash_in_between() {
    let life = |clock: &str| {
        format!(
            "2026-11-21 {clock} 0 [Note] Starting MariaDB 10.11.19 as process 7\n2026-11-21 {clock} 0 [Note] WSREP: New COMPONENT: primary = yes, bootstrap = no, my_idx = 0, memb_num = 3\n"
        )
    };
    let two = format!("{}{}", life("10:00:00"), life("10:05:00"));
    let crashes = |sources: &[Source]| {
        let found = Timeline::of(sources, Known::default());
        let crashes = found.events.iter().filter(|e| e.mark == Mark::Crash).map(|e| e.at.clock());
        (crashes.collect::<Vec<_>>(), found.bands.len())
    };
    assert_eq!(crashes(&[log("a", &two)]), (vec!["10:05:00".to_owned()], 2));
    let stopped =
        two.replacen("memb_num = 3\n", "memb_num = 3\n2026-11-21 10:04:00 0 [Note] x: Shutdown complete\n", 1);
    assert_eq!(crashes(&[log("a", &stopped)]).0, Vec::<String>::new());
    let died = journal_of(
        "a",
        &[r#"{"at":"2026-11-21T10:03:00.5Z","event":"mariadbd.died","details":{"status":"signal: 9 (SIGKILL)"}}"#],
    );
    assert_eq!(crashes(&[log("a", &two), died]), (vec!["10:03:00".to_owned()], 3), "the journal knows when");
    let both =
        journal_of("a", &[r#"{"at":"2026-11-21T10:00:00.4Z","event":"mariadbd.started","details":{"mode":"join"}}"#]);
    assert_eq!(crashes(&[log("a", &life("10:00:00")), both]).0, Vec::<String>::new(), "one start, told twice");
}

#[test]
fn h15_members_are_merged_by_time_and_named() {
    let zero = "2026-11-21  8:39:15 2 [Note] WSREP: Server mysql/0 connected to cluster at position 08bcfbd2-e587-11f1-a1ed-9ad8e8b03f2e:1 with ID 08bc8243-e587-11f1-a737-b333856f80e8\n2026-11-21  8:39:17 0 [Note] WSREP: view(view_id(PRIM,08bc8243-a737,2) memb {\n\t08bc8243-a737,0\n\t09271dee-9209,0\n} joined {\n})\n2026-11-21  8:39:19 0 [Note] WSREP: Member 1.0 (mysql/2) requested state transfer from '*any*'. Selected 0.0 (mysql/0)(SYNCED) as donor.\n";
    let two = "2026-11-21  8:39:16 0 [Note] WSREP: (09271dee-9209, 'tcp://0.0.0.0:4567') connection established to 08bc8243-a737 tcp://10.77.0.11:4567\n2026-11-21  8:39:16 0 [Note] WSREP: Server mysql/2 connected to cluster at position 08bcfbd2-e587-11f1-a1ed-9ad8e8b03f2e:4 with ID 09271dee-e587-11f1-9209-a26a00134b1e\n2026-11-21  8:39:18 0 [Warning] WSREP: suspecting node: 08bc8243-a737\n2026-11-21  8:39:19 0 [Note] WSREP: Member 1.0 (mysql/2) requested state transfer from '*any*'. Selected 0.0 (mysql/0)(SYNCED) as donor.\n";
    let timeline = Timeline::of(&[log("x", zero), log("y", two)], Known::default());
    assert_eq!(timeline.lanes, ["mysql/0", "mysql/2"]);
    let told: Vec<(usize, &str)> = timeline.events.iter().map(|e| (e.lane, e.text.as_str())).collect();
    assert_eq!(
        told,
        [
            (0, "is in the cluster at 08bcfbd2-e587-11f1-a1ed-9ad8e8b03f2e:1"),
            (1, "is in the cluster at 08bcfbd2-e587-11f1-a1ed-9ad8e8b03f2e:4"),
            (0, "primary view 2 of mysql/0: mysql/0, mysql/2"),
            (1, "suspects a peer: suspecting node: mysql/0"),
            (
                0,
                "asks for state: Member 1.0 (mysql/2) requested state transfer from '*any*'. Selected 0.0 (mysql/0)(SYNCED) as donor."
            )
        ],
        "what both say is told once"
    );
    assert_eq!(timeline.events[4].evidence.len(), 2, "with the lines of both");
}

#[test]
fn k16_logs_of_all_members_give_one_verdict() {
    let of = |n: usize, ids: [&str; 3]| {
        let own = ids[n];
        let peers: String = (0..3).filter(|m| *m != n).map(|m| format!("2026-11-21  8:39:16 0 [Note] WSREP: ({own}, 'tcp://0.0.0.0:4567') connection established to {} tcp://10.77.0.1{m}:4567\n", ids[m])).collect();
        let view: String = ids.iter().map(|id| format!("\t{id},0\n")).collect();
        log(
            &format!("log{n}"),
            &format!(
                "2026-11-21  8:39:15 0 [Note] Starting MariaDB 10.11.19 as process 7\n{peers}2026-11-21  8:39:17 0 [Note] WSREP: view(view_id(PRIM,{},3) memb {{\n{view}}} joined {{\n}})\n2026-11-21  8:39:17 0 [Note] WSREP: New COMPONENT: primary = yes, bootstrap = no, my_idx = {n}, memb_num = 3\n2026-11-21  8:39:17 2 [Note] WSREP: Server mysql/{n} connected to cluster at position 08bcfbd2-e587-11f1-a1ed-9ad8e8b03f2e:4 with ID {own}\n2026-11-21  8:39:18 2 [Note] WSREP: Synchronized with group, ready for connections\n2026-11-21  8:39:18 0 [Note] /usr/sbin/mariadbd: ready for connections.\n",
                ids[0]
            ),
        )
    };
    let ids = ["08bc8243-a737", "09271dee-9209", "0984f5ba-b0dc"];
    let code = |sources: &[Source]| {
        let verdict = Timeline::of(sources, Known::default()).verdict.unwrap();
        (verdict.code, verdict.members.len())
    };
    assert_eq!(code(&[of(0, ids), of(1, ids), of(2, ids)]), (ClusterCode::Healthy, 3));
    let mut stopped = of(2, ids);
    stopped.text.push_str("2026-11-21  8:40:00 0 [Note] /usr/sbin/mariadbd: Shutdown complete\n");
    assert_eq!(code(&[of(0, ids), of(1, ids), stopped]), (ClusterCode::Degraded, 3));
}

#[test]
fn only_the_window_is_told() {
    let at = |text: &str| Moment::parse(text);
    let known = Known { from: at("2017-10-21 21:57:40"), to: at("2017-10-21 21:57:45"), ..Known::default() };
    let timeline = Timeline::of(&[log("node", SEED)], known);
    assert!(timeline.events.iter().all(|e| e.at.clock() == "21:57:40"), "{:?}", timeline.events);
    assert!(Timeline::of(&[], Known::default()).is_empty());
}

#[test]
fn hostile_logs_stay_text() {
    let evil = "</title></script><script>alert(1)</script><img src=x onerror=alert(1)>\" onload='x' &lt; \u{202e}\u{7}";
    let line = |what: &str| format!("2026-11-21 10:00:00 0 [ERROR] {what} {evil}\n");
    let text =
        ["", "WSREP: Member 0.0 (x) requested state transfer", "WSREP: view(view_id(PRIM,<b>,<i>) memb {\n\t<u>,0\n"]
            .map(line)
            .concat();
    let journal =
        format!(r#"{{"at":"2026-11-21T10:00:01Z","event":"<script>","details":{{"x":{}}}}}"#, serde_json::json!(evil));
    let known = Known { notes: vec![evil.into()], ..Known::default() };
    let timeline =
        Timeline::of(&[log(&format!("m{evil}"), &text), journal_of(evil, &[&journal, "{torn", "[]"])], known);
    assert!(!timeline.is_empty());
    let page = timeline.html();
    assert_eq!(page.matches("<script").count(), 1, "only our own");
    for tag in ["<img", "<b>", "<i>,", "<u>", "onload='", "\u{202e}", "\u{7}"] {
        assert!(!page.contains(tag), "{tag:?}");
    }
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("url(h"), "nothing from outside");
    assert!(!timeline.text().contains('\u{7}'));
}

#[test]
fn k16_the_page_has_lanes_bands_signs_and_rows() {
    let page = Timeline::of(&[log("node", SEED)], Known::default()).html();
    for part in [
        "<svg viewBox",
        "class=\"band nonprimary\"",
        "class=\"sign start\"",
        "<h2>PartialKnowledge</h2>",
        "<details><summary>",
        "node.log:5",
    ] {
        assert!(page.contains(part), "{part}");
    }
    let rows = page.matches("<tr id=\"e").count();
    for target in page.split("href=\"#e").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(target.parse::<usize>().unwrap() < rows, "a sign leads to its row");
    }
}
