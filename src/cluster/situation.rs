//! Situations for table tests: a healthy member, and the words that make it another one.

use super::hold::Hold;
use super::lineage::{Incarnation, Lineage};
use super::maintenance::{Kept, Notice, Says, Scope, Stance};
use super::member::{Cluster, Member};
use super::memory::{CaughtUp, Memory, Remembered};
use super::observation::*;
use super::standing::{Provenance, Standing, Unknown};
use super::start::AutoRecovery;
use crate::galera::grastate::Grastate;
use crate::galera::gvwstate::SavedView;
use crate::galera::log_lines::evidence;
use crate::galera::position::Position;
use crate::galera::uuid::Uuid;
use crate::galera::wsrep::{ClusterStatus, LocalState, Wsrep, tests::synced};

/// The history of all situations that do not say otherwise.
pub const H: Uuid = Uuid::from_u128(0x746e46f38f7611e79c1ca220eabab4ba);
/// The order that holds, where one does.
pub const ORDER: Uuid = Uuid::from_u128(7);

/// A cluster of so many members.
pub fn cluster(members: u32) -> Cluster {
    Cluster { name: "galera".into(), members: (0..members).map(member).collect(), arbitrators: Vec::new() }
}

/// `mysql/N`; `mysql/0` is the designated first.
pub fn member(n: u32) -> Member {
    Member {
        name: format!("mysql/{n}"),
        id: format!("id-{n}"),
        index: n,
        az: None,
        address: format!("10.0.0.{n}"),
        bootstrap: n == 0,
    }
}

/// A position in [`H`].
pub fn at(seqno: u64) -> Position {
    Position::new(H, seqno).unwrap()
}

/// An observation of `mysql/N` of three, whose `mariadbd` is down and which waits, at this position.
pub fn down(n: u32, seqno: u64) -> Observation {
    let position = Standing::At { position: at(seqno), from: Provenance::Recovered };
    Observation {
        member: Identity {
            name: format!("mysql/{n}"),
            id: format!("id-{n}"),
            az: None,
            cluster: "galera".into(),
            expects: cluster(3).members.into_iter().map(|m| m.name).collect(),
            version: "0".into(),
            boot_id: "b".into(),
            auto_recovery: Some(AutoRecovery::Provable),
        },
        at: String::new(),
        supervisor: SupervisorSight::Present(Box::new(Supervisor {
            phase: Phase::Waiting,
            phase_seconds: 60,
            detail: "waits".into(),
            position: position.clone(),
            hold: None,
            last_outcome: None,
            refused: None,
            child: None,
            view_seconds: None,
            unsettled: None,
            stance: Stance::default(),
            fell_back: None,
            lacks_tables: Vec::new(),
            unfound: Some(0),
        })),
        process: None,
        process_seconds: None,
        deaths: Deaths::default(),
        log: Vec::new(),
        ports: Ports::default(),
        sql: Sql::Closed { why: "down".into() },
        stalled: None,
        missing_tables: Vec::new(),
        kept_aside: Vec::new(),
        wsrep: None,
        disk: Disk {
            unreadable: None,
            initialised: true,
            user_databases: true,
            grastate: File::Present(Grastate { version: "2.1".into(), uuid: H, seqno: -1, safe_to_bootstrap: false }),
            saved_view: File::Absent,
            cache_history: Some(H),
        },
        host: Host::default(),
        peers: Vec::new(),
        arbitrators: Vec::new(),
        memory: remembering(&[(1, 0)]),
        maintenance: Kept::default(),
        going_for_good: false,
        position,
        applied_all: false,
    }
}

/// The same, of a cluster of so many.
pub fn down_of(members: u32, n: u32, seqno: u64) -> Observation {
    let mut o = down(n, seqno);
    o.member.expects = cluster(members).members.into_iter().map(|m| m.name).collect();
    o
}

