//! `deploy/helm/portcullis`: the same objects as the overlays, and a real API server installs, upgrades and removes it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::{Deserializer, Value, json};

use super::deployment::stage::{DEPLOY, copy, find, objects, rendered, text};
use super::harness::{Cluster, Outcome};
use super::overlays::{config_check, takes_foreign_kinds};

/// What Helm says of every object and the overlays do not: who made it, from what, for which release.
const LABELS_OF_HELM: [&str; 4] = [
    "helm.sh/chart",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/version",
    // In selectors as well: two releases may share a namespace.
    "app.kubernetes.io/instance",
];

const RULES: &str = "\"ConfigMap\" \"portcullis-rules\"";

fn chart() -> String {
    format!("{DEPLOY}/helm/portcullis")
}

fn template(cluster: &Cluster, values: &[&str]) -> Option<Outcome> {
    let chart = chart();
    let mut args = vec!["template", "portcullis", &chart, "--namespace", "portcullis", "--no-hooks"];
    args.extend(values.iter().flat_map(|value| ["--set", value]));
    cluster.helm(&args)
}

/// Every feature that is off by default, and something for every list and map that is empty.
fn everything() -> Value {
    let peer = json!({"ipBlock": {"cidr": "203.0.113.1/32"}});
    json!({
        "commonLabels": {"team": "network"},
        "image": {"digest": format!("sha256:{}", "0".repeat(64)), "pullSecrets": [{"name": "registry"}]},
        "rules": {"spec": {"contact": "#network", "rules": [{"rule": "missing-default-deny", "level": "warn"}]}},
        "webhook": {"exemptNamespaces": ["kube-system", "gatekeeper-system"]},
        "certificates": {"mode": "certManager", "certManager": {"issuerRef": {"name": "ours", "kind": "ClusterIssuer"}}},
        "autoscaling": {"enabled": true},
        "networkPolicy": {"defaultDeny": true, "apiServer": {"to": [peer]}},
        "serviceAccount": {"name": "reviewer", "annotations": {"a": "b"}},
        "serviceMonitor": {"enabled": true, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": true, "labels": {"release": "prometheus"}},
        "dashboard": {"enabled": true, "annotations": {"grafana_folder": "Network"}},
        "podLabels": {"a": "b"}, "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"operator": "Exists"}], "affinity": {"nodeAffinity": {}},
        "extraArgs": ["--shutdown-grace=10s"], "extraEnv": [{"name": "RUST_LOG", "value": "debug"}],
    })
}

/// The objects by kind and name, without what is Helm's and with rule sets as the server understands them.
fn normalised(cluster: &Cluster, objects: Vec<Value>) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for mut object in objects {
        remove_labels(&mut object);
        if object["kind"] == "ConfigMap" {
            // One has comments and the other has not; the hash is that of the meaning.
            object["data"] = config_check(cluster, &object).into();
        }
        let key = format!("{} {}", object["kind"], object["metadata"]["name"]);
        assert!(all.insert(key.clone(), object).is_none(), "{key} twice");
    }
    all
}

fn remove_labels(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !LABELS_OF_HELM.contains(&&**key));
            map.values_mut().for_each(remove_labels);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_labels),
        _ => {}
    }
}

