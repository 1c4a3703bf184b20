//! What the lines of a journal mean, in words for a person. `galera-ctl events` prints these.

use serde_json::Value;

use super::{Event, Line, Mark, Source};
use crate::cluster::maintenance::Notice;
use crate::galera::log_events::Happening;
use crate::galera::moment::Moment;

/// All events of a journal. A line that is torn is left out: a crash may have cut the last one.
pub fn events(source: &Source) -> Vec<Event> {
    let lines = source.text.lines().enumerate();
    lines
        .filter_map(|(at, line)| {
            let (at, number) = (entry(line)?, at.saturating_add(1));
            Some(Event { evidence: vec![Line::of(&source.file, number, line)], ..at })
        })
        .collect()
}

/// One line of a journal, if it is one.
pub fn entry(line: &str) -> Option<Event> {
    let entry: Value = serde_json::from_str(line).ok()?;
    let at = Moment::parse(entry.get("at")?.as_str()?)?;
    let (mark, text, what) = told(entry.get("event")?.as_str()?, entry.get("details").unwrap_or(&Value::Null));
    Some(Event { at, lane: 0, mark, text, evidence: Vec::new(), what })
}

fn told(event: &str, details: &Value) -> (Mark, String, Option<Happening>) {
    let word = |pointer: &str| shown(details.pointer(pointer));
    let plain = |mark: Mark, text: String| (mark, text, None);
    match event {
        "position.found" => plain(Mark::Note, format!("stands at {}", standing(details.get("standing")))),
        "start.decided" => plain(Mark::Order, format!("decided: {}", word("/decision"))),
        "mariadbd.started" => (
            Mark::Start,
            format!("starts mariadbd: {}", word("/mode").replace('_', " ")),
            Some(Happening::Started(None)),
        ),
        "mariadbd.adopted" => plain(Mark::Note, format!("takes over mariadbd, process {}", word("/process/pid"))),
        "mariadbd.died" => {
            let errors = word("/errors");
            let said = if errors.is_empty() { String::new() } else { format!("; its last errors: {errors}") };
            let status = word("/status");
            (Mark::Crash, format!("mariadbd died: {status}{said}"), Some(Happening::Crashed(status)))
        }
        "mariadbd.stopping" => plain(Mark::Order, format!("stops mariadbd ({}): {}", word("/signal"), word("/why"))),
        "mariadbd.stopped" => (
            Mark::Stop,
            format!("mariadbd is down: {}, at {}", word("/status"), word("/grastate")),
            Some(Happening::Stopped),
        ),
        "view.changed" => {
            let primary = details.get("primary").and_then(Value::as_bool).unwrap_or_default();
            let quorum = if primary { "primary" } else { "without quorum" };
            plain(
                Mark::View { primary },
                format!("SQL says: {}, component of {}, {quorum}", word("/state"), word("/size")),
            )
        }
        "synced" => plain(Mark::Note, format!("Synced in a component of {}, at {}", word("/size"), word("/position"))),
        "mariadbd.kept" => plain(Mark::Trouble, format!("mariadbd is left as it is: {}", word("/why"))),
        "member.departed" => plain(Mark::Note, format!("hears that {} left in order", word("/member"))),
        "maintenance.on" | "maintenance.off" => plain(Mark::Order, notice(details)),
        "maintenance.expired" => plain(Mark::Trouble, format!("its time is over: {}", notice(details))),
        "maintenance.permit" => {
            let why = format!("may start once during maintenance, by {}: {}", word("/by"), word("/reason"));
            plain(Mark::Order, why)
        }
        "leave" => plain(Mark::Order, format!("leaves: {}", word("/why"))),
        "hold.granted" => plain(Mark::Order, format!("is held by {}: {}", word("/hold/owner"), word("/hold/reason"))),
        "hold.released" => {
            let outcome = word("/outcome/text");
            let how = if outcome.is_empty() { String::new() } else { format!(": {outcome}") };
            plain(Mark::Order, format!("is let go{how}"))
        }
        "hold.ended" => plain(Mark::Trouble, format!("the hold of {} ended unreleased", word("/hold/owner"))),
        "bootstrap.begun" => {
            let (proof, by) = (word("/incarnation/proof"), word("/proof"));
            plain(Mark::Order, format!("begins a new incarnation: {proof}{by}"))
        }
        "bootstrap.announced" => {
            plain(Mark::Note, format!("hears that {} is about to begin a new incarnation", word("/beginning/by/name")))
        }
        "bootstrap.by_hand" => plain(Mark::Trouble, format!("was begun by hand: {}", word("/incarnation/proof"))),
        "recovery.begun" => plain(Mark::Order, format!("brings the cluster back: {}", word("/proof"))),
        "recovery.ended" => plain(Mark::Order, format!("the recovery ended ({}): {}", word("/exit"), word("/text"))),
        "data.abandoned" => plain(Mark::Order, format!("its data was given up, and kept as {}", word("/kept_as"))),
        "diagnosis.changed" => {
            let before = word("/before");
            let before = if before.is_empty() { String::new() } else { format!(" (before: {before})") };
            plain(Mark::Verdict, format!("{}: {}{before}", word("/code"), word("/sentence")))
        }
        "incident.kept" => plain(Mark::Note, format!("an incident report was kept in {}", word("/directory"))),
        other => plain(Mark::Note, format!("{other} {}", compact(details))),
    }
}

fn standing(standing: Option<&Value>) -> String {
    let word = |key: &str| shown(standing.and_then(|s| s.get(key)));
    match word("is").as_str() {
        "at" => format!("{} ({})", word("position"), word("from").replace('_', " ")),
        "empty" => "no data".into(),
        _ => format!("unknown: {}", word("detail")),
    }
}

fn notice(details: &Value) -> String {
    let known = details.get("notice").and_then(|n| serde_json::from_value::<Notice>(n.clone()).ok());
    known.map_or_else(|| compact(details), |notice| notice.to_string())
}

fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn compact(details: &Value) -> String {
    let text = if details.is_null() { String::new() } else { details.to_string() };
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s21_events_are_told_in_words() {
        for (event, details, expected) in [
            ("member.departed", r#"{"member":"mysql/2"}"#, "hears that mysql/2 left in order"),
            (
                "maintenance.on",
                r#"{"from":"a person","notice":{"epoch":3,"is":"on","owner":"ada","reason":"new disks","since":0,"until":60,"scope":"cluster","undone":[]}}"#,
                "maintenance of the whole cluster is on, by ada: new disks (since 1970-01-01T00:00:00Z, until 1970-01-01T00:01:00Z)",
            ),
            ("maintenance.off", r#"{"notice":7}"#, r#"{"notice":7}"#),
            ("x.unknown", r#"{"a":1}"#, r#"x.unknown {"a":1}"#),
        ] {
            let line = format!(r#"{{"at":"2026-11-21T10:03:00Z","event":"{event}","details":{details}}}"#);
            assert_eq!(entry(&line).map(|e| e.text).as_deref(), Some(expected), "{event}");
        }
    }
}
