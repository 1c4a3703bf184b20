//! What the command lines of all executables share: exit codes and how errors are told.

use std::fmt::Display;
use std::process::ExitCode;

use clap::Parser;

use crate::config::BadConfig;

/// How an executable ends; `docs/interface.md` documents the codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing to do.
    Done,
    /// Failed.
    Failed,
    /// Wrong arguments or configuration; nothing was changed.
    Usage,
    /// Refused: not safe, or not known to be safe.
    Refused,
    /// The status of `mariadbd`, passed on.
    Status(u8),
}

impl Exit {
    /// The code.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Refused => 3,
            Exit::Status(code) => code,
        }
    }
}

/// Parses the arguments; `--help` and `--version` end with 0, anything wrong with 2.
pub fn arguments<A: Parser>() -> Result<A, ExitCode> {
    A::try_parse().map_err(|error| {
        let _ = error.print();
        if error.use_stderr() { ExitCode::from(Exit::Usage.code()) } else { ExitCode::SUCCESS }
    })
}

/// Ends the program: on an error one line on stderr, with what led to it.
pub fn end(program: &str, result: anyhow::Result<Exit>) -> ExitCode {
    match result {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) => {
            let exit = if error.is::<BadConfig>() { Exit::Usage } else { Exit::Failed };
            complain(program, format!("{error:#}"));
            ExitCode::from(exit.code())
        }
    }
}

/// One line on stderr.
pub fn complain(program: &str, what: impl Display) {
    eprintln!("{program}: {what}");
}
