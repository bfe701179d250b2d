//! What the ServiceAccount of Portcullis may do: all that the server needs, and nothing that it does not.

use super::facts::Facts;
use super::{Check, Status, some_of};

const ID: &str = "rbac";

/// A permission in every namespace, and what it would mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    /// Such as `list`.
    pub verb: &'static str,
    /// The API group; empty for the core.
    pub group: &'static str,
    /// In the plural.
    pub resource: &'static str,
    /// The server does not work without it; else it has no use for it.
    pub needed: bool,
}

impl Right {
    const fn needed(verb: &'static str, group: &'static str, resource: &'static str) -> Self {
        Self { verb, group, resource, needed: true }
    }

    const fn dangerous(verb: &'static str, group: &'static str, resource: &'static str) -> Self {
        Self { verb, group, resource, needed: false }
    }

    /// As one would say it to `kubectl auth can-i`.
    fn told(&self) -> String {
        let dot = if self.group.is_empty() { "" } else { "." };
        format!("{} {}{dot}{}", self.verb, self.resource, self.group)
    }
}

/// The needed ones are those of `deploy/base/rbac.yaml`, to which a test compares them. The others would let whoever takes over
/// a pod of the webhook do more than answer wrongly. They are asked for all namespaces and all names, so a Role for its
/// own Secret, or a rule for its own registration by name, is not among them.
pub(super) const RIGHTS: &[Right] = &[
    Right::needed("get", "", "namespaces"),
    Right::needed("list", "", "namespaces"),
    Right::needed("watch", "", "namespaces"),
    Right::needed("list", "networking.k8s.io", "networkpolicies"),
    Right::needed("watch", "networking.k8s.io", "networkpolicies"),
    Right::dangerous("get", "", "secrets"),
    Right::dangerous("list", "", "secrets"),
    Right::dangerous("create", "", "pods"),
    Right::dangerous("patch", "", "namespaces"),
    Right::dangerous("create", "networking.k8s.io", "networkpolicies"),
    Right::dangerous("update", "networking.k8s.io", "networkpolicies"),
    Right::dangerous("delete", "networking.k8s.io", "networkpolicies"),
    Right::dangerous("update", "admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    Right::dangerous("update", "rbac.authorization.k8s.io", "clusterroles"),
    Right::dangerous("impersonate", "", "users"),
];

pub(super) fn check(facts: &Facts) -> Vec<Check> {
    if let Some(gap) = facts.rights.iter().find_map(|(_, known)| known.as_ref().err()) {
        return vec![Check::unknown(ID, gap)];
    }
    let account = format!("ServiceAccount {}", facts.account.replacen(':', "/", 1));
    let chosen = |needed: bool, allowed: bool| -> Vec<String> {
        let chosen = facts.rights.iter().filter(|(right, known)| right.needed == needed && *known == Ok(allowed));
        chosen.map(|(right, _)| right.told()).collect()
    };
    let (missing, extra) = (chosen(true, false), chosen(false, true));
    let list = |rights: &[String]| some_of(&rights.iter().map(String::as_str).collect::<Vec<_>>());
    let mut checks = Vec::new();
    if !missing.is_empty() {
        checks.push(lacking(facts, format!("{account} may not {}", list(&missing))));
    }
    if !extra.is_empty() {
        let what = format!("{account} may more than it needs, everywhere: {}", list(&extra));
        checks.push(Check::warning(ID, what, "remove the binding that grants it; deploy/base/rbac.yaml is enough"));
    }
    if checks.is_empty() {
        checks.push(Check::ok(
            ID,
            format!("{account} may do what it needs, and none of the dangerous things looked for"),
        ));
    }
    checks
}

/// A webhook that is called by URL runs elsewhere, as somebody whom this cannot know.
fn lacking(facts: &Facts, what: String) -> Check {
    let hooks = facts.registrations.iter().flatten().flat_map(|configuration| configuration.webhooks.iter().flatten());
    let mut hooks = hooks.peekable();
    if hooks.peek().is_some() && hooks.all(|hook| hook.client_config.service.is_none()) {
        let repair =
            "it is called by URL, so it runs elsewhere: name its account with --namespace and --service-account";
        return Check::bad(ID, Status::Unknown, what, repair);
    }
    Check::error(ID, format!("{what}: it does not get ready"), "kubectl apply -f deploy/base/rbac.yaml")
}
