//! An incident report: what every member has to tell, in one folder that can be sent to somebody. It never
//! changes anything, and says what could not be had.

mod writing;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use self::writing::{Writer, slug};
use super::table;
use crate::agent::client::Client;
use crate::cluster::diagnosis::{Diagnosis, diagnose, wrapped};
use crate::cluster::member::{Cluster, Member};
use crate::cluster::observation::{MemberView, PortAnswer};
use crate::cluster::timeline::{Known, Source, SourceKind, Timeline};
use crate::config::MemberConfig;
use crate::galera::moment::Moment;
use crate::host::observe::Observer;
use crate::host::report::{Enough, Masking, Part, Wanted};

/// Clocks that differ by less are not worth a word, in milliseconds.
const CLOCKS_APART: u64 = 2000;
/// The summary is printed by an errand, and BOSH takes no more than 1 MB of that.
const LARGEST_SUMMARY: usize = 600 * 1024;
/// What stays readable beside the bundle.
pub const BESIDE: [&str; 2] = ["report.txt", "timeline.html"];

/// A report under way.
pub struct Report<'a> {
    /// The expected members.
    pub cluster: &'a Cluster,
    /// How their agents are asked.
    pub client: &'a Client,
    /// What is wanted of each.
    pub wanted: Wanted,
    /// How long a member may take.
    pub limit: Duration,
    /// Who asks, and why.
    pub asked_by: String,
    /// A member on this very VM, which can be looked at without its agent.
    pub own: Option<&'a MemberConfig>,
    /// What must not appear anywhere.
    pub masking: Masking,
}

/// What was collected, and what was not.
pub struct Collected {
    dir: PathBuf,
    views: Vec<MemberView>,
    missing: BTreeMap<String, Vec<String>>,
    asked_at: Moment,
}

