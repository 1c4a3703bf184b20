//! What a member remembers outside the data directory, which a full copy wipes; on disk before it acts on it.
//!
//! Anybody may read it. It changes by the verbs of [`Memory`] alone, each of which is something that happened; the
//! supervisor and the model of the protocol call the same ones.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

use super::lineage::{Incarnation, Lineage};
use super::observation::{Process, ProcessMark};
use crate::galera::gvwstate::{SavedView, ViewId};
use crate::galera::position::Position;
use crate::galera::uuid::Uuid;

/// The contents of a [`Memory`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Remembered {
    /// The incarnations that it knows of. Each of them has had a primary component.
    pub lineage: Lineage,
    /// The incarnation in which it was last synced.
    pub incarnation: Option<Uuid>,
    /// The last position that its storage engine is known to have had on disk.
    pub last_position: Option<Position>,
    /// A join that began and has not ended in Synced.
    pub joining: Option<Joining>,
    /// The boot of its VM in which a full copy began to write its data, until that is known to be on disk: in any other boot
    /// its files may be torn. Nil, which no boot is, where the disk failed to take it.
    #[serde(default)]
    pub copied: Option<Uuid>,
    /// A person goes on from data that a copy may have left torn, as that person was told.
    #[serde(default)]
    pub as_it_is: bool,
    /// The very first bootstrap began here and has not ended in Synced: nobody was served yet, so it may
    /// be tried again.
    pub founding: bool,
    /// The incarnation that begins here once this member is primary; until then there is none.
    #[serde(default)]
    pub beginning: Option<Incarnation>,
    /// The process that this member's `galera-start` started last. Of any other process it does not know how that came
    /// to its component.
    #[serde(default, alias = "bootstrapped")]
    pub started: Option<ProcessMark>,
    /// The process number of the last `mariadbd` whose beginnings are all written down, whoever started it: what the error
    /// log says of that life is no news.
    #[serde(default)]
    pub accounted: Option<i32>,
    /// A view that somebody made primary by hand and that is not recorded: whatever grew out of it is not explained either.
    #[serde(default)]
    pub strange: Option<ViewId>,
    /// A new incarnation was begun here by order, or a saved view restored, and the view that came of it was
    /// not settled yet.
    #[serde(default)]
    pub begun: bool,
    /// The last primary view of which the lineage tells how it came about.
    #[serde(default)]
    pub explained: Option<ViewId>,
    /// This member's UUID in the group in that view. It is a new one with each connection to a group.
    #[serde(default)]
    pub explained_as: Option<Uuid>,
    /// The last primary view that this member was in: Galera removes `gvwstate.dat` on a stop, and a
    /// member must still be told by its UUID in the group.
    #[serde(default)]
    pub last_view: Option<SavedView>,
    /// The last primary view of which all that came before it was applied here.
    #[serde(default)]
    pub caught_up: Option<CaughtUp>,
    /// Whether it left the group gracefully since: the others may have gone on without it.
    #[serde(default)]
    pub left: bool,
    /// Where it stood when it left a primary component of which it was the only member.
    #[serde(default)]
    pub left_alone: Option<Position>,
    /// Where it stood when its server was seen to end in order, with all on disk.
    #[serde(default)]
    pub ended_at: Option<Position>,
    /// The members that said that they leave in order, and were not seen in the component since.
    #[serde(default)]
    pub departed: Vec<String>,
    /// The beginnings that were announced to it since it was last settled.
    #[serde(default)]
    pub announced: Vec<Announced>,
    /// The members, by name and instance id, that were in the component when it was last settled, or are expected since.
    #[serde(default)]
    pub company: Vec<Companion>,
    /// Whether the others voted it out: its data differs from theirs, and at which position does not tell
    /// by how much.
    #[serde(default)]
    pub voted_out: bool,
    /// Whether it saw a primary component that lacks what this member has: the cluster went on without it,
    /// and whatever its own files say, it is not the one to go on from.
    #[serde(default)]
    pub superseded: bool,
    /// Where the primary component stood of which that was seen, where no incarnation tells where both parted.
    #[serde(default)]
    pub passed_at: Option<Position>,
    /// What could not be read, if anything: then nothing is concluded from the rest.
    #[serde(default)]
    pub damaged: Option<String>,
}