/// What a member remembers that was last in the newest of these incarnations, as (id, began at).
pub fn remembering(incarnations: &[(u128, u64)]) -> Memory {
    let lineage = lineage(incarnations);
    Remembered { incarnation: lineage.newest().map(|i| i.id), lineage, ..Remembered::default() }.into()
}

/// A lineage of these incarnations, as (id, began at).
pub fn lineage(incarnations: &[(u128, u64)]) -> Lineage {
    incarnations.iter().zip(1..).fold(Lineage::default(), |lineage, ((id, began_at), number)| {
        lineage.with(Incarnation {
            number,
            id: Uuid::from_u128(*id),
            history: H,
            began_at: *began_at,
            by: "mysql/0".into(),
            at: String::new(),
            proof: String::new(),
            left_out: Vec::new(),
            group: None,
        })
    })
}

/// A member without any data.
pub fn empty(n: u32) -> Observation {
    let mut o = down(n, 0);
    o.position = Standing::Empty;
    o.memory = Memory::default();
    o.disk = Disk {
        unreadable: None,
        initialised: true,
        user_databases: false,
        grastate: File::Absent,
        saved_view: File::Absent,
        cache_history: None,
    };
    o
}

/// A member in a primary component of these members.
pub fn primary(n: u32, seqno: u64, members: &[u32]) -> Observation {
    let mut o = running(n, seqno);
    let mut wsrep = synced(&H.to_string(), seqno);
    wsrep.cluster_size = u32::try_from(members.len()).unwrap();
    wsrep.gcomm_uuid = Some(group_uuid(n));
    wsrep.incoming_addresses = members.iter().map(|m| format!("10.0.0.{m}:3306")).collect::<Vec<_>>().join(",");
    o.wsrep = Some(wsrep);
    o = o.remembers(remembering(&[(1, 0)]));
    o.sql = Sql::Open { milliseconds: 1 };
    o.position = Standing::At { position: at(seqno), from: Provenance::LiveSql };
    o
}

/// A member whose `mariadbd` runs with SQL closed.
pub fn running(n: u32, seqno: u64) -> Observation {
    let mut o = down(n, seqno);
    o.process = Some(Process {
        pid: 9,
        started: 1,
        new_cluster: false,
        recovering: false,
        start_position: Some(at(seqno)),
        group: None,
        state_transfer: false,
    });
    o.position = Standing::At { position: at(seqno), from: Provenance::StartArgument };
    o.phase(Phase::Starting)
}

/// A member that waits at start-up for a primary component, in a component of so many members.
pub fn wedged(n: u32, seqno: u64, group: u32) -> Observation {
    running(n, seqno).with(|o| {
        o.process_seconds = Some(600);
        o.ports.galera = true;
        o.log = evidence(&format!(
            "[Warning] WSREP: no nodes coming from prim view, prim not possible\n[Note] WSREP: New COMPONENT: primary = no, bootstrap = no, my_idx = 0, memb_num = {group}"
        ));
    })
}

/// A member that lives without quorum, in a component of so many members.
pub fn non_primary(n: u32, seqno: u64, group: u32) -> Observation {
    let o = primary(n, seqno, &[n]).state(ClusterStatus::NonPrimary, LocalState::Initialized);
    o.wsrep(|w| w.cluster_size = group)
}

/// The UUID by which a group knows `mysql/N`.
pub fn group_uuid(n: u32) -> Uuid {
    Uuid::from_u128(u128::from(n + 1) << 96 | 0x8000 << 48 | 1)
}

/// A saved view of number `seq` with these members.
pub fn view(me: u32, seq: u32, members: &[u32]) -> File<SavedView> {
    File::Present(SavedView {
        my_uuid: group_uuid(me),
        seq,
        representative: group_uuid(0),
        members: members.iter().copied().map(group_uuid).collect(),
        bootstrap: false,
    })
}

