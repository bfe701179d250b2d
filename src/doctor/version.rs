//! The API server's version, and the label that it should set.

use std::collections::BTreeMap;

use super::facts::{Known, Version};
use super::{Check, some_of};

/// The label with a namespace's own name.
pub(super) const NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// `admissionregistration.k8s.io/v1` is there since this one.
const OLDEST: u32 = 16;
/// Sets [`NAME_LABEL`] and keeps everybody from changing it since this one (KEP-2161).
const NAMES_NAMESPACES: u32 = 21;
/// Keeps `endPort` since this one (KEP-2079: beta and on); before, it is dropped without a word.
const KEEPS_END_PORT: u32 = 22;
/// The newest one that was tried.
const TRIED: u32 = 36;

pub(super) fn check(version: &Version) -> Check {
    const ID: &str = "version";
    let Version { git, minor } = version;
    let upgrade = format!("upgrade to Kubernetes 1.{NAMES_NAMESPACES} or later");
    if *minor < OLDEST {
        return Check::error(ID, format!("{git} has no admissionregistration.k8s.io/v1"), upgrade);
    }
    if *minor < NAMES_NAMESPACES {
        let what = format!(
            "{git} neither sets nor protects the label {NAME_LABEL}: whoever may label namespaces can take an exemption \
             by name"
        );
        let repair = format!("{upgrade}; until then guard the label with the rule protected-namespace-labels");
        return Check::warning(ID, what, repair);
    }
    if *minor < KEEPS_END_PORT {
        let what = format!("{git} drops `endPort` from policies without a word: what is stored allows one port only");
        return Check::warning(ID, what, format!("upgrade to Kubernetes 1.{KEEPS_END_PORT} or later"));
    }
    let newer = if *minor > TRIED { format!(", newer than 1.{TRIED}, the last one tried") } else { String::new() };
    Check::ok(ID, format!("{git} (1.{NAMES_NAMESPACES} or later is needed){newer}"))
}

pub(super) fn namespace_names(namespaces: &Known<Vec<(String, BTreeMap<String, String>)>>) -> Check {
    const ID: &str = "namespace-names";
    let namespaces = match namespaces {
        Ok(namespaces) => namespaces,
        Err(gap) => return Check::unknown(ID, gap),
    };
    let wrong = |(name, labels): &&(String, BTreeMap<String, String>)| labels.get(NAME_LABEL) != Some(name);
    let wrong: Vec<&str> = namespaces.iter().filter(wrong).map(|(name, _)| name.as_str()).collect();
    if wrong.is_empty() {
        return Check::ok(ID, format!("all {} namespaces bear {NAME_LABEL}", namespaces.len()));
    }
    let what = format!(
        "{} of {} namespaces do not bear {NAME_LABEL} with their own name: {}",
        wrong.len(),
        namespaces.len(),
        some_of(&wrong)
    );
    let repair =
        format!("kubectl label --overwrite namespace NAME {NAME_LABEL}=NAME: selectors and exemptions go by it");
    Check::warning(ID, what, repair)
}
