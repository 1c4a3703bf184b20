//! Colour, where somebody looks.

use super::super::Class;

/// Whether there is colour: on a terminal, and not where `NO_COLOR` is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// Escape sequences of a terminal.
    Colour,
    /// Text alone.
    Plain,
}

impl Paint {
    /// A heading.
    pub(super) fn heading(self, text: &str) -> String {
        self.with("1", text)
    }

    /// The verdict, in the colour of its class.
    pub(super) fn verdict(self, class: Class, text: &str) -> String {
        match class {
            Class::Healthy => self.with("1;32", text),
            Class::Degraded | Class::Blind => self.with("1;33", text),
            Class::DownRecoverable | Class::DownNeedsPerson => self.with("1;31", text),
        }
    }

    fn with(self, code: &str, text: &str) -> String {
        match self {
            Paint::Plain => text.to_owned(),
            Paint::Colour => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}