/// What a member remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Memory(Remembered);

impl Deref for Memory {
    type Target = Remembered;

    fn deref(&self) -> &Remembered {
        &self.0
    }
}

/// A member that this one was together with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Companion {
    /// Its name.
    pub name: String,
    /// BOSH's instance id.
    pub id: String,
}

/// What another member is about to begin, told to those that are held by the same order before it does. Whether it came
/// about is not known until that member is seen, or a member that has heard more.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Announced {
    /// The incarnation.
    pub id: Uuid,
    /// The member.
    pub by: Companion,
    /// The UUID by which its group knows it, where it is to be promoted in place, with all that are in its component.
    #[serde(default)]
    pub known_as: Option<Uuid>,
    /// The past of what it begins, with that.
    #[serde(default)]
    pub lineage: Lineage,
}

/// A member had applied all that came before a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CaughtUp {
    /// The view.
    pub view: ViewId,
    /// Where the member stood then.
    pub position: Position,
}

/// A join under way: what was allowed when it began.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Joining {
    /// The position that the member had; none if it had no data.
    pub from: Option<Position>,
    /// The newest incarnation of the component that it joins.
    pub incarnation: Option<Uuid>,
    /// The data as it was when it began; none where nothing told it. While it is the same, nothing was written to it.
    #[serde(default)]
    pub print: Option<DataPrint>,
    /// Whether a full copy was seen to write into the data directory: what was there before is gone.
    #[serde(default)]
    pub overwritten: bool,
    /// The boot of the VM in which it began.
    #[serde(default)]
    pub boot: Option<Uuid>,
}

/// The names, sizes and times of all files that hold data, as one number: equal where none of them was touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DataPrint(pub u64);

/// What a clean stop left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanStop {
    /// Where it stands.
    pub position: Position,
    /// Whether it was the only member of a primary component.
    pub alone: bool,
    /// Whether the server was seen to end by itself, without an error: all of that is on disk.
    pub in_order: bool,
}

/// What is known once a member is Synced in a primary component.
#[derive(Debug, Clone)]
pub struct Settled {
    /// The component's past, with this member's own.
    pub lineage: Lineage,
    /// Where this member stands.
    pub position: Position,
    /// The view, where Galera saved one.
    pub view: Option<SavedView>,
    /// This member's UUID in the group.
    pub known_as: Option<Uuid>,
    /// The process number of its `mariadbd`.
    pub process: Option<i32>,
    /// The view before which all is known to be applied, if that was asked of one, and where it stood after that.
    pub applied_before: Option<CaughtUp>,
    /// Who is in the component.
    pub members: Vec<Companion>,
    /// The instance ids that are expected.
    pub expected: Vec<String>,
}

/// What is read.
impl Remembered {
    /// Whether its data may be torn by a full copy that was not on disk when the VM went down, in this boot of it.
    pub fn copy_may_be_torn(&self, boot: Option<Uuid>) -> bool {
        self.copied.is_some() && self.copied != boot
    }

    /// Whether the member remembers ever having been in a cluster.
    pub fn knows_a_cluster(&self) -> bool {
        self.damaged.is_some() || !self.lineage.is_empty() || self.last_position.is_some() || self.joining.is_some()
    }

    /// Whether what it remembers tells which incarnations there were: only then it is a witness of what did not happen.
    pub fn is_witness(&self) -> bool {
        self.damaged.is_none() && !self.lineage.is_empty()
    }

    /// Whether this member's `galera-start` started this process.
    pub fn started(&self, process: &Process) -> bool {
        self.started == Some(process.mark())
    }

