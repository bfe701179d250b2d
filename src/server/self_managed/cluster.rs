//! The Secret and the webhook configuration in the cluster. Every write carries the resource version it is based on.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use super::material::Material;

/// Set by cert-manager on the Secrets it keeps.
const CERT_MANAGER: &str = "cert-manager.io/certificate-name";

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Done,
    /// Somebody else was quicker: look again.
    Conflict,
}

/// How it stands with the webhook configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Registered {
    /// There is none, or none with webhooks in it.
    No,
    /// It had the bundle already.
    Already,
    /// It has the bundle now.
    Now,
    /// It was changed meanwhile: look again.
    Conflict,
}

/// Access to both.
pub(super) struct Cluster {
    secrets: Api<Secret>,
    configurations: Api<ValidatingWebhookConfiguration>,
    secret: String,
    namespace: String,
    configuration: String,
}

impl Cluster {
    pub(super) fn new(client: Client, namespace: &str, secret: &str, configuration: &str) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), namespace),
            configurations: Api::all(client),
            secret: secret.to_owned(),
            namespace: namespace.to_owned(),
            configuration: configuration.to_owned(),
        }
    }

    pub(super) async fn read(&self) -> Result<Option<Secret>, String> {
        self.secrets.get_opt(&self.secret).await.map_err(|error| self.failed("reading", &error))
    }

    /// Stores `material` in place of `found`. Other keys of the Secret stay, and so does its type, which is immutable.
    pub(super) async fn write(&self, found: Option<Secret>, material: &Material) -> Result<Written, String> {
        let params = PostParams { field_manager: Some("portcullis".to_owned()), ..PostParams::default() };
        let entries = material.entries().into_iter();
        let entries = entries.map(|(key, text)| (key.to_owned(), ByteString(text.as_bytes().to_vec())));
        let Some(mut secret) = found else {
            let written = self.secrets.create(&params, &self.fresh(entries.collect())).await;
            return self.written("creating", written);
        };
        if secret.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(CERT_MANAGER)) {
            return Err(format!(
                "Secret {}/{} is kept by cert-manager: give --tls-secret a name of its own, or mount this one and use --tls-cert",
                self.namespace, self.secret
            ));
        }
        secret.data.get_or_insert_default().extend(entries);
        let written = self.secrets.replace(&self.secret, &params, &secret).await;
        self.written("writing", written)
    }

    fn fresh(&self, data: BTreeMap<String, ByteString>) -> Secret {
        let labels = BTreeMap::from([("app.kubernetes.io/name".to_owned(), "portcullis".to_owned())]);
        let metadata = ObjectMeta { name: Some(self.secret.clone()), labels: Some(labels), ..ObjectMeta::default() };
        Secret { metadata, type_: Some("kubernetes.io/tls".to_owned()), data: Some(data), ..Secret::default() }
    }

    fn written(&self, doing: &str, result: kube::Result<Secret>) -> Result<Written, String> {
        match result {
            Ok(_) => Ok(Written::Done),
            // Gone or there meanwhile, or of another version.
            Err(kube::Error::Api(status)) if status.code == 409 || status.is_not_found() => Ok(Written::Conflict),
            Err(error) => Err(self.failed(doing, &error)),
        }
    }

    fn failed(&self, doing: &str, error: &kube::Error) -> String {
        format!("{doing} Secret {}/{}: {}", self.namespace, self.secret, one_line(error))
    }

    /// Puts the bundle into every webhook of the configuration that has another.
    pub(super) async fn register(&self, bundle: &str) -> Result<Registered, String> {
        let failed = |doing: &str, error: &kube::Error| {
            format!("{doing} ValidatingWebhookConfiguration {}: {}", self.configuration, one_line(error))
        };
        let found = self.configurations.get_opt(&self.configuration).await;
        let found = found.map_err(|error| failed("reading", &error))?;
        let Some((version, webhooks)) = found.map(|found| (found.metadata.resource_version, found.webhooks)) else {
            return Ok(Registered::No);
        };
        let webhooks = webhooks.unwrap_or_default();
        if webhooks.is_empty() {
            return Ok(Registered::No);
        }
        let bundle = ByteString(bundle.as_bytes().to_vec());
        let others = webhooks.iter().filter(|webhook| webhook.client_config.ca_bundle.as_ref() != Some(&bundle));
        // Merged by name; everything else of a webhook stays.
        let patches: Vec<_> =
            others.map(|webhook| json!({"name": webhook.name, "clientConfig": {"caBundle": bundle}})).collect();
        if patches.is_empty() {
            return Ok(Registered::Already);
        }
        let patch = Patch::Strategic(json!({"metadata": {"resourceVersion": version}, "webhooks": patches}));
        match self.configurations.patch(&self.configuration, &PatchParams::default(), &patch).await {
            Ok(_) => Ok(Registered::Now),
            Err(kube::Error::Api(status)) if status.code == 409 || status.is_not_found() => Ok(Registered::Conflict),
            Err(error) => Err(failed("patching", &error)),
        }
    }
}

/// An error with its causes, without line breaks.
fn one_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = inner.source();
    }
    text.replace(char::is_control, " ")
}
