//! How Portcullis is registered: both webhooks, what they are asked about, and what happens when they do not answer.

use k8s_openapi::api::admissionregistration::v1::{
    RuleWithOperations, ValidatingWebhook, ValidatingWebhookConfiguration,
};

use super::{Check, Status};

/// The label that `deploy/` gives to everything.
const LABEL: (&str, &str) = ("app.kubernetes.io/name", "portcullis");
/// How the names of its webhooks end.
const DOMAIN: &str = ".portcullis.dev";
/// Where the server takes reviews, and those about labels alone.
const MAIN_PATH: &str = "/validate";
const GUARD_PATH: &str = "/validate/labels";

/// What a webhook is for, by the path that is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Judges policies and namespaces.
    Main,
    /// Judges labels of namespaces, wherever they change.
    Guard,
    /// Nothing is served there.
    Neither,
}

/// A webhook of a registration.
#[derive(Clone, Debug)]
pub(super) struct Webhook<'a> {
    /// `CONFIGURATION/WEBHOOK`.
    pub(super) about: String,
    pub(super) role: Role,
    pub(super) hook: &'a ValidatingWebhook,
}

/// Whether a registration is one of Portcullis: by its name, its label, or the names of its webhooks.
pub(super) fn is_ours(configuration: &ValidatingWebhookConfiguration, name: &str) -> bool {
    let labels = configuration.metadata.labels.as_ref();
    let hooks = configuration.webhooks.as_deref().unwrap_or_default();
    configuration.metadata.name.as_deref() == Some(name)
        || labels.is_some_and(|labels| labels.get(LABEL.0).is_some_and(|value| value == LABEL.1))
        || hooks.iter().any(|hook| hook.name.ends_with(DOMAIN) && role(hook) != Role::Neither)
}

pub(super) fn webhooks(configurations: &[ValidatingWebhookConfiguration]) -> Vec<Webhook<'_>> {
    let hooks = configurations.iter().flat_map(|configuration| {
        let name = configuration.metadata.name.as_deref().unwrap_or_default();
        configuration.webhooks.iter().flatten().map(move |hook| (name, hook))
    });
    hooks.map(|(name, hook)| Webhook { about: format!("{name}/{}", hook.name), role: role(hook), hook }).collect()
}

fn role(hook: &ValidatingWebhook) -> Role {
    match path(hook) {
        MAIN_PATH => Role::Main,
        GUARD_PATH => Role::Guard,
        _ => Role::Neither,
    }
}

fn path(hook: &ValidatingWebhook) -> &str {
    let config = &hook.client_config;
    if let Some(service) = &config.service {
        return service.path.as_deref().unwrap_or("/");
    }
    let rest = config.url.as_deref().and_then(|url| url.split_once("://")).map_or("", |(_, rest)| rest);
    rest.find('/').map_or("/", |start| &rest[start..])
}

