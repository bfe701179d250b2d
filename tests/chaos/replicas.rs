//! Two replicas of the real binary behind the balancer, with certificate and rule set mounted as a Secret and a ConfigMap
//! would be.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis::server::certs::{self, Issued, Spec};
use portcullis::server::clock::now;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::balancer::Balancer;
use super::client::{shown, trust};
use super::harness::{Cluster, Registration, Webhook, WebhookOptions, wait_until};
use super::manifests::options;

/// The longest time until a new certificate or rule set is in force (5 s and twice 3 s), with a busy machine's share.
pub(crate) const RELOAD: Duration = Duration::from_secs(15);
/// Of what is rotated by hand: longer than this runs.
const LIFE: Duration = Duration::from_secs(24 * 3600);
/// Readiness of a new replica, on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// A folder whose files change all at once, by a swap of a symbolic link, as the kubelet does it.
pub(crate) struct Mounted {
    folder: PathBuf,
    versions: u32,
}

impl Mounted {
    pub(crate) fn new(folder: PathBuf, files: &[(&str, &str)]) -> Self {
        fs::create_dir_all(&folder).expect("a folder");
        for (name, _) in files {
            symlink(Path::new("..data").join(name), folder.join(name)).expect("a link");
        }
        let mut mounted = Self { folder, versions: 0 };
        mounted.publish(files);
        mounted
    }

    pub(crate) fn publish(&mut self, files: &[(&str, &str)]) {
        self.versions += 1;
        let version = format!("..{}", self.versions);
        fs::create_dir(self.folder.join(&version)).expect("a folder");
        for (name, text) in files {
            fs::write(self.folder.join(&version).join(name), text).expect("a file");
        }
        symlink(&version, self.folder.join("..data_tmp")).expect("a link");
        fs::rename(self.folder.join("..data_tmp"), self.folder.join("..data")).expect("swap the link");
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}

/// A CA made `age` ago: its name tells when, and two are to have different ones.
pub(crate) fn ca(age: Duration) -> Issued {
    certs::generate_ca(LIFE, now() - age).expect("a CA")
}

/// The replicas, and what they are given.
pub(crate) struct Replicas {
    pub(crate) balancer: Balancer,
    pub(crate) running: Vec<Webhook>,
    rules: Mounted,
    /// Where they are told their certificate in files.
    certificate: Option<Mounted>,
    options: WebhookOptions,
}

/// A rule set with [`super::tally::Kind::Leaky`] at this level.
pub(crate) fn rules(leaky: &str) -> String {
    format!(
        "apiVersion: portcullis.dev/v1alpha1\nkind: RuleSet\nmetadata: {{name: chaos}}\nspec:\n  rules:\n    \
         - {{rule: missing-default-deny, level: deny}}\n    - {{rule: egress-private-cidr, level: {leaky}}}\n    \
         - rule: protected-namespace-labels\n      level: deny\n      \
         params: {{keys: [{{prefix: net.example.com/, subjects: {{groups: [operators]}}}}]}}\n"
    )
}

impl Replicas {
    /// Starts two, with a certificate of `ca` in files.
    pub(crate) fn start(runtime: &Runtime, cluster: &Cluster, ca: &Issued) -> Self {
        let leaf = certs::issue(&Spec::default(), ca, LIFE, now()).expect("a certificate");
        let pair = [("tls.crt", leaf.cert_pem.as_str()), ("tls.key", leaf.key_pem.as_str())];
        let certificate = Mounted::new(cluster.folder().join("certificate"), &pair);
        let files = [("--tls-cert", "tls.crt"), ("--tls-key", "tls.key")];
        let files = files.map(|(option, name)| format!("{option}={}", certificate.path(name)));
        let options = options(cluster).args(&files.each_ref().map(String::as_str));
        Self::start_with(runtime, cluster, options, Some(certificate))
    }

    /// Starts two that keep their certificates themselves, each of which lives for `life` seconds.
    pub(crate) fn start_self_managed(runtime: &Runtime, cluster: &Cluster, life: u64) -> Self {
        cluster.namespace("portcullis").ok();
        let life = format!("--tls-lifetime={life}s");
        let own = ["--tls-secret=portcullis/portcullis-tls", "--tls-dns-name=127.0.0.1", &life];
        Self::start_with(runtime, cluster, cluster.webhook_options().args(&own), None)
    }

