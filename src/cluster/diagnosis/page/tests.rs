//! The page as a person reads it, and the document as its schema has it.

use serde_json::Value;

use super::*;
use crate::cluster::diagnosis::{ClusterCode, Confidence, WarningCode, confirmed, diagnose};
use crate::cluster::member::Cluster;
use crate::cluster::observation::*;
use crate::cluster::situation::*;
use crate::galera::wsrep::{ClusterStatus, LocalState};

const SCHEMA: &str = include_str!("../../../../docs/diagnose.schema.json");

fn three(n: u32) -> Observation {
    primary(n, 9, &[0, 1, 2])
}

fn pair(n: u32) -> Observation {
    primary(n, 9, &[0, 1]).finds(&[2], PortAnswer::Silent)
}

fn situations() -> Vec<(&'static str, Vec<MemberView>)> {
    let busy = |w: &mut crate::galera::wsrep::Wsrep| (w.flow_control_active, w.flow_control_requested) = (true, true);
    vec![
        ("healthy", vec![seen(three(0)), seen(three(1)), seen(three(2))]),
        ("one lost", vec![seen(pair(0)), seen(pair(1)), silent(2)]),
        ("one relayed", vec![seen(three(0)), seen(three(1)), relayed(three(2), 1)]),
        ("all crashed", vec![seen(down(0, 7)), seen(down(1, 9)), seen(down(2, 9))]),
        ("two writers", vec![seen(primary(0, 9, &[0])), seen(primary(1, 9, &[1])), seen(down(2, 9))]),
        ("two histories", vec![seen(down(0, 7)), seen(down(1, 9).of_history(5)), seen(empty(2))]),
        ("blind", vec![silent(0), silent(1), refused(2)]),
        ("wedged", vec![seen(wedged(0, 9, 3)), seen(wedged(1, 9, 3)), seen(wedged(2, 9, 3))]),
        ("stalled", vec![seen(three(0).wsrep(busy)), seen(three(1)), seen(three(2))]),
        ("large numbers", {
            let large = |n| three(n).state(ClusterStatus::Primary, LocalState::Donor);
            let at = |o: Observation| o.wsrep(|w| w.last_committed = Some(123_456_789_012));
            vec![seen(at(large(0))), seen(down(1, 123_456_789_012)), seen(at(three(2)))]
        }),
        ("nobody knows", vec![seen(down(0, 7).bounded()), seen(down(1, 9)), silent(2)]),
    ]
}

fn text(views: &[MemberView], paint: Paint) -> String {
    let cluster: Cluster = cluster(u32::try_from(views.len()).unwrap());
    let diagnosis = diagnose(&cluster, views);
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    Page { cluster: &cluster.name, from: "mysql/0", at, diagnosis: &diagnosis, views }.text(paint)
}

#[test]
fn k16_the_page_answers_what_somebody_asks_at_three_in_the_morning() {
    for (name, views) in situations() {
        let page = text(&views, Paint::Plain);
        for heading in ["What is wrong", "Since when", "Who has the newest data", "What to do", "What never to do"] {
            assert!(page.contains(heading), "{name}: {page}");
        }
        let wide: Vec<&str> =
            page.lines().filter(|l| l.chars().count() > 80 && !l.trim().starts_with("`/var/vcap/")).collect();
        assert!(wide.is_empty(), "{name}: {wide:#?}");
        assert!(!page.contains('\x1b'), "no colour in a pipe");
        assert!(text(&views, Paint::Colour).starts_with("\x1b["), "{name}");
    }
}

#[test]
// What another agent says may be anything.
fn a_member_that_has_been_so_since_before_1970_is_shown() {
    let old = |n| {
        down(n, 9).with(|o| match &mut o.supervisor {
            SupervisorSight::Present(s) => s.phase_seconds = u64::from(u32::MAX),
            _ => unreachable!("it has a supervisor"),
        })
    };
    assert!(text(&[seen(old(0)), seen(old(1)), seen(old(2))], Paint::Plain).contains("Since when"));
}

