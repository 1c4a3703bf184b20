//! A cluster as one observer sees it, out of what agents sent, and everything that production concludes from that.

use std::time::{Duration, UNIX_EPOCH};

use mariadb_galera::cluster::arbitration::arbitrate;
use mariadb_galera::cluster::bootstrap::{Evidence, Fence, proof, suggested_force};
use mariadb_galera::cluster::diagnosis::diagnose;
use mariadb_galera::cluster::diagnosis::page::{Document, Page, Paint};
use mariadb_galera::cluster::donors::donors;
use mariadb_galera::cluster::health::{Fitness, health, monit_word};
use mariadb_galera::cluster::hold::COMPATIBLE;
use mariadb_galera::cluster::join::may_join;
use mariadb_galera::cluster::leave::{Intent, Others, may_leave};
use mariadb_galera::cluster::maintenance::{Mode, Notices, Scope};
use mariadb_galera::cluster::member::{Cluster, Member};
use mariadb_galera::cluster::observation::{MemberView, Observation, PortAnswer, Sight, identified};
use mariadb_galera::cluster::origin::{company, origin};
use mariadb_galera::cluster::primary::{Primaries, primaries};
use mariadb_galera::cluster::recovery::{joiners, recovery};
use mariadb_galera::cluster::restore::{may_restore, restorable};
use mariadb_galera::cluster::start::{AutoRecovery, decide};
use mariadb_galera::cluster::started::{progress, started};
use serde_json::Value;

/// The expected members: so many.
pub fn expected(count: usize) -> Cluster {
    let member = |(n, index): (usize, u32)| Member {
        name: format!("mysql/{n}"),
        id: format!("id-{n}"),
        index,
        az: None,
        address: format!("10.0.0.{n}"),
        bootstrap: n == 0,
    };
    Cluster { name: "galera".into(), members: (0..count).zip(0..).map(member).collect(), arbitrators: Vec::new() }
}

/// What came of asking each: an observation, or a word where there is none.
pub fn views(cluster: &Cluster, told: &[Value]) -> Vec<MemberView> {
    let view = |(member, told): (&Member, &Value)| {
        let (sight, galera_port) = match told {
            Value::String(word) if word == "refused" => (Sight::Refused, Some(PortAnswer::Refused)),
            Value::String(word) if word == "open" => (Sight::Silent("timed out".into()), Some(PortAnswer::Open)),
            Value::Null => (Sight::Silent("timed out".into()), Some(PortAnswer::Silent)),
            told => match serde_json::from_value::<Observation>(told.clone()) {
                Ok(observation) => (identified(member, observation), None),
                Err(e) => (Sight::Unusable(e.to_string()), Some(PortAnswer::Open)),
            },
        };
        MemberView { member: member.clone(), sight, galera_port, relayed_by: None }
    };
    cluster.members.iter().zip(told).map(view).collect()
}

/// Everything that is concluded, by every member and by whoever only looks. Nothing may panic, and whoever concludes
/// twice concludes the same.
pub fn conclude(cluster: &Cluster, views: &[MemberView]) {
    let found = diagnose(cluster, views);
    assert_eq!(found, diagnose(cluster, views));
    let _ = found.to_string();
    let at = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let page = Page { cluster: &cluster.name, from: "here", at, diagnosis: &found, views };
    let _ = (page.text(Paint::Plain), page.text(Paint::Colour), serde_json::to_string(&Document::of(&page)));
    let (_, _) = (recovery(cluster, views), joiners(cluster, views));
    let (_, _, _) = (donors(views), restorable(views), arbitrate(cluster, views, None).to_string());
    for fence in [Fence::HeldBy(COMPATIBLE)] {
        let evidence = Evidence::of(cluster, views, fence);
        match proof(&evidence) {
            Ok(proof) => drop(proof.to_string()),
            Err(no) => drop(no.to_string()),
        }
        let _ = suggested_force(&evidence);
    }
    let seen: Vec<&Observation> = views.iter().filter_map(MemberView::seen).collect();
    let mode = Mode::of(seen.iter().copied());
    let _ = (mode.over("mysql/0"), Notices::default().merged(mode.notices()), Scope::Cluster);
    for view in views {
        if let Some(own) = view.seen() {
            of_itself(cluster, &view.member, own, views, &seen);
        }
    }
}

/// What a member concludes that is this one.
fn of_itself(cluster: &Cluster, me: &Member, own: &Observation, views: &[MemberView], seen: &[&Observation]) {
    let others: Vec<MemberView> = views.iter().filter(|v| v.member.name != me.name).cloned().collect();
    let fitness = Fitness { when_donor: false, when_read_only: true };
    let _ = (health(own, fitness).to_string(), monit_word(own), may_restore(own, &others));
    for auto in [AutoRecovery::Provable, AutoRecovery::Errand] {
        let _ = decide(cluster, auto, me, own, &others).to_string();
    }
    for deleted in [false, true] {
        let intent = Intent { deployment_deleted: false, instance_deleted: deleted };
        if let Err(no) = may_leave(own, &others, intent) {
            let _ = (no.to_string(), no.passes());
        }
    }
    let _ = (started(own, &others, Duration::ZERO, Duration::MAX), Others::seen_by(own, &others).well());
    let _ = (progress(own), origin(&me.name, seen), company(&me.name, seen));
    if let Primaries::One(primary) = primaries(others.iter().filter_map(MemberView::seen)) {
        let _ = (may_join(&own.position, &own.memory, &primary), primary.about_to_fall(&others));
    }
}
