//! Which ports of the peers this VM reaches.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::ports::knock;
use crate::cluster::member::Member;
use crate::cluster::observation::PeerPorts;

/// How long a connect to a peer may take.
const LIMIT: Duration = Duration::from_secs(1);
/// Pause between two rounds.
const EVERY: Duration = Duration::from_secs(1);
/// What was met so long ago says nothing any more: the round since then hangs, on a name server mostly.
const STALE: Duration = Duration::from_secs(15);

/// Knocks at the peers' ports, round by round, beside the observations: a peer whose VM is off takes seconds to
/// find out, a name server that is gone even more, and what is said of the own member must not be late by that.
#[derive(Debug)]
pub struct Knocks {
    peers: Vec<Member>,
    agent: u16,
    galera: u16,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: bool,
    last: Option<(Instant, Vec<PeerPorts>)>,
}

impl Knocks {
    /// At these ports of these members.
    pub fn at(peers: Vec<Member>, agent: u16, galera: u16) -> Arc<Knocks> {
        Arc::new(Knocks { peers, agent, galera, state: Mutex::default() })
    }

    /// What the last round met; the first one is waited for. Where it is old, the next one begins.
    pub fn ask(self: &Arc<Knocks>) -> Vec<PeerPorts> {
        {
            let Ok(mut state) = self.state.lock() else { return Vec::new() };
            if let Some((at, met)) = state.last.clone() {
                if !state.running && at.elapsed() >= EVERY {
                    let round = Arc::clone(self);
                    let spawned = std::thread::Builder::new().name("knocks".into()).spawn(move || round.round());
                    state.running = spawned.is_ok();
                }
                return if at.elapsed() < STALE { met } else { Vec::new() };
            }
        }
        self.round()
    }

    fn round(&self) -> Vec<PeerPorts> {
        let met: Vec<PeerPorts> = std::thread::scope(|scope| {
            let knocking: Vec<_> = self
                .peers
                .iter()
                .map(|peer| {
                    scope.spawn(|| PeerPorts {
                        name: peer.name.clone(),
                        agent: knock(&peer.address, self.agent, LIMIT),
                        galera: knock(&peer.address, self.galera, LIMIT),
                    })
                })
                .collect();
            knocking.into_iter().filter_map(|k| k.join().ok()).collect()
        });
        if let Ok(mut state) = self.state.lock() {
            *state = State { running: false, last: Some((Instant::now(), met.clone())) };
        }
        met
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::cluster::observation::PortAnswer;
    use crate::cluster::situation::member;

    #[test]
    // G11: what an observer reaches is told, and a peer that takes long makes nobody wait.
    fn g11_the_first_round_is_waited_for_and_no_later_one() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let open = listener.local_addr().expect("its address").port();
        let peer = Member { address: "127.0.0.1".into(), ..member(1) };
        let knocks = Knocks::at(vec![peer], open, open);
        assert_eq!(knocks.ask().first().map(|p| (p.agent, p.galera)), Some((PortAnswer::Open, PortAnswer::Open)));
        knocks.state.lock().expect("the state").running = true;
        assert_eq!(knocks.ask().len(), 1, "a round that hangs is not waited for");
    }
}