    /// Whether it is written down, or known from here, how this process came to its component.
    pub fn accounts_for(&self, process: i32) -> bool {
        self.started.is_some_and(|mark| mark.pid == process) || self.accounted == Some(process)
    }

    /// Whether the lineage tells how a primary view came about in which this member is known by this UUID. A view that
    /// grew out of one that was explained is, by Galera's own arithmetic; one that somebody made primary with
    /// `pc.bootstrap` is not, nor is any in which this member is by another connection to a group: it came there by a
    /// join that was judged, or by somebody's hand.
    pub fn explains(&self, process: Option<&Process>, view: Option<&SavedView>, known_as: Option<Uuid>) -> bool {
        let ours = process.is_some_and(|p| self.started(p));
        let same_connection = known_as.is_some() && self.explained_as == known_as;
        // A memory that was written before this was kept tells it by the view.
        let before = self.explained_as.is_none()
            && known_as.is_some_and(|uuid| self.last_view.as_ref().is_some_and(|v| v.my_uuid == uuid));
        let accompanied = view.is_none_or(|v| v.members.len() > 1);
        match view.map_or(self.strange.is_some(), |v| self.strange_to(v)) {
            true => ours && view.is_none_or(|v| self.began_or_restored(v)),
            false => same_connection || before || (ours && (self.begun || self.joining.is_some() && accompanied)),
        }
    }

    /// Whether this view, or one that it grew out of, was made primary by hand, and nobody has recorded that.
    pub fn strange_to(&self, view: &SavedView) -> bool {
        self.promoted_by_hand(view) || self.strange.is_some()
    }

    /// Whether this view is what was begun from here: by an order, or as the restore of the view before it, to which Galera
    /// gives the same sign as to `pc.bootstrap`. A member that restores explains no promotion that somebody does beside it.
    fn began_or_restored(&self, view: &SavedView) -> bool {
        let has = |view: &SavedView, all: &SavedView| all.members.iter().all(|m| view.has(*m));
        // What followed a promotion by hand is no restore, though the view is the last one by then.
        let restored =
            self.strange.is_none() && self.last_view.as_ref().is_some_and(|last| has(view, last) && has(last, view));
        self.begun && (self.beginning.is_some() || restored)
    }

    /// The beginning that was announced, where this view is what came of it: who was to be promoted is in it, and this member
    /// was promoted with it.
    fn promoted_as_announced(&self, view: &SavedView) -> Option<&Announced> {
        let of_it = |a: &&Announced| a.known_as.is_some_and(|uuid| view.has(uuid)) && a.lineage.extends(&self.lineage);
        self.announced.iter().find(of_it)
    }

    /// Whether this view was made primary with `pc.bootstrap`, and nobody has recorded that.
    fn promoted_by_hand(&self, view: &SavedView) -> bool {
        view.bootstrap && self.explained != Some(view.id())
    }

    /// Whether a stopped member came by its last primary view in a way that is known: it was begun or joined from here,
    /// or was settled in.
    pub fn explains_saved(&self, view: &SavedView) -> bool {
        if self.strange_to(view) {
            return self.began_or_restored(view);
        }
        let joined = self.joining.is_some() && view.members.len() > 1;
        // A memory that was written before this was kept tells it by the view.
        let before = self.explained_as.is_none() && self.last_view.as_ref().is_some_and(|v| v.my_uuid == view.my_uuid);
        self.begun || joined || before || self.explained == Some(view.id()) || self.explained_as == Some(view.my_uuid)
    }

    /// The lineage of the component that this member is in, being primary: what began here is part of it from the
    /// moment at which it is.
    pub fn lineage_as_primary(&self) -> Lineage {
        self.beginning.iter().fold(self.lineage.clone(), |lineage, begun| lineage.with(begun.clone()))
    }

