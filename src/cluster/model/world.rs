//! The world of the model: members with their disks, what runs on them, and the network between them.

use std::ops::Range;

use crate::cluster::bootstrap::Force;
use crate::cluster::hold::{Begin, Hold};
use crate::cluster::memory::{Companion, Memory, Remembered};
use crate::cluster::observation::ProcessMark;
use crate::cluster::situation::{H, group_uuid, lineage, member};
use crate::galera::gvwstate::SavedView;
use crate::galera::uuid::Uuid;

/// A set of members, one bit each.
pub type Members = u8;

pub fn in_set(members: Members) -> impl Iterator<Item = usize> {
    (0..8).filter(move |i| members & (1 << i) != 0)
}

/// A VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Vm {
    /// Answers nothing.
    Off,
    /// Answers, and nothing of ours runs: stopped by BOSH.
    Stopped,
    /// Supervisor and agent run.
    Up,
}

/// What `mariadbd` is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Server {
    Down,
    /// Started with its saved view, SQL closed.
    Restoring,
    /// SQL is open; in the component of these members.
    Live {
        group: Members,
        primary: bool,
        settled: bool,
    },
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Node {
    pub vm: Vm,
    /// The commits that it has, in order. None where it has no data directory of a cluster.
    pub data: Option<Vec<u8>>,
    /// Whether the last one is applied and on disk.
    pub flushed: bool,
    pub clean: bool,
    pub safe: bool,
    /// A full copy had begun to write over its data, and broke off.
    pub mixture: bool,
    pub saved: Option<SavedView>,
    /// Where it stood when somebody began a component with it by hand, as Galera's log tells, until that is written down.
    pub began_at: Option<u64>,
    pub memory: Memory,
    pub server: Server,
    pub hold: Option<Hold>,
}

/// A member that brings the cluster back, or an errand that was forced, step by step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Leader {
    /// The member on whose VM it runs.
    pub home: usize,
    pub order: Uuid,
    pub to_hold: Vec<usize>,
    pub held: Vec<usize>,
    /// The member that the proof named once all were held; the order to begin may be on its way for long.
    pub ordered: Option<(usize, Begin, bool)>,
    pub force: Option<Force>,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    pub nodes: Vec<Node>,
    /// The member that is cut off from the others.
    pub isolated: Option<usize>,
    /// The member whose agent does not answer, while all else on its VM goes on.
    pub mute: Option<usize>,
    pub acknowledged: Vec<u8>,
    pub next: u8,
    pub views: u32,
    pub leaders: Vec<Leader>,
    /// What may still go wrong.
    pub faults: u8,
    pub writes: u8,
    /// How many errands may still be run.
    pub errands: u8,
    /// A person may force a bootstrap once, or begin one by hand.
    pub may_force: bool,
    pub may_begin_by_hand: bool,
    /// The network may fail. What a person began by hand has the name of the cluster's group; beside others that go on
    /// where nobody sees them, Galera would merge both once the network heals, whatever they have.
    pub network_fails: bool,
    /// Agents may fail too.
    pub agents_fail: bool,
    /// A person did either: whoever was left out waits for a person.
    pub decided: bool,
    /// That person began a second primary component beside one that lived where nobody looked.
    pub second: bool,
    /// A person's force lost something of a member that the person did not name.
    pub unnamed: bool,
    /// A member's own commits were thrown away.
    pub wiped: bool,
    /// A disk was lost.
    pub lost_disk: bool,
    pub power_lost: bool,
    /// The whole cluster is in maintenance, which every member has on its disk.
    pub maintained: bool,
    /// Something was begun by itself all the same.
    pub begun_in_maintenance: bool,
}

pub fn uuid(n: usize) -> Uuid {
    group_uuid(u32::try_from(n).unwrap())
}

pub fn companion(n: usize) -> Companion {
    let member = member(u32::try_from(n).unwrap());
    Companion { name: member.name, id: member.id }
}

/// The process that a member's supervisor started; any other is somebody's own.
pub const OURS: ProcessMark = ProcessMark { pid: 9, started: 1 };

impl World {
    /// All members in one primary component, with one commit.
    pub fn healthy(members: usize, faults: u8, writes: u8) -> World {
        let lineage = lineage(&[(1, 0)]);
        let all: Members = (1 << members) - 1;
        let mut world = World::empty(members, faults, writes);
        for (i, node) in world.nodes.iter_mut().enumerate() {
            node.data = Some(vec![1]);
            node.memory = Remembered {
                incarnation: lineage.newest().map(|i| i.id),
                lineage: lineage.clone(),
                started: Some(OURS),
                explained_as: Some(uuid(i)),
                ..Remembered::default()
            }
            .into();
        }
        (world.acknowledged, world.next) = (vec![1], 2);
        world.form(all);
        for i in world.members() {
            world.nodes[i].flushed = true;
            world.settle(i);
        }
        world
    }

    /// A new deployment: VMs are there, nothing runs.
    pub fn empty(members: usize, faults: u8, writes: u8) -> World {
        let node = Node {
            vm: Vm::Up,
            data: None,
            flushed: true,
            clean: false,
            safe: false,
            mixture: false,
            saved: None,
            began_at: None,
            memory: Memory::default(),
            server: Server::Down,
            hold: None,
        };
        World {
            nodes: vec![node; members],
            isolated: None,
            mute: None,
            acknowledged: Vec::new(),
            next: 1,
            views: 0,
            leaders: Vec::new(),
            faults,
            writes,
            errands: 0,
            may_force: false,
            may_begin_by_hand: false,
            network_fails: true,
            agents_fail: false,
            decided: false,
            second: false,
            unnamed: false,
            wiped: false,
            lost_disk: false,
            power_lost: false,
            maintained: false,
            begun_in_maintenance: false,
        }
    }

    pub fn members(&self) -> Range<usize> {
        0..self.nodes.len()
    }

    /// The same, and a person who may force a bootstrap once.
    pub fn with_force(self) -> World {
        World { may_force: true, ..self }
    }

    /// The same, and a person who may once start a server that is down, alone, as the first of a component.
    pub fn with_hands(self) -> World {
        World { may_begin_by_hand: true, network_fails: false, ..self }
    }

    /// The same, and agents that fail.
    pub fn with_mute_agents(self) -> World {
        World { agents_fail: true, ..self }
    }

    /// The same, and so many errands.
    pub fn with_errands(self, errands: u8) -> World {
        World { errands, ..self }
    }

    /// The same, in maintenance.
    pub fn in_maintenance(self) -> World {
        World { maintained: true, ..self }
    }

    pub fn connected(&self, a: usize, b: usize) -> bool {
        a == b || (self.isolated != Some(a) && self.isolated != Some(b))
    }

    /// Whether the agent of one is heard by the other.
    pub fn heard(&self, from: usize, of: usize) -> bool {
        from == of || (self.connected(from, of) && self.mute != Some(of))
    }

    /// The primary components, by their members.
    pub fn primaries(&self) -> Vec<Members> {
        let mut found: Vec<Members> = self
            .nodes
            .iter()
            .filter_map(|n| match n.server {
                Server::Live { group, primary: true, .. } => Some(group),
                _ => None,
            })
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    pub fn has_all_acknowledged(&self, members: Members) -> bool {
        in_set(members)
            .filter(|i| self.nodes[*i].server != Server::Down)
            .all(|i| self.acknowledged.iter().all(|c| self.nodes[i].data.as_ref().is_some_and(|d| d.contains(c))))
    }

    pub fn history() -> Uuid {
        H
    }
}
