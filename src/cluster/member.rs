//! The members that a deployment expects, as the BOSH link lists them.

use serde::{Deserialize, Serialize};

/// One expected member. A member knows itself by [`Member::name`] and [`Member::id`], never by its
/// address, which may be a DNS name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Instance group and index, `mysql/0`: what people call it.
    pub name: String,
    /// BOSH's instance id: what it is.
    pub id: String,
    /// BOSH's index; breaks ties.
    pub index: u32,
    /// Availability zone.
    #[serde(default)]
    pub az: Option<String>,
    /// IP address or DNS name.
    pub address: String,
    /// `spec.bootstrap`: the one member that may begin the very first cluster. Says nothing about
    /// who has data.
    pub bootstrap: bool,
}

/// The cluster as it is meant to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// `wsrep_cluster_name`.
    pub name: String,
    /// Every expected member.
    pub members: Vec<Member>,
    /// Every expected arbitrator: it votes, and has no data.
    #[serde(default)]
    pub arbitrators: Vec<Arbitrator>,
}

/// An expected arbitrator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arbitrator {
    /// `arbitrator/0`.
    pub name: String,
    /// BOSH's instance id.
    pub id: String,
    /// IP address or DNS name.
    pub address: String,
}

impl Arbitrator {
    /// To be asked as members are: by an address.
    pub fn asked_as_member(&self) -> Member {
        let (name, id, address) = (self.name.clone(), self.id.clone(), self.address.clone());
        Member { name, id, index: 0, az: None, address, bootstrap: false }
    }
}

impl Cluster {
    /// The member of this name.
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|m| m.name == name)
    }

    /// What is wrong with the list, if anything: names and ids must tell members apart.
    pub fn fault(&self) -> Option<String> {
        if self.members.is_empty() {
            return Some("cluster.members: expected at least one member, found none".into());
        }
        for (at, member) in self.members.iter().enumerate() {
            let earlier = self.members.iter().take(at);
            if earlier.clone().any(|m| m.name == member.name) {
                return Some(format!("cluster.members[{at}].name: {:?} is there twice", member.name));
            }
            if earlier.clone().any(|m| m.id == member.id) {
                return Some(format!("cluster.members[{at}].id: {:?} is there twice", member.id));
            }
        }
        let firsts = self.members.iter().filter(|m| m.bootstrap).count();
        (firsts > 1).then(|| format!("cluster.members: expected at most one with bootstrap: true, found {firsts}"))
    }
}

/// Names in one line, for sentences: `mysql/0, mysql/2`.
pub fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().collect::<Vec<_>>().join(", ")
}