impl Report<'_> {
    /// Has every member's part written below this folder. `views` is what is known of them already.
    pub fn collect(&self, dir: &Path, mut views: Vec<MemberView>) -> Result<Collected> {
        let asked_at = Moment::from(SystemTime::now());
        let mut writer = Writer::below(dir);
        let members: Vec<&Member> = self.cluster.members.iter().collect();
        let failed =
            self.client.collect(&members, &self.wanted, self.limit, &mut |m, piece| writer.take(&m.name, piece));
        for (name, why) in failed {
            let own = self.own.filter(|own| own.instance == name);
            writer.note(&name, format!("its agent's part: {why}"));
            if let Some(own) = own {
                self.look_here(own, &mut writer, &mut views);
            }
        }
        for view in &views {
            if let Some(why) = view.why_unseen() {
                writer.note(&view.member.name, format!("its observation: {why}"));
            }
        }
        Ok(Collected { dir: dir.to_owned(), views, missing: writer.missing, asked_at })
    }

    /// This VM's agent gives no answer, and this VM can still be looked at.
    fn look_here(&self, own: &MemberConfig, writer: &mut Writer, views: &mut [MemberView]) {
        let observed = Observer::of(own.clone()).map(|observer| observer.look()).ok();
        let observation = observed.as_ref().and_then(|o| serde_json::to_value(o).ok());
        let part = Part { config: own, observation, config_dirs: Vec::new(), wanted: self.wanted };
        let (name, mut fault) = (own.instance.clone(), None);
        let told = part.tell(&mut |piece| {
            writer.take(&name, piece).map_err(|e| {
                fault = Some(format!("{e:#}"));
                Enough
            })
        });
        match (told, fault) {
            (Ok(()), _) => writer.note(&name, "so this VM was looked at without it".into()),
            (Err(Enough), fault) => writer.note(&name, fault.unwrap_or_else(|| "it was cut".into())),
        }
        if let (Some(view), Some(seen)) =
            (views.iter_mut().find(|v| v.member.name == name && v.seen().is_none()), observed)
        {
            *view = MemberView::own(&view.member.clone(), seen);
        }
    }

    /// Concludes, and writes what people read: summary, timeline, what is missing. Returns the summary.
    pub fn conclude(&self, collected: &Collected) -> Result<String> {
        let dir = &collected.dir;
        let diagnosis = diagnose(self.cluster, &collected.views);
        let write = |name: &str, text: &str| {
            let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(dir.join(name));
            let written = file.and_then(|mut f| f.write_all(text.as_bytes()));
            written.with_context(|| format!("write {}", dir.join(name).display()))
        };
        let seen = |view: &MemberView| match view.seen() {
            Some(seen) => serde_json::to_value(seen).unwrap_or_default(),
            None => json!({ "not_seen": view.why_unseen() }),
        };
        let observations: serde_json::Map<String, Value> =
            collected.views.iter().map(|v| (v.member.name.clone(), seen(v))).collect();
        let all = json!({ "at": collected.asked_at.rfc3339(), "diagnosis": diagnosis, "observations": observations });
        write("diagnosis.json", &serde_json::to_string_pretty(&self.masking.json(all))?)?;
        let matrix = matrix(self.cluster, &collected.views);
        write("matrix.txt", &matrix)?;
        let missing = collected.missing_text();
        write("missing.txt", &missing)?;
        let timeline = self.timeline(collected, diagnosis.clone());
        let text = timeline.text();
        write("timeline.txt", &text)?;
        write("timeline.html", &timeline.html())?;
        let summary = self.summary(collected, &diagnosis, &matrix, &missing, &text);
        write("report.txt", &summary)?;
        Ok(summary)
    }

    fn summary(
        &self,
        collected: &Collected,
        diagnosis: &Diagnosis,
        matrix: &str,
        missing: &str,
        timeline: &str,
    ) -> String {
        let (from, to) = (self.wanted.from, self.wanted.to);
        let mut out = format!(
            "Incident report of cluster {}, {} UTC\n{}\n\n{}\n\n{diagnosis}\n\nWho reaches whom\n{matrix}\nWhat could not be had\n{}\n",
            self.cluster.name,
            collected.asked_at,
            wrapped("", &format!("asked for by {}; window {from} to {to} UTC", self.asked_by)),
            table::of(&collected.views),
            missing.lines().map(|line| wrapped("", line) + "\n").collect::<String>(),
        );
        let events: Vec<&str> = timeline.lines().skip_while(|l| !l.ends_with("clock)")).collect();
        let room = LARGEST_SUMMARY.saturating_sub(out.len());
        let mut size = 0;
        let last = events.iter().rev().take_while(|line| {
            size += line.len() + 1;
            size < room
        });
        let shown = last.count();
        let cut = events.len() - shown;
        let _ = writeln!(
            out,
            "Timeline{}",
            if cut > 0 { format!(" (its first {cut} lines are in timeline.txt)") } else { String::new() }
        );
        for line in events.get(cut..).unwrap_or_default() {
            let _ = writeln!(out, "{line}");
        }
        self.masking.lines(&out)
    }

    fn timeline(&self, collected: &Collected, verdict: Diagnosis) -> Timeline {
        let mut sources = Vec::new();
        for member in &self.cluster.members {
            let (slug, member) = (slug(&member.name), &member.name);
            for (name, kind) in [
                ("mariadb.err.log", SourceKind::ErrorLog),
                ("journal.jsonl", SourceKind::Journal),
                ("diagnosis.jsonl", SourceKind::Journal),
            ] {
                if let Ok(bytes) = fs::read(collected.dir.join(&slug).join(name)) {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    sources.push(Source { member: member.clone(), file: format!("{slug}/{name}"), kind, text });
                }
            }
        }
        Timeline::of(
            &sources,
            Known {
                cluster: Some(self.cluster.clone()),
                identifiers: identifiers(&collected.views),
                from: Some(self.wanted.from),
                to: Some(self.wanted.to),
                notes: collected.notes(),
                verdict: Some(verdict),
            },
        )
    }
}