    /// The incarnation to which data at this position belongs. What was applied during a join came
    /// from the component that was joined, even if the member never became Synced there.
    pub fn incarnation_at(&self, position: Position) -> Option<Uuid> {
        match &self.joining {
            Some(joining) if joining.from != Some(position) => joining.incarnation.or(self.incarnation),
            _ => self.incarnation,
        }
    }

    /// The furthest position that this member is known to have had: it, or the cluster that it was part of, had
    /// committed so much.
    pub fn furthest(&self) -> Option<Position> {
        let from = self.joining.as_ref().and_then(|joining| joining.from);
        match (self.last_position, from) {
            (Some(last), Some(from)) if last.history() == from.history() && from.seqno() > last.seqno() => Some(from),
            (last, from) => last.or(from),
        }
    }

    /// A position that this member had, and that what was found on its disk does not reach.
    pub fn beyond(&self, found: Position) -> Option<Position> {
        self.furthest().filter(|had| had.history() == found.history() && had.seqno() > found.seqno())
    }
}

/// What happens.
impl Memory {
    /// It cannot be read.
    pub fn torn(why: String) -> Memory {
        Memory(Remembered { damaged: Some(why), ..Remembered::default() })
    }

    /// The very first cluster is to begin here.
    pub fn found(&mut self) {
        self.0.founding = true;
    }

    /// A process was started, in a component that it is to make by itself, or to join.
    pub fn starts(&mut self, begins: bool) {
        // Galera marks a restored view like one that somebody made primary by hand; this one is ours.
        self.0.begun = begins;
        self.0.started = None;
        // With another process it is promoted by none of these orders any more: a view that is restored has the same members.
        self.0.announced.iter_mut().for_each(|announced| announced.known_as = None);
    }

    /// The process that was started.
    pub fn runs(&mut self, process: ProcessMark) {
        self.0.started = Some(process);
    }

    /// A new incarnation is to begin here, as soon as this member is primary, and to go on from this past. What it was
    /// before that is over then.
    /// `as_it_is`: its data may be torn, and a person was told so.
    pub fn intend(&mut self, incarnation: Incarnation, past: Lineage, as_it_is: bool) {
        (self.0.beginning, self.0.lineage) = (Some(incarnation), past);
        (self.0.begun, self.0.as_it_is) = (false, as_it_is);
    }

    /// It is asked of Galera to make this member's component primary.
    pub fn promotes(&mut self) {
        self.0.begun = true;
    }

    /// The data of a join that broke off was found to be what it was, and looking at it has touched it.
    pub fn reprint(&mut self, print: DataPrint) {
        if let Some(joining) = &mut self.0.joining {
            joining.print = Some(print);
        }
    }

    /// Another member is about to begin, alone at first: should it be lost before anybody joins it, this is all that tells.
    pub fn hear(&mut self, beginning: Announced) {
        // Whoever is ordered anew has not begun by the order before, or remembers it: one for each member is enough, however
        // often a recovery is tried.
        self.0.announced.retain(|known| known.by != beginning.by);
        self.0.announced.push(beginning);
    }

    /// The order to begin is over, and this member was never primary by it: there is no such incarnation.
    pub fn desist(&mut self) {
        (self.0.beginning, self.0.begun) = (None, false);
    }

    /// Somebody began a component with this member by hand, and the process that it did so with ended before that was
    /// written down.
    pub fn record(&mut self, incarnation: Incarnation, process: Option<i32>, saved: Option<&SavedView>) {
        self.0.incarnation = Some(incarnation.id);
        (self.0.accounted, self.0.strange) = (process, None);
        if let Some(view) = saved {
            (self.0.explained, self.0.explained_as) = (Some(view.id()), Some(view.my_uuid));
        }
        self.0.lineage = self.0.lineage.with(incarnation);
    }

    /// This member is primary by its own beginning, in a view in which it is known by this UUID.
    pub fn began_in(&mut self, view: Option<&SavedView>, known_as: Option<Uuid>) {
        if self.0.beginning.is_some() {
            (self.0.explained, self.0.explained_as) = (view.map(SavedView::id), known_as);
            self.began();
        }
    }

