//! `FirstDeploy`: no member has data, and the designated one begins.

use super::evidence::nobody_primary;
use super::{NoProof, Proof, Rule, Way};
use crate::cluster::lineage::Lineage;
use crate::cluster::member::Member;
use crate::cluster::observation::{MemberView, Observation};
use crate::cluster::standing::Standing;

/// May this member, by itself, begin the very first cluster (G1, Q17)?
///
/// Fails closed: a peer whose agent does not answer, or answers with anything but "I am empty", forbids it.
/// Also one that does not run yet: BOSH starts the designated member first after every stop of the whole
/// deployment, and if it lost its disk meanwhile, the others are stopped with all the data.
pub fn first_deploy(me: &Member, own: &Observation, others: &[MemberView]) -> Result<Proof, NoProof> {
    nobody_primary(others.iter().filter_map(MemberView::seen))?;
    if !me.bootstrap {
        return Err(NoProof::NotDesignated);
    }
    // A first bootstrap that broke off before anybody was served may be taken up again.
    if own.position != Standing::Empty && !own.memory.founding {
        return Err(NoProof::HasData(me.name.clone()));
    }
    let mut unseen = Vec::new();
    for other in others {
        let name = other.member.name.clone();
        match other.seen() {
            Some(theirs) if theirs.process.is_some() => return Err(NoProof::Running(vec![name])),
            Some(theirs) if theirs.position != Standing::Empty => return Err(NoProof::HasData(name)),
            Some(_) => {}
            None => unseen.push((name, other.why_unseen().unwrap_or_default())),
        }
    }
    if !unseen.is_empty() {
        return Err(NoProof::NotSeen(unseen));
    }
    Ok(Proof {
        rule: Rule::FirstDeploy,
        member: me.name.clone(),
        position: None,
        way: Way::Bootstrap,
        past: Lineage::default(),
        notes: Vec::new(),
        left_out: Vec::new(),
    })
}