    fn start_with(runtime: &Runtime, cluster: &Cluster, options: WebhookOptions, certificate: Option<Mounted>) -> Self {
        let rules = Mounted::new(cluster.folder().join("rule-set"), &[("rules.yaml", &rules("deny"))]);
        let options = options.args(&[&format!("--config={}", rules.path("rules.yaml"))]);
        let balancer = Balancer::start(runtime);
        let mut replicas = Self { balancer, running: Vec::new(), rules, certificate, options };
        replicas.add();
        replicas.add();
        replicas
    }

    /// Starts one more, and waits until the balancer sends it connections.
    pub(crate) fn add(&mut self) {
        let ready = self.balancer.ready();
        let webhook = Webhook::start(&self.options);
        self.balancer.add(&webhook);
        self.running.push(webhook);
        wait_until(SOON, "the balancer to see the replica", || (self.balancer.ready() > ready).then_some(()));
    }

    /// What a rolling update does with the eldest: another is started, then this one is asked to stop.
    pub(crate) fn replace_the_eldest(&mut self) {
        self.add();
        let mut eldest = self.running.remove(0);
        eldest.ask_to_stop();
        let status = eldest.wait(Duration::from_secs(30));
        self.balancer.remove(&eldest);
        assert!(status.success(), "a replica asked to stop ended with {status}\n{}", eldest.log());
    }

    /// Registers both webhooks of `deploy/webhook.yaml` at the balancer, trusting `bundle`.
    pub(crate) fn register(&self, cluster: &Cluster, bundle: &str) {
        register(cluster, self.balancer.port(), bundle);
    }

    /// Gives all of them a new certificate of `ca`, and waits until they show it.
    pub(crate) fn renew(&mut self, runtime: &Runtime, ca: &Issued) {
        let leaf = certs::issue(&Spec::default(), ca, LIFE, now()).expect("a certificate");
        let files = self.certificate.as_mut().expect("they are told their certificate in files");
        files.publish(&[("tls.crt", &leaf.cert_pem), ("tls.key", &leaf.key_pem)]);
        // Another certificate of the same CA would be trusted as well.
        let wanted = CertificateDer::from_pem_slice(leaf.cert_pem.as_bytes()).expect("a certificate").to_vec();
        let trust = trust(&ca.cert_pem, "h2");
        for webhook in &self.running {
            wait_until(RELOAD, "the new certificate to be shown", || {
                (runtime.block_on(shown(webhook.port(), &trust)).ok()? == wanted).then_some(())
            });
        }
    }

    /// Publishes a rule set, and waits until all of them have looked at it. Returns what each says of its rule set now.
    pub(crate) fn publish_rules(&mut self, text: &str, reloads: &str) -> Vec<Value> {
        let count = |webhook: &Webhook| webhook.metric("portcullis_config_reloads_total", &[("result", reloads)]);
        let before: Vec<f64> = self.running.iter().map(count).collect();
        self.rules.publish(&[("rules.yaml", text)]);
        self.running
            .iter()
            .zip(before)
            .map(|(webhook, before)| {
                let what = format!("a reload that ends in {reloads}");
                wait_until(RELOAD, &what, || (count(webhook) > before).then_some(()));
                serde_json::from_str(&webhook.ops("/config").expect("/config").1).expect("JSON")
            })
            .collect()
    }
}

/// Registers both webhooks of `deploy/webhook.yaml`, served on `port`.
pub(crate) fn register(cluster: &Cluster, port: u16, bundle: &str) {
    let resources = ["namespaces", "namespaces/status", "namespaces/finalize"];
    let operations = ["CREATE", "UPDATE"];
    let guard = Registration {
        name: "portcullis-guard".to_owned(),
        path: "/validate/labels".to_owned(),
        exempt: Vec::new(),
        rules: json!([{"apiGroups": [""], "apiVersions": ["v1"], "resources": resources, "operations": operations}]),
        ..Registration::default()
    };
    cluster.register_trusting(port, &guard, bundle.as_bytes());
    cluster.register_trusting(port, &Registration::default(), bundle.as_bytes());
}
