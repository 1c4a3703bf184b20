//! The Unix socket between `galera-start` and those who ask it: agent, drain, a person.
//!
//! One JSON request a line, one JSON reply a line, then the connection ends. Only root and the
//! database's user may open it.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::reaching::reach;
use crate::cluster::hold::{Begin, Hold, OrderedStart, Outcome};
use crate::cluster::memory::Announced;
use crate::cluster::observation::Supervisor;
use crate::galera::position::Position;
use crate::galera::uuid::Uuid;

/// The longest request or reply, in bytes.
const LONGEST: u64 = 1024 * 1024;
/// How long one side waits for the other's line.
const LINE_LIMIT: Duration = Duration::from_secs(5);

/// What can be asked of `galera-start`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// What are you doing?
    Status,
    /// Do not start `mariadbd` except by this order.
    Hold(Hold),
    /// The order is over.
    Release {
        /// The order.
        order: Uuid,
        /// How it ended; none when it is only given back.
        outcome: Option<Outcome>,
    },
    /// Start by this order.
    Start {
        /// The order.
        order: Uuid,
        /// How.
        mode: OrderedStart,
        /// For a new incarnation: from where, and why that is allowed.
        begin: Option<Begin>,
    },
    /// Remember what another member is about to begin by this order.
    Announce {
        /// The order.
        order: Uuid,
        /// What.
        beginning: Announced,
    },
    /// Stop `mariadbd`, and stay held by this order.
    Stop {
        /// The order.
        order: Uuid,
    },
    /// A person lets this member start, or obey an order, although maintenance is on.
    Permit {
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// For so many seconds at most, and for one start.
        seconds: u64,
    },
    /// Give this member's data up; a person said so.
    Abandon {
        /// Where the member stands, as that person saw it; none where that is not known.
        expect: Option<Position>,
        /// Whether the data is kept beside; otherwise it is deleted.
        keep: bool,
    },
    /// Another member has left in order; not to be taken for one that is lost.
    Departed {
        /// Its name.
        member: String,
    },
    /// Stop `mariadbd` and end.
    Leave {
        /// SIGKILL after so many seconds.
        within_seconds: u64,
        /// Why, for the log.
        reason: String,
    },
}

/// What `galera-start` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Reply {
    /// What it is doing.
    Status(Box<Supervisor>),
    /// It is so.
    Done {
        /// In words.
        text: String,
    },
    /// It is under way; ask for the status.
    UnderWay {
        /// In words.
        text: String,
    },
    /// It is not done.
    Refused {
        /// Why.
        why: String,
    },
}

impl Reply {
    /// It is so.
    pub fn done(text: impl Into<String>) -> Reply {
        Reply::Done { text: text.into() }
    }

    /// It is under way.
    pub fn under_way(text: impl Into<String>) -> Reply {
        Reply::UnderWay { text: text.into() }
    }

    /// It is not done.
    pub fn refused(why: impl ToString) -> Reply {
        Reply::Refused { why: why.to_string() }
    }
}

/// The socket's path in the run directory.
pub fn path_in(run_dir: &Path) -> PathBuf {
    run_dir.join("galera-start.sock")
}

/// Asks the supervisor whose socket lies in `run_dir`.
pub fn ask(run_dir: &Path, request: &Request) -> Result<Reply> {
    let path = path_in(run_dir);
    let exchange = || -> Result<Reply> {
        let mut stream = reach(&path, LINE_LIMIT)?;
        write_line(&mut stream, request)?;
        read_line(&stream)
    };
    exchange().with_context(|| format!("ask galera-start at {}", path.display()))
}

/// Listens; each request is answered by `answer`, on a thread of its own.
pub fn serve(run_dir: &Path, answer: impl Fn(Request) -> Reply + Clone + Send + 'static) -> Result<()> {
    let path = path_in(run_dir);
    // Whoever holds the lock is the only supervisor, so a socket that is there is a dead one's.
    super::files::remove_durably(&path)?;
    let listener = UnixListener::bind(&path).with_context(|| format!("listen on {}", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o660)).context("set the socket's mode")?;
    std::thread::Builder::new().name("socket".into()).spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            // A thread that cannot be made costs this one request.
            let _ = std::thread::Builder::new().name("request".into()).spawn(move || {
                // Whoever asked and went away does not need an answer.
                let _ = handle(stream, answer);
            });
        }
    })?;
    Ok(())
}

fn handle(mut stream: UnixStream, answer: impl Fn(Request) -> Reply) -> Result<()> {
    stream.set_read_timeout(Some(LINE_LIMIT))?;
    stream.set_write_timeout(Some(LINE_LIMIT))?;
    let reply = match read_line::<Request>(&stream) {
        Ok(request) => answer(request),
        Err(e) => Reply::refused(format!("{e:#}")),
    };
    write_line(&mut stream, &reply)
}

fn write_line(stream: &mut UnixStream, message: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line).context("send")
}

fn read_line<T: for<'a> Deserialize<'a>>(stream: &UnixStream) -> Result<T> {
    let mut line = String::new();
    BufReader::new(stream.take(LONGEST)).read_line(&mut line).context("receive")?;
    serde_json::from_str(&line).context("understand what was received")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_answered_and_rubbish_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        serve(dir.path(), |request| Reply::done(format!("{request:?}"))).unwrap();
        assert_eq!(ask(dir.path(), &Request::Status).unwrap(), Reply::done("Status"));
        let mut stream = UnixStream::connect(path_in(dir.path())).unwrap();
        stream.write_all(b"{\"op\":\"explode\"}\n").unwrap();
        assert!(matches!(read_line::<Reply>(&stream).unwrap(), Reply::Refused { .. }));
    }

    #[test]
    // B1: so may that of a hung supervisor.
    fn b1_a_supervisor_that_accepts_nobody_is_asked_in_bounded_time() {
        let dir = tempfile::tempdir().unwrap();
        let _full = super::super::reaching::tests::full(&path_in(dir.path()));
        let begun = std::time::Instant::now();
        assert!(ask(dir.path(), &Request::Status).is_err());
        assert!(begun.elapsed() < 2 * LINE_LIMIT, "{:?}", begun.elapsed());
    }

    #[test]
    fn nobody_there_is_a_clear_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = format!("{:#}", ask(dir.path(), &Request::Status).unwrap_err());
        assert!(error.contains("galera-start.sock"), "{error}");
    }
}