    /// Its server has ended, and it is known where it stands. It was begun, and may have been primary for a moment that nobody
    /// saw: then there is such an incarnation. An order that was not begun is over, and so is a restore.
    pub fn rested(&mut self, saved: Option<&SavedView>) {
        // It may be a later view than the last one that was seen here.
        if let Some(view) = saved {
            self.was_in(view.clone());
        }
        if self.begun {
            self.began();
        }
        self.desist();
    }

    /// This member is primary by its own beginning, or was for a moment.
    pub fn began(&mut self) {
        let Some(incarnation) = self.0.beginning.take() else { return };
        (self.0.incarnation, self.0.strange) = (Some(incarnation.id), None);
        self.0.lineage = self.0.lineage.with(incarnation);
        self.0.joining = None;
        self.0.begun = true;
        // From now on the cluster has what it has.
        if std::mem::take(&mut self.0.as_it_is) {
            self.on_disk();
        }
        self.forgive();
    }

    /// A join of a component with this lineage begins, from here; none where the position is not known. From
    /// now on the data may be replaced, and this says that it was judged.
    pub fn begin_join(
        &mut self,
        from: Option<Position>,
        lineage: &Lineage,
        print: Option<DataPrint>,
        boot: Option<Uuid>,
    ) {
        let memory = &mut self.0;
        memory.strange = None;
        // What an earlier join brought stays part of what was joined then.
        memory.incarnation = from.and_then(|position| memory.incarnation_at(position)).or(memory.incarnation);
        let earlier = memory.joining.take();
        // Where it is known where the data stands, an earlier copy was complete, and what broke off came after it.
        let overwritten = from.is_none() && earlier.as_ref().is_some_and(|joining| joining.overwritten);
        let from = from.or(earlier.and_then(|joining| joining.from));
        memory.joining = Some(Joining { from, incarnation: lineage.newest().map(|i| i.id), print, overwritten, boot });
        if !lineage.is_empty() {
            // The join was judged: what this member has is of the past that both lineages have in common.
            let own = memory.incarnation.filter(|id| lineage.has(*id));
            memory.incarnation = own.or_else(|| lineage.common_with(&memory.lineage).last().map(|i| i.id));
            // Whoever has transactions of an incarnation must know how it began, and what is received from
            // now on is of this one.
            memory.lineage = lineage.clone();
        }
        memory.beginning = None;
    }

    /// A full copy was seen to write into the data directory, in this boot of the VM. Nobody syncs what the scripts of a copy
    /// write, but the storage engine its own files.
    pub fn overwritten(&mut self, boot: Option<Uuid>) {
        if let Some(joining) = &mut self.0.joining {
            joining.overwritten = true;
            self.0.copied = boot.or(Some(Uuid::NIL));
        }
    }

    /// Galera found this member to be ahead of the component that it joined, and zeroed what told its position: that is
    /// no transfer that broke off.
    pub fn join_refused(&mut self) {
        self.0.joining = None;
    }

    /// A component that is joined has this member among its own: whatever becomes of the others before it is settled, it
    /// came there by its join.
    pub fn taken_in(&mut self, view: &SavedView) {
        if self.0.joining.is_some() && view.members.len() > 1 && !view.bootstrap {
            self.0.explained_as = Some(view.my_uuid);
        }
    }

    /// All that was copied is on disk; or a person goes on from it, whatever it is.
    pub fn on_disk(&mut self) {
        self.0.copied = None;
    }

    /// The disk failed to take what was copied. The kernel tells that once, and counts it as written from then on.
    pub fn not_on_disk(&mut self) {
        self.0.copied = Some(Uuid::NIL);
    }

    /// The join that was under way brought this member into its component: from now on it takes part.
    pub fn joined(&mut self) {
        if let Some(incarnation) = self.0.joining.take().and_then(|joining| joining.incarnation) {
            self.0.incarnation = Some(incarnation);
        }
    }

