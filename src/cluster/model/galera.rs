//! The little of Galera that matters here: quorum, saved views, who is promoted, who joins.

use std::collections::BTreeSet;

use super::world::{Members, Node, Server, Vm, World, in_set, uuid};
use crate::cluster::memory::CleanStop;
use crate::galera::gvwstate::SavedView;
use crate::galera::position::Position;

impl World {
    /// These become one primary component: all get what the furthest has, and the view is written to disk.
    pub fn form(&mut self, members: Members) {
        // A component that is primary gives its state to whoever comes; without one, the furthest does.
        let primary = |i: &usize| matches!(self.nodes[*i].server, Server::Live { primary: true, .. });
        let data = |i: usize| self.nodes[i].data.clone();
        let of_primary = in_set(members).find(primary).and_then(data);
        let furthest = of_primary.or_else(|| in_set(members).filter_map(data).max_by_key(Vec::len)).unwrap_or_default();
        self.views += 1;
        for i in in_set(members) {
            let seq = self.views;
            let node = &mut self.nodes[i];
            // Whoever has something else than the component loses it, and Galera does not mind.
            self.wiped |= node.data.as_ref().is_some_and(|own| !furthest.starts_with(own));
            let settled = matches!(node.server, Server::Live { settled: true, .. });
            node.flushed |= node.data.as_ref() != Some(&furthest);
            node.data = Some(furthest.clone());
            (node.clean, node.safe, node.mixture) = (false, false, false);
            node.server = Server::Live { group: members, primary: true, settled };
            let saved = SavedView {
                my_uuid: uuid(i),
                seq,
                representative: uuid(0),
                members: in_set(members).map(uuid).collect(),
                bootstrap: false,
            };
            node.memory.began_in(Some(&saved), Some(uuid(i)));
            node.memory.taken_in(&saved);
            node.saved = Some(saved);
        }
    }

    /// What is left of a component of `before` when only `left` of it see each other.
    fn shrink(&mut self, before: Members, left: Members, gone_gracefully: bool) {
        if left == 0 {
            return;
        }
        let was_primary = in_set(left).any(|i| matches!(self.nodes[i].server, Server::Live { primary: true, .. }));
        let quorum = was_primary && (gone_gracefully || 2 * left.count_ones() > before.count_ones());
        if quorum {
            self.form(left);
            return;
        }
        for i in in_set(left) {
            if let Server::Live { group, primary, .. } = &mut self.nodes[i].server {
                (*group, *primary) = (left, false);
            }
        }
    }

    fn group_of(&self, i: usize) -> Option<Members> {
        match self.nodes[i].server {
            Server::Live { group, .. } => Some(group),
            _ => None,
        }
    }

    /// `mariadbd` dies; what it had not on disk may be lost with it.
    pub fn crash(&mut self, i: usize, loses: bool) {
        let group = self.group_of(i);
        let node = &mut self.nodes[i];
        if loses && !node.flushed {
            node.data.as_mut().map(Vec::pop);
        }
        if node.server != Server::Down {
            (node.clean, node.safe) = (false, false);
        }
        (node.server, node.flushed) = (Server::Down, true);
        if let Some(group) = group {
            self.shrink(group, group & !(1 << i), false);
        }
    }

    /// SIGTERM through the supervisor, which keeps the saved view of a member without quorum.
    pub fn stop(&mut self, i: usize) {
        let Server::Live { group, primary, .. } = self.nodes[i].server else {
            self.nodes[i].server = Server::Down;
            return;
        };
        let left = group & !(1 << i);
        let node = &mut self.nodes[i];
        (node.server, node.flushed, node.clean, node.safe) = (Server::Down, true, true, primary && left == 0);
        if primary {
            node.saved = None;
            node.memory.leave();
        }
        let position = node.data.as_ref().and_then(|data| Position::new(World::history(), data.len() as u64));
        if let Some(position) = position {
            node.memory.stopped(CleanStop { position, alone: node.safe, in_order: true });
        }
        self.shrink(group, left, primary);
    }

    /// The network changes: components that are cut fall apart, those that see each other again may merge.
    pub fn network_changed(&mut self) {
        for i in 0..self.nodes.len() {
            if let Some(group) = self.group_of(i) {
                let near = in_set(group).filter(|j| self.connected(i, *j)).fold(0, |set, j| set | 1 << j);
                if near != group {
                    self.shrink(group, near, false);
                }
            }
        }
        self.merge();
    }

    /// Live components that see each other: those without quorum join the one that has it; without any, they
    /// are primary again when all members of the last primary view are there. Members that restore a view are
    /// promoted when exactly those of the view are there, and taken along by a primary component. Nobody talks
    /// to a member of another group.
    pub fn merge(&mut self) {
        let group = |node: &Node| node.memory.lineage.group().map(str::to_owned);
        let groups: BTreeSet<Option<String>> = self.nodes.iter().map(group).collect();
        for name in groups {
            let of = self.members().filter(|i| group(&self.nodes[*i]) == name).fold(0, |set: Members, i| set | 1 << i);
            self.merge_among(of);
        }
    }

    fn merge_among(&mut self, of: Members) {
        let near = |world: &World, wanted: fn(&Server) -> bool| -> Members {
            in_set(of)
                .filter(|i| {
                    world.isolated != Some(*i) && world.nodes[*i].vm == Vm::Up && wanted(&world.nodes[*i].server)
                })
                .fold(0, |set, i| set | 1 << i)
        };
        let there = near(self, |s| *s != Server::Down);
        let primary = near(self, |s| matches!(s, Server::Live { primary: true, .. }));
        if primary != 0 {
            if there != primary {
                self.form(there);
            }
            return;
        }
        let live = near(self, |s| matches!(s, Server::Live { .. }));
        // Without quorum they find each other all the same.
        for i in in_set(live) {
            if let Server::Live { group, primary: false, .. } = &mut self.nodes[i].server {
                *group = live;
            }
        }
        let last = in_set(there).filter_map(|i| self.nodes[i].saved.clone()).max_by_key(|v| v.seq);
        let Some(last) = last else { return };
        let of_last = self.members().filter(|i| last.has(uuid(*i))).fold(0, |set: Members, i| set | 1 << i);
        let agree = in_set(of_last).all(|i| self.nodes[i].saved.as_ref().is_some_and(|v| v.same_view(&last)));
        let restored = there == of_last && agree;
        let merged = live == there && of_last & !there == 0;
        if there != 0 && (restored || merged) {
            self.form(there);
            if live == 0 {
                self.mark_as_made_primary(there);
            }
        }
    }

    /// Galera says of a view that was restored, or promoted with `pc.bootstrap`, that it is no outcome of its arithmetic.
    pub fn mark_as_made_primary(&mut self, members: Members) {
        for i in in_set(members) {
            let node = &mut self.nodes[i];
            node.saved = node.saved.clone().map(|view| SavedView { bootstrap: true, ..view });
        }
    }
}