#[test]
fn s5_s7_g5_where_it_rests_on() {
    let of = |wanted: &str| situations().into_iter().find(|(name, _)| *name == wanted).unwrap().1;
    for (name, words) in [
        (
            "one lost",
            vec![
                "mysql/2: MemberLost: it is reached neither",
                "mysql/0, mysql/1 at 746e46f3",
                "live SQL: its server says so",
            ],
        ),
        ("one lost", vec!["Here -> mysql/2: its agent does not answer", "?? ??", "for 1m"]),
        ("one relayed", vec!["Healthy", "Here -> mysql/2: not reached; mysql/1 reaches it", "ObserverCutOff"]),
        ("all crashed", vec!["mysql/1, mysql/2 at", "behind, in transactions: mysql/0 by 2", "mysql/1 begins"]),
        ("two writers", vec!["SplitBrain", "the same number is not the same data there", "`galera-ctl rejoin` on it"]),
        ("two histories", vec!["2 histories, whose numbers cannot be compared", "no data: mysql/2"]),
        (
            "nobody knows",
            vec!["not known: mysql/0, a crash in a DDL; at most", "not known: mysql/2, its agent does not"],
        ),
        ("blind", vec!["nobody's position is known", "conclude from this that the database is down"]),
    ] {
        let views: Vec<MemberView> = of(name)
            .into_iter()
            .map(|mut v| {
                if let Sight::Seen(o) = v.sight {
                    v.sight = Sight::Seen(Box::new(o.view_for(90)));
                }
                v
            })
            .collect();
        let page = text(&views, Paint::Plain).split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        for word in words {
            assert!(page.contains(&word.to_lowercase()), "{name}: {word}: {page}");
        }
    }
}

#[test]
fn more_members_than_columns_are_told_by_what_is_cut() {
    let members: Vec<u32> = (0..9).collect();
    let views: Vec<MemberView> = members
        .iter()
        .map(|n| {
            let others: Vec<u32> = members.iter().copied().filter(|m| m != n).collect();
            seen(primary(*n, 9, &members).of(9).finds(&others, PortAnswer::Open).with(|o| {
                if *n == 3 {
                    o.peers[0].galera = PortAnswer::Silent;
                }
            }))
        })
        .collect();
    assert!(text(&views, Paint::Plain).contains("mysql/3 -> mysql/0: agent open, group port silent"));
}

#[test]
// S10, S15, S16
fn s10_s15_s16_a_second_look_confirms_or_tells_what_changed() {
    let cluster = cluster(3);
    let look = |views: &[MemberView]| diagnose(&cluster, views);
    let of = |wanted: &str| situations().into_iter().find(|(name, _)| *name == wanted).unwrap().1;
    let (lost, blind, healthy, stalled) = (of("one lost"), of("blind"), of("healthy"), of("stalled"));
    for (views, expected, why) in [
        (&healthy, false, "nothing to be sure of"),
        (&blind, true, "s11: perhaps only us, and only now"),
        (&lost, true, "s7: Galera has not said for how long it is out"),
        (&stalled, true, "s14: a pause of one moment"),
        (&of("all crashed"), false, "their own agents say so"),
    ] {
        assert_eq!(look(views).needs_second_look, expected, "{why}");
    }
    let settled: Vec<MemberView> = vec![seen(pair(0).view_for(20)), seen(pair(1).view_for(20)), silent(2)];
    assert!(
        !look(&settled).needs_second_look,
        "the primary component has been without it for 20 s: that is the first look"
    );

    let twice = confirmed((&look(&stalled), &stalled), look(&stalled), &stalled, 5);
    assert_eq!((twice.code, twice.confidence), (ClusterCode::PrimaryWritesStalled, Confidence::Certain));
    assert!(twice.evidence.iter().any(|e| e.contains("two looks, 5 s apart")) && !twice.needs_second_look);

    let moved = vec![
        seen(three(0).wsrep(|w| (w.last_committed, w.flow_control_paused_ns) = (Some(29), Some(4_000_000_000)))),
        seen(three(1)),
        seen(three(2)),
    ];
    let before: Vec<MemberView> = vec![
        seen(three(0).wsrep(|w| (w.last_committed, w.flow_control_paused_ns) = (Some(9), Some(0)))),
        seen(three(1)),
        silent(2),
    ];
    let changed = confirmed((&look(&before), &before), look(&moved), &moved, 5);
    assert_eq!((changed.code, changed.confidence), (ClusterCode::Healthy, Confidence::OneWitness));
    let evidence = changed.evidence.join("; ");
    assert!(evidence.contains("5 s earlier it was AgentsUnreachable"), "{evidence}");
    assert!(
        evidence.contains("mysql/0 applied 20 transactions in 5 s, and was paused for 80 % of that time"),
        "{evidence}"
    );
}

#[test]
fn s8_s23_a_relayed_word_counts_and_is_flagged() {
    let views = vec![seen(three(0)), seen(three(1)), relayed(three(2), 1)];
    let found = diagnose(&cluster(3), &views);
    assert_eq!((found.code, found.class.exit_code()), (ClusterCode::Healthy, 0));
    assert_eq!(found.members[2].code, MemberCode::ObserverPartitioned);
    assert!(found.warnings.iter().any(|w| w.code == WarningCode::ObserverCutOff), "{found}");
    let sick = relayed(three(2).with(|o| (o.wsrep, o.sql) = (None, Sql::TimedOut)), 1);
    let found = diagnose(&cluster(3), &[seen(three(0)), seen(three(1)), sick]);
    assert_eq!((found.code, found.members[2].code), (ClusterCode::Degraded, MemberCode::SqlHung));
    assert!(found.members[2].sentence.contains("told to mysql/1"), "{found}");
}

