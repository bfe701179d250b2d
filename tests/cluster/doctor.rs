//! `portcullis doctor` against a real API server: what it says of a cluster that is fit, and of one fault at a time.
//!
//! A DaemonSet is an object like any other, so a plugin is "installed" by writing it down: no node has to run it.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs, thread};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::{ServerConfig, ServerConnection};
use rustls_pki_types::PrivateKeyDer;
use serde_json::{Value, json};

use super::harness::{Cluster, User, Webhook, base64, wait_until};

const SOON: Duration = Duration::from_secs(30);

/// What one run came to.
struct Told {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Told {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{}\n{}", self.stdout, self.stderr))
    }

    /// Every check of this id.
    fn of(&self, id: &str) -> Vec<Value> {
        let whole = self.json();
        whole["checks"].as_array().expect("checks").iter().filter(|check| check["id"] == id).cloned().collect()
    }

    /// There is such a check with this status that says this.
    #[track_caller]
    fn says(&self, id: &str, status: &str, what: &str) -> &Self {
        let told = self.of(id);
        let fits = |check: &&Value| {
            check["status"] == status && check["what"].as_str().is_some_and(|text| text.contains(what))
        };
        assert!(told.iter().any(|check| fits(&check)), "no {status} {id} with {what:?} in\n{}", self.stdout);
        self
    }

    /// Nothing is worse than ok but these.
    #[track_caller]
    fn faults_are(&self, ids: &[&str]) -> &Self {
        let whole = self.json();
        let checks = whole["checks"].as_array().expect("checks").iter();
        let faults: Vec<&str> =
            checks.filter(|check| check["status"] != "ok").filter_map(|check| check["id"].as_str()).collect();
        assert_eq!(faults, ids, "{}", self.stdout);
        self
    }

    #[track_caller]
    fn ends(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }
}

