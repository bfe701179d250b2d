//! For tools. The fields are the contract's; they may become more and never fewer.

use serde::Serialize;
use serde_json::value::RawValue;

use super::{Connection, Told, Verdict, doubt, name, reach_verdict, reach_why, yaml};
use crate::netpol::connectivity::reach::{Pods, Reach};
use crate::netpol::connectivity::{End, Side, World};
use crate::netpol::ip_set::IpSet;
use crate::netpol::policy::Direction;
use crate::netpol::port_set::PortSet;

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    verdict: Option<Verdict>,
    egress: SideEntry,
    ingress: SideEntry,
    why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    /// The ports that pass, where none was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    ports: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reach: Option<ReachEntry<'a>>,
    /// A manifest for each end that blocks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    repair: Vec<String>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'a [String],
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct SideEntry {
    isolated_by: Vec<String>,
    allowed_by: Vec<String>,
}

#[derive(Serialize)]
struct ReachEntry<'a> {
    pods: Vec<PodsEntry<'a>>,
    addresses: Vec<AddressesEntry>,
    /// Sets of ports whose addresses are left out: too many to be told apart.
    #[serde(skip_serializing_if = "is_zero")]
    untold: usize,
    unknown: Vec<UnknownEntry>,
}

#[derive(Serialize)]
struct PodsEntry<'a> {
    namespace: &'a str,
    /// Whether these are all pods known there.
    all: bool,
    pods: Vec<String>,
    ports: Vec<String>,
}

#[derive(Serialize)]
struct AddressesEntry {
    cidrs: Vec<String>,
    ports: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(number: &usize) -> bool {
    *number == 0
}

#[derive(Serialize)]
struct UnknownEntry {
    pod: String,
    why: String,
}

impl From<&Side<'_>> for SideEntry {
    fn from(side: &Side<'_>) -> Self {
        Self {
            isolated_by: side.isolated_by.iter().map(|policy| name(policy)).collect(),
            allowed_by: side.allowed_by.iter().map(ToString::to_string).collect(),
        }
    }
}

impl<'a> From<&Reach<'a>> for ReachEntry<'a> {
    fn from(reach: &Reach<'a>) -> Self {
        let pods = |Pods { namespace, all, pods, ports }: &Pods<'a>| PodsEntry {
            namespace,
            all: *all,
            pods: pods.iter().map(ToString::to_string).collect(),
            ports: ports.items(),
        };
        let addresses = |(set, ports): &(IpSet, PortSet)| AddressesEntry {
            cidrs: set.cidrs().iter().map(ToString::to_string).collect(),
            ports: ports.items(),
        };
        let unknown = reach.unsettled.iter();
        Self {
            pods: reach.pods.iter().map(pods).collect(),
            addresses: reach.addresses.iter().map(addresses).collect(),
            untold: reach.untold,
            unknown: unknown.map(|(pod, why)| UnknownEntry { pod: pod.to_string(), why: doubt(why) }).collect(),
        }
    }
}

/// One answer as one JSON document: on one line, or over several for people. `id` is told back as it was given.
///
/// # Errors
/// None that is known: every part can be written as JSON.
pub fn line<'a>(id: Option<&RawValue>, told: &Told<'a>, world: &World<'a>, pretty: bool) -> serde_json::Result<String> {
    let entry = match told {
        Told::Connection(connection) => of_connection(connection, world),
        Told::Reach { end, direction, reach, notes } => of_reach(*end, *direction, reach, notes),
        Told::NotAsked { reason } => Entry { verdict: Some(Verdict::Unknown), why: reason.clone(), ..Entry::default() },
    };
    let entry = Entry { id, ..entry };
    if pretty { serde_json::to_string_pretty(&entry) } else { serde_json::to_string(&entry) }
}

fn of_connection<'t, 'a>(connection: &'t Connection<'a>, world: &World<'a>) -> Entry<'t> {
    Entry {
        verdict: Some(connection.verdict()),
        egress: (&connection.answer.egress).into(),
        ingress: (&connection.answer.ingress).into(),
        why: connection.why(),
        from: Some(connection.from.to_string()),
        to: Some(connection.to.to_string()),
        protocol: connection.port.map(|(protocol, _)| protocol.as_str()),
        port: connection.port.map(|(_, port)| port),
        ports: connection.passing.as_ref().map(PortSet::items),
        repair: connection.repairs(world).iter().map(yaml::render).collect(),
        notes: &connection.notes,
        ..Entry::default()
    }
}

fn of_reach<'t>(end: End<'t>, direction: Direction, reach: &'t Reach<'_>, notes: &'t [String]) -> Entry<'t> {
    let mine = SideEntry {
        isolated_by: reach.isolated_by.iter().map(|policy| name(policy)).collect(),
        allowed_by: Vec::new(),
    };
    let entry = Entry {
        verdict: Some(reach_verdict(reach)),
        why: reach_why(end, direction, reach),
        reach: Some(reach.into()),
        notes,
        ..Entry::default()
    };
    match direction {
        Direction::Egress => Entry { egress: mine, from: Some(end.to_string()), ..entry },
        Direction::Ingress => Entry { ingress: mine, to: Some(end.to_string()), ..entry },
    }
}
