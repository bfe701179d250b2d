//! Answers about connections, told.
//!
//! ```text
//! Told ── text::render ──> for people: the verdict, each end, and what would let the connection pass
//!      ├─ json::line ────> for tools, as the contract has it
//!      └─ plan::render ──> the commands that try the connection on a cluster
//! ```

use std::fmt::{self, Display};

use crate::netpol::connectivity::reach::{Passage, Reach};
use crate::netpol::connectivity::{Answer, End, Outcome, Question, Side, World};
use crate::netpol::policy::{Direction, NetworkPolicy};
use crate::netpol::port_set::{PortSet, Protocol};

pub mod json;
pub mod plan;
#[cfg(test)]
mod tests;
pub mod text;
pub mod yaml;

/// How many policies or rules one line names.
const NAMED: usize = 3;

/// What came of one question.
#[derive(Clone, Debug, PartialEq)]
pub enum Told<'a> {
    /// About a connection between two ends.
    Connection(Box<Connection<'a>>),
    /// About all that one end may reach or be reached from.
    Reach {
        /// The end.
        end: End<'a>,
        /// `Egress`: what it may reach.
        direction: Direction,
        /// What was found.
        reach: Reach<'a>,
        /// What else there is to know, a line each.
        notes: Vec<String>,
    },
    /// It could not be read, or names what is not known.
    NotAsked {
        /// Why.
        reason: String,
    },
}

/// A connection and whether it passes.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection<'a> {
    /// Who opens it.
    pub from: End<'a>,
    /// Who is called.
    pub to: End<'a>,
    /// On which port; `None` asks for all that pass.
    pub port: Option<(Protocol, u16)>,
    /// The ports asked about: that one, or all of a protocol, or all.
    pub wanted: PortSet,
    /// What the policies say.
    pub answer: Answer<'a>,
    /// The ports that pass, where none was asked for.
    pub passing: Option<PortSet>,
    /// What else there is to know, a line each.
    pub notes: Vec<String>,
}

/// The verdict of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It passes.
    Allow,
    /// It does not.
    Deny,
    /// It cannot be told.
    Unknown,
}

impl From<&Outcome<'_>> for Verdict {
    fn from(outcome: &Outcome<'_>) -> Self {
        match outcome {
            Outcome::Allowed | Outcome::Itself => Self::Allow,
            Outcome::Denied => Self::Deny,
            Outcome::HostNetwork(_) | Outcome::Unread { .. } => Self::Unknown,
        }
    }
}

impl<'a> Connection<'a> {
    /// Asks about one port.
    #[must_use]
    pub fn on_port(world: &World<'a>, question: Question<'a>) -> Self {
        let Question { from, to, protocol, port } = question;
        let answer = world.ask(question);
        let wanted = PortSet::single(protocol, port);
        Self { from, to, port: Some((protocol, port)), wanted, answer, passing: None, notes: Vec::new() }
    }

    /// Asks for the ports that pass, those of one protocol alone if so wished.
    #[must_use]
    pub fn on_any_port(world: &World<'a>, from: End<'a>, to: End<'a>, protocol: Option<Protocol>) -> Self {
        let wanted = protocol.map_or_else(PortSet::all, PortSet::protocol);
        let Passage { ports, answer } = world.ports_between(from, to, &wanted);
        Self { from, to, port: None, wanted, answer, passing: Some(ports), notes: Vec::new() }
    }

