//! What `galera-ctl` does for a person on a VM, and the errands that only run it.

pub mod events;
pub mod looking;
pub mod own;
pub mod rejoin;
pub mod report;
pub mod timeline;

use std::time::{Duration, SystemTime};

use clap::Args;

use crate::cli::{duration, moment};
use crate::galera::moment::Moment;
use crate::host::report::USUAL_WINDOW;

/// A window of time, as a person says it.
#[derive(Debug, Clone, Args)]
pub struct Window {
    /// From when, in UTC: 2026-11-21T08:30 or 2026-11-21T08:30:15Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<Moment>,
    /// Until when
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<Moment>,
    /// In place of --from: so long before the end, such as 30m or 2h
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "from")]
    last: Option<Duration>,
}

impl Window {
    /// From when, and until when; the last two hours where nothing is said. None where it ends before it begins.
    fn bounds(&self) -> Option<(Moment, Moment)> {
        let to = self.to.unwrap_or_else(|| Moment::from(SystemTime::now()));
        let from = self.from.unwrap_or_else(|| to.before(self.last.unwrap_or(USUAL_WINDOW)));
        (from <= to).then_some((from, to))
    }

    /// The same, and for so long back where nothing was said of that.
    fn or_last(self, usual: Duration) -> Window {
        let last = self.last.or_else(|| self.from.is_none().then_some(usual));
        Window { last, ..self }
    }

    /// What was said, and nothing else.
    fn said(&self) -> (Option<Moment>, Option<Moment>) {
        let to = self.to.or_else(|| self.last.map(|_| Moment::from(SystemTime::now())));
        (self.from.or_else(|| Some(to?.before(self.last?))), self.to)
    }
}
