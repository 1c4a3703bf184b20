//! The world of the model: members with their disks, what runs on them, and the network between them.

use std::ops::Range;

use crate::cluster::hold::Hold;
use crate::cluster::memory::{CaughtUp, Memory};
use crate::cluster::situation::{H, lineage};
use crate::galera::gvwstate::SavedView;
use crate::galera::position::Position;
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
    /// Agent and supervisor run.
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
    pub saved: Option<SavedView>,
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
    pub ordered: Option<(usize, crate::cluster::hold::Begin, bool)>,
    pub force: Option<crate::cluster::bootstrap::Force>,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    pub nodes: Vec<Node>,
    /// The member that is cut off from the others.
    pub isolated: Option<usize>,
    pub acknowledged: Vec<u8>,
    pub next: u8,
    pub views: u32,
    pub ids: u8,
    pub leaders: Vec<Leader>,
    /// What may still go wrong.
    pub faults: u8,
    pub writes: u8,
    /// How many errands may still be run.
    pub errands: u8,
    pub may_force: bool,
    pub forced: bool,
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
    Uuid::from_u128((n as u128 + 1) << 96 | 0x8000 << 48 | 1)
}

impl World {
    /// All members in one primary component, with one commit.
    pub fn healthy(members: usize, faults: u8, writes: u8) -> World {
        let lineage = lineage(&[(1, 0)]);
        let all: Members = (1 << members) - 1;
        let mut world = World::empty(members, faults, writes);
        for node in &mut world.nodes {
            node.data = Some(vec![1]);
            node.memory =
                Memory { incarnation: lineage.newest().map(|i| i.id), lineage: lineage.clone(), ..Memory::default() };
        }
        (world.acknowledged, world.next, world.ids) = (vec![1], 2, 2);
        world.form(all);
        for node in &mut world.nodes {
            if let Server::Live { settled, .. } = &mut node.server {
                *settled = true;
            }
        }
        world.members().for_each(|i| world.apply(i));
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
            saved: None,
            memory: Memory::default(),
            server: Server::Down,
            hold: None,
        };
        World {
            nodes: vec![node; members],
            isolated: None,
            acknowledged: Vec::new(),
            next: 1,
            views: 0,
            ids: 1,
            leaders: Vec::new(),
            faults,
            writes,
            errands: 0,
            may_force: false,
            forced: false,
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

    /// What waits in its memory is applied, and SQL tells of the view.
    pub fn apply(&mut self, i: usize) {
        let node = &mut self.nodes[i];
        node.flushed = true;
        node.memory.joined();
        let position = node.data.as_ref().and_then(|data| Position::new(H, data.len() as u64));
        let view = node.saved.as_ref().map(SavedView::id);
        if let Some(view) = node.saved.clone() {
            node.memory.was_in(view);
        }
        node.memory.caught_up = view.zip(position).map(|(view, position)| CaughtUp { view, position });
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