#[test]
fn chart_and_overlays_are_the_same_objects() {
    let cluster = Cluster::start();
    for (overlay, values) in [
        ("self-managed", &["certificates.mode=selfManaged"][..]),
        ("cert-manager", &["certificates.mode=certManager"]),
        ("audit-first", &["webhook.failurePolicy=Ignore", "rules.spec.maxLevel=warn"]),
    ] {
        // The chart may be installed into a namespace that has other pods, so it isolates them only when told to.
        let Some(outcome) = template(&cluster, &[values, &["networkPolicy.defaultDeny=true"]].concat()) else { return };
        let mut by_chart = normalised(&cluster, objects(&cluster, &outcome.ok().stdout));
        let mut by_overlay = normalised(&cluster, rendered(&cluster, &format!("{DEPLOY}/overlays/{overlay}")));
        // Made by `helm install --create-namespace`: a release cannot hold the namespace that holds its own record.
        assert!(by_overlay.remove("\"Namespace\" \"portcullis\"").is_some());
        if overlay == "audit-first" {
            // The overlay adds a file to the rule set, the chart a line: not the same text, so not the same hash.
            assert!(by_overlay.remove(RULES).is_some() && by_chart.remove(RULES).is_some());
        }
        assert_eq!(by_chart.keys().collect::<Vec<_>>(), by_overlay.keys().collect::<Vec<_>>(), "{overlay}");
        for (key, object) in &by_chart {
            assert_eq!(*object, by_overlay[key], "{overlay}: the chart's (left) and the overlay's {key}");
        }
    }
}

#[test]
fn it_is_sound_in_every_form_and_a_typo_is_an_error() {
    let cluster = Cluster::start();
    let chart = chart();
    let all = cluster.folder().join("all.json");
    fs::write(&all, everything().to_string()).expect("write values");
    for args in [&["lint", "--strict", &chart][..], &["lint", "--strict", &chart, "--values", text(&all)]] {
        let Some(outcome) = cluster.helm(args) else { return };
        outcome.ok();
    }
    let rendered = cluster.helm(&["template", "net", &chart, "--namespace", "guard", "--values", text(&all)]);
    let objects = objects(&cluster, &rendered.expect("helm").ok().stdout);
    for kind in ["HorizontalPodAutoscaler", "ServiceMonitor"] {
        find(&objects, kind, "net-portcullis");
    }
    let alerts = &find(&objects, "PrometheusRule", "net-portcullis")["spec"]["groups"];
    assert!(alerts[0]["rules"][0]["alert"].is_string(), "{alerts}");
    let dashboard = find(&objects, "ConfigMap", "net-portcullis-dashboard");
    assert_eq!(dashboard["metadata"]["labels"]["grafana_dashboard"], "1");
    let shown: Value =
        serde_json::from_str(dashboard["data"]["portcullis.json"].as_str().expect("text")).expect("JSON");
    assert!(shown["panels"].is_array());
    let deployment = &find(&objects, "Deployment", "net-portcullis")["spec"];
    assert_eq!(deployment["replicas"], Value::Null, "the autoscaler's");
    let image = deployment["template"]["spec"]["containers"][0]["image"].as_str().expect("an image");
    assert!(image.contains(":0.1.0@sha256:000"), "{image}");
    let exempt = json!(["kube-system", "gatekeeper-system", "guard"]);
    let mut registrations = objects.iter().filter(|object| object["kind"] == "ValidatingWebhookConfiguration");
    let real = registrations.find(|object| object["webhooks"] != json!([])).expect("a registration");
    assert_eq!(real["webhooks"][0]["namespaceSelector"]["matchExpressions"][0]["values"], exempt);
    let rules = &find(&objects, "ConfigMap", "net-portcullis-rules");
    assert!(rules["data"]["own-policy.yaml"].is_null(), "a policy with an address needs no exemption");
    config_check(&cluster, rules);

    // The server's own default is for a Service named portcullis.
    let named = cluster.helm(&["template", "net", &chart, "--namespace", "guard"]).expect("helm").ok().stdout;
    for flag in [
        "--tls-secret=guard/net-portcullis-tls",
        "--webhook-configuration=net-portcullis",
        "--tls-dns-name=net-portcullis.guard.svc",
    ] {
        assert!(named.lines().any(|line| line.trim() == format!("- {flag}")), "no {flag} in\n{named}");
    }

    for (value, said) in [
        ("replica=3", "replica"),
        ("image.tags=1", "tags"),
        ("webhook.failurePolicy=fail", "failurePolicy"),
        ("certificates.mode=existingSecret", "caBundle"),
        ("rules.spec.maxlevel=warn", "maxlevel"),
        ("rules.spec.rules[0].rule=missing-default-denny", "rules"),
        ("networkPolicy.apiServer.ports[0]=https", "ports"),
    ] {
        template(&cluster, &[value]).expect("helm").failed().stderr_has(said);
    }
}