/// A notice that maintenance is on, by alice.
pub fn maintained(scope: Scope, epoch: u64) -> Notice {
    let says = Says::On { owner: "alice".into(), reason: "a new switch".into(), since: 1000, until: 8200 };
    Notice { epoch, says, scope, undone: Vec::new() }
}

/// A notice that it is over.
pub fn maintenance_over(scope: Scope, epoch: u64) -> Notice {
    Notice { epoch, says: Says::Off { by: "alice".into(), at: 2000 }, scope, undone: Vec::new() }
}

/// The words that make one situation of another.
impl Observation {
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Observation)) -> Observation {
        change(&mut self);
        self
    }

    /// It keeps these notices.
    pub(crate) fn notices(self, notices: &[Notice]) -> Observation {
        self.with(|o| o.maintenance = Kept { notices: notices.to_vec().into(), unreadable: None, now: 2000 })
    }

    /// The whole cluster is in maintenance.
    pub(crate) fn maintained(self) -> Observation {
        self.notices(&[maintained(Scope::Cluster, 1)])
    }

    /// Its supervisor was let start it, or has so many looks left.
    pub(crate) fn stance(mut self, permit: Option<&str>, looks_left: u8) -> Observation {
        if let SupervisorSight::Present(supervisor) = &mut self.supervisor {
            supervisor.stance = Stance { permit: permit.map(str::to_owned), looks_left };
        }
        self
    }

    pub(crate) fn wsrep(mut self, change: impl FnOnce(&mut Wsrep)) -> Observation {
        change(self.wsrep.as_mut().unwrap());
        self
    }

    /// One of so many members.
    pub(crate) fn of(self, members: u32) -> Observation {
        self.with(|o| o.member.expects = cluster(members).members.into_iter().map(|m| m.name).collect())
    }

    /// What its connects to these peers met, on both ports.
    pub(crate) fn finds(self, peers: &[u32], answer: PortAnswer) -> Observation {
        let found = |n: &u32| PeerPorts { name: format!("mysql/{n}"), agent: answer, galera: answer };
        self.with(|o| o.peers.extend(peers.iter().map(found)))
    }

    /// It was stopped cleanly, and did not leave last.
    pub(crate) fn stopped(self) -> Observation {
        self.safe().with(|o| {
            if let File::Present(grastate) = &mut o.disk.grastate {
                grastate.safe_to_bootstrap = false;
            }
        })
    }

    pub(crate) fn phase(mut self, phase: Phase) -> Observation {
        if let SupervisorSight::Present(supervisor) = &mut self.supervisor {
            supervisor.phase = phase;
        }
        self
    }

    pub(crate) fn held(self) -> Observation {
        let hold = Hold {
            order: ORDER,
            owner: "bootstrap errand on mysql/0".into(),
            reason: "recovery".into(),
            seconds: 60,
            bootstrapped: false,
            started: false,
        };
        self.held_as(hold, Phase::Held)
    }

    pub(crate) fn held_as(mut self, hold: Hold, phase: Phase) -> Observation {
        if let SupervisorSight::Present(supervisor) = &mut self.supervisor {
            supervisor.phase = phase;
            supervisor.hold = Some(hold);
        }
        self
    }

    /// The hold that it has is of this order.
    pub(crate) fn hold_by(&mut self, order: Uuid) {
        if let SupervisorSight::Present(supervisor) = &mut self.supervisor
            && let Some(hold) = &mut supervisor.hold
        {
            hold.order = order;
        }
    }

    /// Galera's view has been the same for so long.
    pub(crate) fn view_for(mut self, seconds: u64) -> Observation {
        if let SupervisorSight::Present(supervisor) = &mut self.supervisor {
            supervisor.view_seconds = Some(seconds);
        }
        self
    }

    /// Held, with `mariadbd` running.
    pub(crate) fn held_running(self) -> Observation {
        self.held().phase(Phase::Serving)
    }

    /// Its position was looked for so often in vain.
    pub(crate) fn unfound_after(self, times: u32) -> Observation {
        self.unknown(Unknown::Failed).with(|o| {
            if let SupervisorSight::Present(supervisor) = &mut o.supervisor {
                supervisor.unfound = Some(times);
            }
        })
    }

    pub(crate) fn without_supervisor(mut self) -> Observation {
        self.supervisor = SupervisorSight::Absent { why: "not there".into() };
        self
    }

    /// Its position is only a bound, as after a crash in a DDL.
    pub(crate) fn bounded(mut self) -> Observation {
        let at_most = self.position.position();
        self.position = Standing::Unknown { why: Unknown::NoPosition, detail: "a crash in a DDL".into(), at_most };
        self
    }

    pub(crate) fn unknown(mut self, why: Unknown) -> Observation {
        self.position = Standing::unknown(why, "no idea");
        self
    }

    pub(crate) fn saved(mut self, view: File<SavedView>) -> Observation {
        self.disk.saved_view = view;
        self
    }

    pub(crate) fn safe(mut self) -> Observation {
        let position = self.position.position().unwrap();
        self.position = Standing::At { position, from: Provenance::CleanStop };
        let seqno = i64::try_from(position.seqno()).unwrap();
        self.memory.left_alone = Some(position);
        self.disk.grastate = File::Present(Grastate { version: "2.1".into(), uuid: H, seqno, safe_to_bootstrap: true });
        self
    }

    pub(crate) fn of_history(mut self, history: u128) -> Observation {
        let seqno = self.position.position().unwrap().seqno();
        let position = Position::new(Uuid::from_u128(history), seqno).unwrap();
        self.position = Standing::At { position, from: Provenance::Recovered };
        self
    }

    pub(crate) fn state(mut self, cluster_status: ClusterStatus, local_state: LocalState) -> Observation {
        if let Some(wsrep) = &mut self.wsrep {
            wsrep.cluster_status = cluster_status;
            wsrep.local_state = local_state;
            wsrep.ready = cluster_status == ClusterStatus::Primary;
            wsrep.local_state_comment = format!("{local_state:?}");
        }
        self
    }

    /// It was seen to have applied all that came before its saved view.
    pub(crate) fn caught_up(mut self) -> Observation {
        let view = self.disk.saved_view.present().unwrap().id();
        self.memory.caught_up = self.position.position().map(|position| CaughtUp { view, position });
        self
    }

    /// Of one that lives, also how it came to its component.
    pub(crate) fn remembers(mut self, memory: Memory) -> Observation {
        self.memory = memory;
        self.memory.explained_as = self.wsrep.as_ref().and_then(|w| w.gcomm_uuid);
        self
    }

    /// It does not know how it came to its component: somebody put it there by hand.
    pub(crate) fn unexplained(self) -> Observation {
        self.with(|o| o.memory.explained_as = None)
    }

    /// All that its group had delivered when it was asked is applied here.
    pub(crate) fn applied_all(self) -> Observation {
        self.with(|o| o.applied_all = true)
    }
}

/// Seen by an observer.
pub fn seen(o: Observation) -> MemberView {
    let n = o.member.name.trim_start_matches("mysql/").parse().unwrap();
    MemberView { member: member(n), sight: Sight::Seen(Box::new(o)), galera_port: None, relayed_by: None }
}

/// Not reached from here; another member passed its word on.
pub fn relayed(o: Observation, by: u32) -> MemberView {
    MemberView { relayed_by: Some(member(by).name), galera_port: Some(PortAnswer::Silent), ..seen(o) }
}

/// Not answering at all.
pub fn silent(n: u32) -> MemberView {
    MemberView {
        member: member(n),
        sight: Sight::Silent("timed out".into()),
        galera_port: Some(PortAnswer::Silent),
        relayed_by: None,
    }
}

/// A VM that answers, and on which nothing of ours runs.
pub fn refused(n: u32) -> MemberView {
    MemberView { sight: Sight::Refused, galera_port: Some(PortAnswer::Refused), ..silent(n) }
}