    /// This member was in this primary view, and has not left it: Galera removes its file when it does.
    pub fn was_in(&mut self, view: SavedView) {
        if self.promoted_by_hand(&view) {
            let announced = self.promoted_as_announced(&view).cloned();
            let known = self.began_or_restored(&view) || announced.is_some();
            if let Some(beginning) = announced {
                (self.0.lineage, self.0.incarnation) = (beginning.lineage, Some(beginning.id));
                self.0.explained_as = Some(view.my_uuid);
            }
            match known {
                true => self.0.explained = Some(view.id()),
                false => self.0.strange = Some(view.id()),
            }
        }
        self.0.last_view = Some(view);
        self.0.left = false;
    }

    /// All that follows Synced is known: the past of this component is this member's own.
    pub fn settle(&mut self, settled: Settled) {
        let Settled { lineage, position, view, known_as, process, applied_before, members, expected } = settled;
        let memory = &mut self.0;
        (memory.begun, memory.beginning) = (false, None);
        memory.explained = view.as_ref().map(SavedView::id);
        memory.explained_as = known_as;
        (memory.accounted, memory.strange) = (process, None);
        memory.incarnation = lineage.newest().map(|i| i.id);
        memory.lineage = lineage;
        // Never forward here: what is committed at this moment is not known to be on disk yet.
        if memory.last_position.is_some_and(|last| last.history() != position.history())
            || memory.beyond(position).is_some()
        {
            memory.last_position = None;
        }
        memory.announced.clear();
        (memory.joining, memory.founding, memory.damaged) = (None, false, None);
        memory.departed.retain(|name| !members.iter().any(|m| m.name == *name));
        // Whoever is expected no more was left behind by a primary component: it has all that it needs.
        let away = std::mem::take(&mut memory.company).into_iter().filter(|c| expected.contains(&c.id));
        let away: Vec<Companion> = away.filter(|c| members.iter().all(|m| m.id != c.id)).collect();
        memory.company = members.into_iter().chain(away).collect();
        if let Some(view) = view {
            // Of another view it says nothing: what came between both may still wait to be applied.
            if let Some(applied) = applied_before.filter(|applied| applied.view == view.id()) {
                memory.caught_up = Some(applied);
            }
            self.was_in(view);
        }
        self.forgive();
    }

    /// Its storage engine had this on disk a moment ago, in a component whose past is known.
    pub fn stood(&mut self, position: Position) {
        self.0.last_position = Some(position);
    }

    /// It leaves a component with quorum, or one of which nothing is known: the others may go on without it.
    pub fn leave(&mut self) {
        self.0.left = true;
    }

    /// Somebody stopped it in order behind its supervisor's back: the others may have gone on.
    pub fn left_unseen(&mut self) {
        self.0.left = self.0.last_view.is_some();
    }

    /// It has stopped, and Galera's file says where.
    pub fn stopped(&mut self, stop: CleanStop) {
        let memory = &mut self.0;
        memory.left_alone = stop.alone.then_some(stop.position);
        memory.ended_at = stop.in_order.then_some(stop.position);
        // Only forward: a member that never caught up does not forget what it had.
        let last = memory.last_position;
        let further = last.is_none_or(|p| p.history() != stop.position.history() || p.seqno() < stop.position.seqno());
        if further && memory.joining.is_none() {
            memory.last_position = Some(stop.position);
        }
    }

    /// It had all up to here, of the history that it is on, whatever its disk kept of that.
    pub fn had(&mut self, position: Position) {
        if self.beyond(position).is_none() {
            self.0.last_position = Some(position);
        }
    }

    /// The others voted it out.
    pub fn vote_out(&mut self) {
        self.0.voted_out = true;
    }

    /// A primary component was seen that lacks what this member has; where no incarnation tells at which position
    /// both parted, where that component stood.
    pub fn supersede(&mut self, passed_at: Option<Position>) {
        if self.0.damaged.is_none() {
            self.0.superseded = true;
            self.0.passed_at = self.0.passed_at.or(passed_at);
        }
    }

