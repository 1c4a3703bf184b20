//! This member's part of an incident report: facts of its VM, piece by piece, so that nobody holds them all
//! at once. Secrets are masked here, before anything leaves the VM; of the data directory there are names
//! and sizes, and the two small files in which Galera keeps its state.

mod facts;
mod logs;
mod masking;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::masking::Masking;
use super::sql;
use crate::config::{self, MemberConfig, SeedConfig};
use crate::galera::moment::Moment;

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// From when.
    pub from: Moment,
    /// Until when.
    pub to: Moment,
    /// How many bytes one member may send.
    pub largest: u64,
}

/// How large one member's part may be at most, whatever is asked for.
pub const LARGEST_PART: u64 = 64 * 1024 * 1024;
/// How far back a report goes where nobody says.
pub const USUAL_WINDOW: Duration = Duration::from_secs(2 * 3600);
/// A piece of text is about so long at most, in bytes.
const PIECE: usize = 16 * 1024;

/// A piece of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Piece {
    /// More of this file.
    Text {
        /// The file's name in the report.
        file: String,
        /// Its next lines.
        text: String,
    },
    /// What could not be had.
    Missing {
        /// What.
        file: String,
        /// Why.
        why: String,
    },
    /// All was told.
    End,
}

/// Nobody takes pieces any more, or time or size are used up.
#[derive(Debug)]
pub struct Enough;

/// Takes pieces.
pub type Take<'a> = &'a mut dyn FnMut(Piece) -> Result<(), Enough>;

/// What a part is made of.
#[derive(Debug)]
pub struct Part<'a> {
    /// The member's configuration.
    pub config: &'a MemberConfig,
    /// What was last observed, as JSON; the rest is looked at now.
    pub observation: Option<serde_json::Value>,
    /// Directories of rendered configuration besides the member's own.
    pub config_dirs: Vec<PathBuf>,
    /// What is wanted.
    pub wanted: Wanted,
}

impl Part<'_> {
    /// Tells everything, what matters most first. What may hang comes last.
    pub fn tell(&self, take: Take) -> Result<(), Enough> {
        let mut teller = Teller { masking: self.masking(), left: self.wanted.largest.min(LARGEST_PART), take };
        let told = self.tell_all(&mut teller);
        match told {
            Ok(()) => (teller.take)(Piece::End),
            // The reader learns that there was more, if it still listens.
            Err(Enough) if teller.left == 0 => {
                let why = format!("the report of this member was cut at {} bytes", self.wanted.largest);
                (teller.take)(Piece::Missing { file: "the rest".into(), why })?;
                (teller.take)(Piece::End)
            }
            Err(Enough) => Err(Enough),
        }
    }

    fn tell_all(&self, to: &mut Teller) -> Result<(), Enough> {
        let (config, state) = (self.config, &self.config.paths.state_dir);
        if let Some(observation) = &self.observation {
            to.json("observation.json", observation.clone())?;
        }
        for name in ["memory.json", "maintenance.json", "hold.json", "outcome.json"] {
            to.small_file(name, &state.join(name), true)?;
        }
        for name in ["grastate.dat", "gvwstate.dat"] {
            to.small_file(name, &config.mariadb.data_dir.join(name), true)?;
        }
        for name in ["journal.jsonl", "diagnosis.jsonl"] {
            logs::tell(to, name, &state.join(name), &self.wanted, self.wanted.largest / 4)?;
        }
        logs::tell(to, "mariadb.err.log", &config.mariadb.error_log, &self.wanted, self.wanted.largest / 3)?;
        let agent_log = config.paths.log_dir.with_file_name("galera-agent").join("galera-agent.log");
        let (start_log, drain_log) =
            (config.paths.log_dir.join("galera-start.log"), config.paths.log_dir.join("drain.log"));
        for (name, path) in [("galera-start.log", start_log), ("drain.log", drain_log), ("galera-agent.log", agent_log)]
        {
            logs::tell(to, name, &path, &self.wanted, self.wanted.largest / 12)?;
        }
        facts::tell(to, config)?;
        let own = config.mariadb.defaults_file.parent().map(Path::to_owned);
        for dir in own.into_iter().chain(self.config_dirs.iter().cloned()) {
            facts::tell_configuration(to, &dir)?;
        }
        facts::tell_versions(to, config)?;
        self.tell_sql(to)
    }

    /// All secrets of this member that are known by heart: they are masked wherever they appear.
    fn masking(&self) -> Masking {
        let seed = config::load::<SeedConfig>(&self.config.paths.seed_file);
        let users = seed.as_ref().map(|s| s.users.as_slice()).unwrap_or_default();
        let passwords = users.iter().map(|u| u.password.reveal());
        Masking::of(passwords.chain(self.config.agents.passwords()))
    }

    fn tell_sql(&self, to: &mut Teller) -> Result<(), Enough> {
        let server = &self.config.mariadb;
        let asked = sql::connect(&server.socket, &server.admin_user).and_then(|mut connection| {
            let status = sql::pairs(&mut connection, "SHOW GLOBAL STATUS")?;
            let variables = sql::pairs(&mut connection, "SHOW GLOBAL VARIABLES")?;
            Ok((status, variables, sql::connections(&mut connection)?))
        });
        let (status, variables, connections) = match asked {
            Ok(answers) => answers,
            Err(e) => return to.missing("sql", &format!("SQL does not answer: {}", sql::in_words(e))),
        };
        let options = variables.iter().find(|(name, _)| name == "wsrep_provider_options").map(|(_, v)| v.clone());
        let options = options.unwrap_or_default();
        to.pairs("sql/status.txt", status)?;
        to.pairs("sql/variables.txt", variables)?;
        to.lines("sql/provider-options.txt", options.split(';').map(|o| o.trim().to_owned()))?;
        to.lines("sql/connections.txt", connections.into_iter())
    }
}