#[test]
fn s11_exit_codes_by_class() {
    let views = |n: [Observation; 3]| -> Vec<MemberView> { n.into_iter().map(seen).collect() };
    let lone = |n| non_primary(n, 9, 1).finds(&[0, 1, 2], PortAnswer::Silent);
    for (views, expected, why) in [
        (views([three(0), three(1), three(2)]), 0, "healthy"),
        (vec![seen(pair(0)), seen(pair(1)), silent(2)], 10, "one is lost"),
        (views([0, 1, 2].map(|n| three(n).wsrep(|w| w.read_only = true))), 10, "lives, and serves nobody"),
        (views([down(0, 9), down(1, 9), down(2, 8)]), 11, "k7: proven"),
        (views([down(0, 9).held(), down(1, 9).held(), down(2, 9).held()]), 11, "somebody is at it"),
        (views([empty(0), empty(1), empty(2)]), 11, "the very first"),
        (vec![seen(down(0, 9)), silent(1), silent(2)], 12, "g10: whoever is not seen may be ahead"),
        (views([down(0, 9), down(1, 9).of_history(5), down(2, 9)]), 12, "two pasts"),
        (views([lone(0), lone(1), lone(2)]), 12, "the network must be mended"),
        (views([primary(0, 9, &[0]), primary(1, 9, &[1]), down(2, 9)]), 12, "two writers"),
        (vec![silent(0), silent(1), silent(2)], 13, "s1: nothing is known"),
    ] {
        assert_eq!(diagnose(&cluster(3), &views).class.exit_code(), expected, "{why}");
    }
}

/// As much of JSON Schema as that file uses; what it does not know is an error.
fn misfit(schema: &Value, value: &Value, root: &Value, at: &str) -> Option<String> {
    let words = schema.as_object().unwrap();
    if let Some(target) = words.get("$ref") {
        let name = target.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
        return misfit(&root["$defs"][name], value, root, at);
    }
    let kind = |of: &Value| match of {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let found = words.iter().find_map(|(word, rule)| {
        let fits = match word.as_str() {
            "type" => rule.as_array().map_or_else(
                || rule.as_str() == Some(kind(value)),
                |kinds| kinds.iter().any(|k| k.as_str() == Some(kind(value))),
            ),
            "enum" => rule.as_array().unwrap().contains(value),
            "minimum" => value.as_i64().is_none_or(|n| n >= rule.as_i64().unwrap()),
            "required" if value.is_object() => {
                rule.as_array().unwrap().iter().all(|key| value.get(key.as_str().unwrap()).is_some())
            }
            "additionalProperties" => {
                value.as_object().unwrap().keys().all(|key| words["properties"].get(key).is_some())
            }
            "required" | "properties" | "items" | "description" | "title" | "$schema" | "$defs" => true,
            other => panic!("{at}: {other} is not known here"),
        };
        (!fits).then(|| format!("{at}: {word} {rule}: {value}"))
    });
    let inside = || {
        let properties = words.get("properties").and_then(Value::as_object).into_iter().flatten();
        properties.filter_map(|(key, rule)| misfit(rule, value.get(key)?, root, &format!("{at}.{key}"))).next()
    };
    let items = || {
        let rule = words.get("items")?;
        value.as_array()?.iter().find_map(|item| misfit(rule, item, root, &format!("{at}[]")))
    };
    found.or_else(inside).or_else(items)
}

#[test]
fn the_document_is_as_its_schema_says() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    for (name, views) in situations() {
        let cluster = cluster(3);
        let diagnosis = diagnose(&cluster, &views);
        let page = Page {
            cluster: &cluster.name,
            from: "mysql/0",
            at: SystemTime::UNIX_EPOCH,
            diagnosis: &diagnosis,
            views: &views,
        };
        let mut document = serde_json::to_value(Document::of(&page)).unwrap();
        assert_eq!(misfit(&schema, &document, &schema, "$"), None, "{name}");
        document["diagnosis"]["code"] = "NoSuchCode".into();
        assert!(misfit(&schema, &document, &schema, "$").is_some_and(|m| m.starts_with("$.diagnosis.code")));
        document.as_object_mut().unwrap().remove("reach");
        assert!(misfit(&schema, &document, &schema, "$").is_some_and(|m| m.contains("required")), "{name}");
    }
}

#[test]
fn the_schema_has_all_codes() {
    let variants = include_str!("../codes.rs").lines().filter_map(|line| line.strip_prefix("    ")?.strip_suffix(','));
    for code in variants.filter(|v| v.chars().all(char::is_alphanumeric)) {
        assert!(SCHEMA.contains(&format!("\"{code}\"")), "docs/diagnose.schema.json lacks {code}");
    }
}
