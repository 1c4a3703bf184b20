//! The same for programs: `docs/diagnose.schema.json` describes it, and a test holds it to that.

use serde::Serialize;

use super::super::Diagnosis;
use super::newest::{self, Newest};
use super::reach::{self, Reach};
use super::{MemberView, Page};
use crate::cluster::observation::{Observation, PortAnswer};

/// The form's number; it grows when a key goes or changes its meaning.
const SCHEMA: u32 = 1;

/// What `galera-ctl diagnose --json` prints.
#[derive(Debug, Serialize)]
pub struct Document<'a> {
    schema: u32,
    at: String,
    from: &'a str,
    cluster: &'a str,
    exit_code: u8,
    diagnosis: &'a Diagnosis,
    newest: Vec<Newest>,
    reach: Vec<Reach>,
    members: Vec<Member<'a>>,
}

/// What was seen of one member.
#[derive(Debug, Serialize)]
struct Member<'a> {
    name: &'a str,
    id: &'a str,
    address: &'a str,
    az: Option<&'a str>,
    why_unseen: Option<String>,
    galera_port: Option<PortAnswer>,
    relayed_by: Option<&'a str>,
    observation: Option<&'a Observation>,
}

impl<'a> Document<'a> {
    /// Of what is on a page.
    pub fn of(page: &Page<'a>) -> Document<'a> {
        Document {
            schema: SCHEMA,
            at: humantime::format_rfc3339_millis(page.at).to_string(),
            from: page.from,
            cluster: page.cluster,
            exit_code: page.diagnosis.class.exit_code(),
            diagnosis: page.diagnosis,
            newest: newest::of(page.views),
            reach: reach::of(page.views),
            members: page.views.iter().map(member).collect(),
        }
    }
}

fn member(view: &MemberView) -> Member<'_> {
    Member {
        name: &view.member.name,
        id: &view.member.id,
        address: &view.member.address,
        az: view.member.az.as_deref(),
        why_unseen: view.why_unseen(),
        galera_port: view.galera_port,
        relayed_by: view.relayed_by.as_deref(),
        observation: view.seen(),
    }
}