/// Runs it with these arguments, and nothing from outside.
fn run(kubeconfig: &Path, args: &[&str]) -> Told {
    let mut command = Command::new("timeout");
    command.arg("60").arg(env!("CARGO_BIN_EXE_portcullis")).arg("doctor").args(args).env_clear();
    command
        .env("PATH", env::var_os("PATH").unwrap_or_default())
        .env("HOME", "/nonexistent")
        .env("KUBECONFIG", kubeconfig);
    let output = command.output().expect("run portcullis");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Told { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn doctor(cluster: &Cluster, args: &[&str]) -> Told {
    run(&cluster.kubeconfig(User::Admin), &[&["-o", "json"], args].concat())
}

fn daemon_set(name: &str) -> String {
    let labels = json!({"app": name});
    let containers = json!([{"name": "a", "image": "example.com/a:1"}]);
    let template = json!({"metadata": {"labels": labels}, "spec": {"containers": containers}});
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": name, "namespace": "kube-system"},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    })
    .to_string()
}

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/base");

fn deployed(cluster: &Cluster, file: &str) -> Value {
    let file = format!("{DEPLOY}/{file}");
    cluster.kubectl(&["create", "--dry-run=client", "-o", "json", "-f", &file]).ok().json()
}

/// `deploy/base/webhook.yaml`, called by URL where a port is given: there is no network of Services here.
fn registration(cluster: &Cluster, port: Option<u16>, ca: &Path) -> Value {
    let mut object = deployed(cluster, "webhook.yaml");
    let ca = base64(&fs::read(ca).expect("read the CA"));
    for hook in object["webhooks"].as_array_mut().expect("webhooks") {
        if let Some(port) = port {
            let path = hook["clientConfig"]["service"]["path"].as_str().expect("a path").to_owned();
            hook["clientConfig"] = json!({"url": format!("https://127.0.0.1:{port}{path}")});
        }
        hook["clientConfig"]["caBundle"] = json!(ca);
    }
    object
}

/// Everything there is: Calico, the rights, the webhook as it is deployed but for its URL.
fn fit() -> (Cluster, Webhook) {
    let cluster = Cluster::start();
    cluster.namespace("portcullis").ok();
    cluster.kubectl(&["apply", "-f", &format!("{DEPLOY}/rbac.yaml")]).ok();
    cluster.apply(&daemon_set("calico-node")).ok();
    let webhook = cluster.webhook(&[]);
    apply(&cluster, &registration(&cluster, Some(webhook.port()), &webhook.cert_dir().join("ca.crt")));
    (cluster, webhook)
}

fn apply(cluster: &Cluster, registration: &Value) {
    cluster.apply(&registration.to_string()).ok();
    cluster.wait_for_registrations();
}

/// The usual test cluster is an old one: that is told, and is no fault of what is tried here.
fn known(cluster: &Cluster) -> Vec<&'static str> {
    (cluster.version() < (1, 21)).then_some("version").into_iter().collect()
}

#[test]
fn a_fit_cluster_and_each_plugin() {
    let (cluster, _webhook) = fit();
    let told = doctor(&cluster, &["--probe"]);
    told.ends(0).faults_are(&known(&cluster));
    told.says("cni", "ok", "Calico enforces NetworkPolicy (DaemonSet kube-system/calico-node)");
    told.says("webhook-certificate", "ok", "for 127.0.0.1, signed by the caBundle");
    told.says("probe", "ok", "denied the request: [");
    told.says("rbac", "ok", "portcullis/portcullis may do what it needs");
    told.says("other-policies", "ok", "no other kind");
    let whole = told.json();
    assert_eq!(whole["version"], "v1");
    assert_eq!(whole["summary"]["error"], 0);
    assert!(whole["cluster"]["version"].as_str().is_some_and(|version| version.starts_with("v1.")), "{whole}");
    // Nothing was written: not even the probe.
    assert_eq!(cluster.kubectl(&["get", "networkpolicy", "-A", "-o", "name"]).ok().stdout, "");

    cluster.kubectl(&["delete", "daemonset", "calico-node", "-n", "kube-system"]).ok();
    doctor(&cluster, &[]).ends(0).says("cni", "warning", "no CNI plugin that is known here");
    cluster.apply(&daemon_set("kube-flannel-ds")).ok();
    doctor(&cluster, &[]).ends(1).says("cni", "error", "Flannel does not enforce NetworkPolicy");
    doctor(&cluster, &["--fail-on", "never"]).ends(0);
    for name in ["calico-node", "cilium"] {
        cluster.apply(&daemon_set(name)).ok();
    }
    doctor(&cluster, &["--fail-on", "warning"]).ends(1).says("cni", "warning", "several enforce NetworkPolicy");

    let text = run(&cluster.kubeconfig(User::Admin), &[]);
    assert!(
        text.stdout.contains("\nwarning cni: several") && text.stdout.contains("\n        = each of them"),
        "{}",
        text.stdout
    );
    assert!(!text.stdout.contains('\u{1b}'), "no colour off a terminal");
}

#[test]
fn faults_of_the_registration() {
    let (cluster, webhook) = fit();
    let good = registration(&cluster, Some(webhook.port()), &webhook.cert_dir().join("ca.crt"));
    let spoilt = |spoil: &dyn Fn(&mut Value)| {
        let mut object = good.clone();
        spoil(&mut object["webhooks"]);
        cluster.kubectl(&["delete", "validatingwebhookconfiguration", "portcullis"]).ok();
        apply(&cluster, &object);
        doctor(&cluster, &[])
    };
    spoilt(&|hooks| drop(hooks.as_array_mut().expect("webhooks").pop())).ends(1).says(
        "registration",
        "error",
        "guard is missing",
    );
    spoilt(&|hooks| hooks[0]["failurePolicy"] = json!("Ignore")).ends(0).says(
        "webhook-failure-policy",
        "warning",
        "Ignore",
    );
    spoilt(&|hooks| hooks[0]["timeoutSeconds"] = json!(30)).ends(0).says("webhook-timeout", "warning", "30");
    let skip = json!([{"key": "skip", "operator": "DoesNotExist"}]);
    let told = spoilt(&|hooks| hooks[0]["namespaceSelector"] = json!({"matchExpressions": skip}));
    told.ends(0).says("webhook-exemptions", "warning", "the label skip").says(
        "webhook-self-exemption",
        "warning",
        "kube-system",
    );
    let told = spoilt(&|hooks| hooks[1]["namespaceSelector"] = json!({"matchExpressions": skip}));
    told.ends(1).says("webhook-exemptions", "error", "the guard has a namespaceSelector");
    let told = spoilt(&|hooks| hooks[0]["objectSelector"] = json!({"matchLabels": {"judge": "yes"}}));
    told.ends(1).says("webhook-exemptions", "error", "objectSelector goes by judge");
    let told = spoilt(&|hooks| hooks[0]["rules"][0]["operations"] = json!(["CREATE"]));
    told.ends(1).says("webhook-rules", "error", "UPDATE, DELETE of networkpolicies");
    let told = spoilt(&|hooks| hooks[1]["rules"][0]["resources"] = json!(["namespaces"]));
    told.ends(1).says("webhook-rules", "error", "namespaces/status, UPDATE of namespaces/finalize");

    cluster.kubectl(&["delete", "validatingwebhookconfiguration", "portcullis"]).ok();
    cluster.wait_for_registrations();
    doctor(&cluster, &["--probe"]).ends(1).says("registration", "error", "nothing is judged").says(
        "probe",
        "error",
        "without a word",
    );
}

#[test]
fn certificates_and_services() {
    let (cluster, mut webhook) = fit();
    let ca = webhook.cert_dir().join("ca.crt");
    // Somebody else's CA: the API server refuses what the webhook shows, and so does the doctor.
    let other = cluster.folder().join("other");
    let generated =
        Command::new(env!("CARGO_BIN_EXE_portcullis")).args(["certs", "generate", "--out"]).arg(&other).output();
    assert!(generated.expect("run portcullis").status.success());
    apply(&cluster, &registration(&cluster, Some(webhook.port()), &other.join("ca.crt")));
    let told = doctor(&cluster, &["--probe"]);
    told.ends(1).says("webhook-certificate", "error", "another CA signed it");
    told.says("webhook-ca-bundle", "ok", "1 certificate").says("probe", "error", "failed calling webhook");
    // Whoever takes it the other way round is told of the same.
    let bundle = cluster.folder().join("bundle.crt");
    fs::write(&bundle, [fs::read(&ca), fs::read(other.join("ca.crt"))].map(|file| file.expect("read")).concat())
        .expect("write");
    apply(&cluster, &registration(&cluster, Some(webhook.port()), &bundle));
    doctor(&cluster, &[]).ends(0).says("webhook-certificate", "ok", "signed by the caBundle");

    // By a Service that does not exist yet; it has the name that the default certificate is for.
    apply(&cluster, &registration(&cluster, None, &ca));
    let told = doctor(&cluster, &[]);
    told.ends(1).says("webhook-service", "error", "Service portcullis/portcullis does not exist");
    told.says("webhook-certificate", "unknown", "not reachable from here");
    let mut service = deployed(&cluster, "service.yaml");
    service["spec"]["selector"] = Value::Null;
    cluster.apply(&service.to_string()).ok();
    doctor(&cluster, &[]).ends(1).says("webhook-service", "error", "no ready endpoint");
    let addresses = json!([{"ip": "10.1.2.3"}, {"ip": "10.1.2.4"}]);
    let subsets = json!([{"addresses": addresses, "ports": [{"name": "https", "port": 8443}]}]);
    let endpoints = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "portcullis", "namespace": "portcullis"}, "subsets": subsets});
    cluster.apply(&endpoints.to_string()).ok();
    let there = format!("127.0.0.1:{}", webhook.port());
    let told = doctor(&cluster, &["--connect", &there]);
    told.ends(0).faults_are(&known(&cluster)).says("webhook-service", "ok", "2 ready endpoints");
    told.says("webhook-certificate", "ok", "for portcullis.portcullis.svc");

    webhook.kill();
    doctor(&cluster, &["--connect", &there]).ends(1).says("webhook-certificate", "error", "no TLS at 127.0.0.1:");
}