    /// Another member has left in order.
    pub fn part_with(&mut self, member: &str) {
        if !self.0.departed.iter().any(|d| d == member) {
            self.0.departed.push(member.to_owned());
        }
    }

    /// Its data was given up, or set aside. Of the cluster it still knows.
    pub fn abandon(&mut self) {
        let before = std::mem::take(&mut self.0);
        self.0 = Remembered {
            lineage: before.lineage,
            announced: before.announced,
            company: before.company,
            ..Remembered::default()
        };
    }

    /// Anew, for one that cannot be read: what an earlier copy of it told of the past is still so. Of how it left, or was
    /// left, nothing is known any more, and whether it ever heard of a later bootstrap neither; so whoever comes with data
    /// is told from it by an incarnation that begins before everything.
    pub fn mended(earlier: Option<&Remembered>) -> Memory {
        let earlier = earlier.cloned().unwrap_or_default();
        Memory(Remembered {
            lineage: earlier.lineage,
            incarnation: earlier.incarnation,
            last_position: earlier.last_position,
            // Of the process and the connection to a group that these name, they stay true.
            started: earlier.started,
            accounted: earlier.accounted,
            explained: earlier.explained,
            explained_as: earlier.explained_as,
            copied: earlier.copied,
            strange: earlier.strange,
            announced: earlier.announced,
            company: earlier.company,
            left: true,
            ..Remembered::default()
        })
    }

    /// Whatever kept it from being the one to go on from is over: the cluster goes on from it, or it has the cluster's
    /// own data.
    fn forgive(&mut self) {
        (self.0.voted_out, self.0.superseded, self.0.passed_at) = (false, false, None);
    }
}

/// Situations write what they want to be remembered.
#[cfg(test)]
impl From<Remembered> for Memory {
    fn from(remembered: Remembered) -> Memory {
        Memory(remembered)
    }
}

#[cfg(test)]
impl std::ops::DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut Remembered {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::situation::{at, lineage, view};

    #[test]
    fn a_member_that_remembers_anything_knows_a_cluster() {
        let known = |change: fn(&mut Remembered)| {
            let mut remembered = Remembered::default();
            change(&mut remembered);
            remembered.knows_a_cluster()
        };
        assert!(!known(|_| {}), "a new disk");
        assert!(known(|r| r.damaged = Some("torn".into())), "what it was cannot be told");
        assert!(known(|r| r.lineage = lineage(&[(1, 0)])));
        assert!(known(|r| r.last_position = Some(at(7))));
    }

    #[test]
    fn h13_what_a_join_brought_stays_part_of_what_was_joined() {
        let id = |n| Some(Uuid::from_u128(n));
        let mut memory =
            Memory::from(Remembered { lineage: lineage(&[(1, 0)]), incarnation: id(1), ..Remembered::default() });
        memory.begin_join(Some(at(7)), &lineage(&[(1, 0), (2, 7)]), None, None);
        assert_eq!(memory.incarnation_at(at(7)), id(1), "nothing came yet");
        assert_eq!(memory.incarnation_at(at(11)), id(2), "it caught up by IST, and was killed");
        assert_eq!(memory.lineage.incarnations().len(), 2);
        memory.begin_join(Some(at(11)), &lineage(&[(1, 0), (2, 7)]), None, None);
        assert_eq!(memory.incarnation_at(at(11)), id(2), "and once more");
        memory.begin_join(None, &lineage(&[(1, 0), (2, 7), (3, 20)]), None, None);
        assert_eq!(memory.joining.as_ref().unwrap().from, Some(at(11)), "a transfer was interrupted");
        assert_eq!(memory.incarnation_at(at(30)), id(3));
    }

