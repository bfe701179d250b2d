//! What the registration keeps from the webhook, and whether a tenant could make use of it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::Check;
use super::registration::{Role, Webhook};
use super::version::NAME_LABEL;

const ID: &str = "webhook-exemptions";
const BY_NAME: &str = "exempt by kubernetes.io/metadata.name with NotIn alone, which nobody can change";

pub(super) fn check(webhooks: &[Webhook<'_>]) -> Vec<Check> {
    // Of use only if no selector of its own can switch it off.
    let guarded = webhooks.iter().any(|webhook| webhook.role == Role::Guard && guard(webhook).is_empty());
    let of = |webhook: &Webhook<'_>| {
        let mut checks = match webhook.role {
            Role::Main => main(webhook, guarded),
            Role::Guard => guard(webhook),
            Role::Neither => return Vec::new(),
        };
        if checks.is_empty() {
            checks.push(unexploitable(webhook));
        }
        checks.extend(self_exemption(webhook));
        checks.into_iter().map(|check| check.about(webhook)).collect()
    };
    webhooks.iter().flat_map(of).collect()
}

/// A requirement of a selector: key, operator, values.
type Requirement<'a> = (&'a str, &'a str, &'a [String]);

fn requirements(selector: Option<&LabelSelector>) -> Vec<Requirement<'_>> {
    let Some(selector) = selector else { return Vec::new() };
    let labels = selector.match_labels.iter().flatten();
    let labels = labels.map(|(key, value)| (key.as_str(), "In", std::slice::from_ref(value)));
    let expressions = selector.match_expressions.iter().flatten().map(|expression| {
        (expression.key.as_str(), expression.operator.as_str(), expression.values.as_deref().unwrap_or_default())
    });
    labels.chain(expressions).collect()
}

/// Namespaces that are exempt by their names.
fn exempt<'a>(webhook: &Webhook<'a>) -> Vec<&'a str> {
    let by_name = requirements(webhook.hook.namespace_selector.as_ref())
        .into_iter()
        .filter(|(key, operator, _)| *key == NAME_LABEL && *operator == "NotIn");
    by_name.flat_map(|(_, _, values)| values.iter().map(String::as_str)).collect()
}

fn unexploitable(webhook: &Webhook<'_>) -> Check {
    match (webhook.role, exempt(webhook)) {
        (Role::Guard, _) => Check::ok(ID, "no selector and no condition: nobody escapes the guard"),
        (_, names) if names.is_empty() => Check::ok(ID, "nothing is exempt"),
        (_, names) => Check::ok(ID, format!("exempt by name, which no tenant can take: {}", names.join(", "))),
    }
}

fn main(webhook: &Webhook<'_>, guarded: bool) -> Vec<Check> {
    let mut checks = Vec::new();
    for (key, operator, values) in requirements(webhook.hook.namespace_selector.as_ref()) {
        checks.extend(match (key, operator) {
            (NAME_LABEL, "In") => {
                let what = format!("only these namespaces are judged: {}", values.join(", "));
                Some(Check::warning(
                    ID,
                    what,
                    "use NotIn with the namespaces that are exempt, so that new ones are judged",
                ))
            }
            (NAME_LABEL, "DoesNotExist") => {
                Some(Check::error(ID, "the namespaceSelector matches no namespace: nothing is judged", BY_NAME))
            }
            (NAME_LABEL, _) => None,
            (key, _) => Some(by_label(key, guarded)),
        });
    }
    checks.extend(by_object(webhook, "whoever writes a policy labels it out of sight in the same request"));
    checks.extend(conditions(webhook));
    checks
}

fn by_label(key: &str, guarded: bool) -> Check {
    let what = format!("the namespaceSelector goes by the label {key}, which whoever may label a namespace can set");
    if guarded {
        let repair = format!(
            "the guard sees such changes: name the key in the rule webhook-exemption (`keys: [{key}]`), or {BY_NAME}"
        );
        return Check::warning(ID, format!("{what}, unless the rule webhook-exemption names it"), repair);
    }
    let what = format!("{what}: it is matched on the new labels, so the request that sets it escapes already");
    Check::error(ID, what, format!("{BY_NAME}; or register the guard and name the key in the rule webhook-exemption"))
}

fn by_object(webhook: &Webhook<'_>, why: &str) -> Option<Check> {
    let keys: Vec<&str> = requirements(webhook.hook.object_selector.as_ref()).iter().map(|(key, ..)| *key).collect();
    let what = || format!("the objectSelector goes by {}: {why}", keys.join(", "));
    (!keys.is_empty())
        .then(|| Check::error(ID, what(), "remove the objectSelector; exempt in the rule set, with a reason"))
}

/// A condition is CEL, and who could meet it is not decided here: only whether it reads what the requester writes.
fn conditions(webhook: &Webhook<'_>) -> Vec<Check> {
    /// Of an object, but not up to who writes it.
    const GIVEN: [&str; 2] = ["object.metadata.namespace", "object.kind"];
    let judged = webhook.hook.match_conditions.iter().flatten().map(|condition| {
        let what = format!("the matchCondition {:?} keeps requests from the webhook", condition.name);
        let repair = "remove it; exempt in the rule set instead, where each exemption has a reason and an end";
        // In lower case, for `oldObject` and `namespaceObject`.
        let read = GIVEN.iter().fold(condition.expression.to_lowercase(), |read, given| read.replace(given, ""));
        if read.contains("object") {
            Check::error(ID, format!("{what}, by what the requester writes: {}", condition.expression), repair)
        } else {
            Check::warning(ID, format!("{what}: {}", condition.expression), repair)
        }
    });
    judged.collect()
}

fn guard(webhook: &Webhook<'_>) -> Vec<Check> {
    let mut checks = Vec::new();
    if !requirements(webhook.hook.namespace_selector.as_ref()).is_empty() {
        let what = "the guard has a namespaceSelector: the labels that it guards can switch it off";
        checks.push(Check::error(ID, what, "remove it from the guard; only the main webhook may have one"));
    }
    checks.extend(by_object(webhook, "the labels that it guards can switch it off"));
    checks.extend(conditions(webhook));
    checks
}

/// What must be mendable while nobody judges: the control plane's namespace, and Portcullis' own.
fn self_exemption(webhook: &Webhook<'_>) -> Option<Check> {
    const ID: &str = "webhook-self-exemption";
    if webhook.role != Role::Main {
        return None;
    }
    let own = webhook.hook.client_config.service.as_ref().map(|service| service.namespace.as_str());
    let exempt = exempt(webhook);
    let missing: Vec<&str> = ["kube-system"].into_iter().chain(own).filter(|name| !exempt.contains(name)).collect();
    if missing.is_empty() {
        return Some(Check::ok(ID, "its own namespace and kube-system can be mended while it is away"));
    }
    let what =
        format!("not exempt: {}; while the webhook is away, nobody can mend the policies there", missing.join(", "));
    let repair = format!("add them to the namespaceSelector: {NAME_LABEL} NotIn [{}]", missing.join(", "));
    Some(Check::warning(ID, what, repair))
}
