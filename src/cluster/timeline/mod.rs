//! What happened, when, on which member: error logs and journals of all members merged into one timeline.
//!
//! Pure: texts in, events out. It serves the incident report, and a folder of logs that somebody sent.
//!
//! | question | answered in |
//! |---|---|
//! | what does a journal's line mean in words? | [`journal`] |
//! | which member does an identifier of Galera name? | [`names`] |
//! | what was each member at, from when to when? | [`bands`] |
//! | what can be said of the members at the end of the logs? | [`from_logs`] |
//! | how is it shown? | [`text`], [`html`], [`picture`] |

mod bands;
mod from_logs;
mod html;
pub mod journal;
mod names;
mod page;
mod picture;
mod text;

#[cfg(test)]
mod tests;

use self::bands::Band;
use self::names::Names;
use super::diagnosis::Diagnosis;
use super::member::Cluster;
use crate::galera::log_events::{Happening, LogEvent, log_events};
use crate::galera::log_identities::Identities;
use crate::galera::moment::Moment;

/// A text that tells of one member.
#[derive(Debug, Clone)]
pub struct Source {
    /// The member that wrote it, as far as its file tells; an error log may know better.
    pub member: String,
    /// The file, for evidence.
    pub file: String,
    /// What kind of text it is.
    pub kind: SourceKind,
    /// The text.
    pub text: String,
}

/// Kinds of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// MariaDB's error log.
    ErrorLog,
    /// Our journal, or our agent's.
    Journal,
}

/// How an event is to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// `mariadbd` began.
    Start,
    /// It ended in order.
    Stop,
    /// It ended otherwise.
    Crash,
    /// A view, with quorum or without.
    View {
        /// With quorum.
        primary: bool,
    },
    /// A state transfer.
    Transfer,
    /// Somebody, or a member by itself, decided something.
    Order,
    /// A diagnosis.
    Verdict,
    /// Something is wrong.
    Trouble,
    /// Something worth knowing.
    Note,
}

/// A line that an event rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its file, and number.
    pub at: String,
    /// The line as it was written.
    pub text: String,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, by the member's clock.
    pub at: Moment,
    /// The number of the member's lane.
    pub lane: usize,
    /// How it is to be seen.
    pub mark: Mark,
    /// In words, with members by their names.
    pub text: String,
    /// What it rests on.
    pub evidence: Vec<Line>,
    /// What it says of the member's state, if anything.
    what: Option<Happening>,
}

/// The timeline of a cluster.
#[derive(Debug, Clone)]
pub struct Timeline {
    /// The cluster's name, where it is known.
    pub cluster: String,
    /// The members, one lane each.
    pub lanes: Vec<String>,
    /// In order of time.
    pub events: Vec<Event>,
    /// What each member was at.
    pub bands: Vec<Band>,
    /// What must be known to read it: clocks that differ, texts that are missing or cut.
    pub notes: Vec<String>,
    /// What it all means.
    pub verdict: Option<Diagnosis>,
    /// What the verdict rests on, in words.
    pub verdict_of: String,
}

/// What is known besides the texts.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The members that are expected, where there is a configuration.
    pub cluster: Option<Cluster>,
    /// Identifiers of members in the group, by name: what agents and saved views tell.
    pub identifiers: Vec<(String, String)>,
    /// From when.
    pub from: Option<Moment>,
    /// Until when.
    pub to: Option<Moment>,
    /// Notes for the reader.
    pub notes: Vec<String>,
    /// A diagnosis that rests on more than logs.
    pub verdict: Option<Diagnosis>,
}

struct Read<'a> {
    source: &'a Source,
    events: Vec<LogEvent>,
    identities: Identities,
}