    #[test]
    fn only_a_person_who_was_told_goes_on_from_what_a_copy_may_have_torn() {
        let torn = || -> Memory { Remembered { copied: Some(Uuid::NIL), ..Remembered::default() }.into() };
        let next = || lineage(&[(1, 0)]).newest().cloned().unwrap();
        for (as_it_is, copied, why) in [(true, None, "a person"), (false, Some(Uuid::NIL), "a proof, or a promotion")] {
            let mut memory = torn();
            memory.intend(next(), Lineage::default(), as_it_is);
            assert_eq!(memory.copied, Some(Uuid::NIL), "{why}: it has not begun");
            memory.began_in(None, None);
            assert_eq!(memory.copied, copied, "{why}");
        }
    }

    #[test]
    fn a_copy_that_is_begun_again_is_of_the_boot_in_which_it_writes() {
        let (one, other) = (Some(Uuid::from_u128(1)), Some(Uuid::from_u128(2)));
        let mut memory = Memory::default();
        memory.begin_join(None, &lineage(&[(1, 0)]), None, one);
        memory.overwritten(one);
        memory.begin_join(None, &lineage(&[(1, 0)]), None, other);
        assert!(memory.joining.as_ref().unwrap().overwritten, "what it had is gone");
        memory.overwritten(other);
        memory.begin_join(Some(at(9)), &lineage(&[(1, 0)]), None, other);
        assert!(!memory.joining.as_ref().unwrap().overwritten, "the copy was complete, and what followed it broke off");
        memory.joined();
        assert_eq!(memory.copied, other);
        memory.overwritten(one);
        assert_eq!(memory.copied, other, "no join, no copy");
        memory.on_disk();
        assert_eq!(memory.copied, None);
    }

    #[test]
    // A12: what was applied before one view says nothing of the next one, whatever its size.
    fn a12_only_the_view_that_was_asked_of_is_caught_up_with() {
        let (asked, next) = (view(0, 7, &[0, 1, 2]), view(0, 9, &[0, 1, 3]));
        let (asked, next) = (asked.present().unwrap(), next.present().unwrap());
        for (now, caught_up) in [(asked, true), (next, false)] {
            let mut memory = Memory::default();
            memory.settle(Settled {
                lineage: lineage(&[(1, 0)]),
                position: at(9),
                view: Some(now.clone()),
                known_as: None,
                process: None,
                applied_before: Some(CaughtUp { view: asked.id(), position: at(7) }),
                members: Vec::new(),
                expected: Vec::new(),
            });
            // Where it stood after it was asked, not where it was last looked at.
            let claims = memory.caught_up.map(|c| (c.view, c.position)) == Some((now.id(), at(7)));
            assert_eq!(claims, caught_up);
        }
    }

    #[test]
    // What Galera's file claimed outlives the file, and nothing takes it back but a component that the member settles in.
    fn what_a_member_had_is_remembered_beyond_what_its_disk_has() {
        let mut memory: Memory = Remembered { last_position: Some(at(30)), ..Remembered::default() }.into();
        assert_eq!(memory.beyond(at(35)), None);
        memory.had(at(39));
        memory.had(at(20));
        assert_eq!((memory.beyond(at(35)), memory.beyond(at(39))), (Some(at(39)), None));
    }

    #[test]
    fn q11_who_joins_another_branch_forgets_its_own() {
        let id = |n| Some(Uuid::from_u128(n));
        for component in [vec![(1, 0), (3, 7)], vec![(1, 0)], vec![(1, 0), (3, 7), (4, 9)]] {
            let own = lineage(&[(1, 0), (2, 7)]);
            let mut memory = Memory::from(Remembered { lineage: own, incarnation: id(2), ..Remembered::default() });
            let component = lineage(&component);
            memory.begin_join(Some(at(7)), &component, None, None);
            assert_eq!((memory.incarnation_at(at(7)), &memory.lineage), (id(1), &component));
            assert_eq!(memory.incarnation_at(at(8)), component.newest().map(|i| i.id));
        }
    }
}
