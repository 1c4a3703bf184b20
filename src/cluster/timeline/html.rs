//! A timeline as one page that needs nothing but itself: it can be mailed, printed, and read without scripts.

use std::fmt::Write as _;

use super::page::{SCRIPT, STYLE};
use super::picture::shape;
use super::{Event, Mark, Timeline};

/// More rows than this are not shown; the text has them all.
const MOST_ROWS: usize = 4000;
/// More lines than this of one event are counted only.
const MOST_LINES: usize = 12;

impl Timeline {
    /// As a page.
    pub fn html(&self) -> String {
        let title = match self.cluster.as_str() {
            "" => "Timeline".to_owned(),
            name => format!("Timeline of cluster {}", escaped(name)),
        };
        let mut page = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n<p class=\"window\">{}</p>\n</header>\n",
            self.window()
        );
        self.write_verdict(&mut page);
        if !self.notes.is_empty() {
            page.push_str("<section class=\"notes\">\n<h2>To be known</h2>\n<ul>\n");
            for note in &self.notes {
                let _ = writeln!(page, "<li>{}</li>", escaped(note));
            }
            page.push_str("</ul>\n</section>\n");
        }
        page.push_str("<section>\n<h2>What each member was at</h2>\n<div class=\"picture\">\n");
        page.push_str(&self.picture());
        let _ = write!(page, "</div>\n{}</section>\n", legend());
        self.write_table(&mut page);
        let _ = write!(page, "<script>\n{SCRIPT}</script>\n</body>\n</html>\n");
        page
    }

    fn window(&self) -> String {
        match (self.events.first(), self.events.last()) {
            (Some(first), Some(last)) => {
                let members = match self.lanes.len() {
                    1 => "one member".to_owned(),
                    n => format!("{n} members"),
                };
                format!(
                    "{} to {} UTC, {members}, {} events. Times are by each member's clock.",
                    first.at,
                    last.at,
                    self.events.len()
                )
            }
            _ => "Nothing happened in this time that the logs tell of.".into(),
        }
    }

    fn write_verdict(&self, page: &mut String) {
        let Some(verdict) = &self.verdict else { return };
        let _ = write!(
            page,
            "<section class=\"verdict\">\n<h2>{}</h2>\n<p><b>{}.</b></p>\n<p>{}.</p>\n<p class=\"small\">By {}; {}.</p>\n",
            verdict.code,
            escaped(&verdict.sentence),
            escaped(&verdict.advice.to_string()),
            escaped(&self.verdict_of),
            verdict.confidence
        );
        page.push_str("<table class=\"members\">\n");
        for member in &verdict.members {
            let _ = writeln!(
                page,
                "<tr><th>{}</th><td>{}</td><td>{}</td></tr>",
                escaped(&member.name),
                member.code,
                escaped(&member.sentence)
            );
        }
        page.push_str("</table>\n</section>\n");
    }

    fn write_table(&self, page: &mut String) {
        page.push_str("<section>\n<h2>Events</h2>\n<table class=\"events\">\n<thead><tr><th>Time</th><th>Member</th><th></th><th>What happened</th></tr></thead>\n<tbody>\n");
        let mut day = String::new();
        for (at, event) in self.events.iter().enumerate().take(MOST_ROWS) {
            let when = event.at.to_string();
            let (date, _) = when.split_once(' ').unwrap_or_default();
            if day != date {
                date.clone_into(&mut day);
                let _ = writeln!(page, "<tr class=\"day\"><th colspan=\"4\">{date}</th></tr>");
            }
            self.write_row(page, at, event);
        }
        page.push_str("</tbody>\n</table>\n");
        if let Some(more) = self.events.len().checked_sub(MOST_ROWS).filter(|more| *more > 0) {
            let _ = writeln!(page, "<p>{more} later events are left out here; the timeline as text has them.</p>");
        }
        page.push_str("</section>\n");
    }

    fn write_row(&self, page: &mut String, at: usize, event: &Event) {
        let class = event.mark.word().replace(' ', "-");
        let clock = event.at.rfc3339();
        let shown = clock.get(11..19).unwrap_or_default();
        let sign =
            format!("<svg class=\"key sign {class}\" viewBox=\"-7 -7 14 14\">{}</svg>", shape(event.mark, 0.0, 0.0));
        let _ = write!(
            page,
            "<tr id=\"e{at}\" class=\"{class}\"><td class=\"clock\"><time datetime=\"{clock}\">{shown}</time></td><td class=\"lane\">{}</td><td>{sign}</td><td>",
            escaped(self.lane(event.lane))
        );
        if event.evidence.is_empty() {
            let _ = writeln!(page, "{}</td></tr>", escaped(&event.text));
            return;
        }
        let _ = write!(page, "<details><summary>{}</summary><pre>", escaped(&event.text));
        for line in event.evidence.iter().take(MOST_LINES) {
            let _ = writeln!(page, "<i>{}</i> {}", escaped(&line.at), escaped(&line.text));
        }
        if let Some(more) = event.evidence.len().checked_sub(MOST_LINES).filter(|more| *more > 0) {
            let _ = writeln!(page, "and {more} lines more like these");
        }
        page.push_str("</pre></details></td></tr>\n");
    }
}

fn legend() -> String {
    let mut out = String::from("<p class=\"legend\">");
    for (class, word) in [
        ("primary", "primary component"),
        ("nonprimary", "no quorum"),
        ("starting", "starting"),
        ("recovering", "finding its position"),
        ("down", "down"),
    ] {
        let _ = write!(
            out,
            "<span><svg class=\"key band {class}\" viewBox=\"0 0 22 12\"><rect x=\".5\" y=\".5\" width=\"21\" height=\"11\"/></svg>{word}</span>"
        );
    }
    for mark in [Mark::Start, Mark::Stop, Mark::Crash, Mark::Transfer, Mark::Order, Mark::Verdict, Mark::Trouble] {
        let word = mark.word();
        let _ = write!(
            out,
            "<span><svg class=\"key sign {word}\" viewBox=\"-7 -7 14 14\">{}</svg>{word}</span>",
            shape(mark, 0.0, 0.0)
        );
    }
    out.push_str("<span>A grey gap: a long silence, cut short. A sign leads to its row.</span></p>\n");
    out
}

/// Whatever comes from logs is text and nothing else: no tag, no attribute, no control character, and no
/// mark that turns the direction of reading round.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' => out.push(' '),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