/// The chart for this cluster: before 1.21 a PodDisruptionBudget was a beta, and the chart refuses such servers.
fn chart_for(cluster: &Cluster) -> PathBuf {
    let folder = copy(cluster, 443).join("helm/portcullis");
    if cluster.version() < (1, 21) {
        for (file, from, to) in [
            ("Chart.yaml", "kubeVersion: \">=1.21.0-0\"\n", ""),
            ("templates/availability.yaml", "apiVersion: policy/v1\n", "apiVersion: policy/v1beta1\n"),
        ] {
            let file = folder.join(file);
            let text = fs::read_to_string(&file).expect("read the chart");
            assert!(text.contains(from), "no {from:?} in {}", file.display());
            fs::write(&file, text.replace(from, to)).expect("write the chart");
        }
    }
    folder
}

/// A release in a namespace, both with names of their own.
struct Release<'a> {
    cluster: &'a Cluster,
    chart: PathBuf,
}

impl Release<'_> {
    #[track_caller]
    fn run(&self, command: &[&str], values: &Value) {
        self.try_run(command, values).ok();
    }

    fn try_run(&self, command: &[&str], values: &Value) -> Outcome {
        let file = self.cluster.folder().join("values.json");
        fs::write(&file, values.to_string()).expect("write values");
        let with = [text(&self.chart), "--namespace", "guard", "--values", text(&file)];
        self.cluster.helm(&[command, &["net"], &with].concat()).expect("helm")
    }

    fn uninstall(&self, flags: &[&str]) {
        self.cluster.helm(&[&["uninstall", "net", "--namespace", "guard"], flags].concat()).expect("helm").ok();
    }

    /// All that the release says it has made is there.
    fn is_there(&self) {
        let manifest = self.cluster.helm(&["get", "manifest", "net", "--namespace", "guard"]).expect("helm").ok();
        self.cluster.kubectl_stdin(&["get", "-f", "-"], &manifest.stdout).ok();
    }

    fn ca_bundle(&self) -> String {
        let path = "jsonpath={.webhooks[*].clientConfig.caBundle}";
        let get = ["get", "validatingwebhookconfiguration", "net-portcullis", "-o", path];
        self.cluster.kubectl(&get).ok().stdout
    }
}

