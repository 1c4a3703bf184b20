//! What members see of each other: the world, as the production's own observations.

use super::world::{Node, OURS, Server, Vm, World, in_set, uuid};
use crate::cluster::observation::{File, MemberView, Observation, Phase, PortAnswer, Sight, Sql};
use crate::cluster::situation::{down, empty, member, primary, refused, running, silent};
use crate::cluster::standing::{Provenance, Standing, Unknown};
use crate::galera::position::Position;
use crate::galera::wsrep::{ClusterStatus, LocalState};

/// Where a stopped member stands.
pub fn standing(node: &Node) -> Standing {
    if node.mixture {
        return Standing::unknown(Unknown::TransferInterrupted, "a mixture");
    }
    match &node.data {
        None if node.memory.knows_a_cluster() => Standing::unknown(Unknown::DataGone, "emptied"),
        None => Standing::Empty,
        Some(data) => match Position::new(World::history(), data.len() as u64) {
            Some(position) => {
                let from = if node.clean { Provenance::CleanStop } else { Provenance::Recovered };
                Standing::At { position, from }
            }
            None => Standing::Empty,
        },
    }
}

/// What the agent of a member reports.
pub fn observation(world: &World, i: usize) -> Observation {
    let node = &world.nodes[i];
    let n = u32::try_from(i).unwrap();
    let seqno = node.data.as_ref().map_or(0, |d| d.len() as u64);
    let size = u32::try_from(world.nodes.len()).unwrap();
    let mut seen = match node.server {
        Server::Down if node.data.is_none() => empty(n),
        Server::Down if node.clean && node.safe => down(n, seqno).safe(),
        Server::Down => down(n, seqno),
        Server::Restoring => running(n, seqno),
        Server::Live { group, primary: true, .. } => {
            let members: Vec<u32> = in_set(group).map(|m| u32::try_from(m).unwrap()).collect();
            // What waits in its queue is delivered to it, and not in `wsrep_last_committed` yet.
            let applied = if node.flushed { seqno } else { seqno.saturating_sub(1) };
            primary(n, applied, &members).phase(Phase::Serving)
        }
        Server::Live { group, .. } => {
            let members: Vec<u32> = in_set(group).map(|m| u32::try_from(m).unwrap()).collect();
            let o = primary(n, seqno, &members).state(ClusterStatus::NonPrimary, LocalState::Initialized);
            // Galera has had all the time that it needs to merge what can be merged.
            o.phase(Phase::Serving).view_for(3600)
        }
    };
    if node.server == Server::Down {
        seen.position = standing(node);
        seen.sql = Sql::Closed { why: "down".into() };
    }
    if let Some(wsrep) = &mut seen.wsrep {
        wsrep.gcomm_uuid = Some(uuid(i));
    }
    if let Some(process) = &mut seen.process {
        (process.pid, process.started) = (OURS.pid, OURS.started);
    }
    // Whoever asks for it waits until it is so.
    seen.applied_all = node.flushed && seen.wsrep.is_some();
    seen.disk.saved_view = node.saved.clone().map_or(File::Absent, File::Present);
    seen.memory = node.memory.clone();
    seen = seen.of(size);
    if world.maintained {
        seen = seen.maintained();
    }
    if let Some(hold) = &node.hold {
        let phase = if node.server == Server::Down { Phase::Held } else { Phase::Serving };
        seen = seen.held_as(hold.clone(), phase);
    }
    seen
}

/// What member `i` sees of all, itself included.
pub fn all(world: &World, i: usize) -> Vec<MemberView> {
    world.members().map(|j| view(world, i, j)).collect()
}

fn view(world: &World, from: usize, of: usize) -> MemberView {
    let n = u32::try_from(of).unwrap();
    let node = &world.nodes[of];
    match node.vm {
        _ if !world.connected(from, of) => silent(n),
        Vm::Off => silent(n),
        Vm::Stopped => MemberView { galera_port: Some(PortAnswer::Refused), ..refused(n) },
        Vm::Up if !world.heard(from, of) => {
            let port = if node.server == Server::Down { PortAnswer::Refused } else { PortAnswer::Open };
            MemberView { galera_port: Some(port), ..silent(n) }
        }
        Vm::Up => MemberView {
            member: member(n),
            sight: Sight::Seen(Box::new(observation(world, of))),
            galera_port: None,
            relayed_by: None,
        },
    }
}

/// Which member has this name.
pub fn index_of(name: &str) -> usize {
    name.trim_start_matches("mysql/").parse().unwrap()
}
