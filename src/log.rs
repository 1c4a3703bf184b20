//! Logs: one line per event, `time level event instance=... position=... key=value ...`.
//!
//! Times are UTC with milliseconds. Secrets are never passed in.

use std::fmt::{Display, Write as _};
use std::io::Write as _;
use std::sync::{Mutex, OnceLock};
use std::time::SystemTime;

static INSTANCE: OnceLock<String> = OnceLock::new();
static POSITION: Mutex<Option<String>> = Mutex::new(None);

/// Says once on which instance this process runs.
pub fn set_instance(name: &str) {
    let _ = INSTANCE.set(name.to_owned());
}

/// Says where the instance stands; every later line shows it.
pub fn set_position(position: Option<&dyn Display>) {
    if let Ok(mut current) = POSITION.lock() {
        *current = position.map(|p| p.to_string());
    }
}

/// The present moment as logs and records write it.
pub fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// What happened.
    Info,
    /// Something is not as it should be, and we went on.
    Warn,
    /// A person must look.
    Error,
}

/// Logs an event: a fixed name to search for, and pairs.
pub fn event(level: Level, name: &str, pairs: &[(&str, &dyn Display)]) {
    let line = now_line(level, name, pairs);
    // Nothing can be done where stderr is gone.
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

/// An event as a line of a log, for where stderr is not the log.
pub fn now_line(level: Level, name: &str, pairs: &[(&str, &dyn Display)]) -> String {
    line(&now(), level, name, pairs)
}

fn line(time: &str, level: Level, name: &str, pairs: &[(&str, &dyn Display)]) -> String {
    let word = match level {
        Level::Info => "INFO",
        Level::Warn => "WARN",
        Level::Error => "ERROR",
    };
    let mut line = format!("{time} {word} {name}");
    let instance = INSTANCE.get().map(String::as_str).unwrap_or("-");
    let position = POSITION.lock().ok().and_then(|p| p.clone()).unwrap_or_else(|| "-".into());
    let own: [(&str, &dyn Display); 2] = [("instance", &instance), ("position", &position)];
    for (key, value) in own.iter().chain(pairs) {
        let value = value.to_string();
        let plain = !value.is_empty() && value.chars().all(|c| c.is_ascii_graphic() && c != '"' && c != '=');
        // Debug quoting keeps a line a line, whatever the value holds.
        let _ = if plain { write!(line, " {key}={value}") } else { write!(line, " {key}={value:?}") };
    }
    line.push('\n');
    line
}

/// Logs what happened.
pub fn info(name: &str, pairs: &[(&str, &dyn Display)]) {
    event(Level::Info, name, pairs);
}

/// Logs what is not as it should be.
pub fn warn(name: &str, pairs: &[(&str, &dyn Display)]) {
    event(Level::Warn, name, pairs);
}

/// Logs what a person must look at.
pub fn error(name: &str, pairs: &[(&str, &dyn Display)]) {
    event(Level::Error, name, pairs);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_it_says() {
        let line = line("T", Level::Warn, "x.y", &[("a", &1), ("why", &"it\nsaid \"no\""), ("none", &"")]);
        assert_eq!(line, "T WARN x.y instance=- position=- a=1 why=\"it\\nsaid \\\"no\\\"\" none=\"\"\n");
    }
}
