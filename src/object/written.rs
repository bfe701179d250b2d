//! What the author of a NetworkPolicy wrote, where the stored object no longer shows it.
//!
//! The API server drops `egress: []` and fills in `policyTypes` before a webhook sees the object. Client-side apply
//! leaves the author's text in an annotation, server-side apply the names of the fields in `metadata.managedFields`.
//! After a plain create nobody knows. Both come with the object, so what is unreadable in them counts as not there.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::Metadata;
use crate::netpol::policy::{Direction, NetworkPolicy, PolicySpec};

/// Where `kubectl apply` keeps the text that it applied last.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What is known of the text behind a spec. Nothing, by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// It has an `ingress`, be it empty.
    pub ingress: bool,
    /// It has an `egress`, be it empty.
    pub egress: bool,
    /// It leaves `policyTypes` to the API server.
    pub types_left_out: bool,
}

impl Written {
    /// Whether the list of rules for that direction was written, be it empty.
    #[must_use]
    pub const fn has(self, direction: Direction) -> bool {
        match direction {
            Direction::Ingress => self.ingress,
            Direction::Egress => self.egress,
        }
    }

    /// What stands in a manifest. One that was read from a cluster has lost its empty lists, and tells of them as any
    /// object does; the types that stand in it are its own from now on.
    #[must_use]
    pub fn in_manifest(metadata: &Metadata, managed_fields: Option<&Value>, raw: &Value, spec: &PolicySpec) -> Self {
        let stands = Self::in_spec(raw);
        Self { types_left_out: stands.types_left_out, ..stands.or(Self::recovered(metadata, managed_fields, spec)) }
    }

    /// What stands in the author's own `spec`.
    #[must_use]
    pub fn in_spec(raw: &Value) -> Self {
        let empty = |types: &Value| types.is_null() || types.as_array().is_some_and(Vec::is_empty);
        Self {
            ingress: raw.get("ingress").is_some(),
            egress: raw.get("egress").is_some(),
            types_left_out: raw.get("policyTypes").is_none_or(empty),
        }
    }

    /// What the metadata of an object with that spec tells.
    #[must_use]
    pub fn recovered<'de, D: Deserializer<'de>>(
        metadata: &Metadata,
        managed_fields: Option<D>,
        spec: &PolicySpec,
    ) -> Self {
        let applied = metadata.annotations.get(LAST_APPLIED).and_then(|text| last_applied(text, spec));
        let managed = managed_fields.and_then(|fields| Vec::<Entry>::deserialize(fields).ok());
        applied.unwrap_or_default().or(managed.as_deref().map(server_side).unwrap_or_default())
    }

    const fn or(self, other: Self) -> Self {
        Self {
            ingress: self.ingress || other.ingress,
            egress: self.egress || other.egress,
            types_left_out: self.types_left_out || other.types_left_out,
        }
    }
}

#[derive(Deserialize)]
struct Applied<'a> {
    #[serde(borrow)]
    spec: Option<&'a RawValue>,
}

/// What `kubectl apply` was given; `None` where the text does not make the spec at hand: `kubectl edit` and patches
/// leave the annotation as it was.
fn last_applied(text: &str, spec: &PolicySpec) -> Option<Written> {
    let Applied { spec: raw } = serde_json::from_str(text).ok()?;
    let raw = raw.map_or(Ok(Value::Null), |raw| serde_json::from_str(raw.get())).ok()?;
    let written = Written::in_spec(&raw);
    let shows_more = written.types_left_out
        || Direction::ALL.into_iter().any(|direction| written.has(direction) && !spec.isolates(direction));
    // Most texts have no more to tell than the object does, and need no second reading.
    if !shows_more {
        return None;
    }
    let read = NetworkPolicy::parse("", "", &raw).ok()?;
    (read.spec == *spec).then_some(written)
}

/// An entry of `metadata.managedFields`, without all that is of no use here: there may be very many.
/// Source: API reference, `ManagedFieldsEntry` and `FieldsV1`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    operation: Manner,
    #[serde(default)]
    fields_v1: Fields,
}

#[derive(Default, PartialEq, Deserialize)]
enum Manner {
    /// The fields are those that were written.
    Apply,
    /// The fields are those that had changed in the stored object: what the API server drops is never among them.
    #[default]
    #[serde(other)]
    Update,
}

#[derive(Default, Deserialize)]
struct Fields {
    #[serde(rename = "f:spec")]
    spec: Option<SpecFields>,
}

#[derive(Deserialize)]
struct SpecFields {
    #[serde(rename = "f:ingress", default, deserialize_with = "present")]
    ingress: bool,
    #[serde(rename = "f:egress", default, deserialize_with = "present")]
    egress: bool,
    #[serde(rename = "f:policyTypes", default, deserialize_with = "present")]
    policy_types: bool,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// What server-side apply was given. A field that anybody removes from the object is taken from all entries, so one
/// that is in an entry and not in the object was empty from the beginning. What the API server fills in is nobody's.
fn server_side(entries: &[Entry]) -> Written {
    let specs = || entries.iter().filter_map(|entry| Some((&entry.operation, entry.fields_v1.spec.as_ref()?)));
    let applied = || specs().filter(|(manner, _)| **manner == Manner::Apply).map(|(_, spec)| spec);
    Written {
        ingress: applied().any(|spec| spec.ingress),
        egress: applied().any(|spec| spec.egress),
        types_left_out: applied().next().is_some() && !specs().any(|(_, spec)| spec.policy_types),
    }
}

#[cfg(test)]
mod tests;