    /// The verdict.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        Verdict::from(&self.answer.outcome)
    }

    /// Both ends with what is said there, and the end opposite.
    fn sides(&self) -> [(End<'a>, &Side<'a>, Direction, End<'a>); 2] {
        [
            (self.from, &self.answer.egress, Direction::Egress, self.to),
            (self.to, &self.answer.ingress, Direction::Ingress, self.from),
        ]
    }

    /// One policy for each end that blocks.
    #[must_use]
    pub fn repairs(&self, world: &World<'a>) -> Vec<NetworkPolicy> {
        if self.answer.outcome != Outcome::Denied {
            return Vec::new();
        }
        let repair = |(end, side, direction, other)| world.repair((end, side), direction, other, &self.wanted);
        self.sides().into_iter().filter_map(repair).collect()
    }

    /// Why, in one line.
    #[must_use]
    pub fn why(&self) -> String {
        match &self.answer.outcome {
            Outcome::Itself => "a Pod always reaches itself, whatever the policies say".to_owned(),
            Outcome::Allowed => {
                let told =
                    self.sides().into_iter().filter_map(|(end, side, direction, _)| passes(end, side, direction));
                let told: Vec<String> = told.collect();
                if told.is_empty() {
                    "policies govern pods, and neither end is one".to_owned()
                } else {
                    told.join("; ")
                }
            }
            Outcome::Denied => {
                let blocking = self.sides().into_iter().filter(|(_, side, ..)| !side.allows());
                let told: Vec<String> = blocking.map(|(_, side, direction, _)| self.blocks(side, direction)).collect();
                if told.is_empty() { "no port passes both ends".to_owned() } else { told.join("; ") }
            }
            outcome => doubt(outcome),
        }
    }

    fn blocks(&self, side: &Side<'a>, direction: Direction) -> String {
        let policies = some(side.isolated_by.iter().map(|policy| name(policy)));
        let on = Port(self.port);
        match direction {
            Direction::Egress => format!("no rule of {policies} lets {} out to {}{on}", self.from, self.to),
            Direction::Ingress => format!("no rule of {policies} lets {} in to {}{on}", self.from, self.to),
        }
    }
}

/// ` on TCP/80`, or nothing.
struct Port(Option<(Protocol, u16)>);

impl Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some((protocol, port)) => write!(f, " on {protocol}/{port}"),
            None => Ok(()),
        }
    }
}

fn passes(end: End<'_>, side: &Side<'_>, direction: Direction) -> Option<String> {
    let End::Pod(pod) = end else { return None };
    Some(if side.isolated_by.is_empty() {
        format!("{pod} is not isolated for {}", direction.field())
    } else {
        let way = if direction == Direction::Egress { "out" } else { "in" };
        format!("{} lets it {way}", some(side.allowed_by.iter().map(ToString::to_string)))
    })
}

/// Why a connection cannot be told.
fn doubt(outcome: &Outcome<'_>) -> String {
    match outcome {
        Outcome::HostNetwork(pod) => format!(
            "{pod} is in the network of its node (hostNetwork), where policies do not apply; what does is up to the \
             network plugin"
        ),
        Outcome::Unread { namespace, policy, reason } => {
            format!("it depends on the policy {namespace}/{policy}, which could not be read: {reason}")
        }
        Outcome::Allowed | Outcome::Itself | Outcome::Denied => String::new(),
    }
}

/// Whether there is anything to reach, or to be reached from.
fn reach_verdict(reach: &Reach<'_>) -> Verdict {
    if reach.doubt.is_some() {
        Verdict::Unknown
    } else if !reach.pods.is_empty() || !reach.addresses.is_empty() {
        Verdict::Allow
    } else if reach.unsettled.is_empty() {
        Verdict::Deny
    } else {
        Verdict::Unknown
    }
}

fn reach_why(end: End<'_>, direction: Direction, reach: &Reach<'_>) -> String {
    if let Some(outcome) = &reach.doubt {
        return doubt(outcome);
    }
    let pods = counted(reach.pods.iter().map(|group| group.pods.len()).sum());
    let way = if direction == Direction::Egress { "may reach" } else { "may be reached from" };
    let addresses = if reach.addresses.is_empty() { "no address" } else { "addresses" };
    let unknown = match reach.unsettled.len() {
        0 => String::new(),
        count => format!("; of {} it is not known", counted(count)),
    };
    match end {
        End::Pod(_) => format!("{end} {way} {pods}, and {addresses} outside the cluster{unknown}"),
        End::Address(_) => format!("{end} {way} {pods}{unknown}"),
    }
}

/// `1 pod or workload`.
fn counted(pods: usize) -> String {
    match pods {
        0 => "no pod or workload".to_owned(),
        1 => "1 pod or workload".to_owned(),
        count => format!("{count} pods and workloads"),
    }
}

fn name(policy: &NetworkPolicy) -> String {
    format!("{}/{}", policy.namespace, policy.name)
}

/// `a, b, c and 4 more`.
fn some(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let named = names.take(NAMED).collect::<Vec<_>>().join(", ");
    if more == 0 { named } else { format!("{named} and {more} more") }
}