#[test]
fn install_upgrade_and_uninstall_on_a_real_api_server() {
    let audit = tempfile::tempdir().expect("temporary folder");
    let (rules, log) = (audit.path().join("policy.json"), audit.path().join("log"));
    let only = json!([
        {"level": "Metadata", "verbs": ["patch", "delete"], "omitStages": ["RequestReceived"], "users": ["admin"]},
        {"level": "None"},
    ]);
    let policy = json!({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": only});
    fs::write(&rules, policy.to_string()).expect("write the audit policy");
    let flags = [format!("--audit-policy-file={}", text(&rules)), format!("--audit-log-path={}", text(&log))];
    let mut cluster = Cluster::start_with(&flags.each_ref().map(String::as_str));
    let takes_foreign = takes_foreign_kinds(&mut cluster);
    // Not by `--create-namespace`: before 1.21 the API server does not set the label that the exemption goes by.
    cluster.namespace("guard").ok();
    let Some(version) = cluster.helm(&["version"]) else { return };
    version.ok();
    let release = Release { cluster: &cluster, chart: chart_for(&cluster) };

    release.run(&["install"], &json!({}));
    release.is_there();
    cluster.wait_for_registrations();
    // Nobody serves it: closed, but for what the release itself needs.
    cluster.namespace("a").webhook_unavailable();
    release.run(&["upgrade"], &json!({"networkPolicy": {"defaultDeny": true, "dns": []}}));
    release.is_there();
    the_ca_of_another_stays(&release);

    let bundle = json!({"name": "ours", "caBundle": "b3Vycw=="});
    // What is another's is not taken unsaid.
    let values = json!({"certificates": {"mode": "existingSecret", "existingSecret": bundle}});
    release.try_run(&["upgrade"], &values).failed().stderr_has("caBundle");
    release.run(&["upgrade", "--force-conflicts"], &values);
    release.is_there();
    assert_eq!(release.ca_bundle(), "b3Vycw== b3Vycw==");
    cluster.kubectl(&["get", "role,rolebinding", "-n", "guard", "-o", "name"]).ok().stdout_is_empty();
    let mut values = everything();
    if takes_foreign {
        release.run(&["upgrade"], &json!({"certificates": {"mode": "certManager"}}));
        release.is_there();
    } else {
        values["certificates"]["mode"] = json!("selfManaged");
        values["serviceMonitor"]["enabled"] = json!(false);
        values["prometheusRule"]["enabled"] = json!(false);
    }
    if !cluster.has(23, "autoscaling/v2") {
        values["autoscaling"]["enabled"] = json!(false);
    }
    release.run(&["upgrade"], &values);
    release.is_there();

    let logged = || fs::read_to_string(&log).expect("read the audit log");
    let before = logged().len();
    release.uninstall(&[]);
    the_registration_went_first(&logged()[before..]);
    nothing_is_left(&cluster);
    release.run(&["install"], &json!({}));
    release.uninstall(&["--no-hooks"]);
    nothing_is_left(&cluster);
}

/// The replicas, or cert-manager, put the CA into the registration: an upgrade must not take it out.
fn the_ca_of_another_stays(release: &Release<'_>) {
    let ca =
        |index| json!({"op": "add", "path": format!("/webhooks/{index}/clientConfig/caBundle"), "value": "dGhlaXJz"});
    let patch = json!([ca(0), ca(1)]).to_string();
    let args = ["patch", "validatingwebhookconfiguration", "net-portcullis", "--type=json", "-p", &patch];
    release.cluster.kubectl(&[&args[..], &["--field-manager=portcullis"]].concat()).ok();
    release.run(&["upgrade"], &json!({"webhook": {"timeoutSeconds": 7}}));
    assert_eq!(release.ca_bundle(), "dGhlaXJz dGhlaXJz");
}

/// Deleted by the hook, made anew without webhooks, deleted again; only then the rest.
fn the_registration_went_first(log: &str) {
    let events: Vec<Value> = Deserializer::from_str(log).into_iter().map(|event| event.expect("JSON")).collect();
    let done: Vec<String> = events
        .iter()
        .filter(|event| event["objectRef"]["resource"] != "secrets")
        .map(|event| format!("{} {}", event["verb"], event["objectRef"]["resource"]).replace('"', ""))
        .collect();
    let kind = "validatingwebhookconfigurations";
    assert_eq!(done[..3], [format!("delete {kind}"), format!("patch {kind}"), format!("delete {kind}")], "{done:?}");
    assert!(done[3..].contains(&"delete deployments".to_owned()), "{done:?}");
}

fn nothing_is_left(cluster: &Cluster) {
    let kinds = "deployment,service,poddisruptionbudget,networkpolicy,configmap,resourcequota,serviceaccount,role,\
                 rolebinding,certificate,issuer,servicemonitor,clusterrole,clusterrolebinding,\
                 validatingwebhookconfiguration";
    let left = cluster.kubectl(&["get", kinds, "-A", "-o", "name", "-l", "app.kubernetes.io/instance=net"]).ok();
    left.stdout_is_empty();
    cluster.wait_for_registrations();
    cluster.kubectl(&["create", "namespace", "a", "--dry-run=server"]).ok();
}