/// Hands pieces over, masked and counted.
pub(super) struct Teller<'a> {
    masking: Masking,
    left: u64,
    take: Take<'a>,
}

impl Teller<'_> {
    fn hand(&mut self, file: &str, text: String) -> Result<(), Enough> {
        let size = u64::try_from(text.len()).unwrap_or(u64::MAX);
        if size > self.left {
            self.left = 0;
            return Err(Enough);
        }
        self.left -= size;
        (self.take)(Piece::Text { file: file.to_owned(), text })
    }

    fn missing(&mut self, file: &str, why: &str) -> Result<(), Enough> {
        (self.take)(Piece::Missing { file: file.to_owned(), why: self.masking.line(why) })
    }

    fn json(&mut self, file: &str, value: serde_json::Value) -> Result<(), Enough> {
        let masked = self.masking.json(value);
        self.hand(file, format!("{}\n", serde_json::to_string_pretty(&masked).unwrap_or_default()))
    }

    fn lines(&mut self, file: &str, lines: impl Iterator<Item = String>) -> Result<(), Enough> {
        let (mut text, mut masked) = (String::new(), self.masking.begin());
        for line in lines {
            text.push_str(&self.masking.next(&mut masked, &line));
            text.push('\n');
            if text.len() > PIECE {
                self.hand(file, std::mem::take(&mut text))?;
            }
        }
        if text.is_empty() { Ok(()) } else { self.hand(file, text) }
    }

    /// Names and values of the server. A number, or a word that switches, is no secret, whatever its name.
    fn pairs(&mut self, file: &str, pairs: Vec<(String, String)>) -> Result<(), Enough> {
        let plain = |value: &str| {
            value.parse::<f64>().is_ok()
                || matches!(value, "ON" | "OFF" | "YES" | "NO" | "DEFAULT" | "DISABLED" | "NONE")
        };
        let mut text = String::new();
        for (name, value) in pairs {
            let line = format!("{name} = {value}");
            // The provider's options are one long value.
            let line = if plain(&value) { line } else { self.masking.line(&line).replace("; ", ";\n    ") };
            text.push_str(&line);
            text.push('\n');
        }
        self.hand(file, text)
    }

    /// A file of a few kilobytes as a whole.
    fn small_file(&mut self, name: &str, path: &Path, absent_is_fine: bool) -> Result<(), Enough> {
        const MOST: u64 = 256 * 1024;
        match facts::read_small(path, MOST) {
            Ok(text) => match serde_json::from_str(&text) {
                Ok(value @ (serde_json::Value::Object(_) | serde_json::Value::Array(_))) => self.json(name, value),
                _ => {
                    let masked = self.masking.configuration(&text);
                    self.hand(name, masked)
                }
            },
            Err(e) if absent_is_fine && e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => self.missing(name, &e.to_string()),
        }
    }
}
