//! The `ValidatingWebhookConfiguration`, and knowing when the API server goes by it.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::User;
use super::cluster::Cluster;
use super::wait::wait_until;
use super::webhook::{Webhook, WebhookOptions};

/// The API server goes by a new registration within a second or so.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(30);
const PROBE: &str = "portcullis-test-probe";

/// How the webhook is registered; what is not said is as the deployment has it.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    /// The name of the configuration; another name is another registration beside the first.
    pub(crate) name: String,
    /// Where the API server calls; by default the webhook's own `/validate`. For a balancer in front of two replicas.
    pub(crate) url: Option<String>,
    /// The path, where `url` is not given.
    pub(crate) path: String,
    /// `Fail` or `Ignore`.
    pub(crate) failure_policy: String,
    /// Between 1 and 30.
    pub(crate) timeout_seconds: u32,
    /// Namespaces that are never judged.
    pub(crate) exempt: Vec<String>,
    /// The `rules` of the webhook.
    pub(crate) rules: Value,
    /// Fields laid over the webhook's entry: `matchConditions`, `objectSelector`, another `namespaceSelector`.
    pub(crate) overrides: Value,
}

impl Default for Registration {
    fn default() -> Self {
        Self {
            name: "portcullis".to_owned(),
            url: None,
            path: "/validate".to_owned(),
            failure_policy: "Fail".to_owned(),
            timeout_seconds: 5,
            exempt: vec!["kube-system".to_owned()],
            rules: json!([rule("networking.k8s.io", "networkpolicies"), rule("", "namespaces")]),
            overrides: json!({}),
        }
    }
}

/// A rule of the webhook: all that can be done to one kind of object.
fn rule(group: &str, resource: &str) -> Value {
    let operations = ["CREATE", "UPDATE", "DELETE"];
    json!({"apiGroups": [group], "apiVersions": ["v1"], "resources": [resource], "operations": operations})
}

impl Registration {
    /// The object to apply.
    fn manifest(&self, port: u16, ca: &[u8]) -> Value {
        let url = self.url.clone().unwrap_or_else(|| format!("https://127.0.0.1:{port}{}", self.path));
        let mut webhook = json!({
            "name": format!("validate.{}.dev", self.name),
            "clientConfig": {"url": url, "caBundle": base64(ca)},
            "rules": self.rules,
            "failurePolicy": self.failure_policy,
            "timeoutSeconds": self.timeout_seconds,
            "sideEffects": "None",
            "matchPolicy": "Equivalent",
            "admissionReviewVersions": ["v1"],
        });
        if !self.exempt.is_empty() {
            let unless = json!({"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": self.exempt});
            webhook["namespaceSelector"] = json!({"matchExpressions": [unless]});
        }
        for (key, value) in self.overrides.as_object().into_iter().flatten() {
            webhook[key] = value.clone();
        }
        configuration(&self.name, &webhook)
    }
}

impl Cluster {
    /// A webhook for this cluster, reading it as admin.
    pub(crate) fn webhook(&self, args: &[&str]) -> Webhook {
        Webhook::start(&self.webhook_options().args(args))
    }

    /// What [`Cluster::webhook`] starts from.
    pub(crate) fn webhook_options(&self) -> WebhookOptions {
        WebhookOptions { kubeconfig: Some(self.kubeconfig(User::Admin)), ..WebhookOptions::default() }
    }

    /// Registers the webhook, or registers it anew, and waits until the API server goes by it.
    pub(crate) fn register(&self, webhook: &Webhook, registration: &Registration) {
        let file = webhook.cert_dir().join("ca.crt");
        let ca = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.register_trusting(webhook.port(), registration, &ca);
    }

    /// The same for whatever listens on `port`, with this CA bundle.
    pub(crate) fn register_trusting(&self, port: u16, registration: &Registration, ca: &[u8]) {
        self.apply(&registration.manifest(port, ca).to_string()).ok();
        self.wait_for_registrations();
    }

    /// Takes a registration back, and waits until the API server has forgotten it.
    pub(crate) fn unregister(&self, registration: &Registration) {
        self.kubectl(&["delete", "validatingwebhookconfiguration", &registration.name]).ok();
        self.wait_for_registrations();
    }

    /// Waits until the API server goes by all webhook configurations written so far.
    ///
    /// It learns of them in the order of their writing. So a probe is written last: a webhook that nobody serves, for
    /// objects with a label that only this call uses. Once such an object is refused, everything before is in force.
    /// Neither the webhook under test nor its metrics notice anything.
    pub(crate) fn wait_for_registrations(&self) {
        static PROBES: AtomicU32 = AtomicU32::new(0);
        let probe = format!("probe-{}", PROBES.fetch_add(1, Ordering::Relaxed));
        let webhook = json!({
            "name": "probe.portcullis.dev",
            // Port 1 is never served: connections are refused at once.
            "clientConfig": {"url": "https://127.0.0.1:1/"},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"]}],
            "failurePolicy": "Fail",
            "timeoutSeconds": 1,
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "objectSelector": {"matchLabels": {"portcullis.dev/probe": probe}},
        });
        self.apply(&configuration(PROBE, &webhook).to_string()).ok();
        let metadata = json!({"name": "probe", "namespace": "default", "labels": {"portcullis.dev/probe": probe}});
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
        wait_until(IN_FORCE_WITHIN, "the API server to go by its webhook configurations", || {
            let outcome = self.kubectl_stdin(&["create", "--dry-run=server", "-f", "-"], &object.to_string());
            outcome.is_webhook_unavailable().then_some(())
        });
        self.kubectl(&["delete", "validatingwebhookconfiguration", PROBE]).ok();
    }
}

fn configuration(name: &str, webhook: &Value) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name}, "webhooks": [webhook],
    })
}

/// RFC 4648 with padding: fifteen lines rather than a dependency for one field.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for position in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * position)) as usize & 63];
            text.push(if position <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}