/// A server with a certificate that expired in 2021, and the CA that signed it. `portcullis serve` would not start with it.
fn serve_expired() -> (u16, String) {
    let (ca_key, key) = (KeyPair::generate().expect("a key"), KeyPair::generate().expect("a key"));
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).expect("a CA").pem();
    let mut leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
    (leaf.not_before, leaf.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
    let chain = vec![leaf.signed_by(&key, &Issuer::new(ca, ca_key)).expect("a certificate").der().clone()];
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions();
    let config = config.expect("versions").with_no_client_auth().with_single_cert(chain, key).expect("a configuration");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for stream in listener.incoming().take(10) {
            let (Ok(mut stream), Ok(mut connection)) = (stream, ServerConnection::new(Arc::clone(&config))) else {
                return;
            };
            // The client has seen enough after the certificate.
            connection.complete_io(&mut stream).ok();
        }
    });
    (port, ca_pem)
}

#[test]
fn an_expired_certificate() {
    let cluster = Cluster::start();
    let (port, ca) = serve_expired();
    let file = cluster.folder().join("expired-ca.crt");
    fs::write(&file, ca).expect("write the CA");
    apply(&cluster, &registration(&cluster, Some(port), &file));
    let told = doctor(&cluster, &[]);
    told.ends(1).says("webhook-certificate", "error", "the certificate expired 2021-01-01").says(
        "webhook-ca-bundle",
        "ok",
        "",
    );
}