impl Timeline {
    /// Merges these texts.
    pub fn of(sources: &[Source], known: Known) -> Timeline {
        let read: Vec<Read> = sources
            .iter()
            .filter(|s| s.kind == SourceKind::ErrorLog)
            .map(|source| {
                let (events, identities) = log_events(&source.text);
                Read { source, events, identities }
            })
            .collect();
        let names = Names::of(&read, &known);
        let lanes = names.lanes(sources);
        let lane_of = |member: &str| lanes.iter().position(|lane| lane == member).unwrap_or_default();
        let inside = |at: Moment| known.from.is_none_or(|f| at >= f) && known.to.is_none_or(|t| at <= t);
        let mut events: Vec<Event> = Vec::new();
        for one in &read {
            let lane = lane_of(&names.lane(one.source));
            let told = one.events.iter().filter(|e| inside(e.at));
            lane_events(&mut events, told, lane, &one.source.file, &names);
        }
        for source in sources.iter().filter(|s| s.kind == SourceKind::Journal) {
            let lane = lane_of(&names.lane(source));
            let told = journal::events(source).into_iter().filter(|e| inside(e.at));
            events.extend(told.map(|e| Event { lane, text: names.translated(&e.text), ..e }));
        }
        // Stable: what one member wrote in one second stays in the order in which it wrote it.
        events.sort_by_key(|e| e.at);
        said_by_many(&mut events);
        bands::note_unclean_ends(&mut events, lanes.len());
        let bands = bands::of(&events, lanes.len(), shown_until(&events, known.to));
        let (verdict, verdict_of) = match known.verdict {
            Some(verdict) => (Some(verdict), "what the agents and processes showed when this was collected".to_owned()),
            None => (
                from_logs::verdict(&read, &names, known.cluster.as_ref()),
                "what the logs alone say of the members at their end".to_owned(),
            ),
        };
        let cluster = known.cluster.map(|c| c.name).unwrap_or_default();
        Timeline { cluster, lanes, events, bands, notes: known.notes, verdict, verdict_of }
    }

    /// The name of a lane.
    pub fn lane(&self, number: usize) -> &str {
        self.lanes.get(number).map(String::as_str).unwrap_or_default()
    }
}

/// Some time after the last event, so that what it led to is seen.
fn shown_until(events: &[Event], to: Option<Moment>) -> Moment {
    let (first, last) = (events.first().map(|e| e.at), events.last().map(|e| e.at).unwrap_or(Moment(0)));
    let more = first.map_or(0, |first| (last.since(first) / 12).clamp(1000, 60_000));
    let end = Moment(last.0.saturating_add(more));
    to.map_or(end, |to| end.min(to.max(last)))
}

/// The events of one error log. What only says the same again becomes evidence of what it repeats.
fn lane_events<'a>(
    events: &mut Vec<Event>,
    told: impl Iterator<Item = &'a LogEvent>,
    lane: usize,
    file: &str,
    names: &Names,
) {
    let first = events.len();
    for log in told {
        let line = Line { at: format!("{file}:{}", log.line), text: log.evidence.clone() };
        let again = events.last_mut().filter(|_| log.what == Happening::More);
        if let Some(before) = again {
            before.evidence.push(line);
            continue;
        }
        if log.what == Happening::More {
            continue;
        }
        let text = match &log.what {
            Happening::View { primary, by, seq, members } => {
                let who: Vec<String> = members.iter().map(|m| names.translated(m)).collect();
                let who = if who.is_empty() { String::new() } else { format!(": {}", who.join(", ")) };
                let kind = if *primary { "primary" } else { "non-primary" };
                format!("{kind} view {seq} of {}{who}", names.translated(by))
            }
            _ => names.translated(&log.text),
        };
        let repeated = events.get_mut(first..).unwrap_or_default().iter_mut().rev().take(4);
        if let Some(before) = repeated.into_iter().find(|e| e.text == text && log.at.since(e.at) < 60_000) {
            before.evidence.push(line);
            continue;
        }
        let mark = mark_of(&log.what);
        events.push(Event { at: log.at, lane, mark, text, evidence: vec![line], what: Some(log.what.clone()) });
    }
}

fn mark_of(what: &Happening) -> Mark {
    match what {
        Happening::Started(_) => Mark::Start,
        Happening::Stopped => Mark::Stop,
        Happening::Crashed(_) => Mark::Crash,
        Happening::View { primary, .. } | Happening::Component { primary, .. } => Mark::View { primary: *primary },
        Happening::Transfer => Mark::Transfer,
        Happening::Trouble => Mark::Trouble,
        Happening::GroupBegun => Mark::Order,
        _ => Mark::Note,
    }
}

/// Every member logs who asks whom for state: told once, with the lines of all.
fn said_by_many(events: &mut Vec<Event>) {
    const SAME: u64 = 3000;
    let mut at = 0;
    while let Some(event) = events.get(at).cloned() {
        let before = events.get_mut(..at).unwrap_or_default().iter_mut().rev();
        let mut lately = before.take_while(|e| event.mark == Mark::Transfer && event.at.since(e.at) < SAME);
        match lately.find(|e| e.text == event.text && e.lane != event.lane) {
            Some(first) => {
                first.evidence.extend(event.evidence);
                events.remove(at);
            }
            None => at += 1,
        }
    }
}
