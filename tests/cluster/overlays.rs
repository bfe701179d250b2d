//! `deploy/overlays`: a real API server takes each of them, and each is what its name says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::deployment::stage::{DEPLOY, copy, find, rendered, text};
use super::harness::{Cluster, wait_until};
use super::manifests::policy;

const SOON: Duration = Duration::from_secs(30);
/// Group and kind; the version is v1.
const FOREIGN: [(&str, &str); 4] = [
    ("cert-manager.io", "Certificate"),
    ("cert-manager.io", "Issuer"),
    ("monitoring.coreos.com", "ServiceMonitor"),
    ("monitoring.coreos.com", "PrometheusRule"),
];

/// The kinds of others that the manifests use, without their schemas: there is nobody here to act on them.
///
/// False, and printed, where the API server cannot keep such objects: one before 1.24 that was built by Go 1.18 or later
/// ends at the first of them, unless it was mended as `install.sh` does.
#[must_use]
pub(crate) fn takes_foreign_kinds(cluster: &mut Cluster) -> bool {
    for (group, kind) in FOREIGN {
        let plural = format!("{}s", kind.to_lowercase());
        let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}")},
            "spec": {
                "group": group, "scope": "Namespaced", "names": {"kind": kind, "plural": plural},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}],
            },
        });
        cluster.apply(&definition.to_string()).ok();
        wait_until(SOON, &format!("the API server to serve {plural}"), || {
            cluster.kubectl(&["get", &format!("{plural}.{group}"), "-A"]).succeeded().then_some(())
        });
    }
    let probe = json!({
        "apiVersion": "cert-manager.io/v1", "kind": "Issuer", "metadata": {"name": "probe", "namespace": "default"},
    });
    if cluster.apply(&probe.to_string()).succeeded() {
        return true;
    }
    eprintln!(
        "skipped: objects of cert-manager and Prometheus' operator; this API server ends at the first custom object. \
         Remove it, and tests/cluster/install.sh builds one that does not"
    );
    cluster.restart_api_server();
    false
}

/// Whether an object is one of [`takes_foreign_kinds`].
fn is_foreign(object: &Value) -> bool {
    FOREIGN.iter().any(|(group, _)| object["apiVersion"] == format!("{group}/v1"))
}

/// What the binary says of the rule set in a ConfigMap.
pub(crate) fn config_check(cluster: &Cluster, config_map: &Value) -> String {
    let folder = rules_folder(cluster, config_map);
    let output =
        Command::new(env!("CARGO_BIN_EXE_portcullis")).args(["config", "check", "."]).current_dir(folder).output();
    let output = output.expect("run portcullis");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{said}");
    said
}

fn rules_folder(cluster: &Cluster, config_map: &Value) -> PathBuf {
    let folder = cluster.folder().join("rules");
    fs::remove_dir_all(&folder).ok();
    fs::create_dir(&folder).expect("make a folder");
    for (name, content) in config_map["data"].as_object().expect("files") {
        fs::write(folder.join(name), content.as_str().expect("text")).expect("write a rule set");
    }
    folder
}

fn overlay(folder: &Path, name: &str) -> String {
    text(&folder.join("overlays").join(name)).to_owned()
}

#[test]
fn a_real_api_server_takes_each_overlay() {
    let mut cluster = Cluster::start();
    let takes_foreign = takes_foreign_kinds(&mut cluster);
    let folder = copy(&cluster, 443);
    let apply = |name: &str| {
        let mut objects = rendered(&cluster, &overlay(&folder, name));
        objects.retain(|object| takes_foreign || !is_foreign(object));
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        cluster.apply(&list.to_string()).ok().stdout
    };
    // Before the registrations that nobody serves, which would refuse it.
    cluster.kubectl(&["apply", "-f", text(&folder.join("base/namespace.yaml"))]).ok();
    for name in ["self-managed", "cert-manager", "audit-first"] {
        apply(name);
        let again = apply(name);
        assert!(again.lines().all(|line| line.ends_with(" unchanged")), "{name}\n{again}");
    }
    // The last of them stands in nobody's way, although nobody serves it.
    cluster.wait_for_registrations();
    cluster.namespace("a").ok();
    cluster.apply(&policy("a", "open", "{podSelector: {}, ingress: [{}]}")).ok();
    // The one before does.
    apply("cert-manager");
    cluster.wait_for_registrations();
    cluster.namespace("b").webhook_unavailable();
}

#[test]
fn each_overlay_is_what_its_name_says() {
    let cluster = Cluster::start();
    let objects = |name: &str| rendered(&cluster, &overlay(Path::new(DEPLOY), name));
    for name in ["self-managed", "cert-manager", "audit-first"] {
        for object in objects(name) {
            assert_eq!(object["metadata"]["labels"]["app.kubernetes.io/name"], "portcullis", "{name}: {object}");
        }
    }
    let pod = |objects: &[Value]| find(objects, "Deployment", "portcullis")["spec"]["template"]["spec"].clone();
    let volumes = |objects: &[Value]| pod(objects)["volumes"].as_array().expect("volumes").len();
    let self_managed = objects("self-managed");
    assert_eq!(volumes(&self_managed), 1);
    let args = pod(&self_managed)["containers"][0]["args"].to_string();
    assert!(args.contains("--tls-secret=portcullis/portcullis-tls") && !args.contains("--tls-cert"), "{args}");

    let with_cert_manager = objects("cert-manager");
    assert_eq!(pod(&with_cert_manager)["volumes"][0]["secret"]["secretName"], "portcullis-tls");
    let registration = find(&with_cert_manager, "ValidatingWebhookConfiguration", "portcullis");
    let from = &registration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"];
    let certificate = find(&with_cert_manager, "Certificate", "portcullis-tls");
    assert_eq!(*from, "portcullis/portcullis-tls");
    assert_eq!(certificate["spec"]["secretName"], "portcullis-tls");
    assert!(certificate["spec"]["dnsNames"].as_array().expect("names").contains(&json!("portcullis.portcullis.svc")));

    let audit_first = objects("audit-first");
    let webhooks = &find(&audit_first, "ValidatingWebhookConfiguration", "portcullis")["webhooks"];
    assert!(webhooks.as_array().expect("webhooks").iter().all(|webhook| webhook["failurePolicy"] == "Ignore"));
    let open = policy("a", "open", "{podSelector: {}, policyTypes: [Ingress], ingress: [{}]}");
    for (objects, level) in [(self_managed, "deny"), (audit_first, "warn")] {
        let rules = rules_folder(&cluster, find(&objects, "ConfigMap", "portcullis-rules"));
        let file = cluster.folder().join("open.yaml");
        fs::write(&file, &open).expect("write a policy");
        let args = ["check", text(&file), "-o", "json", "--config", text(&rules)];
        let output = Command::new(env!("CARGO_BIN_EXE_portcullis")).args(args).output().expect("run portcullis");
        let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(found["findings"][0]["level"], level, "{found}");
    }
}
