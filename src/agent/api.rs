//! What travels over the API of the agent, for server and client alike.

use serde::{Deserialize, Serialize};

use crate::cluster::bootstrap::Way;
use crate::cluster::hold::{Begin, OrderedStart, Outcome};
use crate::cluster::maintenance::Notices;
use crate::cluster::memory::Announced;
use crate::galera::uuid::Uuid;

/// Everything this agent can see of its member.
pub const OBSERVATION: &str = "/v1/observation";
/// The query of [`OBSERVATION`] for the last one, without waiting for a fresh one; at most a few seconds old.
pub const LATEST: &str = "latest";
/// The query of [`OBSERVATION`] for one that is taken once all that the member's group had delivered is applied there.
pub const APPLIED: &str = "applied";
/// What another member's agent says, asked from here: for an observer whose own network is at fault.
pub const RELAY: &str = "/v1/relay";
/// Hold the member.
pub const HOLD: &str = "/v1/hold";
/// End a hold.
pub const RELEASE: &str = "/v1/release";
/// Start by order.
pub const START: &str = "/v1/start";
/// Tell a member that is held what another one is about to begin by the same order.
pub const ANNOUNCE: &str = "/v1/announce";
/// Stop by order.
pub const STOP: &str = "/v1/stop";
/// Tell that a member has left in order.
pub const DEPARTED: &str = "/v1/departed";
/// Write or look for a token, to see that writes reach every member.
pub const CHECK: &str = "/v1/check";
/// What this member knows of maintenance, and a newer notice for it.
pub const MAINTENANCE: &str = "/v1/maintenance";
/// Let the member start, or obey, although maintenance is on.
pub const PERMIT: &str = "/v1/permit";

/// The query of [`RELAY`] for the member of this instance id.
pub fn relay_query(id: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encoded = id.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") });
    format!("member={}", encoded.collect::<String>())
}

/// This member's part of an incident report.
pub const REPORT: &str = "/v1/report";
/// For Prometheus.
pub const METRICS: &str = "/metrics";

/// Body of [`HOLD`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldBody {
    /// The order that holds.
    pub order: Uuid,
    /// Who, in words.
    pub owner: String,
    /// Why, in words.
    pub reason: String,
    /// For how many seconds at most.
    pub seconds: u64,
}

/// Body of [`RELEASE`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseBody {
    /// The order.
    pub order: Uuid,
    /// How it ended, for those who follow it.
    #[serde(default)]
    pub outcome: Option<OutcomeBody>,
}

/// How an order ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutcomeBody {
    /// The exit code of its errand.
    pub exit: u8,
    /// Its last sentence.
    pub text: String,
}

impl ReleaseBody {
    /// The outcome as it is kept.
    pub fn kept(&self) -> Option<Outcome> {
        let order = self.order;
        self.outcome.clone().map(|o| Outcome { order, exit: o.exit, text: o.text })
    }
}

/// Body of [`START`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartBody {
    /// The order.
    pub order: Uuid,
    /// How.
    pub mode: OrderedStart,
    /// For a new incarnation: from where, and why that is allowed.
    #[serde(default)]
    pub begin: Option<Begin>,
}

impl StartBody {
    /// To join.
    pub fn join(order: Uuid) -> StartBody {
        StartBody { order, mode: OrderedStart::Join, begin: None }
    }

    /// To begin a new incarnation; only a proof makes such an order.
    pub fn begin(order: Uuid, way: Way, begin: Begin) -> StartBody {
        let mode = match way {
            Way::Bootstrap => OrderedStart::Bootstrap,
            Way::Promote => OrderedStart::Promote,
        };
        StartBody { order, mode, begin: Some(begin) }
    }
}

/// Body of [`ANNOUNCE`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnnounceBody {
    /// The order.
    pub order: Uuid,
    /// What is about to begin.
    pub beginning: Announced,
}

/// Body of [`STOP`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopBody {
    /// The order.
    pub order: Uuid,
}

/// Body of [`DEPARTED`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepartedBody {
    /// The name of the member that left.
    pub member: String,
}

/// Body of [`CHECK`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckBody {
    /// The token.
    pub token: Uuid,
    /// Write it, or only look for it.
    pub write: bool,
}

/// Answer of [`CHECK`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CheckAnswer {
    /// Whether the token is there now.
    pub there: bool,
}

/// Body of [`MAINTENANCE`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceBody {
    /// The notices, each newer than what the member has.
    pub notices: Notices,
    /// Whether what the member cannot read is set aside for them.
    #[serde(default)]
    pub set_unreadable_aside: bool,
}

/// Body of [`PERMIT`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermitBody {
    /// Who, in words.
    pub by: String,
    /// Why, in words.
    pub reason: String,
    /// For how many seconds at most; it is good for one start.
    pub seconds: u64,
}

/// Answer of the acting routes: what is so, or what is under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Accepted {
    /// In words.
    pub text: String,
}

/// Answer of every refusal and error.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Problem {
    /// One sentence.
    pub error: String,
}