#[test]
fn whoever_may_not_look_is_told_what_is_missing() {
    let (cluster, _webhook) = fit();
    let dev = |args: &[&str]| run(&cluster.kubeconfig(User::Dev), &[&["-o", "json"], args].concat());
    let told = dev(&["--probe"]);
    told.ends(0);
    for (id, permission) in [
        ("cni", "list daemonsets.apps"),
        ("namespace-names", "list namespaces"),
        ("registration", "list validatingwebhookconfigurations.admissionregistration.k8s.io"),
        ("rbac", "create subjectaccessreviews.authorization.k8s.io"),
        ("probe", "create networkpolicies.networking.k8s.io in default"),
    ] {
        told.says(id, "unknown", permission);
        assert!(
            told.of(id)[0]["repair"].as_str().is_some_and(|repair| repair.contains("docs/doctor.md")),
            "{}",
            told.stdout
        );
    }
    dev(&["--fail-on", "unknown"]).ends(1);

    // The ClusterRole of the documentation is enough, and it is needed to the last line.
    let page =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/doctor.md")).expect("read the documentation");
    let role = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a ClusterRole");
    cluster.apply(role).ok();
    let group = format!("--group={}", User::Dev.group());
    cluster.kubectl(&["create", "clusterrolebinding", "doctor", "--clusterrole=portcullis-doctor", &group]).ok();
    wait_until(SOON, "the new binding to be known", || {
        let told = dev(&[]);
        told.of("rbac").iter().all(|check| check["status"] == "ok").then_some(())
    });
    dev(&[]).ends(0).faults_are(&known(&cluster));
}

#[test]
fn the_account_may_too_little_or_too_much() {
    let (cluster, _webhook) = fit();
    cluster.kubectl(&["create", "clusterrole", "reads-secrets", "--verb=get,list", "--resource=secrets"]).ok();
    let account = "--serviceaccount=portcullis:portcullis";
    cluster.kubectl(&["create", "clusterrolebinding", "reads-secrets", "--clusterrole=reads-secrets", account]).ok();
    wait_until(SOON, "the new binding to be known", || {
        (doctor(&cluster, &[]).of("rbac")[0]["status"] == "warning").then_some(())
    });
    doctor(&cluster, &[]).ends(0).says("rbac", "warning", "everywhere: get secrets, list secrets");
    // Nobody of that name has any right.
    let told = doctor(&cluster, &["--service-account", "other"]);
    told.ends(0).says("rbac", "unknown", "portcullis/other may not get namespaces");
}

#[test]
fn policies_of_other_kinds() {
    let (cluster, _webhook) = fit();
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let version = json!({"name": "v2", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
    let names =
        json!({"plural": "ciliumnetworkpolicies", "singular": "ciliumnetworkpolicy", "kind": "CiliumNetworkPolicy"});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "ciliumnetworkpolicies.cilium.io"},
        "spec": {"group": "cilium.io", "scope": "Namespaced", "names": names, "versions": [version]},
    });
    cluster.apply(&definition.to_string()).ok();
    wait_until(SOON, "the new kind to be served", || {
        cluster.kubectl(&["get", "ciliumnetworkpolicies.cilium.io", "-A"]).succeeded().then_some(())
    });
    wait_until(SOON, "the new kind to be discovered", || {
        doctor(&cluster, &[]).of("other-policies")[0]["what"]
            .as_str()
            .is_some_and(|what| what.contains("has none: ciliumnetworkpolicies.cilium.io"))
            .then_some(())
    });
    // 1.20 built with today's Go crashes on any custom object.
    if !cluster.has(24, "counting custom objects") {
        return;
    }
    for name in ["a", "b", "c"] {
        let policy = json!({"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy", "metadata": {"name": name, "namespace": "default"}});
        cluster.apply(&policy.to_string()).ok();
    }
    doctor(&cluster, &[]).ends(0).says("other-policies", "warning", "3 ciliumnetworkpolicies.cilium.io");
}

#[test]
fn what_cannot_be_looked_at_ends_with_two() {
    let mut cluster = Cluster::start();
    let kubeconfig = cluster.kubeconfig(User::Admin);
    let told = run(Path::new("/nonexistent/config"), &[]);
    told.ends(2);
    assert!(told.stderr.contains("kubeconfig") && told.stderr.contains("--context"), "{}", told.stderr);
    run(&kubeconfig, &["--context", "other"]).ends(2);
    run(&kubeconfig, &["--connect", "nowhere"]).ends(2);
    run(&kubeconfig, &["--context", "test"]).ends(1);
    cluster.stop_api_server();
    let told = run(&kubeconfig, &[]);
    told.ends(2);
    assert!(told.stdout.is_empty() && told.stderr.contains("the API server does not answer"), "{}", told.stderr);
}
