//! What the command lines of all executables share: exit codes and how errors are told.

use std::fmt::Display;
use std::io::{IsTerminal, stderr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser};

use crate::cluster::diagnosis::{folded, wrapped};
use crate::config::BadConfig;
use crate::galera::moment::Moment;
use crate::host::detach::Daemon;
use crate::host::early;

/// `println!` for what people read: whoever reads may have gone away (`| head`), which must neither end in a panic nor
/// break off what is under way.
#[macro_export]
macro_rules! say {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($words)*);
    }};
}

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

/// What all executables have that run in the background under monit.
#[derive(Debug, Args)]
pub struct InBackground {
    /// Its configuration, a file of BOSH's or one's own
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Its log, where what fails before that is open is told too; monit hides what is said otherwise
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Start in the background and return once the pid file is there; running already is fine
    #[arg(long, group = "what")]
    pub detach: bool,
    /// Stop what runs in the background, with all that it runs, bounded
    #[arg(long, group = "what")]
    pub stop: bool,
    /// Only read the configuration
    #[arg(long, group = "what")]
    pub check_config: bool,
}

/// The whole of an executable's `main`.
pub fn main<A: Parser>(program: &str, run: impl FnOnce(A) -> anyhow::Result<Exit>) -> ExitCode {
    match arguments() {
        Ok(arguments) => end(program, run(arguments)),
        Err(code) => code,
    }
}

/// The same of one that runs in the background.
pub fn in_background<A: Parser>(
    program: &str,
    background: impl FnOnce(&A) -> &InBackground,
    run: impl FnOnce(&A) -> anyhow::Result<Exit>,
) -> ExitCode {
    main(program, |arguments: A| {
        let log = background(&arguments).log.clone();
        run(&arguments).inspect_err(|error| {
            // What was detached has its log for stderr.
            if let Some(log) = log.filter(|_| !Daemon::detached()) {
                early::tell(program, &log, &format!("{error:#}"));
            }
        })
    })
}

/// Parses the arguments; `--help` and `--version` end with 0, anything wrong with 2.
pub fn arguments<A: Parser>() -> Result<A, ExitCode> {
    A::try_parse().map_err(|error| {
        let told = folded(&error.to_string());
        if error.use_stderr() {
            eprint!("{told}");
            return ExitCode::from(Exit::Usage.code());
        }
        say!("{}", told.trim_end());
        ExitCode::SUCCESS
    })
}

/// An argument that is a duration.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "expected a duration such as 30m or 2h".into())
}

/// An argument that is a time.
pub fn moment(text: &str) -> Result<Moment, String> {
    Moment::parse(text).ok_or_else(|| "expected a time in UTC such as 2026-11-21T08:30".into())
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

/// One line on stderr; on a terminal wrapped between words.
pub fn complain(program: &str, what: impl Display) {
    let line = format!("{program}: {what}");
    eprintln!("{}", if stderr().is_terminal() { wrapped("", &line) } else { line });
}
