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

/// The text in lines of at most [`WIDTH`] columns; the lines after the first are indented further. A word
/// that is longer than a line stays whole, so that it can be copied.
pub fn wrapped(indent: &str, text: &str) -> String {
    let mut lines = vec![indent.to_owned()];
    for word in text.split_whitespace() {
        let line = lines.last().map_or(0, |l| l.chars().count());
        let fresh = lines.last().is_none_or(|l| l.trim().is_empty());
        if !fresh && line + 1 + word.chars().count() > WIDTH {
            lines.push(format!("{indent}  "));
        }
        if let Some(last) = lines.last_mut() {
            if !last.trim().is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines.join("\n")
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
}
