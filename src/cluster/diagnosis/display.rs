//! A diagnosis as a person reads it, on 80 columns.

use std::fmt;

use super::{ClusterCode, Confidence, Diagnosis, MemberCode, WarningCode};

pub(super) const WIDTH: usize = 80;

impl fmt::Display for ClusterCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for MemberCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for WarningCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Confidence::Certain => "certain",
            Confidence::OneWitness => "by one witness, or at one moment",
            Confidence::Unknown => "not known for certain",
        })
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sure = match self.confidence {
            Confidence::Certain => String::new(),
            other => format!(" ({other})"),
        };
        write!(f, "{}", wrapped("", &format!("{}: {}{sure}.", self.code, self.sentence)))?;
        if self.code != ClusterCode::Healthy {
            write!(f, "\n{}", wrapped("  ", &format!("{}.", self.advice)))?;
            for member in &self.members {
                write!(f, "\n{}", wrapped("  ", &format!("{}: {}: {}", member.name, member.code, member.sentence)))?;
            }
        }
        for warning in &self.warnings {
            write!(f, "\n{}", wrapped("", &format!("warning {}: {}", warning.code, warning.sentence)))?;
        }
        Ok(())
    }
}

/// The text in lines of at most [`WIDTH`] columns; the lines after the first are indented further. A word or a
/// command that is longer than a line stays whole, so that it can be copied.
pub fn wrapped(indent: &str, text: &str) -> String {
    under(indent, indent.chars().count() + 2, text)
}

/// The same after `lead`, as in a table: the lines after the first begin where the text began.
pub fn beside(lead: &str, text: &str) -> String {
    under(lead, lead.chars().count(), text)
}

fn under(lead: &str, indent: usize, text: &str) -> String {
    let mut out = lead.to_owned();
    let (mut column, mut fresh) = (lead.chars().count(), true);
    for piece in pieces(text) {
        let wide = piece.chars().count();
        if !fresh && column + 1 + wide > WIDTH {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            (column, fresh) = (indent, true);
        }
        if !fresh {
            out.push(' ');
            column += 1;
        }
        out.push_str(&piece);
        (column, fresh) = (column + wide, false);
    }
    out
}

/// What is not broken: words, what stands between backticks, and commands of this release with their arguments.
fn pieces(text: &str) -> Vec<String> {
    /// Options that take the word after them.
    const VALUED: [&str; 4] = ["--node", "--accept-missing", "--accept-alive", "--member"];
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut rest = words.as_slice();
    let mut pieces = Vec::new();
    while let Some((first, others)) = rest.split_first() {
        let more = if first.starts_with('`') && !first.trim_start_matches('`').contains('`') {
            others.iter().position(|w| w.contains('`')).filter(|at| *at < LONGEST_QUOTE).map_or(0, |at| at + 1)
        } else if first.starts_with("/var/vcap/") {
            let belongs = |pair: &&[&str]| {
                let [after, word] = pair else { return false };
                let ended = after.ends_with(['.', ',', ';', ')', '`']);
                !ended && (after.ends_with("/galera-ctl") || word.starts_with("--") || VALUED.contains(after))
            };
            rest.windows(2).take_while(belongs).count()
        } else {
            0
        };
        let (piece, after) = rest.split_at(more + 1);
        pieces.push(piece.join(" "));
        rest = after;
    }
    pieces
}

/// Of more words than this, what stands between backticks is no command.
const LONGEST_QUOTE: usize = 16;

/// Each line that is wider than a terminal folded: a row of a table goes on under its second column, anything else
/// under its beginning.
pub fn folded(text: &str) -> String {
    let fold = |line: &str| {
        if line.chars().count() <= WIDTH {
            return line.to_owned();
        }
        let begins = line.len() - line.trim_start().len();
        let (_, row) = line.split_at_checked(begins).unwrap_or(("", line));
        let column =
            row.split_once("  ").map(|(first, rest)| begins + first.len() + 2 + rest.len() - rest.trim_start().len());
        let (lead, rest) = line.split_at_checked(column.unwrap_or(begins)).unwrap_or(("", line));
        beside(lead, rest)
    };
    let mut out: String = text.lines().map(fold).collect::<Vec<_>>().join("\n");
    if text.ends_with('\n') {
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wider_than_a_terminal() {
        let text = wrapped("  ", &"a word and another ".repeat(20));
        assert!(text.lines().all(|l| l.len() <= WIDTH && l.starts_with("  ")), "{text}");
        assert_eq!(text.split_whitespace().count(), 80);
        let long = "x".repeat(100);
        assert!(wrapped("", &format!("a {long} b")).contains(&long));
    }

    #[test]
    fn a_command_is_copied_in_one_piece() {
        let force =
            "/var/vcap/jobs/bootstrap/bin/run --node mysql/1 --accept-missing mysql/0 --accept-missing mysql/2.";
        let give_up = "/var/vcap/packages/mariadb-galera/bin/galera-ctl rejoin --abandon-data";
        let alive = "/var/vcap/jobs/bootstrap/bin/run --node mysql/1 --accept-alive mysql/0";
        for whole in [force, give_up, alive, "`monit start mariadb`"] {
            for before in 0..78 {
                let text = wrapped("  ", &format!("{} {whole} Then more.", "x".repeat(before)));
                assert!(text.lines().any(|l| l.contains(whole)), "{text}");
                assert!(text.lines().all(|l| l.len() <= WIDTH || l.trim() == whole), "{text}");
            }
        }
        let open = wrapped("", &format!("an ` that {}", "is not closed ".repeat(9)));
        assert!(open.lines().all(|l| l.len() <= WIDTH), "{open}");
    }

    #[test]
    fn a_table_goes_on_under_its_column() {
        let told = "a word and another ".repeat(9);
        let help = folded(&format!("Usage: it\n\n  diagnose  {told}\n          {told}\n"));
        assert!(help.lines().all(|l| l.len() <= WIDTH), "{help}");
        assert!(help.starts_with("Usage: it\n\n  diagnose  a word"), "{help}");
        let begin = |l: &str| l.len() - l.trim_start().len();
        assert!(help.lines().skip(3).all(|l| begin(l) == 12 || begin(l) == 10), "{help}");
        assert!(help.ends_with('\n'), "{help}");
    }
}
