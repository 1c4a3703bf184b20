//! What each member was at, from when to when.

use super::{Event, Line, Mark};
use crate::galera::log_events::Happening;
use crate::galera::moment::Moment;

/// What a member was at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// `mariadbd` did not run.
    Down,
    /// It only looked for its position.
    Recovering,
    /// It ran, and was in no component yet.
    Starting,
    /// In a component with quorum.
    Primary,
    /// In a component without.
    NonPrimary,
}

/// A stretch of time in which a member was at one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Band {
    /// The member's lane.
    pub lane: usize,
    /// From when.
    pub from: Moment,
    /// Until when.
    pub to: Moment,
    /// What it was at.
    pub state: State,
    /// How many members its component had.
    pub members: u32,
}

/// How far apart journal and error log tell of one start, at most, in milliseconds.
const SAME_START: u64 = 5000;

/// A life that ended without a word: a start that follows no end tells of it.
pub(super) fn note_unclean_ends(events: &mut Vec<Event>, lanes: usize) {
    for lane in 0..lanes {
        let mut found = Vec::new();
        // Since when it lives, and whether its log says so.
        let mut lives: Option<(Moment, bool)> = None;
        let mut recovery: Option<()> = None;
        for (at, event) in events.iter().enumerate().filter(|(_, e)| e.lane == lane) {
            match &event.what {
                Some(Happening::RecoveryBegun) => recovery = Some(()),
                // A run that only finds the position ends by itself, and says nothing about it.
                Some(Happening::Started(_)) if recovery.take().is_some() => {}
                Some(Happening::Started(pid)) => {
                    // Journal and error log tell of the same start, each by its own clock.
                    let again = lives
                        .is_some_and(|(since, of_log)| of_log != pid.is_some() && event.at.since(since) < SAME_START);
                    if lives.is_some() && !again {
                        found.push((at, event.at, event.evidence.clone()));
                    }
                    lives = Some((event.at, pid.is_some()));
                }
                Some(Happening::Stopped | Happening::Crashed(_)) => lives = None,
                _ => {}
            }
        }
        for (at, when, evidence) in found.into_iter().rev() {
            let text = "ended uncleanly before this: a start follows, and no shutdown".to_owned();
            let what = Some(Happening::Crashed(String::new()));
            events.insert(at, Event { at: when, lane, mark: Mark::Crash, text, evidence, what });
        }
    }
}

/// The bands of all lanes. Before the first word of a member nothing is known of it.
pub(super) fn of(events: &[Event], lanes: usize, end: Moment) -> Vec<Band> {
    let mut bands = Vec::new();
    for lane in 0..lanes {
        let mut now: Option<(Moment, State, u32)> = None;
        let mut recovering = false;
        for event in events.iter().filter(|e| e.lane == lane) {
            let Some(what) = &event.what else { continue };
            let next = match what {
                Happening::RecoveryBegun => {
                    recovering = true;
                    Some((State::Recovering, 0))
                }
                Happening::Started(_) if recovering => {
                    recovering = false;
                    Some((State::Recovering, 0))
                }
                Happening::Started(_) => Some((State::Starting, 0)),
                Happening::Component { primary: true, members } => Some((State::Primary, *members)),
                Happening::Component { primary: false, members } => Some((State::NonPrimary, *members)),
                Happening::Stopped | Happening::Crashed(_) => Some((State::Down, 0)),
                _ => None,
            };
            let Some((state, members)) = next else { continue };
            if now.is_some_and(|(_, s, m)| (s, m) == (state, members)) {
                continue;
            }
            if let Some((from, state, members)) = now.filter(|(from, _, _)| event.at > *from) {
                bands.push(Band { lane, from, to: event.at, state, members });
            }
            now = Some((event.at, state, members));
        }
        if let Some((from, state, members)) = now {
            bands.push(Band { lane, from, to: end.max(from), state, members });
        }
    }
    bands
}

impl Line {
    /// One that was written in this file, at this number.
    pub(super) fn of(file: &str, number: usize, text: &str) -> Line {
        Line { at: format!("{file}:{number}"), text: text.chars().take(400).collect() }
    }
}
