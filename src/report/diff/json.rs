//! For tools. Parties are complete, however many members they have; texts are as for people.

use std::collections::BTreeSet;

use serde::Serialize;

use super::rows;
use crate::netpol::connectivity::difference::{Change, Difference, Namespace, Party, Pods, Presence, Row, Term, Who};

/// Version of the format.
const VERSION: &str = "v1";

#[derive(Serialize)]
struct Whole<'a> {
    version: &'static str,
    appears: Vec<RowEntry>,
    vanishes: Vec<RowEntry>,
    notes: &'a [String],
    /// There may be more or less than the rows tell.
    unknown: bool,
}

#[derive(Serialize)]
struct RowEntry {
    from: PartyEntry,
    to: PartyEntry,
    ports: Vec<String>,
}

/// Either addresses, or pods by namespace and name.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct PartyEntry {
    text: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cidrs: Vec<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    namespaces: BTreeSet<String>,
    /// What selects exactly these pods in those namespaces, where one selector does.
    #[serde(skip_serializing_if = "Option::is_none")]
    selector: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    workloads: Vec<Workload>,
    /// Pods that no manifest has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    assumed: Vec<Assumed>,
}

#[derive(Serialize)]
struct Workload {
    namespace: String,
    kind: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    only: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Assumed {
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace_selector: Option<String>,
    /// None: any pod that the others are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    selector: Option<String>,
}

impl From<&Row> for RowEntry {
    fn from(row: &Row) -> Self {
        Self { from: (&row.from).into(), to: (&row.to).into(), ports: row.ports.items() }
    }
}

impl From<&Party> for PartyEntry {
    fn from(party: &Party) -> Self {
        let mut entry = Self { text: party.to_string(), ..Self::default() };
        match party {
            Party::Addresses(addresses) => entry.cidrs = addresses.cidrs().iter().map(ToString::to_string).collect(),
            Party::Pods(pods) => entry.add(pods),
        }
        entry
    }
}

impl PartyEntry {
    fn add(&mut self, pods: &Pods) {
        self.selector = match pods.terms.as_slice() {
            [Term::Selected { selector, .. }] => Some(selector.to_string()),
            _ => None,
        };
        for member in pods.members.iter() {
            let (namespace, namespace_selector) = match &member.namespace {
                Namespace::Named(name) => (Some(name.clone()), None),
                Namespace::Assumed(selector) => (None, Some(selector.to_string())),
            };
            self.namespaces.extend(namespace.clone());
            let selector = match &member.who {
                Who::Workload { kind, name } => {
                    let namespace = namespace.unwrap_or_default();
                    let only = match member.presence {
                        Presence::Both => None,
                        Presence::New => Some("after"),
                        Presence::Gone => Some("before"),
                    };
                    self.workloads.push(Workload { namespace, kind: kind.clone(), name: name.clone(), only });
                    continue;
                }
                Who::Assumed(selector) => Some(selector.to_string()),
                Who::Other => None,
            };
            self.assumed.push(Assumed { namespace, namespace_selector, selector });
        }
    }
}

/// The difference as one JSON document.
///
/// # Errors
/// None that is known: every part can be written as JSON.
pub fn render(difference: &Difference) -> serde_json::Result<String> {
    let entries = |change| rows(difference, change).map(Into::into).collect();
    let whole = Whole {
        version: VERSION,
        appears: entries(Change::Appears),
        vanishes: entries(Change::Vanishes),
        notes: &difference.notes,
        unknown: difference.unknown,
    };
    serde_json::to_string_pretty(&whole).map(|text| text + "\n")
}