pub(super) fn check(configurations: &[ValidatingWebhookConfiguration], webhooks: &[Webhook<'_>]) -> Vec<Check> {
    let mut checks = presence(configurations, webhooks);
    checks.extend(coverage(webhooks));
    checks.extend(webhooks.iter().filter(|webhook| webhook.role != Role::Neither).flat_map(|webhook| {
        let checks = [failure_policy(webhook.hook), timeout(webhook.hook), protocol(webhook.hook)];
        checks.map(|check| check.about(webhook))
    }));
    checks
}

fn presence(configurations: &[ValidatingWebhookConfiguration], webhooks: &[Webhook<'_>]) -> Vec<Check> {
    const ID: &str = "registration";
    const INSTALL: &str = "deploy/install.sh registers both webhooks (deploy/base/webhook.yaml)";
    let names: Vec<&str> = configurations.iter().filter_map(|config| config.metadata.name.as_deref()).collect();
    if names.is_empty() {
        let what = "there is no ValidatingWebhookConfiguration of Portcullis: nothing is judged";
        return vec![Check::error(ID, what, format!("{INSTALL}; for another name see --webhook-configuration"))];
    }
    let has = |role| webhooks.iter().any(|webhook| webhook.role == role);
    let mut checks: Vec<Check> = webhooks
        .iter()
        .filter(|webhook| webhook.role == Role::Neither)
        .map(|webhook| {
            let what = format!("calls {:?}, where nothing is served", path(webhook.hook));
            Check::error(ID, what, format!("the paths are {MAIN_PATH} and {GUARD_PATH}")).about(webhook)
        })
        .collect();
    if !has(Role::Main) {
        let what = format!("no webhook calls {MAIN_PATH}: no NetworkPolicy is judged");
        checks.push(Check::error(ID, what, INSTALL));
    }
    if !has(Role::Guard) {
        let what = format!(
            "the guard is missing, a webhook without selectors that calls {GUARD_PATH}: labels of namespaces change \
             unjudged through namespaces/status, namespaces/finalize and every exemption"
        );
        checks.push(Check::error(ID, what, INSTALL));
    }
    if names.len() > 1 {
        let what = format!("registered {} times: {}", names.len(), super::some_of(&names));
        checks.push(Check::warning(ID, what, "every request is judged by each of them: keep one"));
    }
    if checks.is_empty() {
        checks.push(Check::ok(
            ID,
            format!("ValidatingWebhookConfiguration {} has the main webhook and the guard", names[0]),
        ));
    }
    checks
}

/// What has to be asked: group, resource with subresource, operations. Scope is that of the resource.
type Needed = (&'static str, &'static str, &'static [&'static str]);

const MAIN_NEEDS: &[Needed] = &[
    ("networking.k8s.io", "networkpolicies", &["CREATE", "UPDATE", "DELETE"]),
    ("", "namespaces", &["CREATE", "UPDATE", "DELETE"]),
];
/// A subresource is only ever updated.
const GUARD_NEEDS: &[Needed] = &[
    ("", "namespaces", &["CREATE", "UPDATE"]),
    ("", "namespaces/status", &["UPDATE"]),
    ("", "namespaces/finalize", &["UPDATE"]),
];

fn coverage(webhooks: &[Webhook<'_>]) -> Vec<Check> {
    const ID: &str = "webhook-rules";
    let roles = [(Role::Main, "main webhook", MAIN_NEEDS), (Role::Guard, "guard", GUARD_NEEDS)];
    let mut checks = Vec::new();
    for (role, title, needs) in roles {
        let hooks: Vec<&Webhook<'_>> = webhooks.iter().filter(|webhook| webhook.role == role).collect();
        if hooks.is_empty() {
            continue;
        }
        let rules: Vec<&RuleWithOperations> =
            hooks.iter().flat_map(|webhook| webhook.hook.rules.iter().flatten()).collect();
        let missing: Vec<String> = needs.iter().filter_map(|needed| missing(&rules, needed)).collect();
        checks.push(if missing.is_empty() {
            Check::ok(ID, format!("the {title} is asked about all that it judges"))
        } else {
            let what = format!("the {title} is not asked about {}: those requests pass unjudged", missing.join(", "));
            Check::error(ID, what, "take the rules from deploy/base/webhook.yaml")
        });
    }
    checks
}

fn missing(rules: &[&RuleWithOperations], (group, resource, operations): &Needed) -> Option<String> {
    let uncovered = |operation: &&&str| !rules.iter().any(|rule| covers(rule, group, resource, operation));
    let uncovered: Vec<&str> = operations.iter().filter(uncovered).copied().collect();
    (!uncovered.is_empty()).then(|| format!("{} of {resource}", uncovered.join(", ")))
}

/// As the API server matches: `*` in resources stands for all of them without their subresources, `*/*` for everything,
/// `a/*` for all subresources of `a`, `*/b` for that subresource of all.
fn covers(rule: &RuleWithOperations, group: &str, resource: &str, operation: &str) -> bool {
    let has =
        |list: &Option<Vec<String>>, wanted: &str| list.iter().flatten().any(|item| item == "*" || item == wanted);
    let (name, sub) = resource.split_once('/').unwrap_or((resource, ""));
    let of_resource = |pattern: &String| match pattern.split_once('/') {
        Some((of, pattern)) => (of == "*" || of == name) && (pattern == "*" || pattern == sub),
        None => sub.is_empty() && (pattern == "*" || pattern == name),
    };
    let scope = if name == "namespaces" { "Cluster" } else { "Namespaced" };
    has(&rule.api_groups, group)
        && has(&rule.api_versions, "v1")
        && has(&rule.operations, operation)
        && rule.resources.iter().flatten().any(of_resource)
        && rule.scope.as_deref().is_none_or(|given| given == "*" || given == scope)
}

fn failure_policy(hook: &ValidatingWebhook) -> Check {
    const ID: &str = "webhook-failure-policy";
    if hook.failure_policy.as_deref() == Some("Ignore") {
        let what = "failurePolicy Ignore: while the webhook is away or slow, everything passes unjudged";
        return Check::warning(ID, what, "set failurePolicy: Fail once it has proved itself");
    }
    Check::ok(ID, "failurePolicy Fail: what cannot be judged is not admitted")
}

fn timeout(hook: &ValidatingWebhook) -> Check {
    const ID: &str = "webhook-timeout";
    /// What the API server takes where nothing is said.
    const DEFAULT: i32 = 10;
    let seconds = hook.timeout_seconds.unwrap_or(DEFAULT);
    let repair = "set timeoutSeconds: 5";
    match seconds {
        ..2 => {
            let what = format!("timeoutSeconds {seconds}: too short for a live read of the API server within it");
            Check::warning(ID, what, repair)
        }
        2..=10 => Check::ok(ID, format!("timeoutSeconds {seconds}")),
        _ => {
            let what = format!("timeoutSeconds {seconds}: while the webhook hangs, every request waits as long");
            Check::warning(ID, what, repair)
        }
    }
}

fn protocol(hook: &ValidatingWebhook) -> Check {
    const ID: &str = "webhook-protocol";
    let mut wrong = Vec::new();
    let mut status = Status::Warning;
    if !matches!(hook.side_effects.as_str(), "None" | "NoneOnDryRun") {
        wrong.push(format!("sideEffects {} (dry runs are refused)", hook.side_effects));
        status = Status::Error;
    } else if hook.side_effects != "None" {
        wrong.push(format!("sideEffects {}", hook.side_effects));
    }
    if !hook.admission_review_versions.iter().any(|version| version == "v1") {
        wrong.push(format!(
            "admissionReviewVersions {:?} without v1, the only one spoken",
            hook.admission_review_versions
        ));
        status = Status::Error;
    }
    if hook.match_policy.as_deref() == Some("Exact") {
        wrong.push("matchPolicy Exact (another version of the same objects passes unseen)".to_owned());
    }
    if wrong.is_empty() {
        return Check::ok(ID, "sideEffects None, admissionReviewVersions v1, matchPolicy Equivalent");
    }
    let repair = "set sideEffects: None, admissionReviewVersions: [v1], matchPolicy: Equivalent";
    Check::bad(ID, status, wrong.join(", "), repair)
}