impl Collected {
    fn notes(&self) -> Vec<String> {
        let clocks = self.views.iter().filter_map(|view| {
            let theirs = Moment::parse(&view.seen()?.at)?;
            let apart = theirs.0.abs_diff(self.asked_at.0);
            let way = if theirs > self.asked_at { "ahead of" } else { "behind" };
            let name = &view.member.name;
            let seconds = apart / 1000;
            (apart > CLOCKS_APART).then(|| format!("the clock of {name} is about {seconds} s {way} the one of this VM"))
        });
        let missing = self.missing.iter().flat_map(|(name, whys)| whys.iter().map(move |why| format!("{name}: {why}")));
        clocks.chain(missing).collect()
    }

    fn missing_text(&self) -> String {
        let notes = self.notes();
        if notes.is_empty() { "everything was had\n".into() } else { notes.iter().map(|n| format!("{n}\n")).collect() }
    }
}

/// Identifiers in the group, by the names of whom they belong to.
fn identifiers(views: &[MemberView]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for seen in views.iter().filter_map(MemberView::seen) {
        let saved = seen.disk.saved_view.present().or(seen.memory.last_view.as_ref()).map(|v| v.my_uuid);
        let live = seen.wsrep.as_ref().and_then(|w| w.gcomm_uuid);
        found.extend(saved.into_iter().chain(live).map(|id| (seen.member.name.clone(), id.to_string())));
    }
    found
}

/// Who reaches whom, agent port and group port.
fn matrix(cluster: &Cluster, views: &[MemberView]) -> String {
    let word = |answer: PortAnswer| match answer {
        PortAnswer::Open => "open",
        PortAnswer::Refused => "refused",
        PortAnswer::Silent => "silent",
    };
    let wide = cluster.members.iter().map(|m| m.name.chars().count()).max().unwrap_or_default().max(8);
    let mut out = format!("{:wide$}  (agent/group port)\n", "from");
    for view in views {
        let _ = write!(out, "{:wide$}", view.member.name);
        match view.seen() {
            None => out.push_str("  not seen"),
            Some(seen) => {
                for peer in &seen.peers {
                    let _ = write!(out, "  {} {}/{}", peer.name, word(peer.agent), word(peer.galera));
                }
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::situation::{cluster, down, seen, silent};

    #[test]
    fn h15_the_summary_says_what_could_not_be_had_and_keeps_secrets() {
        let dir = tempfile::tempdir().unwrap();
        let (cluster, moment) = (cluster(3), Moment::parse("2026-11-21").unwrap());
        let client_config = crate::config::Agents {
            port: 1,
            username: "u".into(),
            password: serde_json::from_str("\"by-heart-1\"").unwrap(),
            previous_password: None,
            tls: None,
        };
        let client = Client::new(&client_config, Duration::from_millis(10), 1);
        let report = Report {
            cluster: &cluster,
            client: &client,
            wanted: Wanted { from: moment, to: moment, largest: 1 },
            limit: Duration::from_millis(10),
            asked_by: "a test, by-heart-1".into(),
            own: None,
            masking: Masking::of(["by-heart-1"].into_iter()),
        };
        let mut late = down(0, 5);
        late.at = "2026-11-21T00:01:00Z".into();
        let missing = [("mysql/2".to_owned(), vec!["its agent's part: away".to_owned()])].into();
        let collected = Collected {
            dir: dir.path().into(),
            views: vec![seen(late), seen(down(1, 5)), silent(2)],
            missing,
            asked_at: moment,
        };
        let summary = report.conclude(&collected).unwrap();
        for words in ["mysql/2: its agent's part: away", "the clock of mysql/0 is about 60 s ahead", "PartialKnowledge"]
        {
            assert!(summary.contains(words), "{words}: {summary}");
        }
        for file in ["report.txt", "diagnosis.json", "timeline.html", "missing.txt"] {
            assert!(!fs::read_to_string(dir.path().join(file)).unwrap().contains("by-heart-1"), "{file}");
        }
    }
}
