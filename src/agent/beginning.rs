//! Ordering the member that a proof names to begin a new incarnation.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::api::{self, AnnounceBody, StartBody};
use super::client::Client;
use crate::cluster::bootstrap::{Proof, Way};
use crate::cluster::hold::Begin;
use crate::cluster::lineage::Incarnation;
use crate::cluster::member::Member;
use crate::cluster::memory::{Announced, Companion};
use crate::cluster::observation::MemberView;
use crate::galera::uuid::Uuid;
use crate::host::random::random_uuid;
use crate::log;

/// How long a disk may take to have what was announced; less than a hold lasts.
const WRITTEN_WITHIN: Duration = Duration::from_secs(10);
/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Has the member begin, all of `held` being held by this order. The others are told first, and have it on their disks: it
/// serves alone until one of them joins, and should it be lost before, nobody else would know what it has. Who is promoted
/// with it knows from this how that came about.
pub fn order_to_begin(client: &Client, cluster: &str, order: Uuid, proof: &Proof, held: &[&Member]) -> Result<()> {
    let is_it = |m: &&&Member| m.name == proof.member();
    let member = held.iter().find(is_it).context("the proof names a member that is not held")?;
    let id = random_uuid()?;
    let by = Companion { name: member.name.clone(), id: member.id.clone() };
    let begin = Begin::by(proof, id).context("the very first cluster is begun by no order")?;
    let view = client.observe(&[member]).pop();
    let known_as = view.as_ref().and_then(|v| v.seen()?.wsrep.as_ref()?.gcomm_uuid);
    let known_as = known_as.filter(|_| proof.way() == Way::Promote);
    let (incarnation, past) = begin.incarnation(&member.name, &begin.past, cluster);
    let incarnation = Incarnation { at: log::now(), ..incarnation };
    let beginning = Announced { id, by, known_as, lineage: past.with(incarnation) };
    let body = AnnounceBody { order, beginning: beginning.clone() };
    let others: Vec<&Member> = held.iter().filter(|m| !is_it(m)).copied().collect();
    for other in &others {
        client.tell(other, api::ANNOUNCE, &body)?;
    }
    // A disk that is slow answers that it is under way; what is read from it is there.
    let told = Instant::now();
    while let Some(view) = client.observe(&others).iter().find(|view| !knows(view, &beginning)) {
        if told.elapsed() > WRITTEN_WITHIN {
            bail!("{} has not written down that {} is to begin, so that it does not", view.member.name, member.name);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    client.tell(member, api::START, &StartBody::begin(order, proof.way(), begin))?;
    Ok(())
}

/// Whether this member has on its disk what another one is to begin.
fn knows(view: &MemberView, beginning: &Announced) -> bool {
    view.seen().is_some_and(|o| o.memory.announced.contains(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::lineage::Lineage;
    use crate::cluster::situation::{down, seen, silent};
    use crate::galera::uuid::Uuid;

    #[test]
    // U5: an answer that it is under way is no proof that it is on disk.
    fn u5_whoever_was_told_has_it_on_its_disk() {
        let by = Companion { name: "mysql/1".into(), id: "id-1".into() };
        let beginning = Announced { id: Uuid::from_u128(9), by, known_as: None, lineage: Lineage::default() };
        let other = Announced { id: Uuid::from_u128(8), ..beginning.clone() };
        let told = |it: &Announced| seen(down(0, 9).with(|o| o.memory.hear(it.clone())));
        assert!(knows(&told(&beginning), &beginning));
        for view in [told(&other), seen(down(0, 9)), silent(0)] {
            assert!(!knows(&view, &beginning));
        }
    }
}
