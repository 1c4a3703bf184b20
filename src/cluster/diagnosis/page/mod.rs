//! All of a diagnosis on a page, for somebody who was woken: what is wrong, since when, who has the newest
//! data, what happens by itself, what prevents it, what to run, what never to do. Then the facts.

pub mod document;
mod newest;
mod paint;
mod reach;
mod tables;

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use self::document::Document;
pub use self::paint::Paint;
use super::display::wrapped;
use super::{ClusterCode, Diagnosis, MemberCode};
use crate::cluster::arbitration::ArbitratorWord;
use crate::cluster::observation::MemberView;

/// What a page is made of.
#[derive(Debug)]
pub struct Page<'a> {
    /// The cluster's name.
    pub cluster: &'a str,
    /// From where it was looked.
    pub from: &'a str,
    /// When.
    pub at: SystemTime,
    /// What was concluded.
    pub diagnosis: &'a Diagnosis,
    /// What was seen.
    pub views: &'a [MemberView],
}

impl Page<'_> {
    /// The text, at most 80 columns wide except where a word is longer.
    pub fn text(&self, paint: Paint) -> String {
        let found = self.diagnosis;
        let mut page = paint.verdict(found.class, &wrapped("", &self.title()));
        let mut section = |heading: &str, lines: &[String]| {
            if !lines.is_empty() {
                let _ = write!(page, "\n\n{}", paint.heading(heading));
                for line in lines {
                    let _ = write!(page, "\n{line}");
                }
            }
        };
        section("What is wrong", &self.wrong());
        section("Since when", &self.since());
        section("Who has the newest data", &prose(newest::lines(self.views, &self.apart())));
        section("What happens by itself", &prose([found.advice.by_itself.clone()]));
        section("What prevents more", &prose(found.advice.prevented_by.clone()));
        section("What to do", &prose([found.advice.run.clone()]));
        section("What never to do", &prose([found.advice.never.clone()]));
        section("Members", &indented(tables::running(self.views)));
        section("Arbitrators", &prose(self.arbitrators()));
        section("Disks", &indented(tables::disks(self.views)));
        section(
            "Who reaches whom",
            &[indented(reach::among(self.views)), prose(reach::from_here(self.views))].concat(),
        );
        section("Each that is not well", &self.unwell());
        section("Warnings", &self.warnings());
        page
    }

    /// Who went on apart from the others, with numbers that the others have for something else.
    fn apart(&self) -> Vec<&str> {
        let split = self.diagnosis.code == ClusterCode::SplitBrain;
        let apart = self.diagnosis.members.iter().filter(|m| split || m.code == MemberCode::AheadOfCluster);
        apart.map(|m| m.name.as_str()).collect()
    }

    fn title(&self) -> String {
        let seen = self.views.iter().filter_map(MemberView::seen);
        let primary = seen.clone().filter(|o| o.wsrep.as_ref().is_some_and(|w| w.is_primary())).count();
        format!(
            "{}: {} ({}). {} expected, {} seen, {primary} primary. From {} at {}",
            self.cluster,
            self.diagnosis.code,
            self.diagnosis.class.words(),
            self.views.len(),
            seen.count(),
            self.from,
            humantime::format_rfc3339_seconds(self.at)
        )
    }

    fn wrong(&self) -> Vec<String> {
        let found = self.diagnosis;
        let mut lines = prose([found.sentence.clone(), format!("How sure: {}", found.confidence)]);
        lines.extend(found.evidence.iter().map(|e| wrapped("  ", &format!("- {e}"))));
        lines
    }

    fn since(&self) -> Vec<String> {
        prose([match self.diagnosis.since_seconds {
            None => "nobody noted it".to_owned(),
            Some(seconds) => {
                let when = self.at.checked_sub(Duration::from_secs(seconds)).filter(|when| *when >= UNIX_EPOCH);
                let when = when.unwrap_or(self.at);
                format!("{}: for {} at least", humantime::format_rfc3339_seconds(when), tables::long(seconds))
            }
        }])
    }

    /// What the members heard of each; the word of one that it votes with counts first.
    fn arbitrators(&self) -> Vec<String> {
        let mut words: Vec<&ArbitratorWord> =
            self.views.iter().filter_map(MemberView::seen).flat_map(|o| &o.arbitrators).collect();
        words.sort_by_key(|word| (&word.name, !word.votes(), word.seen.is_none()));
        words.dedup_by_key(|word| &word.name);
        let told = |word: &ArbitratorWord| match (&word.seen, &word.why_unseen) {
            (Some(seen), _) => match seen.component.filter(|_| word.votes()) {
                Some(component) => format!("{} votes in a primary component of {}", word.name, component.voters),
                None => format!("{} does not vote: {}", word.name, seen.detail),
            },
            (None, why) => format!("{} is not seen: {}", word.name, why.as_deref().unwrap_or("no answer")),
        };
        words.into_iter().map(told).collect()
    }

    fn unwell(&self) -> Vec<String> {
        let unwell = self.diagnosis.members.iter().filter(|m| m.code != MemberCode::MemberOk);
        unwell
            .flat_map(|m| {
                let since = m.since_seconds.map_or(String::new(), |s| format!(" (for {} at least)", tables::brief(s)));
                let told = wrapped("  ", &format!("{}: {}: {}{since}", m.name, m.code, m.sentence));
                std::iter::once(told).chain(m.evidence.iter().map(|e| wrapped("    ", &format!("- {e}"))))
            })
            .collect()
    }

    fn warnings(&self) -> Vec<String> {
        self.diagnosis.warnings.iter().map(|w| wrapped("  ", &format!("{}: {}", w.code, w.sentence))).collect()
    }
}

fn prose(lines: impl IntoIterator<Item = String>) -> Vec<String> {
    lines.into_iter().map(|line| wrapped("  ", &capital(&line))).collect()
}

fn indented(lines: Vec<String>) -> Vec<String> {
    lines.into_iter().map(|line| format!("  {line}")).collect()
}

/// A sentence begins large, and an instance's name stays as it is.
fn capital(text: &str) -> String {
    if text.split(' ').next().is_some_and(|word| word.contains('/')) {
        return text.to_owned();
    }
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
