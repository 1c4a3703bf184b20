//! A timeline as text.

use std::fmt::Write as _;

use super::{Mark, Timeline};
use crate::cluster::diagnosis::{beside, wrapped};

impl Timeline {
    /// As text, on 80 columns: the verdict, then the events.
    pub fn text(&self) -> String {
        let mut out = String::new();
        if let Some(verdict) = &self.verdict {
            let _ = writeln!(out, "By {}:\n{verdict}\n", self.verdict_of);
        }
        for note in &self.notes {
            let _ = writeln!(out, "{}", wrapped("", &format!("note: {note}")));
        }
        let wide = self.lanes.iter().map(|l| l.chars().count()).max().unwrap_or_default();
        let mut day = String::new();
        for event in &self.events {
            let when = event.at.to_string();
            let (date, clock) = when.split_once(' ').unwrap_or_default();
            if day != date {
                date.clone_into(&mut day);
                let _ = writeln!(out, "{date} (UTC, by each member's clock)");
            }
            let lane = self.lane(event.lane);
            let more = event.evidence.len().saturating_sub(1);
            let times = if more > 1 { format!(" (and {more} lines more)") } else { String::new() };
            let lead = format!("  {clock}  {lane:wide$}  {} ", event.mark.sign());
            let _ = writeln!(out, "{}", beside(&lead, &format!("{}{times}", one_line(&event.text))));
        }
        if self.events.is_empty() {
            out.push_str("Nothing happened in this time that the logs tell of.\n");
        }
        // What comes from logs moves no cursor.
        out.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
    }
}

/// What comes from logs stays on its line.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

impl Mark {
    /// One character for text.
    pub fn sign(self) -> char {
        match self {
            Mark::Start => '>',
            Mark::Stop => '|',
            Mark::Crash => 'X',
            Mark::View { primary: true } => '+',
            Mark::View { primary: false } => '-',
            Mark::Transfer => '~',
            Mark::Order => '*',
            Mark::Verdict => '=',
            Mark::Trouble => '!',
            Mark::Note => ' ',
        }
    }

    /// What it stands for.
    pub fn word(self) -> &'static str {
        match self {
            Mark::Start => "start",
            Mark::Stop => "stop",
            Mark::Crash => "crash",
            Mark::View { primary: true } => "view",
            Mark::View { primary: false } => "no quorum",
            Mark::Transfer => "transfer",
            Mark::Order => "order",
            Mark::Verdict => "verdict",
            Mark::Trouble => "trouble",
            Mark::Note => "note",
        }
    }
}
