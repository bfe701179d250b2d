//! Asks the cluster for the facts. The only file of the doctor that knows a client, and it changes nothing: it lists, gets,
//! asks who may do what, and connects. The probe is a dry run.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::admissionregistration::v1::{ValidatingWebhook, ValidatingWebhookConfiguration};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use serde_json::json;

use self::api::Api;
use self::wire::{Endpoints, ServiceObject, VersionInfo};
use super::facts::{DaemonSet, Facts, Gap, Known, Served, Service, Version};
use super::other_policies::{self, PolicyKind};
use super::rights::{RIGHTS, Right};
use super::{certificate, registration};
use crate::inventory::from_cluster::{self, Cluster};

mod api;
mod probe;
#[cfg(test)]
mod tests;
mod tls;
mod wire;

/// For all questions together. Each has its own deadline too.
const ALL: Duration = Duration::from_secs(120);

/// Why nothing could be looked at.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    /// The kubeconfig does not do.
    #[error("the kubeconfig cannot be used: {0}; see --kubeconfig and --context")]
    Kubeconfig(#[from] KubeconfigError),
    /// The cluster's address or credentials do not.
    #[error(transparent)]
    Client(#[from] from_cluster::Error),
    /// The service account's token cannot be read.
    #[error("this runs inside a cluster, but its service account cannot be read ({0}); mount its token")]
    InCluster(#[from] kube::config::InClusterError),
    /// Nobody there.
    #[error("the API server does not answer: {0}")]
    NoAnswer(String),
    /// Too slow for any use.
    #[error("the API server took more than {0:?} for all questions; is it overloaded?")]
    TooSlow(Duration),
}

/// What to look at.
#[derive(Clone, Debug)]
pub struct Question {
    /// The registration that is Portcullis' in any case.
    pub configuration: String,
    /// Where Portcullis runs.
    pub namespace: String,
    /// As whom.
    pub service_account: String,
    /// Where the webhook's Service can be reached from here, as `HOST:PORT`.
    pub connect: Option<String>,
    /// The namespace in which to try the webhook out, if that is wanted.
    pub probe: Option<String>,
}

/// A cluster to look at.
pub struct Access {
    client: Client,
    /// This runs in a pod of that cluster, so names of Services lead somewhere.
    inside: bool,
}

impl Access {
    /// As kubectl finds it: the given kubeconfig, else that of the environment, else the cluster this runs in.
    ///
    /// # Errors
    /// When none of them can be used.
    pub async fn find(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Self, GatherError> {
        let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
        let inside = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
        let file = match kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        };
        let (config, inside) = match file {
            Err(_) if kubeconfig.is_none() && context.is_none() && inside => (Config::incluster()?, true),
            file => (Config::from_custom_kubeconfig(file?, &options).await?, false),
        };
        Ok(Self { client: Cluster::client_of(config)?, inside })
    }

    /// All the facts.
    ///
    /// # Errors
    /// When the API server does not answer at all. Whatever else is missing becomes a gap.
    pub async fn facts(&self, question: &Question) -> Result<Facts, GatherError> {
        let gathered = tokio::time::timeout(ALL, self.gather(question)).await;
        gathered.map_err(|_| GatherError::TooSlow(ALL))?
    }

    async fn gather(&self, question: &Question) -> Result<Facts, GatherError> {
        let api = Api::new(self.client.clone());
        // Before all else: without an answer to this there is none to anything.
        let version: VersionInfo =
            api.get("/version", "get /version").await.map_err(|gap| GatherError::NoAnswer(unanswered(&gap)))?;
        let registrations = registrations(&api, &question.configuration).await;
        let hooks: &[_] = registrations.as_deref().unwrap_or_default();
        let account = format!("{}:{}", question.namespace, question.service_account);
        let (daemon_sets, nodes, namespaces) = tokio::join!(daemon_sets(&api), nodes(&api), namespaces(&api));
        let (services, served, rights, other_policies) = tokio::join!(
            services(&api, hooks),
            self.served(hooks, question.connect.as_deref()),
            rights(&api, question),
            other(&api)
        );
        let probe = match &question.probe {
            Some(namespace) => Some(probe::probe(&api, namespace).await),
            None => None,
        };
        Ok(Facts {
            version: Version { minor: version.minor(), git: version.git_version },
            daemon_sets,
            nodes,
            namespaces,
            services,
            served,
            account,
            rights,
            other_policies,
            probe,
            registrations,
        })
    }

    /// What is shown where each webhook is called.
    async fn served(
        &self,
        configurations: &[ValidatingWebhookConfiguration],
        connect: Option<&str>,
    ) -> BTreeMap<String, Served> {
        let webhooks = registration::webhooks(configurations);
        let looked = webhooks.iter().map(|webhook| async move {
            let served = match self.address(webhook.hook, connect) {
                Some(address) => tls::look(&address, &certificate::server_name(webhook)).await,
                None => Served::NotTried,
            };
            (webhook.about.clone(), served)
        });
        join_all(looked).await.into_iter().collect()
    }

    fn address(&self, hook: &ValidatingWebhook, connect: Option<&str>) -> Option<String> {
        const HTTPS: u16 = 443;
        match (&hook.client_config.service, &hook.client_config.url) {
            (Some(_), _) if connect.is_some() => connect.map(str::to_owned),
            (Some(service), _) => {
                let port = service.port.unwrap_or(HTTPS.into());
                self.inside.then(|| format!("{}.{}.svc:{port}", service.name, service.namespace))
            }
            (None, Some(url)) => {
                let url: hyper::Uri = url.parse().ok()?;
                Some(format!("{}:{}", url.host()?, url.port_u16().unwrap_or(HTTPS)))
            }
            (None, None) => None,
        }
    }
}

fn unanswered(gap: &Gap) -> String {
    match gap {
        Gap::Failed(_, why) => why.clone(),
        other => other.to_string(),
    }
}

async fn registrations(api: &Api, name: &str) -> Known<Vec<ValidatingWebhookConfiguration>> {
    const PATH: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    let mut all: Vec<ValidatingWebhookConfiguration> =
        api.list(PATH, "list validatingwebhookconfigurations.admissionregistration.k8s.io").await?;
    all.retain(|configuration| registration::is_ours(configuration, name));
    Ok(all)
}

async fn daemon_sets(api: &Api) -> Known<Vec<DaemonSet>> {
    let all: Vec<wire::DaemonSetObject> = api.list("/apis/apps/v1/daemonsets", "list daemonsets.apps").await?;
    Ok(all.into_iter().map(DaemonSet::from).collect())
}

async fn nodes(api: &Api) -> Known<Vec<BTreeMap<String, String>>> {
    let nodes = api.list_metadata("/api/v1/nodes", "list nodes").await?;
    Ok(nodes.into_iter().map(|node| node.metadata.labels).collect())
}

async fn namespaces(api: &Api) -> Known<Vec<(String, BTreeMap<String, String>)>> {
    let namespaces = api.list_metadata("/api/v1/namespaces", "list namespaces").await?;
    Ok(namespaces.into_iter().map(|namespace| (namespace.metadata.name, namespace.metadata.labels)).collect())
}

async fn services(api: &Api, configurations: &[ValidatingWebhookConfiguration]) -> BTreeMap<(String, String), Service> {
    let hooks = configurations.iter().flat_map(|configuration| configuration.webhooks.iter().flatten());
    let named = hooks.filter_map(|hook| hook.client_config.service.as_ref());
    let mut services: BTreeMap<(String, String), Service> = BTreeMap::new();
    for service in named {
        let (namespace, name) = (&service.namespace, &service.name);
        let key = (namespace.clone(), name.clone());
        if services.contains_key(&key) {
            continue;
        }
        let path = |kind: &str| format!("/api/v1/namespaces/{namespace}/{kind}/{name}");
        let may = |kind: &str| format!("get {kind} {namespace}/{name}");
        let (paths, mays) = (["services", "endpoints"].map(path), ["services", "endpoints"].map(may));
        let object: Known<ServiceObject> = api.get(&paths[0], &mays[0]).await;
        // Deprecated for EndpointSlices, but there in every version, 1.20 included, and enough to count the ready.
        let endpoints: Known<Endpoints> = api.get(&paths[1], &mays[1]).await;
        services.insert(
            key,
            Service { ports: object.map(ServiceObject::ports), ready: endpoints.map(|endpoints| endpoints.ready()) },
        );
    }
    services
}

/// A review stores nothing: it is a question.
async fn rights(api: &Api, question: &Question) -> Vec<(Right, Known<bool>)> {
    const PATH: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let Question { namespace, service_account, .. } = question;
    let user = format!("system:serviceaccount:{namespace}:{service_account}");
    let groups = ["system:serviceaccounts", &format!("system:serviceaccounts:{namespace}"), "system:authenticated"]
        .map(str::to_owned);
    let asked = RIGHTS.iter().map(|right| {
        let resource = json!({"verb": right.verb, "group": right.group, "resource": right.resource});
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {"user": user, "groups": groups, "resourceAttributes": resource},
        });
        async move {
            let answer: Known<wire::AccessReview> =
                api.post(PATH, &review, "create subjectaccessreviews.authorization.k8s.io").await;
            (*right, answer.map(|answer| answer.status.allowed))
        }
    });
    join_all(asked).await
}

/// What the API server has of other kinds. Where a kind is not known to it there is nothing to tell.
async fn other(api: &Api) -> Known<Vec<(PolicyKind, Known<u64>)>> {
    let groups: wire::Groups = api.get("/apis", "get /apis").await?;
    let names: Vec<&str> = groups.groups.iter().map(|group| group.name.as_str()).collect();
    let mut found = Vec::new();
    for kind in other_policies::wanted(&names) {
        let versions = groups.groups.iter().filter(|group| group.name == kind.group).flat_map(|group| &group.versions);
        for version in versions {
            let path = format!("/apis/{}/{}", kind.group, version.version);
            let resources: wire::Resources = match api.get(&path, &format!("get {path}")).await {
                Ok(resources) => resources,
                Err(gap) => {
                    found.push((*kind, Err(gap)));
                    break;
                }
            };
            if resources.resources.iter().any(|resource| resource.name == kind.resource) {
                let may = format!("list {}.{}", kind.resource, kind.group);
                found.push((*kind, api.count(&format!("{path}/{}", kind.resource), &may).await));
                break;
            }
        }
    }
    Ok(found)
}
