//! A request that waits for the supervisor's loop. It is carried out while whoever asked waits for the answer, or not at
//! all: somebody who was told that nothing was changed must not see it happen later.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use crate::host::socket::{Reply, Request};

const WAITS: u8 = 0;
const BEGUN: u8 = 1;
const WITHDRAWN: u8 = 2;

/// A request, as the loop gets it.
pub(super) struct Asked {
    request: Request,
    reply: Sender<Reply>,
    state: Arc<AtomicU8>,
}

/// The other end, of whoever asked.
pub(super) struct Asking {
    answer: Receiver<Reply>,
    state: Arc<AtomicU8>,
}

/// Both ends of a request.
pub(super) fn ask(request: Request) -> (Asked, Asking) {
    let ((reply, answer), state) = (channel(), Arc::new(AtomicU8::new(WAITS)));
    (Asked { request, reply, state: Arc::clone(&state) }, Asking { answer, state })
}

impl Asked {
    /// The request, if it is still wanted: from now on it is carried out.
    pub(super) fn begin(self) -> Option<(Request, Sender<Reply>)> {
        let begins = self.state.compare_exchange(WAITS, BEGUN, Ordering::AcqRel, Ordering::Acquire);
        begins.is_ok().then_some((self.request, self.reply))
    }
}

impl Asking {
    /// The answer. Where none comes in time, the request is withdrawn if it was not begun, and else may still happen.
    pub(super) fn wait(self, limit: Duration) -> Reply {
        let late = match self.answer.recv_timeout(limit) {
            Ok(reply) => return reply,
            Err(RecvTimeoutError::Disconnected) => {
                return Reply::refused("galera-start is ending; nothing was changed");
            }
            Err(RecvTimeoutError::Timeout) => limit.as_secs(),
        };
        match self.state.compare_exchange(WAITS, WITHDRAWN, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Reply::refused(format!(
                "galera-start was busy for {late} s, and the request was withdrawn: nothing was changed by it; ask again"
            )),
            // It may have answered in this very moment.
            Err(_) => self.answer.try_recv().unwrap_or_else(|_| {
                Reply::under_way(format!(
                    "galera-start has begun it, and was not done after {late} s: it may still happen; look at the status"
                ))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(1);

    #[test]
    // B8: "Nothing was changed" is true.
    fn b8_what_was_not_begun_in_time_is_never_done() {
        let (asked, asking) = ask(Request::Status);
        let Reply::Refused { why } = asking.wait(SHORT) else { panic!("it was not done") };
        assert!(why.contains("nothing was changed"), "{why}");
        assert!(asked.begin().is_none(), "whoever asked was told that nothing was changed");
    }

    #[test]
    // B8: and what happens is said to.
    fn b8_what_was_begun_is_said_to_be_under_way() {
        let (asked, asking) = ask(Request::Status);
        let (_, reply) = asked.begin().unwrap();
        let Reply::UnderWay { text } = asking.wait(SHORT) else { panic!("it may still happen") };
        assert!(text.contains("may still happen"), "{text}");
        assert!(reply.send(Reply::done("late")).is_err(), "nobody listens any more");
    }

    #[test]
    fn an_answer_in_time_is_the_answer_and_an_end_is_told() {
        let (asked, asking) = ask(Request::Status);
        let (request, reply) = asked.begin().unwrap();
        assert_eq!(request, Request::Status);
        reply.send(Reply::done("so")).unwrap();
        assert_eq!(asking.wait(SHORT), Reply::done("so"));
        let (asked, asking) = ask(Request::Status);
        drop(asked);
        assert!(matches!(asking.wait(SHORT), Reply::Refused { why } if why.contains("ending")));
    }
}
