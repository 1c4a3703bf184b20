//! What `galera-start` says, asked without end by whoever observes.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::cluster::observation::SupervisorSight;

/// What is said of one that gives no answer.
pub const NO_ANSWER: &str = "galera-start runs and does not answer: its disk may hang";
/// How long an observation waits for an answer.
const PATIENCE: Duration = Duration::from_millis(1500);
/// For how long the last answer stands for one that does not come.
const STANDS: Duration = Duration::from_secs(30);

/// Asks `galera-start`, one question at a time. It does not answer while it writes to a disk that hangs; an observation
/// that waited for it would come too late to tell of the disk. What it said last is still so: it does nothing else
/// meanwhile, and if it had ended there would be an answer at once.
#[derive(Debug, Default)]
pub struct Asking {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: bool,
    last: Option<(Instant, SupervisorSight)>,
}

impl Asking {
    /// What it says, or said last. The question gives none where no answer came in time.
    pub fn ask(
        self: &Arc<Asking>,
        question: impl FnOnce() -> Option<SupervisorSight> + Send + 'static,
    ) -> SupervisorSight {
        let (send, answer) = channel();
        let begins = self.state.lock().is_ok_and(|mut state| !std::mem::replace(&mut state.running, true));
        if begins {
            let asking = Arc::clone(self);
            let work = move || {
                let sight = question();
                asking.answered(sight.clone());
                let _ = send.send(sight);
            };
            if std::thread::Builder::new().name("asking".into()).spawn(work).is_err() {
                self.answered(None);
            } else if let Ok(Some(sight)) = answer.recv_timeout(PATIENCE) {
                return sight;
            }
        }
        self.last()
    }

    fn answered(&self, sight: Option<SupervisorSight>) {
        if let Ok(mut state) = self.state.lock() {
            state.running = false;
            state.last = sight.map(|sight| (Instant::now(), sight)).or(state.last.take());
        }
    }

    fn last(&self) -> SupervisorSight {
        let known = self.state.lock().ok().and_then(|state| state.last.clone());
        known
            .filter(|(at, _)| at.elapsed() < STANDS)
            .map_or_else(|| SupervisorSight::Absent { why: NO_ANSWER.into() }, |(_, sight)| sight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(why: &str) -> SupervisorSight {
        SupervisorSight::Absent { why: why.into() }
    }

    #[test]
    fn one_that_hangs_is_not_asked_twice_and_what_it_said_last_stands() {
        let asking = Arc::new(Asking::default());
        assert_eq!(asking.ask(|| Some(says("one"))), says("one"));
        assert_eq!(asking.ask(|| None), says("one"), "it gave no answer in time");
        let (go_on, hangs) = channel::<()>();
        let hanging = move || {
            let _ = hangs.recv();
            Some(says("two"))
        };
        assert_eq!(asking.ask(hanging), says("one"), "it hangs");
        assert_eq!(asking.ask(|| Some(says("never asked"))), says("one"), "it hangs still");
        drop(go_on);
        while asking.state.lock().unwrap().running {
            std::thread::yield_now();
        }
        assert_eq!([asking.last(), asking.ask(|| Some(says("three")))], [says("two"), says("three")]);
    }

    #[test]
    fn one_that_never_answered_is_said_to_run() {
        let asking = Arc::new(Asking::default());
        asking.state.lock().unwrap().running = true;
        assert!(
            matches!(asking.ask(|| Some(says("x"))), SupervisorSight::Absent { why } if why.contains("does not answer"))
        );
    }
}
